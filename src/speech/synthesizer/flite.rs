//! The flite engine: English, in-process, about 50 ms for a short sentence.
//!
//! One thread owns the library. Callers put texts into a bounded queue and wait no longer than the deadline; a text
//! whose caller hung up is skipped.

use std::ffi::CStr;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use serde::Deserialize;
use tokio::sync::oneshot;
use zeroize::{Zeroize as _, Zeroizing};

use super::flite_library::{LoadError, Voice};
use super::{EngineError, Identity, Rate, Synthesis, SynthesisError, Synthesizer, Text};
use crate::language::Language;
use crate::speech::audio::Pcm;

/// Texts that may wait. At 50 ms each the last one is done within the usual deadline.
const QUEUE: usize = 64;

/// A voice of flite.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FliteVoice {
    /// A man, the best understood over a telephone.
    Rms,
    /// A woman.
    Slt,
}

impl FliteVoice {
    fn name(self) -> &'static str {
        match self {
            Self::Rms => "rms",
            Self::Slt => "slt",
        }
    }
}

/// Flite on its own thread.
pub struct Flite {
    identity: Identity,
    jobs: SyncSender<Job>,
    deadline: Duration,
}

struct Job {
    /// Ends with NUL.
    text: Zeroizing<Vec<u8>>,
    stretch: f32,
    reply: oneshot::Sender<Result<Pcm, SynthesisError>>,
}

impl Flite {
    /// Loads the library and starts the thread, which ends when the engine is dropped.
    ///
    /// # Errors
    /// [`EngineError::Missing`] when a library is not installed.
    pub fn start(voice: FliteVoice, deadline: Duration) -> Result<Self, EngineError> {
        let (jobs, queue) = sync_channel(QUEUE);
        let (ready, started) = sync_channel(1);
        std::thread::Builder::new()
            .name("flite".to_owned())
            .spawn(move || {
                let loaded = Voice::load(&format!("cmu_us_{}", voice.name()));
                match loaded {
                    Ok(loaded) => {
                        // Nobody waits for the news only if the start was given up.
                        if ready.send(Ok(())).is_ok() {
                            work(&loaded, &queue);
                        }
                    }
                    Err(error) => {
                        let _ = ready.send(Err(error));
                    }
                }
            })
            .map_err(|error| broken(error.to_string()))?;
        started
            .recv()
            .map_err(|_| broken("its thread ended at once".to_owned()))?
            .map_err(missing)?;
        Ok(Self {
            identity: Identity {
                engine: "flite",
                version: loaded_version().unwrap_or_else(|| "unknown".to_owned()),
                voice: voice.name().to_owned(),
            },
            jobs,
            deadline,
        })
    }
}

impl Synthesizer for Flite {
    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn speaks(&self, language: &Language) -> bool {
        language.primary() == "en"
    }

    fn synthesize<'a>(&'a self, text: &'a Text, _: &'a Language, rate: Rate) -> Synthesis<'a> {
        Box::pin(async move {
            let (reply, answer) = oneshot::channel();
            let mut bytes = Zeroizing::new(Vec::with_capacity(text.as_str().len() + 1));
            bytes.extend_from_slice(text.as_str().as_bytes());
            bytes.push(0);
            let job = Job {
                text: bytes,
                stretch: 100.0 / f32::from(rate.as_percent()),
                reply,
            };
            self.jobs.try_send(job).map_err(|error| match error {
                TrySendError::Full(_) => SynthesisError::Busy,
                TrySendError::Disconnected(_) => SynthesisError::Failed("its thread has ended".to_owned()),
            })?;
            match tokio::time::timeout(self.deadline, answer).await {
                Ok(Ok(result)) => result,
                Ok(Err(_)) => Err(SynthesisError::Failed("its thread has ended".to_owned())),
                Err(_) => Err(SynthesisError::TimedOut(self.deadline)),
            }
        })
    }
}

/// Speaks what comes until the engine is dropped.
fn work(voice: &Voice, queue: &Receiver<Job>) {
    while let Ok(job) = queue.recv() {
        if job.reply.is_closed() {
            continue;
        }
        let result = speak(voice, &job);
        let _ = job.reply.send(result);
    }
}

fn speak(voice: &Voice, job: &Job) -> Result<Pcm, SynthesisError> {
    let failed = |reason: &str| SynthesisError::Failed(reason.to_owned());
    let text = CStr::from_bytes_with_nul(&job.text).map_err(|_| failed("the text holds a NUL"))?;
    let mut wave = voice
        .speak(text, job.stretch)
        .ok_or_else(|| failed("flite gave no audio"))?;
    let pcm = Pcm::from_i16(&wave.samples, wave.rate_hz);
    wave.samples.zeroize();
    Ok(pcm)
}

fn missing(error: LoadError) -> EngineError {
    EngineError::Missing {
        what: error.library,
        reason: error.reason,
        remedy: "apt install libflite1",
    }
}

fn broken(reason: String) -> EngineError {
    EngineError::Broken { what: "flite", reason }
}

