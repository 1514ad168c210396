//! Durations in configuration files: whole seconds under a key that ends in `_seconds`.

use std::time::Duration;

use serde::{Deserialize, Deserializer};

/// For `#[serde(deserialize_with)]`.
pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    u64::deserialize(deserializer).map(Duration::from_secs)
}
