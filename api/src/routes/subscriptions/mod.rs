//! `/api/v1/subscriptions`: subscribing, and who subscribes to whom.
//!
//! In chai-backend each list has the other one's path. Front ends were written for the paths as they are documented.

mod views;

use std::collections::HashMap;

use axum::extract::{RawQuery, State};
use messages::UserId;
use store::{Listed, Position, Subscription, SubscriptionPage, User, Wish};
use tracing::Instrument;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::auth::Caller;
use crate::http::page::{cursor, number};
use crate::http::{Answer, Envelope, Listing, Part, PathText, Problem, ProblemKind};
use crate::openapi::{self, ChangesThings, NeedsUser, Refusals, TakesId, TakesParameters};
use crate::routes::users::views::image_url;
use crate::state::App;
use views::{IdOrUser, StandingView, SubscriptionView, UserInListView};

pub(crate) fn router() -> OpenApiRouter<App> {
    let routes =
        OpenApiRouter::new().routes(routes!(subscribers, toggle, subscribe, unsubscribe)).routes(routes!(channels));
    openapi::tagged("subscriptions", "Who subscribes to whom", routes)
}

/// Entries of a list unless fewer are asked for. Front ends of chai-backend count what they get.
const MAX_LIMIT: u64 = 100;

/// Subscribes the signed-in user if they are not subscribed, else unsubscribes them.
#[utoipa::path(
    post,
    path = "/api/v1/subscriptions/c/{channelId}",
    operation_id = "toggleSubscription",
    params(("channelId" = String, Path, description = "The channel's id", pattern = "^[0-9a-f]{24}$")),
    security(("cookie" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "How it stands now", body = Envelope<StandingView>),
        Refusals<(NeedsUser, TakesId, ChangesThings)>,
    ),
)]
async fn toggle(
    State(app): State<App>,
    Caller { user, .. }: Caller,
    path: PathText,
) -> Result<Answer<StandingView>, Problem> {
    change(&app, &user, path, Wish::Toggle).await
}

/// Subscribes the signed-in user.
#[utoipa::path(
    put,
    path = "/api/v1/subscriptions/c/{channelId}",
    operation_id = "subscribe",
    params(("channelId" = String, Path, description = "The channel's id", pattern = "^[0-9a-f]{24}$")),
    security(("cookie" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "How it stands now", body = Envelope<StandingView>),
        Refusals<(NeedsUser, TakesId, ChangesThings)>,
    ),
)]
async fn subscribe(
    State(app): State<App>,
    Caller { user, .. }: Caller,
    path: PathText,
) -> Result<Answer<StandingView>, Problem> {
    change(&app, &user, path, Wish::Subscribed).await
}

/// Unsubscribes the signed-in user.
#[utoipa::path(
    delete,
    path = "/api/v1/subscriptions/c/{channelId}",
    operation_id = "unsubscribe",
    params(("channelId" = String, Path, description = "The channel's id", pattern = "^[0-9a-f]{24}$")),
    security(("cookie" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "How it stands now", body = Envelope<StandingView>),
        Refusals<(NeedsUser, TakesId, ChangesThings)>,
    ),
)]
async fn unsubscribe(
    State(app): State<App>,
    Caller { user, .. }: Caller,
    path: PathText,
) -> Result<Answer<StandingView>, Problem> {
    change(&app, &user, path, Wish::Unsubscribed).await
}

async fn change(app: &App, user: &User, path: PathText, wish: Wish) -> Result<Answer<StandingView>, Problem> {
    let channel = id("channelId", &path)?;
    if channel == user.id {
        return Err(Problem::invalid("channelId", "must be somebody else's: nobody subscribes to their own channel"));
    }
    // In a task of its own: a transaction whose client goes away must not stay open until it times out.
    let (store, subscriber) = (app.store.clone(), user.id);
    let change = async move { store.channels().subscribe(subscriber, channel, wish).await };
    let changing = app.tasks.spawn(change.in_current_span());
    let standing = match changing.await.map_err(Problem::internal)? {
        Err(store::Error::NotFound { what: "channel" }) => return Err(unknown_channel()),
        standing => standing?,
    };
    let subscribed = standing.subscribed;
    let message = if subscribed { "Subscribed successfully" } else { "Unsubscribed successfully" };
    Ok(Answer::ok(StandingView { subscribed, is_subscribed: subscribed }, message))
}

