//! One attempt: connect to where the target may be, say durably that it is being sent, send it, and judge what came of it.

use std::time::Duration;

use hyper::StatusCode;
use hyper::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER, USER_AGENT};
use hyper::{Request, Uri};
use time::format_description::StaticFormatDescription;
use time::macros::format_description;
use time::{OffsetDateTime, PrimitiveDateTime};

use super::reach::Reach;
use super::target::Limits;
use crate::outgoing::{self, Answer, Stream};

/// Longer than that nobody is listened to who says when to come again.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);
const HTTP_DATE: StaticFormatDescription =
    format_description!("[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT");

/// What became of an attempt, by what is done next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It has arrived.
    Sent,
    /// It has not: the target takes no more for now. Nothing goes there for a while.
    TooOften {
        /// The robot's code.
        errcode: i64,
    },
    /// It has not: the target cannot be had, or is in trouble. Nothing goes there for a while.
    Busy {
        /// A word.
        reason: &'static str,
        /// The robot's code, or 0.
        errcode: i64,
    },
    /// It has not: the target does not want it. Others may go there.
    Refused {
        /// A word.
        reason: &'static str,
        /// The robot's code, or 0.
        errcode: i64,
    },
    /// It may have arrived.
    Uncertain {
        /// A word.
        reason: &'static str,
    },
}

impl Outcome {
    /// What a status means that is no success.
    #[must_use]
    pub fn of_status(status: StatusCode) -> Self {
        match status {
            StatusCode::TOO_MANY_REQUESTS => Self::TooOften { errcode: 0 },
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY => Self::Busy { reason: "not_now", errcode: 0 },
            status if status.is_server_error() => Self::Busy { reason: "server_error", errcode: 0 },
            // Never followed: it may lead anywhere.
            status if status.is_redirection() => Self::Refused { reason: "redirect", errcode: 0 },
            _ => Self::Refused { reason: "refused", errcode: 0 },
        }
    }
}

/// Connects to a target, if it may be connected to.
///
/// # Errors
/// What keeps it from that, for the log of the process; nothing has left.
pub async fn connect(url: &Uri, reach: &Reach, limits: &Limits) -> Result<Box<dyn Stream>, (Outcome, String)> {
    let busy = |reason| Outcome::Busy { reason, errcode: 0 };
    let connected = async {
        let addresses = reach.resolve(url).await.map_err(|error| (busy("forbidden_address"), error.to_string()))?;
        outgoing::connect(url, &addresses).await.map_err(|error| (busy("unreachable"), format!("{error:#}")))
    };
    let timed = tokio::time::timeout(limits.connect, connected).await;
    timed.unwrap_or_else(|_| Err((busy("unreachable"), "it does not answer".into())))
}

/// Sends a body and waits for the answer.
///
/// # Errors
/// There was none: it may have arrived all the same.
pub async fn exchange(
    stream: Box<dyn Stream>,
    url: &Uri,
    headers: &[(&'static str, String)],
    body: String,
    limits: &Limits,
) -> Result<Answer, &'static str> {
    let Ok(request) = request(url, headers, body) else { return Err("no_request") };
    match tokio::time::timeout(limits.answer, outgoing::exchange(stream, request)).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(_)) => Err("cut_off"),
        Err(_) => Err("no_answer"),
    }
}

fn request(url: &Uri, headers: &[(&'static str, String)], body: String) -> anyhow::Result<Request<String>> {
    let path = url.path_and_query().map_or("/", |path| path.as_str());
    let mut request = outgoing::post(url, path)?
        .header(CONTENT_TYPE, "application/json; charset=utf-8")
        .header(USER_AGENT, concat!("watchpost/", env!("CARGO_PKG_VERSION")));
    for (name, value) in headers {
        request = request.header(*name, value);
    }
    Ok(request.body(body)?)
}

/// How long a target asks to be left alone: seconds, or a date.
#[must_use]
pub fn retry_after(headers: &HeaderMap, now_ms: i64) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = match value.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let at: OffsetDateTime = PrimitiveDateTime::parse(value, HTTP_DATE).ok()?.assume_utc();
            let ms = i64::try_from(at.unix_timestamp_nanos() / 1_000_000).ok()?.saturating_sub(now_ms);
            Duration::from_millis(u64::try_from(ms).unwrap_or(0))
        }
    };
    Some(wait.min(RETRY_AFTER_MAX))
}

/// When a message that has failed so often is tried again: at any moment until twice the time of before, so that targets
/// and collectors never fall into step, and not before the target wants it.
#[must_use]
pub fn wait(limits: &Limits, attempt: u32, least: Option<Duration>, random: u64) -> Duration {
    let doubled = limits.retry_first.saturating_mul(1_u32.checked_shl(attempt.saturating_sub(1)).unwrap_or(u32::MAX));
    let longest = u64::try_from(doubled.min(limits.retry_longest).as_millis()).unwrap_or(u64::MAX);
    let jittered = Duration::from_millis(random % longest.saturating_add(1).max(1));
    jittered.max(least.unwrap_or_default()).max(Duration::from_millis(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_says_when_to_come_again_is_listened_to() {
        let asked =
            |value: &str| retry_after(&HeaderMap::from_iter([(RETRY_AFTER, value.parse().unwrap())]), 784_111_777_000);
        assert_eq!(asked("120"), Some(Duration::from_secs(120)));
        assert_eq!(asked("Sun, 06 Nov 1994 08:50:37 GMT"), Some(Duration::from_secs(60)));
        assert_eq!(asked("Sun, 06 Nov 1994 08:00:00 GMT"), Some(Duration::ZERO));
        assert_eq!(asked("99999999999"), Some(RETRY_AFTER_MAX));
        assert_eq!((asked("soon"), asked("-1")), (None, None));
        assert_eq!(retry_after(&HeaderMap::new(), 0), None);
    }

    #[test]
    fn a_wait_is_anywhere_up_to_twice_the_one_before_and_never_for_ever() {
        let limits =
            Limits { retry_first: Duration::from_secs(4), retry_longest: Duration::from_secs(60), ..Limits::default() };
        let longest =
            |attempt| (0..100_000).step_by(7).map(|random| wait(&limits, attempt, None, random)).max().unwrap();
        let seconds = |attempt| longest(attempt).as_secs_f64().round() as u64;
        assert_eq!([1, 2, 3, 4, 5, 6, 40, u32::MAX].map(seconds), [4, 8, 16, 32, 60, 60, 60, 60]);
        assert_eq!(wait(&limits, 9, None, 0), Duration::from_millis(1));
        assert_eq!(wait(&limits, 1, Some(Duration::from_secs(90)), 5), Duration::from_secs(90));
    }

    #[test]
    fn a_status_says_whether_others_may_go() {
        let of = |status| Outcome::of_status(StatusCode::from_u16(status).unwrap());
        assert_eq!(of(429), Outcome::TooOften { errcode: 0 });
        assert_eq!(of(503), Outcome::Busy { reason: "server_error", errcode: 0 });
        assert_eq!(of(301), Outcome::Refused { reason: "redirect", errcode: 0 });
        assert_eq!(of(404), Outcome::Refused { reason: "refused", errcode: 0 });
    }
}
