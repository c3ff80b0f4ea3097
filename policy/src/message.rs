//! The message model: one decrypted archive entry, whatever carried it.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::normalise::is_zero_width;

/// What the archive says happened. Wire names are `send`, `recall`, `switch`; everything else, and a missing field, is `Other`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// A message was sent.
    Send,
    /// An earlier message was recalled; the original stays in the archive.
    Recall,
    /// A member switched to another corporation in the client.
    Switch,
    /// Any other or no action.
    Other,
}

/// One piece of readable text of a message and where it stood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// Path of the text inside the body: `text.content`, `mixed.item[0].content`, `chatrecord.item[2].item[0].content`.
    pub field: Arc<str>,
    /// The decoded text. All offsets the crate reports count its characters (Unicode scalar values).
    pub text: String,
}

/// One decrypted archive entry.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// Id given by WeCom, unique within a corp; `None` when absent or empty.
    pub msgid: Option<String>,
    /// What happened.
    pub action: Action,
    /// Sender as written in the export; empty when absent.
    pub from: String,
    /// Receivers as written in the export, in order.
    pub to: Vec<String>,
    /// Room (group chat) id; `None` for 1:1 and for the placeholders `""`, `"0"` and `null`.
    pub room: Option<String>,
    /// Milliseconds since the Unix epoch, UTC; `None` when unknown.
    pub msgtime: Option<i64>,
    /// Type name as written (`text`, `mixed`, …); `switch` for switch entries, empty when absent.
    pub msgtype: String,
    /// The texts that could be read, in order of appearance.
    pub texts: Vec<Text>,
    /// The raw body of a type whose text is not read yet; `None` for types that are read, and when there is no body.
    pub body: Option<Value>,
    /// A party is written in a way that could not be read: nobody can say that none of them is on the never list.
    pub unread_parties: bool,
    /// What it carries beside the texts of its body. No part of ids and digests.
    pub extras: Extras,
}

/// What a message carries beside the texts of its body.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Extras {
    /// Texts inside a body that is kept raw.
    pub texts: Vec<Text>,
    /// `room.name` and `sender.name`, where the export has them.
    pub names: Vec<Text>,
    /// Files it names.
    pub files: Vec<FileInfo>,
    /// Amount of a red packet or transfer, in cents (分).
    pub amount: Option<u64>,
    /// Where the message stands for a record of another interface.
    pub record: Option<RecordFacts>,
}

/// What a record of another interface has that a message has not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecordFacts {
    /// What tells it from others of its type, time and parties: such a record has no msgid, and this goes into its identity.
    pub marks: Vec<String>,
    /// Whom else it names: they take part as far as the never list and the roster are concerned.
    pub others: Vec<String>,
}

/// A file a message names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileInfo {
    /// Its name as written; may be empty.
    pub name: String,
    /// The extensions it goes by, in lower case: that of the name, and the one told beside it. One file may claim two.
    pub ext: Vec<String>,
    /// Its size in bytes.
    pub size: Option<u64>,
}

impl FileInfo {
    /// Takes a name, the extension told beside it (may be empty), and a size.
    #[must_use]
    pub fn new(name: &str, ext: &str, size: Option<u64>) -> Self {
        let of_name = name.trim_end_matches(['.', ' ']).rsplit_once(['.', '．']).map_or("", |parts| parts.1);
        let mut all: Vec<String> = [of_name, ext.trim_start_matches('.')]
            .into_iter()
            .map(|ext| ext.trim().to_lowercase())
            .filter(|ext| !ext.is_empty())
            .collect();
        all.dedup();
        Self { name: name.to_owned(), ext: all, size }
    }
}

/// A WeCom corporation id. Compared exactly.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Corp(Arc<str>);

/// A user of a corp. The userid is kept ASCII-lowercased, because WeCom compares userids without case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Account {
    corp: Corp,
    userid: Arc<str>,
}

/// On whose side a party stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// A member of the own corp.
    Employee,
    /// A customer or a user of another corp.
    External,
    /// A group robot.
    Robot,
    /// No id, or an id that says nothing.
    Unknown,
}

/// Types whose text is read into [`Message::texts`].
pub const READ_TYPES: [&str; 5] = ["chatrecord", "file", "link", "mixed", "text"];

/// Types that are known but kept raw: no text in them, or their text is not read yet.
pub const RAW_TYPES: [&str; 31] = [
    "agree",
    "calendar",
    "card",
    "collect",
    "disagree",
    "docmsg",
    "emotion",
    "external_redpacket",
    "image",
    "location",
    "markdown",
    "meeting",
    "meeting_control",
    "meeting_notification",
    "meeting_voice_call",
    "meetingvoicecall",
    "news",
    "note",
    "qy_disk_file",
    "qydiskfile",
    "redpacket",
    "revoke",
    "solitaire",
    "sphfeed",
    "switch",
    "todo",
    "video",
    "voice",
    "voip_doc_share",
    "voipdocshare",
    "voiptext",
];

/// Types without any text: what they carry is a picture, a sound, an event.
pub const TEXTLESS_TYPES: [&str; 9] =
    ["agree", "disagree", "emotion", "image", "revoke", "switch", "video", "voice", "voiptext"];

/// Types that records of other interfaces become: contacts, groups, members, logs, payments. No message of the archive is of one of these.
pub const EVENT_TYPES: [&str; 18] = [
    "event.admin_log",
    "event.contact_add",
    "event.contact_delete",
    "event.contact_edit",
    "event.contact_lost",
    "event.contact_transfer",
    "event.file_log",
    "event.group_create",
    "event.group_dismiss",
    "event.group_transfer",
    "event.group_update",
    "event.member_create",
    "event.member_delete",
    "event.member_log",
    "event.member_update",
    "event.other",
    "event.payment",
    "event.screenshot",
];
/// What their names begin with.
const EVENT: &str = "event.";

