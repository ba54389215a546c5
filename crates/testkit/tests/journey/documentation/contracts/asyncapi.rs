//! The AsyncAPI document, made of what the programs are made of: the tables of `messages`, and what `broker` declares and sends.
//!
//! AMQP knows exchanges and queues, and the document's binding lets a channel be one of them: what is published to a routing key
//! is one channel, and the queue that it is consumed from another, with its arguments and binding as extensions.

use broker::headers::{APP_ID, DIED_AT, PERSISTENT, QUEUE, REASON, TRACEPARENT, TRACESTATE};
use broker::topology::{self, Exchange};
use messages::schema::{self, MessageSchema};
use messages::{Envelope, Job};
use serde_json::{Map, Value, json};

use super::{golden, schema_of};

/// Of the AMQP bindings of operations, messages and channels.
const BINDING: &str = "0.3.0";
/// The message for what waits for a person, in the document.
const DEAD_LETTER: &str = "dead-letter";

const ABOUT: &str = "How Steep's programs talk through RabbitMQ, and what others may listen to. The operations are Steep's own: \
    what it sends, others receive.\n\n\
    **Events are for anyone.** Bind a durable queue of your own to the exchange of events, by a kind or by a \
    pattern such as `media.*.v1`. An event comes at least once, in no \
    order that is promised: drop what comes twice by its `id`.\n\n\
    **Jobs are Steep's own.** Only its programs publish and consume them.\n\n\
    A kind's meaning never changes, and its fields are only added to: ignore those that you do not know.";

pub(super) fn document() -> Value {
    let mut parts = Parts::default();
    let queues = Job::QUEUES.iter();
    for ((_, queue), kind) in queues.zip(schema::jobs()) {
        parts.add_job(&queue.of_any(), &kind);
    }
    schema::events().iter().for_each(|kind| parts.add_event(kind));
    parts.add_dead_letters();
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Steep",
            "version": env!("CARGO_PKG_VERSION"),
            "description": ABOUT,
            "license": {"name": "MIT OR Apache-2.0"},
        },
        "defaultContentType": Envelope::CONTENT_TYPE,
        "servers": {
            "rabbitmq": {
                "host": "{host}",
                "protocol": "amqp",
                "protocolVersion": "0-9-1",
                "description": "What `RABBITMQ_URL` names.",
                "variables": {"host": {"default": "127.0.0.1:5672", "description": "Host and port."}},
            },
        },
        "channels": parts.channels,
        "operations": parts.operations,
        "components": {"messages": parts.messages},
    })
}

#[derive(Default)]
struct Parts {
    channels: Map<String, Value>,
    operations: Map<String, Value>,
    messages: Map<String, Value>,
}

impl Parts {
    fn add_job(&mut self, queue: &str, kind: &MessageSchema) {
        let name = &kind.kind;
        let mut message = message(kind, "/jobId");
        message["headers"] = json!({"type": "object", "properties": traced()});
        message["x-properties"]["properties"]["timestamp"] = json!({"type": "integer"});
        self.messages.insert(name.clone(), message);

        let declared = topology::Queue::of_jobs(queue);
        let (published, consumed) = (format!("publish.{name}"), format!("consume.{name}"));
        let about = format!("Where {name} is published.");
        let channel = exchange_channel(&Exchange::JOBS, queue, &about, &[name]);
        self.channels.insert(published.clone(), channel);
        let about = format!("What workers take {name} from.");
        let channel = queue_channel(&declared, &about, &[name]);
        self.channels.insert(consumed.clone(), channel);

        let sent = json!({"timestamp": true});
        self.operations.insert(published.clone(), send(&published, &Exchange::JOBS, &kind.description, &sent));
        self.operations.insert(consumed.clone(), receive(&consumed, &kind.description));
    }

    fn add_event(&mut self, kind: &MessageSchema) {
        let name = &kind.kind;
        let mut message = message(kind, "/id");
        message["headers"] = json!({"type": "object", "properties": traced()});
        message["x-properties"]["required"].as_array_mut().expect("a list").push("app_id".into());
        self.messages.insert(name.clone(), message);
        let announced = format!("announce.{name}");
        let about = format!("What listeners to {name} bind their queues to.");
        let channel = exchange_channel(&Exchange::EVENTS, name, &about, &[name]);
        self.channels.insert(announced.clone(), channel);
        self.operations.insert(announced.clone(), send(&announced, &Exchange::EVENTS, &kind.description, &json!({})));
    }

    fn add_dead_letters(&mut self) {
        let mut headers = traced();
        headers[REASON] = json!({"type": "string", "description": "Why a person has to look at it."});
        headers[QUEUE] = json!({"type": "string", "description": "The queue that it came from."});
        headers[DIED_AT] = json!({"type": "integer", "description": "When it became a dead letter, in Unix seconds."});
        let message = json!({
            "title": DEAD_LETTER,
            "summary": "A message as it came, which no worker could settle.",
            "description": "What the broker dead-letters over the delivery limit has its own `x-death` instead of these headers.",
            "headers": {"type": "object", "properties": headers},
            "payload": {"description": "What was in the message: of any kind, or of none."},
        });
        self.messages.insert(DEAD_LETTER.to_owned(), message);
        let (dead, waiting) = ("publish.dead".to_owned(), "consume.dead".to_owned());
        let about = "Takes what no worker could settle.";
        self.channels.insert(dead.clone(), exchange_channel(&Exchange::DEAD, "", about, &[DEAD_LETTER]));
        let about = "Where dead letters wait for a person.";
        self.channels.insert(waiting.clone(), queue_channel(&topology::Queue::dead(), about, &[DEAD_LETTER]));
        let summary = "Keep a message for a person.";
        self.operations.insert(dead.clone(), send(&dead, &Exchange::DEAD, summary, &json!({})));
        self.operations.insert(waiting.clone(), receive(&waiting, "List dead letters, and replay them."));
    }
}

