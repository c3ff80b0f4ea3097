//! The uplink: connects, says Hello, sends sealed segments within their credit and takes receipts.
//!
//! One connection at a time, dialled by this module's own loop. Success is an answered Hello: in TLS 1.3 a connection
//! looks open before the collector has looked at the device's certificate. Every failure leads back to the loop.

mod enrolment;
mod lost_key;
mod offers;
mod reconcile;
mod renewal;
mod report;
mod rosters;
mod succession;
mod tls;
mod trouble;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{Notify, mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::{Channel, Endpoint};
use watchpost_proto::keys::PublicKey;
use watchpost_proto::limits::MESSAGE_BYTES_MAX;
use watchpost_proto::refusal::Code;
use watchpost_proto::v1::uplink_client::UplinkClient;
use watchpost_proto::v1::{
    AgentMessage, CollectorMessage, Heads, Heartbeat, Hello, Lane, LaneHead, Ready, Refusal, SignedReceipt, Welcome,
    agent_message, collector_message,
};
use watchpost_proto::{Digest, EpochId, InstanceId, identity, receipt};

use crate::clock::Clock;
use crate::device::{Device, DeviceFiles, Held};
use crate::in_force::Switch;
use crate::policies::Policies;
use crate::random;
use crate::rosters::Rosters;
use crate::seal::{SERVER_TIME, last_server_time};
use crate::store::{Backlog, Store, StoreError, verify_chains};
use crate::summary::MadeUnder;
use tls::{Dialler, Times};

pub use enrolment::{Member, Who, enrol};
pub use lost_key::refused_for_its_key;
pub use reconcile::{Trouble, reconcile};
pub use report::{UplinkReport, uplink_report};
pub use trouble::Way;

/// The version of the contract spoken here.
const PROTOCOL: u32 = 1;
/// First wait after a failure; doubles up to the configured maximum, with full jitter.
const RETRY_FIRST: Duration = Duration::from_millis(500);
/// From the first byte sent to an answered Hello.
const WELCOME_TIMEOUT: Duration = Duration::from_secs(20);
/// Without any message for this many heartbeats the connection is given up.
const SILENT_HEARTBEATS: u32 = 3;
/// A peer that takes nothing and says nothing for this long is given up.
const SAY_TIMEOUT: Duration = Duration::from_secs(60);
/// A connection that lasted this long was of use, whatever came of it.
const USEFUL_AFTER: Duration = Duration::from_secs(30);
/// Between two writings of the server time that a heartbeat told.
const SERVER_TIME_EVERY_MS: i64 = 24 * 60 * 60 * 1000;
/// Bounds what a refusal can ask for.
const REFUSAL_WAIT: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(3600));

/// Where to, and how patiently.
#[derive(Clone, Debug)]
pub struct UplinkConfig {
    /// Each `host:port`, tried in turn.
    pub collectors: Vec<String>,
    /// Between heartbeats.
    pub heartbeat: Duration,
    /// Longest wait between attempts.
    pub retry_max: Duration,
}

/// What the daemon may tell about itself in a heartbeat.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceState {
    /// Why the source rests; empty while it reads.
    pub resting: String,
    /// Exports not read yet.
    pub files_waiting: u64,
    /// Since when there were some without a break, by the monotonic clock, and when the oldest of them now was last written, milliseconds.
    pub waiting_since: Option<(Duration, i64)>,
}

impl SourceState {
    /// How long an export has been there unread: neither one that is still being written nor one of an old date that came just now counts.
    fn export_waits(&self, clock: &dyn Clock) -> Duration {
        let Some((since, written_ms)) = self.waiting_since else { return Duration::ZERO };
        let age_ms = clock.wall_ms().saturating_sub(written_ms);
        clock.monotonic().saturating_sub(since).min(Duration::from_millis(u64::try_from(age_ms).unwrap_or(0)))
    }
}

