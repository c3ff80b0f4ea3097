//! What every stream must know at once about devices: who is shut out, and whose keys are whose. Loaded from the log's
//! indexes at start and changed only after a commit.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use tokio::sync::watch;
use watchpost_proto::DeviceId;
use watchpost_proto::keys::{KeyId, PublicKey};

use crate::enrolment::rekey;
use crate::log_store::{self, DeviceFacts, LogStore, StoreError};

/// Devices and keys, shared by all streams.
#[derive(Debug, Default)]
pub struct Registry {
    devices: RwLock<HashMap<DeviceId, DeviceFacts>>,
    keys: RwLock<HashMap<(DeviceId, KeyId), PublicKey>>,
    /// The keys that count of devices that were told to come to a new one.
    accepted: RwLock<HashMap<DeviceId, Vec<KeyId>>>,
    changes: watch::Sender<()>,
}

/// What a group of entries changes here once it is durable.
#[derive(Debug, Default)]
pub struct Effects {
    /// Devices that stand otherwise now.
    pub devices: Vec<(DeviceId, DeviceFacts)>,
    /// Keys seen for the first time.
    pub keys: Vec<(DeviceId, PublicKey)>,
    /// Which keys count of a device; any, where none are named.
    pub accepted: Vec<(DeviceId, Option<Vec<KeyId>>)>,
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
        log_store::keys(store.connection(), |device, id, key, _| {
            keys.insert((device, id), key);
        })?;
        let mut rekeyed = Vec::new();
        log_store::rekeyed(store.connection(), |device| rekeyed.push(device))?;
        let mut accepted = HashMap::new();
        for device in rekeyed {
            if let Some(keys) = rekey::accepted(store.connection(), &device)? {
                accepted.insert(device, keys);
            }
        }
        let (devices, keys, accepted) = (RwLock::new(devices), RwLock::new(keys), RwLock::new(accepted));
        Ok(Self { devices, keys, accepted, changes: watch::Sender::default() })
    }

    /// How a device stands; a device never heard of stands well.
    pub fn device(&self, device: &DeviceId) -> DeviceFacts {
        self.devices.read().unwrap_or_else(PoisonError::into_inner).get(device).copied().unwrap_or_default()
    }

    /// A device's key, if the log introduced it.
    pub fn key(&self, device: &DeviceId, id: &KeyId) -> Option<PublicKey> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).get(&(*device, *id)).cloned()
    }

    /// Whether a device may not come with this key: it was told to come to a new one, and this is an earlier.
    pub fn shuts_out(&self, device: &DeviceId, id: &KeyId) -> bool {
        let accepted = self.accepted.read().unwrap_or_else(PoisonError::into_inner);
        accepted.get(device).is_some_and(|keys| !keys.contains(id)) && self.key(device, id).is_some()
    }

    /// Changes when any device comes to stand otherwise, so that its stream can end at once.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    /// Takes over what has become durable. Keys first: whoever hears of a change finds them.
    pub fn apply(&self, effects: Effects) {
        for (device, keys) in &effects.accepted {
            let mut accepted = self.accepted.write().unwrap_or_else(PoisonError::into_inner);
            match keys {
                Some(keys) => drop(accepted.insert(*device, keys.clone())),
                None => drop(accepted.remove(device)),
            }
        }
        if !effects.accepted.is_empty() {
            self.changes.send_replace(());
        }
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
