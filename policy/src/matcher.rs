//! The keyword automaton behind one small interface.
//!
//! [`PlainMatcher`] defines what is right: all hits of all words of all lists, overlapping ones too. Another implementation must agree with
//! it on every hit.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};

use crate::normalise::{Folded, Located, NOISE_STEP_MAX, NOISE_TOTAL_MAX, Normalisation};

/// A list of words that are folded the same way. Its number in the slice given to the matcher is its list id.
#[derive(Clone, Debug)]
pub struct WordList<'a> {
    /// How text and words are folded for this list.
    pub normalisation: Normalisation,
    /// The words as their author wrote them. A word's number is its word id.
    pub words: Vec<&'a str>,
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
}

/// Buffers a matcher reuses between texts.
#[derive(Debug, Default)]
pub struct MatchScratch {
    folded: Folded,
}

impl MatchScratch {
    /// Gives back the memory a very long text took.
    pub(crate) fn release(&mut self) {
        self.folded.release();
    }
}

/// Finds words in texts.
pub trait Matcher: Send + Sync {
    /// Calls `sink` for every hit in `text`, until it breaks. Hits of one list come in order of their end.
    fn find(&self, text: &str, scratch: &mut MatchScratch, sink: &mut dyn FnMut(WordHit) -> ControlFlow<()>);
}

/// The matcher on `aho-corasick`: one automaton for each way of folding.
#[derive(Debug)]
pub struct PlainMatcher {
    groups: Vec<Group>,
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

/// Checks that a word can be searched for.
///
/// # Errors
/// When it folds to nothing, to one character, is too long or contains a line break.
pub fn check_word(word: &str, normalisation: Normalisation) -> Result<(), WordError> {
    fold_word(word, normalisation).map(|_| ())
}

impl PlainMatcher {
    /// Builds the automata.
    ///
    /// # Errors
    /// For the first word that cannot be searched for, and when the automaton would be too large.
    pub fn compile(lists: &[WordList<'_>]) -> Result<Self, MatcherError> {
        let mut drafts: BTreeMap<Normalisation, Draft> = BTreeMap::new();
        for (list, words) in lists.iter().enumerate() {
            let draft = drafts.entry(words.normalisation).or_default();
            for (index, word) in words.words.iter().enumerate() {
                let folded = fold_word(word, words.normalisation).map_err(|error| MatcherError::Word {
                    list,
                    word: index,
                    error,
                })?;
                draft.add(folded, list, index);
            }
        }
        let groups =
            drafts.into_iter().map(|(normalisation, draft)| draft.build(normalisation)).collect::<Result<_, _>>()?;
        Ok(Self { groups })
    }
}

impl Matcher for PlainMatcher {
    fn find(&self, text: &str, scratch: &mut MatchScratch, sink: &mut dyn FnMut(WordHit) -> ControlFlow<()>) {
        for group in &self.groups {
            if group.find(text, &mut scratch.folded, sink).is_break() {
                return;
            }
        }
    }
}

/// The words that are folded the same way.
#[derive(Debug)]
struct Group {
    normalisation: Normalisation,
    automaton: AhoCorasick,
    /// By pattern: the words that have this folded form.
    words: Vec<Vec<WordRef>>,
}

/// One word with one folded form.
#[derive(Clone, Copy, Debug)]
struct WordRef {
    list: u32,
    word: u32,
    /// Noise its author wrote into it is no inserted noise.
    noise: u32,
    noise_step: u32,
}

#[derive(Default)]
struct Draft {
    patterns: BTreeMap<String, Vec<WordRef>>,
}

impl Draft {
    fn add(&mut self, (pattern, place): (String, Located), list: usize, word: usize) {
        let word = WordRef { list: list as u32, word: word as u32, noise: place.noise, noise_step: place.noise_step };
        self.patterns.entry(pattern).or_default().push(word);
    }

