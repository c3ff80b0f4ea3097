//! What an export is carried in, told by its content and never by its name. Whatever it is, it comes out as JSON lines, so that everything behind
//! is the same for all.
//!
//! ```text
//! bytes ─► packed: gzip, zstd, bzip2, zip ─► text: UTF-8, UTF-16, GB18030 ─► form: lines, documents, callbacks, a table ─► JSON lines
//! ```
//!
//! The lines of an export are the same however often it is opened, and those of one that grew begin with the lines it had: places in them can be
//! kept. What cannot be read stands among them as a mark that counts as a defect; what ends an export early is an error that
//! [`Aside::of`] tells the reason of.

mod documents;
mod input;
mod packed;
mod sql;
mod table;
mod text;
mod workbook;
mod xml;

use std::io::{self, Read, Seek, SeekFrom};

use watchpost_policy::parse::Defect;

use crate::aside::Aside;
use input::Peek;
pub(crate) use input::Shared;
pub use table::Names;

/// First bytes an export is judged by, packed and unpacked.
const SAMPLE_BYTES: usize = 64 * 1024;

/// Bytes read at once.
const READ_BYTES: usize = 64 * 1024;

/// Bounds on what an export may unpack to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the export as it lies there.
    pub file_bytes_max: u64,
    /// Bytes an export may unpack to.
    pub unpacked_bytes_max: u64,
    /// Bytes that one packed byte may unpack to, beyond the first 64 MiB.
    pub ratio_max: u64,
    /// Files in a zip archive.
    pub members_max: usize,
    /// Bytes of one line, row or value; a longer one is a defect and passed over.
    pub record_bytes_max: usize,
    /// Bytes of the texts that cells of a workbook share: all that is kept of one.
    pub shared_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            file_bytes_max: 1 << 40,
            unpacked_bytes_max: 1 << 40,
            ratio_max: 500,
            members_max: 10_000,
            record_bytes_max: 32 << 20,
            shared_bytes_max: 64 << 20,
        }
    }
}

/// How exports are read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// What they may come to.
    pub limits: Limits,
    /// What columns are called, beside the usual names.
    pub names: Names,
}

/// Unpacked bytes that are no bomb whatever they were packed to.
const RATIO_FREE_BYTES: u64 = 64 << 20;

impl Limits {
    /// Bytes that so many packed ones may unpack to.
    fn unpacked_max(self, packed: u64) -> u64 {
        packed.saturating_mul(self.ratio_max).max(RATIO_FREE_BYTES).min(self.unpacked_bytes_max)
    }
}

/// An opened export.
pub struct Carried<'a> {
    /// Its JSON lines.
    pub lines: Box<dyn Read + 'a>,
    /// What it is carried in, for people: `lines`, `gzip+csv`, `zip`.
    pub carrier: String,
}

impl Carried<'_> {
    /// Whether its lines are the bytes of the export itself.
    pub fn is_plain(carrier: &str) -> bool {
        carrier == LINES
    }
}

/// An export that is JSON lines itself.
const LINES: &str = "lines";

/// Finds out what an export is and opens it. The export stands at its beginning.
///
/// # Errors
/// When it cannot be read, or is nothing that holds messages: [`Aside::of`] tells which.
pub fn open<'a, R: Read + Seek + 'a>(export: R, reading: &Reading) -> io::Result<Carried<'a>> {
    let mut export = Shared::new(export);
    let begin = export.stream_position()?;
    if export.seek(SeekFrom::End(0))? > reading.limits.file_bytes_max {
        return Err(Aside::TooLarge.into());
    }
    export.seek(SeekFrom::Start(begin))?;
    let peek = Peek::new(export.clone(), SAMPLE_BYTES)?;
    let magic = packed::Magic::of(peek.first());
    if magic == Some(packed::Magic::Zip) {
        return packed::archive(export, reading);
    }
    unpacked(peek, magic, reading)
}

/// As [`open`] for what cannot be read twice, such as standard input: a zip archive is refused.
///
/// # Errors
/// As [`open`].
pub fn open_stream<'a, R: Read + 'a>(input: R, reading: &Reading) -> io::Result<Carried<'a>> {
    let peek = Peek::new(input, SAMPLE_BYTES)?;
    let magic = packed::Magic::of(peek.first());
    unpacked(peek, magic, reading)
}

