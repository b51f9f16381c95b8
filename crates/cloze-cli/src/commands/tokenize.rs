//! `cloze tokenize`: text to tokens, ids and offsets.

use clap::{Args, ValueEnum};
use cloze::folder::read;
use cloze_tokenizer::Tokenizer;
use serde::Serialize;

use cloze::settings::StoredSettings;

use crate::arguments::{Common, TokenizerArgs, at_least, casing, note_tokenizer};
use crate::input::{InputArgs, for_each_group};
use crate::output::{Cut, Output};

/// Flags of `cloze tokenize`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  cloze tokenize --tokenizer vocab --text \"The quick brown fox.\"\n  \
    cloze tokenize --tokenizer model --input book.txt --json > tokens.jsonl")]
pub struct Arguments {
    #[command(flatten)]
    tokenizer: TokenizerArgs,
    #[command(flatten)]
    input: InputArgs,
    /// Cut texts after N tokens, special tokens included [default: nothing is cut]
    #[arg(long, value_name = "N", value_parser = at_least(4_u32))]
    max_length: Option<u32>,
    /// Follow the rules of Hugging Face's tokenizers, as every other command does, or those of Google BERT's
    /// tokenization.py
    #[arg(long, value_enum, default_value = "huggingface")]
    mode: Mode,
}

/// Whose rules tokenize.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Mode {
    #[value(name = "huggingface")]
    HuggingFace,
    Google,
}

/// One line with `--json`.
#[derive(Serialize)]
struct Tokens<'a> {
    ids: &'a [u32],
    tokens: Vec<&'a str>,
    offsets: &'a [(usize, usize)],
    token_type_ids: &'a [u32],
}

/// Runs `cloze tokenize`.
pub fn run(arguments: &Arguments, common: &Common) -> anyhow::Result<()> {
    let tokenizer = match arguments.mode {
        Mode::HuggingFace => arguments.tokenizer.open(common)?,
        Mode::Google => {
            let TokenizerArgs { tokenizer: path, cased } = &arguments.tokenizer;
            let _reading = read(path)?;
            let tokenizer = Tokenizer::open_google(path, casing(*cased))?;
            note_tokenizer(&tokenizer);
            tokenizer
        }
    };
    let max_length = arguments.max_length.map(|length| length as usize);
    let mut output = Output::new(common.json);
    let mut cut = Cut::default();
    for_each_group(arguments.input.texts(&StoredSettings::default())?, "tokenizing", &mut output, |group, output| {
        for text in group {
            let encoding = match &text.b {
                Some(b) => tokenizer.encode_pair(&text.a, b, max_length),
                None => tokenizer.encode(&text.a, max_length),
            };
            cut.add(encoding.truncated);
            let tokens: Vec<&str> = encoding.ids.iter().map(|&id| tokenizer.token(id).unwrap_or_default()).collect();
            let readable = tokens.join(" ");
            let line = Tokens {
                ids: &encoding.ids,
                tokens,
                offsets: &encoding.offsets,
                token_type_ids: &encoding.token_type_ids,
            };
            output.answer(&line, || readable)?;
        }
        Ok(())
    })?;
    output.finish()?;
    cut.report();
    Ok(())
}
