//! Corpora from files and from lists.

use std::fs;
use std::path::PathBuf;

use cloze_tokenizer::{Casing, Tokenizer};

use super::*;
use crate::data::documents::{BLOCK_BYTES, DocumentBreak};

fn tokenizer() -> Tokenizer {
    let tokens = "[PAD] [UNK] [CLS] [SEP] [MASK] a b c d e oh . !";
    Tokenizer::from_tokens(tokens.split(' ').map(str::to_string).collect(), Casing::Uncased).unwrap()
}

/// Reads files with these contents; `Err` is the message.
fn read(files: &[&[u8]], document_break: DocumentBreak, unit: SentenceUnit) -> Result<Corpus, String> {
    let folder = tempfile::tempdir().unwrap();
    let mut paths = Vec::new();
    for (number, content) in files.iter().enumerate() {
        let path = folder.path().join(format!("{number}.txt"));
        fs::write(&path, content).unwrap();
        paths.push(path);
    }
    let mut done = Vec::new();
    let options = CorpusOptions { document: document_break, sentences: unit, ..CorpusOptions::default() };
    let corpus = Corpus::read(&paths, &tokenizer(), &options, &mut |now, total| done.push((now, total)));
    if corpus.is_ok() {
        let total = files.iter().map(|file| file.len() as u64).sum();
        assert_eq!(done.last(), Some(&(total, total)));
    }
    corpus
        .map(|read| read.corpus)
        .map_err(|error| error.to_string().replace(&format!("{}/", folder.path().display()), ""))
}

/// All documents, sentence by sentence.
fn documents(corpus: &Corpus) -> Vec<Vec<Vec<u32>>> {
    (0..corpus.documents()).map(|d| corpus.read_document(d).unwrap()).collect()
}

/// Documents, their sentences, their tokens as letters.
fn letters(corpus: &Corpus) -> Vec<Vec<String>> {
    let tokenizer = tokenizer();
    let letters = |sentence: &Vec<u32>| sentence.iter().map(|&id| tokenizer.token(id).unwrap()).collect();
    documents(corpus).iter().map(|document| document.iter().map(letters).collect()).collect()
}

#[test]
fn lines_are_sentences_and_blank_lines_end_documents() {
    let files: [&[u8]; 2] = ["\u{feff}A b\r\n  c \n\u{200b}\nd\n\n\n \t\nE".as_bytes(), b"\n\na\n"];
    let corpus = read(&files, DocumentBreak::BlankLine, SentenceUnit::Line).unwrap();
    assert_eq!(letters(&corpus), [&["ab", "c", "d"][..], &["e"], &["a"]]);
    assert_eq!((corpus.documents(), corpus.sentences(), corpus.tokens()), (3, 5, 6));
    assert_eq!(corpus.document(1).unwrap().sentences, 3..4);
    assert!(!corpus.is_single_document());
}

#[test]
fn only_the_end_of_a_file_ends_a_document_on_request() {
    let corpus = read(&[b"a\n\nb", b"c"], DocumentBreak::File, SentenceUnit::Line).unwrap();
    assert_eq!(letters(&corpus), [&["a", "b"][..], &["c"]]);
}

#[test]
fn copies_are_dropped_on_request_in_whatever_blocks_they_come() {
    let folder = tempfile::tempdir().unwrap();
    // The second document is longer than a block, and so is its copy.
    let long = "a b\n".repeat(BLOCK_BYTES / 3);
    let paths = [folder.path().join("1.txt"), folder.path().join("2.txt")];
    fs::write(&paths[0], format!("a\n\n{long}\n\n a \n\n\nc\n")).unwrap();
    fs::write(&paths[1], format!("{long}\n\nc\nc\n\nc")).unwrap();
    let options = CorpusOptions { sentences: SentenceUnit::Line, drop_duplicates: true, ..CorpusOptions::default() };
    let read = Corpus::read(&paths, &tokenizer(), &options, &mut |_, _| ()).unwrap();
    assert_eq!((read.corpus.documents(), read.duplicates, read.files), (4, 3, 2));
    let sizes: Vec<usize> = (0..4).map(|d| read.corpus.document(d).unwrap().sentences()).collect();
    assert_eq!(sizes, [1, BLOCK_BYTES / 3, 1, 2]);
    assert_eq!(read.corpus.tokens(), 1 + 2 * (BLOCK_BYTES / 3) + 1 + 2);
    let kept = CorpusOptions { drop_duplicates: false, ..options };
    let read = Corpus::read(&paths, &tokenizer(), &kept, &mut |_, _| ()).unwrap();
    assert_eq!((read.corpus.documents(), read.duplicates), (7, 0));
}

