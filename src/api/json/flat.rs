//! Responses as one flat map of strings, for platforms that take nothing else: `users_0_label` instead of a list of objects.
//!
//! Names have letters, digits and underscores only, and lists say how long they are (`users_count`).

use serde::Serialize;
use serde_json::{Map, Value};

/// A response with everything at the first level.
pub(super) fn flattened<T: Serialize>(response: &T) -> Result<Map<String, Value>, serde_json::Error> {
    let mut flat = Map::new();
    add(&mut flat, String::new(), serde_json::to_value(response)?);
    Ok(flat)
}

fn add(flat: &mut Map<String, Value>, name: String, value: Value) {
    let below = |part: &str| match name.is_empty() {
        true => part.to_owned(),
        false => format!("{name}_{part}"),
    };
    match value {
        Value::Object(members) => {
            for (member, value) in members {
                add(flat, below(&member), value);
            }
        }
        Value::Array(items) => {
            flat.insert(below("count"), Value::String(items.len().to_string()));
            for (index, item) in items.into_iter().enumerate() {
                add(flat, below(&index.to_string()), item);
            }
        }
        Value::Null => {}
        Value::String(_) => drop(flat.insert(name, value)),
        other => drop(flat.insert(name, Value::String(other.to_string()))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn lists_and_objects_become_names() {
        let response = json!({
            "job": "a", "accounts": [{"system": "mail", "mustChange": true}, {"system": "erp", "state": {"locked": null}}],
            "nothing": [], "seconds": 120,
        });
        let flat = Value::Object(flattened(&response).unwrap());
        assert_eq!(
            flat,
            json!({
                "job": "a", "accounts_count": "2", "accounts_0_system": "mail", "accounts_0_mustChange": "true",
                "accounts_1_system": "erp", "nothing_count": "0", "seconds": "120",
            })
        );
    }
}
