//! `watchpost-collector init`: lays out a new collector with its own certificate authority.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use clap::Args;
use time::OffsetDateTime;
use uuid::Uuid;
use watchpost_proto::DeviceId;

use crate::durable_file::{self, Access};
use crate::operators::first;
use crate::pki::{CollectorCa, DeviceCa, Purpose, Root};

/// Makes the folder of a new collector: certificate authority, pseudonym key, configuration. 新建收集端目录。
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  \
    watchpost-collector init ./collector --tenant acme --listen 0.0.0.0:7443")]
pub struct InitArgs {
    /// The folder to make. It must not exist yet, or be empty.
    pub dir: PathBuf,
    /// The tenant's name in every certificate: 1 to 32 characters of a-z, 0-9 and -.
    #[arg(long, default_value = "default")]
    pub tenant: String,
    /// The address and port to listen on.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7443")]
    pub listen: SocketAddr,
    /// A further DNS name or IP address for the collector's certificate; may be repeated.
    #[arg(long = "name", value_name = "EXTRA_DNS")]
    pub names: Vec<String>,
    /// Where operators come in, on loopback; elsewhere it needs a certificate, which collector.toml names.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7481")]
    pub console: SocketAddr,
}

/// What a new collector is to be.
#[derive(Clone, Debug)]
pub struct Plan<'a> {
    /// The tenant's name in every certificate: `[a-z0-9-]{1,32}`.
    pub tenant: &'a str,
    /// The address and port the collector will listen on.
    pub listen: SocketAddr,
    /// Further DNS names or IP addresses for its certificate.
    pub names: &'a [String],
    /// Whether the root carries the development marker.
    pub purpose: Purpose,
}

/// What the caller of [`lay_out`] may still need. All of it is on disk as well.
#[derive(Debug)]
pub struct LaidOut {
    /// The root certificate, PEM.
    pub root: String,
    /// The authority that issues device certificates.
    pub devices: DeviceCa,
    /// The pseudonym key as its file holds it: 64 hexadecimal characters and a newline. A secret.
    pub tenant_key: String,
}

/// Runs the command.
///
/// # Errors
/// A folder that is not empty, a tenant or name that no certificate can carry, or what the file system said.
pub fn run(args: InitArgs) -> anyhow::Result<()> {
    let plan = Plan { tenant: &args.tenant, listen: args.listen, names: &args.names, purpose: Purpose::Production };
    ensure!(
        args.console.ip().is_loopback(),
        "--console is on loopback, like 127.0.0.1:7481; set certificate and key in collector.toml for more"
    );
    write_all(&args.dir, &plan, Some(args.console), OffsetDateTime::now_utc())?;
    let secret = first::leave(&args.dir.join("data"))?;
    print!("{}{}", closing_words(&args.dir), first_operator(&args.dir, args.console, &secret));
    Ok(())
}

/// Makes the folder `dir` with everything `serve` needs. `collector.toml` is written last: a folder without it is
/// an `init` that was interrupted.
///
/// # Errors
/// As [`run`].
pub fn lay_out(dir: &Path, plan: &Plan<'_>, now: OffsetDateTime) -> anyhow::Result<LaidOut> {
    write_all(dir, plan, None, now)
}

fn write_all(dir: &Path, plan: &Plan<'_>, console: Option<SocketAddr>, now: OffsetDateTime) -> anyhow::Result<LaidOut> {
    refuse_unless_empty(dir)?;
    // Everything that can be refused is refused before the first file is written.
    let root = Root::create(plan.tenant, plan.purpose, now)?;
    let devices = root.device_ca(now)?;
    let collectors = root.collector_ca(now)?;
    let leaf = collectors.issue_with_key(plan.tenant, &DeviceId(Uuid::new_v4().into_bytes()), plan.names, now)?;
    let tenant_key = new_tenant_key()?;

    durable_file::create_folder(dir, Access::Secret)?;
    durable_file::create_folder(&dir.join("data"), Access::Secret)?;
    write_root(&dir.join("root"), &root)?;
    let pki = dir.join("pki");
    write_authorities(&pki, &root, &devices, &collectors)?;
    public(&pki, "collector.crt", &leaf.chain)?;
    secret(&pki, "collector.key", &leaf.key)?;
    secret(&pki, "tenant.key", &tenant_key)?;
    public(dir, "collector.toml", &configuration(plan, console))?;
    Ok(LaidOut { root: root.certificate().to_owned(), devices, tenant_key })
}

