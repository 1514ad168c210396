//! What the tests of this module share.

use std::collections::BTreeSet;

use super::*;

/// A small flow that uses every kind of step but `transfer`.
pub(super) const MINIMAL: &str = include_str!("../../dialplans/minimal.toml");

/// Checks a flow whose prompts all exist.
pub(super) fn flow(name: &str, text: &str) -> Flow {
    match load(&format!("{name}.toml"), text, &every_prompt_of(text)) {
        Ok(loaded) => loaded.flow,
        Err(report) => panic!("{report}"),
    }
}

/// An index in which everything that looks like a prompt id exists.
pub(super) fn every_prompt_of(text: &str) -> PromptIndex {
    let words = text.split('"').skip(1).step_by(2).filter_map(PromptId::parse);
    PromptIndex::new().with("en-US", words.collect::<BTreeSet<_>>())
}
