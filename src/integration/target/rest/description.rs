//! The description of an API, as a file of TOML: which requests do what, and what their answers mean.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::Value;

use super::template::{Json, Template, Values};
use crate::integration::target::Refusal;

/// What the program knows how to talk to without a file of the company's own.
pub const SHIPPED: &[(&str, &str)] = &[
    ("keycloak", include_str!("../../../../targets/keycloak.toml")),
    ("entra", include_str!("../../../../targets/entra.toml")),
    ("okta", include_str!("../../../../targets/okta.toml")),
    ("google", include_str!("../../../../targets/google.toml")),
    ("servicenow", include_str!("../../../../targets/servicenow.toml")),
    ("scim", include_str!("../../../../targets/scim.toml")),
];

/// Names that are always there.
const GIVEN: &[&str] = &["url", "user", "account"];

/// An API.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Description {
    /// What it is, for people.
    pub title: String,
    /// Names that the target's own `parameters` must give.
    #[serde(default)]
    pub parameters: Vec<String>,
    /// Names that they may give; requests that need one that is missing are not made.
    #[serde(default)]
    pub optional: Vec<String>,
    /// What names stand for that they may give otherwise.
    #[serde(default)]
    pub defaults: BTreeMap<String, String>,
    pub(super) sign_in: SignIn,
    pub(super) find: Find,
    pub(super) lock: Option<Lock>,
    #[serde(default)]
    pub(super) reset: Vec<Step>,
    #[serde(default)]
    pub(super) expire: Vec<Step>,
    #[serde(default)]
    pub(super) unlock: Vec<Step>,
    #[serde(default)]
    pub(super) enable: Vec<Step>,
    #[serde(default)]
    pub(super) disable: Vec<Step>,
    pub(super) verify: Option<Verify>,
    /// Rules for passwords that the system's documents give.
    pub(super) policy: Option<Rules>,
    #[serde(default)]
    pub(super) answers: Vec<Answered>,
    /// Where an answer says in words what was wrong, for the log.
    #[serde(default)]
    pub(super) words: Vec<String>,
}

/// How Passline proves itself.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(tag = "method", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum SignIn {
    /// RFC 7617, with `user` and the kept password.
    Basic,
    /// A header of its own; `{credential}` is what is kept.
    Header { header: String, value: Template },
    /// RFC 6749, section 4.4: `user` is the client, the kept password its secret.
    ClientCredentials {
        token: Template,
        scope: Option<Template>,
        /// In the header (section 2.3.1) and not in the body.
        #[serde(default)]
        basic: bool,
    },
    /// RFC 7523, section 2.1: a statement signed with the kept private key (RS256); `user` makes it.
    JwtBearer {
        token: Template,
        scope: String,
        /// For whom it speaks.
        subject: Option<Template>,
    },
}

/// One HTTP request, without who signs in.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Line {
    pub(super) method: String,
    pub(super) url: Template,
}

impl TryFrom<String> for Line {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.split_once(' ') {
            Some((method @ ("GET" | "POST" | "PUT" | "PATCH" | "DELETE"), url))
                if url.starts_with('{') || url.starts_with("https://") =>
            {
                Ok(Self {
                    method: method.to_owned(),
                    url: Template::parse(url.trim()),
                })
            }
            _ => Err(format!(
                "{text:?} is no request: write it as \"GET {{url}}/users\", with GET, POST, PUT, PATCH or DELETE"
            )),
        }
    }
}

/// The rest of a request.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Parts {
    pub(super) query: BTreeMap<String, Template>,
    pub(super) headers: BTreeMap<String, Template>,
    pub(super) form: Option<BTreeMap<String, Template>>,
    pub(super) json: Option<Json>,
}

/// How an account is found, and what its entry tells.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Find {
    pub(super) request: Line,
    #[serde(default)]
    pub(super) with: Parts,
    /// Where the list of entries is; without it the answer is the entry.
    pub(super) list: Option<String>,
    /// Where the entry has what later requests call `{id}`.
    pub(super) id: String,
    /// Where it has the name of the account.
    pub(super) name: String,
    pub(super) disabled: Option<Condition>,
    pub(super) locked: Option<Condition>,
    pub(super) must_change: Option<Condition>,
    /// Who is never changed.
    #[serde(default)]
    pub(super) left_alone: Vec<Condition>,
    /// Where it has something that differs after each change of the password.
    pub(super) marker: Option<String>,
    /// Whether that may be shown as it was for a while.
    #[serde(default)]
    pub(super) marker_lags: bool,
}

/// What is known of the rules for passwords without asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rules {
    pub(super) min_length: Option<u16>,
    pub(super) max_length: Option<u16>,
    pub(super) min_classes: Option<u8>,
    #[serde(default)]
    pub(super) ascii_only: bool,
}

/// Another request that tells whether an account is locked.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Lock {
    pub(super) request: Line,
    #[serde(default)]
    pub(super) with: Parts,
    pub(super) locked: Condition,
}

