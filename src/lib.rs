//! Passline: a telephony IVR engine that lets people reset forgotten passwords by phone.
//!
//! Map of the house; imports run from the bottom of this list to the top, never back (`tests/suite/architecture.rs`
//! holds it):
//!
//! | module | what lives there |
//! |---|---|
//! | [`secret`], [`digit`], [`language`], [`time`], [`table`], [`checked_toml`], [`telemetry`], [`counter`], [`rate`], [`network_list`] | redacting types, keys of the keypad, language tags, clocks, tables that shrink, files people write, logs, counters, token buckets, lists of networks |
//! | [`key_file`], [`vault`], [`program`] | keys outside of the database, credentials sealed with them, programs of others |
//! | [`telephony`] `::{sdp, rtp, codec, dtmf}` | pure: bytes and numbers in, types out |
//! | [`dialplan`] | call flows: model, parser, checker, graph, interpreter; pure |
//! | [`identity`] | rules about people and secrets: keypad IDs, answers, policy, lockout, evidence, audit; pure |
//! | [`telephony`] `::{sip, media}` | the wire: SIP endpoint, media sessions and their drivers |
//! | [`speech`] | prompts, phrases, synthesizers |
//! | [`store`] | the database, the only place with SQL |
//! | [`integration`] | the systems where passwords live |
//! | [`service`] | use cases, one transaction each |
//! | [`call`] | one live call: signalling, media, flow and services together |
//! | [`api`], [`cli`] | the doors |
//! | [`config`], [`app`] | the configuration file; building, supervising, draining |

pub mod checked_toml;
pub mod counter;
pub mod digit;
pub mod key_file;
pub mod language;
pub mod network_list;
pub mod program;
pub mod rate;
pub mod secret;
pub mod table;
pub mod telemetry;
pub mod time;
pub mod vault;
pub mod xml;

pub mod dialplan;
pub mod identity;
pub mod telephony;

pub mod integration;
pub mod speech;
pub mod store;

pub mod service;

pub mod call;

pub mod api;
pub mod app;
pub mod cli;
pub mod config;
