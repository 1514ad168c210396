//! A small but complete language is made in a temporary folder, then broken in one way per test.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::manifest::{Manifest, Rendering, sha256_hex};
use super::*;
use crate::digit::Digit;
use crate::speech::audio::signal::sine;
use crate::speech::audio::{Pcm, condition, wav};
use crate::speech::phrase::digit_prompt;

const PHRASES: &str = include_str!("../../../prompts/en-US/phrases.toml");

/// A folder of prompts with the language `en-US`: every prompt has a text and a rendered tone.
pub(in crate::speech) struct Sample(TempDir);

impl Sample {
    pub(in crate::speech) fn new() -> Self {
        let sample = Self(tempfile::tempdir().expect("temporary folder"));
        sample.add_language("en-US");
        sample
    }

    /// The same with few prompts, for what does not ask whether they are complete.
    pub(in crate::speech) fn small() -> Self {
        let sample = Self(tempfile::tempdir().expect("temporary folder"));
        let ids = ["digit.1", "digit.2", "digit.7", "greeting.welcome"];
        sample.add("en-US", &ids.map(String::from));
        sample
    }

    pub(in crate::speech) fn add_language(&self, tag: &str) {
        self.add(tag, &sample_ids());
    }

    fn add(&self, tag: &str, ids: &[String]) {
        let folder = self.root().join(tag);
        std::fs::create_dir_all(&folder).expect("writable folder");
        std::fs::write(folder.join("phrases.toml"), PHRASES).expect("writable folder");
        let audio = wav::encode(&tone(0.2)).expect("short audio");
        let (mut texts, mut manifest) = (String::new(), Manifest::default());
        for id in ids {
            writeln!(texts, "[\"{id}\"]\ntext = \"some words\"").expect("writing to a String");
            let file = folder.join(id.replace('.', "/")).with_extension("wav");
            std::fs::create_dir_all(file.parent().expect("below the root")).expect("writable folder");
            std::fs::write(file, &audio).expect("writable folder");
            let rendering = Rendering {
                text: sha256_hex(b"some words"),
                voice: "fake 1 tone".to_owned(),
                audio: sha256_hex(&audio),
            };
            manifest.clip.insert(id.clone(), rendering);
        }
        std::fs::write(folder.join("prompts.toml"), texts).expect("writable folder");
        std::fs::write(folder.join("manifest.toml"), manifest.to_toml()).expect("writable folder");
    }

    pub(in crate::speech) fn root(&self) -> &Path {
        self.0.path()
    }

    pub(in crate::speech) fn file(&self, name: &str) -> PathBuf {
        self.root().join("en-US").join(name)
    }

    pub(in crate::speech) fn edit(&self, name: &str, edit: impl Fn(String) -> String) {
        let file = self.file(name);
        let text = std::fs::read_to_string(&file).expect("part of the sample");
        std::fs::write(file, edit(text)).expect("writable folder");
    }

    fn load(&self) -> Loaded {
        load(self.root(), Depth::Load, &|_| false)
    }

    /// The findings as text, `Severity path: key: ...` with paths relative to the language.
    fn findings(&self, depth: Depth, can_speak: bool) -> Vec<String> {
        let root = format!("{}/", self.root().display());
        load(self.root(), depth, &|_| can_speak)
            .findings
            .iter()
            .map(|finding| format!("{:?} {finding}", finding.severity).replace(&root, ""))
            .collect()
    }

    fn only_finding(&self) -> String {
        let findings = self.findings(Depth::Load, false);
        assert_eq!(findings.len(), 1, "{findings:#?}");
        findings[0].clone()
    }
}

fn sample_ids() -> Vec<String> {
    let mut ids: Vec<String> = Character::all().map(Character::prompt_id).collect();
    for key in Digit::ALL.into_iter().filter(|key| key.event() < 12) {
        let digit = digit_prompt(key);
        ids.push(digit.replace("digit", "press"));
        ids.push(digit);
    }
    ids.extend((0..=20).chain((30..100).step_by(10)).map(|n| format!("number.{n}")));
    ids.extend(
        [
            "number.hundred",
            "number.thousand",
            "phrase.for",
            "phrase.and",
            "greeting.welcome",
        ]
        .map(String::from),
    );
    ids
}

fn tone(amplitude: f32) -> Pcm {
    condition(&sine(800.0, amplitude, 0.4, 16_000)).expect("audible")
}

