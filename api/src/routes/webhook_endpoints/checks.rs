//! What an endpoint may be.

use std::collections::BTreeSet;

use messages::Event;
use outbound::Refusal;

use crate::http::{Problem, ProblemKind};
use crate::state::App;

const MAX_EVENTS: usize = 20;
const MAX_DESCRIPTION: usize = 500;

/// What was sent of an endpoint, as it is stored.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) url: Option<String>,
    pub(crate) events: Option<Vec<String>>,
    pub(crate) description: Option<String>,
}

/// Checks what was sent. The address comes last, as its host is looked up.
pub(crate) async fn check(
    app: &App,
    url: Option<String>,
    events: Option<Vec<String>>,
    description: Option<String>,
) -> Result<Checked, Problem> {
    let events = events.map(wanted).transpose()?;
    let description = description.map(|text| described(&text)).transpose()?;
    let url = match url {
        None => None,
        Some(url) if url.trim().is_empty() => return Err(Problem::invalid("url", "is required")),
        Some(url) => {
            let admitted = app.resolver.admit(&url).await;
            Some(admitted.map_err(refused)?.into())
        }
    };
    Ok(Checked { url, events, description })
}

fn refused(refusal: Refusal) -> Problem {
    match refusal {
        // Nobody has looked at it.
        Refusal::Busy => Problem::new(ProblemKind::Unavailable, format!("url {refusal}; try again")).retry_after(5),
        refusal => Problem::invalid("url", refusal.to_string()),
    }
}

/// Kinds of events, each once.
fn wanted(events: Vec<String>) -> Result<Vec<String>, Problem> {
    if events.is_empty() || events.len() > MAX_EVENTS {
        return Err(Problem::invalid("events", format!("must have 1 to {MAX_EVENTS} entries")));
    }
    let is_known = |event: &String| event == store::ANY_EVENT || Event::KINDS.contains(&event.as_str());
    if !events.iter().all(is_known) {
        let kinds = Event::KINDS.join(", ");
        return Err(Problem::invalid("events", format!("must be some of {kinds}, or * for all of them")));
    }
    Ok(events.into_iter().collect::<BTreeSet<_>>().into_iter().collect())
}

fn described(text: &str) -> Result<String, Problem> {
    let text = text.trim();
    if text.chars().count() > MAX_DESCRIPTION || text.chars().any(char::is_control) {
        let message = format!("must have at most {MAX_DESCRIPTION} characters, and no line breaks");
        return Err(Problem::invalid("description", message));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use axum::http::{StatusCode, header};
    use axum::response::IntoResponse;

    use super::*;

    #[test]
    fn an_address_that_nobody_could_look_up_is_asked_for_again_and_not_refused() {
        let busy = refused(Refusal::Busy).into_response();
        assert_eq!(busy.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(busy.headers().contains_key(header::RETRY_AFTER));
        assert_eq!(refused(Refusal::Unknown).into_response().status(), StatusCode::UNPROCESSABLE_ENTITY);
    }

    #[test]
    fn events_are_kinds_that_there_are_each_once() {
        let owned = |events: &[&str]| events.iter().map(|event| (*event).to_owned()).collect::<Vec<_>>();
        let both = owned(&["media.failed.v1", "media.ready.v1"]);
        let doubled = owned(&["media.ready.v1", "media.failed.v1", "media.ready.v1"]);
        assert_eq!(wanted(doubled).expect("kinds"), both);
        assert_eq!(wanted(owned(&["*"])).expect("all"), ["*"]);
        for refused in [&[][..], &["media.ready"], &["media.*"], &["media.ready.v1", ""], &["*"; 21]] {
            assert!(wanted(owned(refused)).is_err(), "{refused:?}");
        }
    }

    #[test]
    fn a_description_is_a_line() {
        assert_eq!(described("  the shop's ").expect("a line"), "the shop's");
        assert_eq!(described("").expect("none"), "");
        for refused in ["a\nb", "\u{7}bell", &"x".repeat(501)] {
            assert!(described(refused).is_err(), "{refused:.10?}");
        }
    }
}
