//! The page about oneself: who comes in by a link sees what is about them and nothing about anybody else, and nobody else comes in.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test helpers")]

mod support;

use std::collections::BTreeMap;

use clap::Parser as _;
use http_body_util::Full;
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::json;
use support::console::{Answer, Client, Console, about, employ, grant, id_of, read, roster};
use support::offline::Log;
use tokio::net::TcpStream;
use watchpost_collector::alerts::desk::{self, Deed};
use watchpost_collector::clock::now_ms;
use watchpost_collector::commands::my_data::{self, MyDataArgs};
use watchpost_collector::enrolment::desk::Act as By;
use watchpost_collector::operators::{Act, Role};
use watchpost_collector::policies;
use watchpost_collector::registry::Effects;
use watchpost_collector::web::VISIT_COOKIE_PLAIN;
use watchpost_proto::document::Signers;
use watchpost_proto::keys::{SigningKey as _, SoftwareKey};
use watchpost_proto::policy::Policy;
use watchpost_proto::v1::{Lane, PolicyHeader, PolicyReport, PolicyRole, Rollout, Summary, Tally, summary};

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;
const HOSTILE: &str = "<script>alert(1)</script>\"onmouseover=\"x";

/// A browser of somebody who is no operator.
#[derive(Clone)]
struct Browser {
    address: std::net::SocketAddr,
    cookies: BTreeMap<String, String>,
    english: bool,
}

impl Browser {
    fn of(console: &Console) -> Self {
        Self { address: console.address(), cookies: BTreeMap::new(), english: true }
    }

    async fn send(&mut self, method: &str, path: &str, fields: &[(&str, &str)]) -> Answer {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let host = self.address.to_string();
        let mut request = Request::builder().method(method).uri(path).header("host", &host);
        request = request.header("accept-language", if self.english { "en" } else { "zh-CN" });
        if method == "POST" {
            request = request
                .header("content-type", "application/x-www-form-urlencoded")
                .header("origin", format!("http://{host}"));
        }
        if !self.cookies.is_empty() {
            let pairs: Vec<String> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
            request = request.header("cookie", pairs.join("; "));
        }
        let body = serde_html_form::to_string(fields).unwrap();
        let request = request.body(Full::new(Bytes::from(body))).unwrap();
        let sent = tokio::time::timeout(support::PATIENCE, sender.send_request(request)).await;
        let answer = read(sent.expect("an answer in time").unwrap()).await;
        for cookie in answer.cookies() {
            let (name, value) = cookie.split(';').next().unwrap().split_once('=').unwrap();
            self.cookies.insert(name.into(), value.into());
        }
        answer
    }

    async fn page(&mut self, path: &str) -> Answer {
        self.send("GET", path, &[]).await
    }

    async fn open(&mut self, link: &Link) -> Answer {
        self.send("POST", "/me/open", &[("account", &link.account), ("secret", &link.secret)]).await
    }

    /// The page, which must be there.
    async fn mine(&mut self) -> String {
        let answer = self.page("/me").await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert!(answer.text.contains("/me/data.json"), "not in: {}", answer.text);
        answer.text
    }

    async fn object(&mut self, alert: &str, text: &str) -> Answer {
        let mark = mark_of(&self.page("/me").await.text);
        self.send("POST", "/me/appeal", &[("mark", &mark), ("alert", alert), ("text", text)]).await
    }
}

fn mark_of(page: &str) -> String {
    let after = page.split_once("name=\"mark\" value=\"").map_or("", |(_, after)| after);
    after.split('"').next().unwrap_or_default().to_owned()
}

fn is_in(answer: &Answer) -> bool {
    answer.text.contains("/me/data.json")
}

#[derive(Clone)]
struct Link {
    account: String,
    secret: String,
}

/// What a link says behind `#`.
fn link_of(path: &str) -> Link {
    let said = path.split_once("/me#").expect("a link").1;
    let fields: Vec<(String, String)> = serde_html_form::from_str(said).unwrap();
    let of = |name: &str| fields.iter().find(|(field, _)| field == name).unwrap().1.clone();
    Link { account: of("account"), secret: of("secret") }
}

async fn link(admin: &Client, whom: &str) -> Link {
    let made = admin.post("/employee-links", &json!({ "whom": whom, "reason": "asked" })).await;
    assert_eq!(made.status, 200, "{}", made.text);
    link_of(made.body["path"].as_str().unwrap())
}

