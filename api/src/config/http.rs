//! Settings of connections, and of the pages that may call.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use axum_extra::extract::cookie::SameSite;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use program::{MILLISECOND, duration, number};
use url::Url;

#[derive(Debug, Clone, clap::Args)]
pub struct Http {
    /// Address to listen on; by default every one, in development only this machine's
    #[arg(long, env = "HOST", value_name = "ADDRESS", value_parser = address)]
    pub host: Option<IpAddr>,

    /// Port to listen on; 0 takes a free one
    #[arg(long, env = "PORT", default_value_t = 8000, value_parser = number::<u16>(..=65_535))]
    pub port: u16,

    /// Address and port of /metrics, such as 127.0.0.1:9100; not served if not given
    #[arg(long, env = "METRICS_LISTEN", value_name = "ADDRESS:PORT")]
    pub metrics_listen: Option<SocketAddr>,

    /// Address at which clients reach this program; by default http://localhost with the port
    #[arg(long, env = "PUBLIC_URL", value_name = "URL", value_parser = public_url)]
    pub public_url: Option<String>,

    /// Origins whose pages may call with credentials, separated by commas
    #[arg(long, env = "CORS_ORIGIN", value_name = "ORIGINS", value_delimiter = ',', value_parser = origin)]
    pub cors_origin: Vec<String>,

    /// With which requests from pages on other sites browsers send the session's cookies; none requires https
    #[arg(long, env = "COOKIE_SAME_SITE", default_value = "lax", value_parser = same_site())]
    pub cookie_same_site: SameSite,

    /// How long a client may take for the head of a request, and stay silent between two
    #[arg(long, env = "REQUEST_HEAD_TIMEOUT", value_name = "DURATION", default_value = "60s",
          value_parser = duration(MILLISECOND..))]
    pub request_head_timeout: Duration,

    /// How long a client may read nothing of what it is sent, or less than 200 kB
    #[arg(long, env = "RESPONSE_IDLE_TIMEOUT", value_name = "DURATION", default_value = "60s",
          value_parser = duration(MILLISECOND..))]
    pub response_idle_timeout: Duration,

    /// How long requests may go on after the signal to stop
    #[arg(long, env = "SHUTDOWN_TIMEOUT", value_name = "DURATION", default_value = "25s",
          value_parser = duration(MILLISECOND..))]
    pub shutdown_timeout: Duration,

    /// Most connections at a time; more wait to be accepted
    #[arg(long, env = "MAX_CONNECTIONS", value_name = "COUNT", default_value_t = 4096,
          value_parser = number::<usize>(1..))]
    pub max_connections: usize,

    /// Most of them from one address that is none of TRUSTED_PROXIES, by default an eighth; more are closed at once
    #[arg(long, env = "MAX_CONNECTIONS_ADDRESS", value_name = "COUNT", value_parser = number::<usize>(1..))]
    pub max_connections_address: Option<usize>,
}

impl Http {
    pub(crate) fn max_connections_address(&self) -> usize {
        self.max_connections_address.unwrap_or_else(|| (self.max_connections / 8).max(1))
    }

    /// Whether clients reach us over TLS.
    pub(crate) fn is_secure(&self) -> bool {
        self.public_url.as_deref().is_some_and(|url| url.starts_with("https:"))
    }

    /// The origins that are listed, perhaps with `*` among them.
    pub(crate) fn origins(&self) -> impl Iterator<Item = &str> {
        self.cors_origin.iter().map(String::as_str).filter(|origin| !origin.is_empty())
    }

    /// Whether pages on any origin may call, without cookies.
    pub(crate) fn allows_any_origin(&self) -> bool {
        self.origins().any(|origin| origin == "*")
    }
}

fn same_site() -> impl TypedValueParser<Value = SameSite> {
    let values = [
        ("lax", "With those by which a page is opened that only read"),
        ("strict", "With none"),
        (
            "none",
            "With all of them, for front ends on another site; browsers keep such cookies only if they are `Secure`",
        ),
    ];
    PossibleValuesParser::new(values.map(|(value, help)| PossibleValue::new(value).help(help))).map(|value| match value
        .as_str()
    {
        "strict" => SameSite::Strict,
        "none" => SameSite::None,
        _ => SameSite::Lax,
    })
}

fn address(text: &str) -> Result<IpAddr, &'static str> {
    text.parse().map_err(|_| "expected an IP address such as 127.0.0.1 or 0.0.0.0")
}

fn public_url(text: &str) -> Result<String, &'static str> {
    let usable = |url: &Url| {
        matches!(url.scheme(), "http" | "https") && is_host(url) && url.query().is_none() && url.fragment().is_none()
    };
    match Url::parse(text).ok().filter(usable) {
        Some(url) => Ok(url.as_str().trim_end_matches('/').to_owned()),
        None => Err("expected an http or https address without query, such as https://api.example.com"),
    }
}

/// Whether an address names one host. `*.example.com` is a name to the parser, and to nobody else.
fn is_host(url: &Url) -> bool {
    url.host_str().is_some_and(|host| !host.is_empty() && !host.contains('*'))
}

/// An origin as browsers send it, `*` (any origin, without credentials), or nothing between two commas. A pattern is none: it
/// would let nobody in, and say nothing.
fn origin(text: &str) -> Result<String, &'static str> {
    let text = text.trim();
    if matches!(text, "" | "*") {
        return Ok(text.to_owned());
    }
    let origin = Url::parse(text).ok().filter(is_host).map(|url| url.origin()).filter(url::Origin::is_tuple);
    let origin = origin.ok_or("expected origins such as https://app.example.com, each in full, separated by commas")?;
    Ok(origin.ascii_serialization())
}
