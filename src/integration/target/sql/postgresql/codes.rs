//! What PostgreSQL's codes mean (manual, appendix A). Its texts are in the language of the server; codes, and the names of its
//! own functions that it sends along, are not.

use sqlx::postgres::{PgDatabaseError, PgSeverity};

use super::super::super::{Refusal, Verdict};
use super::super::server::shown;

/// The parts of an error that say what it means.
#[derive(Clone, Copy, Debug)]
pub(super) struct Code<'a> {
    state: &'a str,
    routine: &'a str,
    is_fatal: bool,
}

impl<'a> Code<'a> {
    pub(super) fn of(error: &'a PgDatabaseError) -> Self {
        Self {
            state: error.code(),
            routine: error.routine().unwrap_or_default(),
            is_fatal: matches!(error.severity(), PgSeverity::Fatal | PgSeverity::Panic),
        }
    }

    /// What a refused sign-in has shown; `None` when it was not about the password. Whether somebody may come in at all, and
    /// into which database, is asked after the password was right.
    pub(super) fn verdict(self) -> Option<Verdict> {
        match (self.state, self.routine) {
            // Invalid password.
            ("28P01", _) => Some(Verdict::Rejected),
            // Not permitted to log in. The same code without this function: nobody is let in from here.
            ("28000", "InitializeSessionUserId") => Some(Verdict::Barred),
            // Too many connections of this role; a database that is not there, or that this role may not use.
            ("53300", "InitializeSessionUserId") | ("3D000", _) | (_, "CheckMyDatabase") => Some(Verdict::Accepted),
            _ => None,
        }
    }

    /// What became of a change.
    pub(super) fn outcome(self) -> Outcome {
        // The connection is cut, at whatever moment. Everything less rolls the statement back.
        if self.is_fatal {
            return Outcome::Unknown;
        }
        match (self.state, self.state.get(..2).unwrap_or_default()) {
            // Insufficient privilege.
            ("42501", _) => Outcome::Refused(Refusal::Rights),
            // Undefined object.
            ("42704", _) => Outcome::Refused(Refusal::NoSuchAccount),
            // Invalid parameter value: what modules that check passwords answer.
            ("22023", _) => Outcome::Refused(Refusal::Policy),
            // Completion unknown; connections that broke, as poolers say it.
            ("40003", _) | (_, "08") => Outcome::Unknown,
            // Read-only transaction (a standby), lock not available; rolled back, out of resources, interrupted, failed.
            ("25006" | "55P03", _) | (_, "40" | "53" | "57" | "58" | "XX") => Outcome::Elsewhere,
            _ => Outcome::Refused(Refusal::Other),
        }
    }
}

/// What became of a change that was not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Refused(Refusal),
    /// Nothing happened, and it may later.
    Elsewhere,
    Unknown,
}

/// What the server said, fit for a log. Errors of syntax repeat a part of the statement, so their text is left out.
pub(super) fn said(error: &PgDatabaseError) -> String {
    match error.code() {
        "42601" => "error 42601".to_owned(),
        code => format!("error {code}, {:?}", shown(error.message())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(state: &'static str, routine: &'static str, is_fatal: bool) -> Code<'static> {
        Code {
            state,
            routine,
            is_fatal,
        }
    }

    #[test]
    fn a_sign_in_that_fails_after_the_password_shows_that_it_was_right() {
        for (state, routine, verdict) in [
            ("28P01", "auth_failed", Some(Verdict::Rejected)),
            ("28000", "InitializeSessionUserId", Some(Verdict::Barred)),
            ("28000", "ClientAuthentication", None),
            ("28000", "auth_failed", None),
            ("3D000", "InitPostgres", Some(Verdict::Accepted)),
            ("42501", "CheckMyDatabase", Some(Verdict::Accepted)),
            ("53300", "InitializeSessionUserId", Some(Verdict::Accepted)),
            ("53300", "InitProcess", None),
            ("57P03", "ProcessStartupPacket", None),
        ] {
            assert_eq!(code(state, routine, true).verdict(), verdict, "{state} {routine}");
        }
    }

    #[test]
    fn a_change_is_undone_by_an_error_and_unknown_after_a_fatal_one() {
        for (state, outcome) in [
            ("42501", Outcome::Refused(Refusal::Rights)),
            ("42704", Outcome::Refused(Refusal::NoSuchAccount)),
            ("22023", Outcome::Refused(Refusal::Policy)),
            ("25006", Outcome::Elsewhere),
            ("57014", Outcome::Elsewhere),
            ("XX000", Outcome::Elsewhere),
            ("42601", Outcome::Refused(Refusal::Other)),
            ("", Outcome::Refused(Refusal::Other)),
        ] {
            assert_eq!(code(state, "", false).outcome(), outcome, "{state}");
            assert_eq!(code(state, "", true).outcome(), Outcome::Unknown, "{state}");
        }
    }
}
