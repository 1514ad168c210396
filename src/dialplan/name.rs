//! Names that appear in flow files: steps, prompts and transfer destinations. Checked when made, cheap to clone.

use std::fmt;
use std::sync::Arc;

/// Longest name of a step, prompt or destination, in bytes.
const MAX_LEN: usize = 64;

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident, $valid:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name, or `None` if `text` does not have the shape of one.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                let valid: fn(&str) -> bool = $valid;
                (text.len() <= MAX_LEN && valid(text)).then(|| Self(text.into()))
            }

            /// The name as it is written in files.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        /// Sets of names can be searched by text.
        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

name_type! {
    /// Name of a step: small letters, digits and `_`, beginning with a letter (`ask_employee_number`).
    StepName, is_word
}

name_type! {
    /// Id of a prompt: two or more words joined by dots, `<area>.<what>` (`identify.ask`).
    PromptId, |text| text.contains('.') && text.split('.').all(is_part)
}

name_type! {
    /// Name of a transfer destination (`help_desk`); its address is in the configuration, never in a flow.
    DestinationName, is_word
}

/// A letter first, then letters, digits and `_`; all small.
fn is_word(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase()) && is_part(text)
}

fn is_part(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_one_shape() {
        for good in ["greeting", "ask_pin_2"] {
            assert!(StepName::parse(good).is_some(), "{good}");
        }
        for bad in ["", "2nd", "Ask", "ask-pin", "ask.pin", "é"] {
            assert!(StepName::parse(bad).is_none(), "{bad}");
        }
        assert!(StepName::parse(&"a".repeat(65)).is_none());
    }

    #[test]
    fn prompt_ids_have_an_area() {
        for good in ["identify.ask", "digit.7", "spell.capital.b"] {
            assert!(PromptId::parse(good).is_some(), "{good}");
        }
        for bad in ["ask", ".ask", "identify.", "a..b", "{question}", "Identify.ask"] {
            assert!(PromptId::parse(bad).is_none(), "{bad}");
        }
    }
}
