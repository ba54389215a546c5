//! What the sweeper takes, and what it leaves.

use std::fs::File;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use bson::{Document, doc};
use messages::FileId;
use secrecy::SecretString;
use testkit::secrets::logged;

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

/// Waits until the sweeper has said something so many times more.
async fn until_said(text: &str, times: usize) {
    let said = || logged().matches(text).count();
    let before = said();
    until(text, async || said() >= before + times).await;
}

/// Waits for whole sweeps that found nothing to remove.
async fn until_swept(times: usize) {
    // One may be under way.
    until_said("nothing to sweep", times + 1).await;
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
    until_swept(3).await;
    assert!(being_received.exists() && not_yet_accepted.exists() && foreign.exists());
    assert!(env.spool().path(needed.file).exists());
    drop(worker);
}

/// However old it seems: the volume's clock may have been set, and whoever receives it may have stood still.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_a_living_process_may_commit_is_not_swept() {
    let env = Env::start().await;
    let mut receiving = env.spool().create();
    receiving.write(vec![0; 300_000].into()).await.expect("written");
    receiving.write(vec![0; 300_000].into()).await.expect("written");
    let incoming = env.folder().join("spool/incoming").join(receiving.file().to_string());
    until("a part is on the disk", async || incoming.exists()).await;
    let mut writer = env.spool().create();
    writer.write("being accepted".into()).await.expect("written");
    let accepting = writer.commit().await.expect("committed");
    let ready = env.spool().path(accepting.file);
    let hold = accepting.keep();
    for path in [&incoming, &ready] {
        set_age(path, OLD);
    }
    let ownerless = leave(&env, "ready", &FileId::new().to_string(), OLD);

    let worker = env.worker_with(|config| config.settings.sweep_every = Duration::from_millis(50)).await;
    until("what nobody holds is gone", async || !ownerless.exists()).await;
    until_swept(3).await;
    assert!(incoming.exists() && ready.exists());
    drop((receiving, hold));
    until("nobody holds them any more", async || !incoming.exists() && !ready.exists()).await;
    drop(worker);
}

/// The process that received it may have sent a commit before it died.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_nobody_seems_to_need_is_looked_at_again_before_it_is_swept() {
    let env = Env::start().await;
    let ownerless = leave(&env, "ready", &FileId::new().to_string(), OLD);
    let abandoned = leave(&env, "incoming", &FileId::new().to_string(), OLD);
    let worker = env
        .worker_with(|config| {
            config.settings.sweep_every = Duration::from_millis(50);
            config.settings.sweep_second_look = Duration::from_secs(3600);
        })
        .await;
    until_swept(5).await;
    assert!(ownerless.exists() && abandoned.exists());
    drop(worker);
}

/// A database that is away stops a sweep before it judges anything. One with a document that cannot be read stops it there.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_may_be_needed_is_swept_while_the_database_cannot_say() {
    let env = Env::start().await;
    let ownerless = leave(&env, "ready", &FileId::new().to_string(), OLD);
    let needed = env.submit(b"needed").await;
    let path = env.spool().path(needed.file);
    set_age(&path, OLD);
    let mut config = env.config();
    let nowhere = SecretString::from("mongodb://127.0.0.1:1/?directConnection=true");
    config.store = store::Config::new(nowhere, env.database().name(), "test").expect("an address");
    config.store.timeout = Duration::from_millis(100);
    config.settings.sweep_every = Duration::from_millis(20);
    let worker = worker::start(config).await.expect("a worker");
    until_said("cannot sweep the spool now", 3).await;
    drop(worker);

    let assets = env.database().collection::<Document>("assets");
    let unreadable = doc! { "_id": "odd", "spool": { "file": needed.file.to_string() } };
    assets.insert_one(&unreadable).await.expect("inserted");
    let worker = env
        .worker_with(|config| {
            config.settings.sweep_every = Duration::from_millis(50);
            config.settings.sweep_second_look = Duration::ZERO;
        })
        .await;
    until_said("cannot sweep the spool now", 3).await;
    assert!(ownerless.exists() && path.exists());
    assets.delete_one(unreadable).await.expect("deleted");
    until("the database says that nobody needs it", async || !ownerless.exists()).await;
    assert!(path.exists());
    drop(worker);
}
