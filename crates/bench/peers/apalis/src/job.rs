//! The job.

use std::env::var;
use std::sync::Arc;
use std::time::SystemTime;

use apalis::prelude::*;
use mongodb::bson::{DateTime, Document, doc, oid::ObjectId};
use mongodb::options::{ClientOptions, WriteConcern};
use mongodb::{Client, Collection, Database};
use reqwest::multipart::{Form, Part};
use serde::{Deserialize, Serialize};
use sha1::{Digest, Sha1};

/// Names of documents and of a file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Job {
    job: String,
    asset: ObjectId,
    owner: ObjectId,
}

impl Job {
    pub fn of(document: &Document) -> anyhow::Result<Self> {
        let (asset, owner) = (document.get_object_id("asset")?, document.get_object_id("owner")?);
        Ok(Self { job: document.get_str("_id")?.to_owned(), asset, owner })
    }
}

/// What jobs share.
#[derive(Clone)]
pub struct World {
    jobs: Collection<Document>,
    assets: Collection<Document>,
    users: Collection<Document>,
    http: reqwest::Client,
    media_host: Arc<MediaHost>,
    spool: Arc<str>,
}

struct MediaHost {
    url: String,
    key: String,
    secret: String,
}

#[derive(Deserialize)]
struct Reply {
    secure_url: String,
    etag: String,
}

pub async fn database() -> anyhow::Result<Database> {
    let mut options = ClientOptions::parse(var("MONGODB_URI")?).await?;
    options.write_concern = Some(WriteConcern::majority());
    options.max_pool_size = Some(100);
    Ok(Client::with_options(options)?.database(&var("MONGODB_DATABASE")?))
}

impl World {
    pub async fn new() -> anyhow::Result<Self> {
        let database = database().await?;
        let [jobs, assets, users] = ["jobs", "assets", "users"].map(|name| database.collection(name));
        let media_host = MediaHost { url: var("UPLOAD_URL")?, key: var("API_KEY")?, secret: var("API_SECRET")? };
        let (media_host, spool) = (Arc::new(media_host), var("SPOOL")?.into());
        Ok(Self { jobs, assets, users, http: reqwest::Client::new(), media_host, spool })
    }

    async fn upload(&self, public_id: String, file: Vec<u8>) -> Result<Reply, BoxDynError> {
        let MediaHost { url, key, secret } = &*self.media_host;
        let timestamp = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs();
        let signature = Sha1::digest(format!("public_id={public_id}&timestamp={timestamp}{secret}"));
        let form = Form::new()
            .text("public_id", public_id)
            .text("timestamp", timestamp.to_string())
            .text("api_key", key.clone())
            .text("signature", hex::encode(signature))
            .part("file", Part::bytes(file).file_name("a.jpg"));
        Ok(self.http.post(url).multipart(form).send().await?.error_for_status()?.json().await?)
    }
}

pub async fn perform(job: Job, world: Data<World>) -> Result<(), BoxDynError> {
    let Job { job, asset, owner } = job;
    let known = doc! { "_id": &job, "state": { "$in": ["queued", "running"] } };
    let running = doc! { "$set": { "state": "running", "startedAt": DateTime::now() }, "$inc": { "attempt": 1 } };
    world.jobs.update_one(known, running).await?;
    let path = format!("{}/{job}", world.spool);
    let Reply { secure_url, etag } = world.upload(asset.to_hex(), tokio::fs::read(&path).await?).await?;
    let ready = doc! { "$set": { "state": "ready", "url": &secure_url, "etag": etag } };
    world.assets.update_one(doc! { "_id": asset }, ready).await?;
    world.users.update_one(doc! { "_id": owner }, doc! { "$set": { "avatar": secure_url } }).await?;
    let completed = doc! { "$set": { "state": "completed", "finishedAt": DateTime::now() } };
    world.jobs.update_one(doc! { "_id": job }, completed).await?;
    tokio::fs::remove_file(path).await?;
    Ok(())
}
