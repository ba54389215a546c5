//! Outcomes that have to wait until they are recorded.

use std::time::Duration;

use bson::{Document, doc};
use store::JobState;
use testkit::proxy::Proxy;
use testkit::{PATIENCE, Services};

use crate::support::{Env, address, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_job_whose_outcome_is_held_up_for_longer_than_its_lease_stays_with_its_worker_and_ends_once() {
    let env = Env::start().await;
    let database = Proxy::start(address(&Services::from_env().mongodb)).await.expect("a port");
    let lease = Duration::from_secs(3);
    let worker = env
        .worker_with(|config| {
            config.store = env.store_at(database.address);
            // One turn at a time, which the outcome has while it is held up.
            (config.store.turns, config.store.timeout) = (1, PATIENCE);
            config.settings.lease = lease;
        })
        .await;
    let upload = env.submit(b"done, and long not recorded").await;
    // What the transaction of its outcome begins with. Nothing else asks for the asset.
    database.hold(upload.asset.bytes());
    env.publish(upload.job).await;
    until("its outcome is held up", async || database.held() == 1).await;
    assert_eq!(env.public_ids().len(), 1, "it is done");
    let neighbour = env.enqueue(b"recorded meanwhile").await;
    env.until(neighbour.job, JobState::Completed).await;

    let other = env.worker_with(|config| config.settings.lease = lease).await;
    until("the other is ready", async || other.readiness().ready).await;
    let given = env.job(upload.job).await.lease_until.expect("a lease");
    until("it is held for longer than its lease", async || {
        let job = env.job(upload.job).await;
        assert_eq!((job.state, job.attempt, job.crashes), (JobState::Running, 1, 0), "{job:?}");
        job.lease_until.is_some_and(|until| until > given + lease * 2)
    })
    .await;
    database.let_go();
    let job = env.until(upload.job, JobState::Completed).await;
    assert_eq!((job.attempt, job.crashes, job.attempts.len()), (1, 0, 1), "{job:?}");
    assert_eq!(job.attempts[0].worker, worker.name());
    let events = env.database().collection::<Document>("events");
    let recorded = events.count_documents(doc! { "data.job": upload.job.to_string() }).await;
    assert_eq!(recorded.expect("an answer"), 1);
    assert_eq!(env.media().traffic().upload_requests, 2);
    env.finish().await;
}