/// The uplink of one process.
pub struct Uplink {
    config: UplinkConfig,
    device: Arc<Device>,
    files: DeviceFiles,
    store: Arc<Store>,
    clock: Arc<dyn Clock>,
    switch: Arc<Switch>,
    instance: InstanceId,
    /// Which of the addresses is tried.
    address: AtomicUsize,
    /// Not before this moment is a renewal tried.
    renew_after: Mutex<Duration>,
    sealed: Arc<Notify>,
    freed: Box<dyn Fn() + Send + Sync>,
    source: watch::Receiver<SourceState>,
    connected: Arc<AtomicBool>,
    /// Takes policies that are offered; `None` where nobody does.
    policies: Option<Arc<Policies>>,
    /// Takes rosters that are offered; `None` where nobody does.
    rosters: Option<Arc<Rosters>>,
}

/// How one connection ended.
#[derive(Debug, thiserror::Error)]
pub enum Ended {
    /// The collector said no, with a code and a sentence.
    #[error("{code}: {sentence}")]
    Refused {
        /// The code as sent.
        code: String,
        /// The English sentence.
        sentence: String,
        /// The Chinese sentence.
        sentence_zh: String,
        /// When to try again.
        retry_after: Duration,
    },
    /// No connection, for a reason people can do something about.
    #[error("{0}")]
    Way(Way),
    /// No connection, or it broke.
    #[error("{0}")]
    Connection(String),
    /// The certificate was renewed: the next connection shows it.
    #[error("the certificate was renewed")]
    Renewed,
    /// The other side is not the collector this device trusts, or does not behave like one.
    #[error("{0}")]
    Distrusted(Trouble),
    /// Everything was sent and receipted, which is only asked for by [`Uplink::sync_until`].
    #[error("everything is receipted")]
    Drained,
    /// The local database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Uplink {
    /// An uplink that is not connected yet. `sealed` wakes it when a segment was made; it calls `freed` when a
    /// receipt made room, or a new epoch left records to seal.
    #[expect(clippy::too_many_arguments, reason = "each is a distinct collaborator, named once at start")]
    pub fn new(
        config: UplinkConfig,
        device: Arc<Device>,
        files: DeviceFiles,
        store: Arc<Store>,
        clock: Arc<dyn Clock>,
        switch: Arc<Switch>,
        sealed: Arc<Notify>,
        freed: Box<dyn Fn() + Send + Sync>,
        source: watch::Receiver<SourceState>,
    ) -> Self {
        let instance = InstanceId(random::bytes());
        let (address, renew_after) = (AtomicUsize::new(0), Mutex::new(Duration::ZERO));
        let connected = Arc::default();
        Self {
            config,
            device,
            files,
            store,
            clock,
            switch,
            instance,
            address,
            renew_after,
            sealed,
            freed,
            source,
            connected,
            policies: None,
            rosters: None,
        }
    }

    /// Hands on rosters that are offered.
    #[must_use]
    pub fn offering_rosters_to(self, rosters: Arc<Rosters>) -> Self {
        Self { rosters: Some(rosters), ..self }
    }

    /// Hands on policies that are offered.
    #[must_use]
    pub fn offering_to(self, policies: Arc<Policies>) -> Self {
        Self { policies: Some(policies), ..self }
    }

