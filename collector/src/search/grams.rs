//! Texts as terms: what an excerpt is found by.
//!
//! Chinese has no spaces, so every two neighbouring characters are a term; Latin words and numbers are terms as they stand. Both the
//! excerpt and what is asked for are folded first, as the rules fold them: width, case, script, variants, hidden characters. Inserted
//! signs are not skipped: a term never crosses one.

use std::collections::BTreeSet;

use watchpost_policy::normalise::{Folded, Normalisation};

const FOLDING: Normalisation = Normalisation {
    width: true,
    case: true,
    script: true,
    variants: true,
    zero_width: true,
    noise: false,
    repeats: false,
};
/// Characters of a text that are looked at; no excerpt has more.
const TEXT_CHARS_MAX: usize = 256;
/// Bytes of one word; what follows does not tell words apart.
const WORD_BYTES_MAX: usize = 32;

/// A text as it is compared.
#[must_use]
pub fn fold(text: &str) -> String {
    let end = text.char_indices().nth(TEXT_CHARS_MAX).map_or(text.len(), |(at, _)| at);
    Folded::of(text.get(..end).unwrap_or_default(), FOLDING).text().to_owned()
}

/// Every term of a folded text, once.
#[must_use]
pub fn terms(folded: &str) -> BTreeSet<String> {
    let mut terms = BTreeSet::new();
    for run in runs(folded) {
        words_and_pairs(run, &mut terms);
        // So that a character is found by what begins with it, also where it is the last.
        terms.extend(run.chars().last().filter(|last| !last.is_ascii()).map(String::from));
    }
    terms
}

/// What is looked for in texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Phrase {
    folded: String,
    /// Terms a text must have.
    terms: BTreeSet<String>,
    /// Characters it must have, each alone.
    single: BTreeSet<char>,
}

impl Phrase {
    /// `None` where there is nothing to look for.
    #[must_use]
    pub fn of(text: &str) -> Option<Self> {
        let folded = fold(text).trim().to_owned();
        let (mut terms, mut single) = (BTreeSet::new(), BTreeSet::new());
        for run in runs(&folded) {
            let mut chars = run.chars();
            match (chars.next(), chars.next()) {
                (Some(only), None) if !only.is_ascii() => drop(single.insert(only)),
                _ => words_and_pairs(run, &mut terms),
            }
        }
        (!terms.is_empty() || !single.is_empty()).then_some(Self { folded, terms, single })
    }

    /// Whether a folded text says it.
    #[must_use]
    pub fn is_in(&self, folded: &str) -> bool {
        folded.contains(&self.folded) && self.terms.is_subset(&terms(folded))
    }

    /// As the index is asked.
    pub(super) fn asked(&self) -> String {
        let terms = self.terms.iter().map(|term| format!("\"{term}\""));
        let single = self.single.iter().map(|single| format!("\"{single}\"*"));
        terms.chain(single).collect::<Vec<_>>().join(" AND ")
    }

    /// Whether a text that has the terms may not say it.
    pub(super) fn is_more_than_its_terms(&self) -> bool {
        let alone = self.terms.len() + self.single.len() == 1;
        let term = self.terms.first().map(String::as_str);
        let single = self.single.first().map(char::to_string);
        !(alone && (term == Some(self.folded.as_str()) || single.as_deref() == Some(self.folded.as_str())))
    }
}

/// Stretches without spaces or signs.
fn runs(folded: &str) -> impl Iterator<Item = &str> {
    folded.split(|c: char| !c.is_alphanumeric()).filter(|run| !run.is_empty())
}

fn words_and_pairs(run: &str, terms: &mut BTreeSet<String>) {
    let words = run.split(|c: char| !c.is_ascii()).filter(|word| !word.is_empty());
    // Ascii alone: any byte is a boundary.
    terms.extend(words.map(|word| word.get(..WORD_BYTES_MAX).unwrap_or(word).to_ascii_lowercase()));
    let pairs = run.chars().zip(run.chars().skip(1)).filter(|(a, b)| !(a.is_ascii() && b.is_ascii()));
    terms.extend(pairs.map(|(a, b)| String::from_iter([a, b])));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_terms_and_words_are_words() {
        let terms: Vec<String> = terms(&fold("產品，ＶＸ abc保本")).into_iter().collect();
        assert_eq!(terms, ["abc", "c保", "vx", "产品", "保本", "品", "本"]);
    }

    #[test]
    fn what_is_said_is_found_and_nothing_else() {
        for (asked, text, expected) in [
            ("保本", "这款产品保本保收益", true),
            ("保本收益", "这款产品保本保收益", false),
            ("本保收", "这款产品保本保收益", true),
            ("保本", "保，本", false),
            ("保", "稳保", true),
            ("保", "保", true),
            ("VX", "加我vx聊", true),
            ("v", "加我vx聊", false),
            ("我vx", "加我ｖｘ聊", true),
            ("vx 聊", "加我vx 聊", true),
            ("vx 聊", "加我vx聊", false),
            ("產品", "产品", true),
            ("第一名", "第一名", true),
        ] {
            let phrase = Phrase::of(asked).unwrap();
            assert_eq!(phrase.is_in(&fold(text)), expected, "{asked} in {text}");
        }
        assert_eq!((Phrase::of(""), Phrase::of(" ，*\"")), (None, None));
    }

    #[test]
    fn one_term_says_all_there_is() {
        for (asked, more) in
            [("保本", false), ("保", false), ("vx", false), ("保本收", true), ("vx保", true), ("vx-1", true)]
        {
            assert_eq!(Phrase::of(asked).unwrap().is_more_than_its_terms(), more, "{asked}");
        }
    }
}
