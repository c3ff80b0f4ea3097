//! Collectors that are not what they say: an agent keeps everything until a receipt is signed by a collector under its
//! pinned root and names exactly what it sealed.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context as Poller, Poll};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Server;
use tonic::transport::server::Connected;
use tonic::{Request, Response, Status, Streaming};
use watchpost_proto::keys::{SigningKey, SoftwareKey};
use watchpost_proto::note::{Checkpoint, LogSigner, origin};
use watchpost_proto::segment::read_statement;
use watchpost_proto::v1::uplink_server::{Uplink, UplinkServer};
use watchpost_proto::v1::{
    AgentMessage, CollectorMessage, Held, Lane, LaneHead, LaneWelcome, LogKey, PolicyPart, PolicyRequest, Receipt,
    RenewAnswer, RenewRequest, RosterPart, RosterRequest, Segment, SignedReceipt, Welcome, agent_message,
    collector_message,
};
use watchpost_proto::{Digest, LogId, digest, receipt};
use watchpost_tests::corpus::{Corpus, Settings};
use watchpost_tests::lab::{Lab, finding_names};

const PATIENCE: Duration = Duration::from_secs(60);

/// What a rogue does wrong; everything else about it is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Forgery {
    /// Receipts come with the chain of a device.
    DeviceChain,
    /// The log key is introduced by somebody else.
    OtherLogKey,
    /// The checkpoint is signed by another log key.
    OtherCheckpoint,
    /// Receipts are signed by a key without a certificate.
    OtherKey,
    /// Receipts name another statement.
    OtherStatement,
    /// Receipts name another device.
    OtherDevice,
    /// Only `held` is sent, as a relay does.
    HeldOnly,
}

const FORGERIES: [Forgery; 7] = [
    Forgery::DeviceChain,
    Forgery::OtherLogKey,
    Forgery::OtherCheckpoint,
    Forgery::OtherKey,
    Forgery::OtherStatement,
    Forgery::OtherDevice,
    Forgery::HeldOnly,
];

#[derive(Clone)]
struct Rogue {
    forgery: Forgery,
    chain: Vec<Vec<u8>>,
    key: Arc<SoftwareKey>,
    stranger: Arc<SoftwareKey>,
    log: Arc<LogSigner>,
    /// Streams welcomed, and segments answered.
    welcomed: Arc<AtomicU64>,
    answered: Arc<AtomicU64>,
}

#[tonic::async_trait]
impl Uplink for Rogue {
    type SyncStream = ReceiverStream<Result<CollectorMessage, Status>>;

