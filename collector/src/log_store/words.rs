//! Lists of words and how each word stands: a fold over the entries about words. A step that does not fit how a word stands
//! changes nothing, and nobody approves what they asked for themselves.

use rusqlite::{Connection, OptionalExtension as _, Row};
use watchpost_proto::Digest;
use watchpost_proto::v1::{WordsEntry, WordsVerb};

use super::StoreError;

const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS word_list (
        list TEXT PRIMARY KEY,
        pack TEXT NOT NULL,
        file TEXT NOT NULL,
        by TEXT NOT NULL,
        at_ms INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS word (
        digest BLOB PRIMARY KEY,
        list TEXT NOT NULL,
        -- 1 proposed, 2 approved, 3 to be withdrawn, 4 withdrawn, 5 rejected.
        state INTEGER NOT NULL,
        -- The word that goes once this one is approved; empty where none does.
        replaces BLOB NOT NULL,
        owner TEXT NOT NULL,
        added_ms INTEGER NOT NULL,
        -- Who asked for what is to be approved.
        asked_by TEXT NOT NULL,
        asked_ms INTEGER NOT NULL,
        -- Who said the last word about it; empty where nobody has.
        settled_by TEXT NOT NULL,
        settled_ms INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX IF NOT EXISTS word_of_list ON word (list, state);
";

/// The tables [`apply`] writes.
pub(super) const NAMES: [&str; 2] = ["word_list", "word"];

/// How a word stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WordState {
    /// It waits for a second person.
    Proposed,
    /// It belongs to the list.
    Approved,
    /// It belongs to the list until a second person agrees that it goes.
    Leaving,
    /// It belonged to the list.
    Withdrawn,
    /// It never did.
    Rejected,
}

impl WordState {
    fn of(number: i64) -> Option<Self> {
        [Self::Proposed, Self::Approved, Self::Leaving, Self::Withdrawn, Self::Rejected]
            .into_iter()
            .find(|state| *state as i64 + 1 == number)
    }
}

/// A list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WordListFacts {
    /// Its name.
    pub list: String,
    /// The pack it is for.
    pub pack: String,
    /// The file, as the pack names it.
    pub file: String,
    /// Who has begun it.
    pub by: String,
    /// When.
    pub at_ms: i64,
}

/// A word of a list. What it says lies beside the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WordFacts {
    /// What names it beside the log.
    pub digest: Digest,
    /// How it stands.
    pub state: WordState,
    /// The word that goes once this one is approved.
    pub replaces: Option<Digest>,
    /// Who proposed it.
    pub owner: String,
    /// When.
    pub added_ms: i64,
    /// Who asked for what is to be approved.
    pub asked_by: String,
    /// When.
    pub asked_ms: i64,
    /// Who said the last word about it; empty where nobody has.
    pub settled_by: String,
    /// When.
    pub settled_ms: i64,
}

/// Makes the tables.
pub(super) fn create(db: &Connection) -> Result<(), StoreError> {
    Ok(db.execute_batch(TABLES)?)
}

/// Takes one entry into the tables.
pub(super) fn apply(db: &Connection, entry: &WordsEntry) -> Result<(), StoreError> {
    let (by, at_ms) = (&entry.by, entry.at_ms);
    match entry.verb() {
        WordsVerb::Make => {
            db.prepare_cached("INSERT INTO word_list VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING")?
                .execute((&entry.list, &entry.pack, &entry.file, by, at_ms))?;
        }
        WordsVerb::Propose => {
            let mut insert = db.prepare_cached(
                "INSERT INTO word VALUES (?1, ?2, 1, ?3, ?4, ?5, ?4, ?5, '', 0) ON CONFLICT DO NOTHING",
            )?;
            for (place, word) in entry.words.iter().enumerate() {
                let replaces = entry.replaces.get(place).map_or(&[][..], Vec::as_slice);
                insert.execute((word, &entry.list, replaces, by, at_ms))?;
            }
        }
        WordsVerb::Withdraw => {
            let mut ask = db.prepare_cached(
                "UPDATE word SET state = 3, asked_by = ?3, asked_ms = ?4 WHERE digest = ?1 AND list = ?2 AND state = 2",
            )?;
            for word in &entry.words {
                ask.execute((word, &entry.list, by, at_ms))?;
            }
        }
        WordsVerb::Approve => approve(db, entry)?,
        WordsVerb::Reject => {
            let mut reject = db.prepare_cached(
                "UPDATE word SET state = iif(state = 1, 5, 2), settled_by = ?3, settled_ms = ?4
                 WHERE digest = ?1 AND list = ?2 AND state IN (1, 3)",
            )?;
            for word in &entry.words {
                reject.execute((word, &entry.list, by, at_ms))?;
            }
        }
        // What it said is gone from beside the log; that it was there is not.
        WordsVerb::Erase | WordsVerb::Unspecified => {}
    }
    Ok(())
}

/// Only by somebody else than who asked for it.
fn approve(db: &Connection, entry: &WordsEntry) -> Result<(), StoreError> {
    let mut approve = db.prepare_cached(
        "UPDATE word SET state = iif(state = 1, 2, 4), settled_by = ?3, settled_ms = ?4
         WHERE digest = ?1 AND list = ?2 AND state IN (1, 3) AND lower(asked_by) <> lower(?3) RETURNING replaces, state",
    )?;
    let mut replace = db.prepare_cached(
        "UPDATE word SET state = 4, settled_by = ?3, settled_ms = ?4 WHERE digest = ?1 AND list = ?2 AND state IN (2, 3)",
    )?;
    for word in &entry.words {
        let step = (word, &entry.list, &entry.by, entry.at_ms);
        let read = |row: &Row<'_>| Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, i64>(1)?));
        if let Some((replaced, 2)) = approve.query_row(step, read).optional()? {
            replace.execute((replaced, &entry.list, &entry.by, entry.at_ms))?;
        }
    }
    Ok(())
}

