//! Records: a salted summary each, and a payload of them.

use prost::Message;

use crate::digest::Digest;
use crate::limits::{RECORD_BYTES_MAX, SEGMENT_RECORDS_MAX};
use crate::merkle;
use crate::v1::Summary;

/// Random bytes before every summary, so that no digest of a record can be guessed.
pub const SALT_BYTES: usize = 16;
/// Length of the frame before each record in a payload.
pub const FRAME_BYTES: usize = 4;

/// Stands in the place of a record's length where only its leaf hash is left. No record is that long.
const ERASED: u32 = u32::MAX;

/// Why bytes are not a record or a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Longer than [`RECORD_BYTES_MAX`].
    #[error("a record is longer than {RECORD_BYTES_MAX} bytes")]
    TooLong,
    /// Shorter than its salt.
    #[error("a record is shorter than its salt")]
    TooShort,
    /// The bytes after the salt are not a summary.
    #[error("a record is not a summary")]
    NotASummary,
    /// The frames do not add up to the payload.
    #[error("a payload does not consist of whole records")]
    Frames,
    /// More than [`SEGMENT_RECORDS_MAX`].
    #[error("a payload holds more than {SEGMENT_RECORDS_MAX} records")]
    TooMany,
}

/// Salts and encodes a summary.
pub fn encode(summary: &Summary, salt: [u8; SALT_BYTES]) -> Result<Vec<u8>, RecordError> {
    let mut record = Vec::with_capacity(SALT_BYTES + summary.encoded_len());
    record.extend_from_slice(&salt);
    record.extend_from_slice(&summary.encode_to_vec());
    if record.len() > RECORD_BYTES_MAX { Err(RecordError::TooLong) } else { Ok(record) }
}

/// Reads a record back. A summary of an unknown kind has no `kind`.
pub fn decode(record: &[u8]) -> Result<Summary, RecordError> {
    if record.len() > RECORD_BYTES_MAX {
        return Err(RecordError::TooLong);
    }
    let summary = record.get(SALT_BYTES..).ok_or(RecordError::TooShort)?;
    Summary::decode(summary).map_err(|_| RecordError::NotASummary)
}

/// Appends a record to a payload. The record must be within [`RECORD_BYTES_MAX`].
pub fn frame(record: &[u8], payload: &mut Vec<u8>) {
    payload.extend_from_slice(&(record.len() as u32).to_be_bytes());
    payload.extend_from_slice(record);
}

/// The records of a payload, in order and without copying.
pub fn unframe(payload: &[u8]) -> Result<Vec<&[u8]>, RecordError> {
    frames(payload, |kept| match kept {
        Kept::Record(record) => Ok(record),
        Kept::Erased(_) => Err(RecordError::TooLong),
    })
}

/// What a stored payload has in the place of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept<'a> {
    /// The record.
    Record(&'a [u8]),
    /// Its leaf hash: enough to prove every other record, and nothing of this one.
    Erased(Digest),
}

impl Kept<'_> {
    /// The leaf hash of the record that is or was here.
    pub fn leaf(&self) -> Digest {
        match self {
            Self::Record(record) => merkle::leaf_hash(record),
            Self::Erased(leaf) => *leaf,
        }
    }
}

/// What is left of the records of a stored payload, in order and without copying.
pub fn unframe_kept(payload: &[u8]) -> Result<Vec<Kept<'_>>, RecordError> {
    frames(payload, Ok)
}

fn frames<'a, T>(payload: &'a [u8], take: impl Fn(Kept<'a>) -> Result<T, RecordError>) -> Result<Vec<T>, RecordError> {
    let mut records = Vec::new();
    let mut rest = payload;
    while !rest.is_empty() {
        let (kept, after) = next(rest)?;
        if records.len() == SEGMENT_RECORDS_MAX {
            return Err(RecordError::TooMany);
        }
        records.push(take(kept)?);
        rest = after;
    }
    Ok(records)
}

