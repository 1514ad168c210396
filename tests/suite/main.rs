//! The test suite: one binary, one module per subject, because linking is what costs on a small machine.

mod architecture;
