//! Imports point down the floors, so the picture in README stays true: `proto` and `policy` at the bottom and
//! ignorant of each other, `agent` and `collector` above and apart, then the tools, then the tests.
//!
//! Also here: nothing in the repository knows the machine it was written on.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use toml::{Table, Value};
use watchpost_tests::lab::workspace;

/// What one crate may stand on.
struct Floor {
    /// The workspace member.
    member: &'static str,
    /// Packages of the workspace it may use.
    may_use: &'static [&'static str],
    /// Packages from outside that would end what the crate stands for.
    never: &'static [&'static str],
}

const PROTO: &str = "watchpost-proto";
const POLICY: &str = "watchpost-policy";
const AGENT: &str = "watchpost-agent";
const COLLECTOR: &str = "watchpost-collector";
const CERTS_DEV: &str = "certs-dev";
const TESTS: &str = "watchpost-tests";

/// From the bottom up. A member that is not here is a violation: say first where it belongs.
const FLOORS: [Floor; 6] = [
    Floor { member: "proto", may_use: &[], never: &["tokio", "rusqlite", "notify"] },
    Floor { member: "policy", may_use: &[], never: &["tokio", "tonic", "rusqlite", "notify"] },
    Floor { member: "agent", may_use: &[PROTO, POLICY], never: &[] },
    Floor { member: "collector", may_use: &[PROTO, POLICY], never: &[] },
    Floor { member: "certs-dev", may_use: &[PROTO, COLLECTOR], never: &[] },
    Floor { member: "tests", may_use: &[PROTO, POLICY, AGENT, COLLECTOR, CERTS_DEV], never: &[] },
];

const OURS: [&str; 6] = [PROTO, POLICY, AGENT, COLLECTOR, CERTS_DEV, TESTS];

/// Everything in the workspace at `root` that reaches where it must not, one sentence each.
fn violations(root: &Path) -> anyhow::Result<Vec<String>> {
    let workspace = read_toml(&root.join("Cargo.toml"))?;
    let workspace = workspace.get("workspace").and_then(Value::as_table).context("no [workspace]")?;
    let members = workspace.get("members").and_then(Value::as_array).context("no members")?;
    let shared = table(workspace, "dependencies");
    let mut found = Vec::new();
    for member in members.iter().filter_map(Value::as_str) {
        match FLOORS.iter().find(|floor| floor.member == member) {
            Some(floor) => {
                found.extend(manifest_violations(root, floor, &shared)?);
                found.extend(source_violations(root, floor)?);
            }
            None => found.push(format!("{member} stands on no floor")),
        }
    }
    Ok(found)
}

/// Forbidden packages among the dependencies that end up in the product: normal and build, on any target.
fn manifest_violations(root: &Path, floor: &Floor, shared: &Table) -> anyhow::Result<Vec<String>> {
    let manifest = read_toml(&root.join(floor.member).join("Cargo.toml"))?;
    let targets = table(&manifest, "target");
    let places = std::iter::once(&manifest).chain(targets.values().filter_map(Value::as_table));
    let mut found = Vec::new();
    for place in places {
        for section in ["dependencies", "build-dependencies"] {
            for (name, spec) in &table(place, section) {
                let package = package_name(name, spec, shared);
                if forbidden(floor, &package) {
                    found.push(format!("{} depends on {package}", floor.member));
                }
            }
        }
    }
    Ok(found)
}

/// The package behind a dependency's name, which may be an alias here or in the workspace's list.
fn package_name(name: &str, spec: &Value, shared: &Table) -> String {
    let from_workspace = spec.get("workspace").and_then(Value::as_bool).unwrap_or(false);
    let spec = if from_workspace { shared.get(name).unwrap_or(spec) } else { spec };
    spec.get("package").and_then(Value::as_str).unwrap_or(name).to_owned()
}

fn forbidden(floor: &Floor, package: &str) -> bool {
    let foreign_floor = OURS.contains(&package) && !floor.may_use.contains(&package);
    foreign_floor || floor.never.contains(&package)
}

