//! The thread that writes a recording.

use std::fs::{self, OpenOptions};
use std::io::BufWriter;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use hound::{SampleFormat, WavSpec, WavWriter};
use thiserror::Error;

use super::tap::{Frame, Seat, Tap};
use super::timeline::{StereoSample, Timeline};
use crate::telephony::codec::{CLOCK_RATE, duration_of};

/// Frames that may wait: more than a second of both directions.
const RING: usize = 128;
/// The writer looks by itself instead of being woken, which would cost the media worker a system call per packet.
const INTERVAL: Duration = Duration::from_millis(100);
const STACK_SIZE: usize = 128 * 1_024;

type Wav = WavWriter<BufWriter<fs::File>>;

/// Why a recording could not be made.
#[derive(Debug, Error)]
pub enum RecordError {
    /// The file could not be created.
    #[error("cannot create the recording {path}; does the folder exist and may we write there?")]
    Create {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: hound::Error,
    },
    /// Writing failed half-way; what was written before stays in the file with `.tmp` at its end.
    #[error("cannot write the recording {path}; is the disk full?")]
    Write {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: hound::Error,
    },
}

/// A finished recording.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Recording {
    /// The file.
    pub path: PathBuf,
    /// Its length.
    pub duration: Duration,
}

/// A recording in progress.
#[derive(Debug)]
pub struct Recorder {
    writer: JoinHandle<Result<Recording, RecordError>>,
}

impl Recorder {
    /// Begins a recording at `path`, readable by us only, and gives the tap for the session. Until it is finished the
    /// file has `.tmp` at its end. It is finished when the tap is dropped: when the session ends or records no more.
    pub fn start(path: &Path, seat: Seat, now: Instant) -> Result<(Self, Box<Tap>), RecordError> {
        let create_error = |source| RecordError::Create {
            path: path.to_owned(),
            source,
        };
        let wav = create(&temporary(path)).map_err(create_error)?;
        let (sender, frames) = sync_channel(RING);
        let path = path.to_owned();
        let thread_path = path.clone();
        let writer = thread::Builder::new()
            .name("recorder".to_owned())
            .stack_size(STACK_SIZE)
            .spawn(move || write(wav, &frames, thread_path))
            .map_err(|source| RecordError::Create {
                path,
                source: hound::Error::IoError(source),
            })?;
        Ok((Self { writer }, Box::new(Tap::new(sender, seat, now))))
    }

    /// Waits until the recording is finished, a fifth of a second or so; blocks, so not to be called in an async task. The
    /// tap must have been dropped, or be about to.
    pub fn finish(self) -> Result<Recording, RecordError> {
        self.writer
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

fn temporary(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".tmp");
    name.into()
}

fn create(path: &Path) -> Result<Wav, hound::Error> {
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    let spec = WavSpec {
        channels: 2,
        sample_rate: CLOCK_RATE,
        bits_per_sample: 16,
        sample_format: SampleFormat::Int,
    };
    WavWriter::new(BufWriter::new(file), spec)
}

fn write(mut wav: Wav, frames: &Receiver<Frame>, path: PathBuf) -> Result<Recording, RecordError> {
    let duration = write_samples(&mut wav, frames)
        .and_then(|duration| wav.finalize().map(|()| duration))
        .and_then(|duration| Ok(fs::rename(temporary(&path), &path).map(|()| duration)?));
    match duration {
        Ok(duration) => Ok(Recording { path, duration }),
        Err(source) => {
            tracing::warn!(path = %path.display(), error = %source, "recording failed; the call goes on");
            Err(RecordError::Write { path, source })
        }
    }
}

/// Until the tap is dropped.
fn write_samples(wav: &mut Wav, frames: &Receiver<Frame>) -> Result<Duration, hound::Error> {
    let mut timeline = Timeline::default();
    let mut written = 0;
    loop {
        let mut result = Ok(());
        let mut sink = |sample: StereoSample| {
            written += 1;
            if result.is_ok() {
                result = write_sample(wav, sample);
            }
        };
        match frames.try_recv() {
            Ok(frame) => timeline.place(&frame, &mut sink),
            Err(TryRecvError::Empty) => thread::sleep(INTERVAL),
            Err(TryRecvError::Disconnected) => {
                timeline.finish(&mut sink);
                result?;
                return Ok(duration_of(written));
            }
        }
        result?;
    }
}

fn write_sample(wav: &mut Wav, [caller, system]: StereoSample) -> Result<(), hound::Error> {
    wav.write_sample(caller)?;
    wav.write_sample(system)
}
