//! A log ends and its successor begins: the entry that opens it names the one before as it was.

use watchpost_proto::merkle::Frontier;
use watchpost_proto::v1::{LogKey, LogOpened, LogShown};
use watchpost_proto::{LogId, Message as _, identity, note, receipt};

use super::{Entry, Fault, Walk, chain, wrong};

impl Walk<'_> {
    /// Compares the log the walk has reached the end of with what its successor and the index say of it.
    pub(super) fn end_log(&mut self, opening: &Entry) -> Result<(), Fault> {
        self.none_missing()?;
        let past = usize::try_from(self.number).ok().and_then(|number| self.past.get(number));
        let past = past.ok_or_else(|| wrong("it opens a log that the index does not have"))?;
        let head = (self.tree.size(), self.tree.root());
        if past.first != self.first || (past.head.size, past.head.root) != head {
            return Err(wrong("the log before it does not lead to the head it ended with"));
        }
        let opened = LogOpened::decode(&opening.header[..]).map_err(|_| wrong("it is malformed"))?;
        let log_key = opened.log_key.and_then(|signed| LogKey::decode(&signed.log_key[..]).ok());
        let log_key = log_key.ok_or_else(|| wrong("it names no log key"))?;
        let named = log_key.previous_log_id == past.name.id.0
            && (log_key.previous_size, &log_key.previous_root[..]) == (head.0, &head.1.0[..]);
        if !named {
            return Err(wrong("it names the log before it otherwise than it was"));
        }
        if note::open(&opened.closing, &self.public) != Some(past.head.clone()) {
            return Err(wrong("the last head of the log before it is not signed by that log's key"));
        }
        let shown = note::open(&opened.highest, &self.public);
        if !opened.highest.is_empty() && shown.is_none_or(|shown| shown.origin != past.name.origin) {
            return Err(wrong("the head it says was shown is not of the log before it"));
        }
        (self.first, self.number) = (self.next(), self.number + 1);
        (self.tree, self.agreed) = (Frontier::default(), 0);
        Ok(())
    }

    /// A log begins with its key, which a collector introduces.
    pub(super) fn opened(&mut self, entry: &Entry) -> Result<(), Fault> {
        let opened = LogOpened::decode(&entry.header[..]).map_err(|_| wrong("it is malformed"))?;
        let signed = opened.log_key.ok_or_else(|| wrong("it names no log key"))?;
        let leaf = opened.signer_chain.first().ok_or_else(|| wrong("it has no signer"))?;
        let signer = identity::read_certificate(leaf).map_err(|error| wrong(error.to_string()))?;
        let log_key =
            receipt::open_log_key(&signed, &signer.key).ok_or_else(|| wrong("its signature does not hold"))?;
        self.trust.check_collector(&chain(&opened.signer_chain), log_key.at_ms).map_err(wrong)?;
        let name = match usize::try_from(self.number).ok().and_then(|number| self.past.get(number)) {
            Some(past) => &past.name,
            None => self.log.name(),
        };
        let same = LogId::from_slice(&log_key.log_id) == Some(name.id) && log_key.origin == name.origin;
        if !same {
            return Err(wrong("it opens another log than the head names"));
        }
        self.public = log_key.ed25519.try_into().map_err(|_| wrong("its log key is not one"))?;
        let origin = name.origin.clone();
        self.take_kept(&origin)
    }

    fn take_kept(&mut self, origin: &str) -> Result<(), Fault> {
        for text in std::mem::take(&mut self.notes) {
            if note::read_unverified(&text).is_some_and(|kept| kept.origin != origin) {
                self.notes.push(text);
                continue;
            }
            let kept = note::open(&text, &self.public);
            self.kept
                .push(kept.ok_or_else(|| wrong("the checkpoint that was kept is not of the log that begins here"))?);
        }
        self.kept.sort_by_key(|kept| std::cmp::Reverse(kept.size));
        Ok(())
    }

    /// What a device has shown of an earlier log is signed by that log's key.
    pub(super) fn shown(&self, entry: &Entry) -> Result<(), Fault> {
        let shown = LogShown::decode(&entry.header[..]).map_err(|_| wrong("it is malformed"))?;
        let signed = self.past.iter().take(self.number as usize).any(|past| {
            note::open(&shown.checkpoint, &past.public).is_some_and(|head| head.origin == past.name.origin)
        });
        if signed { Ok(()) } else { Err(wrong("the head it tells of is not signed by the key of an earlier log")) }
    }
}
