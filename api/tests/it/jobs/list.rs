//! `GET /api/v1/jobs`.

use mongodb::bson::{DateTime, Document, doc};
use serde_json::{Value, json};
use testkit::{jpeg, mp4};

use super::{BEGIN, DELETE, JOBS, UPLOAD, id_of, job_of};
use crate::support::{Member, World, assert_accepted, assert_refused, submit};

/// A part of a list: the ids, and the cursor of the next one.
async fn part(member: &Member, query: &str) -> (Vec<String>, Option<String>) {
    let answer = member.client.get(&format!("{JOBS}?{query}")).await;
    assert_accepted(&answer, 200);
    let jobs = answer.data().as_array().expect("an array");
    let ids = jobs.iter().map(|job| job["id"].as_str().expect("an id").to_owned()).collect();
    (ids, answer.body["nextCursor"].as_str().map(str::to_owned))
}

/// A list to its end.
async fn whole(member: &Member, filters: &str, limit: usize) -> Vec<String> {
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let (ids, next) = part(member, &format!("{filters}&limit={limit}&cursor={cursor}")).await;
        assert!(ids.len() <= limit, "{ids:?}");
        seen.extend(ids);
        match next {
            Some(next) => cursor = next,
            None => return seen,
        }
    }
}

/// By time and then by id.
fn newest_first(jobs: &[Document]) -> Vec<String> {
    let mut jobs: Vec<_> =
        jobs.iter().map(|job| (*job.get_datetime("createdAt").expect("a time"), id_of(job))).collect();
    jobs.sort();
    jobs.into_iter().rev().map(|(_, id)| id).collect()
}

#[tokio::test]
async fn a_list_is_read_in_parts_newest_first_and_holds_only_ones_own() {
    let world = World::start().await;
    let (member, stranger) = (world.member().await, world.member().await);
    let empty = member.client.get(JOBS).await;
    assert_accepted(&empty, 200);
    assert_eq!((empty.data(), &empty.body["nextCursor"]), (&json!([]), &Value::Null));

    // Four of one moment each.
    let jobs: Vec<Document> = (0..50).map(|number| job_of(&member, number / 4, doc! {})).collect();
    let theirs: Vec<Document> = (0..50).map(|number| job_of(&stranger, number / 4, doc! {})).collect();
    world.insert_jobs(&jobs).await;
    world.insert_jobs(&theirs).await;
    for limit in [1, 3, 50, 100] {
        assert_eq!(whole(&member, "", limit).await, newest_first(&jobs), "{limit} at once");
    }
    assert_eq!(whole(&stranger, "", 7).await, newest_first(&theirs));
    let (ids, next) = part(&member, "limit=&cursor=&state=&kind=&asset=").await;
    assert_eq!((ids.len(), next.is_some()), (20, true), "unless it is told how many");
    let (ids, next) = part(&member, "limit=1000000").await;
    assert_eq!((ids.len(), next), (50, None));
    world.forget_jobs_and_end().await;
}

#[tokio::test]
async fn a_list_takes_filters_by_state_kind_and_asset_each_with_several_values() {
    let world = World::start().await;
    let member = world.member().await;
    let mut jobs = Vec::new();
    for kind in [UPLOAD, DELETE] {
        for state in ["pending", "running", "completed", "discarded"] {
            let at = i64::try_from(jobs.len()).expect("few");
            jobs.push(job_of(&member, at, doc! { "kind": kind, "state": state }));
        }
    }
    world.insert_jobs(&jobs).await;
    let asset = |index: usize| jobs[index].get_object_id("asset").expect("an asset").to_hex();
    let chosen = |indexes: &[usize]| {
        let chosen: Vec<Document> = indexes.iter().map(|index| jobs[*index].clone()).collect();
        newest_first(&chosen)
    };
    for (filters, indexes) in [
        ("state=running".to_owned(), &[1, 5][..]),
        ("state=running&state=discarded".to_owned(), &[1, 3, 5, 7]),
        ("state=running,discarded".to_owned(), &[1, 3, 5, 7]),
        (format!("kind={DELETE}"), &[4, 5, 6, 7]),
        (format!("kind={DELETE}&state=completed,queued"), &[6]),
        (format!("asset={}", asset(2)), &[2]),
        (format!("asset={},{}", asset(2), asset(5)), &[2, 5]),
        (format!("asset={},{}&state=running", asset(2), asset(5)), &[5]),
        ("state=cancelled".to_owned(), &[]),
    ] {
        for limit in [1, 10] {
            assert_eq!(whole(&member, &filters, limit).await, chosen(indexes), "{filters}");
        }
    }
    world.forget_jobs_and_end().await;
}