fn refuse_unless_empty(dir: &Path) -> anyhow::Result<()> {
    let mut entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).with_context(|| dir.display().to_string()),
    };
    if entries.next().is_none() {
        return Ok(());
    }
    let shown = dir.display();
    ensure!(
        !dir.join("collector.toml").exists(),
        "{shown} already holds a collector, and its keys are not overwritten: choose another folder, or move this one away first"
    );
    if dir.join("pki").exists() || dir.join("root").exists() {
        bail!(
            "{shown} holds an init that was interrupted (it has no collector.toml): delete the folder and run init again"
        );
    }
    bail!("{shown} is not empty: choose a new or an empty folder");
}

fn write_root(folder: &Path, root: &Root) -> anyhow::Result<()> {
    durable_file::create_folder(folder, Access::Secret)?;
    secret(folder, "root.key", &root.key())?;
    public(folder, "root.crt", root.certificate())
}

fn write_authorities(folder: &Path, root: &Root, devices: &DeviceCa, collectors: &CollectorCa) -> anyhow::Result<()> {
    durable_file::create_folder(folder, Access::Secret)?;
    public(folder, "root.crt", root.certificate())?;
    public(folder, "devices.crt", devices.certificate())?;
    secret(folder, "devices.key", &devices.key())?;
    public(folder, "collectors.crt", collectors.certificate())?;
    secret(folder, "collectors.key", &collectors.key())
}

fn public(folder: &Path, name: &str, text: &str) -> anyhow::Result<()> {
    Ok(durable_file::write(&folder.join(name), text.as_bytes(), Access::Public)?)
}

fn secret(folder: &Path, name: &str, text: &str) -> anyhow::Result<()> {
    Ok(durable_file::write(&folder.join(name), text.as_bytes(), Access::Secret)?)
}

/// 256 random bits as 64 hexadecimal characters and a newline.
fn new_tenant_key() -> anyhow::Result<String> {
    let mut key = [0_u8; 32];
    getrandom::fill(&mut key).context("no random numbers from the system")?;
    Ok(format!("{}\n", hex::encode(key)))
}

/// The text of `collector.toml`. Every value was checked to need no escaping in a TOML string.
fn configuration(plan: &Plan<'_>, console: Option<SocketAddr>) -> String {
    let Plan { tenant, listen, .. } = plan;
    let console = match console {
        Some(console) => format!("[console]\nlisten = \"{console}\"\n"),
        None => "# [console]\n# listen = \"127.0.0.1:7481\"\n".to_owned(),
    };
    format!(
        "# Paths are relative to this file's folder.\n\
         listen = \"{listen}\"\n\
         tenant = \"{tenant}\"\n\
         data_dir = \"data\"\n\
         \n\
         [identity]\n\
         certificate = \"pki/collector.crt\"\n\
         key = \"pki/collector.key\"\n\
         root = \"pki/root.crt\"\n\
         \n\
         [enrolment]\n\
         # The keys that issue device certificates; without it nobody can enrol here.\n\
         authority = \"pki\"\n\
         # Where tokens send devices; without it, to `listen`.\n\
         # addresses = [\"collector.example:7443\"]\n\
         \n\
         # What operators come in by; elsewhere than on loopback it needs a certificate and its key.\n\
         {console}"
    )
}

/// How the first administrator comes in. What is behind `#` stays in the browser.
fn first_operator(dir: &Path, console: SocketAddr, secret: &str) -> String {
    let config = dir.join("collector.toml").display().to_string();
    let name = first::NAME;
    format!(
        "\n首位管理员：启动后在本机浏览器打开此链接，设置密码与动态码（7 天内有效，只显示这一次）：\n\
         The first administrator: once it runs, open this link in a browser here, and set a password and one-time codes\n\
         (valid for 7 days and shown only this once):\n\
         \n  http://{console}/welcome#name={name}&secret={secret}\n\n\
         没有浏览器时：用户名 {name}，以链接中的一次性密钥在终端设置：\n\
         Without a browser: login name {name}, with the one-time secret of the link, at a terminal:\n\
         watchpost-collector operator accept {name} --config {config}\n"
    )
}

