//! A collector that operators come in to, and clients that speak HTTP to it as a browser or a script would.

#![allow(dead_code, unreachable_pub, reason = "shared by test binaries")]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::OnceLock;

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use watchpost_collector::clock::{Clock, now_ms};
use watchpost_collector::config::{Config, ConsoleConfig};
use watchpost_collector::enrolment::desk::Act as By;
use watchpost_collector::log_store::LogReader;
use watchpost_collector::operators::secret::{self, Kind};
use watchpost_collector::operators::{Act, Deed, Grant, Role, Scope, deed, password, totp};
use watchpost_collector::server::{self, Running};
use watchpost_collector::trail::{self, Deed as Done, Filter};
use watchpost_proto::Message as _;
use watchpost_proto::document::{Kind as Document, Signers};
use watchpost_proto::keys::{SigningKey as _, SoftwareKey};
use watchpost_proto::roster::Making;
use watchpost_proto::v1::{EntryKind, Finding, RosterDetails, RosterEntry, RosterPeriod, RosterRow, Summary, summary};

use super::offline::Log;
use super::{PATIENCE, finding};

pub const PASSWORD: &str = "correct horse battery";
pub const SEED: [u8; totp::SEED_BYTES] = [7; totp::SEED_BYTES];

/// Hashed once: that is slow by intent.
fn kept_password() -> &'static str {
    static KEPT: OnceLock<String> = OnceLock::new();
    KEPT.get_or_init(|| hex::encode(password::hash(PASSWORD).unwrap()))
}

pub fn grant(role: Role) -> Grant {
    Grant::of(role)
}

pub fn supervisor(scopes: &[(&str, &str)]) -> Grant {
    let scopes =
        scopes.iter().map(|(department, site)| Scope { department: (*department).into(), site: (*site).into() });
    Grant { scopes: scopes.collect(), ..Grant::of(Role::Supervisor) }
}

pub fn operate(log: &mut Log, by: &str, what: &Deed) -> Result<Vec<u64>, String> {
    let act = By { by, reason: "test", at_ms: now_ms() };
    log.operate(|appender| deed::perform(appender, what, &act)).map_err(|error| error.to_string())
}

/// An operator with a password; administrators with one-time codes.
pub fn employ(log: &mut Log, operator: &str, grant: Grant) {
    let (_, secret) = secret::make(Kind::Invitation).unwrap();
    let (operator, secret) = (operator.to_owned(), secret.to_string());
    let totp = if grant.role.needs_totp() { hex::encode(SEED) } else { String::new() };
    let expires_ms = now_ms() + 60_000;
    operate(log, "test", &Deed::Invite { operator: operator.clone(), grant, secret: secret.clone(), expires_ms })
        .unwrap();
    let password = kept_password().to_owned();
    operate(log, &operator, &Deed::Accept { operator: operator.clone(), secret, password, totp }).unwrap();
}

/// A token of an operator.
pub fn token(log: &mut Log, operator: &str, scopes: &[Act]) -> String {
    let (text, digest) = secret::make(Kind::Token).unwrap();
    let what = Deed::MakeToken {
        operator: operator.into(),
        token: digest.to_string(),
        label: "test".into(),
        scopes: scopes.to_vec(),
        expires_ms: now_ms() + 3_600_000,
    };
    operate(log, "test", &what).unwrap();
    text
}

/// A finding about somebody.
pub fn about(number: u64, person: &str) -> Summary {
    let mut summary = finding(number);
    if let Some(summary::Kind::Finding(finding)) = &mut summary.kind {
        finding.person = person.into();
        finding.from = person.into();
    }
    summary
}

pub fn id_of(number: u64) -> String {
    let Some(summary::Kind::Finding(Finding { finding_id, .. })) = finding(number).kind else { panic!("no finding") };
    hex::encode(finding_id)
}

/// Publishes who is where: userid, department, site. `u.x` and `u.y` are of one employee.
pub fn roster(log: &mut Log, rows: &[(&str, &str, &str)]) {
    roster_named(log, rows, "李娜");
}

