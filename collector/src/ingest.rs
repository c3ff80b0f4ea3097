//! The uplink: one session per stream, from Hello to the last receipt.
//!
//! A session is polled by the transport when it can send. Nothing is read from an agent that does not take its
//! answers, so a slow reader holds back itself and nobody else.

mod roster;
mod session;
mod shown;
mod welcome;

use std::pin::Pin;
use std::sync::Arc;

use futures_util::stream::{Stream, StreamExt as _, iter, unfold};
use tokio::sync::watch;
use tonic::{Request, Response, Status, Streaming};
use tracing::info;
use watchpost_proto::refusal::Code;
use watchpost_proto::v1::uplink_server::Uplink;
use watchpost_proto::v1::{
    AgentMessage, CollectorMessage, PolicyPart, PolicyRequest, RenewAnswer, RenewRequest, Renewed, RosterPart,
    RosterRequest, renew_answer,
};

use crate::acceptor::{Link, OpenStream};
use crate::clock::Clock;
use crate::enrolment::{self, Presented};
use crate::liveness::Liveness;
use crate::log_store::{Appender, LogName, PastLog};
use crate::peer::Peer;
use crate::people::shelf::Shelved;
use crate::policies::handing::Handing;
use crate::registry::{Effects, Registry};
use crate::sequencer::Sequencer;
use crate::serving::Serving;
use crate::sessions::Sessions;
use crate::succession::Alarm;

/// What all sessions share.
pub struct Shared {
    /// The tenant served.
    pub tenant: String,
    /// The way to the log.
    pub sequencer: Sequencer,
    /// Deny-list and key history.
    pub registry: Arc<Registry>,
    /// Which process speaks for which device.
    pub sessions: Arc<Sessions>,
    /// Who is heard from.
    pub liveness: Arc<Liveness>,
    /// Certificate, key, roots: what a new stream is met with.
    pub serving: watch::Receiver<Arc<Serving>>,
    /// The roster handed on.
    pub shelf: watch::Receiver<Option<Arc<Shelved>>>,
    /// The time.
    pub clock: Clock,
    /// Which log this is.
    pub log: LogName,
    /// The log's public key, 32 bytes.
    pub log_public: [u8; 32],
    /// Policies on their way to devices.
    pub handing: Handing,
    /// The logs before it.
    pub past_logs: Vec<PastLog>,
    /// Raised when a device shows more of the log than is here.
    pub alarm: Alarm,
    /// Becomes true when the collector stops.
    pub stopping: watch::Receiver<bool>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("tenant", &self.tenant).field("log", &self.log).finish_non_exhaustive()
    }
}

impl Shared {
    async fn renew(&self, peer: &Peer, request: &RenewRequest) -> Result<Vec<Vec<u8>>, Code> {
        if request.protocol != welcome::PROTOCOL {
            return Err(Code::ProtocolUnsupported);
        }
        self.let_in(peer).await?;
        let key = enrolment::requested_key(&request.request)?;
        let enrolling = self.serving.borrow().enrolling.clone().ok_or(Code::EnrolmentClosed)?;
        let presented = self.presented(peer);
        let work = move |appender: &mut Appender<'_>, effects: &mut Effects| {
            enrolment::renew(appender, &enrolling.issuer, &presented, &key, effects)
        };
        let chain = self.sequencer.run(work).await.map_err(|_| Code::StorageFailed)??;
        info!(device = %peer.device, "certificate renewed");
        Ok(chain)
    }

    /// Digest of the roster that devices should have in force; empty where there is none.
    fn roster_offer(&self) -> Vec<u8> {
        self.shelf.borrow().as_ref().map(|shelved| shelved.digest.to_vec()).unwrap_or_default()
    }

    /// Turns an earlier key of a device away that was told to come to a new one.
    async fn let_in(&self, peer: &Peer) -> Result<(), Code> {
        if !self.registry.shuts_out(&peer.device, &peer.key_id) {
            return Ok(());
        }
        let (device, address, at_ms) = (peer.device, peer.address.to_string(), self.clock.now_ms());
        let work = move |appender: &mut Appender<'_>, effects: &mut Effects| {
            enrolment::rekey::note_shut_out(appender, device, &address, at_ms, effects)
        };
        self.sequencer.run(work).await.map_err(|_| Code::StorageFailed)?;
        Err(Code::KeyReplaced)
    }

    /// What goes to devices beside their stream goes to whoever may have one.
    async fn may_fetch(&self, peer: &Peer) -> Result<(), Status> {
        let refused = |code: Code| Status::permission_denied(code.as_str());
        peer.check_dates(self.clock.now_ms()).map_err(refused)?;
        if self.registry.device(&peer.device).revoked {
            return Err(refused(Code::DeviceRevoked));
        }
        self.let_in(peer).await.map_err(refused)
    }

    fn presented(&self, peer: &Peer) -> Presented {
        let at_ms = self.clock.now_ms();
        let expired = peer.check_dates(at_ms) == Err(Code::CertificateExpired);
        Presented { device: peer.device, key: peer.key.clone(), expired, at_ms }
    }
}