/// A message of a kind, known by what the pointer leads to.
fn message(kind: &MessageSchema, known_by: &str) -> Value {
    let MessageSchema { kind, description, schema } = kind;
    let is_current = |message: &Value| message.pointer(known_by).is_some();
    let is_of_kind = |name: &str| name == kind || name.strip_prefix(kind).is_some_and(|rest| rest.starts_with('.'));
    let examples = golden().into_iter().filter(|(name, message)| is_of_kind(name) && is_current(message));
    let examples: Vec<Value> = examples.map(|(name, payload)| json!({"name": name, "payload": payload})).collect();
    // Of the text that is in the property too.
    let id = |name: &str| schema["properties"][name].clone();
    let message_id = if known_by == "/id" { id("id") } else { id("messageId") };
    json!({
        "name": kind,
        "title": kind,
        "summary": description,
        "contentType": Envelope::CONTENT_TYPE,
        "correlationId": {"location": format!("$message.payload#{known_by}")},
        "payload": {"$ref": format!("./{}", schema_of(kind))},
        "examples": examples,
        "bindings": {"amqp": {"messageType": kind, "bindingVersion": BINDING}},
        // AsyncAPI has no place for them: headers are the application's.
        "x-properties": {
            "type": "object",
            "required": ["content_type", "delivery_mode", "message_id", "type"],
            "properties": {
                "app_id": {"const": APP_ID},
                "content_type": {"const": Envelope::CONTENT_TYPE},
                "delivery_mode": {"const": PERSISTENT},
                "message_id": message_id,
                "type": {"const": kind},
            },
        },
    })
}

/// The headers by which a receiver continues a trace. Every copy of a message keeps them.
fn traced() -> Value {
    let about =
        "W3C Trace Context of whoever has sent the message; without traces, of the request that submitted the job.";
    json!({
        TRACEPARENT: {"type": "string", "description": about},
        TRACESTATE: {"type": "string", "description": "What others have added to that context."},
    })
}

/// A channel to which a routing key leads.
fn exchange_channel(exchange: &Exchange, key: &str, about: &str, messages: &[&str]) -> Value {
    let Exchange { name, kind } = exchange;
    let exchange = json!({"name": name, "type": kind, "durable": true, "autoDelete": false});
    let binding = json!({"is": "routingKey", "exchange": exchange, "bindingVersion": BINDING});
    channel(key, about, &binding, messages)
}

/// A channel that is a queue.
fn queue_channel(queue: &topology::Queue, about: &str, messages: &[&str]) -> Value {
    let topology::Queue { name, exchange, routing_key, .. } = queue;
    let binding = json!({
        "is": "queue",
        "queue": {"name": name, "durable": true, "exclusive": false, "autoDelete": false},
        "x-arguments": queue.arguments(),
        "x-bound-to": {"exchange": exchange, "routingKey": routing_key},
        "bindingVersion": BINDING,
    });
    channel(name, about, &binding, messages)
}

fn channel(address: &str, about: &str, binding: &Value, messages: &[&str]) -> Value {
    let messages = messages.iter().map(|name| ((*name).to_owned(), reference(&format!("components/messages/{name}"))));
    let mut channel = json!({
        "address": address,
        "description": about,
        "messages": messages.collect::<Map<_, _>>(),
        "bindings": {"amqp": binding},
    });
    if address.contains("{spool}") {
        let about = "The spool that holds the file: a machine's folder or a shared volume.";
        channel["parameters"] = json!({"spool": {"description": about, "examples": ["node-1"]}});
    }
    channel
}

/// An operation on the channel of its name.
fn operation(action: &str, name: &str, summary: &str, binding: &Value) -> Value {
    json!({
        "action": action,
        "channel": reference(&format!("channels/{name}")),
        "summary": summary,
        "bindings": {"amqp": binding},
    })
}

fn send(name: &str, exchange: &Exchange, summary: &str, more: &Value) -> Value {
    let mandatory = topology::is_mandatory(exchange.name);
    let mut binding = json!({"deliveryMode": PERSISTENT, "mandatory": mandatory, "bindingVersion": BINDING});
    let more = more.as_object().into_iter().flatten();
    binding.as_object_mut().expect("an object").extend(more.map(|(name, value)| (name.clone(), value.clone())));
    operation("send", name, summary, &binding)
}

fn receive(name: &str, summary: &str) -> Value {
    operation("receive", name, summary, &json!({"ack": true, "bindingVersion": BINDING}))
}

fn reference(place: &str) -> Value {
    json!({"$ref": format!("#/{place}")})
}
