//! Everything that a caller hears: recorded prompts, phrases put together from them, and synthesized text.
//!
//! ```text
//!  prompts/<language>/          catalog  ──┐
//!  phrases.toml ── phrase ─────────────────┼── speaker ── Utterance (clips and pauses)
//!  text ── synthesizer ── audio ── cache ──┘
//! ```
//!
//! | module | what it does |
//! |---|---|
//! | [`phrase`] | digits, numbers, lists, spelled passwords as lists of prompts; pure |
//! | [`catalog`] | the recordings of every language, checked and encoded |
//! | [`audio`] | decoding, resampling, level after ITU-T P.56 |
//! | [`synthesizer`] | flite and espeak-ng |
//! | [`cache`] | synthesized audio: static on disk, personal until the call ends |
//! | [`speaker`] | what a call uses |
//! | [`render`] | recordings made from texts, for `passline prompts render` |
//!
//! Why it is so: `docs/decisions/0005-speech.md`.

pub mod audio;
pub mod cache;
pub mod catalog;
pub mod phrase;
pub mod render;
pub mod speaker;
pub mod synthesizer;
pub mod utterance;

pub use crate::language::Language;
pub use speaker::{Config, SpeakError, Speaker, Speech};
pub use utterance::{Part, Privacy, Utterance};
