//! The wall clock, in the one unit the contract uses.

use std::time::{SystemTime, UNIX_EPOCH};

use time::macros::{format_description, offset};
use time::{Date, OffsetDateTime};

/// Milliseconds since 1970; negative for a clock set before that.
#[must_use]
pub fn now_ms() -> i64 {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_millis()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_millis()).map_or(i64::MIN, |ms| -ms),
    }
}

/// A moment, milliseconds since 1970, where people look at it: at +08:00.
fn in_china(ms: i64) -> Option<OffsetDateTime> {
    OffsetDateTime::from_unix_timestamp(ms.div_euclid(1000)).ok()?.checked_to_offset(offset!(+8))
}

/// The day of a moment at +08:00, `YYYY-MM-DD`.
pub(crate) fn day_in_china(ms: i64) -> Option<String> {
    in_china(ms)?.format(format_description!("[year]-[month]-[day]")).ok()
}

/// A moment at +08:00, to the minute.
pub(crate) fn minute_in_china(ms: i64) -> Option<String> {
    in_china(ms)?.format(format_description!("[year]-[month]-[day] [hour]:[minute]+08:00")).ok()
}

/// The first moment of a day at +08:00, given as `YYYY-MM-DD`, milliseconds since 1970.
pub(crate) fn day_begins_in_china(day: &str) -> Option<i64> {
    let date = Date::parse(day, format_description!("[year]-[month]-[day]")).ok()?;
    date.midnight().assume_offset(offset!(+8)).unix_timestamp().checked_mul(1000)
}
