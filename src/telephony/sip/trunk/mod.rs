//! Trunks: who may call, which number leads where, and within which limits.
//!
//! One TOML file per trunk in `sip-config/`, named after the trunk; see `sip-config/example-trunk.toml.example`. A
//! source address belongs to at most one trunk, the one with the longest matching prefix; a trunk that asks for a
//! password and names no networks takes every address that no other trunk claims.

mod called;
mod file;

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use super::digest::Users;

pub use called::CalledPattern;
pub use file::{load_directory, parse};

use crate::checked_toml::Mistake;
use crate::rate::Rate;
use crate::telephony::dtmf::KeyMoment;

/// One trunk.
#[derive(Clone, Debug)]
pub struct Trunk {
    /// The name of its file without `.toml`.
    pub name: String,
    /// Source addresses that belong to it.
    pub networks: Vec<IpNet>,
    /// Callers must prove a password (RFC 7616), besides coming from `networks`.
    pub digest: Option<DigestConfig>,
    /// Called numbers and the dialplans they lead to; the first that matches counts.
    pub called: Vec<CalledRule>,
    /// Names of the codecs it may use, the best first: `pcmu`, `pcma`.
    pub codecs: Vec<String>,
    /// What its media is like.
    pub media: TrunkMedia,
    /// The most calls at once.
    pub max_calls: usize,
    /// New calls per second.
    pub call_rate: Rate,
    /// What a call hears that nothing in this trunk serves.
    pub unserved: Unserved,
    /// Whether P-Asserted-Identity is believed. It is never evidence of who calls.
    pub trusts_caller_id: bool,
}

/// What the media of a trunk is like; handed on with each call.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TrunkMedia {
    /// Networks that media comes from; empty for any, with a guard against strangers.
    pub networks: Arc<[IpNet]>,
    /// Which moment of a telephone event counts.
    pub key_moment: KeyMoment,
}

/// Digest authentication of a trunk.
#[derive(Clone, Debug)]
pub struct DigestConfig {
    /// The realm of the challenge.
    pub realm: String,
    /// Names and passwords.
    pub users: Users,
}

/// A called number (or pattern) and its dialplan.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CalledRule {
    /// Which numbers.
    pub number: CalledPattern,
    /// Name of the dialplan.
    pub dialplan: String,
}

/// What somebody hears who gets no service.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Unserved {
    /// A refusal.
    #[default]
    Answer,
    /// Nothing at all.
    Silence,
}

impl Trunk {
    /// The dialplan for the called number `user` (the user part of the Request-URI, escapes resolved).
    #[must_use]
    pub fn dialplan_for(&self, user: &str) -> Option<&str> {
        self.called
            .iter()
            .find(|rule| rule.number.matches(user))
            .map(|rule| rule.dialplan.as_str())
    }

    /// Whether `source` is in one of its networks.
    #[must_use]
    pub fn contains(&self, source: IpAddr) -> bool {
        self.networks
            .iter()
            .any(|network| network.contains(&source.to_canonical()))
    }
}

/// All trunks, found by source address.
#[derive(Clone, Debug, Default)]
pub struct Trunks {
    trunks: Vec<Trunk>,
    /// Longest prefix first.
    networks: Vec<(IpNet, usize)>,
}

impl Trunks {
    /// Builds the table.
    ///
    /// # Errors
    /// Networks that two trunks claim with the same prefix.
    pub fn new(trunks: Vec<Trunk>) -> Result<Self, Vec<Mistake>> {
        let mut networks: Vec<(IpNet, usize)> = Vec::new();
        let mut mistakes = Vec::new();
        for (index, trunk) in trunks.iter().enumerate() {
            for network in trunk.networks.iter().map(IpNet::trunc) {
                match networks.iter().find(|(other, _)| *other == network) {
                    Some(&(_, other)) if other != index => mistakes.push(Mistake {
                        file: format!("{}.toml", trunk.name).into(),
                        line: None,
                        key: "networks".to_owned(),
                        message: format!(
                            "{network} belongs to trunk {:?} already; give each trunk networks of its own, a longer prefix \
                             wins over a shorter one",
                            trunks[other].name
                        ),
                    }),
                    Some(_) => {}
                    None => networks.push((network, index)),
                }
            }
        }
        networks.sort_by_key(|(network, _)| std::cmp::Reverse(network.prefix_len()));
        if mistakes.is_empty() {
            Ok(Self { trunks, networks })
        } else {
            Err(mistakes)
        }
    }

    /// The trunk that `source` belongs to.
    #[must_use]
    pub fn by_source(&self, source: IpAddr) -> Option<usize> {
        let source = source.to_canonical();
        self.networks
            .iter()
            .find(|(network, _)| network.contains(&source))
            .map(|&(_, index)| index)
    }

    /// Whether the address alone shows that `source` belongs to a trunk. Where a password is asked for, anybody may
    /// knock.
    #[must_use]
    pub fn is_known(&self, source: IpAddr) -> bool {
        self.by_source(source)
            .and_then(|index| self.get(index))
            .is_some_and(|trunk| trunk.digest.is_none())
    }

    /// The trunk at `index`.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&Trunk> {
        self.trunks.get(index)
    }

    /// All trunks, by index.
    pub fn iter(&self) -> impl Iterator<Item = &Trunk> {
        self.trunks.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trunk(name: &str, networks: &str) -> Trunk {
        let text = format!("networks = [{networks}]\n[[called]]\nnumber = \"*\"\ndialplan = \"reset\"\n");
        parse(name, &text).expect("valid trunk")
    }

    #[test]
    fn the_longest_prefix_wins() {
        let trunks = vec![
            trunk("wide", "\"10.0.0.0/8\", \"::/0\""),
            trunk("narrow", "\"10.1.0.0/16\", \"2001:db8::/32\""),
        ];
        let table = Trunks::new(trunks).expect("no clash");
        let name = |ip: &str| {
            let index = table.by_source(ip.parse().expect("address"))?;
            table.get(index).map(|trunk| trunk.name.clone())
        };
        assert_eq!(name("10.1.2.3").as_deref(), Some("narrow"));
        assert_eq!(name("10.2.2.3").as_deref(), Some("wide"));
        assert_eq!(
            name("::ffff:10.2.2.3").as_deref(),
            Some("wide"),
            "IPv4 seen through an IPv6 socket"
        );
        assert_eq!(name("2001:db8::1").as_deref(), Some("narrow"));
        assert_eq!(name("192.0.2.1"), None);
    }

    #[test]
    fn two_trunks_cannot_claim_one_network() {
        let clash = Trunks::new(vec![trunk("a", "\"10.0.0.0/8\""), trunk("b", "\"10.0.0.1/8\"")]).expect_err("clash");
        assert_eq!(clash.len(), 1);
        assert!(
            clash[0].to_string().contains("belongs to trunk \"a\" already"),
            "{}",
            clash[0]
        );
    }
}
