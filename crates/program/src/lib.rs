//! How our programs start and stop: settings from `.env`, the environment and the command line, the log, signals.
//!
//! [`run`] does the start, [`serve`] the rest of a program that runs until it is told to stop. A setting that cannot work is
//! told in one line on standard error that names the variable and holds no secret, with exit code 2; nothing has started then.

mod env_file;
mod error;
mod explain;
mod log;
mod run;
mod value;

use std::fmt::Display;
use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;

pub use env_file::read_env_file;
pub use error::{ConfigError, Error};
pub use explain::explain;
pub use log::{LogArgs, LogFormat};
pub use run::{BoxError, Running, run, serve};
pub use value::{DAY, HOUR, LONGEST, MILLISECOND, MINUTE, SECOND, duration, number};

/// What a program ends with whose settings cannot work.
const CANNOT_WORK: u8 = 2;

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
