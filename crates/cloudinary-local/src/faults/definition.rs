//! A fault: which requests it strikes, and what it does to them.

use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::http::route::ACTIONS;

/// A fault to install.
///
/// It is written as one flat JSON object, or on the command line as `key=value,key=value`:
///
/// ```text
/// {"effect": "status", "status": 503, "action": "upload", "public_id": "avatars/", "times": 2}
/// effect=status,status=503,action=upload,public_id=avatars/,times=2
/// ```
///
/// Several faults may strike one request. They act in the order of installation, and the first that answers, hangs or
/// drops the connection ends the request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Map<String, Value>")]
pub struct Fault {
    #[serde(flatten)]
    pub when: When,
    #[serde(flatten)]
    pub effect: Effect,
}

/// Which requests a fault strikes: those that match every field that is set.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct When {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// The path contains this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The call: `upload`, `destroy`, `rename`, `explicit`, `tags`, `context`, `metadata`, `download`, `ping`, `usage`,
    /// `resource`, `resources`, `delete_resources`, `search` or `deliver`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// The public id contains this. Not for effects before or during reading, when the public id is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_id: Option<String>,
    /// So many matching requests pass first.
    #[serde(skip_serializing_if = "is_zero")]
    pub skip: u64,
    /// So many requests are struck. Without it all are, until the fault is cleared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub times: Option<u64>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Moment {
    /// The headers are read, nothing of the body.
    BeforeReading,
    /// While the body is read.
    Reading,
    /// The body is read; nothing is checked, stored or changed.
    BeforeStoring,
    /// The work is done, the answer not sent. This is the loss that retries must survive.
    #[serde(alias = "before_answering")]
    AfterStoring,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "effect", rename_all = "snake_case", deny_unknown_fields)]
pub enum Effect {
    /// Wait, then go on.
    Delay {
        /// Milliseconds.
        ms: u64,
        /// When; not while reading.
        #[serde(default = "before_storing")]
        at: Moment,
    },
    /// Never answer. Ends when the client goes or the server stops.
    Hang {
        /// When; not while reading.
        #[serde(default = "before_storing")]
        at: Moment,
    },
    /// Close the connection without an answer.
    Drop {
        /// When.
        at: Moment,
        /// While reading: after that many bytes of the body.
        #[serde(default)]
        after_bytes: u64,
    },
    /// Answer with this status.
    Status {
        /// The status.
        status: u16,
        /// The error text, in Cloudinary's JSON and in `X-Cld-Error`; by default `General Error`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message: Option<String>,
        /// Answer with this page instead, as the servers in front of Cloudinary do.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        html: Option<String>,
        /// A `Retry-After` header, in seconds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_after: Option<u64>,
        /// Before or after storing.
        #[serde(default = "before_storing")]
        at: Moment,
    },
    /// Send the first half of the answer and close the connection.
    Truncate,
    /// Answer 420 with the rate limit headers.
    RateLimit {
        /// The limit that the answer names.
        #[serde(default = "default_limit")]
        limit: u64,
        /// Seconds from now to the reset that the answer names.
        #[serde(default = "default_reset")]
        reset_seconds: u64,
    },
    /// Let so many requests pass in each window, with the rate limit headers, and answer 420 beyond.
    Budget {
        /// Requests per window.
        limit: u64,
        /// Length of the window; Cloudinary's is an hour.
        #[serde(default = "default_window")]
        window_seconds: u64,
    },
    /// Answer 400 `Stale request`, whatever the timestamp.
    StaleRequest,
    /// Let the server's clock, `Date` header included, be off by so much: a signature by another clock is then stale.
    Clock {
        /// Seconds; positive puts the server ahead.
        offset_seconds: i64,
    },
    /// Read the body no faster than this.
    SlowRead {
        /// Bytes per second.
        bytes_per_second: u64,
    },
    /// Answer an upload with an `etag` that is not that of the bytes.
    WrongEtag,
    /// Answer an upload with a signature that does not verify.
    WrongSignature,
    /// Keep the file of an upload, or a chunk of it, with another last byte. Of a chunk, all that is made of it is wrong.
    WrongBytes,
    /// Answer every chunk, the last one too, with `done: false`, and store nothing.
    NeverDone,
}

fn before_storing() -> Moment {
    Moment::BeforeStoring
}

fn default_limit() -> u64 {
    500
}

fn default_reset() -> u64 {
    60
}

fn default_window() -> u64 {
    3600
}

impl Effect {
    /// Whether it concerns the reading of the body, and so has to be known before.
    pub(crate) fn is_early(&self) -> bool {
        match self {
            Self::SlowRead { .. } => true,
            Self::Delay { at, .. } | Self::Hang { at } | Self::Drop { at, .. } => {
                matches!(at, Moment::BeforeReading | Moment::Reading)
            }
            _ => false,
        }
    }
}

