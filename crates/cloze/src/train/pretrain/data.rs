//! What a pre-training reads: text or files of instances, and the same held out.

use std::fs;
use std::path::{Path, PathBuf};

use cloze_tokenizer::Tokenizer;

use crate::data::corpus::{Existing, has_shards, prepare, remove_store, store_among};
use crate::data::google::InstanceFiles;
use crate::data::masking::share_of_chinese_characters;
use crate::data::{Corpus, CorpusOptions, Objective, Store, StoreOptions};
use crate::error::at;
use crate::folder::{Reading, remove_stale};
use crate::settings::PretrainSettings;
use crate::train::events::{Event, Observer};
use crate::{Error, grouped};

/// What instances come from.
pub(crate) enum Data {
    /// They are drawn anew in every epoch.
    Corpus(Corpus),
    /// They are given, in their order.
    Instances(Box<InstanceFiles>),
}

impl Data {
    /// SHA-256 of the contents, in hexadecimal.
    fn hash(&self) -> Result<String, Error> {
        match self {
            Data::Corpus(corpus) => corpus.hash(),
            Data::Instances(instances) => Ok(instances.hash().to_string()),
        }
    }
}

/// What to train on and what is held out.
pub(super) struct Sets {
    pub train: Data,
    pub held_out: Option<Data>,
    /// Keep others from changing the stores that are read.
    _guards: Vec<Reading>,
}

/// From this share of Chinese characters on, whole-word masking is said to do nothing for them.
const CHINESE_SHARE: f64 = 0.05;

/// The folder in the output folder that text is prepared into, until the run has ended.
const CACHE: &str = "corpus";

impl Sets {
    /// Reads everything, and says how much it is. Text becomes a store in the output folder; one that is there is used if
    /// it is of the same files.
    pub fn read(
        settings: &PretrainSettings,
        tokenizer: &Tokenizer,
        output: &Path,
        observer: &mut Observer,
    ) -> Result<Sets, Error> {
        if !settings.instances.is_empty() {
            return read_instances(settings, tokenizer, observer);
        }
        let cache = output.join(CACHE);
        let sets = read_corpora(settings, tokenizer, &cache, observer);
        if sets.is_err() && [TRAIN, DEV].iter().all(|name| !has_shards(&cache.join(name))) {
            // There is nothing in it that another try could use.
            remove_cache(output)?;
        }
        sets
    }

    /// SHA-256 of all that is read.
    pub fn hash(&self) -> Result<String, Error> {
        match &self.held_out {
            None => self.train.hash(),
            Some(held_out) => Ok(format!("{}+{}", self.train.hash()?, held_out.hash()?)),
        }
    }
}

/// Removes the stores that [`Sets::read`] has made in the output folder.
pub(super) fn remove_cache(output: &Path) -> Result<(), Error> {
    let cache = output.join(CACHE);
    for name in [TRAIN, DEV] {
        remove_store(&cache.join(name))?;
    }
    // Whatever else there is stays.
    remove_stale(&cache);
    let _ = fs::remove_file(cache.join(PLAN));
    let _ = fs::remove_dir(cache);
    Ok(())
}

/// The stores in the cache, and the plan of the epoch that is under way.
const TRAIN: &str = "train";
const DEV: &str = "dev";
const PLAN: &str = "plan";

/// The file for the plan of an epoch; its folder is there then.
pub(super) fn plan_file(output: &Path) -> Result<PathBuf, Error> {
    let cache = output.join(CACHE);
    fs::create_dir_all(&cache).map_err(at("create", &cache))?;
    remove_stale(&cache);
    Ok(cache.join(PLAN))
}

