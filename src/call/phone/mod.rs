//! A telephone for test calls: `passline call`, the demo, and the tests dial with it.
//!
//! It is a SIP user agent of its own on the same stack: its own sockets, its own media threads. What it hears can be
//! recorded ([`crate::telephony::media::Recorder`]), measured ([`listener`]) and recognised ([`ear`], [`vocabulary`]).

pub mod ear;
mod knock;
pub mod listener;
pub mod report;
pub mod script;
pub mod vocabulary;

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::negotiation::Negotiation;
use crate::digit::Digit;
use crate::secret::Secret;
use crate::telephony::dtmf::info;
use crate::telephony::media::{
    EngineConfig, HeardAudio, MediaEngine, MediaError, MediaEvent, MediaHandle, RecordError, Recorder, Recording, Seat,
    SessionConfig,
};
use crate::telephony::sdp::Refusal;
use crate::telephony::sip::trunk::Trunks;
use crate::telephony::sip::{
    self, Call, CallEvent, Credentials, EndCause, IncomingCall, InviteError, Listen, OutgoingCallRequest, ReinviteId,
    SipConfig, SipHandle, SipStack, StartError, Transport,
};
use crate::time::monotonic;
use listener::Listener;
use report::CallReport;

/// Media events that may wait.
const MEDIA_EVENTS: usize = 256;

/// Packets of received audio that may wait: ten seconds.
const AUDIO: usize = 512;

/// How long a key sounds, and the pause after it. Longer than the 40 ms that every receiver must take.
const KEY_TIME: Duration = Duration::from_millis(100);

/// How long hanging up may take.
const GOODBYE: Duration = Duration::from_secs(2);

