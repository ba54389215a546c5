//! What routes refuse, and why: the responses of the document that are problems.

use std::collections::BTreeMap;
use std::marker::PhantomData;

use axum::http::StatusCode;
use utoipa::IntoResponses;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::schema::{AllOfBuilder, ObjectBuilder, Type};
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Response, ResponseBuilder};

use crate::http::problem::ProblemKind;

/// Every refusal of a route, as one of its `responses`: `Refusals<(NeedsUser, TakesId)>`. 500 is always among them.
pub(crate) struct Refusals<T>(PhantomData<T>);

/// A property of a route that implies refusals.
pub(crate) trait Refuses {
    const KINDS: &'static [ProblemKind];
}

macro_rules! refusals {
    ($($(#[$doc:meta])* $name:ident: $($kind:ident),+;)+) => {
        $(
            $(#[$doc])*
            pub(crate) struct $name;

            impl Refuses for $name {
                const KINDS: &'static [ProblemKind] = &[$(ProblemKind::$kind),+];
            }
        )+
    };
}

refusals! {
    /// It needs the database.
    NeedsStore: Unavailable;
    /// It needs a user, whom it looks up in the database.
    NeedsUser: Unauthorized, Unavailable;
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
    TakesJson: Malformed, RequestTimeout, TooLarge, UnsupportedType, Invalid;
    /// It reads a form with files, which go to the spool.
    TakesFiles: Malformed, RequestTimeout, TooLarge, UnsupportedType, Invalid, StorageFull, Unavailable;
    /// It makes something that nobody else may have.
    MakesUnique: Conflict;
    /// It makes work, of which a user may have so much waiting.
    MakesWork: TooMany;
    /// It may be tried so often by an address, or at an account.
    LimitsAttempts: TooMany;
    /// It answers with a range of a file.
    GivesRanges: RangeNotSatisfiable;
}

pub(crate) trait AllRefuse {
    fn kinds() -> Vec<ProblemKind>;
}

macro_rules! tuples {
    ($(($($name:ident),*))+) => {
        $(
            impl<$($name: Refuses),*> AllRefuse for ($($name,)*) {
                fn kinds() -> Vec<ProblemKind> {
                    [$($name::KINDS),*].concat()
                }
            }
        )+
    };
}

impl AllRefuse for () {
    fn kinds() -> Vec<ProblemKind> {
        Vec::new()
    }
}

tuples! { (A) (A, B) (A, B, C) (A, B, C, D) (A, B, C, D, E) (A, B, C, D, E, F) }

impl<T: AllRefuse> IntoResponses for Refusals<T> {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let mut by_status: BTreeMap<StatusCode, Vec<ProblemKind>> = BTreeMap::new();
        for kind in T::kinds().into_iter().chain([ProblemKind::Internal]) {
            let kinds = by_status.entry(kind.status()).or_default();
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
    let description: Vec<String> = kinds.iter().map(|kind| format!("`{}`: {}", kind.slug(), kind.title())).collect();
    let narrowed = ObjectBuilder::new()
        .property(
            "type",
            ObjectBuilder::new().schema_type(Type::String).enum_values(Some(kinds.iter().map(|kind| kind.urn()))),
        )
        .property("status", ObjectBuilder::new().schema_type(Type::Integer).enum_values(Some([status.as_u16()])));
    let schema = AllOfBuilder::new().item(Ref::from_schema_name("Problem")).item(narrowed);
    let content = ContentBuilder::new().schema(Some(schema)).build();
    let mut response =
        ResponseBuilder::new().description(description.join("; ")).content("application/problem+json", content);
    let text = |description: &str| {
        HeaderBuilder::new()
            .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
            .description(Some(description.to_owned()))
            .build()
    };
    if kinds.contains(&ProblemKind::Unauthorized) {
        response = response.header("WWW-Authenticate", text("`Bearer`"));
    }
    if matches!(
        status,
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE | StatusCode::INSUFFICIENT_STORAGE
    ) {
        response = response.header("Retry-After", text("Seconds until trying again is worth while"));
    }
    response.build()
}
