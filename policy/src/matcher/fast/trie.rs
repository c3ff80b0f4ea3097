//! All patterns in one compact tree, entered by their first two classes.
//!
//! Nodes are numbered level by level, so the children of a node stand behind each other: a node needs its label, where its children begin and the
//! pattern it ends, and nothing points anywhere else.

use std::ops::ControlFlow;

/// The place of no pattern in [`Trie::ends`].
const NONE: u32 = u32::MAX;
/// Up to so many labels are compared one by one, which is faster than halving.
const FEW: usize = 8;

/// The tree.
pub(crate) struct Trie {
    /// Slots of an open-addressing table: the first two classes and the node they lead to. An empty slot has the pair 0.
    pairs: Vec<(u32, u32)>,
    shift: u32,
    /// By node: the class that leads to it.
    labels: Vec<u16>,
    /// By node: its first child; the last entry closes the last node.
    children: Vec<u32>,
    /// By node: the number of the pattern that ends here, or [`NONE`].
    ends: Vec<u32>,
}

/// A pattern of at least two classes, and its number.
pub(crate) type Numbered<'a> = (&'a [u16], u32);

impl Trie {
    /// Builds the tree of patterns sorted by their classes and without doubles.
    pub(crate) fn build(patterns: &[Numbered<'_>]) -> Self {
        let levels = Levels::of(patterns);
        let pairs = levels.roots.len().max(4) * 2;
        let bits = pairs.next_power_of_two().trailing_zeros();
        let mut trie = Self {
            pairs: vec![(0, 0); 1 << bits],
            shift: u32::BITS - bits,
            labels: levels.labels,
            children: levels.children,
            ends: levels.ends,
        };
        for (pair, node) in levels.roots.into_iter().zip(0..) {
            let slot = trie.slots(pair).find(|slot| trie.pairs[*slot].0 == 0);
            if let Some(slot) = slot {
                trie.pairs[slot] = (pair, node);
            }
        }
        trie
    }

    /// Calls `found` with the number and length of every pattern that begins at `at`, shorter ones first, until it breaks.
    #[inline(always)]
    pub(crate) fn find(
        &self,
        classes: &[u16],
        at: usize,
        mut found: impl FnMut(u32, usize) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let Some([first, second, rest @ ..]) = classes.get(at..) else { return ControlFlow::Continue(()) };
        let Some(mut node) = self.root(*first, *second) else { return ControlFlow::Continue(()) };
        let mut length = 2;
        for class in rest {
            self.ends_at(node, length, &mut found)?;
            let Some(next) = self.child(node, *class) else { return ControlFlow::Continue(()) };
            (node, length) = (next, length + 1);
        }
        self.ends_at(node, length, &mut found)
    }

    /// Bytes in memory.
    pub(crate) fn bytes(&self) -> usize {
        size_of_val(&self.pairs[..])
            + size_of_val(&self.labels[..])
            + size_of_val(&self.children[..])
            + size_of_val(&self.ends[..])
    }

    #[inline(always)]
    fn ends_at(
        &self,
        node: usize,
        length: usize,
        found: &mut impl FnMut(u32, usize) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        match self.ends.get(node) {
            Some(pattern) if *pattern != NONE => found(*pattern, length),
            _ => ControlFlow::Continue(()),
        }
    }

    #[inline(always)]
    fn root(&self, first: u16, second: u16) -> Option<usize> {
        let pair = key(first, second);
        for slot in self.slots(pair) {
            match self.pairs[slot] {
                (0, _) => return None,
                (found, node) if found == pair => return Some(node as usize),
                _ => {}
            }
        }
        None
    }

    #[inline(always)]
    fn child(&self, node: usize, class: u16) -> Option<usize> {
        let (begin, end) = (*self.children.get(node)? as usize, *self.children.get(node + 1)? as usize);
        let labels = self.labels.get(begin..end)?;
        let at = if labels.len() <= FEW {
            labels.iter().position(|label| *label == class)
        } else {
            labels.binary_search(&class).ok()
        };
        Some(begin + at?)
    }

    /// The slots a pair may stand in, best first.
    #[inline(always)]
    fn slots(&self, pair: u32) -> impl Iterator<Item = usize> + use<> {
        let mask = self.pairs.len() - 1;
        let first = ((pair ^ pair >> 15).wrapping_mul(0x85EB_CA77) >> self.shift) as usize;
        (0..=mask).map(move |step| (first + step) & mask)
    }
}

/// Two classes as one number, never 0 for classes of words.
fn key(first: u16, second: u16) -> u32 {
    u32::from(first) | u32::from(second) << 16
}

/// The tree without its entrance, made level by level of sorted patterns.
#[derive(Default)]
struct Levels {
    /// The pairs of the first nodes.
    roots: Vec<u32>,
    labels: Vec<u16>,
    children: Vec<u32>,
    ends: Vec<u32>,
}

/// Patterns `begin..end` begin with the same classes, as many as the level is deep.
struct Stretch {
    begin: u32,
    end: u32,
}

impl Levels {
    fn of(patterns: &[Numbered<'_>]) -> Self {
        let mut levels = Self::default();
        let mut level = Vec::new();
        let pair = |pattern: &[u16]| pattern.first_chunk::<2>().copied();
        split(patterns, 0, patterns.len(), pair, |[first, second], stretch| {
            levels.roots.push(key(first, second));
            levels.labels.push(second);
            level.push(stretch);
        });
        let mut depth = 2;
        while !level.is_empty() {
            level = levels.below(patterns, &level, depth);
            depth += 1;
        }
        levels.children.push(levels.labels.len() as u32);
        levels
    }

    /// Closes the nodes of one level, and opens their children.
    fn below(&mut self, patterns: &[Numbered<'_>], level: &[Stretch], depth: usize) -> Vec<Stretch> {
        let mut next = Vec::new();
        for stretch in level {
            let (mut begin, end) = (stretch.begin as usize, stretch.end as usize);
            // Sorted, a pattern that ends here stands before those that go on.
            let ends = patterns.get(begin).filter(|pattern| pattern.0.len() == depth);
            self.ends.push(ends.map_or(NONE, |pattern| pattern.1));
            begin += usize::from(ends.is_some());
            self.children.push(self.labels.len() as u32);
            split(
                patterns,
                begin,
                end,
                |pattern| pattern.get(depth).copied(),
                |label, stretch| {
                    self.labels.push(label);
                    next.push(stretch);
                },
            );
        }
        next
    }
}

/// Cuts `begin..end` where the key of the patterns changes.
fn split<K: PartialEq>(
    patterns: &[Numbered<'_>],
    begin: usize,
    end: usize,
    key: impl Fn(&[u16]) -> Option<K>,
    mut each: impl FnMut(K, Stretch),
) {
    let patterns = patterns.get(begin..end).unwrap_or_default();
    let mut begin = begin as u32;
    for same in patterns.chunk_by(|a, b| key(a.0) == key(b.0)) {
        let end = begin + same.len() as u32;
        if let Some(key) = same.first().and_then(|pattern| key(pattern.0)) {
            each(key, Stretch { begin, end });
        }
        begin = end;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Numbered from 0, in order.
    fn trie<'a>(patterns: impl IntoIterator<Item = &'a [u16]>) -> Trie {
        let patterns: Vec<Numbered<'_>> = patterns.into_iter().zip(0..).collect();
        Trie::build(&patterns)
    }

    fn found(trie: &Trie, classes: &[u16]) -> Vec<(usize, u32, usize)> {
        let mut hits = Vec::new();
        for at in 0..classes.len() {
            let _ = trie.find(classes, at, |pattern, length| {
                hits.push((at, pattern, length));
                ControlFlow::Continue(())
            });
        }
        hits
    }

    #[test]
    fn finds_nested_patterns() {
        let patterns: [&[u16]; 5] = [&[2, 3], &[2, 3, 4], &[2, 3, 4, 5], &[3, 4], &[9, 9]];
        let trie = trie(patterns);
        assert_eq!(found(&trie, &[2, 3, 4, 5, 9]), [(0, 0, 2), (0, 1, 3), (0, 2, 4), (1, 3, 2)]);
        let mut calls = 0;
        let ended = trie.find(&[2, 3, 4], 0, |_, _| {
            calls += 1;
            ControlFlow::Break(())
        });
        assert!(ended.is_break() && calls == 1, "stopped");
        assert!(found(&self::trie([]), &[2, 3]).is_empty());
    }

    proptest! {
        #[test]
        fn finds_what_comparing_finds(
            patterns in prop::collection::btree_set(prop::collection::vec(2_u16..6, 2..7), 0..60),
            classes in prop::collection::vec(0_u16..6, 0..40),
        ) {
            let patterns: Vec<&[u16]> = patterns.iter().map(Vec::as_slice).collect();
            let mut expected = Vec::new();
            for at in 0..classes.len() {
                for (number, pattern) in patterns.iter().enumerate().filter(|(_, p)| classes[at..].starts_with(p)) {
                    expected.push((at, number as u32, pattern.len()));
                }
            }
            expected.sort_by_key(|(at, _, length)| (*at, *length));
            prop_assert_eq!(found(&trie(patterns), &classes), expected);
        }
    }
}
