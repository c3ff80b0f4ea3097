//! All of it, to keep.

use std::collections::HashMap;

use serde::Serialize;
use watchpost_policy::my_data::{Category, Day, Notice, Sent};

use super::mine::{Group, Mine};
use super::visit_of;
use crate::audit::Did;
use crate::export::csv::Csv;
use crate::my_data::links::name_of;
use crate::my_data::{self, SENT_DAYS};
use crate::web::ask::Ask;
use crate::web::console::tongue::moment;
use crate::web::console::view::View;
use crate::web::problem::Problem;
use crate::web::route::{self, Body, Nothing};
use crate::web::visits::Visit;

/// As it is written.
#[derive(Serialize)]
struct Whole<'a> {
    accounts: &'a [String],
    made_ms: i64,
    /// How far back it goes.
    days_back: i64,
    notices: Vec<NoticeOf<'a>>,
    rules: Vec<&'a Category>,
    sent: Vec<Row>,
    /// Records about others in which one is named.
    mentioned: u64,
    days: &'a [Day],
}

#[derive(Serialize)]
struct NoticeOf<'a> {
    account: &'a str,
    notice: Option<&'a Notice>,
}

#[derive(Serialize)]
struct Row {
    #[serde(flatten)]
    sent: Sent,
    /// `open`, `granted`, `denied`; nothing where nobody objected.
    appeal: Option<&'static str>,
}

pub(super) fn json(ask: &Ask<'_>, nothing: Nothing) -> Result<Body, Problem> {
    let Some(visit) = visit_of(ask)? else { return Ok(super::outside(nothing)) };
    let mine = Mine::read(ask, &visit)?;
    let sent = rows(ask, &mine)?;
    note(ask, &visit, sent.len())?;
    let whole = Whole {
        accounts: &visit.accounts,
        made_ms: ask.now_ms,
        days_back: SENT_DAYS,
        notices: mine.notices.iter().map(|(account, notice)| NoticeOf { account, notice: notice.as_ref() }).collect(),
        rules: mine.categories().collect(),
        sent,
        mentioned: mine.mentioned,
        days: &mine.days,
    };
    let bytes = serde_json::to_vec_pretty(&whole).map_err(|error| Problem::broken(&error))?;
    Ok(Body::file("application/json", "my-data.json", bytes))
}

pub(super) fn csv(ask: &Ask<'_>, nothing: Nothing) -> Result<Body, Problem> {
    let Some(visit) = visit_of(ask)? else { return Ok(super::outside(nothing)) };
    let mine = Mine::read(ask, &visit)?;
    let sent = rows(ask, &mine)?;
    note(ask, &visit, sent.len())?;
    let mut bytes = Vec::new();
    let written = table(&View::of(ask), &sent, &mut bytes);
    written.map_err(|error| Problem::broken(&error))?;
    Ok(Body::file(route::CSV, "my-data.csv", bytes))
}

fn table(view: &View<'_>, rows: &[Row], out: &mut Vec<u8>) -> anyhow::Result<()> {
    let mut csv = Csv::begin(out, true)?;
    let heads = view.say(
        ["上报时间", "消息时间", "规则", "类别", "级别", "披露方式", "离开设备的文字", "已撤回", "申诉"],
        ["told at", "message of", "rule", "category", "level", "disclosed", "text that left", "withdrawn", "objection"],
    );
    csv.row(&heads.map(str::to_owned))?;
    for Row { sent, appeal } in rows {
        csv.row(&[
            moment(sent.at_ms),
            if sent.msgtime_ms == 0 { String::new() } else { moment(sent.msgtime_ms) },
            view.say(&sent.title.0, &sent.title.1).clone(),
            sent.category.clone(),
            view.tongue().level(&sent.level).to_owned(),
            sent.disclose.clone(),
            sent.excerpt.clone(),
            if sent.withdrawn { view.say("是", "yes").to_owned() } else { String::new() },
            appeal.unwrap_or_default().to_owned(),
        ])?;
    }
    csv.end()
}

/// What one takes along is an entry of the log, as it is for everybody else.
fn note(ask: &Ask<'_>, visit: &Visit, rows: usize) -> Result<(), Problem> {
    ask.note(&name_of(&visit.account), Did::Exported, &visit.account, "", rows as u64)
}

fn rows(ask: &Ask<'_>, mine: &Mine) -> Result<Vec<Row>, Problem> {
    let appeals: HashMap<String, Option<&'static str>> = Mine::appeals(ask, mine.groups.iter())?;
    let of = |group: &Group| group.alert.as_ref().and_then(|alert| appeals.get(alert).copied()).flatten();
    let rows = mine.groups.iter().flat_map(|group| {
        let appeal = of(group);
        group
            .told
            .iter()
            .map(move |told| Row { sent: my_data::sent(told.clone(), |finding| mine.title(finding)), appeal })
    });
    Ok(rows.collect())
}
