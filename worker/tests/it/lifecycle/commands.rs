//! What a person does by hand, with the program as it is.

use std::process::{Command, Output, Stdio};

use bson::oid::ObjectId;
use bson::{Document, doc};
use messages::{Envelope, JobId};
use serde_json::{Value, json};
use store::JobState;

use crate::support::{Env, until};

/// Runs a command of the worker in a world.
fn run(env: &Env, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_worker"));
    command.env_clear().envs(env.worker_settings()).env("RUST_LOG", "off").stdin(Stdio::null());
    // A command needs no account at the media host.
    command.env_remove("CLOUDINARY_URL").args(args).output().expect("it runs")
}

/// What a command printed that did what it was for.
fn printed(env: &Env, args: &[&str]) -> String {
    let output = run(env, args);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{args:?}: {errors}");
    String::from_utf8(output.stdout).expect("text")
}

/// The line of a command that did not.
fn refusal(env: &Env, args: &[&str]) -> String {
    let output = run(env, args);
    let errors = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.status.code(), Some(1), "{args:?}: {errors}");
    assert_eq!(errors.trim_end().lines().count(), 1, "one line: {errors}");
    errors
}

/// The row of a list that has this text, as words.
fn row<'a>(list: &'a str, text: &str) -> Vec<&'a str> {
    let line = list.lines().find(|line| line.contains(text)).unwrap_or_else(|| panic!("no {text} in {list}"));
    line.split_whitespace().collect()
}

