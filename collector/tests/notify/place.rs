//! A server of somebody else's, which does exactly what a test tells it to.

#![allow(dead_code, reason = "every test binary uses its part")]
#![allow(unreachable_pub, reason = "as the other test helpers")]

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use watchpost_collector::notify::reach::Reach;
use watchpost_collector::notify::target::{Kind, Target, UrlFrom};

pub const SECRET: &str = "0123456789abcdef-secret";

/// What it does with a request.
#[derive(Clone, Debug)]
pub enum Act {
    /// Answers with a status, further header lines and a body.
    Answer(u16, String, String),
    /// Reads it and says nothing.
    Hang,
    /// Reads it and ends the connection.
    Close,
    /// As the robot of WeCom: at most so many messages in such a time, at most 4096 bytes.
    Robot(usize, Duration),
}

impl Act {
    pub fn status(status: u16) -> Self {
        Self::Answer(status, String::new(), String::new())
    }

    pub fn errcode(errcode: i64) -> Self {
        Self::Answer(200, String::new(), format!("{{\"errcode\":{errcode},\"errmsg\":\"said\"}}"))
    }
}

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Got {
    pub at: Instant,
    pub path: String,
    pub headers: HashMap<String, String>,
    pub body: String,
}

impl Got {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// The markdown a robot got.
    pub fn markdown(&self) -> String {
        let json = self.json();
        assert_eq!(json["msgtype"], "markdown");
        json["markdown"]["content"].as_str().unwrap().to_owned()
    }

    pub fn id(&self) -> String {
        self.headers["watchpost-id"].clone()
    }
}

#[derive(Debug, Default)]
struct State {
    /// What it does next; the last is done for ever.
    acts: VecDeque<Option<Act>>,
    got: Vec<Got>,
    taken: Vec<Instant>,
    too_often: usize,
    connections: usize,
}

#[derive(Clone, Debug)]
pub struct Place {
    pub address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl Place {
    /// Listens, and does these one after the other; the last for ever.
    pub async fn new(acts: impl IntoIterator<Item = Act>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let state = Arc::new(Mutex::new(State { acts: acts.into_iter().map(Some).collect(), ..State::default() }));
        let place = Self { address: listener.local_addr().unwrap(), state };
        let own = place.clone();
        tokio::spawn(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else { return };
                own.state.lock().unwrap().connections += 1;
                let own = own.clone();
                tokio::spawn(async move { own.serve(stream).await });
            }
        });
        place
    }

    pub fn got(&self) -> Vec<Got> {
        self.state.lock().unwrap().got.clone()
    }

    pub fn too_often(&self) -> usize {
        self.state.lock().unwrap().too_often
    }

    pub fn connections(&self) -> usize {
        self.state.lock().unwrap().connections
    }

    pub fn robot(&self, name: &str) -> Target {
        Target { kind: Kind::WecomRobot, secret_file: None, ..self.target(name, Path::new("")) }
    }

    /// A webhook; its secret is written into `folder`.
    pub fn webhook(&self, name: &str, folder: &Path) -> Target {
        let target = self.target(name, folder);
        std::fs::write(target.secret_file.as_ref().unwrap(), SECRET).unwrap();
        private(target.secret_file.as_ref().unwrap());
        target
    }

    fn target(&self, name: &str, folder: &Path) -> Target {
        Target {
            name: name.to_owned(),
            kind: Kind::Webhook,
            url: UrlFrom::Here(format!("http://{}/hook?key=k1", self.address).parse().unwrap()),
            secret_file: Some(folder.join(format!("{name}.secret"))),
            reach: Reach { insecure_loopback: true, private: Vec::new() },
        }
    }

    async fn serve(&self, mut stream: TcpStream) {
        let Some(got) = read(&mut stream).await else { return };
        let act = {
            let mut state = self.state.lock().unwrap();
            state.got.push(got.clone());
            let act = if state.acts.len() > 1 { state.acts.pop_front() } else { state.acts.front().cloned() };
            act.flatten().unwrap()
        };
        let (status, headers, body) = match act {
            Act::Answer(status, headers, body) => (status, headers, body),
            Act::Close => return,
            Act::Hang => std::future::pending().await,
            Act::Robot(most, window) => (200, String::new(), self.as_robot(&got, most, window)),
        };
        let answer = format!("HTTP/1.1 {status} X\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len());
        let _ = stream.write_all(answer.as_bytes()).await;
    }

    fn as_robot(&self, got: &Got, most: usize, window: Duration) -> String {
        let mut state = self.state.lock().unwrap();
        state.taken.retain(|at| at.elapsed() < window);
        if state.taken.len() >= most {
            state.too_often += 1;
            return "{\"errcode\":45009,\"errmsg\":\"api freq out of limit\"}".into();
        }
        state.taken.push(Instant::now());
        match got.markdown().len() {
            0..=4096 => "{\"errcode\":0,\"errmsg\":\"ok\"}".into(),
            _ => "{\"errcode\":40058,\"errmsg\":\"markdown.content exceed max length 4096\"}".into(),
        }
    }
}

async fn read(stream: &mut TcpStream) -> Option<Got> {
    let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
            let mut lines = head.lines();
            let path = lines.next().unwrap().split(' ').nth(1).unwrap().to_owned();
            let headers: HashMap<String, String> = lines
                .filter_map(|line| line.split_once(": "))
                .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
                .collect();
            let length: usize = headers["content-length"].parse().unwrap();
            if bytes.len() >= end + 4 + length {
                let body = String::from_utf8(bytes[end + 4..].to_vec()).unwrap();
                return Some(Got { at: Instant::now(), path, headers, body });
            }
        }
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return None,
            Ok(count) => bytes.extend_from_slice(&buffer[..count]),
        }
    }
}

/// Leaves a file to its owner alone.
pub fn private(path: &Path) {
    #[cfg(unix)]
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    #[cfg(not(unix))]
    let _ = path;
}
