//! A set of strings in which the longest one that a text begins with is found in one walk.

/// A string set, a node for each distinct prefix.
///
/// Nodes are numbered breadth first, so the children of a node follow each other, and every node
/// but the root is the end of exactly one edge: edge `e` leads to node `e + 1`. That leaves three
/// flat arrays and no pointers.
#[derive(Clone, Debug)]
pub(crate) struct Trie {
    /// `[nodes + 1]`: the edges of node `n` are `first_edge[n]..first_edge[n + 1]`.
    first_edge: Vec<u32>,
    /// `[nodes − 1]`: the byte on each edge, ascending within a node.
    edge_bytes: Vec<u8>,
    /// `[nodes]`: the value of the string that ends at a node, or `NONE`.
    values: Vec<u32>,
}

/// A place in a trie: the end of some prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Node(u32);

const NONE: u32 = u32::MAX;

/// Up to so many edges, looking at one after the other beats halving.
const LINEAR_EDGES_MAX: usize = 8;

impl Trie {
    pub const ROOT: Node = Node(0);

    /// Of a string that comes more than once, the last value stays. Values are below `u32::MAX`.
    pub fn new<'a>(strings: impl IntoIterator<Item = (&'a str, u32)>) -> Trie {
        let mut sorted: Vec<(&[u8], u32)> =
            strings.into_iter().map(|(string, value)| (string.as_bytes(), value)).collect();
        // Stable, so the last of several equal strings stays the last.
        sorted.sort_by_key(|&(string, _)| string);

        let mut trie = Trie { first_edge: vec![0], edge_bytes: Vec::new(), values: Vec::new() };
        // The nodes of one depth, each as the range of `sorted` that shares its prefix.
        let mut level = vec![(0, sorted.len())];
        let mut depth = 0;
        while !level.is_empty() {
            let mut next_level = Vec::new();
            for (mut start, end) in level {
                let mut value = NONE;
                while start < end && sorted[start].0.len() == depth {
                    value = sorted[start].1;
                    start += 1;
                }
                trie.values.push(value);
                while start < end {
                    let byte = sorted[start].0[depth];
                    let same = sorted[start..end].partition_point(|(s, _)| s[depth] == byte);
                    trie.edge_bytes.push(byte);
                    next_level.push((start, start + same));
                    start += same;
                }
                let edges = u32::try_from(trie.edge_bytes.len());
                trie.first_edge.push(edges.expect("inputs are limited to far fewer bytes"));
            }
            level = next_level;
            depth += 1;
        }
        trie
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
    pub fn first_bytes(&self) -> &[u8] {
        &self.edge_bytes[..self.first_edge[1] as usize]
    }

    fn value(&self, Node(node): Node) -> Option<u32> {
        let value = self.values[node as usize];
        (value != NONE).then_some(value)
    }

    fn child(&self, Node(node): Node, byte: u8) -> Option<Node> {
        let first = self.first_edge[node as usize];
        let last = self.first_edge[node as usize + 1];
        let bytes = &self.edge_bytes[first as usize..last as usize];
        let edge = if bytes.len() <= LINEAR_EDGES_MAX {
            bytes.iter().position(|&b| b == byte)
        } else {
            bytes.binary_search(&byte).ok()
        };
        edge.map(|edge| Node(first + edge as u32 + 1))
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
        assert!(trie.first_bytes().is_empty());
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

    proptest! {
        #[test]
        fn equals_a_search_through_all_strings(
            strings in prop::collection::vec("[abcé]{0,4}", 0..40),
            text in "[abcé]{0,6}",
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
