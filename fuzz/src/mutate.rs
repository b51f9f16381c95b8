//! How inputs are changed.

use crate::json::{self, NUMBERS};
use crate::random::Random;

/// Inputs do not become longer than this.
const LENGTH_MAX: usize = 1 << 20;

/// Strings that readers have to think about.
pub const STRINGS: &[&str] = &[
    "",
    " ",
    "\t",
    "\n",
    "\r\n",
    "\r",
    "\0",
    "\u{feff}",
    "\u{200b}",
    "\u{ad}",
    "\u{301}",
    "é",
    "ß",
    "İ",
    "漢",
    "😀",
    "\u{10ffff}",
    "\u{2028}",
    "\"",
    "'",
    ",",
    ";",
    "|",
    "{",
    "}",
    "[",
    "]",
    ":",
    "\\",
    "/",
    "#",
    "-",
    "--",
    "..",
    ". ",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "[UNK]",
    "[PAD]",
    "##a",
    "O",
    "B-PER",
    "I-PER",
    "S-LOC",
    "-DOCSTART-",
    "_",
    "1-2",
    "2.1",
    "null",
    "true",
    "NaN",
    "Infinity",
    "text",
    "label",
    "text_b",
];

/// Inside of a packed input, and the rest of it.
pub type Parts = (Vec<u8>, Vec<u8>);

/// Structure of an input.
pub enum Shape {
    /// Anything.
    Bytes,
    /// Text, mostly UTF-8.
    Text,
    /// One JSON value.
    Json,
    /// A JSON value a line.
    JsonLines,
    /// Something that holds an input of another shape, and a rest.
    Packed {
        /// Takes it apart, if it can be.
        unpack: fn(&[u8]) -> Option<Parts>,
        /// Puts it together, with lengths and checksums that are right.
        pack: fn(&[u8], &[u8]) -> Vec<u8>,
        /// Structure of the inside.
        inner: &'static Shape,
    },
}

impl Shape {
    /// Bytes that a reader of `input` gets to see: of a packed file the contents.
    pub fn length(&self, input: &[u8]) -> usize {
        match self {
            Shape::Packed { unpack, .. } => unpack(input).map_or(0, |(within, _)| within.len()).max(input.len()),
            _ => input.len(),
        }
    }
}

/// A changed copy of `input`; `other` is another one of the same kind.
pub fn mutate(shape: &Shape, input: &[u8], other: &[u8], random: &mut Random) -> Vec<u8> {
    let mut changed = match shape {
        Shape::Bytes => bytes(input, other, random),
        Shape::Text => text(input, other, random),
        Shape::Json if random.below(8) > 0 => json_text(input, random).unwrap_or_else(|| text(input, other, random)),
        Shape::Json => text(input, other, random),
        Shape::JsonLines if random.below(4) > 0 => json_lines(input, random),
        Shape::JsonLines => text(input, other, random),
        Shape::Packed { unpack, pack, inner } => match unpack(input) {
            Some((within, rest)) if random.below(4) > 0 => {
                let other = unpack(other).map_or(Vec::new(), |(other, _)| other);
                pack(&mutate(inner, &within, &other, random), &rest)
            }
            _ => bytes(input, other, random),
        },
    };
    changed.truncate(LENGTH_MAX);
    changed
}

fn json_text(input: &[u8], random: &mut Random) -> Option<Vec<u8>> {
    json::mutate(std::str::from_utf8(input).ok()?, random).map(String::into_bytes)
}

fn json_lines(input: &[u8], random: &mut Random) -> Vec<u8> {
    let mut lines: Vec<Vec<u8>> = input.split(|&byte| byte == b'\n').map(<[u8]>::to_vec).collect();
    for _ in 0..=random.below(3) {
        let at = random.below(lines.len());
        if let Some(changed) = json_text(&lines[at], random) {
            lines[at] = changed;
        }
    }
    if random.one_in(8) {
        let line = lines[random.below(lines.len())].clone();
        lines.insert(random.below(lines.len()), line);
    }
    lines.join(&b'\n')
}

fn bytes(input: &[u8], other: &[u8], random: &mut Random) -> Vec<u8> {
    let mut changed = input.to_vec();
    for _ in 0..=random.below(6) {
        let len = changed.len();
        match random.below(8) {
            0 | 1 if len > 0 => {
                let at = random.below(len);
                changed[at] ^= 1 << random.below(8);
            }
            2 if len > 0 => {
                let at = random.below(len);
                changed[at] = random.pick(&[&0_u8, &1, &0x7f, &0x80, &0xff, &b'\n']).to_owned();
            }
            3 if len >= 8 => {
                let at = random.below(len - 7);
                let number =
                    random.pick(&[&0_u64, &1, &0x7fff_ffff, &0xffff_ffff, &(1 << 40), &(u64::MAX / 2), &u64::MAX]);
                let width = 1 << random.below(4);
                changed[at..at + width].copy_from_slice(&number.to_le_bytes()[..width]);
            }
            4 => drop(changed.drain(random.stretch(len))),
            5 => {
                let copy = changed[random.stretch(len)].to_vec();
                let at = random.below(len + 1);
                changed.splice(at..at, copy);
            }
            6 => {
                let part = other[random.stretch(other.len())].to_vec();
                let place = random.stretch(len);
                changed.splice(place, part);
            }
            _ => changed.truncate(random.below(len + 1)),
        }
    }
    changed
}

fn text(input: &[u8], other: &[u8], random: &mut Random) -> Vec<u8> {
    let mut changed = input.to_vec();
    for _ in 0..=random.below(5) {
        let len = changed.len();
        match random.below(9) {
            0..=2 => {
                let at = random.below(len + 1);
                changed.splice(at..at, random.pick(STRINGS).bytes());
            }
            3 => {
                let place = random.stretch(len);
                changed.splice(place, random.pick(STRINGS).bytes());
            }
            4 => replace_number(&mut changed, random),
            5 => swap_lines(&mut changed, random),
            6 => grow(&mut changed, random),
            _ => changed = bytes(&changed, other, random),
        }
    }
    changed
}

/// Puts another number in place of one.
fn replace_number(text: &mut Vec<u8>, random: &mut Random) {
    let starts: Vec<usize> = (0..text.len())
        .filter(|&at| text[at].is_ascii_digit() && (at == 0 || !text[at - 1].is_ascii_digit()))
        .collect();
    if starts.is_empty() {
        return;
    }
    let start = starts[random.below(starts.len())];
    let digits = text[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    text.splice(start..start + digits, random.pick(NUMBERS).bytes());
}

fn swap_lines(text: &mut Vec<u8>, random: &mut Random) {
    let mut lines: Vec<Vec<u8>> = text.split(|&byte| byte == b'\n').map(<[u8]>::to_vec).collect();
    let (a, b) = (random.below(lines.len()), random.below(lines.len()));
    lines.swap(a, b);
    *text = lines.join(&b'\n');
}

/// Repeats a stretch: once in a while up to the greatest length, where what is quadratic shows.
fn grow(text: &mut Vec<u8>, random: &mut Random) {
    let stretch = text[random.stretch(text.len())].to_vec();
    if stretch.is_empty() {
        return;
    }
    let longest = if random.one_in(16) { LENGTH_MAX } else { 4096 };
    let times = (longest.saturating_sub(text.len()) / stretch.len()).min(1 << random.below(20));
    let at = random.below(text.len() + 1);
    text.splice(at..at, stretch.repeat(times));
}
