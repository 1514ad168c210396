//! Prompts and phrases, recorded or synthesized.

pub mod audio;
pub mod language;
pub mod phrase;
pub mod synthesizer;
