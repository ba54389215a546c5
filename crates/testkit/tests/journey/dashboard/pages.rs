//! Every page, as it is in a browser.

use serde_json::json;
use store::AdminRole;
use testkit::{TestEnv, jpeg};

use super::{DESK, Look, PHONE, Walker, admin};

/// The names in the navigation are those of the pages.
const PAGES: [&str; 6] = ["Overview", "Jobs", "Errors", "Fleet", "Counters", "Audit"];

#[tokio::test(flavor = "multi_thread")]
async fn every_page_is_sound_on_a_desk_and_on_a_phone_by_day_and_by_night() {
    let Some(walker) = Walker::find("the dashboard was not walked through") else { return };
    let env = TestEnv::start().await;
    let (api, _worker) = (env.api().await, env.worker().await);
    let name = admin(&env, &api, AdminRole::Full).await;
    let user = api.login(&name).await;
    let job = user.submit("a <script>picture</script>.jpg", jpeg(2_000)).await.expect(202).job(0);
    user.wait_for_job(&job, &["completed"]).await;
    env.until_quiet().await;
    for look in [DESK, PHONE, Look { is_dark: true, ..DESK }, Look { is_dark: true, ..PHONE }] {
        let steps: Vec<_> = PAGES.iter().map(|page| json!({"press": page})).collect();
        let found = walker.walk(&env, &api, &name, look, &json!(steps)).await;
        for (page, found) in PAGES.iter().zip(&found) {
            assert_eq!(found["title"], *page, "{look:?}");
        }
    }
    api.stop().await;
    env.finish().await;
}

/// Nobody loses what they have opened, and everybody is told when a page is no longer kept up to date.
#[tokio::test(flavor = "multi_thread")]
async fn an_open_page_shows_what_happens_keeps_what_was_opened_and_tells_when_it_stops() {
    let Some(walker) = Walker::find("no page was kept open") else { return };
    let env = TestEnv::start().await;
    let (api, worker) = (env.api().await, env.worker().await);
    let name = admin(&env, &api, AdminRole::Full).await;
    let user = api.login(&name).await;
    env.until_quiet().await;
    drop(worker);
    let job = user.submit("a.jpg", jpeg(2_000)).await.expect(202).job(0);
    let page = format!("/dashboard/jobs/{job}");
    // What a person does, and that the page has what it had before when the job has ended.
    let opened =
        "document.querySelector('#payload summary').click(), document.querySelector('#payload summary').focus()";
    let kept = "[document.querySelector('#payload').open, document.activeElement === document.querySelector('#payload summary')]";
    let cancel = format!("fetch('/api/v1/jobs/{job}', {{ method: 'DELETE' }}).then((answer) => answer.status)");
    let steps = json!([
        {"open": page, "until": "document.getElementById('live').textContent === 'Live'", "script": opened},
        {"script": cancel},
        {"until": "document.querySelector('dl.facts dd').textContent.includes('cancelled')", "script": kept},
        {"offline": true, "until": "document.getElementById('live').textContent.startsWith('Not live since ')"},
    ]);
    let found = walker.walk(&env, &api, &name, DESK, &steps).await;
    assert_eq!(found[2]["said"], json!([true, true]), "{found:#?}");
    let _worker = env.worker().await;
    api.stop().await;
    env.finish().await;
}

/// The script renews the session when the page has been open for longer than an access token lasts.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_stays_open_for_long_goes_on_being_live() {
    let Some(walker) = Walker::find("no page was kept open for long") else { return };
    let env = TestEnv::start().await;
    let (api, worker) = (env.api_with(&["--access-token-expiry=2s"]).await, env.worker().await);
    let name = admin(&env, &api, AdminRole::Full).await;
    env.until_quiet().await;
    let tags = "window.tags = new Set(); const fetched = window.fetch; \
        window.fetch = async (...all) => { const answer = await fetched(...all); window.tags.add(String(all[0].pathname ?? all[0]) + answer.status); return answer; }";
    let steps = json!([
        {"open": "/dashboard/audit", "script": tags, "complains": true},
        {"until": "window.tags.has('/api/v1/users/refresh-token200') && document.getElementById('live').textContent === 'Live'", "complains": true},
        {"press": "Jobs", "complains": true},
    ]);
    let found = walker.walk(&env, &api, &name, DESK, &steps).await;
    assert_eq!(found[2]["title"], "Jobs");
    drop(worker);
    api.stop().await;
    env.finish().await;
}
