//! One line for a wrong setting, instead of clap's paragraph: it names the variable, since settings come from the environment.

use clap::CommandFactory;
use clap::error::{ContextKind, ContextValue, ErrorKind};

/// What is wrong with the settings, in one line.
pub(crate) fn explain<A: CommandFactory>(error: &clap::Error) -> String {
    let reason = reason(error);
    let Some(ContextValue::String(argument)) = error.get(ContextKind::InvalidArg) else {
        return first_line(&error.to_string());
    };
    let mut command = A::command();
    // Arguments have no printable form before.
    command.build();
    let Some(known) = command.get_arguments().find(|known| known.to_string() == *argument) else {
        return first_line(&error.to_string());
    };
    let name = match known.get_env() {
        Some(variable) => variable.to_string_lossy().into_owned(),
        None => argument.clone(),
    };
    let value = match error.get(ContextKind::InvalidValue) {
        Some(ContextValue::String(value)) if !known.is_hide_env_values_set() => format!(", not {value:?}"),
        _ => String::new(),
    };
    format!("{name}: {reason}{value}")
}

fn reason(error: &clap::Error) -> String {
    if let (ErrorKind::InvalidValue, Some(ContextValue::Strings(allowed))) =
        (error.kind(), error.get(ContextKind::ValidValue))
    {
        return format!("expected {}", allowed.join(" or "));
    }
    match std::error::Error::source(error) {
        Some(source) if source.to_string().starts_with("expected") => first_line(&source.to_string()),
        Some(source) => format!("expected another value: {}", first_line(&source.to_string())),
        None => "expected a value".to_owned(),
    }
}

fn first_line(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    line.trim_start_matches("error: ").to_owned()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use crate::config::Args;

    #[test]
    fn a_value_that_cannot_be_read_is_explained_in_one_line_that_names_the_variable() {
        for (argument, variable) in [
            ("--port=http", "PORT"),
            ("--port=70000", "PORT"),
            ("--host=x", "HOST"),
            ("--steep-env=staging", "STEEP_ENV"),
            ("--access-token-expiry=soon", "ACCESS_TOKEN_EXPIRY"),
            ("--avatar-max-bytes=10MB", "AVATAR_MAX_BYTES"),
            ("--spool-id=A_B", "SPOOL_ID"),
            ("--rabbitmq-heartbeat=0", "RABBITMQ_HEARTBEAT"),
        ] {
            let error = Args::try_parse_from(["api", argument]).expect_err(argument);
            let line = super::explain::<Args>(&error);
            assert!(line.starts_with(&format!("{variable}: expected")), "{argument}: {line}");
            assert!(!line.contains('\n'), "{argument}: {line}");
        }
    }
}
