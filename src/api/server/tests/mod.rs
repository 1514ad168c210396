//! The server on loopback, with clients that keep to the rules and clients that do not.

mod addresses;
mod certificates;
mod crowd;
mod http1;
mod http2;
mod https;
mod slow;
mod stopping;
mod support;
