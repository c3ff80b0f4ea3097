//! What an operator does: always an entry of the log, durable before it takes effect, whether a collector is running or
//! not.
//!
//! There is one appender, whoever holds the data folder's lock. While `serve` holds it, a request goes to it as a
//! file in `data/requests/`: written whole under a random name, taken by the server within a quarter of a second,
//! answered by a file of the same name ending in `.done`. Where nobody holds the lock the command appends itself.
//! What was done is noted under that name in the same commit, so a request that outlives a crash on either side is answered
//! and not done twice.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::{info, warn};
use watchpost_proto::policy::Policy;
use watchpost_proto::v1::{DeviceVerb, ExpectedDevice, PolicyVerb, Rollout, TokenTerms};
use watchpost_proto::{DeviceId, Digest};

use crate::chain::{self, Deed};
use crate::clock::{Clock, now_ms};
use crate::config::Config;
use crate::data_lock::DataLock;
use crate::derive::Deriver;
use crate::durable_file::{self, Access};
use crate::enrolment::desk::{self, Act, DeskError, NewToken};
use crate::erasure;
use crate::log_store::{Appender, LogReader, LogStore, StoreError, requests};
use crate::my_data::links;
use crate::notices;
use crate::operators;
use crate::people::publish::{Brought, handed_over, publish};
use crate::people::shelf::Shelf;
use crate::policies;
use crate::registry::Effects;
use crate::sequencer::Sequencer;
use crate::sessions::Sessions;
use crate::{alerts, audit, names, notify, search, settings, succession, words};

/// How often the server looks for requests.
const LOOK: Duration = Duration::from_millis(250);
/// How often a command looks for the answer.
const LOOK_FOR_ANSWER: Duration = Duration::from_millis(50);
/// How long a command waits for a server that does not answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long where the server has to read the whole log first.
const PATIENCE_FOR_ERASURE: Duration = Duration::from_secs(1800);
/// How long where it has to check and keep a million rows.
const PATIENCE_FOR_ROSTER: Duration = Duration::from_secs(300);
/// Longest request read, in bytes: a list of some hundred thousand assets, or the largest policy in base64.
const REQUEST_BYTES_MAX: u64 = 48 * 1024 * 1024;

/// What can be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "kebab-case")]
pub enum What {
    /// Put a device, by its UUID, on the deny-list.
    Revoke {
        /// The device.
        device: String,
    },
    /// Hold what it sends out of what people see.
    Quarantine {
        /// The device.
        device: String,
    },
    /// Lift both.
    Release {
        /// The device.
        device: String,
        /// From now on only its latest key counts, and it is to come to a new one.
        #[serde(default)]
        rekey: bool,
        /// Its disk is put back at each start: earlier keys are not held against it.
        #[serde(default)]
        resets: bool,
    },
    /// Make a token.
    CreateToken {
        /// Digest of its credential, hexadecimal. The credential itself stays with whoever made it.
        token: String,
        /// The policy group it enrols into.
        group: String,
        /// The site it enrols into.
        site: String,
        /// When it ends, milliseconds since 1970.
        expires_ms: i64,
        /// How often it may be used.
        uses_max: u32,
        /// Who gets a certificate at once.
        terms: Terms,
    },
    /// Withdraw a token.
    RevokeToken {
        /// Digest of its credential, hexadecimal.
        token: String,
    },
    /// Replace the list of expected assets: asset, group, site.
    Expect {
        /// The list.
        devices: Vec<(String, String, String)>,
    },
    /// Note that certificates of the authority were put in place.
    Authority {
        /// DER, hexadecimal.
        certificates: Vec<String>,
    },
    /// Let devices of the queue enrol.
    Admit {
        /// Their codes.
        codes: Vec<String>,
    },
    /// Note acknowledgements of the notice that were collected elsewhere.
    ImportAcknowledgements {
        /// Account, version, when, and where it is kept.
        rows: Vec<notices::Row>,
    },
    /// Do not let devices of the queue enrol.
    Reject {
        /// Their codes.
        codes: Vec<String>,
    },
    /// Publish a roster that lies beside the requests.
    PublishRoster {
        /// Digest of its header, hexadecimal.
        roster: String,
    },
    /// Publish a policy.
    PublishPolicy {
        /// Its file, base64.
        policy: String,
        /// Devices of each ring and those before it, in hundredths of a percent.
        rings: Vec<u32>,
        /// How long a ring has to stand, milliseconds.
        soak_ms: u64,
        /// Where it is halted, devices that have it go back to its fallback.
        fall_back: bool,
    },
    /// Halt, resume or advance the policy of a group.
    ChangePolicy {
        /// The group.
        group: String,
        /// Which of them.
        change: PolicyChange,
    },
    /// Invite an operator, or change how one stands.
    Operate {
        /// What, and whom.
        deed: operators::Deed,
        /// Where from; empty on the collector itself.
        #[serde(default)]
        address: String,
    },
    /// A step with alerts.
    Alert {
        /// Which, and what is done.
        deed: alerts::desk::Deed,
    },
    /// Suppress what opens alerts.
    Suppress {
        /// What, and until when.
        what: alerts::desk::Suppress,
    },
    /// End a suppression before its time.
    EndSuppression {
        /// Its id, hexadecimal.
        suppression: String,
    },
    /// A step with a case.
    Case {
        /// Its id, hexadecimal; empty where it opens one.
        case: String,
        /// What is done.
        step: alerts::desk::CaseStep,
        /// Its title, or what is written beside the step.
        note: String,
    },
    /// Give a setting another value, or remove it.
    Set {
        /// Its path.
        name: String,
        /// JSON; empty to remove it.
        value: String,
    },
    /// A step with the link by which an employee sees what is about them.
    EmployeeLink {
        /// Their account.
        account: String,
        /// What is done.
        deed: links::Deed,
    },
    /// Note that somebody came in or looked at what is not everybody's.
    Access {
        /// What they did.
        access: audit::Access,
    },
    /// Take names of customers and rooms in, and others out.
    Name {
        /// Names that come in.
        added: Vec<names::Named>,
        /// Pseudonyms whose names go.
        removed: Vec<String>,
    },
    /// A step with a list of words, or with words of it.
    Words {
        /// The list.
        list: String,
        /// What is done.
        step: words::desk::Step,
    },
    /// Send a text to a target of notifications that says it is a test.
    TestNotification {
        /// The target, by name.
        target: String,
        /// What it is called in the log: 32 random bytes, hexadecimal.
        id: String,
    },
    /// Erase records, or forbid or allow that.
    Keep {
        /// What, and which.
        deed: erasure::Deed,
    },
}

