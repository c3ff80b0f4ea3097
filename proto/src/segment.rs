//! Sealing: records become a signed, chained segment, and a segment is opened again.

use prost::Message;

use crate::digest::{DeviceId, Digest, EpochId, framed, hash, sha256};
use crate::encryption::{self, ENTROPY_BYTES, Recipient, RecipientSecret};
use crate::keys::{ECDSA_P256_SHA256, KeyError, KeyId, PublicKey, SigningKey};
use crate::limits::{RECORD_BYTES_MAX, SEGMENT_BYTES_MAX, SEGMENT_RECORDS_MAX, STATEMENT_BYTES_MAX};
use crate::record::{FRAME_BYTES, Kept, RecordError, SALT_BYTES, frame, unframe, unframe_kept};
use crate::v1::{Clocks, EpochStart, Lane, Segment, Statement};
use crate::{identity, merkle};

/// The format number of statements.
pub const FORMAT: u32 = 1;
const STATEMENT_DOMAIN: &str = "watchpost/statement";

/// Where a chain stands: what the next statement continues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The run this chain belongs to.
    pub epoch: EpochId,
    /// Sequence of the next statement.
    pub next: u64,
    /// Digest of the last statement; `None` before the first.
    pub digest: Option<Digest>,
}

impl Head {
    /// The head of a chain without statements.
    pub fn start(epoch: EpochId) -> Self {
        Self { epoch, next: 0, digest: None }
    }
}

/// Everything of a statement that is not computed from the records.
#[derive(Clone, Debug)]
pub struct Seal<'a> {
    /// The tenant the device belongs to.
    pub tenant: &'a str,
    /// The device that seals.
    pub device: DeviceId,
    /// The lane, and where its chain stands.
    pub lane: Lane,
    /// What the new statement continues.
    pub head: Head,
    /// What came before this epoch; needed at sequence 0 and nowhere else.
    pub epoch_start: Option<EpochStart>,
    /// The device's clocks at this moment.
    pub clocks: Clocks,
    /// Version of the agent.
    pub agent_version: &'a str,
}

/// A segment as made: the bytes to store and send, and the head that follows.
#[derive(Clone, Debug)]
pub struct Sealed {
    /// What goes over the wire.
    pub segment: Segment,
    /// What the next statement of this lane continues.
    pub head: Head,
}

/// To whom a segment is encrypted.
#[derive(Clone, Copy, Debug)]
pub struct Encryption<'a> {
    /// Who can read it.
    pub recipient: &'a Recipient,
    /// Random bytes that nobody else knows and that are never used again.
    pub entropy: [u8; ENTROPY_BYTES],
}

/// Why records cannot be sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// No record, too many, or too many bytes; [`fits`] says how many go in.
    #[error("a segment holds 1 to {SEGMENT_RECORDS_MAX} records in {SEGMENT_BYTES_MAX} bytes")]
    Size,
    /// Nothing can be encrypted to this recipient.
    #[error("nothing can be encrypted to this key")]
    Recipient,
    /// The key did not sign.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// How many of the records, from the first, fit into one segment. At least one if there is any, since a record is far
/// smaller than a segment.
pub fn fits<R: AsRef<[u8]>>(records: &[R]) -> usize {
    let mut bytes = 0;
    records
        .iter()
        .take(SEGMENT_RECORDS_MAX)
        .take_while(|record| {
            bytes += FRAME_BYTES + record.as_ref().len();
            bytes <= SEGMENT_BYTES_MAX
        })
        .count()
}

/// Seals records, each made by [`crate::record::encode`], into the next segment of a lane.
pub fn seal<R: AsRef<[u8]>>(seal: &Seal<'_>, records: &[R], key: &dyn SigningKey) -> Result<Sealed, SealError> {
    seal_to(seal, records, key, None)
}

