//! A collector in this process on a real socket, and agents that do exactly what a test tells them to.

#![allow(dead_code, reason = "every test binary uses its part")]
#![allow(unreachable_pub, reason = "shared by test binaries")]

pub mod console;
pub mod offline;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use time::OffsetDateTime;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Status, Streaming};
use uuid::Uuid;
use watchpost_collector::commands::init::{self, LaidOut, Plan};
use watchpost_collector::config::Config;
use watchpost_collector::credentials::provider;
use watchpost_collector::pki::{CollectorCa, DEVICE_LIFE, DeviceCa, KeyedLeaf, Purpose};
use watchpost_collector::server::{self, Running};
use watchpost_proto::identity::UPLINK_NAME;
use watchpost_proto::keys::{SigningKey, SoftwareKey};
use watchpost_proto::segment::{Head, Seal, Sealed, seal};
use watchpost_proto::v1::uplink_client::UplinkClient;
use watchpost_proto::v1::{
    AgentMessage, Clocks, CollectorMessage, EpochStart, Finding, Heartbeat, Hello, Lane, LaneHead, Level, Ready,
    Receipt, Refusal, RuleStatus, Segment, Summary, Welcome, agent_message, collector_message, summary,
};
use watchpost_proto::{DeviceId, EpochId, receipt, record};

pub const TENANT: &str = "test";
/// Long enough for a loaded machine; no test waits for it when things go right.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A folder as `init` makes it, and the authorities to mint with.
pub struct Lab {
    pub folder: TempDir,
    pub config: Config,
    pub root: String,
    pub devices: DeviceCa,
    pub collectors: CollectorCa,
}

impl Lab {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("collector");
        let plan =
            Plan { tenant: TENANT, listen: "127.0.0.1:0".parse().unwrap(), names: &[], purpose: Purpose::Development };
        let LaidOut { root, devices, .. } = init::lay_out(&dir, &plan, OffsetDateTime::now_utc()).unwrap();
        let config = Config::load(&dir.join("collector.toml")).unwrap();
        let read = |name: &str| std::fs::read_to_string(dir.join("pki").join(name)).unwrap();
        let collectors = CollectorCa::from_pem(&read("collectors.crt"), &read("collectors.key")).unwrap();
        Self { folder, config, root, devices, collectors }
    }

    pub fn dir(&self) -> &Path {
        self.folder.path()
    }

    pub async fn start(&self) -> Running {
        server::start(&self.config).await.unwrap()
    }

    pub fn device(&self) -> Device {
        self.device_at(OffsetDateTime::now_utc())
    }

    /// A device whose certificate was made at `now`.
    pub fn device_at(&self, now: OffsetDateTime) -> Device {
        let id = DeviceId(*Uuid::new_v4().as_bytes());
        Device::of(id, self.devices.issue_with_key(TENANT, &id, DEVICE_LIFE, now).unwrap(), &self.root)
    }
}

/// A device with its key, and where its chains stand.
pub struct Device {
    pub id: DeviceId,
    pub tenant: String,
    pub key: SoftwareKey,
    pub chain: Vec<CertificateDer<'static>>,
    pub key_der: PrivateKeyDer<'static>,
    pub root: CertificateDer<'static>,
    pub epoch: EpochId,
    pub instance: [u8; 16],
    pub heads: [Head; 2],
    /// What its clock says.
    pub wall_ms: i64,
}

impl Device {
    pub fn of(id: DeviceId, leaf: KeyedLeaf, root: &str) -> Self {
        let key_der = PrivateKeyDer::from_pem_slice(leaf.key.as_bytes()).unwrap();
        let epoch = EpochId(*Uuid::new_v4().as_bytes());
        Self {
            id,
            tenant: TENANT.into(),
            key: SoftwareKey::from_pkcs8(key_der.secret_der()).unwrap(),
            chain: CertificateDer::pem_slice_iter(leaf.chain.as_bytes()).map(Result::unwrap).collect(),
            key_der,
            root: CertificateDer::from_pem_slice(root.as_bytes()).unwrap(),
            epoch,
            instance: *Uuid::new_v4().as_bytes(),
            heads: [Head::start(epoch); 2],
            wall_ms: 1,
        }
    }

    pub fn new_epoch(&mut self) {
        self.epoch = EpochId(*Uuid::new_v4().as_bytes());
        self.heads = [Head::start(self.epoch); 2];
    }