fn english() -> Language {
    "en-US".parse().expect("a tag")
}

#[test]
fn a_complete_folder_loads_without_a_word() {
    let (catalog, findings) = Sample::new().load().into_result().expect("complete");
    assert_eq!(findings, []);
    let prompts = catalog.prompts(&english()).expect("the only language");
    assert_eq!(prompts.ids().count(), sample_ids().len());
    assert_eq!(prompts.text("greeting.welcome"), Some("some words"));
    assert_eq!(prompts.origin("greeting.welcome"), Some(Origin::Rendered));
    assert_eq!(prompts.clip("greeting.welcome").map(Clip::samples), Some(3_200));
    assert!(Character::all().all(|character| prompts.character(character).is_some()));
    assert_eq!(catalog.gaps().count(), 0);
}

/// Levels and durations of the ten minutes of audio are a matter of `passline prompts check`: too slow for here.
#[test]
fn the_shipped_prompts_are_complete_and_fit_their_texts() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("prompts");
    let findings = load(&root, Depth::Load, &|_| false).findings;
    let told: Vec<String> = findings.iter().map(ToString::to_string).collect();
    assert!(told.is_empty(), "passline prompts check: {told:#?}");
}

#[test]
fn a_recording_of_ones_own_wins_and_is_noted() {
    let sample = Sample::new();
    let mp3 = include_bytes!("../audio/testdata/tone-1khz.mp3");
    std::fs::write(sample.file("greeting/welcome.mp3"), mp3).expect("writable folder");
    assert_eq!(
        sample.only_finding(),
        "Notice en-US/greeting/welcome.mp3: greeting.welcome: a recording of your own is used"
    );
    let catalog = sample.load().catalog;
    let prompts = catalog.prompts(&english()).expect("the only language");
    assert_eq!(prompts.origin("greeting.welcome"), Some(Origin::Own));
    assert!(
        prompts
            .clip("greeting.welcome")
            .is_some_and(|clip| clip.samples() > 7_000)
    );
}

#[test]
fn a_shipped_file_that_was_replaced_is_taken_for_a_recording_of_ones_own() {
    let sample = Sample::new();
    let quiet = wav::encode(&sine(800.0, 0.01, 0.5, 44_100)).expect("short audio");
    std::fs::write(sample.file("greeting/welcome.wav"), quiet).expect("writable folder");
    assert!(sample.only_finding().starts_with("Notice"));
    let inspected = sample.findings(Depth::Inspect, false);
    assert_eq!(inspected.len(), 1, "its level is set when it is loaded: {inspected:?}");
}

#[test]
fn a_text_that_changed_asks_for_rendering() {
    let sample = Sample::new();
    sample.edit("prompts.toml", |text| {
        text.replace(
            "[\"greeting.welcome\"]\ntext = \"some words\"",
            "[\"greeting.welcome\"]\ntext = \"other words\"",
        )
    });
    assert_eq!(
        sample.only_finding(),
        "Warning en-US/greeting/welcome.wav: greeting.welcome: the text has changed since this was rendered; render \
         again: passline prompts render --language en-US"
    );
}

#[test]
fn a_missing_recording_is_spoken_by_the_engine_or_an_error() {
    let sample = Sample::new();
    std::fs::remove_file(sample.file("spell/upper/b.wav")).expect("part of the sample");
    let without = sample.only_finding();
    assert!(
        without.starts_with("Error en-US/spell/upper/b.wav: spell.upper.b: no recording"),
        "{without}"
    );
    let with = sample.findings(Depth::Load, true);
    assert!(with[0].starts_with("Warning"), "{with:?}");
    let catalog = load(sample.root(), Depth::Load, &|_| true).catalog;
    assert_eq!(
        catalog.gaps().map(|(_, id, _)| id).collect::<Vec<_>>(),
        ["spell.upper.b"]
    );
}

#[test]
fn a_second_language_must_say_everything() {
    let sample = Sample::new();
    sample.add_language("de");
    sample.edit("prompts.toml", |text| text + "[\"greeting.extra\"]\ntext = \"more\"\n");
    let findings = sample.findings(Depth::Load, true);
    let expected = "Error de/prompts.toml: greeting.extra: no text in this language";
    assert!(
        findings.iter().any(|finding| finding.starts_with(expected)),
        "{findings:#?}"
    );
}

