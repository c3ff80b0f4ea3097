//! A collector and agents as real processes on a temporary folder.
//!
//! ```text
//! DIR/collector/           as certs-dev mints it; collector.toml gets the port of the first start
//! DIR/devices/N/           agent.toml, identity, exports/ (watched), state/
//! DIR/logs/                what every process printed (.out) and logged (.log)
//! ```
//!
//! Everything stops when the [`Lab`] is dropped; the folder stays if `WATCHPOST_LAB_KEEP` is set.

mod binaries;
mod process;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, ensure};
use serde_json::Value;
use tempfile::TempDir;
use toml::{Table, Value as Toml};
use watchpost_proto::DeviceId;

pub use binaries::{Binaries, binaries, program, workspace};
use process::Process;
pub use process::wait_until;

/// How long a collector or agent may take to end when asked to.
const STOP_MAX: Duration = Duration::from_secs(10);
/// How long a killed collector's port may stay taken.
const PORT_BUSY_MAX: Duration = Duration::from_secs(20);
/// How long a command may take on a busy machine, with much to read.
const COMMAND_MAX: Duration = Duration::from_secs(300);
/// The corporation of the exports in the lab.
pub const CORP: &str = "wwEXAMPLE0001";

/// A folder with a collector and agents; nothing runs yet when it is made.
#[derive(Debug)]
pub struct Lab {
    /// The collector.
    pub collector: Collector,
    /// The agents, one per minted device.
    pub agents: Vec<Agent>,
    dir: PathBuf,
    // Last, so that the folder goes after the processes in it.
    _temporary: Option<TempDir>,
}

impl Lab {
    /// Builds the programs and mints certificates for one collector and `devices` devices.
    ///
    /// # Errors
    /// A build that fails, or what the file system said.
    pub fn new(devices: usize) -> anyhow::Result<Self> {
        Self::with_binaries(binaries()?, devices)
    }

    /// As [`Lab::new`] with programs that are already there.
    ///
    /// # Errors
    /// What the file system said.
    pub fn with_binaries(binaries: &Binaries, devices: usize) -> anyhow::Result<Self> {
        let mut dir = TempDir::with_prefix("watchpost-lab-")?;
        dir.disable_cleanup(std::env::var_os("WATCHPOST_LAB_KEEP").is_some());
        let lab = Self::in_folder(binaries, dir.path(), devices)?;
        Ok(Self { _temporary: Some(dir), ..lab })
    }

    /// As [`Lab::with_binaries`] in a folder that stays.
    ///
    /// # Errors
    /// There is a lab already, or what the file system said.
    pub fn in_folder(binaries: &Binaries, dir: &Path, devices: usize) -> anyhow::Result<Self> {
        let logs = dir.join("logs");
        fs::create_dir_all(&logs)?;
        let minted = certs_dev::mint(dir, devices, "127.0.0.1:0", false)?;
        let collector = Collector::new(&binaries.collector, &minted.collector, &logs);
        let agents = minted.devices.iter().zip(1..).map(|(device, number)| {
            Agent::new(&binaries.agent, &device.dir, device.uuid, &logs, &format!("agent-{number}"))
        });
        Ok(Self { collector, agents: agents.collect::<anyhow::Result<_>>()?, dir: dir.to_owned(), _temporary: None })
    }

    /// Adds a device that has not enrolled: a folder with a configuration and nothing else.
    ///
    /// # Errors
    /// What the file system said.
    pub fn add_stranger(&mut self) -> anyhow::Result<&mut Agent> {
        let number = self.agents.len() + 1;
        let dir = self.dir.join("devices").join(number.to_string());
        fs::create_dir_all(&dir)?;
        let program = binaries()?.agent.clone();
        let logs = self.dir.join("logs");
        let agent = Agent::new(&program, &dir, DeviceId([0; 16]), &logs, &format!("agent-{number}"))?;
        let mut config: Table = agent_config(SocketAddr::from(([127, 0, 0, 1], 1))).parse()?;
        config.remove("identity");
        config.remove("collector");
        fs::write(agent.config(), toml::to_string(&config)?)?;
        self.agents.push(agent);
        self.agents.last_mut().context("no agent")
    }

