//! What the API does against what it says of itself, with requests that [schemathesis](https://schemathesis.io) makes up
//! from the document.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use store::AdminRole;
use testkit::{Leftovers, TestEnv, jpeg, tools};

use crate::support::api_with;

const VERSION: &str = "4.32.5";

/// No 5xx, nothing undocumented, nothing of another shape. Left out are checks of what a schema cannot say, such as that a
/// file must be a picture, and those that take an unknown field or a page beyond the last for an error.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,\
    response_schema_conformance,missing_required_header,unsupported_method,allow_header_conformance";

/// They end the session that asks, or whichever was listed, so they are tried apart.
const ENDING: [&str; 2] = ["/api/v1/users/logout", "/api/v1/users/sessions/{id}"];

/// They have no end, which the tool would wait for.
const ENDLESS: [&str; 2] = ["/api/v1/events", "/api/v1/jobs/{id}/events"];

/// Whether to leave out what ends sessions, or to try nothing else.
const LEAVE_OUT: &str = "--exclude-path";
const NOTHING_ELSE: &str = "--include-path";

/// Tries a document, or a part of it, at the API that it was read from. Answers what was found.
fn attack(
    package: &Path,
    document: &str,
    ending: &str,
    url: &str,
    token: &str,
    folder: &Path,
) -> Result<String, String> {
    let program = package.join("bin").join("st");
    let mut command = Command::new("python3");
    command.current_dir(folder).env("PYTHONPATH", package).env("PYTHONDONTWRITEBYTECODE", "1");
    for proxy in ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"] {
        command.env_remove(proxy);
    }
    command.arg(program).args([
        "run",
        document,
        "--url",
        url,
        "--checks",
        CHECKS,
        "--max-examples",
        "30",
        "--seed",
        "1",
        // A busy machine makes up forms slowly.
        "--suppress-health-check",
        "too_slow",
    ]);
    command.args(ENDING.iter().flat_map(|path| [ending, path]));
    command.args(ENDLESS.iter().flat_map(|path| [LEAVE_OUT, path]));
    command.args(["--header", &format!("Authorization: Bearer {token}"), "--generation-database", "none"]);
    command.args(["--continue-on-failure", "--request-timeout", "20", "--no-color"]);
    tools::run(&mut command)
}

fn package() -> Option<PathBuf> {
    let package = tools::python_package("schemathesis", "schemathesis", VERSION);
    let package = package.unwrap_or_else(|reason| panic!("schemathesis could not be installed: {reason}"));
    if package.is_none() {
        tools::skip("schemathesis was not run", "python3 with pip is not on this machine");
    }
    package
}

#[tokio::test]
async fn requests_made_up_from_the_document_find_nothing_that_is_not_in_it() {
    let Some(package) = package() else { return };
    let env = TestEnv::start().await;
    // It guesses passwords by the hundred, one after the other.
    let (_api, client) = api_with(&env, "api", &[("LOGIN_REFUSAL_TIME", "0s".to_owned())]).await;
    // In this process, where it waits less before it looks again for what it has deleted.
    let worker = env.worker().await;
    let (user, _) = client.new_user(jpeg(2_000)).await;
    // It sees what admins see. What they change it does not: it would pause queues and discard jobs.
    let name = user.current_user().await["username"].as_str().expect("a name").to_owned();
    env.store().users().grant_admin(&name, AdminRole::ReadOnly).await.expect("an answer").expect("a user");
    let (url, token) = (user.url().to_owned(), user.token().expect("a token").to_owned());
    let document = format!("{url}/openapi.json");
    let folder = env.folder().to_owned();

    let (tool, address, session, place) = (package.clone(), url.clone(), token.clone(), folder.clone());
    let attacking = tokio::task::spawn_blocking(move || {
        let said = attack(&tool, &document, LEAVE_OUT, &address, &session, &place)?;
        attack(&tool, &document, NOTHING_ELSE, &address, &session, &place).map(|ended| (said, ended))
    });
    let (said, ended) = attacking.await.expect("no panic").unwrap_or_else(|said| panic!("{said}"));
    println!("{said}\n{ended}");
    // It had a session, or it has seen nothing but 401. Which is all that anybody sees of what the media host alone can sign.
    let only_the_signed = "401 Unauthorized (1 operation):\n  - POST /api/v1/webhooks/cloudinary\n";
    assert!(said.contains(only_the_signed), "{said}");
    // And of what it may not change nothing but 403.
    let of_admins = said
        .split("403 Forbidden")
        .nth(1)
        .and_then(|said| said.split("401 Unauthorized").next())
        .expect("what is for admins who may change things");
    assert!(!of_admins.lines().any(|line| line.contains("- GET /api/v1/admin")), "{said}");

    // The same tool against a document that conceals something.
    let mut lie: Value = client.get("/openapi.json").await.expect(200).body;
    let operation = lie["paths"].as_object_mut().expect("paths").remove("/api/v1/users/current-user");
    let mut operation = operation.expect("a route");
    operation["get"]["responses"].as_object_mut().expect("responses").remove("401");
    lie["paths"] = serde_json::json!({"/api/v1/users/current-user": operation});
    let path = folder.join("lie.json");
    std::fs::write(&path, lie.to_string()).expect("written");
    let path = path.display().to_string();
    let attacking = tokio::task::spawn_blocking(move || attack(&package, &path, LEAVE_OUT, &url, "no-token", &folder));
    let said = attacking.await.expect("no panic").expect_err("a 401 that is not in the document");
    assert!(said.contains("Undocumented status code"), "{said}");

    // Truncated pictures are accepted, and the media host refuses them: their files stay for a redrive.
    TestEnv::until("every job has ended", async || {
        env.store().jobs().queue_ages().await.expect("the database answers").is_empty()
    })
    .await;
    worker.shutdown(std::future::pending()).await;
    let files = env.spooled_files();
    env.finish_with(Leftovers { files, ..Leftovers::default() }).await;
}
