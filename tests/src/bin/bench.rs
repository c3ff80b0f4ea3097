//! Benchmarks of whole processes, each as a ratio against something else in the same run or per unit of work.
//!
//! ```text
//! cargo run --release -p watchpost-tests --bin bench -- scan      scan beside grep -F -f on the same corpus
//! cargo run --release -p watchpost-tests --bin bench -- match     what scan does, in one process, beside automata alone
//! cargo run --release -p watchpost-tests --bin bench -- carriers  scan of one corpus in each carrier, beside the decoder alone
//! cargo run --release -p watchpost-tests --bin bench -- run       messages/s of the daemon, and its memory at rest
//! cargo run --release -p watchpost-tests --bin bench -- drain     a million sealed summaries to a collector
//! cargo run --release -p watchpost-tests --bin bench -- log       appends, proofs and checks of a log of 100,000 entries
//! cargo run --release -p watchpost-tests --bin bench -- trust     sealing and checking, plain and encrypted; connections beside plain handshakes; enrolments
//! cargo run --release -p watchpost-tests --bin bench -- search    search, queues and rebuilding at ten million findings and 100,000 alerts
//! cargo run --release -p watchpost-tests --bin bench -- pages     the pages of the console over what `search --keep FOLDER` has left, with `--of FOLDER`
//! ```
//!
//! `--messages N`, `--summaries N`, `--entries N`, `--connections N`, `--enrolments N`, `--findings N` and `--alerts N` change the amounts. Figures of a shared machine drift: quote the medians and the
//! ratios.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};
use watchpost_agent::clock::SystemClock;
use watchpost_agent::device::{Device, DeviceFiles};
use watchpost_agent::seal::Sealer;
use watchpost_agent::store::Store;
use watchpost_proto::v1::{self, EpochCause, Lane, summary::Kind};
use watchpost_proto::{EpochId, digest, record};
use watchpost_tests::corpus::{Corpus, Settings};
use watchpost_tests::lab::{Lab, binaries};
use watchpost_tests::{log_speed, page_speed, search_speed, speed, trust_speed, words_pack};

/// Counted runs of each command; one more comes first and is not counted.
const RUNS: usize = 5;
/// How long an agent is watched at rest.
const REST: Duration = Duration::from_secs(30);
/// No benchmark waits longer than this for anything.
const PATIENCE: Duration = Duration::from_secs(600);
const RECORDS_PER_TRANSACTION: u64 = 20_000;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let amount = |name: &str, default: u64| -> anyhow::Result<u64> {
        let Some(at) = arguments.iter().position(|argument| argument == name) else { return Ok(default) };
        Ok(arguments.get(at + 1).context("a number is missing")?.parse()?)
    };
    let folder = |name: &str| -> anyhow::Result<Option<PathBuf>> {
        let Some(at) = arguments.iter().position(|argument| argument == name) else { return Ok(None) };
        Ok(Some(arguments.get(at + 1).context("a folder is missing")?.into()))
    };
    match arguments.first().map(String::as_str) {
        Some("scan") => bench_scan(amount("--messages", 400_000)?),
        Some("match") => speed::report(amount("--messages", 400_000)?),
        Some("carriers") => bench_carriers(amount("--messages", 200_000)?),
        Some("run") => bench_run(amount("--messages", 400_000)?),
        Some("drain") => bench_drain(amount("--summaries", 1_000_000)?),
        Some("log") => log_speed::report(amount("--entries", 100_000)?),
        Some("trust") => {
            let (connections, enrolments) = (amount("--connections", 3_000)?, amount("--enrolments", 900)?);
            trust_speed::report(usize::try_from(connections)?, usize::try_from(enrolments)?)
        }
        Some("search") => {
            let (findings, alerts) = (amount("--findings", 10_000_000)?, amount("--alerts", 100_000)?);
            search_speed::report(findings, alerts, folder("--keep")?.as_deref())
        }
        Some("pages") => {
            page_speed::report(&folder("--of")?.context("pages needs --of FOLDER, kept by search --keep")?)
        }
        _ => bail!("name one of scan, match, carriers, run, drain, log, trust, search, pages"),
    }
}

