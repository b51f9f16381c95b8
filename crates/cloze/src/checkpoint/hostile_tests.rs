//! Files that are damaged, or made to do harm: an error that names file, tensor and reason, never a
//! panic, and nothing allocated that the file's real length does not justify.

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use tempfile::TempDir;

use super::tests::{ALL, expect_error, small_config, stored, weights, write_stored};
use super::*;

/// A file of the header's length, the header and the data.
fn write_raw(dir: &TempDir, header_bytes: u64, header: &str, data_bytes: usize) -> PathBuf {
    let path = dir.path().join("raw.safetensors");
    let mut bytes = header_bytes.to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.resize(bytes.len() + data_bytes, 0);
    fs::write(&path, bytes).unwrap();
    path
}

#[track_caller]
fn expect_refused(header: &str, data_bytes: usize, parts: &[&str]) {
    let dir = TempDir::new().unwrap();
    let path = write_raw(&dir, header.len() as u64, header, data_bytes);
    expect_error(TensorFile::open(&path), &["raw.safetensors"]);
    expect_error(TensorFile::open(&path), parts);
}

#[test]
fn no_file_and_no_regular_file() {
    let dir = TempDir::new().unwrap();
    expect_error(TensorFile::open(&dir.path().join("none")), &["cannot read", "none"]);
    expect_error(TensorFile::open(dir.path()), &["not a regular file"]);
    expect_error(TensorFile::open(Path::new("/dev/zero")), &["/dev/zero", "not a regular file"]);
}

#[test]
fn shorter_than_the_length_of_its_header() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("short.safetensors");
    for length in 0..8 {
        fs::write(&path, vec![0; length]).unwrap();
        expect_error(TensorFile::open(&path), &["short.safetensors", "too few"]);
    }
}

#[test]
fn header_length_beyond_the_file() {
    let dir = TempDir::new().unwrap();
    for header_bytes in [3, 1 << 40, u64::MAX - 7, u64::MAX] {
        let path = write_raw(&dir, header_bytes, "{}", 0);
        expect_error(TensorFile::open(&path), &["raw.safetensors", &header_bytes.to_string(), "only 2 follow"]);
    }
}

#[test]
fn header_length_that_is_absurd() {
    let dir = TempDir::new().unwrap();
    // The file really is that long, but takes no place on the disk.
    let path = write_raw(&dir, 1 << 30, "{}", 0);
    fs::File::options().write(true).open(&path).unwrap().set_len((1 << 30) + 8).unwrap();
    expect_error(TensorFile::open(&path), &["raw.safetensors", "1073741824 bytes, more than"]);
}

#[test]
fn header_that_is_not_an_object_of_tensors() {
    for header in ["", "{", "[]", "3", "nonsense", "{\"a\":1} x", "{\"a\"", &"[".repeat(5000)] {
        expect_refused(header, 0, &["not readable as JSON"]);
    }
    for entry in [
        "1",
        "{}",
        r#"{"dtype":"F32","shape":[1]}"#,
        r#"{"dtype":"F31","shape":[1],"data_offsets":[0,4]}"#,
        r#"{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}"#,
        r#"{"dtype":"F32","shape":[1e300],"data_offsets":[0,4]}"#,
        r#"{"dtype":"F32","shape":[99999999999999999999],"data_offsets":[0,4]}"#,
        r#"{"dtype":"F32","shape":[1],"data_offsets":[0]}"#,
    ] {
        expect_refused(&format!("{{\"the.name\":{entry}}}"), 4, &["`the.name`", "its entry in the header"]);
    }
    expect_refused(r#"{"__metadata__":{"step":1}}"#, 0, &["__metadata__", "strings"]);
}

#[test]
fn header_that_is_not_text() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("raw.safetensors");
    fs::write(&path, [4, 0, 0, 0, 0, 0, 0, 0, b'{', 0xff, 0xfe, b'}']).unwrap();
    expect_error(TensorFile::open(&path), &["raw.safetensors", "not readable as JSON"]);
}

