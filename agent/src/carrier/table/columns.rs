//! What columns are, by the many names they go by, and how a row becomes the message it was.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde::de::IgnoredAny;
use serde_json::{Map, Value, json};
use watchpost_policy::message::known_types;

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Column {
    Msgid,
    Action,
    From,
    To,
    Room,
    Time,
    Type,
    /// The body; the lower the number, the more it says.
    Body(u8),
    /// Something the parser knows by this key.
    Named(&'static str),
    Other,
}

/// What columns are called in tables that no usual name fits, for [`Names`]: the words of the configuration.
const MEANINGS: [(&str, Column); 10] = [
    ("msgid", Column::Msgid),
    ("action", Column::Action),
    ("from", Column::From),
    ("to", Column::To),
    ("room", Column::Room),
    ("time", Column::Time),
    ("type", Column::Type),
    ("body", Column::Body(0)),
    ("room_name", Column::Named("room_name")),
    ("sender_name", Column::Named("sender_name")),
];

/// What the columns of somebody's tables are called, where that is told and not learned from usual names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names(Arc<BTreeMap<String, Column>>);

impl Names {
    /// The words a name may be told for.
    pub fn words() -> [&'static str; 10] {
        MEANINGS.map(|(word, _)| word)
    }

    /// Takes pairs of such a word and the name of a column.
    ///
    /// # Errors
    /// A sentence about a word that is none, or a column that is to be two things.
    pub fn of<'n>(pairs: impl IntoIterator<Item = (&'n str, &'n str)>) -> Result<Self, String> {
        let mut names = BTreeMap::new();
        for (word, name) in pairs {
            let Some((_, column)) = MEANINGS.iter().find(|(known, _)| *known == word) else {
                return Err(format!("`{word}` is nothing a column can be; known are {}", Self::words().join(", ")));
            };
            let plain = plain(name);
            if plain.is_empty() {
                return Err(format!("the name of the column for `{word}` is empty; write it as the header has it"));
            }
            if names.insert(plain, *column).is_some_and(|other| other != *column) {
                return Err(format!("the column `{name}` is to be two things; name it once"));
            }
        }
        Ok(Self(Arc::new(names)))
    }
}

/// Names of columns without case, spaces, `_` and `-`.
const NAMES: [(&[&str], Column); 12] = [
    (&["msgid", "messageid", "消息id", "消息编号"], Column::Msgid),
    (&["action", "msgaction", "操作", "动作"], Column::Action),
    (
        &[
            "from",
            "sender",
            "fromid",
            "msgfrom",
            "fromuser",
            "发送人",
            "发送者",
            "发件人",
            "发送人id",
            "发送人账号",
            "发送方",
        ],
        Column::From,
    ),
    (
        &[
            "tolist",
            "receiver",
            "receiveruserid",
            "to",
            "toid",
            "receivers",
            "接收人",
            "接收者",
            "接收人id",
            "接收人账号",
            "接收方",
            "收件人",
            "recipient/conversation",
            "recipient",
        ],
        Column::To,
    ),
    (&["roomid", "chatid", "groupid", "群id", "群聊id"], Column::Room),
    (
        &[
            "msgtime",
            "sendtime",
            "time",
            "createdat",
            "createtime",
            "发送时间",
            "消息时间",
            "时间",
            "time(beijing)",
            "time（beijing）",
        ],
        Column::Time,
    ),
    (&["msgtype", "type", "消息类型", "类型"], Column::Type),
    (&["rawjson", "msgdata", "raw", "原始消息"], Column::Body(0)),
    (&["content", "contact", "msg", "body", "消息内容", "内容", "正文"], Column::Body(1)),
    (&["text", "文本", "文本内容"], Column::Body(2)),
    (&["roomname", "chatname", "群名称", "会话名称", "群聊名称"], Column::Named("room_name")),
    (&["sendername", "fromname", "nickname", "发送人姓名", "发送者姓名"], Column::Named("sender_name")),
];

