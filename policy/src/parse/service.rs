//! Messages of 微信客服 (customer service by WeChat), which come from another interface under other names.

use serde_json::{Map, Value};

use super::scalar;

/// What the interface calls what the archive has, by type.
const RENAMED: [(&str, &str, &str); 4] = [
    ("link", "desc", "description"),
    ("link", "url", "link_url"),
    ("location", "name", "title"),
    ("file", "file_name", "filename"),
];
/// Types under their names in the archive.
const TYPES: [(&str, &str); 3] = [("miniprogram", "weapp"), ("business_card", "card"), ("channels", "sphfeed")];

/// Writes an entry as the archive would have.
pub(super) fn as_archived(entry: &mut Map<String, Value>) {
    let servicer =
        ["servicer_userid", "open_kfid"].iter().find_map(|key| entry.get(*key).filter(|id| !is_empty(id)).cloned());
    let customer = entry.get("external_userid").cloned();
    // 3 the customer wrote, 4 the system, 5 who serves them.
    let (from, to) = match entry.get("origin").and_then(scalar).as_deref().map(str::trim) {
        Some("4" | "5") => (servicer, customer),
        _ => (customer, servicer),
    };
    // Whoever is named takes part, also where the names of the archive are there already.
    let mut named: Vec<Value> = to.into_iter().collect();
    match (entry.get("from").is_none_or(is_empty), from) {
        (true, Some(from)) => _ = entry.insert("from".to_owned(), from),
        (_, from) => named.extend(from),
    }
    named.retain(|id| !is_empty(id) && entry.get("from") != Some(id));
    match entry.remove("tolist") {
        Some(Value::Array(told)) => named.extend(told),
        told => named.extend(told.filter(|told| !is_empty(told))),
    }
    entry.insert("tolist".to_owned(), Value::Array(named));
    if let Some(time) = entry.remove("send_time") {
        entry.entry("msgtime").or_insert(time);
    }
    entry.entry("action").or_insert_with(|| "send".into());
    let Some(msgtype) = entry.get("msgtype").and_then(Value::as_str).map(str::to_owned) else { return };
    if let Some(Value::Object(body)) = entry.get_mut(&msgtype) {
        for (_, key, archived) in RENAMED.iter().filter(|(of, ..)| *of == msgtype) {
            if let Some(value) = body.remove(*key) {
                body.entry(*archived).or_insert(value);
            }
        }
    }
    if let Some((_, archived)) = TYPES.iter().find(|(name, _)| *name == msgtype) {
        if let Some(body) = entry.remove(&msgtype) {
            entry.insert((*archived).to_owned(), body);
        }
        entry.insert("msgtype".to_owned(), (*archived).into());
    }
}

fn is_empty(id: &Value) -> bool {
    id.is_null() || id.as_str().is_some_and(|id| id.trim().is_empty())
}
