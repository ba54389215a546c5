//! A majority that takes its time. What is written is there, and nobody may count on it yet.

use std::time::{Duration, Instant};

use bson::doc;
use store::{Claim, JobState, Store};
use testkit::OwnMongoDb;

use super::sharing::{claim_at_once, waiting};
use crate::support::{Fixture, claimed};

/// Has the server wait for the word of so many members, of which it is the only one that there is.
async fn members(fixture: &Fixture, count: usize) {
    let admin = fixture.raw.client().database("admin");
    let found = admin.run_command(doc! { "replSetGetConfig": 1 }).await.expect("an answer");
    let mut config = found.get_document("config").expect("a configuration").clone();
    let members = config.get_array_mut("members").expect("members");
    members.truncate(1);
    if count == 2 {
        members.push(doc! { "_id": 1, "host": "127.0.0.1:1", "priority": 0, "votes": 1 }.into());
    }
    // Without the other it would step down after ten seconds.
    config.get_document_mut("settings").expect("settings").insert("electionTimeoutMillis", 600_000);
    let version = config.get("version").and_then(|version| version.as_i64().or(version.as_i32().map(i64::from)));
    config.insert("version", version.expect("a number") + 1);
    admin.run_command(doc! { "replSetReconfig": config, "force": true }).await.expect("configured");
}

/// How many commands about jobs the server has not answered. What they are is not looked at: it shows only short ones.
async fn unanswered(fixture: &Fixture) -> usize {
    let admin = fixture.raw.client().database("admin");
    let claims = doc! { "currentOp": 1, "op": "command", "ns": format!("{}.jobs", fixture.raw.name()) };
    let found = admin.run_command(claims).await.expect("an answer");
    found.get_array("inprog").expect("operations").len()
}

/// The server says after a second that it has no majority yet. By the token of its claim each of them finds what it has written
/// then, and waits on for the majority alone.
#[tokio::test(flavor = "multi_thread")]
async fn claims_whose_shared_majority_is_late_are_given_once_and_not_before_it_is_there() {
    let mongodb = OwnMongoDb::start();
    let fixture = Fixture::sharing_on(mongodb.server.url()).await;
    let other = Store::connect(&fixture.config).await.expect("a store");
    let jobs = waiting(&fixture, 12).await;
    members(&fixture, 2).await;

    let (store, all) = (fixture.store.clone(), jobs.clone());
    let claims = tokio::spawn(async move { claim_at_once(&store, "worker", &all).await });
    let deadline = Instant::now() + Duration::from_secs(60);
    // Until then at most two: the first of them, and what the others share.
    while unanswered(&fixture).await < jobs.len() {
        assert!(!claims.is_finished(), "without a majority they are told {:?}", claims.await);
        assert!(Instant::now() < deadline, "they wait for their majority together");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // Whoever comes now sees what nobody has confirmed, and waits as well.
    let all = jobs.clone();
    let late = tokio::spawn(async move { claim_at_once(&other, "another", &all).await });
    for id in &jobs {
        let job = fixture.job(*id).await;
        assert_eq!((job.state, job.attempt, job.worker.as_deref()), (JobState::Running, 1, Some("worker")));
    }
    assert!(!claims.is_finished() && !late.is_finished(), "there is no majority");

    members(&fixture, 1).await;
    for (id, claim) in claims.await.expect("no panic") {
        assert_eq!(claimed(claim.expect("an answer")).attempt, 1);
        let job = fixture.job(id).await;
        assert_eq!((job.attempt, job.attempts.len(), job.crashes), (1, 1, 0));
    }
    for (_, claim) in late.await.expect("no panic") {
        let claim = claim.expect("an answer");
        assert!(matches!(&claim, Claim::Busy { worker, .. } if worker == "worker"), "{claim:?}");
    }
}
