//! Discarded jobs that are redriven.

use messages::JobId;
use store::{AssetState, Claim, JobState, Redrive, Refusal, Role, UploadPosition};

use crate::ends::Ends;
use crate::support::{DAY, Fixture, LEASE, assert_state, first, stored, upload, url};

async fn redrive(fixture: &Fixture, id: JobId) -> Redrive {
    fixture.store.media().redrive(id).await.expect("an answer")
}

/// Discards a job that can be redriven.
async fn discard(fixture: &Fixture, id: JobId) {
    let attempt = fixture.claim(id).await.attempt;
    fixture.store.discard(id, attempt, "the account is full", true).await.expect("discarded");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_discarded_upload_that_is_redriven_is_as_new_and_completes() {
    let fixture = Fixture::new().await;
    let owner = fixture.user().await;
    let new = upload(Role::Avatar);
    fixture.store.media().replace_image(owner, new.clone(), None).await.expect("accepted");
    fixture.crash(new.job).await;
    fixture.crash(new.job).await;
    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    let poisoned = fixture.try_claim(new.job, "third", LEASE).await;
    assert!(matches!(&poisoned, Claim::Claimed(claimed) if claimed.attempt == 3), "{poisoned:?}");
    fixture.store.discard(new.job, 3, "the account is full", true).await.expect("discarded");
    let failed = fixture.read_user(owner).await.avatar;
    assert_eq!((failed.pending, failed.failed.is_some()), (None, true));

    let Redrive::Done(job) = redrive(&fixture, new.job).await else { panic!("refused") };
    assert_state(&job, JobState::Pending);
    assert_eq!((job.failures, job.crashes, job.replayable), (0, 0, false), "{job:?}");
    assert_eq!((job.reason.as_deref(), job.code.as_deref(), job.finished_at), (None, None, None));
    assert_eq!(job.attempts.len(), 3, "what has been stays on record");
    assert_eq!(*job, fixture.job(new.job).await);
    let asset = fixture.asset(new.asset).await;
    assert_eq!((asset.state, asset.reason, asset.code), (AssetState::Pending, None, None));
    assert!(fixture.is_in_use(new.file).await);
    let pending = fixture.read_user(owner).await.avatar;
    assert_eq!((pending.pending, pending.failed), (Some(new.asset), None));
    let raw = fixture.collection("jobs").find_one(bson::doc! {}).await.expect("an answer").expect("a job");
    assert!(!raw.contains_key("expireAt"), "{raw}");

    let due = fixture.store.jobs().take_due(10, LEASE).await.expect("an answer");
    assert!(due.iter().any(|due| due.id == new.job), "the relay publishes it");
    let attempt = fixture.claim(new.job).await.attempt;
    assert_eq!(attempt, 4, "the fence goes on");
    fixture.store.complete_upload(new.job, attempt, new.asset, stored(new.asset)).await.expect("completed");
    let shown = fixture.read_user(owner).await.avatar;
    assert_eq!((shown.url, shown.failed), (url(new.asset), None), "it was redriven after it failed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_redrive_is_refused_and_changes_nothing() {
    let fixture = Fixture::new().await;
    let job = fixture.media_job().await;
    discard(&fixture, job.id).await;
    assert!(matches!(redrive(&fixture, job.id).await, Redrive::Done(_)));
    let before = fixture.job(job.id).await;
    assert_eq!(redrive(&fixture, job.id).await, Redrive::Refused(Refusal::NotDiscarded(JobState::Pending)));
    assert_eq!(fixture.job(job.id).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_redriven_is_refused_with_the_reason() {
    let fixture = Fixture::new().await;
    let id = JobId::new();
    assert_eq!(redrive(&fixture, id).await, Redrive::Refused(Refusal::Unknown));

    let hopeless = fixture.media_job().await.id;
    let attempt = fixture.claim(hopeless).await.attempt;
    fixture.store.discard(hopeless, attempt, "not a picture", false).await.expect("discarded");
    assert_eq!(redrive(&fixture, hopeless).await, Redrive::Refused(Refusal::NotReplayable));

    let released = fixture.media_job().await.id;
    discard(&fixture, released).await;
    fixture.pass(DAY * 31).await;
    assert_eq!(fixture.store.media().release_expired().await.expect("an answer").len(), 1);
    let before = fixture.job(released).await;
    assert_eq!(redrive(&fixture, released).await, Redrive::Refused(Refusal::FileReleased));
    assert_eq!(fixture.job(released).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_not_redriven_over_a_newer_one() {
    for newer_is_ready in [false, true] {
        let fixture = Fixture::new().await;
        let owner = fixture.user().await;
        let older = first(&fixture.replace_avatar(owner).await).0;
        discard(&fixture, older).await;
        let (job, asset) = first(&fixture.replace_avatar(owner).await);
        if newer_is_ready {
            let attempt = fixture.claim(job).await.attempt;
            fixture.store.complete_upload(job, attempt, asset, stored(asset)).await.expect("completed");
        }
        let before = (fixture.read_user(owner).await, fixture.job(older).await);
        assert_eq!(redrive(&fixture, older).await, Redrive::Refused(Refusal::Newer));
        assert_eq!((fixture.read_user(owner).await, fixture.job(older).await), before);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_image_is_redriven_when_the_newer_one_has_failed_too() {
    let fixture = Fixture::new().await;
    let owner = fixture.user().await;
    let (older, asset) = first(&fixture.replace_avatar(owner).await);
    discard(&fixture, older).await;
    let newer = first(&fixture.replace_avatar(owner).await).0;
    discard(&fixture, newer).await;
    assert!(matches!(redrive(&fixture, older).await, Redrive::Done(_)));
    assert_eq!(redrive(&fixture, newer).await, Redrive::Refused(Refusal::Newer), "one at a time");
    let attempt = fixture.claim(older).await.attempt;
    fixture.store.complete_upload(older, attempt, asset, stored(asset)).await.expect("completed");
    assert_eq!(fixture.read_user(owner).await.avatar.url, url(asset));
    // Now the newer one may follow.
    assert!(matches!(redrive(&fixture, newer).await, Redrive::Done(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn discarded_jobs_are_listed_the_latest_first() {
    let fixture = Fixture::new().await;
    let mut discarded = Vec::new();
    for _ in 0..3 {
        let job = fixture.media_job().await;
        discard(&fixture, job.id).await;
        discarded.insert(0, job.id);
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    fixture.media_job().await;
    let listed = async |limit| {
        let jobs = fixture.store.jobs().discarded(limit).await.expect("a list");
        jobs.into_iter().map(|job| job.id).collect::<Vec<_>>()
    };
    assert_eq!(listed(10).await, discarded);
    assert_eq!(listed(2).await, discarded[..2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_discarded_upload_may_have_stored_is_deleted_and_a_redrive_takes_another_name() {
    let fixture = Fixture::new().await;
    let owner = fixture.user().await;
    let (job, asset) = first(&fixture.replace_avatar(owner).await);
    fixture.crash(job).await;
    let holder = fixture.job(job).await.worker.expect("a worker");
    fixture.take_over(job, "next", &holder).await;
    let position = UploadPosition { upload_id: "x".to_owned(), acknowledged_bytes: 5, chunk_size: 5, begun: 1 };
    fixture.store.jobs().note_progress(job, 2, LEASE, &position).await.expect("noted");
    let discarded = fixture.store.discard(job, 2, "the account is full", true).await.expect("discarded");
    let name = fixture.asset(asset).await.public_id;
    let deletion = discarded.follow_ups.first().expect("a deletion").clone();
    assert_eq!(deletion.data["publicId"], name.as_str());

    // A person is faster than the deletion, which is about another name by then, and about no asset.
    let Redrive::Done(again) = redrive(&fixture, job).await else { panic!("refused") };
    assert_eq!(again.upload, None, "it begins at its first byte");
    let other = fixture.asset(asset).await.public_id;
    assert_eq!(other, format!("{name}-2"));
    assert_eq!(again.source, None, "it has no longer the name of which the job knew");
    let attempt = fixture.claim(deletion.id).await.attempt;
    let outcome = fixture.store.complete_delete(deletion.id, attempt, asset).await.expect("completed");
    assert_eq!(outcome.state, JobState::Completed);
    assert_eq!(fixture.asset(asset).await.state, AssetState::Pending);
    let attempt = fixture.claim(job).await.attempt;
    fixture.store.complete_upload(job, attempt, asset, stored(asset)).await.expect("completed");
    assert_eq!(fixture.read_user(owner).await.avatar.url, url(asset));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_is_refused_at_once_has_nothing_to_delete_and_keeps_its_name() {
    let fixture = Fixture::new().await;
    let job = fixture.media_job().await;
    let asset = job.asset.expect("an asset");
    let name = fixture.asset(asset).await.public_id;
    discard(&fixture, job.id).await;
    assert_eq!(fixture.deletions(asset).await, 0);
    assert!(matches!(redrive(&fixture, job.id).await, Redrive::Done(_)));
    assert_eq!(fixture.asset(asset).await.public_id, name);
}
