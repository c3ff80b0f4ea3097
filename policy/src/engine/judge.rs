//! Whether a rule holds, given the hits of its selections in one message. The meaning is documented in [`crate::rules`].

use super::RawHit;
use crate::rules::Rule;

/// The hits to report, in order, or `None` when the rule does not hold.
pub(super) fn judge(rule: &Rule, hits: &[RawHit]) -> Option<Vec<RawHit>> {
    let counted = Counted::of(rule, hits);
    let negated = rule.condition.selections(true);
    let left = counted.undenied(rule, &negated);
    let holds = |selection: usize, negated: bool| {
        let hits = counted.of_selection(selection);
        match rule.selections.get(selection).and_then(|selection| selection.near) {
            // Under `not`, a selection with `near` denies hits one by one and fails the rule only when none is left.
            Some(near) if negated => !hits.is_empty() && left.of_selection(near.selection).is_empty(),
            _ => !hits.is_empty(),
        }
    };
    rule.condition.eval(&holds).then(|| reported(rule, &left))
}

/// By selection: its hits, in order of text and place.
struct Counted(Vec<Vec<RawHit>>);

impl Counted {
    /// Drops hits that are not near enough to a counted hit of the selection they must be near to.
    fn of(rule: &Rule, hits: &[RawHit]) -> Self {
        let mut by_selection = vec![Vec::new(); rule.selections.len()];
        for hit in hits {
            if let Some(list) = by_selection.get_mut(hit.selection as usize) {
                list.push(*hit);
            }
        }
        let mut counted = Self(by_selection);
        for selection in near_last(rule) {
            let Some(near) = rule.selections.get(selection).and_then(|selection| selection.near) else { continue };
            let places = Places::of(counted.of_selection(near.selection));
            if let Some(list) = counted.0.get_mut(selection) {
                list.retain(|hit| places.has_near(hit, near.within));
            }
        }
        counted
    }

    fn of_selection(&self, selection: usize) -> &[RawHit] {
        self.0.get(selection).map(Vec::as_slice).unwrap_or_default()
    }

    /// Without the hits that a negated selection denies.
    fn undenied(&self, rule: &Rule, negated: &[usize]) -> Self {
        let mut left = self.0.clone();
        for denier in negated {
            let Some(near) = rule.selections.get(*denier).and_then(|selection| selection.near) else { continue };
            let places = Places::of(self.of_selection(*denier));
            if let Some(list) = left.get_mut(near.selection) {
                list.retain(|hit| !places.has_near(hit, near.within));
            }
        }
        Self(left)
    }
}

/// Places of hits, sorted so that the nearest to a given one is found without looking at all of them.
struct Places {
    /// (text, start, end), sorted.
    by_start: Vec<(u32, u32, u32)>,
    /// (text, the furthest end among this and all earlier places of the text).
    reach: Vec<u32>,
}

impl Places {
    fn of(hits: &[RawHit]) -> Self {
        let mut by_start: Vec<_> = hits.iter().map(|hit| (hit.text, hit.start, hit.end)).collect();
        by_start.sort_unstable();
        let mut reach = Vec::with_capacity(by_start.len());
        let mut last = None;
        for &(text, _, end) in &by_start {
            let furthest =
                last.filter(|(other, _)| *other == text).map_or(end, |(_, reach): (u32, u32)| reach.max(end));
            reach.push(furthest);
            last = Some((text, furthest));
        }
        Self { by_start, reach }
    }

    /// Whether a place lies in the same text with at most `within` characters between it and the hit.
    fn has_near(&self, hit: &RawHit, within: u32) -> bool {
        // Among the places that start early enough, the one that reaches furthest decides.
        let latest = (hit.text, hit.end.saturating_add(within), u32::MAX);
        let upto = self.by_start.partition_point(|place| *place <= latest);
        let Some(last) = upto.checked_sub(1) else { return false };
        let same_text = self.by_start.get(last).is_some_and(|place| place.0 == hit.text);
        same_text && self.reach.get(last).is_some_and(|reach| reach.saturating_add(within) >= hit.start)
    }
}

/// Selections ordered so that each comes after the one it must be near to. Packs have no circles.
fn near_last(rule: &Rule) -> Vec<usize> {
    let depth = |start: usize| {
        let mut at = start;
        let mut steps = 0;
        while let Some(near) = rule.selections.get(at).and_then(|selection| selection.near) {
            at = near.selection;
            steps += 1;
            if steps > rule.selections.len() {
                break;
            }
        }
        steps
    };
    let mut order: Vec<usize> = (0..rule.selections.len()).collect();
    order.sort_by_key(|selection| depth(*selection));
    order
}

/// Undenied hits of the selections the condition asks for.
fn reported(rule: &Rule, left: &Counted) -> Vec<RawHit> {
    let mut hits: Vec<RawHit> = rule
        .condition
        .selections(false)
        .into_iter()
        .flat_map(|selection| left.of_selection(selection))
        .copied()
        .collect();
    hits.sort_unstable();
    hits
}
