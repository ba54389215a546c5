//! WebP (RFC 9649): chunks of RIFF, in a file that tells its length. What is left out therefore becomes zeros.

use super::{ALL, LONGEST, Step, Walk};
use crate::error::Fault;
use crate::exif;
use crate::reader::Rules;

/// No file is shorter.
const HEAD: usize = 30;
/// Enough of what lies in a chunk to measure it.
const MEASURED: u64 = 12;
/// The head of a chunk that holds a frame and, behind it, that of the frame.
const FRAME: u64 = 24;

pub(super) struct WebP {
    rules: Rules,
    /// Where it ends.
    end: u64,
    /// Where the frame ends whose chunks come.
    frame_end: u64,
    /// So many bytes that come are of a chunk that is left out.
    blank: u64,
    /// One block of Exif is read, and others are left out.
    exif_seen: bool,
}

impl WebP {
    pub(super) fn new(rules: Rules) -> Self {
        Self { rules, end: u64::MAX, frame_end: 0, blank: 0, exif_seen: false }
    }

    fn head(&mut self, view: &[u8]) -> Result<Step, Fault> {
        if view.len() < HEAD {
            return Ok(Step::Need(HEAD));
        }
        let size = view.get(4..).and_then(|rest| rest.first_chunk()).copied().unwrap_or_default();
        self.end = u64::from(u32::from_le_bytes(size)) + 8;
        if self.end < HEAD as u64 {
            return Err(Fault::Damaged("its length is that of no WebP"));
        }
        if !matches!(view.get(12..16), Some(b"VP8 " | b"VP8L" | b"VP8X")) {
            return Err(Fault::Damaged("its header tells no size"));
        }
        Ok(Step::Pass(12))
    }

    /// A chunk of a length that counts its head, and a longer one with its padding.
    fn chunk(&mut self, kind: [u8; 4], view: &[u8], length: u64, whole: u64, at: u64) -> Result<Step, Fault> {
        match &kind {
            b"ANMF" if at >= self.frame_end && length >= FRAME => {
                self.frame_end = at + whole;
                return Ok(Step::Pass(FRAME));
            }
            b"VP8 " | b"VP8L" | b"VP8X" | b"ALPH" | b"ANIM" | b"ICCP" => return Ok(Step::Pass(whole)),
            _ if !self.rules.without_metadata => return Ok(Step::Pass(whole)),
            b"EXIF" if !self.exif_seen && length <= LONGEST as u64 && at >= self.frame_end => {
                let needed = usize::try_from(length).unwrap_or(LONGEST);
                let Some(content) = view.get(8..needed) else { return Ok(Step::Need(needed)) };
                self.exif_seen = true;
                self.blank = whole - length;
                let tiff = content.strip_prefix(b"Exif\0\0").unwrap_or(content);
                let instead = exif::orientation(tiff).map(exif::only);
                let mut chunk = view.get(..8).unwrap_or_default().to_vec();
                chunk.extend(instead.iter().flatten().take(content.len()));
                chunk.resize(needed, 0);
                return Ok(Step::Put(length, chunk));
            }
            _ => {}
        }
        self.blank = whole - 8;
        Ok(Step::Pass(8))
    }
}

/// What a chunk claims to measure: the canvas, a frame on it, or a picture. They may differ.
fn size(kind: [u8; 4], content: &[u8]) -> Option<(u64, u64)> {
    let number = |at: usize, bytes: usize| {
        Some(content.get(at..at + bytes)?.iter().rev().fold(0, |all, byte| all << 8 | u64::from(*byte)))
    };
    Some(match &kind {
        b"VP8X" => (number(4, 3)? + 1, number(7, 3)? + 1),
        b"ANMF" => (number(6, 3)? + 1, number(9, 3)? + 1),
        // Two bits say how to scale it.
        b"VP8 " => (number(6, 2)? & 0x3fff, number(8, 2)? & 0x3fff),
        b"VP8L" => ((number(1, 4)? & 0x3fff) + 1, (number(1, 4)? >> 14 & 0x3fff) + 1),
        _ => (0, 0),
    })
}

impl Walk for WebP {
    fn step(&mut self, view: &[u8], at: u64) -> Result<Step, Fault> {
        if at == 0 {
            return self.head(view);
        }
        if self.blank > 0 {
            return Ok(Step::Blank(std::mem::take(&mut self.blank)));
        }
        let strict = self.rules.without_metadata;
        if at >= self.end {
            return Ok(if strict { Step::Drop(ALL) } else { Step::Pass(ALL) });
        }
        // Of a chunk nothing lies behind the frame that it is in, or behind the file.
        let most = if at < self.frame_end { self.frame_end.min(self.end) - at } else { self.end - at };
        if most < 8 {
            return Ok(if strict { Step::Blank(most) } else { Step::Pass(most) });
        }
        let (Some(kind), Some(length)) = (view.first_chunk::<4>(), view.get(4..).and_then(|rest| rest.first_chunk()))
        else {
            return Ok(Step::Need(8));
        };
        let length = (8 + u64::from(u32::from_le_bytes(*length))).min(most);
        if matches!(kind, b"VP8 " | b"VP8L" | b"VP8X" | b"ANMF") {
            let needed = usize::try_from(length.min(8 + MEASURED)).unwrap_or_default();
            let Some(content) = view.get(8..needed) else { return Ok(Step::Need(needed)) };
            let (width, height) = size(*kind, content).ok_or(Fault::Damaged("its header tells no size"))?;
            Fault::check_pixels(width, height, self.rules.max_pixels)?;
        }
        // Chunks are padded to an even length, but for the last of some files.
        self.chunk(*kind, view, length, (length + length % 2).min(most), at)
    }

    fn end(&self, length: u64, _: u64) -> Result<(), Fault> {
        // A last chunk whose padding is missing is read all the same.
        if length + 1 >= self.end {
            return Ok(());
        }
        Err(Fault::CutOff("this WebP is shorter than it says"))
    }

    fn tells_length(&self) -> bool {
        true
    }
}
