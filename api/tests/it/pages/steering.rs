//! Buttons: who has them, what is asked before, and what they do.

use reqwest::{Method, header};
use store::{AdminRole, Controlled};
use testkit::TestEnv;

use super::{Browser, DASHBOARD, PAGES, admin};
use crate::support::World;

const PAUSE: &str = "/dashboard/queues/media.delete/pause";
const RESUME: &str = "/dashboard/queues/media.delete/resume";
const YES: (&str, &str) = ("confirmed", "yes");

async fn is_paused(world: &World) -> bool {
    let queue = Controlled::Queue("media.delete".to_owned());
    world.env.store().controls().find(&queue).await.expect("the database answers").is_some()
}

#[tokio::test]
async fn a_button_does_nothing_before_its_question_was_answered() {
    let world = World::start().await;
    let member = admin(&world, AdminRole::Full).await;
    let mut browser = Browser::of(&world, &member);
    let page = browser.get(DASHBOARD).await.expect(200);
    assert!(
        page.has(&format!("action=\"{PAUSE}\"")) && page.has("data-confirm=\"Pause media.delete?"),
        "{}",
        page.text
    );

    let hostile = "<script>alert(1)</script>";
    let asked = browser.post(PAUSE, &[("question", "Pause it?"), ("why", hostile)]).await.expect(200);
    assert!(asked.has("Pause it?") && asked.has(&format!("action=\"{PAUSE}\"")), "{}", asked.text);
    assert!(asked.has("name=\"confirmed\" value=\"yes\"") && !asked.has(hostile), "{}", asked.text);
    assert!(!is_paused(&world).await);

    assert_eq!(browser.post(PAUSE, &[YES, ("why", hostile)]).await.expect(303).location(), DASHBOARD);
    assert!(is_paused(&world).await);
    let page = browser.get(DASHBOARD).await.expect(200);
    assert!(page.has("The queue media.delete is paused.") && page.has(&format!("by {}", member.name)), "{}", page.text);
    assert!(page.has(RESUME) && !page.has(hostile), "{}", page.text);
    assert!(!browser.get(DASHBOARD).await.expect(200).has("is paused."), "it is told once");

    browser.post(RESUME, &[YES]).await.expect(303);
    assert!(!is_paused(&world).await);
    let audit = browser.get("/dashboard/audit").await.expect(200);
    assert!(audit.has("queue.pause") && audit.has("queue.resume") && audit.has(&member.name), "{}", audit.text);
    world.end().await;
}

#[tokio::test]
async fn who_may_only_look_has_no_buttons_and_is_refused() {
    let world = World::start().await;
    let member = admin(&world, AdminRole::ReadOnly).await;
    let mut browser = Browser::of(&world, &member);
    for path in PAGES {
        let page = browser.get(path).await.expect(200);
        let forms = page.text.matches("method=\"post\"").count();
        assert_eq!(forms, 1, "{path}: there is one to sign out: {}", page.text);
    }
    for path in [PAUSE, RESUME, "/dashboard/users/pause", "/dashboard/workers/drain", "/dashboard/channels/reconcile"] {
        let page = browser.post(path, &[YES, ("name", &member.name)]).await.expect(403);
        assert!(page.has("role=\"alert\""), "{path}: {}", page.text);
        browser.post(path, &[]).await.expect(403);
    }
    assert!(!is_paused(&world).await);
    world.end().await;
}

#[tokio::test]
async fn a_form_of_another_site_changes_nothing_and_one_of_ours_does() {
    let world = World::with(&["--steep-env=production"]).await;
    let member = admin(&world, AdminRole::Full).await;
    let mut browser = Browser::of(&world, &member);
    for headers in [
        [(header::ORIGIN.as_str(), "https://evil.example.com")].as_slice(),
        &[("origin", "null")],
        &[("referer", "https://evil.example.com/")],
        &[("sec-fetch-site", "cross-site")],
    ] {
        let request = browser.request(Method::POST, PAUSE).form(&[YES]);
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let page = browser.send(request).await.expect(403);
        assert!(page.has("cross-origin"), "{}", page.text);
        assert!(!is_paused(&world).await, "{headers:?}");
    }
    browser.post(PAUSE, &[YES]).await.expect(303);
    assert!(is_paused(&world).await);
    world.end().await;
}

#[tokio::test]
async fn users_are_paused_and_channels_are_counted_by_name_and_nonsense_is_told() {
    let world = World::start().await;
    let (member, other) = (admin(&world, AdminRole::Full).await, world.member().await);
    let mut browser = Browser::of(&world, &member);
    browser.post("/dashboard/users/pause", &[YES, ("name", &other.name), ("why", "spam")]).await.expect(303);
    let page = browser.get("/dashboard/fleet").await.expect(200);
    assert!(
        page.has(&format!("The jobs of {} wait.", other.name)) && page.has("/dashboard/users/resume"),
        "{}",
        page.text
    );
    browser.post("/dashboard/users/resume", &[YES, ("name", &other.name)]).await.expect(303);
    assert!(browser.get("/dashboard/fleet").await.expect(200).has("No user is paused"));
    browser.post("/dashboard/channels/reconcile", &[YES, ("name", &other.name)]).await.expect(303);
    let page = browser.get("/dashboard/counters").await.expect(200);
    assert!(page.has(&format!("The stored counts of {} are", other.name)), "{}", page.text);
    for path in ["/dashboard/users/pause", "/dashboard/workers/drain", "/dashboard/channels/reconcile"] {
        let page = browser.post(path, &[YES, ("name", "nobody")]).await.expect(404);
        assert!(page.has("there is no such"), "{path}: {}", page.text);
    }
    browser.post("/dashboard/queues/nothing/pause", &[YES]).await.expect(404);
    world.end().await;
}

#[tokio::test]
async fn a_worker_is_shown_and_drained() {
    let world = World::start().await;
    let member = admin(&world, AdminRole::Full).await;
    let mut browser = Browser::of(&world, &member);
    let worker = world.env.worker().await;
    TestEnv::until("a worker is shown", async || browser.get("/dashboard/fleet").await.has("alive")).await;
    let page = browser.get("/dashboard/fleet").await.expect(200);
    let name =
        page.text.split("/dashboard/jobs?worker=").nth(1).and_then(|rest| rest.split('"').next()).expect("a worker");
    let name = name.to_owned();
    browser.post("/dashboard/workers/drain", &[YES, ("name", &name)]).await.expect(303);
    let page = browser.get("/dashboard/fleet").await.expect(200);
    assert!(
        page.has(&format!("{name} drains.")) && page.has(&format!("told to drain by {}", member.name)),
        "{}",
        page.text
    );
    browser.post("/dashboard/workers/undrain", &[YES, ("name", &name)]).await.expect(303);
    assert!(browser.get("/dashboard/fleet").await.expect(200).has("takes jobs again."));
    drop(worker);
    world.end().await;
}
