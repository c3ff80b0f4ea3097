//! Who came in, and who looked at what is not everybody's: entries of the log, durable before anything is shown.

use serde::{Deserialize, Serialize};
use watchpost_proto::Message as _;
use watchpost_proto::v1::{AccessEntry, AccessVerb, EntryKind};

use crate::enrolment::desk::{Act, DeskError};
use crate::log_store::Appender;

const TEXT_BYTES_MAX: usize = 2_048;

/// What somebody did without changing anything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    /// What it was.
    pub did: Did,
    /// What was looked at: an alert, a query, a pseudonym.
    pub subject: String,
    /// Where from; empty on the collector itself.
    #[serde(default)]
    pub address: String,
    /// How many rows went out.
    #[serde(default)]
    pub rows: u64,
}

/// The word for an access.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Did {
    /// Came in.
    SignedIn,
    /// Wanted in and was not let.
    Refused,
    /// Left.
    SignedOut,
    /// Saw an excerpt.
    Viewed,
    /// Took rows along.
    Exported,
    /// Learned whom a pseudonym stands for.
    Resolved,
    /// Looked a message up.
    LookedUp,
}

impl Did {
    fn verb(self) -> AccessVerb {
        match self {
            Self::SignedIn => AccessVerb::SignedIn,
            Self::Refused => AccessVerb::Refused,
            Self::SignedOut => AccessVerb::SignedOut,
            Self::Viewed => AccessVerb::Viewed,
            Self::Exported => AccessVerb::Exported,
            Self::Resolved => AccessVerb::Resolved,
            Self::LookedUp => AccessVerb::LookedUp,
        }
    }
}

/// Pseudonyms as subjects of as many records as it takes, each with how many there are in it.
pub(crate) fn subjects<'a>(pseudonyms: impl Iterator<Item = &'a str>) -> Vec<(String, u64)> {
    let mut subjects: Vec<(String, u64)> = Vec::new();
    for pseudonym in pseudonyms {
        match subjects.last_mut() {
            Some((subject, number)) if subject.len() + 1 + pseudonym.len() <= TEXT_BYTES_MAX => {
                subject.push(' ');
                subject.push_str(pseudonym);
                *number += 1;
            }
            _ => subjects.push((pseudonym.to_owned(), 1)),
        }
    }
    subjects
}

/// Notes an access.
///
/// # Errors
/// Texts that are too long, or the log.
pub fn note(appender: &mut Appender<'_>, access: &Access, act: &Act<'_>) -> Result<u64, DeskError> {
    if [&access.subject, &access.address].iter().any(|text| text.len() > TEXT_BYTES_MAX)
        || act.reason.len() > TEXT_BYTES_MAX
    {
        return Err(DeskError::Told("what was looked at and why are at most 2048 bytes each".into()));
    }
    let entry = AccessEntry {
        verb: access.did.verb().into(),
        by: act.by.into(),
        subject: access.subject.clone(),
        reason: act.reason.into(),
        address: access.address.clone(),
        rows: access.rows,
        at_ms: act.at_ms,
    };
    Ok(appender.append(EntryKind::Access, &entry.encode_to_vec())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pseudonym_is_in_a_record_and_no_record_is_too_long() {
        let all: Vec<String> = (0..200).map(|number| format!("p_{number:024x}")).collect();
        let subjects = subjects(all.iter().map(String::as_str));
        assert!(subjects.len() > 1 && subjects.iter().all(|(subject, _)| subject.len() <= TEXT_BYTES_MAX));
        let told: Vec<&str> = subjects.iter().flat_map(|(subject, _)| subject.split(' ')).collect();
        assert_eq!(told, all);
        assert_eq!(subjects.iter().map(|(_, number)| number).sum::<u64>(), 200);
    }
}
