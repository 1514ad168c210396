//! One live call: signalling, media, flow and services together.
//!
//! ```text
//!            ┌──────────── Call (SIP) ─── acknowledged, re-INVITE, INFO, over ───┐
//!            │                                                                   ▼
//!   caller ──┤                                                    Interpreter ── outputs ──┬─ play, stop ─▶ media
//!            │                                                                   ▲         ├─ invoke ─────▶ services
//!            └──────────── media ──────── key, playback finished, media lost ────┘         └─ ended ──────▶ BYE
//! ```
//!
//! The loop delegates: what to say and where to go next is the interpreter's, who may do what is the services'. An
//! operation runs beside the loop, so that keys, hold and hang-up are taken while a target system is slow. When the
//! caller hangs up in the middle of one it is dropped; a reset that has begun goes on in the services by itself.

use std::future::pending;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::metrics::Metrics;
use super::negotiation::{Negotiation, codec_name, status_of};
use super::operations::{Conversation, Known};
use super::registry::Entry;
use super::voice::Voice;
use super::work::Work;
use crate::dialplan::{self, EndReason, Flow, Input, Interpreter, Output, TransferOutcome};
use crate::secret::Secret;
use crate::telephony::dtmf;
use crate::telephony::media::{MediaError, MediaEvent, MediaHandle, PlaybackId, Playlist, Segment, SessionStats};
use crate::telephony::sdp::Negotiated;
use crate::telephony::sip::{Call, CallEvent, EndCause, InfoKind, ReinviteId};
use crate::time::monotonic;

/// The longest that a goodbye outside of the flow may take.
const DISMISSAL: Duration = Duration::from_secs(10);

/// From the last packet of a goodbye to the BYE. What was sent last is still in the jitter buffer of the caller's
/// telephone, which throws it away when the call is over.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// What it means when there are no more events.
const STACK_ENDED: CallEvent = CallEvent::Ended { cause: EndCause::Lost };

/// Media that has ended by itself is as good as media that nobody hears.
const MEDIA_ENDED: MediaEvent = MediaEvent::MediaLost;

/// A breath between one prompt and the next. Recordings are trimmed to their sound, and without it sentences run into each
/// other; after a key the caller waits for an answer and gets it at once.
const BREATH: Duration = Duration::from_millis(350);

/// A prompt that follows within this time of another one's end belongs to it.
const FOLLOWS: Duration = Duration::from_millis(200);

/// Why a call ended, in one word of the call record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reason(pub(super) &'static str);

/// A call that was answered and acknowledged, with media flowing.
pub(super) struct Session<'a> {
    pub(super) call: &'a mut Call,
    pub(super) media: MediaHandle,
    pub(super) media_events: mpsc::Receiver<MediaEvent>,
    pub(super) negotiation: Negotiation,
    pub(super) entry: &'a mut Entry,
    pub(super) metrics: &'a Metrics,
    pub(super) voice: Arc<Voice>,
    known: Arc<Known>,
    /// Keys by INFO from before the ACK, until the flow runs.
    keys: Vec<CallEvent>,
    talk: Talk,
}

/// Where the flow is.
struct Talk {
    interpreter: Interpreter,
    work: Work,
    playing: Option<(PlaybackId, dialplan::PlaybackId)>,
    /// When the last prompt was heard to its end, unless a key has come since.
    finished: Option<Instant>,
    codec: &'static str,
    on_hold: bool,
}

/// What wakes the loop.
enum Happened {
    Signal(CallEvent),
    Media(MediaEvent),
    Worked(Input),
    Deadline,
    Dismissed,
}

/// What is left of a session.
pub(super) struct Left {
    pub(super) reason: Reason,
    pub(super) last_step: String,
    /// The codec that was agreed last.
    pub(super) codec: &'static str,
    pub(super) stats: Option<SessionStats>,
    /// The visit, if an operation has begun one, and who was verified in it.
    pub(super) known: Arc<Known>,
}

