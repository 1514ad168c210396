//! The systems where passwords live.

pub mod target;
