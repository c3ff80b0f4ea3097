//! Alerts, as far as whoever asks may see them. What they may not see is not there.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::page::{self, Page};
use crate::admin::What;
use crate::alerts::desk::{self, Deed};
use crate::alerts::work::State;
use crate::alerts::{self, Alert, Cursor, Filter, Happened, Item, Order, Precision, delegate};
use crate::audit::Did;
use crate::operators::{self, Act, Concerning, Operator, Role, may};
use crate::web::ask::Ask;
use crate::web::problem::{Kind, Problem};
use crate::web::route::Nothing;

/// Shortest reason, in characters, and longest, in bytes.
const REASON_CHARS_MIN: usize = 4;
const REASON_BYTES_MAX: usize = 1024;
/// Alerts of one step.
const STEP_ALERTS_MAX: usize = 500;

/// Which alerts.
#[derive(Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::web) struct Which {
    /// How they stand.
    pub(in crate::web) state: Option<State>,
    /// Those that are open or taken.
    #[serde(default)]
    pub(in crate::web) unclosed: bool,
    /// At least this level.
    pub(in crate::web) level: Option<String>,
    /// The pack of the rule.
    pub(in crate::web) pack: Option<String>,
    /// The rule.
    pub(in crate::web) rule: Option<String>,
    /// The category of the rule.
    pub(in crate::web) category: Option<String>,
    /// The account concerned.
    pub(in crate::web) person: Option<String>,
    /// The department.
    pub(in crate::web) department: Option<String>,
    /// The site.
    pub(in crate::web) site: Option<String>,
    /// Who is to deal with it.
    pub(in crate::web) assignee: Option<String>,
    /// What is yours: assigned to you, or to whomever you stand in for.
    #[serde(default)]
    pub(in crate::web) mine: bool,
    /// Day at +08:00, `YYYY-MM-DD`.
    pub(in crate::web) day: Option<String>,
    /// Those that are late.
    #[serde(default)]
    pub(in crate::web) overdue: bool,
    /// Those with an objection that is not decided.
    #[serde(default)]
    pub(in crate::web) appealed: bool,
    /// Suppressed ones, instead of those that are not.
    #[serde(default)]
    pub(in crate::web) suppressed: bool,
    /// The newest first, in place of what is due first.
    #[serde(default)]
    pub(in crate::web) newest: bool,
    /// `next` of the page before.
    pub(in crate::web) cursor: Option<String>,
    /// Rows of the page, at most 500.
    pub(in crate::web) limit: Option<u32>,
    /// Of a list that is taken along: why. It goes into the audit trail.
    #[serde(default)]
    pub(in crate::web) reason: String,
}

/// Why somebody looks.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::web) struct Why {
    /// Why; goes into the audit trail. Not needed for an alert that is assigned to you.
    #[serde(default)]
    pub(in crate::web) reason: String,
}

/// What was found.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::web) struct Findings {
    /// The alert.
    pub(in crate::web) alert: String,
    /// Its findings, in the order they were first told.
    pub(in crate::web) items: Vec<Item>,
}

/// A step with alerts.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::web) struct Step {
    /// Ids, at most 500.
    pub(in crate::web) alerts: Vec<String>,
    /// What is done.
    pub(in crate::web) step: desk::What,
    /// What is written beside it.
    #[serde(default)]
    pub(in crate::web) note: String,
}

/// What became of a step.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::web) struct Stepped {
    /// The entries of the log.
    entries: Vec<u64>,
    /// Alerts that stay as they were: the step does not fit how they stood by then.
    pub(in crate::web) unchanged: Vec<String>,
}

pub(in crate::web) fn concerning(alert: &Alert) -> Concerning<'_> {
    Concerning {
        alert: &alert.alert,
        person: &alert.person,
        department: &alert.department,
        site: &alert.site,
        is_closed: alert.state == "closed",
    }
}

/// An alert that whoever asks may see. One they may not see is told like one that does not exist.
pub(in crate::web) fn visible(ask: &Ask<'_>, id: &str) -> Result<Alert, Problem> {
    let missing = Problem::new(Kind::NotFound);
    let bytes = hex::decode(id).ok().filter(|bytes| bytes.len() == 32).ok_or(missing.clone())?;
    let found = alerts::find(ask.derived()?, &bytes)?;
    found.filter(|alert| ask.may(Act::SeeAlerts, Some(&concerning(alert)))).ok_or(missing)
}

