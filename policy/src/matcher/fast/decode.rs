//! Text becomes classes: UTF-8, JSON escapes, folding and dropping of noise in one pass, collapsing of runs in a second where there are any.
//!
//! Every character is written and the end moved on only if it counts, so noise costs no branch. Chinese text goes four characters a step.

use super::classes::{Classes, FIRST, LETTER, LOOK, OTHER, REPEAT, SKIP};

/// How a text is written, as a parameter of the decoder.
pub(crate) mod written {
    /// As it is.
    pub(crate) const PLAIN: u8 = 0;
    /// As a JSON string.
    pub(crate) const JSON: u8 = 1;
    /// As a JSON string in JSON that is a string itself: `\"` ends it.
    pub(crate) const NESTED: u8 = 2;
}
use written::{JSON, NESTED, PLAIN};

/// Classes of texts behind each other, each closed by [`OTHER`], which no word goes across.
#[derive(Debug)]
pub(crate) struct Buffer {
    classes: Box<[u16]>,
    len: usize,
}

/// Classes behind the end that readers may look at; all are [`SKIP`], which is in no word.
pub(crate) const PADDING: usize = 80;

/// Classes a reused buffer keeps room for; nearly every text is shorter.
const KEPT_MAX: usize = 64 * 1024;

impl Default for Buffer {
    fn default() -> Self {
        Self::new(0)
    }
}

impl Buffer {
    /// Room for so many classes.
    pub(crate) fn new(room: usize) -> Self {
        Self { classes: vec![SKIP; room + PADDING].into(), len: 0 }
    }

    /// Forgets everything, and makes room for a text of so many bytes read in two ways.
    pub(crate) fn clear(&mut self, bytes: usize) {
        self.len = 0;
        let room = 2 * bytes + 8;
        if self.classes.len() < room + PADDING {
            *self = Self::new(room);
        }
    }

    /// Classes written so far.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Whether a letter stands behind `from`.
    pub(crate) fn has_letter(&self, from: usize) -> bool {
        self.classes.get(from..self.len).is_some_and(|classes| classes.contains(&LETTER))
    }

    /// Forgets everything from `len` on.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// Adds one text already in classes. Folding may have made it longer than anything foresaw, so that room is made for it.
    pub(crate) fn extend(&mut self, text: impl Iterator<Item = u16>) {
        for class in text.chain([OTHER]) {
            if self.len + PADDING >= self.classes.len() {
                self.grow(2 * self.classes.len());
            }
            if let Some(place) = self.classes.get_mut(self.len) {
                *place = class;
                self.len += 1;
            }
        }
    }

    fn grow(&mut self, room: usize) {
        let mut classes = std::mem::take(&mut self.classes).into_vec();
        classes.resize(room + PADDING, SKIP);
        self.classes = classes.into();
    }

    /// The classes, with [`PADDING`] classes behind them.
    pub(crate) fn padded(&mut self) -> &[u16] {
        if self.classes.len() < self.len + PADDING {
            self.grow(self.len);
        }
        if let Some(behind) = self.classes.get_mut(self.len..self.len + PADDING) {
            behind.fill(SKIP);
        }
        self.classes.get(..self.len + PADDING).unwrap_or_default()
    }

    /// Gives back the memory a very long text took.
    pub(crate) fn release(&mut self) {
        if self.classes.len() > KEPT_MAX {
            *self = Self::default();
        }
    }
}

/// A text that was decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Decoded {
    /// Where its closing quote is, or its end.
    pub(crate) end: usize,
    /// Whether a character of a word was repeated. Where none was, every class is one occurrence of the folded text.
    pub(crate) runs: bool,
}

/// Where a decoder stands.
#[derive(Clone, Copy)]
struct Pen {
    /// Where the next class is written.
    len: usize,
    /// All classes seen, or-ed.
    seen: u16,
}

impl Pen {
    /// The state behind one more class, which stands at `len` already.
    #[inline(always)]
    fn moved(self, class: u16) -> Self {
        Self { len: self.len + usize::from(class != SKIP), seen: self.seen | class }
    }
}

