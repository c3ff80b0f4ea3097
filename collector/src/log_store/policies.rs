//! Policies that were published, and how far each group's has come: indexes over the entries about policies. The files of a
//! policy lie beside, by the digest of its header.

use rusqlite::{Connection, OptionalExtension as _, Row};
use watchpost_proto::policy::{Header, Policy};
use watchpost_proto::v1::{PolicyEntry, PolicyVerb, SignedPolicyHeader};
use watchpost_proto::{Digest, Message as _};

use super::StoreError;

const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS policy (
        digest BLOB PRIMARY KEY,
        grp TEXT NOT NULL,
        version INTEGER NOT NULL,
        log_index INTEGER NOT NULL,
        UNIQUE (grp, version)
    ) STRICT, WITHOUT ROWID;
    -- The latest policy of each group.
    CREATE TABLE IF NOT EXISTS rollout (
        grp TEXT PRIMARY KEY,
        policy BLOB NOT NULL,
        -- What devices outside its rings have.
        base BLOB,
        -- Four big-endian bytes each.
        rings BLOB NOT NULL,
        soak_ms INTEGER NOT NULL,
        fall_back INTEGER NOT NULL,
        ring INTEGER NOT NULL,
        halted INTEGER NOT NULL,
        since_ms INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
";

/// The files of policies, which entries name by digest.
const CONTENTS: &str = "
    CREATE TABLE IF NOT EXISTS policy_contents (digest BLOB PRIMARY KEY, bytes BLOB NOT NULL) STRICT;
";

/// The tables [`apply`] writes.
pub(super) const NAMES: [&str; 2] = ["policy", "rollout"];
/// Rings of one rollout.
pub const RINGS_MAX: usize = 16;
/// All devices of a group, in hundredths of a percent.
pub const EVERYBODY: u32 = 10_000;

/// How far the latest policy of a group has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RolloutFacts {
    /// The group.
    pub group: String,
    /// The policy.
    pub policy: Digest,
    /// Its version.
    pub version: u64,
    /// What devices outside its rings have.
    pub base: Option<Digest>,
    /// What it allows a return to.
    pub fallback: Option<Digest>,
    /// Devices of each ring and those before it, in hundredths of a percent.
    pub rings: Vec<u32>,
    /// How long a ring has to stand, milliseconds.
    pub soak_ms: u64,
    /// Where it is halted, devices that have it go back to the fallback.
    pub fall_back: bool,
    /// The ring it is offered to, from 0.
    pub ring: usize,
    /// It is offered to nobody who has not got it.
    pub halted: bool,
    /// Since when it stands so, milliseconds.
    pub since_ms: i64,
}

impl RolloutFacts {
    /// Whether every device of the group is offered it.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.ring + 1 >= self.rings.len()
    }
}

/// Makes the tables the entries are folded into.
pub(super) fn create(db: &Connection) -> Result<(), StoreError> {
    Ok(db.execute_batch(TABLES)?)
}

/// Makes the table of files.
pub(super) fn create_contents(db: &Connection) -> Result<(), StoreError> {
    Ok(db.execute_batch(CONTENTS)?)
}

/// Takes one entry into the tables.
pub(super) fn apply(db: &Connection, log_index: u64, header: &[u8]) -> Result<(), StoreError> {
    let malformed = || StoreError::Damaged(format!("entry {log_index} is malformed"));
    let entry = PolicyEntry::decode(header).map_err(|_| malformed())?;
    let changed = match entry.verb() {
        PolicyVerb::Publish => return publish(db, log_index, entry),
        PolicyVerb::Advance => db
            .prepare_cached("UPDATE rollout SET ring = ?2, since_ms = ?3 WHERE policy = ?1")?
            .execute((&entry.policy, entry.ring, entry.at_ms))?,
        verb @ (PolicyVerb::Halt | PolicyVerb::Resume) => db
            .prepare_cached("UPDATE rollout SET halted = ?2, since_ms = ?3 WHERE policy = ?1")?
            .execute((&entry.policy, verb == PolicyVerb::Halt, entry.at_ms))?,
        PolicyVerb::Unspecified => 1,
    };
    if changed == 1 { Ok(()) } else { Err(malformed()) }
}

fn publish(db: &Connection, log_index: u64, entry: PolicyEntry) -> Result<(), StoreError> {
    let malformed = || StoreError::Damaged(format!("entry {log_index} is malformed"));
    let header = Header::read(entry.header, entry.signatures).map_err(|_| malformed())?;
    let rollout = entry.rollout.unwrap_or_default();
    if header.digest.0[..] != entry.policy[..] || rollout.rings.is_empty() || rollout.rings.len() > RINGS_MAX {
        return Err(malformed());
    }
    let before = rollout_of(db, &header.said.group)?;
    // What is offered to all of them is what all of them have; before that, or where it was halted, what was offered to all of them before.
    let base = before.and_then(|before| if before.is_everybodys() { Some(before.policy) } else { before.base });
    db.prepare_cached("INSERT INTO policy (digest, grp, version, log_index) VALUES (?1, ?2, ?3, ?4)")?.execute((
        &entry.policy,
        &header.said.group,
        header.said.version,
        log_index,
    ))?;
    let rings: Vec<u8> = rollout.rings.iter().flat_map(|ring| ring.to_be_bytes()).collect();
    db.prepare_cached(
        "INSERT OR REPLACE INTO rollout (grp, policy, base, rings, soak_ms, fall_back, ring, halted, since_ms)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0, 0, ?7)",
    )?
    .execute((
        &header.said.group,
        &entry.policy,
        base.map(Digest::to_vec),
        rings,
        rollout.soak_ms,
        rollout.fall_back,
        entry.at_ms,
    ))?;
    Ok(())
}

