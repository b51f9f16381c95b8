//! The program `cloze`: from raw text to a BERT of one's own.
//!
//! Only this crate reads flags and the environment, and prints: results go to standard output, progress
//! and warnings to standard error. Every sub-command has its file in `commands`.

#![forbid(unsafe_code)]

mod arguments;
mod commands;
mod input;
mod output;
mod progress;
mod questions;
mod quickstart;
mod report;
mod signals;
mod training;

use std::process::ExitCode;

use clap::Parser;

use arguments::Cli;

fn main() -> ExitCode {
    // Wrong usage ends here, with exit code 2.
    let cli = Cli::parse();
    if let Err(wrong) = cli.check() {
        wrong.exit();
    }
    let result = signals::install().and_then(|()| commands::run(&cli));
    match result {
        Ok(code) => code,
        // Whoever reads our output has heard enough, as `head` has: no error.
        Err(error) if output::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            output::print_error(&error);
            ExitCode::FAILURE
        }
    }
}
