//! Which findings make one alert: those of one rule, one person concerned and one day.

use rusqlite::Connection;
use watchpost_proto::digest::hash;
use watchpost_proto::v1::Finding;

use crate::clock::day_in_china;

/// The day of a message without a time.
pub(super) const DAY_UNKNOWN: &str = "unknown";

/// What makes findings one alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AlertKey<'a> {
    /// The pack of the rule.
    pub(crate) pack: &'a str,
    /// The rule.
    pub(crate) rule: &'a str,
    /// The account concerned, `corp/userid`; empty where nobody of the company is.
    pub(crate) person: &'a str,
    /// The day of the message at +08:00, `YYYY-MM-DD`, or [`DAY_UNKNOWN`].
    pub(crate) day: String,
}

impl<'a> AlertKey<'a> {
    /// The key of a finding.
    pub(crate) fn of(finding: &'a Finding) -> Self {
        Self { pack: &finding.pack, rule: &finding.rule, person: &finding.person, day: day(finding.msgtime_ms) }
    }

    /// All of it in one text, with lengths so that no two keys look alike.
    pub(crate) fn joined(&self) -> String {
        let Self { pack, rule, person, day } = self;
        format!("{}:{pack}{}:{rule}{}:{person}{day}", pack.len(), rule.len(), person.len())
    }
}

/// The day of a moment, milliseconds since 1970, at +08:00; 0 is unknown.
pub(super) fn day(msgtime_ms: i64) -> String {
    Some(msgtime_ms).filter(|ms| *ms != 0).and_then(day_in_china).unwrap_or_else(|| DAY_UNKNOWN.into())
}

/// Ids of one finding that have been taken before an alert of it is given up as such; devices must not make anyone
/// look for long.
const IDS_MAX: usize = 64;

/// Whether an alert with this id and key can have been opened by a finding.
pub(crate) fn is_alert_of(id: &[u8], finding_id: &[u8], key: &AlertKey<'_>) -> bool {
    std::iter::successors(Some(finding_id.to_vec()), |taken| Some(next_id(taken, key)))
        .take(IDS_MAX)
        .any(|own| own == id)
}

fn next_id(taken: &[u8], key: &AlertKey<'_>) -> Vec<u8> {
    hash("watchpost/alert", &[taken, key.joined().as_bytes()]).to_vec()
}

/// Opens an alert with the finding that comes first, in the record at this place.
///
/// A finding that has opened an alert may come again under another key, told by another version of its rule or after
/// the person concerned has changed. That second alert's id is a digest of the finding and the key, again and again
/// until nobody has taken it: what a device sends must never stop the follower.
pub(super) fn open(
    db: &Connection,
    key: &AlertKey<'_>,
    finding: &Finding,
    (log_index, place): (u64, usize),
) -> rusqlite::Result<i64> {
    let mut taken = db.prepare_cached("SELECT 1 FROM alert WHERE opened_by = ?1")?;
    let mut id = finding.finding_id.clone();
    while taken.exists([&id])? {
        id = next_id(&id, key);
    }
    db.prepare_cached(
        "INSERT INTO alert (opened_by, pack, rule, category, person, day, department, site, log_index, place)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, '', '', ?7, ?8)",
    )?
    .insert((id, key.pack, key.rule, &finding.category, key.person, &key.day, log_index, place))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_begins_at_midnight_in_china() {
        // 2023-11-14 15:59:59.999 and 16:00 UTC.
        assert_eq!(day(1_699_977_599_999), "2023-11-14");
        assert_eq!(day(1_699_977_600_000), "2023-11-15");
        assert_eq!(day(0), DAY_UNKNOWN);
        assert_eq!(day(i64::MAX), DAY_UNKNOWN);
        assert_eq!(day(-1), "1970-01-01");
        assert_eq!(day(253_402_300_799_000), DAY_UNKNOWN, "the last second of year 9999 is beyond it in China");
    }

    #[test]
    fn keys_do_not_run_into_each_other() {
        let finding = |pack: &str, rule: &str| Finding { pack: pack.into(), rule: rule.into(), ..Finding::default() };
        let (a, b) = (finding("a", "bc"), finding("ab", "c"));
        assert_ne!(AlertKey::of(&a).joined(), AlertKey::of(&b).joined());
    }
}
