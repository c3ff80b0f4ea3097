//! What text of a message may leave the device: nothing, the hit with its surroundings masked, or a little context.
//!
//! Names cannot be recognised reliably in Chinese chat, and a number or an id can be written in any disguise. So `masked` masks everything
//! around the hits that is not white space or punctuation: letters, digits, Han characters, symbols, emoji. Each run becomes one `＊`,
//! so its length is hidden too.
//!
//! What a validator finds is a secret: of a number or address only the ends are shown, whatever the degree.

use std::ops::Range;

use crate::normalise::{is_line_break, is_zero_width};
use crate::rules::Disclose;

/// A hit in one text, in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// First character.
    pub start: u32,
    /// Behind the last character.
    pub end: u32,
}

/// Characters of a `context` excerpt, the hit included.
pub const CONTEXT_CHARS_MAX: usize = 80;
/// Characters on each side of the hit that a `masked` excerpt looks at.
pub const MASKED_SIDE_CHARS_MAX: usize = 40;
/// Characters of any excerpt: a `masked` one has a hit (cut at 80) and two sides. At most four bytes each.
pub const EXCERPT_CHARS_MAX: usize = CONTEXT_CHARS_MAX + 2 * MASKED_SIDE_CHARS_MAX;

/// A secret of so many characters still hides its middle when its ends are shown; the shortest number has eleven.
const LONG_SECRET_CHARS: usize = 11;

/// The lesser of what the rule and the device allow.
#[must_use]
pub fn effective(rule: Disclose, ceiling: Disclose) -> Disclose {
    rule.min(ceiling)
}

/// The excerpt around the first of `hits`, all in `text`, with the middle of every one of `secrets` masked. `None` at degree `none` and
/// without a hit that lies in the text.
/// Control characters become spaces and invisible ones are left out, so that nothing shown can be reordered or hidden.
#[must_use]
pub fn excerpt(degree: Disclose, text: &str, hits: &[Span], secrets: &[Span]) -> Option<String> {
    let first = *hits.iter().min()?;
    let (start, end) = (
        first.start as usize,
        (first.end as usize).min(first.start as usize + CONTEXT_CHARS_MAX).min(text.chars().count()),
    );
    if start >= end {
        return None;
    }
    let (from, to) = match degree {
        Disclose::None => return None,
        Disclose::Masked => (start.saturating_sub(MASKED_SIDE_CHARS_MAX), end + MASKED_SIDE_CHARS_MAX),
        Disclose::Context => context(start, end),
    };
    let window: Vec<(usize, char)> = text.chars().enumerate().skip(from).take(to - from).collect();
    let hidden = hidden(secrets);
    let is_hit = |at: usize| hits.iter().any(|hit| (hit.start as usize..hit.end as usize).contains(&at));
    Some(masked(&window, |at, c| {
        let shown = degree == Disclose::Context || is_hit(at) || is_plain(c);
        shown && !hidden.iter().any(|range| range.contains(&at))
    }))
}

/// Characters of secrets that are not shown: all but three at the front and two at the end of long ones, all but the first of short ones. Secrets
/// that overlap are one.
fn hidden(secrets: &[Span]) -> Vec<Range<usize>> {
    let mut sorted = secrets.to_vec();
    sorted.sort_unstable();
    let mut joined: Vec<Range<usize>> = Vec::new();
    for span in sorted {
        let range = span.start as usize..span.end as usize;
        match joined.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => joined.push(range),
        }
    }
    let middle = |range: Range<usize>| {
        let (front, back) = if range.len() >= LONG_SECRET_CHARS { (3, 2) } else { (1, 0) };
        range.start + front..range.end - back
    };
    joined.into_iter().filter(|range| !range.is_empty()).map(middle).collect()
}

/// A window of [`CONTEXT_CHARS_MAX`] with the hit in the middle; what the left side does not need goes to the right.
fn context(start: usize, end: usize) -> (usize, usize) {
    let spare = CONTEXT_CHARS_MAX.saturating_sub(end - start);
    let from = start.saturating_sub(spare / 2);
    (from, from + CONTEXT_CHARS_MAX)
}

fn masked(window: &[(usize, char)], is_shown: impl Fn(usize, char) -> bool) -> String {
    let mut out = String::new();
    let mut hidden = false;
    for (at, c) in window {
        let Some(c) = shown(*c) else { continue };
        if is_shown(*at, c) {
            out.push(c);
            hidden = false;
        } else if !hidden {
            out.push('＊');
            hidden = true;
        }
    }
    out
}

fn shown(c: char) -> Option<char> {
    if is_zero_width(c) {
        None
    } else if c.is_control() || is_line_break(c) {
        Some(' ')
    } else {
        Some(c)
    }
}

