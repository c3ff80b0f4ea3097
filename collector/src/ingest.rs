//! The uplink: one session per stream, from Hello to the last receipt.
//!
//! A session is polled by the transport when it can send. Nothing is read from an agent that does not take its
//! answers, so a slow reader holds back itself and nobody else.

mod session;
mod welcome;

use std::pin::Pin;
use std::sync::Arc;

use futures_util::stream::{Stream, unfold};
use tokio::sync::watch;
use tonic::{Request, Response, Status, Streaming};
use watchpost_proto::keys::SigningKey;
use watchpost_proto::v1::uplink_server::Uplink;
use watchpost_proto::v1::{AgentMessage, CollectorMessage, SignedLogKey};

use crate::acceptor::Link;
use crate::liveness::Liveness;
use crate::log_store::LogName;
use crate::registry::Registry;
use crate::sequencer::Sequencer;
use crate::sessions::Sessions;

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
    /// The collector's key, for receipts.
    pub key: Box<dyn SigningKey>,
    /// Its chain, DER, leaf first.
    pub signer_chain: Vec<Vec<u8>>,
    /// Which log this is.
    pub log: LogName,
    /// The log key, introduced by the collector's key.
    pub log_key: SignedLogKey,
    /// The log's public key, 32 bytes.
    pub log_public: [u8; 32],
    /// Becomes true when the collector stops.
    pub stopping: watch::Receiver<bool>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("tenant", &self.tenant).field("log", &self.log).finish_non_exhaustive()
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

#[tonic::async_trait]
impl Uplink for Ingest {
    type SyncStream = Pin<Box<dyn Stream<Item = Result<CollectorMessage, Status>> + Send>>;

    async fn sync(&self, request: Request<Streaming<AgentMessage>>) -> Result<Response<Self::SyncStream>, Status> {
        let link = request.extensions().get::<Link>().cloned();
        let link = link.ok_or_else(|| Status::unauthenticated("no certificate"))?;
        let session = session::Session::new(Arc::clone(&self.0), &link, request.into_inner());
        let answers = unfold(session, |mut session| async move {
            let message = session.next().await?;
            Some((Ok(message), session))
        });
        Ok(Response::new(Box::pin(answers)))
    }
}
