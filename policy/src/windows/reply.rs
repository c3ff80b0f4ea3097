//! Customers who wait for an answer.
//!
//! A wait begins with a customer's message that follows an answer, or nothing, and ends with the next answer. What the customer adds
//! meanwhile begins no wait of its own.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use super::{ANSWER, Contribution, Held, Window};

/// By bucket in which waits began that were too long: the one without an answer, else the longest, else the first.
pub(super) fn waits(
    window: &Window,
    turns: &[Contribution],
    buckets: RangeInclusive<i64>,
    watermark_ms: i64,
) -> BTreeMap<i64, Held> {
    let mut found: BTreeMap<i64, Held> = BTreeMap::new();
    let runs = turns.chunk_by(|a, b| (a.key == ANSWER) == (b.key == ANSWER));
    let mut runs = runs.peekable();
    while let Some(run) = runs.next() {
        let Some(ask) = run.first().filter(|first| first.key != ANSWER) else { continue };
        let bucket = window.bucket(ask.at_ms);
        if !buckets.contains(&bucket) {
            continue;
        }
        let answer = runs.peek().and_then(|answers| answers.first());
        let Some(wait) = wait(window, ask, answer, watermark_ms) else { continue };
        match found.get_mut(&bucket) {
            None => drop(found.insert(bucket, wait)),
            Some(told) => {
                let count = told.count + 1;
                if (wait.open, wait.value) > (told.open, told.value) {
                    *told = wait;
                }
                told.count = count;
            }
        }
    }
    found
}

/// The wait without an answer, if there is one that begins in these buckets and whose end the watermark has not passed: its bucket, and when
/// it is too long. The contributions are those of [`super::judge()`].
#[must_use]
pub fn awaited(
    window: &Window,
    turns: &[Contribution],
    buckets: RangeInclusive<i64>,
    watermark_ms: i64,
) -> Option<(i64, i64)> {
    let ask = turns.rsplit(|turn| turn.key == ANSWER).next()?.first()?;
    let (bucket, due_ms) = (window.bucket(ask.at_ms), window.due_ms(ask.at_ms)?);
    (buckets.contains(&bucket) && due_ms > watermark_ms).then_some((bucket, due_ms))
}

fn wait(window: &Window, ask: &Contribution, answer: Option<&Contribution>, watermark_ms: i64) -> Option<Held> {
    let until_ms = answer.map_or(watermark_ms, |answer| answer.at_ms);
    let waited = window.worked_ms(ask.at_ms, until_ms);
    (waited > window.within_ms).then(|| Held {
        first_ms: ask.at_ms,
        last_ms: answer.map_or(ask.at_ms, |answer| answer.at_ms),
        count: 1,
        // How long is not known before the answer, and must not depend on when somebody looks.
        value: if answer.is_some() { waited } else { window.within_ms },
        open: answer.is_none(),
        members: vec![ask.mid],
        joined: None,
    })
}
