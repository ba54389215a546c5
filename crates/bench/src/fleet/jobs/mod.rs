//! Every view and every call of an operator with millions of jobs stored, 16 at a time, while 50 uploads a second go through.

mod document;
mod generate;
mod views;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use mongodb::bson::oid::ObjectId;
use mongodb::bson::{Document, doc};
use serde_json::Value;
use testkit::process::{forget_peak_memory, peak_memory, resident_memory};
use testkit::{Services, jpeg};

use super::pace::Pace;
use super::{MIB, PATIENCE, mib, plain_row, time_row};
use crate::load::{self, Connection, Request};
use crate::system::{Form, Setup, System};
use crate::table::Row;
use document::Scene;
use views::View;

const USERS: usize = 2_000;
/// Unfinished ones, if there are so many at all.
const UNFINISHED: usize = 5_000;
const CONNECTIONS: usize = 16;
/// How long each view is asked for.
const ROUND: Duration = Duration::from_secs(3);
const WARM_UP: Duration = Duration::from_secs(1);
const BOUND: Duration = Duration::from_millis(100);
const MEMORY: f64 = 64.0 * MIB;
/// What MongoDB may keep in memory: a fraction of what it would take by itself.
const CACHE: &str = "cache_size=2G";
const FILE: usize = 20_000;
/// What is for people: HTML, and not JSON.
const PAGES: &str = "/dashboard";

pub async fn measure(root: &Path, services: &Services, jobs: usize) -> anyhow::Result<Vec<Row>> {
    let many = "10000".to_owned();
    let api = vec![("MAX_CONNECTIONS", many.clone()), ("MAX_CONNECTIONS_ADDRESS", many)];
    let mut system = System::start_with(Setup { api, ..Setup::default() }, root, services, USERS).await?;
    let scene = Arc::new(scene(&system, jobs).await?);
    system.api.kill();
    system.worker.kill();
    let admin = system.database.client().database("admin");
    admin.run_command(doc! { "setParameter": 1, "wiredTigerEngineRuntimeConfig": CACHE }).await?;
    let begun = Instant::now();
    generate::fill(&system.database, &scene).await?;
    let (took, (data, disk)) = (begun.elapsed(), generate::size(&system.database).await?);
    println!("{jobs} jobs and their assets: {} of data, {} on the disk", mib(data), mib(disk));
    system.restart_worker()?;
    system.restart_api().await?;
    // Only a command grants it.
    let full = doc! { "$set": { "steep.admin": "full" } };
    system.database.collection::<Document>("users").update_one(doc! { "_id": scene.owners[0] }, full).await?;

    let mut client = Client { connection: Connection::new(system.api_address), tokens: system.tokens.clone() };
    let views = views::all(&scene, &mut client).await?;
    let idle = resident_memory(&system.api)?;
    forget_peak_memory(&system.api)?;
    let upload = system.upload("POST", "/api/v1/media", &Form::new("file", "me.jpg", &[jpeg(FILE)]));
    let uploads = Instant::now();
    // None by the users whose jobs are looked at.
    let pace = Pace::start(system.api_address, move |number| upload(2 + number % (USERS - 2)));
    let mut rows = vec![plain_row(
        "jobs that were made, with their assets",
        format!("{jobs} in {:.0} s", took.as_secs_f64()),
        "",
        true,
    )];
    for view in views {
        rows.push(view_row(&system, view).await?);
    }
    let uploads = uploads.elapsed();
    let paced = pace.stop().await?;
    let peak = peak_memory(&system.api)?;
    system.remove().await?;
    let rate = paced.jobs.len() as f64 / uploads.as_secs_f64();
    rows.push(plain_row("uploads meanwhile; failed", format!("{rate:.1}/s; {}", paced.failed), "0", paced.failed == 0));
    rows.push(time_row("uploads meanwhile: answered, p99", paced.latencies.percentile(0.99), "", PATIENCE));
    rows.push(plain_row("api: memory before", mib(idle), "", true));
    rows.push(plain_row("api: the most meanwhile", mib(peak), "<= 64 MiB", peak as f64 <= MEMORY));
    Ok(rows)
}

