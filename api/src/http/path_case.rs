//! The addresses, and how freely clients may write them.
//!
//! Express, on which the original ran, matches without regard to case and ignores a slash at the end, and public front ends
//! rely on it. What stands for an id or a name keeps its case.

use axum::extract::Request;
use axum::http::Uri;
use axum::http::uri::PathAndQuery;

pub(crate) const REGISTER: &str = "/api/v1/users/register";
pub(crate) const LOGIN: &str = "/api/v1/users/login";
pub(crate) const LOGOUT: &str = "/api/v1/users/logout";
pub(crate) const REFRESH_TOKEN: &str = "/api/v1/users/refresh-token";
pub(crate) const CHANGE_PASSWORD: &str = "/api/v1/users/change-password";
pub(crate) const UPDATE_ACCOUNT: &str = "/api/v1/users/update-account";
pub(crate) const SESSIONS: &str = "/api/v1/users/sessions";
pub(crate) const SESSION: &str = "/api/v1/users/sessions/{id}";
pub(crate) const CURRENT_USER: &str = "/api/v1/users/current-user";
pub(crate) const AVATAR: &str = "/api/v1/users/avatar";
pub(crate) const COVER_IMAGE: &str = "/api/v1/users/cover-image";
pub(crate) const CHANNEL: &str = "/api/v1/users/c/{username}";
pub(crate) const SUBSCRIBERS: &str = "/api/v1/subscriptions/c/{channelId}";
pub(crate) const SUBSCRIPTIONS: &str = "/api/v1/subscriptions/u/{subscriberId}";
pub(crate) const MEDIA: &str = "/api/v1/media";
pub(crate) const MEDIA_ITEM: &str = "/api/v1/media/{id}";
pub(crate) const JOB: &str = "/api/v1/jobs/{id}";
pub(crate) const HEALTHCHECK: &str = "/api/v1/healthcheck";
pub(crate) const HEALTHZ: &str = "/healthz";
pub(crate) const READYZ: &str = "/readyz";
pub(crate) const OPENAPI: &str = "/openapi.json";
pub(crate) const DOCS: &str = "/docs";
pub(crate) const DOCS_FILE: &str = "/docs/{file}";

/// Every address that there is.
pub(crate) const ALL: [&str; 23] = [
    REGISTER,
    LOGIN,
    LOGOUT,
    REFRESH_TOKEN,
    CHANGE_PASSWORD,
    UPDATE_ACCOUNT,
    SESSIONS,
    SESSION,
    CURRENT_USER,
    AVATAR,
    COVER_IMAGE,
    CHANNEL,
    SUBSCRIBERS,
    SUBSCRIPTIONS,
    MEDIA,
    MEDIA_ITEM,
    JOB,
    HEALTHCHECK,
    HEALTHZ,
    READYZ,
    OPENAPI,
    DOCS,
    DOCS_FILE,
];

/// Rewrites a request's path to the spelling of the route that it means, if it means one.
pub(crate) fn normalise(mut request: Request) -> Request {
    if let Some(path) = route_spelling(request.uri().path()) {
        let with_query = match request.uri().query() {
            Some(query) => format!("{path}?{query}"),
            None => path,
        };
        if let Ok(path_and_query) = PathAndQuery::try_from(with_query) {
            let mut parts = request.uri().clone().into_parts();
            parts.path_and_query = Some(path_and_query);
            if let Ok(uri) = Uri::from_parts(parts) {
                *request.uri_mut() = uri;
            }
        }
    }
    request
}

/// The path as its route spells it. `None` when it is spelt so already or belongs to no route.
fn route_spelling(path: &str) -> Option<String> {
    if ALL.contains(&path) {
        return None;
    }
    let trimmed = path.trim_end_matches('/');
    let route = ALL.iter().find(|route| matches(route, trimmed))?;
    let spelling = join(route, trimmed);
    (spelling != path).then_some(spelling)
}

fn matches(route: &str, path: &str) -> bool {
    let mut segments = path.split('/');
    let mut alike = true;
    for expected in route.split('/') {
        let segment = segments.next();
        alike &= segment.is_some_and(|segment| is_parameter(expected) || segment.eq_ignore_ascii_case(expected));
    }
    alike && segments.next().is_none()
}

fn join(route: &str, path: &str) -> String {
    let segments = route.split('/').zip(path.split('/'));
    let spelt: Vec<&str> =
        segments.map(|(expected, segment)| if is_parameter(expected) { segment } else { expected }).collect();
    spelt.join("/")
}

fn is_parameter(segment: &str) -> bool {
    segment.starts_with('{')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_and_a_slash_at_the_end_do_not_matter() {
        for path in ["/api/v1/users/cover-Image", "/API/V1/users/cover-image/", "/api/v1/users/cover-image//"] {
            assert_eq!(route_spelling(path).as_deref(), Some(COVER_IMAGE), "{path}");
        }
        assert_eq!(route_spelling(COVER_IMAGE), None);
    }

    #[test]
    fn an_id_keeps_its_case() {
        assert_eq!(route_spelling("/API/v1/Media/AbC/").as_deref(), Some("/api/v1/media/AbC"));
    }

    #[test]
    fn an_unknown_path_is_left_alone() {
        for path in ["/", "", "/api/v1/users", "/api/v1/users/registering", "/api/v1/media/a/b", "//api/v1/media"] {
            assert_eq!(route_spelling(path), None, "{path}");
        }
    }
}
