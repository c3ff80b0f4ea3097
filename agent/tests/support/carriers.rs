//! One conversation in every carrier there is, written as other programs write them.

use std::io::Write;

use encoding_rs::GB18030;
use flate2::Compression;
use serde_json::{Map, Value, json};
use watchpost_policy::calendar::Day;

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 3).unwrap()
}

pub(crate) fn bzip2(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn utf16(text: &str, big: bool, mark: bool) -> Vec<u8> {
    let units = mark.then_some(0xFEFF).into_iter().chain(text.encode_utf16());
    units.flat_map(|unit| if big { unit.to_be_bytes() } else { unit.to_le_bytes() }).collect()
}

pub(crate) fn gb18030(text: &str) -> Vec<u8> {
    GB18030.encode(text).0.into_owned()
}

/// A file in an archive.
pub(crate) struct Member<'a> {
    pub name: &'a [u8],
    pub bytes: &'a [u8],
    pub deflated: bool,
    pub encrypted: bool,
}

impl<'a> Member<'a> {
    pub(crate) fn new(name: &'a str, bytes: &'a [u8]) -> Self {
        Self { name: name.as_bytes(), bytes, deflated: true, encrypted: false }
    }
}

/// A zip archive.
pub(crate) fn zip(members: &[Member<'_>]) -> Vec<u8> {
    zip_of(members, 1)
}

/// A zip archive, written by hand so that it can be wrong on purpose: its directory has every file so often, under names that end in a number.
pub(crate) fn zip_of(members: &[Member<'_>], times: u16) -> Vec<u8> {
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    for member in members {
        let packed = if member.deflated {
            let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), Compression::default());
            encoder.write_all(member.bytes).unwrap();
            encoder.finish().unwrap()
        } else {
            member.bytes.to_vec()
        };
        let mut crc = flate2::Crc::new();
        crc.update(member.bytes);
        let begin = out.len() as u32;
        let mut fields = Vec::new();
        fields.extend_from_slice(&20_u16.to_le_bytes());
        fields.extend_from_slice(&u16::from(member.encrypted).to_le_bytes());
        fields.extend_from_slice(&if member.deflated { 8_u16 } else { 0 }.to_le_bytes());
        fields.extend_from_slice(&[0; 4]);
        fields.extend_from_slice(&crc.sum().to_le_bytes());
        fields.extend_from_slice(&(packed.len() as u32).to_le_bytes());
        fields.extend_from_slice(&(member.bytes.len() as u32).to_le_bytes());
        fields.extend_from_slice(&(member.name.len() as u16).to_le_bytes());
        fields.extend_from_slice(&[0; 2]);
        out.extend_from_slice(b"PK\x03\x04");
        out.extend_from_slice(&fields);
        out.extend_from_slice(member.name);
        out.extend_from_slice(&packed);
        directory.extend_from_slice(b"PK\x01\x02\x14\0");
        directory.extend_from_slice(&fields);
        directory.extend_from_slice(&[0; 10]);
        directory.extend_from_slice(&begin.to_le_bytes());
        directory.extend_from_slice(member.name);
    }
    let mut copies = directory.clone();
    for copy in 1..times {
        let end = directory.len() - 4;
        copies.extend_from_slice(&directory[..end]);
        copies.extend_from_slice(format!("{copy:04}").as_bytes());
    }
    let directory = copies;
    let (begin, count) = (out.len() as u32, members.len() as u16 * times);
    out.extend_from_slice(&directory);
    out.extend_from_slice(b"PK\x05\x06\0\0\0\0");
    out.extend_from_slice(&count.to_le_bytes());
    out.extend_from_slice(&count.to_le_bytes());
    out.extend_from_slice(&(directory.len() as u32).to_le_bytes());
    out.extend_from_slice(&begin.to_le_bytes());
    out.extend_from_slice(&[0; 2]);
    out
}

/// One message a line.
pub(crate) fn lines(messages: &[Value]) -> String {
    messages.iter().map(|message| format!("{message}\n")).collect()
}

fn wrapped(messages: &[Value]) -> Vec<Value> {
    let wrap = |(seq, message): (usize, &Value)| json!({ "seq": seq, "msgid": message["msgid"], "publickey_ver": 3, "msg": message });
    messages.iter().enumerate().map(wrap).collect()
}

