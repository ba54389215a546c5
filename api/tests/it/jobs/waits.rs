//! Why a job waits.

use std::time::Duration;

use mongodb::bson::{DateTime, Document, doc};
use serde_json::{Value, json};
use store::{Claim, FailureCode, Rescue, Retry};
use testkit::{ends, jpeg};

use super::{BEGIN, JOBS, id_of, job_of};
use crate::support::{Member, World, submit};

const LEASE: Duration = Duration::from_secs(60);

async fn job(member: &Member, id: &str) -> Value {
    member.client.get(&format!("{JOBS}/{id}")).await.expect(200).data().clone()
}

#[tokio::test]
async fn a_job_that_failed_says_until_when_it_waits_and_why() {
    let world = World::start().await;
    let member = world.member().await;
    let answer = submit(&member.client, "a.jpg", &jpeg(2_000)).await.expect(202);
    let id = answer.job(0).parse().expect("an id");
    for (code, because, name, status) in [
        (FailureCode::Answered(420), "the media host answered 420", "media-host-rate-limited", json!(420)),
        (FailureCode::Unreachable, "the media host did not answer", "media-host-unreachable", Value::Null),
    ] {
        let claim = ends::claim(world.env.store(), id, "host-7", LEASE, &Rescue::LeaseExpired).await;
        let Claim::Claimed(claimed) = claim else { panic!("{claim:?}") };
        let error = "https://internal.example.com/v1 said so".to_owned();
        let retry = Retry { after: Duration::from_secs(3600), error, code, counts: true };
        assert!(world.env.store().jobs().retry(&claimed.job, &retry).await.expect("recorded"));

        let job = job(&member, &answer.job(0)).await;
        let waits = &job["waits"];
        assert_eq!((&waits["code"], &waits["until"]), (&json!("retry"), &job["runAt"]));
        assert_eq!((&waits["cause"], &waits["status"]), (&json!(name), &status));
        let time = &job["runAt"].as_str().expect("a time")[11..19];
        let reason = waits["reason"].as_str().expect("a sentence");
        assert!(
            reason.starts_with("waits until ") && reason.ends_with(&format!("{time} UTC because {because}")),
            "{reason}"
        );
        assert_eq!((&waits["running"], &waits["ahead"]), (&Value::Null, &Value::Null));
        let attempt = job["attempts"].as_array().and_then(|attempts| attempts.last()).expect("an attempt");
        assert_eq!((&attempt["code"], &attempt["status"], &attempt["error"]), (&json!(name), &status, &json!(because)));
        assert!(!job.to_string().contains("internal"), "{job}");

        // Due, it waits for its turn as any other.
        let due = DateTime::from_millis(BEGIN);
        let change = doc! { "$set": { "runAt": due, "dueAt": due } };
        let jobs = world.env.database().collection::<Document>("jobs");
        jobs.update_one(doc! { "_id": answer.job(0) }, change).await.expect("changed");
        assert_eq!(self::job(&member, &answer.job(0)).await["waits"]["code"], "turn");
    }
    world.work_off_and_end().await;
}

#[tokio::test]
async fn a_job_that_waits_for_its_turn_says_what_is_before_it() {
    let world = World::start().await;
    let (member, stranger) = (world.member().await, world.member().await);
    let waiting = job_of(&member, 1_000, doc! {});
    world.insert_jobs(std::slice::from_ref(&waiting)).await;
    let alone = job(&member, &id_of(&waiting)).await["waits"].clone();
    assert_eq!(alone["reason"], "no job of yours runs, none is ahead of it");

    let far = DateTime::from_millis(4_000_000_000_000);
    let running = |number| job_of(&member, number, doc! { "state": "running", "leaseUntil": far });
    let mut jobs: Vec<Document> = (0..3).map(running).collect();
    jobs.push(job_of(&stranger, 10, doc! { "state": "running", "leaseUntil": far }));
    jobs.extend((0..4).map(|number| job_of(&stranger, 20 + number, doc! {})));
    jobs.push(job_of(&member, 30, doc! { "state": "pending" }));
    jobs.push(job_of(&stranger, 40, doc! { "queue": "media.upload.there" }));
    jobs.push(job_of(&member, 2_000, doc! {}));
    world.insert_jobs(&jobs).await;
    let waits = job(&member, &id_of(&waiting)).await["waits"].clone();
    let expected = json!({
        "reason": "3 jobs of yours run, 5 are ahead of it", "code": "turn", "until": null, "cause": null, "status": null,
        "running": {"count": 3, "more": false}, "ahead": {"count": 5, "more": false},
    });
    assert_eq!(waits, expected);
    assert_eq!(job(&member, &id_of(&jobs[0])).await["waits"], Value::Null, "it runs");

    let many: Vec<Document> = (0..200).map(|number| job_of(&stranger, 100 + number, doc! {})).collect();
    world.insert_jobs(&many).await;
    let waits = job(&member, &id_of(&waiting)).await["waits"].clone();
    assert_eq!(waits["reason"], "3 jobs of yours run, more than 100 are ahead of it");
    assert_eq!(waits["ahead"], json!({"count": 100, "more": true}));
    world.forget_jobs_and_end().await;
}

#[tokio::test]
async fn a_job_whose_worker_does_not_answer_waits_for_another_one_and_one_that_has_ended_for_nothing() {
    let world = World::start().await;
    let member = world.member().await;
    let lost = doc! { "state": "running", "worker": "host-7", "leaseUntil": DateTime::from_millis(BEGIN) };
    let lost = job_of(&member, 0, lost);
    let done = job_of(&member, 1, doc! { "state": "completed" });
    world.insert_jobs(&[lost.clone(), done.clone()]).await;
    let shown = job(&member, &id_of(&lost)).await;
    assert_eq!(shown["waits"]["code"], "worker");
    assert_eq!(shown["waits"]["reason"], "waits for another worker because the one that ran it does not answer");
    assert!(!shown.to_string().contains("host-7"), "{shown}");
    assert_eq!(job(&member, &id_of(&done)).await["waits"], Value::Null);
    world.forget_jobs_and_end().await;
}
