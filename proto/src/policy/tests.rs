use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::keys::SoftwareKey;

fn key() -> SoftwareKey {
    SoftwareKey::generate().unwrap().0
}

fn signers(keys: &[&SoftwareKey], needed: usize) -> Signers {
    let ids: BTreeSet<KeyId> = keys.iter().map(|key| key.public().id()).collect();
    Signers::new(ids, needed).unwrap()
}

fn header(version: u64, previous: Option<&Policy>, next: &Signers) -> PolicyHeader {
    PolicyHeader {
        tenant: "acme".into(),
        group: "sales".into(),
        version,
        previous: previous.map(|policy| policy.header.digest.to_vec()).unwrap_or_default(),
        keys: Some(next.write()),
        ..PolicyHeader::default()
    }
}

fn policy(said: PolicyHeader, keys: &[&SoftwareKey]) -> Policy {
    let files = [
        (PolicyRole::Pack, "a.yaml".to_owned(), b"pack: a".to_vec()),
        (PolicyRole::Named, "words.txt".to_owned(), b"one\ntwo\n".to_vec()),
    ];
    let mut policy = Policy::make(said, &files).unwrap();
    for key in keys {
        policy.sign(*key).unwrap();
    }
    policy
}

fn anchor(key: &SoftwareKey) -> Anchor {
    Anchor { tenant: "acme".into(), group: "sales".into(), signers: Signers::pinned(key.public().id()), highest: None }
}

fn at(anchor: &Anchor, policy: &Policy) -> Anchor {
    Anchor { signers: policy.header.signers.clone(), highest: Some(Highest::of(&policy.header)), ..anchor.clone() }
}

#[test]
fn a_policy_survives_its_file_and_no_change_of_it() {
    let key = key();
    let made = policy(header(1, None, &signers(&[&key], 1)), &[&key]);
    let file = made.encode();
    assert!(Policy::is_meant(&file));
    let read = Policy::read(&file).unwrap();
    assert_eq!(read, made);
    assert_eq!(read.files().map(|(_, bytes)| bytes).collect::<Vec<_>>(), [&b"pack: a"[..], b"one\ntwo\n"]);
    let anchor = anchor(&key);
    assert_eq!(anchor.accept(&read.header), Ok(()));
    for at in 0..file.len() {
        let mut changed = file.clone();
        changed[at] ^= 1;
        // A signature in another spelling may still hold; then the header is still the one that was signed.
        if let Ok(read) = Policy::read(&changed)
            && anchor.accept(&read.header).is_ok()
        {
            assert_eq!(read.header.digest, made.header.digest, "byte {at}");
            assert_eq!(read.contents(), made.contents(), "byte {at}");
        }
    }
}

#[test]
fn only_the_keys_before_may_sign_and_versions_only_rise() {
    let (own, other) = (key(), key());
    let keys = signers(&[&own], 1);
    let first = policy(header(1, None, &keys), &[&own]);
    let foreign = policy(header(1, None, &signers(&[&other], 1)), &[&other]);
    let start = anchor(&own);
    assert_eq!(start.accept(&foreign.header), Err(PolicyError::Unsigned));
    assert_eq!(start.accept(&policy(header(1, None, &keys), &[]).header), Err(PolicyError::Unsigned));
    let second = policy(header(2, Some(&first), &keys), &[&own]);
    let after_second = at(&start, &second);
    assert_eq!(after_second.accept(&second.header), Ok(()));
    assert_eq!(after_second.accept(&first.header), Err(PolicyError::Older { version: 1, known: 2 }));
    let twin = policy(PolicyHeader { note: "another".into(), ..header(2, Some(&first), &keys) }, &[&own]);
    assert_eq!(after_second.accept(&twin.header), Err(PolicyError::Another(2)));
    let broken = policy(header(3, Some(&first), &keys), &[&own]);
    assert_eq!(after_second.accept(&broken.header), Err(PolicyError::Broken));
    // Somebody who was away has not seen what came between.
    assert_eq!(at(&start, &first).accept(&broken.header), Ok(()));
    for (said, error) in [
        (PolicyHeader { tenant: "other".into(), ..header(1, None, &keys) }, PolicyError::Tenant("other".into())),
        (PolicyHeader { group: "it".into(), ..header(1, None, &keys) }, PolicyError::Group("it".into())),
    ] {
        assert_eq!(start.accept(&policy(said, &[&own]).header), Err(error));
    }
}

#[test]
fn the_one_way_back_is_the_fallback_that_the_highest_names() {
    let own = key();
    let keys = signers(&[&own], 1);
    let first = policy(header(1, None, &keys), &[&own]);
    let second = policy(header(2, Some(&first), &keys), &[&own]);
    let fallback = first.header.digest.to_vec();
    let third = policy(PolicyHeader { fallback, ..header(3, Some(&second), &keys) }, &[&own]);
    let anchor = at(&anchor(&own), &third);
    assert_eq!(anchor.accept(&first.header), Ok(()));
    assert_eq!(anchor.accept(&second.header), Err(PolicyError::Older { version: 2, known: 3 }));
}

#[test]
fn two_people_sign_where_two_are_needed() {
    let (one, two) = (key(), key());
    let both = signers(&[&one, &two], 2);
    let alone = policy(header(1, None, &both), &[&one]);
    let start = anchor(&one);
    assert_eq!(start.accept(&alone.header), Err(PolicyError::OwnKeys));
    assert_eq!(alone.header.signatures_missing(), 1);
    let together = policy(header(1, None, &both), &[&one, &two]);
    assert_eq!(start.accept(&together.header), Ok(()));
    let next = |keys: &[&SoftwareKey]| policy(header(2, Some(&together), &signers(&[&one], 1)), keys);
    assert_eq!(at(&start, &together).accept(&next(&[&one]).header), Err(PolicyError::Unsigned));
    assert_eq!(at(&start, &together).accept(&next(&[&one, &two]).header), Ok(()));
}

#[test]
fn new_keys_are_followed_from_one_policy_to_the_next() {
    let (one, two, three) = (key(), key(), key());
    let first = policy(header(1, None, &signers(&[&one], 1)), &[&one]);
    let second = policy(header(2, Some(&first), &signers(&[&two], 1)), &[&one, &two]);
    let third = policy(header(3, Some(&second), &signers(&[&three], 1)), &[&two, &three]);
    let mut anchor = anchor(&one);
    assert_eq!(anchor.accept(&third.header), Err(PolicyError::Unsigned));
    anchor.follow(&[second.header.signed()]).unwrap();
    assert_eq!(anchor.accept(&third.header), Ok(()));
    let mut misled = at(&anchor, &first);
    misled.signers = signers(&[&one], 1);
    let forged = policy(header(2, Some(&first), &signers(&[&three], 1)), &[&three]);
    misled.follow(&[forged.header.signed()]).unwrap();
    assert_eq!(misled.signers, signers(&[&one], 1));
    // Whoever enrols later is pinned to a later key, and is shown the whole way all the same.
    let mut late = Anchor { signers: signers(&[&two], 1), highest: None, ..anchor.clone() };
    late.follow(&[first.header.signed(), second.header.signed()]).unwrap();
    assert_eq!(late.accept(&third.header), Ok(()));
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), meant in any::<bool>()) {
        let file = if meant { [MAGIC, &bytes].concat() } else { bytes };
        let _ = Policy::read(&file);
    }
}
