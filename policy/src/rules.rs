//! Packs of rules in YAML: named selections, one condition. All mistakes of a pack are reported at once, each with its line.
//!
//! The language is told to authors in `docs/rules.md`; here is what the engine must keep to.
//!
//! # What counts as a hit
//!
//! Selections of words, patterns and validators have hits with places, in the texts of the body and of bodies that are kept raw, and in the names
//! of room and sender where `fields` names them. Hits in the quoted part of a reply do not count unless the selection says `quoted: true`,
//! words inside a phrase of `allow` never do. With `near: other` and `within: N` a hit counts only when at most N characters lie
//! between it and a counted hit of `other` in the same text, with `before` and `after` only on that side of it. All hits count, nested ones too;
//! of those inside one another only the longest of each selection is reported. Facts hold or not, without hits.
//!
//! A selection holds when something of it hits, or with `min: N` when N different things do: words, validated values, matched texts.
//!
//! # What a condition means
//!
//! Negation nearby is judged **per hit**: in `promise and not denial`, where `denial` has `near: promise`, every hit of `promise` with a
//! hit of `denial` near it is denied, with the hits inside it, and `not denial` holds while enough hits of `promise` remain (one, or its `min`)
//! that no negated selection denies. So 「并非保本，但零风险」 still says 零风险. A negated selection without nearness is judged for the whole
//! message: one hit anywhere and the `not` fails.
//!
//! # Scope
//!
//! `from` is the side of the sender; `to` holds when at least one receiver is of that side; `types` are message types; `chat` is group or single;
//! `labels` hold when the account of the person concerned carries one of them. Without an accounts file there are no labels, every message is
//! evaluated, and `labels` is not checked.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::calendar::Calendar;
use crate::condition::Condition;
use crate::explain::parts;
use crate::identity::{PackDigest, Parts, RuleDigest};
use crate::matcher::Channel;
use crate::message::Side;
use crate::validators::Validator;
use crate::windows::Window;
use crate::yaml;

mod read;
mod selection;

pub(crate) use read::filter as read_filter;

pub(crate) use selection::is_name_field;
pub use selection::{
    Bounds, CalendarOf, Chat, Fact, FileFact, HostFact, Kind, Near, Order, Pattern, Selection, TimeFact, Validated,
    When, Words,
};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Worth knowing.
    Info,
    /// Low.
    Low,
    /// Medium.
    Medium,
    /// High.
    High,
    /// Critical.
    Critical,
}

/// Who sees the findings of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Everybody who may.
    Live,
    /// Counted, shown to authors only.
    Shadow,
}

/// How much text may leave the device. The lesser of two is the smaller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Disclose {
    /// No text.
    None,
    /// The hit, with everything readable around it masked.
    Masked,
    /// Up to 80 characters around the hit.
    Context,
}

/// A title in two languages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Title {
    /// Chinese.
    pub zh: String,
    /// English.
    pub en: String,
}

/// Which messages a rule looks at. An empty list does not restrict.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// Sides of the sender.
    pub from: Vec<Side>,
    /// Sides of which at least one receiver must be.
    pub to: Vec<Side>,
    /// Message types.
    pub types: Vec<String>,
    /// Labels of the account of the person concerned.
    pub labels: Vec<String>,
    /// Kind of chat.
    pub chat: Option<Chat>,
}

/// A rule.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Id, unique within the pack.
    pub id: Arc<str>,
    /// Title.
    pub title: Title,
    /// Category, for grouping.
    pub category: Arc<str>,
    /// Level.
    pub level: Level,
    /// Status.
    pub status: Status,
    /// Scope.
    pub scope: Scope,
    /// Selections in file order.
    pub selections: Vec<Selection>,
    /// What must hold.
    pub(crate) condition: Condition,
    /// Most that may be disclosed.
    pub disclose: Disclose,
    /// Work time within which an alert is to be dealt with.
    pub sla: Option<Duration>,
    /// Another level for hits through weak channels.
    pub weak: Option<Weak>,
    /// Laws and rules of conduct it stands on.
    pub legal_basis: Vec<Title>,
    /// What its author knows about false alarms.
    pub note: Option<Title>,
    /// What it measures over many messages, instead of holding for each.
    pub window: Option<Window>,
    /// Digest of what decides whether it holds.
    pub digest: RuleDigest,
    /// The rule's own tests.
    pub tests: Vec<RuleTest>,
    /// Line of the rule in its file.
    pub line: u64,
}

/// The level a finding has when all its hits were found through channels that err more often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Weak {
    /// The channels.
    pub channels: Vec<Channel>,
    /// The level.
    pub level: Level,
}

/// A test written in a rule: a message and whether the rule must hold for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleTest {
    /// Text of the message; may be empty where the message is made of something else.
    pub text: String,
    /// Whether the rule must hold.
    pub hit: bool,
    /// Side of the sender; by default one the rule's scope allows.
    pub from: Side,
    /// Side of the receiver; by default one the rule's scope allows.
    pub to: Side,
    /// Message type; by default one that carries what the test gives, else one the rule's scope allows.
    pub msgtype: String,
    /// Kind of chat.
    pub chat: Chat,
    /// Message time in milliseconds since the Unix epoch, UTC.
    pub time: Option<i64>,
    /// The file the message carries.
    pub file: Option<TestFile>,
    /// The amount it carries, in cents.
    pub amount: Option<u64>,
    /// Where its link leads.
    pub link: Option<String>,
    /// Name of the room.
    pub room_name: Option<String>,
    /// Name of the sender.
    pub sender_name: Option<String>,
    /// Line in the file.
    pub line: u64,
}

