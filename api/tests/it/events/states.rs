//! What is told, and to whom.

use std::time::Duration;

use cloudinary_local::{Effect, Fault, Moment};
use store::{Claim, ClaimRequest, Rescue, UploadPosition};
use testkit::{EventStream, TestEnv, jpeg};

use super::{EVENTS, follow, of_job, upload, with_a_completed_job};
use crate::support::{World, assert_refused, submit};

/// The states that come, each once, until the stream ends.
async fn states(stream: &mut EventStream, first: &str) -> Vec<String> {
    let mut states = vec![first.to_owned()];
    while let Some(told) = stream.next().await {
        assert_eq!(told.kind, "job");
        if states.last().is_none_or(|last| last != told.state()) {
            states.push(told.state().to_owned());
        }
    }
    states
}

#[tokio::test]
async fn every_state_of_an_upload_is_told_in_order_and_the_stream_of_a_job_ends_with_the_last() {
    let world = World::start().await;
    let member = world.member().await;
    let answer = submit(&member.client, "a.jpg", &jpeg(2_000)).await.expect(202);
    let (job, link) = (answer.job(0), answer.data()["jobs"][0]["events"].as_str().expect("an address"));
    assert!(link.ends_with(&of_job(&job)), "{link}");
    let shown = member.client.get(&format!("/api/v1/jobs/{job}")).await.expect(200);
    assert_eq!(shown.data()["links"]["events"], link);

    let mut all = follow(&member).await;
    let mut one = member.client.follow(&of_job(&job), None).await.expect("a stream");
    all.until(&job, "queued").await;
    one.until(&job, "queued").await;
    let slow = Effect::Delay { ms: 1_500, at: Moment::AfterStoring };
    world.env.media().install_fault(Fault::new(slow).on("upload").times(1));
    let worker = world.env.worker().await;
    assert_eq!(states(&mut one, "queued").await, ["queued", "running", "completed"]);
    let told = all.until(&job, "completed").await;
    let last = &told.last().expect("the last").data;
    let mut shown = member.client.get(&format!("/api/v1/jobs/{job}")).await.expect(200).data().clone();
    assert_eq!(last["processing"]["state"], "ready");
    // There was one attempt only.
    assert_eq!(shown.take(), *last);
    assert!(one.retry.is_some_and(|retry| (1_000..3_000).contains(&retry)), "{one:?}");

    // A client that has been told is told not to come again, and one that has not is told.
    let known = member.client.follow(&of_job(&job), Some(&one.last_id)).await.expect_err("nothing more to tell");
    assert_eq!(known.status, 204);
    let mut again = member.client.follow(&of_job(&job), Some("1")).await.expect("a stream");
    assert_eq!(again.next().await.expect("an event").state(), "completed");
    assert!(again.next().await.is_none());
    drop(all);
    world.end().await;
    drop(worker);
}

#[tokio::test]
async fn who_connects_late_is_told_first_how_all_jobs_are() {
    let world = World::start().await;
    let member = world.member().await;
    let ended = with_a_completed_job(&world, &member).await;
    let waiting = upload(&member).await;
    member.client.wait_for_job(&waiting, &["queued"]).await;
    let mut stream = follow(&member).await;
    let mut told = Vec::new();
    for _ in 0..2 {
        let event = stream.next().await.expect("an event");
        told.push((event.job().to_owned(), event.state().to_owned()));
    }
    told.sort();
    let mut expected = vec![(ended, "completed".to_owned()), (waiting, "queued".to_owned())];
    expected.sort();
    assert_eq!(told, expected);
    drop(stream);
    world.work_off_and_end().await;
}

#[tokio::test]
async fn nobody_is_told_of_jobs_of_others() {
    let world = World::start().await;
    let (ada, grace) = (world.member().await, world.member().await);
    let before = upload(&ada).await;
    let mut stream = follow(&grace).await;
    let hers = upload(&ada).await;
    let own = upload(&grace).await;
    let worker = world.env.worker().await;
    ada.client.wait_for_job(&hers, &["completed"]).await;
    let told = stream.until(&own, "completed").await;
    assert!(told.iter().all(|told| told.job() == own), "{told:?}");
    let refused = grace.client.follow(&of_job(&before), None).await.expect_err("somebody else's job");
    assert_refused(&refused, 404, &[]);
    drop(stream);
    world.end().await;
    drop(worker);
}

#[tokio::test]
async fn a_stream_is_for_who_is_signed_in_and_asks_for_something_that_there_is() {
    let world = World::start().await;
    let member = world.member().await;
    let job = with_a_completed_job(&world, &member).await;
    for path in [EVENTS.to_owned(), of_job(&job)] {
        let refused = world.api.client().follow(&path, None).await.expect_err("nobody's stream");
        assert_refused(&refused, 401, &[]);
        let refused = member.client.follow(&path, Some("yesterday")).await.expect_err("no id of an event");
        assert_refused(&refused, 422, &["Last-Event-ID"]);
    }
    let refused = member.client.follow(&of_job("7"), None).await.expect_err("no id of a job");
    assert_refused(&refused, 422, &["id"]);
    let refused = member.client.follow(&of_job("01890a5d-ac96-774b-bcce-b302099a8057"), None).await;
    assert_refused(&refused.expect_err("no job"), 404, &[]);
    world.end().await;
}

#[tokio::test]
async fn how_far_an_upload_has_come_is_told_while_nothing_else_changes() {
    let world = World::start().await;
    let member = world.member().await;
    let job = upload(&member).await;
    member.client.wait_for_job(&job, &["queued"]).await;
    let mut stream = member.client.follow(&of_job(&job), None).await.expect("a stream");
    let (id, jobs) = (job.parse().expect("an id"), world.env.store().jobs());
    let (lease, rescue) = (Duration::from_secs(60), Rescue::LeaseExpired);
    let request = ClaimRequest { worker: "by hand", lease, rescue: &rescue, max_crashes: 3, exclusive: true };
    let claim = jobs.claim(id, &request).await.expect("an answer");
    assert!(matches!(claim, Claim::Claimed(_)), "{claim:?}");
    stream.until(&job, "running").await;
    for acknowledged_bytes in [1_000, 2_000] {
        let position = UploadPosition { upload_id: "u".to_owned(), acknowledged_bytes, chunk_size: 1_000, begun: 1 };
        jobs.note_progress(id, 1, lease, &position).await.expect("noted");
        assert_eq!(stream.next().await.expect("an event").state(), "running");
    }
    jobs.release(id, 1).await.expect("released");
    stream.until(&job, "retryable").await;
    drop(stream);
    world.work_off_and_end().await;
}

#[tokio::test]
async fn a_discarded_job_that_is_redriven_is_told_of_again() {
    let world = World::start().await;
    let member = world.member().await;
    let refusal = Effect::Status {
        status: 400,
        message: Some("Invalid image file".to_owned()),
        html: None,
        retry_after: None,
        at: Moment::BeforeStoring,
    };
    let refusal = world.env.media().install_fault(Fault::new(refusal).on("upload"));
    let worker = world.env.worker().await;
    let job = upload(&member).await;
    member.client.wait_for_job(&job, &["discarded"]).await;
    let mut stream = follow(&member).await;
    stream.until(&job, "discarded").await;
    world.env.media().clear_fault(refusal);
    world.env.store().media().redrive(job.parse().expect("an id")).await.expect("an answer");
    stream.until(&job, "completed").await;
    TestEnv::until("its file is gone", async || world.env.spooled_files() == 0).await;
    drop(stream);
    world.end().await;
    drop(worker);
}
