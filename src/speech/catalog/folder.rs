//! The files of one language: `prompts/<language>/`.
//!
//! ```text
//! prompts/en-US/prompts.toml      what is said
//!               phrases.toml      how it is put together
//!               manifest.toml     what the shipped recordings were made from
//!               spell/upper/b.wav recording of spell.upper.b
//!               spell/upper/b.mp3 an admin's own, wins over the WAV
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::manifest::Manifest;
use super::texts::{self, PromptText};
use super::{Finding, Severity};
use crate::language::Language;
use crate::speech::audio::decode::EXTENSIONS;
use crate::speech::phrase::Phrasebook;

/// Folders below a language deeper than this hold no prompts; ends a walk through a loop of links.
const MAX_DEPTH: usize = 8;

/// What the files of a language say, before any audio is read.
pub(in crate::speech) struct Folder {
    pub(in crate::speech) language: Language,
    pub(in crate::speech) path: PathBuf,
    pub(in crate::speech) texts: BTreeMap<String, PromptText>,
    pub(in crate::speech) phrasebook: Option<Phrasebook>,
    pub(in crate::speech) manifest: Manifest,
    /// Audio files by prompt id; several if an admin's own lies beside the shipped one.
    pub(in crate::speech) recordings: BTreeMap<String, Vec<PathBuf>>,
}

