//! What others are shown of the log: its checkpoint, cosigned where witnesses are asked, and its tiles, in a folder and
//! over HTTP on loopback.
//!
//! All of it runs beside ingest and reads what is committed. A folder that cannot be written or a witness that is away
//! delays no receipt.

mod http;
mod witness;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tracing::{info, warn};
use watchpost_proto::note::{self, Checkpoint};
use watchpost_proto::witness::WitnessKey;

pub use http::serve;
pub use witness::follow;

use crate::config::Config;
use crate::log_store::LogReader;
use crate::publish;
use crate::sequencer::Published;

/// At most one round of publishing in this time.
const PUBLISH_EVERY: Duration = Duration::from_secs(1);
/// Witnesses answer in seconds. Where none has for this long, the newest head is shown without them, so that nobody's
/// absence hides what was added.
const COSIGNED_STAYS: Duration = Duration::from_secs(60);
/// The file that keeps the newest cosigned checkpoint.
const COSIGNED: &str = "cosigned.note";

/// A checkpoint with the lines of the witnesses that have seen it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cosigned {
    /// The head.
    pub checkpoint: Checkpoint,
    /// The note with all its lines.
    pub note: String,
    /// The witnesses whose lines hold.
    pub witnesses: Vec<WitnessKey>,
}

impl Cosigned {
    /// Reads the newest that was kept; none where it is not of this log, or no witness of `keys` has signed it.
    pub fn load(config: &Config, public: &[u8; 32]) -> Option<Self> {
        let note = std::fs::read_to_string(cosigned_path(&config.data_dir)).ok()?;
        Self::read(note, public, &keys(config))
    }

    fn read(note: String, public: &[u8; 32], keys: &[WitnessKey]) -> Option<Self> {
        let checkpoint = note::open(&note, public)?;
        let witnesses: Vec<_> = keys.iter().filter(|key| key.cosigned(&note).is_some()).cloned().collect();
        (!witnesses.is_empty()).then_some(Self { checkpoint, note, witnesses })
    }
}

pub(crate) fn cosigned_path(data_dir: &Path) -> PathBuf {
    data_dir.join(COSIGNED)
}

fn keys(config: &Config) -> Vec<WitnessKey> {
    config.log.witnesses.iter().map(|witness| witness.key.clone()).collect()
}

/// The newest checkpoint with witnesses, and when it was had.
type Newest = Option<(Arc<Cosigned>, Instant)>;

/// The checkpoint others are shown.
#[derive(Clone, Debug)]
pub struct Board {
    published: watch::Receiver<Arc<Published>>,
    cosigned: watch::Receiver<Newest>,
    /// Entries of the largest that was shown: what is shown never shrinks.
    shown: Arc<AtomicU64>,
}

impl Board {
    /// The checkpoint to show now.
    pub fn note(&self) -> String {
        let head = Arc::clone(&self.published.borrow());
        let shown = self.shown.load(Ordering::Acquire);
        let cosigned = self.cosigned.borrow().clone().filter(|(cosigned, at)| {
            let size = cosigned.checkpoint.size;
            size == head.checkpoint.size || (size >= shown && at.elapsed() < COSIGNED_STAYS)
        });
        let (size, note) = match cosigned {
            Some((cosigned, _)) => (cosigned.checkpoint.size, cosigned.note.clone()),
            None => (head.checkpoint.size, head.note.clone()),
        };
        self.shown.fetch_max(size, Ordering::AcqRel);
        note
    }

    /// Returns when another checkpoint may be shown, or after [`COSIGNED_STAYS`]; false when the log was closed.
    async fn changed(&mut self) -> bool {
        tokio::select! {
            changed = self.published.changed() => changed.is_ok(),
            // Without witnesses nobody ever sends here, and the other arm decides.
            Ok(()) = self.cosigned.changed() => true,
            () = tokio::time::sleep(COSIGNED_STAYS) => true,
        }
    }
}

/// A board over the log, and the end for whoever asks witnesses.
pub fn board(
    config: &Config,
    published: watch::Receiver<Arc<Published>>,
    public: &[u8; 32],
) -> (Board, watch::Sender<Newest>) {
    let newest = Cosigned::load(config, public).map(|cosigned| (Arc::new(cosigned), Instant::now()));
    let newest = newest.filter(|(cosigned, _)| cosigned.checkpoint.size <= published.borrow().checkpoint.size);
    let (sender, cosigned) = watch::channel(newest);
    (Board { published, cosigned, shown: Arc::default() }, sender)
}

/// Keeps a folder of static files at the head of the log, until the log is closed.
pub async fn keep_published(folder: PathBuf, log_db: PathBuf, mut board: Board) {
    let (mut reader, mut said) = (None, String::new());
    loop {
        let (folder, log_db, note) = (folder.clone(), log_db.clone(), board.note());
        let written = tokio::task::spawn_blocking(move || {
            let log = match reader {
                Some(log) => log,
                None => LogReader::open(&log_db)?,
            };
            let written = publish::publish(&folder, &log, &note)?;
            Ok::<_, anyhow::Error>((log, written))
        });
        reader = match written.await {
            Ok(Ok((log, written))) => {
                if !said.is_empty() {
                    info!(size = written.size, "log published again");
                    said.clear();
                }
                Some(log)
            }
            Ok(Err(error)) => {
                let says = format!("{error:#}");
                if says != said {
                    warn!(error = says, "log not published");
                    said = says;
                }
                None
            }
            // The runtime is going down.
            Err(_) => return,
        };
        if !board.changed().await {
            return;
        }
        tokio::time::sleep(PUBLISH_EVERY).await;
    }
}
