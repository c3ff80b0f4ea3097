//! Coming in over the API, and what it costs to try otherwise: guesses, fixed sessions, foreign pages, codes used twice.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test helpers")]

mod support;

use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::pki_types::pem::PemObject as _;
use serde_json::json;
use support::console::{
    Client, Console, PASSWORD, SEED, about, employ, grant, id_of, operate, read, roster, supervisor, token,
};
use support::offline::Log;
use support::tls_builder;
use time::OffsetDateTime;
use tokio::net::TcpStream;
use watchpost_collector::clock::now_ms;
use watchpost_collector::config::{Config, ConsoleConfig};
use watchpost_collector::credentials;
use watchpost_collector::enrolment::desk::Act as By;
use watchpost_collector::log_store::LogReader;
use watchpost_collector::log_store::check::check;
use watchpost_collector::operators::{self, Act, Deed, Grant, Role, Sample, first, totp};
use watchpost_collector::settings;
use watchpost_collector::trust::Trust;
use watchpost_collector::web::api::{describe, routes};
use watchpost_collector::web::{BODY_BYTES_MAX, KNOWN_COOKIE, SESSION_COOKIE, SESSION_COOKIE_PLAIN};
use watchpost_proto::DeviceId;
use watchpost_proto::v1::Lane;

const HOUR: i64 = 3_600_000;

async fn with(operators: &[(&str, Grant)]) -> Console {
    let mut log = Log::new();
    operators.iter().for_each(|(name, grant)| employ(&mut log, name, grant.clone()));
    Console::start(log).await
}

