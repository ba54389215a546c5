//! What is before a job that waits for its turn.

use std::time::Duration;

use bson::oid::ObjectId;
use bson::{DateTime, doc};
use messages::JobId;
use store::{Counted, JobRecord, JobState, Line};

use crate::support::{Fixture, LEASE, claimed};

fn exactly(count: u64) -> Counted {
    Counted { count, more: false }
}

async fn line(fixture: &Fixture, job: &JobRecord) -> Line {
    fixture.store.jobs().line(job).await.expect("an answer")
}

/// Lets a job be due so much earlier than it was.
async fn earlier(fixture: &Fixture, job: JobId, by: Duration) {
    let by = i64::try_from(by.as_millis()).expect("milliseconds");
    let change = vec![doc! { "$set": { "runAt": { "$subtract": ["$runAt", by] } } }];
    fixture.collection("jobs").update_one(doc! { "_id": job.to_string() }, change).await.expect("changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn those_that_run_are_the_owners_and_those_ahead_are_anybodys_of_the_same_queue() {
    let fixture = Fixture::new().await;
    let (owner, other) = (fixture.user().await, fixture.user().await);
    let waiting = fixture.submit(owner).await;
    assert_eq!(line(&fixture, &waiting).await, Line::default());

    // Two of the owner's run, and one of somebody else's.
    for user in [owner, owner, other] {
        let job = fixture.submit(user).await;
        earlier(&fixture, job.id, LEASE).await;
        claimed(fixture.try_claim(job.id, "worker", LEASE).await);
    }
    // One is ahead that is published, and one that is not; one comes later, and one is of another queue.
    let [published, unpublished, elsewhere] = [(); 3].map(|()| fixture.submit(other));
    let (published, unpublished, elsewhere) = (published.await, unpublished.await, elsewhere.await);
    for job in [&published, &unpublished, &elsewhere] {
        earlier(&fixture, job.id, LEASE).await;
    }
    fixture.store.jobs().mark_queued(&[published.id]).await.expect("marked");
    let change = doc! { "$set": { "queue": "media.upload.there" } };
    fixture.collection("jobs").update_one(doc! { "_id": elsewhere.id.to_string() }, change).await.expect("changed");
    fixture.submit(owner).await;
    assert_eq!(line(&fixture, &waiting).await, Line { running: exactly(2), ahead: exactly(2) });

    // Running jobs of another kind take no place of it.
    let change = doc! { "$set": { "kind": "media.delete.v1" } };
    let of_owner = doc! { "owner": ObjectId::from_bytes(owner.bytes()), "state": JobState::Running.as_str() };
    fixture.collection("jobs").update_one(of_owner, change).await.expect("changed");
    assert_eq!(line(&fixture, &waiting).await.running, exactly(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_line_is_counted_to_a_hundred_and_by_an_index() {
    let fixture = Fixture::new().await;
    let owner = fixture.user().await;
    let template = fixture.submit(owner).await;
    let collection = fixture.collection("jobs");
    let found = collection.find_one(doc! { "_id": template.id.to_string() }).await;
    let template = found.expect("an answer").expect("a job");
    let begin = template.get_datetime("runAt").expect("a time").timestamp_millis();
    let copy = |number: i64, state: JobState| {
        let mut copy = template.clone();
        let at = DateTime::from_millis(begin + number);
        copy.extend(doc! { "_id": JobId::new().to_string(), "state": state.as_str(), "runAt": at });
        copy
    };
    let running = (1..=150).map(|number| copy(-number, JobState::Running));
    let queued = (1..=300).map(|number| copy(number, JobState::Queued));
    fixture.collection("jobs").insert_many(running.chain(queued)).await.expect("inserted");

    let hundred = Counted { count: 100, more: true };
    for (place, ahead) in [(1, exactly(1)), (100, exactly(100)), (101, hundred), (300, hundred)] {
        let at = doc! { "state": JobState::Queued.as_str(), "runAt": DateTime::from_millis(begin + place) };
        let found = fixture.collection("jobs").find_one(at).await.expect("an answer").expect("a job");
        let job = fixture.job(found.get_str("_id").expect("an id").parse().expect("a job's id")).await;
        let counted = fixture.profiling(line(&fixture, &job)).await;
        assert_eq!(counted, Line { running: hundred, ahead }, "at {place}");
        for command in fixture.profiled().await {
            let explained = fixture.explain(&command).await;
            assert!(explained.stages.iter().all(|stage| stage != "COLLSCAN"), "{explained:?} of {command}");
            // Those that run are passed on the way; an explanation may count one thing at two of its stages.
            assert!(explained.keys_examined <= 2 * 260, "{explained:?} of {command}");
        }
    }
}