fn unpacked<'a, R: Read + 'a>(
    peek: Peek<R>,
    magic: Option<packed::Magic>,
    reading: &Reading,
) -> io::Result<Carried<'a>> {
    match magic {
        None => open_text(Box::new(peek), reading),
        Some(magic) => {
            let name = magic.name();
            let peek = Peek::new(packed::stream(peek, magic, reading.limits)?, SAMPLE_BYTES)?;
            // Something packed twice is nobody's export.
            if packed::Magic::of(peek.first()).is_some() {
                return Err(Aside::Nested.into());
            }
            let Carried { lines, carrier } = open_text(Box::new(peek), reading)?;
            Ok(Carried { lines, carrier: format!("{name}+{carrier}") })
        }
    }
}

/// What is unpacked: text, in whatever encoding, of whatever form.
fn open_text<'a>(input: Box<dyn Read + 'a>, reading: &Reading) -> io::Result<Carried<'a>> {
    let (text, charset) = text::decoded(input)?;
    let limits = reading.limits;
    let peek = Peek::new(text, SAMPLE_BYTES)?;
    let (lines, form): (Box<dyn Read + 'a>, _) = match Form::of(peek.first(), peek.is_all(), &reading.names) {
        Some(Form::Lines) => (Box::new(peek), LINES),
        Some(Form::Documents) => (Box::new(documents::lines(peek, limits)), "json"),
        Some(Form::Dump(dialect)) => (Box::new(sql::lines(peek, dialect, reading)), "sql"),
        Some(Form::Xml) => (Box::new(xml::lines(peek, limits)), "xml"),
        Some(Form::Table(head)) => {
            let name = head.name();
            (Box::new(table::lines(peek, head, limits)), name)
        }
        None => return Err(Aside::Unrecognised.into()),
    };
    let carrier = charset.map_or(form.to_owned(), |charset| format!("{charset}+{form}"));
    Ok(Carried { lines, carrier })
}

/// What text is.
enum Form {
    /// A message or a wrapped one on each line, as it is.
    Lines,
    /// JSON values, some of which hold many messages.
    Documents,
    /// Statements that make the rows of a database.
    Dump(sql::Dialect),
    /// Callbacks, each a document.
    Xml,
    /// Rows of cells under a header.
    Table(table::Head),
}

/// Lines looked at to tell a form.
const JUDGED_LINES: usize = 64;

impl Form {
    /// Judges the beginning of a text; `is_all` if there is no more.
    fn of(sample: &[u8], is_all: bool, names: &Names) -> Option<Self> {
        let sample = sample.strip_prefix(text::BOM).unwrap_or(sample);
        let mut lines: Vec<&[u8]> = sample.split(|byte| *byte == b'\n').collect();
        if !is_all && lines.len() > 1 {
            lines.pop();
        }
        let lines = lines.into_iter().map(<[u8]>::trim_ascii).filter(|line| !line.is_empty());
        let lines: Vec<&[u8]> = lines.take(JUDGED_LINES).collect();
        let Some(first) = lines.first() else { return Some(Self::Lines) };
        let is_object = |line: &&&[u8]| line.starts_with(b"{") && documents::is_whole(line);
        let whole: Vec<&&[u8]> = lines.iter().filter(is_object).collect();
        match first.first() {
            _ if whole.iter().any(|line| documents::holds_many(line)) => Some(Self::Documents),
            // Some may be torn. Where most are not whole, the values are spread over lines, or too long to be seen whole here.
            _ if 2 * whole.len() > lines.len() => Some(Self::Lines),
            Some(b'{' | b'[') => Some(Self::Documents),
            Some(b'<') if xml::is_meant(sample) => Some(Self::Xml),
            _ => {
                let dump = || sql::Dialect::of(sample).map(Self::Dump);
                let table = || table::Head::of(sample, names).map(Self::Table);
                // A message among other things is a message.
                dump().or_else(table).or((!whole.is_empty()).then_some(Self::Lines))
            }
        }
    }
}

/// A line that stands for something that could not be read.
fn mark(defect: Defect, out: &mut Vec<u8>) {
    out.extend_from_slice(&Defect::mark(defect));
    out.push(b'\n');
}
