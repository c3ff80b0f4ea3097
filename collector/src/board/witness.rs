//! Asking witnesses to cosign the log's head: C2SP tlog-witness over HTTP.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use futures_util::future::join_all;
use hyper::header::CONTENT_TYPE;
use hyper::{StatusCode, Uri};
use tokio::sync::watch;
use tracing::{error, info, warn};
use watchpost_proto::Digest;
use watchpost_proto::merkle::consistency_proof;
use watchpost_proto::witness::{WitnessKey, add_checkpoint};

use super::{Cosigned, Newest, cosigned_path};
use crate::config::Witness;
use crate::durable_file::{self, Access};
use crate::log_store::LogReader;
use crate::outgoing;
use crate::sequencer::Published;

/// At most one round in this time: a witness serves many logs.
const ASK_EVERY: Duration = Duration::from_secs(2);
/// How soon one that did not answer is asked again, where nothing new comes.
const ASK_AGAIN: Duration = Duration::from_secs(30);
/// How long a witness may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// The content type of an answer that tells the size a witness has seen.
const SIZE: &str = "text/x.tlog.size";

/// Asks all witnesses about every head, at most every two seconds, until the log is closed.
pub async fn follow(
    witnesses: Vec<Witness>,
    (log_db, data_dir): (PathBuf, PathBuf),
    mut published: watch::Receiver<Arc<Published>>,
    newest: watch::Sender<Newest>,
) {
    let mut asking = Asking { witnesses, log_db, seen: HashMap::new(), said: HashMap::new() };
    loop {
        let head = Arc::clone(&published.borrow_and_update());
        let (lines, all) = asking.round(&head).await;
        if !lines.is_empty() {
            let cosigned = asking.cosigned(&head, &lines);
            let (path, note) = (cosigned_path(&data_dir), cosigned.note.clone());
            let kept =
                tokio::task::spawn_blocking(move || durable_file::write(&path, note.as_bytes(), Access::Public)).await;
            match kept {
                Ok(Ok(())) => drop(newest.send_replace(Some((Arc::new(cosigned), Instant::now())))),
                Ok(Err(error)) => warn!(%error, "cosigned checkpoint not kept"),
                Err(_) => return,
            }
        }
        tokio::time::sleep(ASK_EVERY).await;
        let again = async {
            match all {
                true => std::future::pending().await,
                false => tokio::time::sleep(ASK_AGAIN).await,
            }
        };
        tokio::select! {
            changed = published.changed() => if changed.is_err() { return },
            () = again => {}
        }
    }
}

struct Asking {
    witnesses: Vec<Witness>,
    log_db: PathBuf,
    /// Entries each witness has seen.
    seen: HashMap<String, u64>,
    /// What was last said of each, so that it is said once.
    said: HashMap<String, String>,
}

impl Asking {
    /// The lines of those that cosigned, and whether all did.
    async fn round(&mut self, head: &Published) -> (Vec<String>, bool) {
        let asked =
            self.witnesses.iter().map(|witness| {
                let seen = self.seen.get(witness.key.name()).copied().unwrap_or(0);
                let ask = cosign(witness, &self.log_db, head, seen);
                async move {
                    tokio::time::timeout(PATIENCE, ask).await.context("it has not answered").and_then(|asked| asked)
                }
            });
        let answers = join_all(asked).await;
        let all = answers.iter().all(Result::is_ok);
        let mut lines = Vec::new();
        for (witness, answer) in self.witnesses.iter().zip(answers) {
            let name = witness.key.name().to_owned();
            match answer {
                Ok(line) => {
                    if self.said.remove(&name).is_some() {
                        info!(witness = name, "witness cosigns again");
                    }
                    self.seen.insert(name, head.checkpoint.size);
                    lines.push(line);
                }
                Err(error) => {
                    // What it has seen may be otherwise than we think.
                    self.seen.remove(&name);
                    let says = format!("{error:#}");
                    if self.said.get(&name) != Some(&says) {
                        match error.is::<Contradicted>() {
                            true => error!(witness = name, error = says, "the witness has seen another log"),
                            false => warn!(witness = name, error = says, "witness has not cosigned"),
                        }
                        self.said.insert(name, says);
                    }
                }
            }
        }
        (lines, all)
    }

    fn cosigned(&self, head: &Published, lines: &[String]) -> Cosigned {
        let note = lines.iter().fold(head.note.clone(), |note, line| note + line + "\n");
        let of = |key: &&WitnessKey| key.cosigned(&note).is_some();
        let witnesses = self.witnesses.iter().map(|witness| &witness.key).filter(of).cloned().collect();
        Cosigned { checkpoint: head.checkpoint.clone(), note, witnesses }
    }
}

/// A witness has seen what this log does not lead to: it was rewritten, or restored from an older copy.
#[derive(Debug, thiserror::Error)]
#[error("it has seen {0}: this log was rewritten or restored from an older copy, and its entries since are not here")]
struct Contradicted(String);

/// Has a witness cosign; its line.
async fn cosign(witness: &Witness, log_db: &Path, head: &Published, seen: u64) -> anyhow::Result<String> {
    let mut old = seen;
    // It may have seen more or less than we remember: it says how much, and is asked once more.
    for _ in 0..2 {
        let proof = prove(log_db.to_owned(), old, head.checkpoint.size).await?;
        let answer = post(&witness.url, add_checkpoint(old, &proof, &head.note)).await?;
        match answer.status {
            StatusCode::OK => {
                let line = answer.body.lines().find(|line| witness.key.check(&head.note, line).is_some());
                return line.map(str::to_owned).context("its answer has no cosignature by its key");
            }
            StatusCode::CONFLICT if answer.tells_size => {
                old = answer.body.trim_end().parse().context("it tells a size that is none")?;
                if old > head.checkpoint.size {
                    return Err(Contradicted(format!("{old} entries and not {}", head.checkpoint.size)).into());
                }
            }
            StatusCode::CONFLICT | StatusCode::UNPROCESSABLE_ENTITY => {
                return Err(Contradicted(format!("another tree of {old} entries")).into());
            }
            StatusCode::NOT_FOUND | StatusCode::FORBIDDEN => {
                bail!("it does not know this log or its key ({}): have it configured there", answer.status)
            }
            other => bail!("it answered {other}"),
        }
    }
    bail!("it does not stay at one size")
}

async fn prove(log_db: PathBuf, old: u64, size: u64) -> anyhow::Result<Vec<Digest>> {
    let proof = tokio::task::spawn_blocking(move || {
        let log = LogReader::open(&log_db)?;
        consistency_proof(old, size, &mut |level, index| log.node(level, index))
    });
    proof.await??.context("the log has become smaller")
}

struct Answer {
    status: StatusCode,
    tells_size: bool,
    body: String,
}

async fn post(url: &Uri, body: String) -> anyhow::Result<Answer> {
    let to = outgoing::host_and_port(url)?;
    let addresses: Vec<_> =
        tokio::net::lookup_host((to.0.as_str(), to.1)).await.with_context(|| format!("look up {}", to.0))?.collect();
    let stream = outgoing::connect(url, &addresses).await?;
    let path = format!("{}/add-checkpoint", url.path().trim_end_matches('/'));
    let request = outgoing::post(url, &path)?.header(CONTENT_TYPE, "text/plain; charset=utf-8").body(body)?;
    let answer = outgoing::exchange(stream, request).await?;
    let tells_size = answer.headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(SIZE.as_bytes()));
    let body = String::from_utf8(answer.body).context("its answer is not text")?;
    Ok(Answer { status: answer.status, tells_size, body })
}
