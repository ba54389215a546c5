//! Stored counts.

use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};

use crate::http::Problem;
use crate::pages::entry::Visit;
use crate::pages::layout::{Action, Tab, figure, made_at, maybe_moment, moment, number, span};
use crate::routes::admin::fleet::counters::{self, CountersView};
use crate::state::App;

pub(super) async fn page(State(app): State<App>, visit: Visit) -> Result<Response, Problem> {
    let view = counters::load(&app).await?;
    let action = Action {
        path: "/dashboard/channels/reconcile",
        label: "Compare a channel now",
        question: "Count this channel anew, and mend what is stored if it is wrong?",
        fields: &[],
        is_grave: false,
    };
    let main = html! {
        (figures(&view))
        div.columns {
            section.card aria-labelledby="compared" { h2 #compared { "Compared with recounts" } (compared(&view)) }
            section.card aria-labelledby="drift" { h2 #drift { "Last drift" } (drift(&view)) }
        }
        @if visit.writes {
            h2 { "Reconcile" }
            (action.button_with(&visit, &html! {
                label { "Channel (username)" input name="name" required maxlength="200" autocomplete="off"; }
            }))
        }
        @if let Some(at) = view.counted_at { (made_at(at)) }
    };
    Ok(visit.live_page(Tab::Counters, "Counters", main))
}

fn figures(view: &CountersView) -> Markup {
    let unknown = || "unknown".to_owned();
    html! {
        dl.figures {
            (figure("Channels not counted", &view.dirty.map_or_else(unknown, number), Some("with changes that are in no stored count")))
            (figure("Lag", &view.lag_seconds.map_or_else(|| "none".to_owned(), |seconds| span(seconds * 1000)), Some("of the oldest change")))
            (figure("Drifted ever", &number(view.drifted_ever), Some(&format!("of {} compared", number(view.checked_ever)))))
        }
    }
}

fn compared(view: &CountersView) -> Markup {
    html! {
        dl.facts {
            dt { "Last time" } dd { (maybe_moment(view.reconciled_at)) }
            dt { "Compared then" } dd { (number(view.checked)) }
            dt { "Of those wrong, and mended" } dd { (number(view.drifted)) }
        }
    }
}

fn drift(view: &CountersView) -> Markup {
    let Some(drift) = &view.last_drift else { return html! { p.empty { "No stored count was ever wrong." } } };
    html! {
        dl.facts {
            dt { "When" } dd { (moment(drift.at)) }
            dt { "Count" } dd { code { (drift.key) } }
            dt { "Channel" } dd { (drift.title) }
            dt { "Stored" } dd { (drift.stored) }
            dt { "Counted" } dd { (drift.counted) }
        }
    }
}
