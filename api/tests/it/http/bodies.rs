//! Bodies that should be JSON.

use reqwest::Method;
use serde_json::json;
use testkit::{Answer, PASSWORD, Wire};

use crate::support::{LOGIN, World, assert_refused, bcrypt_hash};

const FORM: &str = "application/x-www-form-urlencoded";

async fn post(world: &World, content_type: &str, body: impl Into<reqwest::Body>) -> Answer {
    let request = world.api.request(Method::POST, LOGIN).header("content-type", content_type);
    world.api.send(request.body(body)).await
}

async fn post_json(world: &World, body: impl Into<reqwest::Body>) -> Answer {
    post(world, "application/json", body).await
}

#[tokio::test]
async fn a_value_of_the_wrong_type_is_422_and_the_field_named() {
    let world = World::start().await;
    for (body, field) in [
        (r#"{"email": {"$gt": ""}, "password": "x"}"#, "email"),
        (r#"{"username": ["ada"], "password": "x"}"#, "username"),
        (r#"{"username": 7, "password": "x"}"#, "username"),
        (r#"{"username": "ada", "password": {"$ne": null}}"#, "password"),
        (r#"{"username": "ada", "password": true}"#, "password"),
        (r#"{"username": "ada", "username": "eve", "password": "x"}"#, "username"),
        (r#"{"password": "x", "username": "ada", "password": "y"}"#, "password"),
    ] {
        let answer = post_json(&world, body).await;
        assert_eq!(answer.status, 422, "{body}: {}", answer.body);
        assert_refused(&answer, 422, &[field]);
    }
    world.end().await;
}

#[tokio::test]
async fn a_field_that_a_form_has_twice_is_422_and_named() {
    let world = World::start().await;
    for (body, field) in [
        ("username=ada&username=eve&password=x", "username"),
        ("password=x&username=ada&password=x", "password"),
        ("username=ada&user%6Eame=eve&password=x", "username"),
        ("email=&password=x&email=eve%40example.com", "email"),
    ] {
        assert_refused(&post(&world, FORM, body).await, 422, &[field]);
    }
    // As in JSON, nobody minds what is not looked at.
    let answer = post(&world, FORM, "more=1&more=2&username=nobody&password=x").await;
    assert_refused(&answer, 401, &[]);
    world.end().await;
}

#[tokio::test]
async fn json_that_is_no_object_is_422() {
    let world = World::start().await;
    for body in ["null", "7", "\"ada\"", "[]", "[\"ada\", \"eve\", \"secret\"]"] {
        assert_refused(&post_json(&world, body).await, 422, &[]);
    }
    world.end().await;
}

#[tokio::test]
async fn what_is_not_json_is_400() {
    let world = World::start().await;
    let brackets = "[".repeat(10_000);
    for body in [
        "{",
        "{\"username\": \"ada\"",
        "{'username': 'ada'}",
        "username=ada",
        "{} {}",
        "{\"username\": \"a\nb\"}",
        "{\"username\": \"\\ud800\"}",
        "\u{feff}{}",
        "{\"a\": 1,}",
        &brackets,
    ] {
        let answer = post_json(&world, body.to_owned()).await;
        assert_eq!(answer.status, 400, "{:?}: {}", &body[..body.len().min(30)], answer.body);
        assert_refused(&answer, 400, &[]);
    }
    assert_refused(&post_json(&world, b"{\"username\": \"\xff\"}".to_vec()).await, 400, &[]);
    world.end().await;
}

#[tokio::test]
async fn json_that_is_ten_thousand_deep_hurts_nobody() {
    let world = World::start().await;
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    // Where it is not looked at.
    let body = format!("{{\"extra\": {deep}, \"username\": \"nobody\", \"password\": \"{PASSWORD}\"}}");
    let answer = post_json(&world, body).await;
    assert!([400, 401].contains(&answer.status.as_u16()), "{}", answer.body);
    // Where a string is expected, and where an object is.
    assert_refused(&post_json(&world, format!("{{\"username\": {deep}}}")).await, 422, &["username"]);
    let objects = format!("{}1{}", "{\"a\":".repeat(10_000), "}".repeat(10_000));
    let answer = post_json(&world, objects).await;
    assert!([400, 422].contains(&answer.status.as_u16()), "{}", answer.body);
    assert_eq!(world.api.get("/healthz").await.status, 200);
    world.end().await;
}

#[tokio::test]
async fn a_name_or_password_of_any_length_and_characters_is_wrong_and_nothing_worse() {
    let world = World::with(&["--login-refusal-time=0s"]).await;
    let member = world.member_with_hash(&bcrypt_hash()).await;
    for text in [
        "\0",
        "ada\0",
        "\u{1b}[2J",
        "a\r\nSet-Cookie: x=y",
        "\u{7f}\u{9b}31m",
        "\u{202e}ada",
        "\u{2067}ada\u{2069}",
        "\u{200f}",
        "\u{5d0}\u{5d3}\u{5d4}",
        "\u{feff}ada",
        "\u{fffe}\u{10ffff}",
        &"x".repeat(100_000),
        &"\0".repeat(16_000),
        // Accents that belong into another order, and a sign that is eighteen letters in NFKC.
        &format!("a{}", "\u{315}\u{300}".repeat(20_000)),
        &"\u{fdfa}".repeat(30_000),
    ] {
        let shown: String = text.chars().take(10).collect();
        for body in [
            json!({"username": text, "password": PASSWORD}),
            json!({"email": text, "password": PASSWORD}),
            json!({"username": member.name, "password": text}),
            json!({"username": "nobody", "password": text}),
        ] {
            let answer = world.api.post(LOGIN, &body).await;
            assert_eq!(answer.status, 401, "{shown:?}: {}", answer.body);
            assert_refused(&answer, 401, &[]);
        }
        let answer = world.api.send(world.api.request(Method::POST, LOGIN).form(&[("username", text)])).await;
        assert!([413, 422].contains(&answer.status.as_u16()), "{shown:?}: {}", answer.body);
    }
    // Nothing but blanks of other scripts is no name; and as part of a name, a byte that is no text is no surprise.
    let answer = world.api.post(LOGIN, &json!({"username": "\u{2028}\u{85}\u{3000}", "password": PASSWORD})).await;
    assert_refused(&answer, 422, &["username"]);
    assert_refused(&post(&world, FORM, "username=%ff%00%fe&password=%c3%28").await, 401, &[]);
    world.end().await;
}

#[tokio::test]
async fn another_content_type_is_415() {
    let world = World::start().await;
    for content_type in ["text/plain", "application/xml", "multipart/form-data; boundary=x", "nonsense", ""] {
        assert_refused(&post(&world, content_type, "{}").await, 415, &[]);
    }
    for content_type in ["application/json; charset=utf-8", "Application/JSON"] {
        assert_refused(&post(&world, content_type, "{}").await, 422, &["username", "password"]);
    }
    world.end().await;
}

#[tokio::test]
async fn a_body_that_is_too_long_is_413() {
    let world = World::start().await;
    let padded = |bytes: usize| format!("{{\"pad\": \"{}\"}}", "x".repeat(bytes - 11));
    assert_refused(&post_json(&world, padded(100 * 1024)).await, 422, &["username", "password"]);
    assert_refused(&post_json(&world, padded(100 * 1024 + 1)).await, 413, &[]);
    // Far too long, from a client that reads no answer until it has sent everything.
    assert_refused(&post_json(&world, padded(20_000_000)).await, 413, &[]);
    world.end().await;
}

#[tokio::test]
async fn a_declared_length_that_is_too_long_is_refused_before_the_body_is_read() {
    let world = World::start().await;
    let mut wire = Wire::open(world.api.client()).await;
    wire.head("POST", LOGIN, &[("content-type", "application/json"), ("content-length", "50000000")]).await;
    assert_refused(&wire.answer().await, 413, &[]);
    drop(wire);
    world.end().await;
}

#[tokio::test]
async fn a_body_that_is_cut_off_is_400() {
    let world = World::start().await;
    let mut wire = Wire::open(world.api.client()).await;
    wire.head("POST", LOGIN, &[("content-type", "application/json"), ("content-length", "100")]).await;
    wire.send(b"{\"username\": \"ada\"").await;
    wire.finish_sending().await;
    assert_refused(&wire.answer().await, 400, &[]);
    world.end().await;
}
