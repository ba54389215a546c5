//! Small things that pages show: times, sizes, states, tables.

use maud::{Markup, html};
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

const MACHINE: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
const PERSON: &[BorrowedFormatItem<'_>] = format_description!("[year]-[month]-[day] [hour]:[minute]:[second]");

/// A time in UTC. The script adds how long ago it is.
pub(in crate::pages) fn moment(at: OffsetDateTime) -> Markup {
    let at = at.to_offset(time::UtcOffset::UTC);
    let (machine, person) = (at.format(MACHINE).unwrap_or_default(), at.format(PERSON).unwrap_or_default());
    html! { time datetime=(machine) { (person) " UTC" } }
}

pub(in crate::pages) fn maybe_moment(at: Option<OffsetDateTime>) -> Markup {
    at.map_or_else(none, moment)
}

/// What stands where there is nothing.
pub(in crate::pages) fn none() -> Markup {
    html! { span.none { "–" } }
}

pub(in crate::pages) fn maybe<T: std::fmt::Display>(value: Option<T>) -> Markup {
    match value {
        Some(value) => html! { (value.to_string()) },
        None => none(),
    }
}

/// Bytes in units of 1000, as disks are sold.
pub(in crate::pages) fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    if count < 1000 {
        return format!("{count} B");
    }
    let (mut value, mut unit) = (count as f64 / 1000.0, 0);
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    let digits = usize::from(value < 10.0);
    format!("{value:.digits$} {}", UNITS[unit])
}

/// A whole number with its thousands apart.
pub(in crate::pages) fn number(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() * 2);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// A length of time, in the two largest units that it has.
pub(in crate::pages) fn span(milliseconds: u64) -> String {
    let seconds = milliseconds / 1000;
    match seconds {
        0 => format!("{milliseconds} ms"),
        1..=9 => format!("{}.{} s", seconds, milliseconds % 1000 / 100),
        10..=59 => format!("{seconds} s"),
        60..=3_599 => format!("{} min {} s", seconds / 60, seconds % 60),
        3_600..=86_399 => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

pub(in crate::pages) fn between(from: OffsetDateTime, to: OffsetDateTime) -> String {
    span(u64::try_from((to - from).whole_milliseconds()).unwrap_or_default())
}

/// How something stands. Shape and word tell it beside the colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::pages) enum Tone {
    Good,
    Busy,
    Waiting,
    Bad,
    Quiet,
}

pub(in crate::pages) fn badge(tone: Tone, text: &str) -> Markup {
    let (class, shape) = match tone {
        Tone::Good => ("good", "●"),
        Tone::Busy => ("busy", "▶"),
        Tone::Waiting => ("waiting", "◌"),
        Tone::Bad => ("bad", "▲"),
        Tone::Quiet => ("quiet", "■"),
    };
    html! { span.badge.(class) { span.shape aria-hidden="true" { (shape) } (text) } }
}

/// The state of a job, or what an attempt came to.
pub(in crate::pages) fn state(state: &str) -> Markup {
    let tone = match state {
        "completed" | "delivered" | "ready" | "enabled" | "done" => Tone::Good,
        "running" | "begun" => Tone::Busy,
        "pending" | "queued" | "retryable" | "retry" | "released" | "waiting" => Tone::Waiting,
        "discarded" | "crashed" | "operator" | "failed" | "vanished" => Tone::Bad,
        _ => Tone::Quiet,
    };
    badge(tone, state)
}

/// An id: short enough to read, whole for who selects it.
pub(in crate::pages) fn id(id: &str) -> Markup {
    html! { code.id { (id) } }
}

/// What an id names, with a link to its page if it has one.
pub(in crate::pages) fn target(kind: &str, name: &str) -> Markup {
    match kind {
        "job" => html! { a href={ "/dashboard/jobs/" (name) } { (id(name)) } },
        "user" => html! { a href=(address("/dashboard/jobs", &[("user", name)])) { (id(name)) } },
        _ => id(name),
    }
}

/// A table that may be wider than the screen: it scrolls in a place of its own, which the keyboard reaches.
pub(in crate::pages) fn scrolling(name: &str, table: &Markup) -> Markup {
    html! { div.scroll role="region" aria-label=(name) tabindex="0" { (table) } }
}

/// A figure with its name.
pub(in crate::pages) fn figure(name: &str, value: &str, more: Option<&str>) -> Markup {
    html! {
        div.figure {
            dt { (name) }
            dd { (value) @if let Some(more) = more { small { (more) } } }
        }
    }
}

/// The link to what comes after, if there is more.
pub(in crate::pages) fn older(address: Option<&str>) -> Markup {
    html! { @if let Some(address) = address { nav.paging aria-label="Paging" { a rel="next" href=(address) { "Older →" } } } }
}

/// An address of ours with these parameters, but for those that are empty.
pub(in crate::pages) fn address(path: &str, parameters: &[(&str, &str)]) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in parameters.iter().filter(|(_, value)| !value.is_empty()) {
        query.append_pair(name, value);
    }
    let query = query.finish();
    if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short_enough_to_read() {
        for (count, text) in [(0, "0 B"), (999, "999 B"), (1_000, "1.0 kB"), (999_900, "1.0 MB"), (25_300_000, "25 MB")]
        {
            assert_eq!(bytes(count), text);
        }
        assert_eq!(number(5_000_000), "5\u{202f}000\u{202f}000");
        assert_eq!([number(0), number(999)], ["0", "999"]);
        for (ms, text) in
            [(12, "12 ms"), (1_250, "1.2 s"), (59_999, "59 s"), (61_000, "1 min 1 s"), (90_000_000, "1 d 1 h")]
        {
            assert_eq!(span(ms), text);
        }
    }

    #[test]
    fn a_time_is_utc_for_people_and_for_programs() {
        let at = time::macros::datetime!(2026-03-01 12:00:00.5 +02:00);
        assert_eq!(
            moment(at).into_string(),
            "<time datetime=\"2026-03-01T10:00:00.500Z\">2026-03-01 10:00:00 UTC</time>"
        );
    }
}
