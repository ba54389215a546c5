//! Forms and files, whatever they are for.

mod codings;
mod file_types;
mod files;
mod forms;
mod half_closed;
mod idempotency;
mod media;
mod metadata;
mod names;
mod outages;
mod pressure;
mod previews;
mod processing;
mod slow;
mod whole_files;
