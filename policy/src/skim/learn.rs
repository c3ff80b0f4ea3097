//! Learns the shape of a line: the bytes between its values, and what each value is.
//!
//! A shape is learned only of a line that [`parse_line`] reads without a defect, only of objects whose every key is understood, and only if the
//! line read by its shape says the same as the line parsed. So what is read by a shape is what parsing would have given.

use serde_json::from_slice;

use super::shape::{Shapes, Slot, Span, Step, Texts, Values};
use super::values::{id_end, number, plain_end};
use crate::message::{Action, Message, known_type};
use crate::parse::{flat_texts, parse_line};

/// Longest line a shape is learned from, in bytes: longer ones gain nothing.
const LINE_BYTES_MAX: usize = 64 * 1024;

/// Learns the shape of a line without its line end, if it has one.
pub(super) fn learn(shapes: &mut Shapes, line: &[u8]) {
    if line.len() > LINE_BYTES_MAX {
        return;
    }
    let parsed = parse_line(line);
    let Some(message) = parsed.message.filter(|_| parsed.defects.is_empty()) else { return };
    let Some(steps) = shape_of(line, &message, shapes.type_number(&message.msgtype)) else { return };
    let mut alone = Shapes::default();
    alone.add(steps.clone());
    if says(&alone, line, &message) {
        shapes.add(steps);
    }
}

/// The steps of a line that is `message`.
fn shape_of(line: &[u8], message: &Message, msgtype: usize) -> Option<Vec<Step>> {
    if !known_type(&message.msgtype) || !matches!(message.action, Action::Send | Action::Recall) {
        return None;
    }
    let texts = flat_texts(&message.msgtype)?;
    let mut cursor = Cursor { line, at: 0, done: 0, steps: Vec::new() };
    cursor.entry(texts)?;
    cursor.step(Slot::End(msgtype));
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
    fn entry(&mut self, texts: &[&str]) -> Option<()> {
        let mut keys = Vec::new();
        let mut bodies = 0;
        self.object(|cursor, key| {
            if keys.contains(&key) {
                return None;
            }
            keys.push(key);
            match key {
                b"msgid" => cursor.string(Slot::Msgid),
                b"from" => cursor.string(Slot::From),
                b"roomid" => cursor.string(Slot::Room),
                b"tolist" => cursor.receivers(),
                b"msgtime" => cursor.number(Slot::Time),
                // Their values belong to the shape.
                b"action" | b"msgtype" => cursor.plain_string(),
                b"seq" | b"corpid" => cursor.unread(),
                _ => {
                    bodies += 1;
                    cursor.body(texts)
                }
            }
        })?;
        self.space();
        let all = [&b"msgid"[..], b"from", b"tolist", b"msgtime", b"action", b"msgtype"];
        (self.at == self.line.len() && bodies == 1 && all.iter().all(|key| keys.contains(key))).then_some(())
    }

    /// An object of plain values, some of them texts.
    fn body(&mut self, texts: &[&str]) -> Option<()> {
        let mut keys = Vec::new();
        self.object(|cursor, key| {
            if keys.contains(&key) {
                return None;
            }
            keys.push(key);
            let is_text = texts.iter().any(|text| text.as_bytes() == key);
            match cursor.peek()? {
                b'"' => cursor.string(if is_text { Slot::Text } else { Slot::Unread }),
                // A number of a text's key would be read as a text.
                _ if is_text => None,
                _ => cursor.unread(),
            }
        })
    }

    fn object(&mut self, mut member: impl FnMut(&mut Self, &'a [u8]) -> Option<()>) -> Option<()> {
        self.take(b'{')?;
        loop {
            self.take(b'"')?;
            let end = plain_end(self.line, self.at)?;
            let key = self.line.get(self.at..end)?;
            self.at = end + 1;
            self.take(b':')?;
            self.space();
            member(self, key)?;
            self.space();
            if self.take(b',').is_none() {
                return self.take(b'}');
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

    fn plain_string(&mut self) -> Option<()> {
        self.take(b'"')?;
        self.at = plain_end(self.line, self.at)? + 1;
        Some(())
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

/// The closing quote of any JSON string.
fn string_end(line: &[u8], begin: usize) -> Option<usize> {
    let mut at = begin;
    loop {
        match line.get(at)? {
            b'"' => return Some(at),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

/// Whether a line read by its shape says what it says when it is parsed.
fn says(shapes: &Shapes, line: &[u8], message: &Message) -> bool {
    let mut receivers = Vec::new();
    let mut texts = Strings::default();
    let Some((values, end)) = shapes.read(line, 0, &mut receivers, &mut texts) else { return false };
    let mut expected: Vec<&str> = message.all_texts().map(|text| text.text.as_str()).collect();
    let mut read: Vec<&str> = texts.0.iter().map(String::as_str).filter(|text| !text.is_empty()).collect();
    expected.sort_unstable();
    read.sort_unstable();
    end == line.len() && read == expected && says_envelope(line, &values, &receivers, message)
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
        let end = self.pass(bytes, at)?;
        self.0.push(from_slice(bytes.get(at - 1..=end)?).ok()?);
        Some(end)
    }

    fn pass(&mut self, bytes: &[u8], at: usize) -> Option<usize> {
        string_end(bytes, at)
    }
}
