//! People who operate a collector: who they are, what they may do, and how they come in.
//!
//! Everything that becomes of an operator is an entry of the log; what they stand at is a fold over these
//! (`log_store::operators`), read anew for every request, so that what is taken from somebody is gone at once.

pub mod deed;
pub mod first;
pub mod may;
pub mod own;
pub mod password;
pub mod secret;
pub mod session;
pub mod throttle;
pub mod totp;

use rusqlite::Connection;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use watchpost_proto::v1::{OperatorGrant, OperatorRole, OperatorScope, OwnAccounts};
use watchpost_proto::{Digest, Message as _};

use crate::log_store::{self, OperatorFacts, StoreError, aside};

pub use deed::Deed;
pub use may::{Act, Concerning, may};

/// What somebody is here for. Nobody is two things: whoever has two hats has two logins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Looks after operators, devices and settings; sees no alerts.
    Administrator,
    /// Sees how rules do, without persons and excerpts.
    PolicyAuthor,
    /// Works the alerts of some departments at some sites.
    Supervisor,
    /// Works all alerts.
    Reviewer,
    /// Sees what operators did, alerts without excerpts, and a sample of those that were closed.
    Auditor,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Administrator, Self::PolicyAuthor, Self::Supervisor, Self::Reviewer, Self::Auditor];

    /// The word in commands and JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Administrator => "administrator",
            Self::PolicyAuthor => "policy-author",
            Self::Supervisor => "supervisor",
            Self::Reviewer => "reviewer",
            Self::Auditor => "auditor",
        }
    }

    /// Whether nobody of this role comes in without a one-time code.
    #[must_use]
    pub fn needs_totp(self) -> bool {
        self == Self::Administrator
    }

    fn of(role: OperatorRole) -> Option<Self> {
        match role {
            OperatorRole::Administrator => Some(Self::Administrator),
            OperatorRole::PolicyAuthor => Some(Self::PolicyAuthor),
            OperatorRole::Supervisor => Some(Self::Supervisor),
            OperatorRole::Reviewer => Some(Self::Reviewer),
            OperatorRole::Auditor => Some(Self::Auditor),
            OperatorRole::Unspecified => None,
        }
    }

    fn number(self) -> OperatorRole {
        match self {
            Self::Administrator => OperatorRole::Administrator,
            Self::PolicyAuthor => OperatorRole::PolicyAuthor,
            Self::Supervisor => OperatorRole::Supervisor,
            Self::Reviewer => OperatorRole::Reviewer,
            Self::Auditor => OperatorRole::Auditor,
        }
    }
}

/// Persons of one department at one site.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Scope {
    /// As in the roster; empty stands for every one.
    #[serde(default)]
    pub department: String,
    /// As in the roster; empty stands for every one.
    #[serde(default)]
    pub site: String,
}

/// How much of what was closed an auditor reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sample {
    /// Alerts of a hundred; which ones nobody chooses.
    pub per_cent: u32,
    /// Until when, milliseconds since 1970.
    pub until_ms: i64,
}

/// What somebody may do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// What they are here for.
    pub role: Role,
    /// Of a supervisor: whose alerts they see.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<Scope>,
    /// May take lists out.
    #[serde(default)]
    pub export: bool,
    /// Their own accounts, `corp/userid`: they never see alerts about these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accounts: Vec<String>,
    /// Of an auditor: the sample of closed alerts they may read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample: Option<Sample>,
}

impl Grant {
    /// A role with nothing beside it.
    #[must_use]
    pub fn of(role: Role) -> Self {
        Self { role, scopes: Vec::new(), export: false, accounts: Vec::new(), sample: None }
    }

    fn encode(&self, own_accounts: Option<Digest>, sample_seed: Vec<u8>) -> OperatorGrant {
        let scopes = self.scopes.iter();
        OperatorGrant {
            role: self.role.number().into(),
            scopes: scopes
                .map(|scope| OperatorScope { department: scope.department.clone(), site: scope.site.clone() })
                .collect(),
            may_export: self.export,
            own_accounts: own_accounts.map(Digest::to_vec).unwrap_or_default(),
            sample_per_cent: self.sample.map_or(0, |sample| sample.per_cent),
            sample_until_ms: self.sample.map_or(0, |sample| sample.until_ms),
            sample_seed,
        }
    }

    fn decode(grant: &OperatorGrant, accounts: Vec<String>) -> Option<Self> {
        Some(Self {
            role: Role::of(grant.role())?,
            scopes: grant
                .scopes
                .iter()
                .map(|scope| Scope { department: scope.department.clone(), site: scope.site.clone() })
                .collect(),
            export: grant.may_export,
            accounts,
            sample: (grant.sample_per_cent > 0)
                .then_some(Sample { per_cent: grant.sample_per_cent, until_ms: grant.sample_until_ms }),
        })
    }
}

/// An operator as they stand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Operator {
    /// Login name.
    pub operator: String,
    /// `invited` (has no password yet), `active` or `disabled`.
    pub state: &'static str,
    /// What they may do.
    #[serde(flatten)]
    pub grant: Grant,
    /// Comes in with a one-time code beside the password.
    pub totp: bool,
    /// When they were invited, milliseconds since 1970.
    pub made_ms: i64,
    /// When they came in last.
    pub signed_in_ms: Option<i64>,
    /// Their own accounts were erased: nobody can tell which alerts are about them, so they see none.
    #[serde(skip)]
    pub is_unbound: bool,
    /// Draws an auditor's sample; empty for a grant of before there were seeds.
    #[serde(skip)]
    pub sample_seed: Vec<u8>,
}

impl Operator {
    /// Whether nothing keeps them out but their password.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.state == "active"
    }
}

/// The operator of this name.
///
/// # Errors
/// The log.
pub fn find(db: &Connection, name: &str) -> Result<Option<Operator>, StoreError> {
    log_store::operator_facts(db, name)?.map(|facts| operator_of(db, facts)).transpose()
}

/// All operators, by name.
///
/// # Errors
/// The log.
pub fn list(db: &Connection) -> Result<Vec<Operator>, StoreError> {
    log_store::operator_names(db)?.iter().filter_map(|name| find(db, name).transpose()).collect()
}

/// What the log says of an operator, in words.
///
/// # Errors
/// The log.
pub fn operator_of(db: &Connection, facts: OperatorFacts) -> Result<Operator, StoreError> {
    let kept = Digest::from_slice(&facts.grant.own_accounts).map(|digest| aside::read(db, &digest)).transpose()?;
    let accounts = match &kept {
        Some(Some(bytes)) => OwnAccounts::decode(&bytes[..]).unwrap_or_default().accounts,
        _ => Vec::new(),
    };
    let unknown = || StoreError::Damaged(format!("operator {} has no role this version knows", facts.name));
    Ok(Operator {
        state: match (facts.disabled, facts.password) {
            (true, _) => "disabled",
            (false, None) => "invited",
            (false, Some(_)) => "active",
        },
        grant: Grant::decode(&facts.grant, accounts).ok_or_else(unknown)?,
        operator: facts.name,
        totp: facts.totp.is_some(),
        made_ms: facts.made_ms,
        signed_in_ms: (facts.signed_in_ms > 0).then_some(facts.signed_in_ms),
        is_unbound: matches!(kept, Some(None)),
        sample_seed: facts.grant.sample_seed,
    })
}
