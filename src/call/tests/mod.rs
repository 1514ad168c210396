//! Whole calls without sockets, tasks or clock: signalling, media, keys and flow together, over a network in memory.
//!
//! ```text
//!  caller ─ Endpoint, Session ──┐                 ┌── Endpoint, Session, Interpreter ─ line
//!                               ├──── network ────┤
//!                               │ loses, delays,  │      one World: whatever comes first
//!                               │ doubles, swaps  │      of datagrams and deadlines
//! ```
//!
//! The parts below have networks of their own, which are rougher (`telephony::sip::endpoint`, `telephony::media`). Here
//! they are put together as `call::session` puts them together.

mod caller;
mod line;
mod network;
mod schedules;
mod world;
