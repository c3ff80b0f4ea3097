//! The sieve: holds back texts in which no pattern stands.

use super::classes::{Alphabet, Classes, Folding, LOOK, OTHER};
use super::decode::{self, Buffer};
use super::gate::Gate;
use super::trie::{Numbered, Trie};

/// One way to fold texts, and the patterns to be found in texts folded so: folded characters without runs, each with a number.
pub(crate) struct Way<'a> {
    pub(crate) fold: &'a dyn Fn(char) -> Folding,
    pub(crate) patterns: Vec<(Vec<char>, u32)>,
}

/// Tells texts that may hold a pattern from those that hold none.
pub(crate) struct Sieve {
    /// One table for each way; no class is in two.
    ways: Vec<Classes>,
    gate: Gate,
    trie: Trie,
}

impl Sieve {
    /// Builds the tables. Of equal patterns the lowest number counts. Patterns that [`Sieve::holds`] not are never found, but every text that has
    /// their characters is told apart by [`Sieve::json_string`] and [`Sieve::text`].
    pub(crate) fn build(ways: &[Way<'_>]) -> Self {
        let mut numbered: Vec<Numbered> = Vec::new();
        let mut tables = Vec::new();
        let mut first = OTHER + 1;
        for way in ways {
            let alphabet = Alphabet::of(way.patterns.iter().map(|pattern| &pattern.0[..]), first);
            let of_pattern = |pattern: &[char]| pattern.iter().map(|c| alphabet.class(*c)).collect();
            let patterns = way.patterns.iter().map(|(pattern, number)| (of_pattern(pattern), *number));
            numbered.extend(patterns.filter(|pattern: &Numbered| holds(&pattern.0)));
            tables.push(Classes::build(&alphabet, way.fold));
            first = alphabet.next;
        }
        numbered.sort_unstable();
        numbered.dedup_by(|next, first| next.0 == first.0);
        let mut gate = Gate::new(numbered.len());
        for (pattern, _) in &numbered {
            if let [first, second, rest @ ..] = &**pattern {
                gate.open(*first, *second, rest.first().copied());
            }
        }
        Self { ways: tables, gate, trie: Trie::build(&numbered) }
    }

    /// Whether a pattern of the first way stands in the tables.
    pub(crate) fn holds(&self, pattern: &str) -> bool {
        let classes: Vec<u16> =
            self.ways.first().into_iter().flat_map(|way| pattern.chars().map(|c| way.of(c))).collect();
        holds(&classes)
    }

    /// Adds the classes of the JSON string behind the quote before `at`, and says where its closing quote is. `None` when the string is not
    /// well-formed, does not fit, or holds something that tables cannot fold; something of it may have been added then.
    #[inline(always)]
    pub(crate) fn json_string(&self, bytes: &[u8], at: usize, out: &mut Buffer) -> Option<usize> {
        let mut end = None;
        for classes in &self.ways {
            end = Some(decode::json_string(classes, bytes, at, out)?);
        }
        end
    }

    /// Adds the classes of a text. `None` as for [`Sieve::json_string`].
    pub(crate) fn text(&self, text: &str, out: &mut Buffer) -> Option<()> {
        self.ways.iter().try_for_each(|classes| decode::text(classes, text, out))
    }

    /// Adds the classes of characters folded already, the first way.
    pub(crate) fn folded(&self, text: &str, out: &mut Buffer) {
        if let Some(classes) = self.ways.first() {
            out.extend(text.chars().map(|c| classes.of(c)));
        }
    }

    /// The places in the buffer where one of these patterns begins, in order.
    pub(crate) fn places(&self, buffer: &mut Buffer, places: &mut Vec<u32>, pattern: impl Fn(u32) -> bool) {
        let len = buffer.len();
        let classes = buffer.padded();
        places.clear();
        self.gate.places(classes, len, places);
        places.retain(|place| self.trie.find(classes, *place as usize, |number, _| pattern(number)));
    }

    /// Calls `found` with the number and length of every pattern that begins at a place of padded classes, until it says stop. True when stopped.
    pub(crate) fn find_at(&self, classes: &[u16], place: u32, found: impl FnMut(u32, usize) -> bool) -> bool {
        self.trie.find(classes, place as usize, found)
    }

    /// Bytes in memory.
    pub(crate) fn bytes(&self) -> usize {
        self.ways.iter().map(Classes::bytes).sum::<usize>() + self.gate.bytes() + self.trie.bytes()
    }
}

/// Patterns of one character are told by their runs, and those of characters without a class are never told.
fn holds(pattern: &[u16]) -> bool {
    pattern.len() > 1 && pattern.iter().all(|class| class & LOOK == 0)
}
