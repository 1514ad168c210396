//! Administration of people: who there is, which accounts they have, what they have answered.

use std::collections::BTreeMap;

use super::{ServiceError, Services};
use crate::identity::answer::{Answer, AnswerError, AnswerFormat};
use crate::identity::answer_hash::{AnswerContext, AnswerHash};
use crate::identity::event::{EventKind, Origin};
use crate::identity::ids::{AccountId, QuestionId, UserId};
use crate::identity::lockout::{Standing, SubjectKey};
use crate::identity::profile::Profile;
use crate::identity::question::{Channel, Channels, Origin as QuestionOrigin, Question};
use crate::identity::user::{Discriminator, EmployeeNumber, Login, User, UserError, UserStatus};
use crate::language::Language;
use crate::secret::Secret;
use crate::store::account::{self, Account};
use crate::store::lockout::{self, SubjectKind};
use crate::store::{StoreError, Transaction, evidence, profile, question, user};
use crate::time::Timestamp;

/// A user to be.
#[derive(Clone, Debug)]
pub struct NewUser {
    /// What they sign in with.
    pub login: Login,
    /// Full name.
    pub display_name: String,
    /// Numeric ID.
    pub employee_number: Option<EmployeeNumber>,
    /// Second number, for users who share their digits.
    pub discriminator: Option<Secret>,
    /// Language to speak with them.
    pub language: Option<Language>,
    /// Their accounts: system and name there.
    pub accounts: Vec<(String, String)>,
}

/// A question to be.
#[derive(Clone, Debug)]
pub struct NewQuestion {
    /// What is asked.
    pub text: String,
    /// The language of `text`, if it is known.
    pub language: Option<Language>,
    /// What is asked in other languages.
    pub translations: BTreeMap<Language, String>,
    /// Prompt ID of a recording.
    pub prompt: Option<String>,
    /// Where it may be asked.
    pub channels: Channels,
    /// What the answer looks like.
    pub format: AnswerFormat,
    /// Who it belongs to.
    pub origin: QuestionOrigin,
}

/// An answer to be kept.
#[derive(Clone, Debug)]
pub struct Enrolment {
    /// The question.
    pub question: QuestionId,
    /// The answer, as the user writes it.
    pub answer: Secret,
}

/// All that an admin is shown of a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserReport {
    /// The user.
    pub user: User,
    /// How to reach them, and where they belong.
    pub profile: Profile,
    /// Logins of their managers, as far as they are here.
    pub managers: Vec<Login>,
    /// Their accounts.
    pub accounts: Vec<Account>,
    /// How many questions are enrolled, by channel.
    pub enrolled: BTreeMap<Channel, usize>,
    /// Whether they must wait because of wrong answers.
    pub standing: Standing,
}

