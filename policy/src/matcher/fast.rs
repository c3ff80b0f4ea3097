//! The fast matcher: tables instead of an automaton.
//!
//! ```text
//! text ─► classes (fold, drop noise, collapse runs) ─► gate (may a word begin here?) ─► trie (it does) ─► exact match
//! ```
//!
//! The first three steps are the [`Sieve`]. It goes over every text and knows no exceptions: whatever tables cannot decide (a character that folds
//! to several, a run that is a word) sends the text on. So the sieve may let a text through that has no hit, and never holds one back that has;
//! what it lets through is matched exactly, by the code that the plain matcher uses too.
//!
//! The tables hold the words that are folded as by default, which are nearly all. Other lists are matched by the plain matcher's groups; for the
//! sieve their words are folded once more, as by default: what matches less folded matches more folded too.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use aho_corasick::AhoCorasick;

use super::plain::{Group, automaton, drafts};
use super::spelling::Folding as Way;
use super::words::Words;
use super::{MatchScratch, Matcher, MatcherError, WordHit, WordList};
use crate::normalise::{Folded, Normalisation, Step, fold, is_syllable, spells, syllable_of};

mod classes;
mod decode;
mod gate;
mod sieve;
mod trie;

pub(crate) use classes::Folding;
pub(crate) use decode::{Buffer, Decoded, escape, written};
use sieve::ELSEWHERE;
use sieve::Patterns;
pub(crate) use sieve::{Found, Sieve};

/// The number of a pattern whose words are all matched in another way of folding: a form that has no word.
const NO_FORM: u32 = u32::MAX - 1;

/// The matcher that agrees with [`super::PlainMatcher`] on every hit and is several times faster where there is none.
pub struct FastMatcher {
    sieve: Sieve,
    /// Words folded as by default, by the number of their form.
    words: Words,
    /// Forms that the tables cannot hold: one character in a run (哈哈), or of characters beyond the tables.
    rest: Rest,
    /// Lists folded in other ways.
    elsewhere: Vec<Group>,
}

/// By pattern: whether finding it is a reason to look at a message.
pub(crate) struct Reasons(Vec<bool>);

impl Reasons {
    pub(crate) fn has(&self, pattern: u32) -> bool {
        pattern & ELSEWHERE != 0 || self.0.get(pattern as usize).copied().unwrap_or(true)
    }
}

impl std::fmt::Debug for FastMatcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FastMatcher").field("bytes", &self.bytes()).finish_non_exhaustive()
    }
}

impl FastMatcher {
    /// Builds the tables.
    ///
    /// # Errors
    /// As [`super::PlainMatcher::compile`].
    pub fn compile(lists: &[WordList<'_>]) -> Result<Self, MatcherError> {
        let mut drafts = drafts(lists)?;
        let (forms, numbers, words) = drafts.remove(&Way::Text(Normalisation::default())).unwrap_or_default().build();
        let mut ways = Ways::default();
        for (form, number) in forms.iter().zip(&numbers) {
            ways.text.push(form.chars(), *number);
        }
        let mut elsewhere = Vec::new();
        for (way, draft) in drafts {
            draft.forms().for_each(|form| ways.add_elsewhere(way, form));
            elsewhere.push(Group::build(way, draft)?);
        }
        let sieve = ways.sieve();
        let rest = Rest::of(&sieve, forms.iter().zip(numbers))?;
        Ok(Self { sieve, words, rest, elsewhere })
    }

    /// Bytes in memory of the tables and of the words folded as by default.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.sieve.bytes() + self.words.bytes()
    }

    /// What holds back texts without a hit.
    pub(crate) fn sieve(&self) -> &Sieve {
        &self.sieve
    }

    /// The patterns that are a form of a word of one of these lists. Patterns matched in another way of folding always are.
    pub(crate) fn reasons(&self, list: impl Fn(u32) -> bool) -> Reasons {
        Reasons((0..self.words.numbers_end()).map(|form| self.words.lists_of(form).any(&list)).collect())
    }

    /// Every hit in a text of which the sieve tells nothing.
    fn find_everywhere(
        &self,
        text: &str,
        scratch: &mut MatchScratch,
        sink: &mut dyn FnMut(WordHit) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let MatchScratch { folded, classes, .. } = scratch;
        folded.fold(text, Normalisation::default(), &[]);
        self.rest.find(&self.words, folded, sink)?;
        classes.truncate(0);
        // Folded text without runs has no noise and no repeats left: places in the buffer are numbers of folded characters.
        self.sieve.folded(folded.text(), classes);
        self.sieve.patterns(classes, |found| self.words.verify(found.pattern(), folded, found.range_from(0), sink))?;
        self.find_elsewhere(text, scratch, sink)
    }

