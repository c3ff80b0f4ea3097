//! The one writer: gives every durable entry its place in the log, many in one commit.
//!
//! A thread of its own owns the connection. It takes whatever has queued up while the last commit was on its way to
//! the disk, writes it as one transaction with one fsync, and only then answers. The slower the disk, the larger
//! the groups.

use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::mpsc::{self, UnboundedSender};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};
use tracing::{error, info, warn};
use watchpost_proto::note::{Checkpoint, LogSigner};
use watchpost_proto::refusal::Code;

use crate::chain::{self, Answer, Deed, Verdict, Verified};
use crate::erasure::{self, Plan};
use crate::log_store::{Appender, LogStore, StoreError};
use crate::registry::{Effects, Registry};
use crate::standing::{self, Shown, View};

/// Most jobs in one transaction.
const GROUP_MAX: usize = 256;
/// Jobs that may wait.
const QUEUE_MAX: usize = 1024;
/// Bytes of segments that may wait, in units of [`ROOM_UNIT`]: 64 MiB.
const ROOM_UNITS: usize = 64 * 1024;
const ROOM_UNIT: usize = 1024;

/// The head of the log as last committed, with its signed note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// The head.
    pub checkpoint: Checkpoint,
    /// The same, signed by the log key.
    pub note: String,
}

/// What is held of a device, at one head of the log.
#[derive(Clone, Debug)]
pub struct Viewed {
    /// What is held.
    pub view: View,
    /// The head; the view's proof leads to it.
    pub published: Arc<Published>,
}

/// The log cannot be written any more, or the writer has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the log cannot be written")]
pub struct StorageFailed;

enum Job {
    Segment { verified: Box<Verified>, answers: UnboundedSender<Answer>, room: OwnedSemaphorePermit },
    Work(Box<dyn Work>),
    Keep { plan: Box<Plan>, answer: oneshot::Sender<Result<Vec<u64>, StorageFailed>> },
    View { shown: Box<Shown>, answer: oneshot::Sender<Result<Viewed, StorageFailed>> },
}

/// The way to the writer.
#[derive(Clone, Debug)]
pub struct Sequencer {
    jobs: mpsc::Sender<Job>,
    room: Arc<Semaphore>,
    published: watch::Receiver<Arc<Published>>,
}

/// The writer's end: joins when every [`Sequencer`] is gone.
#[derive(Debug)]
pub struct Writer {
    /// The thread.
    pub thread: JoinHandle<()>,
    /// Becomes a sentence when the log cannot be written any more.
    pub failed: watch::Receiver<Option<String>>,
}

/// Starts the writer.
///
/// # Errors
/// The system gives no thread.
pub fn start(
    store: LogStore,
    signer: LogSigner,
    registry: Arc<Registry>,
) -> Result<(Sequencer, Writer), std::io::Error> {
    let (jobs, queue) = mpsc::channel(QUEUE_MAX);
    let (published, published_rx) = watch::channel(Arc::new(publish(&signer, store.checkpoint())));
    let (failed_tx, failed) = watch::channel(None);
    let mut sequencing = Sequencing { store: Some(store), signer, registry, published, failed: failed_tx };
    let thread = std::thread::Builder::new().name("sequencer".into()).spawn(move || sequencing.run(queue))?;
    let sequencer = Sequencer { jobs, room: Arc::new(Semaphore::new(ROOM_UNITS)), published: published_rx };
    Ok((sequencer, Writer { thread, failed }))
}

impl Sequencer {
    /// Hands over a verified segment; waits while too much is under way. The answer comes after the commit.
    ///
    /// # Errors
    /// [`StorageFailed`].
    pub async fn take(&self, verified: Verified, answers: UnboundedSender<Answer>) -> Result<(), StorageFailed> {
        let units = verified.segment.payload.len() / ROOM_UNIT + 1;
        let units = u32::try_from(units).map_err(|_| StorageFailed)?;
        let room = Arc::clone(&self.room).acquire_many_owned(units).await.map_err(|_| StorageFailed)?;
        let job = Job::Segment { verified: Box::new(verified), answers, room };
        self.jobs.send(job).await.map_err(|_| StorageFailed)
    }

