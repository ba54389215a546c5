//! Where a HEIF file keeps what it tells about its picture: items of the types `Exif` and `mime`, and boxes.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use crate::iso::children;
use crate::work;

/// More pieces than the metadata of a picture lie in.
const MOST_PIECES: usize = 1_024;

/// A piece of the file that is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hidden {
    pub(super) begin: u64,
    pub(super) end: u64,
    pub(super) is_exif: bool,
}

/// Blanks what the content of a `meta` box itself holds, and tells what else in the file is to be left out. `None`: it lies where
/// that cannot be told.
pub(super) fn leave_out(meta: &mut [u8]) -> Option<Vec<Hidden>> {
    let boxes = all_children(meta)?;
    // Readers differ in which of two they take.
    let only = |wanted: &[u8; 4]| {
        let mut found = boxes.iter().filter(|(kind, ..)| kind == wanted).map(|(_, begin, end)| (*begin, *end));
        let first = found.next();
        found.next().is_none().then_some(first)
    };
    let telling = match only(b"iinf")? {
        Some((begin, end)) => items(meta.get(begin..end)?)?,
        None => BTreeMap::new(),
    };
    let mut hidden = Vec::new();
    if !telling.is_empty() {
        let (begin, end) = only(b"iloc")??;
        let own = only(b"idat")?;
        let mut left = own.map_or(0, |(begin, end)| end - begin);
        for (place, is_exif) in places(meta.get(begin..end)?, &telling)? {
            match place {
                Place::File { begin, length } => {
                    hidden.push(Hidden { begin, end: begin.checked_add(length)?, is_exif });
                }
                Place::Own { begin, length } => {
                    let (data, data_end) = own?;
                    let begin = data.checked_add(usize::try_from(begin).ok()?)?;
                    let length = usize::try_from(length).ok()?;
                    let end = if length == 0 { data_end } else { begin.checked_add(length)? };
                    let piece = meta.get_mut(..data_end)?.get_mut(begin..end)?;
                    // Pieces that lie over each other would be filled again and again.
                    left = left.checked_sub(piece.len())?;
                    piece.fill(0);
                }
            }
        }
    }
    blank(meta, &boxes, |kind| matches!(kind, b"xml " | b"bxml" | b"uuid" | b"udta" | b"free" | b"skip"));
    for (_, begin, end) in boxes.iter().filter(|(kind, ..)| kind == b"iprp") {
        let properties = meta.get_mut(*begin..*end)?;
        for (_, begin, end) in children(properties).filter(|(kind, ..)| kind == b"ipco").collect::<Vec<_>>() {
            let container = properties.get_mut(begin..end)?;
            let boxes: Vec<_> = children(container).collect();
            // Others refer to them by their number.
            blank(container, &boxes, |kind| {
                matches!(kind, b"udes" | b"altt" | b"crtt" | b"mdft" | b"uuid" | b"free" | b"skip")
            });
        }
    }
    Some(hidden)
}

/// The same for the content of `moov`, whose boxes and those of its tracks may have descriptions of their own. `None` too if a track
/// is none of pictures or sound: it may be of positions.
pub(super) fn leave_out_of_movie(moov: &mut [u8]) -> Option<Vec<Hidden>> {
    let mut hidden = Vec::new();
    leave_out_within(moov, TRACKS, &mut hidden)?;
    Some(hidden)
}

/// What in a movie may hold descriptions, from the outside to the inside.
const TRACKS: &[&[u8; 4]] = &[b"trak", b"mdia", b"minf", b"stbl"];

