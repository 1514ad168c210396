//! Transactions (RFC 3261 section 17, with the states that RFC 6026 added for 2xx), sans-IO.
//!
//! [`Servers`] and [`Clients`] are tables with a limit. They send and set timers through a [`Wire`]; whoever owns them
//! gives every message and every timer that has run out.

mod client;
mod key;
mod server;

pub(super) use client::{Clients, Delivery, Outgoing};
pub(super) use key::{Fingerprint, Fingerprints};
pub(super) use server::{Opening, Servers};

use std::collections::VecDeque;
use std::sync::Arc;

use super::endpoint::{CallTimer, Output};
use super::timer::Timers;
use super::transport::Flow;

/// Everything that can run out, with its owner.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub(super) enum Timer {
    Server(Fingerprint, ServerTimer),
    Client(u64, ClientTimer),
    Call(u64, CallTimer),
}

/// Timers of a server transaction.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub(super) enum ServerTimer {
    /// 100 is due.
    Trying,
    /// G: send the final answer to INVITE again.
    Resend,
    /// H, I, J and L: the transaction ends.
    End,
}

/// Timers of a client transaction.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub(super) enum ClientTimer {
    /// A and E: send the request again.
    Resend,
    /// B and F: nobody answers.
    TimeOut,
    /// D, K and M: the transaction ends.
    End,
}

/// What the core wants: timers, and things for the driver to do.
pub(super) struct Wire {
    pub(super) timers: Timers<Timer>,
    pub(super) outputs: VecDeque<Output>,
}

impl Wire {
    pub(super) fn new() -> Self {
        Self {
            timers: Timers::default(),
            outputs: VecDeque::new(),
        }
    }

    pub(super) fn send(&mut self, flow: Flow, bytes: Arc<[u8]>) {
        self.outputs.push_back(Output::Send { flow, bytes });
    }
}
