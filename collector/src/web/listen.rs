//! Connections of operators: plain on loopback, else TLS 1.3. The accept loop never waits for anybody.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::body::Body;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::server::NoServerSessionStorage;
use rustls::{ServerConfig, version};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt as _;
use tracing::{debug, warn};

use super::doors::{Doors, Patient, Place, UNREAD};
use crate::clock::Clock;
use crate::config::{Config, ConsoleConfig};
use crate::credentials::{certificates, provider};
use crate::key_file;

/// Connections at the same time; further ones wait outside.
const CONNECTIONS_MAX: usize = 4096;
const HANDSHAKE: Duration = Duration::from_secs(5);
/// From the first byte of a request to the end of its headers, and between requests.
const HEADERS: Duration = Duration::from_secs(20);
const HEADERS_MAX: usize = 64;
const HEADER_BYTES_MAX: usize = 16 * 1024;
/// Pause when the process has no more file descriptors.
const OUT_OF_DESCRIPTORS: Duration = Duration::from_millis(50);

/// Where a request came from.
#[derive(Clone, Copy, Debug)]
pub(in crate::web) struct PeerAddress(pub(in crate::web) IpAddr);

/// How connections are secured; none on loopback without a certificate.
pub(in crate::web) fn tls(
    console: &ConsoleConfig,
    config: &Config,
    clock: &Clock,
) -> anyhow::Result<Option<TlsAcceptor>> {
    let Some((certificate, key)) = &console.tls else { return Ok(None) };
    let chain = certificates(certificate)?;
    let own = key_file::read(key, &config.keys.passphrase)?;
    let der = PrivatePkcs8KeyDer::from(own.der()).clone_key().into();
    let mut tls = ServerConfig::builder_with_details(Arc::new(provider()), Arc::new(clock.clone()))
        .with_protocol_versions(&[&version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(chain, der)
        .with_context(|| format!("{} does not fit {}", key.display(), certificate.display()))?;
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    tls.send_tls13_tickets = 0;
    tls.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(Some(TlsAcceptor::from(Arc::new(tls))))
}

/// Serves until the collector stops.
pub(in crate::web) async fn serve(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    router: Router,
    mut stopping: watch::Receiver<bool>,
) {
    let (room, doors) = (Arc::new(Semaphore::new(CONNECTIONS_MAX)), Arc::new(Doors::default()));
    loop {
        let accepted = async {
            let place = Arc::clone(&room).acquire_owned().await.ok();
            (listener.accept().await, place)
        };
        let (accepted, place) = tokio::select! {
            accepted = accepted => accepted,
            _ = stopping.wait_for(|stop| *stop) => return,
        };
        match accepted {
            Ok((stream, address)) => {
                let address = address.ip().to_canonical();
                let Some(door) = doors.enter(address) else {
                    debug!(%address, "too many connections of one address");
                    continue;
                };
                let _ = stream.set_nodelay(true);
                let (tls, router, stopping) = (tls.clone(), router.clone(), stopping.clone());
                tokio::spawn(secure(stream, tls, router, PeerAddress(address), stopping, (place, door)));
            }
            Err(error) => {
                warn!(%error, "connection not accepted");
                tokio::time::sleep(OUT_OF_DESCRIPTORS).await;
            }
        }
    }
}

async fn secure(
    stream: TcpStream,
    tls: Option<TlsAcceptor>,
    router: Router,
    peer: PeerAddress,
    stopping: watch::Receiver<bool>,
    _place: (Option<OwnedSemaphorePermit>, Place),
) {
    let stream = Patient::new(stream, UNREAD);
    let Some(tls) = tls else { return speak(stream, router, peer, stopping).await };
    match tokio::time::timeout(HANDSHAKE, tls.accept(stream)).await {
        Ok(Ok(stream)) => speak(stream, router, peer, stopping).await,
        Ok(Err(error)) => debug!(%error, address = %peer.0, "handshake of an operator refused"),
        Err(_) => debug!(address = %peer.0, "handshake of an operator took too long"),
    }
}

async fn speak<S: AsyncRead + AsyncWrite + Unpin + Send>(
    stream: S,
    router: Router,
    peer: PeerAddress,
    mut stopping: watch::Receiver<bool>,
) {
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer);
        router.clone().oneshot(request.map(Body::new))
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS)
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEADER_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let stopped = async {
        let _ = stopping.wait_for(|stop| *stop).await;
    };
    let ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        () = stopped => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        debug!(%error, address = %peer.0, "connection of an operator ended");
    }
}