/// A place in an answer (RFC 6901) and what must be there.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Condition {
    pub(super) pointer: String,
    /// One of these values.
    #[serde(default)]
    pub(super) is: Vec<Json>,
    /// A list with one of these in it, or a text that contains one.
    #[serde(default)]
    pub(super) has: Vec<String>,
}

impl Condition {
    pub(super) fn holds(&self, answer: &Value, values: &Values<'_>) -> bool {
        let Some(found) = answer.pointer(&self.pointer) else {
            return false;
        };
        let is = |wanted: &Json| match (wanted, found) {
            (Json::Text(text), Value::String(found)) => *text.plain(values) == *found,
            (Json::Other(value), found) => value == found,
            _ => false,
        };
        let has = |wanted: &String| match found {
            Value::String(text) => text.to_lowercase().contains(&wanted.to_lowercase()),
            Value::Array(list) => list.iter().any(|item| item.as_str() == Some(wanted)),
            _ => false,
        };
        self.is.iter().any(is) || self.has.iter().any(has)
    }
}

/// When a step is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Only {
    /// The password is to be changed at the next sign-in.
    MustChange,
    /// The account is locked.
    Locked,
}

/// One request of a change.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Step {
    pub(super) request: Line,
    #[serde(default)]
    pub(super) with: Parts,
    pub(super) only: Option<Only>,
    /// What the answer shows when it is done; otherwise nobody knows.
    pub(super) expect: Option<Condition>,
    /// What answers mean here; those of the whole description come afterwards.
    #[serde(default)]
    pub(super) answers: Vec<Answered>,
}

/// What an answer to a change means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Meaning {
    Done,
    Policy,
    NoSuchAccount,
    Rights,
    Disabled,
    Other,
    /// Nothing happened, and the same may succeed later.
    Later,
    /// It may have happened.
    Unknown,
}

impl Meaning {
    pub(super) fn refusal(self) -> Option<Refusal> {
        match self {
            Self::Policy => Some(Refusal::Policy),
            Self::NoSuchAccount => Some(Refusal::NoSuchAccount),
            Self::Rights => Some(Refusal::Rights),
            Self::Disabled => Some(Refusal::Disabled),
            Self::Other => Some(Refusal::Other),
            Self::Done | Self::Later | Self::Unknown => None,
        }
    }
}

/// What an answer means that is not what its status says.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Answered {
    pub(super) status: u16,
    #[serde(rename = "where")]
    pub(super) condition: Option<Condition>,
    pub(super) means: Meaning,
}

/// What a try with a password has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Shown {
    Accepted,
    MustChange,
    Rejected,
    Barred,
}

/// How a password is tried. Passline does not sign in for that.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Verify {
    pub(super) request: Line,
    #[serde(default)]
    pub(super) with: Parts,
    pub(super) answers: Vec<Tried>,
}

/// The first that fits counts.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tried {
    pub(super) status: u16,
    #[serde(rename = "where")]
    pub(super) condition: Option<Condition>,
    pub(super) means: Shown,
}

impl Description {
    /// Reads one, and looks whether it fits together.
    ///
    /// # Errors
    /// Says everything that is wrong, with its place.
    pub fn parse(text: &str) -> Result<Self, Vec<String>> {
        let description: Self = toml::from_str(text).map_err(|error| {
            let line = error
                .span()
                .map_or(1, |span| text[..span.start.min(text.len())].lines().count().max(1));
            vec![format!("line {line}: {}", error.message().trim().replace('\n', ", "))]
        })?;
        let problems = description.problems();
        if problems.is_empty() {
            Ok(description)
        } else {
            Err(problems)
        }
    }

