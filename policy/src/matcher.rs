//! The keyword automaton behind one small interface.
//!
//! A word is found as it is written, in its folded form ([`crate::normalise`]), and, where its list asks for it, in other **spellings**:
//! with terms replaced by what people write instead (微信 → vx, 薇信, 威❤), with characters taken apart (张 → 弓长), or by sound. Each
//! hit says through which [`Channel`] it was found.
//!
//! [`PlainMatcher`] defines what is right: all hits of all words of all lists, overlapping ones too. Another implementation must agree with
//! it on every hit.

use std::ops::ControlFlow;

use serde::Serialize;

use crate::normalise::{Folded, Normalisation};

mod aliases;
mod fast;
mod plain;
mod spelling;
mod splits;
mod words;

pub use fast::FastMatcher;
pub(crate) use fast::{Buffer, Decoded, Found, Reasons, Sieve, Told, escape, written};
pub use plain::PlainMatcher;

/// A list of words that are found the same way. Its number in the slice given to the matcher is its list id.
#[derive(Clone, Debug)]
pub struct WordList<'a> {
    /// How text and words are folded for this list.
    pub normalisation: Normalisation,
    /// What else counts as the word.
    pub options: WordOptions,
    /// The words as their author wrote them. A word's number is its word id.
    pub words: Vec<&'a str>,
}

/// Which spellings of a word are found, and where it may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WordOptions {
    /// A hit that begins or ends with an ASCII letter must not touch another letter there, one that begins or ends with a digit no other
    /// digit: `vx` is not found in `vxyz`, 69 not in 695.
    pub boundary: bool,
    /// Terms of the alias dictionary inside a word may be written as any of their aliases.
    pub aliases: bool,
    /// Characters may be taken apart (拆字).
    pub split: bool,
    /// The word may be written by sound. Only for words of at least [`SYLLABLES_MIN`] Han characters.
    pub pinyin: bool,
}

/// How a word was recognised, from the strongest to the weakest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Channel {
    /// Letter for letter as its author wrote it.
    Exact,
    /// In another width, case, script or variant.
    Folded,
    /// With inserted, repeated or hidden characters.
    Skipped,
    /// With a term written as one of its aliases.
    Alias,
    /// With a character taken apart.
    Split,
    /// By sound.
    Pinyin,
}

/// One hit of one word of one list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WordHit {
    /// Number of the list.
    pub list: u32,
    /// Number of the word in its list.
    pub word: u32,
    /// First character in the original text (Unicode scalar values).
    pub start: u32,
    /// Behind the last character in the original text.
    pub end: u32,
    /// How it was recognised.
    pub channel: Channel,
    /// Whether hidden characters stand inside: nobody types those by accident.
    pub obfuscated: bool,
}

/// Buffers a matcher reuses between texts.
#[derive(Debug, Default)]
pub struct MatchScratch {
    folded: Folded,
    plain: Folded,
    classes: Buffer,
}

/// Finds words in texts.
pub trait Matcher: Send + Sync {
    /// Calls `sink` for every hit in `text`, until it breaks. The same place may come once per channel.
    fn find(&self, text: &str, scratch: &mut MatchScratch, sink: &mut dyn FnMut(WordHit) -> ControlFlow<()>);
}

/// Why a word cannot be searched for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WordError {
    /// Only noise or nothing.
    #[error(
        "nothing is left of the word after normalisation; remove it, or turn off `noise` for the list if its symbols matter"
    )]
    FoldsToNothing,
    /// One character matches everywhere.
    #[error("a single character is left of the word after normalisation and would match everywhere; use at least two")]
    SingleCharacter,
    /// Longer than [`WORD_CHARS_MAX`].
    #[error("the word is longer than 64 characters; shorten it")]
    TooLong,
    /// Words do not match across line breaks.
    #[error("the word contains a line break and can never match; split it")]
    LineBreak,
    /// Too short, or not Han, to be searched for by sound.
    #[error(
        "only words of three and more Han characters can be found by `pinyin`, shorter ones sound like everyday talk; move the word to a selection without it"
    )]
    TooShortForPinyin,
}

/// Why a matcher could not be built.
#[derive(Debug, thiserror::Error)]
pub enum MatcherError {
    /// A word cannot be searched for.
    #[error("list {list}, word {word}: {error}")]
    Word {
        /// Number of the list.
        list: usize,
        /// Number of the word.
        word: usize,
        /// Why.
        error: WordError,
    },
    /// The automaton would be too large.
    #[error("the word lists are too large: {0}")]
    TooLarge(String),
}

/// Folded characters of a word. Bounds the work per place in the text.
pub const WORD_CHARS_MAX: usize = 64;
/// Syllables a word needs to be found by sound: words of two sound like something in a third of all lines.
pub const SYLLABLES_MIN: usize = 3;

/// Checks that a word can be searched for.
///
/// # Errors
/// When it folds to nothing, to one character, is too long, contains a line break, or is to be found by sound and cannot be.
pub fn check_word(word: &str, normalisation: Normalisation, options: WordOptions) -> Result<(), WordError> {
    spelling::check(word, normalisation, options, &mut Folded::default())
}

impl Default for WordOptions {
    /// What lists have unless they say otherwise: boundaries and aliases.
    fn default() -> Self {
        Self { boundary: true, aliases: true, split: false, pinyin: false }
    }
}

impl Channel {
    /// All channels, the strongest first.
    pub const ALL: [Self; 6] = [Self::Exact, Self::Folded, Self::Skipped, Self::Alias, Self::Split, Self::Pinyin];

    /// Name as in packs, records and rows.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Folded => "folded",
            Self::Skipped => "skipped",
            Self::Alias => "alias",
            Self::Split => "split",
            Self::Pinyin => "pinyin",
        }
    }
}

impl std::fmt::Display for Channel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl MatchScratch {
    /// Gives back the memory a very long text took.
    pub(crate) fn release(&mut self) {
        self.folded.release();
        self.plain.release();
        self.classes.release();
    }
}

#[cfg(test)]
mod tests;
