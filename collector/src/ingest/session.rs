//! One stream: what it may do when, and what it is answered.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::sync::watch;
use tokio::time::Instant;
use tonic::{Code as GrpcCode, Status, Streaming};
use tracing::{debug, info, warn};
use watchpost_proto::limits::LANE_CREDIT;
use watchpost_proto::receipt;
use watchpost_proto::refusal::Code;
use watchpost_proto::v1::{
    AgentMessage, CollectorMessage, DeviceVerb, Heads, Heartbeat, HeartbeatReply, Hello, Lane, Offer, Ready, Receipt,
    Segment, SignedReceipt, agent_message, collector_message,
};
use watchpost_proto::{Digest, InstanceId, segment::Head};

use super::{Shared, welcome};
use crate::acceptor::{Link, OpenStream};
use crate::chain::{Answer, BY_COLLECTOR, Deed, Verdict};
use crate::enrolment;
use crate::liveness::Connection;
use crate::log_store::{Appender, LaneState, RolloutFacts};
use crate::peer::Peer;
use crate::people::shelf::Shelved;
use crate::policies;
use crate::registry::Effects;
use crate::serving::Serving;
use crate::sessions::Seat;
use crate::verify::verify;

/// The first message must come within this time of the stream's start, and Ready within it of Welcome.
const GREETING: Duration = Duration::from_secs(15);
/// A stream that says nothing for this long is dead: agents send a heartbeat every minute, and at most every five.
const SILENCE: Duration = Duration::from_secs(11 * 60);
/// How long answers under way are waited for before the last word.
const LAST_ANSWERS: Duration = Duration::from_secs(10);

enum Stage {
    /// Nothing has come yet.
    Greeting,
    /// Welcome has gone out with this nonce.
    Welcomed { nonce: [u8; 16], instance: InstanceId, policy: Vec<u8> },
    /// The nonce has come back.
    Live(Arc<Seat>, Connection),
}

pub(super) struct Session {
    pub(super) shared: Arc<Shared>,
    /// Certificate and key as they were when the stream began.
    serving: Arc<Serving>,
    pub(super) peer: Arc<Peer>,
    _open: OpenStream,
    inbound: Streaming<AgentMessage>,
    stage: Stage,
    outbox: VecDeque<CollectorMessage>,
    answers: UnboundedReceiver<Answer>,
    answers_to: UnboundedSender<Answer>,
    /// Segments handed to the writer and not yet answered, by lane.
    under_way: [u32; 2],
    stopping: watch::Receiver<bool>,
    /// Changes when any device comes to stand otherwise.
    standing: watch::Receiver<()>,
    /// Changes when another roster is handed on.
    shelf: watch::Receiver<Option<Arc<Shelved>>>,
    /// How far policies have come, what the device says it has in force, and what it was offered last.
    rollouts: watch::Receiver<Arc<Vec<RolloutFacts>>>,
    has: Vec<u8>,
    offered: Option<Digest>,
    roster_offered: Vec<u8>,
    deadline: Instant,
    /// The last word; nothing more is read once it is known.
    ending: Option<Code>,
    closed: bool,
}

/// What woke the session.
#[expect(clippy::large_enum_variant, reason = "lives for one match; a box would cost every segment an allocation")]
enum Event {
    Answer(Option<Answer>),
    Message(Result<Option<AgentMessage>, Status>),
    Displaced,
    Stopping,
    Standing,
    Shelf,
    Rollouts,
    Silence,
}

impl Session {
    pub(super) fn new(shared: Arc<Shared>, link: &Link, peer: &Arc<Peer>, inbound: Streaming<AgentMessage>) -> Self {
        let (answers_to, answers) = mpsc::unbounded_channel();
        let serving = Arc::clone(&shared.serving.borrow());
        Self {
            stopping: shared.stopping.clone(),
            standing: shared.registry.changes(),
            shelf: shared.shelf.clone(),
            rollouts: shared.registry.rollouts(),
            has: Vec::new(),
            offered: None,
            roster_offered: Vec::new(),
            serving,
            shared,
            peer: Arc::clone(peer),
            _open: link.open(),
            inbound,
            stage: Stage::Greeting,
            outbox: VecDeque::new(),
            answers,
            answers_to,
            under_way: [0; 2],
            deadline: Instant::now() + GREETING,
            ending: None,
            closed: false,
        }
    }

