//! The calls of the web API, apart from how they are written on the wire: JSON, SOAP and the adapters hand a request in and
//! get a response or a [`Fault`] out.
//!
//! ```text
//!  Login ─▶ UserIVRList ─▶ UserQuestionsGet ⇄ UserAnswersValidate ─┬▶ UserAccountList, UserAccountsUnlock
//!                                                                  ├▶ PasswordRandomGet (again and again)
//!  Logout ◀── JobGet ◀─────────────────────────────────────────────┴▶ UserPasswordSync
//! ```
//!
//! A call decides nothing: who may do what is checked in `service`, on the evidence of the session, with every request.
//! Each is bounded: it answers within [`Settings::limit`], whatever stands behind it.

pub(super) mod audio;
pub mod fault;
mod turns;
pub mod types;

pub mod job_get;
pub mod login;
pub mod logout;
pub mod password_random_get;
pub mod user_account_list;
pub mod user_accounts_unlock;
pub mod user_answers_validate;
pub mod user_ivr_list;
pub mod user_password_sync;
pub mod user_questions_get;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::runtime::Handle;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;
use utoipa::ToSchema;

pub use fault::{Fault, FaultKind};
use turns::Turns;

use super::limiter::Limiter;
use super::log::Asker;
use crate::call::Labels;
use crate::secret::Secret;
use crate::service::{ApiPeer, ApiSession, Lead, Services, SignIn, SignedIn};
use crate::speech::{Language, Speaker, Speech};
use crate::time::monotonic;

/// What the calls are told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How long a call may take before the client is told to try again. Just under two seconds: outside IVRs wait no
    /// longer.
    pub limit: Duration,
    /// How long a call may wait for its turn; then nothing of it has begun.
    pub turn: Duration,
    /// Calls that are carried out at once, three quarters of them for one address at the most, as of all that follow. 32: more
    /// would only queue for the database, and telephone calls with them.
    pub at_once: usize,
    /// Calls that may wait for a slow hash or a target system, at once, apart from the rest: hashes are made one at a time, and who
    /// waits for one must not take the place of a call that would be done in a millisecond.
    pub slow_at_once: usize,
    /// Sign-ins that are carried out at once, apart from the rest: whoever tries passwords must not keep callers waiting.
    pub sign_ins_at_once: usize,
    /// Whether people who share their digits are told by name; otherwise by their place in the list.
    pub names: bool,
    /// The language of callers of whom nothing else is known.
    pub language: Language,
}

impl Settings {
    /// The defaults, with this language.
    #[must_use]
    pub fn new(language: Language) -> Self {
        Self {
            limit: Duration::from_millis(1_900),
            turn: Duration::from_millis(400),
            at_once: 32,
            slow_at_once: 32,
            sign_ins_at_once: 4,
            names: false,
            language,
        }
    }
}

/// The calls; cheap to clone.
#[derive(Clone)]
pub struct Calls(Arc<Inner>);

struct Inner {
    services: Services,
    speech: Speech,
    labels: Labels,
    settings: Settings,
    limiter: Limiter,
    turns: Turns,
    slow_turns: Turns,
    sign_in_turns: Turns,
    tasks: TaskTracker,
    /// Nobody signs in any more.
    is_closing: AtomicBool,
    /// Where calls run, whoever asks for them.
    runtime: Handle,
}

/// Whose request it is, as the way in has found out.
#[derive(Clone, Debug)]
pub struct Who {
    /// Where it comes from.
    pub peer: ApiPeer,
    /// The session that it says it belongs to.
    pub token: Option<Secret>,
    /// Who asks, as soon as that is known; for the log.
    pub asker: Arc<Asker>,
    /// Until when it must be answered.
    pub until: Instant,
}

impl Who {
    /// How long something may still be waited for, so that the answer is in time.
    fn patience(&self) -> Duration {
        const ANSWERING: Duration = Duration::from_millis(300);
        let left = self.until.saturating_duration_since(monotonic());
        left.saturating_sub(ANSWERING)
    }
}

