//! Doors over HTTP.
//!
//! | module | what it is |
//! |---|---|
//! | [`admin`] | the loopback port for operators |
//! | [`calls`] | the calls of the web API, apart from how they are written |
//! | [`ivr`] | whole calls for outside IVRs, a page at a time: VoiceXML and others |
//! | [`client`] | a client of the web API, which shows what goes and comes |
//! | [`json`] | the calls as JSON, with their description |
//! | [`limiter`] | how often an address and a client may ask |
//! | [`log`] | the access log of the API, and what is counted |
//! | `mistake` | what is wrong with a request, without what was in it |
//! | [`problem`] | what went wrong, as a body |
//! | [`soap`] | the calls as SOAP, with their description |
//! | [`server`] | HTTPS, for whatever router is given |
//! | [`standing`] | whether the API is served |
//! | [`web`] | the web API while it is served |

pub mod admin;
pub mod calls;
pub mod client;
pub mod ivr;
pub mod json;
pub mod limiter;
pub mod log;
mod mistake;
pub mod problem;
pub mod server;
pub mod soap;
pub mod standing;
pub mod web;

#[cfg(test)]
mod tests;
