//! Documents of the first release stay readable, and what is written today still has all that they have.
//!
//! `tests/golden` holds them in MongoDB's extended JSON, as the server had them. They are never edited: a later release that
//! writes something new adds files of its own.

mod admins;
mod bulk;
mod fleet;
mod going_on;
mod people;
mod reading;
mod webhooks;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use base64::prelude::{BASE64_STANDARD, Engine};
use bson::{Binary, Bson, Document};
use messages::{AssetId, JobId, UserId};

use crate::stories;
use crate::support::Fixture;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// A document by its collection and name, such as `jobs/queued`.
fn golden(name: &str) -> Document {
    let path = folder().join(format!("{name}.json"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|cause| panic!("{}: {cause}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|cause| panic!("{}: {cause}", path.display()))
}

/// Every golden document, by collection and name.
fn all() -> BTreeMap<String, Document> {
    let mut names = Vec::new();
    for collection in std::fs::read_dir(folder()).expect("a folder") {
        let collection = collection.expect("an entry").path();
        for file in std::fs::read_dir(&collection).expect("a folder") {
            let file = file.expect("an entry").path();
            let part = |path: &Path| path.file_stem().expect("a name").to_string_lossy().into_owned();
            names.push(format!("{}/{}", part(&collection), part(&file)));
        }
    }
    names.into_iter().map(|name| (name.clone(), golden(&name))).collect()
}

/// A database with these documents in it. Without indexes: one of them would let the server remove what has expired.
async fn world(names: &[&str]) -> Fixture {
    let fixture = Fixture::without_indexes(|_| {}).await;
    for name in names {
        let (collection, _) = name.split_once('/').expect("a collection and a name");
        fixture.collection(collection).insert_one(golden(name)).await.expect("inserted");
    }
    fixture
}

fn user_id(name: &str) -> UserId {
    UserId::from_bytes(golden(name).get_object_id("_id").expect("an id").bytes())
}

fn asset_id(name: &str) -> AssetId {
    AssetId::from_bytes(golden(name).get_object_id("_id").expect("an id").bytes())
}

fn job_id(name: &str) -> JobId {
    golden(name).get_str("_id").expect("an id").parse().expect("a job's id")
}

/// The names of all collections, by the code.
fn collections() -> BTreeSet<String> {
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    let mut names = BTreeSet::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).expect("a source file");
            for call in [".collection(\"", ".notes(\""] {
                let named = text.split(call).skip(1).filter_map(|rest| rest.split_once('"'));
                names.extend(named.map(|(name, _)| name.to_owned()));
            }
        }
    }
    names
}

#[test]
fn every_collection_has_documents_of_the_first_release() {
    let mut named = collections();
    // Whole subscriptions, for a person: no code of ours reads them.
    assert!(named.remove("subscriptions_set_aside"));
    let golden: BTreeSet<String> =
        all().keys().filter_map(|name| name.split_once('/')).map(|(collection, _)| collection.to_owned()).collect();
    assert_eq!(golden, named);
}

/// The path and type of every field, those of an array's elements under one name.
fn fields(value: &Bson, path: &str, found: &mut BTreeMap<String, String>) {
    match value {
        Bson::Document(document) => {
            for (name, value) in document {
                fields(value, &format!("{path}.{name}"), found);
            }
        }
        Bson::Array(array) => array.iter().for_each(|value| fields(value, &format!("{path}[]"), found)),
        // Adopted documents and ours were never strict about the width of a number.
        Bson::Int32(_) | Bson::Int64(_) => drop(found.insert(path.to_owned(), "Integer".to_owned())),
        other => drop(found.insert(path.to_owned(), format!("{:?}", other.element_type()))),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_today_has_every_field_of_the_first_release() {
    let today = stories::tell().await;
    let golden = all();
    for (name, golden) in &golden {
        // Written by chai-backend.
        if name == "users/adopted" {
            continue;
        }
        let Some(today) = today.get(name) else { panic!("{name} is not written any more") };
        let (mut then, mut now) = (BTreeMap::new(), BTreeMap::new());
        fields(&Bson::Document(golden.clone()), "", &mut then);
        fields(&Bson::Document(today.clone()), "", &mut now);
        for (path, kind) in &then {
            assert_eq!(now.get(path), Some(kind), "{name}: {path}, which an older version may still read: {today}");
        }
    }
    let missing: Vec<_> = today.keys().filter(|name| !golden.contains_key(*name)).collect();
    assert!(
        missing.is_empty(),
        "no golden documents of {missing:?}; their first is {}",
        extended(&Bson::Document(today[missing[0]].clone()), 0)
    );
}

/// Extended JSON, canonical, in the order of the document.
fn extended(value: &Bson, depth: usize) -> String {
    let text = |text: &str| serde_json::Value::from(text).to_string();
    let indent = "  ".repeat(depth + 1);
    let block = |open: char, lines: Vec<String>, close: char| match lines.is_empty() {
        true => format!("{open}{close}"),
        false => format!("{open}\n{indent}{}\n{}{close}", lines.join(&format!(",\n{indent}")), "  ".repeat(depth)),
    };
    match value {
        Bson::Document(document) => {
            let member = |(name, value): (&String, &Bson)| format!("{}: {}", text(name), extended(value, depth + 1));
            block('{', document.iter().map(member).collect(), '}')
        }
        Bson::Array(array) => block('[', array.iter().map(|value| extended(value, depth + 1)).collect(), ']'),
        Bson::String(string) => text(string),
        Bson::Boolean(boolean) => boolean.to_string(),
        Bson::Null => "null".to_owned(),
        Bson::Int32(number) => format!("{{ \"$numberInt\": \"{number}\" }}"),
        Bson::Int64(number) => format!("{{ \"$numberLong\": \"{number}\" }}"),
        Bson::Double(number) => format!("{{ \"$numberDouble\": \"{number}\" }}"),
        Bson::ObjectId(id) => format!("{{ \"$oid\": \"{id}\" }}"),
        Bson::DateTime(at) => format!("{{ \"$date\": {{ \"$numberLong\": \"{}\" }} }}", at.timestamp_millis()),
        Bson::Binary(Binary { subtype, bytes }) => {
            let (text, kind) = (BASE64_STANDARD.encode(bytes), u8::from(*subtype));
            format!("{{ \"$binary\": {{ \"base64\": \"{text}\", \"subType\": \"{kind:02x}\" }} }}")
        }
        other => panic!("not written so far: {other:?}"),
    }
}
