//! What we receive: sequence numbers, loss and jitter (RFC 3550 appendices A.1, A.3, A.8), and SSRC changes.
//!
//! ```text
//!  first packet ──► in step ──► gap < 3000 ahead: loss        (counted by arithmetic, A.3)
//!                     │     ├─► up to 100 behind: reordered, or a duplicate (64 packet window)
//!                     │     └─► anywhere else: a jump; believed when the next packet follows it (A.1)
//!                     └───────► another SSRC: believed after two packets in sequence, then all begins again
//! ```
//!
//! The probation of appendix A.1 is left to the source latch in `media`, which guards the address before a packet
//! comes here. A change of SSRC is put on probation because a single forged packet must not reset the statistics. The
//! two packets may have others between them: some gateways send events from an SSRC of their own.

use std::time::{Duration, Instant};

use super::packet::Header;
use super::rtcp::ReportBlock;

const MAX_DROPOUT: u16 = 3_000;
const MAX_MISORDER: u16 = 100;
/// A transit time that changes by more than this is a new time base, not jitter.
const MAX_TRANSIT_STEP_SECONDS: i64 = 1;

/// What a packet is to its stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Arrival {
    /// The first packet of a source.
    First,
    /// In order; packets before it may be missing.
    InOrder,
    /// Late, but not seen before.
    Reordered,
    /// Seen before: to be dropped.
    Duplicate,
    /// Out of step, or of an unknown source: to be dropped until more of its kind come.
    Doubtful,
}

impl Arrival {
    /// Whether the payload may be used.
    #[must_use]
    pub fn is_accepted(self) -> bool {
        matches!(self, Self::First | Self::InOrder | Self::Reordered)
    }
}

/// Totals over all sources of a session.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ReceiveStats {
    /// Packets accepted, duplicates not included.
    pub received: u64,
    /// Packets that never came; may fall again when a late one arrives.
    pub lost: u64,
    /// Packets that came late.
    pub reordered: u64,
    /// Packets that came twice.
    pub duplicates: u64,
    /// Packets dropped as out of step or of an unconfirmed source.
    pub doubtful: u64,
    /// Times that the SSRC changed.
    pub ssrc_changes: u32,
    /// Interarrival jitter (A.8).
    pub jitter: Duration,
}

/// The state of reception of one party.
#[derive(Clone, Debug)]
pub struct ReceiveStream {
    clock_rate: u32,
    source: Option<Source>,
    /// A source on probation: its SSRC and the sequence number that would confirm it.
    candidate: Option<(u32, u16)>,
    /// Totals of the sources before this one.
    past: ReceiveStats,
}

impl ReceiveStream {
    /// A stream that nothing has arrived on; `clock_rate` in timestamp units per second.
    #[must_use]
    pub fn new(clock_rate: u32) -> Self {
        Self {
            clock_rate,
            source: None,
            candidate: None,
            past: ReceiveStats::default(),
        }
    }

    /// Takes note of a packet.
    pub fn receive(&mut self, header: &Header) -> Arrival {
        let Some(source) = &mut self.source else {
            self.source = Some(Source::new(header));
            return Arrival::First;
        };
        if source.ssrc == header.ssrc {
            return source.receive(header.sequence);
        }
        if self.candidate == Some((header.ssrc, header.sequence)) {
            self.past = self.stats();
            self.past.ssrc_changes += 1;
            self.past.jitter = Duration::ZERO;
            self.source = Some(Source::new(header));
            self.candidate = None;
            return Arrival::First;
        }
        self.candidate = Some((header.ssrc, header.sequence.wrapping_add(1)));
        self.past.doubtful += 1;
        Arrival::Doubtful
    }

    /// Updates the jitter by an accepted audio packet. Telephone events must not come here: all packets of one event
    /// carry the same timestamp.
    pub fn measure(&mut self, timestamp: u32, arrival: Instant) {
        if let Some(source) = &mut self.source {
            source.jitter.measure(timestamp, arrival, self.clock_rate);
        }
    }

    /// The SSRC that is being received.
    #[must_use]
    pub fn ssrc(&self) -> Option<u32> {
        self.source.as_ref().map(|source| source.ssrc)
    }

