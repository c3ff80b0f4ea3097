//! The keys that open encrypted segments. Several are kept: what was encrypted to an earlier one still comes in.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::watch;
use tracing::{error, info};
use watchpost_proto::Digest;
use watchpost_proto::digest::sha256;
use watchpost_proto::encryption::RecipientSecret;
use watchpost_proto::keys::KeyId;

use crate::config::Config;
use crate::{key_file, secrets};

/// The keys, by their files.
#[derive(Debug, Default)]
pub struct Recipients(BTreeMap<PathBuf, (KeyId, Arc<RecipientSecret>)>);

/// By what a change of a file is noticed: its place, its content and who may read it.
type Stamp = (PathBuf, Option<(Digest, Permissions)>);

impl Recipients {
    /// Loads every key in the folder the configuration names, and says of each file that is none why: one bad file must keep
    /// neither the others nor the collector from serving. Where it was read `before`, what was read stays.
    pub fn load(config: &Config, before: &Self) -> (Self, Vec<String>) {
        let (mut keys, mut bad) = (BTreeMap::new(), Vec::new());
        for path in secrets::encryption_files(config) {
            let read = read(config, &path).map(|secret| (secret.recipient().id(), Arc::new(secret)));
            let key = match read {
                Ok(key) => Some(key),
                Err(sentence) => {
                    bad.push(sentence);
                    before.0.get(&path).cloned()
                }
            };
            keys.extend(key.map(|key| (path, key)));
        }
        (Self(keys), bad)
    }

    /// The key of an id, if it is held.
    pub fn get(&self, id: &KeyId) -> Option<&RecipientSecret> {
        self.0.values().find(|(held, _)| held == id).map(|(_, secret)| &**secret)
    }
}

fn read(config: &Config, path: &Path) -> Result<RecipientSecret, String> {
    let key = key_file::read(path, &config.keys.passphrase).map_err(|error| error.to_string())?;
    let secret = RecipientSecret::from_pkcs8(key.der());
    secret.ok_or_else(|| format!("{} is not an X25519 key for encryption", path.display()))
}

/// Keeps the keys up to date, apart from certificates, which a bad file here must not hold up.
#[derive(Debug)]
pub(crate) struct RecipientKeeper {
    held: watch::Sender<Arc<Recipients>>,
    seen: Vec<Stamp>,
}

impl RecipientKeeper {
    /// Loads what there is.
    pub(crate) fn start(config: &Config) -> Self {
        let seen = stamps(config);
        Self { held: watch::Sender::new(Arc::new(loaded(config, &Recipients::default()))), seen }
    }

    /// The keys, now and from now on.
    pub(crate) fn held(&self) -> watch::Receiver<Arc<Recipients>> {
        self.held.subscribe()
    }

    /// Looks once. Opening a key under a passphrase takes its time: nothing is loaded again, and nothing told, until
    /// something is another.
    pub(crate) fn look(&mut self, config: &Config) {
        let now = stamps(config);
        if now == self.seen {
            return;
        }
        self.seen = now;
        let fresh = loaded(config, &self.held.borrow());
        info!(keys = fresh.0.len(), "encryption keys taken over");
        self.held.send_replace(Arc::new(fresh));
    }
}

fn loaded(config: &Config, before: &Recipients) -> Recipients {
    let (recipients, bad) = Recipients::load(config, before);
    for sentence in bad {
        error!(
            "a file of an encryption key cannot be used; unless it was read before, what is encrypted to it is refused: {sentence}"
        );
    }
    recipients
}

fn stamps(config: &Config) -> Vec<Stamp> {
    let stamp = |path: &Path| {
        let bytes = fs::read(path).ok()?;
        Some((sha256(&[&bytes]), fs::metadata(path).ok()?.permissions()))
    };
    let passphrase = config.keys.passphrase.file().map(Path::to_owned);
    secrets::encryption_files(config).into_iter().chain(passphrase).map(|path| (path.clone(), stamp(&path))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_file_is_left_out_and_nothing_is_loaded_again_until_something_changes() {
        let dir = tempfile::tempdir().unwrap();
        let text = "listen = \"127.0.0.1:7443\"\ntenant = \"acme\"\ndata_dir = \"data\"\n\
            [identity]\ncertificate = \"a.crt\"\nkey = \"a.key\"\nroot = \"root.crt\"\n";
        let config = Config::parse(text, &dir.path().join("collector.toml")).unwrap();
        let folder = &config.keys.encryption;
        fs::create_dir_all(folder).unwrap();
        let (secret, der) = RecipientSecret::generate([1; 32]).unwrap();
        let id = secret.recipient().id();
        key_file::rewrite(&folder.join("a.key"), &key_file::PrivateKey::from_pkcs8(&der), None).unwrap();
        fs::write(folder.join("bad.key"), "no key").unwrap();
        let (recipients, bad) = Recipients::load(&config, &Recipients::default());
        assert!(recipients.get(&id).is_some(), "the others serve");
        assert!(bad.len() == 1 && bad[0].contains("bad.key"), "{bad:?}");

        let mut keeper = RecipientKeeper::start(&config);
        let mut held = keeper.held();
        keeper.look(&config);
        assert!(!held.has_changed().unwrap(), "a bad file alone is no change");
        fs::rename(folder.join("a.key"), dir.path().join("away")).unwrap();
        keeper.look(&config);
        assert!(held.has_changed().unwrap() && held.borrow_and_update().get(&id).is_none());
        fs::rename(dir.path().join("away"), folder.join("a.key")).unwrap();
        keeper.look(&config);
        assert!(held.borrow_and_update().get(&id).is_some());
        fs::write(folder.join("a.key"), "being replaced").unwrap();
        keeper.look(&config);
        assert!(held.borrow_and_update().get(&id).is_some(), "what was read stays while its file is there");
        keeper.look(&config);
        assert!(!held.has_changed().unwrap());
    }
}
