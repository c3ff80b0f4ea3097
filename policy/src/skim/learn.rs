//! Learns the shape of a line: the bytes between its values, and what each value is.
//!
//! A shape is learned only of a line that [`parse_line`] reads without a defect, only of objects whose every key is understood, and only if the
//! line read by its shape says the same as the line parsed. So what is read by a shape is what parsing would have given.

use serde_json::from_slice;

use super::shape::{Kind, Shapes, Slot, Span, Step, Texts, Values};
use super::values::{id_end, number, plain_end, string_end};
use crate::message::{Action, Extras, Message, Text, known_type};
use crate::parse::{flat_texts, parse_line};

/// Longest line a shape is learned from, in bytes: longer ones gain nothing.
const LINE_BYTES_MAX: usize = 64 * 1024;
/// Types whose texts lie in items, each a JSON string with JSON in it.
const ITEM_TYPES: [&str; 2] = ["mixed", "chatrecord"];
/// Keys of an object; real ones have a dozen.
const KEYS_MAX: usize = 64;
/// Items of a shape. There are as many shapes as orders of items, and together their texts must not be more than parsing reads.
const ITEMS_MAX: usize = 8;

/// Learns the shape of a line without its line end, if it has one.
pub(super) fn learn(shapes: &mut Shapes, line: &[u8]) {
    if line.len() > LINE_BYTES_MAX {
        return;
    }
    let parsed = parse_line(line);
    let Some(message) = parsed.message.filter(|_| parsed.defects.is_empty()) else { return };
    let Some(mut steps) = shape_of(line, &message) else { return };
    let mut alone = Shapes::default();
    alone.add(steps.clone());
    let Some(texts) = says(&alone, line, &message) else { return };
    let kind = Kind { msgtype: message.msgtype.as_str().into(), model: model(message, &texts) };
    if let Some(end) = steps.last_mut() {
        end.slot = Slot::End(shapes.kind_number(kind));
    }
    shapes.add(steps);
}

/// The message without its values, where those of the envelope and the texts read are all it has.
fn model(message: Message, read: &[String]) -> Option<Message> {
    // What else a file carries depends on its values.
    let only_texts = message.body.is_none() && message.extras == Extras::default() && message.msgtype != "file";
    // Equal texts do not say which is which.
    let distinct = read.iter().enumerate().all(|(at, text)| !read.iter().take(at).any(|other| other == text));
    let in_order = message.texts.iter().map(|text| &text.text).eq(read);
    (only_texts && distinct && in_order).then(|| Message {
        msgid: None,
        from: String::new(),
        to: Vec::new(),
        room: None,
        msgtime: None,
        texts: message.texts.into_iter().map(|text| Text { text: String::new(), ..text }).collect(),
        ..message
    })
}

/// The steps of a line that is `message`, of a kind without a number yet.
fn shape_of(line: &[u8], message: &Message) -> Option<Vec<Step>> {
    if !known_type(&message.msgtype) || !matches!(message.action, Action::Send | Action::Recall) {
        return None;
    }
    let texts = flat_texts(&message.msgtype);
    if texts.is_none() && !ITEM_TYPES.contains(&message.msgtype.as_str()) {
        return None;
    }
    let mut cursor = Cursor { line, at: 0, done: 0, steps: Vec::new() };
    cursor.entry(texts)?;
    cursor.step(Slot::End(0));
    Some(cursor.steps)
}

/// Walks along a line and collects its steps.
struct Cursor<'a> {
    line: &'a [u8],
    at: usize,
    /// Behind the last value.
    done: usize,
    steps: Vec<Step>,
}

impl<'a> Cursor<'a> {
    /// The whole line: an object with the keys of the envelope and one body.
    fn entry(&mut self, texts: Option<&[&str]>) -> Option<()> {
        let mut bodies = 0;
        let keys = self.object(|cursor, key| match key {
            b"msgid" => cursor.string(Slot::Msgid),
            b"from" => cursor.string(Slot::From),
            b"roomid" => cursor.string(Slot::Room),
            b"tolist" => cursor.receivers(),
            b"msgtime" => cursor.number(Slot::Time),
            // Their values belong to the shape.
            b"action" | b"msgtype" => cursor.plain_string().map(|_| ()),
            b"seq" | b"corpid" => cursor.unread(),
            _ => {
                bodies += 1;
                match texts {
                    Some(texts) => cursor.body(texts),
                    None => cursor.items(),
                }
            }
        })?;
        self.space();
        let all = [&b"msgid"[..], b"from", b"tolist", b"msgtime", b"action", b"msgtype"];
        (self.at == self.line.len() && bodies == 1 && all.iter().all(|key| keys.contains(key))).then_some(())
    }