const ROLLOUT: &str =
    "SELECT rollout.grp, rollout.policy, base, rings, soak_ms, fall_back, ring, halted, since_ms, header
    FROM rollout JOIN policy ON policy.digest = rollout.policy JOIN entry USING (log_index)";

fn read_rollout(row: &Row<'_>) -> rusqlite::Result<Option<RolloutFacts>> {
    let (policy, base): (Vec<u8>, Option<Vec<u8>>) = (row.get(1)?, row.get(2)?);
    let (rings, header): (Vec<u8>, Vec<u8>) = (row.get(3)?, row.get(9)?);
    let said =
        PolicyEntry::decode(&header[..]).ok().and_then(|entry| Header::read(entry.header, entry.signatures).ok());
    let (Some(policy), Some(header)) = (Digest::from_slice(&policy), said) else { return Ok(None) };
    Ok(Some(RolloutFacts {
        group: row.get(0)?,
        policy,
        version: header.said.version,
        base: base.and_then(|base| Digest::from_slice(&base)),
        fallback: Digest::from_slice(&header.said.fallback),
        rings: rings.chunks_exact(4).map(|ring| u32::from_be_bytes([ring[0], ring[1], ring[2], ring[3]])).collect(),
        soak_ms: row.get(4)?,
        fall_back: row.get(5)?,
        ring: row.get(6)?,
        halted: row.get(7)?,
        since_ms: row.get(8)?,
    }))
}

/// How far the latest policy of a group has come. In a database of folds alone there are no entries to join.
fn rollout_of(db: &Connection, group: &str) -> Result<Option<Before>, StoreError> {
    let row = db.prepare_cached("SELECT policy, base, rings, ring, halted FROM rollout WHERE grp = ?1")?.query_row(
        [group],
        |row| {
            let (policy, base, rings): (Vec<u8>, Option<Vec<u8>>, Vec<u8>) = (row.get(0)?, row.get(1)?, row.get(2)?);
            Ok((policy, base, rings.len() / 4, row.get::<_, usize>(3)?, row.get(4)?))
        },
    );
    Ok(row.optional()?.and_then(|(policy, base, rings, ring, halted)| {
        let base = base.and_then(|base| Digest::from_slice(&base));
        Some(Before { policy: Digest::from_slice(&policy)?, base, rings, ring, halted })
    }))
}

struct Before {
    policy: Digest,
    base: Option<Digest>,
    rings: usize,
    ring: usize,
    halted: bool,
}

impl Before {
    fn is_everybodys(&self) -> bool {
        !self.halted && self.ring + 1 >= self.rings
    }
}

/// How far the policy of each group has come.
pub(crate) fn rollouts(db: &Connection) -> Result<Vec<RolloutFacts>, StoreError> {
    let mut statement = db.prepare_cached(&format!("{ROLLOUT} ORDER BY rollout.grp"))?;
    let rows = statement.query_map([], read_rollout)?;
    Ok(rows.filter_map(Result::transpose).collect::<Result<_, _>>()?)
}

/// A published policy, by its digest or the place in its group: its header and log index.
#[derive(Clone, Debug, PartialEq)]
pub struct Published {
    /// The header.
    pub header: Header,
    /// What was said of it when it was published.
    pub entry: PolicyEntry,
    /// Where.
    pub log_index: u64,
}

fn read_published(row: &Row<'_>) -> rusqlite::Result<Option<Published>> {
    let bytes: Vec<u8> = row.get(0)?;
    let Ok(entry) = PolicyEntry::decode(&bytes[..]) else { return Ok(None) };
    let Ok(header) = Header::read(entry.header.clone(), entry.signatures.clone()) else { return Ok(None) };
    Ok(Some(Published { header, entry, log_index: row.get(1)? }))
}

const PUBLISHED: &str = "SELECT header, log_index FROM policy JOIN entry USING (log_index)";

/// The policies of a group, oldest first; all groups where none is named.
pub(crate) fn published(db: &Connection, group: Option<&str>) -> Result<Vec<Published>, StoreError> {
    let text = format!("{PUBLISHED} WHERE ?1 IS NULL OR grp = ?1 ORDER BY grp, version");
    let mut statement = db.prepare_cached(&text)?;
    let rows = statement.query_map([group], read_published)?;
    Ok(rows.filter_map(Result::transpose).collect::<Result<_, _>>()?)
}

