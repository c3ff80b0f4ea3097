//! Invented people: where they work, since when, and who has left.

use watchpost_collector::people::publish::{Brought, publish};
use watchpost_proto::document::{Kind, Signers};
use watchpost_proto::keys::{SigningKey as _, SoftwareKey};
use watchpost_proto::roster::{self, Head, Making};
use watchpost_proto::v1::{Roster, RosterDetails, RosterPeriod, RosterRow};

use super::{CORP, DAY_MS, Month, Step};
use crate::corpus::Random;
use crate::offline::{Act, bytes};

/// Where people and devices are.
pub const SITES: [&str; 5] = ["上海总部", "杭州分公司", "成都分公司", "深圳分公司", "Singapore"];
/// What people do.
pub const DEPARTMENTS: [&str; 4] = ["财富管理部", "信贷部", "客户服务部", "Private Banking"];

const FAMILIES: [(&str, &str); 14] = [
    ("王", "wang"),
    ("李", "li"),
    ("张", "zhang"),
    ("陈", "chen"),
    ("刘", "liu"),
    ("杨", "yang"),
    ("赵", "zhao"),
    ("黄", "huang"),
    ("周", "zhou"),
    ("吴", "wu"),
    ("徐", "xu"),
    ("孙", "sun"),
    ("欧阳", "ouyang"),
    ("司马", "sima"),
];
const GIVEN: [(&str, &str); 12] = [
    ("芳", "fang"),
    ("敏", "min"),
    ("建国", "jianguo"),
    ("晓雯", "xiaowen"),
    ("磊", "lei"),
    ("秀英", "xiuying"),
    ("浩然", "haoran"),
    ("婷婷", "tingting"),
    ("志远", "zhiyuan"),
    ("梦洁", "mengjie"),
    ("军", "jun"),
    ("子涵", "zihan"),
];
const ENGLISH: [(&str, &str); 8] = [
    ("Emily Tan", "emily.tan"),
    ("Daniel Lim", "daniel.lim"),
    ("Priya Nair", "priya.nair"),
    ("Oliver Marchetti-Hawthorne", "oliver.mh"),
    ("Grace Koh", "grace.koh"),
    ("Marcus Ong", "marcus.ong"),
    ("Siti Rahman", "siti.rahman"),
    ("Hugo Álvarez", "hugo.alvarez"),
];

/// Somebody who was never there.
#[derive(Clone, Debug)]
pub struct Person {
    /// Without the corporation.
    pub userid: String,
    pub(super) name: String,
    pub(super) department: &'static str,
    /// One of [`SITES`].
    pub site: usize,
    /// They left so many days ago.
    pub(super) left_days: Option<i64>,
    is_never: bool,
}

impl Person {
    /// `corp/userid`.
    #[must_use]
    pub fn account(&self) -> String {
        format!("{CORP}/{}", self.userid)
    }
}

/// So many of them; one in twelve has left.
pub(super) fn invent(count: usize, hostile: &str) -> Vec<Person> {
    let mut people = Vec::with_capacity(count);
    for number in 0..count {
        let english = number % 7 == 6;
        let (name, userid) = if english {
            let (name, userid) = ENGLISH[number / 7 % ENGLISH.len()];
            (name.to_owned(), format!("{userid}{}", suffix(number / 7 / ENGLISH.len())))
        } else {
            let (family, given) = (FAMILIES[number % FAMILIES.len()], GIVEN[number * 5 % GIVEN.len()]);
            let again = number / (FAMILIES.len() * GIVEN.len() / 2);
            (format!("{}{}", family.0, given.0), format!("{}.{}{}", family.1, given.1, suffix(again)))
        };
        let site = if english { 4 } else { [0, 0, 1, 2, 3, 0, 1][number % 7] };
        people.push(Person {
            userid,
            name: if number % 9 == 0 { format!("{name}{hostile}") } else { name },
            department: if english { DEPARTMENTS[3] } else { DEPARTMENTS[number % 3] },
            site,
            left_days: (number % 12 == 5).then_some(4 + number as i64 % 9),
            is_never: false,
        });
    }
    for (name, userid) in [("工会信箱", "works.council"), ("举报热线", "speak.up")] {
        let (name, userid) = (name.to_owned(), userid.to_owned());
        people.push(Person { userid, name, department: DEPARTMENTS[2], site: 0, left_days: None, is_never: true });
    }
    let mut seen = std::collections::BTreeSet::new();
    people.retain(|person| seen.insert(person.userid.clone()));
    people
}

fn suffix(again: usize) -> String {
    if again == 0 { String::new() } else { again.to_string() }
}

/// Two rosters: the first knows nobody who left, the second does, and has joiners.
pub(super) fn rosters(month: &mut Month) -> anyhow::Result<()> {
    let (key, _) = SoftwareKey::generate()?;
    let mut head: Option<Head> = None;
    let (tenant, now_ms) = (month.tenant.clone(), month.now_ms);
    for (version, at_ms) in [(1_usize, now_ms - 34 * DAY_MS), (2, now_ms - 3 * DAY_MS)] {
        let mut random = Random::new(version as u64);
        let known = month.people.iter().enumerate().filter(|(number, _)| version == 2 || number % 10 != 3);
        let rows = known.map(|(number, person)| row(number, person, version == 2, now_ms, &mut random)).collect();
        let next = Signers::pinned(key.public().id());
        let making = Making { tenant: &tenant, previous: head.as_ref(), next: &next, at_ms };
        let (header, records) = roster::make(rows, &making)?;
        let signed = roster::sign(&header, &[&key])?;
        head = Some(Head { version: version as u64, digest: Kind::Roster.digest(&signed.header) });
        let brought = Brought::check(Roster { header: Some(signed), records }, &tenant)?;
        let act = move |log: &mut crate::offline::Log| {
            log.work(|log| publish(log, &brought, &Act { by: "hr", reason: "monthly list", at_ms })).map(drop)
        };
        month.then(at_ms, Step::Write(Box::new(act)));
    }
    Ok(())
}

fn row(
    number: usize,
    person: &Person,
    knows_leavers: bool,
    now_ms: i64,
    random: &mut Random,
) -> (RosterRow, RosterDetails) {
    let left = person.left_days.filter(|_| knows_leavers);
    let period = RosterPeriod {
        from_ms: now_ms - (60 + number as i64 * 13 % 900) * DAY_MS,
        until_ms: left.map(|days| now_ms - days * DAY_MS).unwrap_or_default(),
        labels: vec![person.department.into(), SITES[person.site].into(), "sales".into()],
        status: if left.is_some() { "离职".into() } else { "在职".into() },
        department: person.department.into(),
        site: SITES[person.site].into(),
    };
    let row = RosterRow {
        corp: CORP.into(),
        userid: person.userid.clone(),
        periods: vec![period],
        never: person.is_never,
        ..RosterRow::default()
    };
    let salt = bytes::<16>(random).to_vec();
    (row, RosterDetails { salt, employee: format!("E{:05}", 10_000 + number * 7), name: person.name.clone() })
}