/// As a push of a vendor: scalars as strings, receivers joined, every body key present.
fn pushed(message: &Value) -> Value {
    let mut inner = strings(message);
    for key in ["text", "image", "link", "file", "card", "location", "mixed", "chatrecord", "emotion", "weapp"] {
        inner.as_object_mut().unwrap().entry(key).or_insert(Value::Null);
    }
    let receivers: Vec<&str> = message["tolist"].as_array().unwrap().iter().map(|id| id.as_str().unwrap()).collect();
    inner["tolist"] = receivers.join(",").into();
    json!({ "message_id": message["msgid"], "type": 101, "content": inner.to_string(), "gmt_create": "1772416861" })
}

fn strings(value: &Value) -> Value {
    match value {
        Value::Object(object) => {
            object.iter().map(|(key, value)| (key.clone(), strings(value))).collect::<Map<_, _>>().into()
        }
        Value::Array(items) => items.iter().map(strings).collect(),
        Value::String(text) => text.as_str().into(),
        other => other.to_string().into(),
    }
}

/// How a table is written.
#[derive(Clone, Copy)]
pub(crate) struct Table {
    pub separator: char,
    pub chinese: bool,
    /// One row for each receiver.
    pub exploded: bool,
    /// Times as dates, to the second.
    pub dates: bool,
    pub end: &'static str,
}

pub(crate) const TABLE: Table = Table { separator: ',', chinese: false, exploded: false, dates: false, end: "\n" };

impl Table {
    pub(crate) fn of(self, messages: &[Value]) -> String {
        let header = if self.chinese {
            ["序号", "消息ID", "操作", "发送人", "接收人", "群ID", "发送时间", "消息类型", "消息内容"]
        } else {
            ["seq", "msgid", "action", "sender", "receiver", "roomid", "msgtime", "msgtype", "raw_json"]
        };
        let mut out = self.row(&header.map(str::to_owned));
        for (seq, message) in messages.iter().enumerate() {
            let text = |key: &str| message[key].as_str().unwrap_or_default().to_owned();
            let receivers: Vec<String> =
                message["tolist"].as_array().unwrap().iter().map(|id| id.as_str().unwrap().to_owned()).collect();
            let receivers = if self.exploded { receivers } else { vec![receivers.join("|")] };
            for receiver in receivers {
                out += &self.row(&[
                    seq.to_string(),
                    text("msgid"),
                    text("action"),
                    text("from"),
                    receiver,
                    text("roomid"),
                    self.time(message["msgtime"].as_i64().unwrap()),
                    text("msgtype"),
                    message[message["msgtype"].as_str().unwrap()].to_string(),
                ]);
            }
        }
        out
    }

    /// As people in Beijing write it.
    fn time(self, ms: i64) -> String {
        if !self.dates {
            return ms.to_string();
        }
        let seconds = ms / 1000 + 8 * 3600;
        let (day, of_day) = (Day((seconds / 86_400) as i32), seconds % 86_400);
        format!("{day} {:02}:{:02}:{:02}", of_day / 3600, of_day / 60 % 60, of_day % 60)
    }

    fn row(self, cells: &[String]) -> String {
        let cell = |cell: &String| {
            let plain = !cell.contains(['"', '\n', '\r', self.separator]);
            if plain { cell.clone() } else { format!("\"{}\"", cell.replace('"', "\"\"")) }
        };
        cells.iter().map(cell).collect::<Vec<_>>().join(&self.separator.to_string()) + self.end
    }
}

/// As `mysqldump` writes a table, with another one before it.
pub(crate) fn mysql(table: &str) -> String {
    let escaped =
        |cell: &str| cell.replace('\\', "\\\\").replace('\'', "\\'").replace('"', "\\\"").replace('\n', "\\n");
    let mut out = String::from(
        "-- MySQL dump 10.13\n/*!40101 SET NAMES utf8mb4 */;\nDROP TABLE IF EXISTS `corp`;\nCREATE TABLE `corp` (\n  `id` int NOT NULL,\n  `name` varchar(9) DEFAULT 'a,b',\n  \
         PRIMARY KEY (`id`)\n) ENGINE=InnoDB;\nINSERT INTO `corp` VALUES (1,'x; y');\n",
    );
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(table.as_bytes());
    let mut records = reader.records().map(Result::unwrap);
    let columns: Vec<String> =
        records.next().unwrap().iter().map(|name| format!("  `{name}` varchar(64) COMMENT '列，(x)',\n")).collect();
    out += &format!(
        "CREATE TABLE `message_ww` (\n{}  PRIMARY KEY (`msgid`),\n  KEY `i` (`msgtime`,`seq`)\n) ENGINE=InnoDB;\nLOCK TABLES `message_ww` WRITE;\n",
        columns.concat()
    );
    let rows: Vec<String> = records
        .map(|row| {
            let cells = row.iter().map(|cell| {
                if cell.is_empty() {
                    "NULL".to_owned()
                } else if cell.parse::<u64>().is_ok() {
                    cell.to_owned()
                } else {
                    format!("_utf8mb4'{}'", escaped(cell))
                }
            });
            format!("({})", cells.collect::<Vec<_>>().join(","))
        })
        .collect();
    for rows in rows.chunks(11) {
        out += &format!("INSERT INTO `message_ww` VALUES {};\n", rows.join(","));
    }
    out + "UNLOCK TABLES;\n"
}

