//! A TCP proxy that breaks the line on command: delay, a byte rate, silence (half-open), reset, cut, refusal.
//!
//! It listens on one loopback port for its whole life, so the side that dials keeps its configuration while the side
//! behind it may come and go ([`Proxy::set_upstream`]). Every command takes effect at once, on open connections too.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

/// Bytes read at once; the unit that delay applies to.
const CHUNK_BYTES: usize = 16 * 1024;
/// Chunks under way per direction before reading stops, so that a slow line pushes back instead of filling memory.
const CHUNKS_MAX: usize = 64;
/// With a byte rate, how often a piece is let through.
const RATE_STEP: Duration = Duration::from_millis(20);

/// A running proxy. All methods take `&self`, so an `Arc` of it serves several threads. Dropping it resets every
/// connection and frees the port.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    line: watch::Sender<Line>,
    counts: Arc<Counts>,
    runtime: Option<Runtime>,
}

/// The state of the line. Events are counters and not flags: the receiving end of a watch sees only the latest value,
/// and a flag set and cleared in between would go unnoticed.
#[derive(Clone, Debug)]
struct Line {
    upstream: SocketAddr,
    delay: Duration,
    bytes_per_second: Option<u64>,
    refuse: bool,
    silent: bool,
    silences: u64,
    cuts: u64,
    resets: u64,
}

#[derive(Debug, Default)]
struct Counts {
    accepted: AtomicU64,
    open: AtomicU64,
    up: AtomicU64,
    down: AtomicU64,
}

impl Proxy {
    /// Listens on a free loopback port and forwards to `upstream`, for now without faults.
    ///
    /// # Errors
    /// No port, or no runtime.
    pub fn start(upstream: SocketAddr) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .context("proxy runtime")?;
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).context("proxy port")?;
        let address = listener.local_addr()?;
        let (line, watched) = watch::channel(Line::new(upstream));
        let counts = Arc::new(Counts::default());
        runtime.spawn(accept(listener, watched, Arc::clone(&counts)));
        Ok(Self { address, line, counts, runtime: Some(runtime) })
    }

    /// Where to dial.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// New connections go to `upstream` from now on.
    pub fn set_upstream(&self, upstream: SocketAddr) {
        self.line.send_modify(|line| line.upstream = upstream);
    }

    /// Holds everything back for `delay`, in each direction. The order stays, the throughput too.
    pub fn set_delay(&self, delay: Duration) {
        self.line.send_modify(|line| line.delay = delay);
    }

    /// Lets at most this many bytes a second through, per connection and direction; `None` for as many as come.
    pub fn set_rate(&self, bytes_per_second: Option<u64>) {
        self.line.send_modify(|line| line.bytes_per_second = bytes_per_second);
    }

    /// Half-open: while `silent`, sockets stay open and accept data, and everything is thrown away, the end of the
    /// stream too. A connection that was silent once stays so until it is cut, as bytes are missing from it;
    /// `set_silent(false)` heals new connections only.
    pub fn set_silent(&self, silent: bool) {
        self.line.send_modify(|line| {
            line.silent = silent;
            line.silences += u64::from(silent);
        });
    }

    /// While `refuse`, new connections are reset as soon as they are made. Open ones go on.
    pub fn set_refuse(&self, refuse: bool) {
        self.line.send_modify(|line| line.refuse = refuse);
    }

    /// Closes all open connections in the middle of whatever they carry, in an orderly way (FIN).
    pub fn cut(&self) {
        self.line.send_modify(|line| line.cuts += 1);
    }

    /// Resets all open connections (RST): both sides get an error and lose what was under way.
    pub fn reset(&self) {
        self.line.send_modify(|line| line.resets += 1);
    }

    /// Connections accepted so far, refused ones too.
    pub fn accepted(&self) -> u64 {
        self.counts.accepted.load(Ordering::Relaxed)
    }

    /// Connections open now.
    pub fn open(&self) -> u64 {
        self.counts.open.load(Ordering::Relaxed)
    }

    /// Bytes delivered so far to the upstream side.
    pub fn bytes_up(&self) -> u64 {
        self.counts.up.load(Ordering::Relaxed)
    }

    /// Bytes delivered so far to the dialling side.
    pub fn bytes_down(&self) -> u64 {
        self.counts.down.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Not a plain drop: that waits, and panics inside another runtime.
            runtime.shutdown_background();
        }
    }
}

impl Line {
    fn new(upstream: SocketAddr) -> Self {
        Self {
            upstream,
            delay: Duration::ZERO,
            bytes_per_second: None,
            refuse: false,
            silent: false,
            silences: 0,
            cuts: 0,
            resets: 0,
        }
    }
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Both directions came to their end, or it was cut.
    Orderly,
    /// Reset on command, or one side broke, which the other is to feel.
    Reset,
}

