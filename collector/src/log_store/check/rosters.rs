//! Every roster follows the one before, and its rows are those that were signed.

use watchpost_proto::Message as _;
use watchpost_proto::document::Signers;
use watchpost_proto::roster::{Head, check_roster, follow, read_header};
use watchpost_proto::v1::RosterEntry;

use super::{Entry, Fault, Walk, wrong};
use crate::log_store::rosters::roster_of;

/// The roster that the next must follow.
pub(super) struct LastRoster {
    head: Head,
    next: Signers,
}

impl Walk<'_> {
    pub(super) fn roster(&mut self, entry: &Entry) -> Result<(), Fault> {
        let signed = RosterEntry::decode(&entry.header[..]).ok().and_then(|entry| entry.roster);
        let signed = signed.ok_or_else(|| wrong("it is malformed"))?;
        let tenant = self.trust.tenant();
        let told = |error: watchpost_proto::roster::RosterError| wrong(error.to_string());
        let header = match &self.last_roster {
            Some(last) => follow(Some(&last.head), &last.next, std::slice::from_ref(&signed), tenant),
            // Whoever published the first said whose key it is.
            None => read_header(&signed, tenant),
        };
        let header = header.map_err(told)?;
        check_roster(&roster_of(self.log.connection(), &signed)?, tenant).map_err(told)?;
        let head = Head { version: header.header.version, digest: header.digest };
        self.last_roster = Some(LastRoster { head, next: header.next });
        Ok(())
    }
}
