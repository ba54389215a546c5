//! The pages about jobs and what they ran into.

use cloudinary_local::{Effect, Fault, Moment};
use reqwest::Method;
use serde_json::Value;
use store::AdminRole;
use testkit::{Leftovers, jpeg};
use uuid::Uuid;

use super::{Browser, admin};
use crate::support::{World, submit};

const HOSTILE: &str = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>.jpg";

fn assert_harmless(text: &str) {
    for part in ["<script>alert", "<img src=x", "onerror=alert(2)>"] {
        assert!(!text.contains(part), "{part} is in {text}");
    }
}

#[tokio::test]
async fn a_job_is_found_by_a_filter_by_its_id_and_by_its_owners_name() {
    let world = World::start().await;
    let (member, other) = (admin(&world, AdminRole::ReadOnly).await, world.member().await);
    let job = submit(&other.client, "a.jpg", &jpeg(2_000)).await.expect(202).job(0);
    let mut browser = Browser::of(&world, &member);
    let link = format!("href=\"/dashboard/jobs/{job}\"");
    for filter in
        ["", "?state=&kind=&user=", "?kind=media.upload.v1&state=pending,queued", &format!("?user={}", other.name)]
    {
        let page = browser.get(&format!("/dashboard/jobs{filter}")).await.expect(200);
        assert!(page.has(&link) && page.has("1 job"), "{filter}: {}", page.text);
    }
    let page = browser.get("/dashboard/jobs?state=completed").await.expect(200);
    assert!(!page.has(&link) && page.has("No job fits"), "{}", page.text);
    // A browser's form has times without a zone.
    let page = browser.get("/dashboard/jobs?from=2026-01-01T00:00&to=2126-01-01T00:00:00").await.expect(200);
    assert!(page.has(&link) && page.has("value=\"2026-01-01T00:00:00\""), "{}", page.text);

    let found = browser.get(&format!("/dashboard/jobs/search?q={job}")).await.expect(303);
    assert_eq!(found.location(), format!("/dashboard/jobs/{job}"));
    let found = browser.get(&format!("/dashboard/jobs/search?q=%20{}", other.name)).await.expect(303);
    assert_eq!(found.location(), format!("/dashboard/jobs?user={}", other.id));
    assert!(browser.get("/dashboard/jobs/search?q=nobody").await.expect(200).has("Nothing has this"));
    world.work_off_and_end().await;
}

#[tokio::test]
async fn a_filter_with_nonsense_is_refused_by_name_and_a_job_that_there_is_not_is_not_found() {
    let world = World::start().await;
    let member = admin(&world, AdminRole::Full).await;
    let mut browser = Browser::of(&world, &member);
    for (query, field) in [
        ("state=gone", "state"),
        ("kind=x", "kind"),
        ("asset=1", "asset"),
        ("from=now", "from"),
        ("cursor=x", "cursor"),
    ] {
        let page = browser.get(&format!("/dashboard/jobs?{query}")).await.expect(422);
        assert!(page.has(&format!("{field} must")) && page.has("<nav"), "{query}: {}", page.text);
    }
    let page = browser.get("/dashboard/errors?kind=%3Cscript%3E").await.expect(422);
    assert_harmless(&page.text);
    browser.get(&format!("/dashboard/jobs/{}", Uuid::now_v7())).await.expect(404);
    browser.get("/dashboard/jobs/1").await.expect(422);
    browser.get("/dashboard/jobs/search").await.expect(422);
    world.end().await;
}

