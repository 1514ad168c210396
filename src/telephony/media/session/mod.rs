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

mod receiving;
mod sending;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Instant;

use rand::rngs::StdRng;
use tokio::sync::mpsc;

use super::config::{Command, HeardAudio, MediaEvent, SessionConfig, SoundDetection};
use super::keys::Keys;
use super::latch::{ControlLatch, Latch, Signalled};
use super::outgoing::Outgoing;
use super::payload::PayloadMap;
use super::record::Tap;
use super::reporter::Reporter;
use super::sound::SoundDetector;
use super::stats::SessionStats;
use crate::telephony::codec::CLOCK_RATE;
use crate::telephony::dtmf::PressOrder;
use crate::telephony::rtp::{Packet, ReceiveStream, rtcp};
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
