//! What operators did in the month: they took, closed and discussed alerts, opened cases, suppressed, set, looked and exported.

use anyhow::Context as _;
use serde_json::json;
use watchpost_collector::alerts::desk::{self, CaseStep, Deed, Outcome, Suppress, What};
use watchpost_collector::alerts::work::Ending;
use watchpost_collector::audit::{self, Access, Did};
use watchpost_collector::names::{self, Named};
use watchpost_collector::registry::Effects;
use watchpost_collector::words::desk::{self as words_desk, New, Step as WordsStep};
use watchpost_collector::words::{Standing, words as words_of};
use watchpost_collector::{notices, settings};

use super::findings::Opened;
use super::{CORP, DAY_MS, DEPARTMENTS, HOUR_MS, MINUTE_MS, Month, SITES};
use crate::corpus::Random;
use crate::offline::{Act, Log};

const REVIEWERS: [&str; 4] = ["reviewer", "lin.yue", "he.jun", "supervisor"];
const NOTES: [&str; 6] = [
    "已与当事人核实，属于话术不规范，已口头提醒。",
    "Context checked with the branch: the customer asked first, nothing was promised.",
    "客户截图与记录一致，转部门负责人处理。",
    "同一客户一周内第三次，建议并案。",
    "The wording comes from an outdated brochure; training asked for.",
    "误报：引用监管原文，非承诺。",
];

pub(super) fn work(month: &mut Month, alerts: &[Opened]) {
    let mut random = Random::new(23);
    for alert in alerts {
        deal_with(month, alert, &mut random);
    }
    cases(month, alerts);
    suppressions(month);
    configured(month);
    looked(month, alerts, &mut random);
    told(month);
    words(month);
}

fn step(month: &mut Month, at_ms: i64, by: &'static str, alert: &Opened, step: What, note: String) {
    let alerts = vec![alert.id.clone()];
    month.write(at_ms, move |log| {
        log.work(|log| desk::act(log, &Deed { alerts, step, note }, &Act { by, reason: "", at_ms })).map(drop)
    });
}

/// The older an alert is, the likelier it is closed. What would happen later than now has not happened.
fn deal_with(month: &mut Month, alert: &Opened, random: &mut Random) {
    let age_days = (month.now_ms - alert.at_ms) / DAY_MS;
    let by = REVIEWERS[random.below(REVIEWERS.len() as u64) as usize];
    let note = format!("{}{}", NOTES[random.below(NOTES.len() as u64) as usize], month.hostile);
    let taken_ms = alert.at_ms + (4 + random.below(300) as i64) * MINUTE_MS;
    let closed_ms = taken_ms + (1 + random.below(40) as i64) * HOUR_MS;
    let last_ms = month.now_ms - 2 * MINUTE_MS;
    let is_left = random.below(100) < if age_days > 12 { 6 } else { 25 };
    if is_left || taken_ms > last_ms {
        return;
    }
    step(month, taken_ms, by, alert, What::Take, String::new());
    if random.below(3) == 0 {
        step(month, (taken_ms + 9 * MINUTE_MS).min(last_ms), by, alert, What::Note, note.clone());
    }
    if random.below(3) == 0 {
        step(month, (taken_ms + 10 * MINUTE_MS).min(last_ms), by, alert, What::Step(1), String::new());
    }
    if random.below(24) == 0 {
        step(month, (taken_ms + 30 * MINUTE_MS).min(last_ms), by, alert, What::Escalate, note.clone());
    }
    if closed_ms > last_ms || random.below(100) < 12 {
        return;
    }
    let ending = match random.below(10) {
        0..=5 => Ending::Confirmed,
        6..=8 => Ending::FalseAlarm,
        _ => Ending::RuleWithdrawn,
    };
    step(month, closed_ms, by, alert, What::Close(ending), note.clone());
    let later_ms = closed_ms + 20 * HOUR_MS;
    match random.below(40) {
        0 if later_ms < last_ms => step(month, later_ms, "koh.sg", alert, What::Reopen, note),
        1 if later_ms < last_ms => step(month, later_ms, "lin.yue", alert, What::Appeal, note),
        _ => {}
    }
}