    /// One that is shipped.
    #[must_use]
    pub fn shipped(name: &str) -> Option<&'static str> {
        SHIPPED.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
    }

    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let known = |names: BTreeSet<String>, more: &[&str], place: &str, problems: &mut Vec<String>| {
            for name in names {
                let is_known = GIVEN.contains(&name.as_str())
                    || more.contains(&name.as_str())
                    || self.parameters.contains(&name)
                    || self.optional.contains(&name)
                    || self.defaults.contains_key(&name);
                if !is_known {
                    problems.push(format!(
                        "{place}: {{{name}}} is not known here; name it in `parameters` or `optional` if a target is to give it"
                    ));
                }
            }
        };
        known(self.sign_in.names(), &["credential"], "sign_in", &mut problems);
        known(names(&self.find.request, &self.find.with), &[], "find", &mut problems);
        if let Some(lock) = &self.lock {
            known(names(&lock.request, &lock.with), &["id"], "lock", &mut problems);
        }
        for (place, steps) in self.changes() {
            if place != "reset" && steps.iter().any(|step| step.only == Some(Only::MustChange)) {
                problems.push(format!("{place}: `only = \"must_change\"` belongs to resets"));
            }
            let more: &[&str] = if place == "reset" {
                &["id", "password", "must_change"]
            } else {
                &["id"]
            };
            for step in steps {
                known(names(&step.request, &step.with), more, place, &mut problems);
            }
        }
        if let Some(verify) = &self.verify {
            known(
                names(&verify.request, &verify.with),
                &["id", "password"],
                "verify",
                &mut problems,
            );
        }
        if !self
            .reset
            .first()
            .is_some_and(|step| step.only.is_none() && step.names().contains("password"))
        {
            problems.push("reset: the first step must set {password}".to_owned());
        }
        if self.enable.is_empty() != self.disable.is_empty() {
            problems.push("enable and disable go together".to_owned());
        }
        for pointer in self.pointers() {
            if !(pointer.is_empty() || pointer.starts_with('/')) {
                problems.push(format!(
                    "{pointer:?} is no JSON pointer (RFC 6901): it begins with '/', or is empty"
                ));
            }
        }
        problems
    }

    pub(super) fn changes(&self) -> [(&'static str, &[Step]); 5] {
        [
            ("reset", &self.reset),
            ("expire", &self.expire),
            ("unlock", &self.unlock),
            ("enable", &self.enable),
            ("disable", &self.disable),
        ]
    }

    fn pointers(&self) -> Vec<&str> {
        let find = &self.find;
        let conditions = [&find.disabled, &find.locked, &find.must_change];
        let conditions = conditions.into_iter().flatten().chain(&find.left_alone);
        let mut all: Vec<&str> = conditions.map(|c| c.pointer.as_str()).collect();
        all.extend([find.id.as_str(), find.name.as_str()]);
        all.extend([&find.list, &find.marker].into_iter().flatten().map(String::as_str));
        all.extend(self.lock.iter().map(|lock| lock.locked.pointer.as_str()));
        let steps = || self.changes().into_iter().flat_map(|(_, steps)| steps);
        all.extend(steps().filter_map(|step| Some(step.expect.as_ref()?.pointer.as_str())));
        let answers = steps().flat_map(|step| &step.answers).chain(&self.answers);
        all.extend(answers.filter_map(|a| Some(a.condition.as_ref()?.pointer.as_str())));
        let tried = self.verify.iter().flat_map(|verify| &verify.answers);
        all.extend(tried.filter_map(|a| Some(a.condition.as_ref()?.pointer.as_str())));
        all.extend(self.words.iter().map(String::as_str));
        all
    }

    /// Whether a reset can make the password expire.
    pub(super) fn expires(&self) -> bool {
        let expires = |step: &Step| step.only == Some(Only::MustChange) || step.names().contains("must_change");
        self.reset.iter().any(expires)
    }
}

impl SignIn {
    fn names(&self) -> BTreeSet<String> {
        let templates: Vec<&Template> = match self {
            Self::Basic => vec![],
            Self::Header { value, .. } => vec![value],
            Self::ClientCredentials { token, scope, .. } => std::iter::once(token).chain(scope).collect(),
            Self::JwtBearer { token, subject, .. } => std::iter::once(token).chain(subject).collect(),
        };
        templates
            .into_iter()
            .flat_map(Template::names)
            .map(str::to_owned)
            .collect()
    }
}

impl Step {
    pub(super) fn names(&self) -> BTreeSet<String> {
        names(&self.request, &self.with)
    }
}

/// The names in a request.
pub(super) fn names(line: &Line, parts: &Parts) -> BTreeSet<String> {
    let mut names: BTreeSet<String> = line.url.names().map(str::to_owned).collect();
    let form = parts.form.iter().flatten();
    for (_, template) in parts.query.iter().chain(&parts.headers).chain(form) {
        names.extend(template.names().map(str::to_owned));
    }
    if let Some(json) = &parts.json {
        json.names(&mut names);
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shipped_is_right() {
        for (name, text) in SHIPPED {
            let description = Description::parse(text).unwrap_or_else(|problems| panic!("{name}: {problems:?}"));
            assert_eq!(description.expires(), *name != "scim", "{name}");
        }
    }

    /// The shipped one with something else in it.
    fn problems(from: &str, to: &str) -> Vec<String> {
        let text = Description::shipped("scim").expect("shipped");
        assert!(text.contains(from));
        Description::parse(&text.replacen(from, to, 1)).expect_err("a mistake")
    }

    #[test]
    fn mistakes_are_told_with_their_place() {
        let told = |from: &str, to: &str, words: &str| {
            let problems = problems(from, to);
            assert!(problems.iter().any(|problem| problem.contains(words)), "{problems:?}");
        };
        told("GET {url}/Users", "FETCH {url}/Users", "no request: write it as");
        told("GET {url}/Users", "GET ftp://x/Users", "no request: write it as");
        told(
            "GET {url}/Users",
            "GET {url}/{realm}/Users",
            "find: {realm} is not known here",
        );
        told("id = \"/id\"", "id = \"id\"", "\"id\" is no JSON pointer");
        told(
            "value = \"{password}\"",
            "value = \"{secret}\"",
            "the first step must set {password}",
        );
        told("method = \"header\"", "method = \"magic\"", "magic");
        told("title = ", "titel = ", "titel");
        told("[[enable]]", "[[unlock]]", "enable and disable go together");
        let placed = problems("id = \"/id\"", "id = 7");
        assert!(placed[0].starts_with("line "), "{placed:?}");
    }
}
