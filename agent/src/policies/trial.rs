//! What a policy would have found in the exports that still lie here, beside what the one before finds in the same messages.

use std::time::{Duration, Instant};

use watchpost_policy::engine::{Engine, Scratch};
use watchpost_policy::message::{Corp, Message};
use watchpost_policy::parse::parse_line;
use watchpost_policy::rules::Status;

use crate::carrier::{self, Limits, Reading};
use crate::config::Folder;
use crate::lines::{Line, Lines};
use crate::source::{Listed, list, open_export};

/// The newest exports are tried, so many at most …
const EXPORTS_MAX: usize = 16;
/// … until there are so many messages …
const MESSAGES_MAX: u64 = 20_000;
/// … or this time is over: nobody waits for a policy for the sake of a count.
const TIME_MAX: Duration = Duration::from_secs(5);

/// Messages with a finding of a live rule, under either policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Trial {
    /// Messages tried.
    pub(super) tried: u64,
    /// Under the policy before.
    pub(super) before: u64,
    /// Under the new one.
    pub(super) after: u64,
}

/// Tries both on the same messages. Nothing is remembered, told or kept.
pub(super) fn run(folders: &[Folder], limits: Limits, before: &Engine, after: &Engine) -> Trial {
    let mut exports = list(folders).exports;
    exports.retain(|listed| listed.stamp.is_ok());
    exports.sort_by_key(|listed| std::cmp::Reverse(listed.stamp.map_or(0, |stamp| stamp.mtime_ns)));
    let mut trying = Trying {
        before,
        after,
        scratch: Scratch::default(),
        until: Instant::now() + TIME_MAX,
        trial: Trial::default(),
    };
    for listed in exports.iter().take(EXPORTS_MAX) {
        let folder = folders.iter().find(|folder| folder.path == listed.key.folder);
        let names = folder.map(|folder| folder.columns.clone()).unwrap_or_default();
        trying.read(listed, &Reading { limits, names });
        if trying.is_over() {
            break;
        }
    }
    trying.trial
}

struct Trying<'a> {
    before: &'a Engine,
    after: &'a Engine,
    scratch: Scratch,
    until: Instant,
    trial: Trial,
}

impl Trying<'_> {
    fn is_over(&self) -> bool {
        self.trial.tried >= MESSAGES_MAX || Instant::now() >= self.until
    }

    /// What cannot be read tells nothing.
    fn read(&mut self, listed: &Listed, reading: &Reading) {
        let corp = Corp::new(listed.corp.as_str());
        let Ok((export, _)) = open_export(&listed.key) else { return };
        let Ok(carried) = carrier::open(carrier::Shared::new(export), reading) else { return };
        let mut lines = Lines::new(carried.lines, reading.limits.record_bytes_max, 0, None);
        while !self.is_over() {
            match lines.next() {
                Ok(Some(Line::Whole(line))) => {
                    if let Some(message) = parse_line(line).message {
                        self.message(&corp, &message);
                    }
                }
                Ok(Some(Line::TooLong)) => {}
                Ok(Some(Line::Unended(_)) | None) | Err(_) => return,
            }
        }
    }

    fn message(&mut self, corp: &Corp, message: &Message) {
        let scratch = &mut self.scratch;
        let mut flags = |engine: &Engine| {
            let findings = engine.evaluate(corp, message, scratch);
            u64::from(findings.iter().any(|finding| finding.status == Status::Live))
        };
        self.trial.before += flags(self.before);
        self.trial.after += flags(self.after);
        self.trial.tried += 1;
    }
}