#[test]
fn prose_is_split() {
    let corpus = read(&[b"A oh. C!\nD e\n"], DocumentBreak::BlankLine, SentenceUnit::Split).unwrap();
    assert_eq!(letters(&corpus), [["aoh.", "c!", "de"]]);
}

#[test]
fn a_file_of_several_blocks_is_read_whole_and_alike_on_any_number_of_threads() {
    // Long lines, so that blocks end within lines, and a blank line now and then.
    let mut text = String::new();
    for line in 0..600 {
        text.push_str(&"a b  c. D e".repeat(400 + line));
        text.push_str(if line % 7 == 0 { "\n\n" } else { "\n" });
    }
    assert!(text.len() > 2 * BLOCK_BYTES);
    let read_on = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| read(&[text.as_bytes()], DocumentBreak::BlankLine, SentenceUnit::Line).unwrap())
    };
    let corpus = read_on(1);
    assert_eq!((corpus.documents(), corpus.sentences()), (87, 600));
    assert_eq!(documents(&corpus), documents(&read_on(3)));
    text.push('\u{e9}');
    let mut bytes = text.into_bytes();
    bytes.pop();
    let error = read(&[&bytes], DocumentBreak::BlankLine, SentenceUnit::Line).unwrap_err();
    assert!(error.starts_with("0.txt:687: byte 1 of the line, 0xC3, is not UTF-8"), "{error}");
}

#[test]
fn faults_are_named() {
    let failure = |files: &[&[u8]]| read(files, DocumentBreak::BlankLine, SentenceUnit::Line).unwrap_err();
    assert!(failure(&[b"a", b"b\nab \xe9t\xe9\n"]).starts_with("1.txt:2: byte 4 of the line, 0xE9, is not UTF-8"));
    assert!(failure(&[b" \n\n"]).starts_with("0.txt: the file holds no text"));
    assert_eq!(failure(&[]), "a corpus needs at least one text file");
    let missing = [PathBuf::from("no/such/file")];
    let error = Corpus::read(&missing, &tokenizer(), &CorpusOptions::default(), &mut |_, _| {}).unwrap_err();
    assert!(error.to_string().starts_with("cannot read no/such/file: "), "{error}");
}

fn numbered(documents: u32) -> Corpus {
    let document = |d: u32| vec![vec![d], vec![d, d]];
    Corpus::from_documents(&(0..documents).map(document).collect::<Vec<_>>())
}

/// The documents to train on, and those held out.
#[allow(clippy::type_complexity)]
fn held_out(corpus: Corpus, fraction: f64, seed: u64) -> (Vec<Vec<Vec<u32>>>, Option<Vec<Vec<Vec<u32>>>>) {
    let (train, held_out) = corpus.hold_out(fraction, seed).unwrap();
    (documents(&train), held_out.as_ref().map(documents))
}

#[test]
fn documents_are_held_out_by_seed() {
    for (documents, fraction, expected) in [(100, 0.1, 10), (100, 0.001, 2), (62, 0.01, 2), (20, 0.999, 18)] {
        let (train, held_out) = numbered(documents).hold_out(fraction, 1).unwrap();
        let held_out = held_out.unwrap();
        assert_eq!((held_out.documents(), train.documents()), (expected, documents as usize - expected));
        let documents_of = |corpus: &Corpus| self::documents(corpus).iter().map(|document| document[0][0]).collect();
        let (train, held_out): (Vec<u32>, Vec<u32>) = (documents_of(&train), documents_of(&held_out));
        assert!(train.is_sorted() && held_out.is_sorted());
        let mut all = [train, held_out].concat();
        all.sort_unstable();
        assert!(all.into_iter().eq(0..documents), "each document is in one of the parts");
    }
    assert_eq!(held_out(numbered(100), 0.1, 1), held_out(numbered(100), 0.1, 1));
    assert_ne!(held_out(numbered(100), 0.1, 1).1, held_out(numbered(100), 0.1, 2).1);
}

