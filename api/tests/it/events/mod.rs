//! Streams of events.

mod limits;
mod losses;
mod states;

use mongodb::bson::{Document, doc, oid::ObjectId};
use testkit::{EventStream, Wire, jpeg};

use crate::support::{Member, World, submit};

const EVENTS: &str = "/api/v1/events";
/// Ten times that is more than the api and the system keep of one stream.
const LONG: usize = 200_000;

fn of_job(id: &str) -> String {
    format!("/api/v1/jobs/{id}/events")
}

/// Submits a picture and answers its job.
async fn upload(member: &Member) -> String {
    submit(&member.client, "a.jpg", &jpeg(2_000)).await.expect(202).job(0)
}

/// Opens a stream of all that becomes of somebody's jobs.
async fn follow(member: &Member) -> EventStream {
    member.client.follow(EVENTS, None).await.expect("a stream")
}

/// A world in which a job of a member's was uploaded, by a worker that has ended.
async fn with_a_completed_job(world: &World, member: &Member) -> String {
    let worker = world.env.worker().await;
    let job = upload(member).await;
    member.client.wait_for_job(&job, &["completed"]).await;
    worker.shutdown(std::future::pending()).await;
    job
}

/// A client that was accepted, and reads nothing from then on.
async fn silent(member: &Member) -> Wire {
    let mut silent = Wire::open(&member.client).await;
    silent.head("GET", EVENTS, &[]).await;
    assert!(silent.read_on(b"HTTP/1.1 200".len()).await, "hung up");
    silent
}

/// Changes all jobs of a member's, to something long.
async fn change(world: &World, member: &Member) {
    let jobs = world.env.database().collection::<Document>("jobs");
    let set = doc! { "$set": { "reason": "x".repeat(LONG), "updatedAt": "$$NOW" } };
    let owner = doc! { "owner": ObjectId::from_bytes(member.id.bytes()) };
    jobs.update_many(owner, vec![set]).await.expect("changed");
}
