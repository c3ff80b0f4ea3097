//! The wall clock, in the one unit the contract uses.

use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970; negative for a clock set before that.
#[must_use]
pub fn now_ms() -> i64 {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_millis()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_millis()).map_or(i64::MIN, |ms| -ms),
    }
}
