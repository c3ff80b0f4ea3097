//! Whatever is offered, what is in force was signed by whoever is pinned, is the highest that was, and stays when the process ends.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod support;

use std::fs;
use std::path::Path;
use std::sync::Arc;

use support::{TestClock, device, store};
use watchpost_agent::clock::Clock;
use watchpost_agent::config::Config;
use watchpost_agent::device::Device;
use watchpost_agent::in_force::Switch;
use watchpost_agent::policies::{Policies, at_start};
use watchpost_agent::store::Store;
use watchpost_policy::rules::Disclose;
use watchpost_proto::document::Signers;
use watchpost_proto::keys::{SigningKey as _, SoftwareKey};
use watchpost_proto::policy::Policy;
use watchpost_proto::v1::{PolicyHeader, PolicyReport, PolicyRole, PolicySettings, SignedPolicyHeader, summary::Kind};

fn key() -> SoftwareKey {
    SoftwareKey::generate().unwrap().0
}

fn pack(word: &str) -> String {
    format!(
        "pack: demo\nversion: 1\ntitle: {{ zh: 例, en: Example }}\nrules:\n  - {{ id: demo.word, title: {{ zh: 例, en: Example }}, \
         category: demo, level: high, detection: {{ word: {{ words: [{word}号文件] }}, condition: word }} }}\n"
    )
}

/// A policy of one pack that follows another.
fn policy(keys: &[&SoftwareKey], after: Option<&Policy>, pack: &str, change: impl FnOnce(&mut PolicyHeader)) -> Policy {
    let before = after.map(|policy| policy.header.said.clone()).unwrap_or_default();
    let digest = after.map(|policy| policy.header.digest.to_vec()).unwrap_or_default();
    let mut said = PolicyHeader {
        tenant: "default".into(),
        group: "default".into(),
        version: before.version + 1,
        fallback: digest.clone(),
        previous: digest,
        keys: Some(Signers::pinned(keys[0].public().id()).write()),
        ..PolicyHeader::default()
    };
    change(&mut said);
    let mut made = Policy::make(said, &[(PolicyRole::Pack, "1/a.yaml".into(), pack.as_bytes().to_vec())]).unwrap();
    for key in keys {
        made.sign(*key).unwrap();
    }
    made
}

/// An agent's policies, in one process.
struct Host {
    store: Arc<Store>,
    device: Arc<Device>,
    switch: Arc<Switch>,
    policies: Policies,
}

impl Host {
    fn start(dir: &Path, pin: &SoftwareKey) -> Self {
        let text = format!(
            "collector = \"127.0.0.1:1\"\nstate_dir = \"state\"\n[policy]\nkey = \"{}\"\nbytes_max = \"64KiB\"\ndisclose = \"masked\"\n\
             [[folder]]\npath = \"exports\"\ncorp = \"ww1\"\n",
            pin.public().id().0
        );
        let config = Config::parse(&text, dir).unwrap();
        let store = if dir.join("state").exists() {
            Arc::new(Store::open(&dir.join("state")).unwrap())
        } else {
            fs::create_dir_all(dir.join("state")).unwrap();
            store(&dir.join("state"))
        };
        let (device, clock) = (device(), Arc::new(TestClock::default()) as Arc<dyn Clock>);
        let switch = Arc::new(Switch::new(at_start(&config, Some(&device)).unwrap()));
        let parts = (&device, &store, &clock, &switch);
        let policies = Policies::new(&config, parts, Box::new(|| ()), Box::new(|error| panic!("{error}"))).unwrap();
        Self { store, device, switch, policies }
    }

    /// Offers a policy as a collector does; what the device asks for before, and what it tells then.
    fn offer(&self, policy: &Policy, leading: &[SignedPolicyHeader]) -> Option<PolicyReport> {
        let offered = policy.header.digest.to_vec();
        self.policies.request(&offered)?;
        self.policies.take(&offered, leading, &policy.encode());
        self.told().pop()
    }

    fn told(&self) -> Vec<PolicyReport> {
        let kinds = support::urgent(&self.store).into_iter();
        kinds.filter_map(|kind| if let Kind::PolicyReport(report) = kind { Some(report) } else { None }).collect()
    }

