//! The `passline` program.

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    passline::cli::run(passline::cli::Cli::parse())
}
