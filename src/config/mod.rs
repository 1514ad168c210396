//! The configuration file: read, checked as a whole, and composed from what each module wants to be told.
//!
//! Every mistake is found at once, with file, line, key and remedy ([`crate::checked_toml`]). Paths are relative to the
//! folder of the file. Nothing here is a global, and nothing else reads the environment. All keys with their defaults
//! are in `docs/CONFIGURATION.md`.

mod api;
mod database;
pub mod edit;
mod identity;
mod questions;
mod sources;
mod targets;
mod telephony;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use api::ApiSection;
pub use database::DatabaseSection;
pub use sources::{SourceConfig, SourcePlace};
pub use targets::{TargetConfig, TargetKind};
pub use telephony::{Listen, SipLimits, Transport};

use crate::call::Readback;
use crate::checked_toml::{Document, Mistake, Mistakes, Table};
use crate::service::{self, NewQuestion};
use crate::speech;
use crate::telemetry;

/// Everything that `passline serve` is told.
#[derive(Clone, Debug)]
pub struct Config {
    /// Folder of the database, the pepper and the embedded directory.
    pub data: PathBuf,
    /// The server that the database is on, if it is on one.
    pub database: Option<DatabaseSection>,
    /// Where to listen for SIP.
    pub listen: Vec<Listen>,
    /// Strangers, and how many connections there may be.
    pub sip_limits: SipLimits,
    /// Folder of trunk files.
    pub trunks: PathBuf,
    /// Folder of call flows.
    pub dialplans: PathBuf,
    /// Media ports and time-outs.
    pub media: telephony::MediaSection,
    /// Calls at once, and how they end.
    pub calls: CallsSection,
    /// Prompts and engines.
    pub speech: speech::Config,
    /// The language of callers who have not chosen one.
    pub language: speech::Language,
    /// Rules of identity, and what the services may do.
    pub services: service::Config,
    /// Whether callers key the password back before it goes live.
    pub readback: Readback,
    /// Words of the company that may be no password, one a line; the shipped ones come on top.
    pub dictionary: String,
    /// What callers may be asked.
    pub questions: Vec<NewQuestion>,
    /// Where passwords live, in the order in which callers hear them.
    pub targets: Vec<TargetConfig>,
    /// Where people come from.
    pub sources: Vec<SourceConfig>,
    /// Where the keys come from that credentials of targets are sealed with.
    pub keys: KeysSection,
    /// The web API, if there is one.
    pub api: Option<ApiSection>,
    /// The operators' port; loopback only.
    pub admin: SocketAddr,
    /// Logs.
    pub log: telemetry::Config,
}

/// The `[calls]` section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallsSection {
    /// Calls at once, over all trunks. 500: what one machine with two cores carries with ease.
    pub max: usize,
    /// How long calls in progress may go on after SIGTERM. A minute: most callers are done by then. Goodbyes and writing
    /// what is open take up to 50 seconds more, so let a service manager wait for two minutes.
    pub drain: Duration,
    /// Folder for recordings of calls, caller left, Passline right; none by default. Passwords and keys are never in them.
    pub recordings: Option<PathBuf>,
}

impl Default for CallsSection {
    fn default() -> Self {
        Self {
            max: 500,
            drain: Duration::from_secs(60),
            recordings: None,
        }
    }
}

/// The `[keys]` section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeysSection {
    /// A file; `keys` in the folder of data if nothing else is said.
    File(Option<PathBuf>),
    /// A program with its arguments that writes the text of such a file.
    Program(Vec<String>),
}

/// The operators' port when none is configured.
pub const DEFAULT_ADMIN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9460);

/// Reads and checks a configuration file.
///
/// # Errors
/// Every mistake in it. Folders that it names (trunks, flows, prompts) are not read here.
pub fn load(file: &Path) -> Result<Config, Vec<Mistake>> {
    match read(file) {
        (Some(config), mistakes) if mistakes.is_empty() => Ok(config),
        (_, mistakes) => Err(mistakes),
    }
}

