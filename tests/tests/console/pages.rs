//! Every page there is, found by following links: what must hold of all of them, and pictures to look at.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde_json::{Value, json};
use watchpost_tests::browser::{Key, Tab};
use watchpost_tests::furnish::Size;

use super::stage::{NARROW, Stage, WIDE, folder};

const CHECKS: &str = include_str!("checks.js");
const FOCUS: &str = include_str!("focus.js");
/// Who between them see every page.
const PEOPLE: [&str; 5] = ["reviewer", "admin", "author", "auditor", "supervisor"];
/// Pages of one kind that are looked at: an alert looks like every other, more or less.
const OF_A_KIND: usize = 2;
/// Bytes of HTML, style, script and icon together.
const BYTES_MAX: u64 = 100 * 1024;

/// What a page is, whichever alert, device or person it is about.
fn kind(path: &str) -> String {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let varies = |part: &str| {
        part.len() >= 12 && part.contains(|c: char| c.is_ascii_digit())
            || part.contains('%')
            || part.parse::<u64>().is_ok()
    };
    let parts: Vec<&str> = path.split('/').map(|part| if varies(part) { "*" } else { part }).collect();
    // Conditions of a list change what is in it, tabs and views what it is.
    let part = query.split('&').find(|field| field.starts_with("tab=") || field.starts_with("view="));
    part.map_or_else(|| parts.join("/"), |part| format!("{}?{part}", parts.join("/")))
}

/// All pages somebody gets to by links, a few of each kind; and links that lead nowhere.
fn pages(stage: &Stage, tab: &Tab) -> anyhow::Result<(Vec<String>, Vec<String>)> {
    let (mut found, mut dead, mut kinds) = (Vec::new(), Vec::new(), BTreeMap::<String, usize>::new());
    let mut next = VecDeque::from(["/".to_owned(), "/account".to_owned(), "/menu".to_owned()]);
    let mut seen: BTreeSet<String> = next.iter().cloned().collect();
    while let Some(path) = next.pop_front() {
        let of_kind = kinds.entry(kind(&path)).or_default();
        if *of_kind >= OF_A_KIND {
            continue;
        }
        // What is taken along is no page.
        let answer = tab.eval(&format!(
            "fetch({}).then(async (it) => [it.status, it.headers.get('content-type') || '', it.headers.get('content-disposition') || '', it.redirected ? new URL(it.url).pathname : '', await it.text()])",
            json!(path)
        ))?;
        let is_page = answer[1].as_str().unwrap_or_default().starts_with("text/html") && answer[2] == json!("");
        anyhow::ensure!(!is_page || answer[0].as_u64().unwrap_or(0) < 500, "{path}: {}", answer[0]);
        if !is_page || answer[0] != json!(200) || answer[3] != json!("") {
            if answer[0] == json!(404) {
                dead.push(path);
            }
            continue;
        }
        *of_kind += 1;
        let links = tab.eval(&format!(
            "[...new DOMParser().parseFromString({}, 'text/html').querySelectorAll('a[href]')].map((it) => it.getAttribute('href'))",
            answer[4]
        ))?;
        for link in links.as_array().into_iter().flatten().filter_map(Value::as_str) {
            let link = link.split('#').next().unwrap_or_default();
            let whole = if link.starts_with('?') {
                format!("{}{link}", path.split('?').next().unwrap_or_default())
            } else {
                link.to_owned()
            };
            if whole.starts_with('/') && !whole.starts_with("/assets") && seen.insert(whole.clone()) {
                next.push_back(whole);
            }
        }
        found.push(path);
    }
    anyhow::ensure!(found.len() > 2, "no pages at {}", stage.origin());
    Ok((found, dead))
}

/// What does not hold of a page.
fn complaints(stage: &Stage, tab: &Tab, path: &str, tongue: &str, is_narrow: bool) -> anyhow::Result<Vec<String>> {
    tab.open(&stage.at(path))?;
    let lang = if tongue == "zh" { "zh-CN" } else { "en" };
    let told = tab.eval(&format!("{}({})", CHECKS.trim(), json!({ "tongue": lang, "narrow": is_narrow })))?;
    let mut all: Vec<String> =
        told.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
    let weight = "performance.getEntriesByType('resource').filter((it) => it.initiatorType !== 'fetch' && !it.name.includes('/events')).reduce((sum, it) => sum + it.decodedBodySize, \
                  performance.getEntriesByType('navigation')[0].decodedBodySize)";
    let bytes = tab.eval(weight)?.as_u64().unwrap_or_default();
    if bytes > BYTES_MAX {
        all.push(format!("it weighs {bytes} bytes"));
    }
    all.extend(tab.troubles(&stage.origin())?);
    Ok(all)
}

/// Walks through a page by Tab.
fn focus(tab: &Tab) -> anyhow::Result<Vec<String>> {
    let mut all = Vec::new();
    tab.eval("document.activeElement.blur(), window.__focused = null, getSelection().removeAllRanges()")?;
    for _ in 0..60 {
        tab.press(Key::Tab)?;
        let told = tab.eval(FOCUS)?;
        if told["end"] == json!(true) {
            break;
        }
        let name = told["name"].as_str().unwrap_or_default();
        if told["seen"] != json!(true) {
            all.push(format!("nobody sees the focus on {name}"));
        }
        if told["ordered"] != json!(true) {
            // Behind the last control the way begins anew.
            break;
        }
    }
    Ok(all)
}

