//! The pages of alerts, search and cases, as a browser without scripts has them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test helpers")]

mod support;

use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{HeaderMap, Request};
use hyper_util::rt::TokioIo;
use support::console::{Client, Console, employ, grant, id_of, roster_named, supervisor};
use support::offline::Log;
use tokio::net::TcpStream;
use watchpost_collector::evidence::{self, Asked, Evidence};
use watchpost_collector::operators::{Grant, Role};
use watchpost_collector::{credentials, trust::Trust};
use watchpost_proto::v1::{Channel, Disclose, Finding, Hit, Lane, Summary, summary};

const NAME: &str = "李<b>娜";
const RULE: &str = "x.<img src=x onerror=alert(1)>";
const TEXT: &str = "𠮷🎉<script>alert(1)</script>保本，稳赚";

/// An answer as a browser gets it.
struct Shown {
    status: u16,
    headers: HeaderMap,
    bytes: Vec<u8>,
}

impl Shown {
    fn text(&self) -> String {
        String::from_utf8(self.bytes.clone()).unwrap()
    }

    fn location(&self) -> &str {
        self.headers.get("location").map(|value| value.to_str().unwrap()).unwrap_or_default()
    }

    fn mark(&self) -> String {
        let text = self.text();
        let (_, rest) = text.split_once("name=\"mark\" value=\"").expect("a form");
        rest.split('"').next().unwrap().to_owned()
    }
}