    /// The next message for the agent; `None` when the stream is over.
    pub(super) async fn next(&mut self) -> Option<CollectorMessage> {
        loop {
            if let Some(message) = self.outbox.pop_front() {
                return Some(message);
            }
            if self.closed {
                return None;
            }
            match self.ending {
                Some(code) => self.finish(code).await,
                None => self.step().await,
            }
        }
    }

    async fn step(&mut self) {
        match self.event().await {
            Event::Answer(Some(answer)) => self.answer(answer),
            Event::Message(Ok(Some(message))) => self.message(message).await,
            Event::Message(Ok(None)) | Event::Answer(None) => self.closed = true,
            Event::Message(Err(status)) => self.broken(&status),
            Event::Displaced => self.ending = Some(Code::Superseded),
            Event::Stopping => self.ending = Some(Code::Stopping),
            Event::Standing => {
                let (registry, peer) = (&self.shared.registry, &self.peer);
                if registry.device(&peer.device).revoked {
                    self.ending = Some(Code::DeviceRevoked);
                } else if registry.shuts_out(&peer.device, &peer.key_id) {
                    self.ending = Some(Code::KeyReplaced);
                }
            }
            Event::Shelf | Event::Rollouts => self.offer_anew(),
            Event::Silence => {
                debug!(device = %self.peer.device, "stream silent");
                self.closed = true;
            }
        }
    }

    async fn event(&mut self) -> Event {
        let seat = match &self.stage {
            Stage::Live(seat, _) => Some(Arc::clone(seat)),
            _ => None,
        };
        let displaced = async {
            match seat {
                Some(seat) => seat.lost().await,
                None => std::future::pending().await,
            }
        };
        if *self.stopping.borrow() {
            return Event::Stopping;
        }
        tokio::select! {
            answer = self.answers.recv() => Event::Answer(answer),
            message = self.inbound.message() => Event::Message(message),
            () = displaced => Event::Displaced,
            _ = self.stopping.changed() => Event::Stopping,
            _ = self.standing.changed() => Event::Standing,
            Ok(()) = self.shelf.changed() => Event::Shelf,
            Ok(()) = self.rollouts.changed() => Event::Rollouts,
            () = tokio::time::sleep_until(self.deadline) => Event::Silence,
        }
    }

    /// Waits for the answers under way, then says the last word.
    async fn finish(&mut self, code: Code) {
        if self.under_way != [0; 2] {
            match tokio::time::timeout(LAST_ANSWERS, self.answers.recv()).await {
                Ok(Some(answer)) => return self.answer(answer),
                Ok(None) | Err(_) => self.under_way = [0; 2],
            }
        }
        info!(device = %self.peer.device, code = code.as_str(), "stream refused");
        self.outbox.push_back(wrap(collector_message::Kind::Refusal(code.refusal())));
        self.closed = true;
    }

    async fn message(&mut self, message: AgentMessage) {
        self.deadline = Instant::now() + SILENCE;
        let done = match message.kind {
            Some(agent_message::Kind::Segment(segment)) => self.segment(segment).await,
            Some(agent_message::Kind::Heartbeat(beat)) => self.heartbeat(&beat),
            Some(agent_message::Kind::Hello(hello)) => self.hello(&hello).await,
            Some(agent_message::Kind::Ready(ready)) => self.ready(&ready).await,
            // A kind of a later version: whoever sends it expects no harm from silence.
            None => Ok(()),
        };
        if let Err(code) = done {
            self.ending = Some(code);
        }
    }

    async fn hello(&mut self, hello: &Hello) -> Result<(), Code> {
        if !matches!(self.stage, Stage::Greeting) {
            return Err(Code::OutOfTurn);
        }
        self.shared.let_in(&self.peer).await?;
        let greeted = welcome::read(hello, &self.peer, &self.shared, self.shared.clock.now_ms())?;
        let viewed = self.shared.sequencer.view(greeted.shown).await.map_err(|_| Code::StorageFailed)?;
        let view = &viewed.view;
        if view.facts.revoked {
            return Err(Code::DeviceRevoked);
        }
        self.note_shown(hello, view).await?;
        self.adopt(hello).await?;
        let renew_now = !view.certificate_settled && self.prove().await?;
        let nonce = welcome::nonce()?;
        let receipts = view
            .lanes
            .iter()
            .map(|lane| lane.held.as_ref().map(|held| self.receipt(held)).transpose())
            .collect::<Result<Vec<_>, Code>>()?;
        self.has.clone_from(&hello.policy);
        self.offered = self.offer();
        self.roster_offered = self.shared.roster_offer();
        let offer = self.offered.map(Digest::to_vec).unwrap_or_default();
        let message = welcome::compose(&self.shared, &self.serving, &viewed, receipts, nonce, renew_now, offer);
        self.outbox.push_back(wrap(collector_message::Kind::Welcome(message)));
        self.stage = Stage::Welcomed { nonce, instance: greeted.instance, policy: hello.policy.clone() };
        self.deadline = Instant::now() + GREETING;
        info!(device = %self.peer.device, agent = %greeted.agent_version, address = %self.peer.address, "hello");
        Ok(())
    }