    /// Whether the `count` packets before this one have arrived. Of another stream than the one that is being received
    /// nothing more is to be expected.
    #[must_use]
    pub fn has_all_before(&self, ssrc: u32, sequence: u16, count: u16) -> bool {
        let source = self.source.as_ref().filter(|source| source.ssrc == ssrc);
        source.is_none_or(|source| source.has_all_before(sequence, count))
    }

    /// A reception report block for an SR or RR (section 6.4.1), without the two fields about the last SR. Begins a new
    /// interval for the fraction lost.
    pub fn report_block(&mut self) -> Option<ReportBlock> {
        self.source.as_mut().map(Source::report_block)
    }

    /// Totals so far.
    #[must_use]
    pub fn stats(&self) -> ReceiveStats {
        let Some(source) = &self.source else { return self.past };
        ReceiveStats {
            received: self.past.received + source.received,
            lost: self.past.lost + u64::try_from(source.lost()).unwrap_or(0),
            reordered: self.past.reordered + source.reordered,
            duplicates: self.past.duplicates + source.duplicates,
            doubtful: self.past.doubtful + source.doubtful,
            ssrc_changes: self.past.ssrc_changes,
            jitter: source.jitter.as_duration(self.clock_rate),
        }
    }
}

/// Sequence state of one SSRC; the names are those of appendix A.1.
#[derive(Clone, Debug)]
struct Source {
    ssrc: u32,
    base_seq: u16,
    max_seq: u16,
    cycles: u32,
    /// The number that would confirm a jump; `None` when in step.
    bad_seq: Option<u16>,
    /// Which of the last 64 numbers were seen; bit 0 is `max_seq`.
    seen: u64,
    received: u64,
    reordered: u64,
    duplicates: u64,
    doubtful: u64,
    /// Lost before the last jump.
    lost_before: i64,
    /// Received before the last jump.
    received_before: u64,
    expected_prior: u64,
    received_prior: u64,
    jitter: Jitter,
}

impl Source {
    fn new(header: &Header) -> Self {
        Self {
            ssrc: header.ssrc,
            base_seq: header.sequence,
            max_seq: header.sequence,
            cycles: 0,
            bad_seq: None,
            seen: 1,
            received: 1,
            reordered: 0,
            duplicates: 0,
            doubtful: 0,
            lost_before: 0,
            received_before: 0,
            expected_prior: 0,
            received_prior: 0,
            jitter: Jitter::default(),
        }
    }

    fn receive(&mut self, sequence: u16) -> Arrival {
        let ahead = sequence.wrapping_sub(self.max_seq);
        if ahead == 0 {
            self.duplicates += 1;
            return Arrival::Duplicate;
        }
        if ahead < MAX_DROPOUT {
            if sequence < self.max_seq {
                self.cycles = self.cycles.wrapping_add(1);
            }
            self.max_seq = sequence;
            self.seen = self.seen.checked_shl(u32::from(ahead)).unwrap_or(0) | 1;
            self.bad_seq = None;
            self.received += 1;
            return Arrival::InOrder;
        }
        let behind = self.max_seq.wrapping_sub(sequence);
        if behind <= MAX_MISORDER {
            return self.receive_late(behind);
        }
        if self.bad_seq == Some(sequence) {
            self.restart(sequence);
            return Arrival::InOrder;
        }
        self.bad_seq = Some(sequence.wrapping_add(1));
        self.doubtful += 1;
        Arrival::Doubtful
    }

    /// Whether the `count` packets before a number have arrived, as far as can be told.
    fn has_all_before(&self, sequence: u16, count: u16) -> bool {
        (1..=count).map(|back| sequence.wrapping_sub(back)).all(|number| {
            let is_first = number.wrapping_sub(self.base_seq).cast_signed() < 0;
            let behind = u32::from(self.max_seq.wrapping_sub(number));
            is_first || 1u64.checked_shl(behind).is_none_or(|bit| self.seen & bit != 0)
        })
    }

    fn receive_late(&mut self, behind: u16) -> Arrival {
        // Older than the window: whether it was seen cannot be told, and it is far too late to be of use.
        let Some(bit) = 1u64.checked_shl(u32::from(behind)) else {
            self.doubtful += 1;
            return Arrival::Doubtful;
        };
        if self.seen & bit != 0 {
            self.duplicates += 1;
            return Arrival::Duplicate;
        }
        self.seen |= bit;
        self.received += 1;
        self.reordered += 1;
        Arrival::Reordered
    }

