//! Workbooks (`.xlsx`): an archive of XML. Rows are read as they come; only the texts that cells share are kept.

use std::io::{self, BufRead, BufReader, Read, Seek};

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};
use watchpost_policy::parse::Defect;

use super::input::{Made, Shared, Source};
use super::packed::{Member, open_member};
use super::table::{Columns, Merged, Names};
use super::xml::push_entity;
use super::{Carried, Limits, Reading, mark};
use crate::aside::Aside;

/// Texts that cells share.
const SHARED_MAX: usize = 2_000_000;
/// Columns looked at; tables of messages have some dozen.
const COLUMNS_MAX: usize = 256;
/// Rows above the header: titles, filters, empty ones.
const ROWS_ABOVE_MAX: usize = 20;
/// Elements inside each other; those of a sheet are eight deep.
const DEPTH_MAX: usize = 64;
/// Lines made at once.
const MADE_BYTES: usize = 64 * 1024;

/// The parts of a workbook that matter.
pub(super) struct Parts {
    shared: Option<Member>,
    /// In reverse order.
    sheets: Vec<Member>,
}

impl Parts {
    /// The parts among the files of an archive; `None` when that is no workbook.
    pub(super) fn of(members: &[(String, Member)]) -> Option<Self> {
        let named = |wanted: &str| members.iter().find(|(name, _)| name == wanted);
        named("xl/workbook.xml")?;
        let is_sheet = |name: &str| name.starts_with("xl/worksheets/") && name.ends_with(".xml");
        let mut sheets: Vec<_> = members.iter().filter(|(name, _)| is_sheet(name)).collect();
        // `sheet10` comes behind `sheet2`.
        sheets.sort_by_key(|(name, _)| std::cmp::Reverse((name.len(), name)));
        Some(Self {
            shared: named("xl/sharedstrings.xml").map(|(_, member)| *member),
            sheets: sheets.into_iter().map(|(_, member)| *member).collect(),
        })
    }
}

/// The rows of every sheet that is a table of messages.
pub(super) fn lines<'a, R: Read + Seek + 'a>(
    export: Shared<R>,
    size: u64,
    parts: Parts,
    reading: &Reading,
) -> io::Result<Carried<'a>> {
    let limits = reading.limits;
    let shared = match parts.shared {
        Some(member) => shared_texts(Xml::open(&export, member, limits)?, limits.shared_bytes_max)?,
        None => Vec::new(),
    };
    let left = limits.unpacked_max(size);
    let workbook = Workbook {
        export,
        sheets: parts.sheets,
        limits,
        names: reading.names.clone(),
        shared,
        sheet: None,
        merged: Merged::default(),
        any: false,
        left,
    };
    Ok(Carried { lines: Box::new(Made::new(workbook)), carrier: "xlsx".to_owned() })
}

fn shared_texts(mut xml: Xml<'_>, bytes_max: usize) -> io::Result<Vec<Box<str>>> {
    let (mut texts, mut bytes): (Vec<Box<str>>, _) = (Vec::new(), 0);
    while xml.find("si")? {
        let text = xml.text_until("si")?;
        bytes += text.len();
        if bytes > bytes_max || texts.len() >= SHARED_MAX {
            return Err(Aside::TooLarge.into());
        }
        texts.push(text.into());
    }
    Ok(texts)
}

struct Workbook<'a, R> {
    export: Shared<R>,
    /// Those to come, the next one last.
    sheets: Vec<Member>,
    limits: Limits,
    names: Names,
    shared: Vec<Box<str>>,
    sheet: Option<Sheet<'a>>,
    merged: Merged,
    /// Whether a sheet was a table of messages.
    any: bool,
    /// Bytes of lines that may still be made: a text that cells share may be in any number of them.
    left: u64,
}

/// A sheet while it is read.
struct Sheet<'a> {
    xml: Xml<'a>,
    columns: Option<Columns>,
    /// Rows looked at for a header.
    above: usize,
}

