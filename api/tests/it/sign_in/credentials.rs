//! Who is let in, and as whom.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use mongodb::bson::{Document, doc, oid::ObjectId};
use reqwest::Method;
use serde_json::{Value, json};
use testkit::{ACCESS_TOKEN_SECRET, Answer, Census, Client, RawForm, TestEnv, Wire, access_tokens, jpeg};

use crate::support::{AVATAR, COVER_IMAGE, CURRENT_USER, MEDIA, Member, World, assert_accepted, assert_refused};

/// Asks who is signed in, with these headers.
async fn who(client: &Client, headers: &[(&str, &str)]) -> Answer {
    let mut request = client.request(Method::GET, CURRENT_USER);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    client.send(request).await
}

/// What a token of ours says.
fn claims(member: &Member) -> Value {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock").as_secs();
    json!({
        "_id": member.id, "sub": member.id, "sid": member.session, "email": "a@example.com", "username": member.name, "fullName": "A",
        "iss": "steep", "aud": "steep:access", "iat": now, "exp": now + 600,
    })
}

fn signed(claims: &Value, algorithm: Algorithm, secret: &str) -> String {
    let key = EncodingKey::from_secret(secret.as_bytes());
    jsonwebtoken::encode(&Header::new(algorithm), claims, &key).expect("a token")
}

#[tokio::test]
async fn a_token_that_we_did_not_make_or_that_has_expired_is_401() {
    let world = World::start().await;
    let member = world.member().await;
    let good = claims(&member);
    let with = |field: &str, value: Value| {
        let mut claims = claims(&member);
        claims[field] = value;
        signed(&claims, Algorithm::HS256, ACCESS_TOKEN_SECRET)
    };
    let without = |field: &str| {
        let mut claims = claims(&member);
        claims.as_object_mut().expect("an object").remove(field);
        signed(&claims, Algorithm::HS256, ACCESS_TOKEN_SECRET)
    };
    let token = signed(&good, Algorithm::HS256, ACCESS_TOKEN_SECRET);
    assert_accepted(&who(&world.api.with_token(&token), &[]).await, 200);

    let (head, signature) = token.rsplit_once('.').expect("three parts");
    let payload = head.split('.').nth(1).expect("a payload");
    let none = BASE64_URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"JWT"}"#);
    let now = good["iat"].as_u64().expect("a time");
    for (what, token) in [
        ("expired", with("exp", json!(now - 60))),
        ("without an end", without("exp")),
        ("for another use", with("aud", json!("steep:refresh"))),
        ("without a use", without("aud")),
        ("from another issuer", with("iss", json!("somebody"))),
        ("from the future", with("iat", json!(now + 60))),
        ("not valid yet", with("nbf", json!(now + 60))),
        ("without a time", without("iat")),
        ("without a user", without("sub")),
        ("without a session", without("sid")),
        ("of a session that is no id", with("sid", json!({"$gt": ""}))),
        ("of a session that is unknown", with("sid", json!("0123456789abcdef01234567"))),
        (
            "as chai-backend issued it",
            signed(
                &json!({
                    "_id": member.id, "email": "a@example.com", "username": member.name, "fullName": "A", "iat": now, "exp": now + 600,
                }),
                Algorithm::HS256,
                ACCESS_TOKEN_SECRET,
            ),
        ),
        ("of a user who is no id", with("sub", json!({"$gt": ""}))),
        ("of a user who is unknown", with("sub", json!("0123456789abcdef01234567"))),
        ("signed by another key", signed(&good, Algorithm::HS256, "another-secret-of-32-bytes-or-more")),
        ("signed by another algorithm", signed(&good, Algorithm::HS512, ACCESS_TOKEN_SECRET)),
        ("not signed", format!("{none}.{payload}.")),
        ("not signed, with a signature", format!("{none}.{payload}.{signature}")),
        ("cut off", token[..token.len() - 2].to_owned()),
        ("two parts", head.to_owned()),
        ("nonsense", "nonsense".to_owned()),
        ("very long", "x".repeat(10_000)),
    ] {
        let answer = who(&world.api.with_token(&token), &[]).await;
        assert_eq!(answer.status, 401, "{what}");
        assert_refused(&answer, 401, &[]);
        assert_eq!(answer.header("www-authenticate"), "Bearer", "{what}");
    }
    world.end().await;
}

