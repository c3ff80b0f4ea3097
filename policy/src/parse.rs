//! One line of a decrypted JSONL export becomes a message and a list of defects. Total: any bytes give an answer.
//!
//! The shapes are those of WeCom's session archive and of the vendors that copy it: bodies under aliases, bodies as JSON strings, scalars
//! as strings, receivers as one string. The caller bounds the length of a line; a line of n bytes may need about 20 n bytes of memory.

use std::borrow::Cow;
use std::fmt;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::facts;
use crate::message::{Action, Extras, Message, READ_TYPES, Text, is_event_type, known_type};

mod dates;
mod events;
mod service;
mod surrogate;
mod texts;
mod typed;

pub(crate) use texts::flat_keys as flat_texts;

/// The first byte of a line that stands for a defect. No JSON begins with it.
const MARK: u8 = 1;

/// What a line was.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parsed {
    /// The message, as far as it could be read; `None` for blank lines and for lines that are no message.
    pub message: Option<Message>,
    /// What was wrong, each code at most once, in the order found.
    pub defects: Vec<Defect>,
}

/// Something wrong with a line. [`Defect::code`] is stable and safe to store and send; it never contains text of the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Defect {
    /// The line is not JSON. No message.
    NotJson,
    /// The line ends in the middle of a JSON value. No message.
    Torn,
    /// The line holds bytes that are not UTF-8; they were replaced by U+FFFD.
    InvalidUtf8,
    /// JSON nested deeper than 128, or forwarded records nested deeper than 8; what lies deeper was not read.
    TooDeep,
    /// The line is JSON but no object. No message.
    NotAnObject,
    /// The object has none of the fields of a message. No message.
    NotAMessage,
    /// The message is still encrypted and was not inspected. No message.
    Encrypted,
    /// No body under any of the known keys.
    BodyMissing,
    /// The body, or an item in it, has another JSON type than expected.
    BodyWrongType,
    /// No message time, or zero.
    TimeMissing,
    /// The message time is neither a number nor a string of digits or a date.
    TimeWrongType,
    /// No msgid; the message is known by its content.
    MsgidMissing,
    /// The msgid is neither a string nor a number.
    MsgidWrongType,
    /// A number does not fit.
    NumberOutOfRange,
    /// No message type.
    TypeMissing,
    /// The message type is not a string.
    TypeWrongType,
    /// No sender.
    FromMissing,
    /// The sender is neither a string nor a number, or no id.
    FromWrongType,
    /// No receivers.
    ToMissing,
    /// The receivers, or one of them, are neither strings nor numbers, or no ids.
    ToWrongType,
    /// The room id is neither a string nor a number.
    RoomWrongType,
    /// The action is neither `send`, `recall` nor `switch`.
    ActionUnknown,
    /// Half of a surrogate pair (`\ud83d` alone) was replaced by U+FFFD.
    LoneSurrogate,
    /// More texts, or more bytes of text, than one message may have; the rest was not read.
    TooManyTexts,
    /// A row or a value is longer than allowed. No message.
    RecordTooLong,
    /// A row has not the cells its header names. No message.
    RowTorn,
    /// A file in an archive is no export: a picture, a sound, other text. Not read.
    MemberNotText,
    /// A file in an archive is encrypted. Not read.
    MemberEncrypted,
    /// A file in an archive is damaged or packed in a way that is not read. Not read, or not to its end.
    MemberUnreadable,
}

impl Defect {
    /// Every defect there is.
    pub const ALL: [Self; 29] = [
        Self::NotJson,
        Self::Torn,
        Self::InvalidUtf8,
        Self::TooDeep,
        Self::NotAnObject,
        Self::NotAMessage,
        Self::Encrypted,
        Self::BodyMissing,
        Self::BodyWrongType,
        Self::TimeMissing,
        Self::TimeWrongType,
        Self::MsgidMissing,
        Self::MsgidWrongType,
        Self::NumberOutOfRange,
        Self::TypeMissing,
        Self::TypeWrongType,
        Self::FromMissing,
        Self::FromWrongType,
        Self::ToMissing,
        Self::ToWrongType,
        Self::RoomWrongType,
        Self::ActionUnknown,
        Self::LoneSurrogate,
        Self::TooManyTexts,
        Self::RecordTooLong,
        Self::RowTorn,
        Self::MemberNotText,
        Self::MemberEncrypted,
        Self::MemberUnreadable,
    ];