/// The same, with the name that everybody bears.
pub fn roster_named(log: &mut Log, rows: &[(&str, &str, &str)], name: &str) {
    let row_of = |(userid, department, site): &(&str, &str, &str)| {
        let (department, site) = ((*department).into(), (*site).into());
        let period = RosterPeriod { from_ms: 1, department, site, ..RosterPeriod::default() };
        let row =
            RosterRow { corp: "ww1".into(), userid: (*userid).into(), periods: vec![period], ..RosterRow::default() };
        let employee = userid.split('.').next().unwrap_or_default().into();
        (row, RosterDetails { salt: vec![1; 16], employee, name: name.into() })
    };
    let (key, _) = SoftwareKey::generate().unwrap();
    let next = Signers::pinned(key.public().id());
    let making = Making { tenant: super::TENANT, previous: None, next: &next, at_ms: 1 };
    let (header, records) = watchpost_proto::roster::make(rows.iter().map(row_of).collect(), &making).unwrap();
    let signed = watchpost_proto::roster::sign(&header, &[&key]).unwrap();
    let digest = Document::Roster.digest(&signed.header);
    let roster = Some(signed);
    let entry = RosterEntry { roster, by: "hr".into(), reason: String::new(), at_ms: 1 };
    log.operate(|appender| {
        watchpost_collector::log_store::keep_rows(appender.connection(), &digest, &records)?;
        Ok(appender.append(EntryKind::Roster, &entry.encode_to_vec())?)
    })
    .unwrap();
}

/// A running collector with an API on loopback.
pub struct Console {
    pub lab: super::Lab,
    pub config: Config,
    pub clock: Clock,
    pub running: Running,
}

impl Console {
    /// Starts on what a log holds by now.
    pub async fn start(log: Log) -> Self {
        let Log { lab, store } = log;
        drop(store);
        let console = ConsoleConfig { listen: "127.0.0.1:0".parse().unwrap(), tls: None };
        let config = Config { console: Some(console), ..lab.config.clone() };
        Self::start_on(lab, config).await
    }

    pub async fn start_on(lab: super::Lab, config: Config) -> Self {
        let clock = Clock::default();
        let running = server::start_at(&config, clock.clone()).await.unwrap();
        let console = Self { lab, config, clock, running };
        console.caught_up().await;
        console
    }

    pub async fn again(self) -> Self {
        let Self { lab, config, running, .. } = self;
        running.stop().await;
        Self::start_on(lab, config).await
    }

    pub fn address(&self) -> SocketAddr {
        self.running.console_address().unwrap()
    }

    pub fn client(&self) -> Client {
        Client { address: self.address(), cookies: BTreeMap::new(), headers: vec![("x-watchpost".into(), "1".into())] }
    }

    /// A client that has signed in.
    pub async fn signed_in(&self, name: &str) -> Client {
        let mut client = self.client();
        let answer = client.sign_in(name, PASSWORD, &self.code()).await;
        assert_eq!(answer.status, 200, "{name}: {}", answer.body);
        client
    }

    pub fn code(&self) -> String {
        totp::code(&SEED, totp::step_of(self.clock.now_ms()))
    }

    pub fn size(&self) -> u64 {
        self.running.sequencer().published().checkpoint.size
    }

    /// Waits until everything in the log shows.
    pub async fn caught_up(&self) {
        let deadline = std::time::Instant::now() + PATIENCE;
        let log = LogReader::open(&self.config.log_db()).unwrap();
        loop {
            let size = log.count().unwrap();
            if let Ok(db) = watchpost_collector::derive::open_read_only(&self.config.derived_db())
                && watchpost_collector::derive::position(&db).unwrap() >= size
            {
                return;
            }
            assert!(std::time::Instant::now() < deadline, "nothing derived");
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }

    /// What was done, the latest first.
    pub async fn trail(&self, verb: &str) -> Vec<Done> {
        self.caught_up().await;
        let db = watchpost_collector::derive::open_read_only(&self.config.derived_db()).unwrap();
        trail::list(&db, &Filter { verb: Some(verb.into()), ..Filter::default() }, 500).unwrap()
    }
}

/// A browser, or a script.
#[derive(Clone)]
pub struct Client {
    pub address: SocketAddr,
    pub cookies: BTreeMap<String, String>,
    pub headers: Vec<(String, String)>,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: hyper::HeaderMap,
    pub text: String,
    pub body: Value,
}

impl Answer {
    pub fn problem(&self) -> &str {
        self.body["type"].as_str().unwrap_or_default().trim_start_matches("urn:watchpost:problem:")
    }

