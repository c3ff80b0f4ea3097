//! Rows of text from a CSV or a workbook, whatever made it.

use std::io::Cursor;

use calamine::{Data, Reader as _, Xlsx};
use encoding_rs::{Encoding, GB18030};

/// Rows of one list, its header among them.
const ROWS_MAX: usize = 2_000_000;
/// Cells of one row; more are not looked at.
const CELLS_MAX: usize = 256;
const SEPARATORS: [u8; 4] = [b',', b'\t', b';', b'|'];

/// A row with its line, from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Where it stands in the file: a line of a CSV, a row of a sheet.
    pub line: u64,
    /// Its cells, without space around them.
    pub cells: Vec<String>,
}

/// Reads the rows that are not empty.
///
/// # Errors
/// Sentences for a person: what it is not, or which cell cannot be read.
pub fn read(bytes: &[u8]) -> Result<Vec<Row>, Vec<String>> {
    if bytes.starts_with(b"PK\x03\x04") { workbook(bytes) } else { text(bytes) }
}

fn text(bytes: &[u8]) -> Result<Vec<Row>, Vec<String>> {
    let text = decode(bytes).ok_or_else(|| {
        vec!["the list is neither UTF-8 nor GBK; save it as CSV in UTF-8, or as a workbook (.xlsx)".to_owned()]
    })?;
    let separator = separator(&text);
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .trim(csv::Trim::All)
        .delimiter(separator)
        .from_reader(text.as_bytes());
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|error| vec![format!("this is not CSV: {error}")])?;
        let line = record.position().map_or(0, csv::Position::line);
        let cells = record.iter().take(CELLS_MAX).map(|cell| plain(cell).to_owned());
        push(&mut rows, Row { line, cells: cells.collect() })?;
    }
    Ok(rows)
}

fn push(rows: &mut Vec<Row>, row: Row) -> Result<(), Vec<String>> {
    if row.cells.iter().all(String::is_empty) {
        return Ok(());
    }
    if rows.len() >= ROWS_MAX {
        return Err(vec![format!("the list has more than {ROWS_MAX} rows")]);
    }
    rows.push(row);
    Ok(())
}

/// UTF-8 or UTF-16 by its mark, UTF-8 without one, else what Excel writes in China.
fn decode(bytes: &[u8]) -> Option<String> {
    let (encoding, bytes) = match Encoding::for_bom(bytes) {
        Some((encoding, length)) => (encoding, bytes.get(length..).unwrap_or_default()),
        None if std::str::from_utf8(bytes).is_ok() => (encoding_rs::UTF_8, bytes),
        None => (GB18030, bytes),
    };
    let (text, malformed) = encoding.decode_without_bom_handling(bytes);
    (!malformed && !text.contains('\0')).then(|| text.into_owned())
}

/// The one that occurs most in the first lines.
fn separator(text: &str) -> u8 {
    let head: Vec<&str> = text.lines().take(20).collect();
    let count = |separator: u8| head.iter().map(|line| line.bytes().filter(|byte| *byte == separator).count()).max();
    // Of equals the first: `max_by_key` takes the last.
    SEPARATORS.into_iter().rev().max_by_key(|separator| count(*separator)).unwrap_or(b',')
}

/// `="00123"`, as Excel is kept from eating zeros, is 00123.
fn plain(cell: &str) -> &str {
    let inside = cell.strip_prefix("=\"").and_then(|rest| rest.strip_suffix('"'));
    inside.unwrap_or(cell).trim()
}

fn workbook(bytes: &[u8]) -> Result<Vec<Row>, Vec<String>> {
    let wrong = |error: calamine::XlsxError| vec![format!("the workbook cannot be read: {error}")];
    let mut book: Xlsx<_> = calamine::open_workbook_from_rs(Cursor::new(bytes)).map_err(wrong)?;
    let (mut rows, mut mistakes) = (Vec::new(), Vec::new());
    // The list is the first sheet with anything in it.
    for name in book.sheet_names() {
        let range = book.worksheet_range(&name).map_err(wrong)?;
        let first = range.start().map_or(1, |(row, _)| u64::from(row) + 1);
        for (cells, line) in range.rows().zip(first..) {
            let cells = cells.iter().take(CELLS_MAX).map(|cell| match cell_text(cell) {
                Ok(text) => text,
                Err(error) => {
                    mistakes.push(format!("line {line}: a cell holds the error {error}; correct it"));
                    String::new()
                }
            });
            let row = Row { line, cells: cells.collect() };
            push(&mut rows, row)?;
        }
        if !rows.is_empty() {
            break;
        }
    }
    if mistakes.is_empty() { Ok(rows) } else { Err(mistakes) }
}

fn cell_text(cell: &Data) -> Result<String, String> {
    Ok(match cell {
        Data::Empty => String::new(),
        Data::String(text) => plain(text.trim()).to_owned(),
        Data::Int(number) => number.to_string(),
        // Numbers of employees and ids are written without a fraction.
        Data::Float(number) => number.to_string(),
        Data::Bool(flag) => flag.to_string(),
        Data::DateTime(moment) => {
            let (year, month, day, ..) = moment.to_ymd_hms_milli();
            format!("{year:04}-{month:02}-{day:02}")
        }
        Data::DateTimeIso(text) | Data::DurationIso(text) => text.trim().to_owned(),
        Data::Error(error) => return Err(error.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cells(bytes: &[u8]) -> Vec<Vec<String>> {
        read(bytes).unwrap().into_iter().map(|row| row.cells).collect()
    }

    #[test]
    fn what_excel_writes_is_read() {
        let (gbk, _, _) = GB18030.encode("工号,账号\r\n001,李娜\r\n");
        let expected = vec![vec!["工号".to_owned(), "账号".to_owned()], vec!["001".into(), "李娜".into()]];
        assert_eq!(cells(&gbk), expected);
        assert_eq!(cells("\u{feff}工号;账号\n\n001;\"李娜\"\n".as_bytes()), expected);
        assert_eq!(cells("工号\t账号\r\n=\"001\"\t 李娜 \r\n".as_bytes()), expected);
        let wide: Vec<u8> =
            [0xff, 0xfe].into_iter().chain("工号,账号\n001,李娜\n".encode_utf16().flat_map(u16::to_le_bytes)).collect();
        assert_eq!(cells(&wide), expected);
        assert_eq!(read("a,b\n\nc,\"d\ne\"\nf,g\n".as_bytes()).unwrap()[2].line, 5);
        assert!(read(b"\xff\xff\xff,a\n").is_err());
        assert!(read(b"PK\x03\x04 no workbook").is_err());
    }
}
