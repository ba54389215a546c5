//! What an upload costs the database, by the database's own record.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures_util::{StreamExt, TryStreamExt, stream};
use mongodb::bson::{Document, doc};
use testkit::{Api, Client, TestEnv, jpeg, make_users};

/// Avatars, and media besides.
const EACH: usize = 50;
/// How often at most what is published is noted: by an api, by a worker.
const API_NOTES_EVERY: Duration = Duration::from_millis(50);
const WORKER_NOTES_EVERY: Duration = Duration::from_millis(200);

/// How often the programs of one sort did something, by what and to which collection.
type Statements = BTreeMap<String, usize>;

/// Does something, and says how long that took and what programs whose name begins so asked for meanwhile.
async fn recorded(env: &TestEnv, program: &str, work: impl Future<Output = ()>) -> (Duration, Statements) {
    let record = env.database().collection::<Document>("system.profile");
    record.drop().await.expect("forgotten");
    // The one that the server makes is too small.
    let large = doc! { "create": "system.profile", "capped": true, "size": 64 * 1024 * 1024 };
    env.database().run_command(large).await.expect("made");
    env.database().run_command(doc! { "profile": 2 }).await.expect("profiling");
    let began = Instant::now();
    work.await;
    let took = began.elapsed();
    env.database().run_command(doc! { "profile": 0 }).await.expect("no more");
    let of_program = doc! { "appName": { "$regex": format!("^{program}") } };
    let found: Vec<Document> = record.find(of_program).await.expect("an answer").try_collect().await.expect("all");
    let mut statements = Statements::new();
    for statement in &found {
        *statements.entry(name(statement)).or_default() += 1;
    }
    println!("{program}, {took:?}: {statements:#?}");
    (took, statements)
}

/// What a statement does, such as `find assets`. One of a transaction is told apart, and so is an update of many.
fn name(statement: &Document) -> String {
    let text = |field| statement.get_str(field).unwrap_or_default();
    let collection = text("ns").split_once('.').map_or("", |(_, collection)| collection);
    let command = statement.get_document("command").cloned().unwrap_or_default();
    let verb = match text("op") {
        "query" => "find",
        "command" => command.keys().next().map_or("command", String::as_str),
        "update" if command.get_bool("multi").unwrap_or_default() => "update-many",
        other => other,
    };
    let place = if command.contains_key("autocommit") { " in a transaction" } else { "" };
    format!("{verb} {collection}{place}")
}

fn count(statements: &Statements, name: &str) -> usize {
    statements.get(name).copied().unwrap_or(0)
}

/// How often something is done in a time that is done so often at most: at its beginning and its end besides.
fn at_most(took: Duration, every: Duration) -> usize {
    usize::try_from(took.as_millis() / every.as_millis()).expect("not for ever") + 2
}

async fn jobs(env: &TestEnv, filter: Document) -> usize {
    let jobs = env.database().collection::<Document>("jobs").count_documents(filter).await.expect("a count");
    usize::try_from(jobs).expect("few")
}

async fn until_jobs(env: &TestEnv, filter: Document, expected: usize) {
    TestEnv::until("the jobs are there", async || jobs(env, filter.clone()).await == expected).await;
}

async fn until_events_are_noted(env: &TestEnv) {
    let events = env.database().collection::<Document>("events");
    let unpublished = doc! { "dueAt": { "$exists": true } };
    let noted = async || events.count_documents(unpublished.clone()).await.expect("a count") == 0;
    TestEnv::until("the events are noted", noted).await;
}

async fn signed_in(env: &TestEnv, api: &Api) -> Vec<Client> {
    let tokens = make_users(env.store(), env.database(), EACH).await.expect("users");
    tokens.iter().map(|token| api.client().with_token(token)).collect()
}

async fn replace_avatars(users: &[Client]) {
    let replaced = stream::iter(users).map(|user| user.replace_avatar(jpeg(2_000))).buffer_unordered(16);
    replaced.for_each(async |answer| drop(answer.expect(202))).await;
}

