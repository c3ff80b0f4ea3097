//! Numbers with a checksum or a known beginning.

use super::Found;
use super::glyphs::Glyphs;
use crate::calendar::Day;

/// Characters that may stand between two groups of digits.
const SEPARATORS_MAX: usize = 3;
/// Digits of the longest number.
const CARD_DIGITS_MAX: usize = 19;

/// Digits without anything between them.
#[derive(PartialEq)]
struct Group {
    first: usize,
    end: usize,
    digits: String,
    /// Whether it is parted from the group before by a space only; `None` when something else or nothing near stands there.
    spaced: Option<bool>,
}

/// Some groups in a row that are read as one number.
struct Number<'g> {
    glyphs: &'g Glyphs,
    groups: &'g [Group],
    digits: String,
}

pub(super) fn mobiles(glyphs: &Glyphs) -> Vec<Found> {
    numbers(glyphs, 11, 15, |number| {
        let prefix = country(&number.digits)?;
        let fused = number.groups.first().map_or(0, |group| group.digits.len());
        // What stands before the number itself must be in one piece with it, else the number is found by itself.
        if prefix >= fused || number.digits.len() - prefix != 11 || (prefix == 0 && !number.is_grouped_as(&MOBILE)) {
            return None;
        }
        let national = number.digits.get(prefix..)?;
        let mobile = national.starts_with('1') && matches!(national.as_bytes().get(1), Some(b'3'..=b'9'));
        mobile.then_some((prefix, 0))
    })
}

pub(super) fn bank_cards(glyphs: &Glyphs) -> Vec<Found> {
    numbers(glyphs, 12, CARD_DIGITS_MAX, |number| {
        let digits = number.digits.as_bytes();
        let varied = digits.iter().any(|digit| Some(digit) != digits.first());
        let good = varied
            && begins_like_a_card(&number.digits)
            && luhn(digits)
            && !number.touches_letters()
            && number.is_grouped_as(&CARD);
        good.then_some((0, 0))
    })
}

pub(super) fn resident_ids(glyphs: &Glyphs) -> Vec<Found> {
    numbers(glyphs, 17, 18, |number| {
        let (mut digits, mut tail) = (number.digits.clone(), 0);
        if digits.len() == 17 {
            // The check character X is a letter, so it stands behind the digits.
            let end = number.groups.last()?.end;
            let is_x = |gap: &usize| matches!(glyphs.c(end + gap), 'x' | '×' | 'Ⅹ' | 'ⅹ');
            let gap = (0..=SEPARATORS_MAX).find(is_x).filter(|gap| parted(glyphs, end, end + gap).is_some())?;
            digits.push('x');
            tail = gap + 1;
        }
        let end = number.groups.last()?.end + tail;
        let alone = !glyphs.c(end).is_ascii_alphanumeric() && !number.begins_at_letter();
        (alone && is_resident_id(&digits)).then_some((0, tail))
    })
}

/// Unified social credit codes have letters inside, so they are read from the glyphs themselves.
pub(super) fn usccs(glyphs: &Glyphs) -> Vec<Found> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < glyphs.len() {
        let end = (at..glyphs.len()).find(|index| !glyphs.c(*index).is_ascii_alphanumeric()).unwrap_or(glyphs.len());
        if end - at == 18 && is_uscc(&glyphs.text(at, end)) {
            found.extend(glyphs.found(at, end));
        }
        at = end + 1;
    }
    found
}

