//! Who is let in, and where to.

use reqwest::{Method, header};
use store::AdminRole;
use testkit::PASSWORD;

use super::{Browser, DASHBOARD, PAGES, SIGN_IN, admin};
use crate::support::{CURRENT_USER, World};

const PRODUCTION: [&str; 1] = ["--steep-env=production"];
const SIGN_OUT: &str = "/dashboard/sign-out";
const CREDENTIALS: [&str; 2] = ["username", "password"];

/// What there is, and what there is not.
fn addresses() -> impl Iterator<Item = &'static str> {
    let others =
        ["/dashboard/", "/dashboard/nothing", "/dashboard/jobs/1/../2", "/dashboard/Audit", "/dashboard/audit/"];
    PAGES.into_iter().chain(others)
}

#[tokio::test]
async fn who_is_not_signed_in_is_sent_to_sign_in_whatever_they_ask_for() {
    let world = World::start().await;
    let mut browser = Browser::new(&world).with_cookie("accessToken", "a.b.c");
    for path in addresses() {
        let page = browser.get(path).await.expect(303);
        assert!(page.location().starts_with(SIGN_IN), "{path}: {}", page.location());
        assert_eq!(page.text, "", "{path}");
        for method in [Method::POST, Method::DELETE, Method::PUT] {
            let page = browser.send(browser.request(method, path)).await.expect(303);
            assert_eq!(page.location(), SIGN_IN, "what was asked for is no page to go on to");
        }
    }
    for path in ["/dashboard/live", "/dashboard/audit?fragment"] {
        let page = browser.get(path).await.expect(401);
        assert_eq!(page.header("content-type"), "application/problem+json");
    }
    world.end().await;
}

#[tokio::test]
async fn who_is_no_admin_gets_one_and_the_same_page_everywhere() {
    let world = World::start().await;
    let member = world.member().await;
    let mut browser = Browser::of(&world, &member);
    let first = browser.get(DASHBOARD).await.expect(403);
    assert!(!first.has("Dead letters"), "the navigation tells what there is: {}", first.text);
    for path in addresses() {
        for method in [Method::GET, Method::POST, Method::DELETE] {
            let page = browser.send(browser.request(method.clone(), path)).await.expect(403);
            assert_eq!(page.text, first.text, "{method} {path}");
        }
    }
    world.end().await;
}

#[tokio::test]
async fn an_admin_signs_in_by_the_form_goes_on_to_the_page_they_wanted_and_signs_out() {
    let world = World::with(&PRODUCTION).await;
    let member = admin(&world, AdminRole::Full).await;
    let mut browser = Browser::new(&world);
    let sent_to = browser.get("/dashboard/audit?limit=5").await.expect(303).location().to_owned();
    let form = browser.get(&sent_to).await.expect(200);
    assert!(form.has(&format!("action=\"{sent_to}\"")), "{}", form.text);

    let wrong = browser.post(&sent_to, &[("username", &member.name), ("password", "not this")]).await.expect(401);
    assert!(wrong.has("the username, email or password is wrong") && wrong.has("role=\"alert\""), "{}", wrong.text);
    assert!(browser.cookie("accessToken").is_none());
    let page = browser.post(&sent_to, &[("username", &member.name), ("password", PASSWORD)]).await.expect(303);
    assert_eq!(page.location(), "/dashboard/audit?limit=5");
    let page = browser.get("/dashboard/audit?limit=5").await.expect(200);
    assert!(page.has(&member.name), "{}", page.text);

    let token = browser.cookie("accessToken").expect("a session").to_owned();
    let refresh = browser.cookie("refreshToken").expect("a session").to_owned();
    assert_eq!(browser.post(SIGN_OUT, &[]).await.expect(303).location(), SIGN_IN);
    assert!(browser.cookie("accessToken").is_none() && browser.cookie("refreshToken").is_none());
    world.api.client().with_token(&token).get(CURRENT_USER).await.expect(401);
    let mut browser = browser.with_cookie("refreshToken", &refresh);
    browser.get(DASHBOARD).await.expect(303);
    world.end().await;
}

