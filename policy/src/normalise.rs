//! Text is folded before matching, with a map back to the characters of the original.
//!
//! Folding drops characters (noise, zero-width) and replaces others (width, case). Every folded character remembers the range of original
//! characters it stands for, so several originals may become one folded character and one original several; spelling variants that need
//! that can be added inside [`Folded::fold`] without a change of shape.

use std::ops::Range;

/// What is folded away for one list of words. Everything is on by default.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Normalisation {
    /// Full-width forms (`ＡＢＣ１２３`) and the ideographic space become their ASCII twins.
    pub width: bool,
    /// Letters become lower case, character by character.
    pub case: bool,
    /// Zero-width characters, direction marks and variation selectors are skipped, without limit.
    pub zero_width: bool,
    /// Spaces, punctuation, symbols and emoji between the characters of a word are skipped, within [`NOISE_STEP_MAX`] and [`NOISE_TOTAL_MAX`].
    pub noise: bool,
}

/// Inserted characters that may stand between two characters of a word.
pub const NOISE_STEP_MAX: u32 = 4;
/// Inserted characters that may stand inside a word altogether.
pub const NOISE_TOTAL_MAX: u32 = 8;

/// Folded characters a reused buffer keeps room for; nearly every text is shorter.
const KEPT_CHARS_MAX: usize = 16_384;

/// Folded text and its map back. Reused between texts: [`Folded::fold`] clears it first.
#[derive(Clone, Debug, Default)]
pub struct Folded {
    text: String,
    marks: Vec<Mark>,
}

impl Default for Normalisation {
    fn default() -> Self {
        Self { width: true, case: true, zero_width: true, noise: true }
    }
}

impl Normalisation {
    /// Everything off: the text is matched as it is.
    pub const EXACT: Self = Self { width: false, case: false, zero_width: false, noise: false };
}

impl Folded {
    /// Folds a text.
    #[must_use]
    pub fn of(text: &str, normalisation: Normalisation) -> Self {
        let mut folded = Self::default();
        folded.fold(text, normalisation);
        folded
    }

    /// Replaces the content by the folding of `text`. Texts of 2^32 and more characters do not occur: the parser bounds them.
    pub fn fold(&mut self, text: &str, normalisation: Normalisation) {
        self.text.clear();
        self.marks.clear();
        let mut noise = 0;
        for (at, original) in (0..).zip(text.chars()) {
            match normalisation.step(original) {
                Step::Keep(folded) => self.push(folded, at..at + 1, noise),
                Step::Noise => noise += 1,
                Step::Skip => {}
            }
        }
    }

    /// The folded text. A line break of the original stands in it as `\n`, so that no word crosses one.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Number of folded characters.
    #[must_use]
    pub fn chars(&self) -> usize {
        self.marks.len()
    }

    /// Maps a byte range of the folded text to the range of original characters it stands for and the noise inside it.
    /// `None` when the range is empty or does not fall on characters.
    #[must_use]
    pub fn locate(&self, bytes: Range<usize>) -> Option<Located> {
        let first = self.marks.binary_search_by_key(&bytes.start, |mark| mark.byte as usize).ok()?;
        let end = match self.marks.binary_search_by_key(&bytes.end, |mark| mark.byte as usize) {
            Ok(end) => end,
            Err(end) if bytes.end == self.text.len() => end,
            Err(_) => return None,
        };
        let marks = self.marks.get(first..end)?;
        let (head, tail) = (marks.first()?, marks.last()?);
        let steps = marks.windows(2).map(|pair| pair[1].noise - pair[0].noise);
        Some(Located {
            start: head.start,
            end: tail.end,
            noise: tail.noise - head.noise,
            noise_step: steps.max().unwrap_or(0),
        })
    }

    /// Gives back the memory a very long text took.
    pub(crate) fn release(&mut self) {
        if self.marks.capacity() > KEPT_CHARS_MAX {
            *self = Self::default();
        }
    }

    fn push(&mut self, folded: char, original: Range<u32>, noise: u32) {
        self.marks.push(Mark { byte: self.text.len() as u32, start: original.start, end: original.end, noise });
        self.text.push(folded);
    }
}

/// Where a stretch of folded text stands in the original.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Located {
    /// First original character.
    pub start: u32,
    /// Behind the last original character.
    pub end: u32,
    /// Noise characters inside.
    pub noise: u32,
    /// The most noise between two neighbouring folded characters.
    pub noise_step: u32,
}

/// One folded character.
#[derive(Clone, Copy, Debug)]
struct Mark {
    /// Where it starts in the folded text.
    byte: u32,
    /// Original characters it stands for.
    start: u32,
    end: u32,
    /// Noise characters seen before it in the whole text.
    noise: u32,
}

enum Step {
    Keep(char),
    Noise,
    Skip,
}

