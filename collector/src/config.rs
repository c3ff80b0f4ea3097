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
//! ```

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use time::Duration;
use watchpost_proto::identity;

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

    /// What is derived from the log; may be deleted while nothing runs.
    pub fn derived_db(&self) -> PathBuf {
        self.data_dir.join("derived.db")
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
        Ok(Config {
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
