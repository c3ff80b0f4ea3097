//! `collector.toml`: what a person may write, and what the collector works with.
//!
//! ```toml
//! listen = "127.0.0.1:7443"
//! tenant = "acme"
//! data_dir = "data"                 # relative to this file's folder
//! [identity]
//! certificate = "pki/collector.crt" # leaf first, then the intermediate
//! key = "pki/collector.key"
//! root = "pki/root.crt"             # every root that is trusted
//! links = "pki/links.crt"           # by which an earlier root vouches for a later one
//! [enrolment]
//! authority = "pki"                 # folder of the keys that issue; without it nobody can enrol here
//! addresses = ["collector.example:7443"]  # where tokens send devices; without it, to `listen`
//! certificate_days = 30
//! root = "pki/root.crt"
//! [keys]                            # how private keys are kept; all of it may be left out
//! passphrase_file = "/run/secrets/watchpost"  # opens encrypted keys
//! encryption = "encryption"         # folder of the keys that open encrypted segments
//! [log]                             # what others are shown of the log; all of it may be left out
//! publish = "www/log"               # static files: tiles and checkpoint
//! http = "127.0.0.1:7480"           # the same over plain HTTP, on loopback alone
//! [[log.witness]]
//! key = "witness.example/w1+2d3b0e1c+BAbc…"
//! url = "https://witness.example/"
//! [console]                         # what operators come in by; without it there is no API
//! listen = "127.0.0.1:7481"
//! certificate = "console.crt"       # leaf first; without it only on loopback
//! key = "console.key"
//! [notify]                          # who is told of alerts; docs/notifications.md
//! console_url = "https://watchpost.example"
//! [[notify.target]]
//! name = "duty"
//! kind = "wecom-robot"              # or "webhook", with secret_file
//! url_file = "secrets/duty-robot"
//! ```

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use hyper::Uri;
use serde::Deserialize;
use time::Duration;
use watchpost_proto::identity;
use watchpost_proto::witness::WitnessKey;

use crate::key_file::Passphrase;
use crate::notify::target::{NotifyConfig, RawNotify};
use crate::pki::DEVICE_LIFE;

/// The configuration after every check; all paths are usable as they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The address and port to listen on; port 0 lets the system choose.
    pub listen: SocketAddr,
    /// The tenant served: `[a-z0-9-]{1,32}`.
    pub tenant: String,
    /// Where `log.db` and `derived.db` live.
    pub data_dir: PathBuf,
    /// The collector's certificate chain, PEM, leaf first.
    pub certificate: PathBuf,
    /// The leaf's private key, PKCS#8 PEM.
    pub key: PathBuf,
    /// The roots of which every peer's chain must lead to one, PEM.
    pub root: PathBuf,
    /// Certificates by which an earlier root vouches for a later one, PEM; the file need not exist.
    pub links: PathBuf,
    /// How devices enrol.
    pub enrolment: EnrolmentConfig,
    /// How private keys are kept.
    pub keys: KeysConfig,
    /// What others are shown of the log.
    pub log: LogConfig,
    /// What operators come in by.
    pub console: Option<ConsoleConfig>,
    /// Who is told of alerts.
    pub notify: NotifyConfig,
}

/// What operators come in by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsoleConfig {
    /// The address and port to listen on; port 0 lets the system choose.
    pub listen: SocketAddr,
    /// The certificate chain and its key, PEM; without them it is plain HTTP on loopback.
    pub tls: Option<(PathBuf, PathBuf)>,
}

/// How private keys are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeysConfig {
    /// Opens encrypted keys.
    pub passphrase: Passphrase,
    /// Folder of the keys that open encrypted segments.
    pub encryption: PathBuf,
    /// The file names that folder, which must exist then.
    pub is_encryption_named: bool,
}

/// How devices enrol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnrolmentConfig {
    /// Folder of the keys that issue certificates; without it nobody can enrol here.
    pub authority: Option<PathBuf>,
    /// Where tokens send devices, each `host:port`.
    pub addresses: Vec<String>,
    /// How long a device's certificate lasts.
    pub certificate_life: Duration,
}

/// What others are shown of the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogConfig {
    /// Folder for tiles and checkpoints as static files.
    pub publish: Option<PathBuf>,
    /// Loopback address on which they are served over plain HTTP.
    pub http: Option<SocketAddr>,
    /// Who is asked to cosign checkpoints.
    pub witnesses: Vec<Witness>,
}

