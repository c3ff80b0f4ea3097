//! Ways through the console, from the first to the last click.

use std::time::Duration;

use serde_json::{Value, json};
use watchpost_collector::clock::now_ms;
use watchpost_collector::operators::totp;
use watchpost_tests::browser::{Key, Tab};
use watchpost_tests::furnish::{DEPARTMENTS, SITES, Size};
use watchpost_tests::lab::wait_until;

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
fn the_first_administrator_comes_in_by_the_link_sets_up_codes_and_brings_in_the_first_device() -> anyhow::Result<()> {
    let mut stage = Stage::empty(0)?;
    let secret = invite(&stage, "boss", &["--role", "administrator"])?;
    let tab = stage.tab(WIDE, "en", "light")?;
    let seed = welcome(&stage, &tab, "boss", &secret, true)?;
    assert_eq!(seed.len(), totp::SEED_BYTES);

    // The link works once.
    tab.open(&stage.at("/login"))?;
    tab.open(&stage.at(&format!("/welcome#name=boss&secret={secret}")))?;
    tab.fill("#password", PASSWORD)?;
    tab.fill("#again", PASSWORD)?;
    tab.click("main form button.first")?;
    tab.until("!!document.querySelector('.problem')")?;

    // Without a code nobody of this role comes in, and what was typed is still there.
    tab.open(&stage.at("/login?next=%2Fdevices%2Fenrol%3Ftab%3Dtokens"))?;
    tab.fill("#name", "boss")?;
    tab.fill("#password", PASSWORD)?;
    tab.click("main form button.first")?;
    tab.until("!!document.querySelector('.problem')")?;
    assert_eq!(tab.eval("document.querySelector('#name').value")?, json!("boss"));
    tab.fill("#password", PASSWORD)?;
    tab.fill("#code", &totp::code(&seed, totp::step_of(now_ms())))?;
    tab.click("main form button.first")?;
    tab.until_at("/devices/enrol")?;
    none(&stage, &tab)?;

    // The first device: a token made here, shown once, and a real agent that enrols with it.
    let collector = stage.lab.collector.address().expect("an address");
    tab.fill("#address", &collector.to_string())?;
    tab.click("form[action='/devices/enrol/token'] button.first")?;
    tab.until("!!document.querySelector('.copied code')")?;
    let token = tab.text(".copied code")?;
    let agent = stage.lab.add_stranger()?;
    let file = agent.dir().join("token.txt");
    std::fs::write(&file, token)?;
    agent.command_configured(&["enroll", "--token-file", file.to_str().expect("a path")])?.ok()?;
    agent.start()?;
    wait_until("the device is there", PATIENCE, || Ok(!stage.lab.collector.json(&["device", "list"])?.is_empty()))?;
    tab.open(&stage.at("/devices"))?;
    tab.until("!!document.querySelector('main a[href^=\"/devices/\"][href*=\"-\"]')")?;
    tab.click("main a[href^=\"/devices/\"][href*=\"-\"]")?;
    tab.until("location.pathname.length > 40 && document.readyState === 'complete'")?;
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

const SALES: &[u8] = include_bytes!("../../samples/sales.jsonl");
const WEALTH: &[u8] = include_bytes!("../../samples/wealth.jsonl");
const PATIENCE: Duration = Duration::from_secs(60);

/// Takes files that a page gives; the one that comes once it is whole.
fn taken_along(folder: &std::path::Path, ending: &str) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    wait_until("a file comes", PATIENCE, || {
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|it| it == ending) {
                bytes = std::fs::read(path)?;
            }
        }
        Ok(!bytes.is_empty())
    })?;
    Ok(bytes)
}

