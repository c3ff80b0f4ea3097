//! Keeps the derived database at the head of a growing log.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tracing::{error, info};

use super::{DeriveError, Deriver};
use crate::log_store::LogReader;
use crate::sequencer::Published;

/// Pause after a failure, a full disk most likely. The log goes on meanwhile.
const PAUSE: Duration = Duration::from_secs(5);

/// Follows the log until its writer has ended, and applies what it wrote last. `position` tells the entries applied.
pub async fn follow(
    log: PathBuf,
    derived: PathBuf,
    mut published: watch::Receiver<Arc<Published>>,
    position: watch::Sender<u64>,
) {
    let mut deriver = None;
    loop {
        // Before reading: what is committed meanwhile wakes the follower again.
        let ended = published.has_changed().is_err();
        published.mark_unchanged();
        let (log, derived) = (log.clone(), derived.clone());
        let stepped = match tokio::task::spawn_blocking(move || step(deriver, log, derived)).await {
            Ok(stepped) => stepped,
            Err(ended) => {
                // A bug must not end in a collector that receipts and shows nothing; else the runtime is going down.
                if ended.is_panic() {
                    error!("deriving has panicked; the collector ends");
                    std::process::exit(1);
                }
                return;
            }
        };
        let more;
        (deriver, more) = match stepped {
            Ok((deriver, more)) => {
                position.send_replace(deriver.position());
                (Some(deriver), more)
            }
            Err(failure) => {
                error!(error = %failure, "nothing derived");
                tokio::time::sleep(PAUSE).await;
                (None, true)
            }
        };
        if ended && !more {
            return;
        }
        if !more {
            // An error says that the writer has ended: one more round takes what it wrote last.
            let _ = published.changed().await;
        }
    }
}

fn step(deriver: Option<Deriver>, log: PathBuf, derived: PathBuf) -> Result<(Deriver, bool), DeriveError> {
    let mut deriver = match deriver {
        Some(deriver) => deriver,
        None => {
            let deriver = Deriver::open(&derived, LogReader::open(&log)?)?;
            info!(position = deriver.position(), "deriving");
            deriver
        }
    };
    let more = deriver.step()?;
    Ok((deriver, more))
}
