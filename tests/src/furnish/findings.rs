//! Invented messages, and what the rules that ship find in them: the texts are those of the rules' own tests.

use std::collections::{BTreeMap, HashMap};

use anyhow::Context as _;
use serde_json::json;
use watchpost_agent::summary;
use watchpost_policy::engine::{Engine, Scratch};
use watchpost_policy::identity::TenantKey;
use watchpost_policy::message::{Corp, Message, Side};
use watchpost_policy::packs;
use watchpost_policy::parse::parse_line;
use watchpost_policy::rules::{Disclose, RuleTest};
use watchpost_policy::summary::{FindingSummary, SummaryContext, summarise};
use watchpost_proto::v1::summary::Kind;
use watchpost_proto::v1::{Finding, Lane, Summary};

use super::fleet::Fleet;
use super::{CORP, DAY_MS, HOUR_MS, MINUTE_MS, Month, Step};
use crate::corpus::Random;

const DAYS: u64 = 30;
const CUSTOMERS: u64 = 160;
/// The key of pseudonyms; nobody has another one here.
const KEY: TenantKey = TenantKey([9; 32]);

/// An alert that will be there.
pub(super) struct Opened {
    /// Its id.
    pub(super) id: String,
    /// When it opens.
    pub(super) at_ms: i64,
    /// The account concerned.
    pub(super) person: String,
}

/// Invents findings; gives back the alerts they open, in order.
pub(super) fn findings(month: &mut Month, fleet: &Fleet, count: u64) -> anyhow::Result<Vec<Opened>> {
    let corp = Corp::new(CORP);
    let packs = packs::builtin().map_err(|mistakes| anyhow::anyhow!("{mistakes:?}"))?;
    let tests: Vec<RuleTest> = packs
        .iter()
        .flat_map(|pack| &pack.rules)
        .flat_map(|rule| &rule.tests)
        .filter(|test| is_plain(test))
        .cloned()
        .collect();
    let engine = Engine::compile(packs, None)?;
    let context = SummaryContext {
        tenant: &month.tenant.clone(),
        corp: &corp,
        key: &KEY,
        ceiling: Disclose::Context,
        accounts: None,
    };
    let (mut random, mut scratch) = (Random::new(11), Scratch::default());
    let mut told: BTreeMap<(i64, usize), Vec<Summary>> = BTreeMap::new();
    let mut opened: HashMap<(String, String, i64), Opened> = HashMap::new();
    let mut number = 0;
    while number < count {
        let test = &tests[skewed(&mut random, tests.len() as u64) as usize];
        let person = skewed(&mut random, month.people.len() as u64 - 2) as usize;
        let at_ms = moment(month.now_ms, &mut random);
        let message = message(test, &month.people[person].userid, at_ms, month.hostile, &mut random)?;
        let found = engine.evaluate(&corp, &message, &mut scratch);
        let device = fleet.of_site(month.people[person].site, random.next());
        for found in found.iter().map(|found| summarise(found, &message, &context)) {
            let arrived_ms = (at_ms + (2 + random.below(50) as i64) * MINUTE_MS).min(month.now_ms - MINUTE_MS);
            note(&mut opened, &found, at_ms, arrived_ms);
            told.entry((arrived_ms, device)).or_default().push(summary(&found, arrived_ms, month.hostile));
            number += 1;
        }
        // Rules that ship never find nothing for ever; a text without a finding is passed over.
    }
    for ((at_ms, device), told) in told {
        month.then(at_ms, Step::Tell { device, lane: Lane::Urgent, told, at_ms });
    }
    let mut opened: Vec<Opened> = opened.into_values().collect();
    opened.sort_by(|one, other| (one.at_ms, &one.id).cmp(&(other.at_ms, &other.id)));
    Ok(opened)
}

/// Whether the text alone makes the rule hold.
fn is_plain(test: &RuleTest) -> bool {
    test.hit
        && !test.text.is_empty()
        && test.file.is_none()
        && test.amount.is_none()
        && test.time.is_none()
        && test.link.is_none()
        && test.from == Side::Employee
}

/// Some far more often than others.
fn skewed(random: &mut Random, bound: u64) -> u64 {
    let bound = if random.below(3) == 0 { bound } else { (bound / 5).max(1) };
    random.below(bound)
}

/// In office hours, mostly; more of them lately.
fn moment(now_ms: i64, random: &mut Random) -> i64 {
    let days = random.below(DAYS).min(random.below(DAYS + 6)) as i64;
    let midnight = now_ms - (now_ms + 8 * HOUR_MS).rem_euclid(DAY_MS) - days * DAY_MS;
    let hour = 9 * HOUR_MS + random.below(9 * HOUR_MS as u64) as i64;
    let at_ms = if random.below(12) == 0 { midnight + random.below(DAY_MS as u64) as i64 } else { midnight + hour };
    if at_ms > now_ms - 10 * MINUTE_MS { now_ms - (10 + random.below(400) as i64) * MINUTE_MS } else { at_ms }
}

fn message(test: &RuleTest, userid: &str, at_ms: i64, hostile: &str, random: &mut Random) -> anyhow::Result<Message> {
    let customer = format!("wmInVeNtEd{:06}customerAAAAAAAA", random.below(CUSTOMERS));
    let room =
        if random.below(4) == 0 { format!("wrInVeNtEd{:04}groupAAAAAAAAAAA", random.below(40)) } else { String::new() };
    let opening = ["", "", "王总您好，", "李姐，", "跟您说一下，"][random.below(5) as usize];
    let line = json!({
        "msgid": format!("{}_{at_ms}_external", random.next()), "action": "send", "from": userid, "tolist": [customer],
        "roomid": room, "msgtime": at_ms, "msgtype": "text", "text": { "content": format!("{opening}{}{hostile}", test.text) }
    });
    parse_line(line.to_string().as_bytes()).message.context("an invented line is no message")
}

fn summary(found: &FindingSummary, at_ms: i64, hostile: &str) -> Summary {
    let kind = match summary::finding(CORP, found) {
        // A device that was taken over writes what it likes.
        Kind::Finding(finding) if !hostile.is_empty() => {
            let excerpt = format!("{}{hostile}", finding.excerpt);
            Kind::Finding(Finding { excerpt, msgtype: format!("text{hostile}"), ..finding })
        }
        kind => kind,
    };
    Summary { made_at_ms: at_ms, roster_version: 1, kind: Some(kind), ..Summary::default() }
}

/// Alerts are of a rule, a person and a day; the finding that arrives first opens one.
fn note(opened: &mut HashMap<(String, String, i64), Opened>, found: &FindingSummary, at_ms: i64, arrived_ms: i64) {
    let Some(person) = &found.person else { return };
    let day = (at_ms + 8 * HOUR_MS).div_euclid(DAY_MS);
    let this = Opened { id: hex::encode(found.finding_id.0), at_ms: arrived_ms, person: person.clone() };
    let key = (found.rule.clone(), person.clone(), day);
    let first = opened.remove(&key).filter(|first| first.at_ms < this.at_ms).unwrap_or(this);
    opened.insert(key, first);
}
