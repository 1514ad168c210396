//! Invented people for tests: they have accounts on three systems of the embedded directory, and
//! answers that are no secret.
//!
//! Two of each person's questions have a recording, one is spoken by a synthesizer. Nothing of this belongs into a
//! database that real people depend on.

use std::collections::BTreeMap;

use crate::digit::Digits;
use crate::identity::event::{Actor, Door, Origin};
use crate::identity::question::{Channel, Origin as QuestionOrigin, Question};
use crate::identity::user::Login;
use crate::integration::target::TargetError;
use crate::integration::target::embedded::{Directories, Rules};
use crate::secret::Secret;
use crate::service::people::{Enrolment, NewQuestion, NewUser, PeopleError};
use crate::service::{ServiceError, Services};

/// The systems, as callers hear them.
pub(super) const SYSTEMS: [&str; 3] = ["Active Directory", "Mail", "Payroll"];

/// Somebody who can call.
#[derive(Clone, Debug)]
pub(super) struct Person {
    /// What they sign in with, on every system.
    pub(super) login: String,
    /// Full name.
    pub(super) name: String,
    /// What they key to identify themselves.
    pub(super) employee_number: String,
    /// The password that they have forgotten.
    pub(super) old_password: Secret,
    /// What they key in answer to each question.
    pub(super) answers: Vec<(Question, Digits)>,
}

/// Why there are no invented people.
#[derive(Debug, thiserror::Error)]
pub(super) enum DemoError {
    /// Passline did not take them.
    #[error("cannot add an invented user")]
    People(#[from] PeopleError),
    /// The directory did not take their accounts.
    #[error("cannot add an invented account")]
    Target(#[from] TargetError),
}

/// Adds the invented people. May be repeated: it then gives them their old passwords and answers back.
///
/// # Errors
/// When a database cannot be written.
pub(super) async fn seed(services: &Services, directories: &Directories) -> Result<Vec<Person>, DemoError> {
    let questions = [
        add(
            services,
            "What is your date of birth?",
            Some("question.birth_date"),
            "date MMDDYYYY",
        )
        .await?,
        add(
            services,
            "What is the zip code of your home address?",
            Some("question.postal_code"),
            "digits 5-5",
        )
        .await?,
        add(
            services,
            "Which bus line did you take to school? Key in its number.",
            None,
            "digits 2-4",
        )
        .await?,
    ];
    let mut people = Vec::with_capacity(PEOPLE.len());
    for (index, sample) in PEOPLE.iter().enumerate() {
        people.push(seed_person(services, directories, &questions, sample, index).await?);
    }
    Ok(people)
}

struct Sample {
    login: &'static str,
    name: &'static str,
    employee_number: &'static str,
    discriminator: &'static str,
    /// In the order of the questions: as written at enrolment, as keyed.
    answers: [(&'static str, &'static str); 3],
}

/// The last two share the keypad form of their login, 7648401: they are asked for their extension as well.
const PEOPLE: [Sample; 4] = [
    Sample {
        login: "amorgan",
        name: "Alex Morgan",
        employee_number: "4711",
        discriminator: "2101",
        answers: [("1987-04-03", "04031987"), ("94107", "94107"), ("38", "38")],
    },
    Sample {
        login: "jrivera",
        name: "Jamie Rivera",
        employee_number: "4712",
        discriminator: "2102",
        answers: [("1992-11-21", "11211992"), ("60614", "60614"), ("152", "152")],
    },
    Sample {
        login: "smith01",
        name: "Sam Smith",
        employee_number: "4713",
        discriminator: "2103",
        answers: [("1979-07-30", "07301979"), ("02139", "02139"), ("66", "66")],
    },
    Sample {
        login: "poguh01",
        name: "Pat Oguh",
        employee_number: "4714",
        discriminator: "2104",
        answers: [("2000-02-29", "02292000"), ("10027", "10027"), ("104", "104")],
    },
];

async fn add(services: &Services, text: &str, prompt: Option<&str>, format: &str) -> Result<Question, PeopleError> {
    let new = NewQuestion {
        text: text.to_owned(),
        language: None,
        translations: BTreeMap::new(),
        prompt: prompt.map(str::to_owned),
        channels: [Channel::Phone].into_iter().collect(),
        format: format
            .parse()
            .expect("the formats above are well formed; a test reads them"),
        origin: QuestionOrigin::Shared,
    };
    services.add_question(new).await
}

async fn seed_person(
    services: &Services,
    directories: &Directories,
    questions: &[Question; 3],
    sample: &Sample,
    index: usize,
) -> Result<Person, DemoError> {
    let old_password = Secret::new(format!("Forgotten+{}{index}", sample.employee_number));
    for system in SYSTEMS {
        let directory = directories.target(system, Rules::default());
        directory.create(sample.login, &old_password).await?;
    }
    let login: Login = sample.login.parse().map_err(PeopleError::from)?;
    let new = NewUser {
        login: login.clone(),
        display_name: sample.name.to_owned(),
        employee_number: Some(sample.employee_number.parse().map_err(PeopleError::from)?),
        discriminator: Some(Secret::new(sample.discriminator.to_owned())),
        language: None,
        accounts: SYSTEMS
            .map(|system| (system.to_owned(), sample.login.to_owned()))
            .to_vec(),
    };
    match services.create_user(&origin(), new).await {
        Ok(_) | Err(PeopleError::LoginTaken) => {}
        Err(error) => return Err(error.into()),
    }
    let enrolments: Vec<Enrolment> = questions
        .iter()
        .zip(sample.answers)
        .map(|(question, (written, _))| Enrolment {
            question: question.id,
            answer: Secret::new(written.to_owned()),
        })
        .collect();
    services.enroll(&origin(), &login, &enrolments).await?;
    let keyed = questions.iter().cloned().zip(sample.answers.map(|(_, keyed)| keyed));
    Ok(Person {
        login: sample.login.to_owned(),
        name: sample.name.to_owned(),
        employee_number: sample.employee_number.to_owned(),
        old_password,
        answers: keyed
            .map(|(question, keys)| (question, Digits::parse(keys).unwrap_or_default()))
            .collect(),
    })
}

fn origin() -> Origin {
    Origin {
        door: Door::Cli,
        actor: Actor::System,
        session: None,
        user: None,
    }
}

impl From<ServiceError> for DemoError {
    fn from(error: ServiceError) -> Self {
        Self::People(error.into())
    }
}
