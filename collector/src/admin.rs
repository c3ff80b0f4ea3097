//! What an operator does to a device or to what is kept: always an entry of the log, durable before it takes effect,
//! whether a collector is running or not.
//!
//! There is one appender, whoever holds the data folder's lock. While `serve` holds it, a request goes to it as a
//! file in `data/requests/`: written whole under a random name, taken by the server within a quarter of a second,
//! answered by a file of the same name ending in `.done`. Where nobody holds the lock the command appends itself.
//! Doing a thing twice changes nothing, so a request that outlives a crash on either side does no harm.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tracing::{info, warn};
use watchpost_proto::DeviceId;
use watchpost_proto::v1::DeviceVerb;

use crate::chain::{self, Deed};
use crate::clock::now_ms;
use crate::config::Config;
use crate::data_lock::DataLock;
use crate::derive::Deriver;
use crate::durable_file::{self, Access};
use crate::erasure;
use crate::log_store::{LogReader, LogStore, StoreError};
use crate::registry::Effects;
use crate::sequencer::Sequencer;
use crate::sessions::Sessions;

/// How often the server looks for requests.
const LOOK: Duration = Duration::from_millis(250);
/// How often a command looks for the answer.
const LOOK_FOR_ANSWER: Duration = Duration::from_millis(50);
/// How long a command waits for a server that does not answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long where the server has to read the whole log first.
const PATIENCE_FOR_ERASURE: Duration = Duration::from_secs(1800);
/// Longest request read, in bytes.
const REQUEST_BYTES_MAX: u64 = 16 * 1024;

/// What can be done to a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verb {
    /// Put it on the deny-list.
    Revoke,
    /// Hold what it sends out of what people see.
    Quarantine,
    /// Lift both.
    Release,
}

/// A request of an operator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The device's UUID.
    pub device: String,
    /// What to do.
    pub verb: Verb,
    /// Who asks.
    pub by: String,
    /// Why.
    pub reason: String,
    /// Nobody waits for it after this moment, milliseconds since 1970: it must not be done then, for it may undo what was
    /// decided since.
    #[serde(default)]
    pub until_ms: i64,
}

/// Anything an operator may ask for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Ask {
    /// Something done to a device.
    Device(Request),
    /// Something done to what is kept.
    Keeping(erasure::Request),
}

impl Ask {
    fn until(&self, until_ms: i64) -> Self {
        match self.clone() {
            Self::Device(request) => Self::Device(Request { until_ms, ..request }),
            Self::Keeping(request) => Self::Keeping(erasure::Request { until_ms, ..request }),
        }
    }

    fn until_ms(&self) -> i64 {
        match self {
            Self::Device(request) => request.until_ms,
            Self::Keeping(request) => request.until_ms,
        }
    }

    fn patience(&self) -> Duration {
        match self {
            Self::Device(_) => PATIENCE,
            Self::Keeping(_) => PATIENCE_FOR_ERASURE,
        }
    }
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// Log indexes of the entries made; none where the device stood so already.
    pub entries: Vec<u64>,
    /// Why nothing was done.
    pub error: Option<String>,
}

impl Request {
    /// The entries this asks for. Each is left out where it would change nothing.
    fn deeds(&self, at_ms: i64) -> anyhow::Result<Vec<Deed>> {
        let device = DeviceId::parse(&self.device).with_context(|| format!("{:?} is not a device id", self.device))?;
        let verbs: &[DeviceVerb] = match self.verb {
            Verb::Revoke => &[DeviceVerb::Revoke],
            Verb::Quarantine => &[DeviceVerb::Quarantine],
            Verb::Release => &[DeviceVerb::Release, DeviceVerb::Readmit],
        };
        let deed =
            |verb: &DeviceVerb| Deed { device, verb: *verb, by: self.by.clone(), reason: self.reason.clone(), at_ms };
        Ok(verbs.iter().map(deed).collect())
    }
}

/// Has a request done, by the running collector or by this process; returns when it is durable.
///
/// # Errors
/// Nothing was done, or nobody knows: the sentence says which.
pub fn have_done(config: &Config, request: &Request) -> anyhow::Result<Done> {
    request.deeds(0)?;
    have_asked(config, &Ask::Device(request.clone()))
}

/// The same for anything that may be asked.
///
/// # Errors
/// Nothing was done, or nobody knows: the sentence says which.
pub fn have_asked(config: &Config, ask: &Ask) -> anyhow::Result<Done> {
    let folder = requests_folder(config);
    let mut handed_over: Option<HandedOver> = None;
    let give_up = Instant::now() + ask.patience();
    loop {
        if let Some(done) = handed_over.as_ref().map(HandedOver::answer).transpose()?.flatten() {
            return Ok(done);
        }
        if let Some(_lock) = DataLock::take(&config.data_dir)? {
            // Whoever held the lock has ended; what it may have done already is not done again.
            drop(handed_over);
            return do_alone(config, ask);
        }
        if handed_over.is_none() {
            let until_ms = now_ms().saturating_add(ask.patience().as_millis() as i64);
            handed_over = Some(HandedOver::write(&folder, &ask.until(until_ms))?);
        }
        if Instant::now() > give_up {
            bail!("the running collector has not answered; look with device list or log verify whether it was done");
        }
        std::thread::sleep(LOOK_FOR_ANSWER);
    }
}

