//! Whole files of every kind. Those in `tests/fixtures/documents` are made by `checks/python/make_documents_fixture.py`
//! with Python's gzip, zstandard and pyarrow.

use std::fs;

use super::*;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/documents").join(name)
}

/// The texts that the fixtures hold, with their rows from 1.
fn expected() -> Vec<(usize, String)> {
    let rows: Vec<Option<String>> =
        serde_json::from_str(&fs::read_to_string(fixture("documents.json")).unwrap()).unwrap();
    assert_eq!(rows.len(), 60);
    rows.into_iter().zip(1..).filter_map(|(text, row)| Some((row, text?))).collect()
}

/// Documents with their lines, put together from their pieces, or the message.
fn documents(inputs: &[PathBuf], options: &DocumentOptions) -> Result<Vec<(usize, String)>, String> {
    let found = find_files(inputs).map_err(|error| error.to_string())?;
    let mut documents = Vec::new();
    let (mut begun, mut first_line) = (String::new(), 1);
    let read: Result<Vec<PathBuf>, Error> = for_each_block(&found.files, options, &mut |_, _| (), &mut |pieces| {
        for piece in pieces {
            if begun.is_empty() {
                first_line = piece.place.line;
            } else if !begun.ends_with('\n') {
                begun.push('\n');
            }
            begun.push_str(piece.text);
            if piece.ends_document {
                let whole = std::mem::take(&mut begun);
                let text = whole.trim_matches(['\n', '\r']);
                let blank_lines = whole[..whole.len() - whole.trim_start_matches(['\n', '\r']).len()].matches('\n');
                if !is_blank(text) {
                    documents.push((first_line + blank_lines.count(), text.to_string()));
                }
            }
        }
        Ok(())
    });
    read.map_err(|error| error.to_string())?;
    Ok(documents)
}

fn texts(documents: &[(usize, String)]) -> Vec<&str> {
    documents.iter().map(|(_, text)| text.as_str()).collect()
}

/// A file of this name and content; the message of reading it, without its folder.
fn failure(name: &str, content: &[u8], options: &DocumentOptions) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, content).unwrap();
    let message = documents(&[path], options).unwrap_err();
    message.replace(&format!("{}/", folder.path().display()), "")
}

#[test]
fn every_kind_of_file_holds_the_same_documents() {
    let options = DocumentOptions::default();
    let expected = expected();
    let plain = documents(&[fixture("plain.txt")], &options).unwrap();
    assert_eq!(texts(&plain), texts(&expected));
    let lines = fs::read_to_string(fixture("plain.txt")).unwrap();
    for (line, text) in &plain {
        assert_eq!(lines.lines().nth(line - 1), text.lines().next());
    }
    for name in ["plain.txt.gz", "plain.txt.zst"] {
        assert_eq!(documents(&[fixture(name)], &options).unwrap(), plain, "{name}");
    }
    for name in ["records.jsonl", "records.jsonl.gz", "records.jsonl.zst"] {
        assert_eq!(documents(&[fixture(name)], &options).unwrap(), expected, "{name}");
    }
}

#[test]
fn documents_end_as_asked() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("a.txt");
    let records = folder.path().join("b.jsonl");
    fs::write(&text, "\n\none\ntwo\n\nthree").unwrap();
    fs::write(&records, "{\"text\": \"four\\n\\nfive\"}\n\n{\"text\": \"six\"}").unwrap();
    let read = |document| {
        let options = DocumentOptions { document, ..DocumentOptions::default() };
        let documents = documents(&[text.clone(), records.clone()], &options).unwrap();
        documents.iter().map(|(line, text)| format!("{line}:{text}")).collect::<Vec<_>>()
    };
    assert_eq!(read(DocumentBreak::BlankLine), ["3:one\ntwo", "6:three", "1:four\n\nfive", "3:six"]);
    assert_eq!(read(DocumentBreak::File), ["3:one\ntwo\n\nthree", "1:four\n\nfive\nsix"]);
    assert_eq!(read(DocumentBreak::Record), ["3:one", "4:two", "6:three", "1:four\n\nfive", "3:six"]);
}

