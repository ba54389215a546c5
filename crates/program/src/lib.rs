//! How our programs start: settings from `.env`, the environment and the command line, then the log.
//!
//! What cannot work is said in one line on standard error that names the variable and holds no secret, with exit code 2:
//! see [`refuse`]. Nothing has been started then.

mod env_file;
mod explain;
mod log;

use std::fmt::Display;
use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;

pub use env_file::read_env_file;
pub use explain::explain;
pub use log::{LogArgs, LogFormat};

/// What a program ends with whose settings cannot work.
const CANNOT_WORK: u8 = 2;

/// Why a program does not start, in one line.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file of settings.
    #[error(".env: expected {0}")]
    EnvFile(String),
    /// An argument, or the variable in its place.
    #[error("{0}")]
    Argument(String),
    /// What to log.
    #[error("RUST_LOG: expected a filter such as info,api=debug, but {0}")]
    Log(String),
}

/// Reads the arguments of this process and the variables in their place. Asked for help or the version, prints it and exits; so
/// it does for a command that needs another one behind it.
///
/// # Errors
///
/// [`Error::Argument`] for the first that cannot be read.
pub fn arguments<A: Parser>() -> Result<A, Error> {
    A::try_parse().map_err(|error| {
        if !error.use_stderr() || error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
            error.exit();
        }
        Error::Argument(explain::<A>(&error))
    })
}

/// Says in one line why a program ends. Does not depend on the log, which may be what is wrong.
pub fn refuse(program: &str, cause: impl Display) -> ExitCode {
    // If nobody reads it there is nobody to tell.
    let _ = writeln!(std::io::stderr(), "{program}: {cause}");
    ExitCode::from(CANNOT_WORK)
}
