//! Tables: comma- or tab-separated rows under a header. Every row becomes a JSON line; rows of one message that differ in their receiver, as some
//! exporters write them, become one.

mod columns;
mod rows;

use std::io::{self, Read};

use watchpost_policy::parse::Defect;

use super::input::{Made, Source};
use super::{Limits, READ_BYTES, mark};
pub use columns::Names;
pub(super) use columns::{Columns, Merged};
use rows::{Row, Rows};

/// What cells may be separated by.
const SEPARATORS: [(u8, &str); 4] = [(b',', "csv"), (b'\t', "tsv"), (b';', "csv"), (b'|', "csv")];

/// Rows above the header: titles, `sep=,`, empty ones.
const ROWS_ABOVE_MAX: usize = 20;

/// What the header of a table says.
pub(super) struct Head {
    separator: u8,
    name: &'static str,
    /// Rows above it.
    above: usize,
    cells: Vec<String>,
    columns: Columns,
    /// Whether lines end as they did on old Macs.
    returns: bool,
}

impl Head {
    /// The header a text begins with, if it is one: with the separator by which most columns are known.
    pub(super) fn of(sample: &[u8], names: &Names) -> Option<Self> {
        let returns = !sample.contains(&b'\n') && sample.contains(&b'\r');
        let mut sample = sample.to_vec();
        if returns {
            make_line_feeds(&mut sample);
        }
        let heads = SEPARATORS.into_iter().filter_map(|(separator, name)| {
            let (mut rest, mut cells) = (&sample[..], Vec::new());
            for above in 0..ROWS_ABOVE_MAX {
                let (Row::Whole(_), length) = rows::read(rest, separator, true, &mut cells) else { return None };
                if let Some(columns) = Columns::of(&cells, names) {
                    return Some(Self { separator, name, above, cells, columns, returns });
                }
                rest = rest.get(length..).filter(|rest| !rest.is_empty())?;
            }
            None
        });
        heads.max_by_key(|head| head.columns.known())
    }

    pub(super) fn name(&self) -> &'static str {
        self.name
    }
}

fn make_line_feeds(bytes: &mut [u8]) {
    bytes.iter_mut().filter(|byte| **byte == b'\r').for_each(|byte| *byte = b'\n');
}

/// The rows of a table that begins with this header.
pub(super) fn lines<'a>(input: impl Read + 'a, head: Head, limits: Limits) -> impl Read + 'a {
    let rows = Rows::new(head.separator, limits.record_bytes_max);
    Made::new(Table {
        input,
        buffer: vec![0; READ_BYTES],
        rows,
        head,
        merged: Merged::default(),
        passed: 0,
        failed: None,
    })
}

struct Table<R> {
    input: R,
    buffer: Vec<u8>,
    rows: Rows,
    head: Head,
    merged: Merged,
    /// Rows passed, up to the header.
    passed: usize,
    /// What happened behind what is read, to be told when that is given.
    failed: Option<io::Error>,
}

impl<R: Read> Source for Table<R> {
    fn more(&mut self, out: &mut Vec<u8>) -> io::Result<bool> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        let read = match self.input.read(&mut self.buffer) {
            Ok(read) => read,
            Err(error) => {
                self.merged.end(out);
                self.failed = Some(error);
                return Ok(true);
            }
        };
        let ended = read == 0;
        let bytes = &mut self.buffer[..read];
        if self.head.returns {
            make_line_feeds(bytes);
        }
        self.rows.push(bytes);
        let mut cells = Vec::new();
        loop {
            match self.rows.next(ended, &mut cells) {
                Row::Whole(_) if self.passed <= self.head.above => self.passed += 1,
                Row::Whole(is_ended) => self.row(&mut cells, is_ended, out),
                Row::TooLong => {
                    self.merged.torn(out);
                    mark(Defect::RecordTooLong, out);
                }
                Row::Torn => self.torn(out),
                Row::Open => break,
            }
        }
        if ended {
            self.merged.end(out);
        }
        Ok(!ended)
    }
}

impl<R> Table<R> {
    fn row(&mut self, cells: &mut Vec<String>, is_ended: bool, out: &mut Vec<u8>) {
        // An empty line between rows, or the header of a file that was put behind another.
        if matches!(&cells[..], [only] if only.is_empty()) || *cells == self.head.cells {
            return;
        }
        let columns = self.head.columns.len();
        // Spreadsheets add cells to the right or leave empty ones out.
        if cells.get(columns..).is_some_and(|surplus| surplus.iter().all(String::is_empty)) {
            cells.truncate(columns);
        }
        if is_ended && cells.len() >= self.head.columns.body_end() {
            cells.resize(cells.len().max(columns), String::new());
        }
        if cells.len() == columns {
            self.merged.add(self.head.columns.entry(cells), out);
        } else if is_ended {
            self.rows.retry_after_line();
            self.torn(out);
        } else {
            // The last row may still be written.
            self.merged.torn(out);
            out.push(b'{');
        }
    }

    fn torn(&mut self, out: &mut Vec<u8>) {
        self.merged.torn(out);
        mark(Defect::RowTorn, out);
    }
}
