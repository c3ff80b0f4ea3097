//! Text is folded before matching, with a map back to the characters of the original.
//!
//! Folding drops characters (noise, hidden ones) and replaces others (width, case, script, variants). The folded text is a row of
//! **occurrences**, each of which remembers the original characters it stands for: one original may become several occurrences
//! (`⑩` → `10`), and several originals one (the letters `wei` as a syllable). With `repeats`, neighbouring occurrences of the same
//! folded character are one **folded character**, so that 飞飞单 is found as 飞单 while 嘻嘻 still differs from 嘻; how many there
//! were stays known.

use std::ops::Range;

use character::Usual;
pub(crate) use character::{Step, fold, is_chinese_numeral};

mod character;
mod syllables;
mod variants;

pub(crate) use syllables::{is_syllable, of_han as syllable_of, spells};

/// What is folded away for one list of words. Everything is on by default.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Normalisation {
    /// Full-width forms (`ＡＢＣ１２３`) and the ideographic space become their ASCII twins.
    pub width: bool,
    /// Letters become lower case.
    pub case: bool,
    /// Traditional characters become simplified ones, character by character.
    pub script: bool,
    /// Compatibility forms (`Ⓥ`, `𝐕`, `㎏`, `⾦`), digits and letters in circles and squares, look-alikes of Latin letters, radicals, and
    /// Chinese numerals become what they stand for.
    pub variants: bool,
    /// Zero-width characters, direction marks, variation selectors and combining marks are skipped, without limit.
    pub zero_width: bool,
    /// Spaces, punctuation, symbols and emoji between the characters of a word are skipped, within [`NOISE_STEP_MAX`] and [`NOISE_TOTAL_MAX`].
    pub noise: bool,
    /// A character of a word may be repeated (飞飞单单), within the limits of noise.
    pub repeats: bool,
}

/// Inserted characters that may stand between two characters of a word.
pub const NOISE_STEP_MAX: u32 = 4;
/// Inserted characters that may stand inside a word altogether.
pub const NOISE_TOTAL_MAX: u32 = 8;

/// Occurrences a reused buffer keeps room for; nearly every text is shorter.
const KEPT_CHARS_MAX: usize = 16_384;

/// Folded text and its map back. Reused between texts: [`Folded::fold`] clears it first.
#[derive(Clone, Debug, Default)]
pub struct Folded {
    text: String,
    chars: Vec<FoldedChar>,
    occurrences: Vec<Occurrence>,
}

/// One folded character: one occurrence, or a run of the same.
#[derive(Clone, Copy, Debug)]
struct FoldedChar {
    /// Where it starts in the folded text.
    byte: u32,
    /// Its first occurrence; the next folded character's first ends it.
    first: u32,
}

/// One folded character before runs are made one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Occurrence {
    pub(crate) folded: char,
    /// The original character, the first of several.
    pub(crate) original: char,
    /// Original characters it stands for.
    pub(crate) start: u32,
    pub(crate) end: u32,
    /// Noise seen before it in the whole text.
    pub(crate) noise: u32,
    /// Hidden characters seen before it in the whole text.
    pub(crate) hidden: u32,
}

impl Default for Normalisation {
    fn default() -> Self {
        Self { width: true, case: true, script: true, variants: true, zero_width: true, noise: true, repeats: true }
    }
}

impl Normalisation {
    /// Everything off: the text is matched as it is.
    pub const EXACT: Self = Self {
        width: false,
        case: false,
        script: false,
        variants: false,
        zero_width: false,
        noise: false,
        repeats: false,
    };
}

impl Folded {
    /// Folds a text.
    #[must_use]
    pub fn of(text: &str, normalisation: Normalisation) -> Self {
        let mut folded = Self::default();
        folded.fold(text, normalisation, &[]);
        folded
    }

    /// Replaces the content by the folding of `text`, in which `symbols` are kept although they are noise.
    /// Texts of 2^32 and more characters do not occur: the parser bounds them.
    pub fn fold(&mut self, text: &str, normalisation: Normalisation, symbols: &[char]) {
        self.clear();
        let mut seen = Seen::default();
        let usual = Usual::of(normalisation, symbols);
        for (at, original) in (0..).zip(text.chars()) {
            if let Some(folded) = usual.as_ref().and_then(|usual| usual.kept(original)) {
                self.push(folded, seen.at(original, at..at + 1), normalisation.repeats);
                continue;
            }
            match fold(original, normalisation, symbols) {
                Step::Keep(folded) => self.push(folded, seen.at(original, at..at + 1), normalisation.repeats),
                Step::Several(several) => {
                    several.into_iter().for_each(|folded| {
                        self.push(folded, seen.at(original, at..at + 1), normalisation.repeats);
                    });
                }
                Step::Noise => seen.noise += 1,
                Step::Hidden => seen.hidden += 1,
            }
        }
    }

    /// Replaces the content by the syllables of `text`: Han characters and runs of Latin letters become syllables, everything else is folded
    /// as by default.
    pub(crate) fn fold_to_syllables(&mut self, text: &str, plain: &mut Self) {
        self.clear();
        plain.fold(text, Normalisation { repeats: false, ..Normalisation::default() }, &[]);
        let mut at = 0;
        while let Some(occurrence) = plain.occurrences.get(at) {
            let letters = plain.letters_from(at);
            match syllables::cut(letters).filter(|syllables| !syllables.is_empty()) {
                Some(cut) => {
                    for (syllable, len) in cut {
                        self.push_merged(syllable, plain.occurrences.get(at..at + len).unwrap_or_default());
                        at += len;
                    }
                }
                None if letters.is_empty() => {
                    let folded = plain.char(at).unwrap_or(' ');
                    // A numeral is folded to a digit, but it is read as what it is.
                    let syllable = syllables::of_han(occurrence.original).or_else(|| syllables::of_han(folded));
                    self.push(syllable.unwrap_or(folded), *occurrence, true);
                    at += 1;
                }
                None => {
                    for letter in letters.chars() {
                        self.push_merged(letter, plain.occurrences.get(at..=at).unwrap_or_default());
                        at += 1;
                    }
                }
            }
        }
    }

