//! Devices, how they are, and the log they are kept in.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use watchpost_proto::DeviceId;

use super::alerts::reason;
use super::operators::{Done, Why};
use super::page::{self, Page, Turn};
use crate::admin::What;
use crate::commands::health::of_devices;
use crate::devices::detail::{self, Detail};
use crate::devices::{self, Device};
use crate::health::Health;
use crate::liveness::{self, LiveDevice};
use crate::operators::Role;
use crate::web::ask::Ask;
use crate::web::problem::{Kind, Problem};
use crate::web::route::Nothing;

/// A device and how it is.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::web) struct Shown {
    /// The device.
    #[serde(flatten)]
    pub(in crate::web) device: Device,
    /// How it is; missing where it was revoked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::web) health: Option<Health>,
    /// What it says while it is connected; missing where no collector runs or it was never heard.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::web) live: Option<LiveDevice>,
    /// What more is known of it.
    pub(in crate::web) detail: Detail,
}

/// How a device is let in again.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::web) struct Release {
    /// Why; goes into the audit trail.
    #[serde(default)]
    pub(in crate::web) reason: String,
    /// It comes to a new key at its next connection; earlier keys are shut out for good.
    #[serde(default)]
    pub(in crate::web) rekey: bool,
    /// Its disk is put back at each start: earlier keys are not held against it.
    #[serde(default)]
    pub(in crate::web) resets: bool,
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
    let live =
        liveness::look(&ask.site.desk.config, ask.now_ms).and_then(|mut live| live.devices.remove(&device.device));
    Ok(Shown { device, health, live, detail: detail::of(ask.derived()?, &id.0)? })
}

/// A device that there is, by its id in the address.
fn known(ask: &Ask<'_>) -> Result<String, Problem> {
    let id = DeviceId::parse(ask.param("device")?).ok_or(Problem::new(Kind::NotFound))?;
    let found = devices::list(ask.derived()?, Some(&id.0))?.pop().ok_or(Problem::new(Kind::NotFound))?;
    Ok(found.device)
}

pub(in crate::web) fn revoke(ask: &Ask<'_>, why: Why) -> Result<Done, Problem> {
    let device = known(ask)?;
    done(ask, What::Revoke { device }, &why.reason)
}

pub(in crate::web) fn quarantine(ask: &Ask<'_>, why: Why) -> Result<Done, Problem> {
    let device = known(ask)?;
    done(ask, What::Quarantine { device }, &why.reason)
}

pub(in crate::web) fn release(ask: &Ask<'_>, how: Release) -> Result<Done, Problem> {
    let device = known(ask)?;
    let Release { reason, rekey, resets } = how;
    if rekey && resets {
        return Err(Problem::malformed("a device comes to a new key, or its disk is put back at each start; not both"));
    }
    if rekey && ask.site.desk.config.enrolment.authority.is_none() {
        let told =
            "this collector issues no certificates: revoke the device, and give it a new one where they are issued";
        return Err(Problem::new(Kind::NotPossible).because(told));
    }
    done(ask, What::Release { device, rekey, resets }, &reason)
}

/// Not without a reason; returns when it shows.
pub(super) fn done(ask: &Ask<'_>, what: What, why: &str) -> Result<Done, Problem> {
    let entries = ask.have_done(what, reason(why)?)?;
    ask.until_shown(&entries)?;
    Ok(Done { entries })
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
