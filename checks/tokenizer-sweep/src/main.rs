//! Compares `cloze-tokenizer` with Hugging Face's `tokenizers`: ids, offsets, token types and words
//! of every code point in context, of random strings, of pairs, windows and given words, and what
//! is decoded from the ids.
//!
//! ```text
//! cargo run --release [-- [--vocab DIR] [--strings N] [--seed N]]
//! ```
//!
//! Without `--vocab`, vocabularies are made up that hold most characters. `DIR` holds files named
//! `…-vocab.txt`; those whose name says `uncased` or `chinese` are used with lower-casing.
//!
//! Ends with exit code 1 and the first differences if there are any.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use rayon::prelude::*;
use tokenizer_sweep::compare::{self, Tally};
use tokenizer_sweep::model::{self, Model};
use tokenizer_sweep::text::{self, Random};

struct Arguments {
    vocab: Option<PathBuf>,
    strings: u64,
    seed: u64,
}

fn main() -> ExitCode {
    let arguments = match parse_arguments() {
        Ok(arguments) => arguments,
        Err(message) => {
            eprintln!("{message}\nusage: tokenizer-sweep [--vocab DIR] [--strings N] [--seed N]");
            return ExitCode::from(2);
        }
    };
    let models = match &arguments.vocab {
        Some(dir) => model::read(dir),
        None => model::made_up(),
    };
    let variants = model::variants();

    let mut failed = false;
    for model in &models {
        failed |= report(model, "code points", || code_points(model, char::MAX));
    }
    for model in &models {
        failed |= report(model, "random strings", || random_strings(model, arguments.strings, arguments.seed));
    }
    // Settings and added tokens that Google's models do not have: fewer texts.
    for model in &variants {
        failed |= report(model, "code points", || code_points(model, LAST_OF_PLANE_3));
        let count = arguments.strings / 10;
        failed |= report(model, "random strings", || random_strings(model, count, arguments.seed));
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn parse_arguments() -> Result<Arguments, String> {
    let mut arguments = Arguments { vocab: None, strings: 1_000_000, seed: 1 };
    let mut given = std::env::args().skip(1);
    while let Some(flag) = given.next() {
        let value = given.next().ok_or(format!("{flag} needs a value"))?;
        let number = || value.parse().map_err(|_| format!("{flag}: {value} is not a number"));
        match flag.as_str() {
            "--vocab" => arguments.vocab = Some(PathBuf::from(&value)),
            "--strings" => arguments.strings = number()?,
            "--seed" => arguments.seed = number()?,
            _ => return Err(format!("{flag} is unknown")),
        }
    }
    Ok(arguments)
}

/// Runs one comparison, prints its outcome, and returns whether it failed.
fn report(model: &Model, what: &str, run: impl FnOnce() -> Tally) -> bool {
    let start = Instant::now();
    let tally = run();
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "{:<28} {what:<16} {:>9} texts {:>6} differences {seconds:>7.1} s",
        model.name, tally.texts, tally.differences
    );
    tally.examples.iter().for_each(|example| println!("{example}"));
    // A comparison of nothing proves nothing.
    tally.differences > 0 || tally.texts == 0
}

/// Behind it there are only tags, variation selectors and private characters.
const LAST_OF_PLANE_3: char = '\u{3FFFF}';

/// Every scalar value up to `last`, each in contexts that could change what becomes of it.
fn code_points(model: &Model, last: char) -> Tally {
    (0..=last as u32)
        .into_par_iter()
        .filter_map(char::from_u32)
        .fold(Tally::default, |mut tally, c| {
            text::contexts(c, |text| compare::single(model, text, &mut tally));
            tally
        })
        .reduce(Tally::default, Tally::merge)
}

fn random_strings(model: &Model, count: u64, seed: u64) -> Tally {
    (0..count)
        .into_par_iter()
        .fold(Tally::default, |mut tally, index| {
            let random = &mut Random::new(seed, index);
            let text = text::random(random);
            compare::single(model, &text, &mut tally);
            // The others share their parts with it, so a tenth will do.
            if index % 10 == 0 {
                let other = text::random(random);
                compare::pair(model, &text, &other, random.below(24), &mut tally);
                compare::windows(model, &text, &other, random, &mut tally);
                compare::words(model, &text, random.below(24), &mut tally);
                compare::decoded(model, &text, &mut tally);
            }
            tally
        })
        .reduce(Tally::default, Tally::merge)
}
