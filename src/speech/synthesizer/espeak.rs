//! The espeak-ng engine: a hundred languages, one process per sentence.
//!
//! A process and not the library: espeak-ng is under the GPL-3, and a crash or an endless loop ends with its process.
//! The text goes through standard input, because arguments can be read by every user of the machine.

use std::process::{Command as BlockingCommand, Stdio};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};
use zeroize::Zeroizing;

use super::{EngineError, Identity, Rate, Synthesis, SynthesisError, Synthesizer, Text};
use crate::language::Language;
use crate::speech::audio::Pcm;

/// Words per minute at the usual rate: slower than espeak-ng's own 175, for the telephone.
const WORDS_PER_MINUTE: u32 = 150;

/// More audio than the longest text can give (two minutes at 22.05 kHz).
const MAX_OUTPUT_BYTES: u64 = 6 << 20;

/// A WAV header as espeak-ng writes it. The lengths in it are invented (it does not know them yet), so it is skipped
/// rather than parsed; only the sample rate is read.
const HEADER_BYTES: usize = 44;

/// espeak-ng as a subprocess.
pub struct Espeak {
    identity: Identity,
    program: String,
    /// Language names that espeak-ng knows, in lower case.
    languages: Vec<String>,
    deadline: Duration,
}

impl Espeak {
    /// Asks the program for its version and its languages.
    ///
    /// # Errors
    /// [`EngineError::Missing`] when it cannot be run.
    pub fn start(program: &str, deadline: Duration) -> Result<Self, EngineError> {
        let version = run(program, "--version")?;
        let languages = run(program, "--voices")?;
        Ok(Self {
            identity: Identity {
                engine: "espeak-ng",
                version: version_in(&version).unwrap_or("unknown").to_owned(),
                voice: "default".to_owned(),
            },
            program: program.to_owned(),
            languages: languages_in(&languages),
            deadline,
        })
    }

    /// The name of the voice for a language: the exact tag, or else its primary part.
    fn voice(&self, language: &Language) -> Option<String> {
        let tag = language.as_str().to_ascii_lowercase();
        let exact = self.languages.contains(&tag).then_some(tag);
        exact.or_else(|| Some(language.primary()).filter(|primary| self.languages.contains(primary)))
    }

    async fn speak(&self, text: &Text, voice: &str, rate: Rate) -> Result<Pcm, SynthesisError> {
        let speed = WORDS_PER_MINUTE * u32::from(rate.as_percent()) / 100;
        let mut child = Command::new(&self.program)
            .args(["-v", voice, "-s", &speed.to_string(), "-b", "1", "--stdin", "--stdout"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        let output = converse(&mut child, text).await.map_err(failed)?;
        let status = child.wait().await.map_err(failed)?;
        if !status.success() {
            return Err(SynthesisError::Failed(format!("espeak-ng ended with {status}")));
        }
        audio_in(&output).ok_or_else(|| SynthesisError::Failed("espeak-ng gave no audio".to_owned()))
    }
}

impl Synthesizer for Espeak {
    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn speaks(&self, language: &Language) -> bool {
        self.voice(language).is_some()
    }

    fn synthesize<'a>(&'a self, text: &'a Text, language: &'a Language, rate: Rate) -> Synthesis<'a> {
        Box::pin(async move {
            let voice = self
                .voice(language)
                .ok_or_else(|| SynthesisError::NoEngine(language.clone()))?;
            tokio::time::timeout(self.deadline, self.speak(text, &voice, rate))
                .await
                .unwrap_or(Err(SynthesisError::TimedOut(self.deadline)))
        })
    }
}

/// Writes the text and reads the audio at the same time, so that neither pipe fills up.
async fn converse(child: &mut Child, text: &Text) -> std::io::Result<Zeroizing<Vec<u8>>> {
    let mut output = Zeroizing::new(Vec::new());
    let input = child.stdin.take();
    let write = async {
        match input {
            Some(mut input) => input.write_all(text.as_str().as_bytes()).await,
            None => Ok(()),
        }
    };
    let read = async {
        match child.stdout.take() {
            Some(stdout) => stdout.take(MAX_OUTPUT_BYTES).read_to_end(&mut output).await,
            None => Ok(0),
        }
    };
    let (written, read) = tokio::join!(write, read);
    written.and(read)?;
    Ok(output)
}

/// The audio after the header.
fn audio_in(output: &[u8]) -> Option<Pcm> {
    let (header, body) = output.split_at_checked(HEADER_BYTES)?;
    if !header.starts_with(b"RIFF") || &header[36..40] != b"data" || body.is_empty() {
        return None;
    }
    let rate_hz = u32::from_le_bytes(header[24..28].try_into().ok()?);
    let samples = body
        .chunks_exact(2)
        .map(|pair| f32::from(i16::from_le_bytes([pair[0], pair[1]])) / 32_768.0)
        .collect();
    Some(Pcm::new(samples, rate_hz))
}

