//! One program under test: started, watched, stopped or killed; never left behind.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail, ensure};

/// How often a condition is looked at.
const POLL: Duration = Duration::from_millis(10);
/// How long a program may take until it is ready, on a busy machine.
const START_MAX: Duration = Duration::from_secs(60);
/// Lines of a log shown with a failure.
const TAIL_LINES: usize = 30;

/// Waits until `holds` says true.
///
/// # Errors
/// The first error of `holds`, or a sentence naming `what` after `timeout`.
pub fn wait_until(
    what: &str,
    timeout: Duration,
    mut holds: impl FnMut() -> anyhow::Result<bool>,
) -> anyhow::Result<()> {
    let start = Instant::now();
    loop {
        if holds().with_context(|| format!("while waiting until {what}"))? {
            return Ok(());
        }
        ensure!(start.elapsed() < timeout, "waited {timeout:?} in vain until {what}");
        std::thread::sleep(POLL);
    }
}

/// A program with its arguments and its output files; running or not.
#[derive(Debug)]
pub(super) struct Process {
    program: PathBuf,
    arguments: Vec<OsString>,
    folder: PathBuf,
    stdout: PathBuf,
    stderr: PathBuf,
    child: Option<Child>,
}

impl Process {
    /// Describes a program without starting it. `name` is that of its output files in `logs`; it runs in `folder`.
    pub(super) fn new(program: &Path, arguments: &[OsString], folder: &Path, logs: &Path, name: &str) -> Self {
        Self {
            program: program.to_owned(),
            arguments: arguments.to_vec(),
            folder: folder.to_owned(),
            stdout: logs.join(format!("{name}.out")),
            stderr: logs.join(format!("{name}.log")),
            child: None,
        }
    }

    /// Starts the program. Its standard output begins anew, its log goes on.
    pub(super) fn start(&mut self) -> anyhow::Result<()> {
        ensure!(!self.is_running()?, "{} runs already", self.program.display());
        let stdout = File::create(&self.stdout).with_context(|| self.stdout.display().to_string())?;
        let stderr = OpenOptions::new().create(true).append(true).open(&self.stderr)?;
        let child = Command::new(&self.program)
            .args(&self.arguments)
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(stderr)
            .spawn()
            .with_context(|| format!("cannot start {}", self.program.display()))?;
        self.child = Some(child);
        Ok(())
    }

    /// Waits for a whole line on standard output that begins with `prefix`; returns what follows it.
    pub(super) fn wait_for_line(&mut self, prefix: &str) -> anyhow::Result<String> {
        let mut found = None;
        let what = format!("{} prints \"{prefix}…\"", self.program.display());
        let waited = wait_until(&what, START_MAX, || {
            // In this order: what was printed before the end counts.
            let running = self.is_running()?;
            found = line_after(&self.output()?, prefix);
            ensure!(running || found.is_some(), "it ended");
            Ok(found.is_some())
        });
        waited.map_err(|error| anyhow!("{error:#}\n{}", self.tail()))?;
        found.context("no line")
    }

    /// Whether it was started and has not ended.
    pub(super) fn is_running(&mut self) -> anyhow::Result<bool> {
        let Some(child) = self.child.as_mut() else {
            return Ok(false);
        };
        let ended = child.try_wait()?;
        if ended.is_some() {
            self.child = None;
        }
        Ok(ended.is_none())
    }

