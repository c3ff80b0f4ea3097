//! Connections of a device to the real collector, each with a full handshake both ways, Hello and Welcome; and beside them
//! plain TLS 1.3 handshakes, in which the server alone shows a certificate, with one byte there and back.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::{Context as _, bail};
use hyper_util::rt::TokioIo;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::NoServerSessionStorage;
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket};
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tonic::transport::{Channel, Endpoint};
use watchpost_proto::identity::{ALPN, UPLINK_NAME, read_certificate};
use watchpost_proto::v1::uplink_client::UplinkClient;
use watchpost_proto::v1::{AgentMessage, Clocks, Hello, Lane, LaneHead, agent_message, collector_message};
use watchpost_proto::{EpochId, InstanceId};

use crate::lab::Lab;

/// Connections that are made at the same time.
pub(super) const AT_ONCE: usize = 16;
/// Runs of each, in turn.
const RUNS: usize = 3;

pub(super) async fn report(lab: &Lab, collector: SocketAddr, count: usize) -> anyhow::Result<()> {
    let device = lab.agents.first().context("no device")?;
    let uplink = Arc::new(Uplink::load(device.dir(), &device.device().0, collector)?);
    let plain = plain(lab).await?;
    // Once uncounted: the log learns the device's key with its first connection.
    uplink.connect().await?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        let uplink = Arc::clone(&uplink);
        ours.push(
            many(count, move |_| {
                let uplink = Arc::clone(&uplink);
                async move { uplink.connect().await }
            })
            .await?,
        );
        let plain = plain.clone();
        theirs.push(
            many(count, move |_| {
                let plain = plain.clone();
                async move { plain.shake_hands().await }
            })
            .await?,
        );
    }
    let ratio = median(ours.iter().zip(&theirs).map(|(ours, theirs)| ours / theirs).collect());
    println!(
        "connections: {:.0}/s with Hello and Welcome, both ends on this machine; plain TLS 1.3 handshakes {:.0}/s; ratio {ratio:.2}",
        median(ours),
        median(theirs)
    );
    Ok(())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// Does something so often, several at a time; how many a second.
pub(super) async fn many<F, W>(count: usize, act: F) -> anyhow::Result<f64>
where
    F: Fn(usize) -> W + Send + Sync + 'static,
    W: Future<Output = anyhow::Result<()>> + Send,
{
    let (act, next) = (Arc::new(act), Arc::new(AtomicUsize::new(0)));
    let start = Instant::now();
    let workers: Vec<_> = (0..AT_ONCE)
        .map(|_| {
            let (act, next) = (Arc::clone(&act), Arc::clone(&next));
            tokio::spawn(async move {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        return anyhow::Ok(());
                    }
                    act(number).await?;
                }
            })
        })
        .collect();
    for worker in workers {
        worker.await??;
    }
    Ok(count as f64 / start.elapsed().as_secs_f64())
}

/// A device as it connects.
struct Uplink {
    tls: TlsConnector,
    hello: Hello,
    collector: SocketAddr,
}

impl Uplink {
    fn load(dir: &Path, device: &[u8; 16], collector: SocketAddr) -> anyhow::Result<Self> {
        let chain = certificates(&dir.join("device.crt"))?;
        let key = PrivateKeyDer::from_pem_file(dir.join("device.key"))?;
        let tenant = read_certificate(chain.first().context("no certificate")?)?.tenant;
        let tls = client(&dir.join("root.crt"))?.with_client_auth_cert(chain, key)?;
        let epoch = EpochId([0xbe; 16]);
        let lanes = [Lane::Urgent, Lane::Bulk].map(|lane| LaneHead {
            lane: lane.into(),
            epoch: epoch.to_vec(),
            next_sequence: 0,
            head: Vec::new(),
        });
        let hello = Hello {
            protocol: 1,
            tenant,
            device: device.to_vec(),
            instance: InstanceId([0xbe; 16]).to_vec(),
            agent_version: "bench".into(),
            epoch: epoch.to_vec(),
            lanes: lanes.to_vec(),
            clocks: Some(Clocks::default()),
            checkpoint: String::new(),
            policy: Vec::new(),
        };
        Ok(Self { tls: connector(tls), hello, collector })
    }