/// Decodes the text that begins at `at`, behind its opening quote, and adds its classes.
///
/// `None` when it is not well-formed UTF-8 and JSON, does not fit, or holds something only the slow way can fold; then nothing was added.
#[inline(always)]
pub(crate) fn text<const WRITTEN: u8>(classes: &Classes, bytes: &[u8], at: usize, out: &mut Buffer) -> Option<Decoded> {
    let begin = out.len;
    let room = out.classes.len() - PADDING;
    let (pen, end) = decode::<WRITTEN>(classes, bytes, at, out.classes.get_mut(..room)?, Pen { len: begin, seen: 0 })?;
    // One more place is for what closes the text.
    if pen.seen & LOOK != 0 || pen.len >= room {
        return None;
    }
    let written = out.classes.get_mut(begin..pen.len)?;
    let repeated = repeated(written);
    // The classes of no word may be repeated: the only ones without higher bits.
    let (len, runs) = match repeated & !(FIRST - 1) {
        0 => (pen.len, false),
        _ if repeated & REPEAT != 0 => return None,
        _ => (begin + collapse(written), true),
    };
    *out.classes.get_mut(len)? = OTHER;
    out.len = len + 1;
    Some(Decoded { end, runs })
}

/// All classes that repeat the one before, or-ed. Without a branch, so that it goes eight classes a step.
#[inline(always)]
fn repeated(text: &[u16]) -> u16 {
    let next = text.get(1..).unwrap_or_default();
    text.iter().zip(next).fold(0, |found, (one, next)| found | if one == next { *one } else { 0 })
}

/// Makes runs of a class one, but for the classes of no word, and says how many are left.
#[cold]
fn collapse(text: &mut [u16]) -> usize {
    let (mut len, mut last) = (0, SKIP);
    for at in 0..text.len() {
        let class = text.get(at).copied().unwrap_or_default();
        if class != last || class < FIRST {
            if let Some(place) = text.get_mut(len) {
                *place = class;
            }
            len += 1;
        }
        last = class;
    }
    len
}

#[inline(never)]
fn decode<const WRITTEN: u8>(
    classes: &Classes,
    bytes: &[u8],
    mut at: usize,
    out: &mut [u16],
    mut pen: Pen,
) -> Option<(Pen, usize)> {
    loop {
        // A run of characters of three bytes.
        while let (Some(four), Some(room)) =
            (Four::at(bytes, at), out.get_mut(pen.len..).and_then(<[u16]>::first_chunk_mut))
        {
            let good;
            (pen, good) = four.write(classes, room, pen);
            at += 3 * good;
            if good < 4 {
                break;
            }
        }
        // One other character, or a run of ASCII.
        loop {
            let Some(&first) = bytes.get(at) else { return (WRITTEN == PLAIN).then_some((pen, at)) };
            let class;
            match first {
                b'"' if WRITTEN != PLAIN => return (WRITTEN == JSON).then_some((pen, at)),
                b'\\' if WRITTEN == NESTED && bytes.get(at + 1) == Some(&b'"') => return Some((pen, at)),
                b'\\' if WRITTEN != PLAIN => {
                    let escaped;
                    (escaped, at) = if WRITTEN == JSON { escape(bytes, at)? } else { nested_escape(bytes, at)? };
                    class = classes.of(escaped);
                }
                ..0x20 if WRITTEN != PLAIN => return None,
                ..0x80 => (class, at) = (classes.low(u32::from(first)), at + 1),
                _ => (class, at) = beyond_ascii(classes, bytes, at)?,
            }
            *out.get_mut(pen.len)? = class;
            pen = pen.moved(class);
            if bytes.get(at).is_none_or(|next| *next >= 0xE0) {
                break;
            }
        }
    }
}

/// Fourteen bytes read as two overlapping words, each with two characters of three bytes in front.
struct Four(u64, u64);

impl Four {
    /// Bits that tell a lead byte and two continuation bytes, for two characters.
    const MASK: u64 = 0x0000_C0C0_F0C0_C0F0;
    const LOOKS: u64 = 0x0000_8080_E080_80E0;

