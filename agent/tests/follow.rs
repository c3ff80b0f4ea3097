//! Following exports that grow, tear, are cut, replaced and dropped again: every message takes effect exactly once.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod support;

use std::collections::BTreeSet;
use std::io::Cursor;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use proptest::prelude::*;
use support::{CORP, NOW_MS, hit, line, pipeline, store, urgent};
use watchpost_agent::aside::Aside;
use watchpost_agent::pipeline::{Outcome, Pipeline};
use watchpost_agent::source::Stamp;
use watchpost_agent::store::{FileKey, FileRow, FileState, Store};
use watchpost_proto::v1::summary::Kind;

/// An export as a test has it, and how far it was taken.
struct Export {
    content: Vec<u8>,
    row: FileRow,
    changes: i64,
}

impl Export {
    fn new(name: &str) -> Self {
        let key = FileKey { folder: "/exports".into(), name: name.into() };
        Self { content: Vec::new(), row: FileRow::new(key, CORP), changes: 0 }
    }

    fn of(name: &str, content: &str) -> Self {
        Self { content: content.into(), ..Self::new(name) }
    }

    fn take(&mut self, pipeline: &mut Pipeline) -> Outcome {
        self.changes += 1;
        let stamp = Stamp { size: self.content.len() as u64, mtime_ns: self.changes };
        let export = (Cursor::new(self.content.clone()), stamp);
        pipeline.take(&mut self.row, export, &AtomicBool::new(false), || ()).unwrap()
    }
}

/// Message ids of all findings in the outbox, in order of appending.
fn found(store: &Arc<Store>) -> Vec<String> {
    let findings = urgent(store).into_iter().filter_map(|kind| match kind {
        Kind::Finding(finding) => Some(finding.msgid),
        _ => None,
    });
    findings.collect()
}

/// Reasons and amounts of all losses in the outbox.
fn losses(store: &Arc<Store>) -> Vec<(String, u64)> {
    let losses = urgent(store).into_iter().filter_map(|kind| match kind {
        Kind::Loss(loss) => Some((loss.reason, loss.count)),
        _ => None,
    });
    losses.collect()
}

fn setup() -> (tempfile::TempDir, Arc<Store>, Pipeline) {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    let pipeline = pipeline(&store);
    (dir, store, pipeline)
}

#[test]
fn a_growing_export_is_read_on_from_where_it_was() {
    let (_dir, store, mut pipeline) = setup();
    let mut export = Export::of("a", &hit("m1"));
    assert_eq!(export.take(&mut pipeline), Outcome::Done);
    export.content.extend_from_slice(hit("m2").as_bytes());
    assert_eq!(export.take(&mut pipeline), Outcome::Done);
    assert_eq!(found(&store), ["m1", "m2"]);
    assert_eq!((export.row.counts.lines, export.row.counts.repeats), (2, 0), "the first line was not read again");
}

#[test]
fn a_torn_end_waits_for_its_rest_and_a_complete_end_does_not() {
    let (_dir, store, mut pipeline) = setup();
    let (whole, second) = (hit("m1"), hit("m2"));
    let mut export = Export::of("a", &(whole.clone() + &second[..40]));
    assert_eq!(export.take(&mut pipeline), Outcome::Done);
    assert!(export.row.counts.torn);
    assert_eq!(export.row.offset, whole.len() as u64);
    export.content = (whole + second.trim_end()).into();
    export.take(&mut pipeline);
    assert!(!export.row.counts.torn);
    assert_eq!(found(&store), ["m1", "m2"]);
}

#[test]
fn a_replaced_or_cut_export_is_read_from_its_beginning() {
    let (_dir, store, mut pipeline) = setup();
    let mut export = Export::of("a", &(hit("m1") + &hit("m2")));
    export.take(&mut pipeline);
    export.content = (hit("m3") + &hit("m4")).into();
    export.take(&mut pipeline);
    export.content = hit("m5").into();
    export.take(&mut pipeline);
    assert_eq!(found(&store), ["m1", "m2", "m3", "m4", "m5"]);
    assert_eq!((export.row.counts.lines, export.row.state), (1, FileState::Done));
}

