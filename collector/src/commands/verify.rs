//! `watchpost-collector verify`: checks an evidence file, without a server.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use clap::Args;
use serde_json::json;
use watchpost_proto::witness::WitnessKey;

use super::output::Output;
use crate::clock::minute_in_china;
use crate::credentials;
use crate::evidence::{self, Asked, Evidence, FILE_BYTES_MAX, Proved};
use crate::trust::Trust;

/// Checks an evidence file with the root certificate alone, on any machine. 离线校验证据包。
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  watchpost-collector verify case-7.json --root root.crt --tenant acme\n  \
                        watchpost-collector verify case-7.json --root root.crt --checkpoint kept.note\n\n\
                        Have root.crt from the company, not from whoever gave you the file.\n\
                        Exit code 1 where anything is wrong; the first wrong part is named.")]
pub struct VerifyArgs {
    /// The evidence file.
    file: PathBuf,
    /// The company's root certificate, PEM.
    #[arg(long, value_name = "FILE")]
    root: PathBuf,
    /// The tenant it must be of; the file's own by default.
    #[arg(long)]
    tenant: Option<String>,
    /// A checkpoint of the same log that you have kept.
    #[arg(long, value_name = "NOTE")]
    checkpoint: Option<PathBuf>,
    /// A witness that must have cosigned, as a vkey; more may be given.
    #[arg(long, value_name = "VKEY")]
    witness: Vec<String>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// A file that proves nothing; the sentence names what is wrong first.
pub fn run(args: &VerifyArgs) -> anyhow::Result<()> {
    let evidence = read(&args.file)?;
    let tenant = args.tenant.clone().unwrap_or_else(|| evidence.tenant.clone());
    let trust = Trust::new(&credentials::trusted(&args.root)?, &tenant)?;
    let witness = |vkey: &String| WitnessKey::parse(vkey).with_context(|| format!("{vkey:?} is not a witness's vkey"));
    let checkpoint = args.checkpoint.as_ref();
    let asked = Asked {
        checkpoint: checkpoint
            .map(|path| fs::read_to_string(path).with_context(|| path.display().to_string()))
            .transpose()?,
        witnesses: args.witness.iter().map(witness).collect::<Result<_, _>>()?,
    };
    let mut out = Output::new();
    let proved = match evidence::verify(&evidence, &trust, &asked) {
        Ok(proved) => proved,
        Err(wrong) => {
            if args.json {
                out.json(&json!({ "ok": false, "at": wrong.at, "reason": wrong.reason }))?;
                out.finish()?;
            }
            bail!("the evidence does not hold 证据不成立: {wrong}");
        }
    };
    if args.json {
        let mut object = serde_json::to_value(&proved)?;
        object["ok"] = true.into();
        out.json(&object)?;
    } else {
        print(&mut out, &proved)?;
    }
    out.finish()
}

fn read(path: &Path) -> anyhow::Result<Evidence> {
    let named = || path.display().to_string();
    let mut text = Vec::new();
    File::open(path).and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut text)).with_context(named)?;
    ensure!(text.len() as u64 <= FILE_BYTES_MAX, "{} is larger than evidence can be", path.display());
    serde_json::from_slice(&text).with_context(|| format!("{} is not an evidence file 不是证据包", path.display()))
}

fn print(out: &mut Output, proved: &Proved) -> anyhow::Result<()> {
    out.row(&["证据成立：以下记录由所列设备签名，并已记入该租户采集端的日志，此后未被改动。"])?;
    out.row(&["The evidence holds: the devices named below signed these records, and they stand in the log of this tenant's collector, unaltered."])?;
    out.row(&[])?;
    for (name, value) in [
        ("租户 tenant", proved.tenant.as_str()),
        ("告警 alert", &proved.alert),
        ("规则 rule", &format!("{}/{}", proved.pack, proved.rule)),
        ("人员 person", &proved.person),
        ("日期 day", &proved.day),
        ("日志 log", &format!("{}, {} entries", proved.origin, proved.size)),
    ] {
        out.row(&[name, value])?;
    }
    for device in &proved.devices {
        out.row(&["设备 device", &device.device, "密钥 key", &device.key_id])?;
    }
    print_witnesses(out, proved)?;
    out.row(&[])?;
    out.row(&["ENTRY", "RECEIVED", "MADE", "LEVEL", "MSGID", "MSGTIME", "FROM", "TO", "EXCERPT"])?;
    let minute = |ms: i64| minute_in_china(ms).unwrap_or_default();
    for record in &proved.records {
        let item = &record.item;
        out.row(&[
            &record.entry.to_string(),
            &minute(record.received_ms),
            &minute(record.made_ms),
            record.level,
            &item.msgid,
            &item.msgtime.map(minute).unwrap_or_default(),
            &item.from,
            &item.to.join(","),
            &item.excerpt,
        ])?;
    }
    out.row(&[])?;
    out.row(&[
        "未证明的事：设备在签名前说的是真话；没有别的记录被隐瞒；时间比采集端收到的时间更准。详见 docs/evidence.md。",
    ])?;
    out.row(&["Not proved: that a device told the truth before signing; that nothing else was withheld; any time more exact than the collector's receipt. See docs/evidence.md."])
}

fn print_witnesses(out: &mut Output, proved: &Proved) -> anyhow::Result<()> {
    if proved.witnesses.is_empty() {
        out.row(&["见证 witness", "无见证方见过此检查点；日志的完整性只由采集端自己的密钥担保"])?;
        out.row(&[
            "",
            "none has seen this checkpoint: that the log was not made anew rests on the collector's own key",
        ])?;
    }
    for witness in &proved.witnesses {
        let at = i64::try_from(witness.at_s).ok().and_then(|s| minute_in_china(s.saturating_mul(1000)));
        let known = if witness.known {
            ""
        } else {
            "密钥只由文件给出，请与见证方核对 key named by the file alone: ask its owner"
        };
        out.row(&["见证 witness", &witness.key, &at.unwrap_or_default(), known])?;
    }
    if proved.compared {
        out.row(&["检查点 checkpoint", "与所保存的检查点一致 agrees with the one that was kept"])?;
    }
    Ok(())
}