    #[inline(always)]
    fn at(bytes: &[u8], at: usize) -> Option<Self> {
        let window: &[u8; 14] = bytes.get(at..)?.first_chunk()?;
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n] = *window;
        Some(Self(u64::from_le_bytes([a, b, c, d, e, f, g, h]), u64::from_le_bytes([g, h, i, j, k, l, m, n])))
    }

    /// Writes the characters up to the first that is not of three bytes, and says how many those are.
    #[inline(always)]
    fn write(&self, classes: &Classes, out: &mut [u16; 4], pen: Pen) -> (Pen, usize) {
        let ((p0, p1), (p2, p3)) = (Self::points(self.0), Self::points(self.1));
        let (c0, c1) = (classes.three_bytes(p0), classes.three_bytes(p1));
        let (c2, c3) = (classes.three_bytes(p2), classes.three_bytes(p3));
        let one = pen.moved(c0);
        let two = one.moved(c1);
        let three = two.moved(c2);
        let four = three.moved(c3);
        // Later classes overwrite those that do not count. The places differ by at most three.
        out[0] = c0;
        out[(one.len - pen.len) & 3] = c1;
        out[(two.len - pen.len) & 3] = c2;
        out[(three.len - pen.len) & 3] = c3;
        match self.good() {
            4 => (four, 4),
            3 => (three, 3),
            2 => (two, 2),
            1 => (one, 1),
            _ => (pen, 0),
        }
    }

    /// The two code points of a word.
    #[inline(always)]
    fn points(word: u64) -> (u16, u16) {
        let high = (word & 0x0000_0000_0F00_000F) << 12;
        let middle = (word & 0x0000_003F_0000_3F00) >> 2;
        let low = (word & 0x0000_3F00_003F_0000) >> 16;
        let both = high | middle | low;
        (both as u16, (both >> 24) as u16)
    }

    /// How many characters in front have the bits of three bytes.
    #[inline(always)]
    fn good(&self) -> usize {
        let (first, second) = ((self.0 & Self::MASK) ^ Self::LOOKS, (self.1 & Self::MASK) ^ Self::LOOKS);
        match (first, second) {
            (0, 0) => 4,
            (0, wrong) => 2 + usize::from(wrong.trailing_zeros() >= 24),
            (wrong, _) => usize::from(wrong.trailing_zeros() >= 24),
        }
    }
}

/// A character of two to four bytes: its class and where the next one begins.
#[inline(always)]
fn beyond_ascii(classes: &Classes, bytes: &[u8], at: usize) -> Option<(u16, usize)> {
    let tail = |byte: u8| (byte & 0xC0 == 0x80).then_some(u32::from(byte & 0x3F));
    match *bytes.get(at..)? {
        [a @ 0xC2..0xE0, b, ..] => Some((classes.low((u32::from(a) & 0x1F) << 6 | tail(b)?), at + 2)),
        [a @ 0xE0..0xF0, b, c, ..] => {
            let point = (u32::from(a) & 0xF) << 12 | tail(b)? << 6 | tail(c)?;
            Some((classes.three_bytes(point as u16), at + 3))
        }
        [a @ 0xF0..=0xFF, b, c, d, ..] => {
            let point = (u32::from(a) & 0xF) << 18 | tail(b)? << 12 | tail(c)? << 6 | tail(d)?;
            Some((classes.upper(point), at + 4))
        }
        _ => None,
    }
}

/// The character whose escape begins at `at`, and where the next one begins. `None` for half of a surrogate pair too.
#[inline(always)]
pub(crate) fn escape(bytes: &[u8], at: usize) -> Option<(char, usize)> {
    let simple = match bytes.get(at + 1)? {
        b'n' => '\n',
        b'"' => '"',
        b'\\' => '\\',
        b'/' => '/',
        b'r' => '\r',
        b't' => '\t',
        b'b' => '\u{8}',
        b'f' => '\u{C}',
        b'u' => return unicode_escape(bytes, at),
        _ => return None,
    };
    Some((simple, at + 2))
}

#[inline(always)]
fn unicode_escape(bytes: &[u8], at: usize) -> Option<(char, usize)> {
    match unit(bytes, at)? {
        high @ 0xD800..0xDC00 => match unit(bytes, at + 6)? {
            low @ 0xDC00..0xE000 => {
                Some((char::from_u32(0x1_0000 + ((high - 0xD800) << 10) + (low - 0xDC00))?, at + 12))
            }
            _ => None,
        },
        unit => Some((char::from_u32(unit)?, at + 6)),
    }
}

