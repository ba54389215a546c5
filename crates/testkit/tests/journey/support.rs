//! Programs as processes, beside this test's own.

use std::fs::File;
use std::time::{Duration, SystemTime};

use testkit::process::{self, program};
use testkit::{Client, Process, TestEnv};

/// An API in a process of its own, ready to be killed.
pub async fn api(env: &TestEnv, name: &str) -> (Process, Client) {
    api_with(env, name, &[]).await
}

/// An API in a process of its own, with further settings, which win.
pub async fn api_with(env: &TestEnv, name: &str, more: &[(&'static str, String)]) -> (Process, Client) {
    let port = free_port();
    let mut settings = env.api_settings();
    settings.push(("PORT", port.to_string()));
    settings.extend_from_slice(more);
    let program = program("api").expect("an api");
    let mut process = process::spawn(name, &program, &[], &settings, env.folder()).expect("an api");
    let url = format!("http://127.0.0.1:{port}");
    process::until_ok(&mut process, &format!("{url}/readyz")).await.expect("a ready api");
    (process, Client::new(&url))
}

/// A worker in a process of its own, ready to be killed.
pub async fn worker(env: &TestEnv, name: &str) -> Process {
    worker_with(env, name, &[]).await
}

/// A worker in a process of its own, with further settings, which win.
pub async fn worker_with(env: &TestEnv, name: &str, more: &[(&'static str, String)]) -> Process {
    let port = free_port();
    let mut settings = vec![("WORKER_HEALTH", format!("127.0.0.1:{port}"))];
    settings.extend_from_slice(more);
    let mut process = start_worker(env, name, &settings);
    process::until_ok(&mut process, &format!("http://127.0.0.1:{port}/readyz")).await.expect("a ready worker");
    process
}

/// A worker with further settings, which win. It may have ended before it is ready.
pub fn start_worker(env: &TestEnv, name: &str, more: &[(&'static str, String)]) -> Process {
    let mut settings = env.worker_settings();
    settings.extend([("WORKER_RETRY_BASE", "50ms".to_owned()), ("WORKER_RETRY_CAP", "200ms".to_owned())]);
    settings.extend([("WORKER_SECOND_LOOK", "200ms".to_owned()), ("WORKER_SWEEP_SECOND_LOOK", "1s".to_owned())]);
    settings.extend_from_slice(more);
    let program = program("worker").expect("a worker");
    process::spawn(name, &program, &[], &settings, env.folder()).expect("a worker")
}

/// Lets the files in the spool be older than any upload lasts, so that the sweeper may take those without an owner.
pub fn let_files_grow_old(env: &TestEnv) {
    let long_ago = SystemTime::now() - Duration::from_secs(2 * 60 * 60);
    for area in ["incoming", "ready"] {
        for file in std::fs::read_dir(env.folder().join("spool").join(area)).expect("an area") {
            // It may have been removed meanwhile.
            if let Ok(file) = File::options().write(true).open(file.expect("an entry").path()) {
                file.set_modified(long_ago).expect("an old file");
            }
        }
    }
}

/// A username that nobody has.
pub fn free_name() -> String {
    format!("u{}", uuid::Uuid::new_v4().simple())
}

fn free_port() -> u16 {
    let [port] = xtask::services::ports::free().expect("a free port");
    port
}
