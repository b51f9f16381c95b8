//! A set of strings in which the longest one that a text begins with is found in one walk.

use std::fmt;

/// A string set, a node for each distinct prefix.
///
/// A walk asks one thing: where does this byte lead from this node? The answer is a double array
/// (Aoe 1989): the child of a node by a byte stands `byte` places behind the node's `base`, if
/// what stands there says that it is a child of this node. So a step is an addition, a load and a
/// comparison. The children of different nodes interlock in one array; the bases are chosen when
/// the trie is made so that no two claim a place.
#[derive(Clone)]
pub(crate) struct Trie {
    /// The root, then children at their places; some places are free. Long enough for every base
    /// and byte.
    slots: Vec<Slot>,
}

#[derive(Clone, Copy)]
struct Slot {
    /// The node whose child this is; `NONE` for the root and where a place is free.
    parent: u32,
    /// Where the children are counted from; for a node without any it does not matter.
    base: u32,
    /// The value of the string that ends here, or `NONE`.
    value: u32,
}

const FREE: Slot = Slot { parent: NONE, base: 0, value: NONE };

/// A place in a trie: the end of some prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Node(u32);

const NONE: u32 = u32::MAX;

impl Trie {
    pub const ROOT: Node = Node(0);

    /// Of a string that comes more than once, the last value stays. Values are below `u32::MAX`.
    pub fn new<'a>(strings: impl IntoIterator<Item = (&'a str, u32)>) -> Trie {
        let mut sorted: Vec<(&[u8], u32)> =
            strings.into_iter().map(|(string, value)| (string.as_bytes(), value)).collect();
        // Stable, so the last of several equal strings stays the last.
        sorted.sort_by_key(|&(string, _)| string);

        let mut places = Places::new();
        // The nodes of one depth, each with the range of `sorted` that shares its prefix. Those
        // near the root come first, so that what is walked most lies together.
        let mut level = vec![(Self::ROOT, 0, sorted.len())];
        let mut depth = 0;
        let mut children = Vec::new();
        while !level.is_empty() {
            let mut next_level = Vec::new();
            for (node, mut start, end) in level {
                while start < end && sorted[start].0.len() == depth {
                    places.slots[node.0 as usize].value = sorted[start].1;
                    start += 1;
                }
                children.clear();
                while start < end {
                    let byte = sorted[start].0[depth];
                    let same = sorted[start..end].partition_point(|(s, _)| s[depth] == byte);
                    children.push((byte, start, start + same));
                    start += same;
                }
                if children.is_empty() {
                    continue;
                }
                let base = places.take(node, children.iter().map(|&(byte, ..)| byte));
                next_level
                    .extend(children.iter().map(|&(byte, start, end)| (Node(base + u32::from(byte)), start, end)));
            }
            level = next_level;
            depth += 1;
        }
        Trie { slots: places.slots }
    }

    /// Where one comes from `node` over all bytes of `string`.
    pub fn walk(&self, node: Node, string: &str) -> Option<Node> {
        string.bytes().try_fold(node, |node, byte| self.child(node, byte))
    }

    /// The value of exactly this string.
    pub fn get(&self, string: &str) -> Option<u32> {
        self.value(self.walk(Self::ROOT, string)?)
    }

    /// The longest non-empty string below `node` that `text` begins with: its value, its length in
    /// bytes.
    pub fn longest_prefix(&self, node: Node, text: &[u8]) -> Option<(u32, usize)> {
        let mut longest = None;
        let mut node = node;
        for (i, &byte) in text.iter().enumerate() {
            let Some(child) = self.child(node, byte) else { break };
            node = child;
            if let Some(value) = self.value(node) {
                longest = Some((value, i + 1));
            }
        }
        longest
    }

    /// The first bytes of all strings.
    pub fn first_bytes(&self) -> impl Iterator<Item = u8> {
        (0..=u8::MAX).filter(|&byte| self.child(Self::ROOT, byte).is_some())
    }

    fn value(&self, Node(node): Node) -> Option<u32> {
        let value = self.slots[node as usize].value;
        (value != NONE).then_some(value)
    }

    fn child(&self, Node(node): Node, byte: u8) -> Option<Node> {
        let child = self.slots[node as usize].base + u32::from(byte);
        (self.slots[child as usize].parent == node).then_some(Node(child))
    }
}

impl fmt::Debug for Trie {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "Trie of {} slots", self.slots.len())
    }
}

/// The slots of a trie that is being made.
struct Places {
    slots: Vec<Slot>,
    /// All slots before it are taken.
    first_free: usize,
}

/// How far before the end of the slots a place for children is looked for. Gaps further in front
/// stay: one slot in twenty with the vocabularies of BERT. Looking at more of them takes longer than
/// the gaps are worth.
const SEARCH_SLOTS: usize = 128;