    /// Whether segments that are sealed now are sent now.
    pub fn connected(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.connected)
    }

    /// Connects again and again until the database fails.
    pub async fn run(&self) -> StoreError {
        let mut failures = 0;
        loop {
            let (ended, useful) = self.connect(false).await;
            failures = if useful { 0 } else { failures + 1 };
            if let Err(error) = self.tell(&ended) {
                return error;
            }
            let wait = match ended {
                Ended::Renewed => self.backoff(failures),
                Ended::Store(StoreError::Full) => self.backoff(failures + 1),
                Ended::Store(error) => return error,
                Ended::Refused { code, sentence, retry_after, .. } => {
                    tracing::warn!(code, sentence, "the collector refused");
                    retry_after.mul_f64(0.75 + random::fraction() / 2.0)
                }
                Ended::Distrusted(trouble) => {
                    tracing::error!(%trouble, "the other side is not trusted");
                    self.config.retry_max
                }
                ended => {
                    tracing::info!(reason = %ended, "not connected");
                    self.backoff(failures)
                }
            };
            tokio::time::sleep(wait).await;
        }
    }

    /// Sends until everything is receipted or the deadline has come. Returns whether everything is. Where no thread of its
    /// own seals, `freed` is the place to do it: a new epoch leaves records to be sealed again.
    pub async fn sync_until(&self, deadline: tokio::time::Instant) -> Result<bool, Ended> {
        let mut failures = 0;
        loop {
            let (ended, _) = match tokio::time::timeout_at(deadline, self.connect(true)).await {
                Ok(ended) => ended,
                Err(_) => return Ok(self.backlog()?.records() == 0),
            };
            self.tell(&ended)?;
            failures += 1;
            match ended {
                Ended::Drained => return Ok(true),
                Ended::Renewed => continue,
                Ended::Connection(_) | Ended::Way(_) => {}
                ended => return Err(ended),
            }
            if tokio::time::timeout_at(deadline, tokio::time::sleep(self.backoff(failures))).await.is_err() {
                return Ok(false);
            }
        }
    }

    /// Connects until one Hello has been welcomed, or the deadline has come.
    pub async fn heard(&self, deadline: tokio::time::Instant) -> Result<(), Ended> {
        let mut failures = 0;
        loop {
            let opened = tokio::time::timeout_at(deadline, self.open()).await;
            let ended = match opened {
                Ok(Ok((mut session, welcome))) => {
                    session.begin(&welcome).await?;
                    match session.renew_if_due().await {
                        Ok(()) => return Ok(()),
                        Err(ended) => ended,
                    }
                }
                Ok(Err(ended)) => ended,
                Err(_) => return Err(Ended::Connection("the collector did not answer in time".into())),
            };
            self.tell(&ended)?;
            failures += 1;
            if !matches!(ended, Ended::Renewed) {
                let rest = tokio::time::sleep(self.backoff(failures));
                tokio::time::timeout_at(deadline, rest).await.map_err(|_| ended)?;
            }
        }
    }

    /// Keeps how the uplink stands, for `status`. A full disk keeps it as it was.
    fn tell(&self, ended: &Ended) -> Result<(), StoreError> {
        let Some(report) = UplinkReport::ended(ended, self.clock.wall_ms()) else { return Ok(()) };
        match report.keep(&self.store) {
            Err(StoreError::Full) => Ok(()),
            kept => kept,
        }
    }

    fn backoff(&self, failures: u32) -> Duration {
        let ceiling = RETRY_FIRST.saturating_mul(1 << failures.min(16)).min(self.config.retry_max);
        ceiling.mul_f64(random::fraction()).max(Duration::from_millis(50))
    }

    fn made(&self) -> MadeUnder {
        MadeUnder::new(&self.switch.now(), self.clock.wall_ms())
    }

    fn backlog(&self) -> Result<Backlog, StoreError> {
        self.store.read(|tx| tx.backlog())
    }

    /// One connection from dialling to its end, and whether it was of use.
    async fn connect(&self, until_drained: bool) -> (Ended, bool) {
        let since = tokio::time::Instant::now();
        let opened = tokio::time::timeout(WELCOME_TIMEOUT, self.open()).await;
        let (mut session, welcome) = match opened {
            Ok(Ok(opened)) => opened,
            Ok(Err(ended)) => return (ended, false),
            Err(_) => return (Ended::Connection("the collector did not answer Hello in time".into()), false),
        };
        let ended = match session.begin(&welcome).await {
            Ok(()) => {
                self.connected.store(true, Ordering::Relaxed);
                session.serve(until_drained).await.err().unwrap_or(Ended::Drained)
            }
            Err(ended) => ended,
        };
        self.connected.store(false, Ordering::Relaxed);
        (ended, session.useful || since.elapsed() >= USEFUL_AFTER)
    }

    async fn open(&self) -> Result<(Session<'_>, Welcome), Ended> {
        let (send, outgoing) = mpsc::channel(4);
        let channel = self.dial().await?;
        let mut client = UplinkClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX);
        let hello = self.hello()?;
        let hello = AgentMessage { kind: Some(agent_message::Kind::Hello(hello)) };
        send.send(hello).await.map_err(|_| Ended::Connection("the connection closed".into()))?;
        let mut incoming =
            client.sync(ReceiverStream::new(outgoing)).await.map_err(|status| connection(&status))?.into_inner();
        let welcome = match next(&mut incoming).await? {
            collector_message::Kind::Welcome(welcome) => welcome,
            collector_message::Kind::Refusal(refusal) => return Err(self.refused_hello(&mut client, refusal).await),
            _ => return Err(Ended::Distrusted(Trouble::OutOfTurn)),
        };
        let session = Session {
            uplink: self,
            client,
            send,
            incoming,
            signer: None,
            epoch: EpochId([0; 16]),
            lanes: Vec::new(),
            silent: 0,
            useful: false,
            renew_now: false,
            offer: Vec::new(),
            roster_offer: Vec::new(),
        };
        Ok((session, welcome))
    }

    async fn dial(&self) -> Result<Channel, Ended> {
        let held = self.device.held();
        let times = Times { now_ms: self.clock.wall_ms(), server_ms: self.signed_time(&held)? };
        let dialler = Dialler::uplink(&held, times).map_err(|error| Ended::Connection(error.to_string()))?;
        let address = self.address();
        // The name in the URI is what HTTP/2 calls the authority; the address dialled is the configured one.
        let dialled = Endpoint::from_static("http://uplink.watchpost.internal")
            .connect_with_connector(tower::service_fn(move |_| dialler.clone().dial(address.clone())))
            .await;
        dialled.map_err(|error| {
            // The next attempt goes to the next address.
            self.address.fetch_add(1, Ordering::Relaxed);
            connection(&error)
        })
    }

    /// The latest time that somebody trusted has told: a collector, or the authority that dated the certificate held.
    fn signed_time(&self, held: &Held) -> Result<i64, StoreError> {
        let issued = held.chain.first().and_then(|leaf| identity::validity_ms(leaf)).map_or(0, |(from, _)| from);
        Ok(self.store.read(last_server_time)?.max(issued))
    }

    fn address(&self) -> String {
        let addresses = &self.config.collectors;
        let at = self.address.load(Ordering::Relaxed).checked_rem(addresses.len()).unwrap_or(0);
        addresses.get(at).cloned().unwrap_or_default()
    }

    /// A refused Hello. That a certificate has ended, or has not begun because a clock of the collector's was ahead once, is
    /// for the collector to say, whatever the clocks here think: it is renewed on the spot, on the connection that has just
    /// proved its key.
    async fn refused_hello(&self, client: &mut UplinkClient<Channel>, refusal: Refusal) -> Ended {
        if !matches!(Code::parse(&refusal.code), Some(Code::CertificateExpired | Code::CertificateNotYetValid)) {
            return refused(refusal);
        }
        self.renew(client).await.err().unwrap_or(Ended::Renewed)
    }

    fn hello(&self) -> Result<Hello, StoreError> {
        let membership = self.files.membership();
        self.store.read(|tx| {
            let lanes = tx.lanes()?;
            let epoch = lanes.first().map(|lane| lane.head.epoch.to_vec()).unwrap_or_default();
            let server_ms = last_server_time(tx)?;
            Ok(Hello {
                protocol: PROTOCOL,
                tenant: self.device.tenant.clone(),
                device: self.device.id.to_vec(),
                instance: self.instance.to_vec(),
                agent_version: env!("CARGO_PKG_VERSION").into(),
                epoch,
                lanes: lanes
                    .iter()
                    .map(|state| LaneHead {
                        lane: state.lane.into(),
                        epoch: state.head.epoch.to_vec(),
                        next_sequence: state.head.next,
                        head: state.head.digest.map(Digest::to_vec).unwrap_or_default(),
                    })
                    .collect(),
                clocks: Some(self.clock.clocks(server_ms)),
                checkpoint: reconcile::last_checkpoint(tx)?,
                policy: self.switch.now().policy.to_vec(),
                receipts: tx.receipts_to_show()?,
                group: membership.group,
                site: membership.site,
            })
        })
    }
}