fn read_corpora(
    settings: &PretrainSettings,
    tokenizer: &Tokenizer,
    cache: &Path,
    observer: &mut Observer,
) -> Result<Sets, Error> {
    let mut guards = Vec::new();
    let mut read = |inputs: &[PathBuf], name: &str| {
        let mut progress = |what, done, total| {
            let _ = observer(&Event::Progress { what, done, total });
        };
        let options = settings.corpus_options();
        let store = match store_among(inputs)? {
            Some(dir) => {
                let mut progress = |done, total| progress("checking the corpus", done, total);
                // What is measured on may have been made in another way.
                let asked = if name == DEV { CorpusOptions::default() } else { options };
                Store::open(dir, tokenizer, &asked, &mut progress)?
            }
            None => {
                let options = StoreOptions::new(options);
                prepare(inputs, tokenizer, &options, &cache.join(name), Existing::Renew, &mut progress)?
            }
        };
        for text in store.notes() {
            let _ = observer(&Event::Note(text));
        }
        guards.push(store.guard);
        Ok::<Corpus, Error>(store.read.corpus)
    };
    let corpus = read(&settings.input, TRAIN)?;
    let (corpus, held_out) = if settings.dev.is_empty() {
        corpus.hold_out(settings.dev_fraction, settings.update.seed)?
    } else {
        (corpus, Some(read(&settings.dev, DEV)?))
    };
    let mut note = |text: String| {
        let _ = observer(&Event::Note(text));
    };
    note(format!(
        "{} documents, {} sentences, {} tokens to train on",
        grouped(corpus.documents() as u64),
        grouped(corpus.sentences() as u64),
        grouped(corpus.tokens() as u64)
    ));
    match &held_out {
        Some(held_out) if held_out.is_ends_of_documents() => note(format!(
            "there are fewer than 20 different documents, so the end of each is held out: {} sentences, {} tokens; their \
             unigram entropy is {:.4} nats a token; give --dev to evaluate on other text",
            held_out.sentences(),
            held_out.tokens(),
            held_out.unigram_entropy(tokenizer.vocab_size())?
        )),
        Some(held_out) => note(format!(
            "{} documents, {} tokens held out; their unigram entropy is {:.4} nats a token",
            grouped(held_out.documents() as u64),
            grouped(held_out.tokens() as u64),
            held_out.unigram_entropy(tokenizer.vocab_size())?
        )),
        None if settings.dev_fraction > 0.0 => note(
            "nothing is held out: there are fewer than 20 different documents, and too few sentences to hold out 200 of \
             them; give --dev to evaluate on other text"
                .to_string(),
        ),
        None => {}
    }
    if settings.whole_word {
        let share = share_of_chinese_characters(tokenizer, &corpus.token_counts(tokenizer.vocab_size())?);
        if share > CHINESE_SHARE {
            note(format!(
                "{:.0} % of the tokens are Chinese characters, each of which is a word here: whole-word masking masks \
                 them one by one. To mask whole Chinese words, make instances from a word-segmented file with another \
                 program, and train on them with --instances",
                100.0 * share
            ));
        }
    }
    if settings.objective == Objective::MlmNsp && corpus.is_single_document() {
        note(
            "there is only one document: the random next sentences come from itself, which makes next sentence \
             prediction harder; separate documents by blank lines or give several files"
                .to_string(),
        );
    }
    Ok(Sets { train: Data::Corpus(corpus), held_out: held_out.map(Data::Corpus), _guards: guards })
}

fn read_instances(settings: &PretrainSettings, tokenizer: &Tokenizer, observer: &mut Observer) -> Result<Sets, Error> {
    let mut open = |files: &[PathBuf], what: &'static str| {
        let mut progress = |done, total| {
            let _ = observer(&Event::Progress { what, done, total });
        };
        let instances = InstanceFiles::open(files, tokenizer, &mut progress)?;
        if instances.longest() > settings.max_seq_length {
            return Err(Error::Settings(format!(
                "there are instances of {} tokens, but the maximum is {}; give --max-seq-length {}",
                instances.longest(),
                settings.max_seq_length,
                instances.longest()
            )));
        }
        let _ = observer(&Event::Note(format!("{} instances, {} tokens: {what}", instances.len(), instances.tokens())));
        Ok(Data::Instances(Box::new(instances)))
    };
    let train = open(&settings.instances, "reading the instances")?;
    let held_out = match settings.dev.is_empty() {
        true => None,
        false => Some(open(&settings.dev, "reading the held-out instances")?),
    };
    Ok(Sets { train, held_out, _guards: Vec::new() })
}
