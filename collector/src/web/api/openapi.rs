//! The description of the API: OpenAPI 3.1, made from the table of routes and the types of their handlers.

use schemars::generate::SchemaSettings;
use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::routes;
use crate::web::ask::Ask;
use crate::web::problem::{Kind, Problem, Sent};
use crate::web::route::{Nothing, Route};
use crate::web::{BASE, SESSION_COOKIE};

pub(in crate::web) fn show(_: &Ask<'_>, _: Nothing) -> Result<Value, Problem> {
    Ok(describe())
}

/// Describes every route.
#[must_use]
pub fn describe() -> Value {
    let mut shapes =
        SchemaSettings::draft2020_12().with(|it| it.definitions_path = "/components/schemas".into()).into_generator();
    let mut paths: Map<String, Value> = Map::new();
    for route in routes() {
        let operation = operation(&route, &mut shapes);
        let path = paths.entry(format!("{BASE}{}", route.path)).or_insert_with(|| json!({}));
        if let Some(path) = path.as_object_mut() {
            path.insert(route.method.as_str().to_lowercase(), operation);
        }
    }
    let problem = shapes.subschema_for::<Sent>();
    let kinds: Vec<_> = Kind::ALL.iter().map(|kind| format!("urn:watchpost:problem:{}", kind.word())).collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Watchpost 哨所",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Whatever is not yours to see is told as 404. Lists come in pages: `next` of one is `cursor` of the next.",
        },
        "paths": paths,
        "components": {
            "schemas": shapes.take_definitions(true),
            "securitySchemes": {
                "session": { "type": "apiKey", "in": "cookie", "name": SESSION_COOKIE },
                "token": { "type": "http", "scheme": "bearer" },
            },
            "responses": {
                "problem": {
                    "description": "Nothing was done.",
                    "content": { "application/problem+json": { "schema": problem } },
                },
            },
        },
        "x-problems": kinds,
    })
}

fn operation(route: &Route, shapes: &mut SchemaGenerator) -> Value {
    let (takes, gives) = ((route.takes)(shapes), (route.gives)(shapes));
    let mut parameters: Vec<Value> = variables(route.path)
        .map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }))
        .collect();
    let mut operation = json!({
        "summary": route.title,
        "x-summary-zh": route.title_zh,
        "operationId": id_of(route),
        "responses": {
            "200": { "description": route.title, "content": { route.content: { "schema": gives } } },
            "default": { "$ref": "#/components/responses/problem" },
        },
        "security": security(route),
    });
    if route.takes_query() {
        parameters.extend(query(&takes, shapes));
    } else {
        operation["requestBody"] = json!({ "content": { "application/json": { "schema": takes } } });
    }
    operation["parameters"] = parameters.into();
    if let Some(act) = route.act {
        operation["x-act"] = act.as_str().into();
    }
    operation
}

fn security(route: &Route) -> Value {
    match route.act {
        None => json!([]),
        Some(act) if act.is_for_tokens() => json!([{ "session": [] }, { "token": [] }]),
        Some(_) => json!([{ "session": [] }]),
    }
}

/// The names in braces.
fn variables(path: &'static str) -> impl Iterator<Item = &'static str> {
    path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
}

fn id_of(route: &Route) -> String {
    let words = route.path.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let words: Vec<&str> = words.collect();
    format!("{}-{}", route.method.as_str().to_lowercase(), words.join("-"))
}

/// What stands behind the question mark, field by field.
fn query(takes: &Schema, shapes: &SchemaGenerator) -> Vec<Value> {
    let takes = takes.as_value();
    let name = takes.get("$ref").and_then(Value::as_str).and_then(|path| path.rsplit('/').next());
    let shape = match name {
        Some(name) => shapes.definitions().get(name).cloned().unwrap_or_default(),
        None => takes.clone(),
    };
    let fields = shape.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
    let fields = fields.into_iter().map(|(name, schema)| {
        let description = schema.get("description").cloned().unwrap_or_default();
        json!({ "name": name, "in": "query", "required": false, "description": description, "schema": schema })
    });
    fields.collect()
}
