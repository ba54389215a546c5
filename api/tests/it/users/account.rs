//! Changing what one is called, and names that look alike.

use reqwest::Method;
use serde_json::{Value, json};
use testkit::{Answer, Census, Client, PASSWORD, Upload, jpeg};

use crate::support::{
    CURRENT_USER, LOGIN, REGISTER, UPDATE_ACCOUNT, World, assert_accepted, assert_refused, bcrypt_hash,
};

async fn update(client: &Client, body: Value) -> Answer {
    client.send(client.request(Method::PATCH, UPDATE_ACCOUNT).json(&body)).await
}

#[tokio::test]
async fn the_full_name_and_the_address_change_and_what_is_not_sent_stays() {
    let world = World::start().await;
    let member = world.member_with_hash(&bcrypt_hash()).await;
    let answer =
        update(&member.client, json!({"fullName": " Ada L. ", "email": "Ada@Example.COM", "role": "admin"})).await;
    assert_accepted(&answer, 200);
    assert_eq!((&answer.data()["fullName"], &answer.data()["email"]), (&json!("Ada L."), &json!("ada@example.com")));
    assert_eq!(answer.data(), member.client.get(CURRENT_USER).await.data());
    assert_eq!(answer.data().get("role"), None);

    assert_accepted(&update(&member.client, json!({"fullName": "Ada"})).await, 200);
    assert_accepted(&update(&member.client, json!({"email": "ada@example.com", "fullName": null})).await, 200);
    let user = member.client.get(CURRENT_USER).await;
    assert_eq!((&user.data()["fullName"], &user.data()["email"]), (&json!("Ada"), &json!("ada@example.com")));
    let by_email = world.api.post(LOGIN, &json!({"email": "ada@example.com", "password": PASSWORD})).await;
    assert_accepted(&by_email, 200);
    world.end().await;
}

#[tokio::test]
async fn what_is_not_what_its_field_holds_is_422_and_changes_nothing() {
    let world = World::start().await;
    let member = world.member().await;
    let before = member.client.get(CURRENT_USER).await;
    let long = "x".repeat(20_000);
    for (body, fields) in [
        (json!({}), &["fullName", "email"][..]),
        (json!({"fullName": "", "email": " "}), &["fullName", "email"]),
        (json!({"fullName": "Ada", "email": ""}), &["email"]),
        (json!({"email": {"$gt": ""}}), &["email"]),
        (json!({"fullName": ["Ada"]}), &["fullName"]),
        (json!({"email": "ada"}), &["email"]),
        (json!({"email": "a\u{202e}da@example.com"}), &["email"]),
        (json!({"fullName": "Ada\u{0}"}), &["fullName"]),
        (json!({"fullName": "Ada \u{202e}ecalevoL"}), &["fullName"]),
        (json!({"fullName": "\u{2066}Ada"}), &["fullName"]),
        (json!({"fullName": long, "email": format!("{long}@example.com")}), &["fullName", "email"]),
    ] {
        assert_refused(&update(&member.client, body).await, 422, fields);
    }
    assert_refused(&update(world.api.client(), json!({"fullName": "Ada"})).await, 401, &[]);
    assert_eq!(member.client.get(CURRENT_USER).await.data(), before.data());
    world.end().await;
}

#[tokio::test]
async fn an_address_that_somebody_has_is_409_however_it_is_written() {
    let world = World::start().await;
    let (ada, eve) = (world.member().await, world.member().await);
    let taken = format!("{}@example.com", ada.name);
    for email in [taken.clone(), taken.to_uppercase(), taken.replace('m', "\u{ff4d}")] {
        assert_refused(&update(&eve.client, json!({"fullName": "Eve", "email": email})).await, 409, &["email"]);
    }
    assert_ne!(eve.client.get(CURRENT_USER).await.data()["fullName"], "Eve", "nothing of it is changed");
    world.end().await;
}

#[tokio::test]
async fn of_many_who_want_one_address_at_once_exactly_one_gets_it() {
    let world = World::start().await;
    let mut racers = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let client = world.member().await.client;
        racers.spawn(async move { update(&client, json!({"email": "wanted@example.com"})).await });
    }
    let (won, lost): (Vec<_>, Vec<_>) = racers.join_all().await.into_iter().partition(|answer| answer.status == 200);
    assert_eq!(won.len(), 1);
    for answer in &lost {
        assert_refused(answer, 409, &["email"]);
    }
    world.end().await;
}

#[tokio::test]
async fn names_that_look_alike_are_one() {
    let world = World::start().await;
    let form = |username: &str, email: &str| {
        let form = Upload::new().text("fullName", "Ada").text("email", email).text("username", username);
        form.text("password", PASSWORD).file("avatar", "me.jpg", jpeg(2_000))
    };
    // Full-width letters, a ligature, an accent of its own.
    let first = form("\u{ff21}da\u{fb01}e\u{301}", "\u{ff21}da@Example.com");
    let answer = world.api.upload(Method::POST, REGISTER, &first).await.expect(201);
    assert_eq!(
        (&answer.data()["username"], &answer.data()["email"]),
        (&json!("adafi\u{e9}"), &json!("ada@example.com"))
    );
    let before = world.env.census().await;
    for (username, email, field) in [
        ("ADAFI\u{c9}", "new@example.com", "username"),
        ("adafie\u{301}", "new@example.com", "username"),
        ("new", "ada@\u{ff45}xample.com", "email"),
    ] {
        let answer = world.api.upload(Method::POST, REGISTER, &form(username, email)).await;
        world.refused(before, &answer, 409, &[field]).await;
    }
    for username in ["adafi\u{e9}", "\u{ff21}DAFIE\u{301}"] {
        assert_accepted(&world.api.post(LOGIN, &json!({"username": username, "password": PASSWORD})).await, 200);
    }
    for (username, name) in [("a\u{202e}da", "Ada"), ("ada", "A\u{200f}da"), ("a\u{200d}da", "Ada")] {
        let form = Upload::new().text("fullName", name).text("email", "x@example.com").text("username", username);
        let form = form.text("password", PASSWORD).file("avatar", "me.jpg", jpeg(2_000));
        let answer = world.api.upload(Method::POST, REGISTER, &form).await;
        let field = if name == "Ada" { "username" } else { "fullName" };
        world.refused(before, &answer, 422, &[field]).await;
    }
    assert_ne!(before, Census::default());
    world.work_off_and_end().await;
}
