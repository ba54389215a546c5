//! Bodies that are no form, or not one that is taken.

use reqwest::Method;
use testkit::{Census, Client, FORM_TYPE, PASSWORD, RawForm, TestEnv, Wire, jpeg};

use crate::support::{AVATAR, MEDIA, REGISTER, World, post_form};

fn fields() -> RawForm {
    RawForm::new()
        .text("fullName", "Ada")
        .text("email", "ada@example.com")
        .text("username", "ada")
        .text("password", PASSWORD)
}

async fn register(client: &Client, body: Vec<u8>) -> testkit::Answer {
    post_form(client, Method::POST, REGISTER, body).await
}

#[tokio::test]
async fn a_form_that_is_cut_off_anywhere_is_400_and_leaves_nothing() {
    let world = World::start().await;
    let whole = fields().file("avatar", "me.jpg", &jpeg(2_000)).finished();
    let end = whole.len();
    // In a part's head, in a text, at a boundary, in the file, and before the last dashes.
    for cut in [1, 30, 150, 260, end - 1_500, end - 30, end - 4] {
        let mut wire = Wire::open(world.api.client()).await;
        wire.form_head("POST", REGISTER, end).await;
        wire.send(&whole[..cut]).await;
        wire.finish_sending().await;
        let answer = wire.answer().await;
        world.refused(Census::default(), &answer, 400, &[]).await;
        // The same, but with HTTP's own word that this was all.
        let answer = register(&world.api, whole[..cut].to_vec()).await;
        world.refused(Census::default(), &answer, 400, &[]).await;
    }
    world.end().await;
}

#[tokio::test]
async fn a_client_that_goes_away_in_the_middle_leaves_nothing() {
    let world = World::start().await;
    let user = world.member().await;
    let before = world.env.census().await;
    let form = RawForm::new().file("file", "big.jpg", &jpeg(3_000_000)).unfinished();
    let mut wires = Vec::new();
    for _ in 0..4 {
        let mut wire = Wire::open(&user.client).await;
        wire.form_head("POST", MEDIA, 5_000_000).await;
        wire.send(&form).await;
        wires.push(wire);
    }
    TestEnv::until("all of them are being received", || async { world.env.spooled_files() == 4 }).await;
    drop(wires);
    world.env.settles_at(before).await;
    world.end().await;
}

#[tokio::test]
async fn a_form_without_a_boundary_is_400_and_another_type_is_415() {
    let world = World::start().await;
    let body = fields().file("avatar", "me.jpg", &jpeg(2_000)).finished();
    for (content_type, status) in [
        ("multipart/form-data", 400),
        ("multipart/form-data; boundary=", 400),
        ("multipart/form-data; boundary=another", 400),
        ("multipart/mixed; boundary=steep-test-0123456789", 415),
        ("application/json", 415),
        ("image/jpeg", 415),
        ("not a type at all", 415),
    ] {
        let request = world.api.request(Method::POST, REGISTER).header("content-type", content_type);
        let answer = world.api.send(request.body(body.clone())).await;
        assert_eq!(answer.status, status, "{content_type}: {}", answer.body);
        world.refused(Census::default(), &answer, status, &[]).await;
    }
    let answer = world.api.send(world.api.request(Method::POST, REGISTER).body(body)).await;
    world.refused(Census::default(), &answer, 415, &[]).await;
    world.end().await;
}

#[tokio::test]
async fn a_file_under_a_name_that_takes_none_is_422_and_named() {
    let world = World::start().await;
    let user = world.member().await;
    let before = world.env.census().await;
    for name in ["Avatar", "picture", "file"] {
        let answer = register(&world.api, fields().file(name, "me.jpg", &jpeg(2_000)).finished()).await;
        world.refused(before, &answer, 422, &[name]).await;
    }
    // The avatar itself has been received when the wrong one comes.
    let form = fields().file("avatar", "me.jpg", &jpeg(2_000)).file("banner", "b.jpg", &jpeg(2_000));
    let answer = register(&world.api, form.finished()).await;
    world.refused(before, &answer, 422, &["banner"]).await;

    let form = RawForm::new().file("coverImage", "me.jpg", &jpeg(2_000)).finished();
    let answer = post_form(&user.client, Method::PATCH, AVATAR, form).await;
    world.refused(before, &answer, 422, &["coverImage"]).await;
    assert!(answer.body["message"].as_str().is_some_and(|text| text.contains("avatar")), "{}", answer.body);
    world.end().await;
}

