//! Peers that are not what they should be. Each is refused with its own code or cut off, and nothing is stored.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test helpers")]

mod support;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use support::{Client, Device, Lab, PATIENCE, TENANT, channel, finding, tls_builder};
use time::OffsetDateTime;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use watchpost_collector::pki::{DEVICE_LIFE, KeyedLeaf};
use watchpost_collector::server::{self, Running};
use watchpost_proto::identity::{ENROL_NAME, UPLINK_NAME};
use watchpost_proto::limits::{MESSAGE_BYTES_MAX, SEGMENT_BYTES_MAX};
use watchpost_proto::segment::Head;
use watchpost_proto::v1::enrolment_client::EnrolmentClient;
use watchpost_proto::v1::uplink_client::UplinkClient;
use watchpost_proto::v1::{
    EnrolRequest, Lane, PolicyRequest, Ready, RosterRequest, Segment, Standing, Statement, agent_message,
    collector_message, enrol_answer,
};
use watchpost_proto::{DeviceId, Message as _};

/// A collector that counts what it has stored.
struct Target {
    lab: Lab,
    running: Running,
}

impl Target {
    async fn new() -> Self {
        let lab = Lab::new();
        let running = lab.start().await;
        Self { lab, running }
    }

    fn address(&self) -> SocketAddr {
        self.running.address()
    }

    fn size(&self) -> u64 {
        self.running.sequencer().published().checkpoint.size
    }

    /// A device with one segment durable, so that its key is in the log.
    async fn known_device(&self) -> (Device, Client) {
        let mut device = self.lab.device();
        let (mut client, _) = device.connect(self.address()).await;
        let segment = device.seal(Lane::Urgent, &[finding(1)]);
        client.segment(&segment).await;
        client.receipt_through(Lane::Urgent, 0).await;
        (device, client)
    }

    /// A Hello alone; returns the code it is refused with.
    async fn hello_code(&self, device: &Device) -> String {
        let mut client = Client::open(self.address(), device.tls(), UPLINK_NAME).await.unwrap();
        client.send(agent_message::Kind::Hello(device.hello())).await;
        client.refusal().await.code
    }

    /// What a segment is refused with by a living stream of the device.
    async fn segment_code(&self, device: &Device, segment: &Segment) -> String {
        let (mut client, _) = device.connect(self.address()).await;
        client.segment(segment).await;
        client.refusal().await.code
    }

    /// The handshake, or the first call after it, must fail.
    async fn cut(&self, tls: rustls::ClientConfig, name: &str) -> String {
        let before = self.size();
        let refused = match Client::open(self.address(), tls, name).await {
            Err(refused) => refused.0,
            Ok(mut client) => client.try_next().await.expect_err("the stream must not live").to_string(),
        };
        assert_eq!(self.size(), before);
        refused
    }
}

