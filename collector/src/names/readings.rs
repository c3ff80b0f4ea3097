//! Names by what is typed of them: characters, or how they are read (`zwj`, `zhangwj`, `张` find 张伟杰).

use pinyin::ToPinyinMulti as _;

/// Characters of a name that are looked at.
const NAME_CHARS_MAX: usize = 64;
/// Letters of what is typed.
const LETTERS_MAX: usize = 64;

/// What is looked for in names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sought {
    text: String,
    /// Set where it may be how a name is read.
    letters: Option<Vec<u8>>,
}

impl Sought {
    /// What a person typed.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let text = text.trim().to_lowercase();
        let letters: Vec<u8> = text.bytes().filter(|byte| *byte != b' ').collect();
        let read = (1..=LETTERS_MAX).contains(&letters.len()) && letters.iter().all(u8::is_ascii_lowercase);
        Self { letters: read.then_some(letters), text }
    }

    /// Whether a name has it: as it stands, or read from any of its characters on, of each at least the first letter. Of a
    /// character with several readings any will do.
    #[must_use]
    pub fn is_in(&self, name: &str) -> bool {
        if self.text.is_empty() {
            return false;
        }
        if name.to_lowercase().contains(&self.text) {
            return true;
        }
        self.letters.as_ref().is_some_and(|letters| is_read(name, letters))
    }
}

/// At each character, which numbers of letters may be read before it.
fn is_read(name: &str, letters: &[u8]) -> bool {
    let mut reached = vec![false; letters.len() + 1];
    for c in name.chars().filter(|c| !c.is_whitespace()).take(NAME_CHARS_MAX) {
        // A name may be read from any character on.
        reached[0] = true;
        let mut next = vec![false; letters.len() + 1];
        for (at, _) in reached.iter().enumerate().filter(|(_, is_reached)| **is_reached) {
            let rest = letters.get(at..).unwrap_or_default();
            if let Some(several) = c.to_pinyin_multi() {
                several.into_iter().for_each(|reading| read(reading.plain().as_bytes(), rest, at, &mut next));
            } else {
                let mut own = [0; 4];
                read(c.to_ascii_lowercase().encode_utf8(&mut own).as_bytes(), rest, at, &mut next);
            }
        }
        if next.last() == Some(&true) {
            return true;
        }
        reached = next;
    }
    false
}

/// Every beginning of a reading that the letters begin with is a way on.
fn read(reading: &[u8], rest: &[u8], at: usize, next: &mut [bool]) {
    let common = reading.iter().zip(rest).take_while(|(a, b)| a == b).count();
    for length in 1..=common {
        if let Some(reached) = next.get_mut(at + length) {
            *reached = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_found_as_it_is_typed() {
        for (typed, name, expected) in [
            ("zwj", "张伟杰", true),
            ("zhangwj", "张伟杰", true),
            ("ZhangWeijie", "张伟杰", true),
            ("zhang wei jie", "张伟杰", true),
            ("wj", "张伟杰", true),
            ("张", "张伟杰", true),
            ("zj", "张伟杰", false),
            ("zwjx", "张伟杰", false),
            ("hang", "张伟杰", false),
            // 单 is read shan as a surname, and dan; 曾 zeng and ceng.
            ("sxf", "单晓峰", true),
            ("dxf", "单晓峰", true),
            ("zengg", "曾刚", true),
            ("cg", "曾刚", true),
            ("vipq", "VIP群", true),
            ("vip客户", "VIP客户群", true),
            ("ann", "Anna Li", true),
            ("", "张伟杰", false),
            ("1001", "张伟杰", false),
        ] {
            assert_eq!(Sought::of(typed).is_in(name), expected, "{typed} in {name}");
        }
    }
}
