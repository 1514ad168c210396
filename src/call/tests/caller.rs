//! A caller: dials, listens, presses keys in one way or two, puts the call on hold, moves, hangs up, or vanishes.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::digit::Digit;
use crate::secret::Secret;
use crate::telephony::dtmf::info;
use crate::telephony::media::{Command, MediaEvent, Session, SessionConfig};
use crate::telephony::sdp::{Description, Direction, LocalMedia, Negotiator};
use crate::telephony::sip::CallEvent;
use crate::telephony::sip::endpoint::{self, CallKey};

const MS: Duration = Duration::from_millis(1);

/// How a telephone sends keys.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Way {
    Event,
    Info,
    Both,
}

/// What a caller does next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Act {
    Key(Digit),
    /// The INFO of a key whose event is on its way.
    InfoOf(Digit),
    Hold,
    Resume,
    /// Media goes on from another port.
    Move,
    HangUp,
}

/// What a caller waits for before the next act.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Waiting {
    Answer,
    Audio,
    Reinvite,
    Nothing,
}

/// One call as the caller sees it.
pub(super) struct Caller {
    /// `None` until it has dialled.
    pub(super) key: Option<CallKey>,
    /// Where its media is.
    pub(super) address: SocketAddr,
    /// What that looks like from outside.
    pub(super) seen_as: SocketAddr,
    pub(super) media: Option<Session>,
    negotiator: Negotiator,
    local: LocalMedia,
    moving_to: Option<u16>,
    way: Way,
    acts: VecDeque<Act>,
    waiting: Waiting,
    /// The last change of the session that was asked for.
    asked: Act,
    next_at: Instant,
    /// Nobody waits longer.
    patience: Instant,
    rng: StdRng,
    pub(super) is_over: bool,
}

impl Caller {
    /// Who is about to dial; gives the offer as well.
    pub(super) fn new(
        address: SocketAddr,
        is_behind_nat: bool,
        way: Way,
        acts: VecDeque<Act>,
        now: Instant,
        rng: &mut StdRng,
    ) -> (Self, String) {
        let local = LocalMedia::new(address.ip(), address.port());
        let mut negotiator = Negotiator::new(rng.random());
        let offer = negotiator.offer(&local);
        let seen_as = if is_behind_nat {
            SocketAddr::new("192.0.2.77".parse().expect("address"), address.port())
        } else {
            address
        };
        let caller = Self {
            key: None,
            address,
            seen_as,
            media: None,
            negotiator,
            local,
            moving_to: None,
            way,
            acts,
            waiting: Waiting::Answer,
            asked: Act::Resume,
            next_at: now,
            patience: now + Duration::from_secs(150),
            rng: StdRng::seed_from_u64(rng.random()),
            is_over: false,
        };
        (caller, offer)
    }

    /// The SIP side has news.
    pub(super) fn signal(&mut self, now: Instant, event: CallEvent) {
        match event {
            CallEvent::Answered { sdp } => {
                let answer = Description::parse(&sdp.expect("an answer")).expect("SDP");
                let agreed = self.negotiator.accept(&answer).expect("suits us");
                let first_tick = now + self.rng.random_range(0..20) * MS;
                let rng = StdRng::seed_from_u64(self.rng.random());
                self.media = Some(Session::new(SessionConfig::default(), agreed, first_tick, rng));
                self.waiting = Waiting::Audio;
                self.next_at = now;
            }
            CallEvent::ReinviteAnswered { sdp } => {
                let answer = Description::parse(&sdp.expect("an answer")).expect("SDP");
                let agreed = self.negotiator.accept(&answer).expect("suits us");
                if let Some(media) = &mut self.media {
                    media.handle_command(Command::Reconfigure(Box::new(agreed)), now);
                }
                if let Some(port) = self.moving_to.take() {
                    self.address.set_port(port);
                    self.seen_as.set_port(port);
                }
                self.waiting = Waiting::Nothing;
                // As long as it takes to be believed at the new port, behind a NAT.
                self.next_at = now + self.rng.random_range(800..1_500) * MS;
            }
            CallEvent::ReinviteRejected { status } => {
                // The ACK of the one before is still on its way.
                assert!(matches!(status, 491 | 500), "a re-INVITE was refused with {status}");
                self.acts.push_front(self.asked);
                self.waiting = Waiting::Nothing;
                self.next_at = now + 500 * MS;
            }
            event if event.is_last() => {
                self.is_over = true;
                self.media = None;
            }
            _ => {}
        }
    }