/// What is kept behind the last child, so that any base and byte lie within.
const BYTES: usize = 256;

impl Places {
    fn new() -> Places {
        Places { slots: vec![FREE; 1 + BYTES], first_free: 1 }
    }

    /// Makes slots children of `parent`, one for each of `bytes`, which ascend. Returns their base.
    fn take(&mut self, parent: Node, bytes: impl Iterator<Item = u8> + Clone) -> u32 {
        let lowest = usize::from(bytes.clone().next().expect("a parent has children"));
        let searched = self.slots.len().saturating_sub(BYTES + SEARCH_SLOTS);
        let mut base = self.first_free.max(searched).max(lowest + 1) - lowest;
        // Ends at the latest behind the last child.
        while bytes.clone().any(|byte| !self.is_free(base + usize::from(byte))) {
            base += 1;
        }
        // Strings are limited to far fewer bytes than there are numbers for slots.
        let number = u32::try_from(base + BYTES).expect("fewer slots than 32 bits count") - BYTES as u32;
        for slot in bytes.map(|byte| base + usize::from(byte)) {
            let len = self.slots.len().max(slot + 1 + BYTES);
            if len > self.slots.capacity() {
                // By less than `resize` would: a trie is the largest part of a tokenizer, and stays.
                self.slots.reserve_exact(len - self.slots.len() + self.slots.len() / 8);
            }
            self.slots.resize(len, FREE);
            self.slots[slot].parent = parent.0;
        }
        self.slots[parent.0 as usize].base = number;
        // The root's slot has no parent, but comes before.
        while !self.is_free(self.first_free) {
            self.first_free += 1;
        }
        number
    }

    fn is_free(&self, slot: usize) -> bool {
        self.slots.get(slot).is_none_or(|slot| slot.parent == NONE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[test]
    fn an_empty_trie_holds_nothing() {
        let trie = Trie::new([]);
        assert_eq!(trie.get(""), None);
        assert_eq!(trie.longest_prefix(Trie::ROOT, b"a"), None);
        assert_eq!(trie.first_bytes().count(), 0);
    }

    #[test]
    fn the_last_of_equal_strings_stays() {
        let trie = Trie::new([("a", 0), ("b", 1), ("a", 2)]);
        assert_eq!(trie.get("a"), Some(2));
    }

    #[test]
    fn walks_on_from_a_prefix() {
        let trie = Trie::new([("##able", 0), ("##ab", 1), ("un", 2), ("##", 3)]);
        let node = trie.walk(Trie::ROOT, "##").unwrap();
        assert_eq!(trie.longest_prefix(node, b"ablx"), Some((1, 2)));
        assert_eq!(trie.longest_prefix(node, b""), None);
        assert_eq!(trie.walk(Trie::ROOT, "#!"), None);
    }

    #[test]
    fn many_children_interlock() {
        let characters: Vec<String> = (0..0x3000).filter_map(char::from_u32).map(String::from).collect();
        let trie = Trie::new(characters.iter().map(String::as_str).zip(0..));
        assert_eq!(trie.first_bytes().collect::<Vec<_>>(), (0..0x80).chain(0xC2..=0xE2).collect::<Vec<_>>());
        for (string, value) in characters.iter().zip(0..) {
            assert_eq!(trie.get(string), Some(value), "{string:?}");
            assert_eq!(trie.get(&format!("{string}a")), None);
            assert_eq!(trie.get(&format!("{string}\0")), None);
        }
        assert_eq!(trie.get("\u{3000}"), None);
        let taken = trie.slots.iter().filter(|slot| slot.parent != NONE).count();
        assert!(trie.slots.len() < taken * 5 / 4, "{} slots for {taken} nodes", trie.slots.len());
    }

    proptest! {
        #[test]
        fn equals_a_search_through_all_strings(
            (strings, text) in prop_oneof![
                (prop::collection::vec("[abcé]{0,4}", 0..40), "[abcé]{0,6}"),
                (prop::collection::vec("[\0-\u{FF}中文]{0,3}", 0..200), "[\0-\u{FF}中文]{0,3}"),
            ],
        ) {
            let numbered = || strings.iter().map(String::as_str).zip(0..);
            let trie = Trie::new(numbered());
            let map: BTreeMap<&str, u32> = numbered().collect();
            prop_assert_eq!(trie.get(&text), map.get(text.as_str()).copied());
            let longest = map
                .iter()
                .filter(|(s, _)| !s.is_empty() && text.starts_with(**s))
                .max_by_key(|(s, _)| s.len())
                .map(|(s, &value)| (value, s.len()));
            prop_assert_eq!(trie.longest_prefix(Trie::ROOT, text.as_bytes()), longest);
        }
    }
}