    /// An object of plain values, some of them texts.
    fn body(&mut self, texts: &[&str]) -> Option<()> {
        self.object(|cursor, key| {
            let is_text = texts.iter().any(|text| text.as_bytes() == key);
            match cursor.peek()? {
                b'"' => cursor.string(if is_text { Slot::Text } else { Slot::Unread }),
                // A number of a text's key would be read as a text.
                _ if is_text => None,
                _ => cursor.unread(),
            }
        })?;
        Some(())
    }

    /// A body with items: `{"title":"…","item":[{"type":"text","content":"{\"content\":\"…\"}"}]}`.
    fn items(&mut self) -> Option<()> {
        self.object(|cursor, key| match key {
            b"title" => cursor.string(Slot::Text),
            b"item" => cursor.item_list(),
            _ => None,
        })?;
        Some(())
    }

    fn item_list(&mut self) -> Option<()> {
        self.take(b'[')?;
        for _ in 0..ITEMS_MAX {
            self.space();
            self.item()?;
            if self.take(b',').is_none() {
                return self.take(b']');
            }
        }
        None
    }

    /// An item. Its type belongs to the shape, and says what the content is.
    fn item(&mut self) -> Option<()> {
        let mut ahead = Cursor { line: self.line, at: self.at, done: self.at, steps: Vec::new() };
        let mut msgtype: Option<&[u8]> = None;
        ahead.object(|cursor, key| match key {
            b"type" => cursor.plain_string().map(|name| msgtype = Some(name)),
            _ => cursor.unread(),
        })?;
        self.object(|cursor, key| match (key, msgtype?) {
            (b"type", _) => cursor.plain_string().map(|_| ()),
            (b"content", b"text" | b"ChatRecordText") => cursor.nested_text(),
            (b"content", b"image" | b"ChatRecordImage" | b"ChatRecordVideo" | b"ChatRecordVoice") => {
                cursor.string(Slot::Unread)
            }
            (b"content", _) => None,
            _ => cursor.unread(),
        })?;
        Some(())
    }

