//! Everything about a segment that can be checked without the chain: names, key history, signature, payload digest
//! and Merkle root. Runs on the stream's own task, so that the one writer is left with the chain.

use watchpost_proto::keys::PublicKey;
use watchpost_proto::refusal::Code;
use watchpost_proto::segment::{OpenError, ReadStatement, open_payload, read_statement, verify_signature};
use watchpost_proto::v1::Segment;

use crate::chain::{NewKey, Verified};
use crate::peer::Peer;
use crate::registry::Registry;

/// Checks a segment that arrived on `peer`'s connection at `now_ms`.
///
/// # Errors
/// The code to refuse it with.
pub fn verify(segment: Segment, peer: &Peer, registry: &Registry, now_ms: i64) -> Result<Verified, Code> {
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
    open_payload(&read.statement, &segment.payload).map_err(code)?;
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
        OpenError::Payload | OpenError::Records => Code::PayloadAltered,
    }
}
