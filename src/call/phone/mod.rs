//! A telephone for test calls.

pub mod ear;
pub mod listener;
pub mod script;
