//! What devices tell of themselves: self-checks, goodbyes, acknowledgements of the notice, and what they saw of the log.

use rusqlite::Connection;
use watchpost_proto::Message as _;
use watchpost_proto::note::{self, Checkpoint};
use watchpost_proto::v1::{
    AcknowledgementsEntry, Goodbye, GoodbyeCause, LogChange, NoticeAcknowledgement, PolicyReport, SelfCheck,
};

/// Longest account that is kept, in bytes.
const ACCOUNT_BYTES_MAX: usize = 512;
/// Messages a policy was tried on that are believed.
const COUNT_MAX: i64 = 1 << 32;
/// Acknowledgements of one device that are kept.
const ACKNOWLEDGEMENTS_MAX: usize = 100_000;

/// The latest counts, and beside it the latest that came through.
pub(super) fn self_check(
    db: &Connection,
    (device, received_ms): (i64, i64),
    policy: &[u8],
    check: &SelfCheck,
    bytes: &[u8],
) -> rusqlite::Result<()> {
    db.prepare_cached(
        "INSERT INTO self_check (device, number, received_ms, policy, failed, reason, summary, passed_ms, passed_policy)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, iif(?5, 0, ?3), iif(?5, x'', ?4))
         ON CONFLICT DO UPDATE SET number = ?2, received_ms = ?3, policy = ?4, failed = ?5, reason = ?6, summary = ?7,
             passed_ms = iif(?5, passed_ms, ?3), passed_policy = iif(?5, passed_policy, ?4)",
    )?
    .execute((device, number(check.number), received_ms, policy, check.failed, &check.reason, bytes))?;
    // Whoever checks itself is there: a database that was lost or restored does not know that it said goodbye.
    db.prepare_cached("DELETE FROM goodbye WHERE device = ?1 AND received_ms < ?2")?.execute((device, received_ms))?;
    Ok(())
}

/// The latest counts.
pub(super) fn policy(db: &Connection, (device, received_ms): (i64, i64), said: &PolicyReport) -> rusqlite::Result<()> {
    if said.policy.len() != 32 {
        return Ok(());
    }
    // So that nobody's counts overflow the sums of all.
    let count = |value: u64| number(value).min(COUNT_MAX);
    db.prepare_cached(
        "INSERT OR REPLACE INTO policy_report VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
    )?
    .execute((
        device,
        &said.policy,
        number(said.version),
        said.applied,
        &said.reason,
        &said.detail,
        number(said.compile_ms),
        said.rules,
        count(said.tried),
        count(said.flagged_before.min(said.tried)),
        count(said.flagged_after.min(said.tried)),
        received_ms,
    ))?;
    Ok(())
}

/// One that is over is let go of.
pub(super) fn goodbye(db: &Connection, (device, received_ms): (i64, i64), said: &Goodbye) -> rusqlite::Result<()> {
    match said.cause() {
        GoodbyeCause::Over => db.prepare_cached("DELETE FROM goodbye WHERE device = ?1")?.execute([device])?,
        cause => db
            .prepare_cached(
                "INSERT OR REPLACE INTO goodbye (device, cause, at_ms, received_ms) VALUES (?1, ?2, ?3, ?4)",
            )?
            .execute((device, cause as i32, said.at_ms, received_ms))?,
    };
    Ok(())
}

/// The first of an account, version and text counts.
pub(super) fn acknowledged(
    db: &Connection,
    (device, received_ms): (i64, i64),
    said: &NoticeAcknowledgement,
) -> rusqlite::Result<()> {
    if said.account.is_empty() || said.account.len() > ACCOUNT_BYTES_MAX || !matches!(said.notice.len(), 0 | 32) {
        return Ok(());
    }
    let mut held = db.prepare_cached("SELECT count(*) FROM acknowledgement WHERE device = ?1")?;
    if held.query_row([device], |row| row.get::<_, usize>(0))? >= ACKNOWLEDGEMENTS_MAX {
        return Ok(());
    }
    db.prepare_cached(
        "INSERT INTO acknowledgement (account, version, device, notice, at_ms, received_ms, source)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, '') ON CONFLICT DO NOTHING",
    )?
    .execute((&said.account, number(said.notice_version), device, &said.notice, said.at_ms, received_ms))?;
    Ok(())
}

/// Only from notes as collectors sign them; what else a device sends is passed over.
pub(super) fn log_change(
    db: &Connection,
    (log_index, ordinal, device, received_ms): (u64, usize, i64, i64),
    change: &LogChange,
) -> rusqlite::Result<()> {
    let (Some(known), Some(shown)) = (note::read_unverified(&change.known), note::read_unverified(&change.shown))
    else {
        return Ok(());
    };
    let head = |head: &Checkpoint| format!("{} {}", head.origin, head.size);
    db.prepare_cached("INSERT INTO log_change VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")?.execute((
        log_index,
        ordinal,
        device,
        received_ms,
        head(&known),
        head(&shown),
        change.introduced,
        change.kept,
    ))?;
    Ok(())
}

/// Acknowledgements that were collected elsewhere; the first of an account and version counts.
pub(super) fn imported(db: &Connection, header: &[u8]) -> rusqlite::Result<()> {
    let Ok(entry) = AcknowledgementsEntry::decode(header) else { return Ok(()) };
    let mut insert = db.prepare_cached(
        "INSERT INTO acknowledgement (account, version, device, notice, at_ms, received_ms, source)
         VALUES (?1, ?2, 0, x'', ?3, ?4, ?5) ON CONFLICT DO NOTHING",
    )?;
    for row in &entry.rows {
        insert.execute((&row.account, number(row.notice_version), row.at_ms, entry.at_ms, &row.source))?;
    }
    Ok(())
}

pub(super) fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
