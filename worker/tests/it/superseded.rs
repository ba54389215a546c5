//! A newer image takes the place of an older one, never the other way round.

use store::{AssetState, JobState, Role};

use crate::support::{Env, until};

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
    until("the first is being uploaded", async || env.media.handle().traffic().upload_requests == 1).await;
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
async fn an_upload_that_failed_before_it_was_replaced_is_looked_for_twice() {
    let env = Env::start().await;
    let worker = env.worker().await;
    // The upload is stored, nobody is told, and while it waits for its next attempt a newer one takes its place.
    env.fault("effect=rate_limit,reset_seconds=3600,action=upload,times=1");
    let first = env.replace(Role::CoverImage, b"first").await;
    env.until(first.job, JobState::Retryable).await;
    let second = env.replace(Role::CoverImage, b"second").await;
    env.until(second.job, JobState::Completed).await;
    assert_eq!(env.job(first.job).await.state, JobState::Cancelled);

    until("the first is deleted", async || env.asset(first.asset).await.state == AssetState::Deleted).await;
    assert_eq!(env.public_ids(), [env.asset(second.asset).await.public_id]);
    drop(worker);
    env.finish().await;
}
