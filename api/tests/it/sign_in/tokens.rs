//! Tokens: what they are good for, and who knows them.

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use mongodb::bson::{Document, doc};
use reqwest::Method;
use serde_json::{Value, json};
use testkit::{Client, REFRESH_TOKEN_SECRET};

use crate::support::{CURRENT_USER, LOGOUT, Member, Tokens, World, assert_refused, bcrypt_hash, refresh, sign_in};

/// Whether an access token lets in.
pub async fn is_live(api: &Client, access: &str) -> bool {
    let answer = api.with_token(access).get(CURRENT_USER).await;
    assert!([200, 401].contains(&answer.status.as_u16()), "{}", answer.body);
    answer.status == 200
}

/// Whether a refresh token is exchanged.
pub async fn can_refresh(api: &Client, token: &str) -> bool {
    let answer = refresh(api, token).await;
    if answer.status != 200 {
        assert_refused(&answer, 401, &[]);
        assert_eq!(answer.header("set-cookie"), "");
    }
    answer.status == 200
}

/// A world with one user who can sign in.
pub async fn world_with_a_member(args: &[&str]) -> (World, Member) {
    let world = World::with(args).await;
    let member = world.member_with_hash(&bcrypt_hash()).await;
    (world, member)
}

/// What a token says of itself; something that is nowhere if it says nothing.
pub fn claim(token: &str, name: &str) -> String {
    use base64::Engine;
    let payload = token.split('.').nth(1).expect("a payload");
    let payload = base64::prelude::BASE64_URL_SAFE_NO_PAD.decode(payload).expect("base64");
    let claims: Value = serde_json::from_slice(&payload).expect("JSON");
    claims[name].as_str().unwrap_or("nowhere to be found").to_owned()
}

#[tokio::test]
async fn the_database_knows_no_token() {
    let (world, member) = world_with_a_member(&[]).await;
    let first = sign_in(&world.api, &member.name).await;
    let second = Tokens::of(&refresh(&world.api, &first.refresh).await.expect(200));
    for name in world.env.database().list_collection_names().await.expect("an answer") {
        let documents = world.env.database().collection::<Document>(&name);
        let mut found = documents.find(doc! {}).await.expect("an answer");
        while found.advance().await.expect("an answer") {
            let text = format!("{:?}", found.deserialize_current().expect("a document"));
            for token in [&first.access, &first.refresh, &second.access, &second.refresh] {
                let parts: Vec<&str> = token.split('.').collect();
                assert!(parts[1..].iter().all(|part| !text.contains(part)), "{name}: {text}");
                assert!(!text.contains(&claim(token, "jti")), "{name}: {text}");
            }
        }
    }
    world.end().await;
}

#[tokio::test]
async fn tokens_signed_with_the_secret_before_are_good_for_as_long_as_it_is_named() {
    let (world, member) = world_with_a_member(&[]).await;
    let old = sign_in(&world.api, &member.name).await;
    let present = [
        "--access-token-secret=a-new-secret-for-access-0123456789abc",
        "--refresh-token-secret=a-new-secret-for-refresh-0123456789ab",
    ];
    let previous = [
        format!("--access-token-secret-previous={}", testkit::ACCESS_TOKEN_SECRET),
        format!("--refresh-token-secret-previous={REFRESH_TOKEN_SECRET}"),
    ];
    let rotated = world.env.api_with(&[present[0], present[1], &previous[0], &previous[1]]).await;
    let later = world.env.api_with(&present).await;
    assert!(is_live(&rotated, &old.access).await && !is_live(&later, &old.access).await);
    assert!(!can_refresh(&later, &old.refresh).await);
    let new = Tokens::of(&refresh(&rotated, &old.refresh).await.expect(200));
    // Asked twice, once of a process that has not been told yet: the same token, whoever signs it.
    let twin = Tokens::of(&refresh(&world.api, &old.refresh).await.expect(200));
    assert_eq!(claim(&twin.refresh, "jti"), claim(&new.refresh, "jti"));
    // What it issues is signed with the present one.
    assert!(is_live(&later, &new.access).await && !is_live(&world.api, &new.access).await);
    let last = Tokens::of(&refresh(&later, &new.refresh).await.expect(200));
    assert!(!can_refresh(&world.api, &last.refresh).await, "the secret before is not the one after");
    assert!(can_refresh(&later, &last.refresh).await);
    for api in [rotated, later] {
        api.stop().await;
    }
    world.end().await;
}

#[tokio::test]
async fn a_token_is_good_for_its_own_use_only() {
    let (world, member) = world_with_a_member(&[]).await;
    let tokens = sign_in(&world.api, &member.name).await;
    assert!(!is_live(&world.api, &tokens.refresh).await, "a refresh token is no access token");
    assert!(!can_refresh(&world.api, &tokens.access).await, "an access token is no refresh token");
    let request = world.api.request(Method::POST, LOGOUT).header("cookie", format!("refreshToken={}", tokens.access));
    assert_refused(&world.api.send(request).await, 401, &[]);

    // Everything about it is right but for one thing.
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock").as_secs();
    let good = json!({
        "_id": member.id, "sub": member.id, "family": claim(&tokens.refresh, "family"), "jti": claim(&tokens.refresh, "jti"),
        "iss": "steep", "aud": "steep:refresh", "iat": now, "exp": now + 600,
    });
    let signed = |claims: &Value, algorithm, secret: &str| {
        jsonwebtoken::encode(&Header::new(algorithm), claims, &EncodingKey::from_secret(secret.as_bytes()))
            .expect("a token")
    };
    let with = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        signed(&claims, Algorithm::HS256, REFRESH_TOKEN_SECRET)
    };
    let right = signed(&good, Algorithm::HS256, REFRESH_TOKEN_SECRET);
    for (what, token) in [
        ("expired", with("exp", json!(now - 60))),
        ("from the future", with("iat", json!(now + 60))),
        ("for access", with("aud", json!("steep:access"))),
        ("from another issuer", with("iss", json!("somebody"))),
        ("of another family", with("family", json!("0123456789abcdef01234567"))),
        ("of a family that is no id", with("family", json!({"$gt": ""}))),
        ("of an id that is none", with("jti", json!(7))),
        ("with another secret", signed(&good, Algorithm::HS256, "another-secret-of-32-bytes-or-more")),
        ("with the other secret", signed(&good, Algorithm::HS256, testkit::ACCESS_TOKEN_SECRET)),
        ("with another algorithm", signed(&good, Algorithm::HS512, REFRESH_TOKEN_SECRET)),
        ("cut off", right[..right.len() - 2].to_owned()),
        (
            "as chai-backend issued it",
            signed(&json!({"_id": member.id, "iat": now, "exp": now + 600}), Algorithm::HS256, REFRESH_TOKEN_SECRET),
        ),
        ("nonsense", "nonsense".to_owned()),
        ("very long", "x".repeat(50_000)),
    ] {
        assert!(!can_refresh(&world.api, &token).await, "{what}");
    }
    assert!(is_live(&world.api, &tokens.access).await, "none of them was taken for a theft");
    // So they were refused for what is wrong with them.
    assert!(can_refresh(&world.api, &right).await);
    world.end().await;
}
