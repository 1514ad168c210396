//! `kind = "rest"`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::checked_toml::Table;
use crate::integration::target::rest::{Description, RestConfig, SHIPPED, is_address};

pub(super) fn read(table: &mut Table<'_, '_>, name: String, path: &dyn Fn(PathBuf) -> PathBuf) -> Option<RestConfig> {
    let description = description(table, path);
    let url: String = table
        .required("url", "where it is, such as \"https://sso.example.com\"")
        .unwrap_or_default();
    if table.is_present("url") && !is_address(&url) {
        let wrong =
            format!("{url:?} is no address with \"https://\"; one with \"http://\" may only be this machine's own");
        table.mistake("url", wrong);
    }
    let user = table.required("user", "as whom Passline signs in: a user, or the id of a client");
    let ca = table.optional("ca").map(path);
    let proxy: Option<String> = table.optional("proxy");
    if proxy.is_some() && url.starts_with("http://") {
        table.mistake(
            "proxy",
            "goes with \"https://\" only: it would be told secrets in clear",
        );
    }
    let connect = table.duration(
        "connect",
        RestConfig::CONNECT,
        Duration::from_millis(100)..=Duration::from_secs(10),
    );
    let parameters: BTreeMap<String, String> = table.or("parameters", BTreeMap::new());
    let config = RestConfig {
        name,
        description: description?,
        url,
        user: user.unwrap_or_default(),
        parameters,
        ca,
        proxy,
        connect,
    };
    for missing in config.missing() {
        table.mistake(
            "parameters",
            format!("must give `{missing}`; {} needs it", config.description.title),
        );
    }
    for unknown in config.unknown() {
        let mut known = config.description.parameters.clone();
        known.extend(config.description.optional.iter().cloned());
        known.extend(config.description.defaults.keys().cloned());
        let known = if known.is_empty() {
            "none".to_owned()
        } else {
            known.join(", ")
        };
        table.mistake(
            "parameters",
            format!("`{unknown}` is not one of {} ({known})", config.description.title),
        );
    }
    Some(config)
}

fn description(table: &mut Table<'_, '_>, path: &dyn Fn(PathBuf) -> PathBuf) -> Option<Description> {
    let shipped = || SHIPPED.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    let api: Option<String> = table.optional("api");
    let file: Option<PathBuf> = table.optional("file").map(path);
    let (key, text) = match (api, file) {
        (Some(api), None) => {
            let Some(text) = Description::shipped(&api) else {
                table.mistake("api", format!("{api:?} is not known; there are {}", shipped()));
                return None;
            };
            ("api", text.to_owned())
        }
        (None, Some(file)) => match std::fs::read_to_string(&file) {
            Ok(text) => ("file", text),
            Err(error) => {
                table.mistake("file", format!("cannot read {}: {error}", file.display()));
                return None;
            }
        },
        (Some(_), Some(_)) => {
            table.mistake("file", "give `api` or `file`, not both");
            return None;
        }
        (None, None) => {
            table.mistake(
                "api",
                format!(
                    "missing; give one of {}, or a description of your own with `file`",
                    shipped()
                ),
            );
            return None;
        }
    };
    match Description::parse(&text) {
        Ok(description) => Some(description),
        Err(problems) => {
            for problem in problems {
                table.mistake(key, problem);
            }
            None
        }
    }
}
