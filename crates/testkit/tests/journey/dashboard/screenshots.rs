//! Pictures of the pages in docs/screenshots, from what a small system really did.
//!
//! To take them anew: `cargo xtask screenshots`.

use std::path::PathBuf;

use bytes::Bytes;
use cloudinary_local::{Effect, Fault, Moment};
use serde_json::{Value, json};
use store::AdminRole;
use testkit::tools::workspace;
use testkit::{TestEnv, mp4};

use super::{DESK, PHONE, Walker, admin};

/// A page's name in the navigation, and that of its pictures.
const PICTURES: [(&str, &str); 6] = [
    ("Overview", "overview"),
    ("Jobs", "jobs"),
    ("Errors", "errors"),
    ("Fleet", "fleet"),
    ("Counters", "counters"),
    ("Audit", "audit"),
];
const MAX_BYTES: u64 = 200_000;

fn file(name: &str, look: &str) -> PathBuf {
    workspace().join("docs/screenshots").join(format!("{name}-{look}.png"))
}

#[tokio::test(flavor = "multi_thread")]
async fn screenshots_in_docs_are_of_every_page_and_small() {
    if std::env::var_os("STEEP_WRITE_DOCS").is_some() {
        take().await;
    }
    let names = PICTURES.iter().map(|(_, name)| *name).chain(["job"]);
    for file in names.flat_map(|name| [file(name, "desk"), file(name, "phone")]) {
        let size = std::fs::metadata(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display())).len();
        assert!(size <= MAX_BYTES, "{} has {size} bytes", file.display());
    }
}

fn refusal(status: u16) -> Effect {
    Effect::Status { status, message: None, html: None, retry_after: None, at: Moment::BeforeStoring }
}

/// Uploads a few files, some of which fail, and takes the pictures.
async fn take() {
    let walker = Walker::find("no screenshots were taken").expect("Chromium and Node");
    let env = TestEnv::start().await;
    let (api, worker) = (env.api().await, env.worker().await);
    let name = admin(&env, &api, AdminRole::Full).await;
    let user = api.login(&name).await;
    env.until_quiet().await;
    let sample = Bytes::from(std::fs::read(workspace().join("docs/sample.jpg")).expect("a picture"));
    let mut job = String::new();
    for (number, title) in
        ["harbour.jpg", "lighthouse.jpg", "ferry.jpg", "gulls.jpg", "pier.jpg"].into_iter().enumerate()
    {
        if number % 2 == 1 {
            env.media().install_fault(Fault::new(refusal(503)).on("upload").times(2));
        }
        let one = user.submit(title, sample.clone()).await.expect(202).job(0);
        user.wait_for_job(&one, &["completed"]).await;
        if number == 3 {
            job = one;
        }
    }
    env.media().install_fault(Fault::new(refusal(400)).on("upload").times(1));
    let refused = user.submit("tide.mp4", mp4(60_000)).await.expect(202).job(0);
    user.wait_for_job(&refused, &["discarded"]).await;
    std::fs::create_dir_all(workspace().join("docs/screenshots")).expect("a folder");
    for (look, size) in [("desk", DESK), ("phone", PHONE)] {
        let page = |(press, name): &(&str, &str)| json!({"press": press, "picture": file(name, look)});
        let mut steps: Vec<Value> = PICTURES.iter().map(page).collect();
        steps.push(json!({"open": format!("/dashboard/jobs/{job}"), "picture": file("job", look)}));
        walker.walk(&env, &api, &name, size, &json!(steps)).await;
    }
    drop(worker);
    api.stop().await;
    // The file of the one that was discarded is kept for a redrive.
    env.finish_with(testkit::Leftovers { files: 1, ..Default::default() }).await;
}
