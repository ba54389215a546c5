//! Uploads in one piece, and what becomes of them when something fails.

use std::time::Duration;

use cloudinary::{Checksum, Client, Config, Error, ErrorClass, ResourceType, Upload, signature::Algorithm};
use cloudinary_local::{Effect, Fault, Moment};

use crate::support::{Media, PNG, assert_retry, refusal, without_secrets};

#[tokio::test]
async fn a_picture_is_stored_and_delivered_byte_for_byte() {
    let media = Media::start().await;
    let upload = media.file(ResourceType::Image, "users/42/naïve pic", PNG);
    let stored = media.client().upload(&upload).await.unwrap();
    assert_eq!((stored.public_id.as_str(), stored.existing), ("users/42/naïve pic", false));
    assert_eq!((stored.width, stored.height, stored.format.as_deref()), (Some(1), Some(1), Some("png")));
    assert!(stored.holds(upload.bytes, Media::md5(&upload)));
    assert_eq!(media.deliver(&stored).await, PNG);
}

#[tokio::test]
async fn an_account_that_insists_on_sha256_is_served() {
    let media = Media::start_with(|config| config.require_sha256 = true).await;
    let upload = media.file(ResourceType::Raw, "a", b"abc");
    let error = media.client().upload(&upload).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Operator, "{error}");
    let client = media.client_with(|config| config.algorithm = Algorithm::Sha256);
    client.upload(&upload).await.unwrap();
    client.destroy(ResourceType::Raw, "a").await.unwrap();
}

#[tokio::test]
async fn the_same_file_again_is_found_and_another_file_is_not_stored_over_it() {
    let media = Media::start().await;
    let client = media.client();
    let first = client.upload(&media.file(ResourceType::Raw, "a", b"abc")).await.unwrap();
    let second = client.upload(&media.file(ResourceType::Raw, "a", b"abc")).await.unwrap();
    assert!(!first.existing && second.existing);
    assert_eq!((first.version, first.asset_id), (second.version, second.asset_id));

    let error = client.upload(&media.file(ResourceType::Raw, "a", b"abd")).await.unwrap_err();
    assert!(matches!(error, Error::Occupied { .. }), "{error}");
    assert_eq!(error.class(), ErrorClass::Discard);
    assert_eq!(client.lookup(ResourceType::Raw, "a").await.unwrap().unwrap().etag, first.etag);
}

#[tokio::test]
async fn a_lost_reply_is_made_up_for_by_the_next_attempt() {
    let media = Media::start().await;
    for (id, effect) in
        [("dropped", Effect::Drop { at: Moment::AfterStoring, after_bytes: 0 }), ("cut", Effect::Truncate)]
    {
        let upload = media.file(ResourceType::Raw, id, b"abc");
        media.fault(Fault::new(effect).on("upload").times(1));
        let error = media.client().upload(&upload).await.unwrap_err();
        assert!(matches!(error, Error::Transport { .. }), "{error:?}");
        assert_retry(&error);
        let stored = media.client().upload(&upload).await.unwrap();
        assert!(stored.existing, "{id}");
        assert_eq!(media.requests(id), 2);
    }
}

#[tokio::test]
async fn a_connection_lost_while_sending_is_a_reason_to_try_again() {
    let media = Media::start().await;
    let upload = media.file(ResourceType::Raw, "a", &[7; 900_000]);
    let client = media.client_with(|config| config.chunk_size = 1_000_000);
    media.fault(Fault::new(Effect::Drop { at: Moment::Reading, after_bytes: 1000 }).on("upload").times(1));
    assert_retry(&client.upload(&upload).await.unwrap_err());
    assert!(!client.upload(&upload).await.unwrap().existing);
}

#[tokio::test]
async fn a_server_that_never_answers_runs_into_the_time_out() {
    let media = Media::start().await;
    let client = media.client_with(|config| {
        (config.timeout, config.min_rate) = (Duration::from_millis(300), 1_000_000);
    });
    let upload = media.file(ResourceType::Raw, "a", b"abc");
    for at in [Moment::BeforeReading, Moment::BeforeStoring, Moment::AfterStoring] {
        media.fault(Fault::new(Effect::Hang { at }).on("upload").times(1));
        let error = client.upload(&upload).await.unwrap_err();
        assert!(matches!(&error, Error::Transport { source, .. } if source.is_timeout()), "{error}");
        assert_retry(&error);
    }
    assert!(client.upload(&upload).await.unwrap().existing);
}

