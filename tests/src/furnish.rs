//! A collector with a month behind it: sites, people who come and go, devices in every state, hundreds of alerts and what became
//! of them. Everything is invented, and the same for the same size; moments are counted back from now.
//!
//! ```text
//! people   who works where, two rosters
//! fleet    devices, what they tell of themselves, and which of them are connected
//! findings what rules that ship find in invented messages
//! work     what operators did about it
//! ```

mod findings;
mod fleet;
mod people;
mod policies;
mod work;

use std::collections::BTreeMap;

use watchpost_collector::clock::now_ms;

use crate::lab::Collector;
use crate::offline::{Kept, Log, Login, one_of_each};

pub use fleet::Connected;
pub use people::{DEPARTMENTS, Person, SITES};

/// The corporation of everybody.
pub const CORP: &str = "wwEXAMPLE0001";
/// The password of every operator.
pub const PASSWORD: &str = "a month of invented work";
/// Text that would run if a page let it, in every way that is known: it ends attributes, elements, comments and scripts.
pub const HOSTILE: &str =
    "\"'><svg onload=window.__xss=1><img src=x onerror=window.__xss=1></script><script>window.__xss=1</script>";

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;

/// How much there is to be.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Findings in the month.
    pub findings: u64,
    /// Names and texts carry [`HOSTILE`].
    pub is_hostile: bool,
}

impl Default for Size {
    fn default() -> Self {
        Self { findings: 600, is_hostile: false }
    }
}

/// What a furnished collector is worked with.
#[derive(Debug)]
pub struct Furnished {
    /// One of each role.
    pub logins: Vec<Login>,
    /// Who was invented.
    pub people: Vec<Person>,
    fleet: fleet::Fleet,
}

impl Furnished {
    /// The login of this name.
    ///
    /// # Panics
    /// There is none.
    #[must_use]
    pub fn login(&self, name: &str) -> &Login {
        let found = self.logins.iter().find(|login| login.name == name);
        #[expect(clippy::expect_used, reason = "names are written in tests")]
        found.expect("a login of this name")
    }

    /// Connects the devices that are not away to the collector, for as long as what is given back is held.
    ///
    /// # Errors
    /// What the system said.
    pub fn connect(self, collector: std::net::SocketAddr) -> anyhow::Result<Connected> {
        self.fleet.connect(collector)
    }
}

/// Furnishes a collector that has never run.
///
/// # Errors
/// What was refused, or the disk.
pub fn furnish(collector: &Collector, size: Size) -> anyhow::Result<Furnished> {
    let hostile = if size.is_hostile { HOSTILE } else { "" };
    let mut log = Log::open(&collector.config())?;
    let now_ms = now_ms();
    let mut month = Month {
        tenant: log.config.tenant.clone(),
        now_ms,
        hostile,
        people: people::invent(58, hostile),
        steps: BTreeMap::new(),
        count: 0,
    };
    let logins = operators(&mut month)?;
    people::rosters(&mut month)?;
    let in_force = policies::policies(&mut month)?;
    let mut fleet = fleet::Fleet::invent(&log.config, &mut month, &in_force)?;
    let alerts = findings::findings(&mut month, &fleet, size.findings)?;
    work::work(&mut month, &alerts);
    for step in std::mem::take(&mut month.steps).into_values() {
        match step {
            Step::Write(write) => write(&mut log)?,
            Step::Tell { device, lane, told, at_ms } => fleet.tell(&mut log, device, lane, &told, at_ms)?,
        }
    }
    Ok(Furnished { logins, people: month.people, fleet })
}

type Writing = Box<dyn FnOnce(&mut Log) -> anyhow::Result<()>>;

/// Something that happens at a moment.
enum Step {
    /// In the log.
    Write(Writing),
    /// A device tells something.
    Tell { device: usize, lane: watchpost_proto::v1::Lane, told: Vec<watchpost_proto::v1::Summary>, at_ms: i64 },
}

/// What is to happen, in its order.
struct Month {
    tenant: String,
    now_ms: i64,
    hostile: &'static str,
    people: Vec<Person>,
    steps: BTreeMap<(i64, u64), Step>,
    count: u64,
}

impl Month {
    /// At a moment, behind what was said of the same moment before.
    fn then(&mut self, at_ms: i64, step: Step) {
        self.count += 1;
        self.steps.insert((at_ms, self.count), step);
    }

    /// An entry of the log.
    fn write(&mut self, at_ms: i64, write: impl FnOnce(&mut Log) -> anyhow::Result<()> + 'static) {
        self.then(at_ms, Step::Write(Box::new(write)));
    }
}

/// One of each role to come in as, and some more who did things.
fn operators(month: &mut Month) -> anyhow::Result<Vec<Login>> {
    use watchpost_collector::operators::{Grant, Role, Scope};
    let kept = Kept::of(PASSWORD)?;
    let at_ms = month.now_ms - 35 * DAY_MS;
    let mut all = one_of_each(PASSWORD, &[(DEPARTMENTS[0], SITES[0])])?;
    let mut more = |name: &str, role: Role, site: &str| {
        let scopes =
            if site.is_empty() { Vec::new() } else { vec![Scope { department: String::new(), site: site.into() }] };
        let login = Login { name: name.into(), role, password: PASSWORD.into(), seed: None };
        all.push((login, Grant { scopes, ..Grant::of(role) }));
    };
    more("lin.yue", Role::Reviewer, "");
    more("he.jun", Role::Reviewer, "");
    more("chen.hz", Role::Supervisor, SITES[1]);
    more("koh.sg", Role::Supervisor, SITES[4]);
    for (login, grant) in all.clone() {
        let kept = kept.clone();
        month.write(at_ms, move |log| log.employ(&login, grant, &kept, at_ms));
    }
    Ok(all.into_iter().map(|(login, _)| login).collect())
}
