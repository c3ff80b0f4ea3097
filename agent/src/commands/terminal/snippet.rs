//! A little text around hits, as wide as there is room.

use std::fmt::{self, Display};
use std::ops::Range;

use super::{Cleaner, Ink, Paint, columns_of, width};

/// Pieces shown of one text; what more there is, is counted.
const SNIPPETS_MAX: usize = 4;
/// Characters looked at in one piece: a hit may hide any number of invisible ones.
const PIECE_CHARS_MAX: usize = 4_096;

/// A piece of a text: stretches that are hits and stretches that are not, made harmless.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::commands) struct Snippet {
    stretches: Vec<(bool, String)>,
    /// Whether text was left out before and behind.
    cut: (bool, bool),
}

/// The pieces around `hits` (characters of the text) with `context` characters on each side, each at most `columns` wide, and
/// the number of pieces that are left out.
pub(in crate::commands) fn snippets(
    text: &str,
    hits: &[Range<usize>],
    context: usize,
    columns: usize,
) -> (Vec<Snippet>, usize) {
    let pieces = fitting(text, hits, context, columns);
    let left_out = pieces.len().saturating_sub(SNIPPETS_MAX);
    (pieces.into_iter().take(SNIPPETS_MAX).map(|piece| Snippet::of(text, piece, hits, columns)).collect(), left_out)
}

/// Narrows the context until every piece has room; a hit that alone has none is cut when it is shown.
fn fitting(text: &str, hits: &[Range<usize>], context: usize, columns: usize) -> Vec<Range<usize>> {
    let mut context = context;
    loop {
        let pieces = pieces(hits, context);
        // One column each for the signs that something is left out.
        let room = columns.saturating_sub(2);
        if context == 0 || pieces.iter().take(SNIPPETS_MAX).all(|piece| columns_within(text, piece) <= room) {
            return pieces;
        }
        context = context * 3 / 4;
    }
}

/// Hits with what is around them; those that touch are one piece.
fn pieces(hits: &[Range<usize>], context: usize) -> Vec<Range<usize>> {
    let mut around: Vec<Range<usize>> =
        hits.iter().map(|hit| hit.start.saturating_sub(context)..hit.end.saturating_add(context)).collect();
    around.sort_by_key(|piece| piece.start);
    let mut pieces: Vec<Range<usize>> = Vec::new();
    for next in around {
        match pieces.last_mut() {
            Some(last) if next.start <= last.end => last.end = last.end.max(next.end),
            _ => pieces.push(next),
        }
    }
    pieces
}

fn columns_within(text: &str, piece: &Range<usize>) -> usize {
    let mut cleaner = Cleaner::default();
    let chars = text.chars().skip(piece.start).take(piece.len().min(PIECE_CHARS_MAX));
    chars.filter_map(|c| cleaner.shown(c)).map(columns_of).sum()
}

impl Snippet {
    fn of(text: &str, piece: Range<usize>, hits: &[Range<usize>], columns: usize) -> Self {
        let mut cleaner = Cleaner::default();
        let mut stretches: Vec<(bool, String)> = Vec::new();
        let mut room = columns.saturating_sub(2);
        let mut chars = text.chars().enumerate().skip(piece.start).peekable();
        let mut looked_at = 0;
        while let Some((at, c)) = chars.next_if(|(at, _)| *at < piece.end) {
            looked_at += 1;
            let Some(c) = cleaner.shown(c) else { continue };
            let width = columns_of(c);
            if width > room || looked_at > PIECE_CHARS_MAX {
                return Self { stretches, cut: (piece.start > 0, true) };
            }
            room -= width;
            let hit = hits.iter().any(|hit| hit.contains(&at));
            match stretches.last_mut() {
                Some((same, stretch)) if *same == hit => stretch.push(c),
                _ => stretches.push((hit, c.to_string())),
            }
        }
        Self { stretches, cut: (piece.start > 0, chars.peek().is_some()) }
    }