    /// Records a deed. `None` where the device stood so already; else its log index, and it is durable.
    ///
    /// # Errors
    /// [`StorageFailed`].
    pub async fn act(&self, deed: Deed) -> Result<Option<u64>, StorageFailed> {
        self.run(move |appender, effects| chain::act(appender, &deed, effects)).await
    }

    /// Has the writer do some work in the group under way; what it returned comes back after the commit.
    ///
    /// # Errors
    /// [`StorageFailed`].
    pub async fn run<T, F>(&self, work: F) -> Result<T, StorageFailed>
    where
        T: Send + 'static,
        F: FnOnce(&mut Appender<'_>, &mut Effects) -> Result<T, StoreError> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let job = Job::Work(Box::new(Task { work: Some(work), outcome: None, answer }));
        self.jobs.send(job).await.map_err(|_| StorageFailed)?;
        answered.await.map_err(|_| StorageFailed)?
    }

    /// Records an erasure or a hold, and takes out what is erased. Returns its log indexes, and it is durable.
    ///
    /// # Errors
    /// [`StorageFailed`].
    pub async fn keep(&self, plan: Plan) -> Result<Vec<u64>, StorageFailed> {
        let (answer, answered) = oneshot::channel();
        self.jobs.send(Job::Keep { plan: Box::new(plan), answer }).await.map_err(|_| StorageFailed)?;
        answered.await.map_err(|_| StorageFailed)?
    }

    /// What is held of a device, between two commits.
    ///
    /// # Errors
    /// [`StorageFailed`].
    pub async fn view(&self, shown: Shown) -> Result<Viewed, StorageFailed> {
        let (answer, answered) = oneshot::channel();
        self.jobs.send(Job::View { shown: Box::new(shown), answer }).await.map_err(|_| StorageFailed)?;
        answered.await.map_err(|_| StorageFailed)?
    }

    /// The head of the log as last committed.
    pub fn published(&self) -> Arc<Published> {
        Arc::clone(&self.published.borrow())
    }

    /// Changes with every commit.
    pub fn follow(&self) -> watch::Receiver<Arc<Published>> {
        self.published.clone()
    }
}

struct Sequencing {
    /// `None` once it has failed.
    store: Option<LogStore>,
    signer: LogSigner,
    registry: Arc<Registry>,
    published: watch::Sender<Arc<Published>>,
    failed: watch::Sender<Option<String>>,
}

impl Sequencing {
    fn run(&mut self, mut queue: mpsc::Receiver<Job>) {
        let mut group = Vec::with_capacity(GROUP_MAX);
        while queue.blocking_recv_many(&mut group, GROUP_MAX) > 0 {
            self.group(&mut group);
        }
        info!("log closed");
    }

    fn group(&mut self, group: &mut Vec<Job>) {
        let (mut writes, mut views) = (Vec::with_capacity(group.len()), Vec::new());
        for job in group.drain(..) {
            match job {
                Job::View { shown, answer } => views.push((shown, answer)),
                write => writes.push(write),
            }
        }
        if !writes.is_empty() {
            self.write(writes);
        }
        for (shown, answer) in views {
            // The asker may be gone; then nobody minds.
            let _ = answer.send(self.look(&shown));
        }
    }

    fn write(&mut self, mut jobs: Vec<Job>) {
        let Some(store) = self.store.as_mut() else { return jobs.into_iter().for_each(turn_away) };
        match commit(store, &mut jobs) {
            Ok((answers, effects)) => {
                // In this order: whoever is answered finds the world as the answer says.
                let erased = effects.forget || jobs.iter().any(|job| matches!(job, Job::Keep { .. }));
                self.registry.apply(effects);
                self.published.send_replace(Arc::new(publish(&self.signer, store.checkpoint())));
                if erased && let Err(failure) = store.forget() {
                    warn!(error = %failure, "what was erased is overwritten later");
                }
                jobs.into_iter().zip(answers).for_each(|(job, answer)| settle(job, answer));
            }
            Err(failure) => {
                jobs.into_iter().for_each(turn_away);
                self.fail(&failure);
            }
        }
    }