async fn accept(listener: TcpListener, line: watch::Receiver<Line>, counts: Arc<Counts>) {
    loop {
        let Ok((client, _)) = listener.accept().await else {
            // Out of descriptors, most likely: others will be closed.
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        counts.accepted.fetch_add(1, Ordering::Relaxed);
        let (mut line, counts) = (line.clone(), Arc::clone(&counts));
        // What happened before this connection does not concern it.
        line.mark_unchanged();
        tokio::spawn(async move {
            counts.open.fetch_add(1, Ordering::Relaxed);
            carry(client, line, &counts).await;
            counts.open.fetch_sub(1, Ordering::Relaxed);
        });
    }
}

/// Carries one connection from its first to its last byte.
async fn carry(mut client: TcpStream, line: watch::Receiver<Line>, counts: &Counts) {
    let born = line.borrow().clone();
    if born.refuse {
        return close(&client, End::Reset);
    }
    let Ok(mut upstream) = TcpStream::connect(born.upstream).await else {
        return close(&client, End::Reset);
    };
    let _ = (client.set_nodelay(true), upstream.set_nodelay(true));
    let end = {
        let silent = AtomicBool::new(born.silent);
        let (from_client, to_client) = client.split();
        let (from_upstream, to_upstream) = upstream.split();
        let up = Direction { line: &line, silent: &silent, delivered: &counts.up };
        let down = Direction { line: &line, silent: &silent, delivered: &counts.down };
        let both = async { tokio::try_join!(up.pump(from_client, to_upstream), down.pump(from_upstream, to_client)) };
        tokio::select! {
            carried = both => if carried.is_ok() { End::Orderly } else { End::Reset },
            end = follow(line.clone(), &born, &silent) => end,
        }
    };
    close(&client, end);
    close(&upstream, end);
}

/// Makes the coming drop of the socket an orderly close or a reset.
fn close(stream: &TcpStream, end: End) {
    if end == End::Reset {
        let _ = stream.set_zero_linger();
    }
}

/// Waits for a command that ends this connection; notes on the way that it was silenced.
async fn follow(mut line: watch::Receiver<Line>, born: &Line, silent: &AtomicBool) -> End {
    loop {
        {
            let now = line.borrow_and_update();
            if now.silences != born.silences {
                silent.store(true, Ordering::Relaxed);
            }
            if now.resets != born.resets {
                return End::Reset;
            }
            if now.cuts != born.cuts {
                return End::Orderly;
            }
        }
        if line.changed().await.is_err() {
            return End::Reset;
        }
    }
}

/// One direction of one connection.
struct Direction<'a> {
    line: &'a watch::Receiver<Line>,
    silent: &'a AtomicBool,
    delivered: &'a AtomicU64,
}

impl Direction<'_> {
    /// Moves bytes until the end of the stream and passes that end on. Reading and writing are apart, so that a delay
    /// holds back every byte equally and does not slow the stream.
    async fn pump(&self, from: ReadHalf<'_>, to: WriteHalf<'_>) -> io::Result<()> {
        let (sender, receiver) = mpsc::channel(CHUNKS_MAX);
        tokio::try_join!(self.read(from, sender), self.write(to, receiver))?;
        Ok(())
    }

    fn is_silent(&self) -> bool {
        self.silent.load(Ordering::Relaxed)
    }

    async fn read(&self, mut from: ReadHalf<'_>, chunks: mpsc::Sender<(Instant, Vec<u8>)>) -> io::Result<()> {
        loop {
            let mut chunk = vec![0; CHUNK_BYTES];
            let length = match from.read(&mut chunk).await {
                Err(_) if self.is_silent() => return Ok(()),
                read => read?,
            };
            chunk.truncate(length);
            if chunks.send((Instant::now(), chunk)).await.is_err() || length == 0 {
                return Ok(());
            }
        }
    }

    async fn write(&self, mut to: WriteHalf<'_>, mut chunks: mpsc::Receiver<(Instant, Vec<u8>)>) -> io::Result<()> {
        while let Some((arrived, chunk)) = chunks.recv().await {
            let delay = self.line.borrow().delay;
            tokio::time::sleep_until(arrived + delay).await;
            if self.is_silent() {
                continue;
            }
            if chunk.is_empty() {
                return to.shutdown().await;
            }
            self.deliver(&mut to, &chunk).await?;
        }
        // The stream ended in silence: the other side must not learn of it.
        std::future::pending().await
    }

    /// Writes a chunk, in small pieces if the rate is limited.
    async fn deliver(&self, to: &mut WriteHalf<'_>, mut chunk: &[u8]) -> io::Result<()> {
        while !chunk.is_empty() && !self.is_silent() {
            let rate = self.line.borrow().bytes_per_second;
            let piece = piece_bytes(rate, chunk.len());
            to.write_all(&chunk[..piece]).await?;
            self.delivered.fetch_add(piece as u64, Ordering::Relaxed);
            chunk = &chunk[piece..];
            if let Some(rate) = rate {
                tokio::time::sleep(Duration::from_secs_f64(piece as f64 / rate.max(1) as f64)).await;
            }
        }
        Ok(())
    }
}

