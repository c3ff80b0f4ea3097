//! What WeCom's own interfaces report beside messages: contacts added and deleted, groups and members changed, logs, payments, consent. Each record
//! becomes a message of an event type (see [`crate::message::EVENT_TYPES`]), so that rules and windows can look at it.
//!
//! Records have no msgid and are delivered more than once: what marks them is kept, so that the same event is the same message in every export.

use serde_json::{Map, Value};

use super::{Defects, RECEIVER_SEPARATORS, may_be_id, read_time, scalar, split_receivers};
use crate::facts::unsigned;
use crate::message::{Action, Extras, FileInfo, Message, RecordFacts, Text, is_event_type};
use crate::parse::Defect;

type Record = Map<String, Value>;

/// The message that a record stands for; `None` for anything that is no record of these.
pub(super) fn read(record: &Record, defects: &mut Defects) -> Option<Message> {
    let event = Event::of(record)?;
    Some(event.message(record, defects))
}

/// Whether an object is such a record.
pub(super) fn is_record(record: &Record) -> bool {
    Event::of(record).is_some()
}

/// What of a record makes the message.
#[derive(Default)]
struct Event<'a> {
    msgtype: &'static str,
    /// Key of the time.
    time: &'static str,
    from: Option<&'a Value>,
    to: Vec<&'a Value>,
    room: Option<&'a Value>,
    /// Texts and the last part of their path.
    texts: Vec<(&'static str, String)>,
    file: Option<FileInfo>,
    amount: Option<u64>,
    /// Keys of what tells it from others of the same time and parties; its texts do, too, but for the name of an operation.
    marks: Vec<&'a str>,
}

impl<'a> Event<'a> {
    fn of(record: &'a Record) -> Option<Self> {
        let has = |key: &str| record.contains_key(key);
        match () {
            () if has("Event") || has("InfoType") => Some(Self::callback(record)),
            () if has("agree_status") => Self::consent(record),
            () if has("oper_type") && has("userid") => Some(Self::log(record)),
            () if has("operation") && (has("file_info") || has("file_md5")) => Some(Self::file(record)),
            () if has("screen_shot_type") => Some(Self::screenshot(record)),
            () if has("transaction_id") && (has("bill_type") || has("payee_userid")) => Some(Self::payment(record)),
            () if has("external_userid") => Self::transfer(record),
            () if has("chat_id") && has("errcode") => Some(Self::group_transfer(record)),
            () => None,
        }
    }

    /// What WeCom calls a server back with, as XML or as the JSON made of it.
    fn callback(record: &'a Record) -> Self {
        let word = |key: &str| record.get(key).and_then(Value::as_str).unwrap_or_default().trim();
        let event = [word("Event"), word("InfoType")].into_iter().find(|word| !word.is_empty()).unwrap_or_default();
        let [user, customer] = ["UserID", "ExternalUserID"].map(|key| record.get(key));
        let between = |msgtype| Self { msgtype, from: user, to: customer.into_iter().collect(), ..Self::default() };
        let turned = |msgtype| Self { msgtype, from: customer, to: user.into_iter().collect(), ..Self::default() };
        let detail = |key: &str| [("detail", word(key).to_owned())].into();
        let group = |msgtype| {
            let changed = record.get("MemChangeList").map(|list| list.get("Item").unwrap_or(list));
            let to = changed
                .and_then(Value::as_array)
                .map_or_else(|| changed.into_iter().collect(), |all| all.iter().collect());
            Self { msgtype, room: record.get("ChatId"), to, texts: detail("UpdateDetail"), ..Self::default() }
        };
        let member = |msgtype| Self { msgtype, to: user.into_iter().collect(), ..Self::default() };
        let of = match (event, word("ChangeType")) {
            ("change_external_contact", "add_external_contact" | "add_half_external_contact") => {
                between("event.contact_add")
            }
            ("change_external_contact", "edit_external_contact") => between("event.contact_edit"),
            ("change_external_contact", "del_external_contact") => {
                Self { texts: detail("Source"), ..between("event.contact_delete") }
            }
            ("change_external_contact", "del_follow_user") => turned("event.contact_lost"),
            ("change_external_contact", "transfer_fail") => {
                Self { texts: detail("FailReason"), ..between("event.contact_transfer") }
            }
            ("change_external_contact", "msg_audit_approved") => turned("agree"),
            ("change_external_chat", "create") => group("event.group_create"),
            ("change_external_chat", "update") => group("event.group_update"),
            ("change_external_chat", "dismiss") => group("event.group_dismiss"),
            ("change_contact", "create_user") => member("event.member_create"),
            ("change_contact", "update_user") => member("event.member_update"),
            ("change_contact", "delete_user") => member("event.member_delete"),
            (event, change) => {
                let said = [event, change].into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
                Self { texts: [("detail", said)].into(), ..between(OTHER) }
            }
        };
        let time = if record.contains_key("CreateTime") { "CreateTime" } else { "TimeStamp" };
        // Of what is not known nobody knows what marks it.
        let all = || record.keys().map(String::as_str).collect();
        let marks = if of.msgtype == OTHER { all() } else { vec!["Id", "LastMemVer", "CurMemVer"] };
        Self { time, marks, ..of }
    }

