//! Whether the web API is served, for whoever watches it. The telephone does not wait for it.

use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};

/// Shared by the one who keeps the API up and those who tell of it; cheap to clone.
#[derive(Clone, Debug)]
pub struct Standing(Arc<RwLock<State>>);

/// How it stands with the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Clients are served.
    Served {
        /// Where, with the real port.
        api: SocketAddr,
        /// Where Asterisk is served by FastAGI, if it is.
        agi: Option<SocketAddr>,
    },
    /// Nobody is served; it is tried again.
    Down {
        /// Why, with file or port and key.
        reason: String,
    },
}

impl Default for Standing {
    fn default() -> Self {
        let reason = "it has not begun yet".to_owned();
        Self(Arc::new(RwLock::new(State::Down { reason })))
    }
}

impl Standing {
    /// As it is now.
    #[must_use]
    pub fn get(&self) -> State {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// It is so from now on; whether that is new.
    pub fn set(&self, state: State) -> bool {
        let mut current = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let is_new = *current != state;
        *current = state;
        is_new
    }

    /// Whether clients are served.
    #[must_use]
    pub fn is_served(&self) -> bool {
        matches!(self.get(), State::Served { .. })
    }
}
