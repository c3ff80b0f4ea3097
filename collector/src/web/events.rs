//! What happens, as it happens: server-sent events without content. Whoever is told looks again, within what they may see.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, header};
use axum::response::Response;
use futures_util::stream;
use tokio::sync::watch;

use super::Site;
use super::ask::Heard;
use super::auth;
use super::problem::{Kind, Problem};
use super::route::Route;
use crate::log_store::LogReader;
use crate::operators::Act;

/// Who listens at the same time.
const LISTENERS_MAX: usize = 2000;
/// Nobody is told more often than this.
const EVERY: Duration = Duration::from_millis(500);
/// So often a listener hears something, whether anything happened or not, and is looked at anew.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// One who listens.
struct Listener {
    site: Arc<Site>,
    heard: Heard,
    act: Act,
    derived: watch::Receiver<u64>,
    stopping: watch::Receiver<bool>,
    is_new: bool,
    /// When it was last looked whether they are still signed in.
    looked: Instant,
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.site.listeners.fetch_sub(1, Ordering::AcqRel);
    }
}

pub(in crate::web) async fn listen(site: &Arc<Site>, route: &Arc<Route>, heard: Heard) -> Result<Response, Problem> {
    let act = route.act.ok_or(Problem::new(Kind::Broken))?;
    let (of_site, of_route) = (Arc::clone(site), Arc::clone(route));
    let turn = site.turns.take(auth::says(site, &heard).as_deref(), false).await?;
    let admitted = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        let log = LogReader::open(&of_site.desk.config.log_db())?;
        auth::admit(&of_site, &of_route, &heard, log.connection(), of_site.now_ms()).map(|_| heard)
    });
    let heard = admitted.await.map_err(|_| Problem::new(Kind::Broken))??;
    if !take_place(&site.listeners) {
        return Err(Problem::new(Kind::Busy).because("too many pages listen already"));
    }
    let mut derived = site.desk.derived.clone();
    derived.mark_changed();
    let listener = Listener {
        site: Arc::clone(site),
        heard,
        act,
        derived,
        stopping: site.stopping.clone(),
        is_new: true,
        looked: Instant::now(),
    };
    let events = stream::unfold(listener, |mut listener| async move {
        let event = listener.next().await?;
        Some((Ok::<_, std::convert::Infallible>(Bytes::from(event)), listener))
    });
    let mut response = Response::new(Body::from_stream(events));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    Ok(response)
}

fn take_place(listeners: &AtomicUsize) -> bool {
    let taken = listeners.fetch_add(1, Ordering::AcqRel) < LISTENERS_MAX;
    if !taken {
        listeners.fetch_sub(1, Ordering::AcqRel);
    }
    taken
}

impl Listener {
    /// What is said next; nothing when it is over.
    async fn next(&mut self) -> Option<String> {
        if !std::mem::take(&mut self.is_new) {
            tokio::select! {
                () = tokio::time::sleep(EVERY) => {}
                _ = self.stopping.wait_for(|stop| *stop) => return None,
            }
        }
        if self.looked.elapsed() >= HEARTBEAT && !self.is_still_in().await {
            return None;
        }
        let changed = tokio::select! {
            changed = tokio::time::timeout(HEARTBEAT, self.derived.changed()) => changed,
            _ = self.stopping.wait_for(|stop| *stop) => return None,
        };
        match changed {
            Ok(changed) => {
                changed.ok()?;
                let position = *self.derived.borrow_and_update();
                Some(format!("id: {position}\nevent: derived\ndata: {{\"position\":{position}}}\n\n"))
            }
            Err(_) => self.is_still_in().await.then(|| ": \n\n".to_owned()),
        }
    }

    async fn is_still_in(&mut self) -> bool {
        self.looked = Instant::now();
        let site = Arc::clone(&self.site);
        let (act, parts) = (self.act, self.heard.parts.clone());
        let heard = Heard {
            parts,
            body: Bytes::new(),
            files: Default::default(),
            params: Default::default(),
            address: self.heard.address,
        };
        // Where all are busy it is looked the next time.
        let Ok(turn) = self.site.turns.take(None, false).await else { return true };
        let looked = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            let log = LogReader::open(&site.desk.config.log_db())?;
            auth::still(&site, act, &heard, log.connection(), site.now_ms())
        });
        matches!(looked.await, Ok(Ok(true)))
    }
}
