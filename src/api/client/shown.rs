//! Requests and answers as they may be shown: what is known to hold no secret, and nothing else.
//!
//! Two walls, each of which would do. **The list**: each member of each call is said to be open or secret; what is not in the
//! list is not shown, not even its name, so a member that a newer server adds is hidden until somebody has thought about
//! it (a test compares the list with the description of the API). **The memory**: what was sent or given as a secret is
//! taken out of every other text too, wherever it comes back.
//!
//! Handles are shown, but for that of a password. Who is called is shown by the last digits of the number.

use serde::ser::{Serialize, SerializeMap as _, SerializeSeq as _, Serializer};

use super::Value;
use crate::secret::{Secret, masked};

/// What stands in the place of a secret.
pub const SECRET: &str = "[secret]";

/// How a member is shown.
#[derive(Clone, Copy, Debug)]
pub enum Show {
    /// As it is: a word, a number, a handle, or a list of them.
    Open,
    /// As it is; a sentence in which anything may be repeated.
    Sentence,
    /// A telephone number: its last digits.
    Caller,
    /// Not at all, nor wherever it comes back.
    Secret,
    /// Not at all. What is in it are words that are elsewhere in good right: names of keys, sound.
    Hidden,
    /// An object, or a list of objects, with these members.
    Within(Members),
}

use Show::{Caller, Hidden, Open, Secret as Kept, Sentence, Within};

/// The members of an object.
pub type Members = &'static [(&'static str, Show)];

/// The request and the answer of a call.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// What is sent.
    pub request: Members,
    /// What is answered.
    pub answer: Members,
}

const JOB: Members = &[
    ("job", Open),
    ("status", Open),
    (
        "accounts",
        Within(&[
            ("account", Open),
            ("system", Open),
            ("name", Open),
            ("outcome", Open),
            ("mustChange", Open),
        ]),
    ),
];

/// A fault (RFC 9457), whatever the call.
pub const PROBLEM: Members = &[
    ("type", Open),
    ("title", Sentence),
    ("status", Open),
    ("detail", Sentence),
];

const SHAPES: &[(&str, Shape)] = &[
    (
        "Login",
        Shape {
            request: &[
                ("user", Open),
                ("password", Kept),
                ("caller", Caller),
                ("language", Open),
            ],
            answer: &[
                ("sessionId", Kept),
                ("idleSeconds", Open),
                ("expiresInSeconds", Open),
                ("language", Open),
            ],
        },
    ),
    (
        "UserIVRList",
        Shape {
            request: &[
                ("digits", Kept),
                ("discriminator", Kept),
                ("pageSize", Open),
                ("pageToken", Open),
                ("idempotencyKey", Open),
            ],
            answer: &[
                ("users", Within(&[("user", Open), ("label", Open)])),
                ("nextPageToken", Open),
            ],
        },
    ),
    (
        "UserQuestionsGet",
        Shape {
            request: &[("user", Open), ("audio", Open)],
            answer: &[(
                "questions",
                Within(&[
                    ("question", Open),
                    ("text", Sentence),
                    ("language", Open),
                    ("promptId", Open),
                    ("audio", Hidden),
                ]),
            )],
        },
    ),
    (
        "UserAnswersValidate",
        Shape {
            request: &[
                ("answers", Within(&[("question", Open), ("digits", Kept)])),
                ("idempotencyKey", Open),
            ],
            answer: &[("result", Open)],
        },
    ),
    (
        "UserAccountList",
        Shape {
            request: &[],
            answer: &[(
                "accounts",
                Within(&[
                    ("account", Open),
                    ("system", Open),
                    ("label", Open),
                    ("name", Open),
                    (
                        "state",
                        Within(&[("locked", Open), ("disabled", Open), ("mustChange", Open)]),
                    ),
                ]),
            )],
        },
    ),
    (
        "UserAccountsUnlock",
        Shape {
            request: &[("accounts", Open), ("ticket", Open), ("idempotencyKey", Open)],
            answer: JOB,
        },
    ),
    (
        "PasswordRandomGet",
        Shape {
            request: &[
                ("accounts", Open),
                ("audio", Open),
                ("slower", Open),
                ("idempotencyKey", Open),
            ],
            // The handle of a password is as secret as the password.
            answer: &[
                ("password", Kept),
                ("value", Kept),
                ("speak", Hidden),
                ("audio", Hidden),
            ],
        },
    ),
    (
        "UserPasswordSync",
        Shape {
            request: &[
                ("accounts", Open),
                ("password", Kept),
                ("value", Kept),
                ("expire", Open),
                ("ticket", Open),
                ("idempotencyKey", Open),
            ],
            answer: JOB,
        },
    ),
    (
        "JobGet",
        Shape {
            request: &[("job", Open)],
            answer: JOB,
        },
    ),
    (
        "Logout",
        Shape {
            request: &[],
            answer: &[],
        },
    ),
];

