//! People are told of alerts through real servers on real sockets: once, within what the other side takes, and nowhere else.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test helpers")]

#[path = "notify/place.rs"]
mod place;
mod support;

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use place::{Act, Place, SECRET, private};
use serde_json::Value;
use support::{Lab, PATIENCE, finding};
use watchpost_collector::admin::{Request, What, have_done};
use watchpost_collector::clock::{Clock, now_ms};
use watchpost_collector::config::Config;
use watchpost_collector::log_store::LogReader;
use watchpost_collector::notify::reach::Reach;
use watchpost_collector::notify::target::{Kind, Limits, NotifyConfig, Target, UrlFrom};
use watchpost_collector::notify::trouble::troubles;
use watchpost_collector::server::{self, Running};
use watchpost_proto::v1::{Disclose, Finding, Lane, Summary, summary};

/// As a robot answers that takes whatever comes.
fn willing() -> Act {
    Act::Robot(1_000, Duration::from_secs(60))
}

fn limits() -> Limits {
    Limits {
        answer: Duration::from_millis(500),
        retry_first: Duration::from_millis(40),
        retry_longest: Duration::from_millis(200),
        look: Duration::from_millis(200),
        ..Limits::default()
    }
}

/// A finding of a rule of its own: each opens an alert.
fn of_rule(number: u64) -> Summary {
    changed(number, |finding| finding.rule = format!("sample.rule-{number}"))
}

fn changed(number: u64, change: impl FnOnce(&mut Finding)) -> Summary {
    let mut summary = finding(number);
    if let Some(summary::Kind::Finding(finding)) = &mut summary.kind {
        finding.msgtime_ms = now_ms();
        change(finding);
    }
    summary
}

/// A lab whose collector tells targets.
struct Told {
    lab: Lab,
    config: Config,
}

impl Told {
    fn new(targets: Vec<Target>) -> Self {
        Self::with(Lab::new(), targets)
    }

    fn with(lab: Lab, targets: Vec<Target>) -> Self {
        let notify = NotifyConfig { targets, limits: limits(), console_url: Some("https://console.example".into()) };
        let config = Config { notify, ..lab.config.clone() };
        Self { lab, config }
    }

    async fn start(&self) -> Running {
        server::start(&self.config).await.unwrap()
    }

    /// Makes a route; without words of its own it tells everything at once.
    async fn route(&self, name: &str, target: &str, more: &str) {
        let value = format!("{{\"target\":\"{target}\",\"group_wait_s\":0,\"group_interval_s\":0{more}}}");
        self.set(name, value).await;
    }

    async fn set(&self, name: &str, value: String) {
        let (config, name) = (self.config.clone(), format!("route/{name}"));
        let request =
            Request { what: What::Set { name, value }, by: "test".into(), reason: String::new(), until_ms: 0 };
        let done = tokio::task::spawn_blocking(move || have_done(&config, &request)).await.unwrap().unwrap();
        assert_eq!(done.error, None);
    }

    async fn send(&self, address: SocketAddr, summaries: &[Summary]) {
        let mut device = self.lab.device();
        let (mut client, _) = device.connect(address).await;
        let segment = device.seal(Lane::Urgent, summaries);
        client.segment(&segment).await;
        client.receipt_through(Lane::Urgent, 0).await;
    }

    /// What `notify list --json` says, by target; the newest first.
    fn listed(&self) -> HashMap<String, Vec<Value>> {
        let (success, said) = cli(&["notify", "list", "--json", "--config", &self.toml()]);
        assert!(success, "{said}");
        let mut listed: HashMap<String, Vec<Value>> = HashMap::new();
        for line in said.lines() {
            let shown: Value = serde_json::from_str(line).unwrap();
            listed.entry(shown["target"].as_str().unwrap().to_owned()).or_default().push(shown);
        }
        listed
    }

