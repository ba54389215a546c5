//! Notifications: what Cloudinary tells by itself when something has become of an asset, by a call or in its console.
//!
//! <https://cloudinary.com/documentation/notifications>. They may repeat, come in any order, or not come. Whoever takes them answers
//! 2xx, or gets them three times more within 18 minutes.

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::asset::ResourceType;
use crate::config::Config;
use crate::signature;

/// The header with the signature: the hash of body, timestamp and secret, in hex.
pub const SIGNATURE: &str = "x-cld-signature";
/// The header with the time of signing, in Unix seconds.
pub const TIMESTAMP: &str = "x-cld-timestamp";

/// How old a signature may be: what the official SDKs allow.
const MAX_AGE: Duration = Duration::from_secs(2 * 60 * 60);
/// How far it may lie in the future. The official SDKs have no limit, but a clock is never that wrong.
const MAX_AHEAD: Duration = Duration::from_secs(5 * 60);
/// Of the largest time that is one.
const MAX_DIGITS: usize = 12;

/// Tells the notifications of an account from those that somebody else made. Its `Debug` shows no secret.
#[derive(Debug, Clone)]
pub struct Verifier {
    secret: SecretString,
}

/// Why a notification is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Untrusted {
    /// The timestamp is no Unix time.
    #[error("its timestamp is no Unix time")]
    NoTime,
    /// It may be an old one that somebody sends again.
    #[error("it was signed more than two hours ago")]
    Old,
    /// It was signed by a clock that is wrong.
    #[error("it was signed in the future")]
    Early,
    /// Body, timestamp or secret are others.
    #[error("its signature is another one")]
    Forged,
}

/// Why a notification cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed {
    /// What is wrong. `None`: all of it.
    pub field: Option<&'static str>,
    /// What was expected there.
    pub expected: &'static str,
}

/// What has become of assets.
#[derive(Debug, Clone, PartialEq)]
pub enum Notification {
    /// They are gone.
    Deleted(Vec<Subject>),
    /// It has another name.
    Renamed {
        /// By its former name.
        asset: Subject,
        /// Its name.
        to: String,
        /// When, by Cloudinary's clock.
        at: OffsetDateTime,
    },
    /// Somebody has decided whether it may be shown.
    Moderated {
        /// What it is about.
        asset: Subject,
        /// Whether it may not.
        rejected: bool,
        /// When, by Cloudinary's clock.
        at: OffsetDateTime,
    },
    /// Something else: an upload, new tags, a type that is not known. Not an error.
    Other,
}

/// An asset, as a notification names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// The name.
    pub public_id: String,
    /// Cloudinary's own id, which survives renaming.
    pub asset_id: Option<String>,
    /// `None` where the notification does not say.
    pub resource_type: Option<ResourceType>,
    /// Of which bytes: see [`Stored::version`](crate::Stored::version).
    pub version: Option<u64>,
}

impl Verifier {
    /// Believes whoever has the account's API secret.
    pub fn new(config: &Config) -> Self {
        Self { secret: config.api_secret.clone() }
    }

    /// When a notification says that it was signed, unless that is too long ago or still to come. `now` is a time that the sender
    /// cannot choose. Worth asking before the body is read.
    pub fn time(timestamp: &str, now: OffsetDateTime) -> Result<OffsetDateTime, Untrusted> {
        // Nothing but digits: the signature does not tell where the body ends and the timestamp begins.
        let is_number =
            (1..=MAX_DIGITS).contains(&timestamp.len()) && timestamp.bytes().all(|byte| byte.is_ascii_digit());
        let seconds = timestamp.parse::<i64>().ok().filter(|_| is_number).ok_or(Untrusted::NoTime)?;
        let signed_at = OffsetDateTime::from_unix_timestamp(seconds).map_err(|_| Untrusted::NoTime)?;
        // In whole seconds, as the SDKs count.
        let age = now.unix_timestamp() - seconds;
        if age > seconds_of(MAX_AGE) {
            return Err(Untrusted::Old);
        }
        if age < -seconds_of(MAX_AHEAD) {
            return Err(Untrusted::Early);
        }
        Ok(signed_at)
    }

