//! The quoted part of a reply. A reply is not structured in the archive: the client pastes what is quoted before what is said.
//!
//! ```text
//! 这是一条引用/回复消息：          「李娜：报价单稍后发您」
//! "李娜：                          - - - - - - - - - - -
//! 报价单稍后发您"                  收到，谢谢
//! ------
//! 收到，谢谢
//! ```
//!
//! A quoted reply may itself quote; its marks are counted. Whoever types the marks by hand hides what stands between them, so a rule for
//! which that matters says `quoted: true`.

/// What the client writes above a quoted message.
const MARKS: [&str; 2] = ["这是一条引用/回复消息", "This is a quote/reply"];

/// What other clients open a quotation with.
const BRACKET: char = '「';

/// Whether a text begins as one that quotes does.
pub(crate) fn may_quote(text: &str) -> bool {
    text.starts_with(BRACKET) || is_mark(text)
}

/// Characters at the beginning of a text that quote somebody else; 0 when nothing is quoted.
pub(crate) fn quoted_chars(text: &str) -> u32 {
    let quoted = if is_mark(text) {
        marked(text)
    } else if text.starts_with(BRACKET) {
        bracketed(text)
    } else {
        None
    };
    quoted.map_or(0, |bytes| text[..bytes].chars().count() as u32)
}

/// Bytes up to behind the line that ends the quotation begun by a mark.
fn marked(text: &str) -> Option<usize> {
    let (mut open, mut at) = (0_u32, 0);
    for line in text.split_inclusive('\n') {
        at += line.len();
        if is_mark(line.trim_start_matches(['"', '“'])) {
            open += 1;
        } else if is_rule(line) {
            open = open.checked_sub(1)?;
            if open == 0 {
                return Some(at);
            }
        }
    }
    None
}

/// Bytes up to behind the dashed line below the closing bracket.
fn bracketed(text: &str) -> Option<usize> {
    let mut open = 0_u32;
    for (at, c) in text.char_indices() {
        match c {
            '「' => open += 1,
            '」' => open = open.checked_sub(1)?,
            _ => {}
        }
        if open == 0 {
            let rest = text.get(at + c.len_utf8()..)?;
            let below = rest.strip_prefix("\r\n").or_else(|| rest.strip_prefix('\n'))?;
            let line = below.split_inclusive('\n').next()?;
            return is_rule(line).then(|| text.len() - below.len() + line.len());
        }
    }
    None
}

fn is_mark(line: &str) -> bool {
    MARKS.iter().any(|mark| line.strip_prefix(mark).is_some_and(|rest| rest.starts_with(['：', ':'])))
}

/// A line of dashes, with or without spaces between them.
fn is_rule(line: &str) -> bool {
    let line = line.trim();
    line.chars().filter(|c| *c == '-').count() >= 3 && line.chars().all(|c| matches!(c, '-' | ' '))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> String {
        text.chars().skip(quoted_chars(text) as usize).collect()
    }

    #[test]
    fn what_is_quoted_is_parted_from_what_is_said() {
        for (name, text, expected) in [
            ("the client's mark", "这是一条引用/回复消息：\n\"李娜：\n零风险\"\n------\n收到", "收到"),
            ("in English", "This is a quote/reply:\n\"Li: no risk\"\n------\nfine", "fine"),
            ("Windows line ends", "这是一条引用/回复消息：\r\n\"李娜：零风险\"\r\n------\r\n收到", "收到"),
            (
                "a quoted reply",
                "这是一条引用/回复消息：\n\"王总：\n这是一条引用/回复消息：\n\"李娜：甲\"\n------\n乙\"\n------\n丙",
                "丙",
            ),
            ("brackets", "「李娜：零风险」\n- - - - - - - -\n收到", "收到"),
            ("brackets in brackets", "「王总：「李娜：甲」\n- - - - -\n乙」\n- - - - -\n丙", "丙"),
            ("nothing said", "「李娜：零风险」\n- - - - -", ""),
            ("no quotation", "零风险", "零风险"),
            ("a mark without an end", "这是一条引用/回复消息：\n零风险", "这是一条引用/回复消息：\n零风险"),
            (
                "a mark inside",
                "看：这是一条引用/回复消息：\n甲\n------\n乙",
                "看：这是一条引用/回复消息：\n甲\n------\n乙",
            ),
            ("a word in brackets", "「零风险」产品", "「零风险」产品"),
            ("a dashed line alone", "零风险\n------\n收到", "零风险\n------\n收到"),
            ("brackets without a line", "「李娜：零风险」\n收到", "「李娜：零风险」\n收到"),
            ("brackets the wrong way round", "」「", "」「"),
            ("nothing", "", ""),
        ] {
            assert_eq!(said(text), expected, "{name}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_has_an_answer(text in "(这是一条引用/回复消息：|「|」|\\n|---|- - -|甲|\"){0,20}") {
            proptest::prop_assert!(quoted_chars(&text) as usize <= text.chars().count());
        }
    }
}
