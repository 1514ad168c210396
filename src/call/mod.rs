//! One live call: signalling, media, flow and services together.
//!
//! | module | what lives there |
//! |---|---|
//! | [`switchboard`] | takes incoming calls, answers them, gives each a task |
//! | `session` | the loop of one call |
//! | `negotiation` | SDP and media of one call put together |
//! | `operations` | what a flow names, carried out by the services |
//! | `work` | the operation that a call waits for |
//! | [`outside`] | calls that somebody else's IVR carries, a page at a time |
//! | `voice` | what a flow says, turned into a playlist |
//! | `wording` | a question in the language of a call |
//! | [`registry`] | the list of live calls; full, draining, dismissed |
//! | [`record`] | call records, written beside the calls |
//! | [`metrics`] | what is counted |
//! | [`phone`] | a telephone for test calls |
//! | [`simulator`] | a flow in a terminal: no telephone, the real services |

pub mod metrics;
pub mod outside;
pub mod phone;
pub mod record;
pub mod registry;
pub mod simulator;
pub mod switchboard;

mod negotiation;
mod operations;
mod session;
mod voice;
mod wording;
mod work;

pub use operations::Readback;
pub use voice::{Label, Labels, SPOKEN_BY_PROGRAM};
pub use wording::Wording;

#[cfg(test)]
mod tests;
