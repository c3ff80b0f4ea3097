//! Sites: how their devices are, what is planned, and when they had no line.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::operators::Done;
use crate::admin::What;
use crate::commands::health::of_devices;
use crate::devices;
use crate::health::Health;
use crate::sites::{self, Outage, Plan, Planned, Plans};
use crate::web::ask::Ask;
use crate::web::problem::Problem;
use crate::web::route::Nothing;

const DAY_MS: i64 = 24 * 60 * 60 * 1000;
/// How far back outages are told.
const OUTAGES_MS: i64 = 90 * DAY_MS;

/// A site.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub(in crate::web) struct Site {
    /// Its name; empty for devices that are of none.
    pub(in crate::web) site: String,
    /// Devices by how they are.
    pub(in crate::web) devices: BTreeMap<&'static str, usize>,
    /// Of those that need a look, how many are as it was planned.
    pub(in crate::web) excused: usize,
    /// What is planned for today.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::web) planned: Option<Planned>,
    /// All days on which it is planned to be offline.
    pub(in crate::web) offline: Vec<Planned>,
    /// When its devices had no line, of the last 90 days, the latest first.
    pub(in crate::web) outages: Vec<Outage>,
}

impl Site {
    /// Devices that are not revoked.
    pub(in crate::web) fn total(&self) -> usize {
        self.devices.values().sum()
    }
}

/// All sites.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::web) struct Sites {
    /// By name.
    pub(in crate::web) items: Vec<Site>,
}

/// Days on which a site is planned to be offline.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::web) struct Offline {
    /// All of them; they take the place of those before.
    pub(in crate::web) offline: Vec<Planned>,
    /// Why; goes into the audit trail.
    #[serde(default)]
    pub(in crate::web) reason: String,
}

pub(in crate::web) fn list(ask: &Ask<'_>, _: Nothing) -> Result<Sites, Problem> {
    let plans = Plans::read(ask.derived()?)?;
    let place: BTreeMap<String, String> =
        devices::list(ask.derived()?, None)?.into_iter().map(|it| (it.device, it.site)).collect();
    let mut all: BTreeMap<String, Site> = plans.sites().map(|site| (site.to_owned(), Site::default())).collect();
    for Health { device, state, .. } in of_devices(ask.derived()?, &ask.site.desk.config, None, ask.now_ms)? {
        let name = place.get(&device).cloned().unwrap_or_default();
        let excused = plans.excuses(&name, state, ask.now_ms).is_some();
        let site = all.entry(name).or_default();
        *site.devices.entry(state.as_str()).or_insert(0) += 1;
        site.excused += usize::from(excused);
    }
    for outage in sites::outages(ask.derived()?, None, ask.now_ms.saturating_sub(OUTAGES_MS))? {
        all.entry(outage.site.clone()).or_default().outages.push(outage);
    }
    let complete = |(name, site): (String, Site)| Site {
        planned: plans.planned(&name, ask.now_ms).cloned(),
        offline: plans.of(&name).to_vec(),
        site: name,
        ..site
    };
    Ok(Sites { items: all.into_iter().map(complete).collect() })
}

pub(in crate::web) fn plan(ask: &Ask<'_>, asked: Offline) -> Result<Done, Problem> {
    let site = ask.param("site")?.to_owned();
    set(ask, &site, asked)
}

/// Sets what is planned for a site.
pub(in crate::web) fn set(ask: &Ask<'_>, site: &str, asked: Offline) -> Result<Done, Problem> {
    let name = format!("{}/{site}", sites::SETTING);
    let value = match asked.offline.is_empty() {
        true => String::new(),
        false => serde_json::to_string(&Plan { offline: asked.offline }).map_err(|error| Problem::broken(&error))?,
    };
    let entries = ask.have_done(What::Set { name, value }, &asked.reason)?;
    ask.until_shown(&entries)?;
    Ok(Done { entries })
}
