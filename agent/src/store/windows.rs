//! State of windows: what messages contributed, what was told of it, and when to look again.
//!
//! Everything in here is a function of the messages read, so that a crash, a restart or another order of exports leaves the same. Groups are
//! keyed digests and texts are kept only of short messages whose parts may make a word, for two days.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::path::Path;

use rusqlite::{OptionalExtension, Row, params};
use watchpost_policy::identity::RuleDigest;
use watchpost_policy::summary::MessageFacts;
use watchpost_policy::windows::{ANSWER, Contribution, GroupKey, ShortMid, Told};

use super::{StoreError, Tx};

pub(super) const SCHEMA: &str = "
-- Rules by number, so that state names them shortly. A rule of another digest is another rule.
CREATE TABLE window_rule (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    pack    TEXT NOT NULL,
    rule    TEXT NOT NULL,
    digest  BLOB NOT NULL,
    -- Whether it waits for answers.
    reply   INTEGER NOT NULL,
    UNIQUE (pack, rule)
) STRICT;
CREATE TABLE window_contribution (
    rule     INTEGER NOT NULL,
    grp      BLOB NOT NULL,
    at_ms    INTEGER NOT NULL,
    mid      BLOB NOT NULL,
    key      INTEGER NOT NULL,
    value    INTEGER NOT NULL,
    text     TEXT NOT NULL,
    -- When it was read; only where texts matter.
    read_ms  INTEGER,
    PRIMARY KEY (rule, grp, at_ms, mid, key, value, text)
) STRICT, WITHOUT ROWID;
CREATE INDEX window_text ON window_contribution (read_ms) WHERE read_ms IS NOT NULL;
-- Answers, which stand far apart where nobody answers.
CREATE INDEX window_answer ON window_contribution (rule, grp, at_ms) WHERE key = 1;
-- What a finding may say of a message that contributed.
CREATE TABLE window_message (
    mid     BLOB PRIMARY KEY,
    at_ms   INTEGER NOT NULL,
    person  TEXT,
    msgid   TEXT,
    sender  TEXT NOT NULL,
    room    TEXT
) STRICT, WITHOUT ROWID;
CREATE TABLE window_told (
    rule       INTEGER NOT NULL,
    grp        BLOB NOT NULL,
    bucket     INTEGER NOT NULL,
    first_ms   INTEGER NOT NULL,
    last_ms    INTEGER NOT NULL,
    count      INTEGER NOT NULL,
    value      INTEGER NOT NULL,
    open       INTEGER NOT NULL,
    first      BLOB NOT NULL,
    withdrawn  INTEGER NOT NULL,
    PRIMARY KEY (rule, grp, bucket)
) STRICT, WITHOUT ROWID;
-- Buckets to look at again when the watermark of a folder has come this far.
CREATE TABLE window_due (
    rule    INTEGER NOT NULL,
    grp     BLOB NOT NULL,
    bucket  INTEGER NOT NULL,
    folder  INTEGER NOT NULL,
    due_ms  INTEGER NOT NULL,
    PRIMARY KEY (rule, grp, bucket, folder)
) STRICT, WITHOUT ROWID;
CREATE INDEX window_due_next ON window_due (folder, due_ms);
CREATE TABLE watermark (
    id      INTEGER PRIMARY KEY,
    folder  BLOB NOT NULL UNIQUE,
    at_ms   INTEGER NOT NULL
) STRICT;
";

const DAY_MS: i64 = 24 * 60 * 60 * 1000;
/// A text waits this long for the rest of its word: exports of one day and of the next may come a day apart.
const TEXT_KEPT_MS: i64 = 2 * DAY_MS;
/// What was told is known longer than what it rests on, by more than the longest window.
const TOLD_LONGER_MS: i64 = 14 * DAY_MS;

/// Number of a rule in this store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleId(i64);

/// Number of a watched folder in this store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FolderId(i64);

/// One group of one rule.
pub type WindowGroup = (RuleId, GroupKey);

