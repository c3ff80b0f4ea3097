//! Keeps all routes planned: takes in what happens to alerts, and puts messages into the queue when their time has come.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::watch;
use tracing::warn;
use watchpost_proto::Digest;
use watchpost_proto::v1::NotificationVerb;

use super::plan::{Event, REMINDERS_MAX, Tell, View, What, plan};
use super::queue::{self, Message, Step};
use super::route::{self, Route};
use super::{Office, events};
use crate::derive::{self, DeriveError};
use crate::log_store::{LogReader, StoreError, notifications};
use crate::settings;

/// At most one round in this time, however fast alerts come.
const PAUSE: Duration = Duration::from_millis(200);
/// What is older when a route first sees it is not told any more.
const AGE_MS_MAX: i64 = 14 * 24 * 3600 * 1000;
/// Events a route has waiting; further ones are read when these are told.
const PENDING_MAX: usize = 50_000;
/// Messages that wait for one target; while there are so many, nothing more is planned for it, and what happens gathers.
const QUEUE_MAX: usize = 50;

/// A route, and how far it has been followed.
#[derive(Debug)]
struct Watched {
    route: Route,
    /// The entry since which it is there, and its time.
    since: (u64, i64),
    /// The first entry whose events were not taken in yet.
    next: u64,
    pending: Vec<Event>,
    /// When it is to be planned again, if nothing happens before.
    look_ms: i64,
}

#[derive(Debug)]
pub(super) struct Planner {
    office: Office,
    watched: BTreeMap<String, Watched>,
    /// What was warned of, so that it is said once.
    said: HashSet<String>,
}

/// What a round has found.
#[derive(Debug, Default)]
struct Round {
    messages: Vec<Message>,
    /// Messages whose target the configuration does not have any more.
    homeless: Vec<Digest>,
    /// Some target has something to do.
    waiting: bool,
    look_ms: Option<i64>,
}

#[derive(Debug, thiserror::Error)]
enum RoundError {
    #[error(transparent)]
    Derived(#[from] DeriveError),
    #[error(transparent)]
    Log(#[from] StoreError),
}

impl From<rusqlite::Error> for RoundError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Derived(error.into())
    }
}

impl Planner {
    pub(super) fn new(office: Office) -> Self {
        Self { office, watched: BTreeMap::new(), said: HashSet::new() }
    }

