//! Takes incoming calls and gives each a task of its own.
//!
//! ```text
//!  INVITE ─▶ registry (full, draining?) ─▶ flow (known?) ─▶ ports ─▶ SDP answer ─▶ 180, 200 ─▶ ACK ─▶ Session
//!                  503                        404             503       488 / 400
//! ```

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use super::metrics::Metrics;
use super::negotiation::{Negotiation, status_of};
use super::operations::{Conversation, Readback};
use super::record::{self, CallRecords};
use super::registry::{Entry, NewCall, Refused, Registry};
use super::session::{Left, Line, Reason, Session, cause_word};
use super::voice::{Labels, Voice};
use crate::dialplan::{Flow, Library};
use crate::identity::event::Door;
use crate::identity::ids::CallId;
use crate::identity::question::Channel;
use crate::secret::masked;
use crate::service::{Arrival, CallEnd, CallStart, Services, Visit};
use crate::speech::{Language, Speech};
use crate::telephony::media::{FirstSend, MediaEngine, MediaError, Recorder, Seat, SessionConfig};
use crate::telephony::sdp::{Negotiated, Refusal};
use crate::telephony::sip::{Call, CallEvent, CallInfo, IncomingCall};
use crate::time::{Clock, Timestamp, monotonic};

/// Media events that may wait for a call; more than a caller can cause in the time of one turn.
const MEDIA_EVENTS: usize = 64;

/// How long ending a visit may take; its evidence expires by itself.
const END_TIMEOUT: Duration = Duration::from_secs(15);

/// What every call needs; shared.
pub struct House {
    /// Use cases.
    pub services: Services,
    /// Flows by name.
    pub flows: Arc<Library>,
    /// Prompts and engines.
    pub speech: Speech,
    /// How systems are called.
    pub labels: Labels,
    /// The language of callers who have not chosen one.
    pub language: Language,
    /// Whether callers key the password back.
    pub readback: Readback,
    /// Ports and clocked sessions.
    pub media: Arc<MediaEngine>,
    /// Nothing received for this long ends a call.
    pub media_timeout: Duration,
    /// Folder for recordings, if calls are recorded.
    pub recordings: Option<PathBuf>,
    /// Our own signalling addresses: no media goes there.
    pub signalling: Vec<SocketAddr>,
    /// Calls in progress.
    pub registry: Arc<Registry>,
    /// Where call records go.
    pub records: CallRecords,
    /// What is counted.
    pub metrics: Metrics,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
}

/// Takes calls until `incoming` ends, and then waits for those in progress.
pub async fn run(house: Arc<House>, mut incoming: mpsc::Receiver<IncomingCall>) {
    let calls = TaskTracker::new();
    while let Some(IncomingCall { info, call }) = incoming.recv().await {
        let id = house.services.new_call_id();
        let span = tracing::info_span!("call", call.id = %id, sip.call_id = ?info.call_id, trunk = %info.trunk);
        calls.spawn(Box::pin(take(Arc::clone(&house), id, info, call)).instrument(span));
    }
    calls.close();
    calls.wait().await;
}

async fn take(house: Arc<House>, id: CallId, info: CallInfo, mut call: Call) {
    let caller = masked(info.caller.expose());
    let new = NewCall {
        call_id: &info.call_id,
        trunk: &info.trunk,
        dialplan: &info.dialplan,
        caller: &caller,
        called: &info.called,
    };
    let mut entry = match house.registry.admit(new) {
        Ok(entry) => entry,
        Err(refused) => {
            let (status, retry_after, reason) = match refused {
                Refused::Full => (503, Some(10), "full"),
                Refused::Draining => (503, Some(30), "draining"),
            };
            house.metrics.call_refused(reason);
            return refuse(&call, status, retry_after).await;
        }
    };
    let Some(flow) = house.flows.find(&info.dialplan) else {
        tracing::error!(dialplan = %info.dialplan, "the trunk file names a call flow that does not exist");
        house.metrics.call_refused("no_dialplan");
        return refuse(&call, 404, None).await;
    };
    tracing::info!(%caller, called = %info.called, dialplan = %info.dialplan, "call");
    let began = monotonic();
    let started = house.clock.now();
    let left = match answer(&house, &info, &mut call).await {
        Ok(answered) => talk(&house, id, &info, answered, flow, &mut entry, (started, began)).await,
        Err(Failed { status, reason }) => {
            if let Some(status) = status {
                refuse(&call, status, None).await;
            }
            house.metrics.call_refused(reason);
            Left::without_flow(Reason(reason), None)
        }
    };
    let length = monotonic().saturating_duration_since(began);
    house.metrics.call_ended(&info.dialplan, left.reason.0, length);
    if let Some(stats) = &left.stats {
        house
            .metrics
            .media_ended(stats.received.lost, u64::from(stats.late_ticks));
    }
    tracing::info!(
        reason = left.reason.0,
        step = %left.last_step,
        length_ms = length.as_millis(),
        rtp.sent = left.stats.map_or(0, |stats| stats.sent),
        rtp.lost = left.stats.map_or(0, |stats| stats.received.lost),
        rtp.remote_lost = left.stats.map_or(0, |stats| stats.remote_lost),
        "call over"
    );
}

