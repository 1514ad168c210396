//! What the tests of this module share.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::*;

pub(crate) mod branches;
mod documentation;
mod random;
mod shipped;
mod stories;

/// A small flow that uses every kind of step but `transfer`.
pub(super) const MINIMAL: &str = include_str!("../../../dialplans/minimal.toml");

/// Checks a flow whose prompts all exist.
pub(crate) fn flow(name: &str, text: &str) -> Flow {
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

/// The flows that ship, by name.
pub(crate) const SHIPPED: [(&str, &str); 3] = [
    ("reset", include_str!("../../../dialplans/reset.toml")),
    ("unlock", include_str!("../../../dialplans/unlock.toml")),
    ("minimal", MINIMAL),
];

/// Runs a script; spoken items are written as flow files write them.
pub(super) fn run(flow: &Arc<Flow>, script: &str) -> String {
    let script: Script = script.parse().expect("a valid script");
    transcript(flow, &script, crate::time::monotonic(), &ToString::to_string)
}

/// Compares with the file of that name under `src/dialplan/snapshots`.
pub(super) fn assert_transcript(name: &str, text: &str) {
    insta::with_settings!({
        snapshot_path => "../snapshots",
        prepend_module_to_snapshot => false,
        omit_expression => true,
    }, {
        insta::assert_snapshot!(name, text);
    });
}