/// What a call's request and answer are made of; of a call that is not known, nothing is shown.
#[must_use]
pub fn shape_of(call: &str) -> Shape {
    let known = SHAPES.iter().find(|(name, _)| *name == call);
    known.map_or(
        Shape {
            request: &[],
            answer: &[],
        },
        |(_, shape)| *shape,
    )
}

/// Secrets that were sent or given, so that they are found wherever they come back.
#[derive(Debug, Default)]
pub struct Secrets(Vec<Secret>);

/// Shorter ones are in many words by chance; they are looked for in sentences only.
const TELLING: usize = 4;

impl Secrets {
    /// Remembers the secrets of a request or an answer.
    pub fn learn(&mut self, value: &Value, members: Members) {
        for (name, show) in members {
            let Some(value) = value.member(name) else { continue };
            match show {
                Kept => self.keep(value),
                Within(members) => {
                    self.learn(value, members);
                    value.entries().iter().for_each(|entry| self.learn(entry, members));
                }
                Open | Sentence | Caller | Hidden => {}
            }
        }
    }

    /// All texts, however deep.
    fn keep(&mut self, value: &Value) {
        match value {
            Value::Text(text) if !text.is_empty() && !self.0.contains(text) => {
                self.0.push(text.clone());
                // The longest first: one may be part of another.
                self.0.sort_by_key(|text| std::cmp::Reverse(text.expose().len()));
            }
            Value::List(entries) => entries.iter().for_each(|entry| self.keep(entry)),
            Value::Object(members) => members.iter().for_each(|(_, value)| self.keep(value)),
            _ => {}
        }
    }

    /// A text without the secrets that are at least so long.
    fn taken_out(&self, text: &str, at_least: usize) -> String {
        let mut text = text.to_owned();
        for secret in self.0.iter().filter(|secret| secret.expose().len() >= at_least) {
            text = text.replace(secret.expose(), SECRET);
        }
        text
    }

    /// A word, a handle or a header field as it may be shown.
    #[must_use]
    pub fn word(&self, text: &str) -> String {
        self.taken_out(text, TELLING)
    }

    /// A sentence as it may be shown.
    #[must_use]
    pub fn sentence(&self, text: &str) -> String {
        self.taken_out(text, 1)
    }
}

/// Something that may be shown.
#[derive(Clone, Debug, PartialEq)]
pub enum Shown {
    /// As it is.
    Plain(serde_json::Value),
    /// A list.
    List(Vec<Self>),
    /// An object, in its order.
    Object(Vec<(String, Self)>),
}

impl Shown {
    fn text(text: impl Into<String>) -> Self {
        Self::Plain(serde_json::Value::String(text.into()))
    }

    fn secret() -> Self {
        Self::text(SECRET)
    }
}

impl Serialize for Shown {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Plain(value) => value.serialize(serializer),
            Self::List(entries) => {
                let mut list = serializer.serialize_seq(Some(entries.len()))?;
                for entry in entries {
                    list.serialize_element(entry)?;
                }
                list.end()
            }
            Self::Object(members) => {
                let mut object = serializer.serialize_map(Some(members.len()))?;
                for (name, value) in members {
                    object.serialize_entry(name, value)?;
                }
                object.end()
            }
        }
    }
}

/// A request or an answer as it may be shown. Its secrets must have been learned.
#[must_use]
pub fn shown(value: &Value, members: Members, secrets: &Secrets) -> Shown {
    let Value::Object(present) = value else {
        return Shown::secret();
    };
    let mut shown = Vec::with_capacity(present.len());
    let mut unknown = 0_usize;
    for (name, value) in present {
        match members.iter().find(|(known, _)| known == name) {
            Some((known, show)) => shown.push(((*known).to_owned(), member(value, *show, secrets))),
            None => unknown += 1,
        }
    }
    if unknown > 0 {
        let told = format!("[{unknown} that this program does not know]");
        shown.push(("others".to_owned(), Shown::text(told)));
    }
    Shown::Object(shown)
}

