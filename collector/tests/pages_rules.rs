//! Pages of rules and words: what the tester marks and keeps from everybody else, what it takes to publish, and who approves words.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test helpers")]

mod support;

use serde_json::json;
use support::console::{Client, Console, about, employ, grant, token};
use support::offline::Log;
use tokio::net::TcpStream;
use watchpost_collector::export::xlsx::Xlsx;
use watchpost_collector::operators::{Act, Role};
use watchpost_collector::trail::Filter;
use watchpost_proto::document::Signers;
use watchpost_proto::keys::{SigningKey as _, SoftwareKey};
use watchpost_proto::policy::Policy;
use watchpost_proto::v1::{Lane, PolicyHeader, PolicyRole};

const EVIL: &str = "<script>alert(1)</script>\"'&";
const PRIVATE: &str = "紫藤花开在青石板路";

/// A pack whose titles and words would be markup where they were not escaped, with a file of words and a confidential list.
fn pack(version: u64) -> String {
    format!(
        "pack: sales\nversion: {version}\ntitle: {{ zh: '<b>包</b>', en: '<b>Pack</b>' }}\nrules:\n  - id: sales.word\n    \
         title: {{ zh: '<i>规则</i>', en: '<i>Rule</i>' }}\n    category: mis-selling\n    level: high\n    detection:\n      \
         word: {{ words_file: words/products.txt }}\n      plain: {{ words: ['a<u>b'] }}\n      \
         secret: {{ words: [某某秘密项目], confidential: true }}\n      condition: word or plain or secret\n    disclose: masked\n    tests:\n      \
         - {{ text: 青石理财, hit: true }}\n      - {{ text: 你好, hit: false }}\n"
    )
}

fn policy(version: u64, previous: Option<&Policy>, words: &str, keys: &[&SoftwareKey]) -> Policy {
    let said = PolicyHeader {
        tenant: support::TENANT.into(),
        group: "default".into(),
        version,
        previous: previous.map(|policy| policy.header.digest.to_vec()).unwrap_or_default(),
        keys: Some(Signers::pinned(keys[0].public().id()).write()),
        note: "new words".into(),
        ..PolicyHeader::default()
    };
    let files = [
        (PolicyRole::Pack, "1/sales.yaml".to_owned(), pack(version).into_bytes()),
        (PolicyRole::Named, "1/words/products.txt".to_owned(), words.as_bytes().to_vec()),
    ];
    let mut policy = Policy::make(said, &files).unwrap();
    for key in keys {
        policy.sign(*key).unwrap();
    }
    policy
}

async fn console() -> Console {
    let mut log = Log::new();
    let mut device = log.lab.device();
    log.append(&mut device, Lane::Urgent, &[about(1, "ww1/u0"), about(2, "ww1/u1")]);
    for role in [Role::Administrator, Role::PolicyAuthor, Role::Reviewer, Role::Auditor] {
        employ(&mut log, role.as_str(), grant(role));
    }
    employ(&mut log, "second", grant(Role::Reviewer));
    Console::start(log).await
}

/// Sends a form with one file and fields; where it goes on.
async fn send_file(
    client: &Client,
    path: &str,
    field: &str,
    bytes: &[u8],
    fields: &[(&str, &str)],
) -> (u16, String, String) {
    let mark = client.mark().await;
    let mut body = Vec::new();
    for (name, value) in fields.iter().copied().chain([("mark", mark.as_str())]) {
        body.extend(format!("--XX\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n").into_bytes());
    }
    body.extend(
        format!("--XX\r\nContent-Disposition: form-data; name=\"{field}\"; filename=\"f\"\r\n\r\n").into_bytes(),
    );
    body.extend(bytes);
    body.extend(b"\r\n--XX--\r\n");
    let origin = format!("http://{}", client.address);
    let sender = client.with("origin", &origin).with("content-type", "multipart/form-data; boundary=XX");
    let stream = TcpStream::connect(client.address).await.unwrap();
    let answer = support::console::read(sender.request_over(stream, "POST", path, body).await).await;
    let location = answer.headers.get("location").map(|to| to.to_str().unwrap().to_owned()).unwrap_or_default();
    (answer.status, location, answer.text)
}

