//! Holds which way imports run: reads every path that begins with `crate::` and compares the floors.
//!
//! A module may use modules of lower floors and itself. Modules of one floor do not know each other.

use std::fs;
use std::path::{Path, PathBuf};

/// Floors of the house from the ground up. The longest matching prefix says where a module lives.
const FLOORS: &[(&str, u8)] = &[
    ("language", 0),
    ("secret", 0),
    ("table", 0),
    ("time", 0),
    ("telemetry", 0),
    ("checked_toml", 1),
    ("counter", 1),
    ("digit", 1),
    ("key_file", 1),
    ("network_list", 1),
    ("program", 1),
    ("xml", 1),
    ("rate", 1),
    ("vault", 2),
    ("telephony::codec", 2),
    ("telephony::rtp", 3),
    ("telephony::dtmf", 4),
    ("telephony::sdp", 4),
    ("dialplan", 4),
    ("identity", 4),
    ("speech::phrase", 4),
    ("telephony::sip", 5),
    ("telephony::media", 5),
    ("speech", 5),
    ("store", 5),
    ("integration", 5),
    ("service", 6),
    ("call", 7),
    ("api", 8),
    ("config", 9),
    ("app", 10),
    ("cli", 11),
];

/// Crates and calls that pure modules must not know, and why the floor above has them.
const NOT_IN_PURE: &[&str] = &[
    "tokio",
    "sqlx",
    "std::fs",
    "std::net::UdpSocket",
    "std::net::Tcp",
    "std::thread",
    "std::process",
    "monotonic()",
];

/// Libraries whose types stop at one module.
const STOPS_AT: &[(&str, &[&str])] = &[
    ("rtp_rs", &["telephony::rtp"]),
    ("sdp_types", &["telephony::sdp"]),
    ("sqlx", &["store", "integration::target"]),
    ("axum", &["api"]),
    ("utoipa", &["api"]),
    ("quick_xml", &["xml"]),
    ("ldap3", &["integration::target", "integration::source"]),
    ("reqwest", &["integration::target"]),
    // Where HTTPS is spoken, as what `rustls` calculates with.
    ("ring", &["integration::target", "api::server", "api::client"]),
    ("russh", &["integration::target"]),
    ("rustls", &["integration::target", "api::server", "api::client"]),
    ("tokio_rustls", &["api::server", "api::client"]),
    ("hyper", &["api::server", "api::tests", "api::client"]),
    ("hyper_util", &["api::server", "api::tests", "api::client"]),
    ("chacha20poly1305", &["vault"]),
    ("symphonia", &["speech"]),
    ("rubato", &["speech"]),
    ("libloading", &["speech::synthesizer"]),
    ("argon2", &["identity", "integration::target"]),
    ("clap", &["cli", "main", "telemetry"]),
    ("toml_edit", &["config"]),
    ("anyhow", &["cli", "app"]),
];

struct Source {
    module: String,
    path: PathBuf,
    code: String,
}

/// The code of every file below `src`, without comments and tests.
fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut sources = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("src can be listed") {
            let path = entry.expect("an entry of src can be read").path();
            if path.ends_with("tests") {
                continue;
            } else if path.is_dir() {
                folders.push(path);
            } else if path.ends_with("tests.rs") {
                continue;
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                sources.push(source(&root, path));
            }
        }
    }
    assert!(sources.len() > 20, "only {} files found", sources.len());
    sources
}

fn source(root: &Path, path: PathBuf) -> Source {
    let text = fs::read_to_string(&path).expect("a source file can be read");
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let code = code
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect::<Vec<_>>()
        .join("\n");
    let relative = path.strip_prefix(root).expect("below src").with_extension("");
    let parts: Vec<_> = relative
        .iter()
        .map(|part| part.to_string_lossy().into_owned())
        .filter(|part| part != "mod")
        .collect();
    Source {
        module: parts.join("::"),
        path,
        code,
    }
}

fn is_within(module: &str, prefix: &str) -> bool {
    module == prefix || module.strip_prefix(prefix).is_some_and(|rest| rest.starts_with("::"))
}

