//! Programs for Node that tests use, with their packages.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::server::root;

/// A folder with the scripts of `tests/clients` and the packages that they need; made when it is first asked for, and kept
/// beside what is built.
pub(crate) fn folder() -> &'static Path {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    MADE.get_or_init(|| {
        let from = root().join("tests/clients");
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("node");
        std::fs::create_dir_all(&folder).expect("a folder");
        let lock = std::fs::read(from.join("package-lock.json")).expect("a lock file");
        let is_made = std::fs::read(folder.join("installed")).is_ok_and(|installed| installed == lock);
        for name in ["package.json", "package-lock.json", "soap_client.mjs"] {
            std::fs::copy(from.join(name), folder.join(name)).expect("copied");
        }
        if !is_made {
            let install = ["ci", "--no-audit", "--no-fund", "--ignore-scripts"];
            let output = Command::new("npm")
                .args(install)
                .current_dir(&folder)
                .output()
                .expect("npm runs");
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            std::fs::write(folder.join("installed"), lock).expect("a stamp");
        }
        folder
    })
}
