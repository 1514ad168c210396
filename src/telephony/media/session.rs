//! The media of one call: a state machine without sockets, threads or clock.
//!
//! ```text
//!  datagram + arrival ─► handle_datagram ─┐                 ┌─► tick ──────► packet to send
//!  command            ─► handle_command  ─┼─►  Session   ──┼─► poll_rtcp ─► report to send
//!  time               ─► tick            ─┘                 ├─► poll_event ► key, finished, lost ...
//!                                                           └─► deadline ──► when to tick next
//! ```
//!
//! Rules that hold here:
//! - One packet per packet time, on an absolute schedule: the deadline moves on by the packet time from the last
//!   deadline, never from "now". A tick that comes a whole packet time late or more skips packets, moves the timestamp
//!   on over them, and is counted; audio is delayed by it, not cut.
//! - Datagrams go in before the tick, so a key silences the prompt in the packet of the same tick.
//! - On hold nothing is sent and a playback stands still; keys are still heard and RTCP still flows.
//! - Nothing that is received ends the session. Silence is told as [`MediaEvent::MediaLost`]; who owns the call decides.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use tokio::sync::mpsc;

use super::config::{Command, FirstSend, HeardAudio, MediaEvent, SessionConfig, SoundDetection};
use super::keys::{KeyNews, Keys};
use super::latch::{Admission, ControlLatch, Latch, Signalled};
use super::outgoing::{Outgoing, Sent};
use super::payload::{PayloadKind, PayloadMap};
use super::playlist::OnKey;
use super::record::Tap;
use super::reporter::Reporter;
use super::sound::SoundDetector;
use super::stats::SessionStats;
use crate::digit::Digit;
use crate::telephony::codec::{CLOCK_RATE, Codec, samples_per};
use crate::telephony::dtmf::{EventPacket, OVERTAKEN, OrderedPress, PressOrder, PressSource};
use crate::telephony::rtp::redundancy::{Block, RedundantBlocks, RedundantPayload};
use crate::telephony::rtp::{Header, Packet, ReceiveStream, rtcp};
use crate::telephony::sdp::{MAX_PACKET_TIME, MIN_PACKET_TIME, Negotiated};

/// Events that wait to be polled; more than can happen in one packet time by honest means.
const MAX_EVENTS: usize = 64;
/// SSRC collisions that are answered by a change of ours; after that somebody is playing games.
const MAX_SSRC_CHANGES: u32 = 8;
/// Room for the largest packet that [`Session::tick`] builds: 60 ms.
pub const MAX_PACKET_LEN: usize = 512;

/// Which of the two sockets of a session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Port {
    /// RTP, and RTCP when multiplexed.
    Rtp,
    /// RTCP.
    Rtcp,
}

/// A packet that was written into the caller's buffer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Transmit {
    /// From which socket.
    pub port: Port,
    /// Where to.
    pub to: SocketAddr,
    /// How many bytes of the buffer.
    pub len: usize,
}

/// The media of one call.
#[derive(Debug)]
pub struct Session {
    config: SessionConfig,
    /// What was agreed last.
    agreed: Negotiated,
    payloads: PayloadMap,
    latch: Latch,
    control: ControlLatch,
    outgoing: Outgoing,
    incoming: ReceiveStream,
    keys: Keys,
    order: PressOrder,
    reporter: Reporter,
    sound: Option<SoundDetector>,
    tap: Option<Box<Tap>>,
    listener: Option<mpsc::Sender<HeardAudio>>,
    deadline: Instant,
    last_life: Instant,
    lost_told: bool,
    /// The last packet was comfort noise: the far end is silent on purpose.
    comfort: bool,
    ssrc_changes: u32,
    /// Our SSRC before a collision, until its BYE is sent.
    left_ssrc: Option<u32>,
    told: VecDeque<MediaEvent>,
    stats: SessionStats,
    rng: StdRng,
}

impl Session {
    /// A session that sends its first packet at `first_tick`.
    #[must_use]
    pub fn new(config: SessionConfig, agreed: Negotiated, first_tick: Instant, mut rng: StdRng) -> Self {
        let agreed = bounded(agreed);
        Self {
            payloads: PayloadMap::new(&agreed),
            latch: Latch::new(signalled(&agreed), config.pinned.clone(), config.signaller, first_tick),
            control: ControlLatch::new(agreed.remote_rtcp),
            outgoing: Outgoing::new(&mut rng),
            incoming: ReceiveStream::new(CLOCK_RATE),
            keys: Keys::new(config.key_moment),
            order: PressOrder::default(),
            reporter: Reporter::new(first_tick, &mut rng),
            sound: (config.sound_detection == SoundDetection::On).then(SoundDetector::default),
            tap: None,
            listener: None,
            deadline: first_tick,
            last_life: first_tick,
            lost_told: false,
            comfort: false,
            ssrc_changes: 0,
            left_ssrc: None,
            told: VecDeque::new(),
            stats: SessionStats::default(),
            config,
            agreed,
            rng,
        }
    }

