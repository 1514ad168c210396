//! `kind = "embedded"`.

use crate::checked_toml::Table;
use crate::integration::target::embedded::Rules;

pub(super) fn read(table: &mut Table<'_, '_>) -> Rules {
    let mut rules = Rules::default();
    let policy = &mut rules.policy;
    policy.min_length = table.number("min_length", policy.min_length, 1..=128);
    policy.max_length = table.number("max_length", policy.max_length, 1..=128);
    policy.min_classes = table.number("min_classes", policy.min_classes, 1..=4);
    if let Err(error) = policy.validate() {
        table.mistake("min_length", error.to_string());
    }
    rules.lock_after = table.number("lock_after", rules.lock_after, 1..=1_000);
    rules
}
