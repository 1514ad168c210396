//! RTCP (RFC 3550 section 6): compound packets of SR or RR, SDES and BYE.
//!
//! Reading allocates nothing and follows the validity checks of appendix A.2; packets of other kinds (APP, feedback,
//! extended reports) are stepped over. A BYE says that a source stops sending; it never ends a call, because anybody
//! who can guess an address could send one.

use std::time::Duration;

use thiserror::Error;

const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
const SOURCE_DESCRIPTION: u8 = 202;
const GOODBYE: u8 = 203;

const SDES_CNAME: u8 = 1;

const BLOCK_LEN: usize = 24;

/// The largest compound packet that we build: SR with one block, a CNAME of 32 characters, BYE.
pub const MAX_LEN: usize = 128;

/// Whether a datagram on a multiplexed port is RTCP (RFC 5761 section 4): packet types 192 to 223.
#[must_use]
pub fn is_rtcp(datagram: &[u8]) -> bool {
    datagram.get(1).is_some_and(|kind| (192..=223).contains(kind))
}

/// Why a datagram is not an RTCP compound packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("not an rtcp compound packet: wrong version, first packet is no report, or lengths do not add up")]
pub struct CompoundError;

/// What a sender says about itself (section 6.4.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SenderInfo {
    /// 32.32 fixed point seconds. We send the time since the session began, as section 6.4.1 permits; no wall clock is
    /// told to strangers, and none can step.
    pub ntp: u64,
    /// The RTP timestamp of the same moment.
    pub rtp_timestamp: u32,
    /// Packets sent so far.
    pub packets: u32,
    /// Payload bytes sent so far.
    pub octets: u32,
}

/// What a receiver says about a source (section 6.4.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ReportBlock {
    /// The source that is reported on.
    pub ssrc: u32,
    /// Loss since the last report, in 1/256.
    pub fraction_lost: u8,
    /// Loss since the beginning; 24 bits, signed.
    pub cumulative_lost: i32,
    /// Cycles and highest sequence number received.
    pub highest_sequence: u32,
    /// Interarrival jitter in timestamp units.
    pub jitter: u32,
    /// Middle 32 bits of the NTP timestamp of the last SR received; 0 if none.
    pub last_sr: u32,
    /// Time since that SR, in 1/65536 s.
    pub delay_since_last_sr: u32,
}

/// A report that we send.
#[derive(Clone, Copy, Debug)]
pub struct Report<'a> {
    /// Our SSRC.
    pub ssrc: u32,
    /// Present when packets were sent since the report before (then it is an SR, otherwise an RR).
    pub sender: Option<SenderInfo>,
    /// What we received.
    pub block: Option<ReportBlock>,
    /// Our canonical name, random per call (RFC 7022); at most 32 bytes are sent.
    pub cname: &'a str,
    /// Whether we leave.
    pub goodbye: bool,
}

impl Report<'_> {
    /// Writes the compound packet and returns its length; [`MAX_LEN`] bytes always suffice, `None` if there is less
    /// room than needed.
    #[must_use]
    pub fn write(&self, buffer: &mut [u8]) -> Option<usize> {
        let mut writer = Writer { buffer, len: 0 };
        self.write_report(&mut writer)?;
        self.write_description(&mut writer)?;
        if self.goodbye {
            writer.header(1, GOODBYE, 1)?;
            writer.u32(self.ssrc)?;
        }
        Some(writer.len)
    }

    fn write_report(&self, writer: &mut Writer<'_>) -> Option<()> {
        let blocks = u8::from(self.block.is_some());
        let block_words = u16::from(blocks) * 6;
        match &self.sender {
            Some(sender) => {
                writer.header(blocks, SENDER_REPORT, 6 + block_words)?;
                writer.u32(self.ssrc)?;
                writer.u32((sender.ntp >> 32) as u32)?;
                writer.u32(sender.ntp as u32)?;
                writer.u32(sender.rtp_timestamp)?;
                writer.u32(sender.packets)?;
                writer.u32(sender.octets)?;
            }
            None => {
                writer.header(blocks, RECEIVER_REPORT, 1 + block_words)?;
                writer.u32(self.ssrc)?;
            }
        }
        let Some(block) = &self.block else { return Some(()) };
        writer.u32(block.ssrc)?;
        writer.u32(u32::from(block.fraction_lost) << 24 | block.cumulative_lost.cast_unsigned() & 0x00ff_ffff)?;
        writer.u32(block.highest_sequence)?;
        writer.u32(block.jitter)?;
        writer.u32(block.last_sr)?;
        writer.u32(block.delay_since_last_sr)
    }

    fn write_description(&self, writer: &mut Writer<'_>) -> Option<()> {
        let cname = &self.cname.as_bytes()[..self.cname.len().min(32)];
        // SSRC, item header, text, then one to four zero bytes up to a word border (section 6.5).
        let words = 1 + (2 + cname.len()) / 4 + 1;
        writer.header(1, SOURCE_DESCRIPTION, words as u16)?;
        let end = writer.len + words * 4;
        writer.u32(self.ssrc)?;
        writer.bytes(&[SDES_CNAME, cname.len() as u8])?;
        writer.bytes(cname)?;
        while writer.len < end {
            writer.bytes(&[0])?;
        }
        Some(())
    }
}

