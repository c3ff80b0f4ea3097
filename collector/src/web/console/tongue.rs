//! Chinese and English: what is said, and how moments and spans are written. Days are those of +08:00.

use maud::{Markup, html};
use time::OffsetDateTime;
use time::macros::{format_description, offset};

use crate::web::problem::Kind;

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;

/// The language of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::web) enum Tongue {
    Zh,
    En,
}

impl Tongue {
    /// The one of the two that is spoken.
    pub(in crate::web) fn of<T>(self, zh: T, en: T) -> T {
        match self {
            Self::Zh => zh,
            Self::En => en,
        }
    }

    /// As HTML and headers name it.
    pub(in crate::web) fn code(self) -> &'static str {
        self.of("zh-CN", "en")
    }

    /// What is the matter, and what to do next.
    pub(in crate::web) fn problem(self, kind: Kind) -> (&'static str, &'static str) {
        let words = kind.words();
        (self.of(words.title_zh, words.title), self.of(words.next_zh, words.next))
    }

    /// A level of a rule.
    pub(in crate::web) fn level(self, level: &str) -> &str {
        match level {
            "critical" => self.of("紧急", "Critical"),
            "high" => self.of("高", "High"),
            "medium" => self.of("中", "Medium"),
            "low" => self.of("低", "Low"),
            "info" => self.of("提示", "Info"),
            other => other,
        }
    }

    /// A span of time in its largest unit: `3 分钟`, `3 min`.
    pub(in crate::web) fn span(self, ms: i64) -> String {
        let ms = ms.saturating_abs();
        let (number, zh, en) = match ms {
            _ if ms < MINUTE_MS => return self.of("不到 1 分钟", "under 1 min").to_owned(),
            _ if ms < HOUR_MS => (ms / MINUTE_MS, "分钟", "min"),
            _ if ms < 2 * DAY_MS => (ms / HOUR_MS, "小时", "h"),
            _ => (ms / DAY_MS, "天", "d"),
        };
        format!("{number} {}", self.of(zh, en))
    }

    /// How long ago, or how soon: the moment itself is in the title.
    pub(in crate::web) fn ago(self, ms: i64, now_ms: i64) -> Markup {
        let span = self.span(now_ms.saturating_sub(ms));
        let text = match (self, ms > now_ms) {
            (Self::Zh, false) => format!("{span}前"),
            (Self::En, false) => format!("{span} ago"),
            (Self::Zh, true) => format!("{span}后"),
            (Self::En, true) => format!("in {span}"),
        };
        html! { time datetime=(machine(ms)) title=(moment(ms)) { (text) } }
    }

    /// A moment, to the minute.
    pub(in crate::web) fn at(self, ms: i64) -> Markup {
        html! { time datetime=(machine(ms)) title=(moment(ms)) { (minute(ms)) } }
    }

    /// A number with its thousands apart.
    pub(in crate::web) fn number(self, number: u64) -> String {
        let digits = number.to_string();
        let mut out = String::with_capacity(digits.len() + digits.len() / 3);
        for (place, digit) in digits.chars().enumerate() {
            if place > 0 && (digits.len() - place).is_multiple_of(3) {
                out.push(',');
            }
            out.push(digit);
        }
        out
    }
}

fn local(ms: i64) -> Option<OffsetDateTime> {
    let utc = OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000).ok()?;
    Some(utc.to_offset(offset!(+8)))
}

/// `2026-11-23 09:12:07 +08:00`.
pub(in crate::web) fn moment(ms: i64) -> String {
    let format = format_description!("[year]-[month]-[day] [hour]:[minute]:[second] +08:00");
    local(ms).and_then(|at| at.format(format).ok()).unwrap_or_else(|| ms.to_string())
}

/// `2026-11-23 09:12`.
fn minute(ms: i64) -> String {
    let format = format_description!("[year]-[month]-[day] [hour]:[minute]");
    local(ms).and_then(|at| at.format(format).ok()).unwrap_or_else(|| ms.to_string())
}

/// `2026-11-23`, at +08:00.
pub(in crate::web) fn day(ms: i64) -> String {
    moment(ms).chars().take(10).collect()
}

fn machine(ms: i64) -> String {
    moment(ms).replacen(' ', "T", 1).replace(' ', "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_those_of_the_office() {
        assert_eq!(moment(1_795_368_000_000), "2026-11-23 01:20:00 +08:00");
        assert_eq!(machine(1_795_368_000_000), "2026-11-23T01:20:00+08:00");
        assert_eq!(day(i64::MAX), i64::MAX.to_string().chars().take(10).collect::<String>());
    }

    #[test]
    fn spans_and_numbers_read_well() {
        let spans = [0, 59_999, MINUTE_MS, 90 * MINUTE_MS, 47 * HOUR_MS, 50 * HOUR_MS, i64::MIN];
        let said: Vec<String> = spans.into_iter().map(|ms| Tongue::En.span(ms)).collect();
        assert_eq!(said, ["under 1 min", "under 1 min", "1 min", "1 h", "47 h", "2 d", "106751991167 d"]);
        let numbers = [0, 999, 1000, 12_345_678].map(|number| Tongue::Zh.number(number));
        assert_eq!(numbers, ["0", "999", "1,000", "12,345,678"]);
    }
}
