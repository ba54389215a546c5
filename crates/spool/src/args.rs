use std::path::PathBuf;

use messages::SpoolId;

use crate::{Error, Spool};

/// Which spool to use.
#[derive(Debug, Clone, clap::Args)]
pub struct SpoolArgs {
    /// Directory for uploaded files; api and workers of a machine share it
    #[arg(long, env = "SPOOL_DIR", value_name = "DIR", default_value = "spool")]
    pub spool_dir: PathBuf,

    /// Id of the spool (1 to 40 of a-z, 0-9 and -), part of its queue's name [default: made at the first start]
    #[arg(long, env = "SPOOL_ID", value_name = "ID")]
    pub spool_id: Option<SpoolId>,
}

impl SpoolArgs {
    /// As [`Spool::open`].
    pub fn open(&self) -> Result<Spool, Error> {
        Spool::open(&self.spool_dir, self.spool_id.clone())
    }
}
