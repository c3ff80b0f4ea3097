//! Dumps of databases: `INSERT` statements of any dialect, and the `COPY` blocks of PostgreSQL. Rows of every table whose columns are those of
//! messages become lines; what else a dump does is passed over.

use std::collections::HashMap;
use std::io::{self, Read};

use memchr::memmem;
use watchpost_policy::parse::Defect;

use super::input::{Made, Source};
use super::table::{Columns, Merged, Names};
use super::{Limits, READ_BYTES, Reading, mark};
use crate::aside::Aside;

/// Tables whose columns are remembered.
const TABLES_MAX: usize = 1_000;
/// Columns of a table.
const COLUMNS_MAX: usize = 1_000;
/// Bytes of the name of a table or column that is remembered.
const NAME_BYTES_MAX: usize = 256;
/// What dumps begin with.
const OPENINGS: [&[u8]; 15] = [
    b"--",
    b"/*",
    b"set ",
    b"drop ",
    b"create ",
    b"insert ",
    b"replace ",
    b"copy ",
    b"begin",
    b"start ",
    b"use ",
    b"lock ",
    b"\\connect",
    b"pragma ",
    b"rem ",
];
/// What those that hold rows have, unless they say at their beginning who made them.
const ROWS: [&[u8]; 3] = [b"insert ", b"replace into", b"copy "];
const MAKERS: [&[u8]; 6] =
    [b"mysql dump", b"mariadb dump", b"postgresql database dump", b"navicat", b"sqlite", b"rem "];
/// Bytes at the beginning that say who made a dump.
const HEAD_BYTES: usize = 1024;
/// What a column of a table does not begin with.
const NO_COLUMNS: [&str; 10] =
    ["primary", "key", "unique", "constraint", "index", "fulltext", "spatial", "check", "foreign", "exclude"];

/// Stands for the cell while only such has been seen that says nothing of it.
const NOTHING: &str = "\0";

fn is_nothing(cell: Option<&str>) -> bool {
    cell.is_none_or(|cell| cell == NOTHING)
}

/// Words that begin statements that matter, or stand between statements.
const BEGINNINGS: [&str; 5] = ["insert", "replace", "create", "copy", "go"];

/// How a dump writes strings.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dialect {
    /// Whether a backslash escapes what follows it, as with MySQL.
    backslash: bool,
}

impl Dialect {
    /// The dialect of a dump that text begins with, if it is one.
    pub(super) fn of(sample: &[u8]) -> Option<Self> {
        let sample = sample.trim_ascii_start().to_ascii_lowercase();
        let head = sample.get(..HEAD_BYTES).unwrap_or(&sample);
        let has = |bytes: &[u8], part: &[u8]| memmem::find(bytes, part).is_some();
        let opens = OPENINGS.iter().any(|opening| sample.starts_with(opening));
        let holds = ROWS.iter().any(|part| has(&sample, part)) || MAKERS.iter().any(|part| has(head, part));
        // What stands in the rows says nothing of who wrote them, unless it can only be an escape.
        let postgres = has(head, b"postgresql") || has(head, b"sqlite") || has(head, b"pragma");
        let mysql = has(&sample, b"`") || has(head, b"mysql") || has(head, b"mariadb");
        let escapes = has(&sample, b"\\'") || has(&sample, b"\\\"");
        (opens && holds).then_some(Self { backslash: !postgres && (mysql || escapes) })
    }
}

/// Every row of a table of messages.
pub(super) fn lines<'a>(input: impl Read + 'a, dialect: Dialect, reading: &Reading) -> impl Read + 'a {
    Made::new(Dump {
        input,
        buffer: vec![0; READ_BYTES],
        bytes: Vec::new(),
        at: 0,
        ended: false,
        dialect,
        limits: reading.limits,
        names: reading.names.clone(),
        tables: HashMap::new(),
        state: State::Statement(Vec::new()),
        merged: Merged::default(),
        any: false,
    })
}

struct Dump<R> {
    input: R,
    buffer: Vec<u8>,
    bytes: Vec<u8>,
    at: usize,
    ended: bool,
    dialect: Dialect,
    limits: Limits,
    names: Names,
    /// The columns of tables, by their names, as `CREATE TABLE` has them.
    tables: HashMap<String, Vec<String>>,
    state: State,
    merged: Merged,
    /// Whether a table of messages was found.
    any: bool,
}

/// Where in a dump it stands.
#[derive(Debug)]
enum State {
    /// At the beginning of a statement, behind these words.
    Statement(Vec<String>),
    /// In a statement that is passed over.
    Other,
    /// In the columns of a new table; how many brackets are open, and whether a column may begin.
    Create { table: String, columns: Vec<String>, depth: usize, begins: bool },
    /// In the columns an `INSERT` or `COPY` names.
    Names { columns: Vec<String>, copy: bool },
    /// Before or between the rows of an `INSERT`.
    Values(Option<Columns>),
    /// In a row.
    Row(InRow),
    /// Behind the columns of a `COPY`, before its rows.
    CopyHead(Option<Columns>),
    /// In the rows of a `COPY`.
    Copy(Option<Columns>),
}

