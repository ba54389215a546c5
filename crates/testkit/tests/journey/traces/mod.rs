//! Traces: what a collector is told of an upload, and that nobody needs one.

mod collector;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use reqwest::Method;
use serde_json::Value;
use testkit::{ACCESS_TOKEN_SECRET, Answer, Client, FORM_TYPE, PASSWORD, Process, RawForm, TestEnv, jpeg, process};
use tokio::net::TcpListener;

use crate::support::{api_with, worker_with};
use collector::{Collector, Span};

const ID: &str = "edge-4711";
/// The client's own span.
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";
const PUBLISH: &str = "publish steep.jobs:media.upload.{spool}";
const PROCESS: &str = "process steep.jobs:media.upload.{spool}";

/// Settings with which a program sends its spans at once, and logs in JSON.
fn traced(endpoint: &str) -> Vec<(&'static str, String)> {
    vec![
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.to_owned()),
        ("OTEL_BSP_SCHEDULE_DELAY", "100".to_owned()),
        ("LOG_FORMAT", "json".to_owned()),
        ("RUST_LOG", "debug,lapin=off".to_owned()),
    ]
}

async fn programs(env: &TestEnv, settings: &[(&'static str, String)]) -> (Process, Process, Client) {
    let (api, client) = api_with(env, "api", settings).await;
    let worker = worker_with(env, "worker", settings).await;
    (api, worker, client)
}

/// An upload by a client that traces.
async fn upload(user: &Client) -> Answer {
    let form = RawForm::new().file("file", "a.jpg", &jpeg(3_000)).finished();
    let request = user.request(Method::POST, "/api/v1/media").header("content-type", FORM_TYPE).body(form);
    let request = request.header("traceparent", format!("00-{TRACE}-{PARENT}-01")).header("tracestate", "vendor=1");
    user.send(request.header("x-request-id", ID)).await.expect(202)
}

fn lines(process: &Process) -> Vec<Value> {
    let log = process.printed().expect("a log");
    // The last one may be under way.
    log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// The lines about a job, and those in which its request was answered.
fn lines_about(process: &Process, job: &str) -> Vec<Value> {
    let is_about =
        |line: &Value| line["job_id"] == job || (line["request_id"] == ID && line["fields"]["status"] == 202);
    lines(process).into_iter().filter(is_about).collect()
}

/// Whether a program has the thread that sends spans.
fn exports(process: &Process) -> bool {
    let threads = std::fs::read_dir(format!("/proc/{}/task", process.identity().pid)).expect("its threads");
    let mut names = threads.filter_map(|thread| std::fs::read_to_string(thread.ok()?.path().join("comm")).ok());
    names.any(|name| name.starts_with("OpenTelemetry"))
}

async fn end(env: TestEnv, programs: [Process; 2]) {
    for process in programs {
        let asked = Instant::now();
        process::end(process).await.expect("it ends");
        // The worker has nothing to do, and the last spans may take two.
        assert!(asked.elapsed() < Duration::from_secs(20), "{:?}", asked.elapsed());
    }
    env.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_is_one_tree_of_spans_from_the_request_to_the_end_of_its_job() {
    let (env, collector) = (TestEnv::start().await, Collector::start().await);
    let (api, worker, client) = programs(&env, &traced(&collector.url)).await;
    assert!(exports(&api) && exports(&worker));
    let (user, _) = client.new_user(jpeg(2_000)).await;
    let answer = upload(&user).await;
    let job = answer.job(0);
    user.wait_for_job(&job, &["completed"]).await;

    let of_trace = |name: &'static str| move |span: &Span| span.trace == TRACE && span.name == name;
    let request = collector.until("the request", of_trace("POST /api/v1/media")).await;
    let publish = collector.until("the publish", of_trace(PUBLISH)).await;
    let process = collector.until("the attempt", of_trace(PROCESS)).await;
    collector.until("the event", of_trace("publish steep.events:media.ready.v1")).await;
    let mut tree = BTreeSet::new();
    for span in collector.spans().into_iter().filter(|span| span.trace == TRACE) {
        assert_eq!(span.state, "vendor=1", "{span:?}");
        assert!(!span.is_error && span.links.is_empty(), "{span:?}");
        tree.insert((span.parent, span.service, span.kind.as_str_name().replace("SPAN_KIND_", ""), span.name));
    }
    let [of_request, of_publish, of_process] = [&request, &publish, &process].map(|span| span.id.as_str());
    let expected = [
        (PARENT, "steep-api", "SERVER", "POST /api/v1/media"),
        (of_request, "steep-api", "CLIENT", "transaction accept"),
        (of_request, "steep-api", "PRODUCER", PUBLISH),
        (of_publish, "steep-worker", "CONSUMER", PROCESS),
        (of_process, "steep-worker", "CLIENT", "POST /v1_1/{cloud}/{type}/upload"),
        (of_process, "steep-worker", "CLIENT", "transaction settle"),
        (of_process, "steep-worker", "CLIENT", "ack steep.jobs:media.upload.{spool}"),
        (of_process, "steep-worker", "PRODUCER", "publish steep.events:media.ready.v1"),
    ];
    let own = |(parent, service, kind, name): (&str, &str, &str, &str)| {
        (parent.to_owned(), service.to_owned(), kind.to_owned(), name.to_owned())
    };
    assert_eq!(tree, expected.map(own).into());

    assert_eq!((request.kind, process.kind), (SpanKind::Server, SpanKind::Consumer));
    let key = format!("media.upload.{}", env.spool().id());
    let destination = format!("steep.jobs:{key}");
    let message = publish.attribute("messaging.message.id");
    for (span, name, value) in [
        (&request, "http.route", "/api/v1/media"),
        (&request, "http.response.status_code", "202"),
        (&request, "steep.request.id", ID),
        (&publish, "messaging.system", "rabbitmq"),
        (&publish, "messaging.operation.type", "send"),
        (&publish, "messaging.destination.name", destination.as_str()),
        (&publish, "messaging.rabbitmq.destination.routing_key", key.as_str()),
        (&process, "messaging.operation.type", "process"),
        (&process, "messaging.destination.template", "steep.jobs:media.upload.{spool}"),
        (&process, "messaging.message.conversation_id", job.as_str()),
        (&process, "messaging.message.id", message),
        (&process, "steep.job.id", job.as_str()),
        (&process, "steep.job.kind", "media.upload.v1"),
        (&process, "steep.job.attempt", "1"),
        (&process, "steep.job.outcome", "completed"),
        (&process, "steep.asset.id", publish.attribute("steep.asset.id")),
    ] {
        assert_eq!(span.attribute(name), value, "{name} of {span:?}");
    }
    let told = format!("{:?}", collector.spans());
    for secret in [ACCESS_TOKEN_SECRET, PASSWORD, user.token().expect("a token"), "signature", "api_key"] {
        assert!(!told.contains(secret), "{secret} is in a span: {told}");
    }

    let (of_api, of_worker) = (lines_about(&api, &job), lines_about(&worker, &job));
    for line in of_api.iter().chain(&of_worker) {
        assert_eq!([&line["trace_id"], &line["request_id"]], [TRACE, ID], "{line}");
    }
    assert!(of_api.iter().any(|line| line["span_id"] == request.id.as_str()), "{of_api:?}");
    let recorded = of_worker.iter().find(|line| line["fields"]["message"] == "recorded").expect("it is logged");
    assert_eq!(recorded["span_id"], process.id.as_str(), "{recorded}");
    end(env, [api, worker]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_is_told_its_token_and_only_the_share_of_requests_that_it_is_to_have() {
    const TOKEN: &str = "planted-token-of-the-collector";
    let (env, collector) = (TestEnv::start().await, Collector::start().await);
    let mut settings = traced(&collector.url);
    settings.push(("OTEL_EXPORTER_OTLP_HEADERS", format!("authorization=Bearer%20{TOKEN}")));
    settings.push(("OTEL_TRACES_SAMPLER_ARG", "0".to_owned()));
    let (api, worker, client) = programs(&env, &settings).await;
    let (user, _) = client.new_user(jpeg(2_000)).await;
    let untraced = user.submit("b.jpg", jpeg(2_000)).await.expect(202).job(0);
    user.wait_for_job(&untraced, &["completed"]).await;
    // Its client has decided, and is followed.
    let job = upload(&user).await.job(0);
    user.wait_for_job(&job, &["completed"]).await;
    collector.until("the attempt", |span| span.trace == TRACE && span.name == PROCESS).await;
    collector.until("the request", |span| span.trace == TRACE && span.name == "POST /api/v1/media").await;
    for process in [&api, &worker] {
        assert!(!process.printed().expect("a log").contains(TOKEN), "{} logs it", process.name());
    }
    end(env, [api, worker]).await;
    let others: Vec<Span> = collector.spans().into_iter().filter(|span| span.trace != TRACE).collect();
    assert!(others.is_empty(), "{others:?}");
    assert_eq!(collector.authorized(), BTreeSet::from([format!("Bearer {TOKEN}")]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_attempt_is_a_trace_of_its_own_with_a_link_to_the_request() {
    let (env, collector) = (TestEnv::start().await, Collector::start().await);
    let fault = r#"{"effect": "status", "status": 503, "action": "upload", "public_id": "steep/media/", "times": 1}"#;
    env.media().install_fault(fault.parse().expect("a fault"));
    let (api, worker, client) = programs(&env, &traced(&collector.url)).await;
    let (user, _) = client.new_user(jpeg(2_000)).await;
    let job = upload(&user).await.job(0);
    user.wait_for_job(&job, &["completed"]).await;

    let attempt = |number: &'static str| {
        let job = job.clone();
        move |span: &Span| {
            let is_it = span.attribute("steep.job.id") == job && span.attribute("steep.job.attempt") == number;
            is_it && span.name == PROCESS
        }
    };
    let request = collector.until("the request", |span| span.name == "POST /api/v1/media").await;
    let first = collector.until("the first attempt", attempt("1")).await;
    let second = collector.until("the second attempt", attempt("2")).await;
    assert_eq!((first.trace.as_str(), first.is_error), (TRACE, true), "{first:?}");
    assert_eq!((first.attribute("error.type"), first.attribute("steep.error_class")), ("retry", "transient"));
    let refused = |span: &Span| span.parent == first.id && span.attribute("http.response.status_code") == "503";
    assert!(collector.until("what Cloudinary answered", refused).await.is_error);

    assert_ne!(second.trace, TRACE);
    let of_request = vec![(request.trace.clone(), request.id.clone())];
    let relayed = collector.until("the relay's publish", |span| span.id == second.parent).await;
    assert_eq!((relayed.name.as_str(), relayed.parent.as_str(), relayed.trace), (PUBLISH, "", second.trace.clone()));
    assert_eq!((relayed.links, relayed.state.as_str()), (of_request, ""));
    assert_eq!((second.is_error, second.attribute("steep.job.outcome")), (false, "completed"));
    let of_second = |name: &'static str| {
        let (trace, id) = (second.trace.clone(), second.id.clone());
        move |span: &Span| span.trace == trace && span.parent == id && span.name == name
    };
    collector.until("its upload", of_second("POST /v1_1/{cloud}/{type}/upload")).await;
    collector.until("its transaction", of_second("transaction settle")).await;
    end(env, [api, worker]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_collector_everything_goes_on_and_the_log_says_so_once() {
    // One port at which nobody listens, and one at which nobody answers.
    let nobody = process::free_address().expect("a free port");
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    for address in [nobody, silent.local_addr().expect("an address")] {
        let env = TestEnv::start().await;
        let (api, worker, client) = programs(&env, &traced(&format!("http://{address}"))).await;
        let (user, _) = client.new_user(jpeg(2_000)).await;
        for _ in 0..3 {
            let job = upload(&user).await.job(0);
            user.wait_for_job(&job, &["completed"]).await;
        }
        for process in [&api, &worker] {
            let told = || {
                let is_told = |line: &Value| {
                    let said = line["fields"]["message"].as_str().unwrap_or_default();
                    said.starts_with("the collector of traces")
                };
                lines(process).iter().filter(|line| is_told(line)).count()
            };
            TestEnv::until("it is told", || async { told() > 0 }).await;
            assert_eq!(told(), 1);
        }
        end(env, [api, worker]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_setting_nothing_is_sent_and_the_log_has_the_ids_of_the_client() {
    let (env, collector) = (TestEnv::start().await, Collector::start().await);
    let mut settings = traced("");
    // Others of the library's variables turn nothing on.
    settings[0] = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", format!("{}/v1/traces", collector.url));
    let (api, worker, client) = programs(&env, &settings).await;
    assert!(!exports(&api) && !exports(&worker));
    let (user, _) = client.new_user(jpeg(2_000)).await;
    let job = upload(&user).await.job(0);
    user.wait_for_job(&job, &["completed"]).await;
    env.until_quiet().await;

    let record = env.store().jobs().find(job.parse().expect("an id")).await.expect("an answer").expect("a job");
    assert_eq!(record.traceparent, Some(format!("00-{TRACE}-{PARENT}-01")));
    assert_eq!(record.tracestate.as_deref(), Some("vendor=1"));
    for process in [&api, &worker] {
        let about = lines_about(process, &job);
        assert!(!about.is_empty());
        for line in about {
            let ids = [&line["trace_id"], &line["span_id"], &line["request_id"]];
            assert_eq!(ids, [TRACE, PARENT, ID], "{line}");
        }
    }
    assert!(lines_about(&worker, &job).iter().all(|line| line["job_id"] == job.as_str()));
    end(env, [api, worker]).await;
    assert_eq!(collector.requests(), 0);
}