#[test]
fn the_same_documents_are_held_out_in_whatever_order_they_come_with_their_copies() {
    let all: Vec<Vec<Vec<u32>>> = (0..300).map(|d| vec![vec![d % 150], vec![d % 150, 7]]).collect();
    let held_out = |documents: &[Vec<Vec<u32>>]| {
        let (train, held_out) = Corpus::from_documents(documents).hold_out(0.1, 5).unwrap();
        let first_tokens = |corpus: Corpus| {
            let mut tokens: Vec<u32> = self::documents(&corpus).iter().map(|document| document[0][0]).collect();
            tokens.sort_unstable();
            tokens
        };
        (first_tokens(train), first_tokens(held_out.unwrap()))
    };
    let (train, dev) = held_out(&all);
    assert_eq!((train.len(), dev.len()), (270, 30), "a tenth of the 150 different ones, each twice");
    assert!(train.chunks(2).chain(dev.chunks(2)).all(|copies| copies[0] == copies[1]));
    let mut turned: Vec<_> = all.iter().rev().cloned().collect();
    turned.rotate_left(100);
    assert_eq!(held_out(&turned), (train, dev.clone()));
    // Other documents beside them move the edge, but not the order.
    let (_, fewer) = held_out(&all[..120]);
    assert_eq!(fewer.len(), 12);
    let mut ranks: Vec<u32> = dev;
    ranks.dedup();
    assert!(fewer.iter().filter(|d| ranks.contains(d)).count() >= 9, "{fewer:?} of {ranks:?}");
}

#[test]
fn nothing_is_held_out_of_few_documents() {
    assert_eq!(held_out(numbered(19), 0.5, 1), (documents(&numbered(19)), None));
    assert_eq!(held_out(numbered(100), 0.0, 1), (documents(&numbered(100)), None));
    let copies = Corpus::from_documents(&[(); 100].map(|()| vec![[1, 2]]));
    assert_eq!(held_out(copies.clone(), 0.5, 1), (documents(&copies), None));
}

#[test]
fn of_few_documents_the_ends_are_held_out() {
    // 19 documents of 100 sentences, and one sentence alone: 200 sentences are more than a hundredth of them.
    let document = |d: u32| (0..100).map(|sentence| vec![d, 99, 100 + sentence]).collect::<Vec<_>>();
    let mut all: Vec<Vec<Vec<u32>>> = (0..18).map(document).collect();
    all.push(vec![vec![98]]);
    let (train, dev) = Corpus::from_documents(&all).hold_out(0.01, 1).unwrap();
    let dev = dev.unwrap();
    assert!(dev.is_ends_of_documents() && !train.is_ends_of_documents());
    assert_eq!((train.documents(), dev.documents()), (19, 18));
    assert_eq!((dev.sentences(), dev.tokens()), (18 * 12, 18 * 12 * 3));
    let (heads, tails) = (documents(&train), documents(&dev));
    for (d, whole) in all.iter().enumerate().take(18) {
        assert_eq!(&[heads[d].clone(), tails[d].clone()].concat(), whole);
    }
    assert_eq!(heads[18], all[18]);
    // A document that begins within another reads the same, by every way.
    let counts: u64 = dev.token_counts(200).unwrap().iter().sum();
    assert_eq!(counts, dev.tokens() as u64);
    assert_eq!(train.token_counts(200).unwrap()[99], 18 * 88);
    assert_eq!((dev.sentences_longer_than(2).unwrap(), dev.sentences_longer_than(3).unwrap()), (216, 0));
    assert_eq!(
        (train.sentences_longer_than(0).unwrap(), train.sentences_longer_than(1).unwrap()),
        (18 * 88 + 1, 18 * 88)
    );
    let hashes = [&train, &dev, &Corpus::from_documents(&all)].map(|corpus| corpus.hash().unwrap());
    assert!(hashes[0] != hashes[1] && hashes[0] != hashes[2] && hashes[1] != hashes[2]);
    // Another share, the whole of a single document, and copies.
    assert_eq!(held_out(Corpus::from_documents(&all), 0.5, 1).1.unwrap()[3], all[3][50..]);
    let single: Vec<Vec<Vec<u32>>> = vec![(0..30_000).map(|sentence| vec![sentence % 91]).collect()];
    let (train, dev) = Corpus::from_documents(&single).hold_out(0.01, 1).unwrap();
    assert_eq!((train.sentences(), dev.map(|dev| dev.sentences())), (29_700, Some(300)));
    let copies = vec![document(1); 50];
    assert_eq!(held_out(Corpus::from_documents(&copies), 0.01, 1).1.unwrap().len(), 50);
    // Too little text to hold out enough of it.
    assert_eq!(held_out(Corpus::from_documents(&[document(1)]), 0.01, 1).1, None);
    assert_eq!(held_out(Corpus::from_documents(&all), 0.0, 1).1, None);
}

