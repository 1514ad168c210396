//! Programs in Python that tests use, in an environment of their own.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::server::root;

/// The environment; made when it is first asked for, from `tests/clients/requirements.txt`, and kept beside what is
/// built.
pub(crate) fn environment() -> &'static Path {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    MADE.get_or_init(|| {
        let wanted = root().join("tests/clients/requirements.txt");
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("python");
        let stamp = folder.join("requirements.txt");
        let text = std::fs::read_to_string(&wanted).expect("requirements");
        if std::fs::read_to_string(&stamp).is_ok_and(|made| made == text) {
            return folder;
        }
        let run = |program: &Path, arguments: &[&str]| {
            let output = Command::new(program).args(arguments).output().expect("Python runs");
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        };
        let path = |path: &Path| path.to_str().expect("UTF-8").to_owned();
        run(
            Path::new("/usr/bin/python3"),
            &["-m", "venv", "--clear", &path(&folder)],
        );
        let quiet = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
        run(
            &folder.join("bin/python3"),
            &[&quiet[..], &["--requirement", &path(&wanted)]].concat(),
        );
        std::fs::write(&stamp, text).expect("a stamp");
        folder
    })
}