#[test]
fn another_field_is_chosen() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.jsonl");
    fs::write(&path, "{\"text\": 1, \"body\": \"one\"}\n").unwrap();
    let options = DocumentOptions { text_field: "body".to_string(), ..DocumentOptions::default() };
    assert_eq!(documents(&[path], &options).unwrap(), [(1, "one".to_string())]);
}

#[test]
fn documents_over_several_blocks_are_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.txt");
    let long = "a line of some words\n".repeat(BLOCK_BYTES / 8);
    fs::write(&path, format!("short\n\n{long}\nshort")).unwrap();
    let documents = documents(&[path], &DocumentOptions::default()).unwrap();
    assert!(documents.len() == 3 && documents[1] == (3, long.trim_end().to_string()));
    assert_eq!(documents[2], (3 + BLOCK_BYTES / 8 + 1, "short".to_string()));
}

#[test]
fn lines_have_a_limit() {
    let options = DocumentOptions { line_limit: 100, ..DocumentOptions::default() };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.txt");
    for (length, fits) in [(99, true), (100, true), (101, false), (350, false), (100_000, false)] {
        // Whatever stands before, so that blocks begin anywhere.
        for before in ["", "x\n", "0123456789\n0123456789\n"] {
            for end in ["", "\n", "\nmore"] {
                fs::write(&path, format!("{before}{}{end}", "a".repeat(length))).unwrap();
                let result = documents(std::slice::from_ref(&path), &options);
                assert_eq!(result.is_ok(), fits, "{length} after {before:?}: {result:?}");
                if let Err(message) = result {
                    let place = format!("a.txt:{}: the line has more than 100 bytes", 1 + before.matches('\n').count());
                    assert!(message.contains(&place) && message.contains("fold -s"), "{message}");
                }
            }
        }
    }
}

#[test]
fn damage_is_named_with_its_place() {
    let options = DocumentOptions::default();
    let cut = |name: &str| {
        let bytes = fs::read(fixture(name)).unwrap();
        bytes[..bytes.len() - 40].to_vec()
    };
    let gzip = failure("cut.txt.gz", &cut("plain.txt.gz"), &options);
    assert!(gzip.starts_with("cut.txt.gz:") && gzip.contains("gzip data is damaged or cut off"), "{gzip}");
    let zstd = failure("cut.jsonl.zst", &cut("records.jsonl.zst"), &options);
    assert!(zstd.starts_with("cut.jsonl.zst:") && zstd.contains("zstd data is damaged or cut off"), "{zstd}");
    for message in [gzip, zstd] {
        let line: usize = message.split(':').nth(1).unwrap().parse().unwrap();
        assert!(line > 30, "the first half is whole: {message}");
    }
    let mut flipped = fs::read(fixture("plain.txt.zst")).unwrap();
    let end = flipped.len() - 2;
    flipped[end] ^= 1;
    assert!(failure("a.txt.zst", &flipped, &options).contains("the checksum does not fit"));
    assert!(failure("a.txt.gz", b"no gzip", &options).contains("a.txt.gz:1: from here on the gzip data"));
    assert!(failure("a.txt.zst", b"no zstd", &options).contains("a.txt.zst:1: from here on the zstd data"));
    for ending in ["gz", "zst"] {
        let name = format!("a.parquet.{ending}");
        for bytes in [cut(&format!("row-groups.parquet.{ending}")), b"neither".to_vec()] {
            let error = failure(&name, &bytes, &options);
            let kind = if ending == "gz" { "gzip" } else { "zstd" };
            assert!(error.starts_with(&format!("{name}: the {kind} data is damaged or cut off (")), "{error}");
        }
    }
    let error = failure("a.txt", b"fine\nl'\xE9t\xE9", &options);
    assert!(error.starts_with("a.txt:2: byte 3 of the line, 0xE9, is not UTF-8"), "{error}");
    let error = failure("a.jsonl", b"{\"text\": \"x\"}\n\n{\"t\": 1}", &options);
    assert!(error.starts_with("a.jsonl:3: no field `text`"), "{error}");
}

