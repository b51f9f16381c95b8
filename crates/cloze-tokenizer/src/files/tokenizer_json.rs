//! `tokenizer.json`, which describes any tokenizer; here only BERT's is understood.

use std::collections::HashSet;
use std::path::Path;

use serde_json::{Value, json};

use super::json::{Field, shown};
use crate::added_tokens::AddedToken;
use crate::encoding::{TruncationSide, TruncationStrategy};
use crate::error::Error;
use crate::normalize::Normalizer;
use crate::small_file::{self, Table};
use crate::tokenizer::Settings;
use crate::vocab::{CLS, SEP, SPECIAL_TOKENS, TOKENS_MAX, UNK};

/// Reads the settings of a BERT tokenizer. `vocab_txt` reads the `vocab.txt` beside the file, if
/// there is one; it is asked only if this file alone does not tell all ids.
pub(super) fn parse(
    path: &Path,
    bytes: &[u8],
    vocab_txt: impl FnOnce() -> Result<Option<Vec<String>>, Error>,
) -> Result<Settings, Error> {
    let (value, vocab) = small_file::parse_json_with_table(bytes, &["model", "vocab"])
        .map_err(|source| Error::Json { path: path.to_path_buf(), source })?;
    let root = Field::root(path, &value);
    root.object()?;
    if !root.get("version").is_absent() {
        root.get("version").expect_string("1.0")?;
    }

    let model = root.get("model");
    if !model.get("type").is_absent() {
        model.get("type").expect_string("WordPiece")?;
    }
    model.get("unk_token").expect_string(UNK)?;
    let continuing_subword_prefix = model.get("continuing_subword_prefix").string()?.to_string();
    let max_input_chars_per_word = model.get("max_input_chars_per_word").integer()?;

    let field = model.get("vocab");
    let vocab = Vocabulary::new(vocab.ok_or_else(|| field.error("an object"))?, &field)?;
    for token in SPECIAL_TOKENS {
        if vocab.id(token).is_none() {
            return Err(Error::MissingSpecialToken { origin: path.display().to_string(), token });
        }
    }
    expect_bert_post_processor(&root.get("post_processor"), &vocab)?;
    root.get("pre_tokenizer").get("type").expect_string("BertPreTokenizer")?;
    let lines = repeated_tokens(&vocab, vocab_txt)?;
    let model_tokens = lines.as_ref().map_or(vocab.len(), Vec::len);
    let (added, appended) = added_tokens(&root.get("added_tokens"), &vocab, model_tokens)?;
    let tokens = match lines {
        Some(lines) => lines,
        None => tokens_by_id(&field, vocab)?,
    };
    let truncation = Truncation::read(&root.get("truncation"))?;

    Ok(Settings {
        tokens: tokens.into_iter().chain(appended).collect(),
        model_tokens,
        added,
        normalizer: normalizer(&root.get("normalizer"))?,
        decoder_cleanup: decoder_cleanup(&root.get("decoder"), &continuing_subword_prefix)?,
        continuing_subword_prefix,
        max_input_chars_per_word: usize::try_from(max_input_chars_per_word).unwrap_or(usize::MAX),
        model_max_length: None,
        truncation_max_length: truncation.max_length,
        truncation_side: truncation.side,
        truncation_strategy: truncation.strategy,
        google_rules: false,
        notes: Vec::new(),
    })
}

/// The object `model.vocab`: tokens and ids.
struct Vocabulary {
    /// In string order.
    entries: Vec<(String, u64)>,
}

impl Vocabulary {
    fn new(table: Table, field: &Field) -> Result<Vocabulary, Error> {
        let Table { mut entries, wrong } = table;
        if let Some((token, value)) = wrong {
            let found = format!("{value} for {}", shown(&token));
            return Err(field.error_found(&expected_ids(entries.len() + 1), found));
        }
        if entries.len() > TOKENS_MAX {
            return Err(field.error_found(&format!("at most {TOKENS_MAX} tokens"), entries.len().to_string()));
        }
        entries.sort_unstable();
        Ok(Vocabulary { entries })
    }

    fn id(&self, token: &str) -> Option<u64> {
        let at = self.entries.binary_search_by_key(&token, |(own, _)| own).ok()?;
        Some(self.entries[at].1)
    }