/// What can be understood of a configuration file, and every mistake in it: for checks that want to go on.
#[must_use]
pub fn read(file: &Path) -> (Option<Config>, Vec<Mistake>) {
    let mistakes = Mistakes::default();
    let config = match std::fs::read_to_string(file) {
        Ok(text) => Some(parse(file, &text, &mistakes)),
        Err(error) => {
            mistakes.note_file(
                file,
                format!("cannot be read ({error}); name the configuration with --config FILE"),
            );
            None
        }
    };
    (config, mistakes.into_list())
}

/// As if `file` held this text.
///
/// # Errors
/// Every mistake in it.
pub fn check(file: &Path, text: &str) -> Result<Config, Vec<Mistake>> {
    let mistakes = Mistakes::default();
    let config = parse(file, text, &mistakes);
    match mistakes.into_list() {
        list if list.is_empty() => Ok(config),
        list => Err(list),
    }
}

/// The address of the operators' port, for commands that only want to ask it.
///
/// # Errors
/// When the file cannot be read; other mistakes in it do not matter here.
pub fn admin_address(file: &Path) -> std::io::Result<SocketAddr> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| std::io::Error::new(error.kind(), format!("{}: {error}", file.display())))?;
    Ok(parse(file, &text, &Mistakes::default()).admin)
}

fn parse(file: &Path, text: &str, mistakes: &Mistakes) -> Config {
    let document = Document::parse(file, text, mistakes);
    let mut root = document.root(mistakes);
    let folder = file.parent().unwrap_or(Path::new("")).to_owned();
    let path = |given: PathBuf| if given.is_absolute() { given } else { folder.join(given) };

    let data = path(
        root.required("data", "the folder for the database, such as \"/var/lib/passline\"")
            .unwrap_or_default(),
    );
    let dialplans = path(root.or("dialplans", PathBuf::from("dialplans")));
    let database = database::read(&mut root, &path);
    let mut sip = root.table("sip");
    let (listen, trunks, sip_limits) = telephony::sip(&mut sip);
    sip.finish();
    let mut media = root.table("media");
    let media_section = telephony::media(&mut media);
    media.finish();
    let mut calls = root.table("calls");
    let calls_section = calls_section(&mut calls, &path);
    calls.finish();
    let mut speech = root.table("speech");
    let (speech_config, language) = speech_section(&mut speech, &data, &path);
    speech.finish();
    let (mut services, passwords) = identity::read(&mut root, &path);
    let api = api::read(&mut root, &mut services, &path);
    let questions = questions::read(&mut root, &language);
    let targets = targets::read(&mut root, &path);
    let sources = sources::read(&mut root, &targets, &questions, &path);
    let mut keys = root.table("keys");
    let keys_section = keys_section(&mut keys, &path);
    keys.finish();
    let mut admin = root.table("admin");
    let admin_address = admin_section(&mut admin);
    admin.finish();
    let mut log = root.table("log");
    let log_config = telemetry::Config {
        level: log.or("level", Default::default()),
        format: log.or("format", Default::default()),
    };
    log.finish();
    root.finish();
    Config {
        data,
        database,
        listen,
        sip_limits,
        trunks: path(trunks),
        dialplans,
        media: media_section,
        calls: calls_section,
        speech: speech_config,
        language,
        services,
        readback: passwords.readback,
        dictionary: passwords.dictionary,
        questions,
        targets,
        sources,
        keys: keys_section,
        api,
        admin: admin_address,
        log: log_config,
    }
}

fn calls_section(table: &mut Table<'_, '_>, path: &dyn Fn(PathBuf) -> PathBuf) -> CallsSection {
    let default = CallsSection::default();
    CallsSection {
        max: table.number("max", default.max, 1..=100_000),
        drain: table.duration("drain", default.drain, Duration::ZERO..=Duration::from_secs(3_600)),
        recordings: table.optional("recordings").map(path),
    }
}

