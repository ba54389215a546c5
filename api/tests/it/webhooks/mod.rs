//! What the media host tells by itself, signed as Cloudinary signs.

mod believed;
mod moderated;
mod moved;

use messages::AssetId;
use mongodb::bson::{Document, doc};
use reqwest::Method;
use serde_json::{Value, json};
use sha1::{Digest, Sha1};
use store::{Asset, AssetState};
use testkit::{Answer, CLOUDINARY_SECRET, Client, TestEnv, jpeg};

use crate::support::{World, assert_accepted};

const WEBHOOK: &str = "/api/v1/webhooks/cloudinary";

/// By the rule in Cloudinary's guide: body, timestamp and secret in one.
fn signature(body: &str, timestamp: i64, secret: &str) -> String {
    hex::encode(Sha1::digest(format!("{body}{timestamp}{secret}")))
}

async fn now(world: &World) -> i64 {
    world.env.store().now().await.expect("a time").unix_timestamp()
}

/// Sends a body with exactly these headers.
async fn send(world: &World, body: &str, headers: &[(&str, String)]) -> Answer {
    let request = world.api.request(Method::POST, WEBHOOK).header("content-type", "application/json");
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, value));
    world.api.send(request.body(body.to_owned())).await
}

/// Sends a body that is signed as it should be.
async fn send_signed(world: &World, body: &str) -> Answer {
    let timestamp = now(world).await;
    let signature = signature(body, timestamp, CLOUDINARY_SECRET);
    send(world, body, &[("x-cld-timestamp", timestamp.to_string()), ("x-cld-signature", signature)]).await
}

/// Tells something that is taken.
async fn tell(world: &World, notification: &Value) {
    assert_accepted(&send_signed(world, &notification.to_string()).await, 200);
}

/// An avatar of the user's that is at the media host.
async fn avatar(world: &World, user: &Client) -> Asset {
    let job = user.replace_avatar(jpeg(2_000)).await.expect(202).job(0);
    stored(world, user, &job).await
}

/// An upload of the user's that is at the media host.
async fn upload(world: &World, user: &Client) -> Asset {
    let job = user.submit("a.jpg", jpeg(2_000)).await.expect(202).job(0);
    stored(world, user, &job).await
}

async fn stored(world: &World, user: &Client, job: &str) -> Asset {
    let job = user.wait_for_job(job, &["completed"]).await;
    TestEnv::until("its file is gone", async || world.env.spooled_files() == 0).await;
    let asset = find(world, job["asset"].as_str().expect("an asset").parse().expect("an id")).await;
    assert_eq!(asset.state, AssetState::Ready);
    asset
}

async fn find(world: &World, id: AssetId) -> Asset {
    world.env.store().media().find(id).await.expect("an answer").expect("an asset")
}

/// The status of an asset's own address.
async fn address(world: &World, asset: &Asset) -> Answer {
    world.api.get(&format!("/api/v1/media/{}", asset.id)).await
}

/// An asset as a notification names it.
fn named(asset: &Asset) -> Value {
    let stored = asset.stored.as_ref().expect("stored");
    json!({
        "resource_type": "image", "type": "upload", "asset_id": stored.asset_id, "public_id": asset.public_id,
        "version": stored.version,
    })
}

fn deletion(assets: &[&Asset]) -> Value {
    let resources: Vec<Value> = assets.iter().map(|asset| named(asset)).collect();
    json!({"notification_type": "delete", "resources": resources})
}

/// With more fields, which win.
fn with(mut notification: Value, fields: &Value) -> Value {
    let fields = fields.as_object().expect("fields").clone();
    notification.as_object_mut().expect("a notification").extend(fields);
    notification
}

/// How often the deletion of an asset was announced.
async fn announced(world: &World, asset: &Asset) -> u64 {
    let events = world.env.database().collection::<Document>("events");
    let filter = doc! {"kind": "media.deleted.v1", "data.asset": asset.id.to_string()};
    events.count_documents(filter).await.expect("a count")
}