/// Looks at every stretch of neighbouring groups with so many digits in all; `accept` says how many digits at the front and how many
/// glyphs behind the end do and do not belong to it.
fn numbers(
    glyphs: &Glyphs,
    min: usize,
    max: usize,
    accept: impl Fn(&Number<'_>) -> Option<(usize, usize)>,
) -> Vec<Found> {
    let (whole, trimmed) = (groups(glyphs, false), groups(glyphs, true));
    let mut found = numbers_of(glyphs, &whole, min, max, &accept);
    // 打13800001234一下: a numeral beside a number need not belong to it. Most texts have none, and one reading.
    if trimmed == whole {
        return found;
    }
    for apart in numbers_of(glyphs, &trimmed, min, max, &accept) {
        let at = found.partition_point(|place| place.end <= apart.start);
        if found.get(at).is_none_or(|next| apart.end <= next.start) {
            found.insert(at, apart);
        }
    }
    found
}

fn numbers_of(
    glyphs: &Glyphs,
    groups: &[Group],
    min: usize,
    max: usize,
    accept: &impl Fn(&Number<'_>) -> Option<(usize, usize)>,
) -> Vec<Found> {
    let mut found: Vec<Found> = Vec::new();
    for (first, rest) in (0..groups.len()).filter_map(|first| Some((first, groups.get(first..)?))) {
        let mut digits = String::new();
        let mut longest = None;
        for (count, group) in (1..).zip(rest) {
            if count > 1 && group.spaced.is_none() {
                break;
            }
            digits.push_str(&group.digits);
            if digits.len() > max {
                break;
            }
            let Some(members) = groups.get(first..first + count).filter(|_| digits.len() >= min) else { continue };
            let number = Number { glyphs, groups: members, digits: digits.clone() };
            let Some((prefix, tail)) = accept(&number) else { continue };
            let begins = number.groups.first().map_or(0, |group| group.first) + prefix;
            longest = glyphs.found(begins, group.end + tail);
        }
        // A place inside the one before is the same number read otherwise.
        found.extend(longest.filter(|place| found.last().is_none_or(|last| place.start >= last.end)));
    }
    found
}

/// Digits that touch; `apart` without the Chinese numerals at the edges of one that has other digits.
fn groups(glyphs: &Glyphs, apart: bool) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    let mut at = 0;
    while at < glyphs.len() {
        let mut digits: String = (at..glyphs.len()).map_while(|index| glyphs.get(index)?.digit()).collect();
        if digits.is_empty() {
            at += 1;
            continue;
        }
        let is_plain = |index: &usize| glyphs.c(*index).is_ascii_digit();
        let all = at..at + digits.len();
        if apart && let (Some(first), Some(last)) = (all.clone().find(is_plain), all.clone().rfind(is_plain)) {
            digits = digits.get(first - all.start..=last - all.start).unwrap_or_default().to_owned();
            at = first;
        }
        let end = at + digits.len();
        let spaced = groups.last().and_then(|last| parted(glyphs, last.end, at));
        groups.push(Group { first: at, end, digits, spaced });
        at = end.max(all.end);
    }
    groups
}

/// How two groups are parted: by spaces only, by hyphens, dots or symbols, or by something that ends a number.
fn parted(glyphs: &Glyphs, from: usize, to: usize) -> Option<bool> {
    let between = || (from..to).map(|index| glyphs.c(index));
    let joins = |c: char| matches!(c, ' ' | '\t' | '-' | '.' | '_' | '·' | '•' | '~') || is_symbol(c);
    if to - from > SEPARATORS_MAX || !between().all(joins) {
        return None;
    }
    Some(between().all(|c| matches!(c, ' ' | '\t')))
}

/// Arrows, shapes, emoji: put between digits only to hide them.
fn is_symbol(c: char) -> bool {
    matches!(u32::from(c), 0x2190..=0x2BFF | 0x1F000..=0x1FAFF)
}

impl Number<'_> {
    /// Whether it is written as people write such a number: in one piece, in the usual groups, digit by digit, or with something other
    /// than spaces between all groups. Three prices in a row are none.
    fn is_grouped_as(&self, usual: &[&[usize]]) -> bool {
        let lengths: Vec<usize> = self.groups.iter().map(|group| group.digits.len()).collect();
        lengths.len() == 1
            || usual.contains(&lengths.as_slice())
            || lengths.iter().all(|length| *length <= 2)
            || self.groups.iter().skip(1).all(|group| group.spaced == Some(false))
    }

    fn begins_at_letter(&self) -> bool {
        self.groups.first().is_some_and(|group| self.glyphs.before(group.first).is_ascii_alphabetic())
    }

    fn touches_letters(&self) -> bool {
        self.begins_at_letter()
            || self.groups.last().is_some_and(|group| self.glyphs.c(group.end).is_ascii_alphabetic())
    }
}

