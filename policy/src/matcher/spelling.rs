//! The spellings of a word: itself, with aliases, with characters taken apart, by sound. Each is folded in one of a few ways, and all
//! spellings folded the same way share an automaton.

use crate::normalise::{Folded, Normalisation, Step, fold, is_syllable};

use super::words::Origin;
use super::{SYLLABLES_MIN, WORD_CHARS_MAX, WordError, WordOptions, aliases, splits};

/// Spellings made of one word by replacing parts of it, so that a word full of replaceable parts stays affordable.
const SPELLINGS_MAX: usize = 128;

/// How a text is folded for a group of spellings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Folding {
    /// As the list asks.
    Text(Normalisation),
    /// As the list asks, but the symbols that aliases are written with (❤, ➕) are kept.
    Symbols(Normalisation),
    /// As syllables.
    Syllables,
}

impl Folding {
    /// Folds a text; `plain` is a buffer.
    pub(super) fn fold(self, text: &str, folded: &mut Folded, plain: &mut Folded) {
        match self {
            Self::Text(normalisation) => folded.fold(text, normalisation, &[]),
            Self::Symbols(normalisation) => folded.fold(text, normalisation, aliases::symbols()),
            Self::Syllables => folded.fold_to_syllables(text, plain),
        }
    }

    /// What becomes of a single character.
    pub(super) fn step(self, c: char) -> Step {
        match self {
            Self::Text(normalisation) => fold(c, normalisation, &[]),
            Self::Symbols(normalisation) => fold(c, normalisation, aliases::symbols()),
            Self::Syllables => fold(c, Normalisation::default(), &[]),
        }
    }

    /// Whether a text can hold anything that other ways of folding would not find as well: without a kept symbol there is no spelling with one.
    pub(super) fn can_matter(self, text: &str) -> bool {
        !matches!(self, Self::Symbols(_)) || text.contains(is_symbol)
    }
}

/// One way to write a word.
pub(super) struct Spelling {
    pub(super) folding: Folding,
    pub(super) origin: Origin,
    pub(super) text: String,
}

/// A part of a word and what may stand in its place.
struct Part<'a> {
    text: &'a str,
    instead: Vec<&'a str>,
}

/// Checks that a word can be searched for; `folded` is a buffer.
pub(super) fn check(
    word: &str,
    normalisation: Normalisation,
    options: WordOptions,
    folded: &mut Folded,
) -> Result<(), WordError> {
    folded.fold(word, normalisation, &[]);
    check_folded(folded)?;
    if options.pinyin && !has_sound(word) {
        return Err(WordError::TooShortForPinyin);
    }
    Ok(())
}

/// All other spellings of a word that passed [`check`]; `buffer` is a buffer.
pub(super) fn other_spellings(
    word: &str,
    normalisation: Normalisation,
    options: WordOptions,
    buffer: &mut Folded,
) -> Vec<Spelling> {
    let mut all = Vec::new();
    let mut add = |origin, texts: Vec<String>| {
        for text in texts {
            let symbols = origin == Origin::Alias && text.chars().any(is_symbol);
            let folded = folded(&text, normalisation, symbols);
            if check_folded(&folded).is_ok() && !is_abbreviation(&folded) {
                let folding = if symbols { Folding::Symbols(normalisation) } else { Folding::Text(normalisation) };
                all.push(Spelling { folding, origin, text });
            }
        }
    };
    if options.aliases {
        add(Origin::Alias, replaced(&with_aliases(word, normalisation, buffer)));
    }
    if options.split {
        add(Origin::Split, replaced(&taken_apart(word)));
    }
    if options.pinyin {
        all.push(Spelling { folding: Folding::Syllables, origin: Origin::Sound, text: word.to_owned() });
    }
    all
}

fn check_folded(folded: &Folded) -> Result<(), WordError> {
    match folded.occurrences() {
        0 => Err(WordError::FoldsToNothing),
        1 => Err(WordError::SingleCharacter),
        chars if chars > WORD_CHARS_MAX => Err(WordError::TooLong),
        _ if folded.text().contains('\n') => Err(WordError::LineBreak),
        _ => Ok(()),
    }
}

/// Whether a spelling is two letters and nothing else: `fp` stands for 发票 inside a phrase, and for anything alone.
fn is_abbreviation(folded: &Folded) -> bool {
    folded.occurrences() <= 2 && folded.text().is_ascii()
}

fn folded(text: &str, normalisation: Normalisation, symbols: bool) -> Folded {
    let mut folded = Folded::default();
    folded.fold(text, normalisation, if symbols { aliases::symbols() } else { &[] });
    folded
}

