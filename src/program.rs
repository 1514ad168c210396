//! Programs of others that Passline runs: a text on their standard input, a text back, an exit code.
//!
//! A program and what it has started are ended when its time is over or nobody waits for it any more. What it writes may be
//! secret: it is wiped, and no error repeats it. What it says on standard error goes nowhere, for the same reason.

use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;
use zeroize::Zeroizing;

/// What a program sees of the environment of Passline, in which there may be keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Environment {
    /// All of it.
    Ours,
    /// `PATH`, `HOME`, `LANG` and `TZ`.
    Plain,
}

/// How a program is run.
#[derive(Clone, Copy, Debug)]
pub struct Run<'a> {
    /// The program and its arguments.
    pub words: &'a [String],
    /// What it sees of the environment.
    pub environment: Environment,
    /// How long it may take.
    pub limit: Duration,
    /// How many bytes it may write.
    pub max_output: usize,
}

/// What a program has left.
#[derive(Debug)]
pub struct Finished {
    /// Its exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// What it wrote to its standard output.
    pub output: Zeroizing<Vec<u8>>,
}

/// Why a program left nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProgramError {
    /// It was never run.
    #[error("it cannot be started: {0}")]
    NotStarted(std::io::Error),
    /// It was ended.
    #[error("it took longer than {0:?}")]
    TooLong(Duration),
    /// It was ended.
    #[error("it wrote more than {0} bytes")]
    TooMuch(usize),
    /// A pipe broke in a way that pipes should not.
    #[error("{0}")]
    Pipe(std::io::Error),
}

/// Ends a program and what it has started, in whichever way it is left.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(pid) = self.0 {
            // It may have ended by itself.
            let _ = killpg(pid, Signal::SIGKILL);
        }
    }
}

impl Run<'_> {
    /// Runs it with a text to read, which it may leave unread.
    ///
    /// # Errors
    /// [`ProgramError`]; only [`ProgramError::NotStarted`] means that nothing can have happened.
    pub async fn run(self, input: &[u8]) -> Result<Finished, ProgramError> {
        let Some((program, arguments)) = self.words.split_first() else {
            return Err(ProgramError::NotStarted(std::io::ErrorKind::NotFound.into()));
        };
        let mut command = Command::new(program);
        command
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .kill_on_drop(true);
        if self.environment == Environment::Plain {
            command.env_clear();
            let kept = ["PATH", "HOME", "LANG", "TZ"];
            command.envs(kept.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
        }
        let mut child = command.spawn().map_err(ProgramError::NotStarted)?;
        // Its number is that of its group; it is ours until the child is waited for.
        let group = Group(child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw));
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let feed = async {
            if let Some(mut stdin) = stdin {
                // Whoever needs no input closes it.
                let _ = stdin.write_all(input).await;
            }
        };
        let read = async {
            let mut output = Zeroizing::new(Vec::new());
            if let Some(stdout) = stdout {
                let limit = u64::try_from(self.max_output).unwrap_or(u64::MAX).saturating_add(1);
                let read = stdout.take(limit).read_to_end(&mut output).await;
                read.map_err(ProgramError::Pipe)?;
            }
            if output.len() > self.max_output {
                return Err(ProgramError::TooMuch(self.max_output));
            }
            Ok(output)
        };
        let work = async {
            let ((), output) = tokio::join!(feed, read);
            let output = output?;
            let status = child.wait().await.map_err(ProgramError::Pipe)?;
            Ok(Finished {
                code: status.code(),
                output,
            })
        };
        let finished = tokio::time::timeout(self.limit, work)
            .await
            .unwrap_or(Err(ProgramError::TooLong(self.limit)));
        drop(group);
        finished
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(text: &str) -> Vec<String> {
        ["sh", "-c", text].map(str::to_owned).to_vec()
    }

    fn plain(words: &[String], limit: Duration) -> Run<'_> {
        Run {
            words,
            environment: Environment::Plain,
            limit,
            max_output: 100_000,
        }
    }

    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn a_text_goes_in_and_a_text_and_a_code_come_out() {
        let finished = plain(&script("cat; exit 3"), LONG).run(b"hello").await.expect("it ran");
        assert_eq!(
            (finished.code, finished.output.as_slice()),
            (Some(3), b"hello".as_slice())
        );
        // More than a pipe holds, both ways.
        let much = vec![b'x'; 99_000];
        let finished = plain(&script("cat"), LONG).run(&much).await.expect("it ran");
        assert_eq!(*finished.output, much);
        let unread = plain(&script("exit 0"), LONG).run(&much).await.expect("it ran");
        assert_eq!(unread.code, Some(0));
        let killed = plain(&script("kill -9 $$"), LONG).run(b"").await.expect("it ran");
        assert_eq!(killed.code, None);
    }

    #[tokio::test]
    async fn keys_in_the_environment_are_not_handed_on() {
        let finished = plain(&script("env"), LONG).run(b"").await.expect("it ran");
        let text = String::from_utf8_lossy(&finished.output).into_owned();
        assert!(text.contains("PATH=") && !text.contains("CARGO"), "{text}");
    }

    #[tokio::test]
    async fn nothing_is_left_of_a_program_that_takes_too_long_or_writes_too_much() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("pids");
        // It starts others, one of which has the pipe.
        let text = format!("sleep 600 & echo $! > {0}; echo $$ >> {0}; wait", file.display());
        let start = crate::time::monotonic();
        let error = plain(&script(&text), Duration::from_millis(500)).run(b"").await;
        assert!(matches!(error, Err(ProgramError::TooLong(_))));
        assert!(start.elapsed() < LONG);
        let much = plain(&script("yes"), LONG).run(b"").await;
        assert!(matches!(much, Err(ProgramError::TooMuch(_))));
        let pids = std::fs::read_to_string(&file).expect("pids");
        assert_eq!(pids.lines().count(), 2);
        for pid in pids.lines() {
            let is_gone = || {
                let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
                state.is_empty() || state.contains(") Z ")
            };
            while !is_gone() {
                assert!(start.elapsed() < LONG, "{pid} is still there");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }

    #[tokio::test]
    async fn what_is_not_there_cannot_be_started() {
        for words in [vec![], vec!["/nowhere/kms".to_owned()]] {
            let error = plain(&words, LONG).run(b"").await;
            assert!(matches!(error, Err(ProgramError::NotStarted(_))));
        }
    }
}
