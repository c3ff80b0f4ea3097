//! Times written as dates, as people's exports have them: in Beijing's time unless they say otherwise.

use crate::calendar::Day;

const MINUTE_MS: i64 = 60_000;
/// Minutes east of UTC where nothing is said.
const BEIJING_MINUTES: i64 = 8 * 60;
/// What exporters write behind a time, and the minutes east of UTC it means. `CST` is China's here.
const ZONES: [(&str, i64); 12] = [
    ("CST", BEIJING_MINUTES),
    ("GMT+8", BEIJING_MINUTES),
    ("GMT+08:00", BEIJING_MINUTES),
    ("UTC+8", BEIJING_MINUTES),
    ("UTC+08:00", BEIJING_MINUTES),
    ("+08:00", BEIJING_MINUTES),
    ("+0800", BEIJING_MINUTES),
    ("+00:00", 0),
    ("+0000", 0),
    ("GMT", 0),
    ("UTC", 0),
    ("Z", 0),
];

/// `2026-03-02 10:01:01`, with `/` or `年月日`, with `T`, fractions, a zone: as milliseconds since 1970.
pub(super) fn milliseconds(text: &str) -> Option<i64> {
    // As spreadsheets of other programs print whole numbers.
    if let Some(digits) = text.strip_suffix(".0") {
        return digits.parse().ok();
    }
    let (text, zone) = zoned(text.trim());
    let (date, time) = text.split_once([' ', 'T', '日']).unwrap_or((text, ""));
    let mut parts = date.trim_end_matches('日').split(['-', '/', '.', '年', '月']);
    let mut number = || number(parts.next()?, 4);
    let day = Day::of(i32::try_from(number()?).ok()?, u32::try_from(number()?).ok()?, u32::try_from(number()?).ok()?)?;
    if parts.next().is_some() {
        return None;
    }
    Some(day.start_ms() + of_day(time.trim())? - zone * MINUTE_MS)
}

/// `20260302100101`, as Java prints it. As milliseconds that would be in the year 2612.
pub(super) fn of_digits(text: &str) -> Option<i64> {
    let part = |range: std::ops::Range<usize>| text.get(range);
    if text.len() != 14 || !text.starts_with("20") {
        return None;
    }
    let (date, time) =
        ([part(0..4)?, part(4..6)?, part(6..8)?].join("-"), [part(8..10)?, part(10..12)?, part(12..14)?].join(":"));
    milliseconds(&format!("{date} {time}"))
}

/// The text without its zone, and the minutes east of UTC it means.
fn zoned(text: &str) -> (&str, i64) {
    let zones = ZONES.into_iter().filter_map(|(name, minutes)| Some((text.strip_suffix(name)?.trim_end(), minutes)));
    // Only behind a time: `-08:00` is nobody's date.
    let mut zones = zones.filter(|(text, _)| text.contains(':'));
    zones.next().unwrap_or((text, BEIJING_MINUTES))
}

/// `10:01:01.500` as milliseconds; nothing is midnight.
fn of_day(time: &str) -> Option<i64> {
    if time.is_empty() {
        return Some(0);
    }
    let (time, fraction) = time.split_once(['.', ',']).unwrap_or((time, ""));
    let mut parts = time.split(':');
    let (hour, minute) = (number(parts.next()?, 2)?, number(parts.next()?, 2)?);
    let second = parts.next().map_or(Some(0), |second| number(second, 2))?;
    if hour > 23 || minute > 59 || second > 60 || parts.next().is_some() {
        return None;
    }
    let ms = if fraction.is_empty() { 0 } else { number(&format!("{fraction:0<3.3}"), 3)? };
    Some(((hour * 60 + minute) * 60 + second) * 1000 + ms)
}

fn number(digits: &str, most: usize) -> Option<i64> {
    let fits = (1..=most).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    if fits { digits.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::milliseconds;

    #[test]
    fn digits_that_are_a_date() {
        assert_eq!(super::of_digits("20260302100101"), Some(1_772_416_861_000));
        for no_date in ["1772416861007", "20261302100101", "19990302100101", "2026030210010", "202603021001011"] {
            assert_eq!(super::of_digits(no_date), None, "{no_date}");
        }
    }

    #[test]
    fn dates_as_exports_write_them() {
        let at = Some(1_772_416_861_000);
        for (text, expected) in [
            ("2026-03-02 10:01:01", at),
            ("2026/03/02 10:01:01", at),
            ("2026/3/2 10:01:01", at),
            ("2026-03-02T10:01:01+08:00", at),
            ("2026-03-02 10:01:01 CST", at),
            ("2026-03-02 10:01:01 GMT+8", at),
            ("2026-03-02T02:01:01Z", at),
            ("2026-03-02 02:01:01 UTC", at),
            ("2026年3月2日 10:01:01", at),
            ("2026年03月02日10:01:01", at),
            ("2026-03-02 10:01:01.007", Some(1_772_416_861_007)),
            ("2026-03-02 10:01:01.5", Some(1_772_416_861_500)),
            ("2026-03-02 10:01", Some(1_772_416_860_000)),
            ("2026-03-02", Some(1_772_380_800_000)),
            ("1772416861007.0", Some(1_772_416_861_007)),
            ("2026-02-30 10:00:00", None),
            ("2026-03-02 25:00:00", None),
            ("2026-03-02 10:01:01:01", None),
            ("2026-03-02-01 10:00:00", None),
            ("yesterday", None),
            ("", None),
            ("-08:00", None),
            ("2026-03-02 10:01:01 九", None),
            ("２０２６-03-02", None),
        ] {
            assert_eq!(milliseconds(text), expected, "{text}");
        }
    }
}
