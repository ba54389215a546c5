//! What a password may be, and how it is changed.

use reqwest::Method;
use serde_json::{Value, json};
use testkit::{Census, PASSWORD, Upload, jpeg};

use crate::support::{
    CHANGE_PASSWORD, CURRENT_USER, LOGIN, REGISTER, World, assert_accepted, assert_refused, bcrypt_hash,
};

/// Passwords that nobody may choose who is called `ada.lovelace` and has this address.
const REFUSED: [&str; 9] = [
    "",
    "1234567",
    "\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}",
    "password",
    "PassWord1",
    "1234567890",
    "ada.lovelace",
    "Ada.Lovelace",
    "ada.lovelace@example.com",
];

#[tokio::test]
async fn one_cannot_register_with_a_password_that_is_tried_first() {
    let world = World::start().await;
    let long = "x".repeat(129);
    for password in REFUSED.into_iter().chain([long.as_str()]) {
        let form = Upload::new().text("fullName", "Ada").text("email", "ada.lovelace@example.com");
        let form =
            form.text("username", "ada.lovelace").text("password", password).file("avatar", "a.jpg", jpeg(2_000));
        let answer = world.api.upload(Method::POST, REGISTER, &form).await;
        world.refused(Census::default(), &answer, 422, &["password"]).await;
    }
    world.end().await;
}

#[tokio::test]
async fn one_cannot_change_to_it_either() {
    let world = World::start().await;
    let member = world.member_with_hash(&bcrypt_hash()).await;
    let own = [member.name.to_uppercase(), format!("{}@example.com", member.name), "x".repeat(129)];
    for new in REFUSED[..6].iter().copied().chain(own.iter().map(String::as_str)) {
        let answer = member.client.post(CHANGE_PASSWORD, &json!({"oldPassword": PASSWORD, "newPassword": new})).await;
        assert_refused(&answer, 422, &["newPassword"]);
    }
    let still = world.api.post(LOGIN, &json!({"username": member.name, "password": PASSWORD})).await;
    assert_accepted(&still, 200);
    world.end().await;
}

#[tokio::test]
async fn changing_a_password_takes_the_old_one_and_a_new_one() {
    let world = World::start().await;
    let member = world.member_with_hash(&bcrypt_hash()).await;
    let new = "another password";
    for (body, fields) in [
        (json!({}), &["oldPassword", "newPassword"][..]),
        (json!({"newPassword": new}), &["oldPassword"]),
        (json!({"oldPassword": PASSWORD}), &["newPassword"]),
        (json!({"oldPassword": "", "newPassword": null}), &["oldPassword", "newPassword"]),
        (json!({"oldPassword": {"$ne": ""}, "newPassword": new}), &["oldPassword"]),
        (json!({"oldPassword": PASSWORD, "newPassword": 12_345_678}), &["newPassword"]),
        (json!({"oldPassword": "wrong password", "newPassword": new}), &["oldPassword"]),
    ] {
        assert_refused(&member.client.post(CHANGE_PASSWORD, &body).await, 422, fields);
    }
    let body = json!({"oldPassword": PASSWORD, "newPassword": new});
    assert_refused(&world.api.post(CHANGE_PASSWORD, &body).await, 401, &[]);
    assert_accepted(&member.client.post(CHANGE_PASSWORD, &body).await, 200);
    assert_refused(&member.client.post(CHANGE_PASSWORD, &body).await, 422, &["oldPassword"]);
    assert_eq!(member.client.get(CURRENT_USER).await.status, 200);
    for (password, status) in [(PASSWORD, 401), (new, 200)] {
        let answer = world.api.post(LOGIN, &json!({"username": member.name, "password": password})).await;
        assert_eq!(answer.status, status, "{}", answer.body);
    }
    world.end().await;
}

#[tokio::test]
async fn of_two_changes_at_once_one_counts_and_the_password_is_its() {
    let world = World::start().await;
    let member = world.member_with_hash(&bcrypt_hash()).await;
    let mut racers = tokio::task::JoinSet::new();
    for number in 0..4 {
        let (client, new) = (member.client.clone(), format!("password number {number}"));
        racers.spawn(async move {
            let body = json!({"oldPassword": PASSWORD, "newPassword": new});
            (new, client.post(CHANGE_PASSWORD, &body).await)
        });
    }
    let (won, lost): (Vec<_>, Vec<_>) =
        racers.join_all().await.into_iter().partition(|(_, answer)| answer.status == 200);
    assert_eq!(won.len(), 1);
    for (_, answer) in &lost {
        // Checked before the winner was through, or after.
        assert!([401, 422].contains(&answer.status.as_u16()), "{}", answer.body);
    }
    for (new, status) in lost.iter().map(|(new, _)| (new, 401)).chain([(&won[0].0, 200)]) {
        let answer = world.api.post(LOGIN, &json!({"username": member.name, "password": new})).await;
        assert_eq!(answer.status, status, "{}", answer.body);
    }
    world.end().await;
}

#[tokio::test]
async fn bad_bodies_are_named_on_every_route_that_takes_one() {
    let world = World::start().await;
    let member = world.member().await;
    let deep = format!("{{\"fullName\":{}{}}}", "[".repeat(10_000), "]".repeat(10_000));
    for (method, path, field) in [
        (Method::POST, CHANGE_PASSWORD, "oldPassword"),
        (Method::PATCH, crate::support::UPDATE_ACCOUNT, "fullName"),
        (Method::POST, crate::support::REFRESH_TOKEN, "refreshToken"),
    ] {
        let send = |content_type: &str, body: String| {
            let request = member.client.request(method.clone(), path).header("content-type", content_type);
            let client = member.client.clone();
            async move { client.send(request.body(body)).await }
        };
        let json = "application/json";
        for (content_type, body, status, fields) in [
            (json, format!("{{\"{field}\": \"a\", \"{field}\": \"b\"}}"), 422, &[field][..]),
            (json, format!("{{\"{field}\": {{\"$gt\": \"\"}}}}"), 422, &[field]),
            ("application/x-www-form-urlencoded", format!("{field}=a&{field}=b"), 422, &[field]),
            (json, "[]".to_owned(), 422, &[]),
            (json, "{".to_owned(), 400, &[]),
            (json, format!("{{\"a\": \"{}\"}}", "x".repeat(200_000)), 413, &[]),
            ("text/plain", "{}".to_owned(), 415, &[]),
        ] {
            assert_refused(&send(content_type, body).await, status, fields);
        }
        let answer = send(json, deep.clone()).await;
        assert!((400..500).contains(&answer.status.as_u16()), "{path}: {}", answer.body);
        let escaped: Value = json!({ field: "\u{0}\u{202e}\u{1b}" });
        let answer = send(json, escaped.to_string()).await;
        assert!([401, 422].contains(&answer.status.as_u16()), "{path}: {}", answer.body);
    }
    world.end().await;
}