/// A call.
pub trait Call: Send + Sized + 'static {
    /// Its name, the same in every form of the API.
    const NAME: &'static str;
    /// What it does, in a line.
    const SUMMARY: &'static str;
    /// What it does, its order among the others, its limits.
    const DESCRIPTION: &'static str;
    /// Whether it belongs to a session.
    const IN_SESSION: bool = true;
    /// Among whom it waits for its turn.
    const PLACE: Place = Place::Call;
    /// Faults of its own, beside [`COMMON_FAULTS`].
    const FAULTS: &'static [FaultKind];
    /// What it takes.
    type Request: DeserializeOwned + ToSchema + Send + 'static;
    /// What it gives.
    type Response: Serialize + ToSchema + Send + 'static;

    /// Carries it out.
    fn run(
        calls: &Calls,
        who: Who,
        request: Self::Request,
    ) -> impl Future<Output = Result<Self::Response, Fault>> + Send;
}

/// Among whom work waits for its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The calls of sessions.
    Call,
    /// Those of them that wait for a slow hash or a target system.
    Slow,
    /// Sign-ins.
    SignIn,
}

/// Faults that any call may end with.
pub const COMMON_FAULTS: &[FaultKind] = &[
    FaultKind::InvalidRequest,
    FaultKind::BodyTooLarge,
    FaultKind::UnsupportedMediaType,
    FaultKind::TooManyRequests,
    FaultKind::Busy,
    FaultKind::Unfinished,
    FaultKind::Internal,
];

/// Runs the same code for every call, in the order in which they are made: what lists, routes or describes them.
#[macro_export]
macro_rules! for_each_call {
    ($each:ident) => {
        $each!($crate::api::calls::login::Login);
        $each!($crate::api::calls::user_ivr_list::UserIvrList);
        $each!($crate::api::calls::user_questions_get::UserQuestionsGet);
        $each!($crate::api::calls::user_answers_validate::UserAnswersValidate);
        $each!($crate::api::calls::user_account_list::UserAccountList);
        $each!($crate::api::calls::user_accounts_unlock::UserAccountsUnlock);
        $each!($crate::api::calls::password_random_get::PasswordRandomGet);
        $each!($crate::api::calls::user_password_sync::UserPasswordSync);
        $each!($crate::api::calls::job_get::JobGet);
        $each!($crate::api::calls::logout::Logout);
    };
}

impl Calls {
    /// Calls to these services, that speak with these prompts. They run on the runtime that this is called on.
    #[must_use]
    pub fn new(services: Services, speech: Speech, labels: Labels, limiter: Limiter, settings: Settings) -> Self {
        Self(Arc::new(Inner {
            services,
            speech,
            labels,
            turns: Turns::new(settings.at_once),
            slow_turns: Turns::new(settings.slow_at_once),
            sign_in_turns: Turns::new(settings.sign_ins_at_once),
            settings,
            limiter,
            tasks: TaskTracker::new(),
            is_closing: AtomicBool::new(false),
            runtime: Handle::current(),
        }))
    }

    /// Whether one more request of this address is heard.
    pub fn admits(&self, address: IpAddr) -> bool {
        self.0.limiter.admit_address(address, monotonic())
    }

    /// Whose request it is, from now on.
    #[must_use]
    pub fn who(&self, peer: ApiPeer, token: Option<Secret>, asker: Arc<Asker>) -> Who {
        Who {
            peer,
            token,
            asker,
            until: monotonic() + self.settings().limit,
        }
    }

    /// Carries out a call, and answers in time. What takes longer goes on, and is told to whoever asks again with the same
    /// idempotency key. A client that stops waiting stops nothing.
    ///
    /// # Errors
    /// What the call ends with; [`FaultKind::Busy`] when it has not begun, [`FaultKind::Unfinished`] when it goes on.
    pub async fn carry_out<C: Call>(&self, who: Who, request: C::Request) -> Result<C::Response, Fault> {
        let (until, address) = (who.until, who.peer.address);
        let work = async move |calls: Self| C::run(&calls, who, request).await;
        self.run(C::NAME, (C::PLACE, address), until, work).await
    }