/// A witness of the log's growth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Witness {
    /// Its name and public key.
    pub key: WitnessKey,
    /// Where it is asked; `add-checkpoint` is added to it.
    pub url: Uri,
}

/// Why a configuration cannot be used. Each names the file.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{}: {source}", path.display())]
    Unreadable {
        /// The configuration file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Not TOML, a key is missing, or a key is unknown; the text points at the line.
    #[error("{}: {source}", path.display())]
    Syntax {
        /// The configuration file.
        path: PathBuf,
        /// What the parser said, with line and column.
        source: Box<toml::de::Error>,
    },
    /// A value that cannot be.
    #[error("{}: {reason}", path.display())]
    Value {
        /// The configuration file.
        path: PathBuf,
        /// Which value, and what it should be.
        reason: String,
    },
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    listen: String,
    tenant: String,
    data_dir: PathBuf,
    identity: RawIdentity,
    #[serde(default)]
    enrolment: RawEnrolment,
    #[serde(default)]
    keys: RawKeys,
    #[serde(default)]
    log: RawLog,
    console: Option<RawConsole>,
    #[serde(default)]
    notify: RawNotify,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawConsole {
    listen: String,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawKeys {
    passphrase_file: Option<PathBuf>,
    encryption: Option<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLog {
    publish: Option<PathBuf>,
    http: Option<String>,
    #[serde(default)]
    witness: Vec<RawWitness>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawWitness {
    key: String,
    url: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawIdentity {
    certificate: PathBuf,
    key: PathBuf,
    root: PathBuf,
    links: Option<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawEnrolment {
    authority: Option<PathBuf>,
    #[serde(default)]
    addresses: Vec<String>,
    certificate_days: Option<i64>,
}

impl Config {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// [`ConfigError`]; nothing is guessed.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text =
            fs::read_to_string(path).map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
        Self::parse(&text, path)
    }

    /// Parses the text of the file at `path`; paths in it are relative to that file's folder.
    ///
    /// # Errors
    /// [`ConfigError`], but for reading.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        // Editors on Windows put a byte order mark first; TOML knows none.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let raw: Raw = toml::from_str(text)
            .map_err(|source| ConfigError::Syntax { path: path.to_owned(), source: Box::new(source) })?;
        raw.check(path)
    }

    /// The append-only log.
    pub fn log_db(&self) -> PathBuf {
        self.data_dir.join("log.db")
    }

    /// The key of the log.
    pub fn log_key(&self) -> PathBuf {
        self.data_dir.join("log.key")
    }

    /// The key of its successor, while that takes its place.
    pub fn next_log_key(&self) -> PathBuf {
        self.data_dir.join("log.key.next")
    }

    /// What is derived from the log; may be deleted while nothing runs.
    pub fn derived_db(&self) -> PathBuf {
        self.data_dir.join("derived.db")
    }

    /// What findings are found by; may be deleted while nothing runs.
    pub fn search_db(&self) -> PathBuf {
        self.data_dir.join("search.db")
    }
}

impl Raw {
    fn check(self, path: &Path) -> Result<Config, ConfigError> {
        let value = |reason: String| ConfigError::Value { path: path.to_owned(), reason };
        let listen = self.listen.parse().map_err(|_| {
            value(format!("listen = {:?} is not an address with a port, like \"0.0.0.0:7443\"", self.listen))
        })?;
        if !identity::tenant_is_valid(&self.tenant) {
            return Err(value(format!("tenant = {:?} is not 1 to 32 characters of a-z, 0-9 and -", self.tenant)));
        }
        let days = self.enrolment.certificate_days.unwrap_or(DEVICE_LIFE.whole_days());
        if !(1..=366).contains(&days) {
            return Err(value(format!("certificate_days = {days} is not between 1 and 366")));
        }
        if let Some(wrong) = self.enrolment.addresses.iter().find(|address| !is_address(address)) {
            return Err(value(format!("addresses holds {wrong:?}, which is not like \"collector.example:7443\"")));
        }
        let folder = path.parent().unwrap_or(Path::new(""));
        let root = folder.join(self.identity.root);
        let log = self.log.check(folder).map_err(value)?;
        let console = self.console.map(|console| console.check(folder)).transpose().map_err(value)?;
        let notify = self.notify.check(folder).map_err(value)?;
        let keys = KeysConfig {
            passphrase: Passphrase::new(self.keys.passphrase_file.map(|file| folder.join(file))),
            is_encryption_named: self.keys.encryption.is_some(),
            encryption: folder.join(self.keys.encryption.unwrap_or_else(|| "encryption".into())),
        };
        Ok(Config {
            log,
            console,
            notify,
            keys,
            listen,
            tenant: self.tenant,
            data_dir: folder.join(self.data_dir),
            certificate: folder.join(self.identity.certificate),
            key: folder.join(self.identity.key),
            links: self.identity.links.map_or_else(|| root.with_file_name("links.crt"), |links| folder.join(links)),
            root,
            enrolment: EnrolmentConfig {
                authority: self.enrolment.authority.map(|authority| folder.join(authority)),
                addresses: self.enrolment.addresses,
                certificate_life: Duration::days(days),
            },
        })
    }
}

/// Whether this is a host and a port.
pub(crate) fn is_address(text: &str) -> bool {
    let parts = text.rsplit_once(':');
    parts.is_some_and(|(host, port)| {
        !host.is_empty() && !host.contains(char::is_whitespace) && port.parse::<u16>().is_ok_and(|port| port != 0)
    })
}

/// Witnesses of one log; each costs a request for every checkpoint and a line on it.
const WITNESSES_MAX: usize = 8;

impl RawLog {
    fn check(self, folder: &Path) -> Result<LogConfig, String> {
        let http = self.http.map(|text| {
            let address: Option<SocketAddr> = text.parse().ok();
            address.filter(|address| address.ip().is_loopback()).ok_or_else(|| {
                format!(
                    "log.http = {text:?} is not a loopback address with a port, like \"127.0.0.1:7480\"; put a web \
                     server before it to show the log to others"
                )
            })
        });
        if self.witness.len() > WITNESSES_MAX {
            return Err(format!("log.witness: at most {WITNESSES_MAX} witnesses"));
        }
        Ok(LogConfig {
            publish: self.publish.map(|path| folder.join(path)),
            http: http.transpose()?,
            witnesses: self.witness.into_iter().map(RawWitness::check).collect::<Result<_, _>>()?,
        })
    }
}

impl RawConsole {
    fn check(self, folder: &Path) -> Result<ConsoleConfig, String> {
        let listen: SocketAddr = self.listen.parse().map_err(|_| {
            format!("console.listen = {:?} is not an address with a port, like \"127.0.0.1:7481\"", self.listen)
        })?;
        let tls = match (self.certificate, self.key) {
            (Some(certificate), Some(key)) => Some((folder.join(certificate), folder.join(key))),
            (None, None) => None,
            _ => return Err("console: certificate and key belong together; give both or neither".into()),
        };
        if tls.is_none() && !listen.ip().is_loopback() {
            return Err(format!(
                "console.listen = {listen} can be reached from elsewhere, and passwords would cross the network in \
                 plain: give console.certificate and console.key, or listen on 127.0.0.1"
            ));
        }
        Ok(ConsoleConfig { listen, tls })
    }
}

impl RawWitness {
    fn check(self) -> Result<Witness, String> {
        let key = WitnessKey::parse(&self.key)
            .ok_or_else(|| format!("log.witness: key = {:?} is not the vkey of a cosigner, name+hash+key", self.key))?;
        let url: Uri = self.url.parse().map_err(|_| format!("log.witness: url = {:?} is not a URL", self.url))?;
        let host = url.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        let is_local = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        match url.scheme_str() {
            Some("https") if !host.is_empty() => {}
            Some("http") if is_local => {}
            _ => return Err(format!("log.witness: url = {:?} is not https; http only goes to this machine", self.url)),
        }
        Ok(Witness { key, url })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOUND: &str = "listen = \"127.0.0.1:7443\"\ntenant = \"acme\"\ndata_dir = \"data\"\n\
        [identity]\ncertificate = \"a.crt\"\nkey = \"/etc/a.key\"\nroot = \"root.crt\"\n";

    fn parse(text: &str) -> Result<Config, String> {
        Config::parse(text, Path::new("/srv/w/collector.toml")).map_err(|error| error.to_string())
    }

    #[test]
    fn paths_are_relative_to_the_file_unless_absolute() {
        let config = parse(SOUND).unwrap();
        assert_eq!(config.certificate, Path::new("/srv/w/a.crt"));
        assert_eq!(config.key, Path::new("/etc/a.key"));
        assert_eq!(config.log_db(), Path::new("/srv/w/data/log.db"));
        assert_eq!(parse(&format!("\u{feff}{SOUND}")).unwrap(), config);
    }

    #[test]
    fn where_keys_and_their_passphrase_lie_is_relative_to_the_file() {
        assert_eq!(parse(SOUND).unwrap().keys.encryption, Path::new("/srv/w/encryption"));
        let keys = parse(&format!("{SOUND}[keys]\npassphrase_file = \"p\"\nencryption = \"/e\"\n")).unwrap().keys;
        let expected = KeysConfig {
            passphrase: Passphrase::new(Some("/srv/w/p".into())),
            encryption: "/e".into(),
            is_encryption_named: true,
        };
        assert_eq!(keys, expected);
    }

    #[test]
    fn what_is_shown_of_the_log_is_shown_on_loopback_and_asked_over_https() {
        let key = WitnessKey::new("witness.example/w1", [7; 32]).unwrap().to_string();
        let witness = |url: &str| format!("[[log.witness]]\nkey = \"{key}\"\nurl = \"{url}\"\n");
        let with = |log: &str| parse(&format!("{SOUND}[log]\n{log}"));
        assert_eq!(parse(SOUND).unwrap().log, LogConfig::default());
        let log = with("publish = \"www\"\nhttp = \"[::1]:0\"\n").unwrap().log;
        assert_eq!((log.publish.unwrap(), log.http.unwrap().port()), (PathBuf::from("/srv/w/www"), 0));
        for address in ["0.0.0.0:80", "192.168.1.1:80", "localhost:80", "127.0.0.1", "[::]:80"] {
            assert!(
                with(&format!("http = \"{address}\"\n")).unwrap_err().contains("not a loopback address"),
                "{address}"
            );
        }
        for url in ["https://witness.example/", "https://w.example:8443/a", "http://127.0.0.1:1/", "http://[::1]:1"] {
            assert_eq!(with(&witness(url)).unwrap().log.witnesses.len(), 1, "{url}");
        }
        for url in ["http://witness.example/", "ftp://127.0.0.1/", "witness.example", "https:///", ""] {
            assert!(with(&witness(url)).unwrap_err().contains("log.witness"), "{url}");
        }
        assert!(with(&witness("https://w.example/").replace("+", "-")).unwrap_err().contains("vkey"));
        assert!(with(&witness("https://w.example/").repeat(9)).unwrap_err().contains("at most 8"));
    }

    #[test]
    fn operators_come_in_over_tls_or_on_this_machine() {
        let with = |console: &str| parse(&format!("{SOUND}[console]\n{console}"));
        assert_eq!(parse(SOUND).unwrap().console, None);
        let plain = with("listen = \"[::1]:0\"\n").unwrap().console.unwrap();
        assert_eq!(plain, ConsoleConfig { listen: "[::1]:0".parse().unwrap(), tls: None });
        for address in ["0.0.0.0:443", "192.168.1.1:7481", "[::]:7481"] {
            let error = with(&format!("listen = \"{address}\"\n")).unwrap_err();
            assert!(error.contains("console.certificate"), "{error}");
            let tls = with(&format!("listen = \"{address}\"\ncertificate = \"c.crt\"\nkey = \"c.key\"\n"));
            assert_eq!(tls.unwrap().console.unwrap().tls, Some(("/srv/w/c.crt".into(), "/srv/w/c.key".into())));
        }
        assert!(with("listen = \"127.0.0.1:1\"\nkey = \"c.key\"\n").unwrap_err().contains("both or neither"));
        assert!(with("listen = \"localhost\"\n").unwrap_err().contains("not an address"));
    }

    #[test]
    fn a_mistake_is_named_with_file_and_place() {
        let cases = [
            (SOUND.replace("tenant = \"acme\"", "tenant = \"Acme\""), "Acme"),
            (SOUND.replace("127.0.0.1:7443", "localhost"), "localhost"),
            (SOUND.replace("tenant", "tenent"), "tenent"),
            (SOUND.replace("root = ", "roots = "), "roots"),
            (SOUND.replace("data_dir = \"data\"\n", ""), "data_dir"),
        ];
        for (text, expected) in cases {
            let error = parse(&text).unwrap_err();
            assert!(error.contains(expected) && error.contains("collector.toml"), "{error}");
        }
        assert!(parse(&SOUND.replace("tenant", "tenent")).unwrap_err().contains("line 2"));
    }
}