impl<'a, R: Read + Seek + 'a> Source for Workbook<'a, R> {
    fn more(&mut self, out: &mut Vec<u8>) -> io::Result<bool> {
        let begin = out.len();
        let more = self.rows(out)?;
        let made = (out.len() - begin) as u64;
        self.left = self.left.checked_sub(made).ok_or(Aside::Bomb)?;
        Ok(more)
    }
}

impl<'a, R: Read + Seek + 'a> Workbook<'a, R> {
    fn rows(&mut self, out: &mut Vec<u8>) -> io::Result<bool> {
        let Some(sheet) = &mut self.sheet else {
            let Some(member) = self.sheets.pop() else {
                return if self.any { Ok(false) } else { Err(Aside::Unrecognised.into()) };
            };
            self.sheet = Some(Sheet { xml: Xml::open(&self.export, member, self.limits)?, columns: None, above: 0 });
            return Ok(true);
        };
        while out.len() < MADE_BYTES {
            match sheet.xml.row(&self.shared, self.limits.record_bytes_max)? {
                Some(Ok(cells)) => {
                    let Some(columns) = &sheet.columns else {
                        sheet.columns = Columns::of(&cells, &self.names);
                        self.any |= sheet.columns.is_some();
                        sheet.above += 1;
                        if sheet.columns.is_none() && sheet.above > ROWS_ABOVE_MAX {
                            self.sheet = None;
                            break;
                        }
                        continue;
                    };
                    row(columns, cells, &mut self.merged, out);
                }
                Some(Err(defect)) => mark(defect, out),
                None => {
                    self.merged.end(out);
                    self.sheet = None;
                    break;
                }
            }
        }
        Ok(true)
    }
}

fn row(columns: &Columns, mut cells: Vec<String>, merged: &mut Merged, out: &mut Vec<u8>) {
    if cells.iter().any(|cell| !cell.is_empty()) {
        cells.resize(columns.len(), String::new());
        merged.add(columns.entry(&cells), out);
    }
}

/// XML as a stream of bounded memory.
struct Xml<'a> {
    reader: Reader<Metered<'a>>,
    event: Vec<u8>,
    /// Elements that are open.
    depth: usize,
    /// Bytes of one text.
    text_bytes_max: usize,
}