/// Why there is no call.
#[derive(Debug, thiserror::Error)]
pub enum PhoneError {
    /// The telephone cannot listen.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The call cannot be placed.
    #[error(transparent)]
    Invite(#[from] InviteError),
    /// There is no media.
    #[error(transparent)]
    Media(#[from] MediaError),
    /// There is no recording.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// No address of this machine reaches the far end.
    #[error("no address of this machine reaches {0}")]
    NoRoute(SocketAddr),
    /// The far end refused.
    #[error("the call was refused with {status} {reason}", reason = crate::telephony::sip::message::reason_phrase(*status))]
    Rejected {
        /// SIP status.
        status: u16,
    },
    /// Nothing listens there.
    #[error("nothing listens at {0} over UDP; is the port right, and does it run?")]
    NobodyListens(SocketAddr),
    /// Nobody answered in time.
    #[error("nobody answered within {0:?}")]
    NoAnswer(Duration),
    /// The call ended before it was answered.
    #[error("the call ended before it was answered")]
    Ended,
    /// The answer is unusable.
    #[error("the answer is unusable: {0}")]
    Answer(#[from] Refusal),
}

/// How keys are sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeyPath {
    /// RFC 4733 events.
    #[default]
    Event,
    /// SIP INFO, `application/dtmf-relay`.
    InfoRelay,
    /// SIP INFO, `application/dtmf`.
    InfoBare,
}

/// How a call is placed.
#[derive(Clone, Debug, Default)]
pub struct Dialling {
    /// The calling number or URI; by default this machine.
    pub caller: Option<String>,
    /// Name and password, if the far end asks.
    pub credentials: Option<Credentials>,
    /// Names of the codecs to offer, the best first; all if empty.
    pub codecs: Vec<String>,
    /// How keys are sent.
    pub keys: KeyPath,
    /// How long it may ring; 30 s by default.
    pub patience: Option<Duration>,
}

/// The telephone.
pub struct Phone {
    sip: SipHandle,
    media: MediaEngine,
    /// Nobody can call it: no trunk is allowed. Held so that the stack keeps its door.
    _incoming: mpsc::Receiver<IncomingCall>,
}

impl Phone {
    /// A telephone on a free UDP port of `address`, which also dials over TCP.
    ///
    /// # Errors
    /// When the address cannot be used or threads cannot be started.
    pub fn start(address: IpAddr) -> Result<Self, PhoneError> {
        let config = SipConfig {
            listen: vec![Listen {
                transport: Transport::Udp,
                address: SocketAddr::new(address, 0),
            }],
            trunks: Trunks::default(),
            endpoint: Default::default(),
            connections: Default::default(),
        };
        let (sip, incoming) = SipStack::start(config)?;
        // Away from the ports that an engine on the same machine has by default.
        let media = MediaEngine::start(EngineConfig {
            ports: 40_000..=49_999,
            workers: 1,
            ..EngineConfig::default()
        })?;
        Ok(Self {
            sip,
            media,
            _incoming: incoming,
        })
    }

    /// The address of this machine to call `target` from.
    ///
    /// # Errors
    /// When the target is no SIP URI, its name is not known, or nothing reaches it.
    pub async fn local_address(target: &str) -> Result<IpAddr, PhoneError> {
        let (_, remote) = sip::resolve(target).await?;
        sip::route_to(remote).ok_or(PhoneError::NoRoute(remote))
    }

    /// Places a call and waits until it is answered.
    ///
    /// # Errors
    /// [`PhoneError`] when it is not.
    pub async fn dial(&self, target: &str, dialling: Dialling) -> Result<PhoneCall, PhoneError> {
        let (transport, remote) = sip::resolve(target).await?;
        let local = self.sip.local_ip_for(remote).ok_or(PhoneError::NoRoute(remote))?;
        let lease = self.media.lease(local)?;
        let mut negotiation = Negotiation::new(&lease, &dialling.codecs, Vec::new());
        let dialled = monotonic();
        let request = OutgoingCallRequest {
            target: target.to_owned(),
            caller: dialling.caller.map(|caller| caller_uri(&caller, local)),
            sdp: negotiation.offer(),
            credentials: dialling.credentials,
        };
        let mut call = self.sip.invite(request).await?;
        let patience = dialling.patience.unwrap_or(Duration::from_secs(30));
        let refused = async {
            match transport {
                Transport::Udp => knock::nobody_listens(local, remote).await,
                Transport::Tcp => std::future::pending().await,
            }
        };
        let answer = tokio::select! {
            answer = tokio::time::timeout(patience, answered(&mut call)) => {
                answer.map_err(|_| PhoneError::NoAnswer(patience))??
            }
            () = refused => return Err(PhoneError::NobodyListens(remote)),
        };
        let agreed = negotiation.accept(&answer)?;
        let answered_after = monotonic().saturating_duration_since(dialled);
        let codec = agreed
            .codecs
            .first()
            .map(|agreed| agreed.codec)
            .ok_or(Refusal::NoCommonCodec)?;
        let (events, media_events) = mpsc::channel(MEDIA_EVENTS);
        let packet_time = agreed.packet_time;
        let (audio, heard) = mpsc::channel(AUDIO);
        let config = SessionConfig::default();
        let media = self.media.open_listening(lease, config, agreed, events, audio)?;
        Ok(PhoneCall {
            call,
            media,
            media_events,
            heard,
            negotiation,
            keys: dialling.keys,
            listener: Listener::new(codec),
            recorder: None,
            report: CallReport::new(codec.encoding_name(), packet_time, answered_after),
            answered: monotonic(),
        })
    }

    /// Hangs up whatever is left and ends.
    pub async fn shutdown(self) {
        self.sip.shutdown(GOODBYE).await;
    }
}

/// A number by itself calls from this machine.
fn caller_uri(caller: &str, local: IpAddr) -> String {
    if caller.contains(':') {
        caller.to_owned()
    } else {
        format!("sip:{caller}@{}", SocketAddr::new(local, 5060))
    }
}

async fn answered(call: &mut Call) -> Result<String, PhoneError> {
    loop {
        match call.next_event().await {
            Some(CallEvent::Answered { sdp: Some(sdp) }) => return Ok(sdp),
            Some(CallEvent::Answered { sdp: None }) => return Err(Refusal::NoAudio.into()),
            Some(CallEvent::Rejected { status }) => return Err(PhoneError::Rejected { status }),
            Some(event) if !event.is_last() => {}
            _ => return Err(PhoneError::Ended),
        }
    }
}

/// What happens in a call.
#[derive(Debug)]
pub enum PhoneEvent {
    /// A packet of audio.
    Heard(HeardAudio),
    /// All keys have been sent.
    KeysSent,
    /// The far end hung up.
    HungUp,
}

/// A call in progress.
pub struct PhoneCall {
    call: Call,
    media: MediaHandle,
    media_events: mpsc::Receiver<MediaEvent>,
    heard: mpsc::Receiver<HeardAudio>,
    negotiation: Negotiation,
    keys: KeyPath,
    listener: Listener,
    recorder: Option<Recorder>,
    report: CallReport,
    answered: Instant,
}

impl PhoneCall {
    /// Begins to record both sides, caller left.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn record(&mut self, file: &Path) -> Result<(), PhoneError> {
        let (recorder, tap) = Recorder::start(file, Seat::Caller, monotonic())?;
        self.media.record(Some(tap))?;
        self.recorder = Some(recorder);
        Ok(())
    }

    /// Presses and releases a key.
    pub async fn press(&mut self, digit: Digit) {
        self.press_for(digit, KEY_TIME, KEY_TIME).await;
    }

    /// Presses a key for `on` and pauses for `off`, both at least 40 ms. Keys wait for the one before them; INFO has no
    /// pauses.
    pub async fn press_for(&mut self, digit: Digit, on: Duration, off: Duration) {
        self.listener.key(monotonic());
        self.report.keys += 1;
        let press = info::InfoPress {
            digit,
            duration: Some(on),
        };
        let sent = match self.keys {
            KeyPath::Event => self.media.press(digit, on, off).is_ok(),
            KeyPath::InfoRelay => self
                .call
                .info(info::DTMF_RELAY, Secret::new(info::relay_body(&press)))
                .await
                .is_ok(),
            KeyPath::InfoBare => self
                .call
                .info(info::DTMF, Secret::new(info::bare_body(digit)))
                .await
                .is_ok(),
        };
        if !sent {
            tracing::warn!("a key was not sent");
        }
    }

    /// How long the far end has been silent after it spoke; see [`Listener::silent_for`].
    #[must_use]
    pub fn silent_for(&self) -> Option<Duration> {
        self.listener.silent_for(monotonic())
    }

    /// How long the call has lasted.
    #[must_use]
    pub fn length(&self) -> Duration {
        monotonic().saturating_duration_since(self.answered)
    }

    /// What happens next. Safe to cancel.
    pub async fn next_event(&mut self) -> PhoneEvent {
        loop {
            tokio::select! {
                // What was heard before the far end hung up is given before that.
                biased;
                Some(heard) = self.heard.recv() => {
                    self.listener.hear(heard.at, &heard.payload);
                    return PhoneEvent::Heard(heard);
                }
                event = self.call.next_event() => match event {
                    Some(CallEvent::Reinvite { id, offer }) => self.reinvited(id, offer).await,
                    Some(CallEvent::Ended { cause }) => {
                        self.report.ended_by = ended_by(cause);
                        return PhoneEvent::HungUp;
                    }
                    Some(event) if !event.is_last() => {}
                    _ => return PhoneEvent::HungUp,
                },
                Some(event) = self.media_events.recv() => match event {
                    MediaEvent::KeysSent => return PhoneEvent::KeysSent,
                    MediaEvent::MediaLost => {
                        self.report.ended_by = "media lost";
                        return PhoneEvent::HungUp;
                    }
                    _ => {}
                },
            }
        }
    }

    async fn reinvited(&mut self, id: ReinviteId, offer: Option<String>) {
        let Some(Ok((answer, agreed))) = offer.as_deref().map(|offer| self.negotiation.answer(offer)) else {
            let _ = self.call.reject_reinvite(id, 488).await;
            return;
        };
        let _ = self.call.answer_reinvite(id, answer).await;
        if let Err(error) = self.media.reconfigure(agreed) {
            tracing::warn!(%error, "the media session did not take a command");
        }
    }

    /// Hangs up, if the far end has not, and gives the report and the recording.
    ///
    /// # Errors
    /// When the recording could not be finished.
    pub async fn finish(mut self) -> Result<(CallReport, Option<Recording>), PhoneError> {
        self.report.duration = self.length();
        if self.report.ended_by.is_empty() {
            self.report.ended_by = "caller";
        }
        let _ = self.call.bye().await;
        let over = async { while self.call.next_event().await.is_some_and(|event| !event.is_last()) {} };
        // The far end may be gone; our side is over all the same.
        let _ = tokio::time::timeout(GOODBYE, over).await;
        self.media.record(None)?;
        let stats = self.media.close().await;
        self.report.measure(stats.as_ref(), self.listener.into_reactions());
        let recording = match self.recorder {
            Some(recorder) => Some(
                tokio::task::spawn_blocking(move || recorder.finish())
                    .await
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))?,
            ),
            None => None,
        };
        Ok((self.report, recording))
    }
}

fn ended_by(cause: EndCause) -> &'static str {
    match cause {
        EndCause::RemoteHangUp => "far end",
        EndCause::LocalHangUp => "caller",
        EndCause::NoAcknowledgement | EndCause::NoSdpAnswer | EndCause::NotAnswered => "signalling",
        EndCause::Lost => "lost",
    }
}
