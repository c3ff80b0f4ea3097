//! From what the policy found to what the contract carries. Message text ends here: only the excerpt goes on.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use watchpost_policy::matcher::Channel;
use watchpost_policy::message::{EVENT_TYPES, known_type};
use watchpost_policy::rules::{Disclose, Level, Status};
use watchpost_policy::summary::{FindingSummary, HitSummary, WindowSummary};
use watchpost_proto::v1::{self, summary::Kind};
use watchpost_proto::{Digest, digest};

use crate::device::Device;
use crate::expectation::{Expectation, Fed};
use crate::in_force::InForce;
use crate::random;
use crate::store::{Disclosure, FileKey, FileRow, FileState, StoreError, TallyRow, UnknownRow};

/// What every summary names: when and under what it was made.
#[derive(Clone, Copy, Debug)]
pub struct MadeUnder {
    /// What the policy in force is called by.
    pub policy: Digest,
    /// The version of the roster in force; 0 where there is none.
    pub roster_version: u64,
    /// The device's wall clock, milliseconds.
    pub at_ms: i64,
    /// Made by an explicit look back.
    pub retro: bool,
}

impl MadeUnder {
    /// The present moment under what is in force.
    pub fn new(in_force: &InForce, at_ms: i64) -> Self {
        Self { policy: in_force.policy, roster_version: in_force.roster_version, at_ms, retro: false }
    }

    /// Salts and encodes a summary of this kind.
    pub fn record(&self, kind: Kind) -> Result<Vec<u8>, StoreError> {
        let summary = v1::Summary {
            made_at_ms: self.at_ms,
            policy: self.policy.to_vec(),
            roster_version: self.roster_version,
            retro: self.retro,
            kind: Some(kind),
        };
        watchpost_proto::record::encode(&summary, random::bytes()).map_err(|_| StoreError::Malformed("record"))
    }
}

/// A finding as the contract carries it.
pub fn finding(corp: &str, found: &FindingSummary) -> Kind {
    Kind::Finding(v1::Finding {
        finding_id: found.finding_id.0.to_vec(),
        corp: corp.to_owned(),
        pack: found.pack.clone(),
        pack_version: found.pack_version,
        pack_digest: found.pack_digest.0.to_vec(),
        rule: found.rule.clone(),
        category: found.category.clone(),
        level: level(found.level).into(),
        status: status(found.status).into(),
        sla_s: found.sla_seconds.unwrap_or(0),
        person: found.person.clone().unwrap_or_default(),
        msgid: found.msgid.clone().unwrap_or_default(),
        msgtime_ms: found.msgtime.unwrap_or(0),
        msgtype: found.msgtype.clone(),
        from: found.from.clone(),
        to: found.to.clone(),
        to_total: u32::try_from(found.to_total).unwrap_or(u32::MAX),
        room: found.room.clone().unwrap_or_default(),
        hits: found.hits.iter().map(hit).collect(),
        hits_capped: found.hits_capped || found.hits_total > found.hits.len() as u64,
        disclose: disclose(found.disclosed).into(),
        excerpt: found.excerpt.clone().unwrap_or_default(),
        withdrawn: false,
        window: found.window.as_ref().map(window),
    })
}

/// The same finding, taken back.
pub fn withdrawn(corp: &str, found: &FindingSummary) -> Kind {
    match finding(corp, found) {
        Kind::Finding(finding) => Kind::Finding(v1::Finding { withdrawn: true, ..finding }),
        other => other,
    }
}

fn window(window: &WindowSummary) -> v1::Window {
    v1::Window {
        kind: window.kind.to_owned(),
        within_ms: window.within_ms,
        first_ms: window.first_ms,
        last_ms: window.last_ms,
        count: window.count,
        value: window.value,
        msgids: window.msgids.clone(),
        open: window.open,
    }
}

/// The same finding as the ledger tells it to the employee.
pub fn disclosure(corp: &str, found: &FindingSummary, withdrawn: bool) -> Disclosure {
    let person = found.person.clone().unwrap_or_default();
    // Everybody else is a pseudonym.
    let own = |party: &&String| party.starts_with(corp) && party.as_bytes().get(corp.len()) == Some(&b'/');
    let parties = std::iter::once(&found.from).chain(&found.to).filter(own).filter(|party| **party != person);
    Disclosure {
        pack: found.pack.clone(),
        rule: found.rule.clone(),
        category: found.category.clone(),
        level: found.level.as_str().to_owned(),
        msgtime_ms: found.msgtime.unwrap_or(0),
        parties: parties.cloned().collect(),
        withdrawn,
        msgid: found.msgid.clone().filter(|_| found.window.is_none()).unwrap_or_default(),
        disclose: found.disclosed.as_str().to_owned(),
        excerpt: found.excerpt.clone().unwrap_or_default(),
        person,
    }
}

/// A tally as the contract carries it.
pub fn tally(row: &TallyRow) -> Kind {
    Kind::Tally(v1::Tally {
        account: row.account.clone(),
        hour: row.hour,
        revision: row.revision,
        sent: row.counts.sent,
        received: row.counts.received,
        flagged: row.counts.flagged,
    })
}