fn reviewer() -> Grant {
    grant(Role::Reviewer)
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_guesses_waits_and_keeps_out_nobody_who_was_there_before() {
    let console = with(&[("li", reviewer())]).await;
    let known = console.signed_in("li").await;
    let mut stranger = console.client();
    let (mut wrong, mut waits) = (0, 0);
    for _ in 0..50 {
        let answer = stranger.sign_in("li", "wrong horse battery", "").await;
        match answer.status {
            401 => wrong += 1,
            429 => {
                assert!(answer.headers.contains_key("retry-after"), "{}", answer.text);
                waits += 1;
            }
            other => panic!("{other}: {}", answer.text),
        }
    }
    assert_eq!((wrong, waits), (5, 45), "and no sixth guess is looked at");
    assert_eq!(stranger.sign_in("li", PASSWORD, "").await.status, 429, "not even the right one");
    let mut again = Client { cookies: known.cookies.clone(), ..console.client() };
    again.cookies.retain(|name, _| name == KNOWN_COOKIE);
    assert_eq!(again.sign_in("li", PASSWORD, "").await.status, 200, "who was there before does not wait");
    console.clock.set_ahead(61_000);
    assert_eq!(console.client().sign_in("li", PASSWORD, "").await.status, 200, "nobody is kept out for ever");
    let refused = console.trail("refused").await;
    assert!((1..=22).contains(&refused.len()), "{} entries for 51 refusals", refused.len());
    assert!(refused.iter().all(|it| it.by == "li" && it.address == "127.0.0.1"));
    assert_eq!(console.trail("signed-in").await.len(), 3);
    console.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_does_not_exist_is_told_like_a_wrong_password() {
    let console = with(&[("li", reviewer()), ("gone", reviewer())]).await;
    let log = LogReader::open(&console.config.log_db()).unwrap();
    assert!(log.count().unwrap() > 0);
    let wrong = console.client().sign_in("li", "wrong horse battery", "").await;
    for name in ["nobody", "NOT A NAME", "correct horse battery", "", "' OR 1=1 --"] {
        let answer = console.client().sign_in(name, PASSWORD, "").await;
        assert_eq!((answer.status, &answer.text), (401, &wrong.text), "{name:?}");
    }
    let refused = console.trail("refused").await;
    assert_eq!(refused.iter().filter(|it| it.by == "unknown").count(), 5, "what was typed there is not kept");
    console.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_always_a_new_one() {
    let console = with(&[("li", reviewer())]).await;
    let planted = "wps_planted-by-somebody-else-0000000000000000";
    let mut victim = console.client();
    victim.cookies.insert(SESSION_COOKIE_PLAIN.into(), planted.into());
    let answer = victim.sign_in("li", PASSWORD, "").await;
    let cookie =
        answer.cookies().into_iter().find(|cookie| cookie.starts_with(SESSION_COOKIE_PLAIN)).unwrap().to_owned();
    assert!(
        cookie.contains("; HttpOnly") && cookie.contains("; SameSite=Strict") && cookie.contains("; Path=/"),
        "{cookie}"
    );
    assert!(!cookie.contains(planted), "{cookie}");
    let mut attacker = console.client();
    attacker.cookies.insert(SESSION_COOKIE_PLAIN.into(), planted.into());
    assert_eq!(attacker.get("/session").await.status, 401);
    // One that was good before ends when somebody comes in anew.
    let before = victim.clone();
    assert_eq!(before.get("/session").await.body["operator"], "li");
    assert_eq!(victim.sign_in("li", PASSWORD, "").await.status, 200);
    assert_eq!(before.get("/session").await.status, 401);
    assert_eq!(victim.delete("/session").await.status, 200);
    assert_eq!(victim.get("/session").await.status, 401);
    assert_eq!(console.trail("signed-out").await.len(), 1);
    console.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_page_does_nothing_in_somebodys_name() {
    let mut log = Log::new();
    employ(&mut log, "li", reviewer());
    let mut device = log.lab.device();
    log.append(&mut device, Lane::Urgent, &[about(1, "ww1/zhang")]);
    let script = token(&mut log, "li", &[Act::WorkAlerts, Act::SeeAlerts]);
    let console = Console::start(log).await;
    let li = console.signed_in("li").await;
    let note = json!({ "alerts": [id_of(1)], "step": "note", "note": "seen" });
    let bare = Client { headers: Vec::new(), ..li.clone() };
    assert_eq!(bare.post("/alerts/step", &note).await.problem(), "cross-site", "no header");
    let foreign = [
        ("origin", "https://evil.example"),
        ("origin", "null"),
        ("origin", "http://127.0.0.1"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
    ];
    for (name, value) in foreign {
        let page = li.with(name, value);
        assert_eq!(page.post("/alerts/step", &note).await.problem(), "cross-site", "{name}: {value}");
        assert_eq!(page.get(&format!("/alerts/{}/findings?reason=because", id_of(1))).await.problem(), "cross-site");
        let sign_in = json!({ "name": "li", "password": PASSWORD, "code": "" });
        assert_eq!(page.post("/session", &sign_in).await.problem(), "cross-site", "nor signs anybody in");
    }
    assert!(console.trail("alert-note").await.is_empty() && console.trail("viewed").await.is_empty());
    let own = li.with("origin", &format!("http://{}", console.address())).with("sec-fetch-site", "same-origin");
    assert_eq!(own.post("/alerts/step", &note).await.status, 200);
    let script = li.by_token(&script);
    assert_eq!(script.post("/alerts/step", &note).await.status, 200, "no browser sends a token by itself");
    console.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_is_good_once_also_after_a_restart() {
    let console = with(&[("admin", grant(Role::Administrator))]).await;
    let code = console.code();
    assert_eq!(console.client().sign_in("admin", PASSWORD, "").await.status, 401, "not without a code");
    assert_eq!(console.client().sign_in("admin", PASSWORD, &code).await.status, 200);
    assert_eq!(console.client().sign_in("admin", PASSWORD, &code).await.status, 401, "nor twice with one");
    let console = console.again().await;
    assert_eq!(console.client().sign_in("admin", PASSWORD, &code).await.status, 401, "nor after a restart");
    console.clock.set_ahead(90_000);
    assert_eq!(console.client().sign_in("admin", PASSWORD, &console.code()).await.status, 200);
    console.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_ends_with_the_day_with_the_role_and_with_the_password() {
    let console = with(&[("admin", grant(Role::Administrator)), ("li", reviewer())]).await;
    let li = console.signed_in("li").await;
    console.clock.set_ahead(HOUR / 2);
    assert_eq!(li.get("/session").await.status, 401, "half an hour without use");
    let admin = console.signed_in("admin").await;
    let li = console.signed_in("li").await;
    let granted = json!({ "grant": { "role": "auditor" }, "reason": "moves" });
    assert_eq!(admin.put("/operators/li/grant", &granted).await.status, 200);
    assert_eq!(li.get("/session").await.status, 401, "another role");
    let (li, other) = (console.signed_in("li").await, console.signed_in("li").await);
    let change = json!({ "present": PASSWORD, "new": "another horse battery" });
    let wrong = json!({ "present": "wrong horse battery", "new": "another horse battery" });
    assert_eq!(li.post("/session/password", &wrong).await.problem(), "wrong-credentials");
    let changed = li.post("/session/password", &change).await;
    assert_eq!(changed.status, 200, "{}", changed.text);
    let mut stays = li.clone();
    stays.keep(&changed);
    assert_eq!(stays.get("/session").await.status, 200, "whoever changed it stays");
    assert_eq!(other.get("/session").await.status, 401, "another password");
    assert_eq!(li.get("/session").await.status, 401);
    assert_eq!(admin.post("/operators/li/disable", &json!({ "reason": "left" })).await.status, 200);
    assert_eq!(stays.get("/session").await.status, 401, "disabled");
    assert_eq!(console.client().sign_in("li", "another horse battery", "").await.status, 401);
    console.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_grants_themselves_anything_and_the_last_administrator_stays() {
    let console = with(&[("admin", grant(Role::Administrator))]).await;
    let admin = console.signed_in("admin").await;
    for (method, path) in [("PUT", "grant"), ("POST", "disable"), ("POST", "reset")] {
        let body = if path == "grant" { json!({ "grant": { "role": "reviewer" } }) } else { json!({}) };
        let answer = admin.send(method, &format!("/operators/admin/{path}"), body.to_string().into_bytes()).await;
        assert_eq!(answer.problem(), "not-possible", "{path}: {}", answer.text);
    }
    // A second one who has not set a password is none yet.
    let invited =
        admin.post("/operators", &json!({ "operator": "second", "grant": { "role": "administrator" } })).await;
    assert_eq!(invited.status, 200, "{}", invited.text);
    let secret = invited.body["secret"].as_str().unwrap().to_owned();
    let mut wrong = json!({ "name": "second", "secret": "wpi_AAAA", "password": PASSWORD });
    assert_eq!(console.client().post("/invitation", &wrong).await.problem(), "wrong-credentials");
    wrong["secret"] = secret.clone().into();
    wrong["password"] = "short".into();
    assert_eq!(console.client().post("/invitation", &wrong).await.problem(), "malformed");
    wrong["password"] = PASSWORD.into();
    let set = console.client().post("/invitation", &wrong).await;
    assert!(set.body["otpauth"].as_str().unwrap().starts_with("otpauth://totp/"), "{}", set.text);
    assert_eq!(console.client().post("/invitation", &wrong).await.problem(), "wrong-credentials", "once");
    // Now there are two, and one may go; then the other stays, whoever says otherwise.
    assert_eq!(admin.post("/operators/second/disable", &json!({})).await.status, 200);
    console.running.stop().await;
    let mut log = support_log(console.lab);
    let refused = operate(&mut log, "root", &Deed::Disable { operator: "admin".into() }).unwrap_err();
    assert!(refused.contains("last administrator"), "{refused}");
    let refused = operate(&mut log, "root", &Deed::Grant { operator: "admin".into(), grant: reviewer() }).unwrap_err();
    assert!(refused.contains("last administrator"), "{refused}");
}

/// The log of a collector that has stopped.
fn support_log(lab: support::Lab) -> Log {
    use watchpost_collector::clock::Clock;
    let credentials = credentials::Credentials::load(&lab.config, &Clock::default()).unwrap();
    let open = watchpost_collector::server::open_log(&lab.config, &credentials, &Clock::default()).unwrap();
    Log { lab, store: open.store }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_administrator_comes_in_with_what_init_has_left() {
    let log = Log::new();
    let secret = first::leave(&log.lab.config.data_dir).unwrap();
    let console = Console::start(log).await;
    let accept = json!({ "name": first::NAME, "secret": secret, "password": PASSWORD });
    let set = console.client().post("/invitation", &accept).await;
    let otpauth = set.body["otpauth"].as_str().unwrap().to_owned();
    let base32 = otpauth.split("secret=").nth(1).unwrap().split('&').next().unwrap();
    let mut client = console.client();
    let code = totp::code(&unbase32(base32), totp::step_of(now_ms()));
    assert_eq!(client.sign_in(first::NAME, PASSWORD, &code).await.body["role"], "administrator");
    assert_eq!(console.trail("operator-invite").await[0].by, first::BY);
    let console = console.again().await;
    assert_eq!(console.trail("operator-invite").await.len(), 1, "taken up once");
    console.running.stop().await;
}

fn unbase32(text: &str) -> Vec<u8> {
    let bits: String = text
        .bytes()
        .map(|b| "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".bytes().position(|it| it == b).unwrap())
        .map(|five| format!("{five:05b}"))
        .collect();
    (0..bits.len() / 8).map(|at| u8::from_str_radix(&bits[at * 8..at * 8 + 8], 2).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_found_is_shown_for_a_reason_that_is_in_the_log_before() {
    let mut log = Log::new();
    employ(&mut log, "li", reviewer());
    let mut device = log.lab.device();
    log.append(&mut device, Lane::Urgent, &[about(1, "ww1/zhang")]);
    let console = Console::start(log).await;
    let li = console.signed_in("li").await;
    let path = format!("/alerts/{}/findings", id_of(1));
    assert_eq!(li.get(&path).await.problem(), "reason-needed");
    assert_eq!(li.get(&format!("{path}?reason=x")).await.problem(), "reason-needed");
    assert!(console.trail("viewed").await.is_empty());
    let before = console.size();
    let shown = li.get(&format!("{path}?reason=a%20complaint")).await;
    assert_eq!(console.size(), before + 1, "durable when it is answered");
    assert_eq!(shown.body["items"][0]["excerpt"], "保本");
    let take = json!({ "alerts": [id_of(1)], "step": "take" });
    assert_eq!(li.post("/alerts/step", &take).await.body["unchanged"], json!([]));
    assert_eq!(li.get(&path).await.status, 200, "one's own needs none");
    let viewed = console.trail("viewed").await;
    let told: Vec<_> = viewed.iter().map(|it| (&*it.by, &*it.subject, &*it.reason, it.count)).collect();
    assert_eq!(told, [("li", &*id_of(1), "triage", 1), ("li", &*id_of(1), "a complaint", 1)]);
    // Lists tell nothing of it.
    assert!(!li.get("/alerts").await.text.contains("保本"));
    console.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_taken_along_by_permission_and_no_cell_of_it_is_a_formula() {
    let mut log = Log::new();
    roster(&mut log, &[("zhang", "=cmd|'/c calc'!A1", "@shanghai")]);
    employ(&mut log, "li", Grant { export: true, ..reviewer() });
    employ(&mut log, "wang", reviewer());
    let mut device = log.lab.device();
    log.append(&mut device, Lane::Urgent, &[about(1, "ww1/zhang")]);
    let console = Console::start(log).await;
    let (li, wang) = (console.signed_in("li").await, console.signed_in("wang").await);
    assert_eq!(wang.get("/exports/alerts.csv?reason=monthly").await.problem(), "not-allowed");
    assert_eq!(li.get("/exports/alerts.csv").await.problem(), "reason-needed");
    let csv = li.get("/exports/alerts.csv?reason=monthly").await;
    assert_eq!(csv.headers["content-disposition"], "attachment; filename=\"alerts.csv\"");
    let mut reader = csv::Reader::from_reader(csv.text.trim_start_matches('\u{feff}').as_bytes());
    let row = reader.records().next().unwrap().unwrap();
    assert_eq!((&row[6], &row[7]), ("'=cmd|'/c calc'!A1", "'@shanghai"));
    assert!(row.iter().all(|cell| !cell.starts_with(['=', '+', '-', '@'])), "{row:?}");
    let exported = console.trail("exported").await;
    assert_eq!((&*exported[0].by, &*exported[0].reason, exported[0].count), ("li", "monthly", 1));
    assert_eq!(exported.len(), 1);
    console.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_pages_listen_and_hear_what_happens() {
    let mut log = Log::new();
    employ(&mut log, "li", reviewer());
    let mut device = log.lab.device();
    let console = Console::start(log).await;
    let li = console.signed_in("li").await;
    let mut pages = Vec::new();
    for _ in 0..500 {
        let stream = TcpStream::connect(console.address()).await.unwrap();
        let response = li.send_over(stream, "GET", "/events", Vec::new()).await;
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        pages.push(response.into_body());
    }
    let mut firsts = Vec::new();
    for page in &mut pages {
        firsts.push(heard(page).await);
    }
    let before = console.size();
    let (mut uplink, _) = device.connect(console.running.address()).await;
    let segment = device.seal(Lane::Urgent, &[about(1, "ww1/zhang")]);
    uplink.segment(&segment).await;
    uplink.receipt_through(Lane::Urgent, 0).await;
    for page in &mut pages {
        // Of several steps the last may be told alone.
        while heard(page).await <= before {}
    }
    // Others are served meanwhile.
    assert_eq!(li.get(&format!("/alerts/{}", id_of(1))).await.status, 200);
    console.running.stop().await;
    for page in &mut pages {
        while let Ok(Some(Ok(_))) = tokio::time::timeout(support::PATIENCE, http_body_util::BodyExt::frame(page)).await
        {
        }
    }
}

/// The position the next event tells.
async fn heard(page: &mut hyper::body::Incoming) -> u64 {
    loop {
        let frame = tokio::time::timeout(support::PATIENCE, http_body_util::BodyExt::frame(page)).await;
        let bytes = frame.expect("an event in time").unwrap().unwrap().into_data().unwrap();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        if let Some(data) = text.lines().find_map(|line| line.strip_prefix("data: ")) {
            let value: serde_json::Value = serde_json::from_str(data).unwrap();
            return value["position"].as_u64().unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_tls_the_console_has_the_name_of_this_machine_alone() {
    let console = with(&[("li", reviewer())]).await;
    let li = console.signed_in("li").await;
    let port = console.address().port();
    for host in ["127.0.0.1", "localhost", "LocalHost:1", "[::1]", &format!("[::1]:{port}")] {
        assert_eq!(li.with("host", host).get("/session").await.status, 200, "{host}");
    }
    for host in
        ["evil.example", &format!("evil.example:{port}"), "127.0.0.1.evil.example", "localhost.", "10.0.0.7", ""]
    {
        for path in ["/session", "/openapi.json"] {
            assert_eq!(li.with("host", host).get(path).await.problem(), "cross-site", "{host:?}");
        }
        let sign_in = json!({ "name": "li", "password": PASSWORD });
        let page = console.client().with("host", host).with("origin", &format!("http://{host}"));
        assert_eq!(page.post("/session", &sign_in).await.problem(), "cross-site", "{host:?}");
    }
    console.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_tls_cookies_stay_on_this_host_and_nothing_is_said_in_plain() {
    let mut log = Log::new();
    employ(&mut log, "li", reviewer());
    let Log { lab, store } = log;
    drop(store);
    let names = ["console.example".to_owned()];
    let leaf =
        lab.collectors.issue_with_key(support::TENANT, &DeviceId([7; 16]), &names, OffsetDateTime::now_utc()).unwrap();
    let (certificate, key) = (lab.dir().join("console.crt"), lab.dir().join("console.key"));
    std::fs::write(&certificate, &leaf.chain).unwrap();
    let write_key = |path: &std::path::Path| {
        use watchpost_collector::durable_file::{Access, write};
        write(path, leaf.key.as_bytes(), Access::Secret).unwrap();
    };
    write_key(&key);
    let console = ConsoleConfig { listen: "127.0.0.1:0".parse().unwrap(), tls: Some((certificate, key)) };
    let config = Config { console: Some(console), ..lab.config.clone() };
    let root = rustls::pki_types::CertificateDer::from_pem_slice(lab.root.as_bytes()).unwrap();
    let console = Console::start_on(lab, config).await;

    let tls = Arc::new(tls_builder(&root).with_no_client_auth());
    let connect = || async {
        let stream = TcpStream::connect(console.address()).await.unwrap();
        let name = ServerName::try_from("console.example").unwrap();
        tokio_rustls::TlsConnector::from(Arc::clone(&tls)).connect(name, stream).await.unwrap()
    };
    let mut client = console.client().with("host", "console.example").with("origin", "https://console.example");
    let sign_in = json!({ "name": "li", "password": PASSWORD }).to_string().into_bytes();
    let answer = read(client.send_over(connect().await, "POST", "/session", sign_in).await).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let cookie = answer.cookies().into_iter().find(|cookie| cookie.starts_with(SESSION_COOKIE)).unwrap().to_owned();
    assert!(cookie.contains("; Secure") && cookie.contains("; HttpOnly") && cookie.contains("; Path=/"), "{cookie}");
    assert!(answer.headers.contains_key("strict-transport-security"));
    client.keep(&answer);
    assert_eq!(client.send_over(connect().await, "GET", "/session", Vec::new()).await.status().as_u16(), 200);
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut plain = TcpStream::connect(console.address()).await.unwrap();
    plain.write_all(b"GET /api/v1/openapi.json HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut said = Vec::new();
    let _ = tokio::time::timeout(support::PATIENCE, plain.read_to_end(&mut said)).await.unwrap();
    assert!(!said.starts_with(b"HTTP"), "{said:?}");
    console.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_sent_is_answered_with_what_is_wrong_and_what_to_do() {
    let console = with(&[("li", reviewer())]).await;
    let li = console.signed_in("li").await;
    let cases: [(&str, &str, Vec<u8>, u16, &str); 8] = [
        ("POST", "/session", vec![b'x'; BODY_BYTES_MAX + 1], 413, "too-large"),
        ("POST", "/session", b"{\"name\":\"li\",\"password\":\"sEcReT\"".to_vec(), 422, "malformed"),
        ("POST", "/session", b"{\"name\":\"li\",\"password\":[\"sEcReT\"]}".to_vec(), 422, "malformed"),
        ("POST", "/session", b"{\"name\":\"li\",\"pasword\":\"sEcReT\"}".to_vec(), 422, "malformed"),
        ("GET", "/alerts?limit=many", Vec::new(), 422, "malformed"),
        ("GET", "/alerts?cursor=zzzz", Vec::new(), 422, "malformed"),
        ("GET", "/nothing", Vec::new(), 404, "not-found"),
        ("PUT", "/alerts", Vec::new(), 404, "not-found"),
    ];
    for (method, path, body, status, word) in cases {
        let answer = li.send(method, path, body).await;
        assert_eq!((answer.status, answer.problem()), (status, word), "{method} {path}: {}", answer.text);
        assert_eq!(answer.headers["content-type"], "application/problem+json");
        assert!(
            !answer.body["next"].as_str().unwrap().is_empty() && !answer.body["title_zh"].as_str().unwrap().is_ascii()
        );
        assert!(!answer.text.contains("sEcReT"), "{}", answer.text);
    }
    let headers = li.get("/alerts").await.headers;
    assert_eq!(headers["cache-control"], "no-store");
    assert_eq!(headers["x-content-type-options"], "nosniff");
    console.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_a_password_set_anew_and_who_sets_it_is_in_the_trail_with_addresses() {
    let console = with(&[("admin", grant(Role::Administrator)), ("li", reviewer())]).await;
    let admin = console.signed_in("admin").await;
    let reset = admin.post("/operators/li/reset", &json!({ "reason": "lost" })).await;
    let accept = json!({ "name": "li", "secret": reset.body["secret"], "password": "another horse battery" });
    assert_eq!(console.client().post("/invitation", &accept).await.status, 200);
    for (verb, by) in [("operator-reset", "admin"), ("operator-password", "li")] {
        let deed = &console.trail(verb).await[0];
        assert_eq!((&*deed.by, &*deed.subject, &*deed.address), (by, "li", "127.0.0.1"), "{verb}");
    }
    console.running.stop().await;
}

#[test]
fn who_grants_again_and_again_draws_no_other_sample() {
    let mut log = Log::new();
    let sampled = |per_cent, until_ms| Grant { sample: Some(Sample { per_cent, until_ms }), ..grant(Role::Auditor) };
    let seed = |log: &Log| operators::find(log.reader().connection(), "li").unwrap().unwrap().sample_seed;
    employ(&mut log, "li", sampled(5, now_ms() + HOUR));
    employ(&mut log, "wang", sampled(5, now_ms() + HOUR));
    let first = seed(&log);
    assert_eq!(first.len(), 32);
    assert_ne!(first, operators::find(log.reader().connection(), "wang").unwrap().unwrap().sample_seed);
    for grant in [
        sampled(5, now_ms() + 2 * HOUR),
        sampled(9, now_ms() + HOUR),
        grant(Role::Auditor),
        sampled(5, now_ms() + HOUR),
    ] {
        operate(&mut log, "admin", &Deed::Grant { operator: "li".into(), grant }).unwrap();
        assert_eq!(seed(&log), first);
    }
}

#[test]
fn a_token_ends_with_the_password_the_grant_and_the_operator() {
    let mut log = Log::new();
    employ(&mut log, "li", reviewer());
    let withdrawn = |log: &Log| -> Vec<bool> {
        let db = rusqlite::Connection::open(log.lab.config.log_db()).unwrap();
        let mut select = db.prepare("SELECT withdrawn FROM operator_token").unwrap();
        select.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    };
    let hash = hex::encode(b"another");
    let ending: [(&str, Vec<Deed>); 3] = [
        ("li", vec![Deed::ChangePassword { operator: "li".into(), password: hash }]),
        ("admin", vec![Deed::Grant { operator: "li".into(), grant: Grant { export: true, ..reviewer() } }]),
        ("admin", vec![Deed::Disable { operator: "li".into() }, Deed::Enable { operator: "li".into() }]),
    ];
    for (by, deeds) in ending {
        token(&mut log, "li", &[Act::SeeAlerts]);
        deeds.iter().for_each(|deed| drop(operate(&mut log, by, deed).unwrap()));
        let all = withdrawn(&log);
        assert!(!all.is_empty() && all.iter().all(|withdrawn| *withdrawn), "{deeds:?}: {all:?}");
    }
}

#[test]
fn what_was_replaced_of_passwords_and_seeds_is_erased() {
    let mut log = Log::new();
    employ(&mut log, "admin", grant(Role::Administrator));
    let holds = |log: &Log, bytes: &[u8]| {
        let db = rusqlite::Connection::open(log.lab.config.log_db()).unwrap();
        let mut select = db.prepare("SELECT 1 FROM aside WHERE bytes = ?1").unwrap();
        select.exists([bytes]).unwrap()
    };
    let (of, first, second) = ("admin".to_owned(), [1_u8; 20], [2_u8; 20]);
    assert!(holds(&log, &SEED));
    operate(&mut log, "admin", &Deed::EnrolTotp { operator: of.clone(), totp: hex::encode(first) }).unwrap();
    assert!(!holds(&log, &SEED) && holds(&log, &first));
    operate(&mut log, "admin", &Deed::ChangePassword { operator: of.clone(), password: hex::encode(second) }).unwrap();
    assert!(holds(&log, &second));
    let secret = "0a".repeat(32);
    let reset = Deed::Reset { operator: of, secret, expires_ms: now_ms() + HOUR };
    operate(&mut log, "root", &reset).unwrap();
    assert!(!holds(&log, &first) && !holds(&log, &second));
}

#[tokio::test(flavor = "multi_thread")]
async fn searches_are_kept_by_people_and_not_without_end() {
    let mut log = Log::new();
    employ(&mut log, "li", reviewer());
    let act = By { by: "li", reason: "", at_ms: now_ms() };
    for number in 0..100 {
        let name = format!("search/li/n{number}");
        log.operate(|appender| settings::set(appender, &name, "{\"query\":\"level:high\"}", &act)).unwrap();
    }
    let script = token(&mut log, "li", &[Act::SeeAlerts, Act::SeeExcerpts]);
    let console = Console::start(log).await;
    let (li, script) = (console.signed_in("li").await, console.client().by_token(&script));
    let query = json!({ "query": "level:low" });
    assert_eq!(script.put("/searches/mine", &query).await.status, 403);
    assert_eq!(script.delete("/searches/n1").await.status, 403);
    assert_eq!(script.get("/searches").await.status, 200);
    assert_eq!(li.put("/searches/mine", &query).await.problem(), "not-possible");
    assert_eq!(li.put("/searches/n7", &query).await.status, 200, "one that is there may change");
    assert_eq!(li.delete("/searches/n8").await.status, 200);
    assert_eq!(li.put("/searches/mine", &query).await.status, 200);
    console.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_becomes_of_operators_is_what_the_log_says() {
    let mut log = Log::new();
    employ(&mut log, "admin", grant(Role::Administrator));
    employ(&mut log, "li", supervisor(&[("sales", "")]));
    let token = token(&mut log, "li", &[Act::SeeAlerts]);
    let console = Console::start(log).await;
    let script = console.client().by_token(&token);
    assert_eq!(script.get("/alerts").await.status, 200);
    let admin = console.signed_in("admin").await;
    let listed = admin.get("/operators/li/tokens").await.body;
    let id = listed["items"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(admin.delete(&format!("/operators/li/tokens/{id}")).await.status, 200);
    assert_eq!(script.get("/alerts").await.status, 401, "withdrawn at once");
    let reset = admin.post("/operators/li/reset", &json!({ "reason": "lost" })).await;
    assert_eq!(reset.status, 200, "{}", reset.text);
    assert_eq!(console.client().sign_in("li", PASSWORD, "").await.status, 401);
    console.running.stop().await;
    // Nothing secret is in the log itself, and its indexes say what its entries say.
    let log = LogReader::open(&console.config.log_db()).unwrap();
    let trust = Trust::new(&credentials::trusted(&console.config.root).unwrap(), &console.config.tenant).unwrap();
    check(&log, &trust, &[], |_| ()).unwrap();
    log.entries(0, |entry| {
        let holds = |needle: &[u8]| entry.header.windows(needle.len()).any(|bytes| bytes == needle);
        assert!(!holds(&SEED) && !holds(PASSWORD.as_bytes()) && !holds(token.as_bytes()), "{}", entry.log_index);
        Ok::<_, watchpost_collector::log_store::StoreError>(true)
    })
    .unwrap();
    drop(log);
    let db = rusqlite::Connection::open(console.config.log_db()).unwrap();
    db.execute("UPDATE operator SET disabled = 1 WHERE name = 'li'", []).unwrap();
    drop(db);
    let log = LogReader::open(&console.config.log_db()).unwrap();
    let fault = check(&log, &trust, &[], |_| ()).unwrap_err().to_string();
    assert!(fault.contains("operator"), "{fault}");
}

#[test]
fn the_description_names_every_route_and_every_shape_it_refers_to() {
    let described = describe();
    for route in routes() {
        let path = format!("/api/v1{}", route.path);
        let operation = &described["paths"][&path][route.method.as_str().to_lowercase()];
        assert_eq!(operation["summary"], route.title, "{route:?}");
        assert_eq!(operation["x-act"].as_str(), route.act.map(Act::as_str), "{route:?}");
        let variables = route.path.matches('{').count();
        let named = operation["parameters"].as_array().unwrap().iter().filter(|it| it["in"] == "path").count();
        assert_eq!(named, variables, "{route:?}");
    }
    let text = described.to_string();
    for shape in text.split("\"#/").skip(1).map(|rest| rest.split('"').next().unwrap()) {
        assert!(described.pointer(&format!("/{shape}")).is_some(), "{shape}");
    }
    let shapes = described["components"]["schemas"].as_object().unwrap();
    assert!(shapes.contains_key("Alert") && shapes["Alert"]["properties"]["person"].is_object(), "{:?}", shapes.keys());
    let limit = &described["paths"]["/api/v1/alerts"]["get"]["parameters"];
    assert!(limit.as_array().unwrap().iter().any(|it| it["name"] == "limit" && it["in"] == "query"), "{limit}");
}
