//! Policies handed to devices that were offered them.

use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::stream::{self, Stream};
use tokio::sync::Semaphore;
use tonic::Status;
use tracing::warn;
use watchpost_proto::v1::{PolicyPart, PolicyRequest, SignedPolicyHeader};
use watchpost_proto::{Digest, Message as _};

use crate::ingest::Shared;
use crate::log_store::{self, LogReader, StoreError};
use crate::peer::Peer;

/// Bytes of one part: small beside the segments that go the other way meanwhile.
const CHUNK_BYTES: usize = 64 * 1024;
/// Bytes of headers in one part.
const LEADING_BYTES: usize = 256 * 1024;
/// Policies kept in memory, whatever the number of devices that fetch them at once.
const KEPT_MAX: usize = 4;

/// Policies read at once.
const READING_MAX: usize = 4;

/// The parts of a policy, as they go out.
pub type Parts = Pin<Box<dyn Stream<Item = Result<PolicyPart, Status>> + Send>>;

/// A policy in memory.
#[derive(Debug)]
struct Kept {
    digest: Digest,
    version: u64,
    file: Vec<u8>,
}

/// The policies that were asked for last. They are read beside the writer of the log, a few at a time.
#[derive(Debug)]
pub struct Handing {
    log_db: PathBuf,
    kept: Mutex<Vec<Arc<Kept>>>,
    reading: Semaphore,
}

impl Handing {
    /// Hands on what this log holds.
    #[must_use]
    pub fn new(log_db: PathBuf) -> Self {
        Self { log_db, kept: Mutex::default(), reading: Semaphore::new(READING_MAX) }
    }

    /// A policy for a device of its group.
    ///
    /// # Errors
    /// There is none, or it is for others.
    pub async fn hand(&self, shared: &Shared, peer: &Peer, request: &PolicyRequest) -> Result<Parts, Status> {
        let none = || Status::not_found("there is no such policy for this device");
        let digest = Digest::from_slice(&request.policy).ok_or_else(none)?;
        let (group, known) = (shared.registry.group(&peer.device), request.known_version);
        let unread = |_| Status::unavailable("the policy cannot be read now");
        let permit = self.reading.acquire().await.map_err(|_| Status::unavailable("the collector ends"))?;
        let (path, at_hand) = (self.log_db.clone(), self.at_hand(&digest));
        let read = tokio::task::spawn_blocking(move || read(&path, &group, digest, known, at_hand)).await;
        drop(permit);
        let read = read.map_err(unread)?.map_err(|error| {
            warn!(%digest, %error, "a policy that was offered cannot be read");
            Status::unavailable("the policy cannot be read now")
        })?;
        let (kept, leading) = read.ok_or_else(none)?;
        self.keep(&kept);
        let first = leading_parts(leading).into_iter().map(Ok);
        let chunks = kept.file.len().div_ceil(CHUNK_BYTES);
        let rest = (0..chunks).map(move |number| {
            let from = number * CHUNK_BYTES;
            let chunk = kept.file.get(from..kept.file.len().min(from + CHUNK_BYTES)).unwrap_or_default();
            Ok(PolicyPart { leading: Vec::new(), chunk: chunk.to_vec() })
        });
        Ok(Box::pin(stream::iter(first.chain(rest))))
    }

    fn at_hand(&self, digest: &Digest) -> Option<Arc<Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).iter().find(|kept| kept.digest == *digest).cloned()
    }

    fn keep(&self, kept: &Arc<Kept>) {
        let mut all = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if all.iter().any(|other| other.digest == kept.digest) {
            return;
        }
        if all.len() >= KEPT_MAX {
            all.remove(0);
        }
        all.push(Arc::clone(kept));
    }
}

type Read = Option<(Arc<Kept>, Vec<SignedPolicyHeader>)>;

/// The policy and the headers that lead to it; `None` where the group has none of this name.
fn read(
    log_db: &Path,
    group: &str,
    digest: Digest,
    known: u64,
    at_hand: Option<Arc<Kept>>,
) -> Result<Read, StoreError> {
    let log = LogReader::open(log_db)?;
    let Some(version) = log_store::policy_version(log.connection(), group, &digest)? else { return Ok(None) };
    let kept = match at_hand {
        Some(kept) => kept,
        None => {
            let Some(policy) = log_store::policy(log.connection(), &digest)? else { return Ok(None) };
            Arc::new(Kept { digest, version, file: policy.encode() })
        }
    };
    let leading = log_store::leading(log.connection(), group, (known, kept.version))?;
    Ok(Some((kept, leading)))
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
