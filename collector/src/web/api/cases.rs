//! Cases and suppressions.

use schemars::JsonSchema;
use serde::Deserialize;

use super::alerts::{concerning, visible};
use super::operators::{Done, Why};
use super::page::{self, Page, Turn};
use crate::admin::What;
use crate::alerts::desk::{CaseStep, Outcome, Suppress};
use crate::alerts::{self, Alert, Case, Suppression};
use crate::operators::{Act, Operator, Role};
use crate::web::ask::Ask;
use crate::web::problem::{Kind, Problem};
use crate::web::route::Nothing;

/// A new case.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::web) struct New {
    /// What it is called.
    pub(in crate::web) title: String,
    /// Ids of its first alerts, all about one person.
    pub(in crate::web) alerts: Vec<String>,
}

/// A step with a case.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::web) struct Step {
    /// What is done.
    pub(in crate::web) step: Next,
    /// What is written beside it.
    #[serde(default)]
    pub(in crate::web) note: String,
}

/// What is done with a case.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(in crate::web) enum Next {
    /// Takes alerts in.
    Link(Vec<String>),
    /// Takes alerts out.
    Unlink(Vec<String>),
    /// Writes something.
    Note,
    /// It is over.
    Close(Outcome),
    /// It is not.
    Reopen,
}

/// A suppression to begin.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::web) struct Begin {
    /// What, and until when.
    pub(in crate::web) what: Suppress,
    /// Why; goes into the audit trail.
    pub(in crate::web) reason: String,
}

pub(in crate::web) fn list(ask: &Ask<'_>, turn: Turn) -> Result<Page<Case>, Problem> {
    let limit = page::rows(turn.limit);
    let after: Option<String> = page::read("cases", turn.cursor.as_deref())?;
    let all = alerts::cases(ask.derived()?, ask.log().connection(), None)?;
    let mut rest = Vec::new();
    let mut is_behind = after.is_none();
    for case in all {
        let is_last = after.as_ref() == Some(&case.case);
        if is_behind && rest.len() <= limit as usize {
            rest.extend(seen(ask, case)?);
        }
        is_behind |= is_last;
    }
    Ok(page::page("cases", rest, limit, |last| last.case.clone()))
}

pub(in crate::web) fn show(ask: &Ask<'_>, _: Nothing) -> Result<Case, Problem> {
    named(ask, ask.param("case")?)
}

fn named(ask: &Ask<'_>, id: &str) -> Result<Case, Problem> {
    let missing = || Problem::new(Kind::NotFound);
    let id = hex::decode(id).ok().filter(|id| id.len() == 16).ok_or_else(missing)?;
    let case = alerts::cases(ask.derived()?, ask.log().connection(), Some(&id))?.pop().ok_or_else(missing)?;
    seen(ask, case)?.ok_or_else(missing)
}

/// A case as whoever asks may see it: with all of its alerts, or not at all. What was written is for those who work it.
pub(in crate::web) fn seen(ask: &Ask<'_>, mut case: Case) -> Result<Option<Case>, Problem> {
    let operator = &ask.caller()?.operator;
    let is_own = operator.is_unbound || is_own(operator, &case.person);
    let mut sees_all = !case.alerts.is_empty() || operator.grant.role != Role::Supervisor;
    for id in &case.alerts {
        let alert = alerts::find(ask.derived()?, &hex::decode(id).unwrap_or_default())?;
        // Of one that nobody sees, a supervisor cannot tell whose it was.
        let is_theirs = |alert: Alert| ask.may(Act::SeeAlerts, Some(&concerning(&alert)));
        sees_all &= alert.map_or(operator.grant.role != Role::Supervisor, is_theirs);
    }
    if is_own || !sees_all {
        return Ok(None);
    }
    if !ask.may(Act::WorkAlerts, None) {
        case.title = None;
        case.steps.iter_mut().for_each(|step| step.note = None);
    }
    Ok(Some(case))
}

