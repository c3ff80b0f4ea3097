//! Devices that enrolled after the backup a collector was restored from: their certificates hold, and the log knows nothing of
//! the rest.

use watchpost_proto::Message as _;
use watchpost_proto::v1::{EnrolmentEntry, EnrolmentVerb, EntryKind};

use super::desk::is_word;
use super::renewal::Presented;
use crate::chain::BY_COLLECTOR;
use crate::log_store::{self, Appender, StoreError};
use crate::registry::Effects;

/// Takes a device at its word for the group and site it enrolled into, where the log knows of no enrolment of it. What it says
/// can be wrong only within what the authority has certified, and never moves a device that the log knows. Whether it was.
///
/// # Errors
/// [`StoreError`]; the whole group must then be dropped.
pub(crate) fn adopt(
    appender: &mut Appender<'_>,
    presented: &Presented,
    (group, site): (&str, &str),
    address: &str,
    effects: &mut Effects,
) -> Result<bool, StoreError> {
    let is_sound = !group.is_empty() && is_word(group) && is_word(site);
    if !is_sound || log_store::has_enrolled(appender.connection(), &presented.device)? {
        return Ok(false);
    }
    let entry = EnrolmentEntry {
        verb: EnrolmentVerb::Enrolled.into(),
        key_id: presented.key.id().to_vec(),
        device: presented.device.to_vec(),
        group: group.into(),
        site: site.into(),
        address: address.into(),
        by: BY_COLLECTOR.into(),
        reason: "enrolled before this collector was restored; group and site are the device's word".into(),
        at_ms: presented.at_ms,
        ..EnrolmentEntry::default()
    };
    appender.append(EntryKind::Enrolment, &entry.encode_to_vec())?;
    effects.groups.push((presented.device, group.into()));
    Ok(true)
}