impl Left {
    /// Of a call that did not come to its flow.
    pub(super) fn without_flow(reason: Reason, stats: Option<SessionStats>) -> Self {
        Self {
            reason,
            last_step: String::new(),
            codec: "none",
            stats,
            known: Arc::default(),
        }
    }
}

/// What a session is made of, besides the flow.
pub(super) struct Line<'a> {
    pub(super) call: &'a mut Call,
    pub(super) media: MediaHandle,
    pub(super) media_events: mpsc::Receiver<MediaEvent>,
    pub(super) negotiation: Negotiation,
    pub(super) agreed: Negotiated,
    /// Keys by INFO from before the ACK.
    pub(super) keys: Vec<CallEvent>,
}

impl<'a> Session<'a> {
    pub(super) fn new(
        line: Line<'a>,
        flow: Arc<Flow>,
        conversation: Conversation,
        voice: Arc<Voice>,
        entry: &'a mut Entry,
        metrics: &'a Metrics,
    ) -> Self {
        let codec = codec_name(&line.agreed);
        entry.set_codec(codec);
        Self {
            call: line.call,
            media: line.media,
            media_events: line.media_events,
            negotiation: line.negotiation,
            entry,
            metrics,
            voice,
            known: conversation.known(),
            keys: line.keys,
            talk: Talk {
                interpreter: Interpreter::new(flow),
                work: Work::new(conversation, metrics.clone()),
                playing: None,
                finished: None,
                codec,
                on_hold: line.agreed.is_on_hold(),
            },
        }
    }

    /// Carries the call through its flow and hangs up.
    pub(super) async fn run(mut self) -> Left {
        self.tell(Input::Established);
        if self.talk.on_hold {
            self.tell(Input::Held);
        }
        for key in std::mem::take(&mut self.keys) {
            if let CallEvent::Info { kind, body } = key {
                self.info(kind, &body);
            }
        }
        let reason = loop {
            if let Some(reason) = self.follow().await {
                break reason;
            }
            let happened = self.wait().await;
            if let Some(reason) = self.react(happened).await {
                break reason;
            }
        };
        let last_step = self.talk.interpreter.step().to_string();
        Left {
            reason,
            last_step,
            codec: self.talk.codec,
            stats: self.media.close().await,
            known: self.known,
        }
    }

    async fn wait(&mut self) -> Happened {
        let deadline = self.talk.interpreter.next_deadline();
        let due = async {
            match deadline {
                Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
                None => pending().await,
            }
        };
        tokio::select! {
            event = self.call.next_event() => Happened::Signal(event.unwrap_or(STACK_ENDED)),
            event = self.media_events.recv() => Happened::Media(event.unwrap_or(MEDIA_ENDED)),
            input = self.talk.work.done() => Happened::Worked(input),
            () = due => Happened::Deadline,
            () = self.entry.dismissed() => Happened::Dismissed,
        }
    }

    /// Takes what happened; a reason ends the call.
    async fn react(&mut self, happened: Happened) -> Option<Reason> {
        match happened {
            Happened::Signal(event) => return self.signal(event).await,
            Happened::Media(event) => return self.media(event).await,
            Happened::Worked(input) => self.tell(input),
            Happened::Deadline => self.tell(Input::Deadline),
            Happened::Dismissed => return Some(self.dismiss().await),
        }
        None
    }

    fn tell(&mut self, input: Input) {
        self.talk.interpreter.handle(monotonic(), input);
    }

    // ---- what the flow wants ----

