//! The consumers in docs/examples, beside the real system: what they receive, refuse and drop, and what they survive.

use std::path::{Path, PathBuf};

use messages::{EventId, topology};
use reqwest::Method;
use serde_json::{Value, json};
use testkit::process;
use testkit::{Process, TestEnv, jpeg, tools};
use xtask::services::locate;

/// A consumer and what it needs.
struct Example {
    program: PathBuf,
    script: PathBuf,
    /// The queue that it is told to use.
    queue: &'static str,
    variables: Vec<(&'static str, String)>,
}

impl Example {
    fn start(&self, env: &TestEnv, name: &str) -> Process {
        let mut variables = vec![("RABBITMQ_URL", env.host().url()), ("QUEUE", self.queue.to_owned())];
        variables.extend_from_slice(&self.variables);
        let script = self.script.to_str().expect("UTF-8");
        process::spawn(name, &self.program, &[script], &variables, env.folder()).expect("a consumer")
    }

    /// Waits until its queue gets events, and a process takes them.
    async fn until_it_listens(&self, env: &TestEnv) {
        let (bindings, consumers) = (format!("/api/bindings/{}", env.name()), format!("/api/consumers/{}", env.name()));
        TestEnv::until("the example listens", async || {
            let bindings = env.host().send(Method::GET, &bindings, None).await;
            let is_bound =
                |bound: &Value| bound["source"] == topology::EVENTS_EXCHANGE && bound["destination"] == self.queue;
            let consumers = env.host().send(Method::GET, &consumers, None).await;
            let is_consumer =
                |consumer: &Value| consumer["queue"]["name"] == self.queue && consumer["ack_required"] == true;
            let any =
                |list: &Value, is: &dyn Fn(&Value) -> bool| list.as_array().is_some_and(|list| list.iter().any(is));
            any(&bindings, &is_bound) && any(&consumers, &is_consumer)
        })
        .await;
    }
}

/// Copies a script beside links to what it is beside in the workspace, and to its packages: Node looks for them there.
fn beside_its_packages(env: &TestEnv, script: &str, packages: &Path) -> PathBuf {
    let (docs, workspace) = (env.folder().join("docs"), tools::workspace().join("docs"));
    let examples = docs.join("examples");
    std::fs::create_dir_all(&examples).expect("a folder");
    std::os::unix::fs::symlink(workspace.join("contracts"), docs.join("contracts")).expect("a link");
    std::os::unix::fs::symlink(packages, examples.join("node_modules")).expect("a link");
    std::fs::copy(workspace.join("examples").join(script), examples.join(script)).expect("a copy");
    examples.join(script)
}

/// Publishes a body as an event, whatever it is.
async fn publish(env: &TestEnv, id: &str, body: &str) {
    let properties = json!({"delivery_mode": 2, "message_id": id});
    let message = json!({"routing_key": "media.ready.v1", "properties": properties, "payload": body,
        "payload_encoding": "string"});
    let path = format!("/api/exchanges/{}/{}/publish", env.name(), topology::EVENTS_EXCHANGE);
    let answer = env.host().send(Method::POST, &path, Some(message)).await;
    assert_eq!(answer["routed"], true, "{answer}");
}

async fn publish_event(env: &TestEnv, event: &Value) {
    publish(env, event["id"].as_str().expect("an id"), &event.to_string()).await;
}

/// The line that a consumer prints for an event.
fn line(event: &Value) -> String {
    let text = |pointer: &str| event.pointer(pointer).and_then(Value::as_str).expect("text");
    format!("{} {} {} {}", text("/kind"), text("/id"), text("/data/asset"), text("/data/url"))
}

/// How often a consumer has printed a line.
fn times(process: &Process, line: &str) -> usize {
    process.printed().expect("a log").lines().filter(|printed| *printed == line).count()
}

async fn until_printed(process: &mut Process, line: &str) {
    TestEnv::until(line, async || {
        process.ensure_running().expect("it runs");
        times(process, line) > 0
    })
    .await;
}

async fn receives_what_is_ready(env: TestEnv, example: Example) {
    let (api, worker) = (env.api().await, env.worker().await);
    env.host().listen().await;
    let mut consumer = example.start(&env, "consumer");
    example.until_it_listens(&env).await;

    // A file uploaded by a client: the event is the system's own.
    let (user, registered) = api.new_user(jpeg(2_000)).await;
    user.wait_for_job(&registered.job(0), &["completed"]).await;
    let first = serde_json::to_value(env.host().next_message().await).expect("JSON");
    until_printed(&mut consumer, &line(&first)).await;

    // Twice, out of shape, and from a newer version. They come in order, so the last one tells that all were seen.
    publish_event(&env, &first).await;
    let mut wrong = another(&first);
    wrong["data"].as_object_mut().expect("data").remove("url");
    publish_event(&env, &wrong).await;
    publish(&env, "noise", "no JSON").await;
    let mut newer = another(&first);
    newer["data"]["region"] = "eu".into();
    newer["at"] = "2030".into();
    publish_event(&env, &newer).await;
    until_printed(&mut consumer, &line(&newer)).await;
    let printed = consumer.printed().expect("a log");
    assert_eq!(times(&consumer, &line(&first)), 1, "{printed}");
    let wrong = wrong["id"].as_str().expect("an id");
    let refused: Vec<&str> = printed.lines().filter_map(|line| line.strip_prefix("refused ")).collect();
    assert!(refused.len() == 2 && refused[0].starts_with(wrong) && refused[1].starts_with("noise"), "{printed}");

    // Connections are cut.
    TestEnv::until("connections were closed", async || env.host().close_connections().await > 0).await;
    let after_the_cut = another(&first);
    publish_event(&env, &after_the_cut).await;
    until_printed(&mut consumer, &line(&after_the_cut)).await;

    // It is killed, and what comes meanwhile waits for it.
    consumer.kill();
    let meanwhile = another(&first);
    publish_event(&env, &meanwhile).await;
    let mut consumer = example.start(&env, "consumer-again");
    until_printed(&mut consumer, &line(&meanwhile)).await;
    let answer = user.submit("a.jpg", jpeg(3_000)).await.expect(202);
    let job = user.wait_for_job(&answer.job(0), &["completed"]).await;
    TestEnv::until("the second upload is announced", async || {
        let printed = consumer.printed().expect("a log");
        printed.lines().any(|line| line.contains(job["asset"].as_str().unwrap_or("no asset")))
    })
    .await;

    // All are acknowledged: none comes again.
    TestEnv::until("its queue is empty", async || {
        let path = format!("/api/queues/{}/{}", env.name(), example.queue);
        env.host().send(Method::GET, &path, None).await["messages"] == 0
    })
    .await;
    drop(consumer);
    worker.shutdown(std::future::pending()).await;
    api.stop().await;
    env.finish().await;
}

/// The same with another id.
fn another(event: &Value) -> Value {
    let mut event = event.clone();
    event["id"] = EventId::new().to_string().into();
    event
}

#[tokio::test]
async fn the_consumer_in_python_receives_what_is_ready_and_survives_cuts_and_kills() {
    let requirements = std::fs::read_to_string(tools::workspace().join("docs/examples/requirements.txt"));
    let requirements: Vec<String> = requirements.expect("the file").lines().map(str::to_owned).collect();
    let packages = tools::python_packages("examples", &requirements);
    let packages = packages.unwrap_or_else(|reason| panic!("{requirements:?} could not be installed: {reason}"));
    let (Some(packages), Some(program)) = (packages, locate::on_path("python3")) else {
        return tools::skip("the consumer in Python was not tried", "python3 with pip is not on this machine");
    };
    let variables = vec![("PYTHONPATH", packages.display().to_string()), ("PYTHONDONTWRITEBYTECODE", "1".to_owned())];
    let script = tools::workspace().join("docs/examples/consumer.py");
    let example = Example { program, script, queue: "example-python", variables };
    receives_what_is_ready(TestEnv::start().await, example).await;
}

#[tokio::test]
async fn the_consumer_in_node_receives_what_is_ready_and_survives_cuts_and_kills() {
    let manifest = std::fs::read_to_string(tools::workspace().join("docs/examples/package.json")).expect("the file");
    let manifest: Value = serde_json::from_str(&manifest).expect("JSON");
    let wanted = manifest["dependencies"].as_object().expect("dependencies").iter();
    let wanted: Vec<String> =
        wanted.map(|(name, version)| format!("{name}@{}", version.as_str().expect("text"))).collect();
    let packages = tools::node_packages("examples", &wanted);
    let packages = packages.unwrap_or_else(|reason| panic!("{wanted:?} could not be installed: {reason}"));
    let (Some(packages), Some(program)) = (packages, locate::on_path("node")) else {
        return tools::skip("the consumer in Node was not tried", "node and npm are not on this machine");
    };
    let env = TestEnv::start().await;
    let script = beside_its_packages(&env, "consumer.mjs", &packages);
    let example = Example { program, script, queue: "example-node", variables: Vec::new() };
    receives_what_is_ready(env, example).await;
}
