//! What search and the queue cost at a given size: making `derived.db` and `search.db` of a log, asking them, and what askers cost
//! whoever appends.
//!
//! Everything is invented: people, rules, words. Findings are of twenty days, and of so many alerts.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use time::OffsetDateTime;
use watchpost_collector::alerts::work::State;
use watchpost_collector::alerts::{self, Filter, Order};
use watchpost_collector::chain::{self, NewKey, Verdict, Verified};
use watchpost_collector::clock::Clock;
use watchpost_collector::commands::init::{self, LaidOut, Plan};
use watchpost_collector::config::Config;
use watchpost_collector::credentials::Credentials;
use watchpost_collector::derive::{self, Deriver};
use watchpost_collector::log_store::{LogReader, LogStore};
use watchpost_collector::pki::{DEVICE_LIFE, DeviceCa, Purpose};
use watchpost_collector::registry::Effects;
use watchpost_collector::search::Indexer;
use watchpost_collector::search::find::{Asked, Finder};
use watchpost_collector::search::query::Query;
use watchpost_collector::server;
use watchpost_proto::keys::{SigningKey as _, SoftwareKey};
use watchpost_proto::segment::{Head, Seal, read_statement, seal};
use watchpost_proto::v1::{
    AlertEntry, AlertVerb, Clocks, EntryKind, EpochStart, Finding, Hit, Lane, Level, Resolution, RuleStatus, Summary,
    summary,
};
use watchpost_proto::{DeviceId, EpochId, Message as _, record};

use crate::corpus::{Corpus, Random, Settings};
use crate::page_speed;

const TENANT: &str = "bench";
/// Midnight in China of the day after the last.
const NOW_MS: i64 = 1_795_104_000_000;
const DAY_MS: u64 = 86_400_000;
const DAYS: u64 = 20;
const RULES: u64 = 10;
const DEVICES: usize = 40;
/// Findings of one segment, and segments of one commit.
const PER_SEGMENT: u64 = 800;
const PER_COMMIT: u64 = 16;
/// Each question is asked so often, each time for something else.
const ASKED: u64 = 20;
/// Findings that are appended while nobody asks, and while somebody does.
const APPENDED: u64 = 200_000;

/// Makes a log of so many findings of so many alerts and prints what everything about it takes, the pages of the console
/// last. In the folder `keep` it stays, for [`page_speed::report`]; without one it is temporary.
///
/// # Errors
/// The disk, or a question that is not answered.
pub fn report(findings: u64, alerts: u64, keep: Option<&Path>) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let dir = keep.map_or_else(|| folder.path().join("collector"), Path::to_path_buf);
    let plan = Plan { tenant: TENANT, listen: "127.0.0.1:0".parse()?, names: &[], purpose: Purpose::Development };
    let LaidOut { devices, .. } = init::lay_out(&dir, &plan, OffsetDateTime::now_utc())?;
    let config = Config::load(&dir.join("collector.toml"))?;
    let credentials = Credentials::load(&config, &Clock::default())?;
    let mut store = server::open_log(&config, &credentials, &Clock::default())?.store;
    let mut made = Made::new(&devices, alerts)?;
    let start = Instant::now();
    made.append(&mut store, findings)?;
    made.deal_with(&mut store)?;
    println!(
        "log: {findings} findings of {} alerts in {:.0} s, {} MB",
        made.alerts,
        seconds(start),
        mb(&config.log_db())?
    );
    rebuild(&config, findings)?;
    questions(&config)?;
    queues(&config)?;
    beside_askers(&config, &mut made, &mut store)?;
    drop(store);
    page_speed::report(&dir)
}

fn rebuild(config: &Config, findings: u64) -> anyhow::Result<()> {
    let start = Instant::now();
    Deriver::open(&config.derived_db(), LogReader::open(&config.log_db())?)?.catch_up()?;
    let took = seconds(start);
    let rate = findings as f64 / took;
    println!("derived.db anew: {took:.1} s, {rate:.0} findings/s, {} MB", mb(&config.derived_db())?);
    let start = Instant::now();
    Indexer::open(&config.search_db(), LogReader::open(&config.log_db())?)?.catch_up()?;
    let took = seconds(start);
    let rate = findings as f64 / took;
    println!("search.db anew: {took:.1} s, {rate:.0} findings/s, {} MB", mb(&config.search_db())?);
    Ok(())
}

