//! Use cases: what a door can ask for. One file each, one transaction each: the change, its audit links and its outbox
//! rows become true together or not at all.
//!
//! ```text
//!  begin ─▶ identify ─▶ (discriminate) ─▶ next_question ⇄ answer ─▶ evidence ─┬▶ list_systems, select
//!                                                                             ├▶ account_states, unlock
//!                                                                             ├▶ propose_password, check_readback
//!  end ◀─────────────────────────────────────────────────────────────────────┴▶ reset
//! ```
//!
//! [`Services`] is what the doors hold; a [`Visit`] is one caller's way through them. Where a visit stands is a row of
//! the database, so that the next request may come to another process. A rule (lockout, evidence, audit) is kept here
//! and nowhere else: no door can walk around it.

mod account_state;
mod api_access;
mod api_client;
pub mod audit;
mod authority;
mod background;
mod begin;
mod call_record;
mod candidates;
mod change;
mod config;
mod decoys;
mod end;
mod entropy;
mod error;
mod execution;
mod handle;
mod hashing;
mod history;
mod housekeeping;
mod identify;
mod import;
mod job;
pub mod key_source;
mod lockouts;
mod metrics;
mod node;
mod outbox;
mod outcome;
mod password;
mod people;
pub mod pepper;
mod record;
mod recovery;
mod renewal;
mod repeat;
mod reset;
mod sync;
mod systems;
mod under_way;
mod unlock;
pub mod vault;
mod verify;
mod visit;
mod watch;

#[cfg(test)]
pub(crate) mod tests;

use std::fmt;
use std::sync::Arc;

use rand::CryptoRng;
use tokio::sync::Mutex;
use tokio_util::task::TaskTracker;

pub use account_state::{AccountStateReport, StatesTold};
pub use api_access::{ApiPeer, ApiSession, Lead, SessionLimits, SignIn, SignedIn};
pub use api_client::{ApiClient, ApiClientChange, ApiClientError, ApiClientName, NewApiClient, Right};
pub use begin::Arrival;
pub use candidates::{Candidate, Candidates};
pub use change::ChangeLimits;
pub use config::{Config, Problem};
pub use entropy::Entropy;
pub use error::ServiceError;
pub use execution::{AccountReport, ChangeReport};
pub use handle::Handle;
pub use identify::Identified;
pub use import::{ImportReport, Mistake, Progress as ImportProgress};
pub use job::{JobAccount, JobOutcome, JobReport, NewPassword, ResetOrder, UnlockOrder};
pub use metrics::Metrics;
pub use outbox::{LogSink, OutboxLimits, Sent, Sink, SinkError};
pub use outcome::{Outcome, ParseOutcomeError, Proof, Summary};
pub use password::{Proposal, Proposed, ReadBack};
pub use people::{Enrolment, NewQuestion, NewUser, PeopleError, UserReport};
pub use recovery::Recovered;
pub use renewal::{RenewalError, Renewed};
pub use repeat::IdempotencyKey;
pub use sync::{
    Attributes, LinkRule, Mapping, SourceStatus, SyncCounts, SyncError, SyncOptions, SyncProblem, SyncReport, SyncRules,
};
pub use systems::{Selected, System};
pub use unlock::Unlocked;
pub use verify::{Answered, NextQuestion, RoundAsked, RoundEnded};
pub use visit::Visit;

pub use crate::store::call::{CallEnd, CallMedia, CallRecord, CallStart, RemoteReception};
pub use call_record::CallEntry;

use crate::identity::answer_hash::AnswerHasher;
use crate::identity::ids::CallId;
use crate::identity::pepper::Peppers;
use crate::identity::policy::Dictionary;
use crate::integration::target::Target;
use crate::store::Store;
use crate::store::node::NodeName;
use crate::time::{Clock, Timestamp};
use decoys::Decoys;
use hashing::Hashing;
use under_way::UnderWay;
use watch::Condition;

