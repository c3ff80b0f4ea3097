//! Which class every character belongs to: one table look-up folds, drops and compares.
//!
//! A class is a number for one folded character of the word lists. Whatever folds to it gets its class (`Ｖ`, `v`, `ⓥ`), so nothing is left
//! to fold when texts are read: `飞` and `飛` are the same number, and so is every noise character ([`SKIP`]).

/// Noise and invisible characters: they leave no trace.
pub(crate) const SKIP: u16 = 0;
/// A character that is in no word: nothing matches across it.
pub(crate) const OTHER: u16 = 1;
/// A letter where syllables are found: what it becomes depends on its neighbours.
pub(crate) const LETTER: u16 = 2;
/// The first class of a character of a word.
pub(crate) const FIRST: u16 = 4;
/// Set in the class of a character that is a whole pattern when it is repeated: runs are one folded character, so 「哈哈」 is a single one.
pub(super) const REPEAT: u16 = 1 << 14;
/// Stands for characters that tables of single classes cannot fold; a text with one of them must be looked at the slow way.
pub(crate) const LOOK: u16 = 1 << 15;

/// Code points with a place in the tables: the two planes that nearly all text is made of, emoji among them. What lies beyond (the rarest Han
/// characters) is [`LOOK`].
const POINTS: u32 = 0x2_0000;

/// What folding makes of one character, as far as the tables must know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Folding {
    /// It becomes this one.
    Keep(char),
    /// It is skipped, with or without limit: the tables skip both, and exact matching counts afterwards.
    Skip,
    /// No word goes across it.
    Break,
    /// It becomes several.
    Several,
    /// It becomes part of a syllable if its neighbours do.
    Letter,
}

/// The tables. Separate ones for what UTF-8 writes in two bytes and in three, so that a sequence of three bytes that should have been shorter
/// finds [`LOOK`] in its table, as surrogates do: validity costs nothing.
pub(crate) struct Classes {
    low: Box<[u16; 0x800]>,
    bmp: Box<[u16; 0x1_0000]>,
    upper: Box<[u16; 0x1_0000]>,
}

impl Classes {
    /// The tables of an alphabet. `fold` must leave its characters as they are, if they can stand in texts at all.
    pub(crate) fn build(alphabet: &Alphabet, fold: impl Fn(char) -> Folding) -> Self {
        let class = |point: u32| match char::from_u32(point).map(&fold) {
            Some(Folding::Keep(folded)) => alphabet.class(folded),
            Some(Folding::Skip) => SKIP,
            Some(Folding::Break) => OTHER,
            Some(Folding::Letter) => LETTER,
            Some(Folding::Several) | None => LOOK,
        };
        let mut classes =
            Self { low: filled(|point| class(point as u32)), bmp: filled(|_| LOOK), upper: filled(|_| LOOK) };
        for (entry, point) in classes.bmp.iter_mut().zip(0..).skip(0x800) {
            *entry = class(point);
        }
        for (entry, point) in classes.upper.iter_mut().zip(0x1_0000..) {
            *entry = class(point);
        }
        classes
    }

    /// The class of a character of less than 0x800.
    #[inline(always)]
    pub(crate) fn low(&self, point: u32) -> u16 {
        self.low[(point & 0x7FF) as usize]
    }

    /// The class of a code point that stood in three bytes; [`LOOK`] for those that may not.
    #[inline(always)]
    pub(crate) fn three_bytes(&self, point: u16) -> u16 {
        self.bmp[point as usize]
    }

    /// The class of a code point from 0x10000 up; [`LOOK`] for what is none.
    #[inline(always)]
    pub(crate) fn upper(&self, point: u32) -> u16 {
        self.upper.get(point.wrapping_sub(0x1_0000) as usize).copied().unwrap_or(LOOK)
    }

    /// The class of any character.
    #[inline(always)]
    pub(crate) fn of(&self, c: char) -> u16 {
        match u32::from(c) {
            low @ ..0x800 => self.low(low),
            point @ 0x800..0x1_0000 => self.three_bytes(point as u16),
            point => self.upper(point),
        }
    }

