//! TIFF (revision 6.0, and BigTIFF) and JPEG XR (ITU T.832, annex A): directories of fields, anywhere in the file.

use super::{ALL, Step, Walk};
use crate::error::Fault;
use crate::reader::Rules;

/// A directory has few.
const MOST_FIELDS: u64 = 4096;

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
            // One that has passed is not looked at.
            None => {
                self.next = None;
                return Ok(Step::Pass(ALL));
            }
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
        let (mut width, mut height) = (0, 0);
        for field in fields.chunks_exact(field_bytes) {
            let [tag, kind] = [0, 2].map(|at| self.number(field.get(at..at + 2).unwrap_or_default()));
            let bytes = match kind {
                3 => 2,
                4 => 4,
                16 => 8,
                _ => continue,
            };
            let value = field.get(field_bytes - offset_bytes..).and_then(|value| value.get(..bytes));
            let value = self.number(value.unwrap_or_default());
            match tag {
                0x0100 | 0xbc80 => width = value,
                0x0101 | 0xbc81 => height = value,
                _ => {}
            }
        }
        Fault::check_pixels(width, height, self.rules.max_pixels)?;
        self.found = true;
        let next = self.number(view.get(end..whole).unwrap_or_default());
        self.next = Some(next).filter(|next| *next > at);
        Ok(Step::Pass(whole as u64))
    }

    fn end(&self, _: u64, _: u64) -> Result<(), Fault> {
        if self.found { Ok(()) } else { Err(Fault::CutOff("its first directory is missing")) }
    }
}
