//! What each page of the console costs and weighs, as a reviewer asks for it over HTTP.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, ensure};
use watchpost_collector::alerts::{self, Filter, Order};
use watchpost_collector::clock::{Clock, now_ms};
use watchpost_collector::config::{Config, ConsoleConfig};
use watchpost_collector::credentials::Credentials;
use watchpost_collector::derive;
use watchpost_collector::enrolment::desk::Act as By;
use watchpost_collector::log_store::LogReader;
use watchpost_collector::operators::secret::{self, Kind};
use watchpost_collector::operators::{Deed, Grant, Role, deed, password};
use watchpost_collector::server;
use watchpost_collector::web::console;

use crate::search_speed::{at, seconds};

const NAME: &str = "page.speed";
const PASSWORD: &str = "correct horse battery";
/// Each page is asked for so often.
const ASKED: usize = 20;

/// Starts a collector on this folder and asks for every page.
///
/// # Errors
/// The folder, or a page that is not shown.
pub fn report(dir: &Path) -> anyhow::Result<()> {
    let config = Config::load(&dir.join("collector.toml"))?;
    let config = Config { console: Some(ConsoleConfig { listen: "127.0.0.1:0".parse()?, tls: None }), ..config };
    employ(&config)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let running = runtime.block_on(server::start_at(&config, Clock::default()))?;
    let address = running.console_address().context("no console")?;
    until_derived(&config)?;
    let asked = ask_all(&config, address);
    runtime.block_on(running.stop());
    asked
}

/// A reviewer with a password, once.
fn employ(config: &Config) -> anyhow::Result<()> {
    let credentials = Credentials::load(config, &Clock::default())?;
    let mut store = server::open_log(config, &credentials, &Clock::default())?.store;
    let (_, secret) = secret::make(Kind::Invitation)?;
    let (operator, secret, expires_ms) = (NAME.to_owned(), secret.to_string(), now_ms() + 60_000);
    let password = hex::encode(password::hash(PASSWORD)?);
    let invite = Deed::Invite {
        operator: operator.clone(),
        grant: Grant::of(Role::Reviewer),
        secret: secret.clone(),
        expires_ms,
    };
    let accept = Deed::Accept { operator, secret, password, totp: String::new() };
    for what in [invite, accept] {
        let mut appender = store.begin()?;
        let act = By { by: "bench", reason: "", at_ms: now_ms() };
        // Of a folder that was measured before, they are there already.
        if deed::perform(&mut appender, &what, &act).is_err() {
            return Ok(());
        }
        appender.commit()?;
    }
    Ok(())
}

fn until_derived(config: &Config) -> anyhow::Result<()> {
    let size = LogReader::open(&config.log_db())?.count()?;
    let start = Instant::now();
    loop {
        if let Ok(db) = derive::open_read_only(&config.derived_db())
            && derive::position(&db)? >= size
        {
            return Ok(());
        }
        ensure!(seconds(start) < 3600.0, "nothing derived");
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
}

fn ask_all(config: &Config, address: SocketAddr) -> anyhow::Result<()> {
    let login = format!("name={NAME}&password={}", PASSWORD.replace(' ', "+"));
    let signed_in = send(address, "POST", "/login", "", &login)?;
    let cookie = signed_in.lines().filter_map(|line| line.strip_prefix("set-cookie: "));
    let cookie = cookie.filter_map(|line| line.split(';').next()).collect::<Vec<_>>().join("; ");
    ensure!(!cookie.is_empty(), "not signed in: {signed_in}");
    let mut all = Vec::new();
    for path in paths(config)? {
        let (mut times, mut bytes) = (Vec::new(), 0);
        for _ in 0..ASKED {
            let start = Instant::now();
            let page = send(address, "GET", &path, &cookie, "")?;
            times.push(seconds(start) * 1e3);
            let status = page.split(' ').nth(1).unwrap_or_default();
            if status != "200" {
                times.clear();
                break;
            }
            bytes = page.len();
        }
        if times.is_empty() {
            continue;
        }
        all.extend_from_slice(&times);
        let (half, most) = (at(&mut times, 0.5), at(&mut times, 0.95));
        println!("page {path}: p50 {half:.1} ms, p95 {most:.1} ms, {:.1} KB", bytes as f64 / 1e3);
    }
    println!("page, all: p50 {:.1} ms, p95 {:.1} ms", at(&mut all, 0.5), at(&mut all, 0.95));
    Ok(())
}

/// Every page that nothing varies of, and an alert and its device.
fn paths(config: &Config) -> anyhow::Result<Vec<String>> {
    let db = derive::open_read_only(&config.derived_db())?;
    let (alert, _) = alerts::page(&db, &Filter::default(), Order::Newest, None, 1)?.pop().context("no alert")?;
    let mut known = BTreeMap::from([("{alert}", alert.alert.clone()), ("{pack}", alert.pack.clone())]);
    known.extend(alert.devices.first().map(|device| ("{device}", device.clone())));
    let pages = console::routes().into_iter().filter(|route| route.method == "GET" && route.is_page);
    let filled =
        pages.map(|route| known.iter().fold(route.path.to_owned(), |path, (hole, value)| path.replace(hole, value)));
    Ok(filled.filter(|path| !path.contains('{')).collect())
}

fn send(address: SocketAddr, method: &str, path: &str, cookie: &str, body: &str) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\norigin: http://{address}\r\ncookie: {cookie}\r\nconnection: close\r\n\
         content-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
