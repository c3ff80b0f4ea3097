//! Pages as a browser asks for them: who sees which, what forms must carry, and what every page says to the browser.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test helpers")]

mod support;

use support::console::{Console, PASSWORD, about, employ, grant, roster, supervisor};
use support::offline::Log;
use watchpost_collector::operators::Role;
use watchpost_collector::web::console::routes;
use watchpost_proto::v1::Lane;

async fn console() -> Console {
    let mut log = Log::new();
    roster(&mut log, &[("u0", "sales", "shanghai"), ("u1", "service", "beijing")]);
    let mut device = log.lab.device();
    log.append(&mut device, Lane::Urgent, &[about(1, "ww1/u0"), about(2, "ww1/u1")]);
    for role in [Role::Administrator, Role::PolicyAuthor, Role::Reviewer, Role::Auditor] {
        employ(&mut log, role.as_str(), grant(role));
    }
    employ(&mut log, "supervisor", supervisor(&[("sales", "")]));
    Console::start(log).await
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_not_signed_in_is_asked_to_and_comes_back() {
    let console = console().await;
    let client = console.client();
    let page = client.page("/coverage?days=7").await;
    assert_eq!((page.status, page.headers["location"].to_str().unwrap()), (303, "/login?next=%2Fcoverage%3Fdays%3D7"));
    let fields = [("name", "reviewer"), ("password", PASSWORD), ("next", "/coverage?days=7")];
    let came = client.send_fields("/login", &fields).await;
    assert_eq!((came.status, came.headers["location"].to_str().unwrap()), (303, "/coverage?days=7"), "{}", came.text);
    let foreign = [("name", "reviewer"), ("password", PASSWORD), ("next", "//evil.example/")];
    assert_eq!(client.send_fields("/login", &foreign).await.headers["location"], "/");
    let wrong =
        client.send_fields("/login", &[("name", "reviewer\"><script>"), ("password", "no"), ("next", "")]).await;
    assert!(
        wrong.text.contains("class=\"notice bad problem\"") && !wrong.text.contains("\"><script>"),
        "{}",
        wrong.text
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_that_was_not_made_here_does_nothing() {
    let console = console().await;
    let client = console.signed_in("reviewer").await;
    for fields in [&[][..], &[("mark", "")][..], &[("mark", "00")][..]] {
        assert_eq!(client.send_fields("/logout", fields).await.status, 403, "{fields:?}");
    }
    let other = console.signed_in("auditor").await.mark().await;
    assert_eq!(client.send_fields("/logout", &[("mark", &other)]).await.status, 403, "another session's");
    let mark = client.mark().await;
    let evil = client.with("origin", "https://evil.example");
    assert_eq!(evil.send_fields("/logout", &[("mark", &mark)]).await.status, 403, "another page's");
    assert_eq!(client.page("/account").await.status, 200, "still signed in");
    assert_eq!(client.send_form("/logout", &[]).await.status, 303);
    assert_eq!(client.page("/account").await.status, 303, "signed out");
}

/// Every page without anything that varies in its address, as everybody.
#[tokio::test(flavor = "multi_thread")]
async fn every_page_is_shown_to_whom_the_table_says_and_says_so_to_the_browser() {
    let console = console().await;
    let mut shown = 0;
    for name in ["administrator", "policy-author", "reviewer", "auditor", "supervisor"] {
        let client = console.signed_in(name).await;
        let may = client.get("/session").await.body["may"].clone();
        for route in routes() {
            if route.method != "GET" || route.path.contains('{') {
                continue;
            }
            let act = route.act.map(|act| act.as_str());
            let is_shown = act.is_none_or(|act| may.as_array().unwrap().iter().any(|word| word == act));
            let page = client.page(route.path).await;
            let expected = if is_shown { [200, 303] } else { [403, 403] };
            assert!(expected.contains(&page.status), "{name} {}: {} {}", route.path, page.status, page.text);
            let policy = page.headers["content-security-policy"].to_str().unwrap();
            assert!(policy.starts_with("default-src 'none';") && !policy.contains("unsafe"), "{policy}");
            assert_eq!(page.headers["cache-control"], "no-store");
            if page.status == 200 {
                shown += 1;
                assert_eq!(page.text.matches("<h1").count(), 1, "{name} {}", route.path);
                assert!(!page.text.contains(" style=") && !page.text.contains("onclick"), "{name} {}", route.path);
            }
        }
    }
    assert!(shown > 20, "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_overview_counts_what_one_may_see() {
    let console = console().await;
    let unclosed = async |name: &str| {
        let body = console.signed_in(name).await.get("/overview").await.body;
        let levels = body["alerts"]["unclosed"].as_array().cloned();
        levels.map(|levels| levels.iter().map(|level| level["open"].as_u64().unwrap()).sum::<u64>())
    };
    assert_eq!(unclosed("reviewer").await, Some(2));
    assert_eq!(unclosed("supervisor").await, Some(1));
    assert_eq!(unclosed("administrator").await, None);
    let fleet =
        async |name: &str| console.signed_in(name).await.get("/overview").await.body["fleet"]["enrolled"].as_u64();
    assert_eq!((fleet("auditor").await, fleet("supervisor").await), (Some(1), None));
    let page = console.signed_in("supervisor").await.page("/").await;
    assert!(page.text.contains("1 条告警等待处理"), "{}", page.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_language_and_a_theme_are_kept_and_lead_nowhere_else() {
    let console = console().await;
    let mut client = console.client();
    assert!(client.page("/login").await.text.contains("lang=\"zh-CN\" data-theme=\"auto\""));
    let chosen =
        client.send_fields("/look", &[("tongue", "en"), ("theme", "dark"), ("back", "https://evil.example")]).await;
    assert_eq!((chosen.status, chosen.headers["location"].to_str().unwrap()), (303, "/"));
    client.keep(&chosen);
    assert!(client.page("/login").await.text.contains("lang=\"en\" data-theme=\"dark\""));
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_a_page_are_kept_and_change_their_address() {
    let console = console().await;
    let page = console.client().page("/login").await.text;
    let (_, rest) = page.split_once("rel=\"stylesheet\" href=\"").unwrap();
    let style = rest.split('"').next().unwrap();
    let answer = console.client().page(style).await;
    assert_eq!((answer.status, answer.headers["content-type"].to_str().unwrap()), (200, "text/css; charset=utf-8"));
    assert!(answer.headers["cache-control"].to_str().unwrap().contains("immutable"));
    assert_eq!(console.client().page("/assets/console.css").await.status, 404);
    assert_eq!(console.client().page("/nowhere").await.status, 404);
}
