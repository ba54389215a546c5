//! How freely clients may write a path.
//!
//! Express, on which chai-backend runs, matches without regard to case and ignores a slash at the end, and public front
//! ends rely on it. What stands for an id or a name keeps its case.

use std::sync::Arc;

use axum::extract::Request;
use axum::http::Uri;
use axum::http::uri::PathAndQuery;

/// The paths of all routes, as the document spells them.
#[derive(Debug, Clone)]
pub(crate) struct Paths(Arc<[String]>);

impl Paths {
    pub(crate) fn new(paths: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self(paths.into_iter().map(Into::into).collect())
    }

    /// Rewrites a request's path to the spelling of the route that it means, if it means one.
    pub(crate) fn normalise(&self, mut request: Request) -> Request {
        let Some(path) = self.route_spelling(request.uri().path()) else { return request };
        let with_query = match request.uri().query() {
            Some(query) => format!("{path}?{query}"),
            None => path,
        };
        let mut parts = request.uri().clone().into_parts();
        parts.path_and_query = PathAndQuery::try_from(with_query).ok();
        // What was cut out of an address and put together again is one.
        if let Ok(uri) = Uri::from_parts(parts) {
            *request.uri_mut() = uri;
        }
        request
    }

    /// The path as its route spells it. `None` when it is spelt so already or belongs to no route.
    fn route_spelling(&self, path: &str) -> Option<String> {
        if self.0.iter().any(|route| route == path) {
            return None;
        }
        let route = self.0.iter().find(|route| is_of(route, path))?;
        let spelling = join(route, path.trim_end_matches('/'));
        (spelling != path).then_some(spelling)
    }
}

/// Whether a request's path means a route.
pub(crate) fn is_of(route: &str, path: &str) -> bool {
    let path = path.trim_end_matches('/');
    let alike = |(expected, segment): (&str, &str)| is_parameter(expected) || segment.eq_ignore_ascii_case(expected);
    route.split('/').count() == path.split('/').count() && route.split('/').zip(path.split('/')).all(alike)
}

fn join(route: &str, path: &str) -> String {
    let spelt = |(expected, segment)| if is_parameter(expected) { segment } else { expected };
    let segments: Vec<&str> = route.split('/').zip(path.split('/')).map(spelt).collect();
    segments.join("/")
}

fn is_parameter(segment: &str) -> bool {
    segment.starts_with('{')
}

#[cfg(test)]
mod tests {
    use super::*;

    const COVER_IMAGE: &str = "/api/v1/users/cover-image";

    fn spelling(path: &str) -> Option<String> {
        Paths::new([COVER_IMAGE, "/api/v1/users/register", "/api/v1/media", "/api/v1/media/{id}"]).route_spelling(path)
    }

    #[test]
    fn case_and_a_slash_at_the_end_do_not_matter() {
        for path in ["/api/v1/users/cover-Image", "/API/V1/users/cover-image/", "/api/v1/users/cover-image//"] {
            assert_eq!(spelling(path).as_deref(), Some(COVER_IMAGE), "{path}");
        }
        assert_eq!(spelling(COVER_IMAGE), None);
    }

    #[test]
    fn an_id_keeps_its_case() {
        assert_eq!(spelling("/API/v1/Media/AbC/").as_deref(), Some("/api/v1/media/AbC"));
    }

    #[test]
    fn an_unknown_path_is_left_alone() {
        for path in ["/", "", "/api/v1/users", "/api/v1/users/registering", "/api/v1/media/a/b", "//api/v1/media"] {
            assert_eq!(spelling(path), None, "{path}");
        }
    }
}
