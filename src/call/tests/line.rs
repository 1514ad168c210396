//! Our end of a call: what `call::session` does, in invented time.

use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::call::negotiation::Negotiation;
use crate::call::switchboard::first_send;
use crate::dialplan::operation::{Operation, Outcome};
use crate::dialplan::{self, EndReason, Flow, Input, Interpreter, Output};
use crate::digit::Digit;
use crate::telephony::codec::Clip;
use crate::telephony::dtmf;
use crate::telephony::media::{Command, MediaEvent, OnKey, PlaybackId, Playlist, Segment, Session, SessionConfig};
use crate::telephony::sdp::{LocalMedia, Negotiated};
use crate::telephony::sip::endpoint::{self, CallKey};
use crate::telephony::sip::{CallEvent, CallInfo, InfoKind};

/// As in `call::session`.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// Of 60 to 800 ms.
static PROMPTS: LazyLock<Vec<Clip>> =
    LazyLock::new(|| (1..14).map(|n| Clip::from_pcm(&vec![9_000; n * 487])).collect());

/// One call as the server sees it.
pub(super) struct Line {
    pub(super) key: CallKey,
    /// Where its media is.
    pub(super) address: SocketAddr,
    pub(super) media: Option<Session>,
    info: CallInfo,
    negotiation: Negotiation,
    agreed: Option<Negotiated>,
    interpreter: Interpreter,
    playing: Option<(PlaybackId, dialplan::PlaybackId)>,
    playbacks: u64,
    work: Option<(Instant, Input)>,
    bye_at: Option<Instant>,
    on_hold: bool,
    rng: StdRng,
    /// Every key that counted.
    pub(super) pressed: Vec<Digit>,
    /// What was handed to operations.
    pub(super) entries: Vec<Vec<Digit>>,
    pub(super) ended: Option<EndReason>,
    pub(super) media_lost: bool,
    /// The SIP side is over.
    pub(super) is_over: bool,
}

impl Line {
    pub(super) fn new(info: CallInfo, address: SocketAddr, flow: Arc<Flow>, rng: &mut StdRng) -> Self {
        Self {
            key: info.key,
            address,
            media: None,
            negotiation: Negotiation::with(LocalMedia::new(address.ip(), address.port()), rng.random()),
            agreed: None,
            interpreter: Interpreter::new(flow),
            playing: None,
            playbacks: 0,
            work: None,
            bye_at: None,
            on_hold: false,
            rng: StdRng::seed_from_u64(rng.random()),
            pressed: Vec::new(),
            entries: Vec::new(),
            ended: None,
            media_lost: false,
            is_over: false,
            info,
        }
    }

    /// The call rings: what to do about it.
    pub(super) fn pick_up(&mut self) -> Vec<endpoint::Command> {
        let answer = match self.info.offer.clone() {
            Some(offer) => {
                let (answer, agreed) = self.negotiation.answer(&offer).expect("suits us");
                self.agreed = Some(agreed);
                answer
            }
            None => self.negotiation.offer(),
        };
        vec![endpoint::Command::Ring, endpoint::Command::Answer(answer)]
    }

    /// The SIP side has news.
    pub(super) fn signal(&mut self, now: Instant, event: CallEvent) -> Vec<endpoint::Command> {
        match event {
            CallEvent::Acknowledged { sdp } if self.media.is_none() => {
                if self.agreed.is_none() {
                    let answer = sdp.expect("the answer to our offer");
                    self.agreed = Some(self.negotiation.accept(&answer).expect("suits us"));
                }
                self.open(now);
            }
            CallEvent::Acknowledged { sdp } => {
                let agreed = self.negotiation.acknowledged(sdp.as_deref()).expect("suits us");
                agreed.into_iter().for_each(|agreed| self.reconfigure(now, agreed));
            }
            CallEvent::Info { kind, body } => {
                let content_type = match kind {
                    InfoKind::DtmfRelay => dtmf::info::DTMF_RELAY,
                    InfoKind::Dtmf => dtmf::info::DTMF,
                };
                let press = dtmf::info::parse(content_type, body.expose().as_bytes()).expect("a key");
                if let Some(media) = &mut self.media {
                    media.handle_command(Command::InfoDigit(press.digit), now);
                }
            }
            CallEvent::Reinvite { id, offer } => {
                let answer = self.negotiation.change(offer.as_deref()).expect("suits us");
                let mut commands = vec![endpoint::Command::AnswerReinvite(id, answer)];
                commands.extend(self.follow(now));
                return commands;
            }
            CallEvent::ReinviteAccepted => {
                if let Some(agreed) = self.negotiation.accepted() {
                    self.reconfigure(now, agreed);
                }
            }
            CallEvent::ReinviteCancelled => self.negotiation.cancelled(),
            event if event.is_last() => {
                self.is_over = true;
                self.media = None;
                self.work = None;
                self.bye_at = None;
                self.interpreter.handle(now, Input::HungUp);
            }
            _ => {}
        }
        self.follow(now)
    }

