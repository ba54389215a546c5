//! A retry of a hundred thousand discarded uploads at once, while 50 others a second go through.
//!
//! One upload is discarded as the system does it, and its documents are copied, each with a file of its own in the spool: so every one of
//! them can be redriven, and is uploaded afterwards.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use messages::JobId;
use mongodb::bson::oid::ObjectId;
use mongodb::bson::{DateTime, Document, doc};
use serde_json::{Value, json};
use testkit::{Services, jpeg};
use uuid::Uuid;

use super::pace::Pace;
use super::{PATIENCE, plain_row, time_row};
use crate::load::{Connection, Request};
use crate::system::{Form, System};
use crate::table::Row;

const JOBS: usize = 100_000;
/// Documents that are inserted at once.
const CHUNK: usize = 5_000;
const USERS: usize = 64;
const FILE: usize = 2_000;
const BOUND: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(200);
const ACTIONS: &str = "/api/v1/admin/jobs/actions";

pub async fn measure(root: &Path, services: &Services) -> anyhow::Result<Vec<Row>> {
    let system = System::start(root, services, USERS).await?;
    let (job, asset) = discarded(&system).await?;
    let begun = Instant::now();
    copy(&system, &job, &asset).await?;
    println!("{JOBS} discarded uploads after {:?}", begun.elapsed());
    let full = doc! { "$set": { "steep.admin": "full" } };
    system.database.collection::<Document>("users").update_many(doc! {}, full).await?;

    let upload = system.upload("POST", "/api/v1/media", &Form::new("file", "me.jpg", &[jpeg(FILE)]));
    let pace = Pace::start(system.api_address, upload);
    let mut admin = Admin { connection: Connection::new(system.api_address), token: system.tokens[0].clone() };
    let begun = Instant::now();
    let started = admin.post(&json!({ "action": "retry", "filter": { "state": ["discarded"] } })).await?;
    let id = started["data"]["action"]["id"].as_str().with_context(|| format!("no id: {started}"))?.to_owned();
    let action = loop {
        let progress = admin.get(&format!("{ACTIONS}/{id}")).await?;
        let action = &progress["data"];
        if action["endedAt"].is_string() {
            break action.clone();
        }
        anyhow::ensure!(begun.elapsed() < 10 * BOUND, "it goes on: {action}");
        tokio::time::sleep(LOOK_EVERY).await;
    };
    let took = begun.elapsed();
    let jobs = system.database.collection::<Document>("jobs");
    let completed = jobs.count_documents(doc! { "state": "completed" }).await?;
    let paced = pace.stop().await?;
    system.remove().await?;
    let told = format!("{}; {}; {}", action["done"], action["failed"], action["state"].as_str().unwrap_or_default());
    let is_done = action["done"] == JOBS && action["failed"] == 0 && action["state"] == "completed";
    let rate = completed as f64 / took.as_secs_f64();
    Ok(vec![
        time_row("a bulk retry of 100,000 discarded jobs", took, "<= 60 s", BOUND),
        plain_row("jobs that it has retried; could not; state", told, "100000; 0; completed", is_done),
        plain_row("uploads that ended meanwhile", format!("{rate:.0}/s"), "", true),
        plain_row("uploads that were refused meanwhile", paced.failed.to_string(), "0", paced.failed == 0),
    ])
}

/// A job that was discarded, and its asset.
async fn discarded(system: &System) -> anyhow::Result<(Document, Document)> {
    system.fault(json!({ "effect": "status", "status": 400, "action": "upload", "times": 1 })).await?;
    let upload = system.upload("POST", "/api/v1/media", &Form::new("file", "me.jpg", &[jpeg(FILE)]));
    let reply = Connection::new(system.api_address).send(&upload(0)).await?;
    anyhow::ensure!(reply.status == 202, "not accepted: {}", String::from_utf8_lossy(&reply.body));
    let deadline = Instant::now() + PATIENCE;
    let jobs = system.database.collection::<Document>("jobs");
    let job = loop {
        if let Some(job) = jobs.find_one(doc! { "state": "discarded" }).await? {
            break job;
        }
        anyhow::ensure!(Instant::now() < deadline, "the upload is not discarded");
        tokio::time::sleep(LOOK_EVERY).await;
    };
    anyhow::ensure!(job.get_bool("replayable")?, "it cannot be redriven: {job}");
    let asset = doc! { "_id": job.get_object_id("asset")? };
    let asset = system.database.collection::<Document>("assets").find_one(asset).await?.context("an asset")?;
    Ok((job, asset))
}

/// Copies a job and its asset until there are so many, each with a file.
async fn copy(system: &System, job: &Document, asset: &Document) -> anyhow::Result<()> {
    let ready = system.folder.join("spool/ready");
    let file = asset.get_document("spool")?.get_str("file")?;
    let content = std::fs::read(ready.join(file)).context("the file of a discarded upload")?;
    let (jobs, assets) = (system.database.collection::<Document>("jobs"), system.database.collection("assets"));
    let made = job.get_datetime("createdAt")?.timestamp_millis();
    for first in (1..JOBS).step_by(CHUNK) {
        let (mut of_jobs, mut of_assets) = (Vec::new(), Vec::new());
        for number in first..(first + CHUNK).min(JOBS) {
            let (mut job, mut asset) = (job.clone(), asset.clone());
            let (id, of_asset, file) = (JobId::new().to_string(), ObjectId::new(), Uuid::new_v4().to_string());
            std::fs::write(ready.join(&file), &content)?;
            let public_id = format!("steep/media/{of_asset}");
            let created = DateTime::from_millis(made + i64::try_from(number / 10)?);
            job.insert(
                "data",
                doc! { "asset": of_asset.to_string(), "spool": job.get_document("data")?.get_str("spool")? },
            );
            let source = job.get_document_mut("source")?;
            source.insert("publicId", &public_id);
            source.get_document_mut("spool")?.insert("file", &file);
            job.extend(doc! { "_id": &id, "asset": of_asset, "createdAt": created });
            asset.get_document_mut("spool")?.insert("file", &file);
            asset.extend(doc! { "_id": of_asset, "job": id, "publicId": public_id, "createdAt": created });
            of_jobs.push(job);
            of_assets.push(asset);
        }
        assets.insert_many(of_assets).ordered(false).await?;
        jobs.insert_many(of_jobs).ordered(false).await?;
    }
    Ok(())
}

struct Admin {
    connection: Connection,
    token: String,
}

impl Admin {
    async fn get(&mut self, path: &str) -> anyhow::Result<Value> {
        let headers = format!("authorization: Bearer {}\r\n", self.token);
        self.send(&Request::new("GET", path, &headers, Vec::new())).await
    }

    async fn post(&mut self, body: &Value) -> anyhow::Result<Value> {
        let token = &self.token;
        let headers = format!("authorization: Bearer {token}\r\ncontent-type: application/json\r\n");
        self.send(&Request::new("POST", ACTIONS, &headers, vec![body.to_string().into()])).await
    }

    async fn send(&mut self, request: &Request) -> anyhow::Result<Value> {
        let reply = self.connection.send(request).await?;
        let text = String::from_utf8_lossy(&reply.body);
        anyhow::ensure!((200..300).contains(&reply.status), "{}: {text}", reply.status);
        Ok(serde_json::from_str(&text)?)
    }
}
