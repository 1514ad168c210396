//! What the tools of a host print.

use std::ops::RangeInclusive;

/// A line of `getent passwd` (passwd(5)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Person<'a> {
    pub(super) name: &'a str,
    pub(super) uid: u32,
}

impl<'a> Person<'a> {
    pub(super) fn parse(line: &'a str) -> Option<Self> {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        let uid = fields.nth(1)?.parse().ok()?;
        Some(Self { name, uid })
    }
}

/// Everybody in the range, in order.
pub(super) fn people(text: &str, uids: &RangeInclusive<u32>) -> Vec<String> {
    let mut names: Vec<String> = text
        .lines()
        .filter_map(Person::parse)
        .filter(|person| uids.contains(&person.uid))
        .map(|person| person.name.to_owned())
        .collect();
    names.sort();
    names.dedup();
    names
}

/// What `passwd -S` says of a password (passwd(1)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Status {
    /// Locked by an administrator, or never set: nothing opens the account.
    pub(super) disabled: bool,
    /// A new one is demanded at the next sign-in.
    pub(super) must_change: bool,
}

impl Status {
    /// Debian prints `anna P 2026-11-30 0 99999 7 -1`, older ones `11/30/2026`, Red Hat `PS` and `LK`.
    pub(super) fn parse(text: &str, name: &str) -> Option<Self> {
        let line = text.lines().find(|line| line.split_whitespace().next() == Some(name))?;
        let mut fields = line.split_whitespace().skip(1);
        let (kind, changed) = (fields.next()?, fields.next()?);
        let disabled = match kind {
            "P" | "PS" | "NP" => false,
            "L" | "LK" => true,
            _ => return None,
        };
        Some(Self {
            disabled,
            must_change: ["1970-01-01", "01/01/1970"].contains(&changed),
        })
    }
}

/// How `pam_faillock` counts, from its faillock.conf(5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LockRules {
    /// Failures until a lock.
    deny: usize,
    /// Seconds until a lock goes by itself; 0 is never.
    unlock_time: i64,
}

impl LockRules {
    pub(super) fn parse(text: &str) -> Self {
        let value = |key: &str| {
            text.lines().find_map(|line| {
                let (name, value) = line.split_once('=')?;
                (name.trim() == key).then(|| value.trim())
            })
        };
        Self {
            deny: value("deny").and_then(|text| text.parse().ok()).unwrap_or(3),
            unlock_time: match value("unlock_time") {
                Some("never") => 0,
                Some(text) => text.parse().unwrap_or(600),
                None => 600,
            },
        }
    }

    /// Whether the failures that `faillock --user` lists lock an account at `now`, in the time of that host.
    pub(super) fn is_locked(self, failures: &str, now: time::PrimitiveDateTime) -> bool {
        let valid: Vec<time::PrimitiveDateTime> = failures
            .lines()
            .filter(|line| line.split_whitespace().next_back() == Some("V"))
            .filter_map(|line| clock(line.get(..19)?))
            .collect();
        let latest = valid.iter().max();
        valid.len() >= self.deny
            && latest.is_some_and(|&at| self.unlock_time == 0 || (now - at).whole_seconds() < self.unlock_time)
    }
}

/// `2026-11-30 13:44:02`.
pub(super) fn clock(text: &str) -> Option<time::PrimitiveDateTime> {
    let format = time::format_description::parse_borrowed::<2>("[year]-[month]-[day] [hour]:[minute]:[second]").ok()?;
    time::PrimitiveDateTime::parse(text.trim(), &format).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_read_as_debian_and_red_hat_print_it() {
        let status = |text| Status::parse(text, "anna");
        let is = |disabled, must_change| Some(Status { disabled, must_change });
        assert_eq!(status("anna P 2026-11-30 0 99999 7 -1\n"), is(false, false));
        assert_eq!(status("anna P 1970-01-01 0 99999 7 -1\n"), is(false, true));
        assert_eq!(status("anna P 01/01/1970 0 99999 7 -1\n"), is(false, true));
        assert_eq!(status("anna L 2026-11-30 0 99999 7 -1"), is(true, false));
        assert_eq!(
            status("anna PS 2026-11-30 0 99999 7 -1 (Password set, SHA512 crypt.)"),
            is(false, false)
        );
        assert_eq!(
            status("anna LK 1969-12-31 0 99999 7 -1 (Password locked.)"),
            is(true, false)
        );
        assert_eq!(status("warning\nanna NP 2026-11-30 0 99999 7 -1"), is(false, false));
        assert_eq!(status("annabel P 2026-11-30 0 99999 7 -1"), None);
        assert_eq!(status(""), None);
    }

    #[test]
    fn people_are_those_in_the_range() {
        let text = "root:x:0:0:root:/root:/bin/bash\nbert:x:1001:1001::/home/bert:/bin/bash\n\
                    anna:x:1000:1000::/home/anna:/bin/bash\nnobody:x:65534:65534::/:/bin/false\nbroken\n";
        assert_eq!(people(text, &(1_000..=60_000)), ["anna", "bert"]);
    }

    #[test]
    fn a_lock_is_what_counts_now() {
        let rules = LockRules::parse("# deny = 9\ndeny = 2\nunlock_time=600\n");
        let listed = "anna:\nWhen                Type  Source                                           Valid\n\
                      2026-11-30 13:40:00 RHOST 127.0.0.1                                            V\n\
                      2026-11-30 13:40:02 RHOST 127.0.0.1                                            V\n\
                      2026-11-30 13:00:02 RHOST 127.0.0.1                                            I\n";
        let now = |text| clock(text).expect("a time");
        assert!(rules.is_locked(listed, now("2026-11-30 13:41:00")));
        assert!(
            !rules.is_locked(listed, now("2026-11-30 13:50:02")),
            "it went by itself"
        );
        let never = LockRules::parse("deny=2\nunlock_time = never");
        assert!(never.is_locked(listed, now("2027-11-30 13:50:02")));
        assert!(
            !LockRules::parse("").is_locked(listed, now("2026-11-30 13:41:00")),
            "two of three"
        );
        assert!(!rules.is_locked("anna:\n", now("2026-11-30 13:41:00")));
    }
}
