//! Where in a list of subscriptions a part of it ends.

use std::fmt;

use bson::oid::ObjectId;
use bson::{Bson, DateTime, Document, RawDocument, doc};

/// The last entry of a part. As text it is what a client sends to get the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    pub(super) created: Created,
    pub(super) id: ObjectId,
}

/// When the entry was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Created {
    At(DateTime),
    /// It was adopted without a time. Such entries are the last of a list.
    Untold,
    /// The text is of an earlier release, which gave the id alone.
    Unknown,
}

/// What stands in the text for a time that is not there.
const UNTOLD: i64 = i64::MIN;
/// Hexadecimal digits of an id.
const ID: usize = 24;

impl Position {
    /// Reads the text of a position.
    pub fn read(text: &str) -> Option<Self> {
        if !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let (time, id) = text.split_at_checked(text.len().checked_sub(ID)?)?;
        let created = match time.len() {
            0 => Created::Unknown,
            16 => match u64::from_str_radix(time, 16).ok()?.cast_signed() {
                UNTOLD => Created::Untold,
                time => Created::At(DateTime::from_millis(time)),
            },
            _ => return None,
        };
        Some(Self { created, id: ObjectId::parse_str(id).ok()? })
    }

    /// The position of a document. One whose time is none is malformed, and so are those beside it, which stand between the entries
    /// with a time and those without: all of them are passed over.
    pub(super) fn of(subscription: &RawDocument) -> Self {
        let beyond = Self { created: Created::Untold, id: ObjectId::from_bytes([0xff; 12]) };
        let Ok(id) = subscription.get_object_id("_id") else { return beyond };
        match subscription.get("createdAt").ok().flatten().map(Bson::try_from) {
            Some(Ok(Bson::DateTime(time))) => Self { created: Created::At(time), id },
            None | Some(Ok(Bson::Null)) => Self { created: Created::Untold, id },
            Some(_) => beyond,
        }
    }

    /// What selects the entries after it, newest first.
    pub(super) fn after(self) -> Document {
        let Self { created, id } = self;
        let time = match created {
            Created::At(time) => time,
            Created::Untold => return doc! { "createdAt": null, "_id": { "$lt": id } },
            // An entry that is gone. Only its id tells when it was made, to the second.
            Created::Unknown => DateTime::from_millis(id.timestamp().timestamp_millis() + 999),
        };
        // Outside of `$expr`, `$lte` leaves out what has no time.
        doc! {
            "$expr": { "$lte": ["$createdAt", time] },
            "$nor": [{ "createdAt": time, "_id": { "$gte": id } }],
        }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.created {
            Created::At(time) => write!(f, "{:016x}", time.timestamp_millis())?,
            Created::Untold => write!(f, "{UNTOLD:016x}")?,
            Created::Unknown => {}
        }
        write!(f, "{}", self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_read_as_it_was_written() {
        let id = ObjectId::from_bytes(*b"twelve bytes");
        for time in [-1, 0, 1_700_000_000_123, i64::MAX] {
            let position = Position { created: Created::At(DateTime::from_millis(time)), id };
            assert_eq!(Position::read(&position.to_string()), Some(position));
        }
        for created in [Created::Untold, Created::Unknown] {
            let position = Position { created, id };
            assert_eq!(Position::read(&position.to_string()), Some(position));
        }
    }

    #[test]
    fn any_other_text_is_none() {
        let id = "7477656c7665206279746573";
        for text in
            ["", "last", &id[1..], &format!("0{id}"), &format!("+000000000000001{id}"), &format!("{id}{id}"), "ä"]
        {
            assert_eq!(Position::read(text), None, "{text}");
        }
    }
}
