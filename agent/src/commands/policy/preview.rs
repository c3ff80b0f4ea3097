//! `policy preview`: what a policy would have found in past exports, before it goes live.
//!
//! With `--against` the exports are read twice, first with the present policy: what it finds is remembered by message and
//! rule, so that only what changes is told. Samples are chosen by a hash of message and seed, so that the same exports give
//! the same samples, whatever the number of threads.

mod show;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::bail;
use clap::Args;
use watchpost_agent::clock::{Clock as _, SystemClock};
use watchpost_policy::engine::{Engine, Finding};
use watchpost_policy::hint::did_you_mean;
use watchpost_policy::identity::Mid;
use watchpost_policy::message::Corp;
use watchpost_policy::rules::{Level, Title};
use watchpost_policy::windows::Held;

use super::super::scan::read::{self, Evaluated, Piece, Reader};
use super::super::scan::walk::{Export, SetAside, Walk};
use super::super::scan::windows::Windows;
use super::super::scan::{ThreadsArg, WhoseArgs, progress};
use super::super::terminal::LookArgs;
use show::Shown;
use watchpost_agent::carrier::Reading;

/// Share of messages beyond which a word is told to be too common: curated words hit at most one in a thousand lines of
/// ordinary talk.
const SHARE_MAX: f64 = 0.001;
/// Messages needed before a share says anything.
const MESSAGES_MIN: u64 = 1_000;
/// Findings of one rule remembered to be compared, some hundred bytes each.
const REMEMBERED_MAX: usize = 1_000_000;

/// Show what a policy would have found in past exports, before it goes live.
///
/// 规则上线前，在历史导出文件上试运行：命中数、占比、样例，以及与现行规则的差异。
#[derive(Args)]
#[command(after_help = "Examples:\n  watchpost-agent policy preview exports/ --policy packs/sales.yaml\n  \
    watchpost-agent policy preview exports/ --policy new.yaml --against old.yaml --sample 10\n  \
    watchpost-agent policy preview exports/2026-11/ --policy new.yaml --rule sales.promise --json\n\n\
    Nothing is kept or sent. A word that hits more than 0.1 % of all messages is told: reviewers would drown in it.")]
pub(super) struct PreviewArgs {
    /// Past exports, or folders of them with all below.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// The pack to try; may be given several times.
    #[arg(long, value_name = "FILE", required = true)]
    policy: Vec<PathBuf>,
    /// The present packs, to tell what is new and what is gone; may be given several times.
    #[arg(long, value_name = "FILE")]
    against: Vec<PathBuf>,
    /// Only this rule.
    #[arg(long, value_name = "ID")]
    rule: Option<String>,
    /// Findings shown of each rule.
    #[arg(long, value_name = "N", default_value_t = 3)]
    sample: usize,
    /// Chooses other findings to show.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    #[command(flatten)]
    whose: WhoseArgs,
    #[command(flatten)]
    threads: ThreadsArg,
    /// Print JSON, one object a rule.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    look: LookArgs,
}

