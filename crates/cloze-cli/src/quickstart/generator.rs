//! Writes the sample corpus and the labelled sentences: generated English, the same for the same seed.
//!
//! A document is a short story. Its people, its walk of life (a farm, a harbour, …), a few things and
//! its mood stay the same from the first sentence to the last. So a masked word can often be told from
//! words far away (a name or a thing comes again, an adjective fits the mood), and whether one passage
//! follows another can be told from what they speak of.
//!
//! A labelled sentence speaks of one walk of life, and that is its label. Training rows use a third of
//! the words of each walk of life only. What the others mean is in the corpus alone.

use std::fmt::Write as _;

use cloze::random::{Purpose, Random};

use super::words::{HOURS, MOODS, Mood, PEOPLE, Person, TIMES, TOPICS, TOWNS, Topic};

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

/// What can happen in each part of a story, from its beginning to its end. Everything in braces is the
/// story's own: {a} and {b} are its people, {thing} is one of its things, {adj} is of its mood.
const PARTS: [&[&str]; 5] = [
    // They meet.
    &[
        "On {day} {hour} {a}, a {worker} from {town}, met {b} at the {place}.",
        "{a} was a {worker} from {town}, and {b} was {a_his} friend.",
        "One {hour} {a} and {b} came to the {place} with {a_his} {animal}.",
        "{a} and {b} arrived at the {place} near {town}.",
    ],
    // They work.
    &[
        "{a} {did} the {thing} while {b} {did2} the {thing2}.",
        "Because {weather}, {a} {did} the {thing} {adverb}.",
        "{b} {did} {b_his} {thing} with the {animal}.",
        "Then {a} {did} the {thing} again and {did2} the {thing2}.",
        "They {did} the {thing} with a {worker}.",
    ],
    // It turns out well or badly.
    &[
        "The {thing} was {adj}, so {a} {reacted}.",
        "{a} {reacted} because the {thing} looked {adj}.",
        "When {b} saw the {adj} {thing}, {b_he} felt {feeling}.",
        "The {worker} found the {thing} {adj}, and the {thing2} was {adj2}.",
        "It was a day of {fortune} at the {place}, and {b} {reacted}.",
    ],
    // They talk about it.
    &[
        "{a} told {b} that the {thing} was {adj} and {adj2}.",
        "Everyone at the {place} said that {a_his} {thing} was {adj}.",
        "A {worker} asked {a} about the {adj} {thing}.",
        "{b} answered that {b_his} {thing} was {adj}.",
        "They talked about the {thing} and the {thing2} until {hour}.",
    ],
    // They part.
    &[
        "At last {a} and {b} left the {place} {adverb}.",
        "In the end {a} went home to {town} and felt {feeling}.",
        "{b} thanked {a} for the {adj} {thing} and went to bed.",
        "So {a} and the {animal} walked home {adverb}.",
        "{a} slept and dreamt of the {adj} {thing}.",
    ],
];

/// Labelled sentences: the words of a topic decide.
const LABELLED: &[&str] = &[
    "{a} and {b} talked about the {thing} on {day}.",
    "{a} asked {b} for a {adj} {thing}.",
    "In {town} we saw a {adj} {animal}.",
    "{a} wants to become a {worker} in {town}.",
    "{b} remembers the {place} of {town}.",
    "I {did} it with {a} on {day} {hour}.",
    "The {worker} from {town} was {feeling}.",
    "The {animal} of {b} was {adj}.",
    "They stayed at the {place} until {hour}.",
    "Everyone said that the {thing} was {adj}.",
];

/// Everything that stays the same in a story.
struct Story {
    people: [Person; 2],
    topic: Topic,
    mood: Mood,
    things: [&'static str; 3],
    place: &'static str,
    town: &'static str,
    worker: &'static str,
    animal: &'static str,
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
    let train =
        labelled_rows(amounts.train_rows, &TOPICS.map(first_third), &mut Random::new(seed, Purpose::Sample, 1, 0));
    let dev = labelled_rows(amounts.dev_rows, &TOPICS, &mut Random::new(seed, Purpose::Sample, 2, 0));
    Sample { corpus, train, dev }
}

/// One document: two or three sentences of each part, a part a paragraph.
fn write_story(corpus: &mut String, random: &mut Random) {
    let story = Story::draw(&TOPICS, random);
    for part in PARTS {
        let mut templates = part.to_vec();
        random.shuffle(&mut templates);
        templates.truncate(2 + random.below(2) as usize);
        let sentences: Vec<String> = templates.iter().map(|template| story.tell(template, random)).collect();
        corpus.push_str(&sentences.join(" "));
        corpus.push('\n');
    }
}

/// The words of a topic that training rows may use.
fn first_third(topic: Topic) -> Topic {
    fn first_third(words: &'static [&'static str]) -> &'static [&'static str] {
        &words[..words.len().div_ceil(3)]
    }
    Topic {
        label: topic.label,
        places: first_third(topic.places),
        workers: first_third(topic.workers),
        things: first_third(topic.things),
        deeds: first_third(topic.deeds),
        animals: first_third(topic.animals),
    }
}

/// A table of labelled sentences on any of the topics.
fn labelled_rows(rows: usize, topics: &[Topic], random: &mut Random) -> String {
    let mut table = String::from("text\tlabel\n");
    for _ in 0..rows {
        let story = Story::draw(topics, random);
        let text = story.tell(pick(LABELLED, random), random);
        // Writing to a string cannot fail.
        let _ = writeln!(table, "{text}\t{}", story.topic.label);
    }
    table
}

