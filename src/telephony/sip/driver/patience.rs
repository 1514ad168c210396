//! How long a connection may be silent, slow, or unproved.
//!
//! ```text
//! accepted --> idle --first byte--> in a message --last byte--> idle ...
//!    |          `-- idle_trunk, idle_stranger: closed   `-- message: closed, however many bytes trickle in
//!    `-- stranger_lifetime: closed, whatever it says, unless it has proved a password by then
//! ```

use tokio::time::Instant;

use super::ConnectionLimits;

/// The clock of one connection.
pub(super) struct Patience {
    limits: ConnectionLimits,
    opened: Instant,
    heard: Instant,
    /// When the first byte of the message came that is not complete.
    message_since: Option<Instant>,
}

impl Patience {
    pub(super) fn new(limits: ConnectionLimits, now: Instant) -> Self {
        Self {
            limits,
            opened: now,
            heard: now,
            message_since: None,
        }
    }

    /// Bytes have come; `is_midway`: the last message is not complete, `got_frame`: another one was.
    pub(super) fn heard(&mut self, now: Instant, is_midway: bool, got_frame: bool) {
        self.heard = now;
        self.message_since = match self.message_since {
            _ if !is_midway => None,
            Some(since) if !got_frame => Some(since),
            _ => Some(now),
        };
    }

    /// When the connection is to be closed if nothing more comes.
    pub(super) fn deadline(&self, is_trusted: bool) -> Instant {
        let limits = &self.limits;
        let idle = if is_trusted {
            limits.idle_trunk
        } else {
            limits.idle_stranger
        };
        let mut deadline = self.heard + idle;
        if let Some(since) = self.message_since {
            deadline = deadline.min(since + limits.message);
        }
        if !is_trusted {
            deadline = deadline.min(self.opened + limits.stranger_lifetime);
        }
        deadline
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn limits() -> ConnectionLimits {
        ConnectionLimits {
            message: Duration::from_secs(10),
            idle_stranger: Duration::from_secs(15),
            stranger_lifetime: Duration::from_secs(30),
            idle_trunk: Duration::from_secs(7200),
            ..ConnectionLimits::default()
        }
    }

    /// The deadline in seconds after the start.
    fn seconds(patience: &Patience, start: Instant, is_trusted: bool) -> u64 {
        patience.deadline(is_trusted).duration_since(start).as_secs()
    }

    #[test]
    fn bytes_that_trickle_in_do_not_extend_the_time_for_a_message() {
        let start = Instant::now();
        let mut patience = Patience::new(limits(), start);
        for second in 1..10 {
            patience.heard(start + Duration::from_secs(second), true, false);
            assert_eq!(seconds(&patience, start, true), 11);
        }
        // The message is complete, and the next one has begun.
        patience.heard(start + Duration::from_secs(10), true, true);
        assert_eq!(seconds(&patience, start, true), 20);
        patience.heard(start + Duration::from_secs(11), false, true);
        assert_eq!(seconds(&patience, start, true), 7211);
    }

    #[test]
    fn strangers_are_cut_off_whatever_they_say() {
        let start = Instant::now();
        let mut patience = Patience::new(limits(), start);
        assert_eq!(seconds(&patience, start, false), 15);
        for second in 1..30 {
            // Keepalives and whole messages.
            patience.heard(start + Duration::from_secs(second), false, true);
        }
        assert_eq!(seconds(&patience, start, false), 30);
        assert_eq!(seconds(&patience, start, true), 7229, "a password was proved");
    }
}