    /// A line that stands for a defect of what could not be made a line: [`parse_line`] tells it again. Without a line feed.
    #[must_use]
    pub fn mark(self) -> Vec<u8> {
        [&[MARK], self.code().as_bytes()].concat()
    }

    /// The defect that a line stands for.
    fn marked(line: &[u8]) -> Option<Self> {
        let code = line.strip_prefix(&[MARK])?;
        Self::ALL.into_iter().find(|defect| defect.code().as_bytes() == code)
    }

    /// Stable snake_case code.
    #[must_use]
    pub fn code(self) -> &'static str {
        self.entry().0
    }

    /// One sentence for people.
    #[must_use]
    pub fn sentence(self) -> &'static str {
        self.entry().1
    }

    fn entry(self) -> (&'static str, &'static str) {
        match self {
            Self::NotJson => ("not_json", "the line is not JSON"),
            Self::Torn => ("torn", "the line ends in the middle of a JSON value"),
            Self::InvalidUtf8 => ("invalid_utf8", "the line holds bytes that are not UTF-8; they were replaced"),
            Self::TooDeep => ("too_deep", "the line is nested too deeply; what lies deeper was not read"),
            Self::NotAnObject => ("not_an_object", "the line is JSON but no object"),
            Self::NotAMessage => ("not_a_message", "the object has none of the fields of a message"),
            Self::Encrypted => ("encrypted", "the message is still encrypted and was not inspected"),
            Self::BodyMissing => ("body_missing", "the message has no body under any of the known keys"),
            Self::BodyWrongType => ("body_wrong_type", "the body or an item in it has an unexpected JSON type"),
            Self::TimeMissing => ("time_missing", "the message has no time"),
            Self::TimeWrongType => ("time_wrong_type", "the message time is neither a number nor a date"),
            Self::MsgidMissing => ("msgid_missing", "the message has no msgid; it is known by its content"),
            Self::MsgidWrongType => ("msgid_wrong_type", "the msgid is neither a string nor a number"),
            Self::NumberOutOfRange => ("number_out_of_range", "a number does not fit"),
            Self::TypeMissing => ("type_missing", "the message has no type"),
            Self::TypeWrongType => ("type_wrong_type", "the message type is not a string"),
            Self::FromMissing => ("from_missing", "the message has no sender"),
            Self::FromWrongType => ("from_wrong_type", "the sender is neither a string nor a number"),
            Self::ToMissing => ("to_missing", "the message has no receivers"),
            Self::ToWrongType => ("to_wrong_type", "the receivers are neither strings nor numbers"),
            Self::RoomWrongType => ("room_wrong_type", "the room id is neither a string nor a number"),
            Self::ActionUnknown => ("action_unknown", "the action is neither send, recall nor switch"),
            Self::LoneSurrogate => ("lone_surrogate", "half of a surrogate pair was replaced"),
            Self::RecordTooLong => ("record_too_long", "a row or value is longer than allowed and was passed over"),
            Self::RowTorn => ("row_torn", "the row has not the cells its header names"),
            Self::MemberNotText => ("member_not_text", "a file in the archive is no export and was not read"),
            Self::MemberEncrypted => ("member_encrypted", "a file in the archive is encrypted and was not inspected"),
            Self::MemberUnreadable => {
                ("member_unreadable", "a file in the archive is damaged or packed in a way that is not read")
            }
            Self::TooManyTexts => ("too_many_texts", "the message has more text than is read; the rest was not read"),
        }
    }
}

impl fmt::Display for Defect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.sentence())
    }
}

/// Reads one line, with or without its line end, with or without a byte order mark.
#[must_use]
pub fn parse_line(line: &[u8]) -> Parsed {
    let line = trim(line);
    if line.is_empty() {
        return Parsed::default();
    }
    if let Some(defect) = Defect::marked(line) {
        return Parsed { message: None, defects: vec![defect] };
    }
    if let Some(message) = typed::parse(line) {
        return Parsed { message: Some(message), defects: Vec::new() };
    }
    parse_any(line)
}

/// The slow path, which defines what is right: through `serde_json::Value`.
pub(crate) fn parse_any(line: &[u8]) -> Parsed {
    let mut defects = Defects::default();
    let message = read_value(line, &mut defects).and_then(|value| read_entry(value, &mut defects));
    Parsed { message, defects: defects.0 }
}

/// Each defect once, in the order found.
#[derive(Default)]
pub(crate) struct Defects(Vec<Defect>);

impl Defects {
    fn has(&self, defect: Defect) -> bool {
        self.0.contains(&defect)
    }

