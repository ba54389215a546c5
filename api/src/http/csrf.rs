//! Which pages may act in a user's name (cross-site request forgery).
//!
//! A browser adds a user's cookies to requests that a stranger's page makes. So a request that changes something and
//! carries a session's cookie is accepted only from a page on a listed origin or on our own, such as /docs. The browser
//! names the origin in headers that no page can set.
//!
//! Not tower-http's `CsrfLayer`: it refuses every cross-origin change, ours only those that carry a session; and it
//! knows neither `Referer` nor localhost on any port.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use url::{Host, Url};

use crate::config::Config;
use crate::http::problem::{Problem, ProblemKind};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Origins whose pages may act in a user's name.
#[derive(Debug, Clone)]
pub(crate) struct Origins {
    listed: Arc<[String]>,
    /// Ours, if `PUBLIC_URL` says which that is.
    own: Option<String>,
    development: bool,
    /// Whether a request carries a session's cookie.
    carries_session: fn(&HeaderMap) -> bool,
}

impl Origins {
    pub(crate) fn new(config: &Config, carries_session: fn(&HeaderMap) -> bool) -> Self {
        let own = config.http.public_url.as_deref().and_then(|url| Url::parse(url).ok());
        Self {
            listed: config.http.origins().filter(|origin| *origin != "*").map(str::to_owned).collect(),
            own: own.map(|url| url.origin().ascii_serialization()),
            development: config.is_development(),
            carries_session,
        }
    }

    /// Whether pages on an origin may call with the user's cookies and read the answers.
    pub(crate) fn trusts(&self, origin: &str) -> bool {
        self.listed.iter().any(|listed| listed == origin) || (self.development && is_localhost(origin))
    }

    fn is_own(&self, origin: &str, headers: &HeaderMap) -> bool {
        match &self.own {
            Some(own) => own == origin,
            // A browser names the host that it connects to. No page can make it name another.
            None => {
                let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
                let named = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
                host.zip(named).is_some_and(|(host, named)| host.eq_ignore_ascii_case(named))
            }
        }
    }

    /// The page behind a request, described for the log, if it may not act for its user.
    fn stranger(&self, headers: &HeaderMap) -> Option<String> {
        let text = |name: HeaderName| headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()));
        let referer = || {
            let url = Url::parse(&text(header::REFERER)?);
            Some(url.map(|url| url.origin().ascii_serialization()).unwrap_or_default().into())
        };
        if let Some(origin) = text(header::ORIGIN).or_else(referer) {
            let is_stranger = !self.trusts(&origin) && !self.is_own(&origin, headers);
            return is_stranger.then(|| format!("a page on {origin:?}"));
        }
        let site = text(SEC_FETCH_SITE).filter(|site| !matches!(&**site, "same-origin" | "none"))?;
        Some(format!("a page whose site is {site:?}"))
    }
}

/// Refuses changes that a stranger's page asks for in a user's name. Sets no cookie for strangers either: a page that
/// signs a browser in as somebody else would receive the user's next upload.
pub(crate) async fn guard(State(origins): State<Origins>, request: Request, next: Next) -> Response {
    if matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS) {
        return next.run(request).await;
    }
    let Some(seen) = origins.stranger(request.headers()) else { return next.run(request).await };
    if (origins.carries_session)(request.headers()) {
        let detail = "this page may not act in your name; it is on no origin that is allowed here";
        return Problem::new(ProblemKind::CrossOrigin, detail).because(seen).into_response();
    }
    let mut response = next.run(request).await;
    response.headers_mut().remove(header::SET_COOKIE);
    response
}

fn is_localhost(origin: &str) -> bool {
    let Ok(url) = Url::parse(origin) else { return false };
    let is_local = url.host().is_some_and(|host| match host {
        Host::Domain(domain) => domain == "localhost",
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
    });
    url.scheme() == "http" && is_local && url.origin().ascii_serialization() == origin
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_stranger(own: Option<&str>, headers: &[(HeaderName, &str)]) -> bool {
        let origins = Origins {
            listed: Arc::new(["https://app.example.com".to_owned()]),
            own: own.map(str::to_owned),
            development: false,
            carries_session: |_| true,
        };
        let headers = headers.iter().map(|(name, value)| (name.clone(), value.parse().expect("a header")));
        origins.stranger(&headers.collect()).is_some()
    }

    #[test]
    fn the_first_header_that_tells_counts() {
        let (good, bad) = ("https://app.example.com", "https://evil.example.com");
        assert!(!is_stranger(None, &[]));
        assert!(!is_stranger(None, &[(header::ORIGIN, good)]));
        assert!(!is_stranger(None, &[(header::ORIGIN, good), (header::REFERER, bad)]));
        assert!(is_stranger(None, &[(header::ORIGIN, bad), (header::REFERER, good), (SEC_FETCH_SITE, "same-origin")]));
        assert!(!is_stranger(None, &[(header::REFERER, "https://app.example.com/a?b")]));
        assert!(is_stranger(None, &[(header::REFERER, "https://evil.example.com/https://app.example.com")]));
        assert!(is_stranger(None, &[(header::REFERER, "about:client"), (SEC_FETCH_SITE, "none")]));
        for (site, is_trusted) in [("same-origin", true), ("none", true), ("same-site", false), ("cross-site", false)] {
            assert_eq!(!is_stranger(None, &[(SEC_FETCH_SITE, site)]), is_trusted, "{site}");
        }
    }

    #[test]
    fn what_is_no_origin_is_a_strangers() {
        for origin in ["null", "", "*", "https://", "https://app.example.com/", "https://app.example.com.evil.com"] {
            assert!(is_stranger(None, &[(header::ORIGIN, origin), (header::HOST, "api.example.com")]), "{origin:?}");
        }
    }

    #[test]
    fn our_own_origin_is_that_of_the_public_address_or_else_of_the_host() {
        let from = |origin| [(header::ORIGIN, origin), (header::HOST, "api.example.com")];
        assert!(!is_stranger(None, &from("http://api.example.com")));
        assert!(!is_stranger(None, &from("https://API.example.com")));
        assert!(is_stranger(None, &from("https://api.example.com:8443")));
        let own = Some("https://api.example.com");
        assert!(!is_stranger(own, &from("https://api.example.com")));
        assert!(is_stranger(own, &from("http://api.example.com")));
        assert!(is_stranger(own, &[(header::ORIGIN, "http://10.0.0.1"), (header::HOST, "10.0.0.1")]));
    }
}
