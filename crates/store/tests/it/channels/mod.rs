//! Channels: profiles and subscriptions.

mod look_ups;
mod subscriptions;
