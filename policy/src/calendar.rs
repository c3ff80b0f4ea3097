//! Work calendars: hours by weekday, public holidays, make-up days. Pure arithmetic on milliseconds at a fixed distance from UTC.
//!
//! `cn` is built in: Monday to Friday 09:00–18:00 at +08:00, with the holidays and make-up days (调休上班) that the State Council's
//! yearly notices name. A year without a notice is taken by its weekdays alone, until the table has it.

use std::collections::BTreeSet;
use std::ops::Range;

/// A day as its number since 1970-01-01.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(pub i32);

/// Minutes of a day, from 0 to 1,440.
pub type Minutes = Range<u16>;

/// When work is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Calendar {
    /// Minutes east of UTC.
    pub offset_minutes: i32,
    /// Work hours by weekday, Monday first; stretches in order, none overlapping another. A make-up day has those of the first weekday with any.
    pub week: [Vec<Minutes>; 7],
    /// Days off, whatever weekday they fall on.
    pub holidays: BTreeSet<Day>,
    /// Make-up days: work is done although the weekday is free.
    pub work_days: BTreeSet<Day>,
}

/// The last year whose holidays the built-in calendar knows.
pub const CN_LAST_YEAR: i32 = 2026;

/// Days looked at in one question for work time; more than any reply is waited for. Bounds the work for times from a broken export.
const SPAN_DAYS_MAX: i64 = 3_660;
const DAY_MS: i64 = 86_400_000;
const MINUTE_MS: i64 = 60_000;

impl Day {
    /// A day of the Gregorian calendar; `None` when there is no such day between the years 1970 and 9999.
    #[must_use]
    pub fn of(year: i32, month: u32, day: u32) -> Option<Self> {
        if !(1970..=9999).contains(&year) || day == 0 || day > days_of_month(year, month)? {
            return None;
        }
        // Years are counted from March, so that the leap day is the last one.
        let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
        let before_year = year * 365 + year / 4 - year / 100 + year / 400;
        let before_month = (153 * month + 2) / 5;
        let days = before_year + i32::try_from(before_month + day - 1).ok()?;
        Some(Self(days - 719_468))
    }

    /// Reads `2026-05-01`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.len() == 10 && text.bytes().enumerate().all(|(at, b)| (at == 4 || at == 7) == (b == b'-'));
        let mut parts = text.split('-');
        let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
        digits.then_some(())?;
        Self::of(year.parse().ok()?, month.parse().ok()?, day.parse().ok()?)
    }

    /// The first millisecond of the day in UTC.
    #[must_use]
    pub fn start_ms(self) -> i64 {
        i64::from(self.0) * DAY_MS
    }

    /// Monday is 0.
    fn weekday(self) -> usize {
        // 1970-01-01 was a Thursday.
        usize::try_from((self.0 + 3).rem_euclid(7)).unwrap_or_default()
    }
}

/// As [`Day::parse`] reads it.
impl std::fmt::Display for Day {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let days = i64::from(self.0) + 719_468;
        let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
        let years = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * years + years / 4 - years / 100);
        // Months are counted from March.
        let from_march = (5 * of_year + 2) / 153;
        let day = of_year - (153 * from_march + 2) / 5 + 1;
        let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
        let year = years + era * 400 + i64::from(month <= 2);
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

impl Calendar {
    /// The Chinese calendar: 中国大陆的法定节假日与调休.
    #[must_use]
    pub fn cn() -> Self {
        let hours: Minutes = 9 * 60..18 * 60;
        let mut week: [Vec<Minutes>; 7] = Default::default();
        for day in week.iter_mut().take(5) {
            day.push(hours.clone());
        }
        let days = |table: &[Stretch]| table.iter().flat_map(|stretch| stretch.days()).collect();
        Self { offset_minutes: 8 * 60, week, holidays: days(&CN_HOLIDAYS), work_days: days(&CN_WORK_DAYS) }
    }

