//! The log's tiles and checkpoint over plain HTTP, read-only, on loopback alone: whoever shows them to the world puts a
//! web server of their own before it.

use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tracing::warn;
use watchpost_proto::tiles::Tile;

use super::Board;
use crate::log_store::{LogReader, StoreError};

const BYTES: &str = "application/octet-stream";
const TEXT: &str = "text/plain; charset=utf-8";
/// A tile is the same for ever.
const FOR_EVER: &str = "public, max-age=31536000, immutable";

struct Site {
    board: Board,
    log: Mutex<LogReader>,
}

/// Answers requests until the collector stops.
///
/// # Errors
/// The listener.
pub async fn serve(
    listener: TcpListener,
    board: Board,
    log: LogReader,
    mut stopping: watch::Receiver<bool>,
) -> std::io::Result<()> {
    let site = Arc::new(Site { board, log: Mutex::new(log) });
    let router = Router::new().route("/checkpoint", get(checkpoint)).route("/tile/{*name}", get(tile)).with_state(site);
    axum::serve(listener, router)
        .with_graceful_shutdown(async move {
            let _ = stopping.wait_for(|stop| *stop).await;
        })
        .await
}

async fn checkpoint(State(site): State<Arc<Site>>) -> Response {
    answer(TEXT, "no-cache", site.board.note())
}

async fn tile(State(site): State<Arc<Site>>, Path(name): Path<String>) -> Response {
    let Some(tile) = Tile::parse(&format!("tile/{name}")) else {
        return (StatusCode::NOT_FOUND, "no such tile\n").into_response();
    };
    let read = tokio::task::spawn_blocking(move || {
        let log = site.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.tile(&tile)
    });
    match read.await.unwrap_or_else(|_| Err(StoreError::Unfit("the collector is stopping".into()))) {
        Ok(Some(contents)) => answer(BYTES, FOR_EVER, contents),
        Ok(None) => (StatusCode::NOT_FOUND, "the log does not reach so far\n").into_response(),
        Err(error) => {
            warn!(%error, tile = name, "tile not read");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

fn answer(kind: &'static str, cache: &'static str, body: impl IntoResponse) -> Response {
    let headers =
        [(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, cache), (header::X_CONTENT_TYPE_OPTIONS, "nosniff")];
    (headers, body).into_response()
}
