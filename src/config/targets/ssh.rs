//! `kind = "ssh"`.

use std::time::Duration;

use crate::checked_toml::Table;
use crate::integration::target::ssh::{HostKey, SshConfig, SshSignIn, is_script};

pub(super) fn read(table: &mut Table<'_, '_>, name: String) -> SshConfig {
    let host = table.required("host", "the name or address of the host, such as \"unix1.example.com\"");
    let host_keys = match table.is_present("host_keys") {
        true => table
            .parsed_list::<HostKey>("host_keys", "the key of a host, such as \"ssh-ed25519 AAAA...\"")
            .unwrap_or_default(),
        false => {
            let what = "the keys that the host may show, as `ssh-keyscan -t ed25519 HOST` prints them: [\"ssh-ed25519 AAAA...\"]";
            let _: Option<Vec<String>> = table.required("host_keys", what);
            Vec::new()
        }
    };
    if table.is_present("host_keys") && host_keys.is_empty() {
        table.mistake("host_keys", "must hold a key: without one anybody could be the host");
    }
    let sign_in = match table.or("sign_in", "key".to_owned()).as_str() {
        "key" => SshSignIn::Key,
        "password" => SshSignIn::Password,
        other => {
            table.mistake("sign_in", format!("{other:?} is neither \"key\" nor \"password\""));
            SshSignIn::Key
        }
    };
    let script: Option<String> = table.optional("script");
    if script.as_deref().is_some_and(|script| !is_script(script)) {
        table.mistake(
            "script",
            "must be an absolute path of letters, digits, '/', '-', '_' and '.'",
        );
    }
    let usual = SshConfig::UIDS;
    let min = table.number("min_uid", *usual.start(), 1..=u32::MAX);
    let max = table.number("max_uid", *usual.end(), 1..=u32::MAX);
    if min > max {
        table.mistake("max_uid", "must not be less than `min_uid`");
    }
    SshConfig {
        name,
        host: host.unwrap_or_default(),
        port: table.number("port", 22, 1..=u16::MAX),
        host_keys,
        user: table
            .required("user", "as whom Passline signs in, such as \"svc-passline\"")
            .unwrap_or_default(),
        sign_in,
        script,
        uids: min..=max,
        faillock: table.or("faillock", true),
        verify: table.or("verify", true),
        connect: table.duration(
            "connect",
            SshConfig::CONNECT,
            Duration::from_millis(100)..=Duration::from_secs(20),
        ),
    }
}