impl What {
    /// A step with an operator, on the collector itself.
    #[must_use]
    pub fn of_operator(deed: operators::Deed) -> Self {
        Self::Operate { deed, address: String::new() }
    }
}

/// What becomes of a policy on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PolicyChange {
    /// It is offered to nobody who has not got it.
    Halt,
    /// It goes on.
    Resume,
    /// To the next ring now.
    Advance,
}

/// Who gets a certificate for a token at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Terms {
    /// Whoever shows it.
    Open,
    /// Assets of the list; others wait for approval.
    Listed,
    /// Nobody; all wait for approval.
    Approval,
}

/// A request of an operator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// What to do.
    #[serde(flatten)]
    pub what: What,
    /// Who asks.
    pub by: String,
    /// Why.
    pub reason: String,
    /// Nobody waits for it after this moment, milliseconds since 1970: it must not be done then, for it may undo what was
    /// decided since.
    #[serde(default)]
    pub until_ms: i64,
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
    /// What it asks about what is kept, if that is what it asks.
    fn keeping(&self) -> Option<erasure::Request> {
        let What::Keep { deed } = &self.what else { return None };
        Some(erasure::Request { deed: deed.clone(), by: self.by.clone(), reason: self.reason.clone() })
    }

    /// The roster it is to publish, if that is what it asks: read and checked before the writer has to wait for it.
    fn bring(&self, config: &Config) -> anyhow::Result<Option<Brought>> {
        let What::PublishRoster { roster } = &self.what else { return Ok(None) };
        let digest = Digest::from_hex(roster).context("the request names no roster")?;
        Brought::read(&handed_over(config, &digest), &config.tenant).map(Some)
    }

    fn patience(&self) -> Duration {
        match self.what {
            What::Keep { .. } => PATIENCE_FOR_ERASURE,
            What::PublishRoster { .. } => PATIENCE_FOR_ROSTER,
            _ => PATIENCE,
        }
    }

    /// Does it in the group under way, unless it was done under this name before; returns the log indexes of the entries made.
    fn perform_once(
        &self,
        name: &str,
        appender: &mut Appender<'_>,
        effects: &mut Effects,
        brought: Option<&Brought>,
        at_ms: i64,
    ) -> Result<Vec<u64>, DeskError> {
        if let Some(entries) = requests::done(appender.connection(), name)? {
            return Ok(entries);
        }
        let entries = self.perform(appender, effects, brought, at_ms)?;
        if !name.is_empty() {
            requests::note(appender.connection(), name, &entries, at_ms)?;
        }
        Ok(entries)
    }

    /// Does it in the group under way; returns the log indexes of the entries made. What would change nothing makes none.
    fn perform(
        &self,
        appender: &mut Appender<'_>,
        effects: &mut Effects,
        brought: Option<&Brought>,
        at_ms: i64,
    ) -> Result<Vec<u64>, DeskError> {
        let act = Act { by: &self.by, reason: &self.reason, at_ms };
        match &self.what {
            What::Revoke { device } => self.deeds(device, &[DeviceVerb::Revoke], appender, effects, at_ms),
            What::Quarantine { device } => self.deeds(device, &[DeviceVerb::Quarantine], appender, effects, at_ms),
            What::Release { device, rekey, resets } => {
                let keys = [(*rekey, DeviceVerb::Rekey), (*resets, DeviceVerb::Resets)];
                let keys = keys.into_iter().filter_map(|(asked, verb)| asked.then_some(verb));
                let verbs: Vec<_> = [DeviceVerb::Release, DeviceVerb::Readmit].into_iter().chain(keys).collect();
                self.deeds(device, &verbs, appender, effects, at_ms)
            }
            What::CreateToken { token, group, site, expires_ms, uses_max, terms } => {
                let terms = match terms {
                    Terms::Open => TokenTerms::Open,
                    Terms::Listed => TokenTerms::Listed,
                    Terms::Approval => TokenTerms::Approval,
                };
                let new = NewToken {
                    token: digest(token)?,
                    group: group.clone(),
                    site: site.clone(),
                    expires_ms: *expires_ms,
                    uses_max: *uses_max,
                    terms,
                };
                Ok(vec![desk::create_token(appender, &new, &act)?])
            }
            What::RevokeToken { token } => {
                Ok(desk::revoke_token(appender, &digest(token)?, &act)?.into_iter().collect())
            }
            What::Expect { devices } => {
                let devices = devices.iter().map(|(asset, group, site)| ExpectedDevice {
                    asset: asset.clone(),
                    group: group.clone(),
                    site: site.clone(),
                });
                desk::expect(appender, &devices.collect::<Vec<_>>(), &act)
            }
            What::Authority { certificates } => Ok(vec![desk::note_authority(appender, certificates, &act)?]),
            What::ImportAcknowledgements { rows } => notices::import(appender, rows, &act),
            What::Admit { codes } => desk::decide(appender, codes, true, &act),
            What::PublishPolicy { policy, rings, soak_ms, fall_back } => {
                let file = BASE64.decode(policy).map_err(|_| DeskError::Told("the policy is not base64".into()))?;
                let policy = Policy::read(&file).map_err(|error| DeskError::Told(error.to_string()))?;
                let rollout = Rollout { rings: rings.clone(), soak_ms: *soak_ms, fall_back: *fall_back };
                policies::publish(appender, effects, &policy, &rollout, &act)
            }
            What::ChangePolicy { group, change } => {
                let verb = match change {
                    PolicyChange::Halt => PolicyVerb::Halt,
                    PolicyChange::Resume => PolicyVerb::Resume,
                    PolicyChange::Advance => PolicyVerb::Advance,
                };
                policies::change(appender, effects, group, verb, &act)
            }
            What::Reject { codes } => desk::decide(appender, codes, false, &act),
            What::PublishRoster { .. } => {
                let brought = brought.ok_or_else(|| DeskError::Told("the roster was not handed over".into()))?;
                Ok(publish(appender, brought, &act)?.into_iter().collect())
            }
            What::Operate { deed, address } => {
                effects.forget |= deed.forgets();
                operators::deed::perform_from(appender, deed, address, &act)
            }
            What::Alert { deed } => alerts::desk::act(appender, deed, &act),
            What::Suppress { what } => Ok(vec![alerts::desk::suppress(appender, what, &act)?]),
            What::EndSuppression { suppression } => {
                Ok(vec![alerts::desk::end_suppression(appender, suppression, &act)?])
            }
            What::Case { case, step, note } => Ok(vec![alerts::desk::case(appender, case, step, note, &act)?]),
            What::Set { name, value } => Ok(vec![settings::set(appender, name, value, &act)?]),
            What::EmployeeLink { account, deed } => Ok(vec![links::act(appender, account, deed, &act)?]),
            What::Name { added, removed } => names::change(appender, effects, (added, removed), &act),
            What::Words { list, step } => words::desk::act(appender, effects, (list, step), &act),
            What::Access { access } => Ok(vec![audit::note(appender, access, &act)?]),
            What::TestNotification { target, id } => {
                Ok(notify::queue::plan_test(appender, id, target, &act)?.into_iter().collect())
            }
            // Has to be planned outside the group, and never comes here.
            What::Keep { .. } => Ok(Vec::new()),
        }
    }

    fn deeds(
        &self,
        device: &str,
        verbs: &[DeviceVerb],
        appender: &mut Appender<'_>,
        effects: &mut Effects,
        at_ms: i64,
    ) -> Result<Vec<u64>, DeskError> {
        let device =
            DeviceId::parse(device).ok_or_else(|| DeskError::Told(format!("{device:?} is not a device id")))?;
        let mut entries = Vec::new();
        for verb in verbs {
            let deed = Deed { device, verb: *verb, by: self.by.clone(), reason: self.reason.clone(), at_ms };
            entries.extend(chain::act(appender, &deed, effects)?);
        }
        Ok(entries)
    }
}

