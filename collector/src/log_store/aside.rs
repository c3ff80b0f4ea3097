//! What entries name only by a salted digest, and what may therefore be erased without touching a proof: what people wrote,
//! names, hashes of passwords.

use rusqlite::{Connection, OptionalExtension as _};
use watchpost_proto::Digest;
use watchpost_proto::digest::hash;

use super::{StoreError, digest, random};

/// Beside the log.
pub(super) const TABLE: &str = "
    CREATE TABLE IF NOT EXISTS aside (digest BLOB PRIMARY KEY, salt BLOB NOT NULL, bytes BLOB NOT NULL) STRICT;
";
const SALT_BYTES: usize = 16;

/// Keeps bytes, in the transaction of the entry that names them; returns what names them.
///
/// # Errors
/// [`StoreError`].
pub fn keep(db: &Connection, bytes: &[u8]) -> Result<Digest, StoreError> {
    let salt: [u8; SALT_BYTES] = random()?;
    let digest = name(&salt, bytes);
    db.prepare_cached("INSERT INTO aside (digest, salt, bytes) VALUES (?1, ?2, ?3)")?.execute((
        &digest.0[..],
        &salt[..],
        bytes,
    ))?;
    Ok(digest)
}

/// What an entry names; `None` where it was erased.
///
/// # Errors
/// [`StoreError`]; bytes that are not those the entry names are damage.
pub fn read(db: &Connection, named: &Digest) -> Result<Option<Vec<u8>>, StoreError> {
    let found: Option<(Vec<u8>, Vec<u8>)> = db
        .prepare_cached("SELECT salt, bytes FROM aside WHERE digest = ?1")?
        .query_row([&named.0[..]], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((salt, bytes)) = found else { return Ok(None) };
    if name(&salt, &bytes) != *named {
        return Err(StoreError::Damaged("what an entry names is not what it was".into()));
    }
    Ok(Some(bytes))
}

/// A text an entry names; `None` where it names none, and where it was erased.
///
/// # Errors
/// As [`read`].
pub fn text(db: &Connection, named: &[u8]) -> Result<Option<String>, StoreError> {
    if named.is_empty() {
        return Ok(None);
    }
    Ok(read(db, &digest(named)?)?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}

/// Erases what an entry names.
///
/// # Errors
/// [`StoreError`].
pub fn erase(db: &Connection, named: &[u8]) -> Result<bool, StoreError> {
    Ok(db.prepare_cached("DELETE FROM aside WHERE digest = ?1")?.execute([named])? == 1)
}

fn name(salt: &[u8], bytes: &[u8]) -> Digest {
    hash("watchpost/aside", &[salt, bytes])
}
