//! Streams that break, processes that stop, and a database that is away: what is told in the end is true.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use messages::JobId;
use reqwest::Method;
use store::JobState;
use testkit::proxy::{Passage, Proxy};
use testkit::{Api, EventStream, Services, TestEnv, jpeg};

use super::{EVENTS, change, follow, of_job, silent, upload};
use crate::support::World;

#[tokio::test]
async fn over_several_processes_nothing_is_lost_however_often_a_stream_breaks() {
    let world = World::start().await;
    let member = world.member().await;
    let other = world.env.api().await;
    let apis = [member.client.clone(), other.client().with_token(member.client.token().expect("signed in"))];
    let worker = world.env.worker().await;
    let (mut last_id, mut told) = (None, HashMap::new());
    let mut uploaded = Vec::new();
    for turn in 0..10 {
        // Uploaded through one of them and followed through the other, then the other way round.
        let mut stream = apis[turn % 2].follow(EVENTS, last_id.as_deref()).await.expect("a stream");
        let answer = apis[(turn + 1) % 2].submit("a.jpg", jpeg(2_000)).await.expect(202);
        uploaded.push(answer.job(0));
        // It breaks after its first event, with whatever was not read yet.
        let event = stream.next().await.expect("an event");
        told.insert(event.job().to_owned(), event.state().to_owned());
        last_id = Some(stream.last_id.clone());
    }
    let mut stream = apis[0].follow(EVENTS, last_id.as_deref()).await.expect("a stream");
    while uploaded.iter().any(|job| told.get(job).is_none_or(|state| state != "completed")) {
        let event = stream.next().await.expect("an event");
        told.insert(event.job().to_owned(), event.state().to_owned());
    }
    drop(stream);
    other.stop().await;
    world.end().await;
    drop(worker);
}

