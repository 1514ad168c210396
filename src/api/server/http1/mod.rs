//! What of an HTTP/1 connection is shown to the library that serves it.
//!
//! ```text
//!  bytes ──▶ framer: where does the head end, where the body? ──▶ head, whole ──▶ body ──▶ next head ...
//!                              │ head.rs: may it be served?
//!                              └ no: a stand-in that asks for the connection to be closed; `request.rs` answers it
//! ```
//!
//! `hyper` serves a request that has both `Transfer-Encoding` and `Content-Length` (RFC 9112, section 6.3 allows it, if
//! the connection is closed then) and shows neither the service nor a proxy's operator that somebody tried to smuggle; it
//! counts idle time and the time of a head with one clock; and what it refuses itself has an empty answer. So each head
//! is looked at before. Who is stricter than the one behind cannot be made to disagree with it: what passes has one
//! meaning only.
//!
//! Everything works in order also where a client sends the next request before it has the answer to the last one.

mod framer;
mod head;
mod stream;

pub(super) use head::{Refusal, too_large};
pub(super) use stream::Http1Stream;