/// What the caller may see, as conditions. Every row is asked once more by [`may`].
pub(in crate::web) fn bounds(ask: &Ask<'_>, filter: Filter) -> Result<Filter, Problem> {
    let operator = &ask.caller()?.operator;
    let of_scope = |scope: &operators::Scope| (scope.department.clone(), scope.site.clone());
    let grant = &operator.grant;
    let scopes = (grant.role == Role::Supervisor).then(|| grant.scopes.iter().map(of_scope).collect());
    // Nobody can tell what is about whoever has accounts that were erased.
    let scopes = if operator.is_unbound { Some(Vec::new()) } else { scopes };
    Ok(Filter { scopes, not_persons: grant.accounts.clone(), ..filter })
}

impl Which {
    /// The alerts meant, within what the caller may see.
    pub(in crate::web) fn filter(&self, ask: &Ask<'_>) -> Result<Filter, Problem> {
        let wrong =
            |level: &String| Problem::malformed(format!("{level:?} is no level: info, low, medium, high, critical"));
        let level = |level: &String| alerts::level_number(level).ok_or_else(|| wrong(level));
        let unclosed = [State::Open, State::Taken].into_iter().filter(|_| self.unclosed && self.state.is_none());
        let own = if self.mine { delegate::stands_in_for(ask.derived()?, ask.by()?, ask.now_ms)? } else { Vec::new() };
        bounds(
            ask,
            Filter {
                states: self.state.into_iter().chain(unclosed).collect(),
                level: self.level.as_ref().map_or(Ok(0), level)?,
                pack: self.pack.clone(),
                rule: self.rule.clone(),
                category: self.category.clone(),
                persons: self.person.iter().cloned().collect(),
                departments: self.department.iter().cloned().collect(),
                sites: self.site.iter().cloned().collect(),
                assignees: self.assignee.iter().cloned().chain(own).collect(),
                day: self.day.clone(),
                overdue_at_ms: self.overdue.then_some(ask.now_ms),
                appealed: self.appealed,
                suppressed: self.suppressed,
                ..Filter::default()
            },
        )
    }

    pub(in crate::web) fn order(&self) -> Order {
        if self.newest { Order::Newest } else { Order::Due }
    }
}

pub(in crate::web) fn list(ask: &Ask<'_>, which: Which) -> Result<Page<Alert>, Problem> {
    let limit = page::rows(which.limit);
    let of_list = if which.newest { "alerts-newest" } else { "alerts-due" };
    let after: Option<Key> = page::read(of_list, which.cursor.as_deref())?;
    let (filter, after) = (which.filter(ask)?, after.map(|key| key.0));
    let rows = alerts::page(ask.derived()?, &filter, which.order(), after, limit as usize + 1)?;
    let page = page::page(of_list, rows, limit, |(_, cursor)| format!("{}/{}", cursor.key, cursor.row));
    let items = page.items.into_iter().map(|(alert, _)| alert);
    let items = items.filter(|alert| ask.may(Act::SeeAlerts, Some(&concerning(alert)))).collect();
    Ok(Page { items, next: page.next })
}

/// A cursor as text.
struct Key(Cursor);

impl std::str::FromStr for Key {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (key, row) = text.split_once('/').ok_or(())?;
        Ok(Self(Cursor { key: key.parse().map_err(drop)?, row: row.parse().map_err(drop)? }))
    }
}

pub(in crate::web) fn show(ask: &Ask<'_>, _: Nothing) -> Result<Alert, Problem> {
    visible(ask, ask.param("alert")?)
}

/// What became of it. What was written is for those who may read what it is about.
pub(in crate::web) fn history(ask: &Ask<'_>, _: Nothing) -> Result<Vec<Happened>, Problem> {
    let alert = visible(ask, ask.param("alert")?)?;
    let id = hex::decode(&alert.alert).unwrap_or_default();
    let mut all = alerts::history(ask.derived()?, ask.log().connection(), &id)?;
    if !ask.may(Act::SeeExcerpts, Some(&concerning(&alert))) {
        all.iter_mut().for_each(|step| step.note = None);
    }
    Ok(all)
}

