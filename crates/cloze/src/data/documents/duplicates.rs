//! Copies of documents, found by the hash of the text.

use std::collections::HashSet;

use sha2::{Digest, Sha256};

/// Takes the hash of a text that comes in parts.
#[derive(Clone, Debug, Default)]
pub struct TextHash(Sha256);

impl TextHash {
    /// Adds the next part.
    pub fn add(&mut self, part: &str) {
        self.0.update(part);
    }

    /// The hash of all parts, the first 128 bits of their SHA-256; the next text begins.
    pub fn finish(&mut self) -> u128 {
        hash_of(std::mem::take(&mut self.0))
    }
}

/// The first 128 bits of a SHA-256.
pub(crate) fn hash_of(hasher: Sha256) -> u128 {
    u128::from_be_bytes(hasher.finalize()[..16].try_into().expect("SHA-256 has 32 bytes"))
}

/// Which documents have been there: some 17 to 35 bytes each, half as much again while the table grows.
#[derive(Clone, Debug, Default)]
pub struct Duplicates {
    seen: HashSet<u128>,
    count: usize,
}

impl Duplicates {
    /// Whether a document with this hash has been there; counts it if so.
    pub fn is_duplicate(&mut self, hash: u128) -> bool {
        let is_duplicate = !self.seen.insert(hash);
        self.count += usize::from(is_duplicate);
        is_duplicate
    }

    /// Takes note of a document that was looked at before.
    pub fn note(&mut self, hash: u128) {
        self.seen.insert(hash);
    }

    /// How many bytes the table takes.
    pub fn bytes(&self) -> u64 {
        // A byte beside each place, and eight places for seven documents at most.
        self.seen.capacity() as u64 * 17 * 8 / 7
    }

    /// How many copies there were.
    pub fn count(&self) -> usize {
        self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash_of(text: &str) -> u128 {
        let mut hash = TextHash::default();
        hash.add(text);
        hash.finish()
    }

    #[test]
    fn the_hash_is_that_of_sha256() {
        // `printf abc | sha256sum`
        assert_eq!(format!("{:032x}", hash_of("abc")), "ba7816bf8f01cfea414140de5dae2223");
        let mut hash = TextHash::default();
        hash.add("a");
        hash.add("bc");
        assert_eq!(hash.finish(), hash_of("abc"));
        hash.add("x");
        assert_eq!(hash.finish(), hash_of("x"), "begins anew");
    }

    #[test]
    fn copies_are_counted() {
        let mut duplicates = Duplicates::default();
        let seen: Vec<bool> =
            ["a", "b", "a", "a", "c"].iter().map(|text| duplicates.is_duplicate(hash_of(text))).collect();
        assert_eq!(seen, [false, false, true, true, false]);
        assert_eq!(duplicates.count(), 2);
    }
}
