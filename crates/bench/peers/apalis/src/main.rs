//! apalis on Redis: `load`, `work AT_ONCE`, `accept COUNT AT_ONCE`.

mod job;

use std::env::{self, var};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{anyhow, bail};
use apalis::prelude::*;
use apalis_redis::RedisStorage;
use futures_util::TryStreamExt;
use futures_util::future::try_join_all;
use mongodb::Collection;
use mongodb::bson::{Document, doc, oid::ObjectId};
use redis::Client;
use redis::aio::ConnectionManagerConfig;
use tokio::io::{AsyncBufReadExt, BufReader, Lines, Stdin};

use crate::job::{Job, World};

type Queue = RedisStorage<Job>;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let words: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["load"] => load().await,
        ["work", at_once] => work(at_once.parse()?).await,
        ["accept", count, at_once] => accept(count.parse()?, at_once.parse()?).await,
        _ => bail!("load, work AT_ONCE or accept COUNT AT_ONCE"),
    }
}

async fn queue(batch: usize) -> anyhow::Result<Queue> {
    // What is known about a job is in MongoDB, so that results and events would be for nobody.
    let config = apalis_redis::Config::default().queue("peers").batch_size(batch);
    let config = config.persist_results(false).emit_events(false);
    // By default an answer that takes half a second ends the worker, which a busy machine may need once.
    let patient = ConnectionManagerConfig::new().set_response_timeout(Some(Duration::from_secs(30)));
    let connection = Client::open(var("REDIS_URL")?)?.get_connection_manager_with_config(patient).await?;
    Ok(RedisStorage::new(connection).with_config(config))
}

async fn push(queue: &mut Queue, document: &Document) -> anyhow::Result<()> {
    queue.push(Job::of(document)?).await.map_err(|error| anyhow!("{error:?}"))
}

async fn load() -> anyhow::Result<()> {
    let mut queue = queue(1).await?;
    let mut found = job::database().await?.collection::<Document>("jobs").find(doc! {}).sort(doc! { "_id": 1 }).await?;
    while let Some(document) = found.try_next().await? {
        push(&mut queue, &document).await?;
    }
    Ok(())
}

async fn work(at_once: usize) -> anyhow::Result<()> {
    let worker = WorkerBuilder::new("peer").backend(queue(at_once).await?).data(World::new().await?);
    let worker = worker.concurrency(at_once).parallelize(tokio::spawn).build(job::perform);
    worker.run().await.map_err(|error| anyhow!("{error:?}"))
}

async fn accept(count: usize, at_once: usize) -> anyhow::Result<()> {
    let queue = queue(1).await?;
    let jobs = job::database().await?.collection("jobs");
    let mut stdin = BufReader::new(tokio::io::stdin()).lines();
    accept_some(&queue, &jobs, at_once * 2, at_once).await?;
    say_and_wait("ready", &mut stdin).await?;
    accept_some(&queue, &jobs, count, at_once).await?;
    say_and_wait("done", &mut stdin).await
}

async fn accept_some(queue: &Queue, jobs: &Collection<Document>, count: usize, at_once: usize) -> anyhow::Result<()> {
    let next = &AtomicUsize::new(0);
    let one_after_the_other = |mut queue: Queue| async move {
        while next.fetch_add(1, Ordering::Relaxed) < count {
            let id = ObjectId::new().to_hex();
            let document = doc! { "_id": id, "state": "queued", "asset": ObjectId::new(), "owner": ObjectId::new() };
            jobs.insert_one(&document).await?;
            push(&mut queue, &document).await?;
        }
        anyhow::Ok(())
    };
    try_join_all((0..at_once).map(|_| one_after_the_other(queue.clone()))).await?;
    Ok(())
}

/// Who measures reads the word, and answers with a line when we may go on.
async fn say_and_wait(word: &str, stdin: &mut Lines<BufReader<Stdin>>) -> anyhow::Result<()> {
    println!("{word}");
    stdin.next_line().await?;
    Ok(())
}
