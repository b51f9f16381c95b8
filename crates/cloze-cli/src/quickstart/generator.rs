//! Writes the sample corpus and the labelled sentences: generated English, the same for the same seed.
//!
//! A document is a short story. Its people, its world (a farm, the sea, …) and its mood stay the same from the
//! first sentence to the last. So what may stand behind a mask can often be told from words far away, and whether
//! one passage follows another can be told from what they speak of.
//!
//! Within a world, words of a kind stand for each other; some are frequent and most are rare, as in every language.
//! (Where all were equally frequent, it took a model far longer to notice which words keep company.)
//!
//! A labelled sentence is of one world, and that is its label. The words that tell the world are different
//! ones in train.tsv and in dev.tsv: a third of them may stand in the one, the others in the other. Only who
//! has read the stories can know what the words of dev.tsv have to do with those of train.tsv.

use std::fmt::Write as _;

use cloze::random::{Purpose, Random};

use super::words::{DAYS, HOURS, MOODS, Mood, PEOPLE, Person};
use super::worlds::{Kind, WORLDS, World};

/// How much is written.
#[derive(Clone, Copy, Debug)]
pub struct Amounts {
    /// Stories in the corpus.
    pub documents: usize,
    /// Labelled sentences to train on.
    pub train_rows: usize,
    /// Labelled sentences to measure with.
    pub dev_rows: usize,
}

/// The three files.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Prose, a paragraph a line, a blank line between documents.
    pub corpus: String,
    /// `text` and `label`, tab-separated, with a header.
    pub train: String,
    /// The same.
    pub dev: String,
}

/// The first sentence of a story. In all templates, {a} and {b} are the story's people, {adj}, {feeling} and {reacted}
/// are of its mood, and {worker}, {place}, {thing} and {did} are of its world.
const OPENINGS: [&str; 2] =
    ["On {day} {hour} {a} and {b} came to the {place}.", "{a} was a {worker}, and {b} was a {worker2}."];

/// What happens then, in any order. Short sentences with many words of a world: in a few minutes, a model has
/// no time to learn much grammar first.
const EVENTS: [&str; 14] = [
    "The {worker} {did} the {thing} at the {place}.",
    "{a} {did} the {thing} and {did2} the {thing2}.",
    "At the {place} {a} {did} the {thing}.",
    "{a} and the {worker} {did} the {thing}.",
    "The {worker} and the {worker2} {did} the {thing}.",
    "The {thing} of the {worker} was {adj}.",
    "{a} thought that the {thing} was {adj}.",
    "The {thing} was {adj}, so {a} {reacted}.",
    "The {worker} left the {place} and went to the {place2}.",
    "{a} asked the {worker} for the {thing}.",
    "The {thing} and the {thing2} were at the {place}.",
    "{a} met the {worker} at the {place}.",
    "When {a} met the {worker}, {a_he} felt {feeling}.",
    "{a} told {b} about the {adj} {thing}.",
];

/// The last sentence of a story.
const ENDINGS: [&str; 2] = ["{a} and {b} left the {place} and felt {feeling}.", "At last {a} {reacted} and went home."];

/// Labelled sentences: the words of a world decide, two to four of them.
const LABELLED: [&str; 6] = [
    "The {worker} {did} the {thing} at the {place}.",
    "{a} {did} the {thing} and {did2} the {thing2}.",
    "{a} asked the {worker} about the {thing}.",
    "{a} met the {worker} and {did} the {thing}.",
    "The {worker} left the {adj} {thing} at the {place}.",
    "At the {place} {a} thought about the {thing} and the {thing2}.",
];

/// Events of a story, apart from its first and last sentence.
const EVENTS_OF_A_STORY: usize = 10;
/// Sentences in a paragraph.
const PARAGRAPH: usize = 3;

/// Everything that stays the same in a story.
struct Story {
    people: [Person; 2],
    world: World,
    mood: Mood,
}

/// Writes everything.
pub fn generate(amounts: Amounts, seed: u64) -> Sample {
    let mut corpus = String::new();
    for document in 0..amounts.documents {
        if document > 0 {
            corpus.push('\n');
        }
        write_story(&mut corpus, &mut Random::new(seed, Purpose::Sample, 0, document as u64));
    }
    let train = WORLDS.map(|world| restrict(world, |words| &words[..words.len() / 3]));
    let dev = WORLDS.map(|world| restrict(world, |words| &words[words.len() / 3..]));
    let train = labelled_rows(amounts.train_rows, &train, &mut Random::new(seed, Purpose::Sample, 1, 0));
    let dev = labelled_rows(amounts.dev_rows, &dev, &mut Random::new(seed, Purpose::Sample, 2, 0));
    Sample { corpus, train, dev }
}

