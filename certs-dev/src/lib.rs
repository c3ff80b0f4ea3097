//! Mints a development certificate authority with a ready collector folder and device identities, for `cargo demo`,
//! tests and trying things by hand. Its root carries a marker, and packaged builds refuse it.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;
use watchpost_collector::commands::init::{self, LaidOut, Plan};
use watchpost_collector::durable_file::{self, Access};
use watchpost_collector::pki::{self, Purpose};
use watchpost_proto::DeviceId;

/// The tenant of everything minted here.
pub const TENANT: &str = "demo";
/// Device certificates last a year: nothing renews them in development.
const DEVICE_LIFE: Duration = Duration::days(365);

/// What [`mint`] made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Minted {
    /// The collector's folder, as `watchpost-collector init` makes it.
    pub collector: PathBuf,
    /// One entry per device, in order.
    pub devices: Vec<MintedDevice>,
}

/// One device's identity on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MintedDevice {
    /// The device's UUID, also in its file `uuid`.
    pub uuid: DeviceId,
    /// The folder with `device.crt`, `device.key`, `root.crt`, `tenant.key` and `uuid`.
    pub dir: PathBuf,
}

/// Makes `out/collector` and `out/devices/1` to `out/devices/N`. `listen` is the address, with port, that goes into
/// the collector's configuration. With `force` an earlier development authority in `out` is removed first.
///
/// # Errors
/// An `out` that already holds certificates (with `force`: ones without the development marker, which are never
/// removed), an address that is none, or what the file system said.
pub fn mint(out: &Path, devices: usize, listen: &str, force: bool) -> anyhow::Result<Minted> {
    let listen: SocketAddr = listen.parse().with_context(|| format!("{listen:?} is not an address with a port"))?;
    make_room(out, force)?;
    let now = OffsetDateTime::now_utc();
    let collector = out.join("collector");
    let plan = Plan { tenant: TENANT, listen, names: &[], purpose: Purpose::Development };
    let laid_out = init::lay_out(&collector, &plan, now)?;
    let devices = (1..=devices)
        .map(|number| mint_device(&out.join("devices").join(number.to_string()), &laid_out, now))
        .collect::<anyhow::Result<_>>()?;
    Ok(Minted { collector, devices })
}

fn mint_device(dir: &Path, laid_out: &LaidOut, now: OffsetDateTime) -> anyhow::Result<MintedDevice> {
    let uuid = DeviceId(Uuid::new_v4().into_bytes());
    let leaf = laid_out.devices.issue_with_key(TENANT, &uuid, DEVICE_LIFE, now)?;
    durable_file::create_folder(dir, Access::Secret)?;
    let files = [
        ("device.crt", leaf.chain, Access::Public),
        ("device.key", leaf.key, Access::Secret),
        ("root.crt", laid_out.root.clone(), Access::Public),
        ("tenant.key", laid_out.tenant_key.clone(), Access::Secret),
        ("uuid", format!("{uuid}\n"), Access::Public),
    ];
    for (name, text, access) in files {
        durable_file::write(&dir.join(name), text.as_bytes(), access)?;
    }
    Ok(MintedDevice { uuid, dir: dir.to_owned() })
}

/// Sees to it that neither `out/collector` nor `out/devices` exists.
fn make_room(out: &Path, force: bool) -> anyhow::Result<()> {
    let earlier = [out.join("collector"), out.join("devices")];
    if !earlier.iter().any(|path| path.exists()) {
        return Ok(());
    }
    let shown = out.display();
    ensure!(
        force,
        "{shown} already holds certificates: choose another folder with --out, or replace them with --force"
    );
    let root = fs::read_to_string(earlier[0].join("pki/root.crt")).unwrap_or_default();
    ensure!(
        pki::is_development(&root),
        "{shown} holds no development authority, so --force removes nothing there: delete it yourself or choose another folder with --out"
    );
    // The folder that proves the right to delete goes last, so that an interrupted removal can be repeated.
    let [collector, devices] = earlier;
    for path in [devices, collector] {
        if path.exists() {
            fs::remove_dir_all(&path).with_context(|| path.display().to_string())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use watchpost_collector::pki::Root;

    const LISTEN: &str = "127.0.0.1:0";

    #[test]
    fn every_device_has_an_identity_of_its_own_and_the_common_root_and_key() {
        let out = tempfile::tempdir().unwrap();
        let minted = mint(out.path(), 2, LISTEN, false).unwrap();
        let read = |path: PathBuf| fs::read_to_string(path).unwrap();
        let root = read(minted.collector.join("pki/root.crt"));
        let tenant_key = read(minted.collector.join("pki/tenant.key"));
        assert!(pki::is_development(&root));
        assert_eq!(minted.devices.len(), 2);
        assert_ne!(minted.devices[0].uuid, minted.devices[1].uuid);
        for (device, number) in minted.devices.iter().zip(1..) {
            assert_eq!(device.dir, out.path().join(format!("devices/{number}")));
            assert_eq!(read(device.dir.join("root.crt")), root);
            assert_eq!(read(device.dir.join("tenant.key")), tenant_key);
            assert_eq!(read(device.dir.join("uuid")), format!("{}\n", device.uuid));
            let chain = read(device.dir.join("device.crt"));
            assert_eq!(chain.matches("BEGIN CERTIFICATE").count(), 2);
            assert!(read(device.dir.join("device.key")).contains("BEGIN PRIVATE KEY"));
        }
    }

    #[test]
    fn certificates_are_replaced_only_when_told_to() {
        let out = tempfile::tempdir().unwrap();
        let first = mint(out.path(), 3, LISTEN, false).unwrap();
        let refused = mint(out.path(), 1, LISTEN, false).unwrap_err();
        assert!(refused.to_string().contains("--force"), "{refused}");
        assert!(first.devices[2].dir.join("device.crt").exists());
        let second = mint(out.path(), 1, LISTEN, true).unwrap();
        assert_ne!(second.devices[0].uuid, first.devices[0].uuid);
        assert!(!first.devices[2].dir.exists(), "a device of the old authority is left");
    }

    #[test]
    fn force_never_removes_a_real_authority() {
        let out = tempfile::tempdir().unwrap();
        let pki = out.path().join("collector/pki");
        fs::create_dir_all(&pki).unwrap();
        let real = Root::create("acme", Purpose::Production, OffsetDateTime::now_utc()).unwrap();
        fs::write(pki.join("root.crt"), real.certificate()).unwrap();
        mint(out.path(), 1, LISTEN, true).unwrap_err();
        assert_eq!(fs::read_to_string(pki.join("root.crt")).unwrap(), real.certificate());
    }
}
