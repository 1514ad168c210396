//! Carries out the operations that a flow names, through the services.
//!
//! A [`Conversation`] is what a call knows between operations: the visit, the evidence once the caller is verified, the
//! password that was proposed last, the pace. It decides nothing: who may do what, and how often, is checked in
//! `service` each time.

use std::sync::{Arc, OnceLock};

use super::voice::{Change, Slots, Voice};
use crate::dialplan::operation::{Operation, Outcome, Slot};
use crate::digit::Digits;
use crate::identity::evidence::Evidence;
use crate::identity::ids::UserId;
use crate::secret::Secret;
use crate::service::{
    Answered, Arrival, Identified, NextQuestion, Proposal, Proposed, ReadBack, Selected, ServiceError, Services,
    StatesTold, Summary, System, Unlocked, Visit,
};
use crate::speech::SpeakError;
use crate::speech::phrase::Pace;

/// Why an operation has no outcome; the flow takes it like a time-out.
#[derive(Debug, thiserror::Error)]
pub(super) enum OperationError {
    /// The services failed.
    #[error(transparent)]
    Service(#[from] ServiceError),
    /// What was found out cannot be spoken.
    #[error(transparent)]
    Speech(#[from] SpeakError),
    /// The flow asks for this before the caller is verified, or before there is a password. The checker refuses such
    /// flows, and so do the services.
    #[error("the operation came before what it needs")]
    OutOfOrder,
}

/// An outcome and what can be spoken after it.
pub(super) struct Done {
    pub(super) outcome: Outcome,
    pub(super) slots: Slots,
}

/// What a call knows between operations.
pub(super) struct Conversation {
    /// How the visit is begun, as soon as there is something to do.
    first: Option<(Services, Arrival)>,
    known: Arc<Known>,
    voice: Arc<Voice>,
    readback: Readback,
    evidence: Option<Evidence>,
    proposal: Option<Proposal>,
    systems: Vec<System>,
    pace: Pace,
}

/// What has become known in a call, for whoever ends it while an operation has the conversation.
#[derive(Default)]
pub(super) struct Known {
    /// Begun by the first operation: most callers who dial a wrong number are gone before.
    pub(super) visit: OnceLock<Visit>,
    /// Who was verified.
    pub(super) user: OnceLock<UserId>,
}

/// Whether the caller keys the password back before it goes live.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Readback {
    /// Yes: nobody is left with a password they misheard.
    Wanted,
    /// No.
    #[default]
    NotWanted,
}

impl Conversation {
    pub(super) fn new(services: Services, arrival: Arrival, voice: Arc<Voice>, readback: Readback) -> Self {
        Self {
            first: Some((services, arrival)),
            ..Self::without_visit(voice, readback)
        }
    }

    /// In a visit that was begun already.
    pub(super) fn in_visit(visit: Visit, voice: Arc<Voice>, readback: Readback) -> Self {
        let conversation = Self::without_visit(voice, readback);
        conversation.known.visit.get_or_init(|| visit);
        conversation
    }

    fn without_visit(voice: Arc<Voice>, readback: Readback) -> Self {
        Self {
            first: None,
            known: Arc::default(),
            voice,
            readback,
            evidence: None,
            proposal: None,
            systems: Vec::new(),
            pace: Pace::Normal,
        }
    }

    /// What has become known, also while an operation runs.
    pub(super) fn known(&self) -> Arc<Known> {
        Arc::clone(&self.known)
    }

    /// The password that was proposed last, for somebody who sits at the machine and asked to see it.
    pub(super) fn proposed(&self) -> Option<&Secret> {
        self.proposal.as_ref().map(Proposal::password)
    }

    async fn visit(&self) -> Result<Visit, OperationError> {
        if let Some(visit) = self.known.visit.get() {
            return Ok(visit.clone());
        }
        let (services, arrival) = self.first.as_ref().ok_or(OperationError::OutOfOrder)?;
        let visit = services.begin(arrival.clone()).await?;
        Ok(self.known.visit.get_or_init(|| visit).clone())
    }

    /// Does what the flow asks for.
    pub(super) async fn perform(
        &mut self,
        operation: Operation,
        digits: Option<Digits>,
    ) -> Result<Done, OperationError> {
        let keyed = digits.unwrap_or_default();
        let mut slots = Slots::default();
        let outcome = match operation {
            Operation::Identify => identified(self.visit().await?.identify(&keyed).await?),
            Operation::Discriminate => identified(self.visit().await?.discriminate(&keyed).await?),
            Operation::NextQuestion => self.next_question(&mut slots).await?,
            Operation::Answer => self.answer(&keyed).await?,
            Operation::ListSystems => self.list_systems(&mut slots).await?,
            Operation::SelectSystem => self.select_system(&keyed, &mut slots).await?,
            Operation::SelectAll => {
                self.visit().await?.select_all(self.evidence()?).await?;
                Outcome::Selected
            }
            Operation::AccountState => self.account_state(&mut slots).await?,
            Operation::Unlock => self.unlock(&mut slots).await?,
            Operation::ProposePassword => self.propose_password(&mut slots).await?,
            Operation::PaceSlower => self.set_pace(Pace::Slower, &mut slots)?,
            Operation::PaceNormal => self.set_pace(Pace::Normal, &mut slots)?,
            Operation::ReadbackWanted => match self.readback {
                Readback::Wanted => Outcome::Yes,
                Readback::NotWanted => Outcome::No,
            },
            Operation::CheckReadback => self.check_readback(&keyed).await?,
            Operation::Reset => self.reset(&mut slots).await?,
        };
        Ok(Done { outcome, slots })
    }

