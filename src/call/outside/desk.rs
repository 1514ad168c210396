//! The calls that outside IVRs carry through this house.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rand::RngExt as _;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout_at;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::page::{Heard, Page, Sound};
use super::talk::{Parts, Talk, Turn};
use crate::call::metrics::Metrics;
use crate::call::operations::{Conversation, Readback};
use crate::call::record::CallRecords;
use crate::call::registry::{self, Entry, Registry};
use crate::call::switchboard::end_visit;
use crate::call::voice::{Labels, Voice};
use crate::dialplan::{Flow, Library};
use crate::identity::ids::{CallId, SessionId};
use crate::secret::{Secret, masked};
use crate::service::{ApiSession, CallEnd, CallStart, Services, Visit};
use crate::speech::{Language, Speech, Utterance};
use crate::time::{Clock, monotonic};

/// How long before its time an answer is made.
const MARGIN: Duration = Duration::from_millis(150);

/// How long a caller who has hung up is waited for.
const LIMIT: Duration = Duration::from_secs(2);

/// How long a call that its IVR has not gone on with is given to a request that begins it once more. Twilio waits fifteen
/// seconds for an answer, and then asks again.
const REPEATED: Duration = Duration::from_secs(20);

/// What every call needs; shared with the telephone.
#[derive(Clone)]
pub struct Settings {
    /// Use cases.
    pub services: Services,
    /// Flows by name.
    pub flows: Arc<Library>,
    /// Prompts and engines.
    pub speech: Speech,
    /// How systems are called.
    pub labels: Labels,
    /// The language of callers of whom nothing else is known.
    pub language: Language,
    /// Whether callers key the password back.
    pub readback: Readback,
    /// Calls in progress, with those by telephone.
    pub registry: Arc<Registry>,
    /// Where call records go.
    pub records: CallRecords,
    /// What is counted.
    pub metrics: Metrics,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// Ends what is left when the program ends.
    pub stop: CancellationToken,
}

/// The calls; cheap to clone.
#[derive(Clone)]
pub struct Desk(Arc<Inner>);

struct Inner {
    settings: Settings,
    calls: Mutex<BTreeMap<SessionId, Carried>>,
    kept: Arc<Mutex<BTreeMap<String, Utterance>>>,
    /// Where calls run, whoever asks for their pages.
    runtime: Handle,
}

/// A call in progress.
struct Carried {
    turns: mpsc::Sender<Turn>,
    session: ApiSession,
    platform: &'static str,
    dialplan: Box<str>,
    /// How the platform calls it.
    call_id: Box<str>,
    began: Instant,
    /// How many requests have begun it: the first one, and those that have repeated it.
    begins: u32,
    /// Whether the IVR has come back from the first page.
    has_gone_on: bool,
}

impl Carried {
    /// Whether this is the request that has begun it, repeated: the IVR knows nothing of the first page.
    fn is_begun_by(&self, new: &NewCall<'_>, now: Instant) -> bool {
        let (ours, theirs) = (&self.session, new.session);
        let same_client = ours.client == theirs.client && ours.network == theirs.network;
        let same_call = self.platform == new.platform && *self.dialplan == *new.dialplan;
        let same_call = same_call && !new.call_id.is_empty() && *self.call_id == *new.call_id;
        let is_new = !self.has_gone_on && now.saturating_duration_since(self.began) < REPEATED;
        same_client && same_call && is_new
    }
}

/// A call that an outside IVR has.
#[derive(Clone, Debug)]
pub struct NewCall<'a> {
    /// The session of the API user that carries it, begun for it.
    pub session: &'a ApiSession,
    /// How: `voicexml`, `twilio`, ...
    pub platform: &'static str,
    /// The flow that it gets.
    pub dialplan: &'a str,
    /// How the IVR calls it, to find it there.
    pub call_id: &'a str,
    /// The calling number, if it is known.
    pub caller: Option<&'a str>,
    /// The number that was dialled, if it is known.
    pub called: Option<&'a str>,
}