/// `scan` and `grep` in turn over one corpus, with the same words.
fn bench_scan(messages: u64) -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let corpus = corpus(messages);
    let file = dir.path().join("corpus.jsonl");
    corpus.write_file(&file, 0..messages)?;
    let bytes = std::fs::metadata(&file)?.len();
    println!("corpus: {messages} messages, {:.1} MB, {} bytes each", mb(bytes), bytes / messages);
    for count in [100, 1_000, 10_000, 65_000] {
        let words = corpus.words(count);
        let (pack, list) = (dir.path().join("pack.yaml"), dir.path().join("words.txt"));
        std::fs::write(&list, words.join("\n") + "\n")?;
        std::fs::write(&pack, words_pack("words.txt"))?;
        let scan = scan_command(&pack, &file)?;
        let grep = grep_command(&list, &file);
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for round in 0..=RUNS {
            let (a, b) = (time(&scan)?, time(&grep)?);
            if round > 0 {
                ours.push(a);
                theirs.push(b);
            }
        }
        let ratio = median(ours.iter().zip(&theirs).map(|(a, b)| b / a).collect());
        let (ours, theirs) = (median(ours), median(theirs));
        println!(
            "{count:>6} words: scan {:>7.1} MB/s ({:.0} ns/message), grep -F -f {:>6.1} MB/s, ratio {ratio:.2}",
            mb(bytes) / ours,
            ours * 1e9 / messages as f64,
            mb(bytes) / theirs,
        );
    }
    Ok(())
}

/// `scan` over the same messages in each carrier, as bytes of their plain lines, beside the program that only decodes it.
fn bench_carriers(messages: u64) -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let corpus = corpus(messages);
    let plain = dir.path().join("lines");
    corpus.write_file(&plain, 0..messages)?;
    let (pack, list) = (dir.path().join("pack.yaml"), dir.path().join("words.txt"));
    std::fs::write(&list, corpus.words(10_000).join("\n") + "\n")?;
    std::fs::write(&pack, words_pack("words.txt"))?;
    let bytes = std::fs::metadata(&plain)?.len();
    println!("corpus: {messages} messages, {:.1} MB of lines; MB/s are of these, 10,000 words, one core", mb(bytes));
    let lines = std::fs::read_to_string(&plain)?;
    let made = [
        ("array", format!("[{}]", lines.trim_end().replace('\n', ","))),
        ("csv", table(&lines, ',')?),
        ("tsv", table(&lines, '\t')?),
        ("sql", statements(&lines)?),
    ];
    let tools: [(&str, &[&str], &[&str]); 5] = [
        ("gzip", &["gzip", "-c"], &["gzip", "-dc"]),
        ("zstd", &["zstd", "-qc"], &["zstd", "-dc"]),
        ("bzip2", &["bzip2", "-c"], &["bzip2", "-dc"]),
        ("gb18030", &["iconv", "-f", "UTF-8", "-t", "GB18030"], &["iconv", "-f", "GB18030", "-t", "UTF-8"]),
        ("utf-16", &["iconv", "-f", "UTF-8", "-t", "UTF-16"], &["iconv", "-f", "UTF-16", "-t", "UTF-8"]),
    ];
    let mut carriers = vec![("lines", plain.clone(), None)];
    for (name, content) in made {
        let file = dir.path().join(name);
        std::fs::write(&file, content)?;
        carriers.push((name, file, None));
    }
    for (name, encode, decode) in tools {
        let (file, output) = (dir.path().join(name), std::fs::File::create(dir.path().join(name))?);
        let encoded = Command::new(encode[0]).args(&encode[1..]).arg(&plain).stdout(output).status();
        // Not every machine has every tool.
        if encoded.is_ok_and(|status| status.success()) {
            let arguments = decode[1..].iter().map(Into::into).chain([file.clone().into_os_string()]);
            carriers.push((name, file, Some((PathBuf::from(decode[0]), arguments.collect()))));
        }
    }
    let median_of = |command: &CommandLine| -> anyhow::Result<f64> {
        let runs: anyhow::Result<Vec<f64>> = (0..=RUNS).map(|_| time(command)).collect();
        Ok(median(runs?.split_off(1)))
    };
    for (name, file, decoder) in carriers {
        let (program, mut arguments) = scan_command(&pack, &file)?;
        arguments.extend(["--threads".into(), "1".into()]);
        let ours = median_of(&(program, arguments))?;
        let beside = match decoder {
            Some(decoder) => {
                let alone = median_of(&decoder)?;
                format!("   {} alone {:>7.1} MB/s, ratio {:.2}", decoder.0.display(), mb(bytes) / alone, alone / ours)
            }
            None => String::new(),
        };
        println!("{name:>8} {:>7.1} MB/s{beside}", mb(bytes) / ours);
    }
    Ok(())
}

