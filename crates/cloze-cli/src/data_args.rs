//! Flags that say how labelled data is read, shared by all commands that read it.

use std::path::PathBuf;

use clap::Args;
use cloze::data::{ColumnSpec, DataOptions, DataSettings, Format};

/// How labelled data is read.
#[derive(Debug, Args)]
#[command(next_help_heading = "Data")]
pub struct DataArgs {
    /// Read these columns or fields: by name, as text=sentence,label=stars; or by number from 0 if the table has no header,
    /// as text=3,text_b=4; several label= name columns of 0 and 1 [default: those with the usual names]
    #[arg(id = "columns", long = "columns", value_name = "SPEC", value_parser = checked_spec)]
    columns: Option<String>,
    /// Read files in this format: tsv, csv, jsonl, json, text, parquet, conll, conllu or brat [default: as their ending
    /// says]
    #[arg(long, value_name = "NAME", value_parser = format)]
    format: Option<Format>,
    /// Split rows at this character, or at tab [default: recognised]
    #[arg(long, value_name = "CHAR", value_parser = character)]
    delimiter: Option<char>,
    /// Split cells of several labels at this character [default: the only one of , | ; that occurs]
    #[arg(long, value_name = "CHAR", value_parser = character)]
    label_separator: Option<char>,
    /// Leave out examples without a label, and count them
    #[arg(long)]
    skip_unlabelled: bool,
}

/// Names of labels.
#[derive(Debug, Args)]
#[command(next_help_heading = "Data")]
pub struct LabelArgs {
    /// Read all labels from this file, one a line, in the order of their ids: it names labels that are numbers, and has
    /// those that --train lacks [default: the labels of --train]
    #[arg(long = "labels", value_name = "FILE")]
    pub labels: Option<PathBuf>,
}

impl DataArgs {
    /// The choice of columns as it was written, for settings that are stored.
    pub fn columns(&self) -> Option<String> {
        self.columns.clone()
    }

    /// All else, for settings that are stored.
    pub fn settings(&self, labels: Option<PathBuf>) -> DataSettings {
        DataSettings {
            format: self.format,
            delimiter: self.delimiter,
            label_separator: self.label_separator,
            labels,
            skip_unlabelled: self.skip_unlabelled,
        }
    }

    /// True if standard input is a table or records, rather than a text a line.
    pub fn makes_a_table(&self) -> bool {
        self.columns.is_some() || self.format.is_some() || self.delimiter.is_some()
    }

    /// How to read.
    pub fn options(&self) -> Result<DataOptions, cloze::Error> {
        DataOptions::new(self.columns.as_deref(), &self.settings(None))
    }
}

/// A choice of columns as it was written, if it can be understood.
fn checked_spec(text: &str) -> Result<String, String> {
    text.parse::<ColumnSpec>().map(|_| text.to_string()).map_err(|error| error.to_string())
}

fn format(name: &str) -> Result<Format, String> {
    let known = || Format::names().collect::<Vec<_>>().join(", ");
    Format::named(name).ok_or_else(|| format!("expected one of {}", known()))
}

/// One character, which may be called `tab` or written `\t`.
fn character(text: &str) -> Result<char, String> {
    let mut chars = text.chars();
    match (text, chars.next(), chars.next()) {
        ("tab" | "\\t", _, _) => Ok('\t'),
        (_, Some('"' | '\n' | '\r'), None) => Err("a quote or a line end separates nothing".to_string()),
        (_, Some(one), None) => Ok(one),
        _ => Err("expected one character, or tab".to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn separators_are_single_characters() {
        assert_eq!((character("tab"), character("\\t"), character("\t")), (Ok('\t'), Ok('\t'), Ok('\t')));
        assert_eq!((character(";"), character("¦")), (Ok(';'), Ok('¦')));
        assert!(character("").is_err() && character(";;").is_err() && character("\"").is_err());
    }
}
