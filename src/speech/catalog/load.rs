//! Reading the audio of all languages at once, on every core.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use super::folder::{self, Folder, extension_of};
use super::manifest::{Rendering, sha256_hex};
use super::texts::PromptText;
use super::{Catalog, Entry, Finding, Origin, Prompts, Severity};
use crate::digit::Digit;
use crate::language::Language;
use crate::speech::audio::condition::{
    LEVEL_TOLERANCE_DB, MAX_BAND_LOSS_DB, MAX_PEAK_DBFS, TARGET_LEVEL_DBOV, band_loss_db,
};
use crate::speech::audio::decode::MAX_FILE_BYTES;
use crate::speech::audio::level::{active_level, peak_dbfs};
use crate::speech::audio::{Pcm, condition, decode};
use crate::speech::phrase::{Character, digit_prompt};
use crate::telephony::codec::Clip;

/// The largest number that every language must be able to say.
const MAX_NUMBER: u32 = 999;

/// What came of reading a folder of prompts.
#[derive(Debug)]
pub struct Loaded {
    /// What can be used.
    pub catalog: Catalog,
    /// Everything that was found.
    pub findings: Vec<Finding>,
}

impl Loaded {
    /// The catalog and what is worth knowing, or else all findings if one of them is an error.
    ///
    /// # Errors
    /// The findings, the worst first.
    pub fn into_result(mut self) -> Result<(Catalog, Vec<Finding>), Vec<Finding>> {
        self.findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        match self.findings.first() {
            Some(worst) if worst.severity == Severity::Error => Err(self.findings),
            _ => Ok((self.catalog, self.findings)),
        }
    }
}

/// How closely to look.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Depth {
    /// What a start needs.
    Load,
    /// Levels, durations and frequencies as well: `passline prompts check`.
    Inspect,
}

/// Reads all languages under `root`.
///
/// `can_speak` tells whether an engine could speak what has no recording; without one that is an error.
#[must_use]
pub fn load(root: &Path, depth: Depth, can_speak: &dyn Fn(&Language) -> bool) -> Loaded {
    let mut findings = Vec::new();
    let folders: Vec<Folder> = folder::languages(root, &mut findings)
        .into_iter()
        .map(|language| Folder::read(root, language, &mut findings))
        .collect();
    let all_ids: BTreeSet<&String> = folders.iter().flat_map(|folder| folder.texts.keys()).collect();
    for folder in &folders {
        check_completeness(folder, &all_ids, &mut findings);
        folder.report_surplus(&mut findings);
    }

    let jobs: Vec<Job<'_>> = folders
        .iter()
        .flat_map(|folder| folder.texts.iter().map(move |(id, text)| Job { folder, id, text }))
        .collect();
    let (clips, audio_findings) = read_all(&jobs, depth);
    findings.extend(audio_findings);

    let mut languages = BTreeMap::new();
    let mut clips = clips.into_iter();
    for folder in &folders {
        let mut entries = BTreeMap::new();
        for ((id, text), clip) in folder.texts.iter().zip(&mut clips) {
            if clip.is_none() && !folder.recordings.contains_key(id) {
                findings.push(missing(folder, id, can_speak(&folder.language)));
            }
            let (clip, origin) = clip.unzip();
            let text = text.clone();
            entries.insert(id.clone(), Entry { text, clip, origin });
        }
        if let Some(phrasebook) = folder.phrasebook.clone() {
            let prompts = Prompts::new(folder.language.clone(), phrasebook, entries);
            languages.insert(folder.language.clone(), prompts);
        }
    }
    Loaded {
        catalog: Catalog { languages },
        findings,
    }
}

fn missing(folder: &Folder, id: &str, can_speak: bool) -> Finding {
    let file = folder.wav_file(id);
    let remedy = format!(
        "render it (passline prompts render --language {}) or record it",
        folder.language
    );
    if can_speak {
        Finding::new(
            Severity::Warning,
            &file,
            Some(id),
            "no recording: the speech engine is used",
            remedy,
        )
    } else {
        Finding::error(
            &file,
            Some(id),
            "no recording, and no speech engine for this language",
            remedy,
        )
    }
}

