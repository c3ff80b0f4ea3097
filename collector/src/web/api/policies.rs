//! Policies: how far each has come, what a signed one would change, and steps with them. The key that signs is never here.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use watchpost_proto::policy::Policy;

use super::alerts::reason;
use super::operators::Done;
use crate::admin::{PolicyChange, What};
use crate::commands::token::seconds;
use crate::log_store::{self, RolloutFacts};
use crate::policies::difference::Difference;
use crate::policies::history::Version;
use crate::policies::in_force::{self, InForce};
use crate::policies::{SOAK_MAX_S, read_rings, rollout};
use crate::web::ask::Ask;
use crate::web::problem::{Kind, Problem};
use crate::web::route::Nothing;

/// A signed policy in base64, and what belongs to the request around it.
pub(in crate::web) const BODY_BYTES_MAX: usize = 44 * 1024 * 1024;

/// A group and what is in force in it.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::web) struct Group {
    /// The group.
    pub(in crate::web) group: String,
    /// Packs, with their versions.
    pub(in crate::web) packs: Vec<(String, u64)>,
    /// Rules that people are told of, and those that are only counted.
    pub(in crate::web) live: usize,
    /// See above.
    pub(in crate::web) shadow: usize,
    /// How far its policy has come; none where the packs that ship are in force.
    pub(in crate::web) rollout: Option<RolloutView>,
}

/// How far a policy has come.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::web) struct RolloutView {
    /// Its number.
    pub(in crate::web) version: u64,
    /// Digest of its header.
    pub(in crate::web) policy: String,
    /// Rings, in hundredths of a percent.
    pub(in crate::web) rings: Vec<u32>,
    /// The ring it is offered to, from 0.
    pub(in crate::web) ring: usize,
    /// Nobody else gets it.
    pub(in crate::web) halted: bool,
    /// Everybody is offered it.
    pub(in crate::web) complete: bool,
    /// How long a ring has to stand, milliseconds.
    pub(in crate::web) soak_ms: u64,
    /// Since when it stands so.
    pub(in crate::web) since_ms: i64,
    /// What is done where it halts: devices go back to its fallback, or keep it.
    pub(in crate::web) falls_back: bool,
    /// Devices of the ring; those that have it in force; those that refuse it.
    pub(in crate::web) devices: u64,
    /// See above.
    pub(in crate::web) applied: u64,
    /// See above.
    pub(in crate::web) refused: u64,
    /// Why the first of them does.
    pub(in crate::web) refused_because: String,
    /// Messages it was tried on; flagged under the policy before, and under this one.
    pub(in crate::web) tried: u64,
    /// See above.
    pub(in crate::web) flagged_before: u64,
    /// See above.
    pub(in crate::web) flagged_after: u64,
}

/// A policy to look at.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::web) struct Signed {
    /// Its file, base64.
    policy: String,
}

/// What publishing would do.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::web) struct Checked {
    /// The group it is for.
    pub(in crate::web) group: String,
    /// Its number, and the one it follows; 0 where there is none.
    pub(in crate::web) version: u64,
    /// See above.
    pub(in crate::web) before: u64,
    /// What its author says has changed.
    pub(in crate::web) note: String,
    /// Signatures, and how many its own keys still lack.
    pub(in crate::web) signatures: usize,
    /// See above.
    pub(in crate::web) signatures_missing: usize,
    /// Most that rules may disclose before and afterwards, where that changes.
    pub(in crate::web) disclose: Option<(String, String)>,
    /// What changes in packs, rules and words.
    pub(in crate::web) difference: Difference,
    /// Why it cannot be published as it is; none where it can.
    pub(in crate::web) refused: Option<String>,
}

/// A policy to publish.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::web) struct Publish {
    /// Its file, base64.
    pub(in crate::web) policy: String,
    /// Shares of the group's devices, such as `canary:5%,25%,100%`; everybody at once where it is missing.
    #[serde(default = "everybody")]
    pub(in crate::web) rings: String,
    /// How long a ring has to stand before the next: `30m`, `24h`, `0`.
    #[serde(default = "an_hour")]
    pub(in crate::web) soak: String,
    /// Devices that have it go back to its fallback where it halts; otherwise they keep it.
    #[serde(default)]
    pub(in crate::web) fall_back: bool,
    /// Why; goes into the audit trail.
    pub(in crate::web) reason: String,
}

fn everybody() -> String {
    "100%".into()
}

fn an_hour() -> String {
    "1h".into()
}

/// A step with the policy of a group.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::web) struct Step {
    /// `halt`, `resume` or `advance`.
    pub(in crate::web) step: Change,
    /// Why; goes into the audit trail.
    pub(in crate::web) reason: String,
}

/// What is done with a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(in crate::web) enum Change {
    /// It is offered to nobody who has not got it.
    Halt,
    /// It goes on.
    Resume,
    /// To the next ring now.
    Advance,
}

pub(in crate::web) fn groups(ask: &Ask<'_>, _: Nothing) -> Result<Vec<Group>, Problem> {
    let log = ask.log().connection();
    let rollouts = log_store::rollouts(log)?;
    let mut groups = Vec::new();
    for group in in_force::groups(log, ask.derived()?)? {
        let policy = ask.site.in_force.of_group(log, &group)?;
        let rollout = rollouts.iter().find(|rollout| rollout.group == group);
        let live = |is: bool| policy.rules().filter(|(_, rule)| (rule.status.as_str() == "live") == is).count();
        groups.push(Group {
            packs: policy.packs().iter().map(|pack| (pack.id.to_string(), pack.version)).collect(),
            live: live(true),
            shadow: live(false),
            rollout: rollout.map(|rollout| shown(ask, rollout)).transpose()?,
            group,
        });
    }
    Ok(groups)
}

