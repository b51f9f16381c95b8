//! A tenth of the training examples, held out to choose and measure the weights where there is no file for that.
//!
//! ```text
//! groups:  examples that share a text, a context or a document
//! strata:  groups by their rarest label, or by quantiles of their values
//! of each stratum, the groups with the smallest hashes, until a tenth of its examples is reached
//! ```
//!
//! The hash is that of the contents alone. So the same groups are held out in whatever order the rows come, and with
//! every seed: the results of several seeds can be compared.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use crate::data::documents::TextHash;
use crate::data::{Example, Question, Sentence};
use crate::settings::FinetuneTask;
use crate::train::{Event, Observer};

/// Below this number of groups nothing is held out.
pub(super) const GROUPS_MIN: usize = 50;
/// One of this number of examples is held out.
const ONE_OF: usize = 10;
/// One of this number of groups of a stratum is held out at most, where groups differ much in size.
const GROUPS_ONE_OF_MIN: usize = 5;
/// Quantiles of values at most.
const QUANTILES: usize = 10;

/// Examples in two parts.
pub(super) struct Division {
    /// For each example, true if it is held out; `None` if nothing is.
    pub is_held_out: Option<Vec<bool>>,
    /// Number of groups.
    pub groups: usize,
    /// Property that the examples of a group have in common.
    pub shared: Shared,
}

/// Property that the examples of a group have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shared {
    Text,
    TextOfPair,
    FirstText,
    SecondText,
    Document,
    Sentence,
    Context,
}

impl Shared {
    /// Names for one group and for several.
    fn names(self) -> (&'static str, &'static str) {
        match self {
            Shared::Text => ("text", "different texts"),
            Shared::TextOfPair => ("text", "groups of pairs without a common text"),
            Shared::FirstText => ("first text", "different first texts"),
            Shared::SecondText => ("second text", "different second texts"),
            Shared::Document => ("document", "different documents"),
            Shared::Sentence => ("sentence", "different sentences"),
            Shared::Context => ("context", "different contexts"),
        }
    }
}

impl Division {
    /// Takes the held-out examples, if there are any, from the others, both in their order, and notes how many they are.
    pub fn part<T>(&self, examples: Vec<T>, path: &Path, observer: &mut Observer) -> (Vec<T>, Option<Vec<T>>) {
        let Division { is_held_out, groups, shared } = self;
        let (path, count) = (path.display(), examples.len());
        let (shared, several) = shared.names();
        let (note, parts) = match is_held_out {
            None if *groups < GROUPS_MIN => (
                format!(
                    "nothing is held out: {path} has {groups} {several}, and fewer than {GROUPS_MIN} measure \
                     little"
                ),
                (examples, None),
            ),
            None => {
                (format!("nothing is held out: every label of {path} occurs in one {shared} only"), (examples, None))
            }
            Some(is_held_out) => {
                let mut is_held_out = is_held_out.iter();
                let (dev, train): (Vec<T>, Vec<T>) =
                    examples.into_iter().partition(|_| is_held_out.next() == Some(&true));
                (
                    format!(
                        "{} of {count} examples of {path} are held out to choose and measure the weights, no {shared} is in \
                         both parts; give --dev FILE to measure on others",
                        dev.len()
                    ),
                    (train, Some(dev)),
                )
            }
        };
        let _ = observer(&Event::Note(match parts.1 {
            Some(_) => note,
            None => format!(
                "{note}; the weights of the last step are kept, and how good they are is not known; give --dev FILE to \
                 measure them"
            ),
        }));
        parts
    }
}

/// Name of the held-out part of a file in notes.
pub(super) fn name(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(" (held out)");
    name.into()
}

/// Labels or values by which examples are held out in their shares.
enum Strata<'a> {
    Labels(Vec<BTreeSet<&'a str>>),
    Values(Vec<f64>),
}

