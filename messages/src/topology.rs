//! Names of exchanges and queues. Names are permanent, as kinds are: a queue that is no longer written to must still drain.

use crate::SpoolId;

/// Direct exchange that jobs are published to; the routing key is the queue's name.
pub const JOBS_EXCHANGE: &str = "steep.jobs";
/// Topic exchange for events; the routing key is the event's kind.
pub const EVENTS_EXCHANGE: &str = "steep.events";
/// Fanout exchange that takes what no worker could settle.
pub const DEAD_EXCHANGE: &str = "steep.dead";
/// Where dead letters wait for a person.
pub const DEAD_QUEUE: &str = "dead";
/// Deletions need no file, so any worker takes them.
pub const DELETE_QUEUE: &str = "media.delete";
/// Counting needs the database alone, so any worker takes it.
pub const RECOMPUTE_QUEUE: &str = "channel.recompute";

/// The queue of uploads whose files lie in a spool.
pub fn upload_queue(spool: &SpoolId) -> String {
    format!("media.upload.{spool}")
}
