//! Everybody's jobs and what they failed in, as admins see them.

use std::time::Duration;

use mongodb::bson::{Document, doc};
use serde_json::{Value, json};
use store::{AdminRole, Rescue};
use testkit::{Client, Leftovers, jpeg};

use crate::jobs::{DELETE, id_of, job_of};
use crate::support::{World, assert_refused, submit};

const JOBS: &str = "/api/v1/admin/jobs";
const ERRORS: &str = "/api/v1/admin/errors";

fn items(answer: &testkit::Answer) -> Vec<String> {
    let items = answer.data()["items"].as_array().expect("a list");
    items.iter().map(|item| item["id"].as_str().expect("an id").to_owned()).collect()
}

/// What is found, to its end.
async fn whole(admin: &Client, filters: &str, limit: usize) -> Vec<String> {
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let part = admin.get(&format!("{JOBS}?{filters}&limit={limit}&cursor={cursor}")).await.expect(200);
        seen.extend(items(&part));
        match part.data()["nextCursor"].as_str() {
            Some(next) => cursor = next.to_owned(),
            None => return seen,
        }
    }
}

#[tokio::test]
async fn jobs_of_everybody_are_found_by_what_is_known_of_them_and_counted() {
    let world = World::start().await;
    let admin = world.admin(AdminRole::ReadOnly).await.client;
    let (grace, ada) = (world.member().await, world.member().await);
    let attempt = |worker: &str| {
        let at = mongodb::bson::DateTime::from_millis(crate::jobs::BEGIN);
        let error = doc! { "error": "no answer", "code": "media-host-unreachable", "outcome": "retry" };
        let mut attempt = doc! { "number": 1_i64, "worker": worker, "startedAt": at, "endedAt": at };
        attempt.extend(error);
        vec![attempt]
    };
    let group = "0123456789abcdef";
    let jobs: Vec<Document> = vec![
        job_of(&grace, 1, doc! { "state": "completed" }),
        job_of(&ada, 2, doc! { "state": "discarded", "errorGroup": group, "attempts": attempt("worker-1") }),
        job_of(&grace, 3, doc! { "state": "running", "queue": "media.upload.there", "attempts": attempt("worker-2") }),
        job_of(&ada, 4, doc! { "state": "retryable", "kind": DELETE, "queue": "media.delete" }),
        job_of(&ada, 5, doc! { "state": "queued", "errorGroup": group }),
    ];
    world.insert_jobs(&jobs).await;
    let asset = jobs[1].get_object_id("asset").expect("an asset").to_hex();
    for (filters, indexes) in [
        (String::new(), &[4, 3, 2, 1, 0][..]),
        ("state=running,discarded".to_owned(), &[2, 1]),
        ("state=running&state=discarded&kind=&queue=".to_owned(), &[2, 1]),
        (format!("kind={DELETE}"), &[3]),
        ("queue=media.upload".to_owned(), &[4, 2, 1, 0]),
        ("queue=media.upload.there".to_owned(), &[2]),
        ("queue=no.such".to_owned(), &[]),
        (format!("user={}", grace.name), &[2, 0]),
        (format!("user={}", ada.id), &[4, 3, 1]),
        (format!("user={}&state=discarded", ada.id), &[1]),
        (format!("errorGroup={group}"), &[4, 1]),
        (format!("errorGroup={group}&state=queued"), &[4]),
        ("worker=worker-1".to_owned(), &[1]),
        ("worker=worker-2&state=running".to_owned(), &[2]),
        (format!("asset={asset}"), &[1]),
        ("from=2023-11-14T22:13:20.003Z".to_owned(), &[4, 3, 2]),
        ("from=2023-11-14T22:13:20.002Z&to=2023-11-14T23:13:20.004%2B01:00".to_owned(), &[2, 1]),
    ] {
        let expected: Vec<String> = indexes.iter().map(|index: &usize| id_of(&jobs[*index])).collect();
        for limit in [1, 100] {
            assert_eq!(whole(&admin, &filters, limit).await, expected, "{filters}");
        }
        let count = admin.get(&format!("{JOBS}/count?{filters}")).await.expect(200).data().clone();
        assert_eq!(count, json!({ "count": expected.len(), "atLeast": false }), "{filters}");
    }
    let found = admin.get(&format!("{JOBS}?worker=worker-1")).await.expect(200).data()["items"][0].clone();
    assert_eq!(found["owner"], json!({ "id": ada.id.to_string(), "username": ada.name }));
    assert_eq!((&found["worker"], &found["error"]), (&json!("worker-1"), &json!("no answer")));
    assert_eq!((&found["errorGroup"], &found["queue"]), (&json!(group), &json!("media.upload.here")));
    world.forget_jobs_and_end().await;
}

