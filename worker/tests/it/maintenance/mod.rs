//! What a worker does beside its deliveries.

mod adopting;
mod aggregates;
mod backlog;
mod sweeping;
