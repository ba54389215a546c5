//! What Steep promises and each peer, as it is measured here, does not.

use xtask::peers::System;

/// Prints it behind the tables, since a rate without it would compare different things.
pub fn print(systems: &[System]) {
    println!("\nWhat each does not promise that Steep does:\n");
    println!("* all: {ALL}");
    for &system in systems {
        if let Some(lacks) = lacks(system) {
            println!("* {}: {lacks}", system.name());
        }
    }
}

const ALL: &str = "who dies between insert and publish leaves a document that nobody works on, for there is no outbox; the writes \
    of an outcome are no transaction and have no fence, so an attempt that was taken for dead still writes; a newer upload does not \
    supersede an older one; a file whose job is lost stays";

fn lacks(system: System) -> Option<&'static str> {
    match system {
        System::Steep => None,
        System::Apalis => Some(
            "a power cut takes the last second of what Redis accepted; the jobs of a killed worker wait five minutes for another worker \
             (10 missed heartbeats of 30 s); a job that fails 25 times, within six minutes, is dropped",
        ),
        System::Bullmq => Some(
            "a power cut takes the last second of what Redis accepted; the jobs of a killed worker wait for a lock of 30 s, and fail \
             for good when it happens to them twice, whoever's fault it was; no retry unless attempts are set",
        ),
        System::AioPika => Some(
            "no retry, no delay, no record of attempts: a job that fails stays unacked until its worker's connection ends, and one that \
             kills its worker is redelivered without end where the broker sets no limit",
        ),
        System::Celery => Some(
            "a job that raises is acked and gone unless its task retries; one that kills its worker is redelivered without end where \
             the broker sets no limit",
        ),
    }
}
