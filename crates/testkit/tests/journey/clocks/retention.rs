//! For how long things are kept.

use cloudinary_local::{Effect, Fault, Moment};
use mongodb::bson::{DateTime, Document, doc};
use testkit::{TestEnv, jpeg, process};

use super::{DAY, at, clock, stored, sweeps, telling_sweeps};
use crate::support;

fn refused() -> Fault {
    let (message, at) = (Some("Invalid image file".to_owned()), Moment::BeforeStoring);
    Fault::new(Effect::Status { status: 400, message, html: None, retry_after: None, at }).on("upload")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_ended_is_kept_for_as_long_as_mongodbs_clock_says() {
    for (name, seconds) in [("slow", -40 * DAY), ("fast", 40 * DAY)] {
        let env = TestEnv::start().await;
        let Some(wrong) = clock(&env, name, seconds) else { return env.finish().await };
        let mut settings = wrong.settings();
        settings.extend([("WORKER_SWEEP_EVERY", "1s".to_owned()), telling_sweeps()]);
        let began = DateTime::now();
        let (api, worker) = (env.api().await, support::worker_with(&env, name, &settings).await);
        let (user, answer) = api.new_user(jpeg(1_000)).await;
        let completed = answer.job(0);
        user.wait_for_job(&completed, &["completed"]).await;
        env.media().install_fault(refused());
        let discarded = user.submit("a.jpg", jpeg(2_000)).await.expect(202).job(0);
        user.wait_for_job(&discarded, &["discarded"]).await;
        env.media().clear_faults();
        let ended = DateTime::now();

        // MongoDB removes what has expired, by its own clock.
        for (job, days) in [(&completed, 7), (&discarded, 30)] {
            let job = stored(&env, job).await;
            let (finished, expires) = (at(&job, "finishedAt"), at(&job, "expireAt"));
            assert!((began..=ended).contains(&finished), "{job}");
            assert_eq!(expires.timestamp_millis() - finished.timestamp_millis(), days * DAY * 1000, "{job}");
        }
        // The sweeper removes the files of what was discarded.
        let before = sweeps(&worker);
        TestEnv::until("it has swept", async || sweeps(&worker) >= before + 3).await;
        assert_eq!(env.spooled_files(), 1, "of the discarded one");

        let long_ago = DateTime::from_millis(DateTime::now().timestamp_millis() - 31 * DAY * 1000);
        let aged = doc! { "$set": { "updatedAt": long_ago } };
        let assets = env.database().collection::<Document>("assets");
        let aged = assets.update_many(doc! { "state": "failed" }, aged).await.expect("the database answers");
        assert_eq!(aged.modified_count, 1);
        TestEnv::until("the file is gone", async || env.spooled_files() == 0).await;
        process::end(worker).await.expect("it lives");
        env.finish().await;
    }
}
