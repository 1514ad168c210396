//! Reading trunk files: every mistake at once, each with file, key and remedy.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::Path;

use ipnet::IpNet;
use toml::{Table, Value};

use super::{CalledPattern, CalledRule, DigestConfig, Rate, Trunk, Unserved};
use crate::secret::Secret;
use crate::telephony::sip::digest::Users;

/// Something wrong in a trunk file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mistake {
    /// The file.
    pub file: String,
    /// The key, empty when the file as a whole is meant.
    pub key: String,
    /// What is wrong.
    pub problem: String,
    /// What to do.
    pub remedy: String,
}

impl Mistake {
    pub(super) fn new(trunk: &str, key: &str, problem: String, remedy: String) -> Self {
        Self {
            file: format!("{trunk}.toml"),
            key: key.into(),
            problem,
            remedy,
        }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let colon = if self.key.is_empty() { "" } else { ": " };
        write!(f, "{}{colon}{}: {}; {}", self.file, self.key, self.problem, self.remedy)
    }
}

/// Loads every `*.toml` of `directory`, in the order of the names.
///
/// # Errors
/// Every mistake in every file.
pub fn load_directory(directory: &Path) -> Result<Vec<Trunk>, Vec<Mistake>> {
    let unreadable = |path: &Path, error: std::io::Error| Mistake {
        file: path.display().to_string(),
        key: String::new(),
        problem: format!("cannot be read ({error})"),
        remedy: "check that it exists and that this user may read it".into(),
    };
    let entries = fs::read_dir(directory).map_err(|error| vec![unreadable(directory, error)])?;
    let mut paths: Vec<_> = entries.filter_map(Result::ok).map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    paths.sort();
    let (mut trunks, mut mistakes) = (Vec::new(), Vec::new());
    for path in paths {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        match fs::read_to_string(&path) {
            Err(error) => mistakes.push(unreadable(&path, error)),
            Ok(text) => match parse(&name, &text) {
                Ok(trunk) => trunks.push(trunk),
                Err(found) => mistakes.extend(found.into_iter().map(|mistake| Mistake {
                    file: path.display().to_string(),
                    ..mistake
                })),
            },
        }
    }
    if mistakes.is_empty() { Ok(trunks) } else { Err(mistakes) }
}

/// Parses the text of one trunk file; `name` is the name of the file without `.toml`.
///
/// # Errors
/// Every mistake in it.
pub fn parse(name: &str, text: &str) -> Result<Trunk, Vec<Mistake>> {
    let table: Table = text.parse().map_err(|error: toml::de::Error| {
        let line = error
            .span()
            .map_or(1, |span| text[..span.start.min(text.len())].lines().count().max(1));
        vec![Mistake::new(
            name,
            "",
            format!("not TOML at line {line} ({})", error.message()),
            "correct the line".into(),
        )]
    })?;
    let mut reader = Reader {
        trunk: name,
        mistakes: Vec::new(),
    };
    let trunk = reader.trunk(table);
    if reader.mistakes.is_empty() {
        Ok(trunk)
    } else {
        Err(reader.mistakes)
    }
}

const CODECS: [&str; 2] = ["pcmu", "pcma"];

struct Reader<'a> {
    trunk: &'a str,
    mistakes: Vec<Mistake>,
}

