//! Registration, sign-in and what belongs to a user.

mod account;
mod change_password;
mod images;
pub(crate) mod login;
mod register;
mod registration;
pub(crate) mod sessions;
pub(crate) mod views;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::openapi;
use crate::state::App;

pub(crate) fn router() -> OpenApiRouter<App> {
    let routes = OpenApiRouter::new()
        .routes(routes!(register::register))
        .routes(routes!(login::login))
        .routes(routes!(sessions::logout))
        .routes(routes!(login::refresh_token))
        .routes(routes!(change_password::change_password))
        .routes(routes!(account::update_account))
        .routes(routes!(sessions::list))
        .routes(routes!(sessions::end))
        .routes(routes!(account::current_user))
        .routes(routes!(images::replace_avatar))
        .routes(routes!(images::replace_cover_image));
    openapi::tagged("users", "Registration, sign-in and what belongs to a user", routes)
}
