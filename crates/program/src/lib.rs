//! How our programs start and stop: settings from `.env`, the environment and the command line, the log, traces, signals; and what of
//! a text from outside may be shown.
//!
//! [`run`] does the start, [`serve`] the rest of a program that runs until it is told to stop. A setting that cannot work is
//! told in one line on standard error that names the variable and holds no secret, with exit code 2; nothing has started then.

mod env_file;
mod error;
mod explain;
mod log;
mod log_ids;
mod run;
pub mod telemetry;
mod text;
mod value;

pub use error::ConfigError;
pub use explain::explain;
pub use log::{LogArgs, LogFormat};
pub use run::{BoxError, Running, run, serve};
pub use telemetry::TraceArgs;
pub use text::{hides, shown, visible, visible_lines};
pub use value::{DAY, HOUR, LONGEST, MILLISECOND, MINUTE, SECOND, duration, number};
