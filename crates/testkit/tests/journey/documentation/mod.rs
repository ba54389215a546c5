//! The pages in docs/ and the one that the api serves say what is so.

mod browser;
mod contracts;
mod examples;
mod links;
mod settings;
