//! Alerts, as far as whoever asks may see them. What they may not see is not there.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::page::{self, Page};
use crate::admin::What;
use crate::alerts::desk::{self, Deed};
use crate::alerts::work::State;
use crate::alerts::{self, Alert, Cursor, Filter, Happened, Item, Order, Precision, delegate};
use crate::audit::Did;
use crate::operators::{self, Act, Concerning, Role, may};
use crate::web::ask::Ask;
use crate::web::problem::{Kind, Problem};
use crate::web::route::{Csv, Nothing};

/// Shortest reason, in characters, and longest, in bytes.
const REASON_CHARS_MIN: usize = 4;
const REASON_BYTES_MAX: usize = 1024;
/// Characters of what the trail says was taken along.
const SUBJECT_CHARS_MAX: usize = 256;
/// Rows of one list that is taken along.
const EXPORT_ROWS_MAX: usize = 50_000;
/// Alerts of one step.
const STEP_ALERTS_MAX: usize = 500;

/// Which alerts.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::web) struct Which {
    /// How they stand.
    state: Option<State>,
    /// The pack of the rule.
    pack: Option<String>,
    /// The rule.
    rule: Option<String>,
    /// The account concerned.
    person: Option<String>,
    /// The department.
    department: Option<String>,
    /// The site.
    site: Option<String>,
    /// Who is to deal with it.
    assignee: Option<String>,
    /// Day at +08:00, `YYYY-MM-DD`.
    day: Option<String>,
    /// Those that are late.
    #[serde(default)]
    overdue: bool,
    /// Suppressed ones, instead of those that are not.
    #[serde(default)]
    suppressed: bool,
    /// The newest first, in place of what is due first.
    #[serde(default)]
    newest: bool,
    /// `next` of the page before.
    cursor: Option<String>,
    /// Rows of the page, at most 500.
    limit: Option<u32>,
}

/// Why somebody looks.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::web) struct Why {
    /// Why; goes into the audit trail. Not needed for an alert that is assigned to you.
    #[serde(default)]
    reason: String,
}

/// Which alerts are taken along, and why.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::web) struct Export {
    /// Why; goes into the audit trail.
    #[serde(default)]
    reason: String,
    /// How they stand.
    state: Option<State>,
    /// The rule.
    rule: Option<String>,
    /// Day at +08:00, `YYYY-MM-DD`.
    day: Option<String>,
}

impl Export {
    /// What is taken along, as the audit trail has it.
    fn subject(&self) -> String {
        let state = self.state.and_then(|state| serde_json::to_value(state).ok());
        let state = state.and_then(|state| state.as_str().map(str::to_owned));
        let parts = [("state", &state), ("rule", &self.rule), ("day", &self.day)];
        let parts = parts.into_iter().filter_map(|(name, value)| Some(format!(" {name}:{}", value.as_ref()?)));
        let subject = format!("alerts{}", parts.collect::<String>());
        subject.chars().take(SUBJECT_CHARS_MAX).collect()
    }
}

/// What was found.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::web) struct Findings {
    /// The alert.
    alert: String,
    /// Its findings, in the order they were first told.
    items: Vec<Item>,
}

/// A step with alerts.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::web) struct Step {
    /// Ids, at most 500.
    alerts: Vec<String>,
    /// What is done.
    step: desk::What,
    /// What is written beside it.
    #[serde(default)]
    note: String,
}

/// What became of a step.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::web) struct Stepped {
    /// The entries of the log.
    entries: Vec<u64>,
    /// Alerts that stay as they were: the step does not fit how they stood by then.
    unchanged: Vec<String>,
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
    let grant = &ask.caller()?.operator.grant;
    let of_scope = |scope: &operators::Scope| (scope.department.clone(), scope.site.clone());
    let scopes = (grant.role == Role::Supervisor).then(|| grant.scopes.iter().map(of_scope).collect());
    Ok(Filter { scopes, not_persons: grant.accounts.clone(), ..filter })
}