/// Of the people with most alerts.
fn cases(month: &mut Month, alerts: &[Opened]) {
    let mut of = std::collections::BTreeMap::<&str, Vec<&Opened>>::new();
    alerts.iter().for_each(|alert| of.entry(&alert.person).or_default().push(alert));
    let mut most: Vec<_> = of.into_iter().collect();
    most.sort_by_key(|(_, alerts)| std::cmp::Reverse(alerts.len()));
    let outcomes = [None, Some(Outcome::Training), None, Some(Outcome::Warning), None, Some(Outcome::None)];
    for (number, ((person, alerts), outcome)) in most.into_iter().zip(outcomes).enumerate() {
        let ids: Vec<String> = alerts.iter().take(4).map(|alert| alert.id.clone()).collect();
        let opened_ms = alerts.iter().take(4).map(|alert| alert.at_ms).max().unwrap_or(month.now_ms) + HOUR_MS;
        let opened_ms = opened_ms.min(month.now_ms - (9 - number as i64) * HOUR_MS);
        let title = format!(
            "{} · {}{}",
            ["多次承诺收益", "Repeated promises of returns"][number % 2],
            number + 1,
            month.hostile
        );
        let person = person.to_owned();
        month.write(opened_ms, move |log| {
            let id = &hex::encode([number as u8 + 1; 16]);
            let act = |at_ms| Act { by: "reviewer", reason: "", at_ms };
            log.work(|log| desk::case(log, id, &CaseStep::Open { person, alerts: ids }, &title, &act(opened_ms)))?;
            log.work(|log| desk::case(log, id, &CaseStep::Note, "已约谈，记录见档案室 3 号柜。", &act(opened_ms + 1)))?;
            if let Some(outcome) = outcome {
                log.work(|log| desk::case(log, id, &CaseStep::Close(outcome), "书面确认。", &act(opened_ms + 2)))?;
            }
            Ok(())
        });
    }
}

fn suppressions(month: &mut Month) {
    let day = |days: i64| month.now_ms + days * DAY_MS;
    let all = [
        Suppress {
            rule: "fin.guaranteed-return".into(),
            pack: "finance-conduct".into(),
            site: SITES[2].into(),
            from_ms: day(-3),
            until_ms: day(11),
            ..Suppress::default()
        },
        Suppress {
            is_maintenance: true,
            pack: "advertising".into(),
            from_ms: day(-1),
            until_ms: day(2),
            ..Suppress::default()
        },
        Suppress {
            person: format!("{CORP}/{}", month.people[1].userid),
            from_ms: day(-20),
            until_ms: day(-6),
            ..Suppress::default()
        },
    ];
    for asked in all {
        let at_ms = asked.from_ms;
        let reason = format!("培训演练，负责人已知晓 / a drill, known to the branch{}", month.hostile);
        month.write(at_ms, move |log| {
            log.work(|log| desk::suppress(log, &asked, &Act { by: "reviewer", reason: &reason, at_ms })).map(drop)
        });
    }
}

fn configured(month: &mut Month) {
    let at_ms = month.now_ms - 32 * DAY_MS;
    let calendar = "base: cn\nhours: { mon-fri: \"09:00-18:00\" }\n";
    let away = json!({ "to": "he.jun", "from_ms": month.now_ms - DAY_MS, "until_ms": month.now_ms + 6 * DAY_MS });
    let all = [
        (format!("calendar/{}", SITES[4]), json!(calendar)),
        ("link".into(), json!({ "template": "https://archive.example/msg/{corp}/{msgid}" })),
        ("delegate/lin.yue".into(), away),
        ("route/duty".into(), json!({ "target": "duty", "level": "critical" })),
        (
            "route/shanghai".into(),
            json!({ "target": "shanghai", "sites": [SITES[0]], "when": "work", "group_by": "person" }),
        ),
    ];
    for (name, value) in all {
        month.write(at_ms, move |log| {
            let act = Act { by: "admin", reason: "as agreed with the branches", at_ms };
            log.work(|log| settings::set(log, &name, &value.to_string(), &act)).map(drop)
        });
    }
}

