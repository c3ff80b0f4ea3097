//! Who takes part in a message.

use std::collections::BTreeSet;

use super::Engine;
use crate::accounts::Accounts;
use crate::explain::ScopePart;
use crate::message::{Account, Corp, Message, Side, is_event_type, userid_shaped};
use crate::rules::{Chat, Scope};

/// Who takes part in a message, worked out once.
pub(super) struct Parties<'a> {
    pub(super) from: Side,
    pub(super) to: Vec<Side>,
    pub(super) person: Option<Account>,
    pub(super) labels: &'a [String],
    /// Without an accounts file labels are not checked.
    pub(super) labelled: bool,
}

impl<'a> Parties<'a> {
    pub(super) fn of(engine: &'a Engine, corp: &Corp, message: &Message) -> Self {
        let accounts = engine.accounts.as_deref();
        let labels = |id: &str| accounts.and_then(|accounts| accounts.get(corp, id)?.managed_at(message.msgtime));
        let from = side(accounts, corp, &message.from);
        let mut to: Vec<Side> = message.to.iter().map(|id| side(accounts, corp, id)).collect();
        // Exports may lose the receivers; the archive's own msgid still says that outsiders take part.
        if to.is_empty()
            && from == Side::Employee
            && message.msgid.as_deref().is_some_and(|id| id.ends_with("_external"))
        {
            to.push(Side::External);
        }
        let receivers = || message.to.iter().map(String::as_str);
        // With a roster nobody is concerned whom it does not have managed at that moment.
        let own = |id: &&str| is_managed(accounts, corp, id, message.msgtime);
        let person = Some(message.from.as_str()).filter(own).or_else(|| receivers().find(own));
        Self {
            from,
            to,
            labels: person.and_then(labels).unwrap_or_default(),
            person: person.map(|id| Account::new(corp, id)),
            labelled: accounts.is_some(),
        }
    }

    /// Labels of the person concerned.
    pub(super) fn labels(&self) -> &[String] {
        self.labels
    }

    pub(super) fn within(&self, scope: &Scope, message: &Message) -> bool {
        ScopePart::ALL.into_iter().all(|part| self.meets(part, scope, message))
    }

    pub(super) fn meets(&self, part: ScopePart, scope: &Scope, message: &Message) -> bool {
        match part {
            ScopePart::From => scope.from.is_empty() || scope.from.contains(&self.from),
            ScopePart::To => scope.to.is_empty() || self.to.iter().any(|side| scope.to.contains(side)),
            ScopePart::Types => {
                scope.types.is_empty() && !is_event_type(&message.msgtype) || scope.types.contains(&message.msgtype)
            }
            ScopePart::Labels => {
                let listed = || self.labels().iter().any(|label| scope.labels.contains(label));
                !self.labelled || scope.labels.is_empty() || listed()
            }
            ScopePart::Chat => scope.chat.is_none_or(|chat| chat == Chat::of(message)),
        }
    }
}

/// Whether an account is managed at a moment: by the roster where there is one, else by its shape.
pub(super) fn is_managed(accounts: Option<&Accounts>, corp: &Corp, id: &str, at_ms: Option<i64>) -> bool {
    match accounts {
        Some(accounts) => accounts.get(corp, id).is_some_and(|entry| entry.managed_at(at_ms).is_some()),
        None => is_own(None, corp, id),
    }
}

/// An account of the roster is an employee, else the shape of the id decides.
pub(crate) fn side(accounts: Option<&Accounts>, corp: &Corp, id: &str) -> Side {
    match accounts.and_then(|accounts| accounts.get(corp, id)) {
        Some(_) => Side::Employee,
        None => Side::of_id(id),
    }
}

/// Whether an id may leave in clear as an account of the company: by the roster where there is one, else by its shape.
pub(crate) fn is_own(accounts: Option<&Accounts>, corp: &Corp, id: &str) -> bool {
    match accounts {
        Some(accounts) => accounts.get(corp, id).is_some(),
        None => Side::of_id(id) == Side::Employee && userid_shaped(id),
    }
}

impl Engine {
    /// Parties that look like the company's own and are on no list of accounts, each once; nobody where there is no list.
    pub fn unknown_own<'m>(&self, corp: &Corp, message: &'m Message) -> BTreeSet<&'m str> {
        let Some(accounts) = &self.accounts else { return BTreeSet::new() };
        let is_unknown = |id: &&str| is_own(None, corp, id) && accounts.get(corp, id).is_none();
        message.parties().filter(is_unknown).collect()
    }
}
