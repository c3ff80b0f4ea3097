//! What the collector shows to whoever connects, and how it is changed under way: certificate, roots, log key and the
//! rules of the handshake belong together and are replaced together. Streams keep what they began with.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use rustls::ServerConfig;
use time::OffsetDateTime;
use tokio::sync::watch;
use tracing::{info, warn};
use watchpost_proto::v1::{LogKey, SignedLogKey};
use watchpost_proto::{identity, receipt};

use crate::authority::{self, Enrolling};
use crate::clock::Clock;
use crate::config::Config;
use crate::credentials::Credentials;
use crate::tls;

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(2);

/// Everything a new connection is met with.
#[derive(Debug)]
pub struct Serving {
    /// Own chain and key, and the roots.
    pub credentials: Credentials,
    /// The log key, introduced by the collector's key.
    pub log_key: SignedLogKey,
    /// The handshake of the uplink.
    pub uplink: Arc<ServerConfig>,
    /// The handshake of enrolment.
    pub enrolment: Arc<ServerConfig>,
    /// What issues certificates; none where that is done elsewhere.
    pub enrolling: Option<Enrolling>,
}

impl Serving {
    /// Reads what belongs together.
    ///
    /// # Errors
    /// A file that cannot be used, by name.
    pub fn load(config: &Config, log_key: &LogKey, clock: &Clock) -> anyhow::Result<Self> {
        let credentials = Credentials::load(config, clock)?;
        Ok(Self {
            enrolling: authority::load(config)?,
            log_key: receipt::sign_log_key(log_key, &credentials.key)?,
            uplink: Arc::new(tls::uplink_config(&credentials, clock)?),
            enrolment: Arc::new(tls::enrolment_config(&credentials, clock)?),
            credentials,
        })
    }
}

/// Keeps what is served up to date until the receivers are gone: renews the collector's own certificate where it can,
/// and takes over files that were replaced. What cannot be used is told, and what was served before stays.
pub async fn keep_up(config: Config, clock: Clock, log_key: LogKey, serving: watch::Sender<Arc<Serving>>) {
    let mut seen = stamp(&config);
    let mut told = String::new();
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = serving.closed() => return,
        }
        let current = Arc::clone(&serving.borrow());
        if let Err(error) = renew_own(&config, &current.credentials, &clock) {
            tell_once(&mut told, format!("{error:#}"));
        }
        let now = stamp(&config);
        if now == seen {
            continue;
        }
        match Serving::load(&config, &log_key, &clock) {
            Ok(fresh) => {
                info!("certificates taken over");
                serving.send_replace(Arc::new(fresh));
                seen = now;
            }
            // Two files that belong together are not replaced at one moment: it is tried again.
            Err(error) => tell_once(&mut told, format!("{error:#}")),
        }
    }
}

fn tell_once(told: &mut String, sentence: String) {
    if *told != sentence {
        warn!("the certificates stay as they are: {sentence}");
        *told = sentence;
    }
}

/// Sizes and times of the files a connection is met with.
fn stamp(config: &Config) -> Vec<Option<(u64, SystemTime)>> {
    let mut files = vec![config.certificate.clone(), config.key.clone(), config.root.clone(), config.links.clone()];
    if let Some(folder) = &config.enrolment.authority {
        files.extend(["devices.crt", "devices.key", "tenant.key"].map(|name| folder.join(name)));
    }
    let stamp = |path: PathBuf| {
        let file = std::fs::metadata(path).ok()?;
        Some((file.len(), file.modified().ok()?))
    };
    files.into_iter().map(stamp).collect()
}

/// A certificate in its last third is replaced by one for the same key, where the authority's key is at hand.
fn renew_own(config: &Config, credentials: &Credentials, clock: &Clock) -> anyhow::Result<()> {
    let leaf = credentials.chain.first().context("no certificate")?;
    let (not_before, not_after) = identity::validity_ms(leaf).context("not a certificate")?;
    let now_ms = clock.now_ms();
    if not_after.saturating_sub(now_ms) > (not_after.saturating_sub(not_before)) / 3 {
        return Ok(());
    }
    let Some(folder) = &config.enrolment.authority else { return Ok(()) };
    let now = OffsetDateTime::from_unix_timestamp(now_ms / 1000)?;
    if authority::renew_collector(folder, credentials, &config.certificate, now)? {
        info!("the collector's own certificate was renewed");
    }
    Ok(())
}