/// Who came in, and what they looked at.
fn looked(month: &mut Month, alerts: &[Opened], random: &mut Random) {
    let mut access = |at_ms: i64, by: &'static str, did: Did, subject: String, rows: u64, reason: &'static str| {
        month.write(at_ms, move |log: &mut Log| {
            let access = Access { did, subject, address: format!("10.20.{}.17", by.len()), rows };
            log.work(|log| audit::note(log, &access, &Act { by, reason, at_ms })).map(drop)
        });
    };
    let now_ms = alerts.last().map_or(0, |alert| alert.at_ms);
    for day in 0..20 {
        for by in ["reviewer", "lin.yue", "supervisor", "auditor"] {
            let at_ms = now_ms - day * DAY_MS - random.below(6 * HOUR_MS as u64) as i64;
            access(at_ms, by, Did::SignedIn, String::new(), 0, "");
            if by != "auditor" && !alerts.is_empty() {
                let alert = &alerts[random.below(alerts.len() as u64) as usize];
                access(at_ms + 5 * MINUTE_MS, by, Did::Viewed, alert.id.clone(), 2, "");
            }
        }
    }
    access(now_ms - 2 * DAY_MS, "reviewer", Did::Exported, "level:>=high since:7d".into(), 214, "季度报告");
    access(now_ms - 30 * HOUR_MS, "unknown.name", Did::Refused, String::new(), 0, "");
}

/// Names of customers and rooms, and who has acknowledged the notice on paper.
fn told(month: &mut Month) {
    let at_ms = month.now_ms - 15 * DAY_MS;
    let hostile = month.hostile;
    month.write(at_ms, move |log| {
        let act = Act { by: "admin", reason: "CRM list of November", at_ms };
        let named = |number: u64| Named {
            pseudonym: format!("p_{number:024x}"),
            kind: if number.is_multiple_of(3) { names::Kind::Room } else { names::Kind::Customer },
            name: format!(
                "{}{number}{hostile}",
                ["客户群 ", "华东贸易有限公司 ", "Harbour Textiles "][number as usize % 3]
            ),
        };
        let all: Vec<Named> = (0..30).map(named).collect();
        log.work(|log| names::change(log, &mut Effects::default(), (&all, &[]), &act)).map(drop)
    });
    let rows: Vec<notices::Row> = month
        .people
        .iter()
        .step_by(3)
        .map(|person| (person.account(), 2, at_ms - DAY_MS, format!("{} 纸质签收", DEPARTMENTS[0])))
        .collect();
    month.write(at_ms, move |log| {
        let act = Act { by: "admin", reason: "paper forms", at_ms };
        log.work(|log| notices::import(log, &rows, &act)).map(drop).context("acknowledgements")
    });
}

/// Two lists of words: some approved by a second person, some that wait for one.
fn words(month: &mut Month) {
    const LIST: &str = "payees";
    let now_ms = month.now_ms;
    let day = |ago: i64| now_ms - ago * DAY_MS;
    let new = |word: &str, note: String| New { word: word.into(), note, expires_ms: None, replaces: None };
    let first = [
        "私人账户",
        "个人收款码",
        "转到我卡上",
        "备用金代收",
        "先打给我",
        "线下过桥",
        "off the books",
        "my personal account",
    ];
    let later = ["过桥资金", "抽屉协议", "side letter"];
    let add = |words: &[&str], note: &str| {
        let add = words.iter().map(|word| new(word, format!("{note}{}", month.hostile))).collect();
        WordsStep::Change { add, withdraw: Vec::new() }
    };
    let (begun, more) = (add(&first, "一季度案例"), add(&later, "审计部建议"));
    let make = |file: &str| WordsStep::Make { pack: "customer-diversion".into(), file: file.into() };
    let steps = [
        (day(24), "author", LIST, make("payees.txt")),
        (day(23), "author", LIST, begun),
        (day(2), "reviewer", LIST, more),
        (day(9), "reviewer", "竞品名称", make("words/competitors.txt")),
    ];
    for (at_ms, by, list, step) in steps {
        month.write(at_ms, move |log| {
            let act = Act { by, reason: "", at_ms };
            log.work(|log| words_desk::act(log, &mut Effects::default(), (list, &step), &act)).map(drop)
        });
    }
    let at_ms = day(22);
    month.write(at_ms, move |log| {
        let act = Act { by: "lin.yue", reason: "checked against the cases", at_ms };
        log.work(|log| {
            let all = words_of(log.connection(), LIST, at_ms)?;
            let waiting =
                all.into_iter().filter(|word| word.standing == Standing::Proposed).map(|word| word.id).collect();
            words_desk::act(log, &mut Effects::default(), (LIST, &WordsStep::Approve(waiting)), &act)
        })
        .map(drop)
    });
}
