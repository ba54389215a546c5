//! Dead letters, seen and replayed by an admin.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use messages::{Envelope, Payload, UploadMedia, topology};
use reqwest::Method;
use serde_json::{Value, json};
use store::AdminRole;
use testkit::{Leftovers, TestEnv, jpeg};

use super::{assert_guarded, nothing};
use crate::support::{World, assert_refused, submit};

const DEAD: &str = "/api/v1/admin/dead-letters";

/// The queue of uploads.
fn queue(world: &World) -> String {
    UploadMedia::QUEUE.of(world.env.spool().id())
}

async fn publish(world: &World, exchange: &str, routing_key: &str, headers: Value, body: &[u8]) {
    let message = json!({"properties": {"delivery_mode": 2, "headers": headers}, "routing_key": routing_key,
                         "payload": BASE64_STANDARD.encode(body), "payload_encoding": "base64"});
    let path = format!("/api/exchanges/{}/{exchange}/publish", world.env.name());
    let answer = world.env.host().send(Method::POST, &path, Some(message)).await;
    assert_eq!(answer["routed"], true, "{answer}");
}

/// Lets a worker park a message that it cannot read.
async fn park(world: &World, body: &[u8]) {
    let before = world.env.dead_letters().await.len();
    let worker = world.env.worker().await;
    TestEnv::until("the worker is ready", async || worker.readiness().ready).await;
    publish(world, topology::JOBS_EXCHANGE, &queue(world), json!({}), body).await;
    TestEnv::until("it is parked", async || world.env.dead_letters().await.len() == before + 1).await;
    worker.shutdown(std::future::pending()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_listed_and_shown_in_whole_and_stay() {
    let world = World::start().await;
    let reader = world.admin(AdminRole::ReadOnly).await.client;
    let empty = reader.get(DEAD).await.expect(200);
    assert_eq!(empty.data(), &json!({"items": [], "total": 0}));
    let noise: Vec<u8> = (0..100_000_u32).map(|number| (number * 31 % 251) as u8).collect();
    park(&world, &noise).await;
    let listed = reader.get(DEAD).await.expect(200);
    let letter = &listed.data()["items"][0];
    assert_eq!(
        (&listed.data()["total"], &letter["bytes"], &letter["kind"]),
        (&json!(1), &json!(100_000), &Value::Null)
    );
    assert!(
        letter["diedAt"].is_string() && letter["reason"].as_str().is_some_and(|why| why.contains("not an envelope"))
    );

    let path = format!("{DEAD}/{}", letter["id"].as_str().expect("an id"));
    let shown = reader.get(&path).await.expect(200).data().clone();
    assert_eq!((&shown["encoding"], &shown["isCut"]), (&json!("base64"), &json!(true)));
    let body = BASE64_STANDARD.decode(shown["body"].as_str().expect("a body")).expect("base64");
    assert_eq!(body, noise[..64 * 1024]);
    assert!(
        shown["outside"].as_array().is_some_and(|outside| outside.iter().any(|one| one["name"] == "x-steep-queue"))
    );
    assert_refused(&reader.get(&format!("{DEAD}/0123456789ab")).await, 404, &[]);
    assert_refused(&reader.get(&format!("{DEAD}?limit=0")).await, 422, &["limit"]);
    world.api.stop().await;
    world.env.finish_with(Leftovers { dead_letters: 1, ..Leftovers::default() }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_that_died_by_mistake_is_replayed_and_one_that_nobody_reads_is_left() {
    let world = World::start().await;
    let (admin, member) = (world.admin(AdminRole::Full).await.client, world.member().await);
    park(&world, b"noise").await;
    let job = submit(&member.client, "a.jpg", &jpeg(2_000)).await.expect(202).job(0);
    let record = world.env.store().jobs().find(job.parse().expect("an id")).await.expect("an answer").expect("a job");
    let envelope = Envelope::new(record.id, record.job().expect("a known kind"), None);
    let headers = json!({"x-steep-reason": "there is no such job", "x-steep-queue": queue(&world)});
    publish(&world, topology::DEAD_EXCHANGE, "", headers, &envelope.encode()).await;
    let letters = admin.get(DEAD).await.expect(200).data()["items"].clone();
    let of = |kind: Value| {
        let found = letters.as_array().expect("a list").iter().find(|letter| letter["kind"] == kind).expect("a letter");
        format!("{DEAD}/{}/replay", found["id"].as_str().expect("an id"))
    };
    let (noise, mistake) = (of(Value::Null), of(json!("media.upload.v1")));
    for path in [mistake.as_str(), &format!("{DEAD}/replay")] {
        assert_guarded(&world, &admin, Method::POST, path, &json!({"all": true})).await;
    }
    assert_eq!(world.env.dead_letters().await.len(), 2);

    let replayed = admin.post(&mistake, &nothing()).await.expect(200);
    assert_eq!(replayed.data(), &json!({"replayed": 1, "left": 0, "hasMore": false}));
    let entry = world.last_entry(&admin).await;
    assert_eq!((&entry["action"], &entry["count"]), (&json!("dead-letter.replay"), &json!(1)));
    assert_refused(&admin.post(&mistake, &nothing()).await, 404, &[]);
    let refused = admin.post(&noise, &nothing()).await;
    assert_refused(&refused, 409, &[]);
    assert_eq!(world.last_entry(&admin).await["outcome"], "failed");

    for body in [nothing(), json!({"all": false}), json!({"all": null})] {
        assert_refused(&admin.post(&format!("{DEAD}/replay"), &body).await, 422, &["all"]);
    }
    let all = admin.post(&format!("{DEAD}/replay"), &json!({"all": true})).await.expect(200);
    assert_eq!(all.data(), &json!({"replayed": 0, "left": 1, "hasMore": false}));
    let worker = world.env.worker().await;
    member.client.wait_for_job(&job, &["completed"]).await;
    world.api.stop().await;
    world.env.finish_with(Leftovers { dead_letters: 1, ..Leftovers::default() }).await;
    drop(worker);
}
