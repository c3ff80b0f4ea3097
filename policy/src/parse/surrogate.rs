//! Replaces halves of surrogate pairs in JSON text, which `serde_json` refuses.

use std::ops::Range;

/// The text with every lone `\uD800`–`\uDFFF` escape replaced by `\ufffd`, or `None` when there is none.
pub(super) fn replace_lone(text: &str) -> Option<String> {
    let lone = find_lone(text.as_bytes());
    if lone.is_empty() {
        return None;
    }
    let mut out = String::with_capacity(text.len());
    let mut done = 0;
    for at in lone {
        out.push_str(&text[done..at.start]);
        out.push_str("\\ufffd");
        done = at.end;
    }
    out.push_str(&text[done..]);
    Some(out)
}

/// Ranges of lone surrogate escapes. A backslash can only stand inside a JSON string, so quotes need no tracking.
fn find_lone(bytes: &[u8]) -> Vec<Range<usize>> {
    let mut lone = Vec::new();
    let mut at = 0;
    while let Some(found) = bytes.get(at..).and_then(|rest| rest.iter().position(|&b| b == b'\\')) {
        let escape = at + found;
        at = match unit(bytes, escape) {
            None => escape + 2,
            Some(0xD800..=0xDBFF) if matches!(unit(bytes, escape + 6), Some(0xDC00..=0xDFFF)) => escape + 12,
            Some(0xD800..=0xDFFF) => {
                lone.push(escape..escape + 6);
                escape + 6
            }
            Some(_) => escape + 6,
        };
    }
    lone
}

/// The UTF-16 unit of a `\uXXXX` escape that starts at `at`.
fn unit(bytes: &[u8], at: usize) -> Option<u16> {
    let escape = bytes.get(at..at + 6)?;
    if &escape[..2] != b"\\u" {
        return None;
    }
    escape[2..].iter().try_fold(0_u16, |unit, &digit| Some(unit << 4 | char::from(digit).to_digit(16)? as u16))
}

#[cfg(test)]
mod tests {
    use super::replace_lone;

    #[test]
    fn replaces_only_lone_halves() {
        for (input, expected) in [
            (r#""\ud83d\ude42""#, None),
            (r#""plain""#, None),
            (r#""\ud83d""#, Some(r#""\ufffd""#)),
            (r#""\ude42x""#, Some(r#""\ufffdx""#)),
            (r#""\ud83d\ud83d\ude42""#, Some(r#""\ufffd\ud83d\ude42""#)),
            // An escaped backslash followed by letters is no escape.
            (r#""\\ud83d""#, None),
            (r#""\\\ud83d""#, Some(r#""\\\ufffd""#)),
            // Cut off in the middle.
            (r#""\ud8"#, None),
            (r"\", None),
        ] {
            assert_eq!(replace_lone(input).as_deref(), expected, "{input}");
        }
    }
}