/// Why a call was not answered; without a status the caller is gone already.
struct Failed {
    status: Option<u16>,
    reason: &'static str,
}

impl Failed {
    const fn with(status: u16, reason: &'static str) -> Self {
        Self {
            status: Some(status),
            reason,
        }
    }
}

impl From<Refusal> for Failed {
    fn from(refusal: Refusal) -> Self {
        tracing::info!(%refusal, "the offer does not suit us");
        Self::with(status_of(refusal), "no_media")
    }
}

impl From<MediaError> for Failed {
    fn from(error: MediaError) -> Self {
        tracing::error!(%error, "no media for the call");
        Self::with(503, "no_ports")
    }
}

/// Ports, SDP, 180, 200; returns when the ACK is here and media flows.
async fn answer<'a>(house: &House, info: &CallInfo, call: &'a mut Call) -> Result<Line<'a>, Failed> {
    let lease = house.media.lease(info.local.ip())?;
    let mut negotiation = Negotiation::new(&lease, &info.codecs, house.signalling.clone());
    let early = match &info.offer {
        Some(offer) => {
            let (answer, agreed) = negotiation.answer(offer)?;
            ring_and_answer(call, answer).await?;
            Some(agreed)
        }
        None => {
            ring_and_answer(call, negotiation.offer()).await?;
            None
        }
    };
    let (answer, keys) = acknowledged(call).await?;
    let agreed = match (answer, early) {
        (_, Some(agreed)) => agreed,
        (answer, None) => match answer.as_deref().map(|answer| negotiation.accept(answer)) {
            Some(Ok(agreed)) => agreed,
            unusable => {
                tracing::info!(refusal = ?unusable, "the ACK does not answer our offer");
                return Err(hang_up(call, "no_media").await);
            }
        },
    };
    let (events, media_events) = mpsc::channel(MEDIA_EVENTS);
    let config = SessionConfig {
        media_timeout: house.media_timeout,
        pinned: Arc::clone(&info.media.networks),
        key_moment: info.media.key_moment,
        signaller: Some(info.source.ip()),
        first_send: first_send(info, &agreed),
        ..SessionConfig::default()
    };
    let media = match house.media.open(lease, config, agreed.clone(), events) {
        Ok(media) => media,
        Err(error) => {
            tracing::error!(%error, "no media for the call");
            return Err(hang_up(call, "no_ports").await);
        }
    };
    Ok(Line {
        call,
        media,
        media_events,
        negotiation,
        agreed,
        keys,
    })
}

/// Keys that are kept before the ACK: more than anybody presses in the second that it may take.
const EARLY_KEYS: usize = 16;

/// Media for a host that neither signalled nor is named in the trunk's file waits until that host was heard.
pub(super) fn first_send(info: &CallInfo, agreed: &Negotiated) -> FirstSend {
    let known = |ip: IpAddr| {
        ip == info.source.ip()
            || info
                .media
                .networks
                .iter()
                .any(|network| network.contains(&ip.to_canonical()))
    };
    match agreed.remote_rtp {
        Some(remote) if !known(remote.ip()) => FirstSend::AfterHearing,
        _ => FirstSend::AtOnce,
    }
}

async fn ring_and_answer(call: &Call, sdp: String) -> Result<(), Failed> {
    let gone = |_| Failed {
        status: None,
        reason: "lost",
    };
    call.ringing().await.map_err(gone)?;
    call.answer(sdp).await.map_err(gone)
}

/// Ends an answered call that cannot go on. If the stack has ended, so has the call.
async fn hang_up(call: &Call, reason: &'static str) -> Failed {
    let _ = call.bye().await;
    Failed { status: None, reason }
}

/// If the stack has ended, there is nobody left to refuse.
async fn refuse(call: &Call, status: u16, retry_after: Option<u32>) {
    let _ = call.reject(status, retry_after).await;
}

