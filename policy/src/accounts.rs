//! Who is managed, who is never evaluated: by a roster, or by the accounts file, a CSV with the header `corp,userid,name,labels,never`.

use std::collections::HashMap;
use std::fmt;

use csv::{ByteRecord, ReaderBuilder, Trim};

use crate::message::{Corp, compared};
use crate::normalise::is_zero_width;
use crate::parse::RECEIVER_SEPARATORS;

mod dated;

pub use dated::{Ceiling, Period};

/// One row: an account bound to an employee.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Display name; may be empty. Never leaves the device.
    pub name: String,
    /// Labels (department, post, site …).
    pub labels: Vec<String>,
    /// Messages with this account among the parties are never evaluated.
    pub never: bool,
    /// When it is managed; `None` for always, with `labels`.
    pub periods: Option<Vec<Period>>,
}

/// All accounts, looked up by corp and userid without ASCII case of the userid.
#[derive(Clone, Debug, Default)]
pub struct Accounts {
    corps: HashMap<String, HashMap<String, Entry>>,
    version: u64,
}

/// Something wrong in a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowMistake {
    /// Line, from 1; 0 when it concerns the whole file.
    pub line: u64,
    /// A sentence that says what to do.
    pub text: String,
}

impl fmt::Display for RowMistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.text)
    }
}

/// Rows of one file.
pub const ACCOUNTS_MAX: usize = 1_000_000;
/// Mistakes reported at once; more help nobody.
const MISTAKES_MAX: usize = 100;
const COLUMNS: [&str; 5] = ["corp", "userid", "name", "labels", "never"];

impl Accounts {
    /// Reads the CSV. The columns may stand in any order; `corp` and `userid` must be there. Labels are separated by `|` or `;`; `never` is
    /// `true`, `false` or empty. A byte order mark is tolerated.
    ///
    /// # Errors
    /// All bad rows, up to a hundred. With one bad row nothing is used: a dropped `never` row would break a promise.
    pub fn parse(bytes: &[u8]) -> Result<Self, Vec<RowMistake>> {
        let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
        let mut reader = Reader::default();
        reader.read(bytes);
        if reader.mistakes.is_empty() { Ok(reader.accounts) } else { Err(reader.mistakes) }
    }

    /// The entry of an account.
    #[must_use]
    pub fn get(&self, corp: &Corp, userid: &str) -> Option<&Entry> {
        self.corps.get(corp.as_str())?.get(&*compared(userid))
    }

    /// Number of accounts.
    #[must_use]
    pub fn len(&self) -> usize {
        self.corps.values().map(HashMap::len).sum()
    }