/// Forbidden crates named in the source, where a development dependency would let them in unnoticed.
fn source_violations(root: &Path, floor: &Floor) -> anyhow::Result<Vec<String>> {
    let mut found = Vec::new();
    let sources = root.join(floor.member).join("src");
    for path in files_below(&sources)?.into_iter().filter(|path| path.extension().is_some_and(|end| end == "rs")) {
        let text = fs::read_to_string(&path)?;
        for package in OURS.iter().chain(floor.never).filter(|package| forbidden(floor, package)) {
            // A crate's own name stands in its binary and its documentation.
            let own = own_name(root, floor)? == **package;
            if !own && uses(&text, &package.replace('-', "_")) {
                found.push(format!("{} uses {package} in {}", floor.member, path.display()));
            }
        }
    }
    Ok(found)
}

fn own_name(root: &Path, floor: &Floor) -> anyhow::Result<String> {
    let manifest = read_toml(&root.join(floor.member).join("Cargo.toml"))?;
    let name = manifest.get("package").and_then(|package| package.get("name")).and_then(Value::as_str);
    Ok(name.context("no package name")?.to_owned())
}

/// Whether a line of code, comments aside, imports `krate` or names a path in it.
fn uses(source: &str, krate: &str) -> bool {
    let path = format!("{krate}::");
    let statements = [format!("use {krate};"), format!("use {krate} "), format!("extern crate {krate}")];
    source.lines().map(str::trim_start).filter(|line| !line.starts_with("//")).any(|line| {
        statements.iter().any(|statement| line.contains(statement))
            || line.match_indices(&path).any(|(at, _)| !line[..at].ends_with(is_identifier))
    })
}

/// Before a crate's name these would make it another name, or a module of that name elsewhere.
fn is_identifier(character: char) -> bool {
    character.is_alphanumeric() || matches!(character, '_' | ':')
}

fn table(parent: &Table, key: &str) -> Table {
    parent.get(key).and_then(Value::as_table).cloned().unwrap_or_default()
}

fn read_toml(path: &Path) -> anyhow::Result<Table> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    text.parse().with_context(|| path.display().to_string())
}

/// All files below a folder, without what is built or kept by tools.
fn files_below(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let (mut files, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let entry = entry?;
            let name = entry.file_name();
            // In a second work tree `.git` is a file that says where the first one lies.
            if [".git", "target", "out", "demo"].iter().any(|skipped| name == *skipped) {
                continue;
            }
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            } else {
                files.push(entry.path());
            }
        }
    }
    Ok(files)
}

#[test]
fn imports_point_down_the_floors() {
    assert_eq!(violations(&workspace()).unwrap(), Vec::<String>::new());
}

/// A copy of every manifest and source, to be doctored.
fn copy_of_workspace() -> anyhow::Result<tempfile::TempDir> {
    let (root, copy) = (workspace(), tempfile::tempdir()?);
    let mut wanted = vec![root.join("Cargo.toml")];
    for floor in &FLOORS {
        wanted.push(root.join(floor.member).join("Cargo.toml"));
        wanted.extend(files_below(&root.join(floor.member).join("src"))?);
    }
    for path in wanted {
        let target = copy.path().join(path.strip_prefix(&root)?);
        fs::create_dir_all(target.parent().context("no folder")?)?;
        fs::copy(path, target)?;
    }
    Ok(copy)
}

fn append(path: &Path, text: &str) -> anyhow::Result<()> {
    let old = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    Ok(fs::write(path, format!("{old}\n{text}\n"))?)
}

/// Adds to or opens a section of a manifest.
fn add_dependency(manifest: &Path, section: &str, name: &str, spec: &str) -> anyhow::Result<()> {
    let mut table = read_toml(manifest)?;
    let mut place = &mut table;
    for key in section.split('/') {
        let entry = place.entry(key).or_insert_with(|| Value::Table(Table::new()));
        place = entry.as_table_mut().context("not a table")?;
    }
    let spec: Table = format!("spec = {spec}").parse()?;
    place.insert(name.to_owned(), spec["spec"].clone());
    Ok(fs::write(manifest, table.to_string())?)
}

