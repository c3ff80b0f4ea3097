//! Windows over exports: what holds in the end depends on the set of messages alone, not on their order, on how they are
//! split into exports, on repeats, or on a process that ends between any two commits; and it is what a scan says.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod support;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use proptest::prelude::*;
use support::{CORP, NOW_MS, pipeline, store, switch};
use watchpost_agent::in_force::Switch;
use watchpost_agent::pipeline::Outcome;
use watchpost_agent::source::Stamp;
use watchpost_agent::store::{FileKey, FileRow, Store};
use watchpost_agent::summary;
use watchpost_policy::engine::{Engine, Scratch};
use watchpost_policy::identity::TenantKey;
use watchpost_policy::message::Corp;
use watchpost_policy::parse::parse_line;
use watchpost_policy::rules::{Disclose, Pack};
use watchpost_policy::summary::{FoundWindow, MessageFacts, SummaryContext, summarise_window};
use watchpost_policy::windows::Memory;
use watchpost_proto::v1::{Finding, Loss, Window, summary::Kind};

const ANNA: &str = "wmExAmPlEAAA0001customerAAAAAAAA";
const BORIS: &str = "wmExAmPlEAAA0002customerAAAAAAAA";
const MINUTE: i64 = 60_000;
/// Long before the clock, so that a watermark can pass everything.
const START_MS: i64 = NOW_MS - 600 * MINUTE;

const RULES: &str = "
pack: demo
version: 1
title: { zh: 例, en: Example }
rules:
  - { id: many, title: { zh: 例, en: e }, category: c, level: low, disclose: context,
      window: { count: 3, within: 10m }, detection: { a: { words: [转账] }, condition: a } }
  - { id: wide, title: { zh: 例, en: e }, category: c, level: low,
      window: { distinct: to, at_least: 2, within: 5m, by: from }, detection: { a: { words: [转账] }, condition: a } }
  - { id: both, title: { zh: 例, en: e }, category: c, level: low,
      window: { all: [a, b], within: 4m, by: [from, chat] },
      detection: { a: { words: [转账] }, b: { words: [盖章] }, condition: a or b } }
  - { id: broken, title: { zh: 例, en: e }, category: c, level: low, disclose: context,
      window: { join: true, within: 3m }, detection: { a: { words: [加微信] }, condition: a } }
  - { id: slow, title: { zh: 例, en: e }, category: c, level: low,
      window: { reply: 7m, closing: b }, detection: { a: { words: [转账, 盖章] }, b: { words: [盖章] }, condition: a } }
";

fn engine_of(rules: &str) -> Arc<Switch> {
    let pack = Pack::parse("demo.yaml", rules.as_bytes(), &BTreeMap::new()).unwrap();
    switch(Engine::compile(vec![pack], None).unwrap())
}

/// One message: its number, minute, whether an employee says it, to whom, and what.
#[derive(Clone, Debug)]
struct Said {
    id: u16,
    minute: i64,
    own: bool,
    to: u8,
    text: &'static str,
}

impl Said {
    fn line(&self) -> String {
        let customer = [ANNA, BORIS][usize::from(self.to % 2)];
        let (from, to) = if self.own { ("li.na", customer) } else { (customer, "li.na") };
        let line = serde_json::json!({
            "msgid": format!("m{}", self.id), "action": "send", "from": from, "tolist": [to], "roomid": "",
            "msgtime": START_MS + self.minute * MINUTE, "msgtype": "text", "text": { "content": self.text },
        });
        format!("{line}\n")
    }
}

fn messages() -> impl Strategy<Value = Vec<Said>> {
    let texts = prop_oneof![
        Just("转账"),
        Just("盖章"),
        Just("加"),
        Just("微"),
        Just("信"),
        Just("加微"),
        Just("您好，请稍等一下，我马上帮您查询看看")
    ];
    let one = (0_i64..45, any::<bool>(), 0_u8..2, texts);
    proptest::collection::vec(one, 1..40).prop_map(|all| {
        (0..).zip(all).map(|(id, (minute, own, to, text))| Said { id, minute, own, to, text }).collect()
    })
}

/// Says nothing of interest, long after everything else.
fn last() -> Said {
    Said { id: 999, minute: 500, own: true, to: 0, text: "您好，请稍等一下，我马上帮您查询看看" }
}

/// An agent in a folder, whose process may end after any commit.
struct Agent {
    dir: tempfile::TempDir,
    engine: Arc<Switch>,
    exports: u32,
}

