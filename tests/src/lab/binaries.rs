//! Builds the programs under test, once per process, in the profile the test itself was built in.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use anyhow::{Context as _, bail};
use serde_json::Value;

const AGENT: &str = "watchpost-agent";
const COLLECTOR: &str = "watchpost-collector";

/// Where the programs are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binaries {
    /// `watchpost-agent`.
    pub agent: PathBuf,
    /// `watchpost-collector`.
    pub collector: PathBuf,
}

/// The programs, built from the sources as they are now. The first call in a process runs one `cargo build`; cargo's
/// own lock keeps parallel test processes apart.
///
/// # Errors
/// What the build said. A failed build is not repeated within the process.
pub fn binaries() -> anyhow::Result<&'static Binaries> {
    static BUILT: OnceLock<Result<Binaries, String>> = OnceLock::new();
    let built = BUILT.get_or_init(|| build_both().map_err(|error| format!("{error:#}")));
    built.as_ref().map_err(|error| anyhow::anyhow!("{error}"))
}

/// The root of the workspace.
pub fn workspace() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap_or(tests).to_owned()
}

fn build_both() -> anyhow::Result<Binaries> {
    let messages = build(&[AGENT, COLLECTOR])?;
    Ok(Binaries { agent: executable(&messages, AGENT)?, collector: executable(&messages, COLLECTOR)? })
}

/// Builds one package of the workspace and returns its program, named like the package.
///
/// # Errors
/// What the build said, or a package without a program.
pub fn program(package: &str) -> anyhow::Result<PathBuf> {
    executable(&build(&[package])?, package)
}

/// Builds packages; returns cargo's messages, one JSON object per line.
fn build(packages: &[&str]) -> anyhow::Result<String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--message-format=json-render-diagnostics"]).current_dir(workspace());
    for package in packages {
        command.args(["--package", package]);
    }
    if !cfg!(debug_assertions) {
        command.arg("--release");
    }
    // A person who waits sees cargo at work; otherwise what it said goes into the error.
    if std::io::stderr().is_terminal() {
        command.stderr(Stdio::inherit());
    }
    let output = command.output().context("cannot run cargo")?;
    if !output.status.success() {
        bail!("cargo build failed:\n{}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Finds the path of a program in cargo's messages, one JSON object per line.
fn executable(messages: &str, name: &str) -> anyhow::Result<PathBuf> {
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message["reason"] == "compiler-artifact" && message["target"]["name"] == name)
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
        .with_context(|| format!("cargo built no program named {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_found_among_other_messages() {
        let messages = r#"
not json
{"reason":"compiler-artifact","target":{"name":"watchpost_agent","kind":["lib"]},"executable":null}
{"reason":"compiler-artifact","target":{"name":"watchpost-agent","kind":["custom-build"]},"executable":null}
{"reason":"compiler-artifact","target":{"name":"other","kind":["bin"]},"executable":"/t/other"}
{"reason":"compiler-artifact","target":{"name":"watchpost-agent","kind":["bin"]},"executable":"/t/watchpost-agent"}
{"reason":"build-finished","success":true}"#;
        assert_eq!(executable(messages, AGENT).unwrap(), Path::new("/t/watchpost-agent"));
        assert!(executable(messages, COLLECTOR).is_err());
    }
}
