//! The `passline` program.

use std::process::ExitCode;

use clap::Parser as _;

/// Gives memory back to the system when calls are over, and costs less time than the allocator of the C
/// library, which keeps what lies between what is still used. Measured in docs/PERFORMANCE.md.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    passline::cli::run(passline::cli::Cli::parse())
}