fn impostor(leaf: KeyedLeaf, lab: &Lab) -> Device {
    Device::of(DeviceId([9; 16]), leaf, &lab.root)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_another_authority_or_role_ends_in_tls() {
    let target = Target::new().await;
    let other = Lab::new();
    let mut stranger = other.device();
    stranger.root = CertificateDer::from_pem_slice(target.lab.root.as_bytes()).unwrap();
    target.cut(stranger.tls(), UPLINK_NAME).await;

    let now = OffsetDateTime::now_utc();
    let id = DeviceId([9; 16]);
    let collector = target.lab.collectors.issue_with_key(TENANT, &id, &[], now).unwrap();
    target.cut(impostor(collector, &target.lab).tls(), UPLINK_NAME).await;
    let foreign = target.lab.devices.issue_with_key("other", &id, DEVICE_LIFE, now).unwrap();
    target.cut(impostor(foreign, &target.lab).tls(), UPLINK_NAME).await;

    let device = target.lab.device();
    let mut anonymous = tls_builder(&device.root).with_no_client_auth();
    anonymous.alpn_protocols = vec![b"h2".to_vec()];
    target.cut(anonymous, UPLINK_NAME).await;
    target.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_does_not_start_with_a_device_certificate() {
    let lab = Lab::new();
    let now = OffsetDateTime::now_utc();
    let leaf = lab.devices.issue_with_key(TENANT, &DeviceId([9; 16]), DEVICE_LIFE, now).unwrap();
    std::fs::write(&lab.config.certificate, leaf.chain).unwrap();
    std::fs::write(&lab.config.key, leaf.key).unwrap();
    let error = format!("{:#}", server::start(&lab.config).await.unwrap_err());
    assert!(error.contains("not a collector's certificate"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_outside_its_dates_is_answered_in_band() {
    let target = Target::new().await;
    let now = OffsetDateTime::now_utc();
    let early = target.lab.device_at(now + time::Duration::days(10));
    assert_eq!(target.hello_code(&early).await, "certificate_not_yet_valid");
    let minute = time::Duration::seconds(60);
    let leaf = target.lab.devices.issue_with_key(TENANT, &DeviceId([9; 16]), -minute, now).unwrap();
    assert_eq!(target.hello_code(&impostor(leaf, &target.lab)).await, "certificate_expired");
    assert_eq!(target.size(), 1);
    target.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_name_protocol_or_version_ends_in_tls() {
    let target = Target::new().await;
    let device = target.lab.device();
    for name in [ENROL_NAME, "collector.example", "127.0.0.1"] {
        target.cut(device.tls(), name).await;
    }
    let mut nameless = device.tls();
    nameless.enable_sni = false;
    target.cut(nameless, UPLINK_NAME).await;
    let mut mute = device.tls();
    mute.alpn_protocols.clear();
    target.cut(mute, UPLINK_NAME).await;
    let mut http1 = device.tls();
    http1.alpn_protocols = vec![b"http/1.1".to_vec()];
    target.cut(http1, UPLINK_NAME).await;
    device.connect(target.address()).await;
    target.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_handshake_is_ever_resumed() {
    let target = Target::new().await;
    let device = target.lab.device();
    let tls = Arc::new(device.tls());
    for _ in 0..3 {
        let tcp = TcpStream::connect(target.address()).await.unwrap();
        let connector = tokio_rustls::TlsConnector::from(Arc::clone(&tls));
        let name = ServerName::try_from(UPLINK_NAME).unwrap();
        let mut stream = connector.connect(name, tcp).await.unwrap();
        assert_eq!(stream.get_ref().1.handshake_kind(), Some(rustls::HandshakeKind::Full));
        // The server's settings have come: a ticket would have come before them.
        let mut byte = [0];
        stream.read_exact(&mut byte).await.unwrap();
        assert_eq!(stream.get_ref().1.tls13_tickets_received(), 0);
    }
    target.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_text_is_cut_off() {
    let target = Target::new().await;
    for greeting in ["PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "GET / HTTP/1.1\r\n\r\n", "\0\0\0\0\0\0\0\0\0\0\0\0"] {
        let mut tcp = TcpStream::connect(target.address()).await.unwrap();
        tcp.write_all(greeting.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let end = tokio::time::timeout(PATIENCE, tcp.read_to_end(&mut answer)).await.expect("it is cut off");
        // A reset is as good an end.
        let _ = end;
        assert!(answer.len() < 16, "nothing but an alert is answered: {answer:?}");
    }
    assert_eq!(target.size(), 1);
    target.running.stop().await;
}

fn client_hello(device: &Device) -> Vec<u8> {
    let name = ServerName::try_from(UPLINK_NAME).unwrap();
    let mut connection = rustls::ClientConnection::new(Arc::new(device.tls()), name).unwrap();
    let mut bytes = Vec::new();
    connection.write_tls(&mut bytes).unwrap();
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn half_open_handshakes_keep_nobody_out() {
    let target = Target::new().await;
    let mut silent = Vec::new();
    for number in 0..400 {
        let mut tcp = TcpStream::connect(target.address()).await.unwrap();
        if number % 2 == 0 {
            // A sound ClientHello, and then nothing.
            tcp.write_all(&client_hello(&target.lab.device())).await.unwrap();
        }
        silent.push(tcp);
    }
    let (mut device, mut client) = target.known_device().await;
    for number in 2..20 {
        let segment = device.seal(Lane::Urgent, &[finding(number)]);
        client.segment(&segment).await;
        silent.push(TcpStream::connect(target.address()).await.unwrap());
    }
    client.receipt_through(Lane::Urgent, 18).await;
    // Another agent from the same address still gets in at once.
    let other = target.lab.device();
    tokio::time::timeout(Duration::from_secs(4), other.connect(target.address())).await.expect("not kept out");
    drop(silent);
    target.running.stop().await;
}

/// What somebody offers in a handshake for enrolment.
fn enrolment_tls(lab: &Lab) -> rustls::ClientConfig {
    let root = CertificateDer::from_pem_slice(lab.root.as_bytes()).unwrap();
    let mut tls = tls_builder(&root).with_no_client_auth();
    tls.alpn_protocols = vec![b"h2".to_vec()];
    tls
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_says_nothing_is_let_go() {
    async fn ended(mut stream: impl AsyncRead + Unpin) {
        // A reset is as good an end.
        let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut Vec::new())).await.expect("it is let go");
    }
    let target = Target::new().await;
    let silent = TcpStream::connect(target.address()).await.unwrap();
    let mut half_open = TcpStream::connect(target.address()).await.unwrap();
    half_open.write_all(&client_hello(&target.lab.device())).await.unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(enrolment_tls(&target.lab)));
    let tcp = TcpStream::connect(target.address()).await.unwrap();
    let without_question = connector.connect(ServerName::try_from(ENROL_NAME).unwrap(), tcp).await.unwrap();
    tokio::join!(ended(silent), ended(half_open), ended(without_question));
    target.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_guesses_tokens_is_told_to_wait_and_keeps_no_device_out() {
    let target = Target::new().await;
    let channel = channel(target.address(), enrolment_tls(&target.lab), ENROL_NAME).await.unwrap();
    let mut guessing = EnrolmentClient::new(channel);
    let mut codes = Vec::new();
    while codes.len() < 1000 && codes.last().is_none_or(|code| code != "busy") {
        let answer = guessing.enrol(EnrolRequest { protocol: 1, ..EnrolRequest::default() }).await.unwrap();
        let Some(enrol_answer::Kind::Refusal(refusal)) = answer.into_inner().kind else { panic!("enrolled") };
        codes.push(refusal.code);
    }
    assert_eq!(codes.first().unwrap(), "token_unknown");
    assert_eq!(codes.last().unwrap(), "busy");
    target.known_device().await;
    target.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hello_must_name_the_certificates_device_and_tenant() {
    let target = Target::new().await;
    let mut liar = target.lab.device();
    liar.id = DeviceId([7; 16]);
    assert_eq!(target.hello_code(&liar).await, "wrong_device");
    let mut other = target.lab.device();
    other.tenant = "other".into();
    assert_eq!(target.hello_code(&other).await, "wrong_tenant");
    assert_eq!(target.size(), 1);
    target.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_device_speaks_for_another() {
    let target = Target::new().await;
    let (a, mut b) = (target.lab.device(), target.lab.device());
    let of_b = b.seal(Lane::Urgent, &[finding(1)]);
    assert_eq!(target.segment_code(&a, &of_b).await, "wrong_device", "B's own segment");
    let as_b = a.seal_as(b.id, TENANT, Head::start(a.epoch), Lane::Urgent, &[finding(1)]).segment;
    assert_eq!(target.segment_code(&a, &as_b).await, "wrong_device", "B's name under A's key");
    let elsewhere = a.seal_as(a.id, "other", Head::start(a.epoch), Lane::Urgent, &[finding(1)]).segment;
    assert_eq!(target.segment_code(&a, &elsewhere).await, "wrong_tenant");
    let mut borrowed = target.lab.device();
    borrowed.id = a.id;
    let unknown_key = borrowed.seal(Lane::Urgent, &[finding(1)]);
    assert_eq!(target.segment_code(&a, &unknown_key).await, "key_unknown");
    assert_eq!(target.size(), 1);
    target.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_altered_byte_is_stored() {
    let target = Target::new().await;
    let device = target.lab.device();
    let sound = device.seal_at(Head::start(device.epoch), Lane::Urgent, &[finding(1), finding(2)]).segment;
    let statement = |change: fn(&mut Statement)| {
        let mut statement = Statement::decode(&sound.statement[..]).unwrap();
        change(&mut statement);
        Segment { statement: statement.encode_to_vec(), ..sound.clone() }
    };
    let mut payload = sound.clone();
    payload.payload[30] ^= 1;
    let mut signature = sound.clone();
    *signature.signature.last_mut().unwrap() ^= 1;
    let cases = [
        (payload, "payload_altered"),
        (signature, "signature_invalid"),
        (statement(|s| s.agent_version = "9".into()), "signature_invalid"),
        (statement(|s| s.record_count = 1), "signature_invalid"),
        (statement(|s| s.format = 2), "format_unsupported"),
        (statement(|s| s.compression = 1), "format_unsupported"),
        (statement(|s| s.lane = 0), "malformed"),
        (statement(|s| s.agent_version = "x".repeat(4000)), "too_large"),
        (Segment::default(), "format_unsupported"),
        (Segment { statement: vec![0xff; 40], ..sound.clone() }, "malformed"),
        (Segment { payload: vec![0; SEGMENT_BYTES_MAX + 1], ..sound.clone() }, "too_large"),
    ];
    for (number, (segment, code)) in cases.iter().enumerate() {
        assert_eq!(target.segment_code(&device, segment).await, *code, "case {number}");
    }
    let huge = Segment { payload: vec![0; MESSAGE_BYTES_MAX], ..sound.clone() };
    assert_eq!(target.segment_code(&device, &huge).await, "too_large", "longer than any message");
    assert_eq!(target.size(), 1);
    let (mut client, _) = device.connect(target.address()).await;
    client.segment(&sound).await;
    client.receipt_through(Lane::Urgent, 0).await;
    assert_eq!(target.size(), 3, "a key and a segment");
    target.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_is_receipted_and_not_stored_again() {
    let target = Target::new().await;
    let mut device = target.lab.device();
    let (mut client, _) = device.connect(target.address()).await;
    let segments: Vec<Segment> = (0..3).map(|n| device.seal(Lane::Bulk, &[finding(n)])).collect();
    for segment in &segments {
        client.segment(segment).await;
    }
    let last = client.receipt_through(Lane::Bulk, 2).await;
    let size = target.size();
    for segment in &segments {
        client.segment(segment).await;
        let again = client.receipt().await;
        assert_eq!((again.through_sequence, &again.statement_digest), (2, &last.statement_digest));
    }
    // Signed anew, the statement is the same one: a signature is not its identity.
    let mut resigned = segments[1].clone();
    resigned.signature = {
        use watchpost_proto::keys::SigningKey as _;
        let framed = watchpost_proto::digest::framed("watchpost/statement", &[&resigned.statement]);
        device.key.sign(&framed).unwrap()
    };
    assert_ne!(resigned.signature, segments[1].signature);
    client.segment(&resigned).await;
    assert_eq!(client.receipt().await.through_sequence, 2);
    assert_eq!(target.size(), size);
    target.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gap_is_answered_with_what_is_expected() {
    let target = Target::new().await;
    let (mut device, mut client) = target.known_device().await;
    let size = target.size();
    let (second, third) = (device.seal(Lane::Urgent, &[finding(2)]), device.seal(Lane::Urgent, &[finding(3)]));
    client.segment(&third).await;
    let Some(collector_message::Kind::Heads(heads)) = client.next().await else { panic!("no heads") };
    assert_eq!(heads.lanes.len(), 1);
    assert_eq!((heads.lanes[0].lane(), heads.lanes[0].next_sequence), (Lane::Urgent, 1));
    assert_eq!(target.size(), size);
    client.segment(&second).await;
    client.segment(&third).await;
    client.receipt_through(Lane::Urgent, 2).await;
    target.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_out_of_turn_end_the_stream() {
    let target = Target::new().await;
    let mut device = target.lab.device();
    let segment = device.seal(Lane::Urgent, &[finding(1)]);
    let mut early = Client::open(target.address(), device.tls(), UPLINK_NAME).await.unwrap();
    early.segment(&segment).await;
    assert_eq!(early.refusal().await.code, "out_of_turn", "a segment before Hello");

    let mut unready = Client::open(target.address(), device.tls(), UPLINK_NAME).await.unwrap();
    unready.send(agent_message::Kind::Hello(device.hello())).await;
    unready.welcome().await;
    unready.segment(&segment).await;
    assert_eq!(unready.refusal().await.code, "out_of_turn", "a segment before Ready");

    let mut guessing = Client::open(target.address(), device.tls(), UPLINK_NAME).await.unwrap();
    guessing.send(agent_message::Kind::Hello(device.hello())).await;
    guessing.welcome().await;
    guessing.send(agent_message::Kind::Ready(Ready { nonce: vec![0; 16] })).await;
    assert_eq!(guessing.refusal().await.code, "out_of_turn", "another nonce");

    let mut later = device.hello();
    later.protocol = 2;
    let mut client = Client::open(target.address(), device.tls(), UPLINK_NAME).await.unwrap();
    client.send(agent_message::Kind::Hello(later)).await;
    assert_eq!(client.refusal().await.code, "protocol_unsupported");
    assert_eq!(target.size(), 1);
    target.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_is_kept_and_its_device_quarantined_but_still_heard() {
    let target = Target::new().await;
    let (mut device, client) = target.known_device().await;
    drop(client);
    let size = target.size();
    let other = device.seal_at(Head::start(device.epoch), Lane::Urgent, &[finding(99)]).segment;
    assert_eq!(target.segment_code(&device, &other).await, "fork");
    assert_eq!(target.size(), size + 2, "the fork and the quarantine");
    assert_eq!(target.segment_code(&device, &other).await, "fork");
    assert_eq!(target.size(), size + 2, "once");

    let mut clone = Head::start(device.epoch);
    clone.next = 1;
    clone.digest = Some(watchpost_proto::Digest([1; 32]));
    let continued = device.seal_at(clone, Lane::Urgent, &[finding(98)]).segment;
    assert_eq!(target.segment_code(&device, &continued).await, "fork", "next by number, of another chain");
    assert_eq!(target.size(), size + 3, "no second quarantine");

    device.heads[0] = Head { digest: Some(watchpost_proto::Digest([1; 32])), ..device.heads[0] };
    let (_client, welcome) = device.connect(target.address()).await;
    assert_eq!(welcome.lanes[0].standing(), Standing::Diverged);
    device.new_epoch();
    let (mut client, welcome) = device.connect(target.address()).await;
    assert_eq!(welcome.lanes[0].standing(), Standing::Ahead);
    let segment = device.seal(Lane::Urgent, &[finding(2)]);
    client.segment(&segment).await;
    client.receipt_through(Lane::Urgent, 0).await;
    target.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_living_processes_are_a_clone_and_a_restart_is_none() {
    let target = Target::new().await;
    let quarantined = |size: u64| target.size() > size;
    let (mut a, first) = target.known_device().await;
    let size = target.size();
    let (instance_a, instance_b) = (a.instance, [2; 16]);
    let mut streams = vec![first];
    for (instance, clone) in [(instance_b, false), (instance_a, false), (instance_b, true)] {
        a.instance = instance;
        let (stream, _) = a.connect(target.address()).await;
        let mut displaced = streams.pop().unwrap();
        assert_eq!(displaced.refusal().await.code, "superseded");
        streams.push(stream);
        // An answer shows that Ready was taken.
        let live = streams.last_mut().unwrap();
        live.heartbeat().await;
        assert!(matches!(live.next().await, Some(collector_message::Kind::HeartbeatReply(_))));
        assert_eq!(quarantined(size), clone);
    }
    target.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_device_is_told_so_at_hello_and_in_the_middle() {
    use watchpost_collector::chain::Deed;
    use watchpost_proto::v1::DeviceVerb;
    let target = Target::new().await;
    let (mut device, mut client) = target.known_device().await;
    let deed = |verb| Deed { device: device.id, verb, by: "test".into(), reason: "stolen".into(), at_ms: 1 };
    let (revoke, readmit) = (deed(DeviceVerb::Revoke), deed(DeviceVerb::Readmit));
    assert!(target.running.sequencer().act(revoke.clone()).await.unwrap().is_some());
    assert!(target.running.sequencer().act(revoke).await.unwrap().is_none(), "twice is once");
    let size = target.size();
    let segment = device.seal(Lane::Urgent, &[finding(2)]);
    client.segment(&segment).await;
    assert_eq!(client.refusal().await.code, "device_revoked", "an open stream");
    assert_eq!(target.hello_code(&device).await, "device_revoked");
    assert_eq!(target.size(), size);
    target.running.sequencer().act(readmit).await.unwrap();
    let (mut client, _) = device.connect(target.address()).await;
    client.segment(&segment).await;
    client.receipt_through(Lane::Urgent, 1).await;
    target.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_device_is_cut_off_though_it_says_nothing_and_is_handed_nothing() {
    use watchpost_collector::chain::Deed;
    use watchpost_proto::v1::DeviceVerb;
    let target = Target::new().await;
    let (device, mut client) = target.known_device().await;
    let deed = Deed { device: device.id, verb: DeviceVerb::Revoke, by: "test".into(), reason: "lost".into(), at_ms: 1 };
    target.running.sequencer().act(deed).await.unwrap();
    assert_eq!(client.refusal().await.code, "device_revoked");
    let mut uplink = UplinkClient::new(channel(target.address(), device.tls(), UPLINK_NAME).await.unwrap());
    let policy = uplink.policy(PolicyRequest::default()).await.unwrap_err();
    assert_eq!(policy.code(), tonic::Code::PermissionDenied);
    let roster = uplink.roster(RosterRequest::default()).await.unwrap_err();
    assert_eq!(roster.code(), tonic::Code::PermissionDenied);
    target.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_is_announced_in_band() {
    let target = Target::new().await;
    let (_device, mut client) = target.known_device().await;
    let stopped = tokio::time::timeout(Duration::from_secs(2), target.running.stop());
    let (refusal, in_time) = tokio::join!(client.refusal(), stopped);
    assert_eq!(refusal.code, "stopping");
    in_time.expect("stopped within two seconds");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_data_folder_has_one_collector() {
    let target = Target::new().await;
    let error = server::start(&target.lab.config).await.unwrap_err().to_string();
    assert!(error.contains("another collector is running"), "{error}");
    target.running.stop().await;
}

#[test]
fn a_package_refuses_a_development_root() {
    let lab = Lab::new();
    let der = CertificateDer::from_pem_slice(lab.root.as_bytes()).unwrap();
    assert!(watchpost_proto::identity::is_development_root(&der));
    let refused = watchpost_collector::credentials::trusted(&lab.config.root).is_err();
    assert_eq!(refused, !cfg!(feature = "dev-ca"));
}
