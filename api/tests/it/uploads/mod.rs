//! Forms and files, whatever they are for.

mod codings;
mod files;
mod forms;
mod half_closed;
mod idempotency;
mod media;
mod names;
mod outages;
mod pressure;
mod previews;
mod processing;
mod slow;