/// Names of types as people read them.
const TYPES: [(&[&str], &str); 26] = [
    (&["文本", "文字", "文本消息", "1"], "text"),
    (&["图片", "2"], "image"),
    (&["语音", "4"], "voice"),
    (&["视频", "5"], "video"),
    (&["文件", "7"], "file"),
    (&["链接"], "link"),
    (&["小程序", "6"], "weapp"),
    (&["名片"], "card"),
    (&["位置"], "location"),
    (&["表情"], "emotion"),
    (&["撤回", "撤回消息"], "revoke"),
    (&["同意", "同意会话存档", "同意存档"], "agree"),
    (&["不同意", "不同意会话存档", "不同意存档"], "disagree"),
    (&["聊天记录", "会话记录", "转发消息"], "chatrecord"),
    (&["图文", "3"], "news"),
    (&["混合", "图文混合", "混合消息"], "mixed"),
    (&["日程"], "calendar"),
    (&["会议"], "meeting"),
    (&["红包"], "redpacket"),
    (&["待办"], "todo"),
    (&["投票"], "vote"),
    (&["填表", "收集表"], "collect"),
    (&["在线文档", "文档"], "docmsg"),
    (&["视频号"], "sphfeed"),
    (&["音视频通话", "通话"], "voiptext"),
    (&["笔记"], "note"),
];

/// Where the text of a type stands, for tables that have it bare.
const TEXT_KEYS: [(&str, &str); 13] = [
    ("link", "title"),
    ("weapp", "title"),
    ("file", "filename"),
    ("qydiskfile", "filename"),
    ("location", "title"),
    ("docmsg", "title"),
    ("chatrecord", "title"),
    ("calendar", "title"),
    ("collect", "title"),
    ("meeting", "topic"),
    ("redpacket", "wish"),
    ("vote", "votetitle"),
    ("sphfeed", "feed_desc"),
];

/// Receivers that rows of one message come to; the largest rooms have some hundred members.
const RECEIVERS_MAX: usize = 10_000;
/// Bytes of their ids.
const RECEIVERS_BYTES_MAX: usize = 1 << 20;

/// The columns of a table, in order.
#[derive(Clone, Debug)]
pub(in crate::carrier) struct Columns(Vec<(Column, usize)>);

impl Columns {
    /// What a header names; `None` when that is no table of messages.
    pub(in crate::carrier) fn of(header: &[String], names: &Names) -> Option<Self> {
        let columns = Self(header.iter().map(|name| column(name, names)).collect());
        let has = |wanted: &[Column]| columns.0.iter().any(|(column, _)| wanted.contains(column));
        let says = has(&[Column::Body(0), Column::Body(1), Column::Body(2)]);
        let tells = has(&[Column::Msgid, Column::From, Column::Time]);
        (says && tells).then_some(columns)
    }

    /// How many are known.
    pub(in crate::carrier) fn known(&self) -> usize {
        self.0.iter().filter(|(column, _)| *column != Column::Other).count()
    }

    pub(in crate::carrier) fn len(&self) -> usize {
        self.0.len()
    }

    /// Behind the last column that may hold the body.
    pub(in crate::carrier) fn body_end(&self) -> usize {
        self.0.iter().rposition(|(column, _)| matches!(column, Column::Body(_))).map_or(self.0.len(), |last| last + 1)
    }

    /// The message of a row.
    pub(in crate::carrier) fn entry(&self, cells: &[String]) -> Entry {
        let all = |wanted: Column| {
            let cells = self.0.iter().zip(cells).filter(move |(column, _)| column.0 == wanted);
            cells.map(|(column, cell)| (column.1, cell.trim())).filter(|(_, cell)| !is_null(cell))
        };
        // Of several columns the one with the better name says most.
        let cell = |wanted: Column| all(wanted).min_by_key(|(rank, _)| *rank).map_or("", |(_, cell)| cell);
        let msgtype = msgtype(cell(Column::Type));
        let named = self.0.iter().filter_map(|(column, _)| match column {
            Column::Named(key) => Some((*key, cell(*column))),
            _ => None,
        });
        let before = [
            ("msgid", cell(Column::Msgid)),
            ("action", action(cell(Column::Action), msgtype)),
            ("from", cell(Column::From)),
        ];
        let time = time(cell(Column::Time));
        let behind: Vec<(&str, &str)> = [("roomid", cell(Column::Room)), ("msgtime", &*time), ("msgtype", msgtype)]
            .into_iter()
            .chain(named)
            .collect();
        let bodies = [Column::Body(0), Column::Body(1), Column::Body(2)].map(cell);
        let mut receivers: Vec<String> = all(Column::To).flat_map(|(_, cell)| receivers(cell)).collect();
        receivers.dedup();
        match Body::of(msgtype, bodies) {
            Body::Entry(message) => Entry::of(message, before.into_iter().chain(behind), receivers),
            Body::Part(body) => {
                let mut entry = Entry {
                    front: "{".into(),
                    back: String::new(),
                    is_known: !before[0].1.is_empty(),
                    receivers: Some(receivers),
                    is_doubtful: false,
                };
                before.into_iter().for_each(|(key, value)| member(&mut entry.front, key, value));
                behind.into_iter().for_each(|(key, value)| member(&mut entry.back, key, value));
                if !body.is_empty() {
                    key(&mut entry.back, msgtype);
                    entry.back.push_str(&body);
                }
                entry.back.push('}');
                entry
            }
        }
    }
}

