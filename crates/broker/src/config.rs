use std::fmt;
use std::time::Duration;

use lapin::uri::{AMQPScheme, AMQPUri};
use secrecy::{ExposeSecret, SecretString};
use url::{Host, Url};

use crate::Error;

const VARIABLE: &str = "RABBITMQ_URL";
const EXPECTED: &str = "amqp://user:password@host:port/vhost, the default virtual host being written %2f";

/// How long a publish may take. After that its fate is unknown and somebody publishes it again.
const PUBLISH_TIMEOUT: Duration = Duration::from_secs(5);
/// Ours are small messages: 16 KiB frames keep the buffers of a connection at 1 MiB instead of 8.
const FRAME_MAX: u32 = 16 * 1024;

/// Which broker to use.
#[derive(Debug, Clone, clap::Args)]
pub struct BrokerArgs {
    /// RabbitMQ's address, amqp://user:password@host:port/vhost; the default virtual host is written %2f
    #[arg(
        long,
        env = "RABBITMQ_URL",
        value_name = "URL",
        hide_env_values = true,
        default_value = "amqp://guest:guest@127.0.0.1:5672/%2f"
    )]
    pub rabbitmq_url: SecretString,

    /// Seconds between heartbeats; a connection that is silent for two of them is given up
    #[arg(long, env = "RABBITMQ_HEARTBEAT", value_name = "SECONDS", default_value_t = 10,
        value_parser = clap::value_parser!(u16).range(1..=600))]
    pub rabbitmq_heartbeat: u16,
}

impl BrokerArgs {
    /// Checks the arguments. `program` is how our connections are called in RabbitMQ's management pages.
    ///
    /// # Errors
    ///
    /// [`Error::Config`], which names the variable and does not repeat the password.
    pub fn config(&self, program: &str) -> Result<Config, Error> {
        Config::new(&self.rabbitmq_url, self.rabbitmq_heartbeat, program)
    }
}

/// A broker's address, checked.
#[derive(Clone)]
pub struct Config {
    pub(crate) uri: AMQPUri,
    pub(crate) program: String,
    pub(crate) publish_timeout: Duration,
}

impl Config {
    /// Checks an address. `heartbeat` is in seconds and gives way to one in the address.
    ///
    /// # Errors
    ///
    /// [`Error::Config`], which names the variable and does not repeat the password.
    pub fn new(url: &SecretString, heartbeat: u16, program: &str) -> Result<Self, Error> {
        let refused = |cause: &str| Error::Config { variable: VARIABLE, expected: EXPECTED, cause: cause.to_owned() };
        let text = url.expose_secret();
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
        // Its own error text may repeat the address.
        let mut uri: AMQPUri = text.parse().map_err(|_: String| refused("a parameter after the ? is not valid"))?;
        if let Host::Ipv6(address) = host {
            uri.authority.host = address.to_string();
        }
        uri.query.heartbeat.get_or_insert(heartbeat);
        uri.query.frame_max.get_or_insert(FRAME_MAX);
        Ok(Self { uri, program: program.to_owned(), publish_timeout: PUBLISH_TIMEOUT })
    }

    /// The same broker with another time limit for each publish, 5 s by default.
    #[must_use]
    pub fn with_publish_timeout(mut self, timeout: Duration) -> Self {
        self.publish_timeout = timeout;
        self
    }
}

/// Without user and password.
impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.uri.scheme == AMQPScheme::AMQP { "amqp" } else { "amqps" };
        write!(f, "{scheme}://{}:{}, virtual host {}", self.uri.authority.host, self.uri.authority.port, self.uri.vhost)
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Config({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(url: &str) -> Result<Config, Error> {
        Config::new(&SecretString::from(url), 10, "test")
    }

    #[test]
    fn an_address_is_shown_without_its_password() {
        let config = config("amqp://steep:s3cret@broker.example:5673/jobs").expect("an address");
        let shown = format!("{config} {config:?}");
        assert!(shown.contains("broker.example:5673, virtual host jobs"), "{shown}");
        assert!(!shown.contains("s3cret") && !shown.contains("steep:"), "{shown}");
    }

    #[test]
    fn an_address_without_a_virtual_host_means_the_default_one() {
        for url in ["amqp://localhost", "amqp://localhost:5672/%2f", "amqp://localhost/%2F"] {
            assert_eq!(config(url).expect("an address").uri.vhost, "/", "{url}");
        }
    }

    #[test]
    fn an_ipv6_address_is_not_mistaken_for_localhost() {
        assert_eq!(config("amqp://[2001:db8::1]:5672/%2f").expect("an address").uri.authority.host, "2001:db8::1");
    }

    #[test]
    fn heartbeats_are_ours_unless_the_address_says_otherwise() {
        assert_eq!(config("amqp://localhost").expect("an address").uri.query.heartbeat, Some(10));
        assert_eq!(config("amqp://localhost?heartbeat=3").expect("an address").uri.query.heartbeat, Some(3));
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
            let text = config(url).expect_err(url).to_string();
            assert!(text.starts_with("RABBITMQ_URL: expected amqp://user:password@host:port/vhost"), "{text}");
            assert!(!text.contains("s3cret"), "{text}");
        }
    }
}
