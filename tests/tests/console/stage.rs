//! A collector with a console, a browser, and somebody in front of it.

use std::net::SocketAddr;

use watchpost_collector::clock::now_ms;
use watchpost_tests::browser::{Browser, Tab};
use watchpost_tests::furnish::{Connected, Furnished, Size, furnish};
use watchpost_tests::lab::{Lab, workspace};
use watchpost_tests::offline::Login;

/// A desk, and a phone.
pub(super) const WIDE: (u32, u32) = (1440, 1000);
pub(super) const NARROW: (u32, u32) = (390, 844);

pub(super) struct Stage {
    pub(super) lab: Lab,
    pub(super) browser: Browser,
    pub(super) console: SocketAddr,
    pub(super) logins: Vec<Login>,
    _connected: Option<Connected>,
}

impl Stage {
    /// With nothing in it, and agents that have certificates and do not run.
    pub(super) fn empty(agents: usize) -> anyhow::Result<Self> {
        let mut lab = Lab::new(agents)?;
        let console = lab.collector.open_console()?;
        lab.collector.start()?;
        Ok(Self { lab, browser: Browser::start()?, console, logins: Vec::new(), _connected: None })
    }

    /// With a month of work behind it.
    pub(super) fn furnished(agents: usize, size: Size) -> anyhow::Result<Self> {
        let mut lab = Lab::new(agents)?;
        let console = lab.collector.open_console()?;
        let furnished: Furnished = furnish(&lab.collector, size)?;
        let logins = furnished.logins.clone();
        let address = lab.collector.start()?;
        let connected = Some(furnished.connect(address)?);
        Ok(Self { lab, browser: Browser::start()?, console, logins, _connected: connected })
    }

    pub(super) fn origin(&self) -> String {
        format!("http://{}/", self.console)
    }

    pub(super) fn at(&self, path: &str) -> String {
        format!("http://{}{path}", self.console)
    }

    pub(super) fn login(&self, name: &str) -> &Login {
        self.logins.iter().find(|login| login.name == name).expect("a login of this name")
    }

    /// A tab of somebody who reads this language in this theme.
    pub(super) fn tab(&self, (width, height): (u32, u32), tongue: &str, theme: &str) -> anyhow::Result<Tab> {
        let tab = self.browser.tab(width, height)?;
        tab.set_cookie(&self.origin(), "watchpost-tongue", tongue)?;
        tab.set_cookie(&self.origin(), "watchpost-theme", theme)?;
        Ok(tab)
    }

    /// The same, signed in through the page. A one-time code counts once, so administrators wait for the next.
    pub(super) fn signed_in(&self, name: &str, size: (u32, u32), tongue: &str, theme: &str) -> anyhow::Result<Tab> {
        let tab = self.tab(size, tongue, theme)?;
        let login = self.login(name);
        tab.open(&self.at("/login"))?;
        tab.fill("#name", &login.name)?;
        tab.fill("#password", &login.password)?;
        tab.fill("#code", &login.code(now_ms()))?;
        tab.click("main form button.first")?;
        tab.until_at("/")?;
        Ok(tab)
    }
}

/// A folder for what is looked at afterwards.
pub(super) fn folder(name: &str) -> anyhow::Result<std::path::PathBuf> {
    let folder = workspace().join("tests").join(name);
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}
