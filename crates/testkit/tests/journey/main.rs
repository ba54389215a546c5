//! Whole-system stories: what a client sees while api, worker, broker, database and media host live, die and come back.

mod kills;
mod outages;
mod support;
mod uploads;
