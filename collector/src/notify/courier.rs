//! One target's courier: takes its messages from the queue, one at a time, and tries each until it is taken or given up.

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::watch;
use tracing::{error, info, warn};
use watchpost_proto::v1::NotificationVerb;

use super::plan::Tell;
use super::queue::{self, Step};
use super::route::{Language, PREFIX, Route};
use super::send::{self, Outcome};
use super::target::{Kind, Opened, Target};
use super::text::{self, Line, Telling};
use super::{Office, events, robot, webhook};
use crate::derive::{self, DeriveError};
use crate::log_store::{LogReader, NotificationFacts, StoreError, notifications};
use crate::outgoing::Answer;
use crate::rulebook::Rulebook;
use crate::sequencer::StorageFailed;
use crate::settings;

/// How long it takes at least until what is being derived anew is there.
const NOT_NOW: Duration = Duration::from_millis(500);
/// After this the log is looked at once more, whether anybody has said so or not.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(super) struct Courier {
    office: Office,
    target: Target,
    opened: Opened,
    titles: Rulebook,
    /// When messages were sent, of those that still count.
    sent: VecDeque<Instant>,
    /// Nothing goes before this.
    rests_until: Option<Instant>,
    /// How often in a row the target could not be had.
    troubles: u32,
    said: Option<&'static str>,
}