impl Story {
    fn draw(topics: &[Topic], random: &mut Random) -> Story {
        let topic = pick(topics, random);
        let first = random.below(PEOPLE.len() as u64) as usize;
        // Another person than the first.
        let second = (first + 1 + random.below(PEOPLE.len() as u64 - 1) as usize) % PEOPLE.len();
        let mut things = topic.things.to_vec();
        random.shuffle(&mut things);
        Story {
            people: [PEOPLE[first], PEOPLE[second]],
            topic,
            mood: pick(&MOODS, random),
            things: [things[0], things[1], things[2]],
            place: pick(topic.places, random),
            town: pick(&TOWNS, random),
            worker: pick(topic.workers, random),
            animal: pick(topic.animals, random),
        }
    }

    /// Fills a template and makes a sentence of it: "a" before a vowel becomes "an", the first letter a capital.
    fn tell(&self, template: &str, random: &mut Random) -> String {
        let mut people = self.people;
        if random.below(2) == 1 {
            people.reverse();
        }
        let mut things = self.things;
        random.shuffle(&mut things);
        let mut text = String::new();
        let mut rest = template;
        while let Some((before, after)) = rest.split_once('{') {
            let (slot, after) = after.split_once('}').expect("templates close their braces");
            text.push_str(before);
            let word = match slot {
                "a" => people[0].name,
                "b" => people[1].name,
                "a_he" => people[0].subject,
                "b_he" => people[1].subject,
                "a_his" => people[0].possessive,
                "b_his" => people[1].possessive,
                "thing" => things[0],
                "thing2" => things[1],
                "place" => self.place,
                "town" => self.town,
                "worker" => self.worker,
                "worker2" => pick(self.topic.workers, random),
                "animal" => self.animal,
                "did" | "did2" => pick(self.topic.deeds, random),
                "adj" | "adj2" => pick(self.mood.adjectives, random),
                "feeling" => pick(self.mood.feelings, random),
                "reacted" => pick(self.mood.reactions, random),
                "adverb" => pick(self.mood.adverbs, random),
                "weather" => pick(self.mood.weathers, random),
                "fortune" => pick(self.mood.fortunes, random),
                "day" => pick(&TIMES, random),
                "hour" => pick(&HOURS, random),
                _ => unreachable!("no slot is called {slot}"),
            };
            text.push_str(word);
            rest = after;
        }
        text.push_str(rest);
        sentence_case(&articles(&text))
    }
}

/// "a" before a vowel becomes "an".
fn articles(text: &str) -> String {
    let words: Vec<&str> = text.split(' ').collect();
    let mut fixed = Vec::with_capacity(words.len());
    for (index, word) in words.iter().enumerate() {
        let vowel = words.get(index + 1).is_some_and(|next| next.starts_with(['a', 'e', 'i', 'o', 'A', 'E', 'I', 'O']));
        // "useless" is the one word with a vowel letter u in the lists, and it takes "a"; "ugly" and "unpleasant" take "an".
        let vowel = vowel || words.get(index + 1).is_some_and(|next| next.starts_with("ug") || next.starts_with("un"));
        fixed.push(match *word {
            "a" if vowel => "an",
            "A" if vowel => "An",
            other => other,
        });
    }
    fixed.join(" ")
}

fn sentence_case(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| first.to_uppercase().chain(characters).collect())
}

fn pick<T: Copy>(items: &[T], random: &mut Random) -> T {
    items[random.below(items.len() as u64) as usize]
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: Amounts = Amounts { documents: 30, train_rows: 50, dev_rows: 200 };

    #[test]
    fn the_same_seed_writes_the_same_files() {
        let (first, again, other) = (generate(SMALL, 1), generate(SMALL, 1), generate(SMALL, 2));
        assert_eq!(first.corpus, again.corpus);
        assert_eq!(first.train, again.train);
        assert_eq!(first.dev, again.dev);
        assert_ne!(first.corpus, other.corpus);
    }

    #[test]
    fn documents_are_separated_and_keep_their_people() {
        let corpus = generate(SMALL, 1).corpus;
        let documents: Vec<&str> = corpus.split("\n\n").collect();
        assert_eq!(documents.len(), SMALL.documents);
        for document in documents {
            let named = PEOPLE.iter().filter(|person| document.contains(person.name)).count();
            assert_eq!(named, 2, "{document}");
            assert!(document.matches('.').count() >= 8, "{document}");
            assert!(!document.contains(['{', '}']), "{document}");
        }
    }

    #[test]
    fn a_document_has_one_mood() {
        for document in generate(SMALL, 1).corpus.split("\n\n") {
            let words: Vec<&str> = document.split(|c: char| !c.is_alphabetic()).collect();
            let moods = MOODS.iter().filter(|mood| mood.adjectives.iter().any(|word| words.contains(word))).count();
            assert_eq!(moods, 1, "{document}");
        }
    }

    #[test]
    fn training_rows_use_a_third_of_the_topics_words() {
        let sample = generate(Amounts { documents: 1, train_rows: 2_000, dev_rows: 2_000 }, 1);
        let used = |table: &str| -> usize {
            let words: Vec<&str> = table.split(|c: char| !c.is_alphabetic()).collect();
            TOPICS.iter().flat_map(|topic| topic.things).filter(|word| words.contains(word)).count()
        };
        assert_eq!(used(&sample.train), 8 * 4);
        assert!(used(&sample.dev) > 8 * 8);
    }

    #[test]
    fn topics_share_no_word() {
        let mut words: Vec<&str> = TOPICS
            .iter()
            .flat_map(|topic| [topic.places, topic.workers, topic.things, topic.deeds, topic.animals])
            .flatten()
            .copied()
            .collect();
        let all = words.len();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), all);
    }

    #[test]
    fn articles_fit_the_next_word() {
        assert_eq!(articles("a apple and a useless hat, A ugly hat"), "an apple and a useless hat, An ugly hat");
    }
}
