//! What a person types, or a script writes: nothing of it is an argument, for those are seen by everybody.

use std::io::{BufRead as _, IsTerminal as _, Read as _};
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

use anyhow::Context as _;

use super::super::output;
use crate::secret::Secret;

/// The longest line.
const MAX_LINE: u64 = 1_024;

/// How long a script may take for a line: a session does not last longer without a call. A person at a terminal may take
/// any time.
const PATIENCE: Duration = Duration::from_secs(120);

/// Where it comes from.
pub(super) enum Input {
    Terminal,
    /// Lines of standard input, as they come.
    Lines(Receiver<std::io::Result<Secret>>),
}

impl Input {
    pub(super) fn new() -> Self {
        if std::io::stdin().is_terminal() {
            return Self::Terminal;
        }
        // One line is read ahead.
        let (sender, lines) = sync_channel(1);
        std::thread::spawn(move || {
            let mut stdin = std::io::stdin().lock();
            loop {
                let mut line = String::with_capacity(1_024);
                let line = match stdin.by_ref().take(MAX_LINE).read_line(&mut line) {
                    Ok(0) => return,
                    read => read.map(|_| trimmed(line)),
                };
                let is_broken = line.is_err();
                // Nobody may be interested any more.
                if sender.send(line).is_err() || is_broken {
                    return;
                }
            }
        });
        Self::Lines(lines)
    }

    /// Asks for something that nobody must see.
    pub(super) fn secret(&mut self, prompt: &str) -> anyhow::Result<Secret> {
        match self {
            Self::Terminal => Ok(Secret::new(rpassword::prompt_password(prompt)?)),
            Self::Lines(lines) => line(lines, prompt),
        }
    }

    /// Asks for a number of a list.
    pub(super) fn number(&mut self, prompt: &str, of: usize) -> anyhow::Result<usize> {
        let text = match self {
            Self::Terminal => {
                output::prompt(prompt);
                let mut text = String::new();
                std::io::stdin().lock().take(MAX_LINE).read_line(&mut text)?;
                trimmed(text)
            }
            Self::Lines(lines) => line(lines, prompt)?,
        };
        let number = text.expose().trim().parse().ok();
        let number = number.filter(|number| (1..=of).contains(number));
        number.with_context(|| format!("that is no number from 1 to {of}"))
    }
}

fn line(lines: &Receiver<std::io::Result<Secret>>, prompt: &str) -> anyhow::Result<Secret> {
    let prompt = prompt.trim_end_matches([':', ' ']);
    match lines.recv_timeout(PATIENCE) {
        Ok(line) => line.context("cannot read standard input"),
        Err(RecvTimeoutError::Disconnected) => {
            anyhow::bail!("standard input has ended; its next line should be: {prompt}")
        }
        Err(RecvTimeoutError::Timeout) => {
            anyhow::bail!("nothing comes from standard input; its next line should be: {prompt}")
        }
    }
}

/// Without the end of the line.
fn trimmed(mut text: String) -> Secret {
    let length = text.trim_end_matches(['\r', '\n']).len();
    text.truncate(length);
    Secret::new(text)
}

/// The first line of a file.
pub(super) fn first_line(file: &Path) -> anyhow::Result<Secret> {
    let text = super::text_of(file).context(
        "--password-file takes a file whose first line is the password; without it, the password is asked for",
    )?;
    Ok(Secret::new(text.expose().lines().next().unwrap_or_default().to_owned()))
}

/// Answers that are known before they are asked for.
pub(super) struct Answers(Vec<(String, Secret)>);

impl Answers {
    /// Reads a file with a line each: QUESTION = DIGITS.
    pub(super) fn read(file: &Path) -> anyhow::Result<Self> {
        let text = super::text_of(file)?;
        let lines = text.expose().lines().enumerate();
        let lines = lines.filter(|(_, line)| !line.trim().is_empty() && !line.trim_start().starts_with('#'));
        let read = lines.map(|(index, line)| {
            // A question may have an equals sign, digits have none.
            let (question, digits) = line
                .rsplit_once('=')
                .with_context(|| format!("{}:{}: each line is QUESTION = DIGITS", file.display(), index + 1))?;
            Ok((question.trim().to_owned(), Secret::new(digits.trim().to_owned())))
        });
        Ok(Self(read.collect::<anyhow::Result<_>>()?))
    }

    /// The answer to a question.
    pub(super) fn to(&self, prompt: Option<&str>, text: &str) -> Option<&Secret> {
        let known = self.0.iter();
        let mut known = known.filter(|(question, _)| question == text || Some(question.as_str()) == prompt);
        known.next().map(|(_, digits)| digits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_found_by_the_text_or_the_prompt_of_their_question() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(
            file.path(),
            "# of the probe\nquestion.start_year = 2009\r\n\nWhat is 1 + 1 = ? = 2\n",
        )
        .unwrap();
        let answers = Answers::read(file.path()).unwrap();
        let to = |prompt, text| answers.to(prompt, text).map(Secret::expose);
        assert_eq!(to(Some("question.start_year"), "In which year?"), Some("2009"));
        assert_eq!(to(None, "What is 1 + 1 = ?"), Some("2"));
        assert_eq!(to(None, "Another one?"), None);
    }

    #[test]
    fn a_line_that_is_no_answer_is_told_without_what_is_in_it() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "question.start_year 2009\n").unwrap();
        let error = Answers::read(file.path()).err().unwrap().to_string();
        assert!(error.contains(":1: each line is") && !error.contains("2009"), "{error}");
    }
}