    /// Carets under the hits, to be printed below [`Snippet::painted`].
    pub(in crate::commands) fn carets(&self) -> String {
        let mut out = if self.cut.0 { " ".to_owned() } else { String::new() };
        for (hit, stretch) in &self.stretches {
            out.push_str(&if *hit { "^" } else { " " }.repeat(width(stretch)));
        }
        out.truncate(out.trim_end().len());
        out
    }

    /// With the hits in colour.
    pub(in crate::commands) fn painted(&self, paint: Paint) -> impl Display + '_ {
        fmt::from_fn(move |f| {
            if self.cut.0 {
                write!(f, "{}", paint.ink(Ink::Dim, '…'))?;
            }
            for (hit, stretch) in &self.stretches {
                match hit {
                    true => write!(f, "{}", paint.ink(Ink::Hit, stretch))?,
                    false => f.write_str(stretch)?,
                }
            }
            if self.cut.1 { write!(f, "{}", paint.ink(Ink::Dim, '…')) } else { Ok(()) }
        })
    }
}

#[cfg(test)]
#[expect(clippy::single_range_in_vec_init, reason = "one hit is a list of one place")]
mod tests {
    use super::*;

    /// The pieces with hits in brackets.
    fn shown(text: &str, hits: &[Range<usize>], context: usize, columns: usize) -> Vec<String> {
        let (snippets, left_out) = snippets(text, hits, context, columns);
        let marked = |snippet: &Snippet| {
            let plain = snippet.painted(Paint::PLAIN).to_string();
            assert!(width(&plain) <= columns, "{plain}");
            let stretches = snippet.stretches.iter();
            let inner: String =
                stretches.map(|(hit, text)| if *hit { format!("[{text}]") } else { text.clone() }).collect();
            let sign = |cut: bool| if cut { "…" } else { "" };
            format!("{}{inner}{}", sign(snippet.cut.0), sign(snippet.cut.1))
        };
        let mut out: Vec<String> = snippets.iter().map(marked).collect();
        out.extend((left_out > 0).then(|| format!("+{left_out}")));
        out
    }

    #[test]
    fn pieces_around_hits() {
        let text = "您好，加我私人微信吧，这款产品保本保收益";
        for (name, hits, context, columns, expected) in [
            ("all of it", &[3..9][..], 30, 80, &["您好，[加我私人微信]吧，这款产品保本保收益"][..]),
            ("some of it", &[3..9], 2, 80, &["…好，[加我私人微信]吧，…"]),
            ("none around", &[3..9], 0, 80, &["…[加我私人微信]…"]),
            ("two together", &[3..9, 15..20], 3, 80, &["您好，[加我私人微信]吧，这款产品[保本保收益]"]),
            ("two apart", &[3..9, 15..20], 1, 80, &["…，[加我私人微信]吧…", "…品[保本保收益]"]),
            ("overlapping hits", &[3..7, 5..9], 0, 80, &["…[加我私人微信]…"]),
            ("narrow", &[3..9], 30, 22, &["…好，[加我私人微信]吧，…"]),
            ("narrower than the hit", &[3..9], 30, 10, &["…[加我私人]…"]),
            ("beyond the text", &[18..99], 1, 80, &["…保[收益]"]),
        ] {
            assert_eq!(shown(text, hits, context, columns), expected, "{name}");
        }
    }

    #[test]
    fn many_pieces_are_counted() {
        let hits: Vec<Range<usize>> = (0..10).map(|at| at * 10..at * 10 + 1).collect();
        let pieces = shown(&"x".repeat(100), &hits, 1, 80);
        assert_eq!((pieces.len(), pieces.last().map(String::as_str)), (5, Some("+6")));
    }

    #[test]
    fn a_hit_full_of_invisible_characters_stays_short() {
        let text = format!("飞{}单", "\u{200B}".repeat(1_000_000));
        assert_eq!(shown(&text, &[0..1_000_002], 5, 20), ["[飞················]…"]);
    }

    #[test]
    fn hostile_text_is_harmless() {
        assert_eq!(shown("a\u{1B}[2J\u{202E}b", &[0..7], 3, 80), ["[a·[2J·b]"]);
    }
}