impl Tx<'_> {
    /// The number of a rule. One that is known with another digest starts afresh; then with how many contributions are dropped.
    pub fn window_rule(
        &self,
        pack: &str,
        rule: &str,
        digest: RuleDigest,
        reply: bool,
    ) -> Result<(RuleId, u64), StoreError> {
        let known: Option<(i64, Vec<u8>)> = self
            .0
            .prepare_cached("SELECT id, digest FROM window_rule WHERE pack = ?1 AND rule = ?2")?
            .query_row([pack, rule], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let mut dropped = 0;
        match known {
            Some((id, known)) if known == digest.0 => return Ok((RuleId(id), 0)),
            Some((id, _)) => dropped = self.drop_window_rule(RuleId(id))?,
            None => {}
        }
        self.0.execute(
            "INSERT INTO window_rule (pack, rule, digest, reply) VALUES (?1, ?2, ?3, ?4)",
            params![pack, rule, digest.0, reply],
        )?;
        Ok((RuleId(self.0.last_insert_rowid()), dropped))
    }

    /// The rules that have state: number, pack and id.
    pub fn window_rules(&self) -> Result<Vec<(RuleId, String, String)>, StoreError> {
        let mut statement = self.0.prepare_cached("SELECT id, pack, rule FROM window_rule")?;
        let rows = statement.query_map([], |row| Ok((RuleId(row.get(0)?), row.get(1)?, row.get(2)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Forgets a rule and all its state. Returns how many contributions are dropped.
    pub fn drop_window_rule(&self, RuleId(id): RuleId) -> Result<u64, StoreError> {
        let dropped = self.0.execute("DELETE FROM window_contribution WHERE rule = ?1", [id])?;
        self.0.execute("DELETE FROM window_told WHERE rule = ?1", [id])?;
        self.0.execute("DELETE FROM window_due WHERE rule = ?1", [id])?;
        self.0.execute("DELETE FROM window_rule WHERE id = ?1", [id])?;
        Ok(dropped as u64)
    }

    /// The contributions of a group between two moments, both included, in order.
    pub fn contributions(
        &self,
        (rule, group): WindowGroup,
        between: RangeInclusive<i64>,
    ) -> Result<Vec<Contribution>, StoreError> {
        let mut statement = self.0.prepare_cached(
            "SELECT at_ms, mid, key, value, text FROM window_contribution
             WHERE rule = ?1 AND grp = ?2 AND at_ms BETWEEN ?3 AND ?4 ORDER BY at_ms, mid, key, value, text",
        )?;
        let rows = statement.query_map(params![rule.0, group.0, between.start(), between.end()], contribution)?;
        let mut contributions = rows.collect::<Result<Vec<_>, _>>()?;
        // The database orders keys as signed numbers.
        contributions.sort_unstable();
        Ok(contributions)
    }

    /// The time of the last contribution before a moment.
    pub fn contribution_before(&self, group: WindowGroup, before_ms: i64) -> Result<Option<i64>, StoreError> {
        self.nearest(
            "SELECT max(at_ms) FROM window_contribution WHERE rule = ?1 AND grp = ?2 AND at_ms < ?3",
            group,
            before_ms,
        )
    }

    /// The time of the last answer before a moment.
    pub fn answer_before(&self, group: WindowGroup, before_ms: i64) -> Result<Option<i64>, StoreError> {
        const { assert!(ANSWER == 1, "the index and the statements name it") };
        self.nearest(
            "SELECT max(at_ms) FROM window_contribution WHERE rule = ?1 AND grp = ?2 AND at_ms < ?3 AND key = 1",
            group,
            before_ms,
        )
    }

    /// The time of the first contribution from a moment on.
    pub fn contribution_from(&self, group: WindowGroup, from_ms: i64) -> Result<Option<i64>, StoreError> {
        self.nearest(
            "SELECT min(at_ms) FROM window_contribution WHERE rule = ?1 AND grp = ?2 AND at_ms >= ?3",
            group,
            from_ms,
        )
    }

    /// The time of the first answer from a moment on.
    pub fn answer_from(&self, group: WindowGroup, from_ms: i64) -> Result<Option<i64>, StoreError> {
        self.nearest(
            "SELECT min(at_ms) FROM window_contribution WHERE rule = ?1 AND grp = ?2 AND at_ms >= ?3 AND key = 1",
            group,
            from_ms,
        )
    }

    /// The time of the first question from a moment on.
    pub fn question_from(&self, (rule, group): WindowGroup, from_ms: i64) -> Result<Option<i64>, StoreError> {
        let mut statement = self.0.prepare_cached(
            "SELECT at_ms FROM window_contribution
             WHERE rule = ?1 AND grp = ?2 AND at_ms >= ?3 AND key <> 1 ORDER BY at_ms LIMIT 1",
        )?;
        Ok(statement.query_row(params![rule.0, group.0, from_ms], |row| row.get(0)).optional()?)
    }

    fn nearest(&self, sql: &str, (rule, group): WindowGroup, ms: i64) -> Result<Option<i64>, StoreError> {
        Ok(self.0.prepare_cached(sql)?.query_row(params![rule.0, group.0, ms], |row| row.get(0))?)
    }

    /// Adds a contribution that is not there; with the moment it was read where texts matter.
    pub fn add_contribution(
        &self,
        (rule, group): WindowGroup,
        added: &Contribution,
        read_ms: Option<i64>,
    ) -> Result<(), StoreError> {
        let Contribution { at_ms, mid, key, value, text } = added;
        self.0
            .prepare_cached("INSERT OR IGNORE INTO window_contribution VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")?
            .execute(params![rule.0, group.0, at_ms, mid.0, key.cast_signed(), value, text, read_ms])?;
        Ok(())
    }

    /// Removes a contribution.
    pub fn remove_contribution(&self, (rule, group): WindowGroup, gone: &Contribution) -> Result<(), StoreError> {
        let Contribution { at_ms, mid, key, value, text } = gone;
        self.0
            .prepare_cached(
                "DELETE FROM window_contribution WHERE rule = ?1 AND grp = ?2 AND at_ms = ?3 AND mid = ?4 AND key = ?5
                 AND value = ?6 AND text = ?7",
            )?
            .execute(params![rule.0, group.0, at_ms, mid.0, key.cast_signed(), value, text])?;
        Ok(())
    }

    /// Remembers what a finding may say of a message.
    pub fn put_window_message(&self, mid: ShortMid, at_ms: i64, facts: &MessageFacts) -> Result<(), StoreError> {
        let MessageFacts { person, msgid, from, room } = facts;
        self.0
            .prepare_cached("INSERT OR IGNORE INTO window_message VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?
            .execute(params![mid.0, at_ms, person, msgid, from, room])?;
        Ok(())
    }

    /// What a finding may say of a message; nothing of one that is forgotten.
    pub fn window_message(&self, mid: ShortMid) -> Result<MessageFacts, StoreError> {
        let facts = self
            .0
            .prepare_cached("SELECT person, msgid, sender, room FROM window_message WHERE mid = ?1")?
            .query_row([mid.0], |row| {
                Ok(MessageFacts { person: row.get(0)?, msgid: row.get(1)?, from: row.get(2)?, room: row.get(3)? })
            })
            .optional()?;
        Ok(facts.unwrap_or_default())
    }

    /// What was told of some buckets of a group.
    pub fn windows_told(
        &self,
        (rule, group): WindowGroup,
        buckets: &RangeInclusive<i64>,
    ) -> Result<BTreeMap<i64, Told>, StoreError> {
        let mut statement = self.0.prepare_cached(
            "SELECT bucket, first_ms, last_ms, count, value, open, first, withdrawn FROM window_told
             WHERE rule = ?1 AND grp = ?2 AND bucket BETWEEN ?3 AND ?4",
        )?;
        let rows = statement.query_map(params![rule.0, group.0, buckets.start(), buckets.end()], |row| {
            let told = Told {
                first_ms: row.get(1)?,
                last_ms: row.get(2)?,
                count: row.get(3)?,
                value: row.get(4)?,
                open: row.get(5)?,
                first: ShortMid(row.get(6)?),
                withdrawn: row.get(7)?,
            };
            Ok((row.get(0)?, told))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Notes what was told of a bucket.
    pub fn put_window_told(&self, (rule, group): WindowGroup, bucket: i64, told: &Told) -> Result<(), StoreError> {
        let Told { first_ms, last_ms, count, value, open, first, withdrawn } = told;
        self.0
            .prepare_cached("INSERT OR REPLACE INTO window_told VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)")?
            .execute(params![rule.0, group.0, bucket, first_ms, last_ms, count, value, open, first.0, withdrawn])?;
        Ok(())
    }

    /// Notes that a bucket is to be looked at again when the watermark of a folder has come to `due_ms`.
    pub fn put_window_due(
        &self,
        folder: FolderId,
        due_ms: i64,
        (rule, group): WindowGroup,
        bucket: i64,
    ) -> Result<(), StoreError> {
        self.0
            .prepare_cached(
                "INSERT INTO window_due VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT DO UPDATE SET due_ms = min(due_ms, excluded.due_ms)",
            )?
            .execute(params![rule.0, group.0, bucket, folder.0, due_ms])?;
        Ok(())
    }

    /// Takes back that some buckets are to be looked at again.
    pub fn clear_windows_due(
        &self,
        folder: FolderId,
        (rule, group): WindowGroup,
        buckets: &RangeInclusive<i64>,
    ) -> Result<(), StoreError> {
        self.0
            .prepare_cached(
                "DELETE FROM window_due WHERE rule = ?1 AND grp = ?2 AND bucket BETWEEN ?3 AND ?4 AND folder = ?5",
            )?
            .execute(params![rule.0, group.0, buckets.start(), buckets.end(), folder.0])?;
        Ok(())
    }

    /// Takes what is due by the watermark of a folder, by group; no more than `rows` at once, the earliest first.
    pub fn take_windows_due(
        &self,
        folder: FolderId,
        until_ms: i64,
        rows: usize,
    ) -> Result<BTreeMap<WindowGroup, BTreeSet<i64>>, StoreError> {
        let mut due: BTreeMap<WindowGroup, BTreeSet<i64>> = BTreeMap::new();
        let mut statement = self.0.prepare_cached(
            "SELECT rule, grp, bucket FROM window_due WHERE folder = ?1 AND due_ms <= ?2 ORDER BY due_ms LIMIT ?3",
        )?;
        let mut found = statement.query(params![folder.0, until_ms, rows as i64])?;
        while let Some(row) = found.next()? {
            due.entry((RuleId(row.get(0)?), GroupKey(row.get(1)?))).or_default().insert(row.get(2)?);
        }
        for (group, buckets) in &due {
            buckets.iter().try_for_each(|bucket| self.clear_windows_due(folder, *group, &(*bucket..=*bucket)))?;
        }
        Ok(due)
    }

    /// The number of a folder, with how far its exports have been read.
    pub fn watermark(&self, folder: &Path) -> Result<(FolderId, i64), StoreError> {
        let name = folder.as_os_str().as_encoded_bytes();
        self.0
            .prepare_cached("INSERT INTO watermark (folder, at_ms) VALUES (?1, 0) ON CONFLICT DO NOTHING")?
            .execute([name])?;
        Ok(self
            .0
            .prepare_cached("SELECT id, at_ms FROM watermark WHERE folder = ?1")?
            .query_row([name], |row| Ok((FolderId(row.get(0)?), row.get(1)?)))?)
    }

    /// Raises a folder's watermark.
    pub fn put_watermark(&self, folder: FolderId, at_ms: i64) -> Result<(), StoreError> {
        self.0
            .prepare_cached("UPDATE watermark SET at_ms = ?2 WHERE id = ?1 AND at_ms < ?2")?
            .execute(params![folder.0, at_ms])?;
        Ok(())
    }

    /// The furthest of all watermarks.
    pub fn furthest_watermark(&self) -> Result<i64, StoreError> {
        Ok(self.0.query_row("SELECT coalesce(max(at_ms), 0) FROM watermark", [], |row| row.get(0))?)
    }

    /// Forgets texts that have waited long enough for the rest of their word. That a message stood there stays known as long again, so that
    /// what it separated is not joined.
    pub fn forget_window_texts(&self, now_ms: i64) -> Result<(), StoreError> {
        self.0.execute("DELETE FROM window_contribution WHERE read_ms < ?1", [now_ms - 2 * TEXT_KEPT_MS])?;
        self.0.execute(
            "UPDATE OR REPLACE window_contribution SET text = '' WHERE read_ms < ?1 AND text <> ''",
            [now_ms - TEXT_KEPT_MS],
        )?;
        Ok(())
    }

    /// Forgets what lies before the horizon. Looks at everything: once a day.
    pub fn forget_windows(&self, horizon_ms: i64) -> Result<(), StoreError> {
        self.forget_waits(horizon_ms)?;
        self.0.execute("DELETE FROM window_contribution WHERE at_ms < ?1", [horizon_ms])?;
        self.0.execute("DELETE FROM window_message WHERE at_ms < ?1", [horizon_ms])?;
        self.0.execute("DELETE FROM window_told WHERE first_ms < ?1", [horizon_ms - TOLD_LONGER_MS])?;
        self.0.execute("DELETE FROM window_due WHERE due_ms < ?1", [horizon_ms])?;
        Ok(())
    }

    /// Forgets waits that began before the horizon and are still open, whole: were only their first questions forgotten, the next one would
    /// seem to begin another.
    fn forget_waits(&self, horizon_ms: i64) -> Result<(), StoreError> {
        // With max() the key is that of the row that has it.
        let open = "SELECT rule, grp FROM (
                SELECT c.rule, c.grp, max(c.at_ms), c.key AS last FROM window_contribution c
                JOIN window_rule r ON r.id = c.rule WHERE r.reply AND c.at_ms < ?1 GROUP BY c.rule, c.grp
            ) WHERE last <> 1";
        let mut statement = self.0.prepare_cached(open)?;
        let groups = statement.query_map([horizon_ms], |row| Ok((RuleId(row.get(0)?), GroupKey(row.get(1)?))))?;
        for group in groups.collect::<Result<Vec<WindowGroup>, _>>()? {
            let until_ms = self.answer_from(group, horizon_ms)?.unwrap_or(i64::MAX);
            self.0
                .prepare_cached("DELETE FROM window_contribution WHERE rule = ?1 AND grp = ?2 AND at_ms < ?3")?
                .execute(params![group.0.0, group.1.0, until_ms])?;
        }
        Ok(())
    }
}

fn contribution(row: &Row<'_>) -> rusqlite::Result<Contribution> {
    Ok(Contribution {
        at_ms: row.get(0)?,
        mid: ShortMid(row.get(1)?),
        key: row.get::<_, i64>(2)?.cast_unsigned(),
        value: row.get(3)?,
        text: row.get(4)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;

    const GROUP: GroupKey = GroupKey([5; 16]);

    fn contribution(at_ms: i64, key: u64, text: &str) -> Contribution {
        Contribution { at_ms, mid: ShortMid([at_ms as u8; 16]), key, value: 3, text: text.into() }
    }

    fn with_rule(tx: &Tx<'_>, digest: u8) -> (RuleId, u64) {
        tx.window_rule("p", "r", RuleDigest([digest; 32]), true).unwrap()
    }

    #[test]
    fn contributions_come_back_sorted_and_once() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let (first, second) = (contribution(1, 0, ""), contribution(2, u64::MAX, "加"));
        store
            .transaction(|tx| {
                let group = (with_rule(tx, 1).0, GROUP);
                for added in [&second, &first, &second] {
                    tx.add_contribution(group, added, Some(77))?;
                }
                assert_eq!(tx.contributions(group, 0..=9)?, [first.clone(), second.clone()]);
                assert_eq!(tx.contributions(group, 2..=2)?, std::slice::from_ref(&second));
                assert_eq!(tx.contribution_before(group, 2)?, Some(1));
                assert_eq!(tx.contribution_before(group, 1)?, None);
                assert_eq!(tx.contribution_from(group, 2)?, Some(2));
                assert_eq!((tx.answer_before(group, 9)?, tx.answer_from(group, 0)?), (None, None));
                let answer = contribution(5, ANSWER, "");
                tx.add_contribution(group, &answer, None)?;
                assert_eq!((tx.answer_before(group, 9)?, tx.answer_from(group, 0)?), (Some(5), Some(5)));
                assert_eq!((tx.question_from(group, 2)?, tx.question_from(group, 3)?), (Some(2), None));
                tx.remove_contribution(group, &answer)?;
                tx.remove_contribution(group, &first)?;
                assert_eq!(tx.contributions(group, 0..=9)?, std::slice::from_ref(&second));
                Ok(())
            })
            .unwrap();
    }

    #[test]
    fn a_changed_rule_starts_afresh() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        store
            .transaction(|tx| {
                let (rule, _) = with_rule(tx, 1);
                tx.add_contribution((rule, GROUP), &contribution(1, 0, ""), None)?;
                assert_eq!(with_rule(tx, 1), (rule, 0));
                let (other, dropped) = with_rule(tx, 2);
                assert_eq!((other == rule, dropped), (false, 1));
                assert!(tx.contributions((rule, GROUP), 0..=9)?.is_empty());
                tx.add_contribution((other, GROUP), &contribution(1, 0, ""), None)?;
                assert_eq!(tx.window_rules()?, [(other, "p".to_owned(), "r".to_owned())]);
                assert_eq!(tx.drop_window_rule(other)?, 1);
                assert!(tx.window_rules()?.is_empty());
                Ok(())
            })
            .unwrap();
    }

    #[test]
    fn what_is_due_is_taken_once_and_by_folder() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        store
            .transaction(|tx| {
                let group = (with_rule(tx, 1).0, GROUP);
                let (here, _) = tx.watermark(Path::new("/a"))?;
                let (there, _) = tx.watermark(Path::new("/b"))?;
                tx.put_watermark(here, 50)?;
                tx.put_watermark(here, 40)?;
                assert_eq!(tx.watermark(Path::new("/a"))?, (here, 50));
                assert_eq!(tx.furthest_watermark()?, 50);
                tx.put_window_due(here, 10, group, 1)?;
                tx.put_window_due(here, 60, group, 2)?;
                tx.put_window_due(there, 10, group, 3)?;
                tx.put_window_due(here, 20, group, 3)?;
                tx.put_window_due(here, 30, group, 3)?;
                tx.put_window_due(here, 15, group, 4)?;
                tx.clear_windows_due(here, group, &(4..=9))?;
                let due = |bucket| BTreeMap::from([(group, BTreeSet::from([bucket]))]);
                assert_eq!(tx.take_windows_due(here, 50, 1)?, due(1));
                assert_eq!(tx.take_windows_due(here, 25, 9)?, due(3), "the earlier of two");
                assert!(tx.take_windows_due(here, 50, 9)?.is_empty());
                assert_eq!(tx.take_windows_due(there, 50, 9)?, due(3));
                Ok(())
            })
            .unwrap();
    }

    #[test]
    fn a_wait_that_began_before_the_horizon_is_forgotten_whole() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        store
            .transaction(|tx| {
                let rule = with_rule(tx, 1).0;
                let (never, late) = ((rule, GROUP), (rule, GroupKey([6; 16])));
                for at_ms in [10, 20, 30] {
                    tx.add_contribution(never, &contribution(at_ms, 0, ""), None)?;
                    tx.add_contribution(late, &contribution(at_ms, 0, ""), None)?;
                }
                tx.add_contribution(late, &contribution(25, ANSWER, ""), None)?;
                tx.forget_windows(10)?;
                assert_eq!(tx.contributions(never, 0..=99)?.len(), 3);
                tx.forget_windows(15)?;
                assert!(tx.contributions(never, 0..=99)?.is_empty());
                let left: Vec<i64> = tx.contributions(late, 0..=99)?.iter().map(|one| one.at_ms).collect();
                assert_eq!(left, [25, 30]);
                Ok(())
            })
            .unwrap();
    }

    #[test]
    fn texts_go_after_two_days_and_all_else_with_the_horizon() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        store
            .transaction(|tx| {
                let group = (with_rule(tx, 1).0, GROUP);
                tx.add_contribution(group, &contribution(100, 0, "加"), Some(5))?;
                tx.add_contribution(group, &contribution(110, 0, ""), None)?;
                tx.add_contribution(group, &contribution(200, ANSWER, ""), None)?;
                let texts = |tx: &Tx<'_>| -> Result<Vec<String>, StoreError> {
                    Ok(tx.contributions(group, 0..=999)?.into_iter().map(|one| one.text).collect())
                };
                tx.forget_window_texts(5 + TEXT_KEPT_MS)?;
                assert_eq!(texts(tx)?, ["加", "", ""]);
                tx.forget_window_texts(6 + TEXT_KEPT_MS)?;
                assert_eq!(texts(tx)?, ["", "", ""], "that something stood there stays known");
                tx.forget_window_texts(6 + 2 * TEXT_KEPT_MS)?;
                assert_eq!(texts(tx)?, ["", ""]);
                tx.forget_windows(200)?;
                assert_eq!(texts(tx)?, [""]);
                Ok(())
            })
            .unwrap();
    }
}