/// Divides texts or pairs. Pairs with a text in common are one group. Where that makes a group larger than what is held
/// out, pairs with the same first text are one, or else with the same second text.
pub(super) fn divide_texts(examples: &[Example], task: FinetuneTask) -> Division {
    let first: Vec<u128> = examples.iter().map(|example| hash(&example.text)).collect();
    let strata = match task {
        FinetuneTask::Regression => {
            Strata::Values(examples.iter().map(|example| example.label().parse().unwrap_or(0.0)).collect())
        }
        _ => {
            Strata::Labels(examples.iter().map(|example| example.labels.iter().map(String::as_str).collect()).collect())
        }
    };
    if examples.iter().all(|example| example.text_b.is_none()) {
        let ties: Vec<[u128; 1]> = first.iter().map(|&text| [text]).collect();
        return divide(&Groups::of(&ties), &strata, Shared::Text);
    }
    let pairs = examples.iter().zip(&first);
    let pairs = pairs.map(|(example, &text)| [text, example.text_b.as_deref().map_or(text, hash)]);
    let pairs: Vec<[u128; 2]> = pairs.collect();
    let by = |place: usize| -> Groups { Groups::of(&pairs.iter().map(|pair| [pair[place]]).collect::<Vec<_>>()) };
    let choices: [(Shared, &dyn Fn() -> Groups); 3] =
        [(Shared::TextOfPair, &|| Groups::of(&pairs)), (Shared::FirstText, &|| by(0)), (Shared::SecondText, &|| by(1))];
    for (shared, groups) in choices {
        let groups = groups();
        if groups.largest() * ONE_OF <= examples.len() {
            return divide(&groups, &strata, shared);
        }
    }
    divide(&by(0), &strata, Shared::FirstText)
}

/// Divides sentences: by documents if the file marks two or more, else equal sentences together.
pub(super) fn divide_sentences(sentences: &[Sentence]) -> Division {
    let labels = sentences.iter().map(|sentence| sentence.labels.iter().map(String::as_str).collect());
    let strata = Strata::Labels(labels.collect());
    let hash_words = |hash: &mut TextHash, sentence: &Sentence| {
        for word in &sentence.words {
            hash.add(word);
            hash.add("\n");
        }
        hash.add("\n");
    };
    let mut documents: BTreeMap<u32, TextHash> = BTreeMap::new();
    for sentence in sentences {
        hash_words(documents.entry(sentence.document).or_default(), sentence);
    }
    if documents.len() > 1 {
        let documents: BTreeMap<u32, u128> =
            documents.into_iter().map(|(number, mut hash)| (number, hash.finish())).collect();
        let ties: Vec<[u128; 1]> = sentences.iter().map(|sentence| [documents[&sentence.document]]).collect();
        return divide(&Groups::of(&ties), &strata, Shared::Document);
    }
    let tie = |sentence: &Sentence| {
        let mut hash = TextHash::default();
        hash_words(&mut hash, sentence);
        [hash.finish()]
    };
    divide(&Groups::of(&sentences.iter().map(tie).collect::<Vec<_>>()), &strata, Shared::Sentence)
}

/// Divides questions: those on the same context are one group.
pub(super) fn divide_questions(questions: &[Question]) -> Division {
    let ties: Vec<[u128; 1]> = questions.iter().map(|question| [hash(&question.context)]).collect();
    let label = |question: &Question| question.is_impossible.then_some("no answer").into_iter().collect();
    divide(&Groups::of(&ties), &Strata::Labels(questions.iter().map(label).collect()), Shared::Context)
}

fn hash(text: &str) -> u128 {
    let mut hash = TextHash::default();
    hash.add(text);
    hash.finish()
}

/// Examples that stay together, groups in the order of their hashes.
struct Groups {
    members: Vec<Vec<usize>>,
}

impl Groups {
    /// Connects examples that have a hash in common. The least hash of a group is its own.
    fn of<const N: usize>(ties: &[[u128; N]]) -> Groups {
        let mut parents: Vec<usize> = (0..ties.len()).collect();
        let mut first: HashMap<u128, usize> = HashMap::with_capacity(ties.len());
        for (at, own) in ties.iter().enumerate() {
            for &tie in own {
                let other = root(&mut parents, *first.entry(tie).or_insert(at));
                let own = root(&mut parents, at);
                parents[own] = other;
            }
        }
        let mut by_root: HashMap<usize, (u128, Vec<usize>)> = HashMap::new();
        for (at, own) in ties.iter().enumerate() {
            let (least, members) = by_root.entry(root(&mut parents, at)).or_insert((u128::MAX, Vec::new()));
            *least = own.iter().fold(*least, |least, &tie| least.min(tie));
            members.push(at);
        }
        let mut groups: Vec<(u128, Vec<usize>)> = by_root.into_values().collect();
        groups.sort_unstable_by_key(|(least, _)| *least);
        Groups { members: groups.into_iter().map(|(_, members)| members).collect() }
    }

    fn largest(&self) -> usize {
        self.members.iter().map(Vec::len).max().unwrap_or(0)
    }
}

/// The example that stands for a group. Ways are halved, so that long chains become short.
fn root(parents: &mut [usize], mut at: usize) -> usize {
    while parents[at] != at {
        parents[at] = parents[parents[at]];
        at = parents[at];
    }
    at
}

