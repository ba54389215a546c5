//! RabbitMQ in Steep's own words: jobs are published, deliveries are settled, dead letters wait for a person.
//!
//! What the crate guarantees:
//!
//! * [`Publisher::publish`] returns `Ok` only if the broker has taken responsibility for the message *and* had a queue for
//!   it. Every other answer means *publish it again later*; a second copy is harmless, because messages are only news about
//!   jobs whose state is in the database;
//! * both the publisher and the consumer keep a connection of their own, for ever, whatever happens to the broker. Starting
//!   them neither waits nor fails: while there is no broker they say so in the log and in their status, and try again;
//! * a consumer that is not consuming says so ([`Consumer::status`]); it never sits there, connected and silent;
//! * a [`Delivery`] is settled once, by value. One that is dropped or whose connection is lost is delivered again;
//! * nothing is published without a time limit, and a time limit that passes means *unknown*, not *failed*.
//!
//! Everything that goes wrong is logged here once, in our words. lapin logs what it meets as errors too, also when we close
//! in good order: give its targets (`lapin`, `io_loop`) no level, as `lapin=off` does.
//!
//! Two connections are used because RabbitMQ stops reading from connections that publish when it is short of memory or
//! disk (<https://www.rabbitmq.com/docs/alarms>), and acknowledgements must still get through then.

#![warn(missing_docs)]

mod config;
mod connection;
mod consume;
mod dead;
mod error;
mod headers;
mod publish;
mod topology;

pub use config::{BrokerArgs, Config};
pub use connection::presence::Presence;
pub use consume::board::QueueSpec;
pub use consume::delivery::{Delivery, Disposition};
pub use consume::{Consumer, ConsumerStatus};
pub use dead::admin::Admin;
pub use dead::{DeadLetter, DeadQueue};
pub use error::Error;
pub use publish::{Publisher, PublisherStatus};
