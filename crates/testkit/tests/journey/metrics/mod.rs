//! `/metrics` of both programs, and what is made of it: the page, rules, alerts and dashboards.

mod away;
mod deployed;
mod moving;
mod watch;
