//! RabbitMQ in Steep's words: jobs are published, deliveries are settled, dead letters wait for a person.
//!
//! What the crate guarantees:
//!
//! * [`Publisher::publish`] returns `Ok` only if the broker has stored the message *and* had a queue for it. After any
//!   other answer, publish again later. A second copy is harmless, because a message only tells of a job whose state is
//!   in the database;
//! * publisher and consumer each keep a connection and reconnect for ever. Starting them neither waits nor fails:
//!   without a broker, the log and their status say so;
//! * a consumer that does not consume says so ([`Consumer::status`]);
//! * a queue that does not work for a minute, while the broker does, is replaced by another ([`Consumer::take_replaced`]);
//! * a [`Delivery`] is settled once, by value. One that is dropped, or whose connection is lost, is delivered again;
//! * every publish is bounded in time, and a timeout means *unknown*, not *failed*.
//!
//! Every failure is logged once, here. lapin logs errors of its own, also while closing in good order: switch its
//! targets `lapin` and `io_loop` off.
//!
//! Publishing and consuming use two connections: short of memory or disk, RabbitMQ stops reading from those that
//! publish (<https://www.rabbitmq.com/docs/alarms>), and acknowledgements must still get through.

#![warn(missing_docs)]

mod config;
mod connection;
mod consume;
mod dead;
mod error;
mod gauges;
pub mod headers;
mod publish;
mod spans;
pub mod topology;

pub use config::Config;
pub use connection::presence::Presence;
pub use consume::board::QueueSpec;
pub use consume::delivery::{Delivery, Disposition, Hold};
pub use consume::{Consumer, ConsumerStatus};
pub use dead::admin::Admin;
pub use dead::replay::{Replayed, Which};
pub use dead::{DeadLetter, DeadQueue};
pub use error::Error;
pub use gauges::Gauges;
pub use publish::{Publisher, PublisherStatus};
