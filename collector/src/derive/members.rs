//! Tokens, enrolments, certificates and expected assets, as people look at them.

use rusqlite::Transaction;
use watchpost_proto::identity;
use watchpost_proto::v1::{EnrolmentEntry, EnrolmentVerb, EntryKind, ExpectedEntry, KeyEvent, TokenEntry, TokenVerb};
use watchpost_proto::{DeviceId, Message as _};

use super::DeriveError;
use crate::log_store::{self, Entry};

pub(super) const TABLES: &str = "
    CREATE TABLE token (
        token BLOB PRIMARY KEY,
        grp TEXT NOT NULL,
        site TEXT NOT NULL,
        terms INTEGER NOT NULL,
        uses INTEGER NOT NULL,
        uses_max INTEGER NOT NULL,
        made_ms INTEGER NOT NULL,
        made_by TEXT NOT NULL,
        expires_ms INTEGER NOT NULL,
        revoked_ms INTEGER,
        revoked_by TEXT
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE enrolment (
        token BLOB NOT NULL,
        key_id BLOB NOT NULL,
        step INTEGER NOT NULL,
        device BLOB,
        grp TEXT NOT NULL,
        site TEXT NOT NULL,
        hostname TEXT NOT NULL,
        asset TEXT NOT NULL,
        address TEXT NOT NULL,
        asked_ms INTEGER NOT NULL,
        decided_by TEXT NOT NULL,
        reason TEXT NOT NULL,
        at_ms INTEGER NOT NULL,
        PRIMARY KEY (token, key_id)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX enrolment_device ON enrolment (device);
    CREATE TABLE certificate (
        device BLOB PRIMARY KEY,
        key_id BLOB NOT NULL,
        not_after_ms INTEGER NOT NULL,
        issued INTEGER NOT NULL,
        cause INTEGER NOT NULL,
        at_ms INTEGER NOT NULL,
        proved_ms INTEGER
    ) STRICT, WITHOUT ROWID;
";

/// Takes one entry into the tables; returns the device it introduces. What does not decode is passed over.
pub(super) fn apply(db: &Transaction<'_>, entry: &Entry) -> Result<Option<DeviceId>, DeriveError> {
    let header = &entry.header[..];
    match entry.kind() {
        EntryKind::Token => TokenEntry::decode(header).map_or(Ok(()), |it| token(db, &it)),
        EntryKind::Enrolment => EnrolmentEntry::decode(header).map_or(Ok(()), |it| enrolment(db, &it)),
        EntryKind::Expected => ExpectedEntry::decode(header).map_or(Ok(()), |it| Ok(log_store::expected(db, &it)?)),
        EntryKind::KeyEvent => {
            let Ok(event) = KeyEvent::decode(header) else { return Ok(None) };
            certificate(db, &event)?;
            return Ok(DeviceId::from_slice(&event.device));
        }
        _ => Ok(()),
    }?;
    Ok(None)
}

fn token(db: &Transaction<'_>, entry: &TokenEntry) -> Result<(), DeriveError> {
    match entry.verb() {
        TokenVerb::Create => {
            db.prepare_cached(
                "INSERT INTO token (token, grp, site, terms, uses, uses_max, made_ms, made_by, expires_ms)
                 VALUES (?1, ?2, ?3, ?4, 0, ?5, ?6, ?7, ?8) ON CONFLICT DO NOTHING",
            )?
            .execute((
                &entry.token,
                &entry.group,
                &entry.site,
                entry.terms,
                entry.uses_max,
                entry.at_ms,
                &entry.by,
                entry.expires_ms,
            ))?;
        }
        TokenVerb::Revoke => {
            db.prepare_cached("UPDATE token SET revoked_ms = ?2, revoked_by = ?3 WHERE token = ?1")?.execute((
                &entry.token,
                entry.at_ms,
                &entry.by,
            ))?;
        }
        TokenVerb::Unspecified => {}
    }
    Ok(())
}

fn enrolment(db: &Transaction<'_>, entry: &EnrolmentEntry) -> Result<(), DeriveError> {
    if entry.verb() == EnrolmentVerb::Proved {
        db.prepare_cached("UPDATE certificate SET proved_ms = ?3 WHERE device = ?1 AND key_id = ?2")?.execute((
            &entry.device,
            &entry.key_id,
            entry.at_ms,
        ))?;
        return Ok(());
    }
    let device = (!entry.device.is_empty()).then_some(&entry.device);
    let first = db
        .prepare_cached(
            "INSERT INTO enrolment
                (token, key_id, step, device, grp, site, hostname, asset, address, asked_ms, decided_by, reason, at_ms)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?10) ON CONFLICT DO NOTHING",
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
            &entry.address,
            entry.at_ms,
            &entry.by,
            &entry.reason,
        ))?;
    if first == 1 {
        db.prepare_cached("UPDATE token SET uses = uses + 1 WHERE token = ?1")?.execute([&entry.token])?;
        return Ok(());
    }
    db.prepare_cached(
        "UPDATE enrolment SET step = ?3, device = coalesce(?4, device), grp = ?5, site = ?6, decided_by = ?7,
            reason = ?8, at_ms = ?9
         WHERE token = ?1 AND key_id = ?2",
    )?
    .execute((
        &entry.token,
        &entry.key_id,
        entry.verb,
        device,
        &entry.group,
        &entry.site,
        &entry.by,
        &entry.reason,
        entry.at_ms,
    ))?;
    Ok(())
}

fn certificate(db: &Transaction<'_>, event: &KeyEvent) -> Result<(), DeriveError> {
    let validity = event.chain.first().and_then(|leaf| identity::validity_ms(leaf));
    let not_after_ms = validity.map_or(0, |(_, not_after)| not_after);
    // A certificate that was issued elsewhere is seen because its device has come with it.
    let proved_ms = (event.cause == 0).then_some(event.at_ms);
    db.prepare_cached(
        "INSERT INTO certificate (device, key_id, not_after_ms, issued, cause, at_ms, proved_ms)
         VALUES (?1, ?2, ?3, 1, ?4, ?5, ?6)
         ON CONFLICT (device) DO UPDATE SET key_id = ?2, not_after_ms = ?3, issued = issued + 1, cause = ?4, at_ms = ?5,
            proved_ms = ?6",
    )?
    .execute((&event.device, &event.key_id, not_after_ms, event.cause, event.at_ms, proved_ms))?;
    Ok(())
}
