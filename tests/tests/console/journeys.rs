//! Ways through the console, from the first to the last click.

use serde_json::{Value, json};
use watchpost_collector::clock::now_ms;
use watchpost_collector::operators::totp;
use watchpost_tests::browser::{Key, Tab};
use watchpost_tests::furnish::Size;

use super::stage::{NARROW, Stage, WIDE};

const PASSWORD: &str = "nobody guesses this sentence";

/// The bytes of what an authenticator is told.
fn seed(text: &str) -> Vec<u8> {
    let (mut bytes, mut held, mut bits) = (Vec::new(), 0_u32, 0_u32);
    for letter in text.bytes() {
        let five = if letter.is_ascii_uppercase() { letter - b'A' } else { letter - b'2' + 26 };
        held = (held << 5) | u32::from(five);
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            bytes.push((held >> bits) as u8);
        }
    }
    bytes
}

fn invite(stage: &Stage, name: &str, more: &[&str]) -> anyhow::Result<String> {
    let invited = stage.lab.collector.json(&[&["operator", "invite", name], more].concat())?;
    Ok(invited[0]["secret"].as_str().expect("a secret").to_owned())
}

/// Follows the one-time link and sets a password; gives back the seed of one-time codes.
fn welcome(stage: &Stage, tab: &Tab, name: &str, secret: &str, codes: bool) -> anyhow::Result<Vec<u8>> {
    tab.open(&stage.at(&format!("/welcome#name={name}&secret={secret}")))?;
    assert_eq!(
        tab.eval("[document.querySelector('#name').value, document.querySelector('#secret').value, location.hash]")?,
        json!([name, secret, ""])
    );
    tab.fill("#password", PASSWORD)?;
    tab.fill("#again", PASSWORD)?;
    if codes {
        tab.click("input[name=totp]")?;
    }
    tab.click("main form button.first")?;
    tab.until("!document.querySelector('[data-fill-from-hash]')")?;
    let told = if codes { tab.text(".copied code")? } else { String::new() };
    Ok(seed(&told))
}

fn sign_in(stage: &Stage, tab: &Tab, name: &str, seed: &[u8]) -> anyhow::Result<()> {
    tab.open(&stage.at("/login"))?;
    tab.fill("#name", name)?;
    tab.fill("#password", PASSWORD)?;
    if !seed.is_empty() {
        tab.fill("#code", &totp::code(seed, totp::step_of(now_ms())))?;
    }
    tab.click("main form button.first")?;
    tab.until_at("/")
}

fn none(stage: &Stage, tab: &Tab) -> anyhow::Result<()> {
    assert_eq!(tab.troubles(&stage.origin())?, Vec::<String>::new());
    Ok(())
}

#[test]
#[ignore = "needs a browser: .ci/browser"]
fn the_first_administrator_comes_in_by_the_link_sets_up_codes_and_sees_the_console() -> anyhow::Result<()> {
    let stage = Stage::empty(0)?;
    let secret = invite(&stage, "boss", &["--role", "administrator"])?;
    let tab = stage.tab(WIDE, "en", "light")?;
    let seed = welcome(&stage, &tab, "boss", &secret, true)?;
    assert_eq!(seed.len(), totp::SEED_BYTES);

    // The link works once.
    tab.open(&stage.at(&format!("/welcome#name=boss&secret={secret}")))?;
    tab.fill("#password", PASSWORD)?;
    tab.fill("#again", PASSWORD)?;
    tab.click("main form button.first")?;
    tab.until("!!document.querySelector('.problem')")?;

    // Without a code nobody of this role comes in, and what was typed is still there.
    tab.open(&stage.at("/login?next=%2Faccount"))?;
    tab.fill("#name", "boss")?;
    tab.fill("#password", PASSWORD)?;
    tab.click("main form button.first")?;
    tab.until("!!document.querySelector('.problem')")?;
    assert_eq!(tab.eval("document.querySelector('#name').value")?, json!("boss"));
    tab.fill("#password", PASSWORD)?;
    tab.fill("#code", &totp::code(&seed, totp::step_of(now_ms())))?;
    tab.click("main form button.first")?;
    tab.until_at("/account")?;
    tab.until_says("Set up")?;
    none(&stage, &tab)?;

    // Signed out is signed out.
    tab.click(".side form[action='/logout'] button")?;
    tab.until_at("/login")?;
    tab.open(&stage.at("/account"))?;
    tab.until_at("/login")?;
    none(&stage, &tab)
}

