//! One live call.

pub mod metrics;
pub mod phone;
pub mod registry;