fn shown(ask: &Ask<'_>, rollout: &RolloutFacts) -> Result<RolloutView, Problem> {
    let ring = rollout.rings.get(rollout.ring).copied().unwrap_or_default();
    // Who is connected matters only to what is awaited, which is not told here.
    let reports = rollout::reports(ask.derived()?, &rollout.group, ring, &rollout.policy, &[], rollout.since_ms)?;
    Ok(RolloutView {
        version: rollout.version,
        policy: rollout.policy.to_string(),
        rings: rollout.rings.clone(),
        ring: rollout.ring,
        halted: rollout.halted,
        complete: rollout.is_complete(),
        soak_ms: rollout.soak_ms,
        since_ms: rollout.since_ms,
        falls_back: rollout.fall_back,
        devices: reports.devices,
        applied: reports.applied,
        refused: reports.refused,
        refused_because: reports.reason,
        tried: reports.tried,
        flagged_before: reports.before,
        flagged_after: reports.after,
    })
}

pub(in crate::web) fn history(ask: &Ask<'_>, _: Nothing) -> Result<Vec<Version>, Problem> {
    versions(ask, ask.param("group")?)
}

/// The policies of a group, the latest first.
pub(in crate::web) fn versions(ask: &Ask<'_>, group: &str) -> Result<Vec<Version>, Problem> {
    let log = ask.log().connection();
    let rollouts = log_store::rollouts(log)?;
    let published = log_store::published(log, Some(group))?;
    let versions = published.iter().rev().map(|it| Version::of(it, &rollouts, ask.derived()?).map_err(Problem::from));
    versions.collect()
}

pub(in crate::web) fn check(ask: &Ask<'_>, signed: Signed) -> Result<Checked, Problem> {
    checked(ask, &decoded(&signed.policy)?)
}

fn decoded(text: &str) -> Result<Vec<u8>, Problem> {
    BASE64.decode(text).map_err(|_| Problem::malformed("the policy is not base64"))
}

/// A policy as it was signed, for this collector's tenant.
fn read(ask: &Ask<'_>, file: &[u8]) -> Result<Policy, Problem> {
    let policy = Policy::read(file).map_err(|error| Problem::malformed(error.to_string()))?;
    let (said, own) = (&policy.header.said.tenant, &ask.site.desk.config.tenant);
    if said != own {
        return Err(Problem::malformed(format!(
            "the policy is for the tenant {said:?}, and this collector serves {own:?}"
        )));
    }
    Ok(policy)
}

/// What publishing a file would do.
pub(in crate::web) fn checked(ask: &Ask<'_>, file: &[u8]) -> Result<Checked, Problem> {
    let policy = read(ask, file)?;
    let (log, header) = (ask.log().connection(), &policy.header);
    let said = &header.said;
    let after = InForce::of_policy(&policy)
        .map_err(|error| Problem::malformed(format!("devices would refuse it: {error:#}")))?;
    let latest = log_store::latest(log, &said.group)?;
    let present = ask.site.in_force.of_group(log, &said.group)?;
    let disclose =
        |settings: u32| ["rules", "none", "masked", "context"].get(settings as usize).copied().unwrap_or("?");
    let before = latest.as_ref().map_or(0, |latest| latest.header.settings().disclose);
    let now = header.settings().disclose;
    Ok(Checked {
        group: said.group.clone(),
        version: said.version,
        before: present.version,
        note: said.note.clone(),
        signatures: header.signatures.len(),
        signatures_missing: header.signatures_missing(),
        disclose: (before != now).then(|| (disclose(before).to_owned(), disclose(now).to_owned())),
        difference: Difference::of(&present, &after),
        refused: crate::policies::why_refused(log, &policy)?,
    })
}

pub(in crate::web) fn publish(ask: &Ask<'_>, asked: Publish) -> Result<Done, Problem> {
    let file = decoded(&asked.policy)?;
    publish_file(ask, &file, asked)
}

/// Publishes, as the command does: signatures and order are checked where the entry is made.
pub(in crate::web) fn publish_file(ask: &Ask<'_>, file: &[u8], asked: Publish) -> Result<Done, Problem> {
    let policy = read(ask, file)?;
    InForce::of_policy(&policy).map_err(|error| Problem::malformed(format!("devices would refuse it: {error:#}")))?;
    let rings = read_rings(&asked.rings).map_err(Problem::malformed)?;
    let soak_s = if asked.soak == "0" { 0 } else { seconds(&asked.soak).map_err(Problem::malformed)? };
    if soak_s > SOAK_MAX_S {
        return Err(Problem::malformed("a ring stands for at most 90 days"));
    }
    let what = What::PublishPolicy {
        policy: BASE64.encode(policy.encode()),
        rings,
        soak_ms: soak_s.saturating_mul(1000),
        fall_back: asked.fall_back,
    };
    let entries = ask.have_done(what, reason(&asked.reason)?)?;
    ask.until_shown(&entries)?;
    Ok(Done { entries })
}

pub(in crate::web) fn step(ask: &Ask<'_>, asked: Step) -> Result<Done, Problem> {
    let group = ask.param("group")?.to_owned();
    if !log_store::rollouts(ask.log().connection())?.iter().any(|rollout| rollout.group == group) {
        return Err(Problem::new(Kind::NotPossible).because("no policy was published for this group"));
    }
    let change = match asked.step {
        Change::Halt => PolicyChange::Halt,
        Change::Resume => PolicyChange::Resume,
        Change::Advance => PolicyChange::Advance,
    };
    let entries = ask.have_done(What::ChangePolicy { group, change }, reason(&asked.reason)?)?;
    ask.until_shown(&entries)?;
    Ok(Done { entries })
}
