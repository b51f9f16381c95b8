//! What a pre-training reads: text or files of instances, and the same held out.

use std::path::PathBuf;

use cloze_tokenizer::Tokenizer;

use crate::Error;
use crate::data::google::InstanceFiles;
use crate::data::{Corpus, Objective, ReadCorpus};
use crate::settings::PretrainSettings;
use crate::train::events::{Event, Observer};

/// What instances come from.
pub(crate) enum Data {
    /// They are drawn anew in every epoch.
    Corpus(Corpus),
    /// They are given, in their order.
    Instances(Box<InstanceFiles>),
}

impl Data {
    /// SHA-256 of the contents, in hexadecimal.
    fn hash(&self) -> String {
        match self {
            Data::Corpus(corpus) => corpus.hash(),
            Data::Instances(instances) => instances.hash().to_string(),
        }
    }
}

/// What to train on and what is held out.
pub(super) struct Sets {
    pub train: Data,
    pub held_out: Option<Data>,
}

impl Sets {
    /// Reads everything, and says how much it is.
    pub fn read(settings: &PretrainSettings, tokenizer: &Tokenizer, observer: &mut Observer) -> Result<Sets, Error> {
        if settings.instances.is_empty() {
            read_corpora(settings, tokenizer, observer)
        } else {
            read_instances(settings, tokenizer, observer)
        }
    }

    /// SHA-256 of all that is read.
    pub fn hash(&self) -> String {
        match &self.held_out {
            None => self.train.hash(),
            Some(held_out) => format!("{}+{}", self.train.hash(), held_out.hash()),
        }
    }
}

fn read_corpora(settings: &PretrainSettings, tokenizer: &Tokenizer, observer: &mut Observer) -> Result<Sets, Error> {
    let mut read = |files: &[PathBuf], what: &'static str| {
        let mut progress = |done, total| {
            let _ = observer(&Event::Progress { what, done, total });
        };
        let read = Corpus::read(files, tokenizer, &settings.corpus_options(), &mut progress)?;
        for text in left_out(&read) {
            let _ = observer(&Event::Note(text));
        }
        Ok::<Corpus, Error>(read.corpus)
    };
    let corpus = read(&settings.input, "reading the corpus")?;
    let (corpus, held_out) = if settings.dev.is_empty() {
        corpus.hold_out(settings.dev_fraction, settings.update.seed)
    } else {
        (corpus, Some(read(&settings.dev, "reading the held-out text")?))
    };
    let mut note = |text: String| {
        let _ = observer(&Event::Note(text));
    };
    note(format!(
        "{} documents, {} sentences, {} tokens to train on",
        corpus.documents(),
        corpus.sentences(),
        corpus.tokens()
    ));
    match &held_out {
        Some(held_out) => note(format!(
            "{} documents, {} tokens held out; their unigram entropy is {:.4} nats a token",
            held_out.documents(),
            held_out.tokens(),
            held_out.unigram_entropy(tokenizer.vocab_size())
        )),
        None if settings.dev_fraction > 0.0 => note(
            "no documents are held out, there being fewer than 20 different ones; give --dev to evaluate on other text"
                .to_string(),
        ),
        None => {}
    }
    if settings.objective == Objective::MlmNsp && corpus.is_single_document() {
        note(
            "there is only one document: the random next sentences come from itself, which makes next sentence \
             prediction harder; separate documents by blank lines or give several files"
                .to_string(),
        );
    }
    Ok(Sets { train: Data::Corpus(corpus), held_out: held_out.map(Data::Corpus) })
}

/// What a user should know of what was not read.
fn left_out(read: &ReadCorpus) -> Vec<String> {
    const SHOWN: usize = 5;
    let mut notes = Vec::new();
    if !read.skipped.is_empty() {
        let names: Vec<String> = read.skipped.iter().take(SHOWN).map(|path| path.display().to_string()).collect();
        let more = if read.skipped.len() > SHOWN { ", …" } else { "" };
        notes.push(format!(
            "{} files read, {} hidden files or files of other endings skipped: {}{more}",
            read.files,
            read.skipped.len(),
            names.join(", ")
        ));
    }
    if read.duplicates > 0 {
        notes.push(format!("{} documents left out, being copies of others", read.duplicates));
    }
    notes
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
    Ok(Sets { train, held_out })
}
