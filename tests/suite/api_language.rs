//! Callers of other languages than that of the house, over HTTPS: the real program, with a second folder of prompts and an engine
//! that speaks what it does not hold.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::api::{Client, Outside, list, text};
use crate::support::server::{Settings, root};
use crate::support::{PATIENCE, block_on, wait_for};

const YEAR: &str = "In which year did you start to work here? Enter four digits.";
const BADGE: &str = "What is the number on the back of your badge?";
/// The recorded one, in the second folder.
const JAHR: &str = "In welchem Jahr haben Sie hier angefangen?";
/// The other one, in the configuration.
const AUSWEIS: &str = "Welche Nummer steht hinten auf Ihrem Ausweis?";

const GERMAN: &str = "translations = { \"de-DE\" = \"Welche Nummer steht hinten auf Ihrem Ausweis?\" }\n";

/// A house that speaks English, and German where `translations` go.
fn bilingual(translations: &str) -> Outside {
    let settings = Settings {
        two_questions: true,
        ..Settings::default()
    };
    Outside::with(&settings, &["--allow", "read-password"], |folder| {
        add_german(&folder.join("prompts"));
        let file = folder.join("passline.toml");
        let badge = format!("text = \"{BADGE}\"\n");
        let shipped = root().join("prompts").to_string_lossy().into_owned();
        let configuration = fs::read_to_string(&file).expect("a configuration");
        assert!(configuration.contains(&badge) && configuration.contains(&shipped));
        let configuration = configuration
            .replace(&badge, &format!("{badge}{translations}"))
            .replace(&shipped, "prompts");
        fs::write(file, configuration).expect("written");
    })
}

/// The shipped prompts, once as they are, and once as German ones with one that an engine has to say.
fn add_german(prompts: &Path) {
    let shipped = root().join("prompts/en-US");
    fs::create_dir(prompts).expect("made");
    std::os::unix::fs::symlink(&shipped, prompts.join("en-US")).expect("linked");
    let german = prompts.join("de-DE");
    fs::create_dir_all(german.join("question")).expect("made");
    for entry in fs::read_dir(&shipped)
        .expect("a folder")
        .map(|entry| entry.expect("an entry"))
    {
        if !["question", "prompts.toml"].iter().any(|own| entry.file_name() == *own) {
            std::os::unix::fs::symlink(entry.path(), german.join(entry.file_name())).expect("linked");
        }
    }
    for entry in fs::read_dir(shipped.join("question"))
        .expect("a folder")
        .map(|entry| entry.expect("an entry"))
    {
        if entry.file_name() != "start_year.wav" {
            std::os::unix::fs::symlink(entry.path(), german.join("question").join(entry.file_name())).expect("linked");
        }
    }
    let texts = fs::read_to_string(shipped.join("prompts.toml")).expect("texts");
    let english = "In which year did you start to work here? Use four digits.";
    assert!(texts.contains(english));
    fs::write(german.join("prompts.toml"), texts.replace(english, JAHR)).expect("written");
}

/// A session in this language, if any, and the language that it is really in.
fn log_in(outside: &Outside, language: Option<&str>) -> (Client, String) {
    let mut client = outside.client();
    let mut request = json!({"user": "ivr", "password": outside.password()});
    if let Some(language) = language {
        request["language"] = language.into();
    }
    let session = client.call("Login", &request);
    client.session = Some(text(&session["sessionId"]).to_owned());
    (client, text(&session["language"]).to_owned())
}

/// The questions of a round by their texts, with their sound. An engine on a busy machine may be too late for the first answer.
fn asked(client: &Client, digits: &str) -> BTreeMap<String, Value> {
    let listed = client.call("UserIVRList", &json!({"digits": digits}));
    let request = json!({"user": listed["users"][0]["user"], "audio": "mulaw"});
    let all = wait_for("questions with sound", PATIENCE, || {
        let asked = client.call("UserQuestionsGet", &request);
        let questions = list(&asked["questions"]).clone();
        questions
            .iter()
            .all(|question| question["audio"].is_string())
            .then_some(questions)
    });
    let by_text = all
        .into_iter()
        .map(|question| (text(&question["text"]).to_owned(), question));
    by_text.collect()
}

