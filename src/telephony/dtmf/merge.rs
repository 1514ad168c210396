//! One press that is reported in two ways counts once.
//!
//! Some gateways send a key as a telephone event and as SIP INFO. Reports are paired one to one: a report from one
//! source takes up an unpaired report of the same key from the other one that is not older than a window, counted from
//! the end of the press. Two fast presses of one key within one source are therefore two, and four reports of them are
//! still two.
//!
//! ```text
//!  event   5▔▔▔▔      5▔▔▔▔           both counted
//!  INFO          5         5          both taken up by the events before them
//! ```

use std::time::{Duration, Instant};

use zeroize::Zeroize as _;

use crate::digit::Digit;

/// How long after the end of a press its report may come from the other source. INFO takes the way of the signalling, where
/// one that is lost comes half a second later (timer E). Pairing one to one makes so long a window safe: two presses would
/// be one only if the far end told of the first in one way and of the second in the other.
const WINDOW: Duration = Duration::from_secs(1);
/// Reports remembered: a window full of the fastest typing, both ways.
const REMEMBERED: usize = 24;

/// Where a report came from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PressSource {
    /// RFC 4733.
    Event,
    /// SIP INFO.
    Info,
}

/// Decides which reports are presses.
#[derive(Clone, Debug, Default)]
pub struct PressMerger {
    /// Newest last.
    reports: [Option<Report>; REMEMBERED],
}

#[derive(Clone, Copy, Debug)]
struct Report {
    digit: Digit,
    source: PressSource,
    /// The end of the press, as far as known.
    last_seen: Instant,
    paired: bool,
}

impl PressMerger {
    /// Takes a report of a press; true if it counts.
    pub fn press(&mut self, source: PressSource, digit: Digit, now: Instant) -> bool {
        let partner = self.reports.iter_mut().flatten().find(|report| {
            report.digit == digit
                && report.source != source
                && !report.paired
                && now.saturating_duration_since(report.last_seen) <= WINDOW
        });
        let paired = partner.is_some();
        if let Some(partner) = partner {
            partner.paired = true;
        }
        self.reports.rotate_left(1);
        self.reports[REMEMBERED - 1] = Some(Report {
            digit,
            source,
            last_seen: now,
            paired,
        });
        !paired
    }

    /// The key of the newest report from `source` is still down, or has just gone up.
    pub fn held(&mut self, source: PressSource, digit: Digit, now: Instant) {
        let newest = self
            .reports
            .iter_mut()
            .rev()
            .flatten()
            .find(|report| report.source == source);
        if let Some(report) = newest.filter(|report| report.digit == digit) {
            report.last_seen = now;
        }
    }
}

impl Drop for PressMerger {
    fn drop(&mut self) {
        for report in self.reports.iter_mut().flatten() {
            report.digit.zeroize();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::PressSource::{Event, Info};
    use super::*;

    /// Presses that count, from reports of the key 5 at milliseconds.
    fn counted(reports: &[(PressSource, u64)]) -> usize {
        let start = crate::time::monotonic();
        let mut merger = PressMerger::default();
        reports
            .iter()
            .filter(|&&(source, at)| merger.press(source, Digit::D5, start + Duration::from_millis(at)))
            .count()
    }

    #[test]
    fn event_and_info_of_one_press_are_one_in_either_order() {
        assert_eq!(counted(&[(Event, 0), (Info, 120)]), 1);
        assert_eq!(counted(&[(Info, 0), (Event, 20)]), 1);
    }

    #[test]
    fn fast_double_presses_within_one_source_stay_two() {
        assert_eq!(counted(&[(Event, 0), (Event, 100)]), 2);
        assert_eq!(counted(&[(Info, 0), (Info, 100)]), 2);
    }

    #[test]
    fn fast_double_presses_both_ways_stay_two() {
        assert_eq!(counted(&[(Event, 0), (Info, 60), (Event, 100), (Info, 160)]), 2);
        assert_eq!(counted(&[(Event, 0), (Event, 100), (Info, 110), (Info, 160)]), 2);
        assert_eq!(counted(&[(Info, 0), (Event, 5), (Info, 100), (Event, 105)]), 2);
    }

    #[test]
    fn the_window_closes_a_second_after_the_end() {
        assert_eq!(counted(&[(Event, 0), (Info, 1_000)]), 1);
        assert_eq!(counted(&[(Event, 0), (Info, 1_001)]), 2);
    }

    #[test]
    fn a_held_key_keeps_the_window_open() {
        let start = crate::time::monotonic();
        let at = |millis| start + Duration::from_millis(millis);
        let mut merger = PressMerger::default();
        assert!(merger.press(Event, Digit::D5, at(0)));
        merger.held(Event, Digit::D5, at(900));
        assert!(!merger.press(Info, Digit::D5, at(1_000)));
    }

    #[test]
    fn info_that_had_to_be_sent_again_is_merged_from_the_first_press_on() {
        assert_eq!(counted(&[(Event, 0), (Info, 620), (Event, 1_000), (Info, 1_120)]), 2);
    }

    #[test]
    fn different_keys_are_never_merged() {
        let start = crate::time::monotonic();
        let mut merger = PressMerger::default();
        assert!(merger.press(Event, Digit::D5, start));
        assert!(merger.press(Info, Digit::D6, start));
    }
}
