//! The matcher on `aho-corasick`: one automaton for each way of folding.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};

use super::spelling::{Folding, check, other_spellings};
use super::words::{Draft, Origin, Words};
use super::{MatchScratch, Matcher, MatcherError, WordHit, WordList};
use crate::normalise::Folded;

/// The matcher on `aho-corasick`, which defines what is right.
#[derive(Debug)]
pub struct PlainMatcher {
    groups: Vec<Group>,
}

/// The spellings that are folded the same way.
#[derive(Debug)]
pub(super) struct Group {
    folding: Folding,
    automaton: AhoCorasick,
    /// By pattern: the number of the form.
    forms: Vec<u32>,
    words: Words,
}

impl PlainMatcher {
    /// Builds the automata.
    ///
    /// # Errors
    /// For the first word that cannot be searched for, and when the automaton would be too large.
    pub fn compile(lists: &[WordList<'_>]) -> Result<Self, MatcherError> {
        let drafts = drafts(lists)?;
        let groups =
            drafts.into_iter().map(|(folding, draft)| Group::build(folding, draft)).collect::<Result<_, _>>()?;
        Ok(Self { groups })
    }
}

/// All spellings of all words, by how they are folded.
pub(super) fn drafts(lists: &[WordList<'_>]) -> Result<BTreeMap<Folding, Draft>, MatcherError> {
    let mut drafts: BTreeMap<Folding, Draft> = BTreeMap::new();
    let (mut folded, mut plain) = (Folded::default(), Folded::default());
    for (list, words) in lists.iter().enumerate() {
        for (word, text) in words.words.iter().enumerate() {
            check(text, words.normalisation, words.options, &mut folded).map_err(|error| MatcherError::Word {
                list,
                word,
                error,
            })?;
            // Checking has folded it.
            let (at, boundary) = ((list, word), words.options.boundary);
            let draft = drafts.entry(Folding::Text(words.normalisation)).or_default();
            draft.add(&folded, at, Origin::Written, boundary);
            for spelling in other_spellings(text, words.normalisation, words.options, &mut plain) {
                spelling.folding.fold(&spelling.text, &mut folded, &mut plain);
                drafts.entry(spelling.folding).or_default().add(&folded, at, spelling.origin, boundary);
            }
        }
    }
    Ok(drafts)
}

/// An automaton over forms.
pub(super) fn automaton<T: AsRef<[u8]>>(forms: impl IntoIterator<Item = T>) -> Result<AhoCorasick, MatcherError> {
    // The DFA is never faster on Chinese and takes up to a hundred times the memory.
    AhoCorasick::builder()
        .kind(Some(AhoCorasickKind::ContiguousNFA))
        .match_kind(MatchKind::Standard)
        .build(forms)
        .map_err(|error| MatcherError::TooLarge(error.to_string()))
}

impl Matcher for PlainMatcher {
    fn find(&self, text: &str, scratch: &mut MatchScratch, sink: &mut dyn FnMut(WordHit) -> ControlFlow<()>) {
        for group in &self.groups {
            if group.find(text, scratch, sink).is_break() {
                return;
            }
        }
    }
}

impl Group {
    /// Builds the automaton over the forms.
    pub(super) fn build(folding: Folding, draft: Draft) -> Result<Self, MatcherError> {
        let (forms, numbers, words) = draft.build();
        let automaton = automaton(forms.iter())?;
        Ok(Self { folding, automaton, forms: numbers, words })
    }

    /// Tells of every hit of the group's words.
    pub(super) fn find(
        &self,
        text: &str,
        scratch: &mut MatchScratch,
        sink: &mut dyn FnMut(WordHit) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        if !self.folding.can_matter(text) {
            return ControlFlow::Continue(());
        }
        let MatchScratch { folded, plain, .. } = scratch;
        self.folding.fold(text, folded, plain);
        for found in self.automaton.find_overlapping_iter(folded.text()) {
            let form = self.forms.get(found.pattern().as_usize());
            if let Some((form, chars)) = form.zip(folded.chars_of(found.range())) {
                self.words.verify(*form as usize, folded, chars, sink)?;
            }
        }
        ControlFlow::Continue(())
    }
}
