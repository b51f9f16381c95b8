//! What the tokenizer makes of a file: lengths, unknown words, and words of which nothing is left.

use std::collections::HashMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use cloze_tokenizer::Tokenizer;
use rayon::prelude::*;
use serde::Serialize;

use crate::characters::Characters;
use crate::infer::Long;
use crate::numbers::Count;

use crate::settings::FinetuneTask;

use super::CheckSettings;
use super::finding::{Finding, Places, Severity, shown};
use super::read::Item;

/// The longest lengths of the bars of a histogram; one more bar has what is longer.
const BARS: [usize; 8] = [8, 16, 32, 64, 128, 256, 384, 512];
/// The lengths that inputs are cut to, to see what would be lost.
const CUTS: [usize; 5] = [64, 128, 256, 384, 512];
/// Share of unknown words from which on the vocabulary is probably the wrong one.
const UNKNOWN_MAX: f64 = 0.01;

/// How long the examples of a file are in tokens, special ones included.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Lengths {
    /// The file.
    pub path: PathBuf,
    /// Tokens of all examples.
    pub tokens: usize,
    /// The mean.
    pub mean: f64,
    /// Half of the examples are no longer than this.
    pub median: usize,
    /// 95 of 100 are no longer than this.
    pub percentile_95: usize,
    /// The longest.
    pub max: usize,
    /// How many examples there are up to each length.
    pub histogram: Vec<Bar>,
    /// What a cut to each length would lose.
    pub cuts: Vec<Cut>,
    /// Words, or what the tokenizer takes for such.
    pub words: usize,
    /// How many of them become `[UNK]`.
    pub unknown_words: usize,
    #[serde(skip)]
    pub(super) each: Vec<usize>,
}

/// Examples longer than the bar before, up to a length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Bar {
    /// Tokens at most; none for the last bar.
    pub up_to: Option<usize>,
    /// Number of examples.
    pub examples: usize,
}

/// What a cut to a length would lose.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Cut {
    /// Tokens of an example at most.
    pub max_seq_length: usize,
    /// Share of the examples that are longer, and so cut or read in windows.
    pub examples: f64,
    /// Share of all tokens that a cut would lose.
    pub tokens: f64,
}

/// What the tokenizer makes of an example.
struct Tokenized<'a> {
    /// Tokens with special ones.
    length: usize,
    words: usize,
    unknown: Vec<&'a str>,
    /// Which of the words of a sentence, or of the texts, have no token.
    without_token: Vec<usize>,
    /// Tokens of the first text.
    first: usize,
}

/// Tokenizes a file on rayon's threads, and tells what is wrong with it.
pub(super) fn check(
    settings: &CheckSettings,
    tokenizer: &Tokenizer,
    items: &[Item],
    path: &Path,
    findings: &mut Vec<Finding>,
) -> Lengths {
    let of_words = settings.task == FinetuneTask::Tokens;
    let tokenized: Vec<Tokenized> = items.par_iter().with_min_len(64).map(|item| tokenize(tokenizer, item)).collect();
    without_tokens(of_words, items, &tokenized, path, findings);
    unknown_words(items, &tokenized, path, findings);
    if settings.task == FinetuneTask::Questions {
        long_questions(
            settings.questions.windows(settings.max_seq_length).max_query_length,
            items,
            &tokenized,
            path,
            findings,
        );
    }
    let lengths = Lengths::new(path, &tokenized);
    lengths.tell_cut(settings, path, findings);
    lengths
}

