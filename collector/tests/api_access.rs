//! Who may do what over the API: every route as every role, in every department at every site. The routes come from the
//! table they are served from; what is expected stands here, written down a second time.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test helpers")]

mod support;

use std::collections::BTreeSet;

use serde_json::{Value, json};
use support::console::{Client, Console, about, employ, grant, id_of, roster, supervisor, token};
use support::offline::Log;
use watchpost_collector::alerts::desk::{self, CaseStep, Suppress};
use watchpost_collector::clock::now_ms;
use watchpost_collector::enrolment::desk::Act as By;
use watchpost_collector::operators::{Act, Grant, Role, Sample};
use watchpost_collector::registry::Effects;
use watchpost_collector::web::{Route, api::routes};
use watchpost_collector::words::desk as words;
use watchpost_proto::v1::{DeviceVerb, Lane};

const DEPARTMENTS: [&str; 2] = ["sales", "service"];
const SITES: [&str; 2] = ["shanghai", "beijing"];

/// Roles by a letter: administrator, policy author, supervisor, reviewer, auditor (with a sample of everything closed).
/// `scoped`: of those, a supervisor only within their departments and sites.
fn expected(method: &str, path: &str) -> Option<(&'static str, bool)> {
    Some(match (method, path) {
        ("GET", "/openapi.json") | ("POST", "/session") | ("POST", "/invitation") => ("*", false),
        ("GET" | "DELETE", "/session") | ("POST", "/session/password" | "/session/totp") => ("apsru", false),
        ("GET", "/overview") => ("apsru", false),
        ("GET", "/coverage") => ("aru", false),
        ("GET" | "POST", "/tokens") | ("DELETE", "/tokens/{token}") | ("GET", "/events") => ("apsru", false),
        ("GET", "/alerts") => ("sru", false),
        ("GET", "/alerts/{alert}" | "/alerts/{alert}/history") => ("sru", true),
        ("GET", "/alerts/{alert}/findings") => ("sru", true),
        ("GET", "/alerts/{alert}/rule" | "/alerts/{alert}/playbook") => ("sru", true),
        ("GET", "/alerts/{alert}/proof" | "/alerts/{alert}/related" | "/alerts/{alert}/evidence") => ("sru", true),
        ("GET", "/alerts/{alert}/workers") => ("sr", true),
        ("POST", "/alerts/step") => ("sr", true),
        ("GET", "/exports/alerts.csv" | "/exports/alerts.xlsx" | "/exports/alerts.jsonl") => ("sru", false),
        ("GET", "/exports/findings.csv" | "/exports/findings.xlsx" | "/exports/findings.jsonl") => ("sru", false),
        ("GET" | "PUT" | "DELETE", "/delegate") => ("apsru", false),
        ("GET", "/search" | "/searches") | ("PUT" | "DELETE", "/searches/{name}") => ("sru", false),
        ("GET", "/rules" | "/packs" | "/packs/{pack}" | "/policies" | "/policies/{group}") => ("pr", false),
        ("GET", "/words" | "/words/{list}" | "/words/{list}/export") => ("pr", false),
        ("POST", "/rules/test" | "/words" | "/words/preview" | "/words/{list}/step") => ("pr", false),
        ("POST", "/policies" | "/policies/check" | "/policies/{group}/step") => ("p", false),
        ("GET", "/cases") => ("sru", false),
        ("GET", "/cases/{case}") => ("sru", true),
        ("POST", "/cases" | "/cases/{case}/step") => ("sr", true),
        ("GET" | "POST", "/suppressions") | ("DELETE", "/suppressions/{suppression}") => ("r", false),
        ("GET", "/operators" | "/operators/{operator}" | "/operators/{operator}/tokens") => ("au", false),
        ("POST", "/operators") | ("PUT", "/operators/{operator}/grant") => ("a", false),
        ("POST", "/operators/{operator}/disable" | "/operators/{operator}/enable" | "/operators/{operator}/reset") => {
            ("a", false)
        }
        ("DELETE", "/operators/{operator}/tokens/{token}") => ("a", false),
        ("GET" | "POST", "/employee-links") | ("POST", "/employee-links/end") => ("a", false),
        ("GET", "/audit" | "/settings") => ("au", false),
        ("GET", "/devices" | "/devices/{device}" | "/health" | "/log") => ("aru", false),
        ("PUT", "/settings" | "/sites/{site}") => ("a", false),
        ("GET", "/first-run" | "/notifications") => ("au", false),
        ("POST", "/notifications/test") => ("a", false),
        ("GET", "/people" | "/people/{person}" | "/unknown-accounts") => ("aru", false),
        ("GET", "/sites" | "/enrolment/queue" | "/enrolment/tokens" | "/enrolment/expected") => ("aru", false),
        ("POST", "/enrolment/admit" | "/enrolment/reject" | "/enrolment/tokens") => ("a", false),
        ("PUT", "/enrolment/expected") | ("DELETE", "/enrolment/tokens/{token}") => ("a", false),
        ("POST", "/devices/{device}/revoke" | "/devices/{device}/quarantine" | "/devices/{device}/release") => {
            ("a", false)
        }
        _ => return None,
    })
}

