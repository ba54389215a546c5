//! What the sweeper takes, and what it leaves.

use std::fs::File;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use messages::FileId;
use secrecy::SecretString;

use crate::support::{Env, until};

const OLD: Duration = Duration::from_secs(7200);

/// Puts a file into the spool as a crash leaves it.
fn leave(env: &Env, area: &str, name: &str, age: Duration) -> PathBuf {
    let path = env.folder().join("spool").join(area).join(name);
    std::fs::write(&path, "left over").expect("written");
    set_age(&path, age);
    path
}

fn set_age(path: &std::path::Path, age: Duration) {
    let file = File::options().write(true).open(path).expect("opened");
    file.set_modified(SystemTime::now() - age).expect("aged");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_old_files_that_nobody_needs_are_swept() {
    let env = Env::start().await;
    let id = || FileId::new().to_string();
    let partial = leave(&env, "incoming", &id(), OLD);
    let ownerless = leave(&env, "ready", &id(), OLD);
    let being_received = leave(&env, "incoming", &id(), Duration::ZERO);
    let not_yet_accepted = leave(&env, "ready", &id(), Duration::from_secs(600));
    let foreign = leave(&env, "ready", "notes.txt", OLD);
    let needed = env.submit(b"needed").await;
    set_age(&env.spool().path(needed.file), OLD);

    let worker = env.worker_with(|config| config.settings.sweep_every = Duration::from_millis(50)).await;
    until("what was left is gone", async || !partial.exists() && !ownerless.exists()).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(being_received.exists() && not_yet_accepted.exists() && foreign.exists());
    assert!(env.spool().path(needed.file).exists());
    drop(worker);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_may_be_needed_is_swept_while_the_database_cannot_say() {
    let env = Env::start().await;
    let ownerless = leave(&env, "ready", &FileId::new().to_string(), OLD);
    let mut config = env.config();
    let nowhere = SecretString::from("mongodb://127.0.0.1:1/?directConnection=true");
    config.store = store::Config::new(nowhere, env.name(), "test").expect("an address");
    config.store.timeout = Duration::from_millis(100);
    config.settings.sweep_every = Duration::from_millis(20);
    let _worker = worker::start(config).await.expect("a worker");
    tokio::time::sleep(Duration::from_millis(800)).await;
    assert!(ownerless.exists());
}
