//! Who may enrol and who has: indexes over the entries about tokens, enrolments, certificates and expected assets.
//!
//! Each table is a fold over the log, written by [`apply`] and nothing else. The appender calls it with every entry it
//! appends; `log verify` calls it again on an empty database and compares.

use rusqlite::{Connection, OptionalExtension as _, Row};
use watchpost_proto::keys::KeyId;
use watchpost_proto::v1::{
    AccessEntry, DeviceAction, EnrolmentEntry, EnrolmentVerb, EntryKind, ExpectedEntry, KeyCause, KeyEvent, LogOpened,
    LogShown, NamesEntry, NotificationEntry, SettingEntry, Shortfall, TokenEntry, TokenTerms, TokenVerb, WordsEntry,
};
use watchpost_proto::{DeviceId, Digest, Message as _};

use super::{StoreError, issued, logs, named, notifications, operators, policies, rekeys, rosters, shortfalls, words};

/// The list of expected assets.
pub(crate) const EXPECTED: &str = "
    CREATE TABLE expected (asset TEXT PRIMARY KEY, grp TEXT NOT NULL, site TEXT NOT NULL) STRICT, WITHOUT ROWID;
";

const TABLES: &str = "
    CREATE TABLE token (
        token BLOB PRIMARY KEY,
        grp TEXT NOT NULL,
        site TEXT NOT NULL,
        expires_ms INTEGER NOT NULL,
        uses_max INTEGER NOT NULL,
        uses INTEGER NOT NULL,
        terms INTEGER NOT NULL,
        revoked INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE enrolment (
        token BLOB NOT NULL,
        key_id BLOB NOT NULL,
        -- An EnrolmentVerb: the last step taken.
        step INTEGER NOT NULL,
        device BLOB,
        grp TEXT NOT NULL,
        site TEXT NOT NULL,
        hostname TEXT NOT NULL,
        asset TEXT NOT NULL,
        PRIMARY KEY (token, key_id)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX enrolment_asset ON enrolment (asset) WHERE asset <> '';
    -- The latest certificate of each device.
    CREATE TABLE certificate (
        device BLOB PRIMARY KEY,
        key_id BLOB NOT NULL,
        -- The key it replaced; empty for the first.
        replaced_key_id BLOB,
        -- Its key event.
        log_index INTEGER NOT NULL,
        proved INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
";

/// Makes the tables.
pub(super) fn create_empty(db: &Connection) -> Result<(), StoreError> {
    db.execute_batch(EXPECTED)?;
    db.execute_batch(TABLES)?;
    create_later(db)
}

/// Makes the tables that came after the others, where they are missing; no entry of a log from before is about them.
pub(super) fn create_later(db: &Connection) -> Result<(), StoreError> {
    LATER.iter().try_for_each(|table| db.execute_batch(table))?;
    policies::create(db)?;
    operators::create(db)?;
    notifications::create(db)?;
    named::create(db)?;
    words::create(db)?;
    rosters::create_empty(db)
}

/// Makes the tables and fills them from the entries there are: those of a log from before devices could enrol.
pub(super) fn create(db: &Connection) -> Result<(), StoreError> {
    create_empty(db)?;
    db.execute_batch("CREATE INDEX key_by_id ON key (key_id)")?;
    let mut select = db.prepare("SELECT log_index, header FROM entry WHERE kind = ?1 ORDER BY log_index")?;
    let mut rows = select.query([EntryKind::KeyEvent as i32])?;
    while let Some(row) = rows.next()? {
        apply(db, row.get(0)?, EntryKind::KeyEvent, row.get_ref(1)?.as_blob().unwrap_or_default())?;
    }
    Ok(())
}

/// Tables that came after the others.
const LATER: [&str; 4] = [logs::TABLE, shortfalls::TABLE, rekeys::TABLE, issued::TABLE];

/// The tables [`apply`] writes, in no particular order.
pub(super) const NAMES: [&str; 12] = [
    "token",
    "enrolment",
    "expected",
    "certificate",
    "issued",
    "past_log",
    "shortfall",
    "rekey",
    rosters::NAME,
    named::NAME,
    words::NAMES[0],
    words::NAMES[1],
];

/// A token as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenFacts {
    /// The policy group it enrols into.
    pub group: String,
    /// The site it enrols into.
    pub site: String,
    /// When it ends, milliseconds since 1970.
    pub expires_ms: i64,
    /// How often it may be used.
    pub uses_max: u32,
    /// How often it was.
    pub uses: u32,
    /// Who gets a certificate at once.
    pub terms: TokenTerms,
    /// Withdrawn.
    pub revoked: bool,
}

/// How far one key has come with one token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnrolmentFacts {
    /// The last step taken.
    pub step: EnrolmentVerb,
    /// What it was given, once it was.
    pub device: Option<DeviceId>,
    /// The group it is to belong to.
    pub group: String,
    /// The site it is to belong to.
    pub site: String,
    /// As the device says.
    pub hostname: String,
    /// As the device says.
    pub asset: String,
}

/// The latest certificate of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CertificateFacts {
    /// Its key.
    pub key_id: KeyId,
    /// The key it replaced.
    pub replaced: Option<KeyId>,
    /// Its key event.
    pub log_index: u64,
    /// The device has connected with it.
    pub proved: bool,
}

