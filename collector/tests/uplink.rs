//! What an honest agent finds at the collector.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test helpers")]

mod support;

use rustls::pki_types::pem::PemObject as _;
use support::{Client, Device, Lab, finding, open_receipt};
use watchpost_collector::log_store::{LogStore, StoreError};
use watchpost_collector::pki::DEVICE_LIFE;
use watchpost_proto::Digest;
use watchpost_proto::identity::{UPLINK_NAME, read_certificate};
use watchpost_proto::keys::PublicKey;
use watchpost_proto::merkle::verify_consistency;
use watchpost_proto::note::{self, Checkpoint, LogSigner};
use watchpost_proto::receipt::open_log_key;
use watchpost_proto::v1::{Hello, Lane, Standing, Welcome, agent_message, collector_message};

fn signer(welcome: &Welcome) -> PublicKey {
    read_certificate(&welcome.signer_chain[0]).unwrap().key
}

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

#[tokio::test(flavor = "multi_thread")]
async fn a_device_learns_where_it_stands_from_what_it_shows() {
    let lab = Lab::new();
    let running = lab.start().await;
    let mut device = lab.device();
    let (mut client, _) = device.connect(running.address()).await;
    let mut remembered = vec![device.heads];
    for number in 0..3 {
        let segment = device.seal(Lane::Urgent, &[finding(number)]);
        client.segment(&segment).await;
        client.receipt_through(Lane::Urgent, number).await;
        remembered.push(device.heads);
    }
    let first_epoch = device.epoch;
    let stand = async |device: &Device| {
        let (_client, welcome) = device.connect(running.address()).await;
        let held = welcome.lanes[0].held.clone().unwrap();
        (welcome.lanes[0].standing(), held.next_sequence, held.epoch)
    };
    let latest = first_epoch.to_vec();
    for (heads, standing) in remembered.iter().zip([Standing::Behind, Standing::Behind, Standing::Behind]) {
        device.heads = *heads;
        assert_eq!(stand(&device).await, (standing, 3, latest.clone()), "{heads:?}");
    }
    device.heads = remembered[3];
    assert_eq!(stand(&device).await.0, Standing::Level);
    device.seal(Lane::Urgent, &[finding(9)]);
    assert_eq!(stand(&device).await.0, Standing::Ahead);
    device.heads[0].next = 2;
    assert_eq!(stand(&device).await.0, Standing::Diverged);

    device.new_epoch();
    assert_eq!(stand(&device).await, (Standing::Ahead, 3, latest), "an epoch never heard of");
    let (mut client, _) = device.connect(running.address()).await;
    let segment = device.seal(Lane::Urgent, &[finding(10)]);
    client.segment(&segment).await;
    client.receipt_through(Lane::Urgent, 0).await;
    let latest = device.epoch.to_vec();
    device.heads = remembered[3];
    assert_eq!(stand(&device).await, (Standing::Behind, 1, latest), "an epoch it has left since");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_proves_that_it_only_grows() {
    let lab = Lab::new();
    let running = lab.start().await;
    let mut device = lab.device();
    let (mut client, first) = device.connect(running.address()).await;
    let log_key = open_log_key(first.log_key.as_ref().unwrap(), &signer(&first)).unwrap();
    let public: [u8; 32] = log_key.ed25519.clone().try_into().unwrap();
    let old = note::open(&first.checkpoint, &public).unwrap();
    for number in 0..6 {
        let segment = device.seal(Lane::Bulk, &[finding(number)]);
        client.segment(&segment).await;
        client.receipt_through(Lane::Bulk, number).await;
    }
    let shown = async |checkpoint: String| {
        let mut client = Client::open(running.address(), device.tls(), UPLINK_NAME).await.unwrap();
        client.send(agent_message::Kind::Hello(Hello { checkpoint, ..device.hello() })).await;
        client.welcome().await
    };
    let welcome = shown(first.checkpoint.clone()).await;
    let new = note::open(&welcome.checkpoint, &public).unwrap();
    let proof: Vec<Digest> = welcome.consistency.iter().map(|node| Digest::from_slice(node).unwrap()).collect();
    assert!(!welcome.checkpoint_unknown && new.size > old.size);
    assert!(verify_consistency(old.size, &old.root, new.size, &new.root, &proof));

    let foreign = LogSigner::generate().unwrap().0;
    for (checkpoint, reason) in
        [(foreign.sign(&old), "another key"), ("nonsense".into(), "no note"), ("x".repeat(10_000), "a long one")]
    {
        let welcome = shown(checkpoint).await;
        assert!(welcome.checkpoint_unknown && welcome.consistency.is_empty(), "{reason}");
    }
    assert!(!shown(String::new()).await.checkpoint_unknown);
    running.stop().await;

    // A later head than the log has: the collector was restored.
    let key = std::fs::read(lab.config.data_dir.join("log.key")).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::from_pem_slice(&key).unwrap();
    let log_signer = LogSigner::from_pkcs8(key.secret_der()).unwrap();
    let running = lab.start().await;
    let ahead = log_signer.sign(&Checkpoint { size: new.size + 5, ..new.clone() });
    let mut client = Client::open(running.address(), device.tls(), UPLINK_NAME).await.unwrap();
    client.send(agent_message::Kind::Hello(Hello { checkpoint: ahead, ..device.hello() })).await;
    assert_eq!(client.refusal().await.code, "stopping", "nothing more is receipted into this log");
    running.contradicted().await;
    running.stop().await;

    // Another goes on, and names it.
    let running = lab.start().await;
    let ahead = log_signer.sign(&Checkpoint { size: new.size + 5, ..new.clone() });
    for (checkpoint, kept) in [(ahead, false), (log_signer.sign(&old), true)] {
        let mut client = Client::open(running.address(), device.tls(), UPLINK_NAME).await.unwrap();
        client.send(agent_message::Kind::Hello(Hello { checkpoint, ..device.hello() })).await;
        let welcome = client.welcome().await;
        let log_key = open_log_key(welcome.log_key.as_ref().unwrap(), &signer(&welcome)).unwrap();
        assert_eq!(log_key.previous_log_id, first.log_id);
        assert_ne!(welcome.log_id, first.log_id);
        assert_eq!((welcome.earlier_logs.len(), welcome.checkpoint_unknown), (1, !kept));
        let proof: Vec<Digest> = welcome.consistency.iter().map(|node| Digest::from_slice(node).unwrap()).collect();
        let root = Digest::from_slice(&log_key.previous_root).unwrap();
        let leads = verify_consistency(old.size, &old.root, log_key.previous_size, &root, &proof);
        assert_eq!(leads, kept, "what was seen of the log that ended is proved to be in it");
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_key_is_adopted_and_the_old_ones_segments_still_hold() {
    let lab = Lab::new();
    let running = lab.start().await;
    let size = || running.sequencer().published().checkpoint.size;
    let mut old = lab.device();
    let (mut client, _) = old.connect(running.address()).await;
    let first = old.seal(Lane::Urgent, &[finding(1)]);
    client.segment(&first).await;
    client.receipt_through(Lane::Urgent, 0).await;
    assert_eq!(size(), 3, "the log's opening, a key, a segment");
    let second = old.seal(Lane::Urgent, &[finding(2)]);

    let now = time::OffsetDateTime::now_utc();
    let leaf = lab.devices.issue_with_key(support::TENANT, &old.id, DEVICE_LIFE, now).unwrap();
    let mut new = Device::of(old.id, leaf, &lab.root);
    (new.epoch, new.heads) = (old.epoch, old.heads);
    let (mut client, _) = new.connect(running.address()).await;
    let third = new.seal(Lane::Urgent, &[finding(3)]);
    client.segment(&second).await;
    client.segment(&third).await;
    client.receipt_through(Lane::Urgent, 2).await;
    assert_eq!(size(), 6, "the new key stands before its first segment");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn both_lanes_and_heartbeats_share_a_stream() {
    let lab = Lab::new();
    let running = lab.start().await;
    let mut device = lab.device();
    let (mut client, _) = device.connect(running.address()).await;
    client.heartbeat().await;
    let Some(collector_message::Kind::HeartbeatReply(reply)) = client.next().await else { panic!("no reply") };
    assert!(reply.server_ms > 1_700_000_000_000 && reply.checkpoint.starts_with("watchpost/test/"));
    for number in 0..40 {
        for lane in [Lane::Urgent, Lane::Bulk] {
            let segment = device.seal(lane, &[finding(number)]);
            client.segment(&segment).await;
        }
    }
    let mut through = [None, None];
    while through != [Some(39), Some(39)] {
        let receipt = client.receipt().await;
        let lane = &mut through[usize::from(receipt.lane() == Lane::Bulk)];
        assert!(*lane < Some(receipt.through_sequence), "receipts only rise");
        *lane = Some(receipt.through_sequence);
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_the_credit_is_not_taken() {
    let lab = Lab::new();
    let running = lab.start().await;
    let mut device = lab.device();
    let (mut client, welcome) = device.connect(running.address()).await;
    let credit = u64::from(welcome.lanes[0].credit);
    // While somebody else holds the database nothing can be answered.
    let other = rusqlite::Connection::open(lab.config.log_db()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    for number in 0..credit {
        let segment = device.seal(Lane::Urgent, &[finding(number)]);
        client.segment(&segment).await;
    }
    // The answer to a heartbeat shows that all before it have been read; then one more.
    client.heartbeat().await;
    assert!(matches!(client.next().await, Some(collector_message::Kind::HeartbeatReply(_))));
    let segment = device.seal(Lane::Urgent, &[finding(credit)]);
    client.segment(&segment).await;
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    other.execute_batch("COMMIT").unwrap();
    assert_eq!(client.receipt_through(Lane::Urgent, credit - 1).await.through_sequence, credit - 1);
    assert_eq!(client.refusal().await.code, "over_credit");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_cannot_be_written_acknowledges_nothing_and_ends_the_collector() {
    let lab = Lab::new();
    let running = lab.start().await;
    let mut device = lab.device();
    let (mut client, _) = device.connect(running.address()).await;
    // Another appender, however it came to be: the fence holds against it.
    let nothing = |_: &_| Err(StoreError::Unfit("no log".into()));
    let other = LogStore::open(&lab.config.log_db(), support::TENANT, nothing).unwrap();
    let segment = device.seal(Lane::Urgent, &[finding(1)]);
    client.segment(&segment).await;
    assert_eq!(client.refusal().await.code, "storage_failed");
    let reason = tokio::time::timeout(support::PATIENCE, running.failed()).await.unwrap();
    assert!(reason.contains("another process"), "{reason}");
    assert_eq!(other.checkpoint().size, 1);
    running.stop().await;
}
