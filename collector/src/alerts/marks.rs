//! Where the hits stand in an excerpt. A device tells places in the original text, of which an excerpt is a window: invisible
//! characters are left out, the middle of secrets is masked, and in a `masked` one so is everything else.

use std::ops::Range;

use watchpost_policy::excerpt::{CONTEXT_CHARS_MAX, MASKED_SIDE_CHARS_MAX};
use watchpost_policy::validators::Validator;

use super::{Item, ItemHit};

/// What stands for what is masked.
const MASK: char = '＊';
/// A secret of so many characters keeps three in front and two behind, a shorter one its first.
const LONG_SECRET_CHARS: usize = 11;

/// The hits in the excerpt of a finding: ranges of its characters, in order and apart. A hit outside has none.
#[must_use]
pub fn marks(item: &Item) -> Vec<Range<usize>> {
    let text: Vec<char> = item.excerpt.chars().collect();
    let Some(first) = item.hits.first() else { return Vec::new() };
    let mut hits: Vec<&ItemHit> = item.hits.iter().filter(|hit| hit.field == first.field).collect();
    hits.sort_by_key(|hit| (hit.start, hit.end));
    joined(if item.disclose == "context" { in_context(&text, &hits) } else { in_masked(&text, &hits) })
}

/// Pieces of a text: each with whether it is marked.
#[must_use]
pub fn pieces(text: &str, marks: &[Range<usize>]) -> Vec<(String, bool)> {
    let mut pieces: Vec<(String, bool)> = Vec::new();
    for (at, c) in text.chars().enumerate() {
        let is_marked = marks.iter().any(|mark| mark.contains(&at));
        match pieces.last_mut() {
            Some((piece, marked)) if *marked == is_marked => piece.push(c),
            _ => pieces.push((c.to_string(), is_marked)),
        }
    }
    pieces
}

fn in_context(text: &[char], hits: &[&ItemHit]) -> Vec<Range<usize>> {
    let Some(first) = hits.first() else { return Vec::new() };
    let shown = length(first).min(CONTEXT_CHARS_MAX);
    let from = (first.start as usize).saturating_sub((CONTEXT_CHARS_MAX - shown) / 2);
    // Characters before this place that are in the text and not in the excerpt.
    let mut missing = 0;
    let mut marks = Vec::new();
    for hit in hits {
        let Some(expected) = (hit.start as usize).checked_sub(from + missing) else { continue };
        let (start, end) = found(text, hit, expected);
        missing += (expected - start) + length(hit).saturating_sub(end - start);
        marks.push(start..end.min(text.len()));
    }
    marks
}

/// Where a hit that is expected at a place stands: there, or before it where something was left out.
fn found(text: &[char], hit: &ItemHit, expected: usize) -> (usize, usize) {
    let length = length(hit);
    if is_secret(hit) {
        let kept = if length >= LONG_SECRET_CHARS { 6 } else { 2 };
        return (expected, expected + kept);
    }
    let word: Vec<char> = hit.word.chars().collect();
    let is_there = |at: &usize| text.get(*at..at + word.len()).is_some_and(|it| it == word);
    if !word.is_empty() && hit.channel == "exact" && !hit.obfuscated {
        let at = (0..=expected).rev().find(is_there).unwrap_or(expected);
        return (at, at + length);
    }
    let end = (expected + length).min(text.len());
    // Of what was hidden inside nothing is shown: it ends with the last character of the word.
    let last = word.last().filter(|_| hit.obfuscated);
    let cut = last.and_then(|last| (expected..end).rev().find(|at| text.get(*at) == Some(last)));
    (expected, cut.map_or(end, |at| at + 1).max(expected))
}

/// Around the hits of a masked excerpt only signs are shown: what else is shown is of a hit.
fn in_masked(text: &[char], hits: &[&ItemHit]) -> Vec<Range<usize>> {
    let is_shown = |at: &usize| text.get(*at).is_some_and(|c| *c != MASK && !is_sign(*c));
    let (mut marks, mut at) = (Vec::new(), 0);
    let mut spans: Vec<(usize, usize, bool)> = Vec::new();
    for hit in hits {
        let (start, end) = (hit.start as usize, hit.end as usize);
        match spans.last_mut() {
            Some(last) if start < last.1 => last.1 = last.1.max(end),
            _ => spans.push((start, end, is_secret(hit))),
        }
    }
    let edge = spans.first().map_or(0, |first| first.0 + first.1.saturating_sub(first.0).min(CONTEXT_CHARS_MAX))
        + MASKED_SIDE_CHARS_MAX;
    for (start, end, is_secret) in spans.into_iter().filter(|span| span.0 < edge) {
        let Some(from) = (at..text.len()).find(is_shown) else { break };
        let length = end.saturating_sub(start);
        let length = if is_secret { length.min(6) } else { length };
        let most = (from + length).min(text.len());
        // A hit is shown whole, unless it is a secret.
        let mask = (from..most).find(|at| !is_secret && text.get(*at) == Some(&MASK)).unwrap_or(most);
        let to = (from..mask).rev().find(is_shown).map_or(from, |last| last + 1);
        marks.push(from..to);
        at = to;
    }
    marks
}

fn is_secret(hit: &ItemHit) -> bool {
    Validator::ALL.iter().any(|validator| validator.as_str() == hit.word)
}

fn length(hit: &ItemHit) -> usize {
    hit.end.saturating_sub(hit.start) as usize
}

