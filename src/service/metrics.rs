//! Counters for whoever exports them. Plain numbers: no name, no label and no identifier of a person is here.

use crate::counter::Counter;

/// What the services have done since the process started.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Visits begun, by any door.
    pub visits: Counter,
    /// Visits turned away because the calling number is locked out.
    pub visits_refused: Counter,
    /// Entries of an ID, known or not.
    pub identifications: Counter,
    /// Rounds of questions passed.
    pub verifications_passed: Counter,
    /// Rounds of questions failed.
    pub verifications_failed: Counter,
    /// Times that a user, a decoy or a calling number was locked out.
    pub lockouts: Counter,
    /// Passwords proposed.
    pub proposals: Counter,
    /// Accounts with a new password, known for certain.
    pub resets_done: Counter,
    /// Accounts that keep the old password, known for certain.
    pub resets_failed: Counter,
    /// Accounts of which nobody knows yet.
    pub resets_unknown: Counter,
    /// Accounts unlocked.
    pub unlocks_done: Counter,
    /// Accounts that could not be unlocked.
    pub unlocks_failed: Counter,
    /// Intents of dead processes that were resolved.
    pub recovered: Counter,
    /// Deliveries made.
    pub deliveries: Counter,
    /// Deliveries that failed, counting each try.
    pub deliveries_failed: Counter,
    /// Beginnings and ends of calls that the database did not take.
    pub call_records_lost: Counter,
    /// Deliveries given up.
    pub deliveries_dead: Counter,
}
