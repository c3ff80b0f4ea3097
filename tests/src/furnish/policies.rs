//! Invented policies: of the packs that ship, published ring by ring, one of them halted.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Context as _;
use watchpost_collector::log_store::EVERYBODY;
use watchpost_collector::policies::{self, gather};
use watchpost_collector::registry::Effects;
use watchpost_policy::bundle::Role;
use watchpost_proto::document::Signers;
use watchpost_proto::keys::{SigningKey as _, SoftwareKey};
use watchpost_proto::policy::Policy;
use watchpost_proto::v1::{PolicyHeader, PolicyRole, PolicyVerb, Rollout};

use super::{DAY_MS, HOUR_MS, Month};
use crate::offline::{Act, Log};

/// By group: version and digest.
pub(super) type InForce = BTreeMap<&'static str, (u64, Vec<u8>)>;

/// The group of archive hosts, and that of branches.
pub(super) const GROUPS: [&str; 2] = ["default", "branches"];

/// Publishes them; gives back the digest of the one that devices of each group have in force, with its version.
pub(super) fn policies(month: &mut Month) -> anyhow::Result<InForce> {
    let (key, _) = SoftwareKey::generate()?;
    let versions = [
        (GROUPS[0], 33 * DAY_MS, &["builtin"][..], "first packs / 首批规则包"),
        (GROUPS[1], 33 * DAY_MS, &["builtin"][..], "first packs / 首批规则包"),
        (GROUPS[0], 12 * DAY_MS, &["builtin", "builtin:message-flow"][..], "message flow on trial / 试行会话流量规则"),
        (GROUPS[1], 20 * HOUR_MS, &["builtin", "builtin:message-flow"][..], "the same for branches / 推广至分支机构"),
    ];
    let (mut before, mut in_force) = (InForce::new(), InForce::new());
    for (group, ago_ms, packs, note) in versions {
        let (at_ms, is_fresh) = (month.now_ms - ago_ms, ago_ms < DAY_MS);
        // The last one still stands in its first ring.
        let (version, previous) =
            before.get(group).map_or((1, Vec::new()), |(version, digest)| (version + 1, digest.clone()));
        let said = PolicyHeader {
            tenant: month.tenant.clone(),
            group: group.into(),
            version,
            fallback: previous.clone(),
            previous,
            keys: Some(Signers::pinned(key.public().id()).write()),
            made_at_ms: at_ms - HOUR_MS,
            note: note.into(),
            ..PolicyHeader::default()
        };
        let policy = signed(said, packs, &key)?;
        if !is_fresh {
            in_force.insert(group, (version, policy.header.digest.to_vec()));
        }
        before.insert(group, (version, policy.header.digest.to_vec()));
        let rollout = Rollout { rings: vec![1_000, 4_000, EVERYBODY], soak_ms: 36 * 3_600_000, fall_back: version > 1 };
        month.write(at_ms, move |log| {
            let act = Act { by: "author", reason: note, at_ms };
            log.work(|log| policies::publish(log, &mut Effects::default(), &policy, &rollout, &act)).map(drop)
        });
        for ring in 1..=if is_fresh { 0 } else { 2 } {
            change(month, at_ms + ring * 6 * HOUR_MS, group, PolicyVerb::Advance, "it stands");
        }
    }
    change(
        month,
        month.now_ms - 5 * HOUR_MS,
        GROUPS[1],
        PolicyVerb::Halt,
        "命中率过高，先核对 / too many hits, being looked at",
    );
    Ok(in_force)
}

fn change(month: &mut Month, at_ms: i64, group: &'static str, verb: PolicyVerb, reason: &'static str) {
    month.write(at_ms, move |log: &mut Log| {
        let act = Act { by: "author", reason, at_ms };
        log.work(|log| policies::change(log, &mut Effects::default(), group, verb, &act)).map(drop)
    });
}

fn signed(said: PolicyHeader, packs: &[&str], key: &SoftwareKey) -> anyhow::Result<Policy> {
    let packs: Vec<PathBuf> = packs.iter().map(PathBuf::from).collect();
    let role = |role| match role {
        Role::Pack => PolicyRole::Pack,
        Role::Filter => PolicyRole::Filter,
        Role::Named => PolicyRole::Named,
    };
    let files: Vec<_> =
        gather::gather(&packs)?.into_iter().map(|file| (role(file.role), file.name, file.bytes)).collect();
    let mut policy = Policy::make(said, &files).context("the header is unsound")?;
    policy.sign(key)?;
    Ok(policy)
}
