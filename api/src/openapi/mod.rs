//! The OpenAPI 3.1 document, made from the handlers and the types that they take and return.

mod refusals;
pub(crate) mod schemas;

pub(crate) use refusals::{
    CancelsJob, ChangesThings, ChecksPassword, GivesRanges, LimitsAttempts, MakesUnique, MakesWork, NeedsAdmin,
    NeedsStore, NeedsUser, NotActedUpon, OpensStreams, Refusals, TakesFiles, TakesId, TakesJson, TakesName,
    TakesNotifications, TakesParameters,
};

use axum::body::Bytes;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::tag::TagBuilder;
use utoipa::{Modify, OpenApi};
use utoipa_axum::router::OpenApiRouter;

use crate::auth::ACCESS_COOKIE;
use crate::http::problem;

/// The document without routes: what no handler says.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Steep",
        description = include_str!("introduction.md"),
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0"),
    ),
    servers((url = "/", description = "where this was read")),
    components(schemas(problem::Body)),
    modifiers(&Security),
)]
pub(crate) struct Frame;

struct Security;

impl Modify for Security {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let components = document.components.get_or_insert_default();
        let cookie = ApiKeyValue::with_description(ACCESS_COOKIE, "Set by signing in. Counts if a token comes too.");
        components.add_security_scheme("cookie", SecurityScheme::ApiKey(ApiKey::Cookie(cookie)));
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT");
        let bearer = bearer.description(Some("The `accessToken` of the answer to signing in.")).build();
        components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
        let signature = "The hash of the body, `X-Cld-Timestamp` and the secret of our account, in hex.";
        let signature = ApiKeyValue::with_description("X-Cld-Signature", signature);
        components.add_security_scheme("cloudinary", SecurityScheme::ApiKey(ApiKey::Header(signature)));
    }
}

/// A group of routes: the tag of its operations, and what the document says of it.
pub(crate) fn tagged<S>(name: &str, description: &str, mut group: OpenApiRouter<S>) -> OpenApiRouter<S>
where
    S: Send + Sync + Clone + 'static,
{
    let document = group.get_openapi_mut();
    document.tags = Some(vec![TagBuilder::new().name(name).description(Some(description)).build()]);
    for path in document.paths.paths.values_mut() {
        let operations = [&mut path.get, &mut path.post, &mut path.put, &mut path.patch, &mut path.delete];
        for operation in operations.into_iter().flatten() {
            operation.tags = Some(vec![name.to_owned()]);
        }
    }
    group
}

/// The document as it is served.
#[derive(Debug, Clone)]
pub(crate) struct Document(pub(crate) Bytes);

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use crate::Config;

    /// What a setting's name has in it that limits clients.
    const LIMITS: [&str; 9] = ["_LIMIT_", "MAX_", "_MIN_", "_RATE", "_TIMEOUT", "_TIME", "_EXPIRY", "_AGE", "_QUEUE"];
    /// Those that only look so: they limit our own work.
    const OURS: [&str; 2] = ["SHUTDOWN_TIMEOUT", "JOB_MAX_ATTEMPTS"];

    #[test]
    fn every_limit_that_is_a_setting_is_in_the_document_with_its_default() {
        let text = include_str!("introduction.md");
        let mut described = Vec::new();
        for setting in Config::command().get_arguments() {
            let name = setting.get_env().and_then(|name| name.to_str()).unwrap_or_default();
            if OURS.contains(&name) || !LIMITS.iter().any(|part| name.contains(part)) {
                continue;
            }
            let line = text.lines().find(|line| line.contains(&format!("`{name}`")));
            let line = line.unwrap_or_else(|| panic!("{name} is not in the document"));
            let default = setting.get_default_values().first().and_then(|default| default.to_str());
            // It follows from another setting.
            let default = default.or((name == "MAX_CONNECTIONS_ADDRESS").then_some("eighth"));
            let default = default.unwrap_or_else(|| panic!("{name} has no default"));
            let words = line.split([' ', ',', ')']);
            assert!(words.into_iter().any(|word| word == default), "{name} is {default}: {line}");
            described.push(name.to_owned());
        }
        assert!(described.len() >= 19, "{described:?}");
    }
}
