//! The row that `scan --format jsonl` prints for a finding.

use serde::Serialize;

use crate::engine::{Finding, Hit};
use crate::matcher::Channel;
use crate::message::Message;
use crate::rules::Level;
use crate::windows::{Held, Window};

/// One finding as one JSON object. Everything is in clear: it stays where the export lies.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ScanRow<'a> {
    /// Rule id.
    pub rule: &'a str,
    /// Pack id.
    pub pack: &'a str,
    /// Level.
    pub level: Level,
    /// Category.
    pub category: &'a str,
    /// Export file.
    pub file: &'a str,
    /// Line in the file, from 1.
    pub line: u64,
    /// Message id.
    pub msgid: Option<&'a str>,
    /// Milliseconds since the Unix epoch, UTC.
    pub msgtime: Option<i64>,
    /// Sender as in the export.
    pub from: &'a str,
    /// Receivers as in the export.
    pub to: &'a [String],
    /// Room id.
    pub roomid: Option<&'a str>,
    /// Message type.
    pub msgtype: &'a str,
    /// The hits.
    pub hits: Vec<ScanHit<'a>>,
    /// The window, where the finding is about one; file, line and message are then those of its first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<ScanWindow>,
}

/// Several messages together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ScanWindow {
    /// What was measured: `count`, `distinct`, `sum`, `all`, `join` or `reply`.
    pub kind: &'static str,
    /// Time of the first message in it, milliseconds since the Unix epoch, UTC.
    pub first_msgtime: i64,
    /// Time of the last message in it; of a `reply`, of the answer.
    pub last_msgtime: i64,
    /// Messages in it; of a `reply`, waits that were too long.
    pub count: u64,
    /// What was measured: messages, different values, fen, selections, hits, or milliseconds of work time waited.
    pub value: i64,
    /// Nobody has answered.
    pub open: bool,
}

/// One hit of a row. Offsets count characters of the original text of the field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ScanHit<'a> {
    /// The word as its author wrote it.
    pub word: &'a str,
    /// Name of the selection.
    pub selection: &'a str,
    /// Field of the text.
    pub field: &'a str,
    /// First character.
    pub start: u32,
    /// Behind the last character.
    pub end: u32,
    /// How the word was recognised.
    pub channel: Channel,
}

impl<'a> ScanRow<'a> {
    /// Makes the row.
    #[must_use]
    pub fn new(finding: &'a Finding, message: &'a Message, file: &'a str, line: u64) -> Self {
        Self {
            rule: &finding.rule,
            pack: &finding.pack,
            level: finding.level,
            category: &finding.category,
            file,
            line,
            msgid: message.msgid.as_deref(),
            msgtime: message.msgtime,
            from: &message.from,
            to: &message.to,
            roomid: message.room.as_deref(),
            msgtype: &message.msgtype,
            hits: finding.hits.iter().map(ScanHit::new).collect(),
            window: None,
        }
    }

    /// The same row, about a window that begins with its message.
    #[must_use]
    pub fn of_window(self, window: &Window, held: &Held) -> Self {
        let window = ScanWindow {
            kind: window.kind.as_str(),
            first_msgtime: held.first_ms,
            last_msgtime: held.last_ms,
            count: held.count,
            value: held.value,
            open: held.open,
        };
        Self { window: Some(window), ..self }
    }
}

impl<'a> ScanHit<'a> {
    fn new(hit: &'a Hit) -> Self {
        Self {
            word: &hit.word,
            selection: &hit.selection,
            field: &hit.field,
            start: hit.start,
            end: hit.end,
            channel: hit.channel,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Engine, Scratch};
    use crate::message::Corp;
    use crate::packs;
    use crate::parse::parse_line;

    /// The fields are a promise to whoever reads the output by machine.
    #[test]
    fn a_row_has_exactly_the_promised_fields() {
        let line = r#"{"msgid":"m1","action":"send","from":"li.na","tolist":["wmExAmPlEAAA0001customerAAAAAAAA"],"roomid":"","msgtime":1772416861007,"msgtype":"text","text":{"content":"您加我私微吧"}}"#;
        let message = parse_line(line.as_bytes()).message.unwrap();
        let engine = Engine::compile(packs::builtin().unwrap(), None).unwrap();
        let findings = engine.evaluate(&Corp::new("ww1"), &message, &mut Scratch::default());
        let row = serde_json::to_value(ScanRow::new(&findings[0], &message, "a.jsonl", 7)).unwrap();
        assert_eq!(
            row,
            serde_json::json!({
                "rule": "diversion.private-contact", "pack": "customer-diversion", "level": "high", "category": "customer-diversion",
                "file": "a.jsonl", "line": 7, "msgid": "m1", "msgtime": 1_772_416_861_007_i64, "from": "li.na",
                "to": ["wmExAmPlEAAA0001customerAAAAAAAA"], "roomid": null, "msgtype": "text",
                "hits": [{ "word": "加我私微", "selection": "ask", "field": "text.content", "start": 1, "end": 5, "channel": "exact" }],
            })
        );
    }
}
