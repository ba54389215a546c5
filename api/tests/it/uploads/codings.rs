//! Bodies that are compressed.

use reqwest::Method;
use serde_json::json;
use testkit::{Answer, Client, FORM_TYPE, PASSWORD, RawForm, jpeg};

use crate::support::{
    AVATAR, CHANGE_PASSWORD, COVER_IMAGE, LOGIN, MEDIA, REFRESH_TOKEN, REGISTER, UPDATE_ACCOUNT, World,
    assert_accepted, assert_refused, bcrypt_hash, sign_in,
};

async fn send(client: &Client, method: &Method, path: &str, coding: &str, body: (&str, Vec<u8>)) -> Answer {
    let request = client.request(method.clone(), path).header("content-encoding", coding);
    client.send(request.header("content-type", body.0).body(body.1)).await
}

#[tokio::test]
async fn a_compressed_body_is_415_wherever_one_is_read_and_changes_nothing() {
    let world = World::start().await;
    let member = world.member_with_hash(&bcrypt_hash()).await;
    let before = world.env.census().await;
    let form = |field: &str| (FORM_TYPE, RawForm::new().file(field, "a.jpg", &jpeg(2_000)).finished());
    // Right but for the header: what is read as if that were not there would be taken.
    let credentials = json!({"username": member.name, "password": PASSWORD}).to_string();
    let account = json!({"fullName": "Ada", "email": "ada@example.com"}).to_string();
    let passwords = json!({"oldPassword": PASSWORD, "newPassword": "difference engine"}).to_string();
    let json = |text: &str| ("application/json", text.as_bytes().to_vec());
    for coding in ["gzip", "br", "deflate", "zstd", "x-gzip", "identity, gzip"] {
        for (method, path, body) in [
            (Method::POST, REGISTER, form("avatar")),
            (Method::POST, MEDIA, form("file")),
            (Method::PATCH, AVATAR, form("avatar")),
            (Method::PATCH, COVER_IMAGE, form("coverImage")),
            (Method::POST, LOGIN, json(&credentials)),
            (Method::POST, REFRESH_TOKEN, json(r#"{"refreshToken": "x"}"#)),
            (Method::PATCH, UPDATE_ACCOUNT, json(&account)),
            (Method::POST, CHANGE_PASSWORD, json(&passwords)),
        ] {
            let answer = send(&member.client, &method, path, coding, body).await;
            assert_eq!(answer.status, 415, "{path} {coding}: {}", answer.body);
            assert_refused(&answer, 415, &[]);
            assert_eq!(answer.header("accept-encoding"), "identity", "{path}");
            assert_eq!(answer.body["type"], "urn:steep:problem:unsupported-encoding");
        }
    }
    assert_eq!(world.env.census().await, before);
    sign_in(&world.api, &member.name).await;
    world.end().await;
}

#[tokio::test]
async fn a_body_that_says_it_is_not_compressed_is_read() {
    let world = World::start().await;
    let member = world.member_with_hash(&bcrypt_hash()).await;
    for coding in ["identity", "Identity", ""] {
        let form = (FORM_TYPE, RawForm::new().file("file", "a.jpg", &jpeg(2_000)).finished());
        assert_accepted(&send(&member.client, &Method::POST, MEDIA, coding, form).await, 202);
        let credentials = json!({"username": member.name, "password": PASSWORD}).to_string();
        let credentials = ("application/json", credentials.into_bytes());
        assert_accepted(&send(&world.api, &Method::POST, LOGIN, coding, credentials).await, 200);
    }
    // Another type is still what is told when nothing is compressed.
    let answer = send(&world.api, &Method::POST, LOGIN, "identity", ("text/plain", b"{}".to_vec())).await;
    assert_refused(&answer, 415, &[]);
    assert_eq!(answer.header("accept-encoding"), "");
    world.work_off_and_end().await;
}
