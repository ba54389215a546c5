use std::collections::HashSet;
use std::time::Duration;

use bson::oid::ObjectId;
use bson::{Bson, Document, doc};
use messages::{AssetId, Job, JobId};
use store::{AssetState, AttemptOutcome, Claim, Error, FailureCode, JobState, Retry, Role};

use crate::ends::Ends;
use crate::support::{DAY, Fixture, LEASE, assert_state, first, stored, upload, url};

#[tokio::test(flavor = "multi_thread")]
async fn a_completed_upload_is_shown_and_lets_go_of_its_file() {
    let fixture = Fixture::new().await;
    let owner = fixture.user().await;
    let new = upload(Role::CoverImage);
    let accepted = fixture.store.media().replace_image(owner, new.clone(), None).await.expect("accepted");
    assert_eq!(accepted.user.cover_image.pending, Some(new.asset));
    let attempt = fixture.claim(new.job).await.attempt;
    let outcome =
        fixture.store.complete_upload(new.job, attempt, new.asset, stored(new.asset)).await.expect("completed");

    assert_eq!(
        (outcome.state, outcome.owner, outcome.role),
        (JobState::Completed, Some(owner), Some(Role::CoverImage))
    );
    assert_eq!((outcome.file, outcome.url), (Some(new.file), Some(url(new.asset))));
    assert_eq!(outcome.follow_ups, []);
    let user = fixture.read_user(owner).await;
    assert_eq!((user.cover_image.url, user.cover_image.pending), (url(new.asset), None));
    assert_eq!(user.avatar.url, "");
    let asset = fixture.asset(new.asset).await;
    assert_eq!((asset.state, asset.stored, asset.spooled), (AssetState::Ready, Some(stored(new.asset)), None));
    assert!(!fixture.is_in_use(new.file).await);
    let job = fixture.job(new.job).await;
    assert_state(&job, JobState::Completed);
    assert_eq!((job.worker, job.lease_until, job.finished_at.is_some()), (None, None, true));
    assert_eq!(job.attempts[0].outcome, Some(AttemptOutcome::Completed));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_completion_is_fenced_and_changes_nothing() {
    let fixture = Fixture::new().await;
    let job = fixture.media_job().await;
    let asset = job.asset.expect("an asset");
    let attempt = fixture.claim(job.id).await.attempt;
    fixture.store.complete_upload(job.id, attempt, asset, stored(asset)).await.expect("completed");
    let before = (fixture.job(job.id).await, fixture.asset(asset).await);
    for wrong in [attempt, attempt + 1] {
        let again = fixture.store.complete_upload(job.id, wrong, asset, stored(asset)).await;
        assert!(matches!(again, Err(Error::Fenced)), "{again:?}");
        let cancelled = fixture.store.cancel_superseded(job.id, wrong, asset).await;
        assert!(matches!(cancelled, Err(Error::Fenced)), "{cancelled:?}");
        let deleted = fixture.store.complete_delete(job.id, wrong, asset).await;
        assert!(matches!(deleted, Err(Error::Fenced)), "{deleted:?}");
        let discarded = fixture.store.discard(job.id, wrong, "no", false).await;
        assert!(matches!(discarded, Err(Error::Fenced)), "{discarded:?}");
    }
    assert_eq!((fixture.job(job.id).await, fixture.asset(asset).await), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_completions_at_once_one_counts() {
    let fixture = Fixture::new().await;
    let owner = fixture.user().await;
    let (job, asset) = first(&fixture.replace_avatar(owner).await);
    let attempt = fixture.claim(job).await.attempt;
    let racers: Vec<_> = (0..4)
        .map(|_| {
            let store = fixture.store.clone();
            tokio::spawn(async move { store.complete_upload(job, attempt, asset, stored(asset)).await })
        })
        .collect();
    let mut completed = 0;
    for racer in racers {
        match racer.await.expect("no panic") {
            Ok(_) => completed += 1,
            Err(error) => assert!(matches!(error, Error::Fenced), "{error:?}"),
        }
    }
    assert_eq!(completed, 1);
    assert_eq!(fixture.read_user(owner).await.avatar.url, url(asset));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replaced_image_is_deleted_by_a_job() {
    let fixture = Fixture::new().await;
    let owner = fixture.user().await;
    let (old_job, old) = first(&fixture.replace_avatar(owner).await);
    let attempt = fixture.claim(old_job).await.attempt;
    fixture.store.complete_upload(old_job, attempt, old, stored(old)).await.expect("completed");
    let (new_job, new) = first(&fixture.replace_avatar(owner).await);
    assert_eq!(fixture.read_user(owner).await.avatar.url, url(old), "shown until the new one is ready");
    let attempt = fixture.claim(new_job).await.attempt;
    let outcome = fixture.store.complete_upload(new_job, attempt, new, stored(new)).await.expect("completed");

    assert_eq!(fixture.asset(old).await.state, AssetState::Deleting);
    let deletion = outcome.follow_ups.first().expect("a follow-up");
    assert_eq!(*deletion, fixture.job(deletion.id).await);
    assert!(matches!(deletion.job(), Ok(Job::DeleteMedia(job)) if job.asset == old), "{deletion:?}");
    let attempt = fixture.claim(deletion.id).await.attempt;
    let outcome = fixture.store.complete_delete(deletion.id, attempt, old).await.expect("deleted");
    assert_eq!(outcome.state, JobState::Completed);
    assert_eq!(fixture.asset(old).await.state, AssetState::Deleted);
    assert_eq!(fixture.read_user(owner).await.avatar.url, url(new));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_discarded_image_falls_back_to_what_it_was() {
    let fixture = Fixture::new().await;
    let owner = fixture.user().await;
    let (old_job, old) = first(&fixture.replace_avatar(owner).await);
    let attempt = fixture.claim(old_job).await.attempt;
    fixture.store.complete_upload(old_job, attempt, old, stored(old)).await.expect("completed");
    for replayable in [true, false] {
        let new = upload(Role::Avatar);
        fixture.store.media().replace_image(owner, new.clone(), None).await.expect("accepted");
        let attempt = fixture.claim(new.job).await.attempt;
        let reason = "$not an image";
        let outcome = fixture.store.discard(new.job, attempt, reason, replayable).await.expect("discarded");
        assert_eq!(
            (outcome.state, outcome.owner, outcome.role),
            (JobState::Discarded, Some(owner), Some(Role::Avatar))
        );
        assert_eq!(outcome.file, (!replayable).then_some(new.file));
        assert_eq!(fixture.is_in_use(new.file).await, replayable);
        let avatar = fixture.read_user(owner).await.avatar;
        assert_eq!((avatar.url, avatar.pending), (url(old), None));
        let failed = avatar.failed.expect("the owner is told");
        assert_eq!((failed.reason.as_str(), failed.code.as_str()), (reason, "refused"));
        let (asset, job) = (fixture.asset(new.asset).await, fixture.job(new.job).await);
        assert_eq!((asset.state, asset.reason.as_deref()), (AssetState::Failed, Some(reason)));
        assert_eq!(asset.code.as_deref(), Some("refused"));
        assert_state(&job, JobState::Discarded);
        assert_eq!((job.reason.as_deref(), job.replayable), (Some(reason), replayable));
        assert_eq!((job.code.as_deref(), job.attempts[0].code.as_deref()), (Some("refused"), Some("refused")));
        assert_eq!(job.attempts[0].error.as_deref(), Some(reason));
    }
    assert_eq!(fixture.deletions(old).await, 0);
    let (job, newest) = first(&fixture.replace_avatar(owner).await);
    assert_eq!(fixture.read_user(owner).await.avatar.failed, None, "what failed before is of no interest");
    let attempt = fixture.claim(job).await.attempt;
    fixture.store.complete_upload(job, attempt, newest, stored(newest)).await.expect("completed");
    assert_eq!(fixture.read_user(owner).await.avatar.failed, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_that_count_run_out_and_operator_errors_and_what_was_not_tried_do_not() {
    let fixture = Fixture::without_indexes(|config| config.max_attempts = 2).await;
    fixture.store.ensure_indexes().await.expect("indexes");
    let job = fixture.media_job().await;
    let operator = Retry {
        after: Duration::ZERO,
        error: "wrong credentials".to_owned(),
        code: FailureCode::Configuration,
        counts: false,
    };
    let transient = Retry {
        after: Duration::ZERO,
        error: "$ status 500".to_owned(),
        code: FailureCode::Answered(500),
        counts: true,
    };
    let untried =
        Retry { after: Duration::ZERO, error: "busy".to_owned(), code: FailureCode::Undelivered, counts: false };
    let expected = [
        (&operator, JobState::Retryable),
        (&transient, JobState::Retryable),
        (&untried, JobState::Retryable),
        (&transient, JobState::Discarded),
    ];
    for (retry, state) in expected {
        let attempt = fixture.claim(job.id).await.attempt;
        assert_eq!(fixture.store.retry(job.id, attempt, retry).await.expect("recorded").state, state);
    }
    let job = fixture.job(job.id).await;
    assert_eq!((job.failures, job.attempt, job.replayable), (2, 4, true));
    let outcomes: Vec<_> = job.attempts.iter().filter_map(|attempt| attempt.outcome).collect();
    use AttemptOutcome::{Operator, Retry as Transient};
    assert_eq!(outcomes, [Operator, Transient, AttemptOutcome::Released, Transient]);
    assert_eq!(job.attempts[3].error.as_deref(), Some("$ status 500"));
    let codes: Vec<_> = job.attempts.iter().map(|attempt| (attempt.code.as_deref(), attempt.status)).collect();
    let (ours, theirs) = ((Some("configuration"), None), (Some("media-host-failed"), Some(500)));
    assert_eq!(codes, [ours, theirs, (Some("undelivered"), None), theirs]);
    assert_eq!(job.code.as_deref(), Some("too-many-failures"));
    assert!(job.reason.is_some_and(|reason| !reason.contains("status 500")), "the owner is told nothing internal");
    let asset = fixture.asset(job.asset.expect("an asset")).await;
    assert_eq!((asset.state, asset.spooled.is_some()), (AssetState::Failed, true));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_discarded_deletion_leaves_its_asset_alone() {
    let fixture = Fixture::new().await;
    let owner = fixture.user().await;
    let mut deletion = None;
    for _ in 0..2 {
        let (job, asset) = first(&fixture.replace_avatar(owner).await);
        let attempt = fixture.claim(job).await.attempt;
        let outcome = fixture.store.complete_upload(job, attempt, asset, stored(asset)).await.expect("completed");
        deletion = outcome.follow_ups.into_iter().next();
    }
    let deletion = deletion.expect("a deletion");
    let attempt = fixture.claim(deletion.id).await.attempt;
    let outcome = fixture.store.discard(deletion.id, attempt, "no", true).await.expect("discarded");
    assert_eq!((outcome.state, outcome.owner, outcome.file), (JobState::Discarded, Some(owner), None));
    assert_eq!(fixture.asset(deletion.asset.expect("an asset")).await.state, AssetState::Deleting);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_of_an_unknown_kind_can_be_claimed_and_discarded() {
    let fixture = Fixture::new().await;
    let job = fixture.media_job().await;
    let change =
        doc! { "$set": { "kind": "media.stamp.v9", "data": { "ink": 7_i64 } }, "$unset": { "asset": "", "owner": "" } };
    fixture.collection("jobs").update_one(doc! { "_id": job.id.to_string() }, change).await.expect("changed");
    let claimed = fixture.claim(job.id).await;
    assert_eq!((claimed.job.kind.as_str(), claimed.job.data["ink"].as_i64()), ("media.stamp.v9", Some(7)));
    assert!(claimed.job.job().is_err());
    let outcome = fixture.store.discard(job.id, claimed.attempt, "unknown kind", true).await.expect("discarded");
    assert_eq!((outcome.state, outcome.owner, outcome.role), (JobState::Discarded, None, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_whose_asset_or_owner_is_gone_ends() {
    let fixture = Fixture::new().await;
    let job = fixture.media_job().await;
    let asset = job.asset.expect("an asset");
    fixture.collection("assets").delete_many(doc! {}).await.expect("deleted");
    let attempt = fixture.claim(job.id).await.attempt;
    let completed = fixture.store.complete_upload(job.id, attempt, asset, stored(asset)).await;
    assert!(matches!(completed, Err(Error::NotFound { what: "asset" })), "{completed:?}");
    let outcome = fixture.store.discard(job.id, attempt, "the asset is gone", false).await.expect("discarded");
    assert_eq!(outcome.state, JobState::Discarded);

    let owner = fixture.user().await;
    let (job, asset) = first(&fixture.replace_avatar(owner).await);
    fixture.collection("users").delete_many(doc! {}).await.expect("deleted");
    let attempt = fixture.claim(job).await.attempt;
    let outcome = fixture.store.complete_upload(job, attempt, asset, stored(asset)).await.expect("ended");
    assert_eq!((outcome.state, outcome.follow_ups.len(), outcome.file.is_some()), (JobState::Cancelled, 1, true));
    assert_eq!(fixture.deletions(asset).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn finished_jobs_expire_and_unfinished_ones_do_not() {
    const DAY: i64 = 24 * 60 * 60 * 1000;
    let fixture = Fixture::new().await;
    let (done, failed, waiting) = (fixture.media_job().await, fixture.media_job().await, fixture.media_job().await);
    let asset = done.asset.expect("an asset");
    let attempt = fixture.claim(done.id).await.attempt;
    fixture.store.complete_upload(done.id, attempt, asset, stored(asset)).await.expect("completed");
    let attempt = fixture.claim(failed.id).await.attempt;
    fixture.store.discard(failed.id, attempt, "no", true).await.expect("discarded");
    let kept = async |id: JobId| {
        let filter = doc! { "_id": id.to_string() };
        let job = fixture.collection("jobs").find_one(filter).await.expect("an answer").expect("a job");
        assert_eq!(job.contains_key("dueAt"), !job.contains_key("finishedAt"));
        match (job.get("finishedAt"), job.get("expireAt")) {
            (Some(Bson::DateTime(end)), Some(Bson::DateTime(expiry))) => {
                Some((expiry.timestamp_millis() - end.timestamp_millis()) / DAY)
            }
            (None, None) => None,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!((kept(done.id).await, kept(failed.id).await, kept(waiting.id).await), (Some(7), Some(30), None));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_file_of_a_failed_upload_is_released_with_its_job() {
    let fixture = Fixture::new().await;
    let owner = fixture.user().await;
    let new = upload(Role::Media);
    fixture.submit_file(owner, &new, None).await;
    let untouched = fixture.submit(owner).await;
    let attempt = fixture.claim(new.job).await.attempt;
    fixture.store.discard(new.job, attempt, "no", true).await.expect("discarded");
    let release = async |days: u32| {
        fixture.pass(DAY * days).await;
        fixture.store.media().release_expired().await.expect("an answer")
    };
    assert_eq!(release(29).await, []);
    assert!(fixture.is_in_use(new.file).await);
    assert_eq!(release(2).await, [new.file]);
    assert!(!fixture.is_in_use(new.file).await);
    assert_eq!(release(2).await, []);
    assert!(fixture.asset(untouched.asset.expect("an asset")).await.spooled.is_some());
    assert_eq!(fixture.try_claim(new.job, "late", LEASE).await, Claim::Finished(JobState::Discarded));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_failed_upload_keeps_no_other_file_from_being_released() {
    let fixture = Fixture::new().await;
    let owner = fixture.user().await;
    let [odd, other_spool, whole] = [(); 3].map(|()| upload(Role::Media));
    for new in [&odd, &other_spool, &whole] {
        fixture.submit_file(owner, new, None).await;
        let attempt = fixture.claim(new.job).await.attempt;
        fixture.store.discard(new.job, attempt, "no", true).await.expect("discarded");
    }
    let set = async |asset: AssetId, change: Document| {
        let id = doc! { "_id": ObjectId::from_bytes(asset.bytes()) };
        fixture.collection("assets").update_one(id, doc! { "$set": change }).await.expect("changed");
    };
    set(odd.asset, doc! { "spool.file": "no id of a file" }).await;
    // Of this one all that matters here is whole.
    set(other_spool.asset, doc! { "spool.id": 7, "bytes": "many" }).await;
    assert!(fixture.is_in_use(other_spool.file).await);
    fixture.pass(DAY * 31).await;
    let released = fixture.store.media().release_expired().await.expect("an answer");
    assert_eq!(HashSet::from_iter(released), HashSet::from([other_spool.file, whole.file]));
    assert_eq!(fixture.store.media().release_expired().await.expect("an answer"), []);
}
