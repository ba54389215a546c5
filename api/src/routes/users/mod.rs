//! Registration, sign-in and what belongs to a user.

pub(crate) mod account;
pub(crate) mod change_password;
pub(crate) mod current;
pub(crate) mod images;
pub(crate) mod login;
pub(crate) mod logout;
pub(crate) mod refresh_token;
pub(crate) mod register;
pub(crate) mod registration;
pub(crate) mod sessions;
pub(crate) mod views;