    async fn next_question(&mut self, slots: &mut Slots) -> Result<Outcome, OperationError> {
        match self.visit().await?.next_question().await? {
            NextQuestion::Ask(question) => {
                slots.fill(Slot::Question, self.voice.question(&question).await?);
                Ok(Outcome::Ask)
            }
            NextQuestion::Unavailable => Ok(Outcome::Unavailable),
        }
    }

    async fn answer(&mut self, keyed: &Digits) -> Result<Outcome, OperationError> {
        Ok(match self.visit().await?.answer(keyed).await? {
            Answered::More => Outcome::More,
            Answered::Passed(evidence) => {
                let _ = self.known.user.set(evidence.user());
                self.evidence = Some(evidence);
                Outcome::Passed
            }
            Answered::Retry => Outcome::Retry,
            Answered::Failed => Outcome::Failed,
            Answered::Locked => Outcome::Locked,
        })
    }

    async fn list_systems(&mut self, slots: &mut Slots) -> Result<Outcome, OperationError> {
        self.systems = self.visit().await?.list_systems(self.evidence()?).await?;
        match self.systems.as_slice() {
            [] => Ok(Outcome::None),
            [only] => {
                slots.fill(Slot::System, self.voice.system(&only.name).await?);
                Ok(Outcome::One)
            }
            several => {
                slots.fill(Slot::SystemsMenu, self.voice.systems_menu(several).await?);
                Ok(Outcome::Several)
            }
        }
    }

    async fn select_system(&mut self, keyed: &Digits, slots: &mut Slots) -> Result<Outcome, OperationError> {
        match self.visit().await?.select_system(self.evidence()?, keyed).await? {
            Selected::Selected(system) => {
                slots.fill(Slot::System, self.voice.system(&system.name).await?);
                Ok(Outcome::Selected)
            }
            Selected::NoMatch => Ok(Outcome::NoMatch),
        }
    }

    async fn account_state(&mut self, slots: &mut Slots) -> Result<Outcome, OperationError> {
        match self.visit().await?.account_states(self.evidence()?).await? {
            StatesTold::Told(reports) => {
                slots.fill(Slot::AccountStates, self.voice.account_states(&reports).await?);
                Ok(Outcome::Told)
            }
            StatesTold::Unavailable => Ok(Outcome::Unavailable),
        }
    }

    async fn propose_password(&mut self, slots: &mut Slots) -> Result<Outcome, OperationError> {
        // The one before is gone from memory before there is another.
        self.proposal = None;
        match self.visit().await?.propose_password(self.evidence()?).await? {
            Proposed::Proposed(proposal) => {
                self.proposal = Some(proposal);
                self.spell(slots)?;
                Ok(Outcome::Proposed)
            }
            Proposed::Exhausted => Ok(Outcome::Exhausted),
            Proposed::Contradiction(reasons) => {
                tracing::error!(?reasons, "no password satisfies the rules of all chosen systems");
                Ok(Outcome::Contradiction)
            }
        }
    }

    async fn unlock(&mut self, slots: &mut Slots) -> Result<Outcome, OperationError> {
        let (outcome, report) = match self.visit().await?.unlock(self.evidence()?).await? {
            Unlocked::All(report) => (Outcome::All, report),
            Unlocked::Some(report) => (Outcome::Some, report),
            Unlocked::None(report) => (Outcome::None, report),
            Unlocked::NotLocked => return Ok(Outcome::NotLocked),
        };
        slots.fill(
            Slot::Results,
            self.voice.results(Change::Unlock, &report.accounts).await?,
        );
        Ok(outcome)
    }

    async fn reset(&mut self, slots: &mut Slots) -> Result<Outcome, OperationError> {
        let proposal = self.proposal.as_ref().ok_or(OperationError::OutOfOrder)?;
        let report = match self.visit().await?.reset(self.evidence()?, proposal, None).await {
            Err(ServiceError::NotVerified) => return Ok(Outcome::Refused),
            Err(ServiceError::UsedBefore) => return Ok(Outcome::UsedBefore),
            report => report?,
        };
        // It is live now: nobody needs it here any more.
        self.proposal = None;
        let results = self.voice.results(Change::Reset, &report.accounts).await?;
        slots.fill(Slot::Results, results);
        Ok(summary(report.summary()))
    }

    fn set_pace(&mut self, pace: Pace, slots: &mut Slots) -> Result<Outcome, OperationError> {
        self.pace = pace;
        if self.proposal.is_some() {
            self.spell(slots)?;
        }
        Ok(Outcome::Done)
    }

    fn spell(&self, slots: &mut Slots) -> Result<(), OperationError> {
        let proposal = self.proposal.as_ref().ok_or(OperationError::OutOfOrder)?;
        let password = proposal.password();
        slots.fill_password(
            self.voice.password(password, self.pace)?,
            self.voice.password_in_words(password),
        );
        Ok(())
    }

    async fn check_readback(&self, keyed: &Digits) -> Result<Outcome, OperationError> {
        let proposal = self.proposal.as_ref().ok_or(OperationError::OutOfOrder)?;
        Ok(
            match self
                .visit()
                .await?
                .check_readback(self.evidence()?, proposal, keyed)
                .await?
            {
                ReadBack::Match => Outcome::Match,
                ReadBack::Mismatch => Outcome::Mismatch,
            },
        )
    }

    fn evidence(&self) -> Result<&Evidence, OperationError> {
        self.evidence.as_ref().ok_or(OperationError::OutOfOrder)
    }
}

fn identified(identified: Identified) -> Outcome {
    match identified {
        Identified::One => Outcome::One,
        Identified::Several => Outcome::Several,
        Identified::Refused => Outcome::Refused,
    }
}

fn summary(summary: Summary) -> Outcome {
    match summary {
        Summary::All => Outcome::All,
        Summary::Some => Outcome::Some,
        Summary::None => Outcome::None,
    }
}
