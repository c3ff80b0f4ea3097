//! Who can change what about a roster: nobody but those who sign it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

use std::collections::BTreeSet;

use proptest::prelude::*;
use watchpost_proto::Message as _;
use watchpost_proto::document::Signers;
use watchpost_proto::keys::{SigningKey as _, SoftwareKey};
use watchpost_proto::roster::{
    self, Head, Making, ReadHeader, RosterError, Tree, account_name, check_all, check_never, check_some, follow,
    leaf_of, read_header,
};
use watchpost_proto::v1::{RosterAnswer, RosterDetails, RosterPeriod, RosterRecord, RosterRow, SignedRosterHeader};

const TENANT: &str = "default";

fn key() -> SoftwareKey {
    SoftwareKey::generate().unwrap().0
}

fn row(userid: &str, never: bool) -> (RosterRow, RosterDetails) {
    let period = RosterPeriod { from_ms: 1_795_132_800_000, labels: vec!["销售".into()], ..RosterPeriod::default() };
    let row =
        RosterRow { corp: "ww1".into(), userid: userid.into(), periods: vec![period], never, details: Vec::new() };
    (row, RosterDetails { salt: vec![7; 16], employee: "0007".into(), name: "李娜".into() })
}

fn all(header: &ReadHeader, rows: &[Vec<u8>]) -> Result<Vec<RosterRow>, RosterError> {
    check_all(header, rows.iter().map(|row| &row[..]))
}

struct Made {
    header: ReadHeader,
    records: Vec<RosterRecord>,
    never: Vec<String>,
}

impl Made {
    fn rows(&self) -> Vec<Vec<u8>> {
        self.records.iter().map(|record| record.row.clone()).collect()
    }

    fn head(&self) -> Head {
        Head { version: self.header.header.version, digest: self.header.digest }
    }

    fn tree(&self) -> Tree {
        let leaf = |record: &RosterRecord| {
            let row = RosterRow::decode(&record.row[..]).unwrap();
            leaf_of(&account_name(&row.corp, &row.userid), &record.row)
        };
        Tree::of(self.records.iter().map(leaf).collect())
    }

    fn answers(&self, only: &[&str]) -> (Vec<String>, Vec<RosterAnswer>) {
        let tree = self.tree();
        let row = |place: usize| self.records.get(place).map(|record| &record.row[..]);
        (only.iter().map(|it| it.to_string()).collect(), only.iter().map(|account| tree.answer(account, row)).collect())
    }
}

fn made(people: &[(&str, bool)], previous: Option<&Head>, keys: &[&SoftwareKey], next: &Signers) -> Made {
    let rows = people.iter().map(|(userid, never)| row(userid, *never)).collect();
    let making = Making { tenant: TENANT, previous, next, at_ms: 1_795_132_800_000 };
    let (header, records) = roster::make(rows, &making).unwrap();
    let keys: Vec<&dyn watchpost_proto::keys::SigningKey> = keys.iter().map(|key| *key as _).collect();
    let signed = roster::sign(&header, &keys).unwrap();
    let never: BTreeSet<String> =
        people.iter().filter(|(_, never)| *never).map(|(userid, _)| account_name("ww1", userid)).collect();
    Made { header: read_header(&signed, TENANT).unwrap(), records, never: never.into_iter().collect() }
}

const PEOPLE: [(&str, bool); 5] =
    [("li.na", false), ("wang", false), ("gong.hui", true), ("zhao", false), ("lv.shi", true)];

#[test]
fn nothing_can_be_changed_added_or_left_out() {
    let key = key();
    let made = made(&PEOPLE, None, &[&key], &Signers::pinned(key.public().id()));
    assert_eq!(all(&made.header, &made.rows()).unwrap().len(), 5);
    for at in 0..5 {
        let (mut less, mut other, mut twice) = (made.rows(), made.rows(), made.rows());
        less.remove(at);
        assert_eq!(all(&made.header, &less), Err(RosterError::Rows));
        let mut row = RosterRow::decode(&other[at][..]).unwrap();
        row.never = !row.never;
        other[at] = row.encode_to_vec();
        assert_eq!(all(&made.header, &other), Err(RosterError::Rows));
        twice[at] = twice[(at + 1) % 5].clone();
        assert_eq!(all(&made.header, &twice), Err(RosterError::Rows));
    }
    assert_eq!(check_never(&made.header, &made.never), Ok(()));
    assert_eq!(check_never(&made.header, &made.never[1..]), Err(RosterError::Never));
    assert_eq!(check_never(&made.header, &[]), Err(RosterError::Never));
    let other = vec![made.never[0].clone(), "ww1/zzz".into()];
    assert_eq!(check_never(&made.header, &other), Err(RosterError::Never));
}

#[test]
fn one_row_comes_with_its_proof_and_so_does_its_absence() {
    let key = key();
    let made = made(&PEOPLE, None, &[&key], &Signers::pinned(key.public().id()));
    let (only, answers) = made.answers(&["ww1/li.na", "ww1/nobody", "ww1/wang"]);
    let rows = check_some(&made.header, &only, &answers).unwrap();
    assert_eq!(rows.iter().map(|row| row.userid.as_str()).collect::<Vec<_>>(), ["li.na", "wang"]);
    // Somebody who is there cannot be denied, whichever leaves are shown.
    for (denied, _) in PEOPLE {
        for other in 0..200 {
            let mut answer = made.tree().answer(&format!("ww1/nobody{other}"), |_| None);
            let account = vec![account_name("ww1", denied)];
            assert!(check_some(&made.header, &account, std::slice::from_ref(&answer)).is_err(), "{denied}");
            answer.before = None;
            assert!(check_some(&made.header, &account, &[answer]).is_err(), "{denied}");
        }
        assert!(check_some(&made.header, &[account_name("ww1", denied)], &[RosterAnswer::default()]).is_err());
    }
    let mut altered = answers.clone();
    let mut row = RosterRow::decode(&altered[0].row[..]).unwrap();
    row.periods.clear();
    altered[0].row = row.encode_to_vec();
    assert_eq!(check_some(&made.header, &only, &altered), Err(RosterError::Rows));
    altered = answers.clone();
    altered.swap(0, 2);
    assert_eq!(check_some(&made.header, &only, &altered), Err(RosterError::Rows), "another's row");
    assert_eq!(check_some(&made.header, &only, &answers[..2]), Err(RosterError::Rows));
}