    /// Goes on with the script. `is_answered`: no request of ours is open.
    pub(super) fn run(&mut self, now: Instant, is_answered: bool) -> Option<endpoint::Command> {
        let mut is_lost = false;
        while let Some(event) = self.media.as_mut().and_then(Session::poll_event) {
            is_lost |= event == MediaEvent::MediaLost;
        }
        if self.is_over {
            return None;
        }
        if is_lost || now >= self.patience {
            self.patience += Duration::from_secs(600);
            return Some(endpoint::Command::HangUp);
        }
        if now < self.next_at {
            return None;
        }
        if self.acts.front() == Some(&Act::HangUp) {
            // At any time, also while it rings.
            self.acts.clear();
            return Some(endpoint::Command::HangUp);
        }
        let heard = self.media.as_ref().map_or(0, |media| media.stats().received.received);
        if self.waiting == Waiting::Audio && heard > 5 {
            self.waiting = Waiting::Nothing;
        }
        // INFO after INFO, so that none overtakes another. Beside events it is sent when it is due.
        let needs_answer = match self.acts.front() {
            Some(Act::Key(_)) => self.way == Way::Info,
            Some(Act::InfoOf(_)) => false,
            _ => true,
        };
        if self.waiting != Waiting::Nothing || (needs_answer && !is_answered) {
            self.next_at = now + 20 * MS;
            return None;
        }
        let act = self.acts.pop_front()?;
        self.act(now, act)
    }

    fn act(&mut self, now: Instant, act: Act) -> Option<endpoint::Command> {
        self.asked = act;
        match act {
            Act::Key(digit) => {
                let (on, off) = (
                    self.rng.random_range(100..160) * MS,
                    self.rng.random_range(60..120) * MS,
                );
                if self.way == Way::Info {
                    self.next_at = now + on + off;
                    return Some(self.info(digit, on));
                }
                if let Some(media) = &mut self.media {
                    media.handle_command(Command::Press { digit, on, off }, now);
                }
                if self.way == Way::Both {
                    self.acts.push_front(Act::InfoOf(digit));
                    self.next_at = now + on;
                } else {
                    self.next_at = now + on + off;
                    // What follows a key otherwise must not overtake it.
                    if !matches!(self.acts.front(), Some(Act::Key(_))) {
                        self.next_at += 1_000 * MS;
                    }
                }
                None
            }
            Act::InfoOf(digit) => {
                self.next_at = now + 300 * MS;
                Some(self.info(digit, 100 * MS))
            }
            Act::Hold => self.reinvite(now, Direction::SendOnly),
            Act::Resume => self.reinvite(now, Direction::SendRecv),
            Act::Move => {
                let port = self.address.port() + 2;
                self.moving_to = Some(port);
                self.local.rtp_port = port;
                self.local.rtcp_port = port + 1;
                self.reinvite(now, Direction::SendRecv)
            }
            Act::HangUp => Some(endpoint::Command::HangUp),
        }
    }

    fn info(&mut self, digit: Digit, on: Duration) -> endpoint::Command {
        let press = info::InfoPress {
            digit,
            duration: Some(on),
        };
        let (content_type, body) = if self.rng.random() {
            (info::DTMF_RELAY, info::relay_body(&press))
        } else {
            (info::DTMF, info::bare_body(digit))
        };
        endpoint::Command::Info {
            content_type: content_type.to_owned(),
            body: Secret::new(body),
        }
    }

    fn reinvite(&mut self, now: Instant, direction: Direction) -> Option<endpoint::Command> {
        self.local.direction = direction;
        self.waiting = Waiting::Reinvite;
        self.next_at = now;
        Some(endpoint::Command::Reinvite(self.negotiator.offer(&self.local)))
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        if self.is_over {
            return None;
        }
        let media = self.media.as_ref().map(Session::deadline);
        let script = (!self.acts.is_empty()).then_some(self.next_at);
        [media, script, Some(self.patience)].into_iter().flatten().min()
    }
}
