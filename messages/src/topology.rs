//! Names of exchanges and of the queue of dead letters. The queues of jobs stand in the table of kinds.

/// Direct exchange that jobs are published to; the routing key is the queue's name.
pub const JOBS_EXCHANGE: &str = "steep.jobs";
/// Topic exchange for events; the routing key is the event's kind.
pub const EVENTS_EXCHANGE: &str = "steep.events";
/// Fanout exchange that takes what no worker could settle.
pub const DEAD_EXCHANGE: &str = "steep.dead";
/// Where dead letters wait for a person.
pub const DEAD_QUEUE: &str = "dead";