/// Whether a message stands for an event: nobody said it. Rules look at it only where their scope names its type, and tallies leave it out.
#[must_use]
pub fn is_event_type(msgtype: &str) -> bool {
    msgtype.starts_with(EVENT)
}

/// Whether the type is one of the archive's own.
#[must_use]
pub fn known_type(msgtype: &str) -> bool {
    known_types().any(|known| known == msgtype)
}

/// The types of the archive itself.
pub fn known_types() -> impl Iterator<Item = &'static str> {
    READ_TYPES.into_iter().chain(RAW_TYPES).chain(["vote", "weapp"])
}

impl Message {
    /// All texts that are looked at: those of the body, those inside a raw body, the names. Hits count them in this order.
    pub fn all_texts(&self) -> impl Iterator<Item = &Text> {
        self.texts.iter().chain(&self.extras.texts).chain(&self.extras.names)
    }

    /// The text with this path.
    #[must_use]
    pub fn text_of(&self, field: &str) -> Option<&Text> {
        self.all_texts().find(|text| *text.field == *field)
    }

    /// The receiver and sender ids, sender first, without empty ones; of a record also whom else it names.
    pub fn parties(&self) -> impl Iterator<Item = &str> {
        let others = self.extras.record.iter().flat_map(|record| &record.others);
        let all = std::iter::once(&self.from).chain(&self.to).chain(others);
        all.map(String::as_str).filter(|id| !id.is_empty())
    }

    /// Whether it stands for a record of another interface: nobody wrote it, and the archive does not have it.
    #[must_use]
    pub fn is_record(&self) -> bool {
        self.extras.record.is_some()
    }
}

impl Corp {
    /// Takes the id as it is.
    pub fn new(id: impl Into<Arc<str>>) -> Self {
        Self(id.into())
    }

    /// The id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Corp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Account {
    /// Binds a userid to its corp; the userid is ASCII-lowercased.
    #[must_use]
    pub fn new(corp: &Corp, userid: &str) -> Self {
        Self { corp: corp.clone(), userid: lower(userid).as_ref().into() }
    }

    /// The corp.
    #[must_use]
    pub fn corp(&self) -> &Corp {
        &self.corp
    }

    /// The ASCII-lowercased userid.
    #[must_use]
    pub fn userid(&self) -> &str {
        &self.userid
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.corp, self.userid)
    }
}

impl Serialize for Account {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Side {
    /// Name as in packs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Employee => "employee",
            Self::External => "external",
            Self::Robot => "robot",
            Self::Unknown => "unknown",
        }
    }

    /// Judges an id by its shape alone: `wm` and `wo` are external, `wb` is a robot, when the id is about 32 characters of `A-Za-z0-9_-`.
    /// Shorter ids with the same first letters are ordinary userids.
    #[must_use]
    pub fn of_id(id: &str) -> Self {
        if id.is_empty() {
            return Self::Unknown;
        }
        let [first, second, ..] = *id.as_bytes() else { return Self::Employee };
        if !generated(id) {
            return Self::Employee;
        }
        match [first, second].map(|byte| byte.to_ascii_lowercase()) {
            [b'w', b'm' | b'o'] => Self::External,
            [b'w', b'b'] => Self::Robot,
            [b'w', b'k' | b'r'] => Self::Unknown,
            _ => Self::Employee,
        }
    }
}

/// ASCII-lowercases without allocating when nothing changes.
pub(crate) fn lower(id: &str) -> Cow<'_, str> {
    if id.bytes().any(|b| b.is_ascii_uppercase()) { Cow::Owned(id.to_ascii_lowercase()) } else { Cow::Borrowed(id) }
}

/// An id as it is compared: without ASCII case, the space around it, and characters nobody sees.
pub(crate) fn compared(id: &str) -> Cow<'_, str> {
    let trimmed = id.trim();
    if trimmed.chars().any(is_zero_width) {
        return Cow::Owned(
            trimmed.chars().filter(|c| !is_zero_width(*c)).collect::<String>().trim().to_ascii_lowercase(),
        );
    }
    lower(trimmed)
}

/// Whether an id looks like an account's name as a company gives it. What does not, such as a customer's display name in
/// a vendor's export, is nobody's account.
pub(crate) fn userid_shaped(id: &str) -> bool {
    (1..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-@.".contains(&b))
}

/// Ids made by WeCom are 32 characters; some slack because the length is observed, not promised.
fn generated(id: &str) -> bool {
    (28..=40).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn side_by_shape() {
        for (id, side) in [
            ("li.na", Side::Employee),
            ("15000000042", Side::Employee),
            ("wmExAmPlEAAA0001customerAAAAAAAA", Side::External),
            ("woExAmPlEAAA0003partnerAAAAAAAAA", Side::External),
            ("wbExAmPlEAAA0005robotAAAAAAAAAAA", Side::Robot),
            ("wrExAmPlEAAA0004groupAAAAAAAAAAA", Side::Unknown),
            // A person whose userid happens to begin like a customer's id.
            ("wmeng", Side::Employee),
            ("w", Side::Employee),
            ("", Side::Unknown),
        ] {
            assert_eq!(Side::of_id(id), side, "{id}");
        }
    }

    #[test]
    fn accounts_compare_without_case() {
        let corp = Corp::new("wwExample");
        assert_eq!(Account::new(&corp, "Li.Na"), Account::new(&corp, "li.na"));
        assert_eq!(Account::new(&corp, "Li.Na").to_string(), "wwExample/li.na");
        // The corp id is not a userid.
        assert_ne!(Account::new(&Corp::new("wwexample"), "a"), Account::new(&corp, "a"));
    }
}