/// What happens while nobody looks is in no stream's memory.
#[tokio::test]
async fn who_comes_again_is_told_what_ended_meanwhile_by_a_process_that_has_just_started() {
    let world = World::start().await;
    let member = world.member().await;
    let mut stream = follow(&member).await;
    let first = upload(&member).await;
    stream.until(&first, "queued").await;
    let last_id = stream.last_id.clone();
    drop(stream);
    let worker = world.env.worker().await;
    let mut jobs = vec![first];
    for _ in 0..5 {
        jobs.push(upload(&member).await);
    }
    for job in &jobs {
        member.client.wait_for_job(job, &["completed"]).await;
    }
    let other = world.env.api().await;
    let client = other.client().with_token(member.client.token().expect("signed in"));
    let mut stream = client.follow(EVENTS, Some(&last_id)).await.expect("a stream");
    while !jobs.is_empty() {
        let told = stream.next().await.expect("an event");
        assert_eq!(told.state(), "completed");
        jobs.retain(|job| job != told.job());
    }
    drop(stream);
    other.stop().await;
    world.end().await;
    drop(worker);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_outlives_the_database_and_tells_what_has_become_of_jobs_meanwhile() {
    let env = TestEnv::start().await;
    let (api, database) = behind_a_proxy(&env, &[]).await;
    let (user, answer) = api.new_user(jpeg(1_000)).await;
    let worker = env.worker().await;
    user.wait_for_job(&answer.job(0), &["completed"]).await;
    worker.shutdown(std::future::pending()).await;
    let mut stream = user.follow(EVENTS, None).await.expect("a stream");
    for passage in [Passage::Refused, Passage::Held] {
        let job = user.submit("a.jpg", jpeg(2_000)).await.expect(202).job(0);
        stream.until(&job, "queued").await;
        database.set(passage);
        let worker = env.worker().await;
        let id: JobId = job.parse().expect("an id");
        TestEnv::until("the upload has ended", async || {
            let job = env.store().jobs().find(id).await.expect("an answer").expect("a job");
            job.state == JobState::Completed
        })
        .await;
        worker.shutdown(std::future::pending()).await;
        database.set(Passage::Open);
        let began = Instant::now();
        stream.until(&job, "completed").await;
        println!("{passage:?}: told {:?} after the database was back", began.elapsed());
        TestEnv::until("the api takes uploads again", async || user.get("/readyz").await.status == 200).await;
    }
    drop(stream);
    api.stop().await;
    env.finish().await;
}

/// An api between which and its database somebody can step; nobody else notices.
async fn behind_a_proxy(env: &TestEnv, settings: &[&str]) -> (Api, Arc<Proxy>) {
    let database = Services::from_env().mongodb;
    let database = database.trim_start_matches("mongodb://").split(['/', '?']).next().unwrap_or_default().to_owned();
    let database = Proxy::start(database.parse().expect("one server")).await.expect("a port");
    let address = format!("--mongodb-uri=mongodb://{}/?directConnection=true", database.address);
    (env.api_with(&[&[address.as_str()], settings].concat()).await, database)
}

/// Reads on until each of these jobs was told to be as wanted.
async fn until_told_of_all(stream: &mut EventStream, jobs: &BTreeSet<String>, fits: impl Fn(&str) -> bool) {
    let mut left = jobs.clone();
    while !left.is_empty() {
        let told = stream.next().await.unwrap_or_else(|| panic!("it ended before all was told of {left:?}"));
        if fits(told.state()) {
            left.remove(told.job());
        }
    }
}

/// More streams than catch up together, and more jobs than each of them reads at a time.
#[tokio::test(flavor = "multi_thread")]
async fn all_streams_of_a_user_are_told_of_all_the_jobs_that_ended_while_nobody_told_what_changed() {
    const STREAMS: usize = 20;
    const JOBS: usize = 130;
    let env = TestEnv::start().await;
    let (api, database) = behind_a_proxy(&env, &["--user-max-unfinished=200"]).await;
    let (user, answer) = api.new_user(jpeg(1_000)).await;
    let mut jobs = BTreeSet::from([answer.job(0)]);
    while jobs.len() < JOBS {
        jobs.insert(user.submit("a.jpg", jpeg(1_000)).await.expect(202).job(0));
    }
    let mut streams = Vec::new();
    for _ in 0..STREAMS {
        streams.push(user.follow(EVENTS, None).await.expect("a stream"));
    }
    for stream in &mut streams {
        until_told_of_all(stream, &jobs, |_| true).await;
    }
    database.set(Passage::Refused);
    let worker = env.worker().await;
    TestEnv::until("every upload has ended", async || {
        env.store().jobs().queue_ages().await.is_ok_and(|unfinished| unfinished.is_empty())
    })
    .await;
    worker.shutdown(std::future::pending()).await;
    database.set(Passage::Open);
    for stream in &mut streams {
        until_told_of_all(stream, &jobs, |state| state == "completed").await;
    }
    drop(streams);
    api.stop().await;
    env.finish().await;
}

#[tokio::test]
async fn the_program_stops_at_once_although_streams_are_open() {
    // More than a deploy may take because of them.
    let world = World::with(&["--shutdown-timeout=60s"]).await;
    let member = world.member().await;
    let job = upload(&member).await;
    let mut streams = Vec::new();
    for path in [EVENTS.to_owned(), of_job(&job)].iter().cycle().take(20) {
        let mut stream = member.client.follow(path, None).await.expect("a stream");
        stream.next().await.expect("an event");
        streams.push(stream);
    }
    let began = Instant::now();
    world.api.stop().await;
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    for stream in &mut streams {
        // What it had to tell, and then its end.
        while stream.next().await.is_some() {}
    }
    let worker = world.env.worker().await;
    world.env.finish().await;
    drop(worker);
}

#[tokio::test]
async fn the_program_stops_soon_although_a_client_takes_nothing_of_its_stream() {
    let world = World::with(&["--shutdown-timeout=60s"]).await;
    let member = world.member().await;
    let mut silent = silent(&member).await;
    let job = upload(&member).await;
    let mut reads = follow(&member).await;
    reads.until(&job, "queued").await;
    for _ in 0..10 {
        change(&world, &member).await;
        reads.next().await.expect("an event");
    }
    let began = Instant::now();
    world.api.stop().await;
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    silent.until_hung_up().await;
    let worker = world.env.worker().await;
    world.env.finish().await;
    drop(worker);
}

#[tokio::test]
async fn a_client_to_whom_nothing_was_told_yet_has_an_id_to_come_back_with_but_not_of_a_single_job() {
    let world = World::start().await;
    let member = world.member().await;
    let job = upload(&member).await;
    for (path, has_id) in [(EVENTS.to_owned(), true), (format!("/api/v1/jobs/{job}/events"), false)] {
        let mut reply = member.client.request(Method::GET, &path).send().await.expect("an answer");
        let chunk = reply.chunk().await.expect("a beginning").expect("a beginning");
        let beginning = String::from_utf8(chunk.to_vec()).expect("text");
        let head = beginning.split("\n\n").next().expect("a head");
        assert!(head.starts_with("retry: ") && !head.contains("data:"), "{beginning}");
        assert_eq!(head.contains("\nid: "), has_id, "{beginning}");
    }
    world.work_off_and_end().await;
}