#[test]
fn entropy_of_known_distributions() {
    let uniform = Corpus::from_documents(&[vec![[0], [1], [2], [3]]]);
    assert!((uniform.unigram_entropy(7).unwrap() - 4f64.ln()).abs() < 1e-15);
    let constant = Corpus::from_documents(&[vec![[6, 6, 6]]]);
    assert_eq!(constant.unigram_entropy(7).unwrap(), 0.0);
    let skewed = Corpus::from_documents(&[vec![[0, 0, 0, 1]]]);
    let expected = -(0.75 * 0.75f64.ln() + 0.25 * 0.25f64.ln());
    assert!((skewed.unigram_entropy(2).unwrap() - expected).abs() < 1e-15);
}

#[test]
fn the_hash_is_of_content_and_structure() {
    let hash = |documents: &[Vec<Vec<u32>>]| Corpus::from_documents(documents).hash().unwrap();
    let base = hash(&[vec![vec![1, 2], vec![3]], vec![vec![4]]]);
    assert_eq!(base.len(), 64);
    assert_eq!(base, hash(&[vec![vec![1, 2], vec![], vec![3]], vec![], vec![vec![4]]]));
    assert_ne!(base, hash(&[vec![vec![1, 2], vec![3]], vec![vec![5]]]));
    assert_ne!(base, hash(&[vec![vec![1], vec![2, 3]], vec![vec![4]]]));
    assert_ne!(base, hash(&[vec![vec![1, 2], vec![3], vec![4]]]));
}

mod stores {
    use std::path::Path;

    use super::*;
    use crate::data::corpus::store::{Existing, Store, StoreOptions, prepare, remove_store, rewind, sum_again};

    /// Small shards, so that there are several.
    fn options(corpus: CorpusOptions) -> StoreOptions {
        StoreOptions::new(corpus).with_shards_of(50, 20)
    }