/// Runs the program for a fact about itself.
fn run(program: &str, argument: &str) -> Result<String, EngineError> {
    let output = BlockingCommand::new(program)
        .arg(argument)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| EngineError::Missing {
            what: program.to_owned(),
            reason: error.to_string(),
            remedy: "apt install espeak-ng",
        })?;
    if !output.status.success() {
        return Err(EngineError::Broken {
            what: "espeak-ng",
            reason: format!("{argument} ended with {}", output.status),
        });
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// `eSpeak NG text-to-speech: 1.51  Data at: /usr/lib/...`
fn version_in(output: &str) -> Option<&str> {
    output.split_once(": ")?.1.split_whitespace().next()
}

/// The languages in `--voices`: the second column, and what is in brackets at the end of a line (` 2  en-gb  ...  (en 2)`).
fn languages_in(output: &str) -> Vec<String> {
    let names = output.lines().skip(1).flat_map(|line| {
        let others = line.split_whitespace().filter_map(|word| word.strip_prefix('('));
        line.split_whitespace().nth(1).into_iter().chain(others)
    });
    names.map(str::to_ascii_lowercase).collect()
}

fn failed(error: std::io::Error) -> SynthesisError {
    SynthesisError::Failed(error.to_string())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::speech::audio::level::active_level;

    fn engine() -> Espeak {
        Espeak::start("espeak-ng", Duration::from_secs(20)).expect("these tests need espeak-ng: apt install espeak-ng")
    }

    fn language(tag: &str) -> Language {
        tag.parse().expect("a tag")
    }

    #[tokio::test]
    async fn several_languages_speak() {
        let engine = engine();
        for (tag, words) in [
            ("en-US", "Please wait"),
            ("de", "Bitte warten"),
            ("fr-FR", "Merci"),
            ("es-419", "Gracias"),
        ] {
            let text = Text::fixed(words).expect("words");
            let pcm = engine
                .synthesize(&text, &language(tag), Rate::NORMAL)
                .await
                .expect("espeak-ng speaks");
            assert!((0.3..5.0).contains(&pcm.duration().as_secs_f64()), "{tag} {pcm:?}");
            assert!(active_level(pcm.samples(), pcm.rate_hz()).is_some(), "{tag}");
        }
    }

    #[tokio::test]
    async fn an_unknown_language_is_told_before_anything_runs() {
        let engine = engine();
        assert!(!engine.speaks(&language("qq")));
        let text = Text::fixed("hello").expect("words");
        let result = engine.synthesize(&text, &language("qq"), Rate::NORMAL).await;
        assert!(matches!(result, Err(SynthesisError::NoEngine(_))));
    }

    #[tokio::test]
    async fn text_that_looks_like_an_option_or_markup_is_only_spoken() {
        let engine = engine();
        let text = Text::personal("-w /tmp/x --help [[h@]] <speak>").expect("words");
        let pcm = engine
            .synthesize(&text, &language("en"), Rate::NORMAL)
            .await
            .expect("spoken");
        assert!(pcm.duration().as_secs_f64() > 1.0);
    }

    #[tokio::test]
    async fn a_program_that_hangs_is_given_up_and_killed() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let program = folder.path().join("espeak-ng");
        let pid_file = folder.path().join("pid");
        let script = format!(
            "#!/bin/sh\ncase \"$1\" in\n--version) echo 'eSpeak NG: 9.9';;\n--voices) printf 'Pty Language\\n 5 en\\n';;\n\
             *) echo $$ > {}; exec sleep 60;;\nesac\n",
            pid_file.display()
        );
        std::fs::write(&program, script).expect("writable folder");
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("own file");
        let program = program.to_str().expect("plain path");
        let engine = start_fresh(program, Duration::from_millis(1_500));
        assert_eq!(engine.identity().to_string(), "espeak-ng 9.9 default");

        let text = Text::fixed("hello").expect("words");
        let result = engine.synthesize(&text, &language("en"), Rate::NORMAL).await;
        assert!(matches!(result, Err(SynthesisError::TimedOut(_))), "{result:?}");
        let pid = std::fs::read_to_string(pid_file).expect("it ran");
        let status = format!("/proc/{}/stat", pid.trim());
        let gone = || std::fs::read_to_string(&status).map_or(true, |stat| stat.contains(") Z "));
        for _ in 0..100 {
            if gone() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("process {} still runs", pid.trim());
    }

    /// Another test may fork while the script is still open for writing; then Linux will not run it yet.
    fn start_fresh(program: &str, deadline: Duration) -> Espeak {
        loop {
            match Espeak::start(program, deadline) {
                Err(EngineError::Missing { reason, .. }) if reason.contains("busy") => std::thread::yield_now(),
                started => return started.expect("it tells its version"),
            }
        }
    }

    #[test]
    fn output_without_audio_is_told_from_audio() {
        assert!(audio_in(b"").is_none());
        assert!(audio_in(&[0; 44]).is_none());
        assert!(audio_in(b"some error message that is longer than a header of a file").is_none());
    }
}
