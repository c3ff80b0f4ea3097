//! Which process speaks for each device now. In memory only: a collector that restarts begins afresh.
//!
//! A process counts once it has echoed the nonce of its Welcome, so that a replayed Hello displaces nobody. The newer
//! process takes the seat. One restart after another looks like A, B, C; two living processes of one device look like
//! A, B, A, B: each comes back after the other had displaced it. Only that is taken for a clone.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;
use watchpost_proto::{DeviceId, InstanceId};

/// Displaced processes remembered per device.
const REMEMBERED: usize = 8;

/// The seats of all devices.
#[derive(Debug, Default)]
pub struct Sessions(Mutex<HashMap<DeviceId, Device>>);

#[derive(Debug, Default)]
struct Device {
    seated: Option<Arc<Seat>>,
    /// Processes displaced by another, oldest first, and whether they have come back since.
    displaced: Vec<(InstanceId, bool)>,
}

/// A stream's right to speak for its device.
#[derive(Debug)]
pub struct Seat {
    instance: InstanceId,
    displaced: Notify,
}

impl Seat {
    /// Waits until a newer stream of the device has taken over.
    pub async fn lost(&self) {
        self.displaced.notified().await;
    }
}

/// What taking a seat has shown.
#[derive(Debug)]
pub struct Seated {
    /// The seat.
    pub seat: Arc<Seat>,
    /// Two processes have each come back after the other had displaced it.
    pub cloned: bool,
}

impl Sessions {
    /// Seats a process that has proved to be alive, and displaces the stream before it.
    pub fn seat(&self, device: DeviceId, instance: InstanceId) -> Seated {
        let mut devices = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let device = devices.entry(device).or_default();
        let seat = Arc::new(Seat { instance, displaced: Notify::new() });
        if let Some(before) = device.seated.replace(Arc::clone(&seat)) {
            before.displaced.notify_one();
            if before.instance != instance {
                device.remember_displaced(before.instance);
            }
        }
        Seated { seat, cloned: device.came_back(instance) }
    }

    /// Forgets what was held against a device, as an operator has released it.
    pub fn pardon(&self, device: &DeviceId) {
        let mut devices = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(device) = devices.get_mut(device) {
            device.displaced.clear();
        }
    }
}

impl Device {
    fn remember_displaced(&mut self, instance: InstanceId) {
        if self.displaced.iter().any(|(known, _)| *known == instance) {
            return;
        }
        if self.displaced.len() == REMEMBERED {
            self.displaced.remove(0);
        }
        self.displaced.push((instance, false));
    }

    /// Marks a displaced process as back; true once two are.
    fn came_back(&mut self, instance: InstanceId) -> bool {
        let known = self.displaced.iter_mut().find(|(known, _)| *known == instance);
        let Some((_, back)) = known else { return false };
        *back = true;
        self.displaced.iter().filter(|(_, back)| *back).count() >= 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEVICE: DeviceId = DeviceId([1; 16]);

    fn clone_seen(order: &[u8]) -> bool {
        let sessions = Sessions::default();
        order.iter().map(|n| sessions.seat(DEVICE, InstanceId([*n; 16])).cloned).last().unwrap()
    }

    #[test]
    fn restarts_and_reconnects_are_no_clone_and_alternation_is() {
        assert!(!clone_seen(&[1, 2, 3, 4, 5]), "restarts");
        assert!(!clone_seen(&[1, 1, 1, 2, 2, 2]), "reconnects");
        assert!(!clone_seen(&[1, 2, 1]), "a last breath of the old process");
        assert!(!clone_seen(&[1, 2, 1, 1, 1]), "one that comes back again and again");
        assert!(clone_seen(&[1, 2, 1, 2]));
        assert!(clone_seen(&[1, 2, 3, 1, 2]));
    }

    #[tokio::test]
    async fn the_newer_stream_displaces_the_older_and_no_other() {
        let sessions = Sessions::default();
        let first = sessions.seat(DEVICE, InstanceId([1; 16])).seat;
        let other = sessions.seat(DeviceId([2; 16]), InstanceId([3; 16])).seat;
        let second = sessions.seat(DEVICE, InstanceId([2; 16])).seat;
        first.lost().await;
        for kept in [other, second] {
            let lost = tokio::time::timeout(std::time::Duration::from_millis(20), kept.lost()).await;
            assert!(lost.is_err());
        }
    }

    #[test]
    fn a_pardon_begins_afresh() {
        let sessions = Sessions::default();
        for n in [1, 2, 1] {
            sessions.seat(DEVICE, InstanceId([n; 16]));
        }
        sessions.pardon(&DEVICE);
        assert!(!sessions.seat(DEVICE, InstanceId([2; 16])).cloned);
    }
}