/// A row that has begun.
#[derive(Debug, Default)]
struct InRow {
    columns: Option<Columns>,
    cells: Vec<String>,
    cell: Option<String>,
    /// Whether the cell is a word, and nothing has come behind it.
    is_word: bool,
    /// Brackets that are open.
    depth: usize,
    bytes: usize,
}

/// A piece of a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    /// A word or number, in lower case.
    Word(String),
    /// A name in quotes or backquotes.
    Name(String),
    Text(String),
    Sign(u8),
}

impl<R: Read> Source for Dump<R> {
    fn more(&mut self, out: &mut Vec<u8>) -> io::Result<bool> {
        if self.ended {
            return Ok(false);
        }
        let read = self.input.read(&mut self.buffer)?;
        self.ended = read == 0;
        self.bytes.drain(..self.at);
        self.at = 0;
        self.bytes.extend_from_slice(&self.buffer[..read]);
        loop {
            let step = if matches!(self.state, State::Copy(_)) { self.copied(out) } else { self.token(out) };
            if step.is_none() {
                break;
            }
        }
        self.pass_over(out);
        if self.ended {
            self.merged.end(out);
            // A row that is not whole may still be written.
            if matches!(self.state, State::Row(_)) {
                out.push(b'{');
            } else if !self.any {
                return Err(Aside::Unrecognised.into());
            }
        }
        Ok(true)
    }
}

impl<R> Dump<R> {
    /// What is too long for a record is passed over by lines: whatever follows a quote nobody closed is looked at again.
    fn pass_over(&mut self, out: &mut Vec<u8>) {
        if self.bytes.len() - self.at <= self.limits.record_bytes_max {
            return;
        }
        self.merged.torn(out);
        mark(Defect::RecordTooLong, out);
        // Half of it, so that as much must come before it is looked at again.
        let rest = self.bytes.get(self.at + self.limits.record_bytes_max / 2..).unwrap_or_default();
        let line = memchr::memchr(b'\n', rest).map_or(rest.len(), |end| end + 1);
        self.at += self.limits.record_bytes_max / 2 + line;
        if !matches!(self.state, State::Copy(_)) {
            self.state = State::Statement(Vec::new());
        }
    }

    /// Takes one token. `None` when more bytes are needed.
    fn token(&mut self, out: &mut Vec<u8>) -> Option<()> {
        let (token, end) = token(self.bytes.get(self.at..)?, self.dialect, self.ended)?;
        self.at += end;
        if let Some(token) = token {
            let state = std::mem::replace(&mut self.state, State::Other);
            self.state = self.next(state, token, out);
        }
        Some(())
    }

    fn next(&mut self, state: State, token: Token, out: &mut Vec<u8>) -> State {
        match (state, token) {
            (State::Row(row), token) => self.in_row(row, token, out),
            (State::Create { table, columns, depth, begins }, token) => {
                self.in_create((table, columns, depth, begins), token)
            }
            (_, Token::Sign(b';')) => State::Statement(Vec::new()),
            // Not every program ends its statements.
            (State::Other | State::Values(_), Token::Word(word)) if BEGINNINGS.contains(&word.as_str()) => {
                State::Statement(vec![word])
            }
            (State::Statement(words), Token::Word(word))
                if BEGINNINGS.contains(&word.as_str())
                    && !words.first().is_some_and(|first| BEGINNINGS.contains(&first.as_str()) && first != "go") =>
            {
                State::Statement(vec![word])
            }
            (State::Statement(mut words), Token::Word(word) | Token::Name(word)) if words.len() < 12 => {
                let is_values = word == "values" || word == "value";
                words.push(word);
                match table_of(&words) {
                    Some((_, table)) if is_values => State::Values(self.columns(&table)),
                    _ => State::Statement(words),
                }
            }
            // Of a name with its schema the last part counts.
            (State::Statement(mut words), Token::Sign(b'.')) => {
                words.pop();
                State::Statement(words)
            }
            (State::Statement(words), Token::Sign(b'(')) => match table_of(&words) {
                Some(("create", table)) => State::Create { table, columns: Vec::new(), depth: 1, begins: true },
                Some((verb, _)) => State::Names { columns: Vec::new(), copy: verb == "copy" },
                None => State::Other,
            },
            (State::Names { mut columns, copy }, Token::Word(name) | Token::Name(name)) => {
                if columns.len() < COLUMNS_MAX && name.len() <= NAME_BYTES_MAX {
                    columns.push(name);
                }
                State::Names { columns, copy }
            }
            (State::Names { columns, copy }, Token::Sign(b')')) => {
                let columns = Columns::of(&columns, &self.names);
                if copy { State::CopyHead(columns) } else { State::Values(columns) }
            }
            (State::CopyHead(columns), Token::Word(word)) if word == "stdin" => State::Copy(columns),
            (State::Values(columns), Token::Sign(b'(')) => State::Row(InRow { columns, ..InRow::default() }),
            (state @ (State::Names { .. } | State::CopyHead(_) | State::Values(_) | State::Statement(_)), _) => state,
            (State::Other | State::Copy(_), _) => State::Other,
        }
    }