    /// The far end restarted without telling (A.1): two packets in sequence far from where we were.
    fn restart(&mut self, sequence: u16) {
        self.lost_before = self.lost();
        self.received_before = self.received;
        self.base_seq = sequence;
        self.max_seq = sequence;
        self.cycles = 0;
        self.bad_seq = None;
        self.seen = 1;
        self.received += 1;
        self.expected_prior = 0;
        self.received_prior = 0;
        self.jitter.forget_transit();
    }

    fn extended_max(&self) -> u32 {
        (self.cycles << 16) | u32::from(self.max_seq)
    }

    /// Packets expected since the last jump.
    fn expected(&self) -> u64 {
        u64::from(self.extended_max().wrapping_sub(u32::from(self.base_seq))) + 1
    }

    /// Packets that never came; negative when packets before the first one came late.
    fn lost(&self) -> i64 {
        let received = self.received - self.received_before;
        self.lost_before + self.expected().cast_signed() - received.cast_signed()
    }

    /// Appendix A.3.
    fn report_block(&mut self) -> ReportBlock {
        let expected = self.expected();
        let received = self.received - self.received_before;
        let expected_interval = expected.saturating_sub(self.expected_prior);
        let lost_interval = expected_interval.saturating_sub(received.saturating_sub(self.received_prior));
        self.expected_prior = expected;
        self.received_prior = received;
        let fraction = (lost_interval << 8).checked_div(expected_interval).unwrap_or(0);
        ReportBlock {
            ssrc: self.ssrc,
            fraction_lost: u8::try_from(fraction).unwrap_or(u8::MAX),
            cumulative_lost: i32::try_from(self.lost().clamp(-0x80_0000, 0x7f_ffff)).unwrap_or(0),
            highest_sequence: self.extended_max(),
            jitter: self.jitter.as_units(),
            last_sr: 0,
            delay_since_last_sr: 0,
        }
    }
}

/// Appendix A.8, in integers.
#[derive(Clone, Copy, Debug, Default)]
struct Jitter {
    /// Time and RTP timestamp of the packet before.
    last: Option<(Instant, u32)>,
    /// Times 16.
    scaled: u32,
}

impl Jitter {
    fn measure(&mut self, timestamp: u32, arrival: Instant, clock_rate: u32) {
        let last = self.last.replace((arrival, timestamp));
        let Some((last_arrival, last_timestamp)) = last else {
            return;
        };
        let elapsed = to_units(arrival.saturating_duration_since(last_arrival), clock_rate)
            - to_units(last_arrival.saturating_duration_since(arrival), clock_rate);
        let sent = i64::from(timestamp.wrapping_sub(last_timestamp).cast_signed());
        let difference = (elapsed - sent).abs();
        if difference > MAX_TRANSIT_STEP_SECONDS * i64::from(clock_rate) {
            return;
        }
        // At most one second of units: fits.
        let difference = difference as u32;
        self.scaled = self.scaled + difference - ((self.scaled + 8) >> 4);
    }

    fn forget_transit(&mut self) {
        self.last = None;
    }

    fn as_units(self) -> u32 {
        self.scaled >> 4
    }

    fn as_duration(self, clock_rate: u32) -> Duration {
        Duration::from_micros(u64::from(self.scaled) * 1_000_000 / 16 / u64::from(clock_rate.max(1)))
    }
}