/// What the services are built from.
pub struct Parts {
    /// The database.
    pub store: Store,
    /// The target systems, in the order in which callers hear them. No two share a name.
    pub targets: Vec<Arc<dyn Target>>,
    /// What they are told.
    pub config: Config,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// The keys that are not in the database.
    pub peppers: Peppers,
    /// Passwords that are guessed first.
    pub dictionary: Arc<dyn Dictionary + Send + Sync>,
    /// Randomness.
    pub entropy: Entropy,
}

/// The use cases; cheap to clone.
#[derive(Clone)]
pub struct Services(Arc<Inner>);

struct Inner {
    store: Store,
    targets: Vec<Arc<dyn Target>>,
    config: Config,
    clock: Arc<dyn Clock>,
    hasher: AnswerHasher,
    dictionary: Arc<dyn Dictionary + Send + Sync>,
    hashing: Hashing,
    /// Apart from answers: whoever tries passwords at the door of the API must not let callers wait.
    sign_ins: Hashing,
    decoys: Decoys,
    entropy: Entropy,
    metrics: Metrics,
    /// This process among those of its node.
    owner: String,
    /// The name of this node, once it was taken.
    name: Mutex<Option<NodeName>>,
    /// Work that outlives the request which ordered it.
    tasks: TaskTracker,
    under_way: UnderWay,
    database: Condition,
}

impl Services {
    /// Puts the services together. Nothing runs yet; see [`Self::join`], [`Self::recover`] and [`Self::run_background`].
    ///
    /// # Errors
    /// [`ServiceError::Config`] with the first problem, or [`ServiceError::Hash`], when the configuration cannot work.
    pub fn new(parts: Parts) -> Result<Self, ServiceError> {
        if let Some(Problem { section, message }) = parts.config.problems().into_iter().next() {
            return Err(ServiceError::Config { section, message });
        }
        let owner = parts.entropy.with(|rng| {
            let mut bytes = [0; 8];
            rng.fill_bytes(&mut bytes);
            format!("{:016x}", u64::from_be_bytes(bytes))
        });
        Ok(Self(Arc::new(Inner {
            hasher: AnswerHasher::new(parts.config.hashing.clone(), parts.peppers)?,
            hashing: Hashing::new(parts.config.hashes_at_once),
            sign_ins: Hashing::new(1),
            store: parts.store,
            targets: parts.targets,
            dictionary: parts.dictionary,
            config: parts.config,
            clock: parts.clock,
            decoys: Decoys::default(),
            entropy: parts.entropy,
            metrics: Metrics::default(),
            owner,
            name: Mutex::new(None),
            tasks: TaskTracker::new(),
            under_way: UnderWay::default(),
            database: Condition::default(),
        })))
    }

    /// A number for a call, the same in records, events and logs.
    #[must_use]
    pub fn new_call_id(&self) -> CallId {
        let now = self.now();
        self.draw(|rng| CallId::generate(now, rng))
    }

    /// What was done so far.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    /// Waits until the work is done that outlives its request: changes under way, hashes renewed. Doors must be closed
    /// before, or it may never end; give it a limit.
    pub async fn drain(&self) {
        self.0.tasks.close();
        self.0.tasks.wait().await;
    }

    fn store(&self) -> &Store {
        &self.0.store
    }

    fn config(&self) -> &Config {
        &self.0.config
    }

    fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    fn hasher(&self) -> &AnswerHasher {
        &self.0.hasher
    }

    fn peppers(&self) -> &Peppers {
        self.0.hasher.peppers()
    }

    fn draw<T>(&self, draw: impl FnOnce(&mut dyn CryptoRng) -> T) -> T {
        self.0.entropy.with(draw)
    }

    fn target(&self, name: &str) -> Option<&Arc<dyn Target>> {
        self.0.targets.iter().find(|target| target.name() == name)
    }
}

impl fmt::Debug for Services {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Services")
            .field("node", &self.0.config.node)
            .finish_non_exhaustive()
    }
}