    /// Does what the interpreter asks for, until it asks for nothing; a reason ends the call.
    async fn follow(&mut self) -> Option<Reason> {
        while let Some(output) = self.talk.interpreter.poll_output() {
            match output {
                Output::Entered(step) => {
                    tracing::debug!(dialplan.step = step.as_str(), "step");
                    self.entry.set_step(step.as_str());
                }
                Output::Play {
                    id, items, barge_in, ..
                } => {
                    let mut playlist = self.voice.playlist(&items, &self.talk.work.slots, barge_in);
                    if self
                        .talk
                        .finished
                        .is_some_and(|at| monotonic().saturating_duration_since(at) < FOLLOWS)
                    {
                        playlist.segments.insert(0, Segment::Silence(BREATH));
                    }
                    self.play(playlist, id);
                }
                Output::StopPlaying => {
                    self.talk.playing = None;
                    self.try_media(self.media.stop());
                }
                Output::Invoke { id, operation, digits } => {
                    if let Some(input) = self.talk.work.begin(id, operation, digits) {
                        self.tell(input);
                    }
                }
                Output::Transfer(destination) => {
                    tracing::warn!(
                        destination = destination.as_str(),
                        "no transfer destinations are configured"
                    );
                    self.tell(Input::TransferDone(TransferOutcome::Failed));
                }
                Output::Ended(end) => {
                    if end.reason.needs_bye() {
                        tokio::time::sleep(LAST_WORDS).await;
                        self.hang_up().await;
                    }
                    return Some(Reason(word_of(end.reason)));
                }
            }
        }
        None
    }

    fn play(&mut self, playlist: Playlist, id: dialplan::PlaybackId) {
        match self.media.play(playlist) {
            Ok(playback) => self.talk.playing = Some((playback, id)),
            Err(error) => {
                // The caller hears nothing, but is not left waiting for the end of it.
                tracing::warn!(%error, "cannot play");
                self.tell(Input::PlaybackFinished(id));
            }
        }
    }

    // ---- what the wire says ----

    async fn signal(&mut self, event: CallEvent) -> Option<Reason> {
        match event {
            CallEvent::Info { kind, body } => self.info(kind, &body),
            CallEvent::Reinvite { id, offer } => self.reinvited(id, offer).await,
            CallEvent::Acknowledged { sdp } => return self.acknowledged(sdp).await,
            CallEvent::Ended { cause } => {
                self.tell(Input::HungUp);
                return Some(Reason(cause_word(cause)));
            }
            CallEvent::Cancelled | CallEvent::Rejected { .. } => {
                self.tell(Input::HungUp);
                return Some(Reason("cancelled"));
            }
            CallEvent::ReinviteAccepted => {
                if let Some(agreed) = self.negotiation.accepted() {
                    self.reconfigure(agreed);
                }
            }
            CallEvent::ReinviteCancelled => self.negotiation.cancelled(),
            CallEvent::Ringing
            | CallEvent::EarlyMedia { .. }
            | CallEvent::Answered { .. }
            | CallEvent::ReinviteAnswered { .. }
            | CallEvent::ReinviteRejected { .. } => {}
        }
        None
    }

    fn info(&self, kind: InfoKind, body: &Secret) {
        let content_type = match kind {
            InfoKind::DtmfRelay => dtmf::info::DTMF_RELAY,
            InfoKind::Dtmf => dtmf::info::DTMF,
        };
        match dtmf::info::parse(content_type, body.expose().as_bytes()) {
            Ok(press) => self.try_media(self.media.info_digit(press.digit)),
            Err(_) => tracing::debug!("INFO without a key"),
        }
    }

    /// The far end wants hold, resume, another codec or another address.
    async fn reinvited(&mut self, id: ReinviteId, offer: Option<String>) {
        match self.negotiation.change(offer.as_deref()) {
            Ok(answer) => {
                let _ = self.call.answer_reinvite(id, answer).await;
            }
            Err(refusal) => {
                tracing::info!(%refusal, "re-INVITE refused, the session stays as it was");
                let _ = self.call.reject_reinvite(id, status_of(refusal)).await;
            }
        }
    }