    fn len(&self) -> usize {
        self.entries.len()
    }
}

fn expected_ids(tokens: usize) -> String {
    format!("ids from 0 to {}, each once", tokens.saturating_sub(1))
}

/// Turns token → id into a list. Every id must be there once, so that the list is no longer than
/// the file has tokens.
fn tokens_by_id(field: &Field, vocab: Vocabulary) -> Result<Vec<String>, Error> {
    let expected = expected_ids(vocab.len());
    let mut tokens = vec![String::new(); vocab.len()];
    let mut is_taken = vec![false; vocab.len()];
    for (token, id) in vocab.entries {
        let at = usize::try_from(id).unwrap_or(usize::MAX);
        match is_taken.get(at) {
            None => return Err(field.error_found(&expected, format!("{id} for {}", shown(&token)))),
            Some(true) => {
                let found = format!("{id} for both {} and {}", shown(&tokens[at]), shown(&token));
                return Err(field.error_found(&expected, found));
            }
            Some(false) => {
                tokens[at] = token;
                is_taken[at] = true;
            }
        }
    }
    // No id twice and none too large: there is a token for each.
    Ok(tokens)
}

/// The lines of the `vocab.txt` beside the file, if the object lacks ids that this file has.
fn repeated_tokens(
    vocab: &Vocabulary,
    vocab_txt: impl FnOnce() -> Result<Option<Vec<String>>, Error>,
) -> Result<Option<Vec<String>>, Error> {
    match vocab.entries.iter().any(|&(_, id)| id >= vocab.len() as u64) {
        true => Ok(vocab_txt()?.filter(|lines| has_repeated_tokens_only(lines, vocab))),
        false => Ok(None),
    }
}

/// A `vocab.txt` may have a token on several lines, of which only the last counts. The object in
/// `tokenizer.json` cannot, and then lacks the ids of the other lines. They are filled from
/// `vocab.txt`, if apart from them it says the same.
fn has_repeated_tokens_only(lines: &[String], vocab: &Vocabulary) -> bool {
    lines.len() > vocab.len()
        && (0..).zip(lines).all(|(line, token)| vocab.id(token).is_some_and(|id| id >= line))
        && vocab.entries.iter().all(|(token, id)| {
            let id = usize::try_from(*id).ok();
            id.and_then(|id| lines.get(id)) == Some(token)
        })
}

/// Reads the added tokens, and which of them stand behind the vocabulary.
fn added_tokens(
    field: &Field,
    vocab: &Vocabulary,
    model_tokens: usize,
) -> Result<(Vec<AddedToken>, Vec<String>), Error> {
    let (mut added, mut appended) = (Vec::new(), Vec::new());
    if field.is_absent() {
        return Ok((added, appended));
    }
    for element in field.elements()? {
        let id = element.get("id").integer()?;
        let id = u32::try_from(id).map_err(|_| element.get("id").error("an id of the vocabulary"))?;
        added.push(added_token(id, &element)?);
    }
    append_added_tokens(&mut added, |token| vocab.id(token), model_tokens, &mut appended)
        .map_err(|(expected, found)| field.error_found(&expected, found))?;
    Ok((added, appended))
}

/// Checks the ids of `added`, sorts by them, and puts those beyond a vocabulary of `model_tokens` into `appended`.
/// An error is what was expected and what was found.
pub(super) fn append_added_tokens(
    added: &mut [AddedToken],
    id_of: impl Fn(&str) -> Option<u64>,
    model_tokens: usize,
    appended: &mut Vec<String>,
) -> Result<(), (String, String)> {
    added.sort_by_key(|token| token.id);
    let mut contents = HashSet::new();
    for token in added {
        let next_id = (model_tokens + appended.len()) as u64;
        let id = id_of(&token.content).unwrap_or(next_id);
        if id != u64::from(token.id) || !contents.insert(token.content.as_str()) {
            let expected = match id {
                id if id == next_id => format!("id {id} for the next token beyond the vocabulary"),
                id => format!("id {id}, once"),
            };
            return Err((expected, format!("{} for {}", token.id, shown(&token.content))));
        }
        if id == next_id {
            appended.push(token.content.clone());
        }
    }
    Ok(())
}