    /// Whether a customer agreed to being archived.
    fn consent(record: &'a Record) -> Option<Self> {
        let status = record.get("agree_status").and_then(Value::as_str)?.trim().to_ascii_lowercase();
        let msgtype = match status.as_str() {
            "agree" | "default_agree" => "agree",
            "disagree" => "disagree",
            _ => return None,
        };
        // The first is how WeCom itself writes it.
        let customer = ["exteranalopenid", "externalopenid", "external_userid"].iter().find_map(|key| record.get(*key));
        let to = record.get("userid").into_iter().collect();
        Some(Self { msgtype, time: "status_change_time", from: customer, to, ..Self::default() })
    }

    /// What administrators or members did.
    fn log(record: &'a Record) -> Self {
        let by_admin = record.contains_key("detail_type");
        let (msgtype, names) = if by_admin {
            ("event.admin_log", &ADMIN_OPERATIONS[..])
        } else {
            ("event.member_log", &MEMBER_OPERATIONS[..])
        };
        let number = record.get("oper_type");
        let name = number.and_then(unsigned).and_then(|number| names.iter().find(|(at, _)| *at == number));
        let operation = name.map(|(_, name)| (*name).to_owned()).or_else(|| Some(scalar(number?)?.into_owned()));
        let texts = [operation.map(|text| ("operation", text)), text(record, "detail_info", "detail")];
        Self {
            msgtype,
            time: "time",
            from: record.get("userid"),
            texts: texts.into_iter().flatten().collect(),
            marks: vec!["oper_type", "detail_type"],
            ..Self::default()
        }
    }

    /// What was done with a file. An outsider is told by a name of their own choice, which is nobody's id.
    fn file(record: &'a Record) -> Self {
        let external = record.get("external_user").and_then(|user| user.get("name")).and_then(Value::as_str);
        let texts = [text(record, "file_info", "filename"), external.map(|name| ("outsider", name.to_owned()))];
        let name = record.get("file_info").and_then(Value::as_str).unwrap_or_default();
        Self {
            msgtype: "event.file_log",
            time: "time",
            from: record.get("userid"),
            texts: texts.into_iter().flatten().collect(),
            file: Some(FileInfo::new(name, "", record.get("file_size").and_then(unsigned))),
            marks: vec!["operation", "file_size", "file_md5", "device_code", "device_type"],
            ..Self::default()
        }
    }

