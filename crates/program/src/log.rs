//! The log of a program.

use std::env;
use std::io::{IsTerminal, stderr};

use clap::ValueEnum;
use tracing::{Level, Metadata};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::ConfigError;

/// What is logged, and how.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Log")]
pub struct LogArgs {
    /// What to log, as in info,worker=debug
    // The client of RabbitMQ logs every lost connection at length; we say it in one line.
    #[arg(long, env = "RUST_LOG", value_name = "FILTER", default_value = "info,lapin=off")]
    pub log: String,

    /// How to log
    #[arg(long, env = "LOG_FORMAT", value_name = "FORMAT", default_value = "text")]
    pub log_format: LogFormat,
}

/// How to log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl LogArgs {
    /// Logs to standard error from now on. Fails for what is no filter, and if this process logs already.
    pub fn start(&self) -> Result<(), ConfigError> {
        let refused = |cause| ConfigError::new("RUST_LOG", format!("a filter such as info,api=debug, but {cause}"));
        let filter = EnvFilter::try_new(&self.log).map_err(|cause| refused(format!("{:?}: {cause}", self.log)))?;
        // https://no-color.org; and what is not a terminal shows escape codes as they are.
        let colours = stderr().is_terminal() && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr).with_ansi(colours);
        let started = match self.log_format {
            LogFormat::Text => log.finish().with(filter_fn(is_harmless)).try_init(),
            LogFormat::Json => log.json().finish().with(filter_fn(is_harmless)).try_init(),
        };
        started.map_err(|cause| refused(cause.to_string()))
    }
}

/// The client of RabbitMQ traces every frame byte by byte, and in one of them is the password. No filter shows that.
fn is_harmless(metadata: &Metadata<'_>) -> bool {
    let is_wire = ["lapin", "amq_protocol"].iter().any(|name| metadata.target().starts_with(name));
    !is_wire || *metadata.level() < Level::TRACE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_filter_is_refused_by_name() {
        let args = LogArgs { log: "api=loud".to_owned(), log_format: LogFormat::Text };
        let line = args.start().expect_err("no such level").to_string();
        assert!(line.starts_with("RUST_LOG: expected a filter") && line.contains("api=loud"), "{line}");
    }
}