    pub fn cookies(&self) -> Vec<&str> {
        self.headers.get_all("set-cookie").iter().map(|value| value.to_str().unwrap()).collect()
    }
}

impl Client {
    pub fn by_token(&self, token: &str) -> Self {
        let headers = vec![("authorization".into(), format!("Bearer {token}"))];
        Self { address: self.address, cookies: BTreeMap::new(), headers }
    }

    pub fn with(&self, name: &str, value: &str) -> Self {
        let mut client = self.clone();
        client.headers.push((name.into(), value.into()));
        client
    }

    pub async fn sign_in(&mut self, name: &str, password: &str, code: &str) -> Answer {
        let answer = self.post("/session", &json!({ "name": name, "password": password, "code": code })).await;
        self.keep(&answer);
        answer
    }

    pub fn keep(&mut self, answer: &Answer) {
        for cookie in answer.cookies() {
            let (name, value) = cookie.split(';').next().unwrap().split_once('=').unwrap();
            self.cookies.insert(name.into(), value.into());
        }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, Vec::new()).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send("POST", path, body.to_string().into_bytes()).await
    }

    pub async fn put(&self, path: &str, body: &Value) -> Answer {
        self.send("PUT", path, body.to_string().into_bytes()).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, Vec::new()).await
    }

    pub async fn send(&self, method: &str, path: &str, body: Vec<u8>) -> Answer {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let response = self.send_over(stream, method, path, body).await;
        read(response).await
    }

    /// A page, as a browser asks for it.
    pub async fn page(&self, path: &str) -> Answer {
        let stream = TcpStream::connect(self.address).await.unwrap();
        read(self.request_over(stream, "GET", path, Vec::new()).await).await
    }

    /// What forms of this session carry: any page has it.
    pub async fn mark(&self) -> String {
        let page = self.page("/menu").await.text;
        let (_, rest) = page.split_once("name=\"mark\" value=\"").unwrap_or_default();
        rest.split('"').next().unwrap_or_default().to_owned()
    }

    /// Sends a form of a page, with the mark of the session.
    pub async fn send_form(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let mark = self.mark().await;
        let fields: Vec<(&str, &str)> = fields.iter().copied().chain([("mark", mark.as_str())]).collect();
        self.send_fields(path, &fields).await
    }

    /// Sends just these fields.
    pub async fn send_fields(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let body = serde_html_form::to_string(fields).unwrap().into_bytes();
        let origin = format!("http://{}", self.address);
        let client = self.with("origin", &origin).with("content-type", "application/x-www-form-urlencoded");
        let stream = TcpStream::connect(self.address).await.unwrap();
        read(client.request_over(stream, "POST", path, body).await).await
    }

    /// Sends a request over a connection of the caller's; the body of the answer is not read.
    pub async fn send_over<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        &self,
        stream: S,
        method: &str,
        path: &str,
        body: Vec<u8>,
    ) -> Response<Incoming> {
        self.request_over(stream, method, &format!("/api/v1{path}"), body).await
    }

    pub async fn request_over<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        &self,
        stream: S,
        method: &str,
        path: &str,
        body: Vec<u8>,
    ) -> Response<Incoming> {
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let mut request = Request::builder().method(method).uri(path);
        if !self.headers.iter().any(|(name, _)| name == "host") {
            request = request.header("host", self.address.to_string());
        }
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        if !self.cookies.is_empty() {
            let pairs: Vec<String> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
            request = request.header("cookie", pairs.join("; "));
        }
        let request = request.body(Full::new(Bytes::from(body))).unwrap();
        tokio::time::timeout(PATIENCE, sender.send_request(request)).await.expect("an answer in time").unwrap()
    }

    /// The status alone, of an answer that may have no end.
    pub async fn status(&self, method: &str, path: &str, body: Vec<u8>) -> u16 {
        let stream = TcpStream::connect(self.address).await.unwrap();
        self.send_over(stream, method, path, body).await.status().as_u16()
    }
}

pub async fn read(response: Response<Incoming>) -> Answer {
    let (parts, body) = response.into_parts();
    let bytes = tokio::time::timeout(PATIENCE, body.collect()).await.expect("the whole answer").unwrap().to_bytes();
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    let body = serde_json::from_str(&text).unwrap_or(Value::Null);
    Answer { status: parts.status.as_u16(), headers: parts.headers, text, body }
}