/// How much of `available` goes at once.
fn piece_bytes(rate: Option<u64>, available: usize) -> usize {
    let Some(rate) = rate else {
        return available;
    };
    let per_step = rate as f64 * RATE_STEP.as_secs_f64();
    (per_step as usize).clamp(1, available)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{ErrorKind, Read as _, Write as _};
    use std::net::{Shutdown, TcpListener as StdListener, TcpStream as StdStream};

    /// A server that sends back what it gets, each connection in a thread.
    fn echo() -> SocketAddr {
        let listener = StdListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                std::thread::spawn(move || std::io::copy(&mut stream.try_clone().unwrap(), &mut stream));
            }
        });
        address
    }

    fn dial(proxy: &Proxy) -> StdStream {
        let stream = StdStream::connect(proxy.address()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream
    }

    fn exchange(stream: &mut StdStream, text: &[u8]) -> io::Result<Vec<u8>> {
        stream.write_all(text)?;
        let mut answer = vec![0; text.len()];
        stream.read_exact(&mut answer)?;
        Ok(answer)
    }

    fn connected(proxy: &Proxy) -> StdStream {
        let mut stream = dial(proxy);
        assert_eq!(exchange(&mut stream, b"hello").unwrap(), b"hello");
        stream
    }

    #[test]
    fn bytes_and_the_end_of_the_stream_pass() {
        let proxy = Proxy::start(echo()).unwrap();
        let mut stream = connected(&proxy);
        let long: Vec<u8> = (0..1_000_000_u32).map(|n| n as u8).collect();
        let mut writer = stream.try_clone().unwrap();
        let sent = long.clone();
        let thread = std::thread::spawn(move || {
            writer.write_all(&sent).unwrap();
            writer.shutdown(Shutdown::Write).unwrap();
        });
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        thread.join().unwrap();
        assert!(answer == long);
        assert_eq!(proxy.bytes_up(), 1_000_005);
        assert_eq!(proxy.accepted(), 1);
    }

    #[test]
    fn delay_holds_each_way_and_does_not_add_up() {
        let proxy = Proxy::start(echo()).unwrap();
        let mut stream = connected(&proxy);
        proxy.set_delay(Duration::from_millis(100));
        let start = std::time::Instant::now();
        // 60 chunks: a delay per chunk would take twelve seconds.
        let mut writer = stream.try_clone().unwrap();
        let thread = std::thread::spawn(move || writer.write_all(&vec![7; 60 * CHUNK_BYTES]));
        stream.read_exact(&mut vec![0; 60 * CHUNK_BYTES]).unwrap();
        thread.join().unwrap().unwrap();
        let took = start.elapsed();
        assert!(took >= Duration::from_millis(200), "{took:?}");
        assert!(took < Duration::from_secs(5), "{took:?}");
    }

    #[test]
    fn rate_slows_the_stream() {
        let proxy = Proxy::start(echo()).unwrap();
        let mut stream = connected(&proxy);
        proxy.set_rate(Some(100_000));
        let start = std::time::Instant::now();
        exchange(&mut stream, &[7; 30_000]).unwrap();
        let took = start.elapsed();
        assert!(took >= Duration::from_millis(250), "{took:?}");
    }

    #[test]
    fn silence_swallows_everything_and_new_connections_heal() {
        let proxy = Proxy::start(echo()).unwrap();
        let mut stream = connected(&proxy);
        proxy.set_silent(true);
        proxy.set_silent(false);
        // The command reaches the connection from another thread; what slips through before it is still forwarded.
        stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let mut silent = false;
        for _ in 0..50 {
            if exchange(&mut stream, b"anybody").is_err_and(|error| error.kind() == ErrorKind::WouldBlock) {
                silent = true;
                break;
            }
        }
        assert!(silent, "the connection still answers");
        assert_eq!(proxy.open(), 1, "a half-open connection stays open");
        connected(&proxy);
    }

    #[test]
    fn reset_is_felt_as_an_error_and_cut_as_an_end() {
        let proxy = Proxy::start(echo()).unwrap();
        let mut stream = connected(&proxy);
        proxy.reset();
        let error = stream.read(&mut [0; 8]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        let mut stream = connected(&proxy);
        proxy.cut();
        assert_eq!(stream.read(&mut [0; 8]).unwrap(), 0);
    }

    #[test]
    fn refusal_spares_open_connections_and_ends() {
        let proxy = Proxy::start(echo()).unwrap();
        let mut open = connected(&proxy);
        proxy.set_refuse(true);
        let mut refused = dial(&proxy);
        assert!(exchange(&mut refused, b"x").is_err());
        assert_eq!(exchange(&mut open, b"still").unwrap(), b"still");
        proxy.set_refuse(false);
        connected(&proxy);
    }

    #[test]
    fn a_dead_upstream_resets_and_another_one_can_take_its_place() {
        let dead = StdListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let proxy = Proxy::start(dead).unwrap();
        assert!(exchange(&mut dial(&proxy), b"x").is_err());
        proxy.set_upstream(echo());
        connected(&proxy);
    }
}
