//! Jobs: claims, ends, retries and what a relay finds.

mod claim;
mod complete;
mod false_crashes;
mod feed;
mod line;
mod listing;
mod majority;
mod progress;
mod redrive;
mod relay;
mod search;
mod sharing;