impl Reader<'_> {
    fn trunk(&mut self, mut table: Table) -> Trunk {
        let digest = self.digest(table.remove("digest"));
        let networks = self.networks(table.remove("networks"), digest.is_some());
        let called = self.called(table.remove("called"));
        let codecs = self.codecs(table.remove("codecs"));
        let max_calls = self.number(&mut table, "max_calls", 100, 1..=100_000);
        let per_second = self.number(&mut table, "calls_per_second", 20, 1..=100_000);
        let burst = self.number(&mut table, "call_burst", per_second.saturating_mul(2), 1..=200_000);
        let unserved = match table.remove("unserved").as_ref().map(Value::as_str) {
            None | Some(Some("answer")) => Unserved::Answer,
            Some(Some("silence")) => Unserved::Silence,
            Some(_) => {
                self.wrong(
                    "unserved",
                    "is neither of its two words",
                    "write \"answer\" or \"silence\"",
                );
                Unserved::Answer
            }
        };
        let trusts_caller_id = match table.remove("trust_caller_id") {
            None => false,
            Some(Value::Boolean(trusts)) => trusts,
            Some(_) => {
                self.wrong(
                    "trust_caller_id",
                    "is not true or false",
                    "write true or false, without quotes",
                );
                false
            }
        };
        drop(table.remove("description"));
        self.unknown("", &table);
        Trunk {
            name: self.trunk.to_owned(),
            networks,
            digest,
            called,
            codecs,
            max_calls: usize::try_from(max_calls).unwrap_or(usize::MAX),
            call_rate: Rate { per_second, burst },
            unserved,
            trusts_caller_id,
        }
    }

    fn networks(&mut self, value: Option<Value>, has_digest: bool) -> Vec<IpNet> {
        let Some(value) = value else {
            if has_digest {
                return vec![
                    IpNet::from(ipnet::Ipv4Net::default()),
                    IpNet::from(ipnet::Ipv6Net::default()),
                ];
            }
            self.wrong(
                "networks",
                "is missing",
                "list who may call, like [\"192.0.2.0/24\"], or add a [digest] section",
            );
            return Vec::new();
        };
        let texts = self.texts("networks", value);
        let mut networks = Vec::new();
        for (index, text) in texts.iter().enumerate() {
            let network = text
                .parse()
                .ok()
                .or_else(|| text.parse().ok().map(|ip: std::net::IpAddr| ip.into()));
            match network {
                Some(network) => networks.push(network),
                None => self.wrong(
                    &format!("networks[{index}]"),
                    &format!("`{text}` is not a network"),
                    "write an address or a prefix, like 192.0.2.1, 192.0.2.0/24 or 2001:db8::/32",
                ),
            }
        }
        networks
    }

    fn digest(&mut self, value: Option<Value>) -> Option<DigestConfig> {
        let Value::Table(mut table) = value? else {
            self.wrong(
                "digest",
                "is not a section",
                "write [digest] with realm and [[digest.users]] below",
            );
            return None;
        };
        let realm = self.text(&mut table, "digest", "realm");
        let mut users = Vec::new();
        for (index, mut user) in self
            .tables("digest.users", table.remove("users"))
            .into_iter()
            .enumerate()
        {
            let at = format!("digest.users[{index}]");
            let name = self.text(&mut user, &at, "name");
            let password = self.text(&mut user, &at, "password");
            self.unknown(&at, &user);
            users.push((name, Secret::new(password)));
        }
        if users.is_empty() {
            self.wrong(
                "digest.users",
                "names nobody",
                "add [[digest.users]] with name and password",
            );
        }
        if realm.contains(['"', '\\']) {
            self.wrong(
                "digest.realm",
                "has a quote or a backslash in it",
                "use letters, digits, dots and dashes",
            );
        }
        self.unknown("digest", &table);
        Some(DigestConfig {
            realm,
            users: Users::new(users),
        })
    }

    fn called(&mut self, value: Option<Value>) -> Vec<CalledRule> {
        let mut rules = Vec::new();
        for (index, mut table) in self.tables("called", value).into_iter().enumerate() {
            let at = format!("called[{index}]");
            let number = self.text(&mut table, &at, "number");
            let dialplan = self.text(&mut table, &at, "dialplan");
            self.unknown(&at, &table);
            match CalledPattern::parse(&number) {
                Some(number) => rules.push(CalledRule { number, dialplan }),
                None if number.is_empty() => {}
                None => self.wrong(
                    &format!("{at}.number"),
                    &format!("`{number}` is not a pattern"),
                    "use ? for one character and * at the end for any rest",
                ),
            }
        }
        if rules.is_empty() && self.mistakes.is_empty() {
            self.wrong(
                "called",
                "is missing",
                "add [[called]] with number and dialplan; number = \"*\" takes every call",
            );
        }
        rules
    }

    fn codecs(&mut self, value: Option<Value>) -> Vec<String> {
        let Some(value) = value else {
            return CODECS.map(str::to_owned).to_vec();
        };
        let texts = self.texts("codecs", value);
        if texts.is_empty() {
            self.wrong(
                "codecs",
                "is empty",
                "name at least one of pcmu, pcma, or leave the key out",
            );
        }
        for (index, text) in texts
            .iter()
            .enumerate()
            .filter(|(_, text)| !CODECS.contains(&text.as_str()))
        {
            self.wrong(
                &format!("codecs[{index}]"),
                &format!("`{text}` is not a known codec"),
                "use pcmu or pcma",
            );
        }
        texts
    }

    fn number(&mut self, table: &mut Table, key: &str, default: u32, range: std::ops::RangeInclusive<u32>) -> u32 {
        let Some(value) = table.remove(key) else { return default };
        let number = value.as_integer().and_then(|number| u32::try_from(number).ok());
        number.filter(|number| range.contains(number)).unwrap_or_else(|| {
            let remedy = format!("write a whole number from {} to {}", range.start(), range.end());
            self.wrong(key, "is out of range", &remedy);
            default
        })
    }

    fn text(&mut self, table: &mut Table, at: &str, key: &str) -> String {
        match table.remove(key) {
            Some(Value::String(text)) if !text.is_empty() => return text,
            Some(_) => self.wrong(&format!("{at}.{key}"), "is not a text", "write it in quotes"),
            None => self.wrong(&format!("{at}.{key}"), "is missing", "add it"),
        }
        String::new()
    }

    fn texts(&mut self, key: &str, value: Value) -> Vec<String> {
        let Value::Array(values) = value else {
            self.wrong(key, "is not a list", "write [\"first\", \"second\"]");
            return Vec::new();
        };
        let mut texts = Vec::new();
        for (index, value) in values.into_iter().enumerate() {
            match value {
                Value::String(text) => texts.push(text),
                _ => self.wrong(&format!("{key}[{index}]"), "is not a text", "write it in quotes"),
            }
        }
        texts
    }

    fn tables(&mut self, key: &str, value: Option<Value>) -> Vec<Table> {
        let Some(value) = value else { return Vec::new() };
        let Value::Array(values) = value else {
            self.wrong(
                key,
                "is not a list of sections",
                &format!("write [[{key}]] with doubled brackets"),
            );
            return Vec::new();
        };
        values
            .into_iter()
            .filter_map(|value| {
                if let Value::Table(table) = value {
                    Some(table)
                } else {
                    None
                }
            })
            .collect()
    }

    fn unknown(&mut self, at: &str, table: &Table) {
        let keys: BTreeSet<_> = table.keys().collect();
        for key in keys {
            let key = if at.is_empty() {
                key.clone()
            } else {
                format!("{at}.{key}")
            };
            self.wrong(
                &key,
                "is not a known key",
                "remove it, or correct its spelling; sip-config/example-trunk.toml.example lists all keys",
            );
        }
    }

    fn wrong(&mut self, key: &str, problem: &str, remedy: &str) {
        self.mistakes
            .push(Mistake::new(self.trunk, key, problem.into(), remedy.into()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shipped_files_are_valid() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("sip-config");
        let trunks = load_directory(&directory).expect("no mistakes");
        let local = trunks
            .iter()
            .find(|trunk| trunk.name == "local")
            .expect("local.toml is shipped");
        assert!(local.networks.iter().all(|network| network.addr().is_loopback()));
        assert_eq!(local.dialplan_for("1000"), Some("reset"));
        let example = fs::read_to_string(directory.join("example-trunk.toml.example")).expect("example is shipped");
        let example = parse("example-trunk", &example).expect("no mistakes in the example");
        assert!(example.digest.is_some());
    }

    #[test]
    fn every_mistake_is_told_at_once() {
        let text = "networks = [\"10.0.0/8\", 5]\nmax_calls = 0\ncolour = \"red\"\ncodecs = [\"g729\"]\nunserved = \"maybe\"\n\
                    [[called]]\nnumber = \"1*2\"\n[digest]\nrealm = \"r\"\n[[digest.users]]\nname = \"n\"\npass = \"hunter2\"\n";
        let mistakes = parse("carrier", text).expect_err("mistakes");
        let keys: Vec<_> = mistakes.iter().map(|mistake| mistake.key.as_str()).collect();
        assert_eq!(
            keys,
            [
                "digest.users[0].password",
                "digest.users[0].pass",
                "networks[1]",
                "networks[0]",
                "called[0].dialplan",
                "called[0].number",
                "codecs[0]",
                "max_calls",
                "unserved",
                "colour",
            ]
        );
        assert_eq!(
            mistakes[3].to_string(),
            "carrier.toml: networks[0]: `10.0.0/8` is not a network; write an address or a prefix, like 192.0.2.1, 192.0.2.0/24 or 2001:db8::/32"
        );
        assert!(
            mistakes.iter().all(|mistake| !mistake.to_string().contains("hunter2")),
            "values of secrets are not repeated"
        );
    }

    #[test]
    fn a_trunk_without_callers_or_numbers_is_a_mistake() {
        let keys = |text| {
            parse("x", text)
                .expect_err("mistakes")
                .into_iter()
                .map(|mistake| mistake.key)
                .collect::<Vec<_>>()
        };
        assert_eq!(keys("[[called]]\nnumber = \"*\"\ndialplan = \"reset\"\n"), ["networks"]);
        assert_eq!(keys("networks = [\"::1\"]\n"), ["called"]);
        assert_eq!(keys("networks = ["), [""]);
    }
}
