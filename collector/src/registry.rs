//! What every stream must know at once about devices: who is shut out, and whose keys are whose. Loaded from the log's
//! indexes at start and changed only after a commit.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::watch;
use watchpost_proto::DeviceId;
use watchpost_proto::keys::{KeyId, PublicKey};
use watchpost_proto::policy::GROUP_DEFAULT;

use crate::enrolment::rekey;
use crate::log_store::{self, DeviceFacts, LogStore, RolloutFacts, StoreError};

/// Devices and keys, shared by all streams.
#[derive(Debug, Default)]
pub struct Registry {
    devices: RwLock<HashMap<DeviceId, DeviceFacts>>,
    keys: RwLock<HashMap<(DeviceId, KeyId), PublicKey>>,
    groups: RwLock<HashMap<DeviceId, String>>,
    rollouts: watch::Sender<Arc<Vec<RolloutFacts>>>,
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
    /// Devices and the groups they have enrolled into.
    pub groups: Vec<(DeviceId, String)>,
    /// How far policies have come, all of them, where any has come further.
    pub rollouts: Option<Vec<RolloutFacts>>,
    /// Which keys count of a device; any, where none are named.
    pub accepted: Vec<(DeviceId, Option<Vec<KeyId>>)>,
    /// Something was erased, and what the write-ahead log still has of it is to be overwritten.
    pub forget: bool,
}

impl Registry {
    /// Loads everything from the log's indexes.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn load(store: &LogStore) -> Result<Self, StoreError> {
        let (mut devices, mut keys, mut groups) = (HashMap::new(), HashMap::new(), HashMap::new());
        log_store::devices(store.connection(), |device, quarantined, revoked| {
            devices.insert(device, DeviceFacts { quarantined, revoked });
        })?;
        log_store::keys(store.connection(), |device, id, key, _| {
            keys.insert((device, id), key);
        })?;
        log_store::groups(store.connection(), |device, group| {
            groups.insert(device, group);
        })?;
        let rollouts = log_store::rollouts(store.connection())?;
        let mut rekeyed = Vec::new();
        log_store::rekeyed(store.connection(), |device| rekeyed.push(device))?;
        let mut accepted = HashMap::new();
        for device in rekeyed {
            if let Some(keys) = rekey::accepted(store.connection(), &device)? {
                accepted.insert(device, keys);
            }
        }
        Ok(Self {
            devices: RwLock::new(devices),
            keys: RwLock::new(keys),
            groups: RwLock::new(groups),
            rollouts: watch::Sender::new(Arc::new(rollouts)),
            accepted: RwLock::new(accepted),
            changes: watch::Sender::default(),
        })
    }

    /// How a device stands; a device never heard of stands well.
    pub fn device(&self, device: &DeviceId) -> DeviceFacts {
        self.devices.read().unwrap_or_else(PoisonError::into_inner).get(device).copied().unwrap_or_default()
    }

    /// A device's key, if the log introduced it.
    pub fn key(&self, device: &DeviceId, id: &KeyId) -> Option<PublicKey> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).get(&(*device, *id)).cloned()
    }

    /// The group a device has enrolled into; the default one where its certificate came another way.
    pub fn group(&self, device: &DeviceId) -> String {
        self.groups
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(device)
            .cloned()
            .unwrap_or_else(|| GROUP_DEFAULT.into())
    }

    /// Whether the log knows of an enrolment of a device.
    pub fn has_enrolled(&self, device: &DeviceId) -> bool {
        self.groups.read().unwrap_or_else(PoisonError::into_inner).contains_key(device)
    }

    /// How far the policy of each group has come; changes when any comes further.
    pub fn rollouts(&self) -> watch::Receiver<Arc<Vec<RolloutFacts>>> {
        self.rollouts.subscribe()
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
        if !effects.groups.is_empty() {
            self.groups.write().unwrap_or_else(PoisonError::into_inner).extend(effects.groups);
        }
        if let Some(rollouts) = effects.rollouts {
            self.rollouts.send_replace(Arc::new(rollouts));
        }
    }
}