fn told(number: u64, person: &str, excerpt: &str) -> Summary {
    let mut summary = about(number, person);
    summary.made_at_ms = now_ms() - HOUR;
    if let Some(summary::Kind::Finding(finding)) = &mut summary.kind {
        finding.excerpt = excerpt.into();
        finding.rule = format!("sample.rule{number}");
        finding.msgtime_ms = now_ms() - 2 * HOUR;
    }
    summary
}

fn counted(account: &str, sent: u64) -> Summary {
    let hour = u32::try_from(now_ms() / HOUR - 3).unwrap();
    let tally = Tally { account: account.into(), hour, revision: 1, sent, ..Tally::default() };
    Summary { made_at_ms: now_ms(), kind: Some(summary::Kind::Tally(tally)), ..Summary::default() }
}

const PACK: &str = "
pack: sample
version: 1
title: { zh: 例, en: Sample }
rules:
  - { id: open, title: { zh: 承诺收益, en: Returns promised }, category: mis-selling, level: high, disclose: masked,
      detection: { word: { words: [稳赚不赔] }, condition: word } }
  - { id: veiled, title: { zh: 某并购案, en: A certain merger }, category: insider, level: critical,
      detection: { word: { words: [蓝鲸计划, 白鲸计划], confidential: true }, condition: word } }
";

/// The policy in force on a device, as it tells.
fn in_force(log: &mut Log) -> Summary {
    let (key, _) = SoftwareKey::generate().unwrap();
    let keys = Some(Signers::pinned(key.public().id()).write());
    let said = PolicyHeader {
        tenant: support::TENANT.into(),
        group: "default".into(),
        version: 1,
        keys,
        ..PolicyHeader::default()
    };
    let files = [(PolicyRole::Pack, "1/a.yaml".to_owned(), PACK.as_bytes().to_vec())];
    let mut policy = Policy::make(said, &files).unwrap();
    policy.sign(&key).unwrap();
    let rollout = Rollout { rings: vec![10_000], soak_ms: 0, fall_back: false };
    let act = By { by: "author", reason: "", at_ms: now_ms() };
    log.operate(|appender| policies::publish(appender, &mut Effects::default(), &policy, &rollout, &act)).unwrap();
    let report =
        PolicyReport { policy: policy.header.digest.to_vec(), version: 1, applied: true, ..PolicyReport::default() };
    Summary { made_at_ms: now_ms(), kind: Some(summary::Kind::PolicyReport(report)), ..Summary::default() }
}

