//! Heads of requests: how long they may be, and of how many fields.

use testkit::{RawForm, Wire, jpeg};

use crate::support::{CURRENT_USER, MEDIA, World};

/// The status of the answer to a request whose head is beyond what the api reads. It has no body: this is before HTTP.
async fn refused(wire: &mut Wire) -> String {
    let answer = wire.until_hung_up().await;
    assert!(answer.ends_with("\r\n\r\n"), "{answer}");
    answer.lines().next().expect("a status line").to_owned()
}

#[tokio::test]
async fn a_head_of_16_kib_or_of_65_fields_is_refused_and_a_little_less_is_not() {
    let world = World::start().await;
    let member = world.member().await;
    let (names, long) = ((0..65).map(|number| format!("x-{number}")).collect::<Vec<_>>(), "a".repeat(16 * 1024));
    let fields = |count: usize| names[..count].iter().map(|name| (name.as_str(), "1")).collect::<Vec<_>>();

    let mut wire = Wire::open(&member.client).await;
    // Beside host and authorization.
    wire.head("GET", CURRENT_USER, &fields(62)).await;
    wire.answer().await.expect(200);
    wire.head("GET", CURRENT_USER, &[("x-long", &long[..15 * 1024])]).await;
    wire.answer().await.expect(200);
    wire.head("GET", CURRENT_USER, &[("x-long", &long)]).await;
    assert_eq!(refused(&mut wire).await, "HTTP/1.1 431 Request Header Fields Too Large");

    let mut wire = Wire::open(&member.client).await;
    wire.head("GET", CURRENT_USER, &fields(63)).await;
    assert_eq!(refused(&mut wire).await, "HTTP/1.1 431 Request Header Fields Too Large");
    // In one field or in the address: all of the head counts.
    let mut wire = Wire::open(&member.client).await;
    wire.head("GET", &format!("{CURRENT_USER}?{long}"), &[]).await;
    assert!(refused(&mut wire).await.starts_with("HTTP/1.1 4"));
    world.end().await;
}

#[tokio::test]
async fn an_upload_under_a_head_that_is_too_large_leaves_nothing() {
    let world = World::start().await;
    let member = world.member().await;
    let before = world.env.census().await;
    let form = RawForm::new().file("file", "a.jpg", &jpeg(50_000)).finished();
    let (length, long) = (form.len().to_string(), "a".repeat(20 * 1024));
    let mut wire = Wire::open(&member.client).await;
    let headers = [("content-type", testkit::FORM_TYPE), ("content-length", &length), ("x-long", &long)];
    wire.head("POST", MEDIA, &headers).await;
    wire.send(&form).await;
    assert!(refused(&mut wire).await.contains("431"));
    assert_eq!(world.env.census().await, before);
    world.end().await;
}
