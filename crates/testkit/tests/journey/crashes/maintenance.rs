//! A relay or a sweeper crashes.

use std::time::Duration;

use mongodb::bson::{DateTime, Document, doc};
use store::{Claim, Rescue};
use testkit::ends;

use super::env::CrashEnv;
use super::{EVENT, EXPIRE, RELAY, SWEEP, at_each, at_each_a_worker};
use crate::support;

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_crashes_leaves_the_job_to_another_relay() {
    let arrange = async || {
        let env = CrashEnv::new().await;
        let accepted = env.accept_in_silence().await;
        (env, accepted)
    };
    at_each_a_worker(RELAY, arrange, async |env, _| env.shows_the_avatar(1).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_survives_a_worker_that_dies_before_publishing_it_and_a_relay_that_does() {
    at_each(EVENT, async |at| {
        let env = CrashEnv::new().await;
        let (_api, _, _) = env.accept().await;
        env.crash_worker("worker.settled").await;
        env.crash_worker(at).await;
        let worker = env.worker();
        env.shows_the_avatar(1).await;
        env.finish(worker).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweeper_that_crashes_leaves_the_rest_to_the_next() {
    let arrange = async || {
        let env = CrashEnv::new().await;
        // What an api leaves that dies between the rename and the transaction.
        for _ in 0..2 {
            let mut writer = env.spool().create();
            writer.write(env.picture.clone()).await.expect("written");
            writer.commit().await.expect("committed").keep();
        }
        // And one that dies before it.
        let abandoned = env.folder().join("spool/incoming").join(uuid::Uuid::new_v4().to_string());
        std::fs::write(abandoned, &env.picture).expect("written");
        support::let_files_grow_old(&env);
        (env, ())
    };
    at_each_a_worker(SWEEP, arrange, async |env, ()| env.is_untouched().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweeper_that_crashes_over_a_discarded_upload_leaves_no_file() {
    at_each(EXPIRE, async |at| {
        let env = CrashEnv::new().await;
        let (_api, user, job) = env.accept_in_silence().await;
        let (id, store) = (job.parse().expect("an id"), env.store());
        let claim = ends::claim(store, id, "test", Duration::from_secs(60), &Rescue::LeaseExpired).await;
        let Claim::Claimed(claimed) = claim else { panic!("{claim:?}") };
        ends::discard_upload(store, id, claimed.attempt, "a reason").await.expect("discarded");
        let long_ago = DateTime::from_millis(DateTime::now().timestamp_millis() - 40 * 24 * 60 * 60 * 1000);
        let assets = env.database().collection::<Document>("assets");
        assets.update_many(doc! {}, doc! { "$set": { "updatedAt": long_ago } }).await.expect("aged");
        assert_eq!(env.spooled_files(), 1);

        env.crash_worker(at).await;
        assert_eq!(env.spooled_files(), 1, "the database has let go of it first");
        let worker = env.worker();
        env.settled(0).await;
        user.wait_for_job(&job, &["discarded"]).await;
        env.finish(worker).await;
    })
    .await;
}
