//! Trunk files, checked against the flows that they name.

use std::path::Path;

use crate::checked_toml::{Mistake, Mistakes};
use crate::dialplan::Library;
use crate::telephony::sip::trunk::{self, Trunks};

/// Reads the trunk files of a folder.
///
/// # Errors
/// Every mistake in every file, and every flow that is named but does not exist.
pub fn load(folder: &Path, flows: &Library) -> Result<Trunks, Vec<Mistake>> {
    let mistakes = Mistakes::default();
    let trunks = trunk::load_directory(folder, &mistakes);
    for trunk in &trunks {
        for rule in trunk.called.iter().filter(|rule| flows.find(&rule.dialplan).is_none()) {
            let known: Vec<String> = flows.versions().into_iter().map(|(name, _)| name.to_string()).collect();
            mistakes.note(Mistake {
                file: folder.join(format!("{}.toml", trunk.name)),
                line: None,
                key: "called.dialplan".to_owned(),
                message: format!(
                    "there is no call flow {:?}; known are {}",
                    rule.dialplan,
                    known.join(", ")
                ),
            });
        }
    }
    if trunks.is_empty() && mistakes.is_empty() {
        mistakes.note_file(folder, "holds no trunk file (*.toml); without one nobody can call");
    }
    if !mistakes.is_empty() {
        return Err(mistakes.into_list());
    }
    Trunks::new(trunks)
}
