//! Where notifications go, as `collector.toml` says. Addresses and secrets stay in there and in files of their own: no
//! setting, entry or log line has them.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hyper::Uri;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::reach::{Range, Reach, ReachError};
use crate::key_file::{KeyFileError, check_private};

/// Targets of one collector; each has a connection and a place in memory of its own.
const TARGETS_MAX: usize = 32;
/// Longest file with a URL or a secret, in bytes.
const FILE_BYTES_MAX: u64 = 8 * 1024;
/// A secret that is shorter is guessed too easily.
const SECRET_BYTES_MIN: usize = 16;

/// What is configured of notifications.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NotifyConfig {
    /// Where people deal with alerts; texts lead there.
    pub console_url: Option<String>,
    /// Where notifications go.
    pub targets: Vec<Target>,
    /// How often and how long.
    pub limits: Limits,
}

impl NotifyConfig {
    /// Whether there is a target of this name.
    #[must_use]
    pub fn has(&self, target: &str) -> bool {
        self.targets.iter().any(|it| it.name == target)
    }
}

/// A place notifications go to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its name in routes and lists.
    pub name: String,
    /// What is there.
    pub kind: Kind,
    /// Where its address is written.
    pub url: UrlFrom,
    /// The secret texts are signed with; none for a robot.
    pub secret_file: Option<PathBuf>,
    /// Which addresses it may have.
    pub reach: Reach,
}

/// What is at a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A group robot of WeCom (企业微信群机器人).
    WecomRobot,
    /// Anything that takes JSON and checks a signature.
    Webhook,
}

/// Where the address of a target is written.
#[derive(Clone, PartialEq, Eq)]
pub enum UrlFrom {
    /// In the configuration.
    Here(Uri),
    /// Alone in a file that nobody else can read.
    File(PathBuf),
}

impl fmt::Debug for UrlFrom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Here(url) => write!(f, "Here({})", url.host().unwrap_or_default()),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
        }
    }
}

/// How often and how long things are tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How long looking up, connecting and TLS may take together.
    pub connect: Duration,
    /// How long the answer may take.
    pub answer: Duration,
    /// What a robot takes in [`Self::robot_window`]: 每个机器人发送的消息不能超过20条/分钟.
    pub robot_messages: usize,
    /// Counted from when a message was answered to when the next is sent, with a twentieth more for the way there.
    pub robot_window: Duration,
    /// A first retry comes within this time, and each further one within twice the time.
    pub retry_first: Duration,
    /// Until it is this long.
    pub retry_longest: Duration,
    /// Afterwards a notification is given up.
    pub give_up: Duration,
    /// How often it is looked whether something is to be told where nothing says when.
    pub look: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            answer: Duration::from_secs(15),
            robot_messages: 20,
            robot_window: Duration::from_secs(60),
            retry_first: Duration::from_secs(4),
            retry_longest: Duration::from_secs(300),
            give_up: Duration::from_secs(24 * 3600),
            look: Duration::from_secs(30),
        }
    }
}

/// `[notify]` as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawNotify {
    console_url: Option<String>,
    #[serde(default)]
    target: Vec<RawTarget>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTarget {
    name: String,
    kind: Kind,
    url: Option<String>,
    url_file: Option<PathBuf>,
    secret_file: Option<PathBuf>,
    #[serde(default)]
    allow_private: Vec<String>,
    #[serde(default)]
    insecure_loopback: bool,
}

impl RawNotify {
    pub(crate) fn check(self, folder: &Path) -> Result<NotifyConfig, String> {
        if self.target.len() > TARGETS_MAX {
            return Err(format!("notify.target: at most {TARGETS_MAX} targets"));
        }
        if let Some(url) = self.console_url.as_deref().filter(|url| !is_web_address(url)) {
            return Err(format!("notify: console_url = {url:?} is not the https address of the console"));
        }
        let targets = self.target.into_iter().map(|target| target.check(folder)).collect::<Result<Vec<_>, _>>()?;
        let mut names = BTreeSet::new();
        if let Some(twice) = targets.iter().find(|target| !names.insert(&target.name)) {
            return Err(format!("notify.target: two of them are named {:?}", twice.name));
        }
        Ok(NotifyConfig { console_url: self.console_url, targets, limits: Limits::default() })
    }
}

