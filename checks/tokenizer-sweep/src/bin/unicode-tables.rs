//! Prints `crates/cloze-tokenizer/src/unicode/tables.rs`.
//!
//! Hugging Face's BERT normalizer reads the character categories of the crate `unicode_categories`
//! and the decompositions of `unicode-normalization-alignments`, both much older than the current
//! Unicode. Every code point is asked of both crates here, and the answers are printed as tables.
//!
//! ```text
//! cargo run --release --bin unicode-tables > ../../crates/cloze-tokenizer/src/unicode/tables.rs
//! ```

use unicode_categories::UnicodeCategories;
use unicode_normalization_alignments::UnicodeNormalization;
use unicode_normalization_alignments::char::canonical_combining_class;

/// Width of the lines that entries are packed into.
const LINE_WIDTH: usize = 100;

const HANGUL_SYLLABLES: std::ops::RangeInclusive<char> = '\u{AC00}'..='\u{D7A3}';

fn main() {
    println!("//! Facts about characters, in the old versions of Unicode that Hugging Face's BERT");
    println!("//! normalizer uses. Printed by `unicode-tables` in `checks/tokenizer-sweep`: change");
    println!("//! that program, not this file.");

    print_ranges("CONTROL", "Categories Cc, Cf and Co, as first and last character of each range.", |c| {
        c.is_other_control() || c.is_other_format() || c.is_other_private_use()
    });
    print_ranges(
        "PUNCTUATION",
        "Categories Pc, Pd, Pe, Pf, Pi, Po and Ps beyond ASCII, as first and last character.",
        |c| !c.is_ascii() && c.is_punctuation(),
    );
    print_ranges("NONSPACING_MARK", "Category Mn, as first and last character of each range.", |c| {
        c.is_mark_nonspacing()
    });
    print_combining_classes();
    print_decompositions();
}

fn characters() -> impl Iterator<Item = char> {
    '\0'..=char::MAX
}

/// Runs of neighbouring characters with the same value other than the default of `T`.
fn runs<T: PartialEq + Default + Copy>(value: impl Fn(char) -> T) -> Vec<(char, char, T)> {
    let mut runs: Vec<(char, char, T)> = Vec::new();
    for c in characters() {
        let v = value(c);
        if v == T::default() {
            continue;
        }
        match runs.last_mut() {
            Some((_, last, same)) if *last as u32 + 1 == c as u32 && *same == v => *last = c,
            _ => runs.push((c, c, v)),
        }
    }
    runs
}

fn print_ranges(name: &str, doc: &str, is_in: impl Fn(char) -> bool) {
    let entries = runs(is_in).into_iter().map(|(first, last, _)| format!("({}, {})", literal(first), literal(last)));
    print_table(name, doc, "(char, char)", entries.collect());
}

fn print_combining_classes() {
    let entries = runs(canonical_combining_class)
        .into_iter()
        .map(|(first, last, class)| format!("({}, {}, {class})", literal(first), literal(last)));
    print_table(
        "COMBINING_CLASS",
        "Canonical combining classes other than 0: first and last character, class.",
        "(char, char, u8)",
        entries.collect(),
    );
}

fn print_decompositions() {
    let mut entries = Vec::new();
    for c in characters() {
        let whole: String = std::iter::once(c).nfd().map(|(d, _)| d).collect();
        if HANGUL_SYLLABLES.contains(&c) || whole.chars().eq([c]) {
            continue;
        }
        let escaped: String = whole.chars().map(|d| format!("\\u{{{:X}}}", d as u32)).collect();
        entries.push(format!("({}, \"{escaped}\")", literal(c)));
    }
    print_table(
        "DECOMPOSITION",
        "Full canonical decompositions, without the Hangul syllables, which follow a formula.",
        "(char, &str)",
        entries,
    );
}

fn literal(c: char) -> String {
    format!("'\\u{{{:X}}}'", c as u32)
}

fn print_table(name: &str, doc: &str, element: &str, entries: Vec<String>) {
    println!("\n/// {doc}");
    println!("#[rustfmt::skip]");
    println!("pub(super) static {name}: &[{element}] = &[");
    let mut line = String::from("   ");
    for entry in entries {
        if line.len() + entry.len() + 2 > LINE_WIDTH {
            println!("{line}");
            line = String::from("   ");
        }
        line.push(' ');
        line.push_str(&entry);
        line.push(',');
    }
    println!("{line}");
    println!("];");
}
