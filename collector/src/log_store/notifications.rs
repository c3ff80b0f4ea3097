//! Messages to people: a fold over the entries that tell of them, so that what was told is known in the commit that plans the
//! next, whatever becomes of `derived.db`.

use rusqlite::{Connection, OptionalExtension as _, Row};
use watchpost_proto::v1::{NotificationEntry, NotificationVerb, SettingEntry, ToldOf};
use watchpost_proto::{Digest, Message as _};

use super::StoreError;

const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS notification (
        id BLOB PRIMARY KEY,
        target TEXT NOT NULL,
        route TEXT NOT NULL,
        -- Of its plan.
        log_index INTEGER NOT NULL,
        planned_ms INTEGER NOT NULL,
        tells INTEGER NOT NULL,
        -- The last step: a NotificationVerb, and what its entry says.
        verb INTEGER NOT NULL,
        attempts INTEGER NOT NULL,
        status INTEGER NOT NULL,
        errcode INTEGER NOT NULL,
        reason TEXT NOT NULL,
        next_ms INTEGER NOT NULL,
        at_ms INTEGER NOT NULL,
        -- When it was first tried, or 0.
        tried_ms INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    -- Those that wait.
    CREATE INDEX IF NOT EXISTS notification_waiting ON notification (target) WHERE verb IN (1, 2) OR next_ms <> 0;
    CREATE INDEX IF NOT EXISTS notification_at ON notification (target, at_ms);
    CREATE TABLE IF NOT EXISTS told (
        route TEXT NOT NULL,
        alert BLOB NOT NULL,
        what INTEGER NOT NULL,
        mark INTEGER NOT NULL,
        at_ms INTEGER NOT NULL,
        PRIMARY KEY (route, alert, what, mark)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX IF NOT EXISTS told_at ON told (route, at_ms);
    -- Since which entry there is a route of this name: what happened before is not told on it.
    CREATE TABLE IF NOT EXISTS route_since (
        route TEXT PRIMARY KEY,
        log_index INTEGER NOT NULL,
        at_ms INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
";

/// The tables [`apply`] and [`set`] write.
pub(super) const NAMES: [&str; 3] = ["notification", "told", "route_since"];

/// Makes the tables.
pub(super) fn create(db: &Connection) -> Result<(), StoreError> {
    Ok(db.execute_batch(TABLES)?)
}

/// A message as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotificationFacts {
    /// Its id.
    pub id: Digest,
    /// The target, by name.
    pub target: String,
    /// The route; empty for a test.
    pub route: String,
    /// Its plan.
    pub log_index: u64,
    /// When it was planned, milliseconds since 1970.
    pub planned_ms: i64,
    /// Events it tells of.
    pub tells: u64,
    /// The last step.
    pub verb: NotificationVerb,
    /// How often it was tried.
    pub attempts: u32,
    /// The HTTP status of the last answer, or 0.
    pub status: u32,
    /// The robot's own code of the last answer.
    pub errcode: i64,
    /// Why it was not sent.
    pub reason: String,
    /// When it is tried again; 0 where that is open, or where it is not.
    pub next_ms: i64,
    /// When the last step was.
    pub at_ms: i64,
    /// When it was first tried, or 0.
    pub tried_ms: i64,
}

impl NotificationFacts {
    /// Whether something is still to come of it.
    #[must_use]
    pub fn waits(&self) -> bool {
        matches!(self.verb, NotificationVerb::Planned | NotificationVerb::Sending) || self.next_ms != 0
    }
}

/// Takes one entry into the tables. One about a message nobody has planned changes nothing.
pub(super) fn apply(db: &Connection, log_index: u64, entry: &NotificationEntry) -> Result<(), StoreError> {
    if entry.verb() == NotificationVerb::Planned {
        return plan(db, log_index, entry);
    }
    db.prepare_cached(
        "UPDATE notification SET verb = ?2, attempts = max(attempts, ?3), status = ?4, errcode = ?5, reason = ?6,
         next_ms = ?7, at_ms = ?8, tried_ms = iif(attempts = 0 AND ?3 > 0, ?8, tried_ms) WHERE id = ?1",
    )?
    .execute((
        &entry.id,
        entry.verb,
        entry.attempt,
        entry.status,
        entry.errcode,
        &entry.reason,
        entry.next_ms,
        entry.at_ms,
    ))?;
    Ok(())
}

fn plan(db: &Connection, log_index: u64, entry: &NotificationEntry) -> Result<(), StoreError> {
    let inserted = db
        .prepare_cached(
            "INSERT INTO notification VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 0, 0, 0, '', 0, ?5, 0) ON CONFLICT DO NOTHING",
        )?
        .execute((
            &entry.id,
            &entry.target,
            &entry.route,
            log_index,
            entry.at_ms,
            entry.tells.len(),
            NotificationVerb::Planned as i32,
        ))?;
    if inserted == 0 {
        return Ok(());
    }
    let mut insert = db.prepare_cached("INSERT INTO told VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING")?;
    for told in &entry.tells {
        insert.execute((&entry.route, &told.alert, told.what, mark(told), entry.at_ms))?;
    }
    Ok(())
}

/// Takes a setting into the tables, where it is a route: `route/NAME`.
pub(super) fn set(db: &Connection, log_index: u64, entry: &SettingEntry) -> Result<(), StoreError> {
    let Some(route) = entry.name.strip_prefix(crate::notify::route::PREFIX) else { return Ok(()) };
    if entry.value.is_empty() {
        db.execute("DELETE FROM route_since WHERE route = ?1", [route])?;
    } else {
        let mut insert = db.prepare_cached("INSERT INTO route_since VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING")?;
        insert.execute((route, log_index, entry.at_ms))?;
    }
    Ok(())
}

/// Marks are stored as SQLite keeps integers; one beyond is no log index, and no moment either.
fn mark(told: &ToldOf) -> i64 {
    i64::try_from(told.mark).unwrap_or(i64::MAX)
}

/// Whether an event was told on a route.
pub(crate) fn is_told(db: &Connection, route: &str, told: &ToldOf) -> Result<bool, StoreError> {
    Ok(db
        .prepare_cached("SELECT 1 FROM told WHERE route = ?1 AND alert = ?2 AND what = ?3 AND mark = ?4")?
        .exists((route, &told.alert, told.what, mark(told)))?)
}

/// Whether anything of an alert was told on a route.
pub(crate) fn is_alert_told(db: &Connection, route: &str, alert: &Digest) -> Result<bool, StoreError> {
    Ok(db.prepare_cached("SELECT 1 FROM told WHERE route = ?1 AND alert = ?2")?.exists((route, &alert.0[..]))?)
}

/// What was told on a route since a moment, with when.
pub(crate) fn told_since(db: &Connection, route: &str, from_ms: i64) -> Result<Vec<(ToldOf, i64)>, StoreError> {
    let mut select =
        db.prepare_cached("SELECT alert, what, mark, at_ms FROM told WHERE route = ?1 AND at_ms >= ?2 ORDER BY at_ms")?;
    let rows = select.query_map((route, from_ms), |row| {
        Ok((ToldOf { alert: row.get(0)?, what: row.get(1)?, mark: row.get(2)? }, row.get(3)?))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The entry since which there is a route of this name, and its time.
pub(crate) fn route_since(db: &Connection, route: &str) -> Result<Option<(u64, i64)>, StoreError> {
    let mut select = db.prepare_cached("SELECT log_index, at_ms FROM route_since WHERE route = ?1")?;
    Ok(select.query_row([route], |row| Ok((row.get(0)?, row.get(1)?))).optional()?)
}

const COLUMNS: &str = "id, target, route, log_index, planned_ms, tells, verb, attempts, status, errcode, reason, next_ms, at_ms, tried_ms";

fn read(row: &Row<'_>) -> rusqlite::Result<NotificationFacts> {
    let id: Vec<u8> = row.get(0)?;
    Ok(NotificationFacts {
        id: Digest::from_slice(&id).unwrap_or(Digest([0; 32])),
        target: row.get(1)?,
        route: row.get(2)?,
        log_index: row.get(3)?,
        planned_ms: row.get(4)?,
        tells: row.get(5)?,
        verb: NotificationVerb::try_from(row.get::<_, i32>(6)?).unwrap_or_default(),
        attempts: row.get(7)?,
        status: row.get(8)?,
        errcode: row.get(9)?,
        reason: row.get(10)?,
        next_ms: row.get(11)?,
        at_ms: row.get(12)?,
        tried_ms: row.get(13)?,
    })
}

/// Messages that something is still to come of, in the order they were planned; to one target where one is named.
pub(crate) fn waiting(db: &Connection, target: Option<&str>) -> Result<Vec<NotificationFacts>, StoreError> {
    let text = format!(
        "SELECT {COLUMNS} FROM notification
         WHERE (?1 IS NULL OR target = ?1) AND (verb IN (1, 2) OR next_ms <> 0) ORDER BY log_index"
    );
    let mut select = db.prepare_cached(&text)?;
    Ok(select.query_map([target], read)?.collect::<Result<_, _>>()?)
}

/// Messages to a target of which something was heard since a moment.
pub(crate) fn lately(db: &Connection, target: &str, from_ms: i64) -> Result<Vec<NotificationFacts>, StoreError> {
    let text = format!("SELECT {COLUMNS} FROM notification WHERE target = ?1 AND at_ms >= ?2 ORDER BY log_index");
    let mut select = db.prepare_cached(&text)?;
    Ok(select.query_map((target, from_ms), read)?.collect::<Result<_, _>>()?)
}

/// All targets messages were ever planned for.
pub(crate) fn targets(db: &Connection) -> Result<Vec<String>, StoreError> {
    // From one to the next in the index, however many messages there are.
    let mut select = db.prepare_cached(
        "WITH RECURSIVE one (target) AS (
             SELECT min(target) FROM notification
             UNION ALL SELECT (SELECT min(target) FROM notification WHERE target > one.target) FROM one
             WHERE one.target IS NOT NULL)
         SELECT target FROM one WHERE target IS NOT NULL",
    )?;
    Ok(select.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?)
}

/// The last messages that were planned, the newest first.
pub(crate) fn latest(db: &Connection, count: u32) -> Result<Vec<NotificationFacts>, StoreError> {
    let text = format!("SELECT {COLUMNS} FROM notification ORDER BY log_index DESC LIMIT ?1");
    let mut select = db.prepare_cached(&text)?;
    Ok(select.query_map([count], read)?.collect::<Result<_, _>>()?)
}

/// One message.
pub(crate) fn of_id(db: &Connection, id: &Digest) -> Result<Option<NotificationFacts>, StoreError> {
    let text = format!("SELECT {COLUMNS} FROM notification WHERE id = ?1");
    Ok(db.prepare_cached(&text)?.query_row([&id.0[..]], read).optional()?)
}

/// What a message tells of, as its plan says.
pub(crate) fn plan_of(db: &Connection, log_index: u64) -> Result<NotificationEntry, StoreError> {
    let header: Vec<u8> =
        db.prepare_cached("SELECT header FROM entry WHERE log_index = ?1")?.query_row([log_index], |row| row.get(0))?;
    NotificationEntry::decode(&header[..]).map_err(|_| StoreError::Damaged(format!("entry {log_index} is malformed")))
}