#[tokio::test]
async fn a_cursor_of_another_list_is_422_and_named() {
    let world = World::start().await;
    let (member, stranger) = (world.member().await, world.member().await);
    let jobs: Vec<Document> = (0..4).map(|number| job_of(&member, number, doc! { "state": "running" })).collect();
    world.insert_jobs(&jobs).await;
    let (_, all) = part(&member, "limit=1").await;
    let (_, running) = part(&member, "limit=1&state=running").await;
    let (all, running) = (all.expect("more"), running.expect("more"));
    part(&member, &format!("state=running,running&limit=3&cursor={running}")).await;
    for (client, query) in [
        (&member, format!("cursor={running}")),
        (&member, format!("cursor={all}&state=running")),
        (&member, format!("cursor={running}&state=running,queued")),
        (&member, format!("cursor={running}&state=running&kind={UPLOAD}")),
        (&stranger, format!("cursor={all}")),
        // One of a list of subscriptions.
        (&member, "cursor=0000018bcfe5680065a1b2c3d4e5f60718293a01".to_owned()),
        (&member, "cursor=last".to_owned()),
        (&member, format!("cursor={}", "0".repeat(64))),
        (&member, format!("cursor={}", &all[..63])),
        (&member, format!("cursor={all}&cursor={all}")),
    ] {
        let answer = client.client.get(&format!("{JOBS}?{query}")).await;
        assert_eq!(answer.status, 422, "{query}: {}", answer.body);
        assert_refused(&answer, 422, &["cursor"]);
    }
    let place = format!("/api/v1/subscriptions/c/{}?cursor={all}", member.id);
    assert_refused(&member.client.get(&place).await, 422, &["cursor"]);
    world.forget_jobs_and_end().await;
}

#[tokio::test]
async fn a_filter_with_nonsense_is_422_and_named() {
    let world = World::start().await;
    let member = world.member().await;
    for (query, field) in [
        ("state=sleeping", "state"),
        ("state=running,RUNNING", "state"),
        ("state=%00", "state"),
        ("state=running&state[$ne]=x&state={}", "state"),
        ("kind=media", "kind"),
        ("kind=media.upload.v1,%ff", "kind"),
        ("asset=1", "asset"),
        ("asset=undefined", "asset"),
        ("asset=65a1b2c3d4e5f60718293a01,x", "asset"),
        ("limit=0", "limit"),
        ("limit=1&limit=2", "limit"),
    ] {
        let answer = member.client.get(&format!("{JOBS}?{query}")).await;
        assert_eq!(answer.status, 422, "{query}: {}", answer.body);
        assert_refused(&answer, 422, &[field]);
    }
    assert_refused(&world.api.get(JOBS).await, 401, &[]);
    world.end().await;
}

#[tokio::test]
async fn a_listed_job_is_what_it_shows_alone_without_what_takes_room() {
    let world = World::start().await;
    let member = world.member().await;
    let first = submit(&member.client, "a.jpg", &jpeg(2_000)).await.expect(202);
    let second = submit(&member.client, "film.mp4", &mp4(3_000)).await.expect(202);
    let listed = member.client.get(JOBS).await.expect(200);
    let listed = listed.data().as_array().expect("an array");
    assert_eq!(listed.len(), 2, "{listed:?}");
    for (listed, answer) in listed.iter().zip([second, first]) {
        let mut alone = member.client.get(&format!("{JOBS}/{}", answer.job(0))).await.expect(200).data().clone();
        let fields = alone.as_object_mut().expect("a job");
        for left_out in ["attempts", "waits", "processing"] {
            assert!(fields.remove(left_out).is_some(), "{left_out} of {fields:?}");
        }
        // A message may be confirmed in between.
        for changing in ["state", "updatedAt"] {
            fields.insert(changing.to_owned(), listed[changing].clone());
        }
        assert_eq!(listed, &alone);
    }
    world.work_off_and_end().await;
}

#[tokio::test]
async fn jobs_of_an_earlier_release_are_listed_too() {
    let world = World::start().await;
    let member = world.member().await;
    let attempt = doc! { "number": 1_i64, "worker": "a", "startedAt": DateTime::from_millis(BEGIN),
    "endedAt": DateTime::from_millis(BEGIN), "outcome": "discarded", "error": "no" };
    let ended = doc! { "state": "discarded", "attempt": 1_i64, "attempts": [attempt], "reason": "no" };
    let old = job_of(&member, 0, ended);
    world.insert_jobs(std::slice::from_ref(&old)).await;
    let listed = member.client.get(JOBS).await.expect(200);
    let job = &listed.data()[0];
    assert_eq!((&job["id"], &job["reason"], &job["code"]), (&json!(id_of(&old)), &json!("no"), &Value::Null));
    assert_eq!(job["progress"], json!({"acknowledgedBytes": 0, "totalBytes": null}));
    let alone = member.client.get(&format!("{JOBS}/{}", id_of(&old))).await.expect(200);
    let attempt = &alone.data()["attempts"][0];
    assert_eq!(
        (&attempt["outcome"], &attempt["code"], &attempt["status"]),
        (&json!("discarded"), &Value::Null, &Value::Null)
    );
    assert_eq!((&alone.data()["waits"], &alone.data()["code"]), (&Value::Null, &Value::Null));
    world.forget_jobs_and_end().await;
}
