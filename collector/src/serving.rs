//! What the collector shows to whoever connects, and how it is changed under way: certificate, roots, log key and the
//! rules of the handshake belong together and are replaced together. Streams keep what they began with.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use rustls::ServerConfig;
use time::OffsetDateTime;
use tokio::sync::watch;
use tracing::{info, warn};
use watchpost_proto::digest::sha256;
use watchpost_proto::v1::{LogKey, SignedLogKey};
use watchpost_proto::{Digest, identity, receipt};

use crate::authority::{self, Enrolling};
use crate::clock::Clock;
use crate::config::Config;
use crate::credentials::{self, Credentials};
use crate::recipients::{RecipientKeeper, Recipients};
use crate::tls;

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(2);

/// Earlier logs that are introduced; a device that was away for longer takes the present one for another.
const EARLIER_LOGS_MAX: usize = 16;

/// What is introduced to devices: the log's key, and those of the logs before it, the latest first.
#[derive(Clone, Debug)]
pub struct LogKeys {
    /// Of the present log.
    pub present: LogKey,
    /// Of the logs before it, the latest first.
    pub earlier: Vec<LogKey>,
}

/// Everything a new connection is met with.
#[derive(Debug)]
pub struct Serving {
    /// Own chain and key, and the roots.
    pub credentials: Credentials,
    /// The log key, introduced by the collector's key.
    pub log_key: SignedLogKey,
    /// Those of the logs before it, the latest first.
    pub earlier_logs: Vec<SignedLogKey>,
    /// The handshake of the uplink.
    pub uplink: Arc<ServerConfig>,
    /// The handshake of enrolment.
    pub enrolment: Arc<ServerConfig>,
    /// What issues certificates; none where that is done elsewhere.
    pub enrolling: Option<Enrolling>,
    /// What opens encrypted segments, now and from now on.
    pub recipients: watch::Receiver<Arc<Recipients>>,
}

impl Serving {
    /// Reads what belongs together.
    ///
    /// # Errors
    /// A file that cannot be used, by name.
    pub fn load(
        config: &Config,
        logs: &LogKeys,
        recipients: watch::Receiver<Arc<Recipients>>,
        clock: &Clock,
    ) -> anyhow::Result<Self> {
        let credentials = Credentials::load(config, clock)?;
        Ok(Self {
            enrolling: authority::load(config)?,
            recipients,
            log_key: receipt::sign_log_key(&logs.present, &credentials.key)?,
            earlier_logs: logs
                .earlier
                .iter()
                .take(EARLIER_LOGS_MAX)
                .map(|log_key| receipt::sign_log_key(log_key, &credentials.key))
                .collect::<Result<_, _>>()?,
            uplink: Arc::new(tls::uplink_config(&credentials, clock)?),
            enrolment: Arc::new(tls::enrolment_config(&credentials, clock)?),
            credentials,
        })
    }
}

/// Keeps what is served up to date: renews the collector's own certificate where it can, and takes over files that were
/// replaced. What cannot be used is told, and what was served before stays.
#[derive(Debug)]
pub struct Keeper {
    config: Config,
    clock: Clock,
    logs: LogKeys,
    serving: watch::Sender<Arc<Serving>>,
    recipients: RecipientKeeper,
    seen: Vec<Option<Digest>>,
    told: String,
}

impl Keeper {
    /// Loads what is served first. A certificate of the collector's own that has ended is renewed before.
    ///
    /// # Errors
    /// A file that cannot be used, by name.
    pub fn start(config: &Config, clock: &Clock, logs: LogKeys) -> anyhow::Result<Self> {
        let recipients = RecipientKeeper::start(config);
        let serving = watch::Sender::new(Arc::new(Serving::load(config, &logs, recipients.held(), clock)?));
        let (config, clock) = (config.clone(), clock.clone());
        Ok(Self { seen: stamp(&config), config, clock, logs, serving, recipients, told: String::new() })
    }

    /// What is served, now and from now on.
    pub fn serving(&self) -> watch::Receiver<Arc<Serving>> {
        self.serving.subscribe()
    }

    /// Looks once.
    pub fn look(&mut self) {
        self.recipients.look(&self.config);
        if let Err(error) = renew_own(&self.config, &self.clock) {
            self.tell_once(&error);
        }
        let now = stamp(&self.config);
        if now == self.seen {
            return;
        }
        match Serving::load(&self.config, &self.logs, self.recipients.held(), &self.clock) {
            Ok(fresh) => {
                info!("certificates taken over");
                self.serving.send_replace(Arc::new(fresh));
                self.seen = now;
            }
            // Two files that belong together are not replaced at one moment: it is tried again.
            Err(error) => self.tell_once(&error),
        }
    }

    fn tell_once(&mut self, error: &anyhow::Error) {
        let sentence = format!("{error:#}");
        if self.told != sentence {
            warn!("the certificates stay as they are: {sentence}");
            self.told = sentence;
        }
    }
}

/// Looks every other second until the collector stops.
pub async fn keep_up(keeper: Arc<Mutex<Keeper>>, mut stopping: watch::Receiver<bool>) {
    while tokio::time::timeout(LOOK, stopping.wait_for(|stop| *stop)).await.is_err() {
        let keeper = Arc::clone(&keeper);
        let looked = tokio::task::spawn_blocking(move || {
            keeper.lock().unwrap_or_else(PoisonError::into_inner).look();
        });
        // Only a panic ends it, and that is told by the runtime.
        let _ = looked.await;
    }
}

/// Digests of the files a connection is met with; none for one that cannot be read. Sizes and times would not do: two
/// certificates may have the same of both.
fn stamp(config: &Config) -> Vec<Option<Digest>> {
    let mut files = vec![config.certificate.clone(), config.key.clone(), config.root.clone(), config.links.clone()];
    if let Some(folder) = &config.enrolment.authority {
        files.extend(["devices.crt", "devices.key", "tenant.key"].map(|name| folder.join(name)));
    }
    files.into_iter().map(|path| std::fs::read(path).ok().map(|bytes| sha256(&[&bytes]))).collect()
}

/// A certificate of the collector's own in its last third is replaced by one for the same key, where the authority's key
/// is at hand.
///
/// # Errors
/// A file that does not fit or cannot be written.
pub fn renew_own(config: &Config, clock: &Clock) -> anyhow::Result<()> {
    let Some(folder) = &config.enrolment.authority else { return Ok(()) };
    let chain = credentials::certificates(&config.certificate)?;
    let leaf = chain.first().context("no certificate")?;
    let (not_before, not_after) = identity::validity_ms(leaf).context("not a certificate")?;
    let now_ms = clock.now_ms();
    // One that has not begun was made while the clock was ahead: agents would take it, the next start would not.
    let begun = now_ms >= not_before;
    if begun && not_after.saturating_sub(now_ms) > (not_after.saturating_sub(not_before)) / 3 {
        return Ok(());
    }
    let now = OffsetDateTime::from_unix_timestamp(now_ms / 1000)?;
    if authority::renew_collector(folder, leaf, config, now)? {
        info!("the collector's own certificate was renewed");
    }
    Ok(())
}
