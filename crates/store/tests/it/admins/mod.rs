//! Admins and what they did.

mod audit;
mod roles;
