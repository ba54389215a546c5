//! The labels and their values.
//!
//! Some values are those of an enum in a crate that this one must not know; where that is, a test compares both.

use std::sync::OnceLock;

/// A label, and every value that it can have.
#[derive(Debug, Clone, Copy)]
pub struct Label {
    /// Its name.
    pub name: &'static str,
    /// Its values, but for [`Label::other`].
    pub values: fn() -> &'static [&'static str],
    /// What stands for any other value.
    pub other: &'static str,
}

impl Label {
    /// Where a value stands among all of them; the last place is that of any other.
    pub(crate) fn place(&self, value: &str) -> usize {
        let values = (self.values)();
        values.iter().position(|known| *known == value).unwrap_or(values.len())
    }

    /// The value at a place.
    pub(crate) fn at(&self, place: usize) -> &'static str {
        (self.values)().get(place).copied().unwrap_or(self.other)
    }

    /// How many values there are, the other one included.
    pub(crate) fn places(&self) -> usize {
        (self.values)().len() + 1
    }
}

macro_rules! labels {
    ($($(#[$doc:meta])* $label:ident = $name:literal [$($value:literal),*];)*) => {
        $($(#[$doc])* pub const $label: Label = Label { name: $name, values: || &[$($value),*], other: "other" };)*
    };
}

/// A kind of jobs.
pub const KIND: Label = Label { name: "kind", values: || messages::Job::KINDS, other: "other" };
/// The version of the program.
pub const VERSION: Label = Label { name: "version", values: || &[env!("CARGO_PKG_VERSION")], other: "other" };
/// The template of a route: `/api/v1/jobs/{id}`. `other`: no route, or the answer came from in front of all routes.
pub const ROUTE: Label = Label { name: "http_route", values: routes, other: "other" };
/// As OpenTelemetry has it.
pub const METHOD: Label = Label {
    name: "http_request_method",
    values: || &["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"],
    other: "_OTHER",
};

labels! {
    /// The fields of forms that take files.
    FIELD = "field" ["avatar", "coverImage", "file"];
    /// What the media host tells apart.
    RESOURCE_TYPE = "resource_type" ["image", "video"];
    /// The last part of a problem's type.
    PROBLEM = "reason" [
        "malformed", "unauthorized", "bad-signature", "cross-origin", "not-found", "method-not-allowed", "request-timeout", "conflict",
        "job-ended", "not-cancellable", "not-possible", "forbidden", "too-large", "unsupported-type", "unsupported-encoding", "range-not-satisfiable", "invalid", "too-many", "internal", "unavailable",
        "outcome-unknown", "storage-full"
    ];
    /// What the api answers with.
    STATUS = "http_response_status_code" [
        "200", "201", "202", "204", "206", "302", "303", "304", "307", "400", "401", "403", "404", "405", "408", "409", "412", "413",
        "415", "416", "422", "429", "500", "503", "507"
    ];
    /// How an attempt ended, as the job's page says it.
    OUTCOME = "outcome" ["completed", "retry", "operator", "discarded", "crashed", "cancelled", "released"];
    /// Whose fault it was: it may pass, it never will, our configuration's, or the worker vanished.
    ERROR_CLASS = "error_class" ["none", "transient", "permanent", "operator", "crash"];
    /// The states of unfinished jobs.
    UNFINISHED = "state" ["pending", "queued", "running", "retryable"];
    /// The states in which a job has ended.
    FINISHED = "state" ["completed", "discarded", "cancelled"];
    /// Whose clock.
    PEER = "peer" ["mongodb"];
    /// Why a job was taken over.
    TAKEOVER = "reason" ["lease", "holder-gone"];
    /// The directories of a spool.
    AREA = "area" ["incoming", "ready"];
    /// Why nobody needed a file: its upload never ended, no asset needs it, or its discarded job was not redriven in time.
    SWEPT = "why" ["abandoned", "ownerless", "expired"];
    /// What the broker said of a message.
    RESULT = "result" ["confirmed", "nacked", "returned", "unknown"];
    /// Whether the broker had delivered the message before.
    REDELIVERED = "redelivered" ["true", "false"];
    /// By what a repetition was known: the client's idempotency key, the job or message, the asset at the media host.
    ABSORBED = "where" ["key", "delivery", "host"];
    /// What the media host was asked for.
    ACTION = "action" ["upload", "chunk", "delete", "lookup"];
    /// What it answered; `none`: nothing.
    STATUS_CLASS = "status_class" ["2xx", "3xx", "4xx", "5xx", "none"];
    /// What became of a webhook: a 2xx, a redirect, 410, another status, or no answer and why. `address`: it may no longer be called.
    WEBHOOK = "result" [
        "delivered", "redirect", "gone", "status", "timeout", "no-connection", "tls", "no-answer", "private-address", "unknown-host",
        "address"
    ];
}

static ROUTES: OnceLock<Vec<&'static str>> = OnceLock::new();

/// Tells the templates of all routes, once: a second call changes nothing.
pub fn set_routes(templates: impl Iterator<Item = String>) {
    ROUTES.get_or_init(|| templates.map(|template| &*template.leak()).collect());
}

fn routes() -> &'static [&'static str] {
    ROUTES.get().map_or(&[], Vec::as_slice)
}