/// The same, encrypted to a recipient if there is one.
pub fn seal_to<R: AsRef<[u8]>>(
    seal: &Seal<'_>,
    records: &[R],
    key: &dyn SigningKey,
    encryption: Option<Encryption<'_>>,
) -> Result<Sealed, SealError> {
    let sound = |record: &R| (SALT_BYTES..=RECORD_BYTES_MAX).contains(&record.as_ref().len());
    if records.is_empty() || fits(records) != records.len() || !records.iter().all(sound) {
        return Err(SealError::Size);
    }
    let mut payload = Vec::new();
    let mut leaves = Vec::with_capacity(records.len());
    for record in records {
        leaves.push(merkle::leaf_hash(record.as_ref()));
        frame(record.as_ref(), &mut payload);
    }
    let mut content = Statement {
        tenant: seal.tenant.to_owned(),
        device: seal.device.to_vec(),
        lane: seal.lane.into(),
        record_count: records.len() as u32,
        merkle_root: merkle::root(&leaves).to_vec(),
        ..Statement::default()
    };
    if let Some(Encryption { recipient, entropy }) = encryption {
        content.encryption_suite = recipient.suite();
        content.encryption_key_id = recipient.id().to_vec();
        let bound = encryption::content(&content);
        payload = recipient.encrypt(seal.tenant, &bound, &payload, entropy).ok_or(SealError::Recipient)?;
    }
    state(seal, content, payload, key)
}

/// States the content of a segment again, as the next of a lane: the same records, which need not be readable here. The
/// tenant, the device and the lane must be the same, too, or nobody will read it.
pub fn restate(
    seal: &Seal<'_>,
    before: &Statement,
    payload: Vec<u8>,
    key: &dyn SigningKey,
) -> Result<Sealed, SealError> {
    state(seal, before.clone(), payload, key)
}

/// Of `content` only what is said of the content is used.
fn state(seal: &Seal<'_>, content: Statement, payload: Vec<u8>, key: &dyn SigningKey) -> Result<Sealed, SealError> {
    let statement = Statement {
        format: FORMAT,
        signature_algorithm: ECDSA_P256_SHA256,
        tenant: seal.tenant.to_owned(),
        device: seal.device.to_vec(),
        key_id: key.public().id().to_vec(),
        epoch: seal.head.epoch.to_vec(),
        lane: seal.lane.into(),
        sequence: seal.head.next,
        record_count: content.record_count,
        previous: seal.head.digest.map(Digest::to_vec).unwrap_or_default(),
        merkle_root: content.merkle_root,
        payload_digest: sha256(&[&payload]).to_vec(),
        compression: content.compression,
        encryption_suite: content.encryption_suite,
        encryption_key_id: content.encryption_key_id,
        clocks: Some(seal.clocks.clone()),
        agent_version: seal.agent_version.to_owned(),
        epoch_start: seal.epoch_start.clone(),
    }
    .encode_to_vec();
    let signature = key.sign(&framed(STATEMENT_DOMAIN, &[&statement]))?;
    let head = Head { epoch: seal.head.epoch, next: seal.head.next + 1, digest: Some(statement_digest(&statement)) };
    Ok(Sealed { segment: Segment { statement, signature, payload }, head })
}

/// The identity of a statement: a digest over its exact bytes, never over the signature.
pub fn statement_digest(statement: &[u8]) -> Digest {
    hash(STATEMENT_DOMAIN, &[statement])
}

/// A statement whose fields have the right shape. Nothing is said yet about signature, chain or payload.
#[derive(Clone, Debug)]
pub struct ReadStatement {
    /// The statement as decoded.
    pub statement: Statement,
    /// Its identity.
    pub digest: Digest,
    /// The device it names.
    pub device: DeviceId,
    /// The key it names.
    pub key_id: KeyId,
    /// Its epoch.
    pub epoch: EpochId,
    /// Its lane.
    pub lane: Lane,
    /// Digest of the statement before it; `None` at sequence 0.
    pub previous: Option<Digest>,
}