    async fn connect(&self) -> anyhow::Result<()> {
        let channel = channel(&self.tls, UPLINK_NAME, self.collector, "127.0.0.1:0".parse()?).await?;
        let mut client = UplinkClient::new(channel);
        let hello = AgentMessage { kind: Some(agent_message::Kind::Hello(self.hello.clone())) };
        let (send, outgoing) = tokio::sync::mpsc::channel(1);
        send.send(hello).await?;
        let mut incoming = client.sync(tokio_stream::wrappers::ReceiverStream::new(outgoing)).await?.into_inner();
        match incoming.message().await?.and_then(|message| message.kind) {
            Some(collector_message::Kind::Welcome(_)) => Ok(()),
            other => bail!("no welcome but {other:?}"),
        }
    }
}

/// A server that does nothing but shake hands, and its address.
#[derive(Clone)]
struct Plain {
    tls: TlsConnector,
    server: SocketAddr,
}

impl Plain {
    async fn shake_hands(&self) -> anyhow::Result<()> {
        let mut stream = dial(&self.tls, UPLINK_NAME, self.server, "127.0.0.1:0".parse()?).await?;
        stream.write_all(b"?").await?;
        anyhow::ensure!(stream.read_u8().await? == b'!', "another answer");
        Ok(())
    }
}

/// Starts one with the collector's own certificate.
async fn plain(lab: &Lab) -> anyhow::Result<Plain> {
    let pki = lab.collector.dir().join("pki");
    let key = PrivateKeyDer::from_pem_file(pki.join("collector.key"))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&TLS13])?
        .with_no_client_auth()
        .with_single_cert(certificates(&pki.join("collector.crt"))?, key)?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    let (acceptor, listener) = (TlsAcceptor::from(Arc::new(config)), TcpListener::bind("127.0.0.1:0").await?);
    let server = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                stream.set_nodelay(true)?;
                let mut stream = acceptor.accept(stream).await?;
                stream.read_u8().await?;
                stream.write_all(b"!").await
            });
        }
    });
    Ok(Plain { tls: connector(client(&pki.join("root.crt"))?.with_no_client_auth()), server })
}

fn certificates(path: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    Ok(CertificateDer::pem_file_iter(path)?.collect::<Result<_, _>>()?)
}

pub(super) fn client(
    root: &Path,
) -> anyhow::Result<rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert>> {
    let mut roots = RootCertStore::empty();
    for root in certificates(root)? {
        roots.add(root)?;
    }
    let builder =
        ClientConfig::builder_with_provider(Arc::new(default_provider())).with_protocol_versions(&[&TLS13])?;
    Ok(builder.with_root_certificates(roots))
}

/// As agents connect: HTTP/2, and every handshake a full one.
pub(super) fn connector(mut config: ClientConfig) -> TlsConnector {
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = rustls::client::Resumption::disabled();
    TlsConnector::from(Arc::new(config))
}

async fn dial(
    tls: &TlsConnector,
    name: &'static str,
    to: SocketAddr,
    from: SocketAddr,
) -> std::io::Result<TlsStream<tokio::net::TcpStream>> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(from)?;
    let stream = socket.connect(to).await?;
    stream.set_nodelay(true)?;
    let name = ServerName::try_from(name).map_err(std::io::Error::other)?;
    tls.connect(name, stream).await
}

pub(super) async fn channel(
    tls: &TlsConnector,
    name: &'static str,
    to: SocketAddr,
    from: SocketAddr,
) -> anyhow::Result<Channel> {
    let tls = tls.clone();
    let connect = tower::service_fn(move |_| {
        let tls = tls.clone();
        async move { dial(&tls, name, to, from).await.map(TokioIo::new) }
    });
    Ok(Endpoint::from_static("http://watchpost.internal").connect_with_connector(connect).await?)
}
