//! A running collector: everything wired together, to be started by `serve` or a test.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tonic::transport::Server;
use tracing::{info, warn};
use watchpost_proto::limits::MESSAGE_BYTES_MAX;
use watchpost_proto::note::LogSigner;
use watchpost_proto::v1::enrolment_server::EnrolmentServer;
use watchpost_proto::v1::uplink_server::UplinkServer;

use crate::admin::{Desk, Request, What, take_requests};
use crate::clock::Clock;
use crate::config::Config;
use crate::credentials::Credentials;
use crate::data_lock::DataLock;
use crate::derive::Deriver;
use crate::enrolment::Enrolments;
use crate::followed::follow;
use crate::ingest::{Ingest, Shared};
use crate::liveness::{self, Liveness};
use crate::log_store::{LogReader, LogStore, StoreError};
use crate::operators::first;
use crate::people::shelf::Shelf;
use crate::policies::handing::Handing;
use crate::policies::rollout;
use crate::registry::Registry;
use crate::search::Indexer;
use crate::sequencer::{self, Sequencer, Writer};
use crate::serving::{self, Keeper, LogKeys};
use crate::sessions::Sessions;
use crate::succession::{self, Alarm};
use crate::{acceptor, board, log_key, notify, secrets, web};

/// Bytes of one message of enrolment.
const ENROL_BYTES_MAX: usize = 16 * 1024;
/// Streams on one connection; an agent needs one.
const STREAMS_MAX: u32 = 4;
/// Bytes of headers; an agent sends about three hundred.
const HEADERS_MAX: u32 = 16 * 1024;
/// Bytes one stream may have under way, and one connection: a segment, so that one round trip carries one.
const STREAM_WINDOW: u32 = 1024 * 1024;
/// A connection that is silent for this long is asked whether it still lives. Longer than an agent's heartbeat, so
/// that a healthy one is never asked.
const KEEPALIVE: Duration = Duration::from_secs(90);
const KEEPALIVE_ANSWER: Duration = Duration::from_secs(20);
/// How long streams may take to say their last word.
const LAST_WORDS: Duration = Duration::from_millis(1000);
/// How long the log may take to close, and then the follower to derive what came last.
const CLOSE_LOG: Duration = Duration::from_millis(300);
const DERIVE_LAST: Duration = Duration::from_millis(500);
/// How long a starting collector waits for the lock: a command may hold it for a moment.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);

/// The log of a data folder, opened for appending.
#[derive(Debug)]
pub struct OpenLog {
    /// The log.
    pub store: LogStore,
    /// Its key.
    pub signer: LogSigner,
}

/// Opens the log, or makes it, or its successor where the collector was restored.
///
/// # Errors
/// What is wrong with it.
pub fn open_log(config: &Config, credentials: &Credentials, clock: &Clock) -> anyhow::Result<OpenLog> {
    succession::refuse_without_log(config)?;
    let signer = log_key::load_or_make(config, &config.log_key())?;
    let is_marked = succession::found(config)?.is_some();
    let store = LogStore::open(&config.log_db(), &config.tenant, |name| {
        if is_marked {
            return Err(StoreError::Unfit("it holds no log, and one was to be restored; restore again".into()));
        }
        log_key::first_entry(name, &signer, credentials, clock.now_ms(), None)
            .map_err(|error| StoreError::Unfit(format!("its key cannot be introduced: {error}")))
    })?;
    succession::carry_out(config, credentials, clock, OpenLog { store, signer })
}

/// A collector at work.
#[derive(Debug)]
pub struct Running {
    address: SocketAddr,
    http_address: Option<SocketAddr>,
    console_address: Option<SocketAddr>,
    stop: watch::Sender<bool>,
    transport: JoinHandle<Result<(), tonic::transport::Error>>,
    follower: JoinHandle<()>,
    indexer: JoinHandle<()>,
    sequencer: Sequencer,
    writer: Writer,
    keeper: Arc<Mutex<Keeper>>,
    alarm: Alarm,
    _lock: DataLock,
}

/// Starts a collector.
///
/// # Errors
/// A sentence that says what is missing or wrong.
pub async fn start(config: &Config) -> anyhow::Result<Running> {
    start_at(config, Clock::default()).await
}

