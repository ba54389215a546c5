//! A decision about one job.

use bson::doc;
use messages::JobId;
use store::{AssetState, AttemptOutcome, Claim, Decided, Error, JobState, Refusal, Refused, Retried, Role};

use crate::ends::Ends;
use crate::support::{Fixture, LEASE, assert_state, first, stored, upload};

async fn discard(fixture: &Fixture, id: JobId) -> Decided {
    fixture.store.operator().discard(id).await.expect("an answer")
}

async fn retry(fixture: &Fixture, id: JobId) -> Retried {
    fixture.store.operator().retry(id).await.expect("an answer")
}

async fn deletions(fixture: &Fixture) -> u64 {
    fixture.collection("jobs").count_documents(doc! { "kind": "media.delete.v1" }).await.expect("a count")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_discarded_in_any_unfinished_state_and_what_an_attempt_may_have_stored_is_deleted() {
    for (state, left) in
        [(JobState::Pending, 0), (JobState::Queued, 0), (JobState::Running, 1), (JobState::Retryable, 1)]
    {
        let fixture = Fixture::new().await;
        let owner = fixture.user().await;
        let new = upload(Role::Avatar);
        fixture.store.media().replace_image(owner, new.clone(), None).await.expect("accepted");
        let mut held = None;
        match state {
            JobState::Pending => {}
            JobState::Queued => drop(fixture.store.jobs().mark_queued(&[new.job]).await.expect("marked")),
            _ => held = Some(fixture.claim(new.job).await.attempt),
        }
        if state == JobState::Retryable {
            let later = store::Retry {
                after: LEASE,
                error: "busy".to_owned(),
                code: store::FailureCode::Unreachable,
                counts: true,
            };
            fixture.store.retry(new.job, 1, &later).await.expect("retried");
        }
        assert_eq!(fixture.job(new.job).await.state, state);

        let Decided::Done { job, outcome } = discard(&fixture, new.job).await else { panic!("{state}: refused") };
        assert_state(&job, JobState::Discarded);
        assert_eq!((job.code.as_deref(), job.replayable), (Some("by-operator"), true), "{state}");
        assert_eq!((outcome.state, outcome.events.len()), (JobState::Discarded, 1), "{state}");
        assert_eq!((deletions(&fixture).await, outcome.follow_ups.len()), (left, usize::try_from(left).expect("few")));
        let asset = fixture.asset(new.asset).await;
        assert_eq!((asset.state, asset.code.as_deref()), (AssetState::Failed, Some("by-operator")), "{state}");
        assert!(fixture.is_in_use(new.file).await, "{state}: its file is kept");
        assert_eq!(fixture.read_user(owner).await.avatar.pending, None, "{state}");
        if state == JobState::Running {
            assert_eq!(job.attempts[0].outcome, Some(AttemptOutcome::Discarded));
            let attempt = held.expect("an attempt");
            let late = fixture.store.complete_upload(new.job, attempt, new.asset, stored(new.asset)).await;
            assert!(matches!(late, Err(Error::Fenced)), "{late:?}");
        }
        assert!(!matches!(fixture.try_claim(new.job, "late", LEASE).await, Claim::Claimed(_)), "{state}");
        let again = discard(&fixture, new.job).await;
        assert_eq!(again, Decided::Refused(Refused::Ended(JobState::Discarded)), "{state}");

        let Retried::Redriven(job) = retry(&fixture, new.job).await else { panic!("{state}: refused") };
        assert_state(&job, JobState::Pending);
        assert_eq!(fixture.read_user(owner).await.avatar.pending, Some(new.asset), "a retry undoes it");
        assert_eq!(retry(&fixture, new.job).await, Retried::Refused(Refused::NothingToRetry(JobState::Pending)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_ended_or_is_unknown_stays_what_it_is() {
    let fixture = Fixture::new().await;
    let job = fixture.media_job().await;
    let asset = job.asset.expect("an asset");
    let attempt = fixture.claim(job.id).await.attempt;
    fixture.store.complete_upload(job.id, attempt, asset, stored(asset)).await.expect("completed");
    let ended = Decided::Refused(Refused::Ended(JobState::Completed));
    assert_eq!(discard(&fixture, job.id).await, ended);
    assert_eq!(fixture.store.operator().cancel(job.id).await.expect("an answer"), ended);
    assert_eq!(retry(&fixture, job.id).await, Retried::Refused(Refused::NothingToRetry(JobState::Completed)));
    let nobody = JobId::new();
    assert_eq!(discard(&fixture, nobody).await, Decided::Refused(Refused::Unknown));
    assert_eq!(retry(&fixture, nobody).await, Retried::Refused(Refused::Unknown));
    assert_eq!(fixture.job(job.id).await.state, JobState::Completed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_discarded_job_of_which_there_is_another_by_now_is_not_redriven() {
    let fixture = Fixture::new().await;
    let channel = fixture.user().await;
    let key = store::subscribers(channel);
    let first = fixture.store.counters().request(&key).await.expect("an answer").expect("a job");
    assert!(matches!(discard(&fixture, first.id).await, Decided::Done { .. }));
    let second = fixture.store.counters().request(&key).await.expect("an answer").expect("a job");
    assert_eq!(retry(&fixture, first.id).await, Retried::Refused(Refused::Redrive(Refusal::Doubled)));
    assert!(matches!(discard(&fixture, second.id).await, Decided::Done { .. }));
    assert!(matches!(retry(&fixture, first.id).await, Retried::Redriven(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_cancels_an_upload_of_anybodys_and_says_so() {
    let fixture = Fixture::new().await;
    let owner = fixture.user().await;
    let (job, _) = first(&fixture.replace_avatar(owner).await);
    let Decided::Done { job, outcome } = fixture.store.operator().cancel(job).await.expect("an answer") else {
        panic!("refused")
    };
    assert_state(&job, JobState::Cancelled);
    assert_eq!((job.code.as_deref(), job.reason.as_deref()), (Some("by-operator"), Some("cancelled by an operator")));
    assert_eq!((outcome.files.len(), outcome.events.len()), (1, 1));
}
