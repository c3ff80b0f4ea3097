//! What others are shown of a running collector's log: over HTTP, as files, and to witnesses that check for themselves.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test helpers")]

mod support;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use signed_note::{Note, StandardVerifier, VerifierList};
use support::{Lab, PATIENCE, finding};
use tlog_tiles::tlog::{Hash, check_tree};
use tokio::net::TcpListener;
use watchpost_collector::config::{Config, Witness};
use watchpost_collector::log_key::signed_head;
use watchpost_collector::log_store::LogReader;
use watchpost_collector::server::{self, Running};
use watchpost_proto::v1::Lane;
use watchpost_proto::witness::{WitnessKey, cosigned_text};
use watchpost_proto::{note, tiles};

/// A witness as the specification has it, checking with the code of others.
struct Honest {
    pair: Ed25519KeyPair,
    key: WitnessKey,
    /// The log's key; unknown until a test gives it.
    log: Mutex<Option<String>>,
    /// The head seen last.
    seen: Mutex<(u64, Option<Hash>)>,
    /// How often it has answered with each status.
    answers: Mutex<Vec<u16>>,
}

impl Honest {
    fn new(name: &str) -> Arc<Self> {
        let pair = Ed25519KeyPair::generate().unwrap();
        let key = WitnessKey::new(name, pair.public_key().as_ref().try_into().unwrap()).unwrap();
        Arc::new(Self { pair, key, log: Mutex::default(), seen: Mutex::default(), answers: Mutex::default() })
    }

    async fn listen(self: &Arc<Self>) -> Witness {
        let router = Router::new().route("/w/add-checkpoint", post(add_checkpoint)).with_state(Arc::clone(self));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/w/", listener.local_addr().unwrap()).parse().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Witness { key: self.key.clone(), url }
    }

    fn cosign(&self, body: &str) -> String {
        let at_s = 1_795_053_600_u64;
        let signature = self.pair.sign(cosigned_text(body, at_s).as_bytes());
        let hash =
            signed_note::key_id(self.key.name(), &[&[4], self.pair.public_key().as_ref()].concat()).to_be_bytes();
        let line = [&hash[..], &at_s.to_be_bytes(), signature.as_ref()].concat();
        format!("\u{2014} {} {}\n", self.key.name(), STANDARD.encode(line))
    }

    fn decide(&self, request: &str) -> Response {
        let (proof, note) = request.split_once("\n\n").unwrap();
        let (old, proof) = proof.split_once('\n').unwrap_or((proof, ""));
        let old: u64 = old.strip_prefix("old ").unwrap().parse().unwrap();
        let proof: Vec<Hash> = proof.lines().map(|line| Hash::parse_hash(line).unwrap()).collect();
        let Some(log) = self.log.lock().unwrap().clone() else { return StatusCode::NOT_FOUND.into_response() };
        let note = Note::from_bytes(note.as_bytes()).unwrap();
        let verifier = VerifierList::new(vec![Box::new(StandardVerifier::new(&log).unwrap())]);
        if note.verify(&verifier).is_err() {
            return StatusCode::FORBIDDEN.into_response();
        }
        let head = tlog_tiles::Checkpoint::from_bytes(note.text()).unwrap();
        let mut seen = self.seen.lock().unwrap();
        if old != seen.0 {
            return (StatusCode::CONFLICT, [("content-type", "text/x.tlog.size")], format!("{}\n", seen.0))
                .into_response();
        }
        if let Some(root) = seen.1
            && check_tree(&proof, head.size(), *head.hash(), old, root).is_err()
        {
            return StatusCode::UNPROCESSABLE_ENTITY.into_response();
        }
        *seen = (head.size(), Some(*head.hash()));
        self.cosign(std::str::from_utf8(note.text()).unwrap()).into_response()
    }
}

async fn add_checkpoint(State(witness): State<Arc<Honest>>, body: String) -> Response {
    let response = witness.decide(&body);
    witness.answers.lock().unwrap().push(response.status().as_u16());
    response
}

/// A lab whose collector shows its log in every way.
struct Shown {
    lab: Lab,
    config: Config,
    folder: PathBuf,
}

impl Shown {
    fn new() -> Self {
        let lab = Lab::new();
        let mut config = lab.config.clone();
        let folder = lab.dir().join("www");
        config.log.publish = Some(folder.clone());
        config.log.http = Some("127.0.0.1:0".parse().unwrap());
        Self { lab, config, folder }
    }