    fn in_create(
        &mut self,
        (table, mut columns, depth, begins): (String, Vec<String>, usize, bool),
        token: Token,
    ) -> State {
        let (depth, begins) = match token {
            Token::Sign(b'(') => (depth + 1, false),
            Token::Sign(b')') if depth == 1 => {
                columns.iter_mut().filter(|name| name.len() > NAME_BYTES_MAX).for_each(String::clear);
                if self.tables.len() < TABLES_MAX && table.len() <= NAME_BYTES_MAX {
                    self.tables.insert(table, columns);
                }
                return State::Other;
            }
            Token::Sign(b')') => (depth - 1, false),
            Token::Sign(b',') => (depth, depth == 1),
            Token::Name(name) if begins => {
                columns.push(name);
                (depth, false)
            }
            Token::Word(name) if begins && !NO_COLUMNS.contains(&name.as_str()) => {
                columns.push(name);
                (depth, false)
            }
            _ => (depth, false),
        };
        columns.truncate(COLUMNS_MAX);
        State::Create { table, columns, depth, begins }
    }

    fn in_row(&mut self, mut row: InRow, token: Token, out: &mut Vec<u8>) -> State {
        let was_word = std::mem::take(&mut row.is_word);
        match token {
            Token::Sign(b'(') => {
                // Of a call the first thing it is called with counts.
                if was_word {
                    row.cell = Some(NOTHING.to_owned());
                }
                row.depth += 1;
            }
            Token::Sign(b')') if row.depth > 0 => row.depth -= 1,
            Token::Sign(sign @ (b',' | b')')) if row.depth == 0 => {
                if row.cells.len() < COLUMNS_MAX {
                    row.cells.push(row.cell.take().filter(|cell| cell != NOTHING).unwrap_or_default());
                }
                if sign == b')' {
                    self.row(&row, out);
                    return State::Values(row.columns);
                }
            }
            // What stands before a text says how it is encoded, what stands behind it what it is cast to.
            Token::Text(text) if was_word || is_nothing(row.cell.as_deref()) => {
                row.bytes += text.len();
                row.cell = Some(text);
            }
            Token::Word(word) if is_nothing(row.cell.as_deref()) => {
                row.is_word = true;
                row.cell = Some(hex_text(&word).unwrap_or(word));
            }
            _ => {}
        }
        // One that is too long is not kept, only gone through to its end.
        if row.bytes > self.limits.record_bytes_max {
            (row.cells, row.cell) = (Vec::new(), None);
        }
        State::Row(row)
    }

    fn columns(&self, table: &str) -> Option<Columns> {
        Columns::of(self.tables.get(table)?, &self.names)
    }

    fn row(&mut self, row: &InRow, out: &mut Vec<u8>) {
        let Some(columns) = &row.columns else { return };
        self.any = true;
        if row.bytes > self.limits.record_bytes_max {
            self.merged.torn(out);
            mark(Defect::RecordTooLong, out);
        } else if row.cells.len() == columns.len() {
            self.merged.add(columns.entry(&row.cells), out);
        } else {
            self.merged.torn(out);
            mark(Defect::RowTorn, out);
        }
    }

    /// Takes one line of a `COPY`. `None` when more bytes are needed.
    fn copied(&mut self, out: &mut Vec<u8>) -> Option<()> {
        let rest = self.bytes.get(self.at..)?;
        let end = match memchr::memchr(b'\n', rest) {
            Some(end) => end,
            None if self.ended && !rest.is_empty() => rest.len(),
            None => return None,
        };
        let is_ended = end < rest.len();
        let line = rest[..end].strip_suffix(b"\r").unwrap_or(&rest[..end]).to_vec();
        self.at += (end + 1).min(rest.len());
        let State::Copy(columns) = std::mem::replace(&mut self.state, State::Other) else { return Some(()) };
        if line == b"\\." {
            self.state = State::Statement(Vec::new());
            return Some(());
        }
        // The end of the statement stands before the first row.
        if line != b";" && !line.is_empty() {
            let cells: Vec<String> = line.split(|byte| *byte == b'\t').map(copied_cell).collect();
            if is_ended || columns.as_ref().is_none_or(|columns| columns.len() == cells.len()) {
                let row = InRow { columns, cells, ..InRow::default() };
                self.row(&row, out);
                self.state = State::Copy(row.columns);
                return Some(());
            } else {
                self.merged.torn(out);
                out.push(b'{');
            }
        }
        self.state = State::Copy(columns);
        Some(())
    }
}

