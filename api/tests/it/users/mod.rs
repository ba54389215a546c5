//! Registration, and what belongs to a user.

mod accepting;
mod account;
mod fields;
mod images;
mod passwords;
mod taken;
