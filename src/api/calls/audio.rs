//! Speech as files: WAV at 8 kHz, mono, mu-law or 16-bit PCM, as outside IVRs play them.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::types::{AudioFormat, SecretText};
use crate::secret::Secret;
use crate::speech::{Part, Utterance};
use crate::telephony::codec::Codec;

/// Samples per second.
const RATE: u32 = 8_000;

/// An utterance as a file in base64; `None` when none was asked for. What is in it may be a password.
pub(super) fn encoded(utterance: &Utterance, format: AudioFormat) -> Option<SecretText> {
    let file = match format {
        AudioFormat::None => return None,
        AudioFormat::Mulaw => mulaw_file(utterance),
        AudioFormat::Pcm => pcm_file(utterance),
    };
    let mut text = String::with_capacity(file.len().div_ceil(3) * 4);
    STANDARD.encode_string(&*file, &mut text);
    Some(SecretText(Secret::new(text)))
}

/// An utterance as a file in mu-law.
pub(in crate::api) fn mulaw_file(utterance: &Utterance) -> Zeroizing<Vec<u8>> {
    wav(7, 1, &samples(utterance))
}

/// An utterance as a file of 16-bit samples.
pub(in crate::api) fn pcm_file(utterance: &Utterance) -> Zeroizing<Vec<u8>> {
    let mulaw = samples(utterance);
    let pcm = Zeroizing::new(Codec::Pcmu.decode(&mulaw));
    let bytes: Zeroizing<Vec<u8>> = Zeroizing::new(pcm.iter().flat_map(|sample| sample.to_le_bytes()).collect());
    wav(1, 2, &bytes)
}

/// All of it in mu-law.
fn samples(utterance: &Utterance) -> Zeroizing<Vec<u8>> {
    let count = |duration: Duration| usize::try_from(duration.as_millis() * u128::from(RATE) / 1_000).unwrap_or(0);
    // Sized once: growing would leave copies behind.
    let mut all = Zeroizing::new(Vec::with_capacity(
        count(utterance.duration()) + utterance.parts().len(),
    ));
    for part in utterance.parts() {
        match part {
            Part::Clip(clip) => all.extend_from_slice(clip.payload(Codec::Pcmu)),
            // 0xFF is zero in mu-law.
            Part::Pause(pause) => {
                let length = all.len() + count(*pause);
                all.resize(length, 0xFF);
            }
        }
    }
    all
}

/// A RIFF file (Microsoft, "Multimedia Programming Interface and Data Specifications 1.0"): formats other than PCM have a
/// `fact` chunk.
fn wav(format: u16, bytes_per_sample: u16, samples: &[u8]) -> Zeroizing<Vec<u8>> {
    let length = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX).to_le_bytes();
    let is_pcm = format == 1;
    let format_length: u32 = if is_pcm { 16 } else { 18 };
    let fact: usize = if is_pcm { 0 } else { 12 };
    let padding = samples.len() % 2;
    let riff = 4 + 8 + format_length as usize + fact + 8 + samples.len() + padding;
    let mut file = Zeroizing::new(Vec::with_capacity(8 + riff));
    file.extend_from_slice(b"RIFF");
    file.extend_from_slice(&length(riff));
    file.extend_from_slice(b"WAVEfmt ");
    file.extend_from_slice(&format_length.to_le_bytes());
    file.extend_from_slice(&format.to_le_bytes());
    file.extend_from_slice(&1_u16.to_le_bytes());
    file.extend_from_slice(&RATE.to_le_bytes());
    file.extend_from_slice(&(RATE * u32::from(bytes_per_sample)).to_le_bytes());
    file.extend_from_slice(&bytes_per_sample.to_le_bytes());
    file.extend_from_slice(&(8 * bytes_per_sample).to_le_bytes());
    if !is_pcm {
        file.extend_from_slice(&0_u16.to_le_bytes());
        file.extend_from_slice(b"fact");
        file.extend_from_slice(&4_u32.to_le_bytes());
        file.extend_from_slice(&length(samples.len() / usize::from(bytes_per_sample)));
    }
    file.extend_from_slice(b"data");
    file.extend_from_slice(&length(samples.len()));
    file.extend_from_slice(samples);
    file.resize(8 + riff, 0);
    file
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::speech::Privacy;
    use crate::telephony::codec::Clip;

    fn utterance() -> Utterance {
        let tone: Vec<i16> = (0..801).map(|n| if n % 8 < 4 { 8_000 } else { -8_000 }).collect();
        let mut utterance = Utterance::of(Clip::from_pcm(&tone), "tone", Privacy::Secret);
        utterance.push_pause(Duration::from_millis(100));
        utterance
    }

    fn file(format: AudioFormat) -> Vec<u8> {
        STANDARD
            .decode(encoded(&utterance(), format).unwrap().0.expose())
            .unwrap()
    }

    #[test]
    fn a_pcm_file_is_read_by_a_reader_of_files() {
        let file = file(AudioFormat::Pcm);
        let mut reader = hound::WavReader::new(file.as_slice()).unwrap();
        assert_eq!((reader.spec().sample_rate, reader.spec().channels), (8_000, 1));
        let samples: Vec<i16> = reader.samples().map(Result::unwrap).collect();
        assert_eq!(samples.len(), 1_601);
        assert!((7_500..8_500).contains(&samples[0]) && samples[1_000] == 0);
    }

    #[test]
    fn a_mulaw_file_has_the_lengths_that_it_says() {
        let file = file(AudioFormat::Mulaw);
        let word = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap()) as usize;
        assert_eq!(word(4) + 8, file.len());
        assert_eq!(
            (&file[..4], &file[8..16], word(16)),
            (b"RIFF".as_slice(), b"WAVEfmt ".as_slice(), 18)
        );
        assert_eq!((file[20], word(24), word(28)), (7, 8_000, 8_000));
        assert_eq!((&file[38..42], word(46)), (b"fact".as_slice(), 1_601));
        assert_eq!((&file[50..54], word(54)), (b"data".as_slice(), 1_601));
        // One byte of padding, since chunks begin at even places.
        assert_eq!(file.len(), 58 + 1_602);
    }

    #[test]
    fn nothing_is_made_that_nobody_asked_for() {
        assert!(encoded(&utterance(), AudioFormat::None).is_none());
    }
}