const MOBILE: [&[usize]; 3] = [&[3, 4, 4], &[3, 8], &[7, 4]];
const CARD: [&[usize]; 8] = [
    &[4, 4, 4, 4],
    &[4, 4, 4, 4, 1],
    &[4, 4, 4, 4, 2],
    &[4, 4, 4, 4, 3],
    &[4, 6, 5],
    &[6, 10],
    &[6, 13],
    &[4, 4, 4, 7],
];

/// Digits in front of a mobile number: none, `86`, `0086`.
fn country(digits: &str) -> Option<usize> {
    match digits.len() {
        11 => Some(0),
        13 => digits.starts_with("86").then_some(2),
        15 => digits.starts_with("0086").then_some(4),
        _ => None,
    }
}

/// Cards begin with 3 to 6 or with 9 (the oldest Chinese ones), with 81 or 82, or with 2221 to 2720. Order numbers often begin otherwise.
fn begins_like_a_card(digits: &str) -> bool {
    let first = |count: usize| digits.get(..count).and_then(|front| front.parse::<u32>().ok()).unwrap_or_default();
    matches!(first(1), 3..=6 | 9) || matches!(first(2), 81 | 82) || matches!(first(4), 2221..=2720)
}

fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(at, digit)| {
            let value = u32::from(digit.wrapping_sub(b'0'));
            let doubled = value * (1 + u32::from(at % 2 == 1));
            doubled / 10 + doubled % 10
        })
        .sum();
    sum.is_multiple_of(10)
}

/// Provinces of GB/T 2260, and 81 to 83 for residents from Hong Kong, Macao and Taiwan; 91 is abroad.
fn is_province(code: u32) -> bool {
    matches!(code, 11..=15 | 21..=23 | 31..=37 | 41..=46 | 50..=54 | 61..=65 | 71 | 81..=83 | 91)
}

/// 17 digits and a check digit or `x`.
fn is_resident_id(id: &str) -> bool {
    let part = |from: usize, to: usize| id.get(from..to).and_then(|part| part.parse::<u32>().ok());
    let (Some(province), Some(year), Some(month), Some(day)) = (part(0, 2), part(6, 10), part(10, 12), part(12, 14))
    else {
        return false;
    };
    // `Day` begins with 1970; older people are checked on a year with the same leap days.
    let same = if year < 1970 { year + 400 } else { year };
    let born = i32::try_from(same).is_ok_and(|year| Day::of(year, month, day).is_some());
    is_province(province) && (1900..2100).contains(&year) && born && mod_11_2(id)
}

fn mod_11_2(id: &str) -> bool {
    let sum = id.chars().rev().zip(0..).try_fold(0, |sum, (c, at)| {
        let value = if c == 'x' { 10 } else { c.to_digit(10)? };
        Some((sum + value * (1 << at)) % 11)
    });
    sum == Some(1)
}

/// GB 32100: 31 symbols without I, O, Z, S and V; characters 3 to 8 are the digits of a district.
fn is_uscc(code: &str) -> bool {
    const SYMBOLS: &str = "0123456789abcdefghjklmnpqrtuwxy";
    let values: Option<Vec<usize>> = code.chars().map(|c| SYMBOLS.find(c)).collect();
    let Some(values) = values.filter(|values| values.len() == 18) else { return false };
    let district = code.chars().skip(2).take(6).all(|c| c.is_ascii_digit());
    let mut weight = 1;
    let mut sum = 0;
    for value in values.iter().take(17) {
        sum += value * weight;
        weight = weight * 3 % 31;
    }
    district && values.last() == Some(&((31 - sum % 31) % 31))
}