/// Takes one entry into the tables. Entries of other kinds change nothing.
pub(super) fn apply(db: &Connection, log_index: u64, kind: EntryKind, header: &[u8]) -> Result<(), StoreError> {
    let malformed = |_| StoreError::Damaged(format!("entry {log_index} is malformed"));
    match kind {
        EntryKind::Token => token(db, &TokenEntry::decode(header).map_err(malformed)?),
        EntryKind::Enrolment => enrolment(db, &EnrolmentEntry::decode(header).map_err(malformed)?),
        EntryKind::Expected => expected(db, &ExpectedEntry::decode(header).map_err(malformed)?),
        EntryKind::KeyEvent => certificate(db, log_index, &KeyEvent::decode(header).map_err(malformed)?),
        EntryKind::Policy => policies::apply(db, log_index, header),
        EntryKind::Roster => rosters::apply(db, log_index, header),
        EntryKind::Operator => operators::apply(db, log_index, header),
        EntryKind::Access => operators::came_in(db, &AccessEntry::decode(header).map_err(malformed)?),
        EntryKind::LogOpened => logs::opened(db, log_index, &LogOpened::decode(header).map_err(malformed)?),
        EntryKind::LogShown => logs::shown(db, &LogShown::decode(header).map_err(malformed)?),
        EntryKind::Shortfall => shortfalls::apply(db, log_index, &Shortfall::decode(header).map_err(malformed)?),
        EntryKind::Notification => {
            notifications::apply(db, log_index, &NotificationEntry::decode(header).map_err(malformed)?)
        }
        EntryKind::Setting => notifications::set(db, log_index, &SettingEntry::decode(header).map_err(malformed)?),
        EntryKind::Names => named::apply(db, &NamesEntry::decode(header).map_err(malformed)?),
        EntryKind::Words => words::apply(db, &WordsEntry::decode(header).map_err(malformed)?),
        EntryKind::DeviceAction => rekeys::apply(db, &DeviceAction::decode(header).map_err(malformed)?),
        _ => Ok(()),
    }
}

fn token(db: &Connection, entry: &TokenEntry) -> Result<(), StoreError> {
    match entry.verb() {
        TokenVerb::Create => {
            db.prepare_cached(
                "INSERT INTO token (token, grp, site, expires_ms, uses_max, uses, terms, revoked)
                 VALUES (?1, ?2, ?3, ?4, ?5, 0, ?6, 0) ON CONFLICT DO NOTHING",
            )?
            .execute((
                &entry.token,
                &entry.group,
                &entry.site,
                entry.expires_ms,
                entry.uses_max,
                entry.terms,
            ))?;
        }
        TokenVerb::Revoke => {
            db.prepare_cached("UPDATE token SET revoked = 1 WHERE token = ?1")?.execute([&entry.token])?;
        }
        TokenVerb::Unspecified => {}
    }
    Ok(())
}

