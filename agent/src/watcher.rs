//! Notifications about the watched folders, as hints to look.

use std::path::Path;
use std::sync::Arc;

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};

use crate::config::Folder;
use crate::source::is_network_folder;
use crate::wake::Wake;

/// Watches folders as long as it lives.
pub struct Hints {
    _watcher: Option<RecommendedWatcher>,
    /// At least one folder tells nothing and has to be polled.
    pub polled: bool,
}

/// Begins to watch. A folder that cannot be watched, or lies on a network, is polled instead; what is left in the agent's `own` is then
/// taken with the next round.
pub fn watch(folders: &[Folder], own: &Path, wake: &Arc<Wake>) -> Hints {
    let waker = Arc::clone(wake);
    let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // An error may mean that events were dropped. Our own reading makes access events.
        if event.is_err() || event.is_ok_and(|event| !matches!(event.kind, EventKind::Access(_))) {
            waker.wake();
        }
    });
    let Ok(mut watcher) = watcher else { return Hints { _watcher: None, polled: true } };
    if let Err(error) = watcher.watch(own, RecursiveMode::NonRecursive) {
        tracing::info!(%error, "what commands leave is taken when the folders are listed");
    }
    let mut polled = false;
    for folder in folders {
        let network = is_network_folder(&folder.path);
        let watched = watcher.watch(&folder.path, RecursiveMode::Recursive);
        if network || watched.is_err() {
            tracing::info!(path = %folder.path.display(), network, "this folder is polled");
            polled = true;
        }
    }
    Hints { _watcher: Some(watcher), polled }
}
