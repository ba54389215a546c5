//! Every metric, once. Names are permanent: dashboards and alerts stand on them.

use crate::label::{
    ABSORBED, ACTION, AREA, ERROR_CLASS, FIELD, FINISHED, KIND, METHOD, OUTCOME, PEER, PROBLEM, REDELIVERED,
    RESOURCE_TYPE, RESULT, ROUTE, STATUS, STATUS_CLASS, SWEPT, TAKEOVER, UNFINISHED, VERSION, WEBHOOK,
};
use crate::meter::{Counter, Gauge, Histogram, Metric, Programs, Row, Type};
use Programs::{Api, Both, Worker};

/// Seconds, as OpenTelemetry advises for messaging.
const SHORT: &[f64] = &[0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];
/// The same, and what uploads need on top.
const LONG: &[f64] =
    &[0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 30.0, 60.0, 300.0, 1200.0];
/// Bytes: from 16 KiB, each four times the one before, to 1 GiB.
const BYTES: &[f64] = &[
    16_384.0,
    65_536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
    67_108_864.0,
    268_435_456.0,
    1_073_741_824.0,
];

macro_rules! table {
    (@kind Counter) => { Type::Counter };
    (@kind Gauge) => { Type::Gauge };
    (@kind Histogram $bounds:ident) => { Type::Histogram($bounds) };
    ($($metric:ident: $kind:ident $(($bounds:ident))? = $name:literal { $($label:ident),* } of $programs:ident, $help:literal;)*) => {
        $(
            #[doc = $help]
            pub static $metric: $kind = $kind::new(Metric {
                name: $name,
                kind: table!(@kind $kind $($bounds)?),
                labels: &[$($label),*],
                programs: $programs,
                help: $help,
            });
        )*

        /// All of them, in the order of the page.
        pub static TABLE: &[&Metric] = &[$(&$metric.metric),*];

        pub(crate) static ROWS: &[&dyn Row] = &[$(&$metric),*];
    };
}

