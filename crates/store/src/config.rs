use std::time::Duration;

use mongodb::options::ConnectionString;
use secrecy::{ExposeSecret, SecretString};

use crate::Error;

/// Time until the relay looks at a new job.
const PUBLISH_GRACE: Duration = Duration::from_secs(2);
/// Time until the relay asks for a queued job's message.
const QUEUED_CHECK: Duration = Duration::from_secs(60);
const TIMEOUT: Duration = Duration::from_secs(10);
/// One more than it takes to keep the server busy while an answer travels; the second is for what is worth it.
const TURNS: usize = 2;

/// Where the database is and how jobs are kept in it. Programs flatten it into their arguments, and [`Config::check`] it.
#[derive(clap::Args, Debug, Clone)]
#[group(skip)]
pub struct Config {
    /// Address of MongoDB, which must be a replica set: mongodb://[user:password@]host[:port]/[database][?options]
    #[arg(long = "mongodb-uri", env = "MONGODB_URI", hide_env_values = true, value_name = "URI")]
    pub uri: Option<SecretString>,

    /// Database to use when the address names none
    #[arg(long = "mongodb-database", env = "MONGODB_DATABASE", value_name = "NAME", default_value = "videotube")]
    pub(crate) database: String,

    /// Failures after which a job is discarded; the default outlives a day's outage
    #[arg(long = "job-max-attempts", env = "JOB_MAX_ATTEMPTS", value_name = "COUNT",
          default_value_t = Config::DEFAULT_MAX_ATTEMPTS, value_parser = clap::value_parser!(u32).range(1..))]
    pub max_attempts: u32,

    #[arg(skip)]
    pub(crate) application: String,
    /// How long a new job is left to whoever accepted it, who publishes it at once, before the relay looks at it.
    #[arg(skip = PUBLISH_GRACE)]
    pub publish_grace: Duration,
    /// How long a job may stay queued before the relay asks whether its message was lost.
    #[arg(skip = QUEUED_CHECK)]
    pub queued_check: Duration,
    /// How long a call may take, its retries and a database that is away included. Also the time after which a commit's
    /// outcome counts as unknown.
    #[arg(skip = TIMEOUT)]
    pub timeout: Duration,
    /// How many transactions or statements that changes of one sort share are under way at once. Tests have one, so that whatever
    /// comes at once shares it.
    #[doc(hidden)]
    #[arg(skip = TURNS)]
    pub turns: usize,
}

impl Config {
    /// With delays that grow to half an hour and full jitter: a day and a half on average, and less than a day for two jobs in
    /// a thousand million.
    pub const DEFAULT_MAX_ATTEMPTS: u32 = 150;

    /// Settings for a database at an address, all others as by default; see [`Config::check`].
    pub fn new(uri: SecretString, database: &str, application: &str) -> Result<Self, Error> {
        let config = Self {
            uri: Some(uri),
            database: database.to_owned(),
            max_attempts: Self::DEFAULT_MAX_ATTEMPTS,
            application: String::new(),
            publish_grace: PUBLISH_GRACE,
            queued_check: QUEUED_CHECK,
            timeout: TIMEOUT,
            turns: TURNS,
        };
        config.check(application)
    }

    /// The settings for a program that tells the server its name. [`Error::Config`] when the address is missing, or it or the
    /// database's name is malformed.
    pub fn check(mut self, application: &str) -> Result<Self, Error> {
        let uri = self.uri.as_ref().ok_or_else(malformed_uri)?;
        let parsed = ConnectionString::parse(uri.expose_secret()).map_err(|_| malformed_uri())?;
        if let Some(database) = parsed.default_database {
            self.database = database;
        }
        // https://www.mongodb.com/docs/manual/reference/limits/#naming-restrictions
        if self.database.is_empty()
            || self.database.len() > 63
            || self.database.contains(['/', '\\', '.', '"', '$', ' ', '\0'])
        {
            return Err(Error::Config {
                variable: "MONGODB_DATABASE",
                expected: "1 to 63 characters without / \\ . \" $ or spaces",
            });
        }
        Ok(self.named(application))
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
