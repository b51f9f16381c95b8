//! The program `cloze`: from raw text to a BERT of one's own.
//!
//! Only this crate reads flags and the environment, and prints: results go to standard output, progress
//! and warnings to standard error. Every sub-command has its file in `commands`.

#![forbid(unsafe_code)]
// They panic when nobody reads: `say!` and `Output` do not.
#![deny(clippy::print_stderr, clippy::print_stdout)]

#[macro_use]
mod say;

mod arguments;
mod commands;
mod data_args;
mod input;
mod layout;
mod models;
mod output;
mod program;
mod progress;
mod questions;
mod quickstart;
mod report;
mod reporter;
mod signals;
mod training;

use std::process::ExitCode;

use anyhow::Context as _;
use clap::FromArgMatches as _;

use arguments::Cli;

fn main() -> ExitCode {
    let parsed = arguments::command().try_get_matches().and_then(|matches| Cli::from_arg_matches(&matches));
    let result = match parsed.and_then(|cli| cli.check().map(|()| cli)) {
        Ok(cli) => signals::install().and_then(|()| commands::run(&cli)),
        // Help and version are answers.
        Err(text) if !text.use_stderr() => {
            text.print().context("cannot write to standard output").map(|()| ExitCode::SUCCESS)
        }
        // Wrong usage: exit code 2.
        Err(wrong) => wrong.exit(),
    };
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
