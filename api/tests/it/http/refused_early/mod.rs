//! What programs see when a request is refused in the middle of its body: the answer.
//!
//! Some read it at once, others when they have sent everything, or cannot send on.

use std::process::Command;
use std::time::Duration;

use reqwest::Url;
use serde_json::{Value, json};
use testkit::proxy::{Passage, Proxy};
use testkit::tools::{self, browser};
use testkit::{FORM_TYPE, RawForm, Wire, jpeg};
use tokio::task::{JoinSet, spawn_blocking};

use crate::support::{AVATAR, MEDIA, Member, World, assert_refused};

const REQUESTS: &str = "2.32.5";
const HTTPX: &str = "0.28.1";

/// Bytes a second of slow ones.
const SLOW: u32 = 1_000;
/// More than what is read of a refused body in the time that there is for it, and at full speed more than is read at all.
const SLOW_BYTES: usize = 10_000;
const FAST_BYTES: usize = 40_000_000;
/// More than what systems buffer between a program and a slow line.
const SLOW_LINE_BYTES: usize = 8_000_000;

struct Refusal {
    method: &'static str,
    path: &'static str,
    field: &'static str,
    signed_in: bool,
    is_picture: bool,
    answer: &'static str,
}

/// By the head; in the middle of a file, or by the head where that tells its length; and by a file's first bytes.
const REFUSALS: [Refusal; 3] = [
    Refusal {
        method: "POST",
        path: MEDIA,
        field: "file",
        signed_in: false,
        is_picture: true,
        answer: "401 urn:steep:problem:unauthorized",
    },
    Refusal {
        method: "PATCH",
        path: AVATAR,
        field: "avatar",
        signed_in: true,
        is_picture: true,
        answer: "413 urn:steep:problem:too-large",
    },
    Refusal {
        method: "POST",
        path: MEDIA,
        field: "file",
        signed_in: true,
        is_picture: false,
        answer: "415 urn:steep:problem:unsupported-type",
    },
];

async fn world() -> World {
    World::with(&["--avatar-max-bytes=1000"]).await
}

impl Refusal {
    fn headers(&self, member: &Member) -> Value {
        let mut headers = json!({"Content-Type": FORM_TYPE});
        if self.signed_in {
            headers["Authorization"] = format!("Bearer {}", member.client.token().expect("a token")).into();
        }
        headers
    }
}

/// Every refusal, slow and fast, with a length that is declared and without, and with `Expect` and without; and what each is to
/// be answered.
fn requests(world: &World, member: &Member) -> (Vec<Value>, Vec<&'static str>) {
    let (mut requests, mut answers) = (Vec::new(), Vec::new());
    for (number, refusal) in REFUSALS.iter().enumerate() {
        for (rate, bytes) in [(SLOW, SLOW_BYTES), (0, FAST_BYTES)] {
            let content = if refusal.is_picture { jpeg(bytes) } else { vec![b'x'; bytes].into() };
            let file = world.env.folder().join(format!("{number}-{bytes}"));
            std::fs::write(&file, RawForm::new().file(refusal.field, "a.jpg", &content).finished()).expect("a file");
            for (declared, expect) in [(true, false), (true, true), (false, false), (false, true)] {
                requests.push(json!({
                    "method": refusal.method,
                    "url": format!("{}{}", world.api.url(), refusal.path),
                    "headers": refusal.headers(member),
                    "file": file,
                    "rate": rate,
                    "declared": declared,
                    "expect": expect,
                }));
                answers.push(refusal.answer);
            }
        }
    }
    (requests, answers)
}

/// Fails unless every request was answered as it should be.
fn compare(requests: &[Value], said: &[String], expected: &[&str]) {
    assert_eq!(said.len(), expected.len(), "{said:?}");
    let wrong = requests.iter().zip(said).zip(expected).filter(|((_, said), expected)| said != *expected);
    let wrong: Vec<_> = wrong
        .map(|((request, said), expected)| {
            format!(
                "{expected}, {} bytes/s, declared {}, expect {}: {said}",
                request["rate"], request["declared"], request["expect"]
            )
        })
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Runs a program that reads requests from a file and prints the answers as JSON.
async fn drive(world: &World, mut command: Command, requests: &[Value], expected: &[&str]) {
    let file = world.env.folder().join("requests.json");
    std::fs::write(&file, Value::from(requests.to_vec()).to_string()).expect("a file");
    command.arg(file);
    for proxy in ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"] {
        command.env_remove(proxy);
    }
    let said = spawn_blocking(move || tools::run(&mut command)).await.expect("no panic");
    let said = said.unwrap_or_else(|said| panic!("{said}"));
    let said: Vec<String> = serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"));
    compare(requests, &said, expected);
}

/// What this test is made of, at the folder's place in the source.
fn source(name: &str) -> String {
    format!("{}/tests/it/http/refused_early/{name}", env!("CARGO_MANIFEST_DIR"))
}

async fn python(package: &'static str, version: &'static str) {
    let installed = spawn_blocking(move || tools::python_package("clients", package, version)).await;
    let installed = installed.expect("no panic");
    let Some(folder) = installed.unwrap_or_else(|reason| panic!("{package} could not be installed: {reason}")) else {
        return tools::skip(&format!("Python's {package}"), "python3 with pip is not on this machine");
    };
    let world = world().await;
    let member = world.member().await;
    let (requests, answers) = requests(&world, &member);
    let mut command = Command::new("python3");
    command.args([&source("send.py"), package]).env("PYTHONPATH", folder).env("PYTHONDONTWRITEBYTECODE", "1");
    drive(&world, command, &requests, &answers).await;
    world.end().await;
}

