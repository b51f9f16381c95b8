//! Text to pre-train on: documents in files of every kind, sentences, instances, stores.

use std::fs;
use std::path::{Path, PathBuf};

use cloze::data::corpus::{Existing, prepare};
use cloze::data::documents::for_each_block;
use cloze::data::google::{
    FileFormat, InstanceFiles, InstanceOptions, PythonRandom, create_instances, read_documents, write_instances,
};
use cloze::data::tfrecord::read_record;
use cloze::data::{Corpus, CorpusOptions, DocumentBreak, DocumentOptions, Store, StoreOptions, sentences};
use cloze_tokenizer::Tokenizer;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::models::tokenizer;
use super::packed::{from_gzip, from_tfrecord, from_zstd, gzip, tfrecord, zstd};
use super::{LONG, Run, TIMES, Target, copy_folder, fixtures, long_texts, told, write};
use crate::mutate::Shape;

const PROSE: &str =
    "The cat sat. \"A dog,\" he said! Dr. A. B. Cat sat?\nthe dog sat…\n\nA cat: the dog; 3.5 cats。猫。\n";

pub const TEXT: Target = Target {
    name: "documents-txt",
    what: "documents in .txt",
    shape: Shape::Text,
    length_max: LONG,
    bytes_times: TIMES,
    seeds: |_| [vec![PROSE.as_bytes().to_vec()], long_texts()].concat(),
    prepare: |folder| documents(folder, "input.txt"),
};

pub const RECORDS: Target = Target {
    name: "documents-jsonl",
    what: "documents in .jsonl",
    shape: Shape::JsonLines,
    length_max: LONG,
    bytes_times: TIMES,
    seeds: |_| {
        // A field that nobody reads takes no memory.
        let other = format!("{{\"other\": [{}0], \"text\": \"a\"}}\n", "0,".repeat(4 * LONG));
        vec![
            b"{\"text\": \"The cat sat. A dog sat.\"}\n{\"id\": 1, \"text\": \"\\u00e9\\n\\na\"}\n".to_vec(),
            other.into_bytes(),
            "{\"[\n".repeat(LONG / 4).into_bytes(),
        ]
    },
    prepare: |folder| documents(folder, "input.jsonl"),
};

pub const PARQUET: Target = Target {
    name: "documents-parquet",
    what: "documents in .parquet",
    shape: Shape::Bytes,
    length_max: LONG,
    bytes_times: TIMES,
    seeds: |_| of_fixtures("parquet"),
    prepare: |folder| documents(folder, "input.parquet"),
};

pub const GZIP: Target = Target {
    name: "documents-gzip",
    what: "documents in .txt.gz and .jsonl.gz",
    shape: Shape::Packed { unpack: from_gzip, pack: |contents, _| gzip(contents), inner: &Shape::Text },
    length_max: LONG,
    bytes_times: TIMES,
    seeds: |_| vec![gzip(PROSE.as_bytes()), gzip(b"{\"text\": \"The cat sat.\"}\n")],
    prepare: |folder| two(documents(folder, "input.txt.gz"), documents(folder, "input.jsonl.gz")),
};

pub const ZSTD: Target = Target {
    name: "documents-zstd",
    what: "documents in .txt.zst and .jsonl.zst",
    shape: Shape::Packed { unpack: from_zstd, pack: |contents, _| zstd(contents), inner: &Shape::Text },
    length_max: LONG,
    bytes_times: TIMES,
    seeds: |_| vec![zstd(PROSE.as_bytes()), zstd(b"{\"text\": \"The cat sat.\"}\n")],
    prepare: |folder| two(documents(folder, "input.txt.zst"), documents(folder, "input.jsonl.zst")),
};

pub const SENTENCES: Target = Target {
    name: "sentences",
    what: "prose to split into sentences",
    shape: Shape::Text,
    length_max: LONG,
    bytes_times: TIMES,
    seeds: |_| {
        [vec![PROSE.as_bytes().to_vec(), b"a. b. c. d ".to_vec(), "नमस्ते। दो। ".as_bytes().to_vec()], long_texts()]
            .concat()
    },
    prepare: |_| {
        Box::new(|input| {
            let text = String::from_utf8_lossy(input);
            let parts = sentences::split(&text);
            let mut rest = &*text;
            for part in &parts {
                let at = rest.find(part).expect("sentences follow each other in the text");
                assert!(rest[..at].trim().is_empty(), "only space lies between sentences, not {:?}", &rest[..at]);
                rest = &rest[at + part.len()..];
            }
            assert!(rest.trim().is_empty(), "the last sentence ends the text, not {rest:?}");
            // How long the first ones are, as letters, so that other ways to split are other answers.
            parts.iter().take(5).map(|part| char::from(b'a' + part.len().ilog2() as u8)).collect()
        })
    },
};