/// Starts a collector that goes by a clock of the caller's.
///
/// # Errors
/// As [`start`].
pub async fn start_at(config: &Config, clock: Clock) -> anyhow::Result<Running> {
    let lock = lock(&config.data_dir).await?;
    secrets::check(config)?;
    let targets = notify::open(config)?;
    // First of all: one that has ended would keep the collector from starting.
    serving::renew_own(config, &clock)?;
    let credentials = Credentials::load(config, &clock)?;
    let OpenLog { store, signer } = open_log(config, &credentials, &clock)?;
    let reader = LogReader::open(&config.log_db())?;
    let log_key = log_key::introduced(&reader, &signer)?;
    let past_logs = reader.past()?;
    let keeper = Keeper::start(config, &clock, LogKeys { present: log_key, earlier: log_key::earlier(&reader)? })?;
    let registry = Arc::new(Registry::load(&store)?);
    let listener = TcpListener::bind(config.listen).await.with_context(|| format!("listen on {}", config.listen))?;
    let address = listener.local_addr()?;
    let http = match config.log.http {
        Some(http) => Some(TcpListener::bind(http).await.with_context(|| format!("listen on {http}"))?),
        None => None,
    };
    let http_address = http.as_ref().map(TcpListener::local_addr).transpose()?;

    let (stop, stopping) = watch::channel(false);
    let (log, log_public) = (store.name().clone(), signer.public());
    let (sequencer, writer) = sequencer::start(store, signer, Arc::clone(&registry))?;
    let alarm = Alarm::new(config, log.id, stop.clone());
    let sessions = Arc::new(Sessions::default());
    let liveness = Arc::new(Liveness::begin(config));
    let shelf = Shelf::default();
    shelf.stock(config).await?;
    let shared = Shared {
        tenant: config.tenant.clone(),
        sequencer: sequencer.clone(),
        registry: Arc::clone(&registry),
        sessions: Arc::clone(&sessions),
        liveness: Arc::clone(&liveness),
        serving: keeper.serving(),
        shelf: shelf.watch(),
        clock: clock.clone(),
        log,
        log_public,
        handing: Handing::new(config.log_db()),
        past_logs,
        alarm: alarm.clone(),
        stopping: stopping.clone(),
    };
    show_log(config, http, &sequencer, &log_public, &stopping)?;
    let (position, derived) = watch::channel(0);
    let told = move |next| {
        position.send_replace(next);
    };
    let follower = tokio::spawn(follow::<Deriver>(config.log_db(), config.derived_db(), sequencer.follow(), told));
    let indexer = tokio::spawn(follow::<Indexer>(config.log_db(), config.search_db(), sequencer.follow(), |_| {}));
    notify::start(targets, config, (&sequencer, &clock), derived.clone(), &stopping);
    let desk = Arc::new(Desk {
        config: config.clone(),
        sequencer: sequencer.clone(),
        sessions,
        shelf,
        derived,
        clock: clock.clone(),
    });
    let console_address = serve_operators(&desk, &stopping).await?;
    tokio::spawn(take_requests(Arc::clone(&desk), stopping.clone()));
    tokio::spawn(rollout::watch_over(desk, registry, Arc::clone(&liveness), stopping.clone()));
    tokio::spawn(liveness::keep(liveness, liveness::path(config), stopping.clone()));
    let keeper = Arc::new(Mutex::new(keeper));
    tokio::spawn(serving::keep_up(Arc::clone(&keeper), stopping.clone()));
    let transport = tokio::spawn(transport(listener, shared, stopping));
    Ok(Running {
        address,
        http_address,
        console_address,
        stop,
        transport,
        follower,
        indexer,
        sequencer,
        writer,
        keeper,
        alarm,
        _lock: lock,
    })
}

/// Takes up whom `init` has invited, then lets operators in.
async fn serve_operators(desk: &Arc<Desk>, stopping: &watch::Receiver<bool>) -> anyhow::Result<Option<SocketAddr>> {
    if let Some(deed) = first::left(&desk.config)? {
        let request = Request {
            what: What::of_operator(deed),
            by: first::BY.into(),
            reason: "the first administrator".into(),
            until_ms: i64::MAX,
        };
        match desk.carry_out(&request).await {
            Ok(_) => first::taken_up(&desk.config),
            Err(error) => warn!("the administrator init invited is not: {error:#}"),
        }
    }
    match &desk.config.console {
        Some(console) => web::start(console, Arc::clone(desk), stopping.clone()).await.map(Some),
        None => Ok(None),
    }
}

