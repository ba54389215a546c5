//! How far an upload is, and the codes of what became of it.

use std::time::Duration;

use messages::JobId;
use mongodb::bson::{Document, doc};
use serde_json::{Value, json};
use store::{Claim, Rescue, StoredMedia, UploadPosition};
use testkit::{Leftovers, ends, jpeg, mp4};

use super::JOBS;
use crate::support::{Member, World, submit};

const LEASE: Duration = Duration::from_secs(60);

/// The number of the attempt that holds the job now.
async fn claim(world: &World, id: JobId) -> u32 {
    let claim = ends::claim(world.env.store(), id, "host-7", LEASE, &Rescue::LeaseExpired).await;
    let Claim::Claimed(claimed) = claim else { panic!("{claim:?}") };
    claimed.attempt
}

/// A job alone and in the list, which say the same of a field.
async fn both(member: &Member, id: JobId, field: &str) -> Value {
    let alone = member.client.get(&format!("{JOBS}/{id}")).await.expect(200).data()[field].clone();
    let list = member.client.get(JOBS).await.expect(200);
    let jobs = list.data().as_array().expect("an array");
    let listed = jobs.iter().find(|job| job["id"] == id.to_string()).expect("the job");
    assert_eq!(listed[field], alone, "{field}");
    alone
}

#[tokio::test]
async fn an_upload_shows_how_many_bytes_the_media_host_has_acknowledged() {
    let world = World::start().await;
    let member = world.member().await;
    let answer = submit(&member.client, "film.mp4", &mp4(5_000)).await.expect(202);
    let id: JobId = answer.job(0).parse().expect("an id");
    let progress = |acknowledged: u64| json!({"acknowledgedBytes": acknowledged, "totalBytes": 5_000});
    assert_eq!(both(&member, id, "progress").await, progress(0));
    let attempt = claim(&world, id).await;
    for acknowledged_bytes in [2_000, 4_000, 1_000] {
        let position = UploadPosition { upload_id: "u".to_owned(), acknowledged_bytes, chunk_size: 1_000, begun: 1 };
        world.env.store().jobs().note_progress(id, attempt, LEASE, &position).await.expect("noted");
        assert_eq!(both(&member, id, "progress").await, progress(acknowledged_bytes));
    }
    let stored = StoredMedia {
        url: "https://res.example.com/film.mp4".to_owned(),
        version: 1,
        asset_id: "a".to_owned(),
        width: None,
        height: None,
        format: None,
        duration: None,
    };
    let outcome = ends::complete_upload(world.env.store(), id, attempt, stored).await.expect("completed");
    for file in outcome.files {
        world.env.spool().remove(file).await.expect("removed");
    }
    assert_eq!(both(&member, id, "progress").await, progress(5_000));

    // What the job does not say its asset does, beside the job.
    let jobs = world.env.database().collection::<Document>("jobs");
    let forget = doc! { "$unset": { "source": "", "upload": "" } };
    jobs.update_one(doc! { "_id": id.to_string() }, forget).await.expect("changed");
    let alone = member.client.get(&format!("{JOBS}/{id}")).await.expect(200);
    assert_eq!(alone.data()["progress"], progress(5_000));
    let list = member.client.get(JOBS).await.expect(200);
    assert_eq!(list.data()[0]["progress"], json!({"acknowledgedBytes": null, "totalBytes": null}));
    let other = doc! { "$set": { "kind": "media.delete.v1" } };
    jobs.update_one(doc! { "_id": id.to_string() }, other).await.expect("changed");
    assert_eq!(both(&member, id, "progress").await, Value::Null, "it uploads nothing");
    world.work_off_and_end().await;
}

#[tokio::test]
async fn a_discarded_job_has_a_code_beside_its_reason_and_a_superseded_one_too() {
    let world = World::start().await;
    let member = world.member().await;
    let answer = submit(&member.client, "a.jpg", &jpeg(2_000)).await.expect(202);
    let id: JobId = answer.job(0).parse().expect("an id");
    assert_eq!(both(&member, id, "code").await, Value::Null);
    let attempt = claim(&world, id).await;
    ends::discard_upload(world.env.store(), id, attempt, "Invalid image file").await.expect("discarded");
    assert_eq!(both(&member, id, "reason").await, "Invalid image file");
    assert_eq!(both(&member, id, "code").await, "refused");
    let alone = member.client.get(&format!("{JOBS}/{id}")).await.expect(200);
    let last = &alone.data()["attempts"][0];
    assert_eq!(
        (&last["outcome"], &last["code"], &last["status"]),
        (&json!("discarded"), &json!("refused"), &Value::Null)
    );

    let older = member.client.replace_avatar(jpeg(2_000)).await.expect(202);
    member.client.replace_avatar(jpeg(2_000)).await.expect(202);
    let older: JobId = older.job(0).parse().expect("an id");
    assert_eq!(both(&member, older, "state").await, "cancelled");
    assert_eq!(both(&member, older, "code").await, "superseded");
    let worker = world.env.worker().await;
    world.api.stop().await;
    world.env.finish_with(Leftovers { files: 1, ..Leftovers::default() }).await;
    drop(worker);
}
