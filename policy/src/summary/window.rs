//! What leaves the device for a window of messages.

use serde::Serialize;

use super::{FindingSummary, STRING_BYTES_MAX, SummaryContext, bounded, of_rule, party, text_excerpt};
use crate::engine::Finding;
use crate::excerpt::effective;
use crate::identity::{FindingKey, pseudonym};
use crate::message::{Account, Message};
use crate::windows::{GroupKey, Held, Window};

/// The window of a finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WindowSummary {
    /// What was measured: `count`, `distinct`, `sum`, `all`, `join` or `reply`.
    pub kind: &'static str,
    /// The rule's duration, milliseconds.
    pub within_ms: i64,
    /// Time of the first message in it.
    pub first_ms: i64,
    /// Time of the last message in it; of a `reply`, of the answer.
    pub last_ms: i64,
    /// Messages in it; of a `reply`, waits that were too long.
    pub count: u64,
    /// What was measured; see [`Held::value`].
    pub value: i64,
    /// The first messages in it.
    pub msgids: Vec<String>,
    /// Nobody has answered.
    pub open: bool,
}

/// What is remembered of a message that contributes to a window: nothing that may not leave the device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MessageFacts {
    /// The person concerned, `corp/userid`.
    pub person: Option<String>,
    /// Message id as in the archive.
    pub msgid: Option<String>,
    /// Sender: `corp/userid` for own employees, else a pseudonym; empty when unknown.
    pub from: String,
    /// Pseudonym of the room.
    pub room: Option<String>,
}

/// A window that holds, and where.
#[derive(Clone, Copy, Debug)]
pub struct FoundWindow<'a> {
    /// What findings of the rule say ([`crate::engine::Engine::finding_of`]).
    pub finding: &'a Finding,
    /// The rule's window.
    pub window: &'a Window,
    /// The group it belongs to.
    pub group: GroupKey,
    /// The bucket it belongs to.
    pub bucket: i64,
    /// What holds.
    pub held: &'a Held,
    /// What is remembered of its first messages, in their order.
    pub members: &'a [MessageFacts],
}

impl MessageFacts {
    /// What is remembered of a message.
    #[must_use]
    pub fn of(message: &Message, person: Option<&Account>, context: &SummaryContext<'_>) -> Self {
        Self {
            person: person.map(|person| bounded(&person.to_string())),
            msgid: message.msgid.as_deref().map(bounded),
            from: party(&message.from, context),
            room: message.room.as_deref().map(|room| pseudonym(context.key, context.corp, room)),
        }
    }
}

/// Makes the summary of a window.
#[must_use]
pub fn summarise_window(found: &FoundWindow<'_>, context: &SummaryContext<'_>) -> FindingSummary {
    let FoundWindow { finding, window, group, bucket, held, members } = found;
    let key = FindingKey::Window { group: &group.to_hex(), bucket: *bucket };
    let disclosed = effective(finding.disclose, context.ceiling);
    let first = members.first().cloned().unwrap_or_default();
    let hits = held.joined.as_ref().map(|joined| joined.hits.as_slice()).unwrap_or_default();
    FindingSummary {
        person: first.person,
        msgid: first.msgid,
        msgtime: Some(held.first_ms),
        from: first.from,
        room: first.room,
        excerpt: held
            .joined
            .as_ref()
            .and_then(|joined| text_excerpt(&finding.secrets, &joined.text, joined.hits.iter(), disclosed)),
        window: Some(WindowSummary {
            kind: window.kind.as_str(),
            within_ms: window.within_ms,
            first_ms: held.first_ms,
            last_ms: held.last_ms,
            count: held.count,
            value: held.value,
            msgids: members.iter().filter_map(|member| member.msgid.clone()).collect(),
            open: held.open,
        }),
        ..of_rule(finding, key, hits, disclosed, context)
    }
}

// Eight message ids and a joined text of sixteen short messages leave room for everything else.
const _: () = assert!(crate::windows::MEMBERS_MAX * STRING_BYTES_MAX <= 1_024);