/// As `pg_dump` writes a table: rows to copy, or statements that name their columns.
pub(crate) fn postgres(table: &str, copy: bool) -> String {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(table.as_bytes());
    let mut records = reader.records().map(Result::unwrap);
    let columns = records.next().unwrap().iter().collect::<Vec<_>>().join(", ");
    let mut out = String::from("--\n-- PostgreSQL database dump\n--\n\nSET client_encoding = 'UTF8';\n\n");
    if copy {
        out += &format!("COPY public.wecom_messages ({columns}) FROM stdin;\n");
    }
    for row in records {
        let cell = |cell: &str| match (copy, cell.is_empty()) {
            (true, true) => "\\N".to_owned(),
            (true, false) => cell.replace('\\', "\\\\").replace('\n', "\\n").replace('\t', "\\t"),
            (false, true) => "NULL".to_owned(),
            (false, false) => format!("'{}'::text", cell.replace('\'', "''")),
        };
        let cells: Vec<String> = row.iter().map(cell).collect();
        out += &if copy {
            cells.join("\t") + "\n"
        } else {
            format!("INSERT INTO public.wecom_messages ({columns}) VALUES ({});\n", cells.join(", "))
        };
    }
    if copy { out + "\\.\n\n\n--\n-- done\n--\n" } else { out }
}

/// A workbook with a title above the table, in which the texts of odd columns are shared and those of even ones are not.
pub(crate) fn workbook(table: &str) -> Vec<u8> {
    let escaped = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('\u{1F642}', "&#x1F642;");
    let (mut shared, mut rows) =
        (Vec::new(), String::from("<row r=\"1\"><c r=\"A1\" t=\"inlineStr\"><is><t>会话记录</t></is></c></row>"));
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(table.as_bytes());
    for (number, record) in (3..).zip(reader.records()) {
        rows += &format!("<row r=\"{number}\">");
        for (at, cell) in record.unwrap().iter().enumerate().filter(|(_, cell)| !cell.is_empty()) {
            let place = format!("{}{number}", char::from(b'A' + at as u8));
            rows += &match cell.parse::<u64>() {
                Ok(value) if value < 1 << 50 => format!("<c r=\"{place}\"><v>{cell}</v></c>"),
                _ if at % 2 == 1 => {
                    shared
                        .push(format!("<si><r><t>{}</t></r><rPh sb=\"0\" eb=\"1\"><t>x</t></rPh></si>", escaped(cell)));
                    format!("<c r=\"{place}\" t=\"s\"><v>{}</v></c>", shared.len() - 1)
                }
                _ => format!(
                    "<c r=\"{place}\" t=\"inlineStr\"><is><t xml:space=\"preserve\">{}</t></is></c>",
                    escaped(cell)
                ),
            };
        }
        rows += "</row>";
    }
    let sheet = format!("<?xml version=\"1.0\"?><worksheet><sheetData>{rows}</sheetData></worksheet>");
    let shared = format!("<?xml version=\"1.0\"?><sst>{}</sst>", shared.concat());
    zip(&[
        Member::new("[Content_Types].xml", b"<Types/>"),
        Member::new("xl/workbook.xml", b"<workbook/>"),
        Member::new("xl/worksheets/sheet1.xml", sheet.as_bytes()),
        Member::new("xl/sharedStrings.xml", shared.as_bytes()),
    ])
}