#[tokio::test]
async fn a_filter_with_nonsense_and_a_cursor_of_another_list_are_422_and_named() {
    let world = World::start().await;
    let admin = world.admin(AdminRole::ReadOnly).await.client;
    let member = world.member().await;
    let jobs: Vec<Document> = (0..4).map(|at| job_of(&member, at, doc! { "state": "running" })).collect();
    world.insert_jobs(&jobs).await;
    let cursor = async |query: &str| {
        let part = admin.get(&format!("{JOBS}?limit=1&{query}")).await.expect(200);
        part.data()["nextCursor"].as_str().expect("more").to_owned()
    };
    let (all, running) = (cursor("").await, cursor("state=running").await);
    let own = member.client.get("/api/v1/jobs?limit=1").await.expect(200).body["nextCursor"].clone();
    let own = own.as_str().expect("more").to_owned();
    admin.get(&format!("{JOBS}?state=running,running&limit=3&cursor={running}")).await.expect(200);
    for (query, field) in [
        ("state=sleeping".to_owned(), "state"),
        ("kind=media.upload.v9".to_owned(), "kind"),
        ("user=nobody-of-that-name".to_owned(), "user"),
        ("errorGroup=7".to_owned(), "errorGroup"),
        ("asset=7".to_owned(), "asset"),
        ("from=yesterday".to_owned(), "from"),
        ("to=2026-01-02".to_owned(), "to"),
        ("from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z".to_owned(), "to"),
        ("worker=a%00b".to_owned(), "worker"),
        (format!("queue={}", "q".repeat(201)), "queue"),
        ("queue=a&queue=b".to_owned(), "queue"),
        ("stat=running".to_owned(), "stat"),
        ("limit=0".to_owned(), "limit"),
        (format!("cursor={running}"), "cursor"),
        (format!("cursor={all}&state=running"), "cursor"),
        (format!("cursor={own}"), "cursor"),
        ("cursor=nonsense".to_owned(), "cursor"),
    ] {
        assert_refused(&admin.get(&format!("{JOBS}?{query}")).await, 422, &[field]);
        // Which takes no place in a list.
        assert_refused(&admin.get(&format!("{JOBS}/count?{query}")).await, 422, &[field]);
    }
    for query in ["", "q=", "q=%20"] {
        assert_refused(&admin.get(&format!("{JOBS}/search?{query}")).await, 422, &["q"]);
    }
    assert_refused(&admin.get(&format!("{JOBS}/7")).await, 422, &["id"]);
    assert_refused(&admin.get(&format!("{JOBS}/019389a0-0000-7000-8000-000000000001")).await, 404, &[]);
    assert_refused(&admin.get(&format!("{ERRORS}?kind=nonsense")).await, 422, &["kind"]);
    assert_refused(&admin.get(&format!("{ERRORS}?cursor={all}")).await, 422, &["cursor"]);
    assert_refused(&admin.get(&format!("{ERRORS}/7")).await, 422, &["id"]);
    assert_refused(&admin.get(&format!("{ERRORS}/0123456789abcdef")).await, 404, &[]);
    world.forget_jobs_and_end().await;
}

#[tokio::test]
async fn nobody_else_is_told_anything_of_jobs_and_errors() {
    let world = World::start().await;
    let member = world.member().await;
    let job = job_of(&member, 1, doc! {});
    world.insert_jobs(std::slice::from_ref(&job)).await;
    let id = id_of(&job);
    for path in [
        JOBS.to_owned(),
        format!("{JOBS}/{id}"),
        format!("{JOBS}/count"),
        format!("{JOBS}/search?q={id}"),
        ERRORS.to_owned(),
        format!("{ERRORS}/0123456789abcdef"),
    ] {
        assert_refused(&member.client.get(&path).await, 403, &[]);
        assert_refused(&Client::new(world.api.client().url()).get(&path).await, 401, &[]);
    }
    world.forget_jobs_and_end().await;
}

