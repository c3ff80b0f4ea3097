//! The keys that open encrypted segments. Several are kept: what was encrypted to an earlier one still comes in.

use std::collections::HashMap;

use anyhow::Context as _;
use watchpost_proto::encryption::RecipientSecret;
use watchpost_proto::keys::KeyId;

use crate::config::Config;
use crate::{key_file, secrets};

/// The keys, by id.
#[derive(Debug, Default)]
pub struct Recipients(HashMap<KeyId, RecipientSecret>);

impl Recipients {
    /// Loads every key in the folder the configuration names.
    ///
    /// # Errors
    /// A file that is no such key, by name.
    pub fn load(config: &Config) -> anyhow::Result<Self> {
        let mut keys = HashMap::new();
        for path in secrets::encryption_files(config) {
            let key = key_file::read(&path, &config.keys.passphrase)?;
            let secret = RecipientSecret::from_pkcs8(key.der())
                .with_context(|| format!("{} is not an X25519 key for encryption", path.display()))?;
            keys.insert(secret.recipient().id(), secret);
        }
        Ok(Self(keys))
    }

    /// The key of an id, if it is held.
    pub fn get(&self, id: &KeyId) -> Option<&RecipientSecret> {
        self.0.get(id)
    }
}