/// Starts what shows the log to others. It ends by itself: the last of it when the log is closed.
fn show_log(
    config: &Config,
    http: Option<TcpListener>,
    sequencer: &Sequencer,
    public: &[u8; 32],
    stopping: &watch::Receiver<bool>,
) -> anyhow::Result<()> {
    let (board, newest) = board::board(config, sequencer.follow(), public);
    if let Some(folder) = &config.log.publish {
        tokio::spawn(board::keep_published(folder.clone(), config.log_db(), board.clone()));
    }
    if let Some(listener) = http {
        info!(address = %listener.local_addr()?, "log served over http");
        tokio::spawn(board::serve(listener, board, LogReader::open(&config.log_db())?, stopping.clone()));
    }
    if !config.log.witnesses.is_empty() {
        let files = (config.log_db(), config.data_dir.clone());
        tokio::spawn(board::follow(config.log.witnesses.clone(), files, sequencer.follow(), newest));
    }
    Ok(())
}

async fn lock(data_dir: &Path) -> anyhow::Result<DataLock> {
    let give_up = Instant::now() + LOCK_PATIENCE;
    loop {
        if let Some(lock) = DataLock::take(data_dir)? {
            return Ok(lock);
        }
        if Instant::now() > give_up {
            bail!("another collector is running on {}", data_dir.display());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn transport(
    listener: TcpListener,
    shared: Shared,
    mut stopping: watch::Receiver<bool>,
) -> Result<(), tonic::transport::Error> {
    let shared = Arc::new(shared);
    let accepted = acceptor::accept(listener, shared.serving.clone());
    let enrolment =
        EnrolmentServer::new(Enrolments::new(Arc::clone(&shared))).max_decoding_message_size(ENROL_BYTES_MAX);
    let uplink = UplinkServer::new(Ingest::new(shared)).max_decoding_message_size(MESSAGE_BYTES_MAX);
    Server::builder()
        .max_concurrent_streams(STREAMS_MAX)
        .http2_max_header_list_size(HEADERS_MAX)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(STREAM_WINDOW)
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_keepalive_timeout(Some(KEEPALIVE_ANSWER))
        .add_service(uplink)
        .add_service(enrolment)
        .serve_with_incoming_shutdown(accepted, async move {
            let _ = stopping.wait_for(|stop| *stop).await;
        })
        .await
}

impl Running {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where the log is shown over HTTP, if it is.
    pub fn http_address(&self) -> Option<SocketAddr> {
        self.http_address
    }

    /// Where operators come in, if they do.
    pub fn console_address(&self) -> Option<SocketAddr> {
        self.console_address
    }

    /// The way to the log.
    pub fn sequencer(&self) -> &Sequencer {
        &self.sequencer
    }

    /// Takes over certificates that were replaced, at once.
    pub fn take_over_certificates(&self) {
        self.keeper.lock().unwrap_or_else(PoisonError::into_inner).look();
    }

    /// Waits until the log cannot be written any more, and says why.
    pub async fn failed(&self) -> String {
        let mut failed = self.writer.failed.clone();
        let reason = match failed.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone(),
            Err(_) => None,
        };
        reason.unwrap_or_else(|| "the log's writer has ended".into())
    }

    /// Waits until a device has shown more of the log than is here. Everything is stopping then; the next start opens
    /// another log.
    pub async fn contradicted(&self) {
        self.alarm.raised().await;
    }

    /// Tells every stream, then closes the log. Takes less than two seconds.
    pub async fn stop(self) {
        let Self { stop, transport, follower, indexer, sequencer, writer, _lock, .. } = self;
        stop.send_replace(true);
        let abort = transport.abort_handle();
        if tokio::time::timeout(LAST_WORDS, transport).await.is_err() {
            warn!("streams did not end in time");
            abort.abort();
        }
        drop(sequencer);
        // Streams that outlive the transport hold the writer's queue open; the process does not wait for them.
        let joined = tokio::task::spawn_blocking(move || writer.thread.join());
        if tokio::time::timeout(CLOSE_LOG, joined).await.is_err() {
            warn!("log not closed in time");
        }
        let last = async { (follower.await, indexer.await) };
        if tokio::time::timeout(DERIVE_LAST, last).await.is_err() {
            info!("the rest is derived at the next start");
        }
        info!("stopped");
    }
}
