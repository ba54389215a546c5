//! How those who run the system find jobs.

use std::collections::BTreeSet;

use bson::oid::ObjectId;
use bson::{DateTime, Document, doc};
use messages::{AssetId, EventMessage, Job, JobId, UserId};
use store::{Counted, ErrorGroupId, JobPosition, JobRecord, JobState, Role, Search};
use time::OffsetDateTime;

use crate::ends::Ends;
use crate::support::{Explained, Fixture, first, stored, upload};

/// When the oldest job of a test was made.
const BEGIN: i64 = 1_700_000_000_000;
const WORKERS: [&str; 3] = ["worker-1", "worker-2", "worker-3"];
const QUEUES: [&str; 7] = [
    "media.upload",
    "media.upload.here",
    "media.upload.there",
    "media.delete",
    "webhook.deliver",
    "no.such.queue",
    "media.upload.nowhere",
];

/// Numbers that look random and are the same each time.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).expect("a small number") % limit
    }

    fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }

    /// Each with this chance, of a hundred.
    fn some<T: Clone + Ord>(&mut self, of: &[T], chance: usize) -> BTreeSet<T> {
        of.iter().filter(|_| self.below(100) < chance).cloned().collect()
    }
}

/// What the jobs of a test are about.
struct World {
    owners: Vec<UserId>,
    assets: Vec<AssetId>,
    groups: Vec<ErrorGroupId>,
}

impl World {
    fn new() -> Self {
        Self {
            owners: (0..3).map(|_| store::new_user_id()).collect(),
            assets: (0..5).map(|_| store::new_asset_id()).collect(),
            groups: ["0123456789abcdef", "fedcba9876543210"].map(|group| group.parse().expect("a group")).into(),
        }
    }

    /// A job that is no more than a search needs, accepted at one of so many moments.
    fn job(&self, numbers: &mut Numbers, moments: usize, states: &[JobState]) -> Document {
        let (kind, queue) = *numbers.one(Job::QUEUES);
        let queue = match queue.per_spool {
            true => format!("{}.{}", queue.name, numbers.one(&["here", "there"])),
            false => queue.name.to_owned(),
        };
        let state = *numbers.one(states);
        let at = DateTime::from_millis(BEGIN + i64::try_from(numbers.below(moments)).expect("a time"));
        let attempts = (1_i64..).zip(numbers.some(&WORKERS, 40)).map(|(number, worker)| {
            doc! { "number": number, "worker": worker, "startedAt": at }
        });
        let mut job = doc! {
            "_id": JobId::new().to_string(),
            "kind": kind,
            "data": {},
            "queue": queue,
            "state": state.as_str(),
            "attempt": 0_i64, "failures": 0_i64, "crashes": 0_i64, "maxAttempts": 150_i64,
            "runAt": at,
            "attempts": attempts.collect::<Vec<_>>(),
            "createdAt": at,
            "updatedAt": at,
        };
        job.insert(if state.is_finished() { "finishedAt" } else { "dueAt" }, at);
        if numbers.below(10) < 8 {
            job.insert("owner", ObjectId::from_bytes(numbers.one(&self.owners).bytes()));
        }
        if numbers.below(10) < 2 {
            job.insert("asset", ObjectId::from_bytes(numbers.one(&self.assets).bytes()));
        }
        if numbers.below(10) < 3 {
            job.insert("errorGroup", numbers.one(&self.groups).to_string());
        }
        job
    }

    fn search(&self, numbers: &mut Numbers, moments: usize) -> Search {
        let mut search = Search::default();
        let kinds: Vec<String> = Job::KINDS.iter().map(|kind| (*kind).to_owned()).collect();
        let time = |number: usize| {
            let at = BEGIN + i64::try_from(number).expect("a time");
            OffsetDateTime::from(DateTime::from_millis(at))
        };
        if numbers.below(2) == 0 {
            search.states = numbers.some(&JobState::ALL, 30);
        }
        if numbers.below(3) == 0 {
            search.kinds = numbers.some(&kinds, 30);
        }
        let mut maybe = |chance: usize| numbers.below(100) < chance;
        let (queue, owner, group, worker, asset, from, until) =
            (maybe(20), maybe(35), maybe(15), maybe(25), maybe(10), maybe(15), maybe(15));
        search.queue = queue.then(|| (*numbers.one(&QUEUES)).to_owned());
        search.owner = owner.then(|| *numbers.one(&self.owners));
        search.error_group = group.then(|| *numbers.one(&self.groups));
        search.worker = worker.then(|| (*numbers.one(&WORKERS)).to_owned());
        search.asset = asset.then(|| *numbers.one(&self.assets));
        search.from = from.then(|| time(numbers.below(moments)));
        search.until = until.then(|| time(numbers.below(moments)));
        search
    }
}

