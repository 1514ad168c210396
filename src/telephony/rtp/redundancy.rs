//! Redundant payloads (RFC 2198 section 3): a packet that carries what packets before it carried.
//!
//! ```text
//!  |1| payload type |  timestamp offset (14)  | length (10) |   a header of 4 bytes per redundant block, the oldest first
//!  |0| payload type |                                           one of 1 byte for the primary block
//!  | redundant block ... | ... | primary block to the end |
//! ```
//!
//! Reading allocates nothing. The redundant blocks of telephone events are copies of packets before, or what became of events
//! before (RFC 4733 section 2.6): both say what was pressed when.

use thiserror::Error;

/// Redundant blocks in a packet; RFC 4733 suggests five events.
pub const MAX_REDUNDANT_BLOCKS: usize = 16;

const LONG_HEADER: usize = 4;
const IS_REDUNDANT: u8 = 0x80;

/// Why a payload is not a redundant one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("not a redundant payload: truncated headers or blocks, or more than {MAX_REDUNDANT_BLOCKS} blocks")]
pub struct RedundancyError;

/// One block.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Block<'a> {
    /// 0 to 127.
    pub payload_type: u8,
    /// By how much its timestamp lies before that of the packet; 0 for the primary block.
    pub timestamp_offset: u16,
    /// How many packets before this one it is from, where each repeats those before it; 0 for the primary block.
    pub back: u8,
    /// May be empty.
    pub payload: &'a [u8],
}

/// The payload may be a key press: only its length is shown.
impl std::fmt::Debug for Block<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Block({}, -{}, {} bytes)",
            self.payload_type,
            self.timestamp_offset,
            self.payload.len()
        )
    }
}

/// A payload whose lengths have been checked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RedundantPayload<'a> {
    /// What the packet would carry without redundancy.
    pub primary: Block<'a>,
    /// The blocks before it.
    pub redundant: RedundantBlocks<'a>,
}

/// Redundant blocks, the oldest first.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct RedundantBlocks<'a> {
    headers: &'a [u8],
    blocks: &'a [u8],
}

impl std::fmt::Debug for RedundantBlocks<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(*self).finish()
    }
}

impl<'a> RedundantPayload<'a> {
    /// Reads a payload.
    pub fn parse(payload: &'a [u8]) -> Result<Self, RedundancyError> {
        let mut rest = payload;
        let (mut count, mut redundant_len) = (0, 0);
        while rest.first().ok_or(RedundancyError)? & IS_REDUNDANT != 0 {
            let (header, after) = rest.split_first_chunk::<LONG_HEADER>().ok_or(RedundancyError)?;
            redundant_len += block_len(*header);
            count += 1;
            rest = after;
        }
        if count > MAX_REDUNDANT_BLOCKS {
            return Err(RedundancyError);
        }
        let (payload_type, blocks) = rest.split_first().ok_or(RedundancyError)?;
        let (redundant, primary) = blocks.split_at_checked(redundant_len).ok_or(RedundancyError)?;
        Ok(Self {
            primary: Block {
                payload_type: *payload_type,
                timestamp_offset: 0,
                back: 0,
                payload: primary,
            },
            redundant: RedundantBlocks {
                headers: &payload[..count * LONG_HEADER],
                blocks: redundant,
            },
        })
    }
}

impl<'a> Iterator for RedundantBlocks<'a> {
    type Item = Block<'a>;

    fn next(&mut self) -> Option<Block<'a>> {
        let back = u8::try_from(self.headers.len() / LONG_HEADER).ok()?;
        let (header, headers) = self.headers.split_first_chunk::<LONG_HEADER>()?;
        let (payload, blocks) = self.blocks.split_at_checked(block_len(*header))?;
        *self = Self { headers, blocks };
        Some(Block {
            payload_type: header[0] & !IS_REDUNDANT,
            timestamp_offset: u16::from_be_bytes([header[1], header[2]]) >> 2,
            back,
            payload,
        })
    }
}