    /// A built-in calendar by its name.
    #[must_use]
    pub fn builtin(name: &str) -> Option<Self> {
        (name == "cn").then(Self::cn)
    }

    /// Whether work is done at this time (milliseconds since the Unix epoch, UTC).
    #[must_use]
    pub fn is_work_time(&self, ms: i64) -> bool {
        let (day, minute) = self.local(ms);
        self.hours(day).iter().any(|hours| hours.contains(&minute))
    }

    /// Whether work is done at all on the day of this time.
    #[must_use]
    pub fn is_work_day(&self, ms: i64) -> bool {
        !self.hours(self.local(ms).0).is_empty()
    }

    /// Whether the day of this time is a holiday of the calendar. A free weekend alone is none.
    #[must_use]
    pub fn is_holiday(&self, ms: i64) -> bool {
        self.holidays.contains(&self.local(ms).0)
    }

    /// Whether the time of day lies from one minute of the day to before another; where the second is the smaller, over midnight.
    #[must_use]
    pub fn is_between(&self, from: u16, to: u16, ms: i64) -> bool {
        let (_, minute) = self.local(ms);
        if from <= to { (from..to).contains(&minute) } else { minute >= from || minute < to }
    }

    /// Milliseconds of work time in [`from_ms`, `to_ms`); 0 when they are the wrong way round. Looks at no more than ten years.
    #[must_use]
    pub fn work_ms_between(&self, from_ms: i64, to_ms: i64) -> i64 {
        let offset = i64::from(self.offset_minutes) * MINUTE_MS;
        let (from, to) = (from_ms.saturating_add(offset), to_ms.saturating_add(offset));
        let first = from.div_euclid(DAY_MS);
        let last = to.div_euclid(DAY_MS).min(first.saturating_add(SPAN_DAYS_MAX));
        let mut total = 0;
        for day in first..=last {
            let start = day.saturating_mul(DAY_MS);
            for hours in self.hours(clamped(day)) {
                let open = (start + i64::from(hours.start) * MINUTE_MS).max(from);
                let close = (start + i64::from(hours.end) * MINUTE_MS).min(to);
                total += (close - open).max(0);
            }
        }
        total
    }

    /// The moment at which so much work time has passed since `from_ms`; `None` where it does not within ten years.
    #[must_use]
    pub fn after_work(&self, from_ms: i64, work_ms: i64) -> Option<i64> {
        let offset = i64::from(self.offset_minutes) * MINUTE_MS;
        let from = from_ms.saturating_add(offset);
        let first = from.div_euclid(DAY_MS);
        let mut left = work_ms.max(0);
        for day in first..=first.saturating_add(SPAN_DAYS_MAX) {
            let start = day.saturating_mul(DAY_MS);
            for hours in self.hours(clamped(day)) {
                let open = start.saturating_add(i64::from(hours.start) * MINUTE_MS).max(from);
                let close = start.saturating_add(i64::from(hours.end) * MINUTE_MS);
                // Work of no length is over when work begins.
                if open < close && left <= close - open {
                    return Some((open + left).saturating_sub(offset));
                }
                left -= (close - open).max(0);
            }
        }
        None
    }

    fn hours(&self, day: Day) -> &[Minutes] {
        if self.work_days.contains(&day) {
            return self.week.iter().find(|hours| !hours.is_empty()).map(Vec::as_slice).unwrap_or_default();
        }
        if self.holidays.contains(&day) {
            return &[];
        }
        self.week.get(day.weekday()).map(Vec::as_slice).unwrap_or_default()
    }

    fn local(&self, ms: i64) -> (Day, u16) {
        let local = ms.saturating_add(i64::from(self.offset_minutes) * MINUTE_MS);
        let minute = local.rem_euclid(DAY_MS) / MINUTE_MS;
        (clamped(local.div_euclid(DAY_MS)), u16::try_from(minute).unwrap_or_default())
    }
}