fn keys_section(table: &mut Table<'_, '_>, path: &dyn Fn(PathBuf) -> PathBuf) -> KeysSection {
    let file: Option<PathBuf> = table.optional("file").map(path);
    match table.optional::<Vec<String>>("program") {
        None => KeysSection::File(file),
        Some(words) => {
            if words.is_empty() {
                table.mistake(
                    "program",
                    "must be a program with its arguments, such as [\"/usr/local/bin/kms\", \"get\"]",
                );
            }
            if file.is_some() {
                table.mistake("program", "there is a `file` as well; give one of the two");
            }
            KeysSection::Program(words)
        }
    }
}

fn speech_section(
    table: &mut Table<'_, '_>,
    data: &Path,
    path: &dyn Fn(PathBuf) -> PathBuf,
) -> (speech::Config, speech::Language) {
    let mut config = speech::Config::default();
    config.prompts = path(table.or("prompts", config.prompts));
    let synthesis = &mut config.synthesis;
    synthesis.engines = table.or("engines", std::mem::take(&mut synthesis.engines));
    synthesis.flite_voice = table.or("flite_voice", synthesis.flite_voice);
    synthesis.espeak_program = table.or("espeak_program", std::mem::take(&mut synthesis.espeak_program));
    config.cache.folder = Some(data.join("speech"));
    let language = table.parsed("language", "a language such as \"en-US\"");
    (config, language.unwrap_or_else(default_language))
}

fn default_language() -> speech::Language {
    "en-US"
        .parse()
        .expect("a language tag that the unit tests of speech know")
}

