//! A collector that was restored goes on with another log: this device follows it where a collector has introduced it as the
//! successor of the one seen, and tells in any case what it has seen.

use watchpost_proto::keys::PublicKey;
use watchpost_proto::note::{self, Checkpoint};
use watchpost_proto::v1::summary::Kind;
use watchpost_proto::v1::{LogChange, LogKey, SignedLogKey, Welcome};
use watchpost_proto::{Digest, LogId, merkle, receipt};

/// How the log shown is another than the one seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Change {
    /// A collector has introduced it as a successor.
    introduced: bool,
    /// Everything seen was proved to be in the logs before it.
    kept: bool,
}

/// `None` where the log shown extends the one seen.
pub(super) fn judge(
    known: &Checkpoint,
    shown: &Checkpoint,
    tenant: &str,
    signer: &PublicKey,
    welcome: &Welcome,
) -> Option<Change> {
    if known.origin == shown.origin {
        return (!leads(known, shown.size, &shown.root, welcome)).then_some(Change { introduced: false, kept: false });
    }
    let introduced = [welcome.log_key.as_ref()].into_iter().flatten().chain(&welcome.earlier_logs);
    let successor = introduced.filter_map(|signed| open(signed, signer, tenant)).find(|log_key| {
        LogId::from_slice(&log_key.previous_log_id).is_some_and(|id| note::origin(tenant, &id) == known.origin)
    });
    let Some(successor) = successor else { return Some(Change { introduced: false, kept: false }) };
    let root = Digest::from_slice(&successor.previous_root);
    let kept = root.is_some_and(|root| leads(known, successor.previous_size, &root, welcome));
    Some(Change { introduced: true, kept })
}

fn open(signed: &SignedLogKey, signer: &PublicKey, tenant: &str) -> Option<LogKey> {
    receipt::open_log_key(signed, signer).filter(|log_key| log_key.tenant == tenant)
}

/// Whether the collector has proved that the tree seen is the beginning of one of this size and root.
fn leads(known: &Checkpoint, size: u64, root: &Digest, welcome: &Welcome) -> bool {
    let proof: Option<Vec<Digest>> = welcome.consistency.iter().map(|hash| Digest::from_slice(hash)).collect();
    proof.is_some_and(|proof| merkle::verify_consistency(known.size, &known.root, size, root, &proof))
}

impl Change {
    pub(super) fn summary(self, known: &str, shown: &str) -> Kind {
        let (known, shown) = (known.to_owned(), shown.to_owned());
        Kind::LogChange(LogChange { known, shown, introduced: self.introduced, kept: self.kept })
    }

    pub(super) fn tell(self, known: &Checkpoint, shown: &Checkpoint) {
        let (known, shown) = (&known.origin, &shown.origin);
        match self {
            Self { introduced: true, kept: true } => {
                tracing::warn!(
                    known,
                    shown,
                    "the collector was restored and goes on with another log; nothing seen is missing"
                );
            }
            Self { introduced: true, kept: false } => {
                tracing::error!(
                    known,
                    shown,
                    "the collector was restored and goes on with another log; it has lost entries"
                );
            }
            Self { introduced: false, .. } => {
                tracing::error!(known, shown, "the collector's log does not extend the one seen");
            }
        }
    }
}
