//! What a named selection of a rule looks for.

use std::sync::Arc;

use regex::Regex;

use crate::calendar::Calendar;
use crate::matcher::WordOptions;
use crate::message::{Message, Side};
use crate::normalise::Normalisation;
use crate::validators::Validator;

/// A named selection: what it looks for, and which of its hits count.
#[derive(Clone, Debug)]
pub struct Selection {
    /// Its name in the condition.
    pub name: Arc<str>,
    /// What it looks for.
    pub kind: Kind,
    /// Texts it looks in, by the front of their path; empty for all texts of the body.
    pub fields: Vec<Arc<str>>,
    /// Whether hits in the quoted part of a reply count.
    pub quoted: bool,
    /// Hits count only near hits of another selection.
    pub near: Option<Near>,
    /// Different things that must hit: words, validated values, matched texts.
    pub min: u32,
}

/// What a selection looks for.
#[derive(Clone, Debug)]
pub enum Kind {
    /// Words, with places.
    Words(Words),
    /// Patterns on the original text, with places.
    Regex(Vec<Pattern>),
    /// Numbers and addresses that prove themselves, with places.
    Validator(Validated),
    /// Something that is so or not, without a place.
    Fact(Fact),
}

/// A list of words and how they are looked for.
#[derive(Clone, Debug)]
pub struct Words {
    /// The words, first those written in the pack, then those of the file.
    pub words: Vec<Arc<str>>,
    /// Phrases in which a word does not count.
    pub allow: Vec<Arc<str>>,
    /// How text and words are folded.
    pub normalisation: Normalisation,
    /// Which spellings of a word are found, and where it may stand.
    pub options: WordOptions,
    /// Whether employees are told of the list only that it is there, and how many words it has.
    pub confidential: bool,
}

/// One regular expression.
#[derive(Clone, Debug)]
pub struct Pattern {
    /// As its author wrote it.
    pub source: Arc<str>,
    /// Compiled; linear in the length of the text.
    pub regex: Regex,
}

/// Validators and the values they leave out.
#[derive(Clone, Debug)]
pub struct Validated {
    /// The validators, in the order written.
    pub validators: Vec<Validator>,
    /// Values that are nobody's secret, such as the company's own numbers, in the form of [`crate::validators::value`], sorted.
    pub except: Vec<Box<str>>,
}

/// Something that holds for a message or not.
#[derive(Clone, Debug)]
pub enum Fact {
    /// A file of the message has one of the extensions (any, when there are none) and a size within the bounds.
    File(FileFact),
    /// The amount of a red packet or transfer lies within the bounds, in cents (分).
    Amount(Bounds),
    /// A link leads to one of the hosts, or to one that is none of them.
    Host(HostFact),
    /// The message is of one of the types.
    Type(Vec<Box<str>>),
    /// Where it was said.
    Chat(Chat),
    /// When it was said.
    Time(TimeFact),
    /// On which side the sender stands.
    Side(Vec<Side>),
}

/// What a file must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileFact {
    /// Extensions in lower case, without the dot; empty for any.
    pub ext: Vec<Box<str>>,
    /// Size in bytes. Files whose size the export does not tell are within no bounds.
    pub size: Bounds,
}

/// A range with both ends included; `None` is open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// The least.
    pub min: Option<u64>,
    /// The most.
    pub max: Option<u64>,
}

/// Where links must or must not lead. A host stands for its subdomains as well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostFact {
    /// Holds when a link leads to one of these.
    pub host: Vec<Box<str>>,
    /// Holds when a link leads to none of these.
    pub not_host: Vec<Box<str>>,
}

/// Kind of chat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Chat {
    /// A group chat: the message has a room.
    Group,
    /// Two people.
    Single,
}

/// When a message must have been sent. A message without a time is sent at no time.
#[derive(Clone, Debug)]
pub struct TimeFact {
    /// The time meant.
    pub when: When,
    /// Whose calendar says so.
    pub calendar: CalendarOf,
}

/// A kind of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Inside work hours.
    WorkHours,
    /// Outside work hours.
    OffHours,
    /// On a day the calendar calls a holiday.
    Holiday,
    /// On a day with work hours.
    WorkDay,
    /// From one minute of the day to before another, over midnight when the second is the smaller.
    Between(u16, u16),
}

/// Which calendar counts.
#[derive(Clone, Debug)]
pub enum CalendarOf {
    /// This one.
    Named(Arc<Calendar>),
    /// The one the label `calendar:NAME` of the person concerned names, else this one, `cn`.
    Account(Arc<Calendar>),
}

/// Nearness to another selection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Near {
    /// Number of the other selection in the rule.
    pub selection: usize,
    /// Characters that may lie between the two hits; overlapping hits have none between them.
    pub within: u32,
    /// On which side of the other's hit.
    pub order: Order,
}

/// On which side of the other hit a hit must stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// On either side, overlapping or inside.
    Either,
    /// Ends before the other begins.
    Before,
    /// Begins after the other ends.
    After,
}

