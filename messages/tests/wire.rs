//! What is on the wire stays readable: one golden file per kind, never edited once released. What has been added since has one
//! of its own.

use messages::{
    DecodeError, DeleteMedia, Envelope, Event, Job, MediaDeleted, MediaFailed, MediaReady, RecomputeChannel, Trace,
    UploadMedia,
};

const UPLOAD: &str = include_str!("golden/media.upload.v1.json");
/// As it has been since requests have ids.
const UPLOAD_OF_A_REQUEST: &str = include_str!("golden/media.upload.v1.of-a-request.json");
const DELETE: &str = include_str!("golden/media.delete.v1.json");
/// As it has been since what an upload leaves that is given up is deleted.
const DELETE_OF_A_NAME: &str = include_str!("golden/media.delete.v1.of-a-name.json");
const RECOMPUTE: &str = include_str!("golden/channel.recompute.v1.json");
const READY: &str = include_str!("golden/media.ready.v1.json");
const FAILED: &str = include_str!("golden/media.failed.v1.json");
const DELETED: &str = include_str!("golden/media.deleted.v1.json");

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
fn a_deletion_reads_as_it_was_written() {
    let envelope = Envelope::decode(DELETE.as_bytes()).expect("golden file");
    let Job::DeleteMedia(DeleteMedia { asset, public_id: None }) = &envelope.job else { panic!("{:?}", envelope.job) };
    assert_eq!(asset.to_string(), "65a1b2c3d4e5f60718293a4b");
    assert_eq!(String::from_utf8(envelope.encode()).expect("JSON is UTF-8"), DELETE.trim_end());
}

#[test]
fn a_deletion_of_what_was_given_up_names_where_it_lies() {
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
fn every_kind_has_a_golden_file() {
    let golden =
        [UPLOAD, DELETE, RECOMPUTE].map(|text| Envelope::decode(text.as_bytes()).expect("golden file").job.kind());
    assert_eq!(golden, Job::KINDS);
}

#[test]
fn events_read_as_they_were_written() {
    for (golden, kind) in [(READY, "media.ready.v1"), (FAILED, "media.failed.v1"), (DELETED, "media.deleted.v1")] {
        let event: Event = serde_json::from_str(golden).expect("golden file");
        assert_eq!(event.kind(), kind);
        assert_eq!(serde_json::to_string(&event).expect("JSON"), golden.trim_end());
        let newer = golden.replace("\"data\":{", "\"at\":\"2030\",\"data\":{\"region\":\"eu\",");
        assert_eq!(serde_json::from_str::<Event>(&newer).expect("fields from the future are ignored"), event);
        // An event of a new variant needs a golden file: this match no longer compiles without it.
        let asset = match event {
            Event::MediaReady(MediaReady { asset, .. })
            | Event::MediaFailed(MediaFailed { asset, .. })
            | Event::MediaDeleted(MediaDeleted { asset, .. }) => asset,
        };
        assert_eq!(asset.to_string(), "65a1b2c3d4e5f60718293a4b");
    }
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

#[test]
fn a_payload_that_does_not_fit_names_its_kind() {
    let body = UPLOAD.replace("65a1b2c3d4e5f60718293a4b", "not an id");
    let Err(DecodeError::Payload { kind, cause }) = Envelope::decode(body.as_bytes()) else { panic!("decoded") };
    assert_eq!(kind, "media.upload.v1");
    assert!(cause.contains("24 hexadecimal digits"), "{cause}");
}