#[test]
fn files_without_text_are_passed_over_and_named() {
    let options = DocumentOptions::default();
    for (name, content) in [("a.txt", ""), ("a.txt", " \n\n"), ("a.jsonl", "{\"text\": null}\n{\"text\": \"\"}")] {
        assert!(failure(name, content.as_bytes(), &options).starts_with(&format!("{name}: the file holds no text")));
    }
    assert!(documents(&[], &options).unwrap_err().contains("at least one"));

    let folder = tempfile::tempdir().unwrap();
    let paths = ["a.txt", "b.txt", "c.txt"].map(|name| folder.path().join(name));
    for (path, content) in paths.iter().zip(["", "text", "\n"]) {
        fs::write(path, content).unwrap();
    }
    assert_eq!(documents(&paths, &options).unwrap(), [(1, "text".to_string())]);
    let blank = for_each_block(&paths, &options, &mut |_, _| (), &mut |_| Ok(())).unwrap();
    assert_eq!(blank, [paths[0].clone(), paths[2].clone()]);
    let error = documents(&blank, &options).unwrap_err();
    assert!(error.contains("a.txt: the file holds no text, nor do the other 1 files"), "{error}");
    assert_eq!(documents(&blank, &DocumentOptions { blank_files: true, ..options }).unwrap(), []);
}

#[test]
fn all_files_that_cannot_be_read_are_told_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let contents: [(&str, &[u8]); 5] = [
        ("1.txt", b"fine"),
        ("2.txt", b"not \xe9"),
        ("3.jsonl", b"{\"text\": \"fine\"}\n{\"text\": 1}\n"),
        ("4.txt", b"fine, too"),
        ("5.txt.gz", b"no gzip"),
    ];
    let paths = contents.map(|(name, content)| {
        fs::write(folder.path().join(name), content).unwrap();
        folder.path().join(name)
    });
    let mut read = String::new();
    let options = DocumentOptions::default();
    let result = for_each_block(&paths, &options, &mut |_, _| (), &mut |pieces| {
        pieces.iter().for_each(|piece| read.push_str(piece.text));
        Ok(())
    });
    let error = result.unwrap_err().to_string();
    assert!(error.starts_with("3 files cannot be read:\n"), "{error}");
    for told in ["2.txt:1: byte 5", "3.jsonl:2: the field `text` is no string", "5.txt.gz:1: from here on the gzip"] {
        assert!(error.contains(told), "{error}");
    }
    assert_eq!(read, "fine", "nothing is handed over behind an error");
}

#[test]
fn pieces_come_in_small_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.txt");
    for (line, document, expected) in [
        ("\n", DocumentBreak::BlankLine, 1),
        ("a\n", DocumentBreak::Record, 100_000),
        ("a\n\n", DocumentBreak::BlankLine, 100_000),
    ] {
        fs::write(&path, line.repeat(100_000)).unwrap();
        let options = DocumentOptions { document, blank_files: true, ..DocumentOptions::default() };
        let (mut count, mut most) = (0, 0);
        for_each_block(std::slice::from_ref(&path), &options, &mut |_, _| (), &mut |pieces| {
            count += pieces.iter().filter(|piece| !piece.text.is_empty()).count();
            most = most.max(pieces.len());
            Ok(())
        })
        .unwrap();
        assert!(count == expected && most <= PIECES_AT_ONCE, "{line:?}: {count} pieces, {most} at once");
    }
}

#[test]
fn what_the_caller_says_ends_the_reading() {
    let mut count = 0;
    let files = [fixture("plain.txt"), fixture("records.jsonl")];
    let result = for_each_block(&files, &DocumentOptions::default(), &mut |_, _| (), &mut |_| {
        count += 1;
        if count == 3 { Err(Error::Settings("enough".to_string())) } else { Ok(()) }
    });
    assert!(result.unwrap_err().to_string() == "enough" && count == 3);
}

