//! Calls that somebody else's IVR carries: it plays and collects, and the flow, the services and the order of things are
//! here.
//!
//! ```text
//!   outside IVR                                this house
//!     begin  ───────────────────────────────▶  Desk ── a task per call: Dialogue (flow), Work (services)
//!     ◀── page 1: lines to play, keys to collect ──┘
//!     page 1: keys, silence ─────────────────▶  the same task
//!     ◀── page 2 ───────────────────────────────────┘   ... until a page that ends the call
//! ```
//!
//! | module | what it does |
//! |---|---|
//! | [`page`] | what the outside IVR does next |
//! | `dialogue` | the flow, a page at a time; no I/O |
//! | `talk` | the task of one call |
//! | [`desk`] | the calls in progress, and the sound that their pages speak of |
//!
//! How pages look on the wire (VoiceXML, TwiML, AGI, ...) is not decided here.

pub mod desk;
pub mod page;

mod dialogue;
#[cfg(test)]
pub(crate) mod script;
mod talk;

pub use desk::{Desk, First, NewCall, NotTaken, Settings};
pub use page::{Heard, Line, Page, Sound, Then};
