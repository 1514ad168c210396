//! Whole numbers by rules, after the idea of the rule-based number formats of Unicode CLDR.
//!
//! The rule with the largest `from` that is not above the number is used. With `by = 10` and the number 42: `{whole}`
//! is 40, `{rest}` is 2, `{times}` is 4. `{rest}` and `{times}` as terms of their own are spoken as numbers in turn;
//! inside a prompt id they are put in as figures. German says the unit first: `["{rest}", "number.and",
//! "number.{whole}"]`; French 91 is `from = 81, by = 80` ("quatre-vingt" + 11).

use serde::Deserialize;

use super::{PhraseError, Piece};

/// How numbers from a value on are put together.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NumberRule {
    /// The smallest number that this rule is for.
    pub from: u32,
    /// What the number is divided by.
    pub by: u32,
    /// What to say.
    pub say: Vec<String>,
    /// What to say instead when nothing is left over (300); without it, `say` without its `{rest}`.
    #[serde(default)]
    pub exact: Option<Vec<String>>,
}

/// Rules may refer to each other; a number needs few steps, a rule that refers to itself needs endless ones.
const MAX_DEPTH: u8 = 8;

pub(super) fn speak(rules: &[NumberRule], value: u32, has: &dyn Fn(&str) -> bool) -> Result<Vec<Piece>, PhraseError> {
    let mut pieces = Vec::new();
    append(rules, value, has, MAX_DEPTH, &mut pieces)?;
    Ok(pieces)
}

fn append(
    rules: &[NumberRule],
    value: u32,
    has: &dyn Fn(&str) -> bool,
    depth: u8,
    pieces: &mut Vec<Piece>,
) -> Result<(), PhraseError> {
    let whole_number = format!("number.{value}");
    if has(&whole_number) {
        pieces.push(Piece::Prompt(whole_number));
        return Ok(());
    }
    let unspeakable = PhraseError::Number(value);
    let rule = rules
        .iter()
        .filter(|rule| rule.from <= value && rule.by > 0)
        .max_by_key(|rule| rule.from);
    let Some((rule, depth)) = rule.zip(depth.checked_sub(1)) else {
        return Err(unspeakable);
    };
    let (times, rest) = (value / rule.by, value % rule.by);
    let template = match &rule.exact {
        Some(exact) if rest == 0 => exact,
        _ => &rule.say,
    };
    for term in template {
        match term.as_str() {
            "{rest}" if rest == 0 => {}
            "{rest}" => append(rules, rest, has, depth, pieces)?,
            "{times}" => append(rules, times, has, depth, pieces)?,
            id => {
                let id = id
                    .replace("{whole}", &(value - rest).to_string())
                    .replace("{rest}", &rest.to_string())
                    .replace("{times}", &times.to_string());
                if !has(&id) {
                    return Err(unspeakable);
                }
                pieces.push(Piece::Prompt(id));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Phrasebook;
    use super::*;

    fn recorded(id: &str) -> bool {
        id.strip_prefix("number.")
            .is_some_and(|name| match name.parse::<u32>() {
                Ok(value) => value <= 20 || (value < 100 && value % 10 == 0),
                Err(_) => ["hundred", "thousand", "and"].contains(&name),
            })
    }

    fn names(pieces: &[Piece]) -> String {
        let names: Vec<&str> = pieces
            .iter()
            .map(|piece| match piece {
                Piece::Prompt(id) => id.trim_start_matches("number."),
                _ => "?",
            })
            .collect();
        names.join(" ")
    }

    fn english(value: u32) -> String {
        let book = Phrasebook::parse(include_str!("../../../prompts/en-US/phrases.toml")).expect("the shipped file");
        names(&book.number(value, &recorded).expect("within the rules"))
    }

    #[test]
    fn english_numbers() {
        for (value, expected) in [
            (0, "0"),
            (7, "7"),
            (13, "13"),
            (20, "20"),
            (21, "20 1"),
            (99, "90 9"),
            (100, "1 hundred"),
            (305, "3 hundred 5"),
            (999, "9 hundred 90 9"),
            (1_000, "1 thousand"),
            (12_345, "12 thousand 3 hundred 40 5"),
        ] {
            assert_eq!(english(value), expected, "{value}");
        }
    }

    #[test]
    fn a_recording_of_the_number_itself_wins() {
        let book = Phrasebook::parse(include_str!("../../../prompts/en-US/phrases.toml")).expect("the shipped file");
        let pieces = book
            .number(42, &|id| id == "number.42" || recorded(id))
            .expect("within the rules");
        assert_eq!(names(&pieces), "42");
    }

    #[test]
    fn other_orders_are_a_matter_of_rules() {
        let german = [NumberRule {
            from: 21,
            by: 10,
            say: ["{rest}", "number.and", "number.{whole}"].map(String::from).to_vec(),
            exact: None,
        }];
        assert_eq!(names(&speak(&german, 42, &recorded).expect("covered")), "2 and 40");
        let french = [NumberRule {
            from: 81,
            by: 80,
            say: ["number.80", "{rest}"].map(String::from).to_vec(),
            exact: None,
        }];
        assert_eq!(names(&speak(&french, 91, &recorded).expect("covered")), "80 11");
    }

    #[test]
    fn a_rule_that_refers_to_itself_ends_in_an_error() {
        let rules = [NumberRule {
            from: 1,
            by: 1,
            say: vec!["{times}".to_owned()],
            exact: None,
        }];
        assert_eq!(speak(&rules, 5, &|_| false), Err(PhraseError::Number(5)));
        assert_eq!(speak(&[], 5, &|_| false), Err(PhraseError::Number(5)));
    }

    proptest! {
        #[test]
        fn every_number_below_a_million_adds_up(value in 0u32..1_000_000) {
            let (mut total, mut group) = (0, 0);
            for name in english(value).split(' ') {
                match name {
                    "hundred" => group *= 100,
                    "thousand" => { total += group * 1_000; group = 0; }
                    figure => group += figure.parse::<u32>().expect("a figure"),
                }
            }
            prop_assert_eq!(total + group, value);
        }
    }
}