    /// The ACK of a re-INVITE without offer answers ours.
    async fn acknowledged(&mut self, sdp: Option<String>) -> Option<Reason> {
        match self.negotiation.acknowledged(sdp.as_deref()) {
            Ok(agreed) => {
                agreed.into_iter().for_each(|agreed| self.reconfigure(agreed));
                None
            }
            Err(refusal) => {
                tracing::info!(%refusal, "the answer in the ACK is unusable");
                self.hang_up().await;
                Some(Reason("no_media"))
            }
        }
    }

    fn reconfigure(&mut self, agreed: Negotiated) {
        self.talk.codec = codec_name(&agreed);
        self.entry.set_codec(self.talk.codec);
        let held = agreed.is_on_hold();
        self.try_media(self.media.reconfigure(agreed));
        if held != self.talk.on_hold {
            self.talk.on_hold = held;
            self.tell(if held { Input::Held } else { Input::Resumed });
        }
    }

    async fn media(&mut self, event: MediaEvent) -> Option<Reason> {
        match event {
            MediaEvent::DigitPressed(digit, _) => {
                self.metrics.digit();
                self.talk.finished = None;
                self.tell(Input::Digit(digit));
            }
            MediaEvent::PlaybackFinished(finished) => {
                if let Some((_, id)) = self.talk.playing.take_if(|(playback, _)| *playback == finished) {
                    self.talk.finished = Some(monotonic());
                    self.tell(Input::PlaybackFinished(id));
                }
            }
            MediaEvent::MediaLost => {
                tracing::info!("nothing was heard from the caller for the media time-out");
                self.hang_up().await;
                self.tell(Input::HungUp);
                return Some(Reason("media_lost"));
            }
            MediaEvent::AnotherHost(host) => {
                self.metrics.media_host_changed();
                tracing::warn!(
                    rtp.remote = %host,
                    "the caller fell silent, and media comes from another host now; if it is none of the trunk's, name its media_networks"
                );
            }
            MediaEvent::PlaybackStopped(_)
            | MediaEvent::KeysSent
            | MediaEvent::SoundBegan(_)
            | MediaEvent::SoundEnded(_) => {}
        }
        None
    }

    /// Says goodbye on behalf of a program that is about to stop, and hangs up.
    async fn dismiss(&mut self) -> Reason {
        self.tell(Input::HungUp);
        if let Ok(goodbye) = self.media.play(self.voice.prompt("error.closing")) {
            let finished = async {
                loop {
                    tokio::select! {
                        event = self.media_events.recv() => match event {
                            Some(MediaEvent::PlaybackFinished(id)) if id == goodbye => return,
                            None => return,
                            Some(_) => {}
                        },
                        event = self.call.next_event() => if event.is_none_or(|event| event.is_last()) { return },
                    }
                }
            };
            // If it takes longer, the caller has heard most of it.
            let _ = tokio::time::timeout(DISMISSAL, finished).await;
            tokio::time::sleep(LAST_WORDS).await;
        }
        self.hang_up().await;
        Reason("dismissed")
    }

    /// If the stack has ended, so has the call.
    async fn hang_up(&mut self) {
        let _ = self.call.bye().await;
    }

    fn try_media(&self, result: Result<(), MediaError>) {
        if let Err(error) = result {
            tracing::warn!(%error, "the media session did not take a command");
        }
    }
}

/// How a flow ended, in one word.
pub(super) fn word_of(reason: EndReason) -> &'static str {
    match reason {
        EndReason::Completed => "completed",
        EndReason::CallerHungUp => "caller_hung_up",
        EndReason::Transferred => "transferred",
        EndReason::TooLong => "too_long",
        EndReason::TooManySteps => "too_many_steps",
    }
}

/// How a call ended on the wire.
pub(super) fn cause_word(cause: EndCause) -> &'static str {
    match cause {
        EndCause::RemoteHangUp => "caller_hung_up",
        EndCause::LocalHangUp => "completed",
        EndCause::NoAcknowledgement => "no_acknowledgement",
        EndCause::NoSdpAnswer => "no_media",
        EndCause::NotAnswered => "not_answered",
        EndCause::Lost => "lost",
    }
}