/// Parks noise, a kind from the future and a message whose job nobody knows.
async fn park(env: &Env) -> (Vec<u8>, String) {
    let worker = env.worker().await;
    until("the worker is ready", async || worker.readiness().ready).await;
    let noise: Vec<u8> = (0..100_000_u32).map(|number| (number * 31 % 251) as u8).collect();
    let unknown = r#"{"messageId":"019389a0-0000-7000-8000-000000000001","jobId":"019389a0-0000-7000-8000-000000000002","enqueuedAt":"2026-11-23T03:04:05Z","kind":"media.upload.v9","data":{}}"#;
    env.publish_raw(&noise).await;
    env.publish_raw(unknown.as_bytes()).await;
    until("both are parked", async || env.dead_letters().await.len() == 2).await;
    worker.shutdown(std::future::pending()).await;
    (noise, unknown.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_listed_and_shown_with_all_there_is_to_know() {
    let env = Env::start().await;
    assert_eq!(printed(&env, &["dead", "list"]).lines().count(), 1, "the head of an empty list");
    let (noise, unknown) = park(&env).await;

    let list = printed(&env, &["dead", "list"]);
    assert_eq!(list.lines().count(), 3, "{list}");
    let of_noise = row(&list, "not an envelope");
    assert_eq!((of_noise[2], of_noise[3], of_noise[4]), ("-", "100000", env.queue().as_str()));
    assert!(of_noise[1].starts_with("20") && of_noise[1].ends_with('Z'), "{list}");
    let of_unknown = row(&list, "unknown kind");
    assert_eq!(of_unknown[3], unknown.len().to_string());
    let shorter = printed(&env, &["dead", "list", "--limit", "1"]);
    assert!(shorter.contains("of 2"), "{shorter}");

    let shown = printed(&env, &["dead", "show", of_unknown[0]]);
    assert!(shown.contains(&unknown) && shown.contains("reason: unknown kind \"media.upload.v9\""), "{shown}");
    assert!(shown.contains(&format!("x-steep-queue: {}", env.queue())), "{shown}");
    let shown = printed(&env, &["dead", "show", of_noise[0]]);
    assert!(shown.contains("00000010  ") && shown.contains("bytes: 100000"), "{shown:.2000}");
    let raw = run(&env, &["dead", "show", "--raw", of_noise[0]]);
    assert_eq!(raw.stdout, noise);
    assert!(refusal(&env, &["dead", "show", "0123456789ab"]).contains("no dead letter 0123456789ab"));
    // Nothing of that took anything away.
    env.finish_with_dead_letters(2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_replayed_only_by_force() {
    let env = Env::start().await;
    let (noise, _) = park(&env).await;
    let list = printed(&env, &["dead", "list"]);
    let id = row(&list, "not an envelope")[0];
    assert!(refusal(&env, &["dead", "replay", id]).contains("--force"));
    assert!(refusal(&env, &["dead", "replay", "--all"]).contains("--force"));
    assert_eq!(env.dead_letters().await.len(), 2);

    let replayed = printed(&env, &["dead", "replay", "--force", id]);
    assert!(
        replayed.contains(&format!("{id} to {}", env.queue())) && replayed.contains("replayed 1, left 0"),
        "{replayed}"
    );
    assert_eq!(env.dead_letters().await.len(), 1);
    // This worker cannot read it either, and parks it as it was.
    let _worker = env.worker().await;
    until("it is parked again", async || env.dead_letters().await.iter().any(|letter| letter.body == noise)).await;
    env.finish_with_dead_letters(2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_died_by_mistake_is_replayed_and_its_job_completes() {
    let env = Env::start().await;
    let uploads = [env.submit(b"one").await, env.submit(b"two").await];
    let worker = env.worker().await;
    until("the worker is ready", async || worker.readiness().ready).await;
    worker.shutdown(std::future::pending()).await;
    // The database was restored to a time before these jobs: their messages were dead-lettered; then it was repaired.
    for upload in &uploads {
        let record = env.job(upload.job).await;
        let envelope = Envelope::new(upload.job, record.job().expect("a known kind"), None);
        env.bury(&envelope.encode(), "there is no such job").await;
    }
    let list = printed(&env, &["dead", "list"]);
    let id = row(&list, "media.upload.v1")[0];
    assert!(printed(&env, &["dead", "show", id]).contains("reads as: job "));
    assert!(printed(&env, &["dead", "replay", id]).contains("replayed 1, left 0"));
    assert_eq!(env.dead_letters().await.len(), 1);
    assert!(printed(&env, &["dead", "replay", "--all"]).contains("replayed 1, left 0"));
    assert!(printed(&env, &["dead", "replay", "--all"]).contains("replayed 0, left 0"));

    let _worker = env.worker().await;
    for upload in uploads {
        env.until(upload.job, JobState::Completed).await;
    }
    env.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_discarded_job_is_listed_redriven_and_completes() {
    let env = Env::start().await;
    let worker = env.worker().await;
    let refused = env.fault("effect=status,status=400,action=upload");
    let upload = env.enqueue(b"refused today").await;
    env.until(upload.job, JobState::Discarded).await;
    worker.shutdown(std::future::pending()).await;
    env.media().clear_fault(refused);

    let id = upload.job.to_string();
    let list = printed(&env, &["jobs", "list"]);
    let listed = row(&list, &id);
    assert_eq!((listed[2], listed[3], listed[4]), ("media.upload.v1", "1", "yes"), "{list}");
    assert!(printed(&env, &["jobs", "redrive", &id]).contains("pending"));
    assert!(refusal(&env, &["jobs", "redrive", &id]).contains("only a discarded one"));

    let _worker = env.worker().await;
    let job = env.until(upload.job, JobState::Completed).await;
    assert_eq!((job.attempt, job.reason), (2, None));
    let assets = env.public_ids();
    assert_eq!(env.bytes_at_host(&assets[0]).await, upload.bytes);
    env.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_are_found_counted_and_shown_for_people_and_for_programs() {
    let env = Env::start().await;
    env.store().ensure_indexes().await.expect("indexes");
    let (discarded, waiting) = (env.submit(b"one").await, env.enqueue(b"another").await);
    let attempt = env.claim(discarded.job).await.attempt;
    let ended = testkit::ends::discard_upload(env.store(), discarded.job, attempt, "the account of 7 is full");
    ended.await.expect("discarded");
    let (id, other) = (discarded.job.to_string(), waiting.job.to_string());

    let found = printed(&env, &["jobs", "list", "--state", "pending", "--state", "queued"]);
    assert!(found.contains(&other) && !found.contains(&id), "{found}");
    let found = printed(&env, &["jobs", "list", "--queue", "media.upload"]);
    assert!(row(&found, &id)[2..4] == ["discarded", "media.upload.v1"] && found.contains(&other), "{found}");
    assert_eq!(printed(&env, &["jobs", "list", "--to", "2026-01-01T00:00:00Z"]).lines().count(), 1);
    assert_eq!(printed(&env, &["jobs", "count"]), "2\n");
    assert_eq!(printed(&env, &["jobs", "count", "--state", "discarded"]), "1\n");
    assert!(printed(&env, &["jobs", "list", "--kind", "media.upload.v1", "--limit", "1"]).contains("--limit"));

    let json =
        |args: &[&str]| -> Value { serde_json::from_str(&printed(&env, &[args, &["--json"]].concat())).expect("JSON") };
    let listed = json(&["jobs", "list"]);
    assert_eq!((listed[0]["id"].as_str(), listed.as_array().map(Vec::len)), (Some(id.as_str()), Some(1)));
    let group = listed[0]["errorGroup"].as_str().expect("a group").to_owned();
    assert_eq!(json(&["jobs", "list", "--error-group", &group]), listed);
    assert_eq!(json(&["jobs", "count", "--error-group", &group]), json!({ "count": 1, "atLeast": false }));
    let shown = json(&["jobs", "show", &id]);
    assert_eq!(shown["attempts"][0]["error"], "the account of 7 is full");
    assert!(printed(&env, &["jobs", "show", &id]).contains("the account of 7 is full"));
    assert_eq!(json(&["jobs", "search", &id]), json!([{ "what": "job", "id": id, "name": null }]));
    until("the group is written", async || printed(&env, &["jobs", "errors"]).contains(&group)).await;
    let errors = json(&["jobs", "errors", "--kind", "media.upload.v1"]);
    assert_eq!((&errors[0]["message"], &errors[0]["count"]), (&json!("the account of <n> is full"), &json!(1)));
    assert_eq!(json(&["jobs", "errors", "--kind", "media.delete.v1"]), json!([]));

    assert!(refusal(&env, &["jobs", "search", "nothing-has-this"]).contains("nothing has this"));
    assert!(refusal(&env, &["jobs", "show", &JobId::new().to_string()]).contains("there is no job"));
    assert!(refusal(&env, &["jobs", "list", "--user", "nobody-of-that-name"]).contains("--user"));
    for (args, expected) in [
        (&["jobs", "list", "--state", "sleeping"][..], "pending"),
        (&["jobs", "list", "--from", "yesterday"], "2026-01-02T03:04:05Z"),
        (&["jobs", "count", "--error-group", "7"], "16 hexadecimal digits"),
        (&["jobs", "errors", "--kind", "nonsense"], "media.upload.v1"),
    ] {
        let output = run(&env, args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains(expected), "{args:?}: {output:?}");
    }
    let _worker = env.worker().await;
    env.until(waiting.job, JobState::Completed).await;
    env.spool().remove(discarded.file).await.expect("removed");
    env.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_whose_file_is_not_there_is_not_redriven() {
    let env = Env::start().await;
    let upload = env.submit(b"gone").await;
    let claimed = env.claim(upload.job).await;
    testkit::ends::discard_upload(env.store(), upload.job, claimed.attempt, "the account is full")
        .await
        .expect("discarded");
    let id = upload.job.to_string();
    let elsewhere = env.folder().join("another-spool").display().to_string();
    let args = format!("--spool-dir={elsewhere}");
    assert!(refusal(&env, &[&args, "jobs", "redrive", &id]).contains("SPOOL_DIR"));
    assert!(!std::path::Path::new(&elsewhere).exists(), "a question makes no spool");
    spool::Spool::open(std::path::Path::new(&elsewhere), None).expect("another spool");
    assert!(refusal(&env, &[&args, "jobs", "redrive", &id]).contains("run this where that one is"));

    env.spool().remove(upload.file).await.expect("removed");
    assert!(refusal(&env, &["jobs", "redrive", &id]).contains("gone from the spool"));
    assert_eq!(env.job(upload.job).await.state, JobState::Discarded);
    assert!(refusal(&env, &["jobs", "redrive", &JobId::new().to_string()]).contains("no such job"));
    env.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_without_its_services_or_its_words_says_so() {
    let env = Env::start().await;
    let nowhere = "--rabbitmq-url=amqp://guest:s3cret@127.0.0.1:1/%2f";
    let line = refusal(&env, &[nowhere, "dead", "list"]);
    assert!(line.starts_with("worker: the broker is not available") && !line.contains("s3cret"), "{line}");
    for (args, expected) in
        [(&["dead", "replay"][..], "<ID>"), (&["jobs", "redrive", "7"], "a UUID"), (&["dead"], "list")]
    {
        let output = run(&env, args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains(expected), "{args:?}: {output:?}");
    }
    env.finish().await;
}

/// What a database of chai-backend holds, and whatever else somebody wrote into it, comes to a person's terminal as plain text.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_in_the_database_or_the_queue_reaches_the_terminal_as_a_command() {
    const ESCAPES: &str = "\u{1b}]0;pwned\u{7}\u{1b}[2J\u{9b}2J\u{202e}\nforged";
    let env = Env::start().await;
    // Makes the exchanges, and finds nothing to adopt.
    let worker = env.worker().await;
    until("the worker is ready", async || worker.readiness().ready).await;
    worker.shutdown(std::future::pending()).await;
    let (channel, subscriptions) = (ObjectId::new(), env.database().collection::<Document>("subscriptions"));
    subscriptions.drop_indexes().await.expect("dropped");
    let twice = [(); 2].map(|()| doc! { "subscriber": ESCAPES, "channel": channel });
    subscriptions.insert_many(twice).await.expect("inserted");
    let upload = env.submit(b"discarded").await;
    let attempt = env.claim(upload.job).await.attempt;
    testkit::ends::discard_upload(env.store(), upload.job, attempt, ESCAPES).await.expect("discarded");
    let jobs = env.database().collection::<Document>("jobs");
    let kind = doc! { "$set": { "kind": ESCAPES } };
    jobs.update_one(doc! { "_id": upload.job.to_string() }, kind).await.expect("an answer");
    env.bury(ESCAPES.as_bytes(), ESCAPES).await;

    let id = row(&printed(&env, &["dead", "list"]), "pwned")[0].to_owned();
    for (args, has_a_body) in [
        (&["adopt"][..], false),
        (&["jobs", "list"], false),
        (&["dead", "list"], false),
        (&["dead", "show", &id], true),
    ] {
        let text = printed(&env, args);
        assert!(text.contains("\\u{1b}]0;pwned\\u{7}"), "{args:?}: {text:?}");
        let is_plain = text.chars().all(|char| char == '\n' || !program::hides(char));
        assert!(is_plain, "{args:?}: {text:?}");
        // Only a body has lines of its own.
        assert_eq!(text.contains("\nforged"), has_a_body, "{args:?}: {text:?}");
    }
    env.spool().remove(upload.file).await.expect("removed");
    env.finish_with_dead_letters(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn endpoints_that_get_everybodys_events_are_added_listed_and_removed() {
    let env = Env::start().await;
    assert_eq!(printed(&env, &["webhooks", "list"]).lines().count(), 1, "the head of an empty list");
    let added = printed(&env, &["webhooks", "add", "http://127.0.0.1:9/hooks", "--event", "media.ready.v1"]);
    let [id, secret] = added.split_whitespace().collect::<Vec<_>>()[..] else { panic!("{added}") };
    assert!(secret.starts_with("whsec_"), "{added}");
    let list = printed(&env, &["webhooks", "list"]);
    assert_eq!(row(&list, id), [id, "enabled", "media.ready.v1", "http://127.0.0.1:9/hooks"]);
    assert!(!list.contains("whsec_"), "{list}");
    let rotated = printed(&env, &["webhooks", "rotate", id]);
    assert!(rotated.starts_with("whsec_") && rotated.trim_end() != secret, "{rotated}");
    assert!(printed(&env, &["webhooks", "enable", id]).contains("is enabled"));

    let refused = refusal(&env, &["webhooks", "add", "http://ada:secret@127.0.0.1/"]);
    assert!(refused.contains("no user name and no password"), "{refused}");
    assert!(printed(&env, &["webhooks", "remove", id]).contains("is removed"));
    for command in ["remove", "enable", "rotate"] {
        assert!(refusal(&env, &["webhooks", command, id]).contains("there is no endpoint"), "{command}");
    }
    assert_eq!(printed(&env, &["webhooks", "list"]).lines().count(), 1);
    env.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn queues_are_listed_paused_and_resumed_and_the_audit_says_who_did() {
    let env = Env::start().await;
    let upload = env.submit(b"it waits").await;
    assert_eq!(row(&printed(&env, &["queues", "list"]), "media.upload"), ["media.upload", "no", "-", "-", "-"]);
    env.store().rollups().take_snapshot().await.expect("taken");
    assert_eq!(row(&printed(&env, &["queues", "list"]), "media.upload"), ["media.upload", "no", "1", "0", "0"]);
    assert!(printed(&env, &["queues", "pause", "media.upload", "--why", "a test"]).contains("is paused"));
    assert!(printed(&env, &["queues", "pause", "media.upload"]).contains("was paused already"));
    let list = printed(&env, &["queues", "list", "--json"]);
    let list: Value = serde_json::from_str(&list).expect("JSON");
    let queue = &list["queues"][0];
    assert_eq!((&queue["queue"], &queue["paused"]["by"]), (&"media.upload".into(), &"command line".into()), "{list}");
    assert_eq!((&queue["paused"]["why"], &queue["waiting"]["count"]), (&"a test".into(), &1.into()), "{list}");
    assert!(run(&env, &["queues", "pause", "media"]).stdout.is_empty());
    assert!(env.store().controls().all().await.expect("a list").len() == 1, "an unknown queue is none");
    assert!(printed(&env, &["queues", "resume", "media.upload"]).contains("goes on"));
    assert!(printed(&env, &["queues", "resume", "media.upload"]).contains("was not paused"));
    let entries = env.database().collection::<Document>("audit");
    let of = async |action: &str| {
        let by = doc! { "by.name": "command line", "action": action, "outcome": "done" };
        entries.count_documents(by).await.expect("a count")
    };
    assert_eq!((of("queue.pause").await, of("queue.resume").await), (2, 2));

    let _worker = env.worker().await;
    env.publish(upload.job).await;
    env.until(upload.job, JobState::Completed).await;
    env.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_are_listed_and_told_to_drain_and_to_go_on() {
    let env = Env::start().await;
    assert_eq!(printed(&env, &["workers", "list"]).lines().count(), 1, "the head of an empty list");
    let often = std::time::Duration::from_millis(50);
    let worker =
        env.worker_with(|config| (config.settings.sign_every, config.settings.learn_every) = (often, often)).await;
    let name = worker.name().to_owned();
    until("it is listed", async || printed(&env, &["workers", "list"]).contains(&name)).await;
    assert_eq!(row(&printed(&env, &["workers", "list"]), &name)[1], "alive");
    assert!(printed(&env, &["workers", "drain", &name]).contains("drains"));
    until("it drains", async || worker.readiness().draining).await;
    assert!(printed(&env, &["workers", "undrain", &name]).contains("takes jobs again"));
    until("it takes jobs", async || !worker.readiness().draining).await;
    assert!(refusal(&env, &["workers", "drain", "nobody"]).contains("no worker nobody"));
    worker.shutdown(std::future::pending()).await;
    assert!(!printed(&env, &["workers", "list"]).contains(&name), "it has ended");
    assert!(refusal(&env, &["workers", "drain", &name]).contains("has ended"));
    let list = printed(&env, &["workers", "list", "--left", "--json"]);
    let list: Value = serde_json::from_str(&list).expect("JSON");
    assert_eq!((&list[0]["name"], &list[0]["state"]), (&name.into(), &"left".into()), "{list}");
    env.finish().await;
}