fn by_rule(number: u64, rule: &str, excerpt: &str) -> Summary {
    let mut summary = told(number, "ww1/li.a", excerpt);
    if let Some(summary::Kind::Finding(finding)) = &mut summary.kind {
        (finding.rule, finding.category) = (rule.into(), "told".into());
    }
    summary
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_are_told_by_name_and_confidential_lists_by_number_alone() {
    let mut log = Log::new();
    roster(&mut log, &[("li.a", "sales", "sh"), ("wang.x", "sales", "sh")]);
    let (mut device, mut other) = (log.lab.device(), log.lab.device());
    let report = in_force(&mut log);
    log.append(&mut device, Lane::Urgent, &[report, by_rule(1, "open", "***"), by_rule(2, "veiled", "")]);
    log.append(&mut device, Lane::Bulk, &[counted("ww1/li.a", 1)]);
    log.append(&mut other, Lane::Bulk, &[counted("ww1/wang.x", 1)]);
    employ(&mut log, "admin", grant(Role::Administrator));
    let console = Console::start(log).await;
    let admin = console.signed_in("admin").await;
    let mut li = Browser::of(&console);
    li.open(&link(&admin, "ww1/li.a").await).await;
    let page = li.mine().await;
    assert_eq!(page.matches("Returns promised").count(), 2, "in the list of rules, and where it was told: {page}");
    assert!(page.contains("A rule with a confidential word list") && page.contains("insider · 1"), "{page}");
    let all = li.page("/me/data.json").await;
    let table = li.page("/me/data.csv").await;
    for text in [&page, &all.text, &table.text] {
        for secret in ["merger", "并购", "蓝鲸", "veiled"] {
            assert!(!text.contains(secret), "{secret}: {text}");
        }
    }
    let insider = all.body["rules"].as_array().unwrap().iter().find(|it| it["name"] == "insider").unwrap();
    assert_eq!((&insider["confidential"], &insider["words"]), (&json!(1), &json!(2)));
    // Of another's machine the rules are not theirs.
    let mut wang = Browser::of(&console);
    wang.open(&link(&admin, "ww1/wang.x").await).await;
    let page = wang.mine().await;
    assert!(!page.contains("Returns promised") && page.contains("The rules are not known here"), "{page}");
    console.running.stop().await;
}

/// `li.a` and `li.b` are one employee's, `wang` is another's.
async fn scene() -> Console {
    let mut log = Log::new();
    roster(&mut log, &[("li.a", "sales", "sh"), ("li.b", "sales", "sh"), ("wang.x", "sales", "sh")]);
    let mut device = log.lab.device();
    let findings = [
        told(1, "ww1/li.a", "first of li"),
        told(2, "ww1/wang.x", "first of wang"),
        told(3, "ww1/li.b", &format!("hostile {HOSTILE}")),
    ];
    log.append(&mut device, Lane::Urgent, &findings);
    log.append(&mut device, Lane::Bulk, &[counted("ww1/li.a", 41), counted("ww1/wang.x", 7_777)]);
    employ(&mut log, "admin", grant(Role::Administrator));
    employ(&mut log, "reviewer", grant(Role::Reviewer));
    employ(&mut log, "auditor", grant(Role::Auditor));
    let act = By { by: "reviewer", reason: "", at_ms: now_ms() };
    for (step, note) in [(desk::What::Take, ""), (desk::What::Note, "colleagues know of it")] {
        let deed = Deed { alerts: vec![id_of(1)], step, note: note.into() };
        log.operate(|appender| desk::act(appender, &deed, &act)).unwrap();
    }
    Console::start(log).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_employee_sees_what_is_about_them_and_nothing_about_anybody_else() {
    let console = scene().await;
    let admin = console.signed_in("admin").await;
    let mut li = Browser::of(&console);
    let before = li.page("/me").await;
    assert!(before.status == 200 && !is_in(&before) && before.text.contains("data-fill-from-hash"));
    let opened = li.open(&link(&admin, "ww1/li.a").await).await;
    assert_eq!((opened.status, opened.headers["location"].to_str().unwrap()), (303, "/me"), "{}", opened.text);
    let cookie = opened.cookies().concat();
    assert!(
        cookie.starts_with(VISIT_COOKIE_PLAIN) && cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict")
    );

    let page = li.mine().await;
    for (what, is_there) in [
        ("first of li", true),
        ("ww1/li.b", true),
        (">41<", true),
        ("first of wang", false),
        ("wang", false),
        ("7,777", false),
        // What those who deal with it write, and who they are.
        ("colleagues know", false),
        ("reviewer<", false),
        (&id_of(2), false),
        // The ids of rules may tell what a confidential list is about.
        ("sample.rule1", false),
    ] {
        assert_eq!(page.contains(what), is_there, "{what}: {page}");
    }
    let all = li.page("/me/data.json").await;
    assert_eq!(all.body["accounts"], json!(["ww1/li.a", "ww1/li.b"]));
    assert_eq!(all.body["sent"].as_array().unwrap().len(), 2);
    assert!(
        !all.text.contains("wang") && all.headers["content-disposition"].to_str().unwrap().contains("my-data.json")
    );
    let table = li.page("/me/data.csv").await;
    assert!(table.text.contains("first of li") && !table.text.contains("wang"), "{}", table.text);
    let taken: Vec<_> =
        console.trail("exported").await.into_iter().map(|row| (row.by, row.subject, row.count)).collect();
    assert_eq!(taken, vec![("employee:ww1/li.a".to_owned(), "ww1/li.a".to_owned(), 2); 2]);
    console.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_written_never_becomes_part_of_the_page() {
    let console = scene().await;
    let admin = console.signed_in("admin").await;
    let mut li = Browser::of(&console);
    li.open(&link(&admin, "ww1/li.b").await).await;
    assert_eq!(li.object(&id_of(3), &format!("because {HOSTILE}")).await.status, 303);
    for english in [true, false] {
        li.english = english;
        let page = li.mine().await;
        assert!(page.contains("hostile &lt;script&gt;") && !page.contains("<script>alert"), "{page}");
        assert!(!page.contains("style=\"") && page.len() < 60_000, "{}", page.len());
    }
    let mut stranger = Browser::of(&console);
    let refused = stranger.send("POST", "/me/open", &[("account", HOSTILE), ("secret", HOSTILE)]).await;
    assert!(!refused.text.contains("<script>alert"), "{}", refused.text);
    assert!(!refused.text.contains("\"onmouseover"), "{}", refused.text);
    let page = li.page("/me?said=%3Cscript%3Ealert(1)&from=99999").await;
    assert!(page.status == 200 && !page.text.contains("<script>alert"));
    console.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_opens_once_until_it_ends_and_a_new_one_ends_the_former() {
    let console = scene().await;
    let admin = console.signed_in("admin").await;
    let (mut li, mut thief) = (Browser::of(&console), Browser::of(&console));
    let refused = |answer: &Answer| answer.status == 200 && answer.text.contains("The link does not work");

    let first = link(&admin, "ww1/li.a").await;
    let second = link(&admin, "li").await;
    assert_eq!(second.account, "ww1/li.a", "by the number of the employee, too");
    assert!(refused(&li.open(&first).await), "another was handed out since");
    let other = Link { account: "ww1/wang.x".into(), ..second.clone() };
    assert!(refused(&li.open(&other).await), "it is not for that account");
    assert_eq!(li.open(&second).await.status, 303);
    assert!(refused(&thief.open(&second).await), "it was opened before");
    assert!(is_in(&li.page("/me").await));

    // Withdrawn: a visit that came by it ends.
    let ended = admin.post("/employee-links/end", &json!({ "whom": "ww1/li.b" })).await;
    assert_eq!(ended.status, 200, "{}", ended.text);
    assert!(!is_in(&li.page("/me").await), "withdrawn");
    assert!(refused(&li.open(&second).await));

    // A new one ends a visit by the former one, also where it is asked for by another account of theirs.
    let third = link(&admin, "ww1/li.b").await;
    assert_eq!(li.open(&third).await.status, 303);
    let fourth = link(&admin, "ww1/li.a").await;
    assert!(!is_in(&li.page("/me").await), "a newer one was handed out");

    // Too late.
    console.clock.set_ahead(8 * DAY);
    assert!(refused(&li.open(&fourth).await), "it has ended");
    console.clock.set_ahead(0);
    assert_eq!(li.open(&fourth).await.status, 303);
    console.clock.set_ahead(29 * 60_000);
    assert!(is_in(&li.page("/me").await));
    console.clock.set_ahead(60 * 60_000);
    assert!(!is_in(&li.page("/me").await), "nobody has looked for half an hour");

    let opened = console.trail("employee-link-open").await;
    assert!(opened.iter().all(|row| row.by == "employee:ww1/li.a") && opened.len() == 3, "{opened:?}");
    let made = console.trail("employee-link").await;
    assert!(made.iter().all(|row| row.by == "admin" && row.reason == "asked") && made.len() == 4, "{made:?}");
    let db = rusqlite::Connection::open(console.config.log_db()).unwrap();
    let kept: Vec<Vec<u8>> = db
        .prepare("SELECT header FROM entry")
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    let secret = fourth.secret.as_bytes();
    assert!(!kept.iter().any(|header| header.windows(secret.len()).any(|it| it == secret)), "the log holds a secret");
    console.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_is_opened_by_one_of_many_who_come_at_once() {
    let console = scene().await;
    let admin = console.signed_in("admin").await;
    let link = link(&admin, "ww1/li.a").await;
    let tries = (0..4).map(|_| {
        let (mut browser, link) = (Browser::of(&console), link.clone());
        tokio::spawn(async move { browser.open(&link).await.status })
    });
    let tries: Vec<_> = tries.collect();
    let mut opened = 0;
    for tried in tries {
        opened += usize::from(tried.await.unwrap() == 303);
    }
    assert_eq!(opened, 1);
    console.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn neither_way_in_opens_what_the_other_does() {
    let console = scene().await;
    let admin = console.signed_in("admin").await;
    let mut li = Browser::of(&console);
    li.open(&link(&admin, "ww1/li.a").await).await;
    assert!(is_in(&li.page("/me").await));

    // The cookies of operators do not open it, under their own name or its.
    let mut operator = Browser { cookies: admin.cookies.clone(), ..Browser::of(&console) };
    assert!(!is_in(&operator.page("/me").await));
    let session = admin.cookies["watchpost"].clone();
    operator.cookies.insert(VISIT_COOKIE_PLAIN.into(), session);
    for path in ["/me", "/me/data.json", "/me/data.csv"] {
        let answer = operator.page(path).await;
        assert!(!is_in(&answer) && !answer.text.contains("first of"), "{path}");
    }
    // Its cookie opens nothing else, under its own name or an operator's.
    let cookie = li.cookies[VISIT_COOKIE_PLAIN].clone();
    for name in [VISIT_COOKIE_PLAIN, "watchpost"] {
        let as_operator = Client { cookies: [(name.to_owned(), cookie.clone())].into(), ..console.client() };
        for path in ["/session", "/alerts", "/audit", "/employee-links?whom=ww1/wang.x"] {
            assert_eq!(as_operator.get(path).await.status, 401, "{name} {path}");
        }
        let mut browser = Browser { cookies: as_operator.cookies.clone(), ..Browser::of(&console) };
        for path in ["/", "/account", "/people/link"] {
            assert_eq!(browser.page(path).await.status, 303, "{name} {path}: to the way in");
        }
    }
    // Only administrators hand links out, and no token does.
    assert!(!Act::ChangeOperators.is_for_tokens());
    for name in ["reviewer", "auditor"] {
        let client = console.signed_in(name).await;
        assert_eq!(client.post("/employee-links", &json!({ "whom": "ww1/li.a" })).await.status, 403, "{name}");
    }
    // Nor does a setting.
    let value = json!({ "secret": "00".repeat(32), "until_ms": now_ms() + DAY });
    let set = admin.put("/settings", &json!({ "name": "employee-link/ww1/li.a", "value": value })).await;
    assert_eq!(set.status, 409, "{}", set.text);
    console.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_objection_comes_into_the_history_of_the_alert_and_is_about_ones_own_alone() {
    let console = scene().await;
    let admin = console.signed_in("admin").await;
    let mut li = Browser::of(&console);
    li.open(&link(&admin, "ww1/li.a").await).await;
    let size = console.size();
    for other in [id_of(2), "zz".into(), "00".repeat(32), String::new(), id_of(2).to_uppercase()] {
        assert_eq!(li.object(&other, "it was not so").await.status, 404, "{other}");
    }
    assert_eq!(li.object(&id_of(1), "  ").await.status, 422);
    // A form of no page of this visit.
    let unmarked = li.send("POST", "/me/appeal", &[("alert", &id_of(1)), ("text", "x"), ("mark", "")]).await;
    assert_eq!(unmarked.status, 403);
    assert_eq!(console.size(), size, "nothing was done");

    let sent = li.object(&id_of(1), "It was a quotation from training.").await;
    assert_eq!(sent.headers["location"].to_str().unwrap(), "/me?said=appealed", "{}", sent.text);
    assert!(li.mine().await.contains("Objection open"));
    assert_eq!(li.object(&id_of(1), "once more").await.status, 409, "it is open already");
    let reviewer = console.signed_in("reviewer").await;
    let history = reviewer.get(&format!("/alerts/{}/history", id_of(1))).await;
    let last = history.body.as_array().or(history.body["items"].as_array()).unwrap().last().unwrap().clone();
    assert_eq!(last["what"], "appealed");
    assert_eq!(last["by"], "employee:ww1/li.a");
    assert_eq!(last["note"], "It was a quotation from training.");
    let noted = console.trail("alert-appeal").await;
    assert_eq!((noted.len(), &*noted[0].by, &*noted[0].subject), (1, "employee:ww1/li.a", &*id_of(1)));

    let judged = json!({ "alerts": [id_of(1)], "step": "deny", "note": "it was to a customer" });
    assert_eq!(reviewer.post("/alerts/step", &judged).await.status, 200);
    console.caught_up().await;
    let page = li.mine().await;
    assert!(page.contains("Objection denied") && !page.contains("to a customer"), "{page}");
    console.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn guesses_are_throttled_and_noted_without_whom_they_were_for() {
    let console = scene().await;
    let admin = console.signed_in("admin").await;
    let right = link(&admin, "ww1/li.a").await;
    let mut stranger = Browser::of(&console);
    let wrong = Link { secret: "wpe_guess".into(), ..right.clone() };
    let mut waits = false;
    for _ in 0..7 {
        waits |= stranger.open(&wrong).await.text.contains("Too many attempts");
    }
    assert!(waits, "guesses without end");
    // Whoever knows the secret waits no longer than a minute for a stranger.
    console.clock.set_ahead(61_000);
    assert_eq!(Browser::of(&console).open(&right).await.status, 303);
    let refused = console.trail("refused").await;
    assert!(
        refused.len() >= 5 && refused.iter().all(|row| row.by == "unknown" && !format!("{row:?}").contains("li.a"))
    );
    console.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_hands_a_link_out_on_a_page() {
    let console = scene().await;
    let admin = console.signed_in("admin").await;
    let mut browser = Browser { cookies: admin.cookies.clone(), ..Browser::of(&console) };
    let form = browser.page("/people/link?whom=ww1/li.a").await;
    assert!(form.status == 200 && form.text.contains("ww1/li.b"), "{}", form.text);
    let mark = mark_of(&form.text);
    let fields = [("mark", &*mark), ("whom", "ww1/li.a"), ("days", "7"), ("reason", "asked")];
    let made = browser.send("POST", "/people/link", &fields).await;
    assert_eq!(made.status, 200, "{}", made.text);
    let shown = made.text.split("<code>").nth(1).unwrap().split("</code>").next().unwrap().replace("&amp;", "&");
    assert!(shown.starts_with("http://127.0.0.1:"), "{shown}");
    let mut li = Browser::of(&console);
    assert_eq!(li.open(&link_of(&shown)).await.status, 303);
    // The way there is on the page of the person, for administrators alone.
    let people = browser.page("/people").await;
    let person = people.text.split("href=\"/people/").skip(1).map(|rest| rest.split('"').next().unwrap());
    let person = person.filter(|path| !["import", "unknown"].contains(path)).find(|path| path.contains("li")).unwrap();
    let person = format!("/people/{person}");
    assert!(browser.page(&person).await.text.contains("/people/link?whom=ww1%2Fli.a"), "{person}");
    let trail = browser.page("/audit?verb=employee-link").await;
    assert!(trail.text.contains("handed out a link"), "{}", trail.text);
    let nobody = browser.send("POST", "/people/link", &[("mark", &*mark), ("whom", "ww1/nobody"), ("days", "7")]).await;
    assert_eq!(nobody.status, 409);
    let reviewer = console.signed_in("reviewer").await;
    let mut other = Browser { cookies: reviewer.cookies.clone(), ..Browser::of(&console) };
    assert_eq!(other.page("/people/link").await.status, 403);
    assert!(!other.page(&person).await.text.contains("/people/link"));
    console.running.stop().await;
}

#[derive(clap::Parser)]
struct Cli {
    #[command(flatten)]
    my_data: MyDataArgs,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_hands_a_link_out_and_takes_it_back() {
    let console = scene().await;
    let config = console.lab.dir().join("collector/collector.toml").display().to_string();
    let run = async |words: &[&str]| {
        let words = ["my-data"].iter().chain(words).map(|word| (*word).to_owned());
        let words: Vec<String> = words.chain(["--config".to_owned(), config.clone()]).collect();
        let args = Cli::try_parse_from(&words).unwrap_or_else(|error| panic!("{error}"));
        tokio::task::spawn_blocking(move || my_data::run(args.my_data).map_err(|error| error.to_string()))
            .await
            .unwrap()
    };
    run(&["link", "li", "--valid", "3d", "--reason", "asked by mail", "--by", "hr"]).await.unwrap();
    let made = console.trail("employee-link").await;
    assert_eq!((made.len(), &*made[0].by, &*made[0].subject, &*made[0].reason), (1, "hr", "ww1/li.a", "asked by mail"));
    run(&["unlink", "ww1/li.b", "--by", "hr"]).await.unwrap();
    assert_eq!(console.trail("employee-link-end").await.len(), 1);
    assert!(run(&["link", "nobody"]).await.unwrap_err().contains("nobody is known"));
    assert!(run(&["link", "li", "--valid", "32d"]).await.unwrap_err().contains("31 days"));
    run(&["ww1/li.a", "--format", "json"]).await.unwrap();
    assert!(Cli::try_parse_from(["my-data", "--config", "x"]).is_err(), "whose");
    console.running.stop().await;
}