impl Agent {
    fn new(rules: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        drop(store(dir.path()));
        Self { dir, engine: engine_of(rules), exports: 0 }
    }

    /// Reads an export in portions of about two messages; the process ends after each `crash_after` of them.
    fn read(&mut self, folder: &str, said: &[Said], crash_after: usize) {
        self.exports += 1;
        let key = FileKey { folder: folder.into(), name: format!("{}.jsonl", self.exports).into() };
        let content: String = said.iter().map(Said::line).collect();
        let stamp = Stamp { size: content.len() as u64, mtime_ns: 1 };
        loop {
            let store = Arc::new(Store::open(self.dir.path()).unwrap());
            let mut pipeline = pipeline(&store);
            pipeline.switch = self.engine.clone();
            pipeline.config.batch_bytes = 500;
            let known = store.read(|tx| tx.file(&key)).unwrap();
            let mut row = known.unwrap_or_else(|| FileRow::new(key.clone(), CORP));
            let (commits, stop) = (Cell::new(0), AtomicBool::new(false));
            let committed = || {
                commits.set(commits.get() + 1);
                stop.store(commits.get() >= crash_after, Ordering::Relaxed);
            };
            let export = (Cursor::new(content.clone()), stamp);
            if pipeline.take(&mut row, export, &stop, committed).unwrap() == Outcome::Done {
                return;
            }
        }
    }

    fn records(&self) -> Vec<Kind> {
        let store = Arc::new(Store::open(self.dir.path()).unwrap());
        support::urgent(&store)
    }

    fn findings(&self) -> Vec<Finding> {
        let findings = self.records().into_iter().filter_map(|kind| match kind {
            Kind::Finding(finding) if finding.window.is_some() => Some(finding),
            _ => None,
        });
        findings.collect()
    }

    /// What holds after all records: the latest of each finding, unless it is withdrawn.
    fn holds(&self) -> BTreeMap<Vec<u8>, Finding> {
        let mut latest: BTreeMap<_, _> =
            self.findings().into_iter().map(|finding| (finding.finding_id.clone(), finding)).collect();
        latest.retain(|_, finding| !finding.withdrawn);
        latest
    }
}

/// What a scan of the same messages says, as records.
fn scanned(engine: &Engine, said: &[Said]) -> BTreeMap<Vec<u8>, Finding> {
    let (corp, key) = (Corp::new(CORP), TenantKey([7; 32]));
    let context =
        SummaryContext { tenant: "default", corp: &corp, key: &key, ceiling: Disclose::Context, accounts: None };
    let mut memory = Memory::default();
    let mut facts = BTreeMap::new();
    for one in said {
        let message = parse_line(one.line().trim().as_bytes()).message.unwrap();
        let evaluated = engine.look(&corp, &message, &key, &mut Scratch::default());
        memory.read(message.msgtime);
        if let Some(first) = evaluated.contributions.first() {
            facts.insert(first.contribution.mid, MessageFacts::of(&message, evaluated.person.as_ref(), &context));
        }
        memory.add(engine, evaluated.contributions, || ());
    }
    let found = memory.finish(engine).into_iter().map(|found| {
        let members: Vec<MessageFacts> = found.held.members.iter().map(|mid| facts[mid].clone()).collect();
        let told = summarise_window(
            &FoundWindow {
                finding: &engine.finding_of(found.rule, &found.held).unwrap(),
                window: engine.window(found.rule).unwrap(),
                group: found.group,
                bucket: found.bucket,
                held: &found.held,
                members: &members,
            },
            &context,
        );
        match summary::finding(CORP, &told) {
            Kind::Finding(finding) => (finding.finding_id.clone(), finding),
            other => panic!("{other:?}"),
        }
    });
    found.collect()
}

fn window(finding: &Finding) -> &Window {
    finding.window.as_ref().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, max_shrink_iters: 100, ..ProptestConfig::default() })]

    #[test]
    fn what_holds_depends_on_the_set_of_messages_alone(
        (said, shuffled) in messages().prop_flat_map(|all| (Just(all.clone()), Just(all).prop_shuffle())),
        portion in 1_usize..12,
        crash_after in 1_usize..4,
        repeated in any::<bool>(),
    ) {
        let mut agent = Agent::new(RULES);
        for (number, some) in shuffled.chunks(portion).enumerate() {
            agent.read(["/a", "/b"][number % 2], some, crash_after);
        }
        if repeated {
            agent.read("/a", &said, 99);
        }
        // Both folders come to where all waits are over.
        agent.read("/a", &[last()], 99);
        agent.read("/b", &[Said { id: 998, ..last() }], 99);
        let all: Vec<Said> = said.into_iter().chain([last(), Said { id: 998, ..last() }]).collect();
        let (told, scanned) = (agent.holds(), scanned(&agent.engine.now().engine, &all));
        let only = |these: &BTreeMap<Vec<u8>, Finding>, those: &BTreeMap<Vec<u8>, Finding>| -> Vec<Finding> {
            these.iter().filter(|(id, finding)| those.get(*id) != Some(*finding)).map(|(_, finding)| finding.clone()).collect()
        };
        prop_assert!(told == scanned, "told only: {:#?}\nscanned only: {:#?}", only(&told, &scanned), only(&scanned, &told));
    }
}

