//! What rules are called: as the policies say that were published last, else as the packs say that ship.

use std::collections::HashMap;

use watchpost_policy::bundle::{self, Role};
use watchpost_policy::packs;
use watchpost_policy::rules::Pack;
use watchpost_proto::Digest;
use watchpost_proto::v1::PolicyRole;

use crate::log_store::{self, LogReader, StoreError};

/// Titles of rules, Chinese and English, by pack and rule.
#[derive(Debug, Default)]
pub(super) struct Titles {
    /// The policies they were read from.
    of: Vec<Digest>,
    titles: HashMap<(String, String), (String, String)>,
}

impl Titles {
    /// Reads them again where another policy was published.
    ///
    /// # Errors
    /// The log.
    pub(super) fn refresh(&mut self, log: &LogReader) -> Result<(), StoreError> {
        let of: Vec<Digest> = log_store::rollouts(log.connection())?.iter().map(|rollout| rollout.policy).collect();
        if !self.titles.is_empty() && self.of == of {
            return Ok(());
        }
        let mut titles = HashMap::new();
        let shipped = packs::ids().filter_map(packs::by_id).filter_map(Result::ok);
        shipped.for_each(|pack| take(&mut titles, &pack));
        for digest in &of {
            let Some(policy) = log_store::policy(log.connection(), digest)? else { continue };
            let files = policy.files().map(|(file, bytes)| (role_of(file.role()), file.name.as_str(), bytes));
            // It was checked before it was published; if it cannot be read all the same, its rules go by their ids.
            let (packs, _) = bundle::read(files).unwrap_or_default();
            packs.iter().for_each(|pack| take(&mut titles, pack));
        }
        (self.of, self.titles) = (of, titles);
        Ok(())
    }

    /// The title of a rule, where it is known.
    #[must_use]
    pub(super) fn of(&self, pack: &str, rule: &str) -> Option<(String, String)> {
        self.titles.get(&(pack.to_owned(), rule.to_owned())).cloned()
    }
}

fn take(titles: &mut HashMap<(String, String), (String, String)>, pack: &Pack) {
    for rule in &pack.rules {
        let title = (rule.title.zh.clone(), rule.title.en.clone());
        titles.insert((pack.id.to_string(), rule.id.to_string()), title);
    }
}

/// What a file of a policy is for.
pub(crate) fn role_of(role: PolicyRole) -> Role {
    match role {
        PolicyRole::Pack => Role::Pack,
        PolicyRole::Filter => Role::Filter,
        PolicyRole::Named | PolicyRole::Unspecified => Role::Named,
    }
}