pub const TFRECORD: Target = Target {
    name: "tfrecord",
    what: "records with checksums",
    shape: Shape::Bytes,
    length_max: LONG,
    bytes_times: TIMES,
    seeds: |_| vec![[tfrecord(b"a", b""), tfrecord(b"", b""), tfrecord(&[7; 300], b"")].concat()],
    prepare: |_| {
        Box::new(|mut input| {
            let (mut record, mut offset, mut count) = (Vec::new(), 0, 0);
            loop {
                match read_record(&mut record, &mut input, &mut offset, Path::new("input.tfrecord")) {
                    Ok(true) => count += 1,
                    Ok(false) => return format!("{count} records"),
                    Err(error) => return error.to_string(),
                }
            }
        })
    },
};

pub const INSTANCES_JSONL: Target = Target {
    name: "instances-jsonl",
    what: "instances in .jsonl",
    shape: Shape::JsonLines,
    length_max: LONG,
    bytes_times: TIMES,
    seeds: |folder| vec![made_instances(folder, "made.jsonl")],
    prepare: |folder| instances(folder, "input.jsonl"),
};

pub const INSTANCES_TFRECORD: Target = Target {
    name: "instances-tfrecord",
    what: "instances in .tfrecord",
    shape: Shape::Packed { unpack: from_tfrecord, pack: tfrecord, inner: &Shape::Bytes },
    length_max: LONG,
    bytes_times: TIMES,
    seeds: |folder| vec![made_instances(folder, "made.tfrecord")],
    prepare: |folder| instances(folder, "input.tfrecord"),
};

pub const STORE: Target = Target {
    name: "store-json",
    what: "store.json of a prepared corpus, with a checksum that is right",
    shape: Shape::Json,
    length_max: LONG,
    bytes_times: TIMES,
    seeds: |folder| vec![fs::read(made_store(folder).join("store.json")).expect("its contents")],
    prepare: |folder| {
        let store = made_store(folder);
        Box::new(move |input| {
            write(&store.join("store.json"), &with_sum(input));
            use_store(&store)
        })
    },
};

pub const STORE_SHARD: Target = Target {
    name: "store-shard",
    what: "a file of a shard of a prepared corpus, with a checksum that is right; the first byte chooses which",
    shape: Shape::Bytes,
    length_max: LONG,
    bytes_times: TIMES,
    seeds: |folder| {
        let store = made_store(folder);
        let files = shard_files(&store);
        files.iter().zip(0..).map(|(path, at)| [vec![at], fs::read(path).expect("a file")].concat()).collect()
    },
    prepare: |folder| {
        let (store, copy) = (made_store(folder), folder.join("copy"));
        Box::new(move |input| {
            let Some((which, contents)) = input.split_first() else { return String::new() };
            copy_folder(&store, &copy);
            let files = shard_files(&copy);
            let path = &files[usize::from(*which) % files.len()];
            let text = fs::read_to_string(copy.join("store.json")).expect("its contents");
            let before = sum(&fs::read(path).expect("a file"));
            write(path, contents);
            write(&copy.join("store.json"), &with_sum(text.replace(&before, &sum(contents)).as_bytes()));
            use_store(&copy)
        })
    },
};

/// The files of the product's tests with an ending.
fn of_fixtures(ending: &str) -> Vec<Vec<u8>> {
    let folder = fixtures().join("documents");
    let mut paths: Vec<PathBuf> =
        fs::read_dir(folder).expect("fixtures").map(|entry| entry.expect("one").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|of| of == ending));
    paths.sort();
    paths.iter().map(|path| fs::read(path).expect("a fixture")).collect()
}

fn two(mut first: Run, mut second: Run) -> Run {
    Box::new(move |input| first(input) + &second(input))
}