/// Why people could not be changed. Nothing was.
#[derive(Debug, thiserror::Error)]
pub enum PeopleError {
    /// The login is taken.
    #[error("there is a user with this login already")]
    LoginTaken,
    /// The account belongs to somebody else.
    #[error("account {name} on {system} belongs to another user")]
    AccountTaken {
        /// The system.
        system: String,
        /// The account's name there.
        name: String,
    },
    /// There is no such user.
    #[error("there is no such user")]
    NoSuchUser,
    /// There is no such question.
    #[error("there is no such question")]
    NoSuchQuestion,
    /// A field cannot be used.
    #[error(transparent)]
    Field(#[from] UserError),
    /// An answer cannot be used.
    #[error("the answer to \"{question}\" cannot be used")]
    Answer {
        /// The text of the question.
        question: String,
        /// Why.
        source: AnswerError,
    },
    /// The service failed.
    #[error(transparent)]
    Service(#[from] ServiceError),
}

impl From<StoreError> for PeopleError {
    fn from(error: StoreError) -> Self {
        Self::Service(error.into())
    }
}

impl Services {
    /// Adds a user with their accounts. `origin` says who does it; whom it is about is filled in.
    ///
    /// # Errors
    /// [`PeopleError::LoginTaken`], [`PeopleError::AccountTaken`], [`PeopleError::Field`].
    pub async fn create_user(&self, origin: &Origin, new: NewUser) -> Result<User, PeopleError> {
        let now = self.now();
        let id = self.draw(|rng| UserId::generate(now, rng));
        let user = self.new_user(id, &new)?;
        let mut tx = self.store().write().await?;
        if user::by_login(&mut tx, &user.login).await?.is_some() {
            return Err(PeopleError::LoginTaken);
        }
        user::insert(&mut tx, &user, now).await?;
        self.link_accounts(&mut tx, id, &new.accounts, now).await?;
        let origin = about(origin, id);
        self.record(&mut tx, &origin, now, EventKind::ProfileCreated {}).await?;
        tx.commit().await?;
        Ok(user)
    }

    /// At most `limit` users behind the login `after`, in order.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list_users(&self, after: Option<&Login>, limit: u32) -> Result<Vec<User>, PeopleError> {
        let mut tx = self.store().read().await?;
        Ok(user::list(&mut tx, after, limit).await?)
    }

    /// All that an admin is shown of a user.
    ///
    /// # Errors
    /// [`PeopleError::NoSuchUser`].
    pub async fn show_user(&self, login: &Login) -> Result<UserReport, PeopleError> {
        let mut tx = self.store().read().await?;
        let user = user::by_login(&mut tx, login).await?.ok_or(PeopleError::NoSuchUser)?;
        let mut enrolled = BTreeMap::new();
        for channel in Channel::ALL {
            enrolled.insert(channel, question::enrolled(&mut tx, user.id, channel).await?.len());
        }
        let lockout = lockout::find(&mut tx, &SubjectKey::user(self.peppers(), user.id)).await?;
        let profile = profile::find(&mut tx, user.id).await?;
        let mut managers = Vec::new();
        for place in &profile.managers {
            for manager in profile::at_place(&mut tx, place).await? {
                managers.extend(user::find(&mut tx, manager).await?.map(|manager| manager.login));
            }
        }
        Ok(UserReport {
            profile,
            managers,
            accounts: account::of_user(&mut tx, user.id).await?,
            enrolled,
            standing: lockout.standing(self.now(), self.lockout_config(SubjectKind::User)),
            user,
        })
    }

    /// Forgives a user's wrong answers.
    ///
    /// # Errors
    /// [`PeopleError::NoSuchUser`].
    pub async fn release_user(&self, origin: &Origin, login: &Login) -> Result<(), PeopleError> {
        let now = self.now();
        let mut tx = self.store().write().await?;
        let user = user::by_login(&mut tx, login).await?.ok_or(PeopleError::NoSuchUser)?;
        let key = SubjectKey::user(self.peppers(), user.id);
        let mut lockout = lockout::find_for_update(&mut tx, &key, SubjectKind::User).await?;
        lockout.unlock(now);
        lockout::put(&mut tx, &key, &lockout).await?;
        self.record(&mut tx, &about(origin, user.id), now, EventKind::UserReleased {})
            .await?;
        Ok(tx.commit().await?)
    }

    /// Lets a user use Passline, or not any more: evidence that they hold is worth nothing from then on.
    ///
    /// # Errors
    /// [`PeopleError::NoSuchUser`].
    pub async fn set_user_status(&self, origin: &Origin, login: &Login, status: UserStatus) -> Result<(), PeopleError> {
        let now = self.now();
        let mut tx = self.store().write().await?;
        let mut user = user::by_login(&mut tx, login).await?.ok_or(PeopleError::NoSuchUser)?;
        user.status = status;
        user::update(&mut tx, &user, now).await?;
        if !status.may_verify() {
            evidence::revoke_user(&mut tx, user.id, now).await?;
        }
        let fields = vec!["status".to_owned()];
        self.record(
            &mut tx,
            &about(origin, user.id),
            now,
            EventKind::ProfileChanged { fields },
        )
        .await?;
        Ok(tx.commit().await?)
    }

    /// Adds a question; one with the same text becomes what it is now, and keeps its answers.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn add_question(&self, new: NewQuestion) -> Result<Question, PeopleError> {
        let now = self.now();
        let mut tx = self.store().write().await?;
        let known = question::by_text_or_prompt(&mut tx, &new.text).await?;
        let question = Question {
            id: known
                .as_ref()
                .map_or_else(|| self.draw(|rng| QuestionId::generate(now, rng)), |known| known.id),
            text: new.text,
            language: new.language,
            translations: new.translations,
            prompt: new.prompt,
            channels: new.channels,
            format: new.format,
            origin: new.origin,
        };
        match known {
            Some(known) if known == question => return Ok(known),
            Some(_) => question::update(&mut tx, &question).await?,
            None => question::insert(&mut tx, &question).await?,
        }
        tx.commit().await?;
        Ok(question)
    }

