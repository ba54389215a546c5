//! Headers and properties of messages.

use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable};

/// Says in its `app_id` whose message it is.
pub const APP_ID: &str = "steep";
/// The delivery mode of every message: the broker writes it to disk.
pub const PERSISTENT: u8 = 2;

/// The W3C trace context of whoever submitted the job, or of whoever published this message of it.
pub const TRACEPARENT: &str = "traceparent";
/// What others have added to that context.
pub const TRACESTATE: &str = "tracestate";
/// Why a person has to look at a dead letter.
pub const REASON: &str = "x-steep-reason";
/// The queue that a dead letter came from.
pub const QUEUE: &str = "x-steep-queue";
/// When a message became a dead letter.
pub const DIED_AT: &str = "x-steep-died-at";

pub(crate) fn header<'a>(properties: &'a BasicProperties, name: &str) -> Option<&'a AMQPValue> {
    properties.headers().as_ref()?.inner().get(name)
}

/// The headers that every copy of a message keeps.
pub(crate) fn traced(properties: &BasicProperties) -> FieldTable {
    let mut headers = FieldTable::default();
    for name in [TRACEPARENT, TRACESTATE] {
        if let Some(value) = header(properties, name) {
            headers.insert(name.into(), value.clone());
        }
    }
    headers
}

/// The headers by which a receiver continues a trace, if there is one.
pub(crate) fn of_trace(traceparent: Option<&str>, tracestate: Option<&str>) -> FieldTable {
    let mut headers = FieldTable::default();
    for (name, value) in [(TRACEPARENT, traceparent), (TRACESTATE, tracestate)] {
        if let Some(value) = value {
            headers.insert(name.into(), AMQPValue::LongString(value.into()));
        }
    }
    headers
}

/// The properties that identify a message, for a copy of it. Not all: a copy that expires would be gone before a person
/// sees it, and the broker refuses a user id that is not ours.
pub(crate) fn identified(properties: &BasicProperties) -> BasicProperties {
    let mut same = BasicProperties::default();
    if let Some(id) = properties.message_id() {
        same = same.with_message_id(id.clone());
    }
    if let Some(kind) = properties.kind() {
        same = same.with_type(kind.clone());
    }
    if let Some(content_type) = properties.content_type() {
        same = same.with_content_type(content_type.clone());
    }
    if let Some(timestamp) = properties.timestamp() {
        same = same.with_timestamp(*timestamp);
    }
    same
}
