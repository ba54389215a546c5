//! The log of a program.

use std::borrow::Cow;
use std::env;
use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write, stderr};

use clap::ValueEnum;
use tracing::level_filters::LevelFilter;
use tracing::{Level, Metadata};
use tracing_subscriber::filter::{FilterExt, filter_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt, registry};

use crate::ConfigError;
use crate::log_ids::WithIds;
use crate::telemetry::{SPANS, Traces};
use crate::text::hides;

/// What is logged, and how.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Log")]
pub struct LogArgs {
    /// What to log, as in info,worker=debug
    // The client of RabbitMQ logs every lost connection at length; we say it in one line.
    #[arg(long, env = "RUST_LOG", value_name = "FILTER", default_value = "info,lapin=off")]
    pub log: String,

    /// How to log
    #[arg(long, env = "LOG_FORMAT", value_name = "FORMAT", default_value = "text")]
    pub log_format: LogFormat,
}

/// How to log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl LogArgs {
    /// Logs to standard error from now on, and exports `traces`. Fails for what is no filter, and if this process logs already.
    pub(crate) fn start(&self, traces: Option<&Traces>) -> Result<(), ConfigError> {
        let refused = |cause| ConfigError::new("RUST_LOG", format!("a filter such as info,api=debug, but {cause}"));
        let filter = EnvFilter::try_new(&self.log).map_err(|cause| refused(format!("{:?}: {cause}", self.log)))?;
        // https://no-color.org; and what is not a terminal shows escape codes as they are.
        let colours = stderr().is_terminal() && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let lines = fmt::layer::<Registry>().with_ansi(colours);
        let lines = lines.with_writer(move || OneLine { to: stderr(), colours });
        let lines = match self.log_format {
            LogFormat::Text => lines.boxed(),
            LogFormat::Json => lines.json().map_event_format(WithIds).boxed(),
        };
        // With a hint of its own, so that the other's counts.
        let filter = filter.and(filter_fn(is_for_the_log).with_max_level_hint(LevelFilter::TRACE));
        let mut layers = vec![lines.with_filter(filter).boxed()];
        layers.extend(traces.map(Traces::layer));
        registry().with(layers).try_init().map_err(|cause| refused(cause.to_string()))
    }
}

/// Writes every event in one line, whatever clients, databases and other programs have put into it: nobody but us begins a
/// line, and nothing that [`hides`] is in one. The escapes are those of JSON, which is the other format and knows no others.
#[derive(Debug)]
struct OneLine<W> {
    to: W,
    /// Ours are escape sequences too. The library escapes those of others.
    colours: bool,
}

impl<W: Write> Write for OneLine<W> {
    /// Takes one event: the library writes each at once.
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        self.to.write_all(one_line(&text, self.colours).as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

fn one_line(event: &str, colours: bool) -> Cow<'_, str> {
    let is_harmful = |char: char| match char {
        '\t' => false,
        '\u{1b}' => !colours,
        char => hides(char),
    };
    let (line, end) = event.strip_suffix('\n').map_or((event, ""), |line| (line, "\n"));
    if !line.contains(is_harmful) {
        return Cow::Borrowed(event);
    }
    let mut escaped = String::with_capacity(event.len() + 16);
    for char in line.chars() {
        match char {
            '\n' => escaped.push_str("\\n"),
            '\r' => escaped.push_str("\\r"),
            char if is_harmful(char) => {
                // JSON has no others: of what is beyond 16 bits it takes two.
                for unit in char.encode_utf16(&mut [0; 2]) {
                    let _ = write!(escaped, "\\u{unit:04x}");
                }
            }
            char => escaped.push(char),
        }
    }
    escaped.push_str(end);
    Cow::Owned(escaped)
}

/// The client of RabbitMQ traces every frame byte by byte, and in one of them is the password. No filter shows that, nor what is only
/// for traces.
fn is_for_the_log(metadata: &Metadata<'_>) -> bool {
    let is_wire = ["lapin", "amq_protocol"].iter().any(|name| metadata.target().starts_with(name));
    metadata.target() != SPANS && (!is_wire || *metadata.level() < Level::TRACE)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[test]
    fn an_event_is_one_line_whatever_is_in_it() {
        let written = |event: &str, colours| {
            let mut log = OneLine { to: Vec::new(), colours };
            log.write_all(event.as_bytes()).expect("a vector takes it");
            String::from_utf8(log.to).expect("text")
        };
        for plain in ["", "\n", "a line\n", "\ttabs and é\n", "no end"] {
            assert_eq!(written(plain, false), plain);
        }
        assert_eq!(written("a\nb\r\nc\n", false), "a\\nb\\r\\nc\n");
        assert_eq!(written("a\n\n", false), "a\\n\n");
        assert_eq!(written("\u{202e}\u{2028}\u{9b}\u{feff}\n", true), "\\u202e\\u2028\\u009b\\ufeff\n");
        assert_eq!(written("\u{e0041}\n", false), "\\udb40\\udc41\n");
        assert_eq!(written("\u{1b}[31m\n", true), "\u{1b}[31m\n");
        assert_eq!(written("\u{1b}[31m\n", false), "\\u001b[31m\n");
    }

    /// What the library does with an event: the writer depends on its coming at once.
    #[test]
    fn what_a_client_sent_begins_no_line_of_the_log() {
        let written = Arc::new(Mutex::new(Vec::new()));
        let to = written.clone();
        let log = fmt().with_ansi(false).with_writer(move || OneLine { to: Shared(to.clone()), colours: false });
        let cause = io::Error::other("unknown variant `x`\n2026-11-28T17:00:00Z  INFO a forged line");
        tracing::subscriber::with_default(log.finish(), || {
            tracing::info!(%cause, error = &cause as &dyn std::error::Error, "refused\nforged");
        });
        let written = String::from_utf8(written.lock().expect("no panic").clone()).expect("text");
        assert_eq!(written.lines().count(), 1, "{written}");
        assert!(written.ends_with('\n') && written.contains("\\n2026"), "{written}");
    }

    #[derive(Clone, Default)]
    pub(crate) struct Shared(pub(crate) Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("no panic").write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_is_no_filter_is_refused_by_name() {
        let args = LogArgs { log: "api=loud".to_owned(), log_format: LogFormat::Text };
        let line = args.start(None).expect_err("no such level").to_string();
        assert!(line.starts_with("RUST_LOG: expected a filter") && line.contains("api=loud"), "{line}");
    }
}