    /// The process id while it runs.
    pub(super) fn id(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Waits for the end and returns how it ended; `None` if it was not running.
    pub(super) fn wait(&mut self, timeout: Duration) -> anyhow::Result<Option<ExitStatus>> {
        let Some(mut child) = self.child.take() else {
            return Ok(None);
        };
        let mut ended = None;
        let what = format!("{} ends", self.program.display());
        let waited = wait_until(&what, timeout, || {
            ended = child.try_wait()?;
            Ok(ended.is_some())
        });
        if let Err(error) = waited {
            let _ = (child.kill(), child.wait());
            bail!("{error:#}\n{}", self.tail());
        }
        Ok(ended)
    }

    /// Asks it to end, as a service manager would, and waits.
    pub(super) fn stop(&mut self, timeout: Duration) -> anyhow::Result<Option<ExitStatus>> {
        if let Some(child) = &self.child {
            ask_to_end(child)?;
        }
        self.wait(timeout)
    }

    /// Ends it in the middle of whatever it does (SIGKILL). Does nothing if it is not running.
    pub(super) fn kill(&mut self) -> anyhow::Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    /// Everything it printed on standard output since its last start.
    pub(super) fn output(&self) -> anyhow::Result<String> {
        Ok(String::from_utf8_lossy(&fs::read(&self.stdout)?).into_owned())
    }

    /// Everything it logged, over all its starts.
    pub(super) fn log(&self) -> String {
        fs::read(&self.stderr).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// The last lines of its log, under its file's name.
    pub(super) fn tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        let last = &lines[lines.len().saturating_sub(TAIL_LINES)..];
        format!("--- {} ---\n{}\n", self.stderr.display(), last.join("\n"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

/// The rest of the first whole line that begins with `prefix`.
fn line_after(output: &str, prefix: &str) -> Option<String> {
    let whole = &output[..=output.rfind('\n')?];
    whole.lines().find_map(|line| line.strip_prefix(prefix)).map(str::to_owned)
}

#[cfg(unix)]
fn ask_to_end(child: &Child) -> anyhow::Result<()> {
    let id = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw).context("no process id")?;
    match rustix::process::kill_process(id, rustix::process::Signal::TERM) {
        // It ended by itself meanwhile; its status is still to be fetched.
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(not(unix))]
fn ask_to_end(_child: &Child) -> anyhow::Result<()> {
    bail!("a program can be asked to end on Unix only; use kill")
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;

    fn shell(script: &str, logs: &Path) -> Process {
        let arguments = ["-c".into(), script.into()];
        Process::new(Path::new("/bin/sh"), &arguments, logs, logs, "shell")
    }

    fn exists(id: u32) -> bool {
        let id = rustix::process::Pid::from_raw(id as i32).unwrap();
        rustix::process::test_kill_process(id).is_ok()
    }

    #[test]
    fn a_line_counts_when_it_is_whole() {
        let cases = [
            ("listening on 127.0.0.1:41", None),
            ("listening on 127.0.0.1:41234\n", Some("127.0.0.1:41234")),
            ("hello\nlistening on a\nlistening on b\n", Some("a")),
            ("not listening on a\n", None),
            ("", None),
        ];
        for (output, expected) in cases {
            assert_eq!(line_after(output, "listening on ").as_deref(), expected, "{output:?}");
        }
    }

    #[test]
    fn ready_then_stopped_in_good_order() {
        let logs = tempfile::tempdir().unwrap();
        let mut process = shell("trap 'exit 7' TERM; echo ready 42; while :; do sleep 0.01; done", logs.path());
        process.start().unwrap();
        assert_eq!(process.wait_for_line("ready ").unwrap(), "42");
        assert!(process.start().is_err(), "started twice");
        let status = process.stop(START_MAX).unwrap().unwrap();
        assert_eq!(status.code(), Some(7));
        assert!(!process.is_running().unwrap());
    }

    #[test]
    fn an_early_end_shows_the_log() {
        let logs = tempfile::tempdir().unwrap();
        let mut process = shell("echo the reason >&2; exit 1", logs.path());
        process.start().unwrap();
        let error = process.wait_for_line("ready").unwrap_err().to_string();
        assert!(error.contains("the reason") && error.contains("it ended"), "{error}");
    }

    #[test]
    fn killed_and_started_again_the_log_goes_on() {
        let logs = tempfile::tempdir().unwrap();
        let mut process = shell("echo one >&2; echo ready; exec sleep 1000", logs.path());
        for _ in 0..2 {
            process.start().unwrap();
            process.wait_for_line("ready").unwrap();
            process.kill().unwrap();
        }
        assert_eq!(process.log(), "one\none\n");
    }

    #[test]
    fn nothing_outlives_the_handle() {
        let logs = tempfile::tempdir().unwrap();
        let mut process = shell("echo ready; exec sleep 1000", logs.path());
        process.start().unwrap();
        process.wait_for_line("ready").unwrap();
        let id = process.id().unwrap();
        assert!(exists(id));
        drop(process);
        assert!(!exists(id));
    }

    #[test]
    fn waiting_ends_with_a_sentence() {
        let error = wait_until("pigs fly", Duration::from_millis(20), || Ok(false)).unwrap_err();
        assert!(error.to_string().contains("in vain until pigs fly"), "{error}");
        let error = wait_until("pigs fly", START_MAX, || bail!("no wings")).unwrap_err();
        assert!(format!("{error:#}").contains("no wings"), "{error:#}");
        let mut looks = 0;
        wait_until("three looks", START_MAX, || {
            looks += 1;
            Ok(looks == 3)
        })
        .unwrap();
    }
}
