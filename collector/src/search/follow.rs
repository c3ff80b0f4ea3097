//! Keeps `search.db` at the head of a growing log, beside what is derived.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tracing::{error, info};

use super::{Indexer, SearchError};
use crate::log_store::LogReader;
use crate::sequencer::Published;

/// Pause after a failure, a full disk most likely. The log goes on meanwhile.
const PAUSE: Duration = Duration::from_secs(5);

/// Follows the log until its writer has ended, and applies what it wrote last.
pub async fn follow(log: PathBuf, search: PathBuf, mut published: watch::Receiver<Arc<Published>>) {
    let mut indexer = None;
    loop {
        // Before reading: what is committed meanwhile wakes the follower again.
        let ended = published.has_changed().is_err();
        published.mark_unchanged();
        let (log, search) = (log.clone(), search.clone());
        let stepped = match tokio::task::spawn_blocking(move || step(indexer, log, search)).await {
            Ok(stepped) => stepped,
            Err(ended) => {
                // A bug must not end in a collector that finds nothing; else the runtime is going down.
                if ended.is_panic() {
                    error!("indexing has panicked; the collector ends");
                    std::process::exit(1);
                }
                return;
            }
        };
        let more;
        (indexer, more) = match stepped {
            Ok((indexer, more)) => (Some(indexer), more),
            Err(failure) => {
                error!(error = %failure, "nothing indexed");
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

fn step(indexer: Option<Indexer>, log: PathBuf, search: PathBuf) -> Result<(Indexer, bool), SearchError> {
    let mut indexer = match indexer {
        Some(indexer) => indexer,
        None => {
            let indexer = Indexer::open(&search, LogReader::open(&log)?)?;
            info!(position = indexer.position(), "indexing");
            indexer
        }
    };
    let more = indexer.step()?;
    Ok((indexer, more))
}
