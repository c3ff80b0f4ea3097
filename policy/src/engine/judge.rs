//! Whether a rule holds, given the hits of its selections in one message. The meaning is documented in [`crate::rules`].

use std::collections::BTreeSet;

use super::view::View;
use super::{AllowHits, RawHit, RuleAt};
use crate::rules::{Kind, Level, Near, Order, Pack, Rule, Selection};
use crate::validators::value;

/// One rule and one message.
pub(super) struct Case<'a> {
    pub(super) pack: &'a Pack,
    pub(super) rule: &'a Rule,
    pub(super) at: RuleAt,
    pub(super) view: &'a View<'a>,
    /// Hits of the rule's words.
    pub(super) hits: &'a [RawHit],
    pub(super) allowed: &'a AllowHits<'a>,
    /// Filters inside the phrases of which hits do not count.
    pub(super) phrases: &'a [u32],
}

/// A rule that holds.
pub(super) struct Verdict {
    /// The hits to report, in order.
    pub(super) reported: Vec<RawHit>,
    /// The rule's level, by how all hits that count were recognised.
    pub(super) level: Level,
    /// The selections that hold, of those the rule's window asks for.
    pub(super) holding: Vec<usize>,
}

/// Whether the rule holds, and by what.
pub(super) fn judge(case: &Case<'_>) -> Option<Verdict> {
    let weighed = Weighed::of(case, look(case, false)?);
    let windowed = case.rule.windowed_selections().iter().copied();
    weighed.condition_holds(case).then(|| {
        let asked = case.rule.condition.selections(false);
        Verdict {
            reported: reported(&asked, weighed.left()),
            level: weighed.level(case.rule, &asked),
            holding: windowed.filter(|selection| weighed.holds(case, *selection, false)).collect(),
        }
    })
}

/// The same judgement without stopping early, with what became of every hit.
pub(super) fn trace(case: &Case<'_>) -> Trace {
    let sights = look(case, true).unwrap_or_default();
    let weighed = Weighed::of(case, sights.clone());
    let numbers = 0..case.rule.selections.len();
    Trace {
        holds: weighed.condition_holds(case),
        selections: numbers
            .map(|selection| Seen {
                holds: weighed.holds(case, selection, false),
                holds_negated: weighed.holds(case, selection, true),
                hits: weighed.fates(case, selection, &sights),
            })
            .collect(),
        level: weighed.level(case.rule, &case.rule.condition.selections(false)),
    }
}

/// A judgement and what it rests on.
pub(super) struct Trace {
    pub(super) holds: bool,
    /// By selection.
    pub(super) selections: Vec<Seen>,
    /// The rule's level when it holds.
    pub(super) level: Level,
}

/// What was seen of a selection.
pub(super) struct Seen {
    /// Whether it holds where no `not` stands before it, and where one does.
    pub(super) holds: bool,
    pub(super) holds_negated: bool,
    pub(super) hits: Vec<(RawHit, Fate)>,
}

/// What was seen, as far as it counts.
struct Weighed {
    counted: Counted,
    /// Without the hits that are denied, where any can be.
    left: Option<Counted>,
}

impl Weighed {
    fn of(case: &Case<'_>, sights: Vec<Sight>) -> Self {
        let counted = Counted::of(case.rule, sights);
        let left = counted.undenied(case);
        Self { counted, left }
    }

    fn left(&self) -> &Counted {
        self.left.as_ref().unwrap_or(&self.counted)
    }

    /// A strong hit inside a weak one is not reported, but it is there.
    fn level(&self, rule: &Rule, asked: &[usize]) -> Level {
        rule.level_by(asked.iter().flat_map(|selection| self.left().of_selection(*selection)).map(|hit| hit.channel))
    }

    fn condition_holds(&self, case: &Case<'_>) -> bool {
        case.rule.condition.eval(&|selection, negated| self.holds(case, selection, negated))
    }

    fn holds(&self, case: &Case<'_>, selection: usize, negated: bool) -> bool {
        match self.counted.0.get(selection) {
            Some(Sight::Fact(holds)) => *holds,
            _ => self.counted.holds(case, selection, negated.then_some(self.left())),
        }
    }