pub(in crate::web) fn open(ask: &Ask<'_>, asked: New) -> Result<Done, Problem> {
    let found = asked.alerts.iter().map(|id| visible(ask, id)).collect::<Result<Vec<_>, _>>()?;
    let person = found.first().map(|alert| alert.person.clone());
    let person = person.ok_or_else(|| Problem::malformed("name at least one alert"))?;
    if found.iter().any(|alert| alert.person != person) {
        return Err(Problem::malformed("a case is about one person; these alerts are about several"));
    }
    step_of(ask, "", CaseStep::Open { person, alerts: asked.alerts }, asked.title)
}

pub(in crate::web) fn step(ask: &Ask<'_>, asked: Step) -> Result<Done, Problem> {
    step_with(ask, ask.param("case")?, asked)
}

pub(in crate::web) fn step_with(ask: &Ask<'_>, id: &str, asked: Step) -> Result<Done, Problem> {
    let case = named(ask, id)?;
    let step = match asked.step {
        Next::Link(ids) => {
            for id in &ids {
                if visible(ask, id)?.person != case.person {
                    return Err(Problem::malformed("a case is about one person; this alert is about another"));
                }
            }
            CaseStep::Link(ids)
        }
        Next::Unlink(ids) => CaseStep::Unlink(ids),
        Next::Note => CaseStep::Note,
        Next::Close(outcome) => CaseStep::Close(outcome),
        Next::Reopen => CaseStep::Reopen,
    };
    step_of(ask, &case.case, step, asked.note)
}

fn step_of(ask: &Ask<'_>, case: &str, step: CaseStep, note: String) -> Result<Done, Problem> {
    let entries = ask.have_done(What::Case { case: case.to_owned(), step, note }, "")?;
    ask.until_shown(&entries)?;
    Ok(Done { entries })
}

pub(in crate::web) fn suppressions(ask: &Ask<'_>, turn: Turn) -> Result<Page<Suppression>, Problem> {
    let limit = page::rows(turn.limit);
    let after: Option<String> = page::read("suppressions", turn.cursor.as_deref())?;
    let operator = &ask.caller()?.operator;
    let all = alerts::suppressions(ask.derived()?, ask.now_ms)?.into_iter();
    let rest = all.skip_while(|it| after.as_ref().is_some_and(|after| it.suppression != *after));
    let rest = rest.skip(usize::from(after.is_some()));
    let rest = rest.filter(|it| !is_own(operator, &it.person));
    Ok(page::page("suppressions", rest.take(limit as usize + 1).collect(), limit, |last| last.suppression.clone()))
}

pub(in crate::web) fn suppress(ask: &Ask<'_>, asked: Begin) -> Result<Done, Problem> {
    let operator = &ask.caller()?.operator;
    let refused = |why: &str| Err(Problem::new(Kind::NotAllowed).because(why));
    if operator.is_unbound {
        return refused("your own accounts were erased: nobody can tell what is about you");
    }
    // What names nobody covers whoever it fits: by rule, department, site or device oneself as well.
    if !operator.grant.accounts.is_empty() && asked.what.person.is_empty() {
        return refused(
            "whoever has accounts of their own suppresses for one named person: it would cover themselves as well",
        );
    }
    if is_own(operator, &asked.what.person) {
        return refused("nobody suppresses alerts about themselves");
    }
    let entries = ask.have_done(What::Suppress { what: asked.what }, &asked.reason)?;
    ask.until_shown(&entries)?;
    Ok(Done { entries })
}

fn is_own(operator: &Operator, person: &str) -> bool {
    operator.grant.accounts.iter().any(|own| own.eq_ignore_ascii_case(person))
}

pub(in crate::web) fn end_suppression(ask: &Ask<'_>, why: Why) -> Result<Done, Problem> {
    let (id, operator) = (ask.param("suppression")?, &ask.caller()?.operator);
    let all = alerts::suppressions(ask.derived()?, ask.now_ms)?;
    if !all.iter().any(|it| it.suppression == id && !is_own(operator, &it.person)) {
        return Err(Problem::new(Kind::NotFound));
    }
    let entries = ask.have_done(What::EndSuppression { suppression: id.to_owned() }, &why.reason)?;
    ask.until_shown(&entries)?;
    Ok(Done { entries })
}
