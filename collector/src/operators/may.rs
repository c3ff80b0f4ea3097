//! Who may do what: all of it in one place, pure.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use watchpost_proto::digest::hash;

use super::{Operator, Role, Scope};

/// Something an operator may do or not. An API token is given some of them, by these names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Act {
    /// See and change what is one's own: who one is, password, one-time codes, tokens.
    OwnAccount,
    /// See operators.
    SeeOperators,
    /// Invite, grant, disable and reset operators.
    ChangeOperators,
    /// See alerts, without what was written.
    SeeAlerts,
    /// Keep searches of one's own.
    KeepSearches,
    /// See the findings of an alert, with excerpts.
    SeeExcerpts,
    /// Take, assign, close and reopen alerts, and write notes.
    WorkAlerts,
    /// See cases and suppressions.
    SeeCases,
    /// Suppress what opens alerts.
    Suppress,
    /// See how rules do, without persons.
    SeeRules,
    /// See what operators did.
    SeeAudit,
    /// See devices and how they are.
    SeeDevices,
    /// See the head of the log.
    SeeLog,
    /// See settings.
    SeeSettings,
    /// Change settings.
    ChangeSettings,
    /// Take lists out, as far as they are seen.
    Export,
    /// Keep the words of lists: add, change, approve.
    KeepWords,
    /// Publish policies that were signed.
    PublishPolicies,
    /// See people, their accounts and how they stand.
    SeePeople,
    /// Let devices in and shut them out.
    ChangeDevices,
}

impl Act {
    /// All of them.
    pub const ALL: [Self; 20] = [
        Self::OwnAccount,
        Self::SeeOperators,
        Self::ChangeOperators,
        Self::SeeAlerts,
        Self::KeepSearches,
        Self::SeeExcerpts,
        Self::WorkAlerts,
        Self::SeeCases,
        Self::Suppress,
        Self::SeeRules,
        Self::SeeAudit,
        Self::SeeDevices,
        Self::SeeLog,
        Self::SeeSettings,
        Self::ChangeSettings,
        Self::Export,
        Self::KeepWords,
        Self::PublishPolicies,
        Self::SeePeople,
        Self::ChangeDevices,
    ];

    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OwnAccount => "own-account",
            Self::SeeOperators => "see-operators",
            Self::ChangeOperators => "change-operators",
            Self::SeeAlerts => "see-alerts",
            Self::KeepSearches => "keep-searches",
            Self::SeeExcerpts => "see-excerpts",
            Self::WorkAlerts => "work-alerts",
            Self::SeeCases => "see-cases",
            Self::Suppress => "suppress",
            Self::SeeRules => "see-rules",
            Self::SeeAudit => "see-audit",
            Self::SeeDevices => "see-devices",
            Self::SeeLog => "see-log",
            Self::SeeSettings => "see-settings",
            Self::ChangeSettings => "change-settings",
            Self::Export => "export",
            Self::KeepWords => "keep-words",
            Self::PublishPolicies => "publish-policies",
            Self::SeePeople => "see-people",
            Self::ChangeDevices => "change-devices",
        }
    }

    /// The act of this name.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|act| act.as_str() == word)
    }

    /// Whether a token may be given it. Who comes in by token changes nobody's way in, and nothing of what is one's own.
    #[must_use]
    pub fn is_for_tokens(self) -> bool {
        let by_people_alone = [
            Self::OwnAccount,
            Self::ChangeOperators,
            Self::KeepSearches,
            Self::KeepWords,
            Self::PublishPolicies,
            Self::ChangeDevices,
        ];
        !by_people_alone.contains(&self)
    }
}

/// An alert, as far as it decides who may see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Concerning<'a> {
    /// Its id.
    pub alert: &'a str,
    /// The account concerned.
    pub person: &'a str,
    /// The department of that person when it happened; empty where nobody knows.
    pub department: &'a str,
    /// Their site.
    pub site: &'a str,
    /// Nobody has to deal with it any more.
    pub is_closed: bool,
}

/// Whether an operator may do something: with the alert `of`, or at all where there is none.
#[must_use]
pub fn may(who: &Operator, act: Act, of: Option<&Concerning<'_>>, now_ms: i64) -> bool {
    let has_codes = who.totp || !who.grant.role.needs_totp() || act == Act::OwnAccount;
    who.is_active() && has_codes && role_may(who, act, now_ms) && of.is_none_or(|alert| may_with(who, act, alert))
}

