//! Schemas of single fields, where the field's Rust type says less than we promise.

use store::{DeliveryState, JobState};
use utoipa::openapi::Object;
use utoipa::openapi::schema::{ObjectBuilder, SchemaType, Type};

/// Ids of users and assets.
pub(crate) fn object_id() -> Object {
    ObjectBuilder::new().schema_type(Type::String).pattern(Some("^[0-9a-f]{24}$")).build()
}

pub(crate) fn job_state() -> Object {
    one_of(&JobState::ALL.map(JobState::as_str))
}

pub(crate) fn delivery_state() -> Object {
    one_of(&DeliveryState::ALL.map(DeliveryState::as_str))
}

pub(crate) fn asset_state() -> Object {
    one_of(&["pending", "ready", "failed", "superseded", "deleting", "deleted"])
}

pub(crate) fn processing_state() -> Object {
    one_of(&["pending", "ready", "failed", "superseded"])
}

pub(crate) fn wait_code() -> Object {
    one_of(&["retry", "turn", "worker", "queue-paused", "user-paused"])
}

pub(crate) fn resource_type() -> Object {
    one_of(&["image", "video", "raw"])
}

pub(crate) fn dependency_state() -> Object {
    one_of(&["up", "down"])
}

pub(crate) fn maybe_outcome() -> Object {
    let outcomes = ["completed", "retry", "operator", "discarded", "crashed", "cancelled", "released"];
    let or_none = outcomes.map(Some).into_iter().chain([None]);
    let string_or_null = SchemaType::Array(vec![Type::String, Type::Null]);
    ObjectBuilder::new().schema_type(string_or_null).enum_values(Some(or_none)).build()
}

fn one_of(values: &[&'static str]) -> Object {
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(values.iter().copied())).build()
}
