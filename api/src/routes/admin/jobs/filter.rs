//! Which jobs a request is about.

use std::collections::BTreeSet;

use messages::{Job, UserId};
use store::{ErrorGroupId, JobState, Search};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::http::Problem;
use crate::http::page::{text, values};
use crate::state::App;

/// What a filter may be given by.
pub(crate) const FIELDS: [&str; 9] = ["state", "kind", "queue", "user", "errorGroup", "worker", "asset", "from", "to"];
/// Characters of the longest name of a queue, a worker or a user.
const LONGEST: usize = 200;

/// What a query asks for; all jobs, if that is nothing.
pub(crate) async fn read(app: &App, query: &str) -> Result<Search, Problem> {
    let state = |text: &str| JobState::ALL.into_iter().find(|state| state.as_str() == text);
    let kind = |text: &str| Job::KINDS.iter().find(|kind| **kind == text).map(|kind| (*kind).to_owned());
    let states = values(query, "state", state, || one_of(&JobState::ALL.map(JobState::as_str)))?;
    let kinds: BTreeSet<String> = values(query, "kind", kind, || one_of(Job::KINDS))?;
    let search = Search {
        states,
        kinds,
        queue: name(query, "queue")?,
        owner: owner(app, query).await?,
        error_group: parsed(query, "errorGroup", |text| text.parse::<ErrorGroupId>().ok(), "16 hexadecimal digits")?,
        worker: name(query, "worker")?,
        asset: parsed(query, "asset", |text| text.parse().ok(), "24 hexadecimal digits")?,
        from: time(query, "from")?,
        until: time(query, "to")?,
    };
    if let (Some(from), Some(until)) = (search.from, search.until)
        && from >= until
    {
        return Err(Problem::invalid("to", "must be later than from"));
    }
    Ok(search)
}

/// Refuses what no filter and none of these is: a filter that is misspelt would find what nobody asks for.
pub(crate) fn only(query: &str, others: &[&'static str]) -> Result<(), Problem> {
    for (name, _) in url::form_urlencoded::parse(query.as_bytes()) {
        if !FIELDS.contains(&name.as_ref()) && !others.contains(&name.as_ref()) {
            let name: String = name.chars().take(LONGEST).collect();
            return Err(Problem::invalid(name, "is no filter"));
        }
    }
    Ok(())
}

/// By id or by name.
async fn owner(app: &App, query: &str) -> Result<Option<UserId>, Problem> {
    let Some(name) = name(query, "user")? else { return Ok(None) };
    if let Ok(id) = name.parse::<UserId>() {
        return Ok(Some(id));
    }
    let found = app.store.users().by_name(&name).await?;
    found.map(Some).ok_or_else(|| Problem::invalid("user", "must be the id or the name of a user"))
}

fn name(query: &str, field: &'static str) -> Result<Option<String>, Problem> {
    let is_name = |text: &str| text.chars().count() <= LONGEST && !text.chars().any(char::is_control);
    parsed(query, field, |text| is_name(text).then(|| text.to_owned()), "a name of at most 200 characters")
}

fn time(query: &str, field: &'static str) -> Result<Option<OffsetDateTime>, Problem> {
    let time = |text: &str| {
        // A plus sign that nobody has escaped arrives as a space.
        let read = OffsetDateTime::parse(&text.replace(' ', "+"), &Rfc3339).ok()?;
        (0..=9999).contains(&read.to_offset(time::UtcOffset::UTC).year()).then_some(read)
    };
    parsed(query, field, time, "a time such as 2026-01-02T03:04:05Z")
}

/// A value that is sent once at most; an empty one is none.
fn parsed<T>(
    query: &str,
    field: &'static str,
    read: impl FnOnce(&str) -> Option<T>,
    expected: &str,
) -> Result<Option<T>, Problem> {
    let value = text(query, field)?;
    match value.trim() {
        "" => Ok(None),
        text => read(text).map(Some).ok_or_else(|| Problem::invalid(field, format!("must be {expected}"))),
    }
}

fn one_of(names: &[&str]) -> String {
    format!("one of {}", names.join(", "))
}
