//! `/dashboard`: the pages of operators, made here and complete in themselves.
//!
//! A page asks nobody but us: its style and its script are in this program, so it works without any other network. What it
//! shows it takes from the same functions as `/api/v1/admin`, and what its forms do is what the API does. Nothing is shown to
//! whom [the entry](entry) does not let in. Without the script everything works but live updates and "3 min ago".
//!
//! They are no part of the API, so its document does not list them.

mod assets;
mod audit;
mod entry;
mod errors;
mod fleet;
mod help;
mod jobs;
mod layout;
mod live;

use axum::http::Method;
use axum::routing::{any, get, post};
use axum::{Router, middleware};

use crate::http::{Problem, ProblemKind};
use crate::state::App;
use entry::{Gate, sign_in};

/// Where the pages are.
const ROOT: &str = "/dashboard";

/// All pages. What is behind the gate answers nobody but admins, whatever is asked for and by which method.
pub(crate) fn router(app: &App) -> Router<App> {
    let gate = Gate::new(app.clone());
    let behind = Router::new()
        .merge(fleet::router())
        .merge(jobs::router())
        .route("/dashboard/errors", get(errors::page))
        .route("/dashboard/audit", get(audit::page))
        .route("/dashboard/help", get(help::page))
        .route("/dashboard/live", get(live::stream))
        .route("/dashboard/{*rest}", any(not_found))
        .method_not_allowed_fallback(not_found)
        .layer(middleware::from_fn_with_state(gate, entry::pass));
    Router::new()
        .route("/dashboard/sign-in", get(sign_in::form).post(sign_in::sign_in))
        .route("/dashboard/sign-out", post(sign_in::sign_out))
        .route("/dashboard/assets/{name}", get(assets::file))
        .merge(behind)
}

async fn not_found(method: Method) -> Problem {
    Problem::new(ProblemKind::NotFound, format!("there is no such page for {method}"))
}
