//! The payload of a telephone event (RFC 4733 section 2.3).
//!
//! ```text
//!   0                   1                   2                   3
//!   0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//!  +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//!  |     event     |E|R| volume    |          duration             |
//!  +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! ```

use std::fmt;

/// Bytes of the payload.
pub const EVENT_LEN: usize = 4;

/// -10 dBm0, what telephones send.
const VOLUME: u8 = 10;

/// One report about an event.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct EventPacket {
    /// The event code; 0 to 15 are keys.
    pub event: u8,
    /// Whether the event has ended.
    pub end: bool,
    /// How long it has lasted, in timestamp units.
    pub duration: u16,
}

impl EventPacket {
    /// Reads a payload; `None` if it is too short. Volume and the reserved bit carry nothing, and bytes after the
    /// fourth (some gateways pad) are ignored.
    #[must_use]
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let &[event, flags, high, low] = payload.first_chunk::<EVENT_LEN>()?;
        Some(Self {
            event,
            end: flags & 0x80 != 0,
            duration: u16::from_be_bytes([high, low]),
        })
    }

    /// The payload.
    #[must_use]
    pub fn to_bytes(self) -> [u8; EVENT_LEN] {
        let [high, low] = self.duration.to_be_bytes();
        [self.event, if self.end { 0x80 | VOLUME } else { VOLUME }, high, low]
    }
}

/// Does not tell the key.
impl fmt::Debug for EventPacket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EventPacket(end: {}, duration: {})", self.end, self.duration)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn volume_and_reserved_bit_carry_nothing() {
        let expected = Some(EventPacket {
            event: 11,
            end: true,
            duration: 0x0320,
        });
        assert_eq!(EventPacket::parse(&[11, 0x8a, 3, 0x20]), expected);
        assert_eq!(EventPacket::parse(&[11, 0xff, 3, 0x20, 99]), expected);
        assert_eq!(EventPacket::parse(&[11, 0x8a, 3]), None);
    }

    #[test]
    fn debug_does_not_tell_the_key() {
        let packet = EventPacket {
            event: 5,
            end: false,
            duration: 160,
        };
        assert_eq!(format!("{packet:?}"), "EventPacket(end: false, duration: 160)");
    }

    proptest! {
        #[test]
        fn payloads_round_trip(event: u8, end: bool, duration: u16) {
            let packet = EventPacket { event, end, duration };
            prop_assert_eq!(EventPacket::parse(&packet.to_bytes()), Some(packet));
        }
    }
}
