//! What leaves the device for a finding. Everything in it is bounded, so that the encoded record stays below 16 KiB.

use serde::Serialize;

use crate::accounts::Accounts;
use crate::engine::{Finding, Hit, is_own};
use crate::excerpt::{Span, effective, excerpt};
use crate::identity::{FindingId, FindingKey, PackDigest, TenantKey, finding_id, mid, pseudonym};
use crate::matcher::Channel;
use crate::message::{Account, Corp, Message};
use crate::rules::{Disclose, Level, Status};
use crate::validators::Validator;

mod window;

pub use window::{FoundWindow, MessageFacts, WindowSummary, summarise_window};

/// What a summary is made under.
#[derive(Clone, Copy, Debug)]
pub struct SummaryContext<'a> {
    /// Tenant name.
    pub tenant: &'a str,
    /// Corp of the folder the message came from.
    pub corp: &'a Corp,
    /// Pseudonym key K.
    pub key: &'a TenantKey,
    /// Most the device allows to disclose.
    pub ceiling: Disclose,
    /// The accounts, which tell own employees from others; without them the shape of the id decides.
    pub accounts: Option<&'a Accounts>,
}

/// The only thing that leaves the device about a finding.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FindingSummary {
    /// Identity of the finding.
    pub finding_id: FindingId,
    /// Pack id.
    pub pack: String,
    /// Pack version.
    pub pack_version: u64,
    /// Pack digest.
    pub pack_digest: PackDigest,
    /// Rule id.
    pub rule: String,
    /// Category.
    pub category: String,
    /// Level.
    pub level: Level,
    /// Status.
    pub status: Status,
    /// The rule's clock in seconds of work time.
    pub sla_seconds: Option<u64>,
    /// The person concerned, `corp/userid`.
    pub person: Option<String>,
    /// Message id as in the archive.
    pub msgid: Option<String>,
    /// Milliseconds since the Unix epoch, UTC.
    pub msgtime: Option<i64>,
    /// Message type.
    pub msgtype: String,
    /// Sender: `corp/userid` for own employees, else a pseudonym; empty when unknown.
    pub from: String,
    /// Receivers in the same form, at most [`TO_MAX`].
    pub to: Vec<String>,
    /// Number of receivers.
    pub to_total: u64,
    /// Pseudonym of the room.
    pub room: Option<String>,
    /// The first hits, at most [`SUMMARY_HITS_MAX`].
    pub hits: Vec<HitSummary>,
    /// Number of hits of the finding.
    pub hits_total: u64,
    /// Whether the finding itself had more hits than were counted.
    pub hits_capped: bool,
    /// What was disclosed.
    pub disclosed: Disclose,
    /// The excerpt, as far as `disclosed` allows.
    pub excerpt: Option<String>,
    /// The window, where the finding is about one; message, time, sender and room are then those of its first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<WindowSummary>,
}

/// A hit as it leaves the device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HitSummary {
    /// Number of the word in its selection.
    pub word_index: u32,
    /// The word; only when something is disclosed, because word lists may be confidential.
    pub word: Option<String>,
    /// Name of the selection.
    pub selection: String,
    /// Field of the text.
    pub field: String,
    /// First character.
    pub start: u32,
    /// Behind the last character.
    pub end: u32,
    /// How the word was recognised.
    pub channel: Channel,
    /// Whether hidden characters stand inside.
    pub obfuscated: bool,
}

/// Receivers listed in a summary.
pub const TO_MAX: usize = 50;
/// Hits listed in a summary.
pub const SUMMARY_HITS_MAX: usize = 16;
/// Bytes of any one string in a summary except the excerpt; longer ones are cut and end in `…`.
pub const STRING_BYTES_MAX: usize = 128;

