//! How fast `cloze-tokenizer` and Hugging Face's `tokenizers` turn text into ids and character offsets, on one thread.
//!
//! ```text
//! cargo run --release --bin throughput -- VOCAB.TXT TEXTFILE...
//! ```
//!
//! Every line of the files that is not empty is a text, and becomes `[CLS] text [SEP]` without truncation or padding.
//! A vocabulary whose name says `uncased` or `chinese` is used with lower-casing. First both must give the same ids and
//! offsets for every line. Then they are measured in turns, so that whatever else the machine does hits both; medians
//! are told. The third row is Hugging Face's `encode_fast`, which leaves the offsets out.
//!
//! Ends with exit code 1 if ids or offsets differ.

use std::hint::black_box;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use tokenizer_sweep::compare::{self, Tally};
use tokenizer_sweep::model::{self, Model};

/// Of each implementation, after the comparison, which warms up.
const MEASUREMENTS: usize = 7;

/// Encodes a text and returns the number of tokens.
type Encode = fn(&Model, &str) -> usize;

const CONTESTANTS: [(&str, Encode); 3] = [
    ("cloze-tokenizer, ids and offsets", ours),
    ("tokenizers, ids and offsets", theirs),
    ("tokenizers, ids alone", their_ids),
];

fn ours(model: &Model, text: &str) -> usize {
    black_box(model.ours.encode(text, None)).len()
}

fn theirs(model: &Model, text: &str) -> usize {
    black_box(model.theirs.encode_char_offsets(text, true).expect("has encoded this before")).len()
}

fn their_ids(model: &Model, text: &str) -> usize {
    black_box(model.theirs.encode_fast(text, true).expect("has encoded this before")).len()
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [vocabulary, files @ ..] = &arguments[..] else {
        eprintln!("usage: throughput VOCAB.TXT TEXTFILE...");
        return ExitCode::from(2);
    };
    let model = model::read_file(Path::new(vocabulary));
    let contents: Vec<String> =
        files.iter().map(|file| std::fs::read_to_string(file).unwrap_or_else(|e| panic!("{file}: {e}"))).collect();
    let texts: Vec<&str> =
        contents.iter().flat_map(|content| content.lines()).filter(|line| !line.is_empty()).collect();
    let bytes: usize = texts.iter().map(|text| text.len()).sum();

    let mut tally = Tally::default();
    texts.iter().for_each(|text| compare::single(&model, text, &mut tally));
    tally.examples.iter().for_each(|example| println!("{example}"));
    println!("{}: {} texts, {bytes} bytes, {} differences", model.name, tally.texts, tally.differences);
    if tally.differences > 0 || tally.texts == 0 {
        return ExitCode::FAILURE;
    }

    let mut seconds = CONTESTANTS.map(|_| Vec::new());
    let mut tokens = 0;
    for _ in 0..MEASUREMENTS {
        for (seconds, (_, encode)) in seconds.iter_mut().zip(CONTESTANTS) {
            let start = Instant::now();
            tokens = texts.iter().map(|text| encode(&model, text)).sum();
            seconds.push(start.elapsed().as_secs_f64());
        }
    }
    let medians = seconds.each_mut().map(|seconds| median(seconds));
    println!("{:<34} {:>8} {:>12} {:>24}", "", "MB/s", "tokens/s", "times as long as ours");
    for ((name, _), median) in CONTESTANTS.into_iter().zip(medians) {
        let (megabytes, tokens) = (bytes as f64 / median / 1e6, tokens as f64 / median);
        println!("{name:<34} {megabytes:>8.2} {tokens:>12.0} {:>24.2}", median / medians[0]);
    }
    ExitCode::SUCCESS
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
