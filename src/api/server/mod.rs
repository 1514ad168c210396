//! Parts of the HTTPS server that the web API will run on: whom a connection and a request are from.

mod client_address;
mod gate;
mod peer;
pub mod proxy_protocol;

pub use client_address::{NoAddress, client_address};
pub use gate::Gate;
pub use peer::{CertificateFingerprint, FingerprintError, Peer};
