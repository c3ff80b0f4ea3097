//! CSV by RFC 4180 in which no cell is a formula, whatever program opens it.

use std::io::Write;

use csv::{Terminator, Writer, WriterBuilder};

/// By these Excel knows UTF-8.
const MARK: &str = "\u{feff}";

/// A table under way.
#[derive(Debug)]
pub struct Csv<W: Write> {
    writer: Writer<W>,
}

impl<W: Write> Csv<W> {
    /// Begins a table, with a mark in front by which Excel knows UTF-8 if that is wanted.
    ///
    /// # Errors
    /// The writer.
    pub fn begin(mut out: W, mark: bool) -> anyhow::Result<Self> {
        if mark {
            out.write_all(MARK.as_bytes())?;
        }
        Ok(Self { writer: WriterBuilder::new().terminator(Terminator::CRLF).flexible(true).from_writer(out) })
    }

    /// One row.
    ///
    /// # Errors
    /// The writer.
    pub fn row(&mut self, cells: &[String]) -> anyhow::Result<()> {
        Ok(self.writer.write_record(cells.iter().map(|cell| harmless(cell)))?)
    }

    /// Writes out what is buffered.
    ///
    /// # Errors
    /// The writer.
    pub fn end(mut self) -> anyhow::Result<()> {
        Ok(self.writer.flush()?)
    }
}

/// A whole table as text.
///
/// # Errors
/// Never on memory.
pub fn table<const N: usize>(rows: &[[String; N]]) -> anyhow::Result<String> {
    let mut out = Vec::new();
    let mut csv = Csv::begin(&mut out, false)?;
    rows.iter().try_for_each(|row| csv.row(row))?;
    csv.end()?;
    Ok(String::from_utf8_lossy(&out).into_owned())
}

/// What a spreadsheet would take for a formula, behind an apostrophe.
#[must_use]
pub fn harmless(cell: &str) -> String {
    let is_blank = |c: char| c == ' ' || c == '\u{3000}' || c == '\u{a0}' || is_hidden(c);
    let first = cell.chars().find(|c| !is_blank(*c));
    let begins_formula =
        |c: char| matches!(c, '=' | '+' | '-' | '@' | '＝' | '＋' | '－' | '＠' | '﹢' | '﹣' | '﹦' | '﹫' | '−');
    match first {
        Some(c) if begins_formula(c) || c.is_control() => format!("'{cell}"),
        _ => cell.to_owned(),
    }
}

/// Nobody sees them, and some programs pass over them.
fn is_hidden(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_is_a_formula() {
        for cell in [
            "=1+1",
            "+1",
            "-1",
            "@SUM(A1)",
            "\t=1",
            "\r=1",
            "\n=1",
            "＝1+1",
            "＋1",
            "－1",
            "＠x",
            "﹦1",
            " =1",
            "\u{3000}=1",
            "\u{feff}=1",
            "\u{200b}=cmd|' /C calc'!A0",
        ] {
            assert_eq!(harmless(cell), format!("'{cell}"), "{cell:?}");
        }
        for cell in ["", "a=1", "保本-收益", "1-2", "'=1", "2026-11-01 09:00+08:00", "p_00"] {
            assert_eq!(harmless(cell), cell);
        }
    }

    #[test]
    fn cells_keep_what_is_in_them() {
        let row = ["a,b", "say \"保本\"", "two\nlines", "=x,\"y\""].map(str::to_owned);
        let text = table(&[row]).unwrap();
        assert_eq!(text, "\"a,b\",\"say \"\"保本\"\"\",\"two\nlines\",\"'=x,\"\"y\"\"\"\r\n");
        let mut out = Vec::new();
        Csv::begin(&mut out, true).unwrap().end().unwrap();
        assert_eq!(out, [0xef, 0xbb, 0xbf]);
    }
}
