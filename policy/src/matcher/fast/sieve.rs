//! The sieve: holds back texts in which no pattern stands.

use std::ops::ControlFlow;

use super::classes::{Alphabet, Classes, FIRST, Folding, LOOK};
use super::decode::written::PLAIN;
use super::decode::{self, Buffer, Decoded};
use super::gate::Gate;
use super::trie::{Numbered, Trie};

/// Set in the number of a pattern that is looked for in other ways of folding.
pub(crate) const ELSEWHERE: u32 = 1 << 31;

/// One way to fold texts, and the patterns to be found in texts folded so: folded characters without runs, each with a number.
pub(crate) struct Way<'a> {
    pub(crate) fold: &'a dyn Fn(char) -> Folding,
    pub(crate) patterns: &'a Patterns,
    /// Where letters may become syllables: whether those of a text do.
    pub(crate) spells: Option<fn(&str) -> bool>,
}

/// Patterns behind each other.
#[derive(Default)]
pub(crate) struct Patterns {
    chars: Vec<char>,
    /// Where each ends, and its number.
    ends: Vec<(usize, u32)>,
}

impl Patterns {
    pub(crate) fn push(&mut self, pattern: impl Iterator<Item = char>, number: u32) {
        self.chars.extend(pattern);
        self.ends.push((self.chars.len(), number));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    fn iter(&self) -> impl Iterator<Item = &[char]> + Clone {
        let begins = std::iter::once(0).chain(self.ends.iter().map(|end| end.0));
        begins.zip(&self.ends).map(|(begin, end)| self.chars.get(begin..end.0).unwrap_or_default())
    }
}

/// Tells texts that may hold a pattern from those that hold none.
pub(crate) struct Sieve {
    /// One table for each way; no class is in two.
    ways: Vec<Table>,
    gate: Gate,
    trie: Trie,
}

/// The classes of one way.
struct Table {
    classes: Classes,
    spells: Option<fn(&str) -> bool>,
}

impl Table {
    /// Whether the classes behind `begin` tell all of a text: not where its letters become syllables, or nobody can read them.
    #[inline(always)]
    fn tells<'t>(&self, out: &Buffer, begin: usize, text: impl FnOnce() -> Option<&'t str>) -> bool {
        self.spells.is_none_or(|spells| !out.has_letter(begin) || text().is_some_and(|text| !spells(text)))
    }
}

/// A pattern in a buffer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    /// Its first class.
    place: u32,
    length: u32,
    number: u32,
}

impl Found {
    /// The number of the pattern, without [`ELSEWHERE`].
    pub(crate) fn pattern(self) -> usize {
        (self.number & !ELSEWHERE) as usize
    }

    /// Whether it is looked for in other ways of folding.
    pub(crate) fn elsewhere(self) -> bool {
        self.number & ELSEWHERE != 0
    }

    /// Its number as [`super::Reasons`] know it.
    pub(crate) fn number(self) -> u32 {
        self.number
    }

    /// Its first class.
    pub(crate) fn place(self) -> u32 {
        self.place
    }

    /// The classes it consists of, counted from `begin` on.
    pub(crate) fn range_from(self, begin: u32) -> std::ops::Range<usize> {
        let first = self.place.saturating_sub(begin) as usize;
        first..first + self.length as usize
    }
}

