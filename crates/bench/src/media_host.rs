//! `cloudinary-local` as a process.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use testkit::Process;
use testkit::process::{self, free_address, program};

/// Where Linux keeps files in memory.
const IN_MEMORY: &str = "/dev/shm";

/// Dropping it ends it and removes its files.
#[derive(Debug)]
pub struct MediaHost {
    pub url: String,
    pub process: Process,
    data: PathBuf,
}

impl MediaHost {
    /// Starts one with its files in `data` and its log in `logs`.
    pub async fn start(data: PathBuf, logs: &Path) -> anyhow::Result<Self> {
        let address = free_address()?;
        fs::create_dir_all(&data).with_context(|| format!("creating {}", data.display()))?;
        let arguments = ["--listen", &address.to_string(), "--data", &data.display().to_string(), "--admin"];
        let process = process::spawn("cloudinary-local", &program("cloudinary-local")?, &arguments, &[], logs)?;
        let mut host = Self { url: format!("http://{address}"), process, data };
        process::until_listening(&mut host.process, address).await?;
        Ok(host)
    }
}

impl Drop for MediaHost {
    fn drop(&mut self) {
        self.process.kill();
        // Files in memory would stay until the machine is restarted.
        let _nothing_depends_on_it = fs::remove_dir_all(&self.data);
    }
}

/// A folder in memory for so many bytes, where the machine has room for them: then a media host's disk is not what is measured.
pub fn folder_in_memory(name: &str, bytes: u64) -> Option<PathBuf> {
    let space = rustix::fs::statvfs(IN_MEMORY).ok()?;
    (space.f_bavail.saturating_mul(space.f_frsize) > bytes).then(|| Path::new(IN_MEMORY).join(name))
}