/// Reads documents as pieces, then as a corpus.
fn documents(folder: &Path, name: &str) -> Run {
    let path = folder.join(name);
    let tokenizer = tokenizer();
    Box::new(move |input| {
        write(&path, input);
        let files = [path.clone()];
        let mut answers = String::new();
        for document in [DocumentBreak::BlankLine, DocumentBreak::File, DocumentBreak::Record] {
            let options = DocumentOptions { document, ..DocumentOptions::default() };
            let mut ended = 0;
            let read = for_each_block(&files, &options, &mut |_, _| {}, &mut |pieces| {
                ended += pieces.iter().filter(|piece| piece.ends_document).count();
                Ok(())
            });
            answers += &told(read, |unread| format!("{document:?}, {} files not read", unread.len()));
        }
        answers
            + &told(Corpus::read(&files, &tokenizer, &CorpusOptions::default(), &mut |_, _| {}), |read| {
                let corpus = read.corpus;
                for at in 0..corpus.documents() {
                    corpus.read_document(at).expect("a document in memory");
                }
                format!("{} documents", corpus.documents().min(9))
            })
    })
}

fn made_instances(folder: &Path, name: &str) -> Vec<u8> {
    let text = folder.join("text.txt");
    fs::write(&text, "the cat sat\na dog sat\nthe dog sat a cat\n\na cat sat\nthe dog\nthe cat\n").expect("a file");
    let tokenizer = tokenizer();
    let mut documents = read_documents(&[text], &tokenizer).expect("documents");
    let options = InstanceOptions { max_seq_length: 16, dupe_factor: 2, ..InstanceOptions::default() };
    let mut random = PythonRandom::new(1);
    let instances =
        create_instances(&mut documents, &tokenizer, &options, &mut random, &mut |_, _| {}).expect("instances");
    let path = folder.join(name);
    write_instances(&path, &instances, &tokenizer, &options).expect("a file of instances");
    assert!(FileFormat::of(&path).is_ok());
    fs::read(path).expect("it")
}

fn instances(folder: &Path, name: &str) -> Run {
    let path = folder.join(name);
    let tokenizer = tokenizer();
    Box::new(move |input| {
        write(&path, input);
        told(InstanceFiles::open(std::slice::from_ref(&path), &tokenizer, &mut |_, _| {}), |files| {
            let read = files.read(0..files.len()).expect("what was read once");
            for instance in &read {
                assert_eq!(instance.tokens.len(), instance.segment_ids.len());
                assert!(instance.masked_lm_positions.iter().all(|&at| (at as usize) < instance.tokens.len()));
            }
            format!("{} instances", read.len())
        })
    })
}

fn made_store(folder: &Path) -> PathBuf {
    let (text, store) = (folder.join("text.txt"), folder.join("store"));
    fs::write(&text, "The cat sat. A dog sat.\n\nThe dog sat. A cat.\n\nThe cat.\n").expect("a file");
    let options = StoreOptions::new(CorpusOptions::default());
    let made = prepare(&[text], &tokenizer(), &options, &store, Existing::Replace, &mut |_, _, _| {});
    assert!(made.expect("a store").read.corpus.documents() > 0);
    store
}

/// The files with the numbers of a store's shards.
fn shard_files(store: &Path) -> Vec<PathBuf> {
    let tokenizer_files = ["txt", "json"];
    let mut paths: Vec<PathBuf> =
        fs::read_dir(store).expect("a store").map(|entry| entry.expect("one").path()).collect();
    paths.retain(|path| path.extension().is_none_or(|ending| tokenizer_files.iter().all(|of| *ending != **of)));
    paths.sort();
    assert!(!paths.is_empty(), "a store has shards");
    paths
}

fn sum(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `store.json` with the checksum that it should have: that of itself with an empty one.
fn with_sum(input: &[u8]) -> Vec<u8> {
    let Ok(mut json) = serde_json::from_slice::<Value>(input) else { return input.to_vec() };
    if !json.is_object() {
        return input.to_vec();
    }
    json["sha256"] = "".into();
    let empty = serde_json::to_string_pretty(&json).expect("JSON");
    json["sha256"] = sum(empty.as_bytes()).into();
    (serde_json::to_string_pretty(&json).expect("JSON") + "\n").into_bytes()
}

fn use_store(store: &Path) -> String {
    let tokenizer = match Tokenizer::open(store, cloze_tokenizer::Casing::Uncased) {
        Ok(tokenizer) => tokenizer,
        Err(error) => return error.to_string(),
    };
    told(Store::open(store, &tokenizer, &CorpusOptions::default(), &mut |_, _| {}), |store| {
        let corpus = &store.read.corpus;
        let read: Vec<String> = (0..corpus.documents().min(1000))
            .map(|at| told(corpus.read_document(at), |document| document.len().to_string()))
            .collect();
        let entropy = told(corpus.unigram_entropy(tokenizer.vocab_size()), |entropy| format!("{entropy}"));
        format!("{}{entropy}{}", read.concat(), told(corpus.hash(), |hash| hash))
    })
}