/// The same messages in every carrier.
pub(crate) fn all(messages: &[Value]) -> Vec<(&'static str, Vec<u8>)> {
    let plain = lines(messages);
    let wrapped = wrapped(messages);
    let pretty = |value: &Value| serde_json::to_string_pretty(value).unwrap();
    let (head, tail) = plain.split_at(plain.match_indices('\n').nth(messages.len() / 2).unwrap().0 + 1);
    let picture = [&b"\xFF\xD8\xFF\xE0"[..], &[7; 900]].concat();
    let response = |part: &[Value]| json!({ "errcode": 0, "errmsg": "ok", "chatdata": part });
    let excel = Table { separator: '\t', chinese: true, end: "\r\n", ..TABLE };
    vec![
        ("lines", plain.clone().into()),
        ("lines with a mark", [b"\xEF\xBB\xBF", plain.as_bytes()].concat()),
        ("lines of Windows", plain.replace('\n', "\r\n").into()),
        ("lines without a last end", plain.trim_end().into()),
        ("gzip", gzip(plain.as_bytes())),
        ("gzip in parts", [gzip(head.as_bytes()), gzip(tail.as_bytes())].concat()),
        ("zstd", zstd(plain.as_bytes())),
        ("bzip2", bzip2(plain.as_bytes())),
        (
            "zip",
            zip(&[
                Member::new("a.jsonl", head.as_bytes()),
                Member::new("p.jpg", &picture),
                Member::new("b", tail.trim_end().as_bytes()),
            ]),
        ),
        (
            "zip with a GBK name",
            zip(&[Member { name: &gb18030("聊天记录.csv"), ..Member::new("", TABLE.of(messages).as_bytes()) }]),
        ),
        ("utf-16le", utf16(&plain, false, true)),
        ("utf-16be", utf16(&plain, true, true)),
        ("utf-16le without a mark", utf16(&plain, false, false)),
        ("utf-16be without a mark", utf16(&plain, true, false)),
        ("gb18030", gb18030(&plain)),
        ("gb18030 in gzip", gzip(&gb18030(&plain))),
        ("array", Value::from(messages).to_string().into()),
        ("array by lines", format!("[\n{}\n]\n", plain.trim_end().replace('\n', ",\n")).into()),
        ("array over lines", pretty(&messages.into()).into()),
        ("values over lines", messages.iter().map(pretty).collect::<String>().into()),
        ("response", response(&wrapped).to_string().into()),
        ("response over lines", pretty(&response(&wrapped)).into()),
        ("responses", wrapped.chunks(7).map(|part| response(part).to_string() + "\n").collect::<String>().into()),
        ("answer of a vendor", json!({ "code": 0, "data": { "total": 9, "list": messages } }).to_string().into()),
        ("wrapped", wrapped.iter().map(|one| format!("{one}\n")).collect::<String>().into()),
        ("pushes", messages.iter().map(|message| format!("{}\n", pushed(message))).collect::<String>().into()),
        ("csv", TABLE.of(messages).into()),
        ("csv by receiver", Table { exploded: true, ..TABLE }.of(messages).into()),
        ("csv with dates", Table { dates: true, ..TABLE }.of(messages).into()),
        (
            "csv of Excel",
            [b"\xEF\xBB\xBF", Table { chinese: true, end: "\r\n", ..TABLE }.of(messages).as_bytes()].concat(),
        ),
        ("csv in GB18030", gb18030(&Table { chinese: true, exploded: true, ..TABLE }.of(messages))),
        ("csv with title and separator", format!("sep=,\n会话记录,,\n\n{}", TABLE.of(messages)).into()),
        ("csv of Windows, twice", Table { end: "\r\r\n", ..TABLE }.of(messages).into()),
        ("csv with more cells", TABLE.of(messages).replace("}\"\n", "}\",,\n").into()),
        (
            "csv put together",
            TABLE.of(&messages[..9]).into_bytes().into_iter().chain(TABLE.of(&messages[9..]).into_bytes()).collect(),
        ),
        ("csv with semicolons", Table { separator: ';', ..TABLE }.of(messages).into()),
        ("Unicode text of Excel", utf16(&excel.of(messages), false, true)),
        ("dump of MySQL", mysql(&TABLE.of(messages)).into()),
        ("dump with a mark", [b"\xEF\xBB\xBF", mysql(&TABLE.of(messages)).as_bytes()].concat()),
        (
            "statements without ends",
            format!(
                "USE [x]\nGO\n{}",
                postgres(&TABLE.of(messages), false)
                    .replace(");\n", ")\nGO\n")
                    .replace("SET client_encoding = 'UTF8';", "")
            )
            .into(),
        ),
        ("dump of PostgreSQL", postgres(&TABLE.of(messages), true).into()),
        ("statements of PostgreSQL", postgres(&Table { exploded: true, ..TABLE }.of(messages), false).into()),
        ("xlsx", workbook(&TABLE.of(messages))),
        ("xlsx by receiver", workbook(&Table { exploded: true, chinese: true, ..TABLE }.of(messages))),
        ("csv in gzip", gzip(TABLE.of(messages).as_bytes())),
    ]
}