fn to_units(duration: Duration, clock_rate: u32) -> i64 {
    let units = duration.as_micros() * u128::from(clock_rate) / 1_000_000;
    i64::try_from(units).unwrap_or(i64::MAX / 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(ssrc: u32, sequence: u16) -> Header {
        Header {
            ssrc,
            sequence,
            ..Header::default()
        }
    }

    fn stream_at(sequence: u16) -> ReceiveStream {
        let mut stream = ReceiveStream::new(8_000);
        assert_eq!(stream.receive(&header(1, sequence)), Arrival::First);
        stream
    }

    #[test]
    fn a_gap_is_loss_and_a_late_packet_takes_it_back() {
        let mut stream = stream_at(10);
        assert_eq!(stream.receive(&header(1, 13)), Arrival::InOrder);
        assert_eq!(stream.stats().lost, 2);
        assert_eq!(stream.receive(&header(1, 11)), Arrival::Reordered);
        assert_eq!(stream.receive(&header(1, 11)), Arrival::Duplicate);
        assert_eq!(stream.receive(&header(1, 13)), Arrival::Duplicate);
        let stats = stream.stats();
        assert_eq!(
            (stats.received, stats.lost, stats.reordered, stats.duplicates),
            (3, 1, 1, 2)
        );
    }

    #[test]
    fn the_sequence_wraps() {
        let mut stream = stream_at(65_534);
        for sequence in [65_535, 0, 1] {
            assert_eq!(stream.receive(&header(1, sequence)), Arrival::InOrder);
        }
        assert_eq!(stream.stats().lost, 0);
        assert_eq!(stream.report_block().expect("a source").highest_sequence, 0x1_0001);
    }

    #[test]
    fn a_jump_is_believed_only_when_the_next_packet_follows_it() {
        let mut stream = stream_at(10);
        assert_eq!(stream.receive(&header(1, 30_000)), Arrival::Doubtful);
        assert_eq!(stream.receive(&header(1, 11)), Arrival::InOrder);
        assert_eq!(stream.receive(&header(1, 30_001)), Arrival::Doubtful);
        assert_eq!(stream.receive(&header(1, 30_002)), Arrival::InOrder);
        assert_eq!(stream.receive(&header(1, 30_003)), Arrival::InOrder);
        assert_eq!(stream.stats().lost, 0);
    }

    #[test]
    fn another_ssrc_is_believed_after_two_packets_and_begins_again() {
        let mut stream = stream_at(10);
        stream.receive(&header(1, 12));
        assert_eq!(stream.receive(&header(2, 500)), Arrival::Doubtful);
        assert_eq!(
            stream.receive(&header(1, 13)),
            Arrival::InOrder,
            "one stray packet changes nothing"
        );
        assert_eq!(
            stream.receive(&header(3, 501)),
            Arrival::Doubtful,
            "not the same source"
        );
        assert_eq!(stream.receive(&header(2, 501)), Arrival::Doubtful);
        assert_eq!(stream.receive(&header(2, 502)), Arrival::First);
        assert_eq!(stream.ssrc(), Some(2));
        let stats = stream.stats();
        assert_eq!((stats.ssrc_changes, stats.lost, stats.received), (1, 1, 4));
    }

    #[test]
    fn the_fraction_lost_is_that_of_the_interval() {
        let mut stream = stream_at(0);
        for sequence in (1..100).filter(|sequence| sequence % 4 != 0) {
            stream.receive(&header(1, sequence));
        }
        let block = stream.report_block().expect("a source");
        assert_eq!(block.fraction_lost, (24u32 * 256 / 100) as u8);
        assert_eq!(block.cumulative_lost, 24);
        for sequence in 100..200 {
            stream.receive(&header(1, sequence));
        }
        let block = stream.report_block().expect("a source");
        assert_eq!((block.fraction_lost, block.cumulative_lost), (0, 24));
    }

    #[test]
    fn jitter_follows_appendix_a8() {
        let start = crate::time::monotonic();
        let mut jitter = Jitter::default();
        // Every second packet is 8 ms (64 units) late: the difference is always 64, so the estimate goes to 64.
        for n in 0..400u64 {
            let late = if n % 2 == 0 { 8 } else { 0 };
            jitter.measure((n * 160) as u32, start + Duration::from_millis(n * 20 + late), 8_000);
        }
        assert!((62..=64).contains(&jitter.as_units()), "{}", jitter.as_units());
    }

    #[test]
    fn a_new_time_base_is_not_jitter() {
        let start = crate::time::monotonic();
        let mut jitter = Jitter::default();
        jitter.measure(0, start, 8_000);
        jitter.measure(3_000_000_000, start + Duration::from_millis(20), 8_000);
        jitter.measure(3_000_000_160, start + Duration::from_millis(40), 8_000);
        assert_eq!(jitter.as_units(), 0);
    }
}