    pub(crate) fn add(&mut self, defect: Defect) {
        if !self.0.contains(&defect) {
            self.0.push(defect);
        }
    }
}

fn trim(line: &[u8]) -> &[u8] {
    line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(line).trim_ascii()
}

fn read_value(line: &[u8], defects: &mut Defects) -> Option<Value> {
    let text = match std::str::from_utf8(line) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => {
            defects.add(Defect::InvalidUtf8);
            String::from_utf8_lossy(line)
        }
    };
    match parse_json(&text, defects) {
        Ok(value) => Some(value),
        Err(defect) => {
            defects.add(defect);
            None
        }
    }
}

/// Parses JSON; lone surrogates, which `serde_json` refuses, are replaced first where there are any.
fn parse_json(text: &str, defects: &mut Defects) -> Result<Value, Defect> {
    let first = match serde_json::from_str(text) {
        Ok(value) => return Ok(value),
        Err(error) => error,
    };
    let Some(repaired) = surrogate::replace_lone(text) else { return Err(judge(&first)) };
    let value = serde_json::from_str(&repaired).map_err(|error| judge(&error))?;
    defects.add(Defect::LoneSurrogate);
    Ok(value)
}

/// `serde_json` tells these apart by message only; the messages are pinned by tests.
fn judge(error: &serde_json::Error) -> Defect {
    let text = error.to_string();
    if text.starts_with("recursion limit exceeded") {
        Defect::TooDeep
    } else if text.starts_with("number out of range") {
        Defect::NumberOutOfRange
    } else if error.is_eof() {
        Defect::Torn
    } else {
        Defect::NotJson
    }
}

fn read_entry(value: Value, defects: &mut Defects) -> Option<Message> {
    let Value::Object(mut entry) = value else {
        defects.add(Defect::NotAnObject);
        return None;
    };
    if looks_like_message(&entry) {
        return Some(read_message(entry, defects));
    }
    if is_encrypted(&entry) {
        defects.add(Defect::Encrypted);
        return None;
    }
    // Whatever else stands beside it: what is wrapped may be a message.
    if let Some(message) = wrapped(&mut entry, looks_like_message, defects) {
        return Some(read_message(message, defects));
    }
    if let Some(event) = events::read(&entry, defects) {
        return Some(event);
    }
    let event = wrapped(&mut entry, events::is_record, defects).and_then(|record| events::read(&record, defects));
    if event.is_none() {
        defects.add(Defect::NotAMessage);
    }
    event
}

fn looks_like_message(entry: &Map<String, Value>) -> bool {
    let has = |key| entry.contains_key(key);
    // The data zone tells who wrote to whom, and no more.
    let is_sealed = has("service_encrypt_info") && !has("from");
    !is_sealed && (has("msgtype") || has("action") || (has("from") && (has("tolist") || has("msgtime"))))
}

/// Keys under which vendors wrap a message: `{"seq":…,"msg":{…}}`, `{"message_id":…,"content":"{…}"}`.
const WRAPS: [&str; 6] = ["msg", "content", "message", "data", "body", "xml"];

/// What is wanted in a wrapper, as an object or as JSON in a string.
fn wrapped(
    entry: &mut Map<String, Value>,
    is_wanted: fn(&Map<String, Value>) -> bool,
    defects: &mut Defects,
) -> Option<Map<String, Value>> {
    for key in WRAPS {
        let Some(value) = entry.remove(key) else { continue };
        match texts::unwrap_string(value, defects) {
            Value::Object(inner) if is_wanted(&inner) => return Some(inner),
            other => _ = entry.insert(key.to_owned(), other),
        }
    }
    None
}

fn is_encrypted(entry: &Map<String, Value>) -> bool {
    let has = |entry: &Map<String, Value>, key| entry.contains_key(key);
    let sealed = |entry: &Map<String, Value>| {
        has(entry, "encrypt_chat_msg") || has(entry, "service_encrypt_info") || has(entry, "Encrypt")
    };
    let batch = entry.get("chatdata").and_then(Value::as_array);
    sealed(entry) || batch.is_some_and(|batch| batch.iter().filter_map(Value::as_object).any(sealed))
}

