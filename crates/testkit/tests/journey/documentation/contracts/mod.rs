//! What is in docs/contracts is what the programs send, declare and read.
//!
//! To write it anew: `STEEP_WRITE_DOCS=1 cargo xtask test contracts_in_docs`.

mod asyncapi;
mod consumers;
mod declared;
mod parser;
mod schemas;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use messages::schema::{self, MessageSchema};
use serde_json::Value;
use testkit::tools;

/// Where the document lies, below docs/contracts.
const DOCUMENT: &str = "asyncapi.json";
/// Where the schemas lie, one file a kind.
const SCHEMAS: &str = "schemas";

fn folder() -> PathBuf {
    tools::workspace().join("docs/contracts")
}

/// Every kind of job and of event.
fn kinds() -> Vec<MessageSchema> {
    [schema::jobs(), schema::events()].concat()
}

/// The file that has a kind's schema, seen from the document.
fn schema_of(kind: &str) -> String {
    format!("{SCHEMAS}/{kind}.json")
}

/// Messages as they were ever written, by the names of their files.
fn golden() -> BTreeMap<String, Value> {
    let folder = tools::workspace().join("messages/tests/golden");
    let files = files(&folder).into_iter().map(|(name, text)| {
        let name = name.strip_suffix(".json").expect("JSON").to_owned();
        (name, serde_json::from_str(&text).expect("JSON"))
    });
    files.collect()
}

/// The files below a folder, by their path in it.
fn files(folder: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(&next).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path.strip_prefix(folder).expect("it lies in there").to_str().expect("UTF-8").to_owned();
            found.insert(name, std::fs::read_to_string(&path).expect("text"));
        }
    }
    found
}

/// What a schema says against values.
struct Validator {
    schemas: boon::Schemas,
    schema: boon::SchemaIndex,
}

impl Validator {
    /// Fails for what is no schema of draft 2020-12.
    fn new(schema: &Value) -> Self {
        const PLACE: &str = "https://steep.invalid/schema.json";
        let (mut schemas, mut compiler) = (boon::Schemas::new(), boon::Compiler::new());
        compiler.add_resource(PLACE, schema.clone()).expect("a place");
        let schema = compiler.compile(PLACE, &mut schemas).unwrap_or_else(|error| panic!("{error:#}: {schema}"));
        Self { schemas, schema }
    }

    fn is_valid(&self, value: &Value) -> bool {
        self.objections(value).is_none()
    }

    fn objections(&self, value: &Value) -> Option<String> {
        self.schemas.validate(value, self.schema).err().map(|error| error.to_string())
    }
}

/// The same text for the same value, whatever order this build keeps members in.
fn text(mut value: Value) -> String {
    value.sort_all_objects();
    format!("{value:#}\n")
}

#[test]
fn the_contracts_in_docs_are_those_of_the_code() {
    let mut expected = BTreeMap::from([(DOCUMENT.to_owned(), text(asyncapi::document()))]);
    expected.extend(kinds().into_iter().map(|kind| (schema_of(&kind.kind), text(kind.schema))));
    if std::env::var_os("STEEP_WRITE_DOCS").is_some() {
        std::fs::create_dir_all(folder().join(SCHEMAS)).expect("a folder");
        for gone in files(&folder()).keys().filter(|name| !expected.contains_key(*name)) {
            std::fs::remove_file(folder().join(gone)).expect("it goes");
        }
        for (name, text) in &expected {
            std::fs::write(folder().join(name), text).expect("it is written");
        }
    }
    let found = files(&folder());
    let names = |files: &BTreeMap<String, String>| files.keys().cloned().collect::<Vec<_>>();
    const ANEW: &str = "STEEP_WRITE_DOCS=1 with this test writes docs/contracts anew";
    assert_eq!(names(&found), names(&expected), "{ANEW}");
    for (name, expected) in &expected {
        let differs = expected.lines().zip(found[name].lines()).find(|(expected, found)| expected != found);
        assert!(*expected == found[name], "{name} differs from the code, first in {differs:?}; {ANEW}");
    }
}
