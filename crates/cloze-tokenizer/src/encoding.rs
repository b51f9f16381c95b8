//! What a text becomes, and how it is cut to a length or into windows.

/// The tokens of a text or a pair of texts. All lists are of the same length.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Encoding {
    /// Token ids.
    pub ids: Vec<u32>,
    /// 0 for the first text and the special tokens around it, 1 for the second text and its `[SEP]`.
    pub token_type_ids: Vec<u32>,
    /// First and last (exclusive) character of each token in the original text: in a pair each in
    /// its own text, for given words each in its own word. `[CLS]` and `[SEP]` have `(0, 0)`.
    pub offsets: Vec<(usize, usize)>,
    /// Which word each token is a part of: words, punctuation characters and special tokens of the
    /// text are counted from 0, in a pair each text from its own 0; given words by their place in
    /// the list. `None` for the `[CLS]` and `[SEP]` that were put around the text.
    pub words: Vec<Option<usize>>,
    /// How many tokens were cut off.
    pub truncated: usize,
}

impl Encoding {
    /// The number of tokens.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there is no token.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// An empty one with room for the tokens of a text of this many bytes. English has one token in
    /// more than four bytes, special tokens included.
    pub(crate) fn for_text(bytes: usize) -> Encoding {
        let tokens = bytes / 4 + SPECIAL_TOKENS_PAIR;
        Encoding {
            ids: Vec::with_capacity(tokens),
            token_type_ids: Vec::with_capacity(tokens),
            offsets: Vec::with_capacity(tokens),
            words: Vec::with_capacity(tokens),
            truncated: 0,
        }
    }

    pub(crate) fn push(&mut self, id: u32, offsets: (usize, usize), word: Option<usize>) {
        self.ids.push(id);
        self.token_type_ids.push(0);
        self.offsets.push(offsets);
        self.words.push(word);
    }

    /// Keeps `len` tokens of those from `first` on, and counts the others as cut off.
    pub(crate) fn cut(&mut self, first: usize, len: usize, side: TruncationSide) {
        let cut = (self.len() - first).saturating_sub(len);
        if cut == 0 {
            return;
        }
        self.truncated += cut;
        let range = match side {
            TruncationSide::Right => first + len..self.len(),
            TruncationSide::Left => first..first + cut,
        };
        self.ids.drain(range.clone());
        self.token_type_ids.drain(range.clone());
        self.offsets.drain(range.clone());
        self.words.drain(range);
        // Those who cut texts may keep many of them. Room for a `[SEP]` stays.
        let room = self.len() + 1;
        self.ids.shrink_to(room);
        self.token_type_ids.shrink_to(room);
        self.offsets.shrink_to(room);
        self.words.shrink_to(room);
    }

    /// The tokens in `range`; nothing of it counts as cut off.
    pub(crate) fn slice(&self, range: std::ops::Range<usize>) -> Encoding {
        Encoding {
            ids: self.ids[range.clone()].to_vec(),
            token_type_ids: self.token_type_ids[range.clone()].to_vec(),
            offsets: self.offsets[range.clone()].to_vec(),
            words: self.words[range].to_vec(),
            truncated: 0,
        }
    }

    pub(crate) fn append(&mut self, other: &Encoding, token_type_id: u32) {
        self.ids.extend_from_slice(&other.ids);
        self.token_type_ids.resize(self.ids.len(), token_type_id);
        self.offsets.extend_from_slice(&other.offsets);
        self.words.extend_from_slice(&other.words);
        self.truncated += other.truncated;
    }

    pub(crate) fn push_special(&mut self, id: u32, token_type_id: u32) {
        self.push(id, (0, 0), None);
        *self.token_type_ids.last_mut().expect("just pushed") = token_type_id;
    }
}

/// Where a text that is too long is cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TruncationSide {
    /// Cuts off the end.
    #[default]
    Right,
    /// Cuts off the beginning.
    Left,
}

/// Which text of a pair is cut. A text alone is cut in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TruncationStrategy {
    /// The one that is longer, one token at a time.
    #[default]
    LongestFirst,
    /// The first. Where that does not suffice, the second, too, once nothing of the first is left.
    OnlyFirst,
    /// The second, and the first once nothing of the second is left.
    OnlySecond,
}