fn is_sign(c: char) -> bool {
    c.is_whitespace()
        || c.is_ascii_punctuation()
        || matches!(c, '\u{2010}'..='\u{2027}' | '\u{3001}'..='\u{301B}' | '\u{FF01}'..='\u{FF0F}' | '\u{FF1A}'..='\u{FF20}' | '\u{FF3B}'..='\u{FF40}' | '\u{FF5B}'..='\u{FF65}')
}

/// Nested and overlapping ones as one.
fn joined(mut marks: Vec<Range<usize>>) -> Vec<Range<usize>> {
    marks.retain(|mark| !mark.is_empty());
    marks.sort_by_key(|mark| (mark.start, mark.end));
    let mut joined: Vec<Range<usize>> = Vec::new();
    for mark in marks {
        match joined.last_mut() {
            Some(last) if mark.start < last.end => last.end = last.end.max(mark.end),
            _ => joined.push(mark),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use watchpost_policy::excerpt::{Span, excerpt};
    use watchpost_policy::rules::Disclose;

    use super::*;

    /// A text, its words as lists have them, as they are written and how they were recognised, and what is marked.
    type Case<'a> = (&'a str, &'a [(&'a str, &'a str, &'static str)], &'a [&'a str]);

    /// The finding of these words in a text, each told as found by a channel.
    fn item(text: &str, words: &[(&str, &str, &'static str)], disclose: &'static str) -> Item {
        let of = |(word, written, channel): &(&str, &str, &'static str)| {
            let start = text[..text.find(written).unwrap()].chars().count() as u32;
            let end = start + written.chars().count() as u32;
            let (selection, word, field) = ("a".into(), (*word).into(), "text".into());
            let obfuscated = written.contains('\u{200b}');
            ItemHit { selection, word, field, start, end, channel, obfuscated }
        };
        let hits: Vec<ItemHit> = words.iter().map(of).collect();
        let spans: Vec<Span> = hits.iter().map(|hit| Span { start: hit.start, end: hit.end }).collect();
        let secrets: Vec<Span> =
            hits.iter().filter(|hit| is_secret(hit)).map(|hit| Span { start: hit.start, end: hit.end }).collect();
        let degree = if disclose == "context" { Disclose::Context } else { Disclose::Masked };
        let excerpt = excerpt(degree, text, &spans, &secrets).unwrap();
        Item { excerpt, hits, disclose, ..crate::alerts::item_of(&[], Default::default()) }
    }

    fn marked(item: &Item) -> Vec<String> {
        let pieces = pieces(&item.excerpt, &marks(item));
        assert_eq!(pieces.iter().map(|(piece, _)| piece.as_str()).collect::<String>(), item.excerpt);
        pieces.into_iter().filter(|(_, is_marked)| *is_marked).map(|(piece, _)| piece).collect()
    }

    #[test]
    fn marks_stand_where_the_hits_are() {
        let long = "前文".repeat(60);
        let cases: [Case<'_>; 8] = [
            ("这款产品保本保收益", &[("保本", "保本", "exact")], &["保本"]),
            ("𠮷🎉👨‍👩‍👧 保本，稳赚", &[("保本", "保本", "exact"), ("稳赚", "稳赚", "exact")], &["保本", "稳赚"]),
            (&format!("{long}𝓐🎉保本🎉{long}"), &[("保本", "保本", "exact")], &["保本"]),
            ("a\u{200b}b\u{200b} 保本", &[("保本", "保本", "exact")], &["保本"]),
            ("我说保\u{200b}本的", &[("保本", "保\u{200b}本", "skipped")], &["保本"]),
            ("加ＶＸ聊", &[("vx", "ＶＸ", "folded")], &["ＶＸ"]),
            ("电话13800001234，加vx", &[("mobile", "13800001234", "exact"), ("vx", "vx", "exact")], &["138＊34", "vx"]),
            ("保本保收益", &[("保本", "保本", "exact"), ("保本保收益", "保本保收益", "exact")], &["保本保收益"]),
        ];
        for (text, words, expected) in cases {
            assert_eq!(marked(&item(text, words, "context")), expected, "{text}");
        }
    }

    #[test]
    fn what_is_masked_is_not_marked() {
        let cases: [Case<'_>; 4] = [
            (
                "张伟您好，这款产品保本🎉，加vx: abc",
                &[("保本", "保本", "exact"), ("vx", "vx", "exact")],
                &["保本", "vx"],
            ),
            ("【通知】（保 本）收益", &[("保本", "保 本", "skipped")], &["保 本"]),
            ("电话13800001234。", &[("mobile", "13800001234", "exact")], &["138＊34"]),
            ("一\u{200b}二保本", &[("保本", "保本", "exact")], &["保本"]),
        ];
        for (text, words, expected) in cases {
            assert_eq!(marked(&item(text, words, "masked")), expected, "{text}");
        }
    }

    #[test]
    fn whatever_a_device_says_nothing_is_cut_wrong() {
        let mut item = item("保本", &[("保本", "保本", "exact")], "context");
        for (start, end) in [(0, 0), (5, 2), (0, u32::MAX), (u32::MAX, u32::MAX), (80, 90)] {
            for disclose in ["context", "masked", "none", ""] {
                (item.hits[0].start, item.hits[0].end, item.disclose) = (start, end, disclose);
                marked(&item);
                item.excerpt.clear();
                marked(&item);
                item.excerpt = "保本".into();
            }
        }
        item.hits.clear();
        assert!(marked(&item).is_empty());
    }
}
