//! WeChat ids. They have no checksum, so a word for WeChat must stand shortly before.

use super::Found;
use super::glyphs::Glyphs;

/// Characters between the word for WeChat and the id.
const CONTEXT_CHARS: usize = 12;
/// Characters between them when nothing but letters make the id, which might be an English word.
const CLOSE_CHARS: usize = 4;

/// What people write for WeChat, folded.
const WORDS: [&str; 14] =
    ["微信", "薇信", "威信", "维信", "v信", "wx", "vx", "weixin", "wechat", "加v", "+v", "加我v", "卫星号", "绿泡泡"];
/// Those of them that may stand in one piece with the id.
const FUSED: [&str; 4] = ["weixin", "wechat", "wx", "vx"];

pub(super) fn ids(glyphs: &Glyphs) -> Vec<Found> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < glyphs.len() {
        if !is_id(glyphs.c(at)) {
            at += 1;
            continue;
        }
        let end = (at..glyphs.len()).find(|index| !is_id(glyphs.c(*index))).unwrap_or(glyphs.len());
        found.extend(first_of_id(glyphs, at, end).and_then(|first| glyphs.found(first, end)));
        at = end;
    }
    found
}

/// Where the id in a stretch of its characters begins, if it is one.
fn first_of_id(glyphs: &Glyphs, at: usize, end: usize) -> Option<usize> {
    let token = glyphs.text(at, end);
    // A part of an address is no id.
    if matches!(glyphs.before(at), '@' | '/' | '.') || glyphs.c(end) == '@' || is_dotted(glyphs, end) {
        return None;
    }
    if token.starts_with("wxid_") && is_shaped(&token) {
        return Some(at);
    }
    let marked = |id: &str| id.bytes().any(|b| b.is_ascii_digit() || b == b'_' || b == b'-');
    let gap = gap_to_word(glyphs, at);
    let fused = FUSED.iter().find(|word| token.starts_with(**word)).map_or(0, |word| word.len());
    let (first, id) = (at + fused, token.get(fused..)?);
    let id = id.trim_start_matches(['-', '_']);
    let first = first + (end - first - id.len());
    if fused > 0 {
        // Behind another word for it an id may begin like one: 微信：wx_zhang88.
        let whole = gap.is_some_and(|gap| gap <= CONTEXT_CHARS) && is_shaped(&token) && marked(&token);
        let rest = is_shaped(id) && marked(id);
        return if whole { Some(at) } else { rest.then_some(first) };
    }
    let (gap, marked) = (gap?, marked(id));
    let sentence = glyphs.c(end) == ' ' && glyphs.c(end + 1).is_ascii_alphabetic();
    let near = if marked { gap <= CONTEXT_CHARS } else { gap <= CLOSE_CHARS && !sentence };
    (near && is_shaped(id) && !FUSED.contains(&id)).then_some(first)
}

/// Characters between the nearest word for WeChat and the id, in one line.
fn gap_to_word(glyphs: &Glyphs, at: usize) -> Option<usize> {
    let before = glyphs.text(at.saturating_sub(CONTEXT_CHARS + 6), at);
    let before = before.rsplit('\n').next()?;
    WORDS.iter().filter_map(|word| Some(before.get(before.rfind(word)? + word.len()..)?.chars().count())).min()
}

fn is_dotted(glyphs: &Glyphs, end: usize) -> bool {
    glyphs.c(end) == '.' && glyphs.c(end + 1).is_ascii_alphanumeric()
}

/// A letter and 5 to 19 letters, digits, `_` or `-`.
fn is_shaped(id: &str) -> bool {
    (6..=20).contains(&id.len()) && id.starts_with(|c: char| c.is_ascii_alphabetic())
}

pub(super) fn is_id(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '-'
}
