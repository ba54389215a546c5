use clap::{CommandFactory, FromArgMatches, Parser};
use rstest::rstest;

use super::*;

#[derive(Parser)]
struct Program {
    #[command(flatten)]
    cloudinary: CloudinaryArgs,
}

fn args(pairs: &[(&str, &str)]) -> CloudinaryArgs {
    let mut args = CloudinaryArgs::default();
    for (variable, value) in pairs {
        let value = (*value).to_owned();
        match *variable {
            URL => args.cloudinary_url = Some(value.into()),
            CLOUD_NAME => args.cloudinary_cloud_name = Some(value),
            API_KEY => args.cloudinary_api_key = Some(value.into()),
            API_SECRET => args.cloudinary_api_secret = Some(value.into()),
            UPLOAD_PREFIX => args.cloudinary_upload_prefix = Some(value),
            CHUNK_SIZE => args.cloudinary_chunk_size = Some(value),
            TIMEOUT => args.cloudinary_timeout = Some(value),
            MIN_RATE => args.cloudinary_min_rate = Some(value),
            SIGNATURE_ALGORITHM => args.cloudinary_signature_algorithm = Some(value),
            NOTIFICATION_URL => args.cloudinary_notification_url = Some(value),
            _ => panic!("unknown variable {variable}"),
        }
    }
    args
}

fn config(pairs: &[(&str, &str)]) -> Result<Config, String> {
    Config::try_from(args(pairs)).map_err(|error| error.to_string())
}

#[test]
fn the_url_carries_account_and_options() {
    let url = "Cloudinary://1234:ab-cd_EF@demo/cdn.example.com?upload_prefix=http://127.0.0.1:8787\
               &signature_algorithm=sha256&chunk_size=6000000&timeout=2.5&secure=true&a[b]=c";
    let config = config(&[(URL, url)]).unwrap();
    assert_eq!((config.cloud_name.as_str(), config.api_key.expose_secret()), ("demo", "1234"));
    assert_eq!(config.api_secret.expose_secret(), "ab-cd_EF");
    assert_eq!(config.upload_prefix.as_str(), "http://127.0.0.1:8787/");
    assert_eq!(config.algorithm, Algorithm::Sha256);
    assert_eq!(config.chunk_size, 6_000_000);
    assert_eq!(config.timeout, Duration::from_millis(2500));
}

#[test]
fn of_two_upload_prefixes_the_last_counts() {
    let url = "cloudinary://1234:abcd@demo?upload_prefix=http://media:8787&upload_prefix=https://api.cloudinary.com";
    assert_eq!(config(&[(URL, url)]).unwrap().upload_prefix.as_str(), DEFAULT_PREFIX.to_owned() + "/");
}

#[test]
fn the_separate_variables_do_as_well_and_empty_ones_count_as_unset() {
    let triple = [(CLOUD_NAME, "demo"), (API_KEY, "1234"), (API_SECRET, "abcd"), (URL, ""), (UPLOAD_PREFIX, "")];
    let plain = config(&triple).unwrap();
    assert_eq!(plain.upload_prefix.as_str(), "https://api.cloudinary.com/");
    assert_eq!(plain.chunk_size, 20_000_000);
    let tuned = [(UPLOAD_PREFIX, "http://media:9000/x"), (CHUNK_SIZE, "5242880"), (TIMEOUT, "5"), (MIN_RATE, "10")];
    let tuned = config(&[&triple[..3], &tuned[..]].concat()).unwrap();
    assert_eq!(tuned.upload_prefix.as_str(), "http://media:9000/x");
    assert_eq!(tuned.timeout_for(5_242_880), Duration::from_secs(5) + Duration::from_secs(524_288));
    let spelt = config(&[&triple[..3], &[(TIMEOUT, "1m 30s")]].concat()).unwrap();
    assert_eq!(spelt.timeout, Duration::from_secs(90));
}

#[test]
fn notifications_go_nowhere_unless_an_address_is_given() {
    let account = (URL, "cloudinary://1234:abcd@demo");
    for unset in [&[account][..], &[account, (NOTIFICATION_URL, "")]] {
        assert_eq!(config(unset).unwrap().notification_url, None);
    }
    let address = "https://api.example/api/v1/webhooks/cloudinary?of=steep&a=1";
    let config = config(&[account, (NOTIFICATION_URL, address)]).unwrap();
    assert_eq!(config.notification_field(), Some(("notification_url", address)));
}

#[test]
fn both_forms_may_agree_but_not_differ() {
    let url = (URL, "cloudinary://1234:abcd@demo?upload_prefix=http://a");
    let equal = [(CLOUD_NAME, "demo"), (API_KEY, "1234"), (API_SECRET, "abcd"), (UPLOAD_PREFIX, "http://a/")];
    assert!(config(&[&[url], &equal[..]].concat()).is_ok());
    for (variable, value) in [(CLOUD_NAME, "other"), (API_KEY, "1"), (API_SECRET, "x"), (UPLOAD_PREFIX, "http://b")] {
        let error = config(&[url, (variable, value)]).unwrap_err();
        assert!(error.contains(URL) && error.contains(variable), "{error}");
    }
    // The prefix is an addition to a URL that has none.
    let config = config(&[(URL, "cloudinary://1234:abcd@demo"), (UPLOAD_PREFIX, "http://b")]).unwrap();
    assert_eq!(config.upload_prefix.as_str(), "http://b/");
}

