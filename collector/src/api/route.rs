//! One row of the table of routes: what it is called, who may, what goes in and out, and what does it.

use std::fmt;

use axum::extract::Query;
use axum::http::Method;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::ask::Ask;
use super::problem::Problem;
use crate::operators::Act;

/// What is sent back.
#[derive(Debug)]
pub(super) struct Body {
    pub(super) kind: &'static str,
    pub(super) bytes: Vec<u8>,
    /// The name of the file it is to be kept as.
    pub(super) file: Option<&'static str>,
}

type Handler = Box<dyn Fn(&Ask<'_>) -> Result<Body, Problem> + Send + Sync>;
type Shape = fn(&mut SchemaGenerator) -> Schema;

/// What a route does.
pub(super) enum Does {
    /// Answers at once.
    Answer(Handler),
    /// Tells what happens, until somebody goes.
    Listen,
}

/// One route.
pub struct Route {
    /// The method.
    pub method: Method,
    /// Below [`super::BASE`], with `{name}` for what varies.
    pub path: &'static str,
    /// What the caller must be allowed; nothing where anybody may.
    pub act: Option<Act>,
    /// What it does, in English.
    pub title: &'static str,
    /// What it does, in Chinese.
    pub title_zh: &'static str,
    /// It looks at a password.
    pub is_costly: bool,
    pub(super) does: Does,
    pub(super) takes: Shape,
    pub(super) gives: Shape,
    pub(super) content: &'static str,
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.path)
    }
}

/// A list to take along.
pub(super) struct Csv(pub(super) Vec<u8>);

const JSON: &str = "application/json";
pub(super) const CSV: &str = "text/csv; charset=utf-8";

/// Takes `I` from the query of a GET or DELETE, else from the JSON body, and gives `O` as JSON.
pub(super) fn route<I, O>(
    method: Method,
    path: &'static str,
    act: impl Into<Option<Act>>,
    (title, title_zh): (&'static str, &'static str),
    handler: fn(&Ask<'_>, I) -> Result<O, Problem>,
) -> Route
where
    I: DeserializeOwned + JsonSchema + 'static,
    O: Serialize + JsonSchema + 'static,
{
    let does = move |ask: &Ask<'_>| {
        let given = handler(ask, take(ask)?)?;
        let bytes = serde_json::to_vec(&given).map_err(|error| Problem::broken(&error))?;
        Ok(Body { kind: JSON, bytes, file: None })
    };
    Route {
        method,
        path,
        act: act.into(),
        title,
        title_zh,
        is_costly: false,
        does: Does::Answer(Box::new(does)),
        takes: |shapes| shapes.subschema_for::<I>(),
        gives: |shapes| shapes.subschema_for::<O>(),
        content: JSON,
    }
}

/// The same, of a list as a file.
pub(super) fn csv<I: DeserializeOwned + JsonSchema + 'static>(
    path: &'static str,
    act: Act,
    (title, title_zh): (&'static str, &'static str),
    file: &'static str,
    handler: fn(&Ask<'_>, I) -> Result<Csv, Problem>,
) -> Route {
    let does = move |ask: &Ask<'_>| {
        let Csv(bytes) = handler(ask, take(ask)?)?;
        Ok(Body { kind: CSV, bytes, file: Some(file) })
    };
    Route {
        does: Does::Answer(Box::new(does)),
        takes: |shapes| shapes.subschema_for::<I>(),
        gives: |shapes| shapes.subschema_for::<String>(),
        content: CSV,
        ..listen(path, act, (title, title_zh))
    }
}

/// One that tells what happens.
pub(super) fn listen(path: &'static str, act: Act, (title, title_zh): (&'static str, &'static str)) -> Route {
    Route {
        method: Method::GET,
        path,
        act: Some(act),
        title,
        title_zh,
        is_costly: false,
        does: Does::Listen,
        takes: |shapes| shapes.subschema_for::<Nothing>(),
        gives: |shapes| shapes.subschema_for::<String>(),
        content: "text/event-stream",
    }
}

impl Route {
    pub(super) fn costly(self) -> Self {
        Self { is_costly: true, ..self }
    }

    /// Whether what it takes stands in the address.
    pub(super) fn takes_query(&self) -> bool {
        self.method == Method::GET || self.method == Method::DELETE
    }
}

/// Takes nothing.
#[derive(Debug, Default, serde::Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

fn take<I: DeserializeOwned>(ask: &Ask<'_>) -> Result<I, Problem> {
    let parts = &ask.heard.parts;
    if parts.method == Method::GET || parts.method == Method::DELETE {
        let Query(taken) = Query::try_from_uri(&parts.uri).map_err(|error| Problem::malformed(error.body_text()))?;
        return Ok(taken);
    }
    let body: &[u8] = if ask.heard.body.is_empty() { b"{}" } else { &ask.heard.body };
    // What was sent is not said again: it may be a password.
    serde_json::from_slice(body).map_err(|error| Problem::malformed(said_of(&error)))
}

/// Where JSON is wrong, without what stands there.
fn said_of(error: &serde_json::Error) -> String {
    let (line, column) = (error.line(), error.column());
    match error.classify() {
        serde_json::error::Category::Data => {
            let text = error.to_string();
            let field = text.split('`').nth(1).filter(|_| text.starts_with("missing") || text.starts_with("unknown"));
            let what = if text.starts_with("missing") { "is missing" } else { "is not known" };
            field.map_or_else(
                || format!("a value at line {line}, column {column} is of the wrong kind"),
                |field| format!("the field {field} {what}"),
            )
        }
        _ => format!("the body is not JSON: line {line}, column {column}"),
    }
}