pub(super) fn run(args: &PreviewArgs) -> anyhow::Result<ExitCode> {
    let engine = args.whose.engine(&args.policy)?;
    args.check_rule(&engine)?;
    let against = if args.against.is_empty() { None } else { Some(args.whose.engine(&args.against)?) };
    let walk = Walk::of(&args.paths);
    if against.is_some() && args.paths.iter().any(|path| path.as_os_str() == "-") {
        bail!("standard input can be read only once; put it into a file to compare two policies");
    }
    let before = against.map(|against| args.read(&against, &walk, None)).transpose()?;
    let mut preview = args.read(&engine, &walk, before.as_ref())?;
    preview.aside.extend(walk.aside);
    preview.add_gone(before.as_ref(), args);
    let shown = Shown { args, preview: &preview, compared: before.is_some() };
    let told = if args.json { shown.json() } else { shown.people() };
    told?;
    Ok(if preview.aside.iter().any(|aside| aside.failed) { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

impl PreviewArgs {
    fn check_rule(&self, engine: &Engine) -> anyhow::Result<()> {
        let Some(id) = &self.rule else { return Ok(()) };
        let known: Vec<&str> = engine.packs().iter().flat_map(|pack| pack.rules.iter().map(|rule| &*rule.id)).collect();
        if known.contains(&id.as_str()) {
            return Ok(());
        }
        bail!("there is no rule `{id}` in the policy{}", did_you_mean(id, &known))
    }

    fn read(&self, engine: &Engine, walk: &Walk, before: Option<&Preview>) -> anyhow::Result<Preview> {
        let corp = Corp::new(self.whose.corp.as_str());
        let bar = progress(walk.bytes);
        let reading = Reading::default();
        let reader =
            Reader { corp: &corp, engine, progress: &bar, reading: &reading, now_ms: SystemClock::default().wall_ms() };
        let mut preview = Preview::of(engine, self.rule.as_deref());
        let mut windows = Windows::default();
        read::in_order(&reader, &walk.exports, self.threads.number(), |export, piece| {
            match piece {
                Piece::Evaluated(mut seen) => {
                    preview.add(export, &seen, before, self);
                    windows.add(engine, &mut seen, |seen| (seen.mid, Sample::at(export, seen)));
                }
                Piece::End(end) => {
                    windows.read(end.newest_ms);
                    preview.messages += end.messages;
                    preview.aside.extend(end.aside);
                }
            }
            Ok(())
        })?;
        for found in windows.finish(engine) {
            let (mid, sample) = &*found.first;
            if let Some(finding) = engine.finding_of(found.rule, &found.held) {
                preview.found(*mid, sample.clone().of_window(&found.held), &finding, before, self);
            }
        }
        bar.finish_and_clear();
        Ok(preview)
    }
}

/// What one policy finds in all exports.
#[derive(Default)]
struct Preview {
    messages: u64,
    rules: BTreeMap<RuleId, RulePreview>,
    /// Messages with any finding.
    hit: HashSet<Mid>,
    aside: Vec<SetAside>,
    /// Whether there were more findings than are compared.
    overflow: bool,
}

/// Pack and rule.
type RuleId = (Arc<str>, Arc<str>);

/// What one rule finds.
#[derive(Default)]
struct RulePreview {
    title: Option<Title>,
    level: Option<Level>,
    /// What its window measures, where it has one: then windows are counted, each as its first message.
    window: Option<&'static str>,
    /// Messages it holds for, and where each stands.
    found: BTreeMap<Mid, Sample>,
    /// Messages it holds for beyond what is remembered.
    more: u64,
    new: u64,
    gone: u64,
    /// By selection and word: messages hit.
    words: BTreeMap<(Arc<str>, Arc<str>), u64>,
    /// The samples with the smallest hashes.
    samples: BTreeMap<(u64, Change), Sample>,
}

/// What becomes of a finding when the policy changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Change {
    /// Found before too, or nothing is compared.
    Same,
    New,
    Gone,
}

/// Where a finding stands.
#[derive(Clone, Debug)]
struct Sample {
    file: Arc<str>,
    line: u64,
    msgid: Option<String>,
    /// What is around the first hit, in stretches that are a hit or not.
    text: Arc<str>,
    hit: Option<std::ops::Range<usize>>,
}

/// Characters of text kept on each side of a sample's hit.
const SIDE_CHARS: usize = 40;

impl Sample {
    fn of(export: &Export, seen: &Evaluated, finding: &Finding) -> Self {
        let hit = finding.hits.first();
        let text = hit.and_then(|hit| seen.message.all_texts().find(|text| text.field == hit.field));
        let from = hit.map_or(0, |hit| (hit.start as usize).saturating_sub(SIDE_CHARS));
        let until = hit.map_or(0, |hit| (hit.end as usize).saturating_add(SIDE_CHARS));
        let piece: String =
            text.map_or(String::new(), |text| text.text.chars().skip(from).take(until - from).collect());
        let hit = hit.map(|hit| hit.start as usize - from..hit.end as usize - from);
        Self { text: piece.into(), hit, ..Self::at(export, seen) }
    }

    /// Where a message stands, without what it says.
    fn at(export: &Export, seen: &Evaluated) -> Self {
        let (file, msgid) = (export.name.as_str().into(), seen.message.msgid.clone());
        Self { file, line: seen.line, msgid, text: "".into(), hit: None }
    }

    /// With what several messages say together.
    fn of_window(self, held: &Held) -> Self {
        let Some(joined) = &held.joined else { return self };
        let hit = joined.hits.first().map(|hit| hit.start as usize..hit.end as usize);
        Self { text: joined.text.as_str().into(), hit, ..self }
    }
}

impl Preview {
    /// Rules that find nothing are told too.
    fn of(engine: &Engine, only: Option<&str>) -> Self {
        let mut rules = BTreeMap::new();
        for pack in engine.packs() {
            for rule in pack.rules.iter().filter(|rule| only.is_none_or(|only| *rule.id == *only)) {
                let preview = RulePreview {
                    title: Some(rule.title.clone()),
                    level: Some(rule.level),
                    window: rule.window.as_ref().map(|window| window.kind.as_str()),
                    ..RulePreview::default()
                };
                rules.insert((pack.id.clone(), rule.id.clone()), preview);
            }
        }
        Self { rules, ..Self::default() }
    }

    fn add(&mut self, export: &Export, seen: &Evaluated, before: Option<&Self>, args: &PreviewArgs) {
        for finding in &seen.findings {
            self.found(seen.mid, Sample::of(export, seen, finding), finding, before, args);
        }
    }

    fn found(&mut self, mid: Mid, sample: Sample, finding: &Finding, before: Option<&Self>, args: &PreviewArgs) {
        let id = (finding.pack.clone(), finding.rule.clone());
        let Some(rule) = self.rules.get_mut(&id) else { return };
        self.hit.insert(mid);
        let found_before = before.and_then(|before| before.rules.get(&id));
        let known = found_before.is_some_and(|rule| rule.found.contains_key(&mid));
        let change = if before.is_some() && !known { Change::New } else { Change::Same };
        self.overflow |= rule.found.len() >= REMEMBERED_MAX;
        rule.add(sample, mid, finding, change, args);
    }

    /// What the present policy finds and the new one does not.
    fn add_gone(&mut self, before: Option<&Self>, args: &PreviewArgs) {
        let Some(before) = before else { return };
        self.overflow |= before.overflow;
        for (id, rule) in &before.rules {
            let now = self.rules.entry(id.clone()).or_insert_with(|| RulePreview {
                title: rule.title.clone(),
                level: rule.level,
                window: rule.window,
                ..RulePreview::default()
            });
            let gone: Vec<_> = rule.found.iter().filter(|(mid, _)| !now.found.contains_key(*mid)).collect();
            for (mid, sample) in gone {
                now.gone += 1;
                now.sample(sample.clone(), *mid, Change::Gone, args);
            }
        }
    }

    /// Of all messages.
    fn share(&self, messages: u64) -> f64 {
        if self.messages == 0 { 0.0 } else { messages as f64 / self.messages as f64 }
    }

    fn is_common(&self, messages: u64) -> bool {
        self.messages >= MESSAGES_MIN && self.share(messages) > SHARE_MAX
    }
}

impl RulePreview {
    fn add(&mut self, sample: Sample, mid: Mid, finding: &Finding, change: Change, args: &PreviewArgs) {
        if self.found.contains_key(&mid) {
            return;
        }
        let words: BTreeSet<_> = finding.hits.iter().map(|hit| (hit.selection.clone(), hit.word.clone())).collect();
        words.into_iter().for_each(|word| *self.words.entry(word).or_default() += 1);
        self.new += u64::from(change == Change::New);
        self.sample(sample.clone(), mid, change, args);
        if self.found.len() < REMEMBERED_MAX {
            self.found.insert(mid, sample);
        } else {
            self.more += 1;
        }
    }

    /// Keeps as many samples of each kind of change as are asked for: those with the smallest hashes.
    fn sample(&mut self, sample: Sample, mid: Mid, change: Change, args: &PreviewArgs) {
        self.samples.insert((order(mid, args.seed), change), sample);
        let same = || self.samples.keys().filter(|key| key.1 == change);
        if same().count() > args.sample
            && let Some(last) = same().next_back().copied()
        {
            self.samples.remove(&last);
        }
    }

    fn messages(&self) -> u64 {
        self.found.len() as u64 + self.more
    }
}

/// A number that stands for a message under a seed. The id of a message is a digest, so it is random enough.
fn order(mid: Mid, seed: u64) -> u64 {
    let mut first = [0; 8];
    first.copy_from_slice(&mid.0[..8]);
    // An odd factor and a shift spread neighbouring seeds over all bits.
    let mixed =
        (u64::from_be_bytes(first) ^ seed.wrapping_mul(0x9E37_79B9_7F4A_7C15)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed ^ (mixed >> 31)
}
