//! Plans against the original procedure, step by step, and what must hold of every plan.

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
    PlanOptions { max_seq_length, short_seq_prob, objective: Objective::MlmNsp, shuffle: true }
}

fn windows(max_seq_length: usize) -> PlanOptions {
    PlanOptions { max_seq_length, short_seq_prob: 0.1, objective: Objective::Mlm, shuffle: true }
}

/// A plan in memory, whole.
fn planned(corpus: &Corpus, options: &PlanOptions, seed: u64, epoch: u64) -> Vec<PlannedInstance> {
    let plan = plan_epoch(corpus, options, seed, epoch, None).unwrap();
    let instances = plan.instances(0..plan.len()).unwrap();
    assert_eq!(plan.tokens(), instances.iter().map(|planned| planned.tokens() as u64).sum::<u64>());
    instances
}

/// The document that holds a token of the corpus.
fn document_of(corpus: &Corpus, token: u64) -> usize {
    (0..corpus.documents()).find(|&d| corpus.document(d).unwrap().tokens().contains(&token)).unwrap()
}

/// The sentences of a document, those of more than `max` tokens in pieces.
fn pieces_of(corpus: &Corpus, d: usize, max: usize) -> Vec<Vec<u32>> {
    let mut pieces = Vec::new();
    let per_instance = max.min(8);
    for sentence in corpus.read_document(d).unwrap() {
        if sentence.len() <= max {
            pieces.push(sentence);
            continue;
        }
        let starts = (0..).map(|piece| piece * max / per_instance).take_while(|&start| start < sentence.len());
        let mut bounds: Vec<usize> = starts.collect();
        bounds.push(sentence.len());
        pieces.extend(bounds.windows(2).map(|bounds| sentence[bounds[0]..bounds[1]].to_vec()));
    }
    pieces
}

/// The instances of a document, with these draws.
fn planned_pairs(corpus: &Corpus, d: usize, options: &PlanOptions, random: Random) -> DocumentPlan {
    let pieces = Pieces::new(corpus, options.max_seq_length - 3).unwrap();
    plan_pairs(corpus, &pieces, d, options, random).unwrap()
}

/// One visit of a document with lists of tokens instead of ranges, step by step as BERT's script goes about it.
fn plan_pairs_with_lists(corpus: &Corpus, d: usize, options: &PlanOptions, random: &mut Random) -> Vec<Instance> {
    let max_num_tokens = options.max_seq_length - 3;
    let document = pieces_of(corpus, d, max_num_tokens);
    let mut target = max_num_tokens;
    if random.uniform() < options.short_seq_prob {
        target = 2 + random.below((max_num_tokens - 1) as u64) as usize;
    }
    let mut instances = Vec::new();
    let mut chunk: Vec<Vec<u32>> = Vec::new();
    let mut i = 0;
    while i < document.len() {
        chunk.push(document[i].clone());
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
                let other = pieces_of(corpus, other, max_num_tokens);
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
            let plan = planned_pairs(&corpus, d, &options, random);
            let found: Vec<Instance> = plan.instances.iter().map(|p| build_instance(&corpus, p, SPECIAL).unwrap()).collect();
            prop_assert_eq!(found, expected);
        }
    }

    #[test]
    fn instances_are_pairs_within_the_maximum(corpus in any_corpus(), max in 5usize..70, seed: u64) {
        for planned in planned(&corpus, &pairs(max, 0.1), seed, 0) {
            let (a, b) = planned.token_ranges();
            prop_assert!(!a.is_empty() && !b.is_empty());
            prop_assert!(planned.tokens() <= max);
            let instance = build_instance(&corpus, &planned, SPECIAL).unwrap();
            prop_assert_eq!(instance.ids.len(), planned.tokens());
            prop_assert_eq!(instance.token_type_ids.len(), planned.tokens());
            let separators: Vec<usize> =
                (0..instance.ids.len()).filter(|&i| instance.ids[i] == SPECIAL.sep).collect();
            prop_assert_eq!(&separators, &[length(&a) + 1, planned.tokens() - 1]);
            let expected_type = |i: usize| u32::from(i > separators[0]);
            prop_assert!((0..planned.tokens()).all(|i| instance.token_type_ids[i] == expected_type(i)));
        }
    }

    #[test]
    fn windows_hold_every_token_once(corpus in any_corpus(), max in 3usize..70, seed: u64) {
        let mut plan = planned(&corpus, &windows(max), seed, 0);
        plan.sort_by_key(|planned| planned.a_start);
        let mut next = 0;
        for planned in plan {
            let (a, b) = planned.token_ranges();
            prop_assert!(b.is_empty() && !planned.is_pair() && !planned.is_random_next());
            prop_assert_eq!(a.start, next);
            next = a.end;
            let document = document_of(&corpus, a.start);
            let end = corpus.document(document).unwrap().tokens().end;
            prop_assert!(length(&a) == max - 2 || a.end == end);
            let instance = build_instance(&corpus, &planned, SPECIAL).unwrap();
            prop_assert_eq!(instance.ids, [&[SPECIAL.cls], &*corpus.tokens_at(a).unwrap(), &[SPECIAL.sep]].concat());
            prop_assert!(instance.token_type_ids.iter().all(|&segment| segment == 0));
        }
        prop_assert_eq!(next, corpus.tokens() as u64);
    }
}