    pub(super) async fn run(mut self, mut derived: watch::Receiver<u64>, woken: watch::Sender<u64>) {
        loop {
            derived.mark_unchanged();
            let now_ms = self.office.clock.now_ms();
            let looked = tokio::task::spawn_blocking(move || {
                let round = self.round(now_ms);
                (self, round)
            });
            let Ok((planner, round)) = looked.await else { return };
            self = planner;
            let wait = match round {
                Ok(round) => self.carry_out(round, now_ms, &woken).await,
                // Deriving anew takes its time; the next look finds it done.
                Err(RoundError::Derived(DeriveError::Anew { .. } | DeriveError::Missing(_))) => PAUSE,
                Err(error) => {
                    self.say(format!("notifications not planned: {error}"));
                    self.office.config.notify.limits.look
                }
            };
            tokio::time::sleep(PAUSE).await;
            tokio::select! {
                changed = derived.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Puts messages into the queue; how long nothing is to be done then.
    async fn carry_out(&mut self, round: Round, now_ms: i64, woken: &watch::Sender<u64>) -> Duration {
        let (mut planned, look) = (round.waiting, self.office.config.notify.limits.look);
        for message in round.messages {
            let route = message.route.clone();
            let queued = self.office.sequencer.run(move |appender, _| queue::plan(appender, &message, now_ms)).await;
            let Ok(queued) = queued else { return look };
            planned |= queued.is_some();
            if let Some(watched) = self.watched.get_mut(&route) {
                watched.look_ms = now_ms;
            }
        }
        for id in round.homeless {
            let step = Step { reason: "no_target".into(), ..Step::of(id, NotificationVerb::GivenUp, 0) };
            if self.office.sequencer.run(move |appender, _| queue::note(appender, &step, now_ms)).await.is_err() {
                return look;
            }
        }
        if planned {
            woken.send_modify(|rounds| *rounds = rounds.wrapping_add(1));
        }
        let until = round.look_ms.map(|at| Duration::from_millis(u64::try_from(at - now_ms).unwrap_or(0)));
        until.unwrap_or(look).min(look)
    }

    fn round(&mut self, now_ms: i64) -> Result<Round, RoundError> {
        let mut db = derive::open_read_only(&self.office.config.derived_db())?;
        // All of a round sees the same state.
        let db = db.transaction()?;
        let log = LogReader::open(&self.office.config.log_db())?;
        self.read_routes(&db, log.connection())?;
        let mut round = Round::default();
        let mut queued: BTreeMap<String, usize> = BTreeMap::new();
        for waiting in notifications::waiting(log.connection(), None)? {
            if self.office.config.notify.has(&waiting.target) {
                round.waiting = true;
                *queued.entry(waiting.target).or_default() += 1;
            } else {
                round.homeless.push(waiting.id);
            }
        }
        let look_ms = i64::try_from(self.office.config.notify.limits.look.as_millis()).unwrap_or(i64::MAX);
        for (name, watched) in &mut self.watched {
            watched.take_in(name, &db, log.connection(), now_ms)?;
            let room = QUEUE_MAX.saturating_sub(queued.get(&watched.route.target).copied().unwrap_or(0));
            if watched.look_ms <= now_ms && room > 0 {
                watched.look_ms = now_ms.saturating_add(look_ms);
                let messages = watched.plan(name, &db, log.connection(), now_ms)?;
                *queued.entry(watched.route.target.clone()).or_default() += messages.len();
                round.messages.extend(messages);
            }
            round.look_ms = Some(round.look_ms.map_or(watched.look_ms, |earlier| earlier.min(watched.look_ms)));
        }
        Ok(round)
    }

    /// Takes over what the settings say. What waits on a route stays when the route changes.
    fn read_routes(&mut self, db: &Connection, log: &Connection) -> Result<(), RoundError> {
        let mut routes = BTreeMap::new();
        for setting in settings::list(db, route::PREFIX)? {
            let name = setting.name.strip_prefix(route::PREFIX).unwrap_or_default().to_owned();
            let Ok(route) = Route::parse(&setting.value) else {
                self.say(format!("the route {name} is of another version and is passed over; set it again"));
                continue;
            };
            if !self.office.config.notify.has(&route.target) {
                self.say(format!("the route {name} leads to {}, which the configuration does not have", route.target));
                continue;
            }
            let Some(since) = notifications::route_since(log, &name)? else { continue };
            let watched = match self.watched.remove(&name).filter(|watched| watched.since == since) {
                Some(watched) if watched.route == route => watched,
                Some(watched) => Watched { route, look_ms: 0, ..watched },
                None => Watched { route, since, next: since.0 + 1, pending: Vec::new(), look_ms: 0 },
            };
            routes.insert(name, watched);
        }
        self.watched = routes;
        Ok(())
    }

    fn say(&mut self, sentence: String) {
        if !self.said.contains(&sentence) {
            warn!("{sentence}");
            self.said.insert(sentence);
        }
    }
}

impl Watched {
    /// Takes in what has happened since the last time.
    fn take_in(&mut self, name: &str, db: &Connection, log: &Connection, now_ms: i64) -> Result<(), RoundError> {
        while self.pending.len() < PENDING_MAX {
            let (happened, next) = events::happened(db, self.next, now_ms.saturating_sub(AGE_MS_MAX))?;
            let is_all = happened.len() < events::EVENTS_MAX;
            self.add(name, happened, db, log, now_ms)?;
            self.next = next;
            if is_all {
                break;
            }
        }
        if self.look_ms <= now_ms && self.route.events.contains(&What::Escalated) {
            let since_ms = self.since.1.max(now_ms.saturating_sub(AGE_MS_MAX));
            events::overdue::<RoundError>(db, self.route.level.number(), (since_ms, now_ms), |over| {
                self.add(name, over, db, log, now_ms)?;
                Ok(self.pending.len() < PENDING_MAX)
            })?;
        }
        Ok(())
    }

    /// Adds what the route takes and has not told.
    fn add(
        &mut self,
        name: &str,
        happened: Vec<Event>,
        db: &Connection,
        log: &Connection,
        now_ms: i64,
    ) -> Result<(), RoundError> {
        let facts = events::facts(db, &happened.iter().map(|event| event.tell.alert).collect(), now_ms)?;
        let known: HashSet<Tell> = self.pending.iter().map(|event| event.tell).collect();
        for event in happened {
            let takes = facts.get(&event.tell.alert).is_some_and(|alert| self.route.takes(event.tell.what, alert));
            if takes && !known.contains(&event.tell) && !is_told(log, name, &event.tell)? {
                self.pending.push(event);
                self.look_ms = now_ms;
            }
        }
        Ok(())
    }

    fn plan(&mut self, name: &str, db: &Connection, log: &Connection, now_ms: i64) -> Result<Vec<Message>, RoundError> {
        let mut pending = Vec::with_capacity(self.pending.len());
        for event in self.pending.drain(..) {
            if !is_told(log, name, &event.tell)? {
                pending.push(event);
            }
        }
        self.pending = pending;
        let told = queue::told_since(log, name, now_ms.saturating_sub(self.remembers_ms()))?;
        let alerts: BTreeSet<Digest> = self
            .pending
            .iter()
            .map(|event| event.tell)
            .chain(told.iter().map(|told| told.tell))
            .map(|tell| tell.alert)
            .collect();
        let alerts = events::facts(db, &alerts, now_ms)?;
        let is_over = |event: &Event| {
            let closed = alerts.get(&event.tell.alert).is_some_and(|alert| alert.closed);
            (closed && event.tell.what != What::Appealed) || event.at_ms < now_ms.saturating_sub(AGE_MS_MAX)
        };
        self.pending.retain(|event| !is_over(event));
        let plan = plan(&View { route: &self.route, pending: &self.pending, alerts: &alerts, told: &told, now_ms });
        if let Some(again) = plan.look_again_ms {
            self.look_ms = self.look_ms.min(again);
        }
        let message = |tells| Message { target: self.route.target.clone(), route: name.to_owned(), tells };
        Ok(plan.messages.into_iter().map(message).collect())
    }

    /// How far back what was told matters: for a group's silence, and for reminders.
    fn remembers_ms(&self) -> i64 {
        let reminders = self.route.repeat_s.saturating_mul(REMINDERS_MAX + 2);
        let seconds = self.route.group_interval_s.max(reminders).saturating_add(1);
        i64::try_from(seconds.saturating_mul(1000)).unwrap_or(i64::MAX)
    }
}

/// Whether an event was told on a route, or one that tells more. That an alert is there is told once, whatever it was raised
/// to afterwards.
fn is_told(log: &Connection, route: &str, tell: &Tell) -> Result<bool, StoreError> {
    if tell.what == What::Opened {
        return notifications::is_alert_told(log, route, &tell.alert);
    }
    let further = events::further(tell).map_or(Ok(false), |further| queue::is_told(log, route, &further))?;
    Ok(further || queue::is_told(log, route, tell)?)
}
