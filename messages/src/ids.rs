//! Identifiers, each a type of its own so that one cannot be passed for another.

use std::fmt;
use std::str::FromStr;

use hex::FromHex;
use serde_with::{DeserializeFromStr, SerializeDisplay};
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

/// In lower case, as they are written.
#[cfg(feature = "schema")]
const UUID: &str = "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$";

/// In lower case, as they are written.
#[cfg(feature = "schema")]
const OBJECT_ID: &str = "^[0-9a-f]{24}$";

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident, $make:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, SerializeDisplay, DeserializeFromStr)]
        pub struct $name(Uuid);

        impl $name {
            /// A new identifier that nothing else has.
            #[allow(clippy::new_without_default, reason = "every call gives another value")]
            pub fn new() -> Self {
                Self(Uuid::$make())
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

        #[cfg(feature = "schema")]
        crate::schema::text!($name, "format": "uuid", "pattern": UUID);
    };
}

macro_rules! object_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, SerializeDisplay, DeserializeFromStr)]
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

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                FromHex::from_hex(text).map(Self).map_err(|_| InvalidId::new(text, "24 hexadecimal digits"))
            }
        }

        #[cfg(feature = "schema")]
        crate::schema::text!($name, "pattern": OBJECT_ID);
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
    /// Names an action on all jobs that match a filter. Version 7, so ids sort by time of creation.
    ActionId, now_v7
}
uuid_id! {
    /// Names a file in a spool. Random: nothing that a client sent has a part in it.
    FileId, new_v4
}
object_id! {
    /// Names an address to which a user has events sent.
    EndpointId
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
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, SerializeDisplay, DeserializeFromStr)]
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

#[cfg(feature = "schema")]
crate::schema::text!(SpoolId, "pattern": "^[a-z0-9-]{1,40}$");

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
