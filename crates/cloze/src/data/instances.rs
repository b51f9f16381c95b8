//! Pre-training instances: what stands in a sequence, and whether its second half follows its first.
//!
//! The rules are those of BERT's own `create_pretraining_data.py`, with one change: instead of walking the corpus ten
//! times beforehand, every epoch is drawn anew. An epoch's *plan* is small: where the tokens of each instance
//! stand in the corpus. What it holds of a document depends on (seed, epoch, document) alone, its order on (seed,
//! epoch), so any place of any epoch can be reached at once.

use std::ops::Range;

use cloze_tokenizer::SpecialIds;
use rayon::prelude::*;

use crate::data::corpus::Corpus;
use crate::random::{Purpose, Random};

/// What a model is pre-trained on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Objective {
    /// Masked language model and next sentence prediction: pairs, `[CLS] A [SEP] B [SEP]`.
    MlmNsp,
    /// Masked language model alone, on full windows: the tokens of a document are cut into sequences `[CLS] … [SEP]` of
    /// the maximum length, regardless of sentences; the rest of a document is a shorter one.
    Mlm,
}

/// How instances are made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PlanOptions {
    /// Tokens of an instance at most, special tokens included; 5 (for [`Objective::Mlm`] 3) to 65,535.
    pub max_seq_length: usize,
    /// How often a document is walked in shorter instances; BERT has 0.1. Only for [`Objective::MlmNsp`].
    pub short_seq_prob: f64,
    /// What the instances are for.
    pub objective: Objective,
}

/// An instance as a plan holds it: which tokens of the corpus it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlannedInstance {
    /// First token of A among all tokens of the corpus.
    a_start: u64,
    /// First token of B.
    b_start: u64,
    /// Number of tokens of A, at least 1.
    a_length: u16,
    /// Number of tokens of B; 0 if the instance is no pair.
    b_length: u16,
    is_random_next: bool,
}

impl PlannedInstance {
    /// Number of tokens of the instance, special tokens included.
    pub fn tokens(&self) -> usize {
        let special = if self.is_pair() { 3 } else { 2 };
        usize::from(self.a_length) + usize::from(self.b_length) + special
    }

    /// Whether B is from elsewhere instead of following A: the label of next sentence prediction.
    pub fn is_random_next(&self) -> bool {
        self.is_random_next
    }

    /// Whether there is a B.
    pub fn is_pair(&self) -> bool {
        self.b_length > 0
    }

    /// The places of A and of B among the tokens of the corpus.
    pub(crate) fn token_ranges(&self) -> (Range<usize>, Range<usize>) {
        let (a, b) = (self.a_start as usize, self.b_start as usize);
        (a..a + usize::from(self.a_length), b..b + usize::from(self.b_length))
    }
}

/// All instances of an epoch, in the order in which they are trained on.
///
/// Every document is visited once and every one of its sentences begins in some instance (truncation may then cut it). With a
/// single document ([`Corpus::is_single_document`]) "random next" sentences come from that same document.
pub fn plan_epoch(corpus: &Corpus, options: &PlanOptions, seed: u64, epoch: u64) -> Vec<PlannedInstance> {
    let shortest = if options.objective == Objective::MlmNsp { 5 } else { 3 };
    assert!(
        (shortest..=usize::from(u16::MAX)).contains(&options.max_seq_length),
        "max_seq_length is {}, not between {shortest} and 65535",
        options.max_seq_length
    );
    let plan_document = |document: usize| match options.objective {
        Objective::MlmNsp => {
            let random = Random::new(seed, Purpose::Plan, epoch, document as u64);
            plan_pairs(corpus, document, options, random)
        }
        Objective::Mlm => plan_windows(corpus, document, options.max_seq_length - 2),
    };
    let documents: Vec<Vec<PlannedInstance>> = (0..corpus.documents()).into_par_iter().map(plan_document).collect();
    let mut plan = documents.concat();
    Random::new(seed, Purpose::Shuffle, epoch, 0).shuffle(&mut plan);
    plan
}

