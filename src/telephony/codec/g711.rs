//! ITU-T G.711: mu-law and A-law, bit exact with the reference of ITU-T G.191.
//!
//! Both laws cut the magnitude into a sign, a segment (the exponent, 3 bits) and a position in the segment (4 bits).
//! Decoding is a look-up in a table computed at compile time; encoding finds the segment from the leading zeros.
//!
//! ```text
//!   bit   7      6 5 4      3 2 1 0
//!       sign | segment |  position        mu-law: all bits inverted on the line
//!                                         A-law:  even bits inverted (xor 0x55)
//! ```

/// Added to the 14-bit magnitude in mu-law so that every segment begins at a power of two (G.711 table 2).
const ULAW_BIAS: u16 = 33;

/// Encodes a 16-bit sample in mu-law; the two lowest bits are below its resolution.
#[must_use]
pub const fn encode_ulaw(sample: i16) -> u8 {
    let magnitude = (one_complement(sample) >> 2) + ULAW_BIAS;
    let magnitude = if magnitude > 0x1fff { 0x1fff } else { magnitude };
    // 33 has its highest bit at position 5: that is segment 0.
    let segment = 10 - magnitude.leading_zeros();
    let position = (magnitude >> (segment + 1)) & 0x0f;
    let code = !((segment as u8) << 4 | position as u8) & 0x7f;
    if sample < 0 { code } else { code | 0x80 }
}

/// Encodes a 16-bit sample in A-law; the four lowest bits are below its resolution.
#[must_use]
pub const fn encode_alaw(sample: i16) -> u8 {
    let magnitude = one_complement(sample) >> 4;
    // Segments 0 and 1 share one step size, so segment 0 has no implied leading bit.
    let code = if magnitude < 32 {
        magnitude as u8
    } else {
        let segment = 12 - magnitude.leading_zeros();
        let position = (magnitude >> (segment - 1)) & 0x0f;
        (segment as u8) << 4 | position as u8
    };
    let signed = if sample < 0 { code } else { code | 0x80 };
    signed ^ 0x55
}

/// Decodes a mu-law byte to the middle of its interval, in 16 bits.
#[must_use]
pub const fn decode_ulaw(byte: u8) -> i16 {
    ULAW[byte as usize]
}

/// Decodes an A-law byte to the middle of its interval, in 16 bits.
#[must_use]
pub const fn decode_alaw(byte: u8) -> i16 {
    ALAW[byte as usize]
}

/// The magnitude; negative samples in one's complement, as the reference has it, so that -1 is the mirror of 0.
const fn one_complement(sample: i16) -> u16 {
    (if sample < 0 { !sample } else { sample }) as u16
}

static ULAW: [i16; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = expand_ulaw(byte as u8);
        byte += 1;
    }
    table
};

static ALAW: [i16; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = expand_alaw(byte as u8);
        byte += 1;
    }
    table
};

const fn expand_ulaw(byte: u8) -> i16 {
    let code = !byte;
    let segment = (code >> 4) & 7;
    let position = (code & 0x0f) as i16;
    let magnitude = (((2 * position + 33) << segment) - ULAW_BIAS as i16) << 2;
    if byte & 0x80 == 0 { -magnitude } else { magnitude }
}

const fn expand_alaw(byte: u8) -> i16 {
    let code = byte ^ 0x55;
    let segment = (code >> 4) & 7;
    let position = (code & 0x0f) as i16;
    let magnitude = if segment == 0 {
        (position << 4) + 8
    } else {
        ((position << 4) + 0x108) << (segment - 1)
    };
    if code & 0x80 == 0 { -magnitude } else { magnitude }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The compressors of ITU-T G.191 (`g711.c`), written as they are there.
    mod g191 {
        pub(super) fn alaw_compress(sample: i16) -> u8 {
            let mut ix = i32::from(if sample < 0 { !sample } else { sample }) >> 4;
            if ix > 15 {
                let mut exponent = 1;
                while ix > 16 + 15 {
                    ix >>= 1;
                    exponent += 1;
                }
                ix = ix - 16 + (exponent << 4);
            }
            if sample >= 0 {
                ix |= 0x80;
            }
            (ix ^ 0x55) as u8
        }

        pub(super) fn ulaw_compress(sample: i16) -> u8 {
            let magnitude = (i32::from(if sample < 0 { !sample } else { sample }) >> 2) + 33;
            let magnitude = magnitude.min(0x1fff);
            let (mut rest, mut segment) = (magnitude >> 6, 1);
            while rest != 0 {
                segment += 1;
                rest >>= 1;
            }
            let code = ((8 - segment) << 4) | (0xf - ((magnitude >> segment) & 0xf));
            (if sample >= 0 { code | 0x80 } else { code }) as u8
        }
    }

    #[test]
    fn every_sample_encodes_as_in_the_itu_reference() {
        for sample in i16::MIN..=i16::MAX {
            assert_eq!(encode_ulaw(sample), g191::ulaw_compress(sample), "mu-law {sample}");
            assert_eq!(encode_alaw(sample), g191::alaw_compress(sample), "A-law {sample}");
        }
    }

    #[test]
    fn decoded_values_are_those_of_tables_1a_and_2a() {
        // Quantised values at segment borders; G.711 counts in 14 bits (mu-law, here times 4) and 13 bits (A-law, times 8).
        for (byte, value) in [
            (0x80, 8031),
            (0x8f, 4191),
            (0x9f, 2079),
            (0xef, 33),
            (0xfe, 2),
            (0xff, 0),
            (0x00, -8031),
        ] {
            assert_eq!(decode_ulaw(byte), value * 4, "mu-law {byte:#x}");
        }
        for (byte, value) in [
            (0xaa, 4032),
            (0xa5, 2112),
            (0xd5, 1),
            (0xc5, 33),
            (0x55, -1),
            (0x2a, -4032),
        ] {
            assert_eq!(decode_alaw(byte), value * 8, "A-law {byte:#x}");
        }
    }

    #[test]
    fn every_code_survives_decoding_and_encoding() {
        for byte in 0..=255 {
            assert_eq!(encode_alaw(decode_alaw(byte)), byte);
            // Mu-law has two zeros; the negative one comes back as the positive one.
            let expected = if byte == 0x7f { 0xff } else { byte };
            assert_eq!(encode_ulaw(decode_ulaw(byte)), expected);
        }
    }

    #[test]
    fn the_error_stays_within_half_a_step() {
        for sample in i16::MIN..=i16::MAX {
            let magnitude = i32::from(sample).abs();
            for decoded in [decode_ulaw(encode_ulaw(sample)), decode_alaw(encode_alaw(sample))] {
                let error = (i32::from(decoded) - i32::from(sample)).abs();
                assert!(
                    error <= 16 + magnitude / 16 || magnitude > 32_000,
                    "{sample} became {decoded}"
                );
            }
        }
    }
}