#[test]
#[ignore = "needs a browser: .ci/browser"]
fn an_alert_arrives_while_its_reader_watches_is_read_taken_closed_and_taken_along() -> anyhow::Result<()> {
    let mut stage = Stage::empty(1)?;
    let secret = invite(&stage, "li.hua", &["--role", "reviewer", "--export"])?;
    let tab = stage.tab(WIDE, "en", "light")?;
    welcome(&stage, &tab, "li.hua", &secret, false)?;
    sign_in(&stage, &tab, "li.hua", &[])?;
    tab.open(&stage.at("/alerts"))?;
    tab.until_says("Nothing to do")?;

    // Something arrives: it is announced, and nothing moves until the reader wants it.
    let address = stage.lab.collector.address().expect("an address");
    stage.lab.agents[0].configure(address, "[source]\nsettle = \"300ms\"\n")?;
    stage.lab.agents[0].start()?;
    stage.lab.agents[0].drop_export("sales.jsonl", SALES)?;
    tab.until("!!document.querySelector('.arrived:not([hidden])')")?;
    assert_eq!(tab.eval("document.querySelectorAll('[data-row]').length")?, json!(0), "what is read does not change");
    tab.click(".arrived")?;
    tab.until("document.querySelectorAll('[data-row]').length > 0")?;
    let before = tab.eval("[...document.querySelectorAll('[data-row]')].map((it) => it.href)")?;
    stage.lab.agents[0].drop_export("wealth.jsonl", WEALTH)?;
    tab.until("!!document.querySelector('.arrived:not([hidden])')")?;
    assert_eq!(tab.eval("[...document.querySelectorAll('[data-row]')].map((it) => it.href)")?, before);
    none(&stage, &tab)?;

    // By key to the first row, and in.
    tab.eval("document.activeElement.blur()")?;
    tab.press_letter('j')?;
    let alert = tab.eval("document.activeElement.pathname")?;
    let alert = alert.as_str().expect("a row has the focus").to_owned();
    tab.press(Key::Enter)?;
    tab.until_at(&alert)?;
    let id = alert.trim_start_matches("/alerts/");
    // Whoever has not taken it says why they read it, and that is in the audit before they see anything.
    tab.fill("form[action$='/read'] [name=reason]", "asked by the branch")?;
    tab.click("form[action$='/read'] button")?;
    tab.until("!document.querySelector('form[action$=\"/read\"]')")?;
    wait_until("the look is in the audit", PATIENCE, || {
        let trail = stage.lab.collector.json(&["audit"])?;
        Ok(trail
            .iter()
            .any(|it| it["by"] == "li.hua" && it.to_string().contains("viewed") && it.to_string().contains(id)))
    })?;
    tab.click("form:has([value=take]) button")?;
    tab.until("!document.querySelector('form:has([value=take])') && document.readyState === 'complete'")?;
    let stands = |state: &str| -> anyhow::Result<()> {
        wait_until("it stands so", PATIENCE, || {
            let alert = stage.lab.collector.json(&["alert", "show", id])?;
            Ok(alert[0].to_string().contains(&format!("\"state\":\"{state}\"")))
        })
    };
    stands("taken")?;
    // A false alarm needs a reason, and says so without losing anything.
    tab.eval("document.querySelector('form:has(#close-note) select').value = 'false-alarm'")?;
    tab.click("form:has(#close-note) button")?;
    tab.until("!!document.querySelector('form:has(#close-note) .problem')")?;
    tab.fill("#close-note", "the customer quoted a brochure")?;
    tab.click("form:has(#close-note) button")?;
    tab.until("!document.querySelector('#close-note') && document.readyState === 'complete'")?;
    stands("closed")?;
    tab.until_says("the customer quoted a brochure")?;

    // Taken along: the evidence, and the list.
    let folder = tempfile::tempdir()?;
    tab.keep_files_in(folder.path())?;
    tab.open(&stage.at("/alerts?view=closed"))?;
    tab.eval("document.querySelector('details:has(#export-reason)').open = true")?;
    tab.fill("#export-reason", "quarterly report")?;
    tab.eval("document.querySelector('form:has(#export-reason) select').value = 'csv'")?;
    tab.click("form:has(#export-reason) button")?;
    let csv = String::from_utf8_lossy(&taken_along(folder.path(), "csv")?).into_owned();
    assert!(csv.contains(id), "{csv}");
    none(&stage, &tab)
}