/// Flite does not tell its version; the name of the loaded file does (`libflite.so.2.2`).
fn loaded_version() -> Option<String> {
    let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
    let (_, version) = maps.lines().find_map(|line| line.split_once("/libflite.so."))?;
    Some(version.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::speech::audio::level::active_level;

    fn engine(voice: FliteVoice) -> Flite {
        Flite::start(voice, Duration::from_secs(20)).expect("these tests need flite: apt install libflite1")
    }

    async fn say(engine: &Flite, text: &str, rate: Rate) -> Pcm {
        let english = "en-US".parse().expect("a tag");
        let text = Text::fixed(text).expect("words");
        engine.synthesize(&text, &english, rate).await.expect("flite speaks")
    }

    #[tokio::test]
    async fn both_voices_speak_at_16_khz() {
        for voice in [FliteVoice::Rms, FliteVoice::Slt] {
            let pcm = say(&engine(voice), "Capital B, as in Bravo.", Rate::NORMAL).await;
            assert_eq!(pcm.rate_hz(), 16_000);
            assert!((1.0..4.0).contains(&pcm.duration().as_secs_f64()), "{pcm:?}");
            assert!(active_level(pcm.samples(), 16_000).is_some_and(|level| level.dbov > -30.0));
        }
    }

    #[tokio::test]
    async fn the_same_text_always_sounds_the_same() {
        let engine = engine(FliteVoice::Rms);
        let first = say(&engine, "Please wait.", Rate::NORMAL).await;
        say(&engine, "Something else in between.", Rate::percent(80)).await;
        assert!(first == say(&engine, "Please wait.", Rate::NORMAL).await);
    }

    #[tokio::test]
    async fn a_lower_rate_takes_longer() {
        let engine = engine(FliteVoice::Rms);
        let normal = say(&engine, "Please wait a moment.", Rate::NORMAL).await.duration();
        let slow = say(&engine, "Please wait a moment.", Rate::percent(50))
            .await
            .duration();
        assert!(slow.as_secs_f64() > 1.6 * normal.as_secs_f64(), "{normal:?} {slow:?}");
    }

    /// Two engines of the same voice share it inside the library: the second one once took the stretch that the first one
    /// had left behind for the usual one, and spoke at half the rate for good.
    #[tokio::test]
    async fn slow_speech_does_not_slow_down_the_next_engine() {
        let first = engine(FliteVoice::Slt);
        let before = say(&first, "Please wait.", Rate::NORMAL).await;
        say(&first, "Please wait.", Rate::percent(50)).await;
        assert!(before == say(&engine(FliteVoice::Slt), "Please wait.", Rate::NORMAL).await);
    }

    #[tokio::test]
    async fn a_late_answer_is_a_transient_error() {
        let engine = Flite::start(FliteVoice::Rms, Duration::ZERO).expect("these tests need flite");
        let english = "en".parse().expect("a tag");
        let text = Text::fixed(&"a long sentence ".repeat(50)).expect("words");
        let result = engine.synthesize(&text, &english, Rate::NORMAL).await;
        assert!(matches!(result, Err(SynthesisError::TimedOut(_))), "{result:?}");
        assert!(result.is_err_and(|error| error.is_transient()));
    }

    #[tokio::test]
    async fn a_full_queue_is_a_transient_error_and_texts_nobody_waits_for_are_skipped() {
        let engine = std::sync::Arc::new(engine(FliteVoice::Rms));
        let mut callers = tokio::task::JoinSet::new();
        for _ in 0..QUEUE + 10 {
            let engine = std::sync::Arc::clone(&engine);
            callers.spawn(async move {
                let english = "en".parse().expect("a tag");
                let text = Text::fixed(&"a long sentence ".repeat(40)).expect("words");
                engine.synthesize(&text, &english, Rate::NORMAL).await.map(drop)
            });
        }
        // All of them are queued or refused before the first one can be done.
        let refused = callers.join_next().await.expect("there are callers").expect("no panic");
        assert!(matches!(&refused, Err(SynthesisError::Busy)), "{refused:?}");
        assert!(refused.is_err_and(|error| error.is_transient()));
        callers.shutdown().await;
        // 64 sentences would take longer than the deadline; the one that is being spoken has to end.
        let (english, text) = ("en".parse().expect("a tag"), Text::fixed("one").expect("words"));
        while let Err(error) = engine.synthesize(&text, &english, Rate::NORMAL).await {
            assert!(matches!(error, SynthesisError::Busy), "{error}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    #[tokio::test]
    async fn several_engines_and_callers_share_the_library() {
        let (rms, slt) = (engine(FliteVoice::Rms), engine(FliteVoice::Slt));
        let alone = say(&rms, "one two three", Rate::NORMAL).await;
        let (a, b, c) = tokio::join!(
            say(&rms, "one two three", Rate::NORMAL),
            say(&slt, "one two three", Rate::NORMAL),
            say(&rms, "one two three", Rate::NORMAL),
        );
        assert!(alone == a && a == c && a != b);
    }

    #[test]
    fn the_version_is_that_of_the_loaded_file() {
        let engine = engine(FliteVoice::Rms);
        assert!(engine.identity().version.starts_with("2."), "{}", engine.identity());
    }
}