    /// Bytes in memory.
    pub(crate) fn bytes(&self) -> usize {
        size_of_val(&*self.low) + size_of_val(&*self.bmp) + size_of_val(&*self.upper)
    }
}

/// The classes of the folded characters of patterns.
pub(crate) struct Alphabet {
    classes: Vec<u16>,
    /// The next free class.
    pub(crate) next: u16,
}

impl Alphabet {
    /// Gives every character a class, from `first` on.
    pub(crate) fn of<'a>(patterns: impl Iterator<Item = &'a [char]> + Clone, first: u16) -> Self {
        let mut classes = vec![OTHER; POINTS as usize];
        let mut next = first;
        for &c in patterns.clone().flatten() {
            let Some(class) = classes.get_mut(u32::from(c) as usize) else { continue };
            if *class == OTHER {
                // A list with more different characters than there are numbers: texts with the rest go the slow way.
                *class = if next < REPEAT { next } else { LOOK };
                next = (next + 1).min(REPEAT);
            }
        }
        for pattern in patterns {
            if let [c] = *pattern
                && let Some(class) = classes.get_mut(u32::from(c) as usize)
            {
                *class |= REPEAT;
            }
        }
        Self { classes, next }
    }

    /// The class of a folded character; [`LOOK`] for those beyond the tables.
    pub(crate) fn class(&self, folded: char) -> u16 {
        self.classes.get(u32::from(folded) as usize).copied().unwrap_or(LOOK)
    }
}

/// A boxed table, without passing it through the stack.
fn filled<const N: usize>(entry: impl Fn(usize) -> u16) -> Box<[u16; N]> {
    let table: Box<[u16]> = (0..N).map(entry).collect();
    match table.try_into() {
        Ok(table) => table,
        // The length is N by construction.
        Err(_) => Box::new([LOOK; N]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn build<'a>(patterns: impl Iterator<Item = &'a [char]> + Clone) -> Classes {
        Classes::build(&Alphabet::of(patterns, FIRST), fold)
    }

    fn fold(c: char) -> Folding {
        match c {
            'Ａ' | 'A' | 'a' => Folding::Keep('a'),
            '\n' => Folding::Break,
            '㎏' => Folding::Several,
            _ if c.is_alphanumeric() || c == '𝄞' => Folding::Keep(c),
            _ => Folding::Skip,
        }
    }

    #[test]
    fn whatever_folds_to_a_character_has_its_class() {
        let classes = build([&['a', '单'][..], &['𝄞']].into_iter());
        assert_eq!(classes.of('Ａ'), classes.of('a'));
        assert_ne!(classes.of('单'), classes.of('a'));
        for (c, class) in
            [('b', OTHER), ('\n', OTHER), (' ', SKIP), ('🎉', SKIP), ('㎏', LOOK), ('𠮷', LOOK), ('飞', OTHER)]
        {
            assert_eq!(classes.of(c), class, "{c:?}");
        }
        assert_eq!(classes.of('𝄞') & REPEAT, REPEAT, "a pattern of one character");
        assert_eq!(classes.of('单') & REPEAT, 0);
    }

    #[test]
    fn three_bytes_that_may_not_be_are_looked_at() {
        let classes = build([&['a', '单'][..]].into_iter());
        for point in [0, 0x61, 0x7FF, 0xD800, 0xDFFF] {
            assert_eq!(classes.three_bytes(point), LOOK, "{point:x}");
        }
        assert_eq!(classes.upper(0xFFFF), LOOK);
        assert_eq!(classes.upper(0x11_0000), LOOK);
    }

    #[test]
    fn more_characters_than_classes_are_looked_at() {
        let many: Vec<[char; 2]> = ('\u{4E00}'..'\u{9FFF}').map(|c| [c, 'a']).collect();
        let classes = build(many.iter().map(|pattern| &pattern[..]));
        assert_eq!(classes.of('\u{9FFE}'), LOOK);
        assert_eq!(classes.of('\u{4E00}') & (LOOK | REPEAT), 0);
    }
}
