//! One row of the table of routes: what it is called, who may, what goes in and out, and what does it.

use std::fmt;

use axum::extract::Query;
use axum::http::Method;
use maud::Markup;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::BODY_BYTES_MAX;
use super::ask::Ask;
use super::auth::MARK_FIELD;
use super::problem::Problem;
use crate::operators::Act;

/// What is sent back.
#[derive(Debug, Default)]
pub(in crate::web) struct Body {
    pub(in crate::web) kind: &'static str,
    pub(in crate::web) bytes: Vec<u8>,
    /// The name of the file it is to be kept as.
    pub(in crate::web) file: Option<String>,
    /// Where the browser is to go on.
    pub(in crate::web) location: Option<String>,
    /// It never changes at this address: browsers may keep it.
    pub(in crate::web) is_forever: bool,
}

impl Body {
    /// A page.
    pub(in crate::web) fn html(page: Markup) -> Self {
        Self { kind: HTML, bytes: page.into_string().into_bytes(), ..Self::default() }
    }

    /// Goes on at another address, so that reloading the page does nothing twice.
    pub(in crate::web) fn see(location: impl Into<String>) -> Self {
        Self { kind: HTML, location: Some(location.into()), ..Self::default() }
    }

    /// A file to be kept under this name.
    pub(in crate::web) fn file(kind: &'static str, name: impl Into<String>, bytes: Vec<u8>) -> Self {
        Self { kind, bytes, file: Some(name.into()), ..Self::default() }
    }
}

type Handler = Box<dyn Fn(&Ask<'_>) -> Result<Body, Problem> + Send + Sync>;
type Shape = fn(&mut SchemaGenerator) -> Schema;

/// What a route does.
pub(in crate::web) enum Does {
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
    /// A person looks at it in a browser.
    pub is_page: bool,
    /// Longest body of a request, in bytes.
    pub(in crate::web) bytes_max: usize,
    pub(in crate::web) does: Does,
    pub(in crate::web) takes: Shape,
    pub(in crate::web) gives: Shape,
    pub(in crate::web) content: &'static str,
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.path)
    }
}

pub(in crate::web) const JSON: &str = "application/json";
pub(in crate::web) const HTML: &str = "text/html; charset=utf-8";
pub(in crate::web) const CSV: &str = "text/csv; charset=utf-8";

/// Takes `I` from the query of a GET or DELETE, else from the JSON body, and gives `O` as JSON.
pub(in crate::web) fn route<I, O>(
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
        Ok(Body { kind: JSON, bytes, ..Body::default() })
    };
    Route {
        method,
        path,
        act: act.into(),
        title,
        title_zh,
        is_costly: false,
        is_page: false,
        bytes_max: BODY_BYTES_MAX,
        does: Does::Answer(Box::new(does)),
        takes: |shapes| shapes.subschema_for::<I>(),
        gives: |shapes| shapes.subschema_for::<O>(),
        content: JSON,
    }
}

/// The same, of something to take along as a file of this kind.
pub(in crate::web) fn file<I: DeserializeOwned + JsonSchema + 'static>(
    path: &'static str,
    act: Act,
    (title, title_zh): (&'static str, &'static str),
    content: &'static str,
    handler: fn(&Ask<'_>, I) -> Result<Body, Problem>,
) -> Route {
    Route {
        does: Does::Answer(Box::new(move |ask: &Ask<'_>| handler(ask, take(ask)?))),
        takes: |shapes| shapes.subschema_for::<I>(),
        gives: |shapes| shapes.subschema_for::<String>(),
        content,
        ..listen(path, act, (title, title_zh))
    }
}

/// One that tells what happens.
pub(in crate::web) fn listen(path: &'static str, act: Act, (title, title_zh): (&'static str, &'static str)) -> Route {
    Route {
        method: Method::GET,
        path,
        act: Some(act),
        title,
        title_zh,
        is_costly: false,
        is_page: false,
        bytes_max: BODY_BYTES_MAX,
        does: Does::Listen,
        takes: |shapes| shapes.subschema_for::<Nothing>(),
        gives: |shapes| shapes.subschema_for::<String>(),
        content: "text/event-stream",
    }
}

/// A page that somebody looks at: takes `I` from the query. The path is the whole address.
pub(in crate::web) fn page<I: DeserializeOwned + 'static>(
    path: &'static str,
    act: impl Into<Option<Act>>,
    (title, title_zh): (&'static str, &'static str),
    handler: fn(&Ask<'_>, I) -> Result<Body, Problem>,
) -> Route {
    let does =
        move |ask: &Ask<'_>| handler(ask, take_fields(ask.heard.parts.uri.query().unwrap_or_default().as_bytes())?);
    screen(Method::GET, path, act.into(), (title, title_zh), Box::new(does))
}

/// What a page sends: takes `I` from the fields of the form. It must carry the mark of the session ([`Ask::mark`]).
pub(in crate::web) fn form<I: DeserializeOwned + 'static>(
    path: &'static str,
    act: impl Into<Option<Act>>,
    (title, title_zh): (&'static str, &'static str),
    handler: fn(&Ask<'_>, I) -> Result<Body, Problem>,
) -> Route {
    let does = move |ask: &Ask<'_>| handler(ask, take_fields(&ask.heard.body)?);
    screen(Method::POST, path, act.into(), (title, title_zh), Box::new(does))
}

fn screen(
    method: Method,
    path: &'static str,
    act: Option<Act>,
    (title, title_zh): (&'static str, &'static str),
    does: Handler,
) -> Route {
    Route {
        method,
        path,
        act,
        title,
        title_zh,
        is_costly: false,
        is_page: true,
        bytes_max: BODY_BYTES_MAX,
        does: Does::Answer(does),
        takes: |shapes| shapes.subschema_for::<Nothing>(),
        gives: |shapes| shapes.subschema_for::<String>(),
        content: HTML,
    }
}

fn take_fields<I: DeserializeOwned>(fields: &[u8]) -> Result<I, Problem> {
    let told = |error| Problem::malformed(format!("a field of the form: {error}"));
    let mut all: Vec<(String, String)> = serde_html_form::from_bytes(fields).map_err(told)?;
    // The mark was looked at on the way in.
    all.retain(|(name, _)| name != MARK_FIELD);
    let fields = serde_html_form::to_string(&all).map_err(|error| Problem::broken(&error))?;
    serde_html_form::from_str(&fields).map_err(told)
}

impl Route {
    /// It may bring files of up to so many bytes.
    pub(in crate::web) fn with_files(self, bytes_max: usize) -> Self {
        Self { bytes_max, ..self }
    }

    pub(in crate::web) fn costly(self) -> Self {
        Self { is_costly: true, ..self }
    }

    /// Whether what it takes stands in the address.
    pub(in crate::web) fn takes_query(&self) -> bool {
        self.method == Method::GET || self.method == Method::DELETE
    }
}

/// Takes nothing.
#[derive(Debug, Default, serde::Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::web) struct Nothing {}

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