#[tokio::test]
async fn older_jobs_are_behind_a_link_that_keeps_the_filter() {
    let world = World::start().await;
    let member = admin(&world, AdminRole::Full).await;
    for _ in 0..51 {
        submit(&member.client, "a.jpg", &jpeg(1_000)).await.expect(202);
    }
    let mut browser = Browser::of(&world, &member);
    let page = browser.get("/dashboard/jobs?kind=media.upload.v1").await.expect(200);
    assert_eq!(page.text.matches("<th scope=\"row\"").count(), 50);
    assert!(page.has("data-live"), "the first page is kept up to date");
    let link = page.text.split("rel=\"next\" href=\"").nth(1).and_then(|rest| rest.split('"').next());
    let link = link.expect("a link to older ones").replace("&amp;", "&");
    assert!(link.contains("kind=media.upload.v1") && link.contains("cursor="), "{link}");
    let older = browser.get(&link).await.expect(200);
    assert_eq!(older.text.matches("<th scope=\"row\"").count(), 1);
    assert!(!older.has("data-live") && !older.has("rel=\"next\""), "{}", older.text);
    world.work_off_and_end().await;
}

#[tokio::test]
async fn a_job_shows_its_attempts_its_file_and_its_trace_whatever_others_called_it() {
    let world = World::start().await;
    let (member, owner) = (admin(&world, AdminRole::Full).await, world.member().await);
    let refusal = Effect::Status {
        status: 400,
        message: Some(HOSTILE.to_owned()),
        html: None,
        retry_after: None,
        at: Moment::BeforeStoring,
    };
    let worker = world.env.worker().await;
    let good = submit(&owner.client, HOSTILE, &jpeg(2_000)).await.expect(202);
    owner.client.wait_for_job(&good.job(0), &["completed"]).await;
    world.env.media().install_fault(Fault::new(refusal).on("upload").times(1));
    let bad = submit(&owner.client, HOSTILE, &jpeg(3_000)).await.expect(202).job(0);
    owner.client.wait_for_job(&bad, &["discarded"]).await;

    let mut browser = Browser::of(&world, &member);
    let page = browser.get(&format!("/dashboard/jobs/{}", good.job(0))).await.expect(200);
    let asset = good.data()["_id"].as_str().expect("an asset");
    assert!(page.has(&format!("<img class=\"preview\" src=\"/api/v1/media/{asset}\"")), "{}", page.text);
    assert!(page.has("media.ready.v1") && page.has("Timeline of the attempts"), "{}", page.text);
    let stored = owner.client.get("/api/v1/media").await.expect(200);
    let ready = |asset: &&Value| asset["state"] == "ready";
    let url =
        stored.data()["docs"].as_array().and_then(|all| all.iter().find(ready)).and_then(|asset| asset["url"].as_str());
    let origin: String = url.expect("an address").split('/').take(3).collect::<Vec<_>>().join("/");
    let policy = page.header("content-security-policy");
    assert!(policy.contains(&format!("img-src 'self' {origin};")), "{policy}: the preview is redirected to {origin}");

    let page = browser.get(&format!("/dashboard/jobs/{bad}")).await.expect(200);
    assert!(page.has("discarded") && page.has("alert(1)"), "{}", page.text);
    assert_harmless(&page.text);
    let errors = browser.get("/dashboard/errors").await.expect(200);
    assert!(errors.has(&format!("href=\"/dashboard/jobs/{bad}\"")), "{}", errors.text);
    assert_harmless(&errors.text);
    let group = errors.text.split("/dashboard/jobs?errorGroup=").nth(1).and_then(|rest| rest.split('"').next());
    let group = group.expect("a link to the jobs of the group");
    let page = browser.get(&format!("/dashboard/jobs?errorGroup={group}")).await.expect(200);
    assert!(page.has(&bad), "{}", page.text);
    for path in ["/dashboard/jobs", "/dashboard/jobs?fragment", "/dashboard/errors?fragment"] {
        assert_harmless(&browser.get(path).await.expect(200).text);
    }
    let not_found = browser.send(browser.request(Method::DELETE, &format!("/dashboard/jobs/{bad}"))).await.expect(404);
    assert_harmless(&not_found.text);
    drop(worker);
    world.api.stop().await;
    world.env.finish_with(Leftovers { files: 1, ..Leftovers::default() }).await;
}