#[test]
fn a_dependency_up_or_across_is_found_however_it_is_written() {
    let workspace = r#"{ workspace = true }"#;
    let alias = r#"{ package = "watchpost-agent", path = "../agent" }"#;
    let cases = [
        ("agent", "dependencies", COLLECTOR, workspace, "agent depends on watchpost-collector"),
        ("collector", "dependencies", "helper", alias, "collector depends on watchpost-agent"),
        ("collector", "build-dependencies", AGENT, workspace, "collector depends on watchpost-agent"),
        ("proto", "target/cfg(unix)/dependencies", POLICY, workspace, "proto depends on watchpost-policy"),
        ("policy", "dependencies", PROTO, workspace, "policy depends on watchpost-proto"),
        ("policy", "dependencies", "tokio", workspace, "policy depends on tokio"),
        ("policy", "dependencies", "db", r#"{ package = "rusqlite", version = "0" }"#, "policy depends on rusqlite"),
        ("policy", "build-dependencies", "tonic", r#""0.14""#, "policy depends on tonic"),
        ("certs-dev", "dependencies", AGENT, workspace, "certs-dev depends on watchpost-agent"),
    ];
    for (member, section, name, spec, expected) in cases {
        let copy = copy_of_workspace().unwrap();
        add_dependency(&copy.path().join(member).join("Cargo.toml"), section, name, spec).unwrap();
        assert_eq!(violations(copy.path()).unwrap(), [expected], "{member} {section} {name}");
    }
}

#[test]
fn a_use_in_the_source_is_found_and_a_comment_is_not() {
    let cases = [
        ("agent", "use watchpost_collector::pki;", true),
        ("agent", "fn f() { let _ = watchpost_collector::pki::BACKDATE; }", true),
        ("collector", "    use watchpost_agent as other;", true),
        ("policy", "extern crate tokio;", true),
        ("policy", "use tonic::Status;", true),
        ("proto", "use watchpost_policy::{scan, rules};", true),
        ("proto", "// use watchpost_policy::scan;", false),
        ("policy", "use crate::tokio::thing; use my_tokio::x;", false),
    ];
    for (member, line, expected) in cases {
        let copy = copy_of_workspace().unwrap();
        append(&copy.path().join(member).join("src/lib.rs"), line).unwrap();
        assert_eq!(violations(copy.path()).unwrap().len(), usize::from(expected), "{member}: {line}");
    }
}

#[test]
fn a_new_member_must_say_where_it_stands() {
    let copy = copy_of_workspace().unwrap();
    let manifest = copy.path().join("Cargo.toml");
    let text = fs::read_to_string(&manifest).unwrap();
    fs::write(&manifest, text.replacen("members = [", "members = [\"common\", ", 1)).unwrap();
    assert_eq!(violations(copy.path()).unwrap(), ["common stands on no floor"]);
}

/// Folders of the machine the text was written on, spelt so that this file does not contain them.
fn foreign_paths(name: &str, text: &str) -> BTreeMap<usize, String> {
    let mut needles = vec![concat!("/wo", "rk/"), concat!("/ro", "ot/")];
    if name.ends_with(".md") {
        needles.push(concat!("/tm", "p/"));
    }
    let lines = text.lines().zip(1..);
    lines
        .filter(|(line, _)| needles.iter().any(|needle| line.contains(needle)))
        .map(|(l, n)| (n, l.to_owned()))
        .collect()
}

#[test]
fn no_file_knows_the_machine_it_was_written_on() {
    let root = workspace();
    let mut found = Vec::new();
    for path in files_below(&root).unwrap() {
        let Ok(text) = fs::read_to_string(&path) else {
            continue;
        };
        let name = path.strip_prefix(&root).unwrap().display().to_string();
        found.extend(foreign_paths(&name, &text).into_iter().map(|(line, text)| format!("{name}:{line}: {text}")));
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn a_path_of_the_machine_is_recognised() -> anyhow::Result<()> {
    let line = concat!("see /wo", "rk/notes.md");
    ensure!(foreign_paths("a.rs", line).len() == 1, "not found in source");
    ensure!(foreign_paths("a.rs", concat!("let p = \"/tm", "p/x\";")).is_empty(), "a path in a test is no mention");
    ensure!(foreign_paths("a.md", concat!("see /tm", "p/x")).len() == 1, "not found in a document");
    Ok(())
}
