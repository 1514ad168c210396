//! What the checker found: each mistake with its place, a message and a remedy, for people who do not write Rust.
//!
//! ```text
//! error[unknown-step]: there is no step `goodby`
//!   --> dialplans/reset.toml:41:8, step `farewell`
//!    |
//! 41 | next = "goodby"
//!    |        ^^^^^^^^
//!    = help: did you mean `goodbye`?
//! ```

use std::fmt;
use std::sync::Arc;

use super::source::{Source, Span};

/// More findings than this are not kept; whoever has that many fixes the first ones first.
const MAX_FINDINGS: usize = 200;

/// Whether a finding keeps the flow from running.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The flow is refused.
    Error,
    /// The flow runs; something in it is probably not meant.
    Warning,
}

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $word:literal),+ $(,)?) => {
        /// The kind of mistake, with a name that stays the same between versions.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, serde::Serialize)]
        pub enum Code {
            $($(#[$doc])* #[serde(rename = $word)] $variant),+
        }

        impl Code {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The name as it is printed.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }
    };
}

codes! {
    /// Not a TOML file.
    Syntax = "syntax",
    /// The file, or a number in it, is larger than what is accepted.
    TooLarge = "too-large",
    /// A key that this place does not know.
    UnknownKey = "unknown-key",
    /// A key that has to be there.
    MissingKey = "missing-key",
    /// A number where text is expected, and so on.
    WrongType = "wrong-type",
    /// The right type, but not a value that can be used.
    BadValue = "bad-value",
    /// A way on to a step that does not exist.
    UnknownStep = "unknown-step",
    /// An operation that is not in the catalogue.
    UnknownOperation = "unknown-operation",
    /// A prompt that is missing in at least one language.
    UnknownPrompt = "unknown-prompt",
    /// A language without any prompt.
    UnknownLanguage = "unknown-language",
    /// A slot that no operation fills.
    UnknownSlot = "unknown-slot",
    /// An outcome that leads nowhere.
    MissingOutcome = "missing-outcome",
    /// An outcome that the operation does not have.
    SurplusOutcome = "surplus-outcome",
    /// A step that no call can reach.
    UnreachableStep = "unreachable-step",
    /// Steps from which no call can end.
    NoWayOut = "no-way-out",
    /// A loop that a caller can ride without pressing a key.
    SilentLoop = "silent-loop",
    /// Digits that are collected and never used.
    UnusedDigits = "unused-digits",
    /// An operation without the digits it needs, or with digits it does not take.
    WrongDigits = "wrong-digits",
    /// A path on which the digits for an operation were not collected, or were already used.
    DigitsNotCollected = "digits-not-collected",
    /// A path on which a slot is spoken before it was filled.
    SlotNotFilled = "slot-not-filled",
    /// A path on which an operation comes too early: nobody is verified yet, nothing is proposed yet.
    NeedNotMet = "need-not-met",
    /// A menu key that cannot be pressed or is taken for something else.
    ImpossibleKey = "impossible-key",
    /// A reprompt that is never heard.
    UnheardReprompt = "unheard-reprompt",
    /// A question that asks nothing.
    SilentQuestion = "silent-question",
}

/// One mistake.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct Finding {
    /// Error or warning.
    pub severity: Severity,
    /// The kind of mistake.
    pub code: Code,
    /// The file, as it was named when it was loaded.
    pub file: Arc<str>,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// The step it belongs to, if any.
    pub step: Option<String>,
    /// What is wrong: one sentence without full stop.
    pub message: String,
    /// What to do about it.
    pub remedy: String,
    /// The text of the line.
    #[serde(skip)]
    line_text: String,
    /// How many characters to underline, at least 1.
    #[serde(skip)]
    width: usize,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        let gutter = self.line.to_string().len();
        let indent = underline_indent(&self.line_text, self.column);
        writeln!(f, "{severity}[{}]: {}", self.code.name(), self.message)?;
        write!(f, "{:gutter$}--> {}:{}:{}", "", self.file, self.line, self.column)?;
        match &self.step {
            Some(step) => writeln!(f, ", step `{step}`")?,
            None => writeln!(f)?,
        }
        writeln!(f, "{:gutter$} |", "")?;
        writeln!(f, "{} | {}", self.line, self.line_text)?;
        writeln!(f, "{:gutter$} | {indent}{}", "", "^".repeat(self.width))?;
        writeln!(f, "{:gutter$} = help: {}", "", self.remedy)
    }
}

/// Blanks as wide as what stands before the column; tabs stay tabs so that the caret stays under its text.
fn underline_indent(line: &str, column: usize) -> String {
    line.chars()
        .take(column - 1)
        .map(|c| if c == '\t' { '\t' } else { ' ' })
        .collect()
}

/// Everything found in one file, in the order of the file.
#[derive(Clone, PartialEq, Eq, Debug, Default, serde::Serialize)]
pub struct Report {
    /// The findings.
    pub findings: Vec<Finding>,
}

impl Report {
    /// How many findings are errors.
    #[must_use]
    pub fn error_count(&self) -> usize {
        self.findings
            .iter()
            .filter(|finding| finding.severity == Severity::Error)
            .count()
    }