#[tokio::test]
async fn a_clock_that_differs_is_corrected_once_and_for_all() {
    let media = Media::start().await;
    let client = media.client();
    media.fault(Fault::new(Effect::Clock { offset_seconds: 3 * 3600 }));
    client.upload(&media.file(ResourceType::Raw, "a", b"abc")).await.unwrap();
    assert_eq!(media.requests("a"), 2);
    client.upload(&media.file(ResourceType::Raw, "b", b"abc")).await.unwrap();
    assert_eq!(media.requests("b"), 1);
    client.destroy(ResourceType::Raw, "a").await.unwrap();
}

#[tokio::test]
async fn a_timestamp_that_is_refused_twice_is_left_to_the_operator() {
    let media = Media::start().await;
    media.fault(Fault::new(Effect::StaleRequest).on("upload"));
    let error = media.client().upload(&media.file(ResourceType::Raw, "a", b"abc")).await.unwrap_err();
    let refusal = refusal(&error);
    assert_eq!(refusal.class, ErrorClass::Operator);
    assert!(refusal.advice.unwrap().contains("clock"));
    assert_eq!(media.requests("a"), 2);
}

#[tokio::test]
async fn a_failing_or_busy_server_says_when_to_try_again() {
    let media = Media::start().await;
    let upload = media.file(ResourceType::Raw, "a", b"abc");
    let status = |status, html: Option<&str>, retry_after| Effect::Status {
        status,
        message: None,
        html: html.map(str::to_owned),
        retry_after,
        at: Moment::BeforeStoring,
    };
    for (effect, waits) in [
        (status(500, None, None), None),
        (status(502, Some("<html>Bad Gateway</html>"), None), None),
        (status(200, Some("<html>maintenance</html>"), None), None),
        (status(503, None, Some(7)), Some(7..=7)),
        (status(429, None, Some(3)), Some(3..=3)),
        (Effect::RateLimit { limit: 500, reset_seconds: 60 }, Some(50..=60)),
    ] {
        media.fault(Fault::new(effect.clone()).on("upload").times(1));
        let error = media.client().upload(&upload).await.unwrap_err();
        let ErrorClass::Retry { after } = error.class() else { panic!("{effect:?}: {error}") };
        match waits {
            None => assert_eq!(after, None, "{effect:?}"),
            Some(range) => assert!(range.contains(&after.unwrap().as_secs()), "{effect:?}: {after:?}"),
        }
    }
    assert!(!media.client().upload(&upload).await.unwrap().existing);
}

#[tokio::test]
async fn a_link_in_the_place_of_the_file_is_not_followed() {
    let media = Media::start().await;
    let (upload, other) = (media.file(ResourceType::Raw, "a", b"abc"), media.file(ResourceType::Raw, "b", b"abd"));
    std::fs::remove_file(&upload.path).unwrap();
    std::os::unix::fs::symlink(&other.path, &upload.path).unwrap();
    let error = media.client().upload(&upload).await.unwrap_err();
    let Error::File { source, .. } = &error else { panic!("{error:?}") };
    assert_eq!(source.kind(), std::io::ErrorKind::NotFound, "{error}");
    // Nor a folder.
    std::fs::remove_file(&upload.path).unwrap();
    std::fs::create_dir(&upload.path).unwrap();
    let error = media.client().upload(&upload).await.unwrap_err();
    assert!(matches!(error, Error::File { .. }), "{error:?}");
    assert_eq!((media.requests("a"), media.stored()), (0, 0));
}

#[tokio::test]
async fn a_refused_file_is_discarded_with_the_servers_reason() {
    let media = Media::start().await;
    let error = media.client().upload(&media.file(ResourceType::Image, "a", b"not a picture")).await.unwrap_err();
    let refusal = refusal(&error);
    assert_eq!((refusal.status.as_u16(), refusal.class), (400, ErrorClass::Discard));
    assert_eq!(refusal.message, "Invalid image file");
    assert_ne!(refusal.request_id, "unknown");
}

#[tokio::test]
async fn wrong_credentials_are_the_operators_business_and_stay_out_of_the_text() {
    let media = Media::start().await;
    let upload = media.file(ResourceType::Raw, "a", b"abc");
    let prefix = media.config().upload_prefix;
    for (cloud, key, secret, variable) in [
        ("demo", "1234", "wrongsecret", "CLOUDINARY_API_SECRET"),
        ("demo", "wrongkey", "abcd", "CLOUDINARY_API_KEY"),
        ("elsewhere", "1234", "abcd", "CLOUDINARY_CLOUD_NAME"),
    ] {
        let mut config = Config::new(cloud, key, secret).unwrap();
        config.upload_prefix = prefix.clone();
        let error = Client::new(config).unwrap().upload(&upload).await.unwrap_err();
        assert_eq!(error.class(), ErrorClass::Operator, "{error}");
        assert!(error.to_string().contains(variable), "{error}");
        without_secrets(&error, &[key, secret]);
    }
    assert_eq!(media.client().lookup(ResourceType::Raw, "a").await.unwrap(), None);
}