    /// When to tick next.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Takes a datagram that arrived at one of the two sockets.
    pub fn handle_datagram(&mut self, port: Port, from: SocketAddr, datagram: &[u8], arrival: Instant) {
        if port == Port::Rtcp || (self.agreed.rtcp_mux && rtcp::is_rtcp(datagram)) {
            self.handle_rtcp(from, datagram, arrival);
        } else if let Ok(packet) = Packet::parse(datagram) {
            self.handle_rtp(from, &packet, arrival);
        } else {
            self.stats.invalid += 1;
            self.latch.show_life(from, arrival);
        }
    }

    /// Does what it is asked to.
    pub fn handle_command(&mut self, command: Command, now: Instant) {
        match command {
            Command::Play(id, playlist) => {
                let stopped = self.outgoing.play(id, playlist);
                self.tell_all(stopped);
            }
            Command::Stop => {
                let stopped = self.outgoing.stop();
                self.tell_all(stopped);
            }
            Command::Press { digit, on, off } => self.press(digit, on, off),
            Command::InfoDigit(digit) => {
                let news = self.keys.info(digit, now);
                self.take_key(news, now, None);
            }
            Command::Reconfigure(agreed) => self.reconfigure(*agreed, now),
            Command::Record(tap) => self.set_tap(tap),
            Command::Listen(listener) => self.listener = Some(listener),
        }
    }

    /// Runs the packet time that is due and writes its packet into `buffer`, which must hold [`MAX_PACKET_LEN`] bytes.
    /// Moves the deadline on. To be called when [`Self::deadline`] has come.
    pub fn tick(&mut self, now: Instant, buffer: &mut [u8]) -> Option<Transmit> {
        self.catch_up(now);
        let due = self.deadline;
        self.deadline = due + self.agreed.packet_time;
        self.watch_life(now);
        if let Some((news, header)) = self.keys.tick(now, self.agreed.packet_time) {
            self.take_key(news, now, Some(&header));
        }
        self.tell_keys(now);
        let ended = self.sound.as_mut().and_then(|sound| sound.tick(now));
        self.tell_all(ended);
        let transmit = self.send(due, buffer);
        let samples = self.samples();
        self.outgoing.advance(samples);
        transmit
    }

    /// Writes an RTCP report into `buffer` if it is time for one.
    pub fn poll_rtcp(&mut self, now: Instant, buffer: &mut [u8]) -> Option<Transmit> {
        if let Some(ssrc) = self.left_ssrc.take() {
            return self.leave(ssrc, buffer);
        }
        if !self.reporter.is_due(now, &mut self.rng) {
            return None;
        }
        self.write_rtcp(now, buffer, false)
    }

    /// Writes the RTCP BYE with which a session ends.
    pub fn goodbye(&mut self, now: Instant, buffer: &mut [u8]) -> Option<Transmit> {
        self.write_rtcp(now, buffer, true)
    }

    /// What there is to tell; `None` when everything was told.
    pub fn poll_event(&mut self) -> Option<MediaEvent> {
        self.told.pop_front()
    }

    /// Counts events that the driver could not deliver.
    pub fn count_undelivered(&mut self) {
        self.stats.events_dropped = self.stats.events_dropped.saturating_add(1);
    }

    /// Counts an error of a socket. ICMP errors come this way; they end nothing.
    pub fn count_socket_error(&mut self) {
        self.stats.socket_errors += 1;
    }

    /// Figures so far.
    #[must_use]
    pub fn stats(&self) -> SessionStats {
        SessionStats {
            received: self.incoming.stats(),
            remote: self.latch.current(),
            latch_changes: self.latch.changes(),
            record_dropped: self.stats.record_dropped + self.tap.as_ref().map_or(0, |tap| tap.dropped()),
            ..self.stats
        }
    }

    // ---- receiving ----

    fn handle_rtp(&mut self, from: SocketAddr, packet: &Packet<'_>, arrival: Instant) {
        if self.payloads.kind(packet.header.payload_type) != PayloadKind::Redundant {
            return self.handle_payload(from, packet, RedundantBlocks::default(), arrival);
        }
        let Ok(RedundantPayload { primary, redundant }) = RedundantPayload::parse(packet.payload) else {
            self.stats.invalid += 1;
            return self.latch.show_life(from, arrival);
        };
        let header = Header {
            payload_type: primary.payload_type,
            ..packet.header
        };
        let packet = Packet {
            header,
            payload: primary.payload,
        };
        self.handle_payload(from, &packet, redundant, arrival);
    }

