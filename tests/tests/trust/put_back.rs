//! The collector put back to an earlier state, said or unsaid, and what people do about it: what they decided since is
//! decided again, what they signed since is published again.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use watchpost_collector::admin::{self, What};
use watchpost_collector::backup::{self, Progress};
use watchpost_collector::config::Config;
use watchpost_collector::durable_file::{self, Access};
use watchpost_collector::people::publish::handed_over;
use watchpost_collector::policies;
use watchpost_proto::v1::{PolicyVerb, Rollout};
use watchpost_proto::{DeviceId, Message as _};
use watchpost_tests::lab::copy_folder;

use crate::GROUP;
use crate::world::{Story, World};

/// Rings go on when somebody says so.
const SOAK_MS: u64 = 100 * 365 * 24 * 3600 * 1000;
/// The first ring of two, in hundredths of a percent.
const FIRST_RING: u32 = 5000;

/// A collector's folder as it was, and what was true then.
pub(crate) struct Kept {
    folder: PathBuf,
    durable: BTreeSet<String>,
    stories: BTreeMap<DeviceId, Story>,
    roots: usize,
}

struct Unseen;

impl Progress for Unseen {
    fn begin(&self, _: &'static str, _: u64) {}
    fn at(&self, _: u64) {}
}

impl World {
    fn kept(&self, folder: PathBuf) -> Kept {
        Kept { folder, durable: self.durable.clone(), stories: self.stories.clone(), roots: self.roots_here }
    }

    /// While it runs.
    pub(crate) fn back_up(&mut self) {
        let folder = self.new_folder();
        backup::make(&self.home().join("collector.toml"), &self.config, &folder, &Unseen).unwrap();
        self.backup = Some(self.kept(folder));
    }

    /// As the guide says: from the last backup, in the place of what is there.
    pub(crate) fn restore_backup(&mut self) {
        let Some(kept) = self.backup.take() else { return };
        let into = self.new_folder();
        backup::restore(&kept.folder, &into, &[], &Unseen).unwrap();
        self.stop();
        fs::remove_dir_all(self.home()).unwrap();
        fs::rename(&into, self.home()).unwrap();
        self.config = Config::load(&self.home().join("collector.toml")).unwrap();
        self.start();
        self.is_as_it_was(&kept);
        self.backup = Some(kept);
        self.somebody_looks();
    }

    /// An image of the disk of a collector that rests.
    pub(crate) fn image(&mut self) {
        let folder = self.new_folder();
        self.stop();
        copy_folder(self.home(), &folder).unwrap();
        self.start();
        self.image = Some(self.kept(folder));
    }

    /// Somebody puts the image back and tells nobody.
    pub(crate) fn put_image_back(&mut self) {
        let Some(kept) = self.image.take() else { return };
        self.stop();
        fs::remove_dir_all(self.home()).unwrap();
        copy_folder(&kept.folder, self.home()).unwrap();
        self.start();
        self.is_as_it_was(&kept);
        self.image = Some(kept);
    }

    /// What the collector has forgotten.
    fn is_as_it_was(&mut self, kept: &Kept) {
        self.durable.clone_from(&kept.durable);
        self.roots_here = kept.roots;
        for (device, story) in &mut self.stories {
            let doubtful = story.doubtful;
            *story = kept.stories.get(device).cloned().unwrap_or_default();
            story.doubtful |= doubtful;
        }
        self.running().take_over_certificates();
    }

    /// Whether a device has shown that this collector was put back.
    pub(crate) fn is_contradicted(&self) -> bool {
        let contradicted = async { tokio::time::timeout(Duration::ZERO, self.running().contradicted()).await.is_ok() };
        self.runtime.block_on(contradicted)
    }

    /// It begins again as `serve` does, and then people know.
    pub(crate) fn begins_again(&mut self) -> bool {
        let begins_again = self.is_contradicted();
        if begins_again {
            self.restart();
            self.somebody_looks();
        }
        begins_again
    }

    /// Whoever knows that the collector was put back decides again what was decided since, and publishes again what was
    /// signed since.
    pub(crate) fn somebody_looks(&mut self) {
        if self.is_behind() && self.skew_ms == 0 {
            self.new_intermediates();
        }
        let devices: Vec<DeviceId> = self.stories.keys().copied().collect();
        for device in devices {
            if self.stories[&device].revoked != self.decided.contains(&device) {
                self.decide(device);
            }
        }
        self.publish_what_is_signed(&[10_000], false);
    }

    /// Everything in the drawer that the collector does not have, in its order.
    fn publish_what_is_signed(&self, rings: &[u32], fall_back: bool) {
        let count = |table: &str| {
            let text = format!("SELECT count(*) FROM {table}");
            self.log_db().query_row(&text, [], |row| row.get::<_, usize>(0)).unwrap()
        };
        for policy in &self.drawer.policies[count("policy")..] {
            // What is halted and named as a fallback goes on first.
            self.change_policy(PolicyVerb::Resume);
            let fall_back = fall_back && !policy.header.said.fallback.is_empty();
            let rollout = Rollout { rings: rings.to_vec(), soak_ms: SOAK_MS, fall_back };
            let policy = policy.clone();
            let published =
                self.ask(move |appender, effects, act| policies::publish(appender, effects, &policy, &rollout, act));
            published.unwrap_or_else(|error| panic!("{error}"));
        }
        for roster in &self.drawer.rosters[count("roster")..] {
            let path = handed_over(&self.config, &roster.header.digest);
            durable_file::create_folder(path.parent().unwrap(), Access::Secret).unwrap();
            durable_file::write(&path, &roster.roster.encode_to_vec(), Access::Secret).unwrap();
            let what = What::PublishRoster { roster: roster.header.digest.to_string() };
            let request = admin::Request { what, by: "hr".into(), reason: String::new(), until_ms: 0 };
            let done = admin::have_done(&self.config, &request).unwrap();
            assert_eq!((done.error, done.entries.len()), (None, 1));
        }
    }

    /// Signs another policy and publishes it, to everybody or ring by ring.
    pub(crate) fn publish_policy(&mut self, content: Option<usize>, all: bool, fall_back: bool) {
        let is_halted = self.rollout().is_some_and(|(halted, _)| halted);
        self.publish_what_is_signed(&[10_000], false);
        let next = self.drawer.policies.len();
        self.drawer.sign_policy(content.unwrap_or(next), !is_halted);
        let rings: &[u32] = if all { &[10_000] } else { &[FIRST_RING, 10_000] };
        self.publish_what_is_signed(rings, fall_back);
    }

    pub(crate) fn publish_roster(&mut self, accounts: usize) {
        self.drawer.sign_roster(accounts);
        self.publish_what_is_signed(&[10_000], false);
    }

    /// Halts, resumes or advances the policy of the group, where there is one.
    pub(crate) fn change_policy(&self, verb: PolicyVerb) {
        let _ = self.ask(move |appender, effects, act| policies::change(appender, effects, GROUP, verb, act));
    }

    /// Whether the policy of the group is halted, and at which ring it stands.
    fn rollout(&self) -> Option<(bool, u32)> {
        use rusqlite::OptionalExtension as _;
        let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
        self.log_db().query_row("SELECT halted, ring FROM rollout WHERE grp = ?1", [GROUP], row).optional().unwrap()
    }

    /// Whatever was halted or waits goes on to everybody.
    pub(crate) fn go_on(&self) {
        self.change_policy(PolicyVerb::Resume);
        self.change_policy(PolicyVerb::Advance);
    }
}
