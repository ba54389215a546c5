//! Cloudinary's notifications: what somebody has done to an asset there becomes so here.

use ::cloudinary::notification::{Malformed, SIGNATURE, Subject, TIMESTAMP, Untrusted};
use ::cloudinary::{Notification, Verifier};
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use futures_util::{TryStreamExt, stream};
use store::{Incarnation, MediaChange, Notice, Noticed, ResourceType};
use utoipa::ToSchema;

use crate::http::json::read_whole;
use crate::http::{Answer, Envelope, Nothing, Problem, ProblemKind};
use crate::openapi::{ChangesThings, Refusals, TakesNotifications};
use crate::state::App;

/// The longest notification: of a thousand assets that were deleted at once.
const MAX_BYTES: usize = 1024 * 1024;
/// Assets of one notification that are looked at at a time.
const AT_ONCE: usize = 8;

/// A notification, as far as it is read.
#[derive(ToSchema)]
#[allow(dead_code, reason = "it describes what Cloudinary sends, which is verified before it is read")]
pub(super) struct CloudinaryNotification {
    /// Others than `delete`, `rename` and `moderation` change nothing.
    #[schema(example = "rename")]
    notification_type: String,
    /// The asset, of a `moderation`.
    #[schema(nullable = false)]
    public_id: Option<String>,
    /// Of a `rename`.
    #[schema(nullable = false)]
    from_public_id: Option<String>,
    /// Of a `rename`.
    #[schema(nullable = false)]
    to_public_id: Option<String>,
    /// `rejected` hides the asset, `approved` shows it again.
    #[schema(nullable = false)]
    moderation_status: Option<String>,
    /// The assets, of a `delete`.
    #[schema(nullable = false)]
    resources: Option<Vec<CloudinaryResource>>,
}

/// An asset in a notification.
#[derive(ToSchema)]
#[allow(dead_code, reason = "as the notification")]
pub(super) struct CloudinaryResource {
    public_id: String,
    #[schema(nullable = false)]
    asset_id: Option<String>,
    #[schema(nullable = false)]
    resource_type: Option<String>,
    #[schema(nullable = false)]
    version: Option<u64>,
}

/// Takes a notification of Cloudinary.
///
/// An asset that was deleted, renamed or rejected there becomes so here. Repetitions, unknown assets and other types of notifications are
/// answered 200 and change nothing. The signature is that of Cloudinary's guide "Verifying notification signatures", at most two hours
/// old. An API without `CLOUDINARY_URL` takes none: 404.
#[utoipa::path(
    post,
    path = "/api/v1/webhooks/cloudinary",
    operation_id = "receiveCloudinaryNotification",
    params(("X-Cld-Timestamp" = String, Header, description = "When it was signed, in Unix seconds")),
    request_body(content = CloudinaryNotification, content_type = "application/json",
        description = "At most 1 MiB; the signature is of these very bytes"),
    security(("cloudinary" = [])),
    responses(
        (status = 200, description = "It is true here too, or does not matter", body = Envelope<Nothing>),
        Refusals<(TakesNotifications, ChangesThings)>,
    ),
)]
pub(crate) async fn receive(State(app): State<App>, request: Request) -> Result<Answer<Nothing>, Problem> {
    let Some(verifier) = &app.notifications else {
        let detail = "this API takes no notifications: it has no CLOUDINARY_URL to verify them by";
        return Err(Problem::new(ProblemKind::NotFound, detail));
    };
    let (parts, body) = request.into_parts();
    let timestamp = only(&parts.headers, TIMESTAMP)?;
    let signature = only(&parts.headers, SIGNATURE)?;
    let signed_at = Verifier::time(timestamp, app.store.now().await?).map_err(untrusted)?;
    let body = read_whole(&parts.headers, body, MAX_BYTES).await?;
    verifier.verify(&body, timestamp, signature).map_err(untrusted)?;

    let notification = Notification::parse(&body, signed_at).map_err(malformed)?;
    let notices = stream::iter(notices(notification).into_iter().map(Ok::<_, Problem>));
    let app = &app;
    notices.try_for_each_concurrent(AT_ONCE, |notice| take(app, notice)).await?;
    Ok(Answer::ok(Nothing {}, "Noted"))
}

async fn take(app: &App, notice: Notice) -> Result<(), Problem> {
    // With any error Cloudinary sends it again, and what was taken of it changes nothing the second time.
    if let Noticed::Changed(asset) = app.store.media().notice(&notice).await? {
        tracing::info!(%asset, change = ?notice.change, "the media host told of a change");
    }
    Ok(())
}

/// A header's text. Of two it cannot be told which one counts.
fn only<'headers>(headers: &'headers HeaderMap, name: &'static str) -> Result<&'headers str, Problem> {
    let mut values = headers.get_all(name).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return Err(Problem::new(ProblemKind::BadSignature, format!("exactly one header {name} is needed")));
    };
    value.to_str().map_err(|_| Problem::new(ProblemKind::BadSignature, format!("{name} is no text")))
}

fn untrusted(why: Untrusted) -> Problem {
    Problem::new(ProblemKind::BadSignature, format!("this notification is not believed: {why}"))
}

fn malformed(Malformed { field, expected }: Malformed) -> Problem {
    match field {
        Some(field) => Problem::invalid(field, format!("must be {expected}")),
        None => Problem::new(ProblemKind::Invalid, format!("the body must be {expected}")),
    }
}

/// What a notification tells of assets that may be ours.
fn notices(notification: Notification) -> Vec<Notice> {
    match notification {
        Notification::Deleted(assets) => {
            assets.into_iter().filter_map(|asset| notice(asset, MediaChange::Deleted)).collect()
        }
        Notification::Renamed { asset, to, at } => notice(asset, MediaChange::Renamed { to, at }).into_iter().collect(),
        Notification::Moderated { asset, rejected, at } => {
            notice(asset, MediaChange::Moderated { rejected, at }).into_iter().collect()
        }
        Notification::Other => Vec::new(),
    }
}

/// `None`: we store nothing as `raw`.
fn notice(asset: Subject, change: MediaChange) -> Option<Notice> {
    let resource_type = match asset.resource_type {
        None => None,
        Some(::cloudinary::ResourceType::Image) => Some(ResourceType::Image),
        Some(::cloudinary::ResourceType::Video) => Some(ResourceType::Video),
        Some(::cloudinary::ResourceType::Raw) => return None,
    };
    let version = asset.version.and_then(|version| i64::try_from(version).ok());
    let of = Incarnation { asset_id: asset.asset_id, version };
    Some(Notice { public_id: asset.public_id, resource_type, of, change })
}