/// Lines as a table with the bodies as JSON.
fn table(lines: &str, separator: char) -> anyhow::Result<String> {
    let separator = separator.to_string();
    let mut out = COLUMNS.join(&separator) + "\n";
    for line in lines.lines() {
        let cells = cells(line)?.map(|cell| format!("\"{}\"", cell.replace('"', "\"\"")));
        out += &(cells.join(&separator) + "\n");
    }
    Ok(out)
}

/// Lines as statements of PostgreSQL.
fn statements(lines: &str) -> anyhow::Result<String> {
    let mut out = String::from("-- PostgreSQL database dump\n");
    for line in lines.lines() {
        let cells = cells(line)?.map(|cell| format!("'{}'", cell.replace('\'', "''")));
        out += &format!("INSERT INTO messages ({}) VALUES ({});\n", COLUMNS.join(", "), cells.join(", "));
    }
    Ok(out)
}

const COLUMNS: [&str; 7] = ["msgid", "sender", "receiver", "roomid", "msgtime", "msgtype", "raw_json"];

fn cells(line: &str) -> anyhow::Result<[String; 7]> {
    let message: serde_json::Value = serde_json::from_str(line)?;
    let text = |key: &str| message[key].as_str().unwrap_or_default().to_owned();
    let receivers = message["tolist"].as_array().map(Vec::as_slice).unwrap_or_default();
    let receivers: Vec<&str> = receivers.iter().filter_map(serde_json::Value::as_str).collect();
    let body = message[message["msgtype"].as_str().unwrap_or_default()].to_string();
    let time = message["msgtime"].to_string();
    Ok([text("msgid"), text("from"), receivers.join(","), text("roomid"), time, text("msgtype"), body])
}

type CommandLine = (PathBuf, Vec<std::ffi::OsString>);

fn scan_command(pack: &Path, file: &Path) -> anyhow::Result<CommandLine> {
    let arguments = ["scan".as_ref(), file.as_os_str(), "--policy".as_ref(), pack.as_os_str()];
    let format = ["--format".into(), "jsonl".into()];
    Ok((binaries()?.agent.clone(), arguments.iter().map(Into::into).chain(format).collect()))
}

fn grep_command(list: &Path, file: &Path) -> CommandLine {
    let arguments = ["-F".as_ref(), "-c".as_ref(), "-f".as_ref(), list.as_os_str(), file.as_os_str()];
    ("grep".into(), arguments.iter().map(Into::into).collect())
}

fn time((program, arguments): &CommandLine) -> anyhow::Result<f64> {
    // To a file: grep that writes to the null device stops at its first match.
    let output = tempfile::tempfile()?;
    let start = Instant::now();
    let status = Command::new(program)
        .args(arguments)
        .env("LC_ALL", "C.UTF-8")
        .stdout(Stdio::from(output.try_clone()?))
        .stderr(Stdio::null())
        .status()
        .with_context(|| format!("cannot run {}", program.display()))?;
    let seconds = start.elapsed().as_secs_f64();
    if !status.success() || output.metadata()?.len() == 0 {
        bail!("{} found nothing: {status}", program.display());
    }
    Ok(seconds)
}

