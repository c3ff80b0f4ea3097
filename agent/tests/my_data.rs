//! What an employee can see, who may see it, and the acknowledgement of the notice.

#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use support::{CORP, NOW_MS, TestClock, hit, pipeline, store, switch, urgent};
use watchpost_agent::config::{Folder, NoticeConfig};
use watchpost_agent::intake::Intake;
use watchpost_agent::my_data::socket::{Question, Reply, Server};
use watchpost_agent::my_data::{MyDataConfig, Notice, account_of};
use watchpost_agent::policy_files::load_checked_engine;
use watchpost_agent::store::Store;
use watchpost_policy::message::Corp;
use watchpost_policy::my_data::MyData;
use watchpost_proto::v1::summary::Kind;

const LI: &str = "wwEXAMPLE0001/li.na";
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

struct Host {
    dir: tempfile::TempDir,
    store: Arc<Store>,
    intake: Intake,
    server: Server,
    appended: Arc<AtomicU32>,
}

impl Host {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for name in ["exports", "state"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        fs::write(dir.path().join("notice.md"), "第一条 检查工作账号。").unwrap();
        let store = store(&dir.path().join("state"));
        let mut pipeline = pipeline(&store);
        pipeline.config.settle = Duration::ZERO;
        pipeline.config.disk_free_min = 0;
        let folders = vec![Folder::new(dir.path().join("exports"), Corp::new(CORP))];
        let intake = Intake::new(pipeline, folders.clone(), u64::MAX).unwrap();
        let notice = NoticeConfig { text: Some((dir.path().join("notice.md"), 3)), who: Vec::new() };
        let appended = Arc::new(AtomicU32::new(0));
        let count = appended.clone();
        let users = [("4001", vec![LI]), ("4002", vec!["ww2/a", "ww2/b"]), ("0", vec!["ww2/admin"])];
        let users: BTreeMap<_, _> = users
            .into_iter()
            .map(|(user, own)| (user.to_owned(), own.into_iter().map(str::to_owned).collect()))
            .collect();
        let server = Server {
            config: MyDataConfig { socket: None, users, ..MyDataConfig::default() },
            switch: switch(load_checked_engine(&[], None).unwrap()),
            store: store.clone(),
            clock: Arc::new(TestClock::default()),
            folders,
            who: vec!["合规部".into()],
            notice: Notice::load(&notice).unwrap(),
            appended: Box::new(move || _ = count.fetch_add(1, Ordering::Relaxed)),
        };
        Self { dir, store, intake, server, appended }
    }

    fn read(&mut self, name: &str, export: &str) {
        fs::write(self.dir.path().join("exports").join(name), export).unwrap();
        self.intake.round(&AtomicBool::new(false), &|| ()).unwrap();
    }

    fn ask(&self, uid: u32, account: Option<&str>) -> Result<MyData, String> {
        self.put(uid, &Question { account: account.map(str::to_owned), acknowledge: None })
    }

    fn put(&self, uid: u32, question: &Question) -> Result<MyData, String> {
        match self.server.reply(uid, question) {
            Reply::Page(data) => Ok(*data),
            Reply::Refused(_, en) => Err(en),
        }
    }
}

#[test]
fn everybody_sees_their_own_and_nobody_anothers() {
    let host = Host::new();
    assert_eq!(host.ask(4001, None).unwrap().account, LI);
    assert_eq!(host.ask(4001, Some("wwEXAMPLE0001/Li.Na")).unwrap().account, LI, "as records name it");
    for other in ["ww2/a", "wwEXAMPLE0001/wang", "", "li.na", "wwEXAMPLE0001/li.na\n", "*/*", "wwEXAMPLE0001/%"] {
        let refused = host.ask(4001, Some(other));
        assert!(refused.is_err() || refused.unwrap().account == LI, "{other:?}");
    }
    assert!(host.ask(4002, None).unwrap_err().contains("ww2/a, ww2/b"));
    assert_eq!(host.ask(4002, Some("ww2/b")).unwrap().account, "ww2/b");
    assert!(host.ask(4002, Some(LI)).is_err());
    assert!(host.ask(4999, None).unwrap_err().contains("no work account"));
    assert!(host.ask(4999, Some(LI)).is_err());
    assert_eq!(host.ask(0, Some(LI)).unwrap().account, LI, "whoever administers the system may");
}