/// Whatever is alike for everybody.
fn shared(questions: &BTreeMap<String, Value>) -> Vec<[&Value; 4]> {
    let members = ["text", "language", "promptId", "audio"];
    questions
        .values()
        .map(|question| members.map(|member| &question[member]))
        .collect()
}

#[test]
fn questions_are_asked_in_the_language_of_the_session_whoever_is_meant() {
    let outside = bilingual(GERMAN);
    let (client, spoken) = log_in(&outside, None);
    assert_eq!(spoken, "en-US");
    let english = asked(&client, "4711");
    assert_eq!(english.keys().collect::<Vec<_>>(), [YEAR, BADGE]);
    assert!(english.values().all(|question| question["language"] == "en-US"));

    // The closest language that is here; the prompt of the recorded question is spoken by the engine.
    let (client, spoken) = log_in(&outside, Some("de-AT"));
    assert_eq!(spoken, "de-DE");
    let german = asked(&client, "4711");
    assert_eq!(german.keys().collect::<Vec<_>>(), [JAHR, AUSWEIS]);
    assert!(german.values().all(|question| question["language"] == "de-DE"));
    for (here, there) in [(YEAR, JAHR), (BADGE, AUSWEIS)] {
        assert_eq!(english[here]["promptId"], german[there]["promptId"]);
        assert_ne!(english[here]["audio"], german[there]["audio"]);
    }
    assert_eq!(german[JAHR]["promptId"], "question.start_year");

    // Somebody who does not exist.
    let (stranger, _) = log_in(&outside, Some("de-AT"));
    assert_eq!(shared(&asked(&stranger, "4799")), shared(&german));

    // Right answers are right in every language.
    let answers = [(JAHR, "2009"), (AUSWEIS, "835164")]
        .map(|(text, digits)| json!({"question": german[text]["question"], "digits": digits}));
    let judged = client.call("UserAnswersValidate", &json!({"answers": answers}));
    assert_eq!(judged["result"], "passed");

    // A language that is not here.
    let (client, spoken) = log_in(&outside, Some("fr-FR"));
    assert_eq!(spoken, "en-US");
    assert_eq!(shared(&asked(&client, "4711")), shared(&english));
    outside.server.stop();
}

#[test]
fn a_question_that_is_not_translated_is_asked_and_spoken_in_the_language_of_the_house() {
    let outside = bilingual("");
    let (client, _) = log_in(&outside, None);
    let english = asked(&client, "4711");
    let (client, _) = log_in(&outside, Some("de-DE"));
    let german = asked(&client, "4711");
    assert_eq!(german.keys().collect::<Vec<_>>(), [JAHR, BADGE]);
    let badge = |questions| shared(questions).into_iter().find(|question| question[0] == BADGE);
    assert_eq!(badge(&german), badge(&english));
    outside.server.stop();
}

#[test]
fn an_outside_ivr_that_speaks_for_itself_is_given_questions_in_the_language_of_its_call() {
    let outside = bilingual(GERMAN);
    let client = outside.client();
    let page = |parameters: Value| -> Value {
        let event =
            json!({"Details": {"ContactData": {"ContactId": "1", "LanguageCode": "de-DE"}, "Parameters": parameters}});
        let request = client.http.post(format!("{}/ivr/connect/reset", client.base));
        let request = request
            .basic_auth("ivr", Some(outside.password()))
            .body(event.to_string());
        let answer = block_on(async { request.send().await.expect("an answer").text().await.expect("text") });
        serde_json::from_str(&answer).unwrap_or_else(|_| panic!("{answer}"))
    };
    let tell = |last: &Value, event: &str, keys: &str| {
        page(json!({"session": last["session"], "page": last["page"], "event": event, "keys": keys}))
    };
    let mut said = String::new();
    let mut next = page(json!({}));
    // Who one is, and whatever is asked then.
    for keys in [Some("4711"), Some("2009"), None] {
        while next["then"] == "comeBack" {
            said += text(&next["say"]);
            next = tell(&next, "played", "");
        }
        assert_eq!(next["then"], "collect", "{next}");
        said += text(&next["say"]);
        if let Some(keys) = keys {
            next = tell(&next, "keys", keys);
        }
    }
    assert!(said.contains(JAHR) && said.contains(AUSWEIS), "{said}");
    assert!(!said.contains(YEAR) && !said.contains(BADGE), "{said}");
    tell(&next, "hangup", "");
    outside.server.stop();
}