fn digest(text: &str) -> Result<Digest, DeskError> {
    Digest::from_hex(text).ok_or_else(|| DeskError::Told(format!("{text:?} is not the id of a token")))
}

/// Has a request done, by the running collector or by this process; returns when it is durable.
///
/// # Errors
/// Nothing was done, or nobody knows: the sentence says which.
pub fn have_done(config: &Config, request: &Request) -> anyhow::Result<Done> {
    let folder = requests_folder(config);
    let name = name()?;
    let mut handed_over: Option<HandedOver> = None;
    let give_up = Instant::now() + request.patience();
    loop {
        if let Some(done) = handed_over.as_ref().map(HandedOver::answer).transpose()?.flatten() {
            return Ok(done);
        }
        if let Some(_lock) = DataLock::take(&config.data_dir)? {
            // Whoever held the lock has ended; what it may have done already is not done again.
            drop(handed_over);
            return do_alone(config, request, &name);
        }
        if handed_over.is_none() {
            let until_ms = now_ms().saturating_add(request.patience().as_millis() as i64);
            handed_over = Some(HandedOver::write(&folder, &name, &Request { until_ms, ..request.clone() })?);
        }
        if Instant::now() > give_up {
            bail!("the running collector has not answered; look with device list or log verify whether it was done");
        }
        std::thread::sleep(LOOK_FOR_ANSWER);
    }
}

