//! A model directory with more words in its vocabulary, from another model directory.
//!
//! The new words stand behind all others, so every id keeps its meaning, and all tensors keep their numbers: the
//! word embeddings and the bias of the masked language model's decoder get rows for the new words. Such a row is
//! the mean of the rows of the pieces that the word was cut into before. So the model reads a new word as a blend of
//! what it read before, and gives it as its logit the mean of its pieces' logits: never more than the most probable
//! of them. Further pre-training makes of it what the word means.

use std::path::Path;

use cloze_tokenizer::train::NewWord;
use cloze_tokenizer::{Casing, Tokenizer};

use crate::Error;
use crate::checkpoint::index::{QUANTIZED, SHARDS};
use crate::checkpoint::{Checkpoint, Report, SentenceSettings, save};
use crate::config::Config;
use crate::infer::check_vocabulary;
use crate::params::Declaration;
use crate::quantize::{remove_if_there, take_folder};
use crate::settings::StoredSettings;

/// Writes the model of the directory `model`, with `words` appended to its vocabulary, to the directory `output`,
/// together with everything that the model is used with. `words` were found with the tokenizer of `model`. Tells what
/// the source lacks, and what it has that the model has no place for and is left out.
///
/// Where the word embeddings have more rows than the vocabulary has tokens, the new words take these rows first.
///
/// # Errors
/// If the source is damaged, no BERT, or in int8; if its tokenizer cannot be extended; if `output` is the source, or
/// holds a model and is not to be overwritten; if files cannot be written.
///
/// # Panics
/// If a word has no pieces, or pieces beyond the vocabulary.
pub fn extend(model: &Path, words: &[NewWord], output: &Path, overwrite: bool) -> Result<Report, Error> {
    let (checkpoint, tokenizer) = open(model)?;
    let config = checkpoint.config();
    let spelled: Vec<String> = words.iter().map(|new| new.word.clone()).collect();
    let extended = tokenizer.with_words(&spelled)?;
    let sentence = SentenceSettings::read(model)?;
    let settings = StoredSettings { run: None, ..StoredSettings::read(model)? };

    let declaration = Declaration::new(config, checkpoint.heads());
    let mut weights = vec![0.0; declaration.len];
    let report = checkpoint.read(&declaration, &mut weights)?;
    let config = Config { vocab_size: config.vocab_size.max(extended.vocab_size()), ..config.clone() };
    let larger = Declaration::new(&config, checkpoint.heads());
    let weights = with_rows(&weights, &declaration, &larger, words, tokenizer.vocab_size());

    take_folder(model, output, overwrite)?;
    save(output, &config, &larger, &weights)?;
    extended.save(output)?;
    settings.write(output)?;
    // What an overwritten model had beside would be read as this one's.
    for name in [QUANTIZED, SHARDS, "modules.json"] {
        remove_if_there(&output.join(name))?;
    }
    if let Some(sentence) = sentence {
        sentence.write(output, config.hidden_size)?;
    }
    Ok(report)
}

/// Finds out before any text is read whether [`extend`] is going to refuse the model or the folder, which is made.
///
/// # Errors
/// As [`extend`].
pub fn check(model: &Path, output: &Path, overwrite: bool) -> Result<(), Error> {
    let (_, tokenizer) = open(model)?;
    tokenizer.with_words(&[])?;
    take_folder(model, output, overwrite)
}

/// A model that is not in int8, and its tokenizer.
fn open(model: &Path) -> Result<(Checkpoint, Tokenizer), Error> {
    let checkpoint = Checkpoint::open(model)?;
    checkpoint.expect_all_digits("make rows for new words")?;
    let tokenizer = Tokenizer::open(model, Casing::Uncased)?;
    check_vocabulary(&tokenizer, checkpoint.config(), model)?;
    Ok((checkpoint, tokenizer))
}

/// The arena of `larger`, which differs from that of `smaller` in the number of rows that belong to tokens. The rows
/// of `words`, from the id `first` on, are the means of those of their pieces.
fn with_rows(
    weights: &[f32],
    smaller: &Declaration,
    larger: &Declaration,
    words: &[NewWord],
    first: usize,
) -> Vec<f32> {
    let mut extended = vec![0.0; larger.len];
    for (old, new) in smaller.parameters.iter().zip(&larger.parameters) {
        assert_eq!((&old.name, old.columns()), (&new.name, new.columns()));
        extended[new.span.range()][..old.span.len].copy_from_slice(&weights[old.span.range()]);
    }
    let bias = larger.layout.mlm.as_ref().map(|mlm| mlm.decoder_bias);
    for span in [Some(larger.layout.embeddings.word), bias].into_iter().flatten() {
        let parameter = larger.parameters.iter().find(|parameter| parameter.span == span);
        let columns = parameter.expect("the layout has the spans of the parameters").columns();
        let table = &mut extended[span.range()];
        for (id, new) in (first..).zip(words) {
            for column in 0..columns {
                let pieces = new.pieces.iter().map(|&piece| f64::from(table[piece as usize * columns + column]));
                table[id * columns + column] = (pieces.sum::<f64>() / new.pieces.len() as f64) as f32;
            }
        }
    }
    extended
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

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
        crate::quantize::quantize(&from, &int8, false).unwrap();
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
