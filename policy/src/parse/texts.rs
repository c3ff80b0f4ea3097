//! Reads the texts of the five types that are read: text, link, file, mixed and chatrecord.

use serde_json::{Map, Value};

use super::{Defect, Defects, Text, parse_json};
use crate::facts;
use crate::message::FileInfo;

/// Forwarded records may contain forwarded records; deeper than this is not read.
const DEPTH_MAX: usize = 8;
/// Texts of one message; a real record has some tens.
const TEXTS_MAX: usize = 10_000;
/// Bytes of text of one message, all texts together. The client allows some thousand characters; forwarded records add up.
/// Folding takes up to 16 times as much memory.
pub(super) const TEXT_BYTES_MAX: usize = 2 << 20;
/// A vendor may wrap a JSON string in a JSON string; more than twice was never seen.
const STRING_WRAPS_MAX: usize = 3;

/// Reads the texts of a body of one of [`crate::message::READ_TYPES`].
pub(super) fn read(msgtype: &str, body: &Value, defects: &mut Defects) -> Read {
    let mut reader = Reader { read: Read::default(), bytes: 0, defects };
    if let Some(kind) = Kind::of(msgtype) {
        reader.body(kind, msgtype, body, 0);
    }
    reader.read
}

/// What was read of a body.
#[derive(Default)]
pub(super) struct Read {
    pub(super) texts: Vec<Text>,
    pub(super) files: Vec<FileInfo>,
}

/// The keys of a body of this type that are texts, where all texts are plain strings right below it; `None` where they lie deeper.
pub(crate) fn flat_keys(msgtype: &str) -> Option<&'static [&'static str]> {
    match Kind::of(msgtype) {
        None => facts::flat_keys(msgtype),
        Some(Kind::Items) => None,
        Some(kind) => Some(kind.keys()),
    }
}

/// A body that is a JSON string is parsed, at most [`STRING_WRAPS_MAX`] times; what holds no object stays the string it was.
pub(super) fn unwrap_string(value: Value, defects: &mut Defects) -> Value {
    let Value::String(text) = &value else { return value };
    let mut inner = parse_nested(text, defects);
    for _ in 1..STRING_WRAPS_MAX {
        let Some(Value::String(text)) = &inner else { break };
        inner = parse_nested(text, defects);
    }
    inner.filter(Value::is_object).unwrap_or(value)
}

/// Which shape a body or an item has.
#[derive(Clone, Copy)]
enum Kind {
    /// One string under `content`.
    Text,
    /// Strings under `title`, `description`, `link_url`.
    Link,
    /// One string under `filename`.
    File,
    /// Items, and a `title` in forwarded records.
    Items,
}

impl Kind {
    /// By message type (`mixed`) or item type (`ChatRecordMixed`).
    fn of(name: &str) -> Option<Self> {
        match name {
            "text" | "ChatRecordText" => Some(Self::Text),
            "link" | "ChatRecordLink" => Some(Self::Link),
            "file" | "ChatRecordFile" => Some(Self::File),
            "mixed" | "ChatRecordMixed" | "chatrecord" | "ChatRecord" | "ChatRecordChatRecord" => Some(Self::Items),
            _ => None,
        }
    }

    fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Text => &["content"],
            Self::Link => &["title", "description", "link_url"],
            Self::File => &["filename"],
            Self::Items => &["title"],
        }
    }
}

struct Reader<'a> {
    read: Read,
    bytes: usize,
    defects: &'a mut Defects,
}

impl Reader<'_> {
    fn body(&mut self, kind: Kind, path: &str, body: &Value, depth: usize) {
        match body {
            Value::Object(body) => self.object(kind, path, body, depth),
            // A vendor wrote the text where the body belongs.
            Value::String(text) if matches!(kind, Kind::Text) => {
                self.defects.add(Defect::BodyWrongType);
                self.push(path, "content", text);
            }
            _ => self.defects.add(Defect::BodyWrongType),
        }
    }

    fn object(&mut self, kind: Kind, path: &str, body: &Map<String, Value>, depth: usize) {
        for key in kind.keys() {
            match body.get(*key) {
                None | Some(Value::Null) => {}
                Some(Value::String(text)) => self.push(path, key, text),
                Some(Value::Number(number)) => self.push(path, key, &number.to_string()),
                Some(_) => self.defects.add(Defect::BodyWrongType),
            }
        }
        if matches!(kind, Kind::Items) {
            self.items(path, body, depth);
        }
        if matches!(kind, Kind::File) && self.read.files.len() < TEXTS_MAX {
            self.read.files.extend(facts::file(body));
        }
    }

    fn items(&mut self, path: &str, body: &Map<String, Value>, depth: usize) {
        if depth >= DEPTH_MAX {
            self.defects.add(Defect::TooDeep);
            return;
        }
        match body.get("item") {
            None | Some(Value::Null) => {}
            Some(Value::Array(items)) => {
                for (index, item) in items.iter().enumerate() {
                    self.item(&format!("{path}.item[{index}]"), item, depth + 1);
                }
            }
            // A vendor may have left the list as a JSON string.
            Some(Value::String(text)) => match parse_nested(text, self.defects) {
                Some(Value::Array(items)) if depth < DEPTH_MAX => {
                    let list = Map::from_iter([("item".to_owned(), Value::Array(items))]);
                    self.items(path, &list, depth);
                }
                _ => self.defects.add(Defect::BodyWrongType),
            },
            Some(_) => self.defects.add(Defect::BodyWrongType),
        }
    }

    fn item(&mut self, path: &str, item: &Value, depth: usize) {
        let Value::Object(item) = item else {
            self.defects.add(Defect::BodyWrongType);
            return;
        };
        let Some(kind) = item.get("type").and_then(Value::as_str).and_then(Kind::of) else { return };
        match item.get("content") {
            None | Some(Value::Null) => self.defects.add(Defect::BodyMissing),
            Some(Value::String(text)) => {
                let content = unwrap_string(Value::String(text.clone()), self.defects);
                self.body(kind, path, &content, depth);
            }
            Some(content) => self.body(kind, path, content, depth),
        }
    }

    fn push(&mut self, path: &str, key: &str, text: &str) {
        let room = TEXT_BYTES_MAX - self.bytes;
        let text = if text.len() > room {
            self.defects.add(Defect::TooManyTexts);
            &text[..text.floor_char_boundary(room)]
        } else {
            text
        };
        if self.read.texts.len() >= TEXTS_MAX {
            self.defects.add(Defect::TooManyTexts);
        } else if !text.is_empty() {
            self.bytes += text.len();
            self.read.texts.push(Text { field: format!("{path}.{key}").into(), text: text.to_owned() });
        }
    }
}

/// JSON inside a string, when it looks like an object, an array or a string.
fn parse_nested(text: &str, defects: &mut Defects) -> Option<Value> {
    if !text.trim_start().starts_with(['{', '[', '"']) {
        return None;
    }
    match parse_json(text, defects) {
        Ok(value) => Some(value),
        Err(Defect::TooDeep) => {
            defects.add(Defect::TooDeep);
            None
        }
        Err(_) => None,
    }
}
