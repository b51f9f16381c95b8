//! A model directory with more words in its vocabulary, from another model directory; and the rows of a model's word
//! embeddings for another vocabulary.
//!
//! The new words stand behind all others, so every id keeps its meaning, and all tensors keep their numbers: the
//! word embeddings and the bias of the masked language model's decoder get rows for the new words. Such a row is
//! the mean of the rows of the pieces that the word was cut into before. So the model reads a new word as a blend of
//! what it read before, and gives it as its logit the mean of its pieces' logits: never more than the most probable
//! of them. Further pre-training makes of it what the word means.

use std::path::Path;

use cloze_tokenizer::train::NewWord;
use cloze_tokenizer::{Tokenizer, TokenizerFile};

use crate::Error;
use crate::checkpoint::{Checkpoint, Report, SentenceSettings, open_tokenizer, save};
use crate::config::Config;
use crate::folder::{Folder, Replacement};
use crate::infer::check_vocabulary;
use crate::memory::zeros;
use crate::params::Declaration;
use crate::quantize::{obsolete, take_folder};
use crate::settings::StoredSettings;

/// Writes the model of the directory `model`, with `words` appended to its vocabulary, to the folder that [`take`] gave,
/// together with everything that the model is used with. `words` were found with the tokenizer of `model`, of which `file`
/// decides where its files contradict each other. Tells what
/// the source lacks, and what it has that the model has no place for and is left out.
///
/// Where the word embeddings have more rows than the vocabulary has tokens, the new words take these rows first.
///
/// # Errors
/// If the source is damaged, no BERT, or in int8; if its tokenizer cannot be extended; if files cannot be written.
///
/// # Panics
/// If a word has no pieces, or pieces beyond the vocabulary.
pub fn extend(
    model: &Path,
    words: &[NewWord],
    file: Option<TokenizerFile>,
    folder: &mut Folder,
) -> Result<Report, Error> {
    let (checkpoint, tokenizer) = open(model, file)?;
    let config = checkpoint.config();
    let spelled: Vec<String> = words.iter().map(|new| new.word.clone()).collect();
    let extended = tokenizer.with_words(&spelled)?;
    let sentence = SentenceSettings::read(model)?;
    let settings = StoredSettings { run: None, files: None, ..StoredSettings::read(model)? };

    let declaration = Declaration::new(config, checkpoint.heads());
    let mut weights = zeros(declaration.len, "the weights of the model")?;
    let report = checkpoint.read(&declaration, &mut weights)?;
    let config = Config { vocab_size: config.vocab_size.max(extended.vocab_size()), ..config.clone() };
    let larger = Declaration::new(&config, checkpoint.heads());
    let mut rows: Vec<RowSource> = (0..checkpoint.config().vocab_size as u32).map(RowSource::Row).collect();
    rows.resize(config.vocab_size, RowSource::Drawn);
    for (row, new) in rows[tokenizer.vocab_size()..].iter_mut().zip(words) {
        *row = RowSource::Mean(new.pieces.clone());
    }
    let mut extended_weights = zeros(larger.len, "the weights of the extended model")?;
    move_rows(&weights, &declaration, &mut extended_weights, &larger, &rows);

    let obsolete = obsolete(folder.path());
    let new = Replacement::new(folder)?;
    save(new.path(), &config, &larger, &extended_weights)?;
    extended.limited_to(config.max_position_embeddings).save(new.path())?;
    if let Some(sentence) = sentence {
        sentence.write(new.path(), config.hidden_size)?;
    }
    new.install(settings, &obsolete)?;
    Ok(report)
}

/// Takes the folder for [`extend`] before any text is read, so that what cannot be is found out at once.
///
/// # Errors
/// If the model is damaged, no BERT, or in int8; if its tokenizer cannot be extended; if `output` is the model, is
/// written or read by another process, or holds a model and is not to be overwritten.
pub fn take(model: &Path, file: Option<TokenizerFile>, output: &Path, overwrite: bool) -> Result<Folder, Error> {
    let (_, tokenizer) = open(model, file)?;
    tokenizer.with_words(&[])?;
    take_folder(model, output, overwrite, COMMAND)
}

/// The sub-command, for messages.
pub const COMMAND: &str = "vocab extend";

/// A model that is not in int8, and its tokenizer.
fn open(model: &Path, file: Option<TokenizerFile>) -> Result<(Checkpoint, Tokenizer), Error> {
    let checkpoint = Checkpoint::open(model)?;
    checkpoint.expect_all_digits("make rows for new words")?;
    let tokenizer = open_tokenizer(model, None, file)?;
    check_vocabulary(&tokenizer, checkpoint.config(), model)?;
    Ok((checkpoint, tokenizer))
}

/// Where the row of a token comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RowSource {
    /// This row.
    Row(u32),
    /// The mean of these rows.
    Mean(Vec<u32>),
    /// It stays as it was drawn.
    Drawn,
}