    /// `"{\"content\":\"…\"}"`, to which the shape adds all but the text.
    fn nested_text(&mut self) -> Option<()> {
        const FRONTS: [&[u8]; 2] = [br#""{\"content\":\""#, br#""{\"content\": \""#];
        const BACK: &[u8] = br#"\"}""#;
        let rest = self.line.get(self.at..)?;
        let front = FRONTS.into_iter().find(|front| rest.starts_with(front))?;
        let begin = self.at + front.len();
        let end = begin + memchr::memmem::find(self.line.get(begin..)?, BACK)?;
        self.value(Slot::NestedText, begin, end);
        (self.done, self.at) = (end, end + BACK.len());
        Some(())
    }

    /// Gives the keys, none of which comes twice.
    fn object(&mut self, mut member: impl FnMut(&mut Self, &'a [u8]) -> Option<()>) -> Option<Vec<&'a [u8]>> {
        let mut keys = Vec::new();
        self.take(b'{')?;
        loop {
            self.take(b'"')?;
            let end = plain_end(self.line, self.at)?;
            let key = self.line.get(self.at..end)?;
            self.at = end + 1;
            if keys.len() >= KEYS_MAX || keys.contains(&key) {
                return None;
            }
            keys.push(key);
            self.take(b':')?;
            self.space();
            member(self, key)?;
            self.space();
            if self.take(b',').is_none() {
                self.take(b'}')?;
                return Some(keys);
            }
        }
    }

    fn receivers(&mut self) -> Option<()> {
        self.take(b'[')?;
        self.take(b'"')?;
        let first = self.at;
        let mut end = id_end(self.line, first)?;
        self.at = end + 1;
        while self.take(b',').is_some() {
            self.take(b'"')?;
            end = id_end(self.line, self.at)?;
            self.at = end + 1;
        }
        self.value(Slot::Receivers, first, end);
        self.take(b']')
    }

    fn string(&mut self, slot: Slot) -> Option<()> {
        self.take(b'"')?;
        let end = string_end(self.line, self.at)?;
        self.value(slot, self.at, end);
        Some(())
    }

    fn plain_string(&mut self) -> Option<&'a [u8]> {
        self.take(b'"')?;
        let (begin, end) = (self.at, plain_end(self.line, self.at)?);
        self.at = end + 1;
        self.line.get(begin..end)
    }

    fn number(&mut self, slot: Slot) -> Option<()> {
        let (_, end) = number(self.line, self.at)?;
        self.step(slot);
        (self.done, self.at) = (end, end);
        Some(())
    }

    /// A value that is not read. Names belong to the shape: there are only three.
    fn unread(&mut self) -> Option<()> {
        match self.peek()? {
            b'"' => return self.string(Slot::Unread),
            b'0'..=b'9' => return self.number(Slot::Number),
            _ => {}
        }
        let rest = self.line.get(self.at..)?;
        let name = [&b"true"[..], b"false", b"null"].into_iter().find(|name| rest.starts_with(name))?;
        self.at += name.len();
        Some(())
    }

    /// A value between quotes: those belong to the bytes around it.
    fn value(&mut self, slot: Slot, begin: usize, end: usize) {
        self.at = begin;
        self.step(slot);
        (self.done, self.at) = (end, end + 1);
    }

    fn step(&mut self, slot: Slot) {
        let literal = self.line.get(self.done..self.at).unwrap_or_default().into();
        self.steps.push(Step { literal, slot });
    }

    fn peek(&self) -> Option<u8> {
        self.line.get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t')) {
            self.at += 1;
        }
    }

    /// Takes one byte, with space before it.
    fn take(&mut self, byte: u8) -> Option<()> {
        let before = self.at;
        self.space();
        if self.peek() != Some(byte) {
            self.at = before;
            return None;
        }
        self.at += 1;
        Some(())
    }
}

/// The texts of a line read by its shape, in their order, if it says what it says when it is parsed.
fn says(shapes: &Shapes, line: &[u8], message: &Message) -> Option<Vec<String>> {
    let mut receivers = Vec::new();
    let mut texts = Strings::default();
    let (values, end) = shapes.read(line, 0, &mut receivers, &mut texts)?;
    let mut expected: Vec<&str> = message.all_texts().map(|text| text.text.as_str()).collect();
    let mut read: Vec<&str> = texts.0.iter().map(String::as_str).filter(|text| !text.is_empty()).collect();
    expected.sort_unstable();
    read.sort_unstable();
    (end == line.len() && read == expected && says_envelope(line, &values, &receivers, message)).then_some(texts.0)
}

fn says_envelope(line: &[u8], values: &Values, receivers: &[Span], message: &Message) -> bool {
    let part = |span: Span| line.get(span.0 as usize..span.1 as usize).unwrap_or_default();
    let to = receivers.iter().map(|receiver| part(*receiver));
    part(values.msgid) == message.msgid.as_deref().unwrap_or_default().as_bytes()
        && part(values.from) == message.from.as_bytes()
        && (message.room.as_deref()).is_none_or(|room| part(values.room) == room.as_bytes())
        && Some(values.msgtime) == message.msgtime
        && to.eq(message.to.iter().map(String::as_bytes))
}

/// Texts read by a JSON parser.
#[derive(Default)]
struct Strings(Vec<String>);

impl Texts for Strings {
    fn take(&mut self, bytes: &[u8], at: usize) -> Option<usize> {
        let end = string_end(bytes, at)?;
        self.0.push(unescaped(bytes.get(at..end)?)?);
        Some(end)
    }

    fn take_nested(&mut self, bytes: &[u8], at: usize) -> Option<usize> {
        let end = at + memchr::memmem::find(bytes.get(at..)?, br#"\"}""#)?;
        self.0.push(unescaped(unescaped(bytes.get(at..end)?)?.as_bytes())?);
        Some(end)
    }
}

/// What stands between the quotes of a JSON string.
pub(super) fn unescaped(inside: &[u8]) -> Option<String> {
    if !inside.contains(&b'\\') {
        return String::from_utf8(inside.to_vec()).ok();
    }
    from_slice(&[b"\"", inside, b"\""].concat()).ok()
}
