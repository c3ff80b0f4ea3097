//! Connections, from the socket to a peer with a name.
//!
//! The accept loop never waits for anybody. A connection first waits, cheaply, for its ClientHello; only then may it
//! take one of a bounded number of places for the handshake proper. Where one address holds too many silent
//! connections, its oldest is dropped for the newest: a flood of half-open connections costs nobody else a place,
//! not even a healthy agent behind the same address.

mod waiting;

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::ServerConfig;
use rustls::server::Acceptor;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio_rustls::server::TlsStream;
use tokio_rustls::{LazyConfigAcceptor, StartHandshake};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::Connected;
use tracing::{debug, info, warn};
use watchpost_proto::identity::ALPN;

use crate::peer::Peer;
use waiting::Waiting;

/// From the first byte of TCP to the end of the handshake.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// Handshakes that may be computed at once.
const HANDSHAKES_MAX: usize = 512;
/// Connections that have finished their handshake and wait for the server.
const ACCEPTED_MAX: usize = 64;
/// Pause when the process has no more file descriptors.
const OUT_OF_DESCRIPTORS: Duration = Duration::from_millis(50);

/// A connection with a peer.
#[derive(Debug)]
pub struct Io {
    stream: TlsStream<TcpStream>,
    peer: Arc<Peer>,
}

/// Accepts on `listener` until the receiving stream is dropped.
pub fn accept(listener: TcpListener, config: Arc<ServerConfig>) -> ReceiverStream<io::Result<Io>> {
    let (accepted, stream) = mpsc::channel(ACCEPTED_MAX);
    tokio::spawn(accept_loop(listener, config, accepted));
    ReceiverStream::new(stream)
}

async fn accept_loop(listener: TcpListener, config: Arc<ServerConfig>, accepted: mpsc::Sender<io::Result<Io>>) {
    let waiting = Arc::new(Waiting::default());
    let places = Arc::new(Semaphore::new(HANDSHAKES_MAX));
    loop {
        let (stream, address) = tokio::select! {
            connection = listener.accept() => match connection {
                Ok(connection) => connection,
                Err(error) => {
                    warn!(%error, "connection not accepted");
                    tokio::time::sleep(OUT_OF_DESCRIPTORS).await;
                    continue;
                }
            },
            () = accepted.closed() => return,
        };
        let handshake = Handshake {
            address,
            config: Arc::clone(&config),
            waiting: Arc::clone(&waiting),
            places: Arc::clone(&places),
        };
        let accepted = accepted.clone();
        tokio::spawn(async move {
            match tokio::time::timeout(HANDSHAKE, handshake.run(stream)).await {
                Ok(Ok(io)) => {
                    // The server is gone when nobody takes it.
                    let _ = accepted.send(Ok(io)).await;
                }
                Ok(Err(error)) => info!(%address, %error, "handshake refused"),
                Err(_) => debug!(%address, "handshake timed out"),
            }
        });
    }
}

struct Handshake {
    address: SocketAddr,
    config: Arc<ServerConfig>,
    waiting: Arc<Waiting>,
    places: Arc<Semaphore>,
}

impl Handshake {
    async fn run(self, stream: TcpStream) -> io::Result<Io> {
        // Without it every answer waits for the peer's delayed acknowledgement, 40 ms.
        stream.set_nodelay(true)?;
        let start = self.client_hello(stream).await?;
        let _place = self.places.acquire().await.map_err(io::Error::other)?;
        let stream = start.into_stream(Arc::clone(&self.config)).await?;
        let (_, connection) = stream.get_ref();
        if connection.alpn_protocol() != Some(ALPN) {
            return Err(io::Error::other("no h2"));
        }
        let chain = connection.peer_certificates().unwrap_or_default();
        let peer = Peer::read(chain, self.address).map_err(io::Error::other)?;
        let peer = peer.ok_or_else(|| io::Error::other("no device"))?;
        Ok(Io { stream, peer: Arc::new(peer) })
    }

    /// Waits for the ClientHello, for as long as this address does not hold too many such connections.
    async fn client_hello(&self, stream: TcpStream) -> io::Result<StartHandshake<TcpStream>> {
        let ticket = self.waiting.enter(self.address.ip());
        let acceptor = LazyConfigAcceptor::new(Acceptor::default(), stream);
        tokio::select! {
            start = acceptor => start,
            () = ticket.evicted() => Err(io::Error::other("too many silent connections from this address")),
        }
    }
}

impl Connected for Io {
    type ConnectInfo = Arc<Peer>;

    fn connect_info(&self) -> Self::ConnectInfo {
        Arc::clone(&self.peer)
    }
}

impl AsyncRead for Io {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Io {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