#[tokio::test]
async fn bytes_that_arrived_wrong_are_deleted_before_the_next_attempt() {
    let media = Media::start().await;
    let upload = media.file(ResourceType::Raw, "a", b"abc");
    media.fault(Fault::new(Effect::WrongEtag).on("upload").times(1));
    let error = media.client().upload(&upload).await.unwrap_err();
    assert!(matches!(error, Error::Corrupted { .. }), "{error}");
    assert_retry(&error);
    assert_eq!(media.client().lookup(ResourceType::Raw, "a").await.unwrap(), None);
    assert!(!media.client().upload(&upload).await.unwrap().existing);
}

#[tokio::test]
async fn what_is_stored_is_compared_with_an_md5_that_was_known() {
    let media = Media::start().await;
    let upload = media.file(ResourceType::Raw, "a", b"abc");
    let with = |md5: &str| Upload { checksum: Checksum::Md5(md5.to_owned()), ..upload.clone() };
    // The file has changed since.
    let error = media.client().upload(&with("d41d8cd98f00b204e9800998ecf8427e")).await.unwrap_err();
    assert!(matches!(&error, Error::Corrupted(found) if found.found_etag == Media::md5(&upload)), "{error}");
    assert_eq!(media.stored(), 0);
    let stored = media.client().upload(&with(&Media::md5(&upload).to_uppercase())).await.unwrap();
    assert!(!stored.existing);
    assert!(media.client().upload(&upload).await.unwrap().existing, "and so is its CRC-32");
}

#[tokio::test]
async fn a_damaged_file_is_not_stored() {
    let media = Media::start().await;
    let client = media.client_with(|config| config.chunk_size = 1_000_000);
    for (bytes, requests) in [(5_000, 0), (3_500_000, 4)] {
        let content: Vec<u8> = (0..bytes).map(|at| (at / 256 % 251) as u8).collect();
        let id = bytes.to_string();
        let upload = media.file(ResourceType::Raw, &id, &content);
        let mut damaged = content;
        damaged[1_000] ^= 1;
        std::fs::write(&upload.path, damaged).unwrap();
        let error = client.upload(&upload).await.unwrap_err();
        assert!(matches!(error, Error::FileDamaged { .. }), "{error}");
        assert_eq!(error.class(), ErrorClass::Discard);
        // The last request was broken off.
        assert!(media.requests(&id) <= requests, "{}", media.requests(&id));
    }
    assert_eq!(media.stored(), 0);
}

#[tokio::test]
async fn a_reply_that_somebody_else_signed_is_not_believed() {
    let media = Media::start().await;
    media.fault(Fault::new(Effect::WrongSignature).on("upload").times(1));
    let error = media.client().upload(&media.file(ResourceType::Raw, "a", b"abc")).await.unwrap_err();
    assert!(matches!(error, Error::Forged { .. }), "{error}");
    assert_eq!(error.class(), ErrorClass::Operator);
}

#[tokio::test]
async fn a_file_that_is_gone_changed_or_unreadable_says_so() {
    let media = Media::start().await;
    let client = media.client();
    let mut upload = media.file(ResourceType::Raw, "a", b"abc");
    upload.bytes = 4;
    let error = client.upload(&upload).await.unwrap_err();
    assert!(matches!(error, Error::FileChanged { expected: 4, found: 3, .. }), "{error}");
    assert_eq!(error.class(), ErrorClass::Discard);

    // A folder can be opened, and fails only when it is read, in the middle of the request.
    upload.path = upload.path.parent().unwrap().to_owned();
    upload.bytes = std::fs::metadata(&upload.path).unwrap().len();
    let error = client.upload(&upload).await.unwrap_err();
    assert!(matches!(error, Error::File { .. }), "{error:?}");

    upload.path.push("missing");
    let error = client.upload(&upload).await.unwrap_err();
    assert!(matches!(error, Error::File { .. }), "{error}");
    assert_eq!(error.class(), ErrorClass::Discard);
}
