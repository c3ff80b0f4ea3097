//! The roster: made and signed by HR, handed on by a collector, checked by every device.
//!
//! A leaf of its tree is the key of an account and the digest of its row, and the leaves are in order of the keys. So a device that holds the
//! header can check the whole list, one row, and that there is none for an account: whoever hands a roster on can leave out nothing.

use std::collections::BTreeSet;

use prost::Message as _;

use crate::digest::{Digest, hash};
use crate::document::{Kind, Signers};
use crate::keys::{KeyError, SigningKey};
use crate::merkle::{self, Frontier};
use crate::v1::{RosterAnswer, RosterDetails, RosterHeader, RosterLeaf, RosterRecord, RosterRow, SignedRosterHeader};

mod check;

pub use check::{absent, check_all, check_never, check_roster, check_some, follow, read_header};

/// The format of a header.
pub const FORMAT: u32 = 1;
/// Accounts of one roster.
pub const ROWS_MAX: usize = 1_000_000;
/// Accounts on its never list.
pub const NEVER_MAX: usize = 100_000;
/// Longest encoded header in bytes.
pub const HEADER_BYTES_MAX: usize = 4 * 1024;
/// Longest encoded row in bytes, and longest details. As many rows as a device may ask for by name fit into one message.
pub const ROW_BYTES_MAX: usize = 4 * 1024;
/// Bytes of one part on the wire; a row more may be in it.
pub const PART_BYTES_MAX: usize = 256 * 1024;
/// Headers that lead from one roster to a later one.
pub const CHAIN_MAX: usize = 64;
/// Accounts a device may ask for by name; one with more asks for all.
pub const ONLY_MAX: usize = 64;
/// Longest `corp/userid` in bytes.
pub const ACCOUNT_BYTES_MAX: usize = 256;
const LEAF_BYTES: usize = 64;

/// Why a roster does not count. Nothing of it is used then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RosterError {
    /// Something is no header, row or proof.
    #[error("the roster is malformed: {0}")]
    Malformed(&'static str),
    /// Made by a later version.
    #[error("the roster is of format {0}, which this version does not know; update it")]
    Format(u32),
    /// Of somebody else.
    #[error("the roster is of another tenant")]
    Tenant,
    /// Not by those who may sign it.
    #[error("the roster is not signed by those who may sign it")]
    Signatures,
    /// Older than the one held.
    #[error("the roster has version {shown}, and version {held} is held already")]
    Older {
        /// The version held.
        held: u64,
        /// The version shown.
        shown: u64,
    },
    /// The version held, and another document.
    #[error("there are two rosters of version {0}; ask whoever signs them")]
    Forked(u64),
    /// Not the one that was on offer.
    #[error("the roster is not the one that was on offer")]
    NotOffered,
    /// Rows were changed, added or left out.
    #[error("the rows are not those that were signed")]
    Rows,
    /// The never list was changed.
    #[error("the list of accounts that are never looked at is not the one that was signed")]
    Never,
}

impl RosterError {
    /// One word for a report.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "malformed",
            Self::Format(_) => "format_unknown",
            Self::Tenant => "wrong_tenant",
            Self::Signatures => "signature_invalid",
            Self::Older { .. } => "older",
            Self::Forked(_) => "two_of_one_version",
            Self::NotOffered => "not_offered",
            Self::Rows => "rows_altered",
            Self::Never => "never_list_altered",
        }
    }
}

/// A header that was read, with what its signatures are worth.
#[derive(Clone, Debug, PartialEq)]
pub struct ReadHeader {
    /// What it says.
    pub header: RosterHeader,
    /// What it is called by.
    pub digest: Digest,
    /// Who may sign the next.
    pub next: Signers,
    /// Root over the leaves.
    pub root: Digest,
    /// As it came.
    pub signed: SignedRosterHeader,
    signers: BTreeSet<crate::keys::KeyId>,
}

/// What a device or a collector holds: what the next roster is measured by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Version of the roster held.
    pub version: u64,
    /// Digest of its header.
    pub digest: Digest,
}

/// `corp/userid` as rosters name it.
pub fn account_name(corp: &str, userid: &str) -> String {
    format!("{corp}/{}", userid.to_ascii_lowercase())
}

/// What the leaves are ordered by; from `corp/userid` as [`account_name`] makes it.
pub fn account_key(account: &str) -> Digest {
    hash("watchpost/roster-account", &[account.as_bytes()])
}

/// What a row has of its details.
pub fn details_digest(details: &[u8]) -> Digest {
    hash("watchpost/roster-details", &[details])
}

/// What a header has of the accounts that are never looked at, in order.
pub fn never_digest<'a>(accounts: impl IntoIterator<Item = &'a str>) -> Digest {
    let accounts: Vec<&[u8]> = accounts.into_iter().map(str::as_bytes).collect();
    hash("watchpost/roster-never", &accounts)
}

/// The contents of a leaf.
pub fn leaf_of(account: &str, row: &[u8]) -> [u8; LEAF_BYTES] {
    let mut leaf = [0; LEAF_BYTES];
    leaf[..32].copy_from_slice(&account_key(account).0);
    leaf[32..].copy_from_slice(&hash("watchpost/roster-row", &[row]).0);
    leaf
}