    fn refuses(&self, policy: &Policy, reason: &str) {
        let before = self.switch.now().policy;
        let told = self.offer(policy, &[]).unwrap_or_else(|| panic!("{reason}: nothing was told"));
        assert_eq!((told.applied, told.reason.as_str()), (false, reason), "{}", told.detail);
        assert!(!told.detail.is_empty());
        assert_eq!(self.switch.now().policy, before, "{reason}: the one before stays");
        assert_eq!(self.policies.request(&policy.header.digest.to_vec()), None, "{reason}: it is not asked for again");
    }
}

#[test]
fn what_is_signed_and_next_comes_into_force_and_outlives_the_process() {
    let (dir, key) = (tempfile::tempdir().unwrap(), key());
    let host = Host::start(dir.path(), &key);
    assert_eq!(host.switch.now().version, 0);
    let settings = PolicySettings { disclose: 3, report_unknown_accounts: true, ..PolicySettings::default() };
    let first = policy(&[&key], None, &pack("甲"), |said| said.settings = Some(settings));
    let told = host.offer(&first, &[]).unwrap();
    assert!(told.applied && told.version == 1 && told.rules == 1, "{told:?}");
    let in_force = host.switch.now();
    assert_eq!((in_force.policy, in_force.version), (first.header.digest, 1));
    assert_eq!(in_force.ceiling, Disclose::Masked, "no policy lifts the device's ceiling");
    assert!(in_force.report_unknown_accounts);
    let second = policy(&[&key], Some(&first), &pack("乙"), |said| {
        said.settings = Some(PolicySettings { disclose: 1, ..PolicySettings::default() });
    });
    assert!(host.offer(&second, &[]).unwrap().applied);
    assert_eq!(host.switch.now().ceiling, Disclose::None, "a policy may be stricter");
    drop(host);
    let host = Host::start(dir.path(), &key);
    assert_eq!(host.switch.now().policy, second.header.digest);
    host.policies.tell_in_force().unwrap();
    assert_eq!(host.told().len(), 2, "what was told is not told again");
    assert_eq!(host.policies.request(&second.header.digest.to_vec()), None);
}

#[test]
fn a_collector_that_turns_rogue_brings_nothing_into_force() {
    let (dir, key, other) = (tempfile::tempdir().unwrap(), key(), key());
    let host = Host::start(dir.path(), &key);
    let first = policy(&[&key], None, &pack("甲"), |_| ());
    let second = policy(&[&key], Some(&first), &pack("乙"), |_| ());
    let third = policy(&[&key], Some(&second), &pack("丙"), |said| said.fallback.clear());
    host.refuses(&policy(&[&other], None, &pack("甲"), |_| ()), "unsigned");
    assert!(host.offer(&second, &[]).unwrap().applied, "whoever was away goes on with the latest");
    assert!(host.offer(&third, &[]).unwrap().applied);
    host.refuses(&first, "older");
    host.refuses(&second, "older");
    host.refuses(&policy(&[&other], Some(&third), &pack("丁"), |_| ()), "unsigned");
    host.refuses(&policy(&[&key], Some(&second), &pack("丁"), |_| ()), "another");
    host.refuses(&policy(&[&key], Some(&third), &pack("丁"), |said| said.previous = vec![1; 32]), "broken");
    host.refuses(&policy(&[&key], Some(&third), &pack("丁"), |said| said.group = "it".into()), "group");
    host.refuses(&policy(&[&key], Some(&third), &pack("丁"), |said| said.tenant = "other".into()), "tenant");
    host.refuses(&policy(&[&key], Some(&third), "pack: x\nrules: [", |_| ()), "rules");
    host.refuses(&policy(&[&key], Some(&third), &(pack("丁") + &"# \n".repeat(30_000)), |_| ()), "ceiling");
    // Another file than the one offered, and one that was changed on its way.
    let fourth = policy(&[&key], Some(&third), &pack("丁"), |_| ());
    let offered = fourth.header.digest.to_vec();
    host.policies.request(&offered).unwrap();
    host.policies.take(&offered, &[], &third.encode());
    assert_eq!(host.told().pop().unwrap().reason, "other");
    // What is only a copy without its signatures is none, whatever it is called.
    for stripped in [&third, &second] {
        let mut bare = stripped.clone();
        bare.header.signatures.clear();
        host.policies.take(&stripped.header.digest.to_vec(), &[], &bare.encode());
        assert!(!host.told().pop().unwrap().applied);
    }
    let mut changed = fourth.encode();
    let last = changed.len() - 3;
    changed[last] ^= 1;
    host.policies.take(&offered, &[], &changed);
    assert_eq!(host.told().pop().unwrap().reason, "file");
    assert_eq!(host.switch.now().version, 3);
}