/// One visit of a document:
///
/// ```text
/// target = max_num_tokens, or rarely an integer in 2 ..= max_num_tokens
/// while sentences are left:
///     chunk = the next sentences, until they have target tokens or the document ends
///     A     = a random number of sentences of the chunk, leaving at least one if it can
///     with probability ½, and always if nothing is left of the chunk:
///         B = sentences from a random place in another document, until A and B have target tokens
///         what is left of the chunk goes back into the document
///     else:
///         B = what is left of the chunk
///     truncate A and B to max_num_tokens together
/// ```
fn plan_pairs(corpus: &Corpus, document: usize, options: &PlanOptions, mut random: Random) -> Vec<PlannedInstance> {
    // [CLS], [SEP], [SEP].
    let max_num_tokens = options.max_seq_length - 3;
    let target = if random.uniform() < options.short_seq_prob {
        2 + random.below(max_num_tokens as u64 - 1) as usize
    } else {
        max_num_tokens
    };
    let mut plan = Vec::new();
    let sentences = corpus.document(document);
    let mut next = sentences.start;
    while next < sentences.end {
        let chunk = until_tokens(corpus, next..sentences.end, target);
        let mut a_sentences = 1;
        if chunk.len() >= 2 {
            a_sentences += random.below(chunk.len() as u64 - 1) as usize;
        }
        let a_end = chunk.start + a_sentences;
        let mut a = corpus.token_range(chunk.start..a_end);
        let is_random_next = chunk.len() == 1 || random.uniform() < 0.5;
        let mut b = if is_random_next {
            next = a_end;
            let other = corpus.document(draw_other_document(corpus, document, &mut random));
            let start = other.start + random.below(other.len() as u64) as usize;
            corpus.token_range(until_tokens(corpus, start..other.end, target.saturating_sub(a.len())))
        } else {
            next = chunk.end;
            corpus.token_range(a_end..chunk.end)
        };
        truncate_pair(&mut a, &mut b, max_num_tokens, &mut random);
        plan.push(PlannedInstance {
            a_start: a.start as u64,
            b_start: b.start as u64,
            a_length: a.len() as u16,
            b_length: b.len() as u16,
            is_random_next,
        });
    }
    plan
}

/// The first of these sentences, at least one, until they have `target` tokens or none is left.
fn until_tokens(corpus: &Corpus, sentences: Range<usize>, target: usize) -> Range<usize> {
    let mut end = sentences.start + 1;
    while end < sentences.end && corpus.token_range(sentences.start..end).len() < target {
        end += 1;
    }
    sentences.start..end
}

/// Up to ten draws for a document other than `document`; the last one stands, whichever it is.
fn draw_other_document(corpus: &Corpus, document: usize, random: &mut Random) -> usize {
    let mut other = document;
    for _ in 0..10 {
        other = random.below(corpus.documents() as u64) as usize;
        if other != document {
            break;
        }
    }
    other
}

/// Takes tokens off the longer of the two (B on a tie), one by one, at its front or its back as a coin falls, until both
/// together have `max_num_tokens`.
fn truncate_pair(a: &mut Range<usize>, b: &mut Range<usize>, max_num_tokens: usize, random: &mut Random) {
    while a.len() + b.len() > max_num_tokens {
        let longer = if a.len() > b.len() { &mut *a } else { &mut *b };
        if random.uniform() < 0.5 {
            longer.start += 1;
        } else {
            longer.end -= 1;
        }
    }
}

/// The document's tokens in windows of `window` tokens; the last one is what remains.
fn plan_windows(corpus: &Corpus, document: usize, window: usize) -> Vec<PlannedInstance> {
    let tokens = corpus.token_range(corpus.document(document));
    let plan_at = |start: usize| PlannedInstance {
        a_start: start as u64,
        b_start: start as u64,
        a_length: window.min(tokens.end - start) as u16,
        b_length: 0,
        is_random_next: false,
    };
    tokens.clone().step_by(window).map(plan_at).collect()
}

/// A sequence to be masked and trained on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// Token ids `[tokens]`, with `[CLS]` and `[SEP]`.
    pub ids: Vec<u32>,
    /// Segments `[tokens]`: 0 up to and including the first `[SEP]`, then 1.
    pub token_type_ids: Vec<u32>,
    /// Whether B is from elsewhere instead of following A. Means nothing if there is no B.
    pub is_random_next: bool,
}

