//! Text as toneless syllables of Mandarin, for phrases that are written by sound: 家我薇信, jia wo weixin, 加wo微x.
//!
//! A Han character becomes its syllable in its most common reading; a run of Latin letters becomes syllables when it can be cut into
//! them whole, and stays letters otherwise. A syllable is one character of a private plane, so that the ordinary automaton matches it.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use pinyin::ToPinyin;

/// The first of the characters that stand for syllables; text cannot contain them unfolded without being noise.
const FIRST: u32 = 0xF_0000;
/// Longest run of letters that is cut: 加我私人微信 spelled out has 18.
const LETTERS_MAX: usize = 64;
/// Letters of the longest syllable, `zhuang`.
const SYLLABLE_LETTERS_MAX: usize = 6;

/// The syllable of a Han character in its most common reading.
pub(crate) fn of_han(c: char) -> Option<char> {
    of_letters(&plain(c)?)
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

fn plain(c: char) -> Option<String> {
    // `ü` is typed as `v`.
    Some(c.to_pinyin()?.plain().replace('ü', "v"))
}

fn of_letters(letters: &str) -> Option<char> {
    static SYLLABLES: OnceLock<BTreeMap<String, char>> = OnceLock::new();
    SYLLABLES.get_or_init(syllables).get(letters).copied()
}

/// All syllables that a common character is read as. A lone vowel or consonant is none: any letter would be one.
fn syllables() -> BTreeMap<String, char> {
    let readings = ('\u{4E00}'..='\u{9FA5}')
        .filter_map(plain)
        .filter(|letters| letters.len() > 1 || letters == "e" || letters == "a");
    let distinct: std::collections::BTreeSet<String> =
        readings.filter(|letters| letters.bytes().all(|b| b.is_ascii_lowercase())).collect();
    (FIRST..).zip(distinct).filter_map(|(at, letters)| Some((letters, char::from_u32(at)?))).collect()
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
