//! Where in a list a request wants to be, by its query.

use std::collections::BTreeSet;

use url::form_urlencoded;

use super::problem::Problem;

/// A number of at least 1; an empty value is none.
pub(crate) fn number(query: &str, field: &'static str, default: u64) -> Result<u64, Problem> {
    let value = text(query, field)?;
    match value.trim() {
        "" => Ok(default),
        text => text
            .parse()
            .ok()
            .filter(|number| *number > 0)
            .ok_or_else(|| Problem::invalid(field, "must be a number of at least 1")),
    }
}

/// The `nextCursor` of the page before, as the list reads it; an empty value is none.
pub(crate) fn cursor<T>(query: &str, read: impl FnOnce(&str) -> Option<T>) -> Result<Option<T>, Problem> {
    let value = text(query, "cursor")?;
    if value.is_empty() {
        return Ok(None);
    }
    read(&value).map(Some).ok_or_else(|| Problem::invalid("cursor", "must be a nextCursor of this list"))
}

/// All values of a field that may be sent several times, and hold several values with commas between them; an empty one is none.
/// `expected`: what each must be.
pub(crate) fn values<T: Ord>(
    query: &str,
    field: &'static str,
    read: impl Fn(&str) -> Option<T>,
    expected: impl Fn() -> String,
) -> Result<BTreeSet<T>, Problem> {
    let mut values = BTreeSet::new();
    for (_, list) in form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name == field) {
        for text in list.split(',').map(str::trim).filter(|text| !text.is_empty()) {
            let value = read(text).ok_or_else(|| Problem::invalid(field, format!("must be {}", expected())))?;
            values.insert(value);
        }
    }
    Ok(values)
}

/// What a query says for a field; nothing if it says nothing.
pub(crate) fn text(query: &str, field: &'static str) -> Result<String, Problem> {
    let mut values = form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name == field);
    let value = values.next().map(|(_, value)| value.into_owned()).unwrap_or_default();
    match values.next() {
        Some(_) => Err(Problem::invalid(field, "was sent twice")),
        None => Ok(value),
    }
}
