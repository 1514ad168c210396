//! What a record says of a person, and what of it cannot be taken.

use std::fmt;
use std::str::FromStr;

use super::mapping::{Attributes, Mapping};
use crate::identity::answer::Answer;
use crate::identity::keypad::KeypadId;
use crate::identity::profile::{MAX_NAME, MAX_VALUES, MailAddress, PhoneNumber, Profile, place_key};
use crate::identity::question::Question;
use crate::identity::user::{Discriminator, EmployeeNumber, Login, UserError};
use crate::integration::source::Record;
use crate::language::Language;
use crate::secret::Secret;

/// A field that is wrong: its name, and what would be right.
pub(super) type Wrong = (&'static str, String);

/// What a record says. A field that the source does not speak of is `None`.
#[derive(Default)]
pub(super) struct Person {
    pub(super) login: Option<Login>,
    pub(super) name: Option<String>,
    pub(super) numbers: Option<Vec<EmployeeNumber>>,
    pub(super) discriminator: Option<Option<Secret>>,
    pub(super) language: Option<Option<Language>>,
    pub(super) phones: Option<Vec<PhoneNumber>>,
    pub(super) mails: Option<Vec<MailAddress>>,
    pub(super) departments: Option<Vec<String>>,
    pub(super) managers: Option<Vec<String>>,
    pub(super) groups: Option<Vec<String>>,
    /// Target and name there.
    pub(super) accounts: Vec<(String, String)>,
    /// By the place of the question in the mapping.
    pub(super) answers: Vec<(usize, Secret)>,
    /// Fields that were left out.
    pub(super) wrong: Vec<Wrong>,
}

impl Person {
    /// Reads a record; a field that is wrong is left out and told.
    pub(super) fn read(mapping: &Mapping, asked: &[String], record: &Record, questions: &[Question]) -> Self {
        let values = Values { asked, record };
        let mut person = Self::default();
        let mut wrong = Vec::new();
        let login = values
            .first(&mapping.login)
            .map(|text| parse("login", text, &mut wrong));
        person.login = login.flatten();
        person.name = mapped(&mapping.name, || {
            let name = values.first(&mapping.name).unwrap_or_default();
            name.chars().filter(|c| !c.is_control()).take(MAX_NAME).collect()
        });
        person.numbers = mapped(&mapping.employee_number, || {
            parsed("employee_number", values.all(&mapping.employee_number), &mut wrong)
        });
        person.discriminator = mapped(&mapping.discriminator, || {
            let text = values.first(&mapping.discriminator)?;
            let keys = KeypadId::from_number(text).map_or(0, |id| id.as_str().len());
            if (Discriminator::MIN_LEN..=Discriminator::MAX_LEN).contains(&keys) {
                return Some(Secret::new(text.to_owned()));
            }
            wrong.push(("discriminator", UserError::Discriminator.to_string()));
            None
        });
        person.language = mapped(&mapping.language, || {
            // `de-DE, en;q=0.8` is a list in order of preference (RFC 2798, 2.7).
            let first = values.first(&mapping.language)?.split([',', ';']).next()?.trim();
            parse("language", &first.replace('_', "-"), &mut wrong)
        });
        person.phones = mapped(&mapping.phone, || {
            parsed("phone", values.all(&mapping.phone), &mut wrong)
        });
        person.mails = mapped(&mapping.mail, || parsed("mail", values.all(&mapping.mail), &mut wrong));
        person.departments = mapped(&mapping.department, || {
            names("department", values.first(&mapping.department).into_iter(), &mut wrong)
        });
        person.managers = mapped(&mapping.manager, || {
            let managers = names("manager", values.all(&mapping.manager), &mut wrong);
            managers.iter().map(|manager| place_key(manager)).collect()
        });
        person.groups = mapped(&mapping.groups, || {
            names("groups", values.all(&mapping.groups), &mut wrong)
        });
        for (target, attributes) in &mapping.accounts {
            for name in names("account", values.first(attributes).into_iter(), &mut wrong) {
                person.accounts.push((target.clone(), name));
            }
        }
        for (nth, (_, attributes)) in mapping.answers.iter().enumerate() {
            let Some(text) = values.first(attributes) else { continue };
            let text = Secret::new(text.to_owned());
            let question = &questions[nth];
            let fails = |channel| Answer::enrolled(&question.format, channel, &text).err();
            match question.channels.iter().find_map(fails) {
                Some(error) => wrong.push(("answer", format!("{}: {error}", question.text))),
                None => person.answers.push((nth, text)),
            }
        }
        person.wrong = wrong;
        person
    }

    /// What was known of somebody, with what is said of them now.
    pub(super) fn profile(&self, old: &Profile) -> Profile {
        let take = |new: &Option<Vec<String>>, old: &[String]| new.clone().unwrap_or_else(|| old.to_vec());
        Profile {
            phones: self.phones.clone().unwrap_or_else(|| old.phones.clone()),
            mails: self.mails.clone().unwrap_or_else(|| old.mails.clone()),
            departments: take(&self.departments, &old.departments),
            managers: take(&self.managers, &old.managers),
            groups: take(&self.groups, &old.groups),
        }
    }
}

/// The values of a record, by attribute.
struct Values<'a> {
    asked: &'a [String],
    record: &'a Record,
}

impl<'a> Values<'a> {
    fn all(&self, attributes: &'a Attributes) -> impl Iterator<Item = &'a str> {
        let (asked, record) = (self.asked, self.record);
        attributes.iter().flat_map(move |attribute| {
            let nth = asked.iter().position(|asked| asked.eq_ignore_ascii_case(attribute));
            let values = nth.and_then(|nth| record.values.get(nth));
            values.into_iter().flatten().map(Secret::expose)
        })
    }

    fn first(&self, attributes: &'a Attributes) -> Option<&'a str> {
        self.all(attributes).next()
    }
}

/// What is read, if the source speaks of it at all.
fn mapped<T>(attributes: &Attributes, read: impl FnOnce() -> T) -> Option<T> {
    (!attributes.is_empty()).then(read)
}

fn parse<T: FromStr<Err: fmt::Display>>(field: &'static str, text: &str, wrong: &mut Vec<Wrong>) -> Option<T> {
    text.parse()
        .map_err(|error: T::Err| wrong.push((field, error.to_string())))
        .ok()
}

/// All that can be read, without doubles.
fn parsed<'a, T: FromStr<Err = UserError> + PartialEq>(
    field: &'static str,
    texts: impl Iterator<Item = &'a str>,
    wrong: &mut Vec<Wrong>,
) -> Vec<T> {
    let mut all = Vec::new();
    for (nth, text) in texts.enumerate() {
        if nth == MAX_VALUES {
            wrong.push((
                field,
                format!("has more than {MAX_VALUES} values; the first ones count"),
            ));
            break;
        }
        if let Some(value) = parse(field, text, wrong)
            && !all.contains(&value)
        {
            all.push(value);
        }
    }
    all
}

/// All that is not too long, without doubles.
fn names<'a>(field: &'static str, texts: impl Iterator<Item = &'a str>, wrong: &mut Vec<Wrong>) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for (nth, text) in texts.enumerate() {
        if nth == MAX_VALUES {
            wrong.push((
                field,
                format!("has more than {MAX_VALUES} values; the first ones count"),
            ));
            break;
        }
        if text.len() > MAX_NAME || text.chars().any(char::is_control) {
            wrong.push((field, format!("has more than {MAX_NAME} bytes, or control characters")));
        } else if !all.iter().any(|known| known == text) {
            all.push(text.to_owned());
        }
    }
    all
}
