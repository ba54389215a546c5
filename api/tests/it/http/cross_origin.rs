//! Pages that act in a user's name: which may, and what the others get.

use reqwest::{Method, StatusCode};
use serde_json::json;
use testkit::{Answer, PASSWORD, Upload, jpeg};

use crate::support::{AVATAR, LOGIN, MEDIA, Member, REGISTER, World, assert_refused, registration};

const PRODUCTION: [&str; 2] = ["--steep-env=production", "--cors-origin=https://app.example.com"];
const FRIEND: &str = "https://app.example.com";
const STRANGER: &str = "https://evil.example.com";

/// A form that the user's browser sends, with the session's cookie and these headers.
async fn act(world: &World, member: &Member, headers: &[(&str, &str)]) -> Answer {
    let token = member.client.token().expect("a session");
    let request = world.api.request(Method::PATCH, AVATAR).header("cookie", format!("a=1; accessToken={token}"));
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    let picture = reqwest::multipart::Part::bytes(jpeg(2_000).to_vec()).file_name("a.jpg");
    world.api.send(request.multipart(reqwest::multipart::Form::new().part("avatar", picture))).await
}

#[tokio::test]
async fn a_page_on_a_listed_origin_acts_in_its_users_name() {
    let world = World::with(&PRODUCTION).await;
    let member = world.member().await;
    act(&world, &member, &[("origin", FRIEND)]).await.expect(202);
    act(&world, &member, &[("referer", "https://app.example.com/profile?tab=1")]).await.expect(202);
    world.work_off_and_end().await;
}

#[tokio::test]
async fn a_page_of_the_api_itself_acts_in_its_users_name() {
    let world = World::with(&PRODUCTION).await;
    let member = world.member().await;
    let own = world.api.url().to_owned();
    act(&world, &member, &[("origin", &own)]).await.expect(202);
    act(&world, &member, &[("sec-fetch-site", "same-origin")]).await.expect(202);
    world.work_off_and_end().await;

    let world = World::with(&[PRODUCTION[0], "--public-url=https://api.example.com"]).await;
    let member = world.member().await;
    act(&world, &member, &[("origin", "https://api.example.com")]).await.expect(202);
    assert_refused(&act(&world, &member, &[("origin", world.api.url())]).await, 403, &[]);
    world.work_off_and_end().await;
}

#[tokio::test]
async fn any_other_page_changes_nothing_in_its_users_name() {
    let world = World::with(&PRODUCTION).await;
    let member = world.member().await;
    let before = world.env.census().await;
    for headers in [
        [("origin", STRANGER)].as_slice(),
        &[("origin", "null")],
        &[("origin", "http://app.example.com")],
        &[("origin", "http://localhost:5173")],
        &[("origin", STRANGER), ("referer", FRIEND)],
        &[("origin", STRANGER), ("sec-fetch-site", "same-origin")],
        &[("referer", "https://evil.example.com/https://app.example.com/")],
        &[("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "same-site")],
    ] {
        let answer = act(&world, &member, headers).await;
        world.refused(before, &answer, 403, &[]).await;
        assert_eq!(answer.body["type"], "urn:steep:problem:cross-origin", "{headers:?}");
        assert_eq!(answer.header("access-control-allow-credentials"), "");
    }
    world.end().await;
}

#[tokio::test]
async fn a_star_in_the_list_lets_nobody_act_by_cookie() {
    let world = World::with(&[PRODUCTION[0], "--cors-origin=*"]).await;
    let member = world.member().await;
    assert_refused(&act(&world, &member, &[("origin", STRANGER)]).await, 403, &[]);
    // A token that the page has itself is another matter.
    let request = member.client.request(Method::POST, MEDIA).header("origin", STRANGER);
    let answer = member.client.send(request).await;
    assert_eq!(answer.status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{}", answer.body);
    world.end().await;
}

#[tokio::test]
async fn in_development_pages_of_this_machine_act_in_their_users_name() {
    let world = World::start().await;
    let member = world.member().await;
    act(&world, &member, &[("origin", "http://localhost:5173")]).await.expect(202);
    assert_refused(&act(&world, &member, &[("origin", STRANGER)]).await, 403, &[]);
    world.work_off_and_end().await;
}

#[tokio::test]
async fn what_is_no_browser_needs_none_of_its_headers() {
    let world = World::with(&PRODUCTION).await;
    let member = world.member().await;
    act(&world, &member, &[]).await.expect(202);
    act(&world, &member, &[("sec-fetch-site", "none")]).await.expect(202);
    // A token that is sent on purpose cannot be made up for somebody else, wherever the request comes from.
    let form = Upload::new().file("file", "a.jpg", jpeg(2_000));
    member.client.upload(Method::POST, MEDIA, &form).await.expect(202);
    let request = member.client.request(Method::POST, MEDIA).header("origin", STRANGER);
    assert_eq!(member.client.send(request).await.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    world.work_off_and_end().await;
}

#[tokio::test]
async fn the_cookie_counts_even_beside_a_bearer_token() {
    let world = World::with(&PRODUCTION).await;
    let member = world.member().await;
    let bearer = format!("Bearer {}", member.client.token().expect("a session"));
    let headers = [("origin", STRANGER), ("authorization", bearer.as_str())];
    assert_refused(&act(&world, &member, &headers).await, 403, &[]);
    // What JavaScript makes of no token is no cookie of a session.
    let request = member.client.request(Method::POST, MEDIA).header("origin", STRANGER);
    let request = request.header("cookie", "accessToken=undefined; refreshToken=null");
    assert_eq!(member.client.send(request).await.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    world.end().await;
}

#[tokio::test]
async fn a_refresh_token_in_a_cookie_is_a_session_too() {
    let world = World::with(&PRODUCTION).await;
    let request = world.api.request(Method::POST, "/api/v1/users/refresh-token");
    let request = request.header("cookie", "refreshToken=a.b.c").header("origin", STRANGER);
    assert_refused(&world.api.send(request).await, 403, &[]);
    world.end().await;
}

#[tokio::test]
async fn reading_is_nobodys_harm() {
    let world = World::with(&PRODUCTION).await;
    let member = world.member().await;
    let token = member.client.token().expect("a session");
    let request = world.api.request(Method::GET, MEDIA).header("cookie", format!("accessToken={token}"));
    let answer = world.api.send(request.header("origin", STRANGER)).await.expect(200);
    // The browser sends it, and keeps the answer to itself.
    assert_eq!(answer.header("access-control-allow-origin"), "");
    world.end().await;
}

#[tokio::test]
async fn a_strangers_page_cannot_sign_a_browser_in_as_somebody_else() {
    let world = World::with(&PRODUCTION).await;
    let (name, answer) = world.api.register(jpeg(2_000)).await;
    answer.expect(201);
    let credentials = json!({"username": name, "password": PASSWORD});
    for (origin, is_set) in [(FRIEND, true), (STRANGER, false), ("null", false)] {
        let request = world.api.request(Method::POST, LOGIN).header("origin", origin).json(&credentials);
        let answer = world.api.send(request).await.expect(200);
        assert_eq!(!answer.header("set-cookie").is_empty(), is_set, "{origin}");
    }
    world.work_off_and_end().await;
}

#[tokio::test]
async fn registering_needs_no_cookie_and_is_open_to_every_page() {
    let world = World::with(&PRODUCTION).await;
    let form = registration("ada").file("avatar", "a.jpg", jpeg(2_000));
    world.api.upload(Method::POST, REGISTER, &form).await.expect(201);
    world.work_off_and_end().await;
}
