//! WebP (RFC 9649): chunks of RIFF, in a file that tells its length. What is left out therefore becomes zeros.

use super::{ALL, LONGEST, Step, Walk, measure};
use crate::error::Fault;
use crate::exif;
use crate::reader::Rules;

/// Enough to measure it.
const HEAD: usize = 30;

pub(super) struct WebP {
    rules: Rules,
    /// Where it ends.
    end: u64,
    /// So many bytes that come are of a chunk that is left out.
    blank: u64,
    /// One block of Exif is read, and others are left out.
    exif_seen: bool,
}

impl WebP {
    pub(super) fn new(rules: Rules) -> Self {
        Self { rules, end: u64::MAX, blank: 0, exif_seen: false }
    }
}

impl Walk for WebP {
    fn step(&mut self, view: &[u8], at: u64) -> Result<Step, Fault> {
        if at == 0 {
            if view.len() < HEAD {
                return Ok(Step::Need(HEAD));
            }
            measure(view, self.rules)?;
            let size = view.get(4..).and_then(|rest| rest.first_chunk()).copied().unwrap_or_default();
            self.end = u64::from(u32::from_le_bytes(size)) + 8;
            if self.end < HEAD as u64 {
                return Err(Fault::Damaged("its length is that of no WebP"));
            }
            return Ok(Step::Pass(12));
        }
        if self.blank > 0 {
            return Ok(Step::Blank(std::mem::take(&mut self.blank)));
        }
        if at >= self.end {
            return Ok(if self.rules.without_metadata { Step::Drop(ALL) } else { Step::Pass(ALL) });
        }
        if !self.rules.without_metadata {
            return Ok(Step::Pass(self.end - at));
        }
        let (Some(kind), Some(length)) = (view.first_chunk::<4>(), view.get(4..).and_then(|rest| rest.first_chunk()))
        else {
            return Ok(Step::Need(8));
        };
        let length = 8 + u64::from(u32::from_le_bytes(*length));
        // Chunks are padded to an even length, but for the last of some files.
        let whole = length + length % 2;
        match kind {
            b"VP8 " | b"VP8L" | b"VP8X" | b"ALPH" | b"ANIM" | b"ANMF" | b"ICCP" => Ok(Step::Pass(whole)),
            b"EXIF" if !self.exif_seen && length <= (self.end - at).min(LONGEST as u64) => {
                let needed = usize::try_from(length).unwrap_or(LONGEST);
                let Some(content) = view.get(8..needed) else { return Ok(Step::Need(needed)) };
                self.exif_seen = true;
                self.blank = whole.min(self.end - at) - length;
                let tiff = content.strip_prefix(b"Exif\0\0").unwrap_or(content);
                let instead = exif::orientation(tiff).map(exif::only);
                let mut chunk = view.get(..8).unwrap_or_default().to_vec();
                chunk.extend(instead.iter().flatten().take(content.len()));
                chunk.resize(needed, 0);
                Ok(Step::Put(length, chunk))
            }
            _ => {
                self.blank = whole - 8;
                Ok(Step::Pass(8))
            }
        }
    }

    fn end(&self, length: u64, _: u64) -> Result<(), Fault> {
        // A last chunk whose padding is missing is read all the same.
        if length + 1 >= self.end {
            return Ok(());
        }
        Err(Fault::CutOff("this WebP is shorter than it says"))
    }
}
