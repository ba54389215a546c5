//! Settings that cannot work: the program says so in one line and ends.

use std::path::Path;
use std::process::{Command, Output};

const SECRET: (&str, &str) = ("ACCESS_TOKEN_SECRET", "0123456789abcdef0123456789abcdef");
const REFRESH: (&str, &str) = ("REFRESH_TOKEN_SECRET", "fedcba9876543210fedcba9876543210");
const MONGODB: (&str, &str) = ("MONGODB_URI", "mongodb://127.0.0.1:1/?replicaSet=rs0");

/// Runs the program in a folder with nothing but these variables.
fn run(folder: &Path, variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_api"));
    command.current_dir(folder).env_clear().env("PORT", "0").envs(variables.iter().copied());
    command.output().expect("the program runs")
}

/// Fails unless the program ended at once with one line that begins with the variable's name, and printed no secret.
fn assert_refuses(variables: &[(&str, &str)], variable: &str) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let output = run(folder.path(), variables);
    let line = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.status.code(), Some(2), "{line}");
    assert_eq!(line.lines().count(), 1, "{line}");
    assert!(line.starts_with(&format!("api: {variable}: expected ")), "{line}");
    assert_eq!(output.stdout, b"");
    for (name, value) in variables.iter().filter(|(name, _)| name.contains("SECRET")) {
        assert!(value.is_empty() || !line.contains(value), "{name} is repeated: {line}");
    }
    line
}

#[test]
fn outside_development_there_is_no_secret_but_ones_own() {
    for (variable, other) in [("ACCESS_TOKEN_SECRET", REFRESH), ("REFRESH_TOKEN_SECRET", SECRET)] {
        assert_refuses(&[MONGODB, other], variable);
        assert_refuses(&[MONGODB, other, (variable, "")], variable);
        assert_refuses(&[MONGODB, other, (variable, "short")], variable);
        assert_refuses(&[MONGODB, other, (variable, "0123456789abcdef0123456789abcde")], variable);
        // Long enough, and no secret.
        for guessed in [" ".repeat(40), "a".repeat(32), "abc".repeat(20), format!("{}my-secret", " ".repeat(40))] {
            assert_refuses(&[MONGODB, other, (variable, &guessed)], variable);
        }
        for known in ["only-for-development-0123456789abcdef", "only-for-development-fedcba9876543210"] {
            assert_refuses(&[MONGODB, other, (variable, known)], variable);
        }
        // A short one is a mistake anywhere.
        assert_refuses(&[("STEEP_ENV", "development"), (variable, "short")], variable);
    }
    // So is a short one that is on its way out; an empty one is none.
    for variable in ["ACCESS_TOKEN_SECRET_PREVIOUS", "REFRESH_TOKEN_SECRET_PREVIOUS"] {
        assert_refuses(&[MONGODB, SECRET, REFRESH, (variable, "short")], variable);
        assert_refuses(&[MONGODB, SECRET, REFRESH, (variable, ""), ("SPOOL_ID", "")], "SPOOL_ID");
    }
}

#[test]
fn each_kind_of_token_has_a_secret_of_its_own() {
    let (access, another) = (SECRET.1, "an-older-secret-of-32-bytes-0123456789");
    assert_refuses(&[MONGODB, SECRET, ("REFRESH_TOKEN_SECRET", access)], "REFRESH_TOKEN_SECRET");
    assert_refuses(
        &[MONGODB, SECRET, REFRESH, ("REFRESH_TOKEN_SECRET_PREVIOUS", access)],
        "REFRESH_TOKEN_SECRET_PREVIOUS",
    );
    let before = ("ACCESS_TOKEN_SECRET_PREVIOUS", another);
    assert_refuses(&[MONGODB, SECRET, before, ("REFRESH_TOKEN_SECRET", another)], "REFRESH_TOKEN_SECRET");
    // In development too.
    let development = ("STEEP_ENV", "development");
    assert_refuses(&[development, SECRET, ("REFRESH_TOKEN_SECRET", access)], "REFRESH_TOKEN_SECRET");
    // None is not the same as none.
    let none = [("ACCESS_TOKEN_SECRET_PREVIOUS", ""), ("REFRESH_TOKEN_SECRET_PREVIOUS", "")];
    assert_refuses(&[MONGODB, SECRET, REFRESH, none[0], none[1], ("SPOOL_DIR", "/dev/null")], "SPOOL_DIR");
}

