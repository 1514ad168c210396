//! `[questions]`, `[lockout]`, `[evidence]`, `[passwords]`: the rules about people.

use std::path::PathBuf;
use std::time::Duration;

use crate::call::Readback;
use crate::checked_toml::Table;
use crate::identity::lockout::LockoutConfig;
use crate::identity::policy::Policy;
use crate::integration::target::Expiry;
use crate::service;

const MINUTE: Duration = Duration::from_secs(60);
/// The longest name of a node, as the services have it.
const MAX_NODE: usize = 64;
const YEAR: Duration = Duration::from_secs(366 * 24 * 3_600);

/// What `[passwords]` says beyond the services' own configuration.
pub(super) struct Passwords {
    pub(super) readback: Readback,
    /// The text of a dictionary of the company's own.
    pub(super) dictionary: String,
}

pub(super) fn read(root: &mut Table<'_, '_>, path: &dyn Fn(PathBuf) -> PathBuf) -> (service::Config, Passwords) {
    let mut config = service::Config::default();
    config.node = root.or("node", config.node);
    if !(1..=MAX_NODE).contains(&config.node.len()) {
        root.mistake("node", format!("must have 1 to {MAX_NODE} characters"));
    }
    let mut questions = root.table("questions");
    config.questions.ask = questions.number("ask", config.questions.ask, 1..=9);
    config.questions.right = questions.number("right", config.questions.right.min(config.questions.ask), 1..=9);
    config.questions.rotation = questions.duration("rotation", config.questions.rotation, MINUTE..=YEAR);
    config.attempt.rounds = questions.number("rounds", config.attempt.rounds, 1..=5);
    if let Err(error) = config.questions.check() {
        questions.mistake("right", error.to_string());
    }
    questions.finish();

    let mut lockout = root.table("lockout");
    for (key, rules) in [
        ("users", &mut config.lockout.users),
        ("callers", &mut config.lockout.callers),
        ("clients", &mut config.lockout.clients),
        ("addresses", &mut config.lockout.addresses),
    ] {
        let mut table = lockout.table(key);
        lockout_rules(&mut table, rules);
        table.finish();
    }
    if lockout.is_present("trunks") {
        let mut table = lockout.table("trunks");
        let mut rules = config.lockout.trunks.clone().unwrap_or_else(LockoutConfig::trunks);
        lockout_rules(&mut table, &mut rules);
        config.lockout.trunks = Some(rules);
        table.finish();
    }
    if let Err(error) = config.lockout.check() {
        lockout.mistake("users", error.to_string());
    }
    lockout.finish();

    let mut evidence = root.table("evidence");
    config.evidence.lifetime = evidence.duration("lifetime", config.evidence.lifetime, MINUTE..=MINUTE * 60);
    evidence.finish();
    let mut table = root.table("passwords");
    let passwords = passwords(&mut table, &mut config, path);
    table.finish();
    (config, passwords)
}

fn lockout_rules(table: &mut Table<'_, '_>, rules: &mut LockoutConfig) {
    let second = Duration::from_secs(1);
    rules.tries = table.number("tries", rules.tries, 1..=1_000);
    rules.base_delay = table.duration("base_delay", rules.base_delay, second..=YEAR);
    rules.max_delay = table.duration("max_delay", rules.max_delay, second..=YEAR);
    rules.forget_after = table.duration("forget_after", rules.forget_after, second..=YEAR);
    rules.hold_forget_after = table.duration("hold_forget_after", rules.hold_forget_after, second..=YEAR);
    rules.hold_after = table.optional("hold_after").or(rules.hold_after);
}

fn passwords(table: &mut Table<'_, '_>, config: &mut service::Config, path: &dyn Fn(PathBuf) -> PathBuf) -> Passwords {
    let policy = &mut config.policy;
    match table.or("preset", "classic".to_owned()).as_str() {
        "classic" => *policy = Policy::classic(),
        "nist" => *policy = Policy::nist(),
        other => table.mistake(
            "preset",
            format!("{other:?} is no preset; give \"classic\" or \"nist\""),
        ),
    }
    policy.min_length = table.number("min_length", policy.min_length, 1..=128);
    policy.max_length = table.number("max_length", policy.max_length, 1..=Policy::MAX_LENGTH);
    policy.min_classes = table.number("min_classes", policy.min_classes, 0..=4);
    policy.history = table.number("history", policy.history, 0..=Policy::MAX_HISTORY);
    if let Err(error) = policy.validate() {
        table.mistake("min_length", error.to_string());
    }
    config.generator.entropy_bits = table.number("entropy_bits", config.generator.entropy_bits, 28..=80);
    if let Err(error) = config.generator.check() {
        table.mistake("entropy_bits", error.to_string());
    }
    config.proposals_per_visit = table.number("proposals", config.proposals_per_visit, 1..=100);
    config.expiry = if table.or("must_change", true) {
        Expiry::AtNextSignIn
    } else {
        Expiry::Keep
    };
    let readback = if table.or("readback", false) {
        Readback::Wanted
    } else {
        Readback::NotWanted
    };
    let mut dictionary = String::new();
    if let Some(file) = table.optional("dictionary").map(path) {
        match std::fs::read_to_string(&file) {
            Ok(text) => dictionary = text,
            Err(error) => table.mistake("dictionary", format!("cannot read {}: {error}", file.display())),
        }
    }
    Passwords { readback, dictionary }
}