    /// How many findings are warnings.
    #[must_use]
    pub fn warning_count(&self) -> usize {
        self.findings.len() - self.error_count()
    }

    /// Whether the flow has to be refused.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.error_count() > 0
    }

    /// Whether nothing was found.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.findings.is_empty()
    }
}

/// The findings as a terminal shows them, with a blank line after each.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.findings.iter().try_for_each(|finding| writeln!(f, "{finding}"))
    }
}

/// Collects findings while a file is read and checked.
pub(super) struct Findings {
    source: Source,
    step: Option<String>,
    list: Vec<(Span, Finding)>,
}

impl Findings {
    pub(super) fn new(source: Source) -> Self {
        Self {
            source,
            step: None,
            list: Vec::new(),
        }
    }

    /// Findings from here on belong to this step.
    pub(super) fn in_step(&mut self, step: Option<&str>) {
        self.step = step.map(str::to_owned);
    }

    pub(super) fn error(&mut self, code: Code, span: Span, message: impl Into<String>, remedy: impl Into<String>) {
        self.push(Severity::Error, code, span, message.into(), remedy.into());
    }

    pub(super) fn warning(&mut self, code: Code, span: Span, message: impl Into<String>, remedy: impl Into<String>) {
        self.push(Severity::Warning, code, span, message.into(), remedy.into());
    }

    pub(super) fn any(&self, code: Code) -> bool {
        self.list.iter().any(|(_, finding)| finding.code == code)
    }

    /// A default that many steps inherit is reported once.
    fn push(&mut self, severity: Severity, code: Code, span: Span, message: String, remedy: String) {
        let known = |(at, finding): &(Span, Finding)| *at == span && finding.code == code && finding.message == message;
        if self.list.len() >= MAX_FINDINGS || self.list.iter().any(known) {
            return;
        }
        let place = self.source.place(span);
        let finding = Finding {
            severity,
            code,
            file: Arc::clone(&self.source.file),
            line: place.line,
            column: place.column,
            step: self.step.clone(),
            message,
            remedy,
            line_text: place.line_text,
            width: place.width,
        };
        self.list.push((span, finding));
    }

    pub(super) fn into_report(mut self) -> Report {
        self.list.sort_by_key(|(span, finding)| (span.start, finding.code));
        Report {
            findings: self.list.into_iter().map(|(_, finding)| finding).collect(),
        }
    }
}

/// "did you mean `x`?" when a known word is near, otherwise `otherwise`.
pub(super) fn did_you_mean<'w>(
    word: &str,
    known: impl IntoIterator<Item = &'w str>,
    otherwise: impl FnOnce() -> String,
) -> String {
    let near = known
        .into_iter()
        .map(|candidate| (edit_distance(word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= 1 + word.len().min(candidate.len()) / 4)
        .min();
    match near {
        Some((_, candidate)) => format!("did you mean `{candidate}`?"),
        None => otherwise(),
    }
}

/// Words in a sentence: "`a`, `b` and `c`".
pub(super) fn listed<'w>(words: impl IntoIterator<Item = &'w str>) -> String {
    let quoted: Vec<String> = words.into_iter().map(|word| format!("`{word}`")).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
        None => "nothing".to_owned(),
    }
}

/// Levenshtein distance; words here are short, long ones count as far apart.
fn edit_distance(a: &str, b: &str) -> usize {
    if a.len() > 64 || b.len() > 64 {
        return usize::MAX;
    }
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let replace = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replace.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_shows_the_line_and_points_at_the_place() {
        let text = "a = 1\n\tnext = \"goodby\"\n";
        let mut findings = Findings::new(Source::new("dialplans/x.toml", text));
        findings.in_step(Some("farewell"));
        let start = text.find("\"goodby").unwrap();
        let span = Span { start, end: start + 8 };
        findings.error(
            Code::UnknownStep,
            span,
            "there is no step `goodby`",
            "did you mean `goodbye`?",
        );
        findings.error(Code::UnknownStep, span, "there is no step `goodby`", "twice is once");
        let report = findings.into_report();
        assert_eq!(
            report.to_string(),
            "error[unknown-step]: there is no step `goodby`\n \
             --> dialplans/x.toml:2:9, step `farewell`\n  |\n2 | \tnext = \"goodby\"\n  | \t       ^^^^^^^^\n  \
             = help: did you mean `goodbye`?\n\n"
        );
        assert!(report.has_errors());
    }

    #[test]
    fn near_words_are_suggested_and_far_ones_are_not() {
        let known = ["goodbye", "greeting"];
        let nothing = || "see the list".to_owned();
        assert_eq!(did_you_mean("goodby", known, nothing), "did you mean `goodbye`?");
        assert_eq!(did_you_mean("reset", known, nothing), "see the list");
    }

    #[test]
    fn lists_read_as_a_sentence() {
        assert_eq!(listed(["a"]), "`a`");
        assert_eq!(listed(["a", "b", "c"]), "`a`, `b` and `c`");
    }
}