/// One document.
fn write_story(corpus: &mut String, random: &mut Random) {
    let story = Story::draw(pick(&WORLDS, random), random);
    let mut templates = EVENTS.to_vec();
    random.shuffle(&mut templates);
    templates.truncate(EVENTS_OF_A_STORY);
    templates.insert(0, pick(&OPENINGS, random));
    templates.push(pick(&ENDINGS, random));
    let sentences: Vec<String> = templates.iter().map(|template| story.tell(template, random)).collect();
    for paragraph in sentences.chunks(PARAGRAPH) {
        corpus.push_str(&paragraph.join(" "));
        corpus.push('\n');
    }
}

/// The world with some of its words only.
fn restrict(world: World, some: fn(&'static [&'static str]) -> &'static [&'static str]) -> World {
    World {
        places: some(world.places),
        workers: some(world.workers),
        kinds: world.kinds.map(|kind| Kind { things: some(kind.things), deeds: some(kind.deeds) }),
        ..world
    }
}

/// A table of labelled sentences, of each world as many.
fn labelled_rows(rows: usize, worlds: &[World], random: &mut Random) -> String {
    let mut table = String::from("text\tlabel\n");
    for row in 0..rows {
        let story = Story::draw(worlds[row % worlds.len()], random);
        let text = story.tell(pick(&LABELLED, random), random);
        // Writing to a string cannot fail.
        let _ = writeln!(table, "{text}\t{}", story.world.label);
    }
    table
}

impl Story {
    fn draw(world: World, random: &mut Random) -> Story {
        let first = random.below(PEOPLE.len() as u64) as usize;
        // Another person than the first.
        let second = (first + 1 + random.below(PEOPLE.len() as u64 - 1) as usize) % PEOPLE.len();
        Story { people: [PEOPLE[first], PEOPLE[second]], world, mood: pick(&MOODS, random) }
    }

    /// Fills a template and makes a sentence of it: "a" before a vowel becomes "an", the first letter a capital.
    fn tell(&self, template: &str, random: &mut Random) -> String {
        let mut people = self.people;
        if random.below(2) == 1 {
            people.reverse();
        }
        let [a, b] = people;
        // What comes twice in a template is two different words.
        let world = &self.world;
        let [kind, kind2] = [pick(&world.kinds, random), pick(&world.kinds, random)];
        let thing = pick_common(kind.things, random);
        let thing2 = another(kind2.things, thing, random);
        let deed = pick_common(kind.deeds, random);
        let place = pick_common(world.places, random);
        let worker = pick_common(world.workers, random);
        let mut text = String::new();
        let mut rest = template;
        while let Some((before, after)) = rest.split_once('{') {
            let (slot, after) = after.split_once('}').expect("templates close their braces");
            text.push_str(before);
            text.push_str(match slot {
                "a" => a.name,
                "b" => b.name,
                "a_he" => a.subject,
                "thing" => thing,
                "thing2" => thing2,
                "did" => deed,
                "did2" => another(kind2.deeds, deed, random),
                "place" => place,
                "place2" => another(world.places, place, random),
                "worker" => worker,
                "worker2" => another(world.workers, worker, random),
                "adj" => pick(self.mood.adjectives, random),
                "feeling" => pick(self.mood.feelings, random),
                "reacted" => pick(self.mood.reactions, random),
                "day" => pick(&DAYS, random),
                "hour" => pick(&HOURS, random),
                _ => unreachable!("no slot is called {slot}"),
            });
            rest = after;
        }
        text.push_str(rest);
        sentence_case(&articles(&text))
    }
}

/// "a" before a vowel becomes "an". No word that follows an article begins with u.
fn articles(text: &str) -> String {
    let words: Vec<&str> = text.split(' ').collect();
    let before_vowel = |index: usize| {
        words.get(index + 1).is_some_and(|next| next.starts_with(['a', 'e', 'i', 'o', 'A', 'E', 'I', 'O']))
    };
    let fixed: Vec<&str> = words
        .iter()
        .enumerate()
        .map(|(index, word)| if *word == "a" && before_vowel(index) { "an" } else { *word })
        .collect();
    fixed.join(" ")
}

