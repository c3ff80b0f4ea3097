//! A real Chromium, without a window, driven over the DevTools protocol on a pipe.
//!
//! Each [`Tab`] has cookies of its own, and notes whatever a page must never do: break its content security policy, throw, ask
//! another host, open a dialog.

mod tab;
mod wire;

use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use serde_json::json;
use tempfile::TempDir;

pub use tab::{Key, Tab};
use wire::Wire;

/// Names it goes by, where `WATCHPOST_CHROMIUM` names none.
const PROGRAMS: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];
const ARGUMENTS: [&str; 14] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--disable-default-apps",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
    "--font-render-hinting=none",
    "--remote-debugging-pipe",
];

/// A browser; it ends when this is dropped.
#[derive(Debug)]
pub struct Browser {
    wire: Arc<Wire>,
    child: Child,
    _profile: TempDir,
}

impl Browser {
    /// Starts one.
    ///
    /// # Errors
    /// There is none on this machine; `.ci/browser` installs it.
    pub fn start() -> anyhow::Result<Self> {
        let program = program()?;
        let profile = TempDir::with_prefix("watchpost-browser-")?;
        // It talks over descriptors 3 and 4, which only a shell can give it.
        let mut child = Command::new("sh")
            .args(["-c", "exec \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>&1", "sh"])
            .arg(program)
            .args(ARGUMENTS)
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start a browser")?;
        let (to, from) = (child.stdin.take().context("no pipe")?, child.stdout.take().context("no pipe")?);
        Ok(Self { wire: Wire::new(to, from), child, _profile: profile })
    }

    /// A new tab with nothing in it, as wide and high as this; narrow ones are phones.
    ///
    /// # Errors
    /// The browser does not answer.
    pub fn tab(&self, width: u32, height: u32) -> anyhow::Result<Tab> {
        let context = self.wire.call(None, "Target.createBrowserContext", &json!({}))?;
        let target = json!({ "url": "about:blank", "browserContextId": context["browserContextId"] });
        let target = self.wire.call(None, "Target.createTarget", &target)?;
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let session = self.wire.call(None, "Target.attachToTarget", &attach)?;
        let session = session["sessionId"].as_str().context("no session")?.to_owned();
        let tab = Tab::new(Arc::clone(&self.wire), session)?;
        tab.resize(width, height)?;
        Ok(tab)
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.wire.call(None, "Browser.close", &json!({}));
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn program() -> anyhow::Result<String> {
    let named = std::env::var("WATCHPOST_CHROMIUM").ok();
    let candidates = named.into_iter().chain(PROGRAMS.map(str::to_owned));
    let runs = |program: &String| {
        let version = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        version.is_ok_and(|status| status.success())
    };
    let found = candidates.into_iter().find(runs);
    ensure!(found.is_some(), "no Chromium on this machine: run .ci/browser, or name one in WATCHPOST_CHROMIUM");
    found.context("no Chromium")
}
