//! Callbacks as WeCom sends them: XML documents, one behind the other. Each becomes a JSON line with what its elements are called as keys.
//!
//! Whatever stands around the documents is passed over if it is nothing but tags and declarations.

use std::io::{self, Read};

use memchr::memmem;
use quick_xml::Reader;
use quick_xml::escape::resolve_xml_entity;
use quick_xml::events::{BytesRef, Event};
use serde_json::{Map, Value};
use watchpost_policy::parse::Defect;

use super::input::{Made, Source};
use super::text::BOM;
use super::{Limits, READ_BYTES, mark};

/// Bytes of one callback; real ones have some hundred.
const DOCUMENT_BYTES_MAX: usize = 1 << 20;
/// Elements inside each other.
const DEPTH_MAX: usize = 16;
const BEGIN: &[u8] = b"<xml";
const END: &[u8] = b"</xml>";
/// Bytes that a declaration before a document may have.
const DECLARATION_BYTES_MAX: usize = 200;

/// Whether text is made of such documents.
pub(super) fn is_meant(sample: &[u8]) -> bool {
    let sample = sample.trim_ascii_start();
    sample.starts_with(b"<") && begin_of(sample).is_some()
}

/// Every document as a line.
pub(super) fn lines<'a>(input: impl Read + 'a, limits: Limits) -> impl Read + 'a {
    let bytes_max = limits.record_bytes_max.min(DOCUMENT_BYTES_MAX);
    Made::new(Documents { input, buffer: vec![0; READ_BYTES], bytes: Vec::new(), bytes_max })
}

struct Documents<R> {
    input: R,
    buffer: Vec<u8>,
    /// Read and not given yet.
    bytes: Vec<u8>,
    bytes_max: usize,
}

impl<R: Read> Source for Documents<R> {
    fn more(&mut self, out: &mut Vec<u8>) -> io::Result<bool> {
        let read = self.input.read(&mut self.buffer)?;
        self.bytes.extend_from_slice(&self.buffer[..read]);
        let mut at = 0;
        while let Some(length) = self.document(at, out) {
            at += length;
        }
        self.bytes.drain(..at);
        if read == 0 {
            self.end(out);
        }
        Ok(read > 0)
    }
}

impl<R> Documents<R> {
    /// Gives the next document, if it is there to its end, and says how many bytes that took.
    fn document(&self, at: usize, out: &mut Vec<u8>) -> Option<usize> {
        let rest = self.bytes.get(at..)?;
        let Some(begin) = begin_of(rest) else { return self.passed(rest, out) };
        between(&rest[..begin], out);
        match end_of(&rest[begin..]) {
            End::At(length) => {
                document(&rest[begin..begin + length], out);
                Some(begin + length)
            }
            End::Torn(length) => {
                mark(Defect::Torn, out);
                Some(begin + length)
            }
            End::Open if rest.len() - begin > self.bytes_max => {
                mark(Defect::RecordTooLong, out);
                Some(rest.len())
            }
            // What stands before it is told.
            End::Open => (begin > 0).then_some(begin),
        }
    }

    /// What holds no document, but for what may be the beginning of one.
    fn passed(&self, rest: &[u8], out: &mut Vec<u8>) -> Option<usize> {
        (rest.len() > self.bytes_max).then(|| {
            between(rest, out);
            rest.len()
        })
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        let rest = std::mem::take(&mut self.bytes);
        match begin_of(&rest) {
            // It may still be written.
            Some(_) => out.push(b'{'),
            None => between(&rest, out),
        }
    }
}

/// Where a document begins.
fn begin_of(bytes: &[u8]) -> Option<usize> {
    memmem::find_iter(bytes, BEGIN).find(|at| {
        let next = bytes.get(at + BEGIN.len());
        next.is_some_and(|byte| *byte == b'>' || byte.is_ascii_whitespace())
    })
}

enum End {
    /// Behind so many bytes.
    At(usize),
    /// Another document begins there.
    Torn(usize),
    Open,
}

/// Where a document ends that begins here. What stands in CDATA is text, whatever it looks like.
fn end_of(document: &[u8]) -> End {
    const OPEN: &[u8] = b"<![CDATA[";
    const CLOSE: &[u8] = b"]]>";
    let mut at = BEGIN.len();
    while let Some(next) = document.get(at..).and_then(|rest| memchr::memchr(b'<', rest)) {
        at += next;
        let rest = &document[at..];
        if rest.starts_with(OPEN) {
            let close = memmem::find(rest, CLOSE);
            // A document that begins a line is one, even in a text that was not closed.
            let inside = rest.get(..close.unwrap_or(rest.len())).unwrap_or_default();
            if let Some(next) = line_of_document(inside) {
                return End::Torn(at + next);
            }
            match close {
                Some(close) => at += close + CLOSE.len(),
                None => return End::Open,
            }
        } else if rest.starts_with(END) {
            return End::At(at + END.len());
        } else if begin_of(&rest[..rest.len().min(BEGIN.len() + 1)]).is_some() {
            return End::Torn(at);
        } else {
            at += 1;
        }
    }
    End::Open
}

/// Where a line begins that has nothing but a document on it, and perhaps a declaration before that.
fn line_of_document(text: &[u8]) -> Option<usize> {
    memmem::find_iter(text, BEGIN).find_map(|at| {
        begin_of(text.get(at..at + BEGIN.len() + 1)?)?;
        let before = text.get(at.saturating_sub(DECLARATION_BYTES_MAX)..at)?;
        let head = before.get(memchr::memrchr(b'\n', before)? + 1..)?;
        let said = head.trim_ascii();
        let is_head = said.is_empty() || said.starts_with(b"<?xml") && said.ends_with(b"?>");
        is_head.then_some(at - head.len())
    })
}

