//! What a device believes of a roster, and a collector takes into its log.

use std::collections::BTreeSet;

use prost::Message as _;

use super::{
    CHAIN_MAX, FORMAT, HEADER_BYTES_MAX, Head, LEAF_BYTES, NEVER_MAX, ONLY_MAX, ROW_BYTES_MAX, ROWS_MAX, ReadHeader,
    RosterError, account_key, account_name, details_digest, leaf_of, never_digest,
};
use crate::digest::Digest;
use crate::document::{Kind, Signers};
use crate::merkle::{Frontier, leaf_hash, verify_inclusion};
use crate::v1::{Roster, RosterAnswer, RosterHeader, RosterLeaf, RosterRow, SignedRosterHeader};

/// Reads a header. That enough of its own keys have signed it is checked; whether it may follow another, [`follow`] says.
///
/// # Errors
/// [`RosterError`].
pub fn read_header(signed: &SignedRosterHeader, tenant: &str) -> Result<ReadHeader, RosterError> {
    if signed.header.len() > HEADER_BYTES_MAX {
        return Err(RosterError::Malformed("the header is too long"));
    }
    let header = RosterHeader::decode(&signed.header[..]).map_err(|_| RosterError::Malformed("no header"))?;
    if header.format != FORMAT {
        return Err(RosterError::Format(header.format));
    }
    if header.tenant != tenant {
        return Err(RosterError::Tenant);
    }
    let root = Digest::from_slice(&header.root).ok_or(RosterError::Malformed("no root"))?;
    let next =
        header.next.as_ref().and_then(Signers::read).ok_or(RosterError::Malformed("nobody may sign the next"))?;
    let is_linked = header.previous.is_empty() == (header.version == 1) && matches!(header.previous.len(), 0 | 32);
    if header.version == 0 || !is_linked {
        return Err(RosterError::Malformed("the header does not say which it follows"));
    }
    if header.rows > ROWS_MAX as u64 || header.never_count > NEVER_MAX as u64 {
        return Err(RosterError::Malformed("too many rows"));
    }
    let signers = Kind::Roster.signers(&signed.header, &signed.signatures);
    // Whoever may sign the next must have shown that they can.
    if !next.suffice(&signers) {
        return Err(RosterError::Signatures);
    }
    let digest = Kind::Roster.digest(&signed.header);
    Ok(ReadHeader { header, digest, next, root, signed: signed.clone(), signers })
}

/// Goes along a chain of headers, by the keys of the one before each, and returns the last. What nobody known here has signed is passed
/// over, but for the last: a device that is new begins in the middle of a chain.
///
/// # Errors
/// [`RosterError`]: the last may not be in force here.
pub fn follow(
    held: Option<&Head>,
    signers: &Signers,
    chain: &[SignedRosterHeader],
    tenant: &str,
) -> Result<ReadHeader, RosterError> {
    let (last, earlier) = chain.split_last().ok_or(RosterError::Malformed("no header"))?;
    if earlier.len() >= CHAIN_MAX {
        return Err(RosterError::Malformed("too many headers"));
    }
    let mut signers = signers.clone();
    let mut version = held.map_or(0, |held| held.version);
    for signed in earlier {
        let Ok(read) = read_header(signed, tenant) else { continue };
        if read.header.version > version && signers.accept(&read.next, &read.signers) {
            version = read.header.version;
            signers = read.next;
        }
    }
    let read = read_header(last, tenant)?;
    let shown = read.header.version;
    if let Some(held) = held
        && shown == held.version
    {
        return if read.digest == held.digest { Ok(read) } else { Err(RosterError::Forked(shown)) };
    }
    if shown <= version {
        return Err(RosterError::Older { held: version, shown });
    }
    if !signers.accept(&read.next, &read.signers) {
        return Err(RosterError::Signatures);
    }
    Ok(read)
}

/// Checks all rows against a header.
///
/// # Errors
/// [`RosterError`]: a row was changed, added or left out, or is none.
pub fn check_all<'r>(
    header: &ReadHeader,
    rows: impl ExactSizeIterator<Item = &'r [u8]>,
) -> Result<Vec<RosterRow>, RosterError> {
    if rows.len() as u64 != header.header.rows {
        return Err(RosterError::Rows);
    }
    let (mut tree, mut before) = (Frontier::default(), None);
    let mut read = Vec::with_capacity(rows.len());
    for row in rows {
        let (row, leaf) = read_row(row)?;
        let key = leaf.first_chunk::<32>().copied();
        if before >= key {
            return Err(RosterError::Rows);
        }
        before = key;
        tree.append(leaf_hash(&leaf), |_, _, _| ());
        read.push(row);
    }
    if tree.root() == header.root { Ok(read) } else { Err(RosterError::Rows) }
}