impl TruncationStrategy {
    /// The lengths to which two texts of `a` and `b` tokens are cut so that they have at most `max` together.
    pub(crate) fn lengths(self, a: usize, b: usize, max: usize) -> (usize, usize) {
        match self {
            TruncationStrategy::LongestFirst => longest_first(a, b, max),
            TruncationStrategy::OnlyFirst => (a.min(max.saturating_sub(b)), b.min(max)),
            TruncationStrategy::OnlySecond => (a.min(max), b.min(max.saturating_sub(a))),
        }
    }
}

/// Tokens that `[CLS] A [SEP]` has beyond A.
pub(crate) const SPECIAL_TOKENS_SINGLE: usize = 2;
/// Tokens that `[CLS] A [SEP] B [SEP]` has beyond A and B.
pub(crate) const SPECIAL_TOKENS_PAIR: usize = 3;

/// `[CLS] a [SEP]`
pub(crate) fn assemble(a: &Encoding, cls: u32, sep: u32) -> Encoding {
    let mut whole = Encoding::default();
    whole.push_special(cls, 0);
    whole.append(a, 0);
    whole.push_special(sep, 0);
    whole
}

/// `[CLS] a [SEP] b [SEP]`
pub(crate) fn assemble_pair(a: &Encoding, b: &Encoding, cls: u32, sep: u32) -> Encoding {
    let mut whole = assemble(a, cls, sep);
    whole.append(b, 1);
    whole.push_special(sep, 1);
    whole
}

/// The lengths to which two texts of `a` and `b` tokens are cut so that they have at most `max`
/// together.
///
/// Tokens go one at a time off the longer text. When both have come to half of an odd `max`, one
/// token is left over, and the text that was longer has it; the second one where they were equal.
pub(crate) fn longest_first(a: usize, b: usize, max: usize) -> (usize, usize) {
    // In 128 bits the sum cannot overflow, whatever `max_length` a caller names.
    if a as u128 + b as u128 <= max as u128 {
        return (a, b);
    }
    let shorter = a.min(b).min(max / 2);
    let longer = max - shorter;
    if a > b { (longer, shorter) } else { (shorter, longer) }
}

/// The ranges of the windows over `len` tokens: each has `size` of them and shares `overlap` with
/// the one before; the last ends at the end and may be shorter. No tokens make one empty window.
pub(crate) fn window_ranges(len: usize, size: usize, overlap: usize) -> impl Iterator<Item = std::ops::Range<usize>> {
    assert!(overlap < size, "windows of {size} tokens never advance with an overlap of {overlap}");
    let mut next_start = Some(0);
    std::iter::from_fn(move || {
        let start = next_start?;
        let end = len.min(start + size);
        next_start = (end < len).then(|| end - overlap);
        Some(start..end)
    })
}

