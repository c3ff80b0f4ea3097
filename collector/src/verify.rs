//! Everything about a segment that can be checked without the chain: names, key history, signature, payload digest
//! and Merkle root. An encrypted payload is opened here, and goes on plain: the Merkle root proves its records, an erased
//! record must not come back from a copy that a key still opens, and keys can be destroyed when no device uses them. Runs on the stream's own task, so that the one writer is left with the chain.

use watchpost_proto::keys::PublicKey;
use watchpost_proto::refusal::Code;
use watchpost_proto::segment::{OpenError, ReadStatement, decrypt, read_statement, verify_signature};
use watchpost_proto::v1::Segment;

use crate::chain::{NewKey, Verified};
use crate::peer::Peer;
use crate::recipients::Recipients;
use crate::registry::Registry;

/// Checks a segment that arrived on `peer`'s connection at `now_ms`.
///
/// # Errors
/// The code to refuse it with.
pub fn verify(
    segment: Segment,
    peer: &Peer,
    registry: &Registry,
    recipients: &Recipients,
    now_ms: i64,
) -> Result<Verified, Code> {
    let read = read_statement(&segment.statement).map_err(code)?;
    if read.statement.tenant != peer.tenant {
        return Err(Code::WrongTenant);
    }
    if read.device != peer.device {
        return Err(Code::WrongDevice);
    }
    if registry.device(&read.device).revoked {
        return Err(Code::DeviceRevoked);
    }
    let (key, is_new) = key_of(&read, peer, registry)?;
    verify_signature(&segment.statement, &segment.signature, &key).map_err(code)?;
    let Segment { statement, signature, payload } = segment;
    let payload = decrypt(&read.statement, payload, |id| recipients.get(id)).map_err(code)?;
    let segment = Segment { statement, signature, payload };
    let new_key = is_new.then(|| NewKey { key, chain: peer.chain.clone() });
    Ok(Verified { read, segment, received_at_ms: now_ms, new_key })
}

/// The key a statement names: one the log has introduced, or the connection's own, which the handshake has proved.
fn key_of(read: &ReadStatement, peer: &Peer, registry: &Registry) -> Result<(PublicKey, bool), Code> {
    if let Some(key) = registry.key(&read.device, &read.key_id) {
        return Ok((key, false));
    }
    if read.key_id == peer.key_id { Ok((peer.key.clone(), true)) } else { Err(Code::KeyUnknown) }
}

fn code(error: OpenError) -> Code {
    match error {
        OpenError::TooLarge => Code::TooLarge,
        OpenError::Malformed | OpenError::Record(_) => Code::Malformed,
        OpenError::Unsupported => Code::FormatUnsupported,
        OpenError::Signature => Code::SignatureInvalid,
        OpenError::Recipient => Code::RecipientUnknown,
        OpenError::Payload | OpenError::Records | OpenError::Encrypted => Code::PayloadAltered,
    }
}
