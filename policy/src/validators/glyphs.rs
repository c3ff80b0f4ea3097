//! Characters as validators read them.

use super::Found;
use crate::normalise::{Normalisation, Step, fold, is_chinese_numeral, is_line_break};

/// One character that can be seen.
#[derive(Clone, Copy, Debug)]
pub(super) struct Glyph {
    /// Narrow, lower case, digits of other forms as ASCII; Chinese numerals stay what they are.
    pub(super) c: char,
    /// Where it stands in the original text.
    at: u32,
}

/// A text without what nobody sees.
pub(super) struct Glyphs(Vec<Glyph>);

impl Glyph {
    /// The digit it stands for, Chinese numerals included.
    pub(super) fn digit(self) -> Option<char> {
        digit(self.c)
    }
}

impl Glyphs {
    pub(super) fn of(text: &str) -> Self {
        let seen = (0..).zip(text.chars());
        Self(seen.filter_map(|(at, c)| Some(Glyph { c: glyph(c)?, at })).collect())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Glyph> {
        self.0.iter().copied()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn get(&self, index: usize) -> Option<Glyph> {
        self.0.get(index).copied()
    }

    /// The folded character, `\n` outside the text, so that both ends are boundaries.
    pub(super) fn c(&self, index: usize) -> char {
        self.get(index).map_or('\n', |glyph| glyph.c)
    }

    /// The folded character before an index.
    pub(super) fn before(&self, index: usize) -> char {
        index.checked_sub(1).map_or('\n', |index| self.c(index))
    }

    /// The place of the glyphs from `first` to before `end`; `None` when there are none.
    pub(super) fn found(&self, first: usize, end: usize) -> Option<Found> {
        let (first, last) = (self.get(first)?, self.get(end.checked_sub(1)?)?);
        (first.at <= last.at).then_some(Found { start: first.at, end: last.at + 1 })
    }

    /// The folded text from `first` to before `end`.
    pub(super) fn text(&self, first: usize, end: usize) -> String {
        (first..end.min(self.len())).map(|index| self.c(index)).collect()
    }
}

/// The ASCII digit a character stands for.
pub(super) fn digit(c: char) -> Option<char> {
    if c.is_ascii() {
        return c.is_ascii_digit().then_some(c);
    }
    match fold(c, Normalisation::default(), &[]) {
        Step::Keep(folded) if folded.is_ascii_digit() => Some(folded),
        // As it is said on the telephone.
        _ if c == '幺' => Some('1'),
        _ => None,
    }
}

/// Narrow and lower case; digits of other forms, but not Chinese numerals, as ASCII. What folds to several characters stays itself.
pub(super) fn plain(c: char) -> char {
    glyph(c).unwrap_or(c)
}

/// As [`plain`]; `None` for what nobody sees.
fn glyph(c: char) -> Option<char> {
    if c.is_ascii() {
        return Some(c.to_ascii_lowercase());
    }
    if is_line_break(c) {
        return Some('\n');
    }
    if is_chinese_numeral(c) {
        return Some(c);
    }
    match fold(c, Normalisation::default(), &[]) {
        Step::Keep(folded) => Some(folded),
        Step::Several(_) => Some(c),
        Step::Noise => Some(symbol(c)),
        Step::Hidden => None,
    }
}

/// Punctuation as it stands in numbers and addresses.
fn symbol(c: char) -> char {
    match c {
        '\u{FF01}'..='\u{FF5E}' => char::from_u32(u32::from(c) - 0xFEE0).unwrap_or(c),
        '\u{3000}' | '\u{A0}' => ' ',
        '\u{FE6B}' => '@',
        // The dashes people type for a hyphen.
        '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{FE58}' | '\u{FE63}' => '-',
        other => other,
    }
}
