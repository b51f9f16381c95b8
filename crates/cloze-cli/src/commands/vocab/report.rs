//! What `cloze vocab` tells of a vocabulary and of the text.

use std::path::Path;

use cloze_tokenizer::Tokenizer;
use cloze_tokenizer::train::{CountedWords, Coverage, Script};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::output::{grouped, percent};

/// The one line with `--json`.
#[derive(Serialize)]
pub struct Answer<'a> {
    pub tokens: usize,
    #[serde(serialize_with = "crate::output::lossy")]
    pub output: &'a Path,
    pub text: TextAnswer,
    pub coverage: CoverageAnswer,
    pub dead_tokens: DeadTokens,
}

/// The words that the vocabulary was made from.
#[derive(Serialize)]
pub struct TextAnswer {
    words: u64,
    different_words: u64,
    /// Different characters.
    characters: u64,
    /// Those that are no tokens; a word with one of them is unknown.
    left_out_characters: u64,
    /// Share of the characters left out in all characters of the text.
    left_out_characters_share: f64,
    /// Of more than 100 characters, which are no words to any vocabulary.
    too_long_words: u64,
    /// Different words that memory had no room for.
    left_out_words: u64,
    /// What they are of all words of the text.
    left_out_share: f64,
}

/// What becomes of the words of a text.
#[derive(Serialize)]
pub struct CoverageAnswer {
    /// `input` or `dev`.
    measured_on: &'static str,
    words: u64,
    tokens: u64,
    tokens_per_word: f64,
    /// The share of the words that become [UNK].
    unknown_rate: f64,
    /// The share of the words that are one token.
    whole_word_rate: f64,
    /// For each script its share of the vocabulary and of the text.
    scripts: Map<String, Value>,
}

/// Tokens that no word of the input has.
#[derive(Serialize)]
pub struct DeadTokens {
    count: usize,
    first: Vec<String>,
}

/// Dead tokens that are named.
const EXAMPLES: usize = 20;

impl TextAnswer {
    pub fn new(words: &CountedWords, tokenizer: &Tokenizer) -> TextAnswer {
        let (characters, lacking) = (words.characters(), words.characters_without_token(tokenizer));
        let (all, left_out) = (words.all(), words.left_out());
        TextAnswer {
            words: all.total,
            different_words: all.different,
            characters: characters.different,
            left_out_characters: lacking.different,
            left_out_characters_share: lacking.total as f64 / characters.total.max(1) as f64,
            too_long_words: words.too_long(),
            left_out_words: left_out.different,
            left_out_share: left_out.total as f64 / all.total.max(1) as f64,
        }
    }
}

impl CoverageAnswer {
    pub fn new(measured_on: &'static str, coverage: &Coverage, tokenizer: &Tokenizer) -> CoverageAnswer {
        let scripts = coverage.scripts(tokenizer).into_iter().map(|(script, vocabulary, text)| {
            let share = |part: u64, all: u64| part as f64 / all.max(1) as f64;
            let all = tokenizer.vocab_size() as u64;
            let shares = json!({ "vocabulary": share(vocabulary, all), "text": share(text, coverage.tokens) });
            (script.name().to_string(), shares)
        });
        CoverageAnswer {
            measured_on,
            words: coverage.words,
            tokens: coverage.tokens,
            tokens_per_word: coverage.tokens_per_word(),
            unknown_rate: coverage.unknown_rate(),
            whole_word_rate: coverage.whole_rate(),
            scripts: scripts.collect(),
        }
    }
}

impl DeadTokens {
    pub fn new(coverage: &Coverage, tokenizer: &Tokenizer) -> DeadTokens {
        let dead = coverage.dead_tokens(tokenizer);
        DeadTokens { count: dead.len(), first: dead.iter().take(EXAMPLES).map(|token| token.to_string()).collect() }
    }
}

impl Answer<'_> {
    /// For people.
    pub fn readable(&self) -> String {
        let Answer { tokens, output, text, coverage, dead_tokens } = self;
        let mut lines = vec![
            format!("{} tokens in {}", grouped(*tokens as u64), output.display()),
            format!("text: {} words, {} different", grouped(text.words), grouped(text.different_words)),
        ];
        if text.left_out_words > 0 {
            lines.push(format!(
                "not trained on for want of memory (see --max-memory): {} different words, {} of the text",
                grouped(text.left_out_words),
                percent(text.left_out_share)
            ));
        }
        if text.left_out_characters > 0 {
            lines.push(format!(
                "note: {} of {} characters are no tokens, {} of the text: they are rarer than --min-frequency, beyond \
                 --limit-alphabet, or did not fit in --size",
                grouped(text.left_out_characters),
                grouped(text.characters),
                percent(text.left_out_characters_share)
            ));
        }
        if text.too_long_words > 0 {
            lines.push(format!(
                "words of more than 100 characters, which are unknown: {}",
                grouped(text.too_long_words)
            ));
        }
        let measured_on = match coverage.measured_on {
            "dev" => "the text of --dev",
            _ => "this text, which it was made from",
        };
        lines.push(format!(
            "on {measured_on}: {:.3} tokens a word; words that are one token: {}; unknown words: {}",
            coverage.tokens_per_word,
            percent(coverage.whole_word_rate),
            percent(coverage.unknown_rate)
        ));
        let examples = match &dead_tokens.first[..] {
            [] => String::new(),
            first => format!(", the first: {}", first.join(" ")),
        };
        lines.push(format!("tokens that no word of the input has: {}{examples}", grouped(dead_tokens.count as u64)));
        lines.push(format!("{:<12}{:>12}{:>12}", "script", "vocabulary", "text"));
        for script in Script::ALL {
            let shares = &coverage.scripts[script.name()];
            let [vocabulary, text] = ["vocabulary", "text"].map(|key| shares[key].as_f64().unwrap_or(0.0));
            if vocabulary > 0.0 || text > 0.0 {
                lines.push(format!("{:<12}{:>12}{:>12}", script.name(), percent(vocabulary), percent(text)));
            }
        }
        lines.join("\n")
    }
}