/// One welcomed connection.
struct Session<'a> {
    uplink: &'a Uplink,
    /// For questions beside the stream, on the same connection.
    client: UplinkClient<Channel>,
    send: mpsc::Sender<AgentMessage>,
    incoming: Streaming<CollectorMessage>,
    /// Signs receipts; known after Welcome.
    signer: Option<PublicKey>,
    epoch: EpochId,
    lanes: Vec<LaneCursor>,
    /// Heartbeats since the last message from the collector.
    silent: u32,
    /// A receipt has come.
    useful: bool,
    /// The collector asks for a renewal.
    renew_now: bool,
    /// The policy on offer.
    offer: Vec<u8>,
    /// The roster on offer.
    roster_offer: Vec<u8>,
}

/// How far a lane has been sent on this connection.
struct LaneCursor {
    lane: Lane,
    /// Next sequence to send.
    next: u64,
    /// Sent and not receipted.
    under_way: u64,
    credit: u64,
}

impl Session<'_> {
    /// Acts on Welcome: trust, heads, receipts. Opens a new epoch where this device and the collector have parted.
    async fn begin(&mut self, welcome: &Welcome) -> Result<(), Ended> {
        let uplink = self.uplink;
        let trusted = tls::verify_signer(&uplink.device, &welcome.signer_chain, uplink.clock.wall_ms())
            .map_err(Ended::Distrusted)?;
        let agreed =
            reconcile(&uplink.store, &uplink.device, &trusted, welcome, &uplink.made())?.map_err(Ended::Distrusted)?;
        tracing::info!(collector = uplink.address(), epoch = %agreed.epoch, "connected");
        UplinkReport::connected(uplink.clock.wall_ms(), welcome.server_ms).keep(&uplink.store)?;
        uplink.learn_roots(welcome);
        self.renew_now = welcome.renew_now;
        self.offer.clone_from(&welcome.policy_offer);
        self.roster_offer.clone_from(&welcome.roster_offer);
        self.signer = Some(trusted);
        self.epoch = agreed.epoch;
        self.lanes = agreed
            .next
            .iter()
            .map(|(lane, next, credit)| LaneCursor { lane: *lane, next: *next, under_way: 0, credit: *credit })
            .collect();
        (uplink.freed)();
        let slot = welcome.pace.as_ref().map_or(0, |pace| pace.slot_ms);
        tokio::time::sleep(Duration::from_millis(slot).min(REFUSAL_WAIT.1)).await;
        self.say(agent_message::Kind::Ready(Ready { nonce: welcome.nonce.clone() })).await
    }

    async fn serve(&mut self, until_drained: bool) -> Result<(), Ended> {
        self.renew_if_due().await?;
        self.uplink.offered(&self.offer, &self.client);
        self.uplink.roster_offered(&self.roster_offer, &self.client);
        let mut heartbeat = tokio::time::interval(self.uplink.config.heartbeat);
        loop {
            self.fill().await?;
            if until_drained && self.uplink.backlog()?.records() == 0 {
                return Ok(());
            }
            tokio::select! {
                message = next(&mut self.incoming) => self.take(message?)?,
                () = self.uplink.sealed.notified() => {}
                _ = heartbeat.tick() => {
                    self.beat().await?;
                    self.renew_if_due().await?;
                }
            }
        }
    }

    /// Sends sealed segments while there is credit, the urgent lane first.
    async fn fill(&mut self) -> Result<(), Ended> {
        loop {
            let mut sent = false;
            for at in 0..self.lanes.len() {
                let cursor = &self.lanes[at];
                if cursor.under_way >= cursor.credit {
                    continue;
                }
                let (lane, sequence) = (cursor.lane, cursor.next);
                let Some(segment) = self.uplink.store.read(|tx| tx.segment(self.epoch, lane, sequence))? else {
                    continue;
                };
                // Counted before it is said: an answer may come while it is on its way.
                self.lanes[at].next += 1;
                self.lanes[at].under_way += 1;
                self.say(agent_message::Kind::Segment(segment)).await?;
                sent = true;
                break;
            }
            if !sent {
                return Ok(());
            }
        }
    }

    fn take(&mut self, message: collector_message::Kind) -> Result<(), Ended> {
        self.silent = 0;
        match message {
            collector_message::Kind::Receipt(receipt) => self.receipted(&receipt),
            collector_message::Kind::Heads(heads) => self.rewind(&heads),
            collector_message::Kind::Refusal(refusal) => self.refused(refusal),
            collector_message::Kind::HeartbeatReply(reply) => self.keep_server_time(reply.server_ms),
            // A relay has it. Nothing may be deleted for that.
            collector_message::Kind::Held(_) => Ok(()),
            collector_message::Kind::Offer(offer) => {
                (self.offer, self.roster_offer) = (offer.policy, offer.roster);
                self.uplink.offered(&self.offer, &self.client);
                self.uplink.roster_offered(&self.roster_offer, &self.client);
                Ok(())
            }
            collector_message::Kind::Welcome(_) => Err(Ended::Distrusted(Trouble::OutOfTurn)),
        }
    }

    /// Once a day is often enough for what helps a device with a wrong clock, and leaves the disk of an idle one alone.
    fn keep_server_time(&self, server_ms: i64) -> Result<(), Ended> {
        let store = &self.uplink.store;
        if store.read(last_server_time)?.saturating_add(SERVER_TIME_EVERY_MS) < server_ms {
            store.transaction(|tx| tx.put_seen(SERVER_TIME, &server_ms.to_be_bytes()))?;
        }
        Ok(())
    }

    fn receipted(&mut self, signed: &SignedReceipt) -> Result<(), Ended> {
        let uplink = self.uplink;
        let opened = self.signer.as_ref().and_then(|signer| receipt::open_receipt(signed, signer));
        let receipt = opened.ok_or(Ended::Distrusted(Trouble::Receipt))?;
        let place = reconcile::place(&receipt, &uplink.device).ok_or(Ended::Distrusted(Trouble::Receipt))?;
        let digest = Digest::from_slice(&receipt.statement_digest).ok_or(Ended::Distrusted(Trouble::Receipt))?;
        let now_ms = uplink.clock.wall_ms();
        let own = uplink.store.transaction(|tx| {
            reconcile::remember_checkpoint(tx, &receipt.checkpoint)?;
            tx.receipted(place, digest, signed, now_ms)
        })?;
        if !own {
            return Err(Ended::Distrusted(Trouble::Receipt));
        }
        self.useful = true;
        if let Some(cursor) = self.lanes.iter_mut().find(|cursor| cursor.lane == place.1) {
            cursor.under_way = cursor.next.saturating_sub(place.2 + 1);
        }
        (uplink.freed)();
        Ok(())
    }

    /// The collector expects something else: go back to it, but never forward over what it has not receipted.
    fn rewind(&mut self, heads: &Heads) -> Result<(), Ended> {
        for head in &heads.lanes {
            let same_epoch = head.epoch == self.epoch.0;
            if let Some(cursor) = self.lanes.iter_mut().find(|cursor| i32::from(cursor.lane) == head.lane) {
                cursor.next = if same_epoch { head.next_sequence.min(cursor.next) } else { 0 };
                cursor.under_way = 0;
            }
        }
        Ok(())
    }

    /// What is refused for its place or its key will be refused again: it is sealed anew in a new epoch. What is refused
    /// for its content may have been damaged here.
    fn refused(&mut self, refusal: Refusal) -> Result<(), Ended> {
        let uplink = self.uplink;
        match Code::parse(&refusal.code) {
            Some(Code::Fork | Code::KeyUnknown | Code::SignatureInvalid | Code::WrongDevice | Code::WrongTenant) => {
                reconcile::part_ways(&uplink.store, &uplink.device, &uplink.made())?;
                (uplink.freed)();
            }
            Some(Code::PayloadAltered | Code::Malformed) => {
                let verdict = uplink.store.read(|tx| verify_chains(tx, Some(uplink.device.held().key.public())))?;
                if let Err(fault) = verdict {
                    tracing::error!(%fault, "the outbox is damaged");
                    return Err(StoreError::Malformed("segment").into());
                }
            }
            Some(Code::RecipientUnknown) => {
                let sent: Vec<_> = self.lanes.iter().map(|cursor| (cursor.lane, cursor.next)).collect();
                if refused_for_its_key(&uplink.store, &uplink.device, &uplink.made(), self.epoch, &sent)? {
                    (uplink.freed)();
                }
            }
            _ => {}
        }
        Err(refused(refusal))
    }

    /// A certificate that was renewed is shown at once, by another connection: only one that was shown has replaced the
    /// one before.
    async fn renew_if_due(&mut self) -> Result<(), Ended> {
        if !self.renew_now && !self.uplink.renewal_due()? {
            return Ok(());
        }
        self.renew_now = false;
        match self.uplink.renew(&mut self.client).await {
            Ok(()) => Err(Ended::Renewed),
            Err(Ended::Store(error)) => Err(error.into()),
            Err(ended) => {
                tracing::warn!(reason = %ended, "the certificate was not renewed; it is tried again");
                Ok(())
            }
        }
    }

    async fn beat(&mut self) -> Result<(), Ended> {
        self.silent += 1;
        if self.silent > SILENT_HEARTBEATS {
            return Err(Ended::Connection("the collector fell silent".into()));
        }
        let uplink = self.uplink;
        // What could not be fetched is tried again.
        uplink.offered(&self.offer, &self.client);
        uplink.roster_offered(&self.roster_offer, &self.client);
        let (backlog, oldest_ms, server_ms) =
            uplink.store.read(|tx| Ok((tx.backlog()?, tx.oldest_unreceipted_ms()?, last_server_time(tx)?)))?;
        let source = uplink.source.borrow().clone();
        let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let record_waits_ms = oldest_ms.map_or(0, |sealed_ms| uplink.clock.wall_ms().saturating_sub(sealed_ms));
        self.say(agent_message::Kind::Heartbeat(Heartbeat {
            clocks: Some(uplink.clock.clocks(server_ms)),
            backlog_records: backlog.records(),
            backlog_bytes: backlog.bytes(),
            files_waiting: source.files_waiting,
            every_ms: millis(uplink.config.heartbeat),
            record_waits_ms: u64::try_from(record_waits_ms).unwrap_or(0),
            export_waits_ms: millis(source.export_waits(&*uplink.clock)),
            resting: source.resting,
            policy: uplink.switch.now().policy.to_vec(),
        }))
        .await
    }

    async fn say(&mut self, kind: agent_message::Kind) -> Result<(), Ended> {
        // While the collector does not take what is sent, its answers must still be read: it may be saying no.
        let message = AgentMessage { kind: Some(kind) };
        let send = self.send.clone();
        loop {
            tokio::select! {
                permit = send.reserve() => {
                    permit.map_err(|_| Ended::Connection("the connection closed".into()))?.send(message);
                    return Ok(());
                }
                answer = next(&mut self.incoming) => self.take(answer?)?,
                () = tokio::time::sleep(SAY_TIMEOUT) => {
                    return Err(Ended::Connection("the collector takes nothing".into()));
                }
            }
        }
    }
}

/// The next message of a kind known here; what a later version says beside is passed over.
async fn next(incoming: &mut Streaming<CollectorMessage>) -> Result<collector_message::Kind, Ended> {
    loop {
        let message = incoming.message().await.map_err(|status| connection(&status))?;
        let message = message.ok_or_else(|| Ended::Connection("the collector closed the connection".into()))?;
        if let Some(kind) = message.kind {
            return Ok(kind);
        }
    }
}

fn refused(refusal: Refusal) -> Ended {
    let retry_after = Duration::from_millis(refusal.retry_after_ms).clamp(REFUSAL_WAIT.0, REFUSAL_WAIT.1);
    let (sentence, sentence_zh) = (refusal.sentence_en, refusal.sentence_zh);
    Ended::Refused { code: refusal.code, sentence, sentence_zh, retry_after }
}

/// What in a chain of errors people can do something about.
fn connection(error: &(dyn std::error::Error + 'static)) -> Ended {
    match Way::of(error) {
        Way::Broken(reason) => Ended::Connection(reason),
        way => Ended::Way(way),
    }
}