fn member(value: &Value, show: Show, secrets: &Secrets) -> Shown {
    match (show, value) {
        (Open, Value::List(entries)) => {
            let one = |entry: &Value| match entry {
                Value::List(_) | Value::Object(_) => Shown::secret(),
                entry => plain(entry, &|text| secrets.word(text)),
            };
            Shown::List(entries.iter().map(one).collect())
        }
        (Within(members), Value::List(entries)) => Shown::List(
            entries
                .iter()
                .map(|entry| self::shown(entry, members, secrets))
                .collect(),
        ),
        (Within(members), Value::Object(_)) => self::shown(value, members, secrets),
        (Open, value) => plain(value, &|text| secrets.word(text)),
        (Sentence, value) => plain(value, &|text| secrets.sentence(text)),
        (Caller, value) => plain(value, &|text| secrets.word(&masked(text))),
        (Kept | Hidden | Within(_), _) => Shown::secret(),
    }
}

fn plain(value: &Value, text_of: &dyn Fn(&str) -> String) -> Shown {
    match value {
        Value::Null => Shown::Plain(serde_json::Value::Null),
        Value::Bool(value) => Shown::Plain((*value).into()),
        // A number may be a secret as well where a text should be.
        Value::Number(number) => {
            let (number, text) = (number.clone(), number.to_string());
            match text_of(&text) == text {
                true => Shown::Plain(number.into()),
                false => Shown::secret(),
            }
        }
        Value::Text(text) => Shown::text(text_of(text.expose())),
        Value::List(_) | Value::Object(_) => Shown::secret(),
    }
}

/// Header fields of an answer that are shown; the others say nothing about the API.
const HEADERS: &[&str] = &[
    "content-type",
    "retry-after",
    "www-authenticate",
    "cache-control",
    "location",
    "server",
];