fn floor(module: &str) -> Option<(&'static str, u8)> {
    FLOORS
        .iter()
        .filter(|(prefix, _)| is_within(module, prefix))
        .max_by_key(|(prefix, _)| prefix.len())
        .copied()
}

/// Every path after `crate::`; `use crate::{a, b::c};` gives each.
fn used_modules(code: &str) -> Vec<String> {
    let is_path = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    let mut used = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            Some(group) => {
                let group = &group[..group.find(';').unwrap_or(group.len())];
                let mut depth = 0;
                let mut start = true;
                for (index, c) in group.char_indices() {
                    match c {
                        '{' => depth += 1,
                        '}' => depth -= 1,
                        ',' if depth == 0 => start = true,
                        c if start && depth == 0 && is_path(c) => {
                            used.push(group[index..].chars().take_while(|&c| is_path(c)).collect());
                            start = false;
                        }
                        _ => {}
                    }
                }
            }
            None => used.push(rest.chars().take_while(|&c| is_path(c)).collect()),
        }
    }
    used
}

#[test]
fn imports_run_one_way() {
    let mut wrong = Vec::new();
    for source in sources() {
        let Some((home, from)) = floor(&source.module) else {
            assert!(
                matches!(source.module.as_str(), "lib" | "main" | "telephony"),
                "{} has no floor",
                source.module
            );
            continue;
        };
        for used in used_modules(&source.code) {
            // `telephony::{a, b}` and re-exports of the house itself have no floor of their own.
            let Some((target, to)) = floor(&used) else { continue };
            if to >= from && target != home {
                wrong.push(format!(
                    "{}: {} (floor {from}) uses {used} (floor {to})",
                    source.path.display(),
                    source.module
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn evidence_is_had_again_from_its_live_row_alone() {
    let all = sources();
    let restoring = all.iter().filter(|source| source.code.contains("Evidence::restore("));
    let modules: Vec<_> = restoring.map(|source| source.module.as_str()).collect();
    assert_eq!(modules, ["store::evidence"]);
    let minting = all.iter().filter(|source| source.code.contains("Evidence::mint("));
    let modules: Vec<_> = minting.map(|source| source.module.as_str()).collect();
    assert_eq!(modules, ["service::verify"]);
    let asking = all.iter().filter(|source| source.code.contains("evidence::live("));
    let modules: Vec<_> = asking.map(|source| source.module.as_str()).collect();
    assert_eq!(modules, ["service::visit"]);
}

#[test]
fn pure_modules_know_no_files_sockets_tasks_or_clocks() {
    let mut wrong = Vec::new();
    for source in sources()
        .iter()
        .filter(|source| matches!(floor(&source.module), Some((_, 2..=4))))
    {
        for word in NOT_IN_PURE.iter().filter(|word| source.code.contains(*word)) {
            wrong.push(format!("{} knows {word}", source.path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn types_of_libraries_stop_where_they_belong() {
    let mut wrong = Vec::new();
    for source in sources() {
        for (library, homes) in STOPS_AT {
            let path = format!("{library}::");
            // `String::` is no path into `ring`.
            let is_start = |at: usize| !source.code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
            let uses = source.code.match_indices(&path).any(|(at, _)| is_start(at))
                || source.code.contains(&format!("use {library};"));
            if uses && !homes.iter().any(|home| is_within(&source.module, home)) {
                wrong.push(format!(
                    "{} uses {library}; it belongs in {}",
                    source.path.display(),
                    homes.join(", ")
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_reader_of_imports_understands_groups() {
    let code = "use crate::{digit::Digit, store::{self, user}};\nfn f() { crate::time::monotonic(); }";
    assert_eq!(used_modules(code), ["digit::Digit", "store::", "time::monotonic"]);
    assert_eq!(floor("speech::phrase::spell"), Some(("speech::phrase", 4)));
    assert_eq!(floor("speech::catalog"), Some(("speech", 5)));
}