fn divide(groups: &Groups, strata: &Strata, shared: Shared) -> Division {
    let count = groups.members.len();
    let nothing = Division { is_held_out: None, groups: count, shared };
    if count < GROUPS_MIN {
        return nothing;
    }
    let mut chosen = vec![false; count];
    // What a stratum has too little or too much goes to the next one: many small strata have a tenth together.
    let mut due = 0.0;
    for stratum in by_stratum(groups, strata) {
        let examples: usize = stratum.iter().map(|&group| groups.members[group].len()).sum();
        due += examples as f64 / ONE_OF as f64;
        // At least one group of each stratum stays to be learnt from.
        let mut left = stratum.len().div_ceil(GROUPS_ONE_OF_MIN).min(stratum.len() - 1);
        for &group in &stratum {
            let size = groups.members[group].len() as f64;
            if left > 0 && size < 2.0 * due {
                chosen[group] = true;
                due -= size;
                left -= 1;
            }
        }
    }
    if let Strata::Labels(labels) = strata {
        keep_labels(groups, labels, &mut chosen);
    }
    if !chosen.contains(&true) {
        return nothing;
    }
    let mut is_held_out = vec![false; groups.members.iter().map(Vec::len).sum()];
    for (members, _) in groups.members.iter().zip(&chosen).filter(|(_, chosen)| **chosen) {
        members.iter().for_each(|&at| is_held_out[at] = true);
    }
    Division { is_held_out: Some(is_held_out), ..nothing }
}

/// The groups of each stratum, in the order of their hashes; strata of rare labels first.
fn by_stratum(groups: &Groups, strata: &Strata) -> Vec<Vec<usize>> {
    match strata {
        Strata::Labels(labels) => {
            let own: Vec<BTreeSet<&str>> = groups
                .members
                .iter()
                .map(|group| group.iter().flat_map(|&at| &labels[at]).copied().collect())
                .collect();
            let counts = counts(&own);
            // A group without a label is in the last stratum.
            let rarest = |labels: &BTreeSet<&str>| {
                labels.iter().map(|&label| (counts[label], Some(label.to_string()))).min().unwrap_or((usize::MAX, None))
            };
            let mut strata: BTreeMap<_, Vec<usize>> = BTreeMap::new();
            own.iter().enumerate().for_each(|(group, labels)| strata.entry(rarest(labels)).or_default().push(group));
            strata.into_values().collect()
        }
        Strata::Values(values) => {
            let median = |group: &Vec<usize>| {
                let mut own: Vec<f64> = group.iter().map(|&at| values[at]).collect();
                own.sort_by(f64::total_cmp);
                own[own.len() / 2]
            };
            let medians: Vec<f64> = groups.members.iter().map(median).collect();
            let mut order: Vec<usize> = (0..medians.len()).collect();
            // Stable: equal values are in the order of hashes.
            order.sort_by(|&a, &b| medians[a].total_cmp(&medians[b]));
            let quantiles = (order.len() / ONE_OF).clamp(1, QUANTILES);
            let mut strata: Vec<Vec<usize>> = (0..quantiles)
                .map(|at| order[at * order.len() / quantiles..(at + 1) * order.len() / quantiles].to_vec())
                .collect();
            strata.iter_mut().for_each(|stratum| stratum.sort_unstable());
            strata
        }
    }
}

/// In how many groups each label occurs.
fn counts<'a>(own: &[BTreeSet<&'a str>]) -> HashMap<&'a str, usize> {
    let mut counts = HashMap::new();
    own.iter().flatten().for_each(|&label| *counts.entry(label).or_default() += 1);
    counts
}

/// Gives back a group of each label that would have none left to learn from.
fn keep_labels(groups: &Groups, labels: &[BTreeSet<&str>], chosen: &mut [bool]) {
    let mut is_kept: BTreeMap<&str, bool> = BTreeMap::new();
    let of_group = |group: usize| groups.members[group].iter().flat_map(|&at| labels[at].iter().copied());
    for (group, &is_chosen) in chosen.iter().enumerate() {
        of_group(group).for_each(|label| *is_kept.entry(label).or_default() |= !is_chosen);
    }
    let mut lost: BTreeSet<&str> =
        is_kept.into_iter().filter(|(_, is_kept)| !is_kept).map(|(label, _)| label).collect();
    for group in (0..chosen.len()).rev() {
        if chosen[group] && of_group(group).any(|label| lost.contains(label)) {
            chosen[group] = false;
            of_group(group).for_each(|label| _ = lost.remove(label));
        }
    }
}

#[cfg(test)]
mod tests;