#[tokio::test]
async fn whoever_is_no_admin_any_more_sees_nothing_from_then_on() {
    let world = World::start().await;
    let member = admin(&world, AdminRole::ReadOnly).await;
    let mut browser = Browser::of(&world, &member);
    assert!(browser.get(DASHBOARD).await.expect(200).has("(read-only)"));
    browser.get("/dashboard/audit?fragment").await.expect(200);
    world.env.store().users().revoke_admin(&member.name).await.expect("the database answers");
    browser.get(DASHBOARD).await.expect(403);
    browser.get("/dashboard/audit?fragment").await.expect(403);
    browser.get("/dashboard/live").await.expect(403);
    world.end().await;
}

#[tokio::test]
async fn signing_in_by_the_form_is_limited_as_it_is_by_the_api() {
    let world = World::with(&["--login-limit-account=2/15m"]).await;
    let member = admin(&world, AdminRole::Full).await;
    let mut browser = Browser::new(&world);
    for _ in 0..2 {
        browser.post(SIGN_IN, &[("username", &member.name), ("password", "wrong")]).await.expect(401);
    }
    let page = browser.post(SIGN_IN, &[("username", &member.name), ("password", PASSWORD)]).await.expect(429);
    assert!(page.has("too many attempts") && !page.header("retry-after").is_empty(), "{}", page.text);
    assert!(page.header("ratelimit").contains("\"account\";r=0"), "{:?}", page.headers);
    world.end().await;
}

#[tokio::test]
async fn nobody_is_led_to_another_site_or_another_part_of_this_one() {
    let world = World::start().await;
    let member = admin(&world, AdminRole::Full).await;
    for next in [
        "https%3A%2F%2Fevil.example.com%2Fdashboard",
        "%2F%2Fevil.example.com",
        "%2Fdashboard.evil.example.com",
        "%2Fdashboard%2F..%2Fapi%2Fv1%2Fusers%2Fcurrent-user",
        "%2Fdashboard%5C..%5C",
        "javascript%3Aalert(1)",
        "%2Fdashboard%0D%0Alocation%3A%20https%3A%2F%2Fevil.example.com",
    ] {
        let mut browser = Browser::new(&world);
        let path = format!("{SIGN_IN}?next={next}");
        assert!(!browser.get(&path).await.expect(200).has("evil"), "{next}");
        let page = browser.post(&path, &[("username", &member.name), ("password", PASSWORD)]).await.expect(303);
        assert_eq!(page.location(), DASHBOARD, "{next}");
    }
    world.end().await;
}

#[tokio::test]
async fn a_page_of_another_site_signs_nobody_in_or_out() {
    let world = World::with(&PRODUCTION).await;
    let member = admin(&world, AdminRole::Full).await;
    let [username, password] = CREDENTIALS;
    for origin in ["https://evil.example.com", "null"] {
        let mut browser = Browser::new(&world);
        let request = browser.request(Method::POST, SIGN_IN).header(header::ORIGIN, origin);
        let page = browser.send(request.form(&[(username, member.name.as_str()), (password, PASSWORD)])).await;
        assert_eq!(page.cookies(), Vec::<String>::new(), "{origin}");
        let mut browser = Browser::of(&world, &member);
        let request = browser.request(Method::POST, SIGN_OUT).header(header::ORIGIN, origin);
        browser.send(request).await.expect(403);
        browser.get(DASHBOARD).await.expect(200);
    }
    world.end().await;
}

#[tokio::test]
async fn what_somebody_types_into_the_form_is_not_shown() {
    let world = World::start().await;
    let hostile = "<script>alert(1)</script>";
    let mut browser = Browser::new(&world);
    let (path, fields) =
        (format!("{SIGN_IN}?next=/dashboard/{hostile}"), [("username", hostile), ("password", hostile)]);
    let page = browser.post(&path, &fields).await.expect(401);
    assert!(!page.has("alert(1)"), "{}", page.text);
    let page = browser.post(SIGN_IN, &[("username", hostile)]).await.expect(422);
    assert!(page.has("password is required"), "{}", page.text);
    world.end().await;
}
