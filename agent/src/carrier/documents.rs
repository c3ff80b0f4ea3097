//! JSON that is not one message a line: whole responses, arrays, values spread over lines. Every message in it becomes a line of its own.
//!
//! Values are told apart by their brackets and strings alone; whether one is a message is for the parser to say. A list of messages is an array
//! that stands alone, or one under a known key of an object that is itself no message; what else such an object has is left out. A line break
//! inside a string, which JSON forbids, means that a line was torn, and so does a whole message on a line inside of another, or a value that begins
//! a line where the lines are indented: what was begun is given as it is, and the next line starts afresh.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{self, Read};

use memchr::memchr3;
use serde::de::IgnoredAny;
use watchpost_policy::parse::Defect;

use super::input::{Made, Source};
use super::{Limits, READ_BYTES, mark};

/// Keys of lists of messages, in responses and in what vendors make of them.
const LISTS: [&[u8]; 15] = [
    b"chatdata",
    b"msg_list",
    b"messages",
    b"message_list",
    b"msgs",
    b"list",
    b"records",
    b"record_list",
    b"rows",
    b"items",
    b"data",
    b"result",
    // Of interfaces beside the archive.
    b"agreeinfo",
    b"bill_list",
    b"failed_chat_list",
];
/// Keys of lists in answers of such interfaces, which begin with `errcode`; elsewhere they are anybody's.
const LISTS_OF_ANSWERS: [&[u8]; 2] = [b"customer", b"info"];
/// What answers begin with.
const ANSWER: &[u8] = b"errcode";
/// Keys of objects that a list may stand in.
const WRAPS: [&[u8]; 5] = [b"data", b"result", b"response", b"body", b"payload"];
/// Keys by which a whole message on a line is told from parts of one.
const OF_WHOLE: [&[u8]; 2] = [b"msgid", b"message_id"];
/// Keys only a message has, so that whatever is in it is a part of it.
const OF_MESSAGES: [&[u8]; 5] = [b"msgid", b"msgtype", b"msgtime", b"tolist", b"message_id"];
/// Brackets inside each other that are followed; the parser refuses what is deeper.
const DEPTH_MAX: usize = 1_000;
/// Bytes of a key that may be one of the known ones.
const KEY_BYTES_MAX: usize = 16;

/// Whether a line is one whole JSON value.
pub(super) fn is_whole(line: &[u8]) -> bool {
    serde_json::from_slice::<IgnoredAny>(line).is_ok()
}

/// Whether a line is a whole message.
fn is_message(line: &[u8]) -> bool {
    let keys = serde_json::from_slice::<BTreeMap<Cow<'_, str>, IgnoredAny>>(line).unwrap_or_default();
    keys.keys().any(|key| OF_WHOLE.contains(&key.to_ascii_lowercase().as_bytes()))
}

/// Whether a whole JSON value holds many messages.
pub(super) fn holds_many(value: &[u8]) -> bool {
    let mut splitter = Splitter::new(Limits::default());
    splitter.take(value, &mut Vec::new());
    splitter.lists > 0
}

/// Every message as a line of its own.
pub(super) fn lines<'a>(input: impl Read + 'a, limits: Limits) -> impl Read + 'a {
    Made::new(Documents { input, buffer: vec![0; READ_BYTES], splitter: Splitter::new(limits) })
}

struct Documents<R> {
    input: R,
    buffer: Vec<u8>,
    splitter: Splitter,
}

impl<R: Read> Source for Documents<R> {
    fn more(&mut self, out: &mut Vec<u8>) -> io::Result<bool> {
        let read = self.input.read(&mut self.buffer)?;
        if read == 0 {
            self.splitter.end(out);
            return Ok(false);
        }
        self.splitter.take(&self.buffer[..read], out);
        Ok(true)
    }
}

/// Where the splitter stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Between,
    /// In a string; whether the next byte is escaped.
    String(bool),
    /// In something that begins no value, up to the end of its line.
    Garbage,
}

/// How far a line has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    Start,
    /// Nothing but white space so far.
    Blank,
    Begun,
}

/// A bracket that is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Open {
    /// An object that may turn out to hold a list of messages.
    Wrap,
    /// A list of messages.
    List,
    /// A part of an entry.
    Inner,
}

struct Splitter {
    limits: Limits,
    state: State,
    open: Vec<Open>,
    /// Brackets open beyond [`DEPTH_MAX`].
    deeper: usize,
    /// The entry begun, as far as it is read; nothing while it is too long.
    entry: Vec<u8>,
    is_too_long: bool,
    /// Whether the entry begun has been found to be a wrap, which is not given.
    is_wrap: bool,
    /// Whether a list was given that stood in a message.
    is_mistaken: bool,
    /// Whether the entry begun is an answer.
    is_answer: bool,
    /// The last string between brackets, which is a key if a bracket follows.
    key: Vec<u8>,
    /// Lists of messages seen.
    lists: usize,
    line: Line,
    /// Whether lines of the entry begin without indentation.
    is_flat: bool,
    /// The line, if it begins like a message inside of an entry, and how long the entry was before it.
    alone: Option<(Vec<u8>, usize)>,
}

