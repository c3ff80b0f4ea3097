//! How the uplink stands, kept for whoever asks on the device: `status`, a help desk at the telephone.

use serde::{Deserialize, Serialize};

use super::Ended;
use crate::store::{Store, StoreError, Tx};

/// Where the store keeps it.
const UPLINK: &str = "uplink";

/// How the uplink stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UplinkReport {
    /// Whether the last Hello was welcomed.
    pub connected: bool,
    /// The code of what went wrong; empty while connected.
    pub code: String,
    /// One plain sentence, in Chinese.
    pub zh: String,
    /// The same, in English.
    pub en: String,
    /// Since when it has stood so, milliseconds since 1970 by the device's clock.
    pub since_ms: i64,
    /// By how much the device's clock is ahead of the collector's, milliseconds, when they last spoke.
    pub ahead_ms: i64,
}

impl UplinkReport {
    /// Connected.
    pub(super) fn connected(now_ms: i64, server_ms: i64) -> Self {
        Self { connected: true, since_ms: now_ms, ahead_ms: now_ms.saturating_sub(server_ms), ..Self::default() }
    }

    /// Not connected, with the reason; `None` for an end that is no trouble.
    pub(super) fn ended(ended: &Ended, now_ms: i64) -> Option<Self> {
        let (code, zh, en) = match ended {
            Ended::Refused { code, sentence_zh, sentence, .. } => (code.clone(), sentence_zh.clone(), sentence.clone()),
            Ended::Way(way) => (way.code().to_owned(), way.zh(), way.en()),
            Ended::Connection(reason) => (
                "broken".to_owned(),
                format!("与采集端的连接中断（{reason}），稍后自动重试。"),
                format!("The connection to the collector broke ({reason}); it is tried again."),
            ),
            Ended::Distrusted(trouble) => (
                "distrusted".to_owned(),
                format!("对方不是可信的采集端（{trouble}）；请联系管理员。"),
                format!("The other side is not the collector this device trusts ({trouble}); tell the administrator."),
            ),
            Ended::Renewed | Ended::Drained | Ended::Store(_) => return None,
        };
        Some(Self { connected: false, code, zh, en, since_ms: now_ms, ahead_ms: 0 })
    }

    /// Keeps it, where it says something else than before: an idle device writes nothing.
    pub(super) fn keep(mut self, store: &Store) -> Result<(), StoreError> {
        let before = store.read(uplink_report)?;
        if let Some(before) = &before {
            // A clock that is off by another second is no news.
            let same_clock = (self.ahead_ms - before.ahead_ms).abs() < CLOCK_NEWS_MS || !self.connected;
            if (before.connected, &before.code) == (self.connected, &self.code) && same_clock {
                return Ok(());
            }
            if !self.connected {
                self.ahead_ms = before.ahead_ms;
            }
        }
        let bytes = serde_json::to_vec(&self).unwrap_or_default();
        store.transaction(|tx| tx.put_seen(UPLINK, &bytes))
    }
}

/// A difference of clocks that is worth telling anew.
const CLOCK_NEWS_MS: i64 = 30_000;

/// How the uplink stood last; `None` where it has never been tried.
pub fn uplink_report(tx: &Tx<'_>) -> Result<Option<UplinkReport>, StoreError> {
    Ok(tx.seen(UPLINK)?.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
}