fn leave_out_within(content: &mut [u8], inner: &[&[u8; 4]], hidden: &mut Vec<Hidden>) -> Option<()> {
    let boxes: Vec<_> = children(content).collect();
    let is_media = inner.first() == Some(&b"minf");
    for (kind, begin, end) in &boxes {
        let inside = content.get_mut(*begin..*end)?;
        match (kind, inner.split_first()) {
            // QuickTime's has no version.
            (b"meta", _) => {
                let before = if inside.get(4..8) == Some(b"hdlr") { 0 } else { 4 };
                hidden.extend(leave_out(inside.get_mut(before..).unwrap_or_default())?);
            }
            (b"hdlr", _) if is_media && !matches!(inside.get(8..12)?, b"pict" | b"vide" | b"auxv" | b"soun") => {
                return None;
            }
            // When it was made and changed, of a length by the version (ISO/IEC 14496-12, 8.2.2, 8.3.2 and 8.4.2).
            (b"mvhd" | b"tkhd" | b"mdhd", _) => {
                let times = if *inside.first()? == 0 { 4..12 } else { 4..20 };
                inside.get_mut(times)?.fill(0);
            }
            (kind, Some((next, others))) if kind == *next => leave_out_within(inside, others, hidden)?,
            _ => {}
        }
    }
    blank(content, &boxes, |kind| matches!(kind, b"udta" | b"meta" | b"uuid" | b"free" | b"skip"));
    let end = boxes.last().map_or(0, |(.., end)| *end);
    content.get_mut(end..)?.fill(0);
    Some(())
}

/// The boxes in the content of one, if there is nothing else in it.
fn all_children(content: &[u8]) -> Option<Vec<([u8; 4], usize, usize)>> {
    let boxes: Vec<_> = children(content).collect();
    let end = boxes.last().map_or(0, |(.., end)| *end);
    (end == content.len()).then_some(boxes)
}

fn blank(content: &mut [u8], boxes: &[([u8; 4], usize, usize)], which: impl Fn(&[u8; 4]) -> bool) {
    let mut at = 0;
    for (kind, begin, end) in boxes {
        if which(kind)
            && let Some(name) = content.get_mut(at + 4..at + 8)
        {
            name.copy_from_slice(b"free");
            if let Some(inside) = content.get_mut(*begin..*end) {
                inside.fill(0);
            }
        }
        at = *end;
    }
}

/// A reader of numbers whose lengths are told by others.
struct Numbers<'a>(&'a [u8]);

impl Numbers<'_> {
    fn next(&mut self, bytes: usize) -> Option<u64> {
        let (number, rest) = self.0.split_at_checked(bytes)?;
        self.0 = rest;
        Some(number.iter().fold(0, |all, byte| all << 8 | u64::from(*byte)))
    }

    fn skip(&mut self, bytes: usize) -> Option<()> {
        self.0 = self.0.get(bytes..)?;
        Some(())
    }
}

/// The number of an item. Looking for one of many in a list of many is work, so comparing two is counted.
#[derive(Debug, Clone, Copy)]
struct ItemId(u64);

impl Ord for ItemId {
    fn cmp(&self, other: &Self) -> Ordering {
        work::count();
        self.0.cmp(&other.0)
    }
}

