//! An owner cancels an upload, whatever has become of it by then.

use std::sync::Arc;
use std::time::Duration;

use bson::{Document, doc};
use futures_util::TryStreamExt;
use messages::{Event, JobId, UserId};
use store::{AssetState, AttemptOutcome, Cancel, CancelRefusal, Cancelled, Claim, Error, JobState, Retry, Role};
use tokio::sync::Barrier;

use crate::ends::Ends;
use crate::support::{DAY, Fixture, LEASE, assert_state, first, stored, upload, url};

const REASON: &str = "cancelled by its owner";

async fn cancel(fixture: &Fixture, owner: UserId, job: JobId) -> Cancel {
    fixture.store.media().cancel(owner, job).await.expect("an answer")
}

async fn cancelled(fixture: &Fixture, owner: UserId, job: JobId) -> Cancelled {
    match cancel(fixture, owner, job).await {
        Cancel::Done(cancelled) => *cancelled,
        Cancel::Refused(refusal) => panic!("{refusal:?}"),
    }
}

fn ended(state: JobState) -> Cancel {
    Cancel::Refused(CancelRefusal::Ended(state))
}

fn later(after: Duration) -> Retry {
    Retry { code: store::FailureCode::Unreachable, after, error: "busy".to_owned(), counts: true }
}

/// How many events say that this job was cancelled.
async fn events(fixture: &Fixture, job: JobId) -> u64 {
    let said = doc! { "kind": "media.cancelled.v1", "data.job": job.to_string(), "dueAt": { "$exists": true } };
    fixture.collection("events").count_documents(said).await.expect("a count")
}

/// The name of each thing that is to be deleted at the media host of an asset; none if it is the asset's own.
async fn deleted_names(fixture: &Fixture, job: JobId) -> Vec<Option<String>> {
    let asset = fixture.job(job).await.asset.expect("an asset");
    let filter = doc! { "kind": "media.delete.v1", "data.asset": asset.to_string() };
    let found = fixture.collection("jobs").find(filter).await.expect("an answer");
    let found: Vec<Document> = found.try_collect().await.expect("jobs");
    let name = |job: &Document| job.get_document("data").expect("data").get_str("publicId").ok().map(str::to_owned);
    found.iter().map(name).collect()
}

