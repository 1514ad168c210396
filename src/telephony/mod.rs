//! Everything that speaks on the wire. It knows nothing of passwords.

pub mod codec;
pub mod dtmf;
pub mod media;
pub mod rtp;
pub mod sdp;
pub mod sip;