    /// The folded text. A line break of the original stands in it as `\n`, so that no word crosses one.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Number of folded characters, runs of the same counted once.
    #[must_use]
    pub fn chars(&self) -> usize {
        self.chars.len()
    }

    /// Number of occurrences.
    pub(crate) fn occurrences(&self) -> usize {
        self.occurrences.len()
    }

    /// The occurrences from one on; the end of the text is its end.
    pub(crate) fn occurrence(&self, at: usize) -> Option<&Occurrence> {
        self.occurrences.get(at)
    }

    /// The occurrences of a folded character.
    pub(crate) fn run(&self, char: usize) -> Option<Range<usize>> {
        let first = self.chars.get(char)?.first as usize;
        Some(first..self.chars.get(char + 1).map_or(self.occurrences.len(), |next| next.first as usize))
    }

    /// A folded character.
    pub(crate) fn char(&self, at: usize) -> Option<char> {
        self.text.get(self.chars.get(at)?.byte as usize..)?.chars().next()
    }

    /// The folded characters that a byte range of the folded text stands for. `None` when it is empty or does not fall on characters.
    pub(crate) fn chars_of(&self, bytes: Range<usize>) -> Option<Range<usize>> {
        let first = self.chars.binary_search_by_key(&bytes.start, |char| char.byte as usize).ok()?;
        let end = match self.chars.binary_search_by_key(&bytes.end, |char| char.byte as usize) {
            Ok(end) => end,
            Err(end) if bytes.end == self.text.len() => end,
            Err(_) => return None,
        };
        (first < end).then_some(first..end)
    }

    /// The folded character that begins with an occurrence.
    pub(crate) fn char_from(&self, occurrence: usize) -> Option<usize> {
        self.chars.binary_search_by_key(&occurrence, |char| char.first as usize).ok()
    }

    /// Gives back the memory a very long text took.
    pub(crate) fn release(&mut self) {
        if self.occurrences.capacity() > KEPT_CHARS_MAX {
            *self = Self::default();
        }
    }

    fn clear(&mut self) {
        self.text.clear();
        self.chars.clear();
        self.occurrences.clear();
    }

    fn push(&mut self, folded: char, occurrence: Occurrence, repeats: bool) {
        if !repeats || self.occurrences.last().is_none_or(|last| last.folded != folded) {
            self.chars.push(FoldedChar { byte: self.text.len() as u32, first: self.occurrences.len() as u32 });
            self.text.push(folded);
        }
        self.occurrences.push(Occurrence { folded, ..occurrence });
    }

    /// Pushes one folded character for several occurrences of another folding.
    fn push_merged(&mut self, folded: char, parts: &[Occurrence]) {
        if let (Some(first), Some(last)) = (parts.first(), parts.last()) {
            self.push(folded, Occurrence { end: last.end, ..*first }, true);
        }
    }

    /// The run of lower-case Latin letters, with nothing between them, that starts at a folded character. Only without runs made one.
    fn letters_from(&self, at: usize) -> &str {
        let is_letter = |at: usize| self.char(at).is_some_and(|c| c.is_ascii_lowercase());
        let touches = |at: usize| match (self.occurrences.get(at), self.occurrences.get(at + 1)) {
            (Some(one), Some(next)) => one.noise == next.noise,
            _ => false,
        };
        let mut end = at;
        while is_letter(end) {
            end += 1;
            if !touches(end - 1) {
                break;
            }
        }
        let byte = |at: usize| self.chars.get(at).map_or(self.text.len(), |char| char.byte as usize);
        self.text.get(byte(at)..byte(end)).unwrap_or_default()
    }
}

/// What became of a stretch of text when it was folded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Became {
    /// It stays as it is.
    Kept,
    /// It stands in another form.
    Folded,
    /// It is skipped: spaces, signs, symbols.
    Skipped,
    /// Nobody sees it, and it is skipped.
    Hidden,
}

/// A stretch of text of which the same became.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// As it stands.
    pub text: String,
    /// What it is folded to.
    pub folded: String,
    /// What became of it.
    pub became: Became,
}

/// What becomes of each stretch of a text, runs of one character left as they are.
#[must_use]
pub fn pieces(text: &str, normalisation: Normalisation) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::new();
    for original in text.chars() {
        let (folded, became) = match fold(original, normalisation, &[]) {
            Step::Keep(kept) if kept == original => (kept.to_string(), Became::Kept),
            Step::Keep(kept) => (kept.to_string(), Became::Folded),
            Step::Several(several) => (several.into_iter().collect(), Became::Folded),
            Step::Noise => (String::new(), Became::Skipped),
            Step::Hidden => (String::new(), Became::Hidden),
        };
        match pieces.last_mut().filter(|last| last.became == became) {
            Some(last) => {
                last.text.push(original);
                last.folded.push_str(&folded);
            }
            None => pieces.push(Piece { text: original.to_string(), folded, became }),
        }
    }
    pieces
}

/// What was skipped so far.
#[derive(Default)]
struct Seen {
    noise: u32,
    hidden: u32,
}

impl Seen {
    fn at(&self, original: char, place: Range<u32>) -> Occurrence {
        Occurrence {
            folded: original,
            original,
            start: place.start,
            end: place.end,
            noise: self.noise,
            hidden: self.hidden,
        }
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

#[cfg(test)]
mod tests;