impl Splitter {
    fn new(limits: Limits) -> Self {
        Self {
            limits,
            state: State::Between,
            open: Vec::new(),
            deeper: 0,
            entry: Vec::new(),
            is_too_long: false,
            is_wrap: false,
            is_mistaken: false,
            is_answer: false,
            key: Vec::new(),
            lists: 0,
            line: Line::Start,
            is_flat: false,
            alone: None,
        }
    }

    /// Takes more bytes.
    fn take(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) {
        while !bytes.is_empty() {
            let taken = match self.state {
                State::Between => self.between(bytes, out),
                State::String(escaped) => self.string(bytes, escaped, out),
                State::Garbage => self.garbage(bytes, out),
            };
            bytes = bytes.get(taken..).unwrap_or_default();
        }
    }

    /// There is no more. What was begun is given unended.
    fn end(&mut self, out: &mut Vec<u8>) {
        self.line_ended(out);
        if self.is_too_long {
            mark(Defect::RecordTooLong, out);
        } else if !self.is_wrap {
            out.append(&mut self.entry);
        }
        self.restart();
    }

    fn restart(&mut self) {
        *self = Self { lists: self.lists, ..Self::new(self.limits) };
    }

    fn between(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> usize {
        // Inside an entry nothing but strings, brackets and the ends of lines matters.
        if self.in_entry() {
            let plain = bytes.iter().position(|byte| matches!(byte, b'"' | b'{' | b'}' | b'[' | b']' | b'\n' | b':'));
            let plain = plain.unwrap_or(bytes.len());
            if plain > 0 {
                let begin = bytes[..plain].iter().position(|byte| !byte.is_ascii_whitespace());
                self.line_goes_on(begin.map_or(b' ', |at| bytes[at]), out);
                self.push(&bytes[..plain]);
                return plain;
            }
        }
        let Some(byte) = bytes.first() else { return 0 };
        self.line_goes_on(*byte, out);
        match byte {
            b'"' => {
                self.key.clear();
                self.state = State::String(false);
                self.push(b"\"");
            }
            b'{' | b'[' => {
                self.is_flat &= self.in_entry();
                self.is_answer &= self.in_entry();
                self.opened(*byte);
            }
            b'}' | b']' => self.closed(*byte, out),
            b':' => {
                self.keyed();
                if self.in_entry() {
                    self.push(b":");
                }
            }
            b'\n' if self.in_entry() => self.push(b"\n"),
            _ if byte.is_ascii_whitespace() || b",:".contains(byte) || !self.open.is_empty() => {}
            // The mark of UTF-8, at the beginning.
            0xEF | 0xBB | 0xBF => {}
            _ => {
                self.state = State::Garbage;
                return 0;
            }
        }
        1
    }

    /// The next byte of the line; an entry that it shows to be torn is given.
    fn line_goes_on(&mut self, byte: u8, out: &mut Vec<u8>) {
        let before = self.line;
        if byte == b'\n' {
            self.line = Line::Start;
        } else if before != Line::Begun {
            self.line = if byte.is_ascii_whitespace() { Line::Blank } else { Line::Begun };
        }
        if !self.in_entry() {
            return;
        }
        if byte == b'\n' {
            self.line_ended(out);
        } else if before == Line::Start && byte == b'{' && !self.is_flat {
            // Inside of an entry whose lines are indented, or that was to be one line, nothing begins here: it was torn.
            self.torn(out);
            self.line = Line::Begun;
        } else if before == Line::Start && byte == b'{' {
            self.alone = Some((Vec::new(), self.entry.len()));
        } else if before == Line::Start && self.line == Line::Begun {
            self.is_flat |= !b"}]".contains(&byte);
        }
    }

    /// A line inside of an entry ended. If it is a message of its own, the entry was torn before it.
    fn line_ended(&mut self, out: &mut Vec<u8>) {
        let Some((line, entry_bytes)) = self.alone.take() else { return };
        if is_message(&line) {
            self.entry.truncate(entry_bytes);
            self.torn(out);
            out.extend_from_slice(line.trim_ascii());
            out.push(b'\n');
        }
    }

    fn in_entry(&self) -> bool {
        !matches!(self.open.last(), None | Some(Open::List))
    }

    fn string(&mut self, bytes: &[u8], escaped: bool, out: &mut Vec<u8>) -> usize {
        if escaped {
            self.state = State::String(false);
            match bytes.first() {
                Some(b'\n') => self.torn(out),
                _ => self.push(&bytes[..1]),
            }
            return 1;
        }
        let end = memchr3(b'"', b'\\', b'\n', bytes).unwrap_or(bytes.len());
        let inside = &bytes[..end];
        if self.key.len() <= KEY_BYTES_MAX {
            self.key.extend_from_slice(&inside[..inside.len().min(KEY_BYTES_MAX + 1)]);
        }
        self.push(inside);
        match bytes.get(end) {
            Some(b'"') => {
                self.push(b"\"");
                self.state = State::Between;
                // A string where an entry belongs.
                if !self.in_entry() {
                    self.entry_ended(out);
                }
            }
            Some(b'\\') => {
                self.push(b"\\");
                self.state = State::String(true);
            }
            Some(_) => self.torn(out),
            None => {}
        }
        (end + 1).min(bytes.len())
    }

    /// The last string was a key.
    fn keyed(&mut self) {
        self.key.make_ascii_lowercase();
        self.is_answer |= self.key == ANSWER && matches!(self.open[..], [Open::Wrap] | [Open::List, Open::Wrap]);
        if let Some(open @ Open::Wrap) = self.open.last_mut()
            && OF_MESSAGES.contains(&self.key.as_slice())
        {
            *open = Open::Inner;
            // It is a message after all, and what was taken for a list in it is given already.
            self.is_mistaken = self.is_wrap;
        }
    }

    /// A line ends inside a string: it was torn. What it has is given as it is.
    fn torn(&mut self, out: &mut Vec<u8>) {
        if self.is_too_long {
            mark(Defect::RecordTooLong, out);
        } else {
            out.append(&mut self.entry);
            out.push(b'\n');
        }
        self.restart();
    }

    fn garbage(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> usize {
        let end = memchr::memchr(b'\n', bytes).unwrap_or(bytes.len());
        self.push(&bytes[..end]);
        if end < bytes.len() {
            self.torn(out);
        }
        (end + 1).min(bytes.len())
    }

    fn opened(&mut self, bracket: u8) {
        if self.open.len() >= DEPTH_MAX {
            self.deeper += 1;
            self.push(&[bracket]);
            return;
        }
        let known = |keys: &[&[u8]]| keys.contains(&self.key.as_slice());
        let open = match (bracket, self.open.last()) {
            (b'{', None | Some(Open::List)) => Open::Wrap,
            (b'{', Some(Open::Wrap)) if known(&WRAPS) => Open::Wrap,
            (b'[', None) => Open::List,
            (b'[', Some(Open::Wrap)) if known(&LISTS) || self.is_answer && known(&LISTS_OF_ANSWERS) => Open::List,
            _ => Open::Inner,
        };
        self.open.push(open);
        if open == Open::List {
            // Whatever holds a list is no entry itself.
            self.lists += 1;
            self.entry.clear();
            (self.is_wrap, self.is_too_long) = (false, false);
        } else {
            self.push(&[bracket]);
        }
        self.key.clear();
    }

    fn closed(&mut self, bracket: u8, out: &mut Vec<u8>) {
        if self.deeper > 0 {
            self.deeper -= 1;
            self.push(&[bracket]);
            return;
        }
        match self.open.pop() {
            None => {}
            Some(Open::List) => {
                self.entry.clear();
                // What is still open around the list is what held it.
                self.is_wrap = !self.open.is_empty();
            }
            Some(Open::Wrap | Open::Inner) => {
                self.push(&[bracket]);
                if !self.in_entry() {
                    self.entry_ended(out);
                }
            }
        }
    }

    fn entry_ended(&mut self, out: &mut Vec<u8>) {
        if std::mem::take(&mut self.is_mistaken) {
            mark(Defect::NotAMessage, out);
        } else if self.is_too_long {
            mark(Defect::RecordTooLong, out);
        } else if !self.is_wrap {
            out.append(&mut self.entry);
            out.push(b'\n');
        }
        self.entry.clear();
        (self.is_wrap, self.is_too_long) = (false, false);
    }

    /// Adds bytes to the entry, on one line.
    fn push(&mut self, bytes: &[u8]) {
        if let Some((line, _)) = &mut self.alone
            && line.len() + bytes.len() <= self.limits.record_bytes_max
        {
            line.extend_from_slice(bytes);
        }
        if self.is_too_long || self.is_wrap {
            return;
        }
        if self.entry.len() + bytes.len() > self.limits.record_bytes_max {
            self.entry = Vec::new();
            self.is_too_long = true;
            return;
        }
        let begin = self.entry.len();
        self.entry.extend_from_slice(bytes);
        for byte in &mut self.entry[begin..] {
            if *byte == b'\n' || *byte == b'\r' {
                *byte = b' ';
            }
        }
    }
}
