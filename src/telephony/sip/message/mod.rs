//! SIP messages: an own parser and writer (RFC 3261 sections 7, 19, 20 and 25).
//!
//! A [`Message`] keeps the head as it came, byte for byte, with an index of its header fields; typed views
//! ([`Via`], [`NameAddr`], [`Uri`], [`CSeq`], ...) are parsed from it on demand and borrow from it. What is copied into
//! an answer (Via, To, From, Call-ID, CSeq, Record-Route) is therefore exactly what the peer sent.
//!
//! ```text
//! bytes --Message::parse--> Message --validate--> Checked (what the endpoint works with)
//!            |                          \-------> Rejection (status to answer, or silence)
//!            \--> ParseError: not SIP at all, nothing to answer
//! ```
//!
//! Left out on purpose: multipart bodies inside multipart bodies, `sips` transport rules, header fields that an IVR
//! never reads (they are kept as text).

mod address;
mod auth;
mod fields;
mod head;
mod header;
mod lexer;
mod method;
mod multipart;
mod params;
mod parse;
mod start_line;
mod status;
mod uri;
mod validate;
mod via;
mod write;

pub use address::{NameAddr, NameAddrs};
pub use auth::AuthParams;
pub use fields::{CSeq, MediaType, content_length, max_forwards, option_tags};
pub(super) use head::head_end;
pub use header::Name;
pub use lexer::Malformed;
pub use method::Method;
pub use multipart::{MAX_PARTS, Part};
pub use params::Params;
pub use parse::{Defect, Message, ParseError};
pub use start_line::Start;
pub use status::reason_phrase;
pub use uri::{Host, Scheme, Uri};
pub(in crate::telephony::sip) use validate::identified;
pub use validate::{Checked, Rejection, validate};
pub use via::{MAGIC_COOKIE, Via, Vias};
pub use write::Writer;

/// The largest message that is looked at, in bytes: what fits into one IPv4 UDP datagram, rounded up.
pub const MAX_MESSAGE_BYTES: usize = 64 * 1024;

/// The longest header field, folded lines together, in bytes. STIR Identity and Avaya History-Info stay below 4 KiB.
pub const MAX_FIELD_BYTES: usize = 8 * 1024;

/// The most header fields in one message.
pub const MAX_FIELDS: usize = 256;

/// The most Via values in one message: a request cannot pass more hops than the usual Max-Forwards.
pub const MAX_VIAS: usize = 70;
