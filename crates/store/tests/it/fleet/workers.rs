//! Signs of life.

use bson::doc;
use messages::JobId;
use store::{RunningJob, Sign, SlotsOf, SpoolFill, WorkerPosition, WorkerState};

use crate::support::Fixture;

pub fn sign(name: &str) -> Sign {
    Sign {
        name: name.to_owned(),
        version: "0.1.0".to_owned(),
        host: "$host".to_owned(),
        spool: "here".to_owned(),
        draining: false,
        slots: vec![SlotsOf { kind: "media.upload.v1".to_owned(), slots: 4, used: 1 }],
        running: Vec::new(),
        clock_offset_ms: Some(-3),
        spool_fill: Some(SpoolFill { files: 2, bytes: 300, free_bytes: Some(1 << 40) }),
    }
}

/// Lets a worker's last sign of life have been so long ago.
async fn silence(fixture: &Fixture, name: &str, milliseconds: i64) {
    let change = vec![doc! { "$set": { "lastSign": { "$subtract": ["$$NOW", milliseconds] } } }];
    fixture.collection("workers").update_one(doc! { "_id": name }, change).await.expect("changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_is_known_by_its_last_sign_of_life_until_it_vanishes_or_says_that_it_ends() {
    let fixture = Fixture::new().await;
    let workers = fixture.store.workers();
    assert_eq!(workers.find("one").await.expect("an answer"), None);
    let mut one = sign("one");
    workers.sign(&one).await.expect("signed");
    let first = workers.find("one").await.expect("an answer").expect("a worker");
    assert_eq!((first.state(), first.host.as_str(), first.spool.as_str()), (WorkerState::Alive, "$host", "here"));
    assert_eq!((&first.slots, first.clock_offset_ms, first.spool_fill), (&one.slots, Some(-3), one.spool_fill));
    assert_eq!((first.since, first.left_at), (first.last_sign, None));

    one.draining = true;
    let job = |_| RunningJob { job: JobId::new(), kind: "media.upload.v1".to_owned(), since: first.since };
    one.running = (0..120).map(job).collect();
    one.clock_offset_ms = None;
    workers.sign(&one).await.expect("signed");
    let second = workers.find("one").await.expect("an answer").expect("a worker");
    assert_eq!((second.state(), second.since, second.clock_offset_ms), (WorkerState::Draining, first.since, None));
    assert!(second.last_sign >= first.last_sign);
    assert_eq!((second.running.as_slice(), second.running_count), (&one.running[..100], 120));

    silence(&fixture, "one", 19_000).await;
    assert!(workers.find("one").await.expect("an answer").expect("a worker").lives());
    silence(&fixture, "one", 21_000).await;
    let silent = workers.find("one").await.expect("an answer").expect("a worker");
    assert_eq!((silent.state(), silent.lives()), (WorkerState::Vanished, false));
    // It was cut off, and comes back.
    workers.sign(&sign("one")).await.expect("signed");
    assert_eq!(workers.find("one").await.expect("an answer").expect("a worker").state(), WorkerState::Alive);
    workers.leave(&sign("one")).await.expect("signed");
    let left = workers.find("one").await.expect("an answer").expect("a worker");
    assert_eq!((left.state(), left.since), (WorkerState::Left, first.since));
    assert!(left.left_at.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_are_listed_in_parts_the_latest_first_and_those_that_left_only_if_asked_for() {
    let fixture = Fixture::new().await;
    let workers = fixture.store.workers();
    for name in ["a", "b", "c", "d", "e"] {
        workers.sign(&sign(name)).await.expect("signed");
    }
    // Two that started at the same moment.
    let at = workers.find("c").await.expect("an answer").expect("a worker").since;
    let same = doc! { "$set": { "since": bson::DateTime::from(at) } };
    fixture.collection("workers").update_one(doc! { "_id": "b" }, same).await.expect("changed");
    workers.leave(&sign("d")).await.expect("signed");
    for (left, expected) in [(false, &["e", "c", "b", "a"][..]), (true, &["e", "d", "c", "b", "a"])] {
        for limit in [1, 2, 5] {
            let (mut seen, mut after): (Vec<String>, Option<WorkerPosition>) = (Vec::new(), None);
            loop {
                let page = workers.list(left, after.as_ref(), limit).await.expect("a part");
                seen.extend(page.items.into_iter().map(|worker| worker.name));
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
            // Those of one millisecond are in the order of their names.
            assert_eq!(seen.len(), expected.len(), "{seen:?}");
            assert_eq!(
                seen.iter().position(|name| name == "c").map(|c| c + 1),
                seen.iter().position(|name| name == "b")
            );
            assert!(expected.iter().all(|name| seen.iter().any(|seen| seen == name)), "{seen:?}");
        }
    }
    let present = workers.present().await.expect("a list");
    assert_eq!(present.len(), 4);
    assert!(present.is_sorted_by(|later, earlier| later.last_sign >= earlier.last_sign));
}