/// Whether somebody of this role ever may.
fn role_may(who: &Operator, act: Act, now_ms: i64) -> bool {
    use Role::{Administrator, Auditor, PolicyAuthor, Reviewer, Supervisor};
    let role = who.grant.role;
    match act {
        Act::OwnAccount => true,
        Act::SeeOperators => matches!(role, Administrator | Auditor),
        Act::ChangeOperators | Act::ChangeSettings | Act::ChangeDevices => role == Administrator,
        Act::KeepWords => matches!(role, PolicyAuthor | Reviewer),
        Act::PublishPolicies => role == PolicyAuthor,
        Act::SeePeople => matches!(role, Administrator | Auditor | Reviewer),
        Act::SeeSettings => matches!(role, Administrator | Auditor),
        Act::SeeDevices | Act::SeeLog => matches!(role, Administrator | Auditor | Reviewer),
        Act::SeeAudit => matches!(role, Administrator | Auditor),
        Act::SeeRules => matches!(role, PolicyAuthor | Reviewer),
        Act::SeeAlerts | Act::KeepSearches => matches!(role, Supervisor | Reviewer | Auditor),
        Act::WorkAlerts => matches!(role, Supervisor | Reviewer),
        Act::SeeCases => matches!(role, Supervisor | Reviewer | Auditor),
        Act::Suppress => role == Reviewer,
        Act::SeeExcerpts => {
            matches!(role, Supervisor | Reviewer)
                || role == Auditor && who.grant.sample.is_some_and(|sample| now_ms < sample.until_ms)
        }
        Act::Export => who.grant.export && matches!(role, Supervisor | Reviewer | Auditor),
    }
}

fn may_with(who: &Operator, act: Act, alert: &Concerning<'_>) -> bool {
    let is_own = who.is_unbound || who.grant.accounts.iter().any(|own| own.eq_ignore_ascii_case(alert.person));
    let in_scope = match who.grant.role {
        Role::Supervisor => who.grant.scopes.iter().any(|scope| covers(scope, alert)),
        _ => true,
    };
    let in_sample = act != Act::SeeExcerpts || who.grant.role != Role::Auditor || is_sampled(who, alert);
    !is_own && in_scope && in_sample
}

fn covers(scope: &Scope, alert: &Concerning<'_>) -> bool {
    let fits = |of_scope: &str, of_alert: &str| of_scope.is_empty() || of_scope == of_alert;
    fits(&scope.department, alert.department) && fits(&scope.site, alert.site)
}

