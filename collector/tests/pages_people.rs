//! Pages about people: who sees them, whom they name, and what they never name.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test helpers")]

mod support;

use support::console::{Client, Console, employ, grant, operate, supervisor};
use support::offline::Log;
use watchpost_collector::operators::{Deed, Role};
use watchpost_proto::Message as _;
use watchpost_proto::document::{Kind as Document, Signers};
use watchpost_proto::keys::{SigningKey as _, SoftwareKey};
use watchpost_proto::roster::Making;
use watchpost_proto::v1::{EntryKind, RosterDetails, RosterEntry, RosterPeriod, RosterRow};

const EVIL: &str = "<script>alert('x')</script>\"><img src=x>";

/// `(userid, employee, name, department, status, never)`.
type Row<'a> = (&'a str, &'a str, &'a str, &'a str, &'a str, bool);

fn publish(log: &mut Log, rows: &[Row<'_>]) {
    let row_of = |(userid, employee, name, department, status, never): &Row<'_>| {
        let (department, status) = ((*department).to_owned(), (*status).to_owned());
        let labels = vec![department.clone(), "柜员".into()];
        let period =
            RosterPeriod { from_ms: 1, department, status, labels, site: "上海".into(), ..RosterPeriod::default() };
        let row = RosterRow {
            corp: "ww1".into(),
            userid: (*userid).into(),
            periods: vec![period],
            never: *never,
            ..RosterRow::default()
        };
        (row, RosterDetails { salt: vec![1; 16], employee: (*employee).into(), name: (*name).into() })
    };
    let (key, _) = SoftwareKey::generate().unwrap();
    let next = Signers::pinned(key.public().id());
    let making = Making { tenant: support::TENANT, previous: None, next: &next, at_ms: 1 };
    let (header, records) = watchpost_proto::roster::make(rows.iter().map(row_of).collect(), &making).unwrap();
    let signed = watchpost_proto::roster::sign(&header, &[&key]).unwrap();
    let digest = Document::Roster.digest(&signed.header);
    let entry = RosterEntry { roster: Some(signed), by: "hr".into(), reason: String::new(), at_ms: 1 };
    log.operate(|appender| {
        watchpost_collector::log_store::keep_rows(appender.connection(), &digest, &records)?;
        Ok(appender.append(EntryKind::Roster, &entry.encode_to_vec())?)
    })
    .unwrap();
}

async fn console() -> Console {
    let mut log = Log::new();
    publish(
        &mut log,
        &[
            ("zhang", "1001", "张伟杰", "销售", "在职", false),
            ("zhang.b", "1001", "张伟杰", "销售", "在职", false),
            ("li.na", "1002", "李娜", "客服", "离职", false),
            ("evil", "1003", EVIL, EVIL, "在职", false),
            ("counsel", "1009", "法律顾问", "法务", "在职", true),
        ],
    );
    employ(&mut log, "admin", grant(Role::Administrator));
    employ(&mut log, "auditor", grant(Role::Auditor));
    employ(&mut log, "reviewer", grant(Role::Reviewer));
    employ(&mut log, "author", grant(Role::PolicyAuthor));
    employ(&mut log, "supervisor", supervisor(&[("销售", "")]));
    Console::start(log).await
}

/// Sends a file with a form.
async fn send_file(client: &Client, path: &str, field: &str, text: &str) -> support::console::Answer {
    let mark = client.mark().await;
    let body = format!(
        "--XX\r\nContent-Disposition: form-data; name=\"mark\"\r\n\r\n{mark}\r\n\
         --XX\r\nContent-Disposition: form-data; name=\"{field}\"; filename=\"list.csv\"\r\n\r\n{text}\r\n--XX--\r\n"
    );
    let origin = format!("http://{}", client.address);
    let client = client.with("origin", &origin).with("content-type", "multipart/form-data; boundary=XX");
    let stream = tokio::net::TcpStream::connect(client.address).await.unwrap();
    support::console::read(client.request_over(stream, "POST", path, body.into_bytes()).await).await
}

