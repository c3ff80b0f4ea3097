//! What a message carries beside the texts of its body: texts inside bodies that are kept raw, names, files, amounts.
//!
//! None of it goes into message ids or body digests: it is read from what already does, or from keys only some exports have.

use serde_json::{Map, Value};

use crate::message::{Extras, FileInfo, Text};

/// Texts or files taken from one body; a real one has some tens.
const TEXTS_MAX: usize = 1_000;
/// Nesting followed in a body of a type nobody knows.
const DEPTH_MAX: usize = 16;

/// Keys under which vendors write the name of the room.
const ROOM_NAMES: [&str; 5] = ["room_name", "roomname", "chat_name", "群名称", "会话名称"];
/// Keys under which vendors write the name of the sender.
const SENDER_NAMES: [&str; 7] =
    ["sender_name", "sendername", "from_name", "fromname", "nickname", "发送人姓名", "发送者姓名"];

/// Names an export carries beside the ids.
pub(crate) fn names(entry: &Map<String, Value>) -> Vec<Text> {
    let first = |keys: &[&str]| {
        let texts = keys.iter().filter_map(|key| entry.get(*key)?.as_str()).map(str::trim);
        texts.into_iter().find(|text| !text.is_empty()).map(str::to_owned)
    };
    [("room.name", first(&ROOM_NAMES)), ("sender.name", first(&SENDER_NAMES))]
        .into_iter()
        .filter_map(|(field, text)| Some(Text { field: field.into(), text: text? }))
        .collect()
}

/// What a body that is kept raw carries.
pub(crate) fn of_raw_body(msgtype: &str, body: &Value) -> Extras {
    let mut extras = Extras::default();
    let Value::Object(fields) = body else {
        if let Value::String(text) = body {
            push(&mut extras, msgtype.to_owned(), text);
        }
        return extras;
    };
    match shape(msgtype) {
        Some(shape) => {
            shape.keys.iter().for_each(|key| text_or_list(&mut extras, &format!("{msgtype}.{key}"), fields.get(*key)));
            for (list, keys) in shape.lists {
                items(&mut extras, &format!("{msgtype}.{list}"), fields.get(*list), keys);
            }
            if msgtype == "note" {
                note(&mut extras, fields.get("items"));
            }
        }
        None => leaves(&mut extras, msgtype, body, 0),
    }
    if matches!(msgtype, "redpacket" | "external_redpacket" | "transfer") {
        extras.amount = fields.get("totalamount").and_then(unsigned);
    }
    if matches!(msgtype, "qydiskfile" | "qy_disk_file" | "voip_doc_share" | "voipdocshare") {
        extras.files.extend(file(fields));
    }
    extras
}

/// A file as its body describes it.
pub(crate) fn file(body: &Map<String, Value>) -> Option<FileInfo> {
    let name = body.get("filename").and_then(Value::as_str).unwrap_or_default().trim();
    let ext = body.get("fileext").and_then(Value::as_str).unwrap_or_default().trim();
    let size = body.get("filesize").and_then(unsigned);
    (!name.is_empty() || !ext.is_empty() || size.is_some()).then(|| FileInfo::new(name, ext, size))
}

/// Where the texts of a raw type stand.
struct Shape {
    /// Keys of texts, or of lists of texts.
    keys: &'static [&'static str],
    /// Lists of objects, and the keys of their texts.
    lists: &'static [(&'static str, &'static [&'static str])],
}

/// The keys of the texts of a raw type whose texts are no lists and lie no deeper.
pub(crate) fn flat_keys(msgtype: &str) -> Option<&'static [&'static str]> {
    shape(msgtype).filter(|shape| shape.lists.is_empty() && msgtype != "note").map(|shape| shape.keys)
}

/// `None` for types nobody knows.
fn shape(msgtype: &str) -> Option<Shape> {
    type Lists = &'static [(&'static str, &'static [&'static str])];
    let (keys, lists): (&'static [&'static str], Lists) = match msgtype {
        "weapp" => (&["title", "description", "displayname"], &[]),
        "location" => (&["title", "address"], &[]),
        "card" => (&["corpname"], &[]),
        "todo" => (&["title", "content"], &[]),
        "vote" => (&["votetitle", "voteitem"], &[]),
        "collect" => (&["title", "room_name"], &[("details", &["ques"])]),
        "redpacket" | "external_redpacket" => (&["wish"], &[]),
        "meeting" => (&["topic", "address", "remarks"], &[]),
        "meeting_notification" | "meeting_control" | "markdown" => (&["content"], &[]),
        "docmsg" => (&["title", "link_url"], &[]),
        "news" => (&[], &[("item", &["title", "description", "url"])]),
        "calendar" => (&["title", "place", "remarks", "attendeename"], &[]),
        "sphfeed" => (&["sph_name", "feed_desc"], &[]),
        "qydiskfile" | "qy_disk_file" | "voip_doc_share" | "voipdocshare" => (&["filename"], &[]),
        "meeting_voice_call" | "meetingvoicecall" => (&[], &[("demofiledata", &["filename"])]),
        "note" | "agree" | "disagree" | "emotion" | "image" | "revoke" | "switch" | "video" | "voice" | "voiptext" => {
            (&[], &[])
        }
        _ => return None,
    };
    Some(Shape { keys, lists })
}