fn enrolment(db: &Connection, entry: &EnrolmentEntry) -> Result<(), StoreError> {
    if entry.verb() == EnrolmentVerb::Proved {
        db.prepare_cached("UPDATE certificate SET proved = 1 WHERE device = ?1 AND key_id = ?2")?
            .execute((&entry.device, &entry.key_id))?;
        return Ok(());
    }
    let known = db
        .prepare_cached("SELECT 1 FROM enrolment WHERE token = ?1 AND key_id = ?2")?
        .exists((&entry.token, &entry.key_id))?;
    if !known {
        db.prepare_cached("UPDATE token SET uses = uses + 1 WHERE token = ?1")?.execute([&entry.token])?;
    }
    let device = (!entry.device.is_empty()).then_some(&entry.device);
    db.prepare_cached(
        "INSERT OR REPLACE INTO enrolment (token, key_id, step, device, grp, site, hostname, asset)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?
    .execute((
        &entry.token,
        &entry.key_id,
        entry.verb,
        device,
        &entry.group,
        &entry.site,
        &entry.hostname,
        &entry.asset,
    ))?;
    Ok(())
}

/// Takes a part of the list of expected assets into [`EXPECTED`].
pub(crate) fn expected(db: &Connection, entry: &ExpectedEntry) -> Result<(), StoreError> {
    if entry.begins {
        db.execute("DELETE FROM expected", [])?;
    }
    let mut insert = db.prepare_cached("INSERT OR REPLACE INTO expected (asset, grp, site) VALUES (?1, ?2, ?3)")?;
    for device in &entry.devices {
        insert.execute((&device.asset, &device.group, &device.site))?;
    }
    Ok(())
}

fn certificate(db: &Connection, log_index: u64, event: &KeyEvent) -> Result<(), StoreError> {
    // A certificate that was issued elsewhere is seen because its device has connected with it.
    let proved = event.cause() == KeyCause::Unspecified;
    if proved && issued::is_outdated(db, event)? {
        return Ok(());
    }
    let replaced: Option<Vec<u8>> = db
        .prepare_cached("SELECT key_id FROM certificate WHERE device = ?1")?
        .query_row([&event.device], |row| row.get(0))
        .optional()?;
    db.prepare_cached(
        "INSERT OR REPLACE INTO certificate (device, key_id, replaced_key_id, log_index, proved)
         VALUES (?1, ?2, ?3, ?4, ?5)",
    )?
    .execute((&event.device, &event.key_id, replaced, log_index, proved))?;
    issued::note(db, event)
}

/// A token by the digest of its credential.
pub(crate) fn token_facts(db: &Connection, token: &Digest) -> Result<Option<TokenFacts>, StoreError> {
    Ok(db
        .prepare_cached("SELECT grp, site, expires_ms, uses_max, uses, terms, revoked FROM token WHERE token = ?1")?
        .query_row([&token.0[..]], |row| {
            Ok(TokenFacts {
                group: row.get(0)?,
                site: row.get(1)?,
                expires_ms: row.get(2)?,
                uses_max: row.get(3)?,
                uses: row.get(4)?,
                terms: TokenTerms::try_from(row.get::<_, i32>(5)?).unwrap_or(TokenTerms::Unspecified),
                revoked: row.get(6)?,
            })
        })
        .optional()?)
}

const ENROLMENT_COLUMNS: &str = "step, device, grp, site, hostname, asset";

fn read_enrolment(row: &Row<'_>) -> rusqlite::Result<EnrolmentFacts> {
    let device: Option<Vec<u8>> = row.get(1)?;
    Ok(EnrolmentFacts {
        step: EnrolmentVerb::try_from(row.get::<_, i32>(0)?).unwrap_or(EnrolmentVerb::Unspecified),
        device: device.and_then(|bytes| DeviceId::from_slice(&bytes)),
        group: row.get(2)?,
        site: row.get(3)?,
        hostname: row.get(4)?,
        asset: row.get(5)?,
    })
}

/// How far a key has come with a token.
pub(crate) fn enrolment_facts(
    db: &Connection,
    token: &Digest,
    key: &KeyId,
) -> Result<Option<EnrolmentFacts>, StoreError> {
    let text = format!("SELECT {ENROLMENT_COLUMNS} FROM enrolment WHERE token = ?1 AND key_id = ?2");
    Ok(db.prepare_cached(&text)?.query_row((&token.0[..], key.to_vec()), read_enrolment).optional()?)
}

/// The device a key belongs to, whether it came with it or by a later certificate.
pub(crate) fn device_of_key(db: &Connection, key: &KeyId) -> Result<Option<DeviceId>, StoreError> {
    let found: Option<Vec<u8>> = db
        .prepare_cached("SELECT device FROM key WHERE key_id = ?1")?
        .query_row([key.to_vec()], |row| row.get(0))
        .optional()?;
    Ok(found.and_then(|bytes| DeviceId::from_slice(&bytes)))
}

/// Whether a device has enrolled.
pub(crate) fn has_enrolled(db: &Connection, device: &DeviceId) -> Result<bool, StoreError> {
    let text = "SELECT 1 FROM enrolment WHERE device = ?1 AND step = ?2";
    Ok(db.prepare_cached(text)?.exists((&device.0[..], EnrolmentVerb::Enrolled as i32))?)
}

/// The group of every device that has enrolled; the latest comes last.
pub(crate) fn groups(db: &Connection, mut take: impl FnMut(DeviceId, String)) -> Result<(), StoreError> {
    let mut statement = db.prepare("SELECT header FROM entry WHERE kind = ?1 ORDER BY log_index")?;
    let mut rows = statement.query([EntryKind::Enrolment as i32])?;
    while let Some(row) = rows.next()? {
        let entry = EnrolmentEntry::decode(row.get_ref(0)?.as_blob().unwrap_or_default()).unwrap_or_default();
        if let (EnrolmentVerb::Enrolled, Some(device)) = (entry.verb(), DeviceId::from_slice(&entry.device)) {
            take(device, entry.group);
        }
    }
    Ok(())
}

/// Enrolments that wait for somebody to decide, or were decided against, by token and key.
pub(crate) fn waiting(db: &Connection, mut take: impl FnMut(Digest, KeyId, EnrolmentFacts)) -> Result<(), StoreError> {
    let text = format!("SELECT {ENROLMENT_COLUMNS}, token, key_id FROM enrolment WHERE step IN (1, 2, 3)");
    let mut statement = db.prepare(&text)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (token, key): (Vec<u8>, Vec<u8>) = (row.get(6)?, row.get(7)?);
        if let (Some(token), Some(key)) = (Digest::from_slice(&token), KeyId::from_slice(&key)) {
            take(token, key, read_enrolment(row)?);
        }
    }
    Ok(())
}

