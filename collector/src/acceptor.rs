//! Connections, from the socket to a peer with a name.
//!
//! The accept loop never waits for anybody. A connection first waits, cheaply, for its ClientHello, then goes through
//! the handshake proper; both are bounded per address and in all. Where there are too many, the oldest is dropped
//! for the newest: a flood of half-open connections keeps nobody out, not even a healthy agent behind the same
//! address, since a healthy handshake takes milliseconds.

mod waiting;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::server::Acceptor;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::Sleep;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::Connected;
use tracing::{debug, info, warn};
use watchpost_proto::identity::{ALPN, ENROL_NAME};

use crate::peer::Peer;
use crate::serving::Serving;
use waiting::Waiting;

/// From the first byte of TCP to the end of the handshake.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// Connections that have said nothing yet, from one address and in all.
const SILENT_MAX: (usize, usize) = (64, 4096);
/// Handshakes under way, from one address and in all. One address may be a whole branch.
const HANDSHAKES_MAX: (usize, usize) = (512, 2048);
/// Connections that have finished their handshake and wait for the server.
const ACCEPTED_MAX: usize = 64;
/// Pause when the process has no more file descriptors.
const OUT_OF_DESCRIPTORS: Duration = Duration::from_millis(50);

/// How long a connection may live without a stream on it; one for enrolment, which anybody may open, not as long.
const WITHOUT_STREAM: Duration = Duration::from_secs(30);
const ENROLMENT_WITHOUT_STREAM: Duration = Duration::from_secs(5);
/// Connections for enrolment: whoever opens many of them keeps out others who enrol, and no device that has.
const ENROLMENTS_MAX: usize = 256;

/// A connection with a peer.
#[derive(Debug)]
pub struct Io {
    stream: TlsStream<TcpStream>,
    link: Link,
    /// A place among the connections for enrolment.
    _place: Option<OwnedSemaphorePermit>,
    /// Runs while no stream is open.
    idle: Option<Pin<Box<Sleep>>>,
}

/// What a stream knows of its connection.
#[derive(Clone, Debug)]
pub struct Link {
    /// Who is at the other end; nobody known where the handshake was for enrolment.
    peer: Option<Arc<Peer>>,
    address: SocketAddr,
    streams: Arc<AtomicUsize>,
}

/// One open stream; closed when dropped.
#[derive(Debug)]
pub struct OpenStream(Arc<AtomicUsize>);

impl Link {
    /// The device at the other end; none where the handshake was for enrolment.
    pub fn peer(&self) -> Option<&Arc<Peer>> {
        self.peer.as_ref()
    }

    /// Where it connected from.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Counts a stream, so that the connection lives as long as it does.
    pub fn open(&self) -> OpenStream {
        self.streams.fetch_add(1, Ordering::Relaxed);
        OpenStream(Arc::clone(&self.streams))
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Accepts on `listener` until the receiving stream is dropped.
pub fn accept(listener: TcpListener, serving: watch::Receiver<Arc<Serving>>) -> ReceiverStream<io::Result<Io>> {
    let (accepted, stream) = mpsc::channel(ACCEPTED_MAX);
    tokio::spawn(accept_loop(listener, serving, accepted));
    ReceiverStream::new(stream)
}

async fn accept_loop(
    listener: TcpListener,
    serving: watch::Receiver<Arc<Serving>>,
    accepted: mpsc::Sender<io::Result<Io>>,
) {
    let silent = Arc::new(Waiting::new(SILENT_MAX.0, SILENT_MAX.1));
    let under_way = Arc::new(Waiting::new(HANDSHAKES_MAX.0, HANDSHAKES_MAX.1));
    let enrolments = Arc::new(Semaphore::new(ENROLMENTS_MAX));
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
            serving: Arc::clone(&serving.borrow()),
            silent: Arc::clone(&silent),
            under_way: Arc::clone(&under_way),
            enrolments: Arc::clone(&enrolments),
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
    serving: Arc<Serving>,
    silent: Arc<Waiting>,
    under_way: Arc<Waiting>,
    enrolments: Arc<Semaphore>,
}

impl Handshake {
    async fn run(self, stream: TcpStream) -> io::Result<Io> {
        // Without it every answer waits for the peer's delayed acknowledgement, 40 ms.
        stream.set_nodelay(true)?;
        let acceptor = LazyConfigAcceptor::new(Acceptor::default(), stream);
        let start = in_turn(&self.silent, self.address.ip(), acceptor).await?;
        let enrols = start.client_hello().server_name() == Some(ENROL_NAME);
        let config = if enrols { &self.serving.enrolment } else { &self.serving.uplink };
        let stream = in_turn(&self.under_way, self.address.ip(), start.into_stream(Arc::clone(config))).await?;
        let (_, connection) = stream.get_ref();
        if connection.alpn_protocol() != Some(ALPN) {
            return Err(io::Error::other("no h2"));
        }
        let mut place = None;
        let peer = if enrols {
            let taken = self.enrolments.try_acquire_owned();
            place = Some(taken.map_err(|_| io::Error::other("too many connections for enrolment"))?);
            None
        } else {
            let chain = connection.peer_certificates().unwrap_or_default();
            let peer = Peer::read(chain, self.address).map_err(io::Error::other)?;
            Some(Arc::new(peer.ok_or_else(|| io::Error::other("no device"))?))
        };
        let link = Link { peer, address: self.address, streams: Arc::default() };
        Ok(Io { stream, link, _place: place, idle: None })
    }
}

/// Does a part of a handshake, for as long as there are not too many newer ones.
async fn in_turn<T>(waiting: &Waiting, address: IpAddr, part: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let ticket = waiting.enter(address);
    tokio::select! {
        done = part => done,
        () = ticket.evicted() => Err(io::Error::other("too many unfinished handshakes")),
    }
}

impl Connected for Io {
    type ConnectInfo = Link;

    fn connect_info(&self) -> Self::ConnectInfo {
        self.link.clone()
    }
}

impl Io {
    /// An error once no stream has been open for too long.
    fn poll_idle(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        if self.link.streams.load(Ordering::Relaxed) > 0 {
            self.idle = None;
            return Ok(());
        }
        let longest = if self.link.peer.is_some() { WITHOUT_STREAM } else { ENROLMENT_WITHOUT_STREAM };
        let idle = self.idle.get_or_insert_with(|| Box::pin(tokio::time::sleep(longest)));
        match idle.as_mut().poll(context) {
            Poll::Ready(()) => Err(io::Error::new(io::ErrorKind::TimedOut, "no stream on the connection")),
            Poll::Pending => Ok(()),
        }
    }
}

impl AsyncRead for Io {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.stream).poll_read(context, buffer) {
            Poll::Pending => match self.poll_idle(context) {
                Ok(()) => Poll::Pending,
                Err(error) => Poll::Ready(Err(error)),
            },
            ready => ready,
        }
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