fn transfer(id: u16, minute: i64) -> Said {
    Said { id, minute, own: true, to: 0, text: "转账" }
}

#[test]
fn a_long_burst_is_a_few_records() {
    let mut agent = Agent::new(RULES);
    for id in 0..60 {
        agent.read("/a", &[Said { minute: 0, ..transfer(id, 0) }], 99);
    }
    agent.read("/a", &[last()], 99);
    let values: Vec<i64> =
        agent.findings().iter().filter(|finding| finding.rule == "many").map(|finding| window(finding).value).collect();
    assert_eq!(values, [3, 6, 12, 24, 48, 60]);
}

#[test]
fn an_answer_that_comes_late_takes_silence_back() {
    let mut agent = Agent::new(RULES);
    let ask = Said { id: 1, minute: 0, own: false, to: 0, text: "转账" };
    agent.read("/a", &[ask], 99);
    assert!(agent.findings().is_empty());
    // Another folder knows nothing of this one's silence.
    agent.read("/b", &[Said { id: 2, minute: 30, to: 1, ..last() }], 99);
    assert!(agent.findings().is_empty());
    agent.read("/a", &[Said { id: 3, minute: 20, to: 1, ..last() }], 99);
    let told = agent.findings().remove(0);
    assert_eq!((told.rule.as_str(), told.person.as_str()), ("slow", "wwEXAMPLE0001/li.na"));
    assert!(window(&told).open && !told.from.contains(ANNA) && told.from.starts_with("p_"));
    // Not late enough to be in time, then in time.
    agent.read("/a", &[Said { id: 4, minute: 9, own: true, to: 0, text: "您好" }], 99);
    let told = agent.findings().pop().unwrap();
    assert_eq!((window(&told).open, window(&told).value), (false, 9 * MINUTE));
    agent.read("/b", &[Said { id: 5, minute: 7, own: true, to: 0, text: "您好" }], 99);
    let told = agent.findings().pop().unwrap();
    assert!(told.withdrawn && agent.holds().is_empty());
    assert_eq!(agent.findings().len(), 3);
}

#[test]
fn what_leaves_names_nobody_outside_and_says_what_was_broken() {
    let mut agent = Agent::new(RULES);
    let piece = |id, text| Said { id, minute: 1, own: true, to: 0, text };
    agent.read("/a", &[piece(1, "加")], 99);
    agent.read("/a", &[piece(2, "微信")], 99);
    let told = agent.findings().remove(0);
    assert_eq!((told.rule.as_str(), told.excerpt.as_str(), told.hits.len()), ("broken", "加微信", 1));
    assert_eq!((window(&told).kind.as_str(), window(&told).msgids.join(" ").as_str()), ("join", "m1 m2"));
    let file = std::fs::read(agent.dir.path().join("agent.db")).unwrap();
    let wal = std::fs::read(agent.dir.path().join("agent.db-wal")).unwrap_or_default();
    let holds = |bytes: &[u8]| bytes.windows(ANNA.len()).any(|some| some == ANNA.as_bytes());
    assert!(!holds(&file) && !holds(&wal), "state names a customer in clear");
}

#[test]
fn a_message_in_the_middle_takes_a_broken_word_back() {
    let mut agent = Agent::new(RULES);
    let piece = |id, minute, text| Said { id, minute, own: true, to: 0, text };
    agent.read("/a", &[piece(1, 0, "加"), piece(2, 2, "微信")], 99);
    assert_eq!(agent.holds().len(), 1);
    agent.read("/a", &[piece(3, 1, "您好，请稍等一下，我马上帮您查询看看")], 99);
    assert!(agent.holds().is_empty() && agent.findings()[1].withdrawn);
}

