//! Systems of others: where passwords live, and where people come from.

pub mod source;
pub mod target;
