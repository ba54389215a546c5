//! A newer image takes the place of an older one, never the other way round.

use std::time::Duration;

use store::{AssetState, JobState, Rescue, Role, StoredMedia};

use crate::support::{Env, Submitted, until};

/// Deletions are published by the relay, which need not wait for an API that might do so.
fn relay_at_once(store: &mut store::Config) {
    store.publish_grace = Duration::from_millis(50);
}

/// What was still on its way to the media host arrives.
async fn arrive_late(env: &Env, upload: &Submitted) {
    let asset = env.asset(upload.asset).await;
    let late = env.folder().join("late.gif");
    std::fs::write(&late, &upload.bytes).expect("written");
    let upload = cloudinary::Upload {
        resource_type: cloudinary::ResourceType::Image,
        public_id: asset.public_id,
        path: late,
        bytes: asset.bytes,
        checksum: cloudinary::Checksum::Crc32(asset.crc32.expect("of a new upload")),
        file_name: "late.gif".to_owned(),
        name: upload.job.to_string(),
        resume: None,
        progress: None,
    };
    let client = cloudinary::Client::new(env.config().cloudinary).expect("a client");
    client.upload(&upload).await.expect("stored");
}

/// A newer avatar takes the place of the first, which arrives once more after its deletion.
async fn is_deleted_again(env: Env, first: &Submitted, deletion: u64) {
    let second = env.replace(Role::Avatar, b"second").await;
    env.until(second.job, JobState::Completed).await;
    until("the first is deleted once", async || env.struck(deletion) == 1).await;
    arrive_late(&env, first).await;
    assert_eq!(env.public_ids().len(), 2);

    until("the first is deleted for good", async || env.asset(first.asset).await.state == AssetState::Deleted).await;
    assert_eq!(env.struck(deletion), 2);
    assert_eq!(env.public_ids(), [env.asset(second.asset).await.public_id]);
    env.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replaced_avatar_is_deleted_from_the_media_host() {
    let env = Env::start().await;
    let _worker = env.worker().await;
    let first = env.replace(Role::Avatar, b"first").await;
    env.until(first.job, JobState::Completed).await;
    let second = env.replace(Role::Avatar, b"second").await;
    env.until(second.job, JobState::Completed).await;

    until("the first is deleted", async || env.asset(first.asset).await.state == AssetState::Deleted).await;
    let public_id = env.asset(second.asset).await.public_id;
    assert_eq!(env.public_ids(), [public_id]);
    assert!(env.user().await.avatar.url.contains(&second.asset.to_string()));
    env.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_avatar_replaced_while_it_uploads_never_wins() {
    let env = Env::start().await;
    let _worker = env.worker().await;
    env.fault("effect=delay,ms=700,at=after_storing,action=upload,times=1");
    let first = env.replace(Role::Avatar, b"first").await;
    env.until(first.job, JobState::Running).await;
    env.until_uploading(1).await;
    let second = env.replace(Role::Avatar, b"second").await;
    env.until(second.job, JobState::Completed).await;

    env.until(first.job, JobState::Cancelled).await;
    until("the first is deleted", async || env.asset(first.asset).await.state == AssetState::Deleted).await;
    let asset = env.asset(second.asset).await;
    assert_eq!(env.public_ids(), [asset.public_id]);
    assert_eq!(env.user().await.avatar.url, asset.stored.expect("stored").url);
    env.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_failed_upload_may_have_left_is_deleted_when_it_is_replaced() {
    let env = Env::start_with(relay_at_once).await;
    let _worker = env.worker().await;
    // The upload is stored, nobody is told, and while it waits for its next attempt a newer one takes its place.
    env.fault("effect=status,status=500,retry_after=3600,at=after_storing,action=upload,times=1");
    let first = env.replace(Role::CoverImage, b"first").await;
    env.until(first.job, JobState::Retryable).await;
    let second = env.replace(Role::CoverImage, b"second").await;
    env.until(second.job, JobState::Completed).await;
    assert_eq!(env.job(first.job).await.state, JobState::Cancelled);

    until("the first is deleted", async || env.asset(first.asset).await.state == AssetState::Deleted).await;
    assert_eq!(env.public_ids(), [env.asset(second.asset).await.public_id]);
    env.finish().await;
}

/// Neither the sweeper nor the relay comes by while this waits.
#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_fails_for_the_last_time_after_it_was_replaced_leaves_no_file_and_nothing_at_the_media_host() {
    let env = Env::start_with(|store| store.max_attempts = 2).await;
    let _worker = env.worker().await;
    env.fault("effect=delay,ms=700,at=after_storing,action=upload,skip=1,times=1");
    env.fault("effect=status,status=500,at=after_storing,action=upload,times=2");
    let first = env.replace(Role::Avatar, b"first").await;
    env.until_uploading(2).await;
    let second = env.replace(Role::Avatar, b"second").await;

    env.until(first.job, JobState::Cancelled).await;
    until("its file is gone", async || !env.spool().path(first.file).exists()).await;
    env.until(second.job, JobState::Completed).await;
    until("what it left is deleted", async || env.asset(first.asset).await.state == AssetState::Deleted).await;
    assert_eq!(env.public_ids(), [env.asset(second.asset).await.public_id]);
    env.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_crashes_for_the_last_time_after_it_was_replaced_leaves_no_file() {
    let env = Env::start().await;
    let first = env.replace(Role::Avatar, b"first").await;
    for worker in ["one", "two", "three"] {
        env.claim_as(first.job, worker, Duration::from_millis(1), &Rescue::LeaseExpired).await;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let second = env.replace(Role::Avatar, b"second").await;
    assert!(env.spool().path(first.file).exists());
    let _worker = env.worker().await;

    env.until(first.job, JobState::Cancelled).await;
    until("its file is gone", async || !env.spool().path(first.file).exists()).await;
    env.until(second.job, JobState::Completed).await;
    until("its deletion is done", async || env.asset(first.asset).await.state == AssetState::Deleted).await;
    env.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_arrives_after_its_deletion_is_deleted_as_well() {
    let env = Env::start_with(relay_at_once).await;
    let _worker = env.worker_with(|config| config.settings.second_look = Duration::from_secs(2)).await;
    env.fault("effect=status,status=503,retry_after=3600,action=upload,times=1");
    let deletion = env.fault("effect=delay,ms=1,action=destroy");
    let first = env.replace(Role::Avatar, b"first").await;
    env.until(first.job, JobState::Retryable).await;
    is_deleted_again(env, &first, deletion).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_avatar_that_took_more_than_one_attempt_is_looked_for_twice() {
    let env = Env::start_with(relay_at_once).await;
    let _worker = env.worker_with(|config| config.settings.second_look = Duration::from_secs(2)).await;
    env.fault("effect=status,status=503,action=upload,times=1");
    let deletion = env.fault("effect=delay,ms=1,action=destroy");
    let first = env.replace(Role::Avatar, b"first").await;
    env.until(first.job, JobState::Completed).await;
    is_deleted_again(env, &first, deletion).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_media_host_stores_after_its_deletion_for_a_worker_that_was_overtaken_is_deleted_again() {
    let env = Env::start_with(relay_at_once).await;
    let slow = |config: &mut worker::Config| {
        config.cloudinary.timeout = Duration::from_secs(20);
        // The worker finds out while it uploads and leaves it; the media host goes on by itself for seconds.
        config.settings.second_look = Duration::from_secs(15);
    };
    let _worker = env.worker_with(slow).await;
    let stopped = env.fault("effect=delay,ms=4000,action=upload,times=1");
    let first = env.replace(Role::Avatar, b"first").await;
    until("the upload is under way", async || env.struck(stopped) == 1).await;

    // Another worker takes over, and is done; a newer avatar takes the place of the first, which is deleted.
    let holder = env.job(first.job).await.worker.expect("a worker");
    let rescue = Rescue::HolderGone { worker: holder };
    let claimed = env.claim_as(first.job, "other", Duration::from_secs(60), &rescue).await;
    let stored = StoredMedia {
        url: "http://media/first".to_owned(),
        version: 1,
        asset_id: String::new(),
        width: None,
        height: None,
        format: None,
        duration: None,
    };
    testkit::ends::complete_upload(env.store(), first.job, claimed.attempt, stored).await.expect("completed");
    let second = env.replace(Role::Avatar, b"second").await;
    env.until(second.job, JobState::Completed).await;
    until("the media host stores the first all the same", async || env.public_ids().len() == 2).await;
    until("the first is deleted", async || env.asset(first.asset).await.state == AssetState::Deleted).await;
    assert_eq!(env.public_ids(), [env.asset(second.asset).await.public_id]);
    env.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_discarded_upload_left_is_deleted_and_it_can_be_redriven() {
    let env = Env::start_with(|store| {
        relay_at_once(store);
        store.max_attempts = 2;
    })
    .await;
    let _worker = env.worker().await;
    // Stored each time, and nobody is told.
    let mute = env.fault("effect=status,status=500,at=after_storing,action=upload");
    let first = env.replace(Role::Avatar, b"first").await;
    env.until(first.job, JobState::Discarded).await;
    assert_eq!(env.asset(first.asset).await.state, AssetState::Failed);
    until("what it left is deleted", async || env.public_ids().is_empty()).await;

    env.media().clear_fault(mute);
    let redrive = env.store().media().redrive(first.job).await.expect("an answer");
    assert!(matches!(redrive, store::Redrive::Done(_)), "{redrive:?}");
    env.until(first.job, JobState::Completed).await;
    assert_eq!(env.public_ids(), [env.asset(first.asset).await.public_id]);
    env.finish().await;
}
