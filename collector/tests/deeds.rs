//! Operators' deeds: one appender, durable before they take effect, with and without a running collector.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test helpers")]

mod support;

use support::{Lab, finding};
use watchpost_collector::admin::{self, Done, Request, What, requests_folder};
use watchpost_collector::alerts::desk::Suppress;
use watchpost_collector::derive::open_read_only;
use watchpost_collector::devices;
use watchpost_proto::v1::Lane;

fn request(device: &support::Device, what: fn(String) -> What) -> Request {
    Request { what: what(device.id.to_string()), by: "test".into(), reason: "because".into(), until_ms: 0 }
}

async fn have_done(lab: &Lab, request: Request) -> anyhow::Result<Done> {
    let config = lab.config.clone();
    tokio::task::spawn_blocking(move || admin::have_done(&config, &request)).await.unwrap()
}

fn state(lab: &Lab) -> (&'static str, String) {
    let db = open_read_only(&lab.config.derived_db()).unwrap();
    let device = devices::list(&db, None).unwrap().pop().unwrap();
    (device.state, device.reason)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deed_reaches_the_log_whether_a_collector_runs_or_not() {
    let lab = Lab::new();
    let running = lab.start().await;
    let mut device = lab.device();
    let (mut client, _) = device.connect(running.address()).await;
    let segment = device.seal(Lane::Urgent, &[finding(1)]);
    client.segment(&segment).await;
    client.receipt_through(Lane::Urgent, 0).await;

    let size = running.sequencer().published().checkpoint.size;
    let done = have_done(&lab, request(&device, |device| What::Revoke { device })).await.unwrap();
    assert_eq!(done.entries, [size]);
    assert_eq!(client.refusal().await.code, "device_revoked", "although it said nothing more");
    let done = have_done(&lab, request(&device, |device| What::Quarantine { device })).await.unwrap();
    assert_eq!(done.entries, [size + 1]);
    assert_eq!(std::fs::read_dir(requests_folder(&lab.config)).unwrap().count(), 0, "nothing is left lying");
    running.stop().await;
    assert_eq!(state(&lab), ("revoked", "because".into()));

    let done = have_done(&lab, request(&device, |device| What::Release { device, rekey: false, resets: false }))
        .await
        .unwrap();
    assert_eq!(done.entries, [size + 2, size + 3], "released and readmitted");
    assert_eq!(state(&lab).0, "active");
    let done = have_done(&lab, request(&device, |device| What::Release { device, rekey: false, resets: false }))
        .await
        .unwrap();
    assert!(done.entries.is_empty());

    let running = lab.start().await;
    assert_eq!(running.sequencer().published().checkpoint.size, size + 4);
    device.connect(running.address()).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_request_is_answered_and_stops_nothing() {
    let lab = Lab::new();
    let running = lab.start().await;
    let device = lab.device();
    let folder = requests_folder(&lab.config);
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("00.json"), "{}").unwrap();
    std::fs::write(folder.join("01.json"), "x".repeat(100_000)).unwrap();
    std::fs::create_dir(folder.join("02.json")).unwrap();
    let nobody = request(&device, |_| What::Revoke { device: "not a device".into() });
    assert!(have_done(&lab, nobody).await.unwrap().error.is_some());
    let done = have_done(&lab, request(&device, |device| What::Revoke { device })).await.unwrap();
    assert_eq!(done.entries.len(), 1, "in advance, for a device that was never seen");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_left_behind_is_done_at_the_next_start_while_somebody_waits_for_it() {
    let lab = Lab::new();
    lab.start().await.stop().await;
    let device = lab.device();
    let folder = requests_folder(&lab.config);
    std::fs::create_dir_all(&folder).unwrap();
    let (left, late) = (folder.join("left.json"), folder.join("late.json"));
    let waited_for = Request { until_ms: i64::MAX, ..request(&device, |device| What::Revoke { device }) };
    std::fs::write(&left, serde_json::to_vec(&waited_for).unwrap()).unwrap();
    // Whoever asked for this has given up; it must not undo what was decided since.
    std::fs::write(
        &late,
        serde_json::to_vec(&request(&device, |device| What::Release { device, rekey: false, resets: false })).unwrap(),
    )
    .unwrap();
    let running = lab.start().await;
    let deadline = std::time::Instant::now() + support::PATIENCE;
    while left.exists() || late.exists() {
        assert!(std::time::Instant::now() < deadline, "the requests are still there");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(running.sequencer().published().checkpoint.size, 2);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_comes_again_after_a_crash_is_not_done_twice() {
    let lab = Lab::new();
    let running = lab.start().await;
    let folder = requests_folder(&lab.config);
    std::fs::create_dir_all(&folder).unwrap();
    let (asked, answer) = (folder.join("0a1b.json"), folder.join("0a1b.done"));
    let now_ms = watchpost_collector::clock::now_ms();
    let what = Suppress { rule: "r".into(), from_ms: now_ms, until_ms: now_ms + 3_600_000, ..Suppress::default() };
    let request =
        Request { what: What::Suppress { what }, by: "test".into(), reason: "because".into(), until_ms: i64::MAX };
    let mut entries = Vec::new();
    for _ in 0..2 {
        // Whoever was killed before the answer was written has left the same request behind.
        std::fs::write(&asked, serde_json::to_vec(&request).unwrap()).unwrap();
        let deadline = std::time::Instant::now() + support::PATIENCE;
        while asked.exists() || !answer.exists() {
            assert!(std::time::Instant::now() < deadline, "no answer");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        let done: Done = serde_json::from_slice(&std::fs::read(&answer).unwrap()).unwrap();
        std::fs::remove_file(&answer).unwrap();
        entries.push(done.entries);
    }
    assert_eq!(entries[0], entries[1]);
    assert_eq!(running.sequencer().published().checkpoint.size, 2, "the log's key, and one suppression");
    running.stop().await;
}
