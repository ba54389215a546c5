//! Cursors of lists of jobs: where a part ends, and which list it is a part of.

use sha2::{Digest, Sha256};
use store::{JobFilter, JobPosition, JobState};
use time::OffsetDateTime;

/// Nanoseconds in a millisecond.
const MILLISECOND: i128 = 1_000_000;
/// Hexadecimal digits of a time.
const TIME: usize = 16;
/// Hexadecimal digits of an id.
const ID: usize = 32;

/// A cursor: 64 hexadecimal digits, a quarter of which tells the list. Nobody has to keep it secret; who makes one up gets another
/// part of their own list.
pub(super) fn write(list: &JobFilter, position: &JobPosition) -> String {
    let milliseconds = i64::try_from(position.created_at.unix_timestamp_nanos() / MILLISECOND).unwrap_or_default();
    let id = position.id.to_string().replace('-', "");
    format!("{}{milliseconds:016x}{id}", tag(list))
}

/// Reads a cursor of this very list: of the same user and the same filters, in whatever order they are sent.
pub(super) fn read(list: &JobFilter, text: &str) -> Option<JobPosition> {
    let place = text.strip_prefix(&tag(list))?;
    if !place.bytes().all(|byte| byte.is_ascii_hexdigit()) || place.len() != TIME + ID {
        return None;
    }
    let (time, id) = place.split_at_checked(TIME)?;
    let milliseconds = u64::from_str_radix(time, 16).ok()?.cast_signed();
    let created_at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(milliseconds) * MILLISECOND).ok()?;
    Some(JobPosition { created_at, id: id.parse().ok()? })
}

/// What tells a list from every other one.
fn tag(JobFilter { owner, states, kinds, assets }: &JobFilter) -> String {
    let mut hash = Sha256::new();
    hash.update("jobs");
    hash.update(owner.bytes());
    // The number of each, so that none passes for another.
    hash.update([states.len(), kinds.len(), assets.len()].map(|length| length.to_string()).join(" "));
    for name in states.iter().copied().map(JobState::as_str).chain(kinds.iter().copied()) {
        hash.update(name);
        hash.update(" ");
    }
    for asset in assets {
        hash.update(asset.bytes());
    }
    hex::encode(&hash.finalize()[..8])
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use messages::{AssetId, JobId, UserId};

    use super::*;

    fn list(owner: u8) -> JobFilter {
        let owner = UserId::from_bytes([owner; 12]);
        JobFilter { owner, states: BTreeSet::new(), kinds: BTreeSet::new(), assets: BTreeSet::new() }
    }

    fn position(milliseconds: i128) -> JobPosition {
        let created_at = OffsetDateTime::from_unix_timestamp_nanos(milliseconds * MILLISECOND).expect("a time");
        JobPosition { created_at, id: JobId::new() }
    }

    #[test]
    fn a_cursor_is_read_as_it_was_written() {
        for milliseconds in [-1, 0, 1_700_000_000_123] {
            let position = position(milliseconds);
            let text = write(&list(1), &position);
            assert!(text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()), "{text}");
            assert_eq!(read(&list(1), &text), Some(position));
        }
    }

    #[test]
    fn a_cursor_of_another_list_is_none() {
        let states = |states: &[JobState]| JobFilter { states: states.iter().copied().collect(), ..list(1) };
        let kinds = |kinds: &[&'static str]| JobFilter { kinds: kinds.iter().copied().collect(), ..list(1) };
        let assets = |number| JobFilter { assets: BTreeSet::from([AssetId::from_bytes([number; 12])]), ..list(1) };
        let lists = [
            list(1),
            list(2),
            states(&[JobState::Running]),
            states(&[JobState::Running, JobState::Queued]),
            kinds(&["media.upload.v1"]),
            kinds(&["media.upload.v1", "media.delete.v1"]),
            assets(1),
            assets(2),
        ];
        for (index, one) in lists.iter().enumerate() {
            let text = write(one, &position(0));
            for (other, another) in lists.iter().enumerate() {
                assert_eq!(read(another, &text).is_some(), index == other, "{one:?} {another:?}");
            }
        }
        // The order in which filters are sent does not matter.
        let text = write(&states(&[JobState::Running, JobState::Queued]), &position(0));
        assert!(read(&states(&[JobState::Queued, JobState::Running]), &text).is_some());
    }

    #[test]
    fn any_other_text_is_none() {
        let text = write(&list(1), &position(0));
        let longest = format!("{}{}{}", tag(&list(1)), "7f".repeat(8), "0".repeat(32));
        for text in ["", "last", "ä", &text[1..], &text[..63], &format!("{text}0"), &text.replace('0', "g"), &longest]
        {
            assert_eq!(read(&list(1), text), None, "{text}");
        }
    }
}