fn sentence_case(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| first.to_uppercase().chain(characters).collect())
}

fn pick<T: Copy>(items: &[T], random: &mut Random) -> T {
    items[random.below(items.len() as u64) as usize]
}

/// A word of the list, the first ones more often than the last: word n with a weight of 1/(n + 1) (Mandelbrot's
/// form of Zipf's law).
fn pick_common(words: &[&'static str], random: &mut Random) -> &'static str {
    // Whole numbers, so that every machine draws the same.
    let weight = |index: usize| 1_000_000 / (index as u64 + 2);
    let mut rest = random.below((0..words.len()).map(weight).sum());
    for (index, word) in words.iter().enumerate() {
        if rest < weight(index) {
            return word;
        }
        rest -= weight(index);
    }
    unreachable!("the draw is below the sum of the weights")
}

/// As [`pick_common`], any word but this one.
fn another(words: &[&'static str], but: &str, random: &mut Random) -> &'static str {
    loop {
        let word = pick_common(words, random);
        if word != but {
            return word;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const SMALL: Amounts = Amounts { documents: 30, train_rows: 48, dev_rows: 200 };

    fn words(text: &str) -> HashSet<&str> {
        text.split(|c: char| !c.is_alphabetic()).collect()
    }

    fn words_of(world: &World) -> impl Iterator<Item = &'static str> {
        let kinds = world.kinds.iter().flat_map(|kind| [kind.things, kind.deeds]);
        [world.places, world.workers].into_iter().chain(kinds).flatten().copied()
    }

    #[test]
    fn the_same_seed_writes_the_same_files() {
        let (first, again, other) = (generate(SMALL, 1), generate(SMALL, 1), generate(SMALL, 2));
        assert_eq!(first.corpus, again.corpus);
        assert_eq!(first.train, again.train);
        assert_eq!(first.dev, again.dev);
        assert_ne!(first.corpus, other.corpus);
    }

    #[test]
    fn a_document_keeps_its_people_its_world_and_its_mood() {
        let corpus = generate(SMALL, 1).corpus;
        let documents: Vec<&str> = corpus.split("\n\n").collect();
        assert_eq!(documents.len(), SMALL.documents);
        for document in documents {
            let words = words(document);
            assert_eq!(PEOPLE.iter().filter(|person| words.contains(person.name)).count(), 2, "{document}");
            let worlds = WORLDS.iter().filter(|world| words_of(world).any(|word| words.contains(word))).count();
            assert_eq!(worlds, 1, "{document}");
            let moods = MOODS.iter().filter(|mood| mood.adjectives.iter().any(|word| words.contains(word))).count();
            assert!(moods <= 1, "{document}");
            assert_eq!(document.matches('.').count(), EVENTS_OF_A_STORY + 2, "{document}");
            assert!(!document.contains(['{', '}']), "{document}");
        }
    }

    #[test]
    fn no_word_of_a_world_is_in_both_tables() {
        let sample = generate(Amounts { documents: 1, train_rows: 2_000, dev_rows: 4_000 }, 1);
        let (train, dev) = (words(&sample.train), words(&sample.dev));
        for world in &WORLDS {
            let count = |table: &HashSet<&str>| words_of(world).filter(|word| table.contains(word)).count();
            assert_eq!((count(&train), count(&dev)), (22, 44), "{}", world.label);
            assert!(words_of(world).all(|word| !(train.contains(word) && dev.contains(word))), "{}", world.label);
        }
    }

    #[test]
    fn labels_are_balanced() {
        let sample = generate(SMALL, 1);
        for (table, rows) in [(sample.train, SMALL.train_rows), (sample.dev, SMALL.dev_rows)] {
            assert_eq!(table.lines().count(), rows + 1);
            for world in &WORLDS {
                let count = table.lines().filter(|line| line.split_once('\t').is_some_and(|row| row.1 == world.label));
                assert_eq!(count.count(), rows / WORLDS.len(), "{}", world.label);
            }
        }
    }

    #[test]
    fn worlds_share_no_word() {
        let all: Vec<&str> = WORLDS.iter().flat_map(words_of).collect();
        assert_eq!(all.iter().collect::<HashSet<_>>().len(), all.len());
    }

    #[test]
    fn articles_fit_the_next_word() {
        assert_eq!(articles("a orderly and a nurse met a Ada"), "an orderly and a nurse met an Ada");
    }
}