/// The languages in `root`: each folder with a `prompts.toml`.
pub(in crate::speech) fn languages(root: &Path, findings: &mut Vec<Finding>) -> Vec<Language> {
    let entries = match std::fs::read_dir(root) {
        Ok(entries) => entries,
        Err(error) => {
            findings.push(Finding::error(
                root,
                None,
                format!("cannot be read ({error})"),
                "name the folder that holds one folder per language, such as prompts/en-US",
            ));
            return Vec::new();
        }
    };
    let mut languages = Vec::new();
    for path in entries.filter_map(|entry| entry.ok().map(|entry| entry.path())) {
        if !path.join(TEXTS).is_file() {
            continue;
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        match name.parse() {
            Ok(language) => languages.push(language),
            Err(error) => findings.push(Finding::error(&path, None, format!("{error}"), "rename the folder")),
        }
    }
    languages.sort();
    if languages.is_empty() {
        findings.push(Finding::error(
            root,
            None,
            "holds no language",
            "add a folder with a prompts.toml, such as prompts/en-US/prompts.toml",
        ));
    }
    languages
}

const TEXTS: &str = "prompts.toml";
const PHRASES: &str = "phrases.toml";
const MANIFEST: &str = "manifest.toml";

impl Folder {
    /// Reads everything except the audio.
    pub(in crate::speech) fn read(root: &Path, language: Language, findings: &mut Vec<Finding>) -> Self {
        let path = root.join(language.as_str());
        let texts = read_file(&path.join(TEXTS), findings)
            .map(|source| texts::parse(&source, &path.join(TEXTS), findings))
            .unwrap_or_default();
        let phrasebook = read_phrasebook(&path.join(PHRASES), findings);
        let manifest = read_manifest(&path.join(MANIFEST), findings);
        let mut recordings = BTreeMap::new();
        walk(&path, &path, MAX_DEPTH, &mut recordings, findings);
        for files in recordings.values_mut() {
            files.sort_by_key(|file| rank(file));
        }
        Self {
            language,
            path,
            texts,
            phrasebook,
            manifest,
            recordings,
        }
    }

    pub(in crate::speech) fn texts_file(&self) -> PathBuf {
        self.path.join(TEXTS)
    }

    pub(in crate::speech) fn phrases_file(&self) -> PathBuf {
        self.path.join(PHRASES)
    }

    pub(in crate::speech) fn manifest_file(&self) -> PathBuf {
        self.path.join(MANIFEST)
    }

    /// Where the shipped recording of a prompt is: `spell.upper.b` is `spell/upper/b.wav`.
    pub(in crate::speech) fn wav_file(&self, id: &str) -> PathBuf {
        let mut path = self.path.clone();
        path.extend(id.split('.'));
        // Not set_extension: ids have no dots left here, but a name may end in digits after an underscore.
        path.as_mut_os_string().push(".wav");
        path
    }

    /// Audio files that no text asks for.
    pub(in crate::speech) fn report_surplus(&self, findings: &mut Vec<Finding>) {
        for (id, files) in &self.recordings {
            if !self.texts.contains_key(id) {
                findings.extend(files.iter().map(|file| {
                    let remedy = format!("write a text for it into {TEXTS}, or remove the file");
                    Finding::new(Severity::Warning, file, Some(id), "a recording of nothing", remedy)
                }));
            }
        }
    }
}

/// Own formats first, WAV (which may be the shipped one) last.
fn rank(file: &Path) -> usize {
    let extension = extension_of(file);
    EXTENSIONS
        .iter()
        .position(|known| *known == extension)
        .unwrap_or(EXTENSIONS.len())
}

pub(in crate::speech) fn extension_of(file: &Path) -> String {
    file.extension()
        .unwrap_or_default()
        .to_string_lossy()
        .to_ascii_lowercase()
}

fn read_file(path: &Path, findings: &mut Vec<Finding>) -> Option<String> {
    std::fs::read_to_string(path)
        .map_err(|error| {
            findings.push(Finding::error(
                path,
                None,
                format!("cannot be read ({error})"),
                "every language needs this file",
            ));
        })
        .ok()
}

fn read_phrasebook(path: &Path, findings: &mut Vec<Finding>) -> Option<Phrasebook> {
    let source = read_file(path, findings)?;
    Phrasebook::parse(&source)
        .map_err(|error| {
            let problem = error.to_string().trim().replace('\n', " ");
            findings.push(Finding::error(
                path,
                None,
                problem,
                "compare with prompts/en-US/phrases.toml",
            ));
        })
        .ok()
}

/// A language whose recordings are all an admin's own has no manifest.
fn read_manifest(path: &Path, findings: &mut Vec<Finding>) -> Manifest {
    if !path.exists() {
        return Manifest::default();
    }
    read_file(path, findings)
        .and_then(|source| {
            Manifest::parse(&source)
                .map_err(|problem| {
                    findings.push(Finding::error(
                        path,
                        None,
                        problem,
                        "restore the file, or remove it and render again",
                    ));
                })
                .ok()
        })
        .unwrap_or_default()
}

fn walk(
    folder: &Path,
    base: &Path,
    depth: usize,
    recordings: &mut BTreeMap<String, Vec<PathBuf>>,
    findings: &mut Vec<Finding>,
) {
    let (Some(depth), Ok(entries)) = (depth.checked_sub(1), std::fs::read_dir(folder)) else {
        return;
    };
    for path in entries.filter_map(|entry| entry.ok().map(|entry| entry.path())) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with('.') {
            continue;
        }
        if path.is_dir() {
            walk(&path, base, depth, recordings, findings);
            continue;
        }
        let extension = extension_of(&path);
        if !EXTENSIONS.contains(&extension.as_str()) {
            // Text files beside the recordings (credits, licences) are fine; other audio is a misunderstanding.
            if [
                "m4a", "aac", "opus", "wma", "aiff", "aif", "gsm", "ulaw", "alaw", "raw", "sln",
            ]
            .contains(&extension.as_str())
            {
                findings.push(Finding::error(
                    &path,
                    None,
                    "this kind of audio is not read",
                    "convert it to WAV, FLAC, Ogg Vorbis or MP3",
                ));
            }
            continue;
        }
        if let Some(id) = id_of(&path, base) {
            recordings.entry(id).or_default().push(path);
        }
    }
}

/// `spell/upper/b.wav` is `spell.upper.b`.
fn id_of(path: &Path, base: &Path) -> Option<String> {
    let relative = path.strip_prefix(base).ok()?.with_extension("");
    let words: Vec<_> = relative
        .iter()
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    Some(words.join("."))
}
