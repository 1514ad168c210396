//! The `passline` program.

fn main() {}