/// A file report as the contract carries it: the file's name stays here.
pub fn file_report(device: &Device, row: &FileRow) -> Kind {
    let counts = &row.counts;
    let mut defects: HashMap<String, u64> = counts.defects.clone().into_iter().collect();
    if counts.torn {
        *defects.entry("torn_end".into()).or_default() += 1;
    }
    Kind::FileReport(v1::FileReport {
        file: file_digest(device, &row.key).to_vec(),
        corp: row.corp.clone(),
        state: file_state(row.state).into(),
        reason: row.reason.clone(),
        revision: row.revision,
        bytes: row.offset,
        messages: counts.messages,
        out_of_scope: counts.out_of_scope,
        repeats: counts.repeats,
        findings: counts.findings,
        defects,
        types: known_types(&counts.types),
        first_ms: counts.first_ms,
        last_ms: counts.last_ms,
        carrier: row.carrier.clone(),
    })
}

/// What a message calls its type is text of the message unless the archive knows it.
fn known_types(types: &BTreeMap<String, u64>) -> HashMap<String, u64> {
    let mut known = HashMap::new();
    for (name, count) in types {
        let name = if known_type(name) || EVENT_TYPES.contains(&name.as_str()) { name.as_str() } else { "unknown" };
        *known.entry(name.to_owned()).or_default() += count;
    }
    known
}

/// Accounts that look like the company's own and are in no roster.
pub fn unknown_accounts(rows: &[UnknownRow], total: u64) -> Kind {
    let account = |row: &UnknownRow| v1::UnknownAccount {
        corp: row.corp.clone(),
        pseudonym: row.pseudonym.clone(),
        messages: row.messages,
        first_day: row.first_day,
        last_day: row.last_day,
    };
    Kind::UnknownAccounts(v1::UnknownAccounts { accounts: rows.iter().map(account).collect(), total })
}

/// A loss of what was left unread in an export.
pub fn unread_loss(device: &Device, row: &FileRow, reason: &str) -> Kind {
    Kind::Loss(v1::Loss {
        reason: reason.to_owned(),
        file: file_digest(device, &row.key).to_vec(),
        from: row.offset,
        count: row.unread_bytes(),
        unit: "bytes".into(),
    })
}

/// A loss that is not about an export.
pub fn loss(reason: &str, from: u64, count: u64, unit: &str) -> Kind {
    Kind::Loss(v1::Loss { reason: reason.to_owned(), file: Vec::new(), from, count, unit: unit.to_owned() })
}

/// How a folder with exports of a corporation stands with what is expected of it.
pub fn feed(device: &Device, (folder, corp): (&Path, &str), expectation: Expectation, fed: Fed) -> Kind {
    Kind::Feed(v1::Feed {
        folder: folder_digest(device, folder).to_vec(),
        corp: corp.to_owned(),
        expected: expectation.to_string(),
        starved_ms: fed.starved_ms.unwrap_or(0),
        last_export_ms: fed.last_ms.unwrap_or(0),
        gone_from_ms: fed.gone_from_ms().unwrap_or(0),
    })
}

/// Nothing is expected of a folder any more.
pub fn feed_ended(device: &Device, folder: &Path) -> Kind {
    Kind::Feed(v1::Feed { folder: folder_digest(device, folder).to_vec(), ..v1::Feed::default() })
}

/// Tells the folders of a device apart without naming them.
pub fn folder_digest(device: &Device, folder: &Path) -> Digest {
    file_digest(device, &FileKey { folder: folder.to_owned(), name: PathBuf::new() })
}

/// Tells the exports of a device apart without naming them.
fn file_digest(device: &Device, key: &FileKey) -> Digest {
    digest::hash(
        "watchpost/file",
        &[
            &device.tenant_key,
            device.id.as_ref(),
            key.folder.as_os_str().as_encoded_bytes(),
            key.name.as_os_str().as_encoded_bytes(),
        ],
    )
}

fn hit(hit: &HitSummary) -> v1::Hit {
    v1::Hit {
        selection: hit.selection.clone(),
        field: hit.field.to_string(),
        start: hit.start,
        end: hit.end,
        word: hit.word.clone().unwrap_or_default(),
        channel: channel(hit.channel).into(),
        obfuscated: hit.obfuscated,
    }
}

fn channel(channel: Channel) -> v1::Channel {
    match channel {
        Channel::Exact => v1::Channel::Exact,
        Channel::Folded => v1::Channel::Folded,
        Channel::Skipped => v1::Channel::Skipped,
        Channel::Alias => v1::Channel::Alias,
        Channel::Split => v1::Channel::Split,
        Channel::Pinyin => v1::Channel::Pinyin,
    }
}

fn level(level: Level) -> v1::Level {
    match level {
        Level::Info => v1::Level::Info,
        Level::Low => v1::Level::Low,
        Level::Medium => v1::Level::Medium,
        Level::High => v1::Level::High,
        Level::Critical => v1::Level::Critical,
    }
}

fn status(status: Status) -> v1::RuleStatus {
    match status {
        Status::Live => v1::RuleStatus::Live,
        Status::Shadow => v1::RuleStatus::Shadow,
    }
}

fn disclose(disclose: Disclose) -> v1::Disclose {
    match disclose {
        Disclose::None => v1::Disclose::None,
        Disclose::Masked => v1::Disclose::Masked,
        Disclose::Context => v1::Disclose::Context,
    }
}

fn file_state(state: FileState) -> v1::FileState {
    match state {
        FileState::Waiting => v1::FileState::Waiting,
        FileState::Reading => v1::FileState::Reading,
        FileState::Done => v1::FileState::Done,
        FileState::SetAside => v1::FileState::SetAside,
    }
}
