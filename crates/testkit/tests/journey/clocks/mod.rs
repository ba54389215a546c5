//! Machines whose clocks are wrong: by minutes or by days, fast or slow, or changed at any time.

mod files;
mod leases;
mod people;
mod retention;
mod retries;

use mongodb::bson::{DateTime, Document, doc};
use testkit::process::FalseClock;
use testkit::{Process, TestEnv, tools};

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// A clock that is so many seconds fast. `None` on a machine that cannot have one; the test is skipped.
fn clock(env: &TestEnv, name: &str, seconds: i64) -> Option<FalseClock> {
    let clock = FalseClock::new(env.folder(), name, seconds);
    clock.inspect_err(|reason| tools::skip("a machine whose clock is wrong", reason)).ok()
}

/// Has a worker say what every sweep did.
fn telling_sweeps() -> (&'static str, String) {
    ("RUST_LOG", "info,lapin=off,worker::maintenance::sweeper=trace".to_owned())
}

/// How many sweeps such a worker has told of.
fn sweeps(worker: &Process) -> usize {
    worker.printed().expect("a log").matches("maintenance::sweeper: ").count()
}

/// A job as it is in the database.
async fn stored(env: &TestEnv, job: &str) -> Document {
    let jobs = env.database().collection::<Document>("jobs");
    jobs.find_one(doc! { "_id": job }).await.expect("the database answers").expect("the job")
}

/// A time in a document.
fn at(document: &Document, field: &str) -> DateTime {
    *document.get_datetime(field).expect("a time")
}

/// When each attempt at a job began.
fn begun(job: &Document) -> Vec<DateTime> {
    let attempts = job.get_array("attempts").expect("attempts").iter();
    attempts.map(|attempt| at(attempt.as_document().expect("an attempt"), "startedAt")).collect()
}