    /// Every hit of a selection, also those that were dropped, with the step that dropped it.
    fn fates(&self, case: &Case<'_>, selection: usize, sights: &[Sight]) -> Vec<(RawHit, Fate)> {
        let Some(it) = case.rule.selections.get(selection) else { return Vec::new() };
        let sighted = sights.get(selection).map(Sight::hits).unwrap_or_default();
        let mut hits: Vec<RawHit> =
            case.hits.iter().filter(|hit| hit.selection as usize == selection).chain(sighted).copied().collect();
        hits.sort_unstable();
        hits.dedup();
        let fate = |hit: &RawHit| match it.near {
            _ if !case.view.looks_at(it, hit) => Fate::Elsewhere,
            _ if !sighted.contains(hit) => Fate::Allowed,
            Some(near) if !self.counted.of_selection(selection).contains(hit) => Fate::NotNear(near.selection),
            _ if !self.left().of_selection(selection).contains(hit) => {
                Fate::Denied(self.denier(case.rule, selection, hit))
            }
            _ => Fate::Counted,
        };
        hits.into_iter().map(|hit| (hit, fate(&hit))).collect()
    }

    /// The negated selection that denies a hit.
    fn denier(&self, rule: &Rule, selection: usize, hit: &RawHit) -> Option<usize> {
        rule.condition.selections(true).into_iter().find(|denier| {
            let near = near_of(rule, *denier).filter(|near| near.selection == selection);
            near.is_some_and(|near| {
                Places::of_hits(self.counted.of_selection(*denier)).has_near(hit, near.within, near.order.turned())
            })
        })
    }
}

/// What became of a hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Counted,
    /// It stands where the selection does not look.
    Elsewhere,
    /// It stands inside an allowed phrase.
    Allowed,
    /// It is not near this selection.
    NotNear(usize),
    /// This negated selection is near it.
    Denied(Option<usize>),
}

impl Case<'_> {
    /// Drops hits that lie inside allowed phrases. Those of filters leave alone what does nothing but deny.
    fn drop_allowed(&self, number: u32, hits: &mut Vec<RawHit>) {
        let stands = |negated: bool| self.rule.condition.selections(negated).contains(&(number as usize));
        let denies = !self.phrases.is_empty() && stands(true) && !stands(false);
        self.allowed.drop_allowed(self.at, number, if denies { &[] } else { self.phrases }, hits);
    }
}

/// What is known of a selection.
#[derive(Clone)]
enum Sight {
    /// Its hits.
    Hits(Vec<RawHit>),
    /// Whether it is so.
    Fact(bool),
    /// Not looked yet.
    Unknown,
}

impl Sight {
    fn hits(&self) -> &[RawHit] {
        if let Self::Hits(hits) = self { hits } else { &[] }
    }
}

/// Looks for what the selections look for, the cheap ones first, and stops, unless `all`, when the condition cannot hold any more.
fn look(case: &Case<'_>, all: bool) -> Option<Vec<Sight>> {
    let mut sights: Vec<Sight> = case.rule.selections.iter().map(|selection| first_sight(case, selection)).collect();
    for hit in case.hits {
        let looked_at = |selection: &&Selection| case.view.looks_at(selection, hit);
        let selection = case.rule.selections.get(hit.selection as usize).filter(looked_at);
        if let (Some(_), Some(Sight::Hits(hits))) = (selection, sights.get_mut(hit.selection as usize)) {
            hits.push(*hit);
        }
    }
    (all || may_hold(case.rule, &sights)).then_some(())?;
    for (number, sight) in (0..).zip(&mut sights) {
        if let Sight::Hits(hits) = sight {
            case.drop_allowed(number, hits);
        }
    }
    // Patterns cost less than validators.
    for kind in [|kind: &Kind| matches!(kind, Kind::Regex(_)), |kind: &Kind| matches!(kind, Kind::Validator(_))] {
        for (number, selection) in (0..).zip(&case.rule.selections).filter(|(_, selection)| kind(&selection.kind)) {
            (all || may_hold(case.rule, &sights)).then_some(())?;
            if let Some(sight) = sights.get_mut(number as usize) {
                *sight = Sight::Hits(found(case, number, selection));
            }
        }
    }
    Some(sights)
}

