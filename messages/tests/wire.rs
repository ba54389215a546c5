//! What is on the wire stays readable: one golden file per kind, never edited once released. What has been added to a kind since
//! has a file of its own, `<kind>.<what>.json`.

#![allow(clippy::expect_used, reason = "in a test, failing loudly is what to do")]

use std::path::PathBuf;

use messages::{
    DecodeError, DeleteMedia, Envelope, Event, EventMessage, Job, Payload, RecomputeChannel, RecountCounter, Trace,
    UploadMedia,
};

const UPLOAD: &str = include_str!("golden/media.upload.v1.json");
/// As it has been since requests have ids.
const UPLOAD_OF_A_REQUEST: &str = include_str!("golden/media.upload.v1.of-a-request.json");
/// As it has been since what others add to a trace goes with a job.
const UPLOAD_OF_A_TRACE: &str = include_str!("golden/media.upload.v1.of-a-trace.json");
const DELETE: &str = include_str!("golden/media.delete.v1.json");
/// As it has been since the leftovers of a discarded upload are deleted.
const DELETE_OF_A_NAME: &str = include_str!("golden/media.delete.v1.of-a-name.json");
const RECOUNT: &str = include_str!("golden/counter.recount.v1.json");
const WEBHOOK: &str = include_str!("golden/webhook.deliver.v1.json");
const ACT: &str = include_str!("golden/jobs.act.v1.json");
const RECOMPUTE: &str = include_str!("golden/channel.recompute.v1.json");

#[test]
fn an_upload_reads_as_it_was_written() {
    let envelope = Envelope::decode(UPLOAD.as_bytes()).expect("golden file");
    let Job::UploadMedia(UploadMedia { asset, spool }) = &envelope.job else { panic!("{:?}", envelope.job) };
    assert_eq!(asset.to_string(), "65a1b2c3d4e5f60718293a4b");
    assert_eq!(spool.as_str(), "node-1");
    assert_eq!(envelope.job.queue(), "media.upload.node-1");
    assert!(envelope.traceparent.is_some());
    assert_eq!(String::from_utf8(envelope.encode()).expect("JSON is UTF-8"), UPLOAD.trim_end());
}

#[test]
fn the_id_of_a_request_goes_with_a_job_and_older_jobs_have_none() {
    let envelope = Envelope::decode(UPLOAD_OF_A_REQUEST.as_bytes()).expect("golden file");
    assert_eq!(envelope.request_id.as_deref(), Some("5f3e9a52-58a1-4ab0-9d6b-8f8f3c1d2e4a"));
    assert_eq!(String::from_utf8(envelope.encode()).expect("JSON is UTF-8"), UPLOAD_OF_A_REQUEST.trim_end());
    let trace = Trace::of(envelope.request_id.clone(), None);
    assert_eq!(Envelope::new(envelope.job_id, envelope.job, trace).request_id, envelope.request_id);
    assert_eq!(Envelope::decode(UPLOAD.as_bytes()).expect("golden file").request_id, None);
    let foreign = UPLOAD_OF_A_REQUEST.replace("\"5f3e9a52-58a1-4ab0-9d6b-8f8f3c1d2e4a\"", "[7]");
    assert_eq!(Envelope::decode(foreign.as_bytes()).expect("a job").request_id, None);
}

#[test]
fn what_others_add_to_a_trace_goes_with_a_job_and_older_jobs_have_none() {
    let envelope = Envelope::decode(UPLOAD_OF_A_TRACE.as_bytes()).expect("golden file");
    assert_eq!(envelope.tracestate.as_deref(), Some("vendor=1,other=2"));
    assert_eq!(String::from_utf8(envelope.encode()).expect("JSON is UTF-8"), UPLOAD_OF_A_TRACE.trim_end());
    let state = || envelope.tracestate.clone();
    let trace = Trace::of(None, envelope.traceparent.clone()).map(|trace| trace.with_tracestate(state()));
    let again = Envelope::new(envelope.job_id, envelope.job.clone(), trace);
    assert_eq!((again.traceparent, again.tracestate), (envelope.traceparent.clone(), state()));
    let nothing_to_add_to = Trace { request_id: Some("a-request".to_owned()), ..Trace::default() };
    assert_eq!(nothing_to_add_to.with_tracestate(state()).tracestate, None);
    assert_eq!(Envelope::decode(UPLOAD.as_bytes()).expect("golden file").tracestate, None);
    let foreign = UPLOAD_OF_A_TRACE.replace("\"vendor=1,other=2\"", "{}");
    assert_eq!(Envelope::decode(foreign.as_bytes()).expect("a job").tracestate, None);
}