#[test]
fn a_changed_rule_starts_afresh_and_says_so() {
    let mut agent = Agent::new(RULES);
    agent.read("/a", &[transfer(1, 0), transfer(2, 0)], 99);
    agent.engine = engine_of(
        &RULES.replace("version: 1", "version: 2").replace("title: { zh: 例, en: e }", "title: { zh: 新, en: e }"),
    );
    let losses = |agent: &Agent| -> Vec<Loss> {
        agent
            .records()
            .into_iter()
            .filter_map(|kind| if let Kind::Loss(loss) = kind { Some(loss) } else { None })
            .collect()
    };
    agent.read("/a", &[transfer(3, 0)], 99);
    assert_eq!(agent.holds().len(), 1, "what decides the rule is the same");
    assert!(losses(&agent).is_empty());
    agent.engine = engine_of(&RULES.replace("count: 3, within: 10m", "count: 4, within: 10m"));
    agent.read("/a", &[transfer(4, 0)], 99);
    assert_eq!(agent.holds().len(), 1);
    let lost = losses(&agent);
    assert_eq!((lost[0].reason.as_str(), lost[0].count, lost.len()), ("window_restarted", 3, 1));
    agent.read("/a", &[transfer(5, 0), transfer(6, 0), transfer(7, 0)], 99);
    assert_eq!(agent.holds().values().map(|finding| window(finding).value).max(), Some(4));
}

const OTHER: &str = "pack: other
version: 1
title: { zh: 例, en: e }
rules:
  - id: r
    title: { zh: 例, en: e }
    category: c
    level: low
    status: live
    detection: { a: { words: [飞单] }, condition: a }
    disclose: none
    sla: 24h
";

/// While a rule was gone nobody counted: what it knew of before would look like silence.
#[test]
fn a_rule_that_comes_back_remembers_nothing() {
    let mut agent = Agent::new(RULES);
    let ask = |id, minute| Said { id, minute, own: false, to: 0, text: "转账" };
    agent.read("/a", &[ask(1, 0)], 99);
    agent.engine = engine_of(OTHER);
    // Answered, but with nobody looking.
    agent.read("/a", &[transfer(2, 3)], 99);
    agent.engine = engine_of(RULES);
    agent.read("/a", &[Said { id: 3, minute: 40, to: 1, ..last() }], 99);
    assert!(agent.findings().iter().all(|finding| finding.rule != "slow"), "{:#?}", agent.findings());
    let lost = |kind: &Kind| matches!(kind, Kind::Loss(loss) if loss.reason == "window_restarted");
    assert!(agent.records().iter().any(lost));
}

/// An ask that was answered and one that is not yet: the folder has not come to where the second is late.
#[test]
fn silence_is_told_by_the_folder_that_has_come_so_far() {
    let mut agent = Agent::new(RULES);
    let ask = |id, minute| Said { id, minute, own: false, to: 0, text: "转账" };
    agent.read("/b", &[Said { id: 1, minute: 100, to: 1, ..last() }], 99);
    agent.read("/a", &[ask(2, 0)], 99);
    agent.read("/a", &[Said { id: 3, minute: 2, own: true, to: 0, text: "您好" }, ask(4, 4)], 99);
    agent.read("/a", &[Said { id: 5, minute: 10, to: 1, ..last() }], 99);
    assert!(agent.findings().iter().all(|finding| finding.rule != "slow"), "{:#?}", agent.findings());
    agent.read("/a", &[Said { id: 6, minute: 60, to: 1, ..last() }], 99);
    assert!(agent.findings().iter().any(|finding| finding.rule == "slow"));
}

#[test]
fn what_cannot_be_known_again_feeds_no_window() {
    let mut agent = Agent::new(RULES);
    let old = -50 * 24 * 60;
    agent.read("/a", &[transfer(1, old), transfer(2, old), transfer(3, old)], 99);
    assert!(agent.findings().is_empty());
}

#[test]
fn rules_without_windows_leave_no_state() {
    let mut agent = Agent::new(&RULES.replace("window: ", "note: ").lines().take(5).collect::<Vec<_>>().join("\n").replace(
        "rules:",
        "rules:\n  - { id: one, title: { zh: 例, en: e }, category: c, level: low, detection: { a: { words: [转账] }, condition: a } }",
    ));
    agent.read("/a", &[transfer(1, 0)], 99);
    let db = rusqlite::Connection::open(Path::new(agent.dir.path()).join("agent.db")).unwrap();
    let rows: i64 = db.query_row("SELECT count(*) FROM watermark", [], |row| row.get(0)).unwrap();
    assert_eq!(rows, 0);
}