    /// Every hit in a text that went through the sieve.
    fn find_anywhere(
        &self,
        text: &str,
        scratch: &mut MatchScratch,
        sink: &mut dyn FnMut(WordHit) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let MatchScratch { folded, classes, .. } = scratch;
        classes.clear(text.len());
        let Some(Decoded { runs, .. }) = self.sieve.text(text, classes) else {
            return self.find_everywhere(text, scratch, sink);
        };
        if runs {
            let any = self.sieve.patterns(classes, |_| ControlFlow::Break(())).is_break();
            return if any { self.find_everywhere(text, scratch, sink) } else { ControlFlow::Continue(()) };
        }
        let mut verify = Verify::new(&self.words, text, folded);
        self.sieve.patterns(classes, |found| verify.word(found, 0, sink))?;
        if verify.elsewhere { self.find_elsewhere(text, scratch, sink) } else { ControlFlow::Continue(()) }
    }

    fn find_elsewhere(
        &self,
        text: &str,
        scratch: &mut MatchScratch,
        sink: &mut dyn FnMut(WordHit) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        self.elsewhere.iter().try_for_each(|group| group.find(text, scratch, sink))
    }

    /// Every hit in a text in which a sieve has found patterns before.
    fn find_told(
        &self,
        text: &str,
        told: Told<'_>,
        scratch: &mut MatchScratch,
        sink: &mut dyn FnMut(WordHit) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        if told.runs && !told.found.is_empty() {
            return self.find_everywhere(text, scratch, sink);
        }
        let mut verify = Verify::new(&self.words, text, &mut scratch.folded);
        told.found.iter().try_for_each(|found| verify.word(*found, told.begin, sink))?;
        if verify.elsewhere { self.find_elsewhere(text, scratch, sink) } else { ControlFlow::Continue(()) }
    }

    /// As [`Matcher::find`], for a text that went through the sieve of this matcher before.
    pub(crate) fn find_in(
        &self,
        text: &str,
        told: Option<Told<'_>>,
        scratch: &mut MatchScratch,
        sink: &mut dyn FnMut(WordHit) -> ControlFlow<()>,
    ) {
        // A sink that breaks is the caller's own end.
        let _ = match told {
            Some(told) => self.find_told(text, told, scratch, sink),
            None => self.find_anywhere(text, scratch, sink),
        };
    }
}

impl Matcher for FastMatcher {
    fn find(&self, text: &str, scratch: &mut MatchScratch, sink: &mut dyn FnMut(WordHit) -> ControlFlow<()>) {
        self.find_in(text, None, scratch, sink);
    }
}

/// What the sieve has told of a text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Told<'a> {
    /// The patterns in it, in order.
    pub(crate) found: &'a [Found],
    /// Where its classes begin.
    pub(crate) begin: u32,
    /// Whether a character of a word is repeated in it.
    pub(crate) runs: bool,
}

/// Looks whether patterns are words, in a text in which no character of a word is repeated: places of the first way are numbers of occurrences.
struct Verify<'a> {
    words: &'a Words,
    text: &'a str,
    folded: &'a mut Folded,
    is_folded: bool,
    /// Whether a pattern is one of another way of folding too.
    elsewhere: bool,
}

impl<'a> Verify<'a> {
    fn new(words: &'a Words, text: &'a str, folded: &'a mut Folded) -> Self {
        Self { words, text, folded, is_folded: false, elsewhere: false }
    }

    fn word(&mut self, found: Found, begin: u32, sink: &mut dyn FnMut(WordHit) -> ControlFlow<()>) -> ControlFlow<()> {
        if !self.is_folded {
            self.folded.fold(self.text, Normalisation::default(), &[]);
            self.is_folded = true;
        }
        self.elsewhere |= found.elsewhere();
        let occurrences = found.range_from(begin);
        let Some(first) = self.folded.char_from(occurrences.start) else { return ControlFlow::Continue(()) };
        self.words.verify(found.pattern(), self.folded, first..first + occurrences.len(), sink)
    }
}

/// Forms beyond the tables.
struct Rest {
    automaton: AhoCorasick,
    /// By pattern: the number of the form.
    forms: Vec<u32>,
}