fn read_message(mut entry: Map<String, Value>, defects: &mut Defects) -> Message {
    if entry.contains_key("open_kfid") {
        service::as_archived(&mut entry);
    }
    let action = read_action(entry.get("action"), defects);
    let msgid = read_msgid(entry.get("msgid"), defects);
    let switch = action == Action::Switch;
    let mut message = Message {
        msgid,
        action,
        from: read_from(entry.get(if switch { "user" } else { "from" }), defects),
        to: read_to(entry.get("tolist"), switch, defects),
        room: read_room(entry.get("roomid"), defects),
        msgtime: read_time(entry.get(if switch { "time" } else { "msgtime" }), defects),
        msgtype: if switch { "switch".to_owned() } else { read_type(entry.get("msgtype"), defects) },
        texts: Vec::new(),
        body: None,
        unread_parties: false,
        extras: Extras { names: facts::names(&entry), ..Extras::default() },
    };
    message.unread_parties = defects.has(Defect::ToWrongType) || defects.has(Defect::FromWrongType);
    if !switch {
        read_body(&mut message, &mut entry, defects);
    }
    message
}

/// A string, or a number written as its digits.
pub(crate) fn scalar(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(text) => Some(Cow::Borrowed(text)),
        Value::Number(number) => Some(Cow::Owned(number.to_string())),
        _ => None,
    }
}

/// An id: absent, null and empty are `missing`, other JSON types `wrong`.
fn read_id(value: Option<&Value>, missing: Option<Defect>, wrong: Defect, defects: &mut Defects) -> Option<String> {
    let present = value.filter(|value| !value.is_null());
    let id = match present.map(scalar) {
        Some(None) => {
            defects.add(wrong);
            return None;
        }
        Some(Some(text)) => text.trim().to_owned(),
        None => String::new(),
    };
    if id.is_empty() {
        missing.into_iter().for_each(|defect| defects.add(defect));
        return None;
    }
    Some(id)
}

fn read_msgid(value: Option<&Value>, defects: &mut Defects) -> Option<String> {
    read_id(value, Some(Defect::MsgidMissing), Defect::MsgidWrongType, defects)
}

fn read_from(value: Option<&Value>, defects: &mut Defects) -> String {
    let from = read_id(value, Some(Defect::FromMissing), Defect::FromWrongType, defects).unwrap_or_default();
    if !may_be_id(&from) {
        defects.add(Defect::FromWrongType);
    }
    from
}

/// Whether something may be one id, or the name that a vendor writes in its place. What holds marks of a list or an object is none: nobody knows
/// who is meant by it.
pub(super) fn may_be_id(id: &str) -> bool {
    !id.chars().any(|c| c.is_whitespace() || c < ' ' || "[]{}()\"'/\\".contains(c))
}

fn read_type(value: Option<&Value>, defects: &mut Defects) -> String {
    match value {
        // Only records of other interfaces are events, whatever a message says of itself.
        Some(Value::String(text)) if !text.trim().is_empty() && !is_event_type(text.trim()) => text.trim().to_owned(),
        None | Some(Value::Null | Value::String(_)) => {
            defects.add(Defect::TypeMissing);
            String::new()
        }
        Some(_) => {
            defects.add(Defect::TypeWrongType);
            String::new()
        }
    }
}

fn read_room(value: Option<&Value>, defects: &mut Defects) -> Option<String> {
    read_id(value, None, Defect::RoomWrongType, defects).filter(|room| room != "0")
}

fn read_action(value: Option<&Value>, defects: &mut Defects) -> Action {
    match value.and_then(Value::as_str).map(str::trim) {
        Some("send") => Action::Send,
        Some("recall") => Action::Recall,
        Some("switch") => Action::Switch,
        _ => {
            defects.add(Defect::ActionUnknown);
            Action::Other
        }
    }
}

fn read_to(value: Option<&Value>, switch: bool, defects: &mut Defects) -> Vec<String> {
    let to = match value {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(items)) => read_receivers(items, defects),
        Some(other) => match scalar(other) {
            // A list that was written as text.
            Some(text) if text.trim_start().starts_with('[') => match serde_json::from_str::<Vec<Value>>(&text) {
                Ok(items) => read_receivers(&items, defects),
                Err(_) => split_receivers(&text),
            },
            Some(text) => split_receivers(&text),
            None => {
                defects.add(Defect::ToWrongType);
                return Vec::new();
            }
        },
    };
    if to.is_empty() && !switch {
        defects.add(Defect::ToMissing);
    }
    if !to.iter().all(|id| may_be_id(id)) {
        defects.add(Defect::ToWrongType);
    }
    to
}

