//! A record of a lookup while no agent runs.

use std::sync::Arc;
use std::time::Duration;

use super::{DaemonError, in_force, load_device, open_verified, try_lock_state};
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::in_force::InForce;
use crate::lookup::{Record, hand_over};
use crate::seal::Sealer;

/// What is in force for a device that has enrolled, as the agent that runs would have it.
///
/// # Errors
/// The device has not enrolled, or its policy cannot be read.
pub fn in_force_here(config: &Config) -> Result<InForce, DaemonError> {
    let device = load_device(config)?;
    in_force(config, &device)
}

/// Has a record written, by the agent that runs or, where none does, by this process; it is durable then.
///
/// # Errors
/// It was not written, and why.
pub fn note_lookup(config: &Config, record: &Record, patience: Duration) -> Result<(), DaemonError> {
    let told = |error: std::io::Error| DaemonError::State(format!("{}: {error}", config.state_dir.display()));
    let Some(_lock) = try_lock_state(config)? else {
        return match hand_over(&config.state_dir, record, patience).map_err(told)? {
            true => Ok(()),
            false => Err(DaemonError::State(
                "the agent that runs has not taken the record, so nothing is shown; look with status, and try again"
                    .into(),
            )),
        };
    };
    let device = load_device(config)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    let in_force = in_force(config, &device)?;
    let store = Arc::new(open_verified(config, &device, &in_force, &*clock)?);
    record.append(&store, &in_force)?;
    Ok(Sealer::new(store, device, clock).seal_all()?)
}