/// Every list, by name.
pub(crate) fn lists(db: &Connection) -> Result<Vec<WordListFacts>, StoreError> {
    let mut select = db.prepare_cached("SELECT list, pack, file, by, at_ms FROM word_list ORDER BY list")?;
    let rows = select.query_map([], |row| {
        Ok(WordListFacts {
            list: row.get(0)?,
            pack: row.get(1)?,
            file: row.get(2)?,
            by: row.get(3)?,
            at_ms: row.get(4)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The words of a list, the latest asked for first.
pub(crate) fn words(db: &Connection, list: &str) -> Result<Vec<WordFacts>, StoreError> {
    let mut select = db.prepare_cached(
        "SELECT digest, state, replaces, owner, added_ms, asked_by, asked_ms, settled_by, settled_ms FROM word
         WHERE list = ?1 ORDER BY asked_ms DESC, digest",
    )?;
    let rows = select.query_map([list], |row| {
        let (digest, state, replaces): (Vec<u8>, i64, Vec<u8>) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let Some((digest, state)) = Digest::from_slice(&digest).zip(WordState::of(state)) else { return Ok(None) };
        Ok(Some(WordFacts {
            digest,
            state,
            replaces: Digest::from_slice(&replaces),
            owner: row.get(3)?,
            added_ms: row.get(4)?,
            asked_by: row.get(5)?,
            asked_ms: row.get(6)?,
            settled_by: row.get(7)?,
            settled_ms: row.get(8)?,
        }))
    })?;
    Ok(rows.filter_map(Result::transpose).collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(verb: WordsVerb, words: &[u8], by: &str) -> WordsEntry {
        let words = words.iter().map(|byte| vec![*byte; 32]).collect();
        WordsEntry { verb: verb.into(), list: "l".into(), words, by: by.into(), at_ms: 1, ..WordsEntry::default() }
    }

    fn states(db: &Connection) -> Vec<(u8, WordState)> {
        let mut states: Vec<_> =
            words(db, "l").unwrap().into_iter().map(|word| (word.digest.0[0], word.state)).collect();
        states.sort_by_key(|(byte, _)| *byte);
        states
    }

    #[test]
    fn a_word_comes_in_and_goes_by_two_persons() {
        use WordState::{Approved, Leaving, Proposed, Rejected, Withdrawn};
        let db = Connection::open_in_memory().unwrap();
        create(&db).unwrap();
        let steps: [(WordsEntry, &[(u8, WordState)]); 10] = [
            (entry(WordsVerb::Propose, &[1, 2], "li"), &[(1, Proposed), (2, Proposed)]),
            (entry(WordsVerb::Approve, &[1, 2], "LI"), &[(1, Proposed), (2, Proposed)]),
            (entry(WordsVerb::Withdraw, &[1], "wu"), &[(1, Proposed), (2, Proposed)]),
            (entry(WordsVerb::Approve, &[1], "wu"), &[(1, Approved), (2, Proposed)]),
            (entry(WordsVerb::Reject, &[1, 2], "li"), &[(1, Approved), (2, Rejected)]),
            (entry(WordsVerb::Withdraw, &[1, 2], "wu"), &[(1, Leaving), (2, Rejected)]),
            (entry(WordsVerb::Approve, &[1, 2], "wu"), &[(1, Leaving), (2, Rejected)]),
            (entry(WordsVerb::Reject, &[1], "wu"), &[(1, Approved), (2, Rejected)]),
            (entry(WordsVerb::Withdraw, &[1], "li"), &[(1, Leaving), (2, Rejected)]),
            (entry(WordsVerb::Approve, &[1], "wu"), &[(1, Withdrawn), (2, Rejected)]),
        ];
        for (step, expected) in steps {
            apply(&db, &step).unwrap();
            assert_eq!(states(&db), expected, "{step:?}");
        }
    }

    #[test]
    fn what_replaces_a_word_sends_it_away_only_when_it_is_approved_itself() {
        use WordState::{Approved, Proposed, Withdrawn};
        let db = Connection::open_in_memory().unwrap();
        create(&db).unwrap();
        apply(&db, &entry(WordsVerb::Propose, &[1], "li")).unwrap();
        apply(&db, &entry(WordsVerb::Approve, &[1], "wu")).unwrap();
        let change = WordsEntry { replaces: vec![vec![1; 32]], ..entry(WordsVerb::Propose, &[2], "li") };
        apply(&db, &change).unwrap();
        assert_eq!(states(&db), [(1, Approved), (2, Proposed)]);
        apply(&db, &entry(WordsVerb::Approve, &[2], "li")).unwrap();
        assert_eq!(states(&db), [(1, Approved), (2, Proposed)]);
        apply(&db, &entry(WordsVerb::Approve, &[2], "wu")).unwrap();
        assert_eq!(states(&db), [(1, Withdrawn), (2, Approved)]);
        let elsewhere = WordsEntry { list: "other".into(), ..entry(WordsVerb::Withdraw, &[2], "li") };
        apply(&db, &elsewhere).unwrap();
        assert_eq!(states(&db), [(1, Withdrawn), (2, Approved)], "each list has its own words");
    }
}
