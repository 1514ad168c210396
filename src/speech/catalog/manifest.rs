//! `manifest.toml`: what the shipped recordings were made from.
//!
//! Written by `passline prompts render`, never by hand. With it one can tell a recording whose text has changed since
//! (render again) from one that an admin has replaced (leave alone).

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Deserialize;
use sha2::{Digest as _, Sha256};

/// The recordings that were rendered, by prompt id.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// One entry per recording.
    #[serde(default)]
    pub clip: BTreeMap<String, Rendering>,
}

/// How one recording was made. Hashes are SHA-256 in hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rendering {
    /// Hash of what the engine was given.
    pub text: String,
    /// Engine, version and voice.
    pub voice: String,
    /// Hash of the file.
    pub audio: String,
}

impl Manifest {
    /// Reads the file.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn parse(source: &str) -> Result<Self, String> {
        toml::from_str(source).map_err(|error| error.to_string().trim().replace('\n', " "))
    }

    /// The file: one line per recording, sorted, so that a change shows as one line in a diff.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let mut text = String::from(
            "# Made by `passline prompts render`; do not edit. Hashes (SHA-256) of the text and the audio of each \
             recording:\n# `passline prompts check` finds texts that changed since, and recordings that were \
             replaced.\n[clip]\n",
        );
        for (
            id,
            Rendering {
                text: hash,
                voice,
                audio,
            },
        ) in &self.clip
        {
            // Writing to a String cannot fail.
            let _ = writeln!(
                text,
                "{id:?} = {{ voice = {voice:?}, text = {hash:?}, audio = {audio:?} }}"
            );
        }
        text
    }
}

/// SHA-256 in hexadecimal.
#[must_use]
pub fn sha256_hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .fold(String::with_capacity(64), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        let mut manifest = Manifest::default();
        for id in ["spell.upper.b", "digit.7"] {
            let rendering = Rendering {
                text: sha256_hex(b"text"),
                voice: "flite 2.2 rms".to_owned(),
                audio: sha256_hex(id.as_bytes()),
            };
            manifest.clip.insert(id.to_owned(), rendering);
        }
        assert_eq!(Manifest::parse(&manifest.to_toml()), Ok(manifest));
    }

    #[test]
    fn hashes_are_those_of_sha256sum() {
        assert_eq!(
            sha256_hex(b"abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }
}