/// Makes the summary of a finding of a message.
#[must_use]
pub fn summarise(finding: &Finding, message: &Message, context: &SummaryContext<'_>) -> FindingSummary {
    let key = FindingKey::Message(mid(context.key, context.corp, message));
    let disclosed = effective(finding.disclose, context.ceiling);
    FindingSummary {
        person: finding.person.as_ref().map(|person| bounded(&person.to_string())),
        msgid: message.msgid.as_deref().map(bounded),
        msgtime: message.msgtime,
        msgtype: bounded(&message.msgtype),
        from: party(&message.from, context),
        to: message.to.iter().take(TO_MAX).map(|id| party(id, context)).collect(),
        to_total: message.to.len() as u64,
        room: message.room.as_deref().map(|room| pseudonym(context.key, context.corp, room)),
        hits_capped: finding.hits_capped,
        excerpt: first_excerpt(finding, message, disclosed),
        ..of_rule(finding, key, &finding.hits, disclosed, context)
    }
}

/// What the summaries of a message and of a window have in common: the rule, and the hits. Nothing is said of any message yet.
fn of_rule(
    finding: &Finding,
    key: FindingKey<'_>,
    hits: &[Hit],
    disclosed: Disclose,
    context: &SummaryContext<'_>,
) -> FindingSummary {
    FindingSummary {
        finding_id: finding_id(context.tenant, context.corp, &finding.pack, &finding.rule, key),
        pack: bounded(&finding.pack),
        pack_version: finding.pack_version,
        pack_digest: finding.pack_digest,
        rule: bounded(&finding.rule),
        category: bounded(&finding.category),
        level: finding.level,
        status: finding.status,
        sla_seconds: finding.sla.map(|sla| sla.as_secs()),
        person: None,
        msgid: None,
        msgtime: None,
        msgtype: String::new(),
        from: String::new(),
        to: Vec::new(),
        to_total: 0,
        room: None,
        hits: hits.iter().take(SUMMARY_HITS_MAX).map(|hit| hit_summary(hit, disclosed)).collect(),
        hits_total: hits.len() as u64,
        hits_capped: false,
        disclosed,
        excerpt: None,
        window: None,
    }
}

/// Own employees in clear, everybody else as a pseudonym.
fn party(id: &str, context: &SummaryContext<'_>) -> String {
    if id.is_empty() {
        String::new()
    } else if is_own(context.accounts, context.corp, id) {
        bounded(&Account::new(context.corp, id).to_string())
    } else {
        pseudonym(context.key, context.corp, id)
    }
}

fn hit_summary(hit: &Hit, disclosed: Disclose) -> HitSummary {
    HitSummary {
        word_index: hit.word_index,
        word: (disclosed > Disclose::None).then(|| bounded(&hit.word)),
        selection: bounded(&hit.selection),
        field: bounded(&hit.field),
        start: hit.start,
        end: hit.end,
        channel: hit.channel,
        obfuscated: hit.obfuscated,
    }
}

/// The excerpt of the text with the first hit.
fn first_excerpt(finding: &Finding, message: &Message, disclosed: Disclose) -> Option<String> {
    let field = &finding.hits.first()?.field;
    let text = message.text_of(field)?;
    let hits = finding.hits.iter().filter(|hit| hit.field == *field);
    text_excerpt(&finding.secrets, &text.text, hits, disclosed)
}

/// The excerpt of a text with these hits; what the rule's validators find in it is a secret.
fn text_excerpt<'h>(
    secrets: &[Validator],
    text: &str,
    hits: impl Iterator<Item = &'h Hit>,
    disclosed: Disclose,
) -> Option<String> {
    let hits: Vec<Span> = hits.map(|hit| Span { start: hit.start, end: hit.end }).collect();
    let found = secrets.iter().flat_map(|validator| validator.find(text));
    let secrets: Vec<Span> = found.map(|found| Span { start: found.start, end: found.end }).collect();
    excerpt(disclosed, text, &hits, &secrets)
}

/// Cuts at a character so that the result has at most [`STRING_BYTES_MAX`] bytes.
fn bounded(text: &str) -> String {
    if text.len() <= STRING_BYTES_MAX {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(STRING_BYTES_MAX - '…'.len_utf8());
    format!("{}…", &text[..end])
}

#[cfg(test)]
mod tests;
