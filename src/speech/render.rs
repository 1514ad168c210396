//! `passline prompts render`: recordings from texts.
//!
//! Only what changed is made again. A recording that an admin put in place of ours is never overwritten: it is told
//! from ours by the hash in the manifest. The same texts give the same files, byte for byte, with the same engine.

use std::path::{Path, PathBuf};

use super::audio::{condition, wav};
use super::catalog::manifest::{Rendering, sha256_hex};
use super::catalog::texts::is_prompt_id;
use super::catalog::{Finding, Folder};
use super::synthesizer::{Rate, Synthesizer, Text};
use crate::language::Language;

/// What to make again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scope {
    /// Recordings that are missing, or whose text or voice changed.
    Changed,
    /// All of ours, for instance after a change of level.
    Everything,
}

/// What was done.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Ids of prompts that were rendered.
    pub rendered: Vec<String>,
    /// How many were up to date.
    pub unchanged: usize,
    /// Ids of prompts with a recording of the admin's own.
    pub own: Vec<String>,
    /// Recordings of ours that no text asks for any more.
    pub removed: Vec<PathBuf>,
    /// What went wrong.
    pub findings: Vec<Finding>,
}

/// Renders the prompts of one language by `engine`, then writes the manifest.
///
/// # Errors
/// When a file cannot be written. What is wrong with single texts is in the report.
pub async fn render(
    root: &Path,
    language: &Language,
    engine: &dyn Synthesizer,
    scope: Scope,
) -> std::io::Result<Report> {
    let mut report = Report::default();
    let mut folder = Folder::read(root, language.clone(), &mut report.findings);
    remove_stale(&mut folder, &mut report)?;
    let voice = engine.identity().to_string();
    for (id, text) in &folder.texts {
        let file = folder.wav_file(id);
        let text_hash = sha256_hex(text.spoken().as_bytes());
        let known = folder.manifest.clip.get(id);
        match on_disk(&file, known)? {
            _ if folder
                .recordings
                .get(id)
                .is_some_and(|files| files.iter().any(|other| *other != file)) =>
            {
                report.own.push(id.clone());
                continue;
            }
            OnDisk::Own => {
                report.own.push(id.clone());
                continue;
            }
            OnDisk::Ours if scope == Scope::Changed => {
                if known.is_some_and(|known| known.text == text_hash && known.voice == voice) {
                    report.unchanged += 1;
                    continue;
                }
            }
            OnDisk::Ours | OnDisk::Nothing => {}
        }
        match make(text.spoken(), language, engine).await {
            Ok(bytes) => {
                replace(&file, &bytes)?;
                let rendering = Rendering {
                    text: text_hash,
                    voice: voice.clone(),
                    audio: sha256_hex(&bytes),
                };
                folder.manifest.clip.insert(id.clone(), rendering);
                report.rendered.push(id.clone());
            }
            Err(problem) => {
                let file = folder.texts_file();
                report
                    .findings
                    .push(Finding::error(&file, Some(id), problem, "change the text"));
            }
        }
    }
    replace(&folder.manifest_file(), folder.manifest.to_toml().as_bytes())?;
    Ok(report)
}

/// The bytes of the WAV file for a text.
async fn make(text: &str, language: &Language, engine: &dyn Synthesizer) -> Result<Vec<u8>, String> {
    let text = Text::fixed(text).map_err(|error| error.to_string())?;
    let raw = engine
        .synthesize(&text, language, Rate::NORMAL)
        .await
        .map_err(|error| error.to_string())?;
    let prompt = condition(&raw).map_err(|error| error.to_string())?;
    wav::encode(&prompt).map_err(|error| error.to_string())
}

enum OnDisk {
    Nothing,
    Ours,
    Own,
}