#[test]
fn every_mistake_is_told_at_once() {
    let sample = Sample::new();
    std::fs::write(sample.file("digit/5.wav"), b"not audio").expect("writable folder");
    std::fs::write(sample.file("digit/6.m4a"), b"anything").expect("writable folder");
    std::fs::write(sample.file("digit/6.flac"), b"anything").expect("writable folder");
    std::fs::write(sample.file("digit/6.ogg"), b"anything").expect("writable folder");
    std::fs::copy(sample.file("digit/1.wav"), sample.file("surplus.wav")).expect("writable folder");
    std::fs::remove_file(sample.file("digit/7.wav")).expect("part of the sample");
    sample.edit("phrases.toml", |text| {
        text.replace("[\"phrase.and\"]", "[\"phrase.nowhere\"]")
            .replace("from = 100\n", "from = 500\n")
    });
    sample.edit("prompts.toml", |text| {
        text.replace(
            "[\"spell.upper.a\"]\ntext = \"some words\"",
            "[\"spell.upper.a\"]\ntext = 5",
        )
    });
    let loaded = sample.load();
    let errors = loaded.into_result().expect_err("many mistakes");
    let told: Vec<String> = errors.iter().map(ToString::to_string).collect();
    for part in [
        "digit/5.wav: digit.5: not a readable",
        "digit/6.m4a: this kind of audio is not read",
        "digit/6.flac: digit.6: there is also 6.ogg; keep one of them",
        "digit/6.flac: digit.6: not a readable",
        "digit/7.wav: digit.7: no recording",
        "surplus.wav: surplus: a recording of nothing",
        "names the prompt phrase.nowhere, which has no text",
        "no rule says how to speak the number 100",
        "prompts.toml: spell.upper.a: text is empty or not a text",
        "prompts.toml: spell.upper.a: no text in this language",
    ] {
        assert!(told.iter().any(|finding| finding.contains(part)), "{part}: {told:#?}");
    }
}

#[test]
fn inspection_finds_what_was_not_levelled_and_what_is_too_short() {
    let sample = Sample::new();
    let loud = wav::encode(&sine(800.0, 0.9, 0.4, 16_000)).expect("short audio");
    let short = wav::encode(&tone(0.2)).expect("short audio");
    let text = "a long text that nobody can say within four tenths of a second";
    std::fs::write(sample.file("digit/1.wav"), &loud).expect("writable folder");
    sample.edit("manifest.toml", |manifest| {
        let hash = |id: &str, audio: &[u8], text: &str| {
            format!(
                "\"{id}\" = {{ voice = \"x\", text = \"{}\", audio = \"{}\" }}",
                sha256_hex(text.as_bytes()),
                sha256_hex(audio)
            )
        };
        let lines = manifest.lines().map(|line| match line.split(' ').next() {
            Some("\"digit.1\"") => hash("digit.1", &loud, "some words"),
            Some("\"digit.2\"") => hash("digit.2", &short, text),
            _ => line.to_owned(),
        });
        lines.collect::<Vec<_>>().join("\n")
    });
    sample.edit("prompts.toml", |texts| {
        texts.replace(
            "[\"digit.2\"]\ntext = \"some words\"",
            &format!("[\"digit.2\"]\ntext = \"{text}\""),
        )
    });
    let findings = sample.findings(Depth::Inspect, false).join("\n");
    assert!(
        findings.contains("digit.1: active speech level -3.") && findings.contains("digit.1: peaks at -0."),
        "{findings}"
    );
    assert!(findings.contains("digit.2: lasts 0.4 s"), "{findings}");
    assert_eq!(findings.lines().count(), 3, "{findings}");
    assert!(sample.findings(Depth::Load, false).is_empty());
}

#[test]
fn a_folder_without_languages_is_an_error() {
    let empty = tempfile::tempdir().expect("temporary folder");
    for root in [empty.path(), Path::new("/nonexistent/prompts")] {
        let findings = load(root, Depth::Load, &|_| true)
            .into_result()
            .expect_err("nothing there");
        assert_eq!(findings.len(), 1, "{findings:?}");
    }
}

#[test]
fn the_closest_language_is_found() {
    let sample = Sample::new();
    sample.add_language("de");
    let catalog = sample.load().catalog;
    let closest = |tag: &str| catalog.closest(&tag.parse().expect("a tag")).map(Language::as_str);
    assert_eq!(closest("en-GB"), Some("en-US"));
    assert_eq!(closest("de-AT"), Some("de"));
    assert_eq!(closest("fr"), None);
}
