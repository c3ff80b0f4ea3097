//! What one character may be written as instead: compatibility forms come from Unicode (NFKC), the tables here are what Unicode
//! does not call compatible and people use all the same.

use unicode_normalization::UnicodeNormalization;

/// Calls `emit` for each character the variant stands for; most stand for themselves.
pub(super) fn spell(c: char, emit: &mut dyn FnMut(char)) {
    if let Some(plain) = enclosed(c).or_else(|| look_alike(c)).or_else(|| radical(c)) {
        return emit(plain);
    }
    for part in std::iter::once(c).nfkc() {
        emit(look_alike(part).or_else(|| radical(part)).unwrap_or(part));
    }
}

/// Chinese numerals, also the forms of cheques, as ASCII digits.
pub(super) fn numeral(c: char) -> Option<char> {
    Some(match c {
        '零' | '〇' => '0',
        '一' | '壹' | '弌' => '1',
        '二' | '贰' | '弍' => '2',
        '三' | '叁' | '弎' => '3',
        '四' | '肆' => '4',
        '五' | '伍' => '5',
        '六' | '陆' => '6',
        '七' | '柒' => '7',
        '八' | '捌' => '8',
        '九' | '玖' => '9',
        _ => return None,
    })
}

/// Digits and letters in circles, squares and flags that NFKC leaves as they are.
fn enclosed(c: char) -> Option<char> {
    let u = u32::from(c);
    let digit = |first: u32, value: u32| char::from_digit((u - first + value) % 10, 10);
    let letter = |first: u32| u8::try_from((u - first) % 26).ok().map(|at| char::from(b'a' + at));
    match u {
        0x24EA | 0x24FF => Some('0'),
        0x24F5..=0x24FD => digit(0x24F5, 1),
        0x2776..=0x277E => digit(0x2776, 1),
        0x2780..=0x2788 => digit(0x2780, 1),
        0x278A..=0x2792 => digit(0x278A, 1),
        // One to nine only: the larger ones and C, D, L, M are letters to most readers.
        0x2160..=0x2168 => digit(0x2160, 1),
        0x2170..=0x2178 => digit(0x2170, 1),
        0x1F10B | 0x1F10C => Some('0'),
        0x1F150..=0x1F169 => letter(0x1F150),
        0x1F170..=0x1F189 => letter(0x1F170),
        0x1F1E6..=0x1F1FF => letter(0x1F1E6),
        _ => None,
    }
}

/// Letters of other scripts and phonetic signs that look like Latin ones, as the lower-case letter.
fn look_alike(c: char) -> Option<char> {
    Some(match c {
        'а' | 'А' | 'α' | 'Α' | 'ᴀ' | 'ɑ' => 'a',
        'В' | 'Β' | 'ʙ' | 'Ь' => 'b',
        'с' | 'С' | 'ϲ' | 'ᴄ' => 'c',
        'ᴅ' | 'ԁ' => 'd',
        'е' | 'Е' | 'Ε' | 'ε' | 'ᴇ' => 'e',
        'ɢ' | 'ɡ' => 'g',
        'Н' | 'Η' | 'ʜ' | 'һ' => 'h',
        'і' | 'І' | 'ι' | 'Ι' | 'ɪ' | 'ı' => 'i',
        'ј' | 'Ј' | 'ᴊ' => 'j',
        'к' | 'К' | 'κ' | 'Κ' | 'ᴋ' => 'k',
        'ʟ' | 'ӏ' => 'l',
        'м' | 'М' | 'Μ' | 'ᴍ' => 'm',
        'ɴ' | 'Ν' => 'n',
        'о' | 'О' | 'ο' | 'Ο' | 'ᴏ' => 'o',
        'р' | 'Р' | 'ρ' | 'Ρ' | 'ᴘ' => 'p',
        'ԛ' => 'q',
        'ʀ' => 'r',
        'ѕ' | 'Ѕ' | 'ꜱ' => 's',
        'т' | 'Т' | 'τ' | 'Τ' | 'ᴛ' => 't',
        'ᴜ' | 'υ' => 'u',
        'ѵ' | 'Ѵ' | 'ν' | 'ᴠ' => 'v',
        'ԝ' | 'ω' | 'ᴡ' => 'w',
        'х' | 'Х' | 'χ' | 'Χ' => 'x',
        'у' | 'У' | 'γ' | 'Υ' | 'ʏ' => 'y',
        'ᴢ' | 'Ζ' => 'z',
        _ => return None,
    })
}

/// Radicals that stand for a whole character and that Unicode does not call compatible.
fn radical(c: char) -> Option<char> {
    Some(match c {
        '⺝' | '⺼' => '月',
        '⺠' => '民',
        '⺮' => '竹',
        '⺷' => '羊',
        '⺾' => '艹',
        '⻅' => '见',
        '⻆' => '角',
        '⻉' => '贝',
        '⻋' => '车',
        '⻓' => '长',
        '⻔' => '门',
        '⻘' => '青',
        '⻙' => '韦',
        '⻚' => '页',
        '⻛' => '风',
        '⻜' => '飞',
        '⻝' => '食',
        '⻢' => '马',
        '⻣' => '骨',
        '⻤' => '鬼',
        '⻥' => '鱼',
        '⻦' => '鸟',
        '⻨' => '麦',
        '⻩' => '黄',
        '⻬' => '齐',
        '⻮' => '齿',
        '⻰' => '龙',
        _ => return None,
    })
}