fn on_disk(file: &Path, known: Option<&Rendering>) -> std::io::Result<OnDisk> {
    match std::fs::read(file) {
        Ok(bytes) => {
            let ours = known.is_some_and(|known| known.audio == sha256_hex(&bytes));
            Ok(if ours { OnDisk::Ours } else { OnDisk::Own })
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(OnDisk::Nothing),
        Err(error) => Err(error),
    }
}

/// Removes recordings that we made for texts which are gone.
fn remove_stale(folder: &mut Folder, report: &mut Report) -> std::io::Result<()> {
    // Nothing was read: that is a broken file, not a wish to remove everything.
    if folder.texts.is_empty() {
        return Ok(());
    }
    let stale: Vec<String> = folder
        .manifest
        .clip
        .keys()
        .filter(|id| !folder.texts.contains_key(*id))
        .cloned()
        .collect();
    for id in stale {
        let known = folder.manifest.clip.remove(&id);
        // An id becomes a path.
        if !is_prompt_id(&id) {
            continue;
        }
        let file = folder.wav_file(&id);
        if let OnDisk::Ours = on_disk(&file, known.as_ref())? {
            std::fs::remove_file(&file)?;
            report.removed.push(file);
        }
    }
    Ok(())
}

/// Writes a file whole or not at all.
fn replace(file: &Path, bytes: &[u8]) -> std::io::Result<()> {
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let mut temporary = file.as_os_str().to_owned();
    temporary.push(".tmp");
    std::fs::write(&temporary, bytes)?;
    std::fs::rename(&temporary, file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::speech::catalog::tests::Sample;
    use crate::speech::catalog::{Depth, load};
    use crate::speech::synthesizer::fake::Fake;

    async fn run(sample: &Sample, voice: &str, scope: Scope) -> Report {
        let english = "en-US".parse().expect("a tag");
        render(sample.root(), &english, &*Fake::new(voice), scope)
            .await
            .expect("writable folder")
    }

    fn change_text(sample: &Sample, id: &str, text: &str) {
        let before = format!("[\"{id}\"]\ntext = \"some words\"");
        let after = format!("[\"{id}\"]\ntext = \"{text}\"");
        sample.edit("prompts.toml", |texts| texts.replace(&before, &after));
    }

    #[tokio::test]
    async fn only_what_changed_is_rendered_and_then_everything_fits() {
        let sample = Sample::small();
        change_text(&sample, "greeting.welcome", "welcome to this");
        std::fs::remove_file(sample.file("digit/7.wav")).expect("part of the sample");
        let report = run(&sample, "tone", Scope::Changed).await;
        assert_eq!(report.rendered, ["digit.7", "greeting.welcome"]);
        assert_eq!((report.own, report.removed, report.findings), (vec![], vec![], vec![]));
        let about_audio = |finding: &Finding| finding.file.extension().is_some_and(|extension| extension == "wav");
        let findings = load(sample.root(), Depth::Inspect, &|_| false).findings;
        assert!(!findings.iter().any(about_audio), "{findings:?}");
        assert_eq!(run(&sample, "tone", Scope::Changed).await.rendered, [""; 0]);
    }

    #[tokio::test]
    async fn another_voice_renders_everything() {
        let sample = Sample::small();
        let report = run(&sample, "other", Scope::Changed).await;
        assert_eq!((report.rendered.len(), report.unchanged), (4, 0));
    }

    #[tokio::test]
    async fn the_same_texts_give_the_same_files() {
        let sample = Sample::small();
        let files = || {
            ["manifest.toml", "digit/1.wav", "greeting/welcome.wav"]
                .map(|name| std::fs::read(sample.file(name)).expect("there"))
        };
        run(&sample, "tone", Scope::Everything).await;
        let first = files();
        run(&sample, "tone", Scope::Everything).await;
        assert!(first == files());
    }

    #[tokio::test]
    async fn recordings_of_ones_own_are_never_touched() {
        let sample = Sample::small();
        std::fs::write(sample.file("digit/1.wav"), b"my own").expect("writable folder");
        std::fs::write(sample.file("digit/2.flac"), b"my own too").expect("writable folder");
        let shipped = std::fs::read(sample.file("digit/2.wav")).expect("part of the sample");
        change_text(&sample, "digit.1", "changed");
        change_text(&sample, "digit.2", "changed");
        let report = run(&sample, "other", Scope::Everything).await;
        assert_eq!(report.own, ["digit.1", "digit.2"]);
        assert_eq!(std::fs::read(sample.file("digit/1.wav")).expect("there"), b"my own");
        assert_eq!(std::fs::read(sample.file("digit/2.wav")).expect("there"), shipped);
    }

    #[tokio::test]
    async fn our_recording_of_a_text_that_is_gone_goes_and_an_own_one_stays() {
        let sample = Sample::small();
        std::fs::write(sample.file("digit/2.wav"), b"my own").expect("writable folder");
        sample.edit("prompts.toml", |texts| {
            texts
                .replace("[\"digit.1\"]\ntext = \"some words\"\n", "")
                .replace("[\"digit.2\"]\ntext = \"some words\"\n", "")
        });
        let report = run(&sample, "tone", Scope::Changed).await;
        assert_eq!(report.removed, [sample.file("digit/1.wav")]);
        assert!(!sample.file("digit/1.wav").exists() && sample.file("digit/2.wav").exists());
    }

    #[tokio::test]
    async fn a_text_that_cannot_be_spoken_is_told_and_the_rest_is_rendered() {
        let sample = Sample::small();
        change_text(&sample, "digit.1", "?!");
        change_text(&sample, "digit.2", "fine");
        let report = run(&sample, "tone", Scope::Changed).await;
        assert_eq!(report.rendered, ["digit.2"]);
        assert!(
            report.findings[0].to_string().contains("digit.1: the text is empty"),
            "{:?}",
            report.findings
        );
    }
}
