//! JSON Schemas (draft 2020-12) of all that is on the wire, made of the types that write it.
//!
//! A schema says what is written now. It allows members that it does not name: fields are only ever added, and a receiver
//! ignores those that it does not know.

use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value};

use crate::{Envelope, EventMessage};

/// The messages of one kind.
#[derive(Debug, Clone, PartialEq)]
pub struct MessageSchema {
    /// The kind.
    pub kind: String,
    /// What a message of it is, or what it has a worker do, in a sentence.
    pub description: String,
    /// Of the whole message: what is around the data, and the data.
    pub schema: Value,
}

/// Of every kind of job, in the order of the table.
pub fn jobs() -> Vec<MessageSchema> {
    each_kind::<Envelope>()
}

/// Of every kind of event, in the order of the table.
pub fn events() -> Vec<MessageSchema> {
    each_kind::<EventMessage>()
}

/// Implements `JsonSchema` for a type that is text on the wire.
macro_rules! text {
    ($name:ident, $($rule:tt)+) => {
        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({"type": "string", $($rule)+})
            }
        }
    };
}

pub(crate) use text;

/// A time as it is written: UTC, RFC 3339. The pattern is for validators that only note a format.
pub(crate) fn instant(_generator: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "format": "date-time",
        "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\\.[0-9]{1,9})?Z$",
    })
}

/// A type that has its kind flattened into it is, to schemars, some members and one of several sets of others. Answers the whole
/// for each of these.
fn each_kind<T: JsonSchema>() -> Vec<MessageSchema> {
    let mut settings =
        SchemaSettings::draft2020_12().for_serialize().with_transform(RecursiveTransform(as_it_is_written));
    settings.inline_subschemas = true;
    let mut whole = settings.into_generator().into_root_schema_for::<T>();
    let Some(Value::Array(variants)) = whole.remove("oneOf") else { return Vec::new() };
    variants.iter().filter_map(Value::as_object).map(|variant| of_kind(whole.clone(), variant)).collect()
}

fn of_kind(mut whole: Schema, variant: &Map<String, Value>) -> MessageSchema {
    let members = variant.get("properties").and_then(Value::as_object);
    let kind = members.and_then(|members| members.get("kind")?.get("const")?.as_str()).unwrap_or_default().to_owned();
    let description = variant.get("description").and_then(Value::as_str).unwrap_or_default().to_owned();
    if let Some(Value::Object(all)) = whole.get_mut("properties") {
        all.extend(members.into_iter().flatten().map(|(name, schema)| (name.clone(), schema.clone())));
    }
    if let (Some(Value::Array(all)), Some(Value::Array(more))) = (whole.get_mut("required"), variant.get("required")) {
        all.extend(more.iter().cloned());
    }
    whole.insert("title".to_owned(), kind.clone().into());
    whole.insert("description".to_owned(), description.clone().into());
    MessageSchema { kind, description, schema: whole.to_value() }
}

fn as_it_is_written(schema: &mut Schema) {
    // A member that may be nothing is left out then, and never null.
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            schema.insert("type".to_owned(), only);
        }
    }
    // Sources break their lines where it suits them.
    if let Some(Value::String(text)) = schema.get_mut("description") {
        *text = text.replace('\n', " ");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Event, Job};

    #[test]
    fn every_kind_has_a_schema_and_a_sentence() {
        for (kinds, schemas) in [(Job::KINDS, jobs()), (Event::KINDS, events())] {
            let described: Vec<&str> = schemas.iter().map(|schema| schema.kind.as_str()).collect();
            assert_eq!(described, kinds);
            for schema in schemas {
                assert!(schema.description.ends_with('.'), "{schema:?}");
            }
        }
    }
}