/// Whether a job fits, by looking at it.
fn fits(job: &Document, search: &Search) -> bool {
    let text = |field: &str| job.get_str(field).unwrap_or_default().to_owned();
    let id = |field: &str| job.get_object_id(field).ok();
    let at = OffsetDateTime::from(*job.get_datetime("createdAt").expect("a time"));
    let of_queue = |queue: &String| {
        let has = Job::QUEUES.iter().any(|(_, of)| of.name == queue && of.per_spool);
        text("queue") == *queue || (has && text("queue").starts_with(&format!("{queue}.")))
    };
    let of_worker = |worker: &String| {
        let attempts = job.get_array("attempts").expect("attempts").iter();
        attempts.filter_map(|attempt| attempt.as_document()?.get_str("worker").ok()).any(|of| of == worker)
    };
    (search.states.is_empty() || search.states.iter().any(|state| text("state") == state.as_str()))
        && (search.kinds.is_empty() || search.kinds.contains(&text("kind")))
        && search.queue.as_ref().is_none_or(of_queue)
        && search.owner.is_none_or(|owner| id("owner") == Some(ObjectId::from_bytes(owner.bytes())))
        && search.error_group.is_none_or(|group| text("errorGroup") == group.to_string())
        && search.worker.as_ref().is_none_or(of_worker)
        && search.asset.is_none_or(|asset| id("asset") == Some(ObjectId::from_bytes(asset.bytes())))
        && search.from.is_none_or(|from| at >= from)
        && search.until.is_none_or(|until| at < until)
}

/// By time and then by id, whatever the ids tell.
fn newest_first<'a>(jobs: impl Iterator<Item = &'a Document>) -> Vec<String> {
    let key = |job: &&Document| {
        (
            job.get_datetime("createdAt").expect("a time").timestamp_millis(),
            job.get_str("_id").expect("an id").to_owned(),
        )
    };
    let mut keys: Vec<_> = jobs.map(|job| key(&job)).collect();
    keys.sort();
    keys.into_iter().rev().map(|(_, id)| id).collect()
}

/// Reads what is found to its end, in parts of this size. Also in how many.
async fn parts(fixture: &Fixture, wanted: &Search, limit: u32) -> (Vec<JobRecord>, usize) {
    let (mut seen, mut after, mut number): (Vec<JobRecord>, Option<JobPosition>, usize) = (Vec::new(), None, 0);
    loop {
        let page = fixture.store.jobs().search(wanted, after.as_ref(), limit).await.expect("a part");
        number += 1;
        assert!(page.items.len() <= limit as usize);
        assert_eq!(page.searched_to.is_some(), page.next.is_some() && page.items.len() < limit as usize, "{wanted:?}");
        seen.extend(page.items);
        if let (Some(before), Some(next)) = (&after, &page.next) {
            let order = |at: &JobPosition| (at.created_at, at.id.to_string());
            assert!(order(next) < order(before), "no way on: {wanted:?}");
        }
        after = page.next;
        if after.is_none() {
            return (seen, number);
        }
    }
}

fn ids(jobs: &[JobRecord]) -> Vec<String> {
    jobs.iter().map(|job| job.id.to_string()).collect()
}

