//! Replies that the media host never gives of itself, put in its mouth.

use cloudinary::signature::{Algorithm, response_signature};
use cloudinary::{Error, ErrorClass, ResourceType};
use cloudinary_local::{Effect, Fault, Moment};
use serde_json::{Value, json};

use crate::support::{Media, assert_retry};

/// Has the next upload answered with this, and nothing stored.
fn answer(media: &Media, reply: &Value) {
    let html = Some(reply.to_string());
    let effect = Effect::Status { status: 200, message: None, html, retry_after: None, at: Moment::BeforeStoring };
    media.fault(Fault::new(effect).on("upload").times(1));
}

/// What a fresh upload of `abc` is answered with, properly signed.
fn reply(public_id: &str) -> Value {
    json!({
        "public_id": public_id, "version": 1, "bytes": 3, "secure_url": "https://host/a",
        "etag": "900150983cd24fb0d6963f7d28e17f72",
        "signature": response_signature(public_id, 1, "abcd", Algorithm::Sha1),
    })
}

fn without(mut reply: Value, key: &str) -> Value {
    reply.as_object_mut().unwrap().remove(key);
    reply
}

fn existing(mut reply: Value) -> Value {
    reply["existing"] = json!(true);
    reply
}

#[tokio::test]
async fn an_existing_asset_that_is_not_fully_described_is_looked_up() {
    let media = Media::start().await;
    let client = media.client();
    let upload = media.file(ResourceType::Raw, "a", b"abc");
    let stored = client.upload(&upload).await.unwrap();
    for lacking in ["etag", "signature"] {
        answer(&media, &without(existing(reply("a")), lacking));
        let found = client.upload(&upload).await.unwrap();
        assert!(found.existing);
        assert_eq!((found.version, &found.etag), (stored.version, &stored.etag));

        answer(&media, &without(existing(reply("a")), lacking));
        let error = client.upload(&media.file(ResourceType::Raw, "a", b"abd")).await.unwrap_err();
        assert!(matches!(error, Error::Occupied { .. }), "{error}");
    }
}

#[tokio::test]
async fn an_existing_asset_that_is_gone_a_moment_later_is_a_reason_to_try_again() {
    let media = Media::start().await;
    answer(&media, &without(existing(reply("a")), "etag"));
    let upload = media.file(ResourceType::Raw, "a", b"abc");
    assert_retry(&media.client().upload(&upload).await.unwrap_err());
    assert!(!media.client().upload(&upload).await.unwrap().existing);
}

#[tokio::test]
async fn a_new_asset_without_a_signature_is_not_believed() {
    let media = Media::start().await;
    answer(&media, &without(reply("a"), "signature"));
    let error = media.client().upload(&media.file(ResourceType::Raw, "a", b"abc")).await.unwrap_err();
    assert!(matches!(error, Error::Forged { .. }), "{error}");
}

#[tokio::test]
async fn a_reply_may_be_signed_by_either_hash() {
    let media = Media::start().await;
    let mut reply = reply("a");
    reply["signature"] = json!(response_signature("a", 1, "abcd", Algorithm::Sha256));
    answer(&media, &reply);
    media.client().upload(&media.file(ResourceType::Raw, "a", b"abc")).await.unwrap();
}

#[tokio::test]
async fn without_an_etag_the_length_of_a_new_asset_has_to_be_right() {
    let media = Media::start().await;
    let upload = media.file(ResourceType::Raw, "a", b"abc");
    answer(&media, &without(reply("a"), "etag"));
    assert_eq!(media.client().upload(&upload).await.unwrap().etag, None);

    let mut short = without(reply("a"), "etag");
    short["bytes"] = json!(2);
    answer(&media, &short);
    let error = media.client().upload(&upload).await.unwrap_err();
    assert!(matches!(&error, Error::Corrupted(mismatch) if mismatch.found_bytes == 2), "{error}");
    assert_retry(&error);
}

#[tokio::test]
async fn an_asset_that_was_renamed_on_arrival_is_the_operators_business() {
    let media = Media::start().await;
    answer(&media, &reply("preset/a"));
    let error = media.client().upload(&media.file(ResourceType::Raw, "a", b"abc")).await.unwrap_err();
    assert!(matches!(&error, Error::Renamed { found, .. } if found == "preset/a"), "{error}");
    assert_eq!(error.class(), ErrorClass::Operator);
}

#[tokio::test]
async fn a_200_that_tells_of_no_asset_is_no_success() {
    let media = Media::start().await;
    let upload = media.file(ResourceType::Raw, "a", b"abc");
    let mut placeholder = reply("a");
    placeholder["placeholder"] = json!(true);
    let mut unfinished = reply("a");
    unfinished["done"] = json!(false);
    let failed = json!({"error": {"message": "later"}});
    for odd in [placeholder, unfinished, without(reply("a"), "secure_url"), failed, json!([]), json!("ok")] {
        answer(&media, &odd);
        assert_retry(&media.client().upload(&upload).await.unwrap_err());
    }
    assert!(!media.client().upload(&upload).await.unwrap().existing);
}

#[tokio::test]
async fn whatever_a_reply_calls_an_asset_an_error_is_one_short_line_without_our_key() {
    let media = Media::start().await;
    let client = media.client();
    let upload = media.file(ResourceType::Raw, "a", b"abc");
    client.upload(&upload).await.unwrap();
    let nasty = format!("{}\nWARN the key is 1234", "long ".repeat(1000));
    for field in ["public_id", "etag"] {
        let mut reply = existing(reply("a"));
        reply[field] = json!(nasty);
        // Without a signature another id is named at once; with one, so is another etag.
        let reply = if field == "public_id" { without(reply, "signature") } else { reply };
        answer(&media, &reply);
        let text = client.upload(&upload).await.unwrap_err().to_string();
        assert!(text.contains("long long"), "{text}");
        assert!(!text.contains('\n') && text.len() < 1000, "{} bytes: {text}", text.len());
    }
    answer(
        &media,
        &without(existing(json!({"public_id": "b 1234", "version": 1, "bytes": 3, "secure_url": "u"})), "x"),
    );
    let text = client.upload(&upload).await.unwrap_err().to_string();
    assert!(text.contains("b [redacted]"), "{text}");
}