/// The beginning of a call.
#[derive(Debug)]
pub struct First {
    /// Its first page.
    pub page: Arc<Page>,
    /// Its session: another one than that of [`NewCall`], if the same request was made before.
    pub session: ApiSession,
}

/// Why there is no page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotTaken {
    /// As many calls as configured are in progress.
    #[error("as many calls as configured are in progress")]
    Full,
    /// The program is about to stop.
    #[error("no new calls are taken")]
    Draining,
    /// There is no such flow.
    #[error("there is no flow of this name")]
    NoDialplan,
    /// There is nothing to speak with.
    #[error("there are no prompts")]
    NoPrompts,
    /// There is no such call here, or it is over.
    #[error("there is no such call")]
    NoCall,
    /// There was no time for it; whoever asks again gets it.
    #[error("the page is not ready yet")]
    Late,
}

impl From<registry::Refused> for NotTaken {
    fn from(refused: registry::Refused) -> Self {
        match refused {
            registry::Refused::Full => Self::Full,
            registry::Refused::Draining => Self::Draining,
        }
    }
}

impl Desk {
    /// A desk without calls. They run on the runtime that this is called on.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self(Arc::new(Inner {
            settings,
            calls: Mutex::default(),
            kept: Arc::default(),
            runtime: Handle::current(),
        }))
    }

    /// Begins a call; its first page, in time. A request that is repeated, because its answer was lost or late, begins
    /// nothing: it gets the first page of the same call.
    ///
    /// # Errors
    /// [`NotTaken`].
    pub async fn begin(&self, new: NewCall<'_>, until: Instant) -> Result<First, NotTaken> {
        let (turns, receiver) = mpsc::channel(1);
        let (session, begins, place) = self.enter(&new, turns);
        let visit = session.visit.id();
        if let Some(place) = place {
            self.start(&new, (receiver, place))?;
        }
        match self.turn(visit, (0, Heard::Played), until).await {
            Ok(page) => Ok(First { page, session }),
            // The page is for whoever asked last.
            Err(_) if self.calls().get(&visit).is_some_and(|carried| carried.begins > begins) => Err(NotTaken::Late),
            Err(not_taken) => {
                // Nobody knows of it.
                self.send_hang_up(visit).await;
                Err(not_taken)
            }
        }
    }

    /// The session of the call that this request begins, by the how-manieth request it is begun, and its place if it is new.
    fn enter(&self, new: &NewCall<'_>, turns: mpsc::Sender<Turn>) -> (ApiSession, u32, Option<Place>) {
        let now = monotonic();
        let mut calls = self.calls();
        if let Some(carried) = calls.values_mut().find(|carried| carried.is_begun_by(new, now)) {
            carried.begins += 1;
            return (carried.session.clone(), carried.begins, None);
        }
        let visit = new.session.visit.id();
        let carried = Carried {
            turns,
            session: new.session.clone(),
            platform: new.platform,
            dialplan: new.dialplan.into(),
            call_id: new.call_id.into(),
            began: now,
            begins: 1,
            has_gone_on: false,
        };
        calls.insert(visit, carried);
        let place = Place {
            desk: self.clone(),
            visit,
        };
        (new.session.clone(), 1, Some(place))
    }

    /// Starts the task of a new call.
    fn start(&self, new: &NewCall<'_>, (turns, place): (mpsc::Receiver<Turn>, Place)) -> Result<(), NotTaken> {
        let settings = &self.0.settings;
        let trunk = format!("api:{}", new.session.client);
        let entry = settings.registry.admit(registry::NewCall {
            call_id: new.call_id,
            trunk: &trunk,
            dialplan: new.dialplan,
            caller: &masked(new.caller.unwrap_or_default()),
            called: new.called.unwrap_or_default(),
        });
        let entry = entry.inspect_err(|refused| {
            settings.metrics.call_refused(match refused {
                registry::Refused::Full => "full",
                registry::Refused::Draining => "draining",
            });
        })?;
        entry.set_codec(new.platform);
        let Some(flow) = settings.flows.find(new.dialplan) else {
            settings.metrics.call_refused("no_dialplan");
            return Err(NotTaken::NoDialplan);
        };
        let language = new.session.language.as_ref().unwrap_or(&settings.language);
        let voice = Voice::new(&settings.speech, language, settings.labels.clone())
            .or_else(|_| Voice::new(&settings.speech, &settings.language, settings.labels.clone()));
        let voice = voice.map_err(|error| {
            tracing::error!(%error, "the call cannot be served");
            NotTaken::NoPrompts
        })?;
        let id = settings.services.new_call_id();
        let start = CallStart {
            id: id.to_string(),
            door: new.platform.to_owned(),
            trunk: Some(trunk.clone()),
            dialplan: Some(new.dialplan.to_owned()),
            caller: new.caller.map(str::to_owned).filter(|caller| !caller.is_empty()),
            called: new.called.map(str::to_owned).filter(|called| !called.is_empty()),
            started: settings.clock.now(),
        };
        let span = tracing::info_span!("call", call.id = %id, trunk, platform = new.platform);
        let visit = new.session.visit.clone();
        let call = self
            .clone()
            .carry(id, start, (flow, Arc::new(voice)), visit, entry, (turns, place));
        self.0.runtime.spawn(call.instrument(span));
        Ok(())
    }

    /// What was heard of the page of this number; the page after it, in time.
    ///
    /// # Errors
    /// [`NotTaken::NoCall`], [`NotTaken::Late`].
    pub async fn turn(
        &self,
        visit: SessionId,
        (number, heard): (u32, Heard),
        until: Instant,
    ) -> Result<Arc<Page>, NotTaken> {
        let turns = self.calls().get_mut(&visit).map(|carried| {
            carried.has_gone_on |= number > 0 || matches!(heard, Heard::HungUp);
            carried.turns.clone()
        });
        let turns = turns.ok_or(NotTaken::NoCall)?;
        let (answer, page) = oneshot::channel();
        let asked = async {
            let turn = Turn {
                number,
                heard,
                until: until.checked_sub(MARGIN).unwrap_or(until),
                answer,
            };
            turns.send(turn).await.map_err(|_| NotTaken::NoCall)?;
            page.await.map_err(|_| match self.carries(visit) {
                // The page is for whoever asked last.
                true => NotTaken::Late,
                false => NotTaken::NoCall,
            })
        };
        timeout_at(until.into(), asked).await.unwrap_or(Err(NotTaken::Late))
    }

    /// Whether there is a call of this visit. A request that was overtaken by its repetition leaves one to that.
    #[must_use]
    pub fn carries(&self, visit: SessionId) -> bool {
        self.calls().contains_key(&visit)
    }

    /// The session of a call that a platform names by its visit alone; for requests that the platform has signed.
    #[must_use]
    pub fn token(&self, platform: &str, visit: SessionId) -> Option<Secret> {
        let calls = self.calls();
        let carried = calls.get(&visit).filter(|carried| carried.platform == platform)?;
        Some(carried.session.token.clone())
    }

    /// The caller is gone, as a platform says that names the call in its own way.
    pub async fn hang_up(&self, platform: &str, call_id: &str) {
        let ours = |carried: &Carried| carried.platform == platform && *carried.call_id == *call_id;
        let visits: Vec<SessionId> = match call_id {
            "" => Vec::new(),
            _ => {
                let calls = self.calls();
                let ours = calls.iter().filter(|(_, carried)| ours(carried));
                ours.map(|(visit, _)| *visit).collect()
            }
        };
        for visit in visits {
            self.send_hang_up(visit).await;
        }
    }

    async fn send_hang_up(&self, visit: SessionId) {
        // Who is gone already needs no telling.
        let _ = self.turn(visit, (0, Heard::HungUp), monotonic() + LIMIT).await;
    }

    /// Something that a page of a call in progress plays.
    #[must_use]
    pub fn kept(&self, name: &str) -> Option<Utterance> {
        lock(&self.0.kept).get(name).cloned()
    }

    /// A recording, as new calls hear it.
    #[must_use]
    pub fn prompt(&self, language: &Language, id: &str) -> Option<Utterance> {
        self.0.settings.speech.speaker(language).ok()?.prompt(id)
    }

    /// Carries a call to its end, and records it.
    async fn carry(
        self,
        id: CallId,
        start: CallStart,
        (flow, voice): (Arc<Flow>, Arc<Voice>),
        visit: Visit,
        entry: Entry,
        (turns, place): (mpsc::Receiver<Turn>, Place),
    ) {
        let settings = &self.0.settings;
        let (began, started) = (monotonic(), start.started);
        let dialplan = flow.name().to_owned();
        tracing::info!(caller = %masked(start.caller.as_deref().unwrap_or_default()), dialplan, "call");
        let client = visit.client().map(str::to_owned);
        settings.records.began(id, client.as_deref(), start).await;
        let conversation = Conversation::in_visit(visit.clone(), Arc::clone(&voice), settings.readback);
        let talk = Talk::new(Parts {
            flow,
            visit,
            conversation,
            voice,
            entry,
            turns,
            kept: Kept {
                shared: Arc::clone(&self.0.kept),
                recent: Vec::new(),
                past: Vec::new(),
            },
            idle: settings.services.session_limits().idle,
            stop: settings.stop.clone(),
            metrics: settings.metrics.clone(),
        });
        let (left, afterglow) = talk.run().await;
        drop(place);
        let length = monotonic().saturating_duration_since(began);
        settings.metrics.call_ended(&dialplan, left.reason, length);
        let end = CallEnd {
            answered: Some(started),
            ended: started.plus(length),
            visit: left.known.visit.get().map(|visit| visit.id().to_string()),
            user: left.known.user.get().map(ToString::to_string),
            last_step: Some(left.last_step.clone()),
            reason: left.reason.to_owned(),
            media: None,
        };
        if let Some(visit) = left.known.visit.get() {
            end_visit(visit).await;
        }
        settings.records.ended(id, client.as_deref(), end).await;
        tracing::info!(reason = left.reason, step = %left.last_step, length_ms = length.as_millis(), "call over");
        settings
            .stop
            .run_until_cancelled(tokio::time::sleep(afterglow.goodbye()))
            .await;
        drop(left.entry);
        afterglow.pass(&settings.stop).await;
    }

    fn calls(&self) -> MutexGuard<'_, BTreeMap<SessionId, Carried>> {
        lock(&self.0.calls)
    }
}

