//! A folder for one run of the tests or a benchmark.

use std::fs;
use std::path::{Path, PathBuf};

use crate::services::locate;
use anyhow::Context as _;

/// A folder under `.steep` that only this run uses: `run-<pid>`. Dropped, it is removed unless its logs are wanted.
#[derive(Debug)]
pub struct RunFolder {
    folder: PathBuf,
    keep_logs: bool,
}

impl RunFolder {
    /// Makes it, and removes those of runs that have ended without removing theirs.
    pub fn new() -> anyhow::Result<RunFolder> {
        let steep = locate::steep_folder();
        for abandoned in abandoned(&steep, |pid| Path::new("/proc").join(pid.to_string()).exists()) {
            let _is_tried_again_next_time = fs::remove_dir_all(abandoned);
        }
        let folder = steep.join(format!("run-{}", std::process::id()));
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
    fn only_folders_of_runs_that_have_ended_are_abandoned() {
        let steep = tempfile::tempdir().unwrap();
        for name in ["run-1", "run-2", "dev", "run-", "run-x", "tools"] {
            fs::create_dir(steep.path().join(name)).unwrap();
        }
        assert_eq!(abandoned(steep.path(), |pid| pid == 1), [steep.path().join("run-2")]);
        assert!(abandoned(&steep.path().join("missing"), |_| false).is_empty());
    }
}
