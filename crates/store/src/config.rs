//! Settings.

use std::fmt;
use std::time::Duration;

use mongodb::options::ConnectionString;
use secrecy::{ExposeSecret, SecretString};

use crate::Error;

/// Command-line and environment settings of the database.
#[derive(clap::Args, Debug, Clone)]
pub struct StoreArgs {
    /// Address of MongoDB, which must be a replica set: mongodb://[user:password@]host[:port]/[database][?options]
    #[arg(long, env = "MONGODB_URI", hide_env_values = true, value_name = "URI")]
    pub mongodb_uri: Option<SecretString>,

    /// Database to use when the address names none
    #[arg(long, env = "MONGODB_DATABASE", value_name = "NAME", default_value = Config::DEFAULT_DATABASE)]
    pub mongodb_database: String,

    /// Failures after which a job is discarded; the default outlives a day's outage
    #[arg(long, env = "JOB_MAX_ATTEMPTS", value_name = "COUNT", default_value_t = Config::DEFAULT_MAX_ATTEMPTS,
          value_parser = clap::value_parser!(u32).range(1..))]
    pub job_max_attempts: u32,
}

/// Where the database is and how jobs are kept in it.
#[derive(Clone)]
pub struct Config {
    pub(crate) uri: SecretString,
    pub(crate) database: String,
    pub(crate) application: String,
    /// Failures after which a job is discarded.
    pub max_attempts: u32,
    /// How long a new job is left to whoever accepted it, who publishes it at once, before the relay looks at it.
    pub publish_grace: Duration,
    /// How long a job may stay queued before the relay asks whether its message was lost.
    pub queued_check: Duration,
    /// How long a call may take, its retries and a database that is away included. Also the time after which a commit's
    /// outcome counts as unknown.
    pub timeout: Duration,
}

impl Config {
    /// The database's name unless the address or a setting says otherwise: that of chai-backend.
    pub const DEFAULT_DATABASE: &'static str = "videotube";
    /// With delays that grow to half an hour and full jitter: a day and a half on average, and less than a day for two jobs in
    /// a thousand million.
    pub const DEFAULT_MAX_ATTEMPTS: u32 = 150;

    /// Settings for a database at an address, used by a program that tells the server its name. `database` counts when
    /// the address names none.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] when the address or the name is malformed.
    pub fn new(uri: SecretString, database: &str, application: &str) -> Result<Self, Error> {
        let parsed = ConnectionString::parse(uri.expose_secret()).map_err(|_| malformed_uri())?;
        let database = parsed.default_database.as_deref().unwrap_or(database);
        // https://www.mongodb.com/docs/manual/reference/limits/#naming-restrictions
        let usable =
            |name: &str| !name.is_empty() && name.len() < 64 && !name.contains(['/', '\\', '.', '"', '$', ' ', '\0']);
        if !usable(database) {
            return Err(Error::Config {
                variable: "MONGODB_DATABASE",
                expected: "1 to 63 characters without / \\ . \" $ or spaces",
            });
        }
        Ok(Self {
            database: database.to_owned(),
            application: application.to_owned(),
            uri,
            max_attempts: Self::DEFAULT_MAX_ATTEMPTS,
            publish_grace: Duration::from_secs(2),
            queued_check: Duration::from_secs(60),
            timeout: Duration::from_secs(10),
        })
    }

    /// Settings from the command line and the environment.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] when the address is missing or malformed.
    pub fn from_args(args: StoreArgs, application: &str) -> Result<Self, Error> {
        let uri = args.mongodb_uri.ok_or_else(malformed_uri)?;
        let mut config = Self::new(uri, &args.mongodb_database, application)?;
        config.max_attempts = args.job_max_attempts;
        Ok(config)
    }

    /// Tells the server another name: one that no other program has or had lets somebody else end what this one leaves open, see
    /// [`Store::end_transactions_of`](crate::Store::end_transactions_of).
    #[must_use]
    pub fn named(self, application: &str) -> Self {
        Self { application: application.to_owned(), ..self }
    }

    pub fn database(&self) -> &str {
        &self.database
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config").field("database", &self.database).finish_non_exhaustive()
    }
}

pub(crate) const fn malformed_uri() -> Error {
    Error::Config {
        variable: "MONGODB_URI",
        expected: "mongodb://[user:password@]host[:port]/[database]?replicaSet=<name>, with %-escapes for : / ? # [ ] @ in user or \
                   password",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(uri: &str, database: &str) -> Result<Config, Error> {
        Config::new(uri.into(), database, "test")
    }

    #[test]
    fn the_database_of_the_address_comes_first() {
        assert_eq!(config("mongodb://h/theirs?replicaSet=rs0", "ours").expect("usable").database(), "theirs");
        assert_eq!(config("mongodb://h/?replicaSet=rs0", "ours").expect("usable").database(), "ours");
    }

    #[test]
    fn a_malformed_setting_is_named_and_no_password_is_told() {
        for uri in ["", "h", "http://h", "mongodb://", "mongodb://user:sec@ret@h", "mongodb://user:secret@h:port"] {
            let error = config(uri, "ours").map(|_| ()).expect_err(uri);
            assert!(matches!(error, Error::Config { variable: "MONGODB_URI", .. }), "{uri}: {error:?}");
            assert!(!format!("{error} {error:?}").contains("sec"), "{error}");
        }
        for database in ["", "a.b", "a b", "a/b", &"x".repeat(64)] {
            let error = config("mongodb://h", database).map(|_| ()).expect_err(database);
            assert!(matches!(error, Error::Config { variable: "MONGODB_DATABASE", .. }), "{database}: {error:?}");
        }
        let config = config("mongodb://user:secret@h", "ours").expect("usable");
        assert!(!format!("{config:?}").contains("secret"));
    }
}
