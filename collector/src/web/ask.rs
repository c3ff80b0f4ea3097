//! A request under way: who asks for what, and the way to everything it is answered from.

use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use axum::body::Bytes;
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use rusqlite::Connection;
use tokio::runtime::Handle;

use super::auth::{self, Caller};
use super::form::Upload;
use super::problem::{Kind, Problem};
use super::route::{Body, Route};
use super::{Site, held};
use crate::admin::{Request, What};
use crate::audit::{Access, Did};
use crate::derive;
use crate::log_store::LogReader;
use crate::operators::{Act, Concerning, Deed, Operator, may, own};
use crate::rulebook::RuleText;
use crate::sequencer::StorageFailed;

const FOREVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");

/// A request as it came in.
#[derive(Debug)]
pub(in crate::web) struct Heard {
    pub(in crate::web) parts: Parts,
    pub(in crate::web) body: Bytes,
    /// By the name of the field they came in.
    pub(in crate::web) files: HashMap<String, Upload>,
    pub(in crate::web) params: HashMap<String, String>,
    pub(in crate::web) address: IpAddr,
}

/// A request that may be answered.
pub(in crate::web) struct Ask<'a> {
    pub(in crate::web) site: &'a Site,
    pub(in crate::web) heard: Heard,
    pub(in crate::web) now_ms: i64,
    caller: Option<Caller>,
    log: LogReader,
    derived: OnceCell<Connection>,
    cookies: RefCell<Vec<String>>,
}

impl<'a> Ask<'a> {
    /// Looks who asks, and whether they ever may.
    pub(in crate::web) fn new(site: &'a Site, route: &Route, heard: Heard) -> Result<Self, Problem> {
        let log = LogReader::open(&site.desk.config.log_db())?;
        let now_ms = site.now_ms();
        let caller = auth::admit(site, route, &heard, log.connection(), now_ms)?;
        let ask =
            Self { site, heard, now_ms, caller: None, log, derived: OnceCell::new(), cookies: RefCell::default() };
        let caller = caller.map(|mut caller| {
            caller.operator = ask.widened(caller.operator);
            caller
        });
        Ok(Self { caller, ..ask })
    }

    /// An operator with all accounts they have; where nobody can tell these, nothing counts as another's.
    pub(in crate::web) fn widened(&self, operator: Operator) -> Operator {
        if operator.grant.accounts.is_empty() {
            return operator;
        }
        let unbound = Operator { is_unbound: true, ..operator.clone() };
        let widened = self.derived().ok().and_then(|derived| own::widened(operator, derived).ok());
        widened.unwrap_or(unbound)
    }

    /// Who asks. Of a route that is open to anybody, nobody.
    pub(in crate::web) fn caller(&self) -> Result<&Caller, Problem> {
        self.caller.as_ref().ok_or(Problem::new(Kind::NotSignedIn))
    }

    /// The login name of whoever asks.
    pub(in crate::web) fn by(&self) -> Result<&str, Problem> {
        Ok(&self.caller()?.operator.operator)
    }

    /// Whether they may do this with this alert, or at all.
    pub(in crate::web) fn may(&self, act: Act, of: Option<&Concerning<'_>>) -> bool {
        self.caller.as_ref().is_some_and(|caller| caller.covers(act) && may(&caller.operator, act, of, self.now_ms))
    }

    /// What varies in the address.
    pub(in crate::web) fn param(&self, name: &str) -> Result<&str, Problem> {
        self.heard.params.get(name).map(String::as_str).ok_or(Problem::new(Kind::NotFound))
    }

    pub(in crate::web) fn log(&self) -> &LogReader {
        &self.log
    }

    /// What people look at.
    pub(in crate::web) fn derived(&self) -> Result<&Connection, Problem> {
        if let Some(db) = self.derived.get() {
            return Ok(db);
        }
        let db = derive::open_read_only(&self.site.desk.config.derived_db())?;
        Ok(self.derived.get_or_init(|| db))
    }

    /// The same once more, with what came since.
    pub(in crate::web) fn derived_anew(&self) -> Result<Connection, Problem> {
        Ok(derive::open_read_only(&self.site.desk.config.derived_db())?)
    }

