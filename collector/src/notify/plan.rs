//! What a route sends next, and when to look again: a pure function of what happened, what was told, and the time.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use watchpost_proto::Digest;

use super::route::{GroupBy, Route, When};

/// Events one message tells of; the rest come after the group's interval.
pub const TELLS_MAX: usize = 1_000;
/// Where more groups of a route than these are due at once, all of it comes in one message.
const GROUPS_MAX: usize = 10;
/// How often an alert that nobody takes is told again.
pub const REMINDERS_MAX: u64 = 5;

/// What happened to an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum What {
    /// It was opened.
    Opened,
    /// It goes to whoever stands above, or its time has run out.
    Escalated,
    /// It was closed and is open again.
    Reopened,
    /// It was given to somebody.
    Assigned,
    /// The person concerned objects.
    Appealed,
    /// It was told before and nobody has taken it.
    Reminded,
}

/// Something that happened to an alert and was not told yet on a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// What, and to which.
    pub tell: Tell,
    /// When, milliseconds since 1970.
    pub at_ms: i64,
}

/// What is told of an alert. No two events of an alert have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tell {
    /// The alert's id.
    pub alert: Digest,
    /// What happened.
    pub what: What,
    /// Which time: the log index of its entry, the clock that has run out and since when it ran, or the number of the reminder.
    pub mark: u64,
}

/// What was told on a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// What, and of which.
    pub tell: Tell,
    /// When it was planned, milliseconds since 1970.
    pub at_ms: i64,
}

/// An alert as routes see it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AlertFacts {
    /// The pack of its rule.
    pub pack: String,
    /// Its rule.
    pub rule: String,
    /// The account concerned.
    pub person: String,
    /// A number of `Level`.
    pub level: i32,
    /// The rule's category.
    pub category: String,
    /// The department of the person concerned, or empty.
    pub department: String,
    /// Their site, or empty.
    pub site: String,
    /// It is closed.
    pub closed: bool,
    /// Somebody deals with it.
    pub taken: bool,
    /// Now is work time at the person's site.
    pub in_work_time: bool,
}

/// All a plan is made of.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The route.
    pub route: &'a Route,
    /// What was not told on it yet, in any order.
    pub pending: &'a [Event],
    /// The alerts of all that is pending and told; one that is missing cannot be seen.
    pub alerts: &'a BTreeMap<Digest, AlertFacts>,
    /// What was told on it of late.
    pub told: &'a [Told],
    /// The present.
    pub now_ms: i64,
}

/// What to send now, and when to look again if nothing happens before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// What each message tells of.
    pub messages: Vec<Vec<Tell>>,
    /// Milliseconds since 1970.
    pub look_again_ms: Option<i64>,
}

impl Plan {
    fn look_at(&mut self, ms: i64) {
        self.look_again_ms = Some(self.look_again_ms.map_or(ms, |earlier| earlier.min(ms)));
    }
}

/// What comes in one message.
#[derive(Debug, Default)]
struct Group<'a> {
    pending: Vec<&'a Event>,
    last_ms: Option<i64>,
}

type Key<'a> = (&'a str, &'a str);

/// Plans a route.
#[must_use]
pub fn plan(view: &View<'_>) -> Plan {
    let mut plan = Plan::default();
    if view.now_ms < view.route.pause_until_ms {
        plan.look_at(view.route.pause_until_ms);
        return plan;
    }
    let groups = groups(view);
    let due = due(view, &groups, &mut plan);
    if due.len() > GROUPS_MAX {
        all_at_once(view, &groups, &due, &mut plan);
    } else {
        for group in &due {
            let mut events = group.pending.clone();
            if events.len() > TELLS_MAX {
                plan.look_at(view.now_ms.saturating_add(interval_ms(view.route)));
            }
            plan.messages.push(first_of(&mut events));
        }
        remind(view, &groups, &mut plan);
    }
    plan
}

fn groups<'a>(view: &View<'a>) -> BTreeMap<Key<'a>, Group<'a>> {
    let mut groups: BTreeMap<Key<'a>, Group<'a>> = BTreeMap::new();
    for event in view.pending {
        let Some(alert) = view.alerts.get(&event.tell.alert) else { continue };
        // What was closed meanwhile needs nobody any more; but objections come against what is closed.
        let is_over = alert.closed && event.tell.what != What::Appealed;
        if !is_over && view.route.takes(event.tell.what, alert) && is_time(view.route, alert) {
            groups.entry(key(view.route, alert)).or_default().pending.push(event);
        }
    }
    for told in view.told {
        let Some(alert) = view.alerts.get(&told.tell.alert) else { continue };
        let group = groups.entry(key(view.route, alert)).or_default();
        // A clock that was set back must not silence a route until it has come so far again.
        group.last_ms = group.last_ms.max(Some(told.at_ms.min(view.now_ms)));
    }
    groups
}