    /// The lab's folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Starts the collector, and the agents pointed straight at it.
    ///
    /// # Errors
    /// A program that does not get ready, with the end of its log.
    pub fn start(&mut self) -> anyhow::Result<()> {
        let address = self.collector.start()?;
        for agent in &mut self.agents {
            agent.configure(address, "")?;
            agent.start()?;
        }
        Ok(())
    }

    /// Waits until `holds` says true.
    ///
    /// # Errors
    /// As [`wait_until`], with the last lines of every log.
    pub fn wait_until(
        &self,
        what: &str,
        timeout: Duration,
        holds: impl FnMut() -> anyhow::Result<bool>,
    ) -> anyhow::Result<()> {
        wait_until(what, timeout, holds).map_err(|error| anyhow!("{error:#}\n{}", self.tails()))
    }

    /// The last lines of every log.
    pub fn tails(&self) -> String {
        let agents = self.agents.iter().map(|agent| agent.process.tail());
        std::iter::once(self.collector.process.tail()).chain(agents).collect()
    }
}

/// The collector's folder and process.
#[derive(Debug)]
pub struct Collector {
    process: Process,
    tool: Tool,
    dir: PathBuf,
    address: Option<SocketAddr>,
}

impl Collector {
    fn new(program: &Path, dir: &Path, logs: &Path) -> Self {
        let config = dir.join("collector.toml");
        let serve = ["serve".into(), "--config".into(), config.clone().into_os_string()];
        Self {
            process: Process::new(program, &serve, dir, logs, "collector"),
            tool: Tool { program: program.to_owned(), config: Some(config), logs: logs.to_owned() },
            dir: dir.to_owned(),
            address: None,
        }
    }

    /// Starts it and waits until it listens. It keeps the port of its first start for ever; while another socket still
    /// holds that port, starting is tried again.
    ///
    /// # Errors
    /// It does not get ready; with the end of its log.
    pub fn start(&mut self) -> anyhow::Result<SocketAddr> {
        let start = Instant::now();
        let address = loop {
            match self.try_start() {
                Err(error) if port_is_busy(&error) && start.elapsed() < PORT_BUSY_MAX => {
                    std::thread::sleep(Duration::from_millis(50));
                }
                started => break started?,
            }
        };
        if self.address.is_none() {
            self.keep_port(address)?;
        }
        Ok(address)
    }

    fn try_start(&mut self) -> anyhow::Result<SocketAddr> {
        // Only this start's log may tell why this start failed.
        let logged = self.process.log().len();
        self.process.start()?;
        let line = self.process.wait_for_line("listening on ").map_err(|error| {
            let log = self.process.log();
            error.context(StartLog(log.get(logged..).unwrap_or_default().to_owned()))
        })?;
        line.trim().parse().with_context(|| format!("not an address: {line:?}"))
    }

    fn keep_port(&mut self, address: SocketAddr) -> anyhow::Result<()> {
        let path = self.config();
        let text = fs::read_to_string(&path)?;
        let kept = with_listen(&text, address).with_context(|| format!("no listen line in {}", path.display()))?;
        fs::write(path, kept)?;
        self.address = Some(address);
        Ok(())
    }

    /// Opens a console on loopback, from the next start on; returns where.
    ///
    /// # Errors
    /// No port is free, or what the file system said.
    pub fn open_console(&self) -> anyhow::Result<SocketAddr> {
        // Nothing tells which port the system has chosen for a console, so it is chosen before.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let text = fs::read_to_string(self.config())?;
        fs::write(self.config(), format!("{text}\n[console]\nlisten = \"{address}\"\n"))?;
        Ok(address)
    }

    /// Where it listens, or listened before it was stopped; `None` before the first start.
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Its folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Its configuration file.
    pub fn config(&self) -> PathBuf {
        self.dir.join("collector.toml")
    }

    /// Asks it to end and waits; how it ended, or `None` if it was not running.
    ///
    /// # Errors
    /// It does not end in time.
    pub fn stop(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        self.process.stop(STOP_MAX)
    }