struct Writer<'b> {
    buffer: &'b mut [u8],
    len: usize,
}

impl Writer<'_> {
    fn bytes(&mut self, bytes: &[u8]) -> Option<()> {
        let end = self.len + bytes.len();
        self.buffer.get_mut(self.len..end)?.copy_from_slice(bytes);
        self.len = end;
        Some(())
    }

    fn u32(&mut self, value: u32) -> Option<()> {
        self.bytes(&value.to_be_bytes())
    }

    /// `words` is the length of the packet after this header, in 32-bit words: the value of the length field.
    fn header(&mut self, count: u8, kind: u8, words: u16) -> Option<()> {
        self.bytes(&[0x80 | count, kind])?;
        self.bytes(&words.to_be_bytes())
    }
}

/// One packet of a compound that was received.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RtcpPacket<'a> {
    /// SR.
    SenderReport {
        /// Who reports.
        ssrc: u32,
        /// About itself.
        sender: SenderInfo,
        /// About others.
        blocks: Blocks<'a>,
    },
    /// RR.
    ReceiverReport {
        /// Who reports.
        ssrc: u32,
        /// About others.
        blocks: Blocks<'a>,
    },
    /// BYE of the first source it names.
    Goodbye {
        /// Who leaves; `None` for an empty BYE.
        ssrc: Option<u32>,
    },
    /// Anything else: SDES, APP, feedback, unknown.
    Other,
}

/// The report blocks of an SR or RR, at most 31.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Blocks<'a>(&'a [u8]);

impl Iterator for Blocks<'_> {
    type Item = ReportBlock;

    fn next(&mut self) -> Option<ReportBlock> {
        let (block, rest) = self.0.split_first_chunk::<BLOCK_LEN>()?;
        self.0 = rest;
        let word = |index: usize| be_u32(block, index * 4).unwrap_or(0);
        Some(ReportBlock {
            ssrc: word(0),
            fraction_lost: block[4],
            // Sign extension of 24 bits.
            cumulative_lost: (word(1) << 8).cast_signed() >> 8,
            highest_sequence: word(2),
            jitter: word(3),
            last_sr: word(4),
            delay_since_last_sr: word(5),
        })
    }
}

/// A compound packet whose framing has been checked; iterate for its packets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Compound<'a>(&'a [u8]);

impl<'a> Compound<'a> {
    /// Checks the framing (appendix A.2).
    pub fn parse(datagram: &'a [u8]) -> Result<Self, CompoundError> {
        let first = datagram.get(1).ok_or(CompoundError)?;
        if ![SENDER_REPORT, RECEIVER_REPORT].contains(first) || datagram[0] & 0x20 != 0 {
            return Err(CompoundError);
        }
        let mut rest = datagram;
        while !rest.is_empty() {
            let (packet, after) = split_packet(rest).ok_or(CompoundError)?;
            parse_packet(packet).ok_or(CompoundError)?;
            rest = after;
        }
        Ok(Self(datagram))
    }

