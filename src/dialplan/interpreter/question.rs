//! Questions: keys, silence, wrong keys, and what is asked again.
//!
//! ```text
//!            key (barge-in)                     menu key, finish key, last digit
//!  asking ──────────────────> keys come in ──────────────────────────────────────> next step
//!    │  ^                        │      │ interdigit_timeout: the entry is complete
//!    │  └── reprompt ── nomatch <┘      └─> or nomatch, if it is too short
//!    │ heard, then silence for noinput_timeout
//!    └────> noinput ── reprompt, or after `max` times the way in `then`
//! ```

use std::sync::Arc;
use std::time::Instant;

use crate::digit::{Digit, Digits};

use super::super::model::{Action, Collect, Menu, PlayItem, Question, Retry};
use super::{Awaited, Interpreter, Phase, Playing};

/// A question in progress.
pub(super) struct Asking {
    noinput: u8,
    nomatch: u8,
    entry: Digits,
    /// The entry holds a key that no entry can hold.
    spoiled: bool,
}

impl Asking {
    pub(super) fn new() -> Self {
        Self {
            noinput: 0,
            nomatch: 0,
            entry: Digits::new(),
            spoiled: false,
        }
    }

    fn is_blank(&self) -> bool {
        self.entry.is_empty() && !self.spoiled
    }
}

/// A finish key that may follow an entry which ended without one.
pub(super) struct Habit {
    key: Digit,
    until: Instant,
}

impl Interpreter {
    pub(super) fn key(&mut self, now: Instant, key: Digit) {
        if matches!(self.phase, Phase::Working(_)) {
            if !self.is_habit(now, key) {
                self.type_ahead.push(key);
            }
            return;
        }
        if self.is_habit(now, key) {
            // The media session may have silenced the prompt by itself: say it from the beginning.
            if let Some(Playing {
                items, barge_in: true, ..
            }) = &self.playing
            {
                let items = Arc::clone(items);
                self.play(items, true);
            }
            return;
        }
        if let Some(playing) = &self.playing {
            if !playing.barge_in {
                return;
            }
            self.silence();
        }
        match self.phase {
            Phase::Asking(_) => self.accept(now, key),
            Phase::Speaking(_) => self.type_ahead.push(key),
            _ => {}
        }
        match self.phase {
            Phase::Announcing => self.transfer_after_speech(now),
            _ => self.settle(),
        }
    }

    /// What the present question waits for; `None` when no key is asked for.
    #[must_use]
    pub fn awaited(&self) -> Option<Awaited> {
        let Phase::Asking(asking) = &self.phase else {
            return None;
        };
        match &self.flow.step(self.step).action {
            Action::Menu(menu) => Some(Awaited {
                most: 1,
                finish_on_key: None,
                first: menu.question.noinput_timeout,
                between: menu.question.noinput_timeout,
                has_begun: false,
            }),
            Action::Collect(collect) => Some(Awaited {
                most: collect.max_digits.saturating_sub(asking.entry.len()).max(1),
                finish_on_key: collect.finish_on_key,
                first: if asking.is_blank() {
                    collect.question.noinput_timeout
                } else {
                    collect.interdigit_timeout
                },
                between: collect.interdigit_timeout,
                has_begun: !asking.is_blank(),
            }),
            _ => None,
        }
    }

    pub(super) fn no_match(&mut self, now: Instant) {
        if !matches!(self.phase, Phase::Asking(_)) {
            return;
        }
        self.silence();
        let flow = Arc::clone(&self.flow);
        match &flow.step(self.step).action {
            Action::Menu(menu) => self.nomatch(now, &menu.question),
            Action::Collect(collect) => self.nomatch(now, &collect.question),
            _ => {}
        }
    }

    fn is_habit(&mut self, now: Instant, key: Digit) -> bool {
        self.habit
            .take()
            .is_some_and(|habit| habit.key == key && now <= habit.until)
    }

    /// Asks, unless keys typed ahead have already answered.
    pub(super) fn ask(&mut self, now: Instant, question: &Question) {
        self.phase = Phase::Asking(Asking::new());
        self.speak_first(&question.say);
        if self.playing.is_none() {
            self.listen(now);
        }
        while self.next.is_none() && matches!(self.phase, Phase::Asking(_)) {
            let Some(key) = self.type_ahead.pop() else { break };
            self.accept(now, key);
        }
    }

    fn ask_again(&mut self, now: Instant, question: &Question, lead_in: &[PlayItem]) {
        let items = lead_in.iter().chain(question.say.items.iter()).cloned().collect();
        self.play(items, question.say.barge_in);
        if self.playing.is_none() {
            self.listen(now);
        }
    }