/// The verb of a statement that names a table, and the table.
fn table_of(words: &[String]) -> Option<(&'static str, String)> {
    const SKIPPED: [&str; 16] = [
        "ignore",
        "into",
        "low_priority",
        "delayed",
        "if",
        "not",
        "exists",
        "table",
        "temporary",
        "unlogged",
        "global",
        "local",
        "or",
        "only",
        "values",
        "value",
    ];
    let (verb, rest) = words.split_first()?;
    let verb = ["insert", "replace", "create", "copy"].into_iter().find(|known| known == verb)?;
    let is_table = verb != "create" || rest.iter().any(|word| word == "table");
    let table = rest.iter().rfind(|word| !SKIPPED.contains(&word.as_str()))?;
    is_table.then(|| (if verb == "replace" { "insert" } else { verb }, table.clone()))
}

/// The token that bytes begin with, none for white space and comments, and how many bytes it takes. `None` when more are needed.
fn token(bytes: &[u8], dialect: Dialect, ended: bool) -> Option<(Option<Token>, usize)> {
    let line = |bytes: &[u8]| match memchr::memchr(b'\n', bytes) {
        None if ended => Some((None, bytes.len())),
        end => end.map(|end| (None, end + 1)),
    };
    let all = |end: Option<usize>| end.or((ended && !bytes.is_empty()).then_some(bytes.len()));
    match bytes {
        [] => None,
        // The mark of UTF-8.
        [0xEF, 0xBB, 0xBF, ..] => Some((None, 3)),
        [b'-' | b'/'] if !ended => None,
        [b'-', b'-', ..] => line(bytes),
        [b'#', ..] if dialect.backslash => line(bytes),
        // What MySQL has in comments of its own is nothing that holds rows.
        [b'/', b'*', ..] => Some((None, all(memmem::find(bytes, b"*/").map(|end| end + 2))?)),
        [b'\'', ..] => quoted(bytes, b'\'', dialect.backslash).map(|(text, end)| (Some(Token::Text(text)), end)),
        [quote @ (b'"' | b'`'), ..] => {
            quoted(bytes, *quote, false).map(|(name, end)| (Some(Token::Name(name.to_lowercase())), end))
        }
        [byte, ..] if is_word(*byte) => {
            let end = all(bytes.iter().position(|byte| !is_word(*byte)))?;
            let word = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
            Some((Some(Token::Word(word)), end))
        }
        [byte, ..] if byte.is_ascii_whitespace() => Some((None, 1)),
        [byte, ..] => Some((Some(Token::Sign(*byte)), 1)),
    }
}

/// The text that a number of the base sixteen stands for, as some dumps have it.
fn hex_text(word: &str) -> Option<String> {
    let digits = word.strip_prefix("0x").filter(|digits| !digits.is_empty())?;
    String::from_utf8(hex::decode(digits).ok()?).ok()
}

/// Letters, digits and what numbers have.
fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_$+-".contains(&byte) || byte >= 0x80
}

/// A text in quotes, and how many bytes it takes with them. `None` when its end is not there.
fn quoted(bytes: &[u8], quote: u8, backslash: bool) -> Option<(String, usize)> {
    let mut text = Vec::new();
    let mut at = 1;
    loop {
        let rest = bytes.get(at..)?;
        let end = if backslash { memchr::memchr2(quote, b'\\', rest) } else { memchr::memchr(quote, rest) }?;
        text.extend_from_slice(&rest[..end]);
        at += end;
        match (bytes.get(at)?, bytes.get(at + 1)) {
            (b'\\', Some(escaped)) if backslash => {
                text.push(unescaped(*escaped));
                at += 2;
            }
            (b'\\', None) if backslash => return None,
            (_, Some(next)) if *next == quote => {
                text.push(quote);
                at += 2;
            }
            _ => return Some((String::from_utf8_lossy(&text).into_owned(), at + 1)),
        }
    }
}

fn unescaped(escaped: u8) -> u8 {
    match escaped {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 8,
        b'Z' => 26,
        b'0' => 0,
        other => other,
    }
}

/// A cell of a `COPY`.
fn copied_cell(cell: &[u8]) -> String {
    if cell == b"\\N" {
        return String::new();
    }
    let mut out = Vec::with_capacity(cell.len());
    let mut bytes = cell.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => out.extend(bytes.next().map(|escaped| unescaped(*escaped))),
            byte => out.push(*byte),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}
