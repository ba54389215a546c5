//! The connection.

use messages::{AssetId, UserId};

use crate::{Config, Error};

/// The database. Cheap to clone; clones share one connection pool.
#[derive(Clone, Debug)]
pub struct Store {}

/// A new id for an asset. The caller chooses it, because the asset's address is needed before the asset is written.
pub fn new_asset_id() -> AssetId {
    todo!()
}

/// A new id for a user.
pub fn new_user_id() -> UserId {
    todo!()
}

impl Store {
    /// Prepares a connection. No server is asked for yet, so a database that is away shows at the first call, as
    /// [`Error::Unavailable`], and every call connects anew by itself.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] when the address cannot work, [`Error::Unavailable`] when the seed list of a `mongodb+srv` address
    /// cannot be resolved.
    pub async fn connect(_config: &Config) -> Result<Self, Error> {
        todo!()
    }

    /// Asks the primary for a sign of life.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`].
    pub async fn ping(&self) -> Result<(), Error> {
        todo!()
    }

    /// Makes the indexes that are missing. Any number of processes may do so at once. An index that the data at hand does
    /// not allow (two adopted users with one email address) is left out with a warning in the log.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] or [`Error::Database`].
    pub async fn ensure_indexes(&self) -> Result<(), Error> {
        todo!()
    }

    /// Drops the database. For tests.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] or [`Error::Database`].
    #[doc(hidden)]
    pub async fn drop_database(&self) -> Result<(), Error> {
        todo!()
    }
}