/// The daemon over a corpus it remembers, without a collector; then what it costs at rest.
fn bench_run(messages: u64) -> anyhow::Result<()> {
    let mut lab = Lab::new(1)?;
    let agent = &mut lab.agents[0];
    // Nobody listens there: everything stays in the outbox.
    agent.configure("127.0.0.1:1".parse()?, "[source]\nsettle = \"0ms\"\n[outbox]\nbytes_max = \"4GiB\"\n")?;
    let corpus = corpus(messages);
    corpus.write_file(&agent.exports().join("corpus.jsonl"), 0..messages)?;
    let bytes = std::fs::metadata(agent.exports().join("corpus.jsonl"))?.len();
    let start = Instant::now();
    agent.start()?;
    let id = agent.id().context("the agent is not running")?;
    while !agent.log().contains("outcome=Done") {
        if start.elapsed() > PATIENCE || !agent.is_running()? {
            bail!("the corpus was not read\n{}", agent.log());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let (seconds, cpu) = (start.elapsed().as_secs_f64(), cpu_seconds(id)?);
    println!(
        "run: {:.0} messages/s ({:.1} MB/s), {:.2} CPU-seconds per million messages, peak memory {:.1} MB",
        messages as f64 / seconds,
        mb(bytes) / seconds,
        cpu * 1e6 / messages as f64,
        status_kb(id, "VmHWM")? / 1000.0
    );
    agent.stop()?;
    println!(
        "program sizes: agent {:.1} MB, collector {:.1} MB",
        size(&binaries()?.agent)?,
        size(&binaries()?.collector)?
    );
    drop(lab);
    bench_rest()
}

/// An agent that is connected and has nothing to do.
fn bench_rest() -> anyhow::Result<()> {
    let mut lab = Lab::new(1)?;
    let address = lab.collector.start()?;
    // The waits a user has, not the lab's short ones.
    let waits = "[source]\nsettle = \"2s\"\nrescan = \"60s\"\npoll = \"10s\"\n[uplink]\nheartbeat = \"60s\"\n";
    lab.agents[0].configure(address, waits)?;
    lab.agents[0].start()?;
    let id = lab.agents[0].id().context("the agent is not running")?;
    let deadline = Instant::now() + PATIENCE;
    while !lab.agents[0].log().contains("connected") {
        if Instant::now() > deadline {
            bail!("the agent did not connect\n{}", lab.tails());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    std::thread::sleep(Duration::from_secs(15));
    let before = (cpu_seconds(id)?, wake_ups(id)?, written(id)?);
    std::thread::sleep(REST);
    let after = (cpu_seconds(id)?, wake_ups(id)?, written(id)?);
    println!(
        "at rest: {:.1} MB resident, {:.3} % of a core, {:.0} wake-ups a minute, {} bytes written in {} s",
        status_kb(id, "VmRSS")? / 1000.0,
        (after.0 - before.0) * 100.0 / REST.as_secs_f64(),
        (after.1 - before.1) as f64 * 60.0 / REST.as_secs_f64(),
        after.2 - before.2,
        REST.as_secs()
    );
    Ok(())
}

/// An agent whose outbox is full of sealed summaries meets a collector.
fn bench_drain(summaries: u64) -> anyhow::Result<()> {
    let mut lab = Lab::new(1)?;
    fill_outbox(lab.agents[0].dir(), &lab.agents[0].state(), summaries)?;
    let address = lab.collector.start()?;
    let collector = lab.collector.id().context("the collector is not running")?;
    lab.agents[0].configure(address, "[outbox]\nbytes_max = \"4GiB\"\n")?;
    let cpu_before = cpu_seconds(collector)?;
    let start = Instant::now();
    lab.agents[0].start()?;
    let agent = lab.agents[0].id().context("the agent is not running")?;
    wait_for(|| Ok(backlog(&lab)? == 0))?;
    let drained = start.elapsed().as_secs_f64();
    let cpu_ingest = cpu_seconds(collector)? - cpu_before;
    wait_for(|| Ok(derived(&lab)? >= summaries))?;
    let derived = start.elapsed().as_secs_f64();
    let cpu_all = cpu_seconds(collector)? - cpu_before;
    let million = summaries as f64 / 1e6;
    println!(
        "drain: {summaries} summaries receipted in {drained:.1} s ({:.0}/s), all visible after {derived:.1} s",
        summaries as f64 / drained
    );
    println!(
        "collector: {:.2} CPU-seconds per million until receipted, {:.2} until visible, peak memory {:.0} MB",
        cpu_ingest / million,
        cpu_all / million,
        status_kb(collector, "VmHWM")? / 1000.0
    );
    println!(
        "agent: {:.2} CPU-seconds per million, peak memory {:.0} MB",
        cpu_seconds(agent)? / million,
        status_kb(agent, "VmHWM")? / 1000.0
    );
    Ok(())
}

/// Fills an agent's outbox with findings as a long outage would, sealed by the agent's own code.
fn fill_outbox(dir: &Path, state: &Path, summaries: u64) -> anyhow::Result<()> {
    let [certificate, key, root, tenant_key] =
        ["device.crt", "device.key", "root.crt", "tenant.key"].map(|name| dir.join(name));
    let device =
        Device::load(&DeviceFiles { certificate, key, root, tenant_key, membership: dir.join("membership.json") })?;
    std::fs::create_dir_all(state)?;
    let store = Arc::new(Store::open(state)?);
    store.transaction(|tx| tx.ensure_epoch(EpochId([7; 16]), EpochCause::First))?;
    let mut sealer = Sealer::new(store.clone(), Arc::new(device), Arc::new(SystemClock::default()));
    let mut number = 0;
    while number < summaries {
        let end = (number + RECORDS_PER_TRANSACTION).min(summaries);
        store
            .transaction(|tx| (number..end).try_for_each(|number| tx.append(Lane::Urgent, &finding_record(number))))?;
        number = end;
        sealer.seal_due()?;
    }
    sealer.seal_all()?;
    let backlog = store.read(|tx| tx.backlog())?;
    println!("outbox: {} summaries, {:.1} MB", backlog.records(), mb(backlog.bytes()));
    Ok(())
}

/// A finding as the built-in packs make them, each of another message.
fn finding_record(number: u64) -> Vec<u8> {
    let id = digest::hash("bench", &[&number.to_be_bytes()]);
    let now_ms = 1_795_000_000_000 + i64::try_from(number).unwrap_or(0) * 250;
    let finding = v1::Finding {
        finding_id: id.to_vec(),
        corp: "wwEXAMPLE0001".into(),
        pack: "finance-conduct".into(),
        pack_version: 1,
        pack_digest: vec![9; 32],
        rule: "fin.guaranteed-return".into(),
        category: "mis-selling".into(),
        level: v1::Level::High.into(),
        status: v1::RuleStatus::Live.into(),
        sla_s: 86_400,
        person: format!("wwEXAMPLE0001/employee{:03}", number % 1000),
        msgid: format!("91{number:017}_{now_ms}_external"),
        msgtime_ms: now_ms,
        msgtype: "text".into(),
        from: format!("wwEXAMPLE0001/employee{:03}", number % 1000),
        to: vec!["p_0011223344556677889900aa".into()],
        to_total: 1,
        hits: vec![v1::Hit {
            selection: "promise".into(),
            field: "text.content".into(),
            start: 6,
            end: 11,
            word: "保本保收益".into(),
            channel: v1::Channel::Exact.into(),
            obfuscated: false,
        }],
        disclose: v1::Disclose::Masked.into(),
        excerpt: "＊，＊保本保收益，＊".into(),
        ..v1::Finding::default()
    };
    let summary = v1::Summary {
        made_at_ms: now_ms,
        policy: vec![8; 32],
        kind: Some(Kind::Finding(finding)),
        ..v1::Summary::default()
    };
    let mut salt = [0; record::SALT_BYTES];
    salt.copy_from_slice(&id.0[..record::SALT_BYTES]);
    record::encode(&summary, salt).unwrap_or_default()
}

fn backlog(lab: &Lab) -> anyhow::Result<u64> {
    let status = lab.agents[0].command_configured(&["status", "--json"])?.json_lines()?;
    status.first().and_then(|status| status["backlog"]["urgent"].as_u64()).context("status told no backlog")
}

fn derived(lab: &Lab) -> anyhow::Result<u64> {
    let devices = lab.collector.json(&["device", "list"])?;
    Ok(devices.iter().filter_map(|device| device["findings"].as_u64()).sum())
}

fn wait_for(mut holds: impl FnMut() -> anyhow::Result<bool>) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !holds()? {
        if Instant::now() > deadline {
            bail!("waited too long");
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    Ok(())
}

/// Messages of the last hours, so that the daemon remembers them.
fn corpus(messages: u64) -> Corpus {
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
    let settings = Settings { messages, step_ms: 100, ..Settings::default() };
    Corpus::new(Settings { first_msgtime_ms: now_ms - messages * settings.step_ms, ..settings })
}

fn cpu_seconds(process: u32) -> anyhow::Result<f64> {
    /// Clock ticks a second in /proc, the same on every Linux.
    const TICKS: f64 = 100.0;
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    let after_name = stat.rsplit_once(')').context("stat has no name")?.1;
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let ticks = |at: usize| -> anyhow::Result<f64> { Ok(fields.get(at).context("stat is short")?.parse()?) };
    Ok((ticks(11)? + ticks(12)?) / TICKS)
}

fn wake_ups(process: u32) -> anyhow::Result<u64> {
    let mut sum = 0;
    for thread in std::fs::read_dir(format!("/proc/{process}/task"))? {
        let status = std::fs::read_to_string(thread?.path().join("status"))?;
        sum += field(&status, "voluntary_ctxt_switches")? as u64;
    }
    Ok(sum)
}

fn written(process: u32) -> anyhow::Result<u64> {
    Ok(field(&std::fs::read_to_string(format!("/proc/{process}/io"))?, "write_bytes")? as u64)
}

fn status_kb(process: u32, name: &str) -> anyhow::Result<f64> {
    field(&std::fs::read_to_string(format!("/proc/{process}/status"))?, name)
}

fn field(text: &str, name: &str) -> anyhow::Result<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    Ok(line.and_then(|line| line.split_whitespace().next()).context("no such field")?.parse()?)
}

fn size(program: &Path) -> anyhow::Result<f64> {
    Ok(mb(std::fs::metadata(program)?.len()))
}

fn mb(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
