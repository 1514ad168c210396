//! SIP: the wire to trunks and telephones (RFC 3261 and friends).
//!
//! An own stack, split so that all rules can be tested without a socket (`docs/decisions/0001-own-sip-core.md`):
//!
//! | module | what lives there | IO |
//! |---|---|---|
//! | [`message`] | parser, writer, check of a message | none |
//! | [`framing`] | messages out of a TCP stream | none |
//! | [`trunk`] | who may call, read from `sip-config/` | reads files at start |
//! | [`digest`] | passwords, both sides | none |
//! | [`admission`] | budgets, lines, draining | none |
//! | `transaction`, `dialog` | RFC 3261 sections 17 and 12 | none |
//! | [`endpoint`] | the core that joins them: inputs in, outputs out, next deadline | none |
//! | [`driver`] | sockets, connections, the task that owns the core, the API for the call layer | tokio |
//!
//! SDP is opaque text here; keys in INFO bodies leave in a redacting type. Nothing in this module logs a
//! header that may hold credentials, a body, or an unmasked caller; `trace` says what is shown of a message.

pub mod admission;
pub mod digest;
pub mod driver;
pub mod endpoint;
pub mod framing;
pub mod message;
pub mod timer;
pub mod transport;
pub mod trunk;

mod dialog;
mod trace;
mod transaction;

pub use digest::Credentials;
pub use driver::{
    Call, ConnectionLimits, IncomingCall, InviteError, Listen, OutgoingCallRequest, SipConfig, SipHandle, SipStack,
    StartError, resolve, route_to,
};
pub use endpoint::{CallEvent, CallInfo, EndCause, EndpointConfig, InfoKind, LocalAddress, ReinviteId, Stats};
pub use transport::Transport;