#[test]
fn the_fallback_of_the_highest_is_the_only_way_back_and_the_highest_stays_known() {
    let (dir, key) = (tempfile::tempdir().unwrap(), key());
    let host = Host::start(dir.path(), &key);
    let first = policy(&[&key], None, &pack("甲"), |_| ());
    let second = policy(&[&key], Some(&first), &pack("乙"), |_| ());
    assert!(host.offer(&first, &[]).unwrap().applied);
    assert!(host.offer(&second, &[]).unwrap().applied);
    assert!(host.offer(&first, &[]).unwrap().applied, "the way back");
    drop(host);
    let host = Host::start(dir.path(), &key);
    assert_eq!(host.switch.now().version, 1);
    let twin = policy(&[&key], Some(&first), &pack("丙"), |_| ());
    host.refuses(&twin, "another");
    assert!(host.offer(&second, &[]).unwrap().applied, "and forth again");
}

#[test]
fn new_keys_are_followed_and_roots_and_denied_collectors_are_taken_over() {
    let (dir, one, two) = (tempfile::tempdir().unwrap(), key(), key());
    let host = Host::start(dir.path(), &one);
    let first = policy(&[&one], None, &pack("甲"), |_| ());
    let second = policy(&[&two, &one], Some(&first), &pack("乙"), |_| ());
    let third = policy(&[&two], Some(&second), &pack("丙"), |said| {
        said.roots = vec![vec![0x30, 0]];
        said.collectors_denied = vec![one.public().id().to_vec()];
    });
    assert!(host.offer(&first, &[]).unwrap().applied);
    let told = host.offer(&third, &[second.header.signed()]).unwrap();
    assert!(told.applied, "{told:?}");
    assert_eq!(host.device.held().denied, [one.public().id()]);
    drop(host);
    let host = Host::start(dir.path(), &one);
    assert_eq!(host.device.held().denied, [one.public().id()]);
    assert!(host.device.held().roots.iter().any(|root| root[..] == [0x30, 0]));
}

#[test]
fn a_policy_damaged_on_the_disk_is_passed_over_for_the_last_good_one() {
    let (dir, key) = (tempfile::tempdir().unwrap(), key());
    let host = Host::start(dir.path(), &key);
    let first = policy(&[&key], None, &pack("甲"), |_| ());
    let second = policy(&[&key], Some(&first), &pack("乙"), |_| ());
    for policy in [&first, &second] {
        assert!(host.offer(policy, &[]).unwrap().applied);
    }
    drop(host);
    let path = dir.path().join(format!("state/policy/{}.policy", second.header.digest));
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, bytes).unwrap();
    let host = Host::start(dir.path(), &key);
    assert_eq!(host.switch.now().version, 1);
    // The highest is known all the same.
    host.refuses(&policy(&[&key], Some(&first), &pack("丙"), |_| ()), "another");
    assert!(host.offer(&second, &[]).unwrap().applied, "and it is fetched again");
}

#[test]
fn another_policy_under_the_name_of_one_held_is_passed_over() {
    let (dir, key, other) = (tempfile::tempdir().unwrap(), key(), key());
    let host = Host::start(dir.path(), &key);
    let first = policy(&[&key], None, &pack("甲"), |_| ());
    let second = policy(&[&key], Some(&first), &pack("乙"), |_| ());
    for policy in [&first, &second] {
        assert!(host.offer(policy, &[]).unwrap().applied);
    }
    drop(host);
    // Sound in itself, and signed by the keys it names: only its name gives it away.
    let forged = policy(&[&other], Some(&first), &pack("丙"), |_| ());
    fs::write(dir.path().join(format!("state/policy/{}.policy", second.header.digest)), forged.encode()).unwrap();
    assert_eq!(Host::start(dir.path(), &key).switch.now().policy, first.header.digest);
}