/// The sizes of the windows over two texts of `a` and `b` tokens that have room for `room` tokens together: the
/// longer one's (the second's where they are equal) is what the shorter one leaves, if that is twice the overlap
/// or more; else each has half.
pub(crate) fn window_sizes(a: usize, b: usize, room: usize, overlap: usize) -> [usize; 2] {
    let (shorter, left) = (a.min(b), room.saturating_sub(a.min(b)));
    match left >= (2 * overlap).max(1) || a + b <= room {
        true if a > b => [left.max(1), shorter.max(1)],
        true => [shorter.max(1), left.max(1)],
        false => [room / 2, room - room / 2],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_longer_text_keeps_the_odd_token() {
        assert_eq!(longest_first(10, 8, 7), (4, 3));
        assert_eq!(longest_first(8, 10, 7), (3, 4));
        assert_eq!(longest_first(9, 9, 7), (3, 4));
        assert_eq!(longest_first(2, 9, 7), (2, 5));
        assert_eq!(longest_first(9, 3, 7), (4, 3));
        assert_eq!(longest_first(3, 4, 7), (3, 4));
        assert_eq!(longest_first(5, 5, 0), (0, 0));
        assert_eq!(longest_first(1, 0, 0), (0, 0));
        assert_eq!(longest_first(5, usize::MAX, usize::MAX), (5, usize::MAX - 5));
    }

    #[test]
    fn what_is_cut_takes_no_memory() {
        let mut encoding = Encoding::for_text(4000);
        (0..1000).for_each(|id| encoding.push(id, (0, 1), Some(0)));
        encoding.cut(1, 9, TruncationSide::Right);
        assert_eq!((encoding.len(), encoding.truncated), (10, 990));
        assert_eq!(encoding.ids, (0..10).collect::<Vec<u32>>());
        let capacities = [encoding.ids.capacity(), encoding.token_type_ids.capacity(), encoding.offsets.capacity()];
        assert!(
            capacities.iter().chain([&encoding.words.capacity()]).all(|&capacity| capacity < 100),
            "{capacities:?}"
        );
    }

    #[test]
    fn the_beginning_is_cut_behind_the_tokens_before_it() {
        let mut encoding = Encoding::default();
        (0..9).for_each(|id| encoding.push(id, (id as usize, id as usize + 1), Some(0)));
        encoding.cut(1, 3, TruncationSide::Left);
        assert_eq!((&encoding.ids[..], encoding.truncated), (&[0, 6, 7, 8][..], 5));
        assert_eq!(encoding.offsets, [(0, 1), (6, 7), (7, 8), (8, 9)]);
        encoding.cut(1, 3, TruncationSide::Left);
        encoding.cut(0, 0, TruncationSide::Left);
        assert_eq!((encoding.len(), encoding.truncated), (0, 9));
    }

    #[test]
    fn one_text_of_a_pair_is_cut_before_the_other() {
        let (first, second) = (TruncationStrategy::OnlyFirst, TruncationStrategy::OnlySecond);
        assert_eq!((first.lengths(9, 4, 10), second.lengths(9, 4, 10)), ((6, 4), (9, 1)));
        assert_eq!((first.lengths(4, 12, 10), second.lengths(12, 4, 10)), ((0, 10), (10, 0)));
        assert_eq!((first.lengths(4, 5, 10), second.lengths(4, 5, 10)), ((4, 5), (4, 5)));
        assert_eq!((first.lengths(4, 5, 0), second.lengths(4, 5, 0)), ((0, 0), (0, 0)));
    }

    #[test]
    fn windows_step_by_their_size_less_the_overlap() {
        let ranges = |len, size, overlap| -> Vec<_> {
            window_ranges(len, size, overlap).map(|range| (range.start, range.end)).collect()
        };
        assert_eq!(ranges(0, 4, 1), [(0, 0)]);
        assert_eq!(ranges(4, 4, 1), [(0, 4)]);
        assert_eq!(ranges(5, 4, 1), [(0, 4), (3, 5)]);
        assert_eq!(ranges(8, 4, 0), [(0, 4), (4, 8)]);
        assert_eq!(ranges(6, 4, 3), [(0, 4), (1, 5), (2, 6)]);
    }

    #[test]
    fn the_longer_text_has_the_windows_unless_the_shorter_leaves_too_little() {
        assert_eq!(window_sizes(3, 50, 10, 2), [3, 7]);
        assert_eq!(window_sizes(50, 3, 10, 2), [7, 3]);
        assert_eq!(window_sizes(6, 50, 10, 2), [6, 4]);
        assert_eq!(window_sizes(7, 50, 10, 2), [5, 5]);
        assert_eq!(window_sizes(50, 40, 11, 2), [5, 6]);
        assert_eq!(window_sizes(0, 9, 10, 2), [1, 10]);
        assert_eq!(window_sizes(8, 2, 10, 2), [8, 2]);
    }

    #[test]
    #[should_panic(expected = "never advance")]
    fn an_overlap_as_long_as_the_window_is_refused() {
        window_ranges(9, 3, 3).count();
    }

    proptest! {
        #[test]
        fn truncation_equals_taking_single_tokens(a in 0usize..40, b in 0usize..40, max in 0usize..50) {
            // Tokens go off the text that is longer now; on a tie, off the one that was shorter at
            // first, which is A where both were equal.
            let (mut len_a, mut len_b) = (a, b);
            while len_a + len_b > max {
                let from_a = if len_a == len_b { a <= b } else { len_a > len_b };
                if from_a { len_a -= 1 } else { len_b -= 1 }
            }
            prop_assert_eq!(longest_first(a, b, max), (len_a, len_b));
        }

        #[test]
        fn windows_lose_nothing(len in 0usize..100, size in 1usize..20, overlap in 0usize..20) {
            prop_assume!(overlap < size);
            let windows: Vec<_> = window_ranges(len, size, overlap).collect();
            prop_assert_eq!(windows[0].start, 0);
            prop_assert_eq!(windows[windows.len() - 1].end, len);
            for pair in windows.windows(2) {
                prop_assert_eq!(pair[0].end - pair[1].start, overlap);
                prop_assert_eq!(pair[0].len(), size);
                prop_assert!(pair[1].end > pair[0].end);
            }
        }
    }
}
