//! Which pseudonyms have a name, and what names it beside the log: a fold over the entries about names.

use rusqlite::Connection;
use watchpost_proto::Digest;
use watchpost_proto::v1::NamesEntry;

use super::{StoreError, digest};

const TABLE: &str = "
    -- One row a pseudonym, but for logs in which a list was taken in twice.
    CREATE TABLE IF NOT EXISTS named (
        pseudonym TEXT NOT NULL,
        digest BLOB NOT NULL,
        PRIMARY KEY (pseudonym, digest)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX IF NOT EXISTS named_digest ON named (digest);
";

/// The table [`apply`] writes.
pub(super) const NAME: &str = "named";

/// Makes the table.
pub(super) fn create(db: &Connection) -> Result<(), StoreError> {
    Ok(db.execute_batch(TABLE)?)
}

/// Takes one entry into the table.
pub(super) fn apply(db: &Connection, entry: &NamesEntry) -> Result<(), StoreError> {
    let mut delete = db.prepare_cached("DELETE FROM named WHERE digest = ?1")?;
    for gone in &entry.removed {
        delete.execute([gone])?;
    }
    let mut insert =
        db.prepare_cached("INSERT INTO named (pseudonym, digest) VALUES (?1, ?2) ON CONFLICT DO NOTHING")?;
    for (pseudonym, come) in entry.pseudonyms.iter().zip(&entry.added) {
        insert.execute((pseudonym, come))?;
    }
    Ok(())
}

/// All that names what a pseudonym stands for.
///
/// # Errors
/// [`StoreError`].
pub(crate) fn names_of(db: &Connection, pseudonym: &str) -> Result<Vec<Digest>, StoreError> {
    let mut select = db.prepare_cached("SELECT digest FROM named WHERE pseudonym = ?1")?;
    let found = select.query_map([pseudonym], |row| row.get::<_, Vec<u8>>(0))?.collect::<Result<Vec<_>, _>>()?;
    found.iter().map(|bytes| digest(bytes)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pseudonym_stands_with_all_that_names_it_until_that_goes() {
        let db = Connection::open_in_memory().unwrap();
        create(&db).unwrap();
        let come = |byte: u8| NamesEntry {
            added: vec![vec![byte; 32]],
            pseudonyms: vec!["p_1".into()],
            ..NamesEntry::default()
        };
        for byte in [1, 2, 2] {
            apply(&db, &come(byte)).unwrap();
        }
        assert_eq!(names_of(&db, "p_1").unwrap(), [Digest([1; 32]), Digest([2; 32])]);
        apply(&db, &NamesEntry { removed: vec![vec![1; 32]], ..come(3) }).unwrap();
        assert_eq!(names_of(&db, "p_1").unwrap(), [Digest([2; 32]), Digest([3; 32])]);
    }
}