    /// Runs work with the services where they run, when there is a place for it and for more of this address; answers in time.
    pub(super) async fn run<T, W, F>(
        &self,
        name: &'static str,
        (place, address): (Place, IpAddr),
        until: Instant,
        work: W,
    ) -> Result<T, Fault>
    where
        T: Send + 'static,
        W: FnOnce(Self) -> F + Send + 'static,
        F: Future<Output = Result<T, Fault>> + Send,
    {
        let calls = self.clone();
        let left = until.saturating_duration_since(monotonic());
        let work = async move {
            let turns = match place {
                Place::Call => &calls.0.turns,
                Place::Slow => &calls.0.slow_turns,
                Place::SignIn => &calls.0.sign_in_turns,
            };
            let Some(_turn) = turns.take(address, calls.settings().turn).await else {
                return Err(Fault::new(FaultKind::Busy));
            };
            work(calls.clone()).await
        };
        let task = self.0.tasks.spawn_on(work, &self.0.runtime);
        match timeout(left, task).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => {
                tracing::error!(call = name, %error, "a call of the API has failed");
                Err(Fault::new(FaultKind::Internal))
            }
            Err(_) => Err(Fault::new(FaultKind::Unfinished)),
        }
    }

    /// From now on nobody signs in, at any way in; sessions go on.
    pub fn close(&self) {
        self.0.is_closing.store(true, Ordering::Relaxed);
    }

    /// Begins a session of one caller, at whichever way in; `asker` hears who it is.
    pub(super) async fn sign_in(&self, sign_in: SignIn<'_>, asker: &Asker) -> Result<ApiSession, Fault> {
        if self.0.is_closing.load(Ordering::Relaxed) {
            let detail = "this node is being stopped; use another one, or wait";
            return Err(Fault::with(FaultKind::Busy, detail));
        }
        let name = sign_in.client.to_owned();
        let session = match self.services().sign_in(sign_in).await? {
            SignedIn::Refused { is_known } => {
                // A name that nobody has may be a password that was typed in the wrong place.
                if is_known {
                    let _ = asker.client.set(name);
                }
                return Err(Fault::new(FaultKind::SignInRefused));
            }
            SignedIn::Wait(wait) => return Err(Fault::wait(FaultKind::TooManyTries, wait)),
            SignedIn::Session(session) => *session,
        };
        let _ = asker.client.set(session.client.clone());
        let _ = asker.session.set(session.visit.id());
        if let Err(fault) = self.admit_client(&session.client) {
            session.visit.end().await?;
            return Err(fault);
        }
        Ok(session)
    }

    /// Only whoever has proved to be a client is counted as it: otherwise anybody could use up what it may ask.
    fn admit_client(&self, client: &str) -> Result<(), Fault> {
        match self.0.limiter.admit_client(client, monotonic()) {
            true => Ok(()),
            false => Err(Fault::wait(FaultKind::TooManyRequests, Duration::from_secs(1))),
        }
    }

    /// Waits until every call that was begun is done. The way in must be closed before.
    pub async fn drain(&self) {
        self.0.tasks.close();
        self.0.tasks.wait().await;
    }

    pub(super) fn services(&self) -> &Services {
        &self.0.services
    }

    fn settings(&self) -> &Settings {
        &self.0.settings
    }

    fn labels(&self) -> &Labels {
        &self.0.labels
    }

    /// The session that a call belongs to.
    async fn session(&self, who: &Who) -> Result<ApiSession, Fault> {
        self.session_led(who, Lead::Client).await
    }

    /// The session that a request belongs to, at a door where `lead` leads.
    pub(super) async fn session_led(&self, who: &Who, lead: Lead) -> Result<ApiSession, Fault> {
        let token = who.token.as_ref().ok_or(Fault::new(FaultKind::NoSession))?;
        let session = self.services().resume(token, &who.peer, lead).await?;
        let _ = who.asker.client.set(session.client.clone());
        let _ = who.asker.session.set(session.visit.id());
        self.admit_client(&session.client)?;
        Ok(session)
    }

    /// The language of a session, as far as it is spoken here.
    fn speaker(&self, wish: Option<&Language>) -> Result<Speaker, Fault> {
        let language = wish.unwrap_or(&self.settings().language);
        let speaker = self
            .0
            .speech
            .speaker(language)
            .or_else(|_| self.0.speech.speaker(&self.settings().language));
        speaker.map_err(|error| {
            tracing::error!(%error, "the API has no language to speak");
            Fault::new(FaultKind::Internal)
        })
    }
}
