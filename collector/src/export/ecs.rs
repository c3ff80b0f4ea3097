//! A finding as an event for a SIEM, with the field names of the Elastic Common Schema.

use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::Exported;

/// The version of the schema whose names these are.
const VERSION: &str = "8.17.0";

/// One event. What the schema has no name for is below `watchpost`.
#[must_use]
pub fn event(row: &Exported) -> Value {
    let found = &row.found;
    let mut event = json!({
        "@timestamp": moment(found.msgtime.unwrap_or(found.received)),
        "ecs": { "version": VERSION },
        "event": {
            "kind": "alert",
            "module": "watchpost",
            "dataset": "watchpost.finding",
            "id": found.finding_id,
            "created": moment(found.received),
            "severity": severity(found.level),
        },
        "rule": { "id": found.rule, "name": found.rule, "ruleset": found.pack, "category": found.category },
        "organization": { "id": row.corp },
        "host": { "id": found.device },
        "watchpost": {
            "alert": { "id": found.alert, "state": found.state },
            "level": found.level,
            "message": {
                "id": found.msgid,
                "type": found.msgtype,
                "from": found.from,
                "to": row.to,
                "room": found.room,
            },
        },
    });
    let mut put = |path: &str, value: &str| {
        if !value.is_empty()
            && let Some(place) = place(&mut event, path)
        {
            *place = value.into();
        }
    };
    put("user.name", &found.person);
    put("user.full_name", &row.name);
    put("watchpost.department", &found.department);
    put("watchpost.site", &found.site);
    put("event.reference", row.link.as_deref().unwrap_or_default());
    put("message", &row.excerpt);
    event
}

/// Where a field is, made where it is not.
fn place<'a>(event: &'a mut Value, path: &str) -> Option<&'a mut Value> {
    path.split('.').try_fold(event, |at, part| {
        if at.is_null() {
            *at = json!({});
        }
        Some(at.as_object_mut()?.entry(part).or_insert(Value::Null))
    })
}

/// As Elastic's own rules count, of a hundred.
fn severity(level: &str) -> u32 {
    match level {
        "critical" => 99,
        "high" => 73,
        "medium" => 47,
        "low" => 21,
        _ => 1,
    }
}

fn moment(ms: i64) -> Option<String> {
    let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000).ok()?;
    at.format(&Rfc3339).ok()
}