    /// Waits until what was done shows.
    pub(in crate::web) fn until_shown(&self, entries: &[u64]) -> Result<(), Problem> {
        let Some(last) = entries.last() else { return Ok(()) };
        let shows = Handle::current().block_on(self.site.desk.shows(*last));
        let told = || Problem::new(Kind::Busy).because("it is done, and shows as soon as the collector has derived it");
        shows.then_some(()).ok_or_else(told)
    }

    /// A step with an operator, from where it is asked for.
    pub(in crate::web) fn operating(&self, deed: Deed) -> What {
        What::Operate { deed, address: self.heard.address.to_string() }
    }

    /// Has something done; returns when it is durable.
    pub(in crate::web) fn have_done(&self, what: What, reason: &str) -> Result<Vec<u64>, Problem> {
        self.have_done_by(self.by()?, what, reason)
    }

    pub(in crate::web) fn have_done_by(&self, by: &str, what: What, reason: &str) -> Result<Vec<u64>, Problem> {
        let request = Request { what, by: by.to_owned(), reason: reason.to_owned(), until_ms: i64::MAX };
        let done = Handle::current().block_on(self.site.desk.carry_out(&request));
        done.map_err(|error| {
            if error.is::<StorageFailed>() {
                Problem::broken(&error)
            } else {
                Problem::new(Kind::NotPossible).because(format!("{error:#}"))
            }
        })
    }

    /// Notes that somebody came in or looked at what is not everybody's, before they are answered.
    pub(in crate::web) fn note(
        &self,
        by: &str,
        did: Did,
        subject: &str,
        reason: &str,
        rows: u64,
    ) -> Result<(), Problem> {
        let address = self.heard.address.to_string();
        let access = Access { did, subject: subject.to_owned(), address, rows };
        self.have_done_by(by, What::Access { access }, reason).map(drop)
    }

    /// What a rule says, where it is known.
    pub(in crate::web) fn rule(&self, pack: &str, rule: &str) -> Result<Option<Arc<RuleText>>, Problem> {
        let mut book = held(&self.site.rulebook);
        book.refresh(&self.log)?;
        Ok(book.of(pack, rule))
    }

    /// A page looks for news by itself: nobody reads what it is answered.
    pub(in crate::web) fn is_quiet(&self) -> bool {
        self.heard.parts.headers.contains_key(auth::QUIET_HEADER)
    }

    /// What forms of this session carry, so that no foreign page can send one.
    pub(in crate::web) fn mark(&self) -> String {
        self.caller.as_ref().and_then(|caller| caller.cookie.as_deref()).map(auth::mark).unwrap_or_default()
    }

    /// The file that came in this field of the form.
    pub(in crate::web) fn file(&self, field: &str) -> Option<&Upload> {
        self.heard.files.get(field)
    }

    /// Sends a cookie along with the answer.
    pub(in crate::web) fn set_cookie(&self, cookie: String) {
        self.cookies.borrow_mut().push(cookie);
    }

    /// The cookie of this name that came along.
    pub(in crate::web) fn cookie(&self, name: &str) -> Option<&str> {
        auth::cookie(&self.heard.parts.headers, name)
    }

    pub(in crate::web) fn respond(&self, body: Body) -> Response {
        let Body { kind, bytes, file, location, is_forever } = body;
        let mut response = ([(header::CONTENT_TYPE, kind)], bytes).into_response();
        if let Some(Ok(location)) = location.map(HeaderValue::try_from) {
            *response.status_mut() = StatusCode::SEE_OTHER;
            response.headers_mut().insert(header::LOCATION, location);
        }
        if is_forever {
            response.headers_mut().insert(header::CACHE_CONTROL, FOREVER);
        }
        for cookie in self.cookies.borrow().iter() {
            if let Ok(value) = HeaderValue::from_str(cookie) {
                response.headers_mut().append(header::SET_COOKIE, value);
            }
        }
        let disposition = file.map(|file| format!("attachment; filename=\"{file}\""));
        if let Some(Ok(value)) = disposition.map(|text| HeaderValue::from_str(&text)) {
            response.headers_mut().insert(header::CONTENT_DISPOSITION, value);
        }
        response
    }

    /// Sessions, for the moment.
    pub(in crate::web) fn sessions<T>(&self, with: impl FnOnce(&mut crate::operators::session::Sessions) -> T) -> T {
        with(&mut held(&self.site.sessions))
    }
}
