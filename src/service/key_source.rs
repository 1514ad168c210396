//! Where keys that are not in the database come from: a file that its owner alone can read, a text from the environment, or
//! the output of a program (a key management service). A file covers systemd credentials as well: each is a file there.

use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::key_file::Key;
use crate::program::{Environment, Run};
use crate::secret::Secret;

/// How long the program may take: it asks something over a network.
const PROGRAM_LIMIT: Duration = Duration::from_secs(20);

/// More is no key file.
const MAX_TEXT: usize = 64 * 1_024;

/// Where keys come from.
#[derive(Clone, Debug)]
pub enum KeySource {
    /// A file. It is created, with a fresh key and readable by its owner only, where there is nothing yet to lose.
    File(PathBuf),
    /// The text of such a file, from the environment or a secret store.
    Text(Secret),
    /// A program with its arguments, which writes such a text to its standard output.
    Program(Vec<String>),
}

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeySourceError {
    /// The file cannot be read or written.
    #[error("cannot use the key file {path}")]
    File {
        /// Which file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// Others may read the file.
    #[error("the key file {path} can be read by others; run `chmod 600 {path}`")]
    Exposed {
        /// Which file.
        path: PathBuf,
    },
    /// The program gave no text.
    #[error("{program} gave no keys: {reason}")]
    Program {
        /// Which program.
        program: String,
        /// What happened; never what it wrote.
        reason: String,
    },
}

impl KeySource {
    /// The text; `None` when there is no such file.
    ///
    /// # Errors
    /// Every variant says what an operator must do.
    pub async fn read(&self) -> Result<Option<Secret>, KeySourceError> {
        match self {
            Self::Text(text) => Ok(Some(text.clone())),
            Self::File(path) => from_file(path),
            Self::Program(words) => from_program(words).await.map(Some),
        }
    }
}

fn from_file(path: &Path) -> Result<Option<Secret>, KeySourceError> {
    let failed = |source| KeySourceError::File {
        path: path.to_owned(),
        source,
    };
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.permissions().mode() & 0o077 != 0 => {
            Err(KeySourceError::Exposed { path: path.to_owned() })
        }
        Ok(_) => Ok(Some(Secret::new(std::fs::read_to_string(path).map_err(failed)?))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(error)),
    }
}

async fn from_program(words: &[String]) -> Result<Secret, KeySourceError> {
    let program = words.first().cloned().unwrap_or_default();
    let failed = |reason: String| KeySourceError::Program {
        program: program.clone(),
        reason,
    };
    let run = Run {
        words,
        environment: Environment::Ours,
        limit: PROGRAM_LIMIT,
        max_output: MAX_TEXT,
    };
    let finished = run.run(b"").await.map_err(|error| failed(error.to_string()))?;
    if finished.code != Some(0) {
        let code = finished
            .code
            .map_or("a signal".to_owned(), |code| format!("exit code {code}"));
        return Err(failed(format!("it ended with {code}")));
    }
    match std::str::from_utf8(&finished.output) {
        Ok(text) => Ok(Secret::new(text.to_owned())),
        Err(_) => Err(failed("what it wrote is no text".to_owned())),
    }
}

/// Creates a key file with one key. On disk before anything depends on it: the database must never know a key that a power
/// cut has taken.
///
/// # Errors
/// When the file is there already, or cannot be written.
pub fn create(path: &Path, remark: &str, key: &Key) -> Result<(), KeySourceError> {
    write(path, &format!("# {remark}\n"), key).map_err(|source| KeySourceError::File {
        path: path.to_owned(),
        source,
    })
}

/// Adds a key to a key file, all of it or nothing.
///
/// # Errors
/// When the file cannot be read or written.
pub fn append(path: &Path, key: &Key) -> Result<(), KeySourceError> {
    let failed = |source| KeySourceError::File {
        path: path.to_owned(),
        source,
    };
    let mut text = zeroize::Zeroizing::new(std::fs::read_to_string(path).map_err(failed)?);
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let new = PathBuf::from(name);
    // Of an earlier try that was cut off.
    let _ = std::fs::remove_file(&new);
    write(&new, &text, key).map_err(failed)?;
    std::fs::rename(&new, path).map_err(failed)?;
    sync_folder(path).map_err(failed)
}

fn write(path: &Path, before: &str, key: &Key) -> std::io::Result<()> {
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(before.as_bytes())?;
    file.write_all(key.to_line().expose().as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()?;
    sync_folder(path)
}

fn sync_folder(path: &Path) -> std::io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.map_or(Ok(()), |folder| std::fs::File::open(folder)?.sync_all())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key_file;

    fn program(script: &str) -> KeySource {
        KeySource::Program(["sh", "-c", script].map(str::to_owned).to_vec())
    }

    #[tokio::test]
    async fn a_program_may_give_the_keys() {
        let text = program("echo '1 AAAA'")
            .read()
            .await
            .expect("it works")
            .expect("a text");
        assert_eq!(text.expose(), "1 AAAA\n");
        let error = program("echo secret; exit 3")
            .read()
            .await
            .expect_err("a failure")
            .to_string();
        assert!(error.contains("exit code 3") && !error.contains("secret"), "{error}");
        let nowhere = KeySource::Program(vec!["/nowhere/kms".to_owned()]);
        assert!(nowhere.read().await.is_err());
    }

    #[tokio::test]
    async fn keys_are_added_to_a_file_that_stays_private() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("keys");
        let source = KeySource::File(path.clone());
        assert!(source.read().await.expect("no failure").is_none());
        create(&path, "Keys.", &Key::new(1, [1; 32])).expect("created");
        append(&path, &Key::new(2, [2; 32])).expect("appended");
        assert!(
            create(&path, "Keys.", &Key::new(1, [1; 32])).is_err(),
            "never over an old one"
        );
        assert_eq!(
            std::fs::metadata(&path).expect("a file").permissions().mode() & 0o777,
            0o600
        );
        let text = source.read().await.expect("readable").expect("a text");
        let keys = key_file::parse(&text).expect("two keys");
        assert_eq!(keys.iter().map(Key::number).collect::<Vec<_>>(), [1, 2]);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).expect("set");
        assert!(matches!(source.read().await, Err(KeySourceError::Exposed { .. })));
    }
}
