//! Reading recordings that people drop in: WAV, MP3, FLAC, Ogg Vorbis; any rate, any number of channels.
//!
//! Left out on purpose: Opus (symphonia has no decoder) and streaming; a prompt is read whole.

use std::io::Cursor;

use symphonia::core::codecs::audio::{AudioDecoder, AudioDecoderOptions};
use symphonia::core::errors::Error;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::{FormatOptions, TrackType};
use symphonia::core::io::MediaSourceStream;
use symphonia::core::meta::MetadataOptions;

use super::{Pcm, wav};

/// File name extensions of recordings, in the order in which they win over each other.
pub const EXTENSIONS: [&str; 4] = ["flac", "ogg", "mp3", "wav"];

/// A prompt longer than this is a mistake; it also bounds what a small compressed file can grow to.
const MAX_SECONDS: u64 = 180;

/// Files larger than this are not read: three minutes of 48 kHz stereo in 24 bits are 52 MB.
pub const MAX_FILE_BYTES: u64 = 64 << 20;

/// Why a recording could not be read.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Not a format that we know, or broken.
    #[error("not a readable WAV, MP3, FLAC or Ogg Vorbis file: {0}")]
    Format(String),
    /// The container holds no sound.
    #[error("the file holds no audio track")]
    NoAudio,
    /// Longer than a prompt can sensibly be.
    #[error("longer than {MAX_SECONDS} seconds")]
    TooLong,
}

/// The audio of a file, channels mixed down to one, at the rate of the file.
///
/// `extension` is a hint only: the content decides.
///
/// # Errors
/// See [`DecodeError`].
pub fn decode(bytes: Vec<u8>, extension: &str) -> Result<Pcm, DecodeError> {
    if let Some(pcm) = wav::decode(&bytes) {
        return if pcm.duration().as_secs() > MAX_SECONDS {
            Err(DecodeError::TooLong)
        } else {
            Ok(pcm)
        };
    }
    let format_error = |error: Error| DecodeError::Format(error.to_string());
    let mut hint = Hint::new();
    hint.with_extension(extension);
    let source = MediaSourceStream::new(Box::new(Cursor::new(bytes)), Default::default());
    let mut format = symphonia::default::get_probe()
        .probe(&hint, source, FormatOptions::default(), MetadataOptions::default())
        .map_err(format_error)?;
    let track = format.default_track(TrackType::Audio).ok_or(DecodeError::NoAudio)?;
    let track_id = track.id;
    let parameters = track
        .codec_params
        .as_ref()
        .and_then(|parameters| parameters.audio())
        .ok_or(DecodeError::NoAudio)?;
    let mut decoder = symphonia::default::get_codecs()
        .make_audio_decoder(parameters, &AudioDecoderOptions::default())
        .map_err(format_error)?;

    let mut mono = Mono::default();
    while let Some(packet) = format.next_packet().map_err(format_error)? {
        if packet.track_id == track_id {
            mono.append(decoder.as_mut(), &packet)?;
        }
    }
    mono.finish()
}

/// Collects decoded packets.
#[derive(Default)]
struct Mono {
    samples: Vec<f32>,
    rate_hz: u32,
    interleaved: Vec<f32>,
    last_error: Option<String>,
}

impl Mono {
    fn append(
        &mut self,
        decoder: &mut dyn AudioDecoder,
        packet: &symphonia::core::packet::Packet,
    ) -> Result<(), DecodeError> {
        let buffer = match decoder.decode(packet) {
            Ok(buffer) => buffer,
            // One damaged frame is a click, not a reason to refuse; a file of nothing else is refused at the end.
            Err(Error::DecodeError(reason)) => {
                self.last_error = Some(reason.to_owned());
                return Ok(());
            }
            Err(error) => return Err(DecodeError::Format(error.to_string())),
        };
        self.rate_hz = buffer.spec().rate();
        let channels = buffer.spec().channels().count().max(1);
        buffer.copy_to_vec_interleaved(&mut self.interleaved);
        let mixed = self
            .interleaved
            .chunks_exact(channels)
            .map(|frame| frame.iter().sum::<f32>() / channels as f32);
        self.samples.extend(mixed);
        if self.samples.len() as u64 > MAX_SECONDS * u64::from(self.rate_hz) {
            return Err(DecodeError::TooLong);
        }
        Ok(())
    }

    fn finish(self) -> Result<Pcm, DecodeError> {
        match self.last_error {
            _ if !self.samples.is_empty() => Ok(Pcm::new(self.samples, self.rate_hz)),
            Some(reason) => Err(DecodeError::Format(reason)),
            None => Err(DecodeError::NoAudio),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::super::signal::{amplitude_at, sine};
    use super::*;

    /// Converts a two-second 1 kHz tone by sox, which admins use as well.
    fn recording(extension: &str, rate_hz: u32, channels: u32) -> Vec<u8> {
        let folder = tempfile::tempdir().expect("temporary folder");
        let source = folder.path().join("source.wav");
        let target = folder.path().join(format!("target.{extension}"));
        let tone = sine(1_000.0, 0.5, 2.0, 48_000);
        std::fs::write(&source, wav::encode(&tone).expect("short audio")).expect("writable folder");
        let output = Command::new("sox")
            .arg(&source)
            .args(["-r", &rate_hz.to_string(), "-c", &channels.to_string()])
            .arg(&target)
            .output()
            .expect("this test needs sox (apt install sox libsox-fmt-mp3)");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        std::fs::read(target).expect("written by sox")
    }

    #[test]
    fn every_format_rate_and_channel_count_gives_the_same_tone() {
        for extension in ["wav", "flac", "ogg"] {
            for (rate, channels) in [(8_000, 1), (22_050, 1), (44_100, 2), (48_000, 2)] {
                let pcm = decode(recording(extension, rate, channels), extension).expect("a good file");
                assert_eq!(pcm.rate_hz(), rate, "{extension}");
                let seconds = pcm.duration().as_secs_f64();
                assert!((seconds - 2.0).abs() < 0.1, "{extension} {rate}: {seconds} s");
                let amplitude = amplitude_at(&pcm, 1_000.0);
                assert!((amplitude - 0.5).abs() < 0.03, "{extension} {rate}: {amplitude}");
            }
        }
    }

    #[test]
    fn mp3_is_read() {
        let pcm = decode(include_bytes!("testdata/tone-1khz.mp3").to_vec(), "mp3").expect("a good file");
        assert!((amplitude_at(&pcm, 1_000.0) - 0.5).abs() < 0.05);
        assert!((pcm.duration().as_secs_f64() - 1.0).abs() < 0.1);
    }

    #[test]
    fn a_wrong_extension_does_no_harm() {
        assert!(decode(recording("flac", 16_000, 1), "mp3").is_ok());
    }

    #[test]
    fn rubbish_is_an_error() {
        assert!(matches!(decode(vec![], "wav"), Err(DecodeError::Format(_))));
        assert!(matches!(
            decode(b"not audio at all".repeat(100), "mp3"),
            Err(DecodeError::Format(_) | DecodeError::NoAudio)
        ));
        let mut cut = recording("flac", 16_000, 1);
        cut.truncate(100);
        assert!(decode(cut, "flac").is_err());
    }

    #[test]
    fn an_endless_recording_is_refused() {
        let silence = Pcm::new(vec![0.0; 8_000 * 181], 8_000);
        let bytes = wav::encode(&silence).expect("three minutes");
        assert!(matches!(decode(bytes, "wav"), Err(DecodeError::TooLong)));
    }
}
