//! The digest of a log entry.

use crate::digest::{Digest, hash};
use crate::merkle;
use crate::v1::EntryKind;

const ENTRY_DOMAIN: &str = "watchpost/log-entry";
/// Random bytes in every entry.
pub const SALT_BYTES: usize = 16;

/// The 32 bytes that stand for an entry in the tree: SHA-256 over domain, kind, salt and the exact header bytes. It
/// commits to a segment's records through the statement in the header, so records may be erased without touching it.
pub fn entry_digest(kind: EntryKind, salt: &[u8], header: &[u8]) -> Digest {
    hash(ENTRY_DOMAIN, &[&(kind as u32).to_be_bytes(), salt, header])
}

/// The Merkle leaf of an entry.
pub fn entry_leaf(entry: &Digest) -> Digest {
    merkle::leaf_hash(&entry.0)
}
