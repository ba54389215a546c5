//! What the database and the media host say at the end, read once.

use std::collections::{BTreeMap, HashMap};

use anyhow::Context as _;
use mongodb::Database;
use mongodb::bson::{Bson, Document, doc};
use serde_json::Value;

use crate::ledger::Millis;
use crate::quiet::{find, text};

/// A job, as far as the checks go.
#[derive(Debug, Clone)]
pub struct Job {
    pub id: String,
    pub kind: String,
    pub state: String,
    pub reason: String,
    /// Hexadecimal; empty for a recompute.
    pub asset: String,
    pub attempts: Vec<Attempt>,
}

/// See `store::Attempt`.
#[derive(Debug, Clone)]
pub struct Attempt {
    pub worker: String,
    pub started: Millis,
    pub outcome: String,
}

/// An asset, as far as the checks go.
#[derive(Debug, Clone)]
pub struct Asset {
    pub id: String,
    pub owner: String,
    pub role: String,
    pub seq: i64,
    pub state: String,
    /// Of the file that the client sent, which is its name.
    pub md5: String,
    /// Of the file that the api received.
    pub crc32: i64,
    pub public_id: String,
    /// Where the media host delivers it, once it is ready.
    pub url: Option<String>,
    pub job: String,
}

/// A user, as far as the checks go.
#[derive(Debug, Clone)]
pub struct User {
    pub id: String,
    pub username: String,
    pub avatar_url: String,
    /// The asset that is shown, and the one that is on its way.
    pub current: String,
    pub pending: String,
    pub subscribers: i64,
    pub subscribed_to: i64,
}

#[derive(Debug, Default)]
pub struct State {
    pub jobs: BTreeMap<String, Job>,
    pub assets: BTreeMap<String, Asset>,
    pub users: BTreeMap<String, User>,
    /// Subscriber and channel.
    pub subscriptions: Vec<(String, String)>,
    /// What the media host stores: MD5 by public id. An id that it has twice, as image and as video, is there with both.
    pub stored: HashMap<String, Vec<String>>,
}

impl State {
    pub async fn read(database: &Database, media: &str) -> anyhow::Result<Self> {
        let mut state = Self::default();
        for job in find(database, "jobs", doc! {}).await? {
            let job = Job::read(&job)?;
            state.jobs.insert(job.id.clone(), job);
        }
        for asset in find(database, "assets", doc! {}).await? {
            let asset = Asset::read(&asset);
            state.assets.insert(asset.id.clone(), asset);
        }
        for user in find(database, "users", doc! {}).await? {
            let user = User::read(&user);
            state.users.insert(user.id.clone(), user);
        }
        for subscription in find(database, "subscriptions", doc! {}).await? {
            state.subscriptions.push((text(&subscription, "subscriber"), text(&subscription, "channel")));
        }
        let stored = reqwest::get(format!("{media}/__admin/assets")).await?.error_for_status()?;
        let stored: Value = stored.json().await?;
        for asset in stored["assets"].as_array().context("no list of assets")? {
            let field = |name: &str| asset["asset"][name].as_str().unwrap_or_default().to_owned();
            state.stored.entry(field("public_id")).or_default().push(field("md5"));
        }
        Ok(state)
    }

    /// The asset that a job is about.
    pub fn asset_of(&self, job: &Job) -> Option<&Asset> {
        self.assets.get(&job.asset)
    }
}

impl Job {
    fn read(job: &Document) -> anyhow::Result<Self> {
        let attempts = job.get_array("attempts")?.iter().filter_map(Bson::as_document);
        Ok(Self {
            id: text(job, "_id"),
            kind: text(job, "kind"),
            state: text(job, "state"),
            reason: text(job, "reason"),
            asset: text(job, "asset"),
            attempts: attempts.map(Attempt::read).collect(),
        })
    }

    /// Attempts that ended with their worker, each with the start of the one after it, if there was one.
    pub fn crashes(&self) -> impl Iterator<Item = (&Attempt, Option<Millis>)> {
        let after = self.attempts.iter().skip(1).map(|attempt| Some(attempt.started)).chain([None]);
        self.attempts.iter().zip(after).filter(|(attempt, _)| attempt.outcome == "crashed")
    }
}

impl Attempt {
    fn read(attempt: &Document) -> Self {
        let started = attempt.get_datetime("startedAt").map_or(0, |time| time.timestamp_millis());
        Self { worker: text(attempt, "worker"), started, outcome: text(attempt, "outcome") }
    }

    /// Whether the worker was this process: its name is host, process and a random part.
    pub fn ran_in(&self, pid: i32) -> bool {
        self.worker.rsplit('-').nth(1) == Some(pid.to_string().as_str())
    }
}

impl Asset {
    fn read(asset: &Document) -> Self {
        Self {
            id: text(asset, "_id"),
            owner: text(asset, "owner"),
            role: text(asset, "role"),
            seq: number(asset, "seq"),
            state: text(asset, "state"),
            md5: text(asset, "originalName"),
            crc32: number(asset, "crc32"),
            public_id: text(asset, "publicId"),
            url: asset.get_document("stored").ok().map(|stored| text(stored, "url")),
            job: text(asset, "job"),
        }
    }
}

impl User {
    fn read(user: &Document) -> Self {
        let inside = |path: &[&str]| path.iter().try_fold(user, |document, name| document.get_document(name).ok());
        let of = |path: &[&str], field| inside(path).map(|document| text(document, field)).unwrap_or_default();
        let count = |field| inside(&["steep", "aggregates"]).map_or(-1, |counts| number(counts, field));
        Self {
            id: text(user, "_id"),
            username: text(user, "username"),
            avatar_url: text(user, "avatar"),
            current: of(&["steep", "avatar", "current"], "asset"),
            pending: of(&["steep", "avatar", "pending"], "asset"),
            subscribers: count("subscribersCount"),
            subscribed_to: count("channelsSubscribedToCount"),
        }
    }
}

fn number(document: &Document, field: &str) -> i64 {
    match document.get(field) {
        Some(Bson::Int32(number)) => i64::from(*number),
        Some(Bson::Int64(number)) => *number,
        _ => -1,
    }
}
