//! A workbook of text: a cell of it is what it says and never a formula.

use anyhow::Context as _;
use rust_xlsxwriter::{Format, Workbook};

/// Rows of a sheet. The whole sheet is in memory until it is done, and people do not scroll further.
pub const ROWS_MAX: u64 = 100_000;
/// Characters of a cell that Excel takes.
const CELL_CHARS_MAX: usize = 32_767;

/// A workbook under way.
pub struct Xlsx {
    book: Workbook,
    next: u32,
}

impl Xlsx {
    /// Begins a workbook with the names of its columns.
    ///
    /// # Errors
    /// Names it cannot hold.
    pub fn begin(header: &[String]) -> anyhow::Result<Self> {
        let mut book = Workbook::new();
        let sheet = book.add_worksheet();
        sheet.set_name("findings")?.set_freeze_panes(1, 0)?;
        let bold = Format::new().set_bold();
        for (column, name) in (0..).zip(header) {
            sheet.write_string_with_format(0, column, name, &bold)?;
        }
        Ok(Self { book, next: 1 })
    }

    /// One row.
    ///
    /// # Errors
    /// More rows than a sheet has.
    pub fn row(&mut self, cells: &[String]) -> anyhow::Result<()> {
        let sheet = self.book.worksheet_from_index(0)?;
        for (column, cell) in (0..).zip(cells) {
            let end = cell.char_indices().nth(CELL_CHARS_MAX).map_or(cell.len(), |(at, _)| at);
            sheet.write_string(self.next, column, cell.get(..end).unwrap_or_default())?;
        }
        self.next += 1;
        Ok(())
    }

    /// The file.
    ///
    /// # Errors
    /// Never, unless memory ends.
    pub fn end(mut self) -> anyhow::Result<Vec<u8>> {
        self.book.save_to_buffer().context("the workbook cannot be made")
    }
}

#[cfg(test)]
mod tests {
    use calamine::{Data, Reader as _, Xlsx as Read, open_workbook_from_rs};

    use super::*;

    #[test]
    fn every_cell_is_text() {
        let mut book = Xlsx::begin(&["时间 time".to_owned()]).unwrap();
        let cells =
            ["=1+1", "@SUM(A1)", "001", "https://a.example/", "保本", "\u{1b}[31m", "a\u{202e}b"].map(str::to_owned);
        book.row(&cells).unwrap();
        let bytes = book.end().unwrap();
        let mut read: Read<_> = open_workbook_from_rs(std::io::Cursor::new(&bytes[..])).unwrap();
        let range = read.worksheet_range("findings").unwrap();
        let row: Vec<Data> = range.rows().nth(1).unwrap().to_vec();
        assert!(row.iter().take(5).all(|cell| matches!(cell, Data::String(_))), "{row:?}");
        assert_eq!(row[0], Data::String("=1+1".into()));
        assert_eq!(row[2], Data::String("001".into()));
        assert!(read.worksheet_formula("findings").unwrap().is_empty());
    }
}