    /// SIGKILL.
    ///
    /// # Errors
    /// What the system said.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.process.kill()
    }

    /// Whether it runs.
    ///
    /// # Errors
    /// What the system said.
    pub fn is_running(&mut self) -> anyhow::Result<bool> {
        self.process.is_running()
    }

    /// The process id while it runs.
    pub fn id(&self) -> Option<u32> {
        self.process.id()
    }

    /// Everything it logged, over all its starts.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Runs a subcommand such as `["alert", "list", "--json"]` with this collector's `--config`, in a folder of its own:
    /// paths must be absolute.
    ///
    /// # Errors
    /// It cannot be run or does not end. An exit code other than 0 is no error here.
    pub fn command(&self, arguments: &[&str]) -> anyhow::Result<Finished> {
        self.tool.run(arguments)
    }

    /// Runs a subcommand that knows no `--config`, such as `["policy", "key", …]`.
    ///
    /// # Errors
    /// As [`Collector::command`].
    pub fn command_bare(&self, arguments: &[&str]) -> anyhow::Result<Finished> {
        Tool { config: None, ..self.tool.clone() }.run(arguments)
    }

    /// As [`Collector::command`] with `--json` added: one value per line.
    ///
    /// # Errors
    /// Exit code other than 0, or a line that is not JSON.
    pub fn json(&self, arguments: &[&str]) -> anyhow::Result<Vec<Value>> {
        self.command(&[arguments, &["--json"]].concat())?.json_lines()
    }
}

/// One device's folder and agent process.
#[derive(Debug)]
pub struct Agent {
    process: Process,
    tool: Tool,
    dir: PathBuf,
    device: DeviceId,
}

impl Agent {
    fn new(program: &Path, dir: &Path, device: DeviceId, logs: &Path, name: &str) -> anyhow::Result<Self> {
        fs::create_dir(dir.join("exports"))?;
        let config = dir.join("agent.toml");
        let run = ["run".into(), "--config".into(), config.into_os_string()];
        Ok(Self {
            process: Process::new(program, &run, dir, logs, name),
            tool: Tool { program: program.to_owned(), config: None, logs: logs.to_owned() },
            dir: dir.to_owned(),
            device,
        })
    }

    /// Writes `agent.toml`: `exports/` of corporation [`CORP`], short waits, `collector` to dial. `extra` is TOML text
    /// merged over that: a `[[folder]]` in it is a further one, any other value replaces. Takes effect at the next
    /// start.
    ///
    /// # Errors
    /// `extra` is not TOML, or what the file system said.
    pub fn configure(&self, collector: SocketAddr, extra: &str) -> anyhow::Result<()> {
        let mut config = agent_config(collector).parse()?;
        merge(&mut config, extra.parse().context("the extra configuration")?);
        Ok(fs::write(self.config(), toml::to_string(&config)?)?)
    }

    /// The device on its certificate.
    pub fn device(&self) -> DeviceId {
        self.device
    }

    /// Its folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Its configuration file, there after [`Agent::configure`].
    pub fn config(&self) -> PathBuf {
        self.dir.join("agent.toml")
    }

    /// The watched folder.
    pub fn exports(&self) -> PathBuf {
        self.dir.join("exports")
    }

    /// Its state folder, there after its first start.
    pub fn state(&self) -> PathBuf {
        self.dir.join("state")
    }

    /// Starts it and waits until it watches its folders.
    ///
    /// # Errors
    /// It does not get ready; with the end of its log.
    pub fn start(&mut self) -> anyhow::Result<()> {
        self.process.start()?;
        self.process.wait_for_line("watching ").map(|_| ())
    }

    /// Starts it without waiting for anything.
    ///
    /// # Errors
    /// What the system said.
    pub fn launch(&mut self) -> anyhow::Result<()> {
        self.process.start()
    }

    /// Asks it to end and waits; how it ended, or `None` if it was not running.
    ///
    /// # Errors
    /// It does not end in time.
    pub fn stop(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        self.process.stop(STOP_MAX)
    }

