//! Pages about devices, sites and enrolment: who sees them, what they hold, and that what is done on them is done.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test helpers")]

mod support;

use support::console::{Console, about, employ, grant, roster, supervisor};
use support::offline::Log;
use watchpost_collector::enrolment::desk::{self, Act as By};
use watchpost_collector::operators::Role;
use watchpost_proto::Message as _;
use watchpost_proto::token::Token;
use watchpost_proto::v1::{EnrolmentEntry, EnrolmentVerb, EntryKind, ExpectedDevice, Lane, Posture, summary};

const EVIL: &str = "<script>alert('x')</script>\"><img src=x>";

/// A device that calls itself something else than it should, and another that waits.
async fn console() -> (Console, String) {
    let mut log = Log::new();
    roster(&mut log, &[("u0", "sales", "shanghai")]);
    let mut device = log.lab.device();
    let mut posture = about(2, "ww1/u0");
    posture.kind =
        Some(summary::Kind::Posture(Posture { os: EVIL.into(), memory_bytes: 7 << 20, ..Posture::default() }));
    log.append(&mut device, Lane::Urgent, &[about(1, "ww1/u0")]);
    log.append(&mut device, Lane::Bulk, &[posture]);
    let enrolled = |verb: EnrolmentVerb, key: u8| EnrolmentEntry {
        verb: verb.into(),
        token: vec![9; 32],
        key_id: vec![key; 32],
        device: if verb == EnrolmentVerb::Enrolled { device.id.0.to_vec() } else { Vec::new() },
        group: "default".into(),
        site: format!("上海{EVIL}"),
        hostname: format!("pc-1{EVIL}"),
        asset: format!("A1{EVIL}"),
        at_ms: 5,
        ..EnrolmentEntry::default()
    };
    let entries = [enrolled(EnrolmentVerb::Enrolled, 1), enrolled(EnrolmentVerb::Asked, 2)];
    for entry in &entries {
        log.operate(|appender| Ok(appender.append(EntryKind::Enrolment, &entry.encode_to_vec())?)).unwrap();
    }
    let act = By { by: "test", reason: "test", at_ms: 5 };
    let asset = ExpectedDevice { asset: "PF3K01".into(), group: "default".into(), site: String::new() };
    log.operate(|appender| desk::expect(appender, &[asset], &act)).unwrap();
    employ(&mut log, "admin", grant(Role::Administrator));
    employ(&mut log, "auditor", grant(Role::Auditor));
    employ(&mut log, "reviewer", grant(Role::Reviewer));
    employ(&mut log, "author", grant(Role::PolicyAuthor));
    employ(&mut log, "supervisor", supervisor(&[("", "")]));
    let id = device.id.to_string();
    (Console::start(log).await, id)
}

