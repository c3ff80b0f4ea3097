//! Pages of settings, of the first run and of one's tokens: what is set on them is in the log, and links that let people in do.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test helpers")]

mod support;

use support::console::{Console, PASSWORD, about, employ, grant, id_of, roster, supervisor};
use support::offline::Log;
use watchpost_collector::operators::Role;
use watchpost_proto::v1::Lane;

const EVIL: &str = "<script>alert('x')</script>\"><img src=x>";
const TABS: [&str; 6] = ["operators", "notify", "calendars", "response", "link", "other"];

async fn console() -> Console {
    let mut log = Log::new();
    roster(&mut log, &[("u0", "sales", "shanghai")]);
    let mut device = log.lab.device();
    log.append(&mut device, Lane::Urgent, &[about(1, "ww1/u0")]);
    employ(&mut log, "admin", grant(Role::Administrator));
    employ(&mut log, "auditor", grant(Role::Auditor));
    employ(&mut log, "reviewer", grant(Role::Reviewer));
    employ(&mut log, "supervisor", supervisor(&[("", "")]));
    Console::start(log).await
}

fn copied(page: &str) -> String {
    let (_, rest) = page.split_once("class=\"copied\"><code>").unwrap();
    rest.split("</code>").next().unwrap().replace("&amp;", "&")
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_are_seen_by_administrators_and_auditors_and_changed_by_administrators() {
    let console = console().await;
    for name in ["admin", "auditor"] {
        let client = console.signed_in(name).await;
        for tab in TABS {
            let page = client.page(&format!("/settings?tab={tab}")).await;
            assert_eq!(page.status, 200, "{name} {tab}: {}", page.text);
            assert_eq!(
                page.text.contains("<form method=\"post\" action=\"/settings"),
                name == "admin" && !["notify", "other"].contains(&tab),
                "{name} {tab}"
            );
        }
    }
    for name in ["reviewer", "supervisor"] {
        let client = console.signed_in(name).await;
        for path in ["/settings", "/settings/operators/admin", "/first"] {
            assert_eq!(client.page(path).await.status, 403, "{name} {path}");
        }
    }
    let before = console.size();
    let auditor = console.signed_in("auditor").await;
    let signed_in = console.size();
    let refused =
        auditor.send_form("/settings/link", &[("template", "https://a.example/{msgid}"), ("reason", "because")]).await;
    assert_eq!((refused.status, console.size()), (403, signed_in), "{before}");
    console.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invitation_of_the_page_lets_somebody_in_once() {
    let console = console().await;
    let admin = console.signed_in("admin").await;
    let fields =
        [("operator", "li.na"), ("role", "supervisor"), ("scopes", "sales/shanghai\r\nservice/"), ("reason", "new")];
    let page = admin.send_form("/settings/operators", &fields).await;
    assert_eq!(page.status, 200, "{}", page.text);
    let link = copied(&page.text);
    let (origin, rest) = link.split_once("/welcome#").unwrap();
    assert_eq!(origin, format!("http://{}", console.address()));
    let behind: Vec<(String, String)> = serde_html_form::from_str(rest).unwrap();
    assert_eq!(behind[0], ("name".to_owned(), "li.na".to_owned()));
    assert!(!admin.page("/settings?tab=operators").await.text.contains(&behind[1].1), "shown once");
    let stranger = console.client();
    let fields = [("name", "li.na"), ("secret", &*behind[1].1), ("password", PASSWORD), ("again", PASSWORD)];
    let set = stranger.send_fields("/welcome", &fields).await;
    assert!(set.status == 200 && set.text.contains("href=\"/login\""), "{}", set.text);
    let li = console.signed_in("li.na").await;
    assert_eq!(
        li.get("/session").await.body["scopes"].as_array().map(Vec::len),
        Some(2),
        "{}",
        li.get("/session").await.text
    );
    assert_eq!(admin.page("/settings/operators/li.na").await.status, 200);
    let out = admin.send_form("/settings/operators/li.na/disable", &[("reason", "left")]).await;
    assert_eq!(out.status, 303, "{}", out.text);
    assert_eq!(li.page("/").await.status, 303, "out at once");
    console.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_set_on_a_page_holds_and_is_in_the_trail() {
    let console = console().await;
    let admin = console.signed_in("admin").await;
    let value = async |name: &str| {
        let all = admin.get(&format!("/settings?beginning={name}")).await.body["items"].clone();
        all[0]["value"].as_str().unwrap_or_default().to_owned()
    };
    let done = admin
        .send_form("/settings/link", &[("template", "https://a.example/{msgid}"), ("reason", "archive moved")])
        .await;
    assert_eq!(done.status, 303, "{}", done.text);
    assert_eq!(value("link").await, "{\"template\":\"https://a.example/{msgid}\"}");
    let evil = admin.send_form("/settings/link", &[("template", EVIL), ("reason", "archive moved")]).await;
    assert!(evil.status >= 400 && !evil.text.contains("<script>alert"), "{}", evil.text);
    let text = format!("base: cn\nhours:\n  mon-fri: \"08:00-12:00\"\n# {EVIL}\n");
    let done = admin
        .send_form("/settings/calendar", &[("site", "shanghai"), ("text", &text), ("reason", "summer hours")])
        .await;
    assert_eq!(done.status, 303, "{}", done.text);
    for path in ["/settings?tab=calendars&of=shanghai", "/settings?tab=other"] {
        let page = admin.page(path).await.text;
        assert!(page.contains("&lt;script&gt;") && !page.contains("<script>alert"), "{path}: {page}");
    }
    assert!(admin.page("/settings?tab=calendars&of=shanghai").await.text.contains("08:00–12:00"));
    let wrong = admin
        .send_form("/settings/calendar", &[("site", "shanghai"), ("text", "hours: 3\n"), ("reason", "summer hours")])
        .await;
    assert!(wrong.status >= 400 && wrong.text.contains("line 1"), "{}", wrong.text);
    let times = [
        ("take", "6m"),
        ("take", "10m"),
        ("take", "4h"),
        ("take", "24h"),
        ("close", "4h"),
        ("close", "24h"),
        ("close", "45h"),
        ("close", "90h"),
        ("reason", "slower"),
    ];
    let done = admin.send_form("/settings/response", &times).await;
    assert_eq!(done.status, 303, "{}", done.text);
    assert!(value("response").await.contains("\"take\":\"6m\""));
    let trail = console.trail("setting").await;
    let told: Vec<_> = trail.iter().map(|deed| (deed.subject.as_str(), deed.reason.as_str())).collect();
    assert_eq!(told, [("response", "slower"), ("calendar/shanghai", "summer hours"), ("link", "archive moved")]);
    console.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_ones_own_comes_in_with_what_it_was_given() {
    let console = console().await;
    let auditor = console.signed_in("auditor").await;
    let made = auditor.send_form("/account/tokens", &[("label", EVIL), ("scope", "see-audit"), ("days", "7")]).await;
    assert_eq!(made.status, 200, "{}", made.text);
    assert!(!made.text.contains("<script>alert") && made.text.contains("&lt;script&gt;"), "{}", made.text);
    let script = console.client().by_token(&copied(&made.text));
    assert_eq!((script.get("/audit").await.status, script.get("/devices").await.status), (200, 403));
    let beyond =
        auditor.send_form("/account/tokens", &[("label", "x"), ("scope", "change-settings"), ("days", "7")]).await;
    assert_eq!(beyond.status, 403, "{}", beyond.text);
    let id = auditor.get("/tokens").await.body["items"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(auditor.send_form(&format!("/account/tokens/{id}/withdraw"), &[]).await.status, 303);
    assert_eq!(script.get("/audit").await.status, 401);
    console.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_run_is_over_when_an_alert_was_closed() {
    let console = console().await;
    let (admin, reviewer) = (console.signed_in("admin").await, console.signed_in("reviewer").await);
    let done = |body: &serde_json::Value| -> Vec<String> {
        let steps = body["steps"].as_array().unwrap().iter().filter(|it| it["is_done"] == true);
        steps.map(|it| it["step"].as_str().unwrap().to_owned()).collect()
    };
    let begun = admin.get("/first-run").await.body;
    assert_eq!(
        (done(&begun), &begun["is_over"]),
        (["codes", "roster", "token", "device", "finding"].map(str::to_owned).into(), &false.into())
    );
    let page = admin.page("/first").await.text;
    assert!(page.contains("watchpost-collector backup") && !page.contains("token create"), "{page}");
    let close = serde_json::json!({ "alerts": [id_of(1)], "step": { "close": "confirmed" }, "note": "it is so" });
    let closed = reviewer.post("/alerts/step", &close).await;
    assert_eq!(closed.status, 200, "{}", closed.text);
    assert_eq!(admin.get("/first-run").await.body["is_over"], true);
    console.running.stop().await;
}
