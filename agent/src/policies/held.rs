//! Policies on the device's disk: the one in force, the last good one before it, and the highest that was ever accepted.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use watchpost_proto::Digest;
use watchpost_proto::policy::{POLICY_BYTES_MAX, Policy};

use crate::durable;

/// What stands in the folder beside the policies themselves, which are named by their digests.
const STANDING: &str = "standing.json";
const ENDING: &str = "policy";

/// Which policy is which.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Standing {
    in_force: String,
    highest: String,
    before: String,
}

/// The highest that was accepted; `None` where none has been.
pub(super) fn highest(state_dir: &Path) -> Option<Policy> {
    let folder = folder(state_dir);
    read_policy(&folder, &standing(&folder)?.highest)
}

/// Keeps a policy that is to be in force, durably. One that is the way back leaves the highest as it is.
pub(super) fn keep(state_dir: &Path, policy: &Policy, is_way_back: bool) -> io::Result<()> {
    let folder = folder(state_dir);
    durable::create_private_folder(&folder)?;
    let name = policy.header.digest.to_string();
    if read_policy(&folder, &name).is_none() {
        durable::write(&folder.join(&name).with_extension(ENDING), &policy.encode(), true)?;
    }
    let old = standing(&folder).unwrap_or_default();
    let next = Standing {
        highest: if is_way_back { old.highest } else { name.clone() },
        before: if old.in_force == name { old.before } else { old.in_force },
        in_force: name,
    };
    durable::write(&folder.join(STANDING), &serde_json::to_vec_pretty(&next)?, true)?;
    remove_others(&folder, &next);
    Ok(())
}

/// What may be put in force, the best first: the one in force, the last good one, the highest. Each is read when it is asked for.
pub(super) fn all(state_dir: &Path) -> impl Iterator<Item = Policy> + use<> {
    let folder = folder(state_dir);
    let standing = standing(&folder).unwrap_or_default();
    let names = [standing.in_force, standing.before, standing.highest];
    names.into_iter().filter_map(move |name| read_policy(&folder, &name))
}

fn folder(state_dir: &Path) -> PathBuf {
    state_dir.join("policy")
}

fn standing(folder: &Path) -> Option<Standing> {
    serde_json::from_slice(&fs::read(folder.join(STANDING)).ok()?).ok()
}

/// One that was damaged on the disk is none.
fn read_policy(folder: &Path, name: &str) -> Option<Policy> {
    let digest = Digest::from_hex(name)?;
    let path = folder.join(name).with_extension(ENDING);
    let length = fs::metadata(&path).ok()?.len();
    let bytes = if length <= POLICY_BYTES_MAX as u64 { fs::read(&path).ok()? } else { return None };
    let read = Policy::read(&bytes).ok().filter(|policy| policy.header.digest == digest);
    let sound = read.filter(|policy| policy.header.check_signed_by(&policy.header.signers).is_ok());
    if sound.is_none() {
        tracing::warn!(path = %path.display(), "a policy held is damaged");
    }
    sound
}

fn remove_others(folder: &Path, standing: &Standing) {
    let names = [&standing.in_force, &standing.highest, &standing.before];
    for path in fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()) {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if path.extension().is_some_and(|ending| ending == ENDING) && !names.contains(&&name) {
            let _ = fs::remove_file(path);
        }
    }
}