    /// Who reports: the SSRC of the SR or RR that comes first.
    #[must_use]
    pub fn ssrc(mut self) -> Option<u32> {
        match self.next()? {
            RtcpPacket::SenderReport { ssrc, .. } | RtcpPacket::ReceiverReport { ssrc, .. } => Some(ssrc),
            RtcpPacket::Goodbye { .. } | RtcpPacket::Other => None,
        }
    }
}

impl<'a> Iterator for Compound<'a> {
    type Item = RtcpPacket<'a>;

    fn next(&mut self) -> Option<RtcpPacket<'a>> {
        let (packet, rest) = split_packet(self.0)?;
        self.0 = rest;
        parse_packet(packet)
    }
}

/// Cuts the first packet off, by its length field.
fn split_packet(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let header = bytes.first_chunk::<4>()?;
    if header[0] >> 6 != 2 {
        return None;
    }
    let len = 4 * (usize::from(u16::from_be_bytes([header[2], header[3]])) + 1);
    bytes.split_at_checked(len)
}

/// `None` when the packet is too short for what it says it holds.
fn parse_packet(packet: &[u8]) -> Option<RtcpPacket<'_>> {
    let count = usize::from(packet[0] & 0x1f);
    match packet[1] {
        SENDER_REPORT => Some(RtcpPacket::SenderReport {
            ssrc: be_u32(packet, 4)?,
            sender: SenderInfo {
                ntp: u64::from(be_u32(packet, 8)?) << 32 | u64::from(be_u32(packet, 12)?),
                rtp_timestamp: be_u32(packet, 16)?,
                packets: be_u32(packet, 20)?,
                octets: be_u32(packet, 24)?,
            },
            blocks: Blocks(packet.get(28..28 + count * BLOCK_LEN)?),
        }),
        RECEIVER_REPORT => Some(RtcpPacket::ReceiverReport {
            ssrc: be_u32(packet, 4)?,
            blocks: Blocks(packet.get(8..8 + count * BLOCK_LEN)?),
        }),
        GOODBYE => Some(RtcpPacket::Goodbye {
            ssrc: if count == 0 { None } else { Some(be_u32(packet, 4)?) },
        }),
        _ => Some(RtcpPacket::Other),
    }
}

fn be_u32(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().copied().map(u32::from_be_bytes)
}

/// A duration as 32.32 fixed point seconds, the form of an NTP timestamp.
#[must_use]
pub fn ntp(elapsed: Duration) -> u64 {
    (elapsed.as_secs() << 32) | ((u64::from(elapsed.subsec_nanos()) << 32) / 1_000_000_000)
}

/// The middle 32 bits of an NTP timestamp: 16.16 fixed point seconds.
#[must_use]
pub fn compact_ntp(ntp: u64) -> u32 {
    (ntp >> 16) as u32
}