    fn build(self, normalisation: Normalisation) -> Result<Group, MatcherError> {
        let (patterns, words): (Vec<String>, Vec<Vec<WordRef>>) = self.patterns.into_iter().unzip();
        // The DFA is never faster on Chinese and takes up to a hundred times the memory.
        let automaton = AhoCorasick::builder()
            .kind(Some(AhoCorasickKind::ContiguousNFA))
            .match_kind(MatchKind::Standard)
            .build(patterns)
            .map_err(|error| MatcherError::TooLarge(error.to_string()))?;
        Ok(Group { normalisation, automaton, words })
    }
}

impl Group {
    fn find(
        &self,
        text: &str,
        folded: &mut Folded,
        sink: &mut dyn FnMut(WordHit) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        folded.fold(text, self.normalisation);
        for found in self.automaton.find_overlapping_iter(folded.text()) {
            let Some(place) = folded.locate(found.range()) else { continue };
            for word in self.words.get(found.pattern().as_usize()).into_iter().flatten() {
                if word.allows(place) {
                    sink(WordHit { list: word.list, word: word.word, start: place.start, end: place.end })?;
                }
            }
        }
        ControlFlow::Continue(())
    }
}

impl WordRef {
    fn allows(self, place: Located) -> bool {
        place.noise <= self.noise + NOISE_TOTAL_MAX && place.noise_step <= self.noise_step + NOISE_STEP_MAX
    }
}

fn fold_word(word: &str, normalisation: Normalisation) -> Result<(String, Located), WordError> {
    let folded = Folded::of(word, normalisation);
    match folded.chars() {
        0 => return Err(WordError::FoldsToNothing),
        1 => return Err(WordError::SingleCharacter),
        chars if chars > WORD_CHARS_MAX => return Err(WordError::TooLong),
        _ if folded.text().contains('\n') => return Err(WordError::LineBreak),
        _ => {}
    }
    let place = folded.locate(0..folded.text().len()).ok_or(WordError::FoldsToNothing)?;
    Ok((folded.text().to_owned(), place))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(lists: &[WordList<'_>], text: &str) -> Vec<(u32, u32, String)> {
        let matcher = PlainMatcher::compile(lists).unwrap();
        let mut hits = Vec::new();
        matcher.find(text, &mut MatchScratch::default(), &mut |hit| {
            let slice = text.chars().skip(hit.start as usize).take((hit.end - hit.start) as usize).collect();
            hits.push((hit.list, hit.word, slice));
            ControlFlow::Continue(())
        });
        hits.sort();
        hits
    }

    fn list(words: &[&'static str]) -> WordList<'static> {
        WordList { normalisation: Normalisation::default(), words: words.to_vec() }
    }

    fn slices(words: &[&'static str], text: &str) -> Vec<String> {
        find(&[list(words)], text).into_iter().map(|hit| hit.2).collect()
    }

    #[test]
    fn finds_through_disguise_and_reports_the_original() {
        for (name, word, text, expected) in [
            ("plain", "飞单", "做飞单吧", &["飞单"][..]),
            ("inserted symbols", "飞单", "飞.-🎉 单", &["飞.-🎉 单"]),
            ("four inserted are noise", "飞单", "飞....单", &["飞....单"]),
            ("five are not", "飞单", "飞.....单", &[]),
            ("eight in all", "不走公司", "不...走...公..司", &["不...走...公..司"]),
            ("nine in all are too many", "不走公司", "不...走...公...司", &[]),
            (
                "zero-width is free",
                "飞单",
                "飞\u{200B}\u{200B}\u{200B}\u{200B}\u{200B}单",
                &["飞\u{200B}\u{200B}\u{200B}\u{200B}\u{200B}单"],
            ),
            ("never across lines", "飞单", "飞\n单", &[]),
            ("width and case", "vx号", "ＶX号", &["ＶX号"]),
            (
                "spaces of the word itself are free",
                "a b c d e f g h i j k l",
                "a b c d e f g h i j k l",
                &["a b c d e f g h i j k l"],
            ),
            ("noise around is not part", "飞单", " 飞单!", &["飞单"]),
        ] {
            assert_eq!(slices(&[word], text), expected, "{name}");
        }
    }

    #[test]
    fn overlapping_and_nested_words_all_hit() {
        assert_eq!(slices(&["保本", "保本保收益", "本保"], "保本保收益"), ["保本", "保本保收益", "本保"]);
        assert_eq!(slices(&["哈哈"], "哈哈哈"), ["哈哈", "哈哈"]);
    }

    #[test]
    fn one_word_in_several_lists_hits_in_each() {
        let exact = WordList { normalisation: Normalisation::EXACT, words: vec!["保本"] };
        let hits = find(&[list(&["保本", "保-本"]), exact, list(&["保本"])], "保本");
        let ids: Vec<_> = hits.iter().map(|hit| (hit.0, hit.1)).collect();
        assert_eq!(ids, [(0, 0), (0, 1), (1, 0), (2, 0)]);
    }

    #[test]
    fn lists_fold_by_their_own_options() {
        let symbols =
            WordList { normalisation: Normalisation { noise: false, ..Normalisation::default() }, words: vec!["c++"] };
        assert_eq!(
            find(&[symbols, list(&["保本"])], "C＋＋保.本"),
            [(0, 0, "C＋＋".to_owned()), (1, 0, "保.本".to_owned())]
        );
    }

    #[test]
    fn useless_words_are_refused() {
        for (word, error) in [
            ("", WordError::FoldsToNothing),
            ("！？ ", WordError::FoldsToNothing),
            ("C++", WordError::SingleCharacter),
            ("a\nb", WordError::LineBreak),
        ] {
            assert_eq!(check_word(word, Normalisation::default()), Err(error), "{word:?}");
        }
        assert_eq!(check_word(&"长".repeat(65), Normalisation::default()), Err(WordError::TooLong));
        assert_eq!(check_word(&"长".repeat(64), Normalisation::default()), Ok(()));
    }

    #[test]
    fn a_sink_can_stop() {
        let matcher = PlainMatcher::compile(&[list(&["哈哈"])]).unwrap();
        let mut seen = 0;
        matcher.find(&"哈".repeat(100), &mut MatchScratch::default(), &mut |_| {
            seen += 1;
            if seen == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        assert_eq!(seen, 3);
    }

    #[test]
    fn no_lists_no_hits() {
        assert!(find(&[], "保本").is_empty());
    }

    /// What is right, said the slow way: every word at every place, character by character.
    fn reference(lists: &[WordList<'_>], text: &str) -> Vec<WordHit> {
        let mut hits = Vec::new();
        for (list, words) in (0..).zip(lists) {
            let text: Vec<Seen> = text.chars().map(|c| Seen::of(c, words.normalisation)).collect();
            for (word, spelled) in (0..).zip(&words.words) {
                let spelled: Vec<Seen> = spelled.chars().map(|c| Seen::of(c, words.normalisation)).collect();
                for start in 0..text.len() {
                    if let Some(end) = match_at(&text, start, &spelled) {
                        hits.push(WordHit { list, word, start: start as u32, end: end as u32 });
                    }
                }
            }
        }
        hits
    }

    #[derive(Clone, Copy, PartialEq)]
    enum Seen {
        Char(char),
        Noise,
        Nothing,
    }

    impl Seen {
        fn of(c: char, normalisation: Normalisation) -> Self {
            match Folded::of(&c.to_string(), normalisation).text().chars().next() {
                Some(folded) => Self::Char(folded),
                None if crate::normalise::is_zero_width(c) => Self::Nothing,
                None => Self::Noise,
            }
        }
    }

    /// The characters of a word and the noise before each but the first.
    fn steps(seen: &[Seen]) -> Vec<(char, u32)> {
        let mut steps = Vec::new();
        let mut noise = 0;
        for seen in seen {
            match seen {
                Seen::Char(c) => {
                    steps.push((*c, if steps.is_empty() { 0 } else { noise }));
                    noise = 0;
                }
                Seen::Noise => noise += 1,
                Seen::Nothing => {}
            }
        }
        steps
    }

    fn match_at(text: &[Seen], start: usize, word: &[Seen]) -> Option<usize> {
        let word = steps(word);
        matches!(text[start], Seen::Char(_)).then_some(())?;
        let mut end = start;
        let mut rest = text.iter().skip(start);
        let mut found = Vec::new();
        while found.len() < word.len() {
            loop {
                end += 1;
                if matches!(rest.next()?, Seen::Char(_)) {
                    break;
                }
            }
            found = steps(&text[start..end]);
        }
        let own = |steps: &[(char, u32)]| {
            (steps.iter().map(|step| step.1).sum::<u32>(), steps.iter().map(|step| step.1).max())
        };
        let ((noise, most), (word_noise, word_most)) = (own(&found), own(&word));
        let same = found.iter().map(|step| step.0).eq(word.iter().map(|step| step.0));
        (same && noise <= word_noise + 8 && most <= word_most.map(|most| most + 4)).then_some(end)
    }

    const OPTIONS: [Normalisation; 4] = [
        Normalisation { width: true, case: true, zero_width: true, noise: true },
        Normalisation { width: true, case: false, zero_width: true, noise: false },
        Normalisation { width: false, case: true, zero_width: false, noise: true },
        Normalisation::EXACT,
    ];

    proptest::proptest! {
        #[test]
        fn agrees_with_the_reference(
            text in "([保本险aAＡbİß]|[保本险aAＡbİß]|[. 🎉　①]|\u{200B}|\n){0,40}",
            words in proptest::collection::vec(("[保本险aAＡbß. \u{200B}]{1,6}", 0..4_usize), 0..8),
        ) {
            let lists: Vec<WordList<'_>> = OPTIONS.iter().enumerate().map(|(at, options)| {
                let mine = words.iter().filter(|word| word.1 == at && check_word(&word.0, *options).is_ok());
                WordList { normalisation: *options, words: mine.map(|word| word.0.as_str()).collect() }
            }).collect();
            let mut hits = Vec::new();
            PlainMatcher::compile(&lists).unwrap().find(&text, &mut MatchScratch::default(), &mut |hit| {
                hits.push(hit);
                ControlFlow::Continue(())
            });
            let mut expected = reference(&lists, &text);
            for hit in &hits {
                let list = &lists[hit.list as usize];
                let slice: String = text.chars().skip(hit.start as usize).take((hit.end - hit.start) as usize).collect();
                let word = Folded::of(list.words[hit.word as usize], list.normalisation);
                let slice = Folded::of(&slice, list.normalisation);
                proptest::prop_assert_eq!(slice.text(), word.text());
            }
            hits.sort_unstable();
            expected.sort_unstable();
            proptest::prop_assert_eq!(hits, expected);
        }

        #[test]
        fn any_text_can_be_searched(text: String, word: String) {
            let lists = [WordList { normalisation: Normalisation::default(), words: vec!["保本", "ab"] }];
            PlainMatcher::compile(&lists).unwrap().find(&text, &mut MatchScratch::default(), &mut |_| ControlFlow::Continue(()));
            let _ = check_word(&word, Normalisation::default());
        }
    }
}
