//! From a token to an enrolled device: where tokens are found, what the device says of itself, and trying until it has
//! come about.

use std::io::Read as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use sysinfo::System;
use watchpost_proto::keys::SigningKey as _;
pub use watchpost_proto::token::Token;

use crate::clock::{Clock as _, SystemClock};
use crate::config::Config;
use crate::device::{DeviceError, DeviceFiles};
use crate::random;
use crate::uplink::{Ended, Member, Who, enrol};

/// Bytes of a file with a token.
pub const TOKEN_FILE_BYTES_MAX: u64 = 16 * 1024;
/// The environment variable that may hold a token.
const VARIABLE: &str = "WATCHPOST_TOKEN";
/// Characters of a key's id that people compare.
const CODE_CHARS: usize = 12;
/// Between two attempts where nobody answers.
const TRY_AGAIN: Duration = Duration::from_secs(60);

/// Where a token is.
#[derive(Clone, Debug)]
pub enum TokenSource {
    /// The environment.
    Environment,
    /// A file.
    File(PathBuf),
}

impl TokenSource {
    /// Where the environment or the configuration says a token is.
    pub fn find(config: &Config) -> Option<Self> {
        if std::env::var_os(VARIABLE).is_some_and(|value| !value.is_empty()) {
            return Some(Self::Environment);
        }
        config.enrolment.token_file.clone().map(Self::File)
    }

    /// Its text.
    ///
    /// # Errors
    /// What the system said, or a file that is none.
    pub fn read(&self) -> anyhow::Result<String> {
        match self {
            Self::Environment => std::env::var(VARIABLE).with_context(|| format!("{VARIABLE} is not text")),
            Self::File(path) => {
                let mut text = String::new();
                let file = std::fs::File::open(path).with_context(|| path.display().to_string())?;
                let read = file.take(TOKEN_FILE_BYTES_MAX).read_to_string(&mut text);
                read.with_context(|| path.display().to_string())?;
                ensure!(!text.trim().is_empty(), "{} is empty", path.display());
                Ok(text)
            }
        }
    }
}

/// The beginning of the key's id: the administrator sees the same in the queue.
///
/// # Errors
/// A key that cannot be made or read.
pub fn code(files: &DeviceFiles) -> Result<String, DeviceError> {
    let id = files.first_key()?.public().id().0.to_string();
    Ok(id.chars().take(CODE_CHARS).collect())
}

/// Asks once.
///
/// # Errors
/// [`Ended`].
pub async fn once(config: &Config, token: &Token) -> Result<Member, Ended> {
    enrol(token, &config.identity, &who(config), SystemClock::default().wall_ms()).await
}

/// Enrols a device that has a token and no certificate, however long it takes: an administrator may have to admit it
/// first, and the network may come later. `stop` is asked between attempts.
///
/// # Errors
/// A token that cannot be read. Nothing a collector says ends it.
pub fn until_enrolled(config: &Config, stop: &dyn Fn() -> bool) -> anyhow::Result<()> {
    let Some(source) = TokenSource::find(config) else { return Ok(()) };
    if config.identity.certificate.exists() {
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let code = code(&config.identity)?;
    while !stop() {
        // Read anew each time: a token that is over is replaced where it lies.
        let token = Token::parse(&source.read()?)?;
        let wait = match runtime.block_on(once(config, &token)) {
            Ok(member) => {
                tracing::info!(device = %member.device, group = member.membership.group, "enrolled");
                return Ok(());
            }
            Err(Ended::Refused { code: refusal, sentence, retry_after, .. }) => {
                tracing::warn!(refusal, sentence, code, "not enrolled yet");
                retry_after
            }
            Err(ended) => {
                tracing::warn!(reason = %ended, code, "not enrolled yet");
                TRY_AGAIN
            }
        };
        rest(wait.mul_f64(0.75 + random::fraction() / 2.0), stop);
    }
    Ok(())
}

fn rest(wait: Duration, stop: &dyn Fn() -> bool) {
    let until = std::time::Instant::now() + wait;
    while std::time::Instant::now() < until && !stop() {
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn who(config: &Config) -> Who {
    let asset = config.enrolment.asset.clone().or_else(serial_number).unwrap_or_default();
    Who { hostname: System::host_name().unwrap_or_default(), asset }
}

/// The machine's serial number, where the system tells it to this user. What makers leave as a placeholder is none.
fn serial_number() -> Option<String> {
    let serial = sysinfo::Product::serial_number().ok()?;
    let told = serial.trim();
    let placeholder = ["", "0", "none", "default string", "to be filled by o.e.m.", "system serial number"];
    (!placeholder.contains(&told.to_ascii_lowercase().as_str())).then(|| told.to_owned())
}