#[test]
fn parquet_files_hold_the_same_rows() {
    let expected = expected();
    let names =
        ["snappy", "row-groups", "gzip", "lz4", "brotli", "zstd", "required"].map(|name| format!("{name}.parquet"));
    let packed = ["gz", "zst"].map(|ending| format!("row-groups.parquet.{ending}"));
    for name in names.iter().chain(&packed) {
        let read = documents(&[fixture(name)], &DocumentOptions::default());
        assert_eq!(read.as_ref(), Ok(&expected), "{name}");
    }
}

#[test]
fn a_column_within_others_is_chosen_by_its_path() {
    let options = DocumentOptions { text_field: "meta.url".to_string(), ..DocumentOptions::default() };
    let there = (0..60).filter(|n| n % 10 != 9 && n % 3 != 0);
    let expected: Vec<(usize, String)> = there.map(|n| (n + 1, format!("u{n}"))).collect();
    assert_eq!(documents(&[fixture("snappy.parquet")], &options).unwrap(), expected);
}

#[test]
fn parquet_files_that_cannot_be_read_are_named() {
    let read = |name: &str, field: &str| {
        let options = DocumentOptions { text_field: field.to_string(), ..DocumentOptions::default() };
        documents(&[fixture(name)], &options).unwrap_err()
    };
    let columns = "there are: `id` (no strings), `text`, `meta.url`, `meta.tags.list.element` (in a list); choose with \
                   --text-field";
    for field in ["body", "id", "meta", "url", "meta.tags.list.element"] {
        let error = read("snappy.parquet", field);
        assert!(error.contains(&format!("snappy.parquet: no column `{field}` of strings; {columns}")), "{error}");
    }
    let options = DocumentOptions::default();
    assert!(failure("a.parquet", b"", &options).starts_with("a.parquet: not a whole Parquet file ("));
    assert!(failure("a.parquet.zst", b"", &options).starts_with("a.parquet.zst: not a whole Parquet file ("));
    assert!(failure("a.parquet", &[7; 90], &options).contains("not a whole Parquet file (Invalid Parquet file"));
    let limit = DocumentOptions { line_limit: 5, ..DocumentOptions::default() };
    assert!(documents(&[fixture("snappy.parquet")], &limit).unwrap_err().contains(".parquet:1: the text has "));
}

#[test]
fn damaged_parquet_files_do_no_harm() {
    let mut whole = fs::read(fixture("row-groups.parquet")).unwrap();
    let middle = whole.len() / 2;
    whole[middle] ^= 1;
    let error = failure("a.parquet", &whole, &DocumentOptions::default());
    let row: usize = error.split(':').nth(1).unwrap().parse().unwrap();
    assert!((10..60).contains(&row) && error.contains("column `text` cannot be read from this row on ("), "{error}");

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    for name in ["damaged-1", "damaged-2", "damaged-3", "damaged-4"] {
        let error = documents(&[fixture(&format!("{name}.parquet"))], &DocumentOptions::default()).unwrap_err();
        assert!(error.contains(&format!("{name}.parquet")), "{error}");
    }
    let mut errors = 0;
    for name in ["snappy", "row-groups", "gzip", "lz4", "brotli", "zstd", "required"] {
        let whole = fs::read(fixture(&format!("{name}.parquet"))).unwrap();
        for at in (0..whole.len()).step_by(61) {
            for damage in [0x01, 0x80, 0xFF] {
                let mut bytes = whole.clone();
                bytes[at] ^= damage;
                fs::write(&path, &bytes).unwrap();
                errors += usize::from(documents(std::slice::from_ref(&path), &DocumentOptions::default()).is_err());
            }
        }
    }
    assert!(errors > 500, "{errors}");
}