async fn publish(client: &Client, policy: &Policy) -> String {
    let (status, location, text) = send_file(client, "/rules/publish", "policy", &policy.encode(), &[]).await;
    assert_eq!(status, 303, "{text}");
    let page = client.page(&location).await;
    assert_eq!(page.status, 200, "{}", page.text);
    let held = location.split("held=").nth(1).unwrap();
    let fields = [("held", held), ("rings", "50%,100%"), ("soak", "24h"), ("reason", "approved today")];
    let sent = client.send_form("/rules/publish/confirm", &fields).await;
    assert_eq!(sent.status, 303, "{}", sent.text);
    page.text
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tester_marks_what_hits_and_keeps_nothing() {
    let console = console().await;
    let client = console.signed_in("reviewer").await;
    let before = console.size();
    let text = format!("{PRIVATE}，<i>这款产品保　本保收益</i>");
    let page = client.send_form("/rules/test", &[("text", &text), ("from", "employee"), ("to", "external")]).await;
    assert_eq!(page.status, 200, "{}", page.text);
    assert!(page.text.contains("<mark>产品保　本保收益</mark>&lt;/i&gt;"), "{}", page.text);
    assert!(page.text.contains(PRIVATE) && !page.text.contains("<i>这款"), "{}", page.text);
    let asked = json!({ "text": "这款产品保本保收益", "from": "employee", "to": "external" });
    let answer = client.post("/rules/test", &asked).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let held = answer.body["rules"].as_array().unwrap().iter().find(|rule| rule["holds"] == true).unwrap().clone();
    let hit = held["hits"].as_array().unwrap().iter().find(|hit| hit["word"] == "保本保收益").unwrap().clone();
    assert_eq!((hit["start"].as_u64(), hit["end"].as_u64()), (Some(4), Some(9)), "{hit}");
    // The same words of a customer are nobody's promise.
    let inward = client
        .post("/rules/test", &json!({ "text": "这款产品保本保收益", "from": "external", "to": "employee" }))
        .await;
    let rules = inward.body["rules"].as_array().unwrap();
    assert!(rules.iter().all(|rule| rule["rule"] != held["rule"] || rule["holds"] == false), "{}", inward.text);
    let long = client.post("/rules/test", &json!({ "text": "字".repeat(20_001) })).await;
    assert_eq!((long.status, long.problem()), (422, "malformed"));
    assert_eq!(console.size(), before, "nothing of it is in the log");
    let files = [console.config.log_db(), console.config.derived_db(), console.config.search_db()];
    for file in files {
        for suffix in ["", "-wal"] {
            let bytes = std::fs::read(format!("{}{suffix}", file.display())).unwrap_or_default();
            let found = bytes.windows(PRIVATE.len()).any(|window| window == PRIVATE.as_bytes());
            assert!(!found, "{}{suffix}", file.display());
        }
    }
    let auditor = console.signed_in("auditor").await;
    assert_eq!(auditor.page("/rules/test").await.status, 403);
    assert_eq!(auditor.page("/rules").await.status, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_the_right_key_has_signed_is_published_and_everything_is_escaped() {
    let console = console().await;
    let (key, _) = SoftwareKey::generate().unwrap();
    let (foreign, _) = SoftwareKey::generate().unwrap();
    let author = console.signed_in("policy-author").await;
    let first = policy(1, None, "青石理财\n", &[&key]);
    let shown = publish(&author, &first).await;
    assert!(shown.contains("&lt;i&gt;规则&lt;/i&gt;") && !shown.contains("<i>规则"), "{shown}");
    console.caught_up().await;
    let rules = author.page("/rules").await.text;
    assert!(rules.contains("&lt;b&gt;包&lt;/b&gt;") && !rules.contains("<b>包</b>"), "{rules}");
    assert!(rules.contains("50%") && rules.contains("new words"), "{rules}");
    let detail = author.page("/rules/sales").await.text;
    assert!(detail.contains("a&lt;u&gt;b") && !detail.contains("a<u>b"), "{detail}");
    assert!(detail.contains("某某秘密项目"), "who keeps words sees them");

    // Signed by another key: it is shown, and cannot be published.
    let forged = policy(2, Some(&first), "别的词\n", &[&foreign]);
    let (status, location, text) = send_file(&author, "/rules/publish", "policy", &forged.encode(), &[]).await;
    assert_eq!(status, 303, "{text}");
    let page = author.page(&location).await.text;
    assert!(page.contains("现在不能发布") && !page.contains("/rules/publish/confirm"), "{page}");
    let held = location.split("held=").nth(1).unwrap();
    let fields = [("held", held), ("rings", "100%"), ("soak", "0"), ("reason", "forged one")];
    let before = console.size();
    assert_eq!(author.send_form("/rules/publish/confirm", &fields).await.status, 409);
    assert_eq!(console.size(), before);
    let unsigned = policy(2, Some(&first), "别的词\n", &[&key]);
    let mut torn = unsigned.encode();
    let middle = torn.len() / 2;
    torn[middle] ^= 1;
    assert_eq!(send_file(&author, "/rules/publish", "policy", &torn, &[]).await.0, 422);

    // The difference names the words that come and go.
    let second = policy(2, Some(&first), "青石理财\n紫藤理财\n", &[&key]);
    let shown = publish(&author, &second).await;
    assert!(shown.contains("紫藤理财") && shown.contains("加词 1"), "{shown}");
    let reviewer = console.signed_in("reviewer").await;
    assert_eq!(reviewer.page("/rules/publish").await.status, 403);
    assert!(!reviewer.page("/rules").await.text.contains("/rules/publish"));
    assert_eq!(
        reviewer.send_form("/rules/groups/default/step", &[("step", "halt"), ("reason", "too many")]).await.status,
        403
    );

    // Halted and resumed, with the reason in the trail.
    let halted = author.send_form("/rules/groups/default/step", &[("step", "halt"), ("reason", "too many hits")]).await;
    assert_eq!(halted.status, 303, "{}", halted.text);
    assert!(author.page("/rules").await.text.contains("已暂停"));
    let trail = console.trail("policy-halt").await;
    assert_eq!((trail[0].by.as_str(), trail[0].reason.as_str()), ("policy-author", "too many hits"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_may_not_keep_words_learns_none_of_a_confidential_list() {
    let mut log = Log::new();
    employ(&mut log, "policy-author", grant(Role::PolicyAuthor));
    let bare = token(&mut log, "policy-author", &[Act::SeeRules]);
    let console = Console::start(log).await;
    let (key, _) = SoftwareKey::generate().unwrap();
    let author = console.signed_in("policy-author").await;
    publish(&author, &policy(1, None, "青石理财\n", &[&key])).await;
    console.caught_up().await;
    let script = console.client().by_token(&bare);
    let pack = script.get("/packs/sales").await;
    assert_eq!(pack.status, 200, "{}", pack.text);
    assert!(!pack.text.contains("秘密项目") && pack.text.contains("\"confidential\":true"), "{}", pack.text);
    let tried = script.post("/rules/test", &json!({ "text": "某某秘密项目" })).await;
    assert!(
        tried.body["rules"][0]["confidential_hits"] == 1 && tried.body["rules"][0]["hits"] == json!([]),
        "{}",
        tried.text
    );
    let seen = author.post("/rules/test", &json!({ "text": "某某秘密项目" })).await;
    assert_eq!(seen.body["rules"][0]["hits"][0]["word"], "某某秘密项目");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_word_needs_a_second_person_and_a_signature_to_be_in_force() {
    let console = console().await;
    let (reviewer, second) = (console.signed_in("reviewer").await, console.signed_in("second").await);
    let author = console.signed_in("policy-author").await;
    let begun = [("list", "products"), ("pack", "sales"), ("file", "words/products.txt")];
    assert_eq!(console.signed_in("auditor").await.send_form("/words", &begun).await.status, 403);
    assert_eq!(reviewer.send_form("/words", &begun).await.status, 303);
    let fields = [("words", "青石理财\r\na<b>c"), ("note", EVIL), ("until", "2099-01-01"), ("reason", "new product")];
    let added = reviewer.send_form("/words/products/add", &fields).await;
    assert_eq!(added.status, 303, "{}", added.text);
    let page = reviewer.page("/words/products").await.text;
    assert!(page.contains("a&lt;b&gt;c") && page.contains("&lt;script&gt;alert(1)"), "{page}");
    assert!(!page.contains("<script>alert") && !page.contains("a<b>c"), "{page}");
    let words = reviewer.get("/words/products").await.body;
    let ids: Vec<String> =
        words["items"].as_array().unwrap().iter().map(|it| it["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(ids.len(), 2);
    let step: Vec<(&str, &str)> =
        ids.iter().map(|id| ("words", id.as_str())).chain([("step", "approve"), ("reason", "agreed")]).collect();
    let own = reviewer.send_form("/words/products/step", &step).await;
    assert!(own.status == 409 && own.text.contains("somebody else approves"), "{} {}", own.status, own.text);
    assert_eq!(reviewer.page("/words/products/words.txt").await.status, 409, "nothing is approved");
    assert_eq!(second.send_form("/words/products/step", &step).await.status, 303);
    assert_eq!(second.page("/words/products/words.txt").await.text, "a<b>c\n青石理财\n");
    let one = second.page(&format!("/words/products/word/{}", ids[0])).await;
    assert!(one.status == 200 && !one.text.contains("<script>alert"), "{}", one.text);

    // In force once the policy that holds it is published.
    let is_in_force =
        async || reviewer.get("/words/products?standing=approved").await.text.contains("\"in_force\":[\"default\"]");
    assert!(!is_in_force().await);
    let (key, _) = SoftwareKey::generate().unwrap();
    publish(&author, &policy(1, None, "青石理财\n", &[&key])).await;
    console.caught_up().await;
    assert!(is_in_force().await);
    let trail = console.trail("words-approve").await;
    assert_eq!(
        (trail[0].by.as_str(), trail[0].subject.as_str(), trail[0].reason.as_str()),
        ("second", "products", "agreed")
    );
    let db = watchpost_collector::derive::open_read_only(&console.config.derived_db()).unwrap();
    let everything = format!("{:?}", watchpost_collector::trail::list(&db, &Filter::default(), 500).unwrap());
    assert!(
        everything.contains("products") && !everything.contains("青石理财"),
        "the trail names the list, not its words"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workbook_is_shown_as_a_difference_and_then_proposed() {
    let console = console().await;
    let reviewer = console.signed_in("reviewer").await;
    let begun = [("list", "products"), ("pack", "sales"), ("file", "words/products.txt")];
    assert_eq!(reviewer.send_form("/words", &begun).await.status, 303);
    let mut book = Xlsx::begin(&["词".to_owned(), "备注".to_owned(), "到期日".to_owned()]).unwrap();
    for row in [["青石理财", "<b>一</b>", "2099-06-30"], ["紫藤理财", "", ""]] {
        book.row(&row.map(str::to_owned)).unwrap();
    }
    let bytes = book.end().unwrap();
    let before = console.size();
    let (status, location, text) = send_file(&reviewer, "/words/products/import", "file", &bytes, &[]).await;
    assert_eq!(status, 303, "{text}");
    let page = reviewer.page(&location).await.text;
    assert!(page.contains("青石理财") && page.contains("紫藤理财"), "{page}");
    assert_eq!(console.size(), before, "nothing is proposed yet");
    let second = console.signed_in("second").await;
    assert_eq!(second.page(&location).await.status, 409, "what one brought is for them alone");
    let held = location.split("held=").nth(1).unwrap().split('&').next().unwrap();
    let sent = reviewer.send_form("/words/products/import/confirm", &[("held", held), ("whole", "")]).await;
    assert_eq!(sent.status, 303, "{}", sent.text);
    let words = reviewer.get("/words/products?standing=proposed").await.body;
    assert_eq!(words["items"].as_array().unwrap().len(), 2, "{words}");
    let broken = send_file(&reviewer, "/words/products/import", "file", "词,到期日\n好词,后天\n".as_bytes(), &[]).await;
    assert!(broken.0 == 422 && broken.2.contains("line 2"), "{broken:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_word_is_tried_on_past_findings_and_that_is_noted_without_it() {
    let console = console().await;
    let (reviewer, author) = (console.signed_in("reviewer").await, console.signed_in("policy-author").await);
    let asked = json!({ "word": "保本", "days": 365, "reason": "too common?" });
    assert_eq!(reviewer.post("/words/preview", &json!({ "word": "保本" })).await.problem(), "reason-needed");
    let deadline = std::time::Instant::now() + support::PATIENCE;
    let seen = loop {
        let seen =
            reviewer.post("/words/preview", &json!({ "word": "保本", "days": 365, "reason": "too common?" })).await;
        if seen.status == 200 || std::time::Instant::now() > deadline {
            break seen;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    };
    assert_eq!(seen.status, 200, "{}", seen.text);
    // Those of the scene are of 2023.
    assert_eq!(seen.body["findings"], 0, "{}", seen.text);
    let counted = author.post("/words/preview", &asked).await;
    assert_eq!(counted.body["samples"], json!([]), "{}", counted.text);
    let noted: Vec<_> = console.trail("viewed").await.into_iter().map(|it| it.subject).collect();
    assert!(noted.iter().all(|subject| subject == "a word tried on past findings") && noted.len() >= 2, "{noted:?}");
    let page = reviewer.send_form("/words/preview", &[("word", EVIL), ("days", "30"), ("reason", "markup")]).await;
    assert!(!page.text.contains("<script>alert"), "{}", page.text);
}