/// Why a segment is not what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// A bound of [`crate::limits`] is exceeded.
    #[error("the segment is larger than allowed")]
    TooLarge,
    /// The statement does not decode, or a field has the wrong shape.
    #[error("the statement is malformed")]
    Malformed,
    /// A format, algorithm, compression or encryption this side does not know.
    #[error("the statement needs something this version does not know")]
    Unsupported,
    /// The signature is not this key's over these bytes.
    #[error("the signature does not hold")]
    Signature,
    /// The payload is not the one the statement names.
    #[error("the payload is not the one that was signed")]
    Payload,
    /// The payload is encrypted, and what was asked for needs it plain.
    #[error("the payload is encrypted")]
    Encrypted,
    /// The payload is encrypted to a key that is not here.
    #[error("the payload is encrypted to a key that is not here")]
    Recipient,
    /// The payload's records do not have the signed root or count.
    #[error("the records are not those that were signed")]
    Records,
    /// The payload does not consist of records.
    #[error(transparent)]
    Record(#[from] RecordError),
}

/// Reads a statement and checks the shape of every field.
pub fn read_statement(bytes: &[u8]) -> Result<ReadStatement, OpenError> {
    if bytes.len() > STATEMENT_BYTES_MAX {
        return Err(OpenError::TooLarge);
    }
    let statement = Statement::decode(bytes).map_err(|_| OpenError::Malformed)?;
    if statement.format != FORMAT
        || statement.signature_algorithm != ECDSA_P256_SHA256
        || statement.compression != 0
        || encryption::overhead(statement.encryption_suite).is_none()
    {
        return Err(OpenError::Unsupported);
    }
    let read = shape(bytes, statement).ok_or(OpenError::Malformed)?;
    if identity::tenant_is_valid(&read.statement.tenant) { Ok(read) } else { Err(OpenError::Malformed) }
}

fn shape(bytes: &[u8], statement: Statement) -> Option<ReadStatement> {
    let first = statement.sequence == 0;
    let previous = Digest::from_slice(&statement.previous);
    let sound = first == statement.previous.is_empty()
        && first == previous.is_none()
        && first == statement.epoch_start.is_some()
        && statement.clocks.is_some()
        && statement.merkle_root.len() == 32
        && statement.payload_digest.len() == 32
        && statement.encryption_key_id.len() == if statement.encryption_suite == 0 { 0 } else { 32 }
        && (1..=SEGMENT_RECORDS_MAX).contains(&(statement.record_count as usize));
    if !sound {
        return None;
    }
    let lane = match statement.lane() {
        Lane::Unspecified => return None,
        lane => lane,
    };
    Some(ReadStatement {
        digest: statement_digest(bytes),
        device: DeviceId::from_slice(&statement.device)?,
        key_id: KeyId::from_slice(&statement.key_id)?,
        epoch: EpochId::from_slice(&statement.epoch)?,
        lane,
        previous,
        statement,
    })
}

/// Checks the signature over a statement's exact bytes.
pub fn verify_signature(statement: &[u8], signature: &[u8], key: &PublicKey) -> Result<(), OpenError> {
    let message = framed(STATEMENT_DOMAIN, &[statement]);
    if key.verify(&message, signature) { Ok(()) } else { Err(OpenError::Signature) }
}

/// Checks a payload as sent against its statement: all that can be checked of one that is encrypted.
pub fn check_payload(statement: &Statement, payload: &[u8]) -> Result<(), OpenError> {
    let overhead = encryption::overhead(statement.encryption_suite).ok_or(OpenError::Unsupported)?;
    if payload.len() > SEGMENT_BYTES_MAX + overhead {
        return Err(OpenError::TooLarge);
    }
    if sha256(&[payload]).0[..] != statement.payload_digest[..] {
        return Err(OpenError::Payload);
    }
    if statement.encryption_suite == 0 { open_records(statement, payload).map(drop) } else { Ok(()) }
}

