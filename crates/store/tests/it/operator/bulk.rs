//! Actions on all jobs that match a filter.

use std::collections::BTreeSet;
use std::time::Duration;

use bson::{DateTime, Document, doc};
use messages::{ActionId, JobId, UserId};
use store::{
    Act, Actor, AssetState, Batch, BulkAction, BulkDecision, BulkState, Error, FailureCode, JobState, NewBulkAction,
    Retry, Role, Search, Step,
};

use crate::ends::Ends;
use crate::support::{Fixture, upload};

impl Fixture {
    async fn begin(&self, decision: BulkDecision, filter: Search) -> BulkAction {
        let act = Act { by: Actor::command_line(), from: None, action: "jobs.act", target: None, detail: None };
        let audit = self.store.audit().begin(act.clone()).await.expect("noted");
        let new = NewBulkAction { decision, filter, by: act.by, from: None, audit, matched: 3, matched_more: false };
        self.store.bulk().begin(new).await.expect("begun")
    }

    async fn action(&self, id: ActionId) -> BulkAction {
        self.store.bulk().find(id).await.expect("an answer").expect("the action")
    }

    async fn batch(&self, id: ActionId) -> Batch {
        match self.store.bulk().next(id).await.expect("an answer") {
            Step::Next(batch) => *batch,
            other => panic!("{other:?}"),
        }
    }

    async fn act(&self, batch: Batch) -> Result<usize, Error> {
        self.store.bulk().act(self.store.operator(), batch).await.map(|files| files.len())
    }

    /// Goes on to the end, and says which that is.
    async fn through(&self, id: ActionId) -> BulkState {
        for _ in 0..100 {
            match self.store.bulk().next(id).await.expect("an answer") {
                Step::Next(batch) => drop(self.act(*batch).await.expect("done")),
                Step::End(_, state) => return state,
                Step::Over => panic!("it has ended"),
            }
        }
        panic!("it has no end");
    }

    async fn discarded(&self, owner: UserId) -> JobId {
        let job = self.submit(owner).await.id;
        let attempt = self.claim(job).await.attempt;
        self.store.discard(job, attempt, "the account is full", true).await.expect("discarded");
        job
    }

    async fn retryable(&self, owner: UserId) -> JobId {
        let job = self.submit(owner).await.id;
        let attempt = self.claim(job).await.attempt;
        let error = "busy".to_owned();
        let later = Retry { after: Duration::from_secs(3600), error, code: FailureCode::Unreachable, counts: true };
        self.store.retry(job, attempt, &later).await.expect("retried");
        job
    }
}

fn of(owner: UserId, states: &[JobState]) -> Search {
    let states: BTreeSet<JobState> = states.iter().copied().collect();
    Search { owner: Some(owner), states, ..Search::default() }
}

fn counts(action: &BulkAction) -> (u64, u64, u64) {
    (action.done, action.failed, action.skipped)
}