#[tokio::test]
async fn a_job_is_shown_with_all_that_there_is_of_it_and_found_by_any_of_its_ids() {
    let world = World::start().await;
    let admin = world.admin(AdminRole::ReadOnly).await.client;
    let member = world.member().await;
    let accepted = submit(&member.client, "me.jpg", &jpeg(1000)).await.expect(202);
    let (id, asset) = (accepted.job(0), accepted.data()["_id"].clone());
    let waiting = admin.get(&format!("{JOBS}/{id}")).await.expect(200);
    let waiting = waiting.data();
    assert_eq!(waiting["waits"]["reason"], "no job of its owner runs, none is ahead of it");
    assert_eq!((&waiting["asset"], &waiting["about"]["id"]), (&asset, &asset));
    assert_eq!((&waiting["about"]["state"], &waiting["about"]["originalName"]), (&json!("pending"), &json!("me.jpg")));
    assert!(waiting["trace"]["requestId"].is_string(), "{waiting}");
    assert_eq!(waiting["attempts"], json!([]));

    let (store, job) = (world.env.store(), id.parse().expect("an id"));
    let gone = Rescue::LeaseExpired;
    let store::Claim::Claimed(claimed) =
        testkit::ends::claim(store, job, "worker-1", Duration::from_secs(60), &gone).await
    else {
        panic!("not claimed")
    };
    testkit::ends::discard_upload(store, job, claimed.attempt, "the account of 7 is full").await.expect("discarded");
    let shown = admin.get(&format!("{JOBS}/{id}")).await.expect(200);
    let shown = shown.data();
    assert_eq!((&shown["state"], &shown["waits"]), (&json!("discarded"), &Value::Null));
    let attempt = &shown["attempts"][0];
    assert_eq!((&attempt["worker"], &attempt["error"]), (&json!("worker-1"), &json!("the account of 7 is full")));
    assert!(attempt["tookMs"].is_u64() && attempt["waitedMs"].is_u64(), "{attempt}");

    let group = shown["errorGroup"].as_str().expect("a group").to_owned();
    testkit::TestEnv::until("its group is written", async || {
        admin.get(&format!("{ERRORS}/{group}")).await.status.as_u16() == 200
    })
    .await;
    let error = admin.get(&format!("{ERRORS}/{group}")).await.expect(200);
    assert_eq!(error.data()["message"], "the account of <n> is full");
    assert_eq!((&error.data()["count"], &error.data()["example"]["job"]), (&json!(1), &json!(id)));
    let listed = admin.get(&format!("{ERRORS}?kind=media.upload.v1")).await.expect(200);
    assert_eq!(listed.data()["items"], json!([error.data()]));
    let none = admin.get(&format!("{ERRORS}?kind={DELETE}")).await.expect(200);
    assert_eq!((&none.data()["items"], &none.data()["nextCursor"]), (&json!([]), &Value::Null));

    let asset = asset.as_str().expect("an id").to_owned();
    for (text, what, name) in [
        (id.clone(), json!(["job", id]), Value::Null),
        (asset.clone(), json!(["asset", asset]), Value::Null),
        (group.clone(), json!(["errorGroup", group]), Value::Null),
        (member.id.to_string(), json!(["user", member.id.to_string()]), json!(member.name)),
        (member.name.to_uppercase(), json!(["user", member.id.to_string()]), json!(member.name)),
    ] {
        let found = admin.get(&format!("{JOBS}/search?q={text}")).await.expect(200).data().clone();
        assert_eq!((json!([found[0]["what"], found[0]["id"]]), &found[0]["name"]), (what, &name), "{text}");
        assert_eq!(found.as_array().map(Vec::len), Some(1), "{found}");
    }
    let nothing = admin.get(&format!("{JOBS}/search?q=nothing-has-this")).await.expect(200);
    assert_eq!(nothing.data(), &json!([]));
    let worker = world.env.worker().await;
    world.api.stop().await;
    world.env.finish_with(Leftovers { files: 1, ..Leftovers::default() }).await;
    drop(worker);
}
