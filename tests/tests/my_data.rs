//! An employee asks the agent that runs, as the user they are.

#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, SystemTime};

use serde_json::Value;
use watchpost_tests::lab::{CORP, Lab, binaries};
use watchpost_tests::outcome;

const PATIENCE: Duration = Duration::from_secs(60);

fn hit(msgid: &str) -> String {
    let now_ms = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_millis());
    let message = serde_json::json!({
        "msgid": msgid, "action": "send", "from": "li.na", "tolist": ["wmInVeNtEd000001customerAAAAAAAA"], "roomid": "",
        "msgtime": now_ms as u64, "msgtype": "text",
        "text": { "content": "<b onclick=\"x\">您加我私人微信吧</b>" },
    });
    format!("{message}\n")
}

/// A lab whose agent serves the page to user 0 as li.na and to user 65534 as wang; the folder others may enter.
fn lab() -> (Lab, tempfile::TempDir) {
    let open = tempfile::Builder::new().permissions(fs::Permissions::from_mode(0o755)).tempdir().unwrap();
    let mut lab = Lab::new(1).unwrap();
    let address = lab.collector.start().unwrap();
    let agent = &lab.agents[0];
    fs::write(agent.dir().join("notice.md"), "第一条：本公司依法检查工作账号。\n").unwrap();
    fs::write(
        agent.dir().join("accounts.csv"),
        format!("corp,userid,name,labels,never\n{CORP},li.na,,,\n{CORP},gong.hui,,,true\n"),
    )
    .unwrap();
    let own = rustix::process::geteuid().as_raw();
    let socket = open.path().join("sub/my-data.sock");
    let extra = format!(
        "[accounts]\nfile = \"accounts.csv\"\n[notice]\nfile = \"notice.md\"\nversion = 3\nwho = [\"合规部：全部记录\"]\n\
         [my_data]\nsocket = \"{}\"\n[my_data.users]\n{own} = \"{CORP}/li.na\"\nnobody = \"{CORP}/wang\"\n",
        socket.display()
    );
    agent.configure(address, &extra).unwrap();
    lab.agents[0].start().unwrap();
    (lab, open)
}

fn page(lab: &Lab) -> Value {
    lab.agents[0].command_configured(&["my-data", "--format", "json"]).unwrap().json_lines().unwrap().remove(0)
}

#[test]
fn an_employee_sees_what_was_sent_and_acknowledges_the_notice() {
    let (lab, _open) = lab();
    lab.agents[0].drop_export("a.jsonl", hit("m1").as_bytes()).unwrap();
    lab.wait_until("it is sent and receipted", PATIENCE, || {
        let data = page(&lab);
        Ok(data["sent"][0]["receipted"] == true)
    })
    .unwrap();
    let data = page(&lab);
    assert_eq!((&data["account"], &data["watched"]["never"]), (&format!("{CORP}/li.na").into(), &1.into()));
    assert_eq!((&data["watched"]["managed"], &data["sent_total"]), (&true.into(), &1.into()));
    assert_eq!(data["who"][0], "合规部：全部记录");
    assert_eq!(data["notice"]["acknowledged_ms"], Value::Null);
    let text = lab.agents[0].command_configured(&["my-data"]).unwrap().ok().unwrap();
    for said in ["我的数据", "私人微信", "采集端已收到", "永不检查", "合规部：全部记录", "第 3 版", "您尚未确认阅读"]
    {
        assert!(text.contains(said), "{said}\nnot in\n{text}");
    }
    let html = lab.agents[0].command_configured(&["my-data", "--format", "html"]).unwrap().ok().unwrap();
    assert!(html.contains("私人微信") && !html.contains("<b onclick"), "text of a message stays text");
    let english = lab.agents[0].command_configured(&["my-data", "--lang", "en"]).unwrap().ok().unwrap();
    assert!(english.contains("What is never looked at"), "{english}");
    for _ in 0..2 {
        let said = lab.agents[0].command_configured(&["my-data", "acknowledge"]).unwrap().ok().unwrap();
        assert!(said.contains("已确认阅读第 3 版告知书"), "{said}");
    }
    assert!(page(&lab)["notice"]["acknowledged_ms"].as_u64().is_some());
    outcome::wait_until_drained(&lab, PATIENCE).unwrap();
    lab.wait_until("the collector knows", PATIENCE, || {
        let known = lab.collector.json(&["notice", "list"])?;
        Ok(known.iter().any(|row| row["account"] == format!("{CORP}/li.na") && row["version"] == 3))
    })
    .unwrap();
}

