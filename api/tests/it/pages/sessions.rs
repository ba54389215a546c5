//! Sessions that are renewed by a page.

use std::time::Duration;

use reqwest::Method;
use store::AdminRole;

use super::{Browser, DASHBOARD, SIGN_IN, admin};
use crate::support::{REFRESH_TOKEN, Tokens, World, sign_in};

/// A browser whose access token has expired: such a cookie is gone.
fn expired(world: &World, tokens: &Tokens) -> Browser {
    Browser::new(world).with_cookie("refreshToken", &tokens.refresh)
}

#[tokio::test]
async fn a_page_renews_a_session_whose_access_token_has_expired() {
    let world = World::start().await;
    let member = admin(&world, AdminRole::Full).await;
    let tokens = sign_in(world.api.client(), &member.name).await;
    let mut browser = expired(&world, &tokens);
    let page = browser.get("/dashboard/audit").await.expect(200);
    assert!(page.has(&member.name), "{}", page.text);
    assert_eq!(page.cookies().len(), 2, "{:?}", page.cookies());
    assert!(page.cookies().iter().all(|cookie| cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax")));
    assert_ne!(browser.cookie("refreshToken"), Some(tokens.refresh.as_str()));
    assert!(browser.get(DASHBOARD).await.expect(200).cookies().is_empty(), "once is enough");
    // An access token that is there but no longer valid is as good as none.
    let mut browser = browser.with_cookie("accessToken", "a.b.c");
    assert_eq!(browser.get(DASHBOARD).await.expect(200).cookies().len(), 2);
    world.end().await;
}

#[tokio::test]
async fn two_pages_that_renew_at_once_get_the_same_session() {
    let world = World::start().await;
    let member = admin(&world, AdminRole::Full).await;
    let tokens = sign_in(world.api.client(), &member.name).await;
    let (mut one, mut other) = (expired(&world, &tokens), expired(&world, &tokens));
    let (first, second) = tokio::join!(one.get(DASHBOARD), other.get("/dashboard/audit"));
    first.expect(200);
    second.expect(200);
    assert_eq!(one.cookie("refreshToken"), other.cookie("refreshToken"));
    one.get(DASHBOARD).await.expect(200);
    other.get(DASHBOARD).await.expect(200);
    world.end().await;
}

#[tokio::test]
async fn a_refresh_token_that_was_used_long_ago_signs_nobody_in_and_ends_the_session() {
    let world = World::with(&["--refresh-token-grace=1ms"]).await;
    let member = admin(&world, AdminRole::Full).await;
    let tokens = sign_in(world.api.client(), &member.name).await;
    let mut owner = expired(&world, &tokens);
    owner.get(DASHBOARD).await.expect(200);
    tokio::time::sleep(Duration::from_millis(20)).await;
    let mut thief = expired(&world, &tokens);
    assert_eq!(thief.get(DASHBOARD).await.expect(303).location(), SIGN_IN);
    assert_eq!(owner.get(DASHBOARD).await.expect(303).location(), SIGN_IN);
    world.end().await;
}

#[tokio::test]
async fn a_script_is_told_that_its_token_has_expired_and_renews_the_session_itself() {
    let world = World::start().await;
    let member = admin(&world, AdminRole::Full).await;
    let tokens = sign_in(world.api.client(), &member.name).await;
    let mut browser = expired(&world, &tokens);
    for path in ["/dashboard/live", "/dashboard?fragment"] {
        let answer = browser.get(path).await.expect(401);
        assert!(answer.cookies().is_empty(), "{path}");
    }
    let request = browser.request(Method::POST, REFRESH_TOKEN).header("content-type", "application/json").body("{}");
    browser.send(request).await.expect(200);
    browser.get("/dashboard?fragment").await.expect(200);
    world.end().await;
}

#[tokio::test]
async fn a_session_of_no_admin_is_renewed_and_shown_nothing_all_the_same() {
    let world = World::start().await;
    let member = admin(&world, AdminRole::Full).await;
    let tokens = sign_in(world.api.client(), &member.name).await;
    world.env.store().users().revoke_admin(&member.name).await.expect("the database answers");
    let mut browser = expired(&world, &tokens);
    // The token is used up, so the new one has to arrive.
    assert_eq!(browser.get(DASHBOARD).await.expect(403).cookies().len(), 2);
    assert!(browser.get(DASHBOARD).await.expect(403).cookies().is_empty());
    world.end().await;
}
