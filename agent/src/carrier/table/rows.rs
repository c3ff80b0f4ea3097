//! Rows of cells, as RFC 4180 and everybody's spreadsheet write them, and what became of them in practice.

use memchr::memchr;

/// What stands at the beginning of some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Row {
    /// A row; whether its line was ended.
    Whole(bool),
    /// Something with a quote that nobody closed, or closed in the middle of a cell.
    Torn,
    /// A row that is too long.
    TooLong,
    /// More bytes are needed to tell, or there are none.
    Open,
}

/// Rows from bytes that come piece by piece.
pub(super) struct Rows {
    separator: u8,
    bytes_max: usize,
    bytes: Vec<u8>,
    at: usize,
    /// Where the row given last began.
    last: usize,
    /// A row is too long; everything up to the end of its line is passed over.
    is_passing: bool,
}

impl Rows {
    pub(super) fn new(separator: u8, bytes_max: usize) -> Self {
        Self { separator, bytes_max, bytes: Vec::new(), at: 0, last: 0, is_passing: false }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.at);
        (self.at, self.last) = (0, 0);
        self.bytes.extend_from_slice(bytes);
    }

    /// The next row. `ended` if nothing will come behind what was pushed.
    pub(super) fn next(&mut self, ended: bool, cells: &mut Vec<String>) -> Row {
        if self.is_passing && !self.pass() {
            return Row::Open;
        }
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        if rest.is_empty() {
            return Row::Open;
        }
        let (row, length) = read(rest, self.separator, ended, cells);
        let is_too_long = row == Row::Open && rest.len() > self.bytes_max;
        match row {
            Row::Open if is_too_long && memchr(b'\n', rest).is_none() => {
                (self.is_passing, self.last) = (true, self.at);
                self.pass();
                Row::TooLong
            }
            // The last row is still being written.
            Row::Open if ended && memchr(b'\n', rest).is_none() => {
                cells.clear();
                (self.last, self.at) = (self.at, self.bytes.len());
                Row::Whole(false)
            }
            // Whoever left a quote open loses its line and not all that follows.
            Row::Open if is_too_long || ended => self.torn(),
            Row::Torn => self.torn(),
            Row::Whole(_) => {
                (self.last, self.at) = (self.at, self.at + length);
                row
            }
            Row::Open | Row::TooLong => row,
        }
    }

    /// The row given last was none: what stands behind its first line is looked at again.
    pub(super) fn retry_after_line(&mut self) {
        let line = self.bytes.get(self.last..self.at).unwrap_or_default();
        self.at = self.last + memchr(b'\n', line).map_or(line.len(), |end| end + 1);
    }

    fn torn(&mut self) -> Row {
        (self.last, self.at) = (self.at, self.bytes.len());
        self.retry_after_line();
        Row::Torn
    }

    /// Passes over the rest of a line. Whether its end was found.
    fn pass(&mut self) -> bool {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let end = memchr(b'\n', rest);
        self.at += end.map_or(rest.len(), |end| end + 1);
        self.is_passing = end.is_none();
        end.is_some()
    }
}

/// Cells of a row; tables of messages have some dozen.
const CELLS_MAX: usize = 1_000;
/// Bytes that a quoted cell may have behind its first line. People write texts of some lines; what goes on for longer has lost its quote.
const LINES_BYTES_MAX: usize = 64 * 1024;

/// Reads the row that bytes begin with, and says how many of them it takes; `ended` if there is nothing behind them.
pub(super) fn read(bytes: &[u8], separator: u8, ended: bool, cells: &mut Vec<String>) -> (Row, usize) {
    cells.clear();
    let mut at = 0;
    let mut cell = Vec::new();
    loop {
        cell.clear();
        if bytes.get(at) == Some(&b'"') {
            match quoted(bytes, at + 1, &mut cell) {
                Quoted::Closed(end) => at = end,
                Quoted::Open => return (Row::Open, 0),
                Quoted::Lost => return (Row::Torn, 0),
            }
        } else {
            let rest = bytes.get(at..).unwrap_or_default();
            let end = rest.iter().position(|byte| *byte == separator || *byte == b'\n').unwrap_or(rest.len());
            let is_last = rest.get(end) != Some(&separator);
            // Lines end in one character, in two, or, where two programs have each added theirs, in more.
            let text = if is_last { without_returns(&rest[..end]) } else { &rest[..end] };
            cell.extend_from_slice(text);
            at += text.len();
        }
        if cells.len() >= CELLS_MAX {
            return (Row::Torn, 0);
        }
        cells.push(String::from_utf8_lossy(&cell).into_owned());
        let rest = bytes.get(at..).unwrap_or_default();
        let returns = rest.iter().take_while(|byte| **byte == b'\r').count();
        match rest.get(returns) {
            Some(byte) if *byte == separator && returns == 0 => at += 1,
            Some(b'\n') => return (Row::Whole(true), at + returns + 1),
            None => return (if ended { Row::Whole(false) } else { Row::Open }, bytes.len()),
            Some(_) => return (Row::Torn, 0),
        }
    }
}

fn without_returns(mut line: &[u8]) -> &[u8] {
    while let Some(shorter) = line.strip_suffix(b"\r") {
        line = shorter;
    }
    line
}

/// What became of a quoted cell.
enum Quoted {
    /// Where it ends, behind its quote.
    Closed(usize),
    /// Its quote is not there yet.
    Open,
    /// Nobody closed it.
    Lost,
}

/// Reads a quoted cell behind its quote.
fn quoted(bytes: &[u8], begin: usize, cell: &mut Vec<u8>) -> Quoted {
    let mut at = begin;
    loop {
        let rest = bytes.get(at..).unwrap_or_default();
        let end = memchr(b'"', rest).unwrap_or(rest.len());
        let line = memchr(b'\n', bytes.get(begin..at + end).unwrap_or_default());
        if line.is_some_and(|line| at + end - begin - line > LINES_BYTES_MAX) {
            return Quoted::Lost;
        }
        if end == rest.len() {
            return Quoted::Open;
        }
        cell.extend_from_slice(&rest[..end]);
        at += end + 1;
        if bytes.get(at) != Some(&b'"') {
            return Quoted::Closed(at);
        }
        cell.push(b'"');
        at += 1;
    }
}