    async fn sync(&self, request: Request<Streaming<AgentMessage>>) -> Result<Response<Self::SyncStream>, Status> {
        let mut incoming = request.into_inner();
        let (send, outgoing) = tokio::sync::mpsc::channel(16);
        let rogue = self.clone();
        tokio::spawn(async move {
            while let Ok(Some(AgentMessage { kind: Some(kind) })) = incoming.message().await {
                let answer = match kind {
                    agent_message::Kind::Hello(_) => {
                        rogue.welcomed.fetch_add(1, Ordering::SeqCst);
                        collector_message::Kind::Welcome(rogue.welcome())
                    }
                    agent_message::Kind::Segment(segment) => {
                        rogue.answered.fetch_add(1, Ordering::SeqCst);
                        rogue.answer(&segment)
                    }
                    _ => continue,
                };
                if send.send(Ok(CollectorMessage { kind: Some(answer) })).await.is_err() {
                    return;
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(outgoing)))
    }

    type PolicyStream = ReceiverStream<Result<PolicyPart, Status>>;

    async fn policy(&self, _: Request<PolicyRequest>) -> Result<Response<Self::PolicyStream>, Status> {
        Err(Status::unimplemented("not this one's business"))
    }

    type RosterStream = ReceiverStream<Result<RosterPart, Status>>;

    async fn roster(&self, _: Request<RosterRequest>) -> Result<Response<Self::RosterStream>, Status> {
        Err(Status::unimplemented("not this one's business"))
    }

    async fn renew(&self, _: Request<RenewRequest>) -> Result<Response<RenewAnswer>, Status> {
        Err(Status::unimplemented("not this one's business"))
    }
}

impl Rogue {
    fn welcome(&self) -> Welcome {
        let log_id = LogId([5; 16]);
        let origin = origin("demo", &log_id);
        let log_key = LogKey {
            format: receipt::FORMAT,
            tenant: "demo".into(),
            log_id: log_id.to_vec(),
            origin: origin.clone(),
            ed25519: self.log.public().to_vec(),
            ..LogKey::default()
        };
        let introducer = if self.forgery == Forgery::OtherLogKey { &self.stranger } else { &self.key };
        let other = LogSigner::generate().unwrap().0;
        let signer = if self.forgery == Forgery::OtherCheckpoint { &other } else { &*self.log };
        Welcome {
            server_ms: 1_795_000_000_000,
            nonce: vec![1; 16],
            log_id: log_id.to_vec(),
            lanes: [Lane::Urgent, Lane::Bulk].map(empty_lane).to_vec(),
            checkpoint: signer.sign(&Checkpoint { origin, size: 1, root: Digest([1; 32]) }),
            signer_chain: self.chain.clone(),
            log_key: Some(receipt::sign_log_key(&log_key, &**introducer).unwrap()),
            ..Welcome::default()
        }
    }

    fn answer(&self, segment: &Segment) -> collector_message::Kind {
        let read = read_statement(&segment.statement).unwrap();
        let (lane, epoch, through_sequence) = (read.lane.into(), read.epoch.to_vec(), read.statement.sequence);
        if self.forgery == Forgery::HeldOnly {
            return collector_message::Kind::Held(Held { lane, epoch, through_sequence });
        }
        let statement_digest = match self.forgery {
            Forgery::OtherStatement => digest::sha256(&[b"other"]),
            _ => read.digest,
        };
        let device = if self.forgery == Forgery::OtherDevice { vec![9; 16] } else { read.device.to_vec() };
        let receipt = Receipt {
            format: receipt::FORMAT,
            tenant: "demo".into(),
            device,
            epoch,
            lane,
            through_sequence,
            statement_digest: statement_digest.to_vec(),
            received_at_ms: 1_795_000_000_000,
            checkpoint: String::new(),
            log_id: vec![5; 16],
        };
        let key: &SoftwareKey = if self.forgery == Forgery::OtherKey { &self.stranger } else { &self.key };
        let mut signed: SignedReceipt = receipt::sign_receipt(&receipt, key).unwrap();
        // Claiming the right key does not help.
        signed.key_id = self.key.public().id().to_vec();
        collector_message::Kind::Receipt(signed)
    }
}

fn empty_lane(lane: Lane) -> LaneWelcome {
    let held = LaneHead { lane: lane.into(), ..LaneHead::default() };
    LaneWelcome { held: Some(held), credit: 8, ..LaneWelcome::default() }
}

/// Serves a rogue with the identity of the lab's own collector, so that the handshake is sound.
async fn serve(collector: &Path, device: &Path, forgery: Forgery) -> anyhow::Result<(SocketAddr, Rogue)> {
    let chain: Vec<CertificateDer<'static>> =
        CertificateDer::pem_file_iter(collector.join("pki/collector.crt"))?.collect::<Result<_, _>>()?;
    let key_der = PrivatePkcs8KeyDer::from_pem_file(collector.join("pki/collector.key"))?;
    let shown =
        if forgery == Forgery::DeviceChain { device.join("device.crt") } else { collector.join("pki/collector.crt") };
    let shown: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(shown)?.collect::<Result<_, _>>()?;
    let rogue = Rogue {
        forgery,
        chain: shown.iter().map(|der| der.to_vec()).collect(),
        key: Arc::new(SoftwareKey::from_pkcs8(key_der.secret_pkcs8_der())?),
        stranger: Arc::new(SoftwareKey::generate()?.0),
        log: Arc::new(LogSigner::generate()?.0),
        welcomed: Arc::default(),
        answered: Arc::default(),
    };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(chain, PrivateKeyDer::Pkcs8(key_der))?;
    tls.alpn_protocols = vec![b"h2".to_vec()];
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let (send, incoming) = tokio::sync::mpsc::channel(8);
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            if let Ok(stream) = TlsAcceptor::from(Arc::new(tls.clone())).accept(socket).await {
                let _ = send.send(Ok::<_, std::io::Error>(Io(stream))).await;
            }
        }
    });
    let service = UplinkServer::new(rogue.clone());
    tokio::spawn(Server::builder().add_service(service).serve_with_incoming(ReceiverStream::new(incoming)));
    Ok((address, rogue))
}

