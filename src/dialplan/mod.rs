//! Call flows: files that telephony admins write, checked before they run, drawn, and carried out call by call.
//!
//! ```text
//! dialplans/*.toml ─ parse ─> Draft ─ check ─> Flow ─> Interpreter (one per call)
//!                      │                │        └───> Graph (SVG, DOT)
//!                      └── Report (every mistake: file, line, column, remedy)
//! ```
//!
//! Everything here is pure: no files, no sockets, no clock. A flow names *operations* ([`operation`]); the call carries
//! them out and answers with an outcome. What is spoken is named by prompt ids, and by *slots* for what is only known
//! during the call ([`operation::Slot`]). A [`Flow`] only comes out of [`load`], so whatever runs has been checked.
//!
//! How to write one: `docs/DIALPLAN.md`.

mod check;
mod draft;
mod graph;
mod interpreter;
mod library;
mod model;
mod name;
pub mod operation;
mod parse;
mod report;
mod source;
mod transcript;

pub use check::{Loaded, PromptIndex, load};
pub use interpreter::{Awaited, End, EndReason, Input, Interpreter, InvocationId, Output, PlaybackId, TransferOutcome};
pub use library::{Library, Replaced};
pub use model::{Edge, EdgeKind, Flow, PlayItem, Step, StepId, StepKind, Version};
pub use name::{DestinationName, PromptId, StepName};
pub use report::{Code, Finding, Report, Severity};
pub use transcript::{Script, ScriptError, ScriptLine, transcript};

#[cfg(test)]
pub(crate) mod tests;
