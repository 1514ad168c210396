//! Prompts and phrases, recorded or synthesized.

pub mod audio;