    /// SIGKILL.
    ///
    /// # Errors
    /// What the system said.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.process.kill()
    }

    /// Whether it runs.
    ///
    /// # Errors
    /// What the system said.
    pub fn is_running(&mut self) -> anyhow::Result<bool> {
        self.process.is_running()
    }

    /// The process id while it runs.
    pub fn id(&self) -> Option<u32> {
        self.process.id()
    }

    /// Everything it logged, over all its starts.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Puts a file into the watched folder the way an archive job does: under a temporary name, then renamed.
    ///
    /// # Errors
    /// What the file system said.
    pub fn drop_export(&self, name: &str, content: &[u8]) -> anyhow::Result<PathBuf> {
        let path = self.exports().join(name);
        let temporary = self.exports().join(format!("{name}.tmp"));
        fs::write(&temporary, content)?;
        fs::rename(temporary, &path)?;
        Ok(path)
    }

    /// Copies the state folder to `to`, which must not exist. The agent must not run.
    ///
    /// # Errors
    /// It runs, or what the file system said.
    pub fn save_state(&mut self, to: &Path) -> anyhow::Result<()> {
        ensure!(!self.is_running()?, "the agent's state can be copied only while it does not run");
        copy_folder(&self.state(), to)
    }

    /// Replaces the state folder by an earlier copy, as a restored disk does. The agent must not run.
    ///
    /// # Errors
    /// It runs, or what the file system said.
    pub fn restore_state(&mut self, from: &Path) -> anyhow::Result<()> {
        ensure!(!self.is_running()?, "the agent's state can be restored only while it does not run");
        if self.state().exists() {
            fs::remove_dir_all(self.state())?;
        }
        copy_folder(from, &self.state())
    }

    /// Runs a subcommand that knows no `--config`, such as `["scan", …]`.
    ///
    /// # Errors
    /// As [`Collector::command`].
    pub fn command(&self, arguments: &[&str]) -> anyhow::Result<Finished> {
        self.tool.run(arguments)
    }

    /// Runs a subcommand such as `["status", "--json"]` with this agent's `--config`.
    ///
    /// # Errors
    /// As [`Collector::command`].
    pub fn command_configured(&self, arguments: &[&str]) -> anyhow::Result<Finished> {
        Tool { config: Some(self.config()), ..self.tool.clone() }.run(arguments)
    }

    /// What `scan` finds in files or folders (absolute paths): one value per finding.
    ///
    /// # Errors
    /// Exit code other than 0, or a line that is not JSON.
    pub fn scan(&self, paths: &[&Path]) -> anyhow::Result<Vec<Value>> {
        let mut arguments: Vec<OsString> = vec!["scan".into(), "--format".into(), "jsonl".into()];
        arguments.extend(paths.iter().map(|path| path.as_os_str().to_owned()));
        self.tool.run(&arguments)?.json_lines()
    }
}

/// A program as a command-line tool: run to its end.
#[derive(Clone, Debug)]
struct Tool {
    program: PathBuf,
    config: Option<PathBuf>,
    logs: PathBuf,
}

impl Tool {
    fn run(&self, arguments: &[impl AsRef<std::ffi::OsStr>]) -> anyhow::Result<Finished> {
        let mut all: Vec<OsString> = arguments.iter().map(|argument| argument.as_ref().to_owned()).collect();
        if let Some(config) = &self.config {
            all.extend(["--config".into(), config.clone().into_os_string()]);
        }
        // Output goes to files and not to pipes: nothing has to be read for the program to go on. A folder of its own
        // keeps calls from several threads apart.
        let scratch = TempDir::with_prefix_in("command-", &self.logs)?;
        let mut process = Process::new(&self.program, &all, scratch.path(), scratch.path(), "command");
        process.start()?;
        let status = process.wait(COMMAND_MAX)?.context("not started")?;
        Ok(Finished { status, stdout: process.output()?, stderr: process.log() })
    }
}

/// What a command left behind.
#[derive(Clone, Debug)]
pub struct Finished {
    /// How it ended.
    pub status: ExitStatus,
    /// What it printed.
    pub stdout: String,
    /// What it complained about.
    pub stderr: String,
}

impl Finished {
    /// What it printed.
    ///
    /// # Errors
    /// Exit code other than 0, with what it complained about.
    pub fn ok(self) -> anyhow::Result<String> {
        ensure!(self.status.success(), "{}: {}", self.status, self.stderr);
        Ok(self.stdout)
    }

    /// What it printed, one JSON value per line.
    ///
    /// # Errors
    /// As [`Finished::ok`], or a line that is not JSON.
    pub fn json_lines(self) -> anyhow::Result<Vec<Value>> {
        let parse = |line: &str| serde_json::from_str(line).with_context(|| format!("not JSON: {line}"));
        self.ok()?.lines().filter(|line| !line.trim().is_empty()).map(parse).collect()
    }
}