/// The place of a call in the list; dropping it takes the call out.
struct Place {
    desk: Desk,
    visit: SessionId,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.desk.calls().remove(&self.visit);
    }
}

/// What the pages of one call play, beside recordings. It stays until the page after the next question was answered: an IVR may
/// play, and fetch, what was on earlier pages only when it comes to a question.
pub(super) struct Kept {
    shared: Arc<Mutex<BTreeMap<String, Utterance>>>,
    /// Since the last question.
    recent: Vec<String>,
    /// Up to it.
    past: Vec<String>,
}

impl Kept {
    /// Keeps this for the next page, under a name that nobody guesses.
    pub(super) fn keep(&mut self, utterance: &Utterance) -> Sound {
        let name: [u8; 24] = rand::rng().random();
        let name: String = name.iter().map(|byte| format!("{byte:02x}")).collect();
        self.recent.push(name.clone());
        lock(&self.shared).insert(name.clone(), utterance.clone());
        Sound::Kept(name)
    }

    /// Another page is about to be made, after a question or not.
    pub(super) fn turn_page(&mut self, after_question: bool) {
        if after_question {
            let past = std::mem::replace(&mut self.past, std::mem::take(&mut self.recent));
            self.forget(&past);
        }
    }

    fn forget(&self, names: &[String]) {
        let mut shared = lock(&self.shared);
        for name in names {
            shared.remove(name);
        }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.forget(&self.recent);
        self.forget(&self.past);
    }
}

/// A map is whole even if a thread died while it held the lock.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
