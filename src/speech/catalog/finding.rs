//! What is wrong, or only worth knowing, about a folder of prompts: for people who do not write Rust.

use std::fmt;
use std::path::{Path, PathBuf};

/// How bad a [`Finding`] is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Severity {
    /// As it should be, but good to know: a recording of the admin's own is in use.
    Notice,
    /// Callers are served, but may hear something else than the files say.
    Warning,
    /// A call would fail; the folder is refused.
    Error,
}

/// One finding: which file, which key, what, and what to do about it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// The file.
    pub file: PathBuf,
    /// The prompt id or key in it.
    pub key: Option<String>,
    /// What was found.
    pub problem: String,
    /// What to do; empty if nothing.
    pub remedy: String,
}

impl Finding {
    pub(in crate::speech) fn new(
        severity: Severity,
        file: &Path,
        key: Option<&str>,
        problem: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            severity,
            file: file.to_owned(),
            key: key.map(str::to_owned),
            problem: problem.into(),
            remedy: remedy.into(),
        }
    }

    pub(in crate::speech) fn error(
        file: &Path,
        key: Option<&str>,
        problem: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self::new(Severity::Error, file, key, problem, remedy)
    }
}

/// `prompts/en-US/prompts.toml: greeting.welcome: no text; add text = "..."`
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.file.display())?;
        if let Some(key) = &self.key {
            write!(f, "{key}: ")?;
        }
        f.write_str(&self.problem)?;
        if !self.remedy.is_empty() {
            write!(f, "; {}", self.remedy)?;
        }
        Ok(())
    }
}