    fn look(&mut self, shown: &Shown) -> Result<Viewed, StorageFailed> {
        let store = self.store.as_ref().ok_or(StorageFailed)?;
        let published = Arc::clone(&self.published.borrow());
        match standing::view(store.connection(), shown, &published.checkpoint) {
            Ok(view) => Ok(Viewed { view, published }),
            Err(failure) => {
                self.fail(&failure);
                Err(StorageFailed)
            }
        }
    }

    fn fail(&mut self, failure: &StoreError) {
        if !failure.is_fatal() {
            warn!(error = %failure, "nothing stored");
            return;
        }
        error!(error = %failure, "log given up");
        self.store = None;
        self.failed.send_replace(Some(failure.to_string()));
    }
}

/// Work for the writer, whatever it returns.
trait Work: Send {
    /// Does it in the group under way.
    fn write(&mut self, appender: &mut Appender<'_>, effects: &mut Effects) -> Result<(), StoreError>;

    /// Tells whoever waits, once the group is durable or has failed.
    fn settle(self: Box<Self>, durable: bool);
}

struct Task<T, F> {
    work: Option<F>,
    outcome: Option<T>,
    answer: oneshot::Sender<Result<T, StorageFailed>>,
}

impl<T, F> Work for Task<T, F>
where
    T: Send,
    F: FnOnce(&mut Appender<'_>, &mut Effects) -> Result<T, StoreError> + Send,
{
    fn write(&mut self, appender: &mut Appender<'_>, effects: &mut Effects) -> Result<(), StoreError> {
        if let Some(work) = self.work.take() {
            self.outcome = Some(work(appender, effects)?);
        }
        Ok(())
    }

    fn settle(self: Box<Self>, durable: bool) {
        // The asker may be gone; then nobody minds.
        let _ = self.answer.send(self.outcome.filter(|_| durable).ok_or(StorageFailed));
    }
}

/// One answer per job, in order.
enum Outcome {
    Segment(Answer),
    Work,
    Keep(Vec<u64>),
}

fn commit(store: &mut LogStore, jobs: &mut [Job]) -> Result<(Vec<Outcome>, Effects), StoreError> {
    let mut appender = store.begin()?;
    let mut effects = Effects::default();
    let mut outcomes = Vec::with_capacity(jobs.len());
    for job in jobs {
        match job {
            Job::Segment { verified, .. } => {
                outcomes.push(Outcome::Segment(chain::take_segment(&mut appender, verified, &mut effects)?));
            }
            Job::Work(work) => {
                work.write(&mut appender, &mut effects)?;
                outcomes.push(Outcome::Work);
            }
            Job::Keep { plan, .. } => outcomes.push(Outcome::Keep(erasure::append(&mut appender, plan)?)),
            Job::View { .. } => {}
        }
    }
    // Repeats and gaps change nothing, and what they are told has been durable since long.
    if !appender.is_empty() {
        appender.commit()?;
    }
    Ok((outcomes, effects))
}

fn settle(job: Job, outcome: Outcome) {
    match (job, outcome) {
        (Job::Segment { answers, room, .. }, Outcome::Segment(answer)) => {
            drop(room);
            let _ = answers.send(answer);
        }
        (Job::Work(work), Outcome::Work) => work.settle(true),
        (Job::Keep { answer, .. }, Outcome::Keep(entries)) => {
            let _ = answer.send(Ok(entries));
        }
        (other, _) => turn_away(other),
    }
}

fn turn_away(job: Job) {
    match job {
        Job::Segment { verified, answers, .. } => {
            let verdict = Verdict::Refused(Code::StorageFailed);
            let _ = answers.send(Answer { lane: verified.read.lane, verdict });
        }
        Job::Work(work) => work.settle(false),
        Job::Keep { answer, .. } => {
            let _ = answer.send(Err(StorageFailed));
        }
        Job::View { answer, .. } => {
            let _ = answer.send(Err(StorageFailed));
        }
    }
}

fn publish(signer: &LogSigner, checkpoint: Checkpoint) -> Published {
    Published { note: signer.sign(&checkpoint), checkpoint }
}