/// The header fields of an answer as they may be shown.
#[must_use]
pub fn headers<'a>(fields: &'a [(String, String)], secrets: &Secrets) -> Vec<(&'a str, String)> {
    let open = fields.iter().filter(|(name, _)| HEADERS.contains(&name.as_str()));
    open.map(|(name, value)| (name.as_str(), secrets.word(value))).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn value(json: &serde_json::Value) -> Value {
        Value::read(json.to_string().as_bytes()).unwrap()
    }

    fn told(json: &serde_json::Value, members: Members) -> String {
        let value = value(json);
        let mut secrets = Secrets::default();
        secrets.learn(&value, members);
        serde_json::to_string(&shown(&value, members, &secrets)).unwrap()
    }

    #[test]
    fn a_request_is_shown_without_its_secrets_in_its_order() {
        let login = json!({"user": "ivr", "password": "Brand-New-1", "caller": "+15551234567", "language": "en-US"});
        let value = Value::object([
            ("user", Some("ivr".into())),
            ("password", Some("Brand-New-1".into())),
            ("caller", Some("+15551234567".into())),
        ]);
        let shape = shape_of("Login").request;
        let text = serde_json::to_string(&shown(&value, shape, &Secrets::default())).unwrap();
        assert_eq!(text, r#"{"user":"ivr","password":"[secret]","caller":"**********67"}"#);
        assert!(!told(&login, shape).contains("Brand"));
    }

    #[test]
    fn a_secret_that_comes_back_is_not_shown_there_either() {
        let mut secrets = Secrets::default();
        let request =
            value(&json!({"answers": [{"question": "03aa", "digits": "2009"}, {"question": "04", "digits": "7"}]}));
        secrets.learn(&request, shape_of("UserAnswersValidate").request);
        let problem =
            json!({"type": "urn:passline:problem:busy", "status": 503, "detail": "2009 and 7", "debug": "2009"});
        let text = serde_json::to_string(&shown(&value(&problem), PROBLEM, &secrets)).unwrap();
        assert!(!text.contains("2009") && !text.contains('7'), "{text}");
        assert!(text.contains("503") && text.contains("[1 that this program"), "{text}");
        let fields = [
            ("location".to_owned(), "/2009".to_owned()),
            ("set-cookie".to_owned(), "a".to_owned()),
        ];
        assert_eq!(headers(&fields, &secrets), [("location", "/[secret]".to_owned())]);
    }

    #[test]
    fn what_is_not_as_described_is_not_shown() {
        let odd = json!({"users": "4711", "nextPageToken": {"4711": 4711}, "4711": [4711]});
        let text = told(&odd, shape_of("UserIVRList").answer);
        assert!(!text.contains("4711"), "{text}");
        assert_eq!(told(&json!(["4711"]), shape_of("UserIVRList").answer), "\"[secret]\"");
        let unknown = told(&json!({"user": "4711"}), shape_of("SomethingNew").request);
        assert!(!unknown.contains("4711"), "{unknown}");
    }

    /// Whoever adds a member decides here whether it may be shown.
    #[test]
    fn every_member_of_the_description_is_in_the_list() {
        let description: serde_json::Value = serde_json::from_str(&crate::api::json::openapi::text()).unwrap();
        let schemas = &description["components"]["schemas"];
        for (call, shape) in SHAPES {
            let path = &description["paths"][format!("/api/v1/{call}")]["post"];
            let request = &path["requestBody"]["content"]["application/json"]["schema"];
            let answer = &path["responses"]["200"]["content"]["application/json"]["schema"];
            compare(schemas, request, shape.request, call);
            compare(schemas, answer, shape.answer, call);
        }
        let paths = description["paths"].as_object().unwrap().len();
        assert_eq!(paths, SHAPES.len());
    }

    fn resolved<'a>(schemas: &'a serde_json::Value, schema: &'a serde_json::Value) -> &'a serde_json::Value {
        if let Some(name) = schema["$ref"]
            .as_str()
            .and_then(|path| path.strip_prefix("#/components/schemas/"))
        {
            return resolved(schemas, &schemas[name]);
        }
        for choice in ["oneOf", "anyOf", "allOf"] {
            let some = schema[choice].as_array().into_iter().flatten();
            if let Some(found) = some
                .map(|schema| resolved(schemas, schema))
                .find(|schema| schema["properties"].is_object() || schema["items"].is_object())
            {
                return found;
            }
        }
        match &schema["items"] {
            serde_json::Value::Null => schema,
            items => resolved(schemas, items),
        }
    }

    fn compare(schemas: &serde_json::Value, schema: &serde_json::Value, members: Members, place: &str) {
        let schema = resolved(schemas, schema);
        let described: Vec<&String> = schema["properties"]
            .as_object()
            .map(|properties| properties.keys().collect())
            .unwrap_or_default();
        let mut known: Vec<&str> = members.iter().map(|(name, _)| *name).collect();
        let mut described_names: Vec<&str> = described.iter().map(|name| name.as_str()).collect();
        known.sort_unstable();
        described_names.sort_unstable();
        assert_eq!(known, described_names, "{place}");
        for (name, show) in members {
            if let Within(members) = show {
                compare(
                    schemas,
                    &schema["properties"][name],
                    members,
                    &format!("{place}.{name}"),
                );
            }
        }
    }

    /// Any object with these members, and with others, in which a secret is anywhere but under an open name.
    fn filled(members: Members, secret: &str, round: usize) -> serde_json::Value {
        let mut object = serde_json::Map::new();
        for (index, (name, show)) in members.iter().enumerate() {
            let filling = match show {
                Kept | Hidden => match (index + round) % 3 {
                    0 => json!(secret),
                    1 => json!([{"text": secret, secret: secret}]),
                    _ => json!({"deep": [secret, {secret: null}]}),
                },
                // It comes back where it should not.
                Open => json!(format!("a{secret}b")),
                Sentence => json!(format!("{secret} is wrong, {secret}!")),
                Caller => json!("+15551234567"),
                Within(members) => match (index + round) % 2 {
                    0 => json!([filled(members, secret, round), secret]),
                    _ => filled(members, secret, round),
                },
            };
            object.insert((*name).to_owned(), filling);
        }
        object.insert(secret.to_owned(), json!(secret));
        object.insert("somethingNew".to_owned(), json!({"value": secret}));
        object.into()
    }

    proptest! {
        #[test]
        fn no_secret_is_shown_wherever_it_is(secret in "[A-Z0-9*#-]{4,40}", round in 0_usize..6) {
            // It was learned when it was sent or given, in whichever call that was.
            let mut secrets = Secrets::default();
            secrets.keep(&Value::from(secret.as_str()));
            for (call, shape) in SHAPES {
                for members in [shape.request, shape.answer, PROBLEM] {
                    let value = value(&filled(members, &secret, round));
                    secrets.learn(&value, members);
                    let shown = shown(&value, members, &secrets);
                    let text = serde_json::to_string_pretty(&shown).unwrap();
                    prop_assert!(!text.contains(&secret), "{}: {}", call, text);
                }
            }
        }

        #[test]
        fn any_json_is_shown_without_a_panic(text in "[\\[\\]{}:,\"a-z0-9 ]{0,60}") {
            if let Some(value) = Value::read(text.as_bytes()) {
                for (_, shape) in SHAPES {
                    let _ = shown(&value, shape.answer, &Secrets::default());
                }
            }
        }
    }
}