    async fn until_listed(&self, target: &str, state: &str) -> Value {
        let give_up = Instant::now() + PATIENCE;
        loop {
            let listed = self.listed();
            let found = listed.get(target).and_then(|shown| shown.iter().find(|shown| shown["state"] == state));
            match found {
                Some(found) => return found.clone(),
                None => assert!(Instant::now() < give_up, "{target} is not {state} but {listed:?}"),
            }
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }

    fn toml(&self) -> String {
        self.lab.dir().join("collector/collector.toml").to_str().unwrap().to_owned()
    }
}

fn cli(args: &[&str]) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_watchpost-collector")).args(args).output().unwrap();
    let said = if output.status.success() { output.stdout } else { [output.stdout, output.stderr].concat() };
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let give_up = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < give_up, "{what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The ids of the alerts a webhook was told of, over all requests.
fn alerts_of(place: &Place) -> Vec<String> {
    let told = |got: &place::Got| {
        let json = got.json();
        json["alerts"]
            .as_array()
            .unwrap()
            .iter()
            .map(|alert| alert["alert"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    place.got().iter().flat_map(told).collect()
}

fn id_of(number: u64) -> String {
    format!("{number:016x}{}", "0".repeat(48))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_is_told_to_a_robot_and_to_a_webhook_that_checks_the_signature() {
    let (robot, hook) = (Place::new([willing()]).await, Place::new([Act::status(204)]).await);
    let lab = Lab::new();
    let targets = vec![robot.robot("duty"), hook.webhook("hook", lab.dir())];
    let told = Told::with(lab, targets);
    let running = told.start().await;
    told.route("duty", "duty", "").await;
    told.route("hook", "hook", ",\"level\":\"info\"").await;
    told.route("others", "hook", ",\"level\":\"critical\"").await;
    told.send(running.address(), &[of_rule(1)]).await;
    until("both are told", || !robot.got().is_empty() && !hook.got().is_empty()).await;

    let got = &robot.got()[0];
    assert_eq!(got.path, "/hook?key=k1");
    let text = got.markdown();
    assert!(
        text.contains("1 条新告警") && text.contains("sample/sample.rule-1") && text.contains("ww1/zhang"),
        "{text}"
    );
    assert!(text.contains(&format!("https://console.example/alerts/{}", id_of(1))), "{text}");
    assert!(!text.contains("保本"), "no excerpt leaves where the route discloses none: {text}");

    let got = &hook.got()[0];
    let (time, signature) = got.headers["watchpost-signature"].strip_prefix("t=").unwrap().split_once(",v1=").unwrap();
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    let signed = format!("{time}.{}", got.body);
    hmac::verify(&key, signed.as_bytes(), &hex::decode(signature).unwrap()).unwrap();
    assert!((now_ms() / 1000 - time.parse::<i64>().unwrap()).abs() < 60);
    let json = got.json();
    assert_eq!((&json["id"], &json["kind"], &json["route"]), (&got.id().into(), &"alerts".into(), &"hook".into()));
    let alert = &json["alerts"][0];
    assert_eq!(
        (&alert["alert"], &alert["event"], &alert["level"]),
        (&id_of(1).into(), &"opened".into(), &"high".into())
    );
    assert!(alert["respond_by_ms"].as_i64().unwrap() > alert["opened_ms"].as_i64().unwrap());
    assert!(alert.get("excerpt").is_none() && !got.body.contains("保本"));

    assert_eq!(told.until_listed("duty", "sent").await["status"], 200);
    assert_eq!(told.until_listed("hook", "sent").await["status"], 204);
    running.stop().await;
    assert_eq!((robot.got().len(), hook.got().len()), (1, 1), "a route whose level is higher tells nothing");
    let (sound, said) = cli(&["log", "verify", "--config", &told.toml()]);
    assert!(sound, "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_excerpt_leaves_only_masked_and_only_where_the_route_says_so() {
    let (robot, hook) = (Place::new([willing()]).await, Place::new([Act::status(200)]).await);
    let lab = Lab::new();
    let targets = vec![robot.robot("duty"), hook.webhook("hook", lab.dir())];
    let told = Told::with(lab, targets);
    let running = told.start().await;
    told.route("masked", "duty", ",\"disclosure\":\"masked\",\"group_by\":\"route\"").await;
    told.route("none", "hook", ",\"group_by\":\"route\"").await;
    let disclosed = |number, disclose: Disclose, excerpt: &str| {
        changed(number, |finding| {
            finding.rule = format!("sample.rule-{number}");
            finding.disclose = disclose.into();
            finding.excerpt = excerpt.into();
        })
    };
    let summaries =
        [disclosed(1, Disclose::Masked, "保本<@all>***"), disclosed(2, Disclose::Context, "readable words")];
    told.send(running.address(), &summaries).await;
    until("both are told", || !robot.got().is_empty() && !hook.got().is_empty()).await;
    let text: String = robot.got().iter().map(place::Got::markdown).collect();
    assert!(text.contains("保本＜＠all＞＊＊＊") && !text.contains("<@"), "{text}");
    assert!(!text.contains("readable"), "only what the device has masked: {text}");
    assert!(hook.got().iter().all(|got| !got.body.contains("保本") && !got.body.contains("readable")));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_told_twice_when_derived_db_is_made_anew() {
    let hook = Place::new([Act::status(200)]).await;
    let lab = Lab::new();
    let targets = vec![hook.webhook("hook", lab.dir())];
    let told = Told::with(lab, targets);
    let running = told.start().await;
    told.send(running.address(), &[of_rule(1)]).await;
    told.route("hook", "hook", "").await;
    told.send(running.address(), &[of_rule(2), of_rule(3)]).await;
    until("it is told", || alerts_of(&hook).len() == 2).await;
    told.until_listed("hook", "sent").await;
    running.stop().await;
    for suffix in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(told.config.data_dir.join(format!("derived.db{suffix}")));
    }
    let running = told.start().await;
    told.send(running.address(), &[of_rule(4)]).await;
    until("what came after is told", || alerts_of(&hook).contains(&id_of(4))).await;
    let mut alerts = alerts_of(&hook);
    alerts.sort();
    assert_eq!(alerts, [id_of(2), id_of(3), id_of(4)], "what happened before there was a route is not told either");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_robot_gets_no_more_than_it_takes() {
    let window = Duration::from_millis(1_500);
    let robot = Place::new([Act::Robot(3, window)]).await;
    let mut told = Told::new(vec![robot.robot("duty")]);
    (told.config.notify.limits.robot_messages, told.config.notify.limits.robot_window) = (3, window);
    let running = told.start().await;
    told.route("duty", "duty", "").await;
    let began = Instant::now();
    told.send(running.address(), &(1..=8).map(of_rule).collect::<Vec<_>>()).await;
    until("all are told", || robot.got().len() >= 8).await;
    assert!(began.elapsed() >= 2 * window, "eight take two windows of waiting");
    until("all are sent", || told.listed()["duty"].iter().all(|shown| shown["state"] == "sent")).await;
    assert_eq!((robot.got().len(), robot.too_often()), (8, 0));
    running.stop().await;
    // Whoever starts anew has not forgotten what was sent a moment ago.
    let running = told.start().await;
    told.send(running.address(), &[of_rule(9)]).await;
    until("the next is told", || robot.got().len() == 9).await;
    told.until_listed("duty", "sent").await;
    assert_eq!(robot.too_often(), 0);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_robot_that_is_asked_too_often_is_left_alone_for_a_while() {
    let robot = Place::new([Act::errcode(45009), Act::errcode(0)]).await;
    let mut told = Told::new(vec![robot.robot("duty")]);
    told.config.notify.limits.robot_window = Duration::from_millis(800);
    let running = told.start().await;
    told.route("duty", "duty", "").await;
    told.send(running.address(), &[of_rule(1), of_rule(2)]).await;
    until("both are told", || robot.got().len() == 3).await;
    let got = robot.got();
    assert!(got[1].at - got[0].at >= Duration::from_millis(800), "nothing goes before the window has passed");
    until("both are sent", || told.listed()["duty"].iter().all(|shown| shown["state"] == "sent")).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_is_tried_again_with_the_same_id_and_not_before_it_is_asked_to() {
    let later = Act::Answer(429, "Retry-After: 1\r\n".into(), String::new());
    let hook = Place::new([Act::status(500), later, Act::status(404), Act::status(200)]).await;
    let lab = Lab::new();
    let targets = vec![hook.webhook("hook", lab.dir())];
    let told = Told::with(lab, targets);
    let running = told.start().await;
    told.route("hook", "hook", "").await;
    told.send(running.address(), &[of_rule(1)]).await;
    let shown = told.until_listed("hook", "sent").await;
    assert_eq!((&shown["attempts"], &shown["status"]), (&4.into(), &200.into()));
    let got = hook.got();
    assert!(got[2].at - got[1].at >= Duration::from_secs(1));
    assert!(got.iter().all(|one| one.id() == got[0].id()));
    assert_eq!(got.iter().map(|one| one.json()["attempt"].as_u64().unwrap()).collect::<Vec<_>>(), [1, 2, 3, 4]);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_is_followed_nowhere() {
    let inside = Place::new([Act::status(200)]).await;
    let to = |url: String| Act::Answer(307, format!("Location: {url}\r\n"), String::new());
    let hook =
        Place::new([to(format!("http://{}/", inside.address)), to("http://169.254.169.254/latest/".into())]).await;
    let lab = Lab::new();
    let targets = vec![hook.webhook("hook", lab.dir())];
    let told = Told::with(lab, targets);
    let running = told.start().await;
    told.route("hook", "hook", "").await;
    told.send(running.address(), &[of_rule(1)]).await;
    until("it is tried again", || hook.got().len() >= 3).await;
    let shown = told.until_listed("hook", "failed").await;
    assert_eq!((&shown["reason"], &shown["status"]), (&"redirect".into(), &307.into()));
    assert_eq!(inside.connections(), 0);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_is_not_allowed_is_not_even_connected_to() {
    let inside = Place::new([Act::status(200)]).await;
    let lab = Lab::new();
    let mut target = inside.webhook("hook", lab.dir());
    target.url = UrlFrom::Here(format!("https://localhost:{}/", inside.address.port()).parse().unwrap());
    target.reach = Reach::default();
    let told = Told::with(lab, vec![target]);
    let running = told.start().await;
    told.route("hook", "hook", "").await;
    told.send(running.address(), &[of_rule(1)]).await;
    assert_eq!(told.until_listed("hook", "failed").await["reason"], "forbidden_address");
    assert_eq!(inside.connections(), 0);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_answer_delays_nobody_and_may_have_got_it() {
    let (robot, closing) = (Place::new([Act::Hang]).await, Place::new([Act::Close]).await);
    let hook = Place::new([Act::Hang, Act::Close, Act::status(200)]).await;
    let well = Place::new([willing()]).await;
    let lab = Lab::new();
    let targets =
        vec![robot.robot("hanging"), closing.robot("closing"), hook.webhook("hook", lab.dir()), well.robot("well")];
    let mut told = Told::with(lab, targets);
    told.config.notify.limits.answer = Duration::from_secs(4);
    let running = told.start().await;
    for name in ["hanging", "closing", "hook", "well"] {
        told.route(name, name, "").await;
    }
    told.send(running.address(), &[of_rule(1)]).await;
    until("all have it", || [&robot, &closing, &hook, &well].iter().all(|place| !place.got().is_empty())).await;
    assert!(well.got()[0].at < robot.got()[0].at + told.config.notify.limits.answer, "the other was not waited for");

    assert_eq!(told.until_listed("hanging", "uncertain").await["reason"], "no_answer");
    assert_eq!(told.until_listed("closing", "uncertain").await["reason"], "cut_off");
    told.until_listed("hook", "sent").await;
    let got = hook.got();
    assert!(got.len() == 3 && got.iter().all(|one| one.id() == got[0].id()), "a webhook tells by the id");
    // Another message goes, and the one that may have arrived does not.
    told.send(running.address(), &[of_rule(2)]).await;
    until("the next is sent", || closing.got().len() == 2).await;
    assert!(closing.got()[1].markdown().contains("rule-2"));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_takes_is_given_up_and_said_in_health() {
    let gone = Place::new([Act::status(503)]).await;
    let lab = Lab::new();
    let targets = vec![gone.webhook("hook", lab.dir())];
    let mut told = Told::with(lab, targets);
    told.config.notify.limits.give_up = Duration::from_secs(1);
    let running = told.start().await;
    told.route("hook", "hook", "").await;
    told.send(running.address(), &[of_rule(1)]).await;
    until("it is tried", || gone.got().len() > 1).await;
    let shown = told.until_listed("hook", "given-up").await;
    assert_eq!((&shown["reason"], &shown["status"]), (&"server_error".into(), &503.into()));
    running.stop().await;
    let attempts = gone.got().len();
    assert_eq!(shown["attempts"], attempts);
    let log = LogReader::open(&told.config.log_db()).unwrap();
    let [trouble] = &troubles(&told.config.notify, &log, now_ms()).unwrap()[..] else { panic!("no trouble") };
    assert_eq!((trouble.given_up, trouble.waiting, trouble.reason.as_str()), (1, 0, "server_error"));
    assert_eq!(troubles(&told.config.notify, &log, now_ms() + 25 * 3_600_000).unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_that_nobody_takes_in_time_is_told_as_escalated() {
    let hook = Place::new([Act::status(200)]).await;
    let lab = Lab::new();
    let targets = vec![hook.webhook("hook", lab.dir())];
    let told = Told::with(lab, targets);
    let clock = Clock::default();
    let running = server::start_at(&told.config, clock.clone()).await.unwrap();
    told.route("hook", "hook", ",\"events\":[\"escalated\"]").await;
    told.send(running.address(), &[of_rule(1)]).await;
    // More than a weekend, and less than the National Day.
    clock.set_ahead(11 * 24 * 3_600_000);
    until("it is told", || !hook.got().is_empty()).await;
    let alert = hook.got()[0].json()["alerts"][0].clone();
    assert_eq!((&alert["alert"], &alert["event"]), (&id_of(1).into(), &"escalated".into()));
    tokio::time::sleep(3 * told.config.notify.limits.look).await;
    assert_eq!(hook.got().len(), 1, "and only once");
    running.stop().await;
}

/// `serve` as a process, with targets in its configuration.
struct Serving {
    child: Child,
    address: SocketAddr,
}

impl Serving {
    fn start(toml: &str) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_watchpost-collector"))
            .args(["serve", "--config", toml])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on ").expect("it listens").parse().unwrap();
        Self { child, address }
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Writes `[notify]` with a robot and a webhook.
fn write_targets(told: &Told, robot: &Place, hook: &Place) -> PathBuf {
    let folder = told.lab.dir().join("collector");
    for (name, text) in
        [("robot.url", format!("http://{}/send?key=k1\n", robot.address)), ("hook.secret", SECRET.into())]
    {
        std::fs::write(folder.join(name), text).unwrap();
        private(&folder.join(name));
    }
    let path = folder.join("collector.toml");
    let table = format!(
        "[[notify.target]]\nname = \"duty\"\nkind = \"wecom-robot\"\nurl_file = \"robot.url\"\ninsecure_loopback = true\n\
         [[notify.target]]\nname = \"hook\"\nkind = \"webhook\"\nurl = \"http://{}/\"\nsecret_file = \"hook.secret\"\n\
         insecure_loopback = true\n",
        hook.address
    );
    std::fs::write(&path, std::fs::read_to_string(&path).unwrap() + &table).unwrap();
    folder
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_being_sent_when_the_collector_was_killed_is_not_sent_blindly() {
    let robot = Place::new([Act::Hang, Act::errcode(0)]).await;
    let hook = Place::new([Act::Hang, Act::status(200)]).await;
    let told = Told::new(Vec::new());
    write_targets(&told, &robot, &hook);
    let toml = told.toml();
    let serving = Serving::start(&toml);
    for (route, target) in [("duty", "duty"), ("hook", "hook")] {
        let (made, said) = cli(&["route", "set", route, "--target", target, "--group-wait", "0s", "--config", &toml]);
        assert!(made, "{said}");
    }
    told.send(serving.address, &[of_rule(1)]).await;
    until("both have it and have not answered", || robot.got().len() == 1 && hook.got().len() == 1).await;
    serving.kill();

    let serving = Serving::start(&toml);
    assert_eq!(told.until_listed("duty", "uncertain").await["reason"], "stopped");
    told.until_listed("hook", "sent").await;
    let got = hook.got();
    assert!(got.len() == 2 && got[0].id() == got[1].id(), "sent again, and the id says so");
    let (sent, said) = cli(&["notify", "test", "duty", "--json", "--config", &toml]);
    assert!(sent && said.contains("\"state\":\"sent\""), "{said}");
    assert_eq!(robot.got().len(), 2, "the test, and not what may have arrived");
    assert!(robot.got()[1].markdown().contains("测试"));
    serving.kill();
}

#[tokio::test(flavor = "multi_thread")]
async fn routes_and_tests_are_set_and_said_by_commands() {
    let (robot, hook) = (Place::new([Act::errcode(93000)]).await, Place::new([Act::status(200)]).await);
    let told = Told::new(Vec::new());
    let folder = write_targets(&told, &robot, &hook);
    let toml = told.toml();
    let serving = Serving::start(&toml);
    let run = |args: &[&str]| cli(&[args, &["--config", &toml]].concat());
    let (sent, said) = run(&["notify", "test", "duty"]);
    assert!(!sent && said.contains("93000") && said.contains("refused"), "{said}");
    assert!(run(&["notify", "test", "hook"]).0);
    assert_eq!(hook.got()[0].json()["kind"], "test");
    assert!(run(&["notify", "test", "nobody"]).1.contains("duty, hook"));
    assert!(run(&["route", "set", "a", "--target", "nobody"]).1.contains("no target"));
    assert!(run(&["route", "set", "A", "--target", "hook"]).1.contains("name of a route"));
    assert!(run(&["route", "set", "a", "--target", "hook", "--level", "severe"]).1.contains("severe"));
    assert!(
        run(&["route", "set", "a", "--target", "hook", "--repeat", "4h", "--when", "off", "--event", "assigned"]).0
    );
    let mut listed = String::new();
    until("it is listed", || {
        listed = run(&["route", "list", "--json"]).1;
        !listed.is_empty()
    })
    .await;
    let route: Value = serde_json::from_str(&listed).unwrap();
    assert_eq!((&route["name"], &route["repeat_s"], &route["when"]), (&"a".into(), &14_400.into(), &"off".into()));
    assert_eq!(route["events"], serde_json::json!(["assigned"]));
    assert!(run(&["route", "remove", "b"]).1.contains("no route"));
    assert!(run(&["route", "remove", "a"]).0);
    until("it is gone", || run(&["route", "list", "--json"]).1.is_empty()).await;
    serving.kill();

    // A secret that others can read is none.
    #[cfg(unix)]
    {
        std::fs::set_permissions(folder.join("robot.url"), std::os::unix::fs::PermissionsExt::from_mode(0o644))
            .unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_watchpost-collector"))
            .args(["serve", "--config", &toml])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = String::new();
        BufReader::new(child.stderr.take().unwrap()).read_line(&mut said).unwrap();
        let _ = child.kill();
        assert!(said.contains("chmod 600") && !child.wait().unwrap().success(), "{said}");
    }
    let _ = folder;
}

#[tokio::test(flavor = "multi_thread")]
async fn neither_log_nor_list_tells_where_a_target_is() {
    let robot = Place::new([Act::errcode(0)]).await;
    let told = Told::new(vec![robot.robot("duty")]);
    assert!(!format!("{:?}", told.config).contains("key=k1"));
    let running = told.start().await;
    told.route("duty", "duty", "").await;
    told.send(running.address(), &[of_rule(1)]).await;
    told.until_listed("duty", "sent").await;
    running.stop().await;
    let log = std::fs::read(told.config.log_db()).unwrap();
    assert!(!log.windows(6).any(|bytes| bytes == b"key=k1"));
    assert_eq!(told.config.notify.targets[0].kind, Kind::WecomRobot);
}
