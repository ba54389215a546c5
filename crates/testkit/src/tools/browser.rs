//! Pages in Chromium.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use axum::Router;
use axum::response::Html;
use axum::routing::{get, post};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::process;

/// Programs that are Chromium, as systems name them.
const PROGRAMS: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
/// What a script may take, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// The browser, if there is one on this machine.
pub fn find() -> Option<&'static str> {
    PROGRAMS.into_iter().find(|name| super::run(Command::new(name).arg("--version")).is_ok())
}

/// How to start it without a window, a network or a memory of earlier runs.
pub fn arguments(profile: &Path) -> Vec<String> {
    let always = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--no-first-run",
        "--disable-quic",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        // No name is resolved: what works does so without a network.
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
    ];
    let mut arguments: Vec<String> = always.into_iter().map(str::to_owned).collect();
    arguments.push(format!("--user-data-dir={}", profile.display()));
    arguments
}

/// Runs the body of an asynchronous function in a page at an `http://localhost` of its own. Answers what it returns, which has
/// to be JSON. A script that fails is a failure of the test.
pub async fn evaluate(browser: &str, folder: &Path, script: &str) -> Value {
    let page = format!(
        "<!doctype html><script type=module>\n\
         const script = async () => {{ {script} }};\n\
         const said = await script().then((value) => ({{ value }}), (error) => ({{ error: String(error) }}));\n\
         await fetch('/said', {{ method: 'POST', body: JSON.stringify(said) }});\n\
         </script>"
    );
    let (say, mut said) = mpsc::unbounded_channel();
    let router = Router::new().route("/", get(async || Html(page))).route(
        "/said",
        post(async move |body: String| {
            let _nobody_waits_any_more = say.send(body);
        }),
    );
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = format!("http://localhost:{}/", listener.local_addr().expect("an address").port());
    let serving = tokio::spawn(async move { axum::serve(listener, router).await });

    std::fs::create_dir_all(folder).expect("a folder");
    let mut arguments = arguments(&folder.join("browser"));
    arguments.push(address);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let process = process::spawn("browser", Path::new(browser), &arguments, &[], folder).expect("a browser");
    let said = tokio::time::timeout(PATIENCE, said.recv()).await.expect("an answer in time").expect("an answer");
    drop(process);
    serving.abort();
    let mut said: Value = serde_json::from_str(&said).expect("JSON");
    assert!(said["error"].is_null(), "the script failed: {said}");
    said["value"].take()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn a_script_is_answered_with_what_it_returns() {
        let Some(program) = find() else {
            return crate::tools::skip("a script in a page", "Chromium is not on this machine");
        };
        let folder = tempfile::tempdir().expect("a folder");
        let said = evaluate(program, folder.path(), "return [1, await Promise.resolve('two')];").await;
        assert_eq!(said, json!([1, "two"]));
    }
}
