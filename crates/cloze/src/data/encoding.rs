//! Bytes that should be UTF-8.

use std::path::Path;

use crate::error::Error;

/// The text of `bytes`, before which `lines_before` lines of the file at `path` have been read.
pub(crate) fn utf8<'a>(bytes: &'a [u8], path: &Path, lines_before: usize) -> Result<&'a str, Error> {
    std::str::from_utf8(bytes).map_err(|error| {
        let valid = &bytes[..error.valid_up_to()];
        let lines = valid.iter().filter(|&&byte| byte == b'\n').count();
        let column = valid.len() - valid.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1) + 1;
        let byte = bytes[valid.len()];
        let is_start = lines_before == 0 && valid.is_empty();
        let encoding = guess_encoding(&bytes[valid.len()..], is_start);
        let message = format!(
            "byte {column} of the line, 0x{byte:02X}, is not UTF-8; convert the file, for example with \
             `iconv -f {encoding} -t UTF-8`"
        );
        Error::Data { path: path.to_path_buf(), line: Some(lines_before + lines + 1), message }
    })
}

/// What text may be that is not UTF-8 from its first byte here on; `is_start` if that is the first of the file.
fn guess_encoding(bytes: &[u8], is_start: bool) -> &'static str {
    if is_start && (bytes.starts_with(&[0xFF, 0xFE]) || bytes.starts_with(&[0xFE, 0xFF])) {
        return "UTF-16";
    }
    // Accented letters mostly stand between others; a Chinese character is two bytes, the first of them high.
    let sample = &bytes[..bytes.len().min(1 << 16)];
    let high = sample.iter().filter(|&&byte| byte >= 0x80).count();
    let in_pairs: usize = sample
        .chunk_by(|a, b| (*a >= 0x80) == (*b >= 0x80))
        .filter(|run| run[0] >= 0x80 && run.len() > 1)
        .map(<[u8]>::len)
        .sum();
    if high > 1 && 2 * in_pairs > high { "GB18030" } else { "WINDOWS-1252" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_encoding_is_guessed() {
        // In the order of the cases: "Hi" and "你好。" as Python encodes them in UTF-16 and GB18030, "été" in Latin-1.
        for (bytes, place, encoding) in [
            (&b"\xFF\xFEH\0i\0"[..], ":1: byte 1", "UTF-16"),
            (b"\xFE\xFF\0H\0i", ":1: byte 1", "UTF-16"),
            (b"ok\n\xC4\xE3\xBA\xC3\xA1\xA3", ":2: byte 1", "GB18030"),
            (b"l'\xE9t\xE9 et l'hiver", ":1: byte 3", "WINDOWS-1252"),
            (b"\n\nna\xEFve", ":3: byte 3", "WINDOWS-1252"),
        ] {
            let message = utf8(bytes, Path::new("a.txt"), 0).unwrap_err().to_string();
            assert!(message.starts_with(&format!("a.txt{place} of the line")), "{message}");
            assert!(message.ends_with(&format!("`iconv -f {encoding} -t UTF-8`")), "{message}");
        }
        assert_eq!(utf8("你好".as_bytes(), Path::new("a.txt"), 0).unwrap(), "你好");
    }
}
