//! How fast prose is split into sentences, on lines of 64 MB:
//!
//! ```sh
//! cargo run --release --example sentences_bench [FILE]
//! ```
//!
//! Each kind of text is one line. Time must be linear in its length, so the same kind is also timed on a quarter.

use std::time::Instant;

use cloze::data::sentences::split;

const BYTES: usize = 64 << 20;

fn main() {
    let prose =
        "It was late, and Mr. Weston said so. \"Is it?\" Emma asked. She had never seen St. James at 5 p.m. before. ";
    let mut kinds = vec![
        ("English prose".to_string(), prose.to_string()),
        ("English prose in lower case".to_string(), prose.to_lowercase()),
        ("Hindi".to_string(), "वह घर गया और सो गया। क्या तुम कल आओगे? ".to_string()),
        ("Chinese".to_string(), "他问：“为什么？”没人回答。雨停了，我们走了。".to_string()),
        ("nothing but stops".to_string(), ". ".to_string()),
        ("no stop".to_string(), "all of this is one \"sentence\" without an end ".to_string()),
        ("stops that end nothing".to_string(), "as mr. a said, ".to_string()),
    ];
    for path in std::env::args_os().skip(1) {
        let bytes = std::fs::read(&path).expect("a file");
        let text = String::from_utf8_lossy(&bytes).replace('\n', " ");
        kinds.push((path.to_string_lossy().into_owned(), text));
    }
    println!("{:<30} {:>10} {:>12} {:>16}", "one line of 64 MB", "sentences", "MB a second", "on a quarter");
    for (kind, part) in kinds {
        let line = part.repeat(BYTES.div_ceil(part.len()));
        let quarter = part.repeat((BYTES / 4).div_ceil(part.len()));
        let (sentences, speed) = time(&line);
        let (_, speed_on_quarter) = time(&quarter);
        println!("{kind:<30} {sentences:>10} {speed:>12.1} {speed_on_quarter:>16.1}");
    }
}

/// The number of sentences of a text, and how many MB of it are split in a second.
fn time(text: &str) -> (usize, f64) {
    let begin = Instant::now();
    let sentences = split(text);
    let seconds = begin.elapsed().as_secs_f64();
    // No character may be lost.
    let kept: usize = sentences.iter().map(|sentence| sentence.matches(|c: char| !c.is_whitespace()).count()).sum();
    assert_eq!(kept, text.matches(|c: char| !c.is_whitespace()).count());
    (sentences.len(), text.len() as f64 / 1e6 / seconds)
}
