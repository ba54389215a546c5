//! What is around every page, and pages that stay up to date.

use reqwest::{Method, header};
use store::{Act, Actor, AdminRole};

use super::{Browser, DASHBOARD, PAGES, SIGN_IN, admin};
use crate::support::World;

/// Parts of an address, each after its quote: what a page loads.
fn attributes<'a>(page: &'a str, name: &str) -> Vec<&'a str> {
    let start = format!(" {name}=\"");
    page.split(&start).skip(1).filter_map(|rest| rest.split('"').next()).collect()
}

#[tokio::test]
async fn a_page_runs_and_loads_nothing_but_files_of_ours() {
    let world = World::start().await;
    let member = admin(&world, AdminRole::Full).await;
    let mut browser = Browser::of(&world, &member);
    for path in PAGES.into_iter().chain([SIGN_IN, "/dashboard/nothing"]) {
        let page = browser.get(path).await;
        let policy = page.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self';"), "{path}: {policy}");
        assert!(!policy.contains("unsafe") && !policy.contains("http"), "{path}: {policy}");
        assert!(policy.contains("form-action 'self'") && policy.contains("frame-ancestors 'none'"), "{path}: {policy}");
        assert_eq!(page.header("cache-control"), "no-store", "{path}");
        assert_eq!(page.header("referrer-policy"), "same-origin", "{path}");
        assert_eq!(page.header("content-type"), "text/html; charset=utf-8", "{path}");
        assert_eq!(page.text.matches("<script").count(), 1, "{path}: {}", page.text);
        assert!(!page.has(" style=\"") && !page.has("<style") && !page.has(" onclick="), "{path}: {}", page.text);
        for address in attributes(&page.text, "src").iter().chain(&attributes(&page.text, "href")) {
            assert!(address.starts_with('/') && !address.starts_with("//") || *address == "#main", "{path}: {address}");
        }
    }
    world.end().await;
}

#[tokio::test]
async fn files_of_pages_are_kept_for_ever_under_names_that_change_with_them() {
    let world = World::start().await;
    let mut browser = Browser::new(&world);
    let page = browser.get(SIGN_IN).await.expect(200);
    let files: Vec<&str> = attributes(&page.text, "src").into_iter().chain(attributes(&page.text, "href")).collect();
    let files: Vec<&str> = files.into_iter().filter(|address| address.contains("/assets/")).collect();
    assert!(files.len() >= 3, "{files:?}");
    for file in files {
        let answer = browser.get(file).await.expect(200);
        assert_eq!(answer.header("cache-control"), "public, max-age=31536000, immutable", "{file}");
        assert!(!answer.text.is_empty() && answer.header("content-type") != "text/html", "{file}");
    }
    browser.get("/dashboard/assets/style-0000000000000000.css").await.expect(404);
    world.end().await;
}

#[tokio::test]
async fn an_admin_is_told_of_a_page_that_there_is_not_and_of_a_filter_that_is_none() {
    let world = World::start().await;
    let member = admin(&world, AdminRole::ReadOnly).await;
    let mut browser = Browser::of(&world, &member);
    let page = browser.get("/dashboard/nothing").await.expect(404);
    assert!(page.has("there is no such page") && page.has("<nav"), "{}", page.text);
    browser.send(browser.request(Method::DELETE, DASHBOARD)).await.expect(404);
    let page = browser.get("/dashboard/audit?cursor=%3Cscript%3E").await.expect(422);
    assert!(page.has("cursor must be") && page.has("role=\"alert\""), "{}", page.text);
    world.end().await;
}

#[tokio::test]
async fn what_others_wrote_is_text_and_nothing_else() {
    let world = World::start().await;
    let member = admin(&world, AdminRole::Full).await;
    let hostile = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>";
    let by = Actor { user: Some(member.id), name: hostile.to_owned() };
    let act = Act { by, from: None, action: "job.retry", target: None, detail: Some(hostile.to_owned()) };
    world.env.store().audit().begin(act).await.expect("an entry");
    let mut browser = Browser::of(&world, &member);
    let page = browser.get("/dashboard/audit").await.expect(200);
    assert!(page.has("&lt;script&gt;alert(1)&lt;/script&gt;"), "{}", page.text);
    assert!(!page.has("<script>") && !page.has("<img src=x"), "{}", page.text);
    world.end().await;
}

#[tokio::test]
async fn an_open_page_asks_for_its_middle_only_and_is_not_sent_what_it_has() {
    let world = World::start().await;
    let (one, other) = (admin(&world, AdminRole::Full).await, admin(&world, AdminRole::Full).await);
    let reader = admin(&world, AdminRole::ReadOnly).await;
    let mut browser = Browser::of(&world, &one);
    let page = browser.get("/dashboard/audit").await.expect(200);
    let middle = browser.get("/dashboard/audit?fragment").await.expect(200);
    assert!(page.has(&middle.text) && !middle.has("<html") && !middle.has(&one.name), "{}", middle.text);
    let tag = middle.header("etag").to_owned();
    let request = browser.request(Method::GET, "/dashboard/audit?fragment").header(header::IF_NONE_MATCH, &tag);
    assert_eq!(browser.send(request).await.expect(304).text, "");
    // What was made for one admin is what others get, but for who may change less.
    let mut browser = Browser::of(&world, &other);
    assert_eq!(browser.get("/dashboard/audit?fragment").await.expect(200).header("etag"), tag);
    let mut browser = Browser::of(&world, &reader);
    browser.get("/dashboard/audit?fragment").await.expect(200);
    assert_eq!(browser.get("/dashboard/audit?cursor=nonsense&fragment").await.expect(422).header("etag"), "");
    world.end().await;
}

#[tokio::test]
async fn a_stream_says_again_and_again_when_to_look() {
    let world = World::start().await;
    let member = admin(&world, AdminRole::ReadOnly).await;
    let browser = Browser::of(&world, &member);
    let mut stream = browser.request(Method::GET, "/dashboard/live").send().await.expect("a stream");
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    let mut told = String::new();
    while told.matches("event: look").count() < 2 {
        let piece = stream.chunk().await.expect("a stream").expect("no end yet");
        told.push_str(std::str::from_utf8(&piece).expect("text"));
    }
    drop(stream);
    world.end().await;
}
