//! Which buckets of a group hold, given its contributions.

use std::collections::{BTreeMap, HashMap};
use std::ops::RangeInclusive;

use super::{Contribution, Held, Joined, Kind, MEMBERS_MAX, ShortMid, Window, reply};
use crate::engine::Hit;

/// What judging needs beside the contributions.
pub struct Seen<'a> {
    /// Up to where all messages have been seen.
    pub watermark_ms: i64,
    /// The hits a rule reports for a text of this time; none when it does not hold.
    pub hits: &'a mut dyn FnMut(&str, i64) -> Vec<Hit>,
}

/// Which of the buckets hold. The contributions are sorted, all of one group, and all that decide these buckets: for a `reply` from the
/// last one before the first bucket to the first answer after the last bucket, else those of the buckets and of the next.
#[must_use]
pub fn judge(
    window: &Window,
    contributions: &[Contribution],
    buckets: RangeInclusive<i64>,
    seen: &mut Seen<'_>,
) -> BTreeMap<i64, Held> {
    match &window.kind {
        Kind::Count { .. } | Kind::Distinct { .. } | Kind::Sum { .. } | Kind::All(_) => {
            bursts(window, contributions, buckets)
        }
        Kind::Join => joins(window, contributions, buckets, seen),
        Kind::Reply { .. } => reply::waits(window, contributions, buckets, seen.watermark_ms),
    }
}

/// The interval of each bucket that measures most, and of several the first, where that is enough.
fn bursts(window: &Window, all: &[Contribution], buckets: RangeInclusive<i64>) -> BTreeMap<i64, Held> {
    let mut best: BTreeMap<i64, (i64, &[Contribution])> = BTreeMap::new();
    let mut measure = Measure::default();
    let (mut start, mut end) = (0, 0);
    while let Some(first) = all.get(start) {
        let until_ms = first.at_ms.saturating_add(window.within_ms);
        while let Some(next) = all.get(end).filter(|next| next.at_ms < until_ms) {
            measure.add(window, next);
            end += 1;
        }
        let bucket = window.bucket(first.at_ms);
        let value = measure.value(window);
        let better = best.get(&bucket).is_none_or(|(most, _)| value > *most);
        if value >= window.at_least() && better && buckets.contains(&bucket) {
            best.insert(bucket, (value, all.get(start..end).unwrap_or_default()));
        }
        // Contributions of the same moment begin the same interval.
        while let Some(left) = all.get(start).filter(|left| left.at_ms == first.at_ms) {
            measure.remove(window, left);
            start += 1;
        }
    }
    best.into_iter().map(|(bucket, (value, inside))| (bucket, Held { value, ..held(inside) })).collect()
}

/// What a moving interval holds.
#[derive(Default)]
struct Measure {
    different: HashMap<u128, u32>,
    sum: i64,
}

impl Measure {
    fn add(&mut self, window: &Window, more: &Contribution) {
        self.sum = self.sum.saturating_add(more.value);
        *self.different.entry(told_apart(window, more)).or_default() += 1;
    }

    fn remove(&mut self, window: &Window, less: &Contribution) {
        self.sum = self.sum.saturating_sub(less.value);
        let key = told_apart(window, less);
        match self.different.get_mut(&key) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(self.different.remove(&key)),
        }
    }

    fn value(&self, window: &Window) -> i64 {
        match window.kind {
            Kind::Sum { .. } => self.sum,
            _ => i64::try_from(self.different.len()).unwrap_or(i64::MAX),
        }
    }
}

fn told_apart(window: &Window, contribution: &Contribution) -> u128 {
    match window.kind {
        Kind::Distinct { .. } | Kind::All(_) => u128::from(contribution.key),
        _ => u128::from_be_bytes(contribution.mid.0),
    }
}

/// What is told of some contributions in order of time.
pub(super) fn held(inside: &[Contribution]) -> Held {
    let mut mids: Vec<ShortMid> = inside.iter().map(|contribution| contribution.mid).collect();
    mids.sort_unstable();
    mids.dedup();
    let mut members: Vec<ShortMid> = Vec::new();
    for contribution in inside {
        if members.len() < MEMBERS_MAX && !members.contains(&contribution.mid) {
            members.push(contribution.mid);
        }
    }
    Held {
        first_ms: inside.first().map_or(0, |first| first.at_ms),
        last_ms: inside.last().map_or(0, |last| last.at_ms),
        count: mids.len() as u64,
        members,
        ..Held::default()
    }
}

/// Short messages from each one of a bucket on, up to the first that is not short, read as one text: the window holds for hits that begin
/// in the first of them and end in another. So every hit belongs to one bucket. Of several the first is told.
fn joins(
    window: &Window,
    all: &[Contribution],
    buckets: RangeInclusive<i64>,
    seen: &mut Seen<'_>,
) -> BTreeMap<i64, Held> {
    let mut found = BTreeMap::new();
    for (start, first) in all.iter().enumerate() {
        let bucket = window.bucket(first.at_ms);
        if !buckets.contains(&bucket) || found.contains_key(&bucket) || first.text.is_empty() {
            continue;
        }
        let until_ms = first.at_ms.saturating_add(window.within_ms);
        let rest = all.get(start..).unwrap_or_default().iter();
        let pieces: Vec<&Contribution> =
            rest.take_while(|piece| piece.at_ms < until_ms && !piece.text.is_empty()).take(PIECES_MAX).collect();
        found.extend(join(&pieces, seen).map(|held| (bucket, held)));
    }
    found
}

/// Messages read as one text. A word in more pieces is nobody's habit, and the work for each message stays bounded.
const PIECES_MAX: usize = 16;

fn join(pieces: &[&Contribution], seen: &mut Seen<'_>) -> Option<Held> {
    let text: String = pieces.iter().map(|piece| piece.text.as_str()).collect();
    let first_chars = u32::try_from(pieces.first()?.text.chars().count()).ok()?;
    if pieces.len() < 2 {
        return None;
    }
    let mut hits = (seen.hits)(&text, pieces.first()?.at_ms);
    hits.retain(|hit| hit.start < first_chars && hit.end > first_chars);
    let reach = hits.iter().map(|hit| hit.end).max()?;
    let mut begins = 0;
    let within: Vec<Contribution> = pieces
        .iter()
        .take_while(|piece| {
            let inside = begins < reach;
            begins += u32::try_from(piece.text.chars().count()).unwrap_or(u32::MAX);
            inside
        })
        .map(|piece| (*piece).clone())
        .collect();
    let value = i64::try_from(hits.len()).unwrap_or(i64::MAX);
    Some(Held { value, joined: Some(Joined { text, hits }), ..held(&within) })
}
