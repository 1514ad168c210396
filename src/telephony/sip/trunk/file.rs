//! Reading trunk files.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use ipnet::IpNet;

use super::{CalledPattern, CalledRule, DigestConfig, Trunk, TrunkMedia, Unserved};
use crate::checked_toml::{Document, Mistake, Mistakes, Table};
use crate::rate::Rate;
use crate::telephony::dtmf::KeyMoment;
use crate::telephony::sip::digest::Users;

/// Loads every `*.toml` of `directory`, in the order of the names; mistakes are noted.
pub fn load_directory(directory: &Path, mistakes: &Mistakes) -> Vec<Trunk> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) => {
            mistakes.note_file(
                directory,
                format!("cannot be read ({error}); name the folder of trunk files with sip.trunks"),
            );
            return Vec::new();
        }
    };
    let mut paths: Vec<_> = entries.filter_map(Result::ok).map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    paths.sort();
    let mut trunks = Vec::new();
    for path in paths {
        match fs::read_to_string(&path) {
            Ok(text) => trunks.push(read(&path, &text, mistakes)),
            Err(error) => mistakes.note_file(&path, format!("cannot be read ({error}); may this user read it?")),
        }
    }
    trunks
}

/// Parses the text of one trunk file; `name` is the name of the file without `.toml`.
///
/// # Errors
/// Every mistake in it.
pub fn parse(name: &str, text: &str) -> Result<Trunk, Vec<Mistake>> {
    let mistakes = Mistakes::default();
    let trunk = read(Path::new(&format!("{name}.toml")), text, &mistakes);
    if mistakes.is_empty() {
        Ok(trunk)
    } else {
        Err(mistakes.into_list())
    }
}

fn read(file: &Path, text: &str, mistakes: &Mistakes) -> Trunk {
    let document = Document::parse(file, text, mistakes);
    let mut table = document.root(mistakes);
    let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let trunk = trunk(name, &mut table);
    table.finish();
    trunk
}

const CODECS: [&str; 2] = ["pcmu", "pcma"];

fn trunk(name: String, table: &mut Table<'_, '_>) -> Trunk {
    let digest = table.is_present("digest").then(|| digest(table));
    let per_second = table.number("calls_per_second", 20, 1..=100_000);
    let trunk = Trunk {
        name,
        networks: networks(table, digest.is_some()),
        digest,
        called: called(table),
        codecs: codecs(table),
        media: TrunkMedia {
            networks: media_networks(table),
            key_moment: key_moment(table),
        },
        max_calls: table.number("max_calls", 100, 1..=100_000),
        call_rate: Rate {
            per_second,
            burst: table.number("call_burst", per_second.saturating_mul(2), 1..=200_000),
        },
        unserved: unserved(table),
        trusts_caller_id: table.or("trust_caller_id", false),
    };
    // For people; not used.
    let _: Option<String> = table.optional("description");
    trunk
}

fn networks(table: &mut Table<'_, '_>, has_digest: bool) -> Vec<IpNet> {
    if has_digest && !table.is_present("networks") {
        return vec![
            IpNet::from(ipnet::Ipv4Net::default()),
            IpNet::from(ipnet::Ipv6Net::default()),
        ];
    }
    let what = "who may call, like [\"192.0.2.0/24\"], or add a [digest] section";
    let texts: Vec<String> = table.required("networks", what).unwrap_or_default();
    parse_networks(table, "networks", texts)
}

/// Where media comes from; anywhere if the key is left out.
fn media_networks(table: &mut Table<'_, '_>) -> Arc<[IpNet]> {
    let texts: Vec<String> = table.or("media_networks", Vec::new());
    parse_networks(table, "media_networks", texts).into()
}

fn parse_networks(table: &Table<'_, '_>, key: &str, texts: Vec<String>) -> Vec<IpNet> {
    let mut networks = Vec::new();
    for text in texts {
        let network = text
            .parse()
            .ok()
            .or_else(|| text.parse().ok().map(|ip: std::net::IpAddr| ip.into()));
        match network {
            Some(network) => networks.push(network),
            None => table.mistake(
                key,
                format!("{text:?} is not a network; write an address or a prefix, like 192.0.2.1, 192.0.2.0/24 or 2001:db8::/32"),
            ),
        }
    }
    networks
}

fn digest(table: &mut Table<'_, '_>) -> DigestConfig {
    let mut digest = table.table("digest");
    let realm: String = digest
        .required("realm", "a realm, such as \"passline.example.com\"")
        .unwrap_or_default();
    if realm.contains(['"', '\\']) {
        digest.mistake(
            "realm",
            "has a quote or a backslash in it; use letters, digits, dots and dashes",
        );
    }
    let mut users = Vec::new();
    for mut user in digest.tables("users") {
        let name: Option<String> = user.required("name", "the name that the caller proves");
        let password = user.secret("password", "the password of this user");
        user.finish();
        users.extend(name.zip(password));
    }
    if !digest.is_present("users") {
        digest.mistake("users", "names nobody; add [[digest.users]] with name and password");
    }
    digest.finish();
    DigestConfig {
        realm,
        users: Users::new(users),
    }
}