/// A file in a test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestFile {
    /// Its name.
    pub name: String,
    /// Its size in bytes.
    pub size: Option<u64>,
}

/// A versioned file of rules.
#[derive(Clone, Debug)]
pub struct Pack {
    /// Id of the pack (`pack:` in the file).
    pub id: Arc<str>,
    /// Version, counting from 1.
    pub version: u64,
    /// Title.
    pub title: Title,
    /// Rules in file order.
    pub rules: Vec<Rule>,
    /// The pack's own calendars, by name.
    pub calendars: BTreeMap<Arc<str>, Arc<Calendar>>,
    digest: PackDigest,
}

/// Something wrong in a pack or in a file it names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mistake {
    /// File.
    pub file: String,
    /// Line, from 1; 0 when it concerns the whole file.
    pub line: u64,
    /// Column, from 1; 0 when unknown.
    pub column: u64,
    /// A sentence that says what to do.
    pub text: String,
}

/// Bytes of a pack file.
pub const PACK_BYTES_MAX: usize = 4 << 20;
/// Words of a pack, all selections together.
pub const PACK_WORDS_MAX: usize = 200_000;

/// Whether a text can be the id of a pack or rule.
#[must_use]
pub fn is_id(text: &str) -> bool {
    read::is_id(text)
}

/// Whether a pack may name a file so: a relative path that stays below its folder, on every system.
#[must_use]
pub fn is_inside(name: &str) -> bool {
    read::is_inside(name)
}

/// Reads a calendar as a pack has it, from a text of its own.
///
/// # Errors
/// All mistakes found; never an empty list.
pub fn calendar(text: &str) -> Result<Calendar, Vec<Mistake>> {
    read::calendar(text)
}

impl Pack {
    /// Reads and checks a pack. `name` is the file name for messages; `files` are the files it may name, by name as written in the pack.
    ///
    /// # Errors
    /// All mistakes found, in order of file and line; never an empty list.
    pub fn parse(name: &str, bytes: &[u8], files: &BTreeMap<String, Vec<u8>>) -> Result<Self, Vec<Mistake>> {
        read::pack(name, bytes, files)
    }

    /// The names of the files a pack needs, as written in it: relative paths without `..`. What cannot be read names none; [`Pack::parse`] says why.
    #[must_use]
    pub fn named_files(bytes: &[u8]) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        if let Ok(root) = yaml::read(bytes) {
            read::collect_files(&root, &mut names);
        }
        names
    }

    /// One of the pack's calendars, or a built-in one.
    pub(crate) fn calendar(&self, name: &str) -> Option<Arc<Calendar>> {
        self.calendars.get(name).cloned().or_else(|| Calendar::builtin(name).map(Arc::new))
    }

    /// SHA-256 over the exact bytes of the pack and of the files it names.
    #[must_use]
    pub fn digest(&self) -> PackDigest {
        self.digest
    }
}

impl Rule {
    /// The level of a finding with hits through these channels.
    pub(crate) fn level_by(&self, channels: impl Iterator<Item = Channel>) -> Level {
        let Some(weak) = &self.weak else { return self.level };
        let mut any = false;
        let all = channels.inspect(|_| any = true).all(|channel| weak.channels.contains(&channel));
        if any && all { weak.level } else { self.level }
    }

    /// Its condition, as an author would write it.
    #[must_use]
    pub fn condition_text(&self) -> String {
        let names: Vec<String> = self.selections.iter().map(|selection| selection.name.to_string()).collect();
        parts(&self.condition, &names, &|_, _| false).into_iter().map(|part| part.text).collect()
    }

    /// The validators its selections use.
    pub(crate) fn validators(&self) -> Vec<Validator> {
        let mut validators: Vec<Validator> = Vec::new();
        for selection in &self.selections {
            if let Kind::Validator(validated) = &selection.kind {
                validators.extend(&validated.validators);
            }
        }
        validators.sort_unstable();
        validators.dedup();
        validators
    }
}

impl Level {
    /// All levels, lowest first.
    pub const ALL: [Self; 5] = [Self::Info, Self::Low, Self::Medium, Self::High, Self::Critical];

    /// Name as in packs and records.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

impl Status {
    /// Name as in packs and records.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Shadow => "shadow",
        }
    }
}

impl Disclose {
    /// All degrees, least first.
    pub const ALL: [Self; 3] = [Self::None, Self::Masked, Self::Context];

    /// Name as in packs, records and `agent.toml`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Masked => "masked",
            Self::Context => "context",
        }
    }
}

macro_rules! display_as_str {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    )*};
}

display_as_str!(Level, Status, Disclose);

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.line, self.column) {
            (0, _) => write!(f, "{}: {}", self.file, self.text),
            (line, 0) => write!(f, "{}:{line}: {}", self.file, self.text),
            (line, column) => write!(f, "{}:{line}:{column}: {}", self.file, self.text),
        }
    }
}

/// Digest over the pack and the files it names, in order of name.
fn digest(bytes: &[u8], files: &BTreeMap<&str, &[u8]>) -> PackDigest {
    let parts = Parts::new("watchpost/pack").bytes(bytes);
    PackDigest(files.iter().fold(parts, |parts, (name, bytes)| parts.str(name).bytes(bytes)).sha256())
}
