//! The folding of one character. Everything else in this crate that folds asks here, so that text, words and the tables of the
//! fast matcher cannot differ.

use std::sync::OnceLock;

use unicode_normalization::char::is_combining_mark;

use super::{Normalisation, is_line_break, is_zero_width, variants};

/// What becomes of one character.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// One folded character.
    Keep(char),
    /// Several folded characters, at least two (`⑩` → `10`).
    Several(Vec<char>),
    /// A character that may stand between those of a word, within limits.
    Noise,
    /// A character nobody sees: skipped without limit, and a mark of disguise.
    Hidden,
}

/// Folds a character. `symbols` are kept although they are noise.
pub(crate) fn fold(c: char, normalisation: Normalisation, symbols: &[char]) -> Step {
    if symbols.contains(&c) {
        return Step::Keep(c);
    }
    if is_default(normalisation) { by_default(c) } else { normalisation.step(c) }
}

/// Repeats are no matter of single characters.
fn is_default(normalisation: Normalisation) -> bool {
    Normalisation { repeats: true, ..normalisation } == Normalisation::default()
}

/// The short way for nearly all characters of nearly all texts: those of which the folding that is on by default keeps one.
pub(crate) struct Usual(&'static [u16]);

impl Usual {
    /// For the folding that is on by default, and no other.
    pub(crate) fn of(normalisation: Normalisation, symbols: &[char]) -> Option<Self> {
        (is_default(normalisation) && symbols.is_empty()).then(|| Self(DEFAULT.get_or_init(default_table)))
    }

    /// The one character kept; `None` when it takes [`fold`] to tell.
    #[inline(always)]
    pub(crate) fn kept(&self, c: char) -> Option<char> {
        let folded = self.0.get(u32::from(c) as usize).copied().filter(|folded| *folded > OTHER)?;
        char::from_u32(u32::from(folded))
    }
}

/// The folding that is on by default, by table.
fn by_default(c: char) -> Step {
    let Ok(unit) = u16::try_from(u32::from(c)) else { return beyond_bmp(c) };
    match DEFAULT.get_or_init(default_table).get(usize::from(unit)).copied() {
        Some(NOISE) => Step::Noise,
        Some(HIDDEN) => Step::Hidden,
        Some(folded) if folded != OTHER => char::from_u32(u32::from(folded)).map_or(Step::Noise, Step::Keep),
        _ => Normalisation::default().step(c),
    }
}

/// Emoji are most of what lies here, and need no thought.
fn beyond_bmp(c: char) -> Step {
    if ('\u{1F300}'..='\u{1FAFF}').contains(&c) { Step::Noise } else { Normalisation::default().step(c) }
}

/// Nothing folds to something that folds further more often than twice; a test looks at every character.
const SPELL_ROUNDS_MAX: usize = 3;

/// By code point of the basic plane: the folded character, or one of these. None of them is the folding of anything; [`OTHER`] is the greatest.
static DEFAULT: OnceLock<Vec<u16>> = OnceLock::new();
const NOISE: u16 = 0;
const HIDDEN: u16 = 1;
/// Several characters, or one outside the basic plane.
const OTHER: u16 = 2;

fn default_table() -> Vec<u16> {
    let fold = |unit: u32| match char::from_u32(unit).map(|c| Normalisation::default().step(c)) {
        None | Some(Step::Noise) => NOISE,
        Some(Step::Hidden) => HIDDEN,
        Some(Step::Keep(folded)) => u16::try_from(u32::from(folded)).unwrap_or(OTHER),
        Some(Step::Several(_)) => OTHER,
    };
    (0..0x1_0000).map(fold).collect()
}

impl Normalisation {
    /// The definition of folding, character by character.
    fn step(self, c: char) -> Step {
        if is_line_break(c) {
            return Step::Keep('\n');
        }
        if self.zero_width && (is_zero_width(c) || is_combining_mark(c)) {
            return Step::Hidden;
        }
        if is_zero_width(c) || is_combining_mark(c) {
            return Step::Keep(c);
        }
        let mut kept = self.spell(c);
        // The lower case of a look-alike may look alike again.
        for _ in 0..SPELL_ROUNDS_MAX {
            let again: Vec<char> = kept.iter().flat_map(|c| self.spell(*c)).collect();
            if again == kept {
                break;
            }
            kept = again;
        }
        match kept[..] {
            [] => Step::Noise,
            [only] => Step::Keep(only),
            _ => Step::Several(kept),
        }
    }

    fn spell(self, c: char) -> Vec<char> {
        let mut kept = Vec::new();
        if self.variants && !c.is_ascii() && !is_full_width(c) {
            variants::spell(c, &mut |part| self.keep(part, &mut kept));
        } else {
            self.keep(c, &mut kept);
        }
        kept
    }

    /// Folds one character of a variant's spelling; noise and marks in it (the brackets of `㈠`) are dropped.
    fn keep(self, c: char, kept: &mut Vec<char>) {
        let c = if self.width { narrow(c) } else { c };
        let c = if self.script { simplified(c) } else { c };
        let c = self.variants.then(|| variants::numeral(c)).flatten().unwrap_or(c);
        if self.noise && !c.is_alphanumeric() || self.zero_width && is_combining_mark(c) {
            return;
        }
        if self.case {
            kept.extend(c.to_lowercase().filter(|c| !self.zero_width || !is_combining_mark(*c)));
        } else {
            kept.push(c);
        }
    }
}

/// Whether a character is a Chinese numeral, which folds to a digit but is a word of everyday talk as well.
pub(crate) fn is_chinese_numeral(c: char) -> bool {
    !c.is_ascii() && variants::numeral(simplified(c)).is_some()
}

fn is_full_width(c: char) -> bool {
    matches!(c, '\u{FF01}'..='\u{FF5E}' | '\u{3000}')
}

fn narrow(c: char) -> char {
    match c {
        '\u{FF01}'..='\u{FF5E}' => char::from_u32(u32::from(c) - 0xFEE0).unwrap_or(c),
        '\u{3000}' => ' ',
        other => other,
    }
}

/// The simplified form of a traditional character.
fn simplified(c: char) -> char {
    static SIMPLIFIED: &[(char, char)] = include!(concat!(env!("OUT_DIR"), "/simplified.rs"));
    let found = SIMPLIFIED.binary_search_by_key(&c, |pair| pair.0).ok();
    found.and_then(|at| SIMPLIFIED.get(at)).map_or(c, |pair| pair.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_says_what_the_definition_says() {
        for c in '\0'..=char::MAX {
            assert_eq!(by_default(c), Normalisation::default().step(c), "{c:?} U+{:04X}", u32::from(c));
        }
    }

    #[test]
    fn folding_again_changes_nothing() {
        for c in '\0'..=char::MAX {
            let folded = match by_default(c) {
                Step::Keep(folded) => vec![folded],
                Step::Several(folded) => folded,
                Step::Noise | Step::Hidden => continue,
            };
            for folded in folded {
                assert_eq!(by_default(folded), Step::Keep(folded), "{c:?} U+{:04X}", u32::from(c));
            }
        }
    }
}
