//! Commands and events as JSON, each with a NUL behind it.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

/// Longer than any page of ours takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a session is told of without having asked.
type Heard = Box<dyn FnMut(&str, &Value) + Send>;

pub(super) struct Wire {
    to: Mutex<Box<dyn Write + Send>>,
    next: AtomicU64,
    answers: Mutex<HashMap<u64, Sender<Value>>>,
    sessions: Mutex<HashMap<String, Heard>>,
}

impl std::fmt::Debug for Wire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Wire")
    }
}

fn held<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Wire {
    pub(super) fn new(to: impl Write + Send + 'static, from: impl Read + Send + 'static) -> Arc<Self> {
        let wire = Arc::new(Self {
            to: Mutex::new(Box::new(to)),
            next: AtomicU64::new(1),
            answers: Mutex::default(),
            sessions: Mutex::default(),
        });
        let listening = Arc::downgrade(&wire);
        std::thread::spawn(move || {
            for message in BufReader::new(from).split(0).map_while(Result::ok) {
                let (Some(wire), Ok(message)) = (listening.upgrade(), serde_json::from_slice(&message)) else { break };
                wire.hear(message);
            }
            // Whoever waits for an answer learns that none comes.
            if let Some(wire) = listening.upgrade() {
                held(&wire.answers).clear();
            }
        });
        wire
    }

    fn hear(&self, message: Value) {
        if let Some(id) = message["id"].as_u64() {
            if let Some(answer) = held(&self.answers).remove(&id) {
                let _ = answer.send(message);
            }
            return;
        }
        let (session, method) = (message["sessionId"].as_str(), message["method"].as_str());
        if let (Some(session), Some(method)) = (session, method)
            && let Some(heard) = held(&self.sessions).get_mut(session)
        {
            heard(method, &message["params"]);
        }
    }

    /// Has events of a session told.
    pub(super) fn listen(&self, session: &str, heard: Heard) {
        held(&self.sessions).insert(session.to_owned(), heard);
    }

    /// Asks, and waits for the answer.
    pub(super) fn call(&self, session: Option<&str>, method: &str, params: &Value) -> anyhow::Result<Value> {
        let (tell, answer) = channel();
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        held(&self.answers).insert(id, tell);
        self.send(id, session, method, params)?;
        let mut answer = answer.recv_timeout(PATIENCE).with_context(|| format!("no answer to {method}"))?;
        if let Some(error) = answer.get("error") {
            bail!("{method}: {error}");
        }
        Ok(answer["result"].take())
    }

    /// Asks without waiting: from where answers are heard.
    pub(super) fn ask(&self, session: &str, method: &str, params: &Value) {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let _ = self.send(id, Some(session), method, params);
    }

    fn send(&self, id: u64, session: Option<&str>, method: &str, params: &Value) -> anyhow::Result<()> {
        let mut message = json!({ "id": id, "method": method, "params": params });
        if let Some(session) = session {
            message["sessionId"] = session.into();
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        let mut to = held(&self.to);
        to.write_all(&bytes)?;
        Ok(to.flush()?)
    }
}