/// What a job and its asset are, but for the times and names of their own.
async fn shape(fixture: &Fixture, id: JobId) -> (Document, Option<Document>) {
    let one = async |name: &str, filter: Document| fixture.collection(name).find_one(filter).await.expect("an answer");
    let mut job = one("jobs", doc! { "_id": id.to_string() }).await.expect("a job");
    let asset = job.get_object_id("asset").ok();
    let mut asset = match asset {
        Some(asset) => one("assets", doc! { "_id": asset }).await,
        None => None,
    };
    for own in ["_id", "data", "asset", "attempts", "owner", "events"] {
        job.remove(own);
    }
    if let Ok(source) = job.get_document_mut("source") {
        source.remove("publicId");
        source.get_document_mut("spool").expect("a place").remove("file");
    }
    let is_anew = asset.as_ref().is_some_and(|asset| asset.get_str("publicId").is_ok_and(|name| name.ends_with("-1")));
    if let Some(asset) = &mut asset {
        for own in ["_id", "publicId", "job", "spool", "owner"] {
            asset.remove(own);
        }
        asset.insert("isAnew", is_anew);
    }
    let timeless = |document: &mut Document| {
        for (_, value) in document.iter_mut() {
            if let bson::Bson::DateTime(_) = value {
                *value = DateTime::from_millis(0).into();
            }
        }
    };
    timeless(&mut job);
    asset.iter_mut().for_each(timeless);
    (job, asset)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_of_retries_does_what_a_single_one_does() {
    let fixture = Fixture::new().await;
    let (single, all) = (fixture.user().await, fixture.user().await);
    let mut pairs = Vec::new();
    pairs.push((fixture.discarded(single).await, fixture.discarded(all).await));
    pairs.push((fixture.retryable(single).await, fixture.retryable(all).await));
    // One that was discarded before any attempt keeps its name at the media host.
    for owner in [single, all] {
        let job = fixture.submit(owner).await.id;
        fixture.store.operator().discard(job).await.expect("discarded");
        if owner == single {
            pairs.push((job, job));
        } else if let Some(last) = pairs.last_mut() {
            last.1 = job;
        }
    }
    let action = fixture.begin(BulkDecision::Retry, of(all, &[JobState::Discarded, JobState::Retryable])).await;
    for (job, _) in &pairs {
        fixture.store.operator().retry(*job).await.expect("retried");
    }
    assert_eq!(fixture.through(action.id).await, BulkState::Completed);
    assert_eq!(counts(&fixture.action(action.id).await), (3, 0, 0));
    for (one, other) in pairs {
        assert_eq!(shape(&fixture, one).await, shape(&fixture, other).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_retried_is_told_and_images_are_judged_one_by_one() {
    let fixture = Fixture::new().await;
    let owner = fixture.user().await;
    let hopeless = fixture.submit(owner).await.id;
    let attempt = fixture.claim(hopeless).await.attempt;
    fixture.store.discard(hopeless, attempt, "no picture", false).await.expect("discarded");
    let lost = fixture.discarded(owner).await;
    let mut avatars = Vec::new();
    for _ in 0..2 {
        let new = upload(Role::Avatar);
        fixture.store.media().replace_image(owner, new.clone(), None).await.expect("accepted");
        let attempt = fixture.claim(new.job).await.attempt;
        fixture.store.discard(new.job, attempt, "the account is full", true).await.expect("discarded");
        avatars.push(new.job);
    }
    let action = fixture.begin(BulkDecision::Retry, of(owner, &[JobState::Discarded])).await;
    let mut batch = fixture.batch(action.id).await;
    assert_eq!(batch.files().len(), 3, "the files of those that may be redriven");
    batch.without([lost]);
    fixture.act(batch).await.expect("done");
    // Of two avatars one is on its way, and the other is refused.
    assert_eq!(counts(&fixture.action(action.id).await), (1, 3, 0));
    let mut states = Vec::new();
    for job in [hopeless, lost, avatars[0], avatars[1]] {
        states.push(fixture.job(job).await.state);
    }
    assert_eq!(states.iter().filter(|state| **state == JobState::Pending).count(), 1, "{states:?}");
    assert_eq!(fixture.job(lost).await.state, JobState::Discarded);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_is_done_twice_changes_nothing_the_second_time() {
    let fixture = Fixture::new().await;
    let owner = fixture.user().await;
    let job = fixture.discarded(owner).await;
    let action = fixture.begin(BulkDecision::Retry, of(owner, &[JobState::Discarded])).await;
    let (first, second) = (fixture.batch(action.id).await, fixture.batch(action.id).await);
    fixture.act(first).await.expect("done");
    // It runs and fails again, before the other attempt comes to it.
    let attempt = fixture.claim(job).await.attempt;
    fixture.store.discard(job, attempt, "the account is still full", true).await.expect("discarded");
    let late = fixture.act(second).await;
    assert!(matches!(late, Err(Error::Fenced)), "{late:?}");
    assert_eq!(fixture.job(job).await.state, JobState::Discarded);
    assert_eq!(fixture.asset(fixture.job(job).await.asset.expect("an asset")).await.state, AssetState::Failed);
    assert_eq!(fixture.through(action.id).await, BulkState::Completed);
    assert_eq!(counts(&fixture.action(action.id).await), (1, 0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_jobs_that_existed_are_touched_and_no_job_of_others() {
    let fixture = Fixture::new().await;
    let (owner, other) = (fixture.user().await, fixture.user().await);
    let (theirs, others) = (fixture.submit(owner).await.id, fixture.submit(other).await.id);
    let unfinished = [JobState::Pending, JobState::Queued, JobState::Running, JobState::Retryable];
    tokio::time::sleep(Duration::from_millis(5)).await;
    let action = fixture.begin(BulkDecision::Discard, of(owner, &unfinished)).await;
    tokio::time::sleep(Duration::from_millis(5)).await;
    let later = fixture.submit(owner).await.id;
    assert_eq!(fixture.through(action.id).await, BulkState::Completed);
    let action = fixture.action(action.id).await;
    assert_eq!((counts(&action), action.state), ((1, 0, 0), BulkState::Running));
    for (job, state) in [(theirs, JobState::Discarded), (others, JobState::Pending), (later, JobState::Pending)] {
        assert_eq!(fixture.job(job).await.state, state);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_are_cancelled_and_their_files_are_told() {
    let fixture = Fixture::new().await;
    let owner = fixture.user().await;
    for _ in 0..5 {
        fixture.submit(owner).await;
    }
    tokio::time::sleep(Duration::from_millis(5)).await;
    let action = fixture.begin(BulkDecision::Cancel, of(owner, &[JobState::Pending])).await;
    let batch = fixture.batch(action.id).await;
    assert_eq!(fixture.act(batch).await.expect("done"), 5);
    assert_eq!(counts(&fixture.action(action.id).await), (5, 0, 0));
    let cancelled = doc! { "state": "cancelled", "code": "by-operator" };
    assert_eq!(fixture.collection("jobs").count_documents(cancelled).await.expect("a count"), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_action_that_is_stopped_goes_no_further_and_is_stopped_once() {
    let fixture = Fixture::new().await;
    let owner = fixture.user().await;
    let job = fixture.discarded(owner).await;
    let action = fixture.begin(BulkDecision::Retry, of(owner, &[JobState::Discarded])).await;
    let bulk = fixture.store.bulk();
    assert!(bulk.stop(action.id).await.expect("an answer").is_some_and(|action| action.stop));
    assert_eq!(fixture.through(action.id).await, BulkState::Stopped);
    assert_eq!(fixture.job(job).await.state, JobState::Discarded);
    assert!(bulk.stop(ActionId::new()).await.expect("an answer").is_none());

    // Its job is discarded by an operator: then it has failed, and the audit says so.
    let ended = fixture.store.operator().discard(action.job).await.expect("an answer");
    assert!(matches!(ended, store::Decided::Done { .. }), "{ended:?}");
    let failed = fixture.action(action.id).await;
    assert_eq!((failed.state, failed.reason.as_deref()), (BulkState::Failed, Some("discarded by an operator")));
    assert!(failed.ended_at.is_some());
    assert!(matches!(bulk.next(action.id).await.expect("an answer"), Step::Over));
    assert!(bulk.stop(action.id).await.expect("an answer").is_none());
    let audit = fixture.store.audit().list(None, 1).await.expect("a page");
    assert_eq!(audit.items[0].outcome, "failed");
    assert_eq!(audit.items[0].reason.as_deref(), Some("after 0 changed: discarded by an operator"));
    let all = bulk.list(None, 10).await.expect("a page");
    assert_eq!((all.items.len(), all.next), (1, None));
}
