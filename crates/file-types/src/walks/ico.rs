//! ICO: a directory, and the pictures to which it points: PNGs, or BMPs without their first head.

use std::collections::BTreeSet;

use super::{ALL, Step, Walk};
use crate::error::Fault;
use crate::reader::Rules;

const HEAD: usize = 6;
const ENTRY: usize = 16;
/// Of a picture, enough to measure it, in bytes.
const MEASURED: usize = 24;

pub(super) struct Ico {
    rules: Rules,
    /// Where the pictures begin that come.
    pictures: BTreeSet<u64>,
    read: bool,
}

impl Ico {
    pub(super) fn new(rules: Rules) -> Self {
        Self { rules, pictures: BTreeSet::new(), read: false }
    }

    fn directory(&mut self, view: &[u8]) -> Result<Step, Fault> {
        let Some(count) = view.get(4..HEAD) else { return Ok(Step::Need(HEAD)) };
        let whole = HEAD + ENTRY * usize::try_from(little(count)).unwrap_or_default();
        let Some(entries) = view.get(HEAD..whole) else { return Ok(Step::Need(whole)) };
        for entry in entries.as_chunks::<ENTRY>().0 {
            let begin = little(&entry[12..]);
            if begin < whole as u64 {
                return Err(Fault::Damaged("a picture of this icon lies in its head"));
            }
            self.pictures.insert(begin);
        }
        self.read = true;
        Ok(Step::Pass(whole as u64))
    }

    /// The directory has a byte for each side; the picture says it itself.
    fn measure(&self, picture: &[u8]) -> Result<(), Fault> {
        let number = |at: usize, bytes: usize| picture.get(at..at + bytes).unwrap_or_default();
        let (width, height) = if picture.starts_with(b"\x89PNG\r\n\x1a\n") {
            let big = |at| number(at, 4).iter().fold(0, |all, byte| all << 8 | u64::from(*byte));
            (big(16), big(20))
        } else if little(number(0, 4)) == 12 {
            (little(number(4, 2)), little(number(6, 2)) / 2)
        } else {
            let side =
                |at| u64::from(number(at, 4).first_chunk().map_or(0, |side| i32::from_le_bytes(*side)).unsigned_abs());
            // The mask lies below the picture.
            (side(4), side(8) / 2)
        };
        Fault::check_pixels(width, height, self.rules.max_pixels)
    }
}

fn little(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |all, byte| all << 8 | u64::from(*byte))
}

impl Walk for Ico {
    fn step(&mut self, view: &[u8], at: u64) -> Result<Step, Fault> {
        if !self.read {
            return self.directory(view);
        }
        let Some(next) = self.pictures.first().copied() else { return Ok(Step::Pass(ALL)) };
        if next > at {
            return Ok(Step::Pass(next - at));
        }
        let Some(picture) = view.get(..MEASURED) else { return Ok(Step::Need(MEASURED)) };
        self.measure(picture)?;
        self.pictures.pop_first();
        // Up to the next one, which may begin at the next byte.
        Ok(Step::Pass(self.pictures.first().map_or(ALL, |next| next - at)))
    }

    fn end(&self, _: u64, _: u64) -> Result<(), Fault> {
        if self.read { Ok(()) } else { Err(Fault::CutOff("its header is not whole")) }
    }
}
