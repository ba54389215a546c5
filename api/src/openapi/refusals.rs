//! What routes refuse, and why: the responses of the document that are problems.

use std::collections::BTreeMap;
use std::marker::PhantomData;

use axum::http::StatusCode;
use serde_json::json;
use utoipa::IntoResponses;
use utoipa::openapi::{RefOr, Response};

use crate::http::problem::{ProblemKind, urn};

/// Every refusal of a route, as one of its `responses`: `Refusals<(NeedsUser, TakesId)>`. 500 is always among them.
pub(crate) struct Refusals<T>(PhantomData<T>);

/// A property of a route that implies refusals, or several of them.
pub(crate) trait Refuses {
    fn kinds() -> Vec<ProblemKind>;
}

macro_rules! refusals {
    ($($(#[$doc:meta])* $name:ident: $($kind:ident),+;)+) => {
        $(
            $(#[$doc])*
            pub(crate) struct $name;

            impl Refuses for $name {
                fn kinds() -> Vec<ProblemKind> {
                    vec![$(ProblemKind::$kind),+]
                }
            }
        )+
    };
}

refusals! {
    /// It needs the database.
    NeedsStore: Unavailable;
    /// It needs a user, whom it looks up in the database.
    NeedsUser: Unauthorized, Unavailable;
    /// It needs an admin, who may also change things if it does.
    NeedsAdmin: Unauthorized, Forbidden, Unavailable;
    /// It needs the right password.
    ChecksPassword: Unauthorized, Unavailable;
    /// It changes something, so that pages elsewhere may not call it with the user's cookies.
    ChangesThings: CrossOrigin, Unavailable, OutcomeUnknown;
    /// There is an id in its path.
    TakesId: NotFound, Invalid;
    /// There is a name in its path.
    TakesName: NotFound;
    /// It reads its query, or a header of its own.
    TakesParameters: Invalid;
    /// It reads a small body.
    TakesJson: Malformed, RequestTimeout, TooLarge, UnsupportedType, UnsupportedEncoding, Invalid;
    /// It reads a form with files, which go to the spool.
    TakesFiles: Malformed, RequestTimeout, TooLarge, UnsupportedType, UnsupportedEncoding, Invalid, StorageFull, Unavailable;
    /// It reads what the media host sends, signed.
    TakesNotifications: BadSignature, NotFound, Malformed, RequestTimeout, TooLarge, UnsupportedEncoding, Invalid;
    /// It makes something that nobody else may have.
    MakesUnique: Conflict;
    /// What it acts upon may be in a state for something else.
    NotActedUpon: NotPossible;
    /// It cancels a job, which may have ended, or be none that a client cancels.
    CancelsJob: JobEnded, NotCancellable;
    /// It makes work, of which a user may have so much waiting.
    MakesWork: TooMany;
    /// It is open until somebody ends it, and a user may have so many open.
    OpensStreams: TooMany;
    /// It may be tried so often by an address, or at an account.
    LimitsAttempts: TooMany;
    /// It answers with a range of a file.
    GivesRanges: RangeNotSatisfiable;
}

macro_rules! tuples {
    ($(($($name:ident),*))+) => {
        $(
            impl<$($name: Refuses),*> Refuses for ($($name,)*) {
                fn kinds() -> Vec<ProblemKind> {
                    let kinds: &[Vec<ProblemKind>] = &[$($name::kinds()),*];
                    kinds.concat()
                }
            }
        )+
    };
}

tuples! { () (A) (A, B) (A, B, C) (A, B, C, D) (A, B, C, D, E) (A, B, C, D, E, F) }

impl<T: Refuses> IntoResponses for Refusals<T> {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let mut by_status: BTreeMap<StatusCode, Vec<ProblemKind>> = BTreeMap::new();
        for kind in T::kinds().into_iter().chain([ProblemKind::Internal]) {
            let kinds = by_status.entry(kind.row().0).or_default();
            if !kinds.contains(&kind) {
                kinds.push(kind);
            }
        }
        by_status
            .into_iter()
            .map(|(status, kinds)| (status.as_str().to_owned(), response(status, &kinds).into()))
            .collect()
    }
}

/// The problem, narrowed to the types that come with this status.
fn response(status: StatusCode, kinds: &[ProblemKind]) -> Response {
    let (mut urns, mut descriptions) = (Vec::new(), Vec::new());
    for kind in kinds {
        let (_, slug, title) = kind.row();
        urns.push(urn(slug));
        descriptions.push(format!("`{slug}`: {title}"));
    }
    let mut headers = json!({});
    if kinds.contains(&ProblemKind::Unauthorized) {
        headers["WWW-Authenticate"] = json!({ "description": "`Bearer`", "schema": { "type": "string" } });
    }
    if kinds.contains(&ProblemKind::UnsupportedEncoding) {
        let description = "`identity`, with `unsupported-encoding`";
        headers["Accept-Encoding"] = json!({ "description": description, "schema": { "type": "string" } });
    }
    if let 429 | 503 | 507 = status.as_u16() {
        let description = "Seconds until trying again is worth while";
        headers["Retry-After"] = json!({ "description": description, "schema": { "type": "string" } });
    }
    let narrowed = json!({
        "type": "object",
        "properties": {
            "type": { "type": "string", "enum": urns },
            "status": { "type": "integer", "enum": [status.as_u16()] },
        },
    });
    let schema = json!({ "allOf": [{ "$ref": "#/components/schemas/Problem" }, narrowed] });
    let response = json!({
        "description": descriptions.join("; "),
        "headers": headers,
        "content": { "application/problem+json": { "schema": schema } },
    });
    // It is what the library writes itself.
    serde_json::from_value(response).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_has_a_description_and_a_content() {
        type All = ((NeedsUser, ChangesThings, TakesId, TakesFiles, MakesUnique, MakesWork), GivesRanges);
        for (status, response) in Refusals::<All>::responses() {
            let RefOr::T(response) = response else { panic!("{status} is elsewhere") };
            assert!(!response.description.is_empty(), "{status}");
            assert!(response.content.contains_key("application/problem+json"), "{status}");
        }
    }
}