/// The service.
#[derive(Clone, Debug)]
pub struct Ingest(Arc<Shared>);

impl Ingest {
    /// Serves with what all sessions share.
    pub fn new(shared: Arc<Shared>) -> Self {
        Self(shared)
    }
}

/// What goes out one after another.
type Parts<P> = Pin<Box<dyn Stream<Item = Result<P, Status>> + Send>>;

/// Who calls. A connection may call only the service its handshake was for.
fn caller<T>(request: &Request<T>) -> Result<(Link, Arc<Peer>), Status> {
    let link = request.extensions().get::<Link>().cloned();
    let known = link.and_then(|link| link.peer().cloned().map(|peer| (link, peer)));
    known.ok_or_else(|| Status::unauthenticated("no certificate"))
}

/// Keeps the connection open for as long as there are parts.
fn lasting<P>(open: OpenStream, parts: impl Stream<Item = Result<P, Status>> + Send + 'static) -> Parts<P> {
    Box::pin(parts.inspect(move |_| {
        let _ = &open;
    }))
}

#[tonic::async_trait]
impl Uplink for Ingest {
    type SyncStream = Parts<CollectorMessage>;

    async fn sync(&self, request: Request<Streaming<AgentMessage>>) -> Result<Response<Self::SyncStream>, Status> {
        let (link, peer) = caller(&request)?;
        let session = session::Session::new(Arc::clone(&self.0), &link, &peer, request.into_inner());
        let answers = unfold(session, |mut session| async move {
            let message = session.next().await?;
            Some((Ok(message), session))
        });
        Ok(Response::new(Box::pin(answers)))
    }

    type PolicyStream = Parts<PolicyPart>;
    type RosterStream = Parts<RosterPart>;

    async fn roster(&self, request: Request<RosterRequest>) -> Result<Response<Self::RosterStream>, Status> {
        let (link, peer) = caller(&request)?;
        let open = link.open();
        self.0.may_fetch(&peer).await?;
        let parts = roster::answer(&self.0, &peer, request.into_inner())?;
        Ok(Response::new(lasting(open, iter(parts.map(Ok)))))
    }

    async fn policy(&self, request: Request<PolicyRequest>) -> Result<Response<Self::PolicyStream>, Status> {
        let (link, peer) = caller(&request)?;
        let open = link.open();
        self.0.may_fetch(&peer).await?;
        Ok(Response::new(lasting(open, self.0.handing.hand(&self.0, &peer, request.get_ref()).await?)))
    }

    async fn renew(&self, request: Request<RenewRequest>) -> Result<Response<RenewAnswer>, Status> {
        let (link, peer) = caller(&request)?;
        let _open = link.open();
        let kind = match self.0.renew(&peer, request.get_ref()).await {
            Ok(chain) => renew_answer::Kind::Renewed(Renewed { chain }),
            Err(code) => {
                info!(device = %peer.device, code = code.as_str(), "certificate not renewed");
                renew_answer::Kind::Refusal(code.refusal())
            }
        };
        Ok(Response::new(RenewAnswer { server_ms: self.0.clock.now_ms(), kind: Some(kind) }))
    }
}