#[tokio::test(flavor = "multi_thread")]
async fn devices_are_shown_to_those_who_look_after_them_and_changed_by_administrators() {
    let (console, device) = console().await;
    let pages = ["/devices", "/devices/enrol", "/devices/enrol?tab=tokens", "/devices/enrol?tab=expected", "/sites"];
    let one = format!("/devices/{device}");
    for name in ["admin", "auditor", "reviewer"] {
        let client = console.signed_in(name).await;
        for path in pages.into_iter().chain([one.as_str()]) {
            let page = client.page(path).await;
            assert_eq!(page.status, 200, "{name} {path}: {}", page.text);
            assert!(!page.text.contains("<script>alert") && !page.text.contains("<img src=x"), "{name} {path}");
            let is_admin = name == "admin";
            assert!(is_admin || !page.text.contains(&format!("{one}/revoke")), "{name} {path}");
            assert!(is_admin || !page.text.contains("/devices/enrol/token\""), "{name} {path}");
        }
        assert!(client.page("/devices").await.text.contains("pc-1&lt;script&gt;"), "escaped and there");
        let page = client.page(&one).await.text;
        assert!(page.contains("&lt;script&gt;") && page.contains("7 MiB"), "posture: {page}");
    }
    for name in ["supervisor", "author"] {
        let client = console.signed_in(name).await;
        for path in pages.into_iter().chain([one.as_str()]) {
            assert_eq!(client.page(path).await.status, 403, "{name} {path}");
        }
        assert!(!client.page("/menu").await.text.contains("href=\"/devices\""), "{name}");
    }
    let auditor = console.signed_in("auditor").await;
    let before = console.size();
    let refused = auditor.send_form(&format!("{one}/revoke"), &[("reason", "laptop stolen")]).await;
    assert_eq!((refused.status, console.size()), (403, before));
    console.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_is_shut_out_on_its_page_is_shut_out_until_it_is_released() {
    let (console, device) = console().await;
    let admin = console.signed_in("admin").await;
    let one = format!("/devices/{device}");
    let state = async || admin.get(&one).await.body["state"].as_str().unwrap_or_default().to_owned();
    for (deed, expected) in [("quarantine", "quarantined"), ("revoke", "revoked"), ("release", "active")] {
        let path = format!("{one}/{deed}");
        let before = console.size();
        let none = admin.send_form(&path, &[("reason", " ")]).await;
        assert!(
            none.status >= 400 && none.text.contains("problem") && console.size() == before,
            "{deed} without a reason"
        );
        let done = admin.send_form(&path, &[("reason", "laptop stolen"), ("how", "")]).await;
        assert_eq!(
            (done.status, done.headers["location"].to_str().unwrap()),
            (303, &*format!("{one}?said=done")),
            "{}",
            done.text
        );
        assert_eq!(state().await, expected);
    }
    for verb in ["device-quarantine", "device-revoke", "device-release"] {
        let deed = console.trail(verb).await.remove(0);
        assert_eq!((deed.by.as_str(), deed.reason.as_str()), ("admin", "laptop stolen"), "{verb}");
    }
    let filtered = admin.page("/devices?state=revoked").await.text;
    assert!(!filtered.contains(&one), "{filtered}");
    console.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_the_page_is_one_that_devices_read_and_the_log_knows() {
    let (console, _) = console().await;
    let admin = console.signed_in("admin").await;
    let fields = [
        ("group", "default"),
        ("site", "上海"),
        ("hours", "24"),
        ("uses", "3"),
        ("terms", "open"),
        ("address", "localhost:7443"),
    ];
    let made = admin.send_form("/devices/enrol/token", &fields).await;
    assert_eq!(made.status, 200, "{}", made.text);
    let (_, rest) = made.text.split_once("class=\"copied\"><code>").unwrap();
    let text = rest.split('<').next().unwrap();
    let token = Token::parse(text).unwrap();
    assert_eq!((token.tenant.as_str(), &token.addresses[..]), (support::TENANT, &["localhost:7443".to_owned()][..]));
    let listed = admin.get("/enrolment/tokens").await.body["items"][0].clone();
    let id = watchpost_proto::token::credential_digest(&token.credential).to_string();
    assert_eq!(
        (listed["token"].as_str().unwrap(), &listed["site"], &listed["uses_max"]),
        (id.as_str(), &"上海".into(), &3.into())
    );
    assert!(!admin.page("/devices/enrol?tab=tokens").await.text.contains(text), "shown once");
    let long = admin
        .send_form("/devices/enrol/token", &[("group", "g"), ("hours", "504"), ("uses", "1"), ("terms", "open")])
        .await;
    assert!(long.status >= 400 && long.text.contains("7 days"), "{}", long.text);
    let gone = admin.send_form(&format!("/devices/enrol/token/{id}/revoke"), &[]).await;
    assert_eq!(gone.status, 303, "{}", gone.text);
    assert_eq!(admin.get("/enrolment/tokens").await.body["items"][0]["state"], "revoked");
    console.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_is_admitted_by_the_code_on_its_screen() {
    let (console, _) = console().await;
    let admin = console.signed_in("admin").await;
    let code = "02".repeat(6);
    let queue = admin.page("/devices/enrol").await.text;
    assert!(queue.contains(&code) && queue.contains("/devices/enrol/decide"), "{queue}");
    assert!(admin.send_form("/devices/enrol/decide", &[("verdict", "admit")]).await.status >= 400, "nobody was chosen");
    let done = admin.send_form("/devices/enrol/decide", &[("code", &code), ("verdict", "admit"), ("reason", "")]).await;
    assert_eq!(done.status, 303, "{}", done.text);
    assert_eq!(console.trail("device-admit").await[0].by, "admin");
    assert!(!admin.page("/devices/enrol").await.text.contains(&code));
    console.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn days_planned_for_a_site_are_in_the_log_and_on_its_page() {
    let (console, _) = console().await;
    let (admin, auditor) = (console.signed_in("admin").await, console.signed_in("auditor").await);
    let first = admin
        .send_form("/sites/shanghai/plan", &[("from", "2026-12-30"), ("until", "2027-01-02"), ("reason", EVIL)])
        .await;
    assert_eq!(first.status, 303, "{}", first.text);
    let page = auditor.page("/sites/shanghai").await;
    assert!(
        page.text.contains("2026-12-30")
            && page.text.contains("&lt;script&gt;")
            && !page.text.contains("<script>alert"),
        "{}",
        page.text
    );
    let wrong = admin
        .send_form("/sites/shanghai/plan", &[("from", "2026-12-30"), ("until", "2026-12-01"), ("reason", "x")])
        .await;
    assert!(wrong.status >= 400, "{}", wrong.text);
    assert_eq!(console.trail("setting").await[0].subject, "site/shanghai");
    let refused = auditor
        .send_form("/sites/shanghai/plan", &[("from", "2026-12-30"), ("until", "2026-12-30"), ("reason", "x")])
        .await;
    assert_eq!(refused.status, 403);
    let gone = admin.send_form("/sites/shanghai/unplan", &[("from", "2026-12-30"), ("until", "2027-01-02")]).await;
    assert_eq!(gone.status, 303, "{}", gone.text);
    assert_eq!(auditor.page("/sites/shanghai").await.status, 404, "nothing is known of it any more");
    console.running.stop().await;
}