/// Questions with a hole for what is another each time.
const QUESTIONS: [(&str, &str); 14] = [
    ("newest of all", ""),
    ("a week of a level", "level:>=high since:{days}d"),
    ("a person", "person:ww1/u{person}"),
    ("a userid and a rule", "person:u{person} rule:r{rule}"),
    ("rules by their beginning", "rule:r* level:critical -type:link"),
    ("an old day of a rule", "rule:r{rule} day:{day}"),
    ("a frequent word", "{frequent}"),
    ("a rare word", "{rare}"),
    ("a phrase of two words", "\"{phrase}\""),
    ("one character", "{character}"),
    ("words, a level and a time", "{frequent} {rare} level:>=medium since:15d"),
    ("a customer", "with:p_{customer}"),
    ("what is closed, of a rule", "state:closed rule:r{rule}"),
    ("what is taken, with a word", "state:taken {frequent}"),
];

fn questions(config: &Config) -> anyhow::Result<()> {
    let mut finder = Finder::open(config)?;
    let words = Words::new();
    let (mut random, mut all) = (Random::new(99), Vec::new());
    for (name, question) in QUESTIONS {
        let (mut times, mut found) = (Vec::new(), 0);
        for _ in 0..ASKED {
            let text = words.filled(question, &mut random);
            let query = Query::parse(&text, NOW_MS).map_err(anyhow::Error::msg)?;
            let start = Instant::now();
            let page = finder.find(&Asked::first(&query)).with_context(|| text.clone())?;
            times.push(seconds(start) * 1e3);
            found += page.found.len();
        }
        all.extend_from_slice(&times);
        let (half, most) = (at(&mut times, 0.5), at(&mut times, 0.95));
        println!("search, {name}: p50 {half:.1} ms, p95 {most:.1} ms, {found} found in {ASKED}");
    }
    println!("search, all: p50 {:.1} ms, p95 {:.1} ms", at(&mut all, 0.5), at(&mut all, 0.95));
    Ok(())
}

fn queues(config: &Config) -> anyhow::Result<()> {
    let derived = derive::open_read_only(&config.derived_db())?;
    let open = Filter { states: vec![State::Open, State::Taken], ..Filter::default() };
    let person = |n: u64| Filter { persons: vec![format!("ww1/u{n}")], ..open.clone() };
    let mut random = Random::new(7);
    for name in ["queue, due first", "queue, newest of a level", "queue of a person"] {
        let mut times = Vec::new();
        for _ in 0..ASKED {
            let (filter, order) = match name {
                "queue, due first" => (open.clone(), Order::Due),
                "queue of a person" => (person(random.below(100)), Order::Due),
                _ => (Filter { level: 4, ..open.clone() }, Order::Newest),
            };
            let start = Instant::now();
            ensure!(alerts::page(&derived, &filter, order, None, 50)?.len() <= 50, "a page is a page");
            times.push(seconds(start) * 1e3);
        }
        println!("{name}: p50 {:.1} ms, p95 {:.1} ms", at(&mut times, 0.5), at(&mut times, 0.95));
    }
    Ok(())
}

/// Appends as the collector does, alone and beside somebody who asks all the time.
fn beside_askers(config: &Config, made: &mut Made, store: &mut LogStore) -> anyhow::Result<()> {
    let start = Instant::now();
    made.append(store, APPENDED)?;
    let alone = APPENDED as f64 / seconds(start);
    let (stop, answers) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let asker = std::thread::spawn({
        let (config, stop, answers) = (config.clone(), stop.clone(), answers.clone());
        move || -> anyhow::Result<()> {
            let mut finder = Finder::open(&config)?;
            let (words, mut random) = (Words::new(), Random::new(5));
            while !stop.load(Ordering::Relaxed) {
                for (_, question) in QUESTIONS {
                    let query =
                        Query::parse(&words.filled(question, &mut random), NOW_MS).map_err(anyhow::Error::msg)?;
                    finder.find(&Asked::first(&query))?;
                    answers.fetch_add(1, Ordering::Relaxed);
                }
            }
            Ok(())
        }
    });
    let start = Instant::now();
    let appended = made.append(store, APPENDED);
    let beside = APPENDED as f64 / seconds(start);
    stop.store(true, Ordering::Relaxed);
    asker.join().map_err(|_| anyhow::anyhow!("the asker panicked"))??;
    appended?;
    println!(
        "append: {alone:.0} findings/s alone, {beside:.0} beside an asker ({} answers), ratio {:.2}",
        answers.load(Ordering::Relaxed),
        beside / alone
    );
    Ok(())
}