async fn ask(client: &Client, method: &str, path: &str, body: String) -> Shown {
    let stream = TcpStream::connect(client.address).await.unwrap();
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let cookies: Vec<String> = client.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let mut request = Request::builder().method(method).uri(path).header("host", client.address.to_string());
    request = request.header("cookie", cookies.join("; ")).header("accept-language", "en");
    if method == "POST" {
        request = request.header("origin", format!("http://{}", client.address));
        request = request.header("content-type", "application/x-www-form-urlencoded");
    }
    for (name, value) in client.headers.iter().filter(|(name, _)| name == "x-watchpost-quiet") {
        request = request.header(name, value);
    }
    let response = sender.send_request(request.body(Full::new(Bytes::from(body))).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes().to_vec();
    Shown { status: parts.status.as_u16(), headers: parts.headers, bytes }
}

async fn page(client: &Client, path: &str) -> Shown {
    ask(client, "GET", path, String::new()).await
}

/// Sends a form as it stands on a page.
async fn send(client: &Client, from: &str, path: &str, fields: &[(&str, &str)]) -> Shown {
    let mark = page(client, from).await.mark();
    let mut all = vec![("mark", mark.as_str())];
    all.extend(fields);
    ask(client, "POST", path, form(&all)).await
}

fn form(fields: &[(&str, &str)]) -> String {
    let encoded = |text: &str| text.bytes().map(|byte| format!("%{byte:02X}")).collect::<String>();
    fields.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect::<Vec<_>>().join("&")
}

/// A finding about somebody with an excerpt and its hits.
fn found(number: u64, person: &str) -> Summary {
    let mut summary = support::console::about(number, person);
    let Some(summary::Kind::Finding(finding)) = &mut summary.kind else { panic!("no finding") };
    let hit = |word: &str| {
        let start = TEXT[..TEXT.find(word).unwrap()].chars().count() as u32;
        let end = start + word.chars().count() as u32;
        let (selection, field, word) = ("promise".into(), "text".into(), word.into());
        Hit { selection, field, start, end, word, channel: Channel::Exact.into(), obfuscated: false }
    };
    *finding = Finding {
        rule: RULE.into(),
        category: "<i>cat".into(),
        excerpt: TEXT.into(),
        disclose: Disclose::Context.into(),
        hits: vec![hit("保本"), hit("稳赚")],
        ..finding.clone()
    };
    summary
}

async fn scene() -> Console {
    let mut log = Log::new();
    let rows = [("u0", "sales", "shanghai"), ("u1", "sales", "shanghai"), ("u2", "service", "beijing")];
    roster_named(&mut log, &rows, NAME);
    let mut device = log.lab.device();
    let all: Vec<Summary> = (0..3).map(|number| found(number + 1, &format!("ww1/u{number}"))).collect();
    log.append(&mut device, Lane::Urgent, &all);
    let export = |grant: Grant| Grant { export: true, ..grant };
    employ(&mut log, "reviewer", export(grant(Role::Reviewer)));
    employ(&mut log, "other", grant(Role::Reviewer));
    employ(&mut log, "li", supervisor(&[("sales", "shanghai")]));
    employ(&mut log, "concerned", Grant { accounts: vec!["WW1/u0".into()], ..export(grant(Role::Reviewer)) });
    employ(&mut log, "auditor", grant(Role::Auditor));
    employ(&mut log, "admin", grant(Role::Administrator));
    Console::start(log).await
}

fn path(number: u64) -> String {
    format!("/alerts/{}", id_of(number))
}

const MARKED: &str = "𠮷🎉&lt;script&gt;alert(1)&lt;/script&gt;<mark>保本</mark>，<mark>稳赚</mark>";

#[tokio::test(flavor = "multi_thread")]
async fn everybody_sees_their_own_alerts_and_nobody_those_about_themselves() {
    let console = scene().await;
    let sees = |text: &str| [1, 2, 3].map(|number| text.contains(&path(number)));
    for (name, expected) in [
        ("reviewer", [true; 3]),
        ("auditor", [true; 3]),
        ("li", [true, true, false]),
        ("concerned", [false, true, true]),
    ] {
        let client = console.signed_in(name).await;
        let queue = page(&client, "/alerts").await;
        assert_eq!((queue.status, sees(&queue.text())), (200, expected), "{name}");
        let told = expected.iter().filter(|sees| **sees).count();
        assert!(queue.text().contains(&format!("{told} alerts")), "{name}: nobody learns a number of others");
        for number in [1, 2, 3] {
            let is_seen = expected[number as usize - 1];
            assert_eq!(page(&client, &path(number)).await.status, if is_seen { 200 } else { 404 }, "{name} {number}");
            let closed =
                send(&client, "/alerts", &format!("{}/step", path(number)), &[("step", "note"), ("note", "x")]).await;
            let works = name != "auditor";
            assert_eq!(
                closed.status,
                if !works {
                    403
                } else if is_seen {
                    303
                } else {
                    404
                },
                "{name} {number}"
            );
        }
    }
    assert_eq!(page(&console.signed_in("admin").await, "/alerts").await.status, 403);
    console.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_found_is_read_with_a_reason_and_leaves_a_trace() {
    let console = scene().await;
    let client = console.signed_in("reviewer").await;
    let shown = page(&client, &path(1)).await.text();
    assert!(!shown.contains("稳赚") && !shown.contains("<mark>"), "not without a reason");
    assert!(console.trail("viewed").await.is_empty());
    let read = format!("{}/read", path(1));
    let refused = send(&client, &path(1), &read, &[("reason", "x")]).await;
    assert!(refused.status == 422 && !refused.text().contains("稳赚"));
    assert!(console.trail("viewed").await.is_empty());
    let shown = send(&client, &path(1), &read, &[("reason", "a complaint came in")]).await;
    assert_eq!(shown.status, 200);
    assert!(shown.text().contains(MARKED), "{}", shown.text());
    let viewed = console.trail("viewed").await;
    let told = |at: usize| (viewed[at].by.clone(), viewed[at].subject.clone(), viewed[at].reason.clone());
    assert_eq!(told(0), ("reviewer".into(), id_of(1), "a complaint came in".into()));
    // Whoever has it to deal with needs no reason, and is noted all the same.
    let taken = send(&client, &path(1), &format!("{}/step", path(1)), &[("step", "take")]).await;
    assert_eq!((taken.status, taken.location()), (303, path(1).as_str()));
    assert!(page(&client, &path(1)).await.text().contains(MARKED));
    let viewed = console.trail("viewed").await;
    assert_eq!((viewed.len(), viewed[0].reason.as_str()), (2, "triage"));
    // A page that looks for news by itself reads nothing.
    let quiet = client.with("x-watchpost-quiet", "1");
    assert!(!page(&quiet, &path(1)).await.text().contains("稳赚"));
    assert_eq!(console.trail("viewed").await.len(), 2);
    let other = console.signed_in("other").await;
    assert!(!page(&other, &path(1)).await.text().contains("稳赚"), "it is assigned to somebody else");
    let auditor = console.signed_in("auditor").await;
    assert_eq!(send(&client, &path(1), &read, &[]).await.status, 200, "it is theirs");
    let refused = ask(
        &auditor,
        "POST",
        &read,
        form(&[("mark", &page(&auditor, "/account").await.mark()), ("reason", "because")]),
    )
    .await;
    assert_eq!(refused.status, 403, "an auditor without a sample");
    console.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_a_device_or_a_person_writes_is_text() {
    let console = scene().await;
    let client = console.signed_in("reviewer").await;
    let step = format!("{}/step", path(1));
    let note = "<svg onload=alert(2)>\"'&";
    assert_eq!(send(&client, &path(1), &step, &[("step", "note"), ("note", note)]).await.status, 303);
    assert_eq!(send(&client, &path(1), &step, &[("step", "take")]).await.status, 303);
    let opened = send(&client, &path(1), &format!("{}/case", path(1)), &[("title", "<u>case")]).await;
    assert_eq!(opened.status, 303);
    let kept = send(
        &client,
        "/alerts?rule=a%22%3E%3Cs%3E",
        "/search/keep",
        &[("name", "<em>"), ("query", "rule:x"), ("back", "/alerts")],
    )
    .await;
    assert_eq!((kept.status, kept.location()), (303, "/alerts"));
    let mut pages = vec![page(&client, &path(1)).await, page(&client, "/alerts").await, page(&client, "/cases").await];
    pages.push(page(&client, "/alerts?rule=a%22%3E%3Cs%3E&person=%22%3E%3Cs%3E").await);
    pages.push(page(&client, "/search?query=%22%3E%3Cs%3E&reason=%22%3E%3Cs%3E").await);
    pages.push(page(&client, "/suppressions?rule=%22%3E%3Cs%3E").await);
    for shown in &pages {
        let text = shown.text();
        assert_eq!(shown.status, 200, "{text}");
        for wrong in [
            "<img src=x",
            "<script>",
            "<svg onload",
            "<b>娜",
            "<i>cat",
            "<u>case",
            "<em>",
            "<s>",
            " style=",
            "javascript:",
        ] {
            assert!(!text.contains(wrong), "{wrong} in {text}");
        }
        assert!(text.len() < 60_000, "{} bytes", text.len());
    }
    assert!(pages[0].text().contains("&lt;svg onload=alert(2)&gt;&quot;'&amp;"));
    assert!(pages[0].text().contains("李&lt;b&gt;娜") && pages[1].text().contains("x.&lt;img src=x"));
    assert!(pages[2].text().contains("&lt;u&gt;case") && pages[1].text().contains("&lt;em&gt;"));
    console.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_are_closed_at_once_and_a_form_without_its_mark_is_refused() {
    let console = scene().await;
    let client = console.signed_in("reviewer").await;
    let (first, second) = (id_of(1), id_of(2));
    let fields =
        [("alerts", first.as_str()), ("alerts", second.as_str()), ("step", "false-alarm"), ("note", "training text")];
    let before = console.size();
    assert_eq!(ask(&client, "POST", "/alerts/step", form(&fields)).await.status, 403, "no mark");
    let other = console.signed_in("other").await;
    let foreign = page(&other, "/alerts").await.mark();
    let with_foreign: Vec<_> = fields.into_iter().chain([("mark", foreign.as_str())]).collect();
    let size = console.size();
    assert_eq!(
        ask(&client, "POST", "/alerts/step", form(&with_foreign)).await.status,
        403,
        "the mark of another session"
    );
    assert_eq!(console.size(), size);
    assert!(size >= before);
    let nothing = send(&client, "/alerts", "/alerts/step", &[("step", "take")]).await;
    assert_eq!(nothing.status, 422, "nothing was ticked");
    let done = send(&client, "/alerts", "/alerts/step", &fields).await;
    assert_eq!((done.status, done.location()), (303, "/alerts?changed=2&unchanged=0"), "{}", done.text());
    let queue = page(&client, done.location()).await.text();
    assert!(queue.contains("2 alerts changed") && queue.contains("1 alerts"), "{queue}");
    let closed = page(&client, "/alerts?view=closed").await.text();
    assert!(closed.contains(&first) && closed.contains(&second) && closed.contains("False alarm"));
    // All of a filter, not only what is ticked.
    let all = [("filter", "view=closed&person=ww1%2Fu1"), ("all", "1"), ("step", "reopen"), ("note", "new facts")];
    let done = send(&client, "/alerts", "/alerts/step", &all).await;
    assert_eq!(done.location(), "/alerts?person=ww1%2Fu1&view=closed&changed=1&unchanged=0");
    let queue = page(&client, "/alerts").await.text();
    assert!(!queue.contains(&first) && queue.contains(&second));
    console.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn evidence_from_the_page_proves_the_alert() {
    let console = scene().await;
    let client = console.signed_in("reviewer").await;
    let to = format!("{}/evidence", path(1));
    assert_eq!(send(&client, &path(1), &to, &[("reason", "")]).await.status, 422);
    let file = send(&client, &path(1), &to, &[("reason", "for the arbitration")]).await;
    assert_eq!(file.status, 200, "{}", file.text());
    let name = file.headers.get("content-disposition").unwrap().to_str().unwrap();
    assert_eq!(name, format!("attachment; filename=\"evidence-{}.json\"", &id_of(1)[..12]));
    let evidence: Evidence = serde_json::from_slice(&file.bytes).unwrap();
    let trust = Trust::new(&credentials::trusted(&console.config.root).unwrap(), support::TENANT).unwrap();
    let proved = evidence::verify(&evidence, &trust, &Asked::default()).unwrap();
    assert_eq!((proved.person.as_str(), proved.records.len()), ("ww1/u0", 1));
    let exported = console.trail("exported").await;
    assert_eq!(
        (exported[0].subject.clone(), exported[0].reason.as_str(), exported[0].count),
        (id_of(1), "for the arbitration", 1)
    );
    let li = console.signed_in("li").await;
    let refused = send(&li, &path(1), &to, &[("reason", "for the arbitration")]).await;
    assert_eq!(refused.status, 403, "who may not take lists out takes no evidence out");
    assert!(!page(&li, &path(1)).await.text().contains("/evidence\""), "and is not offered it");
    let concerned = console.signed_in("concerned").await;
    assert_eq!(send(&concerned, &path(2), &to, &[("reason", "for the arbitration")]).await.status, 404);
    console.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_goes_out_with_a_reason_as_far_as_it_is_seen() {
    let console = scene().await;
    let client = console.signed_in("concerned").await;
    let asked = [("filter", "level=high"), ("format", "csv"), ("reason", "monthly report")];
    let csv = send(&client, "/alerts", "/alerts/export", &asked).await;
    assert_eq!((csv.status, csv.headers["content-type"].to_str().unwrap()), (200, "text/csv; charset=utf-8"));
    assert!(csv.text().contains(&id_of(2)) && !csv.text().contains(&id_of(1)) && !csv.text().contains("稳赚"));
    let jsonl = send(&client, "/alerts", "/alerts/export", &[("format", "jsonl"), ("reason", "monthly report")]).await;
    assert_eq!(jsonl.text().lines().count(), 2);
    let xlsx = send(&client, "/alerts", "/alerts/export", &[("format", "xlsx"), ("reason", "monthly report")]).await;
    assert_eq!(&xlsx.bytes[..2], b"PK");
    let refused = send(&client, "/alerts", "/alerts/export", &[("format", "csv")]).await;
    assert_eq!(refused.status, 422);
    let exported = console.trail("exported").await;
    assert_eq!((exported.len(), exported[2].subject.as_str(), exported[2].count), (3, "alerts level unclosed", 2));
    console.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_fits_is_offered() {
    let console = scene().await;
    let (client, other) = (console.signed_in("reviewer").await, console.signed_in("other").await);
    let step = format!("{}/step", path(3));
    let offers = |text: &str, step: &str| text.contains(&format!("name=\"step\" value=\"{step}\""));
    let shown = page(&client, &path(3)).await.text();
    assert!(
        offers(&shown, "take") && offers(&shown, "assign") && !offers(&shown, "reopen") && !offers(&shown, "grant")
    );
    assert!(
        shown.contains(">li<") || !shown.contains("<option value=\"li\""),
        "a supervisor of another department is not offered"
    );
    assert!(!shown.contains("value=\"li\"") && shown.contains("value=\"other\""));
    assert_eq!(send(&client, &path(3), &step, &[("step", "confirmed"), ("note", "so it is")]).await.status, 303);
    let late = send(&other, &path(3), &step, &[("step", "take")]).await;
    assert_eq!(late.status, 409, "somebody was first");
    assert_eq!(send(&client, &path(3), &step, &[("step", "appeal"), ("note", "a quotation")]).await.status, 303);
    let own = page(&client, &path(3)).await.text();
    let others = page(&other, &path(3)).await.text();
    assert!(!offers(&own, "grant") && offers(&others, "grant"), "nobody judges what they decided");
    assert_eq!(send(&other, &path(3), &step, &[("step", "deny"), ("note", "it was none")]).await.status, 303);
    let auditor = page(&console.signed_in("auditor").await, &path(3)).await.text();
    assert!(
        !offers(&auditor, "note") && !auditor.contains("so it is") && !auditor.contains("a quotation"),
        "{auditor}"
    );
    assert!(page(&other, &path(3)).await.text().contains("so it is"));
    console.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cases_suppressions_and_stand_ins_have_pages_that_work() {
    let console = scene().await;
    let client = console.signed_in("reviewer").await;
    assert_eq!(send(&client, &path(2), &format!("{}/case", path(2)), &[("title", "Branch")]).await.status, 303);
    let list = page(&client, "/cases").await.text();
    let (_, rest) = list.split_once("href=\"/cases/").unwrap();
    let case = format!("/cases/{}", rest.split('"').next().unwrap());
    let shown = page(&client, &case).await;
    assert!(shown.status == 200 && shown.text().contains(&path(2)) && shown.text().contains("Branch"));
    let closing = [("step", "close"), ("outcome", "talk"), ("note", "talked to")];
    assert_eq!(send(&client, &case, &format!("{case}/step"), &closing).await.location(), case);
    assert!(page(&client, &case).await.text().contains("A talk"));
    let concerned = console.signed_in("li").await;
    assert_eq!(page(&concerned, &case).await.status, 200, "of their department");
    let begun = [("rule", RULE), ("until", "2099-01-01"), ("reason", "known text")];
    assert_eq!(send(&client, "/suppressions", "/suppressions", &begun).await.status, 409, "longer than a year");
    let day = watchpost_collector::clock::day_in_china(watchpost_collector::clock::now_ms() + 9 * 86_400_000).unwrap();
    let begun = [("rule", RULE), ("until", day.as_str()), ("reason", "known text")];
    assert_eq!(send(&client, "/suppressions", "/suppressions", &begun).await.status, 303);
    let shown = page(&client, "/suppressions").await.text();
    let (_, rest) = shown.split_once("action=\"/suppressions/").expect("one to end");
    let end = format!("/suppressions/{}", rest.split('"').next().unwrap());
    assert_eq!(send(&client, "/suppressions", &end, &[("reason", "over again")]).await.status, 303);
    assert!(!page(&client, "/suppressions").await.text().contains("action=\"/suppressions/"));
    assert_eq!(page(&concerned, "/suppressions").await.status, 403);
    let away = [("to", "other"), ("from", "2026-01-01"), ("until", "2099-01-01")];
    assert_eq!(send(&client, "/delegate", "/delegate", &away).await.status, 303);
    assert_eq!(send(&client, &path(2), &format!("{}/step", path(2)), &[("step", "take")]).await.status, 303);
    let other = console.signed_in("other").await;
    assert!(page(&other, "/delegate").await.text().contains("You stand in for: reviewer"));
    assert!(page(&other, "/alerts?view=mine").await.text().contains(&path(2)));
    assert!(page(&other, &path(2)).await.text().contains(MARKED), "read as their own");
    let nobody = [("to", "auditor"), ("from", "2026-01-01"), ("until", "2099-01-01")];
    assert_eq!(send(&client, "/delegate", "/delegate", &nobody).await.status, 409);
    assert_eq!(send(&client, "/delegate", "/delegate/end", &[]).await.status, 303);
    assert!(!page(&other, &path(2)).await.text().contains(MARKED));
    console.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn search_finds_what_one_may_read_and_asks_why() {
    let console = scene().await;
    let (client, li) = (console.signed_in("reviewer").await, console.signed_in("li").await);
    let words = "/search?query=%E7%A8%B3%E8%B5%9A";
    let asked = page(&client, words).await.text();
    assert!(asked.contains("say why") && !asked.contains("/alerts/"), "{asked}");
    let deadline = std::time::Instant::now() + support::PATIENCE;
    loop {
        let shown = page(&client, &format!("{words}&reason=complaint")).await.text();
        if [1, 2, 3].iter().all(|number| shown.contains(&path(*number))) {
            break;
        }
        assert!(std::time::Instant::now() < deadline, "{shown}");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let shown = page(&li, &format!("{words}&reason=complaint")).await.text();
    assert!(shown.contains(&path(1)) && !shown.contains(&path(3)));
    assert!(page(&client, "/search?query=nofield%3Ax").await.text().contains("class=\"notice bad problem\""));
    let csv = send(
        &client,
        "/search",
        "/search/export",
        &[("query", "level:high"), ("format", "csv"), ("reason", "for audit")],
    )
    .await;
    assert_eq!(csv.status, 200);
    assert!(csv.text().contains(&id_of(3)) && !csv.text().contains("稳赚"));
    let with = [("query", "level:high"), ("format", "jsonl"), ("excerpts", "1"), ("reason", "for audit")];
    assert!(send(&client, "/search", "/search/export", &with).await.text().contains("稳赚"));
    assert_eq!(
        send(&client, "/search", "/search/keep", &[("name", "high"), ("query", "level:high"), ("back", "//evil")])
            .await
            .location(),
        "/"
    );
    assert!(page(&client, "/search").await.text().contains(">high<"));
    assert_eq!(
        send(&client, "/search", "/search/forget", &[("name", "high"), ("back", "/search")]).await.location(),
        "/search"
    );
    assert!(!page(&client, "/search").await.text().contains(">high<"));
    console.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_findings_are_read_piece_by_piece_and_a_page_stays_light() {
    let mut log = Log::new();
    let mut device = log.lab.device();
    let all: Vec<Summary> = (1..=25).map(|number| found(number, "ww1/u0")).collect();
    log.append(&mut device, Lane::Urgent, &all);
    for chunk in 0..45_u64 {
        let other: Vec<Summary> = vec![found(100 + chunk, &format!("ww1/somebody.with.a.long.name{chunk}"))];
        log.append(&mut device, Lane::Urgent, &other);
    }
    employ(&mut log, "reviewer", Grant { export: true, ..grant(Role::Reviewer) });
    let console = Console::start(log).await;
    let client = console.signed_in("reviewer").await;
    let read = format!("{}/read", path(1));
    let first = send(&client, &path(1), &read, &[("reason", "a complaint came in")]).await.text();
    assert_eq!(first.matches("<mark>保本</mark>").count(), 20);
    assert!(first.contains("Go on from 21 of 25"));
    let rest = send(&client, &path(1), &read, &[("reason", "a complaint came in"), ("from", "20")]).await.text();
    assert_eq!(rest.matches("<mark>保本</mark>").count(), 5);
    assert!(!rest.contains("Go on from"));
    let none =
        send(&client, &path(1), &read, &[("reason", "a complaint came in"), ("from", "18446744073709551615")]).await;
    assert_eq!((none.status, none.text().matches("<mark>").count()), (200, 0));
    let queue = page(&client, "/alerts").await.text();
    // Style, script and icon have 30 KB.
    for text in [&first, &queue] {
        assert!(text.len() < 70_000, "{} bytes", text.len());
    }
    let to = queue.split("href=\"").find(|part| part.contains("rel=\"next\"")).unwrap().split('"').next().unwrap();
    let second = page(&client, &to.replace("&amp;", "&")).await;
    assert_eq!(second.text().matches("name=\"alerts\"").count(), 6);
    console.running.stop().await;
}
