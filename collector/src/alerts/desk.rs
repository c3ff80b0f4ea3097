//! What people do with alerts, as entries of the log. What a step changes is said by the log alone: two who act at once both
//! read afterwards who was first.

use rusqlite::Connection;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use watchpost_proto::Message as _;
use watchpost_proto::v1::{
    AlertEntry, AlertVerb, CaseEntry, CaseOutcome, CaseVerb, EntryKind, SuppressionEntry, SuppressionKind,
    SuppressionVerb,
};

use super::work::{Ending, STEPS_MAX};
use crate::derive::DeriveError;
use crate::enrolment::desk::{Act, DeskError};
use crate::log_store::{Appender, aside};
use crate::notices::account_of;

/// Alerts of one step.
pub const ALERTS_MAX: usize = 10_000;
/// Alerts of one entry.
const ALERTS_PER_ENTRY: usize = 1_000;
/// Longest text somebody may write, in bytes.
pub const TEXT_BYTES_MAX: usize = 8 * 1024;
/// Longest suppression: a year.
const SUPPRESSION_MAX_MS: i64 = 366 * 24 * 60 * 60 * 1_000;

/// A step with alerts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deed {
    /// Ids, hexadecimal.
    pub alerts: Vec<String>,
    /// What is done.
    pub step: What,
    /// What is written beside it; may be empty where nothing has to be.
    #[serde(default)]
    pub note: String,
}

/// What is done with alerts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// Deal with it oneself.
    Take,
    /// Have somebody deal with it.
    Assign(String),
    /// Nobody deals with it any more.
    PutBack,
    /// Write something.
    Note,
    /// It is dealt with.
    Close(Ending),
    /// It tells the same as this one.
    Duplicate(String),
    /// It is not dealt with after all.
    Reopen,
    /// The person concerned objects.
    Appeal,
    /// The objection holds.
    Grant,
    /// It does not.
    Deny,
    /// A step of the playbook is done, from 1.
    Step(u32),
    /// It goes to whoever stands above.
    Escalate,
}

impl What {
    fn verb(&self) -> AlertVerb {
        match self {
            Self::Take => AlertVerb::Take,
            Self::Assign(_) => AlertVerb::Assign,
            Self::PutBack => AlertVerb::PutBack,
            Self::Note => AlertVerb::Note,
            Self::Close(_) | Self::Duplicate(_) => AlertVerb::Close,
            Self::Reopen => AlertVerb::Reopen,
            Self::Appeal => AlertVerb::Appeal,
            Self::Grant => AlertVerb::Grant,
            Self::Deny => AlertVerb::Deny,
            Self::Step(_) => AlertVerb::Step,
            Self::Escalate => AlertVerb::Escalate,
        }
    }

    /// Whether something has to be written: what others must be able to follow later.
    #[must_use]
    pub fn needs_note(&self) -> bool {
        matches!(self, Self::Note | Self::Reopen | Self::Appeal | Self::Grant | Self::Deny | Self::Escalate)
            || matches!(self, Self::Close(Ending::FalseAlarm | Ending::RuleWithdrawn))
    }
}

/// Appends a step.
///
/// # Errors
/// What was asked cannot be, or the log.
pub fn act(appender: &mut Appender<'_>, deed: &Deed, act: &Act<'_>) -> Result<Vec<u64>, DeskError> {
    let told = |text: &str| DeskError::Told(text.to_owned());
    let ids = deed.alerts.iter().map(|id| id_of(id)).collect::<Result<Vec<_>, _>>()?;
    if ids.is_empty() || ids.len() > ALERTS_MAX {
        return Err(told("name at least one alert and at most 10,000"));
    }
    let mut entry =
        AlertEntry { verb: deed.step.verb().into(), by: act.by.into(), at_ms: act.at_ms, ..AlertEntry::default() };
    match &deed.step {
        What::Assign(to) if to.trim().is_empty() => return Err(told("say to whom it is assigned")),
        What::Assign(to) => entry.assignee.clone_from(to),
        What::Close(Ending::Withdrawn) => return Err(told("an alert is withdrawn by its devices alone")),
        What::Close(Ending::Duplicate) => return Err(told("say of which alert it is a duplicate")),
        What::Close(ending) => entry.resolution = ending.resolution().into(),
        What::Duplicate(of) => {
            entry.duplicate_of = id_of(of)?;
            entry.resolution = Ending::Duplicate.resolution().into();
            if ids.contains(&entry.duplicate_of) {
                return Err(told("an alert is no duplicate of itself"));
            }
        }
        What::Step(step) if !(1..=STEPS_MAX).contains(step) => return Err(told("a playbook has steps from 1 to 63")),
        What::Step(step) => entry.step = *step,
        _ => {}
    }
    if deed.step.needs_note() && deed.note.trim().is_empty() {
        return Err(told("write why: others must be able to follow it later (--note)"));
    }
    entry.note = keep(appender, &deed.note)?;
    ids.chunks(ALERTS_PER_ENTRY)
        .map(|alerts| {
            entry.alerts = alerts.to_vec();
            Ok(appender.append(EntryKind::Alert, &entry.encode_to_vec())?)
        })
        .collect()
}

