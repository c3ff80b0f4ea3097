//! One page in the browser, used as a person does: with a pointer and keys.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use super::wire::Wire;

/// Until something shows that is waited for.
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(25);
/// Narrower tabs are phones.
const PHONE_WIDTH: u32 = 600;
/// Violations are noted before anything of the page runs.
const BEFORE: &str = "window.__violations = []; document.addEventListener('securitypolicyviolation', (event) => \
    window.__violations.push(event.violatedDirective + ' ' + event.blockedURI + ' ' + (event.sample || '')));";

/// A key that is no character.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// To the next control.
    Tab,
    /// To the one before.
    BackTab,
    /// Presses what has the focus.
    Enter,
    /// Ticks a box.
    Space,
}

/// What a page must never do.
#[derive(Debug, Default)]
struct Noted {
    troubles: Vec<String>,
    /// Addresses that were asked.
    asked: Vec<String>,
    is_loaded: bool,
}

/// A page.
#[derive(Debug)]
pub struct Tab {
    wire: Arc<Wire>,
    session: String,
    noted: Arc<Mutex<Noted>>,
}

impl Tab {
    pub(super) fn new(wire: Arc<Wire>, session: String) -> anyhow::Result<Self> {
        let noted = Arc::new(Mutex::new(Noted::default()));
        let (hearing, answering, of) = (Arc::clone(&noted), Arc::downgrade(&wire), session.clone());
        wire.listen(
            &session,
            Box::new(move |method, params| {
                let mut noted = hearing.lock().unwrap_or_else(PoisonError::into_inner);
                note(&mut noted, method, params);
                if method == "Page.javascriptDialogOpening"
                    && let Some(wire) = answering.upgrade()
                {
                    wire.ask(&of, "Page.handleJavaScriptDialog", &json!({ "accept": true }));
                }
            }),
        );
        let tab = Self { wire, session, noted };
        for domain in ["Page", "Runtime", "Network", "Log"] {
            tab.call(&format!("{domain}.enable"), &json!({}))?;
        }
        tab.call("Page.addScriptToEvaluateOnNewDocument", &json!({ "source": BEFORE }))?;
        Ok(tab)
    }

    fn call(&self, method: &str, params: &Value) -> anyhow::Result<Value> {
        self.wire.call(Some(&self.session), method, params)
    }