fn closing_words(dir: &Path) -> String {
    let root = dir.join("root").display().to_string();
    let pki = dir.join("pki").display().to_string();
    let config = dir.join("collector.toml").display().to_string();
    format!(
        "已创建收集端：{config}，证书与密钥在 {pki}。\n\
         请把 {root} 移到离线介质妥善保管：只有签发新的中间证书时才需要它。\n\
         启动：watchpost-collector serve --config {config}\n\
         \n\
         Made a collector: {config}, certificates and keys in {pki}.\n\
         Move {root} to offline storage: it is needed only to make new intermediates.\n\
         Start it: watchpost-collector serve --config {config}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn plan(purpose: Purpose) -> Plan<'static> {
        Plan { tenant: "acme", listen: SocketAddr::from(([127, 0, 0, 1], 7443)), names: &[], purpose }
    }

    fn files(dir: &Path) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        let mut folders = vec![dir.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path.clone());
                }
                let relative = path.strip_prefix(dir).unwrap();
                found.insert(relative.to_str().unwrap().to_owned());
            }
        }
        found
    }

    #[test]
    fn makes_the_whole_layout() {
        let parent = tempfile::tempdir().unwrap();
        let dir = parent.path().join("new/collector");
        lay_out(&dir, &plan(Purpose::Production), OffsetDateTime::now_utc()).unwrap();
        let expected = [
            "collector.toml",
            "data",
            "pki",
            "pki/collector.crt",
            "pki/collector.key",
            "pki/collectors.crt",
            "pki/collectors.key",
            "pki/devices.crt",
            "pki/devices.key",
            "pki/root.crt",
            "pki/tenant.key",
            "root",
            "root/root.crt",
            "root/root.key",
        ];
        assert_eq!(files(&dir), expected.map(str::to_owned).into());
        let pem = fs::read_to_string(dir.join("pki/devices.crt")).unwrap();
        let key = fs::read_to_string(dir.join("pki/devices.key")).unwrap();
        DeviceCa::from_pem(&pem, &key).unwrap();
        let tenant_key = fs::read_to_string(dir.join("pki/tenant.key")).unwrap();
        assert_eq!(hex::decode(tenant_key.trim_end()).unwrap().len(), 32);
        assert!(tenant_key.ends_with('\n'));
    }

    #[cfg(unix)]
    #[test]
    fn keys_are_for_the_owner_only() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        lay_out(dir.path(), &plan(Purpose::Production), OffsetDateTime::now_utc()).unwrap();
        for name in files(dir.path()).iter().filter(|name| name.ends_with(".key")) {
            let mode = fs::metadata(dir.path().join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
    }

    #[test]
    fn a_folder_with_something_in_it_is_refused_and_untouched() {
        let cases = [
            (vec!["notes.txt"], "choose a new or an empty folder"),
            (vec!["collector.toml", "pki"], "already holds a collector"),
            (vec!["root"], "delete the folder and run init again"),
        ];
        for (present, expected) in cases {
            let dir = tempfile::tempdir().unwrap();
            for name in &present {
                fs::write(dir.path().join(name), "mine").unwrap();
            }
            let refused = lay_out(dir.path(), &plan(Purpose::Production), OffsetDateTime::now_utc());
            let sentence = refused.unwrap_err().to_string();
            assert!(sentence.contains(expected), "{sentence}");
            assert_eq!(files(dir.path()).len(), present.len());
        }
    }

    #[test]
    fn the_first_administrator_gets_a_link_to_where_the_console_is() {
        let dir = tempfile::tempdir().unwrap();
        let console: SocketAddr = "127.0.0.1:7999".parse().unwrap();
        write_all(dir.path(), &plan(Purpose::Production), Some(console), OffsetDateTime::now_utc()).unwrap();
        let config = crate::config::Config::load(&dir.path().join("collector.toml")).unwrap();
        assert_eq!(config.console.map(|console| console.listen), Some(console));
        let said = first_operator(dir.path(), console, "wpi_x");
        assert!(said.contains("http://127.0.0.1:7999/welcome#name=administrator&secret=wpi_x"), "{said}");
    }

    #[test]
    fn a_bad_name_is_refused_before_anything_is_written() {
        let parent = tempfile::tempdir().unwrap();
        let dir = parent.path().join("collector");
        let names = ["not a name".to_owned()];
        let plan = Plan { names: &names, ..plan(Purpose::Production) };
        assert!(lay_out(&dir, &plan, OffsetDateTime::now_utc()).is_err());
        assert!(!dir.exists());
    }
}
