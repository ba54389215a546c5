use std::time::{Duration, Instant};

use bson::doc;
use messages::JobId;
use store::{AssetState, AttemptOutcome, Claim, ClaimRequest, Error, FailureCode, JobState, Rescue, Retry, Role};
use time::OffsetDateTime;

use crate::ends::Ends;
use crate::support::{CRASHES, Fixture, HOUR, LEASE, assert_state, claimed, first, request, upload};

#[tokio::test(flavor = "multi_thread")]
async fn of_many_claims_at_once_one_wins() {
    let fixture = Fixture::new().await;
    let owner = fixture.user().await;
    for round in 0..25 {
        let job = fixture.submit(owner).await;
        let racers: Vec<_> = (0..4)
            .map(|racer| {
                let store = fixture.store.clone();
                let worker = format!("worker-{racer}");
                tokio::spawn(async move { store.jobs().claim(job.id, &request(&worker, &Rescue::LeaseExpired)).await })
            })
            .collect();
        let (mut won, mut busy) = (Vec::new(), Vec::new());
        for racer in racers {
            match racer.await.expect("no panic").expect("an answer") {
                Claim::Claimed(claimed) => won.extend(claimed.job.worker.clone()),
                Claim::Busy { worker, .. } => busy.push(worker),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!((won.len(), busy.len()), (1, 3), "round {round}");
        assert!(busy.iter().all(|holder| *holder == won[0]), "{won:?} {busy:?}");
        assert_eq!(fixture.job(job.id).await.attempt, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_records_the_attempt_before_the_work() {
    let fixture = Fixture::new().await;
    let job = fixture.media_job().await;
    let claimed = fixture.claim(job.id).await;
    assert_eq!(claimed.attempt, 1);
    assert_eq!(fixture.job(job.id).await, *claimed.job);
    assert_state(&claimed.job, JobState::Running);
    let attempt = &claimed.job.attempts[0];
    assert_eq!((attempt.number, attempt.worker.as_str(), attempt.outcome), (1, "worker", None));
    let lease = claimed.job.lease_until.expect("a lease") - attempt.started_at;
    assert_eq!(lease, LEASE);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_has_ended_or_never_was_is_not_claimed() {
    let fixture = Fixture::new().await;
    let job = fixture.media_job().await;
    let attempt = fixture.claim(job.id).await.attempt;
    fixture.store.discard(job.id, attempt, "no", true).await.expect("discarded");
    assert_eq!(fixture.try_claim(job.id, "late", LEASE).await, Claim::Finished(JobState::Discarded));
    assert_eq!(fixture.try_claim(JobId::new(), "lost", LEASE).await, Claim::Unknown);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_not_claimed_before_it_is_due() {
    let fixture = Fixture::new().await;
    let job = fixture.media_job().await;
    let attempt = fixture.claim(job.id).await.attempt;
    let retry = Retry {
        after: Duration::from_secs(3600),
        error: "busy".to_owned(),
        code: FailureCode::Answered(503),
        counts: true,
    };
    assert_eq!(fixture.store.retry(job.id, attempt, &retry).await.expect("retried later").state, JobState::Retryable);
    let run_at = fixture.job(job.id).await.run_at;
    assert!(run_at > OffsetDateTime::now_utc() + Duration::from_secs(3000), "{run_at}");
    assert_eq!(fixture.try_claim(job.id, "early", LEASE).await, Claim::NotDue { run_at });

    assert_eq!(fixture.store.jobs().take_due(10, LEASE).await.expect("an answer"), []);
    fixture.pass(HOUR).await;
    let due = fixture.store.jobs().take_due(10, LEASE).await.expect("an answer");
    assert_eq!(due.iter().map(|due| due.id).collect::<Vec<_>>(), [job.id]);
    let claimed = claimed(fixture.try_claim(job.id, "timely", LEASE).await);
    assert_eq!((claimed.attempt, claimed.job.failures, claimed.job.crashes), (2, 1, 0));
    assert_eq!(claimed.job.attempts[0].outcome, Some(AttemptOutcome::Retry));
    assert_eq!(claimed.job.attempts[0].error.as_deref(), Some("busy"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_lease_is_taken_over_and_the_crash_is_counted() {
    let fixture = Fixture::new().await;
    let job = fixture.media_job().await;
    fixture.crash(job.id).await;
    let deadline = Instant::now() + Duration::from_secs(5);
    let rescued = loop {
        match fixture.try_claim(job.id, "rescuer", LEASE).await {
            Claim::Claimed(claimed) => break claimed,
            other => assert!(Instant::now() < deadline, "{other:?}"),
        }
    };
    assert_eq!((rescued.attempt, rescued.job.crashes), (2, 1));
    assert_eq!(rescued.job.attempts[0].outcome, Some(AttemptOutcome::Crashed));
    assert_eq!(rescued.job.attempts[0].code.as_deref(), Some("worker-crashed"));
    assert!(rescued.job.attempts[0].ended_at.is_some());
    assert!(rescued.job.attempts[1].ended_at.is_none());

    // The worker that was thought dead finds out.
    let renewed = fixture.store.jobs().renew(job.id, 1, LEASE).await;
    assert!(matches!(renewed, Err(Error::Fenced)), "{renewed:?}");
    let given = fixture.store.jobs().release(job.id, 1).await;
    assert!(matches!(given, Err(Error::Fenced)), "{given:?}");
    let retry = Retry { after: Duration::ZERO, error: String::new(), code: FailureCode::Answered(503), counts: true };
    let retried = fixture.store.retry(job.id, 1, &retry).await;
    assert!(matches!(retried, Err(Error::Fenced)), "{retried:?}");
    let discarded = fixture.store.discard(job.id, 1, "no", false).await;
    assert!(matches!(discarded, Err(Error::Fenced)), "{discarded:?}");
    assert_eq!(fixture.job(job.id).await, *rescued.job);
    assert_eq!(fixture.asset(job.asset.expect("an asset")).await.state, AssetState::Pending);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_holder_that_is_gone_loses_its_job_at_once_and_no_one_else_does() {
    let fixture = Fixture::new().await;
    let job = fixture.media_job().await;
    fixture.claim(job.id).await;
    let refused = fixture.take_over(job.id, "rescuer", "another").await;
    assert!(matches!(refused, Claim::Busy { ref worker, .. } if worker == "worker"), "{refused:?}");
    let rescued = claimed(fixture.take_over(job.id, "rescuer", "worker").await);
    assert_eq!((rescued.attempt, rescued.job.crashes), (2, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_was_running_at_three_crashes_is_discarded_with_its_asset() {
    let fixture = Fixture::new().await;
    let owner = fixture.user().await;
    let new = upload(Role::Avatar);
    let accepted = fixture.store.media().replace_image(owner, new.clone(), None).await.expect("accepted");
    let (job, asset) = first(&accepted);
    for _ in 0..CRASHES {
        fixture.crash(job).await;
    }
    let deadline = Instant::now() + Duration::from_secs(5);
    let (poisoned, outcome) = loop {
        match fixture.try_claim(job, "next", LEASE).await {
            Claim::Poisoned(job) => {
                assert_eq!(*job, fixture.job(job.id).await, "the claim itself changes nothing");
                let discarded = fixture.store.discard_poisoned(&job, &Rescue::LeaseExpired).await;
                break discarded.expect("discarded");
            }
            other => assert!(Instant::now() < deadline && matches!(other, Claim::Busy { .. }), "{other:?}"),
        }
    };
    assert_state(&poisoned, JobState::Discarded);
    assert_eq!((outcome.state, outcome.file), (JobState::Discarded, None));
    assert_eq!((poisoned.crashes, poisoned.attempt, poisoned.replayable), (CRASHES, CRASHES, true));
    assert!(poisoned.attempts.iter().all(|attempt| attempt.outcome == Some(AttemptOutcome::Crashed)));
    assert!(poisoned.attempts.iter().all(|attempt| attempt.code.as_deref() == Some("worker-crashed")));
    assert_eq!((poisoned.reason.is_some(), poisoned.code.as_deref()), (true, Some("too-many-crashes")));
    let failed = fixture.asset(asset).await;
    assert_eq!((failed.state, failed.code.as_deref()), (AssetState::Failed, Some("too-many-crashes")));
    assert_eq!(fixture.read_user(owner).await.avatar.pending, None);
    assert!(fixture.is_in_use(new.file).await, "a person may redrive it");
    assert_eq!(fixture.try_claim(job, "later", LEASE).await, Claim::Finished(JobState::Discarded));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_gets_its_last_chance_only_where_nothing_else_runs() {
    let fixture = Fixture::new().await;
    let job = fixture.media_job().await.id;
    let gone = |worker: &str| Rescue::HolderGone { worker: worker.to_owned() };
    let beside = async |worker: &str, rescue: &Rescue| {
        let request = ClaimRequest { exclusive: false, ..request(worker, rescue) };
        fixture.store.jobs().claim(job, &request).await.expect("an answer")
    };
    claimed(beside("one", &Rescue::LeaseExpired).await);
    let second = claimed(beside("two", &gone("one")).await);
    assert_eq!((second.attempt, second.job.crashes), (2, 1), "the first crash may be anybody's doing");

    let before = fixture.job(job).await;
    let held = beside("three", &Rescue::LeaseExpired).await;
    assert!(matches!(held, Claim::Busy { ref worker, .. } if worker == "two"), "{held:?}");
    assert_eq!(beside("three", &gone("two")).await, Claim::LastChance);
    assert_eq!(fixture.job(job).await, before, "nothing has changed");
    let third = claimed(fixture.take_over(job, "three", "two").await);
    assert_eq!((third.attempt, third.job.crashes), (3, 2));

    // It stays so when the attempt ends in good order.
    fixture.store.jobs().release(job, 3).await.expect("released");
    assert_eq!(beside("four", &Rescue::LeaseExpired).await, Claim::LastChance);
    claimed(fixture.try_claim(job, "four", LEASE).await);
    // Whoever finds the crash that is too many need not be alone.
    assert!(matches!(beside("five", &gone("four")).await, Claim::Poisoned(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_lease_holds_longer() {
    let fixture = Fixture::new().await;
    let job = fixture.media_job().await;
    let claimed = claimed(fixture.try_claim(job.id, "worker", Duration::from_secs(1)).await);
    fixture.store.jobs().renew(job.id, claimed.attempt, LEASE).await.expect("renewed");
    let lease = fixture.job(job.id).await.lease_until.expect("a lease");
    assert!(lease > claimed.job.lease_until.expect("a lease") + LEASE / 2);
    fixture.pass(LEASE / 2).await;
    assert_eq!(fixture.store.jobs().take_abandoned(10, LEASE).await.expect("an answer"), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_is_released_is_due_at_once_and_counts_no_failure() {
    let fixture = Fixture::new().await;
    let job = fixture.media_job().await;
    let attempt = fixture.claim(job.id).await.attempt;
    fixture.store.jobs().release(job.id, attempt).await.expect("released");
    let given = fixture.job(job.id).await;
    assert_state(&given, JobState::Retryable);
    assert_eq!((given.failures, given.crashes, given.worker), (0, 0, None));
    assert_eq!(given.attempts[0].outcome, Some(AttemptOutcome::Released));
    // What documents and answers say is permanent.
    let written = doc! { "attempts.0.outcome": "released" };
    assert_eq!(fixture.collection("jobs").count_documents(written).await.expect("a count"), 1);
    assert_eq!(fixture.claim(job.id).await.attempt, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_remembers_its_latest_250_attempts() {
    let fixture = Fixture::new().await;
    let job = fixture.media_job().await;
    for _ in 0..253 {
        let attempt = fixture.claim(job.id).await.attempt;
        fixture.store.jobs().release(job.id, attempt).await.expect("released");
    }
    let job = fixture.job(job.id).await;
    assert_eq!(job.attempt, 253);
    let numbers: Vec<u32> = job.attempts.iter().map(|attempt| attempt.number).collect();
    assert_eq!(numbers, (4..=253).collect::<Vec<u32>>());
}
