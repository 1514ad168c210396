//! What the numbers of MariaDB and MySQL mean. They are the same up to 3,000 (MySQL) and 4,000 (MariaDB), where each goes on
//! with its own.

use sqlx::mysql::MySqlDatabaseError;

use super::super::super::{Refusal, Verdict};
use super::super::server::shown;

/// `ALTER USER` did not succeed; why, the warnings say.
pub(super) const CANNOT_USER: u16 = 1396;

/// The server is started in a way that forbids this.
const OPTION_PREVENTS: u16 = 1290;

/// What a sign-in has shown; `None` when it was not about the password.
pub(super) fn verdict(number: u16) -> Option<Verdict> {
    match number {
        // Access denied; by a plugin; not from this host.
        1045 | 1698 | 1130 => Some(Verdict::Rejected),
        // Must be changed before anything else; not even signed in.
        1820 | 1862 => Some(Verdict::AcceptedMustChange),
        // Blocked after too many tries (MariaDB, MySQL); locked by an administrator (MariaDB, MySQL).
        4150 | 3955 | 4151 | 3118 => Some(Verdict::Barred),
        // No such database, or not for this user; too many connections of this user.
        1044 | 1049 | 1203 | 1226 => Some(Verdict::Accepted),
        _ => None,
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

/// By the number and, where one stands for many things, by the text, which names an option.
pub(super) fn outcome(number: u16, text: &str) -> Outcome {
    match number {
        // Breaks the rules; is one of the last ones (MySQL).
        1819 | 3638 => Outcome::Refused(Refusal::Policy),
        // Access denied: to a database, a table, a column, a privilege.
        1044 | 1142 | 1143 | 1227 => Outcome::Refused(Refusal::Rights),
        // No such user.
        1133 => Outcome::Refused(Refusal::NoSuchAccount),
        OPTION_PREVENTS if text.contains("read-only") => Outcome::Elsewhere,
        // Read only; waited too long for a lock, deadlock; a cluster that is not ready.
        1836 | 1205 | 1213 | 1047 => Outcome::Elsewhere,
        // Something broke on the way, or somebody interrupted it: storage, log, shutdown, kill, time limit.
        // Also what a proxy says whose own connection broke.
        1026 | 1030 | 1053 | 1105 | 1158..=1161 | 1180 | 1317 | 1598 | 1927 | 1969 | 2006 | 2013 | 3024 => {
            Outcome::Unknown
        }
        _ => Outcome::Refused(Refusal::Other),
    }
}

/// What the server said, fit for a log. Errors of syntax repeat a part of the statement, so their text is left out.
pub(super) fn said(error: &MySqlDatabaseError) -> String {
    match error.number() {
        number @ (1064 | 1149) => format!("error {number}"),
        number => format!("error {number}, {:?}", shown(error.message())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_has_its_meaning() {
        for (number, text, meaning) in [
            (1819, "", Outcome::Refused(Refusal::Policy)),
            (1227, "", Outcome::Refused(Refusal::Rights)),
            (1290, "running with the --read-only option", Outcome::Elsewhere),
            (
                1290,
                "running with the --strict-password-validation option",
                Outcome::Refused(Refusal::Other),
            ),
            (1317, "", Outcome::Unknown),
            (1064, "", Outcome::Refused(Refusal::Other)),
        ] {
            assert_eq!(outcome(number, text), meaning, "{number} {text}");
        }
        assert_eq!(verdict(1045), Some(Verdict::Rejected));
        assert_eq!(
            verdict(1040),
            None,
            "too many connections, said before anything is asked"
        );
    }
}
