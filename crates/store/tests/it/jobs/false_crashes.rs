//! What looks like the crash of a worker and is none: a job is discarded as the cause of crashes for real ones only.

use std::time::Duration;

use bson::{Document, doc};
use messages::JobId;
use mongodb::options::ClientOptions;
use mongodb::{ClientSession, Database};
use store::{AttemptOutcome, Claim, ClaimRequest, Error, JobState, Pace, Rescue, Wish, subscribers};
use tokio::time::sleep;

use crate::ends::Ends;
use crate::support::{CRASHES, Fixture, LEASE, assert_state, claimed, request, uri};

/// Writes to a job in a transaction, as somebody who died before the commit: until it ends, nobody else can write to that job.
async fn locked(database: &Database, job: JobId) -> ClientSession {
    let mut session = database.client().start_session().await.expect("a session");
    session.start_transaction().await.expect("a transaction");
    let update = doc! { "$set": { "hold": 1 } };
    let jobs = database.collection::<Document>("jobs");
    let written = jobs.update_one(doc! { "_id": job.to_string() }, update).session(&mut session).await;
    assert_eq!(written.expect("written").matched_count, 1);
    session
}

/// Claims a job as a worker does: again, while the database does not answer.
async fn insist(fixture: &Fixture, job: JobId, worker: &str, lease: Duration) -> Claim {
    loop {
        let request = ClaimRequest { lease, ..request(worker, &Rescue::LeaseExpired) };
        match fixture.store.jobs().claim(job, &request).await {
            Err(Error::Unavailable(_)) => {}
            answer => return answer.expect("an answer"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn claims_that_wait_for_the_transaction_of_a_dead_worker_count_one_crash() {
    let fixture = Fixture::new().await;
    let job = fixture.media_job().await.id;
    fixture.crash(job).await;
    let mut dead = locked(&fixture.raw, job).await;

    // When the second one asks, the lease would have run out that the first has asked for and not been given.
    let lease = Duration::from_secs(3);
    let second = async {
        sleep(lease + Duration::from_millis(200)).await;
        insist(&fixture, job, "second", lease).await
    };
    let end = async {
        sleep(lease + Duration::from_millis(400)).await;
        dead.abort_transaction().await.expect("the server has noticed");
    };
    let (first, second, ()) = tokio::join!(insist(&fixture, job, "first", lease), second, end);
    let answers = [first, second];
    let of = |kind: fn(&Claim) -> bool| answers.iter().filter(|answer| kind(answer)).count();
    let (taken, busy) =
        (of(|answer| matches!(answer, Claim::Claimed(_))), of(|answer| matches!(answer, Claim::Busy { .. })));
    assert_eq!((taken, busy), (1, 1), "{answers:?}");
    let job = fixture.job(job).await;
    assert_state(&job, JobState::Running);
    assert_eq!((job.attempt, job.crashes), (2, 1), "{job:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_program_that_is_gone_has_locked_can_be_let_go_of() {
    let fixture = Fixture::new().await;
    let (job, other) = (fixture.media_job().await.id, fixture.media_job().await.id);
    let mut options = ClientOptions::parse(uri()).await.expect("an address");
    options.app_name = Some("gone".to_owned());
    let gone = mongodb::Client::with_options(options).expect("a client").database(fixture.raw.name());
    let mut dead = locked(&gone, job).await;
    let mut living = locked(&fixture.raw, other).await;
    assert_eq!(fixture.store.end_transactions_of("nobody").await.expect("an answer"), 0);
    assert_eq!(fixture.store.end_transactions_of("gone").await.expect("an answer"), 1);
    fixture.claim(job).await;
    assert!(dead.commit_transaction().await.is_err(), "it was ended");
    living.commit_transaction().await.expect("nobody has touched it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_nobody_waits_for_any_more_is_not_made() {
    let patience = Duration::from_secs(1);
    let fixture = Fixture::without_indexes(|config| config.timeout = patience).await;
    let job = fixture.media_job().await.id;
    let mut dead = locked(&fixture.raw, job).await;
    let claim = fixture.store.jobs().claim(job, &request("hasty", &Rescue::LeaseExpired)).await;
    assert!(matches!(claim, Err(Error::Unavailable(_))), "{claim:?}");

    sleep(patience / 4).await;
    dead.abort_transaction().await.expect("the server has noticed");
    sleep(patience / 2).await;
    let job = fixture.job(job).await;
    assert_eq!((job.attempt, job.worker), (0, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_for_a_job_of_its_own_has_not_vanished() {
    let fixture = Fixture::new().await;
    let job = fixture.media_job().await.id;
    claimed(fixture.try_claim(job, "forgetful", Duration::ZERO).await);
    sleep(Duration::from_millis(5)).await;
    for _ in 0..CRASHES {
        let again = fixture.try_claim(job, "forgetful", LEASE).await;
        assert!(matches!(again, Claim::Busy { ref worker, .. } if worker == "forgetful"), "{again:?}");
    }
    let held = fixture.job(job).await;
    assert_eq!((held.attempt, held.crashes), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_was_thought_to_have_vanished_takes_its_crash_back_and_no_other() {
    let fixture = Fixture::new().await;
    let job = fixture.media_job().await.id;
    fixture.crash(job).await;
    let stopped = fixture.job(job).await.worker.expect("a worker");
    fixture.crash(job).await;
    let killed = fixture.job(job).await.worker.expect("a worker");
    claimed(fixture.take_over(job, "third", &killed).await);
    assert_eq!(fixture.job(job).await.crashes, 2);

    assert!(!fixture.store.jobs().retract_crash(job, "third").await.expect("an answer"), "nobody has said so of it");
    assert!(fixture.store.jobs().retract_crash(job, &stopped).await.expect("an answer"));
    assert!(!fixture.store.jobs().retract_crash(job, &stopped).await.expect("an answer"), "once");
    let held = fixture.job(job).await;
    assert_eq!((held.state, held.attempt, held.crashes), (JobState::Running, 3, 1));
    let outcomes: Vec<_> = held.attempts.iter().map(|attempt| attempt.outcome).collect();
    assert_eq!(outcomes, [Some(AttemptOutcome::Released), Some(AttemptOutcome::Crashed), None]);
    let codes: Vec<_> = held.attempts.iter().map(|attempt| attempt.code.as_deref()).collect();
    assert_eq!(codes, [Some("worker-absent"), Some("worker-crashed"), None]);

    // The fence stands: it may not record anything.
    let late = fixture.store.discard(job, 1, "too late", true).await;
    assert!(matches!(late, Err(Error::Fenced)), "{late:?}");
    // And one more crash is not the last.
    let next = fixture.take_over(job, "fourth", "third").await;
    assert_eq!(claimed(next).job.crashes, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn counts_are_right_although_their_recompute_was_discarded() {
    let fixture = Fixture::new().await;
    let (channel, fan) = (fixture.user().await, fixture.user().await);
    fixture.store.channels().subscribe(fan, channel, Wish::Subscribed).await.expect("subscribed");
    let job = fixture.store.counters().request(&subscribers(channel)).await.expect("an answer").expect("a job").id;
    let attempt = fixture.claim(job).await.attempt;
    fixture.store.discard(job, attempt, "its workers vanished", true).await.expect("discarded");

    // The change still waits to be counted, and nothing is in the way of the next recompute.
    let intents: Document = doc! {};
    assert_eq!(fixture.collection("subscription_intents").count_documents(intents).await.expect("a count"), 1);
    assert_eq!(fixture.store.counters().due().await.expect("an answer"), [subscribers(channel)]);
    fixture.recompute(channel, &Pace::default()).await;
    assert_eq!(fixture.counts(channel).await.subscribers_count, 1);
}
