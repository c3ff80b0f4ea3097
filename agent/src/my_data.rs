//! What an employee can see of what the agent knows about them: the page of [`watchpost_policy::my_data`] filled in from the running policy, the ledger
//! and the outbox, and the acknowledgement of the notice.

#[cfg(unix)]
pub mod socket;

use std::collections::{BTreeMap, HashSet};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use watchpost_policy::engine::Engine;
use watchpost_policy::message::{Account, Corp};
use watchpost_policy::my_data::{self, Day, MyData, Sent, Watched};
use watchpost_policy::rules::Disclose;
use watchpost_proto::Digest;
use watchpost_proto::digest::sha256;
use watchpost_proto::v1::{self, Lane, summary::Kind};

use crate::config::{Config, Folder, NoticeConfig};
use crate::store::{LedgerRow, MARK_BYTES, Store, StoreError, Tx};
use crate::summary::MadeUnder;

const HOUR_MS: i64 = 60 * 60 * 1000;
const DAY_MS: i64 = 24 * HOUR_MS;
/// China is so many hours before UTC.
const CHINA_HOURS: i64 = 8;
/// How far back the page looks.
const SENT_DAYS: i64 = 90;
/// Records listed on a page; more are only counted.
const SENT_MAX: usize = 2_000;
/// Largest notice, in bytes.
const NOTICE_BYTES_MAX: u64 = 256 * 1024;

/// Where the page is served on systems with sockets, unless configured otherwise.
pub const SOCKET: &str = "/run/watchpost/my-data.sock";

/// Who may ask for which accounts, and where.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MyDataConfig {
    /// Where the page is served.
    pub socket: Option<PathBuf>,
    /// Accounts by name or number of the system's user.
    pub users: BTreeMap<String, Vec<String>>,
    /// Whether the ledger goes without the excerpts that were sent.
    pub without_excerpts: bool,
}

/// The notice in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Number of its version.
    pub version: u64,
    /// SHA-256 of its text.
    pub digest: Digest,
    /// Its text.
    pub text: String,
}

impl Notice {
    /// Reads it; nothing where none is configured.
    ///
    /// # Errors
    /// A sentence that names the file.
    pub fn load(config: &NoticeConfig) -> Result<Option<Self>, String> {
        let Some((file, version)) = &config.text else { return Ok(None) };
        let told = |error: String| format!("the notice {} cannot be shown: {error}", file.display());
        let mut bytes = Vec::new();
        let opened = std::fs::File::open(file).map_err(|error| told(error.to_string()))?;
        opened.take(NOTICE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|error| told(error.to_string()))?;
        if bytes.len() as u64 > NOTICE_BYTES_MAX {
            return Err(told("it is larger than 256 KiB; shorten it".into()));
        }
        let digest = sha256(&[&bytes]);
        let text = String::from_utf8(bytes).map_err(|_| told("it is not UTF-8; save it as UTF-8".into()))?;
        Ok(Some(Self { version: *version, digest, text }))
    }
}

/// Everything a page is made of.
pub struct Sources<'a> {
    /// The policy in force.
    pub engine: &'a Engine,
    /// Ledger, outbox and tallies.
    pub store: &'a Store,
    /// What is watched.
    pub folders: &'a [Folder],
    /// The most that any rule may disclose here.
    pub ceiling: Disclose,
    /// Who can see what is sent.
    pub who: &'a [String],
    /// The notice in force.
    pub notice: Option<&'a Notice>,
}

/// `corp/userid` as records name it; `None` for what is no account.
pub fn account_of(text: &str) -> Option<String> {
    let (corp, userid) = text.trim().split_once('/')?;
    let is_name = |part: &str| !part.trim().is_empty() && !part.chars().any(char::is_control);
    (is_name(corp) && is_name(userid)).then(|| Account::new(&Corp::new(corp), userid).to_string())
}

/// The page about an account.
pub fn page(sources: &Sources<'_>, account: &str, now_ms: i64) -> Result<MyData, StoreError> {
    let since_ms = now_ms - SENT_DAYS * DAY_MS;
    sources.store.read(|tx| {
        let (rows, sent_total) = tx.disclosures(account, since_ms, SENT_MAX)?;
        let waiting = waiting(tx, &rows)?;
        let notice = sources.notice.map(|notice| shown_notice(tx, notice, account)).transpose()?;
        Ok(MyData {
            account: account.to_owned(),
            made_ms: now_ms,
            watched: Some(watched(sources, account, now_ms)),
            rules: Some(my_data::categories(sources.engine, sources.ceiling)),
            who: sources.who.to_vec(),
            notice,
            sent: rows.into_iter().map(|row| sent(sources.engine, row, &waiting)).collect(),
            sent_total,
            mentioned: tx.mentions(account, since_ms)?,
            days: days(tx, account)?,
        })
    })
}

