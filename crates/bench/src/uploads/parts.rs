//! The bare parts of the way from accepted to ready, each alone and with the plainest client, at the same pace.

use std::time::Instant;

use anyhow::Context;
use bytes::Bytes;
use futures_util::StreamExt;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Connection, ConnectionProperties};
use mongodb::bson::{Document, doc, oid::ObjectId};
use mongodb::options::{Acknowledgment, WriteConcern};
use reqwest::multipart::{Form, Part};
use testkit::Services;
use uuid::Uuid;

use super::pipeline::{COUNT, EVERY};
use crate::load::Latencies;
use crate::system::System;

/// A quarter of the run of the whole: enough for a median.
const SAMPLES: usize = COUNT / 4;

/// Publish and deliver, the two transactions, the upload.
pub async fn measure(
    system: &System,
    services: &Services,
    picture: &Bytes,
) -> anyhow::Result<Vec<(&'static str, Latencies)>> {
    let (first, second) = transactions(services).await?;
    Ok(vec![
        ("publish and deliver", publish_and_deliver(system).await?),
        ("first transaction", first),
        ("second transaction", second),
        ("upload", upload(system, picture).await?),
    ])
}

/// A persistent message of the same size through a quorum queue: published, confirmed, received, acked.
async fn publish_and_deliver(system: &System) -> anyhow::Result<Latencies> {
    let connection = Connection::connect(&system.host.url(), ConnectionProperties::default()).await?;
    let (publishing, consuming) = (connection.create_channel().await?, connection.create_channel().await?);
    publishing.confirm_select(ConfirmSelectOptions::default()).await?;
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    consuming.queue_declare("bare".into(), durable, arguments).await?;
    let consume =
        consuming.basic_consume("bare".into(), "".into(), BasicConsumeOptions::default(), FieldTable::default());
    let mut deliveries = consume.await?;
    let body = vec![b'x'; 300];
    let mut latencies = Latencies::default();
    let mut clock = tokio::time::interval(EVERY);
    for _ in 0..SAMPLES {
        clock.tick().await;
        let started = Instant::now();
        let properties = BasicProperties::default().with_delivery_mode(2);
        let publish =
            publishing.basic_publish("".into(), "bare".into(), BasicPublishOptions::default(), &body, properties);
        let confirm = publish.await?;
        let delivery = deliveries.next().await.context("the consumer ended")??;
        delivery.ack(BasicAckOptions::default()).await?;
        confirm.await?;
        latencies.push(started.elapsed());
    }
    connection.close(200, "done".into()).await?;
    Ok(latencies)
}

/// Two transactions of three writes each on documents of the same size, majority and journaled.
async fn transactions(services: &Services) -> anyhow::Result<(Latencies, Latencies)> {
    let client = mongodb::Client::with_uri_str(&services.mongodb).await?;
    let database = client.database(&format!("bare-{}", Uuid::new_v4().simple()));
    let [users, assets, jobs] = ["users", "assets", "jobs"].map(|name| database.collection::<Document>(name));
    let filler = "x".repeat(400);
    let owners: Vec<ObjectId> = (0..SAMPLES).map(|_| ObjectId::new()).collect();
    users.insert_many(owners.iter().map(|id| doc! { "_id": id, "filler": &filler })).await?;
    for collection in [&assets, &jobs] {
        collection.insert_one(doc! { "filler": &filler }).await?;
    }
    let (mut first, mut second) = (Latencies::default(), Latencies::default());
    let mut clock = tokio::time::interval(EVERY);
    for owner in &owners {
        clock.tick().await;
        let (id, started) = (ObjectId::new(), Instant::now());
        let mut session = client.start_session().await?;
        session.start_transaction().write_concern(durable()).await?;
        users.update_one(doc! { "_id": owner }, doc! { "$set": { "pending": id } }).session(&mut session).await?;
        assets.insert_one(doc! { "_id": id, "filler": &filler }).session(&mut session).await?;
        jobs.insert_one(doc! { "_id": id, "filler": &filler }).session(&mut session).await?;
        session.commit_transaction().await?;
        first.push(started.elapsed());

        let started = Instant::now();
        session.start_transaction().write_concern(durable()).await?;
        for collection in [&assets, &jobs] {
            collection
                .update_one(doc! { "_id": id }, doc! { "$set": { "state": "done" } })
                .session(&mut session)
                .await?;
        }
        users.update_one(doc! { "_id": owner }, doc! { "$set": { "avatar": "x" } }).session(&mut session).await?;
        session.commit_transaction().await?;
        second.push(started.elapsed());
    }
    database.drop().await?;
    Ok((first, second))
}

fn durable() -> WriteConcern {
    WriteConcern::builder().w(Acknowledgment::Majority).journal(true).build()
}

/// The same picture to the same media host, from memory.
async fn upload(system: &System, picture: &Bytes) -> anyhow::Result<Latencies> {
    let http = reqwest::Client::new();
    let url = format!("{}/v1_1/demo/image/upload", system.media.url);
    let mut latencies = Latencies::default();
    let mut clock = tokio::time::interval(EVERY);
    for _ in 0..SAMPLES {
        clock.tick().await;
        let started = Instant::now();
        let file = Part::stream_with_length(picture.clone(), picture.len() as u64).file_name("bare.jpg");
        let form = Form::new().text("public_id", Uuid::new_v4().to_string()).part("file", file);
        // Basic authentication, which Cloudinary accepts in place of a signature.
        let reply =
            http.post(&url).basic_auth("1234", Some("abcd")).multipart(form).send().await?.error_for_status()?;
        reply.bytes().await?;
        latencies.push(started.elapsed());
    }
    Ok(latencies)
}
