//! A request for a page, and the page that answers it.

use axum::body::to_bytes;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, Method, header};
use axum::response::Response;
use maud::{Markup, html};
use serde_json::Value;
use store::AdminRole;

use super::without_fragment;
use crate::auth::Caller;
use crate::http::Problem;
use crate::pages::layout::{self, Tab};

/// As much of a problem is read as any can have.
const MAX_PROBLEM: usize = 64 * 1024;

/// What is asked for.
#[derive(Debug, Clone)]
pub(in crate::pages) struct Ask {
    /// Path and query.
    pub(in crate::pages) path: String,
    pub(in crate::pages) query: String,
    pub(in crate::pages) is_get: bool,
    /// Only what is in the middle of the page, to be put into one that is open.
    pub(in crate::pages) is_fragment: bool,
    /// A script asks: it wants no page to look at.
    pub(in crate::pages) is_script: bool,
}

impl Ask {
    /// Takes from the address what is for us.
    pub(in crate::pages) fn of(parts: &mut Parts) -> Self {
        let (uri, is_fragment) = without_fragment(&parts.uri);
        parts.uri = uri;
        let is_live = parts.uri.path().trim_end_matches('/') == "/dashboard/live";
        Self {
            path: parts.uri.path_and_query().map(|path| path.as_str().to_owned()).unwrap_or_default(),
            query: parts.uri.query().unwrap_or_default().to_owned(),
            is_get: matches!(parts.method, Method::GET | Method::HEAD),
            is_fragment: is_fragment && parts.method == Method::GET,
            is_script: is_fragment || is_live,
        }
    }
}

/// An admin who asks for a page. Handlers behind the gate take it.
#[derive(Debug, Clone)]
pub(in crate::pages) struct Visit {
    pub(in crate::pages) name: String,
    /// Whether they may change things. Pages show no buttons to others; the actions look themselves.
    pub(in crate::pages) writes: bool,
    pub(in crate::pages) ask: Ask,
    /// What the page before has to say.
    pub(in crate::pages) said: Option<String>,
}

impl Visit {
    pub(in crate::pages) fn new(caller: Caller, ask: Ask, said: Option<String>) -> Self {
        let writes = caller.user.admin == Some(AdminRole::Full);
        Self { name: caller.user.username, writes, ask, said }
    }

    /// A page that stays as it is.
    pub(in crate::pages) fn page(&self, tab: Tab, title: &str, main: Markup) -> Response {
        layout::answer(self, &layout::Page { tab, title, main, is_live: false, media: None })
    }

    /// A page that is kept up to date while it is open.
    pub(in crate::pages) fn live_page(&self, tab: Tab, title: &str, main: Markup) -> Response {
        layout::answer(self, &layout::Page { tab, title, main, is_live: true, media: None })
    }

    /// The first page of a list is kept up to date; the ones after it stay as they are, for who reads them.
    pub(in crate::pages) fn listing(&self, tab: Tab, title: &str, main: Markup) -> Response {
        let is_first = !self.ask.query.split('&').any(|pair| pair.starts_with("cursor="));
        if is_first { self.live_page(tab, title, main) } else { self.page(tab, title, main) }
    }

    /// What the address says for a parameter.
    pub(in crate::pages) fn parameter(&self, name: &str) -> String {
        let mut pairs = url::form_urlencoded::parse(self.ask.query.as_bytes());
        pairs.find(|(other, _)| other == name).map(|(_, value)| value.into_owned()).unwrap_or_default()
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Visit {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let visit = parts.extensions.get::<Self>().cloned();
        visit.ok_or_else(|| Problem::internal("a page outside of the gate"))
    }
}

/// The page for a problem that a handler answered. Its cause stays with it, for the log.
pub(in crate::pages) async fn problem_page(visit: &Visit, answer: Response) -> Response {
    let (mut parts, body) = answer.into_parts();
    let body = to_bytes(body, MAX_PROBLEM).await.unwrap_or_default();
    let problem: Value = serde_json::from_slice(&body).unwrap_or_default();
    let text = |name: &str| problem[name].as_str().unwrap_or_default().to_owned();
    let main = html! {
        p.problem role="alert" { (text("detail")) }
        p { a href="/dashboard" { "To the overview" } }
    };
    let page = visit.page(Tab::None, &text("title"), main);
    let (page_parts, page) = page.into_parts();
    let kept: HeaderMap =
        parts.headers.drain().filter_map(|(name, value)| Some((name?, value))).filter(is_kept).collect();
    parts.extensions.extend(page_parts.extensions);
    parts.headers = page_parts.headers;
    parts.headers.extend(kept);
    Response::from_parts(parts, page)
}

fn is_kept((name, _): &(HeaderName, axum::http::HeaderValue)) -> bool {
    matches!(*name, header::RETRY_AFTER | header::SET_COOKIE)
}