#[test]
fn a_roster_of_nobody_has_nobody() {
    let key = key();
    let made = made(&[], None, &[&key], &Signers::pinned(key.public().id()));
    let (only, answers) = made.answers(&["ww1/li.na"]);
    assert_eq!(check_some(&made.header, &only, &answers), Ok(Vec::new()));
    assert_eq!(all(&made.header, &[]), Ok(Vec::new()));
}

#[test]
fn only_newer_rosters_of_those_who_may_sign_count() {
    let (one, two, stranger) = (key(), key(), key());
    let own = |key: &SoftwareKey| Signers::pinned(key.public().id());
    let first = made(&PEOPLE, None, &[&one], &own(&one));
    let second = made(&PEOPLE[1..], Some(&first.head()), &[&one], &own(&one));
    let other = made(&PEOPLE[2..], Some(&first.head()), &[&one], &own(&one));
    let signed = |made: &Made| made.header.signed.clone();
    let held = |made: &Made| Some(made.head());
    let follows = |held: Option<Head>, signers: &Signers, chain: &[SignedRosterHeader]| {
        follow(held.as_ref(), signers, chain, TENANT).map(|read| read.header.version)
    };
    assert_eq!(follows(None, &own(&one), &[signed(&first)]), Ok(1));
    assert_eq!(follows(held(&first), &own(&one), &[signed(&second)]), Ok(2));
    assert_eq!(follows(held(&second), &own(&one), &[signed(&first)]), Err(RosterError::Older { held: 2, shown: 1 }));
    assert_eq!(follows(held(&second), &own(&one), &[signed(&other)]), Err(RosterError::Forked(2)));
    assert_eq!(follows(None, &own(&stranger), &[signed(&first)]), Err(RosterError::Signatures));
    assert_eq!(follow(None, &own(&one), &[signed(&first)], "other"), Err(RosterError::Tenant));
    assert_eq!(follows(None, &own(&one), &[]), Err(RosterError::Malformed("no header")));
    // The keys change: both must sign.
    let handed_over = made(&PEOPLE, Some(&second.head()), &[&one, &two], &own(&two));
    let after = made(&PEOPLE, Some(&handed_over.head()), &[&two], &own(&two));
    assert_eq!(follows(held(&second), &own(&one), &[signed(&after)]), Err(RosterError::Signatures));
    assert_eq!(follows(held(&second), &own(&one), &[signed(&handed_over), signed(&after)]), Ok(4));
    assert_eq!(
        follows(None, &own(&two), &[signed(&first), signed(&handed_over), signed(&after)]),
        Ok(4),
        "a new device"
    );
    let making = Making { tenant: TENANT, previous: Some(&after.head()), next: &own(&two), at_ms: 0 };
    let (header, _) = roster::make(Vec::new(), &making).unwrap();
    let by_old = roster::sign(&header, &[&one]).unwrap();
    assert_eq!(read_header(&by_old, TENANT), Err(RosterError::Signatures), "nobody locks themselves out");
    let by_stranger = made(&PEOPLE, Some(&after.head()), &[&stranger], &own(&stranger));
    assert_eq!(follows(held(&after), &own(&two), &[signed(&by_stranger)]), Err(RosterError::Signatures));
    // A header between that nobody here may have signed leads nowhere.
    assert_eq!(follows(held(&after), &own(&two), &[signed(&by_stranger), signed(&after)]), Ok(4));
}

#[test]
fn an_account_has_one_row() {
    let key = key();
    let rows = vec![row("li.na", false), row("LI.NA", true)];
    let next = Signers::pinned(key.public().id());
    let making = Making { tenant: TENANT, previous: None, next: &next, at_ms: 0 };
    assert_eq!(roster::make(rows, &making), Err(RosterError::Malformed("an account has two rows")));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_account_is_there_or_provably_not(people in proptest::collection::btree_set("[a-f]{1,2}", 0..40), asked in "[a-f]{1,2}") {
        let key = key();
        let rows: Vec<(&str, bool)> = people.iter().map(|userid| (userid.as_str(), userid.len() == 1)).collect();
        let made = made(&rows, None, &[&key], &Signers::pinned(key.public().id()));
        let (only, answers) = made.answers(&[&format!("ww1/{asked}")]);
        let found = check_some(&made.header, &only, &answers).unwrap();
        prop_assert_eq!(found.len(), usize::from(people.contains(&asked)));
        prop_assert_eq!(all(&made.header, &made.rows()).unwrap().len(), people.len());
    }

    #[test]
    fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let signed = SignedRosterHeader::decode(&bytes[..]).unwrap_or_default();
        let _ = read_header(&signed, TENANT);
        let _ = read_header(&SignedRosterHeader { header: bytes.clone(), signatures: Vec::new() }, TENANT);
        let key = key();
        let made = made(&PEOPLE, None, &[&key], &Signers::pinned(key.public().id()));
        let _ = all(&made.header, std::slice::from_ref(&bytes));
        let answer = RosterAnswer::decode(&bytes[..]).unwrap_or_default();
        let _ = check_some(&made.header, &["ww1/x".to_owned()], &[answer]);
    }
}
