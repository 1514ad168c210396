//! Doors over HTTP. Now: the loopback port for operators ([`admin`]); the API for outside IVRs comes beside it.

pub mod admin;
pub mod problem;
pub mod server;