#[test]
#[ignore = "needs a browser: .ci/browser"]
fn language_and_theme_stay_as_they_were_chosen_also_before_signing_in() -> anyhow::Result<()> {
    let stage = Stage::empty(0)?;
    let secret = invite(&stage, "li.na", &["--role", "reviewer"])?;
    let tab = stage.browser.tab(WIDE.0, WIDE.1)?;
    tab.open(&stage.at("/login"))?;
    let shown = |tab: &Tab| tab.eval("[document.documentElement.lang, document.documentElement.dataset.theme]");
    let chosen = |tab: &Tab, tongue: &str, theme: &str| {
        tab.until(&format!(
            "document.documentElement.lang === '{tongue}' && document.documentElement.dataset.theme === '{theme}'"
        ))
    };
    if shown(&tab)?[0] == json!("en") {
        tab.click(".look [name=tongue]")?;
    }
    chosen(&tab, "zh-CN", "auto")?;
    tab.until_says("登录")?;
    tab.click(".look [value=dark]")?;
    chosen(&tab, "zh-CN", "dark")?;
    let dark = tab.eval("getComputedStyle(document.body).backgroundColor")?;
    tab.click(".look [name=tongue]")?;
    chosen(&tab, "en", "dark")?;
    welcome(&stage, &tab, "li.na", &secret, false)?;
    sign_in(&stage, &tab, "li.na", &[])?;
    chosen(&tab, "en", "dark")?;
    tab.click(".side .look [value=light]")?;
    chosen(&tab, "en", "light")?;
    assert_ne!(tab.eval("getComputedStyle(document.body).backgroundColor")?, dark);
    none(&stage, &tab)
}

#[test]
#[ignore = "needs a browser: .ci/browser"]
fn a_password_is_changed_and_only_the_new_one_counts() -> anyhow::Result<()> {
    let stage = Stage::furnished(0, Size { findings: 20, is_hostile: false })?;
    let tab = stage.signed_in("auditor", NARROW, "zh", "light")?;
    tab.open(&stage.at("/account"))?;
    let old = &stage.login("auditor").password;
    let change = |present: &str, again: &str| -> anyhow::Result<()> {
        for (field, text) in [("#present", present), ("#new", PASSWORD), ("#again", again)] {
            tab.fill(field, text)?;
        }
        tab.click("form[action='/account/password'] button")
    };
    change(old, "something else entirely")?;
    tab.until("!!document.querySelector('form[action=\"/account/password\"] .problem')")?;
    assert_eq!(tab.eval("document.querySelector('#new').value")?, json!(PASSWORD), "nothing typed is lost");
    change(old, PASSWORD)?;
    tab.until("!document.querySelector('.problem') && document.querySelector('#new').value === ''")?;
    let other = stage.tab(NARROW, "zh", "light")?;
    sign_in(&stage, &other, "auditor", &[])?;
    none(&stage, &tab)
}

/// Presses Tab until the focus is on such an element.
fn tab_to(tab: &Tab, selector: &str) -> anyhow::Result<()> {
    for _ in 0..80 {
        tab.press(Key::Tab)?;
        if tab.eval(&format!("document.activeElement.matches({})", json!(selector)))? == Value::Bool(true) {
            return Ok(());
        }
    }
    anyhow::bail!("no way to {selector} by keys alone")
}

#[test]
#[ignore = "needs a browser: .ci/browser"]
fn signing_in_and_reaching_every_room_takes_no_pointer() -> anyhow::Result<()> {
    let stage = Stage::furnished(0, Size { findings: 60, is_hostile: false })?;
    let tab = stage.tab(WIDE, "en", "dark")?;
    tab.open(&stage.at("/login"))?;
    for (field, text) in [("#name", "reviewer"), ("#password", &stage.login("reviewer").password)] {
        tab_to(&tab, field)?;
        tab.type_text(text)?;
    }
    tab.press(Key::Enter)?;
    tab.until_at("/")?;
    // Past the way between rooms at once.
    tab.press(Key::Tab)?;
    assert_eq!(tab.eval("document.activeElement.matches('.skip')")?, json!(true));
    tab.press(Key::Enter)?;
    tab.until("document.activeElement.id === 'middle'")?;
    for (key, path) in [('c', "/cases"), ('a', "/alerts")] {
        if tab.eval(&format!("!document.querySelector('.side a[href=\"{path}\"]')"))? == json!(true) {
            continue;
        }
        tab.press_letter('g')?;
        tab.press_letter(key)?;
        tab.until_at(path)?;
    }
    none(&stage, &tab)
}
