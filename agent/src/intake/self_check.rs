//! Whether everything works that findings rest on: a synthetic export in the agent's own folder goes the way of every export, once a day and whenever
//! the policy is another; and how the real folders stand. Both are told in one urgent record, also when it did not come through.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use watchpost_policy::engine::{SELF_CHECK_CORP, SELF_CHECK_TEXT};
use watchpost_policy::message::Corp;
use watchpost_proto::v1::{self, Lane, summary::Kind};

use super::{Intake, feeds};
use crate::config::Folder;
use crate::random;
use crate::source::{Listed, list, open_export};
use crate::store::{FileRow, StoreError, Tx};
use crate::summary::{self, MadeUnder};

/// Between two of them, by whichever clock has come so far.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// However the wall clock jumps, two days of it are not closer than this.
const DAY_MIN: Duration = Duration::from_secs(60 * 60);
/// Before another try when one did not come through.
const RETRY: Duration = Duration::from_secs(10 * 60);
/// Changes of folders that are told at once, and how long until there may be one more.
const CHANGES_MAX: u32 = 4;
const CHANGE_EVERY: Duration = Duration::from_secs(15 * 60);
/// Folders told in one record.
const FOLDERS_MAX: usize = 100;
/// Where the store keeps what was told last.
const SELF_CHECK: &str = "self_check";
const NAME: &str = "self-check";

/// What was told last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LastCheck {
    /// Rises with every one.
    pub number: u64,
    /// By the corrected clock, milliseconds.
    pub at_ms: i64,
    /// Stands for policy and version.
    checked: String,
    /// Where the synthetic export stopped; empty where it came through.
    pub failed: String,
    /// When one came through last, milliseconds; 0 never.
    pub passed_ms: i64,
    /// Folders that could not be read, and the word for why.
    pub unreadable: BTreeMap<String, String>,
}

/// What the self-check of an intake goes by.
pub(super) struct SelfCheck {
    dir: PathBuf,
    last: LastCheck,
    /// When this process made one, and when the last of them did not come through.
    made: Option<Duration>,
    failed: Option<Duration>,
    /// Changes of folders that may still be told at once, since when they are counted, and the change that was seen in the round before.
    changes: (u32, Duration),
    seen: BTreeMap<String, String>,
}

/// Where a synthetic export stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stopped {
    Writing,
    Listing,
    Opening,
    Finding,
}

impl Stopped {
    const ALL: [Self; 4] = [Self::Writing, Self::Listing, Self::Opening, Self::Finding];

    fn entry(self) -> (&'static str, &'static str) {
        match self {
            Self::Writing => (
                "not_written",
                "the synthetic export could not be written into the state folder; check its disk and rights",
            ),
            Self::Listing => (
                "not_listed",
                "the synthetic export was written and not seen; check what else touches the state folder",
            ),
            Self::Opening => (
                "not_opened",
                "the synthetic export could not be opened; check the rights of the state folder, and security software",
            ),
            Self::Finding => {
                ("not_found", "the synthetic export was read and its word not found; install the agent again")
            }
        }
    }
}

/// What a word for a failed self-check means and what to do, for people.
pub fn failed_sentence(word: &str) -> &'static str {
    let known = Stopped::ALL.into_iter().map(Stopped::entry).find(|(known, _)| *known == word);
    known.map_or("it did not come through", |(_, sentence)| sentence)
}