/// Checks what was answered for some accounts; returns the rows there are.
///
/// # Errors
/// [`RosterError`]: an answer is missing, or its proof does not lead to the header.
pub fn check_some(
    header: &ReadHeader,
    only: &[String],
    answers: &[RosterAnswer],
) -> Result<Vec<RosterRow>, RosterError> {
    if only.len() != answers.len() || only.len() > ONLY_MAX {
        return Err(RosterError::Rows);
    }
    let mut rows = Vec::new();
    for (account, answer) in only.iter().zip(answers) {
        if answer.row.is_empty() {
            absent(header, account, answer)?;
            continue;
        }
        let (row, leaf) = read_row(&answer.row)?;
        let at = answer.at.as_ref().ok_or(RosterError::Rows)?;
        if account_name(&row.corp, &row.userid) != *account || !is_in(header, &leaf, at) {
            return Err(RosterError::Rows);
        }
        rows.push(row);
    }
    Ok(rows)
}

/// Checks that a roster has no row for an account: two leaves that are neighbours stand before and after where it would be.
///
/// # Errors
/// [`RosterError`].
pub fn absent(header: &ReadHeader, account: &str, answer: &RosterAnswer) -> Result<(), RosterError> {
    let key = account_key(account);
    let neighbour = |leaf: &RosterLeaf| {
        let contents = <[u8; LEAF_BYTES]>::try_from(&leaf.leaf[..]).map_err(|_| RosterError::Rows)?;
        let its = Digest::from_slice(&contents[..32]).ok_or(RosterError::Rows)?;
        if is_in(header, &contents, leaf) { Ok((its, leaf.place)) } else { Err(RosterError::Rows) }
    };
    let before = answer.before.as_ref().map(neighbour).transpose()?;
    let after = answer.after.as_ref().map(neighbour).transpose()?;
    let is_between = before.is_none_or(|(its, _)| its < key) && after.is_none_or(|(its, _)| its > key);
    // Nothing fits between two neighbours, before the first or after the last.
    let next = before.map_or(0, |(_, place)| place + 1);
    if is_between && next == after.map_or(header.header.rows, |(_, place)| place) {
        Ok(())
    } else {
        Err(RosterError::Rows)
    }
}

/// Checks the whole never list against a header.
///
/// # Errors
/// [`RosterError::Never`].
pub fn check_never(header: &ReadHeader, never: &[String]) -> Result<(), RosterError> {
    let is_whole = never.len() as u64 == header.header.never_count
        && never.is_sorted_by(|one, next| one < next)
        && never_digest(never.iter().map(String::as_str)).0[..] == header.header.never[..];
    if is_whole { Ok(()) } else { Err(RosterError::Never) }
}

/// Checks a roster with its rows and what devices do not get, as it is kept by whoever hands it on.
///
/// # Errors
/// [`RosterError`].
pub fn check_roster(roster: &Roster, tenant: &str) -> Result<ReadHeader, RosterError> {
    let signed = roster.header.as_ref().ok_or(RosterError::Malformed("no header"))?;
    let header = read_header(signed, tenant)?;
    let rows = check_all(&header, roster.records.iter().map(|record| &record.row[..]))?;
    for (row, record) in rows.iter().zip(&roster.records) {
        if !record.details.is_empty() && details_digest(&record.details).0[..] != row.details[..] {
            return Err(RosterError::Rows);
        }
    }
    let never = rows.iter().filter(|row| row.never).map(|row| account_name(&row.corp, &row.userid));
    check_never(&header, &never.collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>())?;
    Ok(header)
}

fn is_in(header: &ReadHeader, leaf: &[u8; LEAF_BYTES], at: &RosterLeaf) -> bool {
    let path: Option<Vec<Digest>> = at.path.iter().map(|hash| Digest::from_slice(hash)).collect();
    path.is_some_and(|path| verify_inclusion(leaf_hash(leaf), at.place, header.header.rows, &path, &header.root))
}

fn read_row(bytes: &[u8]) -> Result<(RosterRow, [u8; LEAF_BYTES]), RosterError> {
    if bytes.len() > ROW_BYTES_MAX {
        return Err(RosterError::Malformed("a row is too long"));
    }
    let row = RosterRow::decode(bytes).map_err(|_| RosterError::Malformed("no row"))?;
    let leaf = leaf_of(&account_name(&row.corp, &row.userid), bytes);
    Ok((row, leaf))
}
