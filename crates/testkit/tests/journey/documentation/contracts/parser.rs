//! The official parser of AsyncAPI reads the document.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use messages::{Event, Job};
use serde_json::Value;
use testkit::tools;

use super::{DOCUMENT, folder};

const PACKAGE: &str = "@asyncapi/parser";
const VERSION: &str = "3.6.6";

/// What the parser says of a document.
fn parse(packages: &Path, document: &Path) -> Value {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/journey/documentation/contracts/parse.cjs");
    let mut node = Command::new("node");
    node.arg(script).arg(document).env("NODE_PATH", packages);
    let said = tools::run(&mut node).unwrap_or_else(|said| panic!("{said}"));
    serde_json::from_str(&said).expect("JSON")
}

#[test]
fn the_official_parser_accepts_the_document_and_finds_all_that_is_in_it() {
    let packages = tools::node_package("contracts", PACKAGE, VERSION);
    let packages = packages.unwrap_or_else(|reason| panic!("{PACKAGE} could not be installed: {reason}"));
    let Some(packages) = packages else {
        return tools::skip("the AsyncAPI document was not parsed", "node and npm are not on this machine");
    };
    let said = parse(&packages, &folder().join(DOCUMENT));
    assert_eq!(said["objections"], serde_json::json!([]));
    let found = |what: &str| -> BTreeSet<String> {
        said[what].as_array().expect("a list").iter().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let mut places = BTreeSet::from(["publish.dead".to_owned(), "consume.dead".to_owned()]);
    for kind in Job::KINDS {
        places.extend([format!("publish.{kind}"), format!("consume.{kind}")]);
    }
    places.extend(Event::KINDS.iter().map(|kind| format!("announce.{kind}")));
    assert_eq!((found("channels"), found("operations")), (places.clone(), places));
    // It has followed the document into the files with the schemas.
    assert_eq!(found("payloads"), [Job::KINDS, Event::KINDS].concat().into_iter().map(str::to_owned).collect());

    let changed = tempfile::tempdir().expect("a folder");
    let text = std::fs::read_to_string(folder().join(DOCUMENT)).expect("the document");
    for (right, wrong) in [("\"is\": \"queue\"", "\"is\": \"pipe\""), ("#/channels/consume.dead", "#/channels/nowhere")]
    {
        assert!(text.contains(right), "{right}");
        let document = changed.path().join(DOCUMENT);
        std::fs::write(&document, text.replace(right, wrong)).expect("written");
        if !changed.path().join(super::SCHEMAS).exists() {
            std::os::unix::fs::symlink(folder().join(super::SCHEMAS), changed.path().join(super::SCHEMAS))
                .expect("a link");
        }
        let objections = &parse(&packages, &document)["objections"];
        assert!(objections.as_array().is_some_and(|found| !found.is_empty()), "{wrong} is accepted");
    }
}