/// A day number beyond what [`Day`] holds is no day of any table.
fn clamped(day: i64) -> Day {
    Day(i32::try_from(day).unwrap_or(if day < 0 { i32::MIN / 2 } else { i32::MAX / 2 }))
}

fn days_of_month(year: i32, month: u32) -> Option<u32> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 => Some(28 + u32::from(leap)),
        4 | 6 | 9 | 11 => Some(30),
        1 | 3 | 5 | 7 | 8 | 10 | 12 => Some(31),
        _ => None,
    }
}

/// Days of one month of one year, both ends included.
struct Stretch(i32, u32, u32, u32);

impl Stretch {
    fn days(&self) -> impl Iterator<Item = Day> {
        let Self(year, month, first, last) = *self;
        (first..=last).filter_map(move |day| Day::of(year, month, day))
    }
}

/// Holidays as the State Council's notices of 2023-10, 2024-11 and 2025-11 give them, weekends inside them included.
const CN_HOLIDAYS: [Stretch; 22] = [
    Stretch(2024, 1, 1, 1),   // 元旦
    Stretch(2024, 2, 10, 17), // 春节
    Stretch(2024, 4, 4, 6),   // 清明节
    Stretch(2024, 5, 1, 5),   // 劳动节
    Stretch(2024, 6, 8, 10),  // 端午节
    Stretch(2024, 9, 15, 17), // 中秋节
    Stretch(2024, 10, 1, 7),  // 国庆节
    Stretch(2025, 1, 1, 1),   // 元旦
    Stretch(2025, 1, 28, 31), // 春节
    Stretch(2025, 2, 1, 4),   // 春节
    Stretch(2025, 4, 4, 6),   // 清明节
    Stretch(2025, 5, 1, 5),   // 劳动节
    Stretch(2025, 5, 31, 31), // 端午节
    Stretch(2025, 6, 1, 2),   // 端午节
    Stretch(2025, 10, 1, 8),  // 国庆节、中秋节
    Stretch(2026, 1, 1, 3),   // 元旦
    Stretch(2026, 2, 15, 23), // 春节
    Stretch(2026, 4, 4, 6),   // 清明节
    Stretch(2026, 5, 1, 5),   // 劳动节
    Stretch(2026, 6, 19, 21), // 端午节
    Stretch(2026, 9, 25, 27), // 中秋节
    Stretch(2026, 10, 1, 7),  // 国庆节
];

