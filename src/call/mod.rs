//! One live call: signalling, media, flow and services together.
//!
//! | module | what lives there |
//! |---|---|
//! | [`switchboard`] | takes incoming calls, answers them, gives each a task |
//! | `session` | the loop of one call |
//! | `negotiation` | SDP and media of one call put together |
//! | `operations` | what a flow names, carried out by the services |
//! | `voice` | what a flow says, turned into a playlist |
//! | [`registry`] | the list of live calls; full, draining, dismissed |
//! | [`record`] | call records, written beside the calls |
//! | [`metrics`] | what is counted |
//! | [`phone`] | a telephone for test calls |
//! | [`simulator`] | a flow in a terminal: no telephone, the real services |

pub mod metrics;
pub mod phone;
pub mod record;
pub mod registry;
pub mod simulator;
pub mod switchboard;

mod negotiation;
mod operations;
mod session;
mod voice;

pub use operations::Readback;
pub use voice::{Label, Labels, SPOKEN_BY_PROGRAM};

#[cfg(test)]
mod tests;