#[tokio::test]
async fn requests_of_python_sees_why_it_was_refused() {
    python("requests", REQUESTS).await;
}

#[tokio::test]
async fn httpx_of_python_sees_why_it_was_refused() {
    python("httpx", HTTPX).await;
}

#[tokio::test]
async fn fetch_of_node_sees_why_it_was_refused() {
    if tools::run(Command::new("node").args(["-e", "fetch.call"])).is_err() {
        return tools::skip("Node's fetch", "node of at least version 18 is not on this machine");
    }
    let world = world().await;
    let member = world.member().await;
    let (requests, answers) = requests(&world, &member);
    // It cannot send Expect, and a slow body has no length.
    let sent = |request: &Value| request["expect"] == false && (request["declared"] == false || request["rate"] == 0);
    let (requests, answers): (Vec<_>, Vec<_>) =
        requests.into_iter().zip(answers).filter(|(request, _)| sent(request)).unzip();
    let mut command = Command::new("node");
    command.arg(source("send.mjs"));
    drive(&world, command, &requests, &answers).await;
    world.end().await;
}

/// Answers the status and the type of the problem that curl is answered.
fn curl(request: &Value) -> Result<String, String> {
    let text = |name: &str| request[name].as_str().unwrap_or_default().to_owned();
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--noproxy", "*", "--max-time", "60", "--write-out", "\n%{http_code}"]);
    command.args(["--request", &text("method"), "--upload-file", &text("file"), &text("url")]);
    for (name, value) in request["headers"].as_object().expect("headers") {
        command.args(["--header", &format!("{name}: {}", value.as_str().unwrap_or_default())]);
    }
    command.args(["--header", if request["expect"] == true { "Expect: 100-continue" } else { "Expect:" }]);
    if request["declared"] == false {
        command.args(["--header", "Transfer-Encoding: chunked"]);
    }
    if request["rate"] != 0 {
        command.args(["--limit-rate", &request["rate"].to_string()]);
    }
    let said = tools::run(&mut command)?;
    let (body, status) = said.rsplit_once('\n').unwrap_or_default();
    let body: Value = serde_json::from_str(body).map_err(|error| format!("{error}: {said}"))?;
    Ok(format!("{status} {}", body["type"].as_str().unwrap_or_default()))
}

#[tokio::test]
async fn curl_sees_why_it_was_refused() {
    if tools::run(Command::new("curl").arg("--version")).is_err() {
        return tools::skip("curl", "curl is not on this machine");
    }
    let world = world().await;
    let member = world.member().await;
    let (requests, answers) = requests(&world, &member);
    let mut sending = JoinSet::new();
    for (number, request) in requests.iter().cloned().enumerate() {
        sending.spawn_blocking(move || (number, curl(&request).unwrap_or_else(|said| said)));
    }
    let mut said = sending.join_all().await;
    said.sort();
    let said: Vec<String> = said.into_iter().map(|(_, said)| said).collect();
    compare(&requests, &said, &answers);
    world.end().await;
}

#[tokio::test]
async fn pages_in_chromium_see_why_they_were_refused() {
    let Some(program) = browser::find() else {
        return tools::skip("fetch and XMLHttpRequest", "Chromium is not on this machine");
    };
    let world = world().await;
    let member = world.member().await;
    let api = Url::parse(world.api.url()).expect("an address");
    let line = Proxy::start(api.socket_addrs(|| None).expect("an address")[0]).await.expect("a port");
    line.set(Passage::Slow(SLOW));
    let (mut requests, mut answers) = (Vec::new(), Vec::new());
    for (url, bytes) in
        [(world.api.url().to_owned(), FAST_BYTES), (format!("http://{}", line.address), SLOW_LINE_BYTES)]
    {
        for refusal in &REFUSALS {
            requests.push(json!({
                "method": refusal.method,
                "url": format!("{url}{}", refusal.path),
                "headers": refusal.headers(&member),
                "boundary": FORM_TYPE.rsplit('=').next(),
                "field": refusal.field,
                "bytes": bytes,
            }));
            // By fetch, and by XMLHttpRequest.
            answers.extend([refusal.answer; 2]);
        }
    }
    let script = format!("const requests = {};\n{}", Value::from(requests), include_str!("page.js"));
    let said = browser::evaluate(program, world.env.folder(), &script).await;
    assert_eq!(said, json!(answers));
    world.end().await;
}

/// Whoever is refused while bytes are on the way is not reset, which may destroy the answer.
#[tokio::test]
async fn a_connection_is_read_on_for_a_moment_after_its_last_answer() {
    let world = world().await;
    let headers = [("content-type", FORM_TYPE), ("content-length", "50000000")];
    // More of the body than is read, and some of one that should have been held back.
    for (headers, sent) in
        [(headers.to_vec(), 40_000_000), ([&headers[..], &[("expect", "100-continue")]].concat(), 10)]
    {
        let mut wire = Wire::open(world.api.client()).await;
        wire.head("POST", MEDIA, &headers).await;
        wire.send(&vec![b'x'; sent]).await;
        assert_refused(&wire.answer().await, 401, &[]);
        assert!(wire.is_read_on_for(Duration::from_millis(500)).await, "reset after {sent} bytes");
    }
    world.end().await;
}
