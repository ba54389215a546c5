//! The text fields of a registration.

use reqwest::Method;
use testkit::{Answer, Census, PASSWORD, Upload, jpeg};

use crate::support::{REGISTER, World, assert_accepted, registration};

/// Registers with these fields instead of good ones; `None` leaves a field out.
async fn register_with(world: &World, changes: &[(&str, Option<&str>)]) -> Answer {
    let mut form = Upload::new();
    for (name, good) in
        [("fullName", "Ada Lovelace"), ("email", "ada@example.com"), ("username", "ada"), ("password", PASSWORD)]
    {
        match changes.iter().find(|(changed, _)| *changed == name) {
            Some((_, Some(value))) => form = form.text(name, value),
            Some((_, None)) => {}
            None => form = form.text(name, good),
        }
    }
    world.api.upload(Method::POST, REGISTER, &form.file("avatar", "me.jpg", jpeg(2_000))).await
}

#[tokio::test]
async fn a_missing_or_blank_field_is_422_and_named() {
    let world = World::start().await;
    for field in ["fullName", "email", "username", "password"] {
        for value in [None, Some("")] {
            let answer = register_with(&world, &[(field, value)]).await;
            world.refused(Census::default(), &answer, 422, &[field]).await;
        }
    }
    for field in ["fullName", "email", "username"] {
        let answer = register_with(&world, &[(field, Some(" \t "))]).await;
        world.refused(Census::default(), &answer, 422, &[field]).await;
    }
    world.end().await;
}

#[tokio::test]
async fn all_wrong_fields_are_named_at_once() {
    let world = World::start().await;
    let form = Upload::new().text("email", "nobody").text("password", "short");
    let answer = world.api.upload(Method::POST, REGISTER, &form).await;
    world.refused(Census::default(), &answer, 422, &["fullName", "email", "username", "password", "avatar"]).await;
    world.end().await;
}

#[tokio::test]
async fn a_value_that_is_not_what_its_field_holds_is_422() {
    let world = World::start().await;
    let long = "x".repeat(101);
    let long_email = format!("{}@example.com", "x".repeat(250));
    let long_password = "x".repeat(129);
    for (field, value) in [
        ("email", "ada"),
        ("email", "ada@"),
        ("email", "@example.com"),
        ("email", "ada@example.com, eve@example.com"),
        ("email", "a da@example.com"),
        ("email", "ada@exam\nple.com"),
        ("email", long_email.as_str()),
        ("username", "a da"),
        ("username", "../ada"),
        ("username", "."),
        ("username", ".."),
        ("username", "ada/eve"),
        ("username", "ada\0"),
        ("username", "<b>ada</b>"),
        ("username", "ada@example.com"),
        ("username", long.as_str()),
        ("fullName", "Ada\0"),
        ("fullName", "Ada\u{1b}[31m"),
        ("fullName", "Ada\r\nX-Injected: yes"),
        ("fullName", long.as_str()),
        ("password", "1234567"),
        ("password", long_password.as_str()),
    ] {
        let answer = register_with(&world, &[(field, Some(value))]).await;
        assert_eq!(answer.status, 422, "{field}: {value:?}");
        world.refused(Census::default(), &answer, 422, &[field]).await;
    }
    world.end().await;
}

#[tokio::test]
async fn a_field_sent_twice_is_422() {
    let world = World::start().await;
    let form = registration("ada").text("email", "eve@example.com").file("avatar", "me.jpg", jpeg(2_000));
    let answer = world.api.upload(Method::POST, REGISTER, &form).await;
    world.refused(Census::default(), &answer, 422, &["email"]).await;
    world.end().await;
}

#[tokio::test]
async fn a_field_sent_again_after_a_file_is_422_and_leaves_nothing() {
    let world = World::start().await;
    let form = registration("ada").file("avatar", "me.jpg", jpeg(2_000)).text("email", "eve@example.com");
    let answer = world.api.upload(Method::POST, REGISTER, &form).await;
    world.refused(Census::default(), &answer, 422, &["email"]).await;
    world.end().await;
}

/// Its flag, which is spelled.
const WALES: &str = "\u{1f3f4}\u{e0067}\u{e0062}\u{e0077}\u{e006c}\u{e0073}\u{e007f}";

#[tokio::test]
async fn names_are_lower_case_trimmed_and_whatever_else_they_may_be() {
    let world = World::start().await;
    let answer = register_with(
        &world,
        &[
            ("fullName", Some(&format!("  Ada \u{1f469}\u{200d}\u{1f4bb} O'Neil <ada> {WALES} "))),
            ("email", Some(" Ada.L+x@Example.COM ")),
            ("username", Some(" Ada_L.1-É ")),
        ],
    )
    .await;
    assert_accepted(&answer, 201);
    let user = answer.data();
    assert_eq!(user["fullName"], format!("Ada \u{1f469}\u{200d}\u{1f4bb} O'Neil <ada> {WALES}"));
    // Of another place the flag would be black, and what spells it hidden.
    let hidden = WALES.replace("\u{e006c}", "\u{e0078}");
    let before = world.env.census().await;
    let answer = register_with(&world, &[("username", Some("eve")), ("fullName", Some(&hidden))]).await;
    world.refused(before, &answer, 422, &["fullName"]).await;
    assert_eq!(user["email"], "ada.l+x@example.com");
    assert_eq!(user["username"], "ada_l.1-é");
    world.work_off_and_end().await;
}
