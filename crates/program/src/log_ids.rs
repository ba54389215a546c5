//! Lines of the log in JSON that say at their top what they belong to.

use std::fmt;

use serde_json::{Map, Value};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::{Format, Json, JsonFields, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

use crate::telemetry::TraceContext;

/// The library's format, with `trace_id`, `span_id`, `job_id` and `request_id` in front, as far as they are known.
///
/// The ids of a trace are those of the span that is under way. Where none is exported they are those of the trace context that the
/// request or the message came with.
pub(crate) struct WithIds(pub Format<Json>);

impl<S> FormatEvent<S, JsonFields> for WithIds
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, JsonFields>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut line = String::new();
        self.0.format_event(context, Writer::new(&mut line), event)?;
        let ids = ids(context);
        match line.strip_prefix('{') {
            Some(rest) if !ids.is_empty() => {
                let ids = Value::Object(ids).to_string();
                write!(writer, "{},{rest}", ids.trim_end_matches('}'))
            }
            _ => writer.write_str(&line),
        }
    }
}

/// By the spans around an event, of which the innermost counts.
fn ids<S>(context: &FmtContext<'_, S, JsonFields>) -> Map<String, Value>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    let mut ids = Map::new();
    if let Some(trace) = TraceContext::current() {
        note_trace(&mut ids, &trace);
    }
    for span in context.event_scope().into_iter().flatten() {
        let extensions = span.extensions();
        let Some(fields) = extensions.get::<FormattedFields<JsonFields>>() else { continue };
        let Ok(Value::Object(mut fields)) = serde_json::from_str(fields) else { continue };
        if !ids.contains_key("trace_id")
            && let Some(trace) = TraceContext::read(fields.get("traceparent").and_then(Value::as_str), None)
        {
            note_trace(&mut ids, &trace);
        }
        let of_request = if span.name() == "request" { "id" } else { "request_id" };
        for (name, field) in [("job_id", "job.id"), ("request_id", of_request)] {
            if let Some(id) = fields.remove(field) {
                ids.entry(name).or_insert(id);
            }
        }
    }
    ids
}

fn note_trace(ids: &mut Map<String, Value>, trace: &TraceContext) {
    let (trace_id, span_id) = trace.ids();
    ids.insert("trace_id".to_owned(), trace_id.into());
    ids.insert("span_id".to_owned(), span_id.into());
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;
    use crate::log::tests::Shared;

    /// What is logged in a program whose spans nobody exports.
    fn logged(say: impl FnOnce()) -> Vec<Value> {
        let written = Shared::default();
        let to = written.clone();
        let lines = tracing_subscriber::fmt::layer().with_writer(move || to.clone());
        let lines = lines.json().map_event_format(WithIds);
        tracing::subscriber::with_default(tracing_subscriber::registry().with(lines), say);
        let text = String::from_utf8(written.0.lock().expect("no panic").clone()).expect("text");
        text.lines().map(|line| serde_json::from_str(line).expect("an object a line")).collect()
    }

    #[test]
    fn a_line_has_the_ids_of_what_it_belongs_to() {
        let lines = logged(|| {
            tracing::info!("of nothing");
            let traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
            let job = tracing::info_span!("job", job.id = %"a-job", request_id = Some("a \"request\""), traceparent);
            job.in_scope(|| tracing::info!(state = "running", "of a job"));
            let request = tracing::info_span!("request", id = "another", traceparent = tracing::field::Empty);
            request.in_scope(|| tracing::info!("of a request"));
            request.record("traceparent", "00-trace");
            request.in_scope(|| tracing::info!("of a request"));
            request.record("traceparent", traceparent);
            request.in_scope(|| tracing::info!("of a request"));
        });
        let ids = |line: &Value| {
            let id = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
            [id("trace_id"), id("span_id"), id("job_id"), id("request_id")].join(" ")
        };
        let found: Vec<String> = lines.iter().map(ids).collect();
        let trace = "0af7651916cd43dd8448eb211c80319c b7ad6b7169203331";
        let expected =
            ["   ", &format!("{trace} a-job a \"request\""), "   another", "   another", &format!("{trace}  another")];
        assert_eq!(found, expected);
        assert_eq!([&lines[1]["fields"]["state"], &lines[1]["span"]["job.id"]], ["running", "a-job"]);
    }
}