/// The groups whose time has come.
fn due<'a, 'b>(view: &View<'a>, groups: &'b BTreeMap<Key<'a>, Group<'a>>, plan: &mut Plan) -> Vec<&'b Group<'a>> {
    let mut due = Vec::new();
    for group in groups.values() {
        let Some(first_ms) = group.pending.iter().map(|event| event.at_ms.min(view.now_ms)).min() else { continue };
        let waited = first_ms.saturating_add(millis(view.route.group_wait_s));
        let silent = group.last_ms.map_or(i64::MIN, |last| last.saturating_add(interval_ms(view.route)));
        let at_ms = waited.max(silent);
        if at_ms <= view.now_ms { due.push(group) } else { plan.look_at(at_ms) }
    }
    due
}

/// So many groups would drown whoever reads them: one message tells of all, and the next comes after the interval.
fn all_at_once(view: &View<'_>, groups: &BTreeMap<Key<'_>, Group<'_>>, due: &[&Group<'_>], plan: &mut Plan) {
    let last = groups.values().filter_map(|group| group.last_ms).max();
    let from_ms = last.map_or(i64::MIN, |last| last.saturating_add(interval_ms(view.route)));
    if from_ms > view.now_ms {
        return plan.look_at(from_ms);
    }
    let mut events: Vec<&Event> = due.iter().flat_map(|group| group.pending.iter().copied()).collect();
    if events.len() > TELLS_MAX {
        plan.look_at(view.now_ms.saturating_add(interval_ms(view.route)));
    }
    plan.messages.push(first_of(&mut events));
}

fn first_of(events: &mut [&Event]) -> Vec<Tell> {
    events.sort_by_key(|event| (event.at_ms, event.tell));
    events.iter().take(TELLS_MAX).map(|event| event.tell).collect()
}

/// Tells again of what nobody has taken.
fn remind(view: &View<'_>, groups: &BTreeMap<Key<'_>, Group<'_>>, plan: &mut Plan) {
    if view.route.repeat_s == 0 {
        return;
    }
    let mut again: BTreeMap<Key<'_>, Vec<Tell>> = BTreeMap::new();
    for (alert, reminders) in told_alerts(view) {
        let Some(facts) = view.alerts.get(&alert) else { continue };
        let waits = !facts.closed && !facts.taken && reminders < REMINDERS_MAX;
        if waits && view.route.fits(facts) && is_time(view.route, facts) {
            let tell = Tell { alert, what: What::Reminded, mark: reminders + 1 };
            again.entry(key(view.route, facts)).or_default().push(tell);
        }
    }
    let mut due: Vec<Vec<Tell>> = Vec::new();
    for (key, tells) in again {
        let Some(Group { pending, last_ms: Some(last) }) = groups.get(&key) else { continue };
        let at_ms = last.saturating_add(millis(view.route.repeat_s));
        if at_ms > view.now_ms {
            plan.look_at(at_ms);
        } else if pending.is_empty() {
            due.push(tells);
        }
    }
    if due.len() > GROUPS_MAX {
        due = vec![due.concat()];
    }
    due.iter_mut().for_each(|tells| tells.truncate(TELLS_MAX));
    plan.messages.extend(due);
}

/// Every alert that was told, with how often it was told again.
fn told_alerts(view: &View<'_>) -> BTreeMap<Digest, u64> {
    let mut alerts: BTreeMap<Digest, u64> = BTreeMap::new();
    for told in view.told {
        let reminders = alerts.entry(told.tell.alert).or_default();
        if told.tell.what == What::Reminded {
            *reminders = told.tell.mark.max(*reminders);
        }
    }
    alerts
}

fn key<'a>(route: &Route, alert: &'a AlertFacts) -> Key<'a> {
    match route.group_by {
        GroupBy::Rule => (&alert.pack, &alert.rule),
        GroupBy::Person => (&alert.person, ""),
        GroupBy::Route => ("", ""),
    }
}

fn is_time(route: &Route, alert: &AlertFacts) -> bool {
    match route.when {
        When::Always => true,
        When::Work => alert.in_work_time,
        When::Off => !alert.in_work_time,
    }
}

fn interval_ms(route: &Route) -> i64 {
    millis(route.group_interval_s)
}

fn millis(seconds: u64) -> i64 {
    i64::try_from(seconds.saturating_mul(1000)).unwrap_or(i64::MAX)
}

#[cfg(test)]
pub(super) mod tests;