/// White space and punctuation that carry no content. A list of what is allowed, not of what is hidden.
fn is_plain(c: char) -> bool {
    c.is_whitespace()
        || c.is_ascii_punctuation()
        || matches!(c, '\u{3001}'..='\u{3003}' | '\u{3008}'..='\u{3011}' | '\u{3014}'..='\u{301B}' | '\u{2010}'..='\u{2027}'
            | '\u{FF01}'..='\u{FF0F}' | '\u{FF1A}'..='\u{FF20}' | '\u{FF3B}'..='\u{FF40}' | '\u{FF5B}'..='\u{FF65}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hit(text: &str, word: &str) -> Span {
        let start = text[..text.find(word).unwrap()].chars().count() as u32;
        Span { start, end: start + word.chars().count() as u32 }
    }

    #[test]
    fn degrees() {
        let text = "张伟13800001234您好，这款产品保本保收益🎉，加vx: abcd_1";
        let hits = [hit(text, "保本保收益")];
        assert_eq!(excerpt(Disclose::None, text, &hits, &[]), None);
        assert_eq!(excerpt(Disclose::Masked, text, &hits, &[]).unwrap(), "＊，＊保本保收益＊，＊: ＊_＊");
        assert_eq!(excerpt(Disclose::Context, text, &hits, &[]).unwrap(), text);
    }

    #[test]
    fn masked_shows_every_hit_and_nothing_else_readable() {
        let text = "① Ⅳ 王五 wang@x.cn 零风险 和 稳赚不赔 ₁₂ 〇一";
        let shown = excerpt(Disclose::Masked, text, &[hit(text, "稳赚不赔"), hit(text, "零风险")], &[]).unwrap();
        assert_eq!(shown, "＊ ＊ ＊ ＊@＊.＊ 零风险 ＊ 稳赚不赔 ＊ ＊");
    }

    #[test]
    fn secrets_show_their_ends_only() {
        let text = "保本，电话138 0000 1234或13900001234，邮箱ab@x.cn";
        let promise = [hit(text, "保本")];
        let secrets = [hit(text, "138 0000 1234"), hit(text, "13900001234"), hit(text, "ab@x.cn")];
        let shown = |degree, hits: &[Span]| excerpt(degree, text, hits, &secrets).unwrap();
        assert_eq!(shown(Disclose::Context, &promise), "保本，电话138＊34或139＊34，邮箱a＊");
        // A hit that is a secret, and one that holds a secret, are no reason to show it.
        assert_eq!(shown(Disclose::Masked, &secrets), "＊，＊138＊34＊139＊34，＊a＊");
        assert_eq!(shown(Disclose::Masked, &[hit(text, "电话138 0000 1234或")]), "＊，电话138＊34或＊，＊");
    }

    #[test]
    fn overlapping_secrets_are_one() {
        let text = "622202138000012345678";
        let secrets = [Span { start: 0, end: 19 }, Span { start: 6, end: 17 }, Span { start: 16, end: 21 }];
        assert_eq!(excerpt(Disclose::Context, text, &[secrets[0]], &secrets).unwrap(), "622＊78");
        let inner = [secrets[0], secrets[1], Span { start: 5, end: 5 }];
        assert_eq!(
            excerpt(Disclose::Context, text, &[secrets[0]], &inner).unwrap(),
            "622＊5678",
            "an empty one hides nothing"
        );
    }

    #[test]
    fn windows_are_bounded_and_centred() {
        let text = format!("{}零风险{}", "前".repeat(500), "后".repeat(500));
        let hits = [hit(&text, "零风险")];
        let context = excerpt(Disclose::Context, &text, &hits, &[]).unwrap();
        assert_eq!(context.chars().count(), 80);
        assert_eq!(context.chars().filter(|c| *c == '前').count(), 38);
        let long = [Span { start: 0, end: 1_000 }];
        for degree in [Disclose::Masked, Disclose::Context] {
            let excerpt = excerpt(degree, &text, &long, &[]).unwrap();
            assert!(excerpt.chars().count() <= EXCERPT_CHARS_MAX, "{degree}");
        }
    }

    #[test]
    fn spans_outside_the_text_give_nothing() {
        for span in [Span { start: 3, end: 4 }, Span { start: 1, end: 1 }, Span { start: 2, end: 1 }] {
            assert_eq!(excerpt(Disclose::Context, "abc", &[span], &[]), None, "{span:?}");
        }
        assert_eq!(excerpt(Disclose::Context, "abc", &[], &[]), None);
        assert_eq!(excerpt(Disclose::Context, "abc", &[Span { start: 2, end: u32::MAX }], &[]).unwrap(), "abc");
    }

    #[test]
    fn nothing_invisible_is_shown() {
        let text = "a\u{202E}零风险\u{200B}\r\nb";
        assert_eq!(excerpt(Disclose::Context, text, &[hit(text, "零风险")], &[]).unwrap(), "a零风险  b");
    }

    #[test]
    fn the_lesser_degree_wins() {
        assert_eq!(effective(Disclose::Context, Disclose::Masked), Disclose::Masked);
        assert_eq!(effective(Disclose::None, Disclose::Context), Disclose::None);
    }
}