async fn submit_media(users: &[Client]) {
    let submitted = stream::iter(users).map(|user| user.submit("a.jpg", jpeg(2_000))).buffer_unordered(16);
    submitted.for_each(async |answer| drop(answer.expect(202))).await;
}

/// Without a relay that helps: what its own program does not note, nobody does.
async fn start() -> TestEnv {
    TestEnv::start_with(|store| store.publish_grace = Duration::from_secs(600)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_costs_one_look_at_its_user_and_one_count_and_shares_the_note_that_it_is_published() {
    let env = start().await;
    let api = env.api().await;
    let users = signed_in(&env, &api).await;
    let (took, accepted) = recorded(&env, "steep-api", async {
        for user in &users[..10] {
            user.submit("a.jpg", jpeg(2_000)).await.expect(202);
        }
        until_jobs(&env, doc! { "state": "queued" }, 10).await;
    })
    .await;
    assert_eq!((count(&accepted, "find users"), count(&accepted, "aggregate jobs")), (10, 10), "one by one");
    assert!(count(&accepted, "update-many jobs") <= at_most(took, API_NOTES_EVERY));

    let (took, accepted) = recorded(&env, "steep-api", async {
        tokio::join!(replace_avatars(&users), submit_media(&users));
        until_jobs(&env, doc! { "state": "queued" }, 10 + 2 * EACH).await;
    })
    .await;
    for (name, most) in [
        ("find users", 2 * EACH),
        // The backlog is counted too, once a second.
        ("aggregate jobs", 2 * EACH + at_most(took, Duration::from_secs(1))),
        ("find assets", 0),
        ("find jobs", 0),
        ("update-many jobs", at_most(took, API_NOTES_EVERY)),
    ] {
        assert!(count(&accepted, name) <= most, "{name}: {} of at most {most}", count(&accepted, name));
    }
    let worker = env.worker().await;
    until_jobs(&env, doc! { "state": "completed" }, 10 + 2 * EACH).await;
    worker.shutdown(std::future::pending()).await;
    api.stop().await;
    env.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_costs_a_worker_its_claim_and_its_record_and_what_is_noted_of_it_is_noted_with_others() {
    let env = start().await;
    let api = env.api().await;
    let users = signed_in(&env, &api).await;
    tokio::join!(replace_avatars(&users), submit_media(&users));
    until_jobs(&env, doc! { "state": "queued" }, 2 * EACH).await;
    let work = async |what: &str, finished| {
        println!("{what}");
        let (took, done) = recorded(&env, "steep-worker", async {
            // Nothing is looked at a second time, which would take a relay.
            let worker = env.worker_with(|config| config.settings.second_look = Duration::ZERO).await;
            until_jobs(&env, doc! { "state": "completed" }, finished).await;
            until_events_are_noted(&env).await;
            worker.shutdown(std::future::pending()).await;
        })
        .await;
        assert_eq!(jobs(&env, doc! { "attempt": { "$gt": 1 } }).await, 0, "a second attempt costs more");
        (took, done)
    };
    let (took, done) = work("first avatars, and media", 2 * EACH).await;
    for (name, most) in [
        ("findAndModify jobs", 2 * EACH),
        ("find assets", 0),
        ("find users", 0),
        ("update-many events", at_most(took, WORKER_NOTES_EVERY)),
        // Nothing is brought about that would have to be published.
        ("update-many jobs", 0),
    ] {
        assert!(count(&done, name) <= most, "{name}: {} of at most {most}", count(&done, name));
    }

    replace_avatars(&users).await;
    until_jobs(&env, doc! { "state": "queued" }, EACH).await;
    let (took, done) = work("newer avatars, and the deletion of the first ones", 4 * EACH).await;
    for (name, most) in [
        ("findAndModify jobs", 2 * EACH),
        ("find users", 0),
        ("update-many events", at_most(took, WORKER_NOTES_EVERY)),
        ("update-many jobs", at_most(took, WORKER_NOTES_EVERY)),
    ] {
        assert!(count(&done, name) <= most, "{name}: {} of at most {most}", count(&done, name));
    }
    api.stop().await;
    env.finish().await;
}