/// Every language says everything that any language says, and what the program itself needs.
fn check_completeness(folder: &Folder, all_ids: &BTreeSet<&String>, findings: &mut Vec<Finding>) {
    let has = |id: &str| folder.texts.contains_key(id);
    let mut needed: BTreeSet<String> = all_ids.iter().map(|&id| id.clone()).collect();
    needed.extend(Character::all().map(Character::prompt_id));
    needed.extend(Digit::ALL.into_iter().filter(|key| key.event() < 12).map(digit_prompt));
    let file = folder.texts_file();
    for id in needed.iter().filter(|id| !has(id)) {
        findings.push(Finding::error(
            &file,
            Some(id),
            "no text in this language",
            format!("add {id} with a text"),
        ));
    }
    let Some(phrasebook) = &folder.phrasebook else { return };
    for id in phrasebook.prompt_ids().collect::<BTreeSet<_>>() {
        if !has(&id) && !needed.contains(&id) {
            let problem = format!("names the prompt {id}, which has no text");
            let remedy = format!("add {id} to {}", file.display());
            findings.push(Finding::error(&folder.phrases_file(), None, problem, remedy));
        }
    }
    if let Some(error) = (0..=MAX_NUMBER).find_map(|number| phrasebook.number(number, &has).err()) {
        let remedy = format!("numbers up to {MAX_NUMBER} are needed: add a recording or a rule");
        findings.push(Finding::error(
            &folder.phrases_file(),
            Some("number"),
            error.to_string(),
            remedy,
        ));
    }
}

/// One prompt to read.
struct Job<'a> {
    folder: &'a Folder,
    id: &'a str,
    text: &'a PromptText,
}

type Read = Option<(Clip, Origin)>;

/// Shares the jobs out to one thread per core.
fn read_all(jobs: &[Job<'_>], depth: Depth) -> (Vec<Read>, Vec<Finding>) {
    let threads = std::thread::available_parallelism()
        .map_or(1, usize::from)
        .min(jobs.len().max(1));
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<(usize, Read, Vec<Finding>)>> = Mutex::new(Vec::with_capacity(jobs.len()));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some((index, job)) =
                    Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|i| Some((i, jobs.get(i)?)))
                {
                    let mut findings = Vec::new();
                    let read = job.read(depth, &mut findings);
                    done.lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push((index, read, findings));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(index, ..)| *index);
    let mut findings = Vec::new();
    let mut clips = Vec::with_capacity(done.len());
    for (_, read, found) in done {
        clips.push(read);
        findings.extend(found);
    }
    (clips, findings)
}

