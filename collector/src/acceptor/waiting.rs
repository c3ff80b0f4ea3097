//! Connections that have yet to do their part of the handshake, bounded per address and in all.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

/// Who waits, oldest first.
#[derive(Debug)]
pub(super) struct Waiting {
    per_address: usize,
    in_all: usize,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    next: u64,
    entries: BTreeMap<u64, (IpAddr, Arc<Notify>)>,
    by_address: HashMap<IpAddr, usize>,
}

/// A place among those who wait; given up when dropped.
#[derive(Debug)]
pub(super) struct Ticket<'a> {
    waiting: &'a Waiting,
    number: u64,
    evicted: Arc<Notify>,
}

impl Waiting {
    /// Nobody waits yet; at most so many from one address, and in all.
    pub(super) fn new(per_address: usize, in_all: usize) -> Self {
        Self { per_address, in_all, table: Mutex::default() }
    }

    /// Takes a place, if need be that of the oldest from the same address, or of the oldest of all.
    pub(super) fn enter(&self, address: IpAddr) -> Ticket<'_> {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        if table.by_address.get(&address).is_some_and(|count| *count >= self.per_address) {
            table.evict_oldest(|other| other == address);
        } else if table.entries.len() >= self.in_all {
            table.evict_oldest(|_| true);
        }
        let number = table.next;
        table.next += 1;
        let evicted = Arc::new(Notify::new());
        table.entries.insert(number, (address, Arc::clone(&evicted)));
        *table.by_address.entry(address).or_default() += 1;
        Ticket { waiting: self, number, evicted }
    }
}

impl Table {
    fn evict_oldest(&mut self, from: impl Fn(IpAddr) -> bool) {
        let oldest = self.entries.iter().find(|(_, (address, _))| from(*address)).map(|(number, _)| *number);
        if let Some(evicted) = oldest.and_then(|number| self.remove(number)) {
            evicted.notify_one();
        }
    }

    fn remove(&mut self, number: u64) -> Option<Arc<Notify>> {
        let (address, evicted) = self.entries.remove(&number)?;
        if let Some(count) = self.by_address.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                self.by_address.remove(&address);
            }
        }
        Some(evicted)
    }
}

impl Ticket<'_> {
    /// Waits until the place is needed for a newer connection.
    pub(super) async fn evicted(&self) {
        self.evicted.notified().await;
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        self.waiting.table.lock().unwrap_or_else(PoisonError::into_inner).remove(self.number);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const A: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const B: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

    async fn is_evicted(ticket: &Ticket<'_>) -> bool {
        tokio::time::timeout(Duration::from_millis(10), ticket.evicted()).await.is_ok()
    }

    #[tokio::test]
    async fn a_flood_from_one_address_evicts_its_own_oldest_only() {
        let waiting = Waiting::new(64, 1000);
        let other = waiting.enter(B);
        let flood: Vec<_> = (0..66).map(|_| waiting.enter(A)).collect();
        assert!(is_evicted(&flood[0]).await && is_evicted(&flood[1]).await);
        assert!(!is_evicted(&flood[2]).await && !is_evicted(&other).await);
        drop(flood);
        drop(other);
        let table = waiting.table.lock().unwrap();
        assert!(table.entries.is_empty() && table.by_address.is_empty(), "places are given back");
    }
}