    fn screenshot(record: &'a Record) -> Self {
        Self {
            msgtype: "event.screenshot",
            time: "time",
            from: record.get("userid"),
            texts: text(record, "screen_shot_content", "detail").into_iter().collect(),
            marks: vec!["screen_shot_type", "system"],
            ..Self::default()
        }
    }

    /// A payment a customer made to an employee through WeCom, or a refund.
    fn payment(record: &'a Record) -> Self {
        let goods = record.get("commodity_list").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let goods = goods.iter().filter_map(|one| Some(("goods", one.get("description")?.as_str()?.to_owned())));
        Self {
            msgtype: "event.payment",
            time: "pay_time",
            from: record.get("external_userid"),
            to: record.get("payee_userid").into_iter().collect(),
            texts: text(record, "remark", "detail").into_iter().chain(goods.take(GOODS_MAX)).collect(),
            amount: record.get("total_fee").and_then(unsigned),
            marks: vec!["transaction_id", "bill_type", "trade_state", "out_refund_no"],
            ..Self::default()
        }
    }

    /// What became of a customer who is handed to another employee.
    fn transfer(record: &'a Record) -> Option<Self> {
        let has = |key: &str| record.contains_key(key);
        let state = |key: &str| record.get(key).and_then(unsigned);
        let detail = if has("takeover_time") {
            let said = state("status").and_then(|status| TRANSFER_STATES.get(usize::try_from(status).ok()?));
            said.map_or("unknown", |said| said)
        } else if has("dimission_time") {
            "unassigned"
        } else if has("errcode") {
            if state("errcode") == Some(0) { "started" } else { "failed" }
        } else {
            return None;
        };
        let to = ["external_userid", "takeover_userid"].iter().filter_map(|key| record.get(*key)).collect();
        Some(Self {
            msgtype: "event.contact_transfer",
            time: if has("dimission_time") { "dimission_time" } else { "takeover_time" },
            from: record.get("handover_userid"),
            to,
            texts: [("detail", detail.to_owned())].into(),
            ..Self::default()
        })
    }

    /// A group that could not be handed to another employee.
    fn group_transfer(record: &'a Record) -> Self {
        Self {
            msgtype: "event.group_transfer",
            room: record.get("chat_id"),
            texts: text(record, "errmsg", "detail").into_iter().collect(),
            marks: vec!["errcode"],
            ..Self::default()
        }
    }

    fn message(self, record: &Record, defects: &mut Defects) -> Message {
        let from = self.from.map(|value| party(value, Defect::FromWrongType, defects)).unwrap_or_default();
        if from.contains(RECEIVER_SEPARATORS) {
            defects.add(Defect::FromWrongType);
        }
        let to = self.to.iter().map(|value| party(value, Defect::ToWrongType, defects)).collect::<Vec<_>>();
        let mut others = Vec::new();
        for (key, value) in record {
            named(key, value, 0, &mut others, defects);
        }
        let marks = self.marks.iter().map(|key| record.get(*key).map(mark).unwrap_or_default());
        let marks = marks.chain(self.texts.iter().filter(|(key, _)| *key != "operation").map(|(_, text)| text.clone()));
        let record_facts = RecordFacts { marks: marks.collect(), others };
        let said = self.texts.into_iter().filter(|(_, text)| !text.is_empty());
        let path = |key| format!("{}.{key}", self.msgtype).into();
        Message {
            msgid: None,
            // The archive has these among its messages.
            action: if is_event_type(self.msgtype) { Action::Other } else { Action::Send },
            from,
            to: to.iter().flat_map(|ids| split_receivers(ids)).collect(),
            room: self.room.and_then(scalar).map(|room| room.trim().to_owned()).filter(|room| !room.is_empty()),
            msgtime: time(record.get(self.time), defects),
            msgtype: self.msgtype.to_owned(),
            texts: said.map(|(key, text)| Text { field: path(key), text }).collect(),
            body: None,
            unread_parties: defects.has(Defect::ToWrongType) || defects.has(Defect::FromWrongType),
            extras: Extras {
                files: self.file.into_iter().collect(),
                amount: self.amount,
                record: Some(record_facts),
                ..Extras::default()
            },
        }
    }
}