fn tokenize<'a>(tokenizer: &Tokenizer, item: &Item<'a>) -> Tokenized<'a> {
    let unknown_id = tokenizer.special().unk;
    let mut result = Tokenized { length: 0, words: 0, unknown: Vec::new(), without_token: Vec::new(), first: 0 };
    if item.words.is_some() {
        let tokens = tokenizer.encode_words(&item.parts, None);
        let mut counts = vec![0; item.parts.len()];
        let mut last = None;
        for (&id, &word) in tokens.ids.iter().zip(&tokens.words) {
            let Some(word) = word else { continue };
            counts[word] += 1;
            if id == unknown_id && last != Some(word) {
                result.unknown.push(item.parts[word]);
                last = Some(word);
            }
        }
        result.without_token = (0..counts.len()).filter(|&word| counts[word] == 0).collect();
        (result.length, result.words) = (tokens.len(), item.parts.len());
        return result;
    }
    result.length = 1;
    for (index, text) in item.parts.iter().enumerate() {
        let tokens = tokenizer.tokenize(text);
        if tokens.is_empty() {
            result.without_token.push(index);
        }
        if index == 0 {
            result.first = tokens.len();
        }
        result.length += tokens.len() + 1;
        result.words += tokens.words.last().copied().flatten().map_or(0, |word| word + 1);
        let unknown = (0..tokens.len()).filter(|&at| tokens.ids[at] == unknown_id);
        let places: Vec<Range<usize>> = unknown.map(|at| tokens.offsets[at].0..tokens.offsets[at].1).collect();
        if !places.is_empty() {
            let characters = Characters::of(text);
            result.unknown.extend(places.into_iter().map(|place| characters.slice(place)));
        }
    }
    result
}

/// Words and texts that are not empty and yet have no token, as such that can only not be seen.
fn without_tokens(of_words: bool, items: &[Item], tokenized: &[Tokenized], path: &Path, findings: &mut Vec<Finding>) {
    let mut places = Places::default();
    for (item, tokens) in items.iter().zip(tokenized) {
        for &part in &tokens.without_token {
            let text = item.parts[part];
            if item.words.is_some() {
                places.add(item.word_line(part), || {
                    let label = item.answer.get(part).map_or("", String::as_str);
                    format!("word {} {}, labelled {}", part + 1, shown(text), shown(label))
                });
            } else if !text.trim().is_empty() {
                places.add(item.line, || match item.id {
                    Some(id) => format!("question {id} {}", shown(text)),
                    None => shown(text),
                });
            }
        }
    }
    places.tell(findings, Severity::Warning, "no-token", path, |count| match of_words {
        true => format!(
            "words of which the tokenizer leaves nothing: {count}; nothing can be learnt from them: take them out with \
             their labels"
        ),
        false => format!("texts of which the tokenizer leaves nothing: {count}; take them out"),
    });
}