impl Fault {
    /// A fault that strikes every request until it is cleared; narrow it with the other methods.
    pub fn new(effect: Effect) -> Self {
        Self { when: When::default(), effect }
    }

    /// Strikes only that action, such as `upload`.
    #[must_use]
    pub fn on(mut self, action: &str) -> Self {
        self.when.action = Some(action.to_owned());
        self
    }

    /// Strikes only requests about public ids that contain `part`.
    #[must_use]
    pub fn public_id(mut self, part: &str) -> Self {
        self.when.public_id = Some(part.to_owned());
        self
    }

    /// Lets the first `count` fitting requests pass.
    #[must_use]
    pub fn skip(mut self, count: u64) -> Self {
        self.when.skip = count;
        self
    }

    /// Strikes `count` requests, then no more.
    #[must_use]
    pub fn times(mut self, count: u64) -> Self {
        self.when.times = Some(count);
        self
    }

    /// Refuses what could never strike or would not do what it says.
    fn check(&self) -> Result<(), String> {
        if let Some(action) = &self.when.action
            && !ACTIONS.contains(&action.as_str())
        {
            return Err(format!("action: {action:?} is none of {}", ACTIONS.join(", ")));
        }
        if self.when.public_id.is_some() && self.effect.is_early() {
            return Err("public_id: not known before the body is read, so this effect cannot ask for it".to_owned());
        }
        match &self.effect {
            Effect::Delay { at: Moment::Reading, .. } | Effect::Hang { at: Moment::Reading } => {
                Err("at: reading is only for drop; see slow_read".to_owned())
            }
            Effect::Drop { at, after_bytes } if *at != Moment::Reading && *after_bytes > 0 => {
                Err("after_bytes: only with \"at\": \"reading\"".to_owned())
            }
            Effect::Status { at: Moment::BeforeReading | Moment::Reading, .. } => {
                Err("at: an answer is given before_storing or after_storing".to_owned())
            }
            Effect::Status { status, .. } if !(200..=599).contains(status) => {
                Err(format!("status: {status} is not between 200 and 599"))
            }
            Effect::SlowRead { bytes_per_second: 0 } => Err("bytes_per_second: must be at least 1".to_owned()),
            Effect::Budget { window_seconds: 0, .. } => Err("window_seconds: must be at least 1".to_owned()),
            _ => Ok(()),
        }
    }
}

impl TryFrom<Map<String, Value>> for Fault {
    type Error = String;

    fn try_from(mut fields: Map<String, Value>) -> Result<Self, String> {
        let mut when = Map::new();
        for name in ["method", "path", "action", "public_id", "skip", "times"] {
            if let Some(value) = fields.remove(name) {
                when.insert(name.to_owned(), value);
            }
        }
        let when = serde_json::from_value(Value::Object(when)).map_err(|error| error.to_string())?;
        let effect = serde_json::from_value(Value::Object(fields)).map_err(|error| error.to_string())?;
        let fault = Self { when, effect };
        fault.check()?;
        Ok(fault)
    }
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.trim_start().starts_with('{') {
            return serde_json::from_str(text).map_err(|error| error.to_string());
        }
        let mut fields = Map::new();
        for pair in text.split(',') {
            let (key, value) = pair.split_once('=').ok_or_else(|| format!("{pair:?} is not key=value"))?;
            let value = value.parse::<i64>().map_or_else(|_| Value::from(value), Value::from);
            fields.insert(key.trim().to_owned(), value);
        }
        Self::try_from(fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_notations_mean_the_same() {
        let json: Fault =
            r#"{"effect":"status","status":503,"action":"upload","public_id":"a/","times":2}"#.parse().expect("json");
        let short: Fault = "effect=status,status=503,action=upload,public_id=a/,times=2".parse().expect("short");
        assert_eq!(json, short);
        let text = serde_json::to_string(&json).expect("serialises");
        assert_eq!(text.parse::<Fault>().expect("reads its own text"), json);
    }

    #[test]
    fn nonsense_is_refused_with_the_name_of_the_field() {
        for (text, field) in [
            ("effect=explode", "explode"),
            ("effect=status", "status"),
            ("effect=status,status=99", "status"),
            ("effect=status,status=500,color=red", "color"),
            ("effect=hang,action=fly", "action"),
            ("effect=slow_read,bytes_per_second=10,public_id=a", "public_id"),
            ("effect=slow_read,bytes_per_second=0", "bytes_per_second"),
            ("effect=drop,at=before_storing,after_bytes=4", "after_bytes"),
            ("effect=hang,at=reading", "at"),
            ("hang", "hang"),
        ] {
            let error = text.parse::<Fault>().expect_err(text);
            assert!(error.contains(field), "{text}: {error}");
        }
    }
}