    /// Takes a packet that is what it would be without redundancy, and what it repeats of packets before.
    fn handle_payload(
        &mut self,
        from: SocketAddr,
        packet: &Packet<'_>,
        redundant: RedundantBlocks<'_>,
        arrival: Instant,
    ) {
        let header = &packet.header;
        let kind = self.payloads.kind(header.payload_type);
        if matches!(kind, PayloadKind::Unknown | PayloadKind::Redundant) {
            self.handle_unknown(from, header, arrival);
            return;
        }
        match self.latch.admit(from, header, arrival) {
            Admission::Taken => {}
            Admission::TakenFromAnotherHost => {
                self.stats.host_changes = self.stats.host_changes.saturating_add(1);
                self.tell(MediaEvent::AnotherHost(from.ip()));
            }
            Admission::TurnedAway => {
                self.stats.strangers += 1;
                return;
            }
        }
        self.avoid_collision(header.ssrc);
        if !self.incoming.receive(header).is_accepted() {
            return;
        }
        self.show_life(arrival);
        self.comfort = kind == PayloadKind::ComfortNoise;
        redundant.for_each(|block| self.handle_redundant(header, block, arrival));
        match kind {
            PayloadKind::Audio(codec) => {
                self.incoming.measure(header.timestamp, arrival);
                if let Some(tap) = &mut self.tap {
                    tap.received(arrival, header, codec, packet.payload);
                }
                self.hand_over(codec, packet.payload, arrival);
                let began = self
                    .sound
                    .as_mut()
                    .and_then(|sound| sound.hear(codec, packet.payload, arrival));
                self.tell_all(began);
            }
            PayloadKind::TelephoneEvent => self.handle_event(packet, arrival),
            PayloadKind::ComfortNoise => self.stats.comfort_noise += 1,
            PayloadKind::Redundant | PayloadKind::Unknown => {}
        }
    }

    /// A listener that is too slow misses packets; the call does not wait for it.
    fn hand_over(&mut self, codec: Codec, payload: &[u8], at: Instant) {
        let Some(listener) = &self.listener else { return };
        if listener
            .try_send(HeardAudio {
                at,
                codec,
                payload: payload.into(),
            })
            .is_err()
        {
            self.count_undelivered();
        }
    }

    /// Never played, and proof of nothing about who sent it. From where media comes anyway it is a packet like others, such
    /// as those that keep a NAT open (RFC 6263 section 4.6).
    fn handle_unknown(&mut self, from: SocketAddr, header: &Header, arrival: Instant) {
        self.stats.unknown_payloads += 1;
        self.latch.show_life(from, arrival);
        if self.latch.is_current(from)
            && self.incoming.ssrc() == Some(header.ssrc)
            && self.incoming.receive(header).is_accepted()
        {
            self.show_life(arrival);
        }
    }

    fn handle_event(&mut self, packet: &Packet<'_>, arrival: Instant) {
        let Some(event) = EventPacket::parse(packet.payload) else {
            self.stats.invalid += 1;
            return;
        };
        let news = self.keys.event(&packet.header, event, arrival);
        let told = news.into_iter().flatten();
        told.for_each(|news| self.take_key(news, arrival, Some(&packet.header)));
    }

    /// What packets before have carried: keys that were lost count, audio is gone.
    fn handle_redundant(&mut self, header: &Header, block: Block<'_>, arrival: Instant) {
        if self.payloads.kind(block.payload_type) != PayloadKind::TelephoneEvent || block.payload.is_empty() {
            return;
        }
        let Some(event) = EventPacket::parse(block.payload) else {
            self.stats.invalid += 1;
            return;
        };
        let header = Header {
            marker: false,
            payload_type: block.payload_type,
            sequence: header.sequence.wrapping_sub(block.back.into()),
            timestamp: header.timestamp.wrapping_sub(block.timestamp_offset.into()),
            ssrc: header.ssrc,
        };
        let news = self.keys.redundant_event(&header, event, arrival);
        let told = news.into_iter().flatten();
        told.for_each(|news| self.take_key(news, arrival, Some(&header)));
    }

