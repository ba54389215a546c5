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

const ALL: &str = "who dies between insert and publish leaves a document that nobody works on, there is no outbox; the writes \
    are no transaction and have no fence, so an attempt that was taken for dead still writes; a newer upload does not supersede an \
    older one; a file whose job is lost stays";

fn lacks(system: System) -> Option<&'static str> {
    match system {
        System::Steep => None,
        System::Apalis => Some(
            "a power cut takes Redis's last second of accepted jobs; the jobs of a killed worker wait five minutes (30 s × 10 missed \
             heartbeats)",
        ),
        System::Bullmq => Some(
            "a power cut takes Redis's last second of accepted jobs; the jobs of a killed worker wait up to a minute (a lock of 30 s, \
             looked at every 30 s), and fail for good when that happens twice, whoever's fault it was",
        ),
        System::AioPika => {
            Some("no retry, no delay and no record of attempts: a job that fails is redelivered at once, for ever")
        }
        System::Celery => Some(
            "a job that raises is acked and gone unless its task retries; a job that kills its worker is redelivered for ever",
        ),
    }
}