impl Normalisation {
    fn step(self, original: char) -> Step {
        // Han characters are most of the text and need nothing.
        if ('\u{4E00}'..='\u{9FFF}').contains(&original) {
            return Step::Keep(original);
        }
        if is_line_break(original) {
            return Step::Keep('\n');
        }
        if is_zero_width(original) {
            return if self.zero_width { Step::Skip } else { Step::Keep(original) };
        }
        let narrow = if self.width { narrow(original) } else { original };
        if self.noise && !narrow.is_alphanumeric() {
            return Step::Noise;
        }
        Step::Keep(if self.case { lower(narrow) } else { narrow })
    }
}

/// Characters that end a line or a paragraph.
pub(crate) fn is_line_break(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\u{0B}' | '\u{0C}' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// Characters nobody sees: joiners, direction marks, variation selectors, soft hyphen, byte order mark, tags, fillers.
pub(crate) fn is_zero_width(c: char) -> bool {
    matches!(c,
        '\u{AD}' | '\u{34F}' | '\u{61C}' | '\u{115F}' | '\u{1160}' | '\u{17B4}' | '\u{17B5}' | '\u{180B}'..='\u{180F}'
        | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{3164}' | '\u{FE00}'..='\u{FE0F}'
        | '\u{FEFF}' | '\u{FFA0}' | '\u{FFF9}'..='\u{FFFB}' | '\u{1D173}'..='\u{1D17A}' | '\u{E0000}'..='\u{E0FFF}')
}

fn narrow(c: char) -> char {
    match c {
        '\u{FF01}'..='\u{FF5E}' => char::from_u32(u32::from(c) - 0xFEE0).unwrap_or(c),
        '\u{3000}' => ' ',
        other => other,
    }
}

/// One lower-case character. The one letter that has two (`İ`) keeps the first, so that lengths stay equal.
fn lower(c: char) -> char {
    if c.is_ascii() { c.to_ascii_lowercase() } else { c.to_lowercase().next().unwrap_or(c) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fold(text: &str) -> String {
        Folded::of(text, Normalisation::default()).text().to_owned()
    }

    #[test]
    fn folds() {
        for (name, text, expected) in [
            ("width", "ＶＸ１２３", "vx123"),
            ("case", "WeiXin ÄÖ", "weixinäö"),
            ("ideographic space", "保　本", "保本"),
            ("zero-width", "飞\u{200B}\u{2060}\u{202E}单\u{FE0F}", "飞单"),
            ("noise", "飞-单，保🎉本 ￥", "飞单保本"),
            ("line break stays", "飞\r\n单", "飞\n\n单"),
            ("two-character lower case", "İ", "i"),
        ] {
            assert_eq!(fold(text), expected, "{name}");
        }
    }

    #[test]
    fn each_option_can_be_turned_off() {
        let all = Normalisation::default();
        for (options, text, expected) in [
            (Normalisation { width: false, ..all }, "Ａa", "ａa"),
            (Normalisation { case: false, ..all }, "Aａ", "Aa"),
            (Normalisation { zero_width: false, ..all }, "a\u{200B}b", "a\u{200B}b"),
            (Normalisation { noise: false, ..all }, "C＋＋ !", "c++ !"),
            (Normalisation::EXACT, "Ａ-\u{200B}b", "Ａ-\u{200B}b"),
        ] {
            assert_eq!(Folded::of(text, options).text(), expected, "{text}");
        }
    }

    #[test]
    fn locates_original_characters() {
        // Original characters: 0 x, 1 飞, 2 -, 3 U+200B, 4 🎉, 5 单, 6 y. Folded bytes: x 0, 飞 1..4, 单 4..7, y 7.
        let folded = Folded::of("x飞-\u{200B}🎉单y", Normalisation::default());
        assert_eq!(folded.locate(1..7), Some(Located { start: 1, end: 6, noise: 2, noise_step: 2 }));
        assert_eq!(folded.locate(4..8), Some(Located { start: 5, end: 7, noise: 0, noise_step: 0 }));
        assert_eq!(folded.locate(2..7), None, "inside a character");
        assert_eq!(folded.locate(1..1), None, "empty");
        assert_eq!(folded.locate(7..99), None, "beyond the end");
    }

    #[test]
    fn the_map_holds_several_to_one_and_one_to_several() {
        let mut folded = Folded::default();
        folded.push('张', 0..2, 0); // 弓长 → 张
        folded.push('v', 2..3, 0); // one character → vx
        folded.push('x', 2..3, 0);
        assert_eq!(folded.locate(0..4), Some(Located { start: 0, end: 3, noise: 0, noise_step: 0 }));
        assert_eq!(folded.locate(4..5), Some(Located { start: 2, end: 3, noise: 0, noise_step: 0 }));
    }
}
