//! Which payload type means what in this call.

use crate::telephony::codec::Codec;
use crate::telephony::sdp::{Negotiated, PayloadPair};

/// RFC 3389; static, so it may come without having been agreed.
const COMFORT_NOISE: u8 = 13;
const MAX_CODECS: usize = Codec::ALL.len();

/// What a received packet holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum PayloadKind {
    Audio(Codec),
    TelephoneEvent,
    ComfortNoise,
    Redundant,
    Unknown,
}

/// The agreed payload types, by direction.
#[derive(Clone, Copy, Debug)]
pub(super) struct PayloadMap {
    codecs: [Option<(Codec, PayloadPair)>; MAX_CODECS],
    telephone_event: Option<PayloadPair>,
    redundancy: Option<PayloadPair>,
}

impl PayloadMap {
    pub(super) fn new(negotiated: &Negotiated) -> Self {
        let mut codecs = [None; MAX_CODECS];
        for (slot, agreed) in codecs.iter_mut().zip(&negotiated.codecs) {
            *slot = Some((agreed.codec, agreed.payload));
        }
        Self {
            codecs,
            telephone_event: negotiated.telephone_event,
            redundancy: negotiated.redundancy,
        }
    }

    /// The codec that we send, with the far end's number for it.
    pub(super) fn sent_codec(&self) -> Option<(Codec, u8)> {
        self.codecs[0].map(|(codec, payload)| (codec, payload.send))
    }

    /// The far end's number for telephone events.
    pub(super) fn sent_event(&self) -> Option<u8> {
        self.telephone_event.map(|payload| payload.send)
    }

    /// What a received number means: by our numbers first. Gateways that send with the number of their own answer are
    /// understood as well, as long as we gave that number no other meaning.
    pub(super) fn kind(&self, payload_type: u8) -> PayloadKind {
        self.find(payload_type, |payload| payload.receive)
            .or_else(|| self.find(payload_type, |payload| payload.send))
            .unwrap_or(if payload_type == COMFORT_NOISE {
                PayloadKind::ComfortNoise
            } else {
                PayloadKind::Unknown
            })
    }

    fn find(&self, payload_type: u8, number: impl Fn(&PayloadPair) -> u8) -> Option<PayloadKind> {
        let codec = self
            .codecs
            .iter()
            .flatten()
            .find(|(_, payload)| number(payload) == payload_type);
        if let Some((codec, _)) = codec {
            return Some(PayloadKind::Audio(*codec));
        }
        let is_it =
            |payload: &Option<PayloadPair>| payload.as_ref().is_some_and(|payload| number(payload) == payload_type);
        if is_it(&self.telephone_event) {
            return Some(PayloadKind::TelephoneEvent);
        }
        is_it(&self.redundancy).then_some(PayloadKind::Redundant)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::telephony::sdp::{AgreedCodec, Direction};

    #[test]
    fn our_numbers_go_before_theirs() {
        let pair = |send, receive| PayloadPair { send, receive };
        let map = PayloadMap::new(&Negotiated {
            codecs: vec![
                AgreedCodec {
                    codec: Codec::Pcma,
                    payload: pair(101, 8),
                },
                AgreedCodec {
                    codec: Codec::Pcmu,
                    payload: pair(0, 0),
                },
            ],
            telephone_event: Some(pair(96, 101)),
            redundancy: Some(pair(121, 121)),
            remote_rtp: None,
            remote_rtcp: None,
            rtcp_mux: false,
            direction: Direction::SendRecv,
            packet_time: Duration::from_millis(20),
        });
        assert_eq!(map.sent_codec(), Some((Codec::Pcma, 101)));
        assert_eq!(map.sent_event(), Some(96));
        for (number, kind) in [
            (8, PayloadKind::Audio(Codec::Pcma)),
            (0, PayloadKind::Audio(Codec::Pcmu)),
            (101, PayloadKind::TelephoneEvent),
            (96, PayloadKind::TelephoneEvent),
            (13, PayloadKind::ComfortNoise),
            (121, PayloadKind::Redundant),
            (18, PayloadKind::Unknown),
        ] {
            assert_eq!(map.kind(number), kind, "{number}");
        }
    }
}
