//! One alert: the rule it stands on, what to do, what proves it, what is beside it.

use rusqlite::OptionalExtension as _;
use schemars::JsonSchema;
use serde::Serialize;

use super::alerts::{Which, Why, concerning, list, reason, visible};
use crate::alerts::{self, Alert, Precision};
use crate::audit::Did;
use crate::clocks::{Clocks, Text};
use crate::evidence;
use crate::link::Link;
use crate::operators::Act;
use crate::rulebook::RuleText;
use crate::web::ask::Ask;
use crate::web::problem::{Kind, Problem};
use crate::web::route::{Body, JSON, Nothing};

/// Alerts of the same person that are told beside one.
const RELATED: u32 = 10;

/// The rule of an alert.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::web) struct RuleOf {
    /// What it says now; missing where no policy and no pack has it any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::web) rule: Option<RuleText>,
    /// How its alerts ended until now, for those who may see how rules do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::web) precision: Option<Precision>,
}

/// A step of the playbook.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::web) struct PlaybookStep {
    /// From 1.
    pub(in crate::web) number: u32,
    /// In Chinese.
    pub(in crate::web) zh: String,
    /// In English.
    pub(in crate::web) en: String,
    /// Somebody has done it.
    pub(in crate::web) is_done: bool,
}

/// Where an alert stands in the log.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::web) struct Proof {
    /// The entry with the record that opened it.
    pub(in crate::web) entry: u64,
    /// The place of the record in there.
    pub(in crate::web) place: u64,
    /// Entries of the log by now.
    pub(in crate::web) size: u64,
    /// The root over all of them, hexadecimal.
    pub(in crate::web) root: String,
    /// The log's name on checkpoints.
    pub(in crate::web) origin: String,
    /// Witnesses whose lines stand on the newest checkpoint that has some.
    pub(in crate::web) witnesses: Vec<String>,
}

pub(in crate::web) fn rule(ask: &Ask<'_>, _: Nothing) -> Result<RuleOf, Problem> {
    rule_of(ask, &visible(ask, ask.param("alert")?)?)
}

pub(in crate::web) fn rule_of(ask: &Ask<'_>, alert: &Alert) -> Result<RuleOf, Problem> {
    let rule = ask.rule(&alert.pack, &alert.rule)?.map(|rule| rule.as_ref().clone());
    // How often it was right counts the alerts of all departments.
    if !ask.may(Act::SeeRules, None) {
        return Ok(RuleOf { rule, precision: None });
    }
    let all = alerts::precision(ask.derived()?, Some(&alert.pack))?;
    Ok(RuleOf { rule, precision: all.into_iter().find(|it| it.rule == alert.rule) })
}

pub(in crate::web) fn playbook(ask: &Ask<'_>, _: Nothing) -> Result<Vec<PlaybookStep>, Problem> {
    playbook_of(ask, &visible(ask, ask.param("alert")?)?)
}

pub(in crate::web) fn playbook_of(ask: &Ask<'_>, alert: &Alert) -> Result<Vec<PlaybookStep>, Problem> {
    let clocks = Clocks::read(ask.derived()?)?;
    let response = alerts::level_number(alert.level).and_then(|level| clocks.response(level));
    let steps = response.map(|response| response.steps.as_slice()).unwrap_or_default();
    let step = |(number, Text { zh, en }): (u32, &Text)| PlaybookStep {
        number,
        zh: zh.clone(),
        en: en.clone(),
        is_done: alert.steps_done.contains(&number),
    };
    Ok((1..).zip(steps).map(step).collect())
}

pub(in crate::web) fn proof(ask: &Ask<'_>, _: Nothing) -> Result<Proof, Problem> {
    proof_of(ask, &visible(ask, ask.param("alert")?)?)
}

pub(in crate::web) fn proof_of(ask: &Ask<'_>, alert: &Alert) -> Result<Proof, Problem> {
    let text = "SELECT log_index, place FROM alert WHERE opened_by = ?1";
    let id = hex::decode(&alert.alert).unwrap_or_default();
    let place = ask.derived()?.query_row(text, [id], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    let (entry, place) = place.ok_or(Problem::new(Kind::NotFound))?;
    let head = ask.log().checkpoint()?;
    let candidates = evidence::candidates(&ask.site.desk.config, ask.log()).unwrap_or_default();
    let witnesses = candidates.into_iter().next().map(|first| first.witnesses).unwrap_or_default();
    let size = ask.log().count()?;
    Ok(Proof { entry, place, size, root: head.root.to_string(), origin: head.origin, witnesses })
}

pub(in crate::web) fn related(ask: &Ask<'_>, _: Nothing) -> Result<Vec<Alert>, Problem> {
    related_of(ask, &visible(ask, ask.param("alert")?)?)
}

/// Other alerts about the same person that whoever asks may see, the newest first.
pub(in crate::web) fn related_of(ask: &Ask<'_>, alert: &Alert) -> Result<Vec<Alert>, Problem> {
    if alert.person.is_empty() {
        return Ok(Vec::new());
    }
    let which =
        Which { person: Some(alert.person.clone()), newest: true, limit: Some(RELATED + 1), ..Which::default() };
    let mut others = list(ask, which)?.items;
    others.retain(|other| other.alert != alert.alert);
    others.truncate(RELATED as usize);
    Ok(others)
}

/// Where the message of a finding is looked at; nothing where nobody said where.
pub(in crate::web) fn link(ask: &Ask<'_>) -> Result<Option<Link>, Problem> {
    Ok(Link::read(ask.derived()?)?)
}

/// One file that proves the alert to anybody. It holds excerpts: whoever takes it along may read them, and it is noted first.
pub(in crate::web) fn evidence(ask: &Ask<'_>, why: Why) -> Result<Body, Problem> {
    let alert = visible(ask, ask.param("alert")?)?;
    for act in [Act::SeeExcerpts, Act::Export] {
        if !ask.may(act, Some(&concerning(&alert))) {
            return Err(Problem::new(Kind::NotAllowed).because("evidence holds excerpts, which you may not take along"));
        }
    }
    let reason = reason(&why.reason)?;
    let id = hex::decode(&alert.alert).unwrap_or_default();
    let candidates = evidence::candidates(&ask.site.desk.config, ask.log())?;
    let told = |error: anyhow::Error| Problem::new(Kind::NotPossible).because(format!("{error:#}"));
    let made = evidence::export(ask.log(), ask.derived()?, &id, &candidates, None).map_err(told)?;
    let parts = made.earlier.iter().flat_map(|earlier| &earlier.segments).chain(&made.segments);
    let records: usize = parts.map(|segment| segment.records.len()).sum();
    let bytes = serde_json::to_vec_pretty(&made).map_err(|error| Problem::broken(&error))?;
    ask.note(ask.by()?, Did::Exported, &alert.alert, reason, records as u64)?;
    let name = format!("evidence-{}.json", alert.alert.get(..12).unwrap_or_default());
    Ok(Body::file(JSON, name, bytes))
}
