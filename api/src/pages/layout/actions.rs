//! Buttons that change things.
//!
//! Each is a form, which the script sends only once its question was answered with yes. Without the script the handler asks, by a
//! page of its own: it does nothing without the field `confirmed`.

use axum::response::Response;
use maud::{Markup, html};

use super::Tab;
use crate::pages::entry::Visit;

/// A button with its question.
#[derive(Debug, Clone)]
pub(in crate::pages) struct Action<'a> {
    pub(in crate::pages) path: &'a str,
    /// On the button.
    pub(in crate::pages) label: &'a str,
    /// What is asked before.
    pub(in crate::pages) question: &'a str,
    pub(in crate::pages) fields: &'a [(&'a str, &'a str)],
    /// Whether it destroys something.
    pub(in crate::pages) is_grave: bool,
}

impl Action<'_> {
    /// The button; nothing for those who may not press it.
    pub(in crate::pages) fn button(&self, visit: &Visit) -> Markup {
        self.button_with(visit, &html! {})
    }

    /// With fields that the operator fills in.
    pub(in crate::pages) fn button_with(&self, visit: &Visit, inputs: &Markup) -> Markup {
        html! {
            @if visit.writes {
                form.action method="post" action=(self.path) data-confirm=(self.question) {
                    (hidden(self.fields))
                    (hidden(&[("question", self.question)]))
                    (inputs)
                    button.grave[self.is_grave] { (self.label) }
                }
            }
        }
    }
}

fn hidden(fields: &[(&str, &str)]) -> Markup {
    html! { @for (name, value) in fields { input type="hidden" name=(name) value=(value); } }
}

/// The page that asks where the script did not. `fields` are those that were sent.
pub(in crate::pages) fn confirmation(visit: &Visit, tab: Tab, path: &str, fields: &[(String, String)]) -> Response {
    let asked = fields.iter().find(|(name, _)| name == "question").map(|(_, value)| value.as_str());
    let kept: Vec<(&str, &str)> = fields
        .iter()
        .filter(|(name, _)| name != "question" && name != "confirmed")
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let main = html! {
        form.confirmation method="post" action=(path) {
            p { (asked.unwrap_or("Do this?")) }
            (hidden(&kept))
            (hidden(&[("confirmed", "yes")]))
            div.buttons { a.button href="/dashboard" { "Keep as it is" } button.primary { "Confirm" } }
        }
    };
    visit.page(tab, "Are you sure?", main)
}
