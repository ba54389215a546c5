//! Schemas of single fields, where the field's Rust type says less than we promise.

use store::JobState;
use utoipa::openapi::schema::{ObjectBuilder, SchemaFormat, SchemaType, Type};
use utoipa::openapi::{KnownFormat, Object};

/// Ids of users and assets.
pub(crate) const OBJECT_ID: &str = "^[0-9a-f]{24}$";

pub(crate) fn object_id() -> Object {
    ObjectBuilder::new().schema_type(Type::String).pattern(Some(OBJECT_ID)).build()
}

pub(crate) fn maybe_object_id() -> Object {
    ObjectBuilder::new().schema_type(or_null(Type::String)).pattern(Some(OBJECT_ID)).build()
}

pub(crate) fn job_id() -> Object {
    ObjectBuilder::new().schema_type(Type::String).format(Some(SchemaFormat::KnownFormat(KnownFormat::Uuid))).build()
}

/// UTC, with milliseconds.
pub(crate) fn time() -> Object {
    ObjectBuilder::new().schema_type(Type::String).format(Some(date_time())).build()
}

pub(crate) fn maybe_time() -> Object {
    ObjectBuilder::new().schema_type(or_null(Type::String)).format(Some(date_time())).build()
}

pub(crate) fn job_state() -> Object {
    one_of(&JobState::ALL.map(JobState::as_str))
}

pub(crate) fn asset_state() -> Object {
    one_of(&["pending", "ready", "failed", "superseded", "deleting", "deleted"])
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
    ObjectBuilder::new().schema_type(or_null(Type::String)).enum_values(Some(or_none)).build()
}

fn one_of(values: &[&'static str]) -> Object {
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(values.iter().copied())).build()
}

fn or_null(this: Type) -> SchemaType {
    SchemaType::Array(vec![this, Type::Null])
}

fn date_time() -> SchemaFormat {
    SchemaFormat::KnownFormat(KnownFormat::DateTime)
}
