//! What operators did, one row an entry, and of steps with alerts one row each: the trail that people look through.

use rusqlite::Transaction;
use watchpost_proto::v1::{
    AccessEntry, AccessVerb, AcknowledgementsEntry, AlertEntry, AlertVerb, AuthorityEntry, CaseEntry, CaseVerb,
    DeviceAction, DeviceVerb, EnrolmentEntry, EnrolmentVerb, EntryKind, Erasure, ExpectedEntry, Hold, NamesEntry,
    NotificationEntry, NotificationVerb, OperatorEntry, OperatorVerb, PolicyEntry, PolicyVerb, RosterEntry,
    SettingEntry, SuppressionEntry, SuppressionVerb, TokenEntry, TokenVerb, WordsEntry, WordsVerb, erasure, hold,
};
use watchpost_proto::{DeviceId, Message};

use super::DeriveError;
use crate::log_store::Entry;
use crate::my_data::links::{self, Link};
use crate::notify::queue::COLLECTOR;

pub(super) const TABLE: &str = "
    CREATE TABLE trail (
        id INTEGER PRIMARY KEY,
        log_index INTEGER NOT NULL,
        at_ms INTEGER NOT NULL,
        verb TEXT NOT NULL,
        by TEXT NOT NULL,
        subject TEXT NOT NULL,
        reason TEXT NOT NULL,
        address TEXT NOT NULL,
        -- How many things it is about.
        count INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX trail_by ON trail (by, id);
    CREATE INDEX trail_subject ON trail (subject, id);
";

/// One row.
#[derive(Default)]
struct Row {
    verb: &'static str,
    subject: String,
    /// Further ones, each with a row of its own.
    also: Vec<String>,
    by: String,
    reason: String,
    address: String,
    count: u64,
    at_ms: i64,
}

/// Takes one entry into the table. What no operator did, and what does not decode, is passed over.
pub(super) fn apply(db: &Transaction<'_>, entry: &Entry) -> Result<(), DeriveError> {
    let Some(row) = row_of(entry.kind(), &entry.header) else { return Ok(()) };
    let mut insert = db.prepare_cached(
        "INSERT INTO trail (log_index, at_ms, verb, by, subject, reason, address, count)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?;
    for subject in [&row.subject].into_iter().chain(&row.also) {
        let count = i64::try_from(row.count).unwrap_or(i64::MAX);
        let Row { at_ms, verb, by, reason, address, .. } = &row;
        insert.execute((entry.log_index, at_ms, verb, by, subject, reason, address, count))?;
    }
    Ok(())
}

fn row_of(kind: EntryKind, header: &[u8]) -> Option<Row> {
    match kind {
        EntryKind::DeviceAction => read(header, device),
        EntryKind::Token => read(header, token),
        EntryKind::Enrolment => read(header, enrolment),
        EntryKind::Expected => read(header, expected),
        EntryKind::Authority => read(header, authority),
        EntryKind::Policy => read(header, policy),
        EntryKind::Roster => read(header, roster),
        EntryKind::Erasure => read(header, erased),
        EntryKind::Hold => read(header, held),
        EntryKind::Acknowledgements => read(header, acknowledgements),
        EntryKind::Operator => read(header, operator),
        EntryKind::Access => read(header, access),
        EntryKind::Setting => read(header, setting),
        EntryKind::Alert => read(header, alert),
        EntryKind::Suppression => read(header, suppression),
        EntryKind::Case => read(header, case),
        EntryKind::Names => read(header, names),
        EntryKind::Words => read(header, words),
        EntryKind::Notification => read(header, notification),
        EntryKind::LogOpened
        | EntryKind::KeyEvent
        | EntryKind::Segment
        | EntryKind::Fork
        | EntryKind::LogShown
        | EntryKind::Shortfall
        | EntryKind::Unspecified => None,
    }
}

fn read<M: Message + Default>(header: &[u8], row: impl FnOnce(M) -> Option<Row>) -> Option<Row> {
    M::decode(header).ok().and_then(row)
}

fn device(it: DeviceAction) -> Option<Row> {
    let verb = match it.verb() {
        DeviceVerb::Revoke => "device-revoke",
        DeviceVerb::Quarantine => "device-quarantine",
        DeviceVerb::Release => "device-release",
        DeviceVerb::Readmit => "device-readmit",
        DeviceVerb::Rekey => "device-rekey",
        DeviceVerb::ShutOut => "device-shut-out",
        DeviceVerb::Resets => "device-resets",
        DeviceVerb::Unspecified => return None,
    };
    let subject = device_name(&it.device);
    Some(Row { verb, subject, by: it.by, reason: it.reason, count: 1, at_ms: it.at_ms, ..Row::default() })
}

fn token(it: TokenEntry) -> Option<Row> {
    let verb = match it.verb() {
        TokenVerb::Create => "token-create",
        TokenVerb::Revoke => "token-revoke",
        TokenVerb::Unspecified => return None,
    };
    let subject = short(&it.token);
    Some(Row { verb, subject, by: it.by, reason: it.reason, count: 1, at_ms: it.at_ms, ..Row::default() })
}

fn enrolment(it: EnrolmentEntry) -> Option<Row> {
    let verb = match it.verb() {
        EnrolmentVerb::Admitted => "device-admit",
        EnrolmentVerb::Rejected => "device-reject",
        _ => return None,
    };
    let subject = short(&it.key_id);
    Some(Row { verb, subject, by: it.by, reason: it.reason, count: 1, at_ms: it.at_ms, ..Row::default() })
}

fn expected(it: ExpectedEntry) -> Option<Row> {
    let count = it.devices.len() as u64;
    Some(Row { verb: "device-expected", by: it.by, count, at_ms: it.at_ms, ..Row::default() })
}

fn authority(it: AuthorityEntry) -> Option<Row> {
    let count = it.certificates.len() as u64;
    Some(Row { verb: "authority", by: it.by, reason: it.reason, count, at_ms: it.at_ms, ..Row::default() })
}

fn policy(it: PolicyEntry) -> Option<Row> {
    let verb = match it.verb() {
        PolicyVerb::Publish => "policy-publish",
        PolicyVerb::Advance => "policy-advance",
        PolicyVerb::Halt => "policy-halt",
        PolicyVerb::Resume => "policy-resume",
        PolicyVerb::Unspecified => return None,
    };
    let subject = short(&it.policy);
    Some(Row { verb, subject, by: it.by, reason: it.reason, count: 1, at_ms: it.at_ms, ..Row::default() })
}

fn roster(it: RosterEntry) -> Option<Row> {
    Some(Row { verb: "people-publish", by: it.by, reason: it.reason, count: 1, at_ms: it.at_ms, ..Row::default() })
}

fn erased(it: Erasure) -> Option<Row> {
    let subject = match it.scope {
        Some(erasure::Scope::Alert(alert)) => hex::encode(alert),
        Some(erasure::Scope::Device(records)) => device_name(&records.device),
        Some(erasure::Scope::Person(person)) => person,
        None => String::new(),
    };
    let count = it.records.iter().map(|records| records.places.len() as u64).sum();
    Some(Row { verb: "erase", subject, by: it.by, reason: it.reason, count, at_ms: it.at_ms, ..Row::default() })
}

fn held(it: Hold) -> Option<Row> {
    let subject = match it.scope {
        Some(hold::Scope::Alert(alert)) => hex::encode(alert),
        Some(hold::Scope::Person(person)) => person,
        None => String::new(),
    };
    let verb = if it.lifted { "hold-lift" } else { "hold" };
    Some(Row { verb, subject, by: it.by, reason: it.reason, count: 1, at_ms: it.at_ms, ..Row::default() })
}

fn acknowledgements(it: AcknowledgementsEntry) -> Option<Row> {
    let count = it.rows.len() as u64;
    Some(Row { verb: "notice-import", by: it.by, reason: it.reason, count, at_ms: it.at_ms, ..Row::default() })
}

fn operator(it: OperatorEntry) -> Option<Row> {
    let verb = match it.verb() {
        OperatorVerb::Invited => "operator-invite",
        OperatorVerb::CredentialSet => "operator-password",
        OperatorVerb::Granted => "operator-grant",
        OperatorVerb::Disabled => "operator-disable",
        OperatorVerb::Enabled => "operator-enable",
        OperatorVerb::Reset => "operator-reset",
        OperatorVerb::TotpEnrolled => "operator-totp",
        OperatorVerb::TokenMade => "api-token-make",
        OperatorVerb::TokenWithdrawn => "api-token-withdraw",
        OperatorVerb::Unspecified => return None,
    };
    let OperatorEntry { operator: subject, by, reason, address, at_ms, .. } = it;
    Some(Row { verb, subject, by, reason, address, count: 1, at_ms, ..Row::default() })
}

fn access(it: AccessEntry) -> Option<Row> {
    let verb = match it.verb() {
        AccessVerb::SignedIn => "signed-in",
        AccessVerb::Refused => "refused",
        AccessVerb::SignedOut => "signed-out",
        AccessVerb::Viewed => "viewed",
        AccessVerb::Exported => "exported",
        AccessVerb::Resolved => "resolved",
        AccessVerb::LookedUp => "looked-up",
        AccessVerb::Unspecified => return None,
    };
    let AccessEntry { by, subject, reason, address, rows: count, at_ms, .. } = it;
    Some(Row { verb, subject, by, reason, address, count, at_ms, ..Row::default() })
}

fn setting(it: SettingEntry) -> Option<Row> {
    let SettingEntry { name, value, by, reason, at_ms } = it;
    let link = name.strip_prefix(links::SETTING).and_then(|rest| rest.strip_prefix('/'));
    let verb = match (link, serde_json::from_str::<Link>(&value)) {
        (Some(_), Ok(Link { opened_ms: Some(_), .. })) => "employee-link-open",
        (Some(_), Ok(_)) => "employee-link",
        (Some(_), Err(_)) => "employee-link-end",
        (None, _) if value.is_empty() => "setting-remove",
        (None, _) => "setting",
    };
    let subject = link.unwrap_or(&name).to_owned();
    Some(Row { verb, subject, by, reason, count: 1, at_ms, ..Row::default() })
}

fn alert(it: AlertEntry) -> Option<Row> {
    let verb = match it.verb() {
        AlertVerb::Take => "alert-take",
        AlertVerb::Assign => "alert-assign",
        AlertVerb::PutBack => "alert-put-back",
        AlertVerb::Note => "alert-note",
        AlertVerb::Close => "alert-close",
        AlertVerb::Reopen => "alert-reopen",
        AlertVerb::Appeal => "alert-appeal",
        AlertVerb::Grant => "alert-grant",
        AlertVerb::Deny => "alert-deny",
        AlertVerb::Step => "alert-step",
        AlertVerb::Escalate => "alert-escalate",
        AlertVerb::Unspecified => return None,
    };
    let mut alerts = it.alerts.iter().map(hex::encode);
    let subject = alerts.next().unwrap_or_default();
    Some(Row { verb, subject, also: alerts.collect(), by: it.by, count: 1, at_ms: it.at_ms, ..Row::default() })
}

fn suppression(it: SuppressionEntry) -> Option<Row> {
    let verb = match it.verb() {
        SuppressionVerb::Begin => "suppression-begin",
        SuppressionVerb::End => "suppression-end",
        SuppressionVerb::Unspecified => return None,
    };
    let subject = hex::encode(&it.id);
    Some(Row { verb, subject, by: it.by, reason: it.reason, count: 1, at_ms: it.at_ms, ..Row::default() })
}

fn case(it: CaseEntry) -> Option<Row> {
    let verb = match it.verb() {
        CaseVerb::Open => "case-open",
        CaseVerb::Link => "case-link",
        CaseVerb::Unlink => "case-unlink",
        CaseVerb::Note => "case-note",
        CaseVerb::Close => "case-close",
        CaseVerb::Reopen => "case-reopen",
        CaseVerb::Unspecified => return None,
    };
    let (subject, count) = (hex::encode(&it.id), it.alerts.len() as u64);
    Some(Row { verb, subject, by: it.by, count, at_ms: it.at_ms, ..Row::default() })
}

fn names(it: NamesEntry) -> Option<Row> {
    let verb = if it.added.is_empty() { "names-erase" } else { "names-import" };
    let count = (it.added.len() + it.removed.len()) as u64;
    Some(Row { verb, by: it.by, reason: it.reason, count, at_ms: it.at_ms, ..Row::default() })
}

fn words(it: WordsEntry) -> Option<Row> {
    let verb = match it.verb() {
        WordsVerb::Make => "words-make",
        WordsVerb::Propose => "words-propose",
        WordsVerb::Withdraw => "words-withdraw",
        WordsVerb::Approve => "words-approve",
        WordsVerb::Reject => "words-reject",
        WordsVerb::Erase => "words-erase",
        WordsVerb::Unspecified => return None,
    };
    let count = (it.words.len() as u64).max(1);
    Some(Row { verb, subject: it.list, by: it.by, reason: it.reason, count, at_ms: it.at_ms, ..Row::default() })
}

/// Tests that somebody asked for, and what people were to be told and will not be.
fn notification(it: NotificationEntry) -> Option<Row> {
    let verb = match it.verb() {
        NotificationVerb::Planned if it.by != COLLECTOR => "notify-test",
        NotificationVerb::GivenUp => "notify-give-up",
        _ => return None,
    };
    Some(Row { verb, subject: it.target, by: it.by, reason: it.reason, count: 1, at_ms: it.at_ms, ..Row::default() })
}

fn device_name(bytes: &[u8]) -> String {
    DeviceId::from_slice(bytes).map(|device| device.to_string()).unwrap_or_default()
}

/// The beginning of a digest, as lists show it.
fn short(digest: &[u8]) -> String {
    hex::encode(digest.get(..6).unwrap_or(digest))
}
