//! Text as toneless syllables of Mandarin, for phrases that are written by sound: 家我薇信, jia wo weixin, 加wo微x.
//!
//! A Han character becomes its syllable in its most common reading; a run of Latin letters becomes syllables when it can be cut into
//! them whole, and stays letters otherwise. A syllable is one character of a private plane, so that the ordinary automaton matches it.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::sync::OnceLock;

use pinyin::ToPinyin;

use super::{Normalisation, Step, fold};

/// The first of the characters that stand for syllables; text cannot contain them unfolded without being noise.
const FIRST: u32 = 0xF_0000;
/// The Han characters that are read by table.
const COMMON: RangeInclusive<char> = '\u{4E00}'..='\u{9FA5}';
/// Longest run of letters that is cut: 加我私人微信 spelled out has 18.
const LETTERS_MAX: usize = 64;
/// Letters of the longest syllable, `zhuang`.
const SYLLABLE_LETTERS_MAX: usize = 6;

/// The syllable of a Han character in its most common reading.
pub(crate) fn of_han(c: char) -> Option<char> {
    static READINGS: OnceLock<Vec<Option<char>>> = OnceLock::new();
    let read = |c: char| of_letters(&plain(c)?);
    let common = || COMMON.map(read).collect();
    match u32::from(c).checked_sub(u32::from(*COMMON.start())) {
        Some(at) if COMMON.contains(&c) => READINGS.get_or_init(common).get(at as usize).copied().flatten(),
        // Kana, letters and rare characters.
        _ => read(c),
    }
}

/// Whether a folded character stands for a syllable.
pub(crate) fn is_syllable(c: char) -> bool {
    u32::from(c) >= FIRST
}

/// Cuts a run of lower-case letters into syllables, longest first; `None` when it is not made of whole syllables.
/// With each syllable comes its number of letters.
pub(crate) fn cut(letters: &str) -> Option<Vec<(char, usize)>> {
    if letters.len() > LETTERS_MAX || !letters.bytes().all(|b| b.is_ascii_lowercase()) {
        return None;
    }
    // From the end: how the rest is best cut at each place.
    let mut best: Vec<Option<(char, usize)>> = vec![None; letters.len()];
    for at in (0..letters.len()).rev() {
        best[at] = (1..=SYLLABLE_LETTERS_MAX.min(letters.len() - at)).rev().find_map(|len| {
            let rest_is_cut = at + len == letters.len() || best[at + len].is_some();
            Some((of_letters(&letters[at..at + len])?, len)).filter(|_| rest_is_cut)
        });
    }
    let mut syllables = Vec::new();
    let mut at = 0;
    while at < letters.len() {
        let (syllable, len) = best[at]?;
        syllables.push((syllable, len));
        at += len;
    }
    Some(syllables)
}

/// Whether a run of Latin letters in a text becomes syllables.
pub(crate) fn spells(text: &str) -> bool {
    let mut run = String::new();
    let is_cut = |run: &str| cut(run).is_some_and(|syllables| !syllables.is_empty());
    for c in text.chars() {
        match fold(c, Normalisation::default(), &[]) {
            Step::Keep(letter) if letter.is_ascii_lowercase() => run.push(letter),
            Step::Hidden => {}
            Step::Keep(_) | Step::Several(_) | Step::Noise if is_cut(&run) => return true,
            Step::Keep(_) | Step::Several(_) | Step::Noise => run.clear(),
        }
    }
    is_cut(&run)
}

fn plain(c: char) -> Option<String> {
    // `ü` is typed as `v`.
    Some(c.to_pinyin()?.plain().replace('ü', "v"))
}

fn of_letters(letters: &str) -> Option<char> {
    static SYLLABLES: OnceLock<Vec<(u32, char)>> = OnceLock::new();
    let syllables = SYLLABLES.get_or_init(syllables);
    let at = syllables.binary_search_by_key(&packed(letters)?, |(letters, _)| *letters).ok()?;
    syllables.get(at).map(|(_, syllable)| *syllable)
}

/// Up to six lower-case letters as one number.
fn packed(letters: &str) -> Option<u32> {
    let fits = (1..=SYLLABLE_LETTERS_MAX).contains(&letters.len());
    (fits && letters.bytes().all(|b| b.is_ascii_lowercase()))
        .then(|| letters.bytes().fold(0, |packed, b| packed << 5 | u32::from(b & 0x1F)))
}

/// All syllables that a common character is read as. A lone vowel or consonant is none: any letter would be one.
fn syllables() -> Vec<(u32, char)> {
    let readings = COMMON.filter_map(plain).filter(|letters| letters.len() > 1 || letters == "e" || letters == "a");
    let distinct: BTreeSet<String> = readings.collect();
    let packed = distinct.iter().filter_map(|letters| packed(letters));
    let mut syllables: Vec<(u32, char)> =
        packed.zip(FIRST..).filter_map(|(letters, at)| Some((letters, char::from_u32(at)?))).collect();
    syllables.sort_unstable();
    syllables
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letters(run: &str) -> Option<Vec<usize>> {
        cut(run).map(|syllables| syllables.into_iter().map(|syllable| syllable.1).collect())
    }

    #[test]
    fn runs_of_letters_are_cut_into_whole_syllables() {
        for (run, expected) in [
            ("weixin", Some(vec![3, 3])),
            ("jiawoweixin", Some(vec![3, 2, 3, 3])),
            ("xian", Some(vec![4])),
            // The longest first syllable leaves `g`, so it is given up.
            ("fangan", Some(vec![4, 2])),
            ("lv", Some(vec![2])),
            ("wechat", None),
            ("x", None),
        ] {
            assert_eq!(letters(run), expected, "{run}");
        }
        assert_eq!(cut(&"wo".repeat(100)), None);
    }

    #[test]
    fn characters_of_one_sound_are_one_syllable() {
        assert_eq!(of_han('微'), of_han('薇'));
        assert_eq!(cut("wei").unwrap()[0].0, of_han('威').unwrap());
        assert_ne!(of_han('微'), of_han('信'));
        assert_eq!(of_han('a'), None);
        // ü is typed v.
        assert_eq!(of_han('吕'), Some(cut("lv").unwrap()[0].0));
    }
}
