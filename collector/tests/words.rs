//! Words by two persons: what one asks for another approves, and the log alone says how every word stands.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test helpers")]

mod support;

use support::offline::Log;
use watchpost_collector::credentials;
use watchpost_collector::enrolment::desk::Act;
use watchpost_collector::log_store::check::check;
use watchpost_collector::registry::Effects;
use watchpost_collector::trust::Trust;
use watchpost_collector::words::desk::{self, New, Step};
use watchpost_collector::words::difference::Difference;
use watchpost_collector::words::{self, Standing, Word, file};

const LIST: &str = "products";

fn new(word: &str) -> New {
    New { word: word.into(), note: "why".into(), expires_ms: None, replaces: None }
}

fn add(words: &[&str]) -> Step {
    Step::Change { add: words.iter().map(|word| new(word)).collect(), withdraw: Vec::new() }
}

struct Lists {
    log: Log,
}

impl Lists {
    fn new() -> Self {
        let mut lists = Self { log: Log::new() };
        let file = "words/products.txt".to_owned();
        lists.act("li", 1, &Step::Make { pack: "sales".into(), file }).unwrap();
        lists
    }

    fn act(&mut self, by: &str, at_ms: i64, step: &Step) -> Result<Vec<u64>, String> {
        let act = Act { by, reason: "test", at_ms };
        let done = self.log.operate(|appender| desk::act(appender, &mut Effects::default(), (LIST, step), &act));
        done.map_err(|error| error.to_string())
    }

    fn words(&self, now_ms: i64) -> Vec<Word> {
        words::words(self.log.reader().connection(), LIST, now_ms).unwrap()
    }

    fn ids(&self, texts: &[&str]) -> Vec<String> {
        let known = self.words(1);
        let id = |text: &&str| known.iter().find(|word| word.word.as_deref() == Some(text)).unwrap().id.clone();
        texts.iter().map(id).collect()
    }

    fn standing(&self) -> Vec<(String, Standing)> {
        let mut all: Vec<_> =
            self.words(1).into_iter().map(|word| (word.word.unwrap_or_default(), word.standing)).collect();
        all.sort();
        all
    }

    fn plain(&self, now_ms: i64) -> String {
        file::plain(&self.words(now_ms))
    }
}

fn stand(all: &[(&str, Standing)]) -> Vec<(String, Standing)> {
    all.iter().map(|(word, standing)| ((*word).to_owned(), *standing)).collect()
}

#[test]
fn nobody_approves_what_they_asked_for() {
    use Standing::{Approved, Leaving, Proposed, Withdrawn};
    let mut lists = Lists::new();
    lists.act("li", 2, &add(&["保本", "零风险"])).unwrap();
    let both = lists.ids(&["保本", "零风险"]);
    for who in ["li", "LI"] {
        let refused = lists.act(who, 3, &Step::Approve(both.clone())).unwrap_err();
        assert!(refused.contains("somebody else approves"), "{refused}");
    }
    assert_eq!(lists.standing(), stand(&[("保本", Proposed), ("零风险", Proposed)]));
    assert_eq!(lists.plain(4), "");
    lists.act("wang", 4, &Step::Approve(both.clone())).unwrap();
    assert_eq!(lists.standing(), stand(&[("保本", Approved), ("零风险", Approved)]));
    assert_eq!(lists.plain(4), "保本\n零风险\n");
    let going = Step::Change { add: Vec::new(), withdraw: vec![both[0].clone()] };
    lists.act("wang", 5, &going).unwrap();
    assert_eq!(lists.plain(5), "保本\n零风险\n", "it goes only when somebody else agrees");
    assert!(lists.act("wang", 6, &Step::Approve(vec![both[0].clone()])).is_err());
    assert_eq!(lists.standing(), stand(&[("保本", Leaving), ("零风险", Approved)]));
    lists.act("li", 6, &Step::Approve(vec![both[0].clone()])).unwrap();
    assert_eq!(lists.standing(), stand(&[("保本", Withdrawn), ("零风险", Approved)]));
    assert_eq!(lists.plain(6), "零风险\n");
    assert!(lists.act("li", 7, &going).is_err(), "what is gone cannot go again");
}

#[test]
fn a_word_counts_until_its_time_is_over() {
    let mut lists = Lists::new();
    let until = New { expires_ms: Some(100), ..new("保本") };
    lists.act("li", 2, &Step::Change { add: vec![until], withdraw: Vec::new() }).unwrap();
    let id = lists.ids(&["保本"]);
    lists.act("wang", 3, &Step::Approve(id)).unwrap();
    assert_eq!((lists.plain(99).as_str(), lists.plain(100).as_str()), ("保本\n", ""));
    assert!(lists.words(100)[0].expired);
    let over = New { expires_ms: Some(50), ..new("零风险") };
    assert!(lists.act("li", 60, &Step::Change { add: vec![over], withdraw: Vec::new() }).is_err());
}