impl Kind {
    /// Name as in packs; of facts that of the fact.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Words(_) => "words",
            Self::Regex(_) => "regex",
            Self::Validator(_) => "validator",
            Self::Fact(fact) => match fact {
                Fact::File(_) => "file",
                Fact::Amount(_) => "amount",
                Fact::Host(_) => "host",
                Fact::Type(_) => "type",
                Fact::Chat(_) => "chat",
                Fact::Time(_) => "time",
                Fact::Side(_) => "side",
            },
        }
    }
}

impl Fact {
    /// What it asks for, as a pack has it.
    #[must_use]
    pub fn asked(&self) -> Vec<String> {
        let texts = |all: &[Box<str>]| all.iter().map(|text| text.to_string()).collect::<Vec<_>>();
        match self {
            Self::File(file) => texts(&file.ext).into_iter().chain(file.size.asked()).collect(),
            Self::Amount(bounds) => bounds.asked().into_iter().collect(),
            Self::Host(host) => {
                let not = host.not_host.iter().map(|host| format!("not {host}"));
                texts(&host.host).into_iter().chain(not).collect()
            }
            Self::Type(types) => texts(types),
            Self::Chat(chat) => vec![chat.as_str().to_owned()],
            Self::Time(time) => vec![time.when.asked()],
            Self::Side(sides) => sides.iter().map(|side| side.as_str().to_owned()).collect(),
        }
    }
}

impl When {
    /// As a pack has it.
    fn asked(self) -> String {
        match self {
            Self::WorkHours => "work_hours".into(),
            Self::OffHours => "off_hours".into(),
            Self::Holiday => "holiday".into(),
            Self::WorkDay => "work_day".into(),
            Self::Between(from, to) => {
                format!("{:02}:{:02}-{:02}:{:02}", from / 60, from % 60, to / 60, to % 60)
            }
        }
    }
}

impl Chat {
    /// Name as in packs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Group => "group",
            Self::Single => "single",
        }
    }

    /// Where a message was said.
    #[must_use]
    pub fn of(message: &Message) -> Self {
        if message.room.is_some() { Self::Group } else { Self::Single }
    }
}

impl Order {
    /// The same nearness seen from the other hit.
    pub(crate) fn turned(self) -> Self {
        match self {
            Self::Either => Self::Either,
            Self::Before => Self::After,
            Self::After => Self::Before,
        }
    }
}

impl Words {
    /// How the phrases of `allow` are found: as they are written, folded like the words; what hides a word hides no exception.
    #[must_use]
    pub fn allow_options() -> WordOptions {
        WordOptions { boundary: false, aliases: false, split: false, pinyin: false }
    }
}

impl Bounds {
    /// As a range; none where nothing is bounded.
    fn asked(self) -> Option<String> {
        let end = |end: Option<u64>| end.map(|end| end.to_string()).unwrap_or_default();
        (!self.is_open()).then(|| format!("{}..{}", end(self.min), end(self.max)))
    }

    /// Whether nothing is bounded.
    #[must_use]
    pub fn is_open(self) -> bool {
        self == Self::default()
    }

    /// Whether a value lies within; an unknown one lies only within open bounds.
    #[must_use]
    pub fn contains(self, value: Option<u64>) -> bool {
        match value {
            Some(value) => self.min.is_none_or(|min| value >= min) && self.max.is_none_or(|max| value <= max),
            None => self.is_open(),
        }
    }
}

impl Selection {
    /// The words as their author wrote them; none when it looks for something else.
    #[must_use]
    pub fn words(&self) -> &[Arc<str>] {
        match &self.kind {
            Kind::Words(words) => &words.words,
            _ => &[],
        }
    }

    /// Whether its hits have places in the text.
    #[must_use]
    pub fn has_places(&self) -> bool {
        !matches!(self.kind, Kind::Fact(_))
    }

    /// What a hit is called in reports: the word, the pattern or the validator with this number. Never what was matched by a
    /// pattern or validator, which may be a secret.
    #[must_use]
    pub fn label(&self, number: u32) -> Option<Arc<str>> {
        let number = number as usize;
        match &self.kind {
            Kind::Words(words) => words.words.get(number).cloned(),
            Kind::Regex(patterns) => patterns.get(number).map(|pattern| pattern.source.clone()),
            Kind::Validator(validated) => validated.validators.get(number).map(|it| Arc::from(it.as_str())),
            Kind::Fact(_) => None,
        }
    }

    /// Whether it looks in names of rooms or senders.
    pub(crate) fn looks_at_names(&self) -> bool {
        NAME_FIELDS.iter().any(|name| self.looks_in(name))
    }

    /// Whether it looks in the text with this path.
    #[must_use]
    pub fn looks_in(&self, path: &str) -> bool {
        let front = |field: &Arc<str>| {
            path.strip_prefix(&**field).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        if self.fields.is_empty() { !is_name_field(path) } else { self.fields.iter().any(front) }
    }
}

/// Paths of the names an export may carry beside the body.
pub(crate) const NAME_FIELDS: [&str; 2] = ["room.name", "sender.name"];

/// Whether a path is that of a name and not of the body.
pub(crate) fn is_name_field(path: &str) -> bool {
    NAME_FIELDS.contains(&path)
}