fn read_receivers(items: &[Value], defects: &mut Defects) -> Vec<String> {
    let mut to = Vec::with_capacity(items.len());
    for item in items {
        match scalar(item) {
            Some(text) => to.extend(split_receivers(&text)),
            None => defects.add(Defect::ToWrongType),
        }
    }
    to
}

/// Vendors join receivers by these; none of them occurs in an id.
pub(crate) const RECEIVER_SEPARATORS: [char; 6] = [',', '|', ';', '，', '、', '；'];

fn split_receivers(text: &str) -> Vec<String> {
    text.split(RECEIVER_SEPARATORS).map(str::trim).filter(|id| !id.is_empty()).map(str::to_owned).collect()
}

fn read_time(value: Option<&Value>, defects: &mut Defects) -> Option<i64> {
    let time = match value {
        None | Some(Value::Null) => Ok(0),
        Some(Value::Number(number)) => number.as_i64().ok_or(Defect::NumberOutOfRange),
        Some(Value::String(text)) if text.trim().is_empty() => Ok(0),
        Some(Value::String(text)) => parse_time(text.trim()),
        Some(_) => Err(Defect::TimeWrongType),
    };
    match time.and_then(milliseconds) {
        Ok(time) => Some(time),
        Err(defect) => {
            defects.add(defect);
            None
        }
    }
}

fn parse_time(text: &str) -> Result<i64, Defect> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !digits {
        return dates::milliseconds(text).ok_or(Defect::TimeWrongType);
    }
    if let Some(ms) = dates::of_digits(text) {
        return Ok(ms);
    }
    text.parse().map_err(|_| Defect::NumberOutOfRange)
}

/// From 10^11 up it is milliseconds (the year 1973), below seconds (until the year 5138). Zero is unknown.
pub(crate) fn milliseconds(time: i64) -> Result<i64, Defect> {
    match time {
        0 => Err(Defect::TimeMissing),
        ..0 => Err(Defect::NumberOutOfRange),
        1..100_000_000_000 => Ok(time * 1000),
        _ => Ok(time),
    }
}

fn read_body(message: &mut Message, entry: &mut Map<String, Value>, defects: &mut Defects) {
    let Some(body) = take_body(&message.msgtype, entry) else {
        if !message.msgtype.is_empty() {
            defects.add(Defect::BodyMissing);
        }
        return;
    };
    let body = texts::unwrap_string(body, defects);
    if READ_TYPES.contains(&message.msgtype.as_str()) {
        let read = texts::read(&message.msgtype, &body, defects);
        message.texts = read.texts;
        message.extras.files = read.files;
    } else {
        let names = std::mem::take(&mut message.extras.names);
        message.extras = Extras { names, ..facts::of_raw_body(&message.msgtype, &body) };
        message.body = Some(body);
    }
}

/// Finds the body: under the alias of the type, the type, `info`, the vendors' generic keys, else at top level. Null counts as absent.
fn take_body(msgtype: &str, entry: &mut Map<String, Value>) -> Option<Value> {
    for key in [alias(msgtype), msgtype, "info", "content", "body", "data", "msg"] {
        if entry.get(key).is_some_and(|value| !value.is_null()) && !ENVELOPE.contains(&key) {
            return entry.remove(key);
        }
    }
    top_level(msgtype, entry)
}

/// `vote` and `todo` put their fields at top level in some exports, and types not known yet may.
fn top_level(msgtype: &str, entry: &mut Map<String, Value>) -> Option<Value> {
    if known_type(msgtype) && !matches!(msgtype, "vote" | "todo") {
        return None;
    }
    let mut body = std::mem::take(entry);
    body.retain(|key, value| !ENVELOPE.contains(&key.as_str()) && !value.is_null());
    (!body.is_empty()).then_some(Value::Object(body))
}

/// Keys that belong to the envelope and never to a body.
const ENVELOPE: [&str; 9] = ["msgid", "action", "from", "tolist", "roomid", "msgtime", "msgtype", "seq", "corpid"];

/// Types whose body stands under another key than their name.
fn alias(msgtype: &str) -> &str {
    match msgtype {
        "docmsg" => "doc",
        "markdown"
        | "news"
        | "voiptext"
        | "qydiskfile"
        | "qy_disk_file"
        | "note"
        | "meeting_notification"
        | "meeting_control" => "info",
        "external_redpacket" => "redpacket",
        "meetingvoicecall" => "meeting_voice_call",
        "voipdocshare" => "voip_doc_share",
        other => other,
    }
}

#[cfg(test)]
mod tests;