#[test]
#[ignore = "needs a browser: .ci/browser"]
fn a_supervisor_sees_their_own_people_and_nobody_else() -> anyhow::Result<()> {
    let stage = Stage::furnished(0, Size { findings: 250, is_hostile: false })?;
    let all = stage.signed_in("reviewer", WIDE, "zh", "light")?;
    all.open(&stage.at("/alerts"))?;
    let foreign = format!(
        "[...document.querySelectorAll('tbody tr')].filter((it) => !it.innerText.includes({})).map((it) => it.querySelector('[data-row]').pathname)",
        json!(SITES[0])
    );
    let foreign = all.eval(&foreign)?;
    let foreign = foreign[0].as_str().expect("an alert of another site").to_owned();
    let own = stage.signed_in("supervisor", NARROW, "zh", "light")?;
    own.open(&stage.at("/alerts"))?;
    let rows = own.eval("[...document.querySelectorAll('tbody tr')].map((it) => it.innerText)")?;
    let rows: Vec<&str> = rows.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    assert!(!rows.is_empty());
    for row in rows {
        assert!(row.contains(DEPARTMENTS[0]) && row.contains(SITES[0]), "{row}");
    }
    let answer = |path: &str| own.eval(&format!("fetch({}).then((it) => it.status)", json!(path)));
    assert_eq!(answer(&foreign)?, json!(404));
    assert_eq!((answer("/audit")?, answer("/never-was")?), (json!(403), json!(404)), "their role never includes it");
    none(&stage, &own)
}

#[test]
#[ignore = "needs a browser: .ci/browser"]
fn a_text_is_tried_and_a_word_goes_from_one_person_to_another() -> anyhow::Result<()> {
    let stage = Stage::furnished(0, Size { findings: 80, is_hostile: false })?;
    let author = stage.signed_in("author", WIDE, "en", "dark")?;
    author.open(&stage.at("/rules/test"))?;
    author.fill("#text", "这款理财产品保本保收益，您放心")?;
    author.click("form[data-tester] button.first")?;
    author.until("document.querySelector('#tested').innerText.includes('fin.guaranteed-return')")?;
    none(&stage, &author)?;

    author.open(&stage.at("/words/payees"))?;
    author.eval("document.querySelectorAll('details:has(#words)').forEach((it) => it.open = true)")?;
    author.fill("#words", "小金库")?;
    author.click("form:has(#words) button.first")?;
    author.until_says("小金库")?;
    // Whoever has asked for a word does not approve it; somebody else does.
    let tick = "(() => { const row = [...document.querySelectorAll('tbody tr')].find((it) => it.innerText.includes('小金库')); \
                const box = row.querySelector('input[name=words]'); box.checked = true; return true; })()";
    author.open(&stage.at("/words/payees?standing=proposed"))?;
    author.eval(tick)?;
    author.click("button[value=approve]")?;
    author.until("!!document.querySelector('.problem')")?;
    let second = stage.signed_in("reviewer", WIDE, "zh", "light")?;
    second.open(&stage.at("/words/payees?standing=proposed"))?;
    second.eval(tick)?;
    second.click("button[value=approve]")?;
    wait_until("the word belongs to the list", PATIENCE, || {
        let known = stage.lab.collector.json(&["words", "show", "payees"])?;
        Ok(known.iter().any(|it| it.to_string().contains("小金库") && it.to_string().contains("approved")))
    })?;
    second.open(&stage.at("/words/preview"))?;
    second.fill("#word", "保本")?;
    second.fill("#reason", "before it is approved")?;
    second.click("main form button.first")?;
    second.until("document.querySelector('main').innerText.includes('保本') && !document.querySelector('.problem')")?;
    none(&stage, &second)?;
    none(&stage, &author)
}