impl Sieve {
    /// Builds the tables. Of equal patterns the lowest number counts, and [`ELSEWHERE`] if any has it. Patterns that [`Sieve::holds`] not are
    /// never found, but every text that has their characters is told apart by [`Sieve::json`] and [`Sieve::text`].
    pub(crate) fn build(ways: &[Way<'_>]) -> Self {
        let mut tables = Vec::new();
        let mut classes: Vec<u16> = Vec::new();
        let mut ends = Vec::new();
        let mut first = FIRST;
        for way in ways {
            let alphabet = Alphabet::of(way.patterns.iter(), first);
            for (pattern, (_, number)) in way.patterns.iter().zip(&way.patterns.ends) {
                classes.extend(pattern.iter().map(|c| alphabet.class(*c)));
                ends.push((classes.len(), *number));
            }
            tables.push(Table { classes: Classes::build(&alphabet, way.fold), spells: way.spells });
            first = alphabet.next;
        }
        let begins = std::iter::once(0).chain(ends.iter().map(|end| end.0));
        let mut numbered: Vec<Numbered<'_>> = begins
            .zip(&ends)
            .filter_map(|(begin, (end, number))| Some((classes.get(begin..*end)?, *number)))
            .filter(|(pattern, _)| holds(pattern.iter().copied()))
            .collect();
        numbered.sort_unstable();
        numbered.dedup_by(|next, first| {
            let same = next.0 == first.0;
            first.1 |= if same { next.1 & ELSEWHERE } else { 0 };
            same
        });
        let mut gate = Gate::new(numbered.len());
        for (pattern, _) in &numbered {
            if let [first, second, rest @ ..] = pattern {
                gate.open(*first, *second, rest.first().copied());
            }
        }
        Self { ways: tables, gate, trie: Trie::build(&numbered) }
    }

    /// Whether a pattern of the first way stands in the tables.
    pub(crate) fn holds(&self, pattern: &str) -> bool {
        holds(self.ways.first().into_iter().flat_map(|way| pattern.chars().map(|c| way.classes.of(c))))
    }

    /// Adds the classes of a text in JSON, which begins at `at`, behind its quote, and says where its closing quote is and whether the first way
    /// saw runs. `None` when the string is not well-formed, does not fit, or holds something that tables cannot fold; something of it may have
    /// been added then.
    #[inline(always)]
    pub(crate) fn json<const WRITTEN: u8>(&self, bytes: &[u8], at: usize, out: &mut Buffer) -> Option<Decoded> {
        // Escapes are rare where letters are, and not read here.
        let written = |end: usize| std::str::from_utf8(bytes.get(at..end)?).ok().filter(|text| !text.contains('\\'));
        self.decode::<WRITTEN>(bytes, at, out, written)
    }

    /// Adds the classes of a text as [`Sieve::json`] does.
    pub(crate) fn text(&self, text: &str, out: &mut Buffer) -> Option<Decoded> {
        self.decode::<PLAIN>(text.as_bytes(), 0, out, |_| Some(text))
    }

    #[inline(always)]
    fn decode<'t, const WRITTEN: u8>(
        &self,
        bytes: &[u8],
        at: usize,
        out: &mut Buffer,
        written: impl Fn(usize) -> Option<&'t str>,
    ) -> Option<Decoded> {
        let mut first = None;
        for table in &self.ways {
            let begin = out.len();
            let decoded = decode::text::<WRITTEN>(&table.classes, bytes, at, out)?;
            first.get_or_insert(decoded);
            table.tells(out, begin, || written(decoded.end)).then_some(())?;
        }
        first
    }

    /// Adds the classes of characters folded already, the first way.
    pub(crate) fn folded(&self, text: &str, out: &mut Buffer) {
        if let Some(table) = self.ways.first() {
            out.extend(text.chars().map(|c| table.classes.of(c)));
        }
    }

    /// Calls `each` with all patterns in the buffer, in order of place and length, until it breaks.
    #[inline(always)]
    pub(crate) fn patterns(
        &self,
        buffer: &mut Buffer,
        mut each: impl FnMut(Found) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let len = buffer.len();
        let classes = buffer.padded();
        self.gate.places(classes, len, |place| {
            self.trie
                .find(classes, place as usize, |number, length| each(Found { place, length: length as u32, number }))
        })
    }

    /// Bytes in memory.
    pub(crate) fn bytes(&self) -> usize {
        self.ways.iter().map(|table| table.classes.bytes()).sum::<usize>() + self.gate.bytes() + self.trie.bytes()
    }
}

/// Patterns of one character are told by their runs, and those of characters without a class are never told.
fn holds(pattern: impl Iterator<Item = u16> + Clone) -> bool {
    pattern.clone().nth(1).is_some() && pattern.into_iter().all(|class| class & LOOK == 0)
}