#[test]
fn the_same_message_in_two_exports_is_one_and_with_another_body_it_is_a_defect() {
    let (_dir, store, mut pipeline) = setup();
    Export::of("a", &hit("m1")).take(&mut pipeline);
    let mut again = Export::of("b", &(hit("m1") + &hit("m2")));
    again.take(&mut pipeline);
    assert_eq!((again.row.counts.repeats, again.row.counts.messages), (1, 1));
    let mut altered = Export::of("c", &line("m1", "这单绕开公司直接签"));
    altered.take(&mut pipeline);
    assert_eq!(altered.row.counts.defects["reused_msgid"], 1);
    assert_eq!(found(&store), ["m1", "m2", "m1"], "the altered message is evaluated");
    let tallies = store.read(|tx| tx.tallies_unreported(9)).unwrap();
    assert_eq!(tallies.len(), 1);
    assert_eq!((tallies[0].counts.sent, tallies[0].counts.flagged), (2, 2), "counted once a message, never twice");
}

#[test]
fn bad_lines_cost_themselves_only() {
    let (_dir, store, mut pipeline) = setup();
    pipeline.config.limits.record_bytes_max = 1000;
    let mut content = b"\xef\xbb\xbf".to_vec();
    content.extend_from_slice(hit("m1").trim_end().as_bytes());
    content.extend_from_slice(b"\r\n\n{\"torn\n\xff\xfe\x41\n");
    content.extend_from_slice(&[b'['; 900]);
    content.extend_from_slice(format!("\n{}\n", "x".repeat(5000)).as_bytes());
    // Most lines are whole, as they are where some are not.
    let more: Vec<String> = (2..8).map(|at| format!("m{at}")).collect();
    more.iter().for_each(|msgid| content.extend_from_slice(hit(msgid).as_bytes()));
    let mut export = Export { content, ..Export::new("a") };
    assert_eq!(export.take(&mut pipeline), Outcome::Done);
    assert_eq!(found(&store)[0], "m1");
    assert_eq!(found(&store)[1..], more[..]);
    assert_eq!(export.row.counts.defects["line_too_long"], 1);
    assert_eq!(
        export.row.counts.defects.values().sum::<u64>() - export.row.counts.defects.get("invalid_utf8").unwrap_or(&0),
        4
    );
}

#[test]
fn an_export_of_zero_bytes_inside_is_set_aside_and_comes_in_when_replaced() {
    let (_dir, store, mut pipeline) = setup();
    let mut export = Export::of("a", "MZ\u{3}\u{4}\0\0");
    assert_eq!(export.take(&mut pipeline), Outcome::Aside(Aside::Binary));
    assert_eq!((export.row.state, export.row.reason.as_str()), (FileState::SetAside, "binary"));
    export.content = hit("m1").into();
    assert_eq!(export.take(&mut pipeline), Outcome::Done);
    assert_eq!((found(&store), export.row.reason.as_str()), (vec!["m1".to_owned()], ""));
}

#[test]
fn a_full_outbox_rests_the_source_and_loses_nothing() {
    let (_dir, store, mut pipeline) = setup();
    pipeline.config.batch_bytes = 1;
    pipeline.urgent_bytes_max = 1;
    let mut export = Export::of("a", &(hit("m1") + &hit("m2")));
    assert_eq!(export.take(&mut pipeline), Outcome::OutboxFull);
    assert_eq!((found(&store).len(), export.row.state), (1, FileState::Reading));
    pipeline.urgent_bytes_max = u64::MAX;
    assert_eq!(export.take(&mut pipeline), Outcome::Done);
    assert_eq!(found(&store), ["m1", "m2"]);
}

#[test]
fn an_export_replaced_before_it_was_read_leaves_a_loss_record() {
    let (_dir, store, mut pipeline) = setup();
    pipeline.config.batch_bytes = 1;
    pipeline.urgent_bytes_max = 1;
    let mut export = Export::of("a", &(hit("m1") + &hit("m2")));
    let unread = hit("m2").len() as u64;
    assert_eq!(export.take(&mut pipeline), Outcome::OutboxFull);
    export.content = hit("m3").into();
    // Also when there is no room at first to say so.
    assert_eq!(export.take(&mut pipeline), Outcome::OutboxFull);
    pipeline.urgent_bytes_max = u64::MAX;
    assert_eq!(export.take(&mut pipeline), Outcome::Done);
    assert_eq!(found(&store), ["m1", "m3"]);
    assert_eq!(losses(&store), [("file_replaced".to_owned(), unread)]);
}

