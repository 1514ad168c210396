//! `kind = "command"`.

use std::path::PathBuf;
use std::time::Duration;

use crate::checked_toml::Table;
use crate::integration::target::Capabilities;
use crate::integration::target::command::CommandConfig;

const ABILITIES: &str = "\"reset\", \"verify\", \"expire\", \"unlock\", \"state\", \"enable\", \"list\" and \"policy\"";

pub(super) fn read(table: &mut Table<'_, '_>, name: String, path: &dyn Fn(PathBuf) -> PathBuf) -> CommandConfig {
    let what = "the program and its arguments, such as [\"/usr/local/bin/reset-erp\"]";
    let mut program: Vec<String> = table.required("program", what).unwrap_or_default();
    match program.first_mut() {
        // Beside the file, as any other path; without a '/' it is looked for in PATH.
        Some(word) if word.contains('/') => *word = path(PathBuf::from(&*word)).to_string_lossy().into_owned(),
        Some(_) => {}
        None if table.is_present("program") => table.mistake("program", "must name a program"),
        None => {}
    }
    CommandConfig {
        name,
        program,
        can: capabilities(table),
        user: table.optional("user"),
        limit: table.duration(
            "limit",
            CommandConfig::LIMIT,
            Duration::from_millis(100)..=Duration::from_secs(60),
        ),
        at_once: table.number("at_once", CommandConfig::AT_ONCE, 1..=100),
    }
}

fn capabilities(table: &mut Table<'_, '_>) -> Capabilities {
    let words = table.or("can", vec!["reset".to_owned()]);
    let mut can = Capabilities::default();
    for word in &words {
        match word.as_str() {
            "reset" => can.reset = true,
            "verify" => can.verify = true,
            "expire" => can.expire = true,
            "unlock" => can.unlock = true,
            "state" => can.lock_state = true,
            "enable" => can.enable = true,
            "list" => can.list_accounts = true,
            "policy" => can.policy = true,
            other => table.mistake("can", format!("{other:?} is not known; there are {ABILITIES}")),
        }
    }
    if !can.reset && !can.unlock {
        table.mistake("can", "must hold \"reset\" or \"unlock\": otherwise it is of no use");
    }
    can
}