/// Whether a closed alert is in an auditor's sample: the ids decide, and a seed that nobody chose.
fn is_sampled(who: &Operator, alert: &Concerning<'_>) -> bool {
    let Some(sample) = who.grant.sample else { return false };
    let until = sample.until_ms.to_be_bytes();
    let seed = if who.sample_seed.is_empty() { &until[..] } else { &who.sample_seed };
    let drawn = hash("watchpost/sample", &[who.operator.as_bytes(), seed, alert.alert.to_ascii_lowercase().as_bytes()]);
    let number = drawn.0.iter().take(4).fold(0_u32, |number, byte| (number << 8) | u32::from(*byte));
    alert.is_closed && number % 100 < sample.per_cent
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operators::{Grant, Sample};

    const NOW: i64 = 1_000;

    fn operator(grant: Grant) -> Operator {
        Operator {
            operator: "li".into(),
            state: "active",
            grant,
            totp: false,
            made_ms: 0,
            signed_in_ms: None,
            is_unbound: false,
            sample_seed: vec![7; 32],
        }
    }

    fn alert<'a>(department: &'a str, site: &'a str) -> Concerning<'a> {
        Concerning { alert: "ab", person: "ww1/zhang", department, site, is_closed: false }
    }

    #[test]
    fn a_supervisor_sees_department_and_site_together() {
        let scope = |department: &str, site: &str| Scope { department: department.into(), site: site.into() };
        let supervisor = |scopes: Vec<Scope>| operator(Grant { scopes, ..Grant::of(Role::Supervisor) });
        let cases = [
            (vec![scope("sales", "shanghai")], "sales", "shanghai", true),
            (vec![scope("sales", "shanghai")], "sales", "beijing", false),
            (vec![scope("sales", "shanghai")], "service", "shanghai", false),
            (vec![scope("sales", "")], "sales", "beijing", true),
            (vec![scope("", "shanghai")], "service", "shanghai", true),
            (vec![scope("sales", "shanghai"), scope("service", "beijing")], "service", "beijing", true),
            (vec![scope("sales", "shanghai"), scope("service", "beijing")], "sales", "beijing", false),
            (vec![scope("sales", "shanghai")], "", "", false),
            (vec![scope("", "")], "", "", true),
            (vec![], "", "", false),
        ];
        for (scopes, department, site, expected) in cases {
            let who = supervisor(scopes.clone());
            for act in [Act::SeeAlerts, Act::SeeExcerpts, Act::WorkAlerts] {
                let may = may(&who, act, Some(&alert(department, site)), NOW);
                assert_eq!(may, expected, "{scopes:?} {department}/{site} {act:?}");
            }
        }
    }

    #[test]
    fn nobody_sees_an_alert_about_themselves() {
        for role in Role::ALL {
            let scopes = vec![Scope { department: String::new(), site: String::new() }];
            let accounts = vec!["ww1/Zhang".into()];
            let mut who = operator(Grant { scopes, accounts, ..Grant::of(role) });
            for act in [Act::SeeAlerts, Act::SeeExcerpts, Act::WorkAlerts] {
                assert!(!may(&who, act, Some(&alert("sales", "shanghai")), NOW), "{role:?}");
            }
            who.grant.accounts = vec!["ww1/li".into()];
            assert_eq!(
                may(&who, Act::SeeAlerts, Some(&alert("sales", "shanghai")), NOW),
                may(&who, Act::SeeAlerts, None, NOW)
            );
            who.is_unbound = true;
            assert!(!may(&who, Act::SeeAlerts, Some(&alert("sales", "shanghai")), NOW), "erased accounts");
        }
    }

    #[test]
    fn an_auditor_reads_a_sample_of_what_was_closed_until_it_ends() {
        let sample = Sample { per_cent: 20, until_ms: NOW + 1 };
        let mut who = operator(Grant { sample: Some(sample), ..Grant::of(Role::Auditor) });
        let ids: Vec<String> = (0..1000_u32).map(|id| format!("{id:064x}")).collect();
        let closed = |id| Concerning { alert: id, is_closed: true, ..alert("sales", "shanghai") };
        let read = |who: &Operator, now_ms| {
            ids.iter().filter(|id| may(who, Act::SeeExcerpts, Some(&closed(id)), now_ms)).count()
        };
        assert!((130..270).contains(&read(&who, NOW)), "{}", read(&who, NOW));
        assert_eq!(read(&who, NOW + 1), 0, "it has ended");
        let open = ids
            .iter()
            .filter(|id| may(&who, Act::SeeExcerpts, Some(&Concerning { is_closed: false, ..closed(id) }), NOW));
        assert_eq!(open.count(), 0, "nothing that is open");
        // Whoever chooses when it ends does not choose what is in it.
        let drawn = |who: &Operator| -> Vec<bool> {
            ids.iter().map(|id| may(who, Act::SeeExcerpts, Some(&closed(id)), NOW)).collect()
        };
        let before = drawn(&who);
        who.grant.sample = Some(Sample { until_ms: NOW + 999, ..sample });
        assert_eq!(drawn(&who), before);
        let other = Operator { sample_seed: vec![8; 32], ..who.clone() };
        assert_ne!(drawn(&other), before);
        who.grant.sample = None;
        assert_eq!(read(&who, NOW), 0);
        assert!(may(&who, Act::SeeAlerts, Some(&closed(&ids[0])), NOW), "alerts themselves, all of them");
    }

    #[test]
    fn who_is_disabled_or_only_invited_may_nothing() {
        for state in ["disabled", "invited"] {
            for role in Role::ALL {
                let who = Operator { state, ..operator(Grant::of(role)) };
                assert!(Act::ALL.into_iter().all(|act| !may(&who, act, None, NOW)), "{state} {role:?}");
            }
        }
    }

    #[test]
    fn an_administrator_without_one_time_codes_sets_them_up_first() {
        let mut who = operator(Grant::of(Role::Administrator));
        assert!(Act::ALL.into_iter().filter(|act| may(&who, *act, None, NOW)).eq([Act::OwnAccount]));
        who.totp = true;
        assert!(may(&who, Act::ChangeOperators, None, NOW));
    }

    #[test]
    fn every_act_has_its_word() {
        for act in Act::ALL {
            assert_eq!(Act::parse(act.as_str()), Some(act));
            assert_eq!(serde_json::to_value(act).unwrap(), act.as_str());
        }
    }
}