/// What was told last, for `status`.
pub fn last_check(tx: &Tx<'_>) -> Result<Option<LastCheck>, StoreError> {
    Ok(tx.seen(SELF_CHECK)?.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
}

impl Intake {
    /// Makes self-checks in a folder of the agent's own from now on.
    pub fn checking_itself_in(mut self, dir: PathBuf) -> Result<Self, StoreError> {
        let last = self.pipeline.store.read(last_check)?.unwrap_or_default();
        let changes = (CHANGES_MAX, self.clock().monotonic());
        self.self_check = Some(SelfCheck { dir, last, made: None, failed: None, changes, seen: BTreeMap::new() });
        Ok(self)
    }

    /// Whether reading goes on for so long that a self-check must come in between.
    pub(super) fn is_check_overdue(&self) -> bool {
        let made = self.self_check.as_ref().and_then(|check| check.made);
        made.is_some_and(|made| self.clock().monotonic().saturating_sub(made) >= DAY)
    }

    /// Makes a self-check if it is time to. Returns whether anything was told.
    pub(super) fn check_itself(&mut self, unlisted: &[(PathBuf, String)]) -> Result<bool, StoreError> {
        let unreadable = unreadable(&self.folders, unlisted);
        let Some(mut check) = self.self_check.take() else { return Ok(false) };
        let told = match self.is_due(&mut check, &unreadable) {
            Ok(true) => self.make(&mut check, unreadable),
            other => other,
        };
        self.self_check = Some(check);
        told
    }

    fn is_due(&self, check: &mut SelfCheck, unreadable: &BTreeMap<String, String>) -> Result<bool, StoreError> {
        let (now, last) = (self.clock().monotonic(), &check.last);
        let since = |moment: Option<Duration>| moment.map(|moment| now.saturating_sub(moment));
        if since(check.failed).is_some_and(|since| since < RETRY) {
            return Ok(false);
        }
        // A change must last from one round to the next: a folder may be away for a moment while it is put in place.
        let lasts = std::mem::replace(&mut check.seen, unreadable.clone()) == *unreadable;
        let has_failed = check.failed.is_some() || check.made.is_none() && !last.failed.is_empty();
        if has_failed || last.checked != self.checked() {
            return Ok(true);
        }
        if *unreadable != last.unreadable {
            return Ok(lasts && may_tell(&mut check.changes, now));
        }
        let (since, now_ms) = (since(check.made), self.pipeline.now_ms()?);
        let days = now_ms.checked_sub(last.at_ms);
        Ok(match since {
            Some(since) => since >= DAY || since >= DAY_MIN && days.is_some_and(|ms| ms >= DAY.as_millis() as i64),
            // What was made in the future was made by a wrong clock.
            None => days.is_none_or(|ms| !(0..DAY.as_millis() as i64).contains(&ms)),
        })
    }

    /// Another policy, or another version of what carries it out, is to be checked anew.
    fn checked(&self) -> String {
        format!("{} {}", env!("CARGO_PKG_VERSION"), self.pipeline.in_force.policy)
    }

    fn make(&mut self, check: &mut SelfCheck, unreadable: BTreeMap<String, String>) -> Result<bool, StoreError> {
        let now_ms = self.pipeline.now_ms()?;
        let next = LastCheck {
            number: check.last.number + 1,
            at_ms: now_ms,
            checked: self.checked(),
            failed: String::new(),
            passed_ms: now_ms,
            unreadable,
        };
        let folders = self.folder_checks(&next.unreadable)?;
        let outcome = self.send_through(check, &next, &folders)?;
        check.made = Some(self.clock().monotonic());
        let Err(stopped) = outcome else {
            check.failed = None;
            check.last = next;
            tracing::info!(number = check.last.number, "the self-check came through");
            return Ok(true);
        };
        check.failed = check.made;
        let (word, sentence) = stopped.entry();
        let is_news = check.last.failed != word
            || check.last.unreadable != next.unreadable
            || !(0..DAY.as_millis() as i64).contains(&now_ms.saturating_sub(check.last.at_ms));
        if is_news {
            tracing::error!(reason = word, "the self-check did not come through: {sentence}");
            let next = LastCheck { failed: word.to_owned(), passed_ms: check.last.passed_ms, ..next };
            self.pipeline.store.transaction(|tx| self.tell(tx, &next, &folders, 0))?;
            check.last = next;
        }
        Ok(is_news)
    }

    /// Writes the synthetic export and takes it the way of every export. Where it came through it is told with it.
    fn send_through(
        &mut self,
        check: &SelfCheck,
        next: &LastCheck,
        folders: &[v1::FolderCheck],
    ) -> Result<Result<(), Stopped>, StoreError> {
        let written_ms = self.clock().wall_ms();
        let Ok(name) = write_export(&check.dir, next) else { return Ok(Err(Stopped::Writing)) };
        let listed = list(&[Folder::new(&check.dir, Corp::new(SELF_CHECK_CORP))]).exports;
        let listed = listed.into_iter().find(|listed| listed.key.name == name && listed.stamp.is_ok());
        let outcome = match listed {
            Some(listed) => self.take(&listed, next, folders, written_ms),
            None => Ok(Err(Stopped::Listing)),
        };
        let _ = std::fs::remove_file(check.dir.join(name));
        outcome
    }

    fn take(
        &mut self,
        listed: &Listed,
        next: &LastCheck,
        folders: &[v1::FolderCheck],
        written_ms: i64,
    ) -> Result<Result<(), Stopped>, StoreError> {
        let Ok(export) = open_export(&listed.key) else { return Ok(Err(Stopped::Opening)) };
        let mut row = FileRow::new(listed.key.clone(), &listed.corp);
        let teller = self.teller();
        let found = self.pipeline.probe(&mut row, export, |tx| teller.tell(tx, next, folders, written_ms))?;
        Ok(if found { Ok(()) } else { Err(Stopped::Finding) })
    }

    fn tell(
        &self,
        tx: &Tx<'_>,
        next: &LastCheck,
        folders: &[v1::FolderCheck],
        written_ms: i64,
    ) -> Result<(), StoreError> {
        self.teller().tell(tx, next, folders, written_ms)
    }

    fn teller(&self) -> Teller {
        Teller {
            made: MadeUnder::new(&self.pipeline.in_force, self.clock().wall_ms()),
            folders_total: self.folders.len(),
        }
    }

    /// Those that cannot be read first.
    fn folder_checks(&self, unreadable: &BTreeMap<String, String>) -> Result<Vec<v1::FolderCheck>, StoreError> {
        let (counts, starved) = (self.pipeline.store.read(|tx| tx.files_by_folder())?, self.starved()?);
        let mut checks: Vec<_> = self
            .folders
            .iter()
            .map(|folder| {
                let name = feeds::name(folder);
                v1::FolderCheck {
                    folder: summary::folder_digest(&self.pipeline.device, &folder.path).to_vec(),
                    corp: folder.corp.as_str().to_owned(),
                    unreadable: unreadable.get(&name).cloned().unwrap_or_default(),
                    exports: counts.get(&folder.path).copied().unwrap_or(0),
                    expected: folder.expect.map(|expectation| expectation.to_string()).unwrap_or_default(),
                    starved_ms: starved.get(&name).copied().unwrap_or(0),
                }
            })
            .collect();
        checks.sort_by_key(|check| check.unreadable.is_empty());
        checks.truncate(FOLDERS_MAX);
        Ok(checks)
    }
}

/// Tells of a self-check.
struct Teller {
    made: MadeUnder,
    folders_total: usize,
}

impl Teller {
    fn tell(
        &self,
        tx: &Tx<'_>,
        next: &LastCheck,
        folders: &[v1::FolderCheck],
        written_ms: i64,
    ) -> Result<(), StoreError> {
        let failed = !next.failed.is_empty();
        let told = v1::SelfCheck {
            number: next.number,
            written_ms,
            found_ms: if failed { 0 } else { self.made.at_ms },
            failed,
            reason: next.failed.clone(),
            folders: folders.to_vec(),
            folders_total: u32::try_from(self.folders_total).unwrap_or(u32::MAX),
            folders_unreadable: u32::try_from(next.unreadable.len()).unwrap_or(u32::MAX),
        };
        let bytes = serde_json::to_vec(next).map_err(|_| StoreError::Malformed("self-check"))?;
        tx.append(Lane::Urgent, &self.made.record(Kind::SelfCheck(told))?)?;
        tx.put_seen(SELF_CHECK, &bytes)
    }
}

/// Whether one more change may be told.
fn may_tell((left, since): &mut (u32, Duration), now: Duration) -> bool {
    while *left < CHANGES_MAX && now.saturating_sub(*since) >= CHANGE_EVERY {
        *left += 1;
        *since += CHANGE_EVERY;
    }
    if *left == CHANGES_MAX {
        *since = now;
    }
    let may = *left > 0;
    *left = left.saturating_sub(1);
    may
}

/// By name of the folder: why it, or a part of it, cannot be read.
fn unreadable(folders: &[Folder], unlisted: &[(PathBuf, String)]) -> BTreeMap<String, String> {
    let mut words = BTreeMap::new();
    for (path, _) in unlisted {
        let Some(folder) = folders.iter().find(|folder| path.starts_with(&folder.path)) else { continue };
        let word = if *path == folder.path { why(path) } else { "part" };
        words.insert(feeds::name(folder), word.to_owned());
    }
    words
}

fn why(folder: &Path) -> &'static str {
    match std::fs::read_dir(folder).err().map(|error| error.kind()) {
        Some(io::ErrorKind::NotFound) => "missing",
        Some(io::ErrorKind::PermissionDenied) => "permission",
        Some(io::ErrorKind::NotADirectory) => "not_a_folder",
        _ => "unreadable",
    }
}

/// Writes it the way an archive job does: under a temporary name, then renamed. What a crash left is removed.
fn write_export(dir: &Path, next: &LastCheck) -> io::Result<PathBuf> {
    std::fs::create_dir_all(dir)?;
    for entry in std::fs::read_dir(dir)?.flatten() {
        if entry.file_name().to_string_lossy().starts_with(NAME) {
            std::fs::remove_file(entry.path())?;
        }
    }
    // Another one in each, also where the number comes again on a restored disk.
    let msgid = format!("{NAME}-{}-{}", next.number, hex::encode(random::bytes::<16>()));
    let message = serde_json::json!({
        "msgid": msgid, "action": "send", "from": NAME, "tolist": [NAME], "roomid": "", "msgtime": next.at_ms,
        "msgtype": "text", "text": { "content": SELF_CHECK_TEXT },
    });
    let name = PathBuf::from(format!("{NAME}-{}.jsonl", next.number));
    let temporary = dir.join(format!("{}.tmp", name.display()));
    let mut file = std::fs::File::create(&temporary)?;
    writeln!(file, "{message}")?;
    std::fs::rename(&temporary, dir.join(&name))?;
    Ok(name)
}