/// Waits for the ACK: what it answers to a late offer, and keys by INFO that came before it. They were confirmed, so they
/// count.
async fn acknowledged(call: &mut Call) -> Result<(Option<String>, Vec<CallEvent>), Failed> {
    let mut keys = Vec::new();
    loop {
        match call.next_event().await {
            Some(CallEvent::Acknowledged { sdp }) => return Ok((sdp, keys)),
            Some(key @ CallEvent::Info { .. }) if keys.len() < EARLY_KEYS => keys.push(key),
            Some(CallEvent::Ended { cause }) => {
                return Err(Failed {
                    status: None,
                    reason: cause_word(cause),
                });
            }
            Some(event) if !event.is_last() => {}
            _ => {
                return Err(Failed {
                    status: None,
                    reason: "cancelled",
                });
            }
        }
    }
}

async fn talk(
    house: &House,
    id: CallId,
    info: &CallInfo,
    line: Line<'_>,
    flow: Arc<Flow>,
    entry: &mut Entry,
    (started, began): (Timestamp, Instant),
) -> Left {
    let voice = match Voice::new(&house.speech, &house.language, house.labels.clone()) {
        Ok(voice) => Arc::new(voice),
        Err(error) => {
            tracing::error!(%error, "the call cannot be served");
            let _ = line.call.bye().await;
            return Left::without_flow(Reason("no_prompts"), line.media.close().await);
        }
    };
    // One look at the wall clock per call: a record is as long as the call was, though somebody sets the clock meanwhile.
    let now = || started.plus(monotonic().saturating_duration_since(began));
    let answered = now();
    house.records.began(id, None, call_start(info, id, started)).await;
    let arrival = Arrival {
        session: id.into(),
        door: Door::Phone,
        channel: Channel::Phone,
        trunk: info.trunk.clone(),
        caller: Some(info.caller.expose().to_owned()).filter(|caller| !caller.is_empty()),
    };
    let recorder = start_recording(house, id, &line);
    let conversation = Conversation::new(house.services.clone(), arrival, Arc::clone(&voice), house.readback);
    let left = Session::new(line, flow, conversation, voice, entry, &house.metrics)
        .run()
        .await;
    let end = CallEnd {
        answered: Some(answered),
        ended: now(),
        visit: left.known.visit.get().map(|visit| visit.id().to_string()),
        user: left.known.user.get().map(ToString::to_string),
        last_step: Some(left.last_step.clone()),
        reason: left.reason.0.to_owned(),
        media: left.stats.as_ref().map(|stats| record::media(left.codec, stats)),
    };
    if let Some(visit) = left.known.visit.get() {
        end_visit(visit).await;
    }
    house.records.ended(id, None, end).await;
    if let Some(recorder) = recorder {
        finish_recording(recorder).await;
    }
    left
}

/// Begins to record the call, if calls are recorded. One that cannot be recorded is served all the same.
fn start_recording(house: &House, id: CallId, line: &Line<'_>) -> Option<Recorder> {
    let file = house.recordings.as_ref()?.join(format!("{id}.wav"));
    let recording = Recorder::start(&file, Seat::System, monotonic());
    match recording.map(|(recorder, tap)| (recorder, line.media.record(Some(tap)))) {
        Ok((recorder, Ok(()))) => Some(recorder),
        Ok((_, Err(error))) => {
            tracing::error!(%error, "the call is not recorded");
            None
        }
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "the call is not recorded");
            None
        }
    }
}

/// The tap went with the media session, so the writer is about to end.
async fn finish_recording(recorder: Recorder) {
    match tokio::task::spawn_blocking(move || recorder.finish()).await {
        Ok(Ok(recording)) => tracing::info!(file = %recording.path.display(), "recorded"),
        Ok(Err(error)) => tracing::error!(
            error = &error as &dyn std::error::Error,
            "the recording is not complete"
        ),
        Err(_) => tracing::error!("the recording is not complete: its writer panicked"),
    }
}

/// What was verified in the call is worth nothing any more.
pub(super) async fn end_visit(visit: &Visit) {
    match tokio::time::timeout(END_TIMEOUT, visit.end()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::error!(error = &error as &dyn std::error::Error, "the visit ends by time only"),
        Err(_) => tracing::error!("the visit ends by time only: the database does not answer"),
    }
}

fn call_start(info: &CallInfo, id: CallId, started: Timestamp) -> CallStart {
    CallStart {
        id: id.to_string(),
        door: "phone".to_owned(),
        trunk: Some(info.trunk.clone()),
        dialplan: Some(info.dialplan.clone()),
        caller: Some(info.caller.expose().to_owned()).filter(|caller| !caller.is_empty()),
        called: Some(info.called.clone()),
        started,
    }
}