/// Checks a payload as sent against its statement and returns it plain, with the key of this id if it is encrypted.
pub fn decrypt<'a>(
    statement: &Statement,
    payload: Vec<u8>,
    key: impl FnOnce(&KeyId) -> Option<&'a RecipientSecret>,
) -> Result<Vec<u8>, OpenError> {
    check_payload(statement, &payload)?;
    if statement.encryption_suite == 0 {
        return Ok(payload);
    }
    let id = KeyId::from_slice(&statement.encryption_key_id).ok_or(OpenError::Malformed)?;
    let key = key(&id).ok_or(OpenError::Recipient)?;
    let bound = encryption::content(statement);
    let plain = key.decrypt(&statement.tenant, &bound, &payload).ok_or(OpenError::Payload)?;
    open_records(statement, &plain)?;
    Ok(plain)
}

/// Checks a payload against its statement and returns the records, in order and without copying.
pub fn open_payload<'a>(statement: &Statement, payload: &'a [u8]) -> Result<Vec<&'a [u8]>, OpenError> {
    if statement.encryption_suite != 0 {
        return Err(OpenError::Encrypted);
    }
    if payload.len() > SEGMENT_BYTES_MAX {
        return Err(OpenError::TooLarge);
    }
    if sha256(&[payload]).0[..] != statement.payload_digest[..] {
        return Err(OpenError::Payload);
    }
    open_records(statement, payload)
}

/// Checks a plain payload against the count and the Merkle root of its statement.
fn open_records<'a>(statement: &Statement, payload: &'a [u8]) -> Result<Vec<&'a [u8]>, OpenError> {
    let records = unframe(payload)?;
    let leaves: Vec<Digest> = records.iter().map(|record| merkle::leaf_hash(record)).collect();
    let same =
        records.len() == statement.record_count as usize && merkle::root(&leaves).0[..] == statement.merkle_root[..];
    if same { Ok(records) } else { Err(OpenError::Records) }
}

/// Checks a stored payload, plain and of which records may have been erased, against its statement. Where any has, or
/// where it was sent encrypted, the digest of what was sent cannot be computed any more, and the Merkle root says that the
/// others are those that were signed.
pub fn open_kept<'a>(statement: &Statement, payload: &'a [u8]) -> Result<Vec<Kept<'a>>, OpenError> {
    if payload.len() > SEGMENT_BYTES_MAX + SEGMENT_RECORDS_MAX * size_of::<Digest>() {
        return Err(OpenError::TooLarge);
    }
    let records = unframe_kept(payload)?;
    if statement.encryption_suite == 0 && records.iter().all(|kept| matches!(kept, Kept::Record(_))) {
        open_payload(statement, payload)?;
        return Ok(records);
    }
    let leaves: Vec<Digest> = records.iter().map(Kept::leaf).collect();
    let same =
        records.len() == statement.record_count as usize && merkle::root(&leaves).0[..] == statement.merkle_root[..];
    if same { Ok(records) } else { Err(OpenError::Records) }
}

/// How a statement stands to the head of its chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// It is the next one.
    Next,
    /// It is older than the head: the same statement again, or a fork. Only the stored digest can tell.
    Past,
    /// Something before it is missing.
    Gap,
    /// It is next by number but continues another statement than the head.
    Fork,
}

