//! ISO base media files (ISO/IEC 14496-12): boxes, each a size and a type before its content, and the brands of the first.

use crate::list::{ANIMATED_AVIF, AVIF, FileType, HEIC, HEIF, M4A, MOV, MP4, THREE_G2, THREE_GP};

/// The head of a box.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BoxHead {
    pub(crate) kind: [u8; 4],
    /// Of the head itself.
    pub(crate) head: usize,
    /// With the head. `None`: to the end of the file.
    pub(crate) size: Option<u64>,
}

impl BoxHead {
    /// Reads the head of a box that `bytes` begin with. `Err`: how many bytes are needed. `Ok(None)`: it is none.
    pub(crate) fn read(bytes: &[u8]) -> Result<Option<Self>, usize> {
        let Some((size, rest)) = bytes.split_first_chunk() else { return Err(8) };
        let Some((kind, rest)) = rest.split_first_chunk() else { return Err(8) };
        Ok(match u32::from_be_bytes(*size) {
            0 => Some(Self { kind: *kind, head: 8, size: None }),
            1 => {
                let Some((size, _)) = rest.split_first_chunk() else { return Err(16) };
                let size = u64::from_be_bytes(*size);
                (size >= 16).then_some(Self { kind: *kind, head: 16, size: Some(size) })
            }
            size => (size >= 8).then_some(Self { kind: *kind, head: 8, size: Some(size.into()) }),
        })
    }
}

/// The boxes in the content of one, with where each begins: kind, position of its content, and that of its end. Stops at the first
/// that is none.
pub(crate) fn children(content: &[u8]) -> impl Iterator<Item = ([u8; 4], usize, usize)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = content.get(at..).filter(|rest| !rest.is_empty())?;
        let head = BoxHead::read(rest).ok().flatten()?;
        let size = head.size.map_or(Some(rest.len()), |size| usize::try_from(size).ok())?;
        if size > rest.len() {
            return None;
        }
        let (begin, end) = (at + head.head, at + size);
        at = end;
        Some((head.kind, begin, end))
    })
}

/// By the brands, wherever the box with them is among the first; by its first box, what is older than brands.
pub(crate) fn detect(first: &[u8]) -> Option<&'static FileType> {
    let mut at: usize = 0;
    loop {
        let head = BoxHead::read(first.get(at..)?).ok()??;
        let end = head.size.and_then(|size| at.checked_add(usize::try_from(size).ok()?));
        match &head.kind {
            b"ftyp" => {
                let end = end?.min(first.len());
                return brands(first.get(at + head.head..end)?);
            }
            // What is behind a long one is told by what must come later: `moov`.
            b"free" | b"skip" | b"wide" | b"pnot" | b"mdat" => match end {
                Some(end) if end <= first.len().saturating_sub(8) => at = end,
                _ => return Some(&MOV),
            },
            b"moov" => return Some(&MOV),
            _ => return None,
        }
    }
}

/// The major brand tells, and where it is nobody's or says little, the list of compatible ones does.
fn brands(ftyp: &[u8]) -> Option<&'static FileType> {
    let (major, rest) = ftyp.split_first_chunk::<4>()?;
    let compatible = rest.get(4..).unwrap_or_default().as_chunks().0;
    if major == b"crx " {
        // Raw pictures of Canon.
        return None;
    }
    let mut known = family(*major).or_else(|| compatible.iter().find_map(|brand| family(*brand)))?;
    if *known == HEIF {
        let mut codecs = compatible.iter().filter_map(|brand| family(*brand));
        known = codecs.find(|other| **other == AVIF || **other == HEIC).unwrap_or(known);
    }
    let is_animated = *known == AVIF && (major == b"avis" || compatible.contains(b"avis"));
    Some(if is_animated { &ANIMATED_AVIF } else { known })
}

/// Brands come in families, and every year has new ones (https://mp4ra.org/registered-types/brands).
fn family(brand: [u8; 4]) -> Option<&'static FileType> {
    Some(match &brand {
        b"avif" | b"avis" => &AVIF,
        b"heic" | b"heix" | b"heim" | b"heis" | b"hevc" | b"hevx" | b"hevm" | b"hevs" => &HEIC,
        b"mif1" | b"mif2" | b"msf1" | b"miaf" | b"mif3" => &HEIF,
        b"qt  " => &MOV,
        b"M4A " | b"M4B " | b"M4P " | b"F4A " | b"F4B " => &M4A,
        [b'3', b'g', b'2', _] => &THREE_G2,
        [b'3', b'g', ..] => &THREE_GP,
        [b'i', b's', b'o', _] | [b'm', b'p', b'4', _] | [b'c', b'm', b'f', _] | [b'M', b'4', b'V', _] => &MP4,
        [b'F' | b'f', b'4', b'v' | b'V', _] | [b'M', b'S', b'N', b'V'] | [b'N', b'D', ..] => &MP4,
        [b'd', b'a', b's', b'h' | b'm'] | b"avc1" | b"XAVC" | b"piff" | b"msdh" | b"mmp4" | b"hvc1" | b"av01" => &MP4,
        _ => return None,
    })
}