fn next(payload: &[u8]) -> Result<(Kept<'_>, &[u8]), RecordError> {
    let (length, after) = payload.split_first_chunk::<FRAME_BYTES>().ok_or(RecordError::Frames)?;
    let length = u32::from_be_bytes(*length);
    if length == ERASED {
        let (leaf, after) = after.split_first_chunk().ok_or(RecordError::TooLong)?;
        return Ok((Kept::Erased(Digest(*leaf)), after));
    }
    let length = length as usize;
    if length > RECORD_BYTES_MAX {
        return Err(RecordError::TooLong);
    }
    if length < SALT_BYTES {
        return Err(RecordError::TooShort);
    }
    let (record, after) = after.split_at_checked(length).ok_or(RecordError::Frames)?;
    Ok((Kept::Record(record), after))
}

/// The payload with the leaf hash in the place of each record for which `erased` holds, told its place.
pub fn erase(payload: &[u8], mut erased: impl FnMut(usize) -> bool) -> Result<Vec<u8>, RecordError> {
    let mut left = Vec::with_capacity(payload.len());
    for (place, kept) in unframe_kept(payload)?.into_iter().enumerate() {
        match kept {
            Kept::Record(record) if !erased(place) => frame(record, &mut left),
            gone => {
                left.extend_from_slice(&ERASED.to_be_bytes());
                left.extend_from_slice(&gone.leaf().0);
            }
        }
    }
    Ok(left)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_torn_frame_is_no_payload() {
        let record = encode(&Summary { made_at_ms: 1, ..Summary::default() }, [7; 16]).unwrap();
        let mut payload = Vec::new();
        frame(&record, &mut payload);
        frame(&record, &mut payload);
        assert_eq!(unframe(&payload).unwrap(), [&record[..], &record[..]]);
        for cut in 1..payload.len() {
            if cut != payload.len() / 2 {
                assert!(unframe(&payload[..cut]).is_err(), "cut at {cut}");
            }
        }
    }

    #[test]
    fn bounds_are_kept_on_both_sides() {
        let long = Summary { policy: vec![1; RECORD_BYTES_MAX], ..Summary::default() };
        assert_eq!(encode(&long, [0; 16]), Err(RecordError::TooLong));
        let mut payload = Vec::new();
        for _ in 0..=SEGMENT_RECORDS_MAX {
            frame(&[0; SALT_BYTES], &mut payload);
        }
        assert_eq!(unframe(&payload), Err(RecordError::TooMany));
        assert_eq!(unframe(&[0, 0, 0, 1, 9]), Err(RecordError::TooShort));
        assert_eq!(unframe(&[0xff, 0xff, 0xff, 0xff]), Err(RecordError::TooLong));
    }

    #[test]
    fn an_erased_record_leaves_its_leaf_and_nothing_else() {
        let records: Vec<Vec<u8>> = (0..3)
            .map(|n| encode(&Summary { made_at_ms: n, ..Summary::default() }, [n as u8 + 1; 16]).unwrap())
            .collect();
        let mut payload = Vec::new();
        records.iter().for_each(|record| frame(record, &mut payload));
        let left = erase(&payload, |place| place == 1).unwrap();
        let kept = unframe_kept(&left).unwrap();
        assert_eq!(kept[0], Kept::Record(&records[0]));
        assert_eq!(kept[1], Kept::Erased(merkle::leaf_hash(&records[1])));
        assert!(!left.windows(16).any(|bytes| bytes == [2; 16]));
        assert_eq!(erase(&left, |place| place == 1).unwrap(), left, "twice changes nothing");
        let leaves = |payload: &[u8]| unframe_kept(payload).unwrap().iter().map(Kept::leaf).collect::<Vec<_>>();
        assert_eq!(leaves(&left), leaves(&payload), "the tree is the same");
        assert_eq!(unframe(&left), Err(RecordError::TooLong), "on the wire nothing is erased");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = unframe(&bytes);
            let _ = unframe_kept(&bytes);
            let _ = erase(&bytes, |place| place % 2 == 0);
            let _ = decode(&bytes);
        }
    }
}
