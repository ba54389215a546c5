//! Names of workers.

use uuid::Uuid;

/// The name by which MongoDB knows a worker.
pub(crate) fn application(worker: &str) -> String {
    format!("steep-worker {worker}")
}

/// The name of this machine, as far as a name of ours may hold it; empty if it does not say.
pub(crate) fn host() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    host.trim().chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(40).collect()
}

/// A name that no other worker has or had, and that tells a person where to look.
pub(crate) fn name() -> String {
    let host = host();
    let random = Uuid::new_v4().simple().to_string();
    let random = random.get(..8).unwrap_or(&random);
    format!("{}-{}-{random}", if host.is_empty() { "worker" } else { &host }, std::process::id())
}
