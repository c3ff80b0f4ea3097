//! What need not be kept of a bucket, so that memory is bounded whatever is sent.
//!
//! What stays is a function of the set: forgetting between additions ends where forgetting once at the end does.

use std::collections::{BTreeMap, BTreeSet};

use super::{ANSWER, Contribution, Kind, Window};

/// Contributions of one group and bucket that are kept, but for different values: a threshold may be as high.
pub(super) const KEPT_MAX: usize = 1_024;
/// Different values of one group and bucket that are kept, the first and the last contribution of each.
pub(super) const VALUES_MAX: usize = KEPT_MAX / 2;

/// Keeps of the contributions of one bucket what can decide it and its neighbour:
///
/// * the first ones where messages are counted or stand in a row: a bucket is no longer than the duration, so that those from its first
///   contribution on lie in one interval, and of the next bucket an interval reaches the first ones first;
/// * the first and the last of each value where values are told apart;
/// * the largest where they are added up. A sum of more than 1,024 payments in one bucket is a lower bound;
/// * the first and the last answer, and the first questions after that: a wait that is too long outlasts its bucket, so that a question
///   answered in its own bucket waits never too long.
pub fn keep(window: &Window, bucket: &mut BTreeSet<Contribution>) {
    match window.kind {
        Kind::Count { .. } | Kind::Join => {
            while bucket.len() > KEPT_MAX {
                bucket.pop_last();
            }
        }
        Kind::Reply { .. } => turns(bucket),
        Kind::Distinct { .. } | Kind::All(_) => ends_of_values(bucket),
        Kind::Sum { .. } => largest(bucket),
    }
}

fn ends_of_values(bucket: &mut BTreeSet<Contribution>) {
    let mut ends: BTreeMap<u64, (Contribution, Contribution)> = BTreeMap::new();
    for contribution in std::mem::take(bucket) {
        match ends.get_mut(&contribution.key) {
            Some((_, last)) => *last = contribution,
            None => drop(ends.insert(contribution.key, (contribution.clone(), contribution))),
        }
    }
    bucket.extend(ends.into_values().take(VALUES_MAX).flat_map(|(first, last)| [first, last]));
}

fn turns(bucket: &mut BTreeSet<Contribution>) {
    if bucket.len() <= KEPT_MAX {
        return;
    }
    let answers = || bucket.iter().filter(|turn| turn.key == ANSWER);
    let (first, last) = (answers().next().cloned(), answers().next_back().cloned());
    let unanswered = bucket.iter().filter(|turn| turn.key != ANSWER && last.as_ref().is_none_or(|last| *turn > last));
    *bucket = unanswered.take(KEPT_MAX - 2).cloned().chain(first).chain(last.clone()).collect();
}

fn largest(bucket: &mut BTreeSet<Contribution>) {
    if bucket.len() <= KEPT_MAX {
        return;
    }
    let mut by_value: Vec<Contribution> = std::mem::take(bucket).into_iter().collect();
    by_value.sort_by(|a, b| b.value.cmp(&a.value).then_with(|| a.cmp(b)));
    by_value.truncate(KEPT_MAX);
    bucket.extend(by_value);
}