/// Decides how a statement stands to the head of its epoch and lane.
pub fn link(head: &Head, next: &ReadStatement) -> Link {
    match next.statement.sequence.cmp(&head.next) {
        std::cmp::Ordering::Less => Link::Past,
        std::cmp::Ordering::Greater => Link::Gap,
        std::cmp::Ordering::Equal if next.previous == head.digest => Link::Next,
        std::cmp::Ordering::Equal => Link::Fork,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::keys::SoftwareKey;
    use crate::record::encode;
    use crate::v1::Summary;

    fn records(count: usize) -> Vec<Vec<u8>> {
        (0..count)
            .map(|n| encode(&Summary { made_at_ms: n as i64, ..Summary::default() }, [n as u8; 16]).unwrap())
            .collect()
    }

    fn at(head: Head) -> Seal<'static> {
        Seal {
            tenant: "default",
            device: DeviceId([1; 16]),
            lane: Lane::Urgent,
            head,
            epoch_start: (head.next == 0).then(EpochStart::default),
            clocks: Clocks::default(),
            agent_version: "0.1.0",
        }
    }

    fn at_start() -> Seal<'static> {
        at(Head::start(EpochId([2; 16])))
    }

    fn first(key: &SoftwareKey) -> Sealed {
        seal(&at(Head::start(EpochId([2; 16]))), &records(3), key).unwrap()
    }

    #[test]
    fn a_sealed_segment_opens_to_its_records() {
        let (key, _) = SoftwareKey::generate().unwrap();
        let sealed = first(&key);
        let read = read_statement(&sealed.segment.statement).unwrap();
        verify_signature(&sealed.segment.statement, &sealed.segment.signature, key.public()).unwrap();
        assert_eq!(open_payload(&read.statement, &sealed.segment.payload).unwrap(), records(3));
        assert_eq!(sealed.head.digest, Some(read.digest));
        assert_eq!(read.key_id, key.public().id());
    }

    #[test]
    fn no_byte_of_a_segment_can_be_changed() {
        let (key, _) = SoftwareKey::generate().unwrap();
        let sealed = first(&key).segment;
        let holds = |segment: &Segment| -> Result<(), OpenError> {
            let read = read_statement(&segment.statement)?;
            verify_signature(&segment.statement, &segment.signature, key.public())?;
            open_payload(&read.statement, &segment.payload).map(|_| ())
        };
        holds(&sealed).unwrap();
        for part in 0..3 {
            let length = [&sealed.statement, &sealed.signature, &sealed.payload][part].len();
            for at in 0..length {
                let mut altered = sealed.clone();
                [&mut altered.statement, &mut altered.signature, &mut altered.payload][part][at] ^= 1;
                assert!(holds(&altered).is_err(), "part {part} byte {at}");
            }
        }
    }

    #[test]
    fn the_chain_tells_next_past_gap_and_fork_apart() {
        let (key, _) = SoftwareKey::generate().unwrap();
        let one = first(&key);
        let two = seal(&at(one.head), &records(1), &key).unwrap();
        let read = |sealed: &Sealed| read_statement(&sealed.segment.statement).unwrap();
        let start = Head::start(EpochId([2; 16]));
        assert_eq!(link(&start, &read(&one)), Link::Next);
        assert_eq!(link(&one.head, &read(&two)), Link::Next);
        assert_eq!(link(&two.head, &read(&one)), Link::Past);
        assert_eq!(link(&start, &read(&two)), Link::Gap);
        let other = seal(&at(start), &records(2), &key).unwrap();
        assert_eq!(link(&other.head, &read(&two)), Link::Fork);
    }

    #[test]
    fn what_does_not_fit_is_not_sealed() {
        let (key, _) = SoftwareKey::generate().unwrap();
        let none: [Vec<u8>; 0] = [];
        assert_eq!(seal(&at(Head::start(EpochId([2; 16]))), &none, &key).unwrap_err(), SealError::Size);
        let big = vec![vec![0; RECORD_BYTES_MAX]; 40];
        assert_eq!(fits(&big), 31);
        assert_eq!(seal(&at(Head::start(EpochId([2; 16]))), &big, &key).unwrap_err(), SealError::Size);
        let short = [vec![0; SALT_BYTES - 1]];
        assert_eq!(seal(&at(Head::start(EpochId([2; 16]))), &short, &key).unwrap_err(), SealError::Size);
    }

    #[test]
    fn a_statement_of_the_wrong_shape_is_malformed_and_of_another_version_unsupported() {
        let (key, _) = SoftwareKey::generate().unwrap();
        let sound = Statement::decode(&first(&key).segment.statement[..]).unwrap();
        type Change = fn(&mut Statement);
        let cases: [(Change, OpenError); 14] = [
            (|s| s.format = 2, OpenError::Unsupported),
            (|s| s.signature_algorithm = 2, OpenError::Unsupported),
            (|s| s.compression = 1, OpenError::Unsupported),
            (|s| s.encryption_suite = 9, OpenError::Unsupported),
            (|s| s.encryption_suite = 1, OpenError::Malformed),
            (|s| s.encryption_key_id = vec![1; 32], OpenError::Malformed),
            (|s| (s.encryption_suite, s.encryption_key_id) = (1, vec![1; 31]), OpenError::Malformed),
            (|s| s.device.push(0), OpenError::Malformed),
            (|s| s.previous = vec![0; 32], OpenError::Malformed),
            (|s| s.epoch_start = None, OpenError::Malformed),
            (|s| s.lane = 9, OpenError::Malformed),
            (|s| s.record_count = 0, OpenError::Malformed),
            (|s| s.tenant = "Ü".into(), OpenError::Malformed),
            (|s| s.agent_version = "x".repeat(4096), OpenError::TooLarge),
        ];
        for (number, (change, expected)) in cases.into_iter().enumerate() {
            let mut statement = sound.clone();
            change(&mut statement);
            assert_eq!(read_statement(&statement.encode_to_vec()).unwrap_err(), expected, "case {number}");
        }
    }

    fn encrypted(key: &SoftwareKey, secret: &RecipientSecret, count: usize) -> Segment {
        let encryption = Encryption { recipient: secret.recipient(), entropy: [5; ENTROPY_BYTES] };
        seal_to(&at_start(), &records(count), key, Some(encryption)).unwrap().segment
    }

    fn secret() -> RecipientSecret {
        RecipientSecret::generate([4; ENTROPY_BYTES]).unwrap().0
    }

    #[test]
    fn an_encrypted_segment_opens_to_its_records_for_its_recipient_alone() {
        let ((key, _), secret) = (SoftwareKey::generate().unwrap(), secret());
        let Segment { statement, signature, payload } = encrypted(&key, &secret, 3);
        let read = read_statement(&statement).unwrap();
        verify_signature(&statement, &signature, key.public()).unwrap();
        check_payload(&read.statement, &payload).unwrap();
        assert_eq!(open_payload(&read.statement, &payload), Err(OpenError::Encrypted));
        assert_eq!(decrypt(&read.statement, payload.clone(), |_| None), Err(OpenError::Recipient));
        let mut asked = None;
        let plain = decrypt(&read.statement, payload.clone(), |id| {
            asked = Some(*id);
            Some(&secret)
        });
        let plain = plain.unwrap();
        assert_eq!(asked, Some(secret.recipient().id()));
        assert_eq!(unframe(&plain).unwrap(), records(3));
        assert_eq!(open_kept(&read.statement, &plain).unwrap().len(), 3);
        assert_eq!(open_kept(&read.statement, &[]).unwrap_err(), OpenError::Records);
        // Anybody can encrypt the same records to the same key; only the signed bytes are taken.
        let other = Encryption { recipient: secret.recipient(), entropy: [6; ENTROPY_BYTES] };
        let other = seal_to(&at_start(), &records(3), &key, Some(other)).unwrap().segment.payload;
        assert_eq!(decrypt(&read.statement, other, |_| Some(&secret)), Err(OpenError::Payload));
        let salt = [1; SALT_BYTES];
        assert!(plain.windows(SALT_BYTES).any(|bytes| bytes == salt));
        assert!(!payload.windows(SALT_BYTES).any(|bytes| bytes == salt), "nothing plain is sent");
    }

    #[test]
    fn content_is_stated_again_by_whom_cannot_read_it() {
        let ((key, _), secret) = (SoftwareKey::generate().unwrap(), secret());
        let before = encrypted(&key, &secret, 3);
        let read = read_statement(&before.statement).unwrap();
        let there = at(Head { epoch: EpochId([9; 16]), next: 7, digest: Some(read.digest) });
        let again = restate(&there, &read.statement, before.payload, &key).unwrap();
        let read = read_statement(&again.segment.statement).unwrap();
        assert_eq!((read.epoch, read.statement.sequence), (EpochId([9; 16]), 7));
        verify_signature(&again.segment.statement, &again.segment.signature, key.public()).unwrap();
        let plain = decrypt(&read.statement, again.segment.payload.clone(), |_| Some(&secret)).unwrap();
        assert_eq!(unframe(&plain).unwrap(), records(3));
        let elsewhere = Seal { lane: Lane::Bulk, ..there };
        let moved = restate(&elsewhere, &read.statement, again.segment.payload, &key).unwrap().segment;
        let read = read_statement(&moved.statement).unwrap();
        assert_eq!(decrypt(&read.statement, moved.payload, |_| Some(&secret)), Err(OpenError::Payload));
    }

    proptest! {
        /// Also by whoever could sign it anew: what is bound to the encrypted bytes cannot be exchanged under them.
        #[test]
        fn no_bit_of_an_encrypted_segment_can_be_changed(
            count in 1_usize..20, part in 0_usize..3, at in any::<usize>(), bit in 0_u8..8, signed_anew in any::<bool>(),
        ) {
            let ((key, _), secret) = (SoftwareKey::generate().unwrap(), secret());
            let mut segment = encrypted(&key, &secret, count);
            let bytes = [&mut segment.statement, &mut segment.signature, &mut segment.payload].into_iter().nth(part).unwrap();
            let at = at % bytes.len();
            bytes[at] ^= 1 << bit;
            let holds = |segment: &Segment| -> Result<(), OpenError> {
                let mut read = read_statement(&segment.statement)?;
                if signed_anew && part == 2 {
                    read.statement.payload_digest = sha256(&[&segment.payload]).to_vec();
                } else {
                    verify_signature(&segment.statement, &segment.signature, key.public())?;
                }
                decrypt(&read.statement, segment.payload.clone(), |_| Some(&secret)).map(drop)
            };
            prop_assert!(holds(&segment).is_err(), "part {part} byte {at} bit {bit}");
        }

        #[test]
        fn any_encrypted_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let secret = secret();
            let mut statement = read_statement(&encrypted(&SoftwareKey::generate().unwrap().0, &secret, 1).statement).unwrap().statement;
            statement.payload_digest = sha256(&[&bytes]).to_vec();
            prop_assert!(decrypt(&statement, bytes, |_| Some(&secret)).is_err());
        }

        /// Whatever is erased, in however many turns, what stays is what was signed, and nothing else passes for it.
        #[test]
        fn what_stays_is_proved_whatever_is_erased(
            count in 1_usize..40, turns in proptest::collection::vec(any::<u64>(), 0..4), at in any::<usize>(),
        ) {
            let (key, _) = SoftwareKey::generate().unwrap();
            let sealed = seal(&at_start(), &records(count), &key).unwrap().segment;
            let statement = read_statement(&sealed.statement).unwrap().statement;
            let mut payload = sealed.payload;
            for turn in &turns {
                payload = crate::record::erase(&payload, |place| turn >> (place % 64) & 1 == 1).unwrap();
            }
            let erased = turns.iter().fold(0, |all, turn| all | turn);
            for (place, kept) in open_kept(&statement, &payload).unwrap().into_iter().enumerate() {
                let gone = erased >> (place % 64) & 1 == 1;
                prop_assert_eq!(matches!(kept, Kept::Erased(_)), gone);
                prop_assert_eq!(kept.leaf(), merkle::leaf_hash(&records(count)[place]));
            }
            let at = at % payload.len();
            payload[at] ^= 1;
            prop_assert!(open_kept(&statement, &payload).is_err(), "byte {at}");
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let _ = read_statement(&bytes);
            let _ = open_payload(&Statement::default(), &bytes);
        }
    }
}
