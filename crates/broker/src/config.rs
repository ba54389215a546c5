use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use lapin::uri::{AMQPScheme, AMQPUri};
use program::{ConfigError, MINUTE, SECOND, duration};
use url::{Host, Url};

const VARIABLE: &str = "RABBITMQ_URL";
const EXPECTED: &str = "amqp://user:password@host:port/vhost, the default virtual host being written %2f";

const HEARTBEAT: Duration = Duration::from_secs(10);
const PUBLISH_TIMEOUT: Duration = Duration::from_secs(5);
const REPLACE_AFTER: Duration = Duration::from_secs(60);
const PROVE_EVERY: Duration = Duration::from_secs(60);
const LOOK_FOR_FORMER_EVERY: Duration = Duration::from_secs(10 * 60);
/// Messages are small: frames of 16 KiB keep the buffers of a connection at 1 MiB instead of 8.
const FRAME_MAX: u32 = 16 * 1024;

/// Which broker to use, and how. Programs flatten it into their arguments.
#[derive(Debug, Clone, clap::Args)]
// A group of this name would meet the one of the program's own configuration.
#[group(skip)]
pub struct Config {
    /// RabbitMQ's address, amqp://user:password@host:port/vhost; the default virtual host is written %2f
    #[arg(
        long = "rabbitmq-url",
        env = VARIABLE,
        value_name = "URL",
        hide_env_values = true,
        default_value = "amqp://guest:guest@127.0.0.1:5672/%2f",
        value_parser = |text: &str| text.parse::<Address>().map_err(|expected| format!("expected {expected}"))
    )]
    pub(crate) address: Address,

    /// Time between heartbeats, in whole seconds; a connection silent for two is closed
    #[arg(
        long = "rabbitmq-heartbeat",
        env = "RABBITMQ_HEARTBEAT",
        value_name = "TIME",
        default_value = "10s",
        value_parser = duration(SECOND..=10 * MINUTE)
    )]
    heartbeat: Duration,

    #[arg(skip)]
    pub(crate) program: String,
    /// Limit for a publish. After it the message's fate is unknown, and the relay publishes again.
    #[arg(skip = PUBLISH_TIMEOUT)]
    pub publish_timeout: Duration,
    /// For how long a queue may not work, while the broker does, before another takes its place.
    #[arg(skip = REPLACE_AFTER)]
    pub replace_after: Duration,
    /// How often a queue that is quiet has to prove that it works.
    #[arg(skip = PROVE_EVERY)]
    pub prove_every: Duration,
    /// How often to look for queues of an earlier version that were deleted: its programs may declare them again.
    #[arg(skip = LOOK_FOR_FORMER_EVERY)]
    pub look_for_former_every: Duration,
}

impl Config {
    /// The settings for an address, all others as by default. The error does not repeat the password.
    pub fn new(url: &str, program: &str) -> Result<Self, ConfigError> {
        let address = url.parse().map_err(|expected| ConfigError::new(VARIABLE, expected))?;
        let program = program.to_owned();
        Ok(Self {
            address,
            heartbeat: HEARTBEAT,
            program,
            publish_timeout: PUBLISH_TIMEOUT,
            replace_after: REPLACE_AFTER,
            prove_every: PROVE_EVERY,
            look_for_former_every: LOOK_FOR_FORMER_EVERY,
        })
    }

    /// Sets what our connections are called in RabbitMQ's management pages.
    #[must_use]
    pub fn named(self, program: &str) -> Self {
        Self { program: program.to_owned(), ..self }
    }

    /// What stands in the address goes before our own settings.
    pub(crate) fn uri(&self) -> AMQPUri {
        let mut uri = self.address.0.clone();
        uri.query.heartbeat.get_or_insert(u16::try_from(self.heartbeat.as_secs()).unwrap_or(u16::MAX));
        uri.query.frame_max.get_or_insert(FRAME_MAX);
        uri
    }
}

#[derive(Clone)]
pub(crate) struct Address(AMQPUri);