/// Words that become `[UNK]`: the most frequent ones, in the order of their number.
fn unknown_words(items: &[Item], tokenized: &[Tokenized], path: &Path, findings: &mut Vec<Finding>) {
    let mut counts: HashMap<&str, (usize, Option<usize>)> = HashMap::new();
    for (item, tokens) in items.iter().zip(tokenized) {
        for word in &tokens.unknown {
            counts.entry(word).or_insert((0, item.line)).0 += 1;
        }
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by(|a, b| b.1.0.cmp(&a.1.0).then(a.0.cmp(b.0)));
    let mut places = Places::default();
    for &(word, (count, line)) in &counts {
        let times = if count == 1 { "once".to_string() } else { format!("{} times", Count(count)) };
        places.add(line, || format!("{} {times}", shown(word)));
    }
    let (unknown, words) = totals(tokenized);
    let many = unknown as f64 > UNKNOWN_MAX * words as f64;
    let severity = if many { Severity::Warning } else { Severity::Note };
    places.tell(findings, severity, "unknown-words", path, |different| {
        let remedy = if many { "; check that the vocabulary is for this language and case" } else { "" };
        format!(
            "words that become [UNK]: {} of {} ({:.2} %), {different} different ones{remedy}",
            Count(unknown),
            Count(words),
            100.0 * unknown as f64 / words.max(1) as f64
        )
    });
}

fn totals(tokenized: &[Tokenized]) -> (usize, usize) {
    let unknown = tokenized.iter().map(|tokens| tokens.unknown.len()).sum();
    (unknown, tokenized.iter().map(|tokens| tokens.words).sum())
}

/// Questions of which the end is cut off before they stand with their context.
fn long_questions(most: usize, items: &[Item], tokenized: &[Tokenized], path: &Path, findings: &mut Vec<Finding>) {
    let mut places = Places::default();
    for (item, tokens) in items.iter().zip(tokenized).filter(|(_, tokens)| tokens.first > most) {
        places.add(item.line, || {
            format!(
                "{} of {} tokens: {}",
                item.name(),
                Count(tokens.first),
                item.parts.first().map_or_else(String::new, |text| shown(text))
            )
        });
    }
    places.tell(findings, Severity::Warning, "long-question", path, |count| {
        format!(
            "questions of more than {most} tokens, whose end is cut off (--max-query-length): {count}; shorten them"
        )
    });
}

impl Lengths {
    fn new(path: &Path, tokenized: &[Tokenized]) -> Lengths {
        let each: Vec<usize> = tokenized.iter().map(|tokens| tokens.length).collect();
        let mut sorted = each.clone();
        sorted.sort_unstable();
        let rank = |share: f64| {
            let place = (share * sorted.len() as f64).ceil() as usize;
            sorted.get(place.saturating_sub(1)).copied().unwrap_or(0)
        };
        let tokens: usize = sorted.iter().sum();
        let below = |length: usize| sorted.partition_point(|&own| own <= length);
        let ends = BARS.map(Some).into_iter().chain([None]);
        let mut done = 0;
        let histogram = ends.map(|up_to| {
            let before = std::mem::replace(&mut done, up_to.map_or(sorted.len(), below));
            Bar { up_to, examples: done - before }
        });
        let histogram = histogram.collect();
        let (unknown_words, words) = totals(tokenized);
        Lengths {
            path: path.to_path_buf(),
            tokens,
            mean: tokens as f64 / sorted.len().max(1) as f64,
            median: rank(0.5),
            percentile_95: rank(0.95),
            max: sorted.last().copied().unwrap_or(0),
            histogram,
            cuts: CUTS.map(|length| cut(&sorted, length)).to_vec(),
            words,
            unknown_words,
            each,
        }
    }

    /// What the length of the settings does to the file.
    fn tell_cut(&self, settings: &CheckSettings, path: &Path, findings: &mut Vec<Finding>) {
        let length = settings.max_seq_length;
        let longer = self.each.iter().filter(|&&own| own > length).count();
        if longer == 0 {
            return;
        }
        let of = format!("longer than --max-seq-length {length}: {} of {}", Count(longer), Count(self.each.len()));
        let share = cut(&self.each, length);
        let (severity, message) = match settings.long {
            Long::Window => {
                (Severity::Note, format!("examples {of} ({:.1} %); they are read in windows", 100.0 * share.examples))
            }
            Long::Truncate => (
                if share.tokens > 0.01 { Severity::Warning } else { Severity::Note },
                format!(
                    "examples {of} ({:.1} %); their ends, {:.1} % of all tokens, are cut off: the longest has {} tokens; \
                     give a larger --max-seq-length, or --long window",
                    100.0 * share.examples,
                    100.0 * share.tokens,
                    Count(self.max)
                ),
            ),
        };
        findings.push(Finding::new(severity, "long-examples", path, None, message));
    }
}

/// What a cut of examples of these lengths would lose.
fn cut(lengths: &[usize], max_seq_length: usize) -> Cut {
    let tokens: usize = lengths.iter().sum();
    let lost: usize = lengths.iter().map(|length| length.saturating_sub(max_seq_length)).sum();
    let longer = lengths.iter().filter(|&&length| length > max_seq_length).count();
    let share = |part: usize, whole: usize| part as f64 / whole.max(1) as f64;
    Cut { max_seq_length, examples: share(longer, lengths.len()), tokens: share(lost, tokens) }
}
