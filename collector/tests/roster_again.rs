//! What was erased of a roster stays erased, whether what is derived follows the log or is made anew from it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test helpers")]

mod support;

use support::offline::Log;
use watchpost_collector::clock::Clock;
use watchpost_collector::config::Config;
use watchpost_collector::credentials::Credentials;
use watchpost_collector::erasure::{Deed, Scope};
use watchpost_collector::server::{self, OpenLog};
use watchpost_collector::{admin, log_store};
use watchpost_proto::Message as _;
use watchpost_proto::document::Kind;
use watchpost_proto::roster::details_digest;
use watchpost_proto::v1::{
    EntryKind, RosterDetails, RosterEntry, RosterHeader, RosterPeriod, RosterRecord, RosterRow, SignedRosterHeader,
};

/// Account, department, and what the salt of the details is made of.
fn record((userid, department, salt): (&str, &str, u8)) -> RosterRecord {
    let details = RosterDetails { salt: vec![salt; 16], employee: "7".into(), name: format!("{userid} 姓名") };
    let details = details.encode_to_vec();
    let period = RosterPeriod { department: department.into(), ..RosterPeriod::default() };
    let row = RosterRow {
        corp: "ww1".into(),
        userid: userid.into(),
        periods: vec![period],
        details: details_digest(&details).to_vec(),
        ..RosterRow::default()
    };
    RosterRecord { row: row.encode_to_vec(), details }
}

fn publish(log: &mut Log, version: u64, rows: &[(&str, &str, u8)]) {
    let records: Vec<RosterRecord> = rows.iter().copied().map(record).collect();
    let header = RosterHeader { format: 1, version, ..RosterHeader::default() }.encode_to_vec();
    let digest = Kind::Roster.digest(&header);
    let signed = SignedRosterHeader { header, signatures: Vec::new() };
    let entry = RosterEntry { roster: Some(signed), by: "hr".into(), reason: String::new(), at_ms: 1 };
    let done = log.operate(|appender| {
        log_store::keep_rows(appender.connection(), &digest, &records)?;
        Ok(appender.append(EntryKind::Roster, &entry.encode_to_vec())?)
    });
    done.unwrap();
}

fn erase(log: Log, person: &str) -> Log {
    let Log { lab, store } = log;
    drop(store);
    let what = admin::What::Keep { deed: Deed::Erase(Scope::Person(person.into())) };
    let request = admin::Request { what, by: "dpo".into(), reason: "asked for it".into(), until_ms: 0 };
    assert_eq!(admin::have_done(&lab.config, &request).unwrap().error, None);
    let credentials = Credentials::load(&lab.config, &Clock::default()).unwrap();
    let OpenLog { store, .. } = server::open_log(&lab.config, &credentials, &Clock::default()).unwrap();
    Log { lab, store }
}

/// Whom the derived table has: account, department, name.
fn people(config: &Config) -> Vec<(String, String, String)> {
    let db = watchpost_collector::derive::open_read_only(&config.derived_db()).unwrap();
    let mut select = db.prepare("SELECT account, department, name FROM person ORDER BY account").unwrap();
    let rows = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

#[test]
fn an_erased_name_that_is_published_again_is_blank_followed_and_made_anew() {
    let mut log = Log::new();
    let mut deriver = log.deriver();
    let one = |userid: &str, department: &str, name: &str| (format!("ww1/{userid}"), department.into(), name.into());
    publish(&mut log, 1, &[("li", "sales", 1), ("wang", "sales", 2)]);
    deriver.catch_up().unwrap();
    assert_eq!(people(&log.lab.config), [one("li", "sales", "li 姓名"), one("wang", "sales", "wang 姓名")]);
    drop(deriver);
    log = erase(log, "ww1/li");
    let mut deriver = log.deriver();
    // The very row, another with the same details, nobody, and somebody who is entered anew.
    let turns = [
        (Some(("li", "sales", 1)), Some(one("li", "sales", ""))),
        (Some(("li", "risk", 1)), Some(one("li", "risk", ""))),
        (None, None),
        (Some(("li", "risk", 1)), Some(one("li", "risk", ""))),
        (Some(("li", "risk", 3)), Some(one("li", "risk", "li 姓名"))),
    ];
    for (version, (row, expected)) in (2..).zip(turns) {
        let rows: Vec<_> = row.into_iter().chain([("wang", "sales", 2)]).collect();
        publish(&mut log, version, &rows);
        deriver.catch_up().unwrap();
        let followed = people(&log.lab.config);
        let expected: Vec<_> = expected.into_iter().chain([one("wang", "sales", "wang 姓名")]).collect();
        assert_eq!(followed, expected, "version {version}");
        drop(deriver);
        std::fs::remove_file(log.lab.config.derived_db()).unwrap();
        deriver = log.deriver();
        deriver.catch_up().unwrap();
        assert_eq!(people(&log.lab.config), followed, "made anew at version {version}");
    }
}