/// One who tries, with what they are expected to see.
struct Trier {
    name: String,
    letter: char,
    /// Of a supervisor; empty stands for every one.
    scope: (&'static str, &'static str),
    /// Their own account.
    own: &'static str,
    client: Client,
}

/// An alert with a case of its own.
struct Target {
    alert: String,
    case: String,
    person: String,
    department: &'static str,
    site: &'static str,
}

impl Trier {
    fn sees(&self, target: &Target) -> bool {
        let fits = |of_scope: &str, of_target: &str| of_scope.is_empty() || of_scope == of_target;
        let in_scope = fits(self.scope.0, target.department) && fits(self.scope.1, target.site);
        (self.letter != 's' || in_scope) && self.own != target.person
    }

    /// The status a request must be answered with; nothing where it only has to get past the gate.
    fn must_be(&self, route: &Route, target: &Target) -> Option<u16> {
        let (roles, scoped) = expected(route.method.as_str(), route.path).unwrap();
        if roles != "*" && !roles.contains(self.letter) {
            return Some(403);
        }
        // Nothing is closed here, and of what is open no sample is drawn.
        if self.letter == 'u' && (route.path.ends_with("/findings") || route.path.ends_with("/evidence")) {
            return Some(403);
        }
        (scoped && !self.sees(target)).then_some(404)
    }
}

struct Scene {
    console: Console,
    triers: Vec<Trier>,
    targets: Vec<Target>,
    device: String,
    suppression: String,
    bare: String,
}

