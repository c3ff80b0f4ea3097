//! Tables: comma- or tab-separated rows under a header. Every row becomes a JSON line; rows of one message that differ in their receiver, as some
//! exporters write them, become one.

mod columns;
mod rows;

use std::io::{self, Read};

use watchpost_policy::parse::Defect;

use super::input::{Made, Source};
use super::{Limits, mark};
pub(super) use columns::{Columns, Merged};
use rows::{Row, Rows};

/// Bytes read at once.
const READ_BYTES: usize = 64 * 1024;
/// What cells may be separated by.
const SEPARATORS: [(u8, &str); 4] = [(b',', "csv"), (b'\t', "tsv"), (b';', "csv"), (b'|', "csv")];

/// What the header of a table says.
pub(super) struct Head {
    separator: u8,
    name: &'static str,
    columns: Columns,
}

impl Head {
    /// The header a text begins with, if it is one: with the separator by which most columns are known.
    pub(super) fn of(sample: &[u8]) -> Option<Self> {
        let heads = SEPARATORS.into_iter().filter_map(|(separator, name)| {
            let mut cells = Vec::new();
            matches!(rows::row(sample, separator, true, &mut cells), Row::Whole(_)).then_some(())?;
            Some(Self { separator, name, columns: Columns::of(&cells)? })
        });
        heads.max_by_key(|head| head.columns.known())
    }

    pub(super) fn name(&self) -> &'static str {
        self.name
    }
}

/// The rows of a table that begins with this header.
pub(super) fn lines<'a>(input: impl Read + 'a, head: Head, limits: Limits) -> impl Read + 'a {
    let rows = Rows::new(head.separator, limits.record_bytes_max);
    Made::new(Table {
        input,
        buffer: vec![0; READ_BYTES],
        rows,
        columns: head.columns,
        merged: Merged::default(),
        begun: false,
    })
}

struct Table<R> {
    input: R,
    buffer: Vec<u8>,
    rows: Rows,
    columns: Columns,
    merged: Merged,
    /// Whether the header has been passed.
    begun: bool,
}

impl<R: Read> Source for Table<R> {
    fn more(&mut self, out: &mut Vec<u8>) -> io::Result<bool> {
        let read = self.input.read(&mut self.buffer)?;
        let ended = read == 0;
        self.rows.push(&self.buffer[..read]);
        let mut cells = Vec::new();
        loop {
            match self.rows.next(ended, &mut cells) {
                Row::Whole(_) if !self.begun => self.begun = true,
                Row::Whole(is_ended) => self.row(&cells, is_ended, out),
                Row::TooLong => mark(Defect::RecordTooLong, out),
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
    fn row(&mut self, cells: &[String], is_ended: bool, out: &mut Vec<u8>) {
        match cells {
            // An empty line between rows.
            [only] if only.is_empty() => {}
            cells if cells.len() == self.columns.len() => self.merged.add(self.columns.entry(cells), out),
            // The last row may still be written.
            _ if !is_ended => {
                self.merged.end(out);
                out.push(b'{');
            }
            _ => {
                self.rows.retry_after_line();
                self.torn(out);
            }
        }
    }

    fn torn(&mut self, out: &mut Vec<u8>) {
        self.merged.end(out);
        mark(Defect::RowTorn, out);
    }
}
