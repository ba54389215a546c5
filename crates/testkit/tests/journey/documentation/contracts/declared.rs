//! What lies at a broker after an upload against what the document says of it.

use std::collections::BTreeSet;

use messages::{Event, Job, JobId, MediaReady, UploadMedia, topology};
use reqwest::Method;
use serde_json::{Map, Value, json};
use testkit::TestEnv;

use super::Validator;
use super::asyncapi::document;

/// The channels of the document that are queues, or are not, by their AMQP binding.
fn bindings(document: &Value, is: &str) -> Vec<Value> {
    let channels = document["channels"].as_object().expect("channels").values();
    channels.map(|channel| channel["bindings"]["amqp"].clone()).filter(|binding| binding["is"] == is).collect()
}

/// Some members of what the management API answered, by other names.
fn picked(found: &Value, names: &[(&str, &str)]) -> Value {
    let members = names.iter().map(|(name, theirs)| ((*name).to_owned(), found[*theirs].clone()));
    Value::Object(members.collect::<Map<_, _>>())
}

/// Puts a spool into a document about any.
fn of_spool(document: &Value, spool: &str) -> Value {
    serde_json::from_str(&document.to_string().replace("{spool}", spool)).expect("JSON")
}

#[tokio::test]
async fn exchanges_queues_and_bindings_are_declared_as_the_document_has_them() {
    let env = TestEnv::start().await;
    let (api, worker) = (env.api().await, env.worker().await);
    env.host().listen().await;
    let (user, registered) = api.new_user(testkit::jpeg(2_000)).await;
    user.wait_for_job(&registered.job(0), &["completed"]).await;
    let document = of_spool(&document(), &env.spool().id().to_string());
    let host = env.name();
    let ask = async |path: String| env.host().send(Method::GET, &path, None).await;

    for binding in bindings(&document, "routingKey") {
        let described = &binding["exchange"];
        let name = described["name"].as_str().expect("a name");
        let found = ask(format!("/api/exchanges/{host}/{name}?disable_stats=true")).await;
        let names = [("name", "name"), ("type", "type"), ("durable", "durable"), ("autoDelete", "auto_delete")];
        assert_eq!(picked(&found, &names), *described);
    }
    let queues = bindings(&document, "queue");
    let name = |binding: &Value| binding["queue"]["name"].as_str().expect("a name").to_owned();
    let described: BTreeSet<String> = queues.iter().map(name).collect();
    TestEnv::until("every queue is declared, and no other", async || {
        // Those of the test, and those by which workers show that they live: nothing is sent to them.
        let found = env.host().queues().await.into_iter();
        found.filter(|name| name != "events" && !name.starts_with("worker.")).collect::<BTreeSet<_>>() == described
    })
    .await;
    for binding in queues {
        let name = name(&binding);
        let found = ask(format!("/api/queues/{host}/{name}?disable_stats=true")).await;
        let names =
            [("name", "name"), ("durable", "durable"), ("exclusive", "exclusive"), ("autoDelete", "auto_delete")];
        assert_eq!(picked(&found, &names), binding["queue"]);
        assert_eq!(found["arguments"], binding["x-arguments"], "{name}");
        // Every queue is bound to the default exchange too, and a binding takes a moment.
        let mut bound = Vec::new();
        TestEnv::until("it is bound", async || {
            let found = ask(format!("/api/queues/{host}/{name}/bindings")).await;
            let found = found.as_array().expect("bindings").iter().filter(|bound| bound["source"] != "");
            bound =
                found.map(|bound| picked(bound, &[("exchange", "source"), ("routingKey", "routing_key")])).collect();
            !bound.is_empty()
        })
        .await;
        assert_eq!(bound, [binding["x-bound-to"].clone()], "{name}");
    }
    worker.shutdown(std::future::pending()).await;
    api.stop().await;
    env.finish().await;
}

/// The only message in a queue.
async fn taken(env: &TestEnv, queue: &str) -> Value {
    let path = format!("/api/queues/{}/{queue}/get", env.name());
    let get = json!({"count": 1, "ackmode": "ack_requeue_false", "encoding": "auto"});
    let mut got = Value::Null;
    TestEnv::until("there is a message", async || {
        got = env.host().send(Method::POST, &path, Some(get.clone())).await;
        !got[0].is_null()
    })
    .await;
    got[0].take()
}

/// What a message of the document and one of the broker differ in.
fn objections(document: &Value, kind: &str, found: &Value) -> Vec<String> {
    let described = &document["components"]["messages"][kind];
    let mut objections = Vec::new();
    let mut check = |what: &str, schema: &Value, value: &Value| {
        objections.extend(Validator::new(schema).objections(value).map(|error| format!("{what}: {error}")));
        // A member that is not described is no error to a schema.
        for name in value.as_object().into_iter().flatten().map(|(name, _)| name) {
            if schema["properties"].get(name).is_none() {
                objections.push(format!("{what}: {name} is not described"));
            }
        }
    };
    let mut properties = found["properties"].clone();
    let mut headers = properties.as_object_mut().expect("properties").remove("headers").unwrap_or(json!({}));
    // A quorum queue's own.
    headers.as_object_mut().expect("headers").remove("x-delivery-count");
    check("properties", &described["x-properties"], &properties);
    let no_headers = json!({"type": "object"});
    check("headers", described.get("headers").unwrap_or(&no_headers), &headers);
    let known_by = described["correlationId"]["location"].as_str().expect("a place").replace("$message.payload#", "");
    let payload: Value = serde_json::from_str(found["payload"].as_str().expect("text")).expect("JSON");
    if payload.pointer(&known_by).is_none() {
        objections.push(format!("nothing at {known_by}"));
    }
    objections
}

#[tokio::test]
async fn messages_have_the_properties_and_headers_that_the_document_names() {
    let env = TestEnv::start().await;
    env.host().listen().await;
    let publisher = broker::Publisher::start(&env.broker());
    publisher.connected().await;
    let asset = messages::AssetId::from_bytes([7; 12]);
    let upload = Job::from(UploadMedia { asset, spool: env.spool().id().clone() });
    let (queue, upload_kind) = (topology::present(&upload.queue()), upload.kind());
    let traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned();
    let trace = messages::Trace::of(Some("a-request".to_owned()), Some(traceparent));
    let trace = trace.map(|trace| trace.with_tracestate(Some("vendor=1".to_owned())));
    publisher.publish(&messages::Envelope::new(JobId::new(), upload, trace)).await.expect("published");
    let owner = messages::UserId::from_bytes([8; 12]);
    let ready = Event::from(MediaReady { job: JobId::new(), asset, owner, url: "https://a.example/b.jpg".to_owned() });
    let ready_kind = ready.kind();
    let event = messages::EventMessage { id: messages::EventId::new(), event: ready };
    publisher.publish_event(&event).await.expect("published");

    let document = document();
    let job = taken(&env, &queue).await;
    assert_eq!(objections(&document, upload_kind, &job), Vec::<String>::new(), "{job}");
    let event = taken(&env, "events").await;
    assert_eq!(objections(&document, ready_kind, &event), Vec::<String>::new(), "{event}");
    assert_ne!(objections(&document, upload_kind, &event), Vec::<String>::new(), "an event is no job");
    publisher.close().await;
    env.finish().await;
}
