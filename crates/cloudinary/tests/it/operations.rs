//! Deleting, looking up, pinging.

use std::time::{Duration, Instant};

use cloudinary::{Client, Config, Destroyed, Error, ErrorClass, ResourceType};
use cloudinary_local::{Effect, Fault, Moment};

use crate::support::{Media, PNG, assert_retry, without_secrets};

#[tokio::test]
async fn deleting_twice_is_harmless() {
    let media = Media::start().await;
    let client = media.client();
    client.upload(&media.file(ResourceType::Raw, "a/b c", b"abc")).await.unwrap();
    assert_eq!(client.destroy(ResourceType::Image, "a/b c").await.unwrap(), Destroyed::NotFound);
    assert!(client.lookup(ResourceType::Raw, "a/b c").await.unwrap().is_some());
    assert_eq!(client.destroy(ResourceType::Raw, "a/b c").await.unwrap(), Destroyed::Deleted);
    assert_eq!(client.destroy(ResourceType::Raw, "a/b c").await.unwrap(), Destroyed::NotFound);
    assert_eq!(client.lookup(ResourceType::Raw, "a/b c").await.unwrap(), None);
}

#[tokio::test]
async fn a_deletion_whose_reply_was_lost_is_repeated() {
    let media = Media::start().await;
    let client = media.client();
    client.upload(&media.file(ResourceType::Raw, "a", b"abc")).await.unwrap();
    media.fault(Fault::new(Effect::Drop { at: Moment::AfterStoring, after_bytes: 0 }).on("destroy").times(1));
    assert_retry(&client.destroy(ResourceType::Raw, "a").await.unwrap_err());
    assert_eq!(client.destroy(ResourceType::Raw, "a").await.unwrap(), Destroyed::NotFound);
}

#[tokio::test]
async fn whoever_is_to_be_told_is_told_of_an_upload_and_of_a_deletion() {
    // Nobody is there, which is counted. Only a signature that covers the address is accepted, and of version 2.
    let media = Media::start_with(|config| {
        (config.fetch_private, config.accept_v1, config.notification_retry) = (true, false, Duration::ZERO);
    })
    .await;
    let address = Some("http://127.0.0.1:9/webhook?of=steep&tags=a".parse().unwrap());
    let telling = media.client_with(|config| config.notification_url = address);
    for (client, names, told) in [(media.client(), ["a", "a in chunks"], 0), (telling, ["b", "b in chunks"], 4)] {
        client.upload(&media.file(ResourceType::Raw, names[0], b"abc")).await.unwrap();
        client.upload(&media.file(ResourceType::Raw, names[1], &[7; 2500])).await.unwrap();
        for name in names {
            assert_eq!(client.destroy(ResourceType::Raw, name).await.unwrap(), Destroyed::Deleted, "{name}");
        }
        let deadline = Instant::now() + Duration::from_secs(60);
        while media.notifications().waiting > 0 {
            assert!(Instant::now() < deadline, "{:?}", media.notifications());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(media.notifications().lost, told);
    }
}

#[tokio::test]
async fn a_404_tells_an_absent_asset_from_a_wrong_address() {
    let media = Media::start().await;
    let status = |message: Option<&str>, html: Option<&str>| Effect::Status {
        status: 404,
        message: message.map(str::to_owned),
        html: html.map(str::to_owned),
        retry_after: None,
        at: Moment::BeforeStoring,
    };
    media.fault(Fault::new(status(Some("Resource not found - a"), None)).on("destroy").times(1));
    assert_eq!(media.client().destroy(ResourceType::Raw, "a").await.unwrap(), Destroyed::NotFound);

    media.fault(Fault::new(status(None, Some("<html>no such page</html>"))));
    let error = media.client().destroy(ResourceType::Raw, "a").await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Operator);
    assert!(error.to_string().contains("CLOUDINARY_UPLOAD_PREFIX"), "{error}");
    let error = media.client().lookup(ResourceType::Raw, "a").await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Operator);
    let error = media.client().upload(&media.file(ResourceType::Raw, "a", b"abc")).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Operator);
}

#[tokio::test]
async fn a_look_up_finds_what_was_uploaded() {
    let media = Media::start().await;
    let upload = media.file(ResourceType::Image, "dir/naïve 日本", PNG);
    let stored = media.client().upload(&upload).await.unwrap();
    let found = media.client().lookup(ResourceType::Image, "dir/naïve 日本").await.unwrap().unwrap();
    assert!(found.existing && found.holds(upload.bytes, Media::md5(&upload)));
    assert_eq!((found.version, found.asset_id), (stored.version, stored.asset_id));
}

#[tokio::test]
async fn a_look_up_tells_good_credentials_from_bad_ones_and_from_silence() {
    let media = Media::start().await;
    assert_eq!(media.client().lookup(ResourceType::Raw, "a").await.unwrap(), None);

    let mut wrong = Config::new("demo", "1234", "wrongsecret").unwrap();
    wrong.upload_prefix = media.config().upload_prefix;
    let error = Client::new(wrong).unwrap().lookup(ResourceType::Raw, "a").await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Operator);
    without_secrets(&error, &["wrongsecret"]);

    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let silent = media.client_with(|config| config.upload_prefix = format!("http://{closed}").parse().unwrap());
    let error = silent.lookup(ResourceType::Raw, "a").await.unwrap_err();
    assert!(matches!(error, Error::Transport { .. }), "{error}");
    assert!(error.to_string().contains("refused"), "{error}");
    assert_retry(&error);
}