    /// A folder with texts of many documents in it, some of them copies.
    fn texts(files: usize) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in 0..files {
            let document = |d: usize| "a b c d e oh. ".repeat(1 + (d * 7 + file * (d % 3)) % 17) + "!\nb\n\n";
            let text: String = (0..30).map(document).collect();
            fs::write(folder.path().join(format!("{file}.txt")), text).unwrap();
        }
        folder
    }

    fn make(texts: &Path, dir: &Path, options: &StoreOptions, existing: Existing) -> Result<Store, String> {
        prepare(&[texts.to_path_buf()], &tokenizer(), options, dir, existing, &mut |_, _, _| ())
            .map_err(|error| error.to_string())
    }

    /// The names and contents of all files.
    fn contents(dir: &Path) -> Vec<(String, Vec<u8>)> {
        let mut files: Vec<_> = fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .map(|path| (path.file_name().unwrap().to_str().unwrap().to_string(), fs::read(&path).unwrap()))
            .collect();
        files.sort();
        files
    }

    fn all_options() -> [StoreOptions; 2] {
        [false, true].map(|drop_duplicates| options(CorpusOptions { drop_duplicates, ..CorpusOptions::default() }))
    }

    #[test]
    fn a_store_holds_what_memory_holds() {
        let texts = texts(3);
        for options in all_options() {
            let dir = tempfile::tempdir().unwrap();
            let store = make(texts.path(), dir.path(), &options, Existing::GoOn).unwrap();
            let inputs = [texts.path().to_path_buf()];
            let read = Corpus::read(&inputs, &tokenizer(), &options.corpus, &mut |_, _| ()).unwrap();
            assert_eq!(documents(&store.read.corpus), documents(&read.corpus));
            assert_eq!(store.read.corpus.hash().unwrap(), read.corpus.hash().unwrap());
            assert_eq!((store.read.duplicates, store.read.files), (read.duplicates, 3));
            assert!(store.read.corpus.shards.len() > 3, "{} shards", store.read.corpus.shards.len());
            assert_eq!(store.figures.documents, read.corpus.documents() as u64);
            assert_eq!(store.figures.tokens, read.corpus.tokens() as u64);
            assert_eq!(store.figures.sentences, read.corpus.sentences() as u64);
            assert_eq!(store.figures.sentence_lengths.iter().sum::<u64>(), store.figures.sentences);
            assert_eq!(store.figures.document_lengths.iter().sum::<u64>(), store.figures.documents);
            assert_eq!((store.figures.words, store.figures.unknown), (store.figures.tokens, 0));

            let opened = Store::open(dir.path(), &tokenizer(), &CorpusOptions::default(), &mut |_, _| ()).unwrap();
            assert_eq!(documents(&opened.read.corpus), documents(&read.corpus));
            let parts = |corpus: Corpus| held_out(corpus, 0.2, 3);
            assert_eq!(parts(opened.read.corpus), parts(read.corpus));
        }
    }

    #[test]
    fn any_number_of_threads_makes_the_same_files() {
        let texts = texts(3);
        let made = [1, 3].map(|threads| {
            let dir = tempfile::tempdir().unwrap();
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let options = &all_options()[1];
            pool.install(|| make(texts.path(), dir.path(), options, Existing::GoOn)).unwrap();
            contents(dir.path())
        });
        assert_eq!(made[0], made[1]);
    }

    #[test]
    fn an_interrupted_store_is_gone_on_with_to_the_same_files() {
        let texts = texts(1);
        for options in all_options() {
            let whole = tempfile::tempdir().unwrap();
            make(texts.path(), whole.path(), &options, Existing::GoOn).unwrap();
            let expected = contents(whole.path());
            // What is there when the power fails: store.json as it was after each shard, and what was begun.
            let all = expected.iter().filter(|(name, _)| name.ends_with(".tokens")).count();
            for shards in 0..all {
                let dir = tempfile::tempdir().unwrap();
                for (name, bytes) in &expected {
                    let number = name.strip_prefix("shard-").map(|rest| rest[..5].parse::<usize>().unwrap());
                    if number.is_none_or(|number| number < shards) {
                        fs::write(dir.path().join(name), bytes).unwrap();
                    }
                }
                rewind(dir.path(), shards);
                fs::write(dir.path().join(format!("shard-{shards:05}.tokens.cloze-0123456789abcdef.tmp")), "half")
                    .unwrap();
                let store = make(texts.path(), dir.path(), &options, Existing::GoOn).unwrap();
                assert_eq!(store.shards_found, shards);
                assert!(contents(dir.path()) == expected, "begun after {shards} shards");
            }
        }
    }

    #[test]
    fn damage_in_any_byte_is_found_and_made_good() {
        let texts = texts(1);
        let dir = tempfile::tempdir().unwrap();
        let options = &all_options()[0];
        make(texts.path(), dir.path(), options, Existing::GoOn).unwrap();
        let whole = contents(dir.path());
        let names = ["shard-00000.tokens", "shard-00001.sentences", "shard-00002.documents"];
        for (name, bytes) in whole.iter().filter(|(name, _)| names.contains(&&**name)) {
            for at in 0..bytes.len() {
                let mut damaged = bytes.clone();
                damaged[at] ^= 1;
                fs::write(dir.path().join(name), damaged).unwrap();
                let error = Store::open(dir.path(), &tokenizer(), &CorpusOptions::default(), &mut |_, _| ())
                    .unwrap_err()
                    .to_string();
                assert!(error.contains(name) && error.contains("the file is damaged or missing"), "{error}");
            }
            let store = make(texts.path(), dir.path(), options, Existing::GoOn).unwrap();
            assert_eq!(store.damaged, Some(dir.path().join(name)));
            assert_eq!(contents(dir.path()), whole);
            drop(store);
        }
        fs::remove_file(dir.path().join(names[1])).unwrap();
        assert!(Store::open(dir.path(), &tokenizer(), &CorpusOptions::default(), &mut |_, _| ()).is_err());
        assert_eq!(make(texts.path(), dir.path(), options, Existing::GoOn).unwrap().shards_found, 1);
        assert_eq!(contents(dir.path()), whole);
    }

    #[test]
    fn damage_in_any_byte_of_the_contents_is_found() {
        let texts = texts(1);
        let dir = tempfile::tempdir().unwrap();
        let options = StoreOptions::new(CorpusOptions::default());
        make(texts.path(), dir.path(), &options, Existing::GoOn).unwrap();
        let path = dir.path().join("store.json");
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            fs::write(&path, &damaged).unwrap();
            assert!(
                Store::open(dir.path(), &tokenizer(), &CorpusOptions::default(), &mut |_, _| ()).is_err(),
                "byte {at}"
            );
            assert!(make(texts.path(), dir.path(), &options, Existing::GoOn).is_err(), "byte {at}");
            assert_eq!(fs::read(&path).unwrap(), damaged, "what is not understood stays");
        }
        make(texts.path(), dir.path(), &options, Existing::Renew).unwrap();
        assert_eq!(fs::read(&path).unwrap(), whole);
        fs::write(dir.path().join("vocab.txt"), "[PAD]\n").unwrap();
        fs::remove_file(dir.path().join("tokenizer.json")).unwrap();
        make(texts.path(), dir.path(), &options, Existing::GoOn).unwrap();
        assert_eq!(Tokenizer::open(dir.path(), Casing::Uncased).unwrap().to_json(), tokenizer().to_json());
    }

    #[test]
    fn numbers_that_cannot_be_are_refused_whatever_the_checksums_say() {
        let texts = texts(1);
        let options = StoreOptions::new(CorpusOptions::default());
        let refused = |list: &str, at: usize, value: u8| {
            let dir = tempfile::tempdir().unwrap();
            make(texts.path(), dir.path(), &options, Existing::GoOn).unwrap();
            let path = dir.path().join(format!("shard-00000.{list}"));
            let mut bytes = fs::read(&path).unwrap();
            bytes[at] = value;
            fs::write(&path, bytes).unwrap();
            sum_again(dir.path());
            let error = Store::open(dir.path(), &tokenizer(), &CorpusOptions::default(), &mut |_, _| ())
                .unwrap_err()
                .to_string();
            assert!(error.contains(list), "{error}");
        };
        // An id beyond the vocabulary; sentences that begin behind 0, together, and beyond their document.
        refused("tokens", 1, 1);
        refused("sentences", 0, 1);
        refused("sentences", 4, 0);
        refused("sentences", 7, 200);
        // Documents without a token or a sentence, and beyond the shard.
        for (at, value) in [(0, 1), (8, 1), (32, 0), (40, 0), (39, 9), (47, 9)] {
            refused("documents", at, value);
        }
    }

    #[test]
    fn words_and_what_is_unknown_are_counted() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.txt"), "ab a zz aabb\n").unwrap();
        let tokens = "[PAD] [UNK] [CLS] [SEP] [MASK] a ##a ##b".split(' ').map(str::to_string).collect();
        let tokenizer = Tokenizer::from_tokens(tokens, Casing::Uncased).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let options = StoreOptions::new(CorpusOptions::default());
        let inputs = [folder.path().to_path_buf()];
        let store = prepare(&inputs, &tokenizer, &options, dir.path(), Existing::GoOn, &mut |_, _, _| ()).unwrap();
        let figures = store.figures;
        assert_eq!((figures.words, figures.unknown, figures.tokens), (4, 1, 8));
        assert_eq!((figures.sentence_lengths, figures.document_lengths), (vec![0, 0, 0, 1], vec![0, 0, 0, 1]));
    }

    #[cfg(unix)]
    #[test]
    fn names_that_are_not_utf8_are_read() {
        use std::os::unix::ffi::OsStrExt as _;
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(std::ffi::OsStr::from_bytes(b"\xFF.txt")), "a b").unwrap();
        let dir = tempfile::tempdir().unwrap();
        let options = StoreOptions::new(CorpusOptions::default());
        for _ in 0..2 {
            let store = make(folder.path(), dir.path(), &options, Existing::GoOn).unwrap();
            assert_eq!(store.read.corpus.tokens(), 2);
        }
    }

    #[test]
    fn large_vocabularies_take_four_bytes_an_id() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.txt"), "w0 w70000\n").unwrap();
        let special = "[PAD] [UNK] [CLS] [SEP] [MASK]".split(' ').map(str::to_string);
        let tokens = special.chain((0..70_001).map(|number| format!("w{number}"))).collect();
        let tokenizer = Tokenizer::from_tokens(tokens, Casing::Uncased).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let options = StoreOptions::new(CorpusOptions::default());
        let inputs = [folder.path().to_path_buf()];
        prepare(&inputs, &tokenizer, &options, dir.path(), Existing::GoOn, &mut |_, _, _| ()).unwrap();
        assert_eq!(fs::metadata(dir.path().join("shard-00000.tokens")).unwrap().len(), 8);
        let store = Store::open(dir.path(), &tokenizer, &CorpusOptions::default(), &mut |_, _| ()).unwrap();
        assert_eq!(documents(&store.read.corpus), [[[5, 70_005]]]);
    }

    #[test]
    fn what_differs_is_told_and_nothing_is_lost() {
        let texts = texts(3);
        let dir = tempfile::tempdir().unwrap();
        let [kept, dropped] = &all_options();
        make(texts.path(), dir.path(), kept, Existing::GoOn).unwrap();
        let whole = contents(dir.path());
        let error = make(texts.path(), dir.path(), dropped, Existing::GoOn).unwrap_err();
        assert!(error.contains("store.json: the store was begun with other options"), "{error}");
        fs::write(texts.path().join("3.txt"), "a b").unwrap();
        let error = make(texts.path(), dir.path(), kept, Existing::GoOn).unwrap_err();
        assert!(error.contains("the store was begun with 3 files"), "{error}");
        fs::remove_file(texts.path().join("3.txt")).unwrap();
        assert_eq!(contents(dir.path()), whole);
        fs::write(texts.path().join("1.txt"), "a b").unwrap();
        let error = make(texts.path(), dir.path(), kept, Existing::GoOn).unwrap_err();
        assert!(error.contains("1.txt has changed since the store was begun"), "{error}");
        let tokens = "[PAD] [UNK] [CLS] [SEP] [MASK] a b".split(' ').map(str::to_string).collect();
        let other = Tokenizer::from_tokens(tokens, Casing::Uncased).unwrap();
        let error = Store::open(dir.path(), &other, &CorpusOptions::default(), &mut |_, _| ()).unwrap_err().to_string();
        assert!(error.contains("made with another vocabulary"), "{error}");
        assert_eq!(contents(dir.path()), whole);

        // Made anew on request; a folder of other things is left alone in any case.
        let store = make(texts.path(), dir.path(), kept, Existing::Renew).unwrap();
        assert_eq!((store.shards_found, store.read.corpus.documents()), (0, 61));
        let busy = make(texts.path(), dir.path(), kept, Existing::Replace).unwrap_err();
        assert!(busy.contains("another cloze reads"), "nobody replaces a store that is used: {busy}");
        drop(store);
        let store = make(texts.path(), dir.path(), kept, Existing::Replace).unwrap();
        assert_eq!(store.shards_found, 0);
        for existing in [Existing::GoOn, Existing::Renew, Existing::Replace] {
            let error = make(texts.path(), texts.path(), kept, existing).unwrap_err();
            assert!(error.contains("the folder holds other files"), "{error}");
        }
        remove_store(dir.path()).unwrap();
        assert!(!dir.path().exists());
    }

    #[test]
    fn too_many_documents_to_find_copies_among_are_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let text =
            |d: u32| format!("{}\n\n", (0..20).map(|bit| ["a ", "b "][(d >> bit & 1) as usize]).collect::<String>());
        fs::write(folder.path().join("a.txt"), (0..3000).map(text).collect::<String>()).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let mut options = StoreOptions::new(CorpusOptions { drop_duplicates: true, ..CorpusOptions::default() });
        options.max_memory = Some(100_000);
        let error = make(folder.path(), dir.path(), &options, Existing::GoOn).unwrap_err();
        assert!(error.contains("a.txt: there are too many documents to find copies among"), "{error}");
        options.max_memory = Some(10_000_000);
        assert_eq!(make(folder.path(), dir.path(), &options, Existing::GoOn).unwrap().read.corpus.documents(), 3000);
    }
}
