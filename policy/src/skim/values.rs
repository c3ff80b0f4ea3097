//! Where values of a line end, eight bytes at a time.
//!
//! All of these refuse whatever a string of the envelope rarely holds: escapes, control characters, anything beyond ASCII.

use crate::matcher::escape;

/// A byte in every place of a word.
const fn all(byte: u8) -> u64 {
    u64::from_ne_bytes([byte; 8])
}

const HIGH: u64 = all(0x80);

/// The end of a plain string that begins at `at`, behind its opening quote: the place of the closing one.
#[inline(always)]
pub(super) fn plain_end(bytes: &[u8], at: usize) -> Option<usize> {
    let odd = |word: u64| zero(word ^ all(b'"')) | zero(word ^ all(b'\\')) | below(word, 0x20) | word;
    let end = find(bytes, at, odd, |byte| matches!(byte, ..0x20 | b'"' | b'\\' | 0x80..))?;
    (bytes.get(end) == Some(&b'"')).then_some(end)
}

/// The end of any well-formed JSON string.
pub(super) fn string_end(bytes: &[u8], begin: usize) -> Option<usize> {
    let odd = |word: u64| zero(word ^ all(b'"')) | zero(word ^ all(b'\\')) | below(word, 0x20) & !word;
    let mut at = begin;
    loop {
        at = find(bytes, at, odd, |byte| matches!(byte, ..0x20 | b'"' | b'\\'))?;
        match bytes.get(at)? {
            b'"' => break,
            b'\\' => at = escape(bytes, at)?.1,
            _ => return None,
        }
    }
    std::str::from_utf8(bytes.get(begin..at)?).is_ok().then_some(at)
}

/// As [`plain_end`], for an id that is taken as it is: not empty, and without space, marks of a list, or what vendors join receivers by.
#[inline(always)]
pub(super) fn id_end(bytes: &[u8], at: usize) -> Option<usize> {
    // Below `-` lie the quotes, the space, the comma and round brackets; with the bit 0x20 set, `[\]` are `{|}`.
    let odd = |word: u64| {
        let curly = word | all(0x20);
        let brackets = zero(curly ^ all(b'{')) | zero(curly ^ all(b'|')) | zero(curly ^ all(b'}'));
        below(word, b'-') | brackets | zero(word ^ all(b'/')) | zero(word ^ all(b';')) | word
    };
    let end = find(bytes, at, odd, |byte| matches!(byte, ..b'-' | b'/' | b'['..=b']' | b'{'..=b'}' | b';' | 0x80..))?;
    (bytes.get(end) == Some(&b'"') && end > at).then_some(end)
}

/// A whole number of one to eighteen digits, and where it ends.
#[inline(always)]
pub(super) fn number(bytes: &[u8], at: usize) -> Option<(i64, usize)> {
    let rest = bytes.get(at..)?;
    let mut value = 0;
    let mut digits = 0;
    while let Some(digit @ b'0'..=b'9') = rest.get(digits) {
        if digits == 18 {
            return None;
        }
        value = value * 10 + i64::from(digit - b'0');
        digits += 1;
    }
    let leading_zero = digits > 1 && rest.first() == Some(&b'0');
    // What follows a number is told by the next literal of the shape: a fraction or an exponent does not match it.
    (digits > 0 && !leading_zero).then_some((value, at + digits))
}

/// The first byte from `at` on that is odd, by words of eight and then by single bytes. Marks above the first odd byte of a word may be wrong.
#[inline(always)]
fn find(bytes: &[u8], mut at: usize, odd_word: impl Fn(u64) -> u64, odd: impl Fn(u8) -> bool) -> Option<usize> {
    while let Some(word) = bytes.get(at..).and_then(<[u8]>::first_chunk) {
        let marks = odd_word(u64::from_le_bytes(*word)) & HIGH;
        if marks != 0 {
            return Some(at + (marks.trailing_zeros() / 8) as usize);
        }
        at += 8;
    }
    let rest = bytes.get(at..)?;
    Some(at + rest.iter().position(|byte| odd(*byte))?)
}

/// Marks bytes that are zero, by their high bit. Right up to the first marked one.
#[inline(always)]
fn zero(word: u64) -> u64 {
    word.wrapping_sub(all(1)) & !word
}

/// Marks bytes below `bound`, which is at most 0x80. Right up to the first marked one.
#[inline(always)]
fn below(word: u64, bound: u8) -> u64 {
    word.wrapping_sub(all(bound)) & !word
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ends() {
        for (text, plain, id) in [
            ("staff0001\",", Some(9), Some(9)),
            ("\"", Some(0), None),
            ("two words\"", Some(9), None),
            ("CAQQ+/=_1\"", Some(9), None),
            ("[12345678\"", Some(9), None),
            ("x}\"", Some(2), None),
            ("a/b\"", Some(3), None),
            ("a,b\"", Some(3), None),
            ("a|b, 12345678\"", Some(13), None),
            ("a;b\"", Some(3), None),
            ("a\\\"b\"", None, None),
            ("a\tb\"", None, None),
            ("李娜\"", None, None),
            ("endless", None, None),
        ] {
            assert_eq!((plain_end(text.as_bytes(), 0), id_end(text.as_bytes(), 0)), (plain, id), "{text}");
        }
    }

    #[test]
    fn numbers() {
        for (text, expected) in [
            ("1795000000000,", Some((1_795_000_000_000, 13))),
            ("0}", Some((0, 1))),
            ("007", None),
            ("-1", None),
            ("", None),
            ("999999999999999999", Some((999_999_999_999_999_999, 18))),
            ("1000000000000000000", None),
        ] {
            assert_eq!(number(text.as_bytes(), 0), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn words_and_bytes_agree(bytes in prop::collection::vec(prop_oneof![9 => b' '..=b'~', 1 => any::<u8>()], 0..40)) {
            let odd = |byte: u8| matches!(byte, ..0x20 | b'"' | b'\\' | 0x80..);
            let plain = bytes.iter().position(|byte| odd(*byte)).filter(|at| bytes[*at] == b'"');
            prop_assert_eq!(plain_end(&bytes, 0), plain);
            let json = [b"\"", &bytes[..], b"\""].concat();
            let read = serde_json::Deserializer::from_slice(&json).into_iter::<String>();
            let mut read = read.map(|read| read.is_ok());
            prop_assert_eq!(string_end(&json, 1).is_some(), read.next() == Some(true));
            let odd = |byte: u8| odd(byte) || b" !\"#$%&'()*+,/;[]{|}".contains(&byte);
            let id = bytes.iter().position(|byte| odd(*byte)).filter(|at| *at > 0 && bytes[*at] == b'"');
            prop_assert_eq!(id_end(&bytes, 0), id);
        }
    }
}