/// What was found, with excerpts: noted before it is shown.
pub(in crate::web) fn findings(ask: &Ask<'_>, why: Why) -> Result<Findings, Problem> {
    let alert = visible(ask, ask.param("alert")?)?;
    if !ask.may(Act::SeeExcerpts, Some(&concerning(&alert))) {
        return Err(
            Problem::new(Kind::NotAllowed).because("of this alert you see that it is there, not what was found")
        );
    }
    let reason = if is_ones_own(ask, &alert)? && why.reason.is_empty() { "triage" } else { reason(&why.reason)? };
    let items = alerts::items(ask.derived()?, &hex::decode(&alert.alert).unwrap_or_default())?;
    ask.note(ask.by()?, Did::Viewed, &alert.alert, reason, items.len() as u64)?;
    Ok(Findings { alert: alert.alert, items })
}

/// Whether it is assigned to whoever asks, or to somebody they stand in for.
pub(in crate::web) fn is_ones_own(ask: &Ask<'_>, alert: &Alert) -> Result<bool, Problem> {
    Ok(delegate::stands_in_for(ask.derived()?, ask.by()?, ask.now_ms)?.contains(&alert.assignee))
}

/// A reason somebody can follow later.
pub(in crate::web) fn reason(text: &str) -> Result<&str, Problem> {
    let text = text.trim();
    if text.chars().count() < REASON_CHARS_MIN {
        return Err(Problem::new(Kind::ReasonNeeded));
    }
    if text.len() > REASON_BYTES_MAX {
        return Err(Problem::malformed("a reason has at most 1024 bytes"));
    }
    Ok(text)
}

/// Steps with alerts, all of which whoever acts may see; answered when they show.
pub(in crate::web) fn step(ask: &Ask<'_>, asked: Step) -> Result<Stepped, Problem> {
    if asked.alerts.is_empty() || asked.alerts.len() > STEP_ALERTS_MAX {
        return Err(Problem::malformed("name at least one alert and at most 500"));
    }
    let found = asked.alerts.iter().map(|id| visible(ask, id)).collect::<Result<Vec<_>, _>>()?;
    if let desk::What::Duplicate(of) = &asked.step {
        visible(ask, of)?;
    }
    for alert in &found {
        if !ask.may(Act::WorkAlerts, Some(&concerning(alert))) {
            return Err(Problem::new(Kind::NotFound));
        }
        if let desk::What::Assign(to) = &asked.step {
            can_work(ask, to, alert)?;
        }
    }
    let ids: Vec<String> = found.into_iter().map(|alert| alert.alert).collect();
    let deed = Deed { alerts: ids.clone(), step: asked.step, note: asked.note };
    let entries = ask.have_done(What::Alert { deed }, "")?;
    ask.until_shown(&entries)?;
    let unchanged = desk::unchanged(&ask.derived_anew()?, &ids, &entries)?;
    Ok(Stepped { entries, unchanged })
}

/// Who may be given an alert.
pub(in crate::web) fn workers(ask: &Ask<'_>, _: Nothing) -> Result<Vec<String>, Problem> {
    workers_of(ask, &visible(ask, ask.param("alert")?)?)
}

pub(in crate::web) fn workers_of(ask: &Ask<'_>, alert: &Alert) -> Result<Vec<String>, Problem> {
    let all =
        operators::list(ask.log().connection())?.into_iter().filter(|operator| works(ask, operator.clone(), alert));
    Ok(all.map(|operator| operator.operator).collect())
}

fn works(ask: &Ask<'_>, operator: Operator, alert: &Alert) -> bool {
    may(&ask.widened(operator), Act::WorkAlerts, Some(&concerning(alert)), ask.now_ms)
}

/// Nobody is given an alert they may not see.
fn can_work(ask: &Ask<'_>, to: &str, alert: &Alert) -> Result<(), Problem> {
    let operator = operators::find(ask.log().connection(), to)?;
    let can = operator.is_some_and(|operator| works(ask, operator, alert));
    let told = || Problem::new(Kind::NotPossible).because(format!("{to} does not work alerts of this person"));
    can.then_some(()).ok_or_else(told)
}

pub(in crate::web) fn rules(ask: &Ask<'_>, _: Nothing) -> Result<Vec<Precision>, Problem> {
    Ok(alerts::precision(ask.derived()?, None)?)
}