    /// A key is told once, however many ways it came; `event` is the header of the packet that told of it. It silences a
    /// prompt at once, also while it waits for its turn.
    fn take_key(&mut self, news: KeyNews, at: Instant, event: Option<&Header>) {
        if let Some(tap) = &mut self.tap {
            match news {
                KeyNews::Counts(..) => tap.key(at),
                KeyNews::Merged | KeyNews::Sounding => tap.key_held(at),
            }
        }
        let (digit, source) = match news {
            KeyNews::Counts(digit, source) => (digit, source),
            KeyNews::Merged => {
                self.stats.digits_merged = self.stats.digits_merged.saturating_add(1);
                return;
            }
            KeyNews::Sounding => return,
        };
        let count = match source {
            PressSource::Event => &mut self.stats.digits_by_event,
            PressSource::Info => &mut self.stats.digits_by_info,
        };
        *count = count.saturating_add(1);
        match event {
            Some(&Header { ssrc, sequence, .. }) => {
                self.order.press(OrderedPress {
                    digit,
                    at,
                    ssrc,
                    sequence,
                });
                self.tell_keys(at);
            }
            None => self.tell(MediaEvent::DigitPressed(digit, at)),
        }
        if self
            .outgoing
            .player()
            .is_some_and(|player| player.on_key() == OnKey::Stop)
        {
            let stopped = self.outgoing.stop();
            self.tell_all(stopped);
        }
    }

    /// Tells the keys whose turn has come.
    fn tell_keys(&mut self, now: Instant) {
        let incoming = &self.incoming;
        let is_complete = |press: &OrderedPress| incoming.has_all_before(press.ssrc, press.sequence, OVERTAKEN);
        while let Some(press) = self.order.poll(now, is_complete) {
            push_event(
                &mut self.told,
                &mut self.stats.events_dropped,
                MediaEvent::DigitPressed(press.digit, press.at),
            );
        }
    }

    fn handle_rtcp(&mut self, from: SocketAddr, datagram: &[u8], arrival: Instant) {
        let Ok(compound) = rtcp::Compound::parse(datagram) else {
            self.stats.invalid += 1;
            return;
        };
        let is_of_stream = self.incoming.ssrc().is_some() && compound.ssrc() == self.incoming.ssrc();
        if !self.control.admit(&self.latch, from, is_of_stream) {
            self.stats.strangers += 1;
            return;
        }
        self.latch.show_life_of_host(from.ip(), arrival);
        self.show_life(arrival);
        let ours = self.outgoing.stream.ssrc();
        let theirs = self.reporter.receive(compound, ours, arrival, &mut self.stats);
        theirs.into_iter().for_each(|ssrc| self.avoid_collision(ssrc));
    }

    /// RFC 3550 section 8.2: the far end chose our SSRC. We take another one, and say BYE for the old.
    fn avoid_collision(&mut self, theirs: u32) {
        if theirs == self.outgoing.stream.ssrc() && self.ssrc_changes < MAX_SSRC_CHANGES {
            self.ssrc_changes += 1;
            self.outgoing.stream.change_ssrc(&mut self.rng);
            self.left_ssrc = Some(theirs);
        }
    }

    fn show_life(&mut self, at: Instant) {
        self.last_life = self.last_life.max(at);
        self.lost_told = false;
    }

    // ---- sending ----

    /// Skips the packet times that have passed whole.
    fn catch_up(&mut self, now: Instant) {
        let late = now.saturating_duration_since(self.deadline);
        self.stats.max_lateness = self.stats.max_lateness.max(late);
        let missed = late.as_nanos() / self.agreed.packet_time.as_nanos().max(1);
        if missed == 0 {
            return;
        }
        let missed = u32::try_from(missed).unwrap_or(u32::MAX);
        self.stats.late_ticks = self.stats.late_ticks.saturating_add(1);
        self.stats.skipped_packets += u64::from(missed);
        self.deadline += self.agreed.packet_time.saturating_mul(missed);
        self.outgoing.advance(self.samples().wrapping_mul(missed));
        self.outgoing.pause();
    }

    fn send(&mut self, due: Instant, buffer: &mut [u8]) -> Option<Transmit> {
        let Some(to) = self.target() else {
            self.outgoing.pause();
            return None;
        };
        let samples = samples_per(self.agreed.packet_time);
        let told = &mut self.told;
        let dropped = &mut self.stats.events_dropped;
        let sent = self
            .outgoing
            .next_packet(&self.payloads, self.config.silence, samples, buffer, |event| {
                push_event(told, dropped, event);
            })?;
        self.stats.sent += 1;
        self.record_sent(sent, due, buffer);
        Some(Transmit {
            port: Port::Rtp,
            to,
            len: sent.packet_len(),
        })
    }