/// Compares searches with a look at all jobs.
async fn compare(states: &[JobState], number: usize, searches: usize, limits: &[u32]) {
    let (fixture, world, mut numbers) = (Fixture::new().await, World::new(), Numbers(7));
    // Often several at one moment.
    let moments = number / 3;
    let jobs: Vec<Document> = (0..number).map(|_| world.job(&mut numbers, moments, states)).collect();
    fixture.collection("jobs").insert_many(&jobs).await.expect("inserted");
    let mut found = 0;
    for _ in 0..searches {
        let wanted = world.search(&mut numbers, moments);
        let expected = newest_first(jobs.iter().filter(|job| fits(job, &wanted)));
        let (listed, _) = parts(&fixture, &wanted, *numbers.one(limits)).await;
        assert_eq!(ids(&listed), expected, "{wanted:?}");
        let cap = u64::try_from(*numbers.one(&[1, 10, 10_000])).expect("a number");
        let all = u64::try_from(expected.len()).expect("a number");
        let counted = fixture.store.jobs().count(&wanted, cap).await.expect("a count");
        assert!(counted.count <= all.min(cap), "{counted:?} of {all} of {wanted:?}");
        if !counted.more {
            assert_eq!(counted.count, all, "{wanted:?}");
        }
        // As many as it may count are counted, if it need not look at too many documents.
        if number <= 2_000 {
            assert_eq!(counted, Counted { count: all.min(cap), more: all > cap }, "{wanted:?}");
        }
        found += expected.len();
    }
    assert!(found > number, "{found}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_asked_for_is_found_in_order_without_a_gap_or_a_repetition_and_counted() {
    compare(&JobState::ALL, 300, 150, &[1, 3, 7, 50, 1_000]).await;
}

/// More unfinished jobs than are looked at at once, and more of everything than one part looks at.
#[tokio::test(flavor = "multi_thread")]
async fn it_is_found_also_where_a_part_cannot_look_at_everything() {
    let states = [JobState::Retryable, JobState::Retryable, JobState::Queued, JobState::Running, JobState::Completed];
    compare(&states, 2_600, 60, &[20, 100, 1_000]).await;
}

/// Whether the server has looked at little. `few`: it may sort, as it has only few to sort.
fn assert_bounded(command: &Document, explained: &Explained, wanted: &Search, few: bool) {
    let says = || format!("{explained:?} of {wanted:?}: {command}");
    assert!(explained.stages.iter().any(|stage| stage == "IXSCAN" || stage == "COUNT_SCAN"), "{}", says());
    assert!(explained.stages.iter().all(|stage| stage != "COLLSCAN"), "{}", says());
    assert!(few || explained.stages.iter().all(|stage| stage != "SORT"), "{}", says());
    // An explanation may count one thing at two of its stages.
    assert!(explained.docs_examined <= 2 * 2_100, "{}", says());
    assert!(explained.keys_examined <= 2 * 2_100, "{}", says());
}

#[tokio::test(flavor = "multi_thread")]
async fn no_search_and_no_count_looks_at_more_than_a_bounded_number_of_jobs() {
    let (fixture, world, mut numbers) = (Fixture::new().await, World::new(), Numbers(11));
    let number = 9_000;
    let jobs = (0..number).map(|_| world.job(&mut numbers, number, &JobState::ALL));
    let jobs: Vec<Document> = jobs
        .map(|mut job| {
            job.remove("asset");
            job
        })
        .collect();
    for jobs in jobs.chunks(1_000) {
        fixture.collection("jobs").insert_many(jobs).await.expect("inserted");
    }
    let (owner, group) = (Some(world.owners[0]), Some(world.groups[0]));
    let worker = Some(WORKERS[0].to_owned());
    let states = |states: &[JobState]| states.iter().copied().collect::<BTreeSet<_>>();
    let kinds = BTreeSet::from(["webhook.deliver.v1".to_owned()]);
    let none = Search::default();
    let from = Some(OffsetDateTime::from(DateTime::from_millis(BEGIN + 10)));
    let queue = |queue: &str| Some(queue.to_owned());
    for wanted in [
        none.clone(),
        Search { from, until: from.map(|from| from + std::time::Duration::from_secs(3)), ..none.clone() },
        Search { states: states(&[JobState::Completed]), ..none.clone() },
        Search { states: states(&[JobState::Running]), ..none.clone() },
        Search { states: states(&[JobState::Discarded, JobState::Retryable]), kinds: kinds.clone(), ..none.clone() },
        Search { kinds: kinds.clone(), from, ..none.clone() },
        Search { queue: queue("media.upload"), ..none.clone() },
        Search { queue: queue("media.upload.here"), ..none.clone() },
        Search { queue: queue("media.upload.nowhere"), ..none.clone() },
        Search { queue: queue("no.such.queue"), ..none.clone() },
        Search { owner, ..none.clone() },
        Search { owner, states: states(&[JobState::Completed, JobState::Running]), ..none.clone() },
        Search { owner, kinds: kinds.clone(), worker: worker.clone(), ..none.clone() },
        Search { worker: worker.clone(), ..none.clone() },
        Search { worker: Some("nobody".to_owned()), ..none.clone() },
        Search { worker, queue: queue("media.upload.there"), from, ..none.clone() },
        Search { error_group: group, ..none.clone() },
        Search { error_group: group, owner, states: states(&[JobState::Cancelled]), ..none },
    ] {
        // The first parts, and those at the end.
        for begin in [None, Some(BEGIN + 700)] {
            let mut after = begin.map(|at| {
                let created_at = OffsetDateTime::from(DateTime::from_millis(at));
                JobPosition { created_at, id: JobId::new() }
            });
            for _ in 0..3 {
                let searching = fixture.store.jobs().search(&wanted, after.as_ref(), 20);
                after = fixture.profiling(searching).await.expect("a part").next;
                for command in fixture.profiled().await {
                    let text = command.get_document("command").expect("it").to_string();
                    // What is sorted when it is found is looked at only if it is few.
                    let few = text.contains("dueAt");
                    assert_bounded(&command, &fixture.explain(&command).await, &wanted, few);
                }
                if after.is_none() {
                    break;
                }
            }
        }
        let counting = fixture.store.jobs().count(&wanted, 2_000);
        fixture.profiling(counting).await.expect("a count");
        for command in fixture.profiled().await {
            assert_bounded(&command, &fixture.explain(&command).await, &wanted, false);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_counted_by_an_index_alone_reads_no_document() {
    let (fixture, world, mut numbers) = (Fixture::new().await, World::new(), Numbers(3));
    let jobs: Vec<Document> = (0..600).map(|_| world.job(&mut numbers, 600, &JobState::ALL)).collect();
    fixture.collection("jobs").insert_many(jobs).await.expect("inserted");
    let none = Search::default();
    for wanted in [
        none.clone(),
        Search { states: BTreeSet::from([JobState::Completed, JobState::Queued]), ..none.clone() },
        Search { owner: Some(world.owners[0]), ..none.clone() },
        Search { error_group: Some(world.groups[0]), ..none },
    ] {
        let counting = fixture.store.jobs().count(&wanted, 10_000);
        assert!(fixture.profiling(counting).await.expect("a count").count > 0);
        for command in fixture.profiled().await {
            let explained = fixture.explain(&command).await;
            assert_eq!(explained.docs_examined, 0, "{explained:?} of {wanted:?}: {command}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_that_stops_looking_says_how_far_it_has_looked() {
    let fixture = Fixture::new().await;
    let (world, mut numbers) = (World::new(), Numbers(5));
    let rare = |at: i64, queue: &str, numbers: &mut Numbers| {
        let mut job = world.job(numbers, 1, &[JobState::Completed]);
        let at = DateTime::from_millis(BEGIN + at);
        job.extend(doc! { "queue": queue, "kind": "media.upload.v1", "createdAt": at });
        job
    };
    // The oldest of 800 is the only one of its queue.
    let mut jobs: Vec<Document> = (1..800).map(|at| rare(at, "media.upload.here", &mut numbers)).collect();
    jobs.push(rare(0, "media.upload.there", &mut numbers));
    fixture.collection("jobs").insert_many(&jobs).await.expect("inserted");
    let wanted = Search { queue: Some("media.upload.there".to_owned()), ..Search::default() };
    let first = fixture.store.jobs().search(&wanted, None, 20).await.expect("a part");
    let looked_to = OffsetDateTime::from(DateTime::from_millis(BEGIN + 300));
    assert_eq!((first.items, first.searched_to), (Vec::new(), Some(looked_to)));
    let second = fixture.store.jobs().search(&wanted, first.next.as_ref(), 20).await.expect("a part");
    assert_eq!((second.items.len(), second.next, second.searched_to), (1, None, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_job_has_brought_about_is_found_with_other_jobs_of_its_asset() {
    let fixture = Fixture::new().await;
    let owner = fixture.user().await;
    let (old_job, old) = first(&fixture.replace_avatar(owner).await);
    let attempt = fixture.claim(old_job).await.attempt;
    fixture.store.complete_upload(old_job, attempt, old, stored(old)).await.expect("completed");
    let new = upload(Role::Avatar);
    fixture.store.media().replace_image(owner, new.clone(), None).await.expect("accepted");
    let attempt = fixture.claim(new.job).await.attempt;
    let ended = fixture.store.complete_upload(new.job, attempt, new.asset, stored(new.asset)).await.expect("completed");
    let deletion = ended.follow_ups.first().expect("a deletion").id;

    let around = fixture.store.jobs().around(&fixture.job(new.job).await).await.expect("an answer");
    let events: Vec<_> = around.events.iter().map(|event| (event.id, event.kind.as_str())).collect();
    let told = ended.events.iter().map(|EventMessage { id, event }| (*id, event.kind()));
    assert_eq!(events, told.collect::<Vec<_>>());
    assert!(!events.is_empty() && around.events.iter().all(|event| !event.is_published()), "{around:?}");
    assert_eq!(around.follow_ups.iter().map(|job| job.id).collect::<Vec<_>>(), [deletion]);
    assert_eq!(around.of_asset, []);
    let around = fixture.store.jobs().around(&fixture.job(deletion).await).await.expect("an answer");
    assert_eq!(around.of_asset.iter().map(|job| job.id).collect::<Vec<_>>(), [old_job]);
    assert_eq!((around.events.len(), around.follow_ups.len()), (0, 0));

    fixture.store.events().mark_published(&[ended.events[0].id]).await.expect("noted");
    let around = fixture.store.jobs().around(&fixture.job(new.job).await).await.expect("an answer");
    assert!(around.events[0].is_published());
}
