use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::speech::catalog::tests::Sample;
use crate::speech::synthesizer::fake::Fake;
use crate::speech::utterance::Part;
use crate::telephony::codec::Codec;

async fn speech(sample: &Sample, fake: &Arc<Fake>) -> Speech {
    let cache = Cache::open(&cache::Config::default()).expect("memory only");
    let (speech, _) = Speech::load(sample.root(), fake.engines(), cache)
        .await
        .expect("a complete folder");
    speech
}

fn english() -> Language {
    "en-US".parse().expect("a tag")
}

#[tokio::test]
async fn a_password_is_spelled_by_recordings_and_never_by_the_engine() {
    let (sample, fake) = (Sample::new(), Fake::new("tone"));
    let speech = speech(&sample, &fake).await;
    let speaker = speech.speaker(&english()).expect("the only language");
    let password = Secret::new("aB7$x".to_owned());
    let spelled = speaker.spell(&password, Pace::Normal).expect("printable");
    assert_eq!(fake.spoken(), 0);
    assert_eq!(spelled.privacy(), Privacy::Secret);
    assert_eq!(spelled.transcript(), "");
    assert_eq!(spelled.parts().len(), 9);
    let expected = speaker
        .prompts()
        .expect("there")
        .clip("spell.upper.b")
        .expect("recorded");
    let Part::Clip(second) = &spelled.parts()[2] else {
        panic!("a pause")
    };
    assert_eq!(second.payload(Codec::Pcmu), expected.payload(Codec::Pcmu));
    let slower = speaker.spell(&password, Pace::Slower).expect("printable");
    assert!(slower.duration() > spelled.duration() + Duration::from_secs(2));
    assert!(matches!(
        speaker.spell(&Secret::new("a b".to_owned()), Pace::Normal),
        Err(SpeakError::Unspeakable(_))
    ));
}

#[tokio::test]
async fn a_menu_mixes_recordings_and_the_engine() {
    let (sample, fake) = (Sample::new(), Fake::new("tone"));
    let speech = speech(&sample, &fake).await;
    let speaker = speech.speaker(&english()).expect("the only language");
    let lines = [
        (Digit::D1, vec![speaker.recorded_or_text("greeting.welcome", "Mail")]),
        (Digit::D2, vec![speaker.recorded_or_text("system.payroll", "Payroll")]),
    ];
    let menu = speaker.menu(&lines).await.expect("complete");
    assert_eq!(
        menu.transcript(),
        "some words some words some words some words Payroll some words"
    );
    assert_eq!(fake.spoken(), 1);
    speaker.menu(&lines).await.expect("complete");
    assert_eq!(fake.spoken(), 1, "the name is in the cache");
}

#[tokio::test]
async fn personal_text_is_forgotten_with_the_call() {
    let (sample, fake) = (Sample::new(), Fake::new("tone"));
    let speech = speech(&sample, &fake).await;
    let call = speech.speaker(&english()).expect("the only language");
    let question = call
        .personal("Name of your first dog?", &english())
        .await
        .expect("spoken");
    assert_eq!(question.privacy(), Privacy::Personal);
    assert_eq!(question.transcript(), "Name of your first dog?");
    call.personal("Name of your first dog?", &english())
        .await
        .expect("spoken");
    assert_eq!(fake.spoken(), 1);
    assert!(speech.0.cache.memory_bytes().1 > 0);
    drop(call);
    assert_eq!(speech.0.cache.memory_bytes(), (0, 0));
}

#[tokio::test]
async fn prompts_without_a_recording_are_spoken_once_at_the_start() {
    let (sample, fake) = (Sample::new(), Fake::new("tone"));
    std::fs::remove_file(sample.file("spell/upper/b.wav")).expect("part of the sample");
    let speech = speech(&sample, &fake).await;
    assert_eq!(fake.spoken(), 1);
    let speaker = speech.speaker(&english()).expect("the only language");
    speaker
        .spell(&Secret::new("BBB".to_owned()), Pace::Normal)
        .expect("complete");
    assert!(speaker.prompt("spell.upper.b").is_some());
    assert_eq!(fake.spoken(), 1);
}

#[tokio::test]
async fn a_call_keeps_its_prompts_and_a_broken_folder_changes_nothing() {
    let (sample, fake) = (Sample::new(), Fake::new("tone"));
    let speech = speech(&sample, &fake).await;
    let before = speech.speaker(&english()).expect("the only language");
    sample.edit("prompts.toml", |texts| {
        texts + "[\"greeting.extra\"]\ntext = \"more\"\n"
    });
    speech.reload(sample.root()).await.expect("still complete");
    assert!(before.prompt("greeting.extra").is_none());
    assert!(
        speech
            .speaker(&english())
            .expect("there")
            .prompt("greeting.extra")
            .is_some()
    );

    sample.edit("prompts.toml", |texts| texts + "broken");
    let findings = speech.reload(sample.root()).await.expect_err("broken");
    assert!(findings.iter().any(|finding| finding.file.ends_with("prompts.toml")));
    assert!(
        speech
            .speaker(&english())
            .expect("there")
            .prompt("greeting.extra")
            .is_some()
    );
}

#[tokio::test]
async fn without_an_engine_recordings_play_and_text_gives_a_clear_error() {
    let sample = Sample::new();
    let cache = Cache::open(&cache::Config::default()).expect("memory only");
    let (speech, _) = Speech::load(sample.root(), Engines::none(), cache)
        .await
        .expect("all recorded");
    let speaker = speech.speaker(&"en-GB".parse().expect("a tag")).expect("close enough");
    assert_eq!(speaker.language(), &english());
    assert!(speaker.prompt("greeting.welcome").is_some());
    let error = speaker.personal("First dog?", &english()).await.expect_err("no engine");
    assert!(error.to_string().contains("apt install"), "{error}");
    assert!(matches!(
        speech.speaker(&"fr".parse().expect("a tag")),
        Err(SpeakError::NoLanguage(_))
    ));
}

#[tokio::test]
async fn digits_and_numbers_are_said() {
    let (sample, fake) = (Sample::new(), Fake::new("tone"));
    let speech = speech(&sample, &fake).await;
    let speaker = speech.speaker(&english()).expect("the only language");
    let digits = speaker.digits(&[Digit::D4, Digit::D2]).expect("recorded");
    assert_eq!((digits.parts().len(), digits.privacy()), (2, Privacy::Personal));
    assert_eq!(speaker.number(342).expect("by the rules").parts().len(), 4);
}