table! {
    UPLOADS_ACCEPTED: Counter = "steep_uploads_accepted_total" { FIELD, RESOURCE_TYPE } of Api,
        "Files that were accepted";
    UPLOADS_REFUSED: Counter = "steep_uploads_refused_total" { PROBLEM } of Api,
        "Requests with a multipart body that were refused, by the type of the problem";
    UPLOAD_SIZE: Histogram(BYTES) = "steep_upload_size_bytes" {} of Api,
        "Sizes of accepted files";
    UPLOAD_RECEIVE: Histogram(LONG) = "steep_upload_receive_seconds" {} of Api,
        "How long reading a form with files took";
    HTTP_REQUEST: Histogram(LONG) = "http_server_request_duration_seconds" { METHOD, ROUTE, STATUS } of Api,
        "How long requests took, from their head to the head of the answer";
    EVENT_STREAMS: Gauge = "steep_event_streams" {} of Api,
        "Open streams of events";

    JOB_ATTEMPTS: Counter = "steep_job_attempts_total" { KIND, OUTCOME, ERROR_CLASS } of Worker,
        "Attempts that ended; one that crashed counts where that is found out";
    JOBS_FINISHED: Counter = "steep_jobs_finished_total" { KIND, FINISHED } of Worker,
        "Jobs that ended";
    JOB_WAIT: Histogram(LONG) = "steep_job_wait_seconds" { KIND } of Worker,
        "From when a job was due to its claim";
    JOB_ATTEMPT: Histogram(LONG) = "steep_job_attempt_seconds" { KIND, OUTCOME } of Worker,
        "From a claim to its recorded outcome";
    JOB_LATENCY: Histogram(LONG) = "steep_job_latency_seconds" { KIND, FINISHED } of Worker,
        "From when a job was accepted to its end, all its attempts and pauses included";

    JOBS: Gauge = "steep_jobs" { KIND, UNFINISHED } of Both,
        "Unfinished jobs";
    OLDEST_JOB_AGE: Gauge = "steep_oldest_job_age_seconds" { KIND, UNFINISHED } of Both,
        "How long the job of this state has waited that waits the longest: since it was due; a running one since its lease ran out";
    JOBS_UNPUBLISHED: Gauge = "steep_jobs_unpublished" {} of Both,
        "Jobs that wait to be published; retries not included";
    DEAD_LETTERS: Gauge = "steep_dead_letters" {} of Both,
        "Messages that wait for a person";
    CHANNELS_DIRTY: Gauge = "steep_channels_dirty" {} of Both,
        "Counts with changes that no stored count has in it";
    RECOMPUTE_LAG: Gauge = "steep_recompute_lag_seconds" {} of Both,
        "Age of the oldest such change, by the clock of whoever made it";

    WORKER_SLOTS: Gauge = "steep_worker_slots" { KIND } of Worker,
        "Jobs that this worker runs at once";
    WORKER_SLOTS_USED: Gauge = "steep_worker_slots_used" { KIND } of Worker,
        "Jobs that it has a delivery of";
    READY: Gauge = "steep_ready" {} of Both,
        "1 if /readyz says so";
    DRAINING: Gauge = "steep_draining" {} of Both,
        "1 once the program was told to stop";
    CLOCK_OFFSET: Gauge = "steep_clock_offset_seconds" { PEER } of Both,
        "By how much this machine's clock is ahead";
    TAKEOVERS: Counter = "steep_takeovers_total" { TAKEOVER } of Worker,
        "Jobs that were taken over from a worker that vanished";
    CRASHES_DENIED: Counter = "steep_crashes_denied_total" {} of Worker,
        "Times that this worker was taken to have vanished, and had not";
    BUILD_INFO: Gauge = "steep_build_info" { VERSION } of Both,
        "1";

    SPOOL_BYTES: Gauge = "steep_spool_bytes" { AREA } of Worker,
        "Bytes of files in the spool, at the last sweep";
    SPOOL_FILES: Gauge = "steep_spool_files" { AREA } of Worker,
        "Files in the spool, at the last sweep";
    SPOOL_FREE_BYTES: Gauge = "steep_spool_free_bytes" {} of Both,
        "Bytes that can still be written to the spool's disk";
    SPOOL_FREE_INODES: Gauge = "steep_spool_free_inodes" {} of Both,
        "Files that can still be made on it, where that has a limit";
    SWEPT_FILES: Counter = "steep_swept_files_total" { SWEPT } of Worker,
        "Files that were removed because nobody needs them";

    PUBLISHES: Counter = "steep_publishes_total" { RESULT } of Both,
        "Messages that were sent to the broker, by what became of them";
    PUBLISH_CONFIRM: Histogram(SHORT) = "steep_publish_confirm_seconds" {} of Both,
        "From sending a message to the broker's answer";
    BROKER_UP: Gauge = "steep_broker_up" {} of Both,
        "1 if the connection for publishing is up";
    BROKER_BLOCKED: Gauge = "steep_broker_blocked" {} of Both,
        "1 if the broker takes no messages for want of memory or disk";
    BROKER_RECONNECTS: Counter = "steep_broker_reconnects_total" {} of Both,
        "Connections that took the place of a lost one";
    DELIVERIES: Counter = "steep_deliveries_total" { REDELIVERED } of Worker,
        "Deliveries that were taken";
    DUPLICATES_ABSORBED: Counter = "steep_duplicates_absorbed_total" { ABSORBED } of Both,
        "Repetitions that did nothing: requests, deliveries, uploads to the media host";

    MEDIA_HOST_REQUEST: Histogram(LONG) = "steep_media_host_request_seconds" { ACTION, STATUS_CLASS } of Worker,
        "Requests to the media host";
    MEDIA_HOST_SENT: Counter = "steep_media_host_sent_bytes_total" {} of Worker,
        "Bytes of files that were sent to it, repetitions included";
    MEDIA_HOST_RATE_LIMIT: Gauge = "steep_media_host_rate_limit_remaining" {} of Worker,
        "Requests that it still allows, as it said last";

    WEBHOOK_DELIVERIES: Counter = "steep_webhook_deliveries_total" { WEBHOOK } of Worker,
        "Attempts to send an event to an address of a user, by what became of them";
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_as_prometheus_wants_them_and_no_two_are_alike() {
        let names: BTreeSet<&str> = TABLE.iter().map(|metric| metric.name).collect();
        assert_eq!(names.len(), TABLE.len());
        for metric in TABLE {
            let name = metric.name;
            assert!(name.starts_with("steep_") || name.starts_with("http_server_"), "{name}");
            assert_eq!(name.ends_with("_total"), metric.kind == Type::Counter, "{name}");
            assert!(!metric.help.is_empty() && !metric.help.ends_with('.'), "{name}: {}", metric.help);
            if let Type::Histogram(bounds) = metric.kind {
                assert!(name.ends_with("_seconds") || name.ends_with("_bytes"), "{name}");
                assert!(bounds.is_sorted() && !bounds.is_empty(), "{name}");
            }
        }
    }

    #[test]
    fn no_label_has_a_value_twice_or_values_without_end() {
        for label in TABLE.iter().flat_map(|metric| metric.labels) {
            let values: BTreeSet<&str> = (label.values)().iter().copied().collect();
            assert_eq!(values.len(), (label.values)().len(), "{}", label.name);
            assert!(!values.contains(label.other), "{}", label.name);
        }
    }
}