/// The tokens of an instance planned on this corpus.
pub fn build_instance(corpus: &Corpus, planned: &PlannedInstance, special: SpecialIds) -> Instance {
    let (a, b) = planned.token_ranges();
    let mut ids = Vec::with_capacity(planned.tokens());
    ids.push(special.cls);
    ids.extend_from_slice(corpus.tokens_at(a));
    ids.push(special.sep);
    let mut token_type_ids = vec![0; ids.len()];
    if planned.is_pair() {
        ids.extend_from_slice(corpus.tokens_at(b));
        ids.push(special.sep);
        token_type_ids.resize(ids.len(), 1);
    }
    Instance { ids, token_type_ids, is_random_next: planned.is_random_next }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    const SPECIAL: SpecialIds = SpecialIds { pad: 0, unk: 1, cls: 2, sep: 3, mask: 4 };

    /// Documents of sentences of the given lengths; every token of the corpus is another one, from 5 on.
    fn corpus(documents: &[Vec<usize>]) -> Corpus {
        let mut next = 5;
        let mut sentence = |&length: &usize| {
            next += length as u32;
            (next - length as u32..next).collect::<Vec<u32>>()
        };
        let documents: Vec<Vec<Vec<u32>>> =
            documents.iter().map(|document| document.iter().map(&mut sentence).collect()).collect();
        Corpus::from_documents(&documents)
    }

    /// `count` documents of sentences of 1 to 30 tokens.
    fn long_documents(count: usize, sentences: usize) -> Corpus {
        let mut random = Random::new(99, Purpose::Sample, 0, 0);
        let lengths = |random: &mut Random| (0..sentences).map(|_| 1 + random.below(30) as usize).collect();
        corpus(&(0..count).map(|_| lengths(&mut random)).collect::<Vec<_>>())
    }

    fn pairs(max_seq_length: usize, short_seq_prob: f64) -> PlanOptions {
        PlanOptions { max_seq_length, short_seq_prob, objective: Objective::MlmNsp }
    }

    fn windows(max_seq_length: usize) -> PlanOptions {
        PlanOptions { max_seq_length, short_seq_prob: 0.1, objective: Objective::Mlm }
    }

    /// The document that holds a token of the corpus.
    fn document_of(corpus: &Corpus, token: usize) -> usize {
        (0..corpus.documents()).find(|&d| corpus.token_range(corpus.document(d)).contains(&token)).unwrap()
    }

    /// One visit of a document with lists of tokens instead of ranges, step by step as BERT's script goes about it.
    fn plan_pairs_with_lists(corpus: &Corpus, d: usize, options: &PlanOptions, random: &mut Random) -> Vec<Instance> {
        let document: Vec<&[u32]> = corpus.document(d).map(|s| corpus.sentence(s)).collect();
        let max_num_tokens = options.max_seq_length - 3;
        let mut target = max_num_tokens;
        if random.uniform() < options.short_seq_prob {
            target = 2 + random.below((max_num_tokens - 1) as u64) as usize;
        }
        let mut instances = Vec::new();
        let mut chunk: Vec<&[u32]> = Vec::new();
        let mut i = 0;
        while i < document.len() {
            chunk.push(document[i]);
            if i == document.len() - 1 || chunk.concat().len() >= target {
                let a_end = if chunk.len() >= 2 { 1 + random.below(chunk.len() as u64 - 1) as usize } else { 1 };
                let mut a = chunk[..a_end].concat();
                let mut b = Vec::new();
                let is_random_next = chunk.len() == 1 || random.uniform() < 0.5;
                if is_random_next {
                    let mut other = 0;
                    for _ in 0..10 {
                        other = random.below(corpus.documents() as u64) as usize;
                        if other != d {
                            break;
                        }
                    }
                    let other: Vec<&[u32]> = corpus.document(other).map(|s| corpus.sentence(s)).collect();
                    let start = random.below(other.len() as u64) as usize;
                    for sentence in &other[start..] {
                        b.extend_from_slice(sentence);
                        if b.len() as isize >= target as isize - a.len() as isize {
                            break;
                        }
                    }
                    i -= chunk.len() - a_end;
                } else {
                    b = chunk[a_end..].concat();
                }
                while a.len() + b.len() > max_num_tokens {
                    let longer = if a.len() > b.len() { &mut a } else { &mut b };
                    if random.uniform() < 0.5 {
                        longer.remove(0);
                    } else {
                        longer.pop();
                    }
                }
                let ids = [&[SPECIAL.cls][..], &a, &[SPECIAL.sep], &b, &[SPECIAL.sep]].concat();
                let token_type_ids = [vec![0; a.len() + 2], vec![1; b.len() + 1]].concat();
                instances.push(Instance { ids, token_type_ids, is_random_next });
                chunk.clear();
            }
            i += 1;
        }
        instances
    }

    prop_compose! {
        fn any_corpus()(documents in prop::collection::vec(prop::collection::vec(1usize..40, 1..20), 1..8)) -> Corpus {
            corpus(&documents)
        }
    }

    proptest! {
        #[test]
        fn plans_equal_the_original_procedure(
            corpus in any_corpus(), max in 5usize..70, short in 0.0..1.0f64, seed: u64, epoch in 0u64..9,
        ) {
            let options = pairs(max, short);
            for d in 0..corpus.documents() {
                let random = Random::new(seed, Purpose::Plan, epoch, d as u64);
                let expected = plan_pairs_with_lists(&corpus, d, &options, &mut random.clone());
                let plan = plan_pairs(&corpus, d, &options, random);
                let found: Vec<Instance> = plan.iter().map(|p| build_instance(&corpus, p, SPECIAL)).collect();
                prop_assert_eq!(found, expected);
            }
        }

        #[test]
        fn instances_are_pairs_within_the_maximum(corpus in any_corpus(), max in 5usize..70, seed: u64) {
            for planned in plan_epoch(&corpus, &pairs(max, 0.1), seed, 0) {
                let (a, b) = planned.token_ranges();
                prop_assert!(!a.is_empty() && !b.is_empty());
                prop_assert!(planned.tokens() <= max);
                let instance = build_instance(&corpus, &planned, SPECIAL);
                prop_assert_eq!(instance.ids.len(), planned.tokens());
                prop_assert_eq!(instance.token_type_ids.len(), planned.tokens());
                let separators: Vec<usize> =
                    (0..instance.ids.len()).filter(|&i| instance.ids[i] == SPECIAL.sep).collect();
                prop_assert_eq!(&separators, &[a.len() + 1, planned.tokens() - 1]);
                let expected_type = |i: usize| u32::from(i > separators[0]);
                prop_assert!((0..planned.tokens()).all(|i| instance.token_type_ids[i] == expected_type(i)));
            }
        }

        #[test]
        fn windows_hold_every_token_once(corpus in any_corpus(), max in 3usize..70, seed: u64) {
            let mut plan = plan_epoch(&corpus, &windows(max), seed, 0);
            plan.sort_by_key(|planned| planned.a_start);
            let mut next = 0;
            for planned in plan {
                let (a, b) = planned.token_ranges();
                prop_assert!(b.is_empty() && !planned.is_pair() && !planned.is_random_next());
                prop_assert_eq!(a.start, next);
                next = a.end;
                let document = document_of(&corpus, a.start);
                let end = corpus.token_range(corpus.document(document)).end;
                prop_assert!(a.len() == max - 2 || a.end == end);
                let instance = build_instance(&corpus, &planned, SPECIAL);
                prop_assert_eq!(instance.ids, [&[SPECIAL.cls], corpus.tokens_at(a), &[SPECIAL.sep]].concat());
                prop_assert!(instance.token_type_ids.iter().all(|&segment| segment == 0));
            }
            prop_assert_eq!(next, corpus.tokens());
        }
    }

    #[test]
    fn every_sentence_of_a_document_is_used() {
        // Sentences of one token fill an instance exactly, so that nothing is truncated away.
        let corpus = corpus(&vec![vec![1; 333]; 5]);
        for epoch in 0..5 {
            let mut seen: HashMap<usize, u32> = HashMap::new();
            for planned in plan_epoch(&corpus, &pairs(16, 0.5), 1, epoch) {
                let (a, b) = planned.token_ranges();
                let own_b = if planned.is_random_next() { 0..0 } else { b };
                a.chain(own_b).for_each(|token| *seen.entry(token).or_default() += 1);
            }
            assert_eq!(seen.len(), corpus.tokens());
            assert!(seen.values().all(|&times| times == 1), "a sentence was not put back, or put back twice");
        }
    }

    #[test]
    fn labels_say_whether_b_follows_a() {
        let corpus = long_documents(30, 100);
        for planned in plan_epoch(&corpus, &pairs(64, 0.1), 3, 0) {
            let (a, b) = planned.token_ranges();
            let (a_document, b_document) = (document_of(&corpus, a.start), document_of(&corpus, b.start));
            assert_eq!(a_document != b_document, planned.is_random_next());
            assert!(planned.is_random_next() || a.end <= b.start);
            assert_eq!(document_of(&corpus, b.end - 1), b_document);
        }
    }

    #[test]
    fn half_of_the_pairs_of_long_documents_are_random() {
        let plan = plan_epoch(&long_documents(10, 3_000), &pairs(128, 0.1), 1, 0);
        let random = plan.iter().filter(|planned| planned.is_random_next()).count();
        let share = random as f64 / plan.len() as f64;
        assert!(plan.len() > 3_000 && (share - 0.5).abs() < 0.04, "{share} of {} are random", plan.len());
    }

    #[test]
    fn a_single_document_takes_random_sentences_from_itself() {
        let corpus = long_documents(1, 500);
        assert!(corpus.is_single_document());
        let plan = plan_epoch(&corpus, &pairs(64, 0.1), 1, 0);
        assert!(plan.iter().any(PlannedInstance::is_random_next));
        assert!(plan.iter().any(|planned| !planned.is_random_next()));
    }

    #[test]
    fn sentences_longer_than_the_maximum_are_cut() {
        let corpus = corpus(&[vec![100_000], vec![100_000, 3, 100_000]]);
        for planned in plan_epoch(&corpus, &pairs(16, 0.0), 1, 0) {
            assert!(planned.tokens() <= 16 && planned.is_pair());
        }
    }

    #[test]
    fn a_plan_is_a_function_of_seed_and_epoch() {
        let corpus = long_documents(20, 200);
        let options = pairs(64, 0.1);
        let plan = plan_epoch(&corpus, &options, 1, 0);
        assert_eq!(plan, plan_epoch(&corpus, &options, 1, 0));
        assert_ne!(plan, plan_epoch(&corpus, &options, 2, 0));
        assert_ne!(plan, plan_epoch(&corpus, &options, 1, 1));
        for threads in [1, 3] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            assert_eq!(plan, pool.install(|| plan_epoch(&corpus, &options, 1, 0)), "on {threads} threads");
        }
        // The epochs differ in more than their order.
        let sorted = |mut plan: Vec<PlannedInstance>| {
            plan.sort_by_key(|planned| (planned.a_start, planned.b_start));
            plan
        };
        assert_ne!(sorted(plan), sorted(plan_epoch(&corpus, &options, 1, 1)));
    }

    #[test]
    fn an_epoch_is_shuffled() {
        let plan = plan_epoch(&long_documents(20, 200), &pairs(64, 0.1), 1, 0);
        let ascents = plan.windows(2).filter(|two| two[0].a_start < two[1].a_start).count();
        let share = ascents as f64 / (plan.len() - 1) as f64;
        assert!((share - 0.5).abs() < 0.1, "{share} of the neighbours are in the corpus' order");
    }

    #[test]
    fn a_planned_instance_is_small() {
        assert_eq!(size_of::<PlannedInstance>(), 24);
    }

    #[test]
    #[should_panic(expected = "max_seq_length is 4, not between 5 and 65535")]
    fn a_pair_needs_room() {
        plan_epoch(&corpus(&[vec![1, 2]]), &pairs(4, 0.1), 1, 0);
    }
}