/// What a message has become.
#[derive(Debug)]
enum Composed {
    Ready {
        body: String,
        resend_uncertain: bool,
    },
    /// It tells nothing any more.
    Nothing(&'static str),
    /// What it tells is being derived.
    NotNow,
}

#[derive(Debug, thiserror::Error)]
enum CourierError {
    #[error(transparent)]
    Log(#[from] StoreError),
    #[error(transparent)]
    Closed(#[from] StorageFailed),
    #[error("the runtime is ending")]
    Ending(#[from] tokio::task::JoinError),
}

impl Courier {
    pub(super) fn new(office: Office, target: Target, opened: Opened) -> Self {
        Self {
            office,
            target,
            opened,
            titles: Rulebook::default(),
            sent: VecDeque::new(),
            rests_until: None,
            troubles: 0,
            said: None,
        }
    }

    pub(super) async fn run(mut self, mut wake: watch::Receiver<u64>) {
        let mut recovered = false;
        loop {
            wake.mark_unchanged();
            let done = if recovered { self.round().await } else { self.recover().await };
            let pause = match done {
                Ok(pause) => {
                    recovered = true;
                    pause
                }
                Err(failure) => {
                    warn!(target = self.target.name, error = %failure, "nothing sent");
                    LOOK_AGAIN
                }
            };
            tokio::select! {
                changed = wake.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Counts what was sent before this collector was started. When exactly nobody knows any more: it counts as sent now.
    async fn recover(&mut self) -> Result<Duration, CourierError> {
        let limits = &self.office.config.notify.limits;
        let (window, most) = (limits.robot_window, limits.robot_messages);
        let from_ms = self.office.clock.now_ms().saturating_sub(millis(window));
        let name = self.target.name.clone();
        let lately = self.ask(move |log| notifications::lately(log.connection(), &name, from_ms)).await?;
        let attempts = lately.iter().fold(0_usize, |sum, facts| sum.saturating_add(facts.attempts as usize));
        self.sent.extend(std::iter::repeat_n(Instant::now(), attempts.min(most)));
        Ok(Duration::ZERO)
    }

    fn resends(&self, route: Option<&Route>) -> bool {
        route.and_then(|route| route.resend_uncertain).unwrap_or(self.target.kind == Kind::Webhook)
    }

    /// Does the next thing there is to do; how long there is nothing after that.
    async fn round(&mut self) -> Result<Duration, CourierError> {
        let name = self.target.name.clone();
        let waiting = self.ask(move |log| notifications::waiting(log.connection(), Some(&name))).await?;
        let now_ms = self.office.clock.now_ms();
        // Nothing is being sent while this looks: what says so was cut off, by the end of a collector or a full disk.
        if let Some(cut_off) = waiting.iter().find(|facts| facts.verb == NotificationVerb::Sending) {
            return self.may_have_arrived(cut_off, now_ms).await;
        }
        let give_up_ms = millis(self.office.config.notify.limits.give_up);
        if let Some(old) = waiting.iter().find(|facts| is_over(facts, give_up_ms)) {
            error!(target = self.target.name, reason = old.reason, attempts = old.attempts, "notification given up");
            self.give_up(old, &old.reason).await?;
            return Ok(Duration::ZERO);
        }
        if let Some(rest) = self.rests_until.and_then(|until| until.checked_duration_since(Instant::now())) {
            return Ok(rest.min(LOOK_AGAIN));
        }
        // What was not tried for longest goes first, so that one message nobody takes does not keep the others waiting.
        let Some(due) = waiting.iter().filter(|facts| is_due(facts, now_ms)).min_by_key(|facts| facts.next_ms) else {
            let next = waiting.iter().map(|facts| facts.next_ms.saturating_sub(now_ms)).min();
            let next = next.map(|ms| Duration::from_millis(u64::try_from(ms).unwrap_or(0)));
            return Ok(next.unwrap_or(LOOK_AGAIN).min(LOOK_AGAIN));
        };
        if let Some(wait) = self.waits_for_room() {
            return Ok(wait);
        }
        self.attempt(due).await
    }

    async fn may_have_arrived(&self, facts: &NotificationFacts, now_ms: i64) -> Result<Duration, CourierError> {
        let name = facts.route.clone();
        let route = self.ask_derived(move |_, db| settings::read::<Route>(db, &format!("{PREFIX}{name}"))).await?;
        let Ok(route) = route else { return Ok(NOT_NOW) };
        let next_ms = if self.resends(route.as_ref()) { now_ms } else { 0 };
        let uncertain = Step::of(facts.id, NotificationVerb::Uncertain, facts.attempts);
        self.note(Step { reason: "stopped".into(), next_ms, ..uncertain }).await?;
        Ok(Duration::ZERO)
    }

    /// How long until the robot takes another message.
    fn waits_for_room(&mut self) -> Option<Duration> {
        if self.target.kind != Kind::WecomRobot {
            return None;
        }
        let limits = &self.office.config.notify.limits;
        let window = limits.robot_window + limits.robot_window / 20;
        while self.sent.front().is_some_and(|at| at.elapsed() >= window) {
            self.sent.pop_front();
        }
        let oldest = self.sent.front().filter(|_| self.sent.len() >= limits.robot_messages)?;
        Some(window.saturating_sub(oldest.elapsed()))
    }

    async fn attempt(&mut self, facts: &NotificationFacts) -> Result<Duration, CourierError> {
        let attempt = facts.attempts.saturating_add(1);
        let (body, resend) = match self.compose(facts, attempt).await? {
            Composed::Ready { body, resend_uncertain } => (body, resend_uncertain),
            Composed::Nothing(why) => {
                self.give_up(facts, why).await?;
                return Ok(Duration::ZERO);
            }
            Composed::NotNow => return Ok(NOT_NOW),
        };
        let limits = self.office.config.notify.limits.clone();
        let stream = match send::connect(&self.opened.url, &self.target.reach, &limits).await {
            Ok(stream) => stream,
            Err((outcome, detail)) => {
                return self.settle(facts, attempt, resend, outcome, None, &detail).await;
            }
        };
        self.note(Step::of(facts.id, NotificationVerb::Sending, attempt)).await?;
        let headers = self.headers(facts, &body);
        let answered = send::exchange(stream, &self.opened.url, &headers, body, &limits).await;
        if self.target.kind == Kind::WecomRobot {
            self.sent.push_back(Instant::now());
        }
        let (outcome, answer) = match answered {
            Ok(answer) if self.target.kind == Kind::WecomRobot => (robot::judge(&answer), Some(answer)),
            Ok(answer) => (webhook::judge(&answer), Some(answer)),
            Err(reason) => (Outcome::Uncertain { reason }, None),
        };
        self.settle(facts, attempt, resend, outcome, answer, "").await
    }

    fn headers(&self, facts: &NotificationFacts, body: &str) -> Vec<(&'static str, String)> {
        if self.target.kind == Kind::WecomRobot {
            return Vec::new();
        }
        let at_s = self.office.clock.now_ms().div_euclid(1000);
        let signature = webhook::signature(&self.opened.secret, at_s, body);
        vec![(webhook::SIGNATURE, signature), (webhook::ID, facts.id.to_string())]
    }

    /// Notes what became of an attempt, and when the next may be.
    async fn settle(
        &mut self,
        facts: &NotificationFacts,
        attempt: u32,
        resend: bool,
        outcome: Outcome,
        answer: Option<Answer>,
        detail: &str,
    ) -> Result<Duration, CourierError> {
        let now_ms = self.office.clock.now_ms();
        let limits = &self.office.config.notify.limits;
        let asked = answer.as_ref().and_then(|answer| send::retry_after(&answer.headers, now_ms));
        let (verb, reason, errcode, rests) = match outcome {
            Outcome::Sent => (NotificationVerb::Sent, "", 0, false),
            Outcome::TooOften { errcode } => (NotificationVerb::Failed, "too_often", errcode, true),
            Outcome::Busy { reason, errcode } => (NotificationVerb::Failed, reason, errcode, true),
            Outcome::Refused { reason, errcode } => (NotificationVerb::Failed, reason, errcode, false),
            Outcome::Uncertain { reason } => (NotificationVerb::Uncertain, reason, 0, true),
        };
        let least = match outcome {
            Outcome::TooOften { .. } if self.target.kind == Kind::WecomRobot => asked.max(Some(limits.robot_window)),
            _ => asked,
        };
        self.troubles = if rests { self.troubles.saturating_add(1) } else { 0 };
        let wait = send::wait(limits, attempt.max(self.troubles), least, random());
        if rests {
            self.rests_until = Some(Instant::now() + wait);
        }
        let again = verb == NotificationVerb::Failed || (verb == NotificationVerb::Uncertain && resend);
        let next_ms = if again { now_ms.saturating_add(millis(wait)) } else { 0 };
        let status = answer.map_or(0, |answer| u32::from(answer.status.as_u16()));
        self.say(verb, reason, status, errcode, detail);
        let step = Step { status, errcode, reason: reason.into(), next_ms, ..Step::of(facts.id, verb, attempt) };
        self.note(step).await?;
        Ok(Duration::ZERO)
    }

    /// Says what has changed about the target, and never what was sent or where to.
    fn say(&mut self, verb: NotificationVerb, reason: &'static str, status: u32, errcode: i64, detail: &str) {
        let target = &self.target.name;
        if verb == NotificationVerb::Sent {
            if self.said.take().is_some() {
                info!(target, "notifications are taken again");
            }
        } else if self.said != Some(reason) {
            warn!(target, reason, status, errcode, detail, "notification not taken");
            self.said = Some(reason);
        }
    }

    async fn give_up(&self, facts: &NotificationFacts, why: &str) -> Result<(), CourierError> {
        let step = Step {
            status: facts.status,
            errcode: facts.errcode,
            reason: why.into(),
            ..Step::of(facts.id, NotificationVerb::GivenUp, facts.attempts)
        };
        self.note(step).await
    }

    async fn note(&self, step: Step) -> Result<(), CourierError> {
        let at_ms = self.office.clock.now_ms();
        self.office.sequencer.run(move |appender, _| queue::note(appender, &step, at_ms)).await?;
        Ok(())
    }

    /// Makes the body of a message from how alerts stand now.
    async fn compose(&mut self, facts: &NotificationFacts, attempt: u32) -> Result<Composed, CourierError> {
        if facts.route.is_empty() {
            let test = text::test(Language::Both, &self.target.name);
            let body = match self.target.kind {
                Kind::WecomRobot => robot::body(&test),
                Kind::Webhook => self.webhook_body(facts, attempt, &[]),
            };
            return Ok(Composed::Ready { body, resend_uncertain: self.resends(None) });
        }
        let (name, log_index) = (facts.route.clone(), facts.log_index);
        let mut titles = std::mem::take(&mut self.titles);
        let read = self.ask_derived(move |log, db| {
            titles.refresh(log)?;
            let Some(route) = settings::read::<Route>(db, &format!("{PREFIX}{name}"))? else {
                return Ok((titles, None));
            };
            let tells = queue::tells_of(log.connection(), log_index)?;
            let tellings = tellings(db, &tells, &titles)?;
            Ok((titles, Some((route, tellings))))
        });
        let Ok((titles, read)) = read.await? else { return Ok(Composed::NotNow) };
        self.titles = titles;
        let Some((route, tellings)) = read else { return Ok(Composed::Nothing(queue::NO_ROUTE)) };
        if tellings.is_empty() {
            return Ok(Composed::Nothing(queue::NOTHING_LEFT));
        }
        let console = self.office.config.notify.console_url.as_deref();
        let lines: Vec<Line> = tellings.into_iter().map(|telling| Line::of(telling, &route, console)).collect();
        let body = match self.target.kind {
            Kind::WecomRobot => robot::body(&robot::content(route.language, &lines, self.office.clock.now_ms())),
            Kind::Webhook => self.webhook_body(facts, attempt, &lines),
        };
        Ok(Composed::Ready { body, resend_uncertain: self.resends(Some(&route)) })
    }

    /// Reads the log beside the couriers and the ingest.
    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&LogReader) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, CourierError> {
        let path = self.office.config.log_db();
        let asked = tokio::task::spawn_blocking(move || question(&LogReader::open(&path)?));
        Ok(asked.await??)
    }

    /// Reads what is derived from it as well. That may not be there for a while.
    async fn ask_derived<T: Send + 'static>(
        &self,
        question: impl FnOnce(&LogReader, &Connection) -> Result<T, DeriveError> + Send + 'static,
    ) -> Result<Result<T, DeriveError>, CourierError> {
        let (log, derived) = (self.office.config.log_db(), self.office.config.derived_db());
        let asked = tokio::task::spawn_blocking(move || {
            let db = derive::open_read_only(&derived)?;
            question(&LogReader::open(&log)?, &db)
        });
        Ok(asked.await?)
    }

    fn webhook_body(&self, facts: &NotificationFacts, attempt: u32, alerts: &[Line]) -> String {
        let body = webhook::Body {
            id: facts.id.to_string(),
            kind: if facts.route.is_empty() { "test" } else { "alerts" },
            tenant: &self.office.config.tenant,
            target: &self.target.name,
            route: &facts.route,
            attempt,
            planned_ms: facts.planned_ms,
            alerts,
            more: 0,
        };
        body.json()
    }
}

/// What a message tells, the gravest first. Of what happened to an alert, the last is told.
fn tellings(db: &Connection, tells: &[Tell], titles: &Rulebook) -> Result<Vec<Telling>, DeriveError> {
    let (mut tellings, mut seen) = (Vec::new(), BTreeSet::new());
    for tell in tells.iter().rev().filter(|tell| seen.insert(tell.alert)) {
        if let Some(mut telling) = events::telling(db, tell)? {
            let rule = titles.of(&telling.pack, &telling.rule);
            telling.title = rule.map(|rule| (rule.title.zh.clone(), rule.title.en.clone()));
            tellings.push(telling);
        }
    }
    tellings.reverse();
    tellings.sort_by_key(|telling| std::cmp::Reverse(telling.rank));
    Ok(tellings)
}

/// Whether a message was tried for long enough. Only attempts tell: a collector that stood still has not tried.
fn is_over(facts: &NotificationFacts, give_up_ms: i64) -> bool {
    facts.attempts > 0 && facts.at_ms.saturating_sub(facts.tried_ms) >= give_up_ms
}

/// Whether a message may be sent now. A moment that is too far away was set by a clock that was ahead.
fn is_due(facts: &NotificationFacts, now_ms: i64) -> bool {
    facts.next_ms <= now_ms || facts.next_ms.saturating_sub(now_ms) > 2 * millis(send::RETRY_AFTER_MAX)
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// Where the system gives no random bytes, retries fall where they would at most.
fn random() -> u64 {
    getrandom::u64().unwrap_or(u64::MAX)
}