/// The rows for the tokens of `to`, from those of `from`: a token of both keeps its row, a new word gets the mean of those
/// of the pieces that it was cut into; what could not be spelled, and a piece that does not begin a word, is drawn.
pub(crate) fn rows_by_token(from: &Tokenizer, to: &Tokenizer) -> Vec<RowSource> {
    let special = from.special();
    let row = |id: u32| {
        let token = to.token(id).unwrap_or_default();
        if let Some(old) = from.id(token) {
            return RowSource::Row(old);
        }
        let pieces = if token.starts_with("##") { Vec::new() } else { from.tokenize(token).ids };
        if pieces.is_empty() || pieces.contains(&special.unk) { RowSource::Drawn } else { RowSource::Mean(pieces) }
    };
    (0..to.vocab_size() as u32).map(row).collect()
}

/// Copies the arena `weights` of the declaration `from` to the arena `moved` of `to`, which differs from it in the rows
/// that belong to tokens alone: these come from where `rows` says.
pub(crate) fn move_rows(weights: &[f32], from: &Declaration, moved: &mut [f32], to: &Declaration, rows: &[RowSource]) {
    let bias = to.layout.mlm.as_ref().map(|mlm| mlm.decoder_bias);
    let of_tokens = [Some(to.layout.embeddings.word), bias];
    for (old, new) in from.parameters.iter().zip(&to.parameters) {
        let columns = new.columns();
        assert_eq!((&old.name, old.columns()), (&new.name, columns));
        let (old, table) = (&weights[old.span.range()], &mut moved[new.span.range()]);
        if !of_tokens.contains(&Some(new.span)) {
            table.copy_from_slice(old);
            continue;
        }
        let old_row = |row: u32| &old[row as usize * columns..][..columns];
        for (row, source) in table.chunks_mut(columns).zip(rows) {
            match source {
                RowSource::Row(from) => row.copy_from_slice(old_row(*from)),
                RowSource::Mean(pieces) => {
                    for (column, value) in row.iter_mut().enumerate() {
                        let sum: f64 = pieces.iter().map(|&piece| f64::from(old_row(piece)[column])).sum();
                        *value = (sum / pieces.len() as f64) as f32;
                    }
                }
                RowSource::Drawn => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use cloze_tokenizer::Casing;

    use super::*;
    use crate::checkpoint::write_file;
    use crate::params::{HeadSet, TaskHead};

    const TOKENS: [&str; 9] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "ab", "##cd", "##e"];

    /// A model directory, its declaration and weights.
    fn model(dir: &Path, rows: usize) -> (Declaration, Vec<f32>) {
        let config = Config {
            vocab_size: rows,
            hidden_size: 6,
            num_hidden_layers: 1,
            num_attention_heads: 3,
            intermediate_size: 5,
            max_position_embeddings: 7,
            labels: ["bad", "good"].map(String::from).to_vec(),
            ..Config::tiny()
        };
        let heads = HeadSet { pooler: true, mlm: true, nsp: true, task: Some(TaskHead::Pooled(2)) };
        let declaration = Declaration::new(&config, heads);
        let weights: Vec<f32> = (0..declaration.len).map(|index| (index as f32).sin()).collect();
        save(dir, &config, &declaration, &weights).unwrap();
        Tokenizer::from_tokens(TOKENS.map(String::from).to_vec(), Casing::Uncased).unwrap().save(dir).unwrap();
        (declaration, weights)
    }

    fn extend(model: &Path, words: &[NewWord], output: &Path, overwrite: bool) -> Result<Report, Error> {
        super::extend(model, words, None, &mut take(model, None, output, overwrite)?)
    }

    fn words() -> [NewWord; 2] {
        let new = |word: &str, pieces: &[u32]| NewWord { word: word.into(), count: 3, pieces: pieces.to_vec() };
        [new("abcde", &[6, 7, 8]), new("thee", &[5, 8])]
    }

    #[test]
    fn new_rows_are_means_and_all_else_stays_to_the_bit() {
        // As many rows as tokens, one more, and more than are needed.
        for (rows, rows_after) in [(9, 11), (10, 11), (13, 13)] {
            let folder = TempDir::new().unwrap();
            let (from, to) = (folder.path().join("from"), folder.path().join("to"));
            let (declaration, weights) = model(&from, rows);
            assert_eq!(extend(&from, &words(), &to, false).unwrap(), Report::default());
            let checkpoint = Checkpoint::open(&to).unwrap();
            assert_eq!(checkpoint.config().vocab_size, rows_after);
            let larger = Declaration::new(checkpoint.config(), checkpoint.heads());
            assert_eq!(checkpoint.heads(), HeadSet { task: Some(TaskHead::Pooled(2)), ..checkpoint.heads() });
            let mut read = vec![f32::NAN; larger.len];
            checkpoint.read(&larger, &mut read).unwrap();
            for (old, new) in declaration.parameters.iter().zip(&larger.parameters) {
                let (before, after) = (&weights[old.span.range()], &read[new.span.range()]);
                let of_tokens = ["bert.embeddings.word_embeddings.weight", "cls.predictions.bias"];
                if !of_tokens.contains(&old.name.as_str()) {
                    assert!(before == after, "{}", old.name);
                    continue;
                }
                let columns = old.columns();
                assert!(before[..9 * columns] == after[..9 * columns] && after[..columns] != [0.0; 6][..columns]);
                for column in 0..columns {
                    let at = |id: usize| before[id * columns + column];
                    let near = |a: f32, b: f32| (a - b).abs() < 1e-6;
                    assert!(near(after[9 * columns + column], (at(6) + at(7) + at(8)) / 3.0), "{}", old.name);
                    assert!(near(after[10 * columns + column], (at(5) + at(8)) / 2.0), "{}", old.name);
                }
                // Rows without a token are what they were.
                if rows > 11 {
                    assert!(before[11 * columns..] == after[11 * columns..]);
                }
            }
            let tokenizer = Tokenizer::open(&to, Casing::Cased).unwrap();
            assert_eq!(tokenizer.tokenize("THE abcde thee abcd").ids, [5, 9, 10, 6, 7]);
        }
    }

    #[test]
    fn another_vocabulary_takes_the_rows_of_the_tokens_that_it_shares() {
        let tokenizer = |tokens: &[&str]| {
            Tokenizer::from_tokens(tokens.iter().map(|token| token.to_string()).collect(), Casing::Uncased).unwrap()
        };
        let (from, to) = (
            tokenizer(&TOKENS),
            tokenizer(&["[PAD]", "ab", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "abe", "##x", "xy", "##e"]),
        );
        let rows = rows_by_token(&from, &to);
        let (row, mean, drawn) = (RowSource::Row, RowSource::Mean(vec![6, 8]), RowSource::Drawn);
        assert_eq!(rows, [row(0), row(6), row(1), row(2), row(3), row(4), mean, drawn.clone(), drawn, row(8)]);

        let folder = TempDir::new().unwrap();
        let (declaration, weights) = model(folder.path(), 9);
        let config = Config { vocab_size: 10, ..Checkpoint::open(folder.path()).unwrap().config().clone() };
        let other =
            Declaration::new(&config, HeadSet { pooler: true, mlm: true, nsp: true, task: Some(TaskHead::Pooled(2)) });
        let mut moved = vec![7.0; other.len];
        move_rows(&weights, &declaration, &mut moved, &other, &rows);
        let (old, new) =
            (&weights[declaration.layout.embeddings.word.range()], &moved[other.layout.embeddings.word.range()]);
        assert_eq!(new[6..12], old[36..42]);
        assert_eq!(new[36], ((f64::from(old[36]) + f64::from(old[48])) / 2.0) as f32);
        assert_eq!(new[42..54], [7.0; 12], "drawn rows stay");
        let bias = |declaration: &Declaration| declaration.layout.mlm.as_ref().unwrap().decoder_bias.range();
        assert_eq!(moved[bias(&other)][9], weights[bias(&declaration)][8]);
        assert!(!moved[..other.layout.embeddings.word.start].contains(&7.0), "all else is copied");
    }

    #[test]
    fn what_cannot_be_extended() {
        let folder = TempDir::new().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        model(&from, 9);
        let message = |result: Result<Report, Error>| result.unwrap_err().to_string();
        assert!(message(extend(&from, &words(), &from, true)).contains("is the model itself"));
        extend(&from, &words(), &to, false).unwrap();
        assert!(message(extend(&from, &words(), &to, false)).contains("--overwrite"));
        extend(&from, &words(), &to, true).unwrap();

        let int8 = folder.path().join("int8");
        crate::quantize::quantize(&from, None, &int8, false).unwrap();
        let refused = message(extend(&int8, &words(), &folder.path().join("new"), false));
        assert!(refused.contains("int8") && refused.contains("use the model that it was quantized from"), "{refused}");
        assert!(!folder.path().join("new").exists());

        // A token that was added behind the vocabulary.
        let path = from.join("tokenizer.json");
        let mut json: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let mut added = json["added_tokens"][0].clone();
        (added["id"], added["content"]) = (9.into(), "<x>".into());
        json["added_tokens"].as_array_mut().unwrap().push(added);
        write_file(&path, json.to_string().as_bytes()).unwrap();
        fs::remove_file(from.join("tokenizer_config.json")).unwrap();
        let refused = message(extend(&from, &words(), &folder.path().join("new"), false));
        assert!(refused.contains("has 10 tokens"), "{refused}");
        model(&from, 10);
        write_file(&path, json.to_string().as_bytes()).unwrap();
        fs::remove_file(from.join("tokenizer_config.json")).unwrap();
        let refused = message(extend(&from, &words(), &folder.path().join("new"), false));
        assert!(refused.contains("token 9 (\"<x>\") was added"), "{refused}");
    }
}
