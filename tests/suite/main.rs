//! The test suite: one binary, one module per subject, because linking is what costs on a small machine.

mod api;
mod api_call;
mod architecture;
mod attacks;
mod baresip;
mod calls;
mod canary;
mod changes;
mod cli;
mod clients;
mod crash;
mod examples;
mod faults;
mod ivr;
mod lossy;
mod nodes;
mod sipp;
mod sources;
mod stolen_audio;
mod support;
mod targets;
mod targets_ldap;
mod targets_rest;
mod targets_sql;
mod targets_ssh;
mod torture;
