//! What workers are told, and jobs of paused users.

use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

use bson::{DateTime, Document, doc};
use store::{AttemptOutcome, Claim, Controlled, FailureCode, JobState, MAX_PAUSED_USERS, Orders, Retry, Steered};

use crate::support::Fixture;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_told_holds_until_it_is_taken_back_and_is_told_once() {
    let fixture = Fixture::new().await;
    let controls = fixture.store.controls();
    let user = fixture.user().await;
    let queue = Controlled::Queue("media.upload".to_owned());
    let (user_paused, drained) = (Controlled::User(user), Controlled::Worker("one".to_owned()));
    for what in [&queue, &user_paused, &drained, &Controlled::Worker("other".to_owned())] {
        assert_eq!(controls.set(what, "a title", "ada", "because").await.expect("an answer"), Steered::Done);
    }
    let again = controls.set(&queue, "another", "eve", "another reason").await.expect("an answer");
    assert_eq!(again, Steered::AlreadySo);
    let told = controls.find(&queue).await.expect("an answer").expect("a control");
    assert_eq!((told.title.as_str(), told.by.as_str(), told.why.as_str()), ("a title", "ada", "because"));
    assert_eq!(controls.all().await.expect("a list").len(), 4);
    let among = controls.among(&[queue.clone(), Controlled::Queue("media.delete".to_owned())]).await;
    assert_eq!(among.expect("a list"), [told]);

    let orders =
        |drain| Orders { queues: BTreeSet::from(["media.upload".to_owned()]), users: HashSet::from([user]), drain };
    assert_eq!(controls.orders("one").await.expect("an answer"), orders(true));
    assert_eq!(controls.orders("two").await.expect("an answer"), orders(false));
    for what in [&queue, &user_paused, &drained] {
        assert!(controls.lift(what).await.expect("an answer"));
        assert!(!controls.lift(what).await.expect("an answer"), "it is taken back once");
    }
    assert_eq!(controls.orders("one").await.expect("an answer"), Orders::default());
}

#[tokio::test(flavor = "multi_thread")]
async fn so_many_users_can_be_paused_and_no_more() {
    let fixture = Fixture::new().await;
    let paused = |number: u64| doc! { "_id": format!("user:{number:024x}"), "at": DateTime::now() };
    let all: Vec<Document> = (0..MAX_PAUSED_USERS).map(paused).collect();
    fixture.collection("controls").insert_many(all).await.expect("inserted");
    let controls = fixture.store.controls();
    let one_more = Controlled::User(fixture.user().await);
    assert_eq!(controls.set(&one_more, "", "ada", "").await.expect("an answer"), Steered::TooMany);
    let known = Controlled::User("000000000000000000000007".parse().expect("an id"));
    assert_eq!(controls.set(&known, "", "ada", "").await.expect("an answer"), Steered::AlreadySo);
    assert!(controls.lift(&known).await.expect("an answer"));
    assert_eq!(controls.set(&one_more, "", "ada", "").await.expect("an answer"), Steered::Done);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_job_waits_without_a_failure_and_resuming_its_owner_makes_it_due_and_no_other() {
    let fixture = Fixture::new().await;
    let jobs = fixture.store.jobs();
    let (owner, other) = (fixture.user().await, fixture.user().await);
    let (held, failed, of_other) =
        (fixture.submit(owner).await.id, fixture.submit(owner).await.id, fixture.submit(other).await.id);
    for job in [held, of_other] {
        let attempt = fixture.claim(job).await.attempt;
        jobs.hold(job, attempt).await.expect("held");
        assert!(jobs.hold(job, attempt).await.is_err(), "the attempt has ended");
    }
    let claimed = fixture.claim(failed).await;
    let hour = Duration::from_secs(3600);
    let retry = Retry { after: hour, error: "503".to_owned(), code: FailureCode::Answered(503), counts: true };
    assert!(jobs.retry(&claimed.job, &retry).await.expect("an answer"));

    let waits = fixture.job(held).await;
    let attempt = waits.attempts.last().expect("an attempt");
    assert_eq!((waits.state, waits.failures, waits.worker), (JobState::Retryable, 0, None));
    assert_eq!((attempt.outcome, attempt.code.as_deref()), (Some(AttemptOutcome::Released), Some("user-paused")));
    let claim = fixture.try_claim(held, "worker", hour).await;
    assert!(matches!(claim, Claim::NotDue { run_at } if run_at > waits.created_at + hour * 20), "{claim:?}");

    let resuming = jobs.resume_held(owner);
    assert_eq!(fixture.profiling(resuming).await.expect("resumed"), 1);
    for command in fixture.profiled().await {
        let explained = fixture.explain(&command).await;
        assert!(explained.stages.iter().all(|stage| stage != "COLLSCAN"), "{explained:?} of {command}");
    }
    assert_eq!(jobs.resume_held(owner).await.expect("an answer"), 0);
    assert_eq!(fixture.claim(held).await.job.failures, 0);
    for job in [failed, of_other] {
        assert!(matches!(fixture.try_claim(job, "worker", hour).await, Claim::NotDue { .. }));
    }
}
