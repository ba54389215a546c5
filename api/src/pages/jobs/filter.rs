//! The form that says which jobs are wanted.

use maud::{Markup, html};
use messages::Job;
use store::JobState;
use url::form_urlencoded::Serializer;

use crate::pages::entry::Visit;
use crate::pages::layout::address;
use crate::routes::admin::jobs::filter::FIELDS;

/// What was asked for, without what is empty: a form sends all of its fields.
#[derive(Debug)]
pub(super) struct Asked {
    fields: Vec<(&'static str, String)>,
    cursor: String,
}

impl Asked {
    pub(super) fn of(visit: &Visit) -> Self {
        let fields = FIELDS.into_iter().map(|field| (field, given(field, visit.parameter(field).trim())));
        Self { fields: fields.filter(|(_, value)| !value.is_empty()).collect(), cursor: visit.parameter("cursor") }
    }

    fn value(&self, field: &str) -> &str {
        self.fields.iter().find(|(name, _)| *name == field).map_or("", |(_, value)| value)
    }

    /// The filter alone, as a query.
    pub(super) fn filter(&self) -> String {
        Serializer::new(String::new()).extend_pairs(&self.fields).finish()
    }

    /// With the place in the list.
    pub(super) fn page(&self) -> String {
        let mut query = Serializer::new(String::new());
        query.extend_pairs(&self.fields);
        if !self.cursor.is_empty() {
            query.append_pair("cursor", &self.cursor);
        }
        query.finish()
    }

    /// The address of another part of the list.
    pub(super) fn address(&self, cursor: &str) -> String {
        let fields = self.fields.iter().map(|(name, value)| (*name, value.as_str()));
        address("/dashboard/jobs", &fields.chain([("cursor", cursor)]).collect::<Vec<_>>())
    }
}

/// A field's value as lists read it: browsers write times without seconds and zone.
fn given(field: &str, value: &str) -> String {
    match (field, value.len()) {
        ("from" | "to", 16) => format!("{value}:00Z"),
        ("from" | "to", 19) => format!("{value}Z"),
        _ => value.to_owned(),
    }
}

/// Looks up an id or a name.
pub(super) fn search_box(asked: &str) -> Markup {
    html! {
        search {
            form.actions method="get" action="/dashboard/jobs/search" {
                label.find {
                    span { "Find by id or name" }
                    input type="search" name="q" value=(asked) required maxlength="200" placeholder="job, asset, user or error group";
                }
                button { "Find" }
            }
        }
    }
}

pub(super) fn form(asked: &Asked) -> Markup {
    let text = |name: &str, label: &str| {
        html! { label { (label) input name=(name) value=(asked.value(name)) autocomplete="off"; } }
    };
    let time = |name: &str, label: &str| {
        let value = asked.value(name).trim_end_matches('Z');
        html! { label { (label) input type="datetime-local" step="1" name=(name) value=(value); } }
    };
    html! {
        form.filter method="get" action="/dashboard/jobs" aria-label="Filter" {
            (choice("state", "State", &JobState::ALL.map(JobState::as_str), asked.value("state")))
            (choice("kind", "Kind", Job::KINDS, asked.value("kind")))
            (text("queue", "Queue"))
            (text("user", "User (name or id)"))
            (text("worker", "Worker"))
            (text("asset", "Asset"))
            (text("errorGroup", "Error group"))
            (time("from", "From (UTC)"))
            (time("to", "Before (UTC)"))
            div.buttons { button.primary { "Show" } a.button href="/dashboard/jobs" { "Clear" } }
        }
    }
}

pub(in crate::pages) fn choice(name: &str, label: &str, values: &[&str], chosen: &str) -> Markup {
    html! {
        label {
            (label)
            select name=(name) {
                option value="" { "any" }
                @for value in values { option value=(value) selected[*value == chosen] { (value) } }
                @if !chosen.is_empty() && !values.contains(&chosen) { option value=(chosen) selected { (chosen) } }
            }
        }
    }
}
