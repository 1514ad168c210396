//! Questions, and the hashes of what users have answered.

use std::collections::BTreeMap;

use super::{StoreError, Transaction, parsed};
use crate::identity::answer_hash::AnswerHash;
use crate::identity::decoy::PooledQuestion;
use crate::identity::ids::{QuestionId, UserId};
use crate::identity::question::{Channel, Origin, Question};
use crate::language::Language;
use crate::time::Timestamp;

/// Writes a new question.
///
/// # Errors
/// [`StoreError::Conflict`] when a question with this text is there already.
pub async fn insert(tx: &mut Transaction, question: &Question) -> Result<(), StoreError> {
    sqlx::query(
        "insert into questions (id, text, language, translations, prompt, channels, format, origin) \
         values ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(question.id.to_string())
    .bind(&question.text)
    .bind(question.language.as_ref().map(Language::to_string))
    .bind(encoded(&question.translations))
    .bind(&question.prompt)
    .bind(question.channels.to_string())
    .bind(question.format.to_string())
    .bind(origin_name(question.origin))
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Gives a question what it is now; its answers stay.
///
/// # Errors
/// When the database fails.
pub async fn update(tx: &mut Transaction, question: &Question) -> Result<(), StoreError> {
    sqlx::query(
        "update questions set text = $1, language = $2, translations = $3, prompt = $4, channels = $5, format = $6, \
         origin = $7 where id = $8",
    )
    .bind(&question.text)
    .bind(question.language.as_ref().map(Language::to_string))
    .bind(encoded(&question.translations))
    .bind(&question.prompt)
    .bind(question.channels.to_string())
    .bind(question.format.to_string())
    .bind(origin_name(question.origin))
    .bind(question.id.to_string())
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// A question. One statement, found or not.
///
/// # Errors
/// When the database fails.
pub async fn find(tx: &mut Transaction, id: QuestionId) -> Result<Option<Question>, StoreError> {
    let row: Option<Row> = sqlx::query_as(
        "select id, text, language, translations, prompt, channels, format, origin from questions where id = $1",
    )
    .bind(id.to_string())
    .fetch_optional(tx.connection())
    .await?;
    row.map(Question::try_from).transpose()
}

/// The question with this text, or whose recording has this prompt ID.
///
/// # Errors
/// When the database fails.
pub async fn by_text_or_prompt(tx: &mut Transaction, name: &str) -> Result<Option<Question>, StoreError> {
    let row: Option<Row> = sqlx::query_as(
        "select id, text, language, translations, prompt, channels, format, origin from questions \
         where text = $1 or prompt = $1 order by case when text = $1 then 0 else 1 end, id limit 1",
    )
    .bind(name)
    .fetch_optional(tx.connection())
    .await?;
    row.map(Question::try_from).transpose()
}

/// Every shared question, oldest first.
///
/// # Errors
/// When the database fails.
pub async fn shared(tx: &mut Transaction) -> Result<Vec<Question>, StoreError> {
    let rows: Vec<Row> = sqlx::query_as(
        "select id, text, language, translations, prompt, channels, format, origin from questions \
         where origin = 'shared' order by id",
    )
    .fetch_all(tx.connection())
    .await?;
    rows.into_iter().map(Question::try_from).collect()
}

/// Keeps the hash of an answer, in place of an earlier one.
///
/// # Errors
/// When the database fails.
pub async fn put_answer(
    tx: &mut Transaction,
    user: UserId,
    question: QuestionId,
    channel: Channel,
    hash: &AnswerHash,
    now: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query(
        "insert into answers (user_id, question_id, channel, hash, enrolled_ms) values ($1, $2, $3, $4, $5) \
         on conflict (user_id, question_id, channel) do update set hash = excluded.hash, \
         enrolled_ms = excluded.enrolled_ms",
    )
    .bind(user.to_string())
    .bind(question.to_string())
    .bind(channel.as_str())
    .bind(hash.as_str())
    .bind(now.as_millis())
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Keeps another hash of the same answer, unless the answer was enrolled anew meanwhile.
///
/// # Errors
/// When the database fails.
pub async fn renew_answer(
    tx: &mut Transaction,
    user: UserId,
    question: QuestionId,
    channel: Channel,
    old: &AnswerHash,
    new: &AnswerHash,
) -> Result<(), StoreError> {
    sqlx::query("update answers set hash = $1 where user_id = $2 and question_id = $3 and channel = $4 and hash = $5")
        .bind(new.as_str())
        .bind(user.to_string())
        .bind(question.to_string())
        .bind(channel.as_str())
        .bind(old.as_str())
        .execute(tx.connection())
        .await?;
    Ok(())
}

/// Forgets all that a user has answered; `false` if it was nothing.
///
/// # Errors
/// When the database fails.
pub async fn forget_answers(tx: &mut Transaction, user: UserId) -> Result<bool, StoreError> {
    let done = sqlx::query("delete from answers where user_id = $1")
        .bind(user.to_string())
        .execute(tx.connection())
        .await?;
    Ok(done.rows_affected() > 0)
}

/// What a user answered. One statement, found or not.
///
/// # Errors
/// When the database fails.
pub async fn answer(
    tx: &mut Transaction,
    user: UserId,
    question: QuestionId,
    channel: Channel,
) -> Result<Option<AnswerHash>, StoreError> {
    let hash: Option<String> =
        sqlx::query_scalar("select hash from answers where user_id = $1 and question_id = $2 and channel = $3")
            .bind(user.to_string())
            .bind(question.to_string())
            .bind(channel.as_str())
            .fetch_optional(tx.connection())
            .await?;
    Ok(hash.map(AnswerHash::from_stored))
}

/// Which questions a user has answered for a channel. One statement, some or none.
///
/// # Errors
/// When the database fails.
pub async fn enrolled(tx: &mut Transaction, user: UserId, channel: Channel) -> Result<Vec<QuestionId>, StoreError> {
    let ids: Vec<String> =
        sqlx::query_scalar("select question_id from answers where user_id = $1 and channel = $2 order by question_id")
            .bind(user.to_string())
            .bind(channel.as_str())
            .fetch_all(tx.connection())
            .await?;
    ids.into_iter().map(|id| parsed("answers", &id, &id)).collect()
}

/// How often each shared question is enrolled on a channel, exactly.
///
/// # Errors
/// When the database fails.
pub async fn enrolment(tx: &mut Transaction, channel: Channel) -> Result<Vec<PooledQuestion>, StoreError> {
    let rows: Vec<(String, i64)> = sqlx::query_as(
        "select q.id, count(*) from answers a join questions q on q.id = a.question_id \
         where a.channel = $1 and q.origin = 'shared' group by q.id order by q.id",
    )
    .bind(channel.as_str())
    .fetch_all(tx.connection())
    .await?;
    rows.into_iter()
        .map(|(id, count)| {
            Ok(PooledQuestion {
                question: parsed("questions", &id, &id)?,
                weight: u32::try_from(count).unwrap_or(u32::MAX),
            })
        })
        .collect()
}

/// How many users (second) have enrolled so many questions (first) on a channel.
///
/// # Errors
/// When the database fails.
pub async fn enrolment_counts(tx: &mut Transaction, channel: Channel) -> Result<Vec<(usize, u32)>, StoreError> {
    let rows: Vec<(i64, i64)> = sqlx::query_as(
        "select n, count(*) from (select count(*) as n from answers where channel = $1 group by user_id) as enrolled \
         group by n order by n",
    )
    .bind(channel.as_str())
    .fetch_all(tx.connection())
    .await?;
    Ok(rows
        .into_iter()
        .map(|(count, users)| {
            (
                usize::try_from(count).unwrap_or(0),
                u32::try_from(users).unwrap_or(u32::MAX),
            )
        })
        .collect())
}

fn origin_name(origin: Origin) -> &'static str {
    match origin {
        Origin::Shared => "shared",
        Origin::Personal => "personal",
    }
}

/// `{"de-DE": "..."}`; nothing if there are none.
fn encoded(translations: &BTreeMap<Language, String>) -> Option<String> {
    let object: serde_json::Value = translations
        .iter()
        .map(|(language, text)| (language.as_str(), text.as_str()))
        .collect();
    (!translations.is_empty()).then(|| object.to_string())
}

fn decoded(id: &str, object: Option<&str>) -> Result<BTreeMap<Language, String>, StoreError> {
    let Some(object) = object else {
        return Ok(BTreeMap::new());
    };
    let texts: BTreeMap<String, String> = serde_json::from_str(object).map_err(|_| StoreError::Damaged {
        table: "questions",
        key: id.to_owned(),
        problem: "its translations cannot be read",
    })?;
    texts
        .into_iter()
        .map(|(language, text)| Ok((parsed("questions", id, &language)?, text)))
        .collect()
}

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    text: String,
    language: Option<String>,
    translations: Option<String>,
    prompt: Option<String>,
    channels: String,
    format: String,
    origin: String,
}

impl TryFrom<Row> for Question {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let origin = match row.origin.as_str() {
            "shared" => Origin::Shared,
            _ => Origin::Personal,
        };
        Ok(Self {
            id: parsed("questions", &row.id, &row.id)?,
            channels: parsed("questions", &row.id, &row.channels)?,
            format: parsed("questions", &row.id, &row.format)?,
            language: row
                .language
                .map(|language| parsed("questions", &row.id, &language))
                .transpose()?,
            translations: decoded(&row.id, row.translations.as_deref())?,
            text: row.text,
            prompt: row.prompt,
            origin,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Store, testing};
    use super::*;
    use crate::identity::question::Channels;

    async fn store() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().unwrap();
        let store = testing::open(folder.path().join("questions.db")).await;
        (folder, store)
    }

    fn question(number: u128) -> Question {
        Question {
            id: QuestionId::from_uuid(uuid::Uuid::from_u128(number)),
            text: format!("Question {number}?"),
            language: None,
            translations: BTreeMap::new(),
            prompt: None,
            channels: [Channel::Phone].into_iter().collect::<Channels>(),
            format: "digits 4-8".parse().unwrap(),
            origin: Origin::Shared,
        }
    }

    #[tokio::test]
    async fn texts_of_all_languages_come_back() {
        let (_folder, store) = store().await;
        let in_one = question(1);
        let in_three = Question {
            language: Some("en-US".parse().unwrap()),
            translations: [("de-DE", "Wie heißt \"er\"?"), ("ja", "何年ですか。")]
                .map(|(tag, text)| (tag.parse().unwrap(), text.to_owned()))
                .into(),
            ..question(2)
        };
        let mut tx = store.write().await.unwrap();
        for question in [&in_one, &in_three] {
            insert(&mut tx, question).await.unwrap();
        }
        assert_eq!(shared(&mut tx).await.unwrap(), [in_one.clone(), in_three.clone()]);
        assert_eq!(find(&mut tx, in_three.id).await.unwrap(), Some(in_three.clone()));
        let named = by_text_or_prompt(&mut tx, "Question 2?").await.unwrap();
        assert_eq!(named, Some(in_three.clone()));
        assert_eq!(by_text_or_prompt(&mut tx, "何年ですか。").await.unwrap(), None);

        let fewer = Question {
            translations: BTreeMap::new(),
            ..in_three
        };
        update(&mut tx, &fewer).await.unwrap();
        assert_eq!(find(&mut tx, fewer.id).await.unwrap(), Some(fewer));
    }

    #[tokio::test]
    async fn what_an_earlier_version_has_written_is_read() {
        let (_folder, store) = store().await;
        let mut tx = store.write().await.unwrap();
        sqlx::query(
            "insert into questions (id, text, channels, format, origin) \
             values ($1, 'Question 1?', 'phone', 'digits 4-8', 'shared')",
        )
        .bind(question(1).id.to_string())
        .execute(tx.connection())
        .await
        .unwrap();
        assert_eq!(shared(&mut tx).await.unwrap(), [question(1)]);
    }

    #[tokio::test]
    async fn translations_that_somebody_has_broken_are_told() {
        let (_folder, store) = store().await;
        let mut tx = store.write().await.unwrap();
        insert(&mut tx, &question(1)).await.unwrap();
        for broken in ["no JSON", r#"{"de_DE": "?"}"#, r#"{"de-DE": 4}"#] {
            sqlx::query("update questions set translations = $1")
                .bind(broken)
                .execute(tx.connection())
                .await
                .unwrap();
            let found = find(&mut tx, question(1).id).await;
            assert!(matches!(found, Err(StoreError::Damaged { .. })), "{broken}: {found:?}");
        }
    }
}