#[test]
fn messages_outside_the_horizon_make_findings_and_no_tallies() {
    let (_dir, store, mut pipeline) = setup();
    let old = hit("m1").replace(&NOW_MS.to_string(), "1000000000000");
    Export::of("a", &old).take(&mut pipeline);
    Export::of("b", &old).take(&mut pipeline);
    assert_eq!(found(&store), ["m1", "m1"], "it cannot be known again, but has one finding id");
    assert!(store.read(|tx| tx.tallies_unreported(9)).unwrap().is_empty());
}

/// What may happen to an export between two takings.
#[derive(Clone, Debug)]
enum Change {
    Append(u8),
    AppendPart(u8, usize),
    Cut(usize),
    Replace(Vec<u8>),
    Nothing,
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        4 => any::<u8>().prop_map(|n| Change::Append(n % 24)),
        2 => (any::<u8>(), 1usize..150).prop_map(|(n, bytes)| Change::AppendPart(n % 24, bytes)),
        1 => (0usize..600).prop_map(Change::Cut),
        1 => proptest::collection::vec(0u8..24, 0..4).prop_map(Change::Replace),
        1 => Just(Change::Nothing),
    ]
}

fn apply(change: &Change, content: &mut Vec<u8>) {
    let message = |n: &u8| hit(&format!("m{n}")).into_bytes();
    match change {
        Change::Append(n) => content.extend(message(n)),
        Change::AppendPart(n, bytes) => content.extend(message(n).into_iter().take(*bytes)),
        Change::Cut(length) => content.truncate(*length),
        Change::Replace(numbers) => *content = numbers.iter().flat_map(message).collect(),
        Change::Nothing => {}
    }
}

/// Which messages a reader who sees this content must have seen.
fn visible(content: &[u8]) -> BTreeSet<String> {
    let text = String::from_utf8_lossy(content);
    let messages = text.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    messages.filter_map(|message| Some(message["msgid"].as_str()?.to_owned())).collect()
}

/// Which messages are written in it at all, if on lines torn by others.
fn written(content: &[u8]) -> BTreeSet<String> {
    let text = String::from_utf8_lossy(content);
    (0..24).map(|n| format!("m{n}")).filter(|msgid| text.contains(hit(msgid).trim_end())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Against a plain model: whatever happens to two exports and whenever the process starts again, each message that
    /// was ever visible when its export was taken makes its finding exactly once, and none that was never written does.
    #[test]
    fn each_visible_message_takes_effect_exactly_once(
        steps in proptest::collection::vec((change(), 0usize..2, any::<bool>(), any::<bool>()), 1..25),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let mut store = store(dir.path());
        let mut pipeline = pipeline(&store);
        pipeline.config.batch_bytes = 400;
        let mut exports = [Export::new("a"), Export::new("b")];
        let (mut expected, mut possible) = (BTreeSet::new(), BTreeSet::new());
        for (change, which, take, restart) in steps {
            let export = &mut exports[which];
            apply(&change, &mut export.content);
            if take {
                expected.extend(visible(&export.content));
                possible.extend(written(&export.content));
                export.take(&mut pipeline);
            }
            if restart {
                drop((pipeline, store));
                store = support::store(dir.path());
                pipeline = support::pipeline(&store);
                for export in &mut exports {
                    if let Some(row) = store.read(|tx| tx.file(&export.row.key)).unwrap() {
                        export.row = row;
                    }
                }
            }
        }
        let found = found(&store);
        let distinct: BTreeSet<String> = found.iter().cloned().collect();
        prop_assert!(distinct.is_superset(&expected), "{distinct:?} but {expected:?} were visible");
        prop_assert!(distinct.is_subset(&possible), "{distinct:?} but only {possible:?} were written");
        prop_assert_eq!(found.len(), distinct.len(), "a finding was made twice: {:?}", found);
    }
}
