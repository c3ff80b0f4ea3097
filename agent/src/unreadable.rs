//! Segments taken back that nobody can open any more, whatever is stated of them: each would be refused for ever, and all
//! that comes after it with it. They are let go of, and the loss is recorded in the same transaction.

use watchpost_proto::keys::KeyId;
use watchpost_proto::v1::{Lane, Statement};

use crate::device::Device;
use crate::store::{StoreError, Tx};
use crate::summary::{self, MadeUnder};

/// Lets go of what another device or tenant encrypted, as after an enrolment anew with the state folder kept: what is
/// encrypted is bound to both.
pub(crate) fn of_another_device(tx: &Tx<'_>, device: &Device, made: &MadeUnder) -> Result<(), StoreError> {
    let ours = |statement: &Statement| statement.tenant == device.tenant && statement.device == device.id.0;
    let lost = |lane: Lane, statement: &Statement| !ours(statement) || statement.lane() != lane;
    tell(tx, "sealed_by_another_device", tx.let_go_of_encrypted(lost)?, made)
}

/// Lets go of what is encrypted to a key that the collectors have lost.
pub(crate) fn to_lost_key(tx: &Tx<'_>, key: &KeyId, made: &MadeUnder) -> Result<(), StoreError> {
    let lost = |_: Lane, statement: &Statement| KeyId::from_slice(&statement.encryption_key_id) == Some(*key);
    tell(tx, "recipient_lost", tx.let_go_of_encrypted(lost)?, made)
}

fn tell(tx: &Tx<'_>, reason: &str, records: u64, made: &MadeUnder) -> Result<(), StoreError> {
    if records == 0 {
        return Ok(());
    }
    tracing::error!(reason, records, "what was encrypted cannot be opened by anybody and is recorded as lost");
    tx.append(Lane::Urgent, &made.record(summary::loss(reason, 0, records, "records"))?)
}