    /// Whether these very bytes were signed with the account's secret at that time, by either hash: the account decides which one
    /// is used. Takes the same time wherever signatures differ. The time is judged by [`Verifier::time`].
    pub fn verify(&self, body: &[u8], timestamp: &str, signature: &str) -> Result<(), Untrusted> {
        let text = [body, timestamp.as_bytes()].concat();
        let is_ours = signature::verify(&text, self.secret.expose_secret(), signature);
        is_ours.then_some(()).ok_or(Untrusted::Forged)
    }
}

impl Notification {
    /// Reads a notification that was verified. `signed_at` stands in for the time that it should tell. Unknown fields are ignored,
    /// and so are assets of other delivery types than `upload`.
    pub fn parse(body: &[u8], signed_at: OffsetDateTime) -> Result<Self, Malformed> {
        let whole = Malformed { field: None, expected: "a JSON object" };
        let json: Value = serde_json::from_slice(body).map_err(|_| whole)?;
        if !json.is_object() {
            return Err(whole);
        }
        let at = happened_at(&json).unwrap_or(signed_at);
        match required(&json, "notification_type")? {
            "delete" => {
                let missing = Malformed { field: Some("resources"), expected: "a list of assets" };
                let resources = json.get("resources").and_then(Value::as_array).ok_or(missing)?;
                let public = resources.iter().filter(|resource| is_public(resource));
                Ok(Self::Deleted(public.map(|resource| subject(resource, "public_id")).collect::<Result<_, _>>()?))
            }
            "rename" if is_public(&json) => {
                let asset = subject(&json, "from_public_id")?;
                Ok(Self::Renamed { asset, to: required(&json, "to_public_id")?.to_owned(), at })
            }
            "moderation" if is_public(&json) => {
                let rejected = match required(&json, "moderation_status")? {
                    "rejected" => true,
                    "approved" => false,
                    // Pending, queued, aborted: nobody has decided.
                    _ => return Ok(Self::Other),
                };
                Ok(Self::Moderated { asset: subject(&json, "public_id")?, rejected, at })
            }
            _ => Ok(Self::Other),
        }
    }
}

fn seconds_of(time: Duration) -> i64 {
    i64::try_from(time.as_secs()).unwrap_or(i64::MAX)
}

/// To the microsecond where it is told so, or else to the second.
fn happened_at(json: &Value) -> Option<OffsetDateTime> {
    let told = [json.pointer("/notification_context/triggered_at"), json.get("timestamp")];
    told.into_iter().flatten().find_map(|text| OffsetDateTime::parse(text.as_str()?, &Rfc3339).ok())
}

/// Whether it is about something that anyone may fetch, as far as it says.
fn is_public(json: &Value) -> bool {
    ["type", "to_type"].into_iter().all(|key| json.get(key).and_then(Value::as_str).is_none_or(|name| name == "upload"))
}

fn subject(json: &Value, name: &'static str) -> Result<Subject, Malformed> {
    Ok(Subject {
        public_id: required(json, name)?.to_owned(),
        asset_id: text(json, "asset_id").map(str::to_owned),
        resource_type: text(json, "resource_type").and_then(ResourceType::parse),
        version: json.get("version").and_then(Value::as_u64),
    })
}

fn required<'json>(json: &'json Value, key: &'static str) -> Result<&'json str, Malformed> {
    text(json, key).ok_or(Malformed { field: Some(key), expected: "a text" })
}

