//! A folder for one run of the tests or a benchmark.

use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::services::locate;
use anyhow::Context as _;

/// Where Linux keeps files in memory.
const MEMORY: &str = "/dev/shm";
/// Free memory, in kB, that allows to keep there what the services of a run of all tests write: 2 GB.
const ROOMY: u64 = 8 * 1024 * 1024;

/// A folder that only this run uses: `run-<pid>`. Dropped, it is removed unless its logs are wanted.
#[derive(Debug)]
pub struct RunFolder {
    folder: PathBuf,
    keep_logs: bool,
}

impl RunFolder {
    /// Makes one under `.steep`, and removes those of runs that have ended without removing theirs.
    pub fn new() -> anyhow::Result<RunFolder> {
        remove_abandoned(&in_memory());
        RunFolder::under(&locate::steep_folder())
    }

    /// As [`RunFolder::new`], but in memory where there is plenty. Tests make and remove a thousand databases and virtual hosts,
    /// which costs a server on a disk twice the processor time and three times as long; none of them cuts the power.
    pub fn in_memory() -> anyhow::Result<RunFolder> {
        let shared = in_memory();
        remove_abandoned(&shared);
        let free = fs::read_to_string("/proc/meminfo").ok().and_then(|text| available(&text)).unwrap_or_default();
        let room = rustix::fs::statvfs(MEMORY).map_or(0, |room| room.f_bavail.saturating_mul(room.f_frsize) / 1024);
        if free.min(room) >= ROOMY {
            // Whoever is not allowed in takes the disk.
            if private(&shared).is_ok() {
                return RunFolder::under(&shared);
            }
        }
        RunFolder::new()
    }

    fn under(parent: &Path) -> anyhow::Result<RunFolder> {
        remove_abandoned(parent);
        let folder = parent.join(format!("run-{}", std::process::id()));
        fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
        Ok(RunFolder { folder, keep_logs: false })
    }

    pub fn path(&self) -> &Path {
        &self.folder
    }

    /// Leaves the logs of the services behind, for a person to read; the next run removes them.
    pub fn keep_logs(&mut self) {
        self.keep_logs = true;
    }
}

impl Drop for RunFolder {
    fn drop(&mut self) {
        let remove: &[&str] = if self.keep_logs { &["rabbitmq/mnesia", "mongodb/data"] } else { &[""] };
        for folder in remove {
            let _is_removed_by_the_next_run = fs::remove_dir_all(self.folder.join(folder));
        }
    }
}

/// Of this user alone.
fn in_memory() -> PathBuf {
    Path::new(MEMORY).join(format!("steep-{}", rustix::process::getuid().as_raw()))
}

fn remove_abandoned(parent: &Path) {
    for abandoned in abandoned(parent, |pid| Path::new("/proc").join(pid.to_string()).exists()) {
        let _is_tried_again_next_time = fs::remove_dir_all(abandoned);
    }
}

/// `MemAvailable` in kB, of /proc/meminfo.
fn available(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

/// Makes a folder that only its owner may enter, unless it is there.
fn private(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
    match fs::DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let found = fs::symlink_metadata(folder)?;
    let ours = found.is_dir() && found.uid() == rustix::process::getuid().as_raw() && found.mode() & 0o077 == 0;
    if ours { Ok(()) } else { Err(io::ErrorKind::PermissionDenied.into()) }
}

fn abandoned(steep: &Path, runs: impl Fn(u32) -> bool) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(steep) else { return Vec::new() };
    entries
        .flatten()
        .filter(|entry| {
            let name = entry.file_name();
            let pid = name.to_str().and_then(|name| name.strip_prefix("run-")?.parse().ok());
            pid.is_some_and(|pid| !runs(pid))
        })
        .map(|entry| entry.path())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_memory_is_read_and_a_folder_of_somebody_else_is_not_used() {
        assert_eq!(available("MemTotal:  100 kB\nMemAvailable:   21867528 kB\n"), Some(21_867_528));
        assert_eq!(available("MemTotal:  100 kB\n"), None);

        let parent = tempfile::tempdir().unwrap();
        let ours = parent.path().join("ours");
        private(&ours).unwrap();
        private(&ours).unwrap();
        let open = parent.path().join("open");
        fs::create_dir(&open).unwrap();
        let everybody = std::os::unix::fs::PermissionsExt::from_mode(0o777);
        fs::set_permissions(&open, everybody).unwrap();
        private(&open).unwrap_err();
        std::os::unix::fs::symlink(&ours, parent.path().join("link")).unwrap();
        private(&parent.path().join("link")).unwrap_err();
    }

    #[test]
    fn only_folders_of_runs_that_have_ended_are_abandoned() {
        let steep = tempfile::tempdir().unwrap();
        for name in ["run-1", "run-2", "dev", "run-", "run-x", "tools"] {
            fs::create_dir(steep.path().join(name)).unwrap();
        }
        assert_eq!(abandoned(steep.path(), |pid| pid == 1), [steep.path().join("run-2")]);
        assert!(abandoned(&steep.path().join("missing"), |_| false).is_empty());
    }
}
