//! What a line of the file says: columns, values, and what is wrong with them.

use std::collections::{HashMap, HashSet};

use csv::StringRecord;

use super::{Mistake, mistake};
use crate::identity::answer::Answer;
use crate::identity::keypad::KeypadId;
use crate::identity::question::Question;
use crate::identity::user::{Discriminator, EmployeeNumber, Login, User, UserError};
use crate::language::Language;
use crate::secret::Secret;
use crate::service::people::NewUser;

/// What a column holds.
pub(super) enum Column {
    Login,
    Name,
    EmployeeNumber,
    Discriminator,
    Language,
    Account(String),
    Answer(Box<Question>),
}

impl Column {
    pub(super) fn plain(name: &str) -> Option<Self> {
        match name {
            "login" => Some(Self::Login),
            "name" => Some(Self::Name),
            "employee_number" => Some(Self::EmployeeNumber),
            "discriminator" => Some(Self::Discriminator),
            "language" => Some(Self::Language),
            _ => None,
        }
    }

    fn name(&self) -> String {
        match self {
            Self::Login => "login".to_owned(),
            Self::Name => "name".to_owned(),
            Self::EmployeeNumber => "employee_number".to_owned(),
            Self::Discriminator => "discriminator".to_owned(),
            Self::Language => "language".to_owned(),
            Self::Account(system) => format!("account.{system}"),
            Self::Answer(question) => format!("answer.{}", question.prompt.as_deref().unwrap_or(&question.text)),
        }
    }
}

/// A line without mistakes.
pub(super) struct Row {
    pub(super) line: u64,
    pub(super) user: NewUser,
    pub(super) answers: Vec<(Question, Secret)>,
}

impl Row {
    /// Reads a line; all of its mistakes at once.
    pub(super) fn read(
        columns: &[Column],
        line: u64,
        record: &StringRecord,
        seen: &mut Seen,
    ) -> Result<Self, Vec<Mistake>> {
        let mut mistakes = Vec::new();
        let mut login = None;
        let mut answers = Vec::new();
        let mut rest = Fields::default();
        for (column, value) in columns.iter().zip(record).filter(|(_, value)| !value.is_empty()) {
            let wrong = match column {
                Column::Login => match value.parse::<Login>() {
                    Ok(value) => {
                        login = Some(value);
                        None
                    }
                    Err(error) => Some(error.to_string()),
                },
                Column::Answer(question) => {
                    let text = Secret::new(value.to_owned());
                    let wrong = answer_mistake(question, &text);
                    answers.push(((**question).clone(), text));
                    wrong
                }
                other => rest.take(other, value),
            };
            let double = seen
                .account(column, value)
                .then(|| "the account is in an earlier line too".to_owned());
            mistakes.extend(
                wrong
                    .or(double)
                    .map(|message| mistake(line, Some(&column.name()), &message)),
            );
        }
        let login = match login {
            Some(login) => login,
            None => {
                if mistakes.is_empty() {
                    mistakes.push(mistake(line, Some("login"), "the login is missing"));
                }
                return Err(mistakes);
            }
        };
        let user = rest.user(login);
        if let Some(earlier) = seen.login(user.login.as_str(), line) {
            let message = format!("the login is in line {earlier} too");
            mistakes.push(mistake(line, Some("login"), &message));
        }
        if mistakes.is_empty() {
            Ok(Self { line, user, answers })
        } else {
            Err(mistakes)
        }
    }
}

/// The fields of a user that may be missing.
#[derive(Default)]
struct Fields {
    name: Option<String>,
    employee_number: Option<EmployeeNumber>,
    discriminator: Option<Secret>,
    language: Option<Language>,
    accounts: Vec<(String, String)>,
}

impl Fields {
    /// Takes a value; what is wrong with it, if anything.
    fn take(&mut self, column: &Column, value: &str) -> Option<String> {
        match column {
            Column::Name => self.name = Some(value.to_owned()),
            Column::EmployeeNumber => match value.parse() {
                Ok(number) => self.employee_number = Some(number),
                Err(error) => return Some(error.to_string()),
            },
            Column::Discriminator => {
                let keys = KeypadId::from_number(value).map_or(0, |id| id.as_str().len());
                if !(Discriminator::MIN_LEN..=Discriminator::MAX_LEN).contains(&keys) {
                    return Some(UserError::Discriminator.to_string());
                }
                self.discriminator = Some(Secret::new(value.to_owned()));
            }
            Column::Language => match value.parse() {
                Ok(language) => self.language = Some(language),
                Err(error) => return Some(error.to_string()),
            },
            Column::Account(system) => self.accounts.push((system.clone(), value.to_owned())),
            Column::Login | Column::Answer(_) => {}
        }
        None
    }

    fn user(self, login: Login) -> NewUser {
        NewUser {
            display_name: self.name.unwrap_or_default(),
            login,
            employee_number: self.employee_number,
            discriminator: self.discriminator,
            language: self.language,
            accounts: self.accounts,
        }
    }
}

fn answer_mistake(question: &Question, text: &Secret) -> Option<String> {
    let wrong = |channel| Answer::enrolled(&question.format, channel, text).err();
    question.channels.iter().find_map(wrong).map(|error| error.to_string())
}

/// The old user with what the line says, and which fields changed.
pub(super) fn merged(old: User, fresh: User) -> (User, Vec<String>) {
    let mut user = old;
    let mut fields = Vec::new();
    if !fresh.display_name.is_empty() && fresh.display_name != user.display_name {
        user.display_name = fresh.display_name;
        fields.push("name".to_owned());
    }
    if fresh.employee_number.is_some() && fresh.employee_number != user.employee_number {
        user.employee_number = fresh.employee_number;
        fields.push("employee_number".to_owned());
    }
    if fresh.discriminator.is_some() && fresh.discriminator != user.discriminator {
        user.discriminator = fresh.discriminator;
        fields.push("discriminator".to_owned());
    }
    if fresh.language.is_some() && fresh.language != user.language {
        user.language = fresh.language;
        fields.push("language".to_owned());
    }
    (user, fields)
}

/// What earlier lines have used.
#[derive(Default)]
pub(super) struct Seen {
    logins: HashMap<String, u64>,
    accounts: HashSet<(String, String)>,
}

impl Seen {
    /// The earlier line with this login.
    fn login(&mut self, login: &str, line: u64) -> Option<u64> {
        let key = login.to_lowercase();
        if let Some(&earlier) = self.logins.get(&key) {
            return Some(earlier);
        }
        self.logins.insert(key, line);
        None
    }

    /// Whether an earlier line has this account.
    fn account(&mut self, column: &Column, name: &str) -> bool {
        match column {
            Column::Account(system) => !self.accounts.insert((system.clone(), name.to_owned())),
            _ => false,
        }
    }
}