#[test]
fn every_sentence_of_a_document_is_used() {
    // Sentences of one token fill an instance exactly, so that nothing is truncated away.
    let corpus = corpus(&vec![vec![1; 333]; 5]);
    for epoch in 0..5 {
        let mut seen: HashMap<u64, u32> = HashMap::new();
        for planned in planned(&corpus, &pairs(16, 0.5), 1, epoch) {
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
    for planned in planned(&corpus, &pairs(64, 0.1), 3, 0) {
        let (a, b) = planned.token_ranges();
        let (a_document, b_document) = (document_of(&corpus, a.start), document_of(&corpus, b.start));
        assert_eq!(a_document != b_document, planned.is_random_next());
        assert!(planned.is_random_next() || a.end <= b.start);
        assert_eq!(document_of(&corpus, b.end - 1), b_document);
    }
}

#[test]
fn half_of_the_pairs_of_long_documents_are_random() {
    let plan = planned(&long_documents(10, 3_000), &pairs(128, 0.1), 1, 0);
    let random = plan.iter().filter(|planned| planned.is_random_next()).count();
    let share = random as f64 / plan.len() as f64;
    assert!(plan.len() > 3_000 && (share - 0.5).abs() < 0.04, "{share} of {} are random", plan.len());
}

#[test]
fn a_single_document_takes_random_sentences_from_itself() {
    let corpus = long_documents(1, 500);
    assert!(corpus.is_single_document());
    let plan = planned(&corpus, &pairs(64, 0.1), 1, 0);
    assert!(plan.iter().any(PlannedInstance::is_random_next));
    assert!(plan.iter().any(|planned| !planned.is_random_next()));
}

#[test]
fn every_token_of_long_sentences_is_read() {
    // Of 5,000 words on a line nearly all, whatever the length; without pieces it would be one instance.
    for max in [5, 6, 16, 32, 128, 512] {
        let corpus = corpus(&vec![vec![5_000]; 4]);
        let options = pairs(max, 0.0);
        let plan = plan_epoch(&corpus, &options, 1, 0, None).unwrap();
        let Coverage { tokens, read, split } = plan.coverage();
        assert_eq!((tokens, split), (20_000, 4));
        assert!(plan.coverage().share() > 0.97 && read <= tokens, "{max}: {read} of {tokens}");
        let instances = plan.instances(0..plan.len()).unwrap();
        assert!(instances.iter().all(|planned| planned.tokens() <= max && planned.is_pair()));
        let mut is_read = vec![false; 20_000];
        let own = |planned: &PlannedInstance| {
            let (a, b) = planned.token_ranges();
            a.chain(if planned.is_random_next() { 0..0 } else { b })
        };
        instances.iter().flat_map(own).for_each(|token| is_read[token as usize] = true);
        assert_eq!(is_read.iter().filter(|&&is_read| is_read).count() as u64, read, "what is told is so");
        let random = instances.iter().filter(|planned| planned.is_random_next()).count() as f64;
        let share = random / instances.len() as f64;
        assert!(max < 16 || (0.4..0.6).contains(&share), "{max}: {share} of the halves are from elsewhere");
    }
}

#[test]
fn long_sentences_among_others_cost_no_more_than_others() {
    let mut random = Random::new(5, Purpose::Sample, 0, 0);
    let mut length =
        |_| if random.below(4) == 0 { 30 + random.below(400) as usize } else { 1 + random.below(40) as usize };
    let documents: Vec<Vec<usize>> = (0..20).map(|_| (0..200).map(&mut length).collect()).collect();
    for max in [32, 64, 128] {
        let plan = plan_epoch(&corpus(&documents), &pairs(max, 0.1), 1, 0, None).unwrap();
        let share = plan.coverage().share();
        assert!(plan.coverage().split > 50 && share > 0.8, "{max}: {share}");
    }
}

#[test]
fn documents_of_many_sentences_are_drawn_from_as_others() {
    // More sentences than are counted together, long ones among them.
    let lengths = |seed: u64| {
        let mut random = Random::new(seed, Purpose::Sample, 0, 0);
        (0..1_200).map(|_| 1 + random.below(30) as usize).collect::<Vec<usize>>()
    };
    let corpus = corpus(&[lengths(1), lengths(2)]);
    let options = pairs(24, 0.1);
    for d in 0..2 {
        let random = Random::new(7, Purpose::Plan, 0, d as u64);
        let expected = plan_pairs_with_lists(&corpus, d, &options, &mut random.clone());
        let plan = planned_pairs(&corpus, d, &options, random);
        assert!(plan.coverage.split > 200 && plan.instances.len() > 500);
        let found: Vec<Instance> =
            plan.instances.iter().map(|planned| build_instance(&corpus, planned, SPECIAL).unwrap()).collect();
        assert_eq!(found, expected);
    }
}

#[test]
fn a_sentence_of_millions_of_tokens_is_planned_in_no_time() {
    const SECONDS_MAX: u64 = 20;
    let begin = std::time::Instant::now();
    let corpus = corpus(&[vec![2_000_000], vec![2_000_000, 3]]);
    let plan = plan_epoch(&corpus, &pairs(32, 0.1), 1, 0, None).unwrap();
    assert!(plan.len() > 100_000);
    assert!(begin.elapsed().as_secs() < SECONDS_MAX, "{:?}", begin.elapsed());
}

#[test]
fn a_plan_is_a_function_of_seed_and_epoch() {
    let corpus = long_documents(20, 200);
    let options = pairs(64, 0.1);
    let plan = planned(&corpus, &options, 1, 0);
    assert_eq!(plan, planned(&corpus, &options, 1, 0));
    assert_ne!(plan, planned(&corpus, &options, 2, 0));
    assert_ne!(plan, planned(&corpus, &options, 1, 1));
    for threads in [1, 3] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        assert_eq!(plan, pool.install(|| planned(&corpus, &options, 1, 0)), "on {threads} threads");
    }
    // The epochs differ in more than their order.
    let sorted = |mut plan: Vec<PlannedInstance>| {
        plan.sort_by_key(|planned| (planned.a_start, planned.b_start));
        plan
    };
    assert_ne!(sorted(plan), sorted(planned(&corpus, &options, 1, 1)));
}

#[test]
fn an_epoch_is_shuffled() {
    let plan = planned(&long_documents(20, 200), &pairs(64, 0.1), 1, 0);
    let ascents = plan.windows(2).filter(|two| two[0].a_start < two[1].a_start).count();
    let share = ascents as f64 / (plan.len() - 1) as f64;
    assert!((share - 0.5).abs() < 0.1, "{share} of the neighbours are in the corpus' order");
}

#[test]
fn a_planned_instance_is_small() {
    assert_eq!(size_of::<PlannedInstance>(), 24);
}

#[test]
fn a_plan_in_a_file_is_the_plan_in_memory() {
    let corpus = long_documents(20, 200);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plan");
    for epoch in 0..2 {
        let plan = plan_epoch(&corpus, &pairs(64, 0.1), 1, epoch, Some(&path)).unwrap();
        let in_memory = planned(&corpus, &pairs(64, 0.1), 1, epoch);
        assert_eq!(plan.instances(0..plan.len()).unwrap(), in_memory);
        assert_eq!(plan.instances(5..9).unwrap(), in_memory[5..9]);
        assert_eq!(std::fs::metadata(&path).unwrap().len(), (plan.len() * PlannedInstance::BYTES) as u64);
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
#[should_panic(expected = "max_seq_length is 4, not between 5 and 65535")]
fn a_pair_needs_room() {
    planned(&corpus(&[vec![1, 2]]), &pairs(4, 0.1), 1, 0);
}