    pub fn head(&mut self, lane: Lane) -> &mut Head {
        &mut self.heads[usize::from(lane == Lane::Bulk)]
    }

    /// Seals the next segment of a lane and moves on.
    pub fn seal(&mut self, lane: Lane, summaries: &[Summary]) -> Segment {
        let head = *self.head(lane);
        let sealed = self.seal_at(head, lane, summaries);
        *self.head(lane) = sealed.head;
        sealed.segment
    }

    /// Seals after any head, without moving on.
    pub fn seal_at(&self, head: Head, lane: Lane, summaries: &[Summary]) -> Sealed {
        self.seal_as(self.id, &self.tenant, head, lane, summaries)
    }

    pub fn seal_as(&self, device: DeviceId, tenant: &str, head: Head, lane: Lane, summaries: &[Summary]) -> Sealed {
        let records: Vec<Vec<u8>> =
            summaries.iter().map(|summary| record::encode(summary, *Uuid::new_v4().as_bytes()).unwrap()).collect();
        let what = Seal {
            tenant,
            device,
            lane,
            head,
            epoch_start: (head.next == 0).then(EpochStart::default),
            clocks: Clocks { wall_ms: self.wall_ms, ..Clocks::default() },
            agent_version: "0.1.0-test",
        };
        seal(&what, &records, &self.key).unwrap()
    }

    pub fn hello(&self) -> Hello {
        let lanes = [Lane::Urgent, Lane::Bulk].into_iter().zip(self.heads).map(|(lane, head)| LaneHead {
            lane: lane.into(),
            epoch: head.epoch.to_vec(),
            next_sequence: head.next,
            head: head.digest.map(|digest| digest.to_vec()).unwrap_or_default(),
        });
        Hello {
            protocol: 1,
            tenant: self.tenant.clone(),
            device: self.id.to_vec(),
            instance: self.instance.to_vec(),
            agent_version: "0.1.0-test".into(),
            epoch: self.epoch.to_vec(),
            lanes: lanes.collect(),
            clocks: Some(Clocks::default()),
            checkpoint: String::new(),
            policy: Vec::new(),
            ..Hello::default()
        }
    }

    /// What an agent offers in a handshake.
    pub fn tls(&self) -> ClientConfig {
        let mut config =
            tls_builder(&self.root).with_client_auth_cert(self.chain.clone(), self.key_der.clone_key()).unwrap();
        config.alpn_protocols = vec![b"h2".to_vec()];
        config
    }

    /// Connects, says Hello and Ready.
    pub async fn connect(&self, address: SocketAddr) -> (Client, Welcome) {
        let mut client = Client::open(address, self.tls(), UPLINK_NAME).await.unwrap();
        client.send(agent_message::Kind::Hello(self.hello())).await;
        let welcome = client.welcome().await;
        client.send(agent_message::Kind::Ready(Ready { nonce: welcome.nonce.clone() })).await;
        (client, welcome)
    }
}

