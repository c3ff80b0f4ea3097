//! Whatever an export is carried in, the same messages give the same findings and tallies; and whatever a file is, what becomes of it is known.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod support;
#[path = "support/carriers.rs"]
mod written;

use std::collections::BTreeMap;
use std::io::{Cursor, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use proptest::prelude::*;
use serde_json::{Value, json};
use support::{CORP, NOW_MS, hit, line, pipeline, store, switch, urgent};
use watchpost_agent::aside::Aside;
use watchpost_agent::carrier::{Limits, Names, Reading, open, open_stream};
use watchpost_agent::pipeline::Pipeline;
use watchpost_agent::source::Stamp;
use watchpost_agent::store::{FileKey, FileRow, FileState, Store};
use watchpost_policy::parse::parse_line;
use watchpost_proto::v1::summary::Kind;
use written::{Member, TABLE, Table};

const DAY_MS: i64 = 86_400_000;
const CUSTOMER: &str = "wmExAmPlEAAA0001customerAAAAAAAA";

/// Messages of many types, some of which make findings, to the second.
fn conversation() -> Vec<Value> {
    let texts = [
        "王总您好，报价单稍后发您🙂",
        "您加我私人微信吧",
        "这款理财产品保本保收益，\n稳赚不赔",
        "他说：\"好的\"，明天见",
        "这单绕开公司直接签；别走公司账",
        "谢谢",
    ];
    let mut messages = Vec::new();
    for (at, text) in texts.iter().cycle().take(30).enumerate() {
        let nested = json!({ "content": text }).to_string();
        let bodies = [
            ("text", json!({ "content": text })),
            (
                "link",
                json!({ "title": text, "description": "看", "link_url": "https://example.com/a,b", "image_url": "" }),
            ),
            (
                "file",
                json!({ "md5sum": "0f", "filename": format!("{text}.xlsx"), "fileext": "xlsx", "filesize": 20480 + at }),
            ),
            ("mixed", json!({ "item": [{ "type": "text", "content": nested }] })),
            (
                "chatrecord",
                json!({ "title": "聊天记录", "item": [{ "type": "ChatRecordText", "msgtime": 1_772_413_200, "content": nested, "from_chatroom": false }] }),
            ),
            ("card", json!({ "corpname": "微信联系人", "userid": CUSTOMER })),
            (
                "location",
                json!({ "longitude": 113.9345, "latitude": 22.5405, "address": text, "title": "示例大厦", "zoom": 16 }),
            ),
            ("image", json!({ "md5sum": "0f", "filesize": 48213, "sdkfileid": "RVhBTVBMRQ==" })),
        ];
        let (msgtype, body) = bodies[at * 7 % bodies.len()].clone();
        let (to, room) = if at % 3 == 0 {
            (vec!["zhouqiang", CUSTOMER], "wrExAmPlEAAA0004groupAAAAAAAAAAA")
        } else {
            (vec![CUSTOMER], "")
        };
        messages.push(json!({
            "msgid": format!("91{at:09}_1772416861007_external"), "action": "send", "from": "li.na", "tolist": to, "roomid": room,
            "msgtime": NOW_MS - 5 * DAY_MS + at as i64 * 1000, "msgtype": msgtype, msgtype: body,
        }));
    }
    // So late that everything windows could still wait for has passed.
    let mut last = messages[0].clone();
    (last["msgid"], last["msgtime"]) = ("91last_1772416861007_external".into(), (NOW_MS - 3_600_000).into());
    messages.push(last);
    messages
}

/// An export in memory, and how far it was taken.
struct Export {
    bytes: Vec<u8>,
    row: FileRow,
    changes: i64,
}

impl Export {
    fn of(bytes: impl Into<Vec<u8>>) -> Self {
        let key = FileKey { folder: "/exports".into(), name: "a".into() };
        Self { bytes: bytes.into(), row: FileRow::new(key, CORP), changes: 0 }
    }

    /// Takes it, stopping behind every transaction if `halting`.
    fn take(&mut self, pipeline: &mut Pipeline, halting: bool) {
        self.changes += 1;
        let stamp = Stamp { size: self.bytes.len() as u64, mtime_ns: self.changes };
        loop {
            let stop = AtomicBool::new(false);
            let export = (Cursor::new(self.bytes.clone()), stamp);
            pipeline.take(&mut self.row, export, &stop, || stop.store(halting, Ordering::Relaxed)).unwrap();
            if self.row.state != FileState::Reading {
                return;
            }
        }
    }
}

fn setup() -> (tempfile::TempDir, Arc<Store>, Pipeline) {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    let pipeline = pipeline(&store);
    (dir, store, pipeline)
}

/// What holds in the end of all that leaves the device about the messages of an export: findings by their id, and counts.
fn told(store: &Arc<Store>) -> (BTreeMap<String, String>, Vec<String>) {
    let mut findings = BTreeMap::new();
    for kind in urgent(store) {
        let Kind::Finding(finding) = kind else { panic!("{kind:?}") };
        findings.insert(hex::encode(&finding.finding_id), format!("{finding:?}"));
    }
    let tallies = store.read(|tx| tx.tallies_unreported(99)).unwrap();
    (findings, tallies.iter().map(|row| format!("{} {} {:?}", row.account, row.hour, row.counts)).collect())
}

#[test]
fn every_carrier_gives_the_same() {
    let messages = conversation();
    let mut expected = None;
    for (name, bytes) in written::all(&messages) {
        for halting in [false, true] {
            let (_dir, store, mut pipeline) = setup();
            pipeline.config.batch_bytes = if halting { 700 } else { 8 << 20 };
            let mut export = Export::of(bytes.clone());
            export.take(&mut pipeline, halting);
            assert_eq!((export.row.state, export.row.reason.as_str()), (FileState::Done, ""), "{name}");
            let counts = &export.row.counts;
            assert_eq!((counts.messages, counts.repeats), (31, 0), "{name}, {halting}: {counts:?}");
            let told = told(&store);
            assert!(told.0.len() >= 12, "{name}: {}", told.0.len());
            let expected = expected.get_or_insert_with(|| (told.clone(), counts.types.clone()));
            let ids: Vec<&String> = told.0.keys().collect();
            assert_eq!(ids, expected.0.0.keys().collect::<Vec<_>>(), "{name}, {halting}");
            for (id, finding) in &told.0 {
                assert_eq!(finding, &expected.0.0[id], "{name}, {halting}");
            }
            assert_eq!(told.1, expected.0.1, "{name}, {halting}");
            assert_eq!(counts.types, expected.1, "{name}");
        }
    }
}

#[test]
fn a_table_and_an_archive_are_followed_while_they_grow() {
    let messages = conversation();
    let table = Table { exploded: true, ..TABLE }.of(&messages);
    for whole in [table.clone().into_bytes(), written::gb18030(&table), written::gzip(table.as_bytes())] {
        let (_dir, store, mut pipeline) = setup();
        let mut export = Export::of("");
        for length in (0..whole.len()).step_by(whole.len() / 9 + 1).chain([whole.len()]) {
            export.bytes = whole[..length].to_vec();
            export.take(&mut pipeline, false);
        }
        assert_eq!((export.row.state, export.row.counts.torn), (FileState::Done, false));
        let (_dir, plain, mut pipeline) = setup();
        Export::of(whole).take(&mut pipeline, false);
        assert_eq!(told(&store).0.keys().collect::<Vec<_>>(), told(&plain).0.keys().collect::<Vec<_>>());
    }
}

/// Bytes, the fate of the export, its messages and its defects.
type Fate = (&'static str, Vec<u8>, &'static str, u64, &'static [(&'static str, u64)]);