/// A finding as `scan --format jsonl` and `finding list --json` both name it: pack, rule, msgid.
pub type FindingName = (String, String, String);

/// The findings in the output of either command, to be compared.
///
/// # Errors
/// A value without one of the three, or a finding that is there twice: each must count once.
pub fn finding_names(values: &[Value]) -> anyhow::Result<BTreeSet<FindingName>> {
    let mut names = BTreeSet::new();
    for value in values {
        let part = |key: &str| {
            let text = value[key].as_str().map(str::to_owned);
            text.with_context(|| format!("no {key} in {value}"))
        };
        let doubled = !names.insert((part("pack")?, part("rule")?, part("msgid")?));
        ensure!(!doubled, "doubled: {value}");
    }
    Ok(names)
}

/// The part of the collector's log that belongs to a failed start.
#[derive(Debug)]
struct StartLog(String);

impl std::fmt::Display for StartLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the collector did not start")
    }
}

fn port_is_busy(error: &anyhow::Error) -> bool {
    let log = error.downcast_ref::<StartLog>().map(|log| log.0.to_lowercase());
    log.is_some_and(|log| log.contains("in use"))
}

/// The configuration with its `listen` line replaced; `None` if it has none.
fn with_listen(config: &str, address: SocketAddr) -> Option<String> {
    let mut found = false;
    let mut kept = String::new();
    for line in config.lines() {
        if line.starts_with("listen") {
            found = true;
            let _ = writeln!(kept, "listen = \"{address}\"");
        } else {
            let _ = writeln!(kept, "{line}");
        }
    }
    found.then_some(kept)
}

fn agent_config(collector: SocketAddr) -> String {
    format!(
        "collector = \"{collector}\"\n\
         state_dir = \"state\"\n\
         \n\
         [identity]\n\
         certificate = \"device.crt\"\n\
         key = \"device.key\"\n\
         root = \"root.crt\"\n\
         tenant_key = \"tenant.key\"\n\
         \n\
         [[folder]]\n\
         path = \"exports\"\n\
         corp = \"{CORP}\"\n\
         \n\
         [source]\n\
         settle = \"100ms\"\n\
         rescan = \"1s\"\n\
         \n\
         [uplink]\n\
         heartbeat = \"1s\"\n\
         retry_max = \"1s\"\n"
    )
}

/// Lays `over` over `config`: tables are merged, arrays put together, everything else replaced.
fn merge(config: &mut Table, over: Table) {
    for (key, value) in over {
        match (config.get_mut(&key), value) {
            (Some(Toml::Table(old)), Toml::Table(new)) => merge(old, new),
            (Some(Toml::Array(old)), Toml::Array(new)) => old.extend(new),
            (_, value) => {
                config.insert(key, value);
            }
        }
    }
}