impl Rest {
    fn of<'f>(sieve: &Sieve, forms: impl Iterator<Item = (&'f str, u32)>) -> Result<Self, MatcherError> {
        let (patterns, forms): (Vec<&str>, Vec<u32>) = forms.filter(|(form, _)| !sieve.holds(form)).unzip();
        Ok(Self { automaton: automaton(patterns)?, forms })
    }

    fn find(
        &self,
        words: &Words,
        folded: &Folded,
        sink: &mut dyn FnMut(WordHit) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        if self.forms.is_empty() {
            return ControlFlow::Continue(());
        }
        for found in self.automaton.find_overlapping_iter(folded.text()) {
            let form = self.forms.get(found.pattern().as_usize());
            if let (Some(form), Some(chars)) = (form, folded.chars_of(found.range())) {
                words.verify(*form as usize, folded, chars, sink)?;
            }
        }
        ControlFlow::Continue(())
    }
}

/// What the sieve is built of.
#[derive(Default)]
struct Ways {
    /// Patterns folded as by default.
    text: Patterns,
    /// Patterns of syllables.
    sound: Patterns,
    /// Characters that are noise by default and all that is left to tell a form by: texts that have one kept must be looked at.
    kept: BTreeSet<char>,
    other: Vec<Way>,
}

impl Ways {
    /// Adds a form that is matched in another way of folding.
    fn add_elsewhere(&mut self, way: Way, form: &str) {
        let usual = Folded::of(form, Normalisation::default());
        let kept = form.chars().find(|c| usual_step(*c) == Folding::Skip);
        match (way, kept) {
            (Way::Syllables, _) => self.sound.push(form.chars().map(in_tables), NO_FORM),
            // What is nothing by default tells the form where it is all that does, and always where it is an alias.
            (Way::Symbols(_), Some(kept)) => self.kept.extend([kept]),
            (Way::Text(_), Some(kept)) if usual.chars() < 2 => self.kept.extend([kept]),
            _ => self.text.push(usual.text().chars(), NO_FORM),
        }
        if !self.other.contains(&way) {
            self.other.push(way);
        }
    }

    fn sieve(self) -> Sieve {
        let text = |c: char| if self.differs(c) { Folding::Several } else { usual_step(c) };
        let mut ways = vec![sieve::Way { fold: &text, patterns: &self.text, spells: None }];
        if !self.sound.is_empty() {
            ways.push(sieve::Way { fold: &sound_step, patterns: &self.sound, spells: Some(spells) });
        }
        Sieve::build(&ways)
    }

    /// Whether folding a character as by default does not tell what another way of folding makes of it.
    fn differs(&self, c: char) -> bool {
        self.other.iter().any(|way| {
            let folded = match way {
                Way::Syllables => return false,
                // The symbols aside this is the usual way, and nearly always the only other one.
                Way::Symbols(normalisation) if *normalisation == Normalisation::default() => {
                    return self.kept.contains(&c);
                }
                Way::Text(_) | Way::Symbols(_) => way.step(c),
            };
            match folded {
                Step::Keep(folded) => self.kept.contains(&folded) || usual_step(folded) != usual_step(c),
                Step::Several(_) => usual_step(c) != Folding::Several,
                Step::Noise | Step::Hidden => usual_step(c) != Folding::Skip,
            }
        })
    }
}

/// The folding that is on by default.
fn usual_step(c: char) -> Folding {
    match fold(c, Normalisation::default(), &[]) {
        Step::Keep('\n') => Folding::Break,
        Step::Keep(folded) => Folding::Keep(folded),
        Step::Several(_) => Folding::Several,
        Step::Noise | Step::Hidden => Folding::Skip,
    }
}

/// The folding to syllables.
fn sound_step(c: char) -> Folding {
    match usual_step(c) {
        Folding::Keep(folded) if folded.is_ascii_lowercase() => Folding::Letter,
        Folding::Keep(folded) => {
            let syllable = syllable_of(c).or_else(|| syllable_of(folded));
            Folding::Keep(syllable.map_or(folded, in_tables))
        }
        step => step,
    }
}

/// A syllable as a private character within the tables; text cannot contain those without their being noise.
fn in_tables(c: char) -> char {
    let private = u32::from(c).checked_sub(0xF_0000).and_then(|at| char::from_u32(0xE000 + at));
    private.filter(|_| is_syllable(c)).unwrap_or(c)
}

#[cfg(test)]
mod tests;