impl PartialOrd for ItemId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for ItemId {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for ItemId {}

/// The items that tell about the picture, and whether each is Exif (section 8.11.6 of ISO/IEC 14496-12). `None`: there may be
/// more.
fn items(iinf: &[u8]) -> Option<BTreeMap<ItemId, bool>> {
    let mut numbers = Numbers(iinf.get(4..)?);
    let announced = numbers.next(if iinf.first()? == &0 { 2 } else { 4 })?;
    let entries = numbers.0;
    let (mut found, mut count) = (BTreeMap::new(), 0);
    for (_, begin, end) in all_children(entries)?.iter().filter(|(kind, ..)| kind == b"infe") {
        let entry = entries.get(*begin..*end)?;
        let id_bytes = match entry.first()? {
            2 => 2,
            3 => 4,
            // Those before have no type.
            _ => return None,
        };
        let mut numbers = Numbers(entry.get(4..)?);
        let id = ItemId(numbers.next(id_bytes)?);
        numbers.skip(2)?;
        match numbers.0.get(..4)? {
            b"Exif" => _ = found.insert(id, true),
            // Pictures, and what makes one of others.
            b"hvc1" | b"hev1" | b"lhv1" | b"av01" | b"avc1" | b"vvc1" | b"evc1" | b"j2k1" | b"unci" | b"hvt1"
            | b"grid" | b"iovl" | b"iden" | b"tmap" | b"mski" | b"tili" => {}
            // A JPEG has metadata of its own.
            b"jpeg" => return None,
            // XMP is one, and nobody knows what else.
            _ => _ = found.insert(id, false),
        }
        count += 1;
    }
    (count == announced).then_some(found)
}

enum Place {
    /// A piece of the file.
    File { begin: u64, length: u64 },
    /// A piece of `idat`. Length 0: to its end.
    Own { begin: u64, length: u64 },
}

/// Where these items lie (section 8.11.3 of ISO/IEC 14496-12). `None`: one is all of the file, or in another one, or in too
/// many pieces.
fn places(iloc: &[u8], wanted: &BTreeMap<ItemId, bool>) -> Option<Vec<(Place, bool)>> {
    let version = *iloc.first()?;
    let mut numbers = Numbers(iloc.get(4..)?);
    let (sizes, more) = (numbers.next(1)?, numbers.next(1)?);
    let bytes = |nibble: u64| usize::try_from(nibble & 0xf).ok().filter(|bytes| matches!(bytes, 0 | 4 | 8));
    let (offset_bytes, length_bytes, base_bytes) = (bytes(sizes >> 4)?, bytes(sizes)?, bytes(more >> 4)?);
    let index_bytes = if version > 0 { bytes(more)? } else { 0 };
    let id_bytes = if version < 2 { 2 } else { 4 };
    let count = numbers.next(id_bytes)?;
    let mut found = Vec::new();
    for _ in 0..count {
        let id = ItemId(numbers.next(id_bytes)?);
        let method = if version > 0 { numbers.next(2)? & 0xf } else { 0 };
        let reference = numbers.next(2)?;
        let base = numbers.next(base_bytes)?;
        let extents = numbers.next(2)?;
        let Some(is_exif) = wanted.get(&id) else {
            // An extent may be of no bytes: going through them is work without end.
            let bytes = index_bytes + offset_bytes + length_bytes;
            numbers.skip(usize::try_from(extents).ok()?.checked_mul(bytes)?)?;
            continue;
        };
        for _ in 0..extents {
            if found.len() == MOST_PIECES {
                return None;
            }
            numbers.skip(index_bytes)?;
            let begin = base.checked_add(numbers.next(offset_bytes)?)?;
            let length = numbers.next(length_bytes)?;
            let place = match (method, reference) {
                (0, 0) if length > 0 => Place::File { begin, length },
                (1, _) => Place::Own { begin, length },
                _ => return None,
            };
            // Of the pieces of one item only the first begins like Exif.
            found.push((place, *is_exif && extents == 1));
        }
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use testkit::samples::iso_box;

    use super::*;
    use crate::work::tests::counted;

    #[test]
    fn of_many_places_each_is_looked_up_in_a_few_steps() {
        let entry = |id: u16| iso_box(b"infe", &[&b"\x02\0\0\0"[..], &id.to_be_bytes(), b"\0\0Exif\0"].concat());
        let (listed, looked_up) = (26_000_u16, 65_535_u16);
        let entries: Vec<u8> = (0..listed).flat_map(entry).collect();
        let index = iso_box(b"iinf", &[&[0; 4], &listed.to_be_bytes()[..], &entries].concat());
        // None of them is in the list, and none has a piece.
        let places = [&u16::MAX.to_be_bytes()[..], &[0; 4]].concat().repeat(looked_up.into());
        let places = iso_box(b"iloc", &[&[0, 0, 0, 0, 0x44, 0][..], &looked_up.to_be_bytes(), &places].concat());
        let mut meta = [index, places].concat();
        let compared = counted(|| assert_eq!(leave_out(&mut meta), Some(Vec::new())));
        // Comparing each with each takes 1,700 million.
        assert!((1..60 * u64::from(listed) + 60 * u64::from(looked_up)).contains(&compared), "{compared}");
    }
}