/// Adds a member to an object that is written, if it has a value. Times are numbers, everything else is text.
fn member(out: &mut String, name: &str, value: &str) {
    if value.is_empty() {
        return;
    }
    key(out, name);
    let is_number = name == "msgtime"
        && value.len() <= 18
        && !value.starts_with('0')
        && value.bytes().all(|byte| byte.is_ascii_digit());
    out.push_str(&if is_number { value.to_owned() } else { Value::from(value).to_string() });
}

fn key(out: &mut String, name: &str) {
    if out != "{" {
        out.push(',');
    }
    out.push_str(&Value::from(name).to_string());
    out.push(':');
}

/// A name as it is compared.
fn plain(name: &str) -> String {
    let said = |c: &char| !c.is_whitespace() && !matches!(c, '_' | '-' | '"');
    name.trim_start_matches('\u{FEFF}').chars().filter(said).flat_map(char::to_lowercase).collect()
}

/// What a column is, and how sure that is: the less the surer.
fn column(name: &str, names: &Names) -> (Column, usize) {
    let plain = plain(name);
    if let Some(column) = names.0.get(&plain) {
        return (*column, 0);
    }
    let ranked = NAMES.iter().find_map(|(names, column)| {
        let place = names.iter().position(|name| *name == plain)?;
        // An id is better than a name.
        let rank = if plain.ends_with("id") || plain.ends_with("账号") { place } else { place + names.len() };
        let rank = rank + 1;
        Some((*column, rank))
    });
    ranked.unwrap_or((Column::Other, 0))
}

/// What databases write where there is nothing.
fn is_null(cell: &str) -> bool {
    matches!(cell, "" | "NULL" | "null" | "\\N")
}

fn msgtype(cell: &str) -> &str {
    let named = TYPES.iter().find(|(names, _)| names.contains(&cell)).map(|(_, name)| *name);
    let known = || known_types().find(|name| name.eq_ignore_ascii_case(cell));
    named.or_else(known).unwrap_or(if cell.is_empty() { "text" } else { cell })
}

fn action<'c>(cell: &'c str, msgtype: &str) -> &'c str {
    match cell {
        "0" | "发送" => "send",
        "1" | "撤回" => "recall",
        "2" | "切换" | "切换企业" => "switch",
        "" if msgtype == "revoke" => "recall",
        "" => "send",
        other => other,
    }
}

/// The receivers a cell names: one, several as the parser parts them, or an array of JSON or of a database.
fn receivers(cell: &str) -> Vec<String> {
    if let Ok(all) = serde_json::from_str::<Vec<String>>(cell) {
        return all;
    }
    match cell.strip_prefix('{').and_then(|cell| cell.strip_suffix('}')) {
        Some(array) => array.split(',').map(|id| id.trim_matches('"').to_owned()).filter(|id| !id.is_empty()).collect(),
        None if cell.is_empty() => Vec::new(),
        None => vec![cell.to_owned()],
    }
}

/// A time as the parser knows it. Spreadsheets count days since 1900, in whose time zone only people know; here it is Beijing's.
fn time(cell: &str) -> String {
    const DAYS: std::ops::Range<f64> = 20_000.0..80_000.0;
    const EPOCH_DAY: f64 = 25_569.0;
    match cell.parse::<f64>() {
        Ok(days) if DAYS.contains(&days) => {
            let seconds = ((days - EPOCH_DAY) * 86_400.0).round() - 8.0 * 3600.0;
            format!("{:.0}", seconds * 1000.0)
        }
        _ => cell.to_owned(),
    }
}

/// What the cells with a body say.
enum Body {
    /// The message itself.
    Entry(Map<String, Value>),
    /// The body of its type, as JSON; nothing where there is none.
    Part(String),
}

