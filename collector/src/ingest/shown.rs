//! What a device shows of a log that is further than what is here: this collector was restored.

use tracing::warn;
use watchpost_proto::Message as _;
use watchpost_proto::note;
use watchpost_proto::refusal::Code;
use watchpost_proto::v1::{EntryKind, Hello, LogShown, Shortfall};

use super::session::Session;
use crate::log_store::{self, Appender};
use crate::registry::Effects;
use crate::standing::{Shows, View};

impl Session {
    /// Acts on the checkpoint and the receipts a device has shown, before it is welcomed. Whoever shows more of this very
    /// log ends it; more of an earlier one, and receipts for what is not here, go into the log.
    pub(super) async fn note_shown(&self, hello: &Hello, view: &View) -> Result<(), Code> {
        match view.checkpoint {
            Shows::Less => {}
            Shows::More => {
                self.shared.alarm.raise(self.peer.device, &hello.checkpoint).await;
                return Err(Code::Stopping);
            }
            Shows::MoreOfEarlier => self.note_log_shown(&hello.checkpoint).await?,
            Shows::Foreign => {
                warn!(device = %self.peer.device, "the device shows a checkpoint of a log that was never here");
            }
        }
        self.note_missing(view).await
    }

    /// Only what is larger than anything shown of that log before, so that nobody can fill the log with it.
    async fn note_log_shown(&self, checkpoint: &str) -> Result<(), Code> {
        let Some(shown) = note::read_unverified(checkpoint) else { return Ok(()) };
        let entry = LogShown {
            device: self.peer.device.to_vec(),
            checkpoint: checkpoint.to_owned(),
            at_ms: self.shared.clock.now_ms(),
        };
        let work = move |appender: &mut Appender<'_>, _: &mut Effects| {
            let past = log_store::past_logs(appender.connection())?;
            let is_news = past.iter().any(|past| past.name.origin == shown.origin && past.highest < shown.size);
            if is_news {
                appender.append(EntryKind::LogShown, &entry.encode_to_vec())?;
            }
            Ok(is_news)
        };
        if self.shared.sequencer.run(work).await.map_err(|_| Code::StorageFailed)? {
            warn!(device = %self.peer.device, "the device shows more of an earlier log than was restored of it");
        }
        Ok(())
    }

    async fn note_missing(&self, view: &View) -> Result<(), Code> {
        let missing: Vec<_> = view.missing.iter().filter_map(|missing| missing.note.clone()).collect();
        if missing.is_empty() {
            return Ok(());
        }
        warn!(device = %self.peer.device, lanes = missing.len(), "the device has receipts for what was not restored");
        let entry =
            Shortfall { device: self.peer.device.to_vec(), missing, at_ms: self.shared.clock.now_ms() }.encode_to_vec();
        let work = move |appender: &mut Appender<'_>, _: &mut Effects| appender.append(EntryKind::Shortfall, &entry);
        self.shared.sequencer.run(work).await.map_err(|_| Code::StorageFailed).map(drop)
    }
}
