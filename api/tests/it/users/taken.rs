//! Names and addresses that somebody else has.

use reqwest::Method;
use testkit::{Census, PASSWORD, RawForm, Upload, Wire, jpeg};

use crate::support::{REGISTER, World, assert_accepted, assert_refused, registration};

#[tokio::test]
async fn a_taken_name_or_address_is_409_in_whatever_case() {
    let world = World::start().await;
    let member = world.member().await;
    let before = world.env.census().await;
    let email = format!("{}@example.com", member.name);
    for (username, email, taken) in [
        (member.name.as_str(), "new@example.com", "username"),
        (&member.name.to_uppercase(), "new@example.com", "username"),
        ("new", &email, "email"),
        ("new", &email.to_uppercase(), "email"),
    ] {
        let form = Upload::new()
            .file("avatar", "me.jpg", jpeg(300_000))
            .text("username", username)
            .text("email", email)
            .text("fullName", "Eve")
            .text("password", PASSWORD);
        let answer = world.api.upload(Method::POST, REGISTER, &form).await;
        world.refused(before, &answer, 409, &[taken]).await;
    }
    world.end().await;
}

#[tokio::test]
async fn a_taken_name_is_refused_before_the_file_is_sent() {
    let world = World::start().await;
    let member = world.member().await;
    let before = world.env.census().await;
    let fields = RawForm::new()
        .text("fullName", "Eve")
        .text("email", "eve@example.com")
        .text("username", &member.name)
        .text("password", PASSWORD);
    // The head of the file's part, and of its content nothing.
    let form = fields.part("content-disposition: form-data; name=\"avatar\"; filename=\"me.jpg\"", b"").unfinished();
    let mut wire = Wire::open(world.api.client()).await;
    wire.form_head("POST", REGISTER, form.len() + 5_000_000).await;
    wire.send(&form[..form.len() - 2]).await;
    let answer = wire.answer().await;
    world.refused(before, &answer, 409, &["username"]).await;
    world.end().await;
}

#[tokio::test]
async fn wrong_fields_are_refused_before_the_file_is_sent() {
    let world = World::start().await;
    let fields =
        RawForm::new().text("fullName", "").text("email", "eve").text("username", "eve").text("password", PASSWORD);
    let form = fields.part("content-disposition: form-data; name=\"avatar\"; filename=\"me.jpg\"", b"").unfinished();
    let mut wire = Wire::open(world.api.client()).await;
    wire.form_head("POST", REGISTER, form.len() + 5_000_000).await;
    wire.send(&form[..form.len() - 2]).await;
    let answer = wire.answer().await;
    world.refused(Census::default(), &answer, 422, &["fullName", "email"]).await;
    world.end().await;
}

#[tokio::test]
async fn of_sixteen_who_want_one_name_at_once_exactly_one_gets_it() {
    let world = World::start().await;
    let mut racers = tokio::task::JoinSet::new();
    for number in 0..16 {
        let client = world.api.client().clone();
        // Half of them are told only by the database: their names come after the file.
        let form = if number % 2 == 0 {
            registration("ada").file("avatar", "me.jpg", jpeg(20_000))
        } else {
            let form = Upload::new().file("avatar", "me.jpg", jpeg(20_000)).text("email", "ada@example.com");
            form.text("username", "ADA").text("fullName", "Another Ada").text("password", PASSWORD)
        };
        racers.spawn(async move { client.upload(Method::POST, REGISTER, &form).await });
    }
    let (won, lost): (Vec<_>, Vec<_>) =
        racers.join_all().await.into_iter().partition(|answer| answer.status.is_success());
    assert_eq!(won.len(), 1);
    assert_accepted(&won[0], 201);
    for answer in &lost {
        let field = answer.body["errors"][0]["field"].as_str().unwrap_or_default();
        assert!(["username", "email"].contains(&field), "{}", answer.body);
        assert_refused(answer, 409, &[field]);
    }
    world.env.settles_at(Census { users: 1, assets: 1, jobs: 1, answers: 0, files: 1 }).await;
    world.work_off_and_end().await;
}
