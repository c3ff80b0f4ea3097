//! What findings are found by beside their text: each kind of name has numbers, and a letter in the terms.

use rusqlite::{Connection, OptionalExtension as _};

/// A kind of name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    /// `pack TAB rule`.
    Rule,
    Pack,
    Category,
    /// An account or pseudonym: persons concerned, senders and receivers.
    Party,
    Room,
    Type,
    /// A word of a list.
    Word,
}

impl Kind {
    pub(super) fn number(self) -> i64 {
        match self {
            Self::Rule => 1,
            Self::Pack => 2,
            Self::Category => 3,
            Self::Party => 4,
            Self::Room => 5,
            Self::Type => 6,
            Self::Word => 7,
        }
    }
}

/// In which part of a finding a name stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Rule,
    Pack,
    Category,
    Person,
    From,
    To,
    Room,
    Type,
    Word,
    Level,
    Device,
}

impl Part {
    fn letter(self) -> char {
        match self {
            Self::Rule => 'r',
            Self::Pack => 'k',
            Self::Category => 'c',
            Self::Person => 'p',
            Self::From => 'f',
            Self::To => 't',
            Self::Room => 'g',
            Self::Type => 'y',
            Self::Word => 'w',
            Self::Level => 'l',
            Self::Device => 'd',
        }
    }

    /// The term of a name in this part. No word of a text begins so.
    pub(super) fn term(self, number: i64) -> String {
        format!("_{}{number:x}", self.letter())
    }
}

/// The term that every finding has.
pub(super) const ALL: &str = "_x";

/// The number of a name, where it has one.
pub(super) fn number_of(db: &Connection, kind: Kind, text: &str) -> rusqlite::Result<Option<i64>> {
    let mut select =
        db.prepare_cached("SELECT id FROM term WHERE kind = ?1 AND text = ?2 COLLATE NOCASE AND text = ?2")?;
    select.query_row((kind.number(), text), |row| row.get(0)).optional()
}

/// The numbers of a name, however it is spelled.
pub(super) fn numbers_of(db: &Connection, kind: Kind, text: &str) -> rusqlite::Result<Vec<i64>> {
    let mut select = db.prepare_cached("SELECT id FROM term WHERE kind = ?1 AND text = ?2 COLLATE NOCASE")?;
    select.query_map((kind.number(), text), |row| row.get(0))?.collect()
}

/// The name with a number.
pub(super) fn name_of(db: &Connection, number: i64) -> rusqlite::Result<String> {
    let mut select = db.prepare_cached("SELECT text FROM term WHERE id = ?1")?;
    Ok(select.query_row([number], |row| row.get(0)).optional()?.unwrap_or_default())
}