#[rstest]
#[case(&[], URL)]
#[case(&[(CLOUD_NAME, "demo")], API_KEY)]
#[case(&[(CLOUD_NAME, "demo"), (API_KEY, "1234")], "CLOUDINARY_API_SECRET: expected a value")]
#[case(&[(API_KEY, "1234"), (API_SECRET, "abcd")], "CLOUDINARY_CLOUD_NAME: expected a value")]
#[case(&[(URL, "https://1234:abcd@demo")], "CLOUDINARY_URL: expected")]
#[case(&[(URL, "cloudinary://demo")], "cloudinary://<api_key>:<api_secret>@<cloud_name>")]
#[case(&[(URL, "cloudinary://1234@demo")], "CLOUDINARY_URL: expected")]
#[case(&[(URL, "cloudinary://1234:abcd@")], "CLOUDINARY_URL: expected a cloud name")]
#[case(&[(URL, "\"cloudinary://1234:abcd@demo\"")], "CLOUDINARY_URL: expected")]
#[case(&[(URL, "cloudinary://<key>:abcd@demo")], "CLOUDINARY_URL: expected an API key")]
#[case(&[(URL, "cloudinary://1234:ab cd@demo")], "CLOUDINARY_URL: expected an API secret")]
#[case(&[(URL, "cloudinary://1234:abcd@demo?chunk_size=1000")], "CLOUDINARY_URL: expected a chunk size")]
#[case(&[(URL, "cloudinary://1234:abcd@demo?upload_prefix=ftp://x")], "CLOUDINARY_URL: expected an upload prefix")]
#[case(&[(URL, "cloudinary://1234:abcd@demo?signature_algorithm=md5")], "sha1 or sha256")]
#[case(&[(URL, "cloudinary://1234:abcd@demo?timeout=-1")], "CLOUDINARY_URL: expected a time-out")]
#[case(&[(CLOUD_NAME, "de/mo"), (API_KEY, "1234"), (API_SECRET, "abcd")], "CLOUDINARY_CLOUD_NAME: expected")]
#[case(&[(CLOUD_NAME, "demo"), (API_KEY, "1234 "), (API_SECRET, "abcd")], "CLOUDINARY_API_KEY: expected")]
#[case(&[(CLOUD_NAME, "demo"), (API_KEY, "1234"), (API_SECRET, "'abcd'")], "CLOUDINARY_API_SECRET: expected")]
#[case(&[(URL, "cloudinary://1234:abcd@demo"), (CHUNK_SIZE, "big")], "CLOUDINARY_CHUNK_SIZE: expected")]
#[case(&[(URL, "cloudinary://1234:abcd@demo"), (TIMEOUT, "nan")], "CLOUDINARY_TIMEOUT: expected")]
#[case(&[(URL, "cloudinary://1234:abcd@demo"), (MIN_RATE, "0")], "CLOUDINARY_MIN_RATE: expected")]
#[case(&[(URL, "cloudinary://1234:abcd@demo"), (UPLOAD_PREFIX, "api.example")], "CLOUDINARY_UPLOAD_PREFIX: expected")]
#[case(&[(URL, "cloudinary://1234:abcd@demo"), (NOTIFICATION_URL, "api.example")], "CLOUDINARY_NOTIFICATION_URL: expected")]
#[case(&[(URL, "cloudinary://1234:abcd@demo"), (NOTIFICATION_URL, "ftp://h/")], "CLOUDINARY_NOTIFICATION_URL: expected")]
#[case(&[(URL, "cloudinary://1234:abcd@demo"), (NOTIFICATION_URL, "http://u:p@h/")], "CLOUDINARY_NOTIFICATION_URL: expected")]
#[case(&[(URL, "cloudinary://1234:abcd@demo"), (NOTIFICATION_URL, "http://h/#a")], "CLOUDINARY_NOTIFICATION_URL: expected")]
fn a_mistake_is_named_with_its_variable_and_without_the_value(#[case] pairs: &[(&str, &str)], #[case] expected: &str) {
    let error = config(pairs).unwrap_err();
    assert!(error.contains(expected), "{error}");
    assert!(!error.contains("abcd") && !error.contains("1234"), "{error}");
    assert!(!error.contains('\n'), "{error}");
}

#[test]
fn nothing_printable_shows_the_secret() {
    let args = args(&[(URL, "cloudinary://key1234:topsecret@demo"), (API_SECRET, "topsecret"), (API_KEY, "key1234")]);
    let shown = format!("{args:?} {:?}", Config::try_from(args.clone()).unwrap());
    assert!(!shown.contains("topsecret") && !shown.contains("key1234"), "{shown}");
    for secret in ["cloudinary_url", "cloudinary_api_key", "cloudinary_api_secret"] {
        let command = Program::command();
        let arg = command.get_arguments().find(|arg| arg.get_id() == secret).unwrap();
        assert!(arg.is_hide_env_values_set(), "--help would print {secret}");
    }
}

#[test]
fn the_options_parse_from_a_command_line() {
    let line =
        ["program", "--cloudinary-cloud-name", "demo", "--cloudinary-api-key", "1", "--cloudinary-api-secret", "s"];
    let matches = Program::command().get_matches_from(line);
    let program = Program::from_arg_matches(&matches).unwrap();
    assert_eq!(program.cloudinary.cloudinary_cloud_name.as_deref(), Some("demo"));
    assert_eq!(program.cloudinary.cloudinary_api_secret.unwrap().expose_secret(), "s");
}