async fn scene(system: &System, jobs: usize) -> anyhow::Result<Scene> {
    let mut client = Client { connection: Connection::new(system.api_address), tokens: system.tokens.clone() };
    let (mut owners, mut name) = (Vec::with_capacity(USERS), String::new());
    // Whose token is which.
    for user in 0..USERS {
        let body = client.get(user, "/api/v1/users/current-user").await?;
        owners.push(body["data"]["_id"].as_str().context("an id")?.parse::<ObjectId>()?);
        if user == 0 {
            body["data"]["username"].as_str().context("a name")?.clone_into(&mut name);
        }
    }
    // The spool's id is in its queue's name.
    let upload = system.upload("POST", "/api/v1/media", &Form::new("file", "me.jpg", &[jpeg(FILE)]));
    let reply = client.connection.send(&upload(2)).await?;
    anyhow::ensure!(reply.status == 202, "not accepted: {}", String::from_utf8_lossy(&reply.body));
    let of_upload = doc! { "kind": "media.upload.v1" };
    let job = system.database.collection::<Document>("jobs").find_one(of_upload).await?.context("a job")?;
    let spool = job.get_document("data")?.get_str("spool")?.to_owned();
    let now = system.store.now().await?;
    let now = i64::try_from(now.unix_timestamp_nanos() / 1_000_000)?;
    let unfinished = UNFINISHED.min(jobs / 10) as u64;
    Ok(Scene { now, jobs: jobs as u64, unfinished, spool, name, owners })
}

async fn view_row(system: &System, view: View) -> anyhow::Result<Row> {
    let View { what, user, paths } = view;
    anyhow::ensure!(!paths.is_empty(), "nothing to ask for: {what}");
    let token = system.tokens[user].clone();
    let next = move |number: usize| {
        let path = &paths[number % paths.len()];
        request(path, &token)
    };
    load::run(system.api_address, CONNECTIONS, WARM_UP, next.clone()).await;
    let load = load::run(system.api_address, CONNECTIONS, ROUND, next).await;
    anyhow::ensure!(load.failed == 0, "{} requests failed: {what}", load.failed);
    let mut row = time_row(what, load.latencies.percentile(0.99), "<= 100 ms", BOUND);
    row.yardstick = format!("{:.0}/s", load.per_second());
    println!("{what}: p50 {:?}, p99 {}, {}", load.latencies.percentile(0.5), row.ours, row.yardstick);
    Ok(row)
}

/// As a program asks, or as a browser does.
fn request(path: &str, token: &str) -> Request {
    let headers = if path.starts_with(PAGES) {
        format!("cookie: accessToken={token}\r\naccept: text/html\r\n")
    } else {
        format!("authorization: Bearer {token}\r\n")
    };
    Request::new("GET", path, &headers, Vec::new())
}

/// Asks as one of the users.
struct Client {
    connection: Connection,
    tokens: Arc<Vec<String>>,
}

impl Client {
    /// Whether there is such a route.
    async fn knows(&mut self, user: usize, path: &str) -> anyhow::Result<bool> {
        let reply = self.connection.send(&request(path, &self.tokens[user])).await?;
        // A page sends strangers elsewhere.
        Ok(if path.starts_with(PAGES) { reply.status == 200 } else { reply.status != 404 })
    }

    async fn get(&mut self, user: usize, path: &str) -> anyhow::Result<Value> {
        let reply = self.connection.send(&request(path, &self.tokens[user])).await?;
        let text = String::from_utf8_lossy(&reply.body);
        anyhow::ensure!(reply.status == 200, "GET {path}: {} {text}", reply.status);
        serde_json::from_str(&text).with_context(|| format!("GET {path}: {text}"))
    }
}
