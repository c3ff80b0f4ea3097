//! When exports are expected in a folder, and whether they have stopped coming.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use watchpost_policy::calendar::Calendar;

const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 24 * 60 * MINUTE_MS;
/// Times of day are Beijing's, eight hours ahead of UTC.
const BEIJING_MS: i64 = 8 * 60 * MINUTE_MS;
/// WeCom lets messages be fetched for so long; those nobody fetched are gone.
const ARCHIVE_KEEPS_MS: i64 = 5 * DAY_MS;
/// Days without work that follow each other; holidays have at most nine.
const REST_DAYS_MAX: i64 = 30;

/// How often exports come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expectation {
    /// Every day, by this minute of the day in Beijing; or only every day with work hours.
    Daily {
        /// Minutes since midnight.
        by: u16,
        /// Whether days without work hours are left out.
        work_days: bool,
    },
    /// One within this time after the other.
    Every(Duration),
}

/// What came of an expectation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fed {
    /// Since when an export is missing, milliseconds since 1970; `None` while none is.
    pub starved_ms: Option<i64>,
    /// When the newest export came; `None` where none has.
    pub last_ms: Option<i64>,
}

impl Fed {
    /// When messages begin to be gone for good that no export has brought; `None` while none is missing, or where none has ever come.
    pub fn gone_from_ms(self) -> Option<i64> {
        self.starved_ms.and(self.last_ms).map(|last_ms| last_ms.saturating_add(ARCHIVE_KEEPS_MS))
    }
}

impl Expectation {
    /// How a folder stands that has been watched since `since_ms` and whose newest export came at `last_ms`. An export counts for the time it is
    /// expected by next, so one that comes late is taken for the next.
    pub fn judge(self, since_ms: i64, last_ms: Option<i64>, now_ms: i64) -> Fed {
        let missed_ms = match (self, last_ms) {
            (Self::Every(within), last) => {
                last.unwrap_or(since_ms).saturating_add(i64::try_from(within.as_millis()).unwrap_or(i64::MAX))
            }
            (Self::Daily { .. }, None) => self.next_after(since_ms),
            (Self::Daily { .. }, Some(last)) => self.next_after(self.next_after(last.saturating_sub(1))),
        };
        Fed { starved_ms: Some(missed_ms).filter(|missed| *missed <= now_ms), last_ms }
    }

    /// The next time by which one is expected.
    fn next_after(self, ms: i64) -> i64 {
        let Self::Daily { by, work_days } = self else { return i64::MAX };
        let calendar = work_days.then(Calendar::cn);
        let first = ms.saturating_add(BEIJING_MS).div_euclid(DAY_MS);
        let deadlines = (first..=first.saturating_add(REST_DAYS_MAX))
            .map(|day| day.saturating_mul(DAY_MS).saturating_add(i64::from(by) * MINUTE_MS).saturating_sub(BEIJING_MS));
        let is_expected = |deadline: &i64| calendar.as_ref().is_none_or(|calendar| calendar.is_work_day(*deadline));
        deadlines.into_iter().find(|deadline| *deadline > ms && is_expected(deadline)).unwrap_or(i64::MAX)
    }
}

impl fmt::Display for Expectation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Daily { by, work_days } => {
                let days = if *work_days { "work days" } else { "daily" };
                write!(f, "{days} by {:02}:{:02}", by / 60, by % 60)
            }
            Self::Every(within) if within.as_secs() % 3600 == 0 => write!(f, "every {}h", within.as_secs() / 3600),
            Self::Every(within) => write!(f, "every {}m", within.as_secs() / 60),
        }
    }
}

/// `daily by 09:00`, `work days by 09:00`, `every 2h`, `every 30m`.
impl FromStr for Expectation {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const SHAPE: &str = "must be such as \"daily by 09:00\", \"work days by 09:00\" or \"every 2h\"";
        let words: Vec<&str> = text.split_whitespace().collect();
        let daily = |by, work_days| Some(Self::Daily { by: minute(by)?, work_days });
        let read = match words.as_slice() {
            ["daily", "by", by] => daily(by, false),
            ["work", "days", "by", by] => daily(by, true),
            ["every", within] => every(within),
            _ => None,
        };
        read.ok_or(SHAPE)
    }
}

