//! Who stands in for whoever asks while they are away.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::operators::Done;
use crate::admin::What;
use crate::alerts::delegate::{DELEGATE, Delegate};
use crate::operators::{self, Act, may};
use crate::settings;
use crate::web::ask::Ask;
use crate::web::problem::{Kind, Problem};
use crate::web::route::Nothing;

/// Who stands in, from when until when.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::web) struct StandIn {
    /// Login name.
    pub(in crate::web) to: String,
    /// From when, milliseconds since 1970.
    pub(in crate::web) from_ms: i64,
    /// Until when.
    pub(in crate::web) until_ms: i64,
}

/// What holds for whoever asks.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::web) struct StandIns {
    /// Who stands in for them; missing where nobody does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::web) own: Option<StandIn>,
    /// For whom they stand in now.
    pub(in crate::web) stands_in_for: Vec<String>,
}

pub(in crate::web) fn show(ask: &Ask<'_>, _: Nothing) -> Result<StandIns, Problem> {
    let (by, derived) = (ask.by()?, ask.derived()?);
    let own: Option<Delegate> = settings::read(derived, &format!("{DELEGATE}/{by}"))?;
    let own = own.map(|Delegate { to, from_ms, until_ms }| StandIn { to, from_ms, until_ms });
    let mut stands_in_for = crate::alerts::delegate::stands_in_for(derived, by, ask.now_ms)?;
    stands_in_for.retain(|name| name != by);
    Ok(StandIns { own, stands_in_for })
}

/// Whoever stands in works alerts themselves.
pub(in crate::web) fn set(ask: &Ask<'_>, asked: StandIn) -> Result<Done, Problem> {
    let known = operators::find(ask.log().connection(), &asked.to)?;
    if !known.is_some_and(|operator| may(&operator, Act::WorkAlerts, None, ask.now_ms)) {
        let told = format!("{} does not work alerts, so cannot stand in", asked.to);
        return Err(Problem::new(Kind::NotPossible).because(told));
    }
    let StandIn { to, from_ms, until_ms } = asked;
    let value = serde_json::to_string(&Delegate { to, from_ms, until_ms }).map_err(|error| Problem::broken(&error))?;
    put(ask, value)
}

pub(in crate::web) fn end(ask: &Ask<'_>, _: Nothing) -> Result<Done, Problem> {
    put(ask, String::new())
}

/// Those who may stand in for whoever asks.
pub(in crate::web) fn candidates(ask: &Ask<'_>) -> Result<Vec<String>, Problem> {
    let (by, now_ms) = (ask.by()?, ask.now_ms);
    let all = operators::list(ask.log().connection())?.into_iter();
    let all = all.filter(|it| it.operator != by && may(it, Act::WorkAlerts, None, now_ms));
    Ok(all.map(|operator| operator.operator).collect())
}

fn put(ask: &Ask<'_>, value: String) -> Result<Done, Problem> {
    let entries = ask.have_done(What::Set { name: format!("{DELEGATE}/{}", ask.by()?), value }, "")?;
    ask.until_shown(&entries)?;
    Ok(Done { entries })
}