#[test]
fn the_page_tells_what_was_sent_and_whether_it_has_arrived() {
    let mut host = Host::new();
    let other = hit("m2")
        .replace("li.na", "wang.wei")
        .replace("wmExAmPlEAAA0001customerAAAAAAAA", "li.na\",\"wmExAmPlEAAA0001customerAAAAAAAA");
    host.read("a.jsonl", &(hit("m1") + &other));
    let data = host.ask(4001, None).unwrap();
    assert_eq!((data.sent_total, data.mentioned), (1, 1), "{data:#?}");
    let sent = &data.sent[0];
    assert!(sent.excerpt.contains("私人微信") && !sent.title.0.is_empty() && sent.msgtime_ms == NOW_MS, "{sent:?}");
    assert_eq!((sent.receipted, sent.withdrawn), (Some(false), false), "it waits in the outbox");
    // Sealing changes nothing; the receipt does.
    assert!(matches!(urgent(&host.store).as_slice(), [Kind::Finding(_), Kind::Finding(_)]));
    assert_eq!(host.ask(4001, None).unwrap().sent[0].receipted, Some(false));
    let row = host.store.read(|tx| tx.segments()).unwrap().remove(0);
    let receipt = watchpost_proto::v1::SignedReceipt::default();
    let place = (row.epoch, row.lane, row.sequence);
    assert!(host.store.transaction(|tx| tx.receipted(place, row.digest, &receipt, NOW_MS)).unwrap());
    assert_eq!(host.ask(4001, None).unwrap().sent[0].receipted, Some(true));
    assert_eq!((data.days.len(), data.days[0].sent, data.days[0].received), (1, 1, 1));
    assert!(data.rules.unwrap().iter().any(|category| category.name == "customer-diversion"));
    let watched = data.watched.unwrap();
    assert!(watched.managed && watched.never.is_none() && watched.folders[0].1 == CORP);
    // What is gone from the ledger is gone from the page.
    host.store.transaction(|tx| tx.forget_disclosures(NOW_MS + DAY_MS)).unwrap();
    assert_eq!(host.ask(4001, None).unwrap().sent_total, 0);
}

#[test]
fn a_notice_is_acknowledged_once_by_the_one_who_has_read_it() {
    let host = Host::new();
    let shown = host.ask(4001, None).unwrap().notice.unwrap();
    assert_eq!((shown.version, &*shown.text, shown.acknowledged_ms), (3, "第一条 检查工作账号。", None));
    let question =
        |version, digest: &str| Question { account: Some(LI.into()), acknowledge: Some((version, digest.to_owned())) };
    assert!(host.put(4001, &question(2, &shown.digest)).is_err(), "another version");
    assert!(host.put(4001, &question(3, &"00".repeat(32))).is_err(), "another text");
    assert!(host.put(0, &question(3, &shown.digest)).is_err(), "nobody gives another's word, not even root");
    assert!(urgent(&host.store).is_empty());
    for _ in 0..3 {
        let data = host.put(4001, &question(3, &shown.digest)).unwrap();
        assert_eq!(data.notice.unwrap().acknowledged_ms, Some(NOW_MS));
    }
    let told = urgent(&host.store);
    let [Kind::NoticeAcknowledgement(said)] = told.as_slice() else { panic!("once: {told:#?}") };
    assert_eq!((&*said.account, said.notice_version, hex::encode(&said.notice)), (LI, 3, shown.digest));
    assert_eq!(host.appended.load(Ordering::Relaxed), 1);
    assert_eq!(host.ask(0, Some("ww2/b")).unwrap().notice.unwrap().acknowledged_ms, None);
}

#[test]
fn accounts_and_notices_are_read_with_care() {
    for (text, expected) in [
        ("ww1/Li.Na", Some("ww1/li.na")),
        (" ww1/a ", Some("ww1/a")),
        ("ww1", None),
        ("/a", None),
        ("ww1/", None),
        ("ww1/a\u{1b}", None),
    ] {
        assert_eq!(account_of(text).as_deref(), expected, "{text:?}");
    }
    let dir = tempfile::tempdir().unwrap();
    let load = |bytes: &[u8]| {
        fs::write(dir.path().join("n"), bytes).unwrap();
        Notice::load(&NoticeConfig { text: Some((dir.path().join("n"), 1)), who: Vec::new() })
    };
    assert!(load(b"\xff").unwrap_err().contains("UTF-8"));
    assert!(load(&vec![b'x'; 300 * 1024]).unwrap_err().contains("256 KiB"));
    assert!(load("文本".as_bytes()).unwrap().is_some());
}