/// The character whose escape begins at `at` in a string inside a string: escaped inside, outside, or the simplest of those that are escaped in both.
#[inline(always)]
fn nested_escape(bytes: &[u8], at: usize) -> Option<(char, usize)> {
    match (bytes.get(at + 1)?, bytes.get(at + 2)?) {
        (b'\\', b'n' | b'r' | b't' | b'/') => escape(bytes, at + 1),
        // Not half of a pair, the other half of which may be escaped another way.
        (b'\\', b'u') => escape(bytes, at + 1).filter(|(c, _)| u32::from(*c) < 0x1_0000),
        // What is escaped outside only must not be one that the inside needs escaped.
        (b'u', _) => escape(bytes, at).filter(|(c, _)| !c.is_ascii()),
        _ => None,
    }
}

/// The value of `\uXXXX`.
#[inline(always)]
fn unit(bytes: &[u8], at: usize) -> Option<u32> {
    let [b'\\', b'u', a, b, c, d] = *bytes.get(at..)?.first_chunk()? else { return None };
    let digit = |byte: u8| u32::from(HEX[byte as usize]);
    let (a, b, c, d) = (digit(a), digit(b), digit(c), digit(d));
    // A byte that is no digit sets more than the low four bits.
    ((a | b | c | d) <= 0xF).then_some(a << 12 | b << 8 | c << 4 | d)
}