pub(in crate::web) fn list(ask: &Ask<'_>, which: Which) -> Result<Page<Alert>, Problem> {
    let limit = page::rows(which.limit);
    let order = if which.newest { Order::Newest } else { Order::Due };
    let of_list = if which.newest { "alerts-newest" } else { "alerts-due" };
    let after: Option<Key> = page::read(of_list, which.cursor.as_deref())?;
    let filter = bounds(
        ask,
        Filter {
            states: which.state.into_iter().collect(),
            pack: which.pack,
            rule: which.rule,
            persons: which.person.into_iter().collect(),
            departments: which.department.into_iter().collect(),
            sites: which.site.into_iter().collect(),
            assignees: which.assignee.into_iter().collect(),
            day: which.day,
            overdue_at_ms: which.overdue.then_some(ask.now_ms),
            suppressed: which.suppressed,
            ..Filter::default()
        },
    )?;
    let rows = alerts::page(ask.derived()?, &filter, order, after.map(|key| key.0), limit as usize + 1)?;
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
    let is_own = delegate::stands_in_for(ask.derived()?, ask.by()?, ask.now_ms)?.contains(&alert.assignee);
    let reason = if is_own && why.reason.is_empty() { "triage" } else { reason(&why.reason)? };
    let items = alerts::items(ask.derived()?, &hex::decode(&alert.alert).unwrap_or_default())?;
    ask.note(ask.by()?, Did::Viewed, &alert.alert, reason, items.len() as u64)?;
    Ok(Findings { alert: alert.alert, items })
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

/// Nobody is given an alert they may not see.
fn can_work(ask: &Ask<'_>, to: &str, alert: &Alert) -> Result<(), Problem> {
    let operator = operators::find(ask.log().connection(), to)?.map(|operator| ask.widened(operator));
    let can = operator.is_some_and(|operator| may(&operator, Act::WorkAlerts, Some(&concerning(alert)), ask.now_ms));
    let told = || Problem::new(Kind::NotPossible).because(format!("{to} does not work alerts of this person"));
    can.then_some(()).ok_or_else(told)
}

pub(in crate::web) fn rules(ask: &Ask<'_>, _: Nothing) -> Result<Vec<Precision>, Problem> {
    Ok(alerts::precision(ask.derived()?, None)?)
}

/// A list of alerts to take along, without what was found; noted before it goes out.
pub(in crate::web) fn export(ask: &Ask<'_>, asked: Export) -> Result<Csv, Problem> {
    let reason = reason(&asked.reason)?.to_owned();
    let subject = asked.subject();
    let filter = bounds(
        ask,
        Filter { states: asked.state.into_iter().collect(), rule: asked.rule, day: asked.day, ..Filter::default() },
    )?;
    let rows = alerts::page(ask.derived()?, &filter, Order::Newest, None, EXPORT_ROWS_MAX + 1)?;
    if rows.len() > EXPORT_ROWS_MAX {
        return Err(Problem::malformed("that is more than 50,000 alerts; choose a rule or a day"));
    }
    let rows: Vec<Alert> = rows.into_iter().map(|(alert, _)| alert).collect();
    let rows: Vec<&Alert> = rows.iter().filter(|alert| ask.may(Act::SeeAlerts, Some(&concerning(alert)))).collect();
    let bytes = table(&rows)?;
    ask.note(ask.by()?, Did::Exported, &subject, &reason, rows.len() as u64)?;
    Ok(Csv(bytes))
}

fn table(rows: &[&Alert]) -> Result<Vec<u8>, Problem> {
    let broken = |error: csv::Error| Problem::broken(&error);
    // Excel takes what begins otherwise for another encoding.
    let mut out = "\u{feff}".as_bytes().to_vec();
    let mut writer = csv::WriterBuilder::new().quote_style(csv::QuoteStyle::Always).from_writer(&mut out);
    let columns = [
        "alert",
        "level",
        "pack",
        "rule",
        "category",
        "person",
        "department",
        "site",
        "day",
        "state",
        "assignee",
        "ending",
        "findings",
    ];
    writer.write_record(columns).map_err(broken)?;
    for alert in rows {
        let findings = alert.findings.to_string();
        let cells = [
            &alert.alert,
            alert.level,
            &alert.pack,
            &alert.rule,
            &alert.category,
            &alert.person,
            &alert.department,
            &alert.site,
            &alert.day,
            alert.state,
            &alert.assignee,
            alert.ending.unwrap_or_default(),
            &findings,
        ];
        writer.write_record(cells.map(page::plain)).map_err(broken)?;
    }
    writer.flush().map_err(|error| Problem::broken(&error))?;
    drop(writer);
    Ok(out)
}