/// Weekend days of work from the same notices.
const CN_WORK_DAYS: [Stretch; 19] = [
    Stretch(2024, 2, 4, 4),
    Stretch(2024, 2, 18, 18),
    Stretch(2024, 4, 7, 7),
    Stretch(2024, 4, 28, 28),
    Stretch(2024, 5, 11, 11),
    Stretch(2024, 9, 14, 14),
    Stretch(2024, 9, 29, 29),
    Stretch(2024, 10, 12, 12),
    Stretch(2025, 1, 26, 26),
    Stretch(2025, 2, 8, 8),
    Stretch(2025, 4, 27, 27),
    Stretch(2025, 9, 28, 28),
    Stretch(2025, 10, 11, 11),
    Stretch(2026, 1, 4, 4),
    Stretch(2026, 2, 14, 14),
    Stretch(2026, 2, 28, 28),
    Stretch(2026, 5, 9, 9),
    Stretch(2026, 9, 20, 20),
    Stretch(2026, 10, 10, 10),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// Beijing time as milliseconds.
    fn beijing(date: &str, hour: i64, minute: i64) -> i64 {
        Day::parse(date).unwrap().start_ms() + ((hour - 8) * 60 + minute) * MINUTE_MS
    }

    #[test]
    fn days_are_written_as_they_are_read() {
        for day in (0..800_000).step_by(13).chain([58, 59, 60, 10_956, 11_016]).map(Day) {
            assert_eq!(Day::parse(&day.to_string()), Some(day));
        }
    }

    #[test]
    fn days_are_counted_as_everybody_does() {
        for (text, number) in [
            ("1970-01-01", Some(0)),
            ("1970-12-31", Some(364)),
            ("2000-02-29", Some(11_016)),
            ("2026-11-22", Some(20_779)),
            ("9999-12-31", Some(2_932_896)),
            ("2100-02-29", None),
            ("2026-13-01", None),
            ("2026-00-10", None),
            ("2026-04-31", None),
            ("2026-04-00", None),
            ("1969-12-31", None),
            ("2026-4-01", None),
            ("2026-04-1x", None),
            ("+026-04-11", None),
            ("20260411", None),
            ("", None),
        ] {
            assert_eq!(Day::parse(text).map(|day| day.0), number, "{text}");
        }
        assert_eq!(Day::parse("2026-11-22").unwrap().weekday(), 6, "a Sunday");
        assert_eq!(Day(-1).weekday(), 2, "the Wednesday before the epoch");
    }

    #[test]
    fn every_day_of_the_tables_exists_and_none_is_in_both() {
        let cn = Calendar::cn();
        let counted = |table: &[Stretch]| table.iter().map(|stretch| stretch.3 - stretch.2 + 1).sum::<u32>() as usize;
        assert_eq!(cn.holidays.len(), counted(&CN_HOLIDAYS));
        assert_eq!(cn.work_days.len(), counted(&CN_WORK_DAYS));
        assert!(cn.holidays.is_disjoint(&cn.work_days));
        for day in &cn.work_days {
            assert!(day.weekday() >= 5, "{day:?} is a weekday already");
        }
        // Each make-up day pays for a weekday off beyond the statutory ones: 11 until 2024, 13 since.
        for (year, statutory) in [(2024, 11), (2025, 13), (2026, 13)] {
            let of_year = |days: &BTreeSet<Day>, weekdays_only: bool| {
                let (first, last) = (Day::of(year, 1, 1).unwrap(), Day::of(year, 12, 31).unwrap());
                days.range(first..=last).filter(|day| !weekdays_only || day.weekday() < 5).count()
            };
            let (off, made_up) = (of_year(&cn.holidays, true), of_year(&cn.work_days, false));
            assert!(off - made_up <= statutory && off > made_up, "{year}: {off} off, {made_up} made up");
        }
        assert_eq!(cn.holidays.last(), Day::of(CN_LAST_YEAR, 10, 7).as_ref());
    }

    #[test]
    fn work_time_of_the_chinese_calendar() {
        let cn = Calendar::cn();
        for (name, date, hour, minute, time, day, holiday) in [
            ("a Monday at work", "2026-03-02", 10, 0, true, true, false),
            ("the first minute", "2026-03-02", 9, 0, true, true, false),
            ("a minute before", "2026-03-02", 8, 59, false, true, false),
            ("the minute work is over", "2026-03-02", 18, 0, false, true, false),
            ("just after midnight", "2026-03-03", 0, 5, false, true, false),
            ("a Saturday", "2026-03-07", 10, 0, false, false, false),
            ("a holiday on a weekday", "2026-02-17", 10, 0, false, false, true),
            ("a holiday on a Sunday", "2026-02-15", 10, 0, false, false, true),
            ("a make-up Saturday", "2026-02-14", 10, 0, true, true, false),
            ("a make-up Saturday in the evening", "2026-02-14", 20, 0, false, true, false),
            ("the day after the holiday", "2026-02-24", 10, 0, true, true, false),
            ("a year nobody has announced", "2027-10-01", 10, 0, true, true, false),
        ] {
            let ms = beijing(date, hour, minute);
            assert_eq!((cn.is_work_time(ms), cn.is_work_day(ms), cn.is_holiday(ms)), (time, day, holiday), "{name}");
        }
    }

    #[test]
    fn hours_may_go_over_midnight() {
        let cn = Calendar::cn();
        for (hour, minute, expected) in
            [(22, 0, true), (21, 59, false), (23, 59, true), (0, 0, true), (7, 59, true), (8, 0, false)]
        {
            assert_eq!(
                cn.is_between(22 * 60, 8 * 60, beijing("2026-03-02", hour, minute)),
                expected,
                "{hour}:{minute}"
            );
        }
        assert!(!cn.is_between(600, 600, beijing("2026-03-02", 10, 0)), "no hours at all");
    }

    #[test]
    fn work_time_between() {
        let cn = Calendar::cn();
        let hour = 3_600_000;
        for (name, from, to, expected) in [
            ("inside a day", beijing("2026-03-02", 10, 0), beijing("2026-03-02", 10, 10), hour / 6),
            ("over night", beijing("2026-03-02", 17, 30), beijing("2026-03-03", 9, 30), hour),
            ("over a weekend", beijing("2026-03-06", 17, 0), beijing("2026-03-09", 10, 0), 2 * hour),
            ("a weekend alone", beijing("2026-03-07", 1, 0), beijing("2026-03-08", 23, 0), 0),
            ("over the spring festival", beijing("2026-02-14", 17, 0), beijing("2026-02-24", 10, 0), 2 * hour),
            ("a whole day", beijing("2026-03-02", 0, 0), beijing("2026-03-03", 0, 0), 9 * hour),
            ("the wrong way round", beijing("2026-03-03", 10, 0), beijing("2026-03-02", 10, 0), 0),
            ("no time at all", beijing("2026-03-02", 10, 0), beijing("2026-03-02", 10, 0), 0),
        ] {
            assert_eq!(cn.work_ms_between(from, to), expected, "{name}");
        }
        assert_eq!(cn.after_work(beijing("2026-02-14", 17, 30), hour), Some(beijing("2026-02-24", 9, 30)));
        assert_eq!(cn.after_work(beijing("2026-02-15", 12, 0), 0), Some(beijing("2026-02-24", 9, 0)));
        let never = Calendar { week: Default::default(), ..Calendar::cn() };
        assert_eq!((never.after_work(0, 1), cn.after_work(i64::MAX, 1)), (None, None));
        assert!(cn.after_work(i64::MIN, 1).is_none_or(|end| end < 0));
        // A broken export may carry any number.
        assert!(cn.work_ms_between(i64::MIN, i64::MAX) >= 0);
        assert!(cn.work_ms_between(0, i64::MAX) > 0);
        assert!(!cn.is_work_time(i64::MAX) || cn.is_work_day(i64::MAX));
    }

    proptest::proptest! {
        /// Work time is what a clock that looks at every minute counts.
        #[test]
        fn work_time_agrees_with_counting_minutes(start in 0_i64..4_000, length in 0_i64..6_000) {
            let cn = Calendar::cn();
            let from = beijing("2026-02-12", 0, 0) + start * MINUTE_MS;
            let counted = (0..length).filter(|minute| cn.is_work_time(from + minute * MINUTE_MS)).count() as i64;
            proptest::prop_assert_eq!(cn.work_ms_between(from, from + length * MINUTE_MS), counted * MINUTE_MS);
        }

        /// What is reckoned forth is what is counted back, and no earlier moment does.
        #[test]
        fn a_stretch_of_work_ends_when_it_has_passed(start in 0_i64..4_000_000, work in 1_i64..200_000_000) {
            let cn = Calendar::cn();
            let from = beijing("2026-02-12", 0, 0) + start * 60;
            let end = cn.after_work(from, work).unwrap();
            proptest::prop_assert_eq!(cn.work_ms_between(from, end), work);
            proptest::prop_assert_eq!(cn.work_ms_between(from, end - 1), work - 1);
        }
    }
}