fn text_or_list(extras: &mut Extras, path: &str, value: Option<&Value>) {
    match value {
        Some(Value::String(text)) => push(extras, path.to_owned(), text),
        Some(Value::Array(items)) => {
            for (index, text) in items.iter().enumerate().filter_map(|(index, item)| Some((index, item.as_str()?))) {
                push(extras, format!("{path}[{index}]"), text);
            }
        }
        _ => {}
    }
}

fn items(extras: &mut Extras, path: &str, value: Option<&Value>, keys: &[&str]) {
    let items = value.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    for (index, item) in items.iter().take(TEXTS_MAX).enumerate() {
        for key in keys {
            text_or_list(extras, &format!("{path}[{index}].{key}"), item.get(*key));
        }
    }
}

/// Items of a note are bodies written as JSON strings.
fn note(extras: &mut Extras, value: Option<&Value>) {
    let items = value.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    for (index, item) in items.iter().take(TEXTS_MAX).enumerate() {
        let kind = item.get("msg_type").and_then(Value::as_str).unwrap_or_default();
        let body = match item.get("content") {
            Some(Value::String(text)) => serde_json::from_str(text).unwrap_or(Value::Null),
            Some(body) => body.clone(),
            None => continue,
        };
        let keys: &[&str] = match kind {
            "text" => &["content"],
            "location" => &["title", "address"],
            "file" => &["filename"],
            _ => continue,
        };
        for key in keys {
            text_or_list(extras, &format!("note.items[{index}].{key}"), body.get(*key));
        }
        if kind == "file" {
            extras.files.extend(body.as_object().and_then(file));
        }
    }
}

/// Every text of a body nobody knows.
fn leaves(extras: &mut Extras, path: &str, value: &Value, depth: usize) {
    if depth >= DEPTH_MAX || extras.texts.len() >= TEXTS_MAX {
        return;
    }
    match value {
        Value::String(text) => push(extras, path.to_owned(), text),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(at, item)| leaves(extras, &format!("{path}[{at}]"), item, depth + 1));
        }
        Value::Object(fields) => {
            fields.iter().for_each(|(key, value)| leaves(extras, &below(path, key), value, depth + 1));
        }
        _ => {}
    }
}

/// The path of a key. One that could be taken for a path itself is quoted, so that no two texts have the same.
fn below(path: &str, key: &str) -> String {
    if key.contains(['.', '[', '"']) { format!("{path}[{}]", Value::from(key)) } else { format!("{path}.{key}") }
}

fn push(extras: &mut Extras, field: String, text: &str) {
    if !text.is_empty() && extras.texts.len() < TEXTS_MAX {
        extras.texts.push(Text { field: field.into(), text: text.to_owned() });
    }
}

