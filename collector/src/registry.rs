//! What every stream must know at once about devices: who is shut out, and whose keys are whose. Loaded from the log's
//! indexes at start and changed only after a commit.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use tokio::sync::watch;
use watchpost_proto::DeviceId;
use watchpost_proto::keys::{KeyId, PublicKey};

use crate::log_store::{self, DeviceFacts, LogStore, StoreError};

/// Devices and keys, shared by all streams.
#[derive(Debug, Default)]
pub struct Registry {
    devices: RwLock<HashMap<DeviceId, DeviceFacts>>,
    keys: RwLock<HashMap<(DeviceId, KeyId), PublicKey>>,
    changes: watch::Sender<()>,
}

/// What a group of entries changes here once it is durable.
#[derive(Debug, Default)]
pub struct Effects {
    /// Devices that stand otherwise now.
    pub devices: Vec<(DeviceId, DeviceFacts)>,
    /// Keys seen for the first time.
    pub keys: Vec<(DeviceId, PublicKey)>,
}

impl Registry {
    /// Loads everything from the log's indexes.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn load(store: &LogStore) -> Result<Self, StoreError> {
        let (mut devices, mut keys) = (HashMap::new(), HashMap::new());
        log_store::devices(store.connection(), |device, quarantined, revoked| {
            devices.insert(device, DeviceFacts { quarantined, revoked });
        })?;
        log_store::keys(store.connection(), |device, id, key| {
            keys.insert((device, id), key);
        })?;
        Ok(Self { devices: RwLock::new(devices), keys: RwLock::new(keys), changes: watch::Sender::default() })
    }

    /// How a device stands; a device never heard of stands well.
    pub fn device(&self, device: &DeviceId) -> DeviceFacts {
        self.devices.read().unwrap_or_else(PoisonError::into_inner).get(device).copied().unwrap_or_default()
    }

    /// A device's key, if the log introduced it.
    pub fn key(&self, device: &DeviceId, id: &KeyId) -> Option<PublicKey> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).get(&(*device, *id)).cloned()
    }

    /// Changes when any device comes to stand otherwise, so that its stream can end at once.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    /// Takes over what has become durable. Keys first: whoever hears of a change finds them.
    pub fn apply(&self, effects: Effects) {
        if !effects.devices.is_empty() {
            self.devices.write().unwrap_or_else(PoisonError::into_inner).extend(effects.devices);
            self.changes.send_replace(());
        }
        if !effects.keys.is_empty() {
            let keys = effects.keys.into_iter().map(|(device, key)| ((device, key.id()), key));
            self.keys.write().unwrap_or_else(PoisonError::into_inner).extend(keys);
        }
    }
}
