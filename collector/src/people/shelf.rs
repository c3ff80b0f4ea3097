//! The roster as it is handed on: in memory, with its tree, replaced whole when another is published.

use std::sync::Arc;

use tokio::sync::watch;
use watchpost_proto::document::Kind;
use watchpost_proto::roster::{CHAIN_MAX, PART_BYTES_MAX, Tree, account_name, leaf_of};
use watchpost_proto::v1::{RosterHeader, RosterPart, RosterRow, SignedRosterHeader};
use watchpost_proto::{Digest, Message as _};

use crate::config::Config;
use crate::log_store::{self, LogReader};

/// What is handed on.
#[derive(Debug)]
pub struct Shelved {
    /// Digest of its header.
    pub digest: Digest,
    /// By version: the headers at which other keys came to sign, and last the latest.
    chain: Vec<(u64, SignedRosterHeader)>,
    never: Vec<String>,
    rows: Vec<Vec<u8>>,
    tree: Tree,
}

/// Where it lies.
#[derive(Clone, Debug)]
pub struct Shelf(watch::Sender<Option<Arc<Shelved>>>);

impl Default for Shelf {
    fn default() -> Self {
        Self(watch::Sender::new(None))
    }
}

impl Shelf {
    /// Takes the latest roster out of the log.
    ///
    /// # Errors
    /// The log cannot be read.
    pub async fn stock(&self, config: &Config) -> anyhow::Result<()> {
        let path = config.log_db();
        let shelved = tokio::task::spawn_blocking(move || Shelved::load(&LogReader::open(&path)?)).await??;
        self.0.send_if_modified(|held| {
            let is_other = held.as_ref().map(|held| held.digest) != shelved.as_ref().map(|it| it.digest);
            if is_other {
                *held = shelved.map(Arc::new);
            }
            is_other
        });
        Ok(())
    }

    /// What lies there, now and from now on.
    pub fn watch(&self) -> watch::Receiver<Option<Arc<Shelved>>> {
        self.0.subscribe()
    }
}

impl Shelved {
    fn load(log: &LogReader) -> anyhow::Result<Option<Self>> {
        let db = log.connection();
        let Some(latest) = log_store::latest_roster(db)? else { return Ok(None) };
        let roster = log_store::roster_of(db, &latest.signed)?;
        let (mut leaves, mut never) = (Vec::with_capacity(roster.records.len()), Vec::new());
        for record in &roster.records {
            let row = RosterRow::decode(&record.row[..])?;
            let account = account_name(&row.corp, &row.userid);
            leaves.push(leaf_of(&account, &record.row));
            if row.never {
                never.push(account);
            }
        }
        never.sort_unstable();
        let chain = turns(&log_store::roster_headers(db)?);
        let rows = roster.records.into_iter().map(|record| record.row).collect();
        Ok(Some(Self {
            digest: Kind::Roster.digest(&latest.signed.header),
            chain,
            never,
            rows,
            tree: Tree::of(leaves),
        }))
    }

    /// The parts of an answer: to whom holds this version, and asks for all or for some accounts.
    pub fn parts(self: Arc<Self>, held: u64, only: Vec<String>) -> impl Iterator<Item = RosterPart> + Send + 'static {
        let mut first = Some(RosterPart {
            chain: self.chain_after(held),
            answers: only
                .iter()
                .map(|account| self.tree.answer(account, |place| self.rows.get(place).map(|row| &row[..])))
                .collect(),
            ..RosterPart::default()
        });
        let (mut never, mut row) = (0, if only.is_empty() { 0 } else { self.rows.len() });
        let mut ended = false;
        std::iter::from_fn(move || {
            if ended {
                return None;
            }
            let mut part = first.take().unwrap_or_default();
            let mut bytes = part.encoded_len();
            while bytes < PART_BYTES_MAX
                && let Some(account) = self.never.get(never)
            {
                bytes += account.len() + 4;
                part.never.push(account.clone());
                never += 1;
            }
            while bytes < PART_BYTES_MAX
                && let Some(next) = self.rows.get(row)
            {
                bytes += next.len() + 4;
                part.rows.push(next.clone());
                row += 1;
            }
            ended = never == self.never.len() && row == self.rows.len();
            part.last = ended;
            Some(part)
        })
    }

    fn chain_after(&self, held: u64) -> Vec<SignedRosterHeader> {
        let later = self.chain.iter().filter(|(version, _)| *version > held).map(|(_, signed)| signed.clone());
        let mut chain: Vec<SignedRosterHeader> = later.collect();
        let surplus = chain.len().saturating_sub(CHAIN_MAX);
        chain.drain(..surplus);
        if chain.is_empty() {
            chain.extend(self.chain.last().map(|(_, signed)| signed.clone()));
        }
        chain
    }
}

/// The headers that name other keys than the one before, and the last.
fn turns(headers: &[SignedRosterHeader]) -> Vec<(u64, SignedRosterHeader)> {
    let mut turns = Vec::new();
    let mut keys = None;
    for (at, signed) in headers.iter().enumerate() {
        let Ok(header) = RosterHeader::decode(&signed.header[..]) else { continue };
        if keys != header.next || at + 1 == headers.len() {
            turns.push((header.version, signed.clone()));
        }
        keys = header.next;
    }
    turns
}
