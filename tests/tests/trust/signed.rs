//! Those who sign: one key for policies, one for rosters, and a drawer with everything that was ever signed.

use watchpost_collector::people::publish::Brought;
use watchpost_proto::document::Signers;
use watchpost_proto::keys::{KeyId, SigningKey, SoftwareKey};
use watchpost_proto::policy::Policy;
use watchpost_proto::roster::{self, Head, Making};
use watchpost_proto::v1::{PolicyHeader, PolicyRole, Roster, RosterDetails, RosterPeriod, RosterRow};

use crate::{GROUP, TENANT};

pub(crate) struct Drawer {
    policy_key: SoftwareKey,
    roster_key: SoftwareKey,
    pub(crate) policies: Vec<Policy>,
    pub(crate) rosters: Vec<Brought>,
}

fn key() -> SoftwareKey {
    SoftwareKey::generate().unwrap().0
}

fn pack(word: usize) -> String {
    format!(
        "pack: demo\nversion: 1\ntitle: {{ zh: 例, en: Example }}\nrules:\n  - {{ id: demo.word, title: {{ zh: 例, en: Example }}, \
         category: demo, level: high, detection: {{ word: {{ words: [第{word}号文件] }}, condition: word }} }}\n"
    )
}

impl Drawer {
    pub(crate) fn new() -> Self {
        Self { policy_key: key(), roster_key: key(), policies: Vec::new(), rosters: Vec::new() }
    }

    /// Who signs the first policy and the first roster.
    pub(crate) fn pins(&self) -> (KeyId, KeyId) {
        (self.policy_key.public().id(), self.roster_key.public().id())
    }

    /// Signs a policy to follow the last one. `content` says what is in it; one that has been signed before comes back.
    pub(crate) fn sign_policy(&mut self, content: usize, names_fallback: bool) {
        let before = self.policies.last().map(|policy| &policy.header);
        let digest = before.map(|header| header.digest.to_vec()).unwrap_or_default();
        let said = PolicyHeader {
            tenant: TENANT.into(),
            group: GROUP.into(),
            version: self.policies.len() as u64 + 1,
            fallback: if names_fallback { digest.clone() } else { Vec::new() },
            previous: digest,
            keys: Some(Signers::pinned(self.policy_key.public().id()).write()),
            ..PolicyHeader::default()
        };
        let files = [(PolicyRole::Pack, "1/a.yaml".to_owned(), pack(content).into_bytes())];
        let mut policy = Policy::make(said, &files).unwrap();
        policy.sign(&self.policy_key).unwrap();
        self.policies.push(policy);
    }

    /// Signs a roster of so many accounts to follow the last one.
    pub(crate) fn sign_roster(&mut self, accounts: usize) {
        let rows = (0..accounts).map(|number| {
            let row = RosterRow {
                corp: "ww1".into(),
                userid: format!("user{number}"),
                periods: vec![RosterPeriod::default()],
                never: number == 0,
                ..RosterRow::default()
            };
            (row, RosterDetails::default())
        });
        let next = Signers::pinned(self.roster_key.public().id());
        let before = self.rosters.last().map(|before| &before.header);
        let head = before.map(|header| Head { version: header.header.version, digest: header.digest });
        let making = Making { tenant: TENANT, previous: head.as_ref(), next: &next, at_ms: 1 };
        let (header, records) = roster::make(rows.collect(), &making).unwrap();
        let signed = roster::sign(&header, &[&self.roster_key as &dyn SigningKey]).unwrap();
        self.rosters.push(Brought::check(Roster { header: Some(signed), records }, TENANT).unwrap());
    }
}
