//! Names of exchanges and queues at the broker. The names by which jobs know their queues stand in the table of kinds.
//!
//! A queue's arguments cannot be changed. So the broker's name of a job queue ends with the generation of its arguments
//! (`media.delete:2`), while routing keys, jobs and people use the name without it. Workers of two versions consume from two
//! queues, and neither is in the other's way.

/// Direct exchange that jobs are published to; the routing key is the queue's name without its generation.
pub const JOBS_EXCHANGE: &str = "steep.jobs";
/// Topic exchange for events; the routing key is the event's kind.
pub const EVENTS_EXCHANGE: &str = "steep.events";
/// Fanout exchange that takes what no worker could settle.
pub const DEAD_EXCHANGE: &str = "steep.dead";
/// Where dead letters wait for a person.
pub const DEAD_QUEUE: &str = "dead";

/// Counts the changes of the job queues' arguments. Whoever changes them adds one here, and a line in [`former`].
pub const GENERATION: u32 = 2;

/// What a job queue is called at the broker.
pub fn present(queue: &str) -> String {
    format!("{queue}:{GENERATION}")
}

/// What it was called in earlier generations, whose queues are to be deleted.
///
/// The first had no number, and `x-dead-letter-strategy: at-least-once`.
pub fn former(queue: &str) -> Vec<String> {
    vec![queue.to_owned()]
}

/// The job queue of a name at the broker, whichever its generation.
pub fn without_generation(name: &str) -> &str {
    match name.rsplit_once(':') {
        Some((queue, number)) if !number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit()) => queue,
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_is_known_by_any_of_its_names() {
        let names = [vec![present("media.upload.node-1")], former("media.upload.node-1")].concat();
        assert_eq!(names, ["media.upload.node-1:2", "media.upload.node-1"]);
        for name in names {
            assert_eq!(without_generation(&name), "media.upload.node-1");
        }
        for other in ["a:", "a:b", ":", "dead"] {
            assert_eq!(without_generation(other), other);
        }
    }
}