#[test]
#[ignore = "needs a browser: .ci/browser"]
fn every_page_holds_what_every_page_must_hold() -> anyhow::Result<()> {
    let stage = Stage::furnished(0, Size { findings: 400, is_hostile: false })?;
    let (mut told, mut looked) = (BTreeMap::<String, BTreeSet<String>>::new(), BTreeSet::new());
    let mut painted = Vec::new();
    let views = [(WIDE, "zh", "light"), (NARROW, "en", "dark")];
    for name in PEOPLE {
        let tab = stage.signed_in(name, WIDE, "zh", "light")?;
        let (pages, dead) = pages(&stage, &tab)?;
        for path in dead {
            told.entry("a link to what is not there".to_owned()).or_default().insert(format!("{name} {path}"));
        }
        for (size, tongue, theme) in views {
            tab.set_cookie(&stage.origin(), "watchpost-tongue", tongue)?;
            tab.set_cookie(&stage.origin(), "watchpost-theme", theme)?;
            tab.resize(size.0, size.1)?;
            for path in &pages {
                if !looked.insert((path.clone(), tongue, kind(path) == "/")) {
                    continue;
                }
                let mut all = complaints(&stage, &tab, path, tongue, size == NARROW)?;
                if size == WIDE {
                    let paint =
                        tab.eval("performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? 0")?;
                    painted.push((paint.as_f64().unwrap_or_default(), path.clone()));
                    all.extend(focus(&tab)?);
                }
                for complaint in all {
                    told.entry(complaint).or_default().insert(format!("{name} {} {tongue}", kind(path)));
                }
            }
        }
    }
    painted.sort_by(|one, other| one.0.total_cmp(&other.0));
    let half = painted.get(painted.len() / 2).map_or(0.0, |(paint, _)| *paint);
    let last = painted.last().cloned().unwrap_or_default();
    println!("{} pages; first paint after {half:.0} ms, the slowest {:.0} ms ({})", looked.len(), last.0, last.1);
    let told: Vec<String> = told
        .into_iter()
        .map(|(what, pages)| {
            let some: Vec<&str> = pages.iter().take(4).map(String::as_str).collect();
            format!("{what}\n      on {} of them: {}", pages.len(), some.join(", "))
        })
        .collect();
    assert!(told.is_empty(), "{} things do not hold:\n  {}", told.len(), told.join("\n  "));
    Ok(())
}

#[test]
#[ignore = "needs a browser: .ci/browser"]
fn hostile_text_stays_text_on_every_page() -> anyhow::Result<()> {
    let stage = Stage::furnished(0, Size { findings: 120, is_hostile: true })?;
    let mut told = Vec::new();
    let mut is_shown = false;
    for name in PEOPLE {
        let tab = stage.signed_in(name, WIDE, "zh", "light")?;
        for path in pages(&stage, &tab)?.0 {
            tab.open(&stage.at(&path))?;
            is_shown |= tab.eval("document.body.innerText.includes('onerror=window.__xss=1')")? == json!(true);
            let foreign = "[...document.querySelectorAll('script')].filter((it) => !it.src.startsWith(location.origin + '/assets/')).length \
                           + document.querySelectorAll('main img[src=x], main [onload], main [onerror]').length";
            let troubles = tab.troubles(&stage.origin())?;
            if tab.eval(foreign)? != json!(0) || !troubles.is_empty() {
                told.push(format!("{name} {path}: {troubles:?}"));
            }
        }
    }
    assert!(told.is_empty(), "{}", told.join("\n"));
    assert!(is_shown, "hostile text is on no page, so nothing was looked at");
    Ok(())
}

/// Pictures of every page, to be looked at: `cargo test -p watchpost-tests --test console pictures -- --ignored`.
#[test]
#[ignore = "takes pictures"]
fn pictures_of_every_page() -> anyhow::Result<()> {
    let stage = Stage::furnished(0, Size::default())?;
    let to = folder("screens")?;
    let views = [("zh", "light"), ("zh", "dark"), ("en", "light")];
    let mut taken = BTreeSet::new();
    for name in PEOPLE {
        let tab = stage.signed_in(name, WIDE, "zh", "light")?;
        for path in pages(&stage, &tab)?.0 {
            // One of each kind; the first page is another for everybody.
            let file = if path == "/" {
                format!("overview-{name}")
            } else {
                kind(&path).trim_matches('/').replace(['/', '?', '=', '*'], "_")
            };
            if !taken.insert(file.clone()) {
                continue;
            }
            for (tongue, theme) in views {
                tab.set_cookie(&stage.origin(), "watchpost-tongue", tongue)?;
                tab.set_cookie(&stage.origin(), "watchpost-theme", theme)?;
                for size in [WIDE, NARROW] {
                    tab.resize(size.0, size.1)?;
                    tab.open(&stage.at(&path))?;
                    tab.picture(&to.join(format!("{file}-{tongue}-{theme}-{}.png", size.0)))?;
                }
            }
        }
    }
    println!("{} pages in {}", taken.len(), to.display());
    Ok(())
}