/// A name nobody else has.
fn name() -> anyhow::Result<String> {
    let mut random = [0_u8; 16];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    Ok(hex::encode(random))
}

/// A request in the folder; taken back when dropped.
struct HandedOver {
    request: PathBuf,
    answer: PathBuf,
}

impl HandedOver {
    fn write(folder: &Path, name: &str, request: &Request) -> anyhow::Result<Self> {
        durable_file::create_folder(folder, Access::Secret)?;
        let path = folder.join(format!("{name}.json"));
        durable_file::write(&path, &serde_json::to_vec(request)?, Access::Secret)?;
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
fn do_alone(config: &Config, request: &Request, name: &str) -> anyhow::Result<Done> {
    if !config.log_db().exists() {
        bail!("{} does not exist; run serve first", config.log_db().display());
    }
    if succession::found(config)?.is_some() {
        bail!("this folder was restored and its log is to be succeeded by another: run serve first");
    }
    let mut store = LogStore::open(&config.log_db(), &config.tenant, |_| {
        Err(StoreError::Unfit("it holds no log yet; run serve first".into()))
    })?;
    let entries = match request.keeping() {
        None => {
            let brought = request.bring(config)?;
            let mut effects = Effects::default();
            let entries = {
                let mut appender = store.begin()?;
                let entries = request.perform_once(name, &mut appender, &mut effects, brought.as_ref(), now_ms())?;
                if !appender.is_empty() {
                    appender.commit()?;
                }
                entries
            };
            if effects.forget {
                store.forget()?;
            }
            entries
        }
        Some(keeping) => {
            catch_up(config)?;
            let plan = erasure::plan(config, &keeping, now_ms())?;
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
    Deriver::open(&config.derived_db(), LogReader::open(&config.log_db())?)?.catch_up()?;
    Ok(search::Indexer::open(&config.search_db(), LogReader::open(&config.log_db())?)?.catch_up()?)
}

/// What a running collector does requests with.
#[derive(Debug)]
pub struct Desk {
    /// The collector's configuration.
    pub config: Config,
    /// The way to the log.
    pub sequencer: Sequencer,
    /// Which process speaks for which device.
    pub sessions: Arc<Sessions>,
    /// The roster handed on.
    pub shelf: Shelf,
    /// Entries derived so far.
    pub derived: watch::Receiver<u64>,
    /// The time.
    pub clock: Clock,
}

/// Takes requests until the collector stops.
///
/// What has to read the whole log goes beside the others, one at a time: a revocation does not wait for it.
pub async fn take_requests(desk: Arc<Desk>, mut stopping: watch::Receiver<bool>) {
    let folder = requests_folder(&desk.config);
    let mut long: Option<JoinHandle<()>> = None;
    loop {
        for path in pending(&folder) {
            if !is_long(&path) {
                desk.serve(&path).await;
            } else if long.as_ref().is_none_or(JoinHandle::is_finished) && path.exists() {
                let desk = Arc::clone(&desk);
                long = Some(tokio::spawn(async move { desk.serve(&path).await }));
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

/// Whether a request has to read the whole log. What cannot be read is answered at once.
fn is_long(path: &Path) -> bool {
    let read = || -> Option<Request> {
        let short = fs::metadata(path).ok()?.len() <= REQUEST_BYTES_MAX;
        short.then(|| serde_json::from_slice(&fs::read(path).ok()?).ok())?
    };
    read().is_some_and(|request| request.keeping().is_some())
}

impl Desk {
    async fn serve(&self, path: &Path) {
        let done = match self.take(path).await {
            Ok(entries) => Done { entries, error: None },
            Err(error) => Done { entries: Vec::new(), error: Some(format!("{error:#}")) },
        };
        if let Err(error) = answer(path, &done) {
            warn!(%error, "request not answered");
        }
    }

    async fn take(&self, path: &Path) -> anyhow::Result<Vec<u64>> {
        if fs::metadata(path)?.len() > REQUEST_BYTES_MAX {
            bail!("the request is too long");
        }
        let request: Request = serde_json::from_slice(&fs::read(path)?)?;
        // The asker goes by the system's clock.
        if request.until_ms < now_ms() {
            bail!("the request is too old; ask again");
        }
        let name = path.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        self.carry_out_once(&name, &request).await
    }

    /// Does what is asked; returns the log indexes of the entries made when they are durable.
    ///
    /// # Errors
    /// Nothing was done, and why.
    pub async fn carry_out(&self, request: &Request) -> anyhow::Result<Vec<u64>> {
        self.carry_out_once("", request).await
    }

    async fn carry_out_once(&self, name: &str, request: &Request) -> anyhow::Result<Vec<u64>> {
        if let Some(keeping) = request.keeping() {
            let (config, at_ms) = (self.config.clone(), self.clock.now_ms());
            let planned = tokio::task::spawn_blocking(move || erasure::plan(&config, &keeping, at_ms));
            let entries = self.sequencer.keep(planned.await??).await?;
            info!(?entries, "request done");
            return Ok(entries);
        }
        let (what, at_ms) = (request.what.clone(), self.clock.now_ms());
        let (asked, config) = (request.clone(), self.config.clone());
        let request = request.clone();
        let brought = tokio::task::spawn_blocking(move || asked.bring(&config)).await??;
        let name = name.to_owned();
        let work = move |appender: &mut Appender<'_>, effects: &mut Effects| match request.perform_once(
            &name,
            appender,
            effects,
            brought.as_ref(),
            at_ms,
        ) {
            Ok(entries) => Ok(Ok(entries)),
            Err(DeskError::Told(sentence)) => Ok(Err(sentence)),
            Err(DeskError::Store(error)) => Err(error),
        };
        let entries = self.sequencer.run(work).await?.map_err(anyhow::Error::msg)?;
        if let What::Release { device, .. } = &what
            && let Some(device) = DeviceId::parse(device)
        {
            self.sessions.pardon(&device);
        }
        if matches!(what, What::PublishRoster { .. }) {
            self.shelf.stock(&self.config).await?;
        }
        info!(?entries, "request done");
        Ok(entries)
    }
}

impl Desk {
    /// Waits until an entry shows in what people look at. False where that takes longer than they would wait.
    pub async fn shows(&self, log_index: u64) -> bool {
        let mut derived = self.derived.clone();
        let shown = derived.wait_for(|next| *next > log_index);
        matches!(tokio::time::timeout(PATIENCE, shown).await, Ok(Ok(_)))
    }
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