/// What the log is made of.
struct Made {
    devices: Vec<Device>,
    words: Words,
    random: Random,
    alerts: u64,
    /// The finding that opened each alert.
    opened: Vec<Vec<u8>>,
    next: u64,
}

struct Device {
    id: DeviceId,
    key: SoftwareKey,
    chain: Vec<Vec<u8>>,
    head: Head,
}

impl Made {
    fn new(authority: &DeviceCa, alerts: u64) -> anyhow::Result<Self> {
        let device = |number: usize| -> anyhow::Result<Device> {
            let id = DeviceId([number as u8 + 1; 16]);
            let leaf = authority.issue_with_key(TENANT, &id, DEVICE_LIFE, OffsetDateTime::now_utc())?;
            let der = PrivateKeyDer::from_pem_slice(leaf.key.as_bytes())?;
            let chain = CertificateDer::pem_slice_iter(leaf.chain.as_bytes());
            let chain = chain.map(|it| it.map(|it| it.to_vec())).collect::<Result<_, _>>()?;
            let epoch = EpochId([number as u8 + 1; 16]);
            Ok(Device { id, key: SoftwareKey::from_pkcs8(der.secret_der())?, chain, head: Head::start(epoch) })
        };
        Ok(Self {
            devices: (0..DEVICES).map(device).collect::<Result<_, _>>()?,
            words: Words::new(),
            random: Random::new(1),
            alerts: alerts.max(RULES * DAYS),
            opened: vec![Vec::new(); usize::try_from(alerts.max(RULES * DAYS))?],
            next: 0,
        })
    }

    fn append(&mut self, store: &mut LogStore, findings: u64) -> anyhow::Result<()> {
        let segments = findings.div_ceil(PER_SEGMENT);
        let mut left = findings;
        for first in (0..segments).step_by(usize::try_from(PER_COMMIT)?) {
            let mut appender = store.begin()?;
            for number in first..segments.min(first + PER_COMMIT) {
                let size = left.min(PER_SEGMENT);
                left -= size;
                let summaries: Vec<Vec<u8>> = (0..size).map(|_| self.record()).collect::<Result<_, _>>()?;
                let device = &mut self.devices[number as usize % DEVICES];
                let verified = device.seal(&summaries)?;
                let answer = chain::take_segment(&mut appender, &verified, &mut Effects::default())?;
                ensure!(matches!(answer.verdict, Verdict::Durable(_)), "{answer:?}");
            }
            appender.commit()?;
        }
        Ok(())
    }

    fn record(&mut self) -> anyhow::Result<Vec<u8>> {
        let mut finding_id = vec![0; 32];
        for part in finding_id.chunks_mut(8) {
            part.copy_from_slice(&self.random.next().to_be_bytes());
        }
        // Some people and rules are told of far more often than others.
        let bound = self.bound();
        let alert = self.random.below(bound);
        if let Some(opened) = self.opened.get_mut(alert as usize).filter(|opened| opened.is_empty()) {
            opened.clone_from(&finding_id);
        }
        let (rule, rest) = (alert % RULES, alert / RULES);
        let (day, person) = (rest % DAYS, rest / DAYS);
        let msgtime = NOW_MS as u64 - (day + 1) * DAY_MS + self.random.below(DAY_MS);
        let words: Vec<&str> = (0..9).map(|_| self.words.any(&mut self.random)).collect();
        self.next += 1;
        let finding = Finding {
            finding_id,
            corp: "ww1".into(),
            pack: format!("pack-{}", rule % 3),
            pack_version: 1,
            pack_digest: vec![1; 32],
            rule: format!("r{rule}"),
            category: format!("category-{}", rule % 4),
            level: Level::try_from(1 + (rule % 5) as i32)?.into(),
            status: RuleStatus::Live.into(),
            sla_s: 86_400,
            person: format!("ww1/u{person}"),
            msgid: format!("{}_{msgtime}", self.next),
            msgtime_ms: msgtime as i64,
            msgtype: if self.next.is_multiple_of(20) { "link".into() } else { "text".into() },
            from: format!("ww1/u{person}"),
            to: vec![format!("p_{:024x}", self.random.below(200_000))],
            to_total: 1,
            hits: vec![Hit {
                selection: "promise".into(),
                field: "text".into(),
                word: words[4].into(),
                ..Hit::default()
            }],
            excerpt: words.concat(),
            ..Finding::default()
        };
        let summary = Summary {
            made_at_ms: msgtime as i64,
            policy: vec![2; 32],
            kind: Some(summary::Kind::Finding(finding)),
            ..Summary::default()
        };
        let mut salt = [0; 16];
        salt[..8].copy_from_slice(&self.random.next().to_be_bytes());
        Ok(record::encode(&summary, salt)?)
    }

