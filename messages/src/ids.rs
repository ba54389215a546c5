//! Identifiers, each a type of its own so that one cannot be passed for another.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use uuid::Uuid;

/// Text that is not an identifier of the expected form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not {expected}")]
pub struct InvalidId {
    /// What was given, shortened to 64 characters.
    pub text: String,
    /// What would have been accepted, in words.
    pub expected: &'static str,
}

impl InvalidId {
    fn new(text: &str, expected: &'static str) -> Self {
        Self { text: text.chars().take(64).collect(), expected }
    }
}

macro_rules! string_form {
    ($name:ident) => {
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(de::Error::custom)
            }
        }
    };
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident, $make:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Uuid);

        impl $name {
            /// A new identifier that nothing else has.
            #[allow(clippy::new_without_default, reason = "every call gives another value")]
            pub fn new() -> Self {
                Self(Uuid::$make())
            }

            /// The identifier as a UUID.
            pub const fn as_uuid(&self) -> Uuid {
                self.0
            }
        }

        impl From<Uuid> for $name {
            fn from(uuid: Uuid) -> Self {
                Self(uuid)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0.hyphenated(), f)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Uuid::try_parse(text).map(Self).map_err(|_| InvalidId::new(text, "a UUID"))
            }
        }

        string_form!($name);
    };
}

macro_rules! object_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name([u8; 12]);

        impl $name {
            /// From the twelve bytes of a MongoDB ObjectId.
            pub const fn from_bytes(bytes: [u8; 12]) -> Self {
                Self(bytes)
            }

            /// The twelve bytes of the MongoDB ObjectId.
            pub const fn bytes(&self) -> [u8; 12] {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                parse_hex(text).map(Self).ok_or_else(|| InvalidId::new(text, "24 hexadecimal digits"))
            }
        }

        string_form!($name);
    };
}

uuid_id! {
    /// Names a job: a stored intent with a state. Version 7, so ids sort by time of creation.
    JobId, now_v7
}
uuid_id! {
    /// Names one envelope. A job that is published twice has two messages.
    MessageId, now_v7
}
uuid_id! {
    /// Names an event, however often it is sent. Version 7, so ids sort by time of creation.
    EventId, now_v7
}
uuid_id! {
    /// Names a file in a spool. Random: nothing that a client sent has a part in it.
    FileId, new_v4
}
object_id! {
    /// Names an uploaded file and what became of it.
    AssetId
}
object_id! {
    /// Names a user, who is also a channel.
    UserId
}
object_id! {
    /// Names a session of a user: what a sign-in began.
    SessionId
}

/// Names a spool: the temporary storage that one machine or one shared volume holds. It is part of a queue's name, so that
/// a worker consumes only jobs whose files it can open.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SpoolId(String);

impl SpoolId {
    /// The identifier as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SpoolId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for SpoolId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if text.is_empty() || text.len() > 40 || !text.bytes().all(allowed) {
            return Err(InvalidId::new(text, "1 to 40 of a-z, 0-9 and -"));
        }
        Ok(Self(text.to_owned()))
    }
}

string_form!(SpoolId);

fn parse_hex(text: &str) -> Option<[u8; 12]> {
    let digits = text.as_bytes();
    if digits.len() != 24 {
        return None;
    }
    let mut bytes = [0; 12];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let high = char::from(pair[0]).to_digit(16)?;
        let low = char::from(pair[1]).to_digit(16)?;
        *byte = u8::try_from(high * 16 + low).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_id_survives_the_way_through_text() {
        let id: AssetId = "65a1b2c3d4e5f60718293A4b".parse().expect("24 hex digits");
        assert_eq!(id.to_string(), "65a1b2c3d4e5f60718293a4b");
        assert_eq!(id.to_string().parse(), Ok(id));
    }

    #[test]
    fn an_object_id_of_another_form_is_refused() {
        for text in [
            "",
            "65a1",
            "65a1b2c3d4e5f60718293a4",
            "65a1b2c3d4e5f60718293a4bb",
            "65a1b2c3d4e5f60718293a+b",
            "éééééééééééé",
        ] {
            assert!(text.parse::<UserId>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_spool_id_is_safe_in_a_queue_name_and_a_path() {
        assert!("node-1".parse::<SpoolId>().is_ok());
        for text in ["", "..", "a/b", "A", "a.b", "a b", &"x".repeat(41)] {
            assert!(text.parse::<SpoolId>().is_err(), "{text}");
        }
    }
}