fn called(table: &mut Table<'_, '_>) -> Vec<CalledRule> {
    if !table.is_present("called") {
        table.mistake(
            "called",
            "missing; add [[called]] with number and dialplan; number = \"*\" takes every call",
        );
        return Vec::new();
    }
    let mut rules = Vec::new();
    for mut rule in table.tables("called") {
        let number: Option<String> = rule.required(
            "number",
            "a called number, with ? for any character and * at the end for any rest",
        );
        let dialplan: Option<String> = rule.required("dialplan", "the name of a call flow, such as \"reset\"");
        if let Some(number) = number {
            match CalledPattern::parse(&number) {
                Some(pattern) => rules.extend(dialplan.map(|dialplan| CalledRule {
                    number: pattern,
                    dialplan,
                })),
                None => rule.mistake(
                    "number",
                    format!("{number:?} is not a pattern; use ? for one character and * at the end for any rest"),
                ),
            }
        }
        rule.finish();
    }
    rules
}

fn codecs(table: &mut Table<'_, '_>) -> Vec<String> {
    let codecs = table.or("codecs", CODECS.map(str::to_owned).to_vec());
    if codecs.is_empty() {
        table.mistake(
            "codecs",
            "is empty; name at least one of pcmu, pcma, or leave the key out",
        );
    }
    for codec in codecs.iter().filter(|codec| !CODECS.contains(&codec.as_str())) {
        table.mistake("codecs", format!("{codec:?} is not a known codec; use pcmu or pcma"));
    }
    codecs
}

fn key_moment(table: &mut Table<'_, '_>) -> KeyMoment {
    match table.or("keys_count_on", "press".to_owned()).as_str() {
        "press" => KeyMoment::Press,
        "release" => KeyMoment::Release,
        other => {
            table.mistake(
                "keys_count_on",
                format!("{other:?} is neither of its two words; write \"press\" or \"release\""),
            );
            KeyMoment::Press
        }
    }
}

fn unserved(table: &mut Table<'_, '_>) -> Unserved {
    match table.or("unserved", "answer".to_owned()).as_str() {
        "answer" => Unserved::Answer,
        "silence" => Unserved::Silence,
        other => {
            table.mistake(
                "unserved",
                format!("{other:?} is neither of its two words; write \"answer\" or \"silence\""),
            );
            Unserved::Answer
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistakes_in(text: &str) -> Vec<String> {
        parse("carrier", text)
            .expect_err("mistakes")
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn shipped_files_are_valid() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("sip-config");
        let mistakes = Mistakes::default();
        let trunks = load_directory(&directory, &mistakes);
        let local = trunks
            .iter()
            .find(|trunk| trunk.name == "local")
            .expect("local.toml is shipped");
        assert!(local.networks.iter().all(|network| network.addr().is_loopback()));
        assert_eq!(local.dialplan_for("1000"), Some("reset"));
        let example = fs::read_to_string(directory.join("example-trunk.toml.example")).expect("example is shipped");
        let example = parse("example-trunk", &example).expect("no mistakes in the example");
        assert!(example.digest.is_some());
        assert_eq!(
            (example.media.networks.len(), example.media.key_moment),
            (1, KeyMoment::Press)
        );
        assert_eq!(mistakes.into_list(), []);
    }

    #[test]
    fn every_mistake_is_told_at_once() {
        let text = "networks = [\"10.0.0/8\"]\nmax_calls = 0\ncolour = \"red\"\ncodecs = [\"g729\"]\nunserved = \"maybe\"\n\
                    media_networks = [\"10.0.0.300\"]\nkeys_count_on = \"later\"\n[[called]]\nnumber = \"1*2\"\n[digest]\nrealm = \"r\"\n[[digest.users]]\nname = \"n\"\npass = \"hunter2\"\n";
        let mistakes = mistakes_in(text);
        for part in [
            "carrier.toml:1: networks: \"10.0.0/8\" is not a network; write an address or a prefix",
            "carrier.toml:2: max_calls: 0 is out of range",
            "carrier.toml:3: colour: unknown key",
            "carrier.toml:4: codecs: \"g729\" is not a known codec",
            "carrier.toml:5: unserved: \"maybe\"",
            "carrier.toml:6: media_networks: \"10.0.0.300\" is not a network",
            "carrier.toml:7: keys_count_on: \"later\" is neither",
            "called[0].dialplan: missing",
            "carrier.toml:9: called[0].number: \"1*2\" is not a pattern",
            "digest.users[0].password: missing",
            "carrier.toml:14: digest.users[0].pass: unknown key",
        ] {
            assert!(
                mistakes.iter().any(|mistake| mistake.contains(part)),
                "{part} is not in {mistakes:#?}"
            );
        }
        assert!(
            mistakes.iter().all(|mistake| !mistake.contains("hunter2")),
            "values of secrets are not repeated"
        );
    }

    #[test]
    fn a_trunk_without_callers_or_numbers_is_a_mistake() {
        let networks = mistakes_in("[[called]]\nnumber = \"*\"\ndialplan = \"reset\"\n");
        assert!(
            networks.iter().any(|mistake| mistake.contains("networks: missing")),
            "{networks:?}"
        );
        let called = mistakes_in("networks = [\"::1\"]\n");
        assert!(
            called.iter().any(|mistake| mistake.contains("called: missing")),
            "{called:?}"
        );
        assert!(!mistakes_in("networks = [").is_empty());
    }
}
