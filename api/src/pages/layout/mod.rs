//! What is around every page, and what pages are made of.

mod actions;
mod chart;
mod elements;

use axum::Extension;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use maud::{DOCTYPE, Markup, html};
use time::OffsetDateTime;

use super::assets;
use super::entry::Visit;
use crate::http::Problem;

pub(super) use actions::{Action, confirmation};
pub(super) use chart::{Chart, Series, Unit};
pub(super) use elements::*;

/// A place in the navigation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tab {
    Overview,
    Jobs,
    Errors,
    Fleet,
    Counters,
    Audit,
    None,
}

/// In the order of the navigation.
const TABS: [(Tab, &str, &str); 6] = [
    (Tab::Overview, "Overview", "/dashboard"),
    (Tab::Jobs, "Jobs", "/dashboard/jobs"),
    (Tab::Errors, "Errors", "/dashboard/errors"),
    (Tab::Fleet, "Fleet", "/dashboard/fleet"),
    (Tab::Counters, "Counters", "/dashboard/counters"),
    (Tab::Audit, "Audit", "/dashboard/audit"),
];

/// A page as its handler makes it.
#[derive(Debug)]
pub(super) struct Page<'a> {
    pub(super) tab: Tab,
    pub(super) title: &'a str,
    pub(super) main: Markup,
    /// Whether the script keeps it up to date.
    pub(super) is_live: bool,
    /// The origin from which it may show a picture or a video, beside ours.
    pub(super) media: Option<String>,
}

/// Marks an answer that is a whole page: it shows what the page before had to say.
#[derive(Debug, Clone)]
pub(super) struct Shown;

/// The page, or what is in the middle of it.
pub(super) fn answer(visit: &Visit, page: &Page<'_>) -> Response {
    if visit.ask.is_fragment {
        return ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], page.main.clone().into_string()).into_response();
    }
    let body = html! {
        a.skip href="#main" { "Skip to the content" }
        header.top {
            a.brand href="/dashboard" { (mark()) "Steep" }
            nav aria-label="Pages" {
                ul {
                    @for (tab, name, address) in TABS {
                        li { a href=(address) aria-current=[(tab == page.tab).then_some("page")] { (name) } }
                    }
                }
            }
            div.who {
                @if page.is_live { span #live role="status" { "Not live" } }
                span.name { (visit.name) @if !visit.writes { " (read-only)" } }
                form method="post" action="/dashboard/sign-out" { button.quiet { "Sign out" } }
            }
        }
        main #main tabindex="-1" {
            h1 { (page.title) }
            @if let Some(said) = &visit.said { p.said role="status" { (said) } }
            div #content data-live[page.is_live] { (page.main) }
        }
        footer { "Steep " (env!("CARGO_PKG_VERSION")) " · " a href="/dashboard/help" { "What to do" } " · " a href="/docs" { "API" } }
        dialog #confirm aria-labelledby="confirm-text" {
            form method="dialog" {
                p #confirm-text {}
                div.buttons {
                    button value="no" { "Keep as it is" }
                    button.primary value="yes" { "Confirm" }
                }
            }
        }
    };
    (Extension(Shown), whole(StatusCode::OK, page.title, &body, page.media.as_deref())).into_response()
}

/// A page for those who are not signed in.
pub(super) fn outside(title: &str, content: &Markup) -> Response {
    let body = html! {
        header.top { span.brand { (mark()) "Steep" } }
        main.narrow #main { h1 { (title) } (content) }
    };
    whole(StatusCode::OK, title, &body, None)
}

/// What a user who is no admin gets, whatever they ask for.
pub(super) fn closed(problem: &Problem) -> Response {
    let content = html! {
        p.problem role="alert" { (problem.detail()) }
        form method="post" action="/dashboard/sign-out" { button { "Sign out" } }
    };
    (StatusCode::FORBIDDEN, outside("Not for you", &content)).into_response()
}

/// A page for what went wrong before it was known who asks.
pub(super) fn failed(problem: Problem) -> Response {
    let (status, _, title) = problem.kind().row();
    let content = html! { p.problem role="alert" { (problem.detail()) } };
    let (mut parts, _) = problem.into_response().into_parts();
    let (page, body) = (status, outside(title, &content)).into_response().into_parts();
    parts.headers.extend(page.headers);
    Response::from_parts(parts, body)
}

fn mark() -> Markup {
    html! { img src=(assets::addresses()[2]) alt="" width="20" height="20"; }
}

fn whole(status: StatusCode, title: &str, body: &Markup, media: Option<&str>) -> Response {
    let [style, script, icon] = assets::addresses();
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                title { (title) " – Steep" }
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="robots" content="noindex";
                link rel="icon" href=(icon);
                link rel="stylesheet" href=(style);
                script src=(script) defer {}
            }
            body { (body) }
        }
    };
    let media = media.unwrap_or_default();
    // Everything is of this origin, but a picture or video that an asset's address redirects to.
    let policy = format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' {media}; media-src 'self' {media}; \
         connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    );
    let policy = HeaderValue::try_from(policy).unwrap_or(HeaderValue::from_static("default-src 'none'"));
    let headers = [
        (header::CONTENT_SECURITY_POLICY, policy),
        (header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        // With no-referrer, which other answers have, a browser names no origin when it sends a form, and the form would be a
        // stranger's.
        (header::REFERRER_POLICY, HeaderValue::from_static("same-origin")),
    ];
    (status, headers, page.into_string()).into_response()
}

/// When a page was made, for what is told relative to it.
pub(super) fn made_at(now: OffsetDateTime) -> Markup {
    html! { p.made { "As of " (moment(now)) } }
}