/// Name, letter in the table, department and site, own account, and what is granted.
type Player = (String, char, (&'static str, &'static str), &'static str, Grant);

/// Names in the order they come in.
fn cast() -> Vec<Player> {
    let sample = Some(Sample { per_cent: 100, until_ms: now_ms() + 3_600_000 });
    let export = |grant: Grant| Grant { export: true, ..grant };
    let mut cast = vec![
        ("admin".to_owned(), 'a', ("", ""), "", grant(Role::Administrator)),
        ("author".to_owned(), 'p', ("", ""), "", grant(Role::PolicyAuthor)),
        ("reviewer".to_owned(), 'r', ("", ""), "", export(grant(Role::Reviewer))),
        ("auditor".to_owned(), 'u', ("", ""), "", export(Grant { sample, ..grant(Role::Auditor) })),
        (
            "concerned".to_owned(),
            'r',
            ("", ""),
            "ww1/u0",
            export(Grant { accounts: vec!["ww1/u0".into()], ..grant(Role::Reviewer) }),
        ),
    ];
    for (number, (department, site)) in DEPARTMENTS
        .into_iter()
        .chain([""])
        .flat_map(|it| SITES.into_iter().chain([""]).map(move |site| (it, site)))
        .enumerate()
    {
        let name = format!("supervisor{number}");
        cast.push((name, 's', (department, site), "", export(supervisor(&[(department, site)]))));
    }
    cast
}

async fn scene() -> Scene {
    let mut log = Log::new();
    let places: Vec<(&str, &str)> = DEPARTMENTS.iter().flat_map(|it| SITES.iter().map(|site| (*it, *site))).collect();
    let users: Vec<String> = (0..places.len()).map(|number| format!("u{number}")).collect();
    let rows: Vec<_> = users.iter().zip(&places).map(|(user, (it, site))| (user.as_str(), *it, *site)).collect();
    roster(&mut log, &rows);
    let mut device = log.lab.device();
    let findings: Vec<_> = users.iter().zip(1..).map(|(user, number)| about(number, &format!("ww1/{user}"))).collect();
    log.append(&mut device, Lane::Urgent, &findings);
    let act = By { by: "test", reason: "test", at_ms: now_ms() };
    for (user, number) in users.iter().zip(1_u64..) {
        let step = CaseStep::Open { person: format!("ww1/{user}"), alerts: vec![id_of(number)] };
        log.operate(|appender| desk::case(appender, "", &step, "so", &act)).unwrap();
    }
    let what =
        Suppress { rule: "other".into(), from_ms: now_ms(), until_ms: now_ms() + 3_600_000, ..Suppress::default() };
    log.operate(|appender| desk::suppress(appender, &what, &act)).unwrap();
    let list = words::Step::Make { pack: "sales".into(), file: "words/products.txt".into() };
    log.operate(|appender| words::act(appender, &mut Effects::default(), ("products", &list), &act)).unwrap();
    employ(&mut log, "victim", grant(Role::Reviewer));
    token(&mut log, "victim", &[Act::SeeAlerts]);
    let cast = cast();
    cast.iter().for_each(|(name, .., grant)| employ(&mut log, name, grant.clone()));
    let bare = token(&mut log, "reviewer", &[Act::SeeLog]);

    let console = Console::start(log).await;
    let db = watchpost_collector::derive::open_read_only(&console.config.derived_db()).unwrap();
    let log = watchpost_collector::log_store::LogReader::open(&console.config.log_db()).unwrap();
    let cases = watchpost_collector::alerts::cases(&db, log.connection(), None).unwrap();
    let targets = places.iter().zip(1_u64..).map(|((department, site), number)| {
        let alert = id_of(number);
        let case = cases.iter().find(|case| case.alerts.contains(&alert)).unwrap();
        Target { alert, case: case.case.clone(), person: case.person.clone(), department, site }
    });
    let targets = targets.collect();
    let suppression = watchpost_collector::alerts::suppressions(&db, 0).unwrap().pop().unwrap().suppression;
    let mut triers = Vec::new();
    for (name, letter, scope, own, _) in cast {
        let client = console.signed_in(&name).await;
        triers.push(Trier { name, letter, scope, own, client });
    }
    Scene { console, triers, targets, device: device.id.to_string(), suppression, bare }
}

impl Scene {
    /// Waits until everything can be searched.
    async fn indexed(&self) {
        let reviewer = self.triers.iter().find(|trier| trier.name == "reviewer").unwrap();
        let deadline = std::time::Instant::now() + support::PATIENCE;
        loop {
            let found = reviewer.client.get("/search?query=%E4%BF%9D%E6%9C%AC&reason=complaint").await;
            if found.body["items"].as_array().is_some_and(|items| items.len() == self.targets.len()) {
                return;
            }
            assert!(std::time::Instant::now() < deadline, "{}", found.text);
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }

    fn path(&self, route: &Route, target: &Target) -> String {
        let path = route.path.replace("{alert}", &target.alert).replace("{case}", &target.case);
        let path = path.replace("{device}", &self.device).replace("{suppression}", &self.suppression);
        let path = path.replace("{operator}", "victim").replace("{name}", "mine");
        let path = path.replace("{list}", "products").replace("{pack}", "advertising").replace("{group}", "default");
        let path = path.replace("{site}", "shanghai").replace("{person}", "u0");
        let needs_reason = ["/findings", "/evidence", ".csv", ".jsonl"].iter().any(|end| path.ends_with(end));
        if needs_reason { format!("{path}?reason=because") } else { path }
    }

    /// A body that gets past the gate and does no harm.
    fn body(route: &Route, target: &Target) -> Value {
        match (route.method.as_str(), route.path) {
            ("POST", "/alerts/step") => json!({ "alerts": [target.alert], "step": "note", "note": "seen" }),
            ("POST", "/cases") => json!({ "title": "so", "alerts": [target.alert] }),
            ("POST", "/cases/{case}/step") => json!({ "step": "note", "note": "seen" }),
            _ => json!({}),
        }
    }
}

#[test]
fn every_route_is_expected_by_somebody() {
    let missing: Vec<_> = routes()
        .iter()
        .filter(|route| expected(route.method.as_str(), route.path).is_none())
        .map(|route| format!("{route:?}"))
        .collect();
    assert!(missing.is_empty(), "say here who may: {missing:?}");
    assert!(routes().len() > 35);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_as_every_role_in_every_department_at_every_site() {
    let scene = scene().await;
    let (mut refused, mut passed) = (0, 0);
    for route in routes() {
        // Whoever signs out is out; that is tried elsewhere.
        if route.method == "DELETE" && route.path == "/session" {
            continue;
        }
        for trier in &scene.triers {
            for target in &scene.targets {
                let what = format!("{} {route:?} {}/{}", trier.name, target.department, target.site);
                let (path, body) = (scene.path(&route, target), Scene::body(&route, target).to_string());
                // An id of a token that is there, so that only the gate can refuse.
                let path = path.replace("{token}", "0123456789abcdef");
                let body = if route.method == "GET" { Vec::new() } else { body.into_bytes() };
                let before = scene.console.size();
                let status = trier.client.status(route.method.as_str(), &path, body).await;
                match trier.must_be(&route, target) {
                    Some(expected) => {
                        assert_eq!(status, expected, "{what}");
                        assert_eq!(scene.console.size(), before, "{what}: nothing is done for whoever is refused");
                        refused += 1;
                    }
                    None => {
                        let is_unknown_token = status == 404 && route.path.contains("{token}");
                        let past_the_gate = ![401, 403, 404].contains(&status) && status < 500;
                        assert!(past_the_gate || is_unknown_token, "{what}: {status}");
                        passed += 1;
                    }
                }
            }
        }
    }
    assert!(refused > 500 && passed > 500, "{refused} {passed}");
    scene.console.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_comes_in_without_a_name_and_no_token_does_more_than_it_covers() {
    let scene = scene().await;
    let stranger = scene.console.client();
    let bare = stranger.by_token(&scene.bare);
    let forged = [stranger.by_token("wpt_AAAA"), stranger.by_token(""), stranger.with("authorization", "Basic YTpi")];
    for route in routes().iter().filter(|route| route.act.is_some()) {
        let target = &scene.targets[0];
        let path = scene.path(route, target).replace("{token}", "0123456789abcdef");
        let body = Scene::body(route, target).to_string().into_bytes();
        let method = route.method.as_str();
        let before = scene.console.size();
        for client in [&stranger].into_iter().chain(&forged) {
            assert_eq!(client.status(method, &path, body.clone()).await, 401, "{route:?}");
        }
        let expected = if route.act == Some(Act::SeeLog) { 200 } else { 403 };
        assert_eq!(bare.status(method, &path, body).await, expected, "{route:?}");
        assert_eq!(scene.console.size(), before, "{route:?}");
    }
    scene.console.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_and_exports_hold_what_may_be_seen_and_nothing_else() {
    let scene = scene().await;
    for trier in scene.triers.iter().filter(|trier| "sru".contains(trier.letter)) {
        let seen: BTreeSet<&str> =
            scene.targets.iter().filter(|it| trier.sees(it)).map(|it| it.alert.as_str()).collect();
        // Page by page, one alert each.
        let (mut found, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = trier.client.get(&format!("/alerts?limit=1{cursor}")).await;
            assert_eq!(page.status, 200, "{}", page.text);
            found.extend(
                page.body["items"].as_array().unwrap().iter().map(|it| it["alert"].as_str().unwrap().to_owned()),
            );
            let Some(next) = page.body["next"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
        assert_eq!(found.len(), seen.len(), "{}: none twice", trier.name);
        assert_eq!(found.iter().map(String::as_str).collect::<BTreeSet<_>>(), seen, "{}", trier.name);
        scene.indexed().await;
        // Whoever finds by words reads them: of what is closed alone, an auditor, and nothing is.
        let searched = trier.client.get("/search?query=%E4%BF%9D%E6%9C%AC&reason=complaint").await;
        let hits: BTreeSet<&str> =
            searched.body["items"].as_array().unwrap().iter().map(|it| it["alert"].as_str().unwrap()).collect();
        assert_eq!(hits, if trier.letter == 'u' { BTreeSet::new() } else { seen.clone() }, "{}", trier.name);
        let csv = trier.client.get("/exports/alerts.csv?reason=monthly").await.text;
        let cases = trier.client.get("/cases").await.body;
        for target in &scene.targets {
            assert_eq!(csv.contains(&target.alert), trier.sees(target), "{}", trier.name);
            assert_eq!(csv.contains(&target.person), trier.sees(target), "{}", trier.name);
            let listed = cases["items"].as_array().unwrap().iter().any(|case| case["case"] == target.case);
            assert_eq!(listed, trier.sees(target), "{} {}", trier.name, target.case);
        }
    }
    scene.console.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_tells_nothing_of_what_one_may_not_read_and_leaves_a_trace() {
    let scene = scene().await;
    scene.indexed().await;
    let of = |name: &str| scene.triers.iter().find(|trier| trier.name == name).unwrap();
    // Of sales at Shanghai there is one alert: it has no second page, whatever others there are.
    let (supervisor, concerned) = (of("supervisor0"), of("concerned"));
    for query in ["%E4%BF%9D%E6%9C%AC", "level:%3E%3Dinfo"] {
        let page = supervisor.client.get(&format!("/search?query={query}&limit=2&reason=complaint")).await;
        assert_eq!(page.body["items"].as_array().unwrap().len(), 1, "{}", page.text);
        let keys: Vec<_> = page.body.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["items", "stopped"], "{}", page.text);
    }
    let own = concerned.client.get("/search?query=person:ww1/u0%20%E4%BF%9D%E6%9C%AC&reason=complaint").await;
    let none = concerned.client.get("/search?query=person:ww1/u9%20%E4%BF%9D%E6%9C%AC&reason=complaint").await;
    assert_eq!((own.status, &own.text), (200, &none.text), "one's own are as if there were none");
    for query in ["%E4%BF%9D%E6%9C%AC", "word:x", "from:x", "room:x"] {
        let before = scene.console.size();
        assert_eq!(
            supervisor.client.get(&format!("/search?query={query}")).await.problem(),
            "reason-needed",
            "{query}"
        );
        assert_eq!(scene.console.size(), before);
        let asked = supervisor.client.get(&format!("/search?query={query}&reason=complaint")).await;
        assert_eq!((asked.status, scene.console.size()), (200, before + 1), "{query}: durable when it is answered");
    }
    let told = |deeds: Vec<watchpost_collector::trail::Deed>| -> Vec<(String, String)> {
        let own = deeds.into_iter().filter(|it| it.by == "supervisor0" && it.reason == "complaint").take(2);
        own.map(|it| (it.subject, it.address)).collect()
    };
    let at = || "127.0.0.1".to_owned();
    let viewed = told(scene.console.trail("viewed").await);
    assert_eq!(viewed, [("word:x".to_owned(), at()), ("保本".to_owned(), at())]);
    let resolved = told(scene.console.trail("resolved").await);
    assert_eq!(resolved, [("a search by names".to_owned(), at()), ("a search by names".to_owned(), at())]);
    scene.console.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_suppresses_what_would_cover_themselves() {
    let scene = scene().await;
    let of = |name: &str| scene.triers.iter().find(|trier| trier.name == name).unwrap();
    let until_ms = now_ms() + 3_600_000;
    let suppress = |what: Value| {
        let mut what = what;
        (what["from_ms"], what["until_ms"]) = (json!(now_ms()), json!(until_ms));
        json!({ "what": what, "reason": "known" })
    };
    let concerned = &of("concerned").client;
    let covering = [
        json!({ "person": "ww1/u0" }),
        json!({ "person": "WW1/U0", "rule": "fin.x" }),
        json!({ "rule": "fin.x" }),
        json!({ "pack": "p" }),
        json!({ "department": "sales" }),
        json!({ "site": "shanghai" }),
        json!({ "device": scene.device }),
    ];
    for what in covering {
        let before = scene.console.size();
        assert_eq!(concerned.post("/suppressions", &suppress(what.clone())).await.problem(), "not-allowed", "{what}");
        assert_eq!(scene.console.size(), before, "{what}");
    }
    let other = concerned.post("/suppressions", &suppress(json!({ "person": "ww1/u1" }))).await;
    assert_eq!(other.status, 200, "{}", other.text);
    let reviewer = &of("reviewer").client;
    let own = reviewer.post("/suppressions", &suppress(json!({ "person": "ww1/u0" }))).await;
    assert_eq!(own.status, 200, "whom it is not about may: {}", own.text);
    let listed = reviewer.get("/suppressions").await.body;
    let own = listed["items"].as_array().unwrap().iter().find(|it| it["person"] == "ww1/u0").unwrap();
    let path = format!("/suppressions/{}", own["suppression"].as_str().unwrap());
    assert_eq!(concerned.delete(&format!("{path}?reason=because")).await.status, 404);
    scene.console.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_case_whose_alerts_nobody_sees_is_nobodys_of_another_department() {
    let mut log = Log::new();
    roster(&mut log, &[("u0", "service", "beijing")]);
    let mut device = log.lab.device();
    log.append(&mut device, Lane::Urgent, &[about(1, "ww1/u0")]);
    let act = By { by: "test", reason: "test", at_ms: now_ms() };
    let step = CaseStep::Open { person: "ww1/u0".into(), alerts: vec![id_of(1)] };
    log.operate(|appender| desk::case(appender, "", &step, "so", &act)).unwrap();
    log.act(&device, DeviceVerb::Quarantine);
    employ(&mut log, "li", supervisor(&[("sales", "shanghai")]));
    employ(&mut log, "reviewer", grant(Role::Reviewer));
    let console = Console::start(log).await;
    let (li, reviewer) = (console.signed_in("li").await, console.signed_in("reviewer").await);
    let case = reviewer.get("/cases").await.body["items"][0]["case"].as_str().unwrap().to_owned();
    assert_eq!(li.get(&format!("/cases/{case}")).await.status, 404);
    assert_eq!(li.get("/cases").await.body["items"], json!([]));
    console.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_account_of_the_same_employee_is_ones_own() {
    let mut log = Log::new();
    roster(&mut log, &[("u0", "sales", "shanghai"), ("u0.second", "", ""), ("u1", "sales", "shanghai")]);
    let mut device = log.lab.device();
    let findings: Vec<_> =
        ["u0", "u0.second", "u1"].iter().zip(1..).map(|(it, n)| about(n, &format!("ww1/{it}"))).collect();
    log.append(&mut device, Lane::Urgent, &findings);
    employ(&mut log, "concerned", Grant { accounts: vec!["WW1/u0".into()], ..grant(Role::Reviewer) });
    employ(&mut log, "reviewer", grant(Role::Reviewer));
    let console = Console::start(log).await;
    let (concerned, reviewer) = (console.signed_in("concerned").await, console.signed_in("reviewer").await);
    for number in [1, 2] {
        assert_eq!(concerned.get(&format!("/alerts/{}", id_of(number))).await.status, 404, "{number}");
    }
    let listed = concerned.get("/alerts").await.body;
    let persons: Vec<_> = listed["items"].as_array().unwrap().iter().map(|it| &it["person"]).collect();
    assert_eq!(persons, ["ww1/u1"]);
    let assign = json!({ "alerts": [id_of(2)], "step": { "assign": "concerned" } });
    assert_eq!(reviewer.post("/alerts/step", &assign).await.problem(), "not-possible");
    let what = json!({ "person": "ww1/u0.second", "from_ms": now_ms(), "until_ms": now_ms() + 3_600_000 });
    let suppressed = concerned.post("/suppressions", &json!({ "what": what, "reason": "known" })).await;
    assert_eq!(suppressed.problem(), "not-allowed");
    console.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whom_it_is_about_reads_nothing_of_their_case_in_the_trail() {
    let mut log = Log::new();
    roster(&mut log, &[("u0", "sales", "shanghai"), ("u1", "sales", "shanghai")]);
    let mut device = log.lab.device();
    log.append(&mut device, Lane::Urgent, &[about(1, "ww1/u0"), about(2, "ww1/u1")]);
    let act = By { by: "test", reason: "test", at_ms: now_ms() };
    for (person, number) in [("ww1/u0", 1), ("ww1/u1", 2)] {
        let step = CaseStep::Open { person: person.into(), alerts: vec![id_of(number)] };
        log.operate(|appender| desk::case(appender, "", &step, "so", &act)).unwrap();
        let what = Suppress {
            person: person.into(),
            from_ms: now_ms(),
            until_ms: now_ms() + 3_600_000,
            ..Suppress::default()
        };
        log.operate(|appender| desk::suppress(appender, &what, &act)).unwrap();
    }
    let own = Grant { accounts: vec!["ww1/u0".into()], ..grant(Role::Auditor) };
    employ(&mut log, "concerned", own);
    employ(&mut log, "auditor", grant(Role::Auditor));
    employ(&mut log, "reviewer", Grant { export: true, ..grant(Role::Reviewer) });
    employ(&mut log, "admin", grant(Role::Administrator));
    let console = Console::start(log).await;
    let reviewer = console.signed_in("reviewer").await;
    let both = json!({ "alerts": [id_of(2), id_of(1)], "step": "note", "note": "seen" });
    assert_eq!(reviewer.post("/alerts/step", &both).await.status, 200);
    for number in [1, 2] {
        assert_eq!(reviewer.get(&format!("/alerts/{}/findings?reason=because", id_of(number))).await.status, 200);
    }
    assert_eq!(reviewer.get("/exports/alerts.csv?reason=monthly&rule=x&state=open").await.status, 200);
    console.caught_up().await;
    let (concerned, auditor) = (console.signed_in("concerned").await, console.signed_in("auditor").await);
    let told = |body: Value, verb: &str| -> Vec<String> {
        let all = body["items"].as_array().unwrap().clone();
        let fitting = all.into_iter().filter(|it| it["verb"] == verb);
        fitting.map(|it| it["subject"].as_str().unwrap().to_owned()).collect()
    };
    let (all, seen) = (auditor.get("/audit?limit=400").await.body, concerned.get("/audit?limit=400").await.body);
    assert_eq!(told(all.clone(), "alert-note"), [id_of(1), id_of(2)], "one row each");
    assert_eq!(told(seen.clone(), "alert-note"), [id_of(2)]);
    assert_eq!(told(seen.clone(), "viewed"), [id_of(2)]);
    for verb in ["case-open", "suppression-begin"] {
        assert_eq!((told(all.clone(), verb).len(), told(seen.clone(), verb).len()), (2, 1), "{verb}");
    }
    assert_eq!(told(all, "exported"), ["alerts state:open rule:x"]);
    let (mut found, mut cursor) = (0, String::new());
    loop {
        let page = auditor.get(&format!("/audit?verb=alert-note&limit=1{cursor}")).await.body;
        found += page["items"].as_array().unwrap().len();
        let Some(next) = page["next"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(found, 2, "no row is lost between pages");
    let admin = console.signed_in("admin").await;
    assert_eq!(admin.get("/devices").await.body["items"][0]["findings"], 2);
    assert!(concerned.get("/devices").await.body["items"][0].get("findings").is_none());
    assert!(concerned.get(&format!("/devices/{}", device.id)).await.body.get("findings").is_none());
    console.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whom_an_alert_is_about_neither_sees_nor_closes_nor_is_given_it() {
    let scene = scene().await;
    let of = |name: &str| scene.triers.iter().find(|trier| trier.name == name).unwrap();
    let (concerned, reviewer, alert) = (of("concerned"), of("reviewer"), &scene.targets[0].alert);
    let close = json!({ "alerts": [alert], "step": { "close": "confirmed" }, "note": "so" });
    assert_eq!(concerned.client.post("/alerts/step", &close).await.status, 404);
    let both = json!({ "alerts": [scene.targets[1].alert, alert], "step": { "close": "confirmed" }, "note": "so" });
    assert_eq!(concerned.client.post("/alerts/step", &both).await.status, 404, "nor with others");
    assert_eq!(reviewer.client.get(&format!("/alerts/{}", scene.targets[1].alert)).await.body["state"], "open");
    let unknown = concerned.client.get(&format!("/alerts/{}", "0".repeat(64))).await;
    let own = concerned.client.get(&format!("/alerts/{alert}")).await;
    assert_eq!((own.status, &own.text), (404, &unknown.text), "told like one that does not exist");
    for to in ["concerned", "auditor", "admin", "nobody", "supervisor4"] {
        let assign = json!({ "alerts": [alert], "step": { "assign": to } });
        assert_eq!(reviewer.client.post("/alerts/step", &assign).await.problem(), "not-possible", "{to}");
    }
    let assign = json!({ "alerts": [alert], "step": { "assign": "supervisor0" } });
    let assigned = reviewer.client.post("/alerts/step", &assign).await;
    assert_eq!(assigned.body["unchanged"], json!([]), "{}", assigned.text);
    assert_eq!(reviewer.client.post("/alerts/step", &close).await.status, 200);
    let stands = reviewer.client.get(&format!("/alerts/{alert}")).await.body;
    assert_eq!((&stands["state"], &stands["closed_by"]), (&json!("closed"), &json!("reviewer")));
    // The log has it in the name of who did it.
    assert_eq!(scene.console.trail("alert-close").await[0].by, "reviewer");
    scene.console.running.stop().await;
}
