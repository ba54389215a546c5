//! Reads the call from method and path.
//!
//! Paths are split before they are decoded, and matched by hand: SDKs write a slash inside an id as `/` or as
//! `%2F`, and the Node SDK even writes `resources%2Fsearch`. A router's patterns see those as different paths.

use axum::http::Method;
use percent_encoding::percent_decode_str;

use crate::assets::{DeliveryType, ResourceType};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Route {
    pub cloud: String,
    pub call: Call,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Call {
    Upload { resource_type: Option<ResourceType>, delivery_type: Option<DeliveryType> },
    Destroy(ResourceType),
    DestroyByAssetId,
    DeleteByToken,
    Rename(ResourceType),
    Explicit(ResourceType),
    Tags(ResourceType),
    Context(ResourceType),
    Metadata(ResourceType),
    Download(ResourceType),
    Ping,
    Usage,
    Resource(ResourceType, DeliveryType, String),
    ResourceByAssetId(String),
    Resources(ResourceType, Option<DeliveryType>),
    DeleteResources(ResourceType, DeliveryType),
    Update(ResourceType, DeliveryType, String),
    Search,
    Deliver(ResourceType, DeliveryType, String),
}

impl Call {
    /// The name of the call in a fault's `action`.
    pub(crate) fn action(&self) -> &'static str {
        match self {
            Self::Upload { .. } => "upload",
            Self::Destroy(_) | Self::DestroyByAssetId | Self::DeleteByToken => "destroy",
            Self::Rename(_) => "rename",
            Self::Explicit(_) => "explicit",
            Self::Tags(_) => "tags",
            Self::Context(_) => "context",
            Self::Metadata(_) => "metadata",
            Self::Download(_) => "download",
            Self::Ping => "ping",
            Self::Usage => "usage",
            Self::Resource(..) | Self::ResourceByAssetId(_) => "resource",
            Self::Resources(..) => "resources",
            Self::DeleteResources(..) => "delete_resources",
            Self::Update(..) => "update",
            Self::Search => "search",
            Self::Deliver(..) => "deliver",
        }
    }
}

/// Every name that [`Call::action`] gives.
pub(crate) const ACTIONS: [&str; 16] = [
    "upload",
    "destroy",
    "rename",
    "explicit",
    "tags",
    "context",
    "metadata",
    "download",
    "ping",
    "usage",
    "resource",
    "resources",
    "delete_resources",
    "update",
    "search",
    "deliver",
];

impl Route {
    /// `None` if no call has that method and path.
    pub(crate) fn parse(method: &Method, path: &str) -> Option<Self> {
        let segments: Vec<String> = path
            .strip_prefix('/')?
            .split('/')
            .map(|segment| percent_decode_str(segment).decode_utf8_lossy().into_owned())
            .collect();
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        let (cloud, call) = match segments.as_slice() {
            ["v1_1", cloud, rest @ ..] => (cloud, api_call(method, rest)?),
            [cloud, kind, delivery, rest @ ..] if *method == Method::GET || *method == Method::HEAD => {
                let call = Call::Deliver(ResourceType::parse(kind)?, DeliveryType::parse(delivery)?, rest.join("/"));
                (cloud, call)
            }
            _ => return None,
        };
        Some(Self { cloud: (*cloud).to_owned(), call })
    }
}

fn api_call(method: &Method, rest: &[&str]) -> Option<Call> {
    if *method == Method::POST {
        post(rest)
    } else if *method == Method::GET || *method == Method::HEAD {
        get(rest)
    } else if *method == Method::DELETE {
        let ["resources", kind, delivery] = rest else { return None };
        Some(Call::DeleteResources(ResourceType::parse(kind)?, DeliveryType::parse(delivery)?))
    } else {
        None
    }
}

fn post(rest: &[&str]) -> Option<Call> {
    Some(match rest {
        ["upload"] => Call::Upload { resource_type: None, delivery_type: None },
        ["delete_by_token"] => Call::DeleteByToken,
        ["asset", "destroy"] => Call::DestroyByAssetId,
        ["resources", "search"] | ["resources/search"] => Call::Search,
        ["resources", kind, delivery, id @ ..] if !id.is_empty() => {
            Call::Update(ResourceType::parse(kind)?, DeliveryType::parse(delivery)?, id.join("/"))
        }
        ["auto", "upload" | "upload_chunked"] => Call::Upload { resource_type: None, delivery_type: None },
        ["auto", delivery] => Call::Upload { resource_type: None, delivery_type: Some(restricted(delivery)?) },
        [kind, action] => {
            let kind = ResourceType::parse(kind)?;
            match *action {
                "upload" | "upload_chunked" => Call::Upload { resource_type: Some(kind), delivery_type: None },
                "destroy" => Call::Destroy(kind),
                "rename" => Call::Rename(kind),
                "explicit" => Call::Explicit(kind),
                "tags" => Call::Tags(kind),
                "context" => Call::Context(kind),
                "metadata" => Call::Metadata(kind),
                delivery => Call::Upload { resource_type: Some(kind), delivery_type: Some(restricted(delivery)?) },
            }
        }
        _ => return None,
    })
}

