//! PNG (RFC 2083 and its later editions): chunks, each a length, a type, data and a checksum.

use super::{ALL, LONGEST, Step, Walk};
use crate::error::Fault;
use crate::exif;
use crate::reader::Rules;

/// What a decoder has to know: the picture, colours, densities, and the frames of an animation. All other chunks
/// tell about the picture, or nobody knows what. `mDCv` and `cLLi` are former names.
const TECHNICAL: [&[u8; 4]; 21] = [
    b"IHDR", b"PLTE", b"IDAT", b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"cICP", b"mDCV", b"cLLI", b"mDCv",
    b"cLLi", b"sBIT", b"bKGD", b"hIST", b"pHYs", b"sPLT", b"acTL", b"fcTL", b"fdAT",
];

/// Signature and first chunk.
const HEAD: usize = 8 + 25;

pub(super) struct Png {
    rules: Rules,
    ended: bool,
    /// One block of Exif is read, and others are left out.
    exif_seen: bool,
}

impl Png {
    pub(super) fn new(rules: Rules) -> Self {
        Self { rules, ended: false, exif_seen: false }
    }
}

impl Walk for Png {
    fn step(&mut self, view: &[u8], at: u64) -> Result<Step, Fault> {
        if self.ended {
            return Ok(if self.rules.without_metadata { Step::Drop(ALL) } else { Step::Pass(ALL) });
        }
        if at == 0 {
            if view.len() < HEAD {
                return Ok(Step::Need(HEAD));
            }
            if view.get(8..16) != Some(b"\0\0\0\x0dIHDR") {
                return Err(Fault::Damaged("its header is not first"));
            }
            return Ok(Step::Pass(8));
        }
        let (Some(length), Some(kind)) = (view.first_chunk(), view.get(4..8)) else { return Ok(Step::Need(8)) };
        let length = u32::from_be_bytes(*length);
        if length > i32::MAX.cast_unsigned() || !kind.iter().all(u8::is_ascii_alphabetic) {
            return Err(Fault::Damaged("a chunk of this PNG is none"));
        }
        let whole = u64::from(length) + 12;
        if kind == b"IEND" {
            if view.len() < 12 {
                return Ok(Step::Need(12));
            }
            self.ended = true;
            return Ok(Step::Pass(12));
        }
        // The picture, and a frame of it behind its number.
        let size_at = match kind {
            b"IHDR" => Some(8),
            b"fcTL" => Some(12),
            _ => None,
        };
        if let Some(at) = size_at {
            let Some(size) = view.get(at..).and_then(|rest| rest.first_chunk()) else { return Ok(Step::Need(at + 8)) };
            let size = u64::from_be_bytes(*size);
            Fault::check_pixels(size >> 32, size & u64::from(u32::MAX), self.rules.max_pixels)?;
        }
        if !self.rules.without_metadata || TECHNICAL.iter().any(|known| kind == *known) {
            return Ok(Step::Pass(whole));
        }
        if kind != b"eXIf" || self.exif_seen || whole > LONGEST as u64 {
            return Ok(Step::Drop(whole));
        }
        let Some(tiff) = view.get(8..8 + length as usize) else { return Ok(Step::Need(8 + length as usize)) };
        self.exif_seen = true;
        let Some(orientation) = exif::orientation(tiff) else { return Ok(Step::Drop(whole)) };
        let mut chunk = b"eXIf".to_vec();
        chunk.extend_from_slice(&exif::only(orientation));
        let checksum = crc32fast::hash(&chunk).to_be_bytes();
        let length = u32::try_from(chunk.len() - 4).unwrap_or_default().to_be_bytes();
        Ok(Step::Put(whole, [&length[..], &chunk, &checksum].concat()))
    }

    fn end(&self, _: u64, _: u64) -> Result<(), Fault> {
        if self.ended { Ok(()) } else { Err(Fault::CutOff("this PNG has no IEND")) }
    }
}