/// Keeps what somebody wrote beside the log; returns what names it.
fn keep(appender: &Appender<'_>, text: &str) -> Result<Vec<u8>, DeskError> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(Vec::new());
    }
    if text.len() > TEXT_BYTES_MAX {
        return Err(DeskError::Told("a note has at most 8 KiB; attach longer texts to the case elsewhere".into()));
    }
    Ok(aside::keep(appender.connection(), text.as_bytes())?.to_vec())
}

fn id_of(text: &str) -> Result<Vec<u8>, DeskError> {
    let bytes = hex::decode(text).ok().filter(|bytes| bytes.len() == 32);
    bytes.ok_or_else(|| DeskError::Told(format!("{text:?} is not an alert's id: 64 hexadecimal characters")))
}

/// Of these alerts, those for which the step of these entries changed nothing: it did not fit how they stood by then.
///
/// # Errors
/// The database.
pub fn unchanged(db: &Connection, alerts: &[String], entries: &[u64]) -> Result<Vec<String>, DeriveError> {
    let mut changed = db.prepare(
        "SELECT 1 FROM alert_event JOIN alert ON alert.id = alert_event.alert
         WHERE alert_event.log_index BETWEEN ?1 AND ?2 AND opened_by = ?3",
    )?;
    let (Some(first), Some(last)) = (entries.first(), entries.last()) else { return Ok(alerts.to_vec()) };
    let mut left = Vec::new();
    for alert in alerts {
        let id = hex::decode(alert).unwrap_or_default();
        if !changed.exists((first, last, id))? {
            left.push(alert.clone());
        }
    }
    Ok(left)
}

/// A suppression 抑制: what it covers opens no alert for people while it holds. What is empty covers any.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Suppress {
    /// The rule is being worked on, rather than that the matter is known.
    #[serde(default)]
    pub is_maintenance: bool,
    /// The pack.
    #[serde(default)]
    pub pack: String,
    /// The rule.
    #[serde(default)]
    pub rule: String,
    /// The account concerned.
    #[serde(default)]
    pub person: String,
    /// Their department.
    #[serde(default)]
    pub department: String,
    /// Their site.
    #[serde(default)]
    pub site: String,
    /// The device's UUID.
    #[serde(default)]
    pub device: String,
    /// When it begins, milliseconds since 1970.
    pub from_ms: i64,
    /// When it ends.
    pub until_ms: i64,
}

/// Begins a suppression. Its owner is who acts; it needs a reason and an end.
///
/// # Errors
/// What was asked cannot be, or the log.
pub fn suppress(appender: &mut Appender<'_>, asked: &Suppress, act: &Act<'_>) -> Result<u64, DeskError> {
    let told = |text: &str| Err(DeskError::Told(text.to_owned()));
    if act.reason.trim().is_empty() {
        return told("a suppression needs a reason (--reason)");
    }
    if asked.until_ms <= asked.from_ms.max(act.at_ms) || asked.until_ms - asked.from_ms.max(0) > SUPPRESSION_MAX_MS {
        return told("a suppression ends in the future, and within a year of its beginning");
    }
    let Suppress { pack, rule, person, department, site, device, .. } = asked;
    if [pack, rule, person, department, site, device].iter().all(|it| it.is_empty()) {
        return told("say what is suppressed: a pack, rule, person, department, site or device");
    }
    let device = match device.as_str() {
        "" => Vec::new(),
        uuid => match watchpost_proto::DeviceId::parse(uuid) {
            Some(device) => device.0.to_vec(),
            None => return told("that is not a device's UUID"),
        },
    };
    let kind = if asked.is_maintenance { SuppressionKind::Maintenance } else { SuppressionKind::Known };
    let entry = SuppressionEntry {
        id: random()?.to_vec(),
        verb: SuppressionVerb::Begin.into(),
        kind: kind.into(),
        pack: pack.clone(),
        rule: rule.clone(),
        person: spelled(person)?,
        department: department.clone(),
        site: site.clone(),
        device,
        from_ms: asked.from_ms,
        until_ms: asked.until_ms,
        by: act.by.into(),
        reason: act.reason.into(),
        at_ms: act.at_ms,
    };
    Ok(appender.append(EntryKind::Suppression, &entry.encode_to_vec())?)
}