fn watched(sources: &Sources<'_>, account: &str, now_ms: i64) -> Watched {
    let (corp, userid) = account.split_once('/').unwrap_or_default();
    let accounts = sources.engine.accounts();
    let entry = accounts.and_then(|accounts| accounts.get(&Corp::new(corp), userid));
    let is_watched = sources.folders.iter().any(|folder| folder.corp.as_str() == corp);
    let folders = sources.folders.iter().map(|it| (it.path.display().to_string(), it.corp.as_str().to_owned()));
    Watched {
        folders: folders.collect(),
        managed: is_watched
            && (accounts.is_none() || entry.is_some_and(|entry| entry.managed_at(Some(now_ms)).is_some())),
        never: accounts.map(|accounts| accounts.never() as u64),
        is_never: entry.is_some_and(|entry| entry.never),
    }
}

/// The marks of those records that have no receipt.
fn waiting(tx: &Tx<'_>, rows: &[LedgerRow]) -> Result<HashSet<[u8; MARK_BYTES]>, StoreError> {
    let known: HashSet<_> = rows.iter().filter_map(LedgerRow::marks).flatten().collect();
    let mut waiting = HashSet::new();
    // Nothing was sent: the outbox, which may be large, is left alone.
    if known.is_empty() {
        return Ok(waiting);
    }
    tx.unreceipted(|mark| {
        if known.contains(&mark) {
            waiting.insert(mark);
        }
    })?;
    Ok(waiting)
}

fn sent(engine: &Engine, row: LedgerRow, waiting: &HashSet<[u8; MARK_BYTES]>) -> Sent {
    let receipted = row.marks().map(|marks| !marks.iter().any(|mark| waiting.contains(mark)));
    let told = row.disclosed;
    // A rule that is not in force any more has no title here, and its id might tell what a confidential list is about.
    let titled = my_data::titled(engine, &told.pack, &told.rule);
    let gone = || (("已不再生效的规则".to_owned(), "A rule no longer in force".to_owned()), told.category.clone());
    let (title, category) = titled.unwrap_or_else(gone);
    Sent {
        at_ms: row.at_ms,
        msgtime_ms: told.msgtime_ms,
        title,
        category: if told.category.is_empty() { category } else { told.category },
        level: told.level,
        disclose: told.disclose,
        excerpt: told.excerpt,
        receipted,
        withdrawn: told.withdrawn,
    }
}

fn shown_notice(tx: &Tx<'_>, notice: &Notice, account: &str) -> Result<my_data::Notice, StoreError> {
    Ok(my_data::Notice {
        version: notice.version,
        digest: notice.digest.to_string(),
        text: notice.text.clone(),
        acknowledged_ms: tx.acknowledged_ms(account, notice)?,
    })
}

fn days(tx: &Tx<'_>, account: &str) -> Result<Vec<Day>, StoreError> {
    let mut days: BTreeMap<i64, Day> = BTreeMap::new();
    for (hour, counts) in tx.tallies_of(account)? {
        let day = (i64::from(hour) + CHINA_HOURS).div_euclid(24);
        let day =
            days.entry(day).or_insert_with(|| Day { day_ms: (day * 24 - CHINA_HOURS) * HOUR_MS, ..Day::default() });
        day.sent += counts.sent;
        day.received += counts.received;
        day.flagged += counts.flagged;
    }
    Ok(days.into_values().rev().collect())
}

/// Records that an account has acknowledged the notice: once for each version and text. Returns whether this was the first time.
pub fn acknowledge(store: &Store, made: &MadeUnder, account: &str, notice: &Notice) -> Result<bool, StoreError> {
    store.transaction(|tx| {
        if !tx.put_acknowledgement(account, notice, made.at_ms)? {
            return Ok(false);
        }
        let said = v1::NoticeAcknowledgement {
            account: account.to_owned(),
            notice_version: notice.version,
            at_ms: made.at_ms,
            notice: notice.digest.to_vec(),
        };
        tx.append(Lane::Urgent, &made.record(Kind::NoticeAcknowledgement(said))?)?;
        Ok(true)
    })
}

/// Where the page of a configuration is served.
pub fn socket_of(config: Option<&Config>) -> &Path {
    config.and_then(|config| config.my_data.socket.as_deref()).unwrap_or(Path::new(SOCKET))
}