pub fn tls_builder(
    root: &CertificateDer<'static>,
) -> rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert> {
    let mut roots = RootCertStore::empty();
    roots.add(root.clone()).unwrap();
    ClientConfig::builder_with_provider(Arc::new(provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
}

/// One open stream.
pub struct Client {
    pub outbound: mpsc::Sender<AgentMessage>,
    pub inbound: Streaming<CollectorMessage>,
}

/// Why a stream did not come to be, with every cause.
#[derive(Debug)]
pub struct Refused(pub String);

impl Client {
    pub async fn open(address: SocketAddr, tls: ClientConfig, name: &str) -> Result<Self, Refused> {
        let channel = channel(address, tls, name).await.map_err(|error| Refused(causes(&error)))?;
        let (outbound, rx) = mpsc::channel(256);
        let mut uplink = UplinkClient::new(channel);
        let streaming = uplink.sync(ReceiverStream::new(rx));
        let answer = tokio::time::timeout(PATIENCE, streaming).await.expect("an answer in time");
        let inbound = answer.map_err(|status| Refused(causes(&status)))?.into_inner();
        Ok(Self { outbound, inbound })
    }

    pub async fn send(&self, kind: agent_message::Kind) {
        // A stream the collector has ended takes nothing; what it said is still to be read.
        let _ = self.outbound.send(AgentMessage { kind: Some(kind) }).await;
    }

    pub async fn segment(&self, segment: &Segment) {
        self.send(agent_message::Kind::Segment(segment.clone())).await;
    }

    pub async fn heartbeat(&self) {
        self.send(agent_message::Kind::Heartbeat(Heartbeat::default())).await;
    }

    pub async fn next(&mut self) -> Option<collector_message::Kind> {
        self.try_next().await.unwrap()
    }

    pub async fn try_next(&mut self) -> Result<Option<collector_message::Kind>, Status> {
        let message = tokio::time::timeout(PATIENCE, self.inbound.message()).await.expect("a message in time")?;
        Ok(message.map(|message| message.kind.expect("a kind")))
    }

    pub async fn welcome(&mut self) -> Welcome {
        match self.next().await {
            Some(collector_message::Kind::Welcome(welcome)) => welcome,
            other => panic!("no welcome but {other:?}"),
        }
    }

    pub async fn receipt(&mut self) -> Receipt {
        match self.next().await {
            Some(collector_message::Kind::Receipt(signed)) => read_receipt(&signed),
            other => panic!("no receipt but {other:?}"),
        }
    }

    /// Receipts until one reaches `sequence`.
    pub async fn receipt_through(&mut self, lane: Lane, sequence: u64) -> Receipt {
        loop {
            let receipt = self.receipt().await;
            if receipt.lane() == lane && receipt.through_sequence >= sequence {
                return receipt;
            }
        }
    }

    /// The refusal, and that the stream ends with it.
    pub async fn refusal(&mut self) -> Refusal {
        loop {
            match self.next().await {
                Some(collector_message::Kind::Refusal(refusal)) => {
                    assert!(self.next().await.is_none(), "a refusal is the last word");
                    return refusal;
                }
                Some(collector_message::Kind::Receipt(_)) => {}
                other => panic!("no refusal but {other:?}"),
            }
        }
    }
}

/// What a receipt says; whether it was signed is asked where it matters.
pub fn read_receipt(signed: &watchpost_proto::v1::SignedReceipt) -> Receipt {
    use watchpost_proto::Message as _;
    Receipt::decode(&signed.receipt[..]).unwrap()
}

/// Opens a receipt with the key of the welcome's signer chain.
pub fn open_receipt(signed: &watchpost_proto::v1::SignedReceipt, welcome: &Welcome) -> Receipt {
    let key = watchpost_proto::identity::read_certificate(&welcome.signer_chain[0]).unwrap().key;
    receipt::open_receipt(signed, &key).expect("a receipt signed by the collector")
}

pub async fn channel(address: SocketAddr, tls: ClientConfig, name: &str) -> Result<Channel, tonic::transport::Error> {
    let (tls, name) = (Arc::new(tls), ServerName::try_from(name.to_owned()).unwrap());
    let connector = tower::service_fn(move |_: tonic::transport::Uri| {
        let (tls, name) = (Arc::clone(&tls), name.clone());
        async move {
            let tcp = TcpStream::connect(address).await?;
            tcp.set_nodelay(true)?;
            let stream = tokio_rustls::TlsConnector::from(tls).connect(name, tcp).await?;
            Ok::<_, std::io::Error>(TokioIo::new(stream))
        }
    });
    Endpoint::from_static("http://uplink.watchpost.internal").connect_with_connector(connector).await
}

pub fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

/// A finding that no other call makes.
pub fn finding(number: u64) -> Summary {
    let mut id = [0; 32];
    id[..8].copy_from_slice(&number.to_be_bytes());
    let finding = Finding {
        finding_id: id.to_vec(),
        corp: "ww1".into(),
        pack: "sample".into(),
        pack_version: 1,
        rule: "sample.rule".into(),
        category: "sample".into(),
        level: Level::High.into(),
        status: RuleStatus::Live.into(),
        person: "ww1/zhang".into(),
        msgid: format!("m{number}"),
        msgtime_ms: 1_700_000_000_000,
        msgtype: "text".into(),
        from: "ww1/zhang".into(),
        to: vec!["p:1".into()],
        to_total: 1,
        excerpt: "保本".into(),
        ..Finding::default()
    };
    Summary { made_at_ms: 1, kind: Some(summary::Kind::Finding(finding)), ..Summary::default() }
}

pub fn key_id(key: &SoftwareKey) -> Vec<u8> {
    key.public().id().to_vec()
}