    fn open(&mut self, now: Instant) {
        let agreed = self.agreed.clone().expect("answered");
        let config = SessionConfig {
            first_send: first_send(&self.info, &agreed),
            ..SessionConfig::default()
        };
        let first_tick = now + Duration::from_millis(self.rng.random_range(0..20));
        let rng = StdRng::seed_from_u64(self.rng.random());
        self.media = Some(Session::new(config, agreed, first_tick, rng));
        self.interpreter.handle(now, Input::Established);
    }

    fn reconfigure(&mut self, now: Instant, agreed: Negotiated) {
        let held = agreed.is_on_hold();
        if let Some(media) = &mut self.media {
            media.handle_command(Command::Reconfigure(Box::new(agreed)), now);
        }
        if held != self.on_hold {
            self.on_hold = held;
            self.interpreter
                .handle(now, if held { Input::Held } else { Input::Resumed });
        }
    }

    /// The media session has news, or time has come for something.
    pub(super) fn run(&mut self, now: Instant) -> Vec<endpoint::Command> {
        let mut commands = Vec::new();
        while let Some(event) = self.media.as_mut().and_then(Session::poll_event) {
            match event {
                MediaEvent::DigitPressed(digit, _) => {
                    self.pressed.push(digit);
                    self.interpreter.handle(now, Input::Digit(digit));
                }
                MediaEvent::PlaybackFinished(finished) => {
                    if let Some((_, id)) = self.playing.take_if(|(playback, _)| *playback == finished) {
                        self.interpreter.handle(now, Input::PlaybackFinished(id));
                    }
                }
                MediaEvent::MediaLost => {
                    self.media_lost = true;
                    self.interpreter.handle(now, Input::HungUp);
                    commands.push(endpoint::Command::HangUp);
                }
                _ => {}
            }
            commands.extend(self.follow(now));
        }
        if let Some((_, input)) = self.work.take_if(|(due, _)| *due <= now) {
            self.interpreter.handle(now, input);
        }
        if self.interpreter.next_deadline().is_some_and(|due| due <= now) {
            self.interpreter.handle(now, Input::Deadline);
        }
        if self.bye_at.take_if(|due| *due <= now).is_some() {
            commands.push(endpoint::Command::HangUp);
        }
        commands.extend(self.follow(now));
        commands
    }

    /// Does what the flow wants.
    fn follow(&mut self, now: Instant) -> Vec<endpoint::Command> {
        while let Some(output) = self.interpreter.poll_output() {
            match output {
                Output::Play { id, barge_in, .. } => self.play(now, id, barge_in),
                Output::StopPlaying => {
                    self.playing = None;
                    if let Some(media) = &mut self.media {
                        media.handle_command(Command::Stop, now);
                    }
                }
                Output::Invoke { id, operation, digits } => {
                    self.entries.extend(digits.map(|digits| digits.expose().to_vec()));
                    let outcome = self.outcome(operation);
                    let due = now + Duration::from_millis(self.rng.random_range(0..300));
                    let done = Input::OperationDone {
                        invocation: id,
                        outcome,
                    };
                    self.work = Some((due, done));
                }
                Output::Ended(end) => {
                    self.ended = Some(end.reason);
                    self.bye_at = end.reason.needs_bye().then(|| now + LAST_WORDS);
                }
                Output::Entered(_) | Output::Transfer(_) => {}
            }
        }
        Vec::new()
    }

    fn play(&mut self, now: Instant, id: dialplan::PlaybackId, barge_in: bool) {
        self.playbacks += 1;
        let playback = PlaybackId(self.playbacks);
        self.playing = Some((playback, id));
        let clip = PROMPTS[self.rng.random_range(0..PROMPTS.len())].clone();
        let playlist = Playlist {
            segments: vec![Segment::Clip(clip)],
            on_key: if barge_in { OnKey::Stop } else { OnKey::KeepPlaying },
            ..Playlist::default()
        };
        if let Some(media) = &mut self.media {
            media.handle_command(Command::Play(playback, playlist), now);
        }
    }

    /// One user, two questions, both answered well.
    fn outcome(&self, operation: Operation) -> Outcome {
        match operation {
            Operation::Identify => Outcome::One,
            Operation::NextQuestion => Outcome::Ask,
            Operation::Answer if self.entries.len() < 3 => Outcome::More,
            Operation::Answer => Outcome::Passed,
            Operation::AccountState => Outcome::Told,
            other => panic!("{other} is not in the flow"),
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let media = self.media.as_ref().map(Session::deadline);
        let work = self.work.as_ref().map(|(due, _)| *due);
        [media, work, self.bye_at, self.interpreter.next_deadline()]
            .into_iter()
            .flatten()
            .min()
    }

    /// Which caller it is: they dial their numbers.
    pub(super) fn number(&self) -> usize {
        self.info.called.parse().expect("a number")
    }

    pub(super) fn assert_at_rest(&self) {
        assert!(self.is_over && self.media.is_none(), "a line is left");
        // A call that was given up before its ACK never began its flow.
        assert!(self.interpreter.has_ended(), "a flow goes on");
        assert_eq!(self.next_deadline(), None, "something is to come");
    }
}
