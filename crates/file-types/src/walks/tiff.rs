//! TIFF (revision 6.0, and BigTIFF) and JPEG XR (ITU T.832, annex A): directories of fields, anywhere in the file.

use super::{ALL, Step, Walk};
use crate::error::Fault;
use crate::reader::Rules;

/// A directory has few.
const MOST_FIELDS: u64 = 4096;

/// What has passed cannot be measured.
const UNREAD: &str = "a page of it lies before the one that names it; save it anew";

pub(super) struct Tiff {
    rules: Rules,
    little: bool,
    big: bool,
    /// Where the next directory lies.
    next: Option<u64>,
    found: bool,
}

impl Tiff {
    pub(super) fn new(rules: Rules) -> Self {
        Self { rules, little: false, big: false, next: None, found: false }
    }

    fn number(&self, bytes: &[u8]) -> u64 {
        let add = |all: u64, byte: &u8| all << 8 | u64::from(*byte);
        if self.little { bytes.iter().rev().fold(0, add) } else { bytes.iter().fold(0, add) }
    }

    /// The position of the first directory.
    fn head(&mut self, view: &[u8]) -> Result<Step, Fault> {
        let Some(head) = view.first_chunk::<16>() else { return Ok(Step::Need(16)) };
        self.little = head.starts_with(b"II");
        self.big = matches!(head, [_, _, 0x2b, ..] | [_, _, _, 0x2b, ..]);
        let first = if self.big { head.get(8..16) } else { head.get(4..8) };
        let first = self.number(first.unwrap_or_default());
        self.next = Some(first);
        match first.checked_sub(if self.big { 16 } else { 8 }) {
            Some(_) => Ok(Step::Pass(first.min(if self.big { 16 } else { 8 }))),
            None => Err(Fault::Damaged("its first directory lies in its head")),
        }
    }
}

impl Walk for Tiff {
    fn step(&mut self, view: &[u8], at: u64) -> Result<Step, Fault> {
        if at == 0 {
            return self.head(view);
        }
        let Some(next) = self.next else { return Ok(Step::Pass(ALL)) };
        match next.checked_sub(at) {
            None => return Err(Fault::Damaged(UNREAD)),
            Some(0) => {}
            Some(far) => return Ok(Step::Pass(far)),
        }
        let (count_bytes, field_bytes, offset_bytes) = if self.big { (8, 20, 8) } else { (2, 12, 4) };
        let Some(count) = view.get(..count_bytes) else { return Ok(Step::Need(count_bytes)) };
        let count = self.number(count);
        if !(1..=MOST_FIELDS).contains(&count) {
            return Err(Fault::Damaged("a directory has no fields, or too many"));
        }
        let end = count_bytes + usize::try_from(count).unwrap_or_default() * field_bytes;
        let whole = end + offset_bytes;
        let Some(fields) = view.get(count_bytes..end).filter(|_| view.len() >= whole) else {
            return Ok(Step::Need(whole));
        };
        let (mut picture, mut tile) = ([0; 2], [0; 2]);
        for field in fields.chunks_exact(field_bytes) {
            let [tag, kind] = [0, 2].map(|at| self.number(field.get(at..at + 2).unwrap_or_default()));
            let size = match tag {
                0x0100 | 0xbc80 => &mut picture[0],
                0x0101 | 0xbc81 => &mut picture[1],
                0x0142 => &mut tile[0],
                0x0143 => &mut tile[1],
                _ => continue,
            };
            // Numbers with a sign too: decoders read them.
            let bytes = match kind {
                1 | 6 => 1,
                3 | 8 => 2,
                4 | 9 => 4,
                16 | 17 => 8,
                _ => return Err(Fault::Damaged("its header tells no size")),
            };
            let value = field.get(field_bytes - offset_bytes..).and_then(|value| value.get(..bytes));
            // A longer one lies elsewhere.
            let value = value.ok_or(Fault::Damaged("its header tells no size"))?;
            *size = self.number(value).max(*size);
        }
        for [width, height] in [picture, tile] {
            Fault::check_pixels(width, height, self.rules.max_pixels)?;
        }
        self.found = true;
        let next = self.number(view.get(end..whole).unwrap_or_default());
        self.next = Some(next).filter(|next| *next > 0);
        if self.next.is_some_and(|next| next < at.saturating_add(whole as u64)) {
            return Err(Fault::Damaged(UNREAD));
        }
        Ok(Step::Pass(whole as u64))
    }

    fn end(&self, _: u64, _: u64) -> Result<(), Fault> {
        if self.found { Ok(()) } else { Err(Fault::CutOff("its first directory is missing")) }
    }
}
