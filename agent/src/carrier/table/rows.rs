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

/// Reads the row that bytes begin with; `ended` if there is nothing behind them.
pub(super) fn row(bytes: &[u8], separator: u8, ended: bool, cells: &mut Vec<String>) -> Row {
    read(bytes, separator, ended, cells).0
}

/// The row, and how many bytes it takes.
fn read(bytes: &[u8], separator: u8, ended: bool, cells: &mut Vec<String>) -> (Row, usize) {
    cells.clear();
    let mut at = 0;
    let mut cell = Vec::new();
    loop {
        cell.clear();
        if bytes.get(at) == Some(&b'"') {
            let Some(end) = quoted(bytes, at + 1, &mut cell) else { return (Row::Open, 0) };
            at = end;
        } else {
            let rest = bytes.get(at..).unwrap_or_default();
            let mut end = rest.iter().position(|byte| *byte == separator || *byte == b'\n').unwrap_or(rest.len());
            // A line may end with two characters.
            if rest.get(end) != Some(&separator) && rest[..end].ends_with(b"\r") {
                end -= 1;
            }
            cell.extend_from_slice(&rest[..end]);
            at += end;
        }
        cells.push(String::from_utf8_lossy(&cell).into_owned());
        match bytes.get(at..).unwrap_or_default() {
            [byte, ..] if *byte == separator => at += 1,
            [b'\n', ..] => return (Row::Whole(true), at + 1),
            [b'\r', b'\n', ..] => return (Row::Whole(true), at + 2),
            [b'\r'] | [] => return (if ended { Row::Whole(false) } else { Row::Open }, bytes.len()),
            _ => return (Row::Torn, 0),
        }
    }
}

/// Reads a quoted cell behind its quote, and says where its closing quote ends.
fn quoted(bytes: &[u8], mut at: usize, cell: &mut Vec<u8>) -> Option<usize> {
    loop {
        let rest = bytes.get(at..)?;
        let end = memchr(b'"', rest)?;
        cell.extend_from_slice(&rest[..end]);
        at += end + 1;
        if bytes.get(at) != Some(&b'"') {
            return Some(at);
        }
        cell.push(b'"');
        at += 1;
    }
}
