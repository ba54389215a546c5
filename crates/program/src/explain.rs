//! One line for a wrong setting, instead of clap's paragraph: it names the variable, since settings come from the environment.

use clap::CommandFactory;
use clap::error::{ContextKind, ContextValue, ErrorKind};

/// What is wrong with the arguments of `A` or the variables in their place, in one line. A value is repeated unless its argument
/// hides it.
pub fn explain<A: CommandFactory>(error: &clap::Error) -> String {
    let reason = reason(error);
    if let (ErrorKind::MissingRequiredArgument, Some(ContextValue::Strings(missing))) =
        (error.kind(), error.get(ContextKind::InvalidArg))
    {
        return format!("expected {}", missing.join(" "));
    }
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
        && !allowed.is_empty()
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
    use clap::error::ErrorKind;

    use super::explain;

    #[derive(Debug, Parser)]
    struct Args {
        #[arg(long, env = "TEST_PORT", value_parser = port)]
        port: Option<u16>,
        #[arg(long, env = "TEST_ACCOUNT", hide_env_values = true, value_delimiter = ',', value_parser = account)]
        account: Vec<String>,
        #[arg(long, value_parser = ["one", "two"])]
        only_a_flag: Option<String>,
        #[command(subcommand)]
        command: Option<Command>,
    }

    #[derive(Debug, clap::Subcommand)]
    enum Command {
        Show {
            #[arg(value_name = "ID")]
            id: String,
        },
    }

    fn port(text: &str) -> Result<u16, &'static str> {
        text.parse().map_err(|_| "expected a port")
    }

    fn account(_: &str) -> Result<String, String> {
        Err("a key that is shorter".to_owned())
    }

    #[test]
    fn what_is_wrong_takes_one_line_that_names_the_variable_and_tells_no_secret() {
        let error = Args::try_parse_from(["program", "show"]).expect_err("show what?");
        assert_eq!(explain::<Args>(&error), "expected <ID>");
        for (argument, expected) in [
            ("--port=http", "TEST_PORT: expected a port, not \"http\""),
            ("--port", "TEST_PORT: expected a value, not \"\""),
            ("--account=fine,s3cret", "TEST_ACCOUNT: expected another value: a key that is shorter"),
            ("--only-a-flag=three", "--only-a-flag <ONLY_A_FLAG>: expected one or two, not \"three\""),
            ("--prot=1", "unexpected argument '--prot' found"),
        ] {
            let error = Args::try_parse_from(["program", argument]).expect_err(argument);
            assert_ne!(error.kind(), ErrorKind::DisplayHelp);
            assert_eq!(explain::<Args>(&error), expected);
        }
    }
}