fn get(rest: &[&str]) -> Option<Call> {
    Some(match rest {
        ["ping"] => Call::Ping,
        ["usage"] => Call::Usage,
        [kind, "download"] => Call::Download(ResourceType::parse(kind)?),
        ["resources", one] => match ResourceType::parse(one) {
            Some(kind) => Call::Resources(kind, None),
            None => Call::ResourceByAssetId((*one).to_owned()),
        },
        ["resources", kind, delivery] => {
            Call::Resources(ResourceType::parse(kind)?, Some(DeliveryType::parse(delivery)?))
        }
        ["resources", kind, delivery, id @ ..] => {
            Call::Resource(ResourceType::parse(kind)?, DeliveryType::parse(delivery)?, id.join("/"))
        }
        _ => return None,
    })
}

/// `private` or `authenticated`, which an upload's path may have in place of `upload`.
fn restricted(segment: &str) -> Option<DeliveryType> {
    DeliveryType::parse(segment).filter(|delivery| *delivery != DeliveryType::Upload)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(method: &Method, path: &str) -> Option<Call> {
        Route::parse(method, path).map(|route| route.call)
    }

    #[test]
    fn every_spelling_of_an_upload_is_recognised() {
        let upload = |resource_type, delivery_type| Some(Call::Upload { resource_type, delivery_type });
        for (path, expected) in [
            ("/v1_1/demo/upload", upload(None, None)),
            ("/v1_1/demo/auto/upload", upload(None, None)),
            ("/v1_1/demo/image/upload", upload(Some(ResourceType::Image), None)),
            ("/v1_1/demo/raw/upload_chunked", upload(Some(ResourceType::Raw), None)),
            ("/v1_1/demo/video/private", upload(Some(ResourceType::Video), Some(DeliveryType::Private))),
            ("/v1_1/demo/auto/authenticated", upload(None, Some(DeliveryType::Authenticated))),
            ("/v1_1/demo/image/nonsense", None),
            ("/v1_1/demo/film/upload", None),
        ] {
            assert_eq!(call(&Method::POST, path), expected, "{path}");
        }
    }

    #[test]
    fn a_slash_in_an_id_may_be_escaped_or_not() {
        let expected = Some(Call::Resource(ResourceType::Image, DeliveryType::Upload, "my/pic".to_owned()));
        assert_eq!(call(&Method::GET, "/v1_1/demo/resources/image/upload/my/pic"), expected);
        assert_eq!(call(&Method::GET, "/v1_1/demo/resources/image/upload/my%2Fpic"), expected);
        assert_eq!(call(&Method::POST, "/v1_1/demo/resources%2Fsearch"), Some(Call::Search));
        assert_eq!(call(&Method::POST, "/v1_1/demo/resources/search"), Some(Call::Search));
    }

    #[test]
    fn an_asset_is_changed_where_it_is_looked_up() {
        let expected = Call::Update(ResourceType::Image, DeliveryType::Upload, "my/pic".to_owned());
        assert_eq!(call(&Method::POST, "/v1_1/demo/resources/image/upload/my%2Fpic"), Some(expected));
        assert_eq!(call(&Method::POST, "/v1_1/demo/resources/image/upload"), None);
    }

    #[test]
    fn looking_up_an_asset_id_is_not_listing_a_resource_type() {
        assert_eq!(call(&Method::GET, "/v1_1/demo/resources/image"), Some(Call::Resources(ResourceType::Image, None)));
        assert_eq!(
            call(&Method::GET, "/v1_1/demo/resources/0123abcd"),
            Some(Call::ResourceByAssetId("0123abcd".to_owned()))
        );
    }

    #[test]
    fn delivery_takes_only_get_and_head() {
        let expected = Some(Call::Deliver(ResourceType::Image, DeliveryType::Upload, "v1/a b.png".to_owned()));
        assert_eq!(call(&Method::GET, "/demo/image/upload/v1/a%20b.png"), expected);
        assert_eq!(call(&Method::HEAD, "/demo/image/upload/v1/a%20b.png"), expected);
        assert_eq!(call(&Method::POST, "/demo/image/upload/v1/a%20b.png"), None);
    }
}