#[tokio::test]
async fn the_same_file_twice_is_422_and_leaves_nothing() {
    let world = World::start().await;
    let form = fields().file("avatar", "me.jpg", &jpeg(300_000)).file("avatar", "me.jpg", &jpeg(300_000));
    let answer = register(&world.api, form.finished()).await;
    world.refused(Census::default(), &answer, 422, &["avatar"]).await;
    world.end().await;
}

#[tokio::test]
async fn a_text_in_place_of_a_file_is_ignored() {
    let world = World::start().await;
    for text in ["null", "undefined", "[object FileList]", ""] {
        let answer = register(&world.api, fields().text("avatar", text).finished()).await;
        world.refused(Census::default(), &answer, 422, &["avatar"]).await;
    }
    // Beside a real file it does no harm, before or after it.
    let form = fields().text("coverImage", "null").file("avatar", "me.jpg", &jpeg(2_000)).text("avatar", "null");
    let answer = register(&world.api, form.finished()).await.expect(201);
    assert_eq!(answer.data()["coverImage"], "");
    assert_eq!(answer.data()["jobs"].as_array().map(Vec::len), Some(1));
    world.work_off_and_end().await;
}

#[tokio::test]
async fn a_form_of_too_many_parts_is_400() {
    let world = World::start().await;
    let mut form = fields();
    for number in 0..17 {
        form = form.text(&format!("field{number}"), "x");
    }
    let answer = register(&world.api, form.file("avatar", "me.jpg", &jpeg(2_000)).finished()).await;
    world.refused(Census::default(), &answer, 400, &[]).await;
    world.end().await;
}

#[tokio::test]
async fn a_text_field_of_16_kib_is_read_and_one_byte_more_is_413() {
    let world = World::start().await;
    let most = 16 * 1024;
    let answer = register(&world.api, RawForm::new().text("fullName", &"x".repeat(most)).finished()).await;
    world.refused(Census::default(), &answer, 422, &["fullName", "email", "username", "password", "avatar"]).await;
    let answer = register(&world.api, RawForm::new().text("fullName", &"x".repeat(most + 1)).finished()).await;
    world.refused(Census::default(), &answer, 413, &["fullName"]).await;
    // Also under a name that is not known, and where it would be ignored.
    for name in ["whatever", "avatar"] {
        let form = fields().text(name, &"x".repeat(900_000)).finished();
        let answer = register(&world.api, form).await;
        world.refused(Census::default(), &answer, 413, &[name]).await;
    }
    world.end().await;
}

#[tokio::test]
async fn a_part_with_an_enormous_head_is_400() {
    let world = World::start().await;
    let disposition = "content-disposition: form-data; name=\"avatar\"; filename=\"a.jpg\"";
    for head in [
        format!("{disposition}\r\nx-filler: {}", "x".repeat(9_000)),
        format!("{disposition}\r\nx-filler: {}", "x".repeat(700_000)),
        format!("{disposition}{}", "\r\nx-filler: x".repeat(100)),
        format!("content-disposition: form-data; name=\"avatar\"; filename=\"{}\"", "a".repeat(20_000)),
    ] {
        let answer = register(&world.api, fields().part(&head, &jpeg(2_000)).finished()).await;
        world.refused(Census::default(), &answer, 400, &[]).await;
    }
    world.end().await;
}

#[tokio::test]
async fn a_part_without_a_name_is_400() {
    let world = World::start().await;
    for head in
        ["content-type: text/plain", "content-disposition: form-data", "content-disposition: form-data; filename=\"x\""]
    {
        let answer = register(&world.api, RawForm::new().part(head, b"x").finished()).await;
        world.refused(Census::default(), &answer, 400, &[]).await;
    }
    world.end().await;
}

#[tokio::test]
async fn text_that_is_not_utf_8_is_422_and_the_field_named() {
    let world = World::start().await;
    let form = RawForm::new().part("content-disposition: form-data; name=\"fullName\"", b"Ada \xff\xfe").finished();
    let answer = register(&world.api, form).await;
    world.refused(Census::default(), &answer, 422, &["fullName"]).await;
    world.end().await;
}

#[tokio::test]
async fn a_form_without_any_part_lacks_every_field() {
    let world = World::start().await;
    let answer = register(&world.api, RawForm::new().finished()).await;
    world.refused(Census::default(), &answer, 422, &["fullName", "email", "username", "password", "avatar"]).await;
    // And a body without anything is no form.
    let request = world.api.request(Method::POST, REGISTER).header("content-type", FORM_TYPE);
    let answer = world.api.send(request).await;
    world.refused(Census::default(), &answer, 400, &[]).await;
    world.end().await;
}
