//! Rosters: which there were is a fold over the log; their rows lie beside it, each once however many rosters have it, so that names can be erased.

use std::collections::BTreeSet;

use rusqlite::{Connection, OptionalExtension as _};
use watchpost_proto::document::{Kind, Signers};
use watchpost_proto::roster::{Head, account_name, leaf_of};
use watchpost_proto::v1::{
    Roster, RosterDetails, RosterEntry, RosterHeader, RosterRecord, RosterRow, SignedRosterHeader,
};
use watchpost_proto::{Digest, Message as _};

use super::StoreError;

/// Written by [`apply`] alone.
const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS roster (
        version INTEGER PRIMARY KEY,
        digest BLOB NOT NULL,
        log_index INTEGER NOT NULL,
        -- The encoded SignedRosterHeader.
        header BLOB NOT NULL
    ) STRICT;
";

/// Beside the log.
const ROWS: &str = "
    -- The leaves of each roster, 64 bytes each, in order.
    CREATE TABLE IF NOT EXISTS roster_leaves (digest BLOB PRIMARY KEY, leaves BLOB NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS roster_row (
        leaf BLOB PRIMARY KEY,
        account TEXT NOT NULL,
        row BLOB NOT NULL,
        -- Empty where it was erased.
        details BLOB NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX IF NOT EXISTS roster_row_account ON roster_row (account);
";
const LEAF_BYTES: usize = 64;

/// The table [`apply`] writes.
pub(super) const NAME: &str = "roster";

/// Makes the tables that `log verify` derives once more.
pub(super) fn create_empty(db: &Connection) -> Result<(), StoreError> {
    Ok(db.execute_batch(TABLES)?)
}

/// Makes all tables.
pub(super) fn create(db: &Connection) -> Result<(), StoreError> {
    db.execute_batch(ROWS)?;
    create_empty(db)
}

/// The latest roster.
#[derive(Clone, Debug)]
pub struct LatestRoster {
    /// Version and digest.
    pub head: Head,
    /// Who may sign the next.
    pub next: Signers,
    /// Its header.
    pub signed: SignedRosterHeader,
    /// Its entry.
    pub log_index: u64,
}

/// Takes one entry of the kind into the table.
pub(super) fn apply(db: &Connection, log_index: u64, header: &[u8]) -> Result<(), StoreError> {
    let malformed = || StoreError::Damaged(format!("entry {log_index} is malformed"));
    let signed = RosterEntry::decode(header).ok().and_then(|entry| entry.roster).ok_or_else(malformed)?;
    let read = RosterHeader::decode(&signed.header[..]).map_err(|_| malformed())?;
    let digest = Kind::Roster.digest(&signed.header);
    db.prepare_cached("INSERT INTO roster (version, digest, log_index, header) VALUES (?1, ?2, ?3, ?4)")?.execute((
        read.version,
        digest.to_vec(),
        log_index,
        signed.encode_to_vec(),
    ))?;
    Ok(())
}

/// The latest roster, where there is one.
///
/// # Errors
/// [`StoreError`].
pub fn latest_roster(db: &Connection) -> Result<Option<LatestRoster>, StoreError> {
    let row = db
        .query_row("SELECT digest, log_index, header FROM roster ORDER BY version DESC LIMIT 1", [], |row| {
            Ok((row.get::<_, Vec<u8>>(0)?, row.get(1)?, row.get::<_, Vec<u8>>(2)?))
        })
        .optional()?;
    let Some((digest, log_index, signed)) = row else { return Ok(None) };
    let damaged = || StoreError::Damaged("the header of a roster is not one".into());
    let signed = SignedRosterHeader::decode(&signed[..]).map_err(|_| damaged())?;
    let header = RosterHeader::decode(&signed.header[..]).map_err(|_| damaged())?;
    let next = header.next.as_ref().and_then(Signers::read).ok_or_else(damaged)?;
    let head = Head { version: header.version, digest: super::digest(&digest)? };
    Ok(Some(LatestRoster { head, next, signed, log_index }))
}

/// The headers of all rosters, the oldest first.
///
/// # Errors
/// [`StoreError`].
pub fn roster_headers(db: &Connection) -> Result<Vec<SignedRosterHeader>, StoreError> {
    let mut select = db.prepare("SELECT header FROM roster ORDER BY version")?;
    let headers = select.query_map([], |row| row.get::<_, Vec<u8>>(0))?.collect::<Result<Vec<_>, _>>()?;
    let damaged = |_| StoreError::Damaged("the header of a roster is not one".into());
    headers.iter().map(|header| SignedRosterHeader::decode(&header[..]).map_err(damaged)).collect()
}

/// Digests of the details that were erased.
fn erased_details(db: &Connection) -> Result<BTreeSet<Vec<u8>>, StoreError> {
    let mut select = db.prepare("SELECT row FROM roster_row WHERE details = x''")?;
    let rows = select.query_map([], |row| row.get::<_, Vec<u8>>(0))?.collect::<Result<Vec<_>, _>>()?;
    Ok(rows.iter().filter_map(|row| Some(RosterRow::decode(&row[..]).ok()?.details)).collect())
}

/// Keeps the rows of a roster. In the transaction of its entry. What was erased stays so, also where the same details come in
/// another row or with a file that was signed before; whoever is entered anew has another salt, and so other details.
///
/// # Errors
/// [`StoreError`].
pub fn keep_rows(db: &Connection, digest: &Digest, records: &[RosterRecord]) -> Result<(), StoreError> {
    let mut leaves = Vec::with_capacity(records.len() * LEAF_BYTES);
    let erased = erased_details(db)?;
    let mut insert = db.prepare_cached(
        "INSERT INTO roster_row (leaf, account, row, details) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING",
    )?;
    for record in records {
        let row = RosterRow::decode(&record.row[..]).map_err(|_| StoreError::Unfit("a row is none".into()))?;
        let account = account_name(&row.corp, &row.userid);
        let leaf = leaf_of(&account, &record.row);
        let details = if erased.contains(&row.details) { &[][..] } else { &record.details };
        insert.execute((&leaf[..], &account, &record.row, details))?;
        leaves.extend_from_slice(&leaf);
    }
    db.execute("INSERT OR REPLACE INTO roster_leaves (digest, leaves) VALUES (?1, ?2)", (digest.to_vec(), leaves))?;
    Ok(())
}

/// A row of a roster, with what stays at the collector.
pub(crate) struct RosterRowAt {
    /// Its leaf.
    pub(crate) leaf: Vec<u8>,
    /// What devices get.
    pub(crate) row: RosterRow,
    /// What they do not; empty where it was erased.
    pub(crate) details: RosterDetails,
}

/// What one roster says otherwise than the one before it.
pub(crate) struct RosterChange {
    /// Leaves that are not in it any more.
    pub(crate) gone: Vec<Vec<u8>>,
    /// Rows that were not in the one before.
    pub(crate) come: Vec<RosterRowAt>,
}

/// Compares two rosters, or one with none; `None` where the rows are not held. Reads only the rows that differ.
///
/// # Errors
/// [`StoreError`].
pub(crate) fn roster_change(
    db: &Connection,
    before: Option<&Digest>,
    now: &Digest,
) -> Result<Option<RosterChange>, StoreError> {
    let Some(leaves_now) = leaves(db, now)? else { return Ok(None) };
    let leaves_before = before.map(|digest| leaves(db, digest)).transpose()?.flatten().unwrap_or_default();
    let set = |leaves: &[u8]| leaves.chunks(LEAF_BYTES).map(<[u8]>::to_vec).collect::<BTreeSet<_>>();
    let (set_before, set_now) = (set(&leaves_before), set(&leaves_now));
    let mut select = db.prepare_cached("SELECT row, details FROM roster_row WHERE leaf = ?1")?;
    let mut come = Vec::new();
    for leaf in set_now.difference(&set_before) {
        let found: Option<(Vec<u8>, Vec<u8>)> =
            select.query_row([leaf], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        if let Some((row, details)) = found
            && let (Ok(row), Ok(details)) = (RosterRow::decode(&row[..]), RosterDetails::decode(&details[..]))
        {
            come.push(RosterRowAt { leaf: leaf.clone(), row, details });
        }
    }
    Ok(Some(RosterChange { gone: set_before.difference(&set_now).cloned().collect(), come }))
}

fn leaves(db: &Connection, digest: &Digest) -> Result<Option<Vec<u8>>, StoreError> {
    let mut select = db.prepare_cached("SELECT leaves FROM roster_leaves WHERE digest = ?1")?;
    Ok(select.query_row([digest.to_vec()], |row| row.get(0)).optional()?)
}

/// A roster with its rows.
///
/// # Errors
/// [`StoreError`]; a row that is missing is damage.
pub fn roster_of(db: &Connection, signed: &SignedRosterHeader) -> Result<Roster, StoreError> {
    let damaged = || StoreError::Damaged("the rows of a roster are missing".into());
    let digest = Kind::Roster.digest(&signed.header);
    let leaves = leaves(db, &digest)?.ok_or_else(damaged)?;
    let mut select = db.prepare_cached("SELECT row, details FROM roster_row WHERE leaf = ?1")?;
    let mut records = Vec::with_capacity(leaves.len() / LEAF_BYTES);
    for leaf in leaves.chunks(LEAF_BYTES) {
        let record =
            select.query_row([leaf], |row| Ok(RosterRecord { row: row.get(0)?, details: row.get(1)? })).optional()?;
        records.push(record.ok_or_else(damaged)?);
    }
    Ok(Roster { header: Some(signed.clone()), records })
}

/// Blanks name and number of a person in every roster. What devices get has a digest of them alone, so every proof stays.
///
/// # Errors
/// [`StoreError`].
pub(crate) fn blank_person(db: &Connection, account: &str) -> Result<usize, StoreError> {
    Ok(db.execute("UPDATE roster_row SET details = x'' WHERE account = ?1 AND details <> x''", [account])?)
}

/// Whether a roster has name or number of a person.
///
/// # Errors
/// [`StoreError`].
pub(crate) fn names_person(db: &Connection, account: &str) -> Result<bool, StoreError> {
    Ok(db.prepare_cached("SELECT 1 FROM roster_row WHERE account = ?1 AND details <> x''")?.exists([account])?)
}
