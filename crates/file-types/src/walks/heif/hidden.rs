//! Where a HEIF file keeps what it tells about its picture: items of the types `Exif` and `mime`, and boxes.

use std::collections::BTreeMap;

use crate::iso::children;

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
    blank(meta, &boxes, |kind| matches!(kind, b"xml " | b"bxml" | b"uuid" | b"udta"));
    Some(hidden)
}

/// Blanks what the content of a `moov` box tells about the picture.
pub(super) fn leave_out_of_movie(moov: &mut [u8]) {
    let boxes: Vec<_> = children(moov).collect();
    let tells = |kind: &[u8; 4]| matches!(kind, b"udta" | b"meta" | b"uuid");
    blank(moov, &boxes, tells);
    for (_, begin, end) in boxes.iter().filter(|(kind, ..)| kind == b"trak") {
        let Some(track) = moov.get_mut(*begin..*end) else { continue };
        let boxes: Vec<_> = children(track).collect();
        blank(track, &boxes, tells);
    }
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

/// The items that tell about the picture, and whether each is Exif (section 8.11.6 of ISO/IEC 14496-12). `None`: there may be
/// more.
fn items(iinf: &[u8]) -> Option<BTreeMap<u64, bool>> {
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
        let id = numbers.next(id_bytes)?;
        numbers.skip(2)?;
        match numbers.0.get(..4)? {
            b"Exif" => _ = found.insert(id, true),
            b"mime" | b"uri " => _ = found.insert(id, false),
            _ => {}
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
fn places(iloc: &[u8], wanted: &BTreeMap<u64, bool>) -> Option<Vec<(Place, bool)>> {
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
        let id = numbers.next(id_bytes)?;
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