/// A number, or a string of digits as some vendors write it.
pub(crate) fn unsigned(value: &Value) -> Option<u64> {
    match value {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::message::{Extras, FileInfo, Message};
    use crate::parse::parse_line;

    fn message(rest: &str) -> Message {
        let line = format!(
            r#"{{"msgid":"m","action":"send","from":"li.na","tolist":["zhou"],"roomid":"","msgtime":1772416861007,{rest}}}"#
        );
        parse_line(line.as_bytes()).message.unwrap()
    }

    fn texts(extras: &Extras) -> Vec<(&str, &str)> {
        extras.texts.iter().map(|text| (&*text.field, text.text.as_str())).collect()
    }

    #[test]
    fn no_two_texts_have_the_same_path() {
        let odd = r#""msgtype":"strange","strange":{"a":{"b":"one","[0]":"six"},"a.b":"two","a[0]":"three","c":["four"],"\"a\"":"five"}"#;
        let message = message(odd);
        let mut paths: Vec<&str> = texts(&message.extras).iter().map(|text| text.0).collect();
        let all = paths.len();
        paths.sort_unstable();
        paths.dedup();
        assert_eq!((all, paths.len()), (6, 6), "{paths:?}");
        assert!(paths.contains(&r#"strange["a.b"]"#), "{paths:?}");
    }

    #[test]
    fn texts_of_bodies_that_are_kept_raw() {
        for (rest, expected) in [
            (
                r#""msgtype":"weapp","weapp":{"title":"订单","description":"商城","username":"gh_0"}"#,
                &[("weapp.title", "订单"), ("weapp.description", "商城")][..],
            ),
            (r#""msgtype":"markdown","info":{"content":"**失败**"}"#, &[("markdown.content", "**失败**")]),
            (
                r#""msgtype":"vote","votetitle":"地点","voteitem":["海边","山里"]"#,
                &[("vote.votetitle", "地点"), ("vote.voteitem[0]", "海边"), ("vote.voteitem[1]", "山里")],
            ),
            (
                r#""msgtype":"collect","collect":{"title":"登记","details":[{"id":11101571002822706744,"ques":"姓名"}]}"#,
                &[("collect.title", "登记"), ("collect.details[0].ques", "姓名")],
            ),
            (
                r#""msgtype":"news","info":{"item":[{"title":"周报","url":"https://example.com/w"}]}"#,
                &[("news.item[0].title", "周报"), ("news.item[0].url", "https://example.com/w")],
            ),
            (
                r#""msgtype":"note","info":{"items":[{"msg_type":"text","content":"{\"content\":\"两房\"}"},{"msg_type":"image","content":"{}"}]}"#,
                &[("note.items[0].content", "两房")],
            ),
            (
                r#""msgtype":"brand_new","brand_new":{"a":["甲",{"b":"乙"}],"c":1}"#,
                &[("brand_new.a[0]", "甲"), ("brand_new.a[1].b", "乙")],
            ),
            (r#""msgtype":"image","image":{"md5sum":"0f","sdkfileid":"x"}"#, &[]),
            (r#""msgtype":"text","text":{"content":"甲"}"#, &[]),
        ] {
            assert_eq!(texts(&message(rest).extras), expected, "{rest}");
        }
    }

    #[test]
    fn files_amounts_and_names() {
        let file = |name: &str, ext: &[&str], size: Option<u64>| FileInfo {
            name: name.to_owned(),
            ext: ext.iter().map(|ext| (*ext).to_owned()).collect(),
            size,
        };
        for (rest, files) in [
            (
                r#""msgtype":"file","file":{"filename":"报价.XLSX","fileext":"xlsx","filesize":20480}"#,
                vec![file("报价.XLSX", &["xlsx"], Some(20_480))],
            ),
            (
                r#""msgtype":"file","file":{"filename":"照片.jpg","fileext":"zip","filesize":"7"}"#,
                vec![file("照片.jpg", &["jpg", "zip"], Some(7))],
            ),
            (r#""msgtype":"file","file":{"filename":"无","md5sum":"x"}"#, vec![file("无", &[], None)]),
            (r#""msgtype":"qydiskfile","info":{"filename":"标书.docx"}"#, vec![file("标书.docx", &["docx"], None)]),
            (
                r#""msgtype":"chatrecord","chatrecord":{"title":"t","item":[{"type":"ChatRecordFile","content":"{\"filename\":\"a.csv\",\"filesize\":9}"}]}"#,
                vec![file("a.csv", &["csv"], Some(9))],
            ),
            (
                r#""msgtype":"note","info":{"items":[{"msg_type":"file","content":"{\"filename\":\"b.pdf\"}"}]}"#,
                vec![file("b.pdf", &["pdf"], None)],
            ),
            (r#""msgtype":"text","text":{"content":"a.xlsx"}"#, vec![]),
        ] {
            assert_eq!(message(rest).extras.files, files, "{rest}");
        }
        for (rest, amount) in [
            (
                r#""msgtype":"redpacket","redpacket":{"type":2,"wish":"开工","totalcnt":3,"totalamount":1000}"#,
                Some(1_000),
            ),
            (r#""msgtype":"external_redpacket","redpacket":{"totalamount":"500"}"#, Some(500)),
            (r#""msgtype":"redpacket","redpacket":{"totalamount":-5}"#, None),
            (r#""msgtype":"weapp","weapp":{"totalamount":5}"#, None),
        ] {
            assert_eq!(message(rest).extras.amount, amount, "{rest}");
        }
        let named = message(r#""room_name":" 项目群 ","sender_name":"李娜","msgtype":"text","text":{"content":"甲"}"#);
        let names: Vec<_> = named.extras.names.iter().map(|text| (&*text.field, text.text.as_str())).collect();
        assert_eq!(names, [("room.name", "项目群"), ("sender.name", "李娜")]);
        assert_eq!(named.texts.len(), 1);
        let raw = message(r#""chat_name":"群","msgtype":"weapp","weapp":{"title":"t"}"#);
        assert_eq!((raw.extras.names.len(), raw.extras.texts.len()), (1, 1), "a raw body keeps the names");
    }

    /// What exports carry beside a body changes nobody's identity.
    #[test]
    fn extras_are_no_part_of_identity() {
        use crate::identity::{TenantKey, body_digest, mid};
        let corp = crate::message::Corp::new("ww1");
        let plain = message(r#""msgtype":"text","text":{"content":"甲"}"#);
        let named = message(r#""room_name":"群","msgtype":"text","text":{"content":"甲"}"#);
        assert_eq!(body_digest(&plain), body_digest(&named));
        let [plain, named] = [plain, named].map(|message| Message { msgid: None, ..message });
        let key = TenantKey([1; 32]);
        assert_eq!(mid(&key, &corp, &plain), mid(&key, &corp, &named));
    }
}