/// Copies a folder with everything in it and its permissions: keys and databases are nobody else's to enter.
///
/// # Errors
/// What the file system said.
pub fn copy_folder(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(to)?;
    fs::set_permissions(to, fs::metadata(from)?.permissions())?;
    for entry in fs::read_dir(from).with_context(|| from.display().to_string())? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;

    /// The stand-in is a file of the repository and not written here: a file cannot be executed while any process
    /// still has it open for writing, such as a child another test is just starting.
    fn lab() -> Lab {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lab/stand_in.sh");
        let binaries = Binaries { agent: program.clone(), collector: program };
        Lab::with_binaries(&binaries, 2).unwrap()
    }

    #[test]
    fn a_killed_collector_comes_back_on_its_port_even_if_that_is_busy_for_a_moment() {
        let mut lab = lab();
        let address = lab.collector.start().unwrap();
        assert_eq!(address.port(), 41234);
        lab.collector.kill().unwrap();
        assert!(!lab.collector.is_running().unwrap());
        let config: Table = fs::read_to_string(lab.collector.config()).unwrap().parse().unwrap();
        assert_eq!(config["listen"].as_str(), Some("127.0.0.1:41234"));
        assert_eq!(config["identity"]["root"].as_str(), Some("pki/root.crt"));
        fs::write(lab.collector.dir().join("busy"), "").unwrap();
        assert_eq!(lab.collector.start().unwrap(), address);
    }

    #[test]
    fn everything_starts_and_stops_and_nothing_is_left() {
        let mut lab = lab();
        lab.start().unwrap();
        assert_ne!(lab.agents[0].device(), lab.agents[1].device());
        let ids: Vec<u32> = lab.agents.iter().map(|agent| agent.id().unwrap()).collect();
        assert!(lab.agents[0].stop().unwrap().unwrap().success());
        let dir = lab.dir().to_owned();
        drop(lab);
        for id in ids {
            let id = rustix::process::Pid::from_raw(id as i32).unwrap();
            assert!(rustix::process::test_kill_process(id).is_err());
        }
        assert!(!dir.exists());
    }

    #[test]
    fn commands_know_the_configuration_and_report_their_end() {
        let lab = lab();
        let values = lab.collector.json(&["alert", "list"]).unwrap();
        let config = lab.collector.config().display().to_string();
        assert_eq!(values[0]["arguments"], format!("alert list --json --config {config}"));
        let values = lab.agents[0].scan(&[Path::new("a"), Path::new("b")]).unwrap();
        assert_eq!(values[0]["arguments"], "scan --format jsonl a b");
        let failed = lab.agents[0].command(&["fail"]).unwrap();
        assert_eq!(failed.status.code(), Some(2));
        assert!(failed.ok().unwrap_err().to_string().contains("no such thing"));
    }

    #[test]
    fn a_doubled_finding_is_an_error() {
        let value = |msgid: &str| serde_json::json!({"pack": "p", "rule": "r", "msgid": msgid, "more": 1});
        let names = finding_names(&[value("1"), value("2")]).unwrap();
        assert_eq!(names.first(), Some(&("p".into(), "r".into(), "1".into())));
        assert_eq!(names.len(), 2);
        assert!(finding_names(&[value("1"), value("1")]).is_err());
        assert!(finding_names(&[serde_json::json!({"pack": "p"})]).is_err());
    }

    #[test]
    fn state_is_saved_and_restored_while_the_agent_is_down() {
        let mut lab = lab();
        let copy = lab.dir().join("copy");
        let agent = &mut lab.agents[0];
        agent.configure(SocketAddr::from(([127, 0, 0, 1], 1)), "").unwrap();
        agent.start().unwrap();
        assert!(agent.save_state(&copy).is_err(), "copied under a running agent");
        agent.kill().unwrap();
        agent.save_state(&copy).unwrap();
        fs::write(agent.state().join("later"), "").unwrap();
        agent.restore_state(&copy).unwrap();
        assert!(!agent.state().join("later").exists());
        assert!(agent.state().join("sub/config").exists());
    }

    #[test]
    fn an_export_appears_whole_and_a_failed_wait_shows_the_logs() {
        let mut lab = lab();
        let path = lab.agents[1].drop_export("a.jsonl", b"{}\n").unwrap();
        assert_eq!(fs::read(path).unwrap(), b"{}\n");
        assert_eq!(fs::read_dir(lab.agents[1].exports()).unwrap().count(), 1);
        lab.collector.start().unwrap();
        let error = lab.wait_until("pigs fly", Duration::ZERO, || Ok(false)).unwrap_err().to_string();
        assert!(error.contains("pigs fly") && error.contains("collector.log"), "{error}");
    }

    #[test]
    fn extra_configuration_is_added_and_goes_before() {
        let lab = lab();
        let extra =
            "[source]\nsettle = \"0s\"\n[outbox]\nbytes_max = \"1MiB\"\n[[folder]]\npath = \"b\"\ncorp = \"ww2\"\n";
        lab.agents[0].configure(SocketAddr::from(([127, 0, 0, 1], 7)), extra).unwrap();
        let config: Table = fs::read_to_string(lab.agents[0].config()).unwrap().parse().unwrap();
        assert_eq!(config["collector"].as_str(), Some("127.0.0.1:7"));
        assert_eq!(config["source"]["settle"].as_str(), Some("0s"));
        assert_eq!(config["source"]["rescan"].as_str(), Some("1s"));
        assert_eq!(config["outbox"]["bytes_max"].as_str(), Some("1MiB"));
        assert_eq!(config["folder"][0]["path"].as_str(), Some("exports"));
        assert_eq!(config["folder"][1]["path"].as_str(), Some("b"));
        assert!(lab.agents[0].configure(SocketAddr::from(([127, 0, 0, 1], 7)), "no toml").is_err());
    }
}