/// A user who shows an avatar.
async fn user_with_avatar(fixture: &Fixture) -> (UserId, String) {
    let owner = fixture.user().await;
    let (job, asset) = first(&fixture.replace_avatar(owner).await);
    let attempt = fixture.claim(job).await.attempt;
    fixture.store.complete_upload(job, attempt, asset, stored(asset)).await.expect("completed");
    (owner, url(asset))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_waits_is_cancelled_and_its_owner_shows_what_was_before() {
    for queued in [false, true] {
        let fixture = Fixture::new().await;
        let (owner, before) = user_with_avatar(&fixture).await;
        let newer = upload(Role::Avatar);
        fixture.store.media().replace_image(owner, newer.clone(), None).await.expect("accepted");
        if queued {
            fixture.store.jobs().mark_queued(&[newer.job]).await.expect("an answer");
        }
        let Cancelled { job, asset, outcome } = cancelled(&fixture, owner, newer.job).await;
        assert_eq!((&job, asset.as_ref()), (&fixture.job(newer.job).await, Some(&fixture.asset(newer.asset).await)));
        assert_state(&job, JobState::Cancelled);
        assert_eq!(job.reason.as_deref(), Some(REASON));
        assert!(job.finished_at.is_some() && job.due_at.is_none(), "{job:?}");
        let asset = asset.expect("an asset");
        assert_eq!((asset.state, asset.spooled), (AssetState::Failed, None));
        assert_eq!((asset.reason.as_deref(), asset.code.as_deref()), (Some(REASON), Some("cancelled")));
        assert_eq!((outcome.state, outcome.files), (JobState::Cancelled, vec![newer.file]));
        assert!(!fixture.is_in_use(newer.file).await);
        assert_eq!((outcome.follow_ups, deleted_names(&fixture, newer.job).await), (vec![], vec![]), "nobody began it");

        let avatar = fixture.read_user(owner).await.avatar;
        assert_eq!((avatar.url, avatar.pending, avatar.failed), (before, None, None));
        assert_eq!(events(&fixture, newer.job).await, 1);
        let [message] = outcome.events.as_slice() else { panic!("{:?}", outcome.events) };
        let Event::MediaCancelled(event) = &message.event else { panic!("{message:?}") };
        assert_eq!((event.job, event.asset, event.owner), (newer.job, newer.asset, owner));

        assert_eq!(fixture.try_claim(newer.job, "late", LEASE).await, Claim::Finished(JobState::Cancelled));
        assert_eq!(cancel(&fixture, owner, newer.job).await, ended(JobState::Cancelled), "a second time");
        assert_eq!(events(&fixture, newer.job).await, 1);

        // Another one goes on from there.
        let (next, asset) = first(&fixture.replace_avatar(owner).await);
        let attempt = fixture.claim(next).await.attempt;
        fixture.store.complete_upload(next, attempt, asset, stored(asset)).await.expect("completed");
        assert_eq!(fixture.read_user(owner).await.avatar.url, url(asset));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_waits_for_another_attempt_is_cancelled_and_what_the_last_one_left_is_deleted() {
    let fixture = Fixture::new().await;
    let job = fixture.media_job().await;
    let attempt = fixture.claim(job.id).await.attempt;
    fixture.store.retry(job.id, attempt, &later(DAY)).await.expect("retried later");
    let cancelled = cancelled(&fixture, job.owner.expect("an owner"), job.id).await;
    assert_state(&cancelled.job, JobState::Cancelled);
    assert_eq!(cancelled.job.attempts[0].outcome, Some(AttemptOutcome::Retry), "what was, stays");
    assert_eq!(cancelled.outcome.follow_ups.len(), 1);
    let asset = cancelled.asset.expect("an asset");
    assert_eq!(deleted_names(&fixture, job.id).await, [Some(asset.public_id)]);
    assert_eq!(fixture.store.jobs().take_due(10, LEASE).await.expect("an answer").len(), 1, "only the deletion is due");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_is_cancelled_under_its_attempt_which_records_nothing_any_more() {
    for ending in ["completes", "is retried", "is discarded", "is released", "finds out"] {
        let fixture = Fixture::new().await;
        let (owner, before) = user_with_avatar(&fixture).await;
        let (job, asset) = first(&fixture.replace_avatar(owner).await);
        let claimed = fixture.claim(job).await;
        let file = fixture.asset(asset).await.spooled.expect("a file").file;
        let cancelled = cancelled(&fixture, owner, job).await;
        assert_eq!(cancelled.job.attempts[0].outcome, Some(AttemptOutcome::Cancelled));
        assert!(cancelled.job.attempts[0].ended_at.is_some() && cancelled.job.worker.is_none());
        assert_eq!((cancelled.outcome.files, cancelled.outcome.follow_ups.len()), (vec![file], 1));

        let jobs = fixture.store.jobs();
        let recorded = match ending {
            "completes" => fixture.store.complete_upload(job, claimed.attempt, asset, stored(asset)).await.map(|_| ()),
            "is retried" => fixture.store.retry(job, claimed.attempt, &later(DAY)).await.map(|_| ()),
            "is discarded" => fixture.store.discard(job, claimed.attempt, "no", true).await.map(|_| ()),
            "is released" => jobs.release(job, claimed.attempt).await,
            _ => jobs.renew(job, claimed.attempt, LEASE).await,
        };
        assert!(matches!(recorded, Err(Error::Fenced)), "{ending}: {recorded:?}");
        assert_eq!(fixture.job(job).await, cancelled.job, "{ending}");
        assert_eq!(fixture.asset(asset).await, cancelled.asset.expect("an asset"), "{ending}");
        let avatar = fixture.read_user(owner).await.avatar;
        assert_eq!((avatar.url, avatar.pending), (before, None), "{ending}");

        // Whoever has stored it after all has it deleted again, under the same name.
        let again = fixture.store.media().delete_leftovers(asset).await.expect("an answer");
        assert!(again.is_some());
        let name = Some(fixture.asset(asset).await.public_id);
        assert_eq!(deleted_names(&fixture, job).await, [name.clone(), name]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_runs_although_a_newer_one_took_its_place_is_cancelled_too() {
    let fixture = Fixture::new().await;
    let owner = fixture.user().await;
    let (older, asset) = first(&fixture.replace_avatar(owner).await);
    fixture.claim(older).await;
    let (_, newer) = first(&fixture.replace_avatar(owner).await);
    let file = fixture.asset(asset).await.spooled.expect("the worker still reads it").file;
    let cancelled = cancelled(&fixture, owner, older).await;
    assert_eq!(cancelled.outcome.files, [file]);
    assert!(!fixture.is_in_use(file).await);
    assert_eq!(fixture.asset(asset).await.state, AssetState::Superseded);
    assert_eq!(deleted_names(&fixture, older).await, [None]);
    assert_eq!(fixture.read_user(owner).await.avatar.pending, Some(newer), "the newer one is none of its business");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_ended_stays_as_it_is_and_the_answer_says_how_it_ended() {
    let fixture = Fixture::new().await;
    let owner = fixture.user().await;
    for state in [JobState::Completed, JobState::Discarded, JobState::Cancelled] {
        let (job, asset) = first(&fixture.replace_avatar(owner).await);
        if state == JobState::Cancelled {
            fixture.replace_avatar(owner).await;
        } else {
            let attempt = fixture.claim(job).await.attempt;
            match state {
                JobState::Completed => {
                    fixture.store.complete_upload(job, attempt, asset, stored(asset)).await.expect("completed");
                }
                _ => drop(fixture.store.discard(job, attempt, "no", true).await.expect("discarded")),
            }
        }
        let (before, asset_before) = (fixture.job(job).await, fixture.asset(asset).await);
        assert_state(&before, state);
        assert_eq!(cancel(&fixture, owner, job).await, ended(state));
        assert_eq!((fixture.job(job).await, fixture.asset(asset).await), (before, asset_before));
        assert_eq!(events(&fixture, job).await, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_cancels_what_is_not_theirs_or_is_not_there_or_is_no_upload() {
    let fixture = Fixture::new().await;
    let (owner, _) = user_with_avatar(&fixture).await;
    let stranger = fixture.user().await;
    let job = fixture.submit(owner).await;
    let unknown = Cancel::Refused(CancelRefusal::Unknown);
    assert_eq!(cancel(&fixture, stranger, job.id).await, unknown);
    assert_eq!(cancel(&fixture, owner, JobId::new()).await, unknown);
    assert_eq!(fixture.job(job.id).await, job);

    // The avatar that is replaced gets a deletion.
    let (newer, asset) = first(&fixture.replace_avatar(owner).await);
    let attempt = fixture.claim(newer).await.attempt;
    let outcome = fixture.store.complete_upload(newer, attempt, asset, stored(asset)).await.expect("completed");
    let deletion = outcome.follow_ups.first().expect("a deletion");
    assert_eq!(deletion.owner, Some(owner));
    assert_eq!(cancel(&fixture, owner, deletion.id).await, Cancel::Refused(CancelRefusal::NotAnUpload));
    assert_eq!(cancel(&fixture, stranger, deletion.id).await, unknown);
    assert_state(&fixture.job(deletion.id).await, JobState::Pending);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_cancellation_and_a_completion_at_the_same_time_one_wins_and_both_are_told() {
    const ROUNDS: usize = 40;
    let fixture = Arc::new(Fixture::new().await);
    let owner = fixture.user().await;
    let mut completed = 0;
    for round in 0..ROUNDS {
        let (job, asset) = first(&fixture.replace_avatar(owner).await);
        let before = fixture.read_user(owner).await.avatar.url;
        let attempt = fixture.claim(job).await.attempt;
        let start = Arc::new(Barrier::new(2));
        let (other, together) = (Arc::clone(&fixture), Arc::clone(&start));
        let completing = tokio::spawn(async move {
            together.wait().await;
            other.store.complete_upload(job, attempt, asset, stored(asset)).await
        });
        start.wait().await;
        // A completion takes more round trips, so that it is given some before.
        for _ in 0..round % 8 {
            fixture.job(job).await;
        }
        let cancel = cancel(&fixture, owner, job).await;
        let completion = completing.await.expect("no panic");

        let (now, asset_now) = (fixture.job(job).await, fixture.asset(asset).await);
        let avatar = fixture.read_user(owner).await.avatar;
        assert_eq!((avatar.pending, now.due_at), (None, None), "{now:?}");
        if let Cancel::Done(_) = cancel {
            assert!(matches!(completion, Err(Error::Fenced)), "{completion:?}");
            assert_eq!((now.state, asset_now.state), (JobState::Cancelled, AssetState::Failed));
            assert_eq!(avatar.url, before);
        } else {
            completed += 1;
            assert_eq!(cancel, ended(JobState::Completed));
            assert_eq!(completion.expect("completed").state, JobState::Completed);
            assert_eq!((now.state, asset_now.state), (JobState::Completed, AssetState::Ready));
            assert_eq!((avatar.url, events(&fixture, job).await), (url(asset), 0));
        }
    }
    println!("{completed} of {ROUNDS} were completed");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_cancellations_at_once_one_wins() {
    let fixture = Arc::new(Fixture::new().await);
    let job = fixture.media_job().await;
    let owner = job.owner.expect("an owner");
    let mut racers = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let fixture = Arc::clone(&fixture);
        racers.spawn(async move { cancel(&fixture, owner, job.id).await });
    }
    let (done, refused): (Vec<_>, Vec<_>) =
        racers.join_all().await.into_iter().partition(|cancel| matches!(cancel, Cancel::Done(_)));
    assert_eq!((done.len(), refused), (1, vec![ended(JobState::Cancelled); 7]));
    assert_eq!(events(&fixture, job.id).await, 1);
}

/// A claim that comes before the cancellation has begun an attempt, which may have stored something.
#[tokio::test(flavor = "multi_thread")]
async fn a_claim_at_the_same_time_is_fenced_and_followed_by_a_deletion_or_finds_nothing_to_do() {
    let fixture = Arc::new(Fixture::new().await);
    let owner = fixture.user().await;
    for _ in 0..20 {
        let job = fixture.submit(owner).await.id;
        let other = Arc::clone(&fixture);
        let claiming = tokio::spawn(async move { other.try_claim(job, "worker", LEASE).await });
        let cancelled = cancelled(&fixture, owner, job).await;
        let deletions = deleted_names(&fixture, job).await.len();
        match claiming.await.expect("no panic") {
            Claim::Claimed(claimed) => {
                let renewed = fixture.store.jobs().renew(job, claimed.attempt, LEASE).await;
                assert!(matches!(renewed, Err(Error::Fenced)), "{renewed:?}");
                assert_eq!((cancelled.job.attempt, deletions), (1, 1));
            }
            claim => {
                assert_eq!(claim, Claim::Finished(JobState::Cancelled));
                assert_eq!((cancelled.job.attempt, deletions), (0, 0));
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn attempts_that_hold_their_jobs_no_more_are_told_by_one_query() {
    let fixture = Fixture::new().await;
    let jobs = fixture.store.jobs();
    assert_eq!(jobs.not_held(&[]).await.expect("an answer"), []);
    let owner = fixture.user().await;
    let mut attempts = Vec::new();
    for _ in 0..4 {
        let job = fixture.submit(owner).await.id;
        attempts.push((job, fixture.claim(job).await.attempt));
    }
    assert_eq!(jobs.not_held(&attempts).await.expect("an answer"), []);
    let [kept, cancelled, taken_over, ended] = [0, 1, 2, 3].map(|at: usize| attempts[at].0);
    cancel(&fixture, owner, cancelled).await;
    assert!(matches!(fixture.take_over(taken_over, "other", "worker").await, Claim::Claimed(_)));
    fixture.store.discard(ended, attempts[3].1, "no", false).await.expect("discarded");
    let unknown = JobId::new();
    attempts.push((unknown, 1));

    fixture
        .profiling(async {
            let lost = jobs.not_held(&attempts).await.expect("an answer");
            assert_eq!(lost, [cancelled, taken_over, ended, unknown]);
        })
        .await;
    assert_eq!(fixture.profiled().await.len(), 1);
    assert_eq!(jobs.not_held(&[(kept, 1)]).await.expect("an answer"), []);
}
