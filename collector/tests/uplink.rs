//! What an honest agent finds at the collector.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test helpers")]

mod support;

use support::{Lab, finding, open_receipt};
use watchpost_proto::v1::{Lane, Standing, collector_message};

#[tokio::test(flavor = "multi_thread")]
async fn a_segment_is_receipted_when_it_is_durable_and_shown_at_the_next_hello() {
    let lab = Lab::new();
    let running = lab.start().await;
    let mut device = lab.device();
    let (mut client, welcome) = device.connect(running.address()).await;
    assert!(welcome.lanes.iter().all(|lane| lane.standing() == Standing::Ahead && lane.receipt.is_none()));
    let segment = device.seal(Lane::Urgent, &[finding(1), finding(2)]);
    client.segment(&segment).await;
    let Some(collector_message::Kind::Receipt(signed)) = client.next().await else { panic!("no receipt") };
    let receipt = open_receipt(&signed, &welcome);
    assert_eq!((receipt.lane(), receipt.through_sequence), (Lane::Urgent, 0));
    assert_eq!(receipt.statement_digest, device.heads[0].digest.unwrap().0);
    drop(client);
    running.stop().await;

    let running = lab.start().await;
    let (_client, welcome) = device.connect(running.address()).await;
    let urgent = &welcome.lanes[0];
    assert_eq!(urgent.standing(), Standing::Level);
    let held = urgent.receipt.as_ref().map(|signed| open_receipt(signed, &welcome)).unwrap();
    assert_eq!(held.statement_digest, receipt.statement_digest);
    assert_eq!(held.received_at_ms, receipt.received_at_ms);
    assert_eq!(urgent.held.as_ref().unwrap().next_sequence, 1);
    running.stop().await;
}
