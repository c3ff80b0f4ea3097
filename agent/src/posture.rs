//! How the device stands, told once a day.

use std::path::Path;

use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};
use watchpost_proto::v1::{self, summary::Kind};

/// The device as it is now. What the system does not tell is 0 or empty.
pub fn posture(state_dir: &Path, backlog_records: u64) -> Kind {
    Kind::Posture(v1::Posture {
        agent_version: env!("CARGO_PKG_VERSION").into(),
        os: System::long_os_version().unwrap_or_default(),
        memory_bytes: own_memory(),
        disk_free_bytes: free_on_disk_of(state_dir).unwrap_or(0),
        backlog_records,
    })
}

fn own_memory() -> u64 {
    let own = Pid::from_u32(std::process::id());
    let Ok(mut system) = System::new() else { return 0 };
    system.refresh_processes_specifics(
        ProcessesToUpdate::Some(&[own]),
        false,
        ProcessRefreshKind::nothing().with_memory(),
    );
    system.process(own).map_or(0, sysinfo::Process::memory)
}

/// Bytes an ordinary process may still write on the disk that holds a path; `None` where the system does not tell.
#[cfg(unix)]
pub fn free_on_disk_of(path: &Path) -> Option<u64> {
    let stats = rustix::fs::statvfs(path).ok()?;
    stats.f_bavail.checked_mul(stats.f_frsize)
}

/// Bytes an ordinary process may still write on the disk that holds a path; `None` where the system does not tell. Of
/// the disks that hold it, the one mounted deepest is its own.
#[cfg(not(unix))]
pub fn free_on_disk_of(path: &Path) -> Option<u64> {
    let disks = sysinfo::Disks::new_with_refreshed_list().ok()?;
    let holding = disks.iter().filter(|disk| path.starts_with(disk.mount_point()));
    holding.max_by_key(|disk| disk.mount_point().components().count()).map(sysinfo::Disk::available_space)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_running_process_has_a_system_memory_and_a_disk() {
        let dir = tempfile::tempdir().unwrap();
        let Kind::Posture(posture) = posture(dir.path(), 3) else { panic!("another kind") };
        assert!(!posture.os.is_empty());
        assert!(posture.memory_bytes > 1_000_000, "{}", posture.memory_bytes);
        assert!(posture.disk_free_bytes > 0);
        assert_eq!(posture.backlog_records, 3);
    }
}