#[test]
fn a_deletion_reads_as_it_was_written() {
    let envelope = Envelope::decode(DELETE.as_bytes()).expect("golden file");
    let Job::DeleteMedia(DeleteMedia { asset, public_id: None }) = &envelope.job else { panic!("{:?}", envelope.job) };
    assert_eq!(asset.to_string(), "65a1b2c3d4e5f60718293a4b");
    assert_eq!(String::from_utf8(envelope.encode()).expect("JSON is UTF-8"), DELETE.trim_end());
}

#[test]
fn a_deletion_of_leftovers_names_where_they_lie() {
    let envelope = Envelope::decode(DELETE_OF_A_NAME.as_bytes()).expect("golden file");
    let Job::DeleteMedia(DeleteMedia { public_id, .. }) = &envelope.job else { panic!("{:?}", envelope.job) };
    assert_eq!(public_id.as_deref(), Some("steep/avatar/65a1b2c3d4e5f60718293a4b"));
    assert_eq!(String::from_utf8(envelope.encode()).expect("JSON is UTF-8"), DELETE_OF_A_NAME.trim_end());
}

#[test]
fn a_recompute_reads_as_it_was_written() {
    let envelope = Envelope::decode(RECOMPUTE.as_bytes()).expect("golden file");
    let Job::RecomputeChannel(RecomputeChannel { channel }) = &envelope.job else { panic!("{:?}", envelope.job) };
    assert_eq!(channel.to_string(), "65a1b2c3d4e5f60718293a4b");
    assert_eq!(envelope.job.queue(), "channel.recompute");
    assert_eq!(String::from_utf8(envelope.encode()).expect("JSON is UTF-8"), RECOMPUTE.trim_end());
}

#[test]
fn a_recount_reads_as_it_was_written() {
    let envelope = Envelope::decode(RECOUNT.as_bytes()).expect("golden file");
    let Job::RecountCounter(RecountCounter { counter }) = &envelope.job else { panic!("{:?}", envelope.job) };
    assert_eq!(counter, "video-likes:65a1b2c3d4e5f60718293a4b");
    assert_eq!((envelope.job.queue().as_str(), envelope.job.unique_key().as_ref()), ("counter.recount", Some(counter)));
    assert_eq!(String::from_utf8(envelope.encode()).expect("JSON is UTF-8"), RECOUNT.trim_end());
}

/// Every golden file: its name and its text.
fn golden() -> Vec<(String, String)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden");
    let files = std::fs::read_dir(folder).expect("the folder").map(|file| file.expect("a file").path());
    let read = |path: PathBuf| {
        let name = path.file_stem().and_then(|name| name.to_str()).expect("a name").to_owned();
        (name, std::fs::read_to_string(&path).expect("text").trim_end().to_owned())
    };
    files.map(read).collect()
}

fn is_of(name: &str, kind: &str) -> bool {
    name == kind || name.strip_prefix(kind).is_some_and(|rest| rest.starts_with('.'))
}

#[test]
fn every_kind_of_job_and_of_event_has_a_golden_file() {
    let golden = golden();
    for kind in [Job::KINDS, Event::KINDS].concat() {
        assert!(golden.iter().any(|(name, _)| name == kind), "tests/golden/{kind}.json is missing");
    }
    for (name, _) in golden {
        assert!([Job::KINDS, Event::KINDS].concat().iter().any(|kind| is_of(&name, kind)), "{name} is of no kind");
    }
}

#[test]
fn jobs_read_as_they_were_written() {
    for kind in Job::KINDS {
        for (name, text) in golden().into_iter().filter(|(name, _)| is_of(name, kind)) {
            let envelope = Envelope::decode(text.as_bytes()).expect(&name);
            assert_eq!(envelope.job.kind(), *kind, "{name}");
            assert_eq!(String::from_utf8(envelope.encode()).expect("JSON is UTF-8"), text, "{name}");
            let newer = text.replace("\"data\":{", "\"priority\":9,\"data\":{\"region\":\"eu\",");
            assert_eq!(Envelope::decode(newer.as_bytes()), Ok(envelope), "fields from the future are ignored: {name}");
        }
    }
}

#[test]
fn events_read_as_they_were_written() {
    for kind in Event::KINDS {
        for (name, text) in golden().into_iter().filter(|(name, _)| is_of(name, kind)) {
            let event: Event = serde_json::from_str(&text).expect(&name);
            assert_eq!(event.kind(), *kind, "{name}");
            assert_eq!(Event::from_parts(kind, event.data()), Ok(event.clone()), "{name}");
            let written = match serde_json::from_str::<EventMessage>(&text) {
                Ok(message) => serde_json::to_string(&message),
                // As events were before they had ids.
                Err(_) => serde_json::to_string(&event),
            };
            assert_eq!(written.expect("JSON"), text, "{name}");
            let newer = text.replace("\"data\":{", "\"at\":\"2030\",\"data\":{\"region\":\"eu\",");
            assert_eq!(
                serde_json::from_str::<Event>(&newer).expect(&name),
                event,
                "fields from the future are ignored"
            );
        }
    }
}