/// A request in the folder; taken back when dropped.
struct HandedOver {
    request: PathBuf,
    answer: PathBuf,
}

impl HandedOver {
    fn write(folder: &Path, ask: &Ask) -> anyhow::Result<Self> {
        durable_file::create_folder(folder, Access::Secret)?;
        let mut random = [0_u8; 16];
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        let path = folder.join(format!("{}.json", hex::encode(random)));
        durable_file::write(&path, &serde_json::to_vec(ask)?, Access::Secret)?;
        Ok(Self { answer: path.with_extension("done"), request: path })
    }

    fn answer(&self) -> anyhow::Result<Option<Done>> {
        match fs::read(&self.answer) {
            Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| self.answer.display().to_string()),
        }
    }
}

impl Drop for HandedOver {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.request);
        let _ = fs::remove_file(&self.answer);
    }
}

/// Appends without a running collector. The caller holds the lock.
fn do_alone(config: &Config, ask: &Ask) -> anyhow::Result<Done> {
    if !config.log_db().exists() {
        bail!("{} does not exist; run serve first", config.log_db().display());
    }
    let mut store = LogStore::open(&config.log_db(), &config.tenant, |_| {
        Err(StoreError::Unfit("it holds no log yet; run serve first".into()))
    })?;
    let entries = match ask {
        Ask::Device(request) => append(&mut store, &request.deeds(now_ms())?)?,
        Ask::Keeping(request) => {
            catch_up(config)?;
            let plan = erasure::plan(config, request, now_ms())?;
            let mut appender = store.begin()?;
            let entries = erasure::append(&mut appender, &plan)?;
            appender.commit()?;
            store.forget()?;
            entries
        }
    };
    drop(store);
    catch_up(config)?;
    Ok(Done { entries, error: None })
}

fn catch_up(config: &Config) -> anyhow::Result<()> {
    Ok(Deriver::open(&config.derived_db(), LogReader::open(&config.log_db())?)?.catch_up()?)
}

fn append(store: &mut LogStore, deeds: &[Deed]) -> Result<Vec<u64>, StoreError> {
    let (mut effects, mut entries) = (Effects::default(), Vec::new());
    let mut appender = store.begin()?;
    for deed in deeds {
        entries.extend(chain::act(&mut appender, deed, &mut effects)?);
    }
    if !appender.is_empty() {
        appender.commit()?;
    }
    Ok(entries)
}

/// Takes requests until the collector stops.
pub async fn take_requests(
    config: Config,
    sequencer: Sequencer,
    sessions: Arc<Sessions>,
    mut stopping: watch::Receiver<bool>,
) {
    let folder = requests_folder(&config);
    loop {
        for path in pending(&folder) {
            let done = match take(&path, &config, &sequencer, &sessions).await {
                Ok(entries) => Done { entries, error: None },
                Err(error) => Done { entries: Vec::new(), error: Some(format!("{error:#}")) },
            };
            if let Err(error) = answer(&path, &done) {
                warn!(%error, "request not answered");
            }
        }
        if tokio::time::timeout(LOOK, stopping.wait_for(|stop| *stop)).await.is_ok() {
            return;
        }
    }
}

/// Where requests are left.
pub fn requests_folder(config: &Config) -> PathBuf {
    config.data_dir.join("requests")
}

fn pending(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.filter_map(|entry| entry.ok().map(|entry| entry.path()));
    // Files under way have a leading dot and another ending.
    let mut paths: Vec<PathBuf> =
        paths.filter(|path| path.extension().is_some_and(|ending| ending == "json")).collect();
    paths.sort_by_key(|path| fs::metadata(path).and_then(|file| file.modified()).ok());
    paths
}

async fn take(path: &Path, config: &Config, sequencer: &Sequencer, sessions: &Sessions) -> anyhow::Result<Vec<u64>> {
    if fs::metadata(path)?.len() > REQUEST_BYTES_MAX {
        bail!("the request is too long");
    }
    let ask: Ask = serde_json::from_slice(&fs::read(path)?)?;
    if ask.until_ms() < now_ms() {
        bail!("the request is too old; ask again");
    }
    match ask {
        Ask::Device(request) => do_to_device(&request, sequencer, sessions).await,
        Ask::Keeping(request) => {
            let config = config.clone();
            let planned = tokio::task::spawn_blocking(move || erasure::plan(&config, &request, now_ms()));
            let entries = sequencer.keep(planned.await??).await?;
            info!(?entries, "request done");
            Ok(entries)
        }
    }
}

async fn do_to_device(request: &Request, sequencer: &Sequencer, sessions: &Sessions) -> anyhow::Result<Vec<u64>> {
    let mut entries = Vec::new();
    for deed in request.deeds(now_ms())? {
        let device = deed.device;
        entries.extend(sequencer.act(deed).await?);
        if request.verb == Verb::Release {
            sessions.pardon(&device);
        }
    }
    info!(device = %request.device, verb = ?request.verb, ?entries, "request done");
    Ok(entries)
}

fn answer(path: &Path, done: &Done) -> anyhow::Result<()> {
    // First the answer, then the request: a crash between the two has it done once more, which changes nothing.
    durable_file::write(&path.with_extension("done"), &serde_json::to_vec(done)?, Access::Secret)?;
    match fs::remove_file(path) {
        // The asker has given up.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(fs::remove_file(path.with_extension("done"))?),
        other => Ok(other?),
    }
}