    /// Every shared question.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn shared_questions(&self) -> Result<Vec<Question>, PeopleError> {
        let mut tx = self.store().read().await?;
        Ok(question::shared(&mut tx).await?)
    }

    /// Keeps a user's answers, for every channel of their questions, in place of earlier ones.
    ///
    /// # Errors
    /// [`PeopleError::NoSuchQuestion`], [`PeopleError::Answer`]; then no answer was kept.
    pub async fn enroll(&self, origin: &Origin, login: &Login, answers: &[Enrolment]) -> Result<(), PeopleError> {
        let (user, questions) = {
            let mut tx = self.store().read().await?;
            let user = user::by_login(&mut tx, login).await?.ok_or(PeopleError::NoSuchUser)?;
            let mut questions = Vec::new();
            for enrolment in answers {
                let question = question::find(&mut tx, enrolment.question).await?;
                questions.push(question.ok_or(PeopleError::NoSuchQuestion)?);
            }
            (user, questions)
        };
        let mut hashes = Vec::new();
        for (question, enrolment) in questions.iter().zip(answers) {
            hashes.extend(self.hash_enrolment(user.id, question, &enrolment.answer).await?);
        }
        let now = self.now();
        let mut tx = self.store().write().await?;
        self.keep_answers(&mut tx, origin, &hashes, user.id, now).await?;
        tx.commit().await?;
        self.forget_decoy_pools().await;
        Ok(())
    }

    /// The hashes of one answer, one for each channel of its question.
    pub(super) async fn hash_enrolment(
        &self,
        user: UserId,
        question: &Question,
        text: &Secret,
    ) -> Result<Vec<(AnswerContext, AnswerHash)>, PeopleError> {
        let mut hashes = Vec::new();
        for channel in question.channels.iter() {
            let answer = Answer::enrolled(&question.format, channel, text).map_err(|source| PeopleError::Answer {
                question: question.text.clone(),
                source,
            })?;
            let context = AnswerContext {
                user,
                question: question.id,
                channel,
            };
            hashes.push((context, self.hash_answer(context, answer).await?));
        }
        Ok(hashes)
    }

    /// Keeps hashes of answers, with one event for each channel.
    pub(super) async fn keep_answers(
        &self,
        tx: &mut Transaction,
        origin: &Origin,
        hashes: &[(AnswerContext, AnswerHash)],
        user: UserId,
        now: Timestamp,
    ) -> Result<(), ServiceError> {
        for (context, hash) in hashes {
            question::put_answer(tx, user, context.question, context.channel, hash, now).await?;
        }
        for channel in Channel::ALL {
            if hashes.iter().any(|(context, _)| context.channel == channel) {
                let count = question::enrolled(tx, user, channel).await?.len();
                let questions = u32::try_from(count).unwrap_or(u32::MAX);
                let kind = EventKind::AnswersEnrolled { channel, questions };
                self.record(tx, &about(origin, user), now, kind).await?;
            }
        }
        Ok(())
    }

    /// The user that `new` describes.
    pub(super) fn new_user(&self, id: UserId, new: &NewUser) -> Result<User, UserError> {
        let discriminator = new.discriminator.as_ref();
        Ok(User {
            id,
            login: new.login.clone(),
            display_name: new.display_name.clone(),
            employee_number: new.employee_number.clone(),
            other_numbers: Vec::new(),
            discriminator: discriminator
                .map(|digits| Discriminator::new(self.peppers(), id, digits.expose()))
                .transpose()?,
            status: UserStatus::Active,
            language: new.language.clone(),
        })
    }

    /// Links accounts to a user; those that are linked already stay.
    pub(super) async fn link_accounts(
        &self,
        tx: &mut Transaction,
        user: UserId,
        accounts: &[(String, String)],
        now: Timestamp,
    ) -> Result<bool, PeopleError> {
        let mut linked = false;
        for (system, name) in accounts {
            match account::owner(tx, system, name).await? {
                Some(owner) if owner == user => continue,
                Some(_) => {
                    return Err(PeopleError::AccountTaken {
                        system: system.clone(),
                        name: name.clone(),
                    });
                }
                None => {}
            }
            let account = Account {
                id: self.draw(|rng| AccountId::generate(now, rng)),
                user,
                target: system.clone(),
                name: name.clone(),
                from: None,
            };
            account::insert(tx, &account).await?;
            linked = true;
        }
        Ok(linked)
    }
}

/// The same doer, about this user.
pub(super) fn about(origin: &Origin, user: UserId) -> Origin {
    Origin {
        user: Some(user),
        ..origin.clone()
    }
}
