//! How far a large upload has come, and what that says about crashes.

use std::time::{Duration, Instant};

use messages::JobId;
use store::{Claim, Error, JobState, UploadPosition};

use crate::support::{CRASHES, Fixture, LEASE, assert_state};

const CHUNK: u64 = 20_000_000;

fn position(chunks: u64, begun: u32) -> UploadPosition {
    UploadPosition { upload_id: format!("job-{begun}"), acknowledged_bytes: chunks * CHUNK, chunk_size: CHUNK, begun }
}

/// Takes the job over from a worker that vanished, acknowledges so many chunks, if any, and vanishes too.
async fn get_on_and_crash(fixture: &Fixture, job: JobId, chunks: Option<u64>, begun: u32) {
    fixture.crash(job).await;
    if let Some(chunks) = chunks {
        let attempt = fixture.job(job).await.attempt;
        let noted = fixture.store.jobs().note_progress(job, attempt, Duration::ZERO, &position(chunks, begun)).await;
        noted.expect("noted");
    }
}

async fn poisoned(fixture: &Fixture, job: JobId) -> bool {
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        match fixture.try_claim(job, "next", Duration::ZERO).await {
            Claim::Poisoned(_) => return true,
            Claim::Claimed(_) => return false,
            other => assert!(Instant::now() < deadline && matches!(other, Claim::Busy { .. }), "{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn progress_is_handed_to_the_next_attempt_and_renews_the_lease() {
    let fixture = Fixture::new().await;
    let job = fixture.media_job().await.id;
    fixture.crash(job).await;
    fixture.store.jobs().note_progress(job, 1, LEASE, &position(2, 1)).await.expect("noted");
    let held = fixture.job(job).await;
    assert_state(&held, JobState::Running);
    let lease_until = held.lease_until.expect("a lease");
    assert!(lease_until > held.updated_at + LEASE / 2);
    let worker = held.worker.clone().expect("a worker");
    assert_eq!(fixture.try_claim(job, "hasty", LEASE).await, Claim::Busy { worker, lease_until });

    fixture.store.jobs().release(job, 1).await.expect("released");
    let next = fixture.claim(job).await;
    let upload = next.job.upload.clone().expect("progress");
    assert_eq!((upload.position, upload.furthest_bytes), (position(2, 1), 2 * CHUNK));
    assert!(upload.noted_at >= held.attempts[0].started_at);
}

#[tokio::test(flavor = "multi_thread")]
async fn progress_of_an_attempt_that_was_overtaken_does_not_count() {
    let fixture = Fixture::new().await;
    let job = fixture.media_job().await.id;
    get_on_and_crash(&fixture, job, Some(1), 1).await;
    fixture.crash(job).await;
    let before = fixture.job(job).await;
    let late = fixture.store.jobs().note_progress(job, 1, LEASE, &position(2, 1)).await;
    assert!(matches!(late, Err(Error::Fenced)), "{late:?}");
    assert_eq!(fixture.job(job).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_gets_on_between_crashes_is_not_their_cause() {
    let fixture = Fixture::new().await;
    let job = fixture.media_job().await.id;
    for chunks in 1..=2 * u64::from(CRASHES) {
        get_on_and_crash(&fixture, job, Some(chunks), 1).await;
    }
    assert_eq!(fixture.job(job).await.crashes, 0);

    // Where it does not get on, its crashes add up.
    for crash in 1..CRASHES {
        get_on_and_crash(&fixture, job, None, 1).await;
        assert_eq!(fixture.job(job).await.crashes, crash);
    }
    assert!(poisoned(&fixture, job).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn going_over_the_same_ground_again_does_not_forget_crashes() {
    let fixture = Fixture::new().await;
    let job = fixture.media_job().await.id;
    // It crashes at the third chunk, however often it begins anew.
    for begun in 1..=CRASHES {
        get_on_and_crash(&fixture, job, Some(2), begun).await;
    }
    let held = fixture.job(job).await;
    assert_eq!(held.crashes, CRASHES - 1, "the first crash came after getting on");
    assert_eq!(held.upload.expect("progress").position, position(2, CRASHES));
    assert!(poisoned(&fixture, job).await);
}
