//! Deliveries, from their arrival to their settlement.

mod cancelled;
mod dead_letters;
mod events;
mod failures;
mod large;
mod path;
mod recording;
mod rescue;
mod superseded;
