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

/// How often the programs of one sort did something, by its name.
type Statements = BTreeMap<String, usize>;

/// Does something, and says how long that took and what programs whose name begins so asked for meanwhile.
#[expect(clippy::print_stdout, reason = "for whoever wants to know the numbers")]
async fn recorded(env: &TestEnv, program: &str, work: impl Future<Output = ()>) -> (Duration, Statements) {
    // Otherwise its room is here twice.
    let work = Box::pin(work);
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
    // Without what only looks whether the database takes writes.
    let of_program =
        doc! { "appName": { "$regex": format!("^{program}") }, "command.query._id": { "$ne": "nobody's" } };
    let found: Vec<Document> = record.find(of_program).await.expect("an answer").try_collect().await.expect("all");
    let mut statements = Statements::new();
    for statement in &found {
        *statements.entry(name(statement)).or_default() += 1;
    }
    println!("{program}, {took:?}: {statements:#?}");
    (took, statements)
}

/// What a statement does, to what and by what, such as `find assets by _id`. One of a transaction is told apart, and so is an
/// update of many.
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
    let matched = command.get_array("pipeline").ok().and_then(|stages| stages.first()?.as_document()?.get("$match"));
    let filters = ["filter", "query", "q"].iter().filter_map(|field| command.get(field));
    let by = filters.chain(matched).find_map(|filter| filter.as_document()?.keys().next());
    let by = by.map_or_else(String::new, |field| format!(" by {field}"));
    let place = if command.contains_key("autocommit") { " in a transaction" } else { "" };
    format!("{verb} {collection}{by}{place}")
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

/// How many attempts were not a job's first.
async fn again(env: &TestEnv) -> usize {
    let later =
        doc! { "$group": { "_id": null, "attempts": { "$sum": { "$max": [0, { "$subtract": ["$attempt", 1] }] } } } };
    let jobs = env.database().collection::<Document>("jobs");
    let sum = jobs.aggregate([later]).await.expect("an answer").try_next().await.expect("a sum").expect("jobs");
    let number = sum.get("attempts").and_then(|sum| sum.as_i64().or_else(|| sum.as_i32().map(i64::from)));
    number.and_then(|number| usize::try_from(number).ok()).expect("a number")
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

/// Without a relay that helps: what its own program does not publish and note, nobody does. The queues are there.
async fn start() -> TestEnv {
    let env = TestEnv::start_with(|store| store.publish_grace = Duration::from_secs(600)).await;
    let worker = env.worker().await;
    TestEnv::until("the worker consumes", async || worker.readiness().ready).await;
    worker.shutdown(std::future::pending()).await;
    env
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
    let looks = ["find users by _id", "aggregate jobs by owner"].map(|name| count(&accepted, name));
    assert_eq!(looks, [10, 10], "one by one");
    assert!(count(&accepted, "update-many jobs by _id") <= at_most(took, API_NOTES_EVERY));

    let (took, accepted) = recorded(&env, "steep-api", async {
        tokio::join!(replace_avatars(&users), submit_media(&users));
        until_jobs(&env, doc! { "state": "queued" }, 10 + 2 * EACH).await;
    })
    .await;
    for (name, most) in [
        ("find users by _id", 2 * EACH),
        ("aggregate jobs by owner", 2 * EACH),
        ("find assets by _id", 0),
        ("find jobs by _id", 0),
        ("update-many jobs by _id", at_most(took, API_NOTES_EVERY)),
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
    let work = async |finished| {
        let (took, done) = recorded(&env, "steep-worker", async {
            // Nothing is looked at a second time, which would take a relay.
            let worker = env.worker_with(|config| config.settings.second_look = Duration::ZERO).await;
            until_jobs(&env, doc! { "state": "completed" }, finished).await;
            until_events_are_noted(&env).await;
            worker.shutdown(std::future::pending()).await;
        })
        .await;
        // Where the machine is slow an attempt may fail. The next one costs a claim, and a look at what there is to do.
        (took, done, again(&env).await)
    };
    // First avatars, and media.
    let (took, done, again) = work(2 * EACH).await;
    for (name, most) in [
        ("findAndModify jobs by _id", 2 * EACH + again),
        ("find assets by _id", again),
        ("find users by _id", 0),
        ("update-many events by _id", at_most(took, WORKER_NOTES_EVERY)),
        // Nothing is brought about that would have to be published.
        ("update-many jobs by _id", again),
    ] {
        assert!(count(&done, name) <= most, "{name}: {} of at most {most}", count(&done, name));
    }

    replace_avatars(&users).await;
    until_jobs(&env, doc! { "state": "queued" }, EACH).await;
    // Newer avatars, and the deletion of the first ones.
    let (took, done, again) = work(4 * EACH).await;
    for (name, most) in [
        ("findAndModify jobs by _id", 2 * EACH + again),
        // A deletion asks what it is about.
        ("find assets by _id", EACH + again),
        ("find users by _id", 0),
        ("update-many events by _id", at_most(took, WORKER_NOTES_EVERY)),
        ("update-many jobs by _id", at_most(took, WORKER_NOTES_EVERY) + again),
    ] {
        assert!(count(&done, name) <= most, "{name}: {} of at most {most}", count(&done, name));
    }
    api.stop().await;
    env.finish().await;
}
