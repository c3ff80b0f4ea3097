//! Policies handed to devices that were offered them.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::stream::{self, Stream};
use tonic::Status;
use watchpost_proto::v1::{PolicyPart, PolicyRequest, SignedPolicyHeader};
use watchpost_proto::{Digest, Message as _};

use crate::ingest::Shared;
use crate::log_store::{self, Appender};
use crate::peer::Peer;
use crate::registry::Effects;

/// Bytes of one part: small beside the segments that go the other way meanwhile.
const CHUNK_BYTES: usize = 64 * 1024;
/// Bytes of headers in one part.
const LEADING_BYTES: usize = 256 * 1024;
/// Policies kept in memory, whatever the number of devices that fetch them at once.
const KEPT_MAX: usize = 4;

/// The parts of a policy, as they go out.
pub type Parts = Pin<Box<dyn Stream<Item = Result<PolicyPart, Status>> + Send>>;

/// A policy in memory.
#[derive(Debug)]
struct Kept {
    digest: Digest,
    group: String,
    version: u64,
    file: Vec<u8>,
}

/// The policies that were asked for last.
#[derive(Debug, Default)]
pub struct Handing(Mutex<Vec<Arc<Kept>>>);

impl Handing {
    /// A policy for a device of its group.
    ///
    /// # Errors
    /// There is none, or it is for others.
    pub async fn hand(&self, shared: &Shared, peer: &Peer, request: &PolicyRequest) -> Result<Parts, Status> {
        let none = || Status::not_found("there is no such policy for this device");
        if shared.registry.device(&peer.device).revoked {
            return Err(Status::permission_denied("this device has been revoked"));
        }
        let digest = Digest::from_slice(&request.policy).ok_or_else(none)?;
        let kept = self.kept(shared, digest).await?.ok_or_else(none)?;
        if kept.group != shared.registry.group(&peer.device) {
            return Err(none());
        }
        let (group, versions) = (kept.group.clone(), (request.known_version, kept.version));
        let work = move |appender: &mut Appender<'_>, _: &mut Effects| {
            log_store::leading(appender.connection(), &group, versions)
        };
        let leading = shared.sequencer.run(work).await.map_err(|_| Status::unavailable("the log cannot be read"))?;
        let first = leading_parts(leading).into_iter().map(Ok);
        let chunks = kept.file.len().div_ceil(CHUNK_BYTES);
        let rest = (0..chunks).map(move |number| {
            let from = number * CHUNK_BYTES;
            let chunk = kept.file.get(from..kept.file.len().min(from + CHUNK_BYTES)).unwrap_or_default();
            Ok(PolicyPart { leading: Vec::new(), chunk: chunk.to_vec() })
        });
        Ok(Box::pin(stream::iter(first.chain(rest))))
    }

    async fn kept(&self, shared: &Shared, digest: Digest) -> Result<Option<Arc<Kept>>, Status> {
        let known = |kept: &[Arc<Kept>]| kept.iter().find(|kept| kept.digest == digest).cloned();
        if let Some(kept) = known(&self.0.lock().unwrap_or_else(PoisonError::into_inner)) {
            return Ok(Some(kept));
        }
        let work =
            move |appender: &mut Appender<'_>, _: &mut Effects| log_store::policy(appender.connection(), &digest);
        let read = shared.sequencer.run(work).await.map_err(|_| Status::unavailable("the log cannot be read"))?;
        let Some(policy) = read else { return Ok(None) };
        let said = &policy.header.said;
        let kept = Arc::new(Kept { digest, group: said.group.clone(), version: said.version, file: policy.encode() });
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= KEPT_MAX {
            all.remove(0);
        }
        all.push(Arc::clone(&kept));
        Ok(Some(kept))
    }
}

/// Headers in parts of a bounded size.
fn leading_parts(leading: Vec<SignedPolicyHeader>) -> Vec<PolicyPart> {
    let (mut parts, mut bytes) = (Vec::<PolicyPart>::new(), LEADING_BYTES);
    for header in leading {
        bytes += header.encoded_len();
        if bytes > LEADING_BYTES {
            parts.push(PolicyPart::default());
            bytes = header.encoded_len();
        }
        if let Some(part) = parts.last_mut() {
            part.leading.push(header);
        }
    }
    parts
}