    fn noted<T>(&self, with: impl FnOnce(&mut Noted) -> T) -> T {
        with(&mut self.noted.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Makes it as wide and high as this.
    ///
    /// # Errors
    /// The browser does not answer.
    pub fn resize(&self, width: u32, height: u32) -> anyhow::Result<()> {
        let is_phone = width < PHONE_WIDTH;
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": is_phone });
        self.call("Emulation.setDeviceMetricsOverride", &metrics).map(drop)
    }

    /// Goes to an address, and waits until everything is there.
    ///
    /// # Errors
    /// It does not load.
    pub fn open(&self, url: &str) -> anyhow::Result<()> {
        self.noted(|noted| noted.is_loaded = false);
        let went = self.call("Page.navigate", &json!({ "url": url }))?;
        if let Some(error) = went["errorText"].as_str() {
            bail!("{url}: {error}");
        }
        // Another place on the same page loads nothing.
        if went.get("loaderId").is_none() {
            return Ok(());
        }
        let start = Instant::now();
        while !self.noted(|noted| noted.is_loaded) {
            ensure!(start.elapsed() < PATIENCE, "{url} does not load");
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }

    /// The value of an expression; promises are waited for.
    ///
    /// # Errors
    /// It throws.
    pub fn eval(&self, script: &str) -> anyhow::Result<Value> {
        let asked = json!({ "expression": script, "returnByValue": true, "awaitPromise": true });
        let mut told = self.call("Runtime.evaluate", &asked)?;
        if let Some(thrown) = told.get("exceptionDetails") {
            bail!("{script}: {thrown}");
        }
        Ok(told["result"]["value"].take())
    }

    /// Waits until an expression is true. While a page goes and the next comes, nothing is.
    ///
    /// # Errors
    /// It is not in time; with what the page says.
    pub fn until(&self, script: &str) -> anyhow::Result<()> {
        let start = Instant::now();
        while self.eval(script).unwrap_or_default() != Value::Bool(true) {
            if start.elapsed() > PATIENCE {
                let shows = self.eval("location.href + '\\n' + document.body.innerText.slice(0, 1500)");
                bail!("waited in vain until {script}; the page is {}", shows.unwrap_or_default());
            }
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }

    /// Waits until the page at this path is there.
    ///
    /// # Errors
    /// As [`Tab::until`].
    pub fn until_at(&self, path: &str) -> anyhow::Result<()> {
        self.until(&format!("location.pathname === {} && document.readyState === 'complete'", json!(path)))
    }

    /// Waits until the page says this somewhere.
    ///
    /// # Errors
    /// As [`Tab::until`].
    pub fn until_says(&self, text: &str) -> anyhow::Result<()> {
        self.until(&format!("document.body.innerText.includes({})", json!(text)))
    }

    /// What the first of these elements says.
    ///
    /// # Errors
    /// There is none.
    pub fn text(&self, selector: &str) -> anyhow::Result<String> {
        let text = self.eval(&format!("document.querySelector({}).innerText", json!(selector)))?;
        text.as_str().map(str::to_owned).with_context(|| format!("{selector} says nothing"))
    }

    /// Clicks on the first of these elements, where it lies.
    ///
    /// # Errors
    /// There is none, or something lies over it.
    pub fn click(&self, selector: &str) -> anyhow::Result<()> {
        let found = format!(
            "(() => {{ const it = document.querySelector({}); if (!it) return null; it.scrollIntoView({{ block: 'center' }});
               const box = it.getClientRects()[0]; if (!box) return null;
               const x = box.left + box.width / 2, y = box.top + box.height / 2, top = document.elementFromPoint(x, y);
               return [x, y, it.contains(top) || !!(top && top.contains(it))]; }})()",
            json!(selector)
        );
        self.until(&format!("!!document.querySelector({})", json!(selector)))?;
        let at = self.eval(&found)?;
        ensure!(at[2] == Value::Bool(true), "{selector} cannot be clicked: {at}");
        for kind in ["mousePressed", "mouseReleased"] {
            let click = json!({ "type": kind, "x": at[0], "y": at[1], "button": "left", "clickCount": 1 });
            self.call("Input.dispatchMouseEvent", &click)?;
        }
        Ok(())
    }

    /// Types into the first of these fields instead of what is in it.
    ///
    /// # Errors
    /// There is none.
    pub fn fill(&self, selector: &str, text: &str) -> anyhow::Result<()> {
        let selector = json!(selector);
        self.until(&format!("!!document.querySelector({selector})"))?;
        self.eval(&format!(
            "document.querySelector({selector}).focus(), document.querySelector({selector}).select?.()"
        ))?;
        self.type_text(text)
    }

    /// Types where the focus is.
    ///
    /// # Errors
    /// The browser does not answer.
    pub fn type_text(&self, text: &str) -> anyhow::Result<()> {
        self.call("Input.insertText", &json!({ "text": text })).map(drop)
    }

    /// Presses and releases a key.
    ///
    /// # Errors
    /// The browser does not answer.
    pub fn press(&self, key: Key) -> anyhow::Result<()> {
        let (name, code, number, text, modifiers) = match key {
            Key::Tab => ("Tab", "Tab", 9, "", 0),
            Key::BackTab => ("Tab", "Tab", 9, "", 8),
            Key::Enter => ("Enter", "Enter", 13, "\r", 0),
            Key::Space => (" ", "Space", 32, " ", 0),
        };
        self.dispatch(name, code, number, text, modifiers)
    }

    /// Presses and releases the key of a small letter or a slash.
    ///
    /// # Errors
    /// The browser does not answer.
    pub fn press_letter(&self, letter: char) -> anyhow::Result<()> {
        let name = letter.to_string();
        let number = u32::from(letter.to_ascii_uppercase());
        self.dispatch(&name, &format!("Key{}", letter.to_ascii_uppercase()), number, &name, 0)
    }

    fn dispatch(&self, name: &str, code: &str, number: u32, text: &str, modifiers: u32) -> anyhow::Result<()> {
        for kind in ["keyDown", "keyUp"] {
            let mut event = json!({ "type": kind, "key": name, "code": code, "windowsVirtualKeyCode": number, "modifiers": modifiers });
            if kind == "keyDown" && !text.is_empty() {
                event["text"] = text.into();
            }
            self.call("Input.dispatchKeyEvent", &event)?;
        }
        Ok(())
    }

    /// Sets a cookie for the site of an address.
    ///
    /// # Errors
    /// The browser does not take it.
    pub fn set_cookie(&self, url: &str, name: &str, value: &str) -> anyhow::Result<()> {
        self.call("Network.setCookie", &json!({ "url": url, "name": name, "value": value })).map(drop)
    }

    /// Has files that a page gives put into this folder.
    ///
    /// # Errors
    /// The browser does not answer.
    pub fn keep_files_in(&self, folder: &Path) -> anyhow::Result<()> {
        let behaviour = json!({ "behavior": "allow", "downloadPath": folder });
        self.call("Page.setDownloadBehavior", &behaviour).map(drop)
    }

    /// Writes a picture of the whole page.
    ///
    /// # Errors
    /// The browser or the disk.
    pub fn picture(&self, path: &Path) -> anyhow::Result<()> {
        let asked = json!({ "format": "png", "captureBeyondViewport": true });
        let told = self.call("Page.captureScreenshot", &asked)?;
        let bytes = BASE64.decode(told["data"].as_str().context("no picture")?)?;
        Ok(std::fs::write(path, bytes)?)
    }

    /// What the page did that it must never do, since this was asked last. `origin` is the only place it may ask.
    ///
    /// # Errors
    /// The browser does not answer.
    pub fn troubles(&self, origin: &str) -> anyhow::Result<Vec<String>> {
        let violations = self.eval("window.__violations.splice(0)")?;
        let violations = violations.as_array().cloned().unwrap_or_default();
        let (mut troubles, asked) =
            self.noted(|noted| (std::mem::take(&mut noted.troubles), std::mem::take(&mut noted.asked)));
        troubles.extend(violations.iter().map(|violation| format!("content security policy: {violation}")));
        // What stands in an address itself asks nobody: the browser's own signs in fields come so.
        let is_own = |url: &String| ["about:blank", "data:", origin].iter().any(|own| url.starts_with(own));
        let foreign = asked.into_iter().filter(|url| !is_own(url));
        troubles.extend(foreign.map(|url| format!("asked {url}")));
        if self.eval("typeof window.__xss")? != json!("undefined") {
            troubles.push("text became a script".into());
        }
        Ok(troubles)
    }
}

fn note(noted: &mut Noted, method: &str, params: &Value) {
    match method {
        "Page.loadEventFired" => noted.is_loaded = true,
        "Runtime.exceptionThrown" => noted.troubles.push(format!("exception: {}", params["exceptionDetails"])),
        "Runtime.consoleAPICalled" if params["type"] == "error" => {
            noted.troubles.push(format!("console: {}", params["args"]));
        }
        "Log.entryAdded" if params["entry"]["source"] == "security" => {
            noted.troubles.push(format!("security: {}", params["entry"]["text"]));
        }
        "Page.javascriptDialogOpening" if params["type"] != "confirm" => {
            noted.troubles.push(format!("dialog: {}", params["message"]));
        }
        "Network.requestWillBeSent" => noted.asked.extend(params["request"]["url"].as_str().map(str::to_owned)),
        _ => {}
    }
}
