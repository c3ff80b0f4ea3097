//! Any bytes as an export: what the skim calls clean has no defect and no finding, and the same envelope; what is looked at comes to the same as
//! without a skim; nothing is left out.
#![no_main]

use std::convert::Infallible;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use watchpost_policy::engine::{Engine, Scratch};
use watchpost_policy::identity::TenantKey;
use watchpost_policy::message::Corp;
use watchpost_policy::packs;
use watchpost_policy::parse::parse_line;
use watchpost_policy::skim::{Skim, Skimmed};

static ENGINE: LazyLock<Engine> = LazyLock::new(|| Engine::compile(packs::builtin().unwrap(), None).unwrap());

const KEY: TenantKey = TenantKey([7; 32]);

/// Lines the skim learns from, so that what comes next is read by shape.
const REGULAR: &str = concat!(
    r#"{"msgid":"1","action":"send","from":"a","tolist":["b"],"roomid":"","msgtime":1772416861007,"msgtype":"text","text":{"content":"好"}}"#,
    "\n",
    r#"{"msgid": "2", "action": "send", "from": "a", "tolist": ["b", "c"], "roomid": "", "msgtime": 1772416861007, "msgtype": "text", "text": {"content": "好"}}"#,
    "\n",
    r#"{"msgid":"3","action":"send","from":"a","tolist":["b"],"roomid":"","msgtime":1772416861007,"msgtype":"link","link":{"title":"好","description":"看","link_url":"https://example.com/"}}"#,
    "\n",
    r#"{"msgid":"4","action":"send","from":"a","tolist":["b"],"roomid":"","msgtime":1772416861007,"msgtype":"mixed","mixed":{"item":[{"type":"text","content":"{\"content\":\"好\"}"},{"type":"image","content":"{}"}]}}"#,
    "\n",
    r#"{"msgid":"5","action":"send","from":"a","tolist":["b"],"roomid":"","msgtime":1772416861007,"msgtype":"file","file":{"filename":"好.txt","fileext":"txt","filesize":9}}"#,
    "\n",
);

fuzz_target!(|bytes: &[u8]| {
    let corp = Corp::new("corp");
    let export = [REGULAR.as_bytes(), bytes].concat();
    let mut lines = export.strip_suffix(b"\n").unwrap_or(&export).split(|b| *b == b'\n');
    let mut scratch = Scratch::default();
    let Ok(()) = Skim::new(&ENGINE, &corp).lines(&export, &mut |skimmed| {
        let line = lines.next().unwrap();
        match skimmed {
            Skimmed::Look(look) => {
                assert_eq!(look.bytes(), line);
                let looked = look.look(&ENGINE, &corp, &KEY, &mut scratch);
                let parsed = parse_line(line);
                assert_eq!(looked.parsed, parsed);
                let expected = parsed.message.map(|message| ENGINE.look(&corp, &message, &KEY, &mut scratch));
                assert_eq!(format!("{:?}", looked.evaluated), format!("{:?}", expected.unwrap_or_default()));
            }
            Skimmed::Clean(clean) => {
                let parsed = parse_line(line);
                let message = parsed.message.unwrap();
                assert_eq!(parsed.defects, []);
                assert_eq!(message.msgid.as_deref(), Some(clean.msgid()));
                assert_eq!((message.from.as_str(), message.msgtype.as_str()), (clean.from(), clean.msgtype()));
                assert!(message.to.iter().map(AsRef::<str>::as_ref).eq(clean.to()));
                assert_eq!((message.room.as_deref(), message.msgtime), (clean.room(), Some(clean.msgtime())));
                assert!(ENGINE.evaluate(&corp, &message, &mut scratch).is_empty());
            }
        }
        Ok::<(), Infallible>(())
    });
    assert_eq!(lines.next(), None);
});
