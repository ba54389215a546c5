//! The client as its users see it.

mod signature;
