//! Every button, pressed as a person presses it: with the mouse or a finger, and after its question.

use serde_json::json;
use store::AdminRole;
use testkit::TestEnv;

use super::{DESK, PHONE, Walker, admin};

const SAID: &str = "document.querySelector('.said')?.textContent ?? ''";

#[tokio::test(flavor = "multi_thread")]
async fn every_button_about_queues_workers_users_and_counts_does_what_it_says() {
    let Some(walker) = Walker::find("no button was pressed") else { return };
    let env = TestEnv::start().await;
    let (api, worker) = (env.api().await, env.worker().await);
    let name = admin(&env, &api, AdminRole::Full).await;
    let other = admin(&env, &api, AdminRole::ReadOnly).await;
    env.until_quiet().await;
    TestEnv::until("the worker gives signs of life", async || {
        !env.store().workers().list(false, None, 10).await.expect("the database answers").items.is_empty()
    })
    .await;
    for look in [DESK, PHONE] {
        let steps = json!([
            {"open": "/dashboard", "press": "Pause webhook.deliver", "confirms": true, "script": SAID},
            {"press": "Resume webhook.deliver", "confirms": true, "script": SAID},
            {"press": "Fleet"},
            {"press": "Drain", "confirms": true, "script": SAID},
            {"press": "Take jobs again", "confirms": true, "script": SAID},
            {"press": "Pause user", "fill": {"[name=name]:not([type=hidden])": other}, "confirms": true, "script": SAID},
            {"press": "Resume", "confirms": true, "script": SAID},
            {"press": "Counters"},
            {"press": "Compare a channel now", "fill": {"[name=name]": other}, "confirms": true, "script": SAID},
            {"press": "Audit"},
            {"press": "Sign out"},
        ]);
        let found = walker.walk(&env, &api, &name, look, &steps).await;
        let said: Vec<&str> = found.iter().filter_map(|step| step["said"].as_str()).collect();
        let expected = ["is paused.", "goes on.", "drains.", "takes jobs again.", "wait.", "go on.", "are"];
        assert_eq!(said.len(), expected.len(), "{said:?}");
        for (said, expected) in said.iter().zip(expected) {
            assert!(said.contains(expected), "{look:?}: {said:?} has no {expected:?}");
        }
        assert_eq!(found.last().expect("steps")["path"], "/dashboard/sign-in");
    }
    drop(worker);
    api.stop().await;
    env.finish().await;
}
