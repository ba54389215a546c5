use reqwest::header::{HeaderName, HeaderValue};
use rstest::rstest;

use super::*;

/// What the server's clock shows unless a case says otherwise.
const NOW: &str = "Thu, 01 Jan 2026 00:00:00 GMT";

fn classified(status: u16, headers: &[(&'static str, &str)], body: &str) -> (ErrorClass, Option<&'static str>) {
    let mut map = HeaderMap::new();
    map.insert(DATE, HeaderValue::from_static(NOW));
    for (name, value) in headers {
        map.insert(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
    }
    classify(StatusCode::from_u16(status).unwrap(), &map, body.as_bytes())
}

fn json(message: &str) -> String {
    serde_json::json!({"error": {"message": message}}).to_string()
}

fn retry(after: Option<u64>) -> ErrorClass {
    ErrorClass::Retry { after: after.map(Duration::from_secs) }
}

#[rstest]
#[case(200, "<html>maintenance</html>", retry(None))]
#[case(408, "", retry(None))]
#[case(423, &json("Resource is being processed"), retry(None))]
#[case(429, "slow down", retry(None))]
#[case(500, &json("General Error"), retry(None))]
#[case(502, "<html>Bad Gateway</html>", retry(None))]
#[case(503, "", retry(None))]
#[case(504, "", retry(None))]
#[case(420, &json("Rate Limit Exceeded."), retry(None))]
#[case(420, &json("Rate Limit Exceeded. Limit of 500 api operations reached. Try again on 2026-01-01 00:10:00 UTC"), retry(Some(600)))]
#[case(420, &json("Rate Limit Exceeded. Limit of 50 captioning operations reached. Try again on 2026-01-01 00:10:00 UTC"), ErrorClass::Operator)]
#[case(420, &json("You don't have an active subscription for captioning"), ErrorClass::Operator)]
#[case(400, &json("Stale request - reported time is 2024-04-11 13:23:38 +0000 which is more than 1 hour ago"), ErrorClass::Operator)]
#[case(400, &json("Invalid image file"), ErrorClass::Discard)]
#[case(400, &json("File size too large. Got 35776370. Maximum is 10485760."), ErrorClass::Discard)]
#[case(400, &json("All parts except EOF-chunk must be larger than 5mb"), ErrorClass::Operator)]
#[case(400, &json("Missing required parameter - file"), ErrorClass::Operator)]
#[case(400, &json("Upload preset must be specified when using unsigned upload"), ErrorClass::Operator)]
#[case(400, "<html>The plain HTTP request was sent to HTTPS port</html>", ErrorClass::Operator)]
#[case(401, &json("Invalid Signature x. String to sign - 'timestamp=1'."), ErrorClass::Operator)]
#[case(403, "", ErrorClass::Operator)]
#[case(404, "<html>no such cloud</html>", ErrorClass::Operator)]
#[case(409, &json("exists"), ErrorClass::Discard)]
#[case(413, "<html>too large</html>", ErrorClass::Discard)]
#[case(302, "", ErrorClass::Operator)]
#[case(405, "", ErrorClass::Operator)]
fn a_refusal_is_classified_by_what_helps(#[case] status: u16, #[case] body: &str, #[case] expected: ErrorClass) {
    let (class, advice) = classified(status, &[], body);
    assert_eq!(class, expected);
    assert_eq!(advice.is_some(), expected == ErrorClass::Operator);
}

#[rstest]
#[case(429, &[("retry-after", "7")], retry(Some(7)))]
#[case(503, &[("retry-after", "Thu, 01 Jan 2026 00:02:00 GMT")], retry(Some(120)))]
#[case(503, &[("retry-after", "Wed, 31 Dec 2025 00:00:00 GMT")], retry(Some(0)))]
#[case(503, &[("retry-after", "soon")], retry(None))]
#[case(420, &[("x-featureratelimit-reset", "Thu, 01 Jan 2026 01:00:00 GMT")], retry(Some(3600)))]
#[case(420, &[("retry-after", "5"), ("x-featureratelimit-reset", "Thu, 01 Jan 2026 01:00:00 GMT")], retry(Some(5)))]
#[case(420, &[("x-featureratelimit-reset", "Tue, 01 Jan 2030 00:00:00 GMT")], retry(Some(86_400)))]
#[case(429, &[("retry-after", "99999999999")], retry(Some(86_400)))]
fn the_servers_wish_to_wait_is_honoured_within_reason(
    #[case] status: u16,
    #[case] headers: &[(&'static str, &str)],
    #[case] expected: ErrorClass,
) {
    assert_eq!(classified(status, headers, "").0, expected);
}

#[test]
fn a_time_is_read_against_the_servers_own_clock() {
    let headers = [("date", "Thu, 01 Jan 2026 00:59:00 GMT"), ("retry-after", "Thu, 01 Jan 2026 01:00:00 GMT")];
    assert_eq!(classified(503, &headers, "").0, retry(Some(60)));
}

#[test]
fn a_time_of_a_server_that_does_not_tell_its_own_is_no_wish() {
    for headers in [("date", "yesterday"), ("date", "")] {
        let headers = [headers, ("retry-after", "Thu, 01 Jan 2026 01:00:00 GMT")];
        assert_eq!(classified(503, &headers, "").0, retry(None));
    }
}

#[rstest]
#[case(401, &json("Invalid Signature x"), "CLOUDINARY_API_SECRET")]
#[case(401, &json("Invalid cloud_name nope"), "CLOUDINARY_CLOUD_NAME")]
#[case(403, "", "CLOUDINARY_API_KEY")]
#[case(404, "", "CLOUDINARY_UPLOAD_PREFIX")]
#[case(400, &json("Stale request - x"), "clock")]
fn an_operator_is_told_what_to_look_at(#[case] status: u16, #[case] body: &str, #[case] expected: &str) {
    let advice = classified(status, &[], body).1.unwrap();
    assert!(advice.contains(expected), "{advice}");
}

#[test]
fn a_message_is_one_bounded_line_wherever_it_comes_from() {
    let message = |headers: &HeaderMap, body: &[u8]| one_line(&text(headers, body));
    let mut headers = HeaderMap::new();
    assert_eq!(message(&headers, json("a\n b").as_bytes()), "a b");
    assert_eq!(message(&headers, b"<html>\r\n<h1>Bad</h1>\0</html>"), "<html> <h1>Bad</h1> </html>");
    assert_eq!(message(&headers, b"\xff\xfe"), "\u{fffd}\u{fffd}");
    assert!(message(&headers, "é".repeat(10_000).as_bytes()).len() < 2 * MESSAGE_LIMIT + 8);
    assert!(message(&headers, "word ".repeat(10_000).as_bytes()).len() < MESSAGE_LIMIT + 8);
    headers.insert("x-cld-error", HeaderValue::from_static("from the header"));
    assert_eq!(message(&headers, b"<html>"), "from the header");
    assert_eq!(message(&headers, json("from the body").as_bytes()), "from the body");
}
