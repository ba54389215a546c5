//! Users as others see them.

pub(crate) mod handlers;
pub(crate) mod views;