fn text<'json>(json: &'json Value, key: &str) -> Option<&'json str> {
    json.get(key)?.as_str().filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;
    use sha1::{Digest, Sha1};
    use sha2::Sha256;

    use super::*;

    const SIGNED_AT: i64 = 1_800_000_000;

    fn verifier() -> Verifier {
        Verifier::new(&Config::new("demo", "1234", "abcd").unwrap())
    }

    fn at(seconds: i64) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(seconds).unwrap()
    }

    fn parsed(json: &Value) -> Result<Notification, Malformed> {
        Notification::parse(json.to_string().as_bytes(), at(SIGNED_AT))
    }

    /// Made with the official SDKs.
    #[rstest]
    #[case("{}", "1549533574", "61e9807168c33f38561d4ce4c927253153c44ce1")]
    #[case("{}", "1549533574", "32ae28e9f65f87fe375469f3e1439f22fc8bf1b5255715f15bac144b28dac9bb")]
    #[case(
        r#"{"notification_type":"upload","public_id":"sample","version":1312461204}"#,
        "1315060510",
        "d3c0ba9666049fd9b38c6ec379f93176b4320d3f"
    )]
    #[case("{\"name\":\"é\"}", "1315060510", "135125466fb9a298c121e405fd0ecf7769705398")]
    #[case("{\"name\":\"é\"}", "1315060510", "48aa7f8e5f44bd01c7f740c99084df72f714ec68a8c00d3f742113b8ae0a2ff2")]
    fn what_cloudinary_signed_is_believed_and_nothing_that_differs(
        #[case] body: &str,
        #[case] timestamp: &str,
        #[case] signature: &str,
    ) {
        let verifier = verifier();
        assert_eq!(verifier.verify(body.as_bytes(), timestamp, signature), Ok(()));
        let other = Verifier::new(&Config::new("demo", "1234", "abce").unwrap());
        let longer = format!("{body} ");
        let mut changed = signature.to_owned();
        changed.replace_range(0..1, if changed.starts_with('0') { "1" } else { "0" });
        for (verifier, body, timestamp, signature) in [
            (&other, body, timestamp, signature),
            (&verifier, longer.as_str(), timestamp, signature),
            (&verifier, body, "1549533575", signature),
            (&verifier, body, timestamp, changed.as_str()),
            (&verifier, body, timestamp, &signature[1..]),
            (&verifier, body, timestamp, ""),
            (&verifier, body, timestamp, "é"),
        ] {
            assert_eq!(verifier.verify(body.as_bytes(), timestamp, signature), Err(Untrusted::Forged), "{signature}");
        }
    }

    #[test]
    fn the_signature_is_the_plain_hash_of_body_timestamp_and_secret() {
        let body = br#"{"notification_type":"delete"}"#;
        let sha1 = hex::encode(Sha1::digest([body.as_slice(), b"1800000000abcd".as_slice()].concat()));
        let sha256 = hex::encode(Sha256::digest([body.as_slice(), b"1800000000abcd".as_slice()].concat()));
        for signature in [sha1, sha256] {
            assert_eq!(verifier().verify(body, "1800000000", &signature), Ok(()), "{signature}");
        }
    }

    #[rstest]
    #[case(0, Ok(()))]
    #[case(7199, Ok(()))]
    #[case(7200, Ok(()))]
    #[case(7201, Err(Untrusted::Old))]
    #[case(SIGNED_AT, Err(Untrusted::Old))]
    #[case(-300, Ok(()))]
    #[case(-301, Err(Untrusted::Early))]
    fn a_signature_lasts_two_hours(#[case] age: i64, #[case] expected: Result<(), Untrusted>) {
        let found = Verifier::time(&SIGNED_AT.to_string(), at(SIGNED_AT + age));
        assert_eq!(found, expected.map(|()| at(SIGNED_AT)));
    }

    #[rstest]
    #[case("")]
    #[case("-1800000000")]
    #[case("+1800000000")]
    #[case(" 1800000000")]
    #[case("1800000000.0")]
    #[case("1.8e9")]
    #[case("}1800000000")]
    #[case("18000000000000000000000")]
    #[case("now")]
    fn a_timestamp_has_digits_only(#[case] timestamp: &str) {
        assert_eq!(Verifier::time(timestamp, at(SIGNED_AT)), Err(Untrusted::NoTime));
    }

    #[test]
    fn a_deletion_names_every_asset_that_anyone_could_fetch() {
        let found = parsed(&json!({
            "notification_type": "delete",
            "resources": [
                {"resource_type": "image", "type": "upload", "asset_id": "a1", "public_id": "a/b", "version": 7, "new": []},
                {"resource_type": "image", "type": "private", "asset_id": "a2", "public_id": "a/c", "version": 7},
                {"public_id": "d"},
            ],
        }));
        let whole = Subject {
            public_id: "a/b".to_owned(),
            asset_id: Some("a1".to_owned()),
            resource_type: Some(ResourceType::Image),
            version: Some(7),
        };
        let bare = Subject { public_id: "d".to_owned(), asset_id: None, resource_type: None, version: None };
        assert_eq!(found, Ok(Notification::Deleted(vec![whole, bare])));
    }

    #[test]
    fn the_time_is_the_most_exact_one_that_is_told() {
        let mut renaming = json!({"notification_type": "rename", "from_public_id": "a", "to_public_id": "b"});
        let time_of = |json: &Value| match parsed(json) {
            Ok(Notification::Renamed { at, .. }) => at,
            other => panic!("{other:?}"),
        };
        assert_eq!(time_of(&renaming), at(SIGNED_AT));
        renaming["timestamp"] = json!("2026-01-02T03:04:05+00:00");
        assert_eq!(time_of(&renaming), at(1_767_323_045));
        renaming["notification_context"] = json!({"triggered_at": "2026-01-02T03:04:05.250000Z"});
        assert_eq!(time_of(&renaming), at(1_767_323_045) + Duration::from_millis(250));
        renaming["notification_context"] = json!({"triggered_at": 5});
        assert_eq!(time_of(&renaming), at(1_767_323_045));
    }

    #[test]
    fn a_moderation_counts_once_somebody_has_decided() {
        let moderated = |status: &str| {
            parsed(&json!({"notification_type": "moderation", "public_id": "a", "moderation_status": status}))
        };
        assert!(matches!(moderated("rejected"), Ok(Notification::Moderated { rejected: true, .. })));
        assert!(matches!(moderated("approved"), Ok(Notification::Moderated { rejected: false, .. })));
        assert_eq!(moderated("pending"), Ok(Notification::Other));
    }

    #[rstest]
    #[case(json!({"notification_type": "upload", "public_id": "a"}))]
    #[case(json!({"notification_type": "eager"}))]
    #[case(json!({"notification_type": "a type of tomorrow", "resources": 5}))]
    #[case(json!({"notification_type": "rename", "type": "authenticated"}))]
    #[case(json!({"notification_type": "rename", "type": "upload", "to_type": "private", "from_public_id": "a"}))]
    fn what_we_do_not_follow_is_no_error(#[case] json: Value) {
        assert_eq!(parsed(&json), Ok(Notification::Other));
    }

    #[rstest]
    #[case("", None)]
    #[case("nonsense", None)]
    #[case("[]", None)]
    #[case("\"delete\"", None)]
    #[case("{\"notification_type\":\"delete\"", None)]
    #[case("{}", Some("notification_type"))]
    #[case(r#"{"notification_type":7}"#, Some("notification_type"))]
    #[case(r#"{"notification_type":"delete"}"#, Some("resources"))]
    #[case(r#"{"notification_type":"delete","resources":{}}"#, Some("resources"))]
    #[case(r#"{"notification_type":"delete","resources":[{"public_id":""}]}"#, Some("public_id"))]
    #[case(r#"{"notification_type":"rename","to_public_id":"b"}"#, Some("from_public_id"))]
    #[case(r#"{"notification_type":"rename","from_public_id":"a","to_public_id":[]}"#, Some("to_public_id"))]
    #[case(r#"{"notification_type":"moderation","public_id":"a"}"#, Some("moderation_status"))]
    fn what_cannot_be_read_is_named(#[case] body: &str, #[case] field: Option<&'static str>) {
        let malformed = Notification::parse(body.as_bytes(), at(SIGNED_AT)).unwrap_err();
        assert_eq!(malformed.field, field);
    }

    #[test]
    fn nothing_printable_shows_the_secret() {
        assert!(
            !format!("{:?}", Verifier::new(&Config::new("demo", "1234", "topsecret").unwrap())).contains("topsecret")
        );
    }
}
