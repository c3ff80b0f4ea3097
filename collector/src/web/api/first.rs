//! What a new collector still needs.

use schemars::JsonSchema;
use serde::Serialize;

use crate::first_run::{Facts, FirstRunError, Stands};
use crate::web::ask::Ask;
use crate::web::problem::Problem;
use crate::web::route::Nothing;

/// The beginning of a collector.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::web) struct Beginning {
    /// It has shown once that it works.
    pub(in crate::web) is_over: bool,
    /// Its steps, in order.
    pub(in crate::web) steps: Vec<Stands>,
}

pub(in crate::web) fn show(ask: &Ask<'_>, _: Nothing) -> Result<Beginning, Problem> {
    let facts =
        Facts::look(ask.derived()?, ask.log().connection(), &ask.site.desk.config).map_err(|error| match error {
            FirstRunError::Derived(error) => Problem::from(error),
            FirstRunError::Log(error) => Problem::from(error),
        })?;
    Ok(Beginning { is_over: facts.is_over(), steps: facts.steps() })
}