    /// Number of accounts that are never evaluated.
    #[must_use]
    pub fn never(&self) -> usize {
        self.corps.values().flat_map(HashMap::values).filter(|entry| entry.never).count()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[derive(Default)]
struct Reader {
    accounts: Accounts,
    mistakes: Vec<RowMistake>,
}

impl Reader {
    fn read(&mut self, bytes: &[u8]) {
        let mut csv = ReaderBuilder::new().has_headers(false).flexible(true).trim(Trim::All).from_reader(bytes);
        let mut record = ByteRecord::new();
        let mut columns: Option<[Option<usize>; 5]> = None;
        let mut rows = 0;
        while self.mistakes.len() < MISTAKES_MAX {
            match csv.read_byte_record(&mut record) {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => return self.wrong(csv.position().line(), format!("this is not CSV: {error}")),
            }
            let line = record.position().map_or(0, csv::Position::line);
            match &columns {
                None => match self.header(&record, line) {
                    Some(found) => columns = Some(found),
                    None => return,
                },
                Some(columns) => self.row(&record, columns, line),
            }
            rows += 1;
            if rows > ACCOUNTS_MAX {
                return self.wrong(line, format!("the file has more than {ACCOUNTS_MAX} rows"));
            }
        }
        if columns.is_none() && self.mistakes.is_empty() {
            self.wrong(0, "the file is empty; its first line must be `corp,userid,name,labels,never`");
        }
    }

    fn wrong(&mut self, line: u64, text: impl Into<String>) {
        self.mistakes.push(RowMistake { line, text: text.into() });
    }

    fn header(&mut self, record: &ByteRecord, line: u64) -> Option<[Option<usize>; 5]> {
        let names: Vec<String> = record.iter().map(|name| String::from_utf8_lossy(name).to_ascii_lowercase()).collect();
        for (index, name) in names.iter().enumerate() {
            if !COLUMNS.contains(&name.as_str()) {
                self.wrong(
                    line,
                    format!("there is no column `{}`; the columns are {}", name.escape_debug(), COLUMNS.join(",")),
                );
            } else if names.iter().take(index).any(|other| other == name) {
                self.wrong(line, format!("the column `{name}` stands twice; remove one"));
            }
        }
        let columns = COLUMNS.map(|column| names.iter().position(|name| name == column));
        for (name, column) in COLUMNS.iter().zip(&columns).take(2) {
            if column.is_none() {
                self.wrong(
                    line,
                    format!("the column `{name}` is missing; the first line must be `{}`", COLUMNS.join(",")),
                );
            }
        }
        self.mistakes.is_empty().then_some(columns)
    }

    fn row(&mut self, record: &ByteRecord, columns: &[Option<usize>; 5], line: u64) {
        if record.iter().all(<[u8]>::is_empty) {
            return;
        }
        // A cell left out in the middle would move `never` to where it means nothing.
        if record.len() != columns.iter().flatten().count() {
            let text = "the row does not have as many cells as the header; put cells with commas in quotes, and keep the \
                        commas of empty cells";
            return self.wrong(line, text);
        }
        let cells = columns.map(|column| column.and_then(|column| record.get(column)).unwrap_or_default());
        if cells.iter().any(|cell| std::str::from_utf8(cell).is_err()) {
            return self.wrong(line, "the row is not UTF-8; save the file as UTF-8");
        }
        let [corp, userid, name, labels, never] =
            cells.map(|cell| std::str::from_utf8(cell).unwrap_or_default().trim());
        if !is_plain(userid) {
            return self
                .wrong(line, "`userid` holds a space, a separator or a character nobody sees; write one plain id");
        }
        if corp.is_empty() || userid.is_empty() {
            return self.wrong(line, "`corp` and `userid` must both be filled in");
        }
        let Some(never) = flag(never) else {
            return self.wrong(line, format!("`never` must be true, false or empty, not `{}`", never.escape_debug()));
        };
        let labels =
            labels.split(['|', ';']).map(str::trim).filter(|label| !label.is_empty()).map(str::to_owned).collect();
        let entry = Entry { name: name.to_owned(), labels, never, periods: None };
        let users = self.accounts.corps.entry(corp.to_owned()).or_default();
        if users.insert(userid.to_ascii_lowercase(), entry).is_some() {
            self.wrong(line, format!("the account {corp}/{userid} stands twice (case does not count); remove one"));
        }
    }
}

/// Whether an id has no space, no separator and no character that nobody sees: another one would never be met in a message.
#[must_use]
pub fn is_plain(id: &str) -> bool {
    !id.chars().any(|c| c.is_whitespace() || c.is_control() || is_zero_width(c)) && !id.contains(RECEIVER_SEPARATORS)
}

fn flag(cell: &str) -> Option<bool> {
    match cell.to_ascii_lowercase().as_str() {
        "true" => Some(true),
        "false" | "" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_rows_and_looks_up_without_case() {
        let csv = "\u{FEFF}corp,userid,name,labels,never\r\nww1,Li.Na,李娜,sales| 上海 ;,\r\nww1,lawyer,\"Zhou, Q\",,TRUE\r\n\r\nww2,li.na,,,false\r\n";
        let accounts = Accounts::parse(csv.as_bytes()).unwrap();
        assert_eq!(accounts.len(), 3);
        let li = accounts.get(&Corp::new("ww1"), "LI.NA").unwrap();
        assert_eq!(
            (li.name.as_str(), li.labels.as_slice(), li.never),
            ("李娜", &["sales".to_owned(), "上海".to_owned()][..], false)
        );
        assert!(accounts.get(&Corp::new("ww1"), "lawyer").unwrap().never);
        assert_eq!(accounts.get(&Corp::new("ww3"), "li.na"), None, "another corp's account");
    }

    #[test]
    fn columns_may_stand_in_any_order() {
        let accounts = Accounts::parse(b"never,userid,corp\ntrue,a,ww1\n").unwrap();
        assert!(accounts.get(&Corp::new("ww1"), "a").unwrap().never);
    }

    #[test]
    fn all_bad_rows_are_reported() {
        let csv = b"corp,userid,name,labels,never\nww1,,x,,\nww1,a,x,,maybe\nww1,b,x,,,\nww1,c,\xff,,\nww1,d,,,\nWW1,d,,,\nww1,D,,,\n";
        let mistakes = Accounts::parse(csv).unwrap_err();
        let lines: Vec<u64> = mistakes.iter().map(|mistake| mistake.line).collect();
        assert_eq!(lines, [2, 3, 4, 5, 8], "{mistakes:?}");
    }

    #[test]
    fn a_row_that_could_hide_a_never_is_refused() {
        for row in ["ww1,lawyer,Zhou,true", "ww1,law yer,,,true", "ww1,law\u{200B}yer,,,true", "ww1,\"a,b\",,,true"] {
            let csv = format!("corp,userid,name,labels,never\n{row}\n");
            assert_eq!(Accounts::parse(csv.as_bytes()).unwrap_err()[0].line, 2, "{row}");
        }
        let padded = Accounts::parse("corp,userid,never\nww1,lawyer\u{3000},true\n".as_bytes()).unwrap();
        assert!(padded.get(&Corp::new("ww1"), "Lawyer").is_some_and(|entry| entry.never));
    }

    #[test]
    fn bad_headers_are_explained() {
        for (csv, part) in [
            ("", "file is empty"),
            ("ww1,a,x,,\n", "no column `ww1`"),
            ("corp,name\n", "`userid` is missing"),
            ("corp,userid,corp\n", "stands twice"),
        ] {
            let mistakes = Accounts::parse(csv.as_bytes()).unwrap_err();
            assert!(mistakes.iter().any(|mistake| mistake.text.contains(part)), "{csv:?} {mistakes:?}");
        }
    }

    #[test]
    fn quoted_cells_may_hold_line_breaks() {
        let accounts = Accounts::parse(b"corp,userid,name\nww1,a,\"x\ny\"\nww1,b,z\n").unwrap();
        assert_eq!(accounts.len(), 2);
        assert_eq!(Accounts::parse(b"corp,userid,name\nww1,a,\"x\ny\"\nww1,,z\n").unwrap_err()[0].line, 4);
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_give_an_answer(bytes: Vec<u8>, text in "(corp|userid|never|,|\\n|\"|a|true){0,40}") {
            let _ = Accounts::parse(&bytes);
            let _ = Accounts::parse(text.as_bytes());
        }
    }
}