fn admin_section(table: &mut Table<'_, '_>) -> SocketAddr {
    let listen = table
        .parsed("listen", "an address with port, such as \"127.0.0.1:9460\"")
        .unwrap_or(DEFAULT_ADMIN);
    if !listen.ip().is_loopback() {
        table.mistake(
            "listen",
            "must be a loopback address, because whoever reaches it needs no password; put a proxy in front",
        );
    }
    listen
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn mistakes(text: &str) -> Vec<String> {
        let mistakes = Mistakes::default();
        parse("/etc/passline.toml".as_ref(), text, &mistakes);
        mistakes.into_list().iter().map(ToString::to_string).collect()
    }

    const SHORTEST: &str =
        "data = 'var'\n[sip]\nlisten = ['udp:127.0.0.1:5060']\n[[target]]\nname = 'directory'\nkind = 'embedded'\n";

    #[test]
    fn the_shortest_file_is_enough() {
        assert_eq!(mistakes(SHORTEST), Vec::<String>::new());
        let config = parse("/etc/passline.toml".as_ref(), SHORTEST, &Mistakes::default());
        assert_eq!(config.data, Path::new("/etc/var"));
        assert_eq!(config.admin, DEFAULT_ADMIN);
        assert_eq!(config.targets[0].label, "directory");
    }

    #[test]
    fn every_mistake_is_told_at_once() {
        let text = "node = ''\n[sip]\nlisten = ['udp:127.0.0.1', 'sctp:1.2.3.4:5060']\nstrangers = 'shout'\n[calls]\nmax = 0\ndrain = 'soon'\n\
                    [admin]\nlisten = '0.0.0.0:9460'\n[questions]\nask = 3\nright = 4\n[lockout.users]\ntires = 3\n";
        let found = mistakes(text);
        for part in [
            ":1: data: missing",
            ":3: sip.listen: \"udp:127.0.0.1\" is not",
            ":3: sip.listen: \"sctp:1.2.3.4:5060\" is not",
            ":4: sip.strangers: \"shout\" is neither",
            ":6: calls.max: 0 is out of range",
            ":7: calls.drain: \"soon\" is not a duration",
            ":9: admin.listen: must be a loopback address",
            "questions",
            ":14: lockout.users.tires: unknown key; did you mean \"tries\"?",
            "target: missing",
            ":1: node: must have 1 to 64 characters",
        ] {
            assert!(
                found.iter().any(|line| line.contains(part)),
                "{part} is not in {found:#?}"
            );
        }
    }

    /// Asterisk was handed `https://[::]:8443`, and nobody said so before the first call.
    #[test]
    fn sounds_for_asterisk_have_an_address() {
        let with = |listen: &str, rest: &str| {
            mistakes(&format!(
                "{SHORTEST}[api]\nlisten = '{listen}:8443'\ncertificate = 'a'\nkey = 'b'\n{rest}"
            ))
        };
        let agi = "agi = '127.0.0.1:4573'\n";
        for listen in ["0.0.0.0", "[::]"] {
            let found = with(listen, agi);
            assert!(
                matches!(&found[..], [one] if one.contains("api.url: is needed for `agi`") && one.contains(listen)),
                "{found:?}"
            );
            assert_eq!(with(listen, ""), Vec::<String>::new());
            assert_eq!(
                with(listen, &format!("{agi}url = 'https://a:8443'\n")),
                Vec::<String>::new()
            );
        }
        assert_eq!(with("192.0.2.1", agi), Vec::<String>::new());
    }

    #[test]
    fn a_trunk_is_braked_later_than_a_calling_number() {
        let text = format!("{SHORTEST}[lockout.trunks]\n");
        let config = parse("/etc/passline.toml".as_ref(), &text, &Mistakes::default());
        let trunks = config.services.lockout.trunks.expect("switched on by its section");
        assert_eq!(trunks, crate::identity::lockout::LockoutConfig::trunks());
    }

    /// Has what must be there for every key to be asked for.
    const EVERY_SECTION: &str = "data = 'var'\n[database]\nurl = 'postgres://a@b/c'\n[sip]\nlisten = []\n[lockout.trunks]\n\
                                 [api]\nlisten = '127.0.0.1:8443'\ncertificate = 'a.pem'\nkey = 'b.pem'\n[[question]]\ntext = 'Q'\n\
                                 answer = 'digits 4-4'\n[[target]]\nname = 'directory'\nkind = 'embedded'\n\
                                 [[target]]\nname = 'corp'\nkind = 'active_directory'\nurls = ['ldaps://dc1']\nbind = 'svc'\nbase = 'dc=x'\n\
                                 [[target.near]]\nattribute = 'l'\nvalue = 'Munich'\nurls = ['ldaps://dc2']\n\
                                 [[target]]\nname = 'people'\nkind = 'ldap'\nurls = ['ldap://ds1']\nbind = 'cn=svc'\nbase = 'dc=x'\n\
                                 [[target]]\nname = 'unix'\nkind = 'ssh'\nhost = 'unix1'\nuser = 'svc'\n\
                                 host_keys = ['ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl']\n\
                                 [[target]]\nname = 'erp'\nkind = 'command'\nprogram = ['reset-erp']\n\
                                 [[target]]\nname = 'sso'\nkind = 'rest'\napi = 'scim'\nurl = 'https://id'\nuser = 'p'\n\
                                 [[target]]\nname = 'database'\nkind = 'postgresql'\nhost = 'db1'\nuser = 'svc'\n\
                                 [[target]]\nname = 'shop'\nkind = 'mysql'\nhost = 'db2'\nuser = 'svc'\n\
                                 [[source]]\nname = 'staff'\nkind = 'directory'\ntarget = 'corp'\n\
                                 [[source.account]]\ntarget = 'unix'\nattribute = 'uid'\n\
                                 [[source]]\nname = 'plant'\nkind = 'csv'\nfile = 'plant.csv'\nentry = 'number'\n\
                                 [[source.answer]]\nquestion = 'Q'\nattribute = 'badge'\n";

    const DOCUMENT: &str = include_str!("../../docs/CONFIGURATION.md");

    /// The blocks of TOML in a document.
    fn blocks(document: &str) -> Vec<&str> {
        let blocks = document
            .split("```toml\n")
            .skip(1)
            .filter_map(|rest| rest.split("```").next());
        blocks.collect()
    }

    /// `[calls]` and `[[question]]` without their brackets, also when they are commented out.
    fn section_of(line: &str) -> Option<&str> {
        let name = line.trim_start_matches("# ").strip_prefix('[')?.strip_suffix(']')?;
        Some(name.trim_matches(['[', ']']))
    }

    fn dotted(section: &str, key: &str) -> String {
        if section.is_empty() {
            key.to_owned()
        } else {
            format!("{section}.{key}")
        }
    }

    /// The keys that readers ask for, without the sections.
    fn keys_asked_for() -> BTreeSet<String> {
        let mistakes = Mistakes::default();
        parse("/etc/passline.toml".as_ref(), EVERY_SECTION, &mistakes);
        let asked = mistakes.asked();
        let is_section = |name: &String| asked.iter().any(|other| other.starts_with(&format!("{name}.")));
        let sections: BTreeSet<String> = asked.iter().filter(|name| is_section(name)).cloned().collect();
        assert_eq!(mistakes.into_list(), []);
        asked.difference(&sections).cloned().collect()
    }

    /// The rows `| `key` | ...` below the headings that name their sections.
    fn keys_in_tables(document: &str) -> BTreeSet<String> {
        let mut sections = vec![""];
        let mut keys = BTreeSet::new();
        for line in document.lines() {
            if let Some(heading) = line.strip_prefix("### ") {
                let named = heading.split('`').filter_map(section_of).collect::<Vec<_>>();
                sections = if named.is_empty() { vec![""] } else { named };
            } else if line.starts_with("## ") {
                sections.clear();
            } else if let Some(key) = line.strip_prefix("| `").and_then(|row| row.split('`').next()) {
                keys.extend(sections.iter().map(|section| dotted(section, key)));
            }
        }
        keys
    }

    #[test]
    fn every_key_is_documented_and_no_other() {
        assert_eq!(keys_in_tables(DOCUMENT), keys_asked_for());
    }

    #[test]
    fn the_complete_example_has_every_key() {
        let example = blocks(DOCUMENT)
            .into_iter()
            .max_by_key(|block| block.len())
            .expect("there are blocks");
        let (mut section, mut keys) = ("", BTreeSet::new());
        for line in example.lines() {
            if let Some(name) = section_of(line) {
                section = name;
            } else if let Some((key, _)) = line.trim_start_matches("# ").split_once(" = ") {
                keys.insert(dotted(section, key));
            }
        }
        assert_eq!(keys, keys_asked_for());
    }

    /// What excerpts about sources name.
    const TARGETS: &str = "[[question]]\ntext = 'Q'\nprompt = 'question.start_year'\nanswer = 'digits 4-4'\n\
                           [[target]]\nname = 'directory'\nkind = 'embedded'\n\
                           [[target]]\nname = 'corp'\nkind = 'active_directory'\nurls = ['ldaps://dc1']\nbind = 'svc'\nbase = 'dc=x'\n\
                           [[target]]\nname = 'people'\nkind = 'ldap'\nurls = ['ldap://ds1']\nbind = 'cn=svc'\nbase = 'dc=x'\n\
                           [[target]]\nname = 'erp'\nkind = 'command'\nprogram = ['reset-erp']\ncan = ['reset', 'list']\n\
                           [[target]]\nname = 'unix1'\nkind = 'command'\nprogram = ['reset-unix']\n";

    #[test]
    fn what_the_documents_show_is_right() {
        let is_of_an_excerpt = |mistake: &Mistake| {
            mistake.message.starts_with("missing; ") && ["data", "sip.listen", "target"].contains(&mistake.key.as_str())
        };
        for document in [
            DOCUMENT,
            include_str!("../../README.md"),
            include_str!("../../docs/PEOPLE.md"),
        ] {
            let blocks = blocks(document);
            assert!(!blocks.is_empty());
            for block in blocks {
                if block.starts_with("# sip-config/") {
                    assert_eq!(crate::telephony::sip::trunk::parse("pbx", block).err(), None, "{block}");
                    continue;
                }
                let mistakes = Mistakes::default();
                // Sources name what stands elsewhere in the file.
                let whole = match block.starts_with("[[source]]") {
                    true => format!("{TARGETS}{block}"),
                    false => block.to_owned(),
                };
                parse("/etc/passline.toml".as_ref(), &whole, &mistakes);
                let list: Vec<_> = mistakes.into_list();
                let wrong: Vec<_> = list.iter().filter(|mistake| !is_of_an_excerpt(mistake)).collect();
                assert!(wrong.is_empty(), "{block}\n{wrong:#?}");
            }
        }
    }
}
