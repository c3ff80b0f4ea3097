//! Employees look at their own data while the agent runs.

use std::sync::Arc;

use super::Shared;
use crate::clock::Clock;
use crate::config::Config;
use crate::in_force::Switch;
#[cfg(unix)]
use crate::my_data::{
    Notice,
    socket::{self, Server},
};
use crate::store::Store;

/// Lets employees look at their own data, where the configuration says so. What fails here ends nothing else.
#[cfg(unix)]
pub(super) fn serve(
    config: &Config,
    switch: &Arc<Switch>,
    store: &Arc<Store>,
    clock: &Arc<dyn Clock>,
    shared: &Arc<Shared>,
) {
    let Some(path) = &config.my_data.socket else { return };
    let notice = Notice::load(&config.notice).unwrap_or_else(|error| {
        tracing::error!("{error}");
        None
    });
    let (appended, folders) = (shared.clone(), config.folders.clone());
    let server = Arc::new(Server {
        config: config.my_data.clone(),
        switch: switch.clone(),
        store: store.clone(),
        clock: clock.clone(),
        folders,
        who: config.notice.who.clone(),
        notice,
        appended: Box::new(move || appended.seal.wake()),
    });
    let listener = match socket::listen(path) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(path = %path.display(), %error, "nobody can look at their own data"),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let serving = move || match runtime.and_then(|runtime| runtime.block_on(socket::serve(server, listener))) {
        Ok(()) => {}
        Err(error) => tracing::error!(%error, "nobody can look at their own data any more"),
    };
    let started = std::thread::Builder::new().name("my-data".into()).spawn(serving);
    if let Err(error) = started {
        tracing::error!(%error, "nobody can look at their own data");
    }
}

#[cfg(not(unix))]
pub(super) fn serve(_: &Config, _: &Arc<Switch>, _: &Arc<Store>, _: &Arc<dyn Clock>, _: &Arc<Shared>) {}
