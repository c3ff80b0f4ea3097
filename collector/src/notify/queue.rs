//! The queue of messages: entries of the log, and what the fold over them knows.

use rusqlite::Connection;
use watchpost_proto::digest::hash;
use watchpost_proto::v1::{EntryKind, NotificationEntry, NotificationVerb, ToldOf, ToldWhat};
use watchpost_proto::{Digest, Message as _};

use super::plan::{Tell, Told, What};
use crate::enrolment::desk::{Act, DeskError};
use crate::log_store::{Appender, StoreError, notifications};

/// Who has made an entry nobody asked for.
pub const COLLECTOR: &str = "collector";
/// Why a message was given up: its route was removed.
pub const NO_ROUTE: &str = "no_route";
/// Why a message was given up: what it told of was erased or suppressed.
pub const NOTHING_LEFT: &str = "nothing_left";
const DOMAIN: &str = "watchpost/notification";

/// A message that is to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The target, by name.
    pub target: String,
    /// The route.
    pub route: String,
    /// What it tells of, in order.
    pub tells: Vec<Tell>,
}

/// What became of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Its id.
    pub id: Digest,
    /// What happened.
    pub verb: NotificationVerb,
    /// Which attempt it was about.
    pub attempt: u32,
    /// The HTTP status, or 0.
    pub status: u32,
    /// The robot's code, or 0.
    pub errcode: i64,
    /// A word.
    pub reason: String,
    /// When it is tried again, or 0.
    pub next_ms: i64,
}

impl Step {
    /// A step without an answer.
    #[must_use]
    pub fn of(id: Digest, verb: NotificationVerb, attempt: u32) -> Self {
        Self { id, verb, attempt, status: 0, errcode: 0, reason: String::new(), next_ms: 0 }
    }
}

/// The id of a message: the same whenever it is planned.
fn id_of(message: &Message) -> Digest {
    let mut parts: Vec<Vec<u8>> = vec![message.route.clone().into(), message.target.clone().into()];
    parts.extend(message.tells.iter().map(|tell| told_of(tell).encode_to_vec()));
    hash(DOMAIN, &parts.iter().map(Vec::as_slice).collect::<Vec<_>>())
}

/// Plans a message. `None` where any of it was told on the route already: then the plan was made without knowing that.
///
/// # Errors
/// [`StoreError`].
pub fn plan(appender: &mut Appender<'_>, message: &Message, at_ms: i64) -> Result<Option<Digest>, StoreError> {
    let tells: Vec<ToldOf> = message.tells.iter().map(told_of).collect();
    for told in &tells {
        if notifications::is_told(appender.connection(), &message.route, told)? {
            return Ok(None);
        }
    }
    let id = id_of(message);
    let entry = NotificationEntry {
        id: id.to_vec(),
        verb: NotificationVerb::Planned as i32,
        target: message.target.clone(),
        route: message.route.clone(),
        tells,
        by: COLLECTOR.into(),
        at_ms,
        ..NotificationEntry::default()
    };
    appender.append(EntryKind::Notification, &entry.encode_to_vec())?;
    Ok(Some(id))
}

/// Plans a test of a target under an id of 32 random bytes; returns its entry, unless it was planned already.
///
/// # Errors
/// No such id, or the log.
pub fn plan_test(appender: &mut Appender<'_>, id: &str, target: &str, act: &Act<'_>) -> Result<Option<u64>, DeskError> {
    let no_id = || DeskError::Told("the id of a test is 32 bytes, hexadecimal".into());
    let id = Digest::from_hex(id).ok_or_else(no_id)?;
    if notifications::of_id(appender.connection(), &id)?.is_some() {
        return Ok(None);
    }
    let entry = NotificationEntry {
        id: id.to_vec(),
        verb: NotificationVerb::Planned as i32,
        target: target.into(),
        by: act.by.into(),
        at_ms: act.at_ms,
        ..NotificationEntry::default()
    };
    Ok(Some(appender.append(EntryKind::Notification, &entry.encode_to_vec())?))
}

/// Notes a step. That a message was given up says as well where it was to go.
///
/// # Errors
/// [`StoreError`].
pub fn note(appender: &mut Appender<'_>, step: &Step, at_ms: i64) -> Result<u64, StoreError> {
    let given_up = if step.verb == NotificationVerb::GivenUp {
        notifications::of_id(appender.connection(), &step.id)?
    } else {
        None
    };
    let (target, route) = given_up.map(|facts| (facts.target, facts.route)).unwrap_or_default();
    let entry = NotificationEntry {
        id: step.id.to_vec(),
        target,
        route,
        verb: step.verb as i32,
        attempt: step.attempt,
        status: step.status,
        errcode: step.errcode,
        reason: step.reason.clone(),
        next_ms: step.next_ms,
        by: COLLECTOR.into(),
        at_ms,
        ..NotificationEntry::default()
    };
    appender.append(EntryKind::Notification, &entry.encode_to_vec())
}

/// What a message tells of.
///
/// # Errors
/// [`StoreError`].
pub fn tells_of(db: &Connection, log_index: u64) -> Result<Vec<Tell>, StoreError> {
    Ok(notifications::plan_of(db, log_index)?.tells.iter().filter_map(tell_of).collect())
}

/// Whether an event was told on a route.
///
/// # Errors
/// [`StoreError`].
pub fn is_told(db: &Connection, route: &str, tell: &Tell) -> Result<bool, StoreError> {
    notifications::is_told(db, route, &told_of(tell))
}

/// What was told on a route since a moment.
///
/// # Errors
/// [`StoreError`].
pub fn told_since(db: &Connection, route: &str, from_ms: i64) -> Result<Vec<Told>, StoreError> {
    let told = notifications::told_since(db, route, from_ms)?;
    Ok(told.iter().filter_map(|(told, at_ms)| Some(Told { tell: tell_of(told)?, at_ms: *at_ms })).collect())
}

fn told_of(tell: &Tell) -> ToldOf {
    let what = match tell.what {
        What::Opened => ToldWhat::Opened,
        What::Escalated => ToldWhat::Escalated,
        What::Reopened => ToldWhat::Reopened,
        What::Assigned => ToldWhat::Assigned,
        What::Appealed => ToldWhat::Appealed,
        What::Reminded => ToldWhat::Reminded,
    };
    ToldOf { alert: tell.alert.to_vec(), what: what as i32, mark: tell.mark }
}

/// What a later version has told of is not known here.
fn tell_of(told: &ToldOf) -> Option<Tell> {
    let what = match told.what() {
        ToldWhat::Opened => What::Opened,
        ToldWhat::Escalated => What::Escalated,
        ToldWhat::Reopened => What::Reopened,
        ToldWhat::Assigned => What::Assigned,
        ToldWhat::Appealed => What::Appealed,
        ToldWhat::Reminded => What::Reminded,
        ToldWhat::Unspecified => return None,
    };
    Some(Tell { alert: Digest::from_slice(&told.alert)?, what, mark: told.mark })
}
