//! Uploads that are nobody's avatar, their list, and the jobs behind them.

use serde_json::{Value, json};
use testkit::{jpeg, mp4};

use crate::support::{MEDIA, World, assert_accepted, assert_refused, submit};

#[tokio::test]
async fn a_submitted_file_is_answered_with_its_asset_and_job() {
    let world = World::start().await;
    let member = world.member().await;
    let answer = submit(&member.client, "holiday.mp4", &mp4(5_000)).await;
    assert_accepted(&answer, 202);
    let asset = answer.data();
    let id = asset["_id"].as_str().unwrap_or_default();
    assert_eq!((&asset["state"], &asset["originalName"]), (&json!("pending"), &json!("holiday.mp4")));
    assert_eq!((&asset["bytes"], &asset["contentType"]), (&json!(5_000), &json!("video/mp4")));
    assert!(asset["url"].as_str().is_some_and(|url| url.ends_with(&format!("{MEDIA}/{id}.mp4"))), "{asset}");
    let job = &asset["jobs"][0];
    assert_eq!((&job["kind"], &job["state"]), (&json!("media.upload.v1"), &json!("pending")));
    assert_eq!(asset["job"]["url"], job["url"]);
    assert_eq!(answer.header("location"), job["url"].as_str().unwrap_or_default());

    let shown = member.client.get(&format!("/api/v1/jobs/{}", answer.job(0))).await;
    assert_accepted(&shown, 200);
    assert_eq!((&shown.data()["id"], &shown.data()["asset"]), (&job["id"], &asset["_id"]));
    assert_eq!((&shown.data()["attempt"], &shown.data()["attempts"]), (&json!(0), &json!([])));
    assert_eq!((&shown.data()["links"]["self"], &shown.data()["links"]["asset"]), (&job["url"], &asset["url"]));
    world.work_off_and_end().await;
}

#[tokio::test]
async fn a_list_is_paged_newest_first_and_holds_only_ones_own() {
    let world = World::start().await;
    let (member, stranger) = (world.member().await, world.member().await);
    let empty = member.client.get(MEDIA).await;
    assert_accepted(&empty, 200);
    assert_eq!(
        *empty.data(),
        json!({
            "docs": [], "totalDocs": 0, "limit": 10, "page": 1, "totalPages": 1, "pagingCounter": 1,
            "hasPrevPage": false, "hasNextPage": false, "prevPage": null, "nextPage": null,
        })
    );
    let mut ids = Vec::new();
    for number in 0..5 {
        let answer = submit(&member.client, &format!("{number}.jpg"), &jpeg(2_000)).await.expect(202);
        ids.insert(0, answer.data()["_id"].clone());
    }
    submit(&stranger.client, "theirs.jpg", &jpeg(2_000)).await.expect(202);

    let all = member.client.get(MEDIA).await;
    assert_eq!(ids_of(all.data()), ids);
    let second = member.client.get(&format!("{MEDIA}/?page=2&limit=2&query=&sortBy=createdAt")).await;
    let page = second.data();
    assert_eq!(ids_of(page), ids[2..4]);
    for (field, value) in [
        ("totalDocs", json!(5)),
        ("limit", json!(2)),
        ("page", json!(2)),
        ("totalPages", json!(3)),
        ("pagingCounter", json!(3)),
        ("hasPrevPage", json!(true)),
        ("hasNextPage", json!(true)),
        ("prevPage", json!(1)),
        ("nextPage", json!(3)),
    ] {
        assert_eq!(page[field], value, "{field}");
    }
    let beyond = member.client.get(&format!("{MEDIA}?page=9&limit=2")).await.expect(200);
    assert_eq!((ids_of(beyond.data()).len(), &beyond.data()["hasNextPage"]), (0, &json!(false)));
    assert_eq!(beyond.data()["prevPage"], 8, "as mongoose-aggregate-paginate-v2 has it");
    let capped = member.client.get(&format!("{MEDIA}?limit=1000000")).await.expect(200);
    assert_eq!(capped.data()["limit"], 100);
    let far = member.client.get(&format!("{MEDIA}?page=18446744073709551615")).await;
    assert_accepted(&far, 200);
    // An empty value is none.
    let defaults = member.client.get(&format!("{MEDIA}?page=&limit=")).await.expect(200);
    assert_eq!((&defaults.data()["page"], &defaults.data()["limit"]), (&json!(1), &json!(10)));
    world.work_off_and_end().await;
}

fn ids_of(listing: &Value) -> Vec<Value> {
    listing["docs"].as_array().into_iter().flatten().map(|asset| asset["_id"].clone()).collect()
}

#[tokio::test]
async fn a_page_or_limit_that_is_no_number_is_422_and_named() {
    let world = World::start().await;
    let member = world.member().await;
    for (query, field) in [
        ("page=0", "page"),
        ("page=-1", "page"),
        ("page=abc", "page"),
        ("page=1.5", "page"),
        ("page=99999999999999999999", "page"),
        ("page[$gt]=1&page=x", "page"),
        ("limit=0", "limit"),
        ("limit=-5", "limit"),
        ("limit=1e3", "limit"),
        ("limit=%00", "limit"),
        ("page=1&page=2", "page"),
        ("limit=%ff", "limit"),
    ] {
        let answer = member.client.get(&format!("{MEDIA}?{query}")).await;
        assert_eq!(answer.status, 422, "{query}: {}", answer.body);
        assert_refused(&answer, 422, &[field]);
    }
    world.end().await;
}

#[tokio::test]
async fn a_job_of_somebody_else_is_as_unknown_as_one_that_does_not_exist() {
    let world = World::start().await;
    let (member, stranger) = (world.member().await, world.member().await);
    let job = submit(&member.client, "a.jpg", &jpeg(2_000)).await.expect(202).job(0);
    let theirs = stranger.client.get(&format!("/api/v1/jobs/{job}")).await;
    assert_refused(&theirs, 404, &[]);
    let unknown = stranger.client.get("/api/v1/jobs/0197a0a0-0000-7000-8000-000000000000").await;
    assert_eq!(unknown.body, theirs.body);
    for id in ["1", "xyz", "%ff", "0123456789abcdef01234567"] {
        assert_refused(&stranger.client.get(&format!("/api/v1/jobs/{id}")).await, 422, &["id"]);
    }
    world.work_off_and_end().await;
}

#[tokio::test]
async fn a_job_shows_its_attempts_and_the_end_of_it() {
    let world = World::start().await;
    let member = world.member().await;
    let job = submit(&member.client, "a.jpg", &jpeg(2_000)).await.expect(202).job(0);
    let worker = world.env.worker().await;
    let done = member.client.wait_for_job(&job, &["completed"]).await;
    assert_eq!((&done["attempt"], &done["attempts"][0]["number"]), (&json!(1), &json!(1)), "{done}");
    assert_eq!((&done["attempts"][0]["outcome"], &done["attempts"][0]["error"]), (&json!("completed"), &Value::Null));
    assert_ne!(done["finishedAt"], Value::Null);
    world.end().await;
    drop(worker);
}