    /// The question has been heard: from now on silence is counted.
    pub(super) fn listen(&mut self, now: Instant) {
        let flow = Arc::clone(&self.flow);
        let wait = match &flow.step(self.step).action {
            Action::Menu(menu) => menu.question.noinput_timeout,
            Action::Collect(collect) => collect.question.noinput_timeout,
            _ => return,
        };
        self.timers.step = Some(now + wait);
    }

    /// Silence: nothing was keyed, or an entry is complete.
    pub(super) fn question_timed_out(&mut self, now: Instant) {
        let flow = Arc::clone(&self.flow);
        let Phase::Asking(asking) = &self.phase else { return };
        match &flow.step(self.step).action {
            Action::Menu(menu) => self.noinput(now, &menu.question),
            Action::Collect(collect) if asking.is_blank() => self.noinput(now, &collect.question),
            Action::Collect(collect) => self.complete(now, collect),
            _ => {}
        }
    }

    fn accept(&mut self, now: Instant, key: Digit) {
        let flow = Arc::clone(&self.flow);
        match &flow.step(self.step).action {
            Action::Menu(menu) => self.choose(now, menu, key),
            Action::Collect(collect) => self.collect(now, collect, key),
            _ => {}
        }
    }

    fn choose(&mut self, now: Instant, menu: &Menu, key: Digit) {
        if let Some(step) = menu.keys.get(&key) {
            self.next = Some(*step);
        } else if is_letter_key(key) {
            self.listen(now);
        } else {
            self.nomatch(now, &menu.question);
        }
    }

    fn collect(&mut self, now: Instant, collect: &Collect, key: Digit) {
        let Phase::Asking(asking) = &mut self.phase else { return };
        if Some(key) == collect.finish_on_key {
            return self.complete(now, collect);
        }
        if Some(key) == collect.clear_on_key {
            asking.entry.clear();
            asking.spoiled = false;
            return self.listen(now);
        }
        match key.value() {
            Some(_) => asking.entry.push(key),
            None if is_letter_key(key) => {}
            None => asking.spoiled = true,
        }
        if asking.entry.len() >= collect.max_digits {
            self.expect_habit(now, collect);
            self.complete(now, collect);
        } else if asking.is_blank() {
            self.listen(now);
        } else {
            self.timers.step = Some(now + collect.interdigit_timeout);
        }
    }

    /// The entry is full; a finish key after it means nothing, typed ahead or still to come.
    fn expect_habit(&mut self, now: Instant, collect: &Collect) {
        let Some(key) = collect.finish_on_key else { return };
        if self.type_ahead.is_empty() {
            let until = now + collect.interdigit_timeout;
            self.habit = Some(Habit { key, until });
        } else {
            self.type_ahead.skip(key);
        }
    }

    fn complete(&mut self, now: Instant, collect: &Collect) {
        let Phase::Asking(asking) = &mut self.phase else { return };
        if asking.spoiled || asking.entry.len() < collect.min_digits {
            return self.nomatch(now, &collect.question);
        }
        let entry = std::mem::take(&mut asking.entry);
        self.entries.insert(self.step, entry);
        self.next = Some(collect.next);
    }

    fn nomatch(&mut self, now: Instant, question: &Question) {
        self.type_ahead.clear();
        let Phase::Asking(asking) = &mut self.phase else { return };
        asking.nomatch = asking.nomatch.saturating_add(1);
        let count = asking.nomatch;
        self.retry(now, question, &question.nomatch, count);
    }

    fn noinput(&mut self, now: Instant, question: &Question) {
        let Phase::Asking(asking) = &mut self.phase else { return };
        asking.noinput = asking.noinput.saturating_add(1);
        let count = asking.noinput;
        self.retry(now, question, &question.noinput, count);
    }

    fn retry(&mut self, now: Instant, question: &Question, retry: &Retry, count: u8) {
        if let Phase::Asking(asking) = &mut self.phase {
            asking.entry.clear();
            asking.spoiled = false;
        }
        self.timers.step = None;
        if count >= retry.max {
            self.next = Some(retry.then);
            return;
        }
        let lead_in = retry.reprompts.get(usize::from(count - 1)).or(retry.reprompts.last());
        self.ask_again(now, question, lead_in.map_or(&[], |items| items));
    }
}

/// A to D: not on any ordinary telephone.
fn is_letter_key(key: Digit) -> bool {
    matches!(key, Digit::A | Digit::B | Digit::C | Digit::D)
}
