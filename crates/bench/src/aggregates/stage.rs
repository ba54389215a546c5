//! A system with channels of every size, and requests to it.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use futures_util::TryStreamExt;
use messages::UserId;
use mongodb::bson::oid::ObjectId;
use mongodb::bson::{Document, doc};
use store::Pace;
use testkit::Services;

use crate::load::Request;
use crate::system::System;

/// Users with a token each.
const USERS: usize = 1_000;
/// How long a benchmark waits for something that is bound to happen.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Stage {
    pub system: System,
    /// Channels with 10, 100,000 and 1,000,000 subscribers.
    pub sizes: [(Channel, usize); 3],
    /// Another one, without any.
    pub quiet: Channel,
    /// A thousand, without any.
    pub spread: Vec<Channel>,
}

#[derive(Clone)]
pub struct Channel {
    pub id: UserId,
    pub name: String,
}

impl Stage {
    pub async fn set(root: &Path, services: &Services) -> anyhow::Result<Self> {
        let system = System::start(root, services, USERS).await?;
        let mut channels: Vec<Channel> =
            (0..1_004).map(|number| Channel { id: store::new_user_id(), name: format!("channel{number}") }).collect();
        let users = channels.iter().map(|channel| {
            let email = format!("{}@example.com", channel.name);
            doc! { "_id": ObjectId::from_bytes(channel.id.bytes()), "username": &channel.name, "email": email }
        });
        system.database.collection::<Document>("users").insert_many(users).await?;
        for channel in &channels {
            system.store.counters().reconcile(&store::subscribers(channel.id), &Pace::default()).await?;
        }
        let spread = channels.split_off(4);
        let [small, medium, large, quiet] = <[Channel; 4]>::try_from(channels).ok().context("four channels")?;
        let sizes = [(small, 10), (medium, 100_000), (large, 1_000_000)];
        for (channel, size) in &sizes {
            let id = ObjectId::from_bytes(channel.id.bytes());
            testkit::adopted::subscribe_strangers(&system.database, id, *size).await?;
            system.store.counters().reconcile(&store::subscribers(channel.id), &Pace::default()).await?;
        }
        Ok(Self { system, sizes, quiet, spread })
    }

    /// The channel with a million.
    pub fn hot(&self) -> &Channel {
        &self.sizes[2].0
    }

    /// A request by the user whose turn it is, none of whom is one of the channels.
    pub fn request<P: Fn(usize) -> String + Clone + Send + 'static>(
        &self,
        method: &'static str,
        path: P,
    ) -> impl Fn(usize) -> Request + Clone + Send + use<P> {
        let tokens = self.system.tokens.clone();
        move |number| {
            let token = &tokens[number % tokens.len()];
            Request::new(method, &path(number), &format!("authorization: Bearer {token}\r\n"), Vec::new())
        }
    }

    /// Waits until everything is counted and no channel is paused on account of what was measured before.
    pub async fn settle(&self) -> anyhow::Result<()> {
        let intents = self.system.database.collection::<Document>("subscription_intents");
        let begun = Instant::now();
        while intents.find_one(doc! {}).await?.is_some() || !self.system.store.jobs().queue_ages().await?.is_empty() {
            anyhow::ensure!(begun.elapsed() < PATIENCE, "changes are left that nobody counts");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }

    /// The recounts of a channel that began after a time: how long each took.
    pub async fn recomputes(&self, channel: &Channel, after: mongodb::bson::DateTime) -> anyhow::Result<Vec<Duration>> {
        let jobs = self.system.database.collection::<Document>("jobs");
        let id = ObjectId::from_bytes(channel.id.bytes());
        let filter = doc! { "channel": id, "state": "completed", "createdAt": { "$gte": after } };
        let jobs: Vec<Document> = jobs.find(filter).await?.try_collect().await?;
        let took = jobs.iter().flat_map(|job| job.get_array("attempts").into_iter().flatten()).filter_map(|attempt| {
            let attempt = attempt.as_document()?;
            let (start, end) = (attempt.get_datetime("startedAt").ok()?, attempt.get_datetime("endedAt").ok()?);
            Some(time_between(*start, *end))
        });
        Ok(took.collect())
    }
}

fn time_between(start: mongodb::bson::DateTime, end: mongodb::bson::DateTime) -> Duration {
    Duration::from_millis(u64::try_from(end.timestamp_millis() - start.timestamp_millis()).unwrap_or_default())
}
