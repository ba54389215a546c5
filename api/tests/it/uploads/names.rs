//! Names of parts and files, in whatever way clients write them.

use reqwest::Method;
use serde_json::Value;
use testkit::{Answer, Census, RawForm, jpeg};

use crate::support::{AVATAR, MEDIA, Member, REGISTER, World, assert_accepted, post_form, registration};

/// Its flag, which is spelled.
const ENGLAND: &str = "\u{1f3f4}\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f}";

/// Sends a picture in a part whose `Content-Disposition` has these parameters.
async fn send_as(member: &Member, parameters: &[u8]) -> Answer {
    let mut form = b"--steep-test-0123456789\r\ncontent-disposition: form-data; ".to_vec();
    form.extend_from_slice(parameters);
    form.extend_from_slice(b"\r\ncontent-type: application/octet-stream\r\n\r\n");
    form.extend_from_slice(&jpeg(2_000));
    form.extend_from_slice(b"\r\n--steep-test-0123456789--\r\n");
    post_form(&member.client, Method::POST, MEDIA, form).await
}

#[tokio::test]
async fn a_file_name_is_read_in_every_form_that_clients_send() {
    let world = World::start().await;
    let member = world.member().await;
    for (parameters, name) in [
        // RFC 8187, alone and beside what cannot say it, as .NET sends both.
        (&b"name=\"file\"; filename*=UTF-8''na%C3%AFve.png"[..], "naïve.png"),
        (b"name=\"file\"; filename=\"naive.png\"; filename*=utf-8''na%C3%AFve.png", "naïve.png"),
        (b"name=file; filename*=UTF-8''na%C3%AFve.png; filename=\"naive.png\"", "naïve.png"),
        (b"name=\"file\"; filename*=iso-8859-1'fr'na%EFve.png", "naïve.png"),
        (b"name=\"file\"; filename=\"naive.png\"; filename*=UTF-8''na%EFve.png", "naive.png"),
        (b"name=\"file\"; filename*=UTF-8''..%2F..%2Fna%C3%AFve.png", "naïve.png"),
        // A quoted string is one value, whatever stands in it.
        (b"filename=\"x; name=avatar.png\"; name=\"file\"", "x; name=avatar.png"),
        (b"name=\"file\"; filename=\"a \\\"b\\\"; c.png\"", "a \"b\"; c.png"),
        (b"name=\"file\"; filename=\"a %22b%22.png\"", "a \"b\".png"),
        (b"name=\"file\"; filename=\"C:\\pictures\\nice.png\"", "nice.png"),
        // A backslash that nobody escaped, at the end.
        (b"filename=\"C:\\pictures\\\"; name=\"file\"", "upload"),
        (b"filename=\"nice\\\"; name=\"file\"; size=\"2000\"", "upload"),
        (b"name=\"file\"; filename=\"two%0D%0Alines.png\"", "twolines.png"),
        // UTF-8 as it is, and Latin-1.
        ("name=\"file\"; filename=\"naïve.png\"".as_bytes(), "naïve.png"),
        (b"name=\"file\"; filename=\"na\xefve.png\"", "naïve.png"),
        (format!("name=\"file\"; filename=\"{ENGLAND}.png\"").as_bytes(), &format!("{ENGLAND}.png")),
        // Of a name that nobody can read only the file is kept.
        (b"name=\"file\"; filename*=UTF-7''na+AO8-ve.png", "upload"),
    ] {
        let answer = send_as(&member, parameters).await;
        let shown = String::from_utf8_lossy(parameters);
        assert_eq!(answer.status, 202, "{shown}: {}", answer.body);
        assert_eq!(answer.data()["originalName"], name, "{shown}");
    }
    world.work_off_and_end().await;
}

#[tokio::test]
async fn a_picture_is_a_file_without_a_file_name_too() {
    let world = World::start().await;
    let member = world.member().await;
    for (path, method, field) in [(MEDIA, Method::POST, "file"), (AVATAR, Method::PATCH, "avatar")] {
        for content_type in ["image/jpeg", "image/png", "application/octet-stream"] {
            let head = format!("content-disposition: form-data; name=\"{field}\"\r\ncontent-type: {content_type}");
            let form = RawForm::new().part(&head, &jpeg(2_000)).finished();
            let answer = post_form(&member.client, method.clone(), path, form).await;
            assert_accepted(&answer, 202);
            if path == MEDIA {
                assert_eq!(answer.data()["originalName"], "upload", "{content_type}");
            }
        }
    }
    world.work_off_and_end().await;
}

#[tokio::test]
async fn a_part_without_a_file_name_is_a_file_only_by_its_type() {
    let world = World::start().await;
    let fields = |head: &str, content: &[u8]| {
        let form = RawForm::new().text("fullName", "Ada").text("email", "ada@example.com").text("username", "ada");
        form.part(&format!("content-disposition: form-data; {head}"), content).finished()
    };
    let register = async |form| post_form(&world.api, Method::POST, REGISTER, form).await;
    // What front ends send for a file that was not chosen, whatever they call its type.
    for content_type in ["", "\r\ncontent-type: text/plain", "\r\ncontent-type: application/json"] {
        let answer = register(fields(&format!("name=\"avatar\"{content_type}"), b"null")).await;
        world.refused(Census::default(), &answer, 422, &["password", "avatar"]).await;
    }
    let answer = register(fields("name=\"avatar\"\r\ncontent-type: image/png", b"")).await;
    world.refused(Census::default(), &answer, 422, &["password", "avatar"]).await;
    let answer = register(fields("name=\"password\"\r\ncontent-type: application/octet-stream", b"short")).await;
    world.refused(Census::default(), &answer, 422, &["password", "avatar"]).await;
    let answer = register(fields("name=\"password\"\r\ncontent-type: image/png", &jpeg(2_000))).await;
    world.refused(Census::default(), &answer, 422, &["password"]).await;
    assert_eq!(answer.body["errors"][0]["message"], Value::from("takes no file"), "{}", answer.body);
    world.end().await;
}

#[tokio::test]
async fn a_text_field_is_known_by_its_name_however_it_is_written() {
    let world = World::start().await;
    let mut form = RawForm::new();
    for (parameters, value) in [
        ("name=fullName", "Ada Lovelace"),
        ("size=12; NAME=\"email\"", "ada@example.com"),
        ("name=\"user\\name\"", "somebody else"),
        ("name = \"username\"", "ada"),
        ("name=\"password\"; name=\"username\"", testkit::PASSWORD),
    ] {
        form = form.part(&format!("content-disposition: form-data; {parameters}"), value.as_bytes());
    }
    let form = form.file("avatar", "me.jpg", &jpeg(2_000)).finished();
    let answer = post_form(&world.api, Method::POST, REGISTER, form).await;
    assert_accepted(&answer, 201);
    assert_eq!(answer.data()["username"], "ada");
    // The same as what every client sends.
    let usual = registration("grace").file("avatar", "me.jpg", jpeg(2_000));
    assert_accepted(&world.api.upload(Method::POST, REGISTER, &usual).await, 201);
    world.work_off_and_end().await;
}