/// What tonic wants to know of a connection: nothing.
struct Io(TlsStream<TcpStream>);

impl Connected for Io {
    type ConnectInfo = ();
    fn connect_info(&self) {}
}

impl AsyncRead for Io {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Poller<'_>, out: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, out)
    }
}

impl AsyncWrite for Io {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Poller<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Poller<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Poller<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

fn receipted(lab: &Lab) -> anyhow::Result<(usize, usize)> {
    let segments = lab.agents[0].command_configured(&["outbox", "inspect", "--json"])?.json_lines()?;
    let receipted = segments.iter().filter(|segment| !segment["receipted_ms"].is_null()).count();
    Ok((segments.len(), receipted))
}

fn findings_export() -> String {
    Corpus::new(Settings { messages: 50, planted_one_in: 5, ..Settings::default() }).text(0..50)
}

#[test]
fn no_forged_answer_deletes_anything_and_an_honest_collector_then_gets_all() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    let mut lab = Lab::new(1)?;
    lab.agents[0].configure("127.0.0.1:1".parse()?, "")?;
    lab.agents[0].drop_export("a.jsonl", findings_export().as_bytes())?;
    lab.agents[0].start()?;
    lab.wait_until("something is sealed", PATIENCE, || Ok(receipted(&lab)?.0 > 0))?;
    lab.agents[0].stop()?;
    for forgery in FORGERIES {
        let (address, rogue) =
            runtime.block_on(serve(lab.collector.dir(), lab.agents[0].dir(), forgery)).context("the rogue")?;
        lab.agents[0].configure(address, "")?;
        lab.agents[0].start()?;
        // Seen twice: the agent has acted on the first forgery and come back. One that is only `held` stays connected.
        lab.wait_until("the rogue has answered", PATIENCE, || {
            let twice = rogue.welcomed.load(Ordering::SeqCst) >= 2;
            Ok(twice || (forgery == Forgery::HeldOnly && rogue.answered.load(Ordering::SeqCst) >= 1))
        })
        .with_context(|| format!("{forgery:?}"))?;
        let before_segments = matches!(forgery, Forgery::DeviceChain | Forgery::OtherLogKey | Forgery::OtherCheckpoint);
        let answered = rogue.answered.load(Ordering::SeqCst);
        ensure!(before_segments == (answered == 0), "{forgery:?}: {answered} segments were sent");
        ensure!(receipted(&lab)?.1 == 0, "{forgery:?}: something counts as receipted");
        lab.agents[0].stop()?;
    }
    let expected = finding_names(&lab.agents[0].scan(&[&lab.agents[0].exports()])?)?;
    lab.start()?;
    lab.wait_until("all findings arrive", PATIENCE, || {
        Ok(finding_names(&lab.collector.json(&["finding", "list"])?)? == expected)
    })
}

#[test]
fn a_collector_of_another_authority_gets_nothing() -> anyhow::Result<()> {
    let mut lab = Lab::new(1)?;
    let mut other = Lab::new(1)?;
    let address = other.collector.start()?;
    lab.agents[0].configure(address, "")?;
    lab.agents[0].drop_export("a.jsonl", findings_export().as_bytes())?;
    lab.agents[0].start()?;
    lab.wait_until("the agent has refused it", PATIENCE, || {
        Ok(lab.agents[0].log().contains("is not the collector this device trusts"))
    })?;
    lab.wait_until("something is sealed", PATIENCE, || Ok(receipted(&lab)?.0 > 0))?;
    ensure!(receipted(&lab)?.1 == 0);
    ensure!(other.collector.json(&["device", "list"])?.is_empty(), "the other collector has taken the device in");
    Ok(())
}