/// Whether an alias is written with this character although folding would skip it.
fn is_symbol(c: char) -> bool {
    aliases::symbols().binary_search(&c).is_ok()
}

/// Whether a word is long enough, and of Han characters only, to be found by sound.
fn has_sound(word: &str) -> bool {
    let mut folded = Folded::default();
    folded.fold_to_syllables(word, &mut Folded::default());
    folded.occurrences() >= SYLLABLES_MIN && folded.text().chars().all(is_syllable)
}

/// The word cut at the terms of the alias dictionary, from left to right; nothing when it has none.
fn with_aliases<'a>(word: &'a str, normalisation: Normalisation, folded: &mut Folded) -> Vec<Part<'a>> {
    folded.fold(word, Normalisation { repeats: false, ..normalisation }, &[]);
    let text = folded.text();
    let mut parts = Vec::new();
    let (mut at, mut done) = (0, 0);
    while at < text.len() {
        let found = aliases::term_at(&text[at..]);
        let place = found.and_then(|(term, _)| bytes_of(word, folded, at..at + term.len()));
        match (found, place) {
            (Some((term, instead)), Some(place)) => {
                parts.push(Part { text: &word[done..place.start], instead: Vec::new() });
                parts.push(Part { text: &word[place.clone()], instead: instead.to_vec() });
                done = place.end;
                at += term.len();
            }
            _ => at += text[at..].chars().next().map_or(1, char::len_utf8),
        }
    }
    if !parts.is_empty() {
        parts.push(Part { text: &word[done..], instead: Vec::new() });
    }
    parts
}

/// The bytes of the original word behind a byte range of its folding.
fn bytes_of(word: &str, folded: &Folded, bytes: std::ops::Range<usize>) -> Option<std::ops::Range<usize>> {
    let chars = folded.chars_of(bytes)?;
    let (first, last) = (folded.occurrence(chars.start)?, folded.occurrence(chars.end - 1)?);
    let byte = |char: u32| word.char_indices().nth(char as usize).map_or(word.len(), |(byte, _)| byte);
    Some(byte(first.start)..byte(last.end))
}

/// The word cut at the characters that can be taken apart.
fn taken_apart(word: &str) -> Vec<Part<'_>> {
    word.char_indices()
        .map(|(byte, c)| {
            let simplified = match fold(c, Normalisation::default(), &[]) {
                Step::Keep(folded) => folded,
                _ => c,
            };
            Part { text: &word[byte..byte + c.len_utf8()], instead: splits::of(simplified).into_iter().collect() }
        })
        .collect()
}

/// All texts with at least one part replaced, few replacements first, at most [`SPELLINGS_MAX`].
fn replaced(parts: &[Part<'_>]) -> Vec<String> {
    // Each round replaces one part more; a draft remembers behind which part it may go on.
    let mut texts = Vec::new();
    let mut drafts: Vec<(usize, Vec<&str>)> = vec![(0, parts.iter().map(|part| part.text).collect())];
    while !drafts.is_empty() && texts.len() < SPELLINGS_MAX {
        let mut next = Vec::new();
        for (from, draft) in &drafts {
            for (at, part) in parts.iter().enumerate().skip(*from) {
                for instead in &part.instead {
                    if texts.len() + next.len() >= SPELLINGS_MAX {
                        break;
                    }
                    let mut spelled = draft.clone();
                    spelled[at] = instead;
                    next.push((at + 1, spelled));
                }
            }
        }
        texts.extend(next.iter().map(|(_, spelled)| spelled.concat()));
        drafts = next;
    }
    texts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_replaced_one_by_one_and_together() {
        let parts = [
            Part { text: "a", instead: vec!["A"] },
            Part { text: "-", instead: vec![] },
            Part { text: "b", instead: vec!["B", "ß"] },
        ];
        assert_eq!(replaced(&parts), ["A-b", "a-B", "a-ß", "A-B", "A-ß"]);
        assert!(replaced(&[]).is_empty());
    }

    #[test]
    fn a_word_full_of_terms_stays_affordable() {
        let word = "微信".repeat(30);
        let (normalisation, options) = (Normalisation::default(), WordOptions::default());
        assert_eq!(other_spellings(&word, normalisation, options, &mut Folded::default()).len(), SPELLINGS_MAX);
    }

    #[test]
    fn terms_are_found_in_their_folded_form() {
        let texts = |word| -> Vec<String> {
            replaced(&with_aliases(word, Normalisation::default(), &mut Folded::default()))
                .into_iter()
                .filter(|text| text.contains("vx"))
                .collect()
        };
        assert_eq!(texts("找我微 信号"), ["找我vx号", "找我vxin号"]);
    }
}