/// What a roster is made of, beside its rows.
#[derive(Clone, Debug)]
pub struct Making<'a> {
    /// The tenant.
    pub tenant: &'a str,
    /// The roster before.
    pub previous: Option<&'a Head>,
    /// Who may sign the next.
    pub next: &'a Signers,
    /// When it is made, milliseconds since 1970.
    pub at_ms: i64,
}

/// Rows in the order of the leaves, and the header over them, still unsigned. What each row has of its details is filled in.
///
/// # Errors
/// Rows that are too many or too long, or an account with two rows.
pub fn make(
    rows: Vec<(RosterRow, RosterDetails)>,
    making: &Making<'_>,
) -> Result<(RosterHeader, Vec<RosterRecord>), RosterError> {
    let mut records = Vec::with_capacity(rows.len());
    let mut never = BTreeSet::new();
    for (mut row, details) in rows {
        let details = details.encode_to_vec();
        row.details = details_digest(&details).to_vec();
        let account = account_name(&row.corp, &row.userid);
        if row.never {
            never.insert(account.clone());
        }
        let row = row.encode_to_vec();
        records.push((leaf_of(&account, &row), RosterRecord { row, details }));
    }
    records.sort_unstable_by(|one, other| one.0.cmp(&other.0));
    if records.len() > ROWS_MAX || never.len() > NEVER_MAX {
        return Err(RosterError::Malformed("too many rows"));
    }
    if records.iter().any(|(_, record)| record.row.len() > ROW_BYTES_MAX || record.details.len() > ROW_BYTES_MAX) {
        return Err(RosterError::Malformed("a row is too long"));
    }
    if records.windows(2).any(|pair| pair[0].0[..32] == pair[1].0[..32]) {
        return Err(RosterError::Malformed("an account has two rows"));
    }
    let tree = Tree::of(records.iter().map(|(leaf, _)| *leaf).collect());
    let header = RosterHeader {
        format: FORMAT,
        tenant: making.tenant.to_owned(),
        version: making.previous.map_or(1, |previous| previous.version.saturating_add(1)),
        previous: making.previous.map(|previous| previous.digest.to_vec()).unwrap_or_default(),
        next: Some(making.next.write()),
        made_at_ms: making.at_ms,
        root: tree.root().to_vec(),
        rows: records.len() as u64,
        never: never_digest(never.iter().map(String::as_str)).to_vec(),
        never_count: never.len() as u64,
    };
    Ok((header, records.into_iter().map(|(_, record)| record).collect()))
}

/// Signs a header.
///
/// # Errors
/// A key did not sign.
pub fn sign(header: &RosterHeader, keys: &[&dyn SigningKey]) -> Result<SignedRosterHeader, KeyError> {
    let header = header.encode_to_vec();
    let signatures = keys.iter().map(|key| Kind::Roster.sign(&header, *key)).collect::<Result<_, _>>()?;
    Ok(SignedRosterHeader { header, signatures })
}

/// The leaves of a roster with the tree over them: for whoever hands it on.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    leaves: Vec<[u8; LEAF_BYTES]>,
    /// By level: the hashes of complete subtrees.
    levels: Vec<Vec<Digest>>,
    root: Option<Digest>,
}

impl Tree {
    /// Over leaves in order.
    pub fn of(leaves: Vec<[u8; LEAF_BYTES]>) -> Self {
        let (mut frontier, mut levels) = (Frontier::default(), Vec::<Vec<Digest>>::new());
        for leaf in &leaves {
            frontier.append(merkle::leaf_hash(leaf), |level, _, hash| {
                let level = level as usize;
                if levels.len() <= level {
                    levels.push(Vec::new());
                }
                if let Some(hashes) = levels.get_mut(level) {
                    hashes.push(hash);
                }
            });
        }
        Self { leaves, levels, root: Some(frontier.root()) }
    }

    /// The root.
    pub fn root(&self) -> Digest {
        self.root.unwrap_or_else(|| merkle::root(&[]))
    }

    /// Where an account's leaf is, or else where it would be.
    pub fn find(&self, account: &str) -> Result<usize, usize> {
        let key = account_key(account);
        self.leaves.binary_search_by(|leaf| leaf[..32].cmp(&key.0[..]))
    }

    /// The answer for an account, where `row` gives the encoded row of a place.
    pub fn answer<'r>(&self, account: &str, row: impl FnOnce(usize) -> Option<&'r [u8]>) -> RosterAnswer {
        match self.find(account) {
            Ok(place) => RosterAnswer {
                row: row(place).unwrap_or_default().to_vec(),
                at: self.leaf(place, false),
                ..RosterAnswer::default()
            },
            Err(place) => RosterAnswer {
                before: place.checked_sub(1).and_then(|before| self.leaf(before, true)),
                after: self.leaf(place, true),
                ..RosterAnswer::default()
            },
        }
    }

    fn leaf(&self, place: usize, with_contents: bool) -> Option<RosterLeaf> {
        let contents = self.leaves.get(place)?;
        let mut node = |level: u32, index: u64| {
            let hash = self.levels.get(level as usize).and_then(|hashes| hashes.get(usize::try_from(index).ok()?));
            hash.copied().ok_or(())
        };
        let path = merkle::inclusion_path(place as u64, self.leaves.len() as u64, &mut node).ok()??;
        Some(RosterLeaf {
            place: place as u64,
            leaf: if with_contents { contents.to_vec() } else { Vec::new() },
            path: path.into_iter().map(Digest::to_vec).collect(),
        })
    }
}