    fn record_sent(&mut self, sent: Sent, due: Instant, buffer: &[u8]) {
        let Some(tap) = &mut self.tap else { return };
        match sent {
            Sent::Audio { codec, len, privacy } => {
                let packet_len = sent.packet_len();
                tap.sent(due, codec, &buffer[packet_len - len..packet_len], privacy);
            }
            Sent::Event { first: true } => tap.key(due),
            Sent::Event { first: false } => {}
        }
    }

    /// Where audio goes now; `None` on hold, while nothing is known, or while the far end must be heard first.
    fn target(&self) -> Option<SocketAddr> {
        let waits = self.config.first_send == FirstSend::AfterHearing && !self.latch.is_heard();
        if waits || self.agreed.is_on_hold() {
            return None;
        }
        self.latch.current()
    }

    fn write_rtcp(&mut self, now: Instant, buffer: &mut [u8], goodbye: bool) -> Option<Transmit> {
        if self.config.first_send == FirstSend::AfterHearing && !self.latch.is_heard() {
            return None;
        }
        let (port, to) = self.rtcp_target()?;
        let len = self
            .reporter
            .write(buffer, &self.outgoing.stream, &mut self.incoming, goodbye, now)?;
        self.stats.rtcp_sent += 1;
        Some(Transmit { port, to, len })
    }

    fn leave(&mut self, ssrc: u32, buffer: &mut [u8]) -> Option<Transmit> {
        let (port, to) = self.rtcp_target()?;
        let len = self.reporter.leave(buffer, ssrc)?;
        self.stats.rtcp_sent += 1;
        Some(Transmit { port, to, len })
    }

    fn rtcp_target(&self) -> Option<(Port, SocketAddr)> {
        self.agreed.remote_rtp?; // on hold in the old way: not even RTCP (RFC 3264 section 8.4)
        let rtp = self.latch.current()?;
        if self.agreed.rtcp_mux {
            return Some((Port::Rtp, rtp));
        }
        self.control.target(rtp).map(|to| (Port::Rtcp, to))
    }

    fn press(&mut self, digit: Digit, on: Duration, off: Duration) {
        let sent = self.payloads.sent_event().is_some() && self.outgoing.press(digit, on, off).is_ok();
        self.stats.keys_not_sent = self.stats.keys_not_sent.saturating_add(u32::from(!sent));
    }

    fn samples(&self) -> u32 {
        u32::try_from(samples_per(self.agreed.packet_time)).unwrap_or(0)
    }

    // ---- both ----

    fn reconfigure(&mut self, agreed: Negotiated, now: Instant) {
        let agreed = bounded(agreed);
        self.payloads = PayloadMap::new(&agreed);
        self.latch.retarget(signalled(&agreed), now);
        self.control = ControlLatch::new(agreed.remote_rtcp);
        self.agreed = agreed;
        self.last_life = now;
        self.lost_told = false;
        self.comfort = false;
    }

    fn set_tap(&mut self, tap: Option<Box<Tap>>) {
        if let Some(old) = std::mem::replace(&mut self.tap, tap) {
            self.stats.record_dropped += old.dropped();
        }
    }

    /// No sign of life for the time-out, while the far end is meant to send. After comfort noise it is not (RFC 3389
    /// section 4): how long a caller may be silent is for the flow to say.
    fn watch_life(&mut self, now: Instant) {
        if !signalled(&self.agreed).expects_media || self.comfort {
            self.last_life = now;
        } else if !self.lost_told && now.saturating_duration_since(self.last_life) >= self.config.media_timeout {
            self.lost_told = true;
            self.tell(MediaEvent::MediaLost);
        }
    }

    fn tell(&mut self, event: MediaEvent) {
        push_event(&mut self.told, &mut self.stats.events_dropped, event);
    }

    fn tell_all(&mut self, events: Option<MediaEvent>) {
        events.into_iter().for_each(|event| self.tell(event));
    }
}

/// Packet times outside the bounds would not fit the driver's wheel or the packet buffer.
fn bounded(agreed: Negotiated) -> Negotiated {
    Negotiated {
        packet_time: agreed.packet_time.clamp(MIN_PACKET_TIME, MAX_PACKET_TIME),
        ..agreed
    }
}

/// On hold nothing need come, whichever way was agreed: a telephone that offers music often has none.
fn signalled(agreed: &Negotiated) -> Signalled {
    Signalled {
        address: agreed.remote_rtp,
        expects_media: agreed.direction.receives() && !agreed.is_on_hold(),
    }
}

fn push_event(told: &mut VecDeque<MediaEvent>, dropped: &mut u32, event: MediaEvent) {
    if told.len() < MAX_EVENTS {
        told.push_back(event);
    } else {
        *dropped = dropped.saturating_add(1);
    }
}