#[test]
fn pointer_of_git_lfs() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("model.safetensors");
    fs::write(&path, "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 90868376\n").unwrap();
    expect_error(TensorFile::open(&path), &["model.safetensors", "Git LFS", "git lfs pull"]);
}

/// The entry of a tensor of `len` f32.
fn entry(name: &str, len: usize, start: usize, end: usize) -> String {
    format!(r#""{name}":{{"dtype":"F32","shape":[{len}],"data_offsets":[{start},{end}]}}"#)
}

#[test]
fn tensors_that_overlap_or_leave_gaps() {
    let overlap = format!("{{{},{}}}", entry("a", 2, 0, 8), entry("b", 2, 4, 12));
    expect_refused(&overlap, 12, &["`b`", "byte 4", "8 was expected", "overlap"]);
    let same = format!("{{{},{}}}", entry("a", 2, 0, 8), entry("b", 2, 0, 8));
    expect_refused(&same, 8, &["`b`", "byte 0", "overlap"]);
    let gap = format!("{{{},{}}}", entry("a", 2, 0, 8), entry("b", 1, 12, 16));
    expect_refused(&gap, 16, &["`b`", "byte 12", "gap"]);
    let late = format!("{{{}}}", entry("a", 1, 4, 8));
    expect_refused(&late, 8, &["`a`", "0 was expected"]);
    // Otherwise the second entry of the same name would hide the first.
    let twice = format!("{{{},{}}}", entry("a", 2, 0, 8), entry("a", 1, 8, 12));
    expect_refused(&twice, 12, &["\"a\" comes twice"]);
}

#[test]
fn tensors_beyond_the_end_and_bytes_after_the_last() {
    let header = format!("{{{}}}", entry("a", 2, 0, 8));
    expect_refused(&header, 7, &["`a`", "only 7", "cut short"]);
    expect_refused(&header, 0, &["`a`", "cut short"]);
    expect_refused(&header, 9, &["1 bytes follow"]);
    expect_refused("{}", 5, &["5 bytes follow"]);
    let far = format!("{{{}}}", entry("a", 1 << 40, 0, 1 << 42));
    expect_refused(&far, 8, &["`a`", "cut short"]);
    let last = format!("{{{}}}", entry("a", 2, 0, usize::MAX));
    expect_refused(&last, 8, &["`a`", "cut short"]);
    let backwards = format!("{{{},{}}}", entry("a", 2, 0, 8), entry("b", 2, 8, 0));
    expect_refused(&backwards, 8, &["`b`", "before its beginning"]);
}

#[test]
fn shapes_that_do_not_fit_their_bytes_or_overflow() {
    expect_refused(&format!("{{{}}}", entry("a", 3, 0, 8)), 8, &["`a`", "takes 12 bytes, but has 8"]);
    for shape in ["[4294967296,4294967296]", "[18446744073709551615,2]", "[2,4611686018427387904]"] {
        let header = format!(r#"{{"a":{{"dtype":"F32","shape":{shape},"data_offsets":[0,8]}}}}"#);
        expect_refused(&header, 8, &["`a`", "no whole number of bytes"]);
    }
    let half_byte = r#"{"a":{"dtype":"F4","shape":[3],"data_offsets":[0,1]}}"#;
    expect_refused(half_byte, 1, &["`a`", "no whole number of bytes"]);
}

#[test]
fn names_that_would_write_to_the_terminal() {
    let header = format!("{{{}}}", entry(r"\u001b[2J", 3, 0, 8));
    expect_refused(&header, 8, &[r"`\u{1b}[2J`"]);
}

/// A valid directory whose config.json has other sizes.
fn with_config(change: impl FnOnce(&mut Config)) -> (TempDir, Result<Checkpoint, Error>) {
    let dir = small_directory();
    let mut config = small_config();
    change(&mut config);
    config.write(&dir.path().join("config.json")).unwrap();
    let opened = Checkpoint::open(dir.path());
    (dir, opened)
}

fn small_directory() -> TempDir {
    let dir = TempDir::new().unwrap();
    let declaration = Declaration::new(&small_config(), ALL);
    small_config().write(&dir.path().join("config.json")).unwrap();
    write_stored(&dir.path().join("model.safetensors"), &stored(&declaration, &weights(&declaration)));
    dir
}

#[test]
fn sizes_that_the_tensors_do_not_justify() {
    let (_dir, opened) = with_config(|config| config.vocab_size = 1 << 24);
    expect_error(opened, &["model.safetensors", "word_embeddings", "[16777216, 6]", "[11, 6]"]);
    let (_dir, opened) = with_config(|config| config.num_hidden_layers = 1 << 10);
    expect_error(opened, &["model.safetensors", "bert.encoder.layer.2.", "missing", "num_hidden_layers is 1024"]);
    let (_dir, opened) = with_config(|config| config.intermediate_size = 1 << 18);
    expect_error(opened, &["intermediate", "[262144, 6]", "[5, 6]"]);
    let (_dir, opened) = with_config(|config| (config.vocab_size, config.hidden_size) = (1 << 24, 3 << 14));
    expect_error(opened, &["config.json", "hidden_size", "parameters"]);
}

#[test]
fn classifier_of_many_rows_without_columns() {
    let dir = TempDir::new().unwrap();
    let config = Config { labels: Vec::new(), ..small_config() };
    let declaration = Declaration::new(&config, ALL);
    config.write(&dir.path().join("config.json")).unwrap();
    let mut tensors = stored(&declaration, &weights(&declaration));
    let classifier = tensors.iter_mut().find(|tensor| tensor.name == "classifier.weight").unwrap();
    classifier.shape = vec![1 << 50, 0];
    classifier.bytes.clear();
    write_stored(&dir.path().join("model.safetensors"), &tensors);
    expect_error(Checkpoint::open(dir.path()), &["classifier.weight", "[labels, 6]", "1125899906842624"]);
}

/// Opens and reads whatever is in a directory.
fn read_all(dir: &Path) -> Result<Report, Error> {
    let checkpoint = Checkpoint::open(dir)?;
    let declaration = Declaration::new(checkpoint.config(), checkpoint.heads());
    assert!(declaration.len < 10_000, "more than the file holds");
    checkpoint.read(&declaration, &mut vec![0.0; declaration.len])
}

#[test]
fn every_truncation_of_a_valid_file_is_an_error() {
    let dir = small_directory();
    let path = dir.path().join("model.safetensors");
    let bytes = fs::read(&path).unwrap();
    assert!(read_all(dir.path()).is_ok());
    for length in (0..bytes.len()).step_by(7) {
        fs::write(&path, &bytes[..length]).unwrap();
        expect_error(read_all(dir.path()), &["model.safetensors"]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// Bytes are changed near the beginning, where lengths and names are, and anywhere.
    #[test]
    fn damaged_directories_never_panic(
        name in prop_oneof![Just("model.safetensors"), Just("config.json")],
        changes in prop::collection::vec((any::<u16>(), any::<u8>()), 0..4),
        early in any::<bool>(),
        length in prop::option::weighted(0.3, any::<u16>()),
    ) {
        let dir = small_directory();
        let path = dir.path().join(name);
        let mut bytes = fs::read(&path).unwrap();
        let reach = if early { bytes.len().min(200) } else { bytes.len() };
        for (at, byte) in changes {
            bytes[usize::from(at) % reach] ^= byte;
        }
        if let Some(length) = length {
            let length = usize::from(length) % (bytes.len() + 1);
            bytes.truncate(length);
        }
        fs::write(&path, &bytes).unwrap();
        if let Err(error) = read_all(dir.path()) {
            prop_assert!(error.to_string().contains(&*dir.path().to_string_lossy()), "{error}");
        }
    }
}