/// The round trip that a report block tells (section 6.4.1); `now` and the SRs are on our own NTP scale. `None` when
/// the block answers no SR or the sum is not plausible.
#[must_use]
pub fn round_trip(block: &ReportBlock, now: u64) -> Option<Duration> {
    if block.last_sr == 0 {
        return None;
    }
    let units = compact_ntp(now)
        .wrapping_sub(block.last_sr)
        .wrapping_sub(block.delay_since_last_sr);
    // More than a minute is a wrapped difference or a lie.
    (units < 60 << 16).then(|| Duration::from_micros((u64::from(units) * 1_000_000) >> 16))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BLOCK: ReportBlock = ReportBlock {
        ssrc: 0xdead_beef,
        fraction_lost: 25,
        cumulative_lost: -3,
        highest_sequence: 0x1_0002,
        jitter: 17,
        last_sr: 0x1234_5678,
        delay_since_last_sr: 0x8000,
    };
    const SENDER: SenderInfo = SenderInfo {
        ntp: 0x1_8000_0000,
        rtp_timestamp: 4_000,
        packets: 25,
        octets: 4_000,
    };

    fn written(report: &Report<'_>) -> Vec<u8> {
        let mut buffer = [0; MAX_LEN];
        let len = report.write(&mut buffer).expect("room");
        buffer[..len].to_vec()
    }

    #[test]
    fn a_sender_report_from_bytes() {
        let report = Report {
            ssrc: 0x0102_0304,
            sender: Some(SENDER),
            block: None,
            cname: "ab",
            goodbye: true,
        };
        #[rustfmt::skip]
        assert_eq!(written(&report), [
            0x80, 200, 0, 6, 1, 2, 3, 4, 0, 0, 0, 1, 0x80, 0, 0, 0, 0, 0, 0x0f, 0xa0, 0, 0, 0, 25, 0, 0, 0x0f, 0xa0,
            0x81, 202, 0, 3, 1, 2, 3, 4, 1, 2, b'a', b'b', 0, 0, 0, 0,
            0x81, 203, 0, 1, 1, 2, 3, 4,
        ]);
    }

    #[test]
    fn the_longest_report_fits_and_reads_back() {
        let cname = "c".repeat(300);
        let report = Report {
            ssrc: 7,
            sender: Some(SENDER),
            block: Some(BLOCK),
            cname: &cname,
            goodbye: true,
        };
        let bytes = written(&report);
        let packets: Vec<_> = Compound::parse(&bytes).expect("ours").collect();
        let [
            RtcpPacket::SenderReport {
                ssrc: 7,
                sender,
                mut blocks,
            },
            RtcpPacket::Other,
            goodbye,
        ] = packets[..]
        else {
            panic!("{packets:?}");
        };
        assert_eq!(sender, SENDER);
        assert_eq!((blocks.next(), blocks.next()), (Some(BLOCK), None));
        assert_eq!(goodbye, RtcpPacket::Goodbye { ssrc: Some(7) });
    }

    #[test]
    fn framing_is_checked_as_in_appendix_a2() {
        let bytes = written(&Report {
            ssrc: 7,
            sender: None,
            block: Some(BLOCK),
            cname: "x",
            goodbye: false,
        });
        assert!(Compound::parse(&bytes).is_ok());
        for len in 0..bytes.len() {
            // Cut at a border between packets it is whole again; anywhere else it is not.
            assert_eq!(Compound::parse(&bytes[..len]).is_ok(), len == 32, "cut at {len}");
        }
        for (at, value) in [(0, 0x41), (1, 202), (0, 0xa1), (0, 0x9f), (3, 200)] {
            let mut broken = bytes.clone();
            broken[at] = value;
            assert_eq!(Compound::parse(&broken), Err(CompoundError), "byte {at} = {value:#x}");
        }
    }

    #[test]
    fn round_trip_subtracts_the_delay_of_the_far_end() {
        let sent = ntp(Duration::from_millis(10_000));
        let block = ReportBlock {
            last_sr: compact_ntp(sent),
            delay_since_last_sr: 2 << 16,
            ..BLOCK
        };
        let round_trip = round_trip(&block, ntp(Duration::from_millis(12_125))).expect("plausible");
        assert!(
            round_trip.abs_diff(Duration::from_millis(125)) < Duration::from_millis(1),
            "{round_trip:?}"
        );
        let liar = ReportBlock {
            delay_since_last_sr: u32::MAX,
            ..block
        };
        assert_eq!(
            super::round_trip(&liar, ntp(Duration::from_secs(11))).map(|d| d.as_secs()),
            Some(1)
        );
        assert_eq!(super::round_trip(&ReportBlock { last_sr: 0, ..block }, sent), None);
    }

    #[test]
    fn rtp_and_rtcp_are_told_apart_on_one_port() {
        assert!(is_rtcp(&[0x80, 200]) && is_rtcp(&[0x81, 203]));
        assert!(!is_rtcp(&[0x80, 0]) && !is_rtcp(&[0x80, 0x80 | 101]) && !is_rtcp(&[0x80]));
    }

    proptest! {
        #[test]
        fn no_datagram_panics(mut datagram in proptest::collection::vec(any::<u8>(), 0..200), framed: bool) {
            if framed && datagram.len() >= 4 {
                datagram[0] = 0x80 | datagram[0] & 0x1f;
                datagram[1] = 200 + datagram[1] % 5;
                let words = (datagram.len() / 4 - 1) as u16;
                datagram[2..4].copy_from_slice(&words.to_be_bytes());
                datagram.truncate(datagram.len() / 4 * 4);
            }
            if let Ok(compound) = Compound::parse(&datagram) {
                prop_assert!(compound.count() >= 1);
            }
        }
    }
}