#[tokio::test]
async fn the_cookie_goes_before_the_header() {
    let world = World::start().await;
    let (ada, eve) = (world.member().await, world.member().await);
    let cookie = format!("theme=dark; accessToken={}", ada.client.token().expect("a token"));
    for header in [format!("Bearer {}", eve.client.token().expect("a token")), "Bearer null".to_owned()] {
        let answer = who(world.api.client(), &[("cookie", &cookie), ("authorization", &header)]).await;
        assert_accepted(&answer, 200);
        assert_eq!(answer.data()["username"], ada.name.as_str());
    }
    // A cookie that holds nothing is none.
    let header = format!("bearer {}", eve.client.token().expect("a token"));
    for cookie in ["accessToken=", "accessToken=undefined", "refreshToken=x"] {
        let answer = who(world.api.client(), &[("cookie", cookie), ("authorization", &header)]).await;
        assert_eq!(answer.data()["username"], eve.name.as_str(), "{cookie}");
    }
    world.end().await;
}

#[tokio::test]
async fn whoever_presents_nothing_is_401() {
    let world = World::start().await;
    for header in ["Bearer null", "Bearer undefined", "Bearer ", "Bearer", "Basic YWRhOng=", ""] {
        assert_refused(&who(world.api.client(), &[("authorization", header)]).await, 401, &[]);
    }
    for (method, path) in [
        (Method::GET, CURRENT_USER),
        (Method::GET, MEDIA),
        (Method::GET, "/api/v1/jobs/0197a0a0-0000-7000-8000-000000000000"),
        (Method::POST, MEDIA),
        (Method::PATCH, AVATAR),
        (Method::PATCH, COVER_IMAGE),
    ] {
        assert_refused(&world.api.send(world.api.request(method, path)).await, 401, &[]);
    }
    world.end().await;
}

#[tokio::test]
async fn whoever_is_not_signed_in_is_refused_before_the_body_is_read() {
    let world = World::start().await;
    for (method, path) in [("POST", MEDIA), ("PATCH", AVATAR), ("PATCH", COVER_IMAGE)] {
        let mut wire = Wire::open(world.api.client()).await;
        wire.form_head(method, path, 5_000_000).await;
        assert_refused(&wire.answer().await, 401, &[]);
    }
    TestEnv::until("no file is left", async || world.env.spooled_files() == 0).await;
    world.end().await;
}

#[tokio::test]
async fn the_current_user_is_as_the_database_has_them_now() {
    let world = World::start().await;
    let member = world.member().await;
    let answer = member.client.get(CURRENT_USER).await;
    assert_accepted(&answer, 200);
    assert_eq!(answer.data()["_id"], member.id.to_string());
    assert_eq!((&answer.data()["avatar"], &answer.data()["coverImage"]), (&json!(""), &json!("")));
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(answer.data().get("jobs"), None, "asking begins nothing");

    delete(&world, &member).await;
    assert_refused(&member.client.get(CURRENT_USER).await, 401, &[]);
    let (token, now) = (member.client.token().expect("a token"), world.env.store().now().await.expect("a time"));
    assert!(access_tokens().verify(token, now).is_ok(), "only the user is missing");
    world.end().await;
}

#[tokio::test]
async fn whoever_is_deleted_while_an_image_is_received_is_401_and_leaves_nothing() {
    let world = World::start().await;
    for (path, field) in [(AVATAR, "avatar"), (COVER_IMAGE, "coverImage")] {
        let member = world.member().await;
        let form = RawForm::new().file(field, "a.jpg", &jpeg(600_000)).finished();
        let mut wire = Wire::open(&member.client).await;
        wire.form_head("PATCH", path, form.len()).await;
        wire.send(&form[..500_000]).await;
        TestEnv::until("it is being received", || async { world.env.spooled_files() == 1 }).await;
        delete(&world, &member).await;
        wire.send(&form[500_000..]).await;
        let answer = wire.answer().await;
        world.refused(Census::default(), &answer, 401, &[]).await;
    }
    world.end().await;
}

async fn delete(world: &World, member: &Member) {
    let users = world.env.database().collection::<Document>("users");
    users.delete_one(doc! { "_id": ObjectId::from_bytes(member.id.bytes()) }).await.expect("an answer");
}