fn block_len(header: [u8; LONG_HEADER]) -> usize {
    usize::from(u16::from_be_bytes([header[2], header[3]]) & 0x03ff)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn write(redundant: &[(u8, u16, Vec<u8>)], primary: (u8, &[u8])) -> Vec<u8> {
        let mut payload = Vec::new();
        for (payload_type, offset, block) in redundant {
            let word = u32::from(IS_REDUNDANT | payload_type) << 24 | u32::from(*offset) << 10 | block.len() as u32;
            payload.extend(word.to_be_bytes());
        }
        payload.push(primary.0);
        redundant.iter().for_each(|(_, _, block)| payload.extend(block));
        payload.extend(primary.1);
        payload
    }

    /// As in RFC 4733: 9-1-1 is dialled, and the last packet tells all three.
    #[test]
    fn three_events_from_bytes() {
        let payload = [
            0x80 | 101,
            0x2b,
            0x40,
            0x04, // 2,768 before, 4 bytes
            0x80 | 101,
            0x15,
            0xe0,
            0x04, // 1,400 before, 4 bytes
            101,  //
            9,
            0x8a,
            0x06,
            0x40,
            1,
            0x8a,
            0x03,
            0x84,
            1,
            0x0a,
            0x01,
            0x90,
        ];
        let parsed = RedundantPayload::parse(&payload).expect("valid");
        let blocks: Vec<_> = parsed
            .redundant
            .map(|block| (block.payload_type, block.timestamp_offset, block.back, block.payload))
            .collect();
        assert_eq!(
            blocks,
            [
                (101, 2_768, 2, &[9, 0x8a, 0x06, 0x40][..]),
                (101, 1_400, 1, &[1, 0x8a, 0x03, 0x84])
            ]
        );
        assert_eq!(
            (parsed.primary.payload_type, parsed.primary.payload),
            (101, &[1, 0x0a, 1, 0x90][..])
        );
        assert!(!format!("{parsed:?}").contains("138"), "the keys are not shown");
    }

    #[test]
    fn lies_about_lengths_are_refused() {
        for payload in [
            &[][..],
            &[0x80 | 101],                            // a header that is cut off
            &[0x80 | 101, 0, 0, 0],                   // no primary block
            &[0x80 | 101, 0, 0, 5, 0, 1, 2, 3, 4],    // a block of five bytes in four
            &[0x80 | 101, 0, 3, 0xff, 0, 1, 2, 3, 4], // one of 1,023
            &[0x80; 69],                              // 17 headers
        ] {
            assert_eq!(RedundantPayload::parse(payload), Err(RedundancyError), "{payload:x?}");
        }
        let alone = RedundantPayload::parse(&[0]).expect("an empty primary block");
        assert_eq!((alone.primary.payload, alone.redundant.count()), (&[][..], 0));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            redundant in proptest::collection::vec(
                (0..128u8, 0..16_384u16, proptest::collection::vec(any::<u8>(), 0..1_024)), 0..=MAX_REDUNDANT_BLOCKS),
            payload_type in 0..128u8, primary in proptest::collection::vec(any::<u8>(), 0..400),
        ) {
            let payload = write(&redundant, (payload_type, &primary));
            let parsed = RedundantPayload::parse(&payload).expect("valid");
            let blocks: Vec<_> = parsed
                .redundant
                .map(|block| (block.payload_type, block.timestamp_offset, block.payload.to_vec()))
                .collect();
            prop_assert_eq!(blocks, redundant);
            prop_assert_eq!((parsed.primary.payload_type, parsed.primary.payload), (payload_type, &primary[..]));
        }

        #[test]
        fn no_payload_panics_and_all_of_it_is_in_a_block(payload in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(parsed) = RedundantPayload::parse(&payload) {
                let headers = parsed.redundant.count() * LONG_HEADER + 1;
                let blocks: usize = parsed.redundant.map(|block| block.payload.len()).sum();
                prop_assert_eq!(headers + blocks + parsed.primary.payload.len(), payload.len());
            }
        }
    }
}