#[test]
fn a_queue_is_named_by_its_kind_and_where_it_must_be_by_its_spool() {
    let spool = "node-1".parse().expect("a spool");
    assert_eq!(UploadMedia::QUEUE.of(&spool), "media.upload.node-1");
    assert_eq!(DeleteMedia::QUEUE.of(&spool), "media.delete");
    for (name, text) in golden().into_iter().filter(|(name, _)| is_of(name, UploadMedia::KIND)) {
        assert_eq!(Envelope::decode(text.as_bytes()).expect(&name).job.queue(), UploadMedia::QUEUE.of(&spool));
    }
}

#[test]
fn a_channel_has_one_unfinished_recompute_and_an_asset_any_number_of_jobs() {
    let key = |text: &str| Envelope::decode(text.as_bytes()).expect("golden file").job.unique_key();
    assert_eq!(key(RECOMPUTE).as_deref(), Some("65a1b2c3d4e5f60718293a4b"));
    assert_eq!((key(UPLOAD), key(DELETE)), (None, None));
}

#[test]
fn an_event_has_one_unfinished_delivery_to_an_endpoint() {
    let envelope = Envelope::decode(WEBHOOK.as_bytes()).expect("golden file");
    let key = "65a1b2c3d4e5f60718293b01:019389a0-0000-7000-8000-00000000000a";
    assert_eq!((envelope.job.queue().as_str(), envelope.job.unique_key().as_deref()), ("webhook.deliver", Some(key)));
}

#[test]
fn an_action_on_jobs_reads_as_it_was_written() {
    let envelope = Envelope::decode(ACT.as_bytes()).expect("golden file");
    let key = "019389a0-0000-7000-8000-000000000033";
    assert_eq!((envelope.job.queue().as_str(), envelope.job.unique_key().as_deref()), ("jobs.act", Some(key)));
    assert_eq!(String::from_utf8(envelope.encode()).expect("JSON is UTF-8"), ACT.trim_end());
}

#[test]
fn fields_from_the_future_are_ignored() {
    let body = UPLOAD.replace("\"data\":{", "\"priority\":9,\"data\":{\"region\":\"eu\",");
    assert_eq!(Envelope::decode(body.as_bytes()), Envelope::decode(UPLOAD.as_bytes()));
}

#[test]
fn a_foreign_trace_context_does_not_cost_the_job() {
    let body = UPLOAD
        .replace("\"traceparent\":\"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\"", "\"traceparent\":7");
    let envelope = Envelope::decode(body.as_bytes()).expect("a job");
    assert_eq!(envelope.traceparent, None);
}

#[test]
fn a_kind_from_the_future_is_told_apart_from_noise() {
    let body = UPLOAD.replace("media.upload.v1", "media.upload.v9");
    assert_eq!(Envelope::decode(body.as_bytes()), Err(DecodeError::UnknownKind { kind: "media.upload.v9".into() }));
    for noise in ["", "null", "[]", "{}", "\u{0}", "{\"kind\":\"media.upload.v1\"}", &"x".repeat(100_000)] {
        assert!(matches!(Envelope::decode(noise.as_bytes()), Err(DecodeError::Envelope { .. })), "{noise:.20}");
    }
}

/// Parsers quote what they met, and it may be all of a message.
#[test]
fn an_error_is_short_however_long_the_message_is() {
    let long = "x".repeat(3_000_000);
    for body in [
        format!("\"{long}\""),
        format!("{{\"{long}\":"),
        UPLOAD.replace("\"messageId\":\"", &format!("\"messageId\":\"{long}")),
        UPLOAD.replace("\"enqueuedAt\":\"", &format!("\"enqueuedAt\":\"{long}")),
        UPLOAD.replace("media.upload.v1", &long),
        UPLOAD.replace("65a1b2c3d4e5f60718293a4b", &long),
        UPLOAD.replace("\"spool\":\"node-1\"", &format!("\"spool\":{{\"{long}\":1}}")),
        UPLOAD.replace("\"data\":{", &format!("\"data\":\"{long}\",\"more\":{{")),
    ] {
        let error = Envelope::decode(body.as_bytes()).expect_err("no message").to_string();
        assert!(error.chars().count() < 300, "{} characters: {error:.300}", error.len());
    }
}

#[test]
fn a_payload_that_does_not_fit_names_its_kind() {
    let body = UPLOAD.replace("65a1b2c3d4e5f60718293a4b", "not an id");
    let Err(DecodeError::Payload { kind, cause }) = Envelope::decode(body.as_bytes()) else { panic!("decoded") };
    assert_eq!(kind, "media.upload.v1");
    assert!(cause.contains("24 hexadecimal digits"), "{cause}");
}