/// The value of a hexadecimal digit, 0xFF for other bytes.
const HEX: [u8; 256] = {
    let mut table = [0xFF; 256];
    let mut digit = 0;
    while digit < 16 {
        table[b"0123456789abcdef"[digit] as usize] = digit as u8;
        table[b"0123456789ABCDEF"[digit] as usize] = digit as u8;
        digit += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::classes::{Alphabet, Folding};
    use super::*;

    fn classes() -> Classes {
        let patterns: [&[char]; 3] = [&['飞', '单'], &['a', 'b', 'é', '𝐚'], &['哈']];
        let alphabet = Alphabet::of(patterns.into_iter(), FIRST);
        Classes::build(&alphabet, |c| match c {
            '飛' => Folding::Keep('飞'),
            'A'..='Z' => Folding::Keep(c.to_ascii_lowercase()),
            '㎏' => Folding::Several,
            '\n' => Folding::Break,
            _ if c.is_alphanumeric() => Folding::Keep(c),
            _ => Folding::Skip,
        })
    }

    /// The definition: every character by itself. `None` where the slow way must be gone.
    fn slowly(classes: &Classes, text: &str) -> Option<Vec<u16>> {
        let mut kept = Vec::new();
        for class in text.chars().map(|c| classes.of(c)).filter(|class| *class != SKIP) {
            let again = kept.last() == Some(&class);
            if class & LOOK != 0 || again && class & REPEAT != 0 {
                return None;
            }
            if !again || class < FIRST {
                kept.push(class);
            }
        }
        kept.push(OTHER);
        Some(kept)
    }

    fn contents(buffer: &mut Buffer) -> Vec<u16> {
        let len = buffer.len();
        buffer.padded()[..len].to_vec()
    }

    fn read(classes: &Classes, json: &[u8]) -> Option<(usize, Vec<u16>)> {
        let mut buffer = Buffer::new(json.len() + 8);
        let decoded = text::<JSON>(classes, json, 1, &mut buffer)?;
        Some((decoded.end, contents(&mut buffer)))
    }

    #[test]
    fn noise_repeats_and_escapes() {
        let classes = classes();
        let of = |c| classes.of(c);
        for (json, expected) in [
            (r#""飞单""#, Some(vec![of('飞'), of('单'), OTHER])),
            (r#""飛-飞 单单单""#, Some(vec![of('飞'), of('单'), OTHER])),
            (r#""\u98DE\u5355""#, Some(vec![of('飞'), of('单'), OTHER])),
            (r#""飞\n单""#, Some(vec![of('飞'), OTHER, of('单'), OTHER])),
            (r#""飞中中文文单""#, Some(vec![of('飞'), OTHER, OTHER, OTHER, OTHER, of('单'), OTHER])),
            (r#""\"\\\/\b\f\r\t""#, Some(vec![OTHER])),
            (r#""\ud835\udc1a𝐚""#, Some(vec![of('𝐚'), OTHER])),
            (r#""哈飞哈""#, Some(vec![of('哈'), of('飞'), of('哈'), OTHER])),
            (r#""哈-哈""#, None),
            (r#""1㎏""#, None),
            (r#""\ud835""#, None),
            (r#""\ud835\u0041""#, None),
            (r#""\udc1a""#, None),
            (r#""\u00g0""#, None),
            (r#""\x""#, None),
            ("\"a\u{1}\"", None),
            (r#""open"#, None),
        ] {
            assert_eq!(read(&classes, json.as_bytes()).map(|found| found.1), expected, "{json}");
        }
        for bytes in [
            &b"\"\xC1\xA1\""[..],
            b"\"\xE0\x81\xA1\"",
            b"\"\xED\xA0\x80\"",
            b"\"\xF0\x80\x81\xA1\"",
            b"\"\xF4\x90\x80\x80\"",
            b"\"\xE9\xA3\"",
        ] {
            assert_eq!(read(&classes, bytes), None, "{bytes:x?}");
        }
    }

    #[test]
    fn a_full_buffer_adds_nothing() {
        let classes = classes();
        let mut buffer = Buffer::new(4);
        assert_eq!(text::<PLAIN>(&classes, "飞单飞单飞单飞单".as_bytes(), 0, &mut buffer), None);
        assert_eq!(buffer.len(), 0);
        assert_eq!(text::<PLAIN>(&classes, "飞单".as_bytes(), 0, &mut buffer), Some(Decoded { end: 6, runs: false }));
        assert_eq!(buffer.len(), 3);
        let mut exact = Buffer::new(2);
        assert_eq!(text::<PLAIN>(&classes, "飞单".as_bytes(), 0, &mut exact), None, "no place is left to close it");
        exact.extend([9; 200].into_iter());
        assert_eq!((exact.len(), exact.padded().len()), (201, 201 + PADDING));
    }

    /// Text like the real one: mostly Han, runs, noise, escapes, emoji.
    fn texts() -> impl Strategy<Value = String> {
        prop::collection::vec(
            prop_oneof![
                6 => "[飞飛单一-龥]{1,9}",
                2 => "[ -~]{0,5}",
                1 => "[哈é\n\"\\\\🎉𝐚𠮷㎏]{0,2}",
                1 => any::<String>(),
            ],
            0..6,
        )
        .prop_map(|parts| parts.concat())
    }

    proptest! {
        #[test]
        fn decodes_as_character_by_character(text in texts(), ascii: bool, behind in 0_usize..20) {
            let classes = classes();
            let mut json = serde_json::to_string(&text).unwrap();
            if ascii {
                json = json.chars().flat_map(escaped).collect();
            }
            let end = json.len() - 1;
            json.extend(std::iter::repeat_n('单', behind));
            let expected = slowly(&classes, &text);
            prop_assert_eq!(read(&classes, json.as_bytes()), expected.clone().map(|classes| (end, classes)));
            let mut buffer = Buffer::new(text.len() + 8);
            let told = super::text::<PLAIN>(&classes, text.as_bytes(), 0, &mut buffer);
            prop_assert_eq!(told.map(|_| contents(&mut buffer)), expected);
        }

        /// Whatever bytes are taken for a string, a JSON parser takes for the same.
        #[test]
        fn takes_only_json(text in texts(), changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4)) {
            let mut json = serde_json::to_vec(&text).unwrap();
            for (at, byte) in changes {
                let at = at.index(json.len());
                json[at] = byte;
            }
            let classes = classes();
            if json[0] == b'"' && let Some((end, found)) = read(&classes, &json) {
                let text: String = serde_json::from_slice(&json[..=end]).unwrap();
                prop_assert_eq!(Some(found), slowly(&classes, &text));
            }
        }
    }

    fn escaped(c: char) -> Vec<char> {
        if c.is_ascii() {
            return vec![c];
        }
        let mut units = [0; 2];
        c.encode_utf16(&mut units)
            .iter()
            .flat_map(|unit| format!("\\u{unit:04x}").chars().collect::<Vec<_>>())
            .collect()
    }
}