/// The type of callbacks that are not known.
const OTHER: &str = "event.other";
/// Goods of one payment that are read.
const GOODS_MAX: usize = 100;

const ADMIN_OPERATIONS: [(u64, &str); 7] = [
    (2, "权限管理"),
    (3, "成员与部门"),
    (7, "其他"),
    (8, "应用管理"),
    (11, "通讯录与聊天"),
    (12, "企业信息"),
    (13, "外部联系人"),
];

const MEMBER_OPERATIONS: [(u64, &str); 17] = [
    (1, "添加外部联系人"),
    (2, "删除外部联系人"),
    (3, "标记客户"),
    (4, "新设备登录"),
    (5, "更换手机号"),
    (6, "绑定微信"),
    (7, "换绑微信"),
    (8, "邀请成员"),
    (9, "禁止登录"),
    (11, "修改昵称"),
    (12, "修改姓名"),
    (13, "辅助设备登录"),
    (15, "确认订单"),
    (16, "应用变更"),
    (17, "确认会话存档订单"),
    (20, "禁止对外沟通"),
    (21, "锁定设备"),
];

/// By the number of the state.
const TRANSFER_STATES: [&str; 6] = ["unknown", "done", "waiting", "refused", "successor_full", "no_record"];

fn text(record: &Record, key: &str, path: &'static str) -> Option<(&'static str, String)> {
    Some((path, record.get(key)?.as_str()?.trim().to_owned()))
}

/// The id of somebody a record names.
fn party(value: &Value, wrong: Defect, defects: &mut Defects) -> String {
    let id = match value {
        Value::Null => return String::new(),
        value => scalar(value).map(|id| id.trim().to_owned()),
    };
    if !id.as_deref().is_some_and(may_be_id) {
        defects.add(wrong);
    }
    id.unwrap_or_default()
}

/// Some have no time: what is waiting for something.
fn time(value: Option<&Value>, defects: &mut Defects) -> Option<i64> {
    let is_none = value.is_none_or(|value| value.as_u64() == Some(0));
    if is_none { None } else { read_time(value, defects) }
}

/// A value as it is compared: a number and its digits in a string are one.
fn mark(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let mut members: Vec<String> =
                members.iter().map(|(key, value)| format!("{key}={}", mark(value))).collect();
            members.sort_unstable();
            members.join(" ")
        }
        Value::Array(items) => items.iter().map(mark).collect::<Vec<_>>().join(","),
        value => scalar(value).map(|text| text.trim().to_owned()).unwrap_or_default(),
    }
}

/// Everybody a record names under a key of users, wherever it stands.
fn named(key: &str, value: &Value, depth: usize, others: &mut Vec<String>, defects: &mut Defects) {
    const DEPTH_MAX: usize = 8;
    const OTHERS_MAX: usize = 10_000;
    let names_users = || {
        let key = key.to_ascii_lowercase().replace('_', "");
        key.ends_with("userid") || key.ends_with("userlist") || key.ends_with("useritems") || key == "memchangelist"
    };
    if depth > DEPTH_MAX || others.len() > OTHERS_MAX {
        defects.add(Defect::ToWrongType);
        return;
    }
    match value {
        Value::Object(members) => {
            // The key of a list of users is also that of what its items are called.
            let listed = names_users();
            members
                .iter()
                .for_each(|(inner, value)| named(if listed { key } else { inner }, value, depth + 1, others, defects));
        }
        Value::Array(items) => items.iter().for_each(|item| named(key, item, depth + 1, others, defects)),
        Value::Null | Value::Bool(_) => {}
        value if names_users() => others.extend(split_receivers(&party(value, Defect::ToWrongType, defects))),
        _ => {}
    }
}