    /// Half of all findings are of a tenth of the alerts.
    fn bound(&mut self) -> u64 {
        if self.random.below(2) == 0 { (self.alerts / 10).max(1) } else { self.alerts }
    }

    /// Most alerts are closed, a few are taken.
    fn deal_with(&self, store: &mut LogStore) -> anyhow::Result<()> {
        let known: Vec<Vec<u8>> = self.opened.iter().filter(|id| !id.is_empty()).cloned().collect();
        for (number, part) in known.chunks(500).enumerate() {
            let (verb, resolution) = match number % 50 {
                0 => (AlertVerb::Take, Resolution::Unspecified),
                1..=10 => continue,
                _ => (AlertVerb::Close, Resolution::FalseAlarm),
            };
            let entry = AlertEntry {
                alerts: part.to_vec(),
                verb: verb.into(),
                resolution: resolution.into(),
                by: "wang".into(),
                at_ms: NOW_MS,
                ..AlertEntry::default()
            };
            let mut appender = store.begin()?;
            appender.append(EntryKind::Alert, &entry.encode_to_vec())?;
            appender.commit()?;
        }
        Ok(())
    }
}

impl Device {
    fn seal(&mut self, records: &[Vec<u8>]) -> anyhow::Result<Verified> {
        let what = Seal {
            tenant: TENANT,
            device: self.id,
            lane: Lane::Urgent,
            head: self.head,
            epoch_start: (self.head.next == 0).then(EpochStart::default),
            clocks: Clocks { wall_ms: 1, ..Clocks::default() },
            agent_version: "0.1.0",
        };
        let first = self.head.next == 0;
        let sealed = seal(&what, records, &self.key)?;
        self.head = sealed.head;
        let new_key = first.then(|| NewKey { key: self.key.public().clone(), chain: self.chain.clone() });
        Ok(Verified {
            read: read_statement(&sealed.segment.statement)?,
            segment: sealed.segment,
            received_at_ms: NOW_MS,
            new_key,
        })
    }
}

/// A language: some words come all the time, most hardly ever.
struct Words(Vec<String>);

impl Words {
    fn new() -> Self {
        Self(Corpus::new(Settings::default()).words(20_000))
    }

    fn any(&self, random: &mut Random) -> &str {
        let bound = [30, 300, 3_000, 20_000][random.below(4) as usize];
        &self.0[random.below(bound) as usize]
    }

    /// A question with something in its holes.
    fn filled(&self, question: &str, random: &mut Random) -> String {
        let frequent = &self.0[random.below(30) as usize];
        let rare = &self.0[(3_000 + random.below(17_000)) as usize];
        let day = OffsetDateTime::from_unix_timestamp(NOW_MS / 1000 - 86_400 * (3 + random.below(16) as i64));
        let day = day.map(|at| at.date().to_string()).unwrap_or_default();
        question
            .replace("{frequent}", frequent)
            .replace("{rare}", rare)
            .replace("{phrase}", &format!("{frequent}{}", self.0[random.below(30) as usize]))
            .replace("{character}", &frequent.chars().take(1).collect::<String>())
            .replace("{days}", &(2 + random.below(6)).to_string())
            .replace("{day}", &day)
            .replace("{person}", &random.below(100).to_string())
            .replace("{rule}", &random.below(RULES).to_string())
            .replace("{customer}", &format!("{:024x}", random.below(200_000)))
    }
}

pub(crate) fn seconds(since: Instant) -> f64 {
    since.elapsed().max(Duration::from_nanos(1)).as_secs_f64()
}

fn mb(path: &Path) -> anyhow::Result<u64> {
    Ok(std::fs::metadata(path)?.len() / 1_000_000)
}

pub(crate) fn at(times: &mut [f64], share: f64) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get((times.len() as f64 * share) as usize).copied().unwrap_or_default()
}