/// Ends a suppression before its time.
///
/// # Errors
/// What was asked cannot be, or the log.
pub fn end_suppression(appender: &mut Appender<'_>, id: &str, act: &Act<'_>) -> Result<u64, DeskError> {
    let entry = SuppressionEntry {
        id: short_id(id)?,
        verb: SuppressionVerb::End.into(),
        by: act.by.into(),
        reason: act.reason.into(),
        at_ms: act.at_ms,
        ..SuppressionEntry::default()
    };
    Ok(appender.append(EntryKind::Suppression, &entry.encode_to_vec())?)
}

/// A step with a case 案件.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CaseStep {
    /// Begins one about a person, with their alerts.
    Open {
        /// `corp/userid`.
        person: String,
        /// Ids.
        alerts: Vec<String>,
    },
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

/// What came of a case for the person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Nothing. 无
    None,
    /// A talk. 谈话
    Talk,
    /// Training. 培训
    Training,
    /// A warning. 警告
    Warning,
    /// A fine. 罚款
    Fine,
    /// Another post. 调岗
    Transfer,
    /// Dismissal. 解除劳动合同
    Dismissal,
    /// Reported to the authorities. 移送
    Reported,
}

/// Outcomes with the words entries have for them.
const OUTCOMES: [(Outcome, CaseOutcome, &str); 8] = [
    (Outcome::None, CaseOutcome::None, "none"),
    (Outcome::Talk, CaseOutcome::Talk, "talk"),
    (Outcome::Training, CaseOutcome::Training, "training"),
    (Outcome::Warning, CaseOutcome::Warning, "warning"),
    (Outcome::Fine, CaseOutcome::Fine, "fine"),
    (Outcome::Transfer, CaseOutcome::Transfer, "transfer"),
    (Outcome::Dismissal, CaseOutcome::Dismissal, "dismissal"),
    (Outcome::Reported, CaseOutcome::Reported, "reported"),
];

/// The word for an outcome, by its number in entries.
pub(super) fn outcome_name(number: i32) -> Option<&'static str> {
    OUTCOMES.iter().find(|(_, outcome, _)| *outcome as i32 == number).map(|(_, _, name)| *name)
}

/// Appends a step with a case; `id` is empty where it opens one. `note` is its title then.
///
/// # Errors
/// What was asked cannot be, or the log.
pub fn case(
    appender: &mut Appender<'_>,
    id: &str,
    step: &CaseStep,
    note: &str,
    act: &Act<'_>,
) -> Result<u64, DeskError> {
    let (verb, ids) = match step {
        CaseStep::Open { alerts, .. } => (CaseVerb::Open, alerts.as_slice()),
        CaseStep::Link(alerts) => (CaseVerb::Link, alerts.as_slice()),
        CaseStep::Unlink(alerts) => (CaseVerb::Unlink, alerts.as_slice()),
        CaseStep::Note => (CaseVerb::Note, [].as_slice()),
        CaseStep::Close(_) => (CaseVerb::Close, [].as_slice()),
        CaseStep::Reopen => (CaseVerb::Reopen, [].as_slice()),
    };
    let needs_note = !matches!(verb, CaseVerb::Link | CaseVerb::Unlink);
    if needs_note && note.trim().is_empty() {
        return Err(DeskError::Told("write a title for a new case, and grounds for every other step (--note)".into()));
    }
    if ids.len() > ALERTS_PER_ENTRY {
        return Err(DeskError::Told("a case takes at most 1,000 alerts at once".into()));
    }
    let outcome = match step {
        CaseStep::Close(outcome) => OUTCOMES
            .iter()
            .find(|(it, _, _)| it == outcome)
            .map_or(CaseOutcome::Unspecified, |(_, outcome, _)| *outcome),
        _ => CaseOutcome::Unspecified,
    };
    let entry = CaseEntry {
        id: if verb == CaseVerb::Open { random()?.to_vec() } else { short_id(id)? },
        verb: verb.into(),
        person: if let CaseStep::Open { person, .. } = step { spelled(person)? } else { String::new() },
        alerts: ids.iter().map(|id| id_of(id)).collect::<Result<_, _>>()?,
        outcome: outcome.into(),
        note: keep(appender, note)?,
        by: act.by.into(),
        at_ms: act.at_ms,
    };
    Ok(appender.append(EntryKind::Case, &entry.encode_to_vec())?)
}

/// An account as devices spell it; another spelling would mean nobody.
fn spelled(person: &str) -> Result<String, DeskError> {
    let account = if person.is_empty() { Some(String::new()) } else { account_of(person) };
    account.ok_or_else(|| DeskError::Told(format!("{person:?} is not an account, corp/userid")))
}

fn short_id(text: &str) -> Result<Vec<u8>, DeskError> {
    let bytes = hex::decode(text).ok().filter(|bytes| bytes.len() == 16);
    bytes.ok_or_else(|| DeskError::Told(format!("{text:?} is not an id of 32 hexadecimal characters")))
}

fn random() -> Result<[u8; 16], DeskError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| DeskError::Told(format!("no random bytes: {error}")))?;
    Ok(bytes)
}
