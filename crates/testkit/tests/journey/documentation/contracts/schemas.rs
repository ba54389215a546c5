//! Messages as they are and were written against the schemas in docs/contracts.

use messages::{Envelope, EventMessage, Job};
use serde_json::{Value, json};

use super::{Validator, files, folder, golden, kinds, schema_of};

/// A schema as whoever reads docs/contracts has it.
struct Contract {
    kind: String,
    schema: Value,
    validator: Validator,
}

impl Contract {
    fn all() -> Vec<Self> {
        let files = files(&folder());
        let contracts = kinds().into_iter().map(|kind| {
            let file = schema_of(&kind.kind);
            let text = files.get(&file).unwrap_or_else(|| panic!("{file} is missing"));
            let schema: Value = serde_json::from_str(text).expect("JSON");
            let validator = Validator::new(&schema);
            Self { kind: kind.kind, schema, validator }
        });
        contracts.collect()
    }

    fn golden(&self) -> Vec<(String, Value)> {
        let is_ours =
            |name: &str| name == self.kind || name.strip_prefix(&self.kind).is_some_and(|rest| rest.starts_with('.'));
        golden().into_iter().filter(|(name, _)| is_ours(name)).collect()
    }

    /// The golden messages that fit. What was written before events had ids does not.
    fn current(&self) -> Vec<(String, Value)> {
        self.golden().into_iter().filter(|(_, message)| self.validator.is_valid(message)).collect()
    }

    /// Whether the programs read a message.
    fn is_read(&self, message: &Value) -> bool {
        let text = message.to_string();
        if Job::KINDS.contains(&self.kind.as_str()) {
            return Envelope::decode(text.as_bytes()).is_ok();
        }
        serde_json::from_str::<EventMessage>(&text).is_ok()
    }

    /// Whether a member must be there.
    fn requires(&self, within: &str, member: &str) -> bool {
        let required =
            if within.is_empty() { &self.schema["required"] } else { &self.schema["properties"]["data"]["required"] };
        required.as_array().is_some_and(|required| required.iter().any(|name| name == member))
    }
}

/// The members of a message: those around its data, and those of the data.
fn members(message: &Value) -> Vec<(&'static str, String)> {
    let of = |within: &'static str| {
        let object = message.pointer(within).and_then(Value::as_object).expect("an object");
        object.keys().map(move |name| (within, name.clone())).collect::<Vec<_>>()
    };
    [of(""), of("/data")].concat()
}

fn object<'a>(message: &'a mut Value, within: &str) -> &'a mut serde_json::Map<String, Value> {
    message.pointer_mut(within).and_then(Value::as_object_mut).expect("an object")
}

#[test]
fn every_schema_names_its_draft_and_its_kind() {
    for Contract { kind, schema, .. } in Contract::all() {
        assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema", "{kind}");
        assert_eq!((&schema["title"], &schema["properties"]["kind"]["const"]), (&json!(kind), &json!(kind)));
    }
}

#[test]
fn every_golden_message_fits_the_schema_of_its_kind_and_no_other() {
    let contracts = Contract::all();
    let mut seen = 0;
    for contract in &contracts {
        for (name, mut message) in contract.golden() {
            seen += 1;
            if message.get("id").is_none() && message.get("messageId").is_none() {
                // As events were before they had ids, and no release wrote them.
                assert!(!contract.validator.is_valid(&message), "{name}");
                message["id"] = "019389a0-0000-7000-8000-00000000000a".into();
            }
            assert_eq!(contract.validator.objections(&message), None, "{name}");
            let fitting = contracts.iter().filter(|contract| contract.validator.is_valid(&message));
            assert_eq!(fitting.map(|contract| &contract.kind).collect::<Vec<_>>(), [&contract.kind], "{name}");
        }
    }
    assert_eq!(seen, golden().len());
}

#[test]
fn a_message_of_today_fits_its_schema() {
    for contract in Contract::all() {
        for (name, message) in contract.current() {
            if let Ok(envelope) = Envelope::decode(message.to_string().as_bytes()) {
                let today = Envelope::new(envelope.job_id, envelope.job, None);
                let today: Value = serde_json::from_slice(&today.encode()).expect("JSON");
                assert_eq!(contract.validator.objections(&today), None, "{name}: {today}");
            }
        }
    }
}

#[test]
fn members_from_the_future_are_allowed() {
    for contract in Contract::all() {
        assert!(!contract.current().is_empty(), "{}", contract.kind);
        for (name, mut message) in contract.current() {
            for within in ["", "/data"] {
                object(&mut message, within).insert("fromTheFuture".to_owned(), json!({"any": ["thing"]}));
            }
            assert_eq!(contract.validator.objections(&message), None, "{name}");
            assert!(contract.is_read(&message), "{name}");
        }
    }
}

#[test]
fn what_a_schema_requires_the_programs_require_and_nothing_else() {
    for contract in Contract::all() {
        for (name, message) in contract.current() {
            for (within, member) in members(&message) {
                let mut without = message.clone();
                object(&mut without, within).remove(&member);
                let required = contract.requires(within, &member);
                assert_eq!(contract.validator.is_valid(&without), !required, "{name} without {member}");
                assert_eq!(contract.is_read(&without), !required, "{name} without {member}");
            }
        }
    }
}

#[test]
fn a_member_that_is_wrong_is_refused() {
    for contract in Contract::all() {
        for (name, message) in contract.current() {
            for (within, member) in members(&message) {
                for wrong in [json!(7), json!([7]), Value::Null] {
                    let mut other = message.clone();
                    object(&mut other, within).insert(member.clone(), wrong.clone());
                    assert!(!contract.validator.is_valid(&other), "{name} with {wrong} as {member}");
                }
            }
            // Text of another form, where one is fixed. What is free text may be anything.
            for (member, wrong) in [("/kind", "media.upload.v9"), ("/data/asset", "65A1"), ("/data/spool", "../etc")] {
                let mut other = message.clone();
                if let Some(value) = other.pointer_mut(member) {
                    *value = wrong.into();
                    assert!(!contract.validator.is_valid(&other), "{name} with {wrong} as {member}");
                    assert!(!contract.is_read(&other), "{name} with {wrong} as {member}");
                }
            }
            for member in ["/id", "/messageId", "/jobId", "/enqueuedAt", "/data/job", "/data/owner", "/data/channel"] {
                let mut other = message.clone();
                if let Some(value) = other.pointer_mut(member) {
                    *value = "yesterday".into();
                    assert!(!contract.validator.is_valid(&other), "{name} with another {member}");
                    assert!(!contract.is_read(&other), "{name} with another {member}");
                }
            }
        }
    }
}
