//! Answers against the document: everything in them is in it.

use std::collections::BTreeSet;

use serde_json::{Map, Value};
use testkit::{PASSWORD, TestEnv};

use crate::tour::{Seen, Tour};

#[tokio::test]
async fn every_status_and_every_field_of_every_answer_is_in_the_document() {
    let env = TestEnv::start().await;
    // It works until the end: the tour's last changes are counted a moment later.
    let (api, _worker) = (env.api().await, env.worker().await);
    let mut tour = Tour::new(api.url(), PASSWORD);
    tour.take().await;
    let document = api.get("/openapi.json").await.expect(200).body;
    let mut visited = BTreeSet::new();
    for seen in &tour.seen {
        visited.insert(seen.operation.clone());
        let undescribed = check(&document, seen);
        assert!(undescribed.is_empty(), "{} {}: {undescribed:?} in {}", seen.operation, seen.status, seen.text);
    }
    let described = document["paths"].as_object().expect("paths").iter().flat_map(|(path, item)| {
        item.as_object().expect("operations").keys().map(move |method| format!("{} {path}", method.to_uppercase()))
    });
    assert_eq!(visited, described.collect());
    api.stop().await;
    env.finish().await;
}

/// What an answer has that the document does not.
fn check(document: &Value, seen: &Seen) -> Vec<String> {
    let (method, path) = seen.operation.split_once(' ').expect("a method and a path");
    let response = &document["paths"][path][method.to_lowercase()]["responses"][seen.status.to_string()];
    if response.is_null() {
        return vec!["the status".to_owned()];
    }
    let essence = seen.content_type.split(';').next().unwrap_or_default();
    match response["content"].as_object().filter(|content| !content.is_empty()) {
        None => Vec::new(),
        Some(content) => match content.get(essence) {
            None => vec![format!("the content type {essence:?}")],
            Some(media) => undescribed(document, &[&media["schema"]], &seen.body, "body"),
        },
    }
}

/// The fields of a value that none of these schemas knows.
fn undescribed(document: &Value, schemas: &[&Value], value: &Value, place: &str) -> Vec<String> {
    let mut all = Vec::new();
    schemas.iter().for_each(|schema| unfold(document, schema, &mut all));
    match value {
        Value::Object(fields) => fields_undescribed(document, &all, fields, place),
        Value::Array(items) => {
            let schemas: Vec<&Value> = all.iter().filter_map(|schema| schema.get("items")).collect();
            let items = items.iter().enumerate();
            items
                .flat_map(|(index, item)| undescribed(document, &schemas, item, &format!("{place}[{index}]")))
                .collect()
        }
        _ => Vec::new(),
    }
}

fn fields_undescribed(document: &Value, all: &[&Value], fields: &Map<String, Value>, place: &str) -> Vec<String> {
    let mut unknown = Vec::new();
    let properties: Vec<&Value> = all.iter().filter_map(|schema| schema.get("properties")).collect();
    // Such as the document itself: any JSON.
    if properties.is_empty() {
        return unknown;
    }
    for (name, value) in fields {
        let schemas: Vec<&Value> = properties.iter().filter_map(|properties| properties.get(name)).collect();
        match schemas.is_empty() {
            true => unknown.push(format!("{place}.{name}")),
            false => unknown.extend(undescribed(document, &schemas, value, &format!("{place}.{name}"))),
        }
    }
    unknown
}

/// A schema and what it refers to and is put together from.
fn unfold<'a>(document: &'a Value, schema: &'a Value, all: &mut Vec<&'a Value>) {
    if let Some(reference) = schema["$ref"].as_str() {
        let pointer = reference.trim_start_matches('#');
        return unfold(document, document.pointer(pointer).unwrap_or_else(|| panic!("no {reference}")), all);
    }
    for list in ["allOf", "oneOf", "anyOf"] {
        schema[list].as_array().into_iter().flatten().for_each(|schema| unfold(document, schema, all));
    }
    all.push(schema);
}

#[test]
fn a_field_that_is_not_described_is_noticed() {
    let document =
        serde_json::json!({"a": {"type": "object", "properties": {"b": {"items": {"properties": {"c": {}}}}}}});
    let check = |value: Value| undescribed(&document, &[&serde_json::json!({"$ref": "#/a"})], &value, "body");
    assert!(check(serde_json::json!({"b": [{"c": 1}]})).is_empty());
    assert_eq!(check(serde_json::json!({"b": [{"c": 1}, {"d": 1}], "e": 1})), ["body.b[1].d", "body.e"]);
}