#[test]
fn another_user_of_the_device_sees_only_their_own() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("only root can be another user");
        return;
    }
    let (lab, open) = lab();
    let program: PathBuf = open.path().join("watchpost-agent");
    fs::copy(&binaries().unwrap().agent, &program).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    // Their configuration may say anything but where the socket is: they are asked for by the system and not by it.
    let config = open.path().join("agent.toml");
    fs::write(&config, fs::read_to_string(lab.agents[0].config()).unwrap()).unwrap();
    fs::set_permissions(&config, fs::Permissions::from_mode(0o644)).unwrap();
    let run = |arguments: &[&str]| {
        let mut command = Command::new(&program);
        command.args(arguments).arg("--config").arg(&config).current_dir(open.path()).uid(65534).gid(65534);
        command.output().unwrap()
    };
    let own = run(&["my-data", "--format", "json"]);
    assert!(own.status.success(), "{}", String::from_utf8_lossy(&own.stderr));
    let data: Value = serde_json::from_slice(&own.stdout).unwrap();
    assert_eq!(data["account"], format!("{CORP}/wang"));
    let other = run(&["my-data", "--account", &format!("{CORP}/li.na")]);
    assert_eq!(other.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&other.stderr).contains("只能查看您本人的账号"));
    assert!(other.stdout.is_empty());
}

#[test]
fn acknowledgements_collected_elsewhere_count_and_the_collector_has_the_same_page() {
    let (lab, open) = lab();
    lab.agents[0].drop_export("a.jsonl", hit("m1").as_bytes()).unwrap();
    lab.agents[0].command_configured(&["my-data", "acknowledge"]).unwrap().ok().unwrap();
    outcome::wait_until_drained(&lab, PATIENCE).unwrap();
    lab.wait_until("the collector knows", PATIENCE, || Ok(lab.collector.json(&["notice", "list"])?.len() == 1))
        .unwrap();
    let list = open.path().join("signed.csv");
    let import = || {
        lab.collector.command(&["notice", "import", list.to_str().unwrap(), "--reason", "forms", "--by", "hr"]).unwrap()
    };
    // One bad row and nothing is taken.
    fs::write(
        &list,
        format!("account,version,at,source\n{CORP}/wang,2,2026-01-05,OA 7\n{CORP}/zhao,x,2026-01-05,OA 8\n"),
    )
    .unwrap();
    let refused = import();
    assert!(!refused.status.success() && refused.stderr.contains("line 3"), "{}", refused.stderr);
    assert_eq!(lab.collector.json(&["notice", "list"]).unwrap().len(), 1);
    fs::write(
        &list,
        format!("account,version,at,source\n{CORP}/wang,2,2026-01-05,OA 7\n{CORP}/zhao,3,2026-01-05,OA 8\n"),
    )
    .unwrap();
    // Twice is as good as once.
    import().ok().unwrap();
    import().ok().unwrap();
    let known = || lab.collector.json(&["notice", "list"]).unwrap();
    lab.wait_until("they are shown", PATIENCE, || Ok(known().len() == 3)).unwrap();
    let rows = known();
    let row = |name: &str| rows.iter().find(|row| row["account"] == format!("{CORP}/{name}")).unwrap();
    assert_eq!((&row("li.na")["version"], &row("li.na")["done"]), (&3.into(), &true.into()));
    assert_eq!(row("li.na")["via"], lab.agents[0].device().to_string());
    assert_eq!((&row("zhao")["via"], &row("zhao")["done"]), (&"OA 8".into(), &true.into()));
    assert_eq!((&row("wang")["version"], &row("wang")["done"]), (&2.into(), &false.into()));
    let missing = lab.collector.json(&["notice", "list", "--missing"]).unwrap();
    assert_eq!(missing.iter().map(|row| row["account"].clone()).collect::<Vec<_>>(), [format!("{CORP}/wang")]);
    assert!(lab.collector.json(&["notice", "list", "--missing", "--version", "2"]).unwrap().is_empty());
    lab.collector.command(&["log", "verify"]).unwrap().ok().unwrap();
    // The same page for those who have no device.
    let account = format!("{CORP}/Li.Na");
    let page =
        lab.collector.command(&["my-data", &account, "--format", "json"]).unwrap().json_lines().unwrap().remove(0);
    let own = self::page(&lab);
    assert_eq!(page["sent"][0]["excerpt"], own["sent"][0]["excerpt"]);
    assert_eq!((&page["sent_total"], &page["days"]), (&own["sent_total"], &own["days"]));
    assert_eq!(page["notice"]["acknowledged_ms"], own["notice"]["acknowledged_ms"]);
    let html = lab.collector.command(&["my-data", &account, "--format", "html"]).unwrap().ok().unwrap();
    assert!(html.contains("私人微信") && !html.contains("<b onclick"), "{html}");
    let text = lab.collector.command(&["my-data", &account, "--who", "合规部"]).unwrap().ok().unwrap();
    assert!(text.contains("本页由采集端生成") && text.contains("合规部"), "{text}");
    let nobody = lab.collector.command(&["my-data", "ww9/nobody"]).unwrap().ok().unwrap();
    assert!(nobody.contains("没有关于您的记录"), "{nobody}");
}