impl Body {
    fn of(msgtype: &str, cells: [&str; 3]) -> Self {
        for (at, cell) in cells.into_iter().enumerate().filter(|(_, cell)| cell.starts_with(['{', '"'])) {
            // Where the text itself may stand, only what has the shape of a body is one: people write JSON, too.
            let is_raw = at == 0;
            let is_body = |has_content: bool| is_raw || msgtype != "text" || has_content;
            // Most cells are the body as it was, which need not be read to be told on.
            if let Ok(keys) = serde_json::from_str::<BTreeMap<Cow<'_, str>, IgnoredAny>>(cell)
                && !keys.contains_key("msgtype")
                && !keys.contains_key(msgtype)
            {
                if is_body(keys.contains_key("content")) {
                    return Self::Part(cell.replace(['\n', '\r'], " "));
                }
                continue;
            }
            let object = match serde_json::from_str(cell) {
                Ok(Value::Object(object)) => Some(object),
                // Written twice.
                Ok(Value::String(inner)) => serde_json::from_str(&inner).ok(),
                _ => None,
            };
            let Some(mut object) = object else { continue };
            if is_raw && object.contains_key("msgtype") {
                return Self::Entry(object);
            }
            match object.remove(msgtype) {
                Some(body @ Value::Object(_)) => return Self::Part(body.to_string()),
                _ if is_body(object.contains_key("content")) => {
                    return Self::Part(Value::Object(object).to_string());
                }
                _ => {}
            }
        }
        let text = cells.into_iter().find(|cell| !cell.is_empty());
        Self::Part(text.map(|text| bare(msgtype, text).to_string()).unwrap_or_default())
    }
}

/// The body of a type whose text is all that is known of it.
fn bare(msgtype: &str, text: &str) -> Value {
    match TEXT_KEYS.iter().find(|(name, _)| *name == msgtype) {
        Some((_, key)) => json!({ *key: text }),
        None if msgtype == "mixed" => json!({ "item": [{ "type": "text", "content": { "content": text } }] }),
        None => json!({ "content": text }),
    }
}

/// A message of a row, as JSON in two parts between which its receivers go.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::carrier) struct Entry {
    front: String,
    back: String,
    /// Whether it has an id.
    is_known: bool,
    /// None where the message says itself who received it.
    receivers: Option<Vec<String>>,
    is_doubtful: bool,
}

impl Entry {
    /// A message that stands in a cell, with what other cells say of it.
    fn of<'m>(
        mut message: Map<String, Value>,
        members: impl Iterator<Item = (&'m str, &'m str)>,
        receivers: Vec<String>,
    ) -> Self {
        // What the table itself says counts.
        for (key, value) in members.filter(|(_, value)| !value.is_empty()) {
            message.insert(key.to_owned(), value.into());
        }
        let is_known = message.contains_key("msgid");
        if !receivers.is_empty() {
            message.remove("tolist");
        }
        let receivers = (!message.contains_key("tolist")).then_some(receivers);
        let mut front = Value::Object(message).to_string();
        front.pop();
        Self { front, back: "}".into(), is_known, receivers, is_doubtful: false }
    }

    /// Whether another row is of the same message.
    fn is_of(&self, other: &Self) -> bool {
        let same = self.is_known && self.front == other.front && self.back == other.back;
        same && self.receivers.is_some() && self.receivers != other.receivers
    }

    /// Somebody who received it is not known: whether that is one of the never list nobody can tell.
    fn doubt(&mut self) {
        self.is_doubtful = true;
    }
}

/// A message that rows to come may belong to.
#[derive(Default)]
pub(in crate::carrier) struct Merged(Option<Entry>);

impl Merged {
    /// Takes the message of the next row, and writes the one before if that was another.
    pub(in crate::carrier) fn add(&mut self, entry: Entry, out: &mut Vec<u8>) {
        match &mut self.0 {
            Some(held) if held.is_of(&entry) => {
                let all = held.receivers.get_or_insert_default();
                let bytes: usize = all.iter().map(String::len).sum();
                if all.len() < RECEIVERS_MAX && bytes < RECEIVERS_BYTES_MAX {
                    all.extend(entry.receivers.into_iter().flatten());
                } else {
                    held.doubt();
                }
            }
            _ => {
                self.end(out);
                self.0 = Some(entry);
            }
        }
    }

    /// A row that may be of the message could not be read.
    pub(in crate::carrier) fn torn(&mut self, out: &mut Vec<u8>) {
        self.0.iter_mut().for_each(Entry::doubt);
        self.end(out);
    }

    /// No more rows of the message come.
    pub(in crate::carrier) fn end(&mut self, out: &mut Vec<u8>) {
        let Some(Entry { mut front, back, receivers, is_doubtful, .. }) = self.0.take() else { return };
        if let Some(receivers) = receivers {
            key(&mut front, "tolist");
            // What is no id stands for whoever is not known.
            let doubt = is_doubtful.then_some(Value::Null);
            let all: Vec<Value> = receivers.into_iter().map(Value::from).chain(doubt).collect();
            front.push_str(&Value::from(all).to_string());
        }
        out.extend_from_slice(front.as_bytes());
        out.extend_from_slice(back.as_bytes());
        out.push(b'\n');
    }
}