fn fates() -> Vec<Fate> {
    let hits = |count: usize| (0..count).map(|at| hit(&format!("m{at}"))).collect::<String>();
    let three = hits(3);
    let gz = written::gzip(three.as_bytes());
    let long = written::gzip(hits(400).as_bytes());
    let sealed =
        json!({ "seq": 1, "msgid": "m", "publickey_ver": 3, "encrypt_random_key": "QQ==", "encrypt_chat_msg": "QQ==" });
    let bomb = written::gzip(&vec![b' '; 200 << 20]);
    let table = TABLE.of(&conversation()[..3]);
    let (header, rows) = table.split_once('\n').unwrap();
    let zipped = |members: &[Member<'_>]| written::zip(members);
    vec![
        ("nothing", b"".to_vec(), "done", 0, &[]),
        ("empty lines", b"\n\n \n".to_vec(), "done", 0, &[]),
        ("a mark alone", b"\xEF\xBB\xBF".to_vec(), "done", 0, &[]),
        ("prose", "会议纪要\n大家好\n".into(), "unrecognised", 0, &[]),
        ("an object that is no message", b"{\"a\":1}\n".to_vec(), "unrecognised", 0, &[("not_a_message", 1)]),
        ("numbers", b"1\n2\n".to_vec(), "unrecognised", 0, &[]),
        ("zero bytes", b"{\"a\":\0\0}".to_vec(), "binary", 0, &[]),
        ("sealed lines", format!("{sealed}\n{sealed}\n").into(), "sealed", 0, &[("encrypted", 2)]),
        ("a sealed response", json!({ "errcode": 0, "chatdata": [sealed, sealed, sealed] }).to_string().into(), "sealed", 0, &[("encrypted", 3)]),
        ("sealed and open", format!("{sealed}\n{three}").into(), "done", 3, &[("encrypted", 1)]),
        ("an empty response", b"{\"errcode\":0,\"errmsg\":\"ok\",\"chatdata\":[]}\n".to_vec(), "done", 0, &[]),
        ("a refused response", b"{\"errcode\":301052,\"errmsg\":\"expired\"}\n".to_vec(), "unrecognised", 0, &[("not_a_message", 1)]),
        ("gzip cut short", gz[..gz.len() - 12].to_vec(), "corrupt", 0, &[]),
        ("a long gzip cut short", long[..long.len() / 2].to_vec(), "corrupt", 120, &[]),
        ("gzip with a wrong byte", { let mut bytes = gz.clone(); bytes[20] ^= 0x55; bytes }, "corrupt", 0, &[]),
        ("gzip of nothing", written::gzip(b""), "done", 0, &[]),
        ("gzip in gzip", written::gzip(&gz), "nested", 0, &[]),
        ("zip in gzip", written::gzip(&zipped(&[Member::new("a", three.as_bytes())])), "nested", 0, &[]),
        ("a bomb", bomb, "bomb", 0, &[]),
        ("zstd cut short", { let bytes = written::zstd(three.as_bytes()); bytes[..bytes.len() - 5].to_vec() }, "corrupt", 0, &[]),
        ("bzip2 cut short", { let bytes = written::bzip2(three.as_bytes()); bytes[..bytes.len() - 5].to_vec() }, "corrupt", 0, &[]),
        ("bzip2 by name only", b"BZh9 is no archive".to_vec(), "corrupt", 0, &[]),
        ("a zip without its directory", zipped(&[Member::new("a", three.as_bytes())])[..200].to_vec(), "corrupt", 0, &[]),
        ("an empty zip", zipped(&[]), "nothing_inside", 0, &[]),
        ("a zip of pictures", zipped(&[Member::new("a.jpg", b"\xFF\xD8\xFFaaaa"), Member::new("b.amr", b"#!AMR\nxxxx")]), "nothing_inside", 0, &[("member_not_text", 2)]),
        ("a zip with other text", zipped(&[Member::new("README", "说明".as_bytes()), Member::new("a", three.as_bytes())]), "done", 3, &[("member_not_text", 1)]),
        ("a zip that leads out", zipped(&[Member::new("../../etc/cron.d/x", three.as_bytes())]), "done", 3, &[]),
        ("an encrypted zip", zipped(&[Member { encrypted: true, ..Member::new("a", three.as_bytes()) }]), "encrypted", 0, &[("member_encrypted", 1)]),
        ("a zip in a zip", zipped(&[Member::new("a.zip", &zipped(&[Member::new("a", three.as_bytes())])), Member::new("b", three.as_bytes())]), "done", 3, &[("member_unreadable", 1)]),
        ("gzip in a zip", zipped(&[Member::new("a.gz", &gz), Member::new("b", three.as_bytes())]), "done", 3, &[("member_unreadable", 1)]),
        ("a stored zip", zipped(&[Member { deflated: false, ..Member::new("a", three.as_bytes()) }]), "done", 3, &[]),
        ("one file a thousand times", written::zip_of(&[Member::new("0000", &vec![b' '; 2 << 20])], 1000), "too_large", 0, &[]),
        ("a workbook without a table", written::workbook("姓名,部门\n李娜,销售\n"), "unrecognised", 0, &[]),
        ("a workbook with a document type", sheet("<!DOCTYPE x [<!ENTITY a SYSTEM \"file:///etc/passwd\"><!ENTITY b \"bbbb\">]>", &row(&["m1", "li.na", "1795132800000", "&a;&b;"])), "done", 1, &[("body_missing", 1), ("to_missing", 1)]),
        ("a workbook of empty cells", sheet("", &format!("{}<row>{}</row>", row(&["m1", "li.na", "1795132800000", "x"]), "<c/>".repeat(1_000_000))), "done", 1, &[("to_missing", 1)]),
        ("a workbook cut short", { let bytes = sheet("", &row(&["m1", "li.na", "1795132800000", "x"])); bytes[..bytes.len() - 40].to_vec() }, "corrupt", 0, &[]),
        ("a workbook that is not closed", sheet("", "<row><c t=\"inlineStr\"><is><t>x"), "corrupt", 0, &[]),
        ("a workbook with days", sheet("", &row(&["m1", "li.na", "46346.4173726852", "x"])), "done", 1, &[("to_missing", 1)]),
        ("a cell that is nowhere", sheet("", "<row><c r=\"ZZZZZZ9\" t=\"s\"><v>99</v></c></row>"), "done", 0, &[]),
        ("old line ends", TABLE.of(&conversation()[..1]).replace('\n', "\r").into(), "done", 1, &[]),
        ("a dump whose row is cast", format!("{CREATE}INSERT INTO `m` VALUES ('m1','a','b',1795132800000,replace('x\\ny','\\n',char(10)));\n").into(), "done", 1, &[]),
        ("two files of one name", written::zip_of(&[Member::new("a", three.as_bytes()), Member::new("a", hits(2).as_bytes())], 1), "done", 2, &[("member_unreadable", 1)]),
        ("a file that is not what it should be", { let mut bytes = written::zip(&[Member { deflated: false, ..Member::new("a", three.as_bytes()) }]); let at = bytes.windows(5).position(|part| part == b"li.na").unwrap(); bytes[at] = b'x'; bytes }, "done", 3, &[("member_unreadable", 1)]),
        ("lists in answers", json!({ "order_by": "msgtime", "RECORDS": [], "data": { "action": "list", "List": conversation()[..2] } }).to_string().into(), "done", 2, &[]),
        ("a list in a message", format!("[{{\"id\":5,\"items\":[],\"msgid\":\"m1\",\"msgtype\":\"text\"}},{}]", hit("m2").trim()).into(), "done", 1, &[("not_a_message", 1)]),
        ("a dump of other tables", "CREATE TABLE `a` (`b` int);\nINSERT INTO `a` VALUES (1),(2);\n".into(), "unrecognised", 0, &[]),
        ("a dump with a torn row", format!("{CREATE}INSERT INTO `m` VALUES (1,2);\nINSERT INTO `m` VALUES ('m1','a','b',1795132800000,'x');\n").into(), "done", 1, &[("row_torn", 1)]),
        ("a dump cut in a row", format!("{CREATE}INSERT INTO `m` VALUES ('m1','a','b',1795132800000,'x'),('m2','a").into(), "done", 1, &[]),
        ("a dump with calls and casts", format!("{CREATE}INSERT INTO `m` VALUES ('m1','a',CONCAT('b',LOWER('C')),FROM_UNIXTIME(1795132800),N'x');\n").into(), "done", 1, &[]),
        ("a database", b"SQLite format 3\0aaaaaaaaaa".to_vec(), "database", 0, &[]),
        ("an old workbook", b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1aaaa".to_vec(), "old_office", 0, &[]),
        ("a file somebody encrypted", b"%TSD-Header-###%aaaaaaaa".to_vec(), "protected", 0, &[]),
        ("a printed document", b"%PDF-1.7\n".to_vec(), "media", 0, &[]),
        ("another archive", b"7z\xBC\xAF\x27\x1Caaaa".to_vec(), "archive", 0, &[]),
        ("a message cut at the end", format!("{three}{}", &hit("m9")[..50]).into(), "done", 3, &[]),
        ("a line torn in the middle", format!("{}{}{three}", &hit("m9")[..50], "\n").into(), "done", 3, &[("torn", 1)]),
        ("an array cut at the end", format!("[{},{}", hit("m1").trim(), &hit("m2")[..40]).into(), "done", 1, &[]),
        ("an array with other things", format!("[1,\"x\",null,[],{}]", hit("m1").trim()).into(), "done", 1, &[("not_an_object", 2)]),
        ("a line torn in a response", format!("{{\"chatdata\":[{},{{\"msgid\":\"x\",\"text\":\"未\n{}]}}", hit("m1").trim(), hit("m2")).into(), "done", 2, &[("torn", 1)]),
        ("brackets without end", "[".repeat(200_000).into(), "done", 0, &[]),
        ("brackets in a message", format!("{{\"msgtype\":{}\n{three}", "[".repeat(200_000)).into(), "done", 3, &[("too_deep", 1)]),
        ("brackets between lines", format!("{}{{\"torn\n{}\n{}", hit("m1"), "[".repeat(900), hit("m2")).into(), "done", 2, &[("too_deep", 1), ("torn", 1)]),
        ("a message among other things", format!("nonsense\n{{\"msgid\":\n}}\n{}", hit("m1")).into(), "done", 1, &[("not_json", 2), ("torn", 1)]),
        ("lone surrogates", line("m1", "您加我私人微信吧\\ud83d").into(), "done", 1, &[("lone_surrogate", 1)]),
        ("overlong UTF-8", [hit("m1").as_bytes(), b"{\"msgid\":\"m2\",\"action\":\"send\",\"from\":\"a\",\"tolist\":[\"b\"],\"msgtime\":1795132800000,\"msgtype\":\"text\",\"text\":{\"content\":\"\xC0\xAF\"}}\n"].concat(), "done", 2, &[("invalid_utf8", 1)]),
        ("a header alone", format!("{header}\n").into(), "done", 0, &[]),
        ("a table of other things", "姓名,部门,电话\n李娜,销售,1\n".into(), "unrecognised", 0, &[]),
        ("a row too short", format!("{header}\n1,m1,send\n{rows}").into(), "done", 3, &[("row_torn", 1)]),
        ("a quote nobody closed", format!("{header}\n1,m1,send,li.na,\"x,,1,text,\n{rows}").into(), "done", 3, &[("row_torn", 1)]),
        ("a row still written", format!("{header}\n{rows}9,m1,send,li.na,\"x").into(), "done", 3, &[("to_wrong_type", 1)]),
        ("a table of nulls", "msgid,from,msgtime,content\nNULL,NULL,NULL,NULL\n".into(), "done", 1, &[("body_missing", 1), ("from_missing", 1), ("msgid_missing", 1), ("time_missing", 1), ("to_missing", 1)]),
        ("formulas in a table", "msgid,from,to,msgtime,content\nm1,li.na,wm1,1795132800000,=cmd|' /C calc'!A0\n".into(), "done", 1, &[]),
        ("callbacks", deleted(3).into(), "done", 3, &[]),
        ("a callback cut at the end", deleted(3)[..900].into(), "done", 2, &[]),
        ("callbacks one of which is torn", deleted(3).replacen("<UserID>", "<UserID></xml>", 1).into(), "done", 2, &[("not_json", 1), ("torn", 1)]),
        ("a sealed callback", b"<xml><ToUserName>ww1</ToUserName><Encrypt><![CDATA[QQ==]]></Encrypt></xml>".to_vec(), "sealed", 0, &[("encrypted", 1)]),
        ("a page", b"<html><body>\xE4\xBD\xA0</body></html>".to_vec(), "unrecognised", 0, &[]),
        ("a callback of many elements", format!("<xml>{}</xml>{}", "<a>".repeat(100_000), deleted(1)).into(), "done", 1, &[("not_json", 1)]),
        ("messages with lists of customers", format!("{0}{0}", format!("{}\n", json!({ "action": "send", "customer": [{ "name": "A" }], "from": "li.na", "info": [{ "content": "x" }], "msgid": "c1", "msgtime": NOW_MS, "msgtype": "text", "text": { "content": "您加我私人微信吧" }, "tolist": [CUSTOMER] }))).into(), "done", 1, &[]),
        ("a message that is spread without indentation", format!("[\n{{\n\"msgid\":\"f1\",\n\"action\":\"send\",\n\"from\":\"li.na\",\n\"tolist\":[\"{CUSTOMER}\"],\n\"msgtime\":{NOW_MS},\n\"msgtype\":\"chatrecord\",\n\"chatrecord\":{{\n\"title\":\"t\",\n\"item\":[\n{{\"type\":\"ChatRecordText\",\"msgtime\":1772413200,\"content\":\"{{\\\"content\\\":\\\"x\\\"}}\"}}\n]\n}}\n}},\n{}]", hit("f2")).into(), "done", 2, &[]),
        ("customers handed over", br#"{"errcode":0,"customer":[{"external_userid":"wm1","status":2,"takeover_time":0,"takeover_userid":"li.na"}]}"#.to_vec(), "done", 1, &[]),
        ("an array of answers", br#"[{"errcode":0,"customer":[{"external_userid":"wm1","errcode":0}]},{"errcode":0,"customer":[{"external_userid":"wm2","errcode":0}]}]"#.to_vec(), "done", 2, &[]),
        ("a log", json!({ "errcode": 0, "record_list": [{ "time": 1, "userid": "li.na", "oper_type": 2 }, { "time": 2, "userid": "li.na", "oper_type": 2 }] }).to_string().into(), "done", 2, &[]),
        ("bills", json!({ "bill_list": [{ "transaction_id": "1", "bill_type": 0, "pay_time": 1_795_132_800, "payee_userid": "li.na", "commodity_list": [{ "amount": 1 }] }], "next_cursor": "" }).to_string().into(), "done", 1, &[]),
        ("sensitive words of WeCom itself", json!({ "rule_list": [{ "rule_id": 1, "rule_name": "飞单" }] }).to_string().into(), "unrecognised", 0, &[("not_a_message", 1)]),
        ("what the data zone keeps", json!({ "has_more": 0, "msg_list": [{ "msgid": "1", "sender": { "type": 1, "id": "wo1" }, "receiver_list": [], "send_time": 1, "msgtype": 2, "service_encrypt_info": {} }] }).to_string().into(), "sealed", 0, &[("encrypted", 1)]),
        ("customer service", json!({ "msg_list": [{ "msgid": "1", "open_kfid": "wk1", "external_userid": "wm1", "send_time": 1_795_132_800, "origin": 3, "servicer_userid": "li.na", "msgtype": "text", "text": { "content": "在吗" } }] }).to_string().into(), "done", 1, &[]),
        ("a date that is none", "msgid,from,to,msgtime,content\nm1,li.na,wm1,yesterday,x\n".into(), "done", 1, &[("time_wrong_type", 1)]),
    ]
}

/// Callbacks that tell of so many customers deleted, a minute after each other.
fn deleted(count: usize) -> String {
    let one = |at: usize| {
        let seconds = NOW_MS / 1000 - 86_000 + 60 * at as i64;
        format!(
            "<xml><ToUserName><![CDATA[{CORP}]]></ToUserName><FromUserName><![CDATA[sys]]></FromUserName><CreateTime>{seconds}</CreateTime><MsgType><![CDATA[event]]></MsgType><Event><![CDATA[change_external_contact]]></Event><ChangeType><![CDATA[del_external_contact]]></ChangeType><UserID><![CDATA[li.na]]></UserID><ExternalUserID><![CDATA[wmExAmPlEAAA{at:04}customerAAAAAAAA]]></ExternalUserID></xml>\n"
        )
    };
    (0..count).map(one).collect()
}

/// Twenty customers deleted in a day are a finding, however often and in whatever carrier it is told; nobody has sent anything.
#[test]
fn what_other_interfaces_report_is_looked_at() {
    let xml = deleted(20);
    let objects = lines_of(xml.as_bytes());
    let zipped = written::zip(&[Member::new("a.xml", xml.as_bytes()), Member::new("b.xml", xml.as_bytes())]);
    for export in [
        xml.clone().into_bytes(),
        xml.repeat(2).into(),
        objects.join("\n").into(),
        format!("[{}]", objects.join(",")).into(),
        zipped,
    ] {
        let (_dir, store, mut pipeline) = setup();
        let mut export = Export::of(export);
        export.take(&mut pipeline, false);
        assert_eq!((export.row.state, export.row.counts.messages), (FileState::Done, 20), "{:?}", export.row.counts);
        let (findings, tallies) = told(&store);
        // Without a roster nobody is known not to be leaving.
        let rules = findings.values().filter(|finding| finding.contains("value: 20")).count();
        assert_eq!((findings.len(), rules), (2, 2), "{findings:?}");
        assert!(tallies.is_empty(), "{tallies:?}");
    }
    let (_dir, store, mut pipeline) = setup();
    Export::of(deleted(4)).take(&mut pipeline, false);
    assert!(told(&store).0.is_empty());
}

/// The time of a record says nothing of how far messages have come: a wait is told when they have.
#[test]
fn records_do_not_move_the_time_of_messages() {
    let (_dir, _store, mut pipeline) = setup();
    let mut export = Export::of(format!(
        "{}{}",
        hit("m1").replace(&NOW_MS.to_string(), "1795000000000"),
        json!({ "time": NOW_MS / 1000, "userid": "li.na", "oper_type": 2 })
    ));
    export.take(&mut pipeline, false);
    assert_eq!((export.row.counts.messages, export.row.counts.last_ms), (2, 1_795_000_000_000));
}

const CREATE: &str = "CREATE TABLE IF NOT EXISTS `m` (`msgid` varchar(9), `from` varchar(9), `to` varchar(9), `msgtime` bigint, `content` text);\n";

/// A workbook with one sheet: a header, and these rows.
fn sheet(head: &str, rows: &str) -> Vec<u8> {
    let header = row(&["msgid", "from", "msgtime", "content"]);
    let sheet = format!("<?xml version=\"1.0\"?>{head}<worksheet><sheetData>{header}{rows}</sheetData></worksheet>");
    written::zip(&[
        Member::new("xl/workbook.xml", b"<workbook/>"),
        Member::new("xl/worksheets/sheet1.xml", sheet.as_bytes()),
    ])
}

fn row(cells: &[&str]) -> String {
    let cells = cells.iter().map(|cell| format!("<c t=\"inlineStr\"><is><t>{cell}</t></is></c>"));
    format!("<row>{}</row>", cells.collect::<String>())
}

#[test]
fn whatever_a_file_is_its_fate_is_known() {
    let fates = fates();
    for (name, bytes, fate, messages, defects) in fates {
        let (_dir, _store, mut pipeline) = setup();
        let mut export = Export::of(bytes);
        export.take(&mut pipeline, false);
        let row = &export.row;
        let word = if row.state == FileState::SetAside { row.reason.as_str() } else { row.state.as_str() };
        assert_eq!(word, fate, "{name}: {:?}", row.counts);
        let enough = if fate == "corrupt" { row.counts.messages >= messages } else { row.counts.messages == messages };
        assert!(enough, "{name}: {:?}", row.counts);
        let told: Vec<(&str, u64)> = row.counts.defects.iter().map(|(name, count)| (name.as_str(), *count)).collect();
        assert_eq!(told, defects, "{name}");
    }
}

/// Of whom nobody can tell whether they are on the never list is treated as if they were.
#[test]
fn nobody_of_the_never_list_is_evaluated() {
    let text = "您加我私人微信吧";
    let to = |to: &str| {
        format!(
            "{{\"msgid\":\"m1\",\"action\":\"send\",\"from\":\"li.na\",\"tolist\":{to},\"msgtime\":{NOW_MS},\"msgtype\":\"text\",\"text\":{{\"content\":\"{text}\"}}}}\n"
        )
    };
    let table = |header: &str, rows: &[&str]| format!("{header}\n{}\n", rows.join("\n"));
    let csv = "msgid,from,to,msgtime,msgtype,content";
    let forged = "\"{\"\"msgtype\"\":\"\"text\"\",\"\"from\"\":\"\"li.na\"\",\"\"tolist\"\":[\"\"wmExAmPlEAAA0001customerAAAAAAAA\"\"],\"\"text\"\":{\"\"content\"\":\"\"您加我私人微信吧\"\"}}\"";
    for (name, export, evaluated) in [
        ("the customer alone", to("[\"wmExAmPlEAAA0001customerAAAAAAAA\"]"), 1),
        ("the never list", to("[\"wmExAmPlEAAA0001customerAAAAAAAA\",\"Counsel\"]"), 0),
        ("a list as text", to("\"[\\\"wmExAmPlEAAA0001customerAAAAAAAA\\\",\\\"counsel\\\"]\""), 0),
        ("a list of another language", to("\"['wmExAmPlEAAA0001customerAAAAAAAA', 'counsel']\""), 0),
        ("a list of objects", to("\"[{\\\"userid\\\":\\\"counsel\\\"}]\""), 0),
        ("parted by space", to("\"wmExAmPlEAAA0001customerAAAAAAAA counsel\""), 0),
        ("parted by a stroke", to("\"wmExAmPlEAAA0001customerAAAAAAAA/counsel\""), 0),
        (
            "parted by a line",
            table(csv, &[&format!("m1,li.na,\"wmExAmPlEAAA0001customerAAAAAAAA\ncounsel\",{NOW_MS},text,{text}")]),
            0,
        ),
        (
            "names and ids",
            table("msgid,from,接收人,接收人ID,msgtime,content", &[&format!("m1,li.na,王律师,counsel,{NOW_MS},{text}")]),
            0,
        ),
        (
            "a body that forgets them",
            table(
                &csv.replace("content", "raw_json"),
                &[&format!(
                    "m1,li.na,counsel,{NOW_MS},text,\"{{\"\"msgtype\"\":\"\"text\"\",\"\"tolist\"\":null,\"\"text\"\":{{\"\"content\"\":\"\"{text}\"\"}}}}\""
                )],
            ),
            0,
        ),
        (
            "a body that forges the sender",
            table(csv, &[&format!("m1,counsel,wmExAmPlEAAA0001customerAAAAAAAA,{NOW_MS},text,{forged}")]),
            0,
        ),
        (
            "one row each",
            table(
                csv,
                &[
                    &format!("m1,li.na,wmExAmPlEAAA0001customerAAAAAAAA,{NOW_MS},text,{text}"),
                    &format!("m1,li.na,counsel,{NOW_MS},text,{text}"),
                ],
            ),
            0,
        ),
        (
            "a torn row behind",
            table(
                csv,
                &[&format!("m1,li.na,wmExAmPlEAAA0001customerAAAAAAAA,{NOW_MS},text,{text}"), "m1,li.na,counsel"],
            ),
            0,
        ),
    ] {
        let (_dir, store, mut pipeline) = setup();
        let rows = "corp,userid,name,labels,never\nwwEXAMPLE0001,li.na,,,\nwwEXAMPLE0001,counsel,,,true\n";
        let packs = watchpost_policy::packs::builtin().unwrap();
        let accounts = watchpost_policy::accounts::Accounts::parse(rows.as_bytes()).unwrap();
        pipeline.switch = switch(watchpost_policy::engine::Engine::compile(packs, Some(accounts)).unwrap());
        let mut export = Export::of(export);
        export.take(&mut pipeline, false);
        assert_eq!(export.row.counts.messages, evaluated, "{name}: {:?}", export.row.counts);
        assert_eq!(urgent(&store).len() as u64, evaluated, "{name}");
    }
}

#[test]
fn every_reason_is_documented() {
    let page = include_str!("../../docs/exports.md");
    for aside in Aside::ALL {
        assert!(page.contains(&format!("`{}`", aside.as_str())), "{aside}");
        assert_eq!(Aside::of_word(aside.as_str()), Some(aside));
    }
}

/// The lines an export comes out as.
fn lines_of(export: &[u8]) -> Vec<String> {
    let mut lines = String::new();
    let carried = open_stream(export, &Reading::default()).ok();
    carried.map(|mut carried| carried.lines.read_to_string(&mut lines));
    lines.lines().map(|line| line.trim().to_owned()).collect()
}

proptest! {
    /// Whatever parallel writers have torn, and however little of it is whole: a whole line loses nothing.
    #[test]
    fn what_is_torn_loses_only_itself(
        pieces in proptest::collection::vec((0u8..4, any::<[prop::sample::Index; 2]>(), 0u8..4, any::<bool>()), 1..12),
    ) {
        let mut export = String::new();
        for (number, cut, kind, ends) in pieces {
            let whole = hit(&format!("m{number}")).trim_end().replace("\"content\":\"", "\"content\":\"C:\\\\");
            let places: Vec<usize> = whole.char_indices().map(|(at, _)| at).collect();
            let [begin, end] = cut.map(|index| *index.get(&places));
            export += match kind {
                0 | 1 => &whole,
                2 => &whole[..end],
                _ => &whole[begin.min(end)..end],
            };
            export += if ends || kind == 0 { "\n" } else { "" };
        }
        let is_message = |line: &&str| serde_json::from_str::<Value>(line).is_ok_and(|value| value["msgid"].is_string());
        let got = lines_of(export.as_bytes());
        for line in export.lines().filter(is_message) {
            prop_assert!(got.iter().any(|one| one == line), "{line} of\n{export}\ncame as\n{got:#?}");
        }
    }
}

/// The tables that the guide says need nothing told, and one that does.
#[test]
fn tables_of_vendors_are_read_as_the_guide_says() {
    let body = r#""{""content"":""您加我私人微信吧""}""#;
    let time = NOW_MS;
    for (vendor, header, row, columns) in [
        (
            "LinkWeChat",
            "id,msg_id,from_id,to_list,room_id,action,msg_type,msg_time,seq,contact,is_external,del_flg",
            format!("1,m1,li.na,{CUSTOMER},,send,text,2026-11-20 08:00:00,5,{body},0,0"),
            &[][..],
        ),
        (
            "wework-msgaudit",
            "id,msgid,publickey_ver,seq,action,msgfrom,tolist,msgtype,msgtime,text,sdkfield,msgdata,status,media_code,media_path,roomid,created",
            format!("1,m1,3,5,send,li.na,{CUSTOMER},text,{time},您加我私人微信吧,,{body},1,,,,2026-11-20"),
            &[],
        ),
        (
            "wework-java",
            "msgid,action,msgtype,roomid,msgtime,msg,media_url,content,sender",
            format!("m1,send,text,,2026-11-20 08:00:00,{body},,您加我私人微信吧,li.na"),
            &[],
        ),
        (
            "FetchData",
            "seq,msgid,action,sender,receiver,roomid,msgtime,msgtype,sdkfileid,raw_json",
            format!("5,m1,send,li.na,{CUSTOMER},,2026-11-20 08:00:00,text,,{body}"),
            &[],
        ),
        (
            "MoChat",
            "id,corp_id,seq,msg_id,action,from,tolist,msg_type,content,msg_time,room_id",
            format!("1,1,5,m1,0,li.na,{CUSTOMER},1,{body},{time},"),
            &[],
        ),
        (
            "a search export",
            "名称,头像,发送时间,消息类型,发送类型,消息内容",
            "李娜,,2026-11-20 08:00:00,文本,1,您加我私人微信吧".to_owned(),
            &[("from", "名称")],
        ),
    ] {
        let reading = Reading { names: Names::of(columns.iter().copied()).unwrap(), ..Reading::default() };
        let table = format!("{header}\n{row}\n");
        let mut line = String::new();
        open_stream(table.as_bytes(), &reading).unwrap().lines.read_to_string(&mut line).unwrap();
        let message = parse_line(line.as_bytes()).message.unwrap_or_else(|| panic!("{vendor}: {line}"));
        let texts: Vec<&str> = message.texts.iter().map(|text| text.text.as_str()).collect();
        assert_eq!(
            (message.msgtype.as_str(), message.msgtime, texts),
            ("text", Some(NOW_MS), vec!["您加我私人微信吧"]),
            "{vendor}: {line}"
        );
        assert!(["li.na", "李娜"].contains(&message.from.as_str()), "{vendor}: {line}");
    }
}

#[test]
fn an_export_beyond_its_bounds_is_set_aside() {
    let lines = hit("m1");
    let book = written::workbook(&TABLE.of(&conversation()[..3]));
    let bounds = |change: fn(&mut Limits)| {
        let mut reading = Reading::default();
        change(&mut reading.limits);
        reading
    };
    for (what, export, reading) in [
        ("its size", lines.as_bytes(), bounds(|limits| limits.file_bytes_max = 100)),
        ("its texts", book.as_slice(), bounds(|limits| limits.shared_bytes_max = 20)),
    ] {
        let mut all = Vec::new();
        assert!(open(Cursor::new(export), &Reading::default()).unwrap().lines.read_to_end(&mut all).is_ok(), "{what}");
        let read = open(Cursor::new(export), &reading).and_then(|mut carried| carried.lines.read_to_end(&mut all));
        assert_eq!(Aside::of(&read.unwrap_err()), Aside::TooLarge, "{what}");
    }
}