    async fn ready(&mut self, ready: &Ready) -> Result<(), Code> {
        let (instance, policy) = match &self.stage {
            Stage::Welcomed { nonce, instance, policy } if ready.nonce == nonce => (*instance, policy.clone()),
            _ => return Err(Code::OutOfTurn),
        };
        let seated = self.shared.sessions.seat(self.peer.device, instance);
        if seated.cloned {
            self.quarantine_clone().await?;
        }
        self.stage = Stage::Live(seated.seat, self.shared.liveness.connect(self.peer.device, &policy));
        // What changed since Welcome.
        self.offer_anew();
        Ok(())
    }

    /// A collector that was restored knows nothing of who enrolled since: such a device says where it belongs.
    async fn adopt(&self, hello: &Hello) -> Result<(), Code> {
        if hello.group.is_empty() || self.shared.registry.has_enrolled(&self.peer.device) {
            return Ok(());
        }
        let (presented, address) = (self.shared.presented(&self.peer), self.peer.address.to_string());
        let (group, site) = (hello.group.clone(), hello.site.clone());
        let work = move |appender: &mut Appender<'_>, effects: &mut Effects| {
            enrolment::adopt(appender, &presented, (&group, &site), &address, effects)
        };
        if self.shared.sequencer.run(work).await.map_err(|_| Code::StorageFailed)? {
            warn!(device = %self.peer.device, group = hello.group, "the device has enrolled before this collector was restored");
        }
        Ok(())
    }

    /// The log learns that the device has come with its certificate; true where it should renew at once.
    async fn prove(&self) -> Result<bool, Code> {
        let presented = self.shared.presented(&self.peer);
        let work =
            move |appender: &mut Appender<'_>, effects: &mut Effects| enrolment::prove(appender, &presented, effects);
        let renew_now = self.shared.sequencer.run(work).await.map_err(|_| Code::StorageFailed)?;
        if renew_now {
            warn!(device = %self.peer.device, "the device comes with a certificate that was replaced");
        }
        Ok(renew_now)
    }

    fn offer(&mut self) -> Option<Digest> {
        let group = self.shared.registry.group(&self.peer.device);
        policies::offer(&self.rollouts.borrow_and_update(), &group, &self.peer.device, &self.has)
    }

    /// Says what is on offer, where that has changed.
    fn offer_anew(&mut self) {
        let (offer, roster) = (self.offer(), self.shared.roster_offer());
        let is_news = offer != self.offered || roster != self.roster_offered;
        if is_news && matches!(self.stage, Stage::Live(..)) {
            self.offered = offer;
            self.roster_offered.clone_from(&roster);
            let policy = offer.map(Digest::to_vec).unwrap_or_default();
            self.outbox.push_back(wrap(collector_message::Kind::Offer(Offer { policy, roster })));
        }
    }

    async fn quarantine_clone(&self) -> Result<(), Code> {
        let deed = Deed {
            device: self.peer.device,
            verb: DeviceVerb::Quarantine,
            by: BY_COLLECTOR.into(),
            reason: "clone: two living processes of this device displace each other".into(),
            at_ms: self.shared.clock.now_ms(),
        };
        let done = self.shared.sequencer.act(deed).await.map_err(|_| Code::StorageFailed)?;
        if done.is_some() {
            warn!(device = %self.peer.device, "device quarantined: two living processes");
        }
        Ok(())
    }

    fn heartbeat(&mut self, beat: &Heartbeat) -> Result<(), Code> {
        let Stage::Live(_, connection) = &self.stage else { return Err(Code::OutOfTurn) };
        connection.beat(beat);
        if !beat.policy.is_empty() && beat.policy != self.has {
            self.has.clone_from(&beat.policy);
            self.offer_anew();
        }
        let reply = HeartbeatReply {
            server_ms: self.shared.clock.now_ms(),
            checkpoint: self.shared.sequencer.published().note.clone(),
        };
        self.outbox.push_back(wrap(collector_message::Kind::HeartbeatReply(reply)));
        Ok(())
    }

    async fn segment(&mut self, segment: Segment) -> Result<(), Code> {
        let Stage::Live(_, connection) = &self.stage else { return Err(Code::OutOfTurn) };
        connection.heard();
        let now = self.shared.clock.now_ms();
        self.peer.check_dates(now)?;
        // The keys there are now: one may have come since the stream began.
        let recipients = Arc::clone(&self.serving.recipients.borrow());
        let verified = verify(segment, &self.peer, &self.shared.registry, &recipients, now)?;
        let under_way = self.under_way(verified.read.lane);
        if *under_way >= LANE_CREDIT {
            return Err(Code::OverCredit);
        }
        *under_way += 1;
        let answers = self.answers_to.clone();
        self.shared.sequencer.take(verified, answers).await.map_err(|_| Code::StorageFailed)
    }

    /// Turns an answer, and all others that have come by now, into as few messages as they allow.
    fn answer(&mut self, first: Answer) {
        let mut durable: Vec<LaneState> = Vec::new();
        let mut gaps: Vec<(Lane, Head)> = Vec::new();
        let mut next = Some(first);
        while let Some(Answer { lane, verdict }) = next {
            let under_way = self.under_way(lane);
            *under_way = under_way.saturating_sub(1);
            match verdict {
                Verdict::Durable(state) => furthest(&mut durable, *state),
                Verdict::Gap(head) => {
                    gaps.retain(|(other, gap)| (*other, gap.epoch) != (lane, head.epoch));
                    gaps.push((lane, *head));
                }
                Verdict::Refused(code) => self.ending = self.ending.or(Some(code)),
            }
            next = self.answers.try_recv().ok();
        }
        for state in &durable {
            match self.receipt(state) {
                Ok(receipt) => self.outbox.push_back(wrap(collector_message::Kind::Receipt(receipt))),
                Err(code) => self.ending = Some(code),
            }
        }
        if !gaps.is_empty() {
            let lanes = gaps.iter().map(|(lane, head)| welcome::lane_head(*lane, head)).collect();
            self.outbox.push_back(wrap(collector_message::Kind::Heads(Heads { lanes })));
        }
    }

    fn receipt(&self, state: &LaneState) -> Result<SignedReceipt, Code> {
        let receipt = Receipt {
            format: receipt::FORMAT,
            tenant: self.shared.tenant.clone(),
            device: state.place.device.to_vec(),
            epoch: state.place.epoch.to_vec(),
            lane: state.place.lane.into(),
            through_sequence: state.next.saturating_sub(1),
            statement_digest: state.digest.to_vec(),
            received_at_ms: state.received_at_ms,
            checkpoint: self.shared.sequencer.published().note.clone(),
            log_id: self.shared.log.id.to_vec(),
        };
        receipt::sign_receipt(&receipt, &self.serving.credentials.key).map_err(|error| {
            warn!(%error, "receipt not signed");
            Code::StorageFailed
        })
    }

    fn broken(&mut self, status: &Status) {
        match status.code() {
            GrpcCode::OutOfRange | GrpcCode::ResourceExhausted => self.ending = Some(Code::TooLarge),
            GrpcCode::Internal if status.message().contains("decode") => self.ending = Some(Code::Malformed),
            _ => {
                debug!(device = %self.peer.device, status = ?status.code(), "stream broken");
                self.closed = true;
            }
        }
    }

    fn under_way(&mut self, lane: Lane) -> &mut u32 {
        match lane {
            Lane::Bulk => &mut self.under_way[1],
            Lane::Urgent | Lane::Unspecified => &mut self.under_way[0],
        }
    }
}

/// Receipts are cumulative: the furthest of a lane and epoch speaks for the others.
fn furthest(durable: &mut Vec<LaneState>, state: LaneState) {
    match durable.iter_mut().find(|other| other.place == state.place) {
        Some(other) if other.next < state.next => *other = state,
        Some(_) => {}
        None => durable.push(state),
    }
}

fn wrap(kind: collector_message::Kind) -> CollectorMessage {
    CollectorMessage { kind: Some(kind) }
}
