//! Our own audio files: 16-bit mono WAV, made in memory so that they can be hashed and written in one go.

use std::io::Cursor;

use super::Pcm;

/// The bytes of a WAV file with `pcm` in it. The same audio always gives the same bytes.
///
/// # Errors
/// When the audio is longer than a WAV file can say (4 GB).
pub fn encode(pcm: &Pcm) -> Result<Vec<u8>, hound::Error> {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: pcm.rate_hz(),
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut bytes = Vec::with_capacity(44 + 2 * pcm.samples().len());
    let mut writer = hound::WavWriter::new(Cursor::new(&mut bytes), spec)?;
    for sample in pcm.to_i16() {
        writer.write_sample(sample)?;
    }
    writer.finalize()?;
    Ok(bytes)
}

/// Reads what [`encode`] wrote; `None` for any other kind of file, which [`super::decode()`] may understand.
#[must_use]
pub fn decode(bytes: &[u8]) -> Option<Pcm> {
    let reader = hound::WavReader::new(bytes).ok()?;
    let spec = reader.spec();
    if spec.channels != 1 || spec.bits_per_sample != 16 || spec.sample_format != hound::SampleFormat::Int {
        return None;
    }
    let length = 2 * reader.len() as usize;
    // The reader has stopped where the samples begin; its own iterator takes ten times as long.
    let samples = reader.into_inner().get(..length)?.chunks_exact(2);
    let samples = samples.map(|pair| f32::from(i16::from_le_bytes([pair[0], pair[1]])) / 32_768.0);
    Some(Pcm::new(samples.collect(), spec.sample_rate))
}

#[cfg(test)]
mod tests {
    use super::super::signal::sine;
    use super::*;

    #[test]
    fn a_file_reads_back_as_it_was_written() {
        let pcm = Pcm::from_i16(&[0, 100, -100, 32_767, -32_768], 16_000);
        let bytes = encode(&pcm).expect("short audio");
        assert_eq!(bytes.len(), 44 + 10);
        assert_eq!(decode(&bytes), Some(pcm));
    }

    #[test]
    fn a_cut_or_foreign_file_is_not_taken() {
        let bytes = encode(&sine(440.0, 0.5, 0.1, 16_000)).expect("short audio");
        for length in [0, 3, 20, 44, 101] {
            assert!(
                decode(&bytes[..length]).is_none_or(|pcm| pcm.samples().is_empty()),
                "{length}"
            );
        }
        assert_eq!(decode(b"RIFF....WAVEjunk"), None);
    }
}