    async fn start(&self) -> (Running, SocketAddr) {
        let running = server::start(&self.config).await.unwrap();
        let address = running.http_address().unwrap();
        (running, address)
    }

    fn vkey(&self) -> String {
        signed_head(&self.config, &LogReader::open(&self.config.log_db()).unwrap()).unwrap().vkey
    }
}

/// Has a new device send one segment, and waits for its receipt.
async fn send(lab: &Lab, running: &Running) {
    let mut device = lab.device();
    let (mut client, _) = device.connect(running.address()).await;
    let segment = device.seal(Lane::Urgent, &[finding(1)]);
    client.segment(&segment).await;
    client.receipt_through(Lane::Urgent, 0).await;
}

/// Status, headers in small letters, body.
async fn request(address: SocketAddr, method: &'static str, path: &str) -> (u16, String, Vec<u8>) {
    let path = path.to_owned();
    let answer = tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        write!(stream, "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        answer
    });
    let answer = answer.await.unwrap();
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap();
    let headers = String::from_utf8_lossy(&answer[..end]).to_lowercase();
    let status = headers.split(' ').nth(1).unwrap().parse().unwrap();
    (status, headers, answer[end + 4..].to_vec())
}

async fn checkpoint(address: SocketAddr) -> String {
    String::from_utf8(request(address, "GET", "/checkpoint").await.2).unwrap()
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let give_up = Instant::now() + PATIENCE;
    while !holds().await {
        assert!(Instant::now() < give_up, "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tiles_and_checkpoint_are_served_and_written_while_the_log_grows() {
    let shown = Shown::new();
    let (running, address) = shown.start().await;
    for _ in 0..3 {
        send(&shown.lab, &running).await;
    }
    let size = running.sequencer().published().checkpoint.size;
    let (status, headers, body) = request(address, "GET", "/checkpoint").await;
    assert_eq!(status, 200);
    assert!(headers.contains("content-type: text/plain; charset=utf-8") && headers.contains("cache-control: no-cache"));
    let text = String::from_utf8(body).unwrap();
    assert_eq!(note::read_unverified(&text).unwrap().size, size);
    let verifier = VerifierList::new(vec![Box::new(StandardVerifier::new(&shown.vkey()).unwrap())]);
    Note::from_bytes(text.as_bytes()).unwrap().verify(&verifier).unwrap();

    until("the folder is published", async || {
        fs::read_to_string(shown.folder.join("checkpoint")).is_ok_and(|there| there == text)
    })
    .await;
    for tile in tiles::grown(0, size) {
        let (status, headers, body) = request(address, "GET", &format!("/{}", tile.path())).await;
        assert_eq!(status, 200, "{}", tile.path());
        assert!(
            headers.contains("content-type: application/octet-stream") && headers.contains("immutable"),
            "{headers}"
        );
        assert_eq!(body, fs::read(shown.folder.join(tile.path())).unwrap(), "{}", tile.path());
    }
    let beyond = format!("/tile/0/000.p/{}", size + 1);
    for (method, path, expected) in [
        ("GET", beyond.as_str(), 404),
        ("GET", "/tile/0/000", 404),
        ("GET", "/tile/9/000", 404),
        ("GET", "/tile/0/../../log.key", 404),
        ("GET", "/tile/entries/%2e%2e", 404),
        ("GET", "/", 404),
        ("GET", "/log.db", 404),
        ("POST", "/checkpoint", 405),
        ("HEAD", "/checkpoint", 200),
    ] {
        assert_eq!(request(address, method, path).await.0, expected, "{method} {path}");
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_witness_checks_and_cosigns_and_everything_shows_it() {
    let mut shown = Shown::new();
    let witness = Honest::new("witness.example/w1");
    shown.config.log.witnesses.push(witness.listen().await);
    let (running, address) = shown.start().await;
    *witness.log.lock().unwrap() = Some(shown.vkey());
    let cosigned = async |address| witness.key.cosigned(&checkpoint(address).await).is_some();
    let mut size = 0;
    for _ in 0..2 {
        send(&shown.lab, &running).await;
        let now = running.sequencer().published().checkpoint.size;
        assert!(now > size);
        size = now;
        until("the head is cosigned", async || {
            cosigned(address).await && note::read_unverified(&checkpoint(address).await).unwrap().size == size
        })
        .await;
    }
    until("the folder shows it", async || {
        let text = fs::read_to_string(shown.folder.join("checkpoint")).unwrap_or_default();
        witness.key.cosigned(&text).is_some()
    })
    .await;
    running.stop().await;

    // A collector that starts anew does not know what the witness has seen: it is told, and asks again.
    witness.answers.lock().unwrap().clear();
    let (running, address) = shown.start().await;
    send(&shown.lab, &running).await;
    let size = running.sequencer().published().checkpoint.size;
    until("the new head is cosigned", async || {
        cosigned(address).await && note::read_unverified(&checkpoint(address).await).unwrap().size == size
    })
    .await;
    assert!(witness.answers.lock().unwrap().contains(&409), "{:?}", witness.answers.lock().unwrap());
    running.stop().await;
    let vkey = witness.key.to_string();
    tokio::task::spawn_blocking(move || evidence_names_the_witness(&shown, &vkey)).await.unwrap();
}

fn evidence_names_the_witness(shown: &Shown, vkey: &str) {
    let path = shown.lab.dir().join("collector/collector.toml");
    let table = format!("[[log.witness]]\nkey = \"{vkey}\"\nurl = \"https://witness.example/\"\n");
    fs::write(&path, fs::read_to_string(&path).unwrap() + &table).unwrap();
    let file = shown.lab.dir().join("case.json");
    let run = |args: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_watchpost-collector")).args(args).output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    };
    let (file, config) = (file.to_str().unwrap(), path.to_str().unwrap());
    let id = format!("{:0<64}", "0000000000000001");
    let (made, said) = run(&["evidence", "export", &id, "--out", file, "--config", config]);
    assert!(made && !said.contains("no witness"), "{said}");
    let root = shown.config.root.to_str().unwrap();
    let (holds, said) = run(&["verify", file, "--root", root, "--witness", vkey]);
    assert!(holds && said.contains(vkey) && !said.contains("named by the file alone"), "{said}");
    let (holds, said) = run(&["verify", file, "--root", root]);
    assert!(holds && said.contains("named by the file alone"), "{said}");
    let other = WitnessKey::new("witness.example/w2", [7; 32]).unwrap().to_string();
    let (holds, said) = run(&["verify", file, "--root", root, "--witness", &other]);
    assert!(!holds && said.contains("witness.example/w2 has not cosigned"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_witness_that_is_away_or_does_not_agree_delays_nothing() {
    let mut shown = Shown::new();
    // One takes the connection and never says a word, one is not there, one does not know the log, one has seen more.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = |address: SocketAddr| format!("http://{address}").parse().unwrap();
    let key = |name: &str| Honest::new(name).key.clone();
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gone_at = gone.local_addr().unwrap();
    drop(gone);
    shown.config.log.witnesses.push(Witness { key: key("silent"), url: url(silent.local_addr().unwrap()) });
    shown.config.log.witnesses.push(Witness { key: key("gone"), url: url(gone_at) });
    shown.config.log.witnesses.push(Honest::new("stranger").listen().await);
    let ahead = Honest::new("ahead");
    *ahead.seen.lock().unwrap() = (1_000_000, None);
    shown.config.log.witnesses.push(ahead.listen().await);
    let (running, address) = shown.start().await;
    *ahead.log.lock().unwrap() = Some(shown.vkey());
    for _ in 0..3 {
        // Until its receipt is there, with all four in the middle of being asked.
        send(&shown.lab, &running).await;
        let head = running.sequencer().published();
        assert_eq!(checkpoint(address).await, head.note, "the newest head is shown without them");
    }
    // Before it was told the log's key it may have been asked in vain.
    until("the one ahead has refused", async || ahead.answers.lock().unwrap().contains(&409)).await;
    assert!(!ahead.answers.lock().unwrap().contains(&200));
    assert!(!shown.config.data_dir.join("cosigned.note").exists());
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_witness_that_has_seen_another_tree_cosigns_no_rewritten_log() {
    let mut shown = Shown::new();
    let witness = Honest::new("witness.example/w1");
    shown.config.log.witnesses.push(witness.listen().await);
    let (running, _) = shown.start().await;
    *witness.seen.lock().unwrap() = (2, Some(Hash([7; 32])));
    *witness.log.lock().unwrap() = Some(shown.vkey());
    send(&shown.lab, &running).await;
    until("it has refused the proof", async || witness.answers.lock().unwrap().contains(&422)).await;
    assert!(!shown.config.data_dir.join("cosigned.note").exists());
    assert_eq!(witness.seen.lock().unwrap().0, 2);
    running.stop().await;
}