/// The latest policy of a group.
pub(crate) fn latest(db: &Connection, group: &str) -> Result<Option<Published>, StoreError> {
    let text = format!("{PUBLISHED} WHERE grp = ?1 ORDER BY version DESC LIMIT 1");
    Ok(db.prepare_cached(&text)?.query_row([group], read_published).optional()?.flatten())
}

/// The version of a group's policy; `None` where it is not one of this group's.
pub(crate) fn policy_version(db: &Connection, group: &str, digest: &Digest) -> Result<Option<u64>, StoreError> {
    let mut select = db.prepare_cached("SELECT version FROM policy WHERE digest = ?1 AND grp = ?2")?;
    Ok(select.query_row((&digest.0[..], group), |row| row.get(0)).optional()?)
}

/// A policy whole, as it was published.
pub(crate) fn policy(db: &Connection, digest: &Digest) -> Result<Option<Policy>, StoreError> {
    let text = format!("{PUBLISHED} WHERE policy.digest = ?1");
    let found = db.prepare_cached(&text)?.query_row([&digest.0[..]], read_published).optional()?.flatten();
    let contents: Option<Vec<u8>> = db
        .prepare_cached("SELECT bytes FROM policy_contents WHERE digest = ?1")?
        .query_row([&digest.0[..]], |row| row.get(0))
        .optional()?;
    let (Some(found), Some(contents)) = (found, contents) else { return Ok(None) };
    let policy = Policy::of(found.header, contents);
    policy.map(Some).map_err(|error| StoreError::Damaged(format!("the policy {digest}: {error}")))
}

/// The headers after a version of a group and before another in which keys change.
pub(crate) fn leading(
    db: &Connection,
    group: &str,
    (after, before): (u64, u64),
) -> Result<Vec<SignedPolicyHeader>, StoreError> {
    let mut leading = Vec::new();
    let mut signers = None;
    for published in published(db, Some(group))? {
        let header = published.header;
        let changes = signers.replace(header.signers.clone()) != Some(header.signers.clone());
        if changes && header.said.version > after && header.said.version < before {
            leading.push(header.signed());
        }
    }
    Ok(leading)
}

/// Checks that the files of every policy are those its header names; the number of the first entry where they are not.
pub(super) fn check_contents(db: &Connection) -> Result<Option<u64>, StoreError> {
    let mut digests = db.prepare("SELECT digest, log_index FROM policy ORDER BY log_index")?;
    let mut rows = digests.query([])?;
    while let Some(row) = rows.next()? {
        let digest = Digest::from_slice(&row.get::<_, Vec<u8>>(0)?);
        let sound = digest.map(|digest| policy(db, &digest));
        if !matches!(sound, Some(Ok(Some(_)))) {
            return Ok(Some(row.get(1)?));
        }
    }
    Ok(None)
}

/// Keeps the files of a policy.
pub(super) fn keep_contents(db: &Connection, digest: &Digest, bytes: &[u8]) -> Result<(), StoreError> {
    db.prepare_cached("INSERT OR IGNORE INTO policy_contents (digest, bytes) VALUES (?1, ?2)")?
        .execute((&digest.0[..], bytes))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use watchpost_proto::document::Signers;
    use watchpost_proto::keys::KeyId;
    use watchpost_proto::v1::{PolicyHeader, PolicyRole, Rollout};

    use super::*;

    fn published(version: u64, previous: &[u8]) -> PolicyEntry {
        let said = PolicyHeader {
            tenant: "acme".into(),
            group: "sales".into(),
            version,
            previous: previous.to_vec(),
            keys: Some(Signers::pinned(KeyId(Digest([1; 32]))).write()),
            ..PolicyHeader::default()
        };
        let policy = Policy::make(said, &[(PolicyRole::Pack, "a.yaml".into(), b"pack: a".to_vec())]).unwrap();
        PolicyEntry {
            verb: PolicyVerb::Publish.into(),
            policy: policy.header.digest.to_vec(),
            header: policy.header.bytes,
            rollout: Some(Rollout { rings: vec![EVERYBODY], ..Rollout::default() }),
            ..PolicyEntry::default()
        }
    }

    #[test]
    fn what_was_halted_is_not_what_everybody_has() {
        let db = Connection::open_in_memory().unwrap();
        create(&db).unwrap();
        let first = published(1, &[]);
        let second = published(2, &first.policy);
        let third = published(3, &second.policy);
        let halt =
            PolicyEntry { verb: PolicyVerb::Halt.into(), policy: second.policy.clone(), ..PolicyEntry::default() };
        let base = |entries: &[&PolicyEntry]| {
            let db = Connection::open_in_memory().unwrap();
            create(&db).unwrap();
            for (entry, index) in entries.iter().zip(0..) {
                apply(&db, index, &entry.encode_to_vec()).unwrap();
            }
            rollout_of(&db, "sales").unwrap().unwrap().base.map(Digest::to_vec)
        };
        assert_eq!(base(&[&first]), None);
        assert_eq!(base(&[&first, &second, &third]), Some(second.policy.clone()));
        assert_eq!(base(&[&first, &second, &halt, &third]), Some(first.policy.clone()));
        assert!(apply(&db, 9, &halt.encode_to_vec()).is_err(), "there is nothing to halt");
    }
}