/// Who subscribes to a channel, newest first.
#[utoipa::path(
    get,
    path = "/api/v1/subscriptions/c/{channelId}",
    operation_id = "listSubscribers",
    params(
        ("channelId" = String, Path, description = "The channel's id", pattern = "^[0-9a-f]{24}$"),
        ("limit" = Option<u64>, Query, description = "Entries, 100 by default and at most", nullable = false, minimum = 1),
        ("cursor" = Option<String>, Query, description = "The `nextCursor` of the answer before", nullable = false,
            pattern = "^([0-9a-f]{24}|[0-9a-f]{40})?$"),
    ),
    security(("cookie" = []), ("bearer" = [])),
    responses((status = 200, description = "The list", body = Listing<SubscriptionView>), Refusals<(NeedsUser, TakesId, TakesParameters)>),
)]
async fn subscribers(
    State(app): State<App>,
    _: Caller,
    path: PathText,
    RawQuery(query): RawQuery,
) -> Result<Listing<SubscriptionView>, Problem> {
    let of = Listed::SubscribersOf(id("channelId", &path)?);
    list(&app, of, query, "Subscribers fetched successfully").await
}

/// Which channels somebody subscribes to, newest first.
#[utoipa::path(
    get,
    path = "/api/v1/subscriptions/u/{subscriberId}",
    operation_id = "listSubscriptions",
    params(
        ("subscriberId" = String, Path, description = "The subscriber's id", pattern = "^[0-9a-f]{24}$"),
        ("limit" = Option<u64>, Query, description = "Entries, 100 by default and at most", nullable = false, minimum = 1),
        ("cursor" = Option<String>, Query, description = "The `nextCursor` of the answer before", nullable = false,
            pattern = "^([0-9a-f]{24}|[0-9a-f]{40})?$"),
    ),
    security(("cookie" = []), ("bearer" = [])),
    responses((status = 200, description = "The list", body = Listing<SubscriptionView>), Refusals<(NeedsUser, TakesId, TakesParameters)>),
)]
async fn channels(
    State(app): State<App>,
    _: Caller,
    path: PathText,
    RawQuery(query): RawQuery,
) -> Result<Listing<SubscriptionView>, Problem> {
    let of = Listed::ChannelsOf(id("subscriberId", &path)?);
    list(&app, of, query, "Subscribed channels fetched successfully").await
}

async fn list(
    app: &App,
    of: Listed,
    query: Option<String>,
    message: &'static str,
) -> Result<Listing<SubscriptionView>, Problem> {
    let (Listed::SubscribersOf(whose) | Listed::ChannelsOf(whose)) = of;
    let query = query.as_deref().unwrap_or_default();
    let limit = number(query, "limit", MAX_LIMIT)?.min(MAX_LIMIT);
    let after = cursor(query, Position::read)?;
    let SubscriptionPage { items, next } =
        app.store.channels().subscriptions(of, after, u32::try_from(limit).unwrap_or(u32::MAX)).await?;
    if items.is_empty() && !app.store.users().exists(whose).await? {
        return Err(unknown_channel());
    }
    let other = |item: &Subscription| match of {
        Listed::SubscribersOf(_) => item.subscriber,
        Listed::ChannelsOf(_) => item.channel,
    };
    let others: Vec<UserId> = items.iter().map(other).collect();
    let users = app.store.users().find_all(&others).await?;
    let mut users: HashMap<UserId, User> = users.into_iter().map(|user| (user.id, user)).collect();
    let shown = items.into_iter().filter_map(|item| {
        // An adopted subscription may be of a user who no longer exists.
        let User { id, username, full_name, avatar, .. } = users.remove(&other(&item))?;
        let user = UserInListView { id, username, full_name, avatar: image_url(app, avatar) };
        let (subscriber, channel) = match of {
            Listed::SubscribersOf(channel) => (IdOrUser::User(user), IdOrUser::Id(channel)),
            Listed::ChannelsOf(subscriber) => (IdOrUser::Id(subscriber), IdOrUser::User(user)),
        };
        let Subscription { id, created_at, updated_at, .. } = item;
        Some(SubscriptionView { id, subscriber, channel, created_at, updated_at })
    });
    let next_cursor = next.map(|position| position.to_string());
    Ok(Part::new(shown.collect(), next_cursor).listed(message))
}

fn unknown_channel() -> Problem {
    Problem::new(ProblemKind::NotFound, "there is no such channel")
}

fn id(field: &'static str, PathText(text): &PathText) -> Result<UserId, Problem> {
    text.parse().map_err(|error: messages::InvalidId| Problem::invalid(field, format!("must be {}", error.expected)))
}
