//! What a person asks of the program instead of serving.
//!
//! Results go to standard output, the log to standard error. A command ends with 0 when it did what it was for, else with 1.

mod admin;

use std::io::{self, Write as _};
use std::process::ExitCode;

use program::visible;
use store::Store;

use crate::{Config, Error};

/// What to do instead of serving.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Say who may see and steer what is everybody's: nobody else can, and the API cannot
    #[command(subcommand)]
    Admin(admin::Admin),
}

impl Command {
    pub async fn run(self, config: &Config) -> ExitCode {
        let done = match self {
            Self::Admin(admin) => on(config, async |store| admin.run(store).await).await,
        };
        match done {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                // If nobody reads it there is nobody to tell.
                let _ = writeln!(io::stderr(), "api: {}", visible(&error.to_string()));
                ExitCode::FAILURE
            }
        }
    }
}

/// Does something with the database, and closes the connection whatever came of it.
async fn on(config: &Config, work: impl AsyncFnOnce(&Store) -> Result<(), Error>) -> Result<(), Error> {
    let store = Store::connect(&config.store()?).await?;
    let done = work(&store).await;
    store.close().await;
    done
}

/// One line on standard output, whatever is in the text. Whoever closed it early has seen enough.
fn line(text: &str) -> Result<(), Error> {
    match writeln!(io::stdout(), "{}", visible(text)) {
        Err(cause) if cause.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(Error::Runtime),
    }
}