#[tokio::test(flavor = "multi_thread")]
async fn people_are_shown_to_whom_the_table_says_and_the_never_list_is_a_number() {
    let console = console().await;
    for name in ["admin", "auditor", "reviewer"] {
        let client = console.signed_in(name).await;
        let page = client.page("/people").await;
        assert_eq!(page.status, 200, "{}", page.text);
        for known in ["张伟杰", "李娜", "ww1/zhang.b", "&lt;script&gt;"] {
            assert!(page.text.contains(known), "{name}: {known}");
        }
        for (path, status) in
            [("/people", 200), ("/people?text=counsel", 200), ("/people/1009", 404), ("/people/ww1%2Fcounsel", 404)]
        {
            let page = client.page(path).await;
            assert_eq!(page.status, status, "{name} {path}");
            // The address itself goes on in the form for language and theme.
            let told = page.text.replace(path, "").replace("value=\"counsel\"", "");
            assert!(
                !told.contains("法律顾问") && !told.contains("counsel") && !told.contains("1009\""),
                "{name} {path}"
            );
            assert!(!told.contains("<script>alert") && !told.contains("<img src=x"), "{name} {path}");
        }
        let api = client.get("/people").await;
        assert_eq!((&api.body["counts"]["never"], api.text.contains("counsel")), (&1.into(), false));
    }
    for name in ["author", "supervisor"] {
        let client = console.signed_in(name).await;
        for path in ["/people", "/people/1001", "/people/unknown", "/people/import"] {
            assert_eq!(client.page(path).await.status, 403, "{name} {path}");
        }
    }
    console.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn people_are_found_by_name_pinyin_number_and_account() {
    let console = console().await;
    let auditor = console.signed_in("auditor").await;
    for query in [
        "text=zwj",
        "text=%E5%BC%A0",
        "text=1001",
        "text=ww1/zhang.b",
        "department=%E9%94%80%E5%94%AE",
        "stand=present&text=zhangweijie",
    ] {
        let page = auditor.page(&format!("/people?{query}")).await.text;
        assert!(page.contains("张伟杰</b>") && !page.contains("李娜</b>"), "{query}");
    }
    let left = auditor.page("/people?stand=left").await.text;
    assert!(left.contains("李娜</b>") && !left.contains("张伟杰</b>"));
    let one = auditor.page("/people/1001").await.text;
    assert!(
        one.contains("ww1/zhang") && one.contains("ww1/zhang.b") && one.contains("/alerts?person=ww1%2Fzhang"),
        "{one}"
    );
    let admin = console.signed_in("admin").await;
    assert!(!admin.page("/people/1001").await.text.contains("/alerts?person"), "who sees no alerts is not led to them");
    console.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_says_what_a_list_would_change_and_changes_nothing() {
    let console = console().await;
    let auditor = console.signed_in("auditor").await;
    let before = console.size();
    let list = "工号,企业,账号,姓名,部门,地点,标签,状态,不监测\n1001,ww1,zhang,张伟杰,销售,上海,,在职,\n2001,ww1,xin,新人,销售,上海,,在职,\n1009,ww1,counsel,法律顾问,法务,上海,,在职,\n";
    let told = send_file(&auditor, "/people/import", "list", list).await;
    assert_eq!(told.status, 200, "{}", told.text);
    assert!(told.text.contains("ww1/xin") && told.text.contains("ww1/li.na"), "joined and left: {}", told.text);
    assert!(!told.text.contains("counsel") && !told.text.contains("法律顾问"), "who was never looked at is not named");
    assert!(told.text.contains("--remove-never 1"), "and leaving the never list is said: {}", told.text);
    let wrong = send_file(&auditor, "/people/import", "list", "工号,姓名\n1,x\n").await;
    assert!(wrong.status >= 400 && wrong.text.contains("problem"), "{}", wrong.text);
    assert_eq!(console.size(), before);
    console.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_trail_is_read_in_sentences_and_by_those_who_may() {
    let mut log = Log::new();
    employ(&mut log, "auditor", grant(Role::Auditor));
    employ(&mut log, "reviewer", grant(Role::Reviewer));
    let (_, secret) =
        watchpost_collector::operators::secret::make(watchpost_collector::operators::secret::Kind::Invitation).unwrap();
    let invite = Deed::Invite {
        operator: "li".into(),
        grant: grant(Role::Reviewer),
        secret: secret.to_string(),
        expires_ms: i64::MAX / 2,
    };
    operate(&mut log, EVIL, &invite).unwrap();
    let console = Console::start(log).await;
    let auditor = console.signed_in("auditor").await;
    let page = auditor.page("/audit?verb=operator-invite&subject=li").await.text;
    assert!(
        page.contains("邀请了操作员") && page.contains("&lt;script&gt;") && !page.contains("<script>alert"),
        "{page}"
    );
    let english = auditor.with("accept-language", "en").page("/audit?verb=operator-invite&subject=li").await.text;
    assert!(english.contains("invited the operator"), "{english}");
    assert!(!auditor.page("/audit?since=2999-01-01").await.text.contains("data-head=\"谁\""));
    assert!(auditor.page("/audit?since=tomorrow").await.status >= 400);
    assert_eq!(console.signed_in("reviewer").await.page("/audit").await.status, 403);
    console.running.stop().await;
}
