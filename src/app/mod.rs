//! Composition root.

pub mod telemetry;