/// What stands between documents: nothing, declarations, or what holds them together. Anything else has been torn from one.
fn between(bytes: &[u8], out: &mut Vec<u8>) {
    let mut is_tag = false;
    let mut is_text = |byte: &u8| {
        is_tag = *byte == b'<' || is_tag && *byte != b'>';
        // The mark of UTF-8 stands before each of files put together.
        !is_tag && *byte != b'>' && !byte.is_ascii_whitespace() && !BOM.contains(byte)
    };
    if bytes.iter().any(&mut is_text) || memmem::find(bytes, END).is_some() {
        mark(Defect::Torn, out);
    }
}

fn document(bytes: &[u8], out: &mut Vec<u8>) {
    let parsed = std::str::from_utf8(bytes).ok().and_then(elements);
    match parsed.and_then(|value| serde_json::to_vec(&value).ok()) {
        Some(line) => {
            out.extend_from_slice(&line);
            out.push(b'\n');
        }
        None => mark(Defect::NotJson, out),
    }
}

/// An element while it is read.
#[derive(Default)]
struct Element {
    name: String,
    text: String,
    elements: Map<String, Value>,
}

impl Element {
    /// Its elements, or its text where it has none.
    fn value(self) -> Value {
        if self.elements.is_empty() { self.text.trim().into() } else { Value::Object(self.elements) }
    }

    /// Elements of one name are a list.
    fn add(&mut self, element: Self) {
        let name = element.name.clone();
        let value = element.value();
        match self.elements.get_mut(&name) {
            Some(Value::Array(all)) => all.push(value),
            Some(first) => *first = Value::Array(vec![first.take(), value]),
            None => _ = self.elements.insert(name, value),
        }
    }
}

/// The elements of a document; `None` where it is no XML.
fn elements(document: &str) -> Option<Value> {
    let mut reader = Reader::from_str(document);
    reader.config_mut().expand_empty_elements = true;
    let mut open: Vec<Element> = Vec::new();
    loop {
        match reader.read_event().ok()? {
            Event::Start(start) if open.len() < DEPTH_MAX => {
                open.push(Element { name: start.local_name().as_ref().to_owned(), ..Element::default() });
            }
            Event::End(_) => {
                let element = open.pop()?;
                match open.last_mut() {
                    Some(parent) => parent.add(element),
                    None => return Some(element.value()),
                }
            }
            Event::Text(part) => open.last_mut()?.text.push_str(&part),
            Event::CData(part) => open.last_mut()?.text.push_str(&part),
            Event::GeneralRef(entity) => push_entity(&entity, &mut open.last_mut()?.text),
            Event::Start(_) | Event::Eof => return None,
            _ => {}
        }
    }
}

/// Adds what an entity stands for. Those of a document type are nobody's: they are not looked up.
pub(super) fn push_entity(entity: &BytesRef<'_>, text: &mut String) {
    match entity.resolve_char_ref() {
        Ok(Some(c)) => text.push(c),
        _ => text.push_str(resolve_xml_entity(entity).unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

    use std::io::Cursor;

    use super::*;

    fn read(text: &str, bytes_max: usize) -> String {
        let limits = Limits { record_bytes_max: bytes_max, ..Limits::default() };
        let mut out = String::new();
        lines(Cursor::new(text), limits).read_to_string(&mut out).unwrap();
        out.replace('\u{1}', "!")
    }

    #[test]
    fn documents_become_lines() {
        let one = "<xml><A><![CDATA[a & </xml> b]]></A><L><Item>1</Item><Item>2</Item></L><E/></xml>";
        let line = "{\"A\":\"a & </xml> b\",\"E\":\"\",\"L\":{\"Item\":[\"1\",\"2\"]}}\n";
        for (text, expected) in [
            (one.to_owned(), line.to_owned()),
            (format!("<?xml version=\"1.0\"?>\n{one}\n{one}\n"), line.repeat(2)),
            (format!("<all>{one}<!-- kept -->{one}</all>"), line.repeat(2)),
            ("<xml>\n <A>1 &lt; &#50;</A>\n</xml>".to_owned(), "{\"A\":\"1 < 2\"}\n".to_owned()),
            (format!("<xml><A>1\n{one}"), format!("!torn\n{line}")),
            (format!("<xml><A><![CDATA[1\n{one}"), format!("!torn\n{line}")),
            (
                format!("{one}\n<?xml version=\"1.0\"?><xml><A><![CDATA[1\n<?xml version=\"1.0\"?>{one}"),
                format!("{line}!torn\n{line}"),
            ),
            (format!("\u{FEFF}{one}\n\u{FEFF}{one}"), line.repeat(2)),
            (format!("a]]></A></xml>\n{one}"), format!("!torn\n{line}")),
            (format!("{one}<xml><A>1"), format!("{line}{{")),
            (format!("<xml><A>1</B></xml>{one}"), format!("!not_json\n{line}")),
            (format!("<xml>{}</xml>{one}", "<a>".repeat(20)), format!("!not_json\n{line}")),
            (
                "<xml><!DOCTYPE x [<!ENTITY e SYSTEM \"file:///x\">]><A>&e;</A></xml>".to_owned(),
                "{\"A\":\"\"}\n".to_owned(),
            ),
        ] {
            assert_eq!(read(&text, 1 << 20), expected, "{text}");
        }
        let long = format!("<xml><A>{}</A></xml>", "x".repeat(200_000));
        assert!(read(&format!("{long}{one}"), 50_000).starts_with("!record_too_long\n"));
    }
}
