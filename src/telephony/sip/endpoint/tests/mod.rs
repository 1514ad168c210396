//! The core with invented time.

mod bodies;
mod hostile;
mod in_dialog;
mod incoming;
mod ipv6;
mod leaks;
mod limits;
mod network;
mod outgoing;
mod routing;
mod second_opinion;
mod strangers;
mod support;
mod torture;