fn first_sight(case: &Case<'_>, selection: &Selection) -> Sight {
    match &selection.kind {
        Kind::Words(_) => Sight::Hits(Vec::new()),
        Kind::Fact(fact) => Sight::Fact(case.view.holds(fact, case.pack)),
        Kind::Regex(_) | Kind::Validator(_) => Sight::Unknown,
    }
}

fn found(case: &Case<'_>, number: u32, selection: &Selection) -> Vec<RawHit> {
    let mut hits = match &selection.kind {
        Kind::Regex(patterns) => case.view.matched(case.at, number, selection, patterns),
        Kind::Validator(validated) => case.view.validated(case.at, number, selection, validated),
        Kind::Words(_) | Kind::Fact(_) => Vec::new(),
    };
    case.drop_allowed(number, &mut hits);
    hits.sort_unstable();
    hits
}

/// Whether the condition can hold at best: what is not known yet may come either way, and hits may still turn out not to count.
fn may_hold(rule: &Rule, sights: &[Sight]) -> bool {
    rule.condition.eval(&|selection, negated| match sights.get(selection) {
        Some(Sight::Fact(holds)) => *holds,
        Some(Sight::Hits(hits)) => !negated && !hits.is_empty(),
        Some(Sight::Unknown) | None => !negated,
    })
}

/// By selection: what was seen of it, hits in order of text and place.
#[derive(Clone)]
struct Counted(Vec<Sight>);

impl Counted {
    /// Drops hits that are not near enough to a counted hit of the selection they must be near to.
    fn of(rule: &Rule, sights: Vec<Sight>) -> Self {
        let mut counted = Self(sights);
        if rule.selections.iter().all(|selection| selection.near.is_none()) {
            return counted;
        }
        for selection in near_last(rule) {
            let Some(near) = rule.selections.get(selection).and_then(|selection| selection.near) else { continue };
            let places = Places::of_hits(counted.of_selection(near.selection));
            counted.retain(selection, |hit| places.has_near(hit, near.within, near.order));
        }
        counted
    }

    fn of_selection(&self, selection: usize) -> &[RawHit] {
        self.0.get(selection).map(Sight::hits).unwrap_or_default()
    }

    fn retain(&mut self, selection: usize, keep: impl Fn(&RawHit) -> bool) {
        if let Some(Sight::Hits(hits)) = self.0.get_mut(selection) {
            hits.retain(keep);
        }
    }

    /// Whether a selection with places holds. Under `not`, where `left` are the hits nobody denies, a selection with nearness denies hits one by
    /// one and holds only when too few of those are left.
    fn holds(&self, case: &Case<'_>, selection: usize, left: Option<&Self>) -> bool {
        let enough = self.has_enough(case, selection);
        match (left, near_of(case.rule, selection)) {
            (Some(left), Some(near)) => enough && !left.has_enough(case, near.selection),
            _ => enough,
        }
    }

    /// Whether so many different things hit as the selection asks for.
    fn has_enough(&self, case: &Case<'_>, selection: usize) -> bool {
        let hits = self.of_selection(selection);
        let Some(it) = case.rule.selections.get(selection) else { return false };
        match (it.min, &it.kind) {
            (0 | 1, _) => !hits.is_empty(),
            (min, Kind::Words(_)) => {
                longest(hits).iter().map(|hit| hit.word).collect::<BTreeSet<_>>().len() >= min as usize
            }
            (min, _) => {
                let values = longest(hits).into_iter().map(|hit| value(&case.view.slice(&hit)));
                values.collect::<BTreeSet<_>>().len() >= min as usize
            }
        }
    }

    /// Without the hits that a negated selection denies, and those inside them: a short word in a denied phrase is denied with it. `None` when
    /// there is no such selection.
    fn undenied(&self, case: &Case<'_>) -> Option<Self> {
        let mut left: Option<Self> = None;
        for denier in case.rule.condition.selections(true) {
            // One that asks for more than there is denies nothing.
            let Some(near) = near_of(case.rule, denier).filter(|_| self.has_enough(case, denier)) else { continue };
            let left = left.get_or_insert_with(|| self.clone());
            let places = Places::of_hits(self.of_selection(denier));
            let is_denied = |hit: &&RawHit| places.has_near(hit, near.within, near.order.turned());
            let denied: Vec<RawHit> = left.of_selection(near.selection).iter().filter(is_denied).copied().collect();
            let denied = Places::of_hits(&denied);
            left.retain(near.selection, |hit| !denied.cover(hit));
        }
        left
    }
}