#[test]
fn what_cannot_be_is_refused_whole() {
    let mut lists = Lists::new();
    lists.act("li", 2, &add(&["保本"])).unwrap();
    for wrong in [&["保本"][..], &["零风险", "，"], &["零风险", "零风险"], &["# 注释"], &["两\n行"], &[""]]
    {
        assert!(lists.act("wang", 3, &add(wrong)).is_err(), "{wrong:?}");
    }
    assert_eq!(lists.words(1).len(), 1, "nothing of a refused step is done");
    let make = |list: &str, pack: &str, file: &str| {
        let step = Step::Make { pack: pack.into(), file: file.into() };
        let act = Act { by: "li", reason: "", at_ms: 1 };
        let mut log = Log::new();
        log.operate(|appender| desk::act(appender, &mut Effects::default(), (list, &step), &act)).is_ok()
    };
    assert!(make("products", "sales", "words/products.txt"));
    for (list, pack, file) in [
        ("", "sales", "a.txt"),
        ("a/b", "sales", "a.txt"),
        ("preview", "sales", "a.txt"),
        ("a", "Sales", "a.txt"),
        ("a", "sales", "../a.txt"),
        ("a", "sales", "/a.txt"),
    ] {
        assert!(!make(list, pack, file), "{list} {pack} {file}");
    }
}

#[test]
fn a_change_waits_and_then_takes_the_place_of_what_was() {
    use Standing::{Approved, Proposed, Withdrawn};
    let mut lists = Lists::new();
    lists.act("li", 2, &add(&["保本"])).unwrap();
    let id = lists.ids(&["保本"]).remove(0);
    lists.act("wang", 3, &Step::Approve(vec![id.clone()])).unwrap();
    let change = New { note: "another".into(), replaces: Some(id.clone()), ..new("保本") };
    lists.act("li", 4, &Step::Change { add: vec![change.clone()], withdraw: Vec::new() }).unwrap();
    assert_eq!(lists.standing(), stand(&[("保本", Proposed), ("保本", Approved)]));
    assert!(lists.act("li", 5, &Step::Change { add: vec![change], withdraw: Vec::new() }).is_err(), "one at a time");
    let waiting = lists.words(1).into_iter().find(|word| word.standing == Proposed).unwrap();
    lists.act("wang", 6, &Step::Approve(vec![waiting.id.clone()])).unwrap();
    let known = lists.words(1);
    let of = |id: &str| known.iter().find(|word| word.id == id).unwrap();
    assert_eq!((of(&id).standing, of(&waiting.id).standing), (Withdrawn, Approved));
    assert_eq!(of(&waiting.id).note, "another");
    assert_eq!(lists.plain(7), "保本\n");
}

#[test]
fn a_file_tells_what_it_would_change_before_it_is_proposed() {
    let mut lists = Lists::new();
    lists.act("li", 2, &add(&["保本", "零风险", "内幕消息"])).unwrap();
    let ids = lists.ids(&["保本", "零风险"]);
    lists.act("wang", 3, &Step::Approve(ids)).unwrap();
    let new = file::read("词,备注\n保本,why\n零风险,另一个说明\n稳赚不赔,\n内幕消息,why\n".as_bytes()).unwrap();
    let difference = Difference::of(&lists.words(4), new);
    let texts = |words: &[New]| words.iter().map(|new| new.word.clone()).collect::<Vec<_>>();
    assert_eq!(
        (texts(&difference.added), texts(&difference.changed)),
        (vec!["稳赚不赔".into()], vec!["零风险".into()])
    );
    assert_eq!((difference.same, difference.waiting, difference.lacking.len()), (1, 1, 0));
    lists.act("li", 5, &difference.step(true)).unwrap();
    let waiting: Vec<String> =
        lists.words(6).into_iter().filter(|word| word.standing.waits()).map(|word| word.id).collect();
    lists.act("wang", 6, &Step::Approve(waiting)).unwrap();
    let whole = Difference::of(&lists.words(7), file::read("保本\n".as_bytes()).unwrap());
    assert_eq!(whole.lacking.len(), 3, "{whole:?}");
    assert!(!whole.is_empty(true));
}

#[test]
fn the_log_holds_no_word_and_says_all_there_is_again() {
    let mut lists = Lists::new();
    lists.act("li", 2, &add(&["青石板路", "零风险"])).unwrap();
    let ids = lists.ids(&["青石板路", "零风险"]);
    lists.act("wang", 3, &Step::Approve(vec![ids[1].clone()])).unwrap();
    lists.act("wang", 4, &Step::Reject(vec![ids[0].clone()])).unwrap();
    assert!(lists.act("wang", 5, &Step::Erase(vec![ids[1].clone()])).is_err(), "it belongs to the list");
    lists.act("wang", 5, &Step::Erase(vec![ids[0].clone()])).unwrap();
    let reader = lists.log.reader();
    let mut entries = 0;
    reader
        .entries(0, |entry| {
            entries += 1;
            assert!(!String::from_utf8_lossy(&entry.header).contains("青石板路"), "{}", entry.log_index);
            Ok::<_, watchpost_collector::log_store::StoreError>(true)
        })
        .unwrap();
    assert!(entries >= 6);
    assert_eq!(lists.standing(), stand(&[("", Standing::Rejected), ("零风险", Standing::Approved)]));
    let before = lists.words(9);
    // Every index is made again from the entries and compared.
    let config = &lists.log.lab.config;
    let trust = Trust::new(&credentials::trusted(&config.root).unwrap(), &config.tenant).unwrap();
    check(&reader, &trust, &[], |_| {}).unwrap();
    assert_eq!(lists.words(9), before);
}