/// Group and site of an expected asset.
pub(crate) fn expected_asset(db: &Connection, asset: &str) -> Result<Option<(String, String)>, StoreError> {
    Ok(db
        .prepare_cached("SELECT grp, site FROM expected WHERE asset = ?1")?
        .query_row([asset], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?)
}

/// Assets that are expected, and those of them no device has enrolled as.
pub(crate) fn expected_count(db: &Connection) -> Result<(u64, u64), StoreError> {
    Ok(db.query_row(
        "SELECT count(*), count(*) FILTER (WHERE NOT EXISTS (
             SELECT 1 FROM enrolment WHERE enrolment.asset = expected.asset AND enrolment.device IS NOT NULL))
         FROM expected",
        [],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?)
}

/// Whether another device has enrolled as this asset.
pub(crate) fn asset_is_taken(db: &Connection, asset: &str, device: Option<&DeviceId>) -> Result<bool, StoreError> {
    Ok(db
        .prepare_cached("SELECT 1 FROM enrolment WHERE asset = ?1 AND device IS NOT NULL AND device IS NOT ?2")?
        .exists((asset, device.map(|device| device.to_vec())))?)
}

/// The latest certificate of a device.
pub(crate) fn certificate_facts(db: &Connection, device: &DeviceId) -> Result<Option<CertificateFacts>, StoreError> {
    let row = db
        .prepare_cached("SELECT key_id, replaced_key_id, log_index, proved FROM certificate WHERE device = ?1")?
        .query_row([&device.0[..]], |row| {
            let (key, replaced): (Vec<u8>, Option<Vec<u8>>) = (row.get(0)?, row.get(1)?);
            Ok((key, replaced, row.get(2)?, row.get(3)?))
        })
        .optional()?;
    row.map(|(key, replaced, log_index, proved)| {
        let key_id = KeyId::from_slice(&key).ok_or_else(|| StoreError::Damaged("a key id is not 32 bytes".into()))?;
        let replaced = replaced.and_then(|bytes| KeyId::from_slice(&bytes));
        Ok(CertificateFacts { key_id, replaced, log_index, proved })
    })
    .transpose()
}

/// The key event at `log_index`.
pub(crate) fn key_event(db: &Connection, log_index: u64) -> Result<KeyEvent, StoreError> {
    let damaged = || StoreError::Damaged(format!("entry {log_index} is no key event"));
    let header: Option<Vec<u8>> = db
        .prepare_cached("SELECT header FROM entry WHERE log_index = ?1 AND kind = ?2")?
        .query_row((log_index, EntryKind::KeyEvent as i32), |row| row.get(0))
        .optional()?;
    KeyEvent::decode(&header.ok_or_else(damaged)?[..]).map_err(|_| damaged())
}

/// Compares the tables of two databases; the name of the first that differs.
pub(super) fn differing(one: &Connection, other: &Connection) -> Result<Option<&'static str>, StoreError> {
    for name in NAMES.into_iter().chain(policies::NAMES).chain(operators::NAMES).chain(notifications::NAMES) {
        if rows(one, name)? != rows(other, name)? {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

/// A digest over every row of a table, in the order of its key.
fn rows(db: &Connection, table: &str) -> Result<Digest, StoreError> {
    let mut statement = db.prepare(&format!("SELECT * FROM {table} ORDER BY 1, 2"))?;
    let columns = statement.column_count();
    let mut running = watchpost_proto::digest::Running::default();
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        for column in 0..columns {
            // With its type and length, so that nothing can move between columns.
            running.update(format!("{:?};", row.get_ref(column)?).as_bytes());
        }
    }
    Ok(running.digest())
}