impl<'a> Xml<'a> {
    fn open<R: Read + Seek + 'a>(export: &Shared<R>, member: Member, limits: Limits) -> io::Result<Self> {
        let input: Box<dyn BufRead + 'a> = Box::new(BufReader::new(open_member(export, member, limits)?));
        let metered = Metered { input, left: limits.record_bytes_max, bytes_max: limits.record_bytes_max };
        let mut reader = Reader::from_reader(metered);
        reader.config_mut().expand_empty_elements = true;
        Ok(Self { reader, event: Vec::new(), depth: 0, text_bytes_max: limits.shared_bytes_max })
    }

    fn next(&mut self) -> io::Result<Event<'_>> {
        self.event.clear();
        let metered = self.reader.get_mut();
        metered.left = metered.bytes_max;
        let event = self.reader.read_event_into(&mut self.event).map_err(|error| match error {
            quick_xml::Error::Io(error) => match Aside::of(&error) {
                Aside::Unreadable => Aside::Corrupt.into(),
                aside => aside.into(),
            },
            _ => io::Error::from(Aside::Corrupt),
        })?;
        match event {
            Event::Start(_) => self.depth += 1,
            Event::End(_) => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
        if self.depth > DEPTH_MAX { Err(Aside::Corrupt.into()) } else { Ok(event) }
    }

    /// Goes on to where the next such element begins; `false` when there is none.
    fn find(&mut self, element: &str) -> io::Result<bool> {
        loop {
            match self.next()? {
                Event::Start(start) if start.local_name().as_ref() == element => return Ok(true),
                Event::Eof => return Ok(false),
                _ => {}
            }
        }
    }

    /// The text up to the end of an element that has begun, without what only says how it is read aloud.
    fn text_until(&mut self, element: &str) -> io::Result<String> {
        let (mut text, mut aloud) = (String::new(), 0_usize);
        // White space between elements is nobody's text.
        let mut is_text = false;
        loop {
            match self.next()? {
                Event::Start(start) => {
                    let name = start.local_name();
                    aloud += usize::from(name.as_ref() == "rPh");
                    is_text = matches!(name.as_ref(), "t" | "v");
                }
                Event::End(end) => {
                    let name = end.local_name();
                    aloud -= usize::from(name.as_ref() == "rPh" && aloud > 0);
                    is_text = false;
                    if name.as_ref() == element {
                        return Ok(text);
                    }
                }
                Event::Text(part) if aloud == 0 && is_text => text.push_str(&part),
                Event::CData(part) if aloud == 0 && is_text => text.push_str(&part),
                Event::GeneralRef(entity) if aloud == 0 && is_text => push_entity(&entity, &mut text),
                Event::Eof => return Err(Aside::Corrupt.into()),
                _ => {}
            }
            if text.len() > self.text_bytes_max {
                return Err(Aside::TooLarge.into());
            }
        }
    }

    /// The cells of the next row, or why it is none; `None` at the end of the sheet.
    fn row(&mut self, shared: &[Box<str>], bytes_max: usize) -> io::Result<Option<Result<Vec<String>, Defect>>> {
        if !self.find("row")? {
            return Ok(None);
        }
        let (mut cells, mut bytes): (Vec<String>, _) = (Vec::new(), 0);
        let mut place = 0;
        loop {
            let kind = match self.next()? {
                Event::Start(start) if start.local_name().as_ref() == "c" => {
                    place = column(&start).unwrap_or(place);
                    attribute(&start, "t")
                }
                Event::End(end) if end.local_name().as_ref() == "row" => break,
                Event::Eof => return Err(Aside::Corrupt.into()),
                _ => continue,
            };
            let written = self.text_until("c")?;
            let cell = match kind.as_deref() {
                Some("s") => {
                    written.trim().parse().ok().and_then(|at: usize| shared.get(at)).map_or("", |text| text).to_owned()
                }
                Some(_) => written,
                None => number(&written),
            };
            bytes += cell.len();
            if place < COLUMNS_MAX && bytes <= bytes_max {
                cells.resize(cells.len().max(place + 1), String::new());
                if let Some(empty) = cells.get_mut(place) {
                    *empty = cell;
                }
            }
            place += 1;
        }
        Ok(Some(if bytes > bytes_max { Err(Defect::RecordTooLong) } else { Ok(cells) }))
    }
}

fn attribute(start: &BytesStart<'_>, wanted: &str) -> Option<String> {
    let found = start.attributes().flatten().find(|attribute| attribute.key.as_ref() == wanted);
    found.map(|attribute| attribute.value.into_owned())
}

/// The column a cell says it stands in: `C` of `C12` is 2.
fn column(start: &BytesStart<'_>) -> Option<usize> {
    let place = attribute(start, "r")?;
    let letters = place.bytes().take_while(u8::is_ascii_alphabetic).take(4);
    let number = letters.fold(0, |number, letter| number * 26 + usize::from(letter.to_ascii_uppercase() - b'A') + 1);
    number.checked_sub(1)
}

/// A number as people would write it: whole ones without an exponent.
fn number(written: &str) -> String {
    const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;
    match written.parse::<f64>() {
        Ok(value) if value.fract() == 0.0 && value.abs() < WHOLE_MAX && written.contains(['E', 'e', '.']) => {
            format!("{value}")
        }
        _ => written.to_owned(),
    }
}

/// Ends with an error where one event would take more bytes than a record may.
struct Metered<'a> {
    input: Box<dyn BufRead + 'a>,
    left: usize,
    bytes_max: usize,
}

impl Read for Metered<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.input.read(out)
    }
}

impl BufRead for Metered<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.left == 0 { Err(Aside::TooLarge.into()) } else { self.input.fill_buf() }
    }

    fn consume(&mut self, bytes: usize) {
        self.left = self.left.saturating_sub(bytes);
        self.input.consume(bytes);
    }
}