/// Reads one added token.
pub(super) fn added_token(id: u32, field: &Field) -> Result<AddedToken, Error> {
    let flag = |name| Ok(field.get(name).optional_boolean()?.unwrap_or(false));
    let content = field.get("content").string()?;
    if content.is_empty() {
        return Err(field.get("content").error("at least one character"));
    }
    let special = flag("special")?;
    Ok(AddedToken {
        id,
        content: content.to_string(),
        single_word: flag("single_word")?,
        lstrip: flag("lstrip")?,
        rstrip: flag("rstrip")?,
        normalized: field.get("normalized").optional_boolean()?.unwrap_or(!special),
        special,
    })
}

fn normalizer(field: &Field) -> Result<Normalizer, Error> {
    field.get("type").expect_string("BertNormalizer")?;
    Ok(Normalizer {
        clean_text: field.get("clean_text").boolean()?,
        handle_chinese_chars: field.get("handle_chinese_chars").boolean()?,
        strip_accents: field.get("strip_accents").optional_boolean()?,
        lowercase: field.get("lowercase").boolean()?,
    })
}

/// An error unless the post-processor makes `[CLS] A [SEP]` and `[CLS] A [SEP] B [SEP]` with the
/// right token types.
fn expect_bert_post_processor(field: &Field, vocab: &Vocabulary) -> Result<(), Error> {
    let id_of = |token: &str| vocab.id(token);
    let kind = field.get("type");
    match kind.string()? {
        "BertProcessing" => {
            field.get("cls").expect(&json!([CLS, id_of(CLS)]))?;
            field.get("sep").expect(&json!([SEP, id_of(SEP)]))
        }
        "TemplateProcessing" => {
            field.get("single").expect(&template_single())?;
            field.get("pair").expect(&template_pair())?;
            for token in [CLS, SEP] {
                let special = field.get("special_tokens").get(token);
                special.get("ids").expect(&json!([id_of(token)]))?;
            }
            Ok(())
        }
        _ => Err(kind.error("\"TemplateProcessing\" or \"BertProcessing\"")),
    }
}

fn template_special(token: &str, type_id: u32) -> Value {
    json!({ "SpecialToken": { "id": token, "type_id": type_id } })
}

fn template_sequence(name: &str, type_id: u32) -> Value {
    json!({ "Sequence": { "id": name, "type_id": type_id } })
}

/// `[CLS] A [SEP]`
pub(super) fn template_single() -> Value {
    json!([template_special(CLS, 0), template_sequence("A", 0), template_special(SEP, 0)])
}

/// `[CLS] A [SEP] B [SEP]`
pub(super) fn template_pair() -> Value {
    json!([
        template_special(CLS, 0),
        template_sequence("A", 0),
        template_special(SEP, 0),
        template_sequence("B", 1),
        template_special(SEP, 1),
    ])
}

fn decoder_cleanup(field: &Field, continuing_subword_prefix: &str) -> Result<bool, Error> {
    if field.is_absent() {
        return Ok(true);
    }
    field.get("type").expect_string("WordPiece")?;
    field.get("prefix").expect_string(continuing_subword_prefix)?;
    field.get("cleanup").boolean()
}

/// How `tokenizer.json` wants texts to be cut.
#[derive(Default)]
struct Truncation {
    max_length: Option<usize>,
    side: TruncationSide,
    strategy: TruncationStrategy,
}

/// How `tokenizer.json` spells sides and strategies.
pub(super) const SIDES: [(&str, TruncationSide); 2] =
    [("Right", TruncationSide::Right), ("Left", TruncationSide::Left)];
pub(super) const STRATEGIES: [(&str, TruncationStrategy); 3] = [
    ("LongestFirst", TruncationStrategy::LongestFirst),
    ("OnlyFirst", TruncationStrategy::OnlyFirst),
    ("OnlySecond", TruncationStrategy::OnlySecond),
];

impl Truncation {
    fn read(field: &Field) -> Result<Truncation, Error> {
        if field.is_absent() {
            return Ok(Truncation::default());
        }
        let length = field.get("max_length");
        Ok(Truncation {
            max_length: Some(usize::try_from(length.integer()?).map_err(|_| length.error("a length"))?),
            side: field.get("direction").optional_choice(&SIDES)?.unwrap_or_default(),
            strategy: field.get("strategy").optional_choice(&STRATEGIES)?.unwrap_or_default(),
        })
    }
}