impl FromStr for Address {
    /// What was expected, and what is wrong.
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refused = |cause: &str| format!("{EXPECTED}, but {cause}");
        let parsed = Url::parse(text).map_err(|cause| refused(&format!("it cannot be read: {cause}")))?;
        if !matches!(parsed.scheme(), "amqp" | "amqps") {
            return Err(refused(&format!("it begins with {}:", parsed.scheme())));
        }
        if parsed.scheme() == "amqps" && cfg!(not(feature = "amqps")) {
            return Err(refused("this program was built without amqps"));
        }
        let Some(host) = parsed.host() else { return Err(refused("it names no host")) };
        if parsed.path() == "/" {
            return Err(refused("it ends with /, which names a virtual host without a name"));
        }
        // lapin's own error text may repeat the address.
        let mut uri: AMQPUri = text.parse().map_err(|_: String| refused("a parameter after the ? is not valid"))?;
        if let Host::Ipv6(address) = host {
            uri.authority.host = address.to_string();
        }
        Ok(Self(uri))
    }
}

/// Without user and password.
impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let AMQPUri { scheme, authority, vhost, .. } = &self.0;
        let scheme = if *scheme == AMQPScheme::AMQP { "amqp" } else { "amqps" };
        write!(f, "{scheme}://{}:{}, virtual host {vhost}", authority.host, authority.port)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    fn config(url: &str) -> Result<Config, ConfigError> {
        Config::new(url, "test")
    }

    #[test]
    fn an_address_is_shown_without_its_password() {
        let config = config("amqp://steep:s3cret@broker.example:5673/jobs").expect("an address");
        let shown = format!("{config:?}");
        assert!(shown.contains("broker.example:5673, virtual host jobs"), "{shown}");
        assert!(!shown.contains("s3cret") && !shown.contains("steep:"), "{shown}");
    }

    #[test]
    fn an_address_without_a_virtual_host_means_the_default_one() {
        for url in ["amqp://localhost", "amqp://localhost:5672/%2f", "amqp://localhost/%2F"] {
            assert_eq!(config(url).expect("an address").uri().vhost, "/", "{url}");
        }
    }

    #[test]
    fn an_ipv6_address_is_not_mistaken_for_localhost() {
        assert_eq!(config("amqp://[2001:db8::1]:5672/%2f").expect("an address").uri().authority.host, "2001:db8::1");
    }

    #[derive(Debug, Parser)]
    struct Program {
        #[command(flatten)]
        broker: Config,
    }

    #[test]
    fn heartbeats_are_ours_unless_the_address_says_otherwise() {
        for (arguments, seconds) in [
            (&["test", "--rabbitmq-url=amqp://localhost"][..], 10),
            (&["test", "--rabbitmq-url=amqp://localhost?heartbeat=3"], 3),
            (&["test", "--rabbitmq-heartbeat=25"], 25),
            (&["test", "--rabbitmq-heartbeat=2m"], 120),
        ] {
            let program = Program::try_parse_from(arguments).expect("arguments");
            assert_eq!(program.broker.uri().query.heartbeat, Some(seconds), "{arguments:?}");
        }
    }

    #[test]
    fn a_malformed_address_is_refused_with_the_variable_named_and_the_password_kept() {
        let malformed = [
            "",
            "s3cret",
            "amqp:s3cret",
            "amqp://user:s3cret@",
            "http://user:s3cret@localhost:15672/",
            "amqp://user:s3cret@localhost:99999/%2f",
            "amqp://user:s3cret@localhost/",
            "amqp://user:s3cret@localhost?heartbeat=often",
        ];
        for url in malformed {
            let line = program::explain::<Program>(
                &Program::try_parse_from(["test", &format!("--rabbitmq-url={url}")]).expect_err(url),
            );
            for text in [config(url).expect_err(url).to_string(), line] {
                assert!(text.starts_with("RABBITMQ_URL: expected amqp://user:password@host:port/vhost"), "{text}");
                assert!(!text.contains("s3cret"), "{text}");
            }
        }
    }
}