impl Job<'_> {
    fn read(&self, depth: Depth, findings: &mut Vec<Finding>) -> Read {
        let file = self.choose(findings)?;
        let bytes = read_bounded(file)
            .map_err(|problem| findings.push(self.error(file, problem, "replace the file")))
            .ok()?;
        let rendering = self.folder.manifest.clip.get(self.id);
        let rendered = rendering.filter(|rendering| rendering.audio == sha256_hex(&bytes));
        let pcm = decode(bytes, &extension_of(file))
            .map_err(|error| findings.push(self.error(file, error.to_string(), "replace the file")))
            .ok()?;
        let origin = match rendered {
            Some(rendering) => {
                self.check_text(file, rendering, findings);
                Origin::Rendered
            }
            None => {
                findings.push(Finding::new(
                    Severity::Notice,
                    file,
                    Some(self.id),
                    "a recording of your own is used",
                    "",
                ));
                Origin::Own
            }
        };
        // What was rendered has been through this already.
        let conditioned = match origin {
            Origin::Rendered => Ok(pcm),
            Origin::Own => condition(&pcm),
        };
        let pcm = conditioned
            .map_err(|error| findings.push(self.error(file, error.to_string(), "record it again")))
            .ok()?;
        if depth == Depth::Inspect {
            self.inspect(file, &pcm, findings);
        }
        match pcm.to_clip() {
            Ok(clip) => Some((clip, origin)),
            Err(error) => {
                findings.push(self.error(file, error.to_string(), "convert it to 16000 Hz"));
                None
            }
        }
    }

    /// The file to use: an admin's own format wins over WAV.
    fn choose(&self, findings: &mut Vec<Finding>) -> Option<&PathBuf> {
        let files = self.folder.recordings.get(self.id)?;
        let own: Vec<&PathBuf> = files.iter().filter(|file| extension_of(file) != "wav").collect();
        if let [first, second, ..] = own.as_slice() {
            let problem = format!(
                "there is also {}",
                second.file_name().unwrap_or_default().to_string_lossy()
            );
            findings.push(self.error(first, problem, "keep one of them"));
        }
        files.first()
    }

    fn check_text(&self, file: &Path, rendering: &Rendering, findings: &mut Vec<Finding>) {
        if rendering.text != sha256_hex(self.text.spoken().as_bytes()) {
            let remedy = format!(
                "render again: passline prompts render --language {}",
                self.folder.language
            );
            findings.push(Finding::new(
                Severity::Warning,
                file,
                Some(self.id),
                "the text has changed since this was rendered",
                remedy,
            ));
        }
    }

    fn inspect(&self, file: &Path, pcm: &Pcm, findings: &mut Vec<Finding>) {
        let mut warn = |problem: String, remedy: &str| {
            findings.push(Finding::new(Severity::Warning, file, Some(self.id), problem, remedy));
        };
        let level = active_level(pcm.samples(), pcm.rate_hz());
        if let Some(level) = level.filter(|level| (level.dbov - TARGET_LEVEL_DBOV).abs() > LEVEL_TOLERANCE_DB) {
            warn(
                format!(
                    "active speech level {:.1} dBov instead of {TARGET_LEVEL_DBOV}",
                    level.dbov
                ),
                "render or record it again",
            );
        }
        if let Some(peak) = peak_dbfs(pcm.samples()).filter(|&peak| peak > MAX_PEAK_DBFS) {
            warn(
                format!("peaks at {peak:.1} dBFS instead of {MAX_PEAK_DBFS}"),
                "render or record it again",
            );
        }
        if let Some(loss) = band_loss_db(pcm).filter(|&loss| loss > MAX_BAND_LOSS_DB) {
            warn(
                format!("loses {loss:.1} dB on a telephone line: mostly rumble or hiss"),
                "record it again, closer to the microphone",
            );
        }
        let seconds = pcm.duration().as_secs_f64();
        if !plausible_duration(&self.text.text, seconds) {
            warn(
                format!("lasts {seconds:.1} s, which does not fit the text {:?}", self.text.text),
                "listen to it: it may be cut off, or be another prompt",
            );
        }
    }

    fn error(&self, file: &Path, problem: impl Into<String>, remedy: &str) -> Finding {
        Finding::error(file, Some(self.id), problem, remedy)
    }
}

/// People speak 10 to 20 characters a second; recordings outside 4 to 30 are probably of something else.
fn plausible_duration(text: &str, seconds: f64) -> bool {
    let characters = text.chars().count() as f64;
    (0.2 + characters / 30.0 - 0.2..=1.5 + characters / 4.0).contains(&seconds) && seconds > 0.2
}

fn read_bounded(file: &Path) -> Result<Vec<u8>, String> {
    let size = std::fs::metadata(file)
        .map_err(|e| format!("cannot be read ({e})"))?
        .len();
    if size > MAX_FILE_BYTES {
        return Err(format!("is larger than {} MB", MAX_FILE_BYTES >> 20));
    }
    std::fs::read(file).map_err(|e| format!("cannot be read ({e})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_must_fit_the_text() {
        assert!(plausible_duration("Seven.", 0.5));
        assert!(plausible_duration("Capital B, as in Bravo.", 1.7));
        assert!(!plausible_duration("Seven.", 0.1));
        assert!(!plausible_duration("Seven.", 6.0));
        assert!(!plausible_duration(&"word ".repeat(40), 2.0));
    }
}