fn minute(time: &str) -> Option<u16> {
    let (hours, minutes) = time.split_once(':')?;
    let number = |text: &str, max: u16| text.parse::<u16>().ok().filter(|number| text.len() == 2 && *number <= max);
    Some(number(hours, 23)? * 60 + number(minutes, 59)?)
}

fn every(within: &str) -> Option<Expectation> {
    let (number, seconds) = match within.strip_suffix('h') {
        Some(hours) => (hours, 3600),
        None => (within.strip_suffix('m')?, 60),
    };
    let number = number.parse::<u64>().ok().filter(|number| (1..=10_000).contains(number))?;
    Some(Expectation::Every(Duration::from_secs(number * seconds)))
}

#[cfg(test)]
mod tests {
    use watchpost_policy::calendar::Day;

    use super::*;

    /// A minute of a day of November 2026 in Beijing; the 20th is a Friday.
    fn at(day: u32, time: &str) -> i64 {
        Day::of(2026, 11, day).unwrap().start_ms() - BEIJING_MS + i64::from(minute(time).unwrap()) * MINUTE_MS
    }

    #[test]
    fn an_export_is_missed_once_its_time_has_passed() {
        let daily: Expectation = "daily by 09:00".parse().unwrap();
        let work_days: Expectation = "work days by 09:00".parse().unwrap();
        let hourly: Expectation = "every 2h".parse().unwrap();
        let since = at(18, "12:00");
        for (what, expectation, last, now, starved) in [
            ("none yet", daily, None, at(19, "08:59"), None),
            ("never any", daily, None, at(19, "09:00"), Some(at(19, "09:00"))),
            ("today's has come", daily, Some(at(20, "08:30")), at(20, "23:59"), None),
            ("until tomorrow's", daily, Some(at(20, "08:30")), at(21, "08:59"), None),
            ("tomorrow's has not", daily, Some(at(20, "08:30")), at(22, "10:00"), Some(at(21, "09:00"))),
            ("on time to the minute", daily, Some(at(20, "09:00")), at(21, "08:59"), None),
            ("late is for the next", daily, Some(at(20, "10:00")), at(22, "08:59"), None),
            ("written the night before", daily, Some(at(19, "23:30")), at(20, "12:00"), None),
            ("no work, no export", work_days, Some(at(20, "08:30")), at(22, "12:00"), None),
            ("Monday's", work_days, Some(at(20, "08:30")), at(23, "09:01"), Some(at(23, "09:00"))),
            ("within two hours", hourly, Some(at(20, "08:30")), at(20, "10:29"), None),
            ("not within two hours", hourly, Some(at(20, "08:30")), at(20, "10:30"), Some(at(20, "10:30"))),
            ("none within two hours", hourly, None, at(18, "14:00"), Some(at(18, "14:00"))),
        ] {
            assert_eq!(expectation.judge(since, last, now).starved_ms, starved, "{what}");
        }
        let fed = daily.judge(since, Some(at(20, "08:30")), at(22, "10:00"));
        assert_eq!(fed.gone_from_ms(), Some(at(25, "08:30")));
        assert_eq!(daily.judge(since, None, at(22, "10:00")).gone_from_ms(), None);
        assert_eq!(daily.judge(since, Some(at(22, "08:30")), at(22, "10:00")).gone_from_ms(), None);
        for extreme in [i64::MIN, i64::MAX] {
            daily.judge(extreme, Some(extreme), extreme);
            hourly.judge(extreme, None, extreme);
        }
    }

    #[test]
    fn it_is_written_as_it_is_read() {
        for text in ["daily by 09:00", "work days by 23:59", "every 2h", "every 30m"] {
            assert_eq!(text.parse::<Expectation>().unwrap().to_string(), text);
        }
        for wrong in
            ["", "daily", "daily by 9:00", "daily by 24:00", "every 0h", "every day", "every 99999h", "weekly by 09:00"]
        {
            assert!(wrong.parse::<Expectation>().is_err(), "{wrong}");
        }
    }
}