#[test]
fn a_malformed_value_is_named_by_its_variable() {
    assert_refuses(&[SECRET, REFRESH], "MONGODB_URI");
    for (variable, values) in [
        ("MONGODB_URI", &["localhost", "http://127.0.0.1", "mongodb://user:sec@ret@host"][..]),
        ("RABBITMQ_URL", &["localhost", "http://guest:hidden@127.0.0.1", "amqp://"][..]),
        ("PUBLIC_URL", &["api.example.com", "ftp://x", "https://x/?a=b", "https://*.example.com"][..]),
        (
            "CORS_ORIGIN",
            &["app.example.com", "https://a.example.com,nonsense", "https://*.example.com", "http://*"][..],
        ),
        ("PORT", &["http", "70000", "-1"][..]),
        ("HOST", &["nowhere", "127.0.0.1:80"][..]),
        ("ACCESS_TOKEN_EXPIRY", &["soon", "0s", "-1d"][..]),
        ("REFRESH_TOKEN_EXPIRY", &["10 fortnights", "0s"][..]),
        ("REFRESH_TOKEN_GRACE", &["a moment", "-1s"][..]),
        ("SESSION_MAX_AGE", &["0", "long"][..]),
        ("LOGIN_LIMIT_ADDRESS", &["many", "10", "0/1m", "10/0s"][..]),
        ("LOGIN_LIMIT_ACCOUNT", &["none"][..]),
        ("LOGIN_LIMIT_STRANGERS", &["10/soon"][..]),
        ("LOGIN_REFUSAL_TIME", &["at once", "-1s"][..]),
        ("REGISTER_LIMIT_ADDRESS", &["-1/1h"][..]),
        ("TRUSTED_PROXIES", &["proxy.example.com", "10.0.0.0/33", "*"][..]),
        ("SHUTDOWN_TIMEOUT", &["never"][..]),
        ("AVATAR_MAX_BYTES", &["10MB", "-1"][..]),
        ("MAX_CONNECTIONS", &["0", "many"][..]),
        ("MAX_CONNECTIONS_ADDRESS", &["0"][..]),
        ("RESPONSE_IDLE_TIMEOUT", &["0s"][..]),
        ("PASSWORD_THREADS", &["0"][..]),
        ("UPLOAD_IDLE_TIMEOUT", &["1 fortnight"][..]),
        ("SPOOL_ID", &["Not An Id", ""][..]),
        ("CLOUDINARY_URL", &["https://key:hidden@cloud", "cloudinary://key:hid den@cloud", "cloud"][..]),
        ("COOKIE_SAME_SITE", &["off", "none"][..]),
        ("REQUEST_HEAD_TIMEOUT", &["0s", "soon"][..]),
        ("STEEP_ENV", &["testing"][..]),
    ] {
        for value in values {
            let variables = [SECRET, REFRESH, MONGODB, (variable, value)];
            let line = assert_refuses(&variables, variable);
            assert!(!line.contains("sec@ret") && !line.contains("hidden"), "{line}");
        }
    }
}

#[test]
fn a_spool_that_cannot_be_written_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("a-file");
    std::fs::write(&file, "").expect("written");
    for spool in [file.clone(), file.join("below"), "/proc/spool".into(), "/dev/null".into()] {
        assert_refuses(&[SECRET, REFRESH, MONGODB, ("SPOOL_DIR", &spool.display().to_string())], "SPOOL_DIR");
    }
}

#[test]
fn a_port_that_somebody_has_is_named() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("an address").port().to_string();
    let line = assert_refuses(&[SECRET, REFRESH, MONGODB, ("HOST", "127.0.0.1"), ("PORT", &port)], "PORT");
    assert!(line.contains(&port), "{line}");
}

#[test]
fn a_file_of_settings_is_read_and_a_broken_one_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = folder.path().join(".env");
    std::fs::write(&settings, "ACCESS_TOKEN_SECRET=short\nSOMETHING_ELSE=1\n").expect("written");
    let output = run(folder.path(), &[MONGODB]);
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stderr.starts_with(b"api: ACCESS_TOKEN_SECRET: expected "));

    std::fs::write(&settings, "this is no setting\n").expect("written");
    let output = run(folder.path(), &[SECRET, MONGODB]);
    let line = String::from_utf8(output.stderr).expect("text");
    assert_eq!((output.status.code(), line.lines().count()), (Some(2), 1), "{line}");
    assert!(line.starts_with("api: .env: expected "), "{line}");
}

#[test]
fn the_help_shows_no_secret_of_the_environment() {
    let folder = tempfile::tempdir().expect("a folder");
    let secret = "a-secret-that-nobody-may-read-0123456789";
    let command = Command::new(env!("CARGO_BIN_EXE_api"))
        .arg("--help")
        .current_dir(folder.path())
        .envs([
            ("ACCESS_TOKEN_SECRET", secret),
            ("ACCESS_TOKEN_SECRET_PREVIOUS", secret),
            ("REFRESH_TOKEN_SECRET", secret),
            ("REFRESH_TOKEN_SECRET_PREVIOUS", secret),
            ("MONGODB_URI", "mongodb://u:hidden@h"),
            ("RABBITMQ_URL", "amqp://u:hidden@h"),
        ])
        .output()
        .expect("the program runs");
    let text = String::from_utf8(command.stdout).expect("text");
    assert!(command.status.success());
    assert!(
        text.contains("ACCESS_TOKEN_SECRET")
            && text.contains("REFRESH_TOKEN_SECRET")
            && !text.contains(secret)
            && !text.contains("hidden"),
        "{text}"
    );
}