fn near_of(rule: &Rule, selection: usize) -> Option<Near> {
    rule.selections.get(selection).and_then(|selection| selection.near)
}

/// Places of hits, sorted so that the nearest to a given one is found without looking at all of them.
pub(super) struct Places {
    /// (text, start, end), sorted.
    by_start: Vec<(u32, u32, u32)>,
    /// (text, the furthest end among this and all earlier places of the text).
    reach: Vec<u32>,
    /// (text, end), sorted.
    by_end: Vec<(u32, u32)>,
}

impl Places {
    /// Of text, start and end.
    pub(super) fn of(places: impl Iterator<Item = (u32, u32, u32)>) -> Self {
        let mut by_start: Vec<_> = places.collect();
        by_start.sort_unstable();
        let mut reach = Vec::with_capacity(by_start.len());
        let mut last = None;
        for &(text, _, end) in &by_start {
            let furthest =
                last.filter(|(other, _)| *other == text).map_or(end, |(_, reach): (u32, u32)| reach.max(end));
            reach.push(furthest);
            last = Some((text, furthest));
        }
        let mut by_end: Vec<_> = by_start.iter().map(|(text, _, end)| (*text, *end)).collect();
        by_end.sort_unstable();
        Self { by_start, reach, by_end }
    }

    /// Whether a place lies in the same text with at most `within` characters between it and the hit, and the hit on the side of it
    /// that `order` says.
    fn has_near(&self, hit: &RawHit, within: u32, order: Order) -> bool {
        match order {
            Order::Either => self.reaches(hit, within),
            Order::Before => {
                let from = self.by_start.partition_point(|place| (place.0, place.1) < (hit.text, hit.end));
                let next = self.by_start.get(from).filter(|place| place.0 == hit.text);
                next.is_some_and(|place| place.1 - hit.end <= within)
            }
            Order::After => {
                let upto = self.by_end.partition_point(|place| *place <= (hit.text, hit.start));
                let last = upto.checked_sub(1).and_then(|last| self.by_end.get(last));
                last.is_some_and(|place| place.0 == hit.text && hit.start - place.1 <= within)
            }
        }
    }

    fn of_hits(hits: &[RawHit]) -> Self {
        Self::of(hits.iter().map(|hit| (hit.text, hit.start, hit.end)))
    }

    /// Whether the hit lies inside a place.
    pub(super) fn cover(&self, hit: &RawHit) -> bool {
        let upto = self.by_start.partition_point(|place| (place.0, place.1) <= (hit.text, hit.start));
        let Some(last) = upto.checked_sub(1) else { return false };
        let same_text = self.by_start.get(last).is_some_and(|place| place.0 == hit.text);
        same_text && self.reach.get(last).is_some_and(|reach| *reach >= hit.end)
    }

    fn reaches(&self, hit: &RawHit, within: u32) -> bool {
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
        while let Some(near) = near_of(rule, at) {
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

/// Undenied hits of the selections the condition asks for, of nested ones of one selection the longest.
fn reported(asked: &[usize], left: &Counted) -> Vec<RawHit> {
    let mut hits: Vec<RawHit> = asked.iter().flat_map(|selection| longest(left.of_selection(*selection))).collect();
    hits.sort_unstable();
    hits
}

/// Hits of one selection that lie inside no other of them; of those in the same place the first.
fn longest(hits: &[RawHit]) -> Vec<RawHit> {
    let mut sorted: Vec<RawHit> = hits.to_vec();
    if sorted.len() < 2 {
        return sorted;
    }
    sorted.sort_by_key(|hit| (hit.text, hit.start, std::cmp::Reverse(hit.end), hit.channel, hit.word));
    let mut reach = None;
    sorted.retain(|hit| {
        let inside = reach.is_some_and(|(text, end)| text == hit.text && hit.end <= end);
        if !inside {
            reach = Some((hit.text, hit.end));
        }
        !inside
    });
    sorted
}