impl RawTarget {
    fn check(self, folder: &Path) -> Result<Target, String> {
        let Self { name, kind, url, url_file, secret_file, allow_private, insecure_loopback } = self;
        let wrong = |what: String| format!("notify.target {name:?}: {what}");
        if !is_name(&name) {
            return Err(wrong("a name is 1 to 64 characters of a-z, 0-9, - and _".into()));
        }
        let private = allow_private.iter().map(|range| Range::parse_private(range)).collect::<Result<Vec<_>, _>>();
        let private = private.map_err(|error| wrong(format!("allow_private: {error}")))?;
        if insecure_loopback && !private.is_empty() {
            return Err(wrong("insecure_loopback goes to this machine alone; leave allow_private out".into()));
        }
        let reach = Reach { private, insecure_loopback };
        let url = match (url, url_file) {
            (None, Some(file)) => UrlFrom::File(folder.join(file)),
            // Whoever has a robot's address can write in its group.
            (Some(_), None) if kind == Kind::WecomRobot => {
                return Err(wrong(
                    "a robot's address is its secret: write it alone into a file, and name that as url_file".into(),
                ));
            }
            (Some(url), None) => UrlFrom::Here(
                url.parse()
                    .ok()
                    .filter(|url| reach.check_url(url).is_ok())
                    .ok_or_else(|| wrong(ReachError::Url.to_string()))?,
            ),
            _ => return Err(wrong("write either url or url_file".into())),
        };
        match (kind, &secret_file) {
            (Kind::Webhook, None) => return Err(wrong("a webhook needs secret_file: what it gets is signed".into())),
            (Kind::WecomRobot, Some(_)) => {
                return Err(wrong("a robot checks no signature; leave secret_file out".into()));
            }
            _ => {}
        }
        let secret_file = secret_file.map(|file| folder.join(file));
        Ok(Target { name, kind, url, secret_file, reach })
    }
}

/// A name of a target or a route.
pub(crate) fn is_name(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_')
}

/// The console is on loopback without TLS, or elsewhere with it.
fn is_web_address(text: &str) -> bool {
    let uri: Option<Uri> = text.parse().ok();
    uri.is_some_and(|uri| {
        let host = uri.host().unwrap_or_default();
        let plain = !text.contains(['(', ')', '<', '>', '"', '@']) && uri.query().is_none();
        plain && (uri.scheme_str() == Some("https") || (uri.scheme_str() == Some("http") && is_this_machine(host)))
    })
}

fn is_this_machine(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Why a target cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// Its files cannot be read, or by too many.
    #[error(transparent)]
    File(#[from] KeyFileError),
    /// Its files hold something else.
    #[error("{}: {reason}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        reason: String,
    },
}

/// A target's address and secret, read.
pub struct Opened {
    /// Where it is.
    pub url: Uri,
    /// What texts are signed with; empty for a robot.
    pub secret: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened").field("host", &self.url.host()).finish_non_exhaustive()
    }
}

impl Target {
    /// The files that hold a secret of it.
    pub fn secret_files(&self) -> impl Iterator<Item = &Path> {
        let url = match &self.url {
            UrlFrom::File(path) => Some(path.as_path()),
            UrlFrom::Here(_) => None,
        };
        url.into_iter().chain(self.secret_file.as_deref())
    }

    /// Reads its address and secret.
    ///
    /// # Errors
    /// [`TargetError`], which says what to do.
    pub fn open(&self) -> Result<Opened, TargetError> {
        let url = match &self.url {
            UrlFrom::Here(url) => url.clone(),
            UrlFrom::File(path) => {
                let text = line_of(path)?;
                let url: Option<Uri> = std::str::from_utf8(&text).ok().and_then(|text| text.parse().ok());
                let sound = url.filter(|url| self.reach.check_url(url).is_ok());
                sound.ok_or_else(|| content(path, ReachError::Url.to_string()))?
            }
        };
        let secret = match &self.secret_file {
            None => Zeroizing::default(),
            Some(path) => {
                let secret = line_of(path)?;
                if secret.len() < SECRET_BYTES_MIN {
                    return Err(content(
                        path,
                        format!("a secret has at least {SECRET_BYTES_MIN} bytes in its first line"),
                    ));
                }
                secret
            }
        };
        Ok(Opened { url, secret })
    }
}

/// The first line of a file that nobody else can read.
fn line_of(path: &Path) -> Result<Zeroizing<Vec<u8>>, TargetError> {
    check_private(path)?;
    let unreadable = |error| KeyFileError::Unreadable { path: path.to_owned(), error };
    if std::fs::metadata(path).map_err(unreadable)?.len() > FILE_BYTES_MAX {
        return Err(content(path, format!("it is longer than {FILE_BYTES_MAX} bytes")));
    }
    let text = Zeroizing::new(std::fs::read(path).map_err(unreadable)?);
    let line = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
    Ok(Zeroizing::new(line.trim_ascii().to_vec()))
}

fn content(path: &Path, reason: String) -> TargetError {
    TargetError::Content { path: path.to_owned(), reason }
}
