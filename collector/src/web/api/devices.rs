//! Devices, how they are, and the log they are kept in.

use schemars::JsonSchema;
use serde::Serialize;
use watchpost_proto::DeviceId;

use super::page::{self, Page, Turn};
use crate::commands::health::of_devices;
use crate::devices::{self, Device};
use crate::health::Health;
use crate::operators::Role;
use crate::web::ask::Ask;
use crate::web::problem::{Kind, Problem};
use crate::web::route::Nothing;

/// A device and how it is.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::web) struct Shown {
    /// The device.
    #[serde(flatten)]
    device: Device,
    /// How it is; missing where it was revoked.
    #[serde(skip_serializing_if = "Option::is_none")]
    health: Option<Health>,
}

/// The head of the log.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::web) struct Head {
    /// Entries.
    size: u64,
    /// Root of the tree, hexadecimal.
    root: String,
    /// Its name on checkpoints.
    origin: String,
    /// The signed note.
    note: String,
    /// Entries that show in what people look at.
    derived: u64,
}

pub(in crate::web) fn list(ask: &Ask<'_>, turn: Turn) -> Result<Page<Device>, Problem> {
    let limit = page::rows(turn.limit);
    let after: Option<String> = page::read("devices", turn.cursor.as_deref())?;
    let mut all = devices::list(ask.derived()?, None)?;
    all.sort_by(|one, other| one.device.cmp(&other.device));
    let counts = counts(ask)?;
    all.iter_mut().for_each(|device| device.findings = device.findings.filter(|_| counts));
    let rest = all.into_iter().filter(|device| after.as_ref().is_none_or(|after| device.device > *after));
    Ok(page::page("devices", rest.take(limit as usize + 1).collect(), limit, |last| last.device.clone()))
}

/// Whether they are told how much a device found: whoever sees no alerts learns nothing about themselves by it.
fn counts(ask: &Ask<'_>) -> Result<bool, Problem> {
    Ok(ask.caller()?.operator.grant.role == Role::Administrator)
}

pub(in crate::web) fn show(ask: &Ask<'_>, _: Nothing) -> Result<Shown, Problem> {
    let id = DeviceId::parse(ask.param("device")?).ok_or(Problem::new(Kind::NotFound))?;
    let mut device = devices::list(ask.derived()?, Some(&id.0))?.pop().ok_or(Problem::new(Kind::NotFound))?;
    let counts = counts(ask)?;
    device.findings = device.findings.filter(|_| counts);
    let health = of_devices(ask.derived()?, &ask.site.desk.config, Some(&id.0), ask.now_ms)?.pop();
    Ok(Shown { device, health })
}

pub(in crate::web) fn health(ask: &Ask<'_>, turn: Turn) -> Result<Page<Health>, Problem> {
    let limit = page::rows(turn.limit);
    let after: Option<String> = page::read("health", turn.cursor.as_deref())?;
    let mut all = of_devices(ask.derived()?, &ask.site.desk.config, None, ask.now_ms)?;
    all.sort_by(|one, other| one.device.cmp(&other.device));
    let rest = all.into_iter().filter(|health| after.as_ref().is_none_or(|after| health.device > *after));
    Ok(page::page("health", rest.take(limit as usize + 1).collect(), limit, |last| last.device.clone()))
}

pub(in crate::web) fn log_head(ask: &Ask<'_>, _: Nothing) -> Result<Head, Problem> {
    let published = ask.site.desk.sequencer.published();
    let checkpoint = &published.checkpoint;
    Ok(Head {
        size: checkpoint.size,
        root: checkpoint.root.to_string(),
        origin: checkpoint.origin.clone(),
        note: published.note.clone(),
        derived: *ask.site.desk.derived.borrow(),
    })
}
