//! The page at /docs in a browser.

use std::process::Command;

use serde_json::Value;
use testkit::TestEnv;
use testkit::tools::{self, browser};

#[tokio::test]
async fn the_page_shows_every_route_and_asks_nobody_else() {
    let Some(program) = browser::find() else {
        return tools::skip("the page at /docs was not opened", "Chromium is not on this machine");
    };
    let env = TestEnv::start().await;
    let api = env.api().await;
    let url = api.url().to_owned();
    let (profile, events) = (env.folder().join("browser"), env.folder().join("events.json"));
    let mut command = Command::new(program);
    command.args(browser::arguments(&profile)).arg(format!("--log-net-log={}", events.display()));
    // Time in the page stands still while it waits for the network.
    command.args(["--enable-logging=stderr", "--virtual-time-budget=30000", "--dump-dom"]).arg(format!("{url}/docs"));
    let opened = tokio::task::spawn_blocking(move || command.output()).await.expect("no panic").expect("a browser");
    let (shown, log) = (String::from_utf8_lossy(&opened.stdout), String::from_utf8_lossy(&opened.stderr));

    let document = api.get("/openapi.json").await.expect(200).body;
    for path in document["paths"].as_object().expect("paths").keys() {
        assert!(shown.contains(&format!("data-path=\"{path}\"")), "{path} is not shown: {shown}\n{log}");
    }
    assert!(!log.contains("Content Security Policy"), "{log}");

    let events = std::fs::read_to_string(&events).expect("the browser's record of its requests");
    let asked = requests_of(&events, &url);
    assert!(asked.len() >= 4, "{asked:?}");
    for address in &asked {
        assert!(address.starts_with(&format!("{url}/")), "the page asked for {address}");
    }
    api.stop().await;
    env.finish().await;
}

/// The addresses that pages of an origin asked for. Other requests in the record are the browser's own.
fn requests_of(events: &str, origin: &str) -> Vec<String> {
    let record: Value = serde_json::from_str(events).expect("a record that was closed");
    let events = record["events"].as_array().expect("events");
    let params = events.iter().map(|event| &event["params"]);
    let of_page = params.filter(|params| params["initiator"] == origin && params["method"].is_string());
    of_page.filter_map(|params| params["url"].as_str().map(str::to_owned)).collect()
}
